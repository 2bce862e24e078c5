"""The commands `planet-async quota`."""

from typing import Annotated

import typer

from planet_async import Amount, QuotaEstimate, QuotaJob, QuotaProduct, Reservation, ReservedQuota
from planet_async.cli.input import id_argument, number_of, read_ids
from planet_async.cli.options import (
    INTERVAL,
    Filters,
    Limit,
    PageSize,
    Sort,
    ends,
    option,
    parse_filters,
    period_option,
)
from planet_async.cli.output import TABLE, Format, Formats, View, measure, print_table
from planet_async.cli.runner import confirm, named, show_list, show_one


def _amount(amount: Amount | None) -> str | None:
    return None if amount is None else measure(amount.value, f" {amount.unit}")


PRODUCTS = View[QuotaProduct](
    "products",
    columns={
        "id": lambda product: str(product.id),
        "reservable": "supports_reservation",
        "total": lambda product: _amount(product.quota_total),
        "used": lambda product: _amount(product.quota_used),
        "name": "title",
    },
)
RESERVATIONS = View[Reservation](
    "reservations",
    columns={
        "id": lambda reservation: str(reservation.id),
        "state": "state",
        "amount": lambda reservation: _amount(reservation.amount),
        "created (UTC)": "created_at",
        "area": "aoi_ref",
    },
    title=lambda reservation: f"reservation {reservation.id}",
    facts={
        "state": "state",
        "amount": lambda reservation: _amount(reservation.amount),
        "area": "aoi_ref",
        "product": lambda reservation: reservation.product_id and str(reservation.product_id),
        "created": "created_at",
        "updated": "updated_at",
    },
)
JOBS = View[QuotaJob](
    "jobs",
    columns={
        "id": lambda job: str(job.id),
        "status": "status",
        "processed": "processed_items",
        "of": "total_items",
        "collection": "collection_id",
    },
    title=lambda job: f"job {job.id}",
    facts={
        "status": "status",
        "processed": "processed_items",
        "of": "total_items",
        "all reserved": "is_complete",
        "collection": "collection_id",
    },
)


def _references(values: list[str] | None) -> list[str] | None:
    return read_ids(values, str) if values else None


Product = Annotated[int, option("ID", "A product of yours: see `quota products`.", "--product-id")]
Areas = Annotated[
    list[str] | None,
    typer.Option(
        "--aoi-ref",
        metavar="REF",
        callback=_references,
        help="A feature: pl:features/my/..., or - for those on standard input. Repeatable.",
    ),
]
Collection = Annotated[str | None, option("REF", "All features of this collection.", "--collection-id")]
State = Annotated[str | None, option("STATE", "In this state: reserved, pending, ...")]
Created = Annotated[str | None, period_option(f"Created then. {INTERVAL}")]
_QUESTION = "A reservation spends quota, and cannot be undone. Reserve?"
AgreedTo = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before quota is spent.")]
ReservationId = Annotated[str, id_argument("a reservation", number_of("reservation"))]
JobId = Annotated[str, id_argument("a job", number_of("job"))]


def products(
    context: typer.Context,
    *,
    supports_reservation: Annotated[
        bool | None,
        typer.Option("--reservable/--not-reservable", help="Quota of which can be reserved, or not."),
    ] = None,
    limit: Limit = None,
    page_size: PageSize = 500,
    form: Formats = TABLE,
) -> None:
    """List the products of the organization, with what is used of their quota.

    [dim]planet-async quota products --reservable[/]
    """
    show_list(
        context,
        lambda planet: planet.quota.products(supports_reservation=supports_reservation, page_size=page_size),
        PRODUCTS,
        limit=limit,
        form=form,
    )


def estimate(
    context: typer.Context,
    *,
    product_id: Product,
    aoi_ref: Areas = None,
    collection_id: Collection = None,
    form: Format = TABLE,
) -> None:
    """Show what a reservation would cost.

    [dim]planet-async quota estimate --product-id 123 --aoi-ref pl:features/my/fields-4xkQ1/7[/]

    [dim]planet-async features items add fields-4xkQ1 fields.geojson | planet-async quota estimate
    --product-id 123 --aoi-ref -[/]
    """
    show_one(
        context,
        lambda planet: planet.quota.estimate(product_id, aoi_ref or None, collection=collection_id),
        _print_estimate,
        form=form,
    )


def _print_estimate(estimate: QuotaEstimate) -> None:
    rows = [(_amount(each.cost), each.reserved, each.aoi_ref) for each in estimate.estimated_costs]
    print_table(("cost", "reserved", "area"), [*rows, (_amount(estimate.total_cost), None, "total")])
    print_table(("left before it",), [(_amount(estimate.quota_remaining),)])


def reserve(
    context: typer.Context,
    *,
    product_id: Product,
    aoi_ref: Areas = None,
    collection_id: Collection = None,
    yes: AgreedTo = False,
    form: Format = TABLE,
) -> None:
    """Reserve quota for areas. That spends it, and cannot be undone; `quota estimate` says how much.

    [dim]planet-async quota reserve --product-id 123 --aoi-ref pl:features/my/fields-4xkQ1/7 --yes[/]
    """
    confirm("a reservation", _QUESTION, yes)
    show_one(
        context,
        lambda planet: planet.quota.reserve(product_id, aoi_ref or None, collection=collection_id),
        _print_reserved,
        form=form,
    )


def _print_reserved(reserved: ReservedQuota) -> None:
    RESERVATIONS.print(reserved.quota_reservations)
    print_table(("used", "left"), [(_amount(reserved.quota_used), _amount(reserved.quota_remaining))])


def reserve_bulk(
    context: typer.Context,
    *,
    product_id: Product,
    aoi_ref: Areas = None,
    collection_id: Collection = None,
    yes: AgreedTo = False,
    form: Format = TABLE,
) -> None:
    """Start a job that reserves quota for many areas. That spends it, and cannot be undone.

    [dim]planet-async quota reserve-bulk --product-id 123 --collection-id pl:features/my/fields-4xkQ1 --yes[/]
    """
    confirm("a reservation", _QUESTION, yes)
    show_one(
        context,
        lambda planet: planet.quota.reserve_bulk(product_id, aoi_ref or None, collection=collection_id),
        JOBS,
        form=form,
    )


def _filters(others: list[str] | None, created: str | None, **state: str | None) -> dict[str, object]:
    start, end = ends(created, "--created")
    named = {**state, "created_at__gte": start, "created_at__lt": end}
    return {**{name: value for name, value in named.items() if value is not None}, **parse_filters(others)}


def list_(
    context: typer.Context,
    *,
    state: State = None,
    created: Created = None,
    sort: Sort = None,
    filters: Filters = None,
    limit: Limit = None,
    page_size: PageSize = 500,
    form: Formats = TABLE,
) -> None:
    """List the reservations of the organization.

    [dim]planet-async quota list --state reserved --created 30d --sort -created_at[/]
    """
    others = _filters(filters, created, state=state)
    show_list(
        context,
        lambda planet: planet.quota.list(filters=others, sort=sort, page_size=page_size),
        RESERVATIONS,
        limit=limit,
        form=form,
    )


def get(context: typer.Context, reservation_id: ReservationId, form: Format = TABLE) -> None:
    """Show a reservation.

    [dim]planet-async quota get 100[/]
    """
    show_one(context, lambda planet: planet.quota.get(int(reservation_id)), RESERVATIONS, form=form)


def jobs(
    context: typer.Context,
    *,
    state: State = None,
    created: Created = None,
    sort: Sort = None,
    filters: Filters = None,
    limit: Limit = None,
    page_size: PageSize = 500,
    form: Formats = TABLE,
) -> None:
    """List the jobs that reserve quota.

    [dim]planet-async quota jobs --state pending[/]
    """
    others = _filters(filters, created, status=state)
    show_list(
        context,
        lambda planet: planet.quota.jobs(filters=others, sort=sort, page_size=page_size),
        JOBS,
        limit=limit,
        form=form,
    )


def get_job(context: typer.Context, job_id: JobId, form: Format = TABLE) -> None:
    """Show a job. One that is completed may have reserved only a part of its areas.

    [dim]planet-async quota get-job 8016[/]
    """
    show_one(context, lambda planet: planet.quota.get_job(int(job_id)), JOBS, form=form)


COMMANDS = named(products, estimate, reserve, reserve_bulk, list_, get, jobs, get_job)
