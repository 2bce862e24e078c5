"""`tasking create`, `get`, `list`, `update`, `cancel` and `wait`."""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from planet_async import (
    Capture,
    ImagingWindow,
    ImagingWindowRequest,
    Planet,
    Pricing,
    PricingFailure,
    PricingPreview,
    PricingRequest,
    TaskingOrder,
    TaskingOrderChanges,
    TaskingOrderRequest,
)
from planet_async.cli.output import (
    Json,
    ProgressDisplay,
    clean,
    listing,
    panel,
    print_json,
    print_json_line,
    state_text,
    stderr,
    stdout,
    table,
    time_text,
    wants_json,
)
from planet_async.cli.runner import (
    ChangesFile,
    Limit,
    Name,
    PageSize,
    Timeout,
    about,
    act_on_each,
    distinct_ids,
    one_line,
    one_of,
    print_error,
    requests_in,
    show_list,
    show_one,
    with_planet,
)


def order_line(order: TaskingOrder) -> Text:
    """Give an order in one line."""
    return Text.assemble((clean(order.id), "bold"), "  ", state_text(order.status), "  ", clean(order.name))


def orders_table(orders: Sequence[TaskingOrder]) -> RenderableType:
    """Give orders as a table."""
    rows = [
        (clean(order.id), state_text(order.status), time_text(order.created_time), clean(order.name))
        for order in orders
    ]
    return listing("orders", ("id", "status", "created (UTC)", "name"), rows)


def order_panel(order: TaskingOrder) -> RenderableType:
    """Give one order with all that matters of it."""
    shape = (order.original_geometry or order.geometry or {}).get("type")
    return panel(
        order.name,
        (
            ("id", clean(order.id)),
            ("status", state_text(order.status)),
            ("created", time_text(order.created_time)),
            ("changed", time_text(order.updated_time)),
            ("from", time_text(order.start_time)),
            ("to", time_text(order.end_time)),
            ("scheduling", order.scheduling_type or ""),
            ("PL number", order.pl_number or ""),
            ("product", order.product or ""),
            ("of", str(shape or "")),
            ("area", _number(order.requested_sqkm, " km²")),
            ("imaged", _number(order.fulfilled_sqkm, " km²")),
            ("cost", _number(order.estimated_quota_cost, " of quota")),
            ("captures", _number(order.capture_count)),
            ("published", _number(order.capture_status_published_count)),
            ("cancellable", _cancellable(order)),
        ),
    )


def pricing_panel(pricing: Pricing) -> RenderableType:
    """Give the price of one order, and how it comes about."""
    model = pricing.pricing_model
    facts = [
        ("cost", f"{_number(pricing.estimated_quota_cost)} {pricing.units}"),
        ("determined by", pricing.determined_by),
        ("base price", _number(model.base_price if model else None)),
    ]
    facts += [
        (each.name, f"x {_number(each.value)} {each.description}")
        for each in (model.multipliers if model else ())
    ]
    facts += [
        ("replaces", f"{each.order_id} {each.name} {_number(each.cost)}") for each in pricing.replaced_orders
    ]
    return panel(f"order {pricing.order_id}", [(clean(name), fact) for name, fact in facts])


def preview_table(preview: PricingPreview, sources: Sequence[str]) -> RenderableType:
    """Give what orders would cost, by their files."""
    rows = [
        (clean(source), *(("-", "") if isinstance(price, PricingFailure) else _cost(price)))
        for source, price in zip(sources, preview.pricing_details, strict=True)
    ]
    rows.append(("total", _number(preview.total_estimated_quota_cost), ""))
    made = table(("request", "cost", "units"), rows)
    made.columns[1].justify = "right"
    return made


def windows_table(windows: Sequence[ImagingWindow]) -> RenderableType:
    """Give imaging windows as a table."""
    rows = [
        (
            clean(window.id),
            time_text(window.start_time),
            time_text(window.end_time),
            clean(window.satellite_type or ""),
            _number(window.off_nadir_angle_max, "°"),
        )
        for window in windows
    ]
    columns = ("id", "from (UTC)", "to (UTC)", "satellite", "off nadir, at most")
    return listing("imaging windows", columns, rows, whole=(0, 1, 2))


def captures_table(captures: Sequence[Capture]) -> RenderableType:
    """Give captures as a table."""
    rows = [
        (
            clean(capture.id),
            state_text(capture.status),
            time_text(capture.acquired_time or capture.planned_acquisition_time),
            "" if capture.cloud_cover is None else f"{capture.cloud_cover:.0%}",
            "" if capture.fulfilling is None else "yes" if capture.fulfilling else "no",
            clean(", ".join(capture.item_ids or ())),
        )
        for capture in captures
    ]
    return listing("captures", ("id", "status", "acquired (UTC)", "clouds", "fulfilling", "items"), rows)


def _cost(price: Pricing) -> tuple[str, str]:
    return _number(price.estimated_quota_cost), clean(price.units)


def _cancellable(order: TaskingOrder) -> str:
    if order.is_cancellable is None:
        return ""
    until = f" until {time_text(order.cancellable_until)}" if order.cancellable_until else ""
    return f"yes{until}" if order.is_cancellable else "no"


def _number(value: float | None, unit: str = "") -> str:
    return "" if value is None else f"{value:,.6g}{unit}"


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
            page_size=page_size,
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
        with ProgressDisplay() as board:
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
            print_error(problem)
        return not problems

    with_planet(context, work)


def _document(order_id: str, order: TaskingOrder | None, error: str | None) -> dict[str, object]:
    return {
        "id": order_id,
        "name": order and order.name,
        "status": order and order.status,
        "error": error,
    }


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
                print_error(f"{source}: {price.error}")
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
