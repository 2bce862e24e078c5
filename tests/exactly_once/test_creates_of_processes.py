"""Creates of several processes: equal names at once, lost responses, and one order each."""

import subprocess
import sys
from pathlib import Path

import pytest

from planet_async.simulator import Fault, Limits, Simulator
from planet_async.simulator.server import serve

WORKER = """
import sys, anyio
from planet_async import Config, OrderRequest, Planet, SceneProduct

REQUEST = OrderRequest("field 7", [SceneProduct(["20240101_000000_00_1234"], "PSScene", "visual")])

async def main(url, count):
    config = Config(base_url=url, rates={}, consistency_delay=2)
    ids = []
    async def create():
        ids.append((await planet.orders.create(REQUEST)).id)
    async with Planet(config, api_key="any") as planet:
        async with anyio.create_task_group() as group:
            for _ in range(int(count)):
                group.start_soon(create)
    print(*ids)

anyio.run(main, *sys.argv[1:])
"""


@pytest.mark.parametrize("where", ["file", "postgres"])
def test_equal_creates_of_two_processes_are_one_order_each(
    where: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes create equal orders at once, every other response is lost: each create has one order."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("PL_SHARED", request.getfixturevalue("postgres") if where == "postgres" else "machine")
    simulator = Simulator(limits=Limits.unlimited())
    simulator.faults.add(Fault(operation="orders.create", drop=True, after=True, probability=0.5))
    with serve(simulator) as url:
        command = [sys.executable, "-c", WORKER, url, "6"]
        workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        ids = [id_ for worker in workers for id_ in worker.communicate(timeout=120)[0].split()]
    assert len(ids) == 12
    assert len({*ids}) == 12, "two creates got one order"
    assert {*ids} == {*simulator.orders}, "an order has no owner"
