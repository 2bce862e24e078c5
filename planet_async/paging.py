"""`Paginator`: a list of the API, followed from page to page."""

import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing
from datetime import datetime
from functools import cache
from itertools import compress
from operator import index
from typing import Any, Generic, TypeVar

import anyio.lowlevel
import msgspec
from attrs import define, evolve, field, frozen

from planet_async._tasks import BackgroundIterator, Send
from planet_async.errors import DecodeError, InvalidRequest, PagingError, type_name
from planet_async.http import Request, Response, Transport, http_date, link_target, origin
from planet_async.models.html import table
from planet_async.models.json import DECODE_ERRORS, excerpt, splitter, unreadable

T = TypeVar("T")

_LONGEST_LINK = 8_000  # characters; servers do not take longer ones
_MOST_LINKS = 100_000  # bytes of the links of a page, which are decoded whole
_ITEMS_IN_A_ROW = 50  # decoded, about a millisecond, before other tasks have their turn
_MOST_EMPTY = 1_000  # pages in a row; filters may leave a few empty
_MOST_PAGES = 20_000
_UNREAD = "requested by `async for` or `collect()`"


@frozen
class PageFormat:
    """A dialect of paging as data.

    Args:
        items: The key of the items.
        next: Where the address of the next page may be, such as ``_links.next``, or ``links[rel=next].href``
            in a list of links; the first that is there counts.
    """

    items: str
    next: tuple[str, ...]


ORDERS_PAGES = PageFormat("orders", ("_links.next",))
SUBSCRIPTIONS_PAGES = PageFormat("subscriptions", ("_links.next", "_links._next"))
RESULTS_PAGES = PageFormat("results", ("_links.next", "_links._next"))
TASKING_PAGES = PageFormat("results", ("next",))
REPORTS_PAGES = PageFormat("reports", ("_links._next", "_links.next"))
COLLECTIONS_PAGES = PageFormat("collections", ("links[rel=next].href",))
FEATURES_PAGES = PageFormat("features", ("links[rel=next].href",))
DESTINATIONS_PAGES = PageFormat("destinations", ("_links._next",))
MOSAICS_PAGES = PageFormat("mosaics", ("_links._next",))
SERIES_PAGES = PageFormat("series", ("_links._next",))
QUADS_PAGES = PageFormat("items", ("_links._next",))
QUOTA_PAGES = PageFormat("results", ("meta.next",))
ITEM_PAGES = PageFormat("features", ("_links._next",))
SEARCHES_PAGES = PageFormat("searches", ("_links._next",))
ITEM_TYPES_PAGES = PageFormat("item_types", ("_links._next",))
ASSET_TYPES_PAGES = PageFormat("asset_types", ("_links._next",))


@frozen
class Page(Generic[T]):
    """One page of a list, whose items are decoded when they are read.

    Attributes:
        next: The address of the next page, or None.
        count: The number of items on all pages, where the API reports it (Tasking).
        date: The server's time of the response, to the second, where it is known.
    """

    next: str | None
    count: int | None
    date: datetime | None
    _raw: list[msgspec.Raw] = field(repr=False)
    _decode: Callable[[msgspec.Raw], T] = field(repr=False)

    def __iter__(self) -> Iterator[T]:
        return map(self._decode, self._raw)

    def __len__(self) -> int:
        return len(self._raw)

    @property
    def items(self) -> list[T]:
        """The items of this page."""
        return list(self)

    def repeats(self, earlier: "Page[Any]") -> bool:
        """Return whether it has the very items of an earlier page, though the list has not grown since."""
        grown = (self.count or 0) > (earlier.count or 0)
        return bool(self._raw) and self._raw == earlier._raw and not grown  # noqa: SLF001 - its own class

    def ids(self) -> list[str | None]:
        """Return the id of each item, None where it has none, without decoding more of it."""
        return [_id_of(item) for item in self._raw]

    def only(self, wanted: Sequence[bool]) -> "Page[T]":
        """Return the page without the items that are not wanted."""
        return evolve(self, raw=[*compress(self._raw, wanted)])


class Paginator(Generic[T]):
    """A list of the API, fetched page by page while it is iterated; nothing is sent before.

        async for order in planet.orders.list(state=["queued"]):
            ...
        newest = await planet.orders.list().first()

    The next page is fetched while the caller works on this one.  The list ends with a page that has no link
    to a next one, not with an empty page.  Iterate again to fetch the list again.

    With `unique`, each item is returned once, by its `id`: while a list grows, items move to later pages.

    Raises:
        PagingError: the links lead in a circle, to another origin, or on without an end: to the same page
            again, to a thousand pages in a row that bring nothing new, or to more than 20,000 pages.
        DecodeError: a page or an item is not what the API documents.
    """

    def __init__(
        self,
        transport: Transport,
        first: Request,
        page_format: PageFormat,
        decode: Callable[[msgspec.Raw, Request], T],
        *,
        unique: bool = False,
    ) -> None:
        self._transport = transport
        self._first = first
        self._format = page_format
        self._decode = decode
        self._unique = unique

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._first.operation}: {self._described()}>"

    def _repr_html_(self) -> str:
        """Return what notebooks show; no request is sent for it."""
        filters = {name: value for name, value in self._first.params if value}
        title = f"{type(self).__name__}: {self._first.operation}"
        return table(title, {"request": str(self._first), **filters, "items": _UNREAD})

    def _described(self) -> str:
        filters = ", ".join(f"{name}={value}" for name, value in self._first.params)
        return f"{filters}; {_UNREAD}" if filters else _UNREAD

    def __aiter__(self) -> AsyncIterator[T]:
        return _Items(self._stream())

    def pages(self, limit: int | None = None) -> AsyncIterator[Page[T]]:
        """Return an iterator over the pages; with `limit`, over no more than that many items need."""
        return self._stream(limit)

    async def collect(self, limit: int | None = None) -> list[T]:
        """Return the items, at most `limit` of them, as a list; no page beyond those is requested.

        Raises:
            InvalidRequest: the limit is no whole number.
        """
        try:
            limit = None if limit is None else index(limit)
        except TypeError:
            raise InvalidRequest(f"limit must be a whole number, not {type_name(limit)}") from None
        found: list[T] = []
        if limit is None or limit > 0:
            async with aclosing(_Items(self._stream(limit))) as items:
                async for item in items:
                    found.append(item)
                    if len(found) == limit:
                        break
        return found

    async def first(self) -> T | None:
        """Return the first item, or None of an empty list."""
        found = await self.collect(limit=1)
        return found[0] if found else None

    async def page(self, link: str | None = None) -> Page[T]:
        """Return one page: the first, or the one that another page has as its `next`."""
        return await self._fetch(self._first if link is None else self._following(self._first, link))

    def _stream(self, limit: int | None = None) -> BackgroundIterator[Page[T]]:
        async def produce(send: Send[Page[T]]) -> None:
            await self._walk(Iteration(send, self._following, self._unique, limit))

        return BackgroundIterator(produce)

    async def _walk(self, iteration: "Iteration[T]") -> None:
        """Fetch and deliver the pages that this iteration wants."""
        await self._follow(self._first, iteration)

    async def _follow(self, request: Request | None, iteration: "Iteration[T]") -> None:
        """Fetch and deliver the page of a request, and those that the links lead to."""
        while request is not None:
            request = await iteration.deliver(await self._fetch(request), request)

    async def _fetch(self, request: Request) -> Page[T]:
        return await _read_page(await self._transport.send(request), request, self._format, self._decode)

    def _following(self, request: Request, link: str) -> Request:
        target = link_target(request.url, link)
        if origin(target) != origin(self._first.url):
            raise PagingError(
                "the link to the next page leads to another origin; not followed", request=request
            )
        # Also where the list begins with a POST, as that of a search.
        headers = {name: value for name, value in self._first.headers.items() if name != "content-type"}
        return evolve(
            self._first, method="GET", url=target, params=(), headers=headers, body=None, repeatable=True
        )


@define
class Iteration(Generic[T]):
    """One pass over a list: delivers its pages in order, and decides which page to request next.

    It checks that the links lead to something new: other lists would be read for ever.
    """

    _send: Send[Page[T]]
    _following: Callable[[Request, str], Request]
    _unique: bool
    limit: int | None
    _known: set[str] = field(factory=set)  # the ids of the items delivered, if each is wanted once
    _requested: set[str] = field(factory=set)
    _delivered: int = 0
    _last: Page[Any] | None = None
    _empty: int = 0

    async def deliver(self, page: Page[T], request: Request) -> Request | None:
        """Deliver a page; return the request for the next one, or None where no other page is wanted."""
        new = page.only([self._is_new(id_) for id_ in page.ids()]) if self._unique else page
        if page.next is not None:
            self._check(page, len(new), request)
        await self._send(new)
        self._delivered += len(new)
        if page.next is None or (self.limit is not None and self._delivered >= self.limit):
            return None
        following = self._following(request, page.next)
        if following.url in self._requested:
            raise PagingError("the links to the next page lead in a circle", request=request)
        self._requested.add(following.url)
        return following

    def _is_new(self, id_: str | None) -> bool:
        if id_ in self._known:
            return False
        if id_ is not None:
            self._known.add(id_)
        return True

    def _check(self, page: Page[T], new_items: int, request: Request) -> None:
        last, self._last = self._last, page
        self._empty = 0 if new_items else self._empty + 1
        if self._empty >= _MOST_EMPTY:
            raise PagingError(f"{self._empty:,} pages in a row brought nothing new", request=request)
        if last is not None and page.repeats(last):
            raise PagingError("the same page came twice, by another link", request=request)
        if len(self._requested) >= _MOST_PAGES:
            raise PagingError(
                f"the list has not ended after {_MOST_PAGES:,} pages",
                request=request,
                hint="If it is that long, ask for larger pages, or for parts of it with filters.",
            )


class _Items(AsyncIterator[T]):
    """The items of pages.  Not a generator: dropping this drops the pages, which ends the fetching."""

    def __init__(self, pages: BackgroundIterator[Page[T]]) -> None:
        self._pages = pages
        self._items: Iterator[T] = iter(())
        self._count = 0

    async def __anext__(self) -> T:
        self._count += 1
        if not self._count % _ITEMS_IN_A_ROW:
            await anyio.lowlevel.checkpoint()
        while True:
            for item in self._items:
                return item
            self._items = iter(await anext(self._pages))

    async def aclose(self) -> None:
        """End the fetching, and wait until it has ended."""
        await self._pages.aclose()


# Reading a page


class _Typed(msgspec.Struct, gc=False):
    item_type: str | None = None


class _Identified(msgspec.Struct, gc=False):
    id: str | int | None = None
    properties: _Typed | None = None


_decode_items = msgspec.json.Decoder(list[msgspec.Raw] | None).decode
_decode_count = msgspec.json.Decoder(int | None).decode
_identify = msgspec.json.Decoder(_Identified).decode


async def _read_page(
    response: Response, request: Request, page_format: PageFormat, decode: Callable[[msgspec.Raw, Request], T]
) -> Page[T]:
    body = await response.read()
    try:
        parts = _parts(page_format)(body)
        raw = _decode_items(getattr(parts, page_format.items) or b"null")
        count = _decode_count(parts.count or b"null")
        link = _next(parts, page_format)
    except DECODE_ERRORS as error:
        raise unreadable(
            "not a page of a list",
            str(error),
            body,
            request=request,
            content_type=response.headers.get("content-type", ""),
        ) from None
    if raw is None:
        raise DecodeError(f"a page without `{page_format.items}`; {excerpt(body)}", request=request)
    if link is not None and (not isinstance(link, str) or len(link) > _LONGEST_LINK):
        raise DecodeError(f"`{' or '.join(page_format.next)}` of the page is no address", request=request)
    return Page(
        link,
        count,
        http_date(response.headers.get("date")),
        raw,
        lambda item: decode(item, request),
    )


@cache
def _parts(page_format: PageFormat) -> Callable[[bytes], Any]:
    links = (re.split(r"[.\[]", path)[0] for path in page_format.next)
    return splitter(*{page_format.items, "count", *links})


def _next(parts: Any, page_format: PageFormat) -> object:
    for path in page_format.next:
        place, _, key = path.partition(".")
        name, _, condition = place.rstrip("]").partition("[")
        raw = getattr(parts, name) or b"null"
        if memoryview(raw).nbytes > _MOST_LINKS:
            return raw  # which is no address
        found: Any = msgspec.json.decode(raw)
        if condition:
            field, _, value = condition.partition("=")
            links = found if isinstance(found, list) else []
            matches = (one for one in links if isinstance(one, dict) and one.get(field) == value)
            found = next(matches, None)
        if key:
            found = found.get(key) if isinstance(found, dict) else None
        if found:
            return found
    return None


def _id_of(item: msgspec.Raw) -> str | None:
    try:
        found = _identify(item)
    except DECODE_ERRORS:
        return None  # reported when the item is decoded
    if found.id is None or found.properties is None:
        return None if found.id is None else str(found.id)
    return f"{found.properties.item_type}/{found.id}"  # items of two types may have the same id
