"""`Sweep`: one list request reports on everything that is waited for."""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from math import inf
from typing import Generic, TypeVar

import anyio.lowlevel
from attrs import frozen

from planet_async.clock import Clock
from planet_async.config import Schedule
from planet_async.errors import (
    BadRequest,
    ClientClosed,
    DecodeError,
    Forbidden,
    PagingError,
    PlanetError,
    Unauthorized,
)
from planet_async.outcome import Identified, chunks
from planet_async.paging import Page, Paginator
from planet_async.waiting.registry import State, WaiterRegistry

FEW = 5  # so many ids are cheaper polled one by one

_OVERLAP = timedelta(seconds=10)  # how late a change may show up in the lists
_FATAL = (Unauthorized, Forbidden, ClientClosed)
_MOST_FAILURES = 3  # in a row, until everything is polled one by one
_MOST_IN_VAIN = 100  # pages of changes that show nothing that is waited for, until the list is left
_MOST_RECONCILED = 1_000  # the same, of a reconciliation
_MOST_POWERS = 64

# A millisecond or two of work, since other tasks need the event loop, too:
_ITEMS_AT_ONCE = 100
_ENTRIES_AT_ONCE = 500

# In shares of the `Schedule` by which single ids are polled:
_PAUSE = 1.5  # of `first`: between sweeps while something ends
_LONGEST_PAUSE = 0.4  # of `longest`: between sweeps while nothing does
_QUIET = 3  # sweeps in which nothing ends, before the pauses grow
_LONGEST_SWEEP = 10.0  # of `longest`: until a list of changes that has not ended is left
_RECONCILE_EVERY = 10.0  # of `longest`: from one reconciliation to the next, at least
_SHARE = 10  # sweeps for each request of a reconciliation

logger: logging.Logger = logging.getLogger("planet_async.waiting")


T = TypeVar("T", bound=Identified)


@frozen
class ListQueries(Generic[T]):
    """The lists of a service that say what has become of its resources.

    `changed(since, ended)` has what has changed since a moment of the server's clock, the earliest change
    first; where `ended`, only what has ended is wanted.  `unfinished` has what may still change, `finished`
    all else; that is None where `unfinished` has everything.  Best with the newest first, but nothing goes
    wrong with another order.
    """

    changed: Callable[[datetime, bool], Paginator[T]]
    unfinished: Callable[[], Paginator[T]]
    finished: Callable[[], Paginator[T]] | None = None


class Sweep(Generic[T]):
    """Reads the lists of a service: what has changed, again and again, and now and then all of it.

    What has changed is requested from the server's time of the last response on, less an overlap; this
    machine's clock has no say in it.  A `Reconciliation` comes first, since what has ended will not change
    any more, and again from time to time for what a sweep may have missed.
    """

    def __init__(
        self, lists: ListQueries[T], registry: WaiterRegistry[T], *, clock: Clock, schedule: Schedule
    ) -> None:
        self._lists = lists
        self._registry = registry
        self._clock = clock
        self._schedule = schedule
        self._allowed_from = 0.0  # inf: never again
        self._failures = 0
        self.start_over()

    def start_over(self) -> None:
        """Forget what was known: everything is going to be polled or reconciled again."""
        self._since: datetime | None = None
        self._changes: PageCursor[T] | None = None
        self._due = inf  # the next page of a sweep
        self._swept = 0.0  # the end of the last one
        self._quiet = 0
        self._reconciliation: Reconciliation[T] | None = None
        self._reconcile_from = inf
        self._reconciled_pages = 0
        self._may_reconcile = False  # one page that is not urgent, after a sweep has shown what is new
        self._chores: deque[Callable[[], None]] = deque()  # work that needs no request

    @property
    def is_on(self) -> bool:
        """Return whether the lists report changes."""
        return self._since is not None

    @property
    def is_busy(self) -> bool:
        """Return whether there is `work` that needs no request."""
        return bool(self._chores)

    def next_due(self) -> float:
        """Return the moment from which there is `work`."""
        if self.is_busy:
            return -inf
        urgent = self._is_crowded if self._reconciliation is None else self._reconciliation.urgent
        return min(self._due, self._allowed_from if urgent or self._may_reconcile else inf)

    @property
    def _is_crowded(self) -> bool:
        """Return whether polling would cost more requests than a reconciliation."""
        return self._registry.counts[State.NEW] > max(FEW, self._reconciled_pages)

    def found(self, id_: str) -> None:
        """Note that an id need not be looked for any more."""
        if self._reconciliation is not None:
            self._reconciliation.missing.discard(id_)

    async def work(self, now: float) -> None:
        """Do a chore, which takes a millisecond or two, or fetch the page that is due."""
        if self._chores:
            self._chores.popleft()()
        elif self._since is not None and self._due <= now:
            if self._changes is None:
                self._changes = PageCursor(self._lists.changed(self._since, not self._registry.wants_changes))
            await self._read(self._changes)
        elif self._reconciliation is None:
            self._reconciliation = Reconciliation(self._lists, urgent=self._is_crowded)
            self._for_some([*self._registry.entries], partial(self._gather, self._reconciliation))
            self._registry.forget_new()
        else:
            await self._read(self._reconciliation.cursor)
        await anyio.lowlevel.checkpoint()

    async def _read(self, cursor: "PageCursor[T]") -> None:
        try:
            await cursor.fetch()
            if cursor.date is None:
                raise DecodeError("a list without the server's time, which the next one has to begin at")
        except _FATAL:
            raise
        except PlanetError as error:
            # Further on than the first page, it may be a link that has expired.
            self._set_back(error, refused=isinstance(error, BadRequest) and cursor.pages == 0)
        else:
            self._failures = 0
            self._chores.append(partial(self._deliver_some, cursor))
            if self._since is None:
                self._since = cursor.date - _OVERLAP
                self._swept = self._clock.monotonic()
                self._due = self._swept + self._pause()

    def _deliver_some(self, cursor: "PageCursor[T]") -> None:
        missing = set[str]() if self._reconciliation is None else self._reconciliation.missing
        before, items = len(missing), [*islice(cursor.items, _ITEMS_AT_ONCE)]
        for item in items:
            missing.discard(item.id)
            if self._registry.deliver(item.id, item, listed=True):
                cursor.ends += 1
        cursor.found += before - len(missing)
        if len(items) == _ITEMS_AT_ONCE:
            self._chores.append(partial(self._deliver_some, cursor))
        elif cursor is self._changes:
            self._end_page_of_changes(cursor)
        elif self._reconciliation is not None:
            self._end_page_of_reconciliation(self._reconciliation)

    def _end_page_of_changes(self, cursor: "PageCursor[T]") -> None:
        too_long = self._clock.monotonic() > self._due + _LONGEST_SWEEP * self._schedule.longest
        if not cursor.ended and (too_long or cursor.pages - cursor.ends >= _MOST_IN_VAIN):
            error = PagingError(f"the list of changes has not ended after {cursor.pages} pages")
            self._set_back(error, refused=False)
        elif cursor.ended and cursor.date is not None and self._since is not None:
            now = self._clock.monotonic()
            before, self._since = self._since, cursor.date - _OVERLAP
            self._quiet = 0 if cursor.ends else self._quiet + 1
            self._due = now + self._pause()
            if self._since < before:
                # The server's clock was set back, perhaps just after the sweep before this one.
                self._since -= timedelta(seconds=now - self._swept)
                self._due = now
            self._changes, self._swept = None, now
            self._may_reconcile = self._reconciliation is not None or now >= self._reconcile_from

    def _pause(self) -> float:
        powers = min(max(0, self._quiet - _QUIET), _MOST_POWERS)
        pause = _PAUSE * self._schedule.first * self._schedule.factor**powers
        return float(min(_LONGEST_PAUSE * self._schedule.longest, pause))

    def _for_some(self, ids: Sequence[str], act: Callable[[Sequence[str]], None]) -> None:
        """Do something for all of these, some at a time."""
        self._chores.extend(partial(act, some) for some in chunks(ids, _ENTRIES_AT_ONCE))

    def _gather(self, reconciliation: "Reconciliation[T]", ids: Sequence[str]) -> None:
        for id_ in ids:
            entry = self._registry.entries.get(id_)
            if entry is None or self._registry.drop_deserted(id_, entry) or entry.state is State.UNLISTED:
                continue
            reconciliation.missing.add(id_)
            if entry.state is State.NEW:
                self._registry.mark(entry, State.EXPECTED)

    def _end_page_of_reconciliation(self, reconciliation: "Reconciliation[T]") -> None:
        self._may_reconcile = False
        if reconciliation.ends_with_page():
            self._reconciliation = None
            self._reconciled_pages = reconciliation.pages
            requests = reconciliation.pages + len(reconciliation.missing)
            pause = max(_RECONCILE_EVERY * self._schedule.longest, _SHARE * requests * self._pause())
            self._reconcile_from = self._clock.monotonic() + pause
            state = State.UNLISTED if reconciliation.is_whole else State.LISTED
            self._for_some([*reconciliation.missing], partial(self._poll_soon, state))

    def _set_back(self, error: PlanetError, *, refused: bool) -> None:
        self._failures += 1
        if refused:
            logger.info("the list cannot be used to wait: %s; everything is polled one by one", error)
            self._allowed_from = inf
        else:
            self._allowed_from = self._clock.monotonic() + self._schedule.longest
            logger.info("%s; waiting goes on without that list for %g s", error, self._schedule.longest)
        unfound = [] if self._reconciliation is None else [*self._reconciliation.missing]
        if refused or self._failures >= _MOST_FAILURES or isinstance(error, PagingError):
            unfound = [*self._registry.entries]
            self.start_over()
        self._reconciliation = self._changes = None
        self._due = max(self._due, self._allowed_from)
        self._for_some(unfound, self._mark_unknown)

    def _poll_soon(self, state: State, ids: Sequence[str]) -> None:
        for id_ in ids:
            if (entry := self._registry.entries.get(id_)) is not None:
                self._registry.mark(entry, state)
                self._registry.poll_soon(id_)

    def _mark_unknown(self, ids: Sequence[str]) -> None:
        for id_ in ids:
            entry = self._registry.entries.get(id_)
            if entry is not None and (entry.state is State.EXPECTED or not self.is_on):
                self._registry.mark_unknown(id_, entry)


class Reconciliation(Generic[T]):
    """Finds out which ids are `missing` in the list of the unfinished, and then in that of the finished.

    A list is left when as many of its pages have shown none of the missing as there are missing: polling
    those one by one costs no more than has been spent.  So it costs at most twice what the cheaper way would
    have cost, however large the account is.  `is_whole`: the list of the unfinished was read to its end.
    """

    def __init__(self, lists: ListQueries[T], *, urgent: bool) -> None:
        self._lists = lists
        self._reads_finished = False
        self._in_vain = 0
        self.missing: set[str] = set()
        self.urgent = urgent
        self.cursor: PageCursor[T] = PageCursor(lists.unfinished())
        self.pages: int = 0
        self.is_whole: bool = False

    def ends_with_page(self) -> bool:
        """Take account of a page that was delivered; return whether it was the last."""
        self.pages += 1
        self._in_vain += self.cursor.found == 0
        if not self.cursor.ended and self._in_vain < min(len(self.missing), _MOST_RECONCILED):
            return False
        if not self._reads_finished:
            self.is_whole = self.cursor.ended
        if self._reads_finished or self._lists.finished is None or len(self.missing) <= FEW:
            return True
        self._reads_finished, self._in_vain = True, 0
        self.cursor = PageCursor(self._lists.finished())
        return False


class PageCursor(Generic[T]):
    """A list read a page at a time, each perhaps by another task; a page that failed can be fetched again.

    `items` are those of the last page that have not been delivered, and `found` how many missing ids it has
    shown; `ends` is how many waits have ended by any page.  `date` is the server's time of the first page.
    """

    def __init__(self, paginator: Paginator[T]) -> None:
        self._paginator = paginator
        self._following: str | None = None
        self._followed = set[str]()
        self.items: Iterator[T] = iter(())
        self.found: int = 0
        self.ends: int = 0
        self.date: datetime | None = None
        self.pages: int = 0
        self.ended: bool = False

    async def fetch(self) -> None:
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
        self.items, self.found = _readable(page), 0


def _readable(page: Page[T]) -> Iterator[T]:
    """Yield the items of a page but for those that are not what the API documents: others wait as well."""
    items = iter(page)
    while True:
        try:
            yield next(items)
        except StopIteration:
            return
        except DecodeError:
            continue
