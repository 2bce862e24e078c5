"""`Poller`: all who wait for things of one service share the requests, whoever started waiting."""

from collections.abc import Awaitable, Callable, Iterable
from math import inf
from typing import Generic, TypeVar

import anyio
import anyio.lowlevel

from planet_async.clock import Clock
from planet_async.config import Schedule
from planet_async.errors import ClientClosed, PlanetError
from planet_async.outcome import chunks
from planet_async.waiting.registry import AT_ONCE, Waiter, WaiterRegistry
from planet_async.waiting.sweep import FEW, Identified, ListQueries, Sweep

T = TypeVar("T", bound=Identified)
Look = Callable[[str], Awaitable[T]]

_ENDED_AT_ONCE = 500  # things; takes a millisecond or two: others have a right to the event loop
_SOON = 0.001  # seconds; what is due so soon is due: sums of floats are not exact


class Poller(Generic[T]):
    """Finds out for all waiters together what has become of what they wait for.

    A handful of things are looked at one by one, by the `Schedule`; for more there is the `Sweep`, where the
    service has lists for it.

    No task is kept for this: one of the waiting callers does the work for all while it waits, and hands over
    when it leaves.  So nothing runs while nobody waits, and nothing outlives its caller.
    """

    def __init__(
        self, look: Look[T], *, clock: Clock, schedule: Schedule, lists: ListQueries[T] | None = None
    ) -> None:
        self.look = look
        self.clock = clock
        self._schedule = schedule
        self._room = WaiterRegistry[T]()
        self._sweep = None if lists is None else Sweep(lists, self._room, clock=clock, schedule=schedule)
        self._leading = False
        self._is_turn_of_page = False
        self._followers: dict[Waiter[T], None] = {}
        self._nap: anyio.CancelScope | None = None

    def join(self, waiter: Waiter[T], ids: Iterable[str], *, just_seen: bool = False) -> None:
        """Wait for these, too; those that were unfinished a moment ago need no look at first."""
        if self._room.is_deserted:
            self._room.clear()
            if self._sweep is not None:
                self._sweep.start_over()
        # What has changed since that moment is in the next list: it overlaps with the one before.
        listed = just_seen and self._sweep is not None and self._sweep.is_on
        self._room.join(waiter, ids, listed=listed)
        self._wake_leader()

    def leave(self, waiter: Waiter[T], ids: Iterable[str]) -> None:
        """Do not wait for these any longer."""
        self._room.leave(waiter, ids)

    def poll_now(self, id_: str) -> None:
        """Look at this one at once, if anybody waits for it; for the event loop of the waiters only."""
        if self._room.poll_soon(id_):
            self._wake_leader()

    def _wake_leader(self) -> None:
        if self._nap is not None:
            self._nap.cancel()

    async def progress(self, waiter: Waiter[T]) -> None:
        """Return when the waiter is ready, doing the work for all where nobody else does."""
        try:
            while not waiter.is_ready:
                if self._leading:
                    self._followers[waiter] = None
                    await waiter.rest()
                else:
                    await self._lead(waiter)
        finally:
            self._followers.pop(waiter, None)
            if not self._leading and self._followers:
                next(iter(self._followers)).wake()

    async def _lead(self, waiter: Waiter[T]) -> None:
        self._leading = True
        try:
            while not waiter.is_ready:
                await self._step()
        finally:
            self._leading = False

    async def _step(self) -> None:
        """Do one thing, small enough to hand over after it: some looks, a page of a list, or a nap."""
        now = self.clock.monotonic() + _SOON
        page_due = inf if self._sweep is None else self._sweep.next_due()
        is_page_due = page_due <= now
        # The looks may be thousands, at a few a second: neither they nor the lists may wait for all of the
        # other, so that one takes turns with one.
        if not (is_page_due and self._is_turn_of_page) and (
            ids := self._room.take_urgent(1 if is_page_due else AT_ONCE)
        ):
            self._is_turn_of_page = True
            await self._look_at(ids)
        elif self._sweep is not None and is_page_due:
            await self._sweep.work(now)
            self._is_turn_of_page = self._sweep.has_begun
        elif ids := self._room.take_due(now):
            await self._look_at(ids)
        else:
            await self._sleep_until(min(page_due, self._room.next_due()))

    async def _sleep_until(self, moment: float) -> None:
        self._nap = anyio.CancelScope()
        try:
            with self._nap:
                await self.clock.sleep(moment - self.clock.monotonic())
        except ClientClosed as closed:
            for ids in chunks([*self._room.entries], _ENDED_AT_ONCE):
                for id_ in ids:
                    self._room.fail(id_, closed)
                await anyio.lowlevel.checkpoint()
        finally:
            self._nap = None

    async def _look_at(self, ids: list[str]) -> None:
        looked: list[str] = []

        async def look(id_: str) -> None:
            try:
                thing = await self.look(id_)
            except PlanetError as error:
                self._room.fail(id_, error)
            else:
                self._room.show(id_, thing, listed=False)
            looked.append(id_)

        try:
            async with anyio.create_task_group() as group:
                for id_ in ids:
                    group.start_soon(look, id_)
        finally:
            for id_ in looked:
                self._look_again(id_)
            for id_ in set(ids).difference(looked):  # the patience of who led has ended: no id is lost
                self._room.poll_soon(id_)

    def _look_again(self, id_: str) -> None:
        entry = self._room.entries.get(id_)
        if entry is None:
            if self._sweep is not None:
                self._sweep.found(id_)
        elif not entry.listed:
            pause = self._schedule.pause(entry.looks + 1)
            if entry.listed is None and self._sweep is not None and self._sweep.is_on:
                # The lists are going to tell of it, unless it is another user's.  Until one has, it is looked
                # at now and then; many of these cost no more looks than a few.
                self._room.unlisted.discard(id_)
                pause = self._schedule.longest * max(1.0, self._room.postponed / FEW)
            self._room.schedule(id_, entry, self.clock.monotonic() + pause)
