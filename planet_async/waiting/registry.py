"""`WaiterRegistry`: who waits for which id, and how the id is followed."""

import heapq
from collections import deque
from collections.abc import Iterable
from enum import Enum, auto
from math import inf
from typing import Generic, Protocol, TypeVar
from weakref import WeakSet, ref

import msgspec

from planet_async.errors import PlanetError

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)

POLLS_AT_ONCE = 10

_URGENT = -inf  # as `due`: before everything else
_AS_SOON_AS_POSSIBLE = 0.0


class Waiter(Protocol[T_contra]):
    """A caller that waits for one id or many; `wants_changes`: for every change, not only the end."""

    wants_changes: bool

    @property
    def is_ready(self) -> bool:
        """Whether there is something to return to the caller, or nothing left to wait for."""
        ...

    def deliver(self, id_: str, item: T_contra) -> bool:
        """Take what a poll or a list shows; return whether that ends the wait for this id."""
        ...

    def fail(self, id_: str, error: PlanetError) -> None:
        """Take the error that ends the wait for this id."""
        ...

    def notify(self) -> None:
        """End `sleep`."""
        ...

    async def sleep(self) -> None:
        """Wait until notified."""
        ...


class State(Enum):
    """How an id is followed: see `planet_async.waiting.poller`."""

    NEW = auto()
    EXPECTED = auto()
    LISTED = auto()
    UNLISTED = auto()


class Entry(msgspec.Struct, Generic[T], gc=False, eq=False):
    """An id that is waited for; `due` is when to poll it next, `inf` where it is not polled.

    Waiters are referenced weakly: a caller that drops its iterator has stopped waiting.  An entry is in no
    reference cycle, and the garbage collector, which stops the event loop, need not visit it.
    """

    waiters: "tuple[ref[Waiter[T]], ...]"
    state: State = State.LISTED
    polls: int = 0
    due: float = inf

    def alive(self) -> list[Waiter[T]]:
        """Return the waiters that have not been dropped."""
        return [waiter for each in self.waiters if (waiter := each()) is not None]


class WaiterRegistry(Generic[T]):
    """The ids that are waited for.

    What is known of an id stands in its `Entry`.  The two queues say where to look for the next one to poll:
    an id in a queue counts only where its entry agrees.
    """

    def __init__(self) -> None:
        self._waiters: WeakSet[Waiter[T]] = WeakSet()
        self._wanting_changes: WeakSet[Waiter[T]] = WeakSet()
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.entries: dict[str, Entry[T]] = {}
        self.counts = dict.fromkeys(State, 0)
        self._new = deque[str]()
        self._later: list[tuple[float, str]] = []  # a heap

    @property
    def is_deserted(self) -> bool:
        """Whether nobody waits."""
        return not self._waiters

    @property
    def wants_changes(self) -> bool:
        """Whether any waiter wants to know of every change."""
        return bool(self._wanting_changes)

    def join(self, waiter: Waiter[T], ids: Iterable[str], *, listed: bool = False) -> None:
        """Let a waiter wait for these; `listed`: the lists are known to report their changes."""
        self._waiters.add(waiter)
        if waiter.wants_changes:
            self._wanting_changes.add(waiter)
        alone = (ref(waiter),)
        for id_ in ids:
            entry = self.entries.get(id_)
            if entry is None:
                entry = self.entries[id_] = Entry(alone)
                self.counts[entry.state] += 1
                if not listed:
                    self.mark_unknown(id_, entry)
            else:
                entry.waiters += alone
                if entry.state is State.LISTED:  # a later waiter has to be shown the present state
                    self.mark_unknown(id_, entry)
                elif entry.polls > 0:
                    self.poll_soon(id_)

    def leave(self, waiter: Waiter[T], ids: Iterable[str]) -> None:
        """End a waiter's waiting for these."""
        self._waiters.discard(waiter)
        self._wanting_changes.discard(waiter)
        for id_ in ids:
            entry = self.entries.get(id_)
            if entry is not None:
                self._keep(id_, entry, [each for each in entry.alive() if each is not waiter])

    def deliver(self, id_: str, item: T, *, listed: bool) -> bool:
        """Deliver an item to those who wait for it; return whether that ended the wait of any of them."""
        entry = self.entries.get(id_)
        if entry is None:
            return False
        if listed and entry.state is not State.LISTED:
            self.mark_listed(entry)
        waiters = entry.alive()
        waiting = [waiter for waiter in waiters if not waiter.deliver(id_, item)]
        self._keep(id_, entry, waiting)
        return len(waiting) < len(waiters)

    def fail(self, id_: str, error: PlanetError) -> None:
        """End the waiting for an id with an error."""
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

    # How an id is followed

    def mark_unknown(self, id_: str, entry: Entry[T]) -> None:
        """Poll it as soon as possible: nothing is known of it."""
        if entry.state is not State.NEW or entry.polls:
            self._enter(entry, State.NEW)
            entry.polls = 0
            if entry.due != _URGENT:
                entry.due = _AS_SOON_AS_POSSIBLE
                self._new.append(id_)

    def mark_expected(self, entry: Entry[T]) -> None:
        """Rely on the lists to show it, for now."""
        self._enter(entry, State.EXPECTED)

    def mark_listed(self, entry: Entry[T]) -> None:
        """Rely on the lists to report its changes."""
        self._enter(entry, State.LISTED)

    def mark_unlisted(self, entry: Entry[T]) -> None:
        """Rely on polling alone."""
        self._enter(entry, State.UNLISTED)

    def _enter(self, entry: Entry[T], state: State) -> None:
        self.counts[entry.state] -= 1
        self.counts[state] += 1
        entry.state = state
        if entry.due != _URGENT:
            entry.due = inf

    # When an id is polled

    def poll_soon(self, id_: str) -> bool:
        """Have it polled before all others; return whether anybody waits for it."""
        entry = self.entries.get(id_)
        if entry is not None and entry.due != _URGENT:
            entry.due = _URGENT
            heapq.heappush(self._later, (_URGENT, id_))
        return entry is not None

    def schedule(self, id_: str, entry: Entry[T], due: float) -> None:
        """Have it polled at that moment."""
        entry.polls += 1
        if entry.due != _URGENT:  # it was asked for during the poll
            entry.due = due
            heapq.heappush(self._later, (due, id_))

    def forget_new(self) -> None:
        """Empty the queue of the new: a reconciliation takes them up."""
        self._new.clear()

    def next_due(self) -> float:
        """Return when the next poll is due, of ids that are not new."""
        while self._later and not self._is_due(*self._later[0]):
            heapq.heappop(self._later)
        return self._later[0][0] if self._later else inf

    def _is_due(self, due: float, id_: str) -> bool:
        entry = self.entries.get(id_)
        return entry is not None and entry.due == due

    def take_urgent(self, most: int = POLLS_AT_ONCE) -> list[str]:
        """Return some ids that are to be polled before all others."""
        return self._take_until(_URGENT, most)

    def take_due(self, now: float) -> list[str]:
        """Return some ids that are to be polled now: the new ones first."""
        taken: list[str] = []
        while self._new and len(taken) < POLLS_AT_ONCE:
            id_ = self._new.popleft()
            entry = self.entries.get(id_)
            if entry is not None and entry.state is State.NEW and entry.due == _AS_SOON_AS_POSSIBLE:
                entry.due = inf
                taken.append(id_)
        return taken + self._take_until(now, POLLS_AT_ONCE - len(taken))

    def _take_until(self, moment: float, most: int) -> list[str]:
        taken: list[str] = []
        while self._later and self._later[0][0] <= moment and len(taken) < most:
            due, id_ = heapq.heappop(self._later)
            if self._is_due(due, id_):
                self.entries[id_].due = inf
                taken.append(id_)
        return taken
