"""Geometries: whatever a user has, as the GeoJSON that the API takes.

What the API would refuse is refused here, and no more than that: whether rings cross is left to shapely.
"""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

from planet_async.errors import InvalidRequest
from planet_async.models.json import finite
from planet_async.models.json import kind as shown

AREAS = frozenset({"Polygon", "MultiPolygon"})
GEOMETRIES = AREAS | {"Point", "MultiPoint", "LineString", "MultiLineString", "GeometryCollection"}
GEOMETRY_NAMES = frozenset({"aoi", "geometry"})
"""The API's names for a geometry in a request."""

_REFERENCE = "pl:features/"
_EXPECTED = "expected a GeoJSON geometry or something with __geo_interface__"
_SHORTEST_LINE = 2
_SHORTEST_RING = 4  # a triangle, and its first position again
_FURTHEST = (("longitude", 180), ("latitude", 90))
_ROUNDING = 1e-9  # degrees, a tenth of a millimetre: what computing with floats adds

_Check = Callable[[object, str], Any]


def to_geojson(
    value: object, *, where: str = "geometry", types: Collection[str] = GEOMETRIES
) -> Mapping[str, Any]:
    """Return the geometry of a thing as a GeoJSON mapping, with plain lists and numbers.

    Properties are ignored, whatever they hold.

    Args:
        value: A GeoJSON geometry, a Feature, a FeatureCollection of one, a reference to a feature at Planet
            (``"pl:features/my/collection/feature"``), anything with ``__geo_interface__`` such as a shape of
            shapely, or a row of a GeoDataFrame.  Coordinates are longitude and latitude in degrees; they may
            be arrays of numpy.
        where: What the message of an error begins with.
        types: The types of geometry to accept; references are always accepted.

    Raises:
        InvalidRequest: another type, a ring that is not closed or has fewer than four positions, or a
            coordinate out of range.

    Example:
        >>> to_geojson({"type": "Feature", "geometry": {"type": "Point", "coordinates": (7.5, 46.5)}})
        {'type': 'Point', 'coordinates': [7.5, 46.5]}

    See https://docs.planet.com/develop/apis/orders/tools/
    """
    if isinstance(value, str) and not value.startswith(_REFERENCE):
        raise InvalidRequest(f"{where}: {_EXPECTED}; a text must be a reference like {_REFERENCE}...")
    found = unwrapped(value)
    if not isinstance(found, Mapping):
        raise InvalidRequest(f"{where}: {_EXPECTED}, got {type(value).__name__}")
    return _checked(found, where, types)


def unwrapped(value: object) -> object:
    """Take a geometry out of the Feature, collection of one or row around it; all else stays as it is.

    A reference to a feature at Planet becomes the object that the API takes.
    """
    if isinstance(value, str) and value.startswith(_REFERENCE):
        return {"type": "ref", "content": value}
    found = value
    if not isinstance(found, Mapping | str | list):
        # A row of a GeoDataFrame has no interface of its own, but its geometry does.
        found = getattr(found, "__geo_interface__", getattr(found, "geometry", None))
        found = getattr(found, "__geo_interface__", found)
    if isinstance(found, Mapping) and found.get("type") == "FeatureCollection":
        features = found.get("features")
        found = features[0] if isinstance(features, list | tuple) and len(features) == 1 else found
    if isinstance(found, Mapping) and found.get("type") == "Feature":
        inside = found.get("geometry")
        found = found if inside is None else getattr(inside, "__geo_interface__", inside)
    return found if isinstance(found, Mapping) else value


def _checked(geometry: Mapping[str, Any], where: str, types: Collection[str]) -> Mapping[str, Any]:
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
        return geometry
    if not isinstance(kind, str) or kind not in GEOMETRIES:
        found = "an object without a type" if kind is None else f"one with the type {str(kind)[:40]!r}"
        raise InvalidRequest(f"{where}: {_EXPECTED}, got {found}")
    if kind not in types:
        raise InvalidRequest(f"{where}: expected {' or '.join(sorted(types))}, got {kind}")
    name, check = _PARTS[kind]
    return {**geometry, name: check(geometry.get(name), f"{where}.{name}")}


def _each(value: object, where: str, check: _Check) -> list[Any]:
    """Return the members of a list, which must have some, each checked."""
    found = value.tolist() if hasattr(value, "tolist") else value  # of numpy
    if not isinstance(found, list | tuple) or not found:
        came = "" if isinstance(found, list | tuple) else f", got {shown(value)}"
        raise InvalidRequest(f"{where}: expected a list that is not empty{came}")
    return [check(part, f"{where}[{index}]") for index, part in enumerate(found)]


def _geometry(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidRequest(f"{where}: expected a geometry, got {shown(value)}")
    return _checked(value, where, GEOMETRIES)


def _position(value: object, where: str) -> list[float]:
    found = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(found, list | tuple) or len(found) < len(_FURTHEST):
        raise InvalidRequest(f"{where}: expected a position: longitude and latitude, got {shown(value)}")
    numbers = [_number(number, where) for number in found]
    for index, (name, furthest) in enumerate(_FURTHEST):  # a third number is the height
        if abs(numbers[index]) > furthest + _ROUNDING:
            raise InvalidRequest(
                f"{where}: the {name} {shown(numbers[index])} is not from -{furthest} to {furthest}"
            )
        if abs(numbers[index]) > furthest:
            numbers[index] = furthest if numbers[index] > 0 else -furthest
    return numbers


def _number(value: object, where: str) -> float:
    found = finite(value)
    if found is None:
        raise InvalidRequest(f"{where}: expected finite numbers, got {shown(value)}")
    return found


def _line(value: object, where: str) -> list[Any]:
    positions = _each(value, where, _position)
    if len(positions) < _SHORTEST_LINE:
        raise InvalidRequest(f"{where}: a line has two positions or more")
    return positions


def _ring(value: object, where: str) -> list[Any]:
    positions = _each(value, where, _position)
    if len(positions) < _SHORTEST_RING:
        raise InvalidRequest(f"{where}: a ring has four positions or more, and this one has {len(positions)}")
    if positions[0] != positions[-1]:
        raise InvalidRequest(f"{where}: the ring is not closed: its last position must be its first again")
    return positions


_PARTS: Mapping[str, tuple[str, _Check]] = {
    "Point": ("coordinates", _position),
    "MultiPoint": ("coordinates", partial(_each, check=_position)),
    "LineString": ("coordinates", _line),
    "MultiLineString": ("coordinates", partial(_each, check=_line)),
    "Polygon": ("coordinates", partial(_each, check=_ring)),
    "MultiPolygon": ("coordinates", partial(_each, check=partial(_each, check=_ring))),
    "GeometryCollection": ("geometries", partial(_each, check=_geometry)),
}
