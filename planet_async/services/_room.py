"""`Room`: what to do when the service takes no more orders, because too many of them are in its queue."""

from collections.abc import Awaitable, Callable

import anyio

from planet_async.clock import Clock
from planet_async.config import Schedule
from planet_async.errors import Conflict, PlanetError, StatusError
from planet_async.models.orders import OrderCounts, OrderStats

_TRIED_ANYWAY = 20  # looks, after which an order is sent whatever they showed
_MOST_SILENT = 6  # looks in a row that were not answered at all


class Room:
    """Holds back all that want to order while the queue is full, and counts it with one request a look."""

    def __init__(self, stats: Callable[[], Awaitable[OrderStats]], clock: Clock, schedule: Schedule) -> None:
        self._stats = stats
        self._clock = clock
        self._schedule = schedule
        self._door = anyio.Lock()
        self._times = 0  # that it was full
        self._looks = 0  # since there last was room
        self._silent = 0  # looks since there last was an answer

    async def wait(self) -> int:
        """Return when the queue may have room; give what `wait_after` wants to know."""
        async with self._door:
            return self._times

    async def wait_after(self, refusal: Conflict, times: int) -> None:
        """Wait until orders have left the queue that was too full for this one.

        Raises the refusal where that was not why, or where the service tells nothing any more.
        """
        async with self._door:
            if times != self._times:  # another one has waited for it
                if self._silent >= _MOST_SILENT:
                    raise refusal
                return
            self._times += 1
            before = await self._counts()
            if before is not None and not before.queued_orders + before.running_orders:
                raise refusal
            if self._silent >= _MOST_SILENT:
                raise refusal
            while True:
                self._looks += 1
                await self._clock.sleep(self._schedule.pause(self._looks))
                now = await self._counts()
                if now is not None and before is not None and _has_moved(before, now):
                    self._looks = 0
                    return
                if now is None or before is None or not self._looks % _TRIED_ANYWAY:
                    return

    async def _counts(self) -> OrderCounts | None:
        try:
            counts = (await self._stats()).organization
        except StatusError:
            counts = None
        except PlanetError:
            self._silent += 1
            return None
        self._silent = 0
        return counts


def _has_moved(before: OrderCounts, now: OrderCounts) -> bool:
    return now.queued_orders < before.queued_orders or (
        now.queued_orders + now.running_orders < before.queued_orders + before.running_orders
    )
