"""The network: adapters for HTTP clients, of our own by name, or of the user's."""

from typing import Any, Literal, cast

from planet_async.config import Config
from planet_async.errors import InvalidRequest, type_name
from planet_async.http import Transport
from planet_async.transports.aiohttp import AiohttpSession as AiohttpSession
from planet_async.transports.aiohttp import AiohttpTransport as AiohttpTransport
from planet_async.transports.httpx import HttpxClient as HttpxClient
from planet_async.transports.httpx import HttpxTransport as HttpxTransport

TransportName = Literal["httpx", "httpx2", "aiohttp"]

AnyTransport = Transport | TransportName | HttpxClient | AiohttpSession
"""The types that `Planet(transport=...)` accepts."""

_CLIENTS = {
    ("httpx", "AsyncClient"): "httpx",
    ("httpx2", "AsyncClient"): "httpx2",
    ("aiohttp", "ClientSession"): "aiohttp",
}
_HINT = (
    'It is "httpx", "httpx2", "aiohttp", an httpx.AsyncClient, httpx2.AsyncClient or aiohttp.ClientSession, '
    "or an object with the methods of planet_async.Transport, `send` and `aclose`, both async."
)


def as_transport(transport: AnyTransport, config: Config) -> Transport:
    """Return the transport with that name, the adapter for an HTTP client, or the transport itself.

    Raises:
        InvalidRequest: it is none of these, or its library is not installed.
    """
    given: Any = transport
    client = None if isinstance(given, str) else given
    library: Any = given if isinstance(given, str) else _library_of(type(given))
    if library is None:
        if not is_transport(given):
            raise InvalidRequest(f"transport cannot be {type_name(given)}", hint=_HINT)
        return cast(Transport, given)
    if library not in _CLIENTS.values():
        raise InvalidRequest(f"no transport is called {library!r}", hint=_HINT)
    if library == "aiohttp":
        return AiohttpTransport(client, config)
    return HttpxTransport(client, config, library=library)


def is_transport(value: object) -> bool:
    """Return whether a value has the methods of a `Transport`."""
    methods = getattr(value, "send", None), getattr(value, "aclose", None)
    return not isinstance(value, type) and all(map(callable, methods))


def _library_of(cls: type) -> str | None:
    """Return the library of a client's class, which may be derived from the library's."""
    names = [(base.__module__.partition(".")[0], base.__name__) for base in cls.__mro__]
    return next((_CLIENTS[name] for name in names if name in _CLIENTS), None)
