"""Geometries: whatever a user has, as the GeoJSON that the API takes."""

from collections.abc import Mapping
from typing import Any

from planet_async.errors import InvalidRequest

_GEOMETRIES = frozenset(
    {
        "Point",
        "MultiPoint",
        "LineString",
        "MultiLineString",
        "Polygon",
        "MultiPolygon",
        "GeometryCollection",
        "ref",
    }
)
_REFERENCE = "pl:features/"
_EXPECTED = "expected a GeoJSON geometry or something with __geo_interface__"


def to_geojson(value: object, *, where: str = "geometry") -> Mapping[str, Any]:
    """Give the geometry of a thing as a GeoJSON mapping.

    Takes a GeoJSON geometry, a Feature (its geometry counts), a FeatureCollection of one, a reference to a
    feature at Planet (``"pl:features/my/collection/feature"``), and anything with ``__geo_interface__``,
    such as the shapes of shapely and the rows of geopandas.  Coordinates are not looked at.  Raises
    InvalidRequest, which begins with `where`.

        to_geojson(shapely.box(7.0, 46.5, 7.1, 46.6))
        to_geojson("pl:features/my/fields-x1y2/field-7")
    """
    if isinstance(value, str):
        if not value.startswith(_REFERENCE):
            raise InvalidRequest(f"{where}: {_EXPECTED}; a text must be a reference like {_REFERENCE}...")
        return {"type": "ref", "content": value}
    found = value if isinstance(value, Mapping) else getattr(value, "__geo_interface__", None)
    if not isinstance(found, Mapping):
        raise InvalidRequest(f"{where}: {_EXPECTED}, got {type(value).__name__}")
    return _geometry(found, where)


def _geometry(found: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    kind = found.get("type")
    if kind == "FeatureCollection":
        features = found.get("features")
        if not isinstance(features, list | tuple) or len(features) != 1:
            raise InvalidRequest(
                f"{where}: a FeatureCollection must hold one feature; join several to a MultiPolygon"
            )
        found = features[0] if isinstance(features[0], Mapping) else {}
        kind = found.get("type")
    if kind == "Feature":
        found = found["geometry"] if isinstance(found.get("geometry"), Mapping) else {}
        kind = found.get("type")
    if not isinstance(kind, str) or kind not in _GEOMETRIES:
        raise InvalidRequest(f"{where}: {_EXPECTED}, got one with the type {str(kind)[:40]!r}")
    return found
