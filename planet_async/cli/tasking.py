"""`tasking create`, `get`, `list`, `update`, `cancel` and `wait`."""

from typing import Annotated

import typer

from planet_async import Planet, TaskingOrder, TaskingOrderChanges, TaskingOrderRequest
from planet_async.cli.describe_tasking import order_line, order_panel, orders_table
from planet_async.cli.options import ChangesFile, Name, PageSize, Timeout, one_of
from planet_async.cli.output import Json, print_json_line, state_text, stdout, wants_json
from planet_async.cli.progress import Board
from planet_async.cli.run import about, complain, one_line, with_planet
from planet_async.cli.show import act_on_each, distinct_ids, requests_in, show_list, show_one

OrderId = Annotated[str, typer.Argument(metavar="ID", help="The id of a tasking order.")]
OrderIds = Annotated[list[str], typer.Argument(metavar="ID", help="The ids of tasking orders.")]
Moment = Annotated[str | None, typer.Option(metavar="TIME", help="A time like 2026-01-01T00:00:00Z.")]
_STATUSES = [
    *("REQUESTED", "RECEIVED", "PENDING", "IN_PROGRESS", "FINALIZING", "PENDING_CANCELLATION"),
    *("FULFILLED", "CANCELLED", "REJECTED", "EXPIRED", "FAILED"),
]


def create(
    context: typer.Context,
    files: Annotated[
        list[str], typer.Argument(metavar="REQUEST.json", help="Tasking orders; - is standard input.")
    ],
    json: Json = False,
) -> None:
    """Place tasking orders, each as a JSON file describes it.

    All files are checked before the first order is placed.

    [dim]planet-async tasking create harbour.json[/]
    """
    act_on_each(
        context,
        requests_in(files, TaskingOrderRequest),
        lambda planet, request: planet.tasking.create(request.body),
        order_line,
        json=json,
    )


def get(context: typer.Context, order_id: OrderId, json: Json = False) -> None:
    """Show a tasking order.

    [dim]planet-async tasking get 4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11 | jq .status[/]
    """
    show_one(context, lambda planet: planet.tasking.get(order_id), order_panel, json=json)


def list_(
    context: typer.Context,
    *,
    status: Annotated[list[str] | None, one_of("With this status", _STATUSES)] = None,
    name: Name = None,
    name_contains: Annotated[
        str | None, typer.Option(help="With this text in the name, in any case.")
    ] = None,
    created_after: Moment = None,
    created_before: Moment = None,
    updated_after: Moment = None,
    updated_before: Moment = None,
    ordering: Annotated[
        str | None, typer.Option(metavar="FIELD", help="Sort by this field; -FIELD: the last first.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", "--limit-items", min=1, metavar="N", help="Show at most N.")
    ] = None,
    page_size: PageSize = None,
    offset: Annotated[int | None, typer.Option(min=0, metavar="N", help="Leave out so many.")] = None,
    json: Json = False,
) -> None:
    """List tasking orders, the oldest first. As JSON: one order a line.

    [dim]planet-async tasking list --status PENDING --status IN_PROGRESS --limit 20[/]

    [dim]planet-async tasking list --name-contains harbour | jq -r .id[/]
    """
    show_list(
        context,
        lambda planet: planet.tasking.list(
            status__in=status or None,
            name=name,
            name__icontains=name_contains,
            created_time__gt=created_after,
            created_time__lt=created_before,
            updated_time__gt=updated_after,
            updated_time__lt=updated_before,
            ordering=ordering,
            limit=page_size,
            offset=offset,
        ),
        orders_table,
        limit=limit,
        json=json,
    )


def update(
    context: typer.Context,
    order_id: OrderId,
    file: ChangesFile,
    json: Json = False,
) -> None:
    """Change the name or the times of a tasking order.

    [dim]planet-async tasking update 4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11 changes.json[/]
    """
    (changes,) = requests_in([file], TaskingOrderChanges)
    show_one(context, lambda planet: planet.tasking.update(order_id, changes.body), order_panel, json=json)


def cancel(context: typer.Context, order_ids: OrderIds, json: Json = False) -> None:
    """Cancel tasking orders that can be cancelled still.

    [dim]planet-async tasking cancel 4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11[/]
    """
    act_on_each(
        context,
        distinct_ids(order_ids, "order"),
        lambda planet, order_id: planet.tasking.cancel(order_id),
        order_line,
        json=json,
    )


def wait(context: typer.Context, order_ids: OrderIds, timeout: Timeout = None, json: Json = False) -> None:
    """Wait until tasking orders are finished; exit code 1 if one is not FULFILLED or takes too long.

    That takes days.  As JSON: a line for each order, as it finishes.

    [dim]planet-async tasking wait 4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11 --timeout 86400[/]
    """
    ids = distinct_ids(order_ids, "order")

    async def work(planet: Planet) -> bool:
        finished: list[TaskingOrder] = []
        problems: list[str] = []
        as_json = wants_json(json)
        with Board() as board:
            waiting = board.step("Waiting for orders", len(ids))
            async for outcome in planet.tasking.wait_many(ids, timeout=timeout):
                order, error = outcome.value, outcome.error
                if as_json:
                    print_json_line(_document(outcome.id, order, None if error is None else one_line(error)))
                if order is None:
                    problems.append(about(outcome.id, error or "no outcome"))
                    waiting.advance(state_text("error"))
                    continue
                finished.append(order)
                waiting.advance(state_text(order.status))
                if order.status != "FULFILLED":
                    problems.append(f"order {order.id} is {order.status}")
        if not as_json:
            stdout().print(orders_table(finished))
        for problem in problems:
            complain(problem)
        return not problems

    with_planet(context, work)


def _document(order_id: str, order: TaskingOrder | None, error: str | None) -> dict[str, object]:
    return {
        "id": order_id,
        "name": order and order.name,
        "status": order and order.status,
        "error": error,
    }
