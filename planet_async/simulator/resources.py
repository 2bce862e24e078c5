"""Resources of the simulator, whose states follow from the time, and the stores that keep them."""

import heapq
import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

from attrs import define, field

from planet_async.simulator.context import Context, Interval, after

Step = tuple[int, str]
"""A moment, and the state that begins then."""

P = TypeVar("P")
R = TypeVar("R", bound="Resource")


def course(start: int, *stages: tuple[str, float]) -> list[Step]:
    """Return when each state begins, where each lasts so many seconds; none follows one that is for ever."""
    steps, moment = [], start
    for state, seconds in stages:
        steps.append((moment, state))
        if math.isinf(seconds):
            break
        moment = after(moment, seconds)
    return steps


def plan_of(plan: P | Callable[[Mapping[str, Any], int], P], body: Mapping[str, Any], number: int) -> P:
    """Return the plan of a resource: the same for all, or by the request and its number."""
    return plan(body, number) if callable(plan) else plan


@define(kw_only=True)
class Resource:
    """A request that was accepted, without its secrets, and its states, past and planned; no task runs."""

    number: int
    id: str
    body: dict[str, Any] = field(repr=False)
    steps: list[Step] = field(repr=False)
    now: Callable[[], int] = field(repr=False)
    edited: int = 0
    _place: int = field(default=0, init=False, repr=False)

    @property
    def step(self) -> Step:
        """The present state, and when it began; it never goes back, though the clock may."""
        now, place = self.now(), self._place
        while place + 1 < len(self.steps) and self.steps[place + 1][0] <= now:
            place += 1
        self._place = place
        return self.steps[place]

    @property
    def state(self) -> str:
        return self.step[1]

    @property
    def created(self) -> int:
        return self.steps[0][0]

    @property
    def modified(self) -> int:
        return max(self.step[0], self.edited)

    @property
    def name(self) -> str:
        return str(self.body["name"])

    @property
    def planned(self) -> list[Step]:
        """The steps that are still ahead."""
        _ = self.step
        return self.steps[self._place + 1 :]

    def replan(self, *steps: Step) -> None:
        """Put other steps in place of those that are still ahead."""
        _ = self.step
        self.steps = [*self.steps[: self._place + 1], *steps]


class Store(Generic[R]):
    """Resources by id, creation and last change, which keeps lists of a hundred thousand cheap."""

    def __init__(self, context: Context) -> None:
        self.by_id: dict[str, R] = {}
        self._context = context
        self._created: list[R] = []
        self._changes: list[tuple[int, int]] = []  # when, and the number, sorted
        self._planned: list[tuple[int, int]] = []  # a heap of those that may become changes

    def __len__(self) -> int:
        return len(self._created)

    def __iter__(self) -> Iterator[R]:
        """Yield all, the oldest first."""
        return iter(self._created)

    def add(self, resource: R) -> R:
        self.by_id[resource.id] = resource
        self._created.append(resource)
        self._note(resource.number, resource.steps)
        return resource

    def replan(self, resource: R, *steps: Step) -> None:
        resource.replan(*steps)
        self._note(resource.number, steps)

    def listed(self) -> Iterator[R]:
        """Yield those that lists have, the oldest first: lists may lag behind."""
        if not self._context.list_delay:
            return iter(self._created)
        return (each for each in self._created if self._context.is_listed(each.created))

    def by_creation(self, *, descending: bool = False, beyond: int | None = None) -> Iterator[R]:
        """Yield them by creation, those beyond that number."""
        if descending:
            numbers = range((len(self._created) if beyond is None else beyond) - 1, -1, -1)
        else:
            numbers = range(0 if beyond is None else beyond + 1, len(self._created))
        return map(self._created.__getitem__, numbers)

    def by_change(
        self,
        interval: Interval = Interval(),  # noqa: B008 - frozen
        *,
        descending: bool = False,
        beyond: tuple[int, int] | None = None,
    ) -> Iterator[R]:
        """Yield those last modified in that interval, by that time, those beyond that change."""
        while self._planned and self._planned[0][0] <= self._context.now():
            change = heapq.heappop(self._planned)
            place = bisect_left(self._changes, change)
            if self._changes[place : place + 1] != [change]:  # two changes in one moment are one
                self._changes.insert(place, change)
        start = 0 if interval.start is None else bisect_left(self._changes, (interval.start, -1))
        stop = len(self._changes) if interval.end is None else bisect_left(self._changes, (interval.end, -1))
        if beyond is not None and descending:
            stop = min(stop, bisect_left(self._changes, beyond))
        elif beyond is not None:
            start = max(start, bisect_right(self._changes, beyond))
        places = range(stop - 1, start - 1, -1) if descending else range(start, stop)
        for moment, number in map(self._changes.__getitem__, places):
            if self._created[number].modified == moment:
                yield self._created[number]

    def _note(self, number: int, steps: Sequence[Step]) -> None:
        for moment, _ in steps:
            heapq.heappush(self._planned, (moment, number))
