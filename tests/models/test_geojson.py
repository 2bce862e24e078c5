"""Whatever a user has for a geometry."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
import shapely
import shapely.geometry
from hypothesis import given
from hypothesis import strategies as st

from planet_async.errors import InvalidRequest
from planet_async.models.codec import checked_body
from planet_async.models.geometry import AREAS, to_geojson
from planet_async.models.order_request import BasemapProduct, OrderRequest, SceneProduct
from planet_async.models.subscription_request import SubscriptionRequest
from planet_async.models.tools import Clip

POLYGON: dict[str, Any] = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}
FEATURE = {"type": "Feature", "geometry": POLYGON, "properties": {}}
COLLECTION = {"type": "FeatureCollection", "features": [FEATURE]}
REFERENCE = {"type": "ref", "content": "pl:features/my/coll/feat"}


class Shape:
    """As those of shapely: it knows its GeoJSON."""

    def __init__(self, interface: object) -> None:
        self.__geo_interface__ = interface


@pytest.mark.parametrize(
    "value",
    [
        POLYGON,
        FEATURE,
        COLLECTION,
        {"type": "FeatureCollection", "features": [POLYGON]},
        Shape(POLYGON),
        Shape(FEATURE),
        Shape({"type": "FeatureCollection", "features": (FEATURE,)}),
    ],
)
def test_to_geojson(value: object) -> None:
    """A geometry, a feature, a collection of one, and objects that know theirs, all become the geometry."""
    assert to_geojson(value) == POLYGON


class Row:
    """As a row of a GeoDataFrame: it has no interface, but its geometry does."""

    def __init__(self, geometry: object) -> None:
        self.geometry = geometry


class Tuple(NamedTuple):
    """As a row of ``GeoDataFrame.itertuples()``."""

    Index: int
    geometry: object


AREA = shapely.geometry.shape(POLYGON)
AS_GEOPANDAS_WRITES = {
    "type": "Feature",
    "geometry": POLYGON,
    "properties": {
        "acquired": datetime(2026, 1, 1),  # noqa: DTZ001 - that is what is tried
        "cloud": float("nan"),
        "rows": np.int64(3),
        7: {"a", "set"},
    },
    "bbox": (np.float32(0), 0, 1, 1),
}


@pytest.mark.parametrize(
    "value",
    [
        AS_GEOPANDAS_WRITES,
        {"type": "FeatureCollection", "features": [AS_GEOPANDAS_WRITES], "name": float("nan")},
        Row(AREA),
        Tuple(0, AREA),
        {"type": "Feature", "geometry": AREA},
        {"type": "Polygon", "coordinates": np.array(POLYGON["coordinates"])},
        {"type": "Polygon", "coordinates": [np.array(POLYGON["coordinates"][0], dtype="float32")]},
        {
            "type": "Polygon",
            "coordinates": [[[Decimal(x), np.int64(y)] for x, y in POLYGON["coordinates"][0]]],
        },
    ],
    ids=["feature", "collection", "row", "tuple", "feature of a shape", "array", "arrays", "decimals"],
)
def test_what_geopandas_and_numpy_have(value: object) -> None:
    """Properties are not looked at, and numbers of any kind are numbers: in a record and in a mapping."""
    for request in (
        order(value),
        OrderRequest("x", [SceneProduct(["a"], "PSScene", "visual")], tools=[Clip(aoi=value)]),
        {"products": [{"mosaic_name": "m", "geometry": value}], "name": "x"},
    ):
        sent = msgspec.json.decode(checked_body(OrderRequest, request))
        places = sent["products"][0].get("geometry"), sent.get("tools", [{}])[0].get("clip", {}).get("aoi")
        assert [place for place in places if place] == [POLYGON]
    source = {
        "item_types": ["a"],
        "asset_types": ["b"],
        "geometry": value,
        "start_time": "2026-01-01T00:00:00Z",
    }
    body = {"name": "x", "source": {"parameters": source}, "delivery": {"type": "new"}}
    sent = msgspec.json.decode(checked_body(SubscriptionRequest, body))
    assert sent["source"]["parameters"]["geometry"] == POLYGON


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (Row(None), "got Row"),
        (object(), "got object"),
        (5, "got int"),
        ({"type": "Polygon", "coordinates": "1 2"}, "expected a list that is not empty, got a text"),
        ({"type": "Polygon", "coordinates": [[["1", "2"]]]}, "expected finite numbers, got a text"),
        ({"type": "Polygon", "coordinates": [[None]]}, "longitude and latitude, got null"),
    ],
)
def test_the_message_says_what_came(value: object, says: str) -> None:
    """In a record as in a mapping."""
    with pytest.raises(InvalidRequest, match=says):
        Clip(aoi=value)
    with pytest.raises(InvalidRequest, match=r"^\$\.tools\[0\]\.clip\.aoi.*" + says):
        checked_body(OrderRequest, order(value))


def test_rounding_is_no_other_place() -> None:
    """What computing with floats adds to 180 degrees is taken off; more than that is refused and shown."""
    assert to_geojson(a("Point", [180.0000000000001, -90.0000000000001])) == a("Point", [180, -90])
    with pytest.raises(InvalidRequest, match=r"the longitude 180\.001 is not from -180 to 180"):
        to_geojson(a("Point", [180.001, 0]))


def test_reference() -> None:
    """A reference to a feature at Planet goes as the API wants it, and as it was if it is so already."""
    assert to_geojson("pl:features/my/coll/feat") == REFERENCE
    assert to_geojson(REFERENCE, types=AREAS) == REFERENCE


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (None, "got NoneType"),
        (5, "got int"),
        ("POINT (1 2)", "a text must be a reference like pl:features/"),
        ({}, "got an object without a type"),
        ({"type": "Circle"}, "with the type 'Circle'"),
        ({"type": ["Polygon"]}, "with the type"),
        ({"type": "Feature", "geometry": None}, "the Feature has no geometry"),
        ({"type": "Feature"}, "the Feature has no geometry"),
        ({"type": "FeatureCollection", "features": []}, "must hold one feature"),
        ({"type": "FeatureCollection", "features": [POLYGON, POLYGON]}, "must hold one feature"),
        ({"type": "FeatureCollection"}, "must hold one feature"),
        ({"type": "FeatureCollection", "features": [7]}, "must hold one feature"),
        (Shape("Polygon"), "got Shape"),
        (Shape({"type": "Sphere"}), "with the type 'Sphere'"),
    ],
)
def test_no_geometry(value: object, says: str) -> None:
    """What is no geometry is refused, with the place that it was meant for and what it is instead."""
    with pytest.raises(InvalidRequest, match=r"^Clip\.aoi: ") as caught:
        to_geojson(value, where="Clip.aoi")
    assert says in str(caught.value)


def a(kind: str, coordinates: object) -> Mapping[str, Any]:
    return {"type": kind, "coordinates": coordinates}


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (a("Point", None), "geometry.coordinates: expected a position"),
        (a("Point", [1]), "geometry.coordinates: expected a position"),
        (a("Point", ["1", "2"]), "geometry.coordinates: expected finite numbers"),
        (a("Point", [True, 2]), "geometry.coordinates: expected finite numbers"),
        (a("Point", [float("nan"), 2]), "geometry.coordinates: expected finite numbers"),
        (a("Point", [1, 2, float("inf")]), "geometry.coordinates: expected finite numbers"),
        (a("Point", [180.5, 2]), "geometry.coordinates: the longitude 180.5 is not from -180 to 180"),
        (a("Point", [46.5, -90.1]), "geometry.coordinates: the latitude -90.1 is not from -90 to 90"),
        (a("MultiPoint", [[1, 2], [1]]), "geometry.coordinates[1]: expected a position"),
        (a("MultiPoint", []), "geometry.coordinates: expected a list that is not empty"),
        (a("LineString", [[1, 2]]), "geometry.coordinates: a line has two positions or more"),
        (a("LineString", [[1, 2], 5]), "geometry.coordinates[1]: expected a position"),
        (a("MultiLineString", [[[1, 2], [2, 2]], [[1, 2]]]), "geometry.coordinates[1]: a line has two"),
        (a("Polygon", "1,2"), "geometry.coordinates: expected a list"),
        (a("Polygon", [[]]), "geometry.coordinates[0]: expected a list that is not empty"),
        (
            a("Polygon", [[[0, 0], [1, 0], [0, 0]]]),
            "geometry.coordinates[0]: a ring has four positions or more, and this one has 3",
        ),
        (
            a("Polygon", [[[0, 0], [1, 0], [1, 1], [0, 1]]]),
            "geometry.coordinates[0]: the ring is not closed",
        ),
        (
            a("Polygon", [POLYGON["coordinates"][0], [[0, 0], [1, 0], [1, 1], [0, 1]]]),
            "geometry.coordinates[1]: the ring is not closed",
        ),
        (
            a("MultiPolygon", [POLYGON["coordinates"], [[[0, 0], [1, 0], [1, 95], [0, 0]]]]),
            "geometry.coordinates[1][0][2]: the latitude 95",
        ),
        ({"type": "GeometryCollection"}, "geometry.geometries: expected a list"),
        ({"type": "GeometryCollection", "geometries": [POLYGON, 7]}, "geometries[1]: expected a geometry"),
        (
            {"type": "GeometryCollection", "geometries": [a("Point", [0, 99])]},
            "geometry.geometries[0].coordinates: the latitude 99",
        ),
        ({"type": "ref", "content": "my field"}, "geometry.content: expected a reference"),
        ({"type": "ref"}, "geometry.content: expected a reference"),
    ],
)
def test_what_the_api_would_refuse(value: object, says: str) -> None:
    """Wrong counts, open rings and wrong numbers are named with the place where they are."""
    with pytest.raises(InvalidRequest) as caught:
        to_geojson(value)
    assert str(caught.value).startswith(says) or says in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        a("Point", [-180, 90]),
        a("Point", (180, -90, 4000.5)),
        a("MultiPoint", [[0, 0]]),
        a("LineString", [[0, 0], [1, 1]]),
        a("MultiLineString", [[[0, 0], [1, 1]]]),
        a("Polygon", [((0, 0), (1, 0), (1, 1), [0, 0])]),
        a("MultiPolygon", [POLYGON["coordinates"]]),
        {"type": "GeometryCollection", "geometries": [POLYGON, a("Point", [0, 0])]},
    ],
)
def test_what_is_right_stays_as_it_is(value: Mapping[str, Any]) -> None:
    """Nothing that GeoJSON allows is refused, up to the last degree, and nothing of it is changed."""
    assert msgspec.json.encode(to_geojson(value)) == msgspec.json.encode(value)


def test_the_type_must_fit_the_place() -> None:
    """A point is a geometry, and nothing to clip to."""
    with pytest.raises(InvalidRequest, match=r"^Clip\.aoi: expected MultiPolygon or Polygon, got Point$"):
        Clip(aoi=a("Point", [1, 2]))


def order(aoi: object) -> dict[str, Any]:
    product = {"item_ids": ["a"], "item_type": "PSScene", "product_bundle": "visual"}
    return {"name": "x", "products": [product], "tools": [{"clip": {"aoi": aoi}}]}


@pytest.mark.parametrize(
    "aoi", [POLYGON, FEATURE, COLLECTION, Shape(FEATURE), shapely.geometry.shape(POLYGON)]
)
def test_in_a_plain_mapping_too(aoi: object) -> None:
    """Whatever is around a geometry inside of a mapping is taken off before it is sent."""
    sent = msgspec.json.decode(checked_body(OrderRequest, order(aoi)))
    found = shapely.geometry.shape(sent["tools"][0]["clip"]["aoi"])
    assert found.equals(shapely.geometry.shape(POLYGON))
    assert (
        OrderRequest.from_dict(order(aoi)).tools
        == OrderRequest(
            "x", [SceneProduct(["a"], "PSScene", "visual")], tools=[Clip(aoi=sent["tools"][0]["clip"]["aoi"])]
        ).tools
    )


def test_references_in_a_plain_mapping() -> None:
    """A reference may be a text there as well, for tools and for products."""
    product = {"mosaic_name": "m", "geometry": "pl:features/my/coll/feat"}
    sent = msgspec.json.decode(checked_body(OrderRequest, {"name": "x", "products": [product]}))
    assert sent["products"] == [{"mosaic_name": "m", "geometry": REFERENCE}]
    assert BasemapProduct("m", geometry="pl:features/my/coll/feat").geometry == REFERENCE


def test_the_mapping_of_the_user_is_left_alone() -> None:
    """What is sent is a copy: the caller's Feature is one afterwards."""
    request = order(FEATURE)
    checked_body(OrderRequest, request)
    assert request == order(FEATURE)
    assert request["tools"][0]["clip"]["aoi"] is FEATURE


@pytest.mark.parametrize(
    ("aoi", "says"),
    [
        (a("Polygon", [[[0, 0], [1, 0], [1, 1], [0, 1]]]), r"\.coordinates\[0\]: the ring is not closed"),
        (
            {"type": "Feature", "geometry": a("Point", [1, 2])},
            ": expected MultiPolygon or Polygon, got Point",
        ),
        ({"type": "Feature", "geometry": None}, ": the Feature has no geometry"),
        ({"type": "FeatureCollection", "features": []}, ": a FeatureCollection must hold one"),
        ("my field", ": expected a GeoJSON geometry .*; a text must be a reference"),
    ],
)
def test_a_mapping_is_refused_with_the_place(aoi: object, says: str) -> None:
    """The path leads from the top of the request to what is wrong."""
    with pytest.raises(InvalidRequest, match=r"^\$\.tools\[0\]\.clip\.aoi" + says):
        checked_body(OrderRequest, order(aoi))


def test_what_is_called_geometry_and_is_none_is_sent_as_it_is() -> None:
    """A part that this package does not know may mean anything by it: the API judges."""
    request = {**order(POLYGON), "later": [{"geometry": "by hand", "aoi": 7, "deep": {"geometry": FEATURE}}]}
    sent = msgspec.json.decode(checked_body(OrderRequest, request))
    assert sent["later"] == [{"geometry": "by hand", "aoi": 7, "deep": {"geometry": POLYGON}}]


degrees = st.tuples(st.floats(-170, 160), st.floats(-80, 70))


@pytest.mark.no_cover
@given(degrees, st.floats(0.001, 10), st.integers(1, 12), st.booleans())
def test_shapes_of_shapely_are_taken_as_they_are(
    corner: tuple[float, float], size: float, quarter: int, several: bool
) -> None:
    """Any area that shapely makes passes, comes back as the same area, and does so after JSON too."""
    west, south = corner
    area = shapely.geometry.Point(west + size / 2, south + size / 2).buffer(size / 4, quad_segs=quarter)
    shape = shapely.geometry.MultiPolygon([area]) if several else area
    sent = msgspec.json.decode(msgspec.json.encode(to_geojson(shape, types=AREAS)))
    assert shapely.geometry.shape(sent).equals(shape)


@pytest.mark.no_cover
@given(st.lists(degrees, min_size=1, max_size=8))
def test_a_ring_passes_only_if_it_is_one(ring: list[tuple[float, float]]) -> None:
    """Of any row of positions, exactly those that GeoJSON calls a ring are taken."""
    is_ring = len(ring) >= 4 and ring[0] == ring[-1]
    closed = [*ring, ring[0]]
    for positions, right in ((ring, is_ring), (closed, len(closed) >= 4)):
        try:
            to_geojson(a("Polygon", [positions]))
        except InvalidRequest:
            assert not right
        else:
            assert right


def test_an_empty_shape_is_no_area() -> None:
    """What shapely made of nothing is refused, not sent."""
    with pytest.raises(InvalidRequest, match=r"geometry\.coordinates: expected a list that is not empty"):
        to_geojson(shapely.geometry.Polygon())
