"""A job with a ledger, killed again and again by the system, against a simulated Planet over HTTP."""

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from planet_async.cli.demo import verify_order
from planet_async.jobs.entry import Stage
from planet_async.jobs.ledger import read_entries
from planet_async.simulator import Limits, OrderPlan, Simulator
from planet_async.simulator.server import serve

ORDERS = 40
NAMES = Counter(f"field {number % 30}" for number in range(ORDERS))  # some are there twice

JOB = """
import sys, anyio
from planet_async import ApiKey, Config, OrderRequest, Planet, SceneProduct, Schedule

base_url, folder, ledger, orders = sys.argv[1:]
scene = SceneProduct(["20240101_000000_00_1234"], "PSScene", "visual")

async def main():
    config = Config(base_url=base_url, rates={}, schedule=Schedule(0.02, 1, 0.02), consistency_delay=0.3)
    requests = (OrderRequest(f"field {number % 30}", [scene]) for number in range(int(orders)))
    async with Planet(config, credentials=ApiKey("any")) as planet:
        async for outcome in planet.orders.run(requests, folder, ledger=ledger):
            outcome.unwrap()

anyio.run(main)
"""


def until_sent(simulator: Simulator, requests: int, job: "subprocess.Popen[bytes]") -> None:
    """Return when so many requests have been received, or the job has ended."""
    deadline = time.monotonic() + 30
    while simulator.requests.total() < requests and job.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_killed_at_random(tmp_path: Path) -> None:
    """Killed at random moments, and started again until it is done: each order once, all files right."""
    chance = random.Random(5)
    ledger = tmp_path / "fields.ledger"
    simulator = Simulator(limits=Limits.unlimited(), plan=OrderPlan(queue_seconds=0.05, run_seconds=0.1))
    ended, kills = False, 0
    with serve(simulator) as url:
        arguments = [url, str(tmp_path / "data"), str(ledger), str(ORDERS)]
        while not ended:
            before, last = simulator.requests.total(), chance.randrange(1, 60)
            with subprocess.Popen([sys.executable, "-c", JOB, *arguments], stderr=subprocess.PIPE) as job:
                until_sent(simulator, before + last, job)
                if kills < 6:
                    job.send_signal(signal.SIGKILL)
                    kills += job.wait() == -signal.SIGKILL
                _, stderr = job.communicate(timeout=30)
            assert job.returncode in {0, -signal.SIGKILL}, stderr.decode()
            ended = job.returncode == 0
        assert kills >= 3
        assert Counter(order.name for order in simulator.orders.values()) == NAMES
        before = simulator.requests.total()
        subprocess.run([sys.executable, "-c", JOB, *arguments], check=True, timeout=30)
        assert simulator.requests.total() == before
    entries = [entry for entry, _ in read_entries(ledger)]
    assert {entry.order_id for entry in entries} == simulator.orders.keys()
    assert {entry.stage for entry in entries} == {Stage.DOWNLOADED}
    for order_id in simulator.orders:
        assert not verify_order(tmp_path / "data" / order_id).problems
