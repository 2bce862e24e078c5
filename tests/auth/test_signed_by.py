"""Authentication made for httpx, signing requests of ours."""

import threading
from collections.abc import AsyncGenerator, Generator
from typing import Any

import anyio
import httpx
import planet
import pytest

from planet_async import (
    Config,
    ConnectError,
    InvalidRequest,
    NotFound,
    Planet,
    Request,
    Response,
    SignedBy,
    Unauthorized,
)
from planet_async.simulator import Limits, Simulator
from planet_async.testing import FakeClock, FakeTransport, reply

pytestmark = pytest.mark.anyio

KEY = "PLAKexample0123456789secret"


def client(auth: Any, transport: FakeTransport) -> Planet:
    return Planet(Config(rates={}), credentials=SignedBy(auth), transport=transport, clock=FakeClock())


async def test_the_official_clients_auth_opens_the_door() -> None:
    """A key in the official client's own object is good for a simulator that knows only that key."""
    clock = FakeClock()
    simulator = Simulator(clock=clock, api_key=KEY, limits=Limits.unlimited())
    for key, error in ((KEY, NotFound), ("another", Unauthorized)):
        auth = SignedBy(planet.Auth.from_key(key))
        async with Planet(credentials=auth, transport=simulator, clock=clock) as client:
            assert (await client.orders.stats()).user.queued_orders == 0 if key == KEY else True
            with pytest.raises(error):
                await client.orders.get("00000000-0000-4000-8000-000000000000")
    assert simulator.open_responses == 0


async def test_an_auth_of_httpx_signs_and_changes_nothing_else() -> None:
    """Headers, query and body are sent as they were, with the header of the object beside them."""
    transport = FakeTransport([reply()])
    await client(httpx.BasicAuth("user", "word"), transport).request(
        "POST", "/x", params=[("state", "a b"), ("state", "c")], json={"a": 1}
    )
    request = transport.requests[0]
    assert request.headers["authorization"] == "Basic dXNlcjp3b3Jk"
    assert request.headers["content-type"] == "application/json"
    assert (request.method, request.url) == ("POST", "https://api.planet.com/x")
    assert request.params == (("state", "a b"), ("state", "c"))
    assert request.body == b'{"a":1}'
    assert not request.headers.keys() & {"host", "content-length"}
    assert request.operation == "x.request"
    assert not request.repeatable


class Asking(httpx.Auth):
    """Fetches a token with a request of its own, then signs; reads the answers whole."""

    requires_response_body = True

    def __init__(self) -> None:
        self.threads: set[int] = set()
        self.answers: list[tuple[int, bytes]] = []

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        self.threads.add(threading.get_ident())
        answer = yield httpx.Request("POST", "https://login.example/token?a=1", data={"who": "me"})
        request.headers["Authorization"] = f"Bearer {answer.json()['token']}"
        answer = yield request
        self.answers.append((answer.status_code, answer.content))
        if answer.status_code == 401:
            request.headers["Authorization"] = "Bearer second"
            yield request


async def test_a_flow_may_ask_for_more() -> None:
    """Each request that the object yields is sent, with the answer handed back; the last answer counts."""
    auth = Asking()
    transport = FakeTransport([reply(json={"token": "first"}), reply(401, body="no"), reply(body="yes")])
    response = await client(auth, transport).request("GET", "/x")
    assert await response.read() == b"yes"
    login, first, second = transport.requests
    assert (login.method, login.url, login.body) == ("POST", "https://login.example/token?a=1", b"who=me")
    assert login.headers["content-type"] == "application/x-www-form-urlencoded"
    assert first.headers["authorization"] == "Bearer first"
    assert second.headers["authorization"] == "Bearer second"
    assert auth.answers == [(401, b"no")]
    assert transport.open_responses == 0


async def test_an_answer_that_does_not_count_is_closed_unread() -> None:
    """A refusal that the object answers with another try holds no connection."""

    class Twice(httpx.Auth):
        def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
            answer = yield request
            assert answer.status_code == 401
            yield request

    transport = FakeTransport([reply(401, chunks=[b"no"]), reply(body="yes")])
    response = await client(Twice(), transport).request("GET", "/x")
    assert await response.read() == b"yes"
    assert transport.open_responses == 0


async def test_a_flow_that_may_block_runs_in_a_thread_one_at_a_time() -> None:
    """It may read files or fetch tokens; and its object need not be made for several threads."""

    class Counting(httpx.Auth):
        inside = most = 0
        threads: set[int] = set()  # noqa: RUF012 - of one test

        def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
            self.inside += 1
            self.most = max(self.most, self.inside)
            self.threads.add(threading.get_ident())
            threading.Event().wait(0.001)
            self.inside -= 1
            yield request

    auth = Counting()
    client_ = client(auth, FakeTransport(lambda _: reply()))

    async def call() -> None:
        await client_.request("GET", "/x")

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(call)
    assert auth.most == 1
    assert threading.get_ident() not in auth.threads


async def test_an_asynchronous_flow_is_used_where_there_is_one() -> None:
    """An object that knows async is not sent to a thread."""
    closed = []

    class Async(httpx.Auth):
        async def async_auth_flow(
            self, request: httpx.Request
        ) -> AsyncGenerator[httpx.Request, httpx.Response]:
            assert threading.current_thread() is threading.main_thread()
            await anyio.lowlevel.checkpoint()
            request.headers["Authorization"] = "Bearer async"
            try:
                yield request
            finally:
                closed.append(True)

    transport = FakeTransport([reply(), ConnectError("gone")])
    signed = SignedBy(Async()).sign(transport, FakeClock())
    await (await signed.send(Request("GET", "https://api.planet.com/x"))).aclose()
    assert transport.requests[0].headers["authorization"] == "Bearer async"
    with pytest.raises(ConnectError):
        await signed.send(Request("GET", "https://api.planet.com/x"))
    assert closed == [True, True]
    await signed.aclose()
    assert transport.closed


async def test_a_signature_in_the_address_is_sent() -> None:
    """An object may sign by the query; what was in it stays."""

    class Query(httpx.Auth):
        def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
            request.url = request.url.copy_add_param("signature", "5")
            yield request

    transport = FakeTransport([reply(), reply()])
    await client(Query(), transport).request("GET", "/x", params={"a": "1"})
    await client(Query(), transport).request("GET", "/x?b=2", params={"a": "1"})
    assert [request.url.partition("?")[2] for request in transport.requests] == [
        "a=1&signature=5",
        "b=2&a=1&signature=5",
    ]
    assert transport.requests[0].params == ()


async def test_a_plain_object_will_do() -> None:
    """It need not come from httpx: `auth_flow` is all that it takes; the body of a stream stays unread."""

    class Plain:
        def auth_flow(self, r: Any) -> Generator[Any, Any, None]:
            r.headers["x-token"] = "5"
            yield r

    transport = FakeTransport([reply(chunks=[b"a", b"b"])])
    signed = SignedBy(Plain()).sign(transport, FakeClock())
    response: Response = await signed.send(Request("GET", "https://api.planet.com/x", stream=True))
    assert transport.requests[0].headers == {"x-token": "5"}
    assert transport.requests[0].stream
    assert await response.read() == b"ab"


class Failing(httpx.Auth):
    def __init__(self, error: Exception | None) -> None:
        self.error = error

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if self.error is not None:
            raise self.error
        yield from ()


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (RuntimeError(KEY), InvalidRequest, "Failing could not sign the request: RuntimeError.*Log in again"),
        (OSError(KEY), ConnectError, "Failing could not sign the request: OSError"),
        (httpx.ReadTimeout(KEY), ConnectError, "Failing could not sign the request: ReadTimeout"),
        (Unauthorized("no", status=401), Unauthorized, "no"),
    ],
)
async def test_what_the_object_raises_becomes_an_error_of_ours(
    error: Exception, kind: type[Exception], says: str
) -> None:
    """Nothing was sent; the cause is kept, and its text, which may hold a secret, is not repeated."""
    transport = FakeTransport([])
    with pytest.raises(kind, match=says) as caught:
        await (
            SignedBy(Failing(error))
            .sign(transport, FakeClock())
            .send(Request("POST", "https://api.planet.com/x"))
        )
    assert KEY not in str(caught.value)
    assert caught.value is error or caught.value.__cause__ is error
    assert not getattr(caught.value, "may_have_acted", True)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
async def test_a_flow_that_yields_nothing_is_an_error() -> None:
    """There is no answer to give then."""

    class Nothing:
        def auth_flow(self, request: Any) -> Generator[Any, Any, None]:
            yield from ()

    with pytest.raises(InvalidRequest, match="Nothing returned nothing to send"):
        await client(Nothing(), FakeTransport([])).request("GET", "/x")


@pytest.mark.parametrize("value", [None, KEY, object()])
def test_what_cannot_sign_is_refused(value: Any) -> None:
    """A key is no such object; and it is not shown."""
    with pytest.raises(InvalidRequest, match="expected an object with `auth_flow`") as caught:
        SignedBy(value)
    assert KEY not in str(caught.value)


def test_the_repr_tells_the_class_only() -> None:
    """Whatever the object's own repr shows."""

    class Talkative(httpx.BasicAuth):
        def __repr__(self) -> str:
            return KEY

    assert "Talkative" in repr(SignedBy(Talkative("a", "b")))
    assert KEY not in repr(SignedBy(Talkative("a", "b")))
