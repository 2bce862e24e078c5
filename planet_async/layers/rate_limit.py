"""`RateLimit` sends requests at the rate that the API allows."""

import logging
from collections import deque
from collections.abc import Hashable
from weakref import WeakValueDictionary

import anyio
from anyio.lowlevel import RunVar

from planet_async._events import Queued, report, request_fields
from planet_async._loops import PerLoop
from planet_async.auth.credentials import Credentials
from planet_async.clock import Clock
from planet_async.config import Config, Rates, Window
from planet_async.errors import StatusError, TooManyRequests
from planet_async.http import Request, Response, Transport, origin, queued_for

_PAUSE_SECONDS = 1.0  # after a 429 without Retry-After
_LONGEST_PAUSE = 300.0  # after any 429: one absurd Retry-After must not stop a client for good

_SPACING = 1.01  # a hundredth more than allowed: requests may move closer to each other on their way
_SLOWEST = 0.1  # of the allowed rate; at less, it would take long to notice that the server has recovered
# What a success adds to the pace: at least `_LEAST_GAIN`; more below and above the pace of the last 429.
_LEAST_GAIN = 0.001
_SAFE = 0.9  # of the pace of the last 429: up to there the pace recovers quickly
_GAIN_BELOW, _GAIN_ABOVE = 0.35, 0.05  # of the distance to the safe pace, and of that to the pace of the 429

_RETRIES = 20.0  # how many retries an origin has at first, and at most
_EARNED_RETRIES = (
    0.1  # by each success: a failing service gets a tenth more requests, not several times as many
)

_LONG_QUEUE = 5.0  # seconds in a queue that are worth a line in the log
_NOTICEABLE = 0.001

logger: logging.Logger = logging.getLogger("planet_async.rate_limit")


class RateLimit:
    """Makes requests wait for their turn, first come, first served, in one queue for each class of operation.

    A 429 stops the queue for as long as the server asks, and slows it down.
    """

    def __init__(self, inner: Transport, limits: "SharedRateLimits") -> None:
        self._inner = inner
        self._limits = limits

    async def send(self, request: Request) -> Response:
        limiter = self._limits.here().limiter(request.operation)
        if limiter is None:
            return await self._inner.send(request)
        queued_for.set(limiter.queued_for)
        turn = await limiter.acquire(request)
        queued_for.set("")
        try:
            response = await self._inner.send(request)
        except TooManyRequests as error:
            pause = _PAUSE_SECONDS if error.retry_after is None else error.retry_after
            limiter.on_throttled(turn, min(pause, _LONGEST_PAUSE))
            raise
        except StatusError as error:
            if not error.transient:  # a 404 was let through; a 503 says nothing about the rate
                limiter.on_success(turn)
            raise
        limiter.on_success(turn)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


class RateLimiter:
    """One queue: requests are spaced evenly by the shortest window, and no window is ever exceeded.

    The pace is the share of the allowed rate that is used.  A 429 halves it, once for all requests that were
    in flight.  Each success raises it: by little near the pace of the last 429, by more below and above.  So
    the queue stays just below what the server accepts, and returns to the full rate when the server does.
    Successes count, not seconds, since an idle queue learns nothing about the server.
    """

    def __init__(self, windows: tuple[Window, ...], clock: Clock) -> None:
        self._shortest = min(windows, key=lambda window: window.seconds)
        self._clock = clock
        self._interval = _SPACING * self._shortest.seconds / self._shortest.limit
        self._next = 0.0
        self._sent = [(window, deque[float](maxlen=window.limit)) for window in windows]
        self._head = anyio.Lock(fast_acquire=True)  # only the first in the queue sleeps
        self._turns = 0
        self._slowed_at = 0  # the last turn before the pace was halved
        self._pace = 1.0
        self._throttled_pace = 1.0  # the pace of the last 429
        self._rates = " and ".join(map(_described, windows))
        self._is_long = False  # since a request was queued for long, and until one is not

    @property
    def queued_for(self) -> str:
        """The name of the queue, for messages."""
        slowed_down = ", slowed down after a 429" if self._pace < 1 else ""
        return f"its turn at {self._rates}{slowed_down}"

    async def acquire(self, request: Request) -> int:
        """Wait for a turn and return its number; if cancelled, no turn is used up."""
        began = self._clock.monotonic()
        async with self._head:
            now = self._clock.monotonic()
            while (pause := self._free_at() - now) > 0:
                self._log_long_queue(request, now + pause - began)
                await self._clock.sleep(pause)
                now = self._clock.monotonic()
            if now - began >= _NOTICEABLE:
                report(Queued("rate", now - began))
            interval = self._interval / self._pace
            # A turn taken late does not delay all that follow, by up to one interval; at full pace only,
            # since two requests at once may be too many for a server that is throttling.
            saved = interval if self._pace == 1 else 0.0
            self._next = max(self._next, now - saved) + interval
            for _, sent in self._sent:
                sent.append(now)
            self._turns += 1
            return self._turns

    def _log_long_queue(self, request: Request, seconds: float) -> None:
        """Log once that requests are queued for long, until one is not."""
        was_long, self._is_long = self._is_long, seconds > _LONG_QUEUE
        if self._is_long and not was_long:
            count = 1 + self._head.statistics().tasks_waiting
            logger.info(
                "%s waits for %.0f s or longer for %s; queued requests: %d",
                request.operation,
                seconds,
                self.queued_for,
                count,
                extra={**request_fields(request), "queued_seconds": seconds, "queued_requests": count},
            )

    def on_throttled(self, turn: int, seconds: float) -> None:
        """Stop the queue for that many seconds and halve its pace: the request of that turn got a 429."""
        self._next = max(self._next, self._clock.monotonic() + seconds)
        if turn > self._slowed_at:  # otherwise it was in flight when the pace was halved
            self._slowed_at = self._turns
            self._throttled_pace = self._pace
            self._pace = max(_SLOWEST, self._pace / 2)

    def on_success(self, turn: int) -> None:
        """Raise the pace: the request of that turn was not throttled."""
        if self._pace < 1 and turn > self._slowed_at:
            below = _GAIN_BELOW * (_SAFE * self._throttled_pace - self._pace)
            above = _GAIN_ABOVE * (self._pace - self._throttled_pace)
            self._pace = min(1.0, self._pace + max(_LEAST_GAIN, below, above))

    def _free_at(self) -> float:
        free_at = self._next
        for window, sent in self._sent:
            # The spacing applies the pace to the shortest window; the longer ones allow fewer requests.
            limit = window.limit if window is self._shortest else max(1, int(window.limit * self._pace))
            if len(sent) >= limit:
                free_at = max(free_at, sent[-limit] + _SPACING * window.seconds)
        return free_at


def _described(window: Window) -> str:
    requests = "request" if window.limit == 1 else "requests"
    unit = {1.0: "a second", 60.0: "a minute"}.get(window.seconds, f"in {window.seconds:g} s")
    return f"{window.limit} {requests} {unit}"


class RateLimits:
    """The rate limiters, and the retry budgets, of one credential."""

    def __init__(self, rates: Rates, clock: Clock) -> None:
        self._limiters = {name: RateLimiter(windows, clock) for name, windows in rates.items() if windows}
        self._retries: dict[tuple[str, str, int], float] = {}  # left, by origin

    def limiter(self, operation: str) -> RateLimiter | None:
        """Return the limiter of an operation or of its API, or None where no rate applies."""
        return self._limiters.get(operation) or self._limiters.get(operation.partition(".")[0])

    def spend_retry(self, request: Request) -> bool:
        """Take a retry from the budget of the request's origin; return False if there is none left."""
        left = self._retries.get(origin(request.url), _RETRIES)
        if left < 1:
            return False
        self._retries[origin(request.url)] = left - 1
        return True

    def earn_retry(self, request: Request) -> None:
        """Add part of a retry to the budget of the request's origin, after a success."""
        key = origin(request.url)
        self._retries[key] = min(_RETRIES, self._retries.get(key, _RETRIES) + _EARNED_RETRIES)


class SharedRateLimits:
    """The `RateLimits` that clients of equal credential, API address, rates and clock share in an event loop.

    They are looked up when first needed in a loop, since a client may be made before there is one, and
    dropped with the last client that uses them.
    """

    def __init__(self, credentials: Credentials, config: Config, clock: Clock) -> None:
        self._owners = credentials, clock  # an id in the key is unique only while its object lives
        self._rates = config.rates
        self._key = (
            _hashable(credentials),
            origin(config.base_url),
            frozenset(config.rates.items()),
            _hashable(clock),
        )
        self._limits = PerLoop(self._look_up)

    def here(self) -> RateLimits:
        """Return the limits of the running event loop."""
        return self._limits.here()

    def _look_up(self) -> RateLimits:
        shared = _shared.get(None)
        if shared is None:
            _shared.set(shared := WeakValueDictionary())
        found = shared.get(self._key)
        if found is None:
            found = shared[self._key] = RateLimits(self._rates, self._owners[1])
        return found


_shared: RunVar["WeakValueDictionary[Hashable, RateLimits]"] = RunVar("planet_async.rate_limits")


def _hashable(value: object) -> Hashable:
    try:
        hash(value)
    except TypeError:
        return id(value)
    return value
