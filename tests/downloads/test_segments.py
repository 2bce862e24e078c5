"""Parallel ranges: one large file by several requests, and what can happen to each of them."""

import hashlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import anyio
import pytest

from planet_async import (
    ApiKey,
    BadRequest,
    ChecksumMismatch,
    Config,
    ConnectionLost,
    DownloadError,
    InvalidRequest,
    Order,
    OrderRequest,
    Planet,
    Progress,
    SceneProduct,
)
from planet_async.downloads.download import download
from planet_async.downloads.part_file import Folder
from planet_async.downloads.remote_file import RemoteFile
from planet_async.downloads.segments import join, split
from planet_async.http import Request, Response
from planet_async.simulator import Fault, Limits, OrderPlan, ServerRequest, Simulator
from planet_async.simulator.http import CHUNK_BYTES
from planet_async.testing import FakeClock

pytestmark = pytest.mark.anyio

SIZE = 1 << 20
LEAST = 1 << 18  # instead of 32 MiB, so that the tests are fast
SCENE = SceneProduct(["20240101_000000_00_1234"], "PSScene", "visual")


@pytest.fixture(autouse=True)
def small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("planet_async.downloads.segments._LEAST", LEAST)
    monkeypatch.setattr("planet_async.downloads.transfer._MIN_BATCH", 1 << 13)


class Counted:
    """The simulator, with the bytes of files and the concurrent requests counted."""

    def __init__(self, inner: Simulator) -> None:
        self._inner = inner
        self.received = 0
        self.ranges: list[str] = []
        self.conditions: Counter[str] = Counter()
        self.most_open = 0

    async def send(self, request: Request) -> Response:
        if request.stream and is_scene(request.url):
            self.ranges.append(request.headers.get("range", ""))
            self.conditions[request.headers.get("if-range", "")] += 1
        response = await self._inner.send(request)
        self.most_open = max(self.most_open, self._inner.open_responses)
        if not request.stream or response.status >= 300 or not is_scene(request.url):
            return response
        body = _Noted(response.chunks(), self)
        return Response(response.status, response.headers, body, url=response.url, close=response.aclose)

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Noted(AsyncIterator[bytes]):
    """A body whose bytes are counted.  No generator: to drop one half way is a ResourceWarning on trio."""

    def __init__(self, chunks: AsyncIterator[bytes], counted: Counted) -> None:
        self._chunks = chunks
        self._counted = counted

    async def __anext__(self) -> bytes:
        chunk = await anext(self._chunks)
        self._counted.received += len(chunk)
        return chunk


def is_scene(address: str) -> bool:
    return ".tif" in address and "udm" not in address


def of_scene(call: ServerRequest) -> bool:
    return is_scene(call.path)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def simulator(clock: FakeClock) -> Simulator:
    return Simulator(
        clock=clock,
        plan=OrderPlan(queue_seconds=0, run_seconds=1),
        limits=Limits.unlimited(),
        file_bytes=SIZE,
        link_seconds=300.0,
    )


@pytest.fixture
def network(simulator: Simulator) -> Counted:
    return Counted(simulator)


@pytest.fixture
async def planet(network: Counted, simulator: Simulator, clock: FakeClock) -> AsyncIterator[Planet]:
    async with Planet(Config(rates={}), credentials=ApiKey("any"), transport=network, clock=clock) as planet:
        yield planet
    assert simulator.open_responses == 0, "a response was left open"


async def finished(planet: Planet) -> Order:
    order = await planet.orders.create(OrderRequest("field 7", [SCENE]))
    return await planet.orders.wait(order.id)


def check(folder: Path, order: Order) -> None:
    """Compare with the manifest; there is no other file."""
    manifest = json.loads((folder / order.id / "manifest.json").read_bytes())
    for entry in manifest["files"]:
        content = (folder / order.id / entry["path"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry["digests"]["sha256"]
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) == len(manifest["files"]) + 1


def scene(folder: Path, order: Order) -> Path:
    (name,) = {result.name for result in order.results if is_scene(result.name)}
    return folder / name


async def test_max_attempts_bounds_the_requests_for_a_range(
    planet: Planet, simulator: Simulator, tmp_path: Path
) -> None:
    """With 1 a range that is cut is not requested again, and the file is not complete."""
    order = await finished(planet)
    requests = 0

    def counted(call: ServerRequest) -> bool:
        nonlocal requests
        requests += of_scene(call)
        return of_scene(call)

    simulator.faults.add(Fault(operation="storage.get", when=counted, cut=1 << 17))
    with pytest.raises(ConnectionLost):
        await planet.with_options(max_attempts=1).orders.download(order, tmp_path, ranges=4)
    assert requests <= 4


async def test_a_large_file_is_fetched_by_concurrent_ranges(
    planet: Planet, network: Counted, tmp_path: Path
) -> None:
    """Each requests its segment of the version that the first has seen; no byte arrives twice."""
    order = await finished(planet)
    await planet.orders.download(order, tmp_path, ranges=4)
    check(tmp_path, order)
    quarter = SIZE // 4
    assert sorted(network.ranges) == sorted(
        f"bytes={start}-{start + quarter - 1}" for start in range(0, SIZE, quarter)
    )
    assert network.received == SIZE
    assert network.most_open >= 4
    assert sorted(network.conditions.values()) == [1, 3]


async def test_ranges_are_off_by_default(planet: Planet, network: Counted, tmp_path: Path) -> None:
    """There is one request for each file."""
    order = await finished(planet)
    await planet.orders.download(order, tmp_path)
    assert network.ranges == [""]


async def test_a_small_file_is_not_split(
    planet: Planet, network: Counted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would not be faster."""
    monkeypatch.setattr("planet_async.downloads.segments._LEAST", SIZE + 1)
    order = await finished(planet)
    await planet.orders.download(order, tmp_path, ranges=4)
    check(tmp_path, order)
    assert network.ranges == [""]


async def test_numbers_below_one_are_refused(planet: Planet, tmp_path: Path) -> None:
    """`ranges` and `concurrency` are at least 1."""
    order = await finished(planet)
    with pytest.raises(InvalidRequest, match="at least 1"):
        await planet.orders.download(order, tmp_path, ranges=0)
    with pytest.raises(InvalidRequest, match="at least 1"):
        await planet.orders.download(order, tmp_path, concurrency=0)


async def test_progress_is_that_of_the_file(planet: Planet, tmp_path: Path) -> None:
    """All ranges count together, up to the size of the file."""
    order = await finished(planet)
    reported: list[Progress] = []
    await planet.orders.download(order, tmp_path, ranges=4, progress=reported.append)
    mine = [progress.received for progress in reported if is_scene(progress.name)]
    assert mine == sorted(set(mine))
    assert mine[-1] == SIZE


async def test_each_range_that_is_cut_is_resumed(
    planet: Planet, network: Counted, simulator: Simulator, tmp_path: Path
) -> None:
    """It continues where it was cut, and with the same version of the file."""
    order = await finished(planet)
    simulator.faults.add(Fault(when=of_scene, cut=100_000, times=8))
    await planet.orders.download(order, tmp_path, ranges=4)
    check(tmp_path, order)
    assert len(network.ranges) == 12
    assert network.received == SIZE
    assert sorted(network.conditions.values()) == [1, 11]


async def test_bytes_beyond_a_range_are_dropped(
    planet: Planet, network: Counted, simulator: Simulator, tmp_path: Path
) -> None:
    """They are not written to the segment of another."""
    order = await finished(planet)
    await planet.orders.download(order, tmp_path / "1")
    content = scene(tmp_path / "1", order).read_bytes()
    second = f"bytes={SIZE // 4}-{SIZE // 2 - 1}"
    network.ranges.clear()
    simulator.faults.add(
        Fault(
            when=lambda call: of_scene(call) and call.headers.get("range") == second,
            body=content[SIZE // 4 : SIZE // 2] + b"?" * SIZE,
            delay=5.0,
            times=1,
        )
    )
    await planet.orders.download(order, tmp_path / "2", ranges=4)
    check(tmp_path / "2", order)
    assert len(network.ranges) == 4


@pytest.mark.parametrize(
    "spoilt", [{"status": 200}, {"status": 416}, {"headers": {"content-range": "bytes 0-1/2"}}]
)
async def test_a_server_without_ranges(
    spoilt: dict[str, object], planet: Planet, network: Counted, simulator: Simulator, tmp_path: Path
) -> None:
    """The first response shows it: one request fetches the whole file, which arrives once."""
    order = await finished(planet)

    def ranged(call: ServerRequest) -> bool:
        return of_scene(call) and "range" in call.headers

    simulator.faults.add(Fault(when=ranged, **spoilt))  # type: ignore[arg-type]
    await planet.orders.download(order, tmp_path, ranges=4)
    check(tmp_path, order)
    assert len(network.ranges) == 2
    assert network.ranges[-1] == ""
    assert network.received == SIZE


async def test_a_file_that_changes_during_the_download(
    planet: Planet, network: Counted, simulator: Simulator, tmp_path: Path
) -> None:
    """Segments of two versions are not joined: it starts over, by one request."""
    order = await finished(planet)
    third = f"bytes={SIZE // 2}-"
    simulator.faults.add(
        Fault(
            when=lambda call: call.headers.get("range", "").startswith(third), headers={"etag": '"another"'}
        )
    )
    await planet.orders.download(order, tmp_path, ranges=4)
    check(tmp_path, order)
    assert network.ranges[-1] == ""
    assert network.received <= 2 * SIZE


async def test_wrong_bytes_once_are_fetched_again(
    planet: Planet, network: Counted, simulator: Simulator, tmp_path: Path
) -> None:
    """There is one checksum at the end; where it is wrong the file is fetched again, by one request."""
    order = await finished(planet)
    simulator.faults.add(Fault(when=of_scene, body=b"?" * (SIZE // 4), times=1))
    await planet.orders.download(order, tmp_path, ranges=4)
    check(tmp_path, order)
    assert len(network.ranges) == 5
    assert network.ranges[-1] == ""


async def test_wrong_bytes_twice_are_an_error(planet: Planet, simulator: Simulator, tmp_path: Path) -> None:
    """They never get the name of the file."""
    order = await finished(planet)
    simulator.faults.add(Fault(when=of_scene, body=b"?" * (SIZE // 4)))
    with pytest.raises(ChecksumMismatch):
        await planet.orders.download(order, tmp_path, ranges=4)
    assert not scene(tmp_path, order).exists()


async def test_an_expired_link_is_renewed_once_for_all(
    planet: Planet, network: Counted, simulator: Simulator, clock: FakeClock, tmp_path: Path
) -> None:
    """Links expire while all ranges are fetched, and each is cut: the order is read again once."""
    order = await finished(planet)
    gets = simulator.requests["orders.get"]
    simulator.faults.add(Fault(when=of_scene, cut=100_000, times=4))
    late = iter([301.0])

    def expire(progress: Progress) -> None:
        if progress.received > 300_000:
            clock.advance(next(late, 0.0))

    await planet.orders.download(order, tmp_path, ranges=4, progress=expire)
    check(tmp_path, order)
    assert simulator.requests["orders.get"] == gets + 1
    # How many met the old link, the other file of the order among them, depends on which ran first.
    assert simulator.responses["orders.download", 401] >= 2
    assert network.received == SIZE


async def test_one_range_that_stays_broken(
    planet: Planet, network: Counted, simulator: Simulator, tmp_path: Path
) -> None:
    """Its error is raised, the others end; what arrived is continued, by any number of ranges."""
    order = await finished(planet)
    third = f"bytes={SIZE // 2}-"
    simulator.faults.add(Fault(when=lambda call: call.headers.get("range", "").startswith(third), drop=True))
    with pytest.raises(ConnectionLost):
        await planet.orders.download(order, tmp_path, ranges=4)
    assert network.received >= SIZE // 4
    assert not scene(tmp_path, order).exists()
    simulator.faults.clear()
    await planet.orders.download(order, tmp_path)
    check(tmp_path, order)
    assert network.received == SIZE


async def test_a_full_disk(planet: Planet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a DownloadError that says so; the part is kept."""
    order = await finished(planet)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("planet_async.downloads.segments.Segment.write", full)
        with pytest.raises(DownloadError, match="No space left"):
            await planet.orders.download(order, tmp_path, ranges=4)
    assert list(tmp_path.rglob("*.part"))
    await planet.orders.download(order, tmp_path, ranges=4)
    check(tmp_path, order)


@pytest.mark.parametrize(("share", "ranges"), [(0.05, 1), (0.05, 4), (0.3, 2), (0.6, 1), (0.6, 2), (0.95, 4)])
async def test_cancelled_anywhere_it_is_continued(
    share: float, ranges: int, planet: Planet, network: Counted, tmp_path: Path
) -> None:
    """No final file, no open response; the next call fetches what is missing, by any number of ranges.

    Of each segment at most one chunk had arrived that was not written.
    """
    order = await finished(planet)

    def cancel(progress: Progress) -> None:
        if is_scene(progress.name) and progress.received > share * SIZE:
            scope.cancel()

    with anyio.CancelScope() as scope:
        await planet.orders.download(order, tmp_path, ranges=4, progress=cancel)
    assert scope.cancelled_caught
    assert not scene(tmp_path, order).exists()
    network.most_open = 0
    await planet.orders.download(order, tmp_path, ranges=ranges, concurrency=1)
    check(tmp_path, order)
    assert SIZE <= network.received <= SIZE + 4 * CHUNK_BYTES
    assert network.most_open <= ranges


async def test_the_part_of_one_request_is_continued_by_ranges(
    planet: Planet, network: Counted, simulator: Simulator, tmp_path: Path
) -> None:
    """An ordinary part is the beginning; what is missing is split."""
    order = await finished(planet)
    simulator.faults.add(Fault(when=of_scene, cut=SIZE // 2, times=1))
    simulator.faults.add(Fault(when=of_scene, drop=True))
    with pytest.raises(ConnectionLost):
        await planet.orders.download(order, tmp_path)
    simulator.faults.clear()
    network.ranges.clear()
    await planet.orders.download(order, tmp_path, ranges=2)
    check(tmp_path, order)
    assert sorted(network.ranges) == [
        f"bytes={SIZE // 2}-{SIZE * 3 // 4 - 1}",
        f"bytes={SIZE * 3 // 4}-{SIZE - 1}",
    ]


SHORT = 10_000


@pytest.fixture
def part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("planet_async.downloads.segments._LEAST", 1000)
    path = tmp_path / "a.part"
    path.touch()
    return path


def left(part: Path, ranges: int = 1) -> list[tuple[int, int]]:
    return [(segment.at, segment.stop) for segment in split(part, SHORT, ranges)]


def test_killed_between_any_two_steps(part: Path) -> None:
    """Notes never claim bytes that were not written, and no incomplete part looks complete."""
    first, second = split(part, SHORT, 2)
    assert part.stat().st_size == SHORT
    first.write(b"a" * 3000 + b"b" * 500)
    second.write(b"c" * 9000)  # more than it was to bring
    assert left(part) == left(part, 7) == [(3500, 5000), (10_000, 10_000)]
    assert part.read_bytes() == b"a" * 3000 + b"b" * 500 + bytes(1500) + b"c" * 5000
    notes = part.with_name("a.part.ranges")
    part.write_bytes(b"a" * 3500)  # notes were written, and the part is not split yet
    assert left(part) == []
    assert not notes.exists()
    assert part.stat().st_size == 3500


def test_bytes_are_written_before_the_note(part: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between the two, the bytes are fetched again."""
    segment, _ = split(part, SHORT, 2)
    segment.write(b"a" * 1000)
    with monkeypatch.context() as patch:
        patch.setattr("planet_async.downloads.segments._notes", lambda _: part.with_name("gone"))
        with pytest.raises(FileNotFoundError):
            segment.write(b"b" * 1000)
    assert left(part) == [(1000, 5000), (5000, 10_000)]
    assert part.read_bytes()[:2000] == b"a" * 1000 + b"b" * 1000


@pytest.mark.parametrize(
    "text", ["", "x", "1 2\n", f"{0:020d} {SHORT + 1:020d}\n", f"{9:020d} {5:020d}\n{5:020d} {SHORT:020d}\n"]
)
def test_invalid_notes_are_dropped(text: str, part: Path) -> None:
    """The checksum shows whether the part can be used."""
    part.write_bytes(bytes(SHORT))
    part.with_name("a.part.ranges").write_text(text)
    assert left(part) == []
    assert [path.name for path in part.parent.iterdir()] == ["a.part"]


def test_joining_leaves_a_whole_or_an_empty_part(part: Path) -> None:
    """In both cases without notes."""
    for whole, size in ((True, SHORT), (False, 0)):
        part.write_bytes(b"")
        split(part, SHORT, 2)
        join(part, whole)
        assert part.stat().st_size == size
        assert [path.name for path in part.parent.iterdir()] == ["a.part"]


async def test_a_response_that_ends_early_is_resumed(
    planet: Planet, network: Counted, simulator: Simulator, tmp_path: Path
) -> None:
    """A body shorter than its range, without an error, is continued like a cut one."""
    order = await finished(planet)
    await planet.orders.download(order, tmp_path / "1")
    content = scene(tmp_path / "1", order).read_bytes()
    network.ranges.clear()
    simulator.faults.add(Fault(when=of_scene, body=content[:1000], times=1))
    await planet.orders.download(order, tmp_path / "2", ranges=4)
    check(tmp_path / "2", order)
    assert len(network.ranges) == 5
    assert f"bytes=1000-{SIZE // 4 - 1}" in network.ranges


async def test_a_server_without_ranges_has_a_second_attempt(
    planet: Planet, simulator: Simulator, tmp_path: Path
) -> None:
    """Refused ranges are no wrong file: the whole file may still arrive wrong once."""
    order = await finished(planet)
    simulator.faults.add(Fault(when=lambda call: of_scene(call) and "range" in call.headers, status=200))
    simulator.faults.add(Fault(when=of_scene, body=b"?" * SIZE, times=1))
    await planet.orders.download(order, tmp_path, ranges=4)
    check(tmp_path, order)


async def test_one_range_that_fails_ends_the_others(
    planet: Planet, simulator: Simulator, clock: FakeClock, tmp_path: Path
) -> None:
    """The error is raised at once, and not when the slow ones have arrived."""
    order = await finished(planet)

    def begins(start: int) -> Callable[[ServerRequest], bool]:
        return lambda call: call.headers.get("range", "").startswith(f"bytes={start}-")

    simulator.faults.add(Fault(when=begins(SIZE // 4), status=400))
    simulator.faults.add(Fault(when=begins(SIZE // 2), delay=10_000.0))
    began = clock.monotonic()
    with pytest.raises(BadRequest):
        await planet.orders.download(order, tmp_path, ranges=4)
    assert clock.monotonic() - began < 1000


class Storage:
    """A transport that sends ranges of one file, each with what `add` makes of its bytes."""

    def __init__(self, content: bytes, add: Callable[[bytes, int], list[bytes | Exception]]) -> None:
        self._content = content
        self._add = add
        self.ranges: list[str] = []

    async def send(self, request: Request) -> Response:
        self.ranges.append(request.headers["range"])
        start, stop = (int(place) for place in request.headers["range"][6:].split("-"))
        assert start <= stop
        span = f"bytes {start}-{stop}/{len(self._content)}"
        chunks = self._add(self._content[start : stop + 1], len(self.ranges))
        return Response(206, {"content-range": span}, _Body(chunks), url=request.url)

    async def aclose(self) -> None:
        """Close nothing."""


class _Body(AsyncIterator[bytes]):
    def __init__(self, chunks: list[bytes | Exception]) -> None:
        self._chunks = iter(chunks)

    async def __anext__(self) -> bytes:
        for chunk in self._chunks:
            if isinstance(chunk, Exception):
                raise chunk
            return chunk
        raise StopAsyncIteration


async def stored(storage: Storage, content: bytes, folder: Path) -> None:
    digests = {"sha256": hashlib.sha256(content).hexdigest()}
    file = RemoteFile("f", Request("GET", "https://storage/f", stream=True), len(content), digests)
    path = await download(storage, file, Folder(folder), clock=FakeClock(), max_attempts=5, ranges=4)
    assert path.read_bytes() == content


async def test_a_range_that_is_cut_after_its_last_byte_is_complete(tmp_path: Path) -> None:
    """It is not requested again: for a range of no bytes a server would send the whole file."""
    content = bytes(range(256)) * (SIZE // 256)
    cut = ConnectionLost("cut")
    storage = Storage(content, lambda data, number: [data, cut] if number == 2 else [data])
    await stored(storage, content, tmp_path)
    assert len(storage.ranges) == 4


async def test_an_endless_range_is_not_read_further(tmp_path: Path) -> None:
    """What follows its last byte belongs to another segment."""
    content = bytes(range(256)) * (SIZE // 256)
    storage = Storage(content, lambda data, _: [data, b"more", RuntimeError("it is read on")])
    await stored(storage, content, tmp_path)
