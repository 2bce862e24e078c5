"""Tasking orders and captures as the API shows them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from planet_async.simulator.tasking_book import TaskingOrder
from planet_async.simulator.times import after, render

_KM_PER_DEGREE = 111.32
_HALF_WIDTH_KM = 2.5
_DEFAULT_DAYS = 30.0
_DAY = 86_400.0
_QUEUED_SECONDS = 600.0
_PROCESSED_SECONDS = 3600.0

# What an order shows where it was not asked for [H, recorded].
_DEFAULTS: Mapping[str, Any] = {
    "order_type": "IMAGE",
    "sat_elevation_angle_min": 60.0,
    "sat_elevation_angle_max": 90.0,
    "n_stereo_pov": None,
    "scheduling_type": "FLEXIBLE",
    "rrule": None,
    "exclusivity_days": 0,
    "imaging_window": None,
}
_TIMES = ("start_time", "end_time")

Json = dict[str, Any]


def order_json(order: TaskingOrder, now: int) -> Json:
    """Give an order with the fields of the documented one."""
    captures = list(captures_json(order, now))
    taken = [capture["acquired_time"] for capture in captures if capture["acquired_time"] is not None]
    coming = [c["planned_acquisition_time"] for c in captures if c["status"] == "SCHEDULED"]
    published = sum(capture["status"] == "PUBLISHED" for capture in captures)
    area = square_kilometres(order.request["geometry"])
    status = order.status(now)
    return {
        **_DEFAULTS,
        "start_time": render(order.created),
        "end_time": render(after(order.created, _DEFAULT_DAYS * _DAY)),
        **order.request,
        "id": order.id,
        "geometry": imaged(order.request["geometry"]),
        "original_geometry": order.request["geometry"],
        "is_cancellable": order.is_cancellable(now),
        "cancellable_until": None,
        "requested_sqkm": area,
        "created_time": render(order.created),
        "updated_time": render(order.updated(now)),
        "created_by": "simulated@planet.example",
        "status": status,
        "fulfilled_sqkm": area if status == "FULFILLED" else 0.0,
        "capture_status_published_count": published,
        "capture_assessment_success_count": published,
        "capture_assessment_invalid_count": 0,
        "next_planned_acquisition_time": coming[0] if coming else None,
        "last_acquired_time": taken[-1] if taken else None,
    }


def captures_json(order: TaskingOrder, now: int) -> Iterator[Json]:
    """Yield the captures that are planned once the order is IN_PROGRESS, and taken one by one."""
    start = order.since("IN_PROGRESS")
    plan = order.plan
    if start is None or now < start:
        return
    days = plan.in_progress_days if math.isfinite(plan.in_progress_days) else plan.captures + 1
    for number in range(plan.captures):
        planned = after(start, days * _DAY * (number + 1) / (plan.captures + 1))
        stopped = order.since("CANCELLED")
        removed = stopped is not None and stopped < planned and stopped <= now
        status, changed = _capture_status(planned, now)
        if removed:
            status, changed = "REMOVED", stopped or start
        acquired = planned <= now and not removed
        published = after(planned, _PROCESSED_SECONDS)
        yield {
            "id": _capture_id(order.id, number),
            "order_id": order.id,
            "order_name": order.name,
            "status": status,
            "status_description": "",
            "fulfilling": status == "PUBLISHED",
            "cloud_cover": 0.1 if acquired else None,
            "satellite_type": "SKYSAT",
            "strip_id": f"s{order.number}_{number}" if acquired else None,
            "item_ids": [f"{order.number}_{number}"] if status == "PUBLISHED" else [],
            "item_types": ["SkySatCollect"] if status == "PUBLISHED" else [],
            "captured_area": imaged(order.request["geometry"]) if acquired else None,
            "created_time": render(after(start, 0)),
            "updated_time": render(max(start, changed)),
            "planned_acquisition_time": render(planned),
            "acquired_time": render(planned) if acquired else None,
            "published_time": render(published) if status == "PUBLISHED" else None,
        }


@lru_cache(maxsize=10_000)  # to make one takes as long as all else of a capture
def _capture_id(order_id: str, number: int) -> str:
    return str(uuid5(NAMESPACE_URL, f"capture:{order_id}:{number}"))


def _capture_status(planned: int, now: int) -> tuple[str, int]:
    steps = (
        (0, "SCHEDULED"),
        (planned, "QUEUED"),
        (after(planned, _QUEUED_SECONDS), "PROCESSING"),
        (after(planned, _PROCESSED_SECONDS), "PUBLISHED"),
    )
    moment, status = [step for step in steps if step[0] <= now][-1]
    return status, moment


def imaged(geometry: Mapping[str, Any]) -> Json:
    """Give the area that is imaged: a square around a point, a box around a line [H, as to size]."""
    if geometry["type"] == "Polygon":
        return dict(geometry)
    points = [geometry["coordinates"]] if geometry["type"] == "Point" else geometry["coordinates"]
    west, east, south, north = bounds(points)
    high = _HALF_WIDTH_KM / _KM_PER_DEGREE
    wide = high / max(0.01, math.cos(math.radians((south + north) / 2)))
    west, east, south, north = west - wide, east + wide, south - high, north + high
    corners = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [corners]}


def bounds(points: Sequence[Sequence[float]]) -> tuple[float, float, float, float]:
    """Give the west, east, south and north of some points."""
    xs, ys = [point[0] for point in points], [point[1] for point in points]
    return min(xs), max(xs), min(ys), max(ys)


def square_kilometres(geometry: Mapping[str, Any]) -> float:
    """Give the area of what is imaged: 25 for a point [H]; a flat estimate for the others."""
    if geometry["type"] == "Point":
        return 25.0
    if geometry["type"] == "LineString":
        return round(sum(map(_length, geometry["coordinates"], geometry["coordinates"][1:])) * 5.0, 3)
    ring = geometry["coordinates"][0]
    doubled = sum(a[0] * b[1] - b[0] * a[1] for a, b in pairwise(ring))
    scale = _KM_PER_DEGREE**2 * math.cos(math.radians(ring[0][1]))
    return float(round(abs(doubled) / 2 * scale, 3))


def _length(a: Sequence[float], b: Sequence[float]) -> float:
    across = (b[0] - a[0]) * math.cos(math.radians((a[1] + b[1]) / 2))
    return math.hypot(across, b[1] - a[1]) * _KM_PER_DEGREE
