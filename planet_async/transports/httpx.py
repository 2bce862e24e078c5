"""The default network: httpx, called at its transport, below its client.

The client layer of httpx costs a third of a request, and its pool scans all connections several times a
request; so the connections in use are gated here, where the scan stays short.
"""

from collections.abc import AsyncIterator
from contextlib import suppress
from urllib.parse import urlencode

import anyio
import httpx

from planet_async.config import Config
from planet_async.errors import ConnectError, ConnectionLost, InvalidRequest, PlanetError, TransportTimeout
from planet_async.http import Request, Response, origin


class HttpxTransport:
    """Sends over HTTP/1.1 on asyncio and trio, with at most `Config.max_connections` connections.

    A response holds its connection until it is read or closed; further requests wait in line for one.
    Proxies of the environment and `.netrc` are not looked at.
    """

    def __init__(self, config: Config | None = None) -> None:
        config = config or Config()
        self._network = httpx.AsyncHTTPTransport(
            trust_env=False,
            limits=httpx.Limits(
                max_connections=config.max_connections, max_keepalive_connections=config.max_connections
            ),
        )
        self._gate = anyio.Semaphore(config.max_connections, fast_acquire=True)
        self._timeouts = {
            "connect": config.connect_timeout,
            "read": config.read_timeout,
            "write": config.read_timeout,
            "pool": None,
        }

    async def send(self, request: Request) -> Response:
        """Send; the response comes with its body unread."""
        outgoing = _outgoing(request, self._timeouts)
        await self._gate.acquire()
        try:
            response = await self._network.handle_async_request(outgoing)
        except (httpx.HTTPError, UnicodeError) as error:
            self._gate.release()
            raise _translated(error, request) from error
        except BaseException:
            self._gate.release()
            raise
        stream = response.stream
        if not isinstance(stream, httpx.AsyncByteStream):  # pragma: no cover - httpx's types allow it
            raise TypeError("an async transport gave a sync stream")
        body = _Body(stream, request)

        async def close() -> None:
            try:
                await body.aclose()
            finally:
                self._gate.release()

        headers = {name.lower(): value for name, value in response.headers.items()}
        return Response(response.status_code, headers, body, url=request.url, close=close)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._network.aclose()


def _outgoing(request: Request, timeouts: dict[str, float | None]) -> httpx.Request:
    if not origin(request.url)[1]:
        raise InvalidRequest("not a URL that can be requested", request=request)
    try:
        return httpx.Request(
            request.method,
            _with_params(request),
            headers={"accept-encoding": "identity", **request.headers},
            content=request.body,
            extensions={"timeout": timeouts},
        )
    except (httpx.InvalidURL, ValueError, TypeError) as error:
        raise InvalidRequest(
            f"not a URL that can be requested ({type(error).__name__})", request=request
        ) from None


def _with_params(request: Request) -> str:
    # httpx would put params in the place of the query that a URL has.
    if not request.params:
        return request.url
    return f"{request.url}{'&' if '?' in request.url else '?'}{urlencode(request.params)}"


class _Body(AsyncIterator[bytes]):
    def __init__(self, stream: httpx.AsyncByteStream, request: Request) -> None:
        self._stream = stream
        self._request = request
        self._chunks = aiter(stream)
        self._begun = False

    async def __anext__(self) -> bytes:
        self._begun = True
        try:
            return await anext(self._chunks)
        except httpx.HTTPError as error:
            raise _translated(error, self._request) from error

    async def aclose(self) -> None:
        with suppress(httpx.HTTPError):
            await self._stream.aclose()
            # httpx reads through nested generators.  The error of reading what is closed ends them all; to
            # drop them half way is a ResourceWarning on trio.
            if self._begun:
                async for _ in self._chunks:
                    pass


def _translated(error: httpx.HTTPError | UnicodeError, request: Request) -> PlanetError:
    what = str(error) or type(error).__name__
    # What HTTP cannot express, and host names that DNS cannot: met before a byte is sent.
    if isinstance(error, httpx.LocalProtocolError | httpx.UnsupportedProtocol | UnicodeError):
        return InvalidRequest(f"not a request that can be sent: {what}", request=request)
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return ConnectError(f"could not connect: {what}", request=request)
    if isinstance(error, httpx.TimeoutException):
        return TransportTimeout(f"nothing moved for too long: {what}", request=request)
    return ConnectionLost(f"the connection broke off: {what}", request=request)
