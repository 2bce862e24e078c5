"""`subscriptions cancel`, `suspend`, `reactivate`, `results` and `summary`."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import typer

from planet_async import Planet
from planet_async.cli.describe_subscriptions import counts_table, results_table, subscription_line
from planet_async.cli.options import Limit
from planet_async.cli.output import Json, print_json_line
from planet_async.cli.run import with_planet
from planet_async.cli.show import act_on_each, distinct_ids, show_list, show_one
from planet_async.cli.subscriptions import SubscriptionId
from planet_async.models.subscriptions import Subscription

SubscriptionIds = Annotated[list[str], typer.Argument(metavar="ID", help="The ids of subscriptions.")]


def cancel(context: typer.Context, subscription_ids: SubscriptionIds, json: Json = False) -> None:
    """End subscriptions for good.

    [dim]planet-async subscriptions cancel 4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11[/]
    """
    _act(context, subscription_ids, lambda planet, id_: planet.subscriptions.cancel(id_), json)


def suspend(context: typer.Context, subscription_ids: SubscriptionIds, json: Json = False) -> None:
    """Halt subscriptions until they are reactivated.

    [dim]planet-async subscriptions suspend 4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11[/]
    """
    _act(context, subscription_ids, lambda planet, id_: planet.subscriptions.suspend(id_), json)


def reactivate(context: typer.Context, subscription_ids: SubscriptionIds, json: Json = False) -> None:
    """Let suspended subscriptions go on.

    [dim]planet-async subscriptions reactivate 4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11[/]
    """
    _act(context, subscription_ids, lambda planet, id_: planet.subscriptions.reactivate(id_), json)


def results(
    context: typer.Context,
    subscription_id: SubscriptionId,
    *,
    status: Annotated[
        list[str] | None,
        typer.Option(help="With this status; may be given again.", autocompletion=lambda: _STATUSES),
    ] = None,
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


_STATUSES = ["created", "queued", "processing", "success", "failed", "cancelled"]


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
    act_on_each(context, distinct_ids(ids, "subscription"), act, subscription_line, json=json)


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
