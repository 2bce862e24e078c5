"""`Job`: many orders from request to files, placed, waited for and downloaded concurrently; see `Orders.run`.

One request goes through these states, each noted in its entry of the ledger before the next step is taken:

    INTENDED ─about to be sent─▶ SENDING ─response─▶ ORDERED ─wait─▶ FINISHED ─download─▶ DOWNLOADED
       ▲                          │   │                 │
       └────409, the queue is full┘   └─refused─▶ FAILED ◀─the order failed or was cancelled

A request that fails otherwise stays in its state, with the error noted.  A later job goes on from there:

    INTENDED, FAILED without an order   send the request
    SENDING                             look for the order (`recover`): adopt it, or send the request
    ORDERED, FINISHED                   wait for the order and download it
    DOWNLOADED                          report it without a request, or download it where files are missing
    FAILED with an order                report the error again: it is not ordered twice
"""

import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing, nullcontext, suppress
from datetime import datetime
from inspect import isawaitable
from pathlib import Path
from typing import Any

import anyio
import msgspec
from anyio.lowlevel import checkpoint
from attrs import define, field, frozen

from planet_async._events import error_fields
from planet_async._tasks import Send, TaskGroup, cancelled_externally, open_task_group
from planet_async.clock import Clock
from planet_async.config import Schedule
from planet_async.downloads.destination import Destination
from planet_async.errors import (
    Conflict,
    InvalidRequest,
    LedgerError,
    OrderNotDownloadable,
    PlanetError,
    StatusError,
    type_name,
)
from planet_async.jobs.ledger import Entry, Ledger, Stage
from planet_async.models.codec import checked_body
from planet_async.models.order_request import OrderRequest
from planet_async.models.orders import (
    ENDED_BADLY,
    DownloadedFiles,
    DownloadedOrder,
    Order,
    OrderCounts,
    OrderState,
    OrderStats,
)
from planet_async.outcome import Outcome

OrderRequestLike = OrderRequest | Mapping[str, Any]
"""A typed request, or a mapping in the words of the API."""

_CREATES = 8  # requests placed concurrently
_UNDELIVERED = 1_000  # orders that may be finished and not downloaded, beyond those at the service
_CLOCK_MARGIN = 60.0  # seconds that this machine's clock may have been set by since a job was killed
_DATE_MARGIN = 60.0  # seconds by which the clocks of the service's machines may differ
_DATE_TIMEOUT = 30.0  # seconds
_RECENT = 1_000.0  # seconds: an order noted longer ago cannot be taken for one that is sent now
_CHECKED_AT_CALL = 10  # requests; one with a large area takes a millisecond or more
_FORCED_AFTER = 20  # polls of the queue, after which an order is sent whatever they showed
_MAX_UNANSWERED = 6  # polls of the queue in a row without a response

logger: logging.Logger = logging.getLogger("planet_async.jobs")


@frozen
class CheckedRequest:
    """A request of the job: its name, the JSON to send, and the error if it is invalid."""

    name: str
    body: bytes
    error: InvalidRequest | None = None


@define
class Job:
    """One job.  It holds only what is in progress: a request is read when it can be placed.

    Of the service it uses: `create` places an order; `recover(body, seconds, others)` returns what a create
    of so many seconds ago has made, unless that is one of the `others`; `claim` notes the ids of orders that
    have an owner, and `release` undoes it; `wait(order_id, just_seen)` returns the finished order; `date`
    asks for the time by the service's clock.
    """

    requests: AsyncGenerator[CheckedRequest]
    ledger: Ledger
    to: Destination[Path | str]
    queue: "QueueGate"
    clock: Clock
    create: Callable[[bytes], Awaitable[Order]]
    recover: Callable[[bytes, float, Iterable[str]], Awaitable[Order | None]]
    claim: Callable[[Iterable[str]], None]
    release: Callable[[str], None]
    wait: Callable[[str, bool], Awaitable[Order]]
    download: Callable[[Order], Awaitable[DownloadedFiles]]
    date: Callable[[], Awaitable[datetime | None]]
    consistency_delay: float
    max_queued: int
    concurrency: int
    on_update: Callable[[Order], object] | None = None
    _service_clock: "ServiceClock" = field(init=False)
    _listed_at: float = field(init=False)  # when an order of an earlier job must be in the lists
    _creating: anyio.Semaphore = field(init=False)
    _queued: anyio.Semaphore = field(init=False)
    _in_progress: anyio.Semaphore = field(init=False)
    _downloading: anyio.Semaphore = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._service_clock = ServiceClock(self.date, self.clock)
        self._listed_at = self.clock.monotonic() + self.consistency_delay
        self._creating = anyio.Semaphore(_CREATES)
        self._queued = anyio.Semaphore(self.max_queued)
        self._in_progress = anyio.Semaphore(self.max_queued + _UNDELIVERED)
        self._downloading = anyio.Semaphore(self.concurrency)

    async def run(self, send: Send[Outcome[DownloadedOrder]]) -> None:
        """Send the outcome of each request when it is done; raise last what reading the requests raised."""
        await self.to.check()
        async with self.ledger, aclosing(self.requests):
            self.claim(await self.ledger.ids(seconds=_RECENT))
            async with open_task_group() as group:
                error = await self._start_all(group, send)
            if group.cancel_scope.cancel_called:
                raise cancelled_externally()
        if error is not None:
            raise error

    async def _start_all(self, group: TaskGroup, send: Send[Outcome[DownloadedOrder]]) -> Exception | None:
        while True:
            await self._in_progress.acquire()
            await self._creating.acquire()
            try:
                request = await anext(self.requests)
            except StopAsyncIteration:
                return None
            except Exception as error:  # noqa: BLE001 - the caller's own, raised when what was begun is done
                return error
            group.start_soon(self._start, request, group, send)

    async def _start(
        self, request: CheckedRequest, group: TaskGroup, send: Send[Outcome[DownloadedOrder]]
    ) -> None:
        entry = await self.ledger.take(request.name, request.body)
        is_known = entry.order_id is not None
        outcome = await self._earlier_outcome(entry, request.error) or await self._place(entry, request.body)
        if outcome is None:
            just_seen = not is_known and entry.order_state in {OrderState.QUEUED, OrderState.RUNNING}
            # In a task of its own, which does not hold the request.
            group.start_soon(self._finish, entry, send, just_seen)
        else:
            await send(outcome)
            self._in_progress.release()
        self._creating.release()

    async def _earlier_outcome(
        self, entry: Entry, error: InvalidRequest | None
    ) -> Outcome[DownloadedOrder] | None:
        """Return the outcome of a request that cannot be ordered, or has ended in an earlier job."""
        if error is not None:
            return await self._failed(entry, Stage.FAILED, error)
        if entry.order_id is None or entry.stage not in {Stage.FAILED, Stage.DOWNLOADED}:
            return None
        order = _known_order(entry)
        if entry.stage is Stage.FAILED:
            await self._report(order)
            message = (entry.error or "").rstrip(".")
            return Outcome(
                order.id, error=PlanetError(message, hint="An earlier job with this ledger met it.")
            )
        if not await self.to.are_there({file.path: file.size for file in entry.files}):
            entry.files = ()
            return None
        await self._report(order)
        files = DownloadedFiles(self.to.place(file.path) for file in entry.files)
        files.unverified = tuple(self.to.place(file.path) for file in entry.files if file.unverified)
        return Outcome(order.id, _downloaded(order, files, entry.delivered_to))

    async def _place(self, entry: Entry, body: bytes) -> Outcome[DownloadedOrder] | None:
        """Make sure that there is one order for the entry; return the outcome where there is none."""
        await self._queued.acquire()
        if entry.order_id is not None:
            await self._report(_known_order(entry))
            return None
        try:
            order = await self._recover(entry, body) or await self._create(entry, body)
        except LedgerError:
            raise
        except PlanetError as error:
            self._queued.release()
            return await self._failed(entry, entry.stage, error)
        entry.stage, entry.order_id, entry.order_state = Stage.ORDERED, order.id, order.state
        try:
            await self._save(entry)
        except BaseException:
            self.release(order.id)  # the next job may be in this very process
            raise
        _log_stage(entry, "ordered")
        await self._report(order)
        return None

    async def _recover(self, entry: Entry, body: bytes) -> Order | None:
        if entry.stage is not Stage.SENDING or entry.sent is None:
            return None
        # What an earlier job sent in its last moment may not be listed yet.
        await self.clock.sleep(self._listed_at - self.clock.monotonic())
        elapsed = self.clock.now().timestamp() - entry.sent
        margin, now = _CLOCK_MARGIN, await self._service_clock.ask()
        if now is not None and entry.sent_date is not None:
            elapsed, margin = now - entry.sent_date, _DATE_MARGIN
        elif now is not None:
            elapsed = max(elapsed, now - entry.sent)  # this machine's clock was set back since, or is slow
        seconds = max(0.0, elapsed) + margin
        return await self.recover(body, seconds, await self.ledger.ids(name=entry.name))

    async def _create(self, entry: Entry, body: bytes) -> Order:
        while True:
            seen = await self.queue.wait()
            entry.stage, entry.sent = Stage.SENDING, self.clock.now().timestamp()
            entry.sent_date = self._service_clock.now()
            await self._save(entry)
            try:
                order = await self.create(body)
            except Conflict as refusal:
                entry.stage = Stage.INTENDED
                await self._save(entry)
                await self.queue.wait_after(refusal, seen)
            except PlanetError as error:
                if not error.may_have_acted:
                    entry.stage = Stage.FAILED
                raise
            else:
                self._service_clock.note(order.created_on)
                return order

    async def _finish(self, entry: Entry, send: Send[Outcome[DownloadedOrder]], just_seen: bool) -> None:
        try:
            outcome = Outcome(entry.order_id or "", await self._wait_and_download(entry, just_seen))
        except LedgerError:
            raise
        except PlanetError as error:
            outcome = await self._failed(entry, entry.stage, error)
        await send(outcome)
        self._in_progress.release()

    async def _wait_and_download(self, entry: Entry, just_seen: bool) -> DownloadedOrder:
        try:
            order = await self.wait(entry.order_id or "", just_seen)
        finally:
            self._queued.release()
        entry.order_state = order.state
        if order.state in ENDED_BADLY:
            entry.stage = Stage.FAILED  # noted with the reason, which `download` raises
        else:
            entry.stage = Stage.FINISHED
            await self._save(entry)
        _log_stage(entry, order.state)
        await self._report(order)
        try:
            async with self._downloading:
                files = await self.download(order)
        except OrderNotDownloadable as error:
            if not error.delivered_to:
                raise
            files, entry.delivered_to = DownloadedFiles(), error.delivered_to
        await self.ledger.keep(entry, self.to, files)
        _log_stage(entry, "downloaded")
        return _downloaded(order, files, entry.delivered_to)

    async def _save(self, entry: Entry) -> None:
        entry.error = entry.error_type = None
        await self.ledger.save(entry)

    async def _failed(self, entry: Entry, stage: Stage, error: PlanetError) -> Outcome[DownloadedOrder]:
        entry.stage, entry.error, entry.error_type = stage, str(error), type(error).__name__
        await self.ledger.save(entry)
        logger.info("%s failed: %s", entry.name, error, extra={**_fields(entry), **error_fields(error)})
        return Outcome(entry.order_id or entry.name, error=error)

    async def _report(self, order: Order) -> None:
        if self.on_update is not None:
            returned = self.on_update(order)
            if isawaitable(returned):
                await returned


def _downloaded(order: Order, files: DownloadedFiles, delivered_to: str) -> DownloadedOrder:
    return DownloadedOrder(order, (*files,), files.unverified, delivered_to, (*files.urls,))


def _fields(entry: Entry) -> dict[str, object]:
    return {"order_name": entry.name, "order_id": entry.order_id, "order_state": entry.order_state}


def _log_stage(entry: Entry, stage: str) -> None:
    logger.debug("%s is %s: %s", entry.name, stage, entry.order_id, extra=_fields(entry))


def _known_order(entry: Entry) -> Order:
    return Order(entry.order_id or "", OrderState(entry.order_state or OrderState.QUEUED), entry.name)


class ServiceClock:
    """The time by the service's clock, which is not set between two jobs, as this machine's may be."""

    def __init__(self, date: Callable[[], Awaitable[datetime | None]], clock: Clock) -> None:
        self._date = date
        self._clock = clock
        self._asking = anyio.Lock()
        self._is_asked = False
        self._offset: float | None = None  # of the service's clock to the monotonic one

    def note(self, date: datetime | None) -> None:
        """Take a time that the service has just sent for its time now."""
        if date is not None:
            self._offset = date.timestamp() - self._clock.monotonic()

    def now(self) -> float | None:
        """Return the seconds since 1970, None where the service has not sent its time yet."""
        return None if self._offset is None else self._offset + self._clock.monotonic()

    async def ask(self) -> float | None:
        """Return the same; ask the service first, once."""
        async with self._asking:
            if not self._is_asked:
                self._is_asked = True
                with suppress(PlanetError), self._clock.move_on_after(_DATE_TIMEOUT):
                    self.note(await self._date())
        return self.now()


class QueueGate:
    """Holds back creates while the queue of the organization is full (409); one of them polls for all."""

    def __init__(self, stats: Callable[[], Awaitable[OrderStats]], clock: Clock, schedule: Schedule) -> None:
        self._stats = stats
        self._clock = clock
        self._schedule = schedule
        self._gate = anyio.Lock()
        self._closed_times = 0
        self._polls = 0  # since there last was room
        self._unanswered = 0  # polls since the last one with a response

    async def wait(self) -> int:
        """Return when the queue may have room; the number is for `wait_after`."""
        async with self._gate:
            return self._closed_times

    async def wait_after(self, refusal: Conflict, seen: int) -> None:
        """Return when orders have left the queue that was too full for a create, or it is time to try anyway.

        Raises:
            Conflict: The refusal, where the queue is not its reason, or where the service does not respond.
        """
        async with self._gate:
            if seen != self._closed_times:  # another create has waited since this one was sent
                if self._unanswered >= _MAX_UNANSWERED:
                    raise refusal
                return
            self._closed_times += 1
            before = await self._counts()
            is_empty = before is not None and not before.queued_orders + before.running_orders
            if is_empty or self._unanswered >= _MAX_UNANSWERED:
                raise refusal
            logger.info("the queue of orders is full; the next one is sent when there is room")
            while True:
                self._polls += 1
                await self._clock.sleep(self._schedule.pause(self._polls))
                now = await self._counts()
                if now is not None and before is not None and _has_moved(before, now):
                    self._polls = 0
                    return
                if now is None or before is None or not self._polls % _FORCED_AFTER:
                    return

    async def _counts(self) -> OrderCounts | None:
        try:
            counts = (await self._stats()).organization
        except StatusError:
            counts = None
        except PlanetError:
            self._unanswered += 1
            return None
        self._unanswered = 0
        return counts


def _has_moved(before: OrderCounts, now: OrderCounts) -> bool:
    return now.queued_orders < before.queued_orders or (
        now.queued_orders + now.running_orders < before.queued_orders + before.running_orders
    )


def checked_requests(
    requests: Iterable[OrderRequestLike] | AsyncIterable[OrderRequestLike],
) -> AsyncGenerator[CheckedRequest]:
    """Yield the requests, checked: a sequence as a whole before the first one is yielded, or else one by one.

    Raises:
        InvalidRequest: The first error in a sequence.  In others it is the outcome of that request.
    """
    is_one = isinstance(requests, OrderRequest | Mapping | str | bytes)
    if not isinstance(requests, Sequence | AsyncIterable) and not is_one:
        try:
            requests = iter(requests)
        except TypeError:  # also where the class has `__iter__`: numpy's arrays of no dimension
            is_one = True
    if is_one:
        raise InvalidRequest(
            f"expected requests to order, got one {type_name(requests)}; nothing was sent",
            hint="Pass a list, also of one request.",
        )
    if not isinstance(requests, Sequence):
        return _check_each(requests)
    first = deque(_check(request) for request in requests[:_CHECKED_AT_CALL])
    return _check_all(first, requests[_CHECKED_AT_CALL:])


async def _check_all(
    checked: deque[CheckedRequest], rest: Iterable[OrderRequestLike]
) -> AsyncGenerator[CheckedRequest]:
    for request in rest:
        await checkpoint()  # ten thousand may take seconds
        checked.append(_check(request))
    while checked:
        yield checked.popleft()


async def _check_each(
    requests: Iterable[OrderRequestLike] | AsyncIterable[OrderRequestLike],
) -> AsyncGenerator[CheckedRequest]:
    if not isinstance(requests, AsyncIterable):
        for request in requests:
            yield _check_one(request)
        return
    # Trio warns of a generator that is dropped.
    async with aclosing(requests) if isinstance(requests, AsyncGenerator) else nullcontext():
        async for request in requests:
            yield _check_one(request)


def _check(request: OrderRequestLike) -> CheckedRequest:
    return CheckedRequest(_name(request), checked_body(OrderRequest, request))


def _check_one(request: OrderRequestLike) -> CheckedRequest:
    try:
        return _check(request)
    except InvalidRequest as error:
        # It may be nothing that JSON can hold, but a ledger knows it by its name and what is wrong.
        name = _name(request).encode(errors="replace").decode()
        return CheckedRequest(name, msgspec.json.encode({"name": name, "wrong": str(error)}), error)


def _name(request: object) -> str:
    if isinstance(request, OrderRequest):
        return request.name
    return str(request.get("name", "")) if isinstance(request, Mapping) else ""
