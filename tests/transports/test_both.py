"""What reliability rests on, through the whole client, on both transports."""

import gc
import logging
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from planet_async import ApiKey, Config, Planet, PlanetError
from planet_async.errors import ClientClosed, ConnectionLost
from planet_async.simulator import Fault, Limits, OrderPlan, Simulator
from planet_async.simulator.server import serve
from planet_async.testing.conformance import HangUp, Received, Say, eventually, loopback
from planet_async.transports import TransportName

pytestmark = pytest.mark.anyio

ORDER = {
    "name": "field 7",
    "products": [
        {"item_ids": ["20221221_084022_18_2414"], "item_type": "PSScene", "product_bundle": "analytic_udm2"}
    ],
}


@pytest.fixture
def simulator() -> Simulator:
    return Simulator(
        limits=Limits.unlimited(), plan=OrderPlan(queue_seconds=0, run_seconds=0), file_bytes=100_000
    )


@pytest.fixture
def url(simulator: Simulator) -> Iterator[str]:
    with serve(simulator) as url:
        yield url


@pytest.fixture(params=["httpx", "aiohttp"])
def transport(request: pytest.FixtureRequest, anyio_backend: str) -> TransportName:
    if request.param == "aiohttp" and anyio_backend == "trio":
        pytest.skip("aiohttp runs on asyncio only")
    name: TransportName = request.param
    return name


def client(url: str, transport: TransportName) -> Planet:
    config = Config(base_url=url, rates={}, first_backoff=0.001, longest_backoff=0.001)
    return Planet(config, credentials=ApiKey("any"), transport=transport)


@pytest.mark.usefixtures("short_pauses")
async def test_a_cut_download_goes_on_where_it_was_cut(
    simulator: Simulator, url: str, transport: TransportName, tmp_path: Path
) -> None:
    """What came before each cut is kept, so that the file arrives, whole and verified."""
    async with client(url, transport) as planet:
        order = await planet.orders.create(ORDER)
        simulator.faults.add(Fault(operation="storage.get", cut=30_000, times=3))
        order = await planet.orders.get(order.id)
        paths = await planet.orders.download(order, to=tmp_path)
    assert all(path.stat().st_size for path in paths)
    assert not list(tmp_path.rglob("*.part"))


async def test_a_get_is_tried_again_and_counted(
    simulator: Simulator, url: str, transport: TransportName
) -> None:
    """Three connections that break off are three tries: none is made behind our back."""
    async with client(url, transport) as planet:
        order = await planet.orders.create(ORDER)
        simulator.faults.add(Fault(operation="orders.get", drop=True, times=3))
        assert (await planet.orders.get(order.id)).id == order.id
    assert simulator.requests["orders.get"] == 4


async def test_a_post_that_breaks_off_is_sent_once(
    simulator: Simulator, url: str, transport: TransportName
) -> None:
    """Whether it was acted on nobody knows: the error says so, and nothing is sent again."""
    async with client(url, transport) as planet:
        simulator.faults.add(Fault(operation="orders.cancel_many", drop=True, after=True))
        with pytest.raises(ConnectionLost) as caught:
            await planet.request("POST", "/compute/ops/bulk/orders/v2/cancel", json={"order_ids": ["x"]})
    assert caught.value.may_have_acted
    assert simulator.requests["orders.cancel_many"] == 1


async def test_closing_ends_the_calls_under_way(
    simulator: Simulator, url: str, transport: TransportName
) -> None:
    """Each ends as ClientClosed, and so does every later one."""
    ended: list[PlanetError] = []
    planet = client(url, transport)
    order = await planet.orders.create(ORDER)
    simulator.faults.add(Fault(operation="orders.get", hang=True, times=3))

    async def ask() -> None:
        with pytest.raises(ClientClosed) as caught:
            await planet.orders.get(order.id)
        ended.append(caught.value)

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(ask)
        await eventually(lambda: simulator.requests["orders.get"] == 3, "all have arrived")
        await planet.aclose()
    await ask()
    assert len(ended) == 4


async def test_what_fails_leaves_no_garbage(
    transport: TransportName, caplog: pytest.LogCaptureFixture
) -> None:
    """An error that kept itself would keep all that was read until Python collects, which counts no bytes."""
    caplog.set_level(logging.CRITICAL, "planet_async")  # pytest keeps the records

    async def script(_: Received, say: Say) -> None:
        await say(b"HTTP/1.1 200 OK\r\ncontent-length: 900000\r\n\r\n" + bytes(300_000))
        raise HangUp

    async def fail(planet: Planet) -> None:
        with pytest.raises(ConnectionLost):
            await planet.orders.get("7a1c0f0e-4b6d-4f55-9a76-1f0a1d6f0c11")

    async with loopback(script) as server, client(server.url, transport) as planet:
        await fail(planet)
        gc.collect()
        gc.disable()
        tracemalloc.start()
        try:
            for _ in range(3):
                await fail(planet)
            assert tracemalloc.get_traced_memory()[0] < 300_000
        finally:
            tracemalloc.stop()
            gc.enable()
