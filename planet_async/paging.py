"""Lists that come in pages: the dialects of the four APIs as data, and `Paginator`, which follows them."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing
from datetime import datetime
from itertools import compress
from typing import Any, Generic, TypeVar

import anyio.lowlevel
import msgspec
from attrs import evolve, field, frozen

from planet_async._background import Send, Stream
from planet_async.errors import DecodeError, PagingError
from planet_async.http import Request, Transport, http_date, link_target, origin
from planet_async.models.parse import REFUSALS, excerpt, unreadable

T = TypeVar("T")


@frozen
class PageShape:
    """A dialect: the key of the items, and where the address of the next page is; the first found counts."""

    items: str
    next: tuple[str, ...]


ORDERS_PAGES = PageShape("orders", ("_links.next",))
SUBSCRIPTIONS_PAGES = PageShape("subscriptions", ("_links.next", "_links._next"))
RESULTS_PAGES = PageShape("results", ("_links.next", "_links._next"))
TASKING_PAGES = PageShape("results", ("next",))
REPORTS_PAGES = PageShape("reports", ("_links._next", "_links.next"))


class _Body(msgspec.Struct, Generic[T]):
    """The body of a page in any dialect."""

    orders: list[T] | None = None
    subscriptions: list[T] | None = None
    results: list[T] | None = None
    reports: list[T] | None = None
    links: dict[str, Any] | None = msgspec.field(name="_links", default=None)
    next: str | None = None
    count: int | None = None


class _Identified(msgspec.Struct, gc=False):
    id: str | int | None = None


_decoder = msgspec.json.Decoder(_Body[msgspec.Raw])  # items stay undecoded until somebody wants them
_identify_all = msgspec.json.Decoder(_Body[_Identified]).decode
_identify = msgspec.json.Decoder(_Identified).decode
_AT_A_STRETCH = 50  # items decoded, about a millisecond, before others have their turn
_LONGEST_LINK = 8_000  # characters; servers do not take longer ones
_MOST_EMPTY = 1_000  # pages in a row; filters may leave a few empty


@frozen
class Page(Generic[T]):
    """One page: `items`, decoded when asked for, and `next`, the address of the one after it, or None.

    `count` is the number of items on all pages, where the API says so (Tasking).  `date` is the server's time
    of the answer, to the second, where it says so.
    """

    next: str | None
    count: int | None
    date: datetime | None
    _body: bytes = field(repr=False)
    _key: str = field(repr=False)
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

    def repeats(self, earlier: "Page[T]") -> bool:
        """Tell whether it has the very items of an earlier page, though the list has not grown in between."""
        grown = (self.count or 0) > (earlier.count or 0)
        return bool(self._raw) and self._raw == earlier._raw and not grown  # noqa: SLF001 - its own kind

    def ids(self) -> list[str | None]:
        """Give the id of each item, None where it has none, without decoding more of it."""
        try:
            items: list[_Identified] = getattr(_identify_all(self._body), self._key)
        except REFUSALS:
            items = []
        if len(items) != len(self._raw):  # one is odd, or some are left out
            return [_id_of(item) for item in self._raw]
        return [None if item.id is None else str(item.id) for item in items]

    def only(self, wanted: Sequence[bool]) -> "Page[T]":
        """Give the page without the items that are not wanted."""
        return self if all(wanted) else evolve(self, raw=[*compress(self._raw, wanted)])


def _id_of(item: msgspec.Raw) -> str | None:
    try:
        found = _identify(item).id
    except REFUSALS:
        return None  # whoever looks at the item is told what is wrong with it
    return None if found is None else str(found)


class Progress:
    """Sees that pages lead on to something: a list that does not would be read for ever."""

    def __init__(self) -> None:
        self._last: Page[Any] | None = None
        self._empty = 0

    def note(self, page: Page[T], new_items: int, request: Request) -> None:
        """Take in the next page of the list; PagingError where it gets nowhere and yet goes on."""
        if page.next is None:
            return
        last, self._last = self._last, page
        self._empty = 0 if new_items else self._empty + 1
        if self._empty >= _MOST_EMPTY:
            raise PagingError(f"{self._empty:,} pages in a row brought nothing new", request=request)
        if last is not None and page.repeats(last):
            raise PagingError("the same page came twice, by another link", request=request)


class Paginator(Generic[T]):
    """A list of the API, fetched page by page while it is iterated; nothing is sent before.

    The next page is fetched while the caller works on this one.  An empty page is not the end: only a missing
    link is.  Iterate it again to fetch the list again.

        async for order in planet.orders.list(state=["queued"]):
            ...
        newest = await planet.orders.list().first()

    Raises PagingError where the links go round in a circle, to another origin, or on without an end: to the
    same page again, or to a thousand empty ones in a row.  DecodeError where a page or an item is not what
    the API documents.
    """

    def __init__(
        self,
        transport: Transport,
        first: Request,
        shape: PageShape,
        decode: Callable[[msgspec.Raw, Request], T],
    ) -> None:
        self._transport = transport
        self._first = first
        self._shape = shape
        self._decode = decode

    def __aiter__(self) -> AsyncIterator[T]:
        return _Items(self.pages())

    def pages(self) -> AsyncIterator[Page[T]]:
        """Iterate page by page."""

        async def produce(send: Send[Page[T]]) -> None:
            async with aclosing(self._walk()) as pages:
                async for page in pages:
                    await send(page)

        return Stream(produce)

    async def collect(self, limit: int | None = None) -> list[T]:
        """Give the items, at most `limit` of them, as a list."""
        found: list[T] = []
        if limit is not None and limit <= 0:
            return found
        async with aclosing(self._walk()) as pages:
            async for page in pages:
                for item in page:
                    found.append(item)
                    if len(found) == limit:
                        return found
        return found

    async def first(self) -> T | None:
        """Give the first item, or None of an empty list."""
        found = await self.collect(limit=1)
        return found[0] if found else None

    async def page(self, link: str | None = None) -> Page[T]:
        """Fetch one page: the first, or the one that another page has as its `next`."""
        return await self._fetch(self._first if link is None else self._following(self._first, link, set()))

    async def _walk(self) -> AsyncGenerator[Page[T]]:
        request, seen, progress = self._first, set[str](), Progress()
        while True:
            page = await self._fetch(request)
            progress.note(page, len(page), request)
            yield page
            if page.next is None:
                return
            request = self._following(request, page.next, seen)

    async def _fetch(self, request: Request) -> Page[T]:
        response = await self._transport.send(request)
        body = await response.read()
        try:
            content = _decoder.decode(body)
        except REFUSALS as error:
            raise unreadable(
                "not a page of a list",
                str(error),
                body,
                request=request,
                content_type=response.headers.get("content-type", ""),
            ) from None
        raw: list[msgspec.Raw] | None = getattr(content, self._shape.items)
        if raw is None:
            raise DecodeError(f"a page without `{self._shape.items}`; {excerpt(body)}", request=request)
        return Page(
            self._next(content, request),
            content.count,
            http_date(response.headers.get("date")),
            body,
            self._shape.items,
            raw,
            lambda item: self._decode(item, request),
        )

    def _next(self, content: _Body[msgspec.Raw], request: Request) -> str | None:
        for path in self._shape.next:
            link = content.next if path == "next" else (content.links or {}).get(path.removeprefix("_links."))
            if link and (not isinstance(link, str) or len(link) > _LONGEST_LINK):
                raise DecodeError(f"`{path}` of the page is no address", request=request)
            if link:
                return str(link)
        return None

    def _following(self, request: Request, link: str, seen: set[str]) -> Request:
        target = link_target(request.url, link)
        if origin(target) != origin(self._first.url):
            raise PagingError(
                "the link to the next page leads to another origin; not followed", request=request
            )
        if target in seen:
            raise PagingError("the links to the next page go round in a circle", request=request)
        seen.add(target)
        return evolve(self._first, url=target, params=())


class _Items(AsyncIterator[T]):
    """The items of pages.  No generator: dropping it drops the stream, which ends the fetching at once."""

    def __init__(self, pages: AsyncIterator[Page[T]]) -> None:
        self._pages = pages
        self._items: Iterator[T] = iter(())
        self._given = 0

    async def __anext__(self) -> T:
        self._given += 1
        if not self._given % _AT_A_STRETCH:
            await anyio.lowlevel.checkpoint()
        while True:
            for item in self._items:
                return item
            self._items = iter(await anext(self._pages))
