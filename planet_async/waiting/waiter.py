"""Waiting for one id, or for many with no task for each."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from inspect import isawaitable
from itertools import islice
from math import inf
from typing import TypeVar

import anyio
import anyio.lowlevel

from planet_async.outcome import Identified, Outcome, chunks
from planet_async.waiting.poller import Poller
from planet_async.waiting.registry import Waiter

T = TypeVar("T", bound=Identified)

_AT_ONCE = 500  # ids; takes a millisecond or two: other tasks need the event loop, too
_MOMENT = 1e-6  # seconds; sums of floats are not exact


class WaitForMany(Waiter[T], AsyncIterator[Outcome[T]]):
    """One outcome for each id, as they finish; an error of one stops no other.

    Ids not finished in time end as a WaitTimeout; with a `timeout` of 0, those that one poll, or a list, has
    shown unfinished, however long that takes.  All `ids` are read before the first request: some at once, the
    others bit by bit.  Nothing runs while the caller holds an outcome, and this is no generator, so that
    leaving the loop is always safe.  `just_seen`: none was finished a moment ago, which may save requests.
    """

    def __init__(
        self,
        poller: Poller[T],
        ids: Iterable[str],
        finished: Callable[[T], bool],
        *,
        timeout: float | None = None,
        on_update: Callable[[T], object] | None = None,
        just_seen: bool = False,
    ) -> None:
        self._ids = iter(ids)
        first = islice(self._ids, _AT_ONCE)
        super().__init__(first, finished, timeout=timeout, wants_changes=on_update is not None)
        self._poller = poller
        self._just_seen = just_seen
        self._deadline = poller.clock.monotonic() + timeout if timeout is not None and timeout > 0 else inf
        self._on_update = on_update
        self._joining: Iterator[Sequence[str]] | None = None
        self._yielded = 0

    async def __anext__(self) -> Outcome[T]:
        await self._join()
        while not self.outcomes:
            left = self._deadline - self._poller.clock.monotonic()
            if not self.waiting:
                self.leave()
                raise StopAsyncIteration
            if left <= _MOMENT:
                self._time_out_some()
                await anyio.lowlevel.checkpoint()
            else:
                with self._poller.clock.move_on_after(left):
                    await self._poller.progress(self)
            while self._on_update is not None and self.updates:
                returned = self._on_update(self.updates.popleft())
                if isawaitable(returned):
                    await returned
        self._yielded += 1
        if not self._yielded % _AT_ONCE:  # a hundred thousand may have ended at once
            await anyio.lowlevel.checkpoint()
        return self.outcomes.popleft()

    async def _join(self) -> None:
        while more := self._more_ids():
            self.waiting.update(more)
            await anyio.lowlevel.checkpoint()
        self._joining = self._joining or chunks([*self.waiting], _AT_ONCE)
        for ids in self._joining:
            self._poller.join(self, ids, just_seen=self._just_seen)
            await anyio.lowlevel.checkpoint()

    def _more_ids(self) -> dict[str, None]:
        try:
            return dict.fromkeys(islice(self._ids, _AT_ONCE))
        except BaseException:
            self.waiting.clear()  # one of them is wrong: none is waited for
            raise

    def leave(self) -> None:
        self._poller.leave(self, self.waiting)
        self.waiting.clear()

    def _time_out_some(self) -> None:
        """Stop waiting for some; the others follow when the caller has taken the outcomes of these."""
        ids = [*islice(self.waiting, _AT_ONCE)]
        self._poller.leave(self, ids)
        for id_ in ids:
            self.time_out(id_)


async def wait_for(
    poller: Poller[T],
    id_: str,
    finished: Callable[[T], bool],
    *,
    timeout: float | None = None,
    on_update: Callable[[T], object] | None = None,
    just_seen: bool = False,
) -> T:
    """Wait for one id; `on_update`, which may be async, is called when what was seen has changed."""
    waiter = WaitForMany(poller, [id_], finished, timeout=timeout, on_update=on_update, just_seen=just_seen)
    try:
        return (await anext(waiter)).unwrap()
    finally:
        waiter.leave()
