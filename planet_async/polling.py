"""Waiting until something is finished, by looking at it: one thing, or many with no task for each."""

import heapq
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


async def wait_for_many(
    ids: Iterable[str],
    look: Look[T],
    finished: Callable[[T], bool],
    *,
    clock: Clock,
    schedule: Schedule,
    timeout: float | None = None,
) -> AsyncIterator[Outcome[T]]:
    """Yield one outcome for each id, as they finish; whatever fails for one stops no other.

    Ids not finished in time end as a WaitTimeout.  Nothing runs while the caller holds an outcome, so that
    leaving the loop is always safe.
    """
    deadline = inf if timeout is None else clock.monotonic() + timeout
    waiting = [(clock.monotonic(), number, id_) for number, id_ in enumerate(dict.fromkeys(ids))]
    looks = [0] * len(waiting)
    while waiting and clock.monotonic() < deadline:
        now = clock.monotonic()
        if waiting[0][0] > now:
            await clock.sleep(min(waiting[0][0], deadline) - now)
            continue
        due = [heapq.heappop(waiting) for _ in range(_AT_ONCE) if waiting and waiting[0][0] <= now]
        outcomes = {number: Outcome[T](id_) for _, number, id_ in due}
        with clock.move_on_after(deadline - now):
            async with anyio.create_task_group() as group:
                for _, number, id_ in due:
                    group.start_soon(_look_once, look, finished, id_, number, outcomes)
        for _, number, id_ in due:
            outcome = outcomes[number]
            if outcome.value is None and outcome.error is None:
                looks[number] += 1
                heapq.heappush(waiting, (clock.monotonic() + schedule.pause(looks[number]), number, id_))
            else:
                yield outcome
    for _, _, id_ in sorted(waiting, key=lambda entry: entry[1]):
        yield Outcome(id_, error=_too_long(id_, timeout))


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
