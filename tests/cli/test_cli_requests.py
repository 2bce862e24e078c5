"""Requests that are built from options, offline: what they print is what the other commands take."""

import json
from pathlib import Path

import pytest

from cli.commanded import Run
from planet_async.cli.catalog import BUNDLES, ITEM_TYPES, complete_bundle, complete_item_type
from planet_async.simulator import Simulator

FIELD = {"type": "Polygon", "coordinates": [[[18, -33], [18.1, -33], [18.1, -32.9], [18, -32.9], [18, -33]]]}
ITEM = ("--item-type", "PSScene", "--bundle", "visual")
CATALOG = ("--item-types", "PSScene", "--asset-types", "ortho_visual,ortho_udm2", "--geometry")
START = ("--start-time", "2026-01-01T00:00:00Z")


def test_an_order_with_all_options(run: Run, tmp_path: Path) -> None:
    """Each option of Planet's own command is there, and becomes the field of the API."""
    area = tmp_path / "field.geojson"
    area.write_text(json.dumps({"type": "Feature", "properties": {}, "geometry": FIELD}))
    ran = run(
        *("orders", "request", "a", "b", "a", *ITEM, "--fallback-bundle", "analytic_udm2", "--name", "farm"),
        *("--clip", area, "--email", "--single-archive", "--stac"),
        *("--cloudconfig", '{"destination": {"ref": "pl:destinations/mine"}}'),
    )
    assert (ran.code, ran.err) == (0, "")
    assert ran.json == {
        "name": "farm",
        "products": [
            {"item_ids": ["a", "b"], "item_type": "PSScene", "product_bundle": "visual,analytic_udm2"}
        ],
        "tools": [{"clip": {"aoi": FIELD}}],
        "delivery": {
            "destination": {"ref": "pl:destinations/mine"},
            "archive_type": "zip",
            "archive_filename": "{{name}}_{{order_id}}.zip",
            "single_archive": True,
        },
        "notifications": {"email": True},
        "metadata": {"stac": {}},
    }
    tools = [{"harmonize": {"target_sensor": "Sentinel-2"}}, {"clip": {"aoi": "pl:features/my/a/b"}}]
    hosted = ("--hosting", "sentinel_hub", "--create-configuration", "--tools", json.dumps(tools))
    found = run("orders", "request", "a", *ITEM, *hosted).json
    assert found["hosting"] == {"sentinel_hub": {"create_configuration": True}}
    assert found["tools"] == tools


def test_items_are_ordered_by_type(run: Run) -> None:
    """Standard input has ids or items; an order has one type, at most 500 ids, and a name of its own."""
    items = [{"id": str(n), "properties": {"item_type": "PSScene"}} for n in range(501)]
    items += [{"id": "sky", "properties": {"item_type": "SkySatCollect"}}]
    stdin = "\n".join(map(json.dumps, items))
    found = run("orders", "request", "--bundle", "visual", "-", stdin=stdin).json_lines
    products = [order["products"][0] for order in found]
    assert [(each["item_type"], len(each["item_ids"])) for each in products] == [
        ("PSScene", 500),
        ("PSScene", 1),
        ("SkySatCollect", 1),
    ]
    assert len({order["name"] for order in found}) == 3
    assert run("orders", "request", "--bundle", "visual", "-", stdin=stdin).json_lines == found
    assert run("orders", "request", *ITEM, "-", stdin="a b\n").json["products"][0]["item_ids"] == ["a", "b"]


def test_a_subscription(run: Run) -> None:
    """Sources go by a pipe into the request; tools, delivery, hosting and notifications are options."""
    catalog = ("--rrule", "FREQ=MONTHLY;BYMONTH=3", "--publishing-stage", "finalized", "--end-time")
    source = run(
        *("subscriptions", "request-catalog", *CATALOG, json.dumps(FIELD), *START, *catalog),
        *("2027-01-01T00:00:00Z", "--time-range-type", "acquired", "--geometry-relation", "contains"),
        *("--filter", '{"type": "PermissionFilter", "config": ["assets:download"]}'),
    )
    assert source.json == {
        "type": "catalog",
        "parameters": {
            "item_types": ["PSScene"],
            "asset_types": ["ortho_visual", "ortho_udm2"],
            "geometry": FIELD,
            "start_time": "2026-01-01T00:00:00Z",
            "end_time": "2027-01-01T00:00:00Z",
            "rrule": "FREQ=MONTHLY;BYMONTH=3",
            "filter": {"type": "PermissionFilter", "config": ["assets:download"]},
            "publishing_stages": ["finalized"],
            "time_range_type": "acquired",
            "geometry_relation": "contains",
        },
    }
    hosted = ("--clip-to-source", "--hosting", "sentinel_hub")
    ran = run("subscriptions", "request", "--name", "f", "--source", "-", *hosted, stdin=source.out)
    assert ran.json == {
        "name": "f",
        "source": source.json,
        "tools": [{"type": "clip", "parameters": {}}],
        "hosting": {"type": "sentinel_hub", "parameters": {}},
    }
    reference = ("--geometry", "pl:features/my/fields", *START)
    variable = run("subscriptions", "request-source", "--source-id", "SWC", *reference).json
    assert variable["parameters"]["geometry"] == {"type": "ref", "content": "pl:features/my/fields"}
    assert variable["parameters"]["id"] == "SWC"


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (("orders", "request", "a", "--bundle", "visual"), "pass --item-type"),
        (("orders", "request", "a", *ITEM, "--clip", '{"type": "Point", "coordinates": [1, 2]}'), "Polygon"),
        (("orders", "request", "a", *ITEM, "--clip", "{}", "--tools", "[]"), "not both"),
        (("orders", "request", "a", *ITEM, "--collection-id", "x"), "need --hosting"),
        (("orders", "request", "-", *ITEM), "standard input holds no items"),
        (("orders", "request", "a", *ITEM, "--delivery", '{"amazon_s3": {"bucket": "b"}}'), "missing"),
        (("subscriptions", "request-catalog", *CATALOG, "nofile", *START), "cannot be read"),
        (("subscriptions", "request-catalog", *CATALOG, json.dumps(FIELD), *START[:1], "soon"), "a time"),
        (("subscriptions", "request", "--name", "f", "--source", '{"type": "catalog"}'), "parameters"),
        (("data", "filter", "--where", "cloud_cover"), "cloud_cover<0.1"),
        (("data", "filter", "--where", "cloud_cover<much"), "expected a number"),
        (("data", "filter", "--where", "acquired>soon"), "a time"),
        (("data", "filter", "--where", "acquired=2026-01-01"), "not with ="),
        (("data", "filter", "--asset", "ortho_visual,"), "expected a word"),
        (("data", "filter", "--geometry", "{}"), "expected a GeoJSON geometry"),
        (("orders", "request", "", *ITEM), "is empty"),
        (("data", "filter", "--geometry", '{"type": "Point"}'), "coordinates"),
    ],
)
def test_what_the_api_would_refuse(args: tuple[str, ...], expected: str, run: Run) -> None:
    """It is wrong input with exit code 2, said without Python, and nothing is printed to be piped on."""
    ran = run(*args)
    assert (ran.code, ran.out) == (2, "")
    assert "__" not in ran.err
    assert expected in " ".join(ran.err.replace("│", " ").split())


def test_filters(run: Run) -> None:
    """Conditions become the filters of the API, by what is known of their fields, or by their values."""
    conditions = ("cloud_cover<0.1", "acquired >= 2026-01-01", "strip_id=1,2", "gsd=3", "new=1", "word=a b")
    args = [word for each in conditions for word in ("--where", each)]
    ran = run(
        *("data", "filter", *args, "--asset", "ortho_visual,ortho_udm2", "--permission", "--std-quality"),
        *("--update", "ground_control>=2026-01-01T00:00:00Z", "--geom", json.dumps(FIELD)),
        *("--geom-relation", "within"),
    )
    assert (ran.code, ran.json["type"]) == (0, "AndFilter")
    assert [(each["type"], each.get("field_name"), each["config"]) for each in ran.json["config"]] == [
        ("RangeFilter", "cloud_cover", {"lt": 0.1}),
        ("DateRangeFilter", "acquired", {"gte": "2026-01-01T00:00:00Z"}),
        ("StringInFilter", "strip_id", ["1", "2"]),
        ("NumberInFilter", "gsd", [3]),
        ("NumberInFilter", "new", [1]),
        ("StringInFilter", "word", ["a b"]),
        ("UpdateFilter", "ground_control", {"gte": "2026-01-01T00:00:00Z"}),
        ("AssetFilter", None, ["ortho_visual", "ortho_udm2"]),
        ("PermissionFilter", None, ["assets:download"]),
        ("StringInFilter", "quality_category", ["standard"]),
        ("GeometryFilter", "geometry", FIELD),
    ]
    assert run("data", "filter").json == {"type": "AndFilter", "config": []}


def test_words_are_completed(run: Run, on_terminal: Run) -> None:
    """Bundles and item types are listed and completed, offline; others are taken too."""
    assert complete_bundle("analytic_8b_u") == ["analytic_8b_udm2"]
    assert complete_item_type("PSScene,skysatc") == ["PSScene,SkySatCollect"]
    assert [each["id"] for each in run("orders", "bundles").json_lines] == [*BUNDLES]
    assert {"id": "visual"} in run("orders", "bundles", "--item-type", "PSScene").json_lines
    for group in ("orders", "subscriptions"):
        assert run(group, "item-types", "--format", "ids").out.split() == [*ITEM_TYPES]
    assert "PSScene\n" in on_terminal("orders", "item-types").out
    assert "no bundles" in on_terminal("orders", "bundles", "--item-type", "NewScene").out
    assert run("orders", "request", "a", "--item-type", "NewScene", "--bundle", "new").code == 0


def test_collect(run: Run) -> None:
    """Features become a FeatureCollection, other objects an array."""
    features = [{"type": "Feature", "id": "1"}, {"type": "Feature", "id": "2"}]
    lines = "\n".join(map(json.dumps, features))
    assert run("collect", "-", stdin=lines).json == {"type": "FeatureCollection", "features": features}
    assert run("collect", '[{"id": 1}, {"id": "<REDACTED>"}]').json == [{"id": 1}, {"id": "<REDACTED>"}]
    assert run("collect", "-", stdin="").json == {"type": "FeatureCollection", "features": []}


@pytest.mark.usefixtures("base_url")
def test_requests_go_into_create(run: Run, simulator: Simulator) -> None:
    """`orders request | orders create -` and the same of subscriptions create what was described."""
    request = run("orders", "request", "20221221_084022_18_2414", *ITEM, "--name", "farm")
    assert run("orders", "create", "-", stdin=request.out).json["name"] == "farm"
    source = run("subscriptions", "request-catalog", *CATALOG, json.dumps(FIELD), *START)
    named = ("--name", "field", "--hosting", "sentinel_hub")
    request = run("subscriptions", "request", *named, "--source", "-", stdin=source.out)
    assert run("subscriptions", "create", "-", stdin=request.out).json["name"] == "field"
    assert simulator.requests["orders.create"] == simulator.requests["subscriptions.create"] == 1
