"""`RateLimit` lets requests out at the pace that the API allows."""

from collections import deque

import anyio

from planet_async.clock import Clock
from planet_async.config import Rates, Window
from planet_async.errors import TooManyRequests
from planet_async.http import Request, Response, Transport

_MARGIN = 1.01  # a hundredth slower than allowed: requests may get closer to each other on their way
_SHUT_SECONDS = 1.0  # after a 429 that names no time
_LONGEST_SHUT = 300.0  # a server that names a longer time is asked again after this one, lest all hang


class RateLimit:
    """Makes requests of one class of operation wait in line, first come first served, for their turn.

    Only the head of a line sleeps.  A 429 shuts the gate for those already in line.
    """

    def __init__(self, inner: Transport, rates: Rates, clock: Clock) -> None:
        self._inner = inner
        self._lines = {name: Line(windows, clock) for name, windows in rates.items() if windows}

    async def send(self, request: Request) -> Response:
        """Send when it is this request's turn."""
        line = self._lines.get(request.operation) or self._lines.get(request.operation.partition(".")[0])
        if line is None:
            return await self._inner.send(request)
        await line.wait_turn()
        try:
            return await self._inner.send(request)
        except TooManyRequests as error:
            line.shut(_SHUT_SECONDS if error.retry_after is None else min(error.retry_after, _LONGEST_SHUT))
            raise

    async def aclose(self) -> None:
        """Close the transport inside."""
        await self._inner.aclose()


class Line:
    """One queue: evenly spaced by the shortest window, and in no window more than it allows."""

    def __init__(self, windows: tuple[Window, ...], clock: Clock) -> None:
        shortest = min(windows, key=lambda window: window.seconds)
        self._clock = clock
        self._interval = _MARGIN * shortest.seconds / shortest.limit
        self._next = 0.0
        self._shut_until = 0.0
        self._sent = [(_MARGIN * window.seconds, deque[float](maxlen=window.limit)) for window in windows]
        self._head = anyio.Lock(fast_acquire=True)

    async def wait_turn(self) -> None:
        """Return when one request may be sent; cancelled while waiting, it takes nothing."""
        async with self._head:
            while (pause := self._opens_at() - self._clock.monotonic()) > 0:
                await self._clock.sleep(pause)
            now = self._clock.monotonic()
            # A turn taken late does not push back all that follow, by up to one interval.
            self._next = max(self._next, now - self._interval) + self._interval
            for _, sent in self._sent:
                sent.append(now)

    def shut(self, seconds: float) -> None:
        """Let nobody out for that long."""
        self._shut_until = max(self._shut_until, self._clock.monotonic() + seconds)

    def _opens_at(self) -> float:
        full = (sent[0] + seconds for seconds, sent in self._sent if len(sent) == sent.maxlen)
        return max(self._next, self._shut_until, *full)
