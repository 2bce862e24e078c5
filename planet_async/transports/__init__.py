"""The network: adapters for HTTP clients, of our own by name, or of the user's."""

from typing import Any, Literal, Protocol, cast

from planet_async.config import Config
from planet_async.errors import InvalidRequest, type_name
from planet_async.http import Transport

TransportName = Literal["httpx", "httpx2", "aiohttp"]


class HttpxClient(Protocol):
    """An `httpx.AsyncClient` or `httpx2.AsyncClient`; a protocol, since neither may be installed."""

    @property
    def is_closed(self) -> bool:
        """True once it is closed."""
        ...

    async def aclose(self) -> None:
        """Close its connections."""
        ...


class AiohttpSession(Protocol):
    """An `aiohttp.ClientSession`."""

    @property
    def closed(self) -> bool:
        """True once it is closed."""
        ...

    async def close(self) -> None:
        """Close its connections."""
        ...


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
    library = given if isinstance(given, str) else _library_of(type(given))
    if library is None:
        if not is_transport(given):
            raise InvalidRequest(f"transport cannot be {type_name(given)}", hint=_HINT)
        return cast(Transport, given)
    if library not in _CLIENTS.values():
        raise InvalidRequest(f"no transport is called {library!r}", hint=_HINT)
    # Imported here, so that `import planet_async` loads no network library.
    try:
        if library == "aiohttp":
            from planet_async.transports.aiohttp import AiohttpTransport  # noqa: PLC0415 - loads aiohttp

            return AiohttpTransport(client, config)
        from planet_async.transports.httpx import HttpxTransport  # noqa: PLC0415 - loads httpx

        return HttpxTransport(client, config, library=library)
    except ImportError as error:
        missing = error.name
    package = "planet-async" if library == "httpx" else f"planet-async[{library}]"
    raise InvalidRequest(
        f"transport {library!r} needs {missing or library}, which is not installed",
        hint=f'pip install "{package}"',
    )


def is_transport(value: object) -> bool:
    """Return whether a value has the methods of a `Transport`."""
    methods = getattr(value, "send", None), getattr(value, "aclose", None)
    return not isinstance(value, type) and all(map(callable, methods))


def _library_of(cls: type) -> str | None:
    """Return the library of a client's class, which may be derived from the library's."""
    names = [(base.__module__.partition(".")[0], base.__name__) for base in cls.__mro__]
    return next((_CLIENTS[name] for name in names if name in _CLIENTS), None)
