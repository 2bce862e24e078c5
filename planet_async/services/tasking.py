"""Tasking: new imagery, taken by satellites that are told to.

| method | route below /tasking/v2 | page below https://docs.planet.com/develop/apis |
| --- | --- | --- |
| `create` | POST /orders/ | tasking/reference |
| `get` | GET /orders/{id} | tasking/reference |
| `wait`, `wait_many` | GET /orders/{id}, or the list for many | tasking/reference |
| `list` | GET /orders/ | tasking/reference |
| `update` | PUT /orders/{id}, then GET | tasking/reference |
| `cancel` | DELETE /orders/{id}, then GET | tasking/reference |
| `pricing` | GET /orders/{id}/pricing | tasking/reference |
| `preview_pricing`, `preview_pricing_many` | POST /pricing/ | tasking/reference |
| `search_imaging_windows` | POST /imaging-windows/search/, then GET it | tasking/reference |
| `get_imaging_window` | GET /imaging-windows/{id} | tasking/reference |
| `list_captures` | GET /captures/ | tasking/reference |
| `get_capture` | GET /captures/{id} | tasking/reference |
| `create_bulk` | POST /bulk/ | tasking/reference |
| `get_bulk` | GET /bulk/{id} | tasking/reference |
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import UUID, uuid4

import msgspec

from planet_async._loops import PerLoop
from planet_async.errors import (
    BadRequest,
    Conflict,
    DecodeError,
    ImagingSearchFailed,
    InvalidRequest,
    NotFound,
    PlanetError,
)
from planet_async.http import Request, Response
from planet_async.models.codec import checked_body, to_json
from planet_async.models.tasking import (
    BulkJob,
    BulkStatus,
    Capture,
    CaptureStatus,
    ImagingWindow,
    ImagingWindowSearch,
    Pricing,
    PricingPreview,
    SearchStatus,
    TaskingOrder,
    TaskingStatus,
)
from planet_async.models.tasking_request import (
    ImagingWindowRequest,
    PricingRequest,
    TaskingOrderChanges,
    TaskingOrderRequest,
)
from planet_async.offset_paging import OffsetPaginator
from planet_async.outcome import Outcome
from planet_async.paging import Paginator
from planet_async.services._api import Api, creating_tasking_orders
from planet_async.services._query import checked_id, checked_ids, tasking_query
from planet_async.waiting.poller import Poller
from planet_async.waiting.sweep import ListQueries
from planet_async.waiting.waiter import WaitForMany, wait_for

_WINDOWS = "/tasking/v2/imaging-windows"


async def search_windows(
    api: Api, request: ImagingWindowRequest | Mapping[str, Any], *, timeout: float | None
) -> ImagingWindowSearch:
    """Search, and give the search when it is done; see `Tasking.search_imaging_windows`."""
    body = checked_body(ImagingWindowRequest, request)
    # A search costs nothing and changes nothing.
    post = api.request("POST", f"{_WINDOWS}/search/", operation="tasking.search", body=body, repeatable=True)
    search_id = await _id_of(post, await api.send(post))
    looking = Poller(partial(_look, api), clock=api.clock, schedule=api.config.schedule)
    done = await wait_for(looking, search_id, lambda search: search.status.is_final, timeout=timeout)
    if done.status is SearchStatus.FAILED:
        raise ImagingSearchFailed(
            f"the search for imaging windows {search_id} failed: "
            f"{done.error_message or 'the API gives no reason'}",
            error_code=done.error_code,
        )
    return done


async def get_window(api: Api, window_id: str | UUID) -> ImagingWindow:
    """Give one window; see `Tasking.get_imaging_window`."""
    path = f"{_WINDOWS}/{checked_id(window_id, 'imaging window')}"
    return await api.call(ImagingWindow, api.request("GET", path, operation="tasking.get_window"))


async def _look(api: Api, search_id: str) -> ImagingWindowSearch:
    path = f"{_WINDOWS}/search/{quote(search_id, safe='')}"
    return await api.call(ImagingWindowSearch, api.request("GET", path, operation="tasking.get_search"))


async def _id_of(request: Request, response: Response) -> str:
    """Give the id of a new search: from the body, else the last part of the path in ``Location``."""
    body = await response.read()
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = None  # older answers have no body
    given = found.get("id") if isinstance(found, dict) else None
    if isinstance(given, str) and given:
        return given
    try:
        place = urlsplit(response.headers.get("location", "")).path.rstrip("/").rpartition("/")[2]
    except ValueError:
        place = ""
    if not place or place == "search":
        raise DecodeError("a search for imaging windows was accepted without an id", request=request)
    return place


_BULK = "/tasking/v2/bulk/"
_MOST_ORDERS = 1000


async def create_bulk(
    api: Api, orders: Iterable[TaskingOrderRequest | Mapping[str, Any]], bulk_id: str | UUID | None
) -> BulkJob:
    """Place the orders; see `Tasking.create_bulk`."""
    bodies = [
        checked_body(TaskingOrderRequest, order, where=f"order {number}")
        for number, order in enumerate(orders, start=1)
    ]
    chosen = str(uuid4()) if bulk_id is None else checked_id(bulk_id, "bulk job")
    if not bodies:
        return BulkJob(chosen, BulkStatus.COMPLETE, 0)
    if len(bodies) > _MOST_ORDERS:
        raise InvalidRequest(
            f"{len(bodies)} orders are more than the {_MOST_ORDERS} of one bulk job; nothing was sent"
        )
    body = b'{"id":%b,"order_payloads":[%b]}' % (to_json(chosen), b",".join(bodies))
    post = api.request("POST", _BULK, operation="tasking.create_bulk", body=body)
    try:
        await api.send(post)
    except PlanetError as error:
        if not error.may_have_acted:
            raise
        return await _found(api, chosen, error)
    # The answer is empty, and nothing that could fail is done once the orders are placed.
    return BulkJob(chosen, BulkStatus.PENDING, len(bodies))


async def get_bulk(api: Api, bulk_id: str | UUID) -> BulkJob:
    """Give a job; see `Tasking.get_bulk`."""
    path = _BULK + checked_id(bulk_id, "bulk job")
    return await api.call(BulkJob, api.request("GET", path, operation="tasking.get_bulk"))


async def _found(api: Api, bulk_id: str, error: PlanetError) -> BulkJob:
    """Give the job that an error left in doubt, or raise that error."""
    try:
        return await get_bulk(api, bulk_id)
    except NotFound:
        error.add_note(f"a moment later there was no bulk job {bulk_id}")
    except PlanetError as other:
        error.add_note(f"whether there is a bulk job {bulk_id} could not be found out: {other}")
    raise error


_PRICING = "/tasking/v2/pricing/"


async def preview_one(api: Api, order: PricingRequest | Mapping[str, Any]) -> Pricing:
    """Price one order; see `Tasking.preview_pricing`."""
    return await api.call(Pricing, _request(api, checked_body(PricingRequest, order)))


async def preview_many(api: Api, orders: Iterable[PricingRequest | Mapping[str, Any]]) -> PricingPreview:
    """Price many orders; see `Tasking.preview_pricing_many`."""
    bodies = [
        checked_body(PricingRequest, order, where=f"order {number}")
        for number, order in enumerate(orders, start=1)
    ]
    if not bodies:
        return PricingPreview(0.0)
    request = _request(api, b"[" + b",".join(bodies) + b"]")
    preview = await api.call(PricingPreview, request)
    if len(preview.pricing_details) != len(bodies):
        raise DecodeError(
            f"{len(preview.pricing_details)} prices came for {len(bodies)} orders", request=request
        )
    return preview


def _request(api: Api, body: bytes) -> Request:
    # To ask for a price changes nothing.
    return api.request("POST", _PRICING, operation="tasking.preview_pricing", body=body, repeatable=True)


_ORDERS = "/tasking/v2/orders"
_CAPTURES = "/tasking/v2/captures"
_NO_FILTERS: Mapping[str, object] = MappingProxyType({})
_FINAL = tuple(status for status in TaskingStatus if status.is_final)
_UNFINISHED = tuple(status for status in TaskingStatus if not status.is_final)
_CANCELLED = frozenset({TaskingStatus.CANCELLED, TaskingStatus.PENDING_CANCELLATION})

Time = str | datetime


class Tasking:
    """The tasking orders of an account: `planet.tasking`.

    Everything here raises StatusError where the API refuses, TransportError where no answer came, DecodeError
    where the answer is not what the API documents, and InvalidRequest before anything is sent.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._creating = creating_tasking_orders(api, self.list)
        lists = ListQueries(self._changed, partial(self._having, _UNFINISHED), partial(self._having, _FINAL))
        schedule = api.config.tasking_schedule
        self._waits = PerLoop(partial(api.shared_wait, "tasking order", self.get, schedule, lists))

    async def create(self, request: TaskingOrderRequest | Mapping[str, Any]) -> TaskingOrder:
        """Place an order, and give it as it stands: RECEIVED, or REQUESTED for an assured one.

        A mapping is checked and sent as it is, fields unknown here included.  It is placed once: where an
        answer is lost, the order is looked for by its name, and placed again only if it is not there.
        UnsettledCreate is raised where that cannot be told.

            order = await planet.tasking.create(
                TaskingOrderRequest("harbour", {"type": "Point", "coordinates": [149.44135, 28.4924]})
            )
        """
        body = checked_body(TaskingOrderRequest, request)
        post = self._api.request("POST", f"{_ORDERS}/", operation="tasking.create", body=body)
        return await self._creating.create(body, partial(self._api.call, TaskingOrder, post))

    async def get(self, order_id: str | UUID) -> TaskingOrder:
        """Give one order."""
        path = f"{_ORDERS}/{checked_id(order_id)}"
        return await self._api.call(TaskingOrder, self._api.request("GET", path, operation="tasking.get"))

    def list(
        self,
        *,
        status: TaskingStatus | str | None = None,
        status__in: Sequence[TaskingStatus | str] | None = None,
        name: str | None = None,
        name__icontains: str | None = None,
        scheduling_type: str | None = None,
        scheduling_type__in: Sequence[str] | None = None,
        pl_number: str | None = None,
        product: str | None = None,
        geometry__intersects: object = None,
        created_time__gt: Time | None = None,
        created_time__gte: Time | None = None,
        created_time__lt: Time | None = None,
        created_time__lte: Time | None = None,
        updated_time__gt: Time | None = None,
        updated_time__gte: Time | None = None,
        updated_time__lt: Time | None = None,
        updated_time__lte: Time | None = None,
        start_time__gt: Time | None = None,
        start_time__gte: Time | None = None,
        start_time__lt: Time | None = None,
        start_time__lte: Time | None = None,
        end_time__gt: Time | None = None,
        end_time__gte: Time | None = None,
        end_time__lt: Time | None = None,
        end_time__lte: Time | None = None,
        filters: Mapping[str, object] = _NO_FILTERS,
        ordering: str | Sequence[str] | None = None,
        limit: int | None = None,
        offset: int | None = None,
        concurrency: int = 1,
    ) -> OffsetPaginator[TaskingOrder]:
        """List orders, oldest first unless `ordering` (such as ``"-updated_time"``) says otherwise.

        The filters are those of the API, and all of them have to hold; `filters` takes those that are not
        named here, ``{"end_time__lt": ...}`` as well as ``{"cloud_threshold__gte": 0.2}``.  `limit` is the
        size of a page and `offset` where the list begins, as the API has them: ``collect(limit=...)`` takes
        that many orders.  Up to `concurrency` pages are fetched at a time; nothing is lost or doubled where
        orders are added meanwhile.

            async for order in planet.tasking.list(name__icontains="harbour", status__in=["PENDING"]):
                ...
        """
        given: dict[str, object] = {
            "status": status,
            "status__in": status__in,
            "name": name,
            "name__icontains": name__icontains,
            "scheduling_type": scheduling_type,
            "scheduling_type__in": scheduling_type__in,
            "pl_number": pl_number,
            "product": product,
            "geometry__intersects": geometry__intersects,
            "created_time__gt": created_time__gt,
            "created_time__gte": created_time__gte,
            "created_time__lt": created_time__lt,
            "created_time__lte": created_time__lte,
            "updated_time__gt": updated_time__gt,
            "updated_time__gte": updated_time__gte,
            "updated_time__lt": updated_time__lt,
            "updated_time__lte": updated_time__lte,
            "start_time__gt": start_time__gt,
            "start_time__gte": start_time__gte,
            "start_time__lt": start_time__lt,
            "start_time__lte": start_time__lte,
            "end_time__gt": end_time__gt,
            "end_time__gte": end_time__gte,
            "end_time__lt": end_time__lt,
            "end_time__lte": end_time__lte,
        }
        params = tasking_query(given, filters=filters, limit=limit, offset=offset, ordering=ordering)
        first = self._api.request("GET", f"{_ORDERS}/", operation="tasking.list", params=params)
        return self._api.paginate_offsets(TaskingOrder, first, concurrency)

    async def update(
        self, order_id: str | UUID, changes: TaskingOrderChanges | Mapping[str, Any]
    ) -> TaskingOrder:
        """Change an order, and give the whole of it as it is then; only the fields given are sent.

        `start_time` can be changed while the order is PENDING, `end_time` also while it is IN_PROGRESS.

            await planet.tasking.update(order.id, {"end_time": "2026-07-01T00:00:00Z"})
        """
        path = f"{_ORDERS}/{checked_id(order_id)}"
        body = _changed_fields(changes)
        await self._api.send(self._api.request("PUT", path, operation="tasking.update", body=body))
        # The answer may hold no more than the fields that can be edited.
        return await self.get(order_id)

    async def cancel(self, order_id: str | UUID) -> TaskingOrder:
        """Cancel an order and give it: CANCELLED, or PENDING_CANCELLATION for an assured one.

        One that is cancelled already is given as it is.  `is_cancellable` and `cancellable_until` of an order
        say whether it can be cancelled; the API refuses it for one that cannot.
        """
        path = f"{_ORDERS}/{checked_id(order_id)}"
        try:
            await self._api.send(self._api.request("DELETE", path, operation="tasking.cancel"))
        except (BadRequest, Conflict):
            # The answer to a first try may have been lost on the way.
            order = await self.get(order_id)
            if order.status not in _CANCELLED:
                raise
            return order
        return await self.get(order_id)

    async def wait(
        self,
        order_id: str | UUID,
        *,
        timeout: float | None = None,
        on_update: Callable[[TaskingOrder], None] | None = None,
    ) -> TaskingOrder:
        """Wait until an order is finished, for at most `timeout` seconds, and give it; 0 looks once.

        That takes days: it is looked at as often as `Config.tasking_schedule` says.  An EXPIRED order is
        finished too: look at its `status`.  `on_update` is called with the order whenever it has changed.
        Raises WaitTimeout.
        """
        id_ = checked_id(order_id).lower()
        return await wait_for(self._waits.here(), id_, _finished, timeout=timeout, on_update=on_update)

    def wait_many(
        self, order_ids: Iterable[str | UUID], *, timeout: float | None = None
    ) -> AsyncIterator[Outcome[TaskingOrder]]:
        """Wait for many orders, and yield each as it finishes; a `break` is always safe.

        One outcome for each id, in lower case: the order, or the error that it met (NotFound, or WaitTimeout
        for those not finished after `timeout` seconds), which stops none of the others.  However many there
        are, one list request every few minutes answers for all waits of this client.
        """
        return WaitForMany(self._waits.here(), checked_ids(order_ids), _finished, timeout=timeout)

    def _changed(self, since: datetime, ended: bool) -> Paginator[TaskingOrder]:
        status = _FINAL if ended else None
        return self.list(updated_time__gte=since, status__in=status, ordering="updated_time")

    def _having(self, status: Sequence[TaskingStatus]) -> Paginator[TaskingOrder]:
        return self.list(status__in=status, ordering="-created_time")

    async def pricing(self, order_id: str | UUID) -> Pricing:
        """Give what an order costs; the API knows it of orders created after March 2024."""
        path = f"{_ORDERS}/{checked_id(order_id)}/pricing"
        return await self._api.call(Pricing, self._api.request("GET", path, operation="tasking.pricing"))

    async def preview_pricing(self, order: PricingRequest | Mapping[str, Any]) -> Pricing:
        """Give what an order would cost, without placing it; a geometry is enough."""
        return await preview_one(self._api, order)

    async def preview_pricing_many(
        self, orders: Iterable[PricingRequest | Mapping[str, Any]]
    ) -> PricingPreview:
        """Give what many orders would cost: an entry for each in their order, and the total of the API.

        An order that could not be priced has a PricingFailure, and is not in the total.  No orders, no
        request.

            preview = await planet.tasking.preview_pricing_many(requests)
            print(preview.total_estimated_quota_cost)
        """
        return await preview_many(self._api, orders)

    async def search_imaging_windows(
        self, request: ImagingWindowRequest | Mapping[str, Any], *, timeout: float | None = None
    ) -> ImagingWindowSearch:
        """Find when satellites can see a place, and give the search when it is done, with its windows.

        Raises ImagingSearchFailed with the API's reason, WaitTimeout after `timeout` seconds.

            search = await planet.tasking.search_imaging_windows(
                ImagingWindowRequest(harbour, pl_number="PL-1", product="Assured Tasking")
            )
            window = search.imaging_windows[0].id
        """
        return await search_windows(self._api, request, timeout=timeout)

    async def get_imaging_window(self, window_id: str | UUID) -> ImagingWindow:
        """Give one imaging window."""
        return await get_window(self._api, window_id)

    def list_captures(
        self,
        *,
        order_id: str | UUID | None = None,
        fulfilling: bool | None = None,
        status: CaptureStatus | str | None = None,
        status__in: Sequence[CaptureStatus | str] | None = None,
        acquired_time__gt: Time | None = None,
        acquired_time__lt: Time | None = None,
        published_time__gt: Time | None = None,
        published_time__lt: Time | None = None,
        filters: Mapping[str, object] = _NO_FILTERS,
        ordering: str | Sequence[str] | None = None,
        limit: int | None = None,
        offset: int | None = None,
        concurrency: int = 1,
    ) -> OffsetPaginator[Capture]:
        """List what has been or will be taken, for one order or for all; else as `list`.

        `fulfilling` asks for the captures that count towards their order.

            captures = await planet.tasking.list_captures(order_id=order.id, fulfilling=True).collect()
        """
        given: dict[str, object] = {
            "order_id": None if order_id is None else checked_id(order_id),
            "fulfilling": fulfilling,
            "status": status,
            "status__in": status__in,
            "acquired_time__gt": acquired_time__gt,
            "acquired_time__lt": acquired_time__lt,
            "published_time__gt": published_time__gt,
            "published_time__lt": published_time__lt,
        }
        params = tasking_query(given, filters=filters, limit=limit, offset=offset, ordering=ordering)
        first = self._api.request("GET", f"{_CAPTURES}/", operation="tasking.captures", params=params)
        return self._api.paginate_offsets(Capture, first, concurrency)

    async def get_capture(self, capture_id: str | UUID) -> Capture:
        """Give one capture."""
        path = f"{_CAPTURES}/{checked_id(capture_id, 'capture')}"
        return await self._api.call(Capture, self._api.request("GET", path, operation="tasking.get_capture"))

    async def create_bulk(
        self,
        orders: Iterable[TaskingOrderRequest | Mapping[str, Any]],
        id: str | UUID | None = None,  # noqa: A002 - the API's own name
    ) -> BulkJob:
        """Place up to 1,000 orders with one request, and give the job that does it: PENDING.

        All are checked before anything is sent.  The job has the `id` chosen here, or one that is made up:
        where no answer comes, it is looked up by that before any error is raised, so that orders are not
        placed twice.  No orders, no request: that job is COMPLETE, and unknown to the API.

            job = await planet.tasking.create_bulk(requests)
            job = await planet.tasking.get_bulk(job.id)
        """
        return await create_bulk(self._api, orders, id)

    async def get_bulk(self, bulk_id: str | UUID) -> BulkJob:
        """Give a bulk job as it stands."""
        return await get_bulk(self._api, bulk_id)


def _changed_fields(changes: TaskingOrderChanges | Mapping[str, Any]) -> bytes:
    body = checked_body(TaskingOrderChanges, changes)
    if body == b"{}":
        raise InvalidRequest("nothing is to be changed; nothing was sent")
    return body


def _finished(order: TaskingOrder) -> bool:
    return order.status.is_final
