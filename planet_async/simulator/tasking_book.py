"""The tasking orders that the simulator holds, and how they move with the days."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from attrs import define, field, frozen, validators

from planet_async.simulator.times import after

FinalStatus = Literal["FULFILLED", "EXPIRED", "REJECTED", "FAILED"]

_DAY = 86_400.0
_FINAL = ("FULFILLED", "EXPIRED", "REJECTED", "FAILED")
_CANCELLABLE = frozenset({"REQUESTED", "RECEIVED", "PENDING", "IN_PROGRESS"})  # [H], the first [M]
_CANCELLING_DAYS = 0.5  # how long an assured order is PENDING_CANCELLATION [L]


@frozen(kw_only=True)
class TaskingPlan:
    """What becomes of a tasking order: days until each step, the status it ends in, its captures.

    It is RECEIVED (an assured one REQUESTED) for `received_days`, then PENDING, then IN_PROGRESS, during
    which `captures` images are taken, evenly spread; a REJECTED one is so after `received_days`.
    ``math.inf`` days are for ever.  `replaced_orders` is how many others have to make way for it, which is
    then its price.

        Simulator(tasking_plan=TaskingPlan(pending_days=0.5, captures=3))
    """

    received_days: float = field(default=0.1, validator=validators.ge(0.0))
    pending_days: float = field(default=1.0, validator=validators.ge(0.0))
    in_progress_days: float = field(default=5.0, validator=validators.ge(0.0))
    status: FinalStatus = field(default="FULFILLED", validator=validators.in_(_FINAL))
    captures: int = field(default=1, validator=validators.ge(0))
    replaced_orders: int = field(default=0, validator=validators.ge(0))


Plan = TaskingPlan | Callable[[Mapping[str, Any], int], TaskingPlan]
"""One plan for all orders, or a function of the order's JSON and its number, which counts from 0."""


@define
class TaskingOrder:
    """One order: what was asked for, and when it becomes what; nothing runs in between."""

    number: int
    id: str
    created: int
    request: dict[str, Any] = field(repr=False)
    plan: TaskingPlan = field(repr=False)
    edited: int = 0
    steps: list[tuple[int, str]] = field(factory=list, repr=False)

    def __attrs_post_init__(self) -> None:
        assured = self.request.get("scheduling_type") == "ASSURED"
        moment = self.created
        plan = self.plan
        days = (plan.received_days, plan.pending_days, plan.in_progress_days)
        words: tuple[str, ...] = (
            "REQUESTED" if assured else "RECEIVED",
            "PENDING",
            "IN_PROGRESS",
            plan.status,
        )
        if plan.status == "REJECTED":
            words = (words[0], "REJECTED")
        self.steps = [(moment, words[0])]
        for word, wait in zip(words[1:], days, strict=False):
            if math.isinf(wait):
                break
            moment = after(moment, wait * _DAY)
            self.steps.append((moment, word))

    @property
    def name(self) -> str:
        """The name it was given."""
        return str(self.request["name"])

    def status(self, now: int) -> str:
        """Give the status at that moment."""
        return self.step(now)[1]

    def step(self, now: int) -> tuple[int, str]:
        """Give the last change of the status up to that moment."""
        return [step for step in self.steps if step[0] <= now][-1]

    def updated(self, now: int) -> int:
        """Give when it was last changed."""
        return max(self.step(now)[0], self.edited)

    def since(self, status: str) -> int | None:
        """Give when it gets that status, if it ever does."""
        return next((moment for moment, word in self.steps if word == status), None)

    def is_cancellable(self, now: int) -> bool:
        """Tell whether it can be cancelled; an order from the archive never can [M]."""
        return self.status(now) in _CANCELLABLE and self.request.get("scheduling_type") != "ARCHIVE"

    def cancel(self, now: int) -> None:
        """Cut the future off; an assured order takes a while to be cancelled [M]."""
        assured = self.request.get("scheduling_type") == "ASSURED"
        self.steps = [step for step in self.steps if step[0] <= now]
        if assured:
            self.steps.append((now, "PENDING_CANCELLATION"))
        self.steps.append((after(now, _CANCELLING_DAYS * _DAY) if assured else now, "CANCELLED"))


class TaskingBook:
    """All tasking orders, by number and by id."""

    def __init__(self, plan: Plan, new_id: Callable[[], str]) -> None:
        self.by_id: dict[str, TaskingOrder] = {}
        self._created: list[TaskingOrder] = []
        self._plan = plan
        self._new_id = new_id

    def add(self, request: dict[str, Any], now: int) -> TaskingOrder:
        """Take in a new order."""
        number = len(self._created)
        plan = self._plan if isinstance(self._plan, TaskingPlan) else self._plan(request, number)
        order = TaskingOrder(number, self._new_id(), now, request, plan)
        self.by_id[order.id] = order
        self._created.append(order)
        return order

    @property
    def orders(self) -> Sequence[TaskingOrder]:
        """The orders, oldest first."""
        return self._created
