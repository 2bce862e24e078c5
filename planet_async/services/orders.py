"""Orders: imagery and basemaps, prepared by Planet and delivered.

| method | route below /compute/ops | page below https://docs.planet.com/develop/apis |
| --- | --- | --- |
| `create` | POST /orders/v2 | orders/reference |
| `get`, `wait`, `wait_many` | GET /orders/v2/{id} | orders/reference |
| `list` | GET /orders/v2 | orders/reference |
| `cancel` | PUT /orders/v2/{id} | orders/reference |
| `cancel_many`, `cancel_all` | POST /bulk/orders/v2/cancel | orders/reference |
| `stats` | GET /stats/orders/v2 | orders/reference |
| `download`, `open` | GET the locations that an order lists | orders/reference |
| `run` | all that it takes | orders/reference |
"""

import builtins
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import anyio

from planet_async.bulk import Outcome, chunks
from planet_async.downloads import OpenFile, ProgressCallback
from planet_async.errors import Conflict, PlanetError
from planet_async.models.convert import checked_body, to_json
from planet_async.models.order_request import OrderRequest
from planet_async.models.orders import (
    BulkCancelReply,
    CancelFailure,
    CancelResult,
    Order,
    OrderResult,
    OrderState,
    OrderStats,
)
from planet_async.paging import ORDERS_PAGES, Paginator
from planet_async.polling import WaitForMany, wait_for
from planet_async.services._api import Api
from planet_async.services._batch import run_batch
from planet_async.services._deliveries import Delivery, download_order, open_result
from planet_async.services._query import TimeFilter, checked_id, comma_list, positive, query, time_filter

_ORDERS = "/compute/ops/orders/v2"
_BULK_CANCEL = "/compute/ops/bulk/orders/v2/cancel"
_STATS = "/compute/ops/stats/orders/v2"
_MOST_IDS = 10_000  # of one bulk cancel


class Orders:
    """The orders of an account: `planet.orders`.

    Everything here raises StatusError where the API refuses, TransportError where no answer came, DecodeError
    where the answer is not what the API documents, and InvalidRequest before anything is sent.
    """

    def __init__(self, api: Api) -> None:
        self._api = api

    async def create(self, request: OrderRequest | Mapping[str, Any]) -> Order:
        """Place an order, and give it as it stands: queued.

        A mapping is checked and sent as it is, fields unknown here included.  An error that has
        `may_have_acted` set means that the order may exist.

            order = await planet.orders.create(
                OrderRequest("field 7", [SceneProduct(["20221221_084022_18_2414"], "PSScene",
                "analytic_udm2")])
            )
        """
        return await self._place(checked_body(OrderRequest, request))

    async def _place(self, body: bytes) -> Order:
        return await self._api.call(
            Order, self._api.request("POST", _ORDERS, operation="orders.create", body=body)
        )

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

    async def cancel_many(self, order_ids: Iterable[str | UUID]) -> CancelResult:
        """Cancel queued orders by id, 10,000 in a request; no ids, no request.

        What could not be cancelled is in `failures`, each with the reason.  Raises only where nothing at all
        was answered.
        """
        ids = [*dict.fromkeys(checked_id(order_id) for order_id in order_ids)]
        results: builtins.list[CancelResult] = []
        errors: builtins.list[PlanetError] = []

        async def cancel(part: Sequence[str]) -> None:
            try:
                results.append(await self._cancel({"order_ids": part}))
            except PlanetError as error:
                errors.append(error)
                failures = tuple(CancelFailure(order_id, str(error)) for order_id in part)
                results.append(CancelResult(0, failures))

        async with anyio.create_task_group() as group:
            for part in chunks(ids, _MOST_IDS):
                group.start_soon(cancel, part)
        if errors and len(errors) == len(results):
            raise errors[0]
        failures = tuple(failure for result in results for failure in result.failures)
        return CancelResult(sum(result.succeeded for result in results), failures)

    async def cancel_all(self) -> CancelResult:
        """Cancel every queued order of the account."""
        return await self._cancel({})

    async def _cancel(self, body: Mapping[str, Sequence[str]]) -> CancelResult:
        # Cancelling twice does no harm: the second answer names the cancelled ones as failures, no more.
        request = self._api.request(
            "POST", _BULK_CANCEL, operation="orders.cancel_many", body=to_json(body), repeatable=True
        )
        return (await self._api.call(BulkCancelReply, request)).cancelled

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
        """Wait until an order is finished, for at most `timeout` seconds, and give it.

        A failed order is finished too: look at its `state`.  `on_update` is called with the order whenever it
        has changed.  Raises WaitTimeout.
        """
        return await wait_for(
            checked_id(order_id),
            self.get,
            _finished,
            clock=self._api.clock,
            schedule=self._api.config.schedule,
            timeout=timeout,
            on_update=on_update,
        )

    def wait_many(
        self,
        order_ids: Iterable[str | UUID],
        *,
        timeout: float | None = None,
    ) -> AsyncIterator[Outcome[Order]]:
        """Wait for many orders, and yield each as it finishes; a `break` is always safe.

        One outcome for each id: the order, or the error that it met (NotFound, or WaitTimeout for those not
        finished after `timeout` seconds), which stops none of the others.
        """
        return WaitForMany(
            [checked_id(order_id) for order_id in order_ids],
            self.get,
            _finished,
            clock=self._api.clock,
            schedule=self._api.config.schedule,
            timeout=timeout,
        )

    async def download(
        self,
        order: Order | str | UUID,
        to: str | Path,
        *,
        overwrite: bool = False,
        concurrency: int = 4,
        progress: ProgressCallback | None = None,
    ) -> "builtins.list[Path]":
        """Download all files of a finished order below the folder `to`, and give their paths.

        Each is checked against the manifest of the order, and is named `NAME.part` until it has passed.  A
        file that is there already with the right checksum is kept; another one of that name is an error
        unless `overwrite`.  All files are tried before the first error is raised: call again for what is
        missing.

        Raises OrderNotDownloadable (failed, unfinished, or delivered to a cloud), ChecksumMismatch,
        UnsafeName, DownloadError.
        """
        if isinstance(order, str | UUID):
            order = await self.get(order)
        return await download_order(
            self._api,
            order,
            self.get,
            Path(to),
            overwrite=overwrite,
            concurrency=concurrency,
            progress=progress,
        )

    def open(self, result: OrderResult) -> AbstractAsyncContextManager[OpenFile]:
        """Open one file of an order for reading, without a copy on disk; nothing is checked.

        async with planet.orders.open(order.results[0]) as file:
            async for chunk in file:
                ...
        """
        return open_result(self._api, result)

    def run(
        self,
        requests: Iterable[OrderRequest | Mapping[str, Any]],
        to: str | Path,
    ) -> AsyncIterator[Outcome[Delivery]]:
        """Place many orders, wait for them and download each below `to`; yields them as they are done.

        All requests are checked before the first is sent.  What fails for one stops no other.  The id of an
        outcome is the order's, or the name in the request where no order came of it.  Orders that were placed
        stay placed when the caller leaves early.

            async for outcome in planet.orders.run(requests, to="data"):
                print(outcome.id, outcome.error or outcome.unwrap().paths)
        """
        return run_batch(
            [(_name(request), checked_body(OrderRequest, request)) for request in requests],
            create=self._place,
            wait_many=self.wait_many,
            download=partial(self.download, to=to),
        )


def _finished(order: Order) -> bool:
    return order.state.is_final


def _name(request: OrderRequest | Mapping[str, Any]) -> str:
    return request.name if isinstance(request, OrderRequest) else str(request.get("name", ""))
