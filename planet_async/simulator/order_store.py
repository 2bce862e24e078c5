"""The orders that the simulator holds, how they move with the time, and how they are shown."""

import heapq
import math
import threading
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal
from uuid import NAMESPACE_URL, uuid5

import msgspec
from attrs import define, field, frozen, validators

from planet_async.simulator.context import NO_EXPIRY, Context, Interval, after, render, seconds_between
from planet_async.simulator.files import MANIFESTS, Delivery, ManifestKind

OPS = "/compute/ops"
ORDERS = f"{OPS}/orders/v2"

FinalState = Literal["success", "partial", "failed"]

_DELIVERED = frozenset({"success", "partial"})
_MESSAGES = {
    "queued": "Preparing order",  # [H, recorded]
    "running": "Running",  # [L]
    "success": "Manifest delivery completed",  # [H, recorded]
    "partial": "Manifest delivery completed",  # [L]
    "failed": "Order failed",  # [L]
    "cancelled": "Order cancelled",  # [L]
}


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
        manifest: What the manifest is like: ``"complete"``; ``"absent"``; without a ``"missing_entry"``, that
            of the first file; with ``"dotted_paths"`` such as ``./a.tif``; with checksums of ``"sha512"``
            only, under names in ``"upper_case"``, or ``"empty"``, ``"null"`` or ``"blank"`` ones.
        missing_files: How many of the files that the manifest lists are not delivered, the last ones.
        damaged_files: How many of the files are not those that the manifest describes, the first ones.
        bare_names: The names of results lack the folder of the order.
    """

    queue_seconds: float = field(default=5.0, validator=validators.ge(0.0))
    run_seconds: float = field(default=30.0, validator=validators.ge(0.0))
    state: FinalState = field(default="success", validator=validators.in_(("success", "partial", "failed")))
    error_hints: Sequence[str] = field(default=(), converter=_words)
    refuse: str | None = None
    manifest: ManifestKind = field(default="complete", validator=validators.in_(MANIFESTS))
    missing_files: int = field(default=0, validator=validators.ge(0))
    damaged_files: int = field(default=0, validator=validators.ge(0))
    bare_names: bool = False


Plan = OrderPlan | Callable[[Mapping[str, Any], int], OrderPlan]
"""One plan for all orders, or a function of the order's JSON and its number, which counts from 0."""


@define
class Order:
    """One order: what was requested, kept as JSON, and its state.  A `hidden` one is not listed."""

    number: int
    id: str
    created: int
    name: str
    source_type: str
    hosted: bool
    destination_ref: str | None
    echo: bytes = field(repr=False)
    plan: OrderPlan
    modified: int
    state: str = "queued"
    hidden: bool = False

    @property
    def request(self) -> dict[str, Any]:
        """The request, without its secrets."""
        found: dict[str, Any] = msgspec.json.decode(self.echo)
        return found

    @property
    def last_message(self) -> str:
        """The API's message about the progress."""
        return _MESSAGES[self.state]

    @property
    def error_hints(self) -> Sequence[str]:
        """The API's hints about a failure."""
        return self.plan.error_hints if self.state in {"partial", "failed"} else ()


class OrderStore:
    """All orders, by creation and by modification, which keeps lists of a hundred thousand cheap."""

    def __init__(self) -> None:
        self.by_id: dict[str, Order] = {}
        self.states: Counter[str] = Counter()
        self._created: list[Order] = []
        # (modified, number), sorted; only the last change of an order is valid.
        self._changes: list[tuple[int, int]] = []
        self._due: list[tuple[int, int]] = []
        self._lock = threading.Lock()  # a test may read the orders while another thread serves them

    def __len__(self) -> int:
        return len(self._created)

    def add(self, order: Order) -> None:
        with self._lock:
            self.by_id[order.id] = order
            self._created.append(order)
            self._record(order)
            self._schedule(order, order.plan.queue_seconds)

    def advance(self, now: int) -> None:
        """Make the changes that are due, each at its own moment."""
        with self._lock:
            while self._due and self._due[0][0] <= now:
                moment, number = heapq.heappop(self._due)
                order = self._created[number]
                if order.state == "queued":
                    self._move(order, "running", moment)
                    self._schedule(order, order.plan.run_seconds)
                elif order.state == "running":
                    self._move(order, order.plan.state, moment)

    def cancel(self, order: Order, now: int) -> bool:
        """Cancel the order; return False where it is not queued, and cannot be [H]."""
        with self._lock:
            if order.state != "queued":
                return False
            self._move(order, "cancelled", now)
            return True

    def queued(self) -> list[Order]:
        return [order for order in self._created if order.state == "queued"]

    def by_creation(self, *, descending: bool = False, beyond: int | None = None) -> Iterator[Order]:
        """Yield the orders by creation, those beyond that number."""
        if descending:
            numbers = range((len(self._created) if beyond is None else beyond) - 1, -1, -1)
        else:
            numbers = range(0 if beyond is None else beyond + 1, len(self._created))
        return map(self._created.__getitem__, numbers)

    def by_modification(
        self,
        interval: Interval = Interval(),  # noqa: B008 - frozen
        *,
        descending: bool = False,
        beyond: tuple[int, int] | None = None,
    ) -> Iterator[Order]:
        """Yield the orders last modified in that interval, by that time, those beyond that change."""
        changes = self._changes
        start = 0 if interval.start is None else bisect_left(changes, (interval.start, -1))
        stop = len(changes) if interval.end is None else bisect_left(changes, (interval.end, -1))
        if beyond is not None and descending:
            stop = min(stop, bisect_left(changes, beyond))
        elif beyond is not None:
            start = max(start, bisect_right(changes, beyond))
        places = range(stop - 1, start - 1, -1) if descending else range(start, stop)
        for modified, number in map(changes.__getitem__, places):
            order = self._created[number]
            if order.modified == modified:
                yield order

    def _schedule(self, order: Order, seconds: float) -> None:
        if not math.isinf(seconds):
            heapq.heappush(self._due, (after(order.modified, seconds), order.number))

    def _move(self, order: Order, state: str, moment: int) -> None:
        self.states[order.state] -= 1
        order.state, order.modified = state, moment
        self._record(order)

    def _record(self, order: Order) -> None:
        self.states[order.state] += 1
        change = (order.modified, order.number)
        place = bisect_left(self._changes, change)
        if self._changes[place : place + 1] != [change]:  # two changes in one moment are one
            self._changes.insert(place, change)


Result = dict[str, str]


@frozen
class Link:
    """The target of a download link: a file of an order, and when the link expires."""

    order_id: str
    index: int
    expires: int


class OrderJson:
    """Renders orders; a link is valid from the moment it is shown, so a new request renews it."""

    def __init__(self, context: Context, delivery_of: Callable[[str], Delivery]) -> None:
        self._context = context
        self._delivery_of = delivery_of

    def render(self, order: Order) -> bytes:
        """Return the order without its results, as lists show it [H, recorded]."""
        return self._render(order, {})

    def render_with_results(self, order: Order, now: int) -> bytes:
        """Return the order with what has been delivered until now."""
        results = self.results(order, now)
        return self._render(order, {} if results is None else {"results": results})

    def _render(self, order: Order, links: dict[str, list[Result]]) -> bytes:
        head = {
            "_links": {"_self": f"{self._context.base_url}{ORDERS}/{order.id}", **links},
            "created_on": render(order.created),
            "error_hints": order.error_hints,
            "id": order.id,
            "last_message": order.last_message,
            "last_modified": render(order.modified),
            "state": order.state,
        }
        # What was requested is kept as JSON, so that it need not be decoded to be shown.
        echo = _with_collection(order) if order.hosted and order.state in _DELIVERED else order.echo
        return msgspec.json.encode(head)[:-1] + b"," + echo[1:]

    def results(self, order: Order, now: int) -> list[Result] | None:
        """Return the results as they are: none, growing, or all."""
        if order.state != "running" and order.state not in _DELIVERED:
            return None
        delivery = self._delivery_of(order.id)
        files = delivery.files
        ready = len(files)
        if order.state == "running":
            # How results appear is not documented: here evenly, one pending ahead, the manifest last [L].
            ready = int(len(files) * seconds_between(order.modified, now) / order.plan.run_seconds)
            files = files[: ready + 1]
        expires = after(now, self._context.link_seconds)
        results = []
        for index, file in enumerate(files):
            name = file.path if order.plan.bare_names else f"{order.id}/{file.path}"
            if index >= ready:
                results.append({"delivery": "pending", "name": name})
            elif delivery.to_cloud:
                results.append({"delivery": "success", "name": name, "expires_at": NO_EXPIRY})
            else:
                link = f"{self._context.base_url}{OPS}/download/?token={self._token(order, index, expires)}"
                result = {"delivery": "success", "name": name, "expires_at": render(expires)}
                results.append({**result, "location": link})
        return results

    def _token(self, order: Order, index: int, expires: int) -> str:
        place = f"{order.id}.{index}"
        return f"{place}.{expires}.{self._context.sign(place, expires)}"

    def read_token(self, token: str) -> Link | None:
        """Return what a token stands for; None where it is not one of ours."""
        claim, _, signature = token.rpartition(".")
        place, _, expires = claim.rpartition(".")
        if not expires.isdigit() or signature != self._context.sign(place, int(expires)):
            return None
        order_id, _, index = place.partition(".")
        return Link(order_id, int(index), int(expires))


def _with_collection(order: Order) -> bytes:
    """Return what was requested with the ids that hosting adds; that they come at the end is a guess [L]."""
    request = order.request
    hub = request["hosting"]["sentinel_hub"]
    hub.setdefault("collection_id", str(uuid5(NAMESPACE_URL, f"collection:{order.id}")))
    if hub.get("create_configuration"):
        hub["configuration_id"] = str(uuid5(NAMESPACE_URL, f"configuration:{order.id}"))
    return msgspec.json.encode(request)
