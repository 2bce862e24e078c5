"""A server that hangs up at every step, over HTTP/1.1 and HTTP/2: an error of ours, nothing sent twice."""

import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import anyio.abc
import pytest
import trustme
from anyio.streams.tls import TLSStream
from attrs import define
from cases import case
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived, StreamEnded

from planet_async import Config, Planet, PlanetError
from planet_async.errors import ConnectionLost
from transports.on_loopback import Stream, listening, planet, receive, server_context

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("small_trust_store"), pytest.mark.no_cover]

ORDER_ID = "7a1c0f0e-4b6d-4f55-9a76-1f0a1d6f0c11"
BODY = json.dumps({"id": ORDER_ID, "name": "field 7", "state": "running"}).encode()
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(BODY)

HEADERS = [(":status", "200"), ("content-type", "application/json"), ("content-length", str(len(BODY)))]

BEFORE_TLS = ["accepted", "TLS begun"]
HTTP2_STEPS = ["request headers", "request", "head", "half a body", "RST_STREAM", "GOAWAY"]
AFTER_TLS = ["connected", "request", "half a head", "head", "half a body"]
ON = ("network", "anyio_backend")
HTTPX = [("httpx", "asyncio"), ("httpx2", "trio")]


@define
class Hangs:
    """A server that hangs up at a step: with the first request, or with every so many."""

    step: str
    context: ssl.SSLContext | None = None
    every: int = 0  # 0: only with the first
    by_reset: bool = False
    url: str = ""
    connections: int = 0
    requests: int = 0

    def is_next(self, count: int) -> bool:
        """Whether it hangs up with what is the `count`-th."""
        return count == 1 if not self.every else count % self.every == 0

    async def serve(self, stream: Stream) -> None:
        """Serve one connection over HTTP/1.1."""
        self.connections += 1
        before = self.is_next(self.connections) and self.step in {*BEFORE_TLS, "connected"}
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError, ssl.SSLError):
            async with stream:
                if before and self.step == "TLS begun":
                    await stream.receive()
                if self.context is not None and not (before and self.step != "connected"):
                    stream = await TLSStream.wrap(
                        stream, server_side=True, ssl_context=self.context, standard_compatible=False
                    )
                if not before:
                    await self.speak(stream)
                self.reset(stream)

    async def speak(self, stream: Stream) -> None:
        while True:
            await receive(stream)
            self.requests += 1
            answer = HEAD + BODY
            if self.is_next(self.requests) and self.step in AFTER_TLS[1:]:
                parts = {"request": b"", "half a head": HEAD[:20], "head": HEAD, "half a body": answer[:-10]}
                await stream.send(parts[self.step])
                return
            await stream.send(answer)

    def reset(self, stream: Stream) -> None:
        """Have the closing of the connection be a reset, where it is to be."""
        if self.by_reset:
            raw = stream.extra(anyio.abc.SocketAttribute.raw_socket)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class HangsHttp2(Hangs):
    """The same over HTTP/2."""

    async def speak(self, stream: Stream) -> None:
        connection = H2Connection(H2Configuration(client_side=False))
        connection.initiate_connection()
        await stream.send(connection.data_to_send())
        unlucky = set[int]()
        while True:
            for event in connection.receive_data(await stream.receive()):
                if isinstance(event, RequestReceived):
                    self.requests += 1
                    if self.is_next(self.requests) and self.step in HTTP2_STEPS:
                        unlucky.add(event.stream_id)
                    if unlucky and self.step == "request headers":
                        return
                elif isinstance(event, StreamEnded) and event.stream_id in unlucky:
                    self.answer(connection, event.stream_id)
                    await stream.send(connection.data_to_send())
                    if self.step != "RST_STREAM":
                        return
                elif isinstance(event, StreamEnded):
                    connection.send_headers(event.stream_id, HEADERS)
                    connection.send_data(event.stream_id, BODY, end_stream=True)
            await stream.send(connection.data_to_send())

    def answer(self, connection: H2Connection, stream_id: int) -> None:
        """Answer an unlucky request as far as the step says."""
        if self.step in {"head", "half a body"}:
            connection.send_headers(stream_id, HEADERS)
        if self.step == "half a body":
            connection.send_data(stream_id, BODY[:-10])
        if self.step == "RST_STREAM":
            connection.reset_stream(stream_id)
        if self.step == "GOAWAY":
            connection.close_connection(last_stream_id=stream_id)


@asynccontextmanager
async def hanging_up(server: Hangs) -> AsyncIterator[Hangs]:
    async with listening(server.serve) as url:
        server.url = url if server.context is None else url.replace("http:", "https:")
        yield server


@asynccontextmanager
async def client(network: str, server: Hangs, ca_file: Path) -> AsyncIterator[Planet]:
    config = Config(base_url=server.url, ca_file=ca_file, rates={}, first_backoff=0.001, longest_backoff=0.01)
    with anyio.fail_after(60):
        async with planet(network, config) as made:
            yield made


async def check(network: str, server: Hangs, ca_file: Path) -> None:
    """Send a GET, which comes through at the second attempt, and a POST, which is sent once.

    Where TLS fails, nothing has been sent, and the POST is sent when the next connection is there.
    """
    async with hanging_up(server):
        async with client(network, server, ca_file) as planet:
            assert (await planet.orders.get(ORDER_ID)).id == ORDER_ID
            assert server.connections + server.requests >= 3, "it has not hung up"
        server.connections = server.requests = 0
        async with client(network, server, ca_file) as planet:
            if server.step in BEFORE_TLS:
                await planet.request("POST", "/x", json={})
                assert server.requests == 1
            else:
                with pytest.raises(ConnectionLost) as caught:
                    await planet.request("POST", "/x", json={})
                assert caught.value.may_have_acted
                assert server.requests <= 1


ENDS = pytest.mark.parametrize("by_reset", [False, True], ids=["closed", "reset"])


@ENDS
async def test_over_http1(network: str, ca_file: Path, *, by_reset: bool) -> None:
    """Over plain HTTP."""
    for step in AFTER_TLS:
        with case(step):
            await check(network, Hangs(step, by_reset=by_reset), ca_file)


@ENDS
async def test_over_http1_and_tls(
    network: str, authority: trustme.CA, ca_file: Path, *, by_reset: bool
) -> None:
    """The handshake can break off, too."""
    context = server_context(authority)
    for step in [*BEFORE_TLS, *AFTER_TLS]:
        with case(step):
            await check(network, Hangs(step, context, by_reset=by_reset), ca_file)


@ENDS
@pytest.mark.parametrize("network", ["httpx", "httpx2"])
async def test_over_http2(network: str, authority: trustme.CA, ca_file: Path, *, by_reset: bool) -> None:
    """HTTP/2 has ways of its own to end: a stream, or all after one."""
    context = server_context(authority, alpn="h2")
    for step in [*BEFORE_TLS, "connected", *HTTP2_STEPS]:
        with case(step):
            await check(network, HangsHttp2(step, context, by_reset=by_reset), ca_file)


async def get_many(
    network: str, server: Hangs, ca_file: Path, *, times: int, at_once: int
) -> list[PlanetError]:
    """Get an order so many times; return the errors, of which each is one of ours."""
    errors: list[PlanetError] = []
    todo = iter(range(times))

    async def work() -> None:
        for _ in todo:
            try:
                assert (await made.orders.get(ORDER_ID)).id == ORDER_ID
            except PlanetError as error:
                errors.append(error)

    async with (
        hanging_up(server),
        client(network, server, ca_file) as made,
        anyio.create_task_group() as group,
    ):
        for _ in range(at_once):
            group.start_soon(work)
    assert {type(error) for error in errors} <= {ConnectionLost}
    return errors


@pytest.mark.parametrize(ON, [*HTTPX, ("aiohttp", "asyncio")], indirect=["anyio_backend"])
@pytest.mark.parametrize("step", ["request", "half a body"])
async def test_many_gets_over_http1(network: str, step: str, ca_file: Path) -> None:
    """Every tenth response is a hang-up: all come through, by attempts that the service can bear."""
    server = Hangs(step, every=10)
    assert not await get_many(network, server, ca_file, times=300, at_once=16)
    assert 330 < server.requests < 340


@pytest.mark.parametrize(ON, HTTPX, indirect=["anyio_backend"])
@pytest.mark.parametrize("step", ["request", "half a body", "RST_STREAM", "GOAWAY"])
async def test_many_gets_over_http2(network: str, step: str, authority: trustme.CA, ca_file: Path) -> None:
    """The others of a connection end with it: some are not tried again, and each is told what it was."""
    server = HangsHttp2(step, server_context(authority, alpn="h2"), every=10)
    await get_many(network, server, ca_file, times=100, at_once=4)
