"""`RateLimit` lets requests out at the pace that the API allows."""

from collections import deque
from collections.abc import Hashable
from weakref import WeakValueDictionary

import anyio
from anyio.lowlevel import RunVar

from planet_async._loops import PerLoop
from planet_async.auth.credentials import Credentials
from planet_async.clock import Clock
from planet_async.config import Config, Rates, Window
from planet_async.errors import StatusError, TooManyRequests
from planet_async.http import Request, Response, Transport, origin, queued_for

_MARGIN = 1.01  # a hundredth slower than allowed: requests may get closer to each other on their way
_SLOWEST = 0.1  # of the allowed rate: below it a line would hardly notice that the server is well again
_LEAST_GAIN = 0.001  # of the allowed rate, for each answer
_UP_TO = 0.9  # of the pace that was refused: where to go soon
_GAIN_BELOW, _GAIN_BEYOND = 0.35, 0.05  # of the way to there, and of the way past the pace that was refused


class RateLimiter:
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

    async def acquire(self) -> int:
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


_ALLOWANCE = 20.0  # retries that an origin has in store at first, and at most
_EARNED = 0.1  # retries that each answered request adds: a sick service gets a tenth more load, not six times


class RateLimits:
    """The lines and the retries of one credential."""

    def __init__(self, rates: Rates, clock: Clock) -> None:
        self._lines = {name: RateLimiter(windows, clock) for name, windows in rates.items() if windows}
        self._retries: dict[tuple[str, str, int], float] = {}

    def line(self, operation: str) -> RateLimiter | None:
        """Give the line of an operation, or that of its API; None where it need not wait."""
        return self._lines.get(operation) or self._lines.get(operation.partition(".")[0])

    def spend_retry(self, request: Request) -> bool:
        """Take one retry from those of the request's origin, unless they are used up."""
        left = self._retries.get(origin(request.url), _ALLOWANCE)
        if left < 1:
            return False
        self._retries[origin(request.url)] = left - 1
        return True

    def earn_retry(self, request: Request) -> None:
        """Add a part of a retry to those of the request's origin, which has answered."""
        key = origin(request.url)
        self._retries[key] = min(_ALLOWANCE, self._retries.get(key, _ALLOWANCE) + _EARNED)


class SharedRateLimits:
    """The way to the budget that a client shares with others: equal credential, address, rates and clock.

    It is found, or made, by the event loop in which it is first asked for, since a client may be made before
    there is one; it is forgotten with its last client.
    """

    def __init__(self, credentials: Credentials, config: Config, clock: Clock) -> None:
        self._rates = config.rates
        self._clock = clock
        rates = frozenset((name, tuple(windows)) for name, windows in config.rates.items())
        self._key = _Key(_hashable(credentials), origin(config.base_url), rates, _hashable(clock))
        self._budgets = PerLoop(self._found)

    def here(self) -> RateLimits:
        """Return the budget of the running event loop."""
        return self._budgets.here()

    def _found(self) -> RateLimits:
        budgets = _budgets.get(None)
        if budgets is None:
            _budgets.set(budgets := WeakValueDictionary())
        found = budgets.get(self._key)
        if found is None:
            found = budgets[self._key] = RateLimits(self._rates, self._clock)
        return found


class _Key:
    """Says whether two clients share; its `repr` shows none of what it holds."""

    def __init__(self, *parts: Hashable) -> None:
        self._parts = parts
        self._hash = hash(parts)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self._parts == other._parts


class _Identity:
    """Stands for what cannot be hashed: equal only where it is the very same."""

    def __init__(self, thing: object) -> None:
        self._thing = thing

    def __hash__(self) -> int:
        return id(self._thing)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and self._thing is other._thing


def _hashable(thing: object) -> Hashable:
    try:
        hash(thing)
    except TypeError:
        return _Identity(thing)
    return thing


_budgets: RunVar["WeakValueDictionary[_Key, RateLimits]"] = RunVar("planet_async.budgets")


_SHUT_SECONDS = 1.0  # after a 429 that names no time
_LONGEST_SHUT = 300.0  # a server that names a longer time is asked again after this one, lest all hang


class RateLimit:
    """Makes requests of one class of operation wait in line, first come first served, for their turn.

    Only the head of a line sleeps.  A 429 shuts the gate for those already in line, and slows them down.
    """

    def __init__(self, inner: Transport, budget: SharedRateLimits) -> None:
        self._inner = inner
        self._budget = budget

    async def send(self, request: Request) -> Response:
        """Send when it is this request's turn."""
        line = self._budget.here().line(request.operation)
        if line is None:
            return await self._inner.send(request)
        queued_for.set(line.queued_for)
        turn = await line.acquire()
        queued_for.set("")
        try:
            response = await self._inner.send(request)
        except TooManyRequests as error:
            asked = _SHUT_SECONDS if error.retry_after is None else error.retry_after
            line.refused(turn, min(asked, _LONGEST_SHUT))
            raise
        except StatusError as error:
            if not error.transient:  # a 404 was let in; a 503 tells nothing of the pace
                line.answered(turn)
            raise
        line.answered(turn)
        return response

    async def aclose(self) -> None:
        """Close the transport inside."""
        await self._inner.aclose()
