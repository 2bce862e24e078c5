"""Downloads: from a finished order to checked files, against the simulator and its faults."""

import errno
import hashlib
import json
import os
import sys
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import anyio
import anyio.lowlevel
import pytest
from described import BASE, ORDER_ID, described, manifest

from planet_async import (
    AmazonS3,
    ApiKey,
    Archive,
    BodyTooLarge,
    ChecksumMismatch,
    Config,
    ConnectionLost,
    DecodeError,
    DownloadError,
    Forbidden,
    Order,
    OrderNotDownloadable,
    OrderRequest,
    Planet,
    Progress,
    SceneProduct,
    SentinelHub,
    TransportTimeout,
    UnsafeName,
)
from planet_async.downloads.remote_file import safe_path
from planet_async.http import Request, Response
from planet_async.simulator import Fault, Limits, OrderPlan, ServerRequest, Simulator
from planet_async.testing import FakeClock, FakeTransport, reply

pytestmark = pytest.mark.anyio

SCENE = SceneProduct(["20240101_000000_00_1234"], "PSScene", "analytic_udm2")


async def finished(planet: Planet, request: OrderRequest | None = None) -> Order:
    order = await planet.orders.create(request or OrderRequest("field 7", [SCENE]))
    return await planet.orders.wait(order.id)


def is_udm2(call: ServerRequest) -> bool:
    return "udm2" in call.path


def check_against_manifest(folder: Path, order: Order) -> int:
    """Compare every file with its manifest, without this package."""
    manifest = json.loads((folder / order.id / "manifest.json").read_bytes())
    for entry in manifest["files"]:
        content = (folder / order.id / entry["path"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry["digests"]["sha256"]
    return len(manifest["files"])


async def test_every_file_is_there_and_right(planet: Planet, tmp_path: Path) -> None:
    """All files of the manifest are below the folder of the order, and no others."""
    order = await finished(planet)
    paths = await planet.orders.download(order, tmp_path)
    count = check_against_manifest(tmp_path, order)
    assert len(paths) == count + 1 == len(order.results)
    assert sorted(paths) == sorted(path for path in tmp_path.rglob("*") if path.is_file())


async def test_an_order_can_be_downloaded_by_id(planet: Planet, tmp_path: Path) -> None:
    """The id is looked up first; a folder may be text, and is created."""
    order = await finished(planet)
    paths = await planet.orders.download(order.id, str(tmp_path / "new" / "folder"))
    assert check_against_manifest(tmp_path / "new" / "folder", order) == len(paths) - 1


async def test_a_listed_order_is_looked_up(planet: Planet, tmp_path: Path) -> None:
    """Listed orders have no links; they are fetched before the download."""
    await finished(planet)
    listed = await planet.orders.list().first()
    assert listed is not None
    assert listed.is_listed
    assert await planet.orders.download(listed, tmp_path)


async def test_links_that_are_about_to_expire_are_renewed(
    planet: Planet, simulator: Simulator, clock: FakeClock, tmp_path: Path
) -> None:
    """An order that was kept for hours can be downloaded."""
    order = await finished(planet)
    clock.advance(3 * 3600)
    gets = simulator.requests["orders.get"]
    await planet.orders.download(order, tmp_path)
    assert simulator.requests["orders.get"] == gets + 1


async def test_an_archive_is_one_file(planet: Planet, tmp_path: Path) -> None:
    """A ZIP file is fetched and verified as a whole."""
    request = OrderRequest(
        "farm", [SCENE], delivery=Archive(single_archive=True, archive_filename="{{name}}.zip")
    )
    order = await finished(planet, request)
    paths = await planet.orders.download(order, tmp_path)
    assert [path.name for path in paths] == ["farm.zip", "manifest.json"]
    assert check_against_manifest(tmp_path, order) == 1
    assert ZipFile(paths[0]).testzip() is None


async def test_progress_is_reported_in_bytes(planet: Planet, tmp_path: Path) -> None:
    """Each file grows from its first bytes to its whole size."""
    reported: list[Progress] = []
    order = await finished(planet)
    paths = await planet.orders.download(order, tmp_path, progress=reported.append)
    for path in paths:
        name = path.relative_to(tmp_path).as_posix()
        mine = [progress for progress in reported if progress.name == name]
        assert mine[-1].received == path.stat().st_size == mine[-1].size
        assert [progress.received for progress in mine] == sorted({progress.received for progress in mine})


async def test_files_are_fetched_concurrently(clock: FakeClock, tmp_path: Path) -> None:
    """Slow storage takes the time of the slowest file, not of all, within `concurrency`."""
    simulator = Simulator(clock=clock, plan=OrderPlan(queue_seconds=0, run_seconds=1))
    simulator.faults.add(Fault(operation="storage.get", delay=100.0))
    async with Planet(credentials=ApiKey("any"), transport=simulator, clock=clock) as planet:
        order = await finished(planet)
        started = clock.monotonic()
        paths = await planet.orders.download(order, tmp_path, concurrency=100)
        assert clock.monotonic() - started < 300  # the manifest, then all others at once
        slow = clock.monotonic()
        await planet.orders.download(order, tmp_path / "again", concurrency=1)
        assert clock.monotonic() - slow >= 100 * len(paths)


async def test_a_file_that_is_there_and_right_is_kept(
    planet: Planet, simulator: Simulator, tmp_path: Path
) -> None:
    """A second download fetches only the manifest."""
    order = await finished(planet)
    await planet.orders.download(order, tmp_path)
    before = simulator.requests["storage.get"]
    await planet.orders.download(order, tmp_path)
    assert simulator.requests["storage.get"] == before + 1


async def test_another_file_of_that_name_is_not_overwritten(planet: Planet, tmp_path: Path) -> None:
    """It is an error, and the other files are fetched; `overwrite` replaces it."""
    order = await finished(planet)
    victim = tmp_path / order.results[0].name
    victim.parent.mkdir(parents=True)
    victim.write_text("mine")
    with pytest.raises(DownloadError, match="overwrite=True"):
        await planet.orders.download(order, tmp_path)
    assert victim.read_text() == "mine"
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == len(order.results)
    await planet.orders.download(order, tmp_path, overwrite=True)
    check_against_manifest(tmp_path, order)


async def test_a_file_in_the_place_of_the_folder(planet: Planet, tmp_path: Path) -> None:
    """What cannot be written is a DownloadError that says what and where."""
    order = await finished(planet)
    (tmp_path / order.id).write_text("a file where the folder has to be")
    with pytest.raises(DownloadError, match=f"cannot write .*{order.id}"):
        await planet.orders.download(order, tmp_path)


async def test_wrong_bytes_never_get_the_final_name(
    planet: Planet, simulator: Simulator, tmp_path: Path
) -> None:
    """A file that differs from the manifest is fetched once more, then refused, and removed."""
    order = await finished(planet)
    simulator.faults.add(Fault(operation="storage.get", when=is_udm2, body=b"x" * 4096))
    with pytest.raises(ChecksumMismatch, match="udm2"):
        await planet.orders.download(order, tmp_path)
    assert not [path for path in tmp_path.rglob("*") if "udm2" in path.name]
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == len(order.results) - 1
    assert simulator.requests["storage.get"] == len(order.results) + 1


async def test_wrong_bytes_once_are_fetched_again(
    planet: Planet, simulator: Simulator, tmp_path: Path
) -> None:
    """A corrupt transfer costs another transfer, not the file."""
    order = await finished(planet)
    simulator.faults.add(Fault(operation="storage.get", when=is_udm2, body=b"x" * 4096, times=1))
    await planet.orders.download(order, tmp_path)
    check_against_manifest(tmp_path, order)


async def test_a_cut_connection_is_resumed(planet: Planet, simulator: Simulator, tmp_path: Path) -> None:
    """Only what is missing is fetched, of the same version of the file."""
    ranges: list[tuple[str, str]] = []

    def noted(call: ServerRequest) -> bool:
        ranges.append((call.headers.get("range", ""), call.headers.get("if-range", "")))
        return True

    order = await finished(planet)
    simulator.faults.add(Fault(operation="storage.get", when=is_udm2, cut=1000, times=2))
    simulator.faults.add(Fault(operation="storage.get", when=lambda call: is_udm2(call) and noted(call)))
    await planet.orders.download(order, tmp_path)
    check_against_manifest(tmp_path, order)
    ((start, tag),) = ranges
    assert start == "bytes=2000-"
    assert tag.startswith('"')


@pytest.mark.parametrize("most", [1, 3])
@pytest.mark.parametrize(
    "fault", [{"cut": 0}, {"drop": True}, {"body": b"x" * 4096}], ids=["cut", "dropped", "wrong bytes"]
)
async def test_max_attempts_bounds_the_requests_for_a_file(
    planet: Planet, simulator: Simulator, tmp_path: Path, most: int, fault: dict[str, Any]
) -> None:
    """With 1 no file is requested again, be it cut, lost, or different from the manifest."""
    order = await finished(planet)
    requests = 0

    def counted(call: ServerRequest) -> bool:
        nonlocal requests
        requests += is_udm2(call)
        return is_udm2(call)

    simulator.faults.add(Fault(operation="storage.get", when=counted, **fault))
    with pytest.raises((ConnectionLost, ChecksumMismatch)):
        await planet.with_options(max_attempts=most).orders.download(order, tmp_path)
    assert requests == (min(2, most) if "body" in fault else most)


async def test_a_connection_that_stays_broken_keeps_its_part(
    planet: Planet, simulator: Simulator, tmp_path: Path
) -> None:
    """The error is raised; the incomplete file is a `.part`, which the next call continues."""
    order = await finished(planet)
    simulator.faults.add(Fault(operation="storage.get", when=is_udm2, cut=1000, times=1))
    simulator.faults.add(Fault(operation="storage.get", when=is_udm2, drop=True))
    with pytest.raises(ConnectionLost):
        await planet.orders.download(order, tmp_path)
    (part,) = (path for path in tmp_path.rglob("*") if "udm2" in path.name)
    assert (part.suffix, part.stat().st_size) == (".part", 1000)
    assert simulator.open_responses == 0
    simulator.faults.clear()
    simulator.faults.add(
        Fault(
            operation="storage.get",
            status=500,
            when=lambda call: is_udm2(call) and "range" not in call.headers,
        )
    )
    await planet.orders.download(order, tmp_path)
    check_against_manifest(tmp_path, order)


async def test_a_wrong_part_is_started_over(planet: Planet, tmp_path: Path) -> None:
    """What an earlier call left is verified with the rest: if it is wrong, the file is fetched whole."""
    order = await finished(planet)
    for result, size in zip(order.results, (10, 4096, 9999, 50), strict=False):
        part = tmp_path / f"{result.name}.part"
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(b"?" * size)
    await planet.orders.download(order, tmp_path)
    check_against_manifest(tmp_path, order)
    assert not list(tmp_path.rglob("*.part"))


async def test_a_server_without_ranges_sends_the_whole_file(tmp_path: Path) -> None:
    """A 200 in response to a range starts the file over."""
    name = f"{ORDER_ID}/a"
    content = bytes(range(200))
    transport, planet = described((f"{ORDER_ID}/manifest.json", manifest(a=content)), (name, content))
    (tmp_path / ORDER_ID).mkdir()
    (tmp_path / f"{name}.part").write_bytes(content[:100])
    await planet.orders.download(ORDER_ID, tmp_path)
    assert (tmp_path / name).read_bytes() == content
    assert transport.requests[-1].headers["range"] == "bytes=100-"


async def test_expired_links_are_renewed_once_for_all_files(clock: FakeClock, tmp_path: Path) -> None:
    """Links that expire during the download are read from the order once, not for each file."""
    simulator = Simulator(clock=clock, plan=OrderPlan(queue_seconds=0, run_seconds=1), link_seconds=300.0)
    async with Planet(credentials=ApiKey("any"), transport=simulator, clock=clock) as planet:
        order = await finished(planet)
        gets = simulator.requests["orders.get"]
        simulator.faults.add(Fault(operation="storage.get", delay=301.0, times=1))
        await planet.orders.download(order, tmp_path)
    check_against_manifest(tmp_path, order)
    assert simulator.requests["orders.get"] == gets + 1


async def test_a_link_that_stays_refused_is_an_error(
    planet: Planet, simulator: Simulator, tmp_path: Path
) -> None:
    """A fresh link that is also refused is not requested again."""
    order = await finished(planet)
    simulator.faults.add(Fault(operation="storage.get", when=is_udm2, status=403))
    with pytest.raises(Forbidden):
        await planet.orders.download(order, tmp_path)
    assert simulator.responses["storage.get", 403] == 2


async def test_two_downloads_to_one_folder(planet: Planet, simulator: Simulator, tmp_path: Path) -> None:
    """They do not mix their bytes: one fetches, the other waits and finds the file right."""
    order = await finished(planet)
    simulator.faults.add(Fault(operation="storage.get", delay=30.0))
    async with anyio.create_task_group() as group:
        for _ in range(2):
            group.start_soon(planet.orders.download, order, tmp_path)
    check_against_manifest(tmp_path, order)
    # Each has its own manifest.
    assert simulator.requests["storage.get"] == len(order.results) + 1
    assert not list(tmp_path.rglob("*.part"))


async def test_a_full_disk(planet: Planet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a DownloadError that says so; the part is kept."""
    order = await finished(planet)

    def full(_: int, __: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("planet_async.downloads.part_file.os.write", full)
        with pytest.raises(DownloadError, match="No space left"):
            await planet.orders.download(order, tmp_path)
    assert list(tmp_path.rglob("*.part"))
    await planet.orders.download(order, tmp_path)
    check_against_manifest(tmp_path, order)


class Counting:
    """A transport that counts the bytes of the files."""

    def __init__(self, inner: Simulator) -> None:
        self._inner = inner
        self.received = 0

    async def send(self, request: Request) -> Response:
        response = await self._inner.send(request)
        if not request.stream or response.status >= 300:
            return response

        body = _Counted(response.chunks(), self)
        return Response(response.status, response.headers, body, url=response.url, close=response.aclose)

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Counted(AsyncIterator[bytes]):
    """A body whose bytes are counted.  No generator: to drop one half way is a ResourceWarning on trio."""

    def __init__(self, chunks: AsyncIterator[bytes], counting: Counting) -> None:
        self._chunks = chunks
        self._counting = counting

    async def __anext__(self) -> bytes:
        chunk = await anext(self._chunks)
        self._counting.received += len(chunk)
        return chunk


@pytest.mark.no_cover
async def test_five_hundred_files_through_everything(
    anyio_backend: str, clock: FakeClock, tmp_path: Path
) -> None:
    """Each third is cut, links expire, two bodies are corrupt: complete, verified, hardly a byte twice."""
    scenes = 250 if anyio_backend == "asyncio" else 60
    simulator = Simulator(
        clock=clock,
        plan=OrderPlan(queue_seconds=0, run_seconds=1),
        limits=Limits.unlimited(),
        link_seconds=75.0,
    )
    network = Counting(simulator)
    request = OrderRequest("many", [SceneProduct([f"2024_{n}" for n in range(scenes)], "PSScene", "visual")])
    async with Planet(Config(rates={}), credentials=ApiKey("any"), transport=network, clock=clock) as planet:
        order = await finished(planet, request)
        fetched = count()
        simulator.faults.add(
            Fault(
                operation="storage.get",
                when=lambda call: "range" not in call.headers and next(fetched) % 3 == 1,
                cut=700,
            )
        )
        corrupt = [result.name for result in order.results if result.name.endswith(".tif")][:2]
        for name in corrupt:
            simulator.faults.add(Fault(operation="storage.get", path=f"/{name}", body=b"?" * 4096, times=1))
        simulator.faults.add(Fault(operation="storage.get", delay=375 / scenes))
        paths = await planet.orders.download(order, tmp_path)
    assert check_against_manifest(tmp_path, order) == len(paths) - 1
    assert len(paths) == 2 * scenes + 1
    assert simulator.requests["orders.get"] > 2, "no link expired"
    assert network.received <= 1.1 * sum(path.stat().st_size for path in paths)


async def test_cancelling_leaves_no_partial_file(
    planet: Planet, simulator: Simulator, tmp_path: Path
) -> None:
    """There is no file with a final name, and no open response."""
    order = await finished(planet)
    with anyio.CancelScope() as scope:
        await planet.orders.download(
            order, tmp_path, progress=lambda progress: scope.cancel() if "udm2" in progress.name else None
        )
    assert scope.cancelled_caught
    assert not [path for path in tmp_path.rglob("*udm2*") if path.suffix != ".part"]
    assert simulator.open_responses == 0


async def test_all_errors_are_reported(planet: Planet, simulator: Simulator, tmp_path: Path) -> None:
    """The first error is raised, the others are in its notes."""
    order = await finished(planet)
    simulator.faults.add(
        Fault(operation="storage.get", when=lambda call: "manifest" not in call.path, body=b"x")
    )
    with pytest.raises(ChecksumMismatch) as caught:
        await planet.orders.download(order, tmp_path)
    assert len(caught.value.__notes__) == len(order.results) - 2


@pytest.mark.parametrize("state", ["failed", "cancelled"])
async def test_a_failed_order_says_why(state: str, tmp_path: Path) -> None:
    """The error has the hints of the API."""
    _, planet = described(state=state, error_hints=["No access to assets", "Try another item"])
    with pytest.raises(OrderNotDownloadable, match=f"{state}: No access to assets; Try another") as caught:
        await planet.orders.download(ORDER_ID, tmp_path)
    assert caught.value.error_hints == ("No access to assets", "Try another item")
    assert not list(tmp_path.iterdir())


async def test_an_unfinished_order_says_to_wait(planet: Planet, tmp_path: Path) -> None:
    """A queued order has nothing to download yet."""
    order = await planet.orders.create(OrderRequest("x", [SCENE]))
    with pytest.raises(OrderNotDownloadable, match=r"queued.*Wait"):
        await planet.orders.download(order, tmp_path)


async def test_the_error_for_a_cloud_order_names_the_place(planet: Planet, tmp_path: Path) -> None:
    """It says where the files are."""
    bucket = AmazonS3(
        bucket="b", aws_region="r", aws_access_key_id="k", aws_secret_access_key="hidden", path_prefix="p"
    )
    order = await finished(planet, OrderRequest("x", [SCENE], delivery=bucket))
    with pytest.raises(OrderNotDownloadable, match="delivered to amazon_s3") as caught:
        await planet.orders.download(order, tmp_path)
    assert "hidden" not in str(caught.value)
    hosted = await finished(planet, OrderRequest("x", [SCENE], hosting=SentinelHub()))
    with pytest.raises(OrderNotDownloadable, match="hosting at sentinel_hub"):
        await planet.orders.download(hosted, tmp_path)


async def test_a_partial_order_is_downloaded(clock: FakeClock, tmp_path: Path) -> None:
    """Files that could not be made are left out; the others are downloaded."""
    simulator = Simulator(clock=clock, plan=OrderPlan(queue_seconds=0, run_seconds=1, state="partial"))
    async with Planet(credentials=ApiKey("any"), transport=simulator, clock=clock) as planet:
        request = OrderRequest(
            "x", [SceneProduct(["20240101_a", "20240101_b"], "PSScene", "visual")], order_type="partial"
        )
        order = await finished(planet, request)
        paths = await planet.orders.download(order, tmp_path)
    assert 0 < check_against_manifest(tmp_path, order) == len(paths) - 1


async def test_a_success_without_links(tmp_path: Path) -> None:
    """A finished order without files is an error, not an empty list of paths."""
    _, planet = described()
    with pytest.raises(OrderNotDownloadable, match="lists no files"):
        await planet.orders.download(ORDER_ID, tmp_path)
    result = {"name": f"{ORDER_ID}/a.tif", "delivery": "pending"}
    _, planet = described(_links={"results": [result]})
    with pytest.raises(OrderNotDownloadable, match=r"no link for .*tif"):
        await planet.orders.download(ORDER_ID, tmp_path)


OUTSIDE = ["../x", f"{ORDER_ID}/../../x", "/etc/x", "a\\..\\x", "\\x", "C:/x", "C:x", "a/", "a/\x00b", ".."]


async def test_names_from_the_server_stay_in_the_folder(tmp_path: Path) -> None:
    """A name that would lead out of it is refused before its file is requested."""
    for name in ("", *OUTSIDE):
        with pytest.raises(UnsafeName):
            safe_path(tmp_path, name)
    transport, planet = described(*((name, b"evil") for name in OUTSIDE))
    with pytest.raises(UnsafeName, match="the server named a file") as caught:
        await planet.orders.download(ORDER_ID, tmp_path / "data")
    assert len(caught.value.__notes__) == len(OUTSIDE) - 1
    assert len(transport.requests) == 1
    assert not list(tmp_path.rglob("*"))


@pytest.mark.parametrize("name", ["NUL", "a/con.tif", "a/com1", "x/.. /y", "a.", "a ", "one:two", "what?"])
def test_names_that_mean_something_else_on_windows(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Devices, streams, and names that lose their end are refused there, and only there."""
    assert safe_path(tmp_path, name).is_relative_to(tmp_path)
    monkeypatch.setattr("planet_async.downloads.remote_file._ON_WINDOWS", True)
    with pytest.raises(UnsafeName):
        safe_path(tmp_path, name)


@pytest.mark.parametrize("overwrite", [False, True])
async def test_links_in_the_folder_do_not_lead_out_of_it(tmp_path: Path, overwrite: bool) -> None:
    """A name through a symbolic link that leads out is refused; the folder itself may be a link."""
    elsewhere, data = tmp_path / "elsewhere", tmp_path / "data"
    elsewhere.mkdir()
    data.symlink_to(tmp_path / "disk", target_is_directory=True)
    (tmp_path / "disk").mkdir()
    (data / "link").symlink_to(elsewhere, target_is_directory=True)
    (data / "inside").symlink_to(tmp_path / "disk", target_is_directory=True)
    _, planet = described(("link/a", b"a"), ("inside/b", b"b"), ("link/new/c", b"c"))
    with pytest.raises(UnsafeName, match="link") as caught:
        await planet.orders.download(ORDER_ID, data, overwrite=overwrite)
    assert len(caught.value.__notes__) == 1
    assert not [*elsewhere.iterdir()]
    assert (tmp_path / "disk" / "b").read_bytes() == b"b"


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("other", ["./a", "a.part", "a.part.ranges"])
async def test_two_results_of_one_name(tmp_path: Path, other: str, overwrite: bool) -> None:
    """The second does not overwrite the first, nor its part: it is an error."""
    _, planet = described(("a", b"first"), (other, b"second"))
    with pytest.raises(DownloadError, match="cannot both"):
        await planet.orders.download(ORDER_ID, tmp_path, overwrite=overwrite)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


async def test_names_that_differ_in_case_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file system takes them for one file, the second is an error."""
    _, planet = described(("a", b"first"), ("A", b"second"))
    assert len(await planet.orders.download(ORDER_ID, tmp_path / "1")) == 2
    monkeypatch.setattr("planet_async.downloads.part_file._IGNORES_CASE", True)
    with pytest.raises(DownloadError, match="cannot both"):
        await planet.orders.download(ORDER_ID, tmp_path / "2", overwrite=True)


async def test_one_result_listed_twice_is_fetched_once(tmp_path: Path) -> None:
    """With the same checksum in the manifest it is the same file."""
    names = [f"{ORDER_ID}/manifest.json", f"{ORDER_ID}/a", f"{ORDER_ID}/a"]
    files = zip(names, (manifest(a=b"right"), b"right", b"right"), strict=True)
    transport, planet = described(*files)
    assert len(await planet.orders.download(ORDER_ID, tmp_path, overwrite=True)) == 2
    assert len(transport.requests) == 3


async def test_an_endless_manifest(tmp_path: Path) -> None:
    """It is read up to the limit for responses, and is not kept."""
    name = f"{ORDER_ID}/manifest.json"
    transport, _ = described((name, b" " * 100_000))
    planet = Planet(
        Config(max_body_bytes=10_000), credentials=ApiKey("any"), transport=transport, clock=FakeClock()
    )
    with pytest.raises(BodyTooLarge, match="longer than 10,000 bytes"):
        await planet.orders.download(ORDER_ID, tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


async def test_an_error_of_progress_is_raised_as_it_is(planet: Planet, tmp_path: Path) -> None:
    """It ends the download, and is not wrapped in a group."""

    def fail(progress: Progress) -> None:
        if "udm2" in progress.name:
            raise KeyError(progress.name)

    order = await finished(planet)
    with pytest.raises(KeyError, match="udm2"):
        await planet.orders.download(order, tmp_path, progress=fail)


async def test_an_order_without_a_manifest(tmp_path: Path) -> None:
    """The files that are listed are fetched."""
    _, planet = described((f"{ORDER_ID}/b.txt", b"b"))
    assert [path.name for path in await planet.orders.download(ORDER_ID, tmp_path)] == ["b.txt"]


async def test_a_manifest_with_md5_only(tmp_path: Path) -> None:
    """Files are verified by it, and the size by itself."""
    names = [f"{ORDER_ID}/manifest.json", f"{ORDER_ID}/a"]
    _, planet = described((names[0], manifest(a=b"right")), (names[1], b"right"))
    await planet.orders.download(ORDER_ID, tmp_path)
    _, planet = described((names[0], manifest(a=b"right")), (names[1], b"wrong"))
    with pytest.raises(ChecksumMismatch, match="md5"):
        await planet.orders.download(ORDER_ID, tmp_path / "2")
    _, planet = described((names[0], manifest(a=b"right")), (names[1], b"rightish"))
    with pytest.raises(ChecksumMismatch, match="5 bytes, and more came"):
        await planet.orders.download(ORDER_ID, tmp_path / "3")


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"files": [{"size": 1}]}', b'{"files": 5}'])
async def test_a_broken_manifest(body: bytes, tmp_path: Path) -> None:
    """Without a manifest nothing can be verified: a DecodeError names the file."""
    _, planet = described((f"{ORDER_ID}/manifest.json", body), (f"{ORDER_ID}/a", b"a"))
    with pytest.raises(DecodeError, match=r"manifest\.json is not the manifest"):
        await planet.orders.download(ORDER_ID, tmp_path)


async def test_the_credential_is_not_sent_to_the_storage(
    planet: Planet, simulator: Simulator, tmp_path: Path
) -> None:
    """The simulated storage refuses requests with a credential, as the signed links of clouds do."""
    order = await finished(planet)
    await planet.orders.download(order, tmp_path)
    assert simulator.responses["storage.get", 200] == len(order.results)
    assert not any(status >= 400 for _, status in simulator.responses)


async def test_a_large_file_in_small_chunks(tmp_path: Path) -> None:
    """A file larger than one batch arrives whole."""
    content = bytes(range(256)) * 14_000
    name = f"{ORDER_ID}/big"
    pieces = [content[start : start + 65_536] for start in range(0, len(content), 65_536)]
    results = [{"name": name, "delivery": "success", "location": f"{BASE}x"}]
    transport = FakeTransport(
        [
            reply(json={"id": ORDER_ID, "state": "success", "_links": {"results": results}}),
            reply(chunks=pieces),
        ]
    )
    planet = Planet(credentials=ApiKey("any"), transport=transport, clock=FakeClock())
    (path,) = await planet.orders.download(ORDER_ID, tmp_path)
    assert path.read_bytes() == content


async def test_open_reads_without_a_file(planet: Planet, simulator: Simulator) -> None:
    """The bytes are yielded as they arrive, with name and size; leaving early is safe."""
    order = await finished(planet)
    result = order.results[0]
    async with planet.orders.open(result) as file:
        content = b"".join([chunk async for chunk in file])
        assert (file.name, file.size) == (result.name, len(content))
    async with planet.orders.open(result) as file:
        async for chunk in file:
            assert content.startswith(chunk)
            break
    assert simulator.open_responses == 0


async def test_open_needs_a_link(planet: Planet) -> None:
    """For a result without a location the error says that it cannot be opened."""
    order = await finished(planet, OrderRequest("x", [SCENE], hosting=SentinelHub()))
    with pytest.raises(OrderNotDownloadable, match="no link"):
        async with planet.orders.open(order.results[0]):
            pass


async def test_run_orders_waits_and_downloads(planet: Planet, tmp_path: Path) -> None:
    """There is one outcome for each request, as it is done."""
    requests = [OrderRequest(f"order {number}", [SCENE]) for number in range(6)]
    deliveries = [outcome.unwrap() async for outcome in planet.orders.run(requests, to=tmp_path)]
    assert sorted(delivery.order.name for delivery in deliveries) == sorted(
        request.name for request in requests
    )
    for delivery in deliveries:
        assert check_against_manifest(tmp_path, delivery.order) == len(delivery.paths) - 1


async def test_run_has_an_outcome_for_each_failure(clock: FakeClock, tmp_path: Path) -> None:
    """Orders that are refused or fail do not stop the others."""
    simulator = Simulator(
        clock=clock,
        plan=lambda body, _: OrderPlan(
            run_seconds=5, state="failed" if body["name"] == "fails" else "success"
        ),
    )
    requests = [
        OrderRequest("good", [SCENE]),
        OrderRequest("refused", [SceneProduct(["a"], "NoSuchType", "visual")]),
        OrderRequest("fails", [SCENE]),
    ]
    async with Planet(credentials=ApiKey("any"), transport=simulator, clock=clock) as planet:
        outcomes = {outcome.id: outcome async for outcome in planet.orders.run(requests, to=tmp_path)}
    by_name = {order.request["name"]: order_id for order_id, order in simulator.orders.items()}
    assert outcomes.keys() == {"refused", by_name["good"], by_name["fails"]}
    assert "Bad item type" in str(outcomes["refused"].error)
    assert isinstance(outcomes[by_name["fails"]].error, OrderNotDownloadable)
    assert outcomes[by_name["good"]].unwrap().paths


async def test_run_checks_all_requests_first(planet: Planet, simulator: Simulator, tmp_path: Path) -> None:
    """Where one request is invalid, nothing is sent."""
    with pytest.raises(ValueError, match="products"):
        planet.orders.run([OrderRequest("good", [SCENE]), {"name": "bad"}], to=tmp_path)
    assert not simulator.requests


async def test_leaving_run_early_stops_its_work(planet: Planet, simulator: Simulator, tmp_path: Path) -> None:
    """After a `break` nothing runs in the background; placed orders stay placed."""
    requests = [OrderRequest(f"order {number}", [SCENE]) for number in range(12)]
    async for _ in planet.orders.run(requests, to=tmp_path):
        break
    await anyio.wait_all_tasks_blocked()
    for _ in range(10_000):  # a thread may have to finish the batch that it is writing
        if not simulator.open_responses:
            break
        await anyio.sleep(0.001)
    sent = simulator.requests.total()
    for _ in range(50):
        await anyio.lowlevel.checkpoint()
    assert simulator.requests.total() == sent
    assert len(simulator.orders) == 12


@pytest.mark.parametrize("size", [-5, -1, 1 << 63, 1 << 70])
async def test_an_impossible_size_in_the_manifest(size: int, tmp_path: Path) -> None:
    """It is ignored: the checksum counts, and the other files are downloaded."""
    entries = json.loads(manifest(a=b"a", b=b"b"))
    entries["files"][0]["size"] = size
    names = [f"{ORDER_ID}/{name}" for name in ("manifest.json", "a", "b")]
    _, planet = described((names[0], json.dumps(entries).encode()), (names[1], b"a"), (names[2], b"b"))
    paths = await planet.orders.download(ORDER_ID, tmp_path, ranges=3)
    assert [path.read_bytes() for path in paths[:2]] == [b"a", b"b"]


@pytest.mark.parametrize("length", [6, 7, 1000])
async def test_a_part_longer_than_its_file(length: int, tmp_path: Path) -> None:
    """A call may be cancelled when too much has arrived: the next one starts over, or finds it right."""
    names = [f"{ORDER_ID}/manifest.json", f"{ORDER_ID}/a"]
    _, planet = described((names[0], manifest(a=b"right")), (names[1], b"right"))
    (tmp_path / ORDER_ID).mkdir()
    (tmp_path / ORDER_ID / "a.part").write_bytes(b"x" * length)
    paths = await planet.orders.download(ORDER_ID, tmp_path)
    assert paths[0].read_bytes() == b"right"


async def test_a_file_that_is_always_too_long(tmp_path: Path) -> None:
    """It is a ChecksumMismatch, even where an earlier call left too much, and does not stop the others."""
    names = [f"{ORDER_ID}/{name}" for name in ("manifest.json", "a", "b")]
    content = b"right" * 1000
    usual, _ = described((names[0], manifest(a=b"right", b=b"b")), (names[1], content), (names[2], b"b"))

    def respond(request: Request) -> Response:
        wanted = request.headers.get("range", "")
        if not wanted:
            return usual._answer(request)  # type: ignore[return-value]  # none of them is an error
        start = int(wanted[len("bytes=") :].partition("-")[0])
        span = f"bytes {start}-{len(content) - 1}/{len(content)}"
        return reply(206, body=content[start:], headers={"content-range": span})

    planet = Planet(credentials=ApiKey("any"), transport=FakeTransport(respond), clock=FakeClock())
    (tmp_path / ORDER_ID).mkdir()
    (tmp_path / ORDER_ID / "a.part").write_bytes(content[:2500])
    with pytest.raises(ChecksumMismatch, match="5 bytes, and more came"):
        await planet.orders.download(ORDER_ID, tmp_path, concurrency=1)
    assert (tmp_path / names[2]).read_bytes() == b"b"


@pytest.mark.parametrize("error", [BrokenPipeError(errno.EPIPE, "Broken pipe"), TimeoutError("mine")])
@pytest.mark.parametrize("ranges", [1, 2])
async def test_an_oserror_of_progress_is_raised_as_it_is(
    planet: Planet, tmp_path: Path, error: OSError, ranges: int
) -> None:
    """A progress bar on a closed terminal raises what a disk would."""

    def fail(_: Progress) -> None:
        raise error

    order = await finished(planet)
    with pytest.raises(type(error)) as caught:
        await planet.orders.download(order, tmp_path, progress=fail, ranges=ranges)
    assert caught.value is error


async def test_any_limit_is_accepted(planet: Planet, tmp_path: Path) -> None:
    """The hint of BodyTooLarge says to raise it."""
    order = await finished(planet)
    without = planet.with_options(max_body_bytes=sys.maxsize)
    await without.orders.download(order, tmp_path)
    assert check_against_manifest(tmp_path, order)


async def test_a_very_slow_storage_is_given_up(
    planet: Planet, simulator: Simulator, clock: FakeClock, tmp_path: Path
) -> None:
    """A file at three bytes a second is an error within minutes, and the other files are downloaded."""
    order = await finished(planet)
    simulator.faults.add(Fault(operation="storage.get", when=is_udm2, bytes_per_second=3.0))
    began = clock.monotonic()
    with pytest.raises(TransportTimeout):
        await planet.orders.download(order, tmp_path)
    assert clock.monotonic() - began < 900
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".part"]
    assert len(files) == len(order.results) - 1
    simulator.faults.clear()
    await planet.orders.download(order, tmp_path)
    check_against_manifest(tmp_path, order)


async def test_a_slow_storage_is_not_given_up(planet: Planet, simulator: Simulator, tmp_path: Path) -> None:
    """A hundred bytes a second are more than the least."""
    order = await finished(planet)
    simulator.faults.add(Fault(operation="storage.get", when=is_udm2, bytes_per_second=100.0))
    await planet.orders.download(order, tmp_path)
    check_against_manifest(tmp_path, order)
