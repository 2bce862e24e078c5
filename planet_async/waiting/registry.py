"""`WaiterRegistry`: which waiters need which id, and how the id is followed."""

import heapq
from collections import deque
from collections.abc import Callable, Iterable
from enum import Enum, auto
from itertools import count
from math import inf
from typing import Generic, TypeVar
from weakref import WeakSet, ref

import anyio
import msgspec

from planet_async.errors import PlanetError, WaitTimeout
from planet_async.outcome import Outcome

T = TypeVar("T")

POLLS_AT_ONCE = 10

URGENT = -inf
"""As `due`: before everything else."""

_FIRST_NEW = (
    -1e9
)  # the same, of the first new id: before all that are scheduled, in the order of their coming


class State(Enum):
    """How an id is followed: see `planet_async.waiting.poller`."""

    NEW = auto()
    EXPECTED = auto()
    LISTED = auto()
    UNLISTED = auto()


class Waiter(Generic[T]):
    """A caller: the ids that it waits for, and the outcomes and updates that it has not taken yet.

    A `whole` one is not content with what a list shows of something finished, which is less than a poll does.
    """

    def __init__(
        self,
        ids: Iterable[str],
        finished: Callable[[T], bool],
        *,
        timeout: float | None,
        wants_changes: bool,
        whole: bool = False,
    ) -> None:
        self.waiting: dict[str, None] = dict.fromkeys(ids)
        self.outcomes: deque[Outcome[T]] | None = None  # even an empty one takes 760 bytes
        self.updates: deque[T] | None = deque() if wants_changes else None
        self._finished = finished
        self._whole = whole
        self._timeout = timeout
        self._last_update: T | None = None
        self._notified: anyio.Event | None = None

    @property
    def is_ready(self) -> bool:
        """Return whether the caller has something to take, or nothing left to wait for."""
        return bool(self.outcomes or self.updates or not self.waiting)

    def needs_poll(self, item: T) -> bool:
        """Return whether what a list shows has to be polled before it is delivered."""
        return self._whole and self._finished(item)

    def deliver(self, id_: str, item: T) -> bool:
        """Take what a poll or a list shows; return whether that ends the wait for this id."""
        if self.updates is not None and item != self._last_update:
            self._last_update = item
            self.updates.append(item)
            self.notify()
        if self._finished(item):
            self._end(Outcome(id_, item))
        elif self._timeout is not None and self._timeout <= 0:
            self.time_out(id_)
        return id_ not in self.waiting

    def fail(self, id_: str, error: PlanetError) -> None:
        self._end(Outcome(id_, error=error))

    def time_out(self, id_: str) -> None:
        after = "" if self._timeout is None else f" after {self._timeout:g} s"
        hint = "It goes on at the service; wait again with the same id."
        self.fail(id_, WaitTimeout(f"{id_} was not finished{after}", hint=hint))

    def _end(self, outcome: Outcome[T]) -> None:
        del self.waiting[outcome.id]
        if self.outcomes is None:
            self.outcomes = deque()
        self.outcomes.append(outcome)
        self.notify()

    def notify(self) -> None:
        if self._notified is not None:
            self._notified.set()

    async def sleep(self) -> None:
        self._notified = anyio.Event()
        await self._notified.wait()


class Entry(msgspec.Struct, Generic[T], gc=False, eq=False):
    """An id that is waited for; `due` is when to poll it next, `inf` where it is not polled.

    Waiters are referenced weakly: a caller that drops its iterator has stopped waiting.  An entry is in no
    reference cycle, and the garbage collector, which stops the event loop, need not visit it.
    """

    waiters: "tuple[ref[Waiter[T]], ...]"
    state: State
    polls: int = 0
    due: float = inf

    def alive(self) -> list[Waiter[T]]:
        return [waiter for each in self.waiters if (waiter := each()) is not None]


class WaiterRegistry(Generic[T]):
    """The ids that are waited for.

    What is known of an id stands in its `Entry`.  The queue says which one to poll next: what is in it counts
    only where the entry agrees.
    """

    def __init__(self) -> None:
        self._waiters: WeakSet[Waiter[T]] = WeakSet()
        self.clear()

    def clear(self) -> None:
        self.entries: dict[str, Entry[T]] = {}
        self.counts: dict[State, int] = dict.fromkeys(State, 0)
        self._queue: list[tuple[float, str]] = []  # a heap
        self._dues_of_new = count(_FIRST_NEW)

    @property
    def is_deserted(self) -> bool:
        return not self._waiters

    @property
    def wants_changes(self) -> bool:
        """Return whether any waiter wants to know of every change."""
        return any(waiter.updates is not None for waiter in self._waiters)

    def join(
        self, waiter: Waiter[T], ids: Iterable[str], *, listed: bool = False, urgent: bool = True
    ) -> None:
        """Add a waiter for these ids, which is to be shown their state at once if it is `urgent`.

        `listed`: the lists are known to report their changes.
        """
        self._waiters.add(waiter)
        alone = (ref(waiter),)
        for id_ in ids:
            entry = self.entries.get(id_)
            if entry is None:
                entry = self.entries[id_] = Entry(alone, State.LISTED)
                self.counts[State.LISTED] += 1
                if not listed:
                    self.mark_unknown(id_, entry)
            else:
                entry.waiters += alone
                if entry.state is State.LISTED:  # a later waiter has to be shown the present state
                    self.mark_unknown(id_, entry)
                elif entry.polls > 0 and urgent:
                    self.poll_soon(id_)

    def leave(self, waiter: Waiter[T], ids: Iterable[str]) -> None:
        self._waiters.discard(waiter)
        for id_ in ids:
            entry = self.entries.get(id_)
            if entry is not None:
                self._keep(id_, entry, [each for each in entry.alive() if each is not waiter])

    def deliver(self, id_: str, item: T, *, listed: bool) -> bool:
        """Deliver an item to its waiters; return whether that ends the wait of any of them.

        What a list shows of something finished is not delivered to waiters that need the whole of it: it is
        polled.
        """
        entry = self.entries.get(id_)
        if entry is None:
            return False
        if listed and entry.state is not State.LISTED:
            self.mark(entry, State.LISTED)
        waiters = entry.alive()
        needing = [waiter for waiter in waiters if waiter.needs_poll(item)] if listed else []
        others = [waiter for waiter in waiters if not waiter.needs_poll(item)] if needing else waiters
        waiting = needing + [waiter for waiter in others if not waiter.deliver(id_, item)]
        self._keep(id_, entry, waiting)
        if needing:  # one poll serves them all
            self.mark(entry, State.EXPECTED)
            self.poll_soon(id_)
        return bool(needing) or len(waiting) < len(waiters)

    def fail(self, id_: str, error: PlanetError) -> None:
        entry = self.entries.get(id_)
        if entry is not None:
            self._keep(id_, entry, [])
            for waiter in entry.alive():
                waiter.fail(id_, error)

    def drop_deserted(self, id_: str, entry: Entry[T]) -> bool:
        """Forget an id whose waiters have all been dropped; return whether that was so."""
        deserted = entry.waiters[0]() is None and not entry.alive()
        if deserted:
            self._keep(id_, entry, [])
        return deserted

    def _keep(self, id_: str, entry: Entry[T], waiters: list[Waiter[T]]) -> None:
        if not waiters:
            del self.entries[id_]
            self.counts[entry.state] -= 1
        elif len(waiters) < len(entry.waiters):
            entry.waiters = tuple(map(ref, waiters))

    def mark(self, entry: Entry[T], state: State) -> None:
        """Follow an id in another way, which begins without a poll unless one is urgent."""
        self.counts[entry.state] -= 1
        self.counts[state] += 1
        entry.state = state
        if entry.due != URGENT:
            entry.due = inf

    def mark_unknown(self, id_: str, entry: Entry[T]) -> None:
        """Poll an id as soon as possible: nothing is known of it."""
        if entry.state is not State.NEW or entry.polls:
            self.mark(entry, State.NEW)
            entry.polls = 0
            self._poll_from(next(self._dues_of_new), id_, entry)

    def poll_soon(self, id_: str) -> bool:
        """Poll an id before all others; return whether a waiter needs it."""
        entry = self.entries.get(id_)
        if entry is not None:
            self._poll_from(URGENT, id_, entry)
        return entry is not None

    def schedule(self, id_: str, entry: Entry[T], due: float) -> None:
        entry.polls += 1
        self._poll_from(due, id_, entry)

    def _poll_from(self, due: float, id_: str, entry: Entry[T]) -> None:
        if entry.due != URGENT:  # as where it became so during its poll
            entry.due = due
            heapq.heappush(self._queue, (due, id_))

    def forget_new(self) -> None:
        """Poll none of those that nothing is known of: they are going to be looked for in lists."""
        self._queue = [queued for queued in self._queue if queued[0] >= 0 or queued[0] == URGENT]
        heapq.heapify(self._queue)

    def next_due(self) -> float:
        while self._queue:
            due, id_ = self._queue[0]
            entry = self.entries.get(id_)
            if entry is not None and entry.due == due:
                return due
            heapq.heappop(self._queue)
        return inf

    def take_due(self, now: float, most: int = POLLS_AT_ONCE) -> list[str]:
        taken: list[str] = []
        while len(taken) < most and self.next_due() <= now:
            id_ = heapq.heappop(self._queue)[1]
            self.entries[id_].due = inf
            taken.append(id_)
        return taken
