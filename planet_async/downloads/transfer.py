"""One file on its way: `Transfer` goes on after cut connections, `write_chunks` writes what arrives."""

import errno
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Executor
from typing import TypeVar

import anyio
from attrs import define, field

from planet_async._tasks import cancelled_externally, open_task_group, run_in_thread
from planet_async.clock import Clock
from planet_async.downloads.destination import DestinationFile
from planet_async.downloads.remote_file import Progress, ProgressCallback, RemoteFile
from planet_async.errors import DownloadError, StatusError, TransportError, TransportTimeout
from planet_async.http import Request, Transport

_FIRST_PAUSE = 0.5  # seconds after the first broken connection; doubled each time
_LONGEST_PAUSE = 30.0
_LEAST_BYTES = 1000  # of a request that ended in a timeout, to count as progress
LINK_REFUSED = frozenset({401, 403, 404, 410})
"""The statuses of a link that has expired."""

_BATCH = 2 << 20  # bytes of a batch where one file is downloaded, shared where there are several
_MIN_BATCH = 1 << 17  # bytes; smaller ones cost more in switching to a thread than in writing

T = TypeVar("T")


@define
class Transfer:
    """The state shared by one request for a whole file and several for its segments."""

    transport: Transport
    file: RemoteFile
    part: DestinationFile
    clock: Clock
    max_attempts: int
    at_once: int
    progress: ProgressCallback | None
    received: int = field(init=False, default=0)

    async def retry_until_complete(
        self, fetch: Callable[[Request], Awaitable[None]], arrived: Callable[[], int]
    ) -> None:
        """Call `fetch` with the request for the file until it returns; `arrived` counts the bytes there are.

        Raises:
            StatusError: The server refuses a fresh link, too.
            TransportError: `max_attempts` requests in a row have brought no new byte, or were too slow.
        """
        request, cuts, attempts, renewed_at, furthest = self.file.request, 0, 0, -1, arrived()
        while True:
            try:
                return await fetch(request)
            except TransportError as error:
                # A file that always restarts, and stops somewhere, gets nowhere; nor does one that trickles.
                progress = arrived() - furthest
                furthest = max(furthest, arrived())
                if progress >= (_LEAST_BYTES if isinstance(error, TransportTimeout) else 1):
                    cuts = attempts = 0
                cuts, attempts = cuts + 1, attempts + error.attempts
                if attempts >= self.max_attempts:
                    raise
                await self.clock.sleep(min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(cuts - 1, 16)))
            except StatusError as error:
                # A fresh link that is refused too, with nothing received by it, is not about its age.
                if error.status not in LINK_REFUSED or not self.file.renew or renewed_at == arrived():
                    raise
                renewed_at = arrived()
                request = await self.file.renew(request)

    def report(self, size: int | None, count: int) -> None:
        """Call the progress callback, if there is one: `count` more bytes have arrived."""
        self.received += count
        if self.progress is not None:
            self.progress(Progress(self.file.name, self.received, size))

    async def on_disk(self, act: Callable[..., T], *arguments: object) -> T:
        """Do it in a thread; see `translated`."""
        return await run_in_thread(self.translated, act, *arguments, executor=self.part.executor)

    def translated(self, act: Callable[..., T], *arguments: object) -> T:
        """Do what reads or writes a file; raise an OSError as a DownloadError."""
        try:
            return act(*arguments)
        except OSError as error:
            hint = "Use another folder, or make this one writable."
            if error.errno == errno.ENOSPC:
                hint = "Free some space and download it again: it continues with what has arrived."
            elif self.part.size:
                hint = "Download it again: it continues with what has arrived, if that is still there."
            raise DownloadError(
                f"cannot write {self.part.place}: {error.strerror or error}",
                request=self.file.request,
                hint=hint,
            ) from error


async def write_chunks(
    chunks: AsyncIterator[bytes],
    write: Callable[[bytes], None],
    on_bytes: Callable[[int], None],
    *,
    at_once: int = 1,
    executor: Executor | None = None,
    limit: int | None = None,
) -> None:
    """Pass all chunks to `write`, in order and in batches, in a thread; read the next batch concurrently.

    However this ends, also when it is cancelled, no thread is left at work, and every byte reported to
    `on_bytes` has been written, unless `write` failed.

    Args:
        chunks: The body; it is read one chunk further than `limit` bytes at most.
        write: Called in a thread, one call at a time, and never again after it has failed.
        on_bytes: Called with the size of each chunk, as it arrives.
        at_once: How many files are written so concurrently; the more, the smaller the batches.
        executor: The threads to write in, which are left at work where this is cancelled; None: those of the
            event loop.
        limit: After more bytes than this, reading stops.

    Raises:
        Exception: The first error of `chunks`, `write` or `on_bytes`, as it is.
        PlanetError: The system has no thread left, or another task cancelled the one that writes.
    """
    writer = _Writer(write, executor)
    reader = _Reader(chunks, on_bytes, writer.pending, max(_MIN_BATCH, _BATCH // at_once), limit)
    try:
        while not reader.ended and writer.error is None:
            # Both catch their errors: the group would wrap them.
            async with open_task_group() as group:
                if writer.pending:
                    group.start_soon(writer.write_pending, group.cancel_scope)
                await reader.read_batch()
            if group.cancel_scope.cancel_called and writer.error is None:
                writer.error = cancelled_externally()
    finally:
        await writer.write_pending()
    error = writer.error or reader.error
    if error is not None:
        writer.error = reader.error = None
        try:
            raise error
        finally:
            error = None  # its traceback refers to this frame, and so to the batches


@define(eq=False, repr=False)
class _Reader:
    chunks: AsyncIterator[bytes]
    on_bytes: Callable[[int], None]
    pending: list[bytes]
    batch: int
    limit: int | None
    received: int = 0
    ended: bool = False
    error: Exception | None = None

    async def read_batch(self) -> None:
        """Add chunks to what is pending, until they are a batch, or the end."""
        enough = self.received + self.batch
        try:
            async for chunk in self.chunks:
                self.pending.append(chunk)
                self.received += len(chunk)
                self.on_bytes(len(chunk))
                if self.limit is not None and self.received > self.limit:
                    break
                if self.received >= enough:
                    return
        except Exception as error:  # noqa: BLE001 - raised by `write_chunks`
            self.error = error
        self.ended = True


@define(eq=False, repr=False)
class _Writer:
    write: Callable[[bytes], None]
    executor: Executor | None
    pending: list[bytes] = field(factory=list)  # emptied in the thread: none is lost if that never starts
    error: Exception | None = None

    async def write_pending(self, reading: anyio.CancelScope | None = None) -> None:
        """Write what is pending, even while being cancelled; where that fails, cancel the reading."""
        if not self.pending:
            return
        with anyio.CancelScope(shield=self.executor is None):
            try:
                await run_in_thread(self._write_batch, executor=self.executor)
            except Exception as error:  # noqa: BLE001 - raised by `write_chunks`
                self.error = error
        if self.error is not None and reading is not None:
            reading.cancel()

    def _write_batch(self) -> None:
        if self.error is not None:
            return
        batch = self.pending[:]
        del self.pending[: len(batch)]
        data = b"".join(batch)
        batch.clear()  # frees the memory of the chunks before the slow part
        try:
            self.write(data)
        except Exception as error:  # noqa: BLE001 - kept even if no task waits for this thread any more
            self.error = error
