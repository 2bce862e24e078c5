"""Lists that grow while they are read (Subscriptions): an item that comes again is left out."""

from collections.abc import Callable
from typing import TypeVar

from planet_async.page import Page
from planet_async.paging import Paginator

T = TypeVar("T")


class LivePaginator(Paginator[T]):
    """A paginator that gives each item once, told apart by its `id`."""

    def _sieve(self) -> Callable[[Page[T]], Page[T]]:
        known = set[str]()

        def is_new(id_: str | None) -> bool:
            if id_ is None:
                return True
            before = len(known)
            known.add(id_)
            return len(known) > before

        return lambda page: page.only([is_new(id_) for id_ in page.ids()])
