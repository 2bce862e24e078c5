"""The job of the demo, step by step, with only the library's public functions."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from importlib import resources
from itertools import cycle, islice
from math import inf
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from attrs import define, field

from planet_async import CancelResult, Order, Outcome, Planet, PlanetError
from planet_async.cli.batch import Result, fetch, place
from planet_async.cli.demo.verify import Verified, verify_order
from planet_async.cli.progress import Board, Step, states_text
from planet_async.cli.requests import RequestFile, parse_request
from planet_async.simulator import OrderPlan

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
    folder = resources.files("planet_async.cli.demo") / "requests"
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
    cancelled: CancelResult = field(factory=lambda: CancelResult(0))
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
        with Board(keep=True) as board:
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

    async def _place(self, planet: Planet, board: Board) -> None:
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

    async def _cancel(self, planet: Planet, board: Board) -> None:
        step = board.step("Cancelling some", 1)
        try:
            self.cancelled = await planet.orders.cancel_many(self.to_cancel)
        except PlanetError as error:
            self.errors.append(error)
        step.advance(f"{self.cancelled.succeeded:,} of {len(self.to_cancel):,} queued orders, in one request")

    async def _deliver(self, planet: Planet, board: Board) -> None:
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

    async def _verify(self, board: Board) -> None:
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
