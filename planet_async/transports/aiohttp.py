"""The fast network: aiohttp, on asyncio only; a request costs a tenth of what it costs with httpx.

It comes with `planet-async[aiohttp]`:

    async with Planet(transport="aiohttp") as planet:
        ...
"""

import asyncio
import io
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import anyio
import certifi
from yarl import URL

from planet_async._background import on_asyncio
from planet_async.config import Config
from planet_async.errors import ConnectError, ConnectionLost, InvalidRequest, PlanetError, TransportTimeout
from planet_async.http import Request, Response
from planet_async.transports.discreet import without_quotes
from planet_async.transports.outgoing import not_an_address, transport_closed, wire_address

_BUFFER = 1 << 16  # bytes of a body that wait for their reader, twice that at most; times the connections
_LONGEST_LINE = 1 << 16  # bytes of a header: a signed address in a redirect is long
_LARGE = 1 << 16  # bytes of a request
_AUTOMATIC = ("accept", "user-agent", "content-type")
_ERRORS = (aiohttp.ClientError, TimeoutError, ValueError)


class AiohttpTransport:
    """Sends over HTTP/1.1 on asyncio, with at most `Config.max_connections` connections.

    A response holds its connection until it is read or closed; further requests wait in line for one.
    Proxies of the environment, `.netrc` and cookies are not looked at.  It belongs to the event loop in which
    it sends first.
    """

    def __init__(self, config: Config | None = None) -> None:
        self._config = config or Config()
        # The authorities that the default transport trusts; those of the system may be missing.
        self._trusted = ssl.create_default_context(cafile=certifi.where())
        self._session: aiohttp.ClientSession | None = None
        self._gate = anyio.Semaphore(self._config.max_connections, fast_acquire=True)
        self._closed = False

    async def send(self, request: Request) -> Response:
        """Send; the response comes with its body unread."""
        session = self._session or self._open(request)
        address = wire_address(request)
        await self._gate.acquire()
        if self._closed:  # while this waited in line
            self._gate.release()
            raise transport_closed(request)
        try:
            answer = await self._send(session, request, address)
        except BaseException as error:
            self._gate.release()
            if not isinstance(error, _ERRORS):
                raise
            failure = _translated(error, request)
        else:
            return self._response(request, answer)
        raise failure  # outside of the handler: it would keep, as its context, what aiohttp said

    def _response(self, request: Request, answer: aiohttp.ClientResponse) -> Response:
        body = _Body(answer.content, request)

        def close() -> None:
            if not answer.content.is_eof():  # else its connection is back in the pool already
                answer.close()
            self._gate.release()

        return Response(answer.status, _headers(answer), body, url=request.url, close=close)

    async def aclose(self) -> None:
        """Close all connections."""
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self, request: Request) -> aiohttp.ClientSession:
        if self._closed:
            raise transport_closed(request)
        if not on_asyncio():
            raise InvalidRequest(
                "the aiohttp transport runs on asyncio only", request=request, hint="Use httpx on trio."
            )
        config = self._config
        self._session = aiohttp.ClientSession(
            # Without its cache it resolves in the task that asks, and not in one that outlives it.
            connector=aiohttp.TCPConnector(limit=0, use_dns_cache=False, ssl=self._trusted),
            # Waiting in line is the gate's affair, so `connect` is looking up the name and connecting.
            timeout=aiohttp.ClientTimeout(connect=config.connect_timeout, sock_read=config.read_timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            read_bufsize=_BUFFER,
            skip_auto_headers=_AUTOMATIC,
            max_line_size=_LONGEST_LINE,
            max_field_size=_LONGEST_LINE,
            middlewares=(_once,),
        )
        return self._session

    async def _send(
        self, session: aiohttp.ClientSession, request: Request, address: str
    ) -> aiohttp.ClientResponse:
        if not request.repeatable:
            # The loop hears of idle connections that the server closed, so that this one meets none of them.
            for _ in range(2):
                await asyncio.sleep(0)
        sending = session.request(
            request.method,
            # What is not ASCII was not signed either, and needs encoding.
            URL(address, encoded=address.isascii()),
            headers={"accept-encoding": "identity", **request.headers},
            data=_paced(request.body),
            allow_redirects=False,
        )
        # aiohttp has none for a server that does not take the body, or says `100 Continue`, or its headers
        # byte by byte, for ever.
        async with asyncio.timeout(self._config.connect_timeout + 2 * self._config.read_timeout):
            return await sending


def _paced(body: bytes | None) -> bytes | io.BytesIO | None:
    """Give a large body as a file, which aiohttp sends a little at a time."""
    return body if body is None or len(body) <= _LARGE else io.BytesIO(body)


class _Broken(aiohttp.ClientError):
    """What `_once` makes of a connection that broke off."""


async def _once(
    request: aiohttp.ClientRequest,
    send: Callable[[aiohttp.ClientRequest], Awaitable[aiohttp.ClientResponse]],
) -> aiohttp.ClientResponse:
    # aiohttp sends GET, PUT and DELETE again by itself where the connection broke off; that is Retry's to
    # decide, which knows what is repeatable, waits, and counts.
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:
        raise
    except aiohttp.ServerDisconnectedError:
        raise _Broken("the server hung up") from None
    except aiohttp.ClientOSError as error:
        raise _Broken(error.strerror or type(error).__name__) from error


class _Body(AsyncIterator[bytes]):
    def __init__(self, content: aiohttp.StreamReader, request: Request) -> None:
        self._content = content
        self._request = request

    async def __anext__(self) -> bytes:
        try:
            chunk = await self._content.readany()
        except _ERRORS as error:
            # It withholds what came before a cut, and a download would never get on.
            self._content.set_exception(None)  # type: ignore[arg-type]
            if chunk := self._content.read_nowait():
                self._content.set_exception(error)
                return chunk
            failure = _translated(error, self._request)
        else:
            if chunk:
                return chunk
            raise StopAsyncIteration
        raise failure  # outside of the handler, as in `send`


def _headers(answer: aiohttp.ClientResponse) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in answer.headers.items():
        key = name.lower()
        if not value.isascii():  # bytes that are no text came as surrogates, which nobody can print
            value = value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")  # noqa: PLW2901
        found[key] = f"{found[key]}, {value}" if key in found else value
    return found


def _translated(error: Exception, request: Request) -> PlanetError:
    """Make the error; it keeps a cause of the machine, but none that repeats the address or what came."""
    if isinstance(error, aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError):
        return not_an_address(request, type(error).__name__)
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return ConnectError("could not connect: it took too long", request=request)
    if isinstance(error, TimeoutError):
        return TransportTimeout("nothing moved for too long", request=request)
    if isinstance(error, aiohttp.ClientConnectorError):
        failure: PlanetError = ConnectError(f"could not connect: {error}", request=request)
        failure.__cause__ = error
        return failure
    said = error.message if isinstance(error, aiohttp.ClientResponseError) else str(error)
    what = without_quotes(said) or type(error).__name__
    if isinstance(error, ValueError):  # met before a byte is sent: what HTTP or DNS cannot express
        return InvalidRequest(f"not a request that can be sent: {what}", request=request)
    return ConnectionLost(f"the connection broke off: {what}", request=request)
