"""Orders in an object store: uploaded while they arrive, and not to be seen before they are right."""

import hashlib
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest
from described import BASE, ORDER_ID, described, manifest

from planet_async import (
    ApiKey,
    ChecksumMismatch,
    ConnectionLost,
    DownloadError,
    InvalidRequest,
    Planet,
    Request,
    Response,
)
from planet_async.downloads.download import download
from planet_async.downloads.object_store import ObjectStore
from planet_async.downloads.remote_file import RemoteFile
from planet_async.testing import FakeClock, FakeTransport, reply

if TYPE_CHECKING:
    from s3 import S3
    from werkzeug.wrappers import Request as ServerRequest

pytestmark = pytest.mark.anyio
on_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
"""For what differs from another test in the store only: it is used in threads, on trio as on asyncio."""

MANIFEST, A, B = f"{ORDER_ID}/manifest.json", f"{ORDER_ID}/a.tif", f"{ORDER_ID}/b.tif"
LISTED = manifest(**{"a.tif": b"right", "b.tif": b"b"})
FILES = ((MANIFEST, LISTED), (A, b"right"), (B, b"b"))
ONE_FILE = ((MANIFEST, manifest(**{"a.tif": b"right"})), (A, b"right"))
LARGE = bytes(range(256)) * (17 << 12)  # 17 MiB: three parts


class Body(AsyncIterator[bytes]):
    """A body that ends in an error, if the last of its chunks is one."""

    def __init__(self, chunks: Sequence[bytes | Exception]) -> None:
        self._chunks = iter(chunks)

    async def __anext__(self) -> bytes:
        for chunk in self._chunks:
            await anyio.lowlevel.checkpoint()
            if isinstance(chunk, Exception):
                raise chunk
            return chunk
        raise StopAsyncIteration


def large_file(cuts: Sequence[int] = ()) -> tuple[FakeTransport, Planet]:
    """Return a service with an order of one large file, whose connection breaks after so many bytes."""
    breaks = iter(cuts)
    listed = manifest(**{"a.tif": LARGE})
    results = [{"name": name, "location": f"{BASE}{name}", "delivery": "success"} for name in (MANIFEST, A)]

    def respond(request: Request) -> Response:
        if not request.url.startswith(BASE):
            return reply(json={"id": ORDER_ID, "state": "success", "_links": {"results": results}})
        if request.url == BASE + MANIFEST:
            return reply(body=listed)
        start, cut = int(request.headers.get("range", "bytes=0-")[6:-1]), next(breaks, None)
        end = len(LARGE) if cut is None else start + cut
        chunks: list[bytes | Exception] = [
            LARGE[at : min(at + 65_536, end)] for at in range(start, end, 65_536)
        ]
        if cut is not None:
            chunks.append(ConnectionLost("cut"))
        span = {"content-range": f"bytes {start}-{len(LARGE) - 1}/{len(LARGE)}"} if start else {}
        return Response(206 if start else 200, span, Body(chunks))

    network = FakeTransport(respond)
    return network, Planet(credentials=ApiKey("any"), transport=network, clock=FakeClock())


async def until(holds: Callable[[], bool]) -> None:
    """Return when it holds; a `FakeClock` would hold the time for a thread that waited."""
    with anyio.fail_after(30):
        while not holds():  # noqa: ASYNC110 - a thread of a server makes it true
            await anyio.sleep(0.01)


def requested(network: FakeTransport) -> list[str]:
    """Return the names of the files that were requested."""
    return [request.url.rpartition("/")[2] for request in network.requests if request.stream]


async def test_files_become_objects(s3: "S3") -> None:
    """All files of an order are there under their names, with the checksum that they were compared with."""
    _, planet = described(*FILES)
    url = f"s3://{s3.bucket}/pre/fix"
    files = await planet.orders.download(ORDER_ID, f"{url}/")
    assert s3.objects() == {f"pre/fix/{name}": content for name, content in FILES}
    assert (files, files.urls) == ([], [f"{url}/{name}" for name in (A, B, MANIFEST)])
    assert not files.unverified
    digest = f"md5:{hashlib.md5(b'right').hexdigest()}"
    assert files.checksums[f"{url}/{A}"] == digest
    assert s3.metadata(f"pre/fix/{A}") == {"planetchecksum": digest}
    assert s3.uploads() == []


async def test_objects_that_are_right_are_kept(s3: "S3") -> None:
    """By the checksum stored with them, or an MD5 of the store: they are not requested, nor written again."""
    s3.put(B, b"b")  # by another program
    network, planet = described(*FILES)
    await planet.orders.download(ORDER_ID, f"s3://{s3.bucket}")
    assert requested(network) == ["manifest.json", "a.tif"]
    s3.seen.clear()
    network, planet = described(*FILES)
    files = await planet.orders.download(ORDER_ID, f"s3://{s3.bucket}")
    assert len(files.urls) == 3
    assert requested(network) == ["manifest.json"]
    assert not [key for method, key in s3.seen if method == "PUT" and not key.endswith("/.planet-async")]


@on_asyncio
async def test_assets_become_objects(s3: "S3", planet: Planet) -> None:
    """They are uploaded under the names of the server, and are not requested again."""
    item = await planet.data.search("PSScene").first()
    assert item is not None
    for _ in range(2):
        files = await planet.data.download(item, "ortho_udm2", f"s3://{s3.bucket}/assets")
        [key] = s3.objects()
        assert (files, files.urls) == ([], [f"s3://{s3.bucket}/{key}"])
        assert files.checksums[files.urls[0]] == f"md5:{hashlib.md5(s3.objects()[key]).hexdigest()}"
    assert s3.uploads() == []


@on_asyncio
async def test_another_object_in_the_way(s3: "S3") -> None:
    """It is kept, and an error says so; `overwrite` replaces it."""
    s3.put(A, b"wrong")
    _, planet = described(*ONE_FILE)
    with pytest.raises(DownloadError, match=rf"{A} exists and is not the file .*overwrite=True"):
        await planet.orders.download(ORDER_ID, f"s3://{s3.bucket}")
    assert s3.objects()[A] == b"wrong"
    await planet.orders.download(ORDER_ID, f"s3://{s3.bucket}", overwrite=True)
    assert s3.objects()[A] == b"right"


@on_asyncio
async def test_objects_without_a_checksum_are_compared_by_content(s3: "S3") -> None:
    """What no manifest lists is kept where it is the same, and an error where it is not."""
    planets = [described((A, content))[1] for content in (b"right", b"right", b"other")]
    for planet in planets[:2]:
        files = await planet.orders.download(ORDER_ID, f"s3://{s3.bucket}")
        assert files.unverified == (f"s3://{s3.bucket}/{A}",)
    assert [key for method, key in s3.seen if method == "PUT"].count(f"/{s3.bucket}/{A}") == 1
    with pytest.raises(DownloadError, match="exists and is not the file"):
        await planets[2].orders.download(ORDER_ID, f"s3://{s3.bucket}")
    assert s3.objects() == {A: b"right"}


async def test_the_headers_of_a_server_show_whether_an_object_is_its_file(s3: "S3") -> None:
    """By length and MD5 it is kept without its body being read; another length is an error before that."""
    file = RemoteFile("a", Request("GET", "https://storage/a", stream=True))
    to = ObjectStore(f"s3://{s3.bucket}")

    async def fetch(content: bytes, body: list[bytes], *, overwrite: bool = False) -> None:
        headers = {"content-length": str(len(content)), "etag": f'"{hashlib.md5(content).hexdigest()}"'}
        network = FakeTransport([reply(headers=headers, chunks=body)])
        await download(network, file, to, clock=FakeClock(), max_attempts=1, overwrite=overwrite)

    await fetch(b"right", [b"right"])
    await fetch(b"right", [b"not read"])
    with pytest.raises(DownloadError, match="exists and is not the file"):
        await fetch(b"longer", [b"not read"])
    assert s3.objects() == {"a": b"right"}
    await fetch(b"longer", [b"longer"], overwrite=True)
    assert s3.objects() == {"a": b"longer"}


@on_asyncio
async def test_a_large_file_whose_connection_breaks(s3: "S3") -> None:
    """It is uploaded in parts as it arrives, and continued by a range where it was cut."""
    network, planet = large_file(cuts=[9 * 1_000_000, 700])
    await planet.orders.download(ORDER_ID, f"s3://{s3.bucket}")
    ranges = [request.headers.get("range") for request in network.requests[2:]]
    assert ranges == [None, "bytes=9000000-", "bytes=9000700-"]
    assert s3.objects()[A] == LARGE
    parts = [key for method, key in s3.seen if method == "PUT" and key == f"/{s3.bucket}/{A}"]
    assert len(parts) == 3


async def test_a_file_that_is_wrong_is_not_to_be_seen(s3: "S3") -> None:
    """It is fetched twice, then its upload is aborted."""
    listed = json.dumps({"files": [{"path": "a.tif", "size": len(LARGE), "digests": {"md5": "0" * 32}}]})
    network, planet = described((MANIFEST, listed.encode()), (A, LARGE))
    with pytest.raises(ChecksumMismatch, match="like that twice"):
        await planet.orders.download(ORDER_ID, f"s3://{s3.bucket}")
    assert requested(network).count("a.tif") == 2
    assert s3.objects().keys() == {MANIFEST}
    assert s3.uploads() == []


async def test_a_download_that_ends_early_leaves_nothing(s3: "S3") -> None:
    """Cancelled, or given up: no object, and no upload that is still open."""
    _, planet = large_file()
    with anyio.CancelScope() as scope:
        await planet.orders.download(
            ORDER_ID,
            f"s3://{s3.bucket}",
            progress=lambda progress: scope.cancel() if progress.received > len(LARGE) // 2 else None,
        )
    assert scope.cancelled_caught
    _, planet = large_file(cuts=[len(LARGE) // 2, 0])
    with pytest.raises(ConnectionLost):
        await planet.with_options(max_attempts=1).orders.download(ORDER_ID, f"s3://{s3.bucket}")
    assert s3.objects().keys() == {MANIFEST}
    assert s3.uploads() == []


async def test_a_store_that_does_not_respond_delays_no_cancellation(
    s3: "S3", monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call ends while a request to the store hangs; the upload is aborted when the store is back."""
    monkeypatch.setattr("planet_async.downloads.object_store._ABORT_SECONDS", 0.1)
    hanging, may_go = threading.Event(), threading.Event()

    def hang(request: "ServerRequest") -> None:
        if "partNumber" in request.args and "a.tif" in request.path:
            hanging.set()
            may_go.wait(30)

    s3.before = hang
    _, planet = large_file()
    async with anyio.create_task_group() as group:
        group.start_soon(planet.orders.download, ORDER_ID, f"s3://{s3.bucket}")
        await until(hanging.is_set)
        group.cancel_scope.cancel()
    assert not may_go.is_set()
    may_go.set()
    await until(lambda: not s3.uploads())
    assert s3.objects().keys() == {MANIFEST}


async def test_a_store_that_refuses_half_way(s3: "S3") -> None:
    """The rights are taken away, or the credentials expire: an error says so, and nothing is to be seen."""
    s3.refuses = lambda request: request.args.get("partNumber") == "2" and "a.tif" in request.path
    _, planet = large_file()
    with pytest.raises(DownloadError, match=rf"cannot write s3://{s3.bucket}/{A}: access is denied"):
        await planet.orders.download(ORDER_ID, f"s3://{s3.bucket}")
    assert s3.objects().keys() == {MANIFEST}
    assert s3.uploads() == []


@on_asyncio
async def test_a_slow_store_bounds_what_is_in_memory(s3: "S3") -> None:
    """While no part gets through, no more is read than four parts, the next one, and two batches."""
    read: list[bytes] = []
    at_release: list[int] = []
    may_go = threading.Event()

    def body() -> Iterator[bytes]:
        while len(read) < 60 and not at_release:
            read.append(b"")
            yield bytes(1 << 20)
        may_go.set()
        raise ConnectionLost("enough was read")

    def hold(request: "ServerRequest") -> None:
        if "partNumber" in request.args:
            may_go.wait(1)
            at_release.append(len(read))

    s3.before = hold
    network = FakeTransport([reply(chunks=body())])
    file = RemoteFile("a", Request("GET", "https://storage/a", stream=True), 100 << 20)
    to = ObjectStore(f"s3://{s3.bucket}")
    with pytest.raises(ConnectionLost):
        await download(network, file, to, clock=FakeClock(), max_attempts=1)
    assert 16 < at_release[0] <= 4 * 8 + 8 + 2 * 2


@on_asyncio
@pytest.mark.parametrize("scheme", ["az", "gs"])
async def test_other_clouds(scheme: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Azure and Google are used likewise: parts, metadata, and nothing fetched that is there."""
    from clouds import Cloud  # noqa: PLC0415 - werkzeug takes a moment to import

    contents = ((MANIFEST, manifest(**{"a b.tif": LARGE})), (f"{ORDER_ID}/a b.tif", LARGE))
    cloud = Cloud()
    with cloud.serving():
        account = {"client_email": "", "private_key": "", "private_key_id": "", "disable_oauth": True}
        (tmp_path / "account.json").write_text(json.dumps({**account, "gcs_base_url": cloud.url}))
        for name, value in {
            "AZURE_STORAGE_ACCOUNT_NAME": "account",
            "AZURE_STORAGE_ACCOUNT_KEY": "a2V5",
            "AZURE_STORAGE_ENDPOINT": cloud.url,
            "AZURE_ALLOW_HTTP": "true",
            "GOOGLE_SERVICE_ACCOUNT": str(tmp_path / "account.json"),
            "GOOGLE_ALLOW_HTTP": "true",
        }.items():
            monkeypatch.setenv(name, value)
        for expected in (["manifest.json", "a%20b.tif"], ["manifest.json"]):
            network, planet = described(*contents)
            files = await planet.orders.download(ORDER_ID, f"{scheme}://fields/2026")
            assert requested(network) == expected
            assert files.urls[1] == f"{scheme}://fields/2026/{MANIFEST}"
    assert cloud.objects == {f"/fields/2026/{name}": content for name, content in contents}


async def test_names_that_an_object_can_have(s3: "S3") -> None:
    """They are kept as they are, apart from what no file could have; the result says so."""
    names = [f"{ORDER_ID}/{name}" for name in ("ä ~*#%41?.tif", "tab\t.tif")]
    _, planet = described(*((name, b"x") for name in names))
    files = await planet.orders.download(ORDER_ID, f"s3://{s3.bucket}/100%")
    assert s3.objects().keys() == {f"100%/{names[0]}", f"100%/{ORDER_ID}/tab%09.tif"}
    assert files.renamed == {f"s3://{s3.bucket}/100%/{ORDER_ID}/tab%09.tif": names[1]}


SECRET = "wJalrXUtnFEMI"
WRONG = {
    f"s3://key:{SECRET}@bucket/prefix": "must be like s3://bucket/prefix",
    f"s3://key:{SECRET}/x@bucket": "must be like s3://bucket/prefix",
    f"az://container/prefix?sig={SECRET}": "must not hold any",
    "s3://": "must be like",
    "s3:/bucket": "must be like",
    "s3://bucket/a/../b": "must be like",
    "s3://bucket//a": "must be like",
    "ftp://bucket/a": "must be like",
    "az://container": r"cannot use az://container: .*Account must be specified",
}


@pytest.mark.parametrize("to", WRONG)
async def test_addresses_that_are_wrong(to: str, s3: "S3") -> None:
    """They are refused before anything is sent, and a credential in them is not shown."""
    network, planet = described(*ONE_FILE)
    with pytest.raises(InvalidRequest, match=WRONG[to]) as caught:
        await planet.orders.download(ORDER_ID, to)
    with pytest.raises(InvalidRequest):
        planet.orders.run([], to)
    assert SECRET not in str(caught.value) + repr(caught.value)
    assert (network.requests, s3.seen) == ([], [])


@pytest.mark.parametrize("endpoint", ["nonsense", "http://example.com"])
async def test_endpoints_that_are_wrong(endpoint: str, s3: "S3", monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint is an address, and of plain HTTP only where that is meant."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.delenv("AWS_ALLOW_HTTP")
    network, planet = described(*ONE_FILE)
    with pytest.raises(InvalidRequest, match="AWS_ENDPOINT_URL"):
        await planet.orders.download(ORDER_ID, f"s3://{s3.bucket}")
    assert network.requests == []


@on_asyncio
async def test_buckets_that_cannot_be_used(s3: "S3", monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket that is missing or forbids, a store that does not respond: known before Planet is asked."""
    network, planet = described(*ONE_FILE)

    async def error(to: str) -> str:
        with pytest.raises(DownloadError) as caught:
            await planet.orders.download(ORDER_ID, to)
        with pytest.raises(DownloadError) as of_run:
            async for _ in planet.orders.run([], to):
                pass
        text = str(caught.value)
        assert text == str(of_run.value)
        assert "secret-of-the-store" not in text
        assert "\n" not in text
        return text

    assert "there is no such bucket" in await error("s3://no-such-bucket/prefix")
    s3.refuses = lambda request: request.method == "POST"
    assert f"cannot write to s3://{s3.bucket}/: access is denied" in await error(f"s3://{s3.bucket}")
    s3.refuses = lambda request: request.method == "HEAD"
    assert "s3:ListBucket" in await error(f"s3://{s3.bucket}")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert "Check the credentials, the region and the endpoint" in await error(f"s3://{s3.bucket}")
    assert network.requests == []


async def test_without_obstore(s3: "S3", monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to install."""
    monkeypatch.setattr("planet_async.services._query.find_spec", lambda _: None)
    _, planet = described()
    with pytest.raises(InvalidRequest, match=r"planet-async\[obstore\]"):
        await planet.orders.download(ORDER_ID, f"s3://{s3.bucket}")


async def test_reports_and_quads_go_to_folders() -> None:
    """Their methods refuse an object store, and make no folder of its name."""
    network, planet = described()
    for call in (planet.reports.download("1", "s3://b"), planet.basemaps.download([], "s3://b")):
        with pytest.raises(InvalidRequest, match="to must be a folder"):
            await call
    assert network.requests == []
