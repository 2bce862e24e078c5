"""Whatever a user has for a geometry."""

from collections.abc import Mapping
from typing import Any

import pytest

from planet_async.errors import InvalidRequest
from planet_async.models.geometry import to_geojson

POLYGON = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}


class Shape:
    """As those of shapely: it knows its GeoJSON."""

    def __init__(self, interface: object) -> None:
        self.__geo_interface__ = interface


@pytest.mark.parametrize(
    "value",
    [
        POLYGON,
        {"type": "Feature", "geometry": POLYGON, "properties": {}},
        {"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": POLYGON}]},
        Shape(POLYGON),
        Shape({"type": "Feature", "geometry": POLYGON}),
        Shape({"type": "FeatureCollection", "features": ({"type": "Feature", "geometry": POLYGON},)}),
    ],
)
def test_to_geojson(value: object) -> None:
    """A geometry, a feature, a collection of one, and objects that know theirs, all give the geometry."""
    assert to_geojson(value) == POLYGON


def test_reference() -> None:
    """A reference to a feature at Planet goes as the API wants it, and as it was if it is so already."""
    reference: Mapping[str, Any] = {"type": "ref", "content": "pl:features/my/coll/feat"}
    assert to_geojson("pl:features/my/coll/feat") == reference
    assert to_geojson(reference) == reference


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (None, "got NoneType"),
        (5, "got int"),
        ("POINT (1 2)", "a text must be a reference like pl:features/"),
        ({}, "with the type 'None'"),
        ({"type": "Circle"}, "with the type 'Circle'"),
        ({"type": ["Polygon"]}, "with the type"),
        ({"type": "Feature", "geometry": None}, "with the type 'None'"),
        ({"type": "Feature"}, "with the type 'None'"),
        ({"type": "FeatureCollection", "features": []}, "must hold one feature"),
        ({"type": "FeatureCollection", "features": [POLYGON, POLYGON]}, "must hold one feature"),
        ({"type": "FeatureCollection"}, "must hold one feature"),
        ({"type": "FeatureCollection", "features": [7]}, "with the type 'None'"),
        (Shape("Polygon"), "got Shape"),
        (Shape({"type": "Sphere"}), "with the type 'Sphere'"),
    ],
)
def test_no_geometry(value: object, says: str) -> None:
    """What is no geometry is refused, with the place that it was meant for and what it is instead."""
    with pytest.raises(InvalidRequest, match=r"^Clip\.aoi: ") as caught:
        to_geojson(value, where="Clip.aoi")
    assert says in str(caught.value)
