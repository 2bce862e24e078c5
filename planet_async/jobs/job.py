"""Many orders from request to files: placed, waited for and downloaded side by side; see `Orders.run`."""

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from itertools import islice
from pathlib import Path
from typing import Any

import anyio
import msgspec
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint
from attrs import frozen

from planet_async._tasks import Send, cancelled_externally, run_in_thread
from planet_async.clock import Clock
from planet_async.config import Schedule
from planet_async.errors import Conflict, InvalidRequest, LedgerError, PlanetError, StatusError
from planet_async.jobs.ledger import Entry, Ledger, Stage, paths_there
from planet_async.models.codec import checked_body
from planet_async.models.order_request import OrderRequest
from planet_async.models.orders import (
    ENDED_BADLY,
    DownloadedOrder,
    Order,
    OrderCounts,
    OrderState,
    OrderStats,
)
from planet_async.outcome import Outcome

Asked = OrderRequest | Mapping[str, Any]
Request = tuple[str, bytes, InvalidRequest | None]
"""The name of what is to be ordered, the JSON to send, and what is wrong with it."""


_AT_ONCE = 10  # a request with a large area takes a millisecond or more to check


def checked_requests(requests: Iterable[Asked] | AsyncIterable[Asked]) -> AsyncGenerator[Request]:
    """Yield the requests; of a sequence all are checked first, and the first wrong one is raised.

    That is done for a few of them now, and for the others bit by bit.
    """
    if isinstance(requests, Sequence):
        rest = iter([*requests])
        return _given(deque(map(_sound, islice(rest, _AT_ONCE))), rest)
    return _each(requests)


async def _given(checked: deque[Request], rest: Iterable[Asked]) -> AsyncGenerator[Request]:
    for request in rest:
        await checkpoint()  # ten thousand may take seconds
        checked.append(_sound(request))
    while checked:
        yield checked.popleft()


async def _each(requests: Iterable[Asked] | AsyncIterable[Asked]) -> AsyncGenerator[Request]:
    if isinstance(requests, AsyncGenerator):
        async with aclosing(requests):  # trio warns of one that is dropped
            async for request in requests:
                yield _checked(request)
    elif isinstance(requests, AsyncIterable):
        async for request in requests:
            yield _checked(request)
    else:
        for request in requests:
            yield _checked(request)


def _sound(request: Asked) -> Request:
    return _name(request), checked_body(OrderRequest, request), None


def _checked(request: Asked) -> Request:
    name = _name(request)
    try:
        return name, checked_body(OrderRequest, request), None
    except InvalidRequest as error:
        # It may be nothing that JSON can hold, but in a ledger it is known by its name and what is wrong.
        name = name.encode(errors="replace").decode()
        return name, msgspec.json.encode({"name": name, "wrong": str(error)}), error


def _name(request: object) -> str:
    if isinstance(request, OrderRequest):
        return request.name
    return str(request.get("name", "")) if isinstance(request, Mapping) else ""


_TRIED_ANYWAY = 20  # looks, after which an order is sent whatever they showed
_MOST_SILENT = 6  # looks in a row that were not answered at all


class QueueGate:
    """Holds back all that want to order while the queue is full, and counts it with one request a look."""

    def __init__(self, stats: Callable[[], Awaitable[OrderStats]], clock: Clock, schedule: Schedule) -> None:
        self._stats = stats
        self._clock = clock
        self._schedule = schedule
        self._door = anyio.Lock()
        self._times = 0  # that it was full
        self._looks = 0  # since there last was room
        self._silent = 0  # looks since there last was an answer

    async def wait(self) -> int:
        """Return when the queue may have room; give what `wait_after` wants to know."""
        async with self._door:
            return self._times

    async def wait_after(self, refusal: Conflict, times: int) -> None:
        """Wait until orders have left the queue that was too full for this one.

        Raises the refusal where that was not why, or where the service tells nothing any more.
        """
        async with self._door:
            if times != self._times:  # another one has waited for it
                if self._silent >= _MOST_SILENT:
                    raise refusal
                return
            self._times += 1
            before = await self._counts()
            if before is not None and not before.queued_orders + before.running_orders:
                raise refusal
            if self._silent >= _MOST_SILENT:
                raise refusal
            while True:
                self._looks += 1
                await self._clock.sleep(self._schedule.pause(self._looks))
                now = await self._counts()
                if now is not None and before is not None and _has_moved(before, now):
                    self._looks = 0
                    return
                if now is None or before is None or not self._looks % _TRIED_ANYWAY:
                    return

    async def _counts(self) -> OrderCounts | None:
        try:
            counts = (await self._stats()).organization
        except StatusError:
            counts = None
        except PlanetError:
            self._silent += 1
            return None
        self._silent = 0
        return counts


def _has_moved(before: OrderCounts, now: OrderCounts) -> bool:
    return now.queued_orders < before.queued_orders or (
        now.queued_orders + now.running_orders < before.queued_orders + before.running_orders
    )


_PLACED_AT_ONCE = 8
_UNDELIVERED = 1_000  # orders that may be finished and not downloaded, beyond those at the service
_CLOCK_DOUBT = 60.0  # seconds that this machine's clock may have been set by since a job was killed
_RECENT = 120.0  # seconds: an order noted longer ago cannot be taken for one that is sent now
_UNFINISHED = frozenset({OrderState.QUEUED, OrderState.RUNNING})

Told = Outcome[DownloadedOrder]


@frozen
class Calls:
    """What a job does with the service.

    `find` looks for what a create of so many seconds ago has made, which is none of the ids given.  `wait`
    wants to know whether the order was unfinished a moment ago.
    """

    create: Callable[[bytes], Awaitable[Order]]
    find: Callable[[bytes, float, Iterable[str]], Awaitable[Order | None]]
    claim: Callable[[Iterable[str]], None]
    release: Callable[[str], None]
    wait: Callable[[str, bool], Awaitable[Order]]
    download: Callable[[Order], Awaitable[list[Path]]]


class Job:
    """One job.  It holds only what is under way: a request is read when it can be placed."""

    def __init__(
        self,
        requests: AsyncGenerator[Request],
        calls: Calls,
        ledger: Ledger,
        room: QueueGate,
        *,
        clock: Clock,
        consistency_delay: float,
        folder: Path,
        max_queued: int,
        concurrency: int,
        on_update: Callable[[Order], None] | None,
    ) -> None:
        if min(max_queued, concurrency) < 1:
            raise InvalidRequest("max_queued and concurrency must be at least 1")
        self._requests = requests
        self._calls = calls
        self._ledger = ledger
        self._room = room
        self._clock = clock
        self._settled_at = clock.monotonic() + consistency_delay
        self._folder = folder
        self._placing = anyio.Semaphore(_PLACED_AT_ONCE)
        self._queued = anyio.Semaphore(max_queued)
        self._under_way = anyio.Semaphore(max_queued + _UNDELIVERED)
        self._downloading = anyio.Semaphore(concurrency)
        self._on_update = on_update or (lambda _: None)

    async def run(self, send: Send[Told]) -> None:
        """Send the outcome of each request as it is done; what reading the requests raises comes last."""
        async with self._ledger, aclosing(self._requests):
            self._calls.claim(await self._ledger.ids(seconds=_RECENT))
            try:
                async with anyio.create_task_group() as group:
                    broken = await self._begin_all(group, send)
                if group.cancel_scope.cancel_called:
                    raise cancelled_externally()
            except ExceptionGroup as failed:
                raise failed.exceptions[0] from None
        if broken is not None:
            raise broken

    async def _begin_all(self, group: TaskGroup, send: Send[Told]) -> Exception | None:
        while True:
            await self._under_way.acquire()
            await self._placing.acquire()
            try:
                request = await anext(self._requests)
            except StopAsyncIteration:
                return None
            except Exception as error:  # noqa: BLE001 - the caller's own, who gets it when what was begun is done
                return error
            group.start_soon(self._begin, request, group, send)

    async def _begin(self, request: Request, group: TaskGroup, send: Send[Told]) -> None:
        name, body, wrong = request
        entry = await self._ledger.take(name, body)
        is_known = entry.order_id is not None
        told = await self._refused(entry, wrong) or await self._there(entry) or await self._place(entry, body)
        if told is None:
            just_seen = not is_known and entry.order_state in _UNFINISHED
            # In a task of its own, which does not hold the request.
            group.start_soon(self._follow, entry, send, just_seen)
        else:
            await send(told)
            self._under_way.release()
        self._placing.release()

    async def _place(self, entry: Entry, body: bytes) -> Told | None:
        """See to it that there is an order, and only one; give the outcome where there is none."""
        await self._queued.acquire()
        if entry.order_id is not None:
            self._on_update(_known_order(entry))
            return None
        try:
            order = await self._find(entry, body) or await self._create(entry, body)
        except LedgerError:
            raise
        except PlanetError as error:
            self._queued.release()
            return await self._failed(entry, entry.stage, error)
        entry.stage, entry.order_id, entry.order_state = Stage.ORDERED, order.id, order.state
        try:
            await self._save(entry)
        except BaseException:
            self._calls.release(order.id)  # the next job may be of this very process
            raise
        self._on_update(order)
        return None

    async def _find(self, entry: Entry, body: bytes) -> Order | None:
        """Ask what became of a request that was being sent when an earlier job ended."""
        if entry.stage is not Stage.SENDING or entry.sent is None:
            return None
        # What an earlier job sent in its last moment may not be listed yet.
        await self._clock.sleep(self._settled_at - self._clock.monotonic())
        seconds = max(0.0, self._clock.now().timestamp() - entry.sent) + _CLOCK_DOUBT
        return await self._calls.find(body, seconds, await self._ledger.ids(name=entry.name))

    async def _create(self, entry: Entry, body: bytes) -> Order:
        while True:
            times = await self._room.wait()
            entry.stage, entry.sent = Stage.SENDING, self._clock.now().timestamp()
            await self._save(entry)
            try:
                return await self._calls.create(body)
            except Conflict as refusal:
                entry.stage = Stage.INTENDED
                await self._save(entry)
                await self._room.wait_after(refusal, times)
            except PlanetError as error:
                if not error.may_have_acted:
                    entry.stage = Stage.FAILED
                raise

    async def _follow(self, entry: Entry, send: Send[Told], just_seen: bool) -> None:
        """Wait for the order and fetch its files."""
        try:
            told = Outcome(entry.order_id or "", await self._deliver(entry, just_seen))
        except LedgerError:
            raise
        except PlanetError as error:
            told = await self._failed(entry, entry.stage, error)
        await send(told)
        self._under_way.release()

    async def _deliver(self, entry: Entry, just_seen: bool) -> DownloadedOrder:
        try:
            order = await self._calls.wait(entry.order_id or "", just_seen)
        finally:
            self._queued.release()
        entry.order_state = order.state
        if order.state in ENDED_BADLY:
            entry.stage = Stage.FAILED  # noted with the reason, which `download` gives
        else:
            entry.stage = Stage.FINISHED
            await self._save(entry)
        self._on_update(order)
        async with self._downloading:
            paths = tuple(await self._calls.download(order))
        await self._ledger.keep(entry, self._folder, paths)
        return DownloadedOrder(order, paths)

    async def _refused(self, entry: Entry, wrong: InvalidRequest | None) -> Told | None:
        """Give the outcome of what cannot be ordered, or has ended badly, and is not ordered again."""
        if wrong is not None:
            return await self._failed(entry, Stage.FAILED, wrong)
        if entry.stage is Stage.FAILED and entry.order_id is not None:
            self._on_update(_known_order(entry))
            error = PlanetError(
                (entry.error or "").rstrip("."), hint="An earlier run with this ledger met this."
            )
            return Outcome(entry.order_id or entry.name, error=error)
        return None

    async def _there(self, entry: Entry) -> Told | None:
        """Give the outcome of what an earlier job has done, if its files are still there."""
        if entry.stage is not Stage.DOWNLOADED or entry.order_id is None:
            return None
        paths = await run_in_thread(paths_there, entry.files, self._folder)
        if not paths:
            entry.files = ()
            return None
        order = _known_order(entry)
        self._on_update(order)
        return Outcome(order.id, DownloadedOrder(order, paths))

    async def _save(self, entry: Entry) -> None:
        entry.error = entry.error_type = None
        await self._ledger.save(entry)

    async def _failed(self, entry: Entry, stage: Stage, error: PlanetError) -> Told:
        entry.stage, entry.error, entry.error_type = stage, str(error), type(error).__name__
        await self._ledger.save(entry)
        return Outcome(entry.order_id or entry.name, error=error)


def _known_order(entry: Entry) -> Order:
    """Give as much of an order as an entry knows."""
    return Order(entry.order_id or "", OrderState(entry.order_state or OrderState.QUEUED), entry.name)
