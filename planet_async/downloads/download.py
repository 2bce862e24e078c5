"""From a file of the service to a safe file on disk: name checked, resumed, checksum compared, renamed."""

from pathlib import Path

from attrs import define

from planet_async._threads import in_thread
from planet_async.clock import Clock
from planet_async.downloads.insisting import insist
from planet_async.downloads.part_file import PartFile, has_checksum
from planet_async.downloads.ranges import fetch_ranges
from planet_async.downloads.remote_file import (
    OpenFile,
    Progress,
    ProgressCallback,
    RemoteFile,
    safe_path,
    strong_etag,
)
from planet_async.downloads.write_behind import write_behind
from planet_async.errors import ChecksumMismatch, DownloadError, StatusError, TransportError
from planet_async.http import Request, Response, Transport

_OTHERS_PAUSE = 1.0  # seconds between looks at a file that another process is fetching
_PARTIAL_CONTENT, _NO_SUCH_RANGE = 206, 416


async def download(
    transport: Transport,
    file: RemoteFile,
    folder: Path,
    *,
    clock: Clock,
    overwrite: bool = False,
    ranges: int = 1,
    at_once: int = 1,
    progress: ProgressCallback | None = None,
) -> Path:
    """Fetch one file into the folder and give its path; one that is there with the right checksum is kept.

    While it arrives it is called `NAME.part`.  A connection that breaks off is resumed from there, now or by
    a later call; an expired link is renewed; a file that comes with the wrong checksum is fetched once more.
    Where another process is fetching the same file, this waits for it.  A large one comes by up to `ranges`
    requests side by side.  `at_once` is how many files the caller fetches so, which share the memory for what
    is to be written.

    Raises UnsafeName, ChecksumMismatch, the TransportError or StatusError that would not go away, or
    DownloadError where the disk refuses or another file of that name is in the way.
    """
    path = safe_path(folder, file.name)
    part = PartFile(path, file.checksum)
    try:
        try:
            while True:
                if not overwrite and await in_thread(_is_there, file, path):
                    return path
                if await in_thread(part.claim):
                    break
                await clock.sleep(_OTHERS_PAUSE)
            if not overwrite and await in_thread(_is_there, file, path):
                await in_thread(part.discard)  # another process has finished it between the two looks
                return path
            await fetch_ranges(transport, file, part, ranges, clock=clock, at_once=at_once, progress=progress)
            await in_thread(part.begin)
            await _Download(transport, file, part, clock, at_once, progress).complete()
            await in_thread(part.accept)
        finally:
            part.close()
    except OSError as error:
        if isinstance(error, TransportError):
            raise
        raise DownloadError(
            f"cannot write {path}: {error.strerror or error}",
            request=file.request,
            hint="What arrived is kept.",
        ) from error
    return path


def _is_there(file: RemoteFile, path: Path) -> bool:
    if not path.exists():
        return False
    if file.checksum is not None and path.is_file() and has_checksum(path, file.checksum):
        return True
    raise DownloadError(
        f"{path} exists and is not the file to download",
        hint="Pass overwrite=True to replace it, or another folder.",
    )


@define
class _Download:
    """One file on its way, through whatever comes in between."""

    transport: Transport
    file: RemoteFile
    part: PartFile
    clock: Clock
    at_once: int
    progress: ProgressCallback | None
    etag: str = ""  # of the version that the part is from

    async def complete(self) -> None:
        """Return when all of the file is there and right."""
        problem = await self._arrive()
        if problem:
            await in_thread(self.part.restart)
            problem = await self._arrive()
        if problem:
            await in_thread(self.part.discard)
            raise ChecksumMismatch(problem, request=self.file.request, hint="It came so twice.")

    async def _arrive(self) -> str:
        """Fetch what is missing, however often that breaks off; give what is wrong with it in the end."""
        if self.part.size == 0 or self.part.size != self.file.size:
            await insist(self.file, self._fetch, lambda: self.part.size, self.clock)
        return self._problem()

    def _problem(self) -> str:
        size, checksum = self.file.size, self.file.checksum
        if size is not None and self.part.size != size:
            return f"{self.file.name} should have {size} bytes, and {self.part.size} came"
        if checksum is not None and not self.part.is_right:
            return f"{self.file.name} came with another {checksum[0]} than its manifest says"
        return ""

    async def _fetch(self, request: Request) -> None:
        """Send one request and take in what it brings, from where the part ends."""
        if self.part.size and not self.etag and self.file.checksum is None:
            await in_thread(self.part.restart)  # nothing would tell that two halves fit
        if self.part.size:
            request = request.with_headers(self._the_rest())
        try:
            response = await self.transport.send(request)
        except StatusError as error:
            if error.status == _NO_SUCH_RANGE and self.part.size:
                return  # there is no more: what is here is right, or is started over
            raise
        try:
            if not _continues(response, self.part.size):
                await in_thread(self.part.restart)
            self.etag = strong_etag(response)
            await self._take_in(OpenFile(self.file.name, response))
        finally:
            await response.aclose()

    def _the_rest(self) -> dict[str, str]:
        wanted = {"range": f"bytes={self.part.size}-"}
        return {**wanted, "if-range": self.etag} if self.etag else wanted

    async def _take_in(self, source: OpenFile) -> None:
        size = self.file.size
        if size is None and source.size is not None:
            size = self.part.size + source.size
        received = self.part.size

        def told(count: int) -> None:
            nonlocal received
            received += count
            if self.progress is not None:
                self.progress(Progress(self.file.name, received, size))

        await write_behind(source, self.part.write, told, at_once=self.at_once)


def _continues(response: Response, size: int) -> bool:
    """Tell whether a response goes on where the part ends; a server may send the whole file instead."""
    if response.status != _PARTIAL_CONTENT:
        return size == 0
    return response.headers.get("content-range", "").startswith(f"bytes {size}-")
