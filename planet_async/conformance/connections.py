"""Connections: used again, no more than allowed, and closed when they should be."""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager, suppress

import anyio
import anyio.lowlevel

from planet_async.conformance.call import Make, fetch, get, opened
from planet_async.conformance.loopback import OK, Received, Say, loopback, saying
from planet_async.conformance.promise import eventually, expect, fails, settle
from planet_async.errors import ClientClosed, PlanetError
from planet_async.http import Request

_TOO_LATE = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 4\r\n\r\nlate"


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


async def connections_to_others_make_room(make: Make) -> None:
    """Those that are idle are closed for one to another server, where there may be no more."""
    async with (
        loopback(saying(OK)) as one,
        loopback(saying(OK)) as other,
        opened(make, max_connections=2) as transport,
    ):
        for _ in range(3):
            for server in (one, other):

                async def ask(url: str = server.url) -> None:
                    expect(await fetch(transport, url) == b"ok", "each is answered")

                async with anyio.create_task_group() as group:
                    for _ in range(3):
                        group.start_soon(ask)
                await eventually(lambda: one.open + other.open <= 2, "no more than two are open")  # noqa: PLR2004


async def a_connection_closed_while_idle_is_not_used(make: Make) -> None:
    """What may not be sent twice would fail on it, and nobody would know whether it was acted on.

    Nor is one on which the server said what it was not asked, such as that it waited too long: the next
    request would take that for its answer.
    """
    for method, says in (("POST", b""), ("GET", b""), ("POST", _TOO_LATE), ("GET", _TOO_LATE)):
        with ExitStack() as sockets:
            listener = sockets.enter_context(socket.create_server(("127.0.0.1", 0)))
            listener.setblocking(False)
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            async with opened(make) as transport:
                for number in range(3):
                    async with anyio.create_task_group() as group:
                        peers: list[socket.socket] = []
                        group.start_soon(_answer_one, listener, peers)
                        with anyio.fail_after(5):
                            response = await transport.send(Request(method, url))
                            body = await response.read()
                        expect(body == b"ok", f"{method} {number} has a connection of its own", body)
                    # Not a moment for the event loop between this and the sending.
                    sockets.enter_context(peers[0])
                    if says:
                        peers[0].send(says)
                    else:
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


async def what_follows_an_answer_is_no_answer(make: Make) -> None:
    """A server that says more than it was asked is not listened to: the next request has its own answer."""
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    for answer in (OK, chunked):
        for more in (b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nelse's", b"HTT", b"no HTTP"):
            async with loopback(saying(answer + more)) as server, opened(make) as transport:
                for number in (1, 2, 3):
                    body = await fetch(transport, server.url)
                    expect(body == b"ok", f"the answer to request {number} is its own", body)
                    expect(server.connections == number, "its connection is not used again")


async def what_the_server_gives_up_is_not_used(make: Make) -> None:
    """`Connection: close` is the last that comes on it, also where the server does not close it yet."""
    answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"
    async with loopback(saying(answer)) as server, opened(make) as transport:
        for number in (1, 2):
            await fetch(transport, server.url)
            expect(server.connections == number, "a connection that was given up is not used again")


async def who_waits_in_line_when_it_closes_is_told(make: Make) -> None:
    """In line for a connection, nothing has been sent, nor will be."""
    hold = anyio.Event()

    async def script(_: Received, say: Say) -> None:
        await say(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab")
        await hold.wait()

    async with loopback(script) as server, opened(make, max_connections=1) as transport:
        held = await transport.send(get(server.url))

        async def wait_in_line() -> None:
            with fails(ClientClosed, "to be in line when it closes"):
                await fetch(transport, f"{server.url}/late")

        async with gathered(wait_in_line):
            await settle()
            await transport.aclose()
            await held.aclose()
        expect(len(server.requests) == 1, "who waited in line sends nothing", server.requests)


async def closing_at_any_time_leaves_nothing_open(make: Make) -> None:
    """While it connects, sends, or reads: the call ends, with its answer or an error of ours."""
    for step in range(40):
        async with loopback(saying(OK)) as server, opened(make) as transport:

            async def call() -> None:
                with suppress(PlanetError):
                    await fetch(transport, server.url)

            async with gathered(call):
                for _ in range(step):
                    await anyio.lowlevel.checkpoint()
                await transport.aclose()
            await eventually(lambda: server.open == 0, f"closed at step {step}, nothing is open")


@asynccontextmanager
async def gathered(call: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Run a call beside the block; its error is raised as it is."""
    failures: list[Exception] = []

    async def run() -> None:
        try:
            await call()
        except Exception as error:  # noqa: BLE001 - raised below: the group would wrap it
            failures.append(error)

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        yield
    for failure in failures:
        raise failure


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
