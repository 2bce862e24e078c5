"""From a file of the service to a safe file on disk: name checked, resumed, checksum compared, renamed."""

import errno
import os
import re
from pathlib import Path

from attrs import define

from planet_async._tasks import run_in_thread
from planet_async.clock import Clock
from planet_async.downloads.part_file import PartFile, has_checksum
from planet_async.downloads.remote_file import (
    OpenFile,
    Progress,
    ProgressCallback,
    RemoteFile,
    retry_until_complete,
    safe_path,
    strong_etag,
)
from planet_async.downloads.segments import fetch_segments
from planet_async.downloads.writer import write_chunks
from planet_async.errors import (
    BodyTooLarge,
    ChecksumMismatch,
    ConnectionLost,
    DownloadError,
    StatusError,
    TransportError,
    UnsafeName,
)
from planet_async.http import Request, Response, Transport

_OTHERS_PAUSE = 1.0  # seconds between looks at a file that another process is fetching
_PARTIAL_CONTENT, _NO_SUCH_RANGE = 206, 416
_RANGE = re.compile(r"bytes (\d{1,19})-\d{1,19}/(\d{1,19}|\*)", re.ASCII)


async def download(
    transport: Transport,
    file: RemoteFile,
    folder: Path,
    *,
    clock: Clock,
    max_attempts: int,
    overwrite: bool = False,
    ranges: int = 1,
    at_once: int = 1,
    progress: ProgressCallback | None = None,
) -> Path:
    """Fetch one file into the folder and give its path; one that is there with the right checksum is kept.

    While it arrives it is called `NAME.part`.  A connection that breaks off is resumed from there, now or by
    a later call, until `max_attempts` in a row have brought no new byte; an expired link is renewed; a file
    that comes with the wrong checksum is fetched once more, unless `max_attempts` is 1.
    Where another process is fetching the same file, this waits for it.  A large one comes by up to `ranges`
    requests side by side.  `at_once` is how many files the caller fetches so, which share the memory for what
    is to be written.

    Raises UnsafeName, ChecksumMismatch, the TransportError or StatusError that would not go away, or
    DownloadError where the disk refuses or another file of that name is in the way.
    """
    path = safe_path(folder, file.name)
    part = PartFile(path, file.checksum)
    progress = progress and _marked(progress)
    try:
        try:
            while True:
                if not overwrite and await run_in_thread(_is_there, file, path):
                    return path
                if await run_in_thread(_claim, part, folder, path):
                    break
                await clock.sleep(_OTHERS_PAUSE)
            if not overwrite and await run_in_thread(_is_there, file, path):
                await run_in_thread(part.discard)  # another process has finished it between the two looks
                return path
            await fetch_segments(
                transport,
                file,
                part,
                ranges,
                clock=clock,
                max_attempts=max_attempts,
                at_once=at_once,
                progress=progress,
            )
            await run_in_thread(part.begin)
            await _Download(transport, file, part, clock, max_attempts, at_once, progress).complete()
            await run_in_thread(part.accept)
        finally:
            part.close()
    except OSError as error:
        if isinstance(error, TransportError):
            raise
        raise DownloadError(
            f"cannot write {path}: {error.strerror or error}",
            request=file.request,
            hint=_advice(error, part),
        ) from error
    except _OfProgressError as error:
        raise error.error from None
    return path


def _advice(error: OSError, part: PartFile) -> str:
    if error.errno == errno.ENOSPC:
        return "Make room, and download it again: it goes on with what arrived."
    if part.size:
        return "Download it again: it goes on with what arrived, where that is still there."
    return "Take another folder, or make this one fit to be written to."


def _marked(progress: ProgressCallback) -> ProgressCallback:
    """Have its errors told from those of the disk."""

    def tell(what: Progress) -> None:
        try:
            progress(what)
        except OSError as error:
            raise _OfProgressError(error) from None

    return tell


class _OfProgressError(Exception):
    def __init__(self, error: OSError) -> None:
        super().__init__()
        self.error = error


def _claim(part: PartFile, folder: Path, path: Path) -> bool:
    between = path.parents[: len(path.parts) - len(folder.parts) - 1]
    if any(parent.is_symlink() for parent in between):
        inside = Path(os.path.realpath(path.parent)).is_relative_to(os.path.realpath(folder))
        if not inside:
            raise UnsafeName(f"{path} is not inside {folder}: a link leads out of it")
    return part.claim()


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
    max_attempts: int
    at_once: int
    progress: ProgressCallback | None
    etag: str = ""  # of the version that the part is from

    async def complete(self) -> None:
        """Return when all of the file is there and right."""
        problem, hint = await self._arrive(), ""
        if problem and self.max_attempts > 1:
            await run_in_thread(self.part.restart)
            problem, hint = await self._arrive(), "It came so twice."
        if problem:
            await run_in_thread(self.part.discard)
            raise ChecksumMismatch(problem, request=self.file.request, hint=hint)

    async def _arrive(self) -> str:
        """Fetch what is missing, however often that breaks off; give what is wrong with it in the end."""
        if self.file.size is not None and self.part.size > self.file.size:
            await run_in_thread(self.part.restart)  # an earlier call was cancelled when too much had come
        if self.part.size == 0 or self.part.size != self.file.size:
            await retry_until_complete(
                self.file, self._fetch, lambda: self.part.size, self.clock, self.max_attempts
            )
        return self._problem()

    def _problem(self) -> str:
        size, checksum = self.file.size, self.file.checksum
        if size is not None and self.part.size > size:
            return f"{self.file.name} should have {size} bytes, and more came"
        if size is not None and self.part.size != size:
            return f"{self.file.name} should have {size} bytes, and {self.part.size} came"
        if checksum is not None and not self.part.is_right:
            return f"{self.file.name} came with another {checksum[0]} than its manifest says"
        return ""

    async def _fetch(self, request: Request) -> None:
        """Send one request and take in what it brings, from where the part ends."""
        if self.part.size and not self.etag and self.file.checksum is None:
            await run_in_thread(self.part.restart)  # nothing would tell that two halves fit
        if self.part.size and self.part.size == self.file.size:
            return  # it was cut after its last byte
        if self.part.size:
            request = request.with_headers(self._the_rest())
        try:
            response = await self.transport.send(request)
        except StatusError as error:
            if error.status != _NO_SUCH_RANGE or not self.part.size:
                raise
            if self.file.checksum is None:  # nothing would tell whether what is here is all
                await run_in_thread(self.part.restart)
                raise ConnectionLost("there is no more of the file", request=request) from error
            return  # there is no more: what is here is right, or is started over
        try:
            etag, (start, whole) = strong_etag(response), _extent(response)
            if start != self.part.size or (start and "" != etag != self.etag != ""):
                await run_in_thread(self.part.restart)
            if start != self.part.size:
                raise ConnectionLost("the answer is another part of the file", request=request)
            self.etag = etag or (self.etag if start else "")
            await self._take_in(response, whole)
            wanted = [size for size in (whole, self.file.size) if size is not None]
            if whole is not None and self.part.size < min(wanted):
                raise ConnectionLost("the answer ended early", request=request)
        finally:
            await response.aclose()

    def _the_rest(self) -> dict[str, str]:
        wanted = {"range": f"bytes={self.part.size}-"}
        return {**wanted, "if-range": self.etag} if self.etag else wanted

    async def _take_in(self, response: Response, whole: int | None) -> None:
        size = whole if self.file.size is None else self.file.size
        limit = self.file.most if self.file.size is None else self.file.size
        received = self.part.size

        def told(count: int) -> None:
            nonlocal received
            received += count
            if self.progress is not None:
                self.progress(Progress(self.file.name, received, size))

        left = None if limit is None else limit - self.part.size
        await write_chunks(response.chunks(), self.part.write, told, at_once=self.at_once, limit=left)
        if self.file.size is None and limit is not None and self.part.size > limit:
            await run_in_thread(self.part.discard)
            raise BodyTooLarge(
                f"{self.file.name} is longer than {limit:,} bytes",
                request=self.file.request,
                hint="Raise Config(max_body_bytes=...).",
            )


def _extent(response: Response) -> tuple[int, int | None]:
    """Give where in the file the bytes of an answer begin, and how long the file is; -1 for nobody knows."""
    if response.status != _PARTIAL_CONTENT:
        return 0, OpenFile("", response).size
    found = _RANGE.fullmatch(response.headers.get("content-range", ""))
    if found is None:
        return -1, None
    return int(found[1]), None if found[2] == "*" else int(found[2])
