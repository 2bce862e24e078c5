"""Lists that answer for everybody at once: read page by page, and compared with those who are waited for."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from attrs import frozen

from planet_async.errors import DecodeError, PagingError
from planet_async.page import Page
from planet_async.paging import Paginator

FEW = 5  # so many things are cheaper looked at one by one


class Identified(Protocol):
    """Something with an id."""

    @property
    def id(self) -> str:
        """What it is waited for by."""
        ...


T = TypeVar("T", bound=Identified)


@frozen
class Lists(Generic[T]):
    """The lists of a service that say what has become of things.

    `changed(since, ended)` has what has changed since a moment of the server's clock, the earliest change
    first; where `ended`, only what has ended is wanted.  `unfinished` has what may still change, `finished`
    all else; that is None where `unfinished` has everything.  Best with the newest first, but nothing goes
    wrong with another order.
    """

    changed: Callable[[datetime, bool], Paginator[T]]
    unfinished: Callable[[], Paginator[T]]
    finished: Callable[[], Paginator[T]] | None = None


class Reading(Generic[T]):
    """A list read a page at a time, each perhaps by another task; a page that failed can be asked for again.

    `date` is the server's time of the first page.
    """

    def __init__(self, paginator: Paginator[T]) -> None:
        self._paginator = paginator
        self._following: str | None = None
        self._followed = set[str]()
        self.date: datetime | None = None
        self.pages = 0
        self.ended = False

    async def page(self) -> Page[T]:
        """Fetch the next page; PagingError where the links go round in a circle."""
        page = await self._paginator.page(self._following)
        if page.next is None:
            self.ended = True
        elif page.next in self._followed:
            raise PagingError("the links to the next page go round in a circle")
        else:
            self._followed.add(page.next)
            self._following = page.next
        if self.pages == 0:
            self.date = page.date
        self.pages += 1
        return page


def readable(page: Page[T]) -> Iterator[T]:
    """Yield the items of a page but for those that are not what the API documents: others wait as well."""
    items = iter(page)
    while True:
        try:
            yield next(items)
        except StopIteration:
            return
        except DecodeError:
            continue


class RollCall(Generic[T]):
    """Finds out who is `missing` in the list of the unfinished, and then in that of the finished.

    A list is left when as many of its pages have shown nobody as there are missing: looking at those one by
    one costs no more than has been spent.  So it costs at most twice what the cheaper way would have cost,
    however large the account is.  `is_whole`: the list of the unfinished was read to its end.
    """

    def __init__(self, lists: Lists[T], missing: set[str], *, urgent: bool) -> None:
        self._lists = lists
        self._finished = False
        self._in_vain = 0
        self.missing = missing
        self.urgent = urgent
        self.reading = Reading(lists.unfinished())
        self.pages = 0
        self.is_whole = False
        self.ended = False

    def note(self, found: int) -> None:
        """Note that a page was read and has shown so many of the missing."""
        self.pages += 1
        self._in_vain += found == 0
        if not self.reading.ended and self._in_vain < len(self.missing):
            return
        if not self._finished:
            self.is_whole = self.reading.ended
        if self._finished or self._lists.finished is None or len(self.missing) <= FEW:
            self.ended = True
        else:
            self._finished, self._in_vain = True, 0
            self.reading = Reading(self._lists.finished())
