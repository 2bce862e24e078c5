"""Many at a time: orders placed, waited for, downloaded; what fails for one stops no other."""

from collections import Counter
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import anyio
from attrs import frozen

from planet_async import DownloadedOrder, Order, Outcome, Planet, PlanetError
from planet_async.cli.progress import Board, states_text
from planet_async.cli.requests import RequestFile

T = TypeVar("T")

_AT_ONCE = 8
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

    def __init__(self, board: Board, total: int) -> None:
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


async def for_each(things: Iterable[T], act: Callable[[T], Awaitable[None]]) -> None:
    """Do it for each thing, a few at a time."""
    remaining = iter(things)

    async def worker() -> None:
        for thing in remaining:
            await act(thing)

    async with anyio.create_task_group() as group:
        for _ in range(_AT_ONCE):
            group.start_soon(worker)


async def fetch(
    planet: Planet,
    finished: AsyncIterable[Outcome[Order]],
    folder: Path,
    board: Board,
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
