"""Waiting until things are finished: for one of them, or for many with no task for each."""

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from itertools import islice
from math import inf
from typing import TypeVar

import anyio
import anyio.lowlevel

from planet_async.errors import PlanetError, WaitTimeout
from planet_async.outcome import Outcome, chunks
from planet_async.waiting.poller import Poller
from planet_async.waiting.sweep import Identified

T = TypeVar("T", bound=Identified)

_AT_ONCE = 500  # ids; takes a millisecond or two: others have a right to the event loop
_MOMENT = 1e-6  # seconds; sums of floats are not exact


class WaitForMany(AsyncIterator[Outcome[T]]):
    """One outcome for each id, as they finish; whatever fails for one stops no other.

    Ids not finished in time end as a WaitTimeout; with a `timeout` of 0, those that one look, or a list, has
    shown unfinished, however long that takes.  All `ids` are read before anything is asked for: some at
    once, the others bit by bit.  Nothing runs while the caller holds an outcome, and this is no generator, so
    that leaving the loop is always safe.
    """

    def __init__(
        self,
        shared: Poller[T],
        ids: Iterable[str],
        finished: Callable[[T], bool],
        *,
        timeout: float | None = None,
        on_update: Callable[[T], None] | None = None,
        just_seen: bool = False,
    ) -> None:
        self._shared = shared
        self._just_seen = just_seen
        self._finished = finished
        self._timeout = timeout
        self._looks_once = timeout is not None and timeout <= 0
        self._deadline = shared.clock.monotonic() + timeout if timeout is not None and timeout > 0 else inf
        self._on_update = on_update
        self._ids = iter(ids)
        self._waiting: dict[str, None] = dict.fromkeys(islice(self._ids, _AT_ONCE))
        self._joining: Iterator[Sequence[str]] | None = None
        self._ended: deque[Outcome[T]] | None = None  # even an empty one weighs 760 bytes
        self._given = 0
        self._updates: deque[T] | None = None if on_update is None else deque()
        self._seen: T | None = None
        self._news: anyio.Event | None = None
        self.wants_changes = on_update is not None

    async def __anext__(self) -> Outcome[T]:
        await self._join()
        while not self._ended:
            left = self._deadline - self._shared.clock.monotonic()
            if not self._waiting:
                self.leave()
                raise StopAsyncIteration
            if left <= _MOMENT:
                self._give_up()
                await anyio.lowlevel.checkpoint()
            else:
                with self._shared.clock.move_on_after(left):
                    await self._shared.progress(self)
            while self._on_update is not None and self._updates:
                self._on_update(self._updates.popleft())
        self._given += 1
        if not self._given % _AT_ONCE:  # a hundred thousand may have ended at once
            await anyio.lowlevel.checkpoint()
        return self._ended.popleft()

    async def _join(self) -> None:
        while some := self._more_ids():
            self._waiting.update(some)
            await anyio.lowlevel.checkpoint()
        self._joining = self._joining or chunks([*self._waiting], _AT_ONCE)
        for part in self._joining:
            self._shared.join(self, part, just_seen=self._just_seen)
            await anyio.lowlevel.checkpoint()

    def _more_ids(self) -> dict[str, None]:
        try:
            return dict.fromkeys(islice(self._ids, _AT_ONCE))
        except BaseException:
            self._waiting.clear()  # one of them is wrong: none is waited for
            raise

    def leave(self) -> None:
        """Stop waiting."""
        self._shared.leave(self, self._waiting)
        self._waiting.clear()

    def _give_up(self) -> None:
        """Stop waiting for some; the others follow when the caller has taken the outcomes of these."""
        some = [*islice(self._waiting, _AT_ONCE)]
        self._shared.leave(self, some)
        for id_ in some:
            del self._waiting[id_]
            self._add(Outcome(id_, error=_too_long(id_, self._timeout)))

    # What `Poller` says to a waiter

    @property
    def is_ready(self) -> bool:
        """It has something to tell its caller, or nothing left to wait for."""
        return bool(self._ended or self._updates or not self._waiting)

    def show(self, id_: str, thing: T) -> bool:
        """Take what a look or a list has shown; tell whether that is the end of waiting for it."""
        if self._updates is not None and thing != self._seen:
            self._seen = thing
            self._updates.append(thing)
            self.wake()
        if self._finished(thing):
            self._end(Outcome(id_, thing))
        elif self._looks_once:
            self._end(Outcome(id_, error=_too_long(id_, self._timeout)))
        else:
            return False
        return True

    def fail(self, id_: str, error: PlanetError) -> None:
        """Take the error that ends the waiting for it."""
        self._end(Outcome(id_, error=error))

    def _end(self, outcome: Outcome[T]) -> None:
        del self._waiting[outcome.id]
        self._add(outcome)
        self.wake()

    def _add(self, outcome: Outcome[T]) -> None:
        if self._ended is None:
            self._ended = deque()
        self._ended.append(outcome)

    def wake(self) -> None:
        """End the `rest`."""
        if self._news is not None:
            self._news.set()

    async def rest(self) -> None:
        """Wait until woken."""
        self._news = anyio.Event()
        await self._news.wait()


async def wait_for(
    shared: Poller[T],
    id_: str,
    finished: Callable[[T], bool],
    *,
    timeout: float | None = None,
    on_update: Callable[[T], None] | None = None,
    just_seen: bool = False,
) -> T:
    """Wait for one thing; `on_update` gets what was seen whenever that has changed.

    `just_seen`: it was not finished a moment ago, which may save a request.
    """
    waiter = WaitForMany(shared, [id_], finished, timeout=timeout, on_update=on_update, just_seen=just_seen)
    try:
        return (await anext(waiter)).unwrap()
    finally:
        waiter.leave()


def _too_long(id_: str, timeout: float | None) -> WaitTimeout:
    return WaitTimeout(
        f"{id_} was not finished after {timeout:g} s" if timeout is not None else f"{id_} was not finished",
        hint="It goes on at the service; wait again with the same id.",
    )
