"""`Retry` sends a request again when it failed for a reason that may pass.

**A request that the server may have acted on is never sent again, unless it is repeatable.**
"""

import logging
import random
from math import inf

from planet_async._events import RetryScheduled, attempt, error_fields, observer, request_fields
from planet_async.clock import Clock
from planet_async.config import Config
from planet_async.errors import DeadlineExceeded, PlanetError, TooManyRequests
from planet_async.http import Request, Response, Transport, queued_for
from planet_async.layers.rate_limit import SharedRateLimits

_LONG_PAUSE = 5.0  # seconds, from which on a retry is a warning, as is the third one
_MANY_FAILURES = 3
_MOST_DOUBLINGS = 64  # of a pause: a float overflows at 1024, and attempts may be unlimited

logger: logging.Logger = logging.getLogger("planet_async.retry")


class Retry:
    """Sends until a request succeeds, may not be sent again, or `max_attempts` or `retry_for` are used up.

    Pauses grow exponentially with full jitter, and are never shorter than the server asked for.  `deadline`
    bounds everything together.  The notes of the error that is raised name the earlier attempts.
    """

    def __init__(
        self,
        inner: Transport,
        config: Config,
        clock: Clock,
        limits: SharedRateLimits,
        *,
        jitter: random.Random | None = None,
    ) -> None:
        self._inner = inner
        self._config = config
        self._clock = clock
        self._limits = limits
        self._uniform = (jitter or random).uniform  # not for cryptography

    async def send(self, request: Request) -> Response:
        deadline = self._config.deadline
        failures: list[PlanetError] = []
        try:
            if deadline is None:
                return await self._send(request, failures, inf)
            with self._clock.move_on_after(deadline):
                return await self._send(request, failures, self._clock.monotonic() + deadline)
            raise _deadline_exceeded(deadline, request, failures)
        finally:
            failures.clear()  # breaks a reference cycle: their tracebacks hold this frame

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def _send(self, request: Request, failures: list[PlanetError], deadline: float) -> Response:
        first_failure = 0.0
        while True:
            queued_for.set("")
            attempt.set(len(failures) + 1)
            try:
                response = await self._inner.send(request)
            except PlanetError as error:
                now = self._clock.monotonic()
                if not failures:
                    first_failure = now
                failures.append(error)
                error.attempts = len(failures)
                retry_for = self._config.retry_for
                left, limit = min(
                    (first_failure + retry_for - now, f"retry_for={retry_for:g}"),
                    (deadline - now, f"deadline={self._config.deadline}"),
                )
                pause = self._pause(request, failures, left, limit)
                if pause is None:
                    _note_attempts(failures, now - first_failure)
                    raise
                _report(request, error, pause)
                queued_for.set("the next attempt")
                await self._clock.sleep(pause)
            else:
                self._limits.here().earn_retry(request)
                return response

    def _pause(self, request: Request, failures: list[PlanetError], left: float, limit: str) -> float | None:
        error = failures[-1]
        if not worth_repeating(request, error) or len(failures) >= self._config.max_attempts:
            return None
        asked = error.retry_after or 0.0
        if asked > left:
            too_long = (
                f"The server asked to wait {asked:g} s, longer than the {left:g} s left of Config({limit})."
            )
            error.hint = f"{too_long} {error.hint}".rstrip()
            return None
        grown = self._config.first_backoff * 2.0 ** min(len(failures) - 1, _MOST_DOUBLINGS)
        pause = self._uniform(0, min(self._config.longest_backoff, grown)) + asked
        if pause > left:
            return None
        # A 429 is no sign that the service is failing.
        if not isinstance(error, TooManyRequests) and not self._limits.here().spend_retry(request):
            error.add_note("not sent again: too many requests to this service are failing")
            return None
        return pause


def _report(request: Request, error: PlanetError, pause: float) -> None:
    if (observe := observer.get()) is not None:
        observe(RetryScheduled(error, pause))
    is_unusual = pause > _LONG_PAUSE or error.attempts >= _MANY_FAILURES
    logger.log(
        logging.WARNING if is_unusual else logging.INFO,
        "trying again in %.1f s: %s",
        pause,
        str(error),  # what keeps the record must not keep the error, which keeps what had been read
        extra={**request_fields(request), **error_fields(error), "retry_in": pause},
    )


def worth_repeating(request: Request, error: PlanetError) -> bool:
    """Return whether a request may be sent again after this error, and whether that may help."""
    return error.transient and (request.repeatable or not error.may_have_acted)


def _note_attempts(failures: list[PlanetError], elapsed: float) -> None:
    *earlier, last = failures
    _note(last, earlier)
    if earlier:
        last.add_note(f"gave up after {len(failures)} attempts in {elapsed:.1f} s")


def _deadline_exceeded(deadline: float, request: Request, failures: list[PlanetError]) -> DeadlineExceeded:
    queue = queued_for.get()
    if not queue:
        doing = "the response was awaited"
    elif failures:
        doing = f"it was queued for {queue}"
    else:
        doing = f"it was queued for {queue}; nothing was sent"
    error = DeadlineExceeded(
        f"not done within {deadline:g} s: {doing}",
        request=request,
        hint="Config(deadline=...) and with_options(deadline=...) set it.",
    )
    error.attempts = len(failures) + (not queue)
    error.may_have_acted = not queue or any(failure.may_have_acted for failure in failures)
    _note(error, failures)
    return error


def _note(error: PlanetError, earlier: list[PlanetError]) -> None:
    for number, failure in enumerate(earlier, start=1):
        error.add_note(f"attempt {number}: {failure.message}")
