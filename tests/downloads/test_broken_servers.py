"""Servers that answer something else than they were asked: the file is whole and right, or there is none."""

import hashlib
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path

import anyio.lowlevel
import pytest

from planet_async.downloads.download import download
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
Answer = tuple[int, dict[str, str], Iterable[bytes | Exception]]
Serve = Callable[[int], Answer]  # of where the rest begins that is asked for, 0 for the whole


class Body(AsyncIterator[bytes]):
    def __init__(self, chunks: Iterable[bytes | Exception]) -> None:
        self._chunks: Iterator[bytes | Exception] = iter(chunks)
        self.given = 0

    async def __anext__(self) -> bytes:
        await anyio.lowlevel.checkpoint()
        for chunk in self._chunks:
            if isinstance(chunk, Exception):
                raise chunk
            self.given += len(chunk)
            return chunk
        raise StopAsyncIteration


class Server:
    """A transport that breaks off the first answer after 1,000 bytes, and then does as it is told."""

    def __init__(self, serve: Serve, *, cut: bool = True) -> None:
        self._serve = serve
        self._cut = cut
        self.asked: list[str] = []
        self.bodies: list[Body] = []

    async def send(self, request: Request) -> Response:
        assert len(self.asked) < 30, "it does not end"
        assert all(value.isascii() for value in request.headers.values())
        wanted = request.headers.get("range", "")
        self.asked.append(wanted)
        if self._cut and len(self.asked) == 1:
            answer: Answer = (200, TAG, [CONTENT[:1000], ConnectionLost("cut", request=request)])
        else:
            answer = self._serve(int(wanted[6:].split("-")[0] or 0) if wanted else 0)
        status, headers, chunks = answer
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
    path = await download(server, file, folder, clock=FakeClock(), max_attempts=5)
    assert [one.name for one in folder.iterdir()] == ["file"]
    return path.read_bytes()


def part(start: int, stop: int, **headers: str) -> Answer:
    span = f"bytes {start}-{stop - 1}/{len(CONTENT)}"
    return 206, {**TAG, "content-range": span, **headers}, [CONTENT[start:stop]]


@CHECKED
async def test_less_than_was_asked_for_is_gone_on_with(known: Known, tmp_path: Path) -> None:
    """A server may give less at a time than it is asked for: the rest is asked for, and no byte twice."""
    server = Server(lambda start: part(start, min(start + 3000, len(CONTENT))))
    assert await fetched(server, tmp_path, known) == CONTENT
    assert server.asked == ["", *(f"bytes={start}-" for start in (1000, 4000, 7000, 10_000))]


@CHECKED
async def test_another_part_than_was_asked_for_is_not_taken(known: Known, tmp_path: Path) -> None:
    """The middle of a file is not its beginning: it is fetched whole."""
    server = Server(lambda start: part(5000, 9000) if start else (200, TAG, [CONTENT]))
    assert await fetched(server, tmp_path, known) == CONTENT


async def test_a_part_that_nobody_asked_for_is_no_file(tmp_path: Path) -> None:
    """Without a checksum, too, a file is all of it or an error."""
    with pytest.raises(ConnectionLost, match="ended early"):
        await fetched(Server(lambda _: part(0, 1000, etag=""), cut=False), tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == ["file.part"]


async def test_a_body_shorter_than_it_says_is_no_file(tmp_path: Path) -> None:
    """Also where a transport does not notice."""
    short = (200, {"content-length": str(len(CONTENT))}, [CONTENT[:1000]])
    with pytest.raises(ConnectionLost, match="ended early"):
        await fetched(Server(lambda _: short, cut=False), tmp_path)


@CHECKED
async def test_two_versions_are_not_mixed(known: Known, tmp_path: Path) -> None:
    """A rest with another etag than the beginning is of another file, whatever `If-Range` asked for."""
    new = {"etag": '"two"'}
    rest = OTHER[1000:] if known[0] is None else b"?" * 9240
    now = OTHER if known[0] is None else CONTENT
    span = {**new, "content-range": "bytes 1000-10239/10240"}
    server = Server(lambda start: (206, span, [rest]) if start else (200, new, [now]))
    assert await fetched(server, tmp_path, known) == now
    assert server.asked == ["", "bytes=1000-", ""]


@CHECKED
async def test_there_is_no_rest(known: Known, tmp_path: Path) -> None:
    """A server that has no more does not make what is here the file: it is fetched whole."""
    server = Server(lambda start: (416, {}, []) if start else (200, TAG, [CONTENT]))
    assert await fetched(server, tmp_path, known) == CONTENT


async def test_a_cut_after_the_last_byte_costs_nothing(tmp_path: Path) -> None:
    """What is all there is not asked for again."""
    whole: Answer = (200, TAG, [CONTENT, ConnectionLost("cut")])
    server = Server(lambda _: whole, cut=False)
    assert await fetched(server, tmp_path, (len(CONTENT), SHA256)) == CONTENT
    assert server.asked == [""]


async def test_an_etag_that_cannot_be_sent_is_none(tmp_path: Path) -> None:
    """Bytes that are not ASCII may stand in one, and not in our headers."""
    first: Answer = (200, {"etag": '"é"'}, [CONTENT[:9], ConnectionLost("cut")])
    server = Server(lambda start: part(start, len(CONTENT)) if start else first, cut=False)
    assert await fetched(server, tmp_path, (len(CONTENT), SHA256)) == CONTENT


async def test_what_never_ends_does_not_fill_the_disk(tmp_path: Path) -> None:
    """More than the manifest says is not read on, twice."""
    server = Server(lambda _: (200, {}, (CONTENT for _ in range(1000))), cut=False)
    with pytest.raises(ChecksumMismatch, match="should have 10240 bytes"):
        await fetched(server, tmp_path, (len(CONTENT), SHA256))
    assert [body.given for body in server.bodies] == [2 * len(CONTENT)] * 2
    assert not [*tmp_path.iterdir()]


async def test_a_manifest_that_never_ends_does_not_fill_the_disk(tmp_path: Path) -> None:
    """Where no size is known there can be a limit."""
    server = Server(lambda _: (200, {}, (CONTENT for _ in range(1000))), cut=False)
    with pytest.raises(BodyTooLarge, match="longer than 50,000 bytes"):
        await fetched(server, tmp_path, most=50_000)
    assert server.bodies[0].given < 70_000
    assert not [*tmp_path.iterdir()]


async def test_who_always_begins_again_gets_nowhere(tmp_path: Path) -> None:
    """A server without ranges that breaks off here and there is given up, and not asked for ever."""
    places = iter([9000, 500, 600, 700, 800, 900] * 10)
    server = Server(lambda _: (200, {}, [CONTENT[: next(places)], ConnectionLost("cut")]), cut=False)
    with pytest.raises(ConnectionLost):
        await fetched(server, tmp_path)
    assert len(server.asked) == 5


async def test_a_link_in_the_place_of_the_part_is_not_followed(tmp_path: Path) -> None:
    """Where others can write too, a planted link must not have us write over a file of ours."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "file.part").symlink_to(victim)
    with pytest.raises(DownloadError, match="cannot write"):
        await fetched(Server(lambda _: (200, TAG, [CONTENT]), cut=False), folder)
    assert victim.read_text() == "mine"


@pytest.mark.parametrize("what", ["replaced", "removed"])
async def test_another_part_than_ours_does_not_get_the_name_of_the_file(what: str, tmp_path: Path) -> None:
    """Somebody tidied up while the file arrived, and perhaps another process has begun it anew."""
    beside = tmp_path / "file.part"

    class TidiedUp(Body):
        async def __anext__(self) -> bytes:
            beside.unlink(missing_ok=True)
            if what == "replaced":
                beside.write_bytes(b"half of ")
            return await super().__anext__()

    network = FakeTransport(lambda _: Response(200, {}, TidiedUp([CONTENT])))
    file = RemoteFile("file", Request("GET", "https://storage/file", stream=True), len(CONTENT), SHA256)
    with pytest.raises(DownloadError, match=r"cannot write .*Download it again"):
        await download(network, file, tmp_path, clock=FakeClock(), max_attempts=5)
    assert not (tmp_path / "file").exists()


async def test_a_file_system_without_locks_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lustre and some network file systems know none: the download goes on without."""

    def none(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("planet_async.downloads.part_file.fcntl.flock", none)
    assert await fetched(Server(lambda _: (200, TAG, [CONTENT]), cut=False), tmp_path) == CONTENT


async def test_a_disk_that_is_full_only_when_the_file_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS tells of a quota when a file is closed: it does not get its final name before."""
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
async def test_a_server_that_trickles_has_an_end(known: Known, tmp_path: Path) -> None:
    """A connection dropped for being too slow is resumed, but a few hundred bytes are no progress."""

    def slow(start: int) -> Answer:
        status, headers, _ = part(start, len(CONTENT))
        return status, headers, [CONTENT[start : start + 180], TransportTimeout("slow")]

    server = Server(slow)
    with pytest.raises(TransportTimeout):
        await fetched(server, tmp_path, known)
    assert len(server.asked) == 5


async def test_a_server_that_is_slow_now_and_then_is_waited_for(tmp_path: Path) -> None:
    """What brings a thousand bytes a minute arrives, however often the connection is dropped."""

    def slow(start: int) -> Answer:
        status, headers, _ = part(start, len(CONTENT))
        return status, headers, [CONTENT[start : start + 1000], TransportTimeout("slow")]

    assert await fetched(Server(slow), tmp_path, (len(CONTENT), SHA256)) == CONTENT
