"""Orders: imagery and basemaps, prepared by Planet and delivered."""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any, Unpack
from uuid import UUID

from planet_async._loops import PerLoop
from planet_async._tasks import BackgroundIterator, Send
from planet_async.downloads.progress_bar import ProgressBar
from planet_async.downloads.remote_file import OpenFile, ProgressCallback
from planet_async.errors import Conflict, InvalidRequest, type_name
from planet_async.exactly_once import ResourceKind
from planet_async.http import http_date
from planet_async.jobs.job import Job, OrderRequestLike, QueueGate, checked_requests
from planet_async.jobs.ledger import DatabaseLedger, Ledger, is_address
from planet_async.models.bulk import BulkResult
from planet_async.models.codec import checked_body
from planet_async.models.order_request import OrderRequest
from planet_async.models.orders import (
    BulkCancelReply,
    DownloadedFiles,
    DownloadedOrder,
    Order,
    OrderResult,
    OrderState,
    OrderStats,
)
from planet_async.outcome import Outcome
from planet_async.paging import ORDERS_PAGES, Paginator
from planet_async.services._api import Api
from planet_async.services._bulk_cancel import cancel_each, cancel_request
from planet_async.services._order_files import download_order, open_result
from planet_async.services._query import (
    any_id,
    checked_id,
    checked_ids,
    destination,
    filter_params,
    joined,
    params,
    path,
    seconds,
    whole,
)
from planet_async.services.filters import OrderFilters
from planet_async.waiting.sweep import ListQueries
from planet_async.waiting.waiter import WaitForMany, Watch, wait_for

_ORDERS = "/compute/ops/orders/v2"
_NEWEST_FIRST = "created_on DESC"
_STATS = "/compute/ops/stats/orders/v2"
_UNFINISHED = (OrderState.QUEUED, OrderState.RUNNING)
_FINAL = (OrderState.SUCCESS, OrderState.PARTIAL, OrderState.FAILED, OrderState.CANCELLED)


class Orders:
    """The orders of an account: `planet.orders`.

    `create`, `get`, `list`, `cancel`, `cancel_many` and `cancel_all`; `wait`, `wait_many`, `watch` and
    `poll_now`; `stats`; `download` and `open` for the files; `run` for all of it, many orders at a time.

    What holds for every method:

    - An id is a text or a `UUID`; a request is an `OrderRequest` or a mapping with the API's own names, which
      is checked and sent as it is, fields unknown here included.
    - A secret that the API has redacted (``"<REDACTED>"``) is refused: it would replace the real one.
    - A `timeout` is in seconds; None waits for ever, and 0 asks once.  `on_update`, which may be async,
      is called with what is waited for whenever it has changed.
    - Bulk methods called without ids send no request.

    Raises:
        InvalidRequest: an argument cannot be right; nothing was sent.
        StatusError: the API refuses the request; NotFound also for what belongs to another user.
        TransportError: no response came.
        DecodeError: the response is not what the API documents.

    See https://docs.planet.com/develop/apis/orders/reference/
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._creating = api.exactly_once(
            ResourceKind[Order](
                "order",
                "products",
                lambda name: self.list(name=name, sort_by=_NEWEST_FIRST).pages(),
                lambda start, end: self.list(created_on=(start, end), sort_by=_NEWEST_FIRST).pages(),
                attrgetter("created_on"),
                attrgetter("raw"),
                self.cancel,
                attrgetter("last_modified"),
            )
        )
        lists = ListQueries(self._changed, partial(self._having, _UNFINISHED), partial(self._having, _FINAL))
        self._waits = PerLoop(partial(api.poller, "order", self.get, api.config.schedule, lists))

    async def create(self, request: OrderRequest | Mapping[str, Any]) -> Order:
        """Place an order, and return it as it stands: queued.

        It is placed once: where the response is lost, the order is looked for by its name, and placed again
        only if it is not there.  A name of its own for each order makes that sure.

            order = await planet.orders.create(
                OrderRequest("field 7", [SceneProduct(["20221221_084022_18_2414"], "PSScene",
                "analytic_udm2")])
            )

        Raises:
            UnsettledCreate: whether it was placed cannot be found out.
        """
        body = checked_body(OrderRequest, request)
        del request  # a mapping may hold secrets, and tracebacks of Sentry and Rich show locals
        return await self._place(body)

    async def _place(self, body: bytes) -> Order:
        post = self._api.request("POST", _ORDERS, "orders.create", body=body)
        return await self._creating.create(body, partial(self._api.fetch, Order, post))

    async def get(self, order_id: str | UUID) -> Order:
        """Return one order, with its `results`."""
        return await self._api.call(Order, "GET", _path(order_id), "orders.get")

    def list(
        self,
        *,
        sort_by: str | Sequence[str] | None = None,
        page_size: int = 500,
        **filters: Unpack[OrderFilters],
    ) -> Paginator[Order]:
        """List orders, scenes and basemaps alike, newest first.

        Listed orders have no `results`: call `get` for the links to their files.

            async for order in planet.orders.list(state=["queued", "running"], name__contains="field"):
                ...

        Args:
            sort_by: name, created_on, state or last_modified, or several; each may end in " ASC" or " DESC".
            page_size: How many orders there are in one response.
            **filters: See `OrderFilters`; all of them have to hold.
        """
        query = (
            *filter_params(OrderFilters, {"source_type": "all", **filters}),
            *params(sort_by=joined("sort_by", sort_by), page_size=whole("page_size", page_size)),
        )
        first = self._api.request("GET", _ORDERS, "orders.list", params=query)
        return self._api.paginate(Order, first, ORDERS_PAGES)

    async def cancel(self, order_id: str | UUID) -> Order:
        """Cancel a queued order, and return it; one that is cancelled already is returned as it is.

        Raises:
            Conflict: the order is running or finished.
        """
        try:
            return await self._api.call(Order, "PUT", _path(order_id), "orders.cancel")
        except Conflict:
            # The first attempt may have been acted on, and its response lost.
            order = await self.get(order_id)
            if order.state is not OrderState.CANCELLED:
                raise
            return order

    async def cancel_many(self, order_ids: Iterable[str | UUID], *, verify: bool = False) -> BulkResult:
        """Cancel queued orders by id, with one request for each 10,000, sent concurrently.

        Each id, in lower case, is in `ids` of the result, or has one of its `failures`.  A request that fails
        costs its own ids only; where its response is lost, the list of orders shows what it did.

            result = await planet.orders.cancel_many(ids)
            again = [failure.id for failure in result.failures if failure.reason == "failed"]

        Args:
            order_ids: The ids; one that comes twice counts once.
            verify: Compare all of them with the list, and report as cancelled only what it shows so.

        Raises:
            PlanetError: no request got a response.
        """
        return await cancel_each(self._api, order_ids, get=self.get, list_=self.list, verify=verify)

    async def cancel_all(self) -> BulkResult:
        """Cancel every queued order of the account."""
        return (await self._api.fetch(BulkCancelReply, cancel_request(self._api, {}))).cancelled

    async def wait(
        self,
        order_id: str | UUID,
        *,
        timeout: float | None = None,
        on_update: Callable[[Order], object] | None = None,
    ) -> Order:
        """Wait until an order is finished, and return it as `get` does.

        A failed order is finished too: see its `state`.  All waits of a client share their requests, see
        `wait_many`; so the orders that `on_update` gets may be listed ones, without `results`.

        Raises:
            WaitTimeout: it was not finished in time.
        """
        id_, timeout, poller = checked_id(order_id), seconds("timeout", timeout), self._waits.here()
        return await wait_for(poller, id_, _is_finished, timeout=timeout, on_update=on_update, whole=True)

    def watch(self, order_id: str | UUID, *, timeout: float | None = None) -> AsyncIterator[Order]:
        """Yield an order as it is now, and again whenever it has changed, until it is finished.

        All waits of a client share their requests, see `wait_many`: a thousand pages that watch orders cost
        no more than one.  The last order is as `get` returns it; those before may have no `results`.
        Leaving the loop early is safe.

            async for order in planet.orders.watch(order_id):
                print(order.state, order.last_message)

        Raises:
            WaitTimeout: it was not finished in time.
        """
        id_, timeout = checked_id(order_id), seconds("timeout", timeout)
        return Watch(self._waits.here(), id_, _is_finished, timeout=timeout, whole=True)

    async def _wait_for(self, order_id: str, just_seen: bool) -> Order:
        return await wait_for(self._waits.here(), checked_id(order_id), _is_finished, just_seen=just_seen)

    def wait_many(
        self, order_ids: Iterable[str | UUID], *, timeout: float | None = None
    ) -> AsyncIterator[Outcome[Order]]:
        """Wait for many orders, and yield each as it finishes.

        However many there are, one list request every few seconds serves them all, and all other waits of
        this client.  So the orders have no `results`: `download` fetches an order again by itself, and so
        does `get`.

            async for outcome in planet.orders.wait_many(ids):
                print(outcome.id, outcome.error or outcome.unwrap().state)

        Yields:
            One outcome for each id, in lower case: the order, or its error, such as WaitTimeout, which does
            not stop the others.  Leaving the loop early is safe.
        """
        timeout = seconds("timeout", timeout)
        return WaitForMany(self._waits.here(), checked_ids(order_ids), _is_finished, timeout=timeout)

    def poll_now(self, order_id: str | UUID) -> None:
        """Request an order at once if a wait needs it, as when a webhook reports that it has changed.

        No request is sent where nothing waits for it.  Call it in the event loop of the waits.
        """
        self._waits.here().poll_now(any_id(order_id))

    async def _service_date(self) -> datetime | None:
        response = await self._api.send(self._api.request("GET", _STATS, "orders.stats"))
        return http_date(response.headers.get("date"))

    def _changed(self, since: datetime, ended: bool) -> Paginator[Order]:
        state = _FINAL if ended else None
        return self.list(last_modified=(since, None), state=state, sort_by="last_modified ASC")

    def _having(self, state: Sequence[OrderState]) -> Paginator[Order]:
        return self.list(state=state)

    async def stats(self) -> OrderStats:
        """Return how many orders are queued and running, of the user and of the organization."""
        return await self._api.call(OrderStats, "GET", _STATS, "orders.stats")

    async def download(
        self,
        order: Order | str | UUID,
        to: str | Path,
        *,
        overwrite: bool = False,
        concurrency: int = 4,
        ranges: int = 1,
        require_checksums: bool = False,
        progress: ProgressCallback | bool | None = None,
    ) -> DownloadedFiles:
        """Download all files of a finished order below the folder `to`, and return their paths.

        Each is compared with the manifest of the order, and is named `NAME.part` until it is right.  A file
        that is there and right is kept: by its checksum, or without one by its size and content.  All files
        are tried before the first error is raised: call again for what is missing.

            files = await planet.orders.download(order, to="data")
            files = await planet.orders.download(order, to="s3://bucket/prefix")  # files.urls

        Args:
            order: A finished order, or the id of one.
            to: The folder; it is made.  Files go below it, in a folder with the id of the order.  Or the
                address of an object store, with the extra `[obstore]`: ``s3://bucket/prefix``, ``gs://...``
                or ``az://container/prefix``.  Credentials come from the environment.
            overwrite: Replace files that are there and not right, instead of raising DownloadError.
            concurrency: How many files are fetched at a time.
            ranges: How many range requests fetch a file of 32 MiB or more concurrently, where each connection
                is slow; within `Config.max_downloads`.  Not with an object store.
            require_checksums: Raise DownloadError for a file of which the manifest has no checksum, instead
                of naming it in `unverified`.
            progress: True for a bar in a notebook (tqdm) or on a terminal (Rich); or a function, called
                with the `Progress` of each file as it arrives.

        Returns:
            The paths, a list; for an object store it is empty, and has `urls`.  Its `unverified` names the
            files that could not be compared, its `renamed` those whose names no file can have.

        Raises:
            OrderNotDownloadable: The order failed, is unfinished, or was delivered to a cloud.
            ChecksumMismatch: A file arrived twice with other bytes than the manifest says.
            UnsafeName: A name leads out of the folder.
            DownloadError: A file cannot be written, is in the way, or is listed by the manifest only; or the
                bucket is missing or forbids, which is found out first.

        See https://docs.planet.com/develop/apis/orders/reference/
        """
        where, bar = destination("to", to), ProgressBar(progress)
        concurrency, ranges = whole("concurrency", concurrency), whole("ranges", ranges)
        await where.check()
        if not isinstance(order, Order):
            order = await self.get(order)
        with bar as on_progress:
            return await download_order(
                self._api,
                order,
                self.get,
                where,
                overwrite=overwrite,
                concurrency=concurrency,
                ranges=ranges,
                require_checksums=require_checksums,
                progress=on_progress,
            )

    def open(self, result: OrderResult) -> AbstractAsyncContextManager[OpenFile]:
        """Open one file of an order for reading, without a copy on disk; its checksum is not compared.

        async with planet.orders.open(order.results[0]) as file:
            async for chunk in file:
                ...
        """
        if not isinstance(result, OrderResult):
            raise InvalidRequest(f"expected one of the results of an order, not {type_name(result)}")
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
        progress: ProgressCallback | bool | None = None,
        on_update: Callable[[Order], object] | None = None,
    ) -> AsyncIterator[Outcome[DownloadedOrder]]:
        """Place orders, wait for them, and download each below `to`; yield them as they are done.

        Orders that were placed stay placed when the caller leaves early.  With a `ledger`, the job survives
        being killed at any moment: called again with the same requests and ledger it orders nothing twice,
        and goes on.  What failed is reported again, what was refused, as for want of quota, is sent again;
        the order of what was downloaded before has only its id, name and state.

        Several jobs may use one ledger at a time, of the same requests or of others: each request is worked
        on by one of them, and each job yields the outcomes of all of its requests.  Where a job dies, the
        others go on with what it had.  On machines without a common folder, use `work`: a file that is not in
        `to` is downloaded again.

            async for outcome in planet.orders.run(requests, to="data", ledger="fields.ledger"):
                print(outcome.id, outcome.error or outcome.unwrap().paths)

        Args:
            requests: A sequence is checked whole before the first request is sent.  Another iterable, which
                may be asynchronous and have no end, is read as orders can be placed, and what is wrong in it
                becomes an outcome.
            to: The folder, or the address of an object store, as of `download`; each order has a folder of
                its own in it.
            ledger: What keeps what became of each request: a file, for the processes of a machine, or a
                PostgreSQL database, for any number of machines: ``"postgresql://user@host/database"`` (extra
                ``[shared]``).  Secrets of requests are not written to it.
            overwrite: Replace files of the same name that are not right.
            require_checksums: Make a file that cannot be verified an error.
            concurrency: How many orders are downloaded at a time.
            max_queued: How many orders are unfinished at a time.  Where the queue of the service is full
                (409), the job waits until orders have left it.
            progress: True for a bar in a notebook (tqdm) or on a terminal (Rich); or a function, called
                with a `Progress` as bytes arrive.
            on_update: Called with each order when it is placed or found in the ledger, and when it is
                finished.

        Yields:
            One outcome for each request; an error of one stops no other.  Its id is that of the order, or the
            name in the request where no order was placed.  An order that was delivered to a cloud, or is
            hosted, is a success without paths, and says where it was `delivered_to`.

        Raises:
            LedgerError: the ledger cannot be used, or another job has taken this one for dead.
            DownloadError: the bucket is missing or forbids; nothing was ordered.
        """
        bar = None if progress is None else ProgressBar(progress)
        job = self._job(
            to,
            ledger,
            overwrite=overwrite,
            require_checksums=require_checksums,
            concurrency=concurrency,
            max_queued=max_queued,
            progress=None if bar is None else bar.callback,
            on_update=on_update,
        )
        job.requests = checked_requests(requests)
        job.whole = ledger is not None and isinstance(requests, Sequence)
        return _outcomes(job, bar)

    def work(
        self,
        to: str | Path,
        *,
        ledger: str | Path,
        overwrite: bool = False,
        require_checksums: bool = False,
        concurrency: int = 4,
        max_queued: int = 10_000,
        progress: ProgressCallback | bool | None = None,
        on_update: Callable[[Order], object] | None = None,
    ) -> AsyncIterator[Outcome[DownloadedOrder]]:
        """Work on the requests that a ledger has, together with other jobs, until all are done; see `run`.

        Any number of processes and machines may do so at a time, each with a folder of its own or the same.
        What failed for good, such as an order that was refused, is left: `planet-async ledger retry` has it
        sent again.  A request with secrets can only be sent by a `run` that has it.

            async for outcome in planet.orders.work("data", ledger="postgresql://planet@db.example.com/jobs"):
                print(outcome.id, outcome.error or outcome.unwrap().paths)

        Args:
            to: As in `run`, and so are the others.
            ledger: A ledger that a `run` has filled, or is filling.
            overwrite: As in `run`.
            require_checksums: As in `run`.
            concurrency: As in `run`.
            max_queued: As in `run`.
            progress: As in `run`.
            on_update: As in `run`.

        Yields:
            One outcome for each request that this job has worked on, or that it cannot send.

        Raises:
            LedgerError: the ledger cannot be used, or another job has taken this one for dead.
        """
        bar = None if progress is None else ProgressBar(progress)
        job = self._job(
            to,
            ledger,
            overwrite=overwrite,
            require_checksums=require_checksums,
            concurrency=concurrency,
            max_queued=max_queued,
            progress=None if bar is None else bar.callback,
            on_update=on_update,
        )
        return _outcomes(job, bar)

    def _job(
        self,
        to: str | Path,
        ledger: str | Path | None,
        *,
        overwrite: bool,
        require_checksums: bool,
        concurrency: int,
        max_queued: int,
        progress: ProgressCallback | None,
        on_update: Callable[[Order], object] | None,
    ) -> Job:
        config, clock, where = self._api.config, self._api.clock, destination("to", to)
        if ledger is not None and not is_address(ledger):
            if isinstance(ledger, str) and "://" in ledger:  # it may hold a password, and is not shown
                raise InvalidRequest(
                    "ledger must be the path of a file, or an address like postgresql://host/database"
                )
            ledger = path("ledger", ledger)
        return Job(
            None,
            Ledger() if ledger is None else DatabaseLedger(ledger, clock, durable=config.durable),
            where,
            QueueGate(self.stats, clock, config.schedule),
            clock,
            create=self._place,
            recover=self._creating.recover,
            sender=lambda: self._creating.sender,
            claim=self._creating.claim_ids,
            release=self._creating.release,
            keep=self._creating.keep,
            hand_over=self._creating.hand_over,
            cancel=self.cancel,
            wait=self._wait_for,
            download=partial(
                download_order,
                self._api,
                get=self.get,
                to=where,
                overwrite=overwrite,
                concurrency=4,
                require_checksums=require_checksums,
                durable=ledger is not None and config.durable,
                progress=progress,
            ),
            date=self._service_date,
            consistency_delay=config.consistency_delay,
            max_queued=whole("max_queued", max_queued),
            concurrency=whole("concurrency", concurrency),
            on_update=on_update,
        )


def _outcomes(job: Job, bar: ProgressBar | None) -> AsyncIterator[Outcome[DownloadedOrder]]:
    if bar is None:
        return BackgroundIterator(job.run)

    async def run(send: Send[Outcome[DownloadedOrder]]) -> None:
        with bar:
            await job.run(send)

    return BackgroundIterator(run)


def _is_finished(order: Order) -> bool:
    return order.state.is_final


def _path(order_id: str | UUID) -> str:
    return f"{_ORDERS}/{checked_id(order_id)}"
