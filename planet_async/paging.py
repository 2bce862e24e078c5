"""`Paginator`: a list of the API, followed from page to page."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any, Generic, TypeVar

import anyio
import anyio.lowlevel
import msgspec
from anyio.abc import TaskGroup
from attrs import define, evolve, field

from planet_async._background import Sink, Stream, cut_short
from planet_async.errors import PagingError
from planet_async.fetch import Fetch, Peek
from planet_async.http import Request, Transport, link_target, origin
from planet_async.page import Page, PageShape, early_link, read_page

T = TypeVar("T")

_AT_A_STRETCH = 50  # items decoded, about a millisecond, before others have their turn
_MOST_EMPTY = 1_000  # pages in a row; filters may leave a few empty


@define
class Reader(Generic[T]):
    """Takes the pages, without the items that it has already, until it has enough.

    It sees that pages lead on to something: a list that does not would be read for ever.
    """

    _sink: Sink[Page[T]]
    _without_known: Callable[[Page[T]], Page[T]]
    limit: int | None
    _taken: int = 0
    _last: Page[Any] | None = None
    _empty: int = 0

    @property
    def hurries(self) -> bool:
        """Whether it waits for this page, and will go on to the next one."""
        return self._sink.is_awaited and self.limit is None

    async def take(self, page: Page[T], request: Request) -> bool:
        """Take the next page; tell whether another one is wanted.  PagingError where they lead nowhere."""
        new = self._without_known(page)
        if page.next is not None:
            self._check(page, len(new), request)
        await self._sink(new)
        self._taken += len(new)
        return page.next is not None and (self.limit is None or self._taken < self.limit)

    def _check(self, page: Page[T], new_items: int, request: Request) -> None:
        last, self._last = self._last, page
        self._empty = 0 if new_items else self._empty + 1
        if self._empty >= _MOST_EMPTY:
            raise PagingError(f"{self._empty:,} pages in a row brought nothing new", request=request)
        if last is not None and page.repeats(last):
            raise PagingError("the same page came twice, by another link", request=request)


class Paginator(Generic[T]):
    """A list of the API, fetched page by page while it is iterated; nothing is sent before.

    The next page is fetched while the caller works on this one; a caller who waits has it asked for as soon
    as the start of this one says where it is.  An empty page is not the end: only a missing link is.  Iterate
    it again to fetch the list again.

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
        return _Items(Stream(self._send_pages))

    def pages(self) -> AsyncIterator[Page[T]]:
        """Iterate page by page."""
        return Stream(self._send_pages)

    async def collect(self, limit: int | None = None) -> list[T]:
        """Give the items, at most `limit` of them, as a list; no page beyond those is asked for."""
        found = _Collected[T](limit)
        if limit is None or limit > 0:
            await self._send_pages(found, limit)
        return found.items

    async def first(self) -> T | None:
        """Give the first item, or None of an empty list."""
        found = await self.collect(limit=1)
        return found[0] if found else None

    async def page(self, link: str | None = None) -> Page[T]:
        """Fetch one page: the first, or the one that another page has as its `next`."""
        return await self._fetch(self._first if link is None else self._following(self._first, link))

    async def _send_pages(self, sink: Sink[Page[T]], limit: int | None = None) -> None:
        """Send the pages in order until there are enough items."""
        reader = Reader(sink, self._sieve(), limit)
        error: Exception | None = cut_short()
        async with anyio.create_task_group() as group:
            try:
                await self._walk(reader, group)
                error = None
            except Exception as caught:  # noqa: BLE001 - raised below: the group would wrap it
                error = caught
            group.cancel_scope.cancel()
        if error is not None:
            try:
                raise error
            finally:
                error = None  # it keeps this frame

    def _sieve(self) -> Callable[[Page[T]], Page[T]]:
        """Give what leaves out the items that were on an earlier page."""
        return lambda page: page

    async def _walk(self, reader: Reader[T], group: TaskGroup) -> None:
        await self._follow(self._first, reader, group)

    async def _follow(self, request: Request, reader: Reader[T], group: TaskGroup) -> None:
        """Have the reader take the page of a request, and those that the links lead to."""
        seen = set[str]()
        fetch = self._begin(request, group)
        while True:
            early = self._begin_early(fetch.request, await fetch.start(), reader, group)
            page = await fetch.result()
            if not await reader.take(page, fetch.request) or page.next is None:
                return
            request = self._following(fetch.request, page.next)
            if request.url in seen:
                raise PagingError("the links to the next page go round in a circle", request=fetch.request)
            seen.add(request.url)
            if early and early.request.url != request.url:
                early.cancel()
                early = None
            fetch = early or self._begin(request, group)

    def _begin(self, request: Request, group: TaskGroup) -> Fetch[T]:
        fetch = Fetch(request, self._fetch)
        group.start_soon(fetch.run)
        return fetch

    def _begin_early(
        self, request: Request, start: bytes, reader: Reader[T], group: TaskGroup
    ) -> Fetch[T] | None:
        """Begin the page after this one while it is still arriving, if its start says which one that is."""
        if reader.hurries and (link := early_link(start, self._shape, request)):
            with suppress(PagingError):  # raised when this page has been read
                return self._begin(self._following(request, link), group)
        return None

    async def _fetch(self, request: Request, peek: Peek | None = None) -> Page[T]:
        response = await self._transport.send(evolve(request, peek=peek))
        return await read_page(response, request, self._shape, self._decode)

    def _following(self, request: Request, link: str) -> Request:
        target = link_target(request.url, link)
        if origin(target) != origin(self._first.url):
            raise PagingError(
                "the link to the next page leads to another origin; not followed", request=request
            )
        return evolve(self._first, url=target, params=())


@define
class _Collected(Generic[T]):
    """Takes the items of pages, at most `limit` of them."""

    limit: int | None
    items: list[T] = field(factory=list)
    is_awaited: bool = True

    async def __call__(self, page: Page[T]) -> None:
        wanted = islice(page, None if self.limit is None else self.limit - len(self.items))
        while some := [*islice(wanted, _AT_A_STRETCH)]:
            self.items += some
            await anyio.lowlevel.checkpoint()


class _Items(AsyncIterator[T]):
    """The items of pages.  No generator: dropping it drops the stream, which ends the fetching at once."""

    def __init__(self, pages: Stream[Page[T]]) -> None:
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

    async def aclose(self) -> None:
        """End the fetching, and wait until it has ended."""
        await self._pages.aclose()
