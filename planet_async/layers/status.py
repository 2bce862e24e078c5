"""`RaiseForStatus`: below it statuses and unread bodies, above it answers and errors."""

import re
from datetime import datetime
from functools import partial

from planet_async.clock import Clock
from planet_async.errors import PlanetError, StatusError, status_class
from planet_async.http import Request, Response, Transport, http_date
from planet_async.layers.body import start_of_body, whole_body
from planet_async.layers.error_body import parse_error_body
from planet_async.redaction import redact, secrets_in

_FIRST_REFUSAL = 300
_MOST_READ = 1 << 16  # bytes of a refusal
_SHOWN = 2000  # characters of a refusal that an error keeps
_SECONDS = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
_RETRY_IN = re.compile(r"retry-in\s+(\d+(?:\.\d+)?)\s*(ms|s)", re.ASCII | re.IGNORECASE)
_DIGITS = 9  # of a number of seconds; more of them could be infinitely many seconds
_HINTS = {
    301: "The server moved this address; requests that change something do not follow it.",
    401: "Check the API key (PL_API_KEY) or token.",
    403: "The account may not do this; for reports, an Organization Administrator's key is needed.",
    404: "It does not exist, or belongs to another user, or the base URL is another than the API's.",
    429: "Fewer clients at once, or smaller rates in Config(rates=...), avoid this.",
}


class RaiseForStatus:
    """Turns a refusal into an error, read and closed here, and reads every other body that is not streamed.

    A body that breaks off is thus met inside of `Retry`; BodyTooLarge is raised for one of more than
    `max_body_bytes`.  Errors are told how many seconds it took: `elapsed`.
    """

    def __init__(self, inner: Transport, clock: Clock, max_body_bytes: int = 256 << 20) -> None:
        self._inner = inner
        self._clock = clock
        self._most = max_body_bytes

    async def send(self, request: Request) -> Response:
        """Send; return only what succeeded."""
        began = self._clock.monotonic()
        try:
            return await self._answer(request)
        except PlanetError as error:
            error.elapsed = self._clock.monotonic() - began
            raise

    async def _answer(self, request: Request) -> Response:
        response = await self._inner.send(request)
        if response.status >= _FIRST_REFUSAL:
            now = http_date(response.headers.get("date")) or self._clock.now()
            # The status counts even where the body breaks off.
            raise status_error(request, response, await start_of_body(response, _MOST_READ), now)
        if request.stream:
            return response
        body = await whole_body(request, response, self._most)
        return Response(response.status, response.headers, body, url=response.url)

    async def aclose(self) -> None:
        """Close the transport inside."""
        await self._inner.aclose()


def status_error(request: Request, response: Response, body: bytes, now: datetime) -> StatusError:
    """Make the error that a refusal stands for."""
    shown = partial(redact, secrets=(*response.confidential, *secrets_in(request.body)))
    text = shown(body.decode("utf-8", "replace"))
    message, field_errors = parse_error_body(text.encode())
    return status_class(response.status)(
        f"{response.status} {shown(message)}".rstrip(),
        status=response.status,
        request=request,
        hint=_HINTS.get(response.status, ""),
        field_errors={shown(name): [*map(shown, texts)] for name, texts in field_errors.items()},
        body=text[:_SHOWN],
        retry_after=_retry_after(response.headers.get("retry-after", ""), text, now),
        request_id=shown(response.headers.get("x-request-id", "")) or None,
    )


def _retry_after(header: str, text: str, now: datetime) -> float | None:
    """Give the seconds the server asks for: a number, a date, or `retry-in 200ms` (or `2s`) in the text."""
    header = header.strip()
    if _SECONDS.fullmatch(header):
        return float(header[:_DIGITS])
    date = http_date(header)
    if date is not None:
        return max(0.0, (date - now).total_seconds())
    match = _RETRY_IN.search(text[:_SHOWN])
    if match is None:
        return None
    number, unit = float(match[1][:_DIGITS]), match[2].lower()
    return number / 1000 if unit == "ms" else number
