"""What is imaged of a geometry, and how large it is: boxes, lengths and areas, in degrees and kilometres."""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, pairwise, starmap
from typing import Any

STRIP_WIDTH_KM = 5.0
Box = tuple[float, float, float, float]
"""West, east, south and north."""

_KM_PER_DEGREE = 111.32


def box_of(geometry: Mapping[str, Any]) -> Box:
    """Return the box around a geometry."""
    points = list(_points(geometry["coordinates"]))
    xs, ys = [point[0] for point in points], [point[1] for point in points]
    return min(xs), max(xs), min(ys), max(ys)


def overlap(a: Box, b: Box) -> bool:
    return a[0] <= b[1] and b[0] <= a[1] and a[2] <= b[3] and b[2] <= a[3]


def imaged_area(geometry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the area that is imaged: a square around a point, a box around a line [H, as to size]."""
    if geometry["type"] == "Polygon":
        return dict(geometry)
    west, east, south, north = box_of(geometry)
    high = STRIP_WIDTH_KM / 2 / _KM_PER_DEGREE
    wide = high / max(0.01, math.cos(math.radians((south + north) / 2)))
    west, east, south, north = west - wide, east + wide, south - high, north + high
    corners = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [corners]}


def square_kilometres(geometry: Mapping[str, Any]) -> float:
    """Return the size of what is imaged: 25 for a point [H]; an estimate for the others."""
    if geometry["type"] == "Point":
        return STRIP_WIDTH_KM**2
    if geometry["type"] == "LineString":
        kilometres = sum(starmap(_length, pairwise(geometry["coordinates"])))
        return round(kilometres * STRIP_WIDTH_KM, 3)
    if geometry["type"] == "MultiPolygon":
        polygons = ({"type": "Polygon", "coordinates": each} for each in geometry["coordinates"])
        return round(sum(map(square_kilometres, polygons)), 3)
    ring = geometry["coordinates"][0]
    doubled = sum(a[0] * b[1] - b[0] * a[1] for a, b in pairwise(ring))
    scale = _KM_PER_DEGREE**2 * math.cos(math.radians(ring[0][1]))
    return float(round(abs(doubled) / 2 * scale, 3))


def _length(a: Sequence[float], b: Sequence[float]) -> float:
    across = (b[0] - a[0]) * math.cos(math.radians((a[1] + b[1]) / 2))
    return math.hypot(across, b[1] - a[1]) * _KM_PER_DEGREE


def _points(coordinates: Sequence[Any]) -> Iterable[Sequence[float]]:
    if isinstance(coordinates[0], int | float):
        return [coordinates]
    return chain.from_iterable(map(_points, coordinates))
