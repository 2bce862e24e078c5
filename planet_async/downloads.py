"""From a file of the service to a safe file on disk: name checked, resumed, checksum compared, renamed."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath

import anyio
from attrs import define, evolve, field, frozen

from planet_async._threads import in_thread
from planet_async.clock import Clock
from planet_async.errors import (
    ChecksumMismatch,
    DownloadError,
    StatusError,
    TransportError,
    UnsafeName,
)
from planet_async.http import Request, Response, Transport
from planet_async.part_file import PartFile, has_checksum

_BATCH = 1 << 20  # bytes handed to a thread at a time: hashing them takes about a millisecond
_MOST_CUTS = 5  # in a row, without a byte between them
_FIRST_PAUSE = 0.5  # seconds after the first cut; doubled each time
_OTHERS_PAUSE = 1.0  # seconds between looks at a file that another process is fetching
_REFUSED_LINK = frozenset({401, 403, 404, 410})
_PARTIAL_CONTENT, _NO_SUCH_RANGE = 206, 416


@frozen
class Progress:
    """How far one file has come: `received` of `size` bytes, where the size is known."""

    name: str
    received: int
    size: int | None


ProgressCallback = Callable[[Progress], None]


@frozen
class RemoteFile:
    """A file to fetch: its name below the target folder, where it is, and what its bytes must be.

    `renew` gives another request for it, for when the link of this one has expired.
    """

    name: str
    request: Request
    size: int | None = None
    digests: Mapping[str, str] = field(factory=dict)
    renew: Callable[[Request], Awaitable[Request]] | None = None

    @property
    def checksum(self) -> tuple[str, str] | None:
        """The algorithm and hex digest to check, the stronger one where there are several."""
        for algorithm in ("sha256", "md5"):
            if self.digests.get(algorithm):
                return algorithm, self.digests[algorithm].lower()
        return None


class OpenFile:
    """A file of the service, open for reading: iterate it for its bytes as they arrive.

    `size` is in bytes, None where the server does not say.
    """

    def __init__(self, name: str, response: Response) -> None:
        length = response.headers.get("content-length", "")
        self.name = name
        self.size = int(length) if length.isascii() and length.isdigit() else None
        self._response = response

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._response.chunks()


def safe_path(folder: Path, name: str) -> Path:
    """Give the path of a server's file name below the folder; UnsafeName where it would lead out of it."""
    parts = PurePosixPath(name).parts
    unsafe = (
        not parts
        or name.startswith("/")
        or name.endswith("/")
        or ".." in parts
        or "\\" in name
        or bool(PureWindowsPath(name).drive)
        or not name.isprintable()
    )
    if unsafe:
        raise UnsafeName(f"the server named a file {name[:200]!r}, which could land outside {folder}")
    return folder.joinpath(*parts)


async def download(
    transport: Transport,
    file: RemoteFile,
    folder: Path,
    *,
    clock: Clock,
    overwrite: bool = False,
    progress: ProgressCallback | None = None,
) -> Path:
    """Fetch one file into the folder and give its path; one that is there with the right checksum is kept.

    While it arrives it is called `NAME.part`.  A connection that breaks off is resumed from there, now or by
    a later call; an expired link is renewed; a file that comes with the wrong checksum is fetched once more.
    Where another process is fetching the same file, this waits for it.

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
            await _Download(transport, file, part, clock, progress).complete()
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
        request, cuts, renewed_at = self.file.request, 0, -1
        while True:
            before = self.part.size
            try:
                await self._fetch(request)
            except TransportError:
                cuts = 1 if self.part.size > before else cuts + 1
                if cuts >= _MOST_CUTS:
                    raise
                await self.clock.sleep(_FIRST_PAUSE * 2.0 ** (cuts - 1))
            except StatusError as error:
                # A fresh link that is refused too, with nothing received by it, is not about its age.
                if error.status not in _REFUSED_LINK or not self.file.renew or renewed_at == self.part.size:
                    raise
                renewed_at = self.part.size
                request = await self.file.renew(request)
            else:
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
            request = evolve(request, headers={**request.headers, **self._the_rest()})
        try:
            response = await self.transport.send(request)
        except StatusError as error:
            if error.status == _NO_SUCH_RANGE and self.part.size:
                return  # there is no more: what is here is right, or is started over
            raise
        try:
            if not _continues(response, self.part.size):
                await in_thread(self.part.restart)
            etag = response.headers.get("etag", "")
            self.etag = "" if etag.startswith("W/") else etag
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
        batch: list[bytes] = []
        received = self.part.size
        try:
            async for chunk in source:
                batch.append(chunk)
                received += len(chunk)
                if received - self.part.size >= _BATCH:
                    full, batch = batch, []
                    await in_thread(self.part.write, full)
                if self.progress is not None:
                    self.progress(Progress(self.file.name, received, size))
        finally:
            with anyio.CancelScope(shield=True):
                await in_thread(self.part.write, batch)


def _continues(response: Response, size: int) -> bool:
    """Tell whether a response goes on where the part ends; a server may send the whole file instead."""
    if response.status != _PARTIAL_CONTENT:
        return size == 0
    return response.headers.get("content-range", "").startswith(f"bytes {size}-")
