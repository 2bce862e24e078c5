"""The tasking orders that the simulator holds, how they move with the days, and their captures."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise, starmap
from typing import Any, Literal
from uuid import NAMESPACE_URL, uuid5

from attrs import define, field, frozen, validators

from planet_async.simulator.context import Context, after, render

Json = dict[str, Any]
FinalStatus = Literal["FULFILLED", "EXPIRED", "REJECTED", "FAILED"]

_DAY = 86_400.0
_FINAL = ("FULFILLED", "EXPIRED", "REJECTED", "FAILED")
_CANCELLABLE = frozenset({"REQUESTED", "RECEIVED", "PENDING", "IN_PROGRESS"})  # [H], the first [M]
_CANCELLING_DAYS = 0.5  # how long an assured order is PENDING_CANCELLATION [L]
_ORDER_DAYS = 30.0
_QUEUED_SECONDS = 600.0
_PROCESSED_SECONDS = 3600.0
STRIP_WIDTH_KM = 5.0
_KM_PER_DEGREE = 111.32
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
"""The defaults of an order [H, recorded]."""


@frozen(kw_only=True)
class TaskingPlan:
    """The course of a tasking order.

    It is RECEIVED (an assured one REQUESTED), then PENDING, then IN_PROGRESS, then has its final status; a
    REJECTED one has that after the first.  ``math.inf`` days are for ever.

        Simulator(tasking_plan=TaskingPlan(pending_days=0.5, captures=3))

    Args:
        received_days: How long it is RECEIVED.
        pending_days: How long it is PENDING.
        in_progress_days: How long it is IN_PROGRESS.
        status: The status in which it ends.
        captures: How many images are taken while it is IN_PROGRESS, at equal intervals.
        replaced_orders: How many other orders it replaces, which then are its price.
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
    """One order: what was requested, and when it has which status; nothing runs in between."""

    number: int
    id: str
    created: int
    request: Json = field(repr=False)
    plan: TaskingPlan = field(repr=False)
    edited: int = 0
    steps: list[tuple[int, str]] = field(factory=list, repr=False)

    def __attrs_post_init__(self) -> None:
        plan = self.plan
        days = (plan.received_days, plan.pending_days, plan.in_progress_days)
        statuses: list[str] = ["PENDING", "IN_PROGRESS", plan.status]
        if plan.status == "REJECTED":
            statuses = ["REJECTED"]
        moment = self.created
        self.steps = [(moment, "REQUESTED" if self.is_assured else "RECEIVED")]
        for status, wait in zip(statuses, days, strict=False):
            if math.isinf(wait):
                break
            moment = after(moment, wait * _DAY)
            self.steps.append((moment, status))

    @property
    def name(self) -> str:
        return str(self.request["name"])

    @property
    def is_assured(self) -> bool:
        return self.request.get("scheduling_type") == "ASSURED"

    @property
    def area(self) -> float:
        return square_kilometres(self.request["geometry"])

    def status(self, now: int) -> str:
        return self._step(now)[1]

    def _step(self, now: int) -> tuple[int, str]:
        return [step for step in self.steps if step[0] <= now][-1]

    def since(self, status: str) -> int | None:
        """Return when it gets that status, if it ever does."""
        return next((moment for moment, word in self.steps if word == status), None)

    def is_cancellable(self, now: int) -> bool:
        """Return whether it can be cancelled; an order from the archive never can [M]."""
        return self.status(now) in _CANCELLABLE and self.request.get("scheduling_type") != "ARCHIVE"

    def cancel(self, now: int) -> None:
        """Drop the future steps; it takes time until an assured order is cancelled [M]."""
        self.steps = [step for step in self.steps if step[0] <= now]
        if self.is_assured:
            self.steps.append((now, "PENDING_CANCELLATION"))
        self.steps.append((after(now, _CANCELLING_DAYS * _DAY) if self.is_assured else now, "CANCELLED"))

    def json(self, now: int) -> Json:
        """Return the order with the documented fields [H]."""
        captures = list(self.captures(now))
        taken = [capture["acquired_time"] for capture in captures if capture["acquired_time"] is not None]
        planned = [c["planned_acquisition_time"] for c in captures if c["status"] == "SCHEDULED"]
        published = sum(capture["status"] == "PUBLISHED" for capture in captures)
        status = self.status(now)
        return {
            **_DEFAULTS,
            "start_time": render(self.created),
            "end_time": render(after(self.created, _ORDER_DAYS * _DAY)),
            **self.request,
            "id": self.id,
            "geometry": imaged_area(self.request["geometry"]),
            "original_geometry": self.request["geometry"],
            "is_cancellable": self.is_cancellable(now),
            "cancellable_until": None,
            "requested_sqkm": self.area,
            "created_time": render(self.created),
            "updated_time": render(max(self._step(now)[0], self.edited)),
            "created_by": "simulated@planet.example",
            "status": status,
            "fulfilled_sqkm": self.area if status == "FULFILLED" else 0.0,
            "capture_status_published_count": published,
            "capture_assessment_success_count": published,
            "capture_assessment_invalid_count": 0,
            "next_planned_acquisition_time": planned[0] if planned else None,
            "last_acquired_time": taken[-1] if taken else None,
        }

    def captures(self, now: int) -> Iterator[Json]:
        """Yield the captures, which are planned once the order is IN_PROGRESS, and taken one by one."""
        start, plan = self.since("IN_PROGRESS"), self.plan
        if start is None or now < start:
            return
        days = plan.in_progress_days if math.isfinite(plan.in_progress_days) else plan.captures + 1
        for number in range(plan.captures):
            planned = after(start, days * _DAY * (number + 1) / (plan.captures + 1))
            status, changed = _capture_status(planned, now)
            stopped = self.since("CANCELLED")
            if removed := stopped is not None and stopped < planned and stopped <= now:
                status, changed = "REMOVED", stopped or start
            acquired = planned <= now and not removed
            published = status == "PUBLISHED"
            yield {
                "id": _capture_id(self.id, number),
                "order_id": self.id,
                "order_name": self.name,
                "status": status,
                "status_description": "",
                "fulfilling": published,
                "cloud_cover": 0.1 if acquired else None,
                "satellite_type": "SKYSAT",
                "strip_id": f"s{self.number}_{number}" if acquired else None,
                "item_ids": [f"{self.number}_{number}"] if published else [],
                "item_types": ["SkySatCollect"] if published else [],
                "captured_area": imaged_area(self.request["geometry"]) if acquired else None,
                "created_time": render(start),
                "updated_time": render(max(start, changed)),
                "planned_acquisition_time": render(planned),
                "acquired_time": render(planned) if acquired else None,
                "published_time": render(after(planned, _PROCESSED_SECONDS)) if published else None,
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


class TaskingStore:
    """All tasking orders, by id and by creation."""

    def __init__(self, plan: Plan, context: Context) -> None:
        self.by_id: dict[str, TaskingOrder] = {}
        self.orders: list[TaskingOrder] = []
        self._plan = plan
        self._context = context

    def add(self, request: Json) -> TaskingOrder:
        number = len(self.orders)
        plan = self._plan if isinstance(self._plan, TaskingPlan) else self._plan(request, number)
        request = {**request, "name": self._context.change_name(request["name"])}
        order = TaskingOrder(number, self._context.new_id(), self._context.now(), request, plan)
        self.by_id[order.id] = order
        self.orders.append(order)
        return order

    def listed(self) -> list[TaskingOrder]:
        """Return the orders that lists have, the oldest first."""
        return [order for order in self.orders if self._context.is_listed(order.created)]


def imaged_area(geometry: Mapping[str, Any]) -> Json:
    """Return the area that is imaged: a square around a point, a box around a line [H, as to size]."""
    if geometry["type"] == "Polygon":
        return dict(geometry)
    points = [geometry["coordinates"]] if geometry["type"] == "Point" else geometry["coordinates"]
    west, east, south, north = bounds(points)
    high = STRIP_WIDTH_KM / 2 / _KM_PER_DEGREE
    wide = high / max(0.01, math.cos(math.radians((south + north) / 2)))
    west, east, south, north = west - wide, east + wide, south - high, north + high
    corners = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [corners]}


def bounds(points: Sequence[Sequence[float]]) -> tuple[float, float, float, float]:
    """Return the west, east, south and north of some points."""
    xs, ys = [point[0] for point in points], [point[1] for point in points]
    return min(xs), max(xs), min(ys), max(ys)


def square_kilometres(geometry: Mapping[str, Any]) -> float:
    """Return the size of what is imaged: 25 for a point [H]; an estimate for the others."""
    if geometry["type"] == "Point":
        return 25.0
    if geometry["type"] == "LineString":
        kilometres = sum(starmap(_length, pairwise(geometry["coordinates"])))
        return round(kilometres * STRIP_WIDTH_KM, 3)
    ring = geometry["coordinates"][0]
    doubled = sum(a[0] * b[1] - b[0] * a[1] for a, b in pairwise(ring))
    scale = _KM_PER_DEGREE**2 * math.cos(math.radians(ring[0][1]))
    return float(round(abs(doubled) / 2 * scale, 3))


def _length(a: Sequence[float], b: Sequence[float]) -> float:
    across = (b[0] - a[0]) * math.cos(math.radians((a[1] + b[1]) / 2))
    return math.hypot(across, b[1] - a[1]) * _KM_PER_DEGREE
