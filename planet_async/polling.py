"""Waiting until things are finished: for one of them, or for many with no task for each."""

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from math import inf
from typing import TypeVar

import anyio
import anyio.lowlevel

from planet_async.bulk import Outcome, chunks
from planet_async.errors import PlanetError, WaitTimeout
from planet_async.waiting.roll_call import Identified
from planet_async.waiting.shared import SharedWait

T = TypeVar("T", bound=Identified)

_JOINED_AT_ONCE = 2000  # takes a millisecond or two: others have a right to the event loop
_MOMENT = 1e-6  # seconds; sums of floats are not exact


class WaitForMany(AsyncIterator[Outcome[T]]):
    """One outcome for each id, as they finish; whatever fails for one stops no other.

    Ids not finished in time end as a WaitTimeout.  Nothing runs while the caller holds an outcome, and this
    is no generator, so that leaving the loop is always safe.
    """

    def __init__(
        self,
        shared: SharedWait[T],
        ids: Iterable[str],
        finished: Callable[[T], bool],
        *,
        timeout: float | None = None,
        on_update: Callable[[T], None] | None = None,
    ) -> None:
        self._shared = shared
        self._finished = finished
        self._timeout = timeout
        self._deadline = inf if timeout is None else shared.clock.monotonic() + timeout
        self._on_update = on_update
        self._waiting = dict.fromkeys(ids)
        self._joining = chunks([*self._waiting], _JOINED_AT_ONCE)
        self._ended: deque[Outcome[T]] = deque()
        self._updates: deque[T] = deque()
        self._seen: T | None = None
        self._news: anyio.Event | None = None
        self.wants_changes = on_update is not None

    async def __anext__(self) -> Outcome[T]:
        for part in self._joining:
            self._shared.join(self, part)
            await anyio.lowlevel.checkpoint()
        while not self._ended:
            left = self._deadline - self._shared.clock.monotonic()
            if not self._waiting:
                self.leave()
                raise StopAsyncIteration
            if left <= _MOMENT:
                self._give_up()
            else:
                with self._shared.clock.move_on_after(left):
                    await self._shared.progress(self)
            while self._on_update is not None and self._updates:
                self._on_update(self._updates.popleft())
        return self._ended.popleft()

    def leave(self) -> None:
        """Stop waiting."""
        self._shared.leave(self, self._waiting)
        self._waiting.clear()

    def _give_up(self) -> None:
        for id_ in self._waiting:
            self._ended.append(Outcome(id_, error=_too_long(id_, self._timeout)))
        self.leave()

    # What `SharedWait` says to a waiter

    @property
    def is_ready(self) -> bool:
        """It has something to tell its caller, or nothing left to wait for."""
        return bool(self._ended or self._updates or not self._waiting)

    def show(self, id_: str, thing: T) -> bool:
        """Take what a look or a list has shown; tell whether that is the end of waiting for it."""
        if self._on_update is not None and thing != self._seen:
            self._seen = thing
            self._updates.append(thing)
            self.wake()
        if not self._finished(thing):
            return False
        self._end(Outcome(id_, thing))
        return True

    def fail(self, id_: str, error: PlanetError) -> None:
        """Take the error that ends the waiting for it."""
        self._end(Outcome(id_, error=error))

    def _end(self, outcome: Outcome[T]) -> None:
        del self._waiting[outcome.id]
        self._ended.append(outcome)
        self.wake()

    def wake(self) -> None:
        """End the `rest`."""
        if self._news is not None:
            self._news.set()

    async def rest(self) -> None:
        """Wait until woken."""
        self._news = anyio.Event()
        await self._news.wait()


async def wait_for(
    shared: SharedWait[T],
    id_: str,
    finished: Callable[[T], bool],
    *,
    timeout: float | None = None,
    on_update: Callable[[T], None] | None = None,
) -> T:
    """Wait for one thing; `on_update` gets what was seen whenever that has changed."""
    waiter = WaitForMany(shared, [id_], finished, timeout=timeout, on_update=on_update)
    try:
        return (await anext(waiter)).unwrap()
    finally:
        waiter.leave()


def _too_long(id_: str, timeout: float | None) -> WaitTimeout:
    return WaitTimeout(
        f"{id_} was not finished after {timeout:g} s" if timeout is not None else f"{id_} was not finished",
        hint="It goes on at the service; wait again with the same id.",
    )
