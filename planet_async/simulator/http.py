"""HTTP as the simulated servers see it: requests, responses, routes, and the contents of files."""

import hashlib
import random
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache, cached_property, lru_cache
from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode

import anyio
import anyio.lowlevel
import msgspec
from attrs import define, field, frozen

from planet_async.clock import Clock
from planet_async.errors import ConnectionLost
from planet_async.http import NO_HEADERS, Request

Json = dict[str, Any]
Origin = Literal["api", "storage"]

CHUNK_BYTES = 64 * 1024
_POOL_BYTES = 1024 * 1024


@define(slots=False)
class ServerRequest:
    """A request as the server sees it; header names are lower case, the router sets `operation`."""

    origin: Origin
    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = NO_HEADERS
    body: bytes = b""
    operation: str = "unknown"

    @cached_property
    def params(self) -> Mapping[str, list[str]]:
        """The values of the query by name, which may be repeated."""
        params: dict[str, list[str]] = {}
        for name, value in parse_qsl(self.query, keep_blank_values=True):
            params.setdefault(name, []).append(value)
        return params

    def param(self, name: str) -> str:
        """Return the last value of a query parameter, or an empty string."""
        return self.params.get(name, [""])[-1]

    def link(self, url: str, **changes: object) -> str:
        """Return the address with the query of this request, some of it changed; None removes a parameter."""
        pairs = [(name, str(value)) for name, value in changes.items() if value is not None]
        pairs += [pair for pair in parse_qsl(self.query, keep_blank_values=True) if pair[0] not in changes]
        return f"{url}?{urlencode(pairs)}" if pairs else url


@define
class ServerResponse:
    """A response of the server; `start` and `stop` select a part of a file.

    `cut` closes the connection after that many bytes of the body, `bytes_per_second` slows it down.
    """

    status: int
    headers: dict[str, str] = field(factory=dict)
    body: "bytes | Content" = b""
    start: int = 0
    stop: int | None = None
    cut: int | None = None
    bytes_per_second: float | None = None

    @property
    def all_headers(self) -> Mapping[str, str]:
        """The headers, with the length of the body."""
        return {**self.headers, "content-length": str(self.length)}

    @property
    def length(self) -> int:
        if isinstance(self.body, bytes):
            return len(self.body)
        return (self.body.size if self.stop is None else self.stop) - self.start

    @property
    def is_plain(self) -> bool:
        """Return whether the body can be sent at once."""
        return isinstance(self.body, bytes) and self.cut is None and self.bytes_per_second is None

    def chunks(self) -> Iterator[bytes]:
        """Yield the body; `pause` belongs before each chunk. Raise Dropped where it is cut off."""
        content = Content(self.body) if isinstance(self.body, bytes) else self.body
        stop = self.start + self.length
        end = stop if self.cut is None else min(stop, self.start + self.cut)
        step = self._step
        for chunk in content.chunks(self.start, end):
            for place in range(0, len(chunk), step):
                yield chunk[place : place + step]
        if end < stop:
            raise Dropped

    @property
    def pause(self) -> float:
        """The seconds before each of the chunks."""
        return 0.0 if self.bytes_per_second is None else self._step / self.bytes_per_second

    @property
    def _step(self) -> int:
        return CHUNK_BYTES if self.bytes_per_second is None else max(1, int(self.bytes_per_second))


class ResponseBody(AsyncIterator[bytes]):
    """The body of a response as a client in this process reads it."""

    def __init__(self, request: Request, response: ServerResponse, clock: Clock) -> None:
        self._request = request
        self._chunks = iter(()) if request.method == "HEAD" else response.chunks()
        self._pause = response.pause
        self._clock = clock

    async def __anext__(self) -> bytes:
        await anyio.lowlevel.checkpoint()
        try:
            chunk = next(self._chunks, None)
        except Dropped:
            chunk = b""
        if chunk == b"":
            raise ConnectionLost("the connection broke off: cut by the simulator", request=self._request)
        if chunk is None:
            raise StopAsyncIteration
        if self._pause:
            await self._clock.sleep(self._pause)
        return chunk


class Dropped(Exception):
    """The connection ends without a response; `refused`: it was never accepted."""

    def __init__(self, *, refused: bool = False) -> None:
        super().__init__("dropped")
        self.refused = refused


class Hung(Exception):
    """No response is sent, and the connection stays open."""


class Refused(Exception):
    """Raised by a handler to respond with an error."""

    def __init__(self, response: ServerResponse) -> None:
        super().__init__(response.status)
        self.response = response


def json_response(body: object, status: int = 200) -> ServerResponse:
    """Return JSON; bytes are JSON already."""
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return ServerResponse(status, {"content-type": "application/json"}, content)


def message(status: int, text: str) -> ServerResponse:
    """Return the short form of an error: 401, 404 and 409 [H]."""
    return json_response({"message": text}, status)


def field_errors(errors: Mapping[str, Iterable[str]], general: str = "Invalid request") -> ServerResponse:
    """Return the long form of an error, by field: 400 [H]."""
    by_field = {name: [{"message": text} for text in texts] for name, texts in errors.items()}
    return json_response({"field": by_field, "general": [{"message": general}]}, 400)


def refuse(problems: Mapping[str, Iterable[str]]) -> None:
    """Raise Refused where fields have problems."""
    if problems:
        raise Refused(field_errors(problems))


def decode_json(request: ServerRequest) -> Any:
    """Return the body; ValueError where it is not JSON."""
    try:
        return msgspec.json.decode(request.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ValueError("not JSON") from None


def _invalid(text: str) -> ServerResponse:
    return field_errors({}, text)


def json_object(request: ServerRequest, refusal: Callable[[str], ServerResponse] = _invalid) -> Json:
    """Return the body, a JSON object; anything else is refused."""
    body = None
    with suppress(ValueError):
        body = decode_json(request)
    if not isinstance(body, dict):
        raise Refused(refusal("The request body is not a JSON object"))
    return body


def without_nulls(body: Mapping[str, Any]) -> Json:
    return {name: value for name, value in body.items() if value is not None}


def whole_param(
    request: ServerRequest, name: str, default: int, refusal: Callable[[str], ServerResponse]
) -> int:
    """Return a parameter of the query, a number from 0 on; anything else is refused."""
    text = request.param(name) or str(default)
    if not (text.isascii() and text.isdigit()):
        raise Refused(refusal(f"{name} must be a number"))
    return int(text)


def attachment(name: str) -> dict[str, str]:
    """Return the header that says what to call a file."""
    return {"content-disposition": f'attachment; filename="{name}"'}


def spec_of(name: str, version: str, routes: Iterable["Route"]) -> ServerResponse:
    """Describe an API in the form of OpenAPI: the paths only."""
    paths: dict[str, dict[str, object]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = {"operationId": route.operation}
    info = {"title": f"Planet {name} API, simulated", "version": version}
    return json_response({"openapi": "3.0.0", "info": info, "paths": paths})


Handler = Callable[..., ServerResponse]


@frozen
class Route:
    """One operation of an API; the ids of the path are passed to the handler after the request."""

    method: str
    path: str
    operation: str
    handler: Handler
    needs_credential: bool = True


class Router:
    """Finds the route of a request by its path; those without ids come first."""

    def __init__(self, routes: Iterable[Route]) -> None:
        paths: dict[str, dict[str, Route]] = {}
        for route in routes:
            paths.setdefault(route.path, {})[route.method] = route
        self._paths: dict[int, list[tuple[re.Pattern[str], dict[str, Route]]]] = {}  # by the number of "/"
        for path, methods in sorted(paths.items(), key=lambda each: each[0].count("{id}")):
            self._paths.setdefault(path.count("/"), []).append((_pattern(path), methods))

    def find(self, request: ServerRequest) -> tuple[Route, tuple[str, ...]]:
        """Return the route and the ids in the path; where there is none, a route that responds 404 or 405."""
        for pattern, methods in self._paths.get(request.path.count("/"), ()):
            if match := pattern.fullmatch(request.path):
                if request.method in methods:
                    return methods[request.method], match.groups()
                response = message(405, f"{request.method} is not allowed here")
                response.headers["allow"] = ", ".join(sorted(methods))
                return _error_route(response), ()
        return _error_route(message(404, f"No such path: {request.path}")), ()


@cache  # the paths are the same in all simulators
def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.escape(path).replace(r"\{id\}", "([^/]+)"))


def _error_route(response: ServerResponse) -> Route:
    return Route("", "", "unknown", lambda _: response, needs_credential=False)


@frozen
class Pixels:
    """Noise in place of a raster's pixels, which depends on the seed and the place, and costs a slice.

    Blocks differ, so a download that was resumed at the wrong place has the wrong checksum.
    """

    seed: bytes
    size: int

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, window: slice, /) -> bytes:
        start, stop, _ = window.indices(self.size)
        pieces = []
        while start < stop:
            number, offset = divmod(start, CHUNK_BYTES)
            length = min(CHUNK_BYTES - offset, stop - start)
            key = hashlib.blake2b(self.seed + number.to_bytes(8, "big"), digest_size=4).digest()
            place = int.from_bytes(key, "big") % (_POOL_BYTES - CHUNK_BYTES) + offset
            pieces.append(_pool()[place : place + length])
            start += length
        return b"".join(pieces)


class Content:
    """The bytes of one file, in parts; the checksums are computed once, when they are first needed."""

    def __init__(self, *parts: bytes | Pixels) -> None:
        self.parts: Sequence[bytes | Pixels] = parts
        self.size: int = sum(map(len, parts))
        # Not functools.cached_property: before Python 3.12 it has one lock for all instances, and a thread
        # that computes one checksum would make the event loop wait for another one.
        self._digests: dict[str, Mapping[str, str]] = {}

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Yield the bytes from `start` to before `stop`, 64 KB at most at a time."""
        end = self.size if stop is None else stop
        base = 0
        for part in self.parts:
            first, last = max(start - base, 0), min(end - base, len(part))
            for place in range(first, last, CHUNK_BYTES):
                yield part[place : min(place + CHUNK_BYTES, last)]
            base += len(part)

    def digests(self, *names: str) -> Mapping[str, str]:
        """Return the checksums of those names in hexadecimal."""
        key = " ".join(names)
        if key not in self._digests:
            hashes = {name: hashlib.new(name, usedforsecurity=False) for name in names}
            for chunk in self.chunks():
                for each in hashes.values():
                    each.update(chunk)
            self._digests[key] = {name: each.hexdigest() for name, each in hashes.items()}
        return self._digests[key]


@lru_cache(maxsize=1)
def _pool() -> bytes:
    return random.Random(0).randbytes(_POOL_BYTES)  # noqa: S311 - filler, not a secret
