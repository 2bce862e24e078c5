"""What the tests of transports share: servers and a proxy on loopback, and the transports under test."""

import ssl
import time
import traceback
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from urllib.parse import urlsplit

import anyio
import anyio.abc
import trustme
from anyio.from_thread import start_blocking_portal
from anyio.streams.tls import TLSListener
from attrs import define, field

from planet_async import ApiKey, Config, Planet
from planet_async.http import Transport
from planet_async.transports.aiohttp import AiohttpTransport
from planet_async.transports.httpx import HttpxTransport

KEY = "PLAKexample0123456789secret"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
SHORT = 0.05  # seconds of a timeout that a test waits for, and that a busy machine cannot make too short

Stream = anyio.abc.ByteStream


def transport(name: str, config: Config) -> HttpxTransport | AiohttpTransport:
    if name == "aiohttp":
        return AiohttpTransport(config=config)
    return HttpxTransport(config=config, library="httpx2" if name == "httpx2" else "httpx")


def planet(network: str | Transport, config: Config) -> Planet:
    made = transport(network, config) if isinstance(network, str) else network
    return Planet(config, credentials=ApiKey(KEY), transport=made)


@define
class Received:
    """A request as it came; header names in lower case."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes = b""

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)


@define
class Server:
    """A server: where it is, and what it has seen."""

    url: str
    requests: list[Received] = field(factory=list)
    connections: int = 0
    open: int = 0

    @property
    def address(self) -> str:
        return urlsplit(self.url).netloc


class HangUp(Exception):
    """Raised by a handler: close the connection."""


Handler = Callable[[Received, Stream], Awaitable[None]]


def saying(answer: bytes, *, hang_up: bool = False) -> Handler:
    async def handle(_: Received, stream: Stream) -> None:
        await stream.send(answer)
        if hang_up:
            raise HangUp

    return handle


_ok = saying(OK)


@asynccontextmanager
async def serving(handle: Handler = _ok, context: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """Serve HTTP/1.1 with a handler, over TLS where there is a context."""

    async def serve(stream: Stream) -> None:
        server.connections += 1
        server.open += 1
        try:
            async with stream:
                while True:
                    received = await receive(stream)
                    server.requests.append(received)
                    await handle(received, stream)
                    if received.header("connection") == "close":
                        return
        except (HangUp, anyio.EndOfStream, anyio.BrokenResourceError):
            pass
        finally:
            server.open -= 1

    async with listening(serve, context) as url:
        server = Server(url)
        yield server


@asynccontextmanager
async def listening(
    serve: Callable[[Stream], Awaitable[None]], context: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """Accept connections, and serve each; yields the URL."""
    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as group,
    ):
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        accepting: anyio.abc.Listener[Stream] = listener
        if context is not None:
            accepting = TLSListener(listener, context, standard_compatible=False)
        group.start_soon(accepting.serve, serve)
        yield f"http{'s' * (context is not None)}://127.0.0.1:{port}"
        group.cancel_scope.cancel()


@contextmanager
def served(handle: Handler = _ok, context: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Serve from a thread of its own, for clients in event loops that come and go."""
    with (
        start_blocking_portal("asyncio") as portal,
        portal.wrap_async_context_manager(serving(handle, context)) as server,
    ):
        yield server


async def receive(stream: Stream) -> Received:
    data = b""
    while b"\r\n\r\n" not in data:
        data += await stream.receive()
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    pairs = (line.partition(":") for line in lines)
    received = Received(method, target, [(name.lower(), value.strip()) for name, _, value in pairs])
    length = int(received.header("content-length") or 0)
    while len(body) < length:
        body += await stream.receive()
    received.body = body
    return received


@asynccontextmanager
async def proxying(
    *, credentials: str = "", refusal: bytes = b"", context: ssl.SSLContext | None = None
) -> AsyncIterator[Server]:
    """Serve a proxy, for CONNECT and for plain requests, each of which is noted.

    Args:
        credentials: ``user:password`` that a client must have.
        refusal: What is said to each request instead of serving it; the connection is then closed.
        context: That of a proxy over TLS.
    """

    async def handle(received: Received, stream: Stream) -> None:
        wanted = f"Basic {b64encode(credentials.encode()).decode()}"
        answer = refusal
        if credentials and received.header("proxy-authorization") != wanted:
            answer = b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n"
        if answer:
            await stream.send(answer)
            raise HangUp
        if received.method == "CONNECT":
            host, _, port = received.target.partition(":")
            async with await anyio.connect_tcp(host, int(port)) as there:
                await stream.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await _joined(stream, there)
        else:
            url = urlsplit(received.target)
            assert url.hostname is not None
            assert url.port is not None
            kept = [pair for pair in received.headers if pair[0] not in {"proxy-authorization", "connection"}]
            head = "".join(f"{name}: {value}\r\n" for name, value in [*kept, ("connection", "close")])
            async with await anyio.connect_tcp(url.hostname, url.port) as there:
                line = f"{received.method} {url.path} HTTP/1.1\r\n{head}\r\n"
                await there.send(line.encode() + received.body)
                with suppress(anyio.EndOfStream):
                    while True:
                        await stream.send(await there.receive())
        raise HangUp

    async with serving(handle, context) as server:
        yield server


async def _joined(one: Stream, other: Stream) -> None:
    async def pump(source: Stream, sink: Stream) -> None:
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            while True:
                await sink.send(await source.receive())
        group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(pump, one, other)
        group.start_soon(pump, other, one)


def server_context(authority: trustme.CA, *names: str, alpn: str | None = None) -> ssl.SSLContext:
    """Return the TLS settings of a server with a certificate of that authority, by default for 127.0.0.1."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*(names or ("127.0.0.1", "localhost"))).configure_cert(context)
    if alpn is not None:
        context.set_alpn_protocols([alpn])
    return context


def texts_of(error: BaseException) -> Iterator[str]:
    """Yield all that an error shows, in whatever way it is asked; its causes too."""
    yield "".join(traceback.format_exception(error, limit=0))
    seen: list[BaseException] = [error]
    for one in seen:
        yield from (str(one), repr(one), repr(one.args), repr(vars(one)), *getattr(one, "__notes__", ()))
        seen += [each for each in (one.__cause__, one.__context__) if each is not None and each not in seen]


def soon(held: Callable[[], bool], what: str) -> None:
    """Wait, outside of an event loop, for something of the other side."""
    end = time.monotonic() + 10
    while not held() and time.monotonic() < end:
        time.sleep(0.001)
    assert held(), what


async def eventually(held: Callable[[], bool], what: str) -> None:
    """Wait for something of the other side; ten seconds are more than a busy machine needs."""
    with anyio.move_on_after(10):
        while not held():  # noqa: ASYNC110 - it is not ours to set an event
            await anyio.sleep(0.001)
    assert held(), what
