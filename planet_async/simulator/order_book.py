"""The orders that the simulator holds, and how they move with the time."""

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

from planet_async.simulator.files import Delivery
from planet_async.simulator.world import NO_EXPIRY, Context, Interval, after, render, seconds_between

FinalState = Literal["success", "partial", "failed"]

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
    """What becomes of an order: seconds in the queue, seconds of running, the state it ends in, its hints.

    ``math.inf`` seconds are for ever.  A ``"partial"`` order lacks its last item.  `refuse` is a message: the
    order is not accepted, with a 400 that says so.

        def plan(order: Mapping[str, Any], number: int) -> OrderPlan:
            return OrderPlan(queue_seconds=math.inf) if number >= 200 else OrderPlan(run_seconds=0.1)

        Simulator(plan=plan)
    """

    queue_seconds: float = field(default=5.0, validator=validators.ge(0.0))
    run_seconds: float = field(default=30.0, validator=validators.ge(0.0))
    state: FinalState = field(default="success", validator=validators.in_(("success", "partial", "failed")))
    error_hints: Sequence[str] = field(default=(), converter=_words)
    refuse: str | None = None


Plan = OrderPlan | Callable[[Mapping[str, Any], int], OrderPlan]
"""One plan for all orders, or a function of the order's JSON and its number, which counts from 0."""


@define
class Order:
    """One order: what was asked for, kept as JSON, and where it stands.

    Set `hidden`, and lists leave it out, as a list does that lags behind.
    """

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
        """What was asked for, without its secrets."""
        found: dict[str, Any] = msgspec.json.decode(self.echo)
        return found

    @property
    def last_message(self) -> str:
        """What the API says of the order's progress."""
        return _MESSAGES[self.state]

    @property
    def error_hints(self) -> Sequence[str]:
        """What the API says of the order's failure."""
        return self.plan.error_hints if self.state in {"partial", "failed"} else ()


class OrderStore:
    """All orders, in the order of creation and in the order of change, which keeps lists cheap."""

    def __init__(self) -> None:
        self.by_id: dict[str, Order] = {}
        self.states: Counter[str] = Counter()
        self._created: list[Order] = []
        self._changes: list[
            tuple[int, int]
        ] = []  # (modified, number), sorted; only the last one of an order holds
        self._due: list[tuple[int, int]] = []
        self._lock = threading.Lock()  # a test may look at the orders while another thread serves them

    def __len__(self) -> int:
        return len(self._created)

    def add(self, order: Order) -> None:
        """Take in a new order."""
        with self._lock:
            self.by_id[order.id] = order
            self._created.append(order)
            self._note(order)
            self._schedule(order, order.plan.queue_seconds)

    def advance(self, now: int) -> None:
        """Let happen what is due; an order changes at its own moment, not when somebody looks."""
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
        """Cancel the order, or say that it is not in a state for that: only a queued one is [H]."""
        with self._lock:
            if order.state != "queued":
                return False
            self._move(order, "cancelled", now)
            return True

    def queued(self) -> list[Order]:
        """Give the orders that are still queued."""
        return [order for order in self._created if order.state == "queued"]

    def created_within(
        self, interval: Interval, *, down: bool = False, beyond: int | None = None
    ) -> Iterator[Order]:
        """Yield the orders created in that interval, by creation, from beyond that number on."""
        orders = self._created
        start, stop = 0, len(orders)
        if interval.start is not None:
            start = bisect_left(orders, interval.start, key=_creation)
        if interval.end is not None:
            stop = bisect_left(orders, interval.end, key=_creation)
        if down:
            stop = stop if beyond is None else min(stop, beyond)
            return (orders[number] for number in range(stop - 1, start - 1, -1))
        start = start if beyond is None else max(start, beyond + 1)
        return (orders[number] for number in range(start, stop))

    def modified_within(
        self, interval: Interval, *, down: bool = False, beyond: tuple[int, int] | None = None
    ) -> Iterator[Order]:
        """Yield the orders last modified in that interval, by that time, from beyond that place on."""
        changes = self._changes
        start, stop = 0, len(changes)
        if interval.start is not None:
            start = bisect_left(changes, (interval.start, -1))
        if interval.end is not None:
            stop = bisect_left(changes, (interval.end, -1))
        if down:
            stop = stop if beyond is None else min(stop, bisect_left(changes, beyond))
            places = range(stop - 1, start - 1, -1)
        else:
            start = start if beyond is None else max(start, bisect_right(changes, beyond))
            places = range(start, stop)
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
        self._note(order)

    def _note(self, order: Order) -> None:
        self.states[order.state] += 1
        change = (order.modified, order.number)
        if not self._changes or self._changes[-1] < change:  # nearly always
            self._changes.append(change)
            return
        place = bisect_left(self._changes, change)
        if self._changes[place : place + 1] != [change]:  # two changes in one moment are one
            self._changes.insert(place, change)


def _creation(order: Order) -> int:
    return order.created


OPS = "/compute/ops"
ORDERS = f"{OPS}/orders/v2"

_DELIVERED = frozenset({"success", "partial"})

Result = dict[str, str]


@frozen
class Link:
    """What a download link leads to: a file of an order, and until when."""

    order_id: str
    index: int
    expires: int


class OrderJson:
    """Renders orders; a link holds from the moment it is shown, so that asking again gives a fresh one."""

    def __init__(self, world: Context, find: Callable[[str], Delivery]) -> None:
        self._world = world
        self._find = find

    def render(self, order: Order) -> bytes:
        """Give the order without its results, as lists show it [H, recorded]."""
        return self._render(order, {})

    def render_with_results(self, order: Order, now: int) -> bytes:
        """Give the order with what it has delivered up to now."""
        results = self.results(order, now)
        return self._render(order, {} if results is None else {"results": results})

    def _render(self, order: Order, links: dict[str, list[Result]]) -> bytes:
        head = {
            "_links": {"_self": f"{self._world.base_url}{ORDERS}/{order.id}", **links},
            "created_on": render(order.created),
            "error_hints": order.error_hints,
            "id": order.id,
            "last_message": order.last_message,
            "last_modified": render(order.modified),
            "state": order.state,
        }
        # What was asked for is kept as JSON, so that it need not be decoded to be shown.
        echo = _with_collection(order) if order.hosted and order.state in _DELIVERED else order.echo
        return msgspec.json.encode(head)[:-1] + b"," + echo[1:]

    def results(self, order: Order, now: int) -> list[Result] | None:
        """Give the results as they stand: none, growing, or all."""
        if order.state != "running" and order.state not in _DELIVERED:
            return None
        delivery = self._find(order.id)
        files = delivery.files
        ready = len(files)
        if order.state == "running":
            # How results come in is not documented: here evenly, one pending ahead, the manifest last [L].
            ready = int(len(files) * seconds_between(order.modified, now) / order.plan.run_seconds)
            files = files[: ready + 1]
        expires = after(now, self._world.link_seconds)
        expires_at = NO_EXPIRY if delivery.to_cloud else render(expires)
        results = []
        for index, file in enumerate(files):
            result = {
                "delivery": "success" if index < ready else "pending",
                "name": f"{order.id}/{file.path}",
            }
            if index < ready:
                result["expires_at"] = expires_at
                if not delivery.to_cloud:
                    result["location"] = (
                        f"{self._world.base_url}{OPS}/download/?token={self._token(order, index, expires)}"
                    )
            results.append(result)
        return results

    def _token(self, order: Order, index: int, expires: int) -> str:
        place = f"{order.id}.{index}"
        return f"{place}.{expires}.{self._world.sign(place, expires)}"

    def read_token(self, token: str) -> Link | None:
        """Give what a token stands for; None where it is not one of ours."""
        claim, _, signature = token.rpartition(".")
        place, _, expires = claim.rpartition(".")
        if not expires.isdigit() or signature != self._world.sign(place, int(expires)):
            return None
        order_id, _, index = place.partition(".")
        return Link(order_id, int(index), int(expires))


def _with_collection(order: Order) -> bytes:
    """Give what was asked for with the ids that hosting adds; that they come at the end is a guess [L]."""
    request = order.request
    hub = request["hosting"]["sentinel_hub"]
    hub.setdefault("collection_id", str(uuid5(NAMESPACE_URL, f"collection:{order.id}")))
    if hub.get("create_configuration"):
        hub["configuration_id"] = str(uuid5(NAMESPACE_URL, f"configuration:{order.id}"))
    return msgspec.json.encode(request)
