"""`RaiseForStatus`: below it statuses and unread bodies, above it answers and errors."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from io import BytesIO
from typing import Any

import msgspec

from planet_async.clock import Clock
from planet_async.errors import (
    BodyTooLarge,
    DecodeError,
    PlanetError,
    StatusError,
    TransportError,
    status_class,
)
from planet_async.http import Request, Response, Transport, announced_length, http_date
from planet_async.redaction import redact, secrets_in


async def whole_body(request: Request, response: Response, most: int) -> bytes:
    """Read and close; BodyTooLarge as soon as it is known to be longer than `most` bytes."""
    try:
        announced = 0 if request.method == "HEAD" else announced_length(response.headers) or 0
        if announced > most:
            raise _too_large(request, most)
        body = response.content
        if body is None:
            memory = BytesIO()  # a list of chunks would weigh forty times as much where each is a byte
            async for chunk in response.chunks():
                memory.write(chunk)
                if memory.tell() > most:
                    break
            body = memory.getvalue()
    finally:
        await response.aclose()
    if len(body) > most:
        raise _too_large(request, most)
    return body


async def start_of_body(response: Response, most: int) -> bytes:
    """Read and close; return the first `most` bytes, or fewer where the body ends or breaks off."""
    body = bytearray()
    try:
        async for chunk in response.chunks():
            body += chunk
            if len(body) >= most:
                break
    except (TransportError, DecodeError):
        pass  # what came must do, also where it is badly compressed
    finally:
        await response.aclose()
    return bytes(body[:most])


def _too_large(request: Request, most: int) -> BodyTooLarge:
    return BodyTooLarge(
        f"the answer is longer than {most:,} bytes and was not read",
        request=request,
        hint="Ask for smaller pages, or raise Config(max_body_bytes=...).",
    )


_SHOWN = 200  # characters of a body of no known shape
_MESSAGE = 2_000  # characters; `field_errors` has the texts in full
_DEEPEST = 10  # a message is not wrapped more often, and Python does not like to go on

FieldErrors = Mapping[str, Sequence[str]]


def parse_error_body(body: bytes) -> tuple[str, FieldErrors]:
    """Give what a refusal says, in one line, and what it says of single fields.

    Known shapes: Orders' ``{"general": [...], "field": {...}}``, ``{"message": ...}``, Reports'
    ``{"reason": ...}``, ``{"error": ...}``, Tasking's ``{"detail": ...}`` and ``{"field": ["..."]}``;
    anything else (HTML, text, half a document) is shown by its first line.
    """
    try:
        data = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _first_line(body), {}
    if not isinstance(data, dict):
        return _first_line(body), {}
    fields = _field_errors(data)
    said = [*_messages(data.get("general"))]
    said += [
        text for key in ("message", "reason", "error", "detail", "title") for text in _messages(data.get(key))
    ]
    said += [f"{name}: {text}" for name, texts in fields.items() for text in texts]
    return "; ".join(dict.fromkeys(said))[:_MESSAGE] or _first_line(body), fields


def _field_errors(data: Mapping[str, Any]) -> dict[str, list[str]]:
    nested = data.get("field")
    # Tasking (Django REST) has the fields at the top level.
    found = nested if isinstance(nested, dict) else {k: v for k, v in data.items() if isinstance(v, list)}
    texts = {str(name): _messages(value) for name, value in found.items() if name != "general"}
    return {name: value for name, value in texts.items() if value}


def _messages(value: object, depth: int = 0) -> list[str]:
    """Find the texts in a message, a list of them, or an object around one."""
    if isinstance(value, str):
        return [value.strip()] if value.strip() else []
    if depth > _DEEPEST:
        return []
    if isinstance(value, list):
        return [text for element in value[:20] for text in _messages(element, depth + 1)]
    if isinstance(value, dict):
        return _messages(value.get("message") or value.get("error") or value.get("detail"), depth + 1)
    return []


def _first_line(body: bytes) -> str:
    text = body[: 4 * _SHOWN].decode("utf-8", "replace").strip()
    line = text.splitlines()[0] if text else "(no text)"
    return line[:_SHOWN]


_FIRST_REFUSAL = 300
_MOST_READ = 1 << 16  # bytes of a refusal
_KEPT = 2000  # characters of a refusal that an error keeps
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
    shown = partial(redact, secrets=(*response.secrets, *secrets_in(request.body)))
    text = shown(body.decode("utf-8", "replace"))
    message, field_errors = parse_error_body(text.encode())
    return status_class(response.status)(
        f"{response.status} {shown(message)}".rstrip(),
        status=response.status,
        request=request,
        hint=_HINTS.get(response.status, ""),
        field_errors={shown(name): [*map(shown, texts)] for name, texts in field_errors.items()},
        body=text[:_KEPT],
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
    match = _RETRY_IN.search(text[:_KEPT])
    if match is None:
        return None
    number, unit = float(match[1][:_DIGITS]), match[2].lower()
    return number / 1000 if unit == "ms" else number
