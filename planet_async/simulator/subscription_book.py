"""The subscriptions that the simulator holds, and how they move with the time."""

import math
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from attrs import define, field, frozen, validators

from planet_async.simulator.times import after, parse

FinalStatus = Literal["completed", "failed", "invalid"]

_ACTIVE = frozenset({"preparing", "pending", "running"})
_NEXT = {"preparing": "pending", "pending": "running"}


@frozen(kw_only=True)
class SubscriptionPlan:
    """What becomes of a subscription: seconds of each status, the status it ends in, and its results.

    ``math.inf`` seconds are for ever.  One that ends ``"invalid"`` does so without running.  While it runs,
    a result begins every `result_seconds`, and takes as long; there are `results` of them, of which the last
    `failed` fail.  `refuse` is a message: the subscription is not accepted, with a 400 that says so.

        Simulator(subscription_plan=SubscriptionPlan(run_seconds=math.inf, results=100))
    """

    prepare_seconds: float = field(default=5.0, validator=validators.ge(0.0))
    pending_seconds: float = field(default=5.0, validator=validators.ge(0.0))
    run_seconds: float = field(default=60.0, validator=validators.ge(0.0))
    status: FinalStatus = field(
        default="completed", validator=validators.in_(("completed", "failed", "invalid"))
    )
    results: int = field(default=6, validator=validators.ge(0))
    result_seconds: float = field(default=5.0, validator=validators.ge(0.0))
    failed: int = field(default=0, validator=validators.ge(0))
    refuse: str | None = None

    def seconds(self, status: str) -> float:
        """Give how long it has a status, not counting what it is suspended."""
        each = {
            "preparing": self.prepare_seconds,
            "pending": self.pending_seconds,
            "running": self.run_seconds,
        }
        return each.get(status, math.inf)

    def after(self, status: str) -> str:
        """Give the status that follows on one."""
        if status == "running" or (status == "preparing" and self.status == "invalid"):
            return self.status
        return _NEXT[status]


Plan = SubscriptionPlan | Callable[[Mapping[str, Any], int], SubscriptionPlan]
"""One plan for all subscriptions, or a function of the request's JSON and its number, which counts from 0."""


@define
class Subscription:
    """One subscription: what was asked for, without its secrets, and where it stands."""

    number: int
    id: str
    created: int
    body: dict[str, Any] = field(repr=False)
    plan: SubscriptionPlan
    updated: int
    status: str = "preparing"
    runs: list[tuple[int, int]] = field(factory=list, repr=False)  # each: when it began, how far it had run
    ran: int = 0  # microseconds, until the run that is under way
    due: float = 0.0  # when the status changes, if nobody does anything
    _since: int = 0
    _spent: int = 0  # microseconds of the status that it was suspended in
    _active: str = "preparing"

    def __attrs_post_init__(self) -> None:
        self._enter(self.status, self.created)

    @property
    def name(self) -> str:
        """What it is called."""
        return str(self.body["name"])

    @property
    def parameters(self) -> Mapping[str, Any]:
        """What is subscribed to."""
        found: Mapping[str, Any] = self.body["source"]["parameters"]
        return found

    def moment(self, name: str) -> int | None:
        """Give the start or the end, where it has one."""
        text = self.parameters.get(name)
        return None if text is None else parse(text)

    def has_run(self, now: int) -> int:
        """Give the microseconds that it has run for."""
        return self.ran + (now - self._since if self.status == "running" else 0)

    def advance(self, now: int) -> None:
        """Let happen what is due, each change at its own moment."""
        while self.due <= now:
            self._enter(self.plan.after(self.status), int(self.due))

    def suspend(self, now: int) -> bool:
        """Halt it, or say that it is not in a status for that."""
        if self.status not in _ACTIVE:
            return False
        self._active, spent = self.status, self._spent + now - self._since
        self._enter("suspended", now, spent)
        return True

    def reactivate(self, now: int) -> bool:
        """Let it go on, or say that it is not suspended."""
        if self.status != "suspended":
            return False
        self._enter(self._active, now, self._spent)
        return True

    def cancel(self, now: int) -> bool:
        """End it, or say that it is not in a status for that [H]."""
        if self.status not in {"pending", "running", "failed", "suspended"}:
            return False
        self._enter("cancelled", now)
        return True

    def _enter(self, status: str, moment: int, spent: int = 0) -> None:
        self.ran = self.has_run(moment)
        if status == "running":
            self.runs.append((moment, self.ran))
        self.status, self.updated, self._since, self._spent = status, moment, moment, spent
        seconds = self.plan.seconds(status)
        self.due = math.inf if math.isinf(seconds) else after(moment, seconds) - spent


class SubscriptionBook:
    """All subscriptions, in the order of creation."""

    def __init__(self) -> None:
        self.by_id: dict[str, Subscription] = {}
        self._lock = threading.Lock()  # a test may look at them while another thread serves them

    def add(
        self, subscription_id: str, body: dict[str, Any], plan: SubscriptionPlan, now: int
    ) -> Subscription:
        """Take in a new one."""
        with self._lock:
            number = len(self.by_id)
            found = Subscription(number, subscription_id, now, body, plan, now)
            self.by_id[subscription_id] = found
        return found

    def advance(self, now: int) -> None:
        """Let happen what is due."""
        with self._lock:
            for subscription in self.by_id.values():
                if subscription.due <= now:  # of a thousand, hardly any
                    subscription.advance(now)

    def all(self) -> Iterable[Subscription]:
        """Give them, the oldest first."""
        return self.by_id.values()
