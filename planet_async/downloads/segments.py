"""`fetch_segments`: one large file by several range requests concurrently, where each connection is slow."""

import os
from functools import partial
from pathlib import Path

import anyio
from attrs import define, field

from planet_async._tasks import cancelled_externally, open_task_group
from planet_async.downloads.part_file import PartFile
from planet_async.downloads.remote_file import strong_etag
from planet_async.downloads.transfer import Transfer, write_chunks
from planet_async.errors import ConnectionLost, StatusError
from planet_async.http import Request, Response

_LEAST = 32 << 20  # bytes: a shorter file is not split
_PLACE = "{:020d}"
_NOTE = 42  # bytes: two places, a space and the end of the line
_PARTIAL_CONTENT, _RANGE_NOT_SATISFIABLE = 206, 416


async def fetch_segments(whole: Transfer, part: PartFile, ranges: int) -> None:
    """Fill the part by at most `ranges` requests at a time, where the file is large and can be verified.

    Else, and where the server does not serve ranges of one version of the file, it is left for one request to
    fetch.  What an earlier call has left split is continued with any number of `ranges`.

    Raises:
        PlanetError: What stays wrong; what has arrived is kept.
    """
    size = whole.file.size
    if size is None or whole.file.checksum is None:
        return
    segments = await whole.on_disk(split, part.path, size, ranges)
    if not segments:
        return
    missing = [segment for segment in segments if segment.at < segment.stop]
    whole.received = size - sum(segment.stop - segment.at for segment in missing)
    filling = _Filling(whole, size, ranges)
    await filling.fill(missing)
    if filling.failure is not None:
        raise filling.failure
    await whole.on_disk(join, part.path, not filling.refused)


@define
class _Filling:
    """A file that was split, on its way."""

    whole: Transfer
    size: int
    ranges: int
    etag: str | None = None  # of the version of the first response, "" where it did not say
    refused: bool = False
    failure: Exception | None = None
    first: anyio.Event = field(factory=anyio.Event)  # set when it is known whether there are ranges

    async def fill(self, segments: list["Segment"]) -> None:
        """Return when all is there, or `refused` or `failure` is set."""
        limit = anyio.Semaphore(self.ranges)
        async with open_task_group() as group:

            async def fetch(segment: Segment) -> None:
                async with limit:
                    try:
                        await self.whole.retry_until_complete(
                            partial(self._fetch, segment), lambda: segment.at
                        )
                    except _NoRangesError:
                        self.refused = True
                        group.cancel_scope.cancel()
                    except Exception as error:  # noqa: BLE001 - raised by `fetch_segments`: a group would wrap it
                        self.failure = self.failure or error
                        group.cancel_scope.cancel()
                self.first.set()

            for number, segment in enumerate(segments):
                group.start_soon(fetch, segment)
                if number == 0:
                    await self.first.wait()
        if group.cancel_scope.cancel_called and not self.refused:
            self.failure = self.failure or cancelled_externally()

    async def _fetch(self, segment: "Segment", request: Request) -> None:
        if segment.at == segment.stop:
            return  # the connection broke after its last byte
        headers = {"range": f"bytes={segment.at}-{segment.stop - 1}"}
        if self.etag:
            headers["if-range"] = self.etag
        try:
            response = await self.whole.transport.send(request.with_headers(headers))
        except StatusError as error:
            if error.status == _RANGE_NOT_SATISFIABLE:
                raise _NoRangesError from None
            raise
        try:
            self._check(segment, response)
            self.first.set()
            await write_chunks(
                response.chunks(),
                partial(self.whole.translated, segment.write),
                partial(self.whole.report, self.size),
                at_once=self.whole.at_once * self.ranges,
                limit=segment.stop - segment.at,
            )
        finally:
            await response.aclose()
        if segment.at < segment.stop:
            raise ConnectionLost("the response ended early", request=request)

    def _check(self, segment: "Segment", response: Response) -> None:
        span = f"bytes {segment.at}-{segment.stop - 1}/{self.size}"
        if response.status != _PARTIAL_CONTENT or response.headers.get("content-range") != span:
            raise _NoRangesError
        etag = strong_etag(response)
        if self.etag is None:
            self.etag = etag
        elif etag != self.etag:
            raise _NoRangesError


class _NoRangesError(Exception):
    """The server does not serve ranges of the version that the others are of."""


@define(eq=False)
class Segment:
    """The bytes of a file from `at`, before which all of the segment has arrived, to before `stop`."""

    part: Path
    number: int
    at: int
    stop: int

    def write(self, data: bytes) -> None:
        """Add bytes where it continues, then note that they are there; what is beyond its end is dropped."""
        left = memoryview(data)[: self.stop - self.at]
        with self.part.open("r+b", buffering=0) as file:
            file.seek(self.at)
            while left:
                written = file.write(left)
                self.at += written
                left = left[written:]
        with _notes(self.part).open("r+b", buffering=0) as notes:
            notes.seek(self.number * _NOTE)
            notes.write(_PLACE.format(self.at).encode())


def split(part: Path, size: int, ranges: int) -> list[Segment]:
    """Return the segments that an earlier call has left, or split what is missing, where that is worth it.

    Without segments, the part is an ordinary one: the beginning of the file.
    """
    have = part.stat().st_size
    found = _noted(part, size) if have == size else None
    if found is not None:
        return found
    _notes(part).unlink(missing_ok=True)  # also where it is a link, which would lead elsewhere
    if ranges == 1 or size - have < _LEAST:
        return []
    edges = [have + (size - have) * number // ranges for number in range(ranges + 1)]
    notes = "".join(f"{_PLACE.format(at)} {_PLACE.format(edges[n + 1])}\n" for n, at in enumerate(edges[:-1]))
    _notes(part).write_text(notes, newline="\n")
    os.truncate(part, size)
    return _noted(part, size) or []


def join(part: Path, is_whole: bool) -> None:
    """Make it an ordinary part again: all of the file, or else an empty one."""
    if not is_whole:
        os.truncate(part, 0)  # before the notes are gone: a long part without any would look whole
    _notes(part).unlink(missing_ok=True)


def _notes(part: Path) -> Path:
    return part.with_name(part.name + ".ranges")


def _noted(part: Path, size: int) -> list[Segment] | None:
    """Read the notes; None where there are none, or they are invalid."""
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
