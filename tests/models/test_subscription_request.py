"""Requests for subscriptions: what is sent, what is refused, and that no secret is shown or sent back."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planet_async.errors import InvalidRequest
from planet_async.models.codec import checked_body, decode
from planet_async.models.data_filter import AndFilter
from planet_async.models.delivery import (
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
from planet_async.models.order_request import SentinelHub
from planet_async.models.subscription_request import (
    SUBSCRIPTION_DELIVERIES,
    SUBSCRIPTION_TOOLS,
    CatalogSource,
    CloudPercentFilter,
    Percent,
    SubscriptionRequest,
    SubscriptionWebhook,
    VariableSource,
)
from planet_async.models.subscriptions import Subscription
from planet_async.models.tools import (
    BandMath,
    Clip,
    CloudFilter,
    Composite,
    FileFormat,
    Harmonize,
    Reproject,
    Tool,
    TopOfAtmosphereReflectance,
)
from planet_async.redaction import refuse_redacted

POLYGON = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}
START = "2026-01-01T00:00:00Z"
SECRET = "open sesame"
SCENES = CatalogSource(["PSScene"], ["ortho_visual"], POLYGON, START)
LAKE = VariableSource("SWC-AMSR2-C_V1.0_100", POLYGON, START)
BUCKET = GoogleCloudStorage(bucket="b", credentials=SECRET)
CATALOG_SENT = {
    "type": "catalog",
    "parameters": {
        "item_types": ["PSScene"],
        "asset_types": ["ortho_visual"],
        "geometry": POLYGON,
        "start_time": START,
    },
}
BUCKET_SENT = {"type": "google_cloud_storage", "parameters": {"bucket": "b", "credentials": SECRET}}
TOOLS: list[Tool] = [
    Harmonize("Sentinel-2"),
    TopOfAtmosphereReflectance(scale_factor=10000),
    Clip(POLYGON),
    Clip(),
    Reproject("EPSG:4326", kernel="cubic"),
    BandMath("b1", "b2", pixel_type="32R"),
    CloudPercentFilter(clear_percent=Percent(gte=90), snow_ice_percent=Percent(lte=5.5)),
    FileFormat("COG"),
]
DELIVERIES: list[Delivery] = [
    BUCKET,
    AmazonS3(bucket="b", aws_region="r", aws_access_key_id=SECRET, aws_secret_access_key=SECRET),
    AzureBlobStorage(account="a", container="c", sas_token=SECRET),
    Destination(ref="pl:destinations/default", path_prefix="x"),
    GoogleEarthEngine(project="p", collection="c", credentials=SECRET),
    OracleCloudStorage(
        bucket="b", region="r", namespace="n", customer_access_key_id=SECRET, customer_secret_key=SECRET
    ),
    S3Compatible(endpoint="e", bucket="b", region="r", access_key_id=SECRET, secret_access_key=SECRET),
]
calm = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
BODY = (Path(__file__).parents[1] / "samples" / "subscriptions" / "subscription.json").read_bytes()


def sent(request: SubscriptionRequest | Mapping[str, Any]) -> Any:
    return json.loads(checked_body(SubscriptionRequest, request))


def mapping(**fields: Any) -> dict[str, Any]:
    return {"name": "x", "source": CATALOG_SENT, "delivery": BUCKET_SENT, **fields}


def parameters(**changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = {**CATALOG_SENT["parameters"], **changes}  # type: ignore[dict-item]
    return {name: value for name, value in found.items() if value != "-"}


def test_a_whole_request() -> None:
    """Each part goes under its own name, tools, delivery and source as type and parameters."""
    request = SubscriptionRequest(
        "x",
        CatalogSource(
            ["PSScene"],
            ["ortho_visual"],
            POLYGON,
            datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))),
            datetime(2027, 1, 1, tzinfo=UTC),
            filter=AndFilter(),
            rrule="FREQ=MONTHLY;BYMONTH=3,4,5",
            publishing_stages=["preview"],
            time_range_type="published",
            geometry_relation="within",
        ),
        tools=[Harmonize("Sentinel-2"), Clip()],
        delivery=BUCKET,
        notifications=SubscriptionWebhook("https://hook.example", ["status.all", "delivery.success"]),
    )
    expected = {
        "name": "x",
        "source": {
            "type": "catalog",
            "parameters": {
                "item_types": ["PSScene"],
                "asset_types": ["ortho_visual"],
                "geometry": POLYGON,
                "start_time": START,
                "end_time": "2027-01-01T00:00:00Z",
                "filter": {"type": "AndFilter", "config": []},
                "rrule": "FREQ=MONTHLY;BYMONTH=3,4,5",
                "publishing_stages": ["preview"],
                "time_range_type": "published",
                "geometry_relation": "within",
            },
        },
        "tools": [
            {"type": "harmonize", "parameters": {"target_sensor": "Sentinel-2"}},
            {"type": "clip", "parameters": {}},
        ],
        "delivery": BUCKET_SENT,
        "notifications": {
            "webhook": {"url": "https://hook.example", "topics": ["status.all", "delivery.success"]}
        },
    }
    assert sent(request) == expected
    assert SubscriptionRequest.from_dict(expected) == request


def test_hosting_and_the_smallest_requests() -> None:
    """Scenes may be hosted instead of delivered; a variable needs neither, and its type may be left out."""
    hosted = SubscriptionRequest("x", SCENES, hosting=SentinelHub(collection_id="c"))
    body = {
        "name": "x",
        "source": CATALOG_SENT,
        "hosting": {"type": "sentinel_hub", "parameters": {"collection_id": "c"}},
    }
    assert sent(hosted) == body
    assert SubscriptionRequest.from_dict(body) == hosted
    lake = {"parameters": {"id": "SWC-AMSR2-C_V1.0_100", "geometry": POLYGON, "start_time": START}}
    assert sent(SubscriptionRequest("x", LAKE)) == {"name": "x", "source": lake}
    typed = SubscriptionRequest("x", attrs.evolve(LAKE, type="soil_water_content"))
    assert sent(typed)["source"] == {"type": "soil_water_content", **lake}
    assert SubscriptionRequest.from_dict(sent(typed)) == typed


@pytest.mark.parametrize("tool", TOOLS, ids=repr)
def test_tools(tool: Tool) -> None:
    """Each tool is written as its type and parameters, and is understood in a mapping too."""
    body = sent(SubscriptionRequest("x", SCENES, tools=[tool], delivery=BUCKET))
    assert body["tools"][0]["type"] == tool.block
    assert SubscriptionRequest.from_dict(body).tools == (tool,)


@pytest.mark.parametrize("delivery", DELIVERIES, ids=lambda value: value.block)
def test_deliveries(delivery: Delivery) -> None:
    """Each delivery is written as its type and parameters, is read from a mapping, and shows no secret."""
    request = SubscriptionRequest("x", SCENES, delivery=delivery)
    body = sent(request)
    assert body["delivery"]["type"] == delivery.block
    assert SubscriptionRequest.from_dict(body).delivery == delivery
    assert SECRET not in repr(request) + repr(SubscriptionRequest("x", SCENES, delivery=body["delivery"]))


def test_every_tool_and_delivery_is_tried() -> None:
    """No tool and no delivery is left out above."""
    assert {tool.block for tool in TOOLS} == SUBSCRIPTION_TOOLS.keys()
    assert {delivery.block for delivery in DELIVERIES} == SUBSCRIPTION_DELIVERIES.keys()


def test_a_mapping_is_sent_as_it_is() -> None:
    """Fields, sources, tools, deliveries and topics that are unknown here pass, at any depth, unchanged."""
    new = mapping(
        brand_new=[1],
        source={"type": "moon_rocks", "parameters": {"crater": "Tycho"}},
        delivery={"type": "glacier", "parameters": {"vault": "v"}},
        notifications={"sms": "+41"},
    )
    assert sent(new) == new
    tools = mapping(
        source={"type": "catalog", "parameters": parameters(new=1)},
        tools=[{"type": "sharpen", "parameters": {"by": 3}}, {"type": "clip", "parameters": {"new": 1}}],
    )
    assert sent(tools) == tools
    assert sent(mapping(hosting={"type": "google_earth_engine", "parameters": {}}, delivery=None))


NO_SOURCE = {"name": "x", "delivery": BUCKET_SENT}
SOURCE = "$.source.parameters"
WRONG: list[tuple[Mapping[str, Any], list[str]]] = [
    ({}, ["$.name: missing", "$.source: missing"]),
    ({**NO_SOURCE, "source": 5}, ["$.source: expected an object, got 5"]),
    ({**NO_SOURCE, "source": {}}, [f"{SOURCE}: expected an object, got null"]),
    ({**NO_SOURCE, "source": {"type": 5, "parameters": {}}}, ["$.source.type: expected a text, got 5"]),
    (
        {**NO_SOURCE, "source": {"type": "catalog", "parameters": {}}},
        [f"{SOURCE}.{name}: missing" for name in ("item_types", "asset_types", "geometry", "start_time")],
    ),
    (
        {**NO_SOURCE, "source": {"parameters": parameters(item_types=[])}},
        [f"{SOURCE}.item_types: expected one item type"],
    ),
    (
        {**NO_SOURCE, "source": {"parameters": parameters(asset_types=[])}},
        [f"{SOURCE}.asset_types: expected one asset type or more"],
    ),
    (
        {**NO_SOURCE, "source": {"parameters": parameters(start_time="2026-01-01T00:00:00")}},
        [f"{SOURCE}.start_time: expected a time with its zone, such as 2026-01-31T00:00:00Z"],
    ),
    (
        {**NO_SOURCE, "source": {"parameters": parameters(end_time="soon")}},
        [f"{SOURCE}.end_time: expected a time like 2026-01-31T00:00:00Z, got a text"],
    ),
    (
        {**NO_SOURCE, "source": {"parameters": parameters(end_time="2025-01-01T00:00:00Z")}},
        [f"{SOURCE}.end_time: it ends before it starts"],
    ),
    (
        {**NO_SOURCE, "source": {"parameters": {"id": "a", "geometry": POLYGON}}},
        [f"{SOURCE}.start_time: missing"],
    ),
    (
        {"name": "x", "source": CATALOG_SENT},
        ["$.delivery: missing: a catalog source needs delivery or hosting"],
    ),
    (
        mapping(hosting={"type": "sentinel_hub", "parameters": {}}),
        ["$.hosting: expected hosting or delivery, not both"],
    ),
    (mapping(delivery=[]), ["$.delivery: expected an object, got a list"]),
    (mapping(delivery={}), ["$.delivery: missing: a catalog source needs delivery or hosting"]),
    (
        mapping(delivery={"type": "google_cloud_storage", "parameters": {"bucket": "b", "credentials": 5}}),
        ["$.delivery.parameters.credentials: expected a text"],
    ),
    (
        mapping(delivery={"type": "amazon_s3", "parameters": 7}),
        ["$.delivery.parameters: expected an object, got 7"],
    ),
    (
        mapping(tools=[{"clip": {}}, {}]),
        [
            "$.tools[0].type: expected a text, the name of its kind, got null",
            "$.tools[1].type: expected a text, the name of its kind, got null",
        ],
    ),
    (
        mapping(tools=[{"type": "reproject", "parameters": {"resolution": -1}}]),
        ["$.tools[0].parameters.projection: missing"],
    ),
    (
        mapping(tools=[{"type": "cloud_filter", "parameters": {"clear_percent": {}}}]),
        ["$.tools[0].parameters.clear_percent.gte: expected gte, lte or both"],
    ),
    (
        {
            "name": "x",
            "source": {"type": "biomass_proxy", "parameters": {}},
            "tools": [{"type": "clip", "parameters": {}}],
        },
        ["$.tools: are for a catalog source only, not for biomass_proxy"],
    ),
    (
        mapping(notifications={"webhook": {"url": "https://x", "topics": []}}),
        ["$.notifications.webhook.topics: expected one topic or more"],
    ),
    (mapping(notifications={"webhook": {"topics": ["a"]}}), ["$.notifications.webhook.url: missing"]),
]


@pytest.mark.parametrize(("wrong", "says"), WRONG)
def test_wrong_mappings(wrong: Mapping[str, Any], says: list[str]) -> None:
    """All that is wrong in a mapping is listed, each with its place and what was expected."""
    with pytest.raises(InvalidRequest) as caught:
        sent(wrong)
    assert str(caught.value).split("; ") == says


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: SubscriptionRequest("x", SCENES), "SubscriptionRequest.delivery: missing"),
        (lambda: SubscriptionRequest("x", LAKE, tools=[Clip()]), "only, not for a variable"),
        (lambda: SubscriptionRequest("x", SCENES, delivery=Archive()), "Archive is for orders only"),
        (lambda: SubscriptionRequest("x", SCENES, delivery=PlanetFolders()), "PlanetFolders is for orders"),
        (
            lambda: SubscriptionRequest("x", SCENES, delivery=attrs.evolve(BUCKET, archive_type="zip")),
            "archive_type is for orders only",
        ),
        (
            lambda: SubscriptionRequest("x", SCENES, delivery=BUCKET, tools=[Composite()]),
            "Composite is for orders only",
        ),
        (
            lambda: SubscriptionRequest("x", SCENES, delivery=BUCKET, tools=[CloudFilter(clear_min=1)]),
            "CloudFilter is for orders only",
        ),
        (lambda: SubscriptionRequest("x", SCENES, tools="clip"), "tools: expected a list"),  # type: ignore[arg-type]
        (
            lambda: CatalogSource("PSScene", ["a"], POLYGON, START),
            "CatalogSource.item_types: expected a list",
        ),
        (lambda: CatalogSource(["a"], ["b"], {"type": "Point", "coordinates": [0, 0]}, START), "geometry"),
        (lambda: CatalogSource(["a"], ["b"], POLYGON, datetime(2026, 1, 1)), "its zone"),  # noqa: DTZ001
        (lambda: CatalogSource(["a"], ["b"], POLYGON, 5), "start_time: expected a time"),  # type: ignore[arg-type]
        (lambda: VariableSource("a", POLYGON, START, type="catalog"), "scenes are a CatalogSource"),
        (lambda: VariableSource("a", POLYGON, START, "2025-01-01T00:00:00Z"), "before it starts"),
        (lambda: SubscriptionWebhook("https://x", []), "expected one topic"),
        (lambda: SubscriptionWebhook("https://x", "status.all"), "topics: expected a list"),
        (lambda: Percent(), "expected gte, lte or both"),  # noqa: PLW0108 - as the others
    ],
)
def test_wrong_records(make: Any, says: str) -> None:
    """A record that the API would refuse cannot be made; the error says why."""
    with pytest.raises(InvalidRequest, match=says):
        make()


RANKS = [{"harmonize"}, {"toar"}, {"clip", "reproject", "bandmath"}, {"cloud_filter", "file_format"}]


@pytest.mark.no_cover
@calm
@given(st.lists(st.sampled_from(TOOLS), max_size=6))
def test_the_order_of_tools(tools: list[Tool]) -> None:
    """Tools pass in the order that the server enforces, in any other one the offending pair is named."""
    ranks = [next(rank for rank, names in enumerate(RANKS) if tool.block in names) for tool in tools]
    if ranks == sorted(ranks):
        body = sent(SubscriptionRequest("x", SCENES, delivery=BUCKET, tools=tools))
        assert [tool["type"] for tool in body.get("tools", [])] == [tool.block for tool in tools]
        return
    first = next(index for index in range(len(ranks)) if ranks[index + 1] < ranks[index])
    with pytest.raises(InvalidRequest) as caught:
        SubscriptionRequest("x", SCENES, delivery=BUCKET, tools=tools)
    assert f"{tools[first + 1].block} must come before {tools[first].block};" in str(caught.value)


def test_the_order_of_tools_in_a_mapping() -> None:
    """The order is looked at in a mapping too, past tools that are not known here."""
    tools: list[Any] = [{"type": name, "parameters": {}} for name in ("clip", "sharpen", "toar")]
    with pytest.raises(InvalidRequest, match=r"\$\.tools: toar must come before clip"):
        sent(mapping(tools=tools))


def test_a_subscription_becomes_a_request() -> None:
    """All that an update takes is there, also what is unknown here; notifications are not."""
    found = decode(Subscription, BODY.replace(b"<REDACTED>", b"the secret itself"))
    body = sent(SubscriptionRequest.of(found))
    expected = {name: found.raw[name] for name in ("name", "source", "delivery", "tools")}
    assert body == expected
    assert sent(attrs.evolve(SubscriptionRequest.of(found), name="y")) == {**expected, "name": "y"}


def test_a_redacted_secret_is_refused() -> None:
    """The stand-in for a secret is found wherever it is, and each place is named."""
    body = {
        "a": [{"b": "<REDACTED>"}, "x"],
        "c": "https://<REDACTED>@hook.example",
        "d": {"e": 5, "f": "fine"},
    }
    with pytest.raises(InvalidRequest) as caught:
        refuse_redacted(body)
    assert str(caught.value).startswith("$.a[0].b, $.c: the API has redacted this")
    refuse_redacted({"a": ["x", {"b": "REDACTED"}]})


def test_no_password_of_a_webhook_in_a_repr() -> None:
    """The URL of a webhook is shown without its user, password and query."""
    hook = SubscriptionWebhook(f"https://me:{SECRET}@hook.example/planet?key={SECRET}", ["status.all"])
    assert SECRET not in repr(hook)
    assert "https://hook.example/planet" in repr(hook)


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
zoned = st.datetimes(timezones=st.just(UTC), min_value=datetime(1970, 1, 2), max_value=datetime(2100, 1, 1))  # noqa: DTZ001


@pytest.mark.no_cover
@calm
@given(
    name=texts,
    delivery=st.sampled_from(DELIVERIES),
    start=zoned,
    lasts=st.none() | st.timedeltas(timedelta(0), timedelta(days=999)),
    type_=st.none() | texts.filter(lambda word: word != "catalog"),
    scenes=st.booleans(),
)
def test_round_trip(
    name: str,
    delivery: Delivery,
    start: datetime,
    lasts: timedelta | None,
    type_: str | None,
    *,
    scenes: bool,
) -> None:
    """A request, written as JSON and read as a mapping, is the same request, and is sent the same."""
    end = None if lasts is None else start + lasts
    source = (
        CatalogSource(["PSScene"], ["a"], POLYGON, start, end)
        if scenes
        else VariableSource("a", POLYGON, start, end, type=type_)
    )
    request = SubscriptionRequest(name, source, delivery=delivery)
    body = sent(request)
    assert SubscriptionRequest.from_dict(body) == request
    assert sent(body) == body


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
typed = st.fixed_dictionaries(
    {},
    optional={
        "type": json_values | st.sampled_from([*SUBSCRIPTION_TOOLS, *SUBSCRIPTION_DELIVERIES, "catalog"]),
        "parameters": json_values
        | st.dictionaries(st.sampled_from(["id", "aoi", "item_types"]), json_values),
    },
)


@pytest.mark.no_cover
@calm
@given(
    st.dictionaries(
        st.sampled_from([field.name for field in attrs.fields(SubscriptionRequest)]),
        json_values | typed | st.lists(typed, max_size=2),
    )
)
def test_any_mapping(fields: dict[str, Any]) -> None:
    """Any mapping is sent or refused with InvalidRequest; what is sent is sent the same again."""
    request = {**mapping(), **fields}
    try:
        body = sent(request)
    except InvalidRequest as error:
        assert str(error)  # noqa: PT017 - either way is right, so there is nothing to wait for
    else:
        assert body == sent(body)
        assert body.keys() == {name for name, value in request.items() if value is not None}
