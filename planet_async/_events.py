"""Events of a call between its start and its end, for the layer that traces it, and for logs.

A layer outside of `Retry` sees a call, and not its attempts.  So the layers within pass them to the
`observer` that an outer layer has set for the call: a context variable, as `queued_for` is, since a call is
made in one task, and no layer has to know who observes.
"""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Literal

from attrs import field, frozen

from planet_async.errors import PlanetError, StatusError
from planet_async.http import Request, without_query


@frozen
class Attempt:
    """A request was sent and its response came, or the error that is raised instead of it.

    Args:
        number: 1 for the first attempt of a call.
        seconds: How long it was with the network.
        status: The HTTP status, None where there was no response.
        error: The error, None where there was none.
    """

    number: int
    seconds: float
    status: int | None
    error: PlanetError | None = field(default=None, repr=False)


@frozen
class RetryScheduled:
    """An attempt has failed, and there will be another one after a pause of so many seconds."""

    error: PlanetError = field(repr=False)
    pause: float


@frozen
class Queued:
    """A request was queued for so many seconds, for its turn at a rate or for a connection."""

    queue: Literal["rate", "connection"]
    seconds: float


Event = Attempt | RetryScheduled | Queued

observer: ContextVar[Callable[[Event], None] | None] = ContextVar("planet_async.observer", default=None)
"""Called with each event of the calls that are made in this context."""

attempt: ContextVar[int] = ContextVar("planet_async.attempt", default=1)
"""The number of the attempt that this task's request is; set by `Retry`."""


# Logs


def request_fields(request: Request) -> dict[str, object]:
    """Return what a log record says of a request (`extra=`), without its query."""
    return {
        "operation": request.operation,
        "http_method": request.method,
        "url": without_query(request.url),
        "attempt": attempt.get(),
    }


def error_fields(error: PlanetError) -> dict[str, object]:
    """Return what a log record says of an error."""
    return {"error_type": type(error).__name__, "http_status": status_of(error)}


def status_of(error: PlanetError) -> int | None:
    """Return the HTTP status of a refusal, and None for another error."""
    return error.status if isinstance(error, StatusError) else None
