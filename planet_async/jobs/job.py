"""`Job`: many orders from request to files, placed, waited for and downloaded; see `Orders.run` and `work`.

One request goes through these states, each noted in its entry of the ledger before the next step is taken:

    INTENDED ─about to be sent─▶ SENDING ─response─▶ ORDERED ─wait─▶ FINISHED ─download─▶ DOWNLOADED
       ▲                          │   │                 │
       └────409, the queue is full┘   └─refused─▶ FAILED ◀─the order failed or was cancelled

A request that fails otherwise stays in its state, with the error noted.  Another job goes on from there, a
later one, or one of those that share the ledger when the owner of the entry has died:

    INTENDED, FAILED without an order   send the request
    SENDING                             look for the order (`recover`): adopt it, or send the request
    ORDERED, FINISHED                   wait for the order and download it
    DOWNLOADED                          report it without a request, or download it where files are missing
    FAILED with an order                report the error again: it is not ordered twice

An entry that another living job owns is set aside, until that job has ended it, or has died.
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
    SharedStateError,
    StatusError,
    type_name,
)
from planet_async.jobs.entry import Entry, Stage
from planet_async.jobs.ledger import Ledger, LedgerRequest, TakenOver
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
from planet_async.redaction import REDACTED

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
_ADDED_AT_ONCE = 1_000  # requests
_ASKED_AT_ONCE = 500  # entries of other jobs
_OTHERS_SCHEDULE = Schedule(first=1.0, factor=1.5, longest=10.0)  # of polls of what other jobs do
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

    Without `requests` it works on those that its ledger has.  Requests that are `whole` are in the ledger
    before the first is sent, so that other jobs can take part.

    Of the service it uses: `create` places an order, and `sender` is who creates;
    `recover(body, seconds, others, sender)` returns what a create of so many seconds ago has made, unless
    that is one of the `others`; `claim` notes the ids of orders that have an owner, `release` undoes it, and
    `hand_over` does so for other processes at once; `keep` notes that one has its owner even after a crash;
    `wait(order_id, just_seen)` returns the finished order; `date` asks for the time by the service's clock.
    """

    requests: AsyncGenerator[CheckedRequest] | None
    ledger: Ledger
    to: Destination[Path | str]
    queue: "QueueGate"
    clock: Clock
    create: Callable[[bytes], Awaitable[Order]]
    recover: Callable[[bytes, float, Iterable[str], str], Awaitable[Order | None]]
    sender: Callable[[], str]
    claim: Callable[[Iterable[str]], None]
    release: Callable[[str], None]
    keep: Callable[[str], Awaitable[None]]
    hand_over: Callable[[str], Awaitable[None]]
    cancel: Callable[[str], Awaitable[object]]
    wait: Callable[[str, bool], Awaitable[Order]]
    download: Callable[[Order], Awaitable[DownloadedFiles]]
    date: Callable[[], Awaitable[datetime | None]]
    consistency_delay: float
    max_queued: int
    concurrency: int
    whole: bool = False
    on_update: Callable[[Order], object] | None = None
    _service_clock: "ServiceClock" = field(init=False)
    _others: "deque[_SetAside]" = field(factory=deque, init=False)
    _creating: anyio.Semaphore = field(init=False)
    _queued: anyio.Semaphore = field(init=False)
    _in_progress: anyio.Semaphore = field(init=False)
    _downloading: anyio.Semaphore = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._service_clock = ServiceClock(self.date, self.clock)
        self._creating = anyio.Semaphore(_CREATES)
        self._queued = anyio.Semaphore(self.max_queued)
        self._in_progress = anyio.Semaphore(self.max_queued + _UNDELIVERED)
        self._downloading = anyio.Semaphore(self.concurrency)

    async def run(self, send: Send[Outcome[DownloadedOrder]]) -> None:
        """Send the outcome of each request when it is done; raise last what reading the requests raised."""
        await self.to.check()
        async with self.ledger:
            self.claim(await self.ledger.ids(seconds=_RECENT))
            holding = anyio.CancelScope()
            async with open_task_group() as holder:
                holder.start_soon(self._hold, holding)
                async with open_task_group() as group:
                    error: Exception | None = None
                    if self.requests is None:
                        await self._start_entries(group, send)
                    else:
                        error = await self._start_requests(self.requests, group, send)
                        await self._start_others(group, send)
                if group.cancel_scope.cancel_called:
                    raise cancelled_externally()
                holding.cancel()
            if holder.cancel_scope.cancel_called:
                raise cancelled_externally()
        if error is not None:
            raise error

    async def _hold(self, scope: anyio.CancelScope) -> None:
        with scope:
            await self.ledger.hold()

    async def _start_requests(
        self,
        requests: AsyncGenerator[CheckedRequest],
        group: TaskGroup,
        send: Send[Outcome[DownloadedOrder]],
    ) -> Exception | None:
        error: Exception | None = None
        async with aclosing(requests), aclosing(self._listed(requests)) as listed:
            while True:
                await self._in_progress.acquire()
                await self._creating.acquire()
                try:
                    request, place = await anext(listed)
                except StopAsyncIteration:
                    break
                except Exception as raised:  # noqa: BLE001 - the caller's own, raised when what was begun is done
                    error = raised
                    break
                group.start_soon(self._start_request, request, place, group, send)
        self._creating.release()
        self._in_progress.release()
        return error

    async def _listed(
        self, requests: AsyncGenerator[CheckedRequest]
    ) -> AsyncGenerator[tuple[CheckedRequest, LedgerRequest]]:
        """Yield the requests, each with its place in the ledger; if they are whole, enter all first."""
        if not self.whole:
            async for request in requests:
                yield request, self.ledger.request(request.name, request.body, request.error)
            return
        found, new = deque[tuple[CheckedRequest, LedgerRequest]](), list[LedgerRequest]()
        async for request in requests:
            await checkpoint()
            place = self.ledger.request(request.name, request.body, request.error)
            found.append((request, place))
            new.append(place)
            if len(new) >= _ADDED_AT_ONCE:
                await self.ledger.add(new)
                new.clear()
        await self.ledger.add(new)
        while found:
            yield found.popleft()

    async def _start_request(
        self,
        request: CheckedRequest,
        place: LedgerRequest,
        group: TaskGroup,
        send: Send[Outcome[DownloadedOrder]],
    ) -> None:
        if request.error is not None:
            await self.ledger.add([place])
            await self._done(Outcome(request.name, error=request.error), send)
            return
        entry = await self.ledger.take(place)
        if entry is None:
            # The ledger has the request, too, but for its secrets.
            self._set_aside(place.number, request.body if place.has_secrets else b"")
            return
        await self._start(entry, request.body, group, send)

    def _set_aside(self, number: int, body: bytes) -> None:
        self._others.append(_SetAside(number, body))
        self._creating.release()
        self._in_progress.release()

    async def _start_others(self, group: TaskGroup, send: Send[Outcome[DownloadedOrder]]) -> None:
        """Go on with what other jobs had when its turn came, as they end it, or die."""
        polls = 0
        while True:
            for _ in range(_CREATES):  # until each has been placed, or set aside
                await self._creating.acquire()
            for _ in range(_CREATES):
                self._creating.release()
            if not self._others:
                return
            polls += 1
            for _ in range(0, len(self._others), _ASKED_AT_ONCE):
                count = min(_ASKED_AT_ONCE, len(self._others))
                asked = {one.number: one for one in (self._others.popleft() for _ in range(count))}
                for entry, body in await self.ledger.take_again([*asked]):
                    await self._in_progress.acquire()
                    await self._creating.acquire()
                    known = asked.pop(entry.number).body
                    group.start_soon(self._start, entry, known or body, group, send)
                    polls = 0
                self._others.extend(asked.values())
            if polls:
                await self.clock.sleep(_OTHERS_SCHEDULE.pause(polls))

    async def _start_entries(self, group: TaskGroup, send: Send[Outcome[DownloadedOrder]]) -> None:
        polls = 0
        while True:
            await self._in_progress.acquire()
            await self._creating.acquire()
            if (taken := await self.ledger.take_next()) is not None:
                polls = 0
                group.start_soon(self._start, *taken, group, send)
                continue
            self._creating.release()
            self._in_progress.release()
            if not await self.ledger.others_work():
                break
            polls += 1
            await self.clock.sleep(_OTHERS_SCHEDULE.pause(polls))
        for entry in await self.ledger.unsendable():
            await send(Outcome(entry.name, error=_unsendable()))

    async def _start(
        self, entry: Entry, body: bytes, group: TaskGroup, send: Send[Outcome[DownloadedOrder]]
    ) -> None:
        # When what its last owner sent in its last moment must be listed.
        listed_at = self.clock.monotonic() + self.consistency_delay
        is_known = entry.order_id is not None
        if entry.has_ended:
            outcome = await self._earlier_outcome(entry)
            if outcome is None and not await self.ledger.claim(entry):
                self._set_aside(entry.number, b"")
                return
        else:
            outcome = None
        outcome = outcome or await self._place(entry, body, listed_at)
        if outcome is None:
            just_seen = not is_known and entry.order_state in {OrderState.QUEUED, OrderState.RUNNING}
            # In a task of its own, which does not hold the request.
            group.start_soon(self._finish, entry, send, just_seen)
            self._creating.release()
        else:
            await self._done(outcome, send)

    async def _done(self, outcome: Outcome[DownloadedOrder], send: Send[Outcome[DownloadedOrder]]) -> None:
        await send(outcome)
        self._in_progress.release()
        self._creating.release()

    async def _earlier_outcome(self, entry: Entry) -> Outcome[DownloadedOrder] | None:
        """Return the outcome of what has ended in another job; None where files are missing."""
        order = _known_order(entry)
        if entry.order_id is None or entry.stage is Stage.FAILED:
            if entry.order_id is not None:
                await self._report(order)
            error = PlanetError((entry.error or "").rstrip("."), hint="Another job with this ledger met it.")
            return Outcome(entry.order_id or entry.name, error=error)
        if not await self.to.are_there({file.path: file.size for file in entry.files}):
            entry.files = ()
            return None
        await self._report(order)
        files = DownloadedFiles(self.to.place(file.path) for file in entry.files)
        files.unverified = tuple(self.to.place(file.path) for file in entry.files if file.unverified)
        return Outcome(order.id, _downloaded(order, files, entry.delivered_to))

    async def _place(self, entry: Entry, body: bytes, listed_at: float) -> Outcome[DownloadedOrder] | None:
        """Make sure that there is one order for the entry; return the outcome where there is none."""
        await self._queued.acquire()
        if entry.order_id is not None:
            await self._report(_known_order(entry))
            return None
        try:
            found = await self._recover(entry, body, listed_at)
            order = found or await self._create(entry, body)
        except _OF_THE_JOB:
            raise
        except PlanetError as error:
            self._queued.release()
            return await self._failed(entry, entry.stage, error)
        entry.stage, entry.order_id, entry.order_state = Stage.ORDERED, order.id, order.state
        try:
            await self._save(entry)
        except TakenOver as error:
            with anyio.CancelScope(shield=True):
                await self.hand_over(order.id)
                if found is None:
                    await self._withdraw(entry, order, error)
            raise
        except BaseException:
            self.release(order.id)  # the next job may be in this very process
            raise
        await self.keep(order.id)  # now that the next job finds it in the ledger
        _log_stage(entry, "ordered")
        await self._report(order)
        return None

    async def _withdraw(self, entry: Entry, order: Order, error: TakenOver) -> None:
        """Cancel an order that was placed when another job had its entry, unless that has adopted it."""
        what = "may be that of the other job"
        until = self.clock.monotonic() + 2 * self.consistency_delay  # it may be looking it up
        while (other := await self.ledger.order_of(entry)) is None and self.clock.monotonic() < until:
            await self.clock.sleep(1)
        if other == order.id:
            return
        if other is not None:
            try:
                await self.cancel(order.id)
                what = "was cancelled"
            except PlanetError as problem:
                what = f"could not be cancelled: {problem.message}"
        error.message += f"; the order {order.id}, which it had just placed, {what}"
        logger.warning("%s", error)

    async def _recover(self, entry: Entry, body: bytes, listed_at: float) -> Order | None:
        if entry.stage is not Stage.SENDING or entry.sent is None:
            return None
        await self.clock.sleep(listed_at - self.clock.monotonic())
        elapsed = self.clock.now().timestamp() - entry.sent
        margin, now = _CLOCK_MARGIN, await self._service_clock.ask()
        if now is not None and entry.sent_date is not None:
            elapsed, margin = now - entry.sent_date, _DATE_MARGIN
        elif now is not None:
            elapsed = max(elapsed, now - entry.sent)  # this machine's clock was set back since, or is slow
        seconds = max(0.0, elapsed) + margin
        taken = await self.ledger.ids(name=entry.name)
        return await self.recover(body, seconds, taken, entry.sender)

    async def _create(self, entry: Entry, body: bytes) -> Order:
        if REDACTED.encode() in body:
            entry.stage = Stage.INTENDED
            raise _unsendable()
        while True:
            seen = await self.queue.wait()
            entry.stage, entry.sent = Stage.SENDING, self.clock.now().timestamp()
            entry.sent_date, entry.sender = self._service_clock.now(), self.sender()
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
        except _OF_THE_JOB:
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
        await self.ledger.save(entry, release=True)
        logger.info("%s failed: %s", entry.name, error, extra={**_fields(entry), **error_fields(error)})
        return Outcome(entry.order_id or entry.name, error=error)

    async def _report(self, order: Order) -> None:
        if self.on_update is not None:
            returned = self.on_update(order)
            if isawaitable(returned):
                await returned


# What ends the job, with its entries as they are: without the ledger an order could be placed twice.
_OF_THE_JOB = (LedgerError, SharedStateError)


@frozen
class _SetAside:
    """An entry that another job has, and its request where the ledger does not have all of it."""

    number: int
    body: bytes


def _unsendable() -> InvalidRequest:
    return InvalidRequest(
        "the request holds secrets, which a ledger does not keep: it cannot be sent from there",
        hint="Send it by `orders.run` with the request itself, or let it name a destination kept at Planet "
        "(`destinations`).",
    )


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
