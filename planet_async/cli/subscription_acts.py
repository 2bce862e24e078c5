"""`subscriptions cancel`, `suspend`, `reactivate`, `results` and `summary`."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import typer

from planet_async import Planet
from planet_async.cli.ask import Yes, agree_on
from planet_async.cli.describe_subscriptions import counts_table, results_table, subscription_line
from planet_async.cli.options import Limit, one_of
from planet_async.cli.output import Json, print_json, print_json_line, stdout, wants_json
from planet_async.cli.run import with_planet
from planet_async.cli.show import act_on_each, distinct_ids, show_list, show_one
from planet_async.cli.subscriptions import SubscriptionId
from planet_async.models.subscriptions import Subscription

SubscriptionIds = Annotated[list[str], typer.Argument(metavar="ID", help="The ids of subscriptions.")]
AnyIds = Annotated[list[str] | None, typer.Argument(metavar="[ID]", help="The ids of subscriptions.")]
All = Annotated[bool, typer.Option("--all", help="All of yours, in one request.")]
Bulk = Annotated[
    bool, typer.Option("--bulk", help="In one request, which the API accepts, and acts on later.")
]
_STATUSES = ["created", "queued", "processing", "success", "failed", "cancelled"]


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
    agree_on(
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
    agree_on(subscription_ids, everything, yes, things="subscriptions", question="Reactivate all of yours?")
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
    status: Annotated[list[str] | None, one_of("With this status", _STATUSES)] = None,
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
    ask: Callable[[Planet], Coroutine[Any, Any, None]],
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
