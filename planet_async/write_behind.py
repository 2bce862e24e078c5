"""`write_behind`: what arrives goes to a thread in large batches, while the next one arrives."""

from collections.abc import AsyncIterable, Callable, Sequence

import anyio
from anyio.abc import TaskGroup

from planet_async._threads import in_thread

_BATCH = 1 << 18  # bytes handed to a thread at a time; a download holds two batches, sixteen of them 8 MB

Write = Callable[[Sequence[bytes]], None]


async def write_behind(source: AsyncIterable[bytes], write: Write, told: Callable[[int], None]) -> None:
    """Hand all that arrives to `write`, in order, one batch at a time; `told` hears the length of each chunk.

    However it ends, what had arrived has been written by then, and no thread is at work.  Raises what
    reading, `write` and `told` raise.
    """
    writer = _Writer(write)
    failure: Exception | None = None
    batch: list[bytes] = []
    size = 0
    async with anyio.create_task_group() as group:  # no error leaves it as such, for it would be wrapped
        try:
            async for chunk in source:
                batch.append(chunk)
                size += len(chunk)
                if size >= _BATCH:
                    await writer.ready()
                    writer.begin(group, batch)
                    batch, size = [], 0
                told(len(chunk))
        except Exception as error:  # noqa: BLE001 - raised below
            failure = error
        finally:
            await writer.end(batch)
    if failure := writer.failure or failure:
        raise failure


class _Writer:
    """Writes one batch in a thread while its owner goes on."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._ready = anyio.Event()
        self._ready.set()
        self.failure: Exception | None = None

    async def ready(self) -> None:
        """Wait for the batch before; raises what was wrong with it."""
        await self._ready.wait()
        if self.failure is not None:
            raise self.failure

    def begin(self, group: TaskGroup, batch: Sequence[bytes]) -> None:
        self._ready = anyio.Event()
        group.start_soon(self._run, batch)

    async def end(self, batch: Sequence[bytes]) -> None:
        """Write the last batch, also while being cancelled."""
        with anyio.CancelScope(shield=True):
            await self._ready.wait()
            if batch and self.failure is None:
                await self._run(batch)

    async def _run(self, batch: Sequence[bytes]) -> None:
        try:
            with anyio.CancelScope(shield=True):
                await in_thread(self._write, batch)
        except Exception as error:  # noqa: BLE001 - raised by `ready`, or in the end
            self.failure = error
        finally:
            self._ready.set()
