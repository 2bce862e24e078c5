"""`WaitingRoom`: who waits for what, and which of it is to be looked at."""

import heapq
from collections import deque
from collections.abc import Iterable
from math import inf
from typing import Generic, Protocol, TypeVar
from weakref import WeakSet, ref

from attrs import define

from planet_async.errors import PlanetError

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)

_AT_ONCE = 10  # looks under way at a time


class Waiter(Protocol[T_contra]):
    """Somebody who waits, for one thing or for many; `wants_changes`: for all changes, not the end only."""

    wants_changes: bool

    @property
    def is_ready(self) -> bool:
        """It has something to tell its caller, or nothing left to wait for."""
        ...

    def show(self, id_: str, thing: T_contra) -> bool:
        """Take what a look or a list has shown; tell whether that is the end of waiting for it."""
        ...

    def fail(self, id_: str, error: PlanetError) -> None:
        """Take the error that ends the waiting for it."""
        ...

    def wake(self) -> None:
        """End the `rest`."""
        ...

    async def rest(self) -> None:
        """Wait until woken."""
        ...


@define(eq=False)
class Entry(Generic[T]):
    """A thing that is waited for.  Waiters are held weakly: who drops one has stopped waiting.

    `listed`: the lists will tell of it (True), do not have it (False), or that is not known (None).
    """

    waiters: "tuple[ref[Waiter[T]], ...]"
    listed: bool | None = None
    urgent: bool = False
    looks: int = 0
    due: float = inf

    def alive(self) -> list[Waiter[T]]:
        """Give those who still wait."""
        return [waiter for each in self.waiters if (waiter := each()) is not None]


class WaitingRoom(Generic[T]):
    """The things that are waited for, by id."""

    def __init__(self) -> None:
        self._waiters: WeakSet[Waiter[T]] = WeakSet()
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.entries: dict[str, Entry[T]] = {}
        self.unlisted: dict[str, None] = {}  # those of which it is not known whether the lists have them
        self._urgent = deque[str]()
        self._new = deque[str]()
        self._later: list[tuple[float, str]] = []  # a heap; only `due` of the entry counts

    @property
    def is_deserted(self) -> bool:
        """Nobody waits."""
        return not self._waiters

    @property
    def wants_changes(self) -> bool:
        """Somebody wants to hear of every change."""
        return any(waiter.wants_changes for waiter in self._waiters)

    def join(self, waiter: Waiter[T], ids: Iterable[str]) -> None:
        """Let somebody wait for these."""
        self._waiters.add(waiter)
        alone = (ref(waiter),)
        for id_ in ids:
            entry = self.entries.get(id_)
            if entry is None:
                entry = self.entries[id_] = Entry(alone)
                self.doubt(id_, entry)
            else:
                entry.waiters += alone
                if entry.listed:  # who comes later has to hear how it stands
                    self.doubt(id_, entry)
                elif entry.looks > 0:
                    self.hurry(id_)

    def leave(self, waiter: Waiter[T], ids: Iterable[str]) -> None:
        """Let somebody wait for these no longer."""
        self._waiters.discard(waiter)
        for id_ in ids:
            entry = self.entries.get(id_)
            if entry is not None:
                self._keep(id_, entry, [each for each in entry.alive() if each is not waiter])

    def show(self, id_: str, thing: T, *, listed: bool) -> bool:
        """Show a thing to those who wait for it; tell whether that was the end of it for any of them."""
        entry = self.entries.get(id_)
        if entry is None:
            return False
        if listed and not entry.listed:
            self.trust(id_, entry)
        waiters = entry.alive()
        waiting = [waiter for waiter in waiters if not waiter.show(id_, thing)]
        self._keep(id_, entry, waiting)
        return len(waiting) < len(waiters)

    def fail(self, id_: str, error: PlanetError) -> None:
        """End the waiting for a thing with an error."""
        entry = self.entries.pop(id_, None)
        self.unlisted.pop(id_, None)
        for waiter in entry.alive() if entry is not None else ():
            waiter.fail(id_, error)

    def drop_abandoned(self) -> None:
        """Forget the things whose waiters are gone."""
        gone = [id_ for id_, entry in self.entries.items() if entry.waiters[0]() is None]
        abandoned = [id_ for id_ in gone if not self.entries[id_].alive()]
        for id_ in abandoned:
            self._keep(id_, self.entries[id_], [])

    def _keep(self, id_: str, entry: Entry[T], waiters: list[Waiter[T]]) -> None:
        if not waiters:
            del self.entries[id_]
            self.unlisted.pop(id_, None)
        elif len(waiters) < len(entry.waiters):
            entry.waiters = tuple(map(ref, waiters))

    def trust(self, id_: str, entry: Entry[T]) -> None:
        """Rely on the lists to tell of it."""
        entry.listed = True
        self.unlisted.pop(id_, None)

    def doubt(self, id_: str, entry: Entry[T]) -> None:
        """Take it for new: nothing is known of it."""
        entry.listed, entry.looks = None, 0
        if id_ not in self.unlisted:
            self.unlisted[id_] = None
            self._new.append(id_)

    def call_off(self) -> None:
        """Do not look at what is new: the lists are going to be asked."""
        self._new.clear()
        self.unlisted.clear()

    def hurry(self, id_: str) -> bool:
        """Have it looked at before all else; False where nobody waits for it."""
        entry = self.entries.get(id_)
        if entry is not None and not entry.urgent:
            entry.urgent = True
            self._urgent.append(id_)
        return entry is not None

    def postpone(self, id_: str, entry: Entry[T], due: float) -> None:
        """Have it looked at then."""
        entry.looks += 1
        entry.due = due
        heapq.heappush(self._later, (due, id_))

    def next_due(self) -> float:
        """Give the moment when something is to be looked at."""
        while self._later and not self._is_due_at(*self._later[0]):
            heapq.heappop(self._later)
        return self._later[0][0] if self._later else inf

    def _is_due_at(self, due: float, id_: str) -> bool:
        entry = self.entries.get(id_)
        return entry is not None and entry.due == due and not entry.listed

    def take_urgent(self) -> list[str]:
        """Give some of what is to be looked at before all else."""
        return self._take(self._urgent, urgent=True)

    def take_due(self, now: float) -> list[str]:
        """Give some of what is to be looked at now: what is new, and what has been postponed until now."""
        some = self._take(self._new, urgent=False)
        while len(some) < _AT_ONCE and self.next_due() <= now:
            some.append(heapq.heappop(self._later)[1])
        return some

    def _take(self, queue: deque[str], *, urgent: bool) -> list[str]:
        some: list[str] = []
        while queue and len(some) < _AT_ONCE:
            id_ = queue.popleft()
            entry = self.entries.get(id_)
            if entry is not None and (entry.urgent if urgent else entry.listed is None and entry.looks == 0):
                entry.urgent = False
                some.append(id_)
        return some
