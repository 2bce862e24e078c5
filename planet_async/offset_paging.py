"""Lists with offsets and a count (Tasking), whose pages can be fetched side by side.

The first page says how many items there are, and its link where the second page begins.  From that follows
where all the others should be.  It is a guess: what counts is the link of each page to the one after it, and
where the two differ, the links are followed one by one.
"""

from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec
from anyio.abc import TaskGroup
from attrs import evolve

from planet_async.errors import InvalidRequest
from planet_async.fetch import Fetch
from planet_async.http import Request, Transport
from planet_async.live_paging import LivePaginator
from planet_async.page import Page, PageShape
from planet_async.paging import Reader

T = TypeVar("T")

_OFFSET = "offset"
_DIGITS = 18  # of an offset; Python refuses to read thousands


class OffsetPaginator(LivePaginator[T]):
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

    async def _walk(self, reader: Reader[T], group: TaskGroup) -> None:
        page = await self._fetch(self._first)
        if not await reader.take(page, self._first):
            return
        last = await self._take_planned(page, reader, group)
        if last is not None and last.next is not None:
            await self._follow(self._following(self._first, last.next), reader, group)

    async def _take_planned(self, first: Page[T], reader: Reader[T], group: TaskGroup) -> Page[T] | None:
        """Have the reader take the pages that can be foreseen; give the last one, if another is wanted."""
        plan = self._plan(first, reader.limit)
        ahead = deque[Fetch[T]]()
        page, count = first, first.count or 0

        def begin_more() -> None:
            ahead.extend(
                self._begin(request, group) for request in islice(plan, self._concurrency - len(ahead))
            )

        begin_more()
        while ahead and _offset(page.next) == _offset(ahead[0].request.url):
            fetch = ahead.popleft()
            page = await fetch.result()
            if (page.count or 0) < count:
                # Answered before the list grew: what moved on since would be on neither page.
                page = await self._fetch(fetch.request)
            count = page.count or 0
            begin_more()  # before the reader has its turn, and takes it to decode this one
            if not await reader.take(page, fetch.request):
                return None
        for fetch in ahead:  # that come after pages elsewhere than was foreseen
            fetch.cancel()
        return page

    def _plan(self, first: Page[T], limit: int | None) -> Iterator[Request]:
        """Yield the requests for the pages after the first, as far as they are foreseen."""
        if first.next is None:
            return
        following = self._following(self._first, first.next)
        start = int(dict(self._first.params).get(_OFFSET, 0))
        second = _offset(following.url)
        if second is None or second <= start:
            return
        end = first.count or 0
        if limit is not None:
            end = min(end, start + limit)
        for offset in range(second, end, second - start):
            yield evolve(following, url=_at(following.url, offset))


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
