"""Lists with offsets and a count (Tasking), whose pages can be fetched side by side.

The first page says how many items there are, and its link where the second page begins.  From that follows
where all the others should be.  It is a guess: what counts is the link of each page to the one after it, and
where the two differ, the links are followed one by one.
"""

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import islice
from typing import Generic, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import anyio
import msgspec
from attrs import define, evolve, field

from planet_async._background import Send, Stream
from planet_async.errors import InvalidRequest
from planet_async.http import Request, Transport
from planet_async.page import Page, PageShape
from planet_async.paging import Paginator, Progress

T = TypeVar("T")

_OFFSET = "offset"
_DIGITS = 18  # of an offset; Python refuses to read thousands


class OffsetPaginator(Paginator[T]):
    """A paginator that has up to `concurrency` pages under way at a time, and holds one more at most.

    The items come in their order, each once (told apart by its `id`), also where some are added while the
    list is read: a page that was answered before one in front of it is fetched again if the list has grown in
    between, and the end is where a page has no link, not where the first page counted it.  Items that drop
    out of a list while it is read move those behind them forward; no paging by offsets can tell.

        async for order in planet.tasking.list(status="PENDING", concurrency=4):
            ...
    """

    def __init__(
        self,
        transport: Transport,
        first: Request,
        shape: PageShape,
        decode: Callable[[msgspec.Raw, Request], T],
        concurrency: int = 1,
    ) -> None:
        if concurrency < 1:
            raise InvalidRequest(f"concurrency must be at least 1, not {concurrency}")
        super().__init__(transport, first, shape, decode)
        self._concurrency = concurrency

    def pages(self) -> AsyncIterator[Page[T]]:
        """Iterate page by page."""
        return Stream(self._send_pages)

    async def collect(self, limit: int | None = None) -> list[T]:
        """Give the items, at most `limit` of them, as a list; no page beyond those is asked for."""
        found: list[T] = []

        async def keep(page: Page[T]) -> None:
            found.extend(islice(page, None if limit is None else limit - len(found)))

        if limit is None or limit > 0:
            await self._send_pages(keep, limit)
        return found

    async def _send_pages(self, send: Send[Page[T]], limit: int | None = None) -> None:
        """Send the pages in order, without the items that were on one before, until there are enough."""
        known, progress = set[str](), Progress()
        sent = 0

        async def send_new(page: Page[T]) -> bool:
            nonlocal sent
            new = without_known(page, known)
            progress.note(page, len(new), self._first)
            await send(new)
            sent += len(new)
            return limit is not None and sent >= limit

        page = await self._fetch(self._first)
        if await send_new(page):
            return
        page, enough = await self._send_planned(page, send_new, limit)
        request, seen = self._first, set[str]()
        while page.next is not None and not enough:
            request = self._following(request, page.next, seen)
            page = await self._fetch(request)
            enough = await send_new(page)

    async def _send_planned(
        self, first: Page[T], send: Callable[[Page[T]], Awaitable[bool]], limit: int | None
    ) -> tuple[Page[T], bool]:
        """Send the pages that can be foreseen; give the last one, and whether that is enough."""
        plan = self._plan(first, limit)
        ahead = deque[_Fetch[T]]()
        page, enough, count = first, False, first.count or 0
        error: Exception | None = None

        def begin_more() -> None:
            for request in islice(plan, self._concurrency - len(ahead)):
                ahead.append(_Fetch(request, self._fetch))
                group.start_soon(ahead[-1].run)

        async with anyio.create_task_group() as group:
            try:
                while not enough:
                    begin_more()
                    if not ahead or _offset(page.next) != _offset(ahead[0].request.url):
                        break
                    fetch = ahead.popleft()
                    page = await fetch.result()
                    if (page.count or 0) < count:
                        # Answered before the list grew: what moved on since would be on neither page.
                        page = await self._fetch(fetch.request)
                    count = page.count or 0
                    begin_more()  # before the reader has its turn, and takes it to decode this one
                    enough = await send(page)
            except Exception as caught:  # noqa: BLE001 - raised below: the group would wrap it
                error = caught
            group.cancel_scope.cancel()
        if error is not None:
            raise error
        return page, enough

    def _plan(self, first: Page[T], limit: int | None) -> Iterator[Request]:
        """Yield the requests for the pages after the first, as far as they are foreseen."""
        if first.next is None:
            return
        following = self._following(self._first, first.next, set())
        start = int(dict(self._first.params).get(_OFFSET, 0))
        second = _offset(following.url)
        if second is None or second <= start:
            return
        end = first.count or 0
        if limit is not None:
            end = min(end, start + limit)
        for offset in range(second, end, second - start):
            yield evolve(following, url=_at(following.url, offset))


@define
class _Fetch(Generic[T]):
    """A page under way."""

    request: Request
    _fetch: Callable[[Request], Awaitable[Page[T]]]
    _page: Page[T] | None = None
    _error: Exception | None = None
    _done: anyio.Event = field(factory=anyio.Event)

    async def run(self) -> None:
        try:
            self._page = await self._fetch(self.request)
        except Exception as error:  # noqa: BLE001 - kept for whose turn it is, who raises it
            self._error = error
        self._done.set()

    async def result(self) -> Page[T]:
        await self._done.wait()
        if self._page is None:
            raise self._error or LookupError("no page came")
        return self._page


def without_known(page: Page[T], known: set[str]) -> Page[T]:
    """Leave out the items whose id is known already; note the ids of the others."""

    def is_new(id_: str | None) -> bool:
        if id_ is None:
            return True
        before = len(known)
        known.add(id_)
        return len(known) > before

    return page.only([is_new(id_) for id_ in page.ids()])


def _offset(url: str | None) -> int | None:
    """Give the offset in an address, if there is one."""
    try:
        text = dict(parse_qsl(urlsplit(url or "").query)).get(_OFFSET, "")
    except ValueError:
        return None
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else None


def _at(url: str, offset: int) -> str:
    """Give the same address with another offset."""
    parts = urlsplit(url)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    query = urlencode([(name, str(offset) if name == _OFFSET else value) for name, value in pairs])
    return urlunsplit(parts._replace(query=query))
