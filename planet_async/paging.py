"""`Paginator`: a list of the API, followed from page to page."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing
from typing import Any, Generic, TypeVar

import anyio.lowlevel
import msgspec
from attrs import evolve

from planet_async._background import Send, Stream
from planet_async.errors import PagingError
from planet_async.http import Request, Transport, link_target, origin
from planet_async.page import Page, PageShape, read_page

T = TypeVar("T")

_AT_A_STRETCH = 50  # items decoded, about a millisecond, before others have their turn
_MOST_EMPTY = 1_000  # pages in a row; filters may leave a few empty


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
        return await read_page(await self._transport.send(request), request, self._shape, self._decode)

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
