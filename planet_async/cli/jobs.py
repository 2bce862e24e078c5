"""`orders wait`, `run` and `download`: what takes its time."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import anyio
import typer

from planet_async import Order, Outcome, Planet, PlanetError
from planet_async.cli.batch import Result, Seen, fetch, result_of
from planet_async.cli.options import Folder, Overwrite
from planet_async.cli.orders import RequestFiles
from planet_async.cli.output import Json, clean, print_json_line, state_text, stdout, table, wants_json
from planet_async.cli.progress import Board, Step, states_text
from planet_async.cli.requests import read_requests
from planet_async.cli.run import complain, one_line, reporting, with_planet

OrderIds = Annotated[list[str], typer.Argument(metavar="ID", help="The ids of orders.")]


def wait(
    context: typer.Context,
    order_ids: OrderIds,
    timeout: Annotated[
        float | None,
        typer.Option(min=0, metavar="SECONDS", help="Give up after that long; they go on. 0: look once."),
    ] = None,
    json: Json = False,
) -> None:
    """Wait until orders are finished; exit code 1 if one failed, was cancelled or takes too long.

    [dim]planet-async orders wait 4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11 --timeout 3600[/]
    """

    async def work(planet: Planet) -> bool:
        outcomes = planet.orders.wait_many(order_ids, timeout=timeout)
        report = Report(json)
        with Board() as board:
            async for outcome in _watched(outcomes, board.step("Waiting for orders", len(set(order_ids)))):
                if outcome.error is not None:
                    report.add(Result(outcome.id, error=outcome.error))
                else:
                    report.add(result_of(outcome.unwrap()))
        return report.finish()

    with_planet(context, work)


def run(
    context: typer.Context,
    files: RequestFiles,
    *,
    to: Folder,
    ledger: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Note there what became of each order; go on where it ends."),
    ] = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Place orders, wait for them, and download each as soon as it is done.

    All files are checked before the first order is placed.  Checksums are verified.  With a ledger the same
    command can be given again after whatever stopped it: nothing is ordered twice.

    [dim]planet-async orders run farm.json coast.json --to data --ledger fields.ledger[/]
    """
    with reporting():
        requests = read_requests(files)

    async def work(planet: Planet) -> bool:
        report = Report(json)
        with Board() as board:
            seen = Seen(board, len(requests))
            job = planet.orders.run(
                [request.body for request in requests],
                to,
                ledger=ledger,
                overwrite=overwrite,
                progress=board.receive,
                on_update=seen.update,
            )
            with _telling_how_to_go_on(seen, report, to, ledger):
                async for outcome in job:
                    report.add(seen.end(outcome))
        return report.finish()

    with_planet(context, work)


def download(
    context: typer.Context,
    order_ids: OrderIds,
    to: Folder,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Download the files of finished orders, and verify their checksums.

    Files that are there already are kept; call it again to fetch what is missing.

    [dim]planet-async orders download 4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11 --to data[/]
    """

    async def work(planet: Planet) -> bool:
        report = Report(json)
        with Board() as board:
            downloading = board.step("Downloading", len(set(order_ids)))
            await fetch(
                planet,
                _each(planet, order_ids),
                to,
                board,
                _downloaded(report, downloading, board),
                overwrite=overwrite,
            )
        return report.finish()

    with_planet(context, work)


class Report:
    """What became of the orders: as JSON a line each as they come, as a table in the end."""

    def __init__(self, json: bool) -> None:
        self._json = wants_json(json)
        self.results: list[Result] = []

    def add(self, result: Result) -> None:
        """Take in the next one."""
        self.results.append(result)
        if self._json:
            print_json_line(result.document)

    def finish(self) -> bool:
        """Print the table, and say what went wrong; tells whether all went well."""
        if not self._json:
            rows = [
                (result.id or "-", state_text(result.state or "?"), _files(result), clean(result.name))
                for result in self.results
            ]
            stdout().print(table(("id", "state", "files", "name"), rows))
        for result in self.results:
            if not result.good:
                complain(_problem(result))
        return all(result.good for result in self.results)


def _files(result: Result) -> str:
    return "" if result.paths is None else f"{len(result.paths):,}"


def _problem(result: Result) -> str:
    if result.error is not None:
        return one_line(result.error) if result.id else f"{result.name}: {one_line(result.error)}"
    return (
        f"order {result.id} is {result.state}: {'; '.join(result.error_hints) or 'the API gives no reason'}"
    )


def _downloaded(report: Report, step: Step, board: Board) -> Callable[[Result], None]:
    def done(result: Result) -> None:
        report.add(result)
        step.advance(board.received)

    return done


async def _watched(outcomes: AsyncIterator[Outcome[Order]], step: Step) -> AsyncIterator[Outcome[Order]]:
    """Pass the outcomes on, and show on the way how the orders ended."""
    states: Counter[str] = Counter()
    async for outcome in outcomes:
        states["error" if outcome.error else outcome.unwrap().state] += 1
        step.advance(states_text(states))
        yield outcome


async def _each(planet: Planet, order_ids: Sequence[str]) -> AsyncIterator[Outcome[Order]]:
    """Give the orders as they stand."""
    for order_id in dict.fromkeys(order_ids):
        try:
            yield Outcome(order_id, await planet.orders.get(order_id))
        except PlanetError as error:
            yield Outcome(order_id, error=error)


@contextmanager
def _telling_how_to_go_on(seen: Seen, report: Report, to: Path, ledger: Path | None) -> Iterator[None]:
    """Where the job is interrupted, tell which orders go on without it."""
    try:
        yield
    except anyio.get_cancelled_exc_class():
        delivered = {result.id for result in report.results}
        if ledger is not None:
            complain("the orders placed go on; give the same command again to go on with the job")
        elif left := [id_ for id_ in seen.orders if id_ not in delivered]:
            complain(
                "the orders placed go on; fetch them later with:"
                f" planet-async orders download {' '.join(left)} --to {to}"
            )
        raise
