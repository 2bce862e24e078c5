"""`RateLimit` sends requests at the rate that the API allows."""

import logging
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from hashlib import sha256
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import anyio
import msgspec
from anyio.lowlevel import RunVar
from attrs import astuple, define, has

from planet_async._events import Queued, observer, request_fields
from planet_async._loops import PerLoop
from planet_async.auth.credentials import ApiKey, Credentials
from planet_async.clock import Clock
from planet_async.config import Config, Rates, Window
from planet_async.databases.database import Database, Transaction
from planet_async.databases.shared import SharedDatabase
from planet_async.errors import StatusError, TooManyRequests
from planet_async.http import Request, Response, Transport, origin, queued_for

_PAUSE_SECONDS = 1.0  # after a 429 without Retry-After
_LONGEST_PAUSE = 300.0  # after any 429: one absurd Retry-After must not stop a client for good

_SPACING = 1.01  # a hundredth more than allowed: requests may move closer to each other on their way
_SPACING_OF_MACHINES = 1.03  # and those of several machines have a database on their way, too
_UNUSED = 0.1  # seconds after its moment, until which a reserved turn may still be used
_STOPPED = 1.0  # seconds after its moment: the process, or the machine, was stopped while it slept
_SET_BACK = 60.0  # seconds, by which a clock may be set back; by more, it is another one
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

T = TypeVar("T")


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
            await limiter.on_throttled(turn, min(pause, _LONGEST_PAUSE))
            raise
        except StatusError as error:
            if not error.transient:  # a 404 was let through; a 503 says nothing about the rate
                limiter.on_success(turn)
            raise
        limiter.on_success(turn)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


@define
class TurnState:
    """The state of a queue: when its next turn is free, its pace, and when turns were taken; pure.

    The pace is the share of the allowed rate that is used.  A 429 halves it, once for all requests that were
    in flight.  Each success raises it: by little near the pace of the last 429, by more below and above.  So
    the queue stays just below what the server accepts, and returns to the full rate when the server does.
    Successes count, not seconds, since an idle queue learns nothing about the server.
    """

    sent: list[list[float]]  # for each window, when its last turns were
    next: float = 0.0
    turns: int = 0
    slowed_at: int = 0  # the last turn before the pace was halved
    pace: float = 1.0
    throttled_pace: float = 1.0  # the pace of the last 429
    paused_until: float = 0.0  # as asked for by the last 429
    updated: float = 0.0

    def set_back(self, now: float) -> None:
        """Move all times back where the clock was set back since they were noted."""
        seconds = self.updated - now
        if seconds > 0:
            self.sent = [[at - seconds for at in sent] for sent in self.sent]
            self.next -= seconds
            self.paused_until -= seconds
            self.updated = now

    def free_at(self, windows: Sequence[Window], spacing: float) -> float:
        """Return when the next turn is free: evenly spaced by the first window, and within all of them."""
        free_at = self.next
        for number, (window, sent) in enumerate(zip(windows, self.sent, strict=True)):
            # The spacing applies the pace to the shortest window; the longer ones allow fewer requests.
            limit = max(1, int(window.limit * self.pace)) if number else window.limit
            if len(sent) >= limit:
                free_at = max(free_at, sent[-limit] + spacing * window.seconds)
        return free_at

    def take(self, at: float, windows: Sequence[Window], spacing: float) -> int:
        """Take the next turn, at that time, and return its number."""
        interval = spacing * windows[0].seconds / windows[0].limit / self.pace
        # A turn taken late does not delay all that follow, by up to one interval; at full pace only,
        # since two requests at once may be too many for a server that is throttling.
        saved = interval if self.pace == 1 else 0.0
        self.next = max(self.next, at - saved) + interval
        for window, sent in zip(windows, self.sent, strict=True):
            sent.append(at)
            del sent[: -window.limit]
        self.turns += 1
        return self.turns

    def throttle(self, turn: int, now: float, seconds: float) -> None:
        """Stop for that many seconds and halve the pace: the request of that turn got a 429."""
        self.paused_until = max(self.paused_until, now + seconds)
        self.next = max(self.next, self.paused_until)
        if turn > self.slowed_at:  # otherwise it was in flight when the pace was halved
            self.slowed_at = self.turns
            self.throttled_pace = self.pace
            self.pace = max(_SLOWEST, self.pace / 2)

    def succeed(self, turn: int) -> None:
        """Raise the pace: the request of that turn was not throttled."""
        if self.pace < 1 and turn > self.slowed_at:
            below = _GAIN_BELOW * (_SAFE * self.throttled_pace - self.pace)
            above = _GAIN_ABOVE * (self.pace - self.throttled_pace)
            self.pace = min(1.0, self.pace + max(_LEAST_GAIN, below, above))


class RateLimiter:
    """One queue of one event loop: requests are spaced evenly, and no window is ever exceeded."""

    def __init__(self, windows: tuple[Window, ...], clock: Clock) -> None:
        self._windows = sorted(windows, key=lambda window: window.seconds)
        self._clock = clock
        self._head = anyio.Lock(fast_acquire=True)  # only the first in the queue sleeps
        self._state = TurnState([[] for _ in windows])
        self._rates = " and ".join(map(_described, windows))
        self._is_long = False  # since a request was queued for long, and until one is not

    @property
    def queued_for(self) -> str:
        """The name of the queue, for messages."""
        slowed_down = ", slowed down after a 429" if self._state.pace < 1 else ""
        return f"its turn at {self._rates}{slowed_down}"

    async def acquire(self, request: Request) -> int:
        """Wait for a turn and return its number; if cancelled, no turn is used up."""
        began = self._clock.monotonic()
        async with self._head:
            turn = await self._wait(request, began)
        queued = self._clock.monotonic() - began
        if queued >= _NOTICEABLE and (observe := observer.get()) is not None:
            observe(Queued("rate", queued))
        return turn

    async def _wait(self, request: Request, began: float) -> int:
        """Return the turn of the first in the queue when it has come."""
        while True:
            now = self._clock.monotonic()
            pause = self._state.free_at(self._windows, _SPACING) - now
            if pause <= 0:
                return self._state.take(now, self._windows, _SPACING)
            self._log_long_queue(request, now + pause - began)
            await self._clock.sleep(pause)

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

    async def on_throttled(self, turn: int, seconds: float) -> None:
        """Stop the queue for that many seconds and halve its pace: the request of that turn got a 429."""
        self._state.throttle(turn, self._clock.monotonic(), seconds)

    def on_success(self, turn: int) -> None:
        """Raise the pace: the request of that turn was not throttled."""
        self._state.succeed(turn)


class SharedRateLimiter(RateLimiter):
    """A queue that event loops, processes and machines share, each with a queue of its own before it.

    The state is a row of a database, and its times are by the clock of that.  The first in the queue of this
    event loop reserves a moment, and sleeps until then; so a process that ends leaves one moment unused.
    """

    def __init__(
        self, windows: tuple[Window, ...], clock: Clock, database: SharedDatabase, key: str, spacing: float
    ) -> None:
        super().__init__(windows, clock)
        self._database = database
        self._key = key
        self._row = ""
        self._spacing = spacing
        self._reserved: tuple[int, float] | None = None  # a turn, and its moment by the clock of this process
        self._succeeded: list[int] = []  # turns, to be counted with the next reservation

    async def _wait(self, request: Request, began: float) -> int:
        while True:
            reserved = self._reserved
            if reserved is None or self._clock.monotonic() > reserved[1] + _UNUSED:
                reserved = await self._change(self._reserve, self._keep)
            turn, moment = reserved
            now = self._clock.monotonic()
            if moment > now:
                self._log_long_queue(request, moment - began)
                await self._clock.sleep(moment - now)
                is_late = self._clock.monotonic() > moment + _STOPPED
                if is_late or await self._change(_is_paused):  # another request has met a 429 since
                    self._reserved = None
                    continue
            self._reserved = None
            return turn

    async def on_throttled(self, turn: int, seconds: float) -> None:
        await self._change(lambda state, now: state.throttle(turn, now, seconds))

    def on_success(self, turn: int) -> None:
        if self._state.pace < 1:
            self._succeeded.append(turn)

    def _reserve(self, state: TurnState, now: float) -> tuple[int, float]:
        for turn in self._succeeded:
            state.succeed(turn)
        self._succeeded.clear()
        moment = max(now, state.free_at(self._windows, self._spacing))
        return state.take(moment, self._windows, self._spacing), self._clock.monotonic() + moment - now

    def _keep(self, reserved: tuple[int, float]) -> None:
        self._reserved = reserved

    async def _change(
        self, change: Callable[[TurnState, float], T], then: Callable[[T], None] | None = None
    ) -> T:
        """Change the row, and return what `change` returns; it is called again where another was faster.

        `then` is called with what is returned, also where this call was cancelled when it was changed.
        """
        self._row = self._row or await self._database.keyed_hash(self._key)

        def act(database: Database) -> tuple[TurnState | None, T]:
            state, result = database.transact(partial(self._try, change))
            if state is not None:
                self._state = state
                if then is not None:
                    then(result)
            return state, result

        while True:
            state, result = await self._database.call(act)
            if state is not None:
                return result

    def _try(self, change: Callable[[TurnState, float], T], work: Transaction) -> tuple[TurnState | None, T]:
        rows = work.execute(
            "SELECT state, version, {now} AS now FROM planet_async_limiters WHERE key = :key", key=self._row
        )
        if not rows:
            work.execute(
                "INSERT INTO planet_async_limiters VALUES (:key, '', 0) ON CONFLICT (key) DO NOTHING",
                key=self._row,
            )
            return self._try(change, work)
        row, now = rows[0], rows[0]["now"]
        try:
            state = msgspec.json.decode(row["state"], type=TurnState) if row["state"] else None
        except msgspec.DecodeError:
            state = None
        if state is None or state.updated > now + _SET_BACK:  # it began anew when the machine was started
            state = TurnState([[] for _ in self._windows])
        state.set_back(now)
        before = msgspec.json.encode(state)
        result = change(state, now)
        after = msgspec.json.encode(state)
        if before == after:
            return state, result
        state.updated = now
        changed = work.execute(
            "UPDATE planet_async_limiters SET state = :state, version = version + 1"
            " WHERE key = :key AND version = :version RETURNING version",
            state=msgspec.json.encode(state).decode(),
            key=self._row,
            version=row["version"],
        )
        return state if changed else None, result


def _is_paused(state: TurnState, now: float) -> bool:
    return state.paused_until > now


def _described(window: Window) -> str:
    requests = "request" if window.limit == 1 else "requests"
    unit = {1.0: "a second", 60.0: "a minute"}.get(window.seconds, f"in {window.seconds:g} s")
    return f"{window.limit} {requests} {unit}"


class RateLimits:
    """The rate limiters, and the retry budgets, of one credential."""

    def __init__(self, make: Callable[[str, tuple[Window, ...]], RateLimiter], rates: Rates) -> None:
        self._limiters = {name: make(name, windows) for name, windows in rates.items() if windows}
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
    """The `RateLimits` that clients of equal credential, API address, rates and clock share.

    Without a database they share them in an event loop: they are looked up when first needed in a loop, since
    a client may be made before there is one, and dropped with the last client that uses them.  With one, the
    rate limiters are shared through that, by all that use it.
    """

    def __init__(
        self,
        credentials: Credentials,
        config: Config,
        clock: Clock,
        database: PerLoop[SharedDatabase] | None = None,
    ) -> None:
        self._owners = credentials, clock  # an id in the key is unique only while its object lives
        self._rates = config.rates
        self._origin = origin(config.base_url)
        self._key = (
            _hashable(credentials),
            self._origin,
            frozenset(config.rates.items()),
            _hashable(clock),
        )
        self._identity = _identity(credentials)
        self._database = None if self._identity is None else database
        self._limits = PerLoop(self._look_up if self._database is None else self._make)

    def here(self) -> RateLimits:
        """Return the limits of the running event loop."""
        return self._limits.here()

    def _make(self) -> RateLimits:
        return RateLimits(self._limiter, self._rates)

    def _limiter(self, name: str, windows: tuple[Window, ...]) -> RateLimiter:
        _, clock = self._owners
        if self._database is None:
            return RateLimiter(windows, clock)
        database = self._database.here()
        spacing = _SPACING_OF_MACHINES if database.in_thread else _SPACING
        rate = [(int(window.limit), float(window.seconds)) for window in windows]
        identity = f"{self._identity} {self._origin} {name} {rate}"
        return SharedRateLimiter(windows, clock, database, sha256(identity.encode()).hexdigest(), spacing)

    def _look_up(self) -> RateLimits:
        shared = _shared.get(None)
        if shared is None:
            _shared.set(shared := WeakValueDictionary())
        found = shared.get(self._key)
        if found is None:
            found = shared[self._key] = self._make()
        return found


_shared: RunVar["WeakValueDictionary[Hashable, RateLimits]"] = RunVar("planet_async.rate_limits")


def _hashable(value: object) -> Hashable:
    try:
        hash(value)
    except TypeError:
        return id(value)
    return value


def _identity(credentials: Any) -> str | None:
    """Return a hash that is equal in all processes with an equal credential.

    None: it is a credential of another kind, such as an object that signs, which only its process knows.
    """
    kind = type(credentials)
    values: tuple[Any, ...] = ()
    if isinstance(credentials, ApiKey):
        values = (credentials.key,)  # however it is sent
    elif kind.__module__.startswith("planet_async.") and has(kind):
        values = astuple(credentials, recurse=False)
    if not values or not all(isinstance(value, str | None) for value in values):
        return None
    text = "\n".join([kind.__name__, *(value or "" for value in values)])
    return sha256(text.encode()).hexdigest()
