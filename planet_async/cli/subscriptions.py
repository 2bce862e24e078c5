"""`subscriptions create`, `get`, `list`, `update` and `patch`."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Annotated, Any

import typer
from attrs import asdict
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from planet_async import Planet
from planet_async.cli.output import (
    Json,
    clean,
    listing,
    panel,
    print_json,
    print_json_line,
    state_text,
    stdout,
    table,
    time_text,
    wants_json,
)
from planet_async.cli.runner import (
    INTERVAL,
    ChangesFile,
    Limit,
    Name,
    NameContains,
    UserId,
    Yes,
    act_on_each,
    confirm_bulk,
    distinct_ids,
    one_of,
    requests_in,
    show_list,
    show_one,
    with_planet,
)
from planet_async.models.subscription_request import SubscriptionRequest
from planet_async.models.subscriptions import (
    ResultCounts,
    Subscription,
    SubscriptionCounts,
    SubscriptionResult,
)


def subscription_line(subscription: Subscription) -> Text:
    """Give a subscription in one line."""
    return Text.assemble(
        (clean(subscription.id), "bold"),
        "  ",
        state_text(subscription.status),
        "  ",
        clean(subscription.name),
    )


def subscriptions_table(subscriptions: Sequence[Subscription]) -> RenderableType:
    """Give subscriptions as a table."""
    rows = [
        (
            clean(each.id),
            state_text(each.status),
            time_text(each.created),
            _kind(each.source),
            clean(each.name),
        )
        for each in subscriptions
    ]
    return listing("subscriptions", ("id", "status", "created (UTC)", "source", "name"), rows)


def subscription_panel(subscription: Subscription) -> RenderableType:
    """Give one subscription with all that matters of it."""
    parameters = subscription.source.get("parameters")
    parameters = parameters if isinstance(parameters, Mapping) else {}
    return panel(
        subscription.name,
        (
            ("id", clean(subscription.id)),
            ("status", state_text(subscription.status)),
            ("created", time_text(subscription.created)),
            ("changed", time_text(subscription.updated)),
            ("source", _kind(subscription.source)),
            ("of", _words(parameters.get("item_types") or parameters.get("id"))),
            ("assets", _words(parameters.get("asset_types"))),
            ("from", _words(parameters.get("start_time"))),
            ("to", _words(parameters.get("end_time"))),
            ("tools", ", ".join(map(_kind, subscription.tools))),
            ("delivery", _kind(subscription.delivery or {})),
            ("hosting", _kind(subscription.hosting or {})),
            (
                "hints",
                "; ".join(f"{name}: {_words(hint)}" for name, hint in subscription.error_hints.items()),
            ),
        ),
    )


def results_table(results: Sequence[SubscriptionResult]) -> RenderableType:
    """Give results as a table; the links to their files are not shown."""
    rows = [
        (
            clean(each.id),
            state_text(each.status),
            time_text(each.created),
            f"{len(each.outputs):,}",
            clean(each.item_id or ""),
        )
        for each in results
    ]
    return listing("results", ("id", "status", "created (UTC)", "files", "item"), rows)


def counts_table(counts: SubscriptionCounts | ResultCounts) -> Table:
    """Give counts by status."""
    made = table(
        ("status", "count"), [(state_text(status), f"{count:,}") for status, count in asdict(counts).items()]
    )
    made.columns[1].justify = "right"
    return made


def _kind(part: Mapping[str, Any]) -> str:
    return clean(part.get("type") or "")


def _words(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)


SubscriptionId = Annotated[str, typer.Argument(metavar="ID", help="The id of a subscription.")]
_STATUSES = ["preparing", "pending", "running", "completed", "suspended", "cancelled", "failed", "invalid"]


def create(
    context: typer.Context,
    files: Annotated[
        list[str],
        typer.Argument(metavar="REQUEST.json", help="Requests for subscriptions; - is standard input."),
    ],
    json: Json = False,
) -> None:
    """Create subscriptions, each as a JSON file describes it.

    All files are checked before the first subscription is created.

    [dim]planet-async subscriptions create field-7.json field-8.json[/]
    """
    act_on_each(
        context,
        requests_in(files, SubscriptionRequest),
        lambda planet, request: planet.subscriptions.create(request.body),
        subscription_line,
        json=json,
    )


def get(context: typer.Context, subscription_id: SubscriptionId, json: Json = False) -> None:
    """Show a subscription.

    [dim]planet-async subscriptions get 4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11 | jq .status[/]
    """
    show_one(context, lambda planet: planet.subscriptions.get(subscription_id), subscription_panel, json=json)


def list_(
    context: typer.Context,
    *,
    status: Annotated[list[str] | None, one_of("With this status", _STATUSES)] = None,
    name: Name = None,
    name_contains: NameContains = None,
    source_type: Annotated[
        str | None, typer.Option(metavar="TYPE", help="To this: catalog, soil_water_content, ...")
    ] = None,
    created: Annotated[str | None, typer.Option(metavar="TIME", help=f"Created then. {INTERVAL}")] = None,
    user_id: UserId = None,
    sort_by: Annotated[
        str | None,
        typer.Option(metavar="FIELD", help="name, created, updated, status, ...; also 'name DESC'."),
    ] = None,
    limit: Limit = None,
    page_size: Annotated[
        int, typer.Option(min=1, metavar="N", help="How many there are in one answer of the API.")
    ] = 500,
    json: Json = False,
) -> None:
    """List subscriptions, the newest first. As JSON: one a line.

    [dim]planet-async subscriptions list --status running --status suspended --limit 20[/]

    [dim]planet-async subscriptions list --name-contains field | jq -r .id[/]
    """
    show_list(
        context,
        lambda planet: planet.subscriptions.list(
            status=status or None,
            name=name,
            name__contains=name_contains,
            source_type=source_type,
            created=created,
            user_id=user_id,
            sort_by=sort_by,
            page_size=page_size,
        ),
        subscriptions_table,
        limit=limit,
        json=json,
    )


def update(
    context: typer.Context,
    subscription_id: SubscriptionId,
    file: Annotated[
        str, typer.Argument(metavar="REQUEST.json", help="The whole of its new version; - is standard input.")
    ],
    json: Json = False,
) -> None:
    """Replace a subscription by its new version; what the file leaves out is gone.

    Where the API shows <REDACTED>, the file needs the secret itself.

    [dim]planet-async subscriptions update 4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11 field-7.json[/]
    """
    (request,) = requests_in([file], SubscriptionRequest)
    show_one(
        context,
        lambda planet: planet.subscriptions.update(subscription_id, request.body),
        subscription_panel,
        json=json,
    )


def patch(
    context: typer.Context,
    subscription_id: SubscriptionId,
    file: ChangesFile,
    json: Json = False,
) -> None:
    """Change some fields of a subscription, and keep the others.

    [dim]planet-async subscriptions patch 4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11 name.json[/]
    """
    (changes,) = requests_in([file], None)
    show_one(
        context,
        lambda planet: planet.subscriptions.patch(subscription_id, changes.body),
        subscription_panel,
        json=json,
    )


SubscriptionIds = Annotated[list[str], typer.Argument(metavar="ID", help="The ids of subscriptions.")]
AnyIds = Annotated[list[str] | None, typer.Argument(metavar="[ID]", help="The ids of subscriptions.")]
All = Annotated[bool, typer.Option("--all", help="All of yours, in one request.")]
Bulk = Annotated[
    bool, typer.Option("--bulk", help="In one request, which the API accepts, and acts on later.")
]
_RESULT_STATUSES = ["created", "queued", "processing", "success", "failed", "cancelled"]


def cancel(context: typer.Context, subscription_ids: SubscriptionIds, json: Json = False) -> None:
    """End subscriptions for good.

    [dim]planet-async subscriptions cancel 4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11[/]
    """
    _act(context, _checked(subscription_ids), lambda planet, id_: planet.subscriptions.cancel(id_), json)


def suspend(
    context: typer.Context,
    subscription_ids: AnyIds = None,
    *,
    everything: All = False,
    bulk: Bulk = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Halt subscriptions until they are reactivated.

    [dim]planet-async subscriptions suspend 4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11[/]
    """
    confirm_bulk(
        subscription_ids, everything, yes, things="subscriptions", question="Suspend all your subscriptions?"
    )
    ids = _checked(subscription_ids)
    if everything:
        _accept(context, lambda planet: planet.subscriptions.suspend_all(), "all", json)
    elif bulk:
        _accept(context, lambda planet: planet.subscriptions.suspend_many(ids), ids, json)
    else:
        _act(context, ids, lambda planet, id_: planet.subscriptions.suspend(id_), json)


def reactivate(
    context: typer.Context,
    subscription_ids: AnyIds = None,
    *,
    everything: All = False,
    bulk: Bulk = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Let suspended subscriptions go on.

    [dim]planet-async subscriptions reactivate 4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11[/]
    """
    confirm_bulk(
        subscription_ids, everything, yes, things="subscriptions", question="Reactivate all of yours?"
    )
    ids = _checked(subscription_ids)
    if everything:
        _accept(context, lambda planet: planet.subscriptions.reactivate_all(), "all", json)
    elif bulk:
        _accept(context, lambda planet: planet.subscriptions.reactivate_many(ids), ids, json)
    else:
        _act(context, ids, lambda planet, id_: planet.subscriptions.reactivate(id_), json)


def results(
    context: typer.Context,
    subscription_id: SubscriptionId,
    *,
    status: Annotated[list[str] | None, one_of("With this status", _RESULT_STATUSES)] = None,
    csv: Annotated[
        bool,
        typer.Option(
            "--csv",
            help="The rows of the API's CSV, with the values of variables; JSON lines, also on a terminal.",
        ),
    ] = False,
    limit: Limit = None,
    json: Json = False,
) -> None:
    """List what a subscription has delivered, or will. As JSON: one result a line.

    [dim]planet-async subscriptions results 4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11 --status success --csv[/]
    """
    if csv:
        _print_rows(context, subscription_id, status or None, limit)
        return
    show_list(
        context,
        lambda planet: planet.subscriptions.results(subscription_id, status=status or None),
        results_table,
        limit=limit,
        json=json,
    )


def summary(
    context: typer.Context,
    subscription_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Count the results of this subscription instead.")
    ] = None,
    json: Json = False,
) -> None:
    """Count subscriptions by status, or the results of one.

    [dim]planet-async subscriptions summary | jq .subscriptions.running[/]
    """
    if subscription_id is None:
        show_one(
            context,
            lambda planet: planet.subscriptions.summary(),
            lambda found: counts_table(found.subscriptions),
            json=json,
        )
    else:
        show_one(
            context,
            lambda planet: planet.subscriptions.results_summary(subscription_id),
            lambda found: counts_table(found.results),
            json=json,
        )


def _act(
    context: typer.Context,
    ids: list[str],
    act: Callable[[Planet, str], Coroutine[Any, Any, Subscription]],
    json: bool,
) -> None:
    act_on_each(context, ids, act, subscription_line, json=json)


def _checked(ids: list[str] | None) -> list[str]:
    return distinct_ids(ids or (), "subscription")


def _accept(
    context: typer.Context,
    ask: Callable[[Planet], Coroutine[Any, Any, object]],
    accepted: list[str] | str,
    json: bool,
) -> None:
    """Ask for something to be done to many, which is told as soon as it is accepted."""

    async def work(planet: Planet) -> bool:
        await ask(planet)
        if wants_json(json):
            print_json({"accepted": accepted})
        else:
            what = accepted if isinstance(accepted, str) else f"{len(accepted):,}"
            stdout().print(f"accepted for {what}; the list shows what comes of it", highlight=False)
        return True

    with_planet(context, work)


def _print_rows(
    context: typer.Context, subscription_id: str, status: list[str] | None, limit: int | None
) -> None:
    async def work(planet: Planet) -> bool:
        count = 0
        async for row in planet.subscriptions.results_csv(subscription_id, status=status):
            print_json_line(row)
            count += 1
            if count == limit:
                break  # which closes the connection
        return True

    with_planet(context, work)
