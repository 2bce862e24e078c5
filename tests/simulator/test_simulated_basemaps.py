"""The simulated Basemaps API: lists, quads of boxes and areas, keys in links, and files."""

from typing import Any

import pytest

from planet_async.simulator import Fault
from simulator.simulated import POLYGON, Caller

pytestmark = pytest.mark.anyio

BASEMAPS = "/basemaps/v1"
MONTH = "global_monthly_2025_12_mosaic"
WEEK = "swartland_weekly_2025_12_08_mosaic"


async def every(call: Caller, name: str, path: str, *params: tuple[str, str]) -> list[Any]:
    """Return all of a list, page by page."""
    reply = await call("GET", path, *params)
    found: list[Any] = []
    while True:
        assert reply.status == 200, reply.body
        found += reply.json[name]
        following = reply.json["_links"].get("_next")
        if following is None:
            return found
        reply = await call("GET", following)


async def mosaic(call: Caller, name: str = MONTH) -> Any:
    [found] = await every(call, "mosaics", f"{BASEMAPS}/mosaics", ("name__is", name))
    return found


async def quads(call: Caller, of: Any, box: str, *params: tuple[str, str]) -> list[Any]:
    return await every(call, "items", of["_links"]["quads"].replace("{lx},{ly},{ux},{uy}", box), *params)


async def test_mosaics_and_series_are_listed_by_name_interval_and_time(call: Caller) -> None:
    """All lists take the same filters, in pages of 50; `name__is` means the whole name."""
    everything = await every(call, "mosaics", f"{BASEMAPS}/mosaics")
    assert len({each["id"] for each in everything}) == len(everything) == 83
    assert call.simulator.requests["basemaps.list"] == 2
    weekly = await every(
        call, "mosaics", f"{BASEMAPS}/mosaics", ("name__contains", "WEEKLY"), ("_page_size", "20")
    )
    assert len(weekly) == 51
    assert len(await every(call, "mosaics", f"{BASEMAPS}/mosaics", ("interval", "3 mons"))) == 8
    late = [("acquired__gt", "2025-11-01"), ("interval", "1 mon")]
    assert [each["name"][-14:-7] for each in await every(call, "mosaics", f"{BASEMAPS}/mosaics", *late)] == [
        "2025_11",
        "2025_12",
    ]
    series = await every(call, "series", f"{BASEMAPS}/series", ("name__is", "Global Monthly"))
    path = f"{BASEMAPS}/series/{series[0]['id']}"
    assert (await call("GET", path)).json == series[0]
    assert (
        len(await every(call, "mosaics", f"{path}/mosaics", ("acquired__lt", "2025-01-01T00:00:00Z"))) == 12
    )
    assert [each["name"] for each in await every(call, "mosaics", f"{path}/mosaics", ("latest", "yes"))] == [
        MONTH
    ]
    assert await every(call, "mosaics", f"{BASEMAPS}/mosaics", ("name__is", MONTH.upper())) == []
    assert (await call("GET", f"{BASEMAPS}/mosaics", ("acquired__gt", "then"))).status == 400


async def test_the_last_day_is_not_part_of_a_mosaic(call: Caller) -> None:
    """It is the midnight that ends it."""
    found = await mosaic(call)
    assert (found["first_acquired"], found["last_acquired"]) == (
        "2025-12-01T00:00:00.000Z",
        "2026-01-01T00:00:00.000Z",
    )
    assert (await call("GET", found["_links"]["_self"])).json == found
    assert (await call("GET", f"{BASEMAPS}/mosaics/{found['id']}/grid")).json == found["grid"]
    gone = await call("GET", f"{BASEMAPS}/mosaics/none")
    assert (gone.status, gone.json) == (404, {"message": "Mosaic Not Found: none"})


async def test_quads_of_a_box(call: Caller) -> None:
    """Those that it meets, from all pages; a point has one, and what is beyond the map has none."""
    found = await mosaic(call)
    [at_a_point] = await quads(call, found, "18.4,-33.8,18.4,-33.8")
    west, south, east, north = at_a_point["bbox"]
    assert west <= 18.4 <= east
    assert south <= -33.8 <= north
    assert at_a_point["percent_covered"] == 100
    some = await quads(call, found, "18.2,-34,19.2,-33", ("_page_size", "7"))
    assert len({each["id"] for each in some}) == len(some) == 7 * 7
    assert at_a_point["id"] in {each["id"] for each in some}
    assert (await call("GET", at_a_point["_links"]["_self"])).json == at_a_point
    assert await quads(call, found, "-190,-34,19,-33") == []
    assert await quads(call, found, "18,-34,19,89") == []
    assert (await call("GET", f"{BASEMAPS}/mosaics/{found['id']}/quads")).status == 400
    summary = ("summary", "true"), ("_page_size", "1"), ("bbox", "-180,-85,180,85")
    page = (await call("GET", f"{BASEMAPS}/mosaics/{found['id']}/quads", *summary)).json
    assert page["summary"]["total_quads"] > 4_000_000
    assert len(page["items"]) == 1


async def test_a_regional_mosaic_has_a_grid_and_quads_of_its_own(call: Caller) -> None:
    """It has smaller quads, none elsewhere, and those at its border are covered in part."""
    found = await mosaic(call, WEEK)
    everything = await quads(call, found, "17,-35,20,-33")
    assert {each["percent_covered"] == 100 for each in everything} == {True, False}
    assert await quads(call, found, "19,-35,20,-33") == []
    assert found["grid"]["resolution"] < (await mosaic(call))["grid"]["resolution"]
    other = (await call("GET", f"{BASEMAPS}/mosaics/{found['id']}/quads/1-1")).status
    assert other == 404


async def test_quads_of_an_area(call: Caller) -> None:
    """Those of its box that it meets; the next page is asked for by its link alone."""
    found = await mosaic(call, WEEK)
    path = f"{BASEMAPS}/mosaics/{found['id']}/quads"
    first = await call("POST", f"{path}/search", ("minimal", "true"), ("_page_size", "5"), json=POLYGON)
    items = [*first.json["items"], *await every(call, "items", first.json["_links"]["_next"])]
    in_box = await quads(call, found, "18.2,-33.9,18.6,-33.7", ("minimal", "true"))
    assert 5 < len(items) < len(in_box)
    assert {each["id"] for each in items} < {each["id"] for each in in_box}
    assert all(set(each) == {"_links", "id"} and set(each["_links"]) == {"download"} for each in items)
    bad: list[object] = [{"type": "Point", "coordinates": [18.4, -33.8]}, {"type": "Feature"}, []]
    for area in bad:
        assert (await call("POST", f"{path}/search", json=area)).status == 400


async def test_links_have_the_key_of_the_request(call: Caller) -> None:
    """A key is written into all links, be it sent by Basic or as an api-key; a token is not."""
    for authorization, key in (
        ("api-key secret", "secret"),
        ("Basic c2VjcmV0Og==", "secret"),
        ("Bearer x", ""),
    ):
        reply = await call("GET", f"{BASEMAPS}/mosaics", headers={"authorization": authorization})
        page = reply.json
        links = [*page["_links"].values(), *page["mosaics"][0]["_links"].values()]
        assert [("api_key=" in link, link.count("api_key=secret")) for link in links] == [
            (bool(key), int(bool(key))) for _ in links
        ]


async def test_a_quad_is_downloaded_and_every_request_for_it_counts(call: Caller) -> None:
    """The link redirects to the storage, which wants no credential; faults cut it as all others."""
    [quad] = await quads(call, await mosaic(call), "18.4,-33.8,18.4,-33.8")
    assert call.simulator.requests["basemaps.download"] == 0
    redirect = await call("GET", quad["_links"]["download"])
    location = redirect.headers["location"]
    assert (redirect.status, location.startswith(call.simulator.storage_url)) == (302, True)
    file = await call("GET", location)
    assert file.body.startswith(b"II*\0")
    assert file.headers["content-disposition"] == f'attachment; filename="{quad["id"]}_quad.tif"'
    part = await call("GET", location, headers={"range": "bytes=4-7"})
    assert (part.status, part.body) == (206, file.body[4:8])
    call.simulator.faults.add(Fault(operation="basemaps.download", status=503, times=1))
    assert (await call("GET", quad["_links"]["download"])).status == 503
    assert call.simulator.requests["basemaps.download"] == 2


async def test_the_scenes_of_neighbouring_quads_overlap(call: Caller) -> None:
    """They are scenes of the Data API, acquired in the time of the mosaic."""
    found = await mosaic(call)
    first, second = [
        {each["link"] for each in (await call("GET", quad["_links"]["items"])).json["items"]}
        for quad in (await quads(call, found, "18.3,-33.8,18.5,-33.8"))[:2]
    ]
    shared = first & second
    assert shared
    scene = (await call("GET", shared.pop())).json
    assert scene["properties"]["acquired"].startswith("2025-12-")
