"""Lists that grow while they are read (Subscriptions): an item that comes again is left out."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeVar

from planet_async.offset_paging import without_known
from planet_async.page import Page
from planet_async.paging import Paginator

T = TypeVar("T")


class LivePaginator(Paginator[T]):
    """A paginator that gives each item once, told apart by its `id`."""

    async def _walk(self) -> AsyncGenerator[Page[T]]:
        known = set[str]()
        async with aclosing(super()._walk()) as pages:
            async for page in pages:
                yield without_known(page, known)
