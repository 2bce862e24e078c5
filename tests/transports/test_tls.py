"""TLS, on both networks: bodies come whole, what breaks it is a lost connection, who gives up leaves none."""

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import anyio
import anyio.abc
import certifi
import pytest
from anyio.streams.tls import TLSAttribute, TLSStream

from planet_async.errors import ConnectError, ConnectionLost
from planet_async.http import Request, Transport
from planet_async.testing.conformance import eventually, fetch, get
from planet_async.transports.aiohttp import AiohttpTransport
from planet_async.transports.httpx import HttpxTransport

pytestmark = pytest.mark.anyio

trustme = pytest.importorskip("trustme")


@pytest.fixture
def context(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ssl.SSLContext:
    """Give that of a server which is trusted."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setattr(certifi, "where", lambda: str(tmp_path / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@asynccontextmanager
async def accepting(serve: Callable[[anyio.abc.SocketStream], Awaitable[None]]) -> AsyncIterator[str]:
    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as group,
    ):
        group.start_soon(listener.serve, serve)
        yield f"https://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}"
        group.cancel_scope.cancel()


@pytest.fixture(params=[HttpxTransport, AiohttpTransport])
def network(request: pytest.FixtureRequest, anyio_backend: str) -> HttpxTransport | AiohttpTransport:
    if request.param is AiohttpTransport and anyio_backend == "trio":
        pytest.skip("aiohttp runs on asyncio only")
    made: HttpxTransport | AiohttpTransport = request.param()
    return made


async def test_a_large_body_comes_whole_and_the_connection_is_used_again(
    context: ssl.SSLContext, network: Transport
) -> None:
    """More than fits into any buffer on the way."""
    content = bytes(range(256)) * 20_000
    connections = 0

    async def serve(plain: anyio.abc.SocketStream) -> None:
        nonlocal connections
        connections += 1
        async with await TLSStream.wrap(plain, ssl_context=context, server_side=True) as stream:
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                while await stream.receive():
                    await stream.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(content))
                    await stream.send(content)

    async with accepting(serve) as url:
        for _ in range(2):
            assert await fetch(network, url) == content
        await network.aclose()
    assert connections == 1


async def test_a_certificate_of_nobody_is_no_connection(network: Transport) -> None:
    """It is said what is wrong, and nothing was sent."""
    stranger = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(stranger)

    async def serve(plain: anyio.abc.SocketStream) -> None:
        async with plain:
            with suppress(Exception):
                await TLSStream.wrap(plain, ssl_context=stranger, server_side=True)

    async with accepting(serve) as url:
        with pytest.raises(ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await network.send(get(url))
        await network.aclose()


async def test_broken_tls_is_a_lost_connection(context: ssl.SSLContext, network: Transport) -> None:
    """A record that does not decrypt, half way through a body: an error of ours, that is tried again."""

    async def serve(plain: anyio.abc.SocketStream) -> None:
        async with await TLSStream.wrap(plain, ssl_context=context, server_side=True) as stream:
            await stream.receive()
            await stream.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc")
            assert stream.extra(TLSAttribute.tls_version) == "TLSv1.3"
            await plain.send(b"\x17\x03\x03\x00\x20" + b"z" * 32)
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                await stream.receive()

    async with accepting(serve) as url:
        with pytest.raises(ConnectionLost):
            await fetch(network, url)
        await network.aclose()


@pytest.mark.usefixtures("context")
async def test_who_gives_up_while_tls_begins_leaves_no_connection(network: Transport) -> None:
    """A server that accepts and says nothing is not kept hanging on either."""
    opened, ended = 0, 0

    async def serve(plain: anyio.abc.SocketStream) -> None:
        nonlocal opened, ended
        async with plain:
            opened += 1
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                while True:
                    await plain.receive()
            ended += 1

    async with accepting(serve) as url:
        with anyio.move_on_after(0.05):
            await network.send(get(url))
        await eventually(lambda: opened == ended == 1, "it is closed")
        await network.aclose()


async def test_what_follows_an_answer_is_no_answer(context: ssl.SSLContext, network: Transport) -> None:
    """Also where TLS has decrypted it, with the answer, and keeps it."""

    async def serve(plain: anyio.abc.SocketStream) -> None:
        wrapped = TLSStream.wrap(plain, ssl_context=context, server_side=True, standard_compatible=False)
        async with await wrapped as stream:
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                while await stream.receive():
                    answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b"
                    stream.extra(TLSAttribute.ssl_object).write(answer % (3, b"its"))
                    await stream.send(answer % (6, b"else's"))  # in one go with what was written before

    async with accepting(serve) as url:
        for _ in range(3):
            assert await fetch(network, url) == b"its"
        await network.aclose()


def test_what_may_not_be_sent_twice_is_not_sent_to_one_who_has_hung_up(
    context: ssl.SSLContext, network: Transport, anyio_backend: str
) -> None:
    """However it did, and though the event loop had no time to hear of it."""
    _hear_of_hanging_up(context, network, anyio_backend, {})


@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
def test_the_same_on_uvloop(context: ssl.SSLContext, network: Transport, anyio_backend: str) -> None:
    """A POST is not sent to one who has hung up."""
    pytest.importorskip("uvloop")
    _hear_of_hanging_up(context, network, anyio_backend, {"use_uvloop": True})


def _hear_of_hanging_up(
    context: ssl.SSLContext, network: Transport, backend: str, options: dict[str, object]
) -> None:
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

    async def main(url: str) -> None:
        for _ in range(4):
            response = await network.send(Request("POST", url))
            assert await response.read() == b"ok"
            time.sleep(0.02)  # noqa: ASYNC251 - the loop is at work on something else
        await network.aclose()

    with served(context, answer) as url:
        anyio.run(main, url, backend=backend, backend_options=options)


@pytest.mark.usefixtures("context")
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_server_that_accepts_and_hangs_up_is_no_connection(loop: str) -> None:
    """Nothing was sent to it, so that anything may be sent again."""
    if loop == "uvloop":
        pytest.importorskip("uvloop")

    async def main(url: str) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # uvloop's own goes wrong
        transport = AiohttpTransport()
        for _ in range(10):
            with pytest.raises(ConnectError, match=r"connect: \w"):
                await transport.send(Request("POST", url, body=b"{}"))
        await transport.aclose()

    with served(None, b"") as url:
        anyio.run(main, url, backend_options={"use_uvloop": loop == "uvloop"})


@contextmanager
def served(context: ssl.SSLContext | None, answer: bytes) -> Iterator[str]:
    """Answer one request a connection, in a thread, and hang up; without a context at once."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = threading.Thread(target=_answer_and_hang_up, args=(listener, context, answer))
        serving.start()
        try:
            yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
    serving.join()


def _answer_and_hang_up(listener: socket.socket, context: ssl.SSLContext | None, answer: bytes) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            if context is None:
                connection.close()
                continue
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with context.wrap_socket(connection, server_side=True) as secured:
                secured.recv(1 << 16)
                secured.sendall(answer)
                time.sleep(0.005)  # so that the hanging up comes by itself


@pytest.mark.parametrize("framing", ["sized", "to the end"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_what_was_sent_before_the_server_hung_up_comes_whole(
    context: ssl.SSLContext, framing: str, loop: str
) -> None:
    """However slowly it is read: an event loop may have it decrypted, and nobody to give it to."""
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    content = bytes(range(256)) * 3_000
    length = f"content-length: {len(content)}\r\n" if framing == "sized" else ""
    head = f"HTTP/1.1 200 OK\r\nconnection: close\r\n{length}\r\n".encode()

    async def main(url: str) -> None:
        transport = AiohttpTransport()
        for seconds in (0, 0, 0, 0.005, 0.005):
            response = await transport.send(get(url))
            came = b""
            async for chunk in response.chunks():
                came += chunk
                await anyio.sleep(seconds)
            await response.aclose()
            assert came == content
        await transport.aclose()

    with served(context, head + content) as url:
        anyio.run(main, url, backend_options={"use_uvloop": loop == "uvloop"})
