"""The webhook endpoint: its access control, its responses, and that a wait ends with the notification."""

import asyncio
import base64
import logging
import socket
import tracemalloc
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import msgspec
import pytest
import uvicorn
from attrs import field, frozen
from simulator.simulated import catalog, scenes
from spine import settle
from starlette.applications import Starlette
from starlette.routing import Mount
from uvicorn.server import ServerState

from planet_async import (
    ApiKey,
    Config,
    InvalidRequest,
    OrderEvent,
    Planet,
    PlanetError,
    Request,
    Response,
    Schedule,
    SubscriptionEvent,
    WebhookEndpoint,
)
from planet_async.clock import SystemClock
from planet_async.simulator import OrderPlan, Simulator, SubscriptionPlan
from planet_async.testing import FakeClock
from planet_async.transports.httpx import HttpxTransport
from planet_async.webhooks import Message

pytestmark = pytest.mark.anyio

TOKEN = "ngWJy2OiIOuDyN59cl4zSt0b_c0T2XLefW8XiiWgfOs"
ORDER = msgspec.json.encode({"order_id": "o1", "items": []})
SUBSCRIPTION = msgspec.json.encode({"subscription_id": "s1", "topic": "status.completed"})
MIB = 1024**2


class Waits:
    """Remembers the ids to poll, in place of a client; wakes its waiters."""

    def __init__(self) -> None:
        self.orders = _Service()
        self.subscriptions = _Service()


class _Service:
    def __init__(self) -> None:
        self.ids: list[str] = []
        self.heard = anyio.Event()

    def poll_now(self, changed_id: str, /) -> None:
        self.ids.append(changed_id)
        self.heard.set()


@frozen
class Reply:
    status: int
    headers: dict[bytes, bytes] = field(factory=dict)


async def call(
    app: Any,
    path: str,
    body: bytes | Iterable[bytes] = ORDER,
    *,
    method: str = "POST",
    headers: Iterable[tuple[bytes, bytes]] = (),
    hang_up: bool = False,
) -> Reply | None:
    """Make one call in the bare protocol; None where there was no response."""
    pieces = iter([body] if isinstance(body, bytes) else body)
    sent: list[Message] = []

    async def receive() -> Message:
        for piece in pieces:
            return {"type": "http.request", "body": piece, "more_body": True}
        return {"type": "http.disconnect"} if hang_up else {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "root_path": "", "headers": list(headers)}
    await app(scope, receive, send)
    if not sent:
        return None
    start, end = sent
    assert end == {"type": "http.response.body", "body": b""}
    return Reply(start["status"], dict(start["headers"]))


async def status_of(app: Any, path: str, body: bytes | Iterable[bytes] = ORDER, **how: Any) -> int:
    reply = await call(app, path, body, **how)
    assert reply is not None
    return reply.status


def basic(user: str, password: str) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", b"Basic " + base64.b64encode(f"{user}:{password}".encode()))]


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def app(waits: Waits) -> WebhookEndpoint:
    return WebhookEndpoint(waits, token=TOKEN)


async def test_a_notification_is_passed_on(waits: Waits) -> None:
    """Orders and subscriptions each have a path; the waits get the id, `on_event` the event."""
    events: list[OrderEvent | SubscriptionEvent] = []
    app = WebhookEndpoint(waits, events.append, token=TOKEN)
    reply = await call(app, f"/{TOKEN}/orders", ORDER)
    assert reply == Reply(204)
    assert await status_of(app, f"/{TOKEN}/subscriptions/", SUBSCRIPTION) == 204
    assert (waits.orders.ids, waits.subscriptions.ids) == (["o1"], ["s1"])
    first, second = events
    assert isinstance(first, OrderEvent)
    assert isinstance(second, SubscriptionEvent)
    assert (first.order_id, second.subscription_id) == ("o1", "s1")


async def test_events_alone_will_do() -> None:
    """Without a client `on_event` is called all the same."""
    events: list[object] = []
    assert await status_of(WebhookEndpoint(on_event=events.append, token=TOKEN), f"/{TOKEN}/orders") == 204
    assert len(events) == 1


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/orders",
        f"/{TOKEN}",
        f"/{TOKEN}/",
        f"/{TOKEN}/other",
        f"/{TOKEN}x/orders",
        f"/{TOKEN[:-1]}/orders",
        f"/{TOKEN.swapcase()}/orders",
        "/ü\udcff/orders",
        f"/{TOKEN}/orders/x",
        f"/{TOKEN}//orders",
    ],
)
async def test_without_the_token_nothing_is_found(path: str, waits: Waits, app: WebhookEndpoint) -> None:
    """Each other path is a 404, for each method, before any of the body is read."""

    def untouched() -> Iterable[bytes]:
        raise AssertionError("the body was read")
        yield b""

    for method in ("POST", "GET", "HEAD"):
        reply = await call(app, path, untouched(), method=method)
        assert reply == Reply(404, {b"content-length": b"0"})
    assert waits.orders.ids == []


async def test_basic_credentials(waits: Waits) -> None:
    """Where a user and a password are required, all else gets a 401 that says so."""
    app = WebhookEndpoint(waits, basic=("planet", "s3cret:ü"))
    right = basic("planet", "s3cret:ü")
    assert await status_of(app, "/hooks/orders", headers=right) == 204
    assert (
        await status_of(app, "/orders", headers=[(b"Authorization", right[0][1].replace(b"B", b"b", 1))])
        == 204
    )
    scheme_missing = [(b"authorization", right[0][1].removeprefix(b"Basic "))]
    bearer = [(b"authorization", right[0][1].replace(b"Basic", b"Bearer"))]
    for wrong in (
        [],
        basic("planet", "s3cret"),
        basic("", ""),
        scheme_missing,
        bearer,
        [(b"authorization", b"\xff")],
    ):
        for method in ("POST", "GET"):
            reply = await call(app, "/orders", method=method, headers=wrong)
            assert reply is not None
            assert (reply.status, reply.headers[b"www-authenticate"]) == (401, b'Basic realm="planet"')
    assert waits.orders.ids == ["o1", "o1"]


async def test_token_and_basic_together(waits: Waits) -> None:
    """Both are required where both are set; with the password only, nothing is found."""
    app = WebhookEndpoint(waits, token=TOKEN, basic=("planet", "secret"))
    right = basic("planet", "secret")
    assert await status_of(app, f"/{TOKEN}/orders", headers=right) == 204
    assert await status_of(app, f"/{TOKEN}/orders") == 401
    assert await status_of(app, "/orders", headers=right) == 404


async def test_secrets_are_compared_in_constant_time(waits: Waits, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each secret goes through `hmac.compare_digest`, as bytes and whole."""
    compared: list[tuple[object, object]] = []

    def compare(first: bytes, second: bytes) -> bool:
        compared.append((first, second))
        return first == second

    monkeypatch.setattr("planet_async.webhooks.hmac.compare_digest", compare)
    app = WebhookEndpoint(waits, token=TOKEN, basic=("a", "b"))
    assert await status_of(app, "/guess/orders") == 404
    assert await status_of(app, f"/{TOKEN}/orders", headers=basic("a", "c")) == 401
    token = TOKEN.encode()
    assert compared == [(b"guess", token), (token, token), (b"YTpj", b"YTpi")]


async def test_only_post_is_allowed(waits: Waits, app: WebhookEndpoint) -> None:
    """A browser that opens the address gets a 405 with the method to use."""
    for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS"):
        reply = await call(app, f"/{TOKEN}/orders", method=method)
        assert reply == Reply(405, {b"content-length": b"0", b"allow": b"POST"})
    assert waits.orders.ids == []


@pytest.mark.parametrize(("kind", "most"), [("orders", 8 * MIB), ("subscriptions", MIB // 4)])
async def test_a_body_has_a_limit(kind: str, most: int, waits: Waits, app: WebhookEndpoint) -> None:
    """At the limit it is taken, beyond it refused, whether its length is said or found out on the way."""
    body = SUBSCRIPTION if kind == "subscriptions" else ORDER
    path, exact = f"/{TOKEN}/{kind}", body + b" " * (most - len(body))
    assert await status_of(app, path, (exact[:100], exact[100:])) == 204
    assert await status_of(app, path, (exact, b" ")) == 413
    reply = await call(app, path, headers=[(b"content-length", b"%d" % (most + 1))])
    assert reply == Reply(413, {b"content-length": b"0", b"connection": b"close"})
    assert await status_of(app, path, headers=[(b"content-length", b"9" * 5000)]) == 413
    assert len(waits.orders.ids + waits.subscriptions.ids) == 1


async def test_nothing_beyond_the_limit_is_kept(app: WebhookEndpoint) -> None:
    """A body without end is left after the limit."""
    pieces = 0

    def endless() -> Iterable[bytes]:
        nonlocal pieces
        while True:
            pieces += 1
            yield bytes(MIB)

    assert await status_of(app, f"/{TOKEN}/orders", endless()) == 413
    assert pieces == 9


async def test_a_slow_body_is_not_waited_for(
    app: WebhookEndpoint, waits: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """408 when its time is over, however it trickles; others are served concurrently."""
    monkeypatch.setattr("planet_async.webhooks._BODY_SECONDS", 0.2)

    async def receive() -> Message:
        await anyio.sleep(0.01)
        return {"type": "http.request", "body": b" ", "more_body": True}

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": f"/{TOKEN}/orders", "headers": []}
    async with anyio.create_task_group() as group:
        for _ in range(200):
            group.start_soon(app, scope, receive, send)
        await settle()
        assert await status_of(app, f"/{TOKEN}/orders") == 204
    assert [message["status"] for message in sent if "status" in message] == [408] * 200
    assert len(waits.orders.ids) == 1


async def test_all_bodies_together_have_a_limit(app: WebhookEndpoint) -> None:
    """Those that would take more memory are refused, and later ones served again."""
    gate = anyio.Event()
    statuses: list[int] = []

    async def post() -> None:
        pieces = iter([bytes(7 * MIB)])
        sent: list[Message] = []

        async def receive() -> Message:
            for piece in pieces:
                return {"type": "http.request", "body": piece, "more_body": True}
            await gate.wait()
            return {"type": "http.request"}

        async def send(message: Message) -> None:
            sent.append(message)

        await app(
            {"type": "http", "method": "POST", "path": f"/{TOKEN}/orders", "headers": []}, receive, send
        )
        statuses.append(sent[0]["status"])

    async with anyio.create_task_group() as group:
        for _ in range(12):
            group.start_soon(post)
        await settle()
        assert statuses == [503] * 3
        gate.set()
    assert statuses == [503] * 3 + [400] * 9
    assert await status_of(app, f"/{TOKEN}/orders") == 204


@pytest.mark.no_cover
@pytest.mark.parametrize("kind", ["orders", "subscriptions"])
@pytest.mark.parametrize(("anyio_backend", "filling"), [("asyncio", b"[],"), ("trio", b"{},")])
async def test_a_body_of_many_small_parts_takes_little_memory(
    kind: str, filling: bytes, app: WebhookEndpoint
) -> None:
    """Megabytes of lists would be hundreds of megabytes as objects of Python."""
    most = {"orders": 8 * MIB, "subscriptions": MIB // 4}[kind]
    inside = (filling * (most // 3 - 10))[:-1]
    for body in (b'{"order_id": "x", "items": [%b]}', b"[%b]", b'{"order_id": [%b]}', b'{"name": [[%b]]}'):
        tracemalloc.start()
        try:
            await status_of(app, f"/{TOKEN}/{kind}", body % inside)
            assert tracemalloc.get_traced_memory()[1] < 6 * 8 * MIB
        finally:
            tracemalloc.stop()


async def test_an_async_callback_is_awaited() -> None:
    """What it raises leads to a 500, as for any other."""
    events: list[object] = []

    async def on_event(event: object) -> None:
        await anyio.lowlevel.checkpoint()
        events.append(event)
        if len(events) > 1:
            raise ValueError("once is enough")

    app = WebhookEndpoint(on_event=on_event, token=TOKEN)
    assert await status_of(app, f"/{TOKEN}/orders") == 204
    assert await status_of(app, f"/{TOKEN}/orders") == 500


async def test_what_cannot_be_parsed_is_refused(
    waits: Waits, app: WebhookEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    """400 for a body that names nothing, and a line in the log without secrets."""
    for body in (b"", b"{}", b"\xff", b'{"x":"?token=AAA.BBB"'):
        assert await status_of(app, f"/{TOKEN}/orders", body) == 400
        assert await status_of(app, f"/{TOKEN}/subscriptions", body) == 400
    assert waits.orders.ids == waits.subscriptions.ids == []
    assert "refused a notification" in caplog.text
    assert "AAA" not in caplog.text
    assert TOKEN not in caplog.text


async def test_an_error_of_a_callback_ends_here(waits: Waits, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and the response is 500; the waits poll all the same."""

    def broken(_: object) -> None:
        raise RuntimeError("the callback is broken")

    app = WebhookEndpoint(waits, broken, token=TOKEN)
    with caplog.at_level(logging.ERROR):
        assert await status_of(app, f"/{TOKEN}/orders") == 500
    assert "the callback is broken" in caplog.text
    assert TOKEN not in caplog.text
    assert waits.orders.ids == ["o1"]


async def test_a_client_that_hangs_up_is_no_error(waits: Waits, app: WebhookEndpoint) -> None:
    """In the middle of the body nothing is polled; a response that cannot be sent changes nothing."""
    assert await call(app, f"/{TOKEN}/orders", ORDER[:9], hang_up=True) is None
    assert waits.orders.ids == []

    async def receive() -> Message:
        return {"type": "http.request", "body": ORDER}

    async def send(_: Message) -> None:
        raise OSError("gone")

    await app({"type": "http", "method": "POST", "path": f"/{TOKEN}/orders", "headers": []}, receive, send)
    assert waits.orders.ids == ["o1"]


async def test_other_scopes_do_no_harm(app: WebhookEndpoint) -> None:
    """As the whole application it starts and stops; a websocket is refused; what is unknown is ignored."""
    messages = iter(["lifespan.startup", "lifespan.shutdown"])
    sent: list[str] = []

    async def receive() -> Message:
        return {"type": next(messages)}

    async def send(message: Message) -> None:
        sent.append(message["type"])

    await app({"type": "lifespan"}, receive, send)
    await app({"type": "websocket", "path": f"/{TOKEN}/orders"}, receive, send)
    await app({"type": "something"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete", "websocket.close"]


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"token": ""},
        {"token": "short"},
        {"token": "spaces are no part of it"},
        {"token": "slashes/are/no/part/of/it"},
        {"token": TOKEN + "\n"},
        {"token": "a" * 40},
        {"token": "ab" * 20},
        {"token": "abcdefghijklmnopqrstuvwxyz"},
        {"token": "01234567890123456789"},
        {"token": "changemechangemechangeme"},
        {"token": b"bytes-are-no-token-000000"},
        {"basic": "planet:secret"},
        {"basic": ("planet", 7)},
        {"basic": ("planet", "half \udce9")},
        {"token": TOKEN, "on_event": "print"},
        {"basic": ("", "secret")},
        {"basic": ("planet", "")},
        {"basic": ("pla:net", "secret")},
    ],
)
def test_an_endpoint_without_a_good_secret_is_not_made(how: dict[str, Any], waits: Waits) -> None:
    """Without a secret, or with one that cannot work, it is refused; the message shows none of it."""
    with pytest.raises(InvalidRequest) as caught:
        WebhookEndpoint(waits, **how)
    assert not any(value in str(caught.value) for value in ("pla:net", "slashes", "spaces", TOKEN))
    with pytest.raises(InvalidRequest, match="pass a client"):
        WebhookEndpoint(token=TOKEN)


def test_its_repr_shows_no_secret(waits: Waits) -> None:
    """It may be logged."""
    shown = repr(WebhookEndpoint(waits, token=TOKEN, basic=("planet", "s3cret")))
    assert TOKEN not in shown
    assert "s3cret" not in shown


class InMemory:
    """A transport that calls an application in process."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.statuses: list[int] = []

    async def send(self, request: Request) -> Response:
        headers = [(name.encode(), value.encode()) for name, value in request.headers.items()]
        path = "/" + request.url.split("/", 3)[3]
        reply = await call(self._app, path, request.body or b"", method=request.method, headers=headers)
        assert reply is not None
        self.statuses.append(reply.status)
        return Response(reply.status, url=request.url)

    async def aclose(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize("per_order", [True, False])
async def test_a_notification_comes_when_the_order_ends(per_order: bool, waits: Waits) -> None:
    """In virtual time: the endpoint tells at the second of the change, and the order is read back."""
    clock = FakeClock()
    simulator = Simulator(clock=clock, plan=OrderPlan(queue_seconds=60, run_seconds=600))
    network = InMemory(WebhookEndpoint(waits, basic=("planet", "p@ss")))
    webhook = {"url": "https://planet:p%40ss@example.com/orders", "per_order": per_order}
    async with (
        Planet(Config(), credentials=ApiKey("any"), transport=simulator, clock=clock) as planet,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(simulator.post_notifications, network)
        order = await planet.orders.create(scenes(notifications={"webhook": webhook}))
        await waits.orders.heard.wait()
        while (await planet.orders.get(order.id)).state != "success":
            waits.orders.heard = anyio.Event()
            await waits.orders.heard.wait()
        tasks.cancel_scope.cancel()
    assert 660 <= clock.monotonic() <= 661
    assert set(waits.orders.ids) == {order.id}
    assert (len(waits.orders.ids) == 1) == per_order
    assert set(network.statuses) == {204}


async def test_a_subscription_notifies_too(waits: Waits) -> None:
    """A subscription tells of its status on the path for subscriptions."""
    clock = FakeClock()
    simulator = Simulator(clock=clock, subscription_plan=SubscriptionPlan(prepare_seconds=30))
    network = InMemory(WebhookEndpoint(waits, token=TOKEN))
    webhook = {"url": f"https://example.com/{TOKEN}/subscriptions", "topics": ["status.pending"]}
    async with (
        Planet(Config(), credentials=ApiKey("any"), transport=simulator, clock=clock) as planet,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(simulator.post_notifications, network)
        subscription = await planet.subscriptions.create(catalog(notifications={"webhook": webhook}))
        await waits.subscriptions.heard.wait()
        tasks.cancel_scope.cancel()
    assert waits.subscriptions.ids == [subscription.id]
    assert 30 <= clock.monotonic() <= 31


async def test_a_wait_ends_with_the_notification() -> None:
    """Long before its next poll; one that lies changes nothing, since the order is read back."""
    clock = FakeClock()
    simulator = Simulator(clock=clock, plan=OrderPlan(queue_seconds=60, run_seconds=600))
    config = Config(schedule=Schedule(first=3600, longest=3600))
    async with (
        Planet(config, credentials=ApiKey("any"), transport=simulator, clock=clock) as planet,
        anyio.create_task_group() as tasks,
    ):
        app = WebhookEndpoint(planet, token=TOKEN)
        tasks.start_soon(simulator.post_notifications, InMemory(app))
        webhook = {"url": f"https://example.com/{TOKEN}/orders", "per_order": True}
        order = await planet.orders.create(scenes(notifications={"webhook": webhook}))

        async def lie() -> None:
            await clock.sleep(100)
            said = {**order.raw, "state": "success"}
            assert await status_of(app, f"/{TOKEN}/orders", msgspec.json.encode(said)) == 204
            assert await status_of(app, f"/{TOKEN}/orders", ORDER) == 204

        tasks.start_soon(lie)
        ended = await planet.orders.wait(order.id)
        tasks.cancel_scope.cancel()
    assert ended.state == "success"
    assert 660 <= clock.monotonic() <= 663


@asynccontextmanager
async def served(app: Any) -> AsyncIterator[str]:
    """Serve an application on loopback with uvicorn, as a user would; yield its address."""
    config = uvicorn.Config(app, lifespan="off", log_config=None)
    config.load()
    state = ServerState()
    listener = socket.create_server(("127.0.0.1", 0))
    protocol: Any = config.http_protocol_class
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: protocol(config=config, server_state=state, app_state={}), sock=listener
    )
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        for connection in list(state.connections):
            connection.transport.abort()
        server.close()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("mounts", [(), ("/planet",), ("/a", "/b/planet")])
async def test_mounted_in_starlette_over_http(mounts: tuple[str, ...], waits: Waits) -> None:
    """The simulator posts over real HTTP to the endpoint, wherever it is mounted."""
    app: Any = WebhookEndpoint(waits, token=TOKEN)
    for mount in reversed(mounts):
        app = Starlette(routes=[Mount(mount, app=app)])
    simulator = Simulator(clock=SystemClock(), plan=OrderPlan(queue_seconds=0, run_seconds=0))
    network = HttpxTransport()
    async with (
        served(app) as url,
        Planet(Config(), credentials=ApiKey("any"), transport=simulator) as planet,
        anyio.create_task_group() as tasks,
    ):
        address = f"{url}{''.join(mounts)}/{TOKEN}/orders"
        tasks.start_soon(simulator.post_notifications, network, 0.01)
        webhook = {"url": address, "per_order": True}
        order = await planet.orders.create(scenes(notifications={"webhook": webhook}))
        with anyio.fail_after(10):
            await waits.orders.heard.wait()
        get = await network.send(Request("GET", address))
        assert (get.status, get.headers["allow"], await get.read()) == (405, "POST", b"")
        wrong = await network.send(Request("POST", f"{url}{''.join(mounts)}/{TOKEN[1:]}/orders", body=ORDER))
        assert (wrong.status, await wrong.read()) == (404, b"")
        tasks.cancel_scope.cancel()
    await network.aclose()
    assert waits.orders.ids == [order.id]


async def test_a_receiver_that_is_away_misses_only_that_call(waits: Waits) -> None:
    """The simulator goes on: sending is best effort, and nothing is sent again."""

    class Away(InMemory):
        async def send(self, request: Request) -> Response:
            if not self.statuses:
                self.statuses.append(0)
                raise PlanetError("away")
            return await super().send(request)

    clock = FakeClock()
    simulator = Simulator(clock=clock, plan=OrderPlan(queue_seconds=0, run_seconds=0))
    webhook = {"url": f"https://example.com/{TOKEN}/orders", "per_order": True}
    async with (
        Planet(Config(), credentials=ApiKey("any"), transport=simulator, clock=clock) as planet,
        anyio.create_task_group() as tasks,
    ):
        await planet.orders.create(scenes(notifications={"webhook": webhook}))
        last = await planet.orders.create(scenes(notifications={"webhook": webhook}))
        tasks.start_soon(simulator.post_notifications, Away(WebhookEndpoint(waits, token=TOKEN)))
        await waits.orders.heard.wait()
        tasks.cancel_scope.cancel()
    assert waits.orders.ids == [last.id]
