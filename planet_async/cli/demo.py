"""The command `demo`: a simulated Planet, the job, and what came of it."""

import hashlib
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
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
from attrs import define, field, frozen
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from planet_async import (
    ApiKey,
    BulkResult,
    Config,
    Order,
    Outcome,
    Planet,
    PlanetError,
    Request,
    Response,
    Schedule,
    Transport,
)
from planet_async.cli.orders import Result, fetch, place
from planet_async.cli.output import (
    Json,
    ProgressDisplay,
    Step,
    clean,
    print_json,
    size_text,
    state_text,
    states_text,
    stderr,
    stdout,
    wants_json,
)
from planet_async.cli.runner import RequestFile, parse_request, print_error, reporting
from planet_async.cli.simulate import require_server
from planet_async.http import origin
from planet_async.simulator import Limits, OrderPlan, Simulator
from planet_async.transports.httpx import HttpxTransport


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


def verify_order(folder: Path) -> Verified:
    """Hash all files below the folder of an order; those and no others must be in its manifest."""
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


_STAYS_QUEUED = "-stays-queued"
_LOOK_SECONDS = 0.3
_VERIFIED_AT_ONCE = 2


def plan(order: Mapping[str, Any], number: int) -> OrderPlan:
    """Tell the simulator what becomes of an order: one to two seconds in all, or queued for ever."""
    if order["name"].endswith(_STAYS_QUEUED):
        return OrderPlan(queue_seconds=inf)
    return OrderPlan(
        queue_seconds=0.2 + number % 5 / 5,
        run_seconds=0.4 + number % 7 / 7,
        state="partial" if order.get("order_type") == "partial" else "success",
    )


def templates() -> list[RequestFile]:
    """Give the request files of the package."""
    folder = resources.files("planet_async.cli") / "requests"
    files = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".json")), key=lambda file: file.name
    )
    return [RequestFile(file.name, parse_request(file.read_bytes(), file.name)) for file in files]


@define
class Job:
    """What is to be done, and in the end what came of it."""

    folder: Path
    orders: int
    placed: dict[str, Order] = field(factory=dict)
    to_cancel: list[str] = field(factory=list)
    cancelled: BulkResult = field(factory=lambda: BulkResult(0))
    results: list[Result] = field(factory=list)
    listed: list[Order] = field(factory=list)
    verified: Verified = field(factory=Verified)
    errors: list[PlanetError] = field(factory=list)

    @property
    def cancels(self) -> int:
        """How many more orders are placed to be cancelled."""
        return max(1, self.orders // 4)

    async def run(self, planet: Planet) -> None:
        """Do all of it."""
        with ProgressDisplay(keep=True) as board:
            await self._place(planet, board)
            await self._cancel(planet, board)
            await self._deliver(planet, board)
            await self._verify(board)
            self.listed = await planet.orders.list(page_size=100).collect()

    def _requests(self) -> Iterator[RequestFile]:
        """Yield the shipped requests over and over, under other names."""
        for number, template in enumerate(islice(cycle(templates()), self.orders + self.cancels)):
            name = f"{template.name}-{number:03}{_STAYS_QUEUED if number >= self.orders else ''}"
            yield RequestFile(template.source, {**template.body, "name": name})

    async def _place(self, planet: Planet, board: ProgressDisplay) -> None:
        step = board.step("Placing orders", self.orders + self.cancels)

        def placed(request: RequestFile, outcome: Outcome[Order]) -> None:
            step.advance()
            if outcome.error is not None:
                self.errors.append(outcome.error)
                return
            self.placed[outcome.id] = outcome.unwrap()
            if request.name.endswith(_STAYS_QUEUED):
                self.to_cancel.append(outcome.id)

        await place(planet, self._requests(), placed)

    async def _cancel(self, planet: Planet, board: ProgressDisplay) -> None:
        step = board.step("Cancelling some", 1)
        try:
            self.cancelled = await planet.orders.cancel_many(self.to_cancel)
        except PlanetError as error:
            self.errors.append(error)
        step.advance(f"{self.cancelled.succeeded:,} of {len(self.to_cancel):,} queued orders, in one request")

    async def _deliver(self, planet: Planet, board: ProgressDisplay) -> None:
        to_cancel = set(self.to_cancel)
        waited = [id_ for id_ in self.placed if id_ not in to_cancel]
        waiting = board.step("Waiting for orders", len(waited))
        downloading = board.step("Downloading", len(waited))
        ended = anyio.Event()
        states = _States(waiting)

        async def finished() -> AsyncIterator[Outcome[Order]]:
            async for outcome in planet.orders.wait_many(waited):
                states.end(outcome)
                yield outcome
            ended.set()

        def done(result: Result) -> None:
            self.results.append(result)
            downloading.advance(board.received)

        async with anyio.create_task_group() as group:
            group.start_soon(states.watch, planet, ended)
            await fetch(planet, finished(), self.folder, board, done)

    async def _verify(self, board: ProgressDisplay) -> None:
        delivered = [result.id for result in self.results if result.id and result.error is None]
        step = board.step("Verifying files", len(delivered))
        limit = anyio.CapacityLimiter(_VERIFIED_AT_ONCE)

        async def verify(order_id: str) -> None:
            found = await anyio.to_thread.run_sync(verify_order, self.folder / order_id, limiter=limit)
            self.verified += found
            step.advance(f"{self.verified.files:,} checksums")

        async with anyio.create_task_group() as group:
            for order_id in delivered:
                group.start_soon(verify, order_id)


class _States:
    """How the orders stand: those at work as the API counts them, the finished as they come."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self._active: Counter[str] = Counter()
        self._ended: Counter[str] = Counter()

    def end(self, outcome: Outcome[Order]) -> None:
        """Count an order that is finished."""
        self._ended["error" if outcome.error else str(outcome.unwrap().state)] += 1
        self._step.advance(states_text(self._active + self._ended))

    async def watch(self, planet: Planet, ended: anyio.Event) -> None:
        """Ask now and then how many are queued and running."""
        while not ended.is_set():
            try:
                counts = (await planet.orders.stats()).user
            except PlanetError:
                return  # the job goes on without this number
            self._active = Counter(queued=counts.queued_orders, running=counts.running_orders)
            self._step.note(states_text(self._active + self._ended))
            with anyio.move_on_after(_LOOK_SECONDS):
                await ended.wait()
        self._step.note(states_text(self._ended))


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
    ended = {result.id: str(result.state) for result in job.results}
    paths = [path for result in job.results for path in result.paths or ()]
    undelivered = [str(result.error or result.state) for result in job.results if not result.good]
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
            len(job.results) == job.orders and not undelivered and job.placed.keys() >= ended.keys(),
            _first(undelivered) or f"{len(job.results):,} of {job.orders:,}",
        ),
        Check(
            "the states are those of the simulator, one by one",
            listed == states and all(states.get(id_ or "") == state for id_, state in ended.items()),
            f"listed: {_counts(listed)}; simulator: {_counts(states)}",
        ),
        Check(
            "every file, read again from the disk, has the sha256 of its manifest",
            not job.verified.problems
            and job.verified.manifests == job.orders
            and job.verified.files + job.verified.manifests == len(paths),
            _first(job.verified.problems)
            or f"{job.verified.files:,}, in {job.verified.manifests:,} of {job.orders:,} orders",
        ),
        Check("no half file is left", not half, _first(half) or "none"),
        Check(
            "every file was fetched once",
            simulator.requests["storage.get"] == len(paths),
            f"{simulator.requests['storage.get']:,} requests to the storage for {len(paths):,} files",
        ),
        Check(
            "the bulk cancel took those orders and no others",
            job.cancelled.succeeded == job.cancels
            and not job.cancelled.failures
            and cancelled == set(job.to_cancel),
            f"{job.cancels:,} wanted, {job.cancelled.succeeded:,} reported, {len(cancelled):,} there",
        ),
        Check(
            "every request that was sent arrived",
            not differing,
            ", ".join(f"{what}: {a:,} sent, {b:,} arrived" for what, (a, b) in differing.items())
            or f"{sum(sent.values()):,}",
        ),
        Check(
            "nothing was refused, with 429 or otherwise",
            not refused,
            ", ".join(f"{what}: {count:,}" for what, count in refused.items()) or "none",
        ),
    ]


def _counts(states: Mapping[str, str]) -> str:
    return ", ".join(f"{count:,} {state}" for state, count in sorted(Counter(states.values()).items()))


def _first(problems: Sequence[object]) -> str:
    if not problems:
        return ""
    more = f" (and {len(problems) - 1:,} more)" if len(problems) > 1 else ""
    return f"{problems[0]}{more}"


class CountingTransport:
    """Counts the requests that it passes on; those to another origin than the API's as ``storage.get``."""

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


@frozen(kw_only=True)
class DemoReport:
    """The facts and the checks."""

    url: str
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
            "files": self.job.verified.files + self.job.verified.manifests,
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

    def table(self) -> RenderableType:
        """The summary for a person."""
        job, verified = self.job, self.job.verified
        made = Table(box=box.SIMPLE_HEAD, show_header=False, pad_edge=False)
        made.add_column(style="bold")
        made.add_column(justify="right")
        made.add_column(style="dim", overflow="fold")
        for title, rows in (
            ("Orders", [(state_text(state), count, "") for state, count in self.states.most_common()]),
            ("Requests", [(Text(what), self.requests[what], "") for what in sorted(self.requests)]),
        ):
            made.add_row(title, f"[bold]{sum(count for _, count, _ in rows):,}[/]", "")
            for name, count, note in rows:
                made.add_row(Text.assemble("  ", name, style="not bold"), f"{count:,}", note)
            made.add_section()
        where = Text("in a temporary folder, removed by now" if self.folder is None else f"in {self.folder}")
        made.add_row("Files", f"{verified.files + verified.manifests:,}", where)
        made.add_row("Bytes", size_text(verified.bytes), "")
        made.add_row(
            "Checksums verified",
            f"{verified.files:,}",
            "all files but the manifests, read again from the disk",
        )
        made.add_row(
            "Cancelled",
            f"{job.cancelled.succeeded:,}",
            f"of {len(job.to_cancel):,} more orders that stayed queued, in one request",
        )
        made.add_row("Elapsed", f"{self.elapsed:.1f} s", "without the rate limits of the real API")
        checks = Table.grid(padding=(0, 1))
        for check in self.checks:
            mark = Text("✔", style="green") if check.good else Text("✘", style="bold red")
            checks.add_row(mark, check.title, Text(clean(check.found), style="dim" if check.good else "red"))
        verdict = (
            Text("All checked, all right.", style="bold green")
            if not self.failed
            else Text(f"{len(self.failed)} of {len(self.checks)} checks failed.", style="bold red")
        )
        return Group(made, checks, Text(), verdict)


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
            print_error(f"the demo failed: {check.title}: {check.found}")
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
