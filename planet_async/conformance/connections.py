"""Connections: used again, no more than allowed, and closed when they should be."""

import socket
from contextlib import suppress

import anyio
import anyio.lowlevel

from planet_async.conformance.call import Make, fetch, get, opened
from planet_async.conformance.loopback import OK, Received, Say, loopback, saying
from planet_async.conformance.promise import eventually, expect, fails
from planet_async.errors import ClientClosed
from planet_async.http import Request


async def connections_are_used_again(make: Make) -> None:
    """After success, refusal and redirect, with a body or without one, read to its end or whole."""
    answers = {
        "/": OK,
        "/refused": b"HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\ngone",
        "/moved": b"HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 5\r\n\r\nthere",
        "/chunks": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    }

    async def script(request: Received, say: Say) -> None:
        await say(answers[request.target])

    async with loopback(script) as server, opened(make) as transport:
        for _ in range(5):
            for target in answers:
                await fetch(transport, server.url + target)
                response = await transport.send(get(server.url + target))
                async for _ in response.chunks():
                    pass
                await response.aclose()
        expect(server.connections == 1, "a connection is used again", server.connections)


async def no_more_connections_than_allowed(make: Make) -> None:
    """A response holds its connection until it is read; the others wait in line, first come first served."""
    for most in (1, 3):
        order: list[int] = []
        holding: list[int] = []

        async with loopback(saying(OK)) as server, opened(make, max_connections=most) as transport:

            async def ask(number: int) -> None:
                response = await transport.send(get(server.url))
                order.append(number)  # noqa: B023
                holding.append(number)  # noqa: B023
                expect(len(holding) <= most, f"of {most} connections no more are used")  # noqa: B023
                await anyio.lowlevel.checkpoint()
                holding.remove(number)  # noqa: B023
                await response.read()

            async with anyio.create_task_group() as group:
                for number in range(12):
                    group.start_soon(ask, number)
                    await anyio.lowlevel.checkpoint()
            expect(server.connections <= most, f"of {most} connections no more are made", server.connections)
            expect(most > 1 or order == sorted(order), "those in line are served in order", order)


async def a_connection_closed_while_idle_is_not_used(make: Make) -> None:
    """What may not be sent twice would fail on it, and nobody would know whether it was acted on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with opened(make) as transport:
            for number in range(3):
                async with anyio.create_task_group() as group:
                    peers: list[socket.socket] = []
                    group.start_soon(_answer_one, listener, peers)
                    with anyio.fail_after(5):
                        response = await transport.send(Request("POST", url))
                        expect(await response.read() == b"ok", f"POST {number} has a connection of its own")
                # Not a moment for the event loop between the closing and the sending.
                peers[0].close()


async def _answer_one(listener: socket.socket, peers: list[socket.socket]) -> None:
    while not peers:
        await anyio.sleep(0.001)
        with suppress(BlockingIOError):
            peers.append(listener.accept()[0])
    peers[0].setblocking(False)
    received = b""
    while b"\r\n\r\n" not in received:
        await anyio.sleep(0.001)
        with suppress(BlockingIOError):
            received += peers[0].recv(1 << 16)
    peers[0].send(OK)


async def closing_closes_all(make: Make) -> None:
    """The server sees every connection closed; closing again does nothing; nothing can be sent any more."""
    never = anyio.Event()

    async def script(request: Received, say: Say) -> None:
        if request.target == "/":
            await say(OK)
        else:
            await say(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab")
            await never.wait()

    async with loopback(script) as server, opened(make) as transport:
        half_read = await transport.send(get(f"{server.url}/half"))
        await fetch(transport, server.url)
        expect(server.open == 2, "an idle connection is kept", server.open)  # noqa: PLR2004
        await half_read.aclose()
        await transport.aclose()
        await transport.aclose()
        await eventually(lambda: server.open <= 1, "closing closes the connections")
        with fails(ClientClosed, "to send after closing"):
            await transport.send(get(server.url))
    async with opened(make) as unused:
        await unused.aclose()
