"""Which orders the simulator refuses, and how."""

from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planet_async.simulator import Limits, Simulator
from planet_async.simulator.catalog import NEEDED
from planet_async.testing import FakeClock
from simulator.simulated import ORDERS, Caller, basemaps, scenes

pytestmark = pytest.mark.anyio

AOI = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}
PRODUCT = {"item_ids": ["a"], "item_type": "PSScene", "product_bundle": "analytic_udm2"}
ZIP = {"archive_type": "zip", "single_archive": True}
AZURE = {"account": "a", "container": "c", "sas_token": "sv=1"}
S3 = {"bucket": "b", "aws_region": "r", "aws_access_key_id": "k", "aws_secret_access_key": "s"}


def product(**changes: Any) -> dict[str, Any]:
    return {
        "name": "n",
        "products": [{name: value for name, value in (PRODUCT | changes).items() if value is not None}],
    }


def quads(**fields: Any) -> dict[str, Any]:
    return {"name": "n", "source_type": "basemaps", "products": [fields]}


def many(count: int, item_type: str = "PSScene") -> list[dict[str, Any]]:
    return [PRODUCT | {"item_ids": [f"i{number}" for number in range(count)], "item_type": item_type}]


@pytest.mark.parametrize(
    ("order", "field", "words"),
    [
        ({"products": [PRODUCT]}, "Name", "required"),
        (scenes(""), "Name", "required"),
        ({"name": 7, "products": [PRODUCT]}, "Name", "required"),
        ({"name": "n"}, "Products", "product"),
        ({"name": "n", "products": []}, "Products", "product"),
        ({"name": "n", "products": ["x"]}, "Products", "product"),
        (product(item_ids=None), "Products", "Item ID or Item Type empty"),
        (product(item_ids=[]), "Products", "Item ID or Item Type empty"),
        (product(item_ids="a"), "Products", "Item ID or Item Type empty"),
        (product(item_ids=[7]), "Products", "Item ID or Item Type empty"),
        (product(item_type=None), "Products", "Item ID or Item Type empty"),
        (product(product_bundle=None), "Products", "bundle empty"),
        (product(product_bundle="none_such"), "Products", "Bad bundle type 'none_such'"),
        (product(item_type="invalid"), "Products", "Bad item type 'invalid' for bundle type 'analytic_udm2'"),
        ({"name": "n", "products": many(501)}, "Products", "501 items"),
        (
            {"name": "n", "products": many(51, "SkySatCollect"), "delivery": ZIP},
            "Products",
            "51 items",
        ),
        (scenes(source_type="maps"), "SourceType", "'maps'"),
        (scenes(source_type=["scenes"]), "SourceType", "scenes"),
        (scenes(order_type="half"), "OrderType", "'half'"),
        (scenes(subscription_id="7"), "SubscriptionID", "subscription_id"),
        (scenes(notifications=[]), "Notifications", "notifications"),
        (scenes(notifications={"email": "yes"}), "Notifications", "notifications"),
        (scenes(notifications={"webhook": "https://example.com"}), "Notifications", "notifications"),
        (scenes(notifications={"webhook": {"per_order": True}}), "Notifications", "notifications"),
        (scenes(notifications={"webhook": {"url": "https://x", "per_order": 1}}), "Notifications", "Bad"),
        (scenes(metadata="stac"), "Metadata", "metadata"),
        (scenes(tools={}), "Tools", "array"),
        (scenes(tools=["clip"]), "Tools", "exactly one key"),
        (scenes(tools=[{}]), "Tools", "exactly one key"),
        (scenes(tools=[{"toar": {}, "composite": {}}]), "Tools", "exactly one key"),
        (scenes(tools=[{"sharpen": {}}]), "Tools", "Bad tool 'sharpen'"),
        (scenes(tools=[{"merge": {}}]), "Tools", "Bad tool 'merge' for source type 'scenes'"),
        (scenes(tools=[{"toar": None}]), "Tools", "object"),
        (scenes(tools=[{"clip": {}}]), "Tools", "aoi"),
        (scenes(tools=[{"reproject": {"kernel": "near"}}]), "Tools", "projection"),
        (scenes(tools=[{"coregister": {}}]), "Tools", "anchor_item"),
        (scenes(tools=[{"tile": {}}]), "Tools", "tile_size"),
        (scenes(tools=[{"harmonize": {}}]), "Tools", "target_sensor"),
        (scenes(tools=[{"bandmath": {"pixel_type": "8U"}}]), "Tools", "b1"),
        (scenes(tools=[{"file_format": {}}]), "Tools", "format"),
        (scenes(tools=[{"file_format": {"format": "JPEG"}}]), "Tools", "'JPEG'"),
        (scenes(tools=[{"reproject": {"projection": "EPSG:4326", "kernel": "best"}}]), "Tools", "'best'"),
        (scenes(tools=[{"reproject": {"projection": "EPSG:4326", "resolution": 0}}]), "Tools", "resolution"),
        (scenes(tools=[{"bandmath": {"b1": "b1", "b3": "b2"}}]), "Tools", "gaps"),
        (scenes(tools=[{"bandmath": {"b1": "b1", "pixel_type": "64R"}}]), "Tools", "pixel_type"),
        (scenes(tools=[{"composite": {"group_by": "date"}}]), "Tools", "group_by"),
        (scenes(tools=[{"harmonize": {"target_sensor": "Landsat"}}]), "Tools", "target_sensor"),
        (scenes(tools=[{"tile": {"tile_size": "big"}}]), "Tools", "tile_size"),
        (scenes(tools=[{"toar": {"scale_factor": -1}}]), "Tools", "scale_factor"),
        (scenes(tools=[{"clip": {"aoi": {"type": "Point", "coordinates": [0, 0]}}}]), "Tools", "aoi"),
        (scenes(tools=[{"clip": {"aoi": {"type": "Polygon", "coordinates": []}}}]), "Tools", "aoi"),
        (scenes(tools=[{"clip": {"aoi": {"type": "ref", "content": "my/field"}}}]), "Tools", "aoi"),
        (scenes(delivery={"amazon_s3": S3}, hosting={"sentinel_hub": {}}), "Hosting", "exclude"),
        (scenes(hosting={}), "Hosting", "sentinel_hub"),
        (scenes(hosting="sentinel_hub"), "Hosting", "sentinel_hub"),
        (
            scenes(hosting={"sentinel_hub": {"collection_id": "c", "create_configuration": True}}),
            "Hosting",
            "exclude",
        ),
        (scenes(delivery=[]), "Delivery", "object"),
        (scenes(delivery={"archive_type": "rar"}), "Delivery", "'rar'"),
        (scenes(delivery={"archive_filename": 7}), "Delivery", "archive_filename"),
        (scenes(delivery={"amazon_s3": []}), "Delivery", "object"),
        (scenes(delivery={"amazon_s3": S3 | {"bucket": ""}}), "Delivery", "bucket"),
        (scenes(delivery={"amazon_s3": S3, "planet_folders": {}}), "Delivery", "Only one"),
        (scenes(delivery={"destination": {}}), "Delivery", "ref"),
        (scenes(delivery={"destination": {"ref": "mine"}}), "Delivery", "ref"),
        (scenes(delivery={"single_archive": "yes"}), "Delivery", "single_archive"),
        (scenes(delivery={"layout": {"format": "flat"}}), "Delivery", "layout"),
        (scenes(delivery={"amazon_s3": S3 | {"bucket": 7}}), "Delivery", "bucket"),
        (scenes(delivery={"amazon_s3": S3 | {"aws_access_key_id": "<REDACTED>"}}), "Delivery", "credentials"),
        (scenes(delivery={"azure_blob_storage": AZURE | {"sas_token": "?sv=1"}}), "Delivery", "sas_token"),
        (
            scenes(
                metadata={"stac": {}},
                delivery={"google_earth_engine": {"project": "p", "collection": "c"}},
            ),
            "Metadata",
            "google_earth_engine",
        ),
        (quads(quad_ids=["1-2"]), "Products", "Mosaic name empty"),
        (quads(mosaic_name="m"), "Products", "Exactly one"),
        (quads(mosaic_name="m", quad_ids=["1-2"], geometry=AOI), "Products", "Exactly one"),
        (quads(mosaic_name="m", quad_ids=[]), "Products", "Quad IDs empty"),
        (quads(mosaic_name="m", geometry="x"), "Products", "geometry"),
        (basemaps(tools=[{"composite": {}}]), "Tools", "Bad tool 'composite' for source type 'basemaps'"),
    ],
)
async def test_bad_orders_are_refused(call: Caller, order: object, field: str, words: str) -> None:
    """Each rule has its 400 in the documented shape, at the field concerned; no order is made."""
    reply = await call("POST", ORDERS, json=order)
    assert reply.status == 400
    assert list(reply.json["field"]) == [field]
    [problem] = reply.json["field"][field]
    assert words in problem["message"]
    assert reply.json["general"] == [{"message": "Unable to accept order"}]
    assert not call.simulator.orders


async def test_recorded_errors_are_reproduced_exactly(call: Caller, samples: Path) -> None:
    """Where a body of the real API was recorded, the simulator's is exactly the same."""
    errors = msgspec.json.decode((samples / "orders" / "errors.json").read_bytes())
    bad_type = await call("POST", ORDERS, json=product(item_type="invalid", product_bundle="analytic"))
    assert bad_type.json == errors["400_bad_item_type"]
    assert (await call("POST", ORDERS, json=product(item_ids=[]))).json == errors["400_empty_ids"]
    unknown = "b0cb3448-0a74-11eb-92a1-a3d779bb08e0"
    assert (await call("GET", f"{ORDERS}/{unknown}")).json == errors["404_get"]
    assert (await call("PUT", f"{ORDERS}/{unknown}")).json == errors["404_cancel"]


async def test_all_problems_are_reported_at_once(call: Caller) -> None:
    """An order that is wrong in several fields is refused with all of them."""
    reply = await call("POST", ORDERS, json=scenes("", order_type="half", tools=[{"clip": {}}, {"x": {}}]))
    assert reply.json["field"].keys() == {"Name", "OrderType", "Tools"}
    assert len(reply.json["field"]["Tools"]) == 2


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b"\xff", b"[" * 5000])
@pytest.mark.parametrize("path", [ORDERS, "/compute/ops/bulk/orders/v2/cancel"])
async def test_bodies_that_are_not_objects(call: Caller, path: str, body: bytes) -> None:
    """What is not a JSON object is a 400 in the documented shape."""
    reply = await call("POST", path, body=body)
    assert reply.status == 400
    assert "JSON" in reply.json["general"][0]["message"]


@pytest.mark.parametrize(
    "order",
    [
        product(product_bundle="analytic_8b_udm2,analytic_udm2"),
        product(item_type="SkySatCollect", product_bundle="visual,pansharpened_udm2"),
        {"name": "n", "products": many(500)},
        {"name": "n", "products": many(51, "SkySatCollect")},
        {"name": "n", "products": many(50, "SkySatCollect"), "delivery": ZIP},
        scenes(tools=[{"clip": {"aoi": AOI}}, {"composite": {}}, {"toar": {}}, {"cloud_filter": {}}]),
        scenes(delivery={"planet_folders": {}}),
        scenes(delivery={"azure_blob_storage": AZURE}),
        scenes(tools=[{"reproject": {"projection": "EPSG:4326", "kernel": "cubic", "resolution": 3.5}}]),
        scenes(tools=[{"bandmath": {"b1": "b1/b2", "b2": "b3", "pixel_type": "32R"}}]),
        scenes(tools=[{"clip": {"aoi": {"type": "ref", "content": "pl:features/my/fields/7"}}}]),
        scenes(hosting={"sentinel_hub": {"collection_id": "c", "create_configuration": False}}),
        scenes(notifications={"email": True, "webhook": {"url": "https://example.com", "per_order": False}}),
        scenes(delivery={"google_earth_engine": {"project": "p", "collection": "c"}}),
        basemaps(tools=[{"clip": {}}, {"merge": {}}]),
        quads(mosaic_name="m", geometry=AOI),
    ],
)
async def test_good_orders_are_accepted(call: Caller, order: object) -> None:
    """What the documentation allows is accepted, up to its limits."""
    assert (await call.create(order))["state"] == "queued"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from(["", "a", "scenes", "PSScene", "visual", "zip"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["item_ids", "clip", "sentinel_hub", "destination", "geometry", "type", "aoi"]),
            inner,
            max_size=2,
        )
    ),
    max_leaves=6,
)
SUBSCRIPTION: dict[str, Any] = {
    "name": "n",
    "source": {
        "parameters": {
            "item_types": ["PSScene"],
            "asset_types": ["ortho_visual"],
            "geometry": AOI,
            "start_time": "2026-01-01T00:00:00Z",
        }
    },
    "hosting": {"type": "sentinel_hub"},
}
SUBSCRIPTION_FIELDS = ["name", "source", "delivery", "hosting", "tools", "notifications"]
PARAMETERS = ["id", "item_types", "geometry", "start_time", "end_time", "rrule", "filter"]
TASKING_FIELDS = ["name", "geometry", "start_time", "end_time", "scheduling_type", "sat_elevation_angle_min"]
FIELDS = ["name", "products", "source_type", "order_type", "subscription_id", "tools", "delivery", "hosting"]


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.sampled_from([*FIELDS, "notifications", "metadata"]), JSON, max_size=4), st.booleans()
)
def test_random_orders_are_accepted_or_refused(changes: dict[str, Any], of_basemaps: bool) -> None:
    """Whatever JSON is sent as an order, the response is a 202 for an order that ends, or a 400."""

    async def sent() -> None:
        clock = FakeClock()
        call = Caller(Simulator(clock=clock, limits=Limits.unlimited()))
        order = basemaps() if of_basemaps else scenes()
        reply = await call("POST", ORDERS, json=order | changes)
        assert reply.status in {202, 400}, reply.body
        if reply.status == 202:
            clock.advance(60)
            assert (await call.order(reply.json["id"]))["state"] == "success"
            assert await call.listed(("source_type", "all")) == [reply.json["name"]]

    anyio.run(sent)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.sampled_from(SUBSCRIPTION_FIELDS), JSON, max_size=3),
    st.dictionaries(st.sampled_from(PARAMETERS), JSON, max_size=3),
    st.dictionaries(st.sampled_from([*NEEDED, "cloud_filter"]), JSON, max_size=3),
)
def test_random_subscriptions_are_accepted_or_refused(
    changes: dict[str, Any], parameters: dict[str, Any], tools: dict[str, Any]
) -> None:
    """Whatever JSON is sent as a subscription, the response is a 200 for one that can be read, or a 400."""

    async def sent() -> None:
        clock = FakeClock()
        call = Caller(Simulator(clock=clock, limits=Limits.unlimited()))
        source = {"parameters": SUBSCRIPTION["source"]["parameters"] | parameters}
        listed = [{"type": name, "parameters": value} for name, value in tools.items()]
        body = SUBSCRIPTION | {"source": source, "tools": listed} | changes
        reply = await call("POST", "/subscriptions/v1", json=body)
        assert reply.status in {200, 400}, reply.body
        if reply.status == 200:
            clock.advance(1000)
            assert (await call("GET", f"/subscriptions/v1/{reply.json['id']}")).json["status"] == "completed"
            assert len((await call("GET", "/subscriptions/v1")).json["subscriptions"]) == 1

    anyio.run(sent)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(TASKING_FIELDS), JSON, max_size=3))
def test_random_tasking_orders_are_accepted_or_refused(changes: dict[str, Any]) -> None:
    """Whatever JSON is sent as a tasking order, the response is a 201 for one that can be read, or a 400."""

    async def sent() -> None:
        call = Caller(Simulator(limits=Limits.unlimited()))
        body = {"name": "n", "geometry": {"type": "Point", "coordinates": [1, 2]}} | changes
        reply = await call("POST", "/tasking/v2/orders/", json=body)
        assert reply.status in {201, 400}, reply.body
        if reply.status == 201:
            assert (await call("GET", f"/tasking/v2/orders/{reply.json['id']}")).status == 200
            assert (await call("GET", "/tasking/v2/orders/", ("name", reply.json["name"]))).json["count"] == 1

    anyio.run(sent)
