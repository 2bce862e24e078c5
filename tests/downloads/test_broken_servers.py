"""Servers that do not send what was requested: the file is whole and right, or there is none."""

import hashlib
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path

import anyio.lowlevel
import pytest

from planet_async.downloads.download import download
from planet_async.downloads.part_file import Folder
from planet_async.downloads.remote_file import RemoteFile
from planet_async.errors import (
    BodyTooLarge,
    ChecksumMismatch,
    ConnectionLost,
    DownloadError,
    StatusError,
    TransportTimeout,
)
from planet_async.http import Request, Response
from planet_async.testing import FakeClock, FakeTransport

pytestmark = pytest.mark.anyio

CONTENT = bytes(range(256)) * 40
OTHER = CONTENT[::-1]
SHA256 = {"sha256": hashlib.sha256(CONTENT).hexdigest()}
TAG = {"etag": '"one"'}
CHECKED = pytest.mark.parametrize("known", [(len(CONTENT), SHA256), (None, {})], ids=["checked", "unchecked"])

Known = tuple[int | None, dict[str, str]]
Reply = tuple[int, dict[str, str], Iterable[bytes | Exception]]
Serve = Callable[[int], Reply]  # called with the first byte that is requested


class Body(AsyncIterator[bytes]):
    def __init__(self, chunks: Iterable[bytes | Exception]) -> None:
        self._chunks: Iterator[bytes | Exception] = iter(chunks)
        self.sent = 0

    async def __anext__(self) -> bytes:
        await anyio.lowlevel.checkpoint()
        for chunk in self._chunks:
            if isinstance(chunk, Exception):
                raise chunk
            self.sent += len(chunk)
            return chunk
        raise StopAsyncIteration


class Server:
    """A transport that cuts the first response after 1,000 bytes, and then responds as `serve` says."""

    def __init__(self, serve: Serve, *, cut: bool = True) -> None:
        self._serve = serve
        self._cut = cut
        self.ranges: list[str] = []
        self.bodies: list[Body] = []

    async def send(self, request: Request) -> Response:
        assert len(self.ranges) < 30, "it does not end"
        assert all(value.isascii() for value in request.headers.values())
        wanted = request.headers.get("range", "")
        self.ranges.append(wanted)
        if self._cut and len(self.ranges) == 1:
            sent: Reply = (200, TAG, [CONTENT[:1000], ConnectionLost("cut", request=request)])
        else:
            sent = self._serve(int(wanted[6:].split("-")[0] or 0) if wanted else 0)
        status, headers, chunks = sent
        if status >= 400:
            raise StatusError("no", status=status, request=request)
        self.bodies.append(Body(chunks))
        return Response(status, headers, self.bodies[-1], url=request.url)

    async def aclose(self) -> None:
        """Close nothing."""


async def fetched(
    server: Server, folder: Path, known: Known = (None, {}), *, most: int | None = None
) -> bytes:
    request = Request("GET", "https://storage/file", stream=True)
    file = RemoteFile("file", request, *known, most=most)
    path = await download(server, file, Folder(folder), clock=FakeClock(), max_attempts=5)
    assert [one.name for one in folder.iterdir()] == ["file"]
    return path.read_bytes()


def part(start: int, stop: int, **headers: str) -> Reply:
    span = f"bytes {start}-{stop - 1}/{len(CONTENT)}"
    return 206, {**TAG, "content-range": span, **headers}, [CONTENT[start:stop]]


@CHECKED
async def test_a_shorter_range_than_requested_is_continued(known: Known, tmp_path: Path) -> None:
    """A server may send less than the range: the rest is requested, and no byte twice."""
    server = Server(lambda start: part(start, min(start + 3000, len(CONTENT))))
    assert await fetched(server, tmp_path, known) == CONTENT
    assert server.ranges == ["", *(f"bytes={start}-" for start in (1000, 4000, 7000, 10_000))]


@CHECKED
async def test_another_range_than_requested_is_not_used(known: Known, tmp_path: Path) -> None:
    """The middle of a file is not its beginning: it is fetched whole."""
    server = Server(lambda start: part(5000, 9000) if start else (200, TAG, [CONTENT]))
    assert await fetched(server, tmp_path, known) == CONTENT


async def test_a_range_that_was_not_requested_is_no_file(tmp_path: Path) -> None:
    """Even without a checksum a file is complete or an error."""
    with pytest.raises(ConnectionLost, match="ended early"):
        await fetched(Server(lambda _: part(0, 1000, etag=""), cut=False), tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == ["file.part"]


async def test_a_body_shorter_than_its_content_length_is_no_file(tmp_path: Path) -> None:
    """Even where the transport does not notice."""
    short = (200, {"content-length": str(len(CONTENT))}, [CONTENT[:1000]])
    with pytest.raises(ConnectionLost, match="ended early"):
        await fetched(Server(lambda _: short, cut=False), tmp_path)


@CHECKED
async def test_two_versions_are_not_mixed(known: Known, tmp_path: Path) -> None:
    """A rest with another ETag than the beginning is of another file, whatever `If-Range` requested."""
    new = {"etag": '"two"'}
    rest = OTHER[1000:] if known[0] is None else b"?" * 9240
    now = OTHER if known[0] is None else CONTENT
    span = {**new, "content-range": "bytes 1000-10239/10240"}
    server = Server(lambda start: (206, span, [rest]) if start else (200, new, [now]))
    assert await fetched(server, tmp_path, known) == now
    assert server.ranges == ["", "bytes=1000-", ""]


@CHECKED
async def test_a_416_does_not_complete_a_file(known: Known, tmp_path: Path) -> None:
    """The file is fetched whole."""
    server = Server(lambda start: (416, {}, []) if start else (200, TAG, [CONTENT]))
    assert await fetched(server, tmp_path, known) == CONTENT


async def test_a_cut_after_the_last_byte_costs_no_request(tmp_path: Path) -> None:
    """A complete file is not requested again."""
    whole: Reply = (200, TAG, [CONTENT, ConnectionLost("cut")])
    server = Server(lambda _: whole, cut=False)
    assert await fetched(server, tmp_path, (len(CONTENT), SHA256)) == CONTENT
    assert server.ranges == [""]


async def test_an_etag_that_is_not_ascii_is_not_sent(tmp_path: Path) -> None:
    """It may be in a response, but not in a header of a request."""
    first: Reply = (200, {"etag": '"é"'}, [CONTENT[:9], ConnectionLost("cut")])
    server = Server(lambda start: part(start, len(CONTENT)) if start else first, cut=False)
    assert await fetched(server, tmp_path, (len(CONTENT), SHA256)) == CONTENT


async def test_an_endless_body_does_not_fill_the_disk(tmp_path: Path) -> None:
    """More than the size in the manifest is not read, at both attempts."""
    server = Server(lambda _: (200, {}, (CONTENT for _ in range(1000))), cut=False)
    with pytest.raises(ChecksumMismatch, match="should have 10240 bytes"):
        await fetched(server, tmp_path, (len(CONTENT), SHA256))
    assert [body.sent for body in server.bodies] == [2 * len(CONTENT)] * 2
    assert not [*tmp_path.iterdir()]


async def test_an_endless_manifest_does_not_fill_the_disk(tmp_path: Path) -> None:
    """Where the size is not known there can be a limit."""
    server = Server(lambda _: (200, {}, (CONTENT for _ in range(1000))), cut=False)
    with pytest.raises(BodyTooLarge, match="longer than 50,000 bytes"):
        await fetched(server, tmp_path, most=50_000)
    assert server.bodies[0].sent < 70_000
    assert not [*tmp_path.iterdir()]


async def test_a_server_that_always_starts_over_is_given_up(tmp_path: Path) -> None:
    """A server without ranges that cuts each response is not requested for ever."""
    places = iter([9000, 500, 600, 700, 800, 900] * 10)
    server = Server(lambda _: (200, {}, [CONTENT[: next(places)], ConnectionLost("cut")]), cut=False)
    with pytest.raises(ConnectionLost):
        await fetched(server, tmp_path)
    assert len(server.ranges) == 5


async def test_a_link_in_the_place_of_the_part_is_not_followed(tmp_path: Path) -> None:
    """Where others can write, too, a planted link must not lead to another file being overwritten."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "file.part").symlink_to(victim)
    with pytest.raises(DownloadError, match="cannot write"):
        await fetched(Server(lambda _: (200, TAG, [CONTENT]), cut=False), folder)
    assert victim.read_text() == "mine"


@pytest.mark.parametrize("what", ["replaced", "removed"])
async def test_another_part_is_not_renamed_to_the_file(what: str, tmp_path: Path) -> None:
    """The part was removed while the file arrived, and perhaps another process has started it over."""
    part_path = tmp_path / "file.part"

    class TidiedUp(Body):
        async def __anext__(self) -> bytes:
            part_path.unlink(missing_ok=True)
            if what == "replaced":
                part_path.write_bytes(b"half of ")
            return await super().__anext__()

    network = FakeTransport(lambda _: Response(200, {}, TidiedUp([CONTENT])))
    file = RemoteFile("file", Request("GET", "https://storage/file", stream=True), len(CONTENT), SHA256)
    with pytest.raises(DownloadError, match=r"cannot write .*Download it again"):
        await download(network, file, Folder(tmp_path), clock=FakeClock(), max_attempts=5)
    assert not (tmp_path / "file").exists()


async def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lustre and some network file systems have none: the download works without."""

    def none(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("planet_async.downloads.part_file.fcntl.flock", none)
    assert await fetched(Server(lambda _: (200, TAG, [CONTENT]), cut=False), tmp_path) == CONTENT


async def test_a_disk_that_is_full_only_when_the_file_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS reports a quota when a file is closed: until then it does not get its final name."""
    copies: list[int] = []
    dup, close = os.dup, os.close

    def noted(descriptor: int) -> int:
        copies.append(dup(descriptor))
        return copies[-1]

    def full(descriptor: int) -> None:
        close(descriptor)
        if descriptor in copies:
            copies.remove(descriptor)
            raise OSError(122, "Disk quota exceeded")

    monkeypatch.setattr("planet_async.downloads.part_file.os.dup", noted)
    monkeypatch.setattr("planet_async.downloads.part_file.os.close", full)
    with pytest.raises(DownloadError, match="quota"):
        await fetched(Server(lambda _: (200, TAG, [CONTENT]), cut=False), tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == ["file.part"]


@CHECKED
async def test_a_very_slow_server_is_given_up(known: Known, tmp_path: Path) -> None:
    """A connection that was dropped as too slow is resumed, but a few hundred bytes are no progress."""

    def slow(start: int) -> Reply:
        status, headers, _ = part(start, len(CONTENT))
        return status, headers, [CONTENT[start : start + 180], TransportTimeout("slow")]

    server = Server(slow)
    with pytest.raises(TransportTimeout):
        await fetched(server, tmp_path, known)
    assert len(server.ranges) == 5


async def test_a_slow_server_is_resumed(tmp_path: Path) -> None:
    """What sends a thousand bytes a minute arrives, however often the connection is dropped."""

    def slow(start: int) -> Reply:
        status, headers, _ = part(start, len(CONTENT))
        return status, headers, [CONTENT[start : start + 1000], TransportTimeout("slow")]

    assert await fetched(Server(slow), tmp_path, (len(CONTENT), SHA256)) == CONTENT
