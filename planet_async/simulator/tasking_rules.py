"""What the simulated Tasking API refuses.

How the real one words it is not known: ``{"field": ["..."]}`` and ``{"detail": "..."}`` [L].
"""

import re
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from planet_async.simulator.http import Refused, ServerRequest, ServerResponse, json_answer
from planet_async.simulator.world import parse

MAX_VERTICES = 3000

_SHAPES = {"Point": 0, "LineString": 1, "Polygon": 2}  # how deep their coordinates are nested
_WORDS: Mapping[str, Collection[str]] = {
    "scheduling_type": ("FLEXIBLE", "LOCK_IN", "MONITORING", "EXPRESS", "ASSURED", "ARCHIVE"),
    "order_type": ("IMAGE", "VIDEO", "STEREO"),
}
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)


def detail(status: int, text: str) -> ServerResponse:
    """Answer with an error that is about no field."""
    return json_answer({"detail": text}, status)


def not_found() -> ServerResponse:
    """Answer that there is no such thing."""
    return detail(404, "Not found.")


def body_of(call: ServerRequest) -> Any:
    """Give the JSON of the body; Refused with 400 where it is none."""
    try:
        return msgspec.json.decode(call.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Refused(detail(400, "JSON parse error")) from None


def object_of(call: ServerRequest) -> dict[str, Any]:
    """Give the body as an object, without what is null; Refused with 400 where it is none."""
    body = body_of(call)
    if not isinstance(body, dict):
        raise Refused(json_answer({"non_field_errors": ["Invalid data. Expected a dictionary."]}, 400))
    return {name: value for name, value in body.items() if value is not None}


def is_uuid(value: object) -> bool:
    """Tell whether that is a UUID."""
    return isinstance(value, str) and _UUID.fullmatch(value) is not None


def order_problems(order: object, windows: Collection[str]) -> dict[str, list[str]]:
    """Give what is wrong with an order, by field; `windows` are the imaging windows that can be had."""
    if not isinstance(order, dict):
        return {"non_field_errors": ["Invalid data. Expected a dictionary."]}
    problems = priced_problems(order, windows)
    if not isinstance(order.get("name"), str) or not order["name"]:
        problems["name"] = ["This field is required."]
    return problems


def priced_problems(order: Mapping[str, Any], windows: Collection[str]) -> dict[str, list[str]]:
    """Give what is wrong with an order as far as its price goes."""
    found: dict[str, list[str]] = {}
    if problem := geometry_problem(order.get("geometry"), _SHAPES):
        found["geometry"] = [problem]
    for name, words in _WORDS.items():
        if order.get(name, words[0] if isinstance(words, tuple) else "") not in words:
            found[name] = [f'"{order[name]}" is not a valid choice.']
    if order.get("scheduling_type") == "ASSURED" and order.get("imaging_window") not in windows:
        found["imaging_window"] = ["The imaging window does not exist or is out of date."]
    for name in ("sat_elevation_angle_min", "sat_elevation_angle_max"):
        angle = order.get(name, 0)
        if not isinstance(angle, int | float) or not 0 <= angle <= 90:  # noqa: PLR2004 - a right angle
            found[name] = ["Ensure this value is from 0 to 90."]
    return {**found, **time_problems(order)}


def time_problems(body: Mapping[str, Any]) -> dict[str, list[str]]:
    """Give what is wrong with the times."""
    found: dict[str, list[str]] = {}
    times: dict[str, int] = {}
    for name in ("start_time", "end_time"):
        if name in body:
            try:
                times[name] = parse(str(body[name]))
            except ValueError:
                found[name] = ["Datetime has wrong format."]
    if len(times) > 1 and times["end_time"] <= times["start_time"]:
        found["end_time"] = ["end_time must be after start_time."]
    return found


def geometry_problem(geometry: object, shapes: Collection[str]) -> str | None:
    """Give what is wrong with a geometry, if anything is."""
    if geometry is None:
        return "This field is required."
    if not isinstance(geometry, dict) or geometry.get("type") not in shapes:
        return f"Expected one of {', '.join(shapes)}."
    points: Any = geometry.get("coordinates")
    for _ in range(_SHAPES[geometry["type"]] - 1):
        points = points[0] if isinstance(points, list) and points else None
    if geometry["type"] == "Point":
        points = [points]
    if not isinstance(points, list) or not points or not all(map(_is_position, points)):
        return "The coordinates are not valid."
    return f"More than {MAX_VERTICES} vertices." if len(points) > MAX_VERTICES else None


def _is_position(point: object) -> bool:
    if not isinstance(point, list) or len(point) < 2:  # noqa: PLR2004 - longitude and latitude
        return False
    x, y = point[:2]
    numbers = all(isinstance(value, int | float) for value in (x, y))
    return numbers and -180 <= x <= 180 and -90 <= y <= 90  # noqa: PLR2004 - degrees
