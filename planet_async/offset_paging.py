"""Lists with offsets and a count (Tasking), whose pages can be fetched concurrently.

The first page has the number of items, and its link the offset of the second page: from these follow the
offsets of all others.  That is a guess: what counts is the link of each page to the next one, and where the
two differ, the links are followed one by one.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from itertools import islice
from numbers import Integral
from typing import Generic, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import anyio
import msgspec
from attrs import define, evolve, field

from planet_async._tasks import TaskGroup, cancelled_externally, open_task_group
from planet_async.errors import InvalidRequest
from planet_async.http import Request, Transport
from planet_async.paging import Iteration, Page, PageFormat, Paginator

T = TypeVar("T")

_OFFSET = "offset"
_DIGITS = 18  # of an offset; Python refuses to read thousands


class OffsetPaginator(Paginator[T]):
    """A list whose pages are fetched up to `concurrency` at a time; at most one more is kept.

        async for order in planet.tasking.list(status="PENDING", concurrency=4):
            ...

    The items come in order, each once (by its `id`), also where some are added while the list is read: a page
    that came before the one in front of it is fetched again if the list has grown since, and the list ends
    with the page that has no link, not where the first page counted.  Items that are removed while the list
    is read move those behind them forward; no paging by offsets can notice that.
    """

    def __init__(
        self,
        transport: Transport,
        first: Request,
        page_format: PageFormat,
        decode: Callable[[msgspec.Raw, Request], T],
        concurrency: int = 1,
    ) -> None:
        if not isinstance(concurrency, Integral) or int(concurrency) < 1:
            raise InvalidRequest(f"concurrency must be a whole number of at least 1, not {concurrency!r}")
        super().__init__(transport, first, page_format, decode, unique=True)
        self._concurrency: int = int(concurrency)

    async def _walk(self, iteration: Iteration[T]) -> None:
        page = await self._fetch(self._first)
        following = await iteration.deliver(page, self._first)
        if following is not None:
            following = await self._follow_plan(following, page.count or 0, iteration)
        await self._follow(following, iteration)

    async def _follow_plan(self, second: Request, count: int, iteration: Iteration[T]) -> Request | None:
        """Fetch the planned pages concurrently and deliver them while the links agree with the plan.

        Return the request for the page after them, or None where no other page is wanted.
        """
        is_cancelled = True
        async with open_task_group() as group:
            following = await self._deliver_planned(second, count, iteration, group)
            is_cancelled = False
            group.cancel_scope.cancel()  # the pages that the links do not lead to
        if is_cancelled:
            raise cancelled_externally()
        return following

    async def _deliver_planned(
        self, second: Request, count: int, iteration: Iteration[T], group: TaskGroup
    ) -> Request | None:
        plan = self._plan(second, count, iteration.limit)
        ahead = deque[_PlannedPage[T]]()
        following: Request | None = second

        def begin_more() -> None:
            for request in islice(plan, self._concurrency - len(ahead)):
                ahead.append(_PlannedPage(request))
                group.start_soon(ahead[-1].fetch, self._fetch)

        begin_more()
        while following and ahead and _offset(following.url) == _offset(ahead[0].request.url):
            planned = ahead.popleft()
            page = await planned.result()
            if (page.count or 0) < count:
                # It came before the list grew: items that have moved since would be on neither page.
                page = await self._fetch(planned.request)
            count = page.count or 0
            begin_more()  # before the reader has its turn, in which it decodes this one
            following = await iteration.deliver(page, planned.request)
        return following

    def _plan(self, second: Request, count: int, limit: int | None) -> Iterator[Request]:
        """Yield the requests for the pages after the first, by the count of the list."""
        start = int(dict(self._first.params).get(_OFFSET, 0))
        first_planned = _offset(second.url)
        if first_planned is None or first_planned <= start:
            return
        end = count if limit is None else min(count, start + limit)
        for offset in range(first_planned, end, first_planned - start):
            yield evolve(second, url=_at(second.url, offset))


@define(eq=False)
class _PlannedPage(Generic[T]):
    """A page that is fetched in a task of its own, and delivered in its turn."""

    request: Request
    _page: Page[T] | None = None
    _error: Exception | None = None
    _done: anyio.Event = field(factory=anyio.Event)

    async def fetch(self, fetch: Callable[[Request], Awaitable[Page[T]]]) -> None:
        try:
            self._page = await fetch(self.request)
        except Exception as error:  # noqa: BLE001 - raised by `result`
            self._error = error
        self._done.set()

    async def result(self) -> Page[T]:
        await self._done.wait()
        if self._page is None:
            raise self._error or cancelled_externally()
        return self._page


def _offset(url: str) -> int | None:
    text = dict(parse_qsl(urlsplit(url).query)).get(_OFFSET, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else None


def _at(url: str, offset: int) -> str:
    parts = urlsplit(url)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    query = urlencode([(name, str(offset) if name == _OFFSET else value) for name, value in pairs])
    return urlunsplit(parts._replace(query=query))
