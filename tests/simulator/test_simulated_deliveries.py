"""What simulated orders deliver, and the storage that serves it."""

import hashlib
import io
import zipfile
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest

from planet_async.http import Request
from planet_async.simulator import Limits, OrderPlan, Simulator
from planet_async.simulator.http import CHUNK_BYTES, Content, Pixels
from planet_async.testing import FakeClock
from simulator.simulated import CREDENTIAL, Caller, Reply, basemaps, scenes

pytestmark = pytest.mark.anyio

SKYSAT = {"item_ids": ["s1"], "item_type": "SkySatCollect", "product_bundle": "visual,pansharpened_udm2"}


async def done(call: Caller, clock: FakeClock, order: object) -> list[dict[str, Any]]:
    order_id = (await call.create(order))["id"]
    clock.advance(60)
    results: list[dict[str, Any]] = (await call.order(order_id))["_links"]["results"]
    assert all(result["name"].startswith(f"{order_id}/") for result in results)
    return [result | {"name": result["name"].removeprefix(f"{order_id}/")} for result in results]


async def fetched(call: Caller, results: list[dict[str, Any]]) -> dict[str, bytes]:
    return {result["name"]: (await call.fetch(result["location"])).body for result in results}


def checked(manifest: Any, files: Mapping[str, bytes]) -> None:
    """The manifest must name these files, all of them, with their size and both checksums."""
    assert manifest["name"] == ""
    assert {entry["path"] for entry in manifest["files"]} == files.keys()
    for entry in manifest["files"]:
        body = files[entry["path"]]
        assert entry["size"] == len(body)
        assert entry["digests"] == {
            "md5": hashlib.md5(body).hexdigest(),
            "sha256": hashlib.sha256(body).hexdigest(),
        }


async def test_scenes_come_file_by_file_with_a_manifest(call: Caller, clock: FakeClock) -> None:
    """Each item brings metadata and assets under its type; the manifest, last, lists and describes them."""
    results = await done(
        call, clock, {"name": "n", "products": [*scenes(items=["a", "b"])["products"], SKYSAT]}
    )
    files = await fetched(call, results)
    assert [result["name"] for result in results][-1] == "manifest.json"
    manifest = Reply(200, {}, files.pop("manifest.json")).json
    checked(manifest, files)
    assert set(files) == {
        *(
            f"PSScene/{item}_{rest}"
            for item in "ab"
            for rest in (
                "metadata.json",
                "ortho_analytic_4b.tif",
                "ortho_analytic_4b_xml.xml",
                "ortho_udm2.tif",
            )
        ),
        "SkySatCollect/s1_metadata.json",
        "SkySatCollect/s1_ortho_visual.tif",
    }
    described = {entry["path"]: entry for entry in manifest["files"]}["PSScene/a_ortho_udm2.tif"]
    assert described["media_type"] == "image/tiff"
    assert described["annotations"] == {
        "planet/item_id": "a",
        "planet/item_type": "PSScene",
        "planet/asset_type": "ortho_udm2",
        "planet/bundle_type": "analytic_udm2",
    }
    assert Reply(200, {}, files["PSScene/a_metadata.json"]).json["id"] == "a"
    assert files["PSScene/a_ortho_udm2.tif"] != files["PSScene/b_ortho_udm2.tif"]


async def test_an_item_in_two_bundles_comes_once(call: Caller, clock: FakeClock) -> None:
    """Two products of one item share its metadata file; no name is listed twice."""
    [product] = scenes()["products"]
    both = [product, product | {"product_bundle": "visual"}]
    names = [result["name"] for result in await done(call, clock, {"name": "n", "products": both})]
    assert len(names) == len(set(names)) == 6


async def test_basemaps_come_as_quads(call: Caller, clock: FakeClock) -> None:
    """A basemap order delivers the quads requested, or those of the geometry."""
    named = await done(call, clock, basemaps())
    assert [result["name"] for result in named if "quad" in result["name"]] == [
        f"global_monthly_2026_05_mosaic/{quad}_quad.tif" for quad in ("1-2", "1-3")
    ]
    geometry = {"type": "Point", "coordinates": [0, 0]}
    order = basemaps() | {"products": [{"mosaic_name": "m", "geometry": geometry}]}
    assert len(await done(call, clock, order)) == 2 * 4 + 1


async def test_a_composite_is_one_image(call: Caller, clock: FakeClock) -> None:
    """The composite tool makes one image and one mask; the metadata of the items remain."""
    results = await done(call, clock, scenes(items=["a", "b"], tools=[{"composite": {}}]))
    names = [result["name"] for result in results]
    assert names == [
        "PSScene/a_metadata.json",
        "PSScene/b_metadata.json",
        "composite.tif",
        "composite_udm.tif",
        "manifest.json",
    ]


@pytest.mark.parametrize(
    ("filename", "name"),
    [({"archive_filename": "{{name}}-{{order_id}}.zip"}, "farm-{id}.zip"), ({}, "farm_{id}.zip")],
)
async def test_a_single_archive(call: Caller, clock: FakeClock, filename: dict[str, str], name: str) -> None:
    """A single archive is a valid zip with the requested name; members are under files/, with a manifest."""
    order = scenes(delivery={"archive_type": "zip", "single_archive": True, **filename})
    results = await done(call, clock, order)
    [order_id] = call.simulator.orders
    archive_name = name.format(id=order_id)
    assert [result["name"] for result in results] == [archive_name, "manifest.json"]
    files = await fetched(call, results)
    checked(Reply(200, {}, files["manifest.json"]).json, {archive_name: files[archive_name]})
    with zipfile.ZipFile(io.BytesIO(files[archive_name])) as archive:
        assert archive.testzip() is None
        members = {member: archive.read(member) for member in archive.namelist()}
    checked(Reply(200, {}, members.pop("manifest.json")).json, members)
    assert "files/PSScene/a1_ortho_udm2.tif" in members


async def test_an_archive_for_each_item(call: Caller, clock: FakeClock) -> None:
    """With a file name and without `single_archive` each item has an archive of its own; a composite too."""
    delivery = {"archive_type": "zip", "single_archive": False, "archive_filename": "{{name}}.zip"}
    order = scenes(items=["a", "b"], delivery=delivery, tools=[{"composite": {}}])
    names = [result["name"] for result in await done(call, clock, order)]
    assert names == ["a.zip", "b.zip", "composite.zip", "manifest.json"]


@pytest.mark.parametrize("delivery", [{}, {"single_archive": False}, {"archive_filename": ""}])
async def test_the_type_of_an_archive_alone_makes_none(
    call: Caller, clock: FakeClock, delivery: dict[str, Any]
) -> None:
    """With `archive_type` only the files are not zipped, as users report of the real API."""
    order = scenes(delivery={"archive_type": "zip", **delivery})
    names = [result["name"] for result in await done(call, clock, order)]
    assert len(names) == 5
    assert not any(name.endswith(".zip") for name in names)


async def test_a_cloud_delivery_has_no_links(call: Caller, clock: FakeClock) -> None:
    """What was delivered to a cloud is named, with the zero time as its expiry, but cannot be downloaded."""
    results = await done(call, clock, scenes(delivery={"planet_folders": {}}))
    assert len(results) == 4
    for result in results:
        assert result.keys() == {"delivery", "name", "expires_at"}
        assert result["expires_at"] == "0001-01-01T00:00:00.000Z"
        assert result["name"] != "manifest.json"


async def test_a_partial_order_lacks_its_last_item(clock: FakeClock) -> None:
    """A partial order ends so, says why, and delivers all items but the last; one of one item delivers it."""
    plan = OrderPlan(state="partial", error_hints=["item b is gone"])
    call = Caller(Simulator(clock=clock, limits=Limits.unlimited(), plan=plan))
    names = [
        result["name"] for result in await done(call, clock, scenes(items=["a", "b"], order_type="partial"))
    ]
    assert any("/a_" in name for name in names)
    assert not any("/b_" in name for name in names)
    [order] = call.simulator.orders.values()
    assert (order.state, list(order.error_hints)) == ("partial", ["item b is gone"])
    assert len(await done(call, clock, scenes())) == 5


async def test_odd_names_are_served(call: Caller, clock: FakeClock) -> None:
    """An item id with spaces, percent signs or letters beyond ASCII is served under its own name."""
    results = await done(call, clock, scenes(items=["ä b%20?#+"]))
    files = await fetched(call, results)
    checked(Reply(200, {}, files.pop("manifest.json")).json, files)


async def test_large_files_are_never_held_whole(clock: FakeClock) -> None:
    """A file of 300 MB is served in parts, from any place, in small chunks; its length is known at once."""
    size = 300_000_000
    simulator = Simulator(clock=clock, limits=Limits.unlimited(), file_bytes=size)
    call = Caller(simulator)
    result = next(r for r in await done(call, clock, scenes()) if r["name"].endswith(".tif"))
    redirect = await call("GET", result["location"], headers={})
    tail = await call("GET", redirect.headers["location"], headers={"range": "bytes=-10"})
    assert len(tail.body) == 10
    assert tail.headers["content-range"] == f"bytes {size - 10}-{size - 1}/{size}"
    response = await simulator.send(Request("GET", redirect.headers["location"], stream=True))
    assert response.headers["content-length"] == str(size)
    assert len(await anext(response.chunks())) <= CHUNK_BYTES
    await response.aclose()


async def test_work_on_large_files_does_not_block_the_event_loop(clock: FakeClock) -> None:
    """A manifest over a megabyte and more is made in a thread, and is right."""
    call = Caller(Simulator(clock=clock, limits=Limits.unlimited(), file_bytes=1_000_000))
    results = await done(call, clock, scenes())
    files = await fetched(call, results)
    checked(Reply(200, {}, files.pop("manifest.json")).json, files)


async def test_a_link_leads_to_another_origin(call: Caller, clock: FakeClock) -> None:
    """A download link needs no credential, and redirects to the storage, which refuses one."""
    [*_, manifest] = await done(call, clock, scenes())
    assert manifest["location"].startswith("https://api.planet.com/compute/ops/download/?token=")
    redirect = await call("GET", manifest["location"], headers={})
    location = redirect.headers["location"]
    assert urlsplit(location).netloc == "storage.planet.example"
    leak = await call("GET", location, headers=CREDENTIAL)
    assert (leak.status, leak.headers["content-type"]) == (400, "application/xml")
    assert (await call("GET", location)).status == 200


async def test_links_expire_and_are_renewed(call: Caller, clock: FakeClock) -> None:
    """A link is valid for an hour, at the API (401) and at the storage (403); a new request renews it."""
    order_id = (await call.create())["id"]
    clock.advance(60)
    [*_, manifest] = (await call.order(order_id))["_links"]["results"]
    assert manifest["expires_at"] == "2026-01-01T01:01:00Z"
    redirect = await call("GET", manifest["location"])
    clock.advance(3599.999)
    assert (await call.fetch(manifest["location"])).status == 200
    clock.advance(0.001)
    assert (await call("GET", manifest["location"])).status == 401
    assert (await call("GET", redirect.headers["location"])).status == 403
    [*_, fresh] = (await call.order(order_id))["_links"]["results"]
    assert (await call.fetch(fresh["location"])).status == 200


@pytest.mark.parametrize("token", ["", "AAA.BBB.CCC", "x"])
async def test_unknown_tokens(call: Caller, token: str) -> None:
    """An unknown token is 404, with or without the slash in the path."""
    for path in ("/compute/ops/download/", "/compute/ops/download"):
        assert (await call("GET", path, ("token", token))).status == 404


async def test_a_forged_link_is_refused(call: Caller, clock: FakeClock) -> None:
    """Neither another file nor a later expiry can be put into a signed link."""
    [first, *_, manifest] = await done(call, clock, scenes())
    forged = manifest["location"].replace(".4.", ".0.")
    assert forged != manifest["location"]
    assert (await call("GET", forged)).status == 404
    location = (await call("GET", first["location"])).headers["location"]
    assert (await call("GET", location.replace("metadata.json", "ortho_udm2.tif"))).status == 403
    assert (await call("GET", location.replace("expires=1", "expires=2"))).status == 403
    assert (await call("GET", location.replace("expires=1", "expires=x"))).status == 403
    assert (await call("GET", location.partition("?")[0])).status == 403


async def test_links_of_another_simulator(call: Caller, clock: FakeClock) -> None:
    """A link is signed with its simulator's own key: no other simulator takes it."""
    other = Caller(Simulator(clock=clock, limits=Limits.unlimited(), seed=1))
    [first, *_] = await done(call, clock, scenes())
    location = (await call("GET", first["location"])).headers["location"]
    assert (await other("GET", first["location"])).status == 404
    assert (await other("GET", location)).status == 403


@pytest.fixture
async def raster(call: Caller, clock: FakeClock) -> tuple[str, bytes]:
    """The storage's address of a file of 4,096 bytes, and its bytes."""
    result = next(r for r in await done(call, clock, scenes()) if r["name"].endswith(".tif"))
    location = (await call("GET", result["location"])).headers["location"]
    return location, (await call("GET", location)).body


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=4000-", 4000, 4096),
        ("bytes=4000-9999", 4000, 4096),
        ("bytes=-96", 4000, 4096),
        ("bytes=-9999", 0, 4096),
    ],
)
async def test_ranges(call: Caller, raster: tuple[str, bytes], asked: str, start: int, stop: int) -> None:
    """A range returns 206, exactly the bytes requested, and says which they are."""
    location, whole = raster
    part = await call("GET", location, headers={"Range": asked})
    assert (part.status, part.body) == (206, whole[start:stop])
    assert part.headers["content-range"] == f"bytes {start}-{stop - 1}/4096"
    assert part.headers["content-length"] == str(stop - start)


@pytest.mark.parametrize("asked", ["bytes=4096-", "bytes=9-8", "bytes=-0"])
async def test_ranges_that_hold_nothing(call: Caller, raster: tuple[str, bytes], asked: str) -> None:
    """A range beyond the end is 416, with the size of the file."""
    reply = await call("GET", raster[0], headers={"range": asked})
    assert (reply.status, reply.headers["content-range"]) == (416, "bytes */4096")


@pytest.mark.parametrize("asked", ["bytes=-", "lines=1-2", "bytes=0-1,4-5", "bytes=a-b"])
async def test_ranges_that_are_not_understood(call: Caller, raster: tuple[str, bytes], asked: str) -> None:
    """A range of another kind is ignored: the whole file is sent."""
    reply = await call("GET", raster[0], headers={"range": asked})
    assert (reply.status, reply.body) == (200, raster[1])


async def test_if_range_prevents_mixing_two_files(call: Caller, raster: tuple[str, bytes]) -> None:
    """With the ETag of the file, If-Range returns the part; with another one, the whole file."""
    location, whole = raster
    etag = (await call("GET", location)).headers["etag"]
    part = await call("GET", location, headers={"range": "bytes=9-", "if-range": etag})
    assert (part.status, part.body) == (206, whole[9:])
    other = await call("GET", location, headers={"range": "bytes=9-", "if-range": '"other"'})
    assert (other.status, other.body) == (200, whole)


async def test_head_and_other_methods_of_the_storage(call: Caller, raster: tuple[str, bytes]) -> None:
    """HEAD returns size and ETag without the body; anything but HEAD and GET is 405."""
    location, whole = raster
    head = await call("HEAD", location)
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(whole)))
    assert head.headers["accept-ranges"] == "bytes"
    post = await call("POST", location)
    assert (post.status, post.headers["allow"]) == (405, "GET, HEAD")


def planned(clock: FakeClock, **plan: Any) -> Caller:
    return Caller(Simulator(clock=clock, limits=Limits.unlimited(), plan=OrderPlan(**plan)))


async def test_the_manifest_can_lack_a_file(clock: FakeClock) -> None:
    """The first file is delivered, and is not in the manifest; the others are."""
    call = planned(clock, manifest="missing_entry")
    [first, *_, manifest] = await done(call, clock, scenes())
    listed = {each["path"] for each in (await call.fetch(manifest["location"])).json["files"]}
    assert len(listed) == 3
    assert first["name"] not in listed


async def test_there_may_be_no_manifest(clock: FakeClock) -> None:
    """An order without a manifest delivers its files all the same."""
    names = [result["name"] for result in await done(planned(clock, manifest="absent"), clock, scenes())]
    assert len(names) == 4
    assert "manifest.json" not in names


@pytest.mark.parametrize(
    ("start", "stop"), [(0, 5), (3, 4), (65_530, 65_545), (65_536, 131_072), (199_990, 200_000)]
)
def test_contents_are_the_same_from_any_place(start: int, stop: int) -> None:
    """Any part of a content is the same as cut out of the whole, across parts and chunks."""
    content = Content(b"head", Pixels(b"seed", 199_000), b"t" * 996)
    whole = b"".join(content.chunks())
    assert len(whole) == content.size == 200_000
    assert b"".join(content.chunks(start, stop)) == whole[start:stop]


def test_blocks_of_a_content_differ() -> None:
    """No two blocks of a large file are alike, so that going on at the wrong place shows."""
    blocks = list(Content(Pixels(b"seed", 20 * CHUNK_BYTES)).chunks())
    assert len(set(blocks)) == 20


def test_checksums_of_a_content() -> None:
    """The checksums are those of the bytes, each time."""
    content = Content(b"head", Pixels(b"seed", 70_000))
    whole = b"".join(content.chunks())
    for _ in range(2):
        assert content.digests("sha256")["sha256"] == hashlib.sha256(whole).hexdigest()
