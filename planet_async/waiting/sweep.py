"""`Sweep`: one list request answers for everything that is waited for."""

import logging
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from math import inf
from typing import Generic, Protocol, TypeVar

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
from planet_async.outcome import chunks
from planet_async.paging import Page, Paginator
from planet_async.waiting.registry import WaiterRegistry

FEW = 5  # so many things are cheaper looked at one by one


class Identified(Protocol):
    """Something with an id."""

    @property
    def id(self) -> str:
        """What it is waited for by."""
        ...


T = TypeVar("T", bound=Identified)


@frozen
class ListQueries(Generic[T]):
    """The lists of a service that say what has become of things.

    `changed(since, ended)` has what has changed since a moment of the server's clock, the earliest change
    first; where `ended`, only what has ended is wanted.  `unfinished` has what may still change, `finished`
    all else; that is None where `unfinished` has everything.  Best with the newest first, but nothing goes
    wrong with another order.
    """

    changed: Callable[[datetime, bool], Paginator[T]]
    unfinished: Callable[[], Paginator[T]]
    finished: Callable[[], Paginator[T]] | None = None


class PageCursor(Generic[T]):
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


class Reconciliation(Generic[T]):
    """Finds out who is `missing` in the list of the unfinished, and then in that of the finished.

    A list is left when as many of its pages have shown nobody as there are missing: looking at those one by
    one costs no more than has been spent.  So it costs at most twice what the cheaper way would have cost,
    however large the account is.  `is_whole`: the list of the unfinished was read to its end.
    """

    def __init__(self, lists: ListQueries[T], missing: set[str], *, urgent: bool) -> None:
        self._lists = lists
        self._finished = False
        self._in_vain = 0
        self.missing = missing
        self.urgent = urgent
        self.reading = PageCursor(lists.unfinished())
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
            self.reading = PageCursor(self._lists.finished())


logger = logging.getLogger("planet_async")

_OVERLAP = timedelta(seconds=10)  # how late a change may show up in the lists
_FATAL = (Unauthorized, Forbidden, ClientClosed)
_MOST_FAILURES = 3  # in a row, until everything is looked at one by one
_MOST_POWERS = 64

# A millisecond or two of work, since others have a right to the event loop:
_SHOWN_AT_ONCE = 100
_ENTRIES_AT_ONCE = 500
_CALLED_AT_ONCE = 1000

# In shares of the `Schedule` by which single things are looked at:
_PAUSE = 1.5  # of `first`: between sweeps while something ends
_LONGEST_PAUSE = 0.4  # of `longest`: between sweeps while nothing does
_QUIET = 3  # sweeps that show no end, before the pauses grow
_ROLL_CALL = 10.0  # of `longest`: from one roll call to the next, at least
_SHARE = 10  # sweeps to a request of those roll calls


class Sweep(Generic[T]):
    """Reads the lists of a service for those who wait: what has changed, and now and then a roll call.

    What has changed is asked for from the server's time of the last answer on, less an overlap; our clock has
    no say in it.  A `Reconciliation` comes first, since what has ended will not change any more, and again
    from time to time for what a sweep may have missed.  Those it does not find are looked at directly.

    Lists that fail are asked again later, and no waiting ends for it; a list that the server refuses is never
    asked again.  Both leave everything to the direct looks.
    """

    def __init__(
        self, lists: ListQueries[T], room: WaiterRegistry[T], *, clock: Clock, schedule: Schedule
    ) -> None:
        self._lists = lists
        self._room = room
        self._clock = clock
        self._schedule = schedule
        self._allowed_from = 0.0  # inf: never again
        self._failures = 0
        self.start_over()

    def start_over(self) -> None:
        """Forget what was known, when everything is going to be looked at anew."""
        self._since: datetime | None = None
        self._reading: PageCursor[T] | None = None
        self._unshown: Iterator[T] | None = None  # what is left of the page that was read last
        self._is_roll = False  # that page is of the roll call
        self._found = 0  # of those missing, on that page
        self._unsettled: list[str] = []  # those of whom a list that has failed, or ended, has not told
        self._verdict: bool | None = None  # whether the lists will tell of these, where that is known
        self._due = inf  # the next page of a sweep
        self._swept = 0.0  # the end of the last one
        self._quiet = 0
        self._news = False
        self._roll: Reconciliation[T] | None = None
        self._roll_due = inf
        self._roll_pages = 0
        self._may_call = False  # a page of a roll call without hurry, now that a sweep has told what is new

    @property
    def is_on(self) -> bool:
        """What the lists have is left to them."""
        return self._since is not None

    @property
    def has_begun(self) -> bool:
        """There is `work` at once, which takes no request."""
        return bool(self._unsettled) or self._unshown is not None

    def next_due(self) -> float:
        """Give the moment when there is `work`."""
        if self.has_begun:
            return -inf
        urgent = self._is_crowded if self._roll is None else self._roll.urgent
        return min(self._due, self._allowed_from if urgent or self._may_call else inf)

    @property
    def _is_crowded(self) -> bool:
        """More things are to be looked at than a roll call is likely to cost."""
        return len(self._room.unlisted) > max(FEW, self._roll_pages)

    def found(self, id_: str) -> None:
        """Note that somebody need not be looked for any more."""
        if self._roll is not None:
            self._roll.missing.discard(id_)

    async def work(self, now: float) -> None:
        """Read the page that is due, or show some of the one that was read."""
        if self._unsettled:
            self._settle_some()
        elif self._unshown is not None:
            self._show(self._unshown)
        else:
            await self._read(now)
        await anyio.lowlevel.checkpoint()

    async def _read(self, now: float) -> None:
        roll = None
        if self._since is not None and self._due <= now:
            if self._reading is None:
                self._reading = PageCursor(self._lists.changed(self._since, not self._room.wants_changes))
                self._news = False
            reading = self._reading
        else:
            roll = self._roll = self._roll or await self._call()
            reading = roll.reading
        try:
            page = await reading.page()
            if reading.date is None:
                raise DecodeError("a list without the server's time, which the next one has to begin at")
        except _FATAL as error:
            for ids in chunks([*self._room.entries], _ENTRIES_AT_ONCE):
                for id_ in ids:
                    self._room.fail(id_, error)
                await anyio.lowlevel.checkpoint()
        except PlanetError as error:
            # Further on than the first page, it may be a link that has grown stale.
            refused = isinstance(error, BadRequest) and reading.pages == 0
            self._set_back(error, refused=refused)
        else:
            self._failures = 0
            self._unshown, self._is_roll, self._found = readable(page), roll is not None, 0
            if self._since is None and reading.date is not None:
                self._since = reading.date - _OVERLAP
                self._swept = self._clock.monotonic()
                self._due = self._swept + self._pause()

    def _show(self, unshown: Iterator[T]) -> None:
        missing = set[str]() if self._roll is None else self._roll.missing
        before, things = len(missing), [*islice(unshown, _SHOWN_AT_ONCE)]
        for thing in things:
            missing.discard(thing.id)
            self._news |= self._room.show(thing.id, thing, listed=True)
        self._found += before - len(missing)
        if len(things) < _SHOWN_AT_ONCE:
            self._unshown = None
            if self._is_roll and self._roll is not None:
                self._note_presence(self._roll)
            elif self._reading is not None:
                self._note_changes(self._reading)

    def _note_changes(self, reading: PageCursor[T]) -> None:
        if reading.ended and reading.date is not None and self._since is not None:
            now = self._clock.monotonic()
            before, self._since = self._since, reading.date - _OVERLAP
            self._quiet = 0 if self._news else self._quiet + 1
            self._due = now + self._pause()
            if self._since < before:
                # The server's clock was set back, perhaps just after the sweep before this one.
                self._since -= timedelta(seconds=now - self._swept)
                self._due = now
            self._reading, self._swept = None, now
            self._may_call = self._roll is not None or now >= self._roll_due

    def _pause(self) -> float:
        powers = min(max(0, self._quiet - _QUIET), _MOST_POWERS)
        pause = _PAUSE * self._schedule.first * self._schedule.factor**powers
        return float(min(_LONGEST_PAUSE * self._schedule.longest, pause))

    async def _call(self) -> Reconciliation[T]:
        urgent, arrivals = self._is_crowded, self._room.arrivals
        missing = set[str]()
        for ids in chunks([*self._room.entries], _CALLED_AT_ONCE):
            missing.update(self._room.expected(ids))
            await anyio.lowlevel.checkpoint()
        if self._room.arrivals != arrivals:
            missing.update(self._room.unlisted)  # those who have come meanwhile are among them
        self._room.call_off()
        return Reconciliation(self._lists, missing, urgent=urgent)

    def _note_presence(self, roll: Reconciliation[T]) -> None:
        roll.note(self._found)
        self._may_call = False
        if roll.ended:
            self._roll = None
            self._roll_pages = roll.pages
            requests = roll.pages + len(roll.missing)
            pause = max(_ROLL_CALL * self._schedule.longest, _SHARE * requests * self._pause())
            self._roll_due = self._clock.monotonic() + pause
            self._unsettled, self._verdict = [*roll.missing], not roll.is_whole

    def _set_back(self, error: PlanetError, *, refused: bool) -> None:
        self._failures += 1
        if refused:
            logger.info("the list cannot be used to wait by: %s; all is looked at one by one", error)
            self._allowed_from = inf
        else:
            self._allowed_from = self._clock.monotonic() + self._schedule.longest
            logger.info("%s; waiting goes on without that list for %g s", error, self._schedule.longest)
        missing = [] if self._roll is None else [*self._roll.missing]
        if refused or self._failures >= _MOST_FAILURES:
            missing = [*self._room.entries]
            self.start_over()
        self._roll = self._reading = None
        self._due = max(self._due, self._allowed_from)
        self._unsettled, self._verdict = missing, None

    def _settle_some(self) -> None:
        some = self._unsettled[-_ENTRIES_AT_ONCE:]
        del self._unsettled[-_ENTRIES_AT_ONCE:]
        for id_ in some:
            entry = self._room.entries.get(id_)
            if entry is None:
                continue
            if self._verdict is not None:
                entry.listed = self._verdict
                self._room.unlisted.discard(id_)
                self._room.poll_soon(id_)
            elif entry.listed is None or not self.is_on:
                self._room.mark_unknown(id_, entry)
