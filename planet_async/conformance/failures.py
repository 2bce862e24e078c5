"""Failures: which error tells which, and no request is sent twice."""

import socket

import anyio

from planet_async.conformance.call import SHORT, Make, fetch, get, opened
from planet_async.conformance.loopback import OK, HangUp, Received, Say, loopback, saying
from planet_async.conformance.promise import Broken, expect, fails
from planet_async.errors import ConnectError, ConnectionLost, PlanetError, TransportTimeout
from planet_async.http import Request

_SECRET = "sig=very-secret"  # noqa: S105 - it is none


async def no_connection_is_a_connect_error(make: Make) -> None:
    """Nobody listens: the server has seen nothing, so that anything may be sent again."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        async with opened(make) as transport:
            with fails(ConnectError, "a port where nobody listens"):
                await transport.send(get(url))


async def a_connection_that_breaks_off_is_lost(make: Make) -> None:
    """The request went out, and whether it was acted on nobody knows."""
    for answer in (b"", b"HTTP/1.1 200 OK\r\ncont", b"SSH-2.0-OpenSSH_9.6\r\n"):
        async with loopback(saying(answer or b"", hang_up=True)) as server, opened(make) as transport:
            with fails(ConnectionLost, f"an answer of {answer!r}"):
                await transport.send(get(server.url))


async def nothing_is_sent_twice(make: Make) -> None:
    """Not even a GET: to try again is the business of a layer, which knows what is repeatable, and waits."""

    async def script(_: Received, __: Say) -> None:
        raise HangUp

    async with loopback(script) as server, opened(make) as transport:
        for number, method in enumerate(("GET", "HEAD", "PUT", "DELETE", "POST", "PATCH"), start=1):
            with fails(ConnectionLost, f"a {method} that is not answered"):
                await transport.send(Request(method, server.url, body=b"{}" if method[0] == "P" else None))
            expect(len(server.requests) == number, f"a {method} is sent once", len(server.requests))


async def silence_is_a_timeout(make: Make) -> None:
    """No answer, no more headers, no more body, or a body that is not taken: each after `read_timeout`."""
    starts = {
        "an answer": b"",
        "the rest of the headers": b"HTTP/1.1 200 OK\r\nx-a: b\r\n",
        "the body": b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
        "the rest of the body": b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab",
    }
    for missing, start in starts.items():

        async def script(_: Received, say: Say, start: bytes = start) -> None:
            await say(start)
            await anyio.sleep_forever()

        async with loopback(script) as server, opened(make, read_timeout=SHORT) as transport:
            with fails(TransportTimeout, f"to wait too long for {missing}"):
                await fetch(transport, server.url)


async def silence_on_a_used_connection_is_a_timeout(make: Make) -> None:
    """Also where it was idle for longer than that before."""

    async def script(request: Received, say: Say) -> None:
        if request.target == "/silent":
            await anyio.sleep_forever()
        await say(OK)

    async with loopback(script) as server, opened(make, read_timeout=SHORT) as transport:
        await fetch(transport, server.url)
        await anyio.sleep(2 * SHORT)
        with anyio.move_on_after(40 * SHORT) as scope, fails(TransportTimeout, "to wait too long"):
            await fetch(transport, f"{server.url}/silent")
        expect(not scope.cancelled_caught, "silence on a connection that was used before is a timeout")


async def a_head_that_never_ends_is_a_timeout(make: Make) -> None:
    """One that comes in drops, or announcements without an end: after a few times `read_timeout` at most."""
    drops = {
        "a header": (b"HTTP/1.1 200 OK\r\nx-a: ", b"b"),
        "100 Continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        "103 Early Hints": (b"", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"),
    }
    for what, (start, drop) in drops.items():

        async def script(_: Received, say: Say, start: bytes = start, drop: bytes = drop) -> None:
            await say(start)
            while True:
                await say(drop)
                await anyio.sleep(SHORT / 5)

        async with (
            loopback(script) as server,
            opened(make, read_timeout=SHORT, connect_timeout=SHORT) as transport,
        ):
            for method, body in (("GET", None), ("POST", b"{}")):
                with fails(TransportTimeout, f"{what} without an end, to a {method},"):
                    await transport.send(Request(method, server.url, body=body))


async def a_slow_body_is_no_timeout(make: Make) -> None:
    """The timeout is for silence, not for the whole: a long download may take its time."""

    async def script(_: Received, say: Say) -> None:
        await say(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n")
        for letter in b"abcdefghij":
            await anyio.sleep(SHORT / 2)
            await say(bytes([letter]))

    async with loopback(script) as server, opened(make, read_timeout=4 * SHORT) as transport:
        body = await fetch(transport, server.url)
        expect(body == b"abcdefghij", "a slow body is read to its end", body)


async def a_body_that_is_not_taken_is_a_timeout(make: Make) -> None:
    """A server that accepts, and reads nothing: the request does not wait for ever."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        much = b"x" * (1 << 25)
        async with opened(make, read_timeout=SHORT, connect_timeout=SHORT) as transport:
            with anyio.move_on_after(5) as scope, fails(TransportTimeout, "a body that is not taken"):
                await transport.send(Request("POST", url, body=much))
            expect(not scope.cancelled_caught, "a body that is not taken is a timeout")


async def errors_show_no_query(make: Make) -> None:
    """Neither the error nor its causes show the query of the address, which may hold a token."""
    answer = b"not HTTP at all: sig=very-secret\r\n\r\n"
    async with loopback(saying(answer, hang_up=True)) as server, opened(make) as transport:
        for url in (server.url, "http://127.0.0.1:1", "ftp://h", "http://[::1", "http://"):
            request = get(f"{url}/?{_SECRET}")
            try:
                await transport.send(request)
            except PlanetError as error:
                expect(error.request == request, "an error tells its request", error.request)
                shown: BaseException | None = error
                while shown is not None:
                    expect(_SECRET not in f"{shown} {shown!r}", "an error shows no query", str(shown))
                    shown = shown.__cause__ or (None if shown.__suppress_context__ else shown.__context__)
            else:
                raise Broken(f"to request {url} is an error")
