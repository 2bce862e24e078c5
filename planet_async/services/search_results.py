"""`SearchResults`: the items that a search finds, and the requests that order them."""

import hashlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, TypedDict, Unpack

import msgspec
from attrs import evolve

from planet_async.errors import DecodeError, InvalidRequest
from planet_async.http import Request
from planet_async.models.codec import checked_body, decode, to_json
from planet_async.models.data import Item, item_key
from planet_async.models.delivery import Delivery
from planet_async.models.order_request import Hosting, Metadata, Notifications, OrderRequest, SceneProduct
from planet_async.models.tools import Tool
from planet_async.paging import ITEM_PAGES, Paginator
from planet_async.redaction import redacted
from planet_async.services._api import Api
from planet_async.services._query import many, text, whole

_MOST_IDS = 500  # of one order
_DIGEST = 12  # characters


class OrderOptions(TypedDict, total=False):
    """Fields that `SearchResults.orders` sets in each `OrderRequest`."""

    order_type: str | None
    subscription_id: int | None
    tools: Sequence[Tool | Mapping[str, Any]]
    delivery: Delivery | Mapping[str, Any] | None
    hosting: Hosting | Mapping[str, Any] | None
    notifications: Notifications | Mapping[str, Any] | None
    metadata: Metadata | Mapping[str, Any] | None


class SearchResults(Paginator[Item]):
    """The items that a search finds; nothing is sent before they are iterated over.

        async for item in planet.data.search("PSScene", geometry=field_7):
            print(item.id, item.acquired, item.cloud_cover)

    Each item comes once, also where others are published while the pages are read.
    """

    def __init__(self, api: Api, first: Request) -> None:
        super().__init__(api.transport, first, ITEM_PAGES, _decode_item, unique=True)
        self._api = api

    def orders(
        self,
        product_bundle: str | Iterable[str],
        *,
        name: str = "search",
        items_per_order: int = _MOST_IDS,
        **options: Unpack[OrderOptions],
    ) -> AsyncIterator[OrderRequest]:
        """Return requests that order all items, made as the items are found.

            results = planet.data.search("PSScene", filter=where.permission(), geometry=field_7)
            async for outcome in planet.orders.run(results.orders("analytic_udm2"), to="data"):
                print(outcome.id, outcome.error or outcome.unwrap().paths)

        An order has items of one type.  Unless the search has a sort of its own, the items are ordered as
        they were published, the earliest first.

        The same items give the same requests, names included, so that a job with a ledger orders nothing
        twice when it is started again.  What is published in between belongs to the last order of its type,
        which is then another one, with the items of the first: give the filter an end, such as
        ``where.published.before("2026-02-01")``, where a job may be started again.

        Args:
            product_bundle: The bundle, or several: an item that lacks the first one is delivered in the next.
            name: What the names of the orders begin with; their type and a hash of the request follow.
            items_per_order: At most how many items there are in an order, up to 500.
            **options: See `OrderOptions`: fields of `OrderRequest`.

        Raises:
            InvalidRequest: the API would refuse such orders.
        """
        size = whole("items_per_order", items_per_order)
        if size > _MOST_IDS:
            raise InvalidRequest(f"items_per_order must be at most {_MOST_IDS}, not {size}")
        bundle = product_bundle if isinstance(product_bundle, str) else many("bundles", product_bundle)
        name = text("name", name)

        # Read once: the tools may come from a generator.
        template = OrderRequest(name, [SceneProduct(["any"], "PSScene", bundle)], **options)
        checked_body(OrderRequest, template)

        def make(item_type: str, ids: Sequence[str]) -> OrderRequest:
            unnamed = evolve(template, name="", products=[SceneProduct(ids, item_type, bundle)])
            digest = hashlib.sha256(to_json(redacted(unnamed.to_dict()))).hexdigest()[:_DIGEST]
            return evolve(unnamed, name=f"{name} {item_type} {digest}")

        sort = dict(self._first.params).get("_sort") or "published asc"
        kept = [param for param in self._first.params if param[0] != "_sort"]
        first = evolve(self._first, params=(*kept, ("_sort", sort)))
        items = aiter(SearchResults(self._api, first))
        return _OrderRequests(items, sort.partition(" ")[0], size, make)


class _OrderRequests(AsyncIterator[OrderRequest]):
    """Requests for the items of a search.

    Items of the same time may come in another order when they are searched for again: these are sorted by
    their ids.
    """

    def __init__(
        self,
        items: AsyncIterator[Item],
        sorted_by: str,
        size: int,
        make: Callable[[str, Sequence[str]], OrderRequest],
    ) -> None:
        self._items = items
        self._time_of = attrgetter(sorted_by)
        self._size = size
        self._make = make
        self._time: datetime | None = None
        self._same: list[tuple[str, str]] = []  # types and ids of that time
        self._ids: dict[str, list[str]] = {}  # by type, of the next order
        self._ready = deque[OrderRequest]()
        self._ended = False

    async def __anext__(self) -> OrderRequest:
        while not self._ready:
            if self._ended:
                raise StopAsyncIteration
            item = await anext(self._items, None)
            if item is None:
                self._ended = True
                self._add_same()
                for item_type in sorted(self._ids):
                    self._ready.append(self._make(item_type, self._ids.pop(item_type)))
                continue
            time = self._time_of(item)
            if time != self._time:
                self._add_same()
            self._time = time
            self._same.append(_key_of(item))
        return self._ready.popleft()

    def _add_same(self) -> None:
        for item_type, id_ in sorted(self._same):
            ids = self._ids.setdefault(item_type, [])
            ids.append(id_)
            if len(ids) == self._size:
                self._ready.append(self._make(item_type, self._ids.pop(item_type)))
        self._same.clear()


def _key_of(item: Item) -> tuple[str, str]:
    try:
        return item_key(item)
    except InvalidRequest as error:
        problem = error.message.removesuffix("; nothing was sent")
    raise DecodeError(f"an item of the search cannot be ordered: {problem}")


def _decode_item(item: msgspec.Raw, request: Request) -> Item:
    return decode(Item, item, request=request)
