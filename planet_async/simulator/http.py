"""What goes in and out of the simulated servers, whichever way it came."""

import hashlib
import random
import re
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any, Literal, Protocol
from urllib.parse import parse_qsl

import anyio
import anyio.lowlevel
import msgspec
from attrs import define, field, frozen

from planet_async.errors import ConnectionLost
from planet_async.http import NO_HEADERS, Request

CHUNK_BYTES = 64 * 1024
_POOL_BYTES = 1024 * 1024


class Part(Protocol):
    """Some bytes of a file; `bytes` are one."""

    def __len__(self) -> int: ...

    def __getitem__(self, window: slice, /) -> bytes: ...


@lru_cache(maxsize=1)
def _pool() -> bytes:
    return random.Random(0).randbytes(_POOL_BYTES)  # noqa: S311 - filler, not a secret


@frozen
class Pixels:
    """Bytes like those of a raster: noise that depends on the seed and the place, at the cost of a slice.

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
    """The bytes of one file, as a row of parts; the checksums are worked out once, when first asked for."""

    def __init__(self, *parts: Part) -> None:
        self.parts: Sequence[Part] = parts
        self.size = sum(map(len, parts))
        # Not functools.cached_property: before Python 3.12 that has one lock for all instances, and a thread
        # that works out one checksum would make the event loop wait for another one.
        self._digests: Mapping[str, str] | None = None
        self._crc32: int | None = None

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Yield the bytes from `start` to before `stop`, a little at a time."""
        end = self.size if stop is None else stop
        base = 0
        for part in self.parts:
            first, last = max(start - base, 0), min(end - base, len(part))
            for place in range(first, last, CHUNK_BYTES):
                yield part[place : min(place + CHUNK_BYTES, last)]
            base += len(part)

    def digests(self) -> Mapping[str, str]:
        """Give md5 and sha256, in hex: a pass over the whole content."""
        if self._digests is None:
            md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
            for chunk in self.chunks():
                md5.update(chunk)
                sha256.update(chunk)
            self._digests = {"md5": md5.hexdigest(), "sha256": sha256.hexdigest()}
        return self._digests

    def crc32(self) -> int:
        """Give the checksum that zip archives use: a pass over the whole content."""
        if self._crc32 is None:
            checksum = 0
            for chunk in self.chunks():
                checksum = zlib.crc32(chunk, checksum)
            self._crc32 = checksum
        return self._crc32


Origin = Literal["api", "storage"]

_JSON = {"content-type": "application/json"}


@define(slots=False)
class ServerRequest:
    """A request as the server sees it; header names are lower case, `operation` is found by the routing."""

    origin: Origin
    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = NO_HEADERS
    body: bytes = b""
    operation: str = "unknown"

    @cached_property
    def params(self) -> Mapping[str, list[str]]:
        """The query, by name; a name may come more than once."""
        params: dict[str, list[str]] = {}
        for name, value in parse_qsl(self.query, keep_blank_values=True):
            params.setdefault(name, []).append(value)
        return params

    def param(self, name: str) -> str:
        """Give the last value of a query parameter, or an empty string."""
        return self.params.get(name, [""])[-1]


@define
class ServerResponse:
    """What the server answers; `cut` closes the connection after that many bytes of the body."""

    status: int
    headers: dict[str, str] = field(factory=dict)
    body: bytes | Content = b""
    start: int = 0
    stop: int | None = None
    cut: int | None = None

    @property
    def length(self) -> int:
        """The bytes that the body has."""
        if isinstance(self.body, bytes):
            return len(self.body)
        return (self.body.size if self.stop is None else self.stop) - self.start

    def chunks(self) -> Iterator[bytes]:
        """Yield the body, of which a part was asked for."""
        if isinstance(self.body, bytes):
            yield self.body
        else:
            yield from self.body.chunks(self.start, self.stop)


class AnswerBody(AsyncIterator[bytes]):
    """The body of an answer, cut where a fault says so."""

    def __init__(self, request: Request, call: ServerRequest, answer: ServerResponse) -> None:
        self._request = request
        self._chunks = iter(() if call.method == "HEAD" else answer.chunks())
        self._left = answer.length if answer.cut is None else answer.cut

    async def __anext__(self) -> bytes:
        await anyio.lowlevel.checkpoint()
        for chunk in self._chunks if self._left >= 0 else ():
            given = chunk[: self._left]
            self._left -= len(chunk)
            if given or self._left >= 0:
                return given
            break
        if self._left < 0:
            raise ConnectionLost("the connection broke off: cut by the simulator", request=self._request)
        raise StopAsyncIteration


class Dropped(Exception):
    """The connection ends without an answer; `refused`: it never came about."""

    def __init__(self, *, refused: bool = False) -> None:
        super().__init__("dropped")
        self.refused = refused


class Hung(Exception):
    """No answer comes, and the connection stays open."""


class Refused(Exception):
    """The handler's way to answer with an error."""

    def __init__(self, answer: ServerResponse) -> None:
        super().__init__(answer.status)
        self.answer = answer


def json_answer(body: object, status: int = 200) -> ServerResponse:
    """Answer with JSON; bytes are taken as JSON already."""
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return ServerResponse(status, dict(_JSON), content)


def message(status: int, text: str) -> ServerResponse:
    """Answer with the short form of an error: 401, 404 and 409 [H]."""
    return json_answer({"message": text}, status)


def field_errors(errors: Mapping[str, Iterable[str]], general: str) -> ServerResponse:
    """Answer 400 with the long form of an error, by field [H]."""
    by_field = {name: [{"message": text} for text in texts] for name, texts in errors.items()}
    return json_answer({"field": by_field, "general": [{"message": general}]}, 400)


def json_object(call: ServerRequest) -> dict[str, Any]:
    """Give the body; Refused with 400 where it is not a JSON object."""
    try:
        body = msgspec.json.decode(call.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Refused(field_errors({}, "The request body is not JSON")) from None
    if not isinstance(body, dict):
        raise Refused(field_errors({}, "The request body is not a JSON object"))
    return body


Handler = Callable[..., ServerResponse]


@frozen
class Route:
    """One operation of an API; what stands for ``{id}`` in the path goes to the handler after the call."""

    method: str
    path: str
    operation: str
    handler: Handler
    needs_credential: bool = True


class Router:
    """Finds the route of a call: by the path as it stands, else by the first pattern that fits."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._fixed: dict[str, dict[str, Route]] = {}
        patterns: dict[str, dict[str, Route]] = {}
        for route in routes:
            (patterns if "{id}" in route.path else self._fixed).setdefault(route.path, {})[route.method] = (
                route
            )
        self._patterns = [
            (re.compile(re.escape(path).replace(r"\{id\}", "([^/]+)")), methods)
            for path, methods in patterns.items()
        ]

    def find(self, call: ServerRequest) -> tuple[Route, tuple[str, ...]]:
        """Give the route and the ids in the path; where there is none, a route that answers 404 or 405."""
        methods = self._fixed.get(call.path)
        ids: tuple[str, ...] = ()
        if methods is None:
            for pattern, candidates in self._patterns:
                if match := pattern.fullmatch(call.path):
                    methods, ids = candidates, match.groups()
                    break
            else:
                return _NOWHERE, ()
        if call.method in methods:
            return methods[call.method], ids
        return _not_allowed(methods), ()


_NOWHERE = Route(
    "", "", "unknown", lambda call: message(404, f"No such path: {call.path}"), needs_credential=False
)


def _not_allowed(methods: Iterable[str]) -> Route:
    def refuse(call: ServerRequest) -> ServerResponse:
        answer = message(405, f"{call.method} is not allowed here")
        answer.headers["allow"] = ", ".join(sorted(methods))
        return answer

    return Route("", "", "unknown", refuse, needs_credential=False)
