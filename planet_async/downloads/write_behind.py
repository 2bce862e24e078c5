"""`write_behind`: what arrives goes to a thread in large batches, while the next one arrives."""

from collections.abc import AsyncIterable, Callable, Sequence

import anyio
from anyio.abc import TaskGroup

from planet_async._threads import in_thread

_HELD = 5 << 19  # bytes that wait to be written, of all files under way together, in two batches each
_LEAST = 1 << 16  # bytes of a batch: for less, going to a thread and back takes longer than writing

Write = Callable[[Sequence[bytes]], None]


async def write_behind(
    source: AsyncIterable[bytes],
    write: Write,
    told: Callable[[int], None],
    *,
    at_once: int = 1,
    most: int | None = None,
) -> None:
    """Hand all that arrives to `write`, in order, one batch at a time; `told` hears the length of each chunk.

    However it ends, what had arrived has been written by then, and no thread is at work.  `at_once` is how
    many do this side by side: the more, the smaller the batches.  What brings more than `most` bytes is not
    read on.  Raises what reading, `write` and `told` raise.
    """
    writer = _Writer(write)
    enough = max(_LEAST, _HELD // (2 * at_once))
    failure: BaseException | None = None
    batch: list[bytes] = []
    size = received = 0
    async with anyio.create_task_group() as group:  # no error leaves it as such, for it would be wrapped
        try:
            async for chunk in source:
                batch.append(chunk)
                size += len(chunk)
                if size >= enough:
                    await writer.written.wait()
                    if writer.failure is not None:
                        break
                    writer.begin(group, batch)
                    batch, size = [], 0
                told(len(chunk))
                received += len(chunk)
                if most is not None and received > most:
                    break
        except Exception as error:  # noqa: BLE001 - raised below
            failure = error
        finally:
            writer.begin(group, batch)
    if failure := writer.failure or failure:
        raise failure


class _Writer:
    """Writes one batch after the other in threads; none after one that failed."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self.written = anyio.Event()  # the last batch that was begun
        self.written.set()
        self.failure: BaseException | None = None

    def begin(self, group: TaskGroup, batch: Sequence[bytes]) -> None:
        """Have a batch written when the one before is, also while the group is being cancelled."""
        before, self.written = self.written, anyio.Event()
        if batch:
            group.start_soon(self._run, batch, before, self.written)

    async def _run(self, batch: Sequence[bytes], before: anyio.Event, written: anyio.Event) -> None:
        try:
            with anyio.CancelScope(shield=True):
                await before.wait()
                if self.failure is None:
                    await in_thread(self._write, batch)
        except BaseException as error:
            self.failure = error
            if not isinstance(error, Exception):  # the end of `asyncio.run` spares no task
                raise
        finally:
            written.set()
