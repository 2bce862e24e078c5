"""`fetch_segments`: one large file by several requests side by side, for a path on which each is slow."""

import os
from pathlib import Path

import anyio
from attrs import define, field

from planet_async._tasks import cancelled_externally, run_in_thread
from planet_async.clock import Clock
from planet_async.downloads.part_file import PartFile
from planet_async.downloads.remote_file import (
    Progress,
    ProgressCallback,
    RemoteFile,
    retry_until_complete,
    strong_etag,
)
from planet_async.downloads.writer import write_chunks
from planet_async.errors import ConnectionLost, StatusError
from planet_async.http import Request, Response, Transport

PART_ENDS = (".part", ".part.ranges")
"""What the files beside a file that arrives are called, after its name."""

_LEAST = 32 << 20  # bytes: less than this is not divided
_PLACE = "{:020d}"
_NOTE = 42  # bytes: two places, a space and the end of the line


class Segment:
    """The bytes of a file from `at`, before which all of it has arrived, to before `stop`."""

    def __init__(self, part: Path, number: int, at: int, stop: int) -> None:
        self._part = part
        self._number = number
        self.at = at
        self.stop = stop

    def write(self, data: bytes) -> None:
        """Add bytes where it goes on, and note that they are there; what lies beyond its end is dropped."""
        left = memoryview(data)[: self.stop - self.at]
        with self._part.open("r+b", buffering=0) as file:
            file.seek(self.at)
            while left:
                written = file.write(left)
                self.at += written
                left = left[written:]
        with _notes(self._part).open("r+b", buffering=0) as notes:
            notes.seek(self._number * _NOTE)
            notes.write(_PLACE.format(self.at).encode())


def split(part: Path, size: int, ranges: int) -> list[Segment]:
    """Give the stretches that an earlier run has left, or divide what is missing, where that is worth it.

    Without any, the part is an ordinary one, of which the beginning has arrived.
    """
    have = part.stat().st_size
    found = _noted(part, size) if have == size else None
    if found is not None:
        return found
    if ranges > 1 and size - have >= _LEAST:
        edges = [have + (size - have) * number // ranges for number in range(ranges + 1)]
        notes = "".join(
            f"{_PLACE.format(at)} {_PLACE.format(edges[n + 1])}\n" for n, at in enumerate(edges[:-1])
        )
        _notes(part).unlink(missing_ok=True)  # a link would lead elsewhere
        _notes(part).write_text(notes, newline="\n")
        os.truncate(part, size)
        return _noted(part, size) or []
    _notes(part).unlink(missing_ok=True)
    return []


def join(part: Path, *, whole: bool) -> None:
    """Make it an ordinary part again: all of it where it is `whole`, else an empty one."""
    if not whole:
        os.truncate(part, 0)  # before the notes are gone: a long part without any would look whole
    _notes(part).unlink(missing_ok=True)


def _notes(part: Path) -> Path:
    return part.with_name(part.name + ".ranges")


def _noted(part: Path, size: int) -> list[Segment] | None:
    """Read the notes; None where there are none, or they make no sense."""
    try:
        lines = _notes(part).read_bytes().split(b"\n")[:-1]
        places = [(int(line[:20]), int(line[21:])) for line in lines]
    except (FileNotFoundError, ValueError):
        return None
    before = 0
    for at, stop in places:
        if not before <= at <= stop:
            return None
        before = stop
    return [Segment(part, number, *place) for number, place in enumerate(places)] if before == size else None


_PARTIAL_CONTENT, _NO_SUCH_RANGE = 206, 416


async def fetch_segments(
    transport: Transport,
    file: RemoteFile,
    part: PartFile,
    ranges: int,
    *,
    clock: Clock,
    max_attempts: int,
    at_once: int,
    progress: ProgressCallback | None,
) -> None:
    """Fill the part by at most `ranges` requests at a time, where the file is large and can be checked.

    Else, and where the server does not give ranges of one version of the file, it is left for one request
    to fetch.  What an earlier run has left divided is gone on with by any number of `ranges`.

    Raises the TransportError, StatusError or OSError that would not go away; what arrived is kept.
    """
    if file.size is None or file.checksum is None:
        return
    stretches = await run_in_thread(split, part.path, file.size, ranges)
    if not stretches:
        return
    missing = sum(stretch.stop - stretch.at for stretch in stretches)
    filling = _Filling(
        transport,
        file,
        clock,
        max_attempts,
        progress,
        file.size,
        file.size - missing,
        ranges,
        at_once * ranges,
    )
    await filling.fill([stretch for stretch in stretches if stretch.at < stretch.stop])
    if filling.failure is not None:
        raise filling.failure
    await run_in_thread(lambda: join(part.path, whole=not filling.refused))


@define
class _Filling:
    """A divided file on its way."""

    transport: Transport
    file: RemoteFile
    clock: Clock
    max_attempts: int
    progress: ProgressCallback | None
    size: int
    received: int
    ranges: int
    at_once: int
    etag: str | None = None  # of the version that the first answer was of, "" where it did not say
    refused: bool = False
    failure: Exception | None = None
    first: anyio.Event = field(factory=anyio.Event)  # set when it is known whether there are ranges

    async def fill(self, stretches: list[Segment]) -> None:
        """Return when all is there, or `refused` or `failure` is set."""
        limit = anyio.Semaphore(self.ranges)
        async with anyio.create_task_group() as group:

            async def fetch(stretch: Segment) -> None:
                async with limit:
                    try:
                        await retry_until_complete(
                            self.file,
                            lambda request: self._fetch(stretch, request),
                            lambda: stretch.at,
                            self.clock,
                            self.max_attempts,
                        )
                    except _NoRangesError:
                        self.refused = True
                        group.cancel_scope.cancel()
                    except Exception as error:  # noqa: BLE001 - raised by whoever started this
                        self.failure = self.failure or error
                        group.cancel_scope.cancel()
                self.first.set()

            for number, stretch in enumerate(stretches):
                group.start_soon(fetch, stretch)
                if number == 0:
                    await self.first.wait()
        if group.cancel_scope.cancel_called and not self.refused:
            self.failure = self.failure or cancelled_externally()

    async def _fetch(self, stretch: Segment, request: Request) -> None:
        if stretch.at == stretch.stop:
            return  # it was cut after its last byte
        headers = {"range": f"bytes={stretch.at}-{stretch.stop - 1}"}
        if self.etag:
            headers["if-range"] = self.etag
        try:
            response = await self.transport.send(request.with_headers(headers))
        except StatusError as error:
            if error.status == _NO_SUCH_RANGE:
                raise _NoRangesError from None
            raise
        try:
            self._check(stretch, response)
            self.first.set()
            missing = stretch.stop - stretch.at
            await write_chunks(
                response.chunks(), stretch.write, self._tell, at_once=self.at_once, limit=missing
            )
        finally:
            await response.aclose()
        if stretch.at < stretch.stop:
            raise ConnectionLost("the answer ended early", request=request)

    def _check(self, stretch: Segment, response: Response) -> None:
        span = f"bytes {stretch.at}-{stretch.stop - 1}/{self.size}"
        if response.status != _PARTIAL_CONTENT or response.headers.get("content-range") != span:
            raise _NoRangesError
        etag = strong_etag(response)
        if self.etag is None:
            self.etag = etag
        elif etag != self.etag:
            raise _NoRangesError

    def _tell(self, count: int) -> None:
        self.received += count
        if self.progress is not None:
            self.progress(Progress(self.file.name, self.received, self.size))


class _NoRangesError(Exception):
    """The server does not give ranges of the version that the others are of."""
