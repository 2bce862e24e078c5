"""The vocabulary of the wire: a `Request` goes into a `Transport`, a `Response` comes out.

Everything that can send a request is a `Transport`: the network is one, and so is every layer around it, the
simulator, and the fakes of `planet_async.testing`.  No type of a network library appears here.
"""

import re
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Protocol
from urllib.parse import quote, urljoin, urlsplit

import anyio
from attrs import Factory, field, frozen

REPEATABLE_METHODS = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_PORTS = {"http": 80, "https": 443}
_DIGITS = 19  # of a number of bytes; Python refuses to read thousands
_ABSOLUTE = re.compile(r"https?://[^/?#]", re.IGNORECASE)
_SPACES = "".join(map(chr, range(0x21)))  # and control characters
_LINE_BREAKS_AND_TABS = str.maketrans("", "", "\t\r\n")
_NOT_IN_A_URL = re.compile(r"[ \x80-\U0010ffff]+")
_CLOSE_SECONDS = 2.0  # a peer that does not even let us hang up is not waited for

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


def without_query(url: str) -> str:
    """Give the URL as it may be shown: its query can hold a token or a signature, its host a password."""
    scheme, mark, rest = re.split(r"[?#]", url, maxsplit=1)[0].partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}"


def origin(url: str) -> tuple[str, str, int]:
    """Give scheme, host and port: what a credential belongs to.  What is no address has none of them."""
    path = url.find("/", url.find("://") + 3)
    return _origin(url if path < 0 else url[:path])


@lru_cache(maxsize=64)  # each layer asks, and there are few origins
def _origin(url: str) -> tuple[str, str, int]:
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        return "", "", 0


def link_target(base: str, link: str) -> str:
    """Return the address that a link leads to, encoded as browsers encode it.

    Spaces around the link are left out, and so are line breaks and tabs within.  A space within becomes
    ``%20``; what is not ASCII is percent-encoded as UTF-8, or as IDNA in the name of the host.  All else
    stays verbatim, since a signed URL is only valid as it was signed.  A link that is no address is returned
    as it is.
    """
    try:
        address = link.translate(_LINE_BREAKS_AND_TABS).strip(_SPACES)
        if not _ABSOLUTE.match(address):
            address = urljoin(base, address)
        return _encoded(address)
    except ValueError:
        return link


def _encoded(address: str) -> str:
    place = urlsplit(address).netloc  # ValueError where it cannot be an address
    if address.isascii() and " " not in address:
        return address
    scheme, mark, rest = address.partition("//")
    path = rest.removeprefix(place)
    user, at, host = place.rpartition("@")
    if not host.isascii():
        name, colon, port = host.partition(":")
        import idna  # noqa: PLC0415 - takes milliseconds to load, and few hosts need it

        host = f"{idna.encode(name, uts46=True).decode()}{colon}{port}"
    return f"{scheme}{mark}{_percent_encoded(user)}{at}{host}{_percent_encoded(path)}"


def _percent_encoded(text: str) -> str:
    return _NOT_IN_A_URL.sub(lambda found: quote(found[0]), text)


def announced_length(headers: Mapping[str, str]) -> int | None:
    """Give how many bytes a body is said to have; None where that is not said, or cannot be."""
    length = headers.get("content-length", "")
    is_number = length.isascii() and length.isdigit() and len(length) <= _DIGITS
    return int(length) if is_number else None


def http_date(value: str | None) -> datetime | None:
    """Read the date of a header; None where there is none, or what stands there is no date."""
    try:
        date = parsedate_to_datetime(value or "")
        return date if date.tzinfo else date.replace(tzinfo=UTC)
    except (ValueError, TypeError, OverflowError):
        return None


def _repeatable_by_method(request: "Request") -> bool:
    return request.method in REPEATABLE_METHODS


@frozen
class Request:
    """One request to be sent; immutable, so that a layer can never surprise another one.

    `params` are pairs, not a mapping, because ``?state=queued&state=running`` must survive.  `repeatable`
    says that sending it twice does no harm: true for GET, HEAD, PUT and DELETE unless told otherwise.  A
    `stream` request gets its response with the body still unread; any other response has been read whole.

        Request("GET", "https://api.planet.com/compute/ops/stats/orders/v2", operation="orders.stats")
    """

    method: str
    url: str = field(repr=without_query)
    params: tuple[tuple[str, str], ...] = field(default=(), kw_only=True, repr=False)
    headers: Mapping[str, str] = field(default=NO_HEADERS, kw_only=True, repr=False)
    body: bytes | None = field(default=None, kw_only=True, repr=False)
    repeatable: bool = field(kw_only=True, default=Factory(_repeatable_by_method, takes_self=True))
    operation: str = field(default="request", kw_only=True)
    stream: bool = field(default=False, kw_only=True)

    def __str__(self) -> str:
        return f"{self.method} {without_query(self.url)}"

    def with_headers(self, headers: Mapping[str, str]) -> "Request":
        """Give the same request with these headers added, or in the place of those of their name."""
        return Request(  # three times faster than `evolve`, and done for every request
            self.method,
            self.url,
            params=self.params,
            headers={**self.headers, **headers},
            body=self.body,
            repeatable=self.repeatable,
            operation=self.operation,
            stream=self.stream,
        )


class Response:
    """The answer to a request; its body is unread until asked for.

    Whoever does not hand a response on must `aclose()` it: an open one holds a connection.  Header names are
    lower case; a header that came more than once is joined with ``", "``.  `confidential` is what went out
    with the request and is not to be shown where the answer repeats it.
    """

    __slots__ = ("_body", "_close", "_content", "confidential", "headers", "status", "url")

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str] = NO_HEADERS,
        body: AsyncIterable[bytes] | bytes = b"",
        *,
        url: str = "",
        close: Callable[[], Awaitable[None] | None] | None = None,
    ) -> None:
        self.status = status
        self.headers = headers
        self.url = url
        self.confidential: tuple[str, ...] = ()
        self._content = body if isinstance(body, bytes) else None
        self._body = None if isinstance(body, bytes) else body
        self._close = close

    def __repr__(self) -> str:
        return f"<Response {self.status} {without_query(self.url)}>"

    @property
    def content(self) -> bytes | None:
        """The body where it has been read whole, or came so."""
        return self._content

    def chunks(self) -> AsyncIterator[bytes]:
        """Return an iterator over the body as it arrives; a streamed body can be iterated once.

        An iteration that is left early ends with `aclose`.
        """
        if self._content is not None:
            return _OneChunk(self._content)
        if self._body is None:
            raise RuntimeError("the body of this response has been consumed")
        body, self._body = self._body, None
        return aiter(body)

    async def read(self) -> bytes:
        """Read the whole body and close; a second call gives the same bytes."""
        if self._content is None:
            try:
                self._content = b"".join([chunk async for chunk in self.chunks()])
            finally:
                await self.aclose()
        return self._content

    async def aclose(self) -> None:
        """Give the connection back; may be called again, and works while being cancelled."""
        close, self._close = self._close, None
        waiting = close() if close is not None else None
        if waiting is not None:  # a transport may have closed already, and costs no scope then
            with anyio.CancelScope(shield=True), anyio.move_on_after(_CLOSE_SECONDS):
                await waiting


class _OneChunk(AsyncIterator[bytes]):
    """A body in one piece.  No generator: to drop one half way is a ResourceWarning on trio."""

    def __init__(self, content: bytes) -> None:
        self._chunks = iter((content,))

    async def __anext__(self) -> bytes:
        for chunk in self._chunks:
            return chunk
        raise StopAsyncIteration


class Transport(Protocol):
    """Sends a request and gives its response: the one interface of everything below the services.

    `send` raises `planet_async.errors.TransportError` where no answer came.  A layer is a transport around a
    transport; it closes the one inside when it is closed.
    """

    async def send(self, request: Request) -> Response:
        """Send and return the response, which the caller reads or closes."""
        ...

    async def aclose(self) -> None:
        """Free connections; nothing can be sent afterwards."""
        ...


queued_for: ContextVar[str] = ContextVar("queued_for", default="")
"""What this task's request is waiting in a queue for, such as "its turn at 3 requests a second" or "a
connection: all 16 are held by downloads"; "" once it is with the server.

Whoever makes a request wait sets it, and sets it to "" when the wait is over; it stays as it is where the
wait is cancelled, so that `DeadlineExceeded` can say what was waited for, and whether anything was sent.
"""
