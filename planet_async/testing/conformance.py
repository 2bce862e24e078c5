"""Checks of what the client relies on in a transport, for transports of your own.

Each check is an async function of a function that makes a transport for a `Config`.  It runs a server on
loopback, and raises `CheckFailed` (an AssertionError) that says which promise is broken.  With pytest:

    from planet_async.testing.conformance import CHECKS

    @pytest.mark.anyio
    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    async def test_my_transport_conforms(check):
        await check(MyTransport)

The checks run on asyncio and on trio, need no pytest, and take a few seconds in all.
"""

import asyncio
import gzip
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from itertools import count
from tempfile import NamedTemporaryFile
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qsl, urlsplit

import anyio
import anyio.abc
import anyio.lowlevel
from anyio.streams.buffered import BufferedByteReceiveStream
from attrs import define, evolve, field

from planet_async import errors
from planet_async._tasks import on_asyncio
from planet_async.config import Config
from planet_async.http import Request, Transport

MakeTransport = Callable[[Config], Transport]
Check = Callable[[MakeTransport], Awaitable[None]]
Outcome = tuple[bytes, type[Exception] | None]

PATIENCE = 10.0
"""Seconds that a check may take."""

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
_LENGTH = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n"
_CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
_CHUNKS = _CHUNKED + b"3\r\none\r\n3;x=y\r\ntwo\r\n0\r\n\r\n"
_SHORT = 0.05  # seconds of a timeout that a check waits for


class CheckFailed(AssertionError):
    """The transport does not keep a promise; the message says which."""


def expect(promise: str, found: object, expected: object = True) -> None:
    """Raise CheckFailed unless what was found is what was expected."""
    if found != expected:
        raise CheckFailed(f"{promise}: expected {expected!r:.200}, found {found!r:.200}")


async def eventually(condition: Callable[[], bool], promise: str) -> None:
    """Raise CheckFailed unless the condition holds within a second or so."""
    for _ in range(1000):
        if condition():
            return
        await anyio.sleep(0.001)
    raise CheckFailed(promise)


async def settle() -> None:
    """Yield to the other tasks until each waits for something."""
    for _ in range(50):
        await anyio.lowlevel.checkpoint()


# The server


@define
class Received:
    """A request as it came over the wire; header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@define
class Loopback:
    """A server on loopback: its URL, what it received, and how many connections it had."""

    url: str
    requests: list[Received] = field(factory=list)
    connections: int = 0
    sockets: list[Any] = field(factory=list)

    @property
    def open(self) -> int:
        """How many connections are open."""
        return len(self.sockets)

    def hang_up(self, last_words: bytes = b"") -> None:
        """Close every connection before the event loop has another turn."""
        for each in (known for known in self.sockets if known.fileno() >= 0):
            with socket.fromfd(each.fileno(), socket.AF_INET, socket.SOCK_STREAM) as duplicate:
                duplicate.send(last_words)
                duplicate.shutdown(socket.SHUT_RDWR)


Say = Callable[[bytes], Awaitable[None]]
Script = Callable[[Received, Say], Awaitable[None]]


class HangUp(Exception):
    """Raised by a script: close the connection."""


def saying(response: bytes, *, hang_up: bool = False, then: bytes | None = None) -> Script:
    """Return the script that answers every request so; `then` is added again and again (b"": silence)."""

    async def script(_: Received, say: Say) -> None:
        await say(response)
        if hang_up:
            raise HangUp
        while then is not None:
            await anyio.sleep(_SHORT / 5)
            await say(then)

    return script


def by_path(scripts: Mapping[str, Script]) -> Script:
    """Return the script that answers by the path of the request."""
    return lambda request, say: scripts[request.target](request, say)


@asynccontextmanager
async def loopback(script: Script) -> AsyncIterator[Loopback]:
    """Serve by a script while the block runs; raise CheckFailed where that takes longer than `PATIENCE`."""
    failure: Exception | None = None
    try:
        with anyio.fail_after(PATIENCE):
            async with (
                await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
                anyio.create_task_group() as group,
            ):
                port = listener.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610 - not Django's
                server = Loopback(f"http://127.0.0.1:{port}")
                group.start_soon(listener.serve, lambda stream: _serve(server, stream, script))
                try:
                    yield server
                except Exception as error:  # noqa: BLE001 - raised below: the group would wrap it
                    failure = error
                group.cancel_scope.cancel()
    except TimeoutError:
        raise CheckFailed(f"The check ends within {PATIENCE:g} seconds") from None
    if failure is not None:
        raise failure


async def _serve(server: Loopback, stream: anyio.abc.SocketStream, script: Script) -> None:
    own = stream.extra(anyio.abc.SocketAttribute.raw_socket)  # noqa: S610 - not Django's
    server.connections += 1
    server.sockets.append(own)
    try:
        async with BufferedByteReceiveStream(stream) as incoming:
            while True:
                server.requests.append(await _receive(incoming))
                await script(server.requests[-1], stream.send)
    except (HangUp, anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError):
        pass
    finally:
        server.sockets.remove(own)


async def _receive(stream: BufferedByteReceiveStream) -> Received:
    head = await stream.receive_until(b"\r\n\r\n", 1 << 16)
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await stream.receive_exactly(int(headers.get("content-length", 0)))
    return Received(method, target, headers, body)


# The transport under test


@asynccontextmanager
async def opened(make: MakeTransport, *, connections: int = 16, **settings: Any) -> AsyncIterator[Transport]:
    """Make a transport with so many connections of each kind, and close it in the end.

    No proxy of the environment is used: it would not find the server.
    """
    defaults = {"trust_env": False, "max_connections": connections, "max_downloads": connections}
    transport = make(Config(**{**defaults, **settings}))
    try:
        yield transport
    finally:
        await transport.aclose()


def get(url: str) -> Request:
    """Return a request for a response that is streamed."""
    return Request("GET", url, operation="conformance.get", stream=True)


def post(url: str) -> Request:
    """Return a request with a body, for a response that is not streamed."""
    return Request("POST", url, operation="conformance.post", body=b"{}")


async def outcome(transport: Transport, request: Request, on_chunk: Callable[[], object] = bytes) -> Outcome:
    """Send and read; return the bytes that came and the class of the error that ended it."""
    came = b""
    try:
        response = await transport.send(request)
        try:
            async for chunk in response.chunks():
                came += chunk
                on_chunk()
        finally:
            await response.aclose()
    except Exception as error:  # noqa: BLE001 - any error is the finding
        return came, type(error)
    return came, None


@asynccontextmanager
async def sending(transport: Transport, *requests: Request) -> AsyncIterator[list[Outcome]]:
    """Send requests while the block runs; yield the list that has their outcomes after the block."""
    outcomes: list[Outcome] = [(b"", None)] * len(requests)

    async def send(number: int) -> None:
        outcomes[number] = await outcome(transport, requests[number])

    async with anyio.create_task_group() as group:
        for number in range(len(requests)):
            group.start_soon(send, number)
            await anyio.lowlevel.checkpoint()
        yield outcomes


# What is sent


async def a_request_arrives_as_made(make: MakeTransport) -> None:
    """Method, URL, headers and body; no compression unless asked for, since checksums are of the bytes.

    A signed URL is valid only as it was signed; what is not ASCII is encoded, and parameters are added.
    """
    signed = "/a%2Fb%20c/d?sig=x%2Fy%3D+%7e&token=a%2Bb"
    pairs = (("state", "queued"), ("state", "a b&c+d"), ("on", "2026-01-01T00:00:00Z/.."))
    large = b"".join(b"%07d\n" % number * 512 for number in range(1 << 10))  # more than any buffer holds
    headers = {"content-type": "application/json", "authorization": "api-key k", "accept-encoding": "gzip"}
    requests = [Request(method, "", headers=headers, body=b"{}") for method in ("POST", "PUT", "PATCH")]
    requests += [Request("DELETE", ""), get(""), Request("POST", "", body=large)]
    async with loopback(saying(OK)) as server, opened(make) as transport:
        for request in requests:
            found = await outcome(transport, evolve(request, url=f"{server.url}/x"))
            expect(f"{request.method} is answered", found, (b"ok", None))
            arrived = server.requests[-1]
            expect("Method and path arrive", (arrived.method, arrived.target), (request.method, "/x"))
            expect("The body arrives whole", arrived.body, request.body or b"")
            for name, value in {"accept-encoding": "identity", **request.headers}.items():
                expect(f"The header {name} arrives", arrived.headers.get(name), value)
        for path, target in ((signed, signed), ("/\xe9%2F?a=\u20ac+b", "/%C3%A9%2F?a=%E2%82%AC+b")):
            await outcome(transport, get(server.url + path))
            expect("A URL arrives verbatim", server.requests[-1].target, target)
        await outcome(transport, Request("GET", f"{server.url}/x?a=1", params=pairs))
        query = parse_qsl(urlsplit(server.requests[-1].target).query)
        expect("Repeated parameters arrive in order", query, [("a", "1"), *pairs])


async def what_is_not_a_request_is_refused(make: MakeTransport) -> None:
    """InvalidRequest is raised before anything is sent."""
    surrogate = "caf\udce9"  # as Python reads a file name in another encoding
    async with loopback(saying(OK)) as server, opened(make) as transport:
        urls = ["", "/x", "x", "http://", "https://[::1", "ftp://h/x", "http://a..b/", f"http://{'x' * 64}/"]
        urls += [f"{server.url}/a\r\nb: c", f"{server.url}/{surrogate}"]
        requests = [*map(get, urls), Request("GE T", server.url)]
        requests += [Request("GET", server.url, params=(("a", surrogate),))]
        requests += [Request("GET", server.url, headers={"a": "b\r\nc: d"})]
        for request in requests:
            found = await outcome(transport, request)
            expect(f"{request.method} {request.url!a} is refused", found, (b"", errors.InvalidRequest))
        expect("What is refused is not sent", server.requests, [])


async def nothing_is_added_to_a_request(make: MakeTransport) -> None:
    """No cookie of an earlier response, no password of `.netrc`; and no proxy with `trust_env=False`."""
    response = b"HTTP/1.1 200 OK\r\nset-cookie: a=b; path=/\r\ncontent-length: 2\r\n\r\nok"
    with NamedTemporaryFile("w") as netrc:  # readable by its owner only, as it has to be
        netrc.write("default login someone password secret\n")
        netrc.flush()
        variables = {"NETRC": netrc.name, "http_proxy": "http://127.0.0.1:1"}
        for trust_env, no_proxy in ((True, "*"), (False, "")):
            with patch.dict(os.environ, {**variables, "no_proxy": no_proxy}):
                async with (
                    loopback(saying(response)) as server,
                    opened(make, trust_env=trust_env) as transport,
                ):
                    # By name, since cookie jars ignore the cookies of an IP address.
                    url = server.url.replace("127.0.0.1", "localhost")
                    for _ in range(2):
                        expect("No proxy is used", await outcome(transport, get(url)), (b"ok", None))
            names = {name for sent in server.requests for name in sent.headers}
            expect("Nothing is added", names & {"authorization", "proxy-authorization", "cookie"}, set())


async def nothing_is_sent_twice(make: MakeTransport) -> None:
    """Not even a GET, nor on a connection that was used before: a layer decides what is tried again."""
    script = by_path({"/": saying(OK), "/lost": saying(b"", hang_up=True)})
    async with loopback(script) as server, opened(make) as transport:
        for method in ("GET", "HEAD", "PUT", "DELETE", "POST", "PATCH") * 2:
            before = len(server.requests)
            found = await outcome(transport, Request(method, f"{server.url}/lost"))
            expect(f"A {method} without a response is lost", found, (b"", errors.ConnectionLost))
            expect(f"A {method} is sent once", len(server.requests) - before, 1)
            await outcome(transport, get(f"{server.url}/"))


# What comes back


async def every_framing_is_read(make: MakeTransport) -> None:
    """A length, chunks, no body, or a body until the server closes; connections are reused after each."""
    responses = (
        ("GET", _LENGTH + b"onetwo", b"onetwo"),
        ("GET", _CHUNKS, b"onetwo"),
        ("GET", b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", b""),
        ("HEAD", _LENGTH, b""),
        ("PUT", b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        ("GET", b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", b""),
        ("GET", b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"ok"),
        ("GET", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + _CHUNKS, b"onetwo"),
        ("GET", b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nonetwo", b"onetwo"),
    )
    scripts = [saying(response, hang_up=b"close" in response) for _, response, _ in responses]
    paths = {f"/{number}": script for number, script in enumerate(scripts)}
    async with loopback(by_path(paths)) as server, opened(make) as transport:
        for path, (method, text, body) in zip(paths, responses, strict=True):
            found = await transport.send(Request(method, server.url + path, stream=body == b"onetwo"))
            expect(f"The status of {text!r}", b" %d " % found.status in text)
            expect(f"The headers of {text!r}", "link" not in found.headers)
            expect(f"The body of {text!r}", await found.read(), body)
        expect("Connections are reused", server.connections, 1)


async def a_response_is_returned_as_it_came(make: MakeTransport) -> None:
    """Not redirected, not decompressed; names of headers in lower case, repeated ones joined."""
    body = gzip.compress(b"text")
    headers = (b"Location: /x", b"X-Odd: a", b"x-odd: b", b"x-raw: \xff", b"Content-Encoding: gzip")
    head = b"\r\n".join((b"HTTP/1.1 302 Found", *headers, b"Content-Length: %d\r\n\r\n" % len(body)))
    async with loopback(saying(head + body)) as server, opened(make) as transport:
        found = await transport.send(get(server.url))
        expect("A redirect is returned", (found.status, found.headers.get("location")), (302, "/x"))
        expect("Repeated headers are joined", found.headers.get("x-odd"), "a, b")
        expect("A header can be printed", found.headers["x-raw"].encode() != b"")
        expect("A body is not decompressed", await found.read(), body)
        expect("A redirect is not followed", len(server.requests), 1)


async def a_body_is_streamed(make: MakeTransport) -> None:
    """The first bytes come before the last are sent; `read_timeout` is for silence, not for the whole."""
    read = anyio.Event()

    async def script(_: Received, say: Say) -> None:
        await say(slow)
        await read.wait()
        for letter in b"0123456789":
            await anyio.sleep(0.05)
            await say(bytes([letter]))

    slow = _LENGTH.replace(b"6", b"13") + b"one"
    async with loopback(script) as server, opened(make, read_timeout=0.4) as transport:
        found = await outcome(transport, get(server.url), read.set)
        expect("A body is streamed, however slow", found, (b"one0123456789", None))


async def a_broken_connection_is_connection_lost(make: MakeTransport) -> None:
    """After the bytes that came: a download goes on from there."""
    heads = (b"", b"HTTP/1.1 200 OK\r\ncont", b"SSH-2.0-OpenSSH_9.6\r\n")
    bodies = (_LENGTH + b"one", _CHUNKED + b"9\r\none", _CHUNKED + b"3\r\none\r\n")
    for response in heads + bodies:
        read = anyio.Event()

        async def script(_: Received, say: Say, response: bytes = response, read: anyio.Event = read) -> None:
            await say(response)
            if response in bodies:
                await read.wait()
            raise HangUp

        async with loopback(script) as server, opened(make) as transport:
            found = await outcome(transport, get(server.url), read.set)
            expected = (b"one" if response in bodies else b"", errors.ConnectionLost)
            expect(f"{response!r} and no more is an error", found, expected)


async def no_connection_is_a_connect_error(make: MakeTransport) -> None:
    """No server listens, or TLS gets no response: no request was seen, so that any may be sent again."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        unused = f"http://127.0.0.1:{closed.getsockname()[1]}"
    async with loopback(saying(OK)) as server, opened(make, connect_timeout=_SHORT) as transport:
        for url in (unused, server.url.replace("http", "https")):
            found = await outcome(transport, get(url))
            expect(f"{url} cannot be connected to", found, (b"", errors.ConnectError))


async def silence_is_a_timeout(make: MakeTransport) -> None:
    """Nothing for `read_timeout`, or no end of the headers for a few times that."""
    silences = {  # what the server says first, and what it says again and again
        "no-response": (b"", b""),
        "no-end-of-headers": (b"HTTP/1.1 200 OK\r\nx-a: b\r\n", b""),
        "endless-header": (b"HTTP/1.1 200 OK\r\nx-a: ", b"b"),
        "endless-100": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        "endless-103": (b"", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"),
        "no-body": (_LENGTH, b""),
        "no-end-of-body": (_LENGTH + b"one", b""),
    }
    paths = {f"/{path}": saying(start, then=then) for path, (start, then) in silences.items()}
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # nobody reads what it receives
        not_read = Request("POST", f"http://127.0.0.1:{deaf.getsockname()[1]}", body=bytes(1 << 25))
        async with (
            loopback(by_path(paths)) as server,
            opened(make, read_timeout=_SHORT, connect_timeout=0.5) as transport,
        ):
            requests = [request(server.url + path) for request in (get, post) for path in paths]
            async with sending(transport, *requests, not_read) as outcomes:
                pass  # all at once, since each takes its time
    *of_responses, (_, error) = outcomes
    for request, (_, found) in zip(requests, of_responses, strict=True):
        expect(f"Silence is a timeout: {request}", found, errors.TransportTimeout)
    expect("A body that is not taken is a timeout", error, errors.TransportTimeout)


async def errors_show_no_secret(make: MakeTransport) -> None:
    """Neither an error nor its causes show the query of the URL, or what the server said."""
    secret = "sig=very-secret"  # noqa: S105 - it is none
    for response in (b"not HTTP: sig=very-secret\r\n\r\n", _CHUNKED + b"sig=very-secret\r\n"):
        async with loopback(saying(response, hang_up=True)) as server, opened(make) as transport:
            for url in (server.url, "http://127.0.0.1:1", "ftp://h", "http://[::1", "http://"):
                request, shown = get(f"{url}/?{secret}"), list[BaseException]()
                try:
                    await (await transport.send(request)).read()
                except errors.PlanetError as error:
                    expect("An error has its request", error.request, request)
                    shown.append(error)
                expect(f"{url} is an error", len(shown), 1)
                for one in shown:
                    expect("An error shows no secret", secret not in f"{one} {one!r}")
                    shown += [each for each in (one.__cause__, one.__context__) if each is not None]


# Connections

_HOLDING = by_path({"/": saying(OK), "/held": saying(_CHUNKED, then=b"1\r\nx\r\n")})


async def no_more_connections_than_allowed(make: MakeTransport) -> None:
    """Other requests wait, and are sent in order; other servers are reached, however many are idle."""
    for most, stream in ((1, True), (1, False), (3, True), (3, False)):
        async with loopback(saying(OK)) as server, opened(make, connections=most) as transport:
            requests = [Request("GET", f"{server.url}/{number:02}", stream=stream) for number in range(12)]
            async with sending(transport, *requests) as outcomes:
                pass
            expect("All are answered", outcomes, [(b"ok", None)] * len(requests))
            expect(f"No more than {most} connections are made", server.connections <= most)
            targets = [request.target for request in server.requests]
            expect("Those that wait are sent in order", most > 1 or targets == sorted(targets))
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(loopback(saying(OK))) for _ in range(4)]
        transport = await stack.enter_async_context(opened(make, connections=1))
        for server in servers * 2:
            expect("Each server is reached", await outcome(transport, get(server.url)), (b"ok", None))


async def downloads_leave_room_for_requests(make: MakeTransport) -> None:
    """A download holds its connection until it is read or closed; other requests have their own."""
    async with loopback(_HOLDING) as server, opened(make, connections=1) as transport:
        held = await transport.send(get(f"{server.url}/held"))
        found = await outcome(transport, post(f"{server.url}/"))
        expect("A request is answered while downloads hold all they may", found, (b"ok", None))
        await held.aclose()
        found = await outcome(transport, get(f"{server.url}/"))
        expect("A closed download frees its place", found, (b"ok", None))


async def a_response_left_unread_frees_its_place(make: MakeTransport) -> None:
    """Closed, even twice, before its first byte or after: its connection is closed, not read to the end."""
    for framing in (_LENGTH.replace(b"6", b"1000000"), _CHUNKED + b"186a0\r\n", b"HTTP/1.1 200 OK\r\n\r\n"):
        script = saying(framing + bytes(1000), then=b"x")
        async with loopback(script) as server, opened(make, connections=1) as transport:
            for number, is_read in enumerate((True, False, True), start=1):
                response = await transport.send(get(server.url))
                if is_read:
                    await anext(response.chunks())
                await response.aclose()
                await response.aclose()
                expect("A response left unread is not read on", server.connections, number)


async def an_ended_connection_is_not_used(make: MakeTransport) -> None:
    """A POST would be lost on it, or take what the server said while it was idle for its response."""
    close = OK.replace(b"content", b"connection: close\r\ncontent")
    late = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 4\r\n\r\nlate"
    for response, last_words in ((close, None), (OK, b""), (OK, late)):
        async with loopback(saying(response)) as server, opened(make) as transport:
            for number in (1, 2, 3):
                expect("A POST is answered", await outcome(transport, post(server.url)), (b"ok", None))
                expect("It has a connection of its own", server.connections, number)
                if last_words is not None:
                    server.hang_up(last_words)


async def closing_ends_and_refuses(make: MakeTransport) -> None:
    """Connections are closed; a request that waits for one ends as ClientClosed, as later ones do."""
    async with loopback(_HOLDING) as server, opened(make, connections=1) as transport:
        held = await transport.send(get(f"{server.url}/held"))
        await outcome(transport, post(f"{server.url}/"))
        expect("An idle connection is kept", server.open, 2)
        async with sending(transport, get(f"{server.url}/")) as outcomes:
            await settle()
            await transport.aclose()
            await held.aclose()
            await transport.aclose()
        outcomes.append(await outcome(transport, post(f"{server.url}/")))
        expect("Waiting and later requests are refused", outcomes, [(b"", errors.ClientClosed)] * 2)
        await eventually(lambda: server.open == 0, "Closing closes the connections")
        expect("Nothing is sent after closing", len(server.requests), 2)


async def closing_at_any_time_leaves_nothing_open(make: MakeTransport) -> None:
    """While it connects, sends or reads: the request ends, with its response or an error of ours."""
    async with loopback(saying(OK)) as server:
        for step in count():
            async with opened(make) as transport, sending(transport, get(server.url)) as outcomes:
                for _ in range(step):
                    await anyio.lowlevel.checkpoint()
                done = [*outcomes]
                await transport.aclose()
            for _, error in outcomes:
                expect(f"{error} is a PlanetError", error is None or issubclass(error, errors.PlanetError))
            await eventually(lambda: server.open == 0, f"Closed at step {step}, nothing is open")
            if done == [(b"ok", None)]:
                return


# Cancellation


async def cancelled_anywhere_nothing_is_held(make: MakeTransport) -> None:
    """Sending, reading or leaving half way: the only connection there may be is free for the next request."""
    async with loopback(saying(OK)) as server, opened(make, connections=1) as transport:
        await settle()
        before = _tasks(server)
        requests = (get(server.url), post(server.url))

        async def leave() -> None:
            response = await transport.send(requests[0])
            try:
                await anext(response.chunks())
            finally:
                await response.aclose()

        async def check() -> None:
            await eventually(lambda: _tasks(server) <= before, "No task goes on after its caller")
            for request in requests:
                expect("The next request is answered", await outcome(transport, request), (b"ok", None))

        calls: list[Callable[[], Coroutine[Any, Any, object]]] = [leave]
        calls += [partial(outcome, transport, request) for request in requests]
        for call in calls:
            expect("A call waits somewhere", await cancelled_at_each_step(call, check) > 0)
        # `task.cancel()` and `asyncio.timeout` cancel once only, also where a library cleans up.
        for rounds in count() if on_asyncio() else ():
            task = asyncio.create_task(leave())
            for _ in range(rounds):
                await asyncio.sleep(0)
            is_done = task.done()
            task.cancel()
            await asyncio.wait([task])
            await check()
            if is_done:
                break


async def waiting_can_be_cancelled(make: MakeTransport) -> None:
    """For a connection, a TLS handshake or a response: nothing is left open, and the next request is sent."""
    script = by_path({"/": saying(OK), "/slow": saying(b"", then=b"HTTP/1.1 100 Continue\r\n\r\n")})
    for scheme in ("http", "https"):  # over TLS nothing is answered
        async with loopback(script) as server, opened(make, connections=1) as transport:
            async with anyio.create_task_group() as group:
                group.start_soon(outcome, transport, get(f"{server.url}/slow".replace("http", scheme)))
                await eventually(lambda: server.connections == 1, "A request connects")
                group.start_soon(outcome, transport, get(f"{server.url}/"))
                await settle()
                group.cancel_scope.cancel()
            await eventually(lambda: server.open == 0, "A cancelled request leaves no connection")
            found = await outcome(transport, get(f"{server.url}/"))
            expect("The next request is answered", found, (b"ok", None))
            sent = [request.target for request in server.requests]
            expect("A request cancelled while it waits is not sent", sent.count("/"), 1)


def _tasks(server: Loopback) -> int:
    """Return the number of tasks without the server's; trio has none without an owner."""
    return len(asyncio.all_tasks()) - server.open if on_asyncio() else 0


async def cancelled_at_each_step(
    call: Callable[[], Coroutine[Any, Any, object]], check: Callable[[], Awaitable[object]]
) -> int:
    """Make the call again and again, cancelled where it waits first, second, ..., until one gets through.

    `check` is awaited after each; the number of places where it was cancelled is returned.
    """
    for step in count():
        with anyio.CancelScope() as scope:
            stepped = Stepped(call(), step, scope.cancel)
            await stepped
        await settle()
        await check()
        if not stepped.reached:
            return step
    raise AssertionError("unreachable")


class Stepped(Awaitable[object]):
    """A coroutine, with something done where it waits for the n-th time."""

    def __init__(self, call: Coroutine[Any, Any, object], step: int, act: Callable[[], None]) -> None:
        self._call = call
        self._left = step
        self._act = act
        self.reached: bool = False

    def __await__(self) -> Generator[Any, Any, object]:
        # Popped: a frame that kept an error would be kept by it, with all that the call held.
        sent: list[Any] = [None]
        raised: list[BaseException] = []
        while True:
            try:
                waited_for = self._call.throw(raised.pop()) if raised else self._call.send(sent.pop())
            except StopIteration as end:
                return end.value
            if self._left == 0:
                self.reached = True
                self._act()
            self._left -= 1
            try:
                sent.append((yield waited_for))
            except BaseException as error:  # noqa: BLE001 - all of them are the coroutine's
                raised.append(error)


CHECKS: tuple[Check, ...] = (
    a_request_arrives_as_made,
    what_is_not_a_request_is_refused,
    nothing_is_added_to_a_request,
    nothing_is_sent_twice,
    every_framing_is_read,
    a_response_is_returned_as_it_came,
    a_body_is_streamed,
    a_broken_connection_is_connection_lost,
    no_connection_is_a_connect_error,
    silence_is_a_timeout,
    errors_show_no_secret,
    no_more_connections_than_allowed,
    downloads_leave_room_for_requests,
    a_response_left_unread_frees_its_place,
    an_ended_connection_is_not_used,
    closing_ends_and_refuses,
    closing_at_any_time_leaves_nothing_open,
    cancelled_anywhere_nothing_is_held,
    waiting_can_be_cancelled,
)
"""All checks, one promise each."""
