"""Order requests: what is sent, what is refused, and that no secret is shown."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planet_async.errors import InvalidRequest
from planet_async.models.base import RequestModel
from planet_async.models.codec import checked_body, to_mapping
from planet_async.models.delivery import (
    DELIVERIES,
    AmazonS3,
    Archive,
    AzureBlobStorage,
    Delivery,
    Destination,
    GoogleCloudStorage,
    GoogleEarthEngine,
    OracleCloudStorage,
    PlanetFolders,
    S3Compatible,
)
from planet_async.models.order_request import (
    BasemapProduct,
    Notifications,
    OrderRequest,
    SceneProduct,
    SentinelHub,
    Stac,
    Webhook,
)
from planet_async.models.tools import (
    TOOLS,
    BandMath,
    Clip,
    CloudFilter,
    Composite,
    Coregister,
    FileFormat,
    Harmonize,
    Merge,
    Reproject,
    Tile,
    Tool,
    TopOfAtmosphereReflectance,
)

POLYGON = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}
SCENES = SceneProduct(["a", "b"], "PSScene", "analytic_udm2")
SCENES_SENT = {"item_ids": ["a", "b"], "item_type": "PSScene", "product_bundle": "analytic_udm2"}
SECRET = "open sesame"
NO_GEOMETRY = "expected a GeoJSON geometry or something with __geo_interface__"
TWICE = "expected collection_id or create_configuration, not both"

ZIPPED = {
    "archive_type": "zip",
    "archive_filename": "{{name}}_{{order_id}}.zip",
    "single_archive": False,
}

TOOLS_SENT: list[tuple[Tool, Mapping[str, Any]]] = [
    (
        BandMath("b1+b2", "b3", pixel_type="32R"),
        {"bandmath": {"b1": "b1+b2", "b2": "b3", "pixel_type": "32R"}},
    ),
    (Clip(aoi=POLYGON), {"clip": {"aoi": POLYGON}}),
    (Clip("pl:features/a/b"), {"clip": {"aoi": {"type": "ref", "content": "pl:features/a/b"}}}),
    (CloudFilter(clear_min=90), {"cloud_filter": {"clear_min": 90}}),
    (Composite(), {"composite": {}}),
    (Composite(group_by="strip_id"), {"composite": {"group_by": "strip_id"}}),
    (Coregister("a"), {"coregister": {"anchor_item": "a"}}),
    (FileFormat("COG"), {"file_format": {"format": "COG"}}),
    (Harmonize("Sentinel-2"), {"harmonize": {"target_sensor": "Sentinel-2"}}),
    (Merge(), {"merge": {}}),
    (
        Reproject(projection="EPSG:4326", resolution=0.5, kernel="cubic"),
        {"reproject": {"projection": "EPSG:4326", "resolution": 0.5, "kernel": "cubic"}},
    ),
    (
        Tile(232, origin_x=-1.5, name_template="{tilex}_{tiley}.tif", conformal_x_scaling=False),
        {
            "tile": {
                "tile_size": 232,
                "origin_x": -1.5,
                "name_template": "{tilex}_{tiley}.tif",
                "conformal_x_scaling": False,
            }
        },
    ),
    (TopOfAtmosphereReflectance(scale_factor=10000), {"toar": {"scale_factor": 10000}}),
]

DELIVERIES_SENT: list[tuple[Delivery, Mapping[str, Any]]] = [
    (Archive(), ZIPPED),
    (
        Archive(single_archive=True, archive_filename="{{name}}.zip", layout={"format": "standard"}),
        {
            "single_archive": True,
            "archive_type": "zip",
            "archive_filename": "{{name}}.zip",
            "layout": {"format": "standard"},
        },
    ),
    (
        AmazonS3(
            bucket="b",
            aws_region="eu",
            aws_access_key_id="k",
            aws_secret_access_key=SECRET,
            archive_type="zip",
        ),
        {
            **ZIPPED,
            "amazon_s3": {
                "bucket": "b",
                "aws_region": "eu",
                "aws_access_key_id": "k",
                "aws_secret_access_key": SECRET,
            },
        },
    ),
    (
        AzureBlobStorage(account="a", container="c", sas_token=SECRET, path_prefix="x/"),
        {"azure_blob_storage": {"account": "a", "container": "c", "sas_token": SECRET, "path_prefix": "x/"}},
    ),
    (
        GoogleCloudStorage(bucket="b", credentials=SECRET),
        {"google_cloud_storage": {"bucket": "b", "credentials": SECRET}},
    ),
    (
        GoogleEarthEngine(project="p", collection="c", credentials=SECRET),
        {"google_earth_engine": {"project": "p", "collection": "c", "credentials": SECRET}},
    ),
    (
        OracleCloudStorage(
            bucket="b", region="r", namespace="n", customer_access_key_id="k", customer_secret_key=SECRET
        ),
        {
            "oracle_cloud_storage": {
                "bucket": "b",
                "region": "r",
                "namespace": "n",
                "customer_access_key_id": "k",
                "customer_secret_key": SECRET,
            }
        },
    ),
    (
        S3Compatible(
            endpoint="https://s3.example",
            bucket="b",
            region="r",
            access_key_id="k",
            secret_access_key=SECRET,
            use_path_style=True,
        ),
        {
            "s3_compatible": {
                "endpoint": "https://s3.example",
                "bucket": "b",
                "region": "r",
                "access_key_id": "k",
                "secret_access_key": SECRET,
                "use_path_style": True,
            }
        },
    ),
    (PlanetFolders(), {"planet_folders": {}}),
    (Destination(ref="pl:destinations/default"), {"destination": {"ref": "pl:destinations/default"}}),
]

# A busy machine is no reason to fail.
calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def sent(request: OrderRequest | Mapping[str, Any]) -> Any:
    return json.loads(checked_body(OrderRequest, request))


def mapping(**fields: object) -> dict[str, Any]:
    return {"name": "x", "products": [SCENES_SENT], **fields}


def test_the_least() -> None:
    """What is not given is not sent, but for the source type, which the API wants always."""
    assert sent(OrderRequest("x", [SCENES])) == {
        "name": "x",
        "products": [SCENES_SENT],
        "source_type": "scenes",
    }


def test_all_fields() -> None:
    """Every field goes to the API under the API's name."""
    request = OrderRequest(
        name="x",
        products=[SCENES],
        source_type="scenes",
        order_type="partial",
        subscription_id=0,
        tools=[Merge()],
        hosting=SentinelHub(collection_id="c"),
        notifications=Notifications(email=True, webhook=Webhook("https://hook.example", per_order=True)),
        metadata=Stac(),
    )
    expected = {
        "name": "x",
        "products": [SCENES_SENT],
        "source_type": "scenes",
        "order_type": "partial",
        "subscription_id": 0,
        "tools": [{"merge": {}}],
        "hosting": {"sentinel_hub": {"collection_id": "c"}},
        "notifications": {"email": True, "webhook": {"url": "https://hook.example", "per_order": True}},
        "metadata": {"stac": {}},
    }
    assert sent(request) == expected
    assert OrderRequest.from_dict(expected) == request


@pytest.mark.parametrize(("tool", "expected"), TOOLS_SENT, ids=lambda value: type(value).__name__)
def test_tools(tool: Tool, expected: Mapping[str, Any]) -> None:
    """Each tool is an object with its name as the only key, and is understood in a mapping too."""
    body = sent(OrderRequest("x", [SCENES], tools=[tool]))
    assert body["tools"] == [expected]
    assert OrderRequest.from_dict(body).tools == (tool,)


@pytest.mark.parametrize(("delivery", "expected"), DELIVERIES_SENT, ids=lambda value: type(value).__name__)
def test_deliveries(delivery: Delivery, expected: Mapping[str, Any]) -> None:
    """The fields that all deliveries have are next to the object of the cloud."""
    body = sent(OrderRequest("x", [SCENES], delivery=delivery))
    assert body["delivery"] == expected
    assert OrderRequest.from_dict(body).delivery == delivery


def test_every_tool_and_delivery_is_tried() -> None:
    """No tool and no delivery is left out above."""
    assert {tool.block for tool, _ in TOOLS_SENT} == TOOLS.keys()
    assert {delivery.block for delivery, _ in DELIVERIES_SENT} - {""} == DELIVERIES.keys()


@pytest.mark.parametrize(
    "delivery", [delivery for delivery, _ in DELIVERIES_SENT], ids=lambda value: type(value).__name__
)
def test_no_secret_in_a_repr(delivery: Delivery) -> None:
    """A secret is shown neither by a delivery, nor by the order around it, whether record or mapping."""
    request = OrderRequest("x", [SCENES], delivery=delivery)
    plain = OrderRequest("x", [SCENES], delivery=to_mapping(delivery))
    assert SECRET not in repr(delivery) + repr(request) + repr(plain)
    assert sent(request) == sent(plain)


def test_no_password_of_a_webhook_in_a_repr() -> None:
    """The URL of a webhook is shown without its user, password and query."""
    hook = Webhook(f"https://me:{SECRET}@hook.example/planet?key={SECRET}")
    assert repr(hook) == "Webhook(url='https://hook.example/planet', per_order=None)"
    request = OrderRequest("x", [SCENES], notifications=Notifications(webhook=to_mapping(hook)))
    assert SECRET not in repr(request) + repr(request.notifications)
    assert SECRET in sent(request)["notifications"]["webhook"]["url"]


def test_no_token_of_a_webhook_in_a_repr() -> None:
    """A long part of the path may be a token, which is not shown; any text has a repr."""
    hook = Webhook("https://hook.example/planet/0123456789abcdefghij/orders")
    assert repr(hook) == "Webhook(url='https://hook.example/planet/.../orders', per_order=None)"
    for url in ("", "http://[", "nonsense", "//", "a@b"):
        assert repr(Webhook(url)).startswith("Webhook(url=")


def test_no_secret_in_an_error() -> None:
    """Of a secret of the wrong type it is said only what it should be."""
    s3 = {"bucket": 7, "aws_region": "eu", "aws_access_key_id": "k", "aws_secret_access_key": 1234567}
    with pytest.raises(InvalidRequest) as caught:
        sent(mapping(delivery={"amazon_s3": s3}))
    assert str(caught.value) == (
        "$.delivery.amazon_s3.bucket: expected a text, got 7; "
        "$.delivery.amazon_s3.aws_secret_access_key: expected a text"
    )


@pytest.mark.parametrize(
    ("product", "expected"),
    [
        (
            SceneProduct(["a"], "PSScene", ["x", "y"]),
            {"item_ids": ["a"], "item_type": "PSScene", "product_bundle": "x,y"},
        ),
        (BasemapProduct("m", geometry=POLYGON), {"mosaic_name": "m", "geometry": POLYGON}),
        (BasemapProduct("m", quad_ids=["1-2"]), {"mosaic_name": "m", "quad_ids": ["1-2"]}),
    ],
)
def test_products(product: SceneProduct | BasemapProduct, expected: Mapping[str, Any]) -> None:
    """Bundles may be several; basemaps and scenes are distinguished, and the source type follows."""
    body = sent(OrderRequest("x", [product]))
    assert body["products"] == [expected]
    assert body["source_type"] == ("basemaps" if "mosaic_name" in expected else "scenes")
    assert sent({"name": "x", "products": [expected]}) == body
    assert sent(OrderRequest("x", [expected])) == body


def test_source_type_given() -> None:
    """A source type in the request is sent, not the derived one."""
    assert sent(OrderRequest("x", [SCENES], source_type="new"))["source_type"] == "new"
    assert sent(mapping(source_type="new"))["source_type"] == "new"
    assert sent(mapping(source_type="basemaps"))["source_type"] == "basemaps"


def test_a_mapping_is_sent_as_it_is() -> None:
    """A mapping keeps fields, tools and deliveries that are unknown here, at any depth, unchanged."""
    given_mapping = mapping(
        brand_new=[1],
        tools=[{"clip": {"aoi": POLYGON, "new": 1}}, {"sharpen": {"by": 3}}],
        delivery={"glacier": {"vault": "v"}, "single_archive": True},
        metadata={"stac": {}, "other": {}},
        notifications={"sms": "+41"},
    )
    before = json.dumps(given_mapping)
    assert sent(given_mapping) == {**given_mapping, "source_type": "scenes"}
    assert json.dumps(given_mapping) == before


def test_records_inside_mappings() -> None:
    """Records and mappings mix freely."""
    mixed = mapping(products=(SCENES,), tools=[Clip(POLYGON), {"merge": {}}], delivery=Archive())
    assert sent(mixed) == mapping(
        tools=[{"clip": {"aoi": POLYGON}}, {"merge": {}}],
        delivery=ZIPPED,
        source_type="scenes",
    )


@pytest.mark.parametrize(
    "hosting", [{"sentinel_hub": {}}, {"other_hub": {"x": 1}}, {"sentinel_hub": {}, "b": 1}]
)
def test_hosting(hosting: Mapping[str, Any]) -> None:
    """Hosting is sent as given, also at a place unknown here."""
    assert sent(mapping(hosting=hosting))["hosting"] == hosting


def test_two_deliveries() -> None:
    """Several clouds in one order stay a mapping, each part checked."""
    both = {"planet_folders": {}, "google_cloud_storage": {"bucket": "b", "credentials": "c"}}
    assert OrderRequest.from_dict(mapping(delivery=both)).delivery == both
    with pytest.raises(InvalidRequest, match=r"\$\.delivery\.google_cloud_storage\.credentials: missing"):
        sent(mapping(delivery={"planet_folders": {}, "google_cloud_storage": {"bucket": "b"}}))


WRONG: list[tuple[object, list[str]]] = [
    ({}, ["$.name: missing", "$.products: missing"]),
    (mapping(name=5), ["$.name: expected a text, got 5"]),
    (mapping(name=None), ["$.name: missing"]),
    (mapping(products=[]), ["$.products: expected one product or more"]),
    (mapping(products={}), ["$.products: expected a list, got an object"]),
    (mapping(products="a"), ["$.products: expected a list, got a text"]),
    (mapping(products=["a"]), ["$.products[0]: expected an object, got a text"]),
    (
        mapping(products=[SCENES_SENT, {"item_ids": [5], "item_type": 1.5}]),
        [
            "$.products[1].item_ids[0]: expected a text, got 5",
            "$.products[1].item_type: expected a text, got 1.5",
            "$.products[1].product_bundle: missing",
        ],
    ),
    (
        mapping(products=[{**SCENES_SENT, "item_ids": []}]),
        ["$.products[0].item_ids: expected one id or more"],
    ),
    (
        mapping(products=[{**SCENES_SENT, "item_ids": "a"}]),
        ["$.products[0].item_ids: expected a list, got a text"],
    ),
    (
        mapping(products=[{**SCENES_SENT, "product_bundle": []}]),
        ["$.products[0].product_bundle: expected one bundle or more"],
    ),
    (mapping(products=[{"quad_ids": ["1"]}]), ["$.products[0].mosaic_name: missing"]),
    (
        mapping(products=[{"mosaic_name": "m"}]),
        ["$.products[0].geometry: expected a geometry, or quad_ids"],
    ),
    (
        mapping(products=[{"mosaic_name": "m", "quad_ids": ["1"], "geometry": POLYGON}]),
        ["$.products[0].quad_ids: expected quad_ids or geometry, not both"],
    ),
    (
        mapping(products=[SCENES_SENT, {"mosaic_name": "m", "quad_ids": ["1"]}]),
        ["$.products: scenes and basemaps cannot be in one order"],
    ),
    (mapping(subscription_id=True), ["$.subscription_id: expected a whole number, got true"]),
    (mapping(subscription_id="1"), ["$.subscription_id: expected a whole number, got a text"]),
    (mapping(tools={}), ["$.tools: expected a list, got an object"]),
    (mapping(tools=[{}]), ["$.tools[0]: expected one key, the name of the tool, got an object"]),
    (mapping(tools=["clip"]), ["$.tools[0]: expected an object, got a text"]),
    (mapping(tools=[{"clip": 5}]), ["$.tools[0].clip: expected an object, got 5"]),
    (mapping(tools=[{"reproject": {}}]), ["$.tools[0].reproject.projection: missing"]),
    (
        mapping(tools=[{"reproject": {"projection": "x", "resolution": 0}}]),
        ["$.tools[0].reproject.resolution: expected more than 0, got 0"],
    ),
    (
        mapping(tools=[{"tile": {"tile_size": -5}}]),
        ["$.tools[0].tile.tile_size: expected more than 0, got -5"],
    ),
    (
        mapping(tools=[{"tile": {"tile_size": "9"}}]),
        ["$.tools[0].tile.tile_size: expected a number, got a text"],
    ),
    (mapping(tools=[{"bandmath": {"b2": "x"}}]), ["$.tools[0].bandmath.b1: missing"]),
    (
        mapping(tools=[{"bandmath": {"b1": "x", "b3": "y"}}]),
        ["$.tools[0].bandmath.b2: missing, though b3 is given"],
    ),
    (
        mapping(tools=[{"clip": {"aoi": {"type": "Circle"}}}]),
        [
            f"$.tools[0].clip.aoi: {NO_GEOMETRY}, got one with the type 'Circle'",
        ],
    ),
    (mapping(delivery=[]), ["$.delivery: expected an object, got a list"]),
    (
        mapping(delivery={"single_archive": "yes", "planet_folders": {"folder_id": 1}}),
        [
            "$.delivery.single_archive: expected true or false, got a text",
            "$.delivery.planet_folders.folder_id: expected a text, got 1",
        ],
    ),
    (
        mapping(delivery={"archive_type": "zip"}, hosting={"sentinel_hub": {}}),
        ["$.hosting: expected hosting or delivery, not both"],
    ),
    (mapping(hosting=True), ["$.hosting: expected an object, got true"]),
    (
        mapping(hosting={"sentinel_hub": {"collection_id": "c", "create_configuration": True}}),
        [
            f"$.hosting.sentinel_hub.create_configuration: {TWICE}",
        ],
    ),
    (mapping(notifications={"webhook": {}}), ["$.notifications.webhook.url: missing"]),
    (mapping(notifications={"email": "yes"}), ["$.notifications.email: expected true or false, got a text"]),
]


@pytest.mark.parametrize(("wrong", "says"), WRONG)
def test_wrong_mappings(wrong: Mapping[str, Any], says: list[str]) -> None:
    """All that is wrong in a mapping is listed, each with its place and what was expected."""
    with pytest.raises(InvalidRequest) as caught:
        sent(wrong)
    assert str(caught.value).split("; ") == says
    with pytest.raises(InvalidRequest) as caught:
        checked_body(OrderRequest, wrong, where="job.json")
    assert str(caught.value) == "job.json: " + "; ".join(says)


@pytest.mark.parametrize("wrong", [None, "x", 5, [], SCENES])
def test_no_request(wrong: Any) -> None:
    """What is no order request is refused by name."""
    with pytest.raises(InvalidRequest, match="expected OrderRequest or a mapping, got "):
        sent(wrong)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: SceneProduct([], "a", "b"), "SceneProduct.item_ids: expected one id or more"),
        (lambda: SceneProduct(["x", ""], "a", "b"), "SceneProduct.item_ids: an id is empty"),
        (lambda: SceneProduct(["x"], "a", ""), "SceneProduct.product_bundle: expected one bundle or more"),
        (lambda: SceneProduct("20221221", "a", "b"), "SceneProduct.item_ids: expected a list"),
        (lambda: OrderRequest("x", []), "OrderRequest.products: expected one product or more"),
        (lambda: OrderRequest("x", SCENES), "OrderRequest.products: expected a list"),  # type: ignore[arg-type]
        (lambda: OrderRequest("x", [SCENES], tools="clip"), "OrderRequest.tools: expected a list"),  # type: ignore[arg-type]
        (
            lambda: OrderRequest("x", [SCENES, BasemapProduct("m", quad_ids=["1"])]),
            "OrderRequest.products: scenes and basemaps cannot be in one order",
        ),
        (
            lambda: OrderRequest("x", [SCENES], hosting=SentinelHub(), delivery=Archive()),
            "OrderRequest.hosting: expected hosting or delivery, not both",
        ),
        (lambda: BasemapProduct("m"), "BasemapProduct.geometry: expected a geometry, or quad_ids"),
        (lambda: BasemapProduct("m", geometry=5), "BasemapProduct.geometry: expected a GeoJSON geometry"),
        (
            lambda: BasemapProduct("m", quad_ids=[]),
            "BasemapProduct.geometry: expected a geometry, or quad_ids",
        ),
        (lambda: Clip(5), "Clip.aoi: expected a GeoJSON geometry"),
        (lambda: BandMath("x", b4="y"), "BandMath.b2: missing, though b4 is given"),
        (lambda: Tile(0), "Tile.tile_size: expected more than 0, got 0"),
        (lambda: Tile(1, pixel_size=-1), "Tile.pixel_size: expected more than 0, got -1"),
        (lambda: Reproject("x", resolution=-3), "Reproject.resolution: expected more than 0, got -3"),
    ],
)
def test_wrong_records(make: Any, says: str) -> None:
    """A record that the API would refuse cannot be made; the error names the field."""
    with pytest.raises(InvalidRequest) as caught:
        make()
    assert str(caught.value).startswith(says)


def test_wrong_type_in_a_record() -> None:
    """A record with a value of the wrong type is refused before it is sent, as a mapping is."""
    request = OrderRequest("x", [SceneProduct(["a"], 5, "b")])  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match=r"\$\.products\[0\]\.item_type: expected a text, got 5"):
        sent(request)


def test_values_that_planet_adds_later_pass() -> None:
    """Bundles, item types, projections and kernels of tomorrow pass."""
    request = OrderRequest(
        "x", [SceneProduct(["a"], "NewScene", "new")], tools=[Reproject("EPSG:99999", kernel="new")]
    )
    assert sent(request)["tools"] == [{"reproject": {"projection": "EPSG:99999", "kernel": "new"}}]


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


@pytest.mark.no_cover
@calm
@given(
    name=texts,
    item_ids=st.lists(texts, min_size=1, max_size=4),
    tools=st.lists(st.sampled_from([tool for tool, _ in TOOLS_SENT]), max_size=4),
    delivery=st.none() | st.sampled_from([delivery for delivery, _ in DELIVERIES_SENT]),
    subscription_id=st.none() | st.integers(0, 2**40),
)
def test_round_trip(
    name: str, item_ids: list[str], tools: list[Tool], delivery: Delivery | None, subscription_id: int | None
) -> None:
    """A request, written as JSON and read as a mapping, is the same request, and is sent the same."""
    request = OrderRequest(
        name,
        [SceneProduct(item_ids, "PSScene", "b")],
        tools=tools,
        delivery=delivery,
        subscription_id=subscription_id,
    )
    body = sent(request)
    assert OrderRequest.from_dict(body) == request
    assert sent(body) == body


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
FIELDS = [field.name for field in attrs.fields(OrderRequest)]
BLOCKS = [
    *TOOLS,
    *DELIVERIES,
    "sentinel_hub",
    "stac",
    "item_ids",
    "mosaic_name",
    "geometry",
    "webhook",
    "layout",
]


@pytest.mark.no_cover
@calm
@given(
    st.dictionaries(
        st.sampled_from(FIELDS),
        json_values
        | st.dictionaries(st.sampled_from(BLOCKS), json_values, max_size=2)
        | st.lists(st.dictionaries(st.sampled_from(BLOCKS), json_values, max_size=2), max_size=2),
    )
)
def test_any_mapping(fields: dict[str, Any]) -> None:
    """Any mapping is sent or refused with InvalidRequest; what is sent is sent the same again."""
    try:
        body = sent({**mapping(), **fields})
    except InvalidRequest as error:
        assert str(error)  # noqa: PT017 - either way is right, so there is nothing to wait for
    else:
        assert body == sent(body)
        assert body.keys() - {"source_type"} == {
            name for name, value in {**mapping(), **fields}.items() if value is not None
        } - {"source_type"}


def test_a_model_without_checks() -> None:
    """The base has nothing to refuse."""

    @attrs.frozen
    class Anything(RequestModel):
        x: int | None = None

    assert to_mapping(Anything()) == {}
    assert to_mapping(Anything(0)) == {"x": 0}


@pytest.mark.parametrize(
    ("place", "digits"),
    [
        (lambda number: {"name": number}, 400),
        (lambda number: {"tools": [{"tile": {"tile_size": -number}}]}, 400),
        (lambda number: {"tools": [{"clip": {"aoi": {**POLYGON, "coordinates": [[[number, 0]] * 4]}}}]}, 400),
        (lambda number: {"subscription_id": number}, 5000),
    ],
    ids=["a text", "a length", "a longitude", "a whole number"],
)
def test_a_number_beyond_all_bounds(place: Callable[[int], dict[str, Any]], digits: int) -> None:
    """A number that no float can hold, or that Python cannot write, is refused with InvalidRequest."""
    with pytest.raises(InvalidRequest) as caught:
        sent(mapping(**place(10**digits)))
    assert len(str(caught.value)) < 200
