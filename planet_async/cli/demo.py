"""The command `planet-async demo`: the main job on a simulated Planet, and a check of what happened."""

import hashlib
import json
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import cycle, islice
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import anyio.to_thread
import typer
from attrs import define, evolve, field, frozen
from rich.filesize import decimal
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
    Schedule,
    where,
)
from planet_async.cli.input import InputRequest, read_requests
from planet_async.cli.options import folder_option
from planet_async.cli.orders import JobProgress
from planet_async.cli.output import (
    TABLE,
    Format,
    ProgressDisplay,
    clean,
    print_document,
    print_error,
    states_text,
    stderr,
    stdout,
)
from planet_async.cli.process import FAILED, reporting, run_async
from planet_async.cli.runner import for_each
from planet_async.cli.simulate import require_server

if TYPE_CHECKING:  # other commands start without the simulator
    from planet_async.simulator import OrderPlan, Simulator

_FILE_BYTES = 32_000
_FIRST_REFUSAL = 400
_MOST_SCENES = 500
_FARM = {
    "type": "Polygon",
    "coordinates": [[[18.41, -33.86], [18.47, -33.86], [18.47, -33.81], [18.41, -33.81], [18.41, -33.86]]],
}
_SCHEDULE = Schedule(first=0.4, factor=1.3, longest=1.0)
_STAYS_QUEUED = "-stays-queued"
_VERIFIED_AT_ONCE = 2


def demo(
    to: Annotated[Path | None, folder_option("Keep the files here, not in a temporary folder.")] = None,
    orders: Annotated[
        int,
        typer.Option(
            min=1, max=5000, metavar="N", help="Orders to download; a quarter as many more are cancelled."
        ),
    ] = 200,
    form: Format = TABLE,
) -> None:
    """Order, wait, download, verify and cancel, on a Planet simulated on this machine. Needs no key.

    Exit code 0 says that everything was checked and is right.
    """
    with reporting(), TemporaryDirectory(prefix="planet-async-demo-") as temporary:
        require_server()
        if to is not None:
            to.mkdir(parents=True, exist_ok=True)
        job, simulator, started = Job(to or Path(temporary), orders), make_simulator(), time.monotonic()
        _run(job, simulator)
        report = _Report(job, simulator.requests, audit(job, simulator), time.monotonic() - started, to)
        if form != TABLE:
            print_document(report.document, form)
        else:
            report.print()
        for check in report.failed:
            print_error(f"the demo failed: {check.title}: {check.found}")
        if report.failed:
            raise typer.Exit(FAILED)


def make_simulator() -> "Simulator":
    """Make a Planet without rate limits, whose orders take a few seconds each."""
    from planet_async.simulator import Limits, Simulator  # noqa: PLC0415 - see above

    seed = random.randrange(2**32)  # noqa: S311 - other ids in each run, so that --to can be used again
    return Simulator(limits=Limits.unlimited(), plan=plan, file_bytes=_FILE_BYTES, seed=seed)


def plan(order: Mapping[str, Any], number: int) -> "OrderPlan":
    """Plan an order of the simulator: it takes one to two seconds, or stays queued for ever."""
    from planet_async.simulator import OrderPlan  # noqa: PLC0415 - see above

    if order["name"].endswith(_STAYS_QUEUED):
        return OrderPlan(queue_seconds=inf)
    return OrderPlan(
        queue_seconds=0.2 + number % 5 / 5,
        run_seconds=0.4 + number % 7 / 7,
        state="partial" if order.get("order_type") == "partial" else "success",
    )


def _run(job: "Job", simulator: "Simulator") -> None:
    from planet_async.simulator.server import serve  # noqa: PLC0415 - needs an extra

    with serve(simulator) as url:
        config = Config(base_url=url, rates={}, schedule=_SCHEDULE, trust_env=False)

        async def work() -> bool:
            async with Planet(config, credentials=ApiKey("demo")) as planet:
                await job.run(planet)
            return True

        stderr().print(
            f"A simulated Planet is at [bold]{url}[/].\n"
            "The rate limits of the real one (3 orders a second) are lifted on both sides.",
            highlight=False,
        )
        run_async(work)


# --- The job


@frozen
class Verified:
    """How many files of an order had the checksum of their manifest, all bytes, and what was wrong."""

    files: int = 0
    bytes: int = 0
    problems: Sequence[str] = ()


@define
class Job:
    """The work of the demo, and its results."""

    folder: Path
    orders: int
    scenes: list[str] = field(factory=list)
    placed: dict[str, Order] = field(factory=dict)
    to_cancel: set[str] = field(factory=set)
    cancelled: BulkResult = field(factory=lambda: BulkResult(0))
    outcomes: list[Outcome[DownloadedOrder]] = field(factory=list)
    listed: list[Order] = field(factory=list)
    verified: list[Verified] = field(factory=list)
    errors: list[PlanetError] = field(factory=list)

    @property
    def cancels(self) -> int:
        """How many more orders are placed to be cancelled."""
        return max(1, self.orders // 4)

    @property
    def downloaded(self) -> int:
        """The files of all orders."""
        return sum(len(outcome.value.paths) for outcome in self.outcomes if outcome.value is not None)

    async def run(self, planet: Planet) -> None:
        """Find scenes; place and cancel some orders; place, download and verify the others; list all."""
        async with ProgressDisplay(each_step=True).shown() as display:
            await self._find_scenes(planet, display)
            if not self.scenes:
                return
            await self._cancel_some(planet, display)
            await self._download_others(planet, display)
            await self._verify(display)
            self.listed = await planet.orders.list(page_size=100).collect()

    async def _find_scenes(self, planet: Planet, display: ProgressDisplay) -> None:
        finding = display.step("Finding scenes", 1)
        found = planet.data.search("PSScene", filter=where.permission(), geometry=_FARM)
        try:
            self.scenes = [scene.id for scene in await found.collect(limit=_MOST_SCENES)]
        except PlanetError as error:
            self.errors.append(error)
        finding.advance(f"{len(self.scenes):,} scenes of a farm")

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

        await for_each(_requests(self.scenes, self.cancels, _STAYS_QUEUED), place)
        cancelling = display.step("Cancelling these", 1)
        try:
            self.cancelled = await planet.orders.cancel_many(self.to_cancel)
        except PlanetError as error:
            self.errors.append(error)
        cancelling.advance(f"{self.cancelled.succeeded:,} queued orders, in one request")

    async def _download_others(self, planet: Planet, display: ProgressDisplay) -> None:
        requests = _requests(self.scenes, self.orders)
        progress = JobProgress(display, requests, len(requests))
        bodies = [request.body for request in requests]
        async for outcome in planet.orders.run(
            bodies, self.folder, progress=display.receive, on_update=progress.update
        ):
            progress.end(outcome)
            self.outcomes.append(outcome)
            if outcome.error is not None:
                self.errors.append(outcome.error)
        self.placed |= progress.orders

    async def _verify(self, display: ProgressDisplay) -> None:
        delivered = [outcome.id for outcome in self.outcomes if outcome.error is None]
        step = display.step("Verifying files", len(delivered))

        async def verify(order_id: str) -> None:
            self.verified.append(await anyio.to_thread.run_sync(verify_order, self.folder / order_id))
            step.advance(f"{sum(each.files for each in self.verified):,} checksums")

        await for_each(delivered, verify, at_once=_VERIFIED_AT_ONCE)


def templates() -> list[InputRequest]:
    """Return the request files of the package."""
    files = sorted((Path(__file__).parent / "requests").glob("*.json"))
    return read_requests([str(file) for file in files], OrderRequest)


def _requests(scenes: Sequence[str], count: int, suffix: str = "") -> list[InputRequest]:
    """Return the shipped requests over and over, each for other scenes and with a name of its own."""
    requests, ids = [], cycle(scenes)
    for number, template in enumerate(islice(cycle(templates()), count)):
        products = [
            {**product, "item_ids": [*islice(ids, len(product["item_ids"]))]}
            if "item_ids" in product
            else product
            for product in template.body["products"]
        ]
        name = f"{template.body['name']}-{number:03}{suffix}"
        requests.append(evolve(template, body={**template.body, "name": name, "products": products}))
    return requests


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
    return Verified(good, size, problems)


# --- What came of it


@frozen
class Check:
    """A check of the summary: what must hold, whether it does, and the facts that were `found`."""

    title: str
    good: bool
    found: str


def audit(job: Job, simulator: "Simulator") -> list[Check]:
    """Check everything that the demo claims."""
    states = {id_: order.state for id_, order in simulator.orders.items()}
    cancelled = {id_ for id_, state in states.items() if state == "cancelled"}
    listed = {order.id: str(order.state) for order in job.listed}
    failures = [outcome.error for outcome in job.outcomes if outcome.error is not None]
    unverified = [problem for each in job.verified for problem in each.problems]
    verified = sum(each.files for each in job.verified)
    partial = sorted(job.folder.rglob("*.part"))
    wanted = job.orders + job.cancels
    fetched = simulator.requests["storage.get"]
    refused = [
        f"{count:,} x {what} {status}"
        for (what, status), count in simulator.responses.items()
        if status >= _FIRST_REFUSAL
    ]
    return [
        Check(
            "scenes to order were found",
            bool(job.scenes),
            _first(job.errors) if not job.scenes else f"{len(job.scenes):,}",
        ),
        Check(
            "each order was placed once",
            len(job.placed) == wanted and job.placed.keys() == states.keys(),
            _first(job.errors) or f"{wanted:,} wanted, {len(job.placed):,} placed, {len(states):,} there",
        ),
        Check(
            "each order came with all its files",
            len(job.outcomes) == job.orders and not failures,
            _first(failures) or f"{len(job.outcomes):,} of {job.orders:,}",
        ),
        Check(
            "the states are the simulator's",
            listed == states,
            ", ".join(f"{count:,} {state}" for state, count in sorted(Counter(listed.values()).items())),
        ),
        Check(
            "each file has its manifest's SHA-256",
            not unverified
            and len(job.verified) == job.orders
            and verified + len(job.verified) == job.downloaded,
            _first(unverified) or f"{verified:,} files, and {len(job.verified):,} manifests",
        ),
        Check("no part of a file is left", not partial, _first(partial) or "none"),
        Check(
            "each file was fetched once",
            fetched == job.downloaded,
            f"{fetched:,} requests for {job.downloaded:,} files",
        ),
        Check(
            "only the chosen orders were cancelled",
            job.cancelled.succeeded == job.cancels and cancelled == job.to_cancel,
            f"{job.cancels:,} wanted, {job.cancelled.succeeded:,} reported, {len(cancelled):,} there",
        ),
        Check("nothing was refused", not refused, ", ".join(refused) or "no 429, no other error"),
    ]


def _first(problems: Sequence[object]) -> str:
    more = f" (and {len(problems) - 1:,} more)" if len(problems) > 1 else ""
    return f"{problems[0]}{more}" if problems else ""


_WHAT_NEXT = """\
[bold green]Everything was checked, and is right.[/] What next:
  planet-async simulate            such a Planet, for your own programs
  planet-async orders run --help   the same job, for your requests and key
  planet-async data search --help  how to find what to order"""


@frozen
class _Report:
    """The facts and the checks."""

    job: Job
    requests: Mapping[str, int]
    checks: Sequence[Check]
    elapsed: float
    folder: Path | None

    @property
    def failed(self) -> list[Check]:
        return [check for check in self.checks if not check.good]

    @property
    def document(self) -> dict[str, Any]:
        return {
            "ok": not self.failed,
            "orders": dict(sorted(self._states().items())),
            "requests": dict(sorted(self.requests.items())),
            "files": self.job.downloaded,
            "bytes": self._bytes(),
            "checksums_verified": sum(each.files for each in self.job.verified),
            "cancelled": self.job.cancelled.succeeded,
            "elapsed_seconds": round(self.elapsed, 2),
            "rate_limits": "lifted on both sides",
            "folder": self.folder and str(self.folder),
            "checks": [
                {"title": check.title, "ok": check.good, "found": clean(check.found)} for check in self.checks
            ],
        }

    def _states(self) -> Counter[str]:
        return Counter(str(order.state) for order in self.job.listed)

    def _bytes(self) -> int:
        return sum(each.bytes for each in self.job.verified)

    def print(self) -> None:
        """Print the summary for a person, which fits on a terminal of 80 columns and 24 lines."""
        fetched, states = self.requests["storage.get"], self._states()
        facts = Table.grid(padding=(0, 2))
        facts.add_column(style="bold")
        facts.add_column(justify="right")
        facts.add_column(style="dim")
        where = f"in {self.folder}" if self.folder else "in a temporary folder, removed by now"
        for name, number, note in (
            ("Orders", f"{len(self.job.listed):,}", states_text(dict(states.most_common()))),
            ("", "", "partial ones lack an item, which their requests allow" if states["partial"] else None),
            ("Files", f"{self.job.downloaded:,}", Text(f"{decimal(self._bytes())}, {where}")),
            (
                "Requests",
                f"{sum(self.requests.values()):,}",
                f"{self.requests['orders.download']:,} for links to files, {fetched:,} for the files",
            ),
            ("Seconds", f"{self.elapsed:.1f}", "without the rate limits of the real API"),
        ):
            if note is not None:
                facts.add_row(name, number, note)
        checks = Table.grid(padding=(0, 1))
        for check in self.checks:
            mark, style = (Text("✔", "green"), "dim") if check.good else (Text("✘", "bold red"), "red")
            checks.add_row(mark, check.title, Text(clean(check.found), style))
        console = stdout()
        console.print(facts, checks, sep="\n")
        if self.failed:
            console.print(f"{len(self.failed)} of {len(self.checks)} checks failed.", style="bold red")
        else:
            console.print(_WHAT_NEXT, highlight=False)
