"""`write_behind`: what arrives goes to a thread in large batches, while the next one arrives."""

from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue

import anyio
import anyio.from_thread
import anyio.to_thread
from anyio.abc import TaskGroup

from planet_async._threads import in_thread
from planet_async.body import Body

_HELD = 5 << 19  # bytes of the batches of all files under way together
_LEAST = 1 << 16  # bytes of a batch: for less, going to a thread and back takes longer than writing
_REST = 16  # a batch is gone with when so small a part of it is free: to read a little costs as much as a lot

Write = Callable[[memoryview], None]


async def write_behind(
    source: Body,
    write: Write,
    told: Callable[[int], None],
    *,
    at_once: int = 1,
    most: int | None = None,
) -> None:
    """Hand all that arrives to `write`, in order, one batch at a time; `told` hears the bytes as they come.

    However it ends, what `told` has heard of has been written by then, and no thread is at work.  `at_once`
    is how many do this side by side: the more, the smaller the batches.  What brings more than `most` bytes
    is not read on.  Raises what reading, `write` and `told` raise.
    """
    writer = _Writer(write)
    alone = at_once == 1  # one of many need not be read on while it is written: the others are
    size = max(_LEAST, _HELD // (2 if alone else at_once))
    if most is not None:
        size = min(size, max(most, 0) + 1)
    memory = memoryview(bytearray(size))  # takes none before it is used
    other = memoryview(bytearray(size)) if alone else memory
    failure: BaseException | None = None
    filled = received = 0
    async with anyio.create_task_group() as group:  # no error leaves it as such, for it would be wrapped
        try:
            while count := await source.read_into(memory[filled:]):
                filled += count
                if filled > size - size // _REST:
                    await writer.written.wait()
                    if writer.failure is not None:
                        break
                    writer.take(group, memory[:filled])
                    memory, other, filled = other, memory, 0
                    if not alone:
                        await writer.written.wait()
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
    if failure is not None:
        try:
            raise failure
        finally:
            failure = None  # it keeps this frame, and the batches


class _Writer:
    """Writes one batch after the other, in a thread of its own; none after one that failed."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._batches = SimpleQueue[tuple[memoryview, anyio.Event] | None]()
        self._begun = False
        self._count = _Count()
        self.written = anyio.Event()  # the batch that was taken last
        self.written.set()
        self.failure: BaseException | None = None

    def take(self, group: TaskGroup, batch: memoryview) -> None:
        """Have a batch written when those before are, also while the group is being cancelled."""
        if batch:
            self.written = anyio.Event()
            self._count.add(self.written)
            self._batches.put((batch, self.written))
            if not self._begun:
                self._begun = True
                group.start_soon(self._run)

    def end(self) -> None:
        """Let the thread go when all is written."""
        if self._begun:
            self._count.add(self)
            self._batches.put(None)

    async def _run(self) -> None:
        # It is held as long as the file arrives, and anyio has only so many for all that comes up.
        try:
            with anyio.CancelScope(shield=True):
                await in_thread(self._write_all, limiter=anyio.CapacityLimiter(1))
        finally:
            self._count.remove(self)

    def _write_all(self) -> None:
        for batch, written in iter(self._batches.get, None):
            try:
                if self.failure is None:
                    self._write(batch)
            except BaseException as error:  # noqa: BLE001 - raised by whoever waits for it
                self.failure = error
            anyio.from_thread.run_sync(self._is_written, written)

    def _is_written(self, written: anyio.Event) -> None:
        written.set()
        self._count.remove(written)


class _Count:
    """Has a thread that waits most of the time counted with those of anyio while it works.

    So a `FakeClock` sees it, which lets no time pass meanwhile.
    """

    def __init__(self) -> None:
        self._limiter = anyio.to_thread.current_default_thread_limiter()
        self._counted = set[object]()

    def add(self, what: object) -> None:
        with suppress(anyio.WouldBlock):  # then others count
            self._limiter.acquire_on_behalf_of_nowait(what)
            self._counted.add(what)

    def remove(self, what: object) -> None:
        if what in self._counted:
            self._counted.remove(what)
            self._limiter.release_on_behalf_of(what)
