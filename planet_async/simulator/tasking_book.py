"""The tasking orders that the simulator holds, and how they move with the days."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal
from uuid import NAMESPACE_URL, uuid5

from attrs import define, field, frozen, validators

from planet_async.simulator.world import after, render

FinalStatus = Literal["FULFILLED", "EXPIRED", "REJECTED", "FAILED"]

_DAY = 86_400.0
_FINAL = ("FULFILLED", "EXPIRED", "REJECTED", "FAILED")
_CANCELLABLE = frozenset({"REQUESTED", "RECEIVED", "PENDING", "IN_PROGRESS"})  # [H], the first [M]
_CANCELLING_DAYS = 0.5  # how long an assured order is PENDING_CANCELLATION [L]


@frozen(kw_only=True)
class TaskingPlan:
    """What becomes of a tasking order: days until each step, the status it ends in, its captures.

    It is RECEIVED (an assured one REQUESTED) for `received_days`, then PENDING, then IN_PROGRESS, during
    which `captures` images are taken, evenly spread; a REJECTED one is so after `received_days`.
    ``math.inf`` days are for ever.  `replaced_orders` is how many others have to make way for it, which is
    then its price.

        Simulator(tasking_plan=TaskingPlan(pending_days=0.5, captures=3))
    """

    received_days: float = field(default=0.1, validator=validators.ge(0.0))
    pending_days: float = field(default=1.0, validator=validators.ge(0.0))
    in_progress_days: float = field(default=5.0, validator=validators.ge(0.0))
    status: FinalStatus = field(default="FULFILLED", validator=validators.in_(_FINAL))
    captures: int = field(default=1, validator=validators.ge(0))
    replaced_orders: int = field(default=0, validator=validators.ge(0))


Plan = TaskingPlan | Callable[[Mapping[str, Any], int], TaskingPlan]
"""One plan for all orders, or a function of the order's JSON and its number, which counts from 0."""


@define
class TaskingOrder:
    """One order: what was asked for, and when it becomes what; nothing runs in between."""

    number: int
    id: str
    created: int
    request: dict[str, Any] = field(repr=False)
    plan: TaskingPlan = field(repr=False)
    edited: int = 0
    steps: list[tuple[int, str]] = field(factory=list, repr=False)

    def __attrs_post_init__(self) -> None:
        assured = self.request.get("scheduling_type") == "ASSURED"
        moment = self.created
        plan = self.plan
        days = (plan.received_days, plan.pending_days, plan.in_progress_days)
        words: tuple[str, ...] = (
            "REQUESTED" if assured else "RECEIVED",
            "PENDING",
            "IN_PROGRESS",
            plan.status,
        )
        if plan.status == "REJECTED":
            words = (words[0], "REJECTED")
        self.steps = [(moment, words[0])]
        for word, wait in zip(words[1:], days, strict=False):
            if math.isinf(wait):
                break
            moment = after(moment, wait * _DAY)
            self.steps.append((moment, word))

    @property
    def name(self) -> str:
        """The name it was given."""
        return str(self.request["name"])

    def status(self, now: int) -> str:
        """Give the status at that moment."""
        return self.step(now)[1]

    def step(self, now: int) -> tuple[int, str]:
        """Give the last change of the status up to that moment."""
        return [step for step in self.steps if step[0] <= now][-1]

    def updated(self, now: int) -> int:
        """Give when it was last changed."""
        return max(self.step(now)[0], self.edited)

    def since(self, status: str) -> int | None:
        """Give when it gets that status, if it ever does."""
        return next((moment for moment, word in self.steps if word == status), None)

    def is_cancellable(self, now: int) -> bool:
        """Tell whether it can be cancelled; an order from the archive never can [M]."""
        return self.status(now) in _CANCELLABLE and self.request.get("scheduling_type") != "ARCHIVE"

    def cancel(self, now: int) -> None:
        """Cut the future off; an assured order takes a while to be cancelled [M]."""
        assured = self.request.get("scheduling_type") == "ASSURED"
        self.steps = [step for step in self.steps if step[0] <= now]
        if assured:
            self.steps.append((now, "PENDING_CANCELLATION"))
        self.steps.append((after(now, _CANCELLING_DAYS * _DAY) if assured else now, "CANCELLED"))


class TaskingStore:
    """All tasking orders, by number and by id."""

    def __init__(self, plan: Plan, new_id: Callable[[], str]) -> None:
        self.by_id: dict[str, TaskingOrder] = {}
        self._created: list[TaskingOrder] = []
        self._plan = plan
        self._new_id = new_id

    def add(self, request: dict[str, Any], now: int) -> TaskingOrder:
        """Take in a new order."""
        number = len(self._created)
        plan = self._plan if isinstance(self._plan, TaskingPlan) else self._plan(request, number)
        order = TaskingOrder(number, self._new_id(), now, request, plan)
        self.by_id[order.id] = order
        self._created.append(order)
        return order

    @property
    def orders(self) -> Sequence[TaskingOrder]:
        """The orders, oldest first."""
        return self._created


_KM_PER_DEGREE = 111.32
_HALF_WIDTH_KM = 2.5
_DEFAULT_DAYS = 30.0
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
