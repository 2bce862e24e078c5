import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import anyio
import anyio.abc
import anyio.lowlevel
import httpcore
import httpx
import pytest
import respx
from attrs import define, field
from spine import cancelled_at_each_step, settle

from planet_async import ApiKey, Planet
from planet_async.config import Config
from planet_async.errors import (
    ConnectError,
    ConnectionLost,
    InvalidRequest,
    PlanetError,
    TransportError,
    TransportTimeout,
)
from planet_async.http import Request
from planet_async.layers.redirect import FollowRedirects
from planet_async.layers.status import RaiseForStatus
from planet_async.simulator import Fault, Limits, OrderPlan, Simulator
from planet_async.simulator.server import serve
from planet_async.testing import FakeClock
from planet_async.transports.httpx import HttpxTransport

pytestmark = pytest.mark.anyio

URL = "https://api.planet.com/things"
SHORT = 0.05  # seconds of a timeout that a test may wait for
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@define
class Server:
    """A server on loopback, which does with each request what its handler does."""

    url: str
    connections: int = 0
    requests: int = 0
    open: int = 0
    quiet: anyio.Event = field(factory=anyio.Event)


Handler = Callable[[Server, anyio.abc.SocketStream, bytes], Awaitable[None]]


@asynccontextmanager
async def listening(handler: Handler) -> AsyncIterator[Server]:
    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as group,
    ):
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        server = Server(f"http://127.0.0.1:{port}")

        async def serve_one(stream: anyio.abc.SocketStream) -> None:
            server.connections += 1
            server.open += 1
            try:
                async with stream:
                    while True:
                        head = b""
                        while b"\r\n\r\n" not in head:
                            head += await stream.receive()
                        server.requests += 1
                        await handler(server, stream, head)
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                pass
            finally:
                server.open -= 1
                server.quiet.set()

        group.start_soon(listener.serve, serve_one)
        yield server
        group.cancel_scope.cancel()


def saying(answer: bytes, *, hang_up: bool = False) -> Handler:
    async def handle(_: Server, stream: anyio.abc.SocketStream, __: bytes) -> None:
        await stream.send(answer)
        if hang_up:
            raise anyio.EndOfStream

    return handle


@asynccontextmanager
async def transport(**config: object) -> AsyncIterator[HttpxTransport]:
    made = HttpxTransport(Config(**config))  # type: ignore[arg-type]
    slots = free_slots(made)
    try:
        yield made
        assert free_slots(made) == slots, "a response still holds its connection"
    finally:
        await made.aclose()


def free_slots(made: HttpxTransport) -> int:
    return made._gate.value


def get(url: str = URL) -> Request:
    return Request("GET", url, operation="orders.get", stream=True)


@pytest.fixture
def mocked() -> Iterator[respx.MockRouter]:
    with respx.mock() as router:
        yield router


async def test_a_request_arrives_as_it_was_made(mocked: respx.MockRouter) -> None:
    """Method, repeated parameters, headers and body; identity encoding, since checksums are of the bytes."""
    route = mocked.post(URL).respond(
        201, json={"a": 1}, headers=[("X-One", "1"), ("X-Two", "a"), ("X-Two", "b")]
    )
    request = Request(
        "POST",
        URL,
        params=(("state", "queued"), ("state", "a b&c"), ("on", "2026-01-01T00:00:00Z/..")),
        headers={"content-type": "application/json", "authorization": "api-key k"},
        body=b'{"name":"n"}',
    )
    async with transport() as network:
        response = await network.send(request)
        assert await response.read() == b'{"a":1}'
    sent = route.calls.last.request
    assert sent.url.params.multi_items() == [*request.params]
    assert sent.content == b'{"name":"n"}'
    assert sent.headers["content-type"] == "application/json"
    assert sent.headers["authorization"] == "api-key k"
    assert sent.headers["accept-encoding"] == "identity"
    assert sent.headers["host"] == "api.planet.com"
    assert (response.status, response.url) == (201, URL)
    assert (response.headers["x-one"], response.headers["x-two"]) == ("1", "a, b")


async def test_parameters_join_the_query_that_an_address_has(mocked: respx.MockRouter) -> None:
    """A link of the API keeps its query, whatever is added."""
    route = mocked.get(url__startswith=URL).respond(200)
    async with transport() as network:
        await (await network.send(Request("GET", f"{URL}?a=1", params=(("b", "2"),)))).read()
        await (await network.send(Request("GET", f"{URL}?token=x%2Fy%3D"))).read()
    assert [call.request.url.raw_path for call in route.calls] == [
        b"/things?a=1&b=2",
        b"/things?token=x%2Fy%3D",
    ]


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (httpcore.ConnectError("refused"), ConnectError),
        (httpcore.ConnectTimeout("slow"), ConnectError),
        (httpcore.ReadTimeout("slow"), TransportTimeout),
        (httpcore.WriteTimeout("slow"), TransportTimeout),
        (httpcore.ReadError(""), ConnectionLost),
        (httpcore.WriteError("broken pipe"), ConnectionLost),
        (httpcore.RemoteProtocolError("no HTTP"), ConnectionLost),
        (httpcore.LocalProtocolError("illegal header"), InvalidRequest),
        (httpcore.UnsupportedProtocol("gopher"), InvalidRequest),
        (httpx.ConnectError("refused"), ConnectError),
        (httpx.ConnectTimeout("slow"), ConnectError),
        (httpx.ReadTimeout("slow"), TransportTimeout),
        (httpx.WriteTimeout("slow"), TransportTimeout),
        (httpx.ReadError(""), ConnectionLost),
        (httpx.WriteError("broken pipe"), ConnectionLost),
        (httpx.CloseError("odd"), ConnectionLost),
        (httpx.RemoteProtocolError("no HTTP"), ConnectionLost),
        (httpx.ProxyError("odd"), ConnectionLost),
        (httpx.LocalProtocolError("illegal header"), InvalidRequest),
        (httpx.UnsupportedProtocol("gopher"), InvalidRequest),
    ],
    ids=lambda value: f"{type(value).__module__}.{type(value).__name__}",
)
async def test_errors_of_httpx_become_ours(
    mocked: respx.MockRouter, raised: Exception, kind: type[PlanetError]
) -> None:
    """No error of a network library, nor of a mock of it, reaches a user; its cause and words are kept."""
    mocked.get(URL).mock(side_effect=raised)
    async with transport() as network:
        with pytest.raises(PlanetError) as caught:
            await network.send(get())
    assert type(caught.value) is kind
    assert caught.value.request == get()
    assert (str(raised) or "ReadError") in str(caught.value)
    assert caught.value.__cause__ is raised


async def test_an_unforeseen_error_frees_the_slot(mocked: respx.MockRouter) -> None:
    """Even a bug below costs no connection."""
    mocked.get(URL).mock(side_effect=ZeroDivisionError)
    async with transport() as network:
        with pytest.raises(ZeroDivisionError):
            await network.send(get())


@pytest.mark.parametrize(
    "url",
    [
        "/things",
        "",
        "things",
        "http://",
        "https://[::1",
        "http://127.0.0.1:99999/",
        "http://h/\n",
        "ftp://h/x",
        f"http://{'a' * 70}.example/",
    ],
)
async def test_what_cannot_be_requested_is_refused(url: str) -> None:
    """An address that is none is InvalidRequest, or no connection, and never a crash."""
    async with transport() as network:
        with pytest.raises((InvalidRequest, ConnectError)):
            await network.send(get(url))


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=["length", "chunked", "bad chunk"],
)
async def test_a_body_that_breaks_off_is_lost(answer: bytes) -> None:
    """Half a body is an error, never a shorter body."""
    async with listening(saying(answer, hang_up=True)) as server, transport() as network:
        response = await network.send(get(server.url))
        with pytest.raises(ConnectionLost):
            await response.read()


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"], ids=["no head", "half a body"]
)
async def test_silence_ends_in_a_timeout(answer: bytes) -> None:
    """Nothing for `read_timeout` seconds: a TimeoutError of ours."""
    async with listening(saying(answer)) as server, transport(read_timeout=SHORT) as network:
        with pytest.raises(TransportTimeout) as caught:
            await (await network.send(get(server.url))).read()
    assert isinstance(caught.value, TimeoutError)


async def test_a_redirect_keeps_its_connection() -> None:
    """The answer that leads to the storage does not cost the API's connection."""
    async with listening(saying(OK)) as storage:
        lead = (
            f"HTTP/1.1 302 Found\r\nlocation: {storage.url}/file\r\ncontent-length: 5\r\n\r\nthere".encode()
        )
        async with listening(saying(lead)) as api, transport() as network:
            for _ in range(5):
                assert await (await FollowRedirects(network).send(get(api.url))).read() == b"ok"
            assert (api.connections, storage.connections) == (1, 1)


async def test_refusals_keep_their_connection() -> None:
    """Also an error is read to its end, and its connection is used again."""
    refusal = b"HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\ngone"
    async with listening(saying(refusal)) as server, transport() as network:
        for _ in range(5):
            with pytest.raises(PlanetError, match="gone"):
                await RaiseForStatus(network, FakeClock()).send(get(server.url))
        assert server.connections == 1


@pytest.mark.parametrize("framing", ["length", "chunked", "until closed"])
async def test_a_body_left_half_way_leaves_nothing(framing: str) -> None:
    """`break` and close: the connection is closed, its slot is free, and nothing warns of what was left."""
    head = {
        "length": b"content-length: 1000000\r\n\r\n",
        "chunked": b"transfer-encoding: chunked\r\n\r\n186a0\r\n",
        "until closed": b"\r\n",
    }[framing]

    async def much(_: Server, stream: anyio.abc.SocketStream, __: bytes) -> None:
        await stream.send(b"HTTP/1.1 200 OK\r\n" + head + b"x" * 100_000)
        await anyio.sleep_forever()

    async with listening(much) as server, transport(max_connections=1) as network:
        for number in range(3):
            response = await network.send(get(server.url))
            async for chunk in response.chunks():
                assert chunk
                break
            await response.aclose()
            await response.aclose()
            assert server.connections == number + 1
            del response
            gc.collect()
            await settle()
        assert free_slots(network) == 1


async def test_a_response_that_nobody_reads_can_be_closed() -> None:
    """Closed before a byte of the body was asked for."""
    async with listening(saying(OK)) as server, transport(max_connections=1) as network:
        for _ in range(3):
            await (await network.send(get(server.url))).aclose()


async def test_a_body_read_to_its_end_without_closing_gives_its_connection_back_when_closed() -> None:
    """`chunks` to the end, then `aclose`: the connection is used again."""
    async with listening(saying(OK)) as server, transport() as network:
        for _ in range(3):
            response = await network.send(get(server.url))
            assert [chunk async for chunk in response.chunks()] == [b"ok"]
            await response.aclose()
        assert server.connections == 1


@pytest.mark.parametrize("most", [1, 3])
async def test_no_more_connections_than_allowed_are_used(most: int) -> None:
    """A response holds its connection until it is read; the others wait, first come first served."""
    held = 0
    most_held = 0
    order: list[int] = []

    async with listening(saying(OK)) as server, transport(max_connections=most) as network:

        async def ask(number: int) -> None:
            nonlocal held, most_held
            response = await network.send(get(f"{server.url}/{number}"))
            order.append(number)
            held += 1
            most_held = max(most_held, held)
            await anyio.lowlevel.checkpoint()
            held -= 1
            await response.read()

        async with anyio.create_task_group() as group:
            for number in range(12):
                group.start_soon(ask, number)
                await anyio.lowlevel.checkpoint()
        assert server.connections <= most
        assert most_held <= most
        if most == 1:
            assert order == list(range(12))


async def test_who_is_cancelled_frees_the_slot() -> None:
    """In line, while sending, while reading: whoever gives up leaves the connection to others."""
    arrived, go_on = anyio.Event(), anyio.Event()

    async def handle(_: Server, stream: anyio.abc.SocketStream, head: bytes) -> None:
        if b"/slow" in head:
            arrived.set()
            await go_on.wait()
        await stream.send(OK)

    async with listening(handle) as server, transport(max_connections=1) as network:

        async def within(scope: anyio.CancelScope) -> None:
            with scope:
                await network.send(get(f"{server.url}/slow"))

        sending, waiting = anyio.CancelScope(), anyio.CancelScope()
        async with anyio.create_task_group() as group:
            group.start_soon(within, sending)
            await arrived.wait()
            group.start_soon(within, waiting)
            await settle()
            waiting.cancel()
            sending.cancel()
        assert await (await network.send(get(server.url))).read() == b"ok"


async def test_cancelled_anywhere_no_slot_is_lost() -> None:
    """At whichever point a call is cancelled, sending or reading, every slot of the gate is free again."""
    async with listening(saying(OK)) as server:
        network = HttpxTransport(Config(max_connections=2))

        async def call() -> None:
            await (await network.send(get(server.url))).read()

        async def leave() -> None:
            response = await network.send(get(server.url))
            try:
                async for _ in response.chunks():
                    break
            finally:
                await response.aclose()

        def check() -> None:
            assert free_slots(network) == 2

        for steps in (call, leave):
            assert await cancelled_at_each_step(steps, check) >= 3
        await network.aclose()


async def test_closing_frees_the_connections() -> None:
    """After `aclose` the server sees them closed."""
    async with listening(saying(OK)) as server:
        network = HttpxTransport()
        await (await network.send(get(server.url))).read()
        assert server.open == 1
        await network.aclose()
        with anyio.fail_after(5):
            await server.quiet.wait()
        assert server.open == 0


ORDER = {
    "name": "field 7",
    "products": [
        {"item_ids": ["20221221_084022_18_2414"], "item_type": "PSScene", "product_bundle": "analytic_udm2"}
    ],
}
FAULTS = {
    "refused": Fault(operation="orders.get", drop=True, times=2),
    "dropped after": Fault(operation="orders.get", drop=True, after=True, times=2),
    "cut": Fault(operation="orders.get", cut=20, times=2),
    "status": Fault(operation="orders.get", status=502, body=b"<html>", times=2),
    "cut file": Fault(operation="storage.get", cut=10, times=1),
    "storage status": Fault(operation="storage.get", status=503, times=2),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_the_whole_client_over_real_sockets_leaves_nothing_open(name: str, tmp_path: object) -> None:
    """With faults on the way or not: when the job is done, or has failed, every slot is free."""
    simulator = Simulator(limits=Limits.unlimited(), plan=OrderPlan(queue_seconds=0, run_seconds=0))
    with serve(simulator) as url:
        config = Config(base_url=url, rates={}, first_backoff=0.001, longest_backoff=0.001, max_connections=3)
        network = HttpxTransport(config)
        async with Planet(config, credentials=ApiKey("any"), transport=network) as planet:
            order = await planet.orders.create(ORDER)
            simulator.faults.add(FAULTS[name])
            try:
                order = await planet.orders.get(order.id)
                assert await planet.orders.download(order, str(tmp_path))
            except TransportError:
                assert name == "cut file"
            assert free_slots(network) == 3
