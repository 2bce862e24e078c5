"""`HttpxTransport`: the HTTPX family, `httpx` (the default) and `httpx2`, on asyncio and trio."""

from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from planet_async.config import Config
from planet_async.errors import ConnectionLost, InvalidRequest, PlanetError, TransportTimeout
from planet_async.http import Request, Response
from planet_async.transports._common import (
    KEPT_SECONDS,
    Clients,
    Proxies,
    connect_error,
    joined_headers,
    outgoing,
    translating,
    transport_closed,
)
from planet_async.transports._logs import keep_secrets_out_of_logs, ours

if TYPE_CHECKING:
    import ssl

    import httpx
    import httpx2


class HttpxTransport:
    """Sends with `httpx.AsyncClient`, or with `httpx2.AsyncClient`, which is HTTPX continued by its author.

    Args:
        client: A client of yours, of either library: its proxies, mounts, certificates, event hooks and
            headers count; its redirects, cookies and authentication do not.  It is not closed, and serves one
            event loop.  Without it there is a client of our own for each event loop.
        config: Timeouts, the numbers of connections, and, for a client of our own, proxy and certificates.
        library: "httpx" or "httpx2", for a client of our own.

    HTTP/2 is spoken with servers that offer it where `planet-async[http2]` is installed.  Raises the
    TransportErrors of `planet_async.errors`, InvalidRequest for what HTTP cannot express, and ClientClosed.

        async with httpx.AsyncClient(proxy="http://proxy:3128") as client, Planet(transport=client) as planet:
            ...
    """

    def __init__(
        self,
        client: "httpx.AsyncClient | httpx2.AsyncClient | None" = None,
        config: Config | None = None,
        *,
        library: str = "httpx",
    ) -> None:
        self._config = config = config or Config()
        self._proxies = Proxies(config) if client is None else None
        self._lib: Any = import_module(library if client is None else _library_of(client))
        self._headers = {} if client is None else dict(client.headers)
        self._clients: Clients[Any] = Clients(client, config, self._make, lambda made: made.aclose())
        timeouts = (config.connect_timeout, config.read_timeout, config.read_timeout, config.connect_timeout)
        self._timeouts = dict(zip(("connect", "read", "write", "pool"), timeouts, strict=True))
        keep_secrets_out_of_logs()

    async def send(self, request: Request) -> Response:
        """Send, and return the response with its body unread, which holds its connection until closed."""
        theirs, translate = self._built(request), partial(self._translate, request)
        answer, release = await self._clients.send(request, partial(self._sent, request, theirs), translate)
        headers = joined_headers(answer.headers.raw)
        if answer.is_stream_consumed:  # by a mock, or by an event hook of the user's
            release()
            return Response(answer.status_code, headers, answer.content, url=request.url)
        body = _Body(answer, translate)

        async def close() -> None:
            try:
                await body.aclose()
            finally:
                release()

        return Response(answer.status_code, headers, body, url=request.url, close=close)

    async def aclose(self) -> None:
        """Close our own connections; a client of the user's stays open."""
        await self._clients.aclose()

    def _make(self, context: "ssl.SSLContext | None") -> Any:
        config, proxy = self._config, self._config.proxy
        most = config.max_connections + config.max_downloads
        try:
            return self._lib.AsyncClient(
                # Where no TLS is spoken, reading the authorities would be 40 ms for nothing.
                verify=False if context is None else context,
                proxy=proxy and self._lib.Proxy(proxy, ssl_context=context),
                trust_env=config.trust_env,
                http2=find_spec("h2") is not None,
                limits=self._lib.Limits(
                    max_connections=most, max_keepalive_connections=most, keepalive_expiry=KEPT_SECONDS
                ),
            )
        except (ImportError, ValueError) as error:
            what = type(error).__name__ if proxy is None else "its scheme is not supported"
        raise InvalidRequest(f"no HTTP client can be made: {what}", hint="For SOCKS: pip install socksio.")

    def _built(self, request: Request) -> Any:
        url, headers = outgoing(request)
        try:
            theirs = self._lib.Request(
                request.method,
                url,
                headers={**self._headers, **headers},
                content=request.body,
                extensions={"timeout": self._timeouts},
            )
        except (self._lib.InvalidURL, ValueError, TypeError):
            theirs = None
        if theirs is None:
            raise InvalidRequest("not a URL that can be requested", request=request)
        return theirs

    async def _sent(self, request: Request, theirs: Any, client: Any) -> Any:
        if client.is_closed:
            raise transport_closed(request, "the HTTP client is closed")
        with ours():
            try:
                return await client.send(theirs, stream=True, auth=None, follow_redirects=False)
            except self._lib.HTTPStatusError as error:
                return (
                    error.response
                )  # of an event hook of the user's: what the status means is decided above

    def _translate(self, request: Request, error: Exception) -> PlanetError:
        lib = self._lib
        if isinstance(error, lib.UnsupportedProtocol):
            return InvalidRequest("not a URL that can be requested", request=request)
        if isinstance(error, lib.ConnectError | lib.ConnectTimeout | lib.ProxyError | lib.PoolTimeout):
            return connect_error(error, request, self._proxies.of(request.url) if self._proxies else None)
        if isinstance(error, lib.TimeoutException | TimeoutError):
            return TransportTimeout("nothing moved for too long", request=request)
        if isinstance(error, lib.RemoteProtocolError):
            return ConnectionLost("the server hung up, or does not speak HTTP", request=request)
        return ConnectionLost(f"the connection broke off ({type(error).__name__})", request=request)


class _Body(AsyncIterator[bytes]):
    """A body as it arrives.  No generator: to drop one half way is a ResourceWarning on trio."""

    def __init__(self, answer: Any, translate: Any) -> None:
        self._answer = answer
        self._translate = translate
        self._chunks = answer.aiter_raw()
        self._has_begun = False

    async def __anext__(self) -> bytes:
        self._has_begun = True
        chunk: bytes | None = await translating(anext(self._chunks, None), self._translate)
        if chunk is None:
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        with suppress(Exception):
            await self._answer.aclose()
            # Clients read through nested generators, which would be dropped half way, a ResourceWarning on
            # trio.  The error of reading what is closed ends them all.
            if self._has_begun:
                async for _ in self._chunks:
                    pass


def _library_of(client: object) -> str:
    """Return the name of the library whose client it is, or is derived from."""
    for cls in type(client).__mro__:
        library = cls.__module__.partition(".")[0]
        if cls.__name__ == "AsyncClient" and library in {"httpx", "httpx2"}:
            return library
    raise InvalidRequest(f"expected a client of httpx or httpx2, got {type(client).__name__}")
