"""The command `demo`: a simulated Planet, the job, and what came of it."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import anyio
import typer

from planet_async import ApiKey, Config, Planet, PlanetError, Schedule
from planet_async.cli.demo.audit import audit
from planet_async.cli.demo.counting import CountingTransport
from planet_async.cli.demo.job import Job, plan
from planet_async.cli.demo.report import DemoReport
from planet_async.cli.output import Json, print_json, stderr, stdout, wants_json
from planet_async.cli.run import complain, reporting
from planet_async.cli.simulate import require_server
from planet_async.simulator import Limits, Simulator
from planet_async.transports.httpx import HttpxTransport

_FILE_BYTES = 32_000
_SCHEDULE = Schedule(first=0.4, factor=1.3, longest=1.0)


def demo(
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="DIR", help="Keep the files here, not in a temporary folder."),
    ] = None,
    orders: Annotated[
        int,
        typer.Option(
            min=1, max=5000, metavar="N", help="Orders to carry out; a quarter as many are cancelled."
        ),
    ] = 200,
    json: Json = False,
) -> None:
    """Order, wait, download, verify and cancel, on a Planet simulated on this machine. Needs no key.

    Exit code 0 says that all of it was checked and right.
    """
    with reporting():
        require_server()
        with _folder(to) as folder:
            report = run_demo(make_simulator(), Job(folder, orders), kept=to is not None)
        if wants_json(json):
            print_json(report.document)
        else:
            stdout().print(report.table())
        for check in report.failed:
            complain(f"the demo failed: {check.title}: {check.found}")
        if report.failed:
            raise typer.Exit(1)


def make_simulator() -> Simulator:
    """Make a Planet without rate limits, whose orders take a few seconds each."""
    seed = random.randrange(2**32)  # noqa: S311 - other ids in each run, so that --to may be used again
    return Simulator(limits=Limits.unlimited(), plan=plan, file_bytes=_FILE_BYTES, seed=seed)


def run_demo(simulator: Simulator, job: Job, *, kept: bool) -> DemoReport:
    """Do the job against that Planet, served over HTTP, and compare what both sides saw."""
    from planet_async.simulator.server import serve  # noqa: PLC0415 - needs an extra

    started = time.monotonic()
    with serve(simulator) as url:
        config = Config(base_url=url, rates={}, schedule=_SCHEDULE)
        network = CountingTransport(HttpxTransport(config=config), url)

        async def work() -> None:
            async with Planet(config, credentials=ApiKey("demo"), transport=network) as planet:
                await job.run(planet)

        stderr().print(
            f"A simulated Planet is at [bold]{url}[/].\n"
            "The rate limits of the real one (3 orders a second) are lifted, here and there.",
            highlight=False,
        )
        anyio.run(work)
    return DemoReport(
        url=url,
        job=job,
        requests=network.sent,
        checks=audit(job, network.sent, simulator),
        elapsed=time.monotonic() - started,
        folder=job.folder if kept else None,
    )


@contextmanager
def _folder(to: Path | None) -> Iterator[Path]:
    if to is None:
        with TemporaryDirectory(prefix="planet-async-demo-") as folder:
            yield Path(folder)
        return
    try:
        to.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PlanetError(
            f"cannot make the folder {to}: {error.strerror}", hint="Take another one."
        ) from None
    yield to
