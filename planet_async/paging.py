"""`Paginator`: a list of the API, followed from page to page."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from typing import Any, Generic, TypeVar

import anyio.lowlevel
import msgspec
from attrs import define, evolve, field

from planet_async._background import Send, Stream
from planet_async.errors import PagingError
from planet_async.http import Request, Transport, link_target, origin
from planet_async.page import Page, PageShape, read_page

T = TypeVar("T")

_ITEMS_IN_A_ROW = 50  # decoded, about a millisecond, before other tasks have their turn
_MOST_EMPTY = 1_000  # pages in a row; filters may leave a few empty


class Paginator(Generic[T]):
    """A list of the API, fetched page by page while it is iterated; nothing is sent before.

    The next page is fetched while the caller works on this one.  An empty page is not the end: only a missing
    link is.  Iterate it again to fetch the list again.

        async for order in planet.orders.list(state=["queued"]):
            ...
        newest = await planet.orders.list().first()

    With `unique`, an item that comes again is left out, told apart by its `id`: in lists that grow while they
    are read, items move to a later page.

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
        *,
        unique: bool = False,
    ) -> None:
        self._transport = transport
        self._first = first
        self._shape = shape
        self._decode = decode
        self._unique = unique

    def __aiter__(self) -> AsyncIterator[T]:
        return _Items(self._stream())

    def pages(self) -> AsyncIterator[Page[T]]:
        """Return an iterator over the pages."""
        return self._stream()

    async def collect(self, limit: int | None = None) -> list[T]:
        """Return the items, at most `limit` of them, as a list; no page beyond those is requested."""
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
        """Fetch one page: the first, or the one that another page has as its `next`."""
        return await self._fetch(self._first if link is None else self._following(self._first, link))

    def _stream(self, limit: int | None = None) -> Stream[Page[T]]:
        async def produce(send: Send[Page[T]]) -> None:
            await self._walk(Iteration(send, self._following, self._unique, limit))

        return Stream(produce)

    async def _walk(self, iteration: "Iteration[T]") -> None:
        """Fetch and deliver the pages that this iteration wants."""
        await self._follow(self._first, iteration)

    async def _follow(self, request: Request | None, iteration: "Iteration[T]") -> None:
        """Fetch and deliver the page of a request, and those that the links lead to."""
        while request is not None:
            request = await iteration.deliver(await self._fetch(request), request)

    async def _fetch(self, request: Request) -> Page[T]:
        return await read_page(await self._transport.send(request), request, self._shape, self._decode)

    def _following(self, request: Request, link: str) -> Request:
        target = link_target(request.url, link)
        if origin(target) != origin(self._first.url):
            raise PagingError(
                "the link to the next page leads to another origin; not followed", request=request
            )
        return evolve(self._first, url=target, params=())


@define
class Iteration(Generic[T]):
    """One pass over a list: delivers its pages in order, and says which page to request next.

    It checks that the pages lead on to something: a list whose pages do not would be read for ever.
    """

    _send: Send[Page[T]]
    _following: Callable[[Request, str], Request]
    _unique: bool
    limit: int | None
    _known: set[str] = field(factory=set)  # the ids of items delivered, if each is wanted once
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
            raise PagingError("the links to the next page go round in a circle", request=request)
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


class _Items(AsyncIterator[T]):
    """The items of pages.  No generator: dropping it drops the stream, which ends the fetching at once."""

    def __init__(self, pages: Stream[Page[T]]) -> None:
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
