"""What is sent is what was meant: nulls, empty parts, times, misspelt keys, archives, areas."""

import json
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from planet_async import ApiKey, Planet
from planet_async.errors import InvalidRequest, UnknownKeyWarning
from planet_async.models.codec import checked_body
from planet_async.models.delivery import AmazonS3, Archive
from planet_async.models.order_request import OrderRequest, SceneProduct, SentinelHub
from planet_async.models.subscription_request import CatalogSource, SubscriptionRequest, VariableSource
from planet_async.models.tasking_request import (
    ImagingWindowRequest,
    PricingRequest,
    TaskingOrderChanges,
    TaskingOrderRequest,
)
from planet_async.models.tools import Clip
from planet_async.testing import FakeClock, FakeTransport

POLYGON = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}
POINT = {"type": "Point", "coordinates": [1, 2]}
SCENES = {"item_ids": ["a"], "item_type": "PSScene", "product_bundle": "visual"}
START = "2026-01-01T00:00:00Z"
VARIABLE = {"type": "swc", "parameters": {"id": "v", "geometry": POLYGON, "start_time": START}}
CATALOG = {"item_types": ["PSScene"], "asset_types": ["visual"], "geometry": POLYGON, "start_time": START}
HOSTED = {"type": "sentinel_hub"}


def sent(cls: Any, body: Any) -> Any:
    return json.loads(checked_body(cls, body))


def order(**fields: object) -> Any:
    return sent(OrderRequest, {"name": "x", "products": [SCENES], **fields})


def subscription(**fields: object) -> Any:
    return sent(SubscriptionRequest, {"name": "x", "source": VARIABLE, **fields})


def catalog(**parameters: object) -> dict[str, Any]:
    source = {"type": "catalog", "parameters": {**CATALOG, **parameters}}
    return {"name": "x", "source": source, "hosting": HOSTED}


# --- Nulls and empty parts


@pytest.mark.parametrize(
    "nulls",
    [
        {"tools": None},
        {"source_type": None, "order_type": None, "subscription_id": None},
        {"delivery": None, "hosting": None, "metadata": None, "notifications": None},
        {"unknown": None},
        {"products": [{**SCENES, "mosaic_name": None, "geometry": None, "quad_ids": None}]},
    ],
)
def test_null_means_not_given(nulls: Mapping[str, object]) -> None:
    """So do the serializers of other programs write what is not there."""
    assert order(**nulls) == order()


@pytest.mark.parametrize(
    ("nulls", "expected"),
    [
        ({"tools": [{"merge": None}]}, {"tools": [{"merge": {}}]}),
        ({"hosting": {"sentinel_hub": None}}, {"hosting": {}}),
        ({"delivery": {"amazon_s3": None, "single_archive": None}}, {"delivery": {}}),
        ({"notifications": {"webhook": None, "email": True}}, {"notifications": {"email": True}}),
        (
            {"notifications": {"webhook": {"url": "https://x", "per_order": None}}},
            {"notifications": {"webhook": {"url": "https://x"}}},
        ),
    ],
)
def test_null_means_not_given_at_any_depth(
    nulls: Mapping[str, object], expected: Mapping[str, object]
) -> None:
    """Also inside of tools, deliveries, hosting and notifications."""
    assert order(**nulls) == {**order(), **expected}


def test_nulls_of_subscriptions_and_tasking_orders() -> None:
    """The same in the other two APIs."""
    assert subscription(tools=None, delivery=None, hosting=None, notifications=None) == subscription()
    assert subscription(source={**VARIABLE, "type": None})["source"] == {"parameters": VARIABLE["parameters"]}
    assert sent(SubscriptionRequest, catalog(end_time=None, filter=None, rrule=None)) == catalog()
    hosted = {**catalog(), "hosting": {**HOSTED, "parameters": None}}
    assert sent(SubscriptionRequest, hosted) == catalog()
    tasking = {"name": "x", "geometry": POINT}
    nulls = {**tasking, "product": None, "end_time": None, "satellite_types": None}
    assert sent(TaskingOrderRequest, nulls) == tasking


def test_a_required_null_is_missing() -> None:
    """What the API needs cannot be null."""
    with pytest.raises(InvalidRequest, match=r"\$\.name: missing; \$\.products\[0\]\.item_type: missing"):
        order(name=None, products=[{**SCENES, "item_type": None}])


def test_empty_parts() -> None:
    """An empty delivery or hosting is taken where the API takes it, and asks for nothing."""
    assert order(delivery={})["delivery"] == {}
    assert order(delivery={}, hosting={"sentinel_hub": {}})["hosting"] == {"sentinel_hub": {}}
    assert subscription(delivery={}, hosting={}) == {**subscription(), "delivery": {}, "hosting": {}}
    assert sent(SubscriptionRequest, catalog())["hosting"] == HOSTED
    with pytest.raises(InvalidRequest, match="a catalog source needs delivery or hosting"):
        sent(SubscriptionRequest, {**catalog(), "hosting": {}, "delivery": {}})


def test_no_new_configuration_for_a_collection_that_exists() -> None:
    """False says just that, so it is no contradiction."""
    parameters = {"collection_id": "c", "create_configuration": False}
    assert order(hosting={"sentinel_hub": parameters})["hosting"]["sentinel_hub"] == parameters
    assert SentinelHub("c", create_configuration=False).collection_id == "c"


# --- Archives and areas

ZIPPED = {
    "archive_type": "zip",
    "archive_filename": "{{name}}_{{order_id}}.zip",
    "single_archive": False,
}
S3: dict[str, Any] = {
    "bucket": "b",
    "aws_region": "r",
    "aws_access_key_id": "k",
    "aws_secret_access_key": "s",
}


def test_an_archive_is_complete() -> None:
    """The API does not zip without the two other settings, which Planet's own client adds, too."""
    bucket = AmazonS3(**S3, archive_type="zip")
    for delivery in (Archive(), {"archive_type": "zip"}, {"archive_type": "zip", "single_archive": None}):
        assert order(delivery=delivery)["delivery"] == ZIPPED
    for cloud in (bucket, {"archive_type": "zip", "amazon_s3": S3}):
        assert order(delivery=cloud)["delivery"] == {**ZIPPED, "amazon_s3": S3}
    own = {"archive_type": "zip", "archive_filename": "a.zip", "single_archive": True}
    assert order(delivery=own)["delivery"] == own
    assert order(delivery={"layout": {"format": "standard"}})["delivery"] == {
        "layout": {"format": "standard"}
    }


@pytest.mark.parametrize("clip", [Clip(), {"clip": {}}, {"clip": None}, {"clip": {"aoi": None}}])
def test_scenes_are_clipped_to_an_area(clip: Any) -> None:
    """The API would refuse it; basemaps are cut to the geometry of their product."""
    with pytest.raises(InvalidRequest, match=r"\$\.tools: clip needs an area \(aoi\)"):
        order(tools=[clip])
    mosaic = {"mosaic_name": "m", "geometry": POLYGON}
    assert order(products=[mosaic], tools=[clip])["tools"] == [{"clip": {}}]


@pytest.mark.anyio
async def test_of_two_requests_none_is_placed_if_one_has_no_area(tmp_path: Path) -> None:
    """All requests of a job are checked before the first order is placed."""
    right = OrderRequest("right", [SceneProduct(["a"], "PSScene", "visual")])
    wrong = {"name": "wrong", "products": [SCENES], "tools": [{"clip": {}}]}
    network = FakeTransport([])
    async with Planet(credentials=ApiKey("any"), transport=network, clock=FakeClock()) as planet:
        with pytest.raises((InvalidRequest, ExceptionGroup)):
            _ = [outcome.unwrap() async for outcome in planet.orders.run([wrong, right], tmp_path)]
    assert not [request for request in network.requests if b"wrong" in (request.body or b"")]


# --- Times

TIMES = [
    ("2026-05-01 00:00:00+00:00", "2026-05-01T00:00:00Z"),
    (str(datetime(2026, 5, 1, 1, tzinfo=UTC)), "2026-05-01T01:00:00Z"),
    ("20260501T020000+01", "2026-05-01T01:00:00Z"),
    ("2026-05-01T00:00Z", "2026-05-01T00:00:00Z"),
    ("2026-05-01T00:00:00.5+02:00", "2026-05-01T00:00:00.5+02:00"),
    (datetime(2026, 5, 1, tzinfo=UTC), "2026-05-01T00:00:00Z"),
]


@pytest.mark.parametrize(("given", "expected"), TIMES)
def test_times_are_written_as_rfc_3339(given: Any, expected: str) -> None:
    """What only Python understands is rewritten, in records and in mappings; the rest stays as it is."""
    bodies = [
        sent(SubscriptionRequest, catalog(end_time=given))["source"]["parameters"],
        CatalogSource(["a"], ["b"], POLYGON, START, given).to_dict()["parameters"],
        VariableSource("a", POLYGON, START, given).to_dict()["parameters"],
        sent(TaskingOrderRequest, {"name": "x", "geometry": POINT, "end_time": given}),
        sent(PricingRequest, PricingRequest(POINT, end_time=given)),
        sent(ImagingWindowRequest, ImagingWindowRequest(POINT, "a", "b", end_time=given)),
        sent(TaskingOrderChanges, {"end_time": given}),
    ]
    assert [body["end_time"] for body in bodies] == [expected] * len(bodies)


def test_times_in_a_filter() -> None:
    """A filter of the Data API, at any depth, has its times rewritten and is otherwise sent as it is."""
    dates = {"type": "DateRangeFilter", "field_name": "acquired", "config": {"gte": "2026-05-01 00:00+00:00"}}
    not_later = {"type": "NotFilter", "config": {**dates, "config": {"lt": "2026-06-01T00:00:00Z"}}}
    filter_ = {
        "type": "AndFilter",
        "config": [dates, not_later, {"type": "PermissionFilter", "config": ["x"]}],
    }
    found = sent(SubscriptionRequest, catalog(filter=filter_))["source"]["parameters"]["filter"]
    dates["config"] = {"gte": "2026-05-01T00:00:00Z"}
    assert found == filter_


@pytest.mark.parametrize(
    ("end", "says"),
    [
        ("2025-01-01 00:00:00+00:00", "it ends before it starts"),
        ("2026-01-01T00:30:00+01:00", "it ends before it starts"),
        ("2026-05-01", "expected a time with its zone"),
        ("2026-05-01 00:00:00", "expected a time with its zone"),
        ("tomorrow", "expected a time like"),
        (7, "expected a time like .* got 7"),
    ],
)
def test_intervals_are_checked(end: Any, says: str) -> None:
    """As text or as a datetime, in records and in mappings."""
    with pytest.raises(InvalidRequest, match=rf"\$\.source\.parameters\.end_time: {says}"):
        sent(SubscriptionRequest, catalog(end_time=end))
    with pytest.raises(InvalidRequest, match=rf"CatalogSource\.end_time: {says}"):
        CatalogSource(["a"], ["b"], POLYGON, START, end)


# --- Misspelt keys


@pytest.mark.parametrize(
    ("body", "warning"),
    [
        ({"tool": []}, "$: 'tool' is not known here, and sent as it is: is 'tools' meant?"),
        ({"notifications": {"webhook_url": "https://x"}}, "$.notifications: 'webhook_url' .* 'webhook'"),
        (
            {"notifications": {"webhook": {"url": "https://x", "per_orders": True}}},
            "$.notifications.webhook: 'per_orders' .* 'per_order'",
        ),
        ({"products": [{**SCENES, "item_id": "a"}]}, "$.products[0]: 'item_id' .* 'item_ids'"),
        ({"tools": [{"clpi": {}}]}, "$.tools[0]: 'clpi' .* 'clip'"),
        (
            {"tools": [{"reproject": {"projection": "x", "kernal": "cubic"}}]},
            "$.tools[0].reproject: 'kernal' .* 'kernel'",
        ),
        ({"delivery": {"archive_typ": "zip"}}, "$.delivery: 'archive_typ' .* 'archive_type'"),
        ({"delivery": {"amazon_s3": {**S3, "path_prefx": "x"}}}, "$.delivery.amazon_s3: .* 'path_prefix'"),
        ({"hosting": {"sentinel_hubs": {}}}, "$.hosting: 'sentinel_hubs' .* 'sentinel_hub'"),
    ],
)
def test_a_misspelt_key_is_warned_of(body: Mapping[str, object], warning: str) -> None:
    """The API ignores it silently; so it is sent as it is, and the closest name is shown."""
    pattern = warning.replace("$", r"\$").replace("[", r"\[").replace("]", r"\]").replace("?", r"\?")
    with pytest.warns(UnknownKeyWarning, match=pattern):
        found = order(**body)
    assert {**found, **body} == found


def test_misspelt_keys_of_subscriptions_and_tasking_orders() -> None:
    """The same in the other two APIs, in parameters and in types."""
    with pytest.warns(UnknownKeyWarning, match=r"\$\.source\.parameters: 'rule' .* 'rrule'"):
        sent(SubscriptionRequest, catalog(rule="x"))
    with pytest.warns(UnknownKeyWarning, match=r"\$\.hosting\.type: 'sentinel_hubb'"):
        sent(SubscriptionRequest, {**catalog(), "hosting": {"type": "sentinel_hubb"}})
    with pytest.warns(UnknownKeyWarning, match=r"\$: 'starttime' .* 'start_time'"):
        sent(TaskingOrderRequest, {"name": "x", "geometry": POINT, "starttime": START})


def test_a_warning_is_shown_once() -> None:
    """A job of a thousand requests with one mistake warns once."""
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("default")
        for _ in range(3):
            order(tool=[])
    assert len(shown) == 1


def test_new_fields_and_what_responses_add_are_not_warned_of() -> None:
    """The API may know more than this version does; warnings are errors in these tests."""
    assert order(brand_new=1, products=[{**SCENES, "later": 2}])["brand_new"] == 1
    assert order(hosting={"sentinel_hub": {"configuration_id": "c"}})
    assert sent(SubscriptionRequest, catalog(geom_ref="pl:features/a/b"))
