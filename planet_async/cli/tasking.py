"""The commands `planet-async tasking`."""

from typing import Annotated

import typer

from planet_async import (
    Capture,
    ImagingWindow,
    ImagingWindowRequest,
    Outcome,
    Planet,
    Pricing,
    PricingFailure,
    PricingPreview,
    PricingRequest,
    TaskingOrder,
    TaskingOrderChanges,
    TaskingOrderRequest,
    TaskingStatus,
)
from planet_async.cli.input import id_argument, ids_argument, read_id, read_request, read_requests, uuid_of
from planet_async.cli.options import (
    INTERVAL,
    REQUESTS,
    AnyPageSize,
    ChangesFile,
    Filters,
    Limit,
    Name,
    NameContains,
    Ordering,
    Requests,
    Timeout,
    ends,
    option,
    parse_filters,
    period_option,
    state_option,
)
from planet_async.cli.output import (
    TABLE,
    Format,
    Formats,
    GeoFormats,
    View,
    measure,
    percent,
    print_document,
    print_error,
    print_panel,
    print_table,
    stderr,
    type_of,
)
from planet_async.cli.runner import (
    Results,
    act_on_each,
    create_each,
    named,
    show_list,
    show_one,
    wait_for_each,
    with_planet,
)


def _cancellable(order: TaskingOrder) -> str | None:
    if order.is_cancellable and order.cancellable_until:
        return f"yes, until {order.cancellable_until:%Y-%m-%d %H:%M}"
    return None if order.is_cancellable is None else "yes" if order.is_cancellable else "no"


VIEW = View[TaskingOrder](
    "orders",
    columns={"id": "id", "status": "status", "created (UTC)": "created_time", "name": "name"},
    title=lambda order: order.name,
    facts={
        "id": "id",
        "status": "status",
        "created": "created_time",
        "updated": "updated_time",
        "from": "start_time",
        "to": "end_time",
        "scheduling": "scheduling_type",
        "PL number": "pl_number",
        "product": "product",
        "geometry": lambda order: type_of(order.original_geometry or order.geometry),
        "area": lambda order: measure(order.requested_sqkm, " km²"),
        "imaged": lambda order: measure(order.fulfilled_sqkm, " km²"),
        "cost": lambda order: measure(order.estimated_quota_cost, " of quota"),
        "captures": "capture_count",
        "published": "capture_status_published_count",
        "cancellable": _cancellable,
    },
    geometry=lambda order: order.raw.get("original_geometry") or order.raw.get("geometry"),
)
WINDOWS = View[ImagingWindow](
    "imaging windows",
    columns={
        "id": "id",
        "from (UTC)": "start_time",
        "to (UTC)": "end_time",
        "satellite": "satellite_type",
        "off nadir, at most": lambda window: measure(window.off_nadir_angle_max, "°"),
    },
)
CAPTURES = View[Capture](
    "captures",
    columns={
        "id": "id",
        "status": "status",
        "acquired (UTC)": lambda capture: capture.acquired_time or capture.planned_acquisition_time,
        "clouds": lambda capture: percent(capture.cloud_cover),
        "fulfilling": "fulfilling",
        "items": "item_ids",
    },
)

_order_id = uuid_of("order")
OrderId = Annotated[str, id_argument("a tasking order", _order_id)]
OrderIds = Annotated[list[str], ids_argument("tasking orders", _order_id)]


def create(context: typer.Context, requests: Requests, form: Formats = TABLE) -> None:
    """Place tasking orders from JSON requests.

    All requests are checked before the first order is placed.

    [dim]planet-async tasking create harbour.json[/]
    """
    create_each(
        context,
        requests,
        TaskingOrderRequest,
        lambda planet, body: planet.tasking.create(body),
        VIEW,
        listing="tasking list --name {}",
        form=form,
    )


def get(context: typer.Context, order_id: OrderId, form: Format = TABLE) -> None:
    """Show a tasking order.

    [dim]planet-async tasking get 4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11 --json | jq .status[/]
    """
    show_one(context, lambda planet: planet.tasking.get(order_id), VIEW, form=form)


def list_(
    context: typer.Context,
    *,
    status: Annotated[list[TaskingStatus] | None, state_option("In this state", TaskingStatus)] = None,
    name: Name = None,
    name_contains: NameContains = None,
    created: Annotated[str | None, period_option(f"Created then. {INTERVAL}")] = None,
    updated: Annotated[str | None, period_option("Updated then; as --created.")] = None,
    ordering: Ordering = None,
    filters: Filters = None,
    limit: Limit = None,
    page_size: AnyPageSize = None,
    offset: Annotated[int | None, typer.Option(min=0, metavar="N", help="Skip the first N.")] = None,
    form: GeoFormats = TABLE,
) -> None:
    """List tasking orders, oldest first.

    [dim]planet-async tasking list --state PENDING --state IN_PROGRESS --limit 20[/]

    [dim]planet-async tasking list --created 7d --name-contains harbour --format ids[/]
    """
    others = parse_filters(filters)
    created_from, created_to = ends(created, "--created")
    updated_from, updated_to = ends(updated, "--updated")
    show_list(
        context,
        lambda planet: planet.tasking.list(
            status__in=status or None,
            name=name,
            name__icontains=name_contains,
            created_time__gte=created_from,
            created_time__lt=created_to,
            updated_time__gte=updated_from,
            updated_time__lt=updated_to,
            ordering=ordering or None,
            filters=others,
            page_size=page_size,
            offset=offset,
        ),
        VIEW,
        limit=limit,
        form=form,
    )


def update(context: typer.Context, order_id: OrderId, file: ChangesFile, form: Format = TABLE) -> None:
    """Change the name or the times of a tasking order.

    [dim]planet-async tasking update 4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11 changes.json[/]
    """
    changes = read_request(file, TaskingOrderChanges)
    show_one(context, lambda planet: planet.tasking.update(order_id, changes.body), VIEW, form=form)


def cancel(context: typer.Context, order_ids: OrderIds, form: Formats = TABLE) -> None:
    """Cancel tasking orders, where they still can be cancelled.

    [dim]planet-async tasking cancel 4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11[/]
    """
    act_on_each(context, order_ids, lambda planet, id_: planet.tasking.cancel(id_), VIEW, form=form)


def wait(context: typer.Context, order_ids: OrderIds, timeout: Timeout = None, form: Formats = TABLE) -> None:
    """Wait until tasking orders are finished; exit code 1 if one is not FULFILLED or takes too long.

    That takes days. As JSON and CSV, each order is printed as it finishes.

    [dim]planet-async tasking wait 4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11 --timeout 86400[/]
    """
    results = Results(("id", "state", "name"), form)

    def add(outcome: Outcome[TaskingOrder]) -> str | None:
        return results.add_outcome(outcome, lambda order: order.status is TaskingStatus.FULFILLED)

    wait_for_each(
        context,
        "orders",
        order_ids,
        lambda planet: planet.tasking.wait_many(order_ids, timeout=timeout),
        results=results,
        add=add,
    )


def pricing(
    context: typer.Context,
    order_id: Annotated[str | None, id_argument("an order that was placed", _order_id)] = None,
    preview: Annotated[
        list[str] | None, option("REQUEST.json", "Price orders without placing them. Repeatable.")
    ] = None,
    form: Format = TABLE,
) -> None:
    """Show what an order costs, or would cost.

    [dim]planet-async tasking pricing 4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11[/]

    [dim]planet-async tasking pricing --preview harbour.json --preview coast.json[/]
    """
    if (order_id is None) == (not preview):
        raise typer.BadParameter("pass the id of an order, or --preview with requests")
    if order_id is not None:
        id_ = order_id
        show_one(context, lambda planet: planet.tasking.pricing(id_), _print_price, form=form)
    else:
        _preview(context, preview or [], form)


def _print_price(pricing: Pricing) -> None:
    model = pricing.pricing_model
    facts: dict[str, object] = {
        "cost": measure(pricing.estimated_quota_cost, f" {pricing.units}"),
        "determined by": pricing.determined_by,
        "base price": model.base_price if model else None,
    }
    for each in model.multipliers if model else ():
        facts[each.name] = f"x {measure(each.value, '')} {each.description}"
    replaced = [f"{each.order_id} {each.name} {measure(each.cost, '')}" for each in pricing.replaced_orders]
    print_panel(f"order {pricing.order_id}", {**facts, "replaces": "; ".join(replaced)})


def _preview(context: typer.Context, sources: list[str], form: str) -> None:
    requests = read_requests(sources, PricingRequest)
    names = [request.where for request in requests]

    async def work(planet: Planet) -> bool:
        found = await planet.tasking.preview_pricing_many([request.body for request in requests])
        if form != TABLE:
            print_document(found.raw, form)
        else:
            _print_preview(found, names)
        failures = [
            (name, price)
            for name, price in zip(names, found.pricing_details, strict=True)
            if isinstance(price, PricingFailure)
        ]
        for name, failure in failures:
            print_error(f"{name}: {failure.error}")
        return not failures

    with_planet(context, work)


def _print_preview(preview: PricingPreview, names: list[str]) -> None:
    rows = [
        (None, None, name)
        if isinstance(price, PricingFailure)
        else (price.estimated_quota_cost, price.units, name)
        for name, price in zip(names, preview.pricing_details, strict=True)
    ]
    total = (preview.total_estimated_quota_cost, None, "total")
    print_table(("cost", "units", "request"), [*rows, total])


def windows(
    context: typer.Context,
    request: Annotated[str, typer.Argument(metavar="REQUEST.json", help=REQUESTS)],
    timeout: Timeout = None,
    form: Formats = TABLE,
) -> None:
    """Search for the times in which a satellite can image a place.

    The request holds geometry, pl_number, product, ... The id of a window goes into an ASSURED order, as its
    imaging_window.

    [dim]planet-async tasking windows harbour.json --format ids[/]
    """
    found = read_request(request, ImagingWindowRequest)

    async def work(planet: Planet) -> bool:
        with stderr().status("Searching"):
            search = await planet.tasking.search_imaging_windows(found.body, timeout=timeout)
        WINDOWS.print(search.imaging_windows, form)
        return True

    with_planet(context, work)


def captures(
    context: typer.Context,
    *,
    order_id: Annotated[str | None, option("ID", "Of this order.")] = None,
    fulfilling: Annotated[
        bool | None,
        typer.Option("--fulfilling/--not-fulfilling", help="That count towards their order, or do not."),
    ] = None,
    filters: Filters = None,
    limit: Limit = None,
    page_size: AnyPageSize = None,
    form: Formats = TABLE,
) -> None:
    """List the images taken or to be taken, for an order or for all.

    [dim]planet-async tasking captures --order-id 4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11[/]
    """
    id_ = read_id(order_id, _order_id)
    others = parse_filters(filters)
    show_list(
        context,
        lambda planet: planet.tasking.list_captures(
            order_id=id_, fulfilling=fulfilling, filters=others, page_size=page_size
        ),
        CAPTURES,
        limit=limit,
        form=form,
    )


COMMANDS = named(create, get, list_, update, cancel, wait, pricing, windows, captures)
