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


class _Waiting(Waiter[T]):
    """A waiter that joins a poller.

    All `ids` are read before the first request: some at once, the others bit by bit.  With a `timeout` of 0,
    those end that one poll, or a list, has shown unfinished, however long that takes.  `just_seen`: none was
    finished a moment ago, which may save requests.
    """

    def __init__(
        self,
        poller: Poller[T],
        ids: Iterable[str],
        finished: Callable[[T], bool],
        *,
        timeout: float | None,
        wants_changes: bool,
        whole: bool,
        just_seen: bool = False,
    ) -> None:
        self._ids = iter(ids)
        first = islice(self._ids, _AT_ONCE)
        super().__init__(first, finished, timeout=timeout, wants_changes=wants_changes, whole=whole)
        self._poller = poller
        self._just_seen = just_seen
        self._deadline = poller.clock.monotonic() + timeout if timeout is not None and timeout > 0 else inf
        self._joining: Iterator[Sequence[str]] | None = None

    async def join(self) -> None:
        while more := self._more_ids():
            self.waiting.update(more)
            await anyio.lowlevel.checkpoint()
        self._joining = self._joining or chunks([*self.waiting], _AT_ONCE)
        for ids in self._joining:
            self._poller.join(self, ids, just_seen=self._just_seen)
            await anyio.lowlevel.checkpoint()

    async def progress(self) -> None:
        """Return once there is something to take, where anything is left to wait for."""
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


class WaitForMany(_Waiting[T], AsyncIterator[Outcome[T]]):
    """One outcome for each id, as they finish; an error of one stops no other.

    Ids not finished in time end as a WaitTimeout.  Nothing runs while the caller holds an outcome, and this
    is no generator, so that leaving the loop is always safe.
    """

    def __init__(
        self,
        poller: Poller[T],
        ids: Iterable[str],
        finished: Callable[[T], bool],
        *,
        timeout: float | None = None,
        on_update: Callable[[T], object] | None = None,
        whole: bool = False,
        just_seen: bool = False,
    ) -> None:
        super().__init__(
            poller,
            ids,
            finished,
            timeout=timeout,
            wants_changes=on_update is not None,
            whole=whole,
            just_seen=just_seen,
        )
        self._on_update = on_update
        self._yielded = 0

    async def __anext__(self) -> Outcome[T]:
        await self.join()
        while not self.outcomes:
            await self.progress()
            while self._on_update is not None and self.updates:
                returned = self._on_update(self.updates.popleft())
                if isawaitable(returned):
                    await returned
        self._yielded += 1
        if not self._yielded % _AT_ONCE:  # a hundred thousand may have ended at once
            await anyio.lowlevel.checkpoint()
        return self.outcomes.popleft()


class Watch(_Waiting[T], AsyncIterator[T]):
    """The state of one id now, and then each change of it, until it is finished.

    An error ends it, and so does the timeout.  As with `WaitForMany`, leaving the loop is always safe.
    """

    def __init__(
        self,
        poller: Poller[T],
        id_: str,
        finished: Callable[[T], bool],
        *,
        timeout: float | None = None,
        whole: bool = False,
    ) -> None:
        super().__init__(poller, [id_], finished, timeout=timeout, wants_changes=True, whole=whole)

    async def __anext__(self) -> T:
        await self.join()
        while not self.updates:
            while self.outcomes:
                self.outcomes.popleft().unwrap()  # raises its error
            await self.progress()
        return self.updates.popleft()


async def wait_for(
    poller: Poller[T],
    id_: str,
    finished: Callable[[T], bool],
    *,
    timeout: float | None = None,
    on_update: Callable[[T], object] | None = None,
    whole: bool = False,
    just_seen: bool = False,
) -> T:
    """Wait for one id; `on_update`, which may be async, is called when what was seen has changed."""
    waiter = WaitForMany(
        poller, [id_], finished, timeout=timeout, on_update=on_update, whole=whole, just_seen=just_seen
    )
    try:
        return (await anext(waiter)).unwrap()
    finally:
        waiter.leave()
