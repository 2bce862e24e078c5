"""`Line`: the queue for one class of operation; it slows down when told to, and recovers by itself."""

from collections import deque

import anyio

from planet_async.clock import Clock
from planet_async.config import Window

_MARGIN = 1.01  # a hundredth slower than allowed: requests may get closer to each other on their way
_SLOWEST = 0.1  # of the allowed rate: below it a line would hardly notice that the server is well again
_LEAST_GAIN = 0.001  # of the allowed rate, for each answer
_UP_TO = 0.9  # of the pace that was refused: where to go soon
_GAIN_BELOW, _GAIN_BEYOND = 0.35, 0.05  # of the way to there, and of the way past the pace that was refused


class Line:
    """One queue: evenly spaced by the shortest window, and in no window more than it allows.

    A refusal halves the pace, once for all that were under way.  Each answer adds to it: a thousandth of the
    full rate near the pace that was refused, more below it, and more beyond it.  So the line spends its time
    just below what the server bears, and finds back to the full rate when that is borne again.  Answers
    count, not seconds: an idle line learns nothing of the server.
    """

    def __init__(self, windows: tuple[Window, ...], clock: Clock) -> None:
        self._shortest = min(windows, key=lambda window: window.seconds)
        self._clock = clock
        self._interval = _MARGIN * self._shortest.seconds / self._shortest.limit
        self._next = 0.0
        self._sent = [(window, deque[float](maxlen=window.limit)) for window in windows]
        self._head = anyio.Lock(fast_acquire=True)
        self._turns = 0
        self._slowed_at = 0  # the last turn before the pace was halved
        self._pace = 1.0  # the part of the allowed rate that is used
        self._refused = 1.0
        self._rates = " and ".join(map(_text, windows))

    @property
    def queued_for(self) -> str:
        """What a request waits for in this line."""
        slowed_down = ", slowed down after a 429" if self._pace < 1 else ""
        return f"its turn at {self._rates}{slowed_down}"

    async def wait_turn(self) -> int:
        """Return when a request may be sent, with the number of its turn; cancelled, it takes none."""
        async with self._head:
            while (pause := self._opens_at() - self._clock.monotonic()) > 0:
                await self._clock.sleep(pause)
            now = self._clock.monotonic()
            interval = self._interval / self._pace
            # A turn taken late does not push back all that follow, by up to one interval: at full pace only,
            # for two at once may be too many for a server that is not well.
            saved = interval if self._pace == 1 else 0.0
            self._next = max(self._next, now - saved) + interval
            for _, sent in self._sent:
                sent.append(now)
            self._turns += 1
            return self._turns

    def refused(self, turn: int, seconds: float) -> None:
        """Let nobody out for that long, and then at half the pace: the request of that turn was too many."""
        self._next = max(self._next, self._clock.monotonic() + seconds)
        if turn > self._slowed_at:  # else it was under way when the pace was halved for another one
            self._slowed_at = self._turns
            self._refused = self._pace
            self._pace = max(_SLOWEST, self._pace / 2)

    def answered(self, turn: int) -> None:
        """Go a little faster: the request of that turn was let in."""
        if self._pace < 1 and turn > self._slowed_at:
            below = _GAIN_BELOW * (_UP_TO * self._refused - self._pace)
            beyond = _GAIN_BEYOND * (self._pace - self._refused)
            self._pace = min(1.0, self._pace + max(_LEAST_GAIN, below, beyond))

    def _opens_at(self) -> float:
        opens_at = self._next
        for window, sent in self._sent:
            # The spacing slows the shortest window; a longer one allows less.
            most = window.limit if window is self._shortest else max(1, int(window.limit * self._pace))
            if len(sent) >= most:
                opens_at = max(opens_at, sent[-most] + _MARGIN * window.seconds)
        return opens_at


def _text(window: Window) -> str:
    requests = "request" if window.limit == 1 else "requests"
    unit = {1.0: "a second", 60.0: "a minute"}.get(window.seconds, f"in {window.seconds:g} s")
    return f"{window.limit} {requests} {unit}"
