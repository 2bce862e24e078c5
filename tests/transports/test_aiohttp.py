"""What the aiohttp transport does beyond the promises of every transport: its own connections, on asyncio."""

import socket
import struct
import threading
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio
import pytest

from planet_async.config import Config
from planet_async.errors import ConnectionLost, TransportTimeout
from planet_async.http import Request
from planet_async.testing.conformance import (
    OK,
    HangUp,
    Received,
    Say,
    eventually,
    fetch,
    get,
    loopback,
    saying,
    settle,
)
from planet_async.transports.aiohttp import AiohttpTransport
from planet_async.transports.wire import Wire

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)]

SPACE = 1 << 17  # bytes that a connection has for what nobody reads


@asynccontextmanager
async def opened(config: Config | None = None) -> AsyncIterator[AiohttpTransport]:
    transport = AiohttpTransport(config)
    yield transport
    await transport.aclose()


async def test_a_refusal_before_the_end_of_a_request_is_heard() -> None:
    """A server that does not take a large body is not waited for until it is a timeout."""
    connections, second = 0, anyio.Event()
    refusal = b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 4\r\n\r\nmuch"

    async def serve(stream: anyio.abc.SocketStream) -> None:
        nonlocal connections
        connections += 1
        if connections == 2:  # until then nothing is read, so that the request cannot be sent whole
            second.set()
        async with stream:
            await stream.receive()
            await stream.send(refusal)
            with suppress(anyio.BrokenResourceError, anyio.EndOfStream):
                while True:
                    await second.wait()
                    await stream.receive()

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as group,
        opened() as transport,
    ):
        group.start_soon(listener.serve, serve)
        url = f"http://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}"
        with anyio.fail_after(5):
            for number in (1, 2):
                response = await transport.send(Request("POST", url, body=bytes(1 << 25)))
                assert (response.status, await response.read()) == (413, b"much")
                assert connections == number
        group.cancel_scope.cancel()


async def test_who_does_not_read_stops_the_server() -> None:
    """What comes meanwhile is held within bounds, and nothing of it is lost."""
    content, sent = bytes(range(256)) * (1 << 16), 0

    async def script(_: Received, say: Say) -> None:
        nonlocal sent
        await say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(content))
        for at in range(0, len(content), SPACE):
            await say(content[at : at + SPACE])
            sent += SPACE

    async with loopback(script) as server, opened() as transport:
        response = await transport.send(get(server.url))
        await settle()
        await anyio.sleep(0.05)
        assert sent < len(content)
        assert b"".join([chunk async for chunk in response.chunks()]) == content
        await response.aclose()


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        (
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
            "protocol",
        ),
        (b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * SPACE, "too long"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000 + b"\r\n\r\n", "does not speak HTTP"),
        (b"\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-length : 5\r\n\r\nhello", "no length"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", "does not speak HTTP"),
    ],
)
async def test_what_is_no_answer_is_a_lost_connection(answer: bytes, wrong: str) -> None:
    """It says what is wrong, shows nothing of what came, and the next request has a connection of its own."""
    script = saying(answer)
    async with loopback(script) as server, opened(Config(max_connections=1)) as transport:
        for number in (1, 2):
            with pytest.raises(ConnectionLost, match=wrong) as caught:
                await fetch(transport, server.url)
            assert "yyy" not in str(caught.value)
            assert server.connections == number


@pytest.mark.parametrize("ends", [(b"\n", b"\n"), (b"\r\n", b"\n"), (b"\n", b"\r\n")])
@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_lines_of_a_head_may_end_without_a_carriage_return(
    ends: tuple[bytes, bytes], framing: str
) -> None:
    """As httpx, browsers and the parser itself take them; what follows, empty lines included, is the body."""
    line, empty = ends
    if framing == "length":
        head, body = [b"HTTP/1.1 200 OK", b"content-length: 9"], b"hel\r\n\r\nlo"
    else:
        head, body = [b"HTTP/1.1 200 OK", b"transfer-encoding: chunked"], b"9\r\nhel\r\n\r\nlo\r\n0\r\n\r\n"
    answer = line.join(head) + line + empty + body
    async with loopback(saying(answer)) as server, opened() as transport:
        for _ in range(2):
            assert await fetch(transport, server.url) == b"hel\r\n\r\nlo"
        assert server.connections == 1


async def test_the_room_of_a_connection_goes_when_the_server_hangs_up() -> None:
    """Also where nobody uses or looks at it again: a hundred of them would hold a dozen megabytes."""
    all_asked = anyio.Event()

    async def script(_: Received, say: Say) -> None:
        if len(server.requests) == 16:
            all_asked.set()
        await all_asked.wait()
        await say(OK)
        raise HangUp

    async with loopback(script) as server, opened() as transport:
        tracemalloc.start()
        try:
            async with anyio.create_task_group() as group:
                for _ in range(16):
                    group.start_soon(fetch, transport, server.url)
            await eventually(lambda: tracemalloc.get_traced_memory()[0] < 5 * SPACE, "the room is given back")
        finally:
            tracemalloc.stop()
        assert server.connections == 16
        await eventually(lambda: not transport._wires._idle, "nothing is kept of them")


async def test_two_tasks_do_not_read_one_body() -> None:
    """The second one is told; to the first one nothing happens."""
    go_on = anyio.Event()

    async def script(_: Received, say: Say) -> None:
        await say(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab")
        await go_on.wait()
        await say(b"cd")

    async with loopback(script) as server, opened() as transport:
        response = await transport.send(get(server.url))
        body, came = response.chunks(), list[bytes]()
        assert await anext(body) == b"ab"

        async def read() -> None:
            came.append(await anext(body))

        async with anyio.create_task_group() as group:
            group.start_soon(read)
            await settle()
            with pytest.raises(RuntimeError, match="in one task"):
                await anext(body)
            go_on.set()
        assert came == [b"cd"]
        await response.aclose()


async def test_an_upload_that_is_cut_writes_no_line_in_the_log_for_each_piece(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """To write to a connection that is gone is a warning of asyncio's each time."""

    def serve(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                peer, _ = listener.accept()
                peer.recv(4096)
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
                peer.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = threading.Thread(target=serve, args=(listener,))
        serving.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with opened() as transport:
            for _ in range(10):
                with pytest.raises(ConnectionLost):
                    await transport.send(Request("POST", url, body=bytes(1 << 24)))
        listener.shutdown(socket.SHUT_RDWR)
        serving.join()
    assert not caplog.records


async def test_a_head_behind_many_announcements_has_room() -> None:
    """They take nothing of the space for it, however many there are."""
    hint = b"HTTP/1.1 103 Early Hints\r\nlink: <" + b"x" * 50_000 + b">\r\n\r\n"
    answer = b"HTTP/1.1 200 OK\r\nx: " + b"y" * 60_000 + b"\r\ncontent-length: 2\r\n\r\nok"

    async def script(_: Received, say: Say) -> None:
        await say(hint * 5 + answer)

    async with loopback(script) as server, opened() as transport:
        response = await transport.send(get(server.url))
        assert len(response.headers["x"]) == 60_000
        assert await response.read() == b"ok"


async def test_an_idle_connection_is_not_kept_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it is asked for again or not."""
    monkeypatch.setattr("planet_async.transports.wire._KEPT_SECONDS", 0.05)
    async with loopback(saying(OK)) as server, opened(Config(read_timeout=0.1)) as transport:
        await fetch(transport, server.url)
        await anyio.sleep(0.06)
        await fetch(transport, server.url)
        assert server.connections == 2
        await eventually(lambda: server.open == 0, "the idle one is closed")


async def test_an_idle_connection_is_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when it is kept for longer than a server may be silent."""
    rings = 0
    ring = Wire._ring

    def counted(wire: Wire) -> None:
        nonlocal rings
        rings += 1
        ring(wire)

    monkeypatch.setattr(Wire, "_ring", counted)
    async with loopback(saying(OK)) as server, opened(Config(read_timeout=0.01)) as transport:
        await fetch(transport, server.url)
        await anyio.sleep(0.1)
        await fetch(transport, server.url)
        assert server.connections == 1
    assert rings <= 2


async def test_a_body_without_a_length_does_not_end_with_the_transport() -> None:
    """It would look whole."""

    async def script(_: Received, say: Say) -> None:
        await say(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        await anyio.sleep_forever()

    async with loopback(script) as server, opened() as transport:
        body = (await transport.send(get(server.url))).chunks()
        assert await anext(body) == b"half"
        async with anyio.create_task_group() as group:
            group.start_soon(transport.aclose)
            with pytest.raises(ConnectionLost, match="closed here"):
                await anext(body)


async def test_what_moves_is_waited_for_however_early_the_alarm_was_set() -> None:
    """A timeout counts from the last byte, also where several answers share a connection."""

    async def script(request: Received, say: Say) -> None:
        await anyio.sleep(0.06)
        await say(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no")
        await anyio.sleep(0.06 if request.target == "/" else 10)
        await say(b"k")

    async with loopback(script) as server, opened(Config(read_timeout=0.1)) as transport:
        for _ in range(3):
            assert await fetch(transport, server.url) == b"ok"
        with pytest.raises(TransportTimeout):
            await fetch(transport, f"{server.url}/never")
        assert server.connections == 1


async def test_a_reset_is_a_lost_connection() -> None:
    """Before the answer and within it."""

    async def script(request: Received, say: Say) -> None:
        if request.target == "/within":
            await say(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab")
        raise HangUp

    async with loopback(script) as server, opened() as transport:
        for target in ("/", "/within"):
            with pytest.raises(ConnectionLost, match="the server hung up"):
                await fetch(transport, server.url + target)


async def test_a_length_of_thousands_of_digits_is_no_length() -> None:
    """Python refuses to read such a number, which is nothing that a user should see."""
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: " + b"0" * 4400 + b"2\r\n\r\nok"
    async with loopback(saying(answer)) as server, opened() as transport:
        with pytest.raises(ConnectionLost):
            await fetch(transport, server.url)
