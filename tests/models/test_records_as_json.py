"""Records as JSON for others: files, queues, web frameworks, notebooks, and programs that read geometries."""

import inspect
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any

import pytest
import shapely
from fastapi import Body, FastAPI
from pydantic import TypeAdapter
from starlette.testclient import TestClient

import planet_async
from planet_async import (
    AmazonS3,
    AndFilter,
    Archive,
    Asset,
    AssetFilter,
    AssetStatus,
    Capture,
    CatalogSource,
    Clip,
    CloudDestination,
    CloudPercentFilter,
    DecodeError,
    Delivery,
    Destination,
    DownloadedOrder,
    Filter,
    InvalidRequest,
    Item,
    Mosaic,
    NumberRange,
    Order,
    OrderRequest,
    Percent,
    PlanetError,
    Product,
    SceneProduct,
    Search,
    SearchRequest,
    SentinelHub,
    Source,
    Subscription,
    SubscriptionRequest,
    SubscriptionWebhook,
    TaskingOrder,
    TaskingOrderRequest,
    Tool,
    VariableSource,
    where,
)
from planet_async.models.base import Record, RequestModel, Resource
from planet_async.models.codec import checked_body
from planet_async.models.html import outline

SQUARE = {"type": "Polygon", "coordinates": [[[7, 46], [8, 46], [8, 47], [7, 46]]]}
START = "2026-01-01T00:00:00Z"
SIGNATURE = "eyJhbGciOiJIUzI1NiIsInR5cCI"
S3 = AmazonS3(
    bucket="b", aws_region="r", aws_access_key_id="i", aws_secret_access_key="k", archive_type="zip"
)
CATALOG = CatalogSource(["PSScene"], ["ortho_visual"], SQUARE, START)
REQUESTS: list[RequestModel] = [
    OrderRequest("x", [SceneProduct(["a"], "b", "c")], tools=[Clip(SQUARE)], delivery=S3),
    SceneProduct(["a"], "b", "c"),
    Clip(SQUARE),
    CloudPercentFilter(clear_percent=Percent(gte=90)),
    S3,
    Archive(single_archive=True),
    Destination(ref="pl:destinations/default", path_prefix="a"),
    SentinelHub(),
    SubscriptionWebhook("https://x", ["status.all"]),
    CATALOG,
    VariableSource("SWC", SQUARE, START, type="soil_water_content"),
    SubscriptionRequest("x", CATALOG, tools=[Clip()], hosting=SentinelHub()),
    where.cloud_cover.below(0.1) & ~where.asset("ortho_udm2") | where.geometry(SQUARE),
    NumberRange(gte=1),
    SearchRequest("PSScene", where.permission(), geometry=SQUARE, name="x", daily_email=True),
    TaskingOrderRequest("x", {"type": "Point", "coordinates": [7, 46]}, start_time=START),
]


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: type(request).__name__)
def test_a_request_survives_as_json(request_: RequestModel) -> None:
    """What a queue or a file keeps of a request is the request that is sent, secrets included."""
    assert type(request_).from_dict(json.loads(request_.to_json())) == request_


@pytest.mark.parametrize(
    ("base", "found"),
    [
        (Tool, Clip(SQUARE)),
        (Product, SceneProduct(["a"], "b", "c")),
        (Delivery, S3),
        (Source, CATALOG),
        (Filter, AndFilter((AssetFilter(["a"]),))),
    ],
)
def test_a_family_reads_each_of_its_members(base: type[RequestModel], found: RequestModel) -> None:
    """Whoever takes any tool, product, delivery, source or filter names the base class."""
    assert base.from_dict(found.to_dict()) == found


@pytest.mark.parametrize(
    ("cls", "value", "says"),
    [
        (OrderRequest, {"name": "x"}, r"\$\.products: missing"),
        (OrderRequest, {**REQUESTS[0].to_dict(), "nme": "y"}, r"\$\.nme: not known here"),
        (Clip, {"merge": {}}, r"expected the JSON of Clip"),
        (Clip, [], r"expected a mapping"),
        (Tool, {"clip": {"ao": {}}}, r"\$\.clip\.ao: not known here"),
    ],
)
def test_a_wrong_request_is_refused_with_its_path(cls: type[RequestModel], value: Any, says: str) -> None:
    """Nothing is dropped silently: a field that a record cannot hold is an error that names it."""
    with pytest.raises(InvalidRequest, match=says):
        cls.from_dict(value)


def _order(**more: object) -> Order:
    location = f"https://user:password@api.planet.com/compute/ops/download/?token={SIGNATURE}"
    links = {
        "results": [{"name": "a/b.tif", "location": location}, {"name": "c", "location": f"?{SIGNATURE}"}]
    }
    return Order.from_dict({"id": "a", "state": "success", "_links": links, "new": {"field": [1]}, **more})


def test_links_are_without_signatures_unless_asked_for() -> None:
    """What a backend passes on opens nothing; with `signed_links`, nothing of the response is missing."""
    webhook = {"webhook": {"url": f"https://example.com/{SIGNATURE}/orders"}}
    order = _order(notifications=webhook, delivery={"amazon_s3": {"aws_secret_access_key": SIGNATURE}})
    for shown in (order.to_json(), DownloadedOrder(order, ()).to_json(), order._repr_html_()):
        assert SIGNATURE not in shown
        assert "password" not in shown
    assert order.to_dict()["new"] == {"field": [1]}
    assert (
        order.to_dict()["_links"]["results"][0]["location"] == "https://api.planet.com/compute/ops/download/"
    )
    assert order.to_dict(signed_links=True) == order.raw
    assert Order.from_dict(order.to_dict(signed_links=True)) == order
    asset = Asset("ortho_visual", AssetStatus.ACTIVE, location=f"https://x/y?sig={SIGNATURE}")
    assert SIGNATURE not in asset.to_json()
    placed_again = {**REQUESTS[0].to_dict(), "notifications": order.to_dict()["notifications"]}
    with pytest.raises(InvalidRequest, match="redacted"):  # a secret that was cut away is not sent back
        checked_body(OrderRequest, placed_again)


def test_a_response_is_validated() -> None:
    """What is missing is an error with its path, and what was cut away does not count as empty."""
    with pytest.raises(DecodeError, match=r"\$\.state` is missing"):
        Order.from_dict({"id": "a"})
    with pytest.raises(DecodeError, match=r"\$\.order\.id` is missing"):
        DownloadedOrder.from_dict({"order": {"state": "success"}, "paths": []})
    with pytest.raises(InvalidRequest, match="without results"):
        Order.from_dict({"id": "a", "state": "success"}).results  # noqa: B018
    deep: dict[str, Any] = {"id": "a", "state": "queued"}
    for _ in range(400):
        deep = {**deep, "x": {"y": deep.get("x")}}
    with suppress(PlanetError):  # an error of ours, wherever the limit is
        Order.from_dict(deep).to_dict()


def test_fastapi_takes_and_returns_records() -> None:
    """Response models and bodies without a line of glue, in the OpenAPI document, too."""
    app = FastAPI()

    @app.post("/orders")
    async def place(request: Annotated[OrderRequest, Body()]) -> Order:
        return _order(name=request.name)

    @app.get("/orders")
    async def orders() -> dict[str, list[Order] | None]:
        return {"orders": [_order()], "more": None}

    client = TestClient(app)
    placed = client.post("/orders", json=REQUESTS[0].to_dict())
    assert placed.json() == _order(name="x").to_dict()
    assert client.get("/orders").json() == {"orders": [_order().to_dict()], "more": None}
    refused = client.post("/orders", json={"name": "x", "products": [{"item_ids": ["a"]}]})
    assert refused.status_code == 422
    assert "$.products[0].item_type: missing" in refused.json()["detail"][0]["msg"]
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    assert schemas["Order"]["properties"]["created_on"] == {"type": "string", "format": "date-time"}
    assert schemas["OrderRequest"]["required"] == ["name", "products"]


def test_every_record_has_a_schema() -> None:
    """Any of them can be a part of a model of the user's own."""
    for name, cls in vars(planet_async).items():
        if inspect.isclass(cls) and issubclass(cls, Record):
            assert TypeAdapter(cls).json_schema()["title"] == name


GEOMETRIES: list[tuple[Any, Mapping[str, Any]]] = [
    (TaskingOrder, {"id": "a", "status": "PENDING", "geometry": SQUARE}),
    (Capture, {"id": "a", "status": "QUEUED", "area_of_interest": SQUARE}),
    (Item, {"type": "Feature", "id": "a", "properties": {"item_type": "PSScene"}, "geometry": SQUARE}),
    (Subscription, {"id": "a", "status": "running", "source": {"parameters": {"geometry": SQUARE}}}),
    (Order, {"id": "a", "state": "queued", "tools": [{"merge": {}}, {"clip": {"aoi": SQUARE}}]}),
    (Search, {"id": "a", "geometry": SQUARE}),
    (Mosaic, {"id": "a", "bbox": [7, 46, 8, 47]}),
    (OrderRequest, {}),
]


@pytest.mark.parametrize(("cls", "value"), GEOMETRIES, ids=lambda each: getattr(each, "__name__", ""))
def test_what_has_a_geometry_can_be_drawn(cls: Any, value: Mapping[str, Any]) -> None:
    """Shapely and GeoPandas read it, and notebooks draw it; where there is none, nothing fails."""
    if cls is OrderRequest:
        assert shapely.geometry.shape(CATALOG).bounds == shapely.geometry.shape(Clip(SQUARE)).bounds
        return
    record = cls.from_dict(value)
    assert shapely.geometry.shape(record).bounds == (7, 46, 8, 47)
    assert "<svg" in record._repr_html_()
    keys = {"id", "status", "state", "type", "properties"}
    bare = cls.from_dict({key: value[key] for key in value if key in keys})
    assert "<svg" not in bare._repr_html_()
    assert cls is Item or not hasattr(bare, "__geo_interface__")
    reference = cls.from_dict({**value, "geometry": {"type": "ref", "content": "pl:features/a"}})
    assert "<svg" not in reference._repr_html_() or cls not in {TaskingOrder, Search, Item}


HOSTILE: list[Any] = [
    [1e300, 2],
    [float("nan"), 0],
    [[["x", "<script>"]]],
    [[[[[[[[[[[1, 2]]]]]]]]]]],
    {"a": 1},
    None,
    [[True, None]],
    [],
]


@pytest.mark.parametrize("coordinates", HOSTILE, ids=str)
def test_a_hostile_record_is_harmless_in_a_notebook(coordinates: object) -> None:
    """Texts are escaped, and coordinates that are no places are not drawn."""
    shown = outline({"type": "Polygon", "coordinates": coordinates})
    assert "nan" not in shown
    assert "script" not in shown
    record = CloudDestination.from_dict({"id": "<script>", "name": "&" * 1_000})
    assert "<script>" not in record._repr_html_()
    assert len(record._repr_html_()) < 3_000


def test_each_type_of_geometry_is_drawn() -> None:
    """Points as dots, lines, rings, collections of all of them, and features."""
    point, line = (
        {"type": "Point", "coordinates": [0, 0]},
        {"type": "LineString", "coordinates": [[0, 0], [1, 1]]},
    )
    many = {"type": "GeometryCollection", "geometries": [point, line, SQUARE]}
    multi = {"type": "MultiPolygon", "coordinates": [SQUARE["coordinates"], SQUARE["coordinates"]]}
    for geometry, parts in ((point, 1), (line, 1), (SQUARE, 1), (multi, 2), (many, 3)):
        feature = {"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": geometry}]}
        assert outline(geometry).count("M") == parts
        assert outline(feature).count("M") == parts


def test_every_resource_is_shown_as_a_table() -> None:
    """Also one that has nothing but its id."""
    assert "<td" in CloudDestination.from_dict({"id": "a"})._repr_html_()
    assert issubclass(CloudDestination, Resource)
