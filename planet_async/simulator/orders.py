"""The simulated Orders API: https://docs.planet.com/develop/apis/orders/reference/."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode

import msgspec
from attrs import frozen

from planet_async.simulator.catalog import ASSETS, redacted
from planet_async.simulator.files import Delivery
from planet_async.simulator.http import (
    Refused,
    Route,
    ServerRequest,
    ServerResponse,
    field_errors,
    json_answer,
    json_object,
    message,
)
from planet_async.simulator.lists import NEWEST_FIRST, Place, Sorting
from planet_async.simulator.order_book import OPS, ORDERS, Order, OrderJson, OrderPlan, OrderStore, Plan
from planet_async.simulator.order_rules import problems_of, unable
from planet_async.simulator.world import Context, Interval

MAX_PAGE_SIZE = 500  # no maximum is documented: ours [L]
USER_ID = 1

_STATES = ("queued", "running", "failed", "success", "partial", "cancelled")
_SOURCE_TYPES = frozenset({"scenes", "basemaps"})
_ALWAYS = Interval(None, None)


@frozen
class Filters:
    """Which orders are asked for; an empty set asks for all."""

    states: frozenset[str]
    source_types: frozenset[str]
    name: str | None
    name_contains: str | None
    created: Interval
    modified: Interval
    hosting: bool | None
    destination_ref: str | None
    nobody: bool  # another user's orders, and there is no other user

    def passing(self, orders: Iterable[Order]) -> Iterator[Order]:
        """Yield those that are asked for."""
        for order in orders:
            if (
                (not self.states or order.state in self.states)
                and order.source_type in self.source_types
                and (self.name is None or order.name == self.name)
                and (self.name_contains is None or self.name_contains in order.name)
                and order.created in self.created
                and order.modified in self.modified
                and (self.hosting is None or order.hosted == self.hosting)
                and (self.destination_ref is None or order.destination_ref == self.destination_ref)
                and not (self.nobody or order.hidden)
            ):
                yield order


@frozen
class Listing:
    """A list request: what, in which order, from where, how much."""

    filters: Filters
    sorting: Sorting
    page_size: int
    marker: Place | None

    @classmethod
    def parse(cls, call: ServerRequest, page_size: int) -> Self:
        """Read the query; Refused with 400 for a value that is none."""
        problems: dict[str, list[str]] = {}

        def read(name: str, parse: Callable[[str], Any], default: Any = None) -> Any:
            values = call.params.get(name)
            if values is None:
                return default
            try:
                return parse(values[-1])
            except ValueError as error:
                problems.setdefault(name, []).append(str(error))
                return default

        sorting = read("sort_by", Sorting.parse, NEWEST_FIRST)
        filters = Filters(
            states=frozenset(call.params.get("state", ())),
            source_types=_source_types(call.params.get("source_type", ["scenes"])),
            name=read("name", str),
            name_contains=read("name__contains", str),
            created=read("created_on", Interval.parse, _ALWAYS),
            modified=read("last_modified", Interval.parse, _ALWAYS),
            hosting=read("hosting", _boolean),
            destination_ref=read("destination_ref", str),
            nobody=read("user_id", _user, USER_ID) != USER_ID,
        )
        marker = read("page_marker", sorting.read_marker)
        listing = cls(filters, sorting, read("page_size", _page_size, page_size), marker)
        for name, allowed, given in (
            ("state", _STATES, filters.states),
            ("source_type", sorted(_SOURCE_TYPES), filters.source_types),
        ):
            if unknown := given.difference(allowed):
                problems[name] = [f"{min(unknown)!r} is not one of {', '.join(allowed)}"]
        if problems:
            raise Refused(field_errors(problems, "Unable to list orders"))
        return listing

    def page(self, book: OrderStore) -> tuple[list[Order], str | None]:
        """Give the orders of the page, and the marker of the next one, if there is one."""
        # One more than the page tells whether there is another page.
        found = list(islice(self._wanted(book), self.page_size + 1))
        page = found[: self.page_size]
        return page, self.sorting.marker(page[-1]) if len(found) > len(page) else None

    def _wanted(self, book: OrderStore) -> Iterator[Order]:
        """Give what is asked for from the marker on; the book keeps it sorted by either time."""
        filters, sorting, marker = self.filters, self.sorting, self.marker
        if sorting.by("last_modified"):
            change = None if marker is None else (int(marker[0]), int(marker[1]))
            return filters.passing(book.modified_within(filters.modified, down=sorting.down, beyond=change))
        if sorting.by("created_on"):
            number = None if marker is None else int(marker[1])
            return filters.passing(book.created_within(filters.created, down=sorting.down, beyond=number))
        return sorting.beyond(marker, filters.passing(book.created_within(filters.created)))


def next_link(url: str, call: ServerRequest, marker: str) -> str:
    """Give the address of the next page: the same query with another marker."""
    pairs = [pair for pair in parse_qsl(call.query, keep_blank_values=True) if pair[0] != "page_marker"]
    return f"{url}?{urlencode([*pairs, ('page_marker', marker)])}"


def _source_types(values: Sequence[str]) -> frozenset[str]:
    names = frozenset(name for value in values for name in value.split(","))
    return _SOURCE_TYPES if "all" in names else names


def _boolean(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ValueError(f"{text!r} is not true or false")
    return text.lower() == "true"  # "false" asks for the orders without hosting [L]


def _user(text: str) -> int:
    return USER_ID if text == "all" else int(text)


def _page_size(text: str) -> int:
    size = int(text)
    if not 1 <= size <= MAX_PAGE_SIZE:
        raise ValueError(f"the page size must be from 1 to {MAX_PAGE_SIZE}")
    return size


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
        world: Context,
        *,
        plan: Plan,
        max_queued: int,
        page_size: int,
        find: Callable[[str], Delivery],
        address: Callable[[str, str, int], str],
    ) -> None:
        self.book = OrderStore()
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

    def list_orders(self, call: ServerRequest) -> ServerResponse:
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

    def create(self, call: ServerRequest) -> ServerResponse:
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

    def get(self, call: ServerRequest, order_id: str) -> ServerResponse:
        """Describe one order."""
        now = self._catch_up()
        order = self.book.by_id.get(order_id)
        if order is None:
            return message(404, f"Could not load order ID: {order_id}.")
        return json_answer(self._json.render_with_results(order, now))

    def cancel(self, call: ServerRequest, order_id: str) -> ServerResponse:
        """Cancel a queued order."""
        now = self._catch_up()
        order = self.book.by_id.get(order_id)
        if order is None:
            return message(404, f"No such order ID: {order_id}.")
        if not self.book.cancel(order, now):
            return message(409, _NOT_CANCELLABLE)
        return json_answer(self._json.render(order))

    def cancel_many(self, call: ServerRequest) -> ServerResponse:
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

    def stats(self, call: ServerRequest) -> ServerResponse:
        """Count the active orders; the user is alone in the organization."""
        self._catch_up()
        states = self.book.states
        counts = {"queued_orders": states["queued"], "running_orders": states["running"]}
        return json_answer({"organization": counts, "user": counts})

    def download(self, call: ServerRequest) -> ServerResponse:
        """Send the bearer of a link on to the storage."""
        link = self._json.read_token(call.param("token"))
        if link is None:
            return message(404, "No such download")
        if link.expires <= self._world.now():
            return message(401, "The download link has expired")
        path = self._find(link.order_id).files[link.index].path
        location = self._address(link.order_id, path, link.expires)
        return ServerResponse(302, {"location": location})

    def spec(self, call: ServerRequest) -> ServerResponse:
        """Describe the API: the paths only."""
        paths: dict[str, dict[str, object]] = {}
        for route in self.routes():
            paths.setdefault(route.path, {})[route.method.lower()] = {"operationId": route.operation}
        info = {"title": "Planet Orders API, simulated", "version": "2.0.0"}
        return json_answer({"openapi": "3.0.0", "info": info, "paths": paths})

    def bundles(self, call: ServerRequest) -> ServerResponse:
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
