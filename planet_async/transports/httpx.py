"""The default network: httpx, called at its transport, below its client.

The client layer of httpx costs a third of a request, and its pool scans all connections several times a
request; so the connections in use are gated here, where the scan stays short.
"""

from collections.abc import AsyncIterator
from contextlib import suppress
from importlib.util import find_spec
from typing import Self

import anyio
import httpx

from planet_async.config import Config
from planet_async.errors import ConnectError, ConnectionLost, InvalidRequest, PlanetError, TransportTimeout
from planet_async.http import Request, Response
from planet_async.transports.discreet import keep_secrets_out_of_logs, without_words_of_the_server
from planet_async.transports.outgoing import not_an_address, transport_closed, wire_address


class HttpxTransport:
    """Sends on asyncio and trio, with at most `Config.max_connections` connections.

    HTTP/1.1; or HTTP/2 with servers that offer it, where `planet-async[http2]` is installed.

    A response holds its connection until it is read or closed; further requests wait in line for one.
    Proxies of the environment and `.netrc` are not looked at.
    """

    def __init__(self, config: Config | None = None) -> None:
        config = config or Config()
        keep_secrets_out_of_logs()
        self._network = httpx.AsyncHTTPTransport(
            trust_env=False,
            http2=find_spec("h2") is not None,
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
        self._closed = False

    async def send(self, request: Request) -> Response:
        """Send; the response comes with its body unread."""
        if self._closed:
            raise transport_closed(request)
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
        self._closed = True
        await self._network.aclose()


def _outgoing(request: Request, timeouts: dict[str, float | None]) -> httpx.Request:
    address = wire_address(request)
    try:
        outgoing = httpx.Request(
            request.method,
            address,
            headers={"accept-encoding": "identity", **request.headers},
            content=request.body,
            extensions={"timeout": timeouts},
        )
    except (httpx.InvalidURL, ValueError, TypeError) as error:
        raise not_an_address(request, type(error).__name__) from None
    outgoing.stream = _Sent(request.body)
    return outgoing


class _Sent(httpx.AsyncByteStream, AsyncIterator[bytes]):
    """A body to be sent.  No generator, as httpx's is: to drop one half way is a ResourceWarning on trio."""

    def __init__(self, content: bytes | None) -> None:
        self._pieces = iter((content,) if content else ())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        for piece in self._pieces:
            return piece
        raise StopAsyncIteration


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
    remote = isinstance(error, httpx.RemoteProtocolError)
    what = (without_words_of_the_server(error) if remote else str(error)) or type(error).__name__
    # What HTTP cannot express, and host names that DNS cannot: met before a byte is sent.
    if isinstance(error, httpx.LocalProtocolError | httpx.UnsupportedProtocol | UnicodeError):
        return InvalidRequest(f"not a request that can be sent: {what}", request=request)
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return ConnectError(f"could not connect: {what}", request=request)
    if isinstance(error, httpx.TimeoutException):
        return TransportTimeout(f"nothing moved for too long: {what}", request=request)
    return ConnectionLost(f"the connection broke off: {what}", request=request)
