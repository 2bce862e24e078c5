"""Orders: imagery and basemaps, prepared by Planet and delivered.

| method | route below /compute/ops | page below https://docs.planet.com/develop/apis |
| --- | --- | --- |
| `create` | POST /orders/v2 | orders/reference |
| `get` | GET /orders/v2/{id} | orders/reference |
| `wait`, `wait_many`, `poll_now` | GET /orders/v2/{id}, or the list for many | orders/reference |
| `list` | GET /orders/v2 | orders/reference |
| `cancel` | PUT /orders/v2/{id} | orders/reference |
| `cancel_many`, `cancel_all` | POST /bulk/orders/v2/cancel | orders/reference |
| `stats` | GET /stats/orders/v2 | orders/reference |
| `download`, `open` | GET the locations that an order lists | orders/reference |
| `run` | all that it takes | orders/reference |
"""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from planet_async._loops import PerLoop
from planet_async._tasks import BackgroundIterator
from planet_async.downloads.remote_file import OpenFile, ProgressCallback, target_folder
from planet_async.errors import Conflict, InvalidRequest
from planet_async.http import http_date
from planet_async.jobs.job import Job, OrderRequestLike, QueueGate, checked_requests
from planet_async.jobs.ledger import FileLedger, Ledger
from planet_async.models.codec import checked_body
from planet_async.models.order_request import OrderRequest
from planet_async.models.orders import (
    BulkCancelReply,
    CancelResult,
    DownloadedFiles,
    DownloadedOrder,
    Order,
    OrderResult,
    OrderState,
    OrderStats,
)
from planet_async.outcome import Outcome
from planet_async.paging import ORDERS_PAGES, Paginator
from planet_async.services._api import Api, creating_orders
from planet_async.services._bulk_cancel import cancel_each, cancel_request
from planet_async.services._order_files import download_order, open_result
from planet_async.services._query import (
    TimeFilter,
    checked_id,
    checked_ids,
    comma_list,
    positive,
    query,
    time_filter,
)
from planet_async.waiting.sweep import ListQueries
from planet_async.waiting.waiter import WaitForMany, wait_for

_ORDERS = "/compute/ops/orders/v2"
_STATS = "/compute/ops/stats/orders/v2"
_UNFINISHED = (OrderState.QUEUED, OrderState.RUNNING)
_FINAL = (OrderState.SUCCESS, OrderState.PARTIAL, OrderState.FAILED, OrderState.CANCELLED)
_LARGE_PAGE = 500  # the server's default makes a list many times slower


class Orders:
    """The orders of an account: `planet.orders`.

    Everything here raises StatusError where the API refuses, TransportError where no answer came, DecodeError
    where the answer is not what the API documents, and InvalidRequest before anything is sent.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._creating = creating_orders(api, self.list)
        lists = ListQueries(self._changed, partial(self._having, _UNFINISHED), partial(self._having, _FINAL))
        self._waits = PerLoop(partial(api.shared_wait, "order", self.get, api.config.schedule, lists))

    async def create(self, request: OrderRequest | Mapping[str, Any]) -> Order:
        """Place an order, and give it as it stands: queued.

        A mapping is checked and sent as it is, fields unknown here included.  It is placed once: where an
        answer is lost, the order is looked for by its name, and placed again only if it is not there.
        UnsettledCreate is raised where that cannot be told; a name of its own for each order makes it sure.

            order = await planet.orders.create(
                OrderRequest("field 7", [SceneProduct(["20221221_084022_18_2414"], "PSScene",
                "analytic_udm2")])
            )
        """
        return await self._place(checked_body(OrderRequest, request))

    async def _place(self, body: bytes) -> Order:
        post = self._api.request("POST", _ORDERS, operation="orders.create", body=body)
        return await self._creating.create(body, partial(self._api.call, Order, post))

    async def get(self, order_id: str | UUID) -> Order:
        """Give one order; NotFound also for orders of other users."""
        path = f"{_ORDERS}/{checked_id(order_id)}"
        return await self._api.call(Order, self._api.request("GET", path, operation="orders.get"))

    def list(
        self,
        *,
        state: OrderState | str | Sequence[OrderState | str] | None = None,
        source_type: str | Sequence[str] = "all",
        name: str | None = None,
        name__contains: str | None = None,
        created_on: TimeFilter | None = None,
        last_modified: TimeFilter | None = None,
        hosting: bool | None = None,
        destination_ref: str | None = None,
        user_id: int | str | None = None,
        sort_by: str | Sequence[str] | None = None,
        page_size: int | None = None,
    ) -> Paginator[Order]:
        """List orders, newest first unless `sort_by` says otherwise; the filters are those of the API.

        Orders in a list come without their results: `get` one for its download links.  Basemap orders are
        included, which the API by itself leaves out.  `user_id` (``"all"`` or a number) is for
        administrators.

            async for order in planet.orders.list(state=["queued", "running"], name__contains="field"):
                ...
        """
        params = query(
            source_type=source_type,
            state=state,
            name=name,
            name__contains=name__contains,
            created_on=time_filter("created_on", created_on),
            last_modified=time_filter("last_modified", last_modified),
            hosting=hosting,
            destination_ref=destination_ref,
            user_id=user_id,
            sort_by=comma_list(sort_by),
            page_size=positive("page_size", page_size),
        )
        first = self._api.request("GET", _ORDERS, operation="orders.list", params=params)
        return self._api.paginate(Order, first, ORDERS_PAGES)

    async def cancel(self, order_id: str | UUID) -> Order:
        """Cancel a queued order and give it; one that is cancelled already is given as it is.

        Conflict is raised for an order that is running or finished.
        """
        path = f"{_ORDERS}/{checked_id(order_id)}"
        try:
            return await self._api.call(Order, self._api.request("PUT", path, operation="orders.cancel"))
        except Conflict:
            # The answer to a first try may have been lost on the way.
            order = await self.get(order_id)
            if order.state is not OrderState.CANCELLED:
                raise
            return order

    async def cancel_many(self, order_ids: Iterable[str | UUID], *, verify: bool = False) -> CancelResult:
        """Cancel queued orders by id, 10,000 in a request, side by side; no ids, no request.

        Each id is told of once, in lower case: it is in `cancelled`, or in `failures` with the reason.  A
        request that fails costs its own ids only, and where its answer was lost the list tells what it did.
        With `verify` the list is asked of all: only what it shows is in `cancelled`.  Raises where nothing at
        all was answered.

            result = await planet.orders.cancel_many(ids)
            again = [failure.order_id for failure in result.failures if failure.reason == "failed"]
        """
        return await cancel_each(self._api, order_ids, get=self.get, list_=self.list, verify=verify)

    async def cancel_all(self) -> CancelResult:
        """Cancel every queued order of the account."""
        return (await self._api.call(BulkCancelReply, cancel_request(self._api, {}))).cancelled

    async def stats(self) -> OrderStats:
        """Count the queued and running orders of the user and of the organization."""
        return await self._api.call(OrderStats, self._api.request("GET", _STATS, operation="orders.stats"))

    async def wait(
        self,
        order_id: str | UUID,
        *,
        timeout: float | None = None,
        on_update: Callable[[Order], None] | None = None,
    ) -> Order:
        """Wait until an order is finished, for at most `timeout` seconds, and give it; 0 looks once.

        A failed order is finished too: look at its `state`.  `on_update` is called with the order whenever it
        has changed.  All waits of a client share their requests, see `wait_many`: so the order can come
        without its `results`, which `download` reads by itself.  Raises WaitTimeout.
        """
        return await wait_for(
            self._waits.here(),
            checked_id(order_id).lower(),
            _finished,
            timeout=timeout,
            on_update=on_update,
        )

    async def _wait_for(self, order_id: str, just_seen: bool) -> Order:
        id_ = checked_id(order_id).lower()
        return await wait_for(self._waits.here(), id_, _finished, just_seen=just_seen)

    def wait_many(
        self,
        order_ids: Iterable[str | UUID],
        *,
        timeout: float | None = None,
    ) -> AsyncIterator[Outcome[Order]]:
        """Wait for many orders, and yield each as it finishes; a `break` is always safe.

        One outcome for each id, in lower case: the order, or the error that it met (NotFound, or WaitTimeout
        for those not finished after `timeout` seconds), which stops none of the others.

        However many there are, one list request every few seconds answers for all of them, and for all other
        waits of this client.  An order that comes of a list has no `results`: `download` reads it again, and
        so does `get`.

            async for outcome in planet.orders.wait_many(ids):
                print(outcome.id, outcome.error or outcome.unwrap().state)
        """
        return WaitForMany(self._waits.here(), checked_ids(order_ids), _finished, timeout=timeout)

    def poll_now(self, order_id: str) -> None:
        """Look at an order at once if somebody waits for it, as when a webhook has told of it.

        It costs nothing where nobody does.  To be called in the event loop of those who wait.
        """
        self._waits.here().poll_now(order_id.lower())

    def _changed(self, since: datetime, ended: bool) -> Paginator[Order]:
        return self.list(
            last_modified=(since, None),
            state=_FINAL if ended else None,
            sort_by="last_modified ASC",
            page_size=_LARGE_PAGE,
        )

    def _having(self, state: Sequence[OrderState]) -> Paginator[Order]:
        return self.list(state=state, page_size=_LARGE_PAGE)

    async def download(
        self,
        order: Order | str | UUID,
        to: str | Path,
        *,
        overwrite: bool = False,
        concurrency: int = 4,
        ranges: int = 1,
        require_checksums: bool = False,
        progress: ProgressCallback | None = None,
    ) -> DownloadedFiles:
        """Download all files of a finished order below the folder `to`, and return their paths.

        Each is compared with the manifest of the order, and is named `NAME.part` until it is right.  A file
        that is there and right is kept: by its checksum, or without one by its size and content.  All files
        are tried before the first error is raised: call again for what is missing.

        Args:
            order: A finished order, or the id of one.
            to: The folder; it is made.  Files go below it, in a folder with the id of the order.
            overwrite: Replace files that are there and not right, instead of raising DownloadError.
            concurrency: How many files are fetched at a time.
            ranges: How many range requests fetch a file of 32 MiB or more concurrently, where each connection
                is slow; within `Config.max_downloads`.
            require_checksums: Raise DownloadError for a file of which the manifest has no checksum, instead
                of naming it in `unverified`.
            progress: Called with the `Progress` of each file as it arrives.

        Returns:
            The paths, a list.  Its `unverified` names the files that could not be compared, its `renamed`
            those whose names no file can have.

        Raises:
            OrderNotDownloadable: The order failed, is unfinished, or was delivered to a cloud.
            ChecksumMismatch: A file arrived twice with other bytes than the manifest says.
            UnsafeName: A name leads out of the folder.
            DownloadError: A file cannot be written, is in the way, or is listed by the manifest only.

        See https://docs.planet.com/develop/apis/orders/reference/
        """
        if min(concurrency, ranges) < 1:
            raise InvalidRequest("concurrency and ranges must be at least 1")
        folder = target_folder(to)
        if isinstance(order, str | UUID):
            order = await self.get(order)
        return await download_order(
            self._api,
            order,
            self.get,
            folder,
            overwrite=overwrite,
            concurrency=concurrency,
            ranges=ranges,
            require_checksums=require_checksums,
            progress=progress,
        )

    async def _service_date(self) -> datetime | None:
        response = await self._api.send(self._api.request("GET", _STATS, operation="orders.stats"))
        return http_date(response.headers.get("date"))

    def open(self, result: OrderResult) -> AbstractAsyncContextManager[OpenFile]:
        """Open one file of an order for reading, without a copy on disk; nothing is checked.

        async with planet.orders.open(order.results[0]) as file:
            async for chunk in file:
                ...
        """
        return open_result(self._api, result)

    def run(
        self,
        requests: Iterable[OrderRequestLike] | AsyncIterable[OrderRequestLike],
        to: str | Path,
        *,
        ledger: str | Path | None = None,
        overwrite: bool = False,
        require_checksums: bool = False,
        concurrency: int = 4,
        max_queued: int = 10_000,
        progress: ProgressCallback | None = None,
        on_update: Callable[[Order], None] | None = None,
    ) -> AsyncIterator[Outcome[DownloadedOrder]]:
        """Place orders, wait for them and download each below `to`; yields them as they are done.

        A sequence is checked whole before the first request is sent; another iterable, which may be
        asynchronous and have no end, is read as there is room, and what is wrong in it becomes an outcome.
        What fails for one stops no other.  The id of an outcome is the order's, or the name in the request
        where no order came of it.  Orders that were placed stay placed when the caller leaves early.

        `ledger` is a file that notes what became of each request.  Killed at any moment and called again with
        the same requests and ledger, the job orders nothing twice, and goes on.  What has failed is told
        again; what was refused, as for want of quota, is sent again; the order of what was downloaded before
        has only its id, name and state.  Secrets are not written down, and make no difference.

        At most `max_queued` orders are unfinished at a time; where the service's queue is full (409) this
        waits for room.  `concurrency` orders are downloaded at a time.  `on_update` is called with each order
        when it is placed or found in the ledger, and when it is finished.

        Raises LedgerError where the ledger is in use or cannot be used, and what reading `requests` raises.

            async for outcome in planet.orders.run(requests, to="data", ledger="fields.ledger"):
                print(outcome.id, outcome.error or outcome.unwrap().paths)
        """
        clock, folder = self._api.clock, target_folder(to)
        job = Job(
            checked_requests(requests),
            Ledger() if ledger is None else FileLedger(Path(ledger), clock),
            folder,
            QueueGate(self.stats, clock, self._api.config.schedule),
            clock,
            create=self._place,
            recover=self._creating.recover,
            claim=self._creating.claim_ids,
            release=self._creating.release,
            wait=self._wait_for,
            download=partial(
                download_order,
                self._api,
                get=self.get,
                folder=folder,
                overwrite=overwrite,
                concurrency=4,
                require_checksums=require_checksums,
                durable=ledger is not None,
                progress=progress,
            ),
            date=self._service_date,
            consistency_delay=self._api.config.consistency_delay,
            max_queued=max_queued,
            concurrency=concurrency,
            on_update=on_update,
        )
        return BackgroundIterator(job.run)


def _finished(order: Order) -> bool:
    return order.state.is_final
