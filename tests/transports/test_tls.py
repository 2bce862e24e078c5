"""TLS, on both networks: bodies come whole, what breaks it is a lost connection, who gives up leaves none."""

import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import anyio.abc
import certifi
import pytest
from anyio.streams.tls import TLSAttribute, TLSStream

from planet_async.conformance.call import fetch, get
from planet_async.conformance.promise import eventually
from planet_async.errors import ConnectError, ConnectionLost
from planet_async.http import Transport
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
    """More than fits into any buffer on the way, iterated and read into memory."""
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
        assert await fetch(network, url) == content
        response = await network.send(get(url))
        body, memory, came = response.chunks(), memoryview(bytearray(300_000)), b""
        while count := await body.read_into(memory):
            came += memory[:count]
        assert came == content
        await response.aclose()
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


def _answer_and_hang_up(listener: socket.socket, context: ssl.SSLContext, answer: bytes) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with context.wrap_socket(connection, server_side=True) as secured:
                secured.recv(1 << 16)
                secured.sendall(answer)


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

    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = threading.Thread(target=_answer_and_hang_up, args=(listener, context, head + content))
        serving.start()
        try:
            url = f"https://127.0.0.1:{listener.getsockname()[1]}"
            anyio.run(main, url, backend_options={"use_uvloop": loop == "uvloop"})
        finally:
            listener.shutdown(socket.SHUT_RDWR)
    serving.join()
