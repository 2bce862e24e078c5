"""`WaiterRegistry`: who waits for what, and which of it is to be looked at."""

import heapq
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from math import inf
from typing import Generic, Protocol, TypeVar
from weakref import WeakSet, ref

import msgspec

from planet_async.errors import PlanetError

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)

AT_ONCE = 10  # looks under way at a time


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


class Entry(msgspec.Struct, Generic[T], gc=False, eq=False):
    """A thing that is waited for.  Waiters are held weakly: who drops one has stopped waiting.

    `listed`: the lists will tell of it (True), do not have it (False), or that is not known (None).
    It is in no circle, and so no burden to the collector of garbage, which stops the event loop.
    """

    waiters: "tuple[ref[Waiter[T]], ...]"
    listed: bool | None = None
    looks: int = 0
    due: float = inf

    def alive(self) -> list[Waiter[T]]:
        """Give those who still wait."""
        return [waiter for each in self.waiters if (waiter := each()) is not None]


class WaiterRegistry(Generic[T]):
    """The things that are waited for, by id."""

    def __init__(self) -> None:
        self._waiters: WeakSet[Waiter[T]] = WeakSet()
        self._watchers: WeakSet[Waiter[T]] = WeakSet()  # those of them who want to hear of changes
        self.arrivals = 0  # of things of which nothing is known
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.entries: dict[str, Entry[T]] = {}
        self.unlisted = set[str]()  # those of which it is not known whether the lists have them
        self._urgent: dict[str, None] = {}
        self._new = deque[str]()
        self._later: list[tuple[float, str]] = []  # a heap; only `due` of the entry counts

    @property
    def is_deserted(self) -> bool:
        """Nobody waits."""
        return not self._waiters

    @property
    def wants_changes(self) -> bool:
        """Somebody wants to hear of every change."""
        return bool(self._watchers)

    @property
    def postponed(self) -> int:
        """About so many things are to be looked at later."""
        return len(self._later)

    def join(self, waiter: Waiter[T], ids: Iterable[str], *, listed: bool = False) -> None:
        """Let somebody wait for these; `listed`: the lists will tell of them, as far as is known."""
        self._waiters.add(waiter)
        if waiter.wants_changes:
            self._watchers.add(waiter)
        alone = (ref(waiter),)
        for id_ in ids:
            entry = self.entries.get(id_)
            if entry is None:
                entry = self.entries[id_] = Entry(alone)
                if listed:
                    entry.listed = True
                else:
                    self.mark_unknown(id_, entry)
            else:
                entry.waiters += alone
                if entry.listed:  # who comes later has to hear how it stands
                    self.mark_unknown(id_, entry)
                elif entry.looks > 0:
                    self.poll_soon(id_)

    def leave(self, waiter: Waiter[T], ids: Iterable[str]) -> None:
        """Let somebody wait for these no longer."""
        self._waiters.discard(waiter)
        self._watchers.discard(waiter)
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
            self.mark_listed(id_, entry)
        waiters = entry.alive()
        waiting = [waiter for waiter in waiters if not waiter.show(id_, thing)]
        self._keep(id_, entry, waiting)
        return len(waiting) < len(waiters)

    def fail(self, id_: str, error: PlanetError) -> None:
        """End the waiting for a thing with an error."""
        entry = self.entries.pop(id_, None)
        self.unlisted.discard(id_)
        for waiter in entry.alive() if entry is not None else ():
            waiter.fail(id_, error)

    def expected(self, ids: Iterable[str]) -> Iterator[str]:
        """Give those of these that lists may have; forget those whose waiters are gone."""
        for id_ in ids:
            entry = self.entries.get(id_)
            if entry is None:
                continue
            if entry.waiters[0]() is None and not entry.alive():
                self._keep(id_, entry, [])
            elif entry.listed is not False:
                yield id_

    def _keep(self, id_: str, entry: Entry[T], waiters: list[Waiter[T]]) -> None:
        if not waiters:
            del self.entries[id_]
            self.unlisted.discard(id_)
        elif len(waiters) < len(entry.waiters):
            entry.waiters = tuple(map(ref, waiters))

    def mark_listed(self, id_: str, entry: Entry[T]) -> None:
        """Rely on the lists to tell of it."""
        entry.listed = True
        self.unlisted.discard(id_)

    def mark_unknown(self, id_: str, entry: Entry[T]) -> None:
        """Take it for new: nothing is known of it."""
        entry.listed, entry.looks = None, 0
        if id_ not in self.unlisted:
            self.arrivals += 1
            self.unlisted.add(id_)
            self._new.append(id_)

    def call_off(self) -> None:
        """Do not look at what is new: the lists are going to be asked."""
        self._new.clear()
        self.unlisted.clear()

    def poll_soon(self, id_: str) -> bool:
        """Have it looked at before all else; False where nobody waits for it."""
        if id_ not in self.entries:
            return False
        self._urgent[id_] = None
        return True

    def schedule(self, id_: str, entry: Entry[T], due: float) -> None:
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

    def take_urgent(self, most: int = AT_ONCE) -> list[str]:
        """Give some of what is to be looked at before all else."""
        some = [*islice(self._urgent, most)]
        for id_ in some:
            del self._urgent[id_]
        return [id_ for id_ in some if id_ in self.entries]

    def take_due(self, now: float) -> list[str]:
        """Give some of what is to be looked at now: what is new, and what has been postponed until now."""
        some: list[str] = []
        while self._new and len(some) < AT_ONCE:
            id_ = self._new.popleft()
            entry = self.entries.get(id_)
            if entry is not None and entry.listed is None and entry.looks == 0:
                some.append(id_)
        while len(some) < AT_ONCE and self.next_due() <= now:
            some.append(heapq.heappop(self._later)[1])
        return some
