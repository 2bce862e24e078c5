"""Waiting until something is finished, by looking at it: one thing, or many with no task for each."""

import heapq
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from math import inf
from typing import TypeVar

import anyio

from planet_async.bulk import Outcome
from planet_async.clock import Clock
from planet_async.config import Schedule
from planet_async.errors import PlanetError, WaitTimeout

T = TypeVar("T")
Look = Callable[[str], Awaitable[T]]

_AT_ONCE = 10  # looks under way at a time


async def wait_for(
    id_: str,
    look: Look[T],
    finished: Callable[[T], bool],
    *,
    clock: Clock,
    schedule: Schedule,
    timeout: float | None = None,
    on_update: Callable[[T], None] | None = None,
) -> T:
    """Look until it is finished; `on_update` gets what was seen whenever that has changed."""
    deadline = inf if timeout is None else clock.monotonic() + timeout
    looks, seen = 0, None
    with clock.move_on_after(inf if timeout is None else timeout):
        while True:
            current = await look(id_)
            looks += 1
            if on_update is not None and current != seen:
                on_update(current)
            seen = current
            if finished(current):
                return current
            if clock.monotonic() + schedule.pause(looks) > deadline:
                break  # the next look would come too late
            await clock.sleep(schedule.pause(looks))
    raise _too_long(id_, timeout)


class WaitForMany(AsyncIterator[Outcome[T]]):
    """One outcome for each id, as they finish; whatever fails for one stops no other.

    Ids not finished in time end as a WaitTimeout.  Nothing runs while the caller holds an outcome, and this
    is no generator, so that leaving the loop is always safe.
    """

    def __init__(
        self,
        ids: Iterable[str],
        look: Look[T],
        finished: Callable[[T], bool],
        *,
        clock: Clock,
        schedule: Schedule,
        timeout: float | None = None,
    ) -> None:
        self._look = look
        self._finished = finished
        self._clock = clock
        self._schedule = schedule
        self._timeout = timeout
        now = clock.monotonic()
        self._deadline = inf if timeout is None else now + timeout
        self._waiting = [(now, number, id_) for number, id_ in enumerate(dict.fromkeys(ids))]
        self._looks = [0] * len(self._waiting)
        self._ended: deque[Outcome[T]] = deque()

    async def __anext__(self) -> Outcome[T]:
        while not self._ended:
            now = self._clock.monotonic()
            if not self._waiting:
                raise StopAsyncIteration
            if now >= self._deadline:
                self._give_up()
            elif self._waiting[0][0] > now:
                await self._clock.sleep(min(self._waiting[0][0], self._deadline) - now)
            else:
                await self._look_at_due(now)
        return self._ended.popleft()

    async def _look_at_due(self, now: float) -> None:
        waiting = self._waiting
        due = [heapq.heappop(waiting) for _ in range(_AT_ONCE) if waiting and waiting[0][0] <= now]
        outcomes: dict[int, Outcome[T]] = {}
        try:
            with self._clock.move_on_after(self._deadline - now):
                async with anyio.create_task_group() as group:
                    for _, number, id_ in due:
                        group.start_soon(_look_once, self._look, self._finished, id_, number, outcomes)
        finally:  # also where the caller's patience ended: no id is lost
            for _, number, id_ in due:
                if number in outcomes:
                    self._ended.append(outcomes[number])
                else:
                    self._looks[number] += 1
                    pause = self._schedule.pause(self._looks[number])
                    heapq.heappush(waiting, (self._clock.monotonic() + pause, number, id_))

    def _give_up(self) -> None:
        for _, _, id_ in sorted(self._waiting, key=lambda entry: entry[1]):
            self._ended.append(Outcome(id_, error=_too_long(id_, self._timeout)))
        self._waiting.clear()


async def _look_once(
    look: Look[T],
    finished: Callable[[T], bool],
    id_: str,
    number: int,
    outcomes: dict[int, Outcome[T]],
) -> None:
    try:
        current = await look(id_)
    except PlanetError as error:
        outcomes[number] = Outcome(id_, error=error)
    else:
        if finished(current):
            outcomes[number] = Outcome(id_, current)


def _too_long(id_: str, timeout: float | None) -> WaitTimeout:
    return WaitTimeout(
        f"{id_} was not finished after {timeout:g} s" if timeout is not None else f"{id_} was not finished",
        hint="It goes on at the service; wait again with the same id.",
    )
