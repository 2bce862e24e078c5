"""`write_behind`: what arrives goes to threads in large batches, while the next one arrives."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import SimpleQueue

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup
from attrs import define, field

from planet_async._background import cut_short
from planet_async._threads import caller_of_the_loop, in_thread
from planet_async.body import Body
from planet_async.errors import PlanetError

_HELD = 5 << 19  # bytes of the batches of all files under way together
_LEAST = 1 << 16  # bytes of a batch: for less, going to a thread and back takes longer than writing
_REST = 16  # a batch is gone with when so small a part of it is free: to read a little costs as much as a lot

Take = Callable[[memoryview], None]


async def write_behind(
    source: Body,
    takers: Sequence[Take],
    told: Callable[[int], None],
    *,
    at_once: int = 1,
    most: int | None = None,
) -> None:
    """Hand all that arrives to each of `takers`, in order, in batches; `told` hears the bytes as they come.

    However it ends, what `told` has heard of has been taken by then, and no thread is at work.  `at_once` is
    how many do this side by side: the more, the smaller the batches; one alone has a thread for each taker.
    What brings more than `most` bytes is not read on.  Raises what reading, a taker and `told` raise.
    """
    alone = at_once == 1  # one of many need not be read on while it is written: the others are
    writer = _Writer([[taker] for taker in takers] if alone else [takers])
    size = max(_LEAST, _HELD // (2 if alone else at_once))
    if most is not None:
        size = min(size, max(most, 0) + 1)
    memory = memoryview(bytearray(size))  # takes none before it is used
    other = memoryview(bytearray(size)) if alone else memory
    failure: BaseException | None = None
    filled = received = 0
    # No error leaves the group as such, for it would be wrapped.
    with writer.counted:
        async with anyio.create_task_group() as group:
            try:
                while count := await source.read_into(memory[filled:]):
                    filled += count
                    if filled > size - size // _REST:
                        before = writer.last
                        writer.take(group, memory[:filled])
                        memory, other, filled = other, memory, 0
                        await (before if alone else writer.last).taken.wait()
                        if writer.failure is not None:
                            break
                    told(count)
                    received += count
                    if most is not None and received > most:
                        break
            except Exception as error:  # noqa: BLE001 - raised below
                failure = error
            finally:
                writer.take(group, memory[:filled])
                writer.end()
    failure, writer.failure = writer.failure or failure, None
    if failure is None and group.cancel_scope.cancel_called:
        failure = cut_short()
    if failure is not None:
        try:
            raise failure
        finally:
            failure = None  # it keeps this frame, and the batches


@define(eq=False)
class _Batch:
    content: memoryview
    missing: int  # threads that have not taken it
    taken: anyio.Event = field(factory=anyio.Event)


class _Writer:
    """Hands on one batch after the other, none after one that failed; each list of takers has a thread."""

    def __init__(self, takers: Sequence[Sequence[Take]]) -> None:
        self._threads = [(each, SimpleQueue[_Batch | None]()) for each in takers]
        self._begun = False
        self.counted = _Count()
        self._call = caller_of_the_loop()
        self.last = _Batch(memoryview(b""), 0)
        self.last.taken.set()
        self.failure: BaseException | None = None

    def take(self, group: TaskGroup, content: memoryview) -> None:
        """Have a batch taken when those before are, also while the group is being cancelled."""
        if content:
            self.last = _Batch(content, len(self._threads))
            self.counted.add(self.last)
            for takers, batches in self._threads:
                batches.put(self.last)
                if not self._begun:
                    group.start_soon(self._run, takers, batches)
            self._begun = True

    def end(self) -> None:
        """Let the threads go when all is taken."""
        if self._begun:
            for _, batches in self._threads:
                self.counted.add(batches)
                batches.put(None)

    async def _run(self, takers: Sequence[Take], batches: SimpleQueue[_Batch | None]) -> None:
        # It is held as long as the file arrives, and anyio has only so many for all that comes up.
        try:
            with anyio.CancelScope(shield=True):
                await in_thread(self._take_all, takers, batches, limiter=anyio.CapacityLimiter(1))
        except PlanetError as error:
            self.failure = error
            while not batches.empty():
                if (batch := batches.get()) is not None:
                    self._is_taken(batch)

    def _take_all(self, takers: Sequence[Take], batches: SimpleQueue[_Batch | None]) -> None:
        for batch in iter(batches.get, None):
            try:
                for take in takers:
                    if self.failure is None:
                        take(batch.content)
            except BaseException as error:  # noqa: BLE001 - raised by whoever waits for it
                self.failure = error
            # Not waited for: to the loop and back would take longer than to write a fourth of it.
            self._call(self._is_taken, batch)

    def _is_taken(self, batch: _Batch) -> None:
        batch.missing -= 1
        if not batch.missing:
            batch.taken.set()
            self.counted.remove(batch)


class _Count:
    """Has threads that wait most of the time counted with those of anyio while they work, and no longer.

    So a `FakeClock` sees them, which lets no time pass meanwhile.
    """

    def __init__(self) -> None:
        self._limiter = anyio.to_thread.current_default_thread_limiter()
        self._counted = set[object]()

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, *_: object) -> None:
        for what in [*self._counted]:
            self.remove(what)

    def add(self, what: object) -> None:
        with suppress(anyio.WouldBlock):  # then others count
            self._limiter.acquire_on_behalf_of_nowait(what)
            self._counted.add(what)

    def remove(self, what: object) -> None:
        if what in self._counted:
            self._counted.remove(what)
            self._limiter.release_on_behalf_of(what)
