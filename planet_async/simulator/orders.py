"""The simulated Orders API: https://docs.planet.com/develop/apis/orders/reference/."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from planet_async.simulator.bundles import ASSETS
from planet_async.simulator.deliveries import Delivery
from planet_async.simulator.delivery_checks import redacted
from planet_async.simulator.exchange import Answer, Call, Refused, Route, json_answer, json_object, message
from planet_async.simulator.order_book import Order, OrderBook, OrderPlan, Plan
from planet_async.simulator.order_checks import problems_of, unable
from planet_async.simulator.order_json import OPS, ORDERS, OrderJson
from planet_async.simulator.order_list import Listing, next_link
from planet_async.simulator.world import World

MAX_CANCELLED = 10_000

_ECHOED = (
    "delivery",
    "hosting",
    "metadata",
    "name",
    "notifications",
    "order_type",
    "products",
    "source_type",
    "subscription_id",
    "tools",
)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_NOT_CANCELLABLE = "Order not in a cancellable state"


class OrdersApi:
    """Answers the calls of the Orders API; nothing runs in between: each call catches up with the time."""

    def __init__(
        self,
        world: World,
        *,
        plan: Plan,
        max_queued: int,
        page_size: int,
        find: Callable[[str], Delivery],
        address: Callable[[str, str, int], str],
    ) -> None:
        self.book = OrderBook()
        self._world = world
        self._plan = plan
        self._max_queued = max_queued
        self._page_size = page_size
        self._find = find
        self._json = OrderJson(world, find)
        self._address = address

    def routes(self) -> Iterable[Route]:
        """Give the operations."""
        return (
            Route("GET", ORDERS, "orders.list", self.list_orders),
            Route("POST", ORDERS, "orders.create", self.create),
            Route("GET", f"{ORDERS}/{{id}}", "orders.get", self.get),
            Route("PUT", f"{ORDERS}/{{id}}", "orders.cancel", self.cancel),
            Route("POST", f"{OPS}/bulk/orders/v2/cancel", "orders.cancel_many", self.cancel_many),
            Route("GET", f"{OPS}/stats/orders/v2", "orders.stats", self.stats),
            # The token is what lets in; whether the real server asks for a credential too is not known [L].
            Route("GET", f"{OPS}/download/", "orders.download", self.download, needs_credential=False),
            Route("GET", f"{OPS}/download", "orders.download", self.download, needs_credential=False),
            Route("GET", f"{OPS}/spec", "orders.spec", self.spec),
            Route("GET", f"{OPS}/bundles/spec", "orders.bundles", self.bundles, needs_credential=False),
        )

    def list_orders(self, call: Call) -> Answer:
        """List orders, newest first unless told otherwise; without their results [H]."""
        self._catch_up()
        listing = Listing.parse(call, self._page_size)
        page, marker = listing.page(self.book)
        url = self._world.base_url + ORDERS
        links = {"_self": f"{url}?{call.query}" if call.query else url}
        if marker is not None:
            links["next"] = next_link(url, call, marker)
        orders = b",".join([self._json.render(order) for order in page])
        return json_answer(b'{"_links":%b,"orders":[%b]}' % (msgspec.json.encode(links), orders))

    def create(self, call: Call) -> Answer:
        """Accept an order, or say what is wrong with it."""
        now = self._catch_up()
        body = {name: value for name, value in json_object(call).items() if value is not None}
        if (answer := problems_of(body)) is not None:
            return answer
        plan = self._plan if isinstance(self._plan, OrderPlan) else self._plan(body, len(self.book))
        if plan.refuse is not None:
            return unable("Details", plan.refuse)
        if self.book.states["queued"] >= self._max_queued:
            return message(409, "Too many queued orders")  # the status is documented, the text is not [L]
        order = self._new_order(body, plan, now)
        self.book.add(order)
        return json_answer(self._json.render(order), 202)

    def get(self, call: Call, order_id: str) -> Answer:
        """Describe one order."""
        now = self._catch_up()
        order = self.book.by_id.get(order_id)
        if order is None:
            return message(404, f"Could not load order ID: {order_id}.")
        return json_answer(self._json.render_with_results(order, now))

    def cancel(self, call: Call, order_id: str) -> Answer:
        """Cancel a queued order."""
        now = self._catch_up()
        order = self.book.by_id.get(order_id)
        if order is None:
            return message(404, f"No such order ID: {order_id}.")
        if not self.book.cancel(order, now):
            return message(409, _NOT_CANCELLABLE)
        return json_answer(self._json.render(order))

    def cancel_many(self, call: Call) -> Answer:
        """Cancel the orders named, or all that are queued."""
        now = self._catch_up()
        body = json_object(call)
        if "order_ids" in body:
            ids = _checked_ids(body["order_ids"])
        else:
            ids = [order.id for order in self.book.queued()]
        failures = [
            {"order_id": order_id, "message": problem}
            for order_id in ids
            if (problem := self._cancel(order_id, now))
        ]
        failed = {"count": len(failures), "failures": failures}
        return json_answer({"result": {"succeeded": {"count": len(ids) - len(failures)}, "failed": failed}})

    def stats(self, call: Call) -> Answer:
        """Count the active orders; the user is alone in the organization."""
        self._catch_up()
        states = self.book.states
        counts = {"queued_orders": states["queued"], "running_orders": states["running"]}
        return json_answer({"organization": counts, "user": counts})

    def download(self, call: Call) -> Answer:
        """Send the bearer of a link on to the storage."""
        link = self._json.read_token(call.param("token"))
        if link is None:
            return message(404, "No such download")
        if link.expires <= self._world.now():
            return message(401, "The download link has expired")
        path = self._find(link.order_id).files[link.index].path
        location = self._address(link.order_id, path, link.expires)
        return Answer(302, {"location": location})

    def spec(self, call: Call) -> Answer:
        """Describe the API: the paths only."""
        paths: dict[str, dict[str, object]] = {}
        for route in self.routes():
            paths.setdefault(route.path, {})[route.method.lower()] = {"operationId": route.operation}
        info = {"title": "Planet Orders API, simulated", "version": "2.0.0"}
        return json_answer({"openapi": "3.0.0", "info": info, "paths": paths})

    def bundles(self, call: Call) -> Answer:
        """Give the catalogue of product bundles."""
        return json_answer({"bundles": {name: {"assets": assets} for name, assets in ASSETS.items()}})

    def _catch_up(self) -> int:
        now = self._world.now()
        self.book.advance(now)
        return now

    def _new_order(self, body: Mapping[str, Any], plan: OrderPlan, now: int) -> Order:
        echo = {name: body[name] for name in _ECHOED if name in body}
        if "delivery" in echo:
            echo["delivery"] = redacted(echo["delivery"])
        return Order(
            number=len(self.book),
            id=self._world.new_id(),
            created=now,
            modified=now,
            name=body["name"],
            source_type=body.get("source_type", "scenes"),
            hosted="hosting" in body,
            destination_ref=body.get("delivery", {}).get("destination", {}).get("ref"),
            echo=msgspec.json.encode(echo),
            plan=plan,
        )

    def _cancel(self, order_id: str, now: int) -> str:
        """Cancel one of many; give what stands in the way, if anything does."""
        order = self.book.by_id.get(order_id)
        if order is None:
            return f"No such order ID: {order_id}."
        return "" if self.book.cancel(order, now) else _NOT_CANCELLABLE


def _checked_ids(ids: object) -> list[str]:
    if not isinstance(ids, list) or not 1 <= len(ids) <= MAX_CANCELLED:
        raise Refused(unable("OrderIDs", f"From 1 to {MAX_CANCELLED} order ids are expected"))
    for order_id in ids:
        if not isinstance(order_id, str) or not _UUID.fullmatch(order_id):
            raise Refused(unable("OrderIDs", f"'{order_id}' is not a UUID"))
    return ids
