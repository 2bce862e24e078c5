"""`orders cancel`."""

import sys
from typing import Annotated

import typer

from planet_async import CancelResult, Planet
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
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before --all.")] = False,
    json: Json = False,
) -> None:
    """Cancel queued orders; those that run already cannot be stopped.

    [dim]planet-async orders cancel 4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11[/]
    """
    if bool(order_ids) == everything:
        raise typer.BadParameter("give the ids of orders, or --all")
    if everything and not yes:
        if not can_ask():
            raise typer.BadParameter("--all needs --yes where nobody can be asked")
        typer.confirm("Cancel every queued order of the account?", abort=True, err=True)

    async def work(planet: Planet) -> bool:
        if order_ids:
            result = await planet.orders.cancel_many(order_ids)
        else:
            result = await planet.orders.cancel_all()
        if wants_json(json):
            print_json(_document(result))
        else:
            stdout().print(f"{result.succeeded:,} cancelled", highlight=False)
        for failure in result.failures:
            complain(f"{clean(failure.order_id)} is not cancelled: {failure.message}")
        return not result.failures

    with_planet(context, work)


def can_ask() -> bool:
    """Tell whether somebody is there to answer."""
    return sys.stdin is not None and sys.stdin.isatty()


def _document(result: CancelResult) -> dict[str, object]:
    failures = [{"order_id": failure.order_id, "message": failure.message} for failure in result.failures]
    return {"succeeded": result.succeeded, "failures": failures}
