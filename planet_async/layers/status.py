"""`RaiseForStatus`: below it there are statuses and unread bodies, above it results and errors."""

import logging
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from io import BytesIO
from itertools import chain
from typing import Any

import msgspec

from planet_async._events import Attempt, attempt, error_fields, observer, request_fields, status_of
from planet_async.clock import Clock
from planet_async.errors import (
    BodyTooLarge,
    DecodeError,
    PlanetError,
    QuotaExceeded,
    StatusError,
    TransportError,
    TransportTimeout,
    status_class,
)
from planet_async.http import Request, Response, Transport, announced_length, http_date
from planet_async.redaction import redact, secrets_in, secrets_of_link

_FIRST_REFUSAL = 300
_TOO_MANY_REQUESTS = 429
_MOST_READ = 1 << 16  # bytes of the body of a refusal or a redirect
_READ_SECONDS = 5.0  # for those bytes
_LEAST_BYTES, _SLOW_SECONDS = 1000, 60.0
_KEPT = 2000  # characters of a body that an error keeps
_SHOWN = 200  # characters of a body of unknown shape in a message
_MESSAGE = 2000  # characters; `field_errors` has the texts in full
_MOST_TEXTS = 20  # of a list of messages
_DEEPEST = 10  # levels of a message
_DIGITS = 9  # of a number of seconds
# Where the JSON of a refusal has its texts, the fields they are about, and the name of such a field.
_TEXT_KEYS = (
    *("general", "message", "msg", "reason", "error", "error_description", "detail"),
    *("title", "description", "fault", "faultstring", "non_field_errors"),
)
_FIELDS_KEYS = ("field", "fields", "errors", "details")
_LOCATION_KEYS = ("loc", "field", "path", "pointer", "property")
_TITLE = re.compile(r"<title[^>]*>\s*([^<]*[^<\s])", re.IGNORECASE)
_TAG = re.compile(r"<[^>]*>")
_SECONDS = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
_RETRY_IN = re.compile(r"retry-in\s+(\d+(?:\.\d+)?)\s*(ms|s)", re.ASCII | re.IGNORECASE)
_HINTS = {
    301: "The server moved this address; requests that change something do not follow it.",
    401: "Check the API key (PL_API_KEY) or token.",
    403: "The account may not do this; for reports, an Organization Administrator's key is needed.",
    404: "It does not exist, or belongs to another user, or the base URL is not that of the API.",
    429: "Fewer clients at once, or smaller rates in Config(rates=...), avoid this.",
}


logger: logging.Logger = logging.getLogger("planet_async.http")


class RaiseForStatus:
    """Raises refusals as errors, and reads every body that is not streamed.

    So a body that breaks off is met inside `Retry`.  A body longer than `max_body_bytes` is BodyTooLarge; one
    that brings less than 1,000 bytes a minute is TransportTimeout, streamed or not.  `elapsed` of an error
    is how many seconds passed here.
    """

    def __init__(self, inner: Transport, clock: Clock, max_body_bytes: int = 64 << 20) -> None:
        self._inner = inner
        self._clock = clock
        self._most = max_body_bytes

    async def send(self, request: Request) -> Response:
        began = self._clock.monotonic()
        try:
            response = await self._send(request)
        except PlanetError as error:
            error.elapsed = self._clock.monotonic() - began
            _report(request, Attempt(attempt.get(), error.elapsed, status_of(error), error))
            raise
        if observer.get() is not None or logger.isEnabledFor(logging.DEBUG):
            seconds = self._clock.monotonic() - began
            _report(request, Attempt(attempt.get(), seconds, response.status))
        return response

    async def _send(self, request: Request) -> Response:
        response = await self._inner.send(request)
        if response.status >= _FIRST_REFUSAL:
            now = http_date(response.headers.get("date")) or self._clock.now()
            raise status_error(request, response, await start_of_body(response, self._clock), now)
        if response.content is None:
            chunks = SteadyBody(response.chunks(), request, self._clock)
            response = Response(
                response.status, response.headers, chunks, url=response.url, close=response.aclose
            )
        if request.stream:
            return response
        body = await whole_body(request, response, self._most)
        return Response(response.status, response.headers, body, url=response.url)

    async def aclose(self) -> None:
        await self._inner.aclose()


def _report(request: Request, done: Attempt) -> None:
    if (observe := observer.get()) is not None:
        observe(done)
    if not logger.isEnabledFor(logging.DEBUG):
        return
    fields = request_fields(request)
    fields |= {"http_status": done.status} if done.error is None else error_fields(done.error)
    logger.debug(
        "%s: %s: %s in %.0f ms, attempt %d",
        request.operation,
        request,
        done.status or type(done.error).__name__,
        done.seconds * 1000,
        done.number,
        extra={**fields, "seconds": done.seconds},
    )


# Bodies


class SteadyBody(AsyncIterator[bytes]):
    """A body that raises TransportTimeout when it brings less than 1,000 bytes a minute.

    A timeout for silence alone would wait for ever for a server that sends a byte now and then.  Only the
    time spent waiting for the server counts, not that of a slow reader.
    """

    def __init__(self, chunks: AsyncIterator[bytes], request: Request, clock: Clock) -> None:
        self._chunks = chunks
        self._request = request
        self._clock = clock
        self._waited = 0.0
        self._received = 0

    async def __anext__(self) -> bytes:
        began = self._clock.monotonic()
        chunk = await anext(self._chunks)
        self._waited += self._clock.monotonic() - began
        self._received += len(chunk)
        if self._waited >= _SLOW_SECONDS:
            if self._received < _LEAST_BYTES * self._waited / _SLOW_SECONDS:
                raise TransportTimeout(
                    f"only {self._received:,} bytes came in {self._waited:.0f} s", request=self._request
                )
            self._waited, self._received = 0.0, 0
        return chunk


async def whole_body(request: Request, response: Response, most: int) -> bytes:
    """Read and close; raise BodyTooLarge as soon as it is known to be longer than `most` bytes."""
    try:
        announced = 0 if request.method == "HEAD" else announced_length(response.headers) or 0
        if announced > most:
            raise _too_large(request, most)
        body = response.content
        if body is None:
            memory = BytesIO()  # a list of one-byte chunks would take forty times as much
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


async def start_of_body(response: Response, clock: Clock) -> bytes:
    """Read and close; return the first 64 KiB, or less where the body ends, breaks off, or takes seconds."""
    body = bytearray(response.content or b"")
    try:
        if response.content is None:
            with clock.move_on_after(_READ_SECONDS):
                async for chunk in response.chunks():
                    body += chunk
                    if len(body) >= _MOST_READ:
                        break
    except (TransportError, DecodeError):
        pass
    finally:
        await response.aclose()
    return bytes(body[:_MOST_READ])


def _too_large(request: Request, most: int) -> BodyTooLarge:
    return BodyTooLarge(
        f"the response is longer than {most:,} bytes and was not read",
        request=request,
        hint="Ask for smaller pages, or raise Config(max_body_bytes=...).",
    )


# Refusals


def status_error(request: Request, response: Response, body: bytes, now: datetime) -> StatusError:
    """Return the error for a refusal, without the secrets of the request, which servers may repeat."""
    links = [url for url in (request.url, response.url) if request.stream]
    secrets = chain(response.secrets, secrets_in(request.body), *map(secrets_of_link, links))
    shown = partial(redact, secrets=tuple(secrets))
    text = shown(body.decode("utf-8", "replace"))
    message, field_errors = parse_error_body(text.encode())
    cls, hint = status_class(response.status), _HINTS.get(response.status, "")
    if response.status == _TOO_MANY_REQUESTS and "quota" in message.lower():
        cls, hint = QuotaExceeded, "Sending it again does not help before there is more quota."
    return cls(
        f"{response.status} {shown(message)}".rstrip(),
        status=response.status,
        request=request,
        hint=hint,
        field_errors={shown(name): [*map(shown, texts)] for name, texts in field_errors.items()},
        body=text[:_KEPT],
        retry_after=_retry_after(response.headers.get("retry-after", ""), text, now),
        request_id=shown(response.headers.get("x-request-id", "")) or None,
    )


def _retry_after(header: str, text: str, now: datetime) -> float | None:
    """Return the seconds the server asks for: a number, a date, or `retry-in 200ms` (or `2s`) in the text."""
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


def parse_error_body(body: bytes) -> tuple[str, Mapping[str, Sequence[str]]]:
    """Return what a refusal says, in one line, and what it says about single fields.

    JSON of any shape is searched for texts under the usual names, at any depth:

    - Orders, Data, Basemaps: ``{"general": [{"message": ...}], "field": {"Products": [{"message": ...}]}}``
    - Subscriptions: ``{"error": {"reason": ..., "details": [...]}}``
    - Reports, Destinations, Tasking: ``{"reason": ...}``, ``{"code": ..., "message": ...}``,
      ``{"detail": ...}``, ``{"name": ["This field is required."], "geometry": {"type": [...]}}``
    - Features: ``{"errors": [{"code": ..., "description": ...}], "description": ...}``
    - OAuth: ``{"error": ..., "error_description": ...}``, and RFC 9457's ``{"title": ..., "detail": ...}``
    - validation: ``[{"loc": ["body", "name"], "msg": ...}]``, ``{"field": "name", "message": ...}``

    JSON without any text is shown as it is, and all else by its first line or its title.
    """
    try:
        data = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _start_of_text(body), {}
    general: list[str] = []
    fields: dict[str, list[str]] = {}
    for field, text in _texts(data):
        (fields.setdefault(field, []) if field else general).append(text)
    texts = [*general, *(f"{name}: {text}" for name, each in fields.items() for text in each)]
    return "; ".join(dict.fromkeys(texts))[:_MESSAGE] or _start_of_text(body), fields


def _texts(value: object, field: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Yield each text with the field that it is about, or with ""."""
    if isinstance(value, str):
        if value.strip():
            yield field, value.strip()
    elif depth > _DEEPEST:
        return
    elif isinstance(value, list):
        for element in value[:_MOST_TEXTS]:
            yield from _texts(element, field, depth + 1)
    elif isinstance(value, dict):
        yield from _texts_of_object(value, field, depth + 1)


def _texts_of_object(value: dict[str, Any], field: str, depth: int) -> Iterator[tuple[str, str]]:
    field = _location(value, is_whole=depth == 1) or field
    has_text = False
    for key in _TEXT_KEYS:
        for found in _texts(value.get(key), field, depth):
            has_text = True
            yield found
    for name, inside in _other_parts(value, has_text):
        yield from _texts(inside, ".".join(filter(None, (field, name))), depth)


def _other_parts(value: dict[str, Any], has_text: bool) -> Iterator[tuple[str, object]]:
    """Yield what else there may be texts in, with the field that it is about."""
    for key, inside in value.items():
        if key in _TEXT_KEYS or key == "loc":
            continue
        if isinstance(inside, dict) and key in _FIELDS_KEYS and not _has_text(inside):
            yield from inside.items()
        elif key == "errors" or (key == "details" and not isinstance(inside, list)):
            yield "", inside
        elif isinstance(inside, list):
            # Next to a message, a list may also be a part of the request.
            yield key, [each for each in inside if not (has_text and _is_plain(each))]
        elif isinstance(inside, dict) and not has_text:
            yield key, inside


def _is_plain(value: object) -> bool:
    return isinstance(value, dict) and not _has_text(value)


def _has_text(value: dict[str, Any]) -> bool:
    return not value.keys().isdisjoint(_TEXT_KEYS)


def _location(value: dict[str, Any], *, is_whole: bool) -> str:
    """Return the field that an object of an error names, as `loc` in ``{"loc": ["body", "name"], ...}``."""
    for key in _LOCATION_KEYS:
        place = value.get(key)
        if isinstance(place, str) and not (is_whole and key == "path"):  # there it is that of the request
            return place
        if key == "loc" and isinstance(place, list):
            return ".".join(str(part) for part in place if isinstance(part, str | int))
    return ""


def _start_of_text(body: bytes) -> str:
    text = body[: 16 * _SHOWN].decode("utf-8", "replace").strip()
    title = _TITLE.search(text)
    if title:
        text = title[1]
    elif text.startswith(("{", "[", "<")):
        text = " ".join((_TAG.sub(" ", text) if text.startswith("<") else text).split())
    lines = text.splitlines()
    return lines[0][:_SHOWN] if lines else "(no text)"
