"""`AiohttpTransport`: `aiohttp.ClientSession`, on asyncio only; several times cheaper than HTTPX.

It comes with `pip install "planet-async[aiohttp]"`:

    async with Planet(transport="aiohttp") as planet:
        ...
"""

import io
import ssl
from collections.abc import AsyncIterator
from functools import partial

import aiohttp
import anyio.lowlevel
from aiohttp.typedefs import Handler
from yarl import URL

from planet_async._background import on_asyncio
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

_READ_BUFFER = 1 << 17  # bytes a connection holds for its reader
_WRITTEN_AT_ONCE = 1 << 16  # bytes of a body; a longer one is written piece by piece
_CONNECTING = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientHttpProxyError)


class AiohttpTransport:
    """Sends with `aiohttp.ClientSession`, over HTTP/1.1, on asyncio.

    Args:
        session: A session of yours: its connector (with its TLS settings), proxy, trace configs and headers
            count; its redirects, cookies and middlewares, which can send a request again, do not.  It is not
            closed, and serves one event loop.  Without it there is one of our own for each event loop.
        config: Timeouts, the numbers of connections, and, for a session of our own, proxy and certificates.

    Raises the TransportErrors of `planet_async.errors`, InvalidRequest for what HTTP cannot express and on
    trio, and ClientClosed.
    """

    def __init__(self, session: aiohttp.ClientSession | None = None, config: Config | None = None) -> None:
        self._config = config = config or Config()
        self._proxies = Proxies(config) if session is None else None
        self._clients = Clients(session, config, self._make, lambda made: made.close())
        self._timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=config.connect_timeout, sock_read=config.read_timeout
        )

    async def send(self, request: Request) -> Response:
        """Send, and return the response with its body unread, which holds its connection until closed."""
        if not on_asyncio():
            raise InvalidRequest(
                "the aiohttp transport runs on asyncio only", request=request, hint="Use httpx on trio."
            )
        url, headers = outgoing(request)
        if not request.repeatable:  # the loop hears of connections that the server has closed while idle
            await anyio.lowlevel.checkpoint()
            await anyio.lowlevel.checkpoint()
        proxy = self._proxies.of(url) if self._proxies else None
        translate = partial(self._translate, request, proxy)
        act = partial(self._sent, request, url, headers, proxy)
        answer, release = await self._clients.send(request, act, translate)
        found = joined_headers(answer.raw_headers)
        if answer.content.is_eof() and not answer.content.exception():
            content = answer.content.read_nowait()  # all of it came with the headers
            answer.release()
            release()
            return Response(answer.status, found, content, url=request.url)

        def close() -> None:
            answer.close()
            release()

        return Response(answer.status, found, _Body(answer.content, translate), url=request.url, close=close)

    async def aclose(self) -> None:
        """Close our own connections; a session of the user's stays open."""
        await self._clients.aclose()

    def _make(self, context: ssl.SSLContext | None) -> aiohttp.ClientSession:
        config = self._config
        connector = aiohttp.TCPConnector(
            limit=config.max_connections + config.max_downloads,
            ssl=True if context is None else context,
            keepalive_timeout=KEPT_SECONDS,
        )
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

    async def _sent(
        self,
        request: Request,
        url: str,
        headers: dict[str, str],
        proxy: str | None,
        session: aiohttp.ClientSession,
    ) -> aiohttp.ClientResponse:
        if session.closed:
            raise transport_closed(request, "the aiohttp session is closed")
        body = request.body
        return await session.request(
            request.method,
            URL(url, encoded=True),
            headers=headers,
            data=io.BytesIO(body) if body and len(body) > _WRITTEN_AT_ONCE else body,
            proxy=proxy,
            allow_redirects=False,
            auto_decompress=False,
            raise_for_status=False,
            middlewares=(_once,),
            read_bufsize=_READ_BUFFER,
            timeout=self._timeout,
        )

    def _translate(self, request: Request, proxy: str | None, error: Exception) -> PlanetError:
        if isinstance(error, _FailedError):
            error = error.error
        if isinstance(error, aiohttp.InvalidURL):
            return InvalidRequest("not a URL that can be requested", request=request)
        if isinstance(error, _CONNECTING):
            return connect_error(error, request, proxy)
        if isinstance(error, TimeoutError):
            return TransportTimeout("nothing moved for too long", request=request)
        if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientResponseError):
            return ConnectionLost("the server hung up, or does not speak HTTP", request=request)
        return ConnectionLost(f"the connection broke off ({type(error).__name__})", request=request)


class _Body(AsyncIterator[bytes]):
    """A body as it arrives, in pieces as large as came."""

    def __init__(self, content: aiohttp.StreamReader, translate: partial[PlanetError]) -> None:
        self._content = content
        self._translate = translate

    async def __anext__(self) -> bytes:
        chunk = await translating(self._content.readany(), self._translate)
        if not chunk:
            raise StopAsyncIteration
        return chunk


class _FailedError(Exception):
    """A failure in disguise: those that aiohttp knows have it send an idempotent request once more."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


async def _once(theirs: aiohttp.ClientRequest, send: Handler) -> aiohttp.ClientResponse:
    """Send once, and no cookie of a session's jar."""
    theirs.headers.pop("Cookie", None)
    try:
        return await send(theirs)
    except _CONNECTING:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _FailedError(error) from None
