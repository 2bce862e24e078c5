"""The default network: httpx, called at its transport, below its client.

The client layer of httpx costs a third of a request, and its pool scans all connections several times a
request; so the connections in use are gated here, where the scan stays short.
"""

from collections.abc import AsyncGenerator
from contextlib import suppress

import anyio
import httpx

from planet_async.config import Config
from planet_async.errors import ConnectError, ConnectionLost, InvalidRequest, TransportError, TransportTimeout
from planet_async.http import Request, Response


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
        except httpx.HTTPError as error:
            self._gate.release()
            raise _translated(error, request) from error
        except BaseException:
            self._gate.release()
            raise
        stream = response.stream
        if not isinstance(stream, httpx.AsyncByteStream):  # pragma: no cover - httpx's types allow it
            raise TypeError("an async transport gave a sync stream")
        body = _chunks(stream, request)

        async def close() -> None:
            try:
                with suppress(httpx.HTTPError):
                    await body.aclose()
                    await stream.aclose()
            finally:
                self._gate.release()

        headers = {name.lower(): value for name, value in response.headers.items()}
        return Response(response.status_code, headers, body, url=request.url, close=close)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._network.aclose()


def _outgoing(request: Request, timeouts: dict[str, float | None]) -> httpx.Request:
    try:
        return httpx.Request(
            request.method,
            request.url,
            params=request.params or None,
            headers={"accept-encoding": "identity", **request.headers},
            content=request.body,
            extensions={"timeout": timeouts},
        )
    except (httpx.InvalidURL, ValueError, TypeError) as error:
        raise InvalidRequest(
            f"not a URL that can be requested ({type(error).__name__})", request=request
        ) from None


async def _chunks(stream: httpx.AsyncByteStream, request: Request) -> AsyncGenerator[bytes]:
    try:
        async for chunk in stream:
            yield chunk
    except httpx.HTTPError as error:
        raise _translated(error, request) from error


def _translated(error: httpx.HTTPError, request: Request) -> TransportError:
    what = str(error) or type(error).__name__
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.UnsupportedProtocol):
        return ConnectError(f"could not connect: {what}", request=request)
    if isinstance(error, httpx.TimeoutException):
        return TransportTimeout(f"nothing moved for too long: {what}", request=request)
    return ConnectionLost(f"the connection broke off: {what}", request=request)
