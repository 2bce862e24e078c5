"""The simulated Tasking API: https://docs.planet.com/develop/apis/tasking/reference/."""

from collections.abc import Iterable
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from planet_async.simulator.exchange import Answer, Call, Route, json_answer
from planet_async.simulator.tasking_book import Plan, TaskingBook, TaskingOrder
from planet_async.simulator.tasking_bulk import BulkJobs
from planet_async.simulator.tasking_checks import (
    body_of,
    detail,
    not_found,
    object_of,
    order_problems,
    priced_problems,
    time_problems,
)
from planet_async.simulator.tasking_json import Json, captures_json, order_json, square_kilometres
from planet_async.simulator.tasking_list import page
from planet_async.simulator.tasking_windows import WINDOWS, Searches, SearchPlan
from planet_async.simulator.world import World

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

    def __init__(self, world: World, *, plan: Plan, search_plan: SearchPlan, page_size: int) -> None:
        self.book = TaskingBook(plan, world.new_id)
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

    def list_orders(self, call: Call) -> Answer:
        """List orders."""
        now = self._world.now()
        url = f"{self._world.base_url}{ORDERS}/"
        # To describe an order takes longer than to compare a name.
        name = call.param("name")
        orders = [order for order in self.book.orders if order.name == name] if name else self.book.orders
        return page(call, url, orders, lambda order: order_json(order, now), self._page_size)

    def create(self, call: Call) -> Answer:
        """Accept an order, or say what is wrong with it."""
        body = object_of(call)
        if problems := order_problems(body, self._searches.usable()):
            return json_answer(problems, 400)
        now = self._world.now()
        return json_answer(order_json(self.book.add(body, now), now), 201)

    def get(self, call: Call, order_id: str) -> Answer:
        """Describe one order."""
        order = self.book.by_id.get(order_id)
        return not_found() if order is None else json_answer(order_json(order, self._world.now()))

    def update(self, call: Call, order_id: str) -> Answer:
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

    def cancel(self, call: Call, order_id: str) -> Answer:
        """Cancel an order, where it can be."""
        order = self.book.by_id.get(order_id)
        if order is None:
            return not_found()
        now = self._world.now()
        if not order.is_cancellable(now):
            return detail(409, f"The order cannot be cancelled: it is {order.status(now)}")  # status: [L]
        order.cancel(now)
        return Answer(204)

    def pricing(self, call: Call, order_id: str) -> Answer:
        """Price an order that was placed."""
        order = self.book.by_id.get(order_id)
        if order is None:
            return not_found()
        return json_answer({"order_id": order.id, **_with_replaced(order, _price(order.request))})

    def preview_pricing(self, call: Call) -> Answer:
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

    def list_captures(self, call: Call) -> Answer:
        """List the captures of all orders, the oldest order first."""
        url = f"{self._world.base_url}{CAPTURES}/"
        return page(call, url, self._captures(), lambda capture: capture, self._page_size)

    def get_capture(self, call: Call, capture_id: str) -> Answer:
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
