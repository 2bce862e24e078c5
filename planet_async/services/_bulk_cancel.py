"""Cancelling by the hundred thousand: ids in, and for each of them what became of it."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from anyio.lowlevel import checkpoint
from attrs import define, evolve, field

from planet_async._tasks import cancelled_externally, open_task_group
from planet_async.errors import NotFound, PlanetError
from planet_async.http import Request, Response, http_date
from planet_async.models.codec import decode, to_json
from planet_async.models.orders import (
    BulkCancelReply,
    CancelFailure,
    CancelReason,
    CancelResult,
    Order,
    OrderState,
)
from planet_async.outcome import chunks
from planet_async.paging import Paginator
from planet_async.services._api import Api
from planet_async.services._query import checked_id

_BULK_CANCEL = "/compute/ops/bulk/orders/v2/cancel"
_MOST_IDS = 10_000  # of one request
_IDS_AT_ONCE = 1_000  # checked, or accounted for, before others get their turn: a millisecond of work
_PAGE_SIZE = 500
_MARGIN = timedelta(seconds=60)  # for servers that do not agree on the time
_LOOKED_AT = 30  # orders looked at one by one; more are looked for in the list

Doubts = dict[str, tuple[str, CancelReason]]
"""Ids of which only a look can tell, each with what to say of it if the look does not show it cancelled."""

_UNTOLD = (
    "the answer of the API does not add up, and its list does not show it cancelled",
    CancelReason.FAILED,
)
_UNSEEN = ("cancelled by what the API says, but its list does not show it cancelled", CancelReason.FAILED)


def cancel_request(api: Api, body: Mapping[str, Sequence[str]]) -> Request:
    """Make the request; without ids it means every queued order.

    Cancelling twice does no harm: the second answer names the cancelled ones as failures, no more.
    """
    return api.request(
        "POST", _BULK_CANCEL, operation="orders.cancel_many", body=to_json(body), repeatable=True
    )


async def cancel_each(
    api: Api,
    order_ids: Iterable[str | UUID],
    *,
    get: Callable[[str], Awaitable[Order]],
    list_: Callable[..., Paginator[Order]],
    verify: bool,
) -> CancelResult:
    """Cancel all of them, side by side in parts; see `Orders.cancel_many`."""
    started = api.clock.monotonic()
    parts = [_Part(ids) for ids in chunks(await _checked(order_ids), _MOST_IDS)]
    async with open_task_group() as group:
        for part in parts:
            group.start_soon(part.cancel, api, started)
    if group.cancel_scope.cancel_called:
        raise cancelled_externally()
    errors = [part.error for part in parts if part.error is not None]
    if errors and len(errors) == len(parts):
        raise errors[0]
    cancelled, failures, doubts = list[str](), list[CancelFailure](), Doubts()
    for part in parts:
        failures += part.failures
        doubts.update(part.doubts)
        if verify:
            doubts.update(dict.fromkeys(part.cancelled, _UNSEEN))
        else:
            cancelled += part.cancelled
        await checkpoint()  # a millisecond or two for ten thousand
    if doubts:
        since = min((part.since for part in parts if part.since is not None), default=None)
        search = _Search(doubts, since, get, list_)
        await search.run(api)
        cancelled += search.cancelled
        failures += search.failures
    return CancelResult(len(cancelled), tuple(failures), tuple(cancelled))


async def _checked(order_ids: Iterable[str | UUID]) -> list[str]:
    """Check all ids before the first is sent; each once, as the API writes it: in lower case."""
    found: dict[str, None] = {}
    for some in chunks([*order_ids], _IDS_AT_ONCE):
        found.update((checked_id(order_id).lower(), None) for order_id in some)
        await checkpoint()
    return [*found]


@define
class _Part:
    """The ids of one request, and what became of each: it is cancelled, a failure, or a doubt."""

    ids: Sequence[str]
    cancelled: list[str] = field(factory=list)
    failures: list[CancelFailure] = field(factory=list)
    doubts: Doubts = field(factory=dict)
    since: datetime | None = None  # the server's time, of a moment before the first request
    error: PlanetError | None = None

    async def cancel(self, api: Api, started: float) -> None:
        request = cancel_request(api, {"order_ids": self.ids})
        try:
            response, again = await _send(api, request)
            reply = decode(BulkCancelReply, await response.read(), request=request)
        except PlanetError as error:
            self.error, message = error, str(error)
            if error.may_have_acted:
                self.doubts = dict.fromkeys(self.ids, (message, CancelReason.FAILED))
            else:
                self.failures = [CancelFailure(order_id, message) for order_id in self.ids]
            return
        if date := http_date(response.headers.get("date")):
            self.since = date - timedelta(seconds=api.clock.monotonic() - started) - _MARGIN
        await checkpoint()
        told = dict[str, CancelFailure]()
        for failure in reply.failures():
            told[failure.order_id.lower()] = failure
            if not len(told) % _IDS_AT_ONCE:
                await checkpoint()
        self._account(told, reply.succeeded, again=again)

    def _account(self, told: Mapping[str, CancelFailure], succeeded: int, *, again: bool) -> None:
        for order_id in self.ids:
            failure = told.get(order_id)
            if failure is None:
                self.cancelled.append(order_id)
            elif again and failure.reason is CancelReason.ALREADY_FINAL:
                self.doubts[order_id] = failure.message, failure.reason  # the first try may have done it
            else:
                is_as_asked = failure.order_id == order_id  # to make ten thousand anew takes 15 ms
                self.failures.append(failure if is_as_asked else evolve(failure, order_id=order_id))
        if len(self.cancelled) != succeeded:
            self.doubts.update(dict.fromkeys(self.cancelled, _UNTOLD))
            self.cancelled = []


async def _send(api: Api, request: Request) -> tuple[Response, bool]:
    """Send, and tell whether an earlier try may have done it already.

    To know that, the first try is not repeated by the layers below where it may have been acted on.
    """
    try:
        return await api.send(evolve(request, repeatable=False)), False
    except PlanetError as error:
        pause = max(error.retry_after or 0.0, api.config.first_backoff)
        worth_it = error.transient and error.may_have_acted and error.attempts < api.config.max_attempts
        if not worth_it or pause > api.config.retry_for:
            raise
    await api.clock.sleep(pause)
    return await api.send(request), True


@define
class _Search:
    """Finds out which orders have been cancelled, by the list and a few looks."""

    doubts: Doubts
    since: datetime | None
    get: Callable[[str], Awaitable[Order]]
    list_: Callable[..., Paginator[Order]]
    cancelled: list[str] = field(factory=list)
    failures: list[CancelFailure] = field(factory=list)

    async def run(self, api: Api) -> None:
        """Sort all doubts into `cancelled` and `failures`."""
        doubts, problem = self.doubts, ""
        try:
            if self.since is not None:
                await self._sweep(self.since)
                if len(doubts) > _LOOKED_AT:
                    await api.clock.sleep(api.config.consistency_delay)
                    await self._sweep(self.since)
            for order_id in [*doubts][:_LOOKED_AT]:
                await self._look(order_id)
        except PlanetError as error:
            problem = f"; to look for it failed: {error}"
        messages = {message: message + problem for message, _ in doubts.values()}  # few: all share them
        for order_id, (message, reason) in doubts.items():
            self.failures.append(CancelFailure(order_id, messages[message], reason))

    async def _sweep(self, since: datetime) -> None:
        listed = self.list_(state=OrderState.CANCELLED, last_modified=(since, None), page_size=_PAGE_SIZE)
        async for order in listed:
            if self.doubts.pop(order.id, None):
                self.cancelled.append(order.id)
            if not self.doubts:
                return

    async def _look(self, order_id: str) -> None:
        try:
            order = await self.get(order_id)
        except NotFound as error:
            del self.doubts[order_id]
            self.failures.append(CancelFailure(order_id, str(error), CancelReason.NOT_FOUND))
            return
        message, _ = self.doubts.pop(order_id)
        if order.state is OrderState.CANCELLED and not self._is_old(order):
            self.cancelled.append(order_id)
        else:
            reason = CancelReason.FAILED if order.state is OrderState.QUEUED else CancelReason.ALREADY_FINAL
            self.failures.append(CancelFailure(order_id, f"{message}: it is {order.state}", reason))

    def _is_old(self, order: Order) -> bool:
        changed = order.last_modified
        return self.since is not None and changed is not None and changed < self.since
