"""The commands `planet-async subscriptions`."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Annotated, Any

import typer
from attrs import asdict

from planet_async import Planet
from planet_async.cli.catalog import complete_item_type, item_types
from planet_async.cli.input import (
    id_argument,
    ids_argument,
    print_request,
    read_geometry,
    read_object,
    read_objects,
    read_request,
    read_requests,
    uuid_of,
)
from planet_async.cli.options import (
    INTERVAL,
    SOURCE,
    ChangesFile,
    CollectionId,
    CreateConfiguration,
    DestinationRef,
    Host,
    Hosting,
    JsonFilter,
    Limit,
    Name,
    NameContains,
    Requests,
    SortSubscriptions,
    SubscriptionsPageSize,
    Timeout,
    UserId,
    Yes,
    choice,
    geometry_option,
    option,
    period_option,
    state_option,
    time_option,
    words,
)
from planet_async.cli.output import (
    CSV,
    TABLE,
    Format,
    Formats,
    View,
    print_csv,
    print_document,
    print_json,
    print_table,
    state_text,
    stdout,
    type_of,
)
from planet_async.cli.process import reporting
from planet_async.cli.runner import (
    Results,
    act_on_each,
    confirm_bulk,
    create_each,
    hosting_of,
    named,
    show_list,
    show_one,
    wait_for_each,
    with_planet,
)
from planet_async.models.codec import checked_body
from planet_async.models.subscription_request import SubscriptionRequest
from planet_async.models.subscriptions import (
    ResultsSummary,
    ResultStatus,
    Subscription,
    SubscriptionResult,
    SubscriptionsSummary,
    SubscriptionStatus,
)
from planet_async.services._csv import CsvRows
from planet_async.services.filters import ResultFilters


def _parameter(*names: str) -> Callable[[Subscription], object]:
    """Return a function for the first of these parameters that the source of a subscription has."""

    def find(subscription: Subscription) -> object:
        parameters = subscription.source.get("parameters")
        values = [parameters.get(name) for name in names] if isinstance(parameters, Mapping) else []
        return next((value for value in values if value), None)

    return find


def _hints(subscription: Subscription) -> str:
    hints = {
        name: ", ".join(map(str, hint)) if isinstance(hint, list) else hint
        for name, hint in subscription.error_hints.items()
    }
    return "; ".join(f"{name}: {hint}" for name, hint in hints.items())


VIEW = View[Subscription](
    "subscriptions",
    columns={
        "id": "id",
        "status": "status",
        "created (UTC)": "created",
        "source": lambda subscription: type_of(subscription.source),
        "name": "name",
    },
    title=lambda subscription: subscription.name,
    facts={
        "id": "id",
        "status": "status",
        "created": "created",
        "updated": "updated",
        "source": lambda subscription: type_of(subscription.source),
        "items": _parameter("item_types", "id"),
        "assets": _parameter("asset_types"),
        "from": _parameter("start_time"),
        "to": _parameter("end_time"),
        "tools": lambda subscription: map(type_of, subscription.tools),
        "delivery": lambda subscription: type_of(subscription.delivery),
        "hosting": lambda subscription: type_of(subscription.hosting),
        "error hints": _hints,
    },
)
# Without the links to the files: these need no key.
RESULTS = View[SubscriptionResult](
    "results",
    columns={
        "id": "id",
        "status": "status",
        "created (UTC)": "created",
        "files": lambda result: len(result.outputs),
        "item": "item_id",
    },
)

_subscription_id = uuid_of("subscription")
SubscriptionId = Annotated[str, id_argument("a subscription", _subscription_id)]
SubscriptionIds = Annotated[list[str], ids_argument("subscriptions", _subscription_id)]
Area = Annotated[str, geometry_option]
StartTime = Annotated[str, time_option("The beginning: 2026-01-01, 2026-01-01T12:00:00Z, or 7d ago.")]
EndTime = Annotated[str | None, time_option("The end; without it, it goes on for ever.")]
AnyIds = Annotated[list[str] | None, ids_argument("subscriptions", _subscription_id)]
All = Annotated[bool, typer.Option("--all", help="All of yours, in one request.")]
Bulk = Annotated[
    bool, typer.Option("--bulk", help="In one request, which the API accepts at once and acts on later.")
]


def create(context: typer.Context, requests: Requests, form: Formats = TABLE) -> None:
    """Create subscriptions from JSON requests.

    All requests are checked before the first subscription is created.

    [dim]planet-async subscriptions create field-7.json field-8.json[/]
    """
    create_each(
        context,
        requests,
        SubscriptionRequest,
        lambda planet, body: planet.subscriptions.create(body),
        VIEW,
        listing="subscriptions list --name {}",
        form=form,
    )


def create_bulk(context: typer.Context, requests: Requests, form: Formats = TABLE) -> None:
    """Create a subscription for each feature of a collection, with one request; list those made so far.

    The geometry of its source is a reference to the collection: pl:features/my/fields. Beta at Planet.

    [dim]planet-async subscriptions create-bulk fields.json[/]
    """
    found = [request.body for request in read_requests(requests, SubscriptionRequest)]
    show_list(context, lambda planet: planet.subscriptions.create_bulk(found), VIEW, limit=None, form=form)


def request(
    *,
    name: Annotated[str, option("NAME", "A name of its own.")],
    source: Annotated[str, option("JSON", f"As request-catalog and request-source print it. {SOURCE}")],
    delivery: Annotated[str | None, option("JSON", f"To a cloud. {SOURCE}")] = None,
    notifications: Annotated[str | None, option("JSON", f"A webhook. {SOURCE}")] = None,
    tools: Annotated[str | None, option("JSON", f"The tools. {SOURCE}")] = None,
    clip_to_source: Annotated[
        bool, typer.Option("--clip-to-source", help="Clip to the geometry of the source.")
    ] = False,
    hosting: Host = None,
    collection_id: CollectionId = None,
    create_configuration: CreateConfiguration = False,
) -> None:
    """Print the request for a subscription, for `subscriptions create`. Nothing is sent.

    [dim]planet-async subscriptions request-catalog --item-types PSScene --asset-types ortho_visual
    --geometry field.geojson --start-time 2026-01-01 | planet-async subscriptions request
    --name field-7 --source - --hosting sentinel_hub[/]
    """
    chosen = read_objects(tools)
    if clip_to_source:
        chosen.append({"type": "clip", "parameters": {}})
    host = hosting_of(hosting, collection_id, create_configuration)
    blocks: dict[str, Any] = {
        "source": read_object(source),
        "tools": chosen,
        "delivery": read_object(delivery),
        "notifications": read_object(notifications),
        "hosting": hosting and {"type": hosting, "parameters": host[hosting]},
    }
    print_request(SubscriptionRequest, {"name": name, **{key: each for key, each in blocks.items() if each}})


def request_catalog(
    *,
    item_types: Annotated[str, option("TYPES", "PSScene, or a comma list.", complete=complete_item_type)],
    asset_types: Annotated[str, option("TYPES", "ortho_analytic_4b, or a comma list.")],
    geometry: Area,
    start_time: StartTime,
    end_time: EndTime = None,
    rrule: Annotated[str | None, option("RRULE", "The months: FREQ=MONTHLY;BYMONTH=3,4,5.")] = None,
    filter_: JsonFilter = None,
    publishing_stage: Annotated[
        list[str] | None, option("STAGE", "preview, standard or finalized. Repeatable.")
    ] = None,
    time_range_type: Annotated[
        str | None, option("TYPE", "Whether the times are acquired or published ones.")
    ] = None,
    geometry_relation: Annotated[
        str | None, choice("RELATION", "How items lie to the area: ", "intersects", "contains", "within")
    ] = None,
) -> None:
    """Print the source of a subscription to scenes, for `subscriptions request`. Nothing is sent.

    [dim]planet-async subscriptions request-catalog --item-types PSScene --asset-types ortho_visual
    --geometry field.geojson --start-time 2026-01-01[/]
    """
    print_source(
        "catalog",
        item_types=words(item_types, "--item-types"),
        asset_types=words(asset_types, "--asset-types"),
        geometry=read_geometry(geometry),
        start_time=start_time,
        end_time=end_time,
        rrule=rrule,
        filter=read_object(filter_),
        publishing_stages=publishing_stage or None,
        time_range_type=time_range_type,
        geometry_relation=geometry_relation,
    )


def request_source(
    *,
    source_id: Annotated[str, option("ID", "The product: SWC-AMSR2-C_V1.0_100, ...")],
    geometry: Area,
    start_time: StartTime,
    end_time: EndTime = None,
) -> None:
    """Print the source of a subscription to a planetary variable, for `subscriptions request`.

    Nothing is sent.

    [dim]planet-async subscriptions request-source --source-id SWC-AMSR2-C_V1.0_100
    --geometry field.geojson --start-time 2026-01-01[/]
    """
    print_source(
        None,
        id=source_id,
        geometry=read_geometry(geometry),
        start_time=start_time,
        end_time=end_time,
    )


def print_source(type_: str | None, **parameters: object) -> None:
    """Print the source of a subscription, or end the command where the API would refuse it."""
    source: dict[str, Any] = {
        **({"type": type_} if type_ else {}),
        "parameters": {name: value for name, value in parameters.items() if value is not None},
    }
    with reporting():
        whole = {"name": "name", "source": source, "hosting": {"type": "sentinel_hub", "parameters": {}}}
        checked_body(SubscriptionRequest, whole)
        print_json(source)


def get(context: typer.Context, subscription_id: SubscriptionId, form: Format = TABLE) -> None:
    """Show a subscription.

    [dim]planet-async subscriptions get 4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11 --json | jq .status[/]
    """
    show_one(context, lambda planet: planet.subscriptions.get(subscription_id), VIEW, form=form)


def list_(
    context: typer.Context,
    *,
    status: Annotated[
        list[SubscriptionStatus] | None, state_option("In this state", SubscriptionStatus)
    ] = None,
    name: Name = None,
    name_contains: NameContains = None,
    source_type: Annotated[str | None, option("TYPE", "To this: catalog, soil_water_content, ...")] = None,
    created: Annotated[str | None, period_option(f"Created then. {INTERVAL}")] = None,
    updated: Annotated[str | None, period_option("Updated then; as --created.")] = None,
    start_time: Annotated[str | None, period_option("Starting then; as --created.")] = None,
    end_time: Annotated[str | None, period_option("Ending then; as --created.")] = None,
    hosting: Hosting = None,
    geom_ref: Annotated[str | None, option("REF", "For this feature or collection: pl:features/...")] = None,
    destination_ref: DestinationRef = None,
    user_id: UserId = None,
    sort_by: SortSubscriptions = None,
    limit: Limit = None,
    page_size: SubscriptionsPageSize = 500,
    form: Formats = TABLE,
) -> None:
    """List subscriptions, newest first.

    [dim]planet-async subscriptions list --state running --state suspended --limit 20[/]

    [dim]planet-async subscriptions list --created 7d --name-contains field --format ids[/]
    """
    show_list(
        context,
        lambda planet: planet.subscriptions.list(
            status=status or None,
            name=name,
            name__contains=name_contains,
            source_type=source_type,
            created=created,
            updated=updated,
            start_time=start_time,
            end_time=end_time,
            hosting=hosting,
            geom_ref=geom_ref,
            destination_ref=destination_ref,
            user_id=user_id,
            sort_by=sort_by or None,
            page_size=page_size,
        ),
        VIEW,
        limit=limit,
        form=form,
    )


def update(
    context: typer.Context,
    subscription_id: SubscriptionId,
    file: Annotated[
        str,
        typer.Argument(
            metavar="REQUEST.json",
            help="The whole new version: a JSON file, JSON, or - for standard input.",
        ),
    ],
    form: Format = TABLE,
) -> None:
    """Replace a subscription by a new version; what the new version leaves out is removed.

    Where the API shows <REDACTED>, the request needs the secret itself.

    [dim]planet-async subscriptions update 4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11 field-7.json[/]
    """
    request = read_request(file, SubscriptionRequest)
    show_one(
        context,
        lambda planet: planet.subscriptions.update(subscription_id, request.body),
        VIEW,
        form=form,
    )


def patch(
    context: typer.Context, subscription_id: SubscriptionId, file: ChangesFile, form: Format = TABLE
) -> None:
    """Change some fields of a subscription, and keep the others.

    [dim]planet-async subscriptions patch 4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11 name.json[/]
    """
    changes = read_request(file, None)
    show_one(
        context,
        lambda planet: planet.subscriptions.patch(subscription_id, changes.body),
        VIEW,
        form=form,
    )


def cancel(context: typer.Context, subscription_ids: SubscriptionIds, form: Formats = TABLE) -> None:
    """Cancel subscriptions for good.

    [dim]planet-async subscriptions cancel 4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11[/]
    """
    act_on_each(
        context, subscription_ids, lambda planet, id_: planet.subscriptions.cancel(id_), VIEW, form=form
    )


def wait(
    context: typer.Context,
    subscription_ids: SubscriptionIds,
    *,
    state: Annotated[
        SubscriptionStatus, state_option("Wait for this state", SubscriptionStatus, more="")
    ] = SubscriptionStatus.COMPLETED,
    timeout: Timeout = None,
    form: Formats = TABLE,
) -> None:
    """Wait until subscriptions are in a state; exit code 1 if one never will, or takes too long.

    [dim]planet-async subscriptions wait 4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11 --timeout 86400[/]
    """
    found = Results(("id", "state", "name"), form)
    wait_for_each(
        context,
        "subscriptions",
        subscription_ids,
        lambda planet: planet.subscriptions.wait_many(subscription_ids, state, timeout=timeout),
        results=found,
        add=lambda outcome: found.add_outcome(outcome, lambda each: each.status == state),
    )


def suspend(
    context: typer.Context,
    subscription_ids: AnyIds = None,
    *,
    everything: All = False,
    bulk: Bulk = False,
    details: Annotated[str | None, option("TEXT", "Why they are suspended.")] = None,
    yes: Yes = False,
    form: Formats = TABLE,
) -> None:
    """Suspend subscriptions until they are reactivated.

    [dim]planet-async subscriptions suspend 4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11[/]
    """
    confirm_bulk(subscription_ids, everything, yes, "Suspend all your subscriptions?")
    _change(
        context,
        subscription_ids,
        bulk,
        all_=lambda planet: planet.subscriptions.suspend_all(details=details),
        many=lambda planet, ids: planet.subscriptions.suspend_many(ids, details=details),
        one=lambda planet, id_: planet.subscriptions.suspend(id_, details=details),
        form=form,
    )


def reactivate(
    context: typer.Context,
    subscription_ids: AnyIds = None,
    *,
    everything: All = False,
    bulk: Bulk = False,
    yes: Yes = False,
    form: Formats = TABLE,
) -> None:
    """Reactivate suspended subscriptions.

    [dim]planet-async subscriptions reactivate 4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11[/]
    """
    confirm_bulk(subscription_ids, everything, yes, "Reactivate all your subscriptions?")
    _change(
        context,
        subscription_ids,
        bulk,
        all_=lambda planet: planet.subscriptions.reactivate_all(),
        many=lambda planet, ids: planet.subscriptions.reactivate_many(ids),
        one=lambda planet, id_: planet.subscriptions.reactivate(id_),
        form=form,
    )


def _change(
    context: typer.Context,
    ids: list[str] | None,
    bulk: bool,
    *,
    all_: Callable[[Planet], Awaitable[object]],
    many: Callable[[Planet, list[str]], Awaitable[object]],
    one: Callable[[Planet, str], Awaitable[Subscription]],
    form: str,
) -> None:
    """Act on all subscriptions, or with --bulk on many in one request, which the API acts on later."""
    if ids is not None and not bulk:
        act_on_each(context, ids, one, VIEW, form=form)
        return

    async def work(planet: Planet) -> bool:
        await (all_(planet) if ids is None else many(planet, ids))
        if form != TABLE:
            print_document({"accepted": "all" if ids is None else ids}, form)
        else:
            what = "all" if ids is None else f"{len(ids):,}"
            stdout().print(f"accepted for {what}; `subscriptions list` shows the effect", highlight=False)
        return True

    with_planet(context, work)


def results(
    context: typer.Context,
    subscription_id: SubscriptionId,
    *,
    status: Annotated[list[ResultStatus] | None, state_option("In this state", ResultStatus)] = None,
    created: Annotated[str | None, period_option(f"Created then. {INTERVAL}")] = None,
    updated: Annotated[str | None, period_option("Updated then; as --created.")] = None,
    completed: Annotated[str | None, period_option("Completed then; as --created.")] = None,
    item_datetime: Annotated[str | None, period_option("Of an item of then; as --created.")] = None,
    user_id: UserId = None,
    limit: Limit = None,
    page_size: SubscriptionsPageSize = 500,
    form: Formats = TABLE,
) -> None:
    """List what a subscription has delivered, or will; as CSV with the values of planetary variables.

    [dim]planet-async subscriptions results 4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11 --state success --csv[/]
    """
    filters: ResultFilters = {
        "status": status or None,
        "created": created,
        "updated": updated,
        "completed": completed,
        "item_datetime": item_datetime,
        "user_id": user_id,
    }
    if form == CSV:
        _print_csv(
            context,
            lambda planet: planet.subscriptions.results_csv(subscription_id, **filters),
            limit or None,
        )
    else:
        show_list(
            context,
            lambda planet: planet.subscriptions.results(subscription_id, page_size=page_size, **filters),
            RESULTS,
            limit=limit,
            form=form,
        )


def _print_csv(
    context: typer.Context, read: Callable[[Planet], AsyncIterator[dict[str, str]]], limit: int | None
) -> None:
    """Print the rows as they arrive, at most `limit`; the header also where there are no rows."""

    async def work(planet: Planet) -> bool:
        rows, count = read(planet), 0
        async for row in rows:
            if not count:
                print_csv(row)
            print_csv(row.values())
            count += 1
            if count == limit:
                break  # which closes the connection
        if not count and isinstance(rows, CsvRows):
            print_csv(rows.columns)
        return True

    with_planet(context, work)


def summary(
    context: typer.Context,
    subscription_id: Annotated[
        str | None, id_argument("a subscription whose results are counted instead", _subscription_id)
    ] = None,
    form: Format = TABLE,
) -> None:
    """Count subscriptions by status, or the results of one.

    [dim]planet-async subscriptions summary --json | jq .subscriptions.running[/]
    """
    if subscription_id is None:
        show_one(context, lambda planet: planet.subscriptions.summary(), _print_summary, form=form)
    else:
        id_ = subscription_id
        show_one(context, lambda planet: planet.subscriptions.results_summary(id_), _print_summary, form=form)


def _print_summary(found: SubscriptionsSummary | ResultsSummary) -> None:
    counts = found.subscriptions if isinstance(found, SubscriptionsSummary) else found.results
    print_table(("status", "count"), [(state_text(name), n) for name, n in asdict(counts).items()])


COMMANDS = named(
    create,
    create_bulk,
    request,
    request_catalog,
    request_source,
    get,
    list_,
    update,
    patch,
    cancel,
    wait,
    suspend,
    reactivate,
    results,
    summary,
    item_types,
)
