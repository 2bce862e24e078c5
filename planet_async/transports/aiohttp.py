"""`AiohttpTransport`: `aiohttp.ClientSession`, on asyncio only; several times cheaper than HTTPX.

It comes with `pip install "planet-async[aiohttp]"`:

    async with Planet(transport="aiohttp") as planet:
        ...
"""

import io
import ssl
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Protocol

import anyio.lowlevel

from planet_async._loops import nothing_sent
from planet_async._tasks import on_asyncio
from planet_async.config import Config
from planet_async.errors import InvalidRequest, PlanetError, type_name
from planet_async.http import Request, Response
from planet_async.transports._common import (
    KEEP_ALIVE_SECONDS,
    Body,
    Clients,
    broken_off,
    connect_error,
    joined_headers,
    load,
    not_a_url,
    outgoing,
)

if TYPE_CHECKING:
    import aiohttp

_READ_BUFFER = 1 << 16  # bytes that a connection holds for its reader
_WRITTEN_AT_ONCE = 1 << 16  # bytes of a body; a longer one is written piece by piece
_PROGRESS = "planet_async.is_connecting"
"""The key by which the trace config notes that a connection is being made: a CONNECT fails like a request."""


class AiohttpSession(Protocol):
    """An `aiohttp.ClientSession`; a protocol, since it may not be installed."""

    @property
    def closed(self) -> bool:
        """True once it is closed."""
        ...

    async def close(self) -> None:
        """Close its connections."""
        ...


class AiohttpTransport:
    """Sends with `aiohttp.ClientSession`, over HTTP/1.1, on asyncio.

    Args:
        session: A session of yours: its connector (with its TLS settings), proxy, trace configs and headers
            are used; its redirects, cookies, authentication, and middlewares, which can send a request again,
            are not.  It is not closed, and serves one event loop.  By default the transport makes a session
            of its own for each event loop.
        config: Timeouts and numbers of connections; for a session of its own, also proxy and certificates.

    Raises:
        InvalidRequest: HTTP cannot express the request, or it is sent on trio; `session` is none, or aiohttp
            is not installed.
        TransportError: no response came.
        ClientClosed: the transport or the session was closed.
    """

    def __init__(self, session: AiohttpSession | None = None, config: Config | None = None) -> None:
        load("aiohttp")
        import aiohttp

        if not isinstance(session, aiohttp.ClientSession | None):
            raise InvalidRequest(f"expected an aiohttp.ClientSession, got {type_name(session)}")
        self._config = config = config or Config()
        self._clients = Clients(session, config, self._make, lambda made: made.close())
        self._timeout = aiohttp.ClientTimeout(
            total=None, connect=config.connect_timeout, sock_read=config.read_timeout
        )

    async def send(self, request: Request) -> Response:
        """Send a request once, and return the response when its headers have come."""
        if not on_asyncio():
            raise InvalidRequest(
                "the aiohttp transport runs on asyncio only", request=request, hint="Use httpx on trio."
            )
        url, headers = outgoing(request)
        if not request.repeatable:
            # So that the event loop notices which idle connections the server has closed: it reads what the
            # server sent last, such as a 408, in one turn, and the end in the next.
            for _ in range(3):
                await anyio.lowlevel.checkpoint()
        progress: dict[str, bool] = {}
        act = partial(self._sent, request, url, headers, progress)
        translate = partial(self._translate, request, progress)
        answer, release = await self._clients.send(request, act, translate)
        found = joined_headers(answer.raw_headers)
        if answer.content.is_eof() and not answer.content.exception():
            content = answer.content.read_nowait()  # the whole body came with the headers
            answer.release()
            release()
            return Response(answer.status, found, content, url=request.url)

        def close() -> None:
            answer.close()
            release()

        body = Body(answer.content.readany, partial(self._broken_off, request))
        return Response(answer.status, found, body, url=request.url, close=close)

    async def aclose(self) -> None:
        """Close the connections, but not a session of yours; requests in progress raise ClientClosed."""
        await self._clients.aclose()

    def _make(self, context: ssl.SSLContext, proxy: str | None) -> "aiohttp.ClientSession":
        import aiohttp

        if proxy is not None and proxy.startswith("socks"):
            raise InvalidRequest(
                "aiohttp does not support SOCKS proxies",
                hint="Use httpx, or pass a session with a connector of the package aiohttp-socks.",
            )
        config = self._config
        connector = aiohttp.TCPConnector(
            limit=config.max_connections + config.max_downloads,
            ssl=context,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            proxy=proxy,
            trace_configs=[_tracing()] if proxy else None,
        )

    async def _sent(
        self,
        request: Request,
        url: str,
        headers: dict[str, str],
        progress: dict[str, bool],
        session: "aiohttp.ClientSession",
    ) -> "aiohttp.ClientResponse":
        from yarl import URL

        if session.closed:
            raise nothing_sent("the aiohttp session is closed", request)
        body, authorization = request.body, headers.get("authorization")
        if session.auth is not None or session.trust_env:  # it would refuse ours next to its own
            headers = {name: value for name, value in headers.items() if name != "authorization"}
        return await session.request(
            request.method,
            URL(url, encoded=True),
            headers=headers,
            data=io.BytesIO(body) if body and len(body) > _WRITTEN_AT_ONCE else body,
            allow_redirects=False,
            auto_decompress=False,
            raise_for_status=False,
            middlewares=(partial(_send_once, authorization),),
            read_bufsize=_READ_BUFFER,
            timeout=self._timeout,
            trace_request_ctx=progress,
        )

    def _translate(self, request: Request, progress: dict[str, bool], error: Exception) -> PlanetError:
        import aiohttp

        if isinstance(error, _FailedError):
            error = error.error
        if isinstance(error, aiohttp.InvalidURL):
            return not_a_url(request)
        if isinstance(error, _connecting()) or progress.get(_PROGRESS):
            status = error.status if isinstance(error, aiohttp.ClientHttpProxyError) else None
            return connect_error(error, request, self._clients.proxy_for(request.url), refused=status)
        return self._broken_off(request, error)

    def _broken_off(self, request: Request, error: Exception) -> PlanetError:
        import aiohttp

        return broken_off(error, request, aiohttp.ClientError)


class _FailedError(Exception):
    """Wraps a failure: those that aiohttp knows make it send an idempotent request again."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


async def _send_once(
    authorization: str | None, theirs: "aiohttp.ClientRequest", send: "aiohttp.ClientHandlerType"
) -> "aiohttp.ClientResponse":
    """Send once, with our credential or none, and without cookies of the session."""
    import aiohttp

    theirs.headers.pop("Cookie", None)
    theirs.headers.pop("Authorization", None)
    if authorization is not None:
        theirs.headers["Authorization"] = authorization
    try:
        return await send(theirs)
    except _connecting():
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _FailedError(error) from None


def _connecting() -> tuple[type[Exception], ...]:
    """Return the errors of a connection that could not be made."""
    import aiohttp

    return (
        aiohttp.ClientConnectorError,
        aiohttp.ConnectionTimeoutError,
        aiohttp.ClientHttpProxyError,
        aiohttp.ServerFingerprintMismatch,
    )


def _tracing() -> "aiohttp.TraceConfig":
    """Return the trace config that notes whether a connection is being made."""
    import aiohttp

    async def begin(_: object, context: SimpleNamespace, __: object) -> None:
        context.trace_request_ctx[_PROGRESS] = True

    async def end(_: object, context: SimpleNamespace, __: object) -> None:
        context.trace_request_ctx[_PROGRESS] = False

    tracing = aiohttp.TraceConfig()
    tracing.on_connection_create_start.append(begin)
    tracing.on_connection_create_end.append(end)
    return tracing
