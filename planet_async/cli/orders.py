"""`orders create`, `get`, `list` and `stats`."""

from typing import Annotated

import typer

from planet_async import Order, Outcome, Planet
from planet_async.cli.batch import place
from planet_async.cli.describe import order_line, order_panel, orders_table, stats_table
from planet_async.cli.output import Json, print_json, print_json_line, stderr, stdout, wants_json
from planet_async.cli.requests import RequestFile, read_requests
from planet_async.cli.run import complain, one_line, reporting, with_planet

RequestFiles = Annotated[
    list[str], typer.Argument(metavar="REQUEST.json", help="Order requests; - is standard input.")
]
OrderId = Annotated[str, typer.Argument(metavar="ID", help="The id of an order.")]


def create(context: typer.Context, files: RequestFiles, json: Json = False) -> None:
    """Place orders, each as a JSON file describes it.

    All files are checked before the first order is placed.

    [dim]planet-async orders create farm.json coast.json[/]
    """
    with reporting():
        requests = read_requests(files)

    async def work(planet: Planet) -> bool:
        failed = 0

        def placed(request: RequestFile, outcome: Outcome[Order]) -> None:
            nonlocal failed
            if outcome.error is not None:
                failed += 1
                complain(f"{request.source}: {one_line(outcome.error)}")
            elif wants_json(json):
                print_json_line(outcome.unwrap().raw)
            else:
                stdout().print(order_line(outcome.unwrap()))

        await place(planet, requests, placed)
        return not failed

    with_planet(context, work)


def get(context: typer.Context, order_id: OrderId, json: Json = False) -> None:
    """Show an order.

    [dim]planet-async orders get 4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11 | jq .state[/]
    """

    async def work(planet: Planet) -> bool:
        order = await planet.orders.get(order_id)
        if wants_json(json):
            print_json(order.raw)
        else:
            stdout().print(order_panel(order))
        return True

    with_planet(context, work)


_INTERVAL = "An instant, or START/END with .. for an open end: 2026-01-01T00:00:00Z/.."


def list_(
    context: typer.Context,
    *,
    state: Annotated[
        list[str] | None,
        typer.Option(help="In this state; may be given again.", autocompletion=lambda: _STATES),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of exactly this name.")] = None,
    name_contains: Annotated[str | None, typer.Option(help="With this text in the name.")] = None,
    created_on: Annotated[str | None, typer.Option(metavar="TIME", help=f"Created then. {_INTERVAL}")] = None,
    last_modified: Annotated[
        str | None, typer.Option(metavar="TIME", help="Changed then; written as for --created-on.")
    ] = None,
    source_type: Annotated[str, typer.Option(help="scenes, basemaps or all.")] = "all",
    hosting: Annotated[
        bool | None, typer.Option("--hosting/--no-hosting", help="Hosted by Planet, or not.")
    ] = None,
    destination_ref: Annotated[
        str | None, typer.Option(metavar="REF", help="Delivered there: pl:destinations/...")
    ] = None,
    user_id: Annotated[
        str | None, typer.Option(metavar="ID", help="Of this user, or all (for administrators).")
    ] = None,
    sort_by: Annotated[
        str | None,
        typer.Option(metavar="FIELD", help="name, created_on, state or last_modified; also 'name DESC'."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="Show at most N orders.")] = None,
    page_size: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Orders in one answer of the API.")
    ] = None,
    json: Json = False,
) -> None:
    """List orders, the newest first. As JSON: one order a line.

    [dim]planet-async orders list --state queued --state running --limit 20[/]

    [dim]planet-async orders list --name-contains farm | jq -r .id[/]
    """

    async def work(planet: Planet) -> bool:
        found = planet.orders.list(
            state=state or None,
            name=name,
            name__contains=name_contains,
            created_on=created_on,
            last_modified=last_modified,
            source_type=source_type,
            hosting=hosting,
            destination_ref=destination_ref,
            user_id=user_id,
            sort_by=sort_by,
            page_size=page_size,
        )
        if not wants_json(json):
            with stderr().status("Listing orders"):
                orders = await found.collect(limit)
            stdout().print(orders_table(orders))
        elif limit is not None:
            for order in await found.collect(limit):
                print_json_line(order.raw)
        else:
            async for order in found:  # as they come: there may be many
                print_json_line(order.raw)
        return True

    with_planet(context, work)


_STATES = ["queued", "running", "success", "partial", "failed", "cancelled"]


def stats(context: typer.Context, json: Json = False) -> None:
    """Count the queued and running orders, yours and those of your organization."""

    async def work(planet: Planet) -> bool:
        counts = await planet.orders.stats()
        if wants_json(json):
            print_json(counts.raw)
        else:
            stdout().print(stats_table(counts))
        return True

    with_planet(context, work)
