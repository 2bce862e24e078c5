"""Cancelling orders by the hundred thousand: ids in, and what became of each of them out.

An id is cancelled, a failure, or unconfirmed: its request may have been acted on without a usable response.
The list of cancelled orders, and some lookups of single orders, settle what is unconfirmed.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from anyio.lowlevel import checkpoint
from attrs import define, evolve, field

from planet_async._tasks import cancelled_externally, open_task_group
from planet_async.errors import NotFound, PlanetError
from planet_async.http import Request, Response, http_date
from planet_async.models.base import to_json
from planet_async.models.bulk import BulkFailure, BulkResult, FailureReason
from planet_async.models.codec import decode
from planet_async.models.orders import BulkCancelReply, Order, OrderState
from planet_async.outcome import chunks
from planet_async.paging import Paginator
from planet_async.services._api import Api
from planet_async.services._query import checked_ids

_BULK_CANCEL = "/compute/ops/bulk/orders/v2/cancel"
_MOST_IDS = 10_000  # of one request
_IDS_AT_ONCE = 1_000  # a millisecond of work, before other tasks have their turn
_MARGIN = timedelta(seconds=60)  # that the clocks of the service's machines may differ by
_MOST_LOOKUPS = 30  # of single orders; more are looked for in the list only

Unconfirmed = dict[str, tuple[str, FailureReason]]
"""Ids that may be cancelled, each with what to report where a lookup does not confirm it."""

_MISCOUNTED = (
    "the response of the API does not add up, and its list does not show it cancelled",
    FailureReason.FAILED,
)
_UNLISTED = ("the API says that it is cancelled, but its list does not show it so", FailureReason.FAILED)


def cancel_request(api: Api, body: Mapping[str, Sequence[str]]) -> Request:
    """Return the request; without ids it means every queued order.

    Cancelling twice does no harm: the second response reports the cancelled ones as failures.
    """
    return api.request("POST", _BULK_CANCEL, "orders.cancel_many", body=to_json(body), repeatable=True)


async def cancel_each(
    api: Api,
    order_ids: Iterable[str | UUID],
    *,
    get: Callable[[str], Awaitable[Order]],
    list_: Callable[..., Paginator[Order]],
    verify: bool,
) -> BulkResult:
    """Cancel orders, in concurrent parts; see `Orders.cancel_many`."""
    started = api.clock.monotonic()
    ids: dict[str, None] = {}
    for number, order_id in enumerate(checked_ids(order_ids), start=1):
        ids[order_id] = None
        if not number % _IDS_AT_ONCE:
            await checkpoint()
    parts = [_Part(some) for some in chunks([*ids], _MOST_IDS)]
    async with open_task_group() as group:
        for part in parts:
            group.start_soon(part.cancel, api, started)
    if group.cancel_scope.cancel_called:
        raise cancelled_externally()
    errors = [part.error for part in parts if part.error is not None]
    if errors and len(errors) == len(parts):
        raise errors[0]
    cancelled, failures, unconfirmed = list[str](), list[BulkFailure](), Unconfirmed()
    for part in parts:
        failures += part.failures
        unconfirmed.update(part.unconfirmed)
        if verify:
            unconfirmed.update(dict.fromkeys(part.cancelled, _UNLISTED))
        else:
            cancelled += part.cancelled
        await checkpoint()  # a millisecond or two for ten thousand
    if unconfirmed:
        since = min((part.since for part in parts if part.since is not None), default=None)
        search = _Search(unconfirmed, since, get, list_)
        await search.run(api)
        cancelled += search.cancelled
        failures += search.failures
    return BulkResult(len(cancelled), tuple(failures), tuple(cancelled))


@define
class _Part:
    """The ids of one request, and what became of each: it is cancelled, a failure, or unconfirmed."""

    ids: Sequence[str]
    cancelled: list[str] = field(factory=list)
    failures: list[BulkFailure] = field(factory=list)
    unconfirmed: Unconfirmed = field(factory=dict)
    since: datetime | None = None  # a moment before the first request, on the server's clock
    error: PlanetError | None = None

    async def cancel(self, api: Api, started: float) -> None:
        request = cancel_request(api, {"order_ids": self.ids})
        try:
            response, sent_before = await _send(api, request)
            reply = decode(BulkCancelReply, await response.read(), request=request)
        except PlanetError as error:
            self.error, message = error, str(error)
            if error.may_have_acted:
                self.unconfirmed = dict.fromkeys(self.ids, (message, FailureReason.FAILED))
            else:
                self.failures = [BulkFailure(order_id, message) for order_id in self.ids]
            return
        if date := http_date(response.headers.get("date")):
            self.since = date - timedelta(seconds=api.clock.monotonic() - started) - _MARGIN
        await checkpoint()
        reported = dict[str, BulkFailure]()
        for failure in reply.failures():
            reported[failure.id.lower()] = failure
            if not len(reported) % _IDS_AT_ONCE:
                await checkpoint()
        self._account(reported, reply.succeeded, sent_before=sent_before)

    def _account(self, reported: Mapping[str, BulkFailure], succeeded: int, *, sent_before: bool) -> None:
        for order_id in self.ids:
            failure = reported.get(order_id)
            if failure is None:
                self.cancelled.append(order_id)
            elif sent_before and failure.reason is FailureReason.ALREADY_FINAL:
                # The first attempt may have cancelled it.
                self.unconfirmed[order_id] = failure.message, failure.reason
            else:
                is_same = failure.id == order_id  # to build ten thousand again takes 15 ms
                self.failures.append(failure if is_same else evolve(failure, id=order_id))
        if len(self.cancelled) != succeeded:
            self.unconfirmed.update(dict.fromkeys(self.cancelled, _MISCOUNTED))
            self.cancelled = []


async def _send(api: Api, request: Request) -> tuple[Response, bool]:
    """Send, and return the response and whether an earlier attempt may have been acted on.

    To know that, the layers below do not repeat the first attempt where it may have been.
    """
    try:
        return await api.send(evolve(request, repeatable=False)), False
    except PlanetError as error:
        pause = max(error.retry_after or 0.0, api.config.first_backoff)
        may_repeat = error.transient and error.may_have_acted and error.attempts < api.config.max_attempts
        if not may_repeat or pause > api.config.retry_for:
            raise
    await api.clock.sleep(pause)
    return await api.send(request), True


@define
class _Search:
    """Finds out which unconfirmed orders are cancelled, from the list and some lookups."""

    unconfirmed: Unconfirmed
    since: datetime | None
    get: Callable[[str], Awaitable[Order]]
    list_: Callable[..., Paginator[Order]]
    cancelled: list[str] = field(factory=list)
    failures: list[BulkFailure] = field(factory=list)

    async def run(self, api: Api) -> None:
        """Sort everything unconfirmed into `cancelled` and `failures`."""
        problem = ""
        try:
            if self.since is not None:
                await self._read_list(self.since)
                if len(self.unconfirmed) > _MOST_LOOKUPS:
                    await api.clock.sleep(api.config.consistency_delay)
                    await self._read_list(self.since)
            for order_id in [*self.unconfirmed][:_MOST_LOOKUPS]:
                await self._look_up(order_id)
        except PlanetError as error:
            problem = f"; looking it up failed: {error}"
        # There are few messages, which all share: a text for each of ten thousand ids would take its time.
        messages = {message: message + problem for message, _ in self.unconfirmed.values()}
        for order_id, (message, reason) in self.unconfirmed.items():
            self.failures.append(BulkFailure(order_id, messages[message], reason))

    async def _read_list(self, since: datetime) -> None:
        async for order in self.list_(state=OrderState.CANCELLED, last_modified=(since, None)):
            if self.unconfirmed.pop(order.id, None):
                self.cancelled.append(order.id)
            if not self.unconfirmed:
                return

    async def _look_up(self, order_id: str) -> None:
        try:
            order = await self.get(order_id)
        except NotFound as error:
            del self.unconfirmed[order_id]
            self.failures.append(BulkFailure(order_id, str(error), FailureReason.NOT_FOUND))
            return
        message, _ = self.unconfirmed.pop(order_id)
        if order.state is OrderState.CANCELLED and not self._was_cancelled_before(order):
            self.cancelled.append(order_id)
        else:
            is_queued = order.state is OrderState.QUEUED
            reason = FailureReason.FAILED if is_queued else FailureReason.ALREADY_FINAL
            self.failures.append(BulkFailure(order_id, f"{message}: it is {order.state}", reason))

    def _was_cancelled_before(self, order: Order) -> bool:
        changed = order.last_modified
        return self.since is not None and changed is not None and changed < self.since
