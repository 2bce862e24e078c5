"""The simulated Tasking API: https://docs.planet.com/develop/apis/tasking/reference/.

How it words an error is not known: here ``{"field": ["..."]}`` and ``{"detail": "..."}`` [L].
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from itertools import chain
from typing import Any, Literal, TypeVar
from uuid import NAMESPACE_URL, uuid5

import msgspec
from attrs import define, field, frozen, validators

from planet_async.simulator.context import Context, after, parse, render
from planet_async.simulator.geometry import Box, apart, imaged_area, read, square_kilometres
from planet_async.simulator.http import (
    Json,
    Refused,
    Route,
    ServerRequest,
    ServerResponse,
    decode_json,
    json_response,
    without_nulls,
)
from planet_async.simulator.lists import COMPARISONS, offset_links, shuffled
from planet_async.simulator.resources import Resource, Step, Store, course, plan_of
from planet_async.simulator.rules import is_uuid, tasking_order_problems, time_problems
from planet_async.simulator.windows import WINDOWS, Searches, SearchPlan

T = TypeVar("T")

TASKING = "/tasking/v2"
ORDERS = f"{TASKING}/orders"
CAPTURES = f"{TASKING}/captures"
BULK = f"{TASKING}/bulk"
MAX_BULK = 1000
MAX_LIMIT = 500  # no maximum is documented: ours [L]

_OLDEST, _NEWEST = "created_time", "-created_time"
_BULK_PENDING_SECONDS = 1.0
_BULK_SECONDS_EACH = 0.1
# The statuses in which a field can be edited [H], the name [M].
_EDITABLE = {
    "name": {"REQUESTED", "RECEIVED", "PENDING", "IN_PROGRESS"},
    "start_time": {"REQUESTED", "PENDING"},
    "end_time": {"REQUESTED", "PENDING", "IN_PROGRESS"},
}

FinalStatus = Literal["FULFILLED", "EXPIRED", "REJECTED", "FAILED"]

_DAY = 86_400.0
_FINAL = ("FULFILLED", "EXPIRED", "REJECTED", "FAILED")
_CANCELLABLE = frozenset({"REQUESTED", "RECEIVED", "PENDING", "IN_PROGRESS"})  # [H], the first [M]
_CANCELLING_DAYS = 0.5  # how long an assured order is PENDING_CANCELLATION [L]
_ORDER_DAYS = 30.0
_QUEUED_SECONDS = 600.0
_PROCESSED_SECONDS = 3600.0
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

    def steps(self, start: int, first: str) -> list[Step]:
        """Return the statuses, which begin with that one."""
        pending, in_progress = self.pending_days * _DAY, self.in_progress_days * _DAY
        stages = () if self.status == "REJECTED" else (("PENDING", pending), ("IN_PROGRESS", in_progress))
        return course(start, (first, self.received_days * _DAY), *stages, (self.status, 0.0))


Plan = TaskingPlan | Callable[[Mapping[str, Any], int], TaskingPlan]
"""One plan for all orders, or a function of the order's JSON and its number, which counts from 0."""


@define(kw_only=True)
class TaskingOrder(Resource):
    """One order: what was requested, and its statuses."""

    plan: TaskingPlan = field(repr=False)
    _measured: tuple[Json, Json, float] | None = field(default=None, init=False, repr=False)

    def _area(self) -> tuple[Json, float]:
        """Return the area that is imaged, and its size; kept, since it took the longest of a list's time."""
        geometry = self.body["geometry"]
        if self._measured is None or self._measured[0] is not geometry:
            self._measured = geometry, imaged_area(geometry), square_kilometres(geometry)
        return self._measured[1:]

    def since(self, status: str) -> int | None:
        """Return when it gets that status, if it ever does."""
        return next((moment for moment, word in self.steps if word == status), None)

    def _is_cancellable(self, status: str) -> bool:
        """Return whether it can be cancelled; an order from the archive never can [M]."""
        return status in _CANCELLABLE and self.body.get("scheduling_type") != "ARCHIVE"

    def cancel(self) -> bool:
        """Drop what is planned; it takes time until an assured order is cancelled [M]."""
        now = self.now()
        if not self._is_cancellable(self.state):
            return False
        if self.body.get("scheduling_type") == "ASSURED":
            cancelled = after(now, _CANCELLING_DAYS * _DAY)
            self.replan((now, "PENDING_CANCELLATION"), (cancelled, "CANCELLED"))
        else:
            self.replan((now, "CANCELLED"))
        return True

    def json(self) -> Json:
        """Return the order with the documented fields [H]."""
        captures = list(self.captures())
        taken = [capture["acquired_time"] for capture in captures if capture["acquired_time"] is not None]
        planned = [c["planned_acquisition_time"] for c in captures if c["status"] == "SCHEDULED"]
        published = sum(capture["status"] == "PUBLISHED" for capture in captures)
        imaged, area = self._area()
        changed, status = self.step
        return {
            **_DEFAULTS,
            "start_time": render(self.created),
            "end_time": render(after(self.created, _ORDER_DAYS * _DAY)),
            **self.body,
            "id": self.id,
            "geometry": imaged,
            "original_geometry": self.body["geometry"],
            "is_cancellable": self._is_cancellable(status),
            "cancellable_until": None,
            "requested_sqkm": area,
            "created_time": render(self.created),
            "updated_time": render(max(changed, self.edited)),
            "created_by": "simulated@planet.example",
            "status": status,
            "fulfilled_sqkm": area if status == "FULFILLED" else 0.0,
            "capture_status_published_count": published,
            "capture_assessment_success_count": published,
            "capture_assessment_invalid_count": 0,
            "next_planned_acquisition_time": planned[0] if planned else None,
            "last_acquired_time": taken[-1] if taken else None,
        }

    def captures(self) -> Iterator[Json]:
        """Yield the captures, which are planned once the order is IN_PROGRESS, and taken one by one."""
        now, start, plan = self.now(), self.since("IN_PROGRESS"), self.plan
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
                "captured_area": self._area()[0] if acquired else None,
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


@frozen
class _Bulk:
    id: str
    created: int
    succeeded: int
    failed: int


class TaskingApi:
    """The operations of the Tasking API."""

    def __init__(self, context: Context, *, plan: Plan, search_plan: SearchPlan) -> None:
        self.store: Store[TaskingOrder] = Store(context)
        self._context = context
        self._plan = plan
        self._searches = Searches(context, search_plan)
        self._bulk: dict[str, _Bulk] = {}

    def routes(self) -> Iterable[Route]:
        return (
            Route("GET", f"{ORDERS}/", "tasking.list", self.list_orders),
            Route("POST", f"{ORDERS}/", "tasking.create", self.create),
            Route("GET", f"{ORDERS}/{{id}}", "tasking.get", self.get),
            Route("PUT", f"{ORDERS}/{{id}}", "tasking.update", self.update),
            Route("DELETE", f"{ORDERS}/{{id}}", "tasking.cancel", self.cancel),
            Route("GET", f"{ORDERS}/{{id}}/pricing", "tasking.pricing", self.pricing),
            Route("POST", f"{TASKING}/pricing/", "tasking.preview_pricing", self.preview_pricing),
            Route("POST", f"{WINDOWS}/search/", "tasking.search", self.search),
            Route("GET", f"{WINDOWS}/search/{{id}}", "tasking.get_search", self.get_search),
            Route("GET", f"{WINDOWS}/{{id}}", "tasking.get_window", self.get_window),
            Route("GET", f"{CAPTURES}/", "tasking.captures", self.list_captures),
            Route("GET", f"{CAPTURES}/{{id}}", "tasking.get_capture", self.get_capture),
            Route("POST", f"{BULK}/", "tasking.create_bulk", self.create_bulk),
            Route("GET", f"{BULK}/{{id}}", "tasking.get_bulk", self.get_bulk),
        )

    def list_orders(self, request: ServerRequest) -> ServerResponse:
        name = request.param("name")  # to render an order takes longer than to compare a name, or a time
        orders = [order for order in self.store.listed() if not name or order.name == name]
        for test in (test for parameter, test in _tests(request) if parameter == "created_time"):
            orders = [order for order in orders if test({"created_time": render(order.created)})]
        return self._page(request, ORDERS, orders, TaskingOrder.json)

    def create(self, request: ServerRequest) -> ServerResponse:
        body = _object(request)
        if problems := tasking_order_problems(body, self._searches.usable()):
            return json_response(problems, 400)
        return json_response(self._add(body).json(), 201)

    def get(self, request: ServerRequest, order_id: str) -> ServerResponse:
        return json_response(self._find(order_id).json())

    def update(self, request: ServerRequest, order_id: str) -> ServerResponse:
        """Change some fields; the response has those that can be edited, and no others [H]."""
        order, body, status = self._find(order_id), _object(request), self._find(order_id).state
        problems = {
            name: [f"Not editable while the order is {status}."]
            for name in body
            if status not in _EDITABLE.get(name, ())
        }
        shown = order.json()
        times = {name: shown[name] for name in ("start_time", "end_time")}
        if problems := problems or time_problems(times | body):
            return json_response(problems, 400)
        order.body |= body
        order.edited = self._context.now()
        return json_response(times | body)

    def cancel(self, request: ServerRequest, order_id: str) -> ServerResponse:
        order = self._find(order_id)
        if not order.cancel():
            return _detail(409, f"The order cannot be cancelled: it is {order.state}")  # status: [L]
        return ServerResponse(204)

    def pricing(self, request: ServerRequest, order_id: str) -> ServerResponse:
        """Return the price of an order that was placed."""
        order = self._find(order_id)
        return json_response({"order_id": order.id, **_with_replaced(order, _price(order.body))})

    def preview_pricing(self, request: ServerRequest) -> ServerResponse:
        """Return the price of what is not ordered yet: one, or a list of them, each by itself."""
        body = _json(request)
        windows = self._searches.usable()
        if isinstance(body, list):
            prices: list[Json] = [
                {"message": {"error": "Failed to calculate order pricing."}}
                if tasking_order_problems(order, windows, priced=True)
                else _price(order)
                for order in body
            ]
            total = sum(price.get("estimated_quota_cost", 0.0) for price in prices)
            return json_response({"total_estimated_quota_cost": total, "pricing_details": prices})
        order = _object(request)
        if problems := tasking_order_problems(order, windows, priced=True):
            return json_response(problems, 400)
        return json_response(_price(order))

    def search(self, request: ServerRequest) -> ServerResponse:
        return self._searches.create(_object(request))

    def get_search(self, request: ServerRequest, search_id: str) -> ServerResponse:
        return _found(self._searches.get(search_id))

    def get_window(self, request: ServerRequest, window_id: str) -> ServerResponse:
        return _found(self._searches.get_window(window_id))

    def list_captures(self, request: ServerRequest) -> ServerResponse:
        """List the captures of all orders, the oldest order first."""
        return self._page(request, CAPTURES, list(self._captures()), lambda capture: capture)

    def get_capture(self, request: ServerRequest, capture_id: str) -> ServerResponse:
        return _found(next((each for each in self._captures() if each["id"] == capture_id), None))

    def create_bulk(self, request: ServerRequest) -> ServerResponse:
        """Create many orders: an empty response, and the location of the bulk.

        Its orders are there at once; its progress follows from the time [L].
        """
        body = _object(request)
        orders = body.get("order_payloads")
        if not isinstance(orders, list) or not 1 <= len(orders) <= MAX_BULK:
            return json_response({"order_payloads": [f"From 1 to {MAX_BULK} orders are expected."]}, 400)
        bulk_id = body.get("id") or self._context.new_id()
        if not is_uuid(bulk_id):
            return json_response({"id": ["Must be a valid UUID."]}, 400)
        if bulk_id in self._bulk:
            return _detail(409, "There is such a bulk job already.")  # what really happens is not known [L]
        windows = self._searches.usable()
        accepted = [order for order in orders if not tasking_order_problems(order, windows)]
        for order in accepted:
            self._add(without_nulls(order))
        failed = len(orders) - len(accepted)
        self._bulk[bulk_id] = _Bulk(bulk_id, self._context.now(), len(accepted), failed)
        return ServerResponse(202, {"location": f"{BULK}/{bulk_id}"})

    def get_bulk(self, request: ServerRequest, bulk_id: str) -> ServerResponse:
        bulk = self._bulk.get(bulk_id)
        if bulk is None:
            return _found(None)
        now = self._context.now()
        count = bulk.succeeded + bulk.failed
        start = after(bulk.created, _BULK_PENDING_SECONDS)
        end = after(start, count * _BULK_SECONDS_EACH)
        done = now >= end
        return json_response(
            {
                "id": bulk.id,
                "status": "COMPLETE" if done else "RUNNING" if now >= start else "PENDING",
                "payload_count": count,
                "processing_payload_count": 0 if done else count,
                "success_payload_count": bulk.succeeded if done else 0,
                "failed_payload_count": bulk.failed if done else 0,
                "start_time": render(start) if now >= start else None,
                "end_time": render(end) if done else None,
            }
        )

    def _add(self, body: Json) -> TaskingOrder:
        number, now = len(self.store), self._context.now
        plan = plan_of(self._plan, body, number)
        first = "REQUESTED" if body.get("scheduling_type") == "ASSURED" else "RECEIVED"
        return self.store.add(
            TaskingOrder(
                number=number,
                id=self._context.new_id(),
                body={**body, "name": self._context.change_name(body["name"])},
                steps=plan.steps(now(), first),
                now=now,
                plan=plan,
            )
        )

    def _find(self, order_id: str) -> TaskingOrder:
        order = self.store.by_id.get(order_id)
        if order is None:
            raise Refused(_found(None))
        return order

    def _captures(self) -> Iterator[Json]:
        return chain.from_iterable(order.captures() for order in self.store)

    def _page(
        self, request: ServerRequest, path: str, things: Sequence[T], json: Callable[[T], Json]
    ) -> ServerResponse:
        """Return the requested part of a list, oldest first; filters are open, as Django's are."""
        tests, order = [test for _, test in _tests(request)], self._context.list_order
        ordering = _OLDEST if order != "requested" else request.param("ordering") or _NEWEST  # default: [L]
        limit = min(_whole(request.param("limit")) or self._context.page_size, MAX_LIMIT)
        offset = _whole(request.param("offset"))
        if tests or order == "shuffled" or ordering not in {_OLDEST, _NEWEST}:
            found = [each for each in map(json, things) if all(test(each) for test in tests)]
            for name in reversed(ordering.split(",")):
                found.sort(key=partial(_sortable, name.lstrip("-")), reverse=name.startswith("-"))
            if order == "shuffled":
                found.sort(key=lambda each: shuffled(each["id"]))
            count, results = len(found), found[offset : offset + limit]
        else:  # only the page is rendered: that takes longest
            things = things[::-1] if ordering == _NEWEST else things
            count, results = len(things), [json(each) for each in things[offset : offset + limit]]
        url = f"{self._context.base_url}{path}/"
        previous, following = offset_links(request, url, limit, offset, count)
        return json_response({"count": count, "next": following, "previous": previous, "results": results})


def _json(request: ServerRequest) -> Any:
    try:
        return decode_json(request)
    except ValueError:
        raise Refused(_detail(400, "JSON parse error")) from None


def _object(request: ServerRequest) -> Json:
    """Return the body, without what is null."""
    body = _json(request)
    if not isinstance(body, dict):
        raise Refused(json_response({"non_field_errors": ["Invalid data. Expected a dictionary."]}, 400))
    return without_nulls(body)


def _found(json: Json | None) -> ServerResponse:
    return _detail(404, "Not found.") if json is None else json_response(json)


def _detail(status: int, text: str) -> ServerResponse:
    return json_response({"detail": text}, status)


def _price(order: Json) -> Json:
    area = square_kilometres(order["geometry"])
    factor = 2.0 if order.get("scheduling_type") == "ASSURED" else 1.0
    mode = {"name": "imaging_mode", "value": 1.0, "description": "single-image"}
    tier = {"name": "tasking_tier", "value": factor, "description": "assured"}
    return {
        "units": "SQKM",
        "estimated_quota_cost": area * factor,
        "determined_by": "pricing_model",
        "pricing_model": {"base_price": area, "multipliers": [mode] if factor == 1 else [mode, tier]},
    }


def _with_replaced(order: TaskingOrder, price: Json) -> Json:
    """Return the price of the orders that this one replaces, if there are any [H]."""
    cost = price["pricing_model"]["base_price"]
    replaced = [
        {"order_id": str(uuid5(NAMESPACE_URL, f"{order.id}:{number}")), "name": f"old {number}", "cost": cost}
        for number in range(order.plan.replaced_orders)
    ]
    if not replaced:
        return price
    total = cost * len(replaced)
    return price | {
        "estimated_quota_cost": total,
        "determined_by": "replaced_orders",
        "replaced_orders": replaced,
    }


Test = Callable[[Any], bool]

# Fields that an order only has where they were requested.
_OPTIONAL = frozenset({"pl_number", "product", "cloud_threshold", "satellite_types", "early_start"})


def _whole(text: str) -> int:
    """Return a number; what is none counts as not given, as in Django [L]."""
    return int(text) if text.isascii() and text.isdigit() else 0


def _sortable(name: str, json: Json) -> tuple[bool, Any]:
    value = json.get(name)
    if value is None or isinstance(value, dict | list):
        return True, 0
    return False, parse(value) if name.endswith("_time") else value


def _tests(request: ServerRequest) -> Iterator[tuple[str, Test]]:
    """Yield the tests of a rendered resource, each with the field that it reads."""
    for parameter, values in request.params.items():
        name, _, comparison = parameter.partition("__")
        if parameter not in {"limit", "offset", "ordering"}:
            try:
                test = _test(name, comparison, values[-1])
            except ValueError as error:
                raise Refused(json_response({parameter: [str(error)]}, 400)) from None
            yield name, partial(_passes, name, test)


def _passes(name: str, test: Test, json: Json) -> bool:
    if json.get(name) is None:
        return name not in json and name not in _OPTIONAL
    return test(json[name])


def _test(name: str, comparison: str, text: str) -> Test:
    """Return the test of a value that is not null; ValueError for a text that is no value."""
    timed = name.endswith("_time")
    if comparison == "icontains":
        return lambda value: text.lower() in str(value).lower()
    if comparison == "intersects":
        box = _box(text)
        return lambda value: not apart(read(value).box, box)  # as near as this comes to intersecting [L]
    if comparison in {"", "in"}:
        words = {parse(word) if timed else word for word in (text.split(",") if comparison else [text])}
        return lambda value: (parse(value) if timed else _word(value)) in words
    if comparison not in COMPARISONS:
        return lambda _: True
    compare, bound = COMPARISONS[comparison], parse(text) if timed else float(text)
    return lambda value: compare(parse(value) if timed else float(value), bound)


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _box(text: str) -> Box:
    try:
        return read(msgspec.json.decode(text)).box
    except msgspec.DecodeError:
        raise ValueError("a GeoJSON geometry was expected") from None
