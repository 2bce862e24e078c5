"""The simulated Orders API: https://docs.planet.com/develop/apis/orders/reference/."""

from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any

import msgspec

from planet_async.simulator.catalog import ASSETS, redacted
from planet_async.simulator.context import Context, Interval
from planet_async.simulator.files import Delivery
from planet_async.simulator.http import (
    Refused,
    Route,
    ServerRequest,
    ServerResponse,
    decode_json,
    field_errors,
    json_response,
    message,
)
from planet_async.simulator.lists import (
    ListRules,
    Query,
    contains,
    equal,
    is_set,
    of_user,
    one_of,
    within,
)
from planet_async.simulator.order_store import OPS, ORDERS, Order, OrderJson, OrderPlan, OrderStore, Plan
from planet_async.simulator.rules import is_uuid, order_problems

MAX_CANCELLED = 10_000

_LIST = ListRules(
    filters={
        "state": one_of(
            attrgetter("state"), ("queued", "running", "failed", "success", "partial", "cancelled")
        ),
        "source_type": one_of(attrgetter("source_type"), ("basemaps", "scenes"), commas=True),
        "name": equal(attrgetter("name")),
        "name__contains": contains(attrgetter("name")),
        "created_on": within(attrgetter("created")),
        "last_modified": within(attrgetter("modified")),
        "hosting": is_set(attrgetter("hosted")),
        "destination_ref": equal(attrgetter("destination_ref")),
        "user_id": of_user,
    },
    sorts={
        "name": (attrgetter("name"), str),
        "created_on": (attrgetter("created"), int),
        "state": (attrgetter("state"), str),  # by the word, not by progress [L]
        "last_modified": (attrgetter("modified"), int),
    },
    newest=(("created_on", True),),  # [M]
    page_sizes=range(1, 501),  # no maximum is documented: ours [L]
    defaults={"source_type": "scenes"},
)
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
_UNABLE = "Unable to accept order"
_NOT_CANCELLABLE = "Order not in a cancellable state"


class OrdersApi:
    """The operations of the Orders API; nothing runs in between: each request first advances the store."""

    def __init__(
        self,
        context: Context,
        *,
        plan: Plan,
        max_queued: int,
        page_size: int,
        delivery_of: Callable[[str], Delivery],
        address_of: Callable[[str, str, int], str],
    ) -> None:
        self.store: OrderStore = OrderStore()
        self.json: OrderJson = OrderJson(context, delivery_of)
        self._context = context
        self._plan = plan
        self._max_queued = max_queued
        self._page_size = page_size
        self._delivery_of = delivery_of
        self._address_of = address_of

    def routes(self) -> Iterable[Route]:
        return (
            Route("GET", ORDERS, "orders.list", self.list_orders),
            Route("POST", ORDERS, "orders.create", self.create),
            Route("GET", f"{ORDERS}/{{id}}", "orders.get", self.get),
            Route("PUT", f"{ORDERS}/{{id}}", "orders.cancel", self.cancel),
            Route("POST", f"{OPS}/bulk/orders/v2/cancel", "orders.cancel_many", self.cancel_many),
            Route("GET", f"{OPS}/stats/orders/v2", "orders.stats", self.stats),
            # The token is the permission; whether the real server needs a credential too is not known [L].
            Route("GET", f"{OPS}/download/", "orders.download", self.download, needs_credential=False),
            Route("GET", f"{OPS}/download", "orders.download", self.download, needs_credential=False),
            Route("GET", f"{OPS}/spec", "orders.spec", self.spec),
            Route("GET", f"{OPS}/bundles/spec", "orders.bundles", self.bundles, needs_credential=False),
        )

    def list_orders(self, request: ServerRequest) -> ServerResponse:
        """List orders, newest first by default; without their results [H]."""
        self._advance()
        problems: dict[str, str] = {}
        query = _LIST.query(request, problems, self._page_size, self._context.list_order)
        if problems:
            return field_errors({name: [text] for name, text in problems.items()}, "Unable to list orders")
        text = request.param("last_modified")
        modified = Interval.parse(text) if text else Interval()
        page, marker = self._page(query, modified)
        url = self._context.base_url + ORDERS
        links = {"_self": f"{url}?{request.query}" if request.query else url}
        if marker is not None:
            links["next"] = request.link(url, page_marker=marker)
        orders = b",".join([self.json.render(order) for order in page])
        return json_response(b'{"_links":%b,"orders":[%b]}' % (msgspec.json.encode(links), orders))

    def _page(self, query: Query, modified: Interval) -> tuple[list[Order], str | None]:
        """Return a page; the store keeps the orders sorted by either time."""
        sorting, marker = query.sorting, query.marker
        found: Iterable[Order]
        if by_time := sorting.is_by("last_modified"):
            beyond = None if marker is None else (int(marker[0]), int(marker[1]))
            found = self.store.by_modification(modified, descending=sorting.descending, beyond=beyond)
        elif by_time := sorting.is_by("created_on"):
            number = None if marker is None else int(marker[1])
            found = self.store.by_creation(descending=sorting.descending, beyond=number)
        else:
            found = self.store.by_creation()
        listed = (each for each in found if not each.hidden and self._context.is_listed(each.created))
        return query.page(listed, is_sorted=by_time)

    def create(self, request: ServerRequest) -> ServerResponse:
        now = self._advance()
        body = {name: value for name, value in _object(request).items() if value is not None}
        if problems := order_problems(body):
            return field_errors(problems, _UNABLE)
        plan = self._plan if isinstance(self._plan, OrderPlan) else self._plan(body, len(self.store))
        if plan.refuse is not None:
            return field_errors({"Details": [plan.refuse]}, _UNABLE)
        if self.store.states["queued"] >= self._max_queued:
            return message(409, "Too many queued orders")  # the status is documented, the text is not [L]
        order = self._new_order(body, plan, now)
        self.store.add(order)
        return json_response(self.json.render(order), 202)

    def get(self, request: ServerRequest, order_id: str) -> ServerResponse:
        now = self._advance()
        order = self.store.by_id.get(order_id)
        if order is None:
            return message(404, f"Could not load order ID: {order_id}.")
        return json_response(self.json.render_with_results(order, now))

    def cancel(self, request: ServerRequest, order_id: str) -> ServerResponse:
        now = self._advance()
        if problem := self._cancel(order_id, now):
            return message(409 if order_id in self.store.by_id else 404, problem)
        return json_response(self.json.render(self.store.by_id[order_id]))

    def cancel_many(self, request: ServerRequest) -> ServerResponse:
        """Cancel the orders with these ids, or all that are queued."""
        now = self._advance()
        body = _object(request)
        if "order_ids" in body:
            ids = _checked_ids(body["order_ids"])
        else:
            ids = [order.id for order in self.store.queued()]
        failures = [
            {"order_id": order_id, "message": problem}
            for order_id in ids
            if (problem := self._cancel(order_id, now))
        ]
        failed = {"count": len(failures), "failures": failures}
        return json_response({"result": {"succeeded": {"count": len(ids) - len(failures)}, "failed": failed}})

    def stats(self, request: ServerRequest) -> ServerResponse:
        self._advance()
        states = self.store.states
        counts = {"queued_orders": states["queued"], "running_orders": states["running"]}
        return json_response({"organization": counts, "user": counts})

    def download(self, request: ServerRequest) -> ServerResponse:
        """Redirect to the storage."""
        link = self.json.read_token(request.param("token"))
        if link is None:
            return message(404, "No such download")
        if link.expires <= self._context.now():
            return message(401, "The download link has expired")
        path = self._delivery_of(link.order_id).files[link.index].path
        return ServerResponse(302, {"location": self._address_of(link.order_id, path, link.expires)})

    def spec(self, request: ServerRequest) -> ServerResponse:
        """Describe the API: the paths only."""
        paths: dict[str, dict[str, object]] = {}
        for route in self.routes():
            paths.setdefault(route.path, {})[route.method.lower()] = {"operationId": route.operation}
        info = {"title": "Planet Orders API, simulated", "version": "2.0.0"}
        return json_response({"openapi": "3.0.0", "info": info, "paths": paths})

    def bundles(self, request: ServerRequest) -> ServerResponse:
        return json_response({"bundles": {name: {"assets": assets} for name, assets in ASSETS.items()}})

    def _advance(self) -> int:
        now = self._context.now()
        self.store.advance(now)
        return now

    def _new_order(self, body: Mapping[str, Any], plan: OrderPlan, now: int) -> Order:
        echo = {name: body[name] for name in _ECHOED if name in body}
        echo["name"] = self._context.change_name(body["name"])
        if "delivery" in echo:
            echo["delivery"] = redacted(echo["delivery"])
        return Order(
            number=len(self.store),
            id=self._context.new_id(),
            created=now,
            modified=now,
            name=echo["name"],
            source_type=body.get("source_type", "scenes"),
            hosted="hosting" in body,
            destination_ref=body.get("delivery", {}).get("destination", {}).get("ref"),
            echo=msgspec.json.encode(echo),
            plan=plan,
        )

    def _cancel(self, order_id: str, now: int) -> str:
        """Cancel an order; return the reason where it cannot be."""
        order = self.store.by_id.get(order_id)
        if order is None:
            return f"No such order ID: {order_id}."
        return "" if self.store.cancel(order, now) else _NOT_CANCELLABLE


def _object(request: ServerRequest) -> dict[str, Any]:
    try:
        body = decode_json(request)
    except ValueError:
        raise Refused(field_errors({}, "The request body is not JSON")) from None
    if not isinstance(body, dict):
        raise Refused(field_errors({}, "The request body is not a JSON object"))
    return body


def _checked_ids(ids: object) -> list[str]:
    if not isinstance(ids, list) or not 1 <= len(ids) <= MAX_CANCELLED:
        problem = f"From 1 to {MAX_CANCELLED} order ids are expected"
    elif invalid := [order_id for order_id in ids if not is_uuid(order_id)]:
        problem = f"'{invalid[0]}' is not a UUID"
    else:
        return ids
    raise Refused(field_errors({"OrderIDs": [problem]}, _UNABLE))
