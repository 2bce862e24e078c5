"""`orders cancel`."""

from collections import Counter
from typing import Annotated

import typer

from planet_async import CancelResult, Planet
from planet_async.cli.ask import Yes, agree_on
from planet_async.cli.output import Json, clean, print_json, stdout, wants_json
from planet_async.cli.run import complain, with_planet


def cancel(
    context: typer.Context,
    order_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]", help="The ids of queued orders.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Cancel every queued order of the account.")
    ] = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Cancel queued orders; those that run already cannot be stopped.

    [dim]planet-async orders cancel 4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11[/]
    """
    agree_on(
        order_ids, everything, yes, things="orders", question="Cancel every queued order of the account?"
    )

    async def work(planet: Planet) -> bool:
        if order_ids:
            result = await planet.orders.cancel_many(order_ids)
        else:
            result = await planet.orders.cancel_all()
        if wants_json(json):
            print_json(_document(result))
        else:
            stdout().print(_counts(result), highlight=False)
        for failure in result.failures:
            complain(f"{clean(failure.order_id)} is not cancelled: {failure.message}")
        return not result.failures

    with_planet(context, work)


def _counts(result: CancelResult) -> str:
    """Give the groups in a line: 2 cancelled, 1 not found."""
    reasons = Counter(failure.reason.replace("_", " ") for failure in result.failures)
    groups = [(result.succeeded, "cancelled"), *((count, reason) for reason, count in reasons.items())]
    return ", ".join(f"{count:,} {clean(group)}" for count, group in groups)


def _document(result: CancelResult) -> dict[str, object]:
    failures = [
        {"order_id": failure.order_id, "reason": failure.reason, "message": failure.message}
        for failure in result.failures
    ]
    return {"succeeded": result.succeeded, "failures": failures}
