"""Whatever an HTTP client raises, and wherever a server hangs up: an error of ours that is true."""

import socket
import ssl
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import count
from types import ModuleType, SimpleNamespace
from typing import Any

import aiohttp
import anyio
import anyio.abc
import h2.exceptions
import httpcore
import httpcore2
import httpx
import httpx2
import pytest
from attrs import define, field
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from planet_async import ApiKey, Config, ConnectError, NotFound, Planet, PlanetError
from planet_async.errors import ConnectionLost, InvalidRequest, TransportTimeout
from transports.on_loopback import KEY, Received, Stream, serving, texts_of

pytestmark = [pytest.mark.anyio, pytest.mark.no_cover]

SECRET = "said-by-the-server-which-quotes-the-key"


# --- every class of error of every client


def errors_in(module: ModuleType) -> Iterator[Exception]:
    """Yield an error of each class that a library exports."""
    for cls in vars(module).values():
        if isinstance(cls, type) and issubclass(cls, Exception) and cls.__name__ != "HTTPStatusError":
            yield made(cls)


def made(cls: type[Exception]) -> Exception:
    """Return an error of a class, with what it needs, and with a secret in all of it."""
    for positional, named in ARGUMENTS:
        with suppress(TypeError, AttributeError):  # of other arguments
            error = cls(*positional, **named)
            str(error)  # some take anything, and fail where they are shown
            return error
    raise AssertionError(f"{cls} cannot be made")


REQUEST_INFO = aiohttp.RequestInfo(URL(f"http://h/?{SECRET}"), "GET", CIMultiDictProxy(CIMultiDict()))
SERVER = SimpleNamespace(host=SECRET, port=80, ssl=True, is_ssl=True)
REFUSED = ConnectionRefusedError(111, SECRET)
ARGUMENTS: Iterable[tuple[tuple[Any, ...], dict[str, Any]]] = (
    ((REQUEST_INFO, ()), {"message": SECRET, "status": 407}),
    ((SERVER, REFUSED), {}),
    ((SECRET, SERVER, REFUSED), {}),
    ((b"one", SECRET.encode(), "h", 80), {}),
    ((SECRET,), {}),
    ((1,), {}),
    ((1, SECRET), {}),
    ((), {}),
)
OTHERS: Iterable[Exception] = (
    anyio.EndOfStream(SECRET),
    anyio.BrokenResourceError(SECRET),
    anyio.ClosedResourceError(SECRET),
    anyio.BusyResourceError(SECRET),
    ssl.SSLError(1, f"[SSL: BAD] {SECRET}"),
    ssl.SSLCertVerificationError(1, SECRET),
    ssl.SSLEOFError(8, SECRET),
    socket.gaierror(-2, SECRET),
    OSError(SECRET),
    OSError(5, SECRET),
    REFUSED,
    ConnectionResetError(104, SECRET),
    BrokenPipeError(32, SECRET),
    TimeoutError(SECRET),
    RuntimeError(SECRET),
    KeyError(SECRET),
    ValueError(SECRET),
    AssertionError(SECRET),
    UnicodeDecodeError("utf-8", SECRET.encode(), 0, 1, SECRET),
    ExceptionGroup(SECRET, [OSError(104, SECRET), ValueError(SECRET)]),
    *errors_in(h2.exceptions),
)


def of_library(module: ModuleType, core: ModuleType) -> list[Exception]:
    known = {type(error): error for error in (*errors_in(module), *errors_in(core), *OTHERS)}
    request = module.Request("GET", f"http://h/?{SECRET}")
    response = module.Response(404, request=request, text="gone")
    return [*known.values(), module.HTTPStatusError(SECRET, request=request, response=response)]


def of_aiohttp() -> list[Exception]:
    return list({type(error): error for error in (*errors_in(aiohttp), *OTHERS)}.values())


# Raised before anything is sent; of all others nobody knows.
UNSENT = (
    *(
        httpx.ConnectError,
        httpx.ConnectTimeout,
        httpx.PoolTimeout,
        httpx.ProxyError,
        httpx.UnsupportedProtocol,
    ),
    *(httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError),
    *(httpx2.UnsupportedProtocol, aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError),
    *(aiohttp.ConnectionTimeoutError, aiohttp.ServerFingerprintMismatch, aiohttp.InvalidURL),
    aiohttp.ClientConnectorCertificateError,
)
TIMEOUTS = (TimeoutError, httpx.TimeoutException, httpx2.TimeoutException)


@define
class Client:
    """A user's client that raises an error in sending or in reading the body, and how often it was asked."""

    error: Exception
    where: str
    requests: list[str] = field(factory=list)

    @asynccontextmanager
    async def httpx(self, library: Any) -> AsyncIterator[Any]:
        client = self

        class Body(library.AsyncByteStream):  # type: ignore[misc]  # of either library
            async def __aiter__(self) -> AsyncIterator[bytes]:
                yield b"ha"
                raise client.error

        class Network(library.AsyncBaseTransport):  # type: ignore[misc]
            async def handle_async_request(self, request: Any) -> Any:
                client.requests.append(request.method)
                if client.where == "send":
                    raise client.error
                return library.Response(200, headers={"content-length": "4"}, stream=Body())

        async with library.AsyncClient(transport=Network()) as made:
            yield made

    @asynccontextmanager
    async def aiohttp(self) -> AsyncIterator[aiohttp.ClientSession]:
        client = self

        class Connector(aiohttp.TCPConnector):
            async def connect(self, *arguments: Any, **named: Any) -> Any:
                client.requests.append(arguments[0].method)
                if client.where == "send" and isinstance(client.error, UNSENT):
                    raise client.error
                return await super().connect(*arguments, **named)

        async def fail(*_: object) -> None:
            if client.where == "send":
                raise client.error

        async def spoil(_: object, __: object, ended: aiohttp.TraceRequestEndParams) -> None:
            ended.response.content.set_exception(client.error)

        tracing = aiohttp.TraceConfig()
        tracing.on_request_headers_sent.append(fail)
        tracing.on_request_end.append(spoil)
        async with aiohttp.ClientSession(connector=Connector(), trace_configs=[tracing]) as session:
            yield session


numbers = count()


async def failure(transport: Any, method: str, url: str, **settings: object) -> PlanetError:
    config = Config(**{"base_url": url, "rates": {}, "max_attempts": 3, "first_backoff": 0.001, **settings})  # type: ignore[arg-type]
    # Those of one credential share the retries, and all are for failures here.
    credentials = ApiKey(f"{KEY}{next(numbers)}")
    async with Planet(config, credentials=credentials, transport=transport) as planet:
        with pytest.raises(PlanetError) as caught:
            await planet.request(method, "/x", json={} if method == "POST" else None)
    return caught.value


def check(error: PlanetError, client: Client, method: str) -> None:
    """It is the right one of ours, without the library's text, and was repeated only if it may be."""
    raised = client.error
    told = f"{raised!r} became {error!r} after {client.requests}"
    assert error.__cause__ is error.__context__ is None, told
    assert SECRET not in "".join(texts_of(error)), told
    is_unsent = client.where == "send" and isinstance(raised, UNSENT)
    if isinstance(raised, httpx.HTTPStatusError | httpx2.HTTPStatusError) and client.where == "send":
        expected: type[PlanetError] = NotFound  # of a hook of the user's: the status is what counts
    elif isinstance(raised, httpx.UnsupportedProtocol | httpx2.UnsupportedProtocol | aiohttp.InvalidURL):
        expected = InvalidRequest if is_unsent else ConnectionLost
    elif is_unsent:
        expected = ConnectError
    else:
        expected = TransportTimeout if isinstance(raised, TIMEOUTS) else ConnectionLost
    assert type(error) is expected, told
    assert error.may_have_acted == (not is_unsent and expected is not NotFound), told
    attempts = 3 if error.transient and (is_unsent or method == "GET") else 1
    assert client.requests == [method] * attempts, told


BOTH = pytest.mark.parametrize("where", ["send", "body"])


@BOTH
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("library", "anyio_backend"), [(httpx, "asyncio"), (httpx2, "trio")], indirect=["anyio_backend"]
)
async def test_every_error_of_httpx_is_one_of_ours(library: ModuleType, method: str, where: str) -> None:
    """Whichever class it is of, and whether it is raised in sending or in reading the body."""
    core = httpcore if library is httpx else httpcore2
    for raised in of_library(library, core):
        client = Client(raised, where)
        async with client.httpx(library) as transport:
            error = await failure(transport, method, "http://127.0.0.1:1")
        check(error, client, method)


@BOTH
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
async def test_every_error_of_aiohttp_is_one_of_ours(method: str, where: str) -> None:
    """The same for aiohttp."""
    async with serving_slowly() as url:
        for raised in of_aiohttp():
            client = Client(raised, where)
            async with client.aiohttp() as transport:
                error = await failure(transport, method, url)
            check(error, client, method)


@asynccontextmanager
async def serving_slowly() -> AsyncIterator[str]:
    """Send a head and half a body."""

    async def handle(_: Received, stream: Stream) -> None:
        await stream.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nha")
        await anyio.sleep_forever()

    async with serving(handle) as server:
        yield server.url
