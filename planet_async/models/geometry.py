"""Geometries: whatever a user has, as the GeoJSON that the API takes.

What the API would refuse is refused here, and no more than that: whether rings cross is shapely's business.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from math import isfinite
from typing import Any

from planet_async.errors import InvalidRequest
from planet_async.models.json import kind as shown

GEOMETRIES = frozenset(
    {
        "Point",
        "MultiPoint",
        "LineString",
        "MultiLineString",
        "Polygon",
        "MultiPolygon",
        "GeometryCollection",
    }
)
AREAS = frozenset({"Polygon", "MultiPolygon"})

_NAMES = frozenset({"aoi", "geometry"})
_REFERENCE = "pl:features/"
_EXPECTED = "expected a GeoJSON geometry or something with __geo_interface__"
_SHORTEST_LINE = 2
_SHORTEST_RING = 4  # a triangle, and its first position again
_FURTHEST = (("longitude", 180), ("latitude", 90))

_Check = Callable[[object, str], None]


def to_geojson(
    value: object, *, where: str = "geometry", types: Collection[str] = GEOMETRIES
) -> Mapping[str, Any]:
    """Give the geometry of a thing as a GeoJSON mapping.

    Takes a GeoJSON geometry, a Feature (its geometry counts), a FeatureCollection of one, a reference to a
    feature at Planet (``"pl:features/my/collection/feature"``), and anything with ``__geo_interface__``,
    such as the shapes of shapely and the rows of geopandas.  Coordinates are longitude and latitude in
    degrees; `types` are the types of geometry that the place takes, beside references.

    Raises InvalidRequest, which begins with `where` and says what is wrong: another type, a ring that is not
    closed or has fewer than four positions, a coordinate out of range.

        to_geojson(shapely.box(7.0, 46.5, 7.1, 46.6))
        to_geojson("pl:features/my/fields-x1y2/field-7")
    """
    if isinstance(value, str) and not value.startswith(_REFERENCE):
        raise InvalidRequest(f"{where}: {_EXPECTED}; a text must be a reference like {_REFERENCE}...")
    found = unwrapped(value)
    if not isinstance(found, Mapping):
        found = unwrapped(getattr(value, "__geo_interface__", None))
    if not isinstance(found, Mapping):
        raise InvalidRequest(f"{where}: {_EXPECTED}, got {type(value).__name__}")
    _check(found, where, types)
    return found


def unwrapped(value: object) -> object:
    """Take a geometry out of the Feature or the FeatureCollection of one around it; all else stays as it is.

    A reference to a feature at Planet becomes the object that the API takes.
    """
    if isinstance(value, str) and value.startswith(_REFERENCE):
        return {"type": "ref", "content": value}
    found = value
    if isinstance(found, Mapping) and found.get("type") == "FeatureCollection":
        features = found.get("features")
        found = features[0] if isinstance(features, list | tuple) and len(features) == 1 else None
    if isinstance(found, Mapping) and found.get("type") == "Feature":
        found = found.get("geometry")
    return found if isinstance(found, Mapping) else value


def unwrap_geometries(body: Any) -> None:
    """Take the geometries of a request, which are called `aoi` or `geometry`, out of what is around them."""
    for name, value in body.items() if isinstance(body, dict) else enumerate(body):
        if name in _NAMES:
            body[name] = unwrapped(value)
        elif isinstance(value, dict | list):
            unwrap_geometries(value)


def _check(geometry: Mapping[str, Any], where: str, types: Collection[str]) -> None:
    kind = geometry.get("type")
    if kind == "FeatureCollection":
        raise InvalidRequest(
            f"{where}: a FeatureCollection must hold one feature; join several to a MultiPolygon"
        )
    if kind == "Feature":
        raise InvalidRequest(f"{where}: the Feature has no geometry")
    if kind == "ref":
        if not str(geometry.get("content")).startswith(_REFERENCE):
            raise InvalidRequest(f"{where}.content: expected a reference like {_REFERENCE}...")
    elif not isinstance(kind, str) or kind not in GEOMETRIES:
        raise InvalidRequest(f"{where}: {_EXPECTED}, got one with the type {str(kind)[:40]!r}")
    elif kind not in types:
        raise InvalidRequest(f"{where}: expected {' or '.join(sorted(types))}, got {kind}")
    elif kind == "GeometryCollection":
        _each(geometry.get("geometries"), f"{where}.geometries", _part)
    else:
        _CHECKS[kind](geometry.get("coordinates"), f"{where}.coordinates")


def _part(value: object, where: str) -> None:
    if not isinstance(value, Mapping):
        raise InvalidRequest(f"{where}: expected a geometry")
    _check(value, where, GEOMETRIES)


def _position(value: object, where: str) -> None:
    if not isinstance(value, list | tuple) or len(value) < len(_FURTHEST):
        raise InvalidRequest(f"{where}: expected a position: longitude and latitude")
    for number in value:
        is_number = isinstance(number, int | float) and not isinstance(number, bool)
        if not is_number or (isinstance(number, float) and not isfinite(number)):
            raise InvalidRequest(f"{where}: expected finite numbers")
    for (name, furthest), number in zip(_FURTHEST, value, strict=False):  # a third one is the height
        if abs(number) > furthest:
            raise InvalidRequest(f"{where}: the {name} {shown(number)} is not from -{furthest} to {furthest}")


def _each(value: object, where: str, check: _Check) -> Sequence[Any]:
    """Check the members of a list, which must have some; gives the list."""
    if not isinstance(value, list | tuple) or not value:
        raise InvalidRequest(f"{where}: expected a list that is not empty")
    for index, part in enumerate(value):
        check(part, f"{where}[{index}]")
    return value


def _positions(value: object, where: str) -> None:
    _each(value, where, _position)


def _line(value: object, where: str) -> None:
    if len(_each(value, where, _position)) < _SHORTEST_LINE:
        raise InvalidRequest(f"{where}: a line has two positions or more")


def _lines(value: object, where: str) -> None:
    _each(value, where, _line)


def _ring(value: object, where: str) -> None:
    positions = _each(value, where, _position)
    if len(positions) < _SHORTEST_RING:
        raise InvalidRequest(f"{where}: a ring has four positions or more, and this one has {len(positions)}")
    if [*positions[0]] != [*positions[-1]]:
        raise InvalidRequest(f"{where}: the ring is not closed: its last position must be its first again")


def _rings(value: object, where: str) -> None:
    _each(value, where, _ring)


def _polygons(value: object, where: str) -> None:
    _each(value, where, _rings)


_CHECKS: Mapping[str, _Check] = {
    "Point": _position,
    "MultiPoint": _positions,
    "LineString": _line,
    "MultiLineString": _lines,
    "Polygon": _rings,
    "MultiPolygon": _polygons,
}
