"""One client in several event loops, one after the other and at once, on every transport."""

import asyncio
import gc
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import anyio
import httpx
import httpx2
import pytest
import trio

from planet_async import (
    ApiKey,
    ClientClosed,
    ClientCredentials,
    Config,
    InvalidRequest,
    OrderState,
    Planet,
    Schedule,
)
from planet_async.simulator import Limits, OrderPlan, Simulator
from planet_async.simulator.server import serve
from planet_async.transports import TransportName
from transports.on_loopback import KEY, OK, Received, Stream, eventually, planet, served, soon

pytestmark = pytest.mark.parametrize(
    "network", ["httpx", pytest.param("httpx2", marks=pytest.mark.no_cover), "aiohttp"]
)

REQUEST = {
    "name": "field 7",
    "products": [
        {"item_ids": ["20221221_084022_18_2414"], "item_type": "PSScene", "product_bundle": "analytic_udm2"}
    ],
}
THREADS = 8


@pytest.fixture
def simulator() -> Simulator:
    return Simulator(limits=Limits.unlimited(), plan=OrderPlan(queue_seconds=0, run_seconds=0))


@pytest.fixture
def client(simulator: Simulator, network: TransportName) -> Iterator[Planet]:
    """Return a client that is made outside of any event loop, and never closed."""
    with serve(simulator) as url:
        yield Planet(config(url), credentials=ApiKey(KEY), transport=network)


def config(url: str) -> Config:
    often = Schedule(first=0.01, factor=1, longest=0.01)
    return Config(base_url=url, rates={}, schedule=often, first_backoff=0.001, longest_backoff=0.001)


async def work(client: Planet, name: str) -> None:
    """Get, create, list and wait."""
    made = await client.orders.create({**REQUEST, "name": name})
    assert (await client.orders.get(made.id)).name == name
    assert made.id in [order.id async for order in client.orders.list()]
    assert (await client.orders.wait(made.id)).state == OrderState.SUCCESS
    assert [order.id async for order in client.orders.wait_many([made.id])] == [made.id]


def assert_created(simulator: Simulator, times: int) -> None:
    """Each create was one request, and made one order."""
    assert simulator.requests["orders.create"] == times


# --- one after the other


def test_a_client_works_in_one_run_after_the_other(client: Planet, simulator: Simulator) -> None:
    """`asyncio.run` four times, as in scripts, notebooks and workers."""
    for number in range(4):
        asyncio.run(work(client, f"run {number}"))
    assert_created(simulator, 4)


def test_a_client_works_in_one_thread_after_the_other(client: Planet, simulator: Simulator) -> None:
    """As in web frameworks that run each request in a thread."""
    for number in range(4):
        thread = threading.Thread(target=asyncio.run, args=(work(client, f"thread {number}"),))
        thread.start()
        thread.join()
    assert_created(simulator, 4)


# asyncio warns of the connections that it leaves open itself.
leaving_connections = pytest.mark.filterwarnings("ignore::ResourceWarning")


@leaving_connections
def test_a_client_outlives_loops_that_are_closed_only(client: Planet, simulator: Simulator) -> None:
    """`loop.close()` without `loop.shutdown_asyncgens()` leaves connections open."""
    for number in range(3):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(work(client, f"loop {number}"))
        loop.close()
    asyncio.run(work(client, "run"))
    gc.collect()
    assert_created(simulator, 4)


def test_a_client_works_on_trio_after_asyncio(
    client: Planet, simulator: Simulator, network: TransportName
) -> None:
    """And the other way round; aiohttp says that it does not."""
    asyncio.run(work(client, "asyncio"))
    if network == "aiohttp":
        with pytest.raises(InvalidRequest, match="asyncio only"):
            trio.run(work, client, "trio")
        return
    trio.run(work, client, "trio")
    asyncio.run(work(client, "asyncio again"))
    trio.run(work, client, "trio again")
    assert_created(simulator, 4)


# anyio's own: a connection that is cancelled before it was begun.
@pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <coroutine object connect_tcp:pytest.PytestUnraisableExceptionWarning"
)
@pytest.mark.filterwarnings("ignore:coroutine 'connect_tcp.*' was never awaited:RuntimeWarning")
def test_a_call_that_ends_with_its_loop_leaves_the_client_sound(client: Planet, simulator: Simulator) -> None:
    """A task that `asyncio.run` cancels at its end leaves nothing that the next one stumbles over."""

    async def leave_behind() -> None:
        await client.orders.stats()
        tasks = [asyncio.create_task(work(client, f"left {number}")) for number in range(20)]
        await asyncio.sleep(0.01)
        del tasks

    for _ in range(3):
        asyncio.run(leave_behind())
    asyncio.run(work(client, "run"))
    # What was left behind may still arrive: only the orders of the last call are counted.
    assert [order.request["name"] for order in simulator.orders.values()].count("run") == 1


# --- at once


def at_once(*calls: Callable[[], object]) -> None:
    """Run each in a thread, all begun before one goes on; raise what one raises."""
    ready = threading.Barrier(len(calls))

    def run(call: Callable[[], object]) -> None:
        ready.wait()
        call()

    with ThreadPoolExecutor(len(calls)) as pool:
        for done in [pool.submit(run, call) for call in calls]:
            done.result(60)


def test_a_client_works_in_eight_threads_at_once(client: Planet, simulator: Simulator) -> None:
    """Each with an event loop of its own; and once more, with connections and loops that were left."""

    def run(number: int) -> Callable[[], object]:
        return lambda: asyncio.run(work(client, f"thread {number}"))

    for round_ in range(2):
        at_once(*(run(THREADS * round_ + number) for number in range(THREADS)))
    assert_created(simulator, 2 * THREADS)


def test_two_loops_wait_for_the_same_order(client: Planet) -> None:
    """Each polls for itself, and both are told."""
    made = asyncio.run(client.orders.create(REQUEST))
    states: list[str] = []

    async def wait() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(waited)

    async def waited() -> None:
        states.append((await client.orders.wait(made.id)).state)

    at_once(lambda: asyncio.run(wait()), lambda: asyncio.run(wait()))
    assert states == [OrderState.SUCCESS] * 6


# --- with a token


async def token_or_answer(received: Received, stream: Stream) -> None:
    if received.target == "/token":
        body = json.dumps({"access_token": "a-token", "expires_in": 3600})
    else:
        assert received.header("authorization") == "Bearer a-token"
        body = "{}"
    await stream.send(f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode())


@pytest.mark.parametrize("side_by_side", [False, True])
def test_a_token_is_fetched_in_whichever_loop(network: TransportName, *, side_by_side: bool) -> None:
    """It is used in all of them, and fetched no more than once in each."""
    with served(token_or_answer) as server:
        credentials = ClientCredentials("machine", "secret-of-machine", token_url=f"{server.url}/token")
        client = Planet(config(server.url), credentials=credentials, transport=network)

        async def ask() -> None:
            async with anyio.create_task_group() as group:
                for _ in range(5):
                    group.start_soon(client.request, "POST", "/x")

        def in_a_loop_of_its_own() -> None:
            asyncio.run(ask())

        calls = [in_a_loop_of_its_own] * 4
        if side_by_side:
            at_once(*calls)
        else:
            for call in calls:
                call()
        sent = [(each.method, each.target) for each in server.requests]
        assert sent.count(("POST", "/x")) == 20
        assert sent.count(("POST", "/token")) <= (4 if side_by_side else 1)


# --- what is left


@pytest.mark.no_cover
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_connections_are_closed_when_their_loop_ends(network: TransportName, backend: str) -> None:
    """Without a close of the client, nothing warns, and the server sees them closed."""
    if (network, backend) == ("aiohttp", "trio"):
        pytest.skip("aiohttp runs on asyncio only")
    with served() as server:
        client = planet(network, config(server.url))

        async def ask() -> None:
            async with anyio.create_task_group() as group:
                for _ in range(5):
                    group.start_soon(client.request, "GET", "/x")
            assert server.open > 0

        for _ in range(3):
            anyio.run(ask, backend=backend)
            soon(lambda: server.open == 0, "the connections are closed")
        gc.collect()  # a ResourceWarning would be an error


@leaving_connections
def test_connections_of_a_loop_that_is_closed_only_are_closed(network: TransportName) -> None:
    """At the latest when the client is used in another one."""
    with served() as server:
        client = planet(network, config(server.url))
        loop = asyncio.new_event_loop()
        loop.run_until_complete(client.request("GET", "/x"))
        loop.close()
        asyncio.run(client.request("GET", "/x"))
        gc.collect()
        soon(lambda: server.open == 0, "the connections are closed")
        assert server.connections == 2


# --- a user's own client


@asynccontextmanager
async def own_client(network: TransportName) -> Any:
    if network == "aiohttp":
        async with aiohttp.ClientSession() as session:
            yield session
    else:
        async with (httpx if network == "httpx" else httpx2).AsyncClient() as client:
            yield client


def test_a_users_client_serves_one_loop(network: TransportName) -> None:
    """In a second one nothing is sent: it would raise a bare error, perhaps after having sent."""
    with served() as server:

        async def first() -> Planet:
            opened = own_client(network)
            client = Planet(config(server.url), credentials=ApiKey(KEY), transport=await opened.__aenter__())
            await client.request("POST", "/x")
            closing.append(opened)
            return client

        closing: list[Any] = []
        loop = asyncio.new_event_loop()
        client = loop.run_until_complete(first())
        for _ in range(2):
            with pytest.raises(InvalidRequest, match="another event loop") as caught:
                asyncio.run(client.request("POST", "/x"))
            assert not caught.value.may_have_acted
        loop.run_until_complete(client.request("POST", "/x"))
        assert len(server.requests) == 2
        loop.run_until_complete(closing[0].__aexit__(None, None, None))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


# --- closed


def test_a_client_closed_in_one_loop_is_closed_in_all(network: TransportName) -> None:
    """A call in another one is refused before anything is sent; closing again does nothing."""
    with served() as server:
        client = planet(network, config(server.url))

        async def use_and_close() -> None:
            await client.request("GET", "/x")
            await client.aclose()
            await eventually(lambda: server.open == 0, "its connections are closed")

        async def use() -> None:
            with pytest.raises(ClientClosed) as caught:
                await client.request("POST", "/x")
            assert not caught.value.may_have_acted

        asyncio.run(use_and_close())
        asyncio.run(use())
        asyncio.run(client.aclose())
        assert len(server.requests) == 1


def test_closing_in_one_loop_lets_the_calls_of_another_end(network: TransportName) -> None:
    """What is under way there is answered, and nothing more begins; neither side hangs."""
    under_way, closed = threading.Event(), threading.Event()

    async def answer_late(_: Received, stream: Stream) -> None:
        under_way.set()
        await eventually(closed.is_set, "the client is closed")
        await stream.send(OK)

    with served(answer_late) as server:
        client = planet(network, config(server.url))

        async def ask() -> None:
            await client.request("GET", "/x")
            with pytest.raises(ClientClosed):
                await client.request("GET", "/x")

        async def close() -> None:
            under_way.wait(30)
            await client.aclose()
            closed.set()

        at_once(lambda: asyncio.run(ask()), lambda: asyncio.run(close()))
        assert len(server.requests) == 1
