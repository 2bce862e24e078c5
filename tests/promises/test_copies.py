"""Settings and records go to other processes and are copied: nothing of them is lost on the way."""

import copy
import json
import pickle
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import pytest

import planet_async
from planet_async import (
    AmazonS3,
    Archive,
    Asset,
    AssetType,
    AzureBlobStorage,
    BandMath,
    BasemapProduct,
    BulkFailure,
    BulkJob,
    BulkResult,
    Capture,
    CatalogSource,
    Clip,
    CloudFilter,
    CloudPercentFilter,
    Composite,
    Config,
    Coregister,
    Coverage,
    DateProperty,
    DateRange,
    Delivery,
    Destination,
    DownloadedOrder,
    FailureReason,
    FileFormat,
    GoogleCloudStorage,
    GoogleEarthEngine,
    Harmonize,
    ImagingWindow,
    ImagingWindowRequest,
    ImagingWindowSearch,
    Item,
    ItemProperties,
    ItemType,
    Manifest,
    ManifestFile,
    Merge,
    Notifications,
    NumberProperty,
    NumberRange,
    OracleCloudStorage,
    Order,
    OrderCounts,
    OrderEvent,
    OrderRequest,
    OrderResult,
    OrderStats,
    Percent,
    PlanetFolders,
    PriceMultiplier,
    Pricing,
    PricingFailure,
    PricingModel,
    PricingPreview,
    PricingRequest,
    ReplacedOrder,
    Report,
    Reproject,
    ResultCounts,
    ResultsSummary,
    S3Compatible,
    SceneProduct,
    Schedule,
    Search,
    SearchRequest,
    SentinelHub,
    Stac,
    Stats,
    StatsBucket,
    Subscription,
    SubscriptionCounts,
    SubscriptionEvent,
    SubscriptionRequest,
    SubscriptionResult,
    SubscriptionsSummary,
    SubscriptionWebhook,
    TaskingOrder,
    TaskingOrderChanges,
    TaskingOrderRequest,
    TextProperty,
    Tile,
    TopOfAtmosphereReflectance,
    VariableSource,
    Webhook,
    Window,
    parse_order_notification,
    parse_subscription_notification,
    where,
)
from planet_async.models.base import Resource
from planet_async.models.basemaps import Contribution, Mosaic, Quad, Series
from planet_async.models.codec import decode, to_json
from planet_async.models.destinations import CloudDestination, DestinationRequest
from planet_async.models.features import Feature, FeatureCollection, FeatureProblem, FeatureValidation
from planet_async.models.quota import (
    Amount,
    EstimatedCost,
    QuotaEstimate,
    QuotaJob,
    QuotaProduct,
    Reservation,
    ReservedQuota,
)

POINT = {"type": "Point", "coordinates": [40.7, 64.6]}
AREA = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}
SCENES = SceneProduct(["a", "b"], "PSScene", "analytic_udm2")
MAY = datetime(2026, 5, 1, tzinfo=UTC)
MOMENT = "2026-05-01T09:58:21.5Z"
CATALOG = CatalogSource(["PSScene"], ["ortho_analytic_4b"], AREA, MAY)

SETTINGS = [
    Config(),
    Config(base_url="http://127.0.0.1", deadline=5, rates={"orders": (Window(1, 2.0),)}),
    Window(3),
    Schedule(first=1.0),
]
REQUESTS = [
    OrderRequest(
        "x", [SCENES], tools=[Merge(), {"new": {}}], delivery=Archive(), notifications={"email": True}
    ),
    OrderRequest("x", [BasemapProduct("m", geometry=AREA)], hosting=SentinelHub("c"), metadata=Stac()),
    SCENES,
    BasemapProduct("m", quad_ids=["1"]),
    SentinelHub(create_configuration=True),
    Stac(),
    Notifications(email=True, webhook=Webhook("https://me:pass@hook.example")),
    Webhook("https://hook.example", per_order=True),
    BandMath("b1", "b2", pixel_type="32R"),
    Clip(AREA),
    CloudFilter(clear_min=90),
    Composite("strip_id"),
    Coregister("a"),
    FileFormat("COG"),
    Harmonize("Sentinel-2"),
    Merge(),
    Reproject("EPSG:4326", kernel="cubic"),
    Tile(232, name_template="{tilex}"),
    TopOfAtmosphereReflectance(scale_factor=1),
    CloudPercentFilter(clear_percent=Percent(gte=90)),
    Percent(lte=5),
    Delivery(archive_type="zip"),
    Archive(single_archive=True, layout={"format": "standard"}),
    AmazonS3(bucket="b", aws_region="r", aws_access_key_id="k", aws_secret_access_key="s"),
    AzureBlobStorage(account="a", container="c", sas_token="s"),
    GoogleCloudStorage(bucket="b", credentials="s"),
    GoogleEarthEngine(project="p", collection="c", credentials="s"),
    OracleCloudStorage(
        bucket="b", region="r", namespace="n", customer_access_key_id="k", customer_secret_key="s"
    ),
    S3Compatible(endpoint="e", bucket="b", region="r", access_key_id="k", secret_access_key="s"),
    PlanetFolders(folder_id="f"),
    Destination(ref="pl:destinations/default"),
    SubscriptionRequest(
        "x", CATALOG, tools=[Clip()], delivery=GoogleCloudStorage(bucket="b", credentials="s")
    ),
    CATALOG,
    VariableSource("id", AREA, MAY, type="soil_water_content"),
    SubscriptionWebhook("https://hook.example", ["status.all"]),
    TaskingOrderRequest("x", POINT, start_time=MAY, satellite_types=["SKYSAT"], delivery={"new": {}}),
    TaskingOrderChanges(end_time=MAY),
    DestinationRequest(GoogleCloudStorage(bucket="b", credentials="s"), "fields"),
    PricingRequest(POINT, product="Assured Tasking"),
    ImagingWindowRequest(POINT, "PL-1", "Assured Tasking", start_time=MAY),
    SearchRequest("PSScene", where.permission() | {"type": "New"}, geometry=AREA, daily_email=True),
    where.permission() & where.asset("a"),
    where.gsd.above(3) | where.gsd.one_of(1),
    ~where.gsd.above(3),
    where.gsd.above(3),
    where.gsd.one_of(1),
    where.gsd.changed_since(MAY),
    where.acquired.since(MAY),
    where.instrument.one_of("PS2"),
    where.geometry(AREA, "within"),
    where.asset("a"),
    where.permission(),
    NumberRange(gt=1),
    DateRange(lt=MAY),
]
DECODED = [
    decode(cls, json.dumps({**body, "unknown": {"kept": [1]}}).encode())
    for cls, body in (
        (FeatureCollection, {"id": "fields-a", "title": "fields", "created": MOMENT, "pl:ref": "pl:x"}),
        (Feature, {"id": "a", "geometry": AREA, "properties": {"pl:ref": "pl:x", "pl:area": 1.5}}),
        (FeatureProblem, {"code": "invalid-geometry", "description": "no"}),
        (FeatureValidation, {"errors": [{"code": "a"}], "description": "no"}),
        (CloudDestination, {"id": "a", "type": "amazon_s3", "archived": MOMENT, "parameters": {"a": 1}}),
        (Series, {"id": "a", "name": "x", "interval": "1 mon"}),
        (Mosaic, {"id": "a", "bbox": [1, 2, 3, 4], "grid": {"quad_size": 4096}, "last_acquired": MOMENT}),
        (Quad, {"id": "1-2", "_links": {"download": "https://x/mosaics/a/quads/1-2/full"}}),
        (Contribution, {"link": "https://x/item-types/PSScene/items/a"}),
        (QuotaProduct, {"id": 1, "quota_total": "7", "quota_units": "sqkm", "created_at": MOMENT[:-1]}),
        (QuotaEstimate, {"total_cost": 1.5, "quota_units": "sqkm", "estimated_costs": [{"cost": 1.5}]}),
        (Reservation, {"id": 1, "aoi_ref": "pl:x", "amount": 1.5, "created_at": MOMENT[:-1]}),
        (ReservedQuota, {"quota_reservations": [{"id": 1}], "quota_remaining": "7", "quota_units": "sqm"}),
        (QuotaJob, {"id": 1, "status": "completed", "processed_items": 1, "total_items": 2}),
        (
            Order,
            {
                "id": "a",
                "state": "success",
                "name": "x",
                "created_on": MOMENT,
                "error_hints": ["odd"],
                "products": [{}],
                "tools": [{"clip": {}}],
                "delivery": {"archive_type": "zip"},
                "_links": {"results": [{"name": "a/b", "location": "https://x/?token=y", "new": 1}]},
            },
        ),
        (Order, {"id": "a", "state": "of_tomorrow", "name": None, "created_on": "0001-01-01T00:00:00Z"}),
        (OrderResult, {"name": "a/b", "delivery": "success", "expires_at": MOMENT}),
        (Manifest, {"name": "m", "files": [{"path": "b", "digests": {"md5": "0"}, "annotations": {"x": 1}}]}),
        (ManifestFile, {"path": "b", "size": 1, "digests": {"md5": "0"}}),
        (
            OrderStats,
            {name: {"queued_orders": 1, "running_orders": 2} for name in ("user", "organization")},
        ),
        (
            Subscription,
            {
                "id": "a",
                "status": "running",
                "created": MOMENT,
                "source": {"type": "x"},
                "error_hints": {"x": 1},
            },
        ),
        (
            SubscriptionResult,
            {"id": "a", "status": "success", "outputs": ["x"], "properties": {"item_id": "b"}, "errors": {}},
        ),
        (SubscriptionsSummary, {"subscriptions": {"running": 3}}),
        (ResultsSummary, {"results": {"success": 3}, "subscription": {"status": "running"}}),
        (
            TaskingOrder,
            {
                "id": "a",
                "status": "PENDING",
                "start_time": MOMENT,
                "satellite_types": ["x"],
                "geometry": POINT,
            },
        ),
        (Capture, {"id": "a", "status": "PUBLISHED", "cloud_cover": 0.5, "captured_area": AREA}),
        (BulkJob, {"id": "a", "status": "COMPLETE", "payload_count": 2}),
        (
            Pricing,
            {
                "estimated_quota_cost": 1.5,
                "replaced_orders": [{"order_id": "b", "cost": 2}],
                "pricing_model": {"base_price": 1, "multipliers": [{"name": "x", "value": 2}]},
            },
        ),
        (
            PricingPreview,
            {
                "total_estimated_quota_cost": 2,
                "pricing_details": [{"estimated_quota_cost": 1.5, "units": "SQKM"}, {"message": "no"}],
            },
        ),
        (ImagingWindow, {"id": "a", "start_time": MOMENT, "cloud_forecast": [{"x": 1}], "geometry": POINT}),
        (ImagingWindowSearch, {"id": "a", "status": "DONE", "imaging_windows": [{"id": "b", "new": 1}]}),
        (
            Item,
            {
                "id": "a",
                "geometry": AREA,
                "properties": {"item_type": "x", "acquired": MOMENT},
                "assets": ["b"],
            },
        ),
        (Asset, {"type": "a", "status": "active", "expires_at": MOMENT[:-1], "_permissions": ["download"]}),
        (AssetType, {"id": "a", "display_name": "A"}),
        (ItemType, {"id": "a", "supported_asset_types": ["b"]}),
        (Coverage, {"clear_percent": 28, "status": "complete"}),
        (Stats, {"interval": "day", "buckets": [{"count": 1, "start_time": MOMENT}]}),
        (Search, {"id": "a", "name": "x", "created": MOMENT, "filter": {"type": "AndFilter", "config": []}}),
        (Report, {"report_id": "a", "data_date_start": "2026-05-01", "contents": ["x"], "num_rows": None}),
    )
]
OTHERS = [
    Amount(1.5, "sqkm"),
    EstimatedCost("pl:x", Amount(1.5, "sqkm"), reserved=False),
    parse_order_notification(json.dumps({"order_id": "a", "items": [{"name": "a/b"}]}).encode()),
    parse_subscription_notification(json.dumps({"subscription_id": "a", "topic": "status.all"}).encode()),
    StatsBucket(MAY, 1),
    ItemProperties("PSScene", MAY, cloud_cover=0.1),
    DateProperty("acquired"),
    NumberProperty("gsd"),
    TextProperty("instrument"),
    OrderCounts(1, 2),
    BulkResult(1, (BulkFailure("a", "no", FailureReason.NOT_FOUND),), ("b",)),
    BulkFailure("a", "no", FailureReason("of_tomorrow")),
    SubscriptionCounts(running=1),
    ResultCounts(success=1),
    PriceMultiplier("x", 2.0),
    PricingModel(1.0, (PriceMultiplier("x"),)),
    ReplacedOrder("a", cost=1.0),
    PricingFailure("no", raw={"message": "no"}),
    DownloadedOrder(decode(Order, b'{"id": "a", "state": "success"}'), (Path("a/b"),)),
]
NOT_SENT = (Config, Window, Schedule, DownloadedOrder, DateProperty, NumberProperty, TextProperty)
EXAMPLES: list[Any] = [*SETTINGS, *REQUESTS, *DECODED, *OTHERS]

WAYS: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda one: pickle.loads(pickle.dumps(one)),
}


def parts(record: object) -> Iterator[tuple[str, object]]:
    """Yield all that can be read of a record, what is decoded when it is first read included."""
    for name in dir(record):
        if not name.startswith("_") and not callable(value := getattr(record, name)):
            yield name, value


@pytest.mark.parametrize("way", WAYS)
def test_a_copy_has_everything(way: str) -> None:
    """A copy is equal, with equal parts; `raw` and what is sent or written are the same."""
    for example in EXAMPLES:
        check_copy(example, way)


def check_copy(example: Any, way: str) -> None:
    before = pickle.dumps(example)
    copied = WAYS[way](example)
    assert type(copied) is type(example)
    assert copied == example
    assert dict(parts(copied)) == dict(parts(example))
    assert repr(copied) == repr(example)
    if isinstance(example, Resource):
        assert copied.raw == example.raw
        assert hash(copied) == hash(example)
    if not isinstance(example, NOT_SENT):
        assert to_json(copied) == to_json(example)
    assert WAYS[way](pickle.loads(before)) == example  # before anything of it was read


def test_every_record_is_tried() -> None:
    """No public record and no setting is left out above."""
    records = {
        thing
        for name in vars(planet_async)["__all__"]
        if isinstance(thing := getattr(planet_async, name), type)
        and attrs.has(thing)
        and thing.__module__.startswith(
            ("planet_async.models", "planet_async.config", "planet_async.webhooks")
        )
    }
    assert records == {type(example) for example in EXAMPLES}
    assert {OrderEvent, SubscriptionEvent} <= records


def test_rates_do_not_change_with_what_they_were_made_of() -> None:
    """A mapping that is changed after it was given to a Config leaves that as it is."""
    rates = {"orders": (Window(1),)}
    config = Config(rates=rates)
    rates["orders"] = (Window(2),)
    assert config.rates == {"orders": (Window(1),)}
