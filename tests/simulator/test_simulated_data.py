"""The simulated Data API: searches that select, assets that follow the clock, downloads, and its errors."""

import hashlib
import math
from collections import Counter
from typing import Any

import pytest

from planet_async.simulator import AssetPlan, Fault, Limits, Simulator
from planet_async.testing import FakeClock
from simulator.simulated import CREDENTIAL, POLYGON, Caller, scenes

pytestmark = pytest.mark.anyio

DATA = "/data/v1"
DAYS = 40
EVERYTHING = {"type": "AndFilter", "config": []}


@pytest.fixture
def simulator(clock: FakeClock) -> Simulator:
    return Simulator(clock=clock, limits=Limits.unlimited(), catalog_days=DAYS)


def field(kind: str, name: str, config: object, **others: object) -> dict[str, Any]:
    return {"type": kind, "field_name": name, "config": config, **others}


async def found(call: Caller, filter_: object = None, **fields: object) -> list[Any]:
    """Return the items of all pages of a search."""
    body = {"item_types": ["PSScene"], "filter": filter_ or EVERYTHING, **fields}
    reply = await call("POST", f"{DATA}/quick-search", json=body)
    items: list[Any] = []
    while True:
        assert reply.status == 200, reply.body
        items += reply.json["features"]
        following = reply.json["_links"].get("_next")
        if following is None:
            return items
        reply = await call("GET", following)


async def one(call: Caller, place: object = POLYGON, **fields: object) -> Any:
    items = await found(call, field("GeometryFilter", "geometry", place), **fields)
    return next(item for item in items if item["properties"]["publishing_stage"] == "finalized")


async def assets(call: Caller, item: Any) -> Any:
    reply = await call("GET", item["_links"]["assets"])
    assert reply.status == 200, reply.body
    return reply.json


async def test_pages_have_every_scene_once_newest_first(call: Caller) -> None:
    """A search for one type finds all scenes, in pages of 250, by the time of publication."""
    items = await found(call)
    ids = [item["id"] for item in items]
    assert len(ids) == len(set(ids)) == DAYS * 40
    strips = Counter(item["properties"]["strip_id"] for item in items)
    assert set(strips.values()) == {4}
    assert call.simulator.requests["data.search"] == 1
    assert call.simulator.requests["data.results"] == 6
    times = [item["properties"]["published"] for item in items]
    assert times == sorted(times, reverse=True)
    assert times[0] < "2026-01-01"


SELECTIONS: dict[str, tuple[Any, Any]] = {
    "clear": (
        field("RangeFilter", "cloud_cover", {"gte": 0.1, "lt": 0.2}),
        lambda item: 0.1 <= item["properties"]["cloud_cover"] < 0.2,
    ),
    "one day": (
        field(
            "DateRangeFilter", "acquired", {"gte": "2025-12-20T00:00:00Z", "lt": "2025-12-21T01:00:00+01:00"}
        ),
        lambda item: item["properties"]["acquired"].startswith("2025-12-20"),
    ),
    "republished": (
        field("UpdateFilter", "ground_control", {"gt": "2025-12-20T00:00:00Z"}),
        lambda item: item["properties"]["updated"] > max("2025-12-20", item["properties"]["published"]),
    ),
    "words": (
        field("StringInFilter", "instrument", ["PS2", "PS2.SD"]),
        lambda item: item["properties"]["instrument"] in {"PS2", "PS2.SD"},
    ),
    "booleans": (
        field("StringInFilter", "ground_control", ["false"]),
        lambda item: not item["properties"]["ground_control"],
    ),
    "numbers": (
        field("NumberInFilter", "cloud_percent", [0, 3]),
        lambda item: item["properties"]["cloud_percent"] in {0, 3},
    ),
    "assets": (
        {"type": "AssetFilter", "config": ["ortho_analytic_8b_sr"]},
        lambda item: "ortho_analytic_8b_sr" in item["assets"],
    ),
    "permission": (
        {"type": "PermissionFilter", "config": ["assets:download"]},
        lambda item: item["_permissions"],
    ),
    "permission for one": (
        {"type": "PermissionFilter", "config": ["assets.ortho_analytic_8b:download"]},
        lambda item: "assets.ortho_analytic_8b:download" in item["_permissions"],
    ),
}


@pytest.mark.no_cover
@pytest.mark.parametrize("name", SELECTIONS)
async def test_a_filter_selects_what_it_says_and_its_negation_the_rest(call: Caller, name: str) -> None:
    """Both are compared with what the items themselves say, over the scenes of a few weeks."""
    filter_, passes = SELECTIONS[name]
    recent = field("DateRangeFilter", "acquired", {"gte": "2025-12-10T00:00:00Z"})
    items = await found(call, recent)
    expected = [item["id"] for item in items if passes(item)]
    assert 0 < len(expected) < len(items)
    selected = await found(call, {"type": "AndFilter", "config": [recent, filter_]})
    assert [item["id"] for item in selected] == expected
    negation = {"type": "NotFilter", "config": filter_}
    rest = await found(call, {"type": "AndFilter", "config": [recent, negation]})
    assert {item["id"] for item in rest} == {item["id"] for item in items}.difference(expected)
    both = await found(
        call, {"type": "AndFilter", "config": [recent, {"type": "OrFilter", "config": [filter_, negation]}]}
    )
    assert len(both) == len(items)


def box(west: float, south: float, east: float, north: float) -> dict[str, Any]:
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


@pytest.mark.parametrize(
    ("relation", "geometry", "cells"),
    [
        ("intersects", POLYGON, 4),
        ("intersects", {"type": "Point", "coordinates": [18.2, -33.85]}, 1),
        ("intersects", {"type": "MultiPoint", "coordinates": [[18.2, -33.85], [18.6, -33.85], [0, 0]]}, 2),
        ("intersects", {"type": "LineString", "coordinates": [[17, -33.85], [20, -33.85]]}, 2),
        ("intersects", {"type": "MultiLineString", "coordinates": [[[17, -33.7], [17, -33.9]]]}, 0),
        (
            "intersects",
            {"type": "MultiPolygon", "coordinates": [box(18.2, -33.86, 18.21, -33.85)["coordinates"]]},
            1,
        ),
        ("contains", box(18.2, -33.86, 18.21, -33.85), 1),
        ("contains", POLYGON, 0),
        ("within", box(17, -35, 20, -33), 4),
        ("within", box(17, -35, 18.4, -33), 0),
        ("within", box(17, -35, 18.5, -33), 2),
    ],
)
async def test_relations_to_an_area(call: Caller, relation: str, geometry: Any, cells: int) -> None:
    """A place has two by two scenes a day; `intersects` is the default, and also that of `geometry`."""
    day = field("DateRangeFilter", "acquired", {"gte": "2025-12-05T00:00:00Z", "lt": "2025-12-06T00:00:00Z"})
    filter_ = field("GeometryFilter", "geometry", geometry, relation=relation)
    assert len(await found(call, {"type": "AndFilter", "config": [day, filter_]})) == cells
    if relation == "intersects":
        assert len(await found(call, day, geometry=geometry)) == cells
        elsewhere = {**filter_, "relation": "disjoint"}
        assert len(await found(call, {"type": "AndFilter", "config": [day, elsewhere]})) == 40 - cells


async def test_references_are_areas(call: Caller) -> None:
    """A search for features, by one reference or several, finds what one for their geometries finds."""
    made = await call("POST", "/features/v1/ogc/my/collections", json={"title": "fields"})
    feature = {"type": "Feature", "geometry": POLYGON, "properties": {}}
    path = f"/features/v1/ogc/my/collections/{made.json['id']}/items"
    [reference] = (await call("POST", path, json=feature)).json
    expected = await found(call, geometry=POLYGON)
    for content in (reference, [reference, reference]):
        assert await found(call, geometry={"type": "ref", "content": content}) == expected


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"filter": {"type": "RangeFilter", "field_name": "gsd"}}, "'config' is a required property"),
        ({"filter": field("RangeFilter", "cloudiness", {"lt": 1})}, "cloudiness"),
        ({"filter": field("RangeFilter", "cloud_cover", {"below": 1})}, "gt, gte, lt, lte"),
        ({"filter": field("RangeFilter", "cloud_cover", {"lt": "a lot"})}, "number"),
        ({"filter": field("DateRangeFilter", "acquired", {"gt": "2025-12-01"})}, "RFC 3339"),
        ({"filter": field("GeometryFilter", "geometry", {"type": "Circle"})}, "Circle"),
        ({"filter": {**field("GeometryFilter", "geometry", POLYGON), "relation": ["within"]}}, "within"),
        ({"filter": {"type": "AndFilter", "config": [{"type": "XorFilter", "config": []}]}}, "XorFilter"),
        ({"filter": EVERYTHING, "item_types": ["PSSceen"]}, "PSSceen"),
        ({"filter": EVERYTHING, "geometry": {"type": "ref", "content": "pl:features/my/none"}}, "reference"),
        ({"filter": EVERYTHING, "item_types": []}, "required"),
        ({}, "'filter' is a required property"),
    ],
)
async def test_bad_searches_are_refused_in_the_long_form(call: Caller, body: Any, problem: str) -> None:
    """The error names the field of the request, and says what is wrong with it."""
    reply = await call("POST", f"{DATA}/quick-search", json={"item_types": ["PSScene"], **body})
    assert reply.status == 400
    assert problem in str(reply.json["field"])
    assert reply.json["general"]


async def test_saved_searches(call: Caller, clock: FakeClock) -> None:
    """They are made, listed, replaced, run and deleted; a second one with the same name is another one."""
    filter_ = field("RangeFilter", "cloud_percent", {"lte": 60})
    body = {"name": "clear", "item_types": ["PSScene"], "filter": filter_, "__daily_email_enabled": True}
    first, second = [(await call("POST", f"{DATA}/searches", json=body)).json for _ in range(2)]
    assert first["id"] != second["id"]
    assert first["filter"]["config"] == {"lte": 60.0}
    assert (first["search_type"], first["last_executed"], first["__daily_email_enabled"]) == (
        "saved",
        None,
        True,
    )
    await found(call)
    listed = (await call("GET", f"{DATA}/searches", ("search_type", "saved"))).json
    assert [search["id"] for search in listed["searches"]] == [second["id"], first["id"]]
    page = (await call("GET", f"{DATA}/searches", ("_page_size", "2"), ("_sort", "created asc"))).json
    page = (await call("GET", page["_links"]["_next"])).json
    assert [search["search_type"] for search in page["searches"]] == ["quick"]
    clock.advance(5)
    changed = {**body, "filter": {"type": "NotFilter", "config": filter_}, "name": "cloudy"}
    reply = await call("PUT", first["_links"]["_self"], json=changed)
    assert (reply.status, reply.json["name"]) == (200, "cloudy")
    assert reply.json["updated"] > reply.json["created"]
    results = (await call("GET", first["_links"]["results"], ("_sort", "acquired asc"))).json["features"]
    assert results
    assert all(item["properties"]["cloud_percent"] > 60 for item in results)
    assert (await call("DELETE", first["_links"]["_self"])).status == 204
    gone = await call("GET", first["_links"]["_self"])
    assert (gone.status, "search id does not exist" in gone.json["message"]) == (404, True)


async def test_stats_count_what_a_search_finds(call: Caller) -> None:
    """The buckets are months or days by a clock with the offset, and their sum is the number of items."""
    items = await found(call, geometry=POLYGON)
    body = {
        "item_types": ["PSScene"],
        "filter": field("GeometryFilter", "geometry", POLYGON),
        "interval": "month",
    }
    stats = (await call("POST", f"{DATA}/stats", json=body)).json
    assert [bucket["start_time"][:19] for bucket in stats["buckets"]] == [
        f"2025-{month:02}-01T00:00:00" for month in (11, 12)
    ]
    assert sum(bucket["count"] for bucket in stats["buckets"]) == len(items) == DAYS * 4
    daily = {**body, "interval": "day", "utc_offset": "+02:00"}
    stats = (await call("POST", f"{DATA}/stats", json=daily)).json
    assert stats["buckets"][0]["start_time"] == "2025-11-20T22:00:00.000000Z"
    assert (await call("POST", f"{DATA}/stats", json={**body, "interval": "decade"})).status == 400


async def test_an_asset_is_activated_downloaded_and_expires(clock: FakeClock) -> None:
    """Inactive, activating, active with a location that needs no key and the right md5, inactive again."""
    plan = AssetPlan(activation_seconds=20, active_seconds=600)
    simulator = Simulator(clock=clock, limits=Limits.unlimited(), asset_plan=plan)
    call = Caller(simulator)
    item = await one(call)
    asset = (await assets(call, item))["ortho_udm2"]
    assert (asset["status"], asset["md5_digest"], asset["_permissions"]) == ("inactive", None, ["download"])
    assert "location" not in asset
    assert (await call("GET", asset["_links"]["activate"])).status == 202
    clock.advance(19)
    activating = (await call("GET", asset["_links"]["_self"])).json
    assert (activating["status"], activating["md5_digest"]) == ("activating", None)
    clock.advance(1)
    active = (await assets(call, item))["ortho_udm2"]
    assert active["status"] == "active"
    assert active["expires_at"] == "2026-01-01T00:10:20.000000"
    assert (await call("POST", asset["_links"]["activate"])).status == 204
    redirect = await call("GET", active["location"], headers={})
    file = await call("GET", redirect.headers["location"])
    assert file.headers["content-disposition"] == f'attachment; filename="{item["id"]}_ortho_udm2.tif"'
    assert hashlib.md5(file.body, usedforsecurity=False).hexdigest() == active["md5_digest"]
    assert (await call("GET", redirect.headers["location"], headers=CREDENTIAL)).status == 400
    clock.advance(600)
    assert (await call("GET", asset["_links"]["_self"])).json["status"] == "inactive"
    assert (await call("GET", active["location"], headers={})).status == 401
    assert (await call("GET", active["location"][:-1], headers={})).status == 404


async def test_a_plan_decides_for_each_asset(clock: FakeClock) -> None:
    """One never becomes active, one is at once, and for one the quota is used up."""

    def plan(_: str, asset_type: str) -> AssetPlan:
        if asset_type == "ortho_visual":
            return AssetPlan(over_quota=True)
        return AssetPlan(activation_seconds=math.inf if asset_type == "ortho_udm2" else 0)

    call = Caller(Simulator(clock=clock, limits=Limits.unlimited(), asset_plan=plan))
    item = await one(call)
    offered = await assets(call, item)
    replies = {
        name: await call("GET", offered[name]["_links"]["activate"])
        for name in ("ortho_udm2", "ortho_analytic_4b", "ortho_visual")
    }
    assert [reply.status for reply in replies.values()] == [202, 202, 429]
    refusal = replies["ortho_visual"]
    assert refusal.json == {"field": {}, "general": [{"message": "Download quota has been exceeded."}]}
    assert "retry-after" not in refusal.headers
    clock.advance(1e6)
    assert (await assets(call, item))["ortho_udm2"]["status"] == "activating"


async def test_what_may_not_be_downloaded_is_shown_but_not_activated(call: Caller) -> None:
    """Outside the contract, items and their assets have no permissions, and an activation gets a 401."""
    item = await one(call, {"type": "Point", "coordinates": [135.5, 34.7]})
    assert item["_permissions"] == []
    asset = (await assets(call, item))["ortho_visual"]
    assert asset["_permissions"] == []
    reply = await call("GET", asset["_links"]["activate"])
    assert (reply.status, "permission" in reply.json["message"]) == (401, True)


async def test_coverage_is_not_complete_at_first(call: Caller, clock: FakeClock) -> None:
    """The mask takes two seconds; an estimate is there at once."""
    item = await one(call)
    url = f"{item['_links']['_self']}/coverage"
    body = {"geometry": POLYGON}
    assert (await call("POST", url, json=body)).json == {"status": "pending"}
    estimate = (await call("POST", url, ("mode", "estimate"), json=body)).json
    clock.advance(2)
    complete = (await call("POST", url, json=body)).json
    assert (
        estimate == complete == {"clear_percent": item["properties"]["clear_percent"], "status": "complete"}
    )
    assert (await call("POST", url, ("band", "rainbow"), json=body)).status == 400


async def test_types_thumbnails_and_missing_things(call: Caller) -> None:
    """Item types and asset types are described, thumbnails are at another host, and a 404 has a message."""
    listed = (await call("GET", f"{DATA}/item-types")).json["item_types"]
    psscene = next(each for each in listed if each["id"] == "PSScene")
    assert (await call("GET", psscene["_links"]["_self"])).json == psscene
    own = (await call("GET", f"{DATA}/item-types/PSScene/asset-types")).json["asset_types"]
    assert [each["id"] for each in own] == psscene["supported_asset_types"]
    assert (await call("GET", f"{DATA}/asset-types/ortho_udm2")).json in own
    item = await one(call)
    assert (await call("GET", item["_links"]["_self"])).json == item
    assert item["_links"]["thumbnail"].startswith("https://tiles.planet.com/")
    image = await call("GET", item["_links"]["thumbnail"], headers=CREDENTIAL)
    assert image.body.startswith(b"\x89PNG")
    for path in ("item-types/PSScene/items/none", "item-types/none", "asset-types/none", "assets/none"):
        reply = await call("GET", f"{DATA}/{path}")
        assert (reply.status, bool(reply.json["message"])) == (404, True), path


async def test_scenes_can_be_ordered(call: Caller) -> None:
    """The ids of a search are those of an order, with a bundle of its item type."""
    ids = [item["id"] for item in await found(call, geometry=POLYGON)][:5]
    order = await call.create(scenes(items=ids))
    assert order["products"][0]["item_ids"] == ids


async def test_faults_and_limits_are_those_of_the_other_apis(clock: FakeClock) -> None:
    """A cut file, an activation whose response is lost, and five activations a second."""
    call = Caller(Simulator(clock=clock, asset_plan=AssetPlan(activation_seconds=0)))
    item = await one(call)
    names = list(await assets(call, item))[:6]
    clock.advance(1)
    offered = await assets(call, item)
    call.simulator.faults.add(Fault(operation="data.activate", status=502, after=True, times=1))
    statuses = [(await call("GET", offered[name]["_links"]["activate"])).status for name in names]
    assert statuses == [502, 202, 202, 202, 202, 429]
    assert (await assets(call, item))[names[0]]["status"] == "active"
