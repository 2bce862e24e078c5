"""The connections of the default network: few, to many origins, none of them stale, and cheap to find."""

import sys
from contextlib import AsyncExitStack
from types import FrameType

import anyio
import pytest

from planet_async.config import Config
from planet_async.conformance.call import fetch, get
from planet_async.conformance.loopback import OK, HangUp, Received, Say, loopback, saying
from planet_async.conformance.promise import eventually
from planet_async.transports.httpx import HttpxTransport

pytestmark = pytest.mark.anyio


async def test_as_many_connections_as_allowed_serve_any_number_of_origins() -> None:
    """One that is idle makes room for one to another server."""
    network = HttpxTransport(Config(max_connections=2))
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(loopback(saying(OK))) for _ in range(5)]
        for _ in range(2):
            for server in servers:
                assert await fetch(network, server.url) == b"ok"
                await eventually(lambda: sum(one.open for one in servers) <= 2, "two are open at most")
        await network.aclose()
        await eventually(lambda: not any(one.open for one in servers), "all are closed")


async def test_one_that_is_in_use_is_not_closed_for_another_origin() -> None:
    """Whoever waits for a body keeps the connection, whatever else is asked for."""
    network = HttpxTransport(Config(max_connections=2))
    async with loopback(saying(OK)) as one, loopback(saying(OK)) as other:
        held = await network.send(get(one.url))
        for server in (other, one, other):
            assert await fetch(network, server.url) == b"ok"
        assert await held.read() == b"ok"
        await network.aclose()


async def test_what_the_server_closes_is_forgotten() -> None:
    """A server that closes after each answer costs a connection a request, and no memory."""
    network = HttpxTransport(Config(max_connections=3))
    async with loopback(saying(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nok", hang_up=True)) as server:
        for _ in range(20):
            assert await fetch(network, server.url) == b"ok"
        assert len([*network._connections._all()]) <= 1
        await network.aclose()


async def test_what_comes_back_after_the_end_is_closed() -> None:
    """A response that is still held when the transport is closed gives back a connection to nobody."""
    network = HttpxTransport()
    async with loopback(saying(OK)) as server:
        response = await network.send(get(server.url))
        await network.aclose()
        await response.aclose()
        await eventually(lambda: not server.open, "it is closed")
        assert not [*network._connections._all()]


async def test_a_server_that_hangs_up_on_many_at_once_is_asked_again() -> None:
    """Connections that were closed while idle are seen to be so, each of them."""
    network = HttpxTransport(Config(max_connections=4))
    polite = True

    async def script(_: Received, say: Say) -> None:
        await anyio.sleep(0.01)  # so that all four are in use at once
        await say(OK)
        if not polite:
            raise HangUp

    async with loopback(script) as server:
        for polite in (True, False, True):  # noqa: B007 - the script reads it
            async with anyio.create_task_group() as group:
                for _ in range(8):
                    group.start_soon(fetch, network, server.url)
        assert len(server.requests) == 24
        await network.aclose()


@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
async def test_a_request_costs_the_same_among_many_connections() -> None:
    """Python calls, counted: sixteen open connections add less than a twentieth to those beside one."""
    found: dict[int, float] = {}
    for at_once in (1, 16):
        network, calls = HttpxTransport(), 0

        def count(_: FrameType, event: str, __: object) -> None:
            nonlocal calls
            calls += event == "call"

        async with loopback(saying(OK)) as server:
            held = [await network.send(get(server.url)) for _ in range(at_once)]
            for response in held:
                await response.read()
            before = sys.getprofile()
            sys.setprofile(count)
            try:
                for _ in range(10):
                    await fetch(network, server.url)
            finally:
                sys.setprofile(before)
            assert server.connections == at_once
            await network.aclose()
        found[at_once] = calls
    assert found[16] < 1.05 * found[1]
