"""`Transfer`: one file on its way, and what is done about cut connections, old links and full disks."""

import errno
from collections.abc import Awaitable, Callable
from typing import TypeVar

from attrs import define, field

from planet_async._tasks import run_in_thread
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
