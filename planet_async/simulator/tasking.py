"""The simulated Tasking API: https://docs.planet.com/develop/apis/tasking/reference/."""

import operator
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any, Literal, TypeVar
from urllib.parse import parse_qsl, urlencode
from uuid import NAMESPACE_URL, uuid5

import msgspec
from attrs import define, field, frozen, validators

from planet_async.simulator.http import Refused, Route, ServerRequest, ServerResponse, json_answer
from planet_async.simulator.tasking_book import (
    Json,
    Plan,
    TaskingOrder,
    TaskingStore,
    bounds,
    captures_json,
    imaged,
    order_json,
    square_kilometres,
)
from planet_async.simulator.tasking_rules import (
    body_of,
    detail,
    geometry_problem,
    is_uuid,
    not_found,
    object_of,
    order_problems,
    priced_problems,
    time_problems,
)
from planet_async.simulator.world import Context, after, parse, render

BULK = "/tasking/v2/bulk"
MAX_ORDERS = 1000

_PENDING_SECONDS = 1.0
_SECONDS_EACH = 0.1


@frozen
class _Job:
    id: str
    created: int
    succeeded: int
    failed: int


class BulkJobs:
    """All bulk jobs.  Their orders are there at once; how far a job is, follows from the time [L]."""

    def __init__(self, world: Context, book: TaskingStore, windows: Callable[[], Collection[str]]) -> None:
        self._world = world
        self._book = book
        self._windows = windows
        self._by_id: dict[str, _Job] = {}

    def create(self, call: ServerRequest) -> ServerResponse:
        """Accept the orders: an empty answer, and where the job is."""
        body = object_of(call)
        orders = body.get("order_payloads")
        if not isinstance(orders, list) or not 1 <= len(orders) <= MAX_ORDERS:
            return json_answer({"order_payloads": [f"From 1 to {MAX_ORDERS} orders are expected."]}, 400)
        bulk_id = body.get("id", None) or self._world.new_id()
        if not is_uuid(bulk_id):
            return json_answer({"id": ["Must be a valid UUID."]}, 400)
        if bulk_id in self._by_id:
            return detail(409, "There is such a bulk job already.")  # what happens really is not known [L]
        windows, now = self._windows(), self._world.now()
        accepted = [order for order in orders if not order_problems(order, windows)]
        for order in accepted:
            self._book.add({name: value for name, value in order.items() if value is not None}, now)
        self._by_id[bulk_id] = _Job(bulk_id, now, len(accepted), len(orders) - len(accepted))
        return ServerResponse(202, {"location": f"{BULK}/{bulk_id}"})

    def get(self, call: ServerRequest, bulk_id: str) -> ServerResponse:
        """Show how far a job is."""
        job = self._by_id.get(bulk_id)
        if job is None:
            return not_found()
        now = self._world.now()
        count = job.succeeded + job.failed
        start = after(job.created, _PENDING_SECONDS)
        end = after(start, count * _SECONDS_EACH)
        done = now >= end
        return json_answer(
            {
                "id": job.id,
                "status": "COMPLETE" if done else "RUNNING" if now >= start else "PENDING",
                "payload_count": count,
                "processing_payload_count": 0 if done else count,
                "success_payload_count": job.succeeded if done else 0,
                "failed_payload_count": job.failed if done else 0,
                "start_time": render(start) if now >= start else None,
                "end_time": render(end) if done else None,
            }
        )


T = TypeVar("T")
Test = Callable[[Json], bool]

# Fields that an order shows only where it was asked for them.
_OPTIONAL = frozenset({"pl_number", "product", "cloud_threshold", "satellite_types", "early_start"})

MAX_LIMIT = 500  # no maximum is documented: ours [L]

_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
_CREATED = "created_time"


def page(
    call: ServerRequest, url: str, things: Sequence[T], render: Callable[[T], Json], limit: int
) -> ServerResponse:
    """Answer with the part of the list that is asked for; `things` come oldest first."""
    tests = list(_tests(call.params))
    ordering = (call.param("ordering") or f"-{_CREATED}").split(",")  # the default is not documented [L]
    limit = min(_whole(call.param("limit")) or limit, MAX_LIMIT)
    offset = _whole(call.param("offset"))
    if not tests and ordering in ([_CREATED], [f"-{_CREATED}"]):
        shown = things if ordering == [_CREATED] else things[::-1]
        count, results = len(shown), [render(thing) for thing in shown[offset : offset + limit]]
    else:
        found = [json for json in map(render, things) if all(test(json) for test in tests)]
        for field in reversed(ordering):
            name, down = field.lstrip("-"), field.startswith("-")
            found.sort(key=lambda json: _sortable(json, name), reverse=down)
        count, results = len(found), found[offset : offset + limit]

    def link(start: int) -> str:
        pairs = [
            pair
            for pair in parse_qsl(call.query, keep_blank_values=True)
            if pair[0] not in {"limit", "offset"}
        ]
        return f"{url}?{urlencode([('limit', limit), ('offset', start), *pairs])}"

    return json_answer(
        {
            "count": count,
            "next": link(offset + limit) if offset + limit < count else None,
            "previous": link(max(0, offset - limit)) if offset > 0 else None,
            "results": results,
        }
    )


def _whole(text: str) -> int:
    """Read a number; what is none counts as not given, as Django has it [L]."""
    return int(text) if text.isascii() and text.isdigit() else 0


def _sortable(json: Json, field: str) -> tuple[bool, Any]:
    value = json.get(field)
    if value is None or isinstance(value, dict | list):
        return True, 0
    return False, parse(value) if field.endswith("_time") else value


def _tests(params: Mapping[str, Sequence[str]]) -> Iterator[Test]:
    for name, values in params.items():
        field, _, comparison = name.partition("__")
        if name not in {"limit", "offset", "ordering"}:
            try:
                test = _test(field, comparison, values[-1])
            except ValueError as error:
                raise Refused(json_answer({name: [str(error)]}, 400)) from None
            yield partial(_passes, field, test)


def _passes(field: str, test: Callable[[Any], bool], json: Json) -> bool:
    if json.get(field) is None:
        return field not in json and field not in _OPTIONAL
    return test(json[field])


def _test(field: str, comparison: str, text: str) -> Callable[[Any], bool]:
    """Give the test of a value that is not null; ValueError for a text that is no value."""
    timed = field.endswith("_time")
    if comparison == "icontains":
        return lambda value: text.lower() in str(value).lower()
    if comparison == "intersects":
        box = _box(text)
        return lambda value: _overlap(_box_of(value), box)
    if comparison in {"", "in"}:
        words = {parse(word) if timed else word for word in (text.split(",") if comparison else [text])}
        return lambda value: (parse(value) if timed else _word(value)) in words
    if comparison not in _COMPARE:
        return lambda _: True
    compare, bound = _COMPARE[comparison], parse(text) if timed else float(text)
    return lambda value: compare(parse(value) if timed else float(value), bound)


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


Box = tuple[float, float, float, float]


def _box(text: str) -> Box:
    try:
        return _box_of(msgspec.json.decode(text))
    except (msgspec.DecodeError, LookupError, TypeError):
        raise ValueError("a GeoJSON geometry was expected") from None


def _box_of(geometry: Mapping[str, Any]) -> Box:
    """Give the box around a geometry: as near as this comes to intersecting [L]."""
    return bounds(list(_points(geometry["coordinates"])))


def _points(coordinates: Sequence[Any]) -> Iterable[Sequence[float]]:
    if isinstance(coordinates[0], int | float):
        return [coordinates]
    return chain.from_iterable(map(_points, coordinates))


def _overlap(a: Box, b: Box) -> bool:
    return a[0] <= b[1] and b[0] <= a[1] and a[2] <= b[3] and b[2] <= a[3]


WINDOWS = "/tasking/v2/imaging-windows"

_HOUR = 3600.0
_STALE_HOURS = 6.0  # windows go out of date quickly; after how long is not known [L]
_LINE_ENDS = 2


@frozen(kw_only=True)
class SearchPlan:
    """What becomes of a search for imaging windows: after `seconds` it has found so many `windows`.

    `reply` is how the search is accepted: with a ``"body"`` that has its id, or with an empty one and a
    relative ``"location"``; both have been seen [M].  With an `error_code` it fails, and says so.

        Simulator(search_plan=SearchPlan(reply="location", error_code="NO_ACCESS", error_message="..."))
    """

    seconds: float = field(default=5.0, validator=validators.ge(0.0))
    windows: int = field(default=3, validator=validators.ge(0))
    reply: Literal["body", "location"] = field(default="body", validator=validators.in_(("body", "location")))
    error_code: str | None = None
    error_message: str | None = None


@define
class _Search:
    id: str
    created: int
    request: dict[str, Any]
    window_ids: list[str]


class Searches:
    """All searches, and the windows that they found."""

    def __init__(self, world: Context, plan: SearchPlan) -> None:
        self._world = world
        self._plan = plan
        self._by_id: dict[str, _Search] = {}
        self._by_window: dict[str, tuple[_Search, int]] = {}

    def create(self, call: ServerRequest) -> ServerResponse:
        """Accept a search."""
        body = object_of(call)
        problems = time_problems(body)
        if problem := geometry_problem(body.get("geometry"), ("Point", "LineString")):
            problems["geometry"] = [problem]
        elif body["geometry"]["type"] == "LineString" and len(body["geometry"]["coordinates"]) != _LINE_ENDS:
            problems["geometry"] = ["A line has two points."]
        for name in ("pl_number", "product"):
            if not isinstance(body.get(name), str):
                problems[name] = ["This field is required."]
        if problems:
            return json_answer(problems, 400)
        ids = [self._world.new_id() for _ in range(1 + self._plan.windows)]
        search = _Search(ids[0], self._world.now(), body, ids[1:])
        self._by_id[search.id] = search
        self._by_window.update((id_, (search, number)) for number, id_ in enumerate(search.window_ids))
        if self._plan.reply == "location":
            return ServerResponse(202, {"location": f"{WINDOWS}/search/{search.id}"})
        return json_answer({"id": search.id, "status": "CREATED"}, 201)

    def get(self, call: ServerRequest, search_id: str) -> ServerResponse:
        """Show how far a search is, and what it found."""
        search = self._by_id.get(search_id)
        if search is None:
            return not_found()
        found: Json = {"id": search.id, "status": "IN_PROGRESS", "error_code": None, "error_message": None}
        found["imaging_windows"] = []
        plan, now = self._plan, self._world.now()
        if now == search.created and plan.seconds:
            found["status"] = "CREATED"
        elif now >= after(search.created, plan.seconds) and plan.error_code is not None:
            found |= {"status": "FAILED", "error_code": plan.error_code, "error_message": plan.error_message}
        elif now >= after(search.created, plan.seconds):
            windows = [self._window(search, number) for number in range(plan.windows)]
            found |= {"status": "DONE", "imaging_windows": windows}
        return json_answer(found)

    def get_window(self, call: ServerRequest, window_id: str) -> ServerResponse:
        """Show one window."""
        found = self._by_window.get(window_id)
        return not_found() if found is None else json_answer(self._window(*found))

    def usable(self) -> Collection[str]:
        """Give the ids of the windows that an order can have."""
        now = self._world.now()
        return [
            id_
            for id_, (search, _) in self._by_window.items()
            if now < after(search.created, _STALE_HOURS * _HOUR)
        ]

    def _window(self, search: _Search, number: int) -> Json:
        start = after(search.created, (number + 12) * _HOUR)
        return {
            "id": search.window_ids[number],
            "start_time": render(start),
            "end_time": render(after(start, 240)),
            "satellite_type": search.request.get("satellite_types", ["SKYSAT"])[0],
            "assured_tasking_tier": "STANDARD",
            "sensitivity_mode": search.request.get("sensitivity_mode", "NOT_APPLICABLE"),
            "low_light": False,
            "off_nadir_angle_min": 5.0 + number,
            "off_nadir_angle_max": 10.0 + number,
            "sat_elevation_angle_min": 75.0,
            "sat_elevation_angle_max": 80.0,
            "ground_sample_distance": 0.6,
            "cloud_forecast": [{"start_time": render(start), "prediction": 0.2, "error_message": None}],
            "conflicting_orders": [],
            "created_time": render(search.created),
            "geometry": imaged(search.request["geometry"]),
        }


TASKING = "/tasking/v2"
ORDERS = f"{TASKING}/orders"
CAPTURES = f"{TASKING}/captures"

# Which field can be edited when [H], the name [M].
_EDITABLE = {
    "name": {"REQUESTED", "RECEIVED", "PENDING", "IN_PROGRESS"},
    "start_time": {"REQUESTED", "PENDING"},
    "end_time": {"REQUESTED", "PENDING", "IN_PROGRESS"},
}


class TaskingApi:
    """Answers the calls of the Tasking API; nothing runs in between."""

    def __init__(self, world: Context, *, plan: Plan, search_plan: SearchPlan, page_size: int) -> None:
        self.book = TaskingStore(plan, world.new_id)
        self._world = world
        self._page_size = page_size
        self._searches = Searches(world, search_plan)
        self._bulk = BulkJobs(world, self.book, self._searches.usable)

    def routes(self) -> Iterable[Route]:
        """Give the operations."""
        return (
            Route("GET", f"{ORDERS}/", "tasking.list", self.list_orders),
            Route("POST", f"{ORDERS}/", "tasking.create", self.create),
            Route("GET", f"{ORDERS}/{{id}}", "tasking.get", self.get),
            Route("PUT", f"{ORDERS}/{{id}}", "tasking.update", self.update),
            Route("DELETE", f"{ORDERS}/{{id}}", "tasking.cancel", self.cancel),
            Route("GET", f"{ORDERS}/{{id}}/pricing", "tasking.pricing", self.pricing),
            Route("POST", f"{TASKING}/pricing/", "tasking.preview_pricing", self.preview_pricing),
            Route("POST", f"{WINDOWS}/search/", "tasking.search", self._searches.create),
            Route("GET", f"{WINDOWS}/search/{{id}}", "tasking.get_search", self._searches.get),
            Route("GET", f"{WINDOWS}/{{id}}", "tasking.get_window", self._searches.get_window),
            Route("GET", f"{CAPTURES}/", "tasking.captures", self.list_captures),
            Route("GET", f"{CAPTURES}/{{id}}", "tasking.get_capture", self.get_capture),
            Route("POST", f"{TASKING}/bulk/", "tasking.create_bulk", self._bulk.create),
            Route("GET", f"{TASKING}/bulk/{{id}}", "tasking.get_bulk", self._bulk.get),
        )

    def list_orders(self, call: ServerRequest) -> ServerResponse:
        """List orders."""
        now = self._world.now()
        url = f"{self._world.base_url}{ORDERS}/"
        # To describe an order takes longer than to compare a name.
        name = call.param("name")
        orders = [order for order in self.book.orders if order.name == name] if name else self.book.orders
        return page(call, url, orders, lambda order: order_json(order, now), self._page_size)

    def create(self, call: ServerRequest) -> ServerResponse:
        """Accept an order, or say what is wrong with it."""
        body = object_of(call)
        if problems := order_problems(body, self._searches.usable()):
            return json_answer(problems, 400)
        now = self._world.now()
        return json_answer(order_json(self.book.add(body, now), now), 201)

    def get(self, call: ServerRequest, order_id: str) -> ServerResponse:
        """Describe one order."""
        order = self.book.by_id.get(order_id)
        return not_found() if order is None else json_answer(order_json(order, self._world.now()))

    def update(self, call: ServerRequest, order_id: str) -> ServerResponse:
        """Change some fields; the answer has those that can be edited, and no others [H]."""
        order = self.book.by_id.get(order_id)
        if order is None:
            return not_found()
        body, now = object_of(call), self._world.now()
        status = order.status(now)
        problems = {
            name: [f"Not editable while the order is {status}."]
            for name in body
            if status not in _EDITABLE.get(name, ())
        }
        known = {name: value for name, value in order_json(order, now).items() if name in _EDITABLE}
        if problems := problems or time_problems(known | body):
            return json_answer(problems, 400)
        order.request |= body
        order.edited = now
        return json_answer({"start_time": known["start_time"], "end_time": known["end_time"]} | body)

    def cancel(self, call: ServerRequest, order_id: str) -> ServerResponse:
        """Cancel an order, where it can be."""
        order = self.book.by_id.get(order_id)
        if order is None:
            return not_found()
        now = self._world.now()
        if not order.is_cancellable(now):
            return detail(409, f"The order cannot be cancelled: it is {order.status(now)}")  # status: [L]
        order.cancel(now)
        return ServerResponse(204)

    def pricing(self, call: ServerRequest, order_id: str) -> ServerResponse:
        """Price an order that was placed."""
        order = self.book.by_id.get(order_id)
        if order is None:
            return not_found()
        return json_answer({"order_id": order.id, **_with_replaced(order, _price(order.request))})

    def preview_pricing(self, call: ServerRequest) -> ServerResponse:
        """Price what is not ordered yet: one, or a list of them, each by itself."""
        body = body_of(call)
        windows = self._searches.usable()
        if isinstance(body, list):
            prices: list[dict[str, Any]] = [
                {"message": {"error": "Failed to calculate order pricing."}}
                if not isinstance(order, dict) or priced_problems(order, windows)
                else _price(order)
                for order in body
            ]
            total = sum(price.get("estimated_quota_cost", 0.0) for price in prices)
            return json_answer({"total_estimated_quota_cost": total, "pricing_details": prices})
        order = object_of(call)
        if problems := priced_problems(order, windows):
            return json_answer(problems, 400)
        return json_answer(_price(order))

    def list_captures(self, call: ServerRequest) -> ServerResponse:
        """List the captures of all orders, the oldest order first."""
        url = f"{self._world.base_url}{CAPTURES}/"
        return page(call, url, self._captures(), lambda capture: capture, self._page_size)

    def get_capture(self, call: ServerRequest, capture_id: str) -> ServerResponse:
        """Describe one capture."""
        for capture in self._captures():
            if capture["id"] == capture_id:
                return json_answer(capture)
        return not_found()

    def _captures(self) -> list[Json]:
        now = self._world.now()
        return [capture for order in self.book.orders for capture in captures_json(order, now)]


def _price(order: dict[str, Any]) -> dict[str, Any]:
    area = square_kilometres(order["geometry"])
    factor = 2.0 if order.get("scheduling_type") == "ASSURED" else 1.0
    kind = {"name": "imaging_mode", "value": 1.0, "description": "single-image"}
    tier = {"name": "tasking_tier", "value": factor, "description": "assured"}
    return {
        "units": "SQKM",
        "estimated_quota_cost": area * factor,
        "determined_by": "pricing_model",
        "pricing_model": {"base_price": area, "multipliers": [kind] if factor == 1 else [kind, tier]},
    }


def _with_replaced(order: TaskingOrder, price: dict[str, Any]) -> dict[str, Any]:
    """Make it the price of the orders that had to make way, if any had to [H]."""
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
