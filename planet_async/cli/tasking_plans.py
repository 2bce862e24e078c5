"""`tasking pricing`, `windows` and `captures`: what an order costs, when it can be taken, and what was."""

from typing import Annotated

import typer

from planet_async import ImagingWindowRequest, Planet, PricingFailure, PricingRequest
from planet_async.cli.describe_tasking import captures_table, preview_table, pricing_panel, windows_table
from planet_async.cli.options import Limit, Timeout
from planet_async.cli.output import Json, print_json, print_json_line, stderr, stdout, wants_json
from planet_async.cli.run import complain, with_planet
from planet_async.cli.show import requests_in, show_list, show_one


def pricing(
    context: typer.Context,
    order_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="The id of an order that is placed.")
    ] = None,
    preview: Annotated[
        list[str] | None,
        typer.Option(metavar="REQUEST.json", help="Price an order that is not placed; may be given again."),
    ] = None,
    json: Json = False,
) -> None:
    """Show what an order costs, or would cost.

    [dim]planet-async tasking pricing 4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11[/]

    [dim]planet-async tasking pricing --preview harbour.json --preview coast.json[/]
    """
    if (order_id is None) == (not preview):
        raise typer.BadParameter("give the id of an order, or --preview with request files")
    if order_id is not None:
        show_one(context, lambda planet: planet.tasking.pricing(order_id), pricing_panel, json=json)
    else:
        _preview(context, preview or [], json)


def _preview(context: typer.Context, files: list[str], json: bool) -> None:
    requests = requests_in(files, PricingRequest)

    async def work(planet: Planet) -> bool:
        found = await planet.tasking.preview_pricing_many([request.body for request in requests])
        sources = [request.source for request in requests]
        if wants_json(json):
            print_json(found.raw)
        else:
            stdout().print(preview_table(found, sources))
        failed = False
        for source, price in zip(sources, found.pricing_details, strict=True):
            if isinstance(price, PricingFailure):
                failed = True
                complain(f"{source}: {price.error}")
        return not failed

    with_planet(context, work)


def windows(
    context: typer.Context,
    file: Annotated[
        str,
        typer.Argument(
            metavar="REQUEST.json", help="geometry, pl_number, product, ...; - is standard input."
        ),
    ],
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """Search for the times in which a satellite can see a place. As JSON: one window a line.

    The id of a window goes into an ASSURED order, as its imaging_window.

    [dim]planet-async tasking windows harbour.json | jq -r .id[/]
    """
    (request,) = requests_in([file], ImagingWindowRequest)

    async def work(planet: Planet) -> bool:
        with stderr().status("Searching"):
            search = await planet.tasking.search_imaging_windows(request.body, timeout=timeout)
        if not wants_json(json):
            stdout().print(windows_table(search.imaging_windows))
        else:
            for window in search.imaging_windows:
                print_json_line(window.raw)
        return True

    with_planet(context, work)


def captures(
    context: typer.Context,
    *,
    order_id: Annotated[str | None, typer.Option(metavar="ID", help="For this order.")] = None,
    fulfilling: Annotated[
        bool | None,
        typer.Option("--fulfilling/--not-fulfilling", help="That count towards their order, or do not."),
    ] = None,
    limit: Limit = None,
    json: Json = False,
) -> None:
    """List the images taken or to be taken, for an order or for all. As JSON: one a line.

    [dim]planet-async tasking captures --order-id 4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11[/]
    """
    show_list(
        context,
        lambda planet: planet.tasking.list_captures(order_id=order_id, fulfilling=fulfilling),
        captures_table,
        limit=limit,
        json=json,
    )
