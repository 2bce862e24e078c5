"""The vocabulary of the wire: a `Request` goes into a `Transport`, a `Response` comes out.

Everything that can send a request is a `Transport`: the network is one, and so is every layer around it, the
simulator, and the fakes of `planet_async.testing`.  No type of a network library appears here.
"""

import re
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from socket import inet_aton
from types import MappingProxyType
from typing import Any, Protocol, SupportsIndex
from urllib.parse import quote, urljoin, urlsplit

import anyio
from attrs import Factory, evolve, field, frozen

REPEATABLE_METHODS = frozenset({"GET", "HEAD", "PUT", "DELETE"})
NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_PORTS = {"http": 80, "https": 443}
_DIGITS = 19  # of a number of bytes; Python refuses to read thousands
_ABSOLUTE = re.compile(r"https?://[^/?#]", re.IGNORECASE)
_SPACES = "".join(map(chr, range(0x21)))  # and control characters
_LINE_BREAKS_AND_TABS = str.maketrans("", "", "\t\r\n")
_NOT_IN_A_URL = re.compile(r"[ \x80-\U0010ffff]+")
_INTERNAL_NAMES = (".localhost", ".local", ".localdomain", ".internal", ".lan", ".home.arpa", ".intranet")
_NAT64 = IPv6Network("64:ff9b::/96")
_CLOSE_SECONDS = 2.0  # a peer that does not even let us hang up is not waited for


def without_query(url: str) -> str:
    """Return the URL as it may be shown: its query can hold a token or a signature, its host a password."""
    scheme, mark, rest = re.split(r"[?#]", url, maxsplit=1)[0].partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}"


def _repeatable_by_method(request: "Request") -> bool:
    return request.method in REPEATABLE_METHODS


class SecretStr(str):
    """A text that `repr` does not show: tracebacks of Rich and Sentry print the locals of all frames."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'...'"

    def __getitem__(self, key: SupportsIndex | slice) -> str:
        return SecretStr(super().__getitem__(key))  # Rich shows the beginning of what is long


class SecretBytes(bytes):
    """Bytes that `repr` does not show."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{len(self)} bytes>"

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        return SecretBytes(found) if isinstance(found, bytes) else found


@frozen
class Request:
    """One request to be sent; immutable, so that no layer changes what another one sees.

        Request("GET", "https://api.planet.com/compute/ops/stats/orders/v2", operation="orders.stats")

    Args:
        method: The HTTP method, in capitals.
        url: The address, without `params`.
        params: Pairs that are added to the query; not a mapping, since ``?state=queued&state=running`` has
            the same name twice.
        headers: The header fields, with names in lower case; a credential is a `SecretStr`.
        body: The body, encoded; one that may hold secrets is `SecretBytes`.
        repeatable: Whether sending it twice does no harm; by default True for GET, HEAD, PUT and DELETE.
        operation: What errors and rate limits call it, such as ``"orders.create"``.
        stream: Whether the response is returned with its body unread; any other body is read whole.
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
        """Return the same request with these headers, which replace those of the same name."""
        return evolve(self, headers={**self.headers, **headers})


class Response:
    """The response to a request; its body is unread until asked for.

    Close a response that you do not pass on: an open one holds a connection.

    Args:
        status: The HTTP status.
        headers: The header fields, with names in lower case; a field that came more than once is joined with
            ``", "``.
        body: The whole body, or its chunks as they arrive.
        url: The address that it came from.
        close: Called once, when the response is closed.

    Attributes:
        secrets: The credential that was sent with the request: errors redact it where the response repeats
            it.
    """

    __slots__ = ("_body", "_close", "_content", "headers", "secrets", "status", "url")

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str] = NO_HEADERS,
        body: AsyncIterable[bytes] | bytes = b"",
        *,
        url: str = "",
        close: Callable[[], Awaitable[None] | None] | None = None,
    ) -> None:
        self.status: int = status
        self.headers: Mapping[str, str] = headers
        self.url: str = url
        self.secrets: tuple[str, ...] = ()
        self._content = body if isinstance(body, bytes) else None
        self._body = None if isinstance(body, bytes) else body
        self._close = close

    def __repr__(self) -> str:
        return f"<Response {self.status} {without_query(self.url)}>"

    @property
    def content(self) -> bytes | None:
        """The body, or None where it has not been read."""
        return self._content

    def chunks(self) -> AsyncIterator[bytes]:
        """Return an iterator over the body as it arrives; a streamed body can be iterated once.

        Call `aclose` where you stop early.
        """
        if self._content is not None:
            return _OneChunk(self._content)
        if self._body is None:
            raise RuntimeError("the body of this response has been consumed")
        body, self._body = self._body, None
        return aiter(body)

    async def read(self) -> bytes:
        """Read the whole body and close; a second call returns the same bytes."""
        if self._content is None:
            try:
                self._content = b"".join([chunk async for chunk in self.chunks()])
            finally:
                await self.aclose()
        return self._content

    async def aclose(self) -> None:
        """Release the connection; may be called again, and works while being cancelled."""
        close, self._close = self._close, None
        waiting = close() if close is not None else None
        if waiting is not None:
            with anyio.CancelScope(shield=True), anyio.move_on_after(_CLOSE_SECONDS):
                await waiting


class _OneChunk(AsyncIterator[bytes]):
    """A body in one piece.  Not a generator: dropping one half way is a ResourceWarning on trio."""

    def __init__(self, content: bytes) -> None:
        self._chunks = iter((content,))

    async def __anext__(self) -> bytes:
        for chunk in self._chunks:
            return chunk
        raise StopAsyncIteration


class Transport(Protocol):
    """Sends a request and returns its response: the one interface of everything below the services.

    A layer is a transport around a transport; it closes the one inside when it is closed.
    """

    async def send(self, request: Request) -> Response:
        """Send, and return the response, which the caller reads or closes.

        Raises:
            TransportError: no whole response came.
        """
        ...

    async def aclose(self) -> None:
        """Close all connections; nothing can be sent afterwards."""
        ...


queued_for: ContextVar[str] = ContextVar("queued_for", default="")
"""The reason for which this task's request is queued, such as "a connection: all 16 are held by downloads";
"" once it is with the server.

A layer that makes a request wait sets it, and sets it to "" when the wait is over.  It stays where the wait
is cancelled, so that `DeadlineExceeded` can say what was waited for, and whether anything was sent.
"""


# Addresses


def origin(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port, which a credential belongs to; empty ones where it is no address."""
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        return "", "", 0


def link_target(base: str, link: str) -> str:
    """Return the address that a link leads to, encoded as browsers encode it.

    Spaces around the link are removed, and line breaks and tabs within it.  A space within becomes ``%20``;
    what is not ASCII is percent-encoded as UTF-8, or as IDNA in the name of the host.  Everything else stays
    verbatim, since a signed URL is only valid as it was signed.  What is no address is returned as it is.
    """
    try:
        address = link.translate(_LINE_BREAKS_AND_TABS).strip(_SPACES)
        if not _ABSOLUTE.match(address):
            address = urljoin(base, address)
        return encoded(address)
    except ValueError:
        return link


def encoded(address: str) -> str:
    """Return an address in ASCII; raise ValueError where it cannot be one."""
    place = urlsplit(address).netloc  # ValueError where it cannot be an address
    if address.isascii() and " " not in address:
        return address
    scheme, mark, rest = address.partition("//")
    user, at, host = place.rpartition("@")
    if not host.isascii():
        import idna  # noqa: PLC0415 - takes milliseconds to load, and few hosts need it

        name, colon, port = host.partition(":")
        host = f"{idna.encode(name, uts46=True).decode()}{colon}{port}"
    return f"{scheme}{mark}{_percent_encoded(user)}{at}{host}{_percent_encoded(rest.removeprefix(place))}"


def _percent_encoded(text: str) -> str:
    return _NOT_IN_A_URL.sub(lambda found: quote(found[0]), text)


def link_refusal(base: str, target: str) -> str:
    """Return why a link from one address to another is not followed, or "" where it is.

    Plain HTTP would show the signature in its query to others, and an internal address is a way to make this
    machine send requests into its own network.  Where the API itself is internal, such as a simulator, its
    links may be so, too.  Whether the name of a public host stands for an internal address is not looked up.
    """
    scheme, host, _ = origin(target)
    old_scheme, old_host, _ = origin(base)
    if scheme not in _PORTS or not host:
        return f"from {old_scheme} to {scheme or 'what is no address'}"
    if scheme == "http" and old_scheme == "https":
        return "from https to http"
    if _is_internal(host) and not _is_internal(old_host):
        return "to an internal address"
    return ""


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine."""
    address = _ip_address(host)
    return host.rstrip(".") == "localhost" or (address is not None and address.is_loopback)


def _is_internal(host: str) -> bool:
    address = _ip_address(host)
    if address is not None:
        return not address.is_global or address.is_multicast
    name = host.rstrip(".")
    return "." not in name or "%" in name or name.endswith(_INTERNAL_NAMES)


def _ip_address(host: str) -> IPv4Address | IPv6Address | None:
    """Return the address that a host is written as, in any way that a resolver reads, such as ``0x7f.1``."""
    try:
        found = ip_address(host.partition("%")[0])
    except ValueError:
        try:
            return IPv4Address(inet_aton(host))
        except OSError:
            return None
    if isinstance(found, IPv4Address):
        return found
    in_nat64 = IPv4Address(int(found) & 0xFFFFFFFF) if found in _NAT64 else None
    return found.ipv4_mapped or found.sixtofour or in_nat64 or found


# Headers


def announced_length(headers: Mapping[str, str]) -> int | None:
    """Return the number of bytes that `content-length` announces; None where it is missing or no number."""
    length = headers.get("content-length", "")
    is_number = length.isascii() and length.isdigit() and len(length) <= _DIGITS
    return int(length) if is_number else None


def http_date(value: str | None) -> datetime | None:
    """Return the date in a header; None where it is missing or no date."""
    try:
        date = parsedate_to_datetime(value or "")
        return date if date.tzinfo else date.replace(tzinfo=UTC)
    except (ValueError, TypeError, OverflowError):
        return None
