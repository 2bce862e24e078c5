"""Plane geometry in degrees, by which scenes and quads are selected, and the areas that are imaged.

Longitude and latitude are taken as a plane, in which nothing crosses the antimeridian.  For the convex
footprints of scenes and quads the relations are exact, but for one case: a footprint that lies across the
common border of two polygons of a MultiPolygon is not `within` it.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from attrs import field, frozen

Point = tuple[float, float]
Ring = Sequence[Point]
Box = tuple[float, float, float, float]
"""West, south, east and north."""

STRIP_WIDTH_KM = 5.0

_KM_PER_DEGREE = 111.32
_DEPTHS = {
    "Point": 0,
    "MultiPoint": 1,
    "LineString": 1,
    "MultiLineString": 2,
    "Polygon": 2,
    "MultiPolygon": 3,
}
_LEAST = {"LineString": 2, "MultiLineString": 2, "Polygon": 4, "MultiPolygon": 4}


@frozen
class Footprint:
    """A convex polygon without holes: a closed ring, counterclockwise."""

    ring: Ring
    box: Box = field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "box", _box(self.ring))

    @classmethod
    def of_box(cls, box: Box) -> "Footprint":
        west, south, east, north = box
        return cls([(west, south), (east, south), (east, north), (west, north), (west, south)])

    def encloses(self, point: Point) -> bool:
        """Return whether the point is inside, or on the border."""
        return all(_turn(a, b, point) >= 0 for a, b in pairwise(self.ring))


@frozen
class Shape:
    """A GeoJSON geometry: points, or lines, or polygons, which are rings: the border, and the holes."""

    points: Ring
    lines: Sequence[Ring]
    polygons: Sequence[Sequence[Ring]]
    box: Box = field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "box", _box([*self.vertices()]))

    def vertices(self) -> Iterator[Point]:
        yield from self.points
        for line in self.paths():
            yield from line

    def paths(self) -> Iterator[Ring]:
        yield from self.lines
        for polygon in self.polygons:
            yield from polygon


def read(geometry: Any) -> Shape:
    """Return the shape of a GeoJSON geometry; ValueError where it is none."""
    kind = str(geometry.get("type") if isinstance(geometry, dict) else None)
    check(kind in _DEPTHS, f"{kind!r} is not one of {', '.join(_DEPTHS)}")
    found = _coordinates(geometry.get("coordinates"), _DEPTHS[kind], _LEAST.get(kind, 1))
    if kind in {"Point", "MultiPoint"}:
        return Shape([found] if kind == "Point" else found, [], [])
    many = found if kind.startswith("Multi") else [found]
    return Shape([], [], many) if kind.endswith("Polygon") else Shape([], many, [])


def check(valid: bool, problem: str) -> None:
    """Raise ValueError where what was sent is not valid."""
    if not valid:
        raise ValueError(problem)


def _coordinates(value: Any, depth: int, least: int) -> Any:
    check(isinstance(value, list | tuple), "the coordinates are not those of such a geometry")
    if depth:
        check(len(value) >= (least if depth == 1 else 1), "the geometry has too few coordinates")
        return [_coordinates(each, depth - 1, least) for each in value]
    numbers = [each for each in value if isinstance(each, int | float) and not isinstance(each, bool)]
    check(len(numbers) == len(value) in {2, 3}, "a position is not two or three numbers")
    return float(numbers[0]), float(numbers[1])


def is_on_earth(shape: Shape) -> bool:
    west, south, east, north = shape.box
    return west >= -180 and south >= -90 and east <= 180 and north <= 90  # noqa: PLR2004 - degrees


def imaged_area(geometry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the area that is imaged: a square around a point, a box around a line [H, as to size]."""
    if geometry["type"] == "Polygon":
        return dict(geometry)
    west, south, east, north = read(geometry).box
    high = STRIP_WIDTH_KM / 2 / _KM_PER_DEGREE
    wide = high / max(0.01, math.cos(math.radians((south + north) / 2)))
    return polygon_of((west - wide, south - high, east + wide, north + high))


def polygon_of(box: Box) -> dict[str, Any]:
    west, south, east, north = box
    corners = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [corners]}


def square_kilometres(geometry: Mapping[str, Any]) -> float:
    """Return the size of what is imaged: 25 for a point [H]; an estimate for the others."""
    shape = read(geometry)
    if shape.points:
        return STRIP_WIDTH_KM**2
    lines = sum(_length(a, b) for line in shape.lines for a, b in pairwise(line)) * STRIP_WIDTH_KM
    return round(lines + sum(_size(polygon[0]) for polygon in shape.polygons), 3)


def _length(a: Point, b: Point) -> float:
    across = (b[0] - a[0]) * math.cos(math.radians((a[1] + b[1]) / 2))
    return math.hypot(across, b[1] - a[1]) * _KM_PER_DEGREE


def _size(ring: Ring) -> float:
    doubled = sum(a[0] * b[1] - b[0] * a[1] for a, b in pairwise(ring))
    return abs(doubled) / 2 * _KM_PER_DEGREE**2 * math.cos(math.radians(ring[0][1]))


def intersects(footprint: Footprint, shape: Shape) -> bool:
    if apart(footprint.box, shape.box):
        return False
    return (
        any(map(footprint.encloses, shape.points))
        or any(_crosses(footprint, path, _touch) for path in shape.paths())
        or any(footprint.encloses(path[0]) for path in shape.paths())
        or any(_in_polygon(footprint.ring[0], polygon) for polygon in shape.polygons)
    )


def contains(footprint: Footprint, shape: Shape) -> bool:
    """Return whether the shape lies in the footprint: all its vertices do, since the footprint is convex."""
    return not apart(footprint.box, shape.box) and all(map(footprint.encloses, shape.vertices()))


def within(footprint: Footprint, shape: Shape) -> bool:
    """Return whether the footprint lies in one polygon of the shape."""
    if apart(footprint.box, shape.box):
        return False
    return any(
        all(_in_polygon(point, polygon) for point in footprint.ring)
        and not any(_crosses(footprint, ring, _cross) for ring in polygon)
        and not any(footprint.encloses(hole[0]) for hole in polygon[1:])
        for polygon in shape.polygons
    )


def disjoint(footprint: Footprint, shape: Shape) -> bool:
    return not intersects(footprint, shape)


RELATIONS: Mapping[str, Callable[[Footprint, Shape], bool]] = {
    "intersects": intersects,
    "contains": contains,
    "within": within,
    "disjoint": disjoint,
}


def _box(points: Ring) -> Box:
    across, up = [x for x, _ in points], [y for _, y in points]
    return min(across), min(up), max(across), max(up)


def apart(box: Box, other: Box) -> bool:
    return box[2] < other[0] or other[2] < box[0] or box[3] < other[1] or other[3] < box[1]


def _crosses(footprint: Footprint, path: Ring, test: Callable[[Point, Point, Point, Point], bool]) -> bool:
    for a, b in pairwise(path):
        if apart(footprint.box, _box([a, b])):
            continue
        if any(test(a, b, c, d) for c, d in pairwise(footprint.ring)):
            return True
    return False


def crosses_itself(ring: Ring) -> bool:
    """Return whether two edges cross; each pair is compared, which for 1,500 vertices takes a second."""
    edges = list(pairwise(ring))
    return any(_cross(a, b, c, d) for number, (a, b) in enumerate(edges) for c, d in edges[number + 2 :])


def _turn(a: Point, b: Point, c: Point) -> float:
    """Return more than 0 where the way from a over b to c turns left, and less where it turns right."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _cross(a: Point, b: Point, c: Point, d: Point) -> bool:
    return _turn(a, b, c) * _turn(a, b, d) < 0 and _turn(c, d, a) * _turn(c, d, b) < 0


def _touch(a: Point, b: Point, c: Point, d: Point) -> bool:
    return _cross(a, b, c, d) or _on(a, c, d) or _on(b, c, d) or _on(c, a, b) or _on(d, a, b)


def _on(point: Point, a: Point, b: Point) -> bool:
    return (
        _turn(a, b, point) == 0
        and min(a[0], b[0]) <= point[0] <= max(a[0], b[0])
        and min(a[1], b[1]) <= point[1] <= max(a[1], b[1])
    )


def _in_polygon(point: Point, rings: Sequence[Ring]) -> bool:
    """Return whether a point is inside, or on the border: an odd number of edges is to its right."""
    x, y = point
    inside = False
    for ring in rings:
        for a, b in pairwise(ring):
            if _on(point, a, b):
                return True
            if (a[1] > y) != (b[1] > y) and x < a[0] + (y - a[1]) * (b[0] - a[0]) / (b[1] - a[1]):
                inside = not inside
    return inside
