"""Features: each method against responses as Planet was seen to send them."""

from typing import Any, NamedTuple

import msgspec
import pytest

from planet_async import (
    ApiKey,
    Clip,
    Config,
    ConnectionLost,
    DecodeError,
    Feature,
    InvalidRequest,
    NotFound,
    OrderRequest,
    Planet,
    Request,
    Response,
    SceneProduct,
    UnsettledCreate,
)
from planet_async.models.features import features_of
from planet_async.simulator import Fault, Simulator
from planet_async.testing import FakeClock, FakeTransport, reply

pytestmark = pytest.mark.anyio

DATE = {"date": "Thu, 01 Jan 2026 00:00:00 GMT"}
BASE = "https://api.planet.com/features/v1/ogc/my/collections"
COLLECTION = {
    "id": "fields-Kr7",
    "title": "fields",
    "item_type": "feature",
    "created": "2026-01-01T00:00:00.123456Z",
    "updated": "2026-01-01T00:00:00Z",
    "permissions": {"can_write": True, "shared": False, "is_owner": True},
    "links": [{"href": f"{BASE}/fields-Kr7", "rel": "self"}],
}
AREA = {"type": "Polygon", "coordinates": [[[7.0, 46.5], [7.1, 46.5], [7.1, 46.6], [7.0, 46.5]]]}
REF = "pl:features/my/fields-Kr7/1-owL"
FEATURE = {
    "type": "Feature",
    "id": "1",
    "geometry": AREA,
    "properties": {"crop": "rye", "pl:ref": REF, "pl:area": 3104292.77},
}


def answering(*answers: Any) -> tuple[FakeTransport, Planet]:
    transport = FakeTransport(answers[0] if callable(answers[0]) else answers)
    return transport, Planet(
        Config(rates={}), credentials=ApiKey("any"), transport=transport, clock=FakeClock()
    )


def body(request: Request) -> Any:
    return msgspec.json.decode(request.body or b"null")


async def test_collections_are_listed_by_their_links() -> None:
    """The next page is at the link whose `rel` is next, among others; each collection comes once."""
    other = {**COLLECTION, "id": "woods-X", "title": "woods", "feature_count": 2, "area": 7.5}
    links = [{"rel": "self", "href": BASE}, {"rel": "next", "href": f"{BASE}?offset=1"}]
    transport, planet = answering(
        reply(json={"collections": [COLLECTION], "links": links}),
        reply(json={"collections": [COLLECTION, other], "links": links[:1]}),
    )
    found = await planet.features.list(title="~o", sort="-created_date").collect()
    assert [collection.ref for collection in found] == ["pl:features/my/fields-Kr7", "pl:features/my/woods-X"]
    assert (found[0].feature_count, found[1].feature_count, found[1].area) == (None, 2, 7.5)
    assert dict(transport.requests[0].params) == {"title": "~o", "sort": "-created_date", "limit": "500"}
    assert transport.requests[1].url == f"{BASE}?offset=1"


async def test_a_collection_whose_response_was_lost_is_found_by_its_title() -> None:
    """It is not created a second time, which would make two."""
    transport, planet = answering(
        ConnectionLost("lost"), reply(json={"collections": [COLLECTION], "links": []}, headers=DATE)
    )
    created = await planet.features.create("fields", description="of 2026")
    assert created.id == "fields-Kr7"
    assert [request.method for request in transport.requests] == ["POST", "GET"]
    assert body(transport.requests[0]) == {"title": "fields", "description": "of 2026"}


async def test_another_collection_of_the_same_moment_is_not_taken_for_it() -> None:
    """One of another title is left alone; the create is sent again when the list has not shown it."""
    other = {**COLLECTION, "id": "woods-X", "title": "woods", "created": "2025-12-01T00:00:00Z"}
    made = []

    def answer(request: Request) -> Response | ConnectionLost:
        if request.method == "POST":
            made.append(request)
            return reply(json=COLLECTION) if len(made) == 2 else ConnectionLost("lost")
        return reply(json={"collections": [other], "links": []}, headers=DATE)

    _, planet = answering(answer)
    assert (await planet.features.create("fields")).id == "fields-Kr7"
    assert len(made) == 2


@pytest.mark.parametrize("named", ["fields-Kr7", "pl:features/my/fields-Kr7", "pl:features/my/fields-Kr7#2"])
async def test_a_collection_is_named_by_its_id_or_reference(named: str) -> None:
    """Both lead to the same address; so does a feature by its reference."""
    transport, planet = answering(lambda _: reply(json=COLLECTION))
    await planet.features.get(named)
    await planet.features.get_item(named, f"{REF}#1")
    await planet.features.get_item(named, "1-owL")
    urls = [request.url for request in transport.requests]
    assert urls == [f"{BASE}/fields-Kr7", *[f"{BASE}/fields-Kr7/items/1-owL"] * 2]


@pytest.mark.parametrize("id_", ["", "..", "pl:features/my/", "a\nb", None])
async def test_what_is_no_id_is_refused(id_: Any) -> None:
    """It would be another address."""
    transport, planet = answering(reply())
    with pytest.raises(InvalidRequest):
        await planet.features.get(id_)
    with pytest.raises(InvalidRequest):
        await planet.features.delete_item("fields-Kr7", id_)
    assert transport.requests == []


async def test_update_replaces_and_delete_may_be_sent_twice() -> None:
    """A second DELETE finds nothing where the first was acted on; a first one that does is an error."""
    transport, planet = answering(
        reply(json={}),
        reply(json={**COLLECTION, "title": "meadows"}),
        ConnectionLost("lost"),
        reply(404, json={"message": "not found"}),
        reply(404, json={"message": "not found"}),
    )
    collection = await planet.features.update("fields-Kr7", "meadows", title_property="crop")
    assert collection.title == "meadows"
    assert body(transport.requests[0]) == {"title": "meadows", "title_property": "crop"}
    await planet.features.delete(collection)
    with pytest.raises(NotFound):
        await planet.features.delete(collection)


class Shape:
    """A shape of shapely, or a GeoDataFrame, as far as it matters here."""

    def __init__(self, interface: Any) -> None:
        self.__geo_interface__ = interface


class Row(NamedTuple):
    """A row of GeoDataFrame.itertuples."""

    Index: int
    crop: float
    geometry: Shape


@pytest.mark.parametrize(
    ("features", "properties"),
    [
        (AREA, [{}]),
        (FEATURE, [{"crop": "rye"}]),
        (Shape(AREA), [{}]),
        (Shape({"type": "FeatureCollection", "features": [FEATURE, {**FEATURE, "properties": None}]}), 2),
        ([Shape(AREA), FEATURE], 2),
        (Row(0, float("nan"), Shape(AREA)), [{"Index": 0}]),
        ((AREA, AREA, AREA), 3),
    ],
)
async def test_whatever_has_an_area_can_be_added(features: Any, properties: Any) -> None:
    """GeoJSON, shapes, GeoDataFrames, their rows, and several of these; what is missing is left out."""
    count = properties if isinstance(properties, int) else len(properties)
    refs = [f"{REF}{number}" for number in range(count)]
    transport, planet = answering(reply(201, json=refs))
    assert await planet.features.add("fields-Kr7", features, property_id="crop") == refs
    sent = body(transport.requests[0])
    found = [sent] if sent["type"] == "Feature" else sent["features"]
    assert [feature["geometry"] for feature in found] == [AREA] * count
    if not isinstance(properties, int):
        assert [feature["properties"] for feature in found] == properties
    assert transport.requests[0].url == f"{BASE}/fields-Kr7/items"


@pytest.mark.parametrize(
    "features",
    [[], "field", REF, {"type": "Point", "coordinates": [7, 46]}, {"type": "Feature", "geometry": None}, 7],
)
async def test_what_is_no_area_is_refused(features: Any) -> None:
    """A point, a text or nothing: said before anything is sent."""
    transport, planet = answering(reply())
    with pytest.raises(InvalidRequest):
        await planet.features.add("fields-Kr7", features)
    assert transport.requests == []


async def test_a_list_that_contains_itself_is_refused() -> None:
    """As all that is nested too deeply."""
    _, planet = answering(reply())
    features: list[Any] = [AREA]
    features.append(features)
    with pytest.raises(InvalidRequest, match="nested too deeply"):
        await planet.features.add("fields-Kr7", features)


async def test_adding_is_never_repeated() -> None:
    """A second request would add the features a second time; the error says where to look."""
    transport, planet = answering(ConnectionLost("lost"))
    with pytest.raises(UnsettledCreate, match=r"may have been added.*features\.items") as caught:
        await planet.features.add("fields-Kr7", AREA)
    assert caught.value.may_have_acted
    assert len(transport.requests) == 1


async def test_references_that_do_not_match_are_an_error() -> None:
    """They could not be told apart; the features are there all the same."""
    _, planet = answering(reply(json=[REF]))
    with pytest.raises(DecodeError, match="They were added"):
        await planet.features.add("fields-Kr7", [AREA, AREA])


async def test_features_with_one_id_are_all_listed() -> None:
    """The short id is not unique; the reference is."""
    page = {"type": "FeatureCollection", "numberMatched": 2, "links": [], "features": [FEATURE, FEATURE]}
    _, planet = answering(reply(json=page))
    found = await planet.features.items("fields-Kr7").collect()
    assert [feature.ref for feature in found] == [REF, REF]
    assert (found[0].area, found[0].properties["crop"], found[0].geometry) == (3104292.77, "rye", AREA)
    assert features_of(found[0])[0]["geometry"] == AREA


def test_a_reference_goes_where_a_geometry_goes() -> None:
    """Into the tools of an order, for one."""
    scene = SceneProduct(["20221221_084022_18_2414"], "PSScene", "visual")
    order = OrderRequest("field 7", [scene], tools=[Clip(REF)]).to_dict()
    assert order["tools"] == [{"clip": {"aoi": {"type": "ref", "content": REF}}}]


BROKEN = {
    "errors": [{"code": "too-many-coordinates", "description": "1,501 of 1,500"}],
    "description": "The feature is not valid.",
    "alternates_url": f"{BASE}/alternates",
}


@pytest.mark.parametrize("status", [200, 400])
async def test_validation_says_what_is_wrong(status: int) -> None:
    """Whichever status the service has for it."""
    _, planet = answering(reply(status, json=BROKEN))
    found = await planet.features.validate(AREA)
    assert not found.is_valid
    assert [(error.code, error.description) for error in found.errors] == [
        ("too-many-coordinates", "1,501 of 1,500")
    ]


@pytest.mark.parametrize("odd", [{"errors": ["crossing"]}, {"errors": {"ring": 1}}, {"description": "no"}])
async def test_errors_of_another_shape_are_errors(odd: Any) -> None:
    """A feature is not valid only because what is wrong with it cannot be read."""
    _, planet = answering(reply(json=odd))
    assert not (await planet.features.validate(AREA)).is_valid


async def test_a_valid_feature_is_valid() -> None:
    """The service has nothing against it."""
    _, planet = answering(reply(json={"status": "okay", "detail": "No errors."}))
    assert (await planet.features.validate(FEATURE)).is_valid


def test_a_feature_without_its_reference_says_so() -> None:
    """A reference that is guessed could be that of another feature."""
    with pytest.raises(DecodeError, match="pl:ref"):
        _ = Feature("1").ref


# --- on a simulated Planet


@pytest.mark.parametrize("acted", [True, False])
async def test_a_lost_create_makes_one_collection(acted: bool, planet: Planet, simulator: Simulator) -> None:
    """Whether the service has acted on the first request or not."""
    simulator.faults.add(Fault(operation="features.create", drop=True, after=acted, times=1))
    collection = await planet.features.create("fields")
    assert [each.id for each in await planet.features.list().collect()] == [collection.id]
    assert simulator.requests["features.create"] == 2 - acted


async def test_what_was_added_can_be_ordered(planet: Planet) -> None:
    """A reference goes into the order, and the features come back from their collection."""
    collection = await planet.features.create("fields", title_property="crop")
    refs = await planet.features.add(collection, [FEATURE, {**FEATURE, "id": "2"}])
    found = await planet.features.items(collection, page_size=1).collect()
    assert [feature.ref for feature in found] == refs[::-1]
    scene = SceneProduct(["20221221_084022_18_2414"], "PSScene", "visual")
    order = await planet.orders.create(OrderRequest("field 7", [scene], tools=[Clip(refs[0])]))
    assert order.tools[0]["clip"]["aoi"] == {"type": "ref", "content": refs[0]}
    await planet.features.delete_item(collection, refs[0])
    await planet.features.delete(collection)
    with pytest.raises(NotFound):
        await planet.features.get(collection)
