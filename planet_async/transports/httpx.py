"""`HttpxTransport`: the HTTPX family, `httpx` (the default) and `httpx2`, on asyncio and trio."""

import re
import ssl
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from typing import Any, Literal, Protocol

import anyio

from planet_async._loops import nothing_sent
from planet_async.config import Config
from planet_async.errors import InvalidRequest, PlanetError, type_name
from planet_async.http import Request, Response
from planet_async.transports._common import (
    KEEP_ALIVE_SECONDS,
    Body,
    Clients,
    broken_off,
    connect_error,
    is_ours,
    joined_headers,
    keep_secrets_out_of_logs,
    load,
    not_a_url,
    outgoing,
)

_LIBRARIES = ("httpx", "httpx2")
_STATUS = re.compile(r"\d{3}\b", re.ASCII)


class HttpxClient(Protocol):
    """An `httpx.AsyncClient` or `httpx2.AsyncClient`; a protocol, since neither may be installed."""

    @property
    def is_closed(self) -> bool:
        """True once it is closed."""
        ...

    async def aclose(self) -> None:
        """Close its connections."""
        ...


class HttpxTransport:
    """Sends with `httpx.AsyncClient`, or with `httpx2.AsyncClient`, which is HTTPX continued by its author.

        network = HttpxTransport(library="httpx2")
        async with Planet(transport=Counting(network)) as planet:  # a transport of yours around it
            ...

    Without one around it, `Planet(transport="httpx2")` and `Planet(transport=client)` do the same.

    HTTP/2 is spoken with servers that offer it if `planet-async[http2]` is installed.

    Args:
        client: A client of yours, of either library: its proxies, mounts, certificates, event hooks and
            headers are used; its redirects, cookies and authentication are not.  It is not closed, and serves
            one event loop.  By default the transport makes a client of its own for each event loop.
        config: Timeouts and numbers of connections; for a client of its own, also proxy and certificates.
        library: "httpx" or "httpx2", for a client of its own.

    Raises:
        InvalidRequest: HTTP cannot express the request, `client` is none, or the library is not installed.
        TransportError: no response came.
        ClientClosed: the transport or the client was closed.
    """

    def __init__(
        self,
        client: HttpxClient | None = None,
        config: Config | None = None,
        *,
        library: Literal["httpx", "httpx2"] = "httpx",
    ) -> None:
        self._config = config = config or Config()
        given: Any = client
        self._lib: Any = load(_checked(library) if client is None else _library_of(client))
        self._headers = {} if client is None else dict(given.headers)
        self._headers.pop("authorization", None)
        self._clients: Clients[Any] = Clients(given, config, self._make, lambda made: made.aclose())
        timeouts = (config.connect_timeout, config.read_timeout, config.read_timeout, config.connect_timeout)
        self._timeouts = dict(zip(("connect", "read", "write", "pool"), timeouts, strict=True))
        keep_secrets_out_of_logs()

    async def send(self, request: Request) -> Response:
        """Send a request once, and return the response when its headers have come."""
        trace = _Trace()
        theirs = self._build(request, trace)
        translate = partial(self._translate, request, trace)
        answer, release = await self._clients.send(request, partial(self._sent, request, theirs), translate)
        headers = joined_headers(answer.headers.raw)
        if answer.is_stream_consumed:  # by a mock, or by an event hook of the user's, and decompressed
            release()
            headers.pop("content-encoding", None)
            return Response(answer.status_code, headers, answer.content, url=request.url)
        chunks = answer.aiter_raw()

        async def close() -> None:
            try:
                with suppress(Exception):
                    await answer.aclose()
                    # HTTPX reads through nested generators, which would be dropped halfway.  Reading what is
                    # closed raises in the innermost, and so ends them all.
                    async for _ in chunks:
                        pass
            finally:
                release()

        body = Body(partial(anext, chunks, b""), partial(self._broken_off, request))
        return Response(answer.status_code, headers, body, url=request.url, close=close)

    async def aclose(self) -> None:
        """Close the connections, but not a client of yours; requests in progress raise ClientClosed."""
        await self._clients.aclose()

    def _make(self, context: ssl.SSLContext, proxy: str | None) -> Any:
        lib, most = self._lib, self._config.max_connections + self._config.max_downloads
        # The gate bounds the connections.  A bound of the pool's own would count HTTP/2 connections that the
        # server has hung up on for as long as idle ones are kept, and requests would wait for them (2.16).
        limits = lib.Limits(
            max_connections=None, max_keepalive_connections=most, keepalive_expiry=KEEP_ALIVE_SECONDS
        )
        try:
            return lib.AsyncClient(
                verify=context,
                # A context for a proxy without TLS is refused.
                proxy=proxy and lib.Proxy(proxy, ssl_context=context if proxy.startswith("https:") else None),
                trust_env=False,
                http2=find_spec("h2") is not None,
                limits=limits,
            )
        except ImportError:
            hint = f'pip install "{lib.__name__}[socks]"'
        raise InvalidRequest("a SOCKS proxy needs a package that is not installed", hint=hint)

    def _build(self, request: Request, trace: "_Trace") -> Any:
        url, headers = outgoing(request)
        extensions: dict[str, object] = {"timeout": self._timeouts}
        if url.startswith("https:") or self._clients.proxy_for(url):
            extensions["trace"] = trace.note
        try:
            return self._lib.Request(
                request.method,
                url,
                headers={**self._headers, **headers},
                content=request.body,
                extensions=extensions,
            )
        except (self._lib.InvalidURL, ValueError, TypeError):
            pass  # not raised from here: the text of this error has the URL
        raise not_a_url(request)

    async def _sent(self, request: Request, theirs: Any, client: Any) -> Any:
        if client.is_closed:
            raise nothing_sent("the HTTP client is closed", request)
        token = is_ours.set(True)
        try:
            return await client.send(theirs, stream=True, auth=None, follow_redirects=False)
        except self._lib.HTTPStatusError as error:  # raised by an event hook of the user's
            return error.response
        finally:
            is_ours.reset(token)

    def _translate(self, request: Request, trace: "_Trace", error: Exception) -> PlanetError:
        lib = self._lib
        if isinstance(error, lib.UnsupportedProtocol):
            return not_a_url(request)
        is_connecting = isinstance(
            error, lib.ConnectError | lib.ConnectTimeout | lib.ProxyError | lib.PoolTimeout
        )
        if is_connecting or trace.is_connecting:
            # HTTPX tells the status with which a proxy refused in the text of its error: "403 Forbidden".
            status = _STATUS.match(str(error)) if isinstance(error, lib.ProxyError) else None
            proxy = self._clients.proxy_for(request.url)
            found = TimeoutError() if isinstance(error, lib.TimeoutException) else error
            return connect_error(found, request, proxy, refused=int(status[0]) if status else None)
        return self._broken_off(request, error)

    def _broken_off(self, request: Request, error: Exception) -> PlanetError:
        found = TimeoutError() if isinstance(error, self._lib.TimeoutException) else error
        return broken_off(found, request, self._lib.TransportError)


class _Trace:
    """Watches a connection being made, through HTTPX's `trace` extension.

    It notes a CONNECT to a proxy, which fails like a request, and closes a connection whose TLS handshake is
    cancelled, which httpx 0.28 and httpx2 2.16 leave open.
    """

    def __init__(self) -> None:
        self.is_connecting: bool = False
        self._stream: Any = None

    async def note(self, event: str, info: Mapping[str, Any]) -> None:
        if "request" in info:
            self.is_connecting = info["request"].method == b"CONNECT"
        elif event == "connection.connect_tcp.complete":
            self._stream = info["return_value"]
        elif event.endswith(".start_tls.failed") and self._stream is not None:
            with anyio.CancelScope(shield=True):
                await self._stream.aclose()


def _checked(library: str) -> str:
    if library not in _LIBRARIES:
        raise InvalidRequest(f"library must be 'httpx' or 'httpx2', not {library!r}")
    return library


def _library_of(client: object) -> str:
    for cls in type(client).__mro__:
        library = cls.__module__.partition(".")[0]
        if cls.__name__ == "AsyncClient" and library in _LIBRARIES:
            return library
    raise InvalidRequest(f"expected an AsyncClient of httpx or httpx2, got {type_name(client)}")
