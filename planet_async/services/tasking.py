"""Tasking: new imagery, taken by satellites on request."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from operator import attrgetter
from typing import Any, Unpack
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
from planet_async.exactly_once import ResourceKind
from planet_async.http import Request, Response, SecretBytes
from planet_async.models.codec import NonEmpty, checked_body, to_json
from planet_async.models.tasking import (
    BulkJob,
    BulkStatus,
    Capture,
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
from planet_async.services._api import Api
from planet_async.services._query import (
    Params,
    any_id,
    checked_id,
    checked_ids,
    joined,
    many,
    open_filter_params,
    optional_whole,
    params,
    seconds,
    whole,
)
from planet_async.services.filters import NO_FILTERS, CaptureFilters, TaskingFilters
from planet_async.waiting.poller import Poller
from planet_async.waiting.sweep import ListQueries
from planet_async.waiting.waiter import WaitForMany, Watch, wait_for

_ORDERS = "/tasking/v2/orders"
_CAPTURES = "/tasking/v2/captures"
_WINDOWS = "/tasking/v2/imaging-windows"
_BULK = "/tasking/v2/bulk/"
_MOST_ORDERS = 1000  # of one bulk job
_FINAL = tuple(status for status in TaskingStatus if status.is_final)
_UNFINISHED = tuple(status for status in TaskingStatus if not status.is_final)
_CANCELLED = frozenset({TaskingStatus.CANCELLED, TaskingStatus.PENDING_CANCELLATION})


class Tasking:
    """The tasking orders of an account: `planet.tasking`.

    `create`, `create_bulk`, `get`, `get_bulk`, `list`, `update` and `cancel`; `wait`, `wait_many`, `watch`
    and `poll_now`; `pricing`, `preview_pricing` and `preview_pricing_many`; `search_imaging_windows` and
    `get_imaging_window`; `list_captures` and `get_capture`.

    What holds for every method:

    - An id is a text or a `UUID`; a request is a record such as `TaskingOrderRequest`, or a mapping with the
      API's own names, which is checked and sent as it is, fields unknown here included.
    - A `timeout` is in seconds; None waits for ever, and 0 asks once.  `on_update`, which may be async,
      is called with what is waited for whenever it has changed.
    - Bulk methods called without orders send no request.

    Raises:
        InvalidRequest: an argument cannot be right; nothing was sent.
        StatusError: the API refuses the request; NotFound also for what belongs to another user.
        TransportError: no response came.
        DecodeError: the response is not what the API documents.

    See https://docs.planet.com/develop/apis/tasking/reference/
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._creating = api.exactly_once(
            ResourceKind[TaskingOrder](
                "tasking order",
                "geometry",
                lambda name: self.list(name=name, ordering="-created_time").pages(),
                lambda start, end: self.list(
                    created_time__gte=start, created_time__lte=end, ordering="-created_time"
                ).pages(),
                attrgetter("created_time"),
                _as_requested,
                self.cancel,
            )
        )
        lists = ListQueries(self._changed, partial(self._having, _UNFINISHED), partial(self._having, _FINAL))
        schedule = api.config.tasking_schedule
        self._waits = PerLoop(partial(api.poller, "tasking order", self.get, schedule, lists))

    async def create(self, request: TaskingOrderRequest | Mapping[str, Any]) -> TaskingOrder:
        """Place an order, and return it as it stands: RECEIVED, or REQUESTED for an assured one.

        It is placed once: where the response is lost, the order is looked for by its name, and placed again
        only if it is not there.

            order = await planet.tasking.create(
                TaskingOrderRequest("harbour", {"type": "Point", "coordinates": [149.44135, 28.4924]})
            )

        Raises:
            UnsettledCreate: whether it was placed cannot be found out.
        """
        body = checked_body(TaskingOrderRequest, request)
        post = self._api.request("POST", f"{_ORDERS}/", "tasking.create", body=body)
        return await self._creating.create(body, partial(self._api.fetch, TaskingOrder, post))

    async def create_bulk(
        self,
        orders: Iterable[TaskingOrderRequest | Mapping[str, Any]],
        id: str | UUID | None = None,  # noqa: A002 - the API's own name
    ) -> BulkJob:
        """Place up to 1,000 orders with one request, and return the job that does it: PENDING.

        All are checked before anything is sent.  Where no response comes, the job is looked up by its id
        before any error is raised, so that orders are not placed twice.

            job = await planet.tasking.create_bulk(requests)
            job = await planet.tasking.get_bulk(job.id)

        Args:
            orders: The requests; without any, the job is COMPLETE, and unknown to the API.
            id: The id of the job; by default a random one.
        """
        bodies = _checked_each(TaskingOrderRequest, orders)
        job_id = str(uuid4()) if id is None else checked_id(id, "bulk job")
        if not bodies:
            return BulkJob(job_id, BulkStatus.COMPLETE, 0)
        if len(bodies) > _MOST_ORDERS:
            raise InvalidRequest(
                f"{len(bodies)} orders are more than the {_MOST_ORDERS} of one bulk job; nothing was sent"
            )
        body = SecretBytes(b'{"id":%b,"order_payloads":[%b]}' % (to_json(job_id), b",".join(bodies)))
        try:
            await self._api.send(self._api.request("POST", _BULK, "tasking.create_bulk", body=body))
        except PlanetError as error:
            if not error.may_have_acted:
                raise
            return await self._find_bulk(job_id, error)
        # The response is empty, and nothing that could fail is done once the orders are placed.
        return BulkJob(job_id, BulkStatus.PENDING, len(bodies))

    async def _find_bulk(self, job_id: str, error: PlanetError) -> BulkJob:
        """Return the job that may exist after an error, or raise that error."""
        try:
            return await self.get_bulk(job_id)
        except NotFound:
            error.add_note(f"a moment later there was no bulk job {job_id}")
        except PlanetError as other:
            error.add_note(f"whether there is a bulk job {job_id} could not be found out: {other}")
        raise error

    async def get(self, order_id: str | UUID) -> TaskingOrder:
        """Return one order."""
        return await self._api.call(TaskingOrder, "GET", _path(order_id), "tasking.get")

    async def get_bulk(self, bulk_id: str | UUID) -> BulkJob:
        """Return a bulk job as it stands."""
        path = _BULK + checked_id(bulk_id, "bulk job")
        return await self._api.call(BulkJob, "GET", path, "tasking.get_bulk")

    def list(
        self,
        *,
        filters: Mapping[str, object] = NO_FILTERS,
        ordering: str | Sequence[str] | None = None,
        page_size: int | None = None,
        offset: int | None = None,
        concurrency: int = 1,
        **named_filters: Unpack[TaskingFilters],
    ) -> OffsetPaginator[TaskingOrder]:
        """List orders, oldest first; each once, also where orders are added while the list is read.

            async for order in planet.tasking.list(name__icontains="harbour", status__in=["PENDING"]):
                ...

        Args:
            filters: Filters of the API that `TaskingFilters` lacks: ``{"cloud_threshold__gte": 0.2}``.
            ordering: A field to sort by, or several; with "-" in front, such as "-updated_time", the last
                comes first.
            page_size: How many orders there are in one response; by default what the API chooses.
            offset: How many orders to leave out at the beginning.
            concurrency: How many pages are fetched at a time.
            **named_filters: See `TaskingFilters`; all filters have to hold.
        """
        query = (
            *open_filter_params(TaskingFilters, named_filters, filters),
            *_paging_params(ordering, page_size, offset),
        )
        first = self._api.request("GET", f"{_ORDERS}/", "tasking.list", params=query)
        return self._api.paginate_offsets(TaskingOrder, first, whole("concurrency", concurrency))

    async def update(
        self, order_id: str | UUID, changes: TaskingOrderChanges | Mapping[str, Any]
    ) -> TaskingOrder:
        """Change an order, and return the whole of it; only the fields given are sent.

        `start_time` can be changed while the order is PENDING, `end_time` also while it is IN_PROGRESS.

            await planet.tasking.update(order.id, {"end_time": "2026-07-01T00:00:00Z"})
        """
        path, body = _path(order_id), checked_body(TaskingOrderChanges, changes)
        if body == b"{}":
            raise InvalidRequest("nothing is to be changed; nothing was sent")
        await self._api.send(self._api.request("PUT", path, "tasking.update", body=body))
        # The response may hold no more than the fields that can be edited.
        return await self.get(order_id)

    async def cancel(self, order_id: str | UUID) -> TaskingOrder:
        """Cancel an order, and return it: CANCELLED, or PENDING_CANCELLATION for an assured one.

        One that is cancelled already is returned as it is.  `is_cancellable` and `cancellable_until` of an
        order say whether it can be cancelled.

        Raises:
            BadRequest: it cannot be cancelled; or Conflict.
        """
        try:
            await self._api.send(self._api.request("DELETE", _path(order_id), "tasking.cancel"))
        except (BadRequest, Conflict):
            # The first attempt may have been acted on, and its response lost.
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
        on_update: Callable[[TaskingOrder], object] | None = None,
    ) -> TaskingOrder:
        """Wait until an order is finished, and return it.

        That takes days: `Config.tasking_schedule` says how often it is requested.  An EXPIRED order is
        finished too: see its `status`.

        Raises:
            WaitTimeout: it was not finished in time.
        """
        return await wait_for(
            self._waits.here(),
            checked_id(order_id),
            _is_finished,
            timeout=seconds("timeout", timeout),
            on_update=on_update,
        )

    def wait_many(
        self, order_ids: Iterable[str | UUID], *, timeout: float | None = None
    ) -> AsyncIterator[Outcome[TaskingOrder]]:
        """Wait for many orders, and yield each as it finishes.

        However many there are, one list request every few minutes serves them all, and all other waits of
        this client.

        Yields:
            One outcome for each id, in lower case: the order, or its error, such as WaitTimeout, which does
            not stop the others.  Leaving the loop early is safe.
        """
        timeout = seconds("timeout", timeout)
        return WaitForMany(self._waits.here(), checked_ids(order_ids), _is_finished, timeout=timeout)

    def watch(self, order_id: str | UUID, *, timeout: float | None = None) -> AsyncIterator[TaskingOrder]:
        """Yield an order as it is now, and again whenever it has changed, until it is finished.

        All waits of a client share their requests, see `wait_many`.  Leaving the loop early is safe.

            async for order in planet.tasking.watch(order_id):
                print(order.status, order.next_planned_acquisition_time)

        Raises:
            WaitTimeout: it was not finished in time.
        """
        timeout = seconds("timeout", timeout)
        return Watch(self._waits.here(), checked_id(order_id), _is_finished, timeout=timeout)

    def poll_now(self, order_id: str | UUID) -> None:
        """Request an order at once if a wait needs it.

        No request is sent where nothing waits for it.  Call it in the event loop of the waits.
        """
        self._waits.here().poll_now(any_id(order_id))

    def _changed(self, since: datetime, ended: bool) -> Paginator[TaskingOrder]:
        status = _FINAL if ended else None
        return self.list(updated_time__gte=since, status__in=status, ordering="updated_time")

    def _having(self, status: Sequence[TaskingStatus]) -> Paginator[TaskingOrder]:
        return self.list(status__in=status, ordering="-created_time")

    async def pricing(self, order_id: str | UUID) -> Pricing:
        """Return what an order costs; the API knows it of orders created after March 2024."""
        return await self._api.call(Pricing, "GET", f"{_path(order_id)}/pricing", "tasking.pricing")

    async def preview_pricing(self, order: PricingRequest | Mapping[str, Any]) -> Pricing:
        """Return what an order would cost, without placing it; a geometry is enough."""
        return await self._api.fetch(Pricing, self._pricing_request(checked_body(PricingRequest, order)))

    async def preview_pricing_many(
        self, orders: Iterable[PricingRequest | Mapping[str, Any]]
    ) -> PricingPreview:
        """Return what many orders would cost: an entry for each in their order, and the total of the API.

        An order that cannot be priced has a PricingFailure, and is not in the total.

            preview = await planet.tasking.preview_pricing_many(requests)
            print(preview.total_estimated_quota_cost)
        """
        bodies = _checked_each(PricingRequest, orders)
        if not bodies:
            return PricingPreview(0.0)
        request = self._pricing_request(b"[%b]" % b",".join(bodies))
        preview = await self._api.fetch(PricingPreview, request)
        if len(preview.pricing_details) != len(bodies):
            raise DecodeError(
                f"{len(preview.pricing_details)} prices came for {len(bodies)} orders", request=request
            )
        return preview

    def _pricing_request(self, body: bytes) -> Request:
        # Asking for a price changes nothing.
        return self._api.request(
            "POST", "/tasking/v2/pricing/", "tasking.preview_pricing", body=body, repeatable=True
        )

    async def search_imaging_windows(
        self, request: ImagingWindowRequest | Mapping[str, Any], *, timeout: float | None = None
    ) -> ImagingWindowSearch:
        """Find when satellites can see a place, and return the finished search, with its windows.

            search = await planet.tasking.search_imaging_windows(
                ImagingWindowRequest(harbour, pl_number="PL-1", product="Assured Tasking")
            )
            window = search.imaging_windows[0].id

        Raises:
            ImagingSearchFailed: with the reason of the API.
            WaitTimeout: the search was not finished in time.
        """
        body, timeout = checked_body(ImagingWindowRequest, request), seconds("timeout", timeout)
        # A search costs nothing and changes nothing.
        post = self._api.request("POST", f"{_WINDOWS}/search/", "tasking.search", body=body, repeatable=True)
        search_id = await _search_id(post, await self._api.send(post))
        poller = Poller(self._get_search, clock=self._api.clock, schedule=self._api.config.schedule)
        search = await wait_for(poller, search_id, lambda found: found.status.is_final, timeout=timeout)
        if search.status is SearchStatus.FAILED:
            raise ImagingSearchFailed(
                f"the search for imaging windows {search_id} failed: "
                f"{search.error_message or 'the API gives no reason'}",
                error_code=search.error_code,
            )
        return search

    async def _get_search(self, search_id: str) -> ImagingWindowSearch:
        path = f"{_WINDOWS}/search/{quote(search_id, safe='')}"
        return await self._api.call(ImagingWindowSearch, "GET", path, "tasking.get_search")

    async def get_imaging_window(self, window_id: str | UUID) -> ImagingWindow:
        """Return one imaging window."""
        path = f"{_WINDOWS}/{checked_id(window_id, 'imaging window')}"
        return await self._api.call(ImagingWindow, "GET", path, "tasking.get_window")

    def list_captures(
        self,
        *,
        filters: Mapping[str, object] = NO_FILTERS,
        ordering: str | Sequence[str] | None = None,
        page_size: int | None = None,
        offset: int | None = None,
        concurrency: int = 1,
        **named_filters: Unpack[CaptureFilters],
    ) -> OffsetPaginator[Capture]:
        """List what has been or will be taken, for one order or for all.

            captures = await planet.tasking.list_captures(order_id=order.id, fulfilling=True).collect()

        The arguments are those of `list`, with the filters of `CaptureFilters`.
        """
        query = (
            *open_filter_params(CaptureFilters, named_filters, filters),
            *_paging_params(ordering, page_size, offset),
        )
        first = self._api.request("GET", f"{_CAPTURES}/", "tasking.captures", params=query)
        return self._api.paginate_offsets(Capture, first, whole("concurrency", concurrency))

    async def get_capture(self, capture_id: str | UUID) -> Capture:
        """Return one capture."""
        path = f"{_CAPTURES}/{checked_id(capture_id, 'capture')}"
        return await self._api.call(Capture, "GET", path, "tasking.get_capture")


def _is_finished(order: TaskingOrder) -> bool:
    return order.status.is_final


def _path(order_id: str | UUID) -> str:
    return f"{_ORDERS}/{checked_id(order_id)}"


def _paging_params(ordering: str | Sequence[str] | None, page_size: int | None, offset: int | None) -> Params:
    return params(
        limit=optional_whole("page_size", page_size),
        offset=optional_whole("offset", offset, least=0),
        ordering=joined("ordering", ordering) or "created_time",  # so that new ones come at the end
    )


def _checked_each(cls: type[Any], requests: Iterable[Any]) -> Sequence[bytes]:
    return [
        checked_body(cls, request, where=f"order {number}")
        for number, request in enumerate(many("orders", requests), start=1)
    ]


def _as_requested(order: TaskingOrder) -> Mapping[str, Any]:
    """Return it in the words of a request; its `geometry` is what the API made of the one in the request."""
    return {**order.raw, "geometry": order.raw.get("original_geometry") or order.raw.get("geometry")}


class _Identified(msgspec.Struct):
    id: NonEmpty


async def _search_id(request: Request, response: Response) -> str:
    """Return the id of a new search: from the body, else the last part of the path in ``Location``."""
    body = SecretBytes(await response.read())
    with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # older responses have no body
        return msgspec.json.decode(body, type=_Identified).id
    try:
        place = urlsplit(response.headers.get("location", "")).path.rstrip("/").rpartition("/")[2]
    except ValueError:
        place = ""
    if not place or place == "search":
        raise DecodeError("a search for imaging windows was accepted without an id", request=request)
    return place
