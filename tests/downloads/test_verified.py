"""Right files are kept, all files of the manifest are downloaded, and unverifiable ones are named."""

import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from cases import case
from described import BASE, ORDER_ID, described, manifest

from planet_async import ApiKey, ChecksumMismatch, DownloadError, Planet, Report, Request, Response
from planet_async.testing import FakeClock, FakeTransport, reply

pytestmark = pytest.mark.anyio

MANIFEST = f"{ORDER_ID}/manifest.json"
A, B = f"{ORDER_ID}/a.tif", f"{ORDER_ID}/b.tif"


def sent(transport: FakeTransport) -> Counter[str]:
    return Counter(request.url.removeprefix(BASE) for request in transport.requests)


def with_digests(digests: Any, path: str = "a.tif") -> bytes:
    return json.dumps({"files": [{"path": path, "size": 5, "digests": digests}]}).encode()


def storage(
    contents: Mapping[str, tuple[bytes, dict[str, str]]], on_read: Callable[[str], None] = lambda _: None
) -> Planet:
    """Return a client of an order of these files, which the storage sends with these headers."""
    results = [{"name": name, "delivery": "success", "location": f"{BASE}{name}"} for name in contents]
    order = {"id": ORDER_ID, "state": "success", "_links": {"results": results}}

    def respond(request: Request) -> Response:
        name = request.url.removeprefix(BASE)
        if name not in contents:
            return reply(json=order)
        content, headers = contents[name]

        async def chunks() -> Any:
            on_read(name)
            yield content

        return Response(200, headers, chunks())

    return Planet(credentials=ApiKey("any"), transport=FakeTransport(respond), clock=FakeClock())


async def test_missing_files_are_an_error(tmp_path: Path) -> None:
    """The manifest lists a file without a link: the others are downloaded, and the error names it."""
    _, planet = described((MANIFEST, manifest(**{"a.tif": b"a", "b.tif": b"b"})), (A, b"a"))
    with pytest.raises(DownloadError, match=r"1 of the files of its manifest.* b\.tif"):
        await planet.orders.download(ORDER_ID, tmp_path)
    assert (tmp_path / A).read_bytes() == b"a"


async def test_many_missing_files_are_counted(tmp_path: Path) -> None:
    """A few are named."""
    listed = {f"{number}.tif": b"x" for number in range(400)}
    _, planet = described((MANIFEST, manifest(**listed)), (f"{ORDER_ID}/7.tif", b"x"))
    with pytest.raises(DownloadError, match=r"offers 399 .*: 0\.tif, 1\.tif, 2\.tif, \.\.\."):
        await planet.orders.download(ORDER_ID, tmp_path)


async def test_a_result_of_a_partial_order_without_a_link(tmp_path: Path) -> None:
    """The API itself says that it could not be delivered."""
    files = {MANIFEST: manifest(**{"a.tif": b"a", "b.tif": b"b"}), A: b"a"}
    results = [{"name": name, "delivery": "success", "location": f"{BASE}{name}"} for name in files]
    results.append({"name": B, "delivery": "failed"})
    _, planet = described(*files.items(), state="partial", _links={"results": results})
    assert len(await planet.orders.download(ORDER_ID, tmp_path)) == 2


async def test_files_that_no_manifest_lists(tmp_path: Path) -> None:
    """One of two such files is missing: the next call fetches it, and keeps the other, which is the same."""
    listed = (MANIFEST, manifest(**{"c.tif": b"c"})), (f"{ORDER_ID}/c.tif", b"c")
    transport, planet = described(*listed, (A, b"a"), (B, b"b"))
    paths = await planet.orders.download(ORDER_ID, tmp_path)
    assert paths.unverified == (tmp_path / A, tmp_path / B)
    (tmp_path / B).unlink()
    for overwrite in (False, True):
        assert await planet.orders.download(ORDER_ID, tmp_path, overwrite=overwrite) == paths
        assert [(tmp_path / name).read_bytes() for name in (A, B)] == [b"a", b"b"]
    assert not [*tmp_path.rglob("*.part")]
    assert transport.open_responses == 0


async def test_another_file_than_the_servers_is_not_replaced(tmp_path: Path) -> None:
    """Without a checksum, other content is the user's: it is an error, until `overwrite` replaces it."""
    for mine in (b"mine", b"longer than the server's"):
        _, planet = described((A, b"hers"))
        path = tmp_path / A
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(mine)
        with pytest.raises(DownloadError, match="exists and is not the file to download"):
            await planet.orders.download(ORDER_ID, tmp_path)
        assert path.read_bytes() == mine
        assert [file.name for file in path.parent.iterdir()] == ["a.tif"]
        await planet.orders.download(ORDER_ID, tmp_path, overwrite=True)
        assert path.read_bytes() == b"hers"


@pytest.mark.parametrize("overwrite", [False, True])
async def test_size_and_etag_show_that_a_file_is_right(overwrite: bool, tmp_path: Path) -> None:
    """If the ETag is the MD5, the content is not read; another size is noticed without reading."""
    read = Counter[str]()

    def on_read(name: str) -> None:
        read[name] += 1

    def client(content: bytes, **headers: str) -> Planet:
        return storage({A: (content, {"content-length": str(len(content)), **headers})}, on_read)

    etag = f'"{hashlib.md5(b"right").hexdigest()}"'
    await client(b"right", etag=etag).orders.download(ORDER_ID, tmp_path)
    await client(b"right", etag=etag).orders.download(ORDER_ID, tmp_path, overwrite=overwrite)
    assert read[A] == 1
    await client(b"right", etag='"another"').orders.download(ORDER_ID, tmp_path, overwrite=overwrite)
    assert read[A] == 2
    if not overwrite:
        with pytest.raises(DownloadError, match="exists"):
            await client(b"longer").orders.download(ORDER_ID, tmp_path)
        assert read[A] == 2
    assert (tmp_path / A).read_bytes() == b"right"


async def test_overwrite_fetches_nothing_that_is_right(tmp_path: Path) -> None:
    """All files right: only the manifest is fetched; one wrong: that one, too."""
    files = (MANIFEST, manifest(**{"a.tif": b"a", "b.tif": b"b"})), (A, b"a"), (B, b"b")
    transport, planet = described(*files)
    await planet.orders.download(ORDER_ID, tmp_path)
    await planet.orders.download(ORDER_ID, tmp_path, overwrite=True)
    assert (sent(transport)[MANIFEST], sent(transport)[A], sent(transport)[B]) == (2, 1, 1)
    (tmp_path / B).write_bytes(b"?")
    await planet.orders.download(ORDER_ID, tmp_path, overwrite=True)
    assert (sent(transport)[A], sent(transport)[B]) == (1, 2)
    assert (tmp_path / B).read_bytes() == b"b"


async def test_a_right_file_behind_a_link_is_kept(tmp_path: Path) -> None:
    """The user moved it to another disk: with or without a checksum it is kept, and so is the link."""
    for number, files in enumerate([[(A, b"a")], [(MANIFEST, manifest(**{"a.tif": b"a"})), (A, b"a")]]):
        elsewhere, data = tmp_path / f"elsewhere {number}", tmp_path / f"data {number}"
        elsewhere.write_bytes(b"a")
        (data / ORDER_ID).mkdir(parents=True)
        (data / A).symlink_to(elsewhere)
        _, planet = described(*files)
        for overwrite in (False, True):
            assert data / A in await planet.orders.download(ORDER_ID, data, overwrite=overwrite)
            assert (data / A).read_bytes() == b"a"
        elsewhere.write_bytes(b"?")
        with pytest.raises(DownloadError, match="exists"):
            await planet.orders.download(ORDER_ID, data)
        await planet.orders.download(ORDER_ID, data, overwrite=True)
        assert (data / A).read_bytes() == b"a"


@pytest.mark.parametrize("is_listed", [True, False])
async def test_two_names_of_one_file(is_listed: bool, tmp_path: Path) -> None:
    """With the same checksum in the manifest, or the same content without one, it is one file."""
    for number, (name, same) in enumerate((("x/b", "x//b"), ("x/b", "x/./b"), ("b", "./b"), ("b", "b"))):
        with case(name, same):
            files = [(f"{ORDER_ID}/{name}", b"b"), (f"{ORDER_ID}/{same}", b"b")]
            if is_listed:
                files.append((MANIFEST, manifest(**{name: b"b"})))
            _, planet = described(*files)
            paths = await planet.orders.download(ORDER_ID, tmp_path / f"{number}")
            assert len(paths) == 1 + is_listed
            assert (tmp_path / f"{number}" / ORDER_ID / name).read_bytes() == b"b"


async def test_a_report_is_downloaded_twice(tmp_path: Path) -> None:
    """The same bytes are no error; other bytes are, unless `overwrite`."""
    contents = [b"a,b\n1,2\n"]
    report = Report("77", contents=("https://storage.example/part",), num_rows=1)

    def client(**headers: str) -> Planet:
        def respond(_: Request) -> Response:
            return reply(body=contents[0], headers={"content-type": "text/csv", **headers})

        return Planet(credentials=ApiKey("any"), transport=FakeTransport(respond), clock=FakeClock())

    first = await client().reports.download(report, tmp_path)
    assert await client().reports.download(report, tmp_path) == first
    assert await client().reports.download(report, tmp_path, overwrite=True) == first
    for changed in (b"a,b\n1,3\n", b"a,b\n1,2\n3,4\n"):
        contents[0] = changed
        with pytest.raises(DownloadError, match="exists and is not the file"):
            await client().reports.download(report, tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["77_0.csv"]
    assert await client().reports.download(report, tmp_path, overwrite=True) == first
    assert first[0].read_bytes() == contents[0]


HASHES = [
    {name: hashlib.new(name, b"right").hexdigest()} for name in ("sha512", "sha384", "sha256", "sha1", "md5")
]
COMPARED = [
    *HASHES,
    *({name.upper(): digest.upper()} for each in HASHES for name, digest in each.items()),
    {"SHA-256": hashlib.sha256(b"right").hexdigest()},
    {"crc32": f"{zlib.crc32(b'right'):08x}"},
    {"crc": f"{zlib.crc32(b'right'):08X}"},
    {"sha256": None, "md5": hashlib.md5(b"right").hexdigest()},
    {"sha256": "", "sha512": hashlib.sha512(b"right").hexdigest()},
    {"blake9": "0", "md5": hashlib.md5(b"right").hexdigest()},
]


async def is_refused(listed: bytes, name: str, to: Path) -> bool:
    """Return whether a file is noticed to differ from what the manifest lists."""
    _, planet = described((MANIFEST, listed), (name, b"wrong"))
    try:
        await planet.orders.download(ORDER_ID, to)
    except ChecksumMismatch:
        return True
    return False


async def test_every_known_digest_is_compared(tmp_path: Path) -> None:
    """By any algorithm that Python has: what differs is refused, what is right is verified."""
    for number, digests in enumerate(COMPARED):
        assert await is_refused(with_digests(digests), A, tmp_path), digests
        _, planet = described((MANIFEST, with_digests(digests)), (A, b"right"))
        paths = await planet.orders.download(ORDER_ID, tmp_path / f"{number}", require_checksums=True)
        assert paths.unverified == (), digests
        assert [*paths.checksums] == [tmp_path / f"{number}" / A], digests


async def test_paths_are_compared_normalised(tmp_path: Path) -> None:
    """However the manifest and the results write the path of a file, it is verified."""
    paths = ("./a.tif", "/a.tif", ".//a.tif", f"{ORDER_ID}/a.tif", "x/../a.tif")
    names = (A, f"{ORDER_ID}/./a.tif", f"{ORDER_ID}//a.tif", "a.tif", "./a.tif")
    unicode = ("e\u0301", f"{ORDER_ID}/\u00e9")  # one writes é as one character, the other as two
    for path, name in [*product(paths, names), unicode]:
        assert await is_refused(with_digests(HASHES[0], path), name, tmp_path), (path, name)


UNVERIFIABLE = [
    *map(
        with_digests, ({}, None, {"sha256": ""}, {"blake9": "00"}, {"md5": "x" * 32}, {"sha256": 5}, "sha256")
    ),
    json.dumps({"files": [{"path": "a.tif"}]}).encode(),
    json.dumps({"files": []}).encode(),
    None,
]


async def test_what_cannot_be_verified_is_named(tmp_path: Path) -> None:
    """In the result, by path; with `require_checksums` it is an error, and is not fetched."""
    for number, listed in enumerate(UNVERIFIABLE):
        with case(listed):
            files = [(A, b"right")] if listed is None else [(MANIFEST, listed), (A, b"right")]
            transport, planet = described(*files)
            paths = await planet.orders.download(ORDER_ID, tmp_path / f"{number}")
            assert paths.unverified == (tmp_path / f"{number}" / A,)
            before = sent(transport)[A]
            with pytest.raises(DownloadError, match=r"a\.tif cannot be verified"):
                await planet.orders.download(ORDER_ID, tmp_path / "required", require_checksums=True)
            assert sent(transport)[A] == before
            assert not (tmp_path / "required" / A).exists()


async def test_require_checksums_fails_unverifiable_files_only(tmp_path: Path) -> None:
    """The error names the one file that cannot be verified."""
    _, planet = described((MANIFEST, manifest(**{"a.tif": b"a"})), (A, b"a"), (B, b"b"))
    with pytest.raises(DownloadError, match=r"b\.tif cannot be verified"):
        await planet.orders.download(ORDER_ID, tmp_path, require_checksums=True)
    assert (tmp_path / A).read_bytes() == b"a"


async def test_results_without_the_folder_of_the_order(tmp_path: Path) -> None:
    """Recorded results lack that folder: they are verified nevertheless."""
    _, planet = described(("manifest.json", manifest(**{"a.tif": b"right"})), ("a.tif", b"right"))
    paths = await planet.orders.download(ORDER_ID, tmp_path, require_checksums=True)
    assert paths == [tmp_path / "a.tif", tmp_path / "manifest.json"]
