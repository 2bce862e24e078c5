"""The simulated Orders API: https://docs.planet.com/develop/apis/orders/reference/."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any, Literal
from uuid import NAMESPACE_URL, uuid5

from attrs import define, field, frozen, validators

from planet_async.simulator.catalog import ASSETS, is_for_cloud, redacted
from planet_async.simulator.context import NO_EXPIRY, Context, Interval, after, render, seconds_between
from planet_async.simulator.files import MANIFESTS, Folder, ManifestKind, Storage, deliver
from planet_async.simulator.http import (
    Refused,
    Route,
    ServerRequest,
    ServerResponse,
    field_errors,
    json_object,
    json_response,
    message,
    spec_of,
    without_nulls,
)
from planet_async.simulator.lists import (
    ListRules,
    Query,
    contains,
    equal,
    is_set,
    of_user,
    one_of,
    page_response,
    within,
)
from planet_async.simulator.resources import Resource, Store, course, plan_of
from planet_async.simulator.rules import is_uuid, order_problems

OPS = "/compute/ops"
ORDERS = f"{OPS}/orders/v2"
MAX_CANCELLED = 10_000

FinalState = Literal["success", "partial", "failed"]

_MESSAGES = {
    "queued": "Preparing order",  # [H, recorded]
    "running": "Running",  # [L]
    "success": "Manifest delivery completed",  # [H, recorded]
    "partial": "Manifest delivery completed",  # [L]
    "failed": "Order failed",  # [L]
    "cancelled": "Order cancelled",  # [L]
}
_DELIVERED = frozenset({"success", "partial"})
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
_FOLDERS_KEPT = 256


def _words(value: str | Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


@frozen(kw_only=True)
class OrderPlan:
    """The course of an order.

    ``math.inf`` seconds are for ever.  A ``"partial"`` order lacks its last item.

        def plan(order: Mapping[str, Any], number: int) -> OrderPlan:
            return OrderPlan(queue_seconds=math.inf) if number >= 200 else OrderPlan(run_seconds=0.1)

        Simulator(plan=plan)

    Args:
        queue_seconds: How long it is queued.
        run_seconds: How long it runs.
        state: The state in which it ends.
        error_hints: What it says when it has ended as ``"partial"`` or ``"failed"``.
        refuse: A message: the order is not accepted, with a 400 that says so.
        manifest: What the manifest is like: ``"complete"``; ``"absent"``; or without a ``"missing_entry"``,
            that of the first file.
    """

    queue_seconds: float = field(default=5.0, validator=validators.ge(0.0))
    run_seconds: float = field(default=30.0, validator=validators.ge(0.0))
    state: FinalState = field(default="success", validator=validators.in_(("success", "partial", "failed")))
    error_hints: Sequence[str] = field(default=(), converter=_words)
    refuse: str | None = None
    manifest: ManifestKind = field(default="complete", validator=validators.in_(MANIFESTS))


Plan = OrderPlan | Callable[[Mapping[str, Any], int], OrderPlan]
"""One plan for all orders, or a function of the order's JSON and its number, which counts from 0."""


@define(kw_only=True)
class Order(Resource):
    """One order.  A `hidden` one is not listed."""

    plan: OrderPlan
    hidden: bool = False

    @property
    def request(self) -> dict[str, Any]:
        """The request, without its secrets."""
        return self.body

    @property
    def source_type(self) -> str:
        return str(self.body.get("source_type", "scenes"))

    @property
    def hosted(self) -> bool:
        return "hosting" in self.body

    @property
    def destination_ref(self) -> str | None:
        ref: str | None = self.body.get("delivery", {}).get("destination", {}).get("ref")
        return ref

    @property
    def error_hints(self) -> Sequence[str]:
        """The API's hints about a failure."""
        return self.plan.error_hints if self.state in {"partial", "failed"} else ()

    def json(self, url: str, **links: object) -> dict[str, Any]:
        """Return the order without its results, as lists show it [H, recorded]."""
        modified, state = self.step
        found = {
            **self.body,
            "_links": {"_self": f"{url}/{self.id}", **links},
            "created_on": render(self.created),
            "error_hints": self.error_hints,
            "id": self.id,
            "last_message": _MESSAGES[state],
            "last_modified": render(modified),
            "state": state,
        }
        if self.hosted and state in _DELIVERED:  # that its ids come at the end is a guess [L]
            hub = {"collection_id": self._made("collection"), **self.body["hosting"]["sentinel_hub"]}
            if hub.get("create_configuration"):
                hub["configuration_id"] = self._made("configuration")
            found["hosting"] = {"sentinel_hub": hub}
        return found

    def _made(self, what: str) -> str:
        return str(uuid5(NAMESPACE_URL, f"{what}:{self.id}"))


_LIST = ListRules(
    refuse=lambda name, text: field_errors({name: [text]}, "Unable to list orders"),
    filters={
        "state": one_of(attrgetter("state"), _MESSAGES),
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


class OrdersApi:
    """The operations of the Orders API."""

    def __init__(
        self,
        context: Context,
        *,
        plan: Plan,
        max_queued: int,
        file_bytes: int,
        storage: Storage,
    ) -> None:
        self.store: Store[Order] = Store(context)
        self._context = context
        self._plan = plan
        self._max_queued = max_queued
        self._file_bytes = file_bytes
        self._storage = storage
        self.folder: Callable[[str], Folder] = lru_cache(_FOLDERS_KEPT)(self._deliver)

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
        query = _LIST.query(request, self._context.page_size, self._context.list_order)
        modified = _LIST.read(request, "last_modified", Interval.parse, Interval())
        page, marker = self._page(query, modified)
        url = self._context.base_url + ORDERS
        return page_response(request, url, "orders", [order.json(url) for order in page], marker)

    def _page(self, query: Query, modified: Interval) -> tuple[list[Order], str | None]:
        """Return a page; the store has the orders sorted by either time."""
        sorting, marker = query.sorting, query.marker
        found: Iterable[Order]
        if by_time := sorting.is_by("last_modified"):
            beyond = None if marker is None else (int(marker[0]), int(marker[1]))
            found = self.store.by_change(modified, descending=sorting.descending, beyond=beyond)
        elif by_time := sorting.is_by("created_on"):
            number = None if marker is None else int(marker[1])
            found = self.store.by_creation(descending=sorting.descending, beyond=number)
        else:
            found = self.store
        listed = (each for each in found if not each.hidden and self._context.is_listed(each.created))
        return query.page(listed, is_sorted=by_time)

    def create(self, request: ServerRequest) -> ServerResponse:
        body = without_nulls(json_object(request))
        if problems := order_problems(body):
            return field_errors(problems, _UNABLE)
        plan = plan_of(self._plan, body, len(self.store))
        if plan.refuse is not None:
            return field_errors({"Details": [plan.refuse]}, _UNABLE)
        if len(self.store) >= self._max_queued and self._count("queued") >= self._max_queued:
            return message(409, "Too many queued orders")  # the status is documented, the text is not [L]
        echo = {name: body[name] for name in _ECHOED if name in body}
        echo["name"] = self._context.change_name(body["name"])
        if "delivery" in echo:
            echo["delivery"] = redacted(echo["delivery"])
        order = self.add(self._context.new_id(), echo, plan)
        shown = order.json(self._context.base_url + ORDERS)
        return json_response({**shown, "state": "queued", "last_message": _MESSAGES["queued"]}, 202)

    def add(self, order_id: str, body: dict[str, Any], plan: OrderPlan) -> Order:
        now, stages = self._context.now, (("queued", plan.queue_seconds), ("running", plan.run_seconds))
        steps = course(now(), *stages, (plan.state, 0.0))
        number = len(self.store)
        return self.store.add(Order(number=number, id=order_id, body=body, steps=steps, now=now, plan=plan))

    def get(self, request: ServerRequest, order_id: str) -> ServerResponse:
        order = self.store.by_id.get(order_id)
        if order is None:
            return message(404, f"Could not load order ID: {order_id}.")
        results = self.results(order)
        links = {} if results is None else {"results": results}
        return json_response(order.json(self._context.base_url + ORDERS, **links))

    def cancel(self, request: ServerRequest, order_id: str) -> ServerResponse:
        if problem := self._cancel(order_id):
            return message(409 if order_id in self.store.by_id else 404, problem)
        return json_response(self.store.by_id[order_id].json(self._context.base_url + ORDERS))

    def cancel_many(self, request: ServerRequest) -> ServerResponse:
        """Cancel the orders with these ids, or all that are queued."""
        body = json_object(request)
        if "order_ids" in body:
            ids = _checked_ids(body["order_ids"])
        else:
            ids = [order.id for order in self.store if order.state == "queued"]
        problems = ((order_id, self._cancel(order_id)) for order_id in ids)
        failures = [{"order_id": order_id, "message": problem} for order_id, problem in problems if problem]
        failed = {"count": len(failures), "failures": failures}
        return json_response({"result": {"succeeded": {"count": len(ids) - len(failures)}, "failed": failed}})

    def _cancel(self, order_id: str) -> str:
        """Cancel an order; return the reason where it cannot be."""
        order = self.store.by_id.get(order_id)
        if order is None:
            return f"No such order ID: {order_id}."
        if order.state != "queued":  # [H]
            return "Order not in a cancellable state"
        self.store.replan(order, (self._context.now(), "cancelled"))
        return ""

    def stats(self, request: ServerRequest) -> ServerResponse:
        counts = {"queued_orders": self._count("queued"), "running_orders": self._count("running")}
        return json_response({"organization": counts, "user": counts})

    def _count(self, state: str) -> int:
        return sum(order.state == state for order in self.store)

    def results(self, order: Order) -> list[dict[str, str]] | None:
        """Return the results as they are: none, growing, or all; links are valid from the moment on."""
        now, (since, state) = self._context.now(), order.step
        if state != "running" and state not in _DELIVERED:
            return None
        paths = list(self.folder(order.id).by_path)
        ready = len(paths)
        if state == "running":
            # How results appear is not documented: here evenly, one pending ahead, the manifest last [L].
            ready = int(len(paths) * seconds_between(since, now) / order.plan.run_seconds)
            paths = paths[: ready + 1]
        expires = after(now, self._context.link_seconds)
        results = []
        for index, path in enumerate(paths):
            result = {
                "delivery": "success" if index < ready else "pending",
                "name": f"{order.id}/{path}",
            }
            if index < ready and is_for_cloud(order.body):
                result["expires_at"] = NO_EXPIRY
            elif index < ready:
                token = self._token(f"{order.id}.{index}", expires)
                result["expires_at"] = render(expires)
                result["location"] = f"{self._context.base_url}{OPS}/download/?token={token}"
            results.append(result)
        return results

    def _token(self, place: str, expires: int) -> str:
        return f"{place}.{expires}.{self._context.sign(place, expires)}"

    def download(self, request: ServerRequest) -> ServerResponse:
        """Redirect to the storage."""
        token = request.param("token")
        place, _, expires = token.rpartition(".")[0].rpartition(".")
        if not expires.isdigit() or token != self._token(place, int(expires)):
            return message(404, "No such download")
        if int(expires) <= self._context.now():
            return message(401, "The download link has expired")
        order_id, _, index = place.partition(".")
        path = self.folder(order_id).files[int(index)].path
        return self._storage.redirect(order_id, path, int(expires))

    def _deliver(self, order_id: str) -> Folder:
        order = self.store.by_id[order_id]
        return deliver(
            order_id,
            order.body,
            file_bytes=self._file_bytes,
            partial=order.plan.state == "partial",
            manifest=order.plan.manifest,
        )

    def spec(self, request: ServerRequest) -> ServerResponse:
        return spec_of("Orders", "2.0.0", self.routes())

    def bundles(self, request: ServerRequest) -> ServerResponse:
        return json_response({"bundles": {name: {"assets": assets} for name, assets in ASSETS.items()}})


def _checked_ids(ids: object) -> list[str]:
    if not isinstance(ids, list) or not 1 <= len(ids) <= MAX_CANCELLED:
        problem = f"From 1 to {MAX_CANCELLED} order ids are expected"
    elif invalid := [order_id for order_id in ids if not is_uuid(order_id)]:
        problem = f"'{invalid[0]}' is not a UUID"
    else:
        return ids
    raise Refused(field_errors({"OrderIDs": [problem]}, _UNABLE))
