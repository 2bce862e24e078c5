"""The command `planet-async demo`: the main job on a simulated Planet, and a check of what happened."""

import hashlib
import json
import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import resources
from itertools import cycle, islice
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import anyio
import anyio.to_thread
import typer
from attrs import define, evolve, field, frozen
from rich.table import Table
from rich.text import Text

from planet_async import (
    ApiKey,
    BulkResult,
    Config,
    DownloadedOrder,
    Order,
    OrderRequest,
    Outcome,
    Planet,
    PlanetError,
    Request,
    Response,
    Schedule,
    Transport,
)
from planet_async.cli.orders import JobProgress
from planet_async.cli.output import (
    Json,
    ProgressDisplay,
    clean,
    print_error,
    print_json,
    size_text,
    states_text,
    stderr,
    stdout,
    wants_json,
)
from planet_async.cli.runner import (
    FAILED,
    InputRequest,
    for_each,
    parse_request,
    reporting,
    run_async,
)
from planet_async.cli.simulate import require_server
from planet_async.http import origin
from planet_async.simulator import Limits, OrderPlan, Simulator
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
            min=1, max=5000, metavar="N", help="Orders to download; a quarter as many more are cancelled."
        ),
    ] = 200,
    json: Json = False,
) -> None:
    """Order, wait, download, verify and cancel, on a Planet simulated on this machine. Needs no key.

    Exit code 0 says that everything was checked and is right.
    """
    with reporting():
        require_server()
        with _folder(to) as folder:
            report = run_demo(make_simulator(), Job(folder, orders), kept=to is not None)
        if wants_json(json):
            print_json(report.document)
        else:
            report.print()
        for check in report.failed:
            print_error(f"the demo failed: {check.title}: {check.found}")
        if report.failed:
            raise typer.Exit(FAILED)


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
            f"cannot make the folder {to}: {error.strerror}", hint="Choose another one."
        ) from None
    yield to


def make_simulator() -> Simulator:
    """Make a Planet without rate limits, whose orders take a few seconds each."""
    seed = random.randrange(2**32)  # noqa: S311 - other ids in each run, so that --to can be used again
    return Simulator(limits=Limits.unlimited(), plan=plan, file_bytes=_FILE_BYTES, seed=seed)


_STAYS_QUEUED = "-stays-queued"


def plan(order: Mapping[str, Any], number: int) -> OrderPlan:
    """Plan an order of the simulator: it takes one to two seconds, or stays queued for ever."""
    if order["name"].endswith(_STAYS_QUEUED):
        return OrderPlan(queue_seconds=inf)
    return OrderPlan(
        queue_seconds=0.2 + number % 5 / 5,
        run_seconds=0.4 + number % 7 / 7,
        state="partial" if order.get("order_type") == "partial" else "success",
    )


def templates() -> list[InputRequest]:
    """Return the request files of the package."""
    folder = resources.files("planet_async.cli") / "requests"
    files = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".json")), key=lambda file: file.name
    )
    return [
        InputRequest(parse_request(file.read_bytes(), file.name, OrderRequest), file.name) for file in files
    ]


# --- The job


_VERIFIED_AT_ONCE = 2


@frozen
class Verified:
    """How many files had the checksum of their manifest, their bytes, and what was wrong with others."""

    files: int = 0
    manifests: int = 0
    bytes: int = 0
    problems: tuple[str, ...] = ()

    def __add__(self, other: "Verified") -> "Verified":
        return Verified(
            self.files + other.files,
            self.manifests + other.manifests,
            self.bytes + other.bytes,
            self.problems + other.problems,
        )


@define
class Job:
    """The work of the demo, and its results."""

    folder: Path
    orders: int
    placed: dict[str, Order] = field(factory=dict)
    to_cancel: set[str] = field(factory=set)
    cancelled: BulkResult = field(factory=lambda: BulkResult(0))
    outcomes: list[Outcome[DownloadedOrder]] = field(factory=list)
    listed: list[Order] = field(factory=list)
    verified: Verified = field(factory=Verified)
    errors: list[PlanetError] = field(factory=list)

    @property
    def cancels(self) -> int:
        """How many more orders are placed to be cancelled."""
        return max(1, self.orders // 4)

    @property
    def paths(self) -> list[Path]:
        """The files of all orders."""
        return [
            path for outcome in self.outcomes if outcome.value is not None for path in outcome.value.paths
        ]

    async def run(self, planet: Planet) -> None:
        """Place and cancel some orders; place, download and verify the others; list all."""
        with ProgressDisplay(keep=True) as display:
            await self._cancel_some(planet, display)
            await self._download_others(planet, display)
            await self._verify(display)
            self.listed = await planet.orders.list(page_size=100).collect()

    def _requests(self, count: int, suffix: str = "") -> list[InputRequest]:
        """Return the shipped requests over and over, each with a name of its own."""
        return [
            evolve(template, body={**template.body, "name": f"{template.body['name']}-{number:03}{suffix}"})
            for number, template in enumerate(islice(cycle(templates()), count))
        ]

    async def _cancel_some(self, planet: Planet, display: ProgressDisplay) -> None:
        placing = display.step("Placing some more", self.cancels)

        async def place(request: InputRequest) -> None:
            try:
                order = await planet.orders.create(request.body)
            except PlanetError as error:
                self.errors.append(error)
            else:
                self.placed[order.id] = order
                self.to_cancel.add(order.id)
            placing.advance()

        await for_each(self._requests(self.cancels, _STAYS_QUEUED), place)
        cancelling = display.step("Cancelling these", 1)
        try:
            self.cancelled = await planet.orders.cancel_many(self.to_cancel)
        except PlanetError as error:
            self.errors.append(error)
        cancelling.advance(f"{self.cancelled.succeeded:,} queued orders, in one request")

    async def _download_others(self, planet: Planet, display: ProgressDisplay) -> None:
        requests = self._requests(self.orders)
        progress = JobProgress(display, requests)
        job = planet.orders.run(
            [request.body for request in requests],
            self.folder,
            progress=display.receive,
            on_update=progress.update,
        )
        async for outcome in job:
            progress.end(outcome)
            self.outcomes.append(outcome)
            if outcome.error is not None:
                self.errors.append(outcome.error)
        self.placed |= progress.orders

    async def _verify(self, display: ProgressDisplay) -> None:
        delivered = [outcome.id for outcome in self.outcomes if outcome.error is None]
        step = display.step("Verifying files", len(delivered))
        limit = anyio.CapacityLimiter(_VERIFIED_AT_ONCE)

        async def verify(order_id: str) -> None:
            found = await anyio.to_thread.run_sync(verify_order, self.folder / order_id, limiter=limit)
            self.verified += found
            step.advance(f"{self.verified.files:,} checksums")

        await for_each(delivered, verify)


def verify_order(folder: Path) -> Verified:
    """Hash all files in the folder of an order; these and no others must be in its manifest."""
    manifest = folder / "manifest.json"
    try:
        entries = {folder / entry["path"]: entry for entry in json.loads(manifest.read_bytes())["files"]}
        found = {path for path in folder.rglob("*") if path.is_file()} - {manifest}
        problems = [f"{path} is not in the manifest" for path in sorted(found - entries.keys())]
        problems += [f"{path} is missing" for path in sorted(entries.keys() - found)]
        good, size = 0, manifest.stat().st_size
        for path in sorted(found & entries.keys()):
            content = path.read_bytes()
            size += len(content)
            if hashlib.sha256(content).hexdigest() == entries[path]["digests"]["sha256"]:
                good += 1
            else:
                problems.append(f"{path} has another sha256 than its manifest says")
    except (OSError, ValueError, LookupError, TypeError) as error:
        return Verified(problems=(f"{manifest} cannot be checked: {error}",))
    return Verified(good, 1, size, tuple(problems))


class CountingTransport:
    """Counts the requests that it sends; those to another origin than the API's as ``storage.get``."""

    def __init__(self, inner: Transport, base_url: str) -> None:
        self.sent: Counter[str] = Counter()
        self._inner = inner
        self._api = origin(base_url)

    async def send(self, request: Request) -> Response:
        """Count and send."""
        self.sent[request.operation if origin(request.url) == self._api else "storage.get"] += 1
        return await self._inner.send(request)

    async def aclose(self) -> None:
        """Close the transport inside."""
        await self._inner.aclose()


def run_demo(simulator: Simulator, job: Job, *, kept: bool) -> "DemoReport":
    """Run the job against that Planet, served over HTTP, and compare what both sides saw."""
    from planet_async.simulator.server import serve  # noqa: PLC0415 - needs an extra

    started = time.monotonic()
    with serve(simulator) as url:
        config = Config(base_url=url, rates={}, schedule=_SCHEDULE)
        network = CountingTransport(HttpxTransport(config=config), url)

        async def work() -> bool:
            async with Planet(config, credentials=ApiKey("demo"), transport=network) as planet:
                await job.run(planet)
            return True

        stderr().print(
            f"A simulated Planet is at [bold]{url}[/].\n"
            "The rate limits of the real one (3 orders a second) are lifted on both sides.",
            highlight=False,
        )
        run_async(work)
    return DemoReport(
        job=job,
        requests=network.sent,
        checks=audit(job, network.sent, simulator),
        elapsed=time.monotonic() - started,
        folder=job.folder if kept else None,
    )


# --- What came of it


_FIRST_REFUSAL = 400


@frozen
class Check:
    """Something that must be so, and whether it is; `found` are the facts."""

    title: str
    good: bool
    found: str


def audit(job: Job, sent: Mapping[str, int], simulator: Simulator) -> list[Check]:
    """Check everything that the demo claims."""
    states = {id_: order.state for id_, order in simulator.orders.items()}
    cancelled = {id_ for id_, state in states.items() if state == "cancelled"}
    listed = {order.id: str(order.state) for order in job.listed}
    failures = [str(outcome.error) for outcome in job.outcomes if outcome.error is not None]
    refused = {
        f"{what} {status}": count
        for (what, status), count in simulator.responses.items()
        if status >= _FIRST_REFUSAL
    }
    half = sorted(job.folder.rglob("*.part"))
    wanted = job.orders + job.cancels
    differing = {
        what: (sent.get(what, 0), simulator.requests[what])
        for what in sorted(sent.keys() | simulator.requests.keys())
        if sent.get(what, 0) != simulator.requests[what]
    }
    return [
        Check(
            "every order was placed, once",
            len(job.placed) == wanted and job.placed.keys() == states.keys(),
            _first(job.errors) or f"{wanted:,} wanted, {len(job.placed):,} placed, {len(states):,} there",
        ),
        Check(
            "every order ended, and came with all its files",
            len(job.outcomes) == job.orders and not failures,
            _first(failures) or f"{len(job.outcomes):,} of {job.orders:,}",
        ),
        Check(
            "the states are those of the simulator",
            listed == states,
            ", ".join(f"{count:,} {state}" for state, count in sorted(Counter(listed.values()).items())),
        ),
        Check(
            "every file, read again, has the sha256 of its manifest",
            not job.verified.problems
            and job.verified.manifests == job.orders
            and job.verified.files + job.verified.manifests == len(job.paths),
            _first(job.verified.problems) or f"{job.verified.files:,}",
        ),
        Check("no part of a file is left", not half, _first(half) or "none"),
        Check(
            "every file was fetched once",
            simulator.requests["storage.get"] == len(job.paths),
            f"{simulator.requests['storage.get']:,} requests to the storage for {len(job.paths):,} files",
        ),
        Check(
            "the bulk cancel cancelled these orders, and no others",
            job.cancelled.succeeded == job.cancels
            and not job.cancelled.failures
            and cancelled == job.to_cancel,
            f"{job.cancels:,} wanted, {job.cancelled.succeeded:,} reported, {len(cancelled):,} there",
        ),
        Check(
            "every request that was sent arrived",
            not differing,
            ", ".join(f"{what}: {a:,} sent, {b:,} arrived" for what, (a, b) in differing.items())
            or f"{sum(sent.values()):,}",
        ),
        Check(
            "nothing was refused",
            not refused,
            ", ".join(f"{what}: {count:,}" for what, count in refused.items()) or "no 429, no other error",
        ),
    ]


def _first(problems: Sequence[object]) -> str:
    if not problems:
        return ""
    more = f" (and {len(problems) - 1:,} more)" if len(problems) > 1 else ""
    return f"{problems[0]}{more}"


@frozen(kw_only=True)
class DemoReport:
    """The facts and the checks."""

    job: Job
    requests: Mapping[str, int]
    checks: Sequence[Check]
    elapsed: float
    folder: Path | None

    @property
    def failed(self) -> list[Check]:
        """The checks that failed."""
        return [check for check in self.checks if not check.good]

    @property
    def states(self) -> Counter[str]:
        """The orders by final state, as the API lists them."""
        return Counter(str(order.state) for order in self.job.listed)

    @property
    def document(self) -> dict[str, Any]:
        """The summary as JSON."""
        return {
            "ok": not self.failed,
            "orders": dict(sorted(self.states.items())),
            "requests": dict(sorted(self.requests.items())),
            "files": len(self.job.paths),
            "bytes": self.job.verified.bytes,
            "checksums_verified": self.job.verified.files,
            "cancelled": self.job.cancelled.succeeded,
            "elapsed_seconds": round(self.elapsed, 2),
            "rate_limits": "lifted on both sides",
            "folder": None if self.folder is None else str(self.folder),
            "checks": [
                {"title": check.title, "ok": check.good, "found": clean(check.found)} for check in self.checks
            ],
        }

    def print(self) -> None:
        """Print the summary for a person: all of it fits on a terminal of 24 lines."""
        facts = Table.grid(padding=(0, 2))
        facts.add_column(style="bold")
        facts.add_column(justify="right")
        facts.add_column(style="dim")
        where = "in a temporary folder, removed by now" if self.folder is None else f"in {self.folder}"
        downloads = self.requests.get("storage.get", 0)
        for name, number, note in (
            ("Orders", f"{self.states.total():,}", states_text(dict(self.states.most_common()))),
            ("Files", f"{len(self.job.paths):,}", Text(f"{size_text(self.job.verified.bytes)}, {where}")),
            ("Requests", f"{sum(self.requests.values()):,}", Text(f"{downloads:,} of them to the storage")),
            ("Seconds", f"{self.elapsed:.1f}", Text("without the rate limits of the real API")),
        ):
            facts.add_row(name, number, note)
        checks = Table.grid(padding=(0, 1))
        for check in self.checks:
            mark = Text("✔", style="green") if check.good else Text("✘", style="bold red")
            checks.add_row(mark, check.title, Text(clean(check.found), style="dim" if check.good else "red"))
        console = stdout()
        console.print(facts, checks, sep="\n")
        if self.failed:
            console.print(f"{len(self.failed)} of {len(self.checks)} checks failed.", style="bold red")
        else:
            console.print(
                "[bold green]Everything was checked, and is right.[/] Orders are partial where the request"
                " allows it.\nNext: `planet-async simulate` serves this Planet for your own program;"
                " `planet-async orders run --help`.",
                highlight=False,
            )
