"""Whole jobs and large bodies over sockets, on every transport."""

import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
import trustme

from planet_async import Config, OrderRequest, SceneProduct, Schedule
from planet_async.simulator import Fault, Limits, OrderPlan, Simulator
from planet_async.simulator.server import serve
from transports.on_loopback import Received, Stream, planet, server_context, serving

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("small_trust_store"), pytest.mark.no_cover]


@pytest.fixture
def simulator() -> Simulator:
    plan = OrderPlan(queue_seconds=0, run_seconds=0.2)
    return Simulator(limits=Limits.unlimited(), plan=plan, file_bytes=100_000)


@pytest.fixture
def url(simulator: Simulator) -> Iterator[str]:
    with serve(simulator) as url:
        yield url


@pytest.mark.usefixtures("short_pauses")
async def test_a_job_through_faults(network: str, simulator: Simulator, url: str, tmp_path: Path) -> None:
    """Despite lost requests and responses, errors and cut files, each order is placed once and complete."""
    for fault in (
        Fault(operation="orders.create", drop=True, times=3),
        Fault(operation="orders.create", drop=True, after=True, times=3),
        Fault(operation="orders.create", status=503, times=2),
        Fault(operation="orders.list", drop=True, times=2),
        Fault(operation="orders.get", status=502, times=2),
        Fault(operation="storage.get", cut=30_000, times=4),
        Fault(operation="storage.get", drop=True, times=2),
    ):
        simulator.faults.add(fault)
    config = Config(
        base_url=url,
        rates={},
        first_backoff=0.001,
        longest_backoff=0.01,
        consistency_delay=0.1,
        schedule=Schedule(first=0.05, factor=1, longest=0.05),
    )
    names = {f"field {number}" for number in range(8)}
    requests = [OrderRequest(name, [SceneProduct(["1"], "PSScene", "analytic_udm2")]) for name in names]
    async with planet(network, config) as client:
        orders = [
            outcome.unwrap()
            async for outcome in client.orders.run(requests, to=tmp_path, ledger=tmp_path / "x")
        ]
        placed = await client.orders.list().collect()
    assert {done.order.name for done in orders} == names
    assert sorted(order.name for order in placed) == sorted(names)
    assert all(path.stat().st_size for done in orders for path in done.paths)
    assert not list(tmp_path.rglob("*.part*"))


async def test_large_bodies_over_tls(network: str, authority: trustme.CA, ca_file: Path) -> None:
    """Megabytes in either direction come as they were sent, records of TLS and windows notwithstanding."""
    sent, returned = "x" * 3_000_000, os.urandom(8_000_000)

    async def handle(received: Received, stream: Stream) -> None:
        assert received.body == f'{{"a":"{sent}"}}'.encode()
        await stream.send(f"HTTP/1.1 200 OK\r\ncontent-length: {len(returned)}\r\n\r\n".encode() + returned)

    async with serving(handle, server_context(authority)) as server:
        config = Config(base_url=server.url, ca_file=ca_file, max_attempts=1)
        async with planet(network, config) as client:
            response = await client.request("PUT", "/x", json={"a": sent})
            assert sha256(await response.read()).digest() == sha256(returned).digest()
