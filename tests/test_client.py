import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

import anyio
import pytest
import pytest_asyncio
from spine import API, KEY, cancelled_at_each_step, settle

from planet_async import (
    ApiKey,
    BearerToken,
    ClientClosed,
    ClientCredentials,
    Config,
    DeadlineExceeded,
    InvalidRequest,
    MissingCredentials,
    NotFound,
    Planet,
    PlanetError,
    Request,
    Response,
    ServerError,
    Unauthorized,
    WaitTimeout,
)
from planet_async.errors import ConnectError, ConnectionLost, DecodeError, TransportTimeout
from planet_async.simulator import Fault, Limits, OrderPlan, Simulator
from planet_async.simulator.server import serve
from planet_async.testing import FakeClock, FakeTransport, reply

ORDERS = "/compute/ops/orders/v2"
ORDER_ID = "00000000-0000-4000-8000-000000000001"
ORDER = {
    "name": "field 7",
    "products": [
        {"item_ids": ["20221221_084022_18_2414"], "item_type": "PSScene", "product_bundle": "analytic_udm2"}
    ],
}


def client(transport: FakeTransport | Simulator, clock: FakeClock | None = None, **config: object) -> Planet:
    return Planet(
        Config(rates={}, **config),  # type: ignore[arg-type]
        credentials=ApiKey(KEY),
        transport=transport,
        clock=clock or FakeClock(),
    )


def test_without_a_key_it_says_how_to_pass_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key: an error that names PL_API_KEY, before anything is made."""
    monkeypatch.delenv("PL_API_KEY", raising=False)
    with pytest.raises(MissingCredentials, match="PL_API_KEY"):
        Planet()


@pytest.mark.anyio
async def test_a_key_can_be_passed_as_it_is() -> None:
    """`Planet(api_key=...)` is the same as `Planet(credentials=ApiKey(...))`."""
    sent = []
    for planet, transport in (
        (Planet(api_key=KEY, transport=(network := FakeTransport(lambda _: reply(200)))), network),
        (client(network := FakeTransport(lambda _: reply(200))), network),
    ):
        await planet.request("GET", "/x")
        sent.append(transport.requests[0].headers["authorization"])
    assert sent[0] == sent[1]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"config": KEY}, r"config must be a Config, not 'str'. Pass the key as Planet\(api_key=\"...\"\)"),
        ({"config": {"max_attempts": 1}}, "config must be a Config, not 'dict'"),
        ({"config": {}}, "config must be a Config, not 'dict'"),
        ({"config": Config}, "config must be a Config, not the class planet_async.config.Config"),
        ({"credentials": KEY}, r"credentials must be ApiKey.*'str'. Pass the key as Planet\(api_key="),
        ({"credentials": ("user", KEY)}, "credentials must be ApiKey.*not 'tuple'"),
        ({"credentials": ApiKey}, "credentials must be ApiKey.*not the class"),
        ({"api_key": KEY.encode()}, "must be text, not 'bytes'"),
        ({"api_key": ApiKey(KEY)}, "must be text, not 'planet_async.auth.credentials.ApiKey'"),
        ({"api_key": ""}, r"the key is empty. Set PL_API_KEY or pass Planet\(api_key=\"...\"\)"),
        ({"api_key": KEY, "credentials": ApiKey(KEY)}, "api_key and credentials cannot be given both"),
        ({"api_key": KEY, "transport": 5}, "transport cannot be 'int'"),
    ],
)
def test_a_first_mistake_is_said(arguments: dict[str, Any], text: str) -> None:
    """A value of a wrong type is refused when the client is made: what was expected, and never the value."""
    with pytest.raises(InvalidRequest, match=text) as caught:
        Planet(**arguments)
    for shown in (*_texts(caught.value), str(caught.value)):
        assert KEY not in shown


def test_the_key_in_the_place_of_the_config_is_not_shown() -> None:
    """`Planet("mykey")` says how to pass it, in words without the key."""
    with pytest.raises(InvalidRequest, match=r"Planet\(api_key=\"...\"\)") as caught:
        Planet(KEY)  # type: ignore[arg-type]
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("make", [ApiKey, BearerToken, lambda value: ClientCredentials("id", value)])
def test_a_credential_is_text(make: Callable[[Any], object]) -> None:
    """`ApiKey(os.environ.get("KEY"))` without that variable is an InvalidRequest, no AttributeError."""
    with pytest.raises(InvalidRequest, match="a credential must be text, not 'NoneType'"):
        make(None)


@pytest.mark.anyio
async def test_the_environment_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """`Planet()` takes the key from PL_API_KEY and the address from PL_BASE_URL."""
    monkeypatch.setenv("PL_API_KEY", KEY)
    monkeypatch.setenv("PL_BASE_URL", "http://127.0.0.1:8080/")
    transport = FakeTransport([reply()])
    async with Planet(transport=transport) as planet:
        await planet.request("GET", "/x")
    assert transport.requests[0].url == "http://127.0.0.1:8080/x"
    assert transport.requests[0].headers["authorization"] == ApiKey(KEY).authorization()


def test_a_client_can_be_made_outside_of_an_event_loop(anyio_backend: str, simulated_url: str) -> None:
    """A global of a module: made at import, used later, with its network and all."""
    planet = Planet(Config(base_url=simulated_url), credentials=ApiKey("any"))

    async def main() -> int:
        async with planet:
            return (await planet.orders.stats()).user.queued_orders

    assert anyio.run(main, backend=anyio_backend) == 0


@pytest.fixture
def simulated_url() -> Iterator[str]:
    with serve(
        Simulator(limits=Limits.unlimited(), plan=OrderPlan(queue_seconds=0.05, run_seconds=0.05))
    ) as url:
        yield url


@pytest.mark.anyio
@pytest.mark.parametrize("leave", ["async with", "aclose"])
async def test_closing_closes_the_transport(leave: str) -> None:
    """With `async with` or by hand, connections are freed."""
    transport = FakeTransport([])
    planet = client(transport)
    if leave == "aclose":
        await planet.aclose()
    else:
        async with planet as entered:
            assert entered is planet
    assert transport.closed


@pytest.mark.anyio
async def test_a_view_behaves_otherwise_over_the_same_connections() -> None:
    """`with_options` changes the view alone; both send over the one transport, with the one credential."""
    clock = FakeClock()
    transport = FakeTransport(lambda _: reply(503))
    planet = client(transport, clock, max_attempts=3)
    with pytest.raises(ServerError):
        await planet.with_options(max_attempts=1).request("GET", "/x")
    assert len(transport.requests) == 1
    with pytest.raises(ServerError):
        await planet.request("GET", "/x")
    assert len(transport.requests) == 4
    assert len({request.headers["authorization"] for request in transport.requests}) == 1


@pytest.mark.anyio
async def test_a_call_can_have_a_deadline() -> None:
    """What hangs is given up after the seconds of the view, of any service; a later option takes it away."""
    clock = FakeClock()
    simulator = Simulator(clock=clock, limits=Limits.unlimited())
    simulator.faults.add(Fault(delay=20.0))
    view = client(simulator, clock).with_options(deadline=5)
    for call in (view.orders.stats, view.subscriptions.summary, lambda: view.tasking.list().first()):
        start = clock.monotonic()
        with pytest.raises(DeadlineExceeded, match="within 5 s"):
            await call()
        assert clock.monotonic() == start + 5
    assert (await view.with_options(deadline=None).orders.stats()).user.queued_orders == 0


@pytest.mark.anyio
async def test_views_stand_in_the_line_of_their_client() -> None:
    """The rate is the key's, however many views send."""
    clock = FakeClock()
    transport = FakeTransport(lambda _: reply())
    planet = Planet(credentials=ApiKey(KEY), transport=transport, clock=clock)
    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(planet.with_options(max_attempts=1).request, "GET", ORDERS)
    assert clock.monotonic() == pytest.approx(9 * 1.01 / 3)


@pytest.mark.anyio
async def test_a_view_ends_with_its_client_and_not_the_other_way() -> None:
    """Closing a view closes nothing; closing the client ends the calls of its views."""
    clock = FakeClock()
    transport = FakeTransport(lambda _: reply())
    async with client(transport, clock) as planet:
        async with planet.with_options(deadline=5) as view:
            pass
        assert not transport.closed
        await view.request("GET", "/x")
    assert transport.closed
    with pytest.raises(ClientClosed):
        await view.request("GET", "/x")

    simulator = Simulator(clock=clock)
    simulator.faults.add(Fault(hang=True))
    planet = client(simulator, clock)
    async with anyio.create_task_group() as group:

        async def hangs() -> None:
            with pytest.raises(ClientClosed):
                await planet.with_options(max_attempts=1).orders.stats()

        group.start_soon(hangs)
        await settle()
        await planet.aclose()
    assert clock.monotonic() == 0


@pytest.mark.anyio
async def test_a_wrong_option_is_told() -> None:
    """A name that is no option, and a value that makes no sense, before anything is sent."""
    planet = client(FakeTransport([]))
    with pytest.raises(InvalidRequest, match=r"not an option of a call: base_url.*deadline"):
        planet.with_options(base_url="http://localhost")  # type: ignore[call-arg]
    with pytest.raises(InvalidRequest, match="deadline must be greater than 0"):
        planet.with_options(deadline=0)


@pytest.mark.anyio
async def test_an_endpoint_without_a_method_can_be_asked() -> None:
    """`request` sends what it is told, signed, with the JSON encoded, and gives a body that has been read."""
    transport = FakeTransport([reply(json={"a": 1}), reply(201), reply()])
    async with client(transport) as planet:
        response = await planet.request("get", "/reports/v1/x", params={"a": "1"})
        assert transport.open_responses == 0
        assert await response.read() == b'{"a":1}'
        await planet.request("POST", "/tasking/v2/x", params=[("b", "1"), ("b", "2")], json={"name": "n"})
        await planet.request("GET", f"{API}/compute/ops/x")
    first, second, third = transport.requests
    assert (first.method, first.url, first.params, first.body) == (
        "GET",
        f"{API}/reports/v1/x",
        (("a", "1"),),
        None,
    )
    assert (second.params, second.body) == ((("b", "1"), ("b", "2")), b'{"name":"n"}')
    assert second.headers["content-type"] == "application/json"
    assert not second.repeatable
    assert [r.operation for r in transport.requests] == [
        "reports.request",
        "tasking.request",
        "orders.request",
    ]
    assert all(request.headers["user-agent"].startswith("planet-async/") for request in transport.requests)
    assert third.url == f"{API}/compute/ops/x"


@pytest.mark.anyio
@pytest.mark.parametrize("base", ["", API])
async def test_a_path_with_spaces_and_letters_is_encoded(base: str) -> None:
    """As browsers do; what is encoded stays as it is."""
    transport = FakeTransport([reply()])
    await client(transport).request("GET", f"{base}/a b/größe?x=%2F y")
    assert transport.requests[0].url == f"{API}/a%20b/gr%C3%B6%C3%9Fe?x=%2F%20y"


@pytest.mark.anyio
@pytest.mark.parametrize("as_pairs", [False, True])
async def test_parameters_are_written_as_the_api_reads_them(as_pairs: bool) -> None:
    """None is left out, True is "true", a list repeats its parameter, a time is RFC 3339 in UTC."""
    params = {
        "a": None,
        "b": True,
        "c": ["x", "y"],
        "d": 5,
        "e": 0.5,
        "f": datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))),
        "g": UUID(ORDER_ID),
        "h": (1, None, False),
        "i": [],
        "j": "a,b",
    }
    transport = FakeTransport([reply()])
    await client(transport).request("GET", "/x", params=params.items() if as_pairs else params)
    assert transport.requests[0].params == (
        *(("b", "true"), ("c", "x"), ("c", "y"), ("d", "5"), ("e", "0.5"), ("f", "2026-01-01T00:00:00Z")),
        *(("g", ORDER_ID), ("h", "1"), ("h", "false"), ("j", "a,b")),
    )


@pytest.mark.anyio
@pytest.mark.parametrize(
    "params",
    [{"a": {"b": "c"}}, {"a": b"b"}, {"a": datetime(2026, 1, 1)}, {1: "a"}, [("a", "b", "c")], "ab", 5],  # noqa: DTZ001
)
async def test_parameters_that_cannot_be_written_are_refused(params: Any) -> None:
    """Nothing is sent."""
    transport = FakeTransport([])
    with pytest.raises(InvalidRequest, match="param"):
        await client(transport).request("GET", "/x", params=params)
    assert transport.requests == []


@pytest.mark.anyio
async def test_an_asked_endpoint_fails_as_all_do() -> None:
    """The same errors and retries hold for `request`."""
    transport = FakeTransport([reply(503), reply(404, json={"message": "no such page"})])
    with pytest.raises(NotFound, match="no such page"):
        await client(transport).request("GET", "/x")
    transport = FakeTransport([reply(503)])
    with pytest.raises(ServerError):
        await client(transport).request("POST", "/x")


@pytest.mark.anyio
async def test_another_address_gets_no_credential() -> None:
    """`request` may go anywhere; the key may not."""
    transport = FakeTransport([reply()])
    await client(transport).request("GET", "https://elsewhere.example/x")
    assert "authorization" not in transport.requests[0].headers


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["x", "", "orders/v2", 5])
async def test_a_path_begins_with_a_slash(path: Any) -> None:
    """A path that would be glued to the host is refused before anything is sent."""
    transport = FakeTransport([])
    with pytest.raises(InvalidRequest, match="slash"):
        await client(transport).request("GET", path)
    assert transport.requests == []


@pytest.mark.anyio
async def test_a_download_follows_to_the_storage_without_the_credential(tmp_path: Path) -> None:
    """The storage sees no key; files arrive all the same."""
    clock = FakeClock()
    seen: dict[str, bool] = {}

    class Watched(Simulator):
        async def send(self, request: Request) -> Response:
            seen[request.url.partition("/")[2].strip("/").partition("/")[0]] = (
                "authorization" in request.headers
            )
            return await super().send(request)

    simulator = Watched(clock=clock, limits=Limits.unlimited())
    async with client(simulator, clock) as planet:
        order = await planet.orders.create(ORDER)
        await planet.orders.wait(order.id)
        assert await planet.orders.download(order.id, tmp_path)
    assert seen == {"api.planet.com": True, "storage.planet.example": False}
    assert simulator.open_responses == 0


FAILURES: dict[str, Callable[[], Response | PlanetError]] = {
    "ServerError": lambda: reply(500, body="no"),
    "Unauthorized": lambda: reply(401, json={"message": "Please provide a valid API key"}),
    "ConnectError": lambda: ConnectError("refused"),
    "ConnectionLost": lambda: ConnectionLost("broke off"),
    "TransportTimeout": lambda: TransportTimeout("nothing moved"),
    "DecodeError": lambda: reply(body="<html>"),
}


def _texts(error: BaseException) -> Iterator[str]:
    """Everything that a traceback or a log may show of an error."""
    yield from (
        str(error),
        repr(error),
        repr(error.args),
        repr(vars(error)),
        *getattr(error, "__notes__", ()),
    )
    for other in (error.__cause__, error.__context__):
        if other is not None:
            yield from _texts(other)


@pytest.mark.anyio
@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("credentials", [ApiKey(KEY), ApiKey(KEY, scheme="api-key"), BearerToken(KEY)])
async def test_no_text_shows_the_key(
    failure: str, credentials: ApiKey | BearerToken, caplog: pytest.LogCaptureFixture
) -> None:
    """Not the log at its most talkative, not an error, its causes and notes, not a repr: none has the key."""
    caplog.set_level(logging.DEBUG)
    transport = FakeTransport(lambda _: FAILURES[failure]())
    planet = Planet(Config(max_attempts=2), credentials=credentials, transport=transport, clock=FakeClock())
    with pytest.raises(PlanetError) as caught:
        await planet.orders.get(ORDER_ID)
    secrets = [KEY, credentials.authorization().partition(" ")[2]]
    texts = [*_texts(caught.value), caplog.text, repr(planet), repr(planet.orders), repr(transport.requests)]
    for secret in secrets:
        assert not any(secret in text for text in texts)
        assert secret in transport.requests[0].headers["authorization"] or secret == KEY


@pytest.mark.anyio
async def test_no_text_shows_the_key_over_a_real_socket(
    caplog: pytest.LogCaptureFixture, simulated_url: str
) -> None:
    """Also what httpx and its pool log is without it."""
    caplog.set_level(logging.DEBUG)
    async with Planet(Config(base_url=simulated_url), credentials=ApiKey(KEY)) as planet:
        with pytest.raises(NotFound) as caught:
            await planet.orders.get(ORDER_ID)
    secret = ApiKey(KEY).authorization().partition(" ")[2]
    for text in (*_texts(caught.value), caplog.text):
        assert KEY not in text
        assert secret not in text


def _fault(kind: str) -> Fault:
    return {
        "refused": Fault(refused=True),
        "dropped": Fault(drop=True),
        "dropped after": Fault(drop=True, after=True),
        "hangs": Fault(hang=True),
        "cut": Fault(cut=5),
        "garbage": Fault(body=b"<html>"),
        "truncated": Fault(body=b'{"id": "'),
        "slow": Fault(delay=2.0),
        **{str(status): Fault(status=status, body=b'{"message":"no"}') for status in STATUSES},
        "refusal cut": Fault(status=500, body=b"x" * 100, cut=5),
        "redirected": Fault(status=302, headers={"location": "/round"}),
    }[kind]


STATUSES = (301, 304, 400, 401, 403, 404, 409, 418, 429, 500, 502, 503, 504)
KINDS = [
    *("refused", "dropped", "dropped after", "hangs", "cut", "garbage", "truncated", "slow"),
    *map(str, STATUSES),
    *("refusal cut", "redirected"),
]


@pytest.mark.no_cover
@pytest.mark.anyio
@pytest.mark.parametrize("kind", KINDS)
async def test_whatever_fails_no_response_stays_open(kind: str, tmp_path: Path) -> None:
    """Any status, transport error or broken body, met by any method: success or our error, nothing open."""
    clock = FakeClock()
    simulator = Simulator(clock=clock, limits=Limits.unlimited())
    async with client(simulator, clock, max_attempts=2, retry_for=200) as planet:
        order = await planet.orders.create(ORDER)
        await planet.orders.wait(order.id)
        simulator.faults.add(_fault(kind))
        for call in (
            lambda: planet.orders.create(ORDER),
            lambda: planet.orders.get(order.id),
            lambda: planet.orders.list().collect(),
            lambda: planet.orders.cancel(order.id),
            lambda: planet.orders.cancel_many([order.id]),
            planet.orders.stats,
            lambda: planet.orders.wait(order.id, timeout=100),
            lambda: planet.orders.download(order, tmp_path),
            lambda: planet.request("GET", ORDERS),
        ):
            with suppress(PlanetError):
                await call()
            assert simulator.open_responses == 0


@pytest.mark.no_cover
@pytest.mark.anyio
async def test_cancelled_anywhere_no_response_stays_open(tmp_path: Path) -> None:
    """The main job, cancelled wherever it waits, once at each place: no response is ever left open."""
    clock = FakeClock()
    simulator = Simulator(clock=clock, limits=Limits.unlimited(), file_bytes=64)
    simulator.faults.add(Fault(operation="orders.get", status=503, times=1))
    planet = client(simulator, clock)

    async def job() -> None:
        order = await planet.orders.create(ORDER)
        async for outcome in planet.orders.wait_many([order.id]):
            await planet.orders.download(outcome.unwrap(), tmp_path, overwrite=True)
        async for _ in planet.orders.list(page_size=1):
            break
        with pytest.raises(WaitTimeout):
            await planet.orders.wait((await planet.orders.create(ORDER)).id, timeout=1)

    def check() -> None:
        assert simulator.open_responses == 0

    assert await cancelled_at_each_step(job, check) > 20
    await settle()
    check()


@pytest.mark.anyio
async def test_a_wrong_key_is_told() -> None:
    """A refused credential is Unauthorized, with what to check, after one request."""
    simulator = Simulator(clock=(clock := FakeClock()), api_key="right")
    async with client(simulator, clock) as planet:
        with pytest.raises(Unauthorized, match="Check the API key"):
            await planet.orders.stats()
    assert simulator.requests.total() == 1


@pytest.mark.anyio
async def test_garbage_is_a_decode_error() -> None:
    """HTML in the place of an order is said, with its beginning."""
    with pytest.raises(DecodeError):
        await client(FakeTransport([reply(body="<html>")])).orders.get(ORDER_ID)


# In an asyncio application: fixtures of pytest-asyncio set up and tear down in tasks other than the test's.


@pytest_asyncio.fixture
async def embedded(simulated_url: str) -> AsyncIterator[Planet]:
    config = Config(base_url=simulated_url, rates={}, max_connections=4)
    async with Planet(config, credentials=ApiKey("any")) as planet:
        yield planet


@pytest.mark.asyncio
async def test_tasks_of_an_application_share_a_client(embedded: Planet) -> None:
    """One client serves any number of tasks, more than it has connections."""
    orders = await asyncio.gather(
        *(embedded.orders.create({**ORDER, "name": f"field {n}"}) for n in range(20))
    )
    tasks = [asyncio.create_task(embedded.orders.get(order.id)) for order in orders]
    assert [(await task).name for task in tasks] == [f"field {n}" for n in range(20)]
    assert len(await embedded.orders.list(page_size=3).collect()) == 20


@pytest.mark.asyncio
async def test_asyncios_own_timeouts_and_cancellation_work(embedded: Planet) -> None:
    """`asyncio.timeout`, `wait_for` and `Task.cancel` end a call, and the client goes on working."""
    order = await embedded.orders.create(ORDER)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await embedded.orders.wait(order.id)
    task = asyncio.create_task(embedded.orders.wait(order.id))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await asyncio.wait_for(embedded.orders.get(order.id), 10)).id == order.id


@pytest.mark.asyncio
async def test_a_list_may_be_left_and_a_wait_broken_in_a_task(embedded: Planet) -> None:
    """A `break` in one task disturbs no other, and leaves no task behind."""
    orders = await asyncio.gather(*(embedded.orders.create(ORDER) for _ in range(5)))
    tasks_before = len(asyncio.all_tasks())

    async def look() -> str:
        async for order in embedded.orders.list(page_size=1):
            return order.id
        raise AssertionError("no order")

    assert len(set(await asyncio.gather(look(), look(), look()))) == 1
    async with asyncio.TaskGroup() as group:
        stats = group.create_task(embedded.orders.stats())
        group.create_task(look())
    assert stats.result().user.queued_orders + stats.result().user.running_orders <= len(orders)
    await settle()
    assert len(asyncio.all_tasks()) <= tasks_before


@pytest.mark.anyio
async def test_clients_and_lists_say_what_they_are(planet: Planet) -> None:
    """A notebook shows where requests go and what a list asks for: no secret, and no request for it."""
    assert repr(planet) == "<Planet https://api.planet.com, ApiKey, open>"
    listed = planet.orders.list(state="queued")
    for shown in (repr(listed), listed._repr_html_()):
        assert "orders.list" in shown
        assert "queued" in shown
        assert "any" not in shown
    await planet.aclose()
    assert repr(planet.with_options(deadline=5)).endswith("closed>")
