"""`orders create`, `get`, `list` and `stats`."""

from collections import Counter
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import anyio
import typer
from attrs import frozen
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from planet_async import (
    BulkResult,
    DownloadedOrder,
    Order,
    OrderRequest,
    OrderStats,
    Outcome,
    Planet,
    PlanetError,
)
from planet_async.cli.output import (
    Json,
    ProgressDisplay,
    Step,
    clean,
    listing,
    panel,
    print_json,
    print_json_line,
    state_text,
    states_text,
    stdout,
    table,
    time_text,
    wants_json,
)
from planet_async.cli.runner import (
    INTERVAL,
    Folder,
    Limit,
    Name,
    NameContains,
    Overwrite,
    PageSize,
    RequestFile,
    UserId,
    Yes,
    act_on_each,
    confirm_bulk,
    for_each,
    one_line,
    one_of,
    print_error,
    read_requests,
    reporting,
    requests_in,
    show_list,
    show_one,
    with_planet,
)


def order_line(order: Order) -> Text:
    """Give an order in one line."""
    return Text.assemble((order.id, "bold"), "  ", state_text(order.state), "  ", clean(order.name))


def orders_table(orders: Sequence[Order]) -> RenderableType:
    """Give orders as a table."""
    rows = [
        (order.id, state_text(order.state), time_text(order.created_on), clean(order.name))
        for order in orders
    ]
    return listing("orders", ("id", "state", "created (UTC)", "name"), rows)


def order_panel(order: Order) -> RenderableType:
    """Give one order with all that matters of it."""
    facts = (
        ("id", order.id),
        ("state", state_text(order.state)),
        ("created", time_text(order.created_on)),
        ("changed", time_text(order.last_modified)),
        ("message", order.last_message),
        ("hints", "; ".join(order.error_hints)),
        ("products", "; ".join(map(_product, order.products))),
        ("tools", ", ".join(name for tool in order.tools for name in tool)),
        ("delivery", ", ".join(order.delivery or ())),
        ("hosting", ", ".join(order.hosting or ())),
    )
    rows = [
        (
            clean(result.name.removeprefix(f"{order.id}/")),
            clean(result.delivery),
            time_text(result.expires_at),
        )
        for result in order.results
    ]
    files: list[RenderableType] = [Text(), table(("file", "delivery", "link expires (UTC)"), rows)]
    return panel(order.name, facts, *(files if rows else []))


def stats_table(stats: OrderStats) -> Table:
    """Give the counts of active orders."""
    made = table(
        ("", "queued", "running"),
        [
            (whose, f"{counts.queued_orders:,}", f"{counts.running_orders:,}")
            for whose, counts in (("yours", stats.user), ("organization", stats.organization))
        ],
    )
    made.columns[1].justify = made.columns[2].justify = "right"
    return made


def _product(product: Mapping[str, Any]) -> str:
    if "mosaic_name" in product:
        quads = product.get("quad_ids")
        part = f"{len(quads):,} quads" if isinstance(quads, list) else "by geometry"
        return f"{product['mosaic_name']}, {part}"
    items = product.get("item_ids")
    count = len(items) if isinstance(items, list) else 0
    return f"{count:,} x {product.get('item_type')}, {product.get('product_bundle')}"


RequestFiles = Annotated[
    list[str], typer.Argument(metavar="REQUEST.json", help="Order requests; - is standard input.")
]
OrderId = Annotated[str, typer.Argument(metavar="ID", help="The id of an order.")]
_STATES = ["queued", "running", "success", "partial", "failed", "cancelled"]


def create(context: typer.Context, files: RequestFiles, json: Json = False) -> None:
    """Place orders, each as a JSON file describes it.

    All files are checked before the first order is placed.

    [dim]planet-async orders create farm.json coast.json[/]
    """
    act_on_each(
        context,
        requests_in(files, OrderRequest),
        lambda planet, request: planet.orders.create(request.body),
        order_line,
        json=json,
    )


def get(context: typer.Context, order_id: OrderId, json: Json = False) -> None:
    """Show an order.

    [dim]planet-async orders get 4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11 | jq .state[/]
    """
    show_one(context, lambda planet: planet.orders.get(order_id), order_panel, json=json)


def list_(
    context: typer.Context,
    *,
    state: Annotated[list[str] | None, one_of("In this state", _STATES)] = None,
    name: Name = None,
    name_contains: NameContains = None,
    created_on: Annotated[str | None, typer.Option(metavar="TIME", help=f"Created then. {INTERVAL}")] = None,
    last_modified: Annotated[
        str | None, typer.Option(metavar="TIME", help="Changed then; written as for --created-on.")
    ] = None,
    source_type: Annotated[str, typer.Option(help="scenes, basemaps or all.")] = "all",
    hosting: Annotated[
        bool | None, typer.Option("--hosting/--no-hosting", help="Hosted by Planet, or not.")
    ] = None,
    destination_ref: Annotated[
        str | None, typer.Option(metavar="REF", help="Delivered there: pl:destinations/...")
    ] = None,
    user_id: UserId = None,
    sort_by: Annotated[
        str | None,
        typer.Option(metavar="FIELD", help="name, created_on, state or last_modified; also 'name DESC'."),
    ] = None,
    limit: Limit = None,
    page_size: PageSize = None,
    json: Json = False,
) -> None:
    """List orders, the newest first. As JSON: one order a line.

    [dim]planet-async orders list --state queued --state running --limit 20[/]

    [dim]planet-async orders list --name-contains farm | jq -r .id[/]
    """
    show_list(
        context,
        lambda planet: planet.orders.list(
            state=state or None,
            name=name,
            name__contains=name_contains,
            created_on=created_on,
            last_modified=last_modified,
            source_type=source_type,
            hosting=hosting,
            destination_ref=destination_ref,
            user_id=user_id,
            sort_by=sort_by,
            page_size=page_size or 500,
        ),
        orders_table,
        limit=limit,
        json=json,
    )


def stats(context: typer.Context, json: Json = False) -> None:
    """Count the queued and running orders, yours and those of your organization."""
    show_one(context, lambda planet: planet.orders.stats(), stats_table, json=json)


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
    confirm_bulk(
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
            print_error(f"{clean(failure.id)} is not cancelled: {failure.message}")
        return not result.failures

    with_planet(context, work)


def _counts(result: BulkResult) -> str:
    """Give the groups in a line: 2 cancelled, 1 not found."""
    reasons = Counter(failure.reason.replace("_", " ") for failure in result.failures)
    groups = [(result.succeeded, "cancelled"), *((count, reason) for reason, count in reasons.items())]
    return ", ".join(f"{count:,} {clean(group)}" for count, group in groups)


def _document(result: BulkResult) -> dict[str, object]:
    failures = [
        {"order_id": failure.id, "reason": failure.reason, "message": failure.message}
        for failure in result.failures
    ]
    return {"succeeded": result.succeeded, "failures": failures}


T = TypeVar("T")

_DOWNLOADED_AT_ONCE = 4
_BAD_ENDS = frozenset({"failed", "cancelled"})


@frozen
class Result:
    """What became of one order: its files, or the error that stood in the way."""

    id: str | None
    name: str = ""
    state: str = ""
    error_hints: tuple[str, ...] = ()
    paths: tuple[Path, ...] | None = None
    error: PlanetError | None = None

    @property
    def good(self) -> bool:
        """Whether it ended as one would wish."""
        return self.error is None and self.state not in _BAD_ENDS

    @property
    def document(self) -> dict[str, Any]:
        """The same as JSON."""
        document: dict[str, Any] = {"id": self.id, "name": self.name, "state": self.state or None}
        if self.paths is not None:
            document["paths"] = [str(path) for path in self.paths]
        return {**document, "error_hints": self.error_hints, "error": self.error and str(self.error)}


def result_of(order: Order, **fields: Any) -> Result:
    """Describe an order as it stands."""
    return Result(order.id, order.name, order.state, order.error_hints, **fields)


class Seen:
    """The bars of a whole job, and the orders that it has seen."""

    def __init__(self, board: ProgressDisplay, total: int) -> None:
        self.orders: dict[str, Order] = {}
        self._board = board
        self._placing = board.step("Placing orders", total)
        self._waiting = board.step("Waiting for orders", total)
        self._downloading = board.step("Downloading", total)
        self._states: Counter[str] = Counter()

    def update(self, order: Order) -> None:
        """Take note of an order that was placed or has finished."""
        before = self.orders.get(order.id)
        if before is None:
            self._placing.advance()
        if order.state.is_final and not (before and before.state.is_final):
            self._states[order.state] += 1
            self._waiting.advance(states_text(self._states))
        self.orders[order.id] = order

    def end(self, outcome: Outcome[DownloadedOrder]) -> Result:
        """Say what became of an order in the end; one that was never placed is known by its name."""
        order = self.orders.get(outcome.id)
        if order is None:
            self._placing.advance()
            self._waiting.advance()
            result = Result(None, outcome.id, paths=(), error=outcome.error)
        else:
            self._board.forget(order.id)
            paths = () if outcome.error is not None else outcome.unwrap().paths
            result = result_of(order, paths=paths, error=outcome.error)
        self._downloading.advance(self._board.received)
        return result


async def place(
    planet: Planet, requests: Iterable[RequestFile], placed: Callable[[RequestFile, Outcome[Order]], None]
) -> None:
    """Place the orders, a few at a time, and report each."""

    async def create(request: RequestFile) -> None:
        try:
            order = await planet.orders.create(request.body)
        except PlanetError as error:
            placed(request, Outcome(request.source, error=error))
        else:
            placed(request, Outcome(order.id, order))

    await for_each(requests, create)


async def fetch(
    planet: Planet,
    finished: AsyncIterable[Outcome[Order]],
    folder: Path,
    board: ProgressDisplay,
    done: Callable[[Result], None],
    *,
    overwrite: bool = False,
) -> None:
    """Download the orders as they finish, a few at a time, and report each."""
    limit = anyio.CapacityLimiter(_DOWNLOADED_AT_ONCE)

    async def deliver(order: Order) -> None:
        async with limit:
            try:
                paths = await planet.orders.download(
                    order, folder, overwrite=overwrite, progress=board.receive
                )
            except PlanetError as error:
                done(result_of(order, paths=(), error=error))
            else:
                done(result_of(order, paths=tuple(paths)))
            finally:
                board.forget(order.id)

    async with anyio.create_task_group() as group:
        async for outcome in finished:
            if outcome.error is not None:
                done(Result(outcome.id, paths=(), error=outcome.error))
            else:
                group.start_soon(deliver, outcome.unwrap())


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
        with ProgressDisplay() as board:
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
        with ProgressDisplay() as board:
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
        with ProgressDisplay() as board:
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
                print_error(_problem(result))
        return all(result.good for result in self.results)


def _files(result: Result) -> str:
    return "" if result.paths is None else f"{len(result.paths):,}"


def _problem(result: Result) -> str:
    if result.error is not None:
        return one_line(result.error) if result.id else f"{result.name}: {one_line(result.error)}"
    return (
        f"order {result.id} is {result.state}: {'; '.join(result.error_hints) or 'the API gives no reason'}"
    )


def _downloaded(report: Report, step: Step, board: ProgressDisplay) -> Callable[[Result], None]:
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
            print_error("the orders placed go on; give the same command again to go on with the job")
        elif left := [id_ for id_ in seen.orders if id_ not in delivered]:
            print_error(
                "the orders placed go on; fetch them later with:"
                f" planet-async orders download {' '.join(left)} --to {to}"
            )
        raise
