"""`Retry` tries again what failed in passing, by one law.

**A request that may have been acted on is never sent again unless it is repeatable.**
"""

import logging
import random

from planet_async.clock import Clock
from planet_async.config import Config
from planet_async.errors import PlanetError, TooManyRequests
from planet_async.http import Request, Response, Transport, origin

logger = logging.getLogger("planet_async")

_ALLOWANCE = 20.0  # retries that an origin has in store at first, and at most
_EARNED = 0.1  # retries that each answered request adds: a sick service gets a tenth more load, not six times


class Retry:
    """Sends until it succeeds, the attempts or the seconds of `Config` are used up, or it would be harmful.

    Pauses grow exponentially with full jitter, and are never shorter than the server asked for.  A 429 does
    not count as an attempt, since nothing was done; only the deadline ends those.
    """

    def __init__(
        self, inner: Transport, config: Config, clock: Clock, *, jitter: random.Random | None = None
    ) -> None:
        self._inner = inner
        self._config = config
        self._clock = clock
        self._random = jitter or random.Random()  # noqa: S311 - spreads load, guards nothing
        self._allowance: dict[tuple[str, str, int], float] = {}

    async def send(self, request: Request) -> Response:
        """Send, again where that is safe and of use; the last error tells of the attempts in its notes."""
        failures: list[PlanetError] = []
        first_failure = 0.0
        while True:
            try:
                response = await self._inner.send(request)
            except PlanetError as error:
                if not failures:
                    first_failure = self._clock.monotonic()  # to wait long for a turn is no failure
                failures.append(error)
                elapsed = self._clock.monotonic() - first_failure
                pause = self._pause(request, failures, elapsed)
                if pause is None:
                    _tell_attempts(failures, elapsed)
                    raise
                logger.info("%s; again in %.1f s", error, pause)
                await self._clock.sleep(pause)
            else:
                self._earn(request)
                return response

    async def aclose(self) -> None:
        """Close the transport inside."""
        await self._inner.aclose()

    def _pause(self, request: Request, failures: list[PlanetError], elapsed: float) -> float | None:
        error = failures[-1]
        attempts = sum(not isinstance(failure, TooManyRequests) for failure in failures)
        if not worth_repeating(request, error) or attempts >= self._config.max_attempts:
            return None
        longest = min(self._config.longest_backoff, self._config.first_backoff * 2.0 ** (len(failures) - 1))
        pause = self._random.uniform(0, longest) + (error.retry_after or 0.0)
        if elapsed + pause > self._config.deadline:
            return None
        if not isinstance(error, TooManyRequests) and not self._spend(request):
            error.add_note("not tried again: too many requests to this service are failing")
            return None
        return pause

    def _spend(self, request: Request) -> bool:
        left = self._allowance.get(origin(request.url), _ALLOWANCE)
        if left < 1:
            return False
        self._allowance[origin(request.url)] = left - 1
        return True

    def _earn(self, request: Request) -> None:
        key = origin(request.url)
        self._allowance[key] = min(_ALLOWANCE, self._allowance.get(key, _ALLOWANCE) + _EARNED)


def worth_repeating(request: Request, error: PlanetError) -> bool:
    """Say whether a request that failed so may, and should, be sent again."""
    return error.transient and (request.repeatable or not error.may_have_acted)


def _tell_attempts(failures: list[PlanetError], elapsed: float) -> None:
    *earlier, last = failures
    for number, failure in enumerate(earlier, start=1):
        last.add_note(f"attempt {number}: {failure.message}")
    if earlier:
        last.add_note(f"gave up after {len(failures)} attempts in {elapsed:.1f} s")
