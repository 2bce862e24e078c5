"""`download`: from a file of the service to one at its destination that is complete and right."""

import re
from functools import partial

from attrs import define

from planet_async.clock import Clock
from planet_async.downloads.destination import Destination, Place_co
from planet_async.downloads.part_file import PartFile
from planet_async.downloads.remote_file import OpenFile, ProgressCallback, RemoteFile, strong_etag
from planet_async.downloads.segments import fetch_segments
from planet_async.downloads.transfer import Transfer, write_chunks
from planet_async.errors import (
    BodyTooLarge,
    ChecksumMismatch,
    ConnectionLost,
    StatusError,
)
from planet_async.http import Request, Response, Transport

_POLL_SECONDS = 1.0  # between checks of a file that another process is fetching
_PARTIAL_CONTENT, _RANGE_NOT_SATISFIABLE = 206, 416
_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-\d{1,19}/(\d{1,19}|\*)", re.ASCII)


async def download(
    transport: Transport,
    file: RemoteFile,
    destination: Destination[Place_co],
    *,
    clock: Clock,
    max_attempts: int,
    overwrite: bool = False,
    ranges: int = 1,
    at_once: int = 1,
    durable: bool = False,
    progress: ProgressCallback | None = None,
) -> Place_co:
    """Fetch one file to the destination and return its path or URL; one that is there and right is kept.

    Right is what has the checksum; without a checksum, what has the size and the ETag of the server's file,
    if that is an MD5, or else its content.  `overwrite` replaces what is not.

    A broken connection is resumed, until `max_attempts` in a row have brought no new byte; in a folder, what
    has arrived is also continued by a later call.  An expired link is renewed; a file that arrives with the
    wrong checksum is fetched once more, unless `max_attempts` is 1.  Where another process is fetching the
    same file into the same folder, this waits for it.  A large file is fetched into a folder by up to
    `ranges` range requests concurrently.  `at_once` is how many files the caller fetches concurrently: they
    share the memory for what is written.  What is `durable` outlasts a power failure, once the destination is
    asked to `keep` it, too.

    Raises:
        UnsafeName: The name leads out of the destination.
        ChecksumMismatch: The file arrived twice with the wrong checksum.
        TransportError: The connection stays broken.
        StatusError: The server refuses.
        DownloadError: It cannot be written, or another file of that name is in the way.
    """
    part = destination.file(file, overwrite=overwrite, durable=durable, at_once=at_once)
    whole = _Download(transport, file, part, clock, max_attempts, at_once, progress)
    try:
        if await whole.claim():
            if isinstance(part, PartFile):
                await fetch_segments(whole, part, ranges)
            await whole.complete()
    finally:
        await part.aclose()
    return destination.place(destination.name(file.name))


@define
class _Download(Transfer):
    """A file that is fetched by one request at a time."""

    etag: str = ""  # of the version that the part is from

    async def claim(self) -> bool:
        """Return True when the part belongs to this call, False where the file is there and right."""
        while (is_ours := await self.on_disk(self.part.claim)) is None:
            await self.clock.sleep(_POLL_SECONDS)
        return is_ours

    async def complete(self) -> None:
        """Return when all of the file is there, right, and has its name."""
        part = self.part
        await self.on_disk(part.begin)
        try:
            problem, hint = await self._arrive(), ""
        except _KeptError:
            await self.on_disk(part.discard)
            return
        if problem and self.max_attempts > 1:
            await self.on_disk(part.restart)
            problem, hint = await self._arrive(), "It arrived like that twice."
        if problem:
            await self.on_disk(part.discard)
            raise ChecksumMismatch(problem, request=self.file.request, hint=hint)
        await self.on_disk(part.accept)

    async def _arrive(self) -> str:
        """Fetch what is missing, however often the connection breaks; return what is wrong with the file."""
        size, checksum = self.file.size, self.file.checksum
        if size is not None and self.part.size > size:
            await self.on_disk(self.part.restart)  # an earlier call was cancelled when too much had arrived
        if self.part.size == 0 or self.part.size != size:
            await self.retry_until_complete(self._fetch, lambda: self.part.size)
        if size is not None and self.part.size > size:
            return f"{self.file.name} should have {size} bytes, and more came"
        if size is not None and self.part.size != size:
            return f"{self.file.name} should have {size} bytes, and {self.part.size} came"
        if checksum is not None and not self.part.is_right:
            return f"{self.file.name} arrived with another {checksum.algorithm} than Planet lists"
        return ""

    async def _fetch(self, request: Request) -> None:
        """Send one request, and write what it brings from where the part ends."""
        part, size = self.part, self.file.size
        if part.size and not self.etag and self.file.checksum is None:
            await self.on_disk(part.restart)  # nothing would show whether two halves belong together
        if part.size and part.size == size:
            return  # the connection broke after the last byte
        response = await self._send(request)
        if response is None:
            return  # there is no more: what is here is right, or is started over
        try:
            etag, (start, whole) = strong_etag(response), _extent(response)
            if start != part.size or (start and "" != etag != self.etag != ""):
                await self.on_disk(part.restart)
            if start != part.size:
                raise ConnectionLost("the response is another part of the file", request=request)
            self.etag = etag or (self.etag if start else "")
            unknown = not start and self.file.checksum is None
            if unknown and await self.on_disk(part.is_current, whole, self.etag):
                raise _KeptError
            await self._write(response, whole)
            if whole is not None and part.size < (whole if size is None else min(whole, size)):
                raise ConnectionLost("the response ended early", request=request)
        finally:
            await response.aclose()

    async def _send(self, request: Request) -> Response | None:
        """Ask for what is missing; None where the server says that there is no more."""
        if self.part.size:
            request = request.with_headers({"range": f"bytes={self.part.size}-"})
            if self.etag:
                request = request.with_headers({"if-range": self.etag})
        try:
            return await self.transport.send(request)
        except StatusError as error:
            if error.status != _RANGE_NOT_SATISFIABLE or not self.part.size:
                raise
            if self.file.checksum is None:  # nothing would show whether what is here is all
                await self.on_disk(self.part.restart)
                raise ConnectionLost("there is no more of the file", request=request) from error
            return None

    async def _write(self, response: Response, whole: int | None) -> None:
        size = whole if self.file.size is None else self.file.size
        limit = self.file.most if self.file.size is None else self.file.size
        self.received = self.part.size
        await write_chunks(
            response.chunks(),
            partial(self.translated, self.part.write),
            partial(self.report, size),
            at_once=self.at_once,
            executor=self.part.executor,
            limit=None if limit is None else limit - self.part.size,
        )
        if self.file.size is None and limit is not None and self.part.size > limit:
            await self.on_disk(self.part.discard)
            raise BodyTooLarge(
                f"{self.file.name} is longer than {limit:,} bytes",
                request=self.file.request,
                hint="Raise Config(max_body_bytes=...).",
            )


class _KeptError(Exception):
    """The file that is there is the one to download."""


def _extent(response: Response) -> tuple[int, int | None]:
    """Return where in the file the bytes of a response begin (-1: unknown), and how long the file is."""
    if response.status != _PARTIAL_CONTENT:
        return 0, OpenFile("", response).size
    found = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
    if found is None:
        return -1, None
    return int(found[1]), None if found[2] == "*" else int(found[2])
