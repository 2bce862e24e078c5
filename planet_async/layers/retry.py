"""`Retry` tries again what failed in passing, by one law.

**A request that may have been acted on is never sent again unless it is repeatable.**
"""

import logging
import random
from math import inf

from planet_async.clock import Clock
from planet_async.config import Config
from planet_async.errors import DeadlineExceeded, PlanetError, TooManyRequests
from planet_async.http import Request, Response, Transport
from planet_async.layers.budget import SharedBudget
from planet_async.layers.rate_limit import under_way

_MOST_DOUBLINGS = 64  # of a pause: 429s may come by the thousand, and a float overflows at 1024

logger = logging.getLogger("planet_async")


class Retry:
    """Sends until it succeeds, the attempts or the seconds of `Config` are used up, or it would be harmful.

    Pauses grow exponentially with full jitter, and are never shorter than the server asked for.  A 429 does
    not count as an attempt, since nothing was done; only `retry_for` and `deadline` end those.
    """

    def __init__(
        self,
        inner: Transport,
        config: Config,
        clock: Clock,
        budget: SharedBudget,
        *,
        jitter: random.Random | None = None,
    ) -> None:
        self._inner = inner
        self._config = config
        self._clock = clock
        self._budget = budget
        self._uniform = (jitter or random).uniform  # spreads load, guards nothing

    async def send(self, request: Request) -> Response:
        """Send, again where that is safe and of use; the last error tells of the attempts in its notes."""
        deadline = self._config.deadline
        failures: list[PlanetError] = []
        try:
            if deadline is None:
                return await self._send(request, failures, inf)
            under_way.set(True)
            with self._clock.move_on_after(deadline):
                return await self._send(request, failures, self._clock.monotonic() + deadline)
            raise _out_of_time(deadline, request, failures)
        finally:
            failures.clear()  # they keep this frame, which keeps them, and all that the network held

    async def aclose(self) -> None:
        """Close the transport inside."""
        await self._inner.aclose()

    async def _send(self, request: Request, failures: list[PlanetError], end: float) -> Response:
        first_failure = 0.0
        while True:
            try:
                response = await self._inner.send(request)
            except PlanetError as error:
                now = self._clock.monotonic()
                if not failures:
                    first_failure = now  # to wait long for a turn is no failure
                    end = min(end, now + self._config.retry_for)
                failures.append(error)
                pause = self._pause(request, failures, end - now)
                if pause is None:
                    _tell_attempts(failures, now - first_failure)
                    raise
                logger.info("trying again in %.1f s: %s", pause, error)
                under_way.set(False)
                await self._clock.sleep(pause)
                under_way.set(True)
            else:
                self._budget.here().earn_retry(request)
                return response

    def _pause(self, request: Request, failures: list[PlanetError], seconds_left: float) -> float | None:
        error = failures[-1]
        attempts = sum(not isinstance(failure, TooManyRequests) for failure in failures)
        if not worth_repeating(request, error) or attempts >= self._config.max_attempts:
            return None
        grown = self._config.first_backoff * 2.0 ** min(len(failures) - 1, _MOST_DOUBLINGS)
        longest = min(self._config.longest_backoff, grown)
        pause = self._uniform(0, longest) + (error.retry_after or 0.0)
        if pause > seconds_left:
            return None
        if not isinstance(error, TooManyRequests) and not self._budget.here().spend_retry(request):
            error.add_note("not tried again: too many requests to this service are failing")
            return None
        return pause


def worth_repeating(request: Request, error: PlanetError) -> bool:
    """Say whether a request that failed so may, and should, be sent again."""
    return error.transient and (request.repeatable or not error.may_have_acted)


def _tell_attempts(failures: list[PlanetError], elapsed: float) -> None:
    *earlier, last = failures
    _note(last, earlier)
    if earlier:
        last.add_note(f"gave up after {len(failures)} attempts in {elapsed:.1f} s")


def _out_of_time(deadline: float, request: Request, failures: list[PlanetError]) -> DeadlineExceeded:
    doing = "the answer was awaited" if under_way.get() else "it waited for its turn"
    error = DeadlineExceeded(
        f"not done within {deadline:g} s: the deadline passed while {doing}",
        request=request,
        hint="Config(deadline=...) and with_options(deadline=...) set it.",
    )
    error.may_have_acted = under_way.get() or any(failure.may_have_acted for failure in failures)
    _note(error, failures)
    return error


def _note(error: PlanetError, earlier: list[PlanetError]) -> None:
    for number, failure in enumerate(earlier, start=1):
        error.add_note(f"attempt {number}: {failure.message}")
