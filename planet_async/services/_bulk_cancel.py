"""Cancelling orders by the hundred thousand: ids in, and what became of each of them out.

An id is cancelled, a failure, or unconfirmed: its request may have been acted on without a usable response.
The list of cancelled orders, and some lookups of single orders, settle what is unconfirmed.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from anyio.lowlevel import checkpoint
from attrs import define, evolve, field

from planet_async._tasks import fetch_all
from planet_async.errors import NotFound, PlanetError
from planet_async.http import Request, Response, http_date
from planet_async.models.bulk import BulkFailure, BulkResult, FailureReason
from planet_async.models.codec import decode, to_json
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
    parts = [*chunks([*ids], _MOST_IDS)]
    if not parts:
        return BulkResult(0)
    found = _Cancellation(api, get, list_, started)
    await fetch_all([partial(found.cancel, part) for part in parts], len(parts))
    if found.errors and len(found.errors) == len(parts):
        raise found.errors[0]
    if verify:
        found.unconfirmed.update(dict.fromkeys(found.cancelled, _UNLISTED))
        found.cancelled.clear()
    await found.settle()
    return BulkResult(len(found.cancelled), tuple(found.failures), tuple(found.cancelled))


@define
class _Cancellation:
    """The result for each id: cancelled, a failure, or unconfirmed until `settle`."""

    api: Api
    get: Callable[[str], Awaitable[Order]]
    list_: Callable[..., Paginator[Order]]
    started: float
    since: datetime | None = None  # a moment before the first request, on the server's clock
    cancelled: list[str] = field(factory=list)
    failures: list[BulkFailure] = field(factory=list)
    unconfirmed: Unconfirmed = field(factory=dict)
    errors: list[PlanetError] = field(factory=list)

    async def cancel(self, ids: Sequence[str]) -> None:
        """Send the request for some ids."""
        request = cancel_request(self.api, {"order_ids": ids})
        try:
            response, sent_before = await _send(self.api, request)
            reply = decode(BulkCancelReply, await response.read(), request=request)
        except PlanetError as error:
            self.errors.append(error)
            message = str(error)
            if error.may_have_acted:
                self.unconfirmed.update(dict.fromkeys(ids, (message, FailureReason.FAILED)))
            else:
                self.failures += [BulkFailure(order_id, message) for order_id in ids]
            return
        if date := http_date(response.headers.get("date")):
            since = date - timedelta(seconds=self.api.clock.monotonic() - self.started) - _MARGIN
            self.since = min(since, self.since or since)
        await checkpoint()
        reported = dict[str, BulkFailure]()
        for failure in reply.failures():
            reported[failure.id.lower()] = failure
            if not len(reported) % _IDS_AT_ONCE:
                await checkpoint()
        self._account(ids, reported, reply.succeeded, sent_before=sent_before)

    def _account(
        self, ids: Sequence[str], reported: Mapping[str, BulkFailure], succeeded: int, *, sent_before: bool
    ) -> None:
        cancelled = list[str]()
        for order_id in ids:
            failure = reported.get(order_id)
            if failure is None:
                cancelled.append(order_id)
            elif sent_before and failure.reason is FailureReason.ALREADY_FINAL:
                # The first attempt may have cancelled it.
                self.unconfirmed[order_id] = failure.message, failure.reason
            else:
                self.failures.append(BulkFailure(order_id, failure.message, failure.reason))
        if len(cancelled) == succeeded:
            self.cancelled += cancelled
        else:
            self.unconfirmed.update(dict.fromkeys(cancelled, _MISCOUNTED))

    async def settle(self) -> None:
        """Find out what became of the unconfirmed ids, from the list and some lookups."""
        problem = ""
        try:
            if self.unconfirmed and self.since is not None:
                await self._read_list(self.since)
                if len(self.unconfirmed) > _MOST_LOOKUPS:
                    await self.api.clock.sleep(self.api.config.consistency_delay)
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
