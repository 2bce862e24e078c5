"""`Poller`: all waits for resources of one service share the requests.

Each id that is waited for is in one of four states (`registry.State`):

| state    | known of it                               | polled                                        |
| -------- | ----------------------------------------- | --------------------------------------------- |
| NEW      | nothing                                   | at once, then by the schedule                 |
| EXPECTED | the lists are being read, or it was polled | rarely, if ever: the lists will likely show it |
| LISTED   | the lists report its changes              | never                                         |
| UNLISTED | the lists do not have it                  | by the schedule                               |

    join ──▶ NEW, or LISTED where it was seen a moment ago and the lists are being read
    NEW ──── polled while the lists are being read ──▶ EXPECTED
    NEW ──── a reconciliation of lists begins: many are new ──▶ EXPECTED, no longer polled
    any ──── a list shows it ──▶ LISTED
    any ──── a reconciliation missed it, and read all that is unfinished ──▶ UNLISTED, polled at once
    any ──── a reconciliation missed it, and was left early ──▶ LISTED, polled at once
    any ──── the lists fail ──▶ NEW
    any ──── a list shows it finished, and a waiter needs the whole of it ──▶ EXPECTED, polled at once
    LISTED ─ another waiter joins, which needs its present state ──▶ NEW
    any ──── finished, failed, or no waiter is left ──▶ forgotten

`poll_now` polls an id at once, whatever its state.
"""

from collections.abc import Awaitable, Callable, Iterable
from math import inf
from typing import Generic, TypeVar

import anyio
import anyio.lowlevel

from planet_async._tasks import open_task_group
from planet_async.clock import Clock
from planet_async.config import Schedule
from planet_async.errors import PlanetError
from planet_async.outcome import Identified, chunks
from planet_async.waiting.registry import POLLS_AT_ONCE, URGENT, State, Waiter, WaiterRegistry
from planet_async.waiting.sweep import FEW, ListQueries, Sweep

T = TypeVar("T", bound=Identified)
Poll = Callable[[str], Awaitable[T]]

_FAILED_AT_ONCE = 500  # ids; takes a millisecond or two: other tasks need the event loop, too
_SOON = 0.001  # seconds; what is due so soon is due: sums of floats are not exact


class Poller(Generic[T]):
    """Finds out for all waiters together what has become of what they wait for.

    A handful of ids are polled one by one, by the `Schedule`; for more there is the `Sweep`, where the
    service has lists for it.  Where it has none, `spacing` is how many seconds there are between two polls,
    on average: the more ids, the rarer is each polled.

    No task is kept for this: one of the waiting callers, the leader, does the work for all while it waits,
    and hands over when it leaves.  So nothing runs without a waiting caller, and nothing outlives its caller.
    """

    def __init__(
        self,
        poll: Poll[T],
        *,
        clock: Clock,
        schedule: Schedule,
        lists: ListQueries[T] | None = None,
        spacing: float = 0.0,
    ) -> None:
        self.clock = clock
        self._poll = poll
        self._schedule = schedule
        self._spacing = spacing
        self._registry = WaiterRegistry[T]()
        self._sweep = None if lists is None else Sweep(lists, self._registry, clock=clock, schedule=schedule)
        self._has_leader = False
        self._is_turn_of_page = False
        self._followers: dict[Waiter[T], None] = {}
        self._sleeping: anyio.CancelScope | None = None

    @property
    def _reads_lists(self) -> bool:
        return self._sweep is not None and self._sweep.is_on

    def join(self, waiter: Waiter[T], ids: Iterable[str], *, just_seen: bool = False) -> None:
        """Wait for these, too; those that were unfinished a moment ago need no poll at first."""
        if self._registry.is_deserted:
            self._registry.clear()
            if self._sweep is not None:
                self._sweep.start_over()
        # What has changed since that moment is in the next list: it overlaps with the one before.
        is_later = just_seen and self._sweep is None
        self._registry.join(waiter, ids, listed=just_seen and self._reads_lists, urgent=not is_later)
        if is_later:
            for id_ in ids:
                entry = self._registry.entries[id_]
                if entry.polls == 0:
                    self._registry.schedule(id_, entry, self.clock.monotonic() + self._pause(1))
        self._wake_leader()

    def _pause(self, polls: int) -> float:
        return max(self._schedule.pause(polls), self._spacing * len(self._registry.entries))

    def leave(self, waiter: Waiter[T], ids: Iterable[str]) -> None:
        self._registry.leave(waiter, ids)

    def poll_now(self, id_: str) -> None:
        """Poll an id at once, if a waiter needs it; for the event loop of the waiters only."""
        if self._registry.poll_soon(id_):
            self._wake_leader()

    def _wake_leader(self) -> None:
        if self._sleeping is not None:
            self._sleeping.cancel()

    async def progress(self, waiter: Waiter[T]) -> None:
        """Return when the waiter is ready, doing the work for all where no other waiter does."""
        try:
            while not waiter.is_ready:
                if self._has_leader:
                    self._followers[waiter] = None
                    await waiter.sleep()
                else:
                    await self._lead(waiter)
        finally:
            self._followers.pop(waiter, None)
            if not self._has_leader and self._followers:
                next(iter(self._followers)).notify()

    async def _lead(self, waiter: Waiter[T]) -> None:
        self._has_leader = True
        try:
            while not waiter.is_ready:
                try:
                    await self._step()
                except PlanetError as error:
                    await self._fail_all(error)
        finally:
            self._has_leader = False

    async def _fail_all(self, error: PlanetError) -> None:
        for ids in chunks([*self._registry.entries], _FAILED_AT_ONCE):
            for id_ in ids:
                self._registry.fail(id_, error)
            await anyio.lowlevel.checkpoint()

    async def _step(self) -> None:
        """Do one thing, small enough to hand over after it: some polls, a page of a list, or a sleep.

        Raises what ends all waiting: the client is closed, or the credential refused.
        """
        now = self.clock.monotonic() + _SOON
        page_due = inf if self._sweep is None else self._sweep.next_due()
        is_page_due = page_due <= now
        # Thousands of polls may be urgent, at a few a second: polls and pages take turns.
        if not (is_page_due and self._is_turn_of_page) and (
            ids := self._registry.take_due(URGENT, 1 if is_page_due else POLLS_AT_ONCE)
        ):
            self._is_turn_of_page = True
            await self._poll_all(ids)
        elif self._sweep is not None and is_page_due:
            await self._sweep.work(now)
            self._is_turn_of_page = self._sweep.is_busy
        elif ids := self._registry.take_due(now):
            await self._poll_all(ids)
        else:
            await self._sleep_until(min(page_due, self._registry.next_due()))

    async def _sleep_until(self, moment: float) -> None:
        self._sleeping = anyio.CancelScope()
        try:
            with self._sleeping:
                await self.clock.sleep(moment - self.clock.monotonic())
        finally:
            self._sleeping = None

    async def _poll_all(self, ids: list[str]) -> None:
        polled: list[str] = []

        async def poll(id_: str) -> None:
            try:
                item = await self._poll(id_)
            except PlanetError as error:
                self._registry.fail(id_, error)
            else:
                self._registry.deliver(id_, item, listed=False)
            polled.append(id_)

        try:
            async with open_task_group() as group:
                for id_ in ids:
                    group.start_soon(poll, id_)
        finally:
            for id_ in polled:
                self._schedule_next(id_)
            for id_ in set(ids).difference(polled):  # the leader was cancelled: no id is lost
                self._registry.poll_soon(id_)

    def _schedule_next(self, id_: str) -> None:
        entry = self._registry.entries.get(id_)
        if entry is None:
            if self._sweep is not None:
                self._sweep.found(id_)
        elif entry.state is not State.LISTED:
            pause = self._pause(entry.polls + 1)
            if entry.state is not State.UNLISTED and self._reads_lists:
                # The lists will show it, unless it is another user's.  Until then it is polled rarely, and
                # many such ids cost no more requests than a few.
                self._registry.mark(entry, State.EXPECTED)
                pause = self._schedule.longest * max(1.0, self._registry.counts[State.EXPECTED] / FEW)
            self._registry.schedule(id_, entry, self.clock.monotonic() + pause)
