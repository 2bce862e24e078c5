"""`orders create`, `get`, `list` and `stats`."""

from typing import Annotated

import typer

from planet_async import OrderRequest
from planet_async.cli.describe import order_line, order_panel, orders_table, stats_table
from planet_async.cli.options import INTERVAL, Limit, Name, NameContains, PageSize, UserId, one_of
from planet_async.cli.output import Json
from planet_async.cli.show import act_on_each, requests_in, show_list, show_one

RequestFiles = Annotated[
    list[str], typer.Argument(metavar="REQUEST.json", help="Order requests; - is standard input.")
]
OrderId = Annotated[str, typer.Argument(metavar="ID", help="The id of an order.")]
_STATES = ["queued", "running", "success", "partial", "failed", "cancelled"]


def create(context: typer.Context, files: RequestFiles, json: Json = False) -> None:
    """Place orders, each as a JSON file describes it.

    All files are checked before the first order is placed.

    [dim]planet-async orders create farm.json coast.json[/]
    """
    act_on_each(
        context,
        requests_in(files, OrderRequest),
        lambda planet, request: planet.orders.create(request.body),
        order_line,
        json=json,
    )


def get(context: typer.Context, order_id: OrderId, json: Json = False) -> None:
    """Show an order.

    [dim]planet-async orders get 4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11 | jq .state[/]
    """
    show_one(context, lambda planet: planet.orders.get(order_id), order_panel, json=json)


def list_(
    context: typer.Context,
    *,
    state: Annotated[list[str] | None, one_of("In this state", _STATES)] = None,
    name: Name = None,
    name_contains: NameContains = None,
    created_on: Annotated[str | None, typer.Option(metavar="TIME", help=f"Created then. {INTERVAL}")] = None,
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
    user_id: UserId = None,
    sort_by: Annotated[
        str | None,
        typer.Option(metavar="FIELD", help="name, created_on, state or last_modified; also 'name DESC'."),
    ] = None,
    limit: Limit = None,
    page_size: PageSize = None,
    json: Json = False,
) -> None:
    """List orders, the newest first. As JSON: one order a line.

    [dim]planet-async orders list --state queued --state running --limit 20[/]

    [dim]planet-async orders list --name-contains farm | jq -r .id[/]
    """
    show_list(
        context,
        lambda planet: planet.orders.list(
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
        ),
        orders_table,
        limit=limit,
        json=json,
    )


def stats(context: typer.Context, json: Json = False) -> None:
    """Count the queued and running orders, yours and those of your organization."""
    show_one(context, lambda planet: planet.orders.stats(), stats_table, json=json)
