"""The default network: httpx, called at its innermost, the connections of httpcore.

The client layer of httpx costs a third of a request, and the connection pool below it costs more with each
connection; what is left is HTTP itself.  Connections are kept by `Connections`, and gated here.  httpx itself
is not loaded: where a command line is installed it brings all of that along, which a collection of garbage
then looks at each time.
"""

import ssl
import sys
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import suppress
from importlib.util import find_spec
from typing import Self

import anyio
import httpcore

from planet_async.config import Config
from planet_async.errors import ConnectError, ConnectionLost, InvalidRequest, PlanetError, TransportTimeout
from planet_async.http import Request, Response
from planet_async.transports.connections import Connections
from planet_async.transports.discreet import keep_secrets_out_of_logs, without_words_of_the_server
from planet_async.transports.incoming import joined_headers
from planet_async.transports.outgoing import Key, destination, fields, transport_closed

# By their names, which are those of httpx too: mocks such as respx raise that one's.
_CONNECTING = frozenset({"ConnectError", "ConnectTimeout"})
_SERVER_SPOKE = frozenset({"RemoteProtocolError", "ProtocolError"})
# What HTTP cannot express, and host names that DNS cannot: met before a byte is sent.
_UNSENDABLE = frozenset({"LocalProtocolError", "UnsupportedProtocol"})


def _errors() -> tuple[type[Exception], ...]:
    """Give the errors of the network; asked for only where there is one."""
    ours = (
        httpcore.NetworkError,
        httpcore.TimeoutException,
        httpcore.ProtocolError,
        httpcore.UnsupportedProtocol,
    )
    mocked, http2 = sys.modules.get("httpx"), sys.modules.get("h2.exceptions")
    theirs = (*((mocked.HTTPError,) if mocked else ()), *((http2.H2Error,) if http2 else ()))
    # A ValueError is httpcore's where it counts wrongly, and else a UnicodeError.
    return (*ours, *theirs, ValueError, TimeoutError)


class HttpxTransport:
    """Sends on asyncio and trio, with at most `Config.max_connections` connections.

    HTTP/1.1; or HTTP/2 with servers that offer it, where `planet-async[http2]` is installed.

    A response holds its connection until it is read or closed; further requests wait in line for one.
    Proxies of the environment and `.netrc` are not looked at.
    """

    def __init__(self, config: Config | None = None) -> None:
        config = config or Config()
        keep_secrets_out_of_logs()
        self._connections = Connections(config.max_connections, http2=find_spec("h2") is not None)
        self._gate = anyio.Semaphore(config.max_connections, fast_acquire=True)
        self._timeouts = {
            "connect": config.connect_timeout,
            "read": config.read_timeout,
            "write": config.read_timeout,
        }
        self._head_seconds = config.connect_timeout + 2 * config.read_timeout
        self._closed = False

    async def send(self, request: Request) -> Response:
        """Send; the response comes with its body unread."""
        if self._closed:
            raise transport_closed(request)
        key, outgoing = _outgoing(request, self._timeouts)
        await self._gate.acquire()
        if self._closed:  # while this waited in line
            self._gate.release()
            raise transport_closed(request)
        try:
            # httpcore has none for a server that says `100 Continue` for ever, or its headers byte by byte.
            with anyio.fail_after(self._head_seconds):
                response, connection = await self._connections.send(
                    key, outgoing, repeatable=request.repeatable
                )
        except _errors() as error:
            self._gate.release()
            raise _translated(error, request) from error
        except BaseException:
            self._gate.release()
            raise
        body = _Body(response, request)

        async def close() -> None:
            try:
                await body.aclose()
                if self._closed:
                    await self._connections.aclose()  # it would be kept for nobody
            except BaseException:
                if response.extensions.get("http_version") != b"HTTP/2":  # which carries others too
                    await self._connections.let_go(connection)
                raise
            finally:
                self._gate.release()

        return Response(response.status, joined_headers(response.headers), body, url=request.url, close=close)

    async def aclose(self) -> None:
        """Close all connections."""
        self._closed = True
        await self._connections.aclose()


def _outgoing(request: Request, timeouts: Mapping[str, float]) -> tuple[Key, httpcore.Request]:
    key, target = destination(request)
    try:
        headers = [
            (field.encode("ascii"), value.encode("ascii")) for field, value in fields(request, key).items()
        ]
        url = httpcore.URL(scheme=key[0], host=key[1], port=key[2], target=target)
        method = request.method.encode("ascii")
    except UnicodeError as error:
        raise InvalidRequest("not a request that can be sent: not all is ASCII", request=request) from error
    body = _Sent(request.body)
    return key, httpcore.Request(method, url, headers=headers, content=body, extensions={"timeout": timeouts})


class _Sent(AsyncIterator[bytes]):
    """A body to be sent.  No generator: to drop one half way is a ResourceWarning on trio."""

    def __init__(self, content: bytes | None) -> None:
        self._pieces = iter((content,) if content else ())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        for piece in self._pieces:
            return piece
        raise StopAsyncIteration


class _Body(AsyncIterator[bytes]):
    def __init__(self, response: httpcore.Response, request: Request) -> None:
        if not isinstance(response.stream, AsyncIterable):  # pragma: no cover - its types allow it
            raise TypeError("an async connection gave a sync stream")
        self._response = response
        self._request = request
        self._chunks = aiter(response.stream)
        self._begun = False

    async def __anext__(self) -> bytes:
        self._begun = True
        try:
            return await anext(self._chunks)
        except _errors() as error:
            raise _translated(error, self._request) from error

    async def aclose(self) -> None:
        with suppress(*_errors()):
            await self._response.aclose()
            # httpcore reads through nested generators.  The error of reading what is closed ends them all; to
            # drop them half way is a ResourceWarning on trio.
            if self._begun:
                async for _ in self._chunks:
                    pass


def _translated(error: Exception, request: Request) -> PlanetError:
    name = type(error).__name__
    what = (without_words_of_the_server(error) if name in _SERVER_SPOKE else str(error)) or name
    if name in _UNSENDABLE or isinstance(error, UnicodeError):
        return InvalidRequest(f"not a request that can be sent: {what}", request=request)
    if name in _CONNECTING:
        return ConnectError(f"could not connect: {_tls_problem(error) or what}", request=request)
    if isinstance(error, TimeoutError) or name.endswith("Timeout"):
        return TransportTimeout(f"nothing moved for too long: {what}", request=request)
    return ConnectionLost(f"the connection broke off: {what}", request=request)


def _tls_problem(error: BaseException | None) -> str:
    """Find what TLS had against it: on trio, httpcore's own error says nothing."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return str(error or "")
