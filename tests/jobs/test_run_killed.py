"""A job with a ledger, killed again and again by the system, against a simulated Planet over HTTP."""

import random
import signal
import sys
import time
from collections import Counter
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest
from forked import run_job, started

from planet_async.cli.demo import verify_order
from planet_async.jobs.entry import Stage
from planet_async.jobs.ledger import read_entries
from planet_async.simulator import Limits, OrderPlan, Simulator
from planet_async.simulator.server import serve

NAMES = [f"field {number % 18}" for number in range(24)]  # some are there twice


def until_sent(simulator: Simulator, requests: int, job: ForkServerProcess) -> None:
    """Return when so many requests have been received, or the job has ended."""
    deadline = time.monotonic() + 30
    while simulator.requests.total() < requests and job.is_alive():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.no_cover
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_killed_at_random(tmp_path: Path) -> None:
    """Killed at random moments, and started again until it is done: each order once, all files right."""
    chance = random.Random(5)
    ledger = tmp_path / "fields.ledger"
    simulator = Simulator(limits=Limits.unlimited(), plan=OrderPlan(queue_seconds=0.05, run_seconds=0.1))
    ended, kills = False, 0
    with serve(simulator) as url:
        arguments = url, str(tmp_path / "data"), str(ledger), NAMES
        while not ended:
            before, last = simulator.requests.total(), chance.randrange(1, 50)
            job = started(run_job, *arguments)
            until_sent(simulator, before + last, job)
            if kills < 6:
                job.kill()
            job.join(30)
            kills += job.exitcode == -signal.SIGKILL
            assert job.exitcode in {0, -signal.SIGKILL}
            ended = job.exitcode == 0
        assert kills >= 3
        assert Counter(order.name for order in simulator.orders.values()) == Counter(NAMES)
        before = simulator.requests.total()
        again = started(run_job, *arguments)
        again.join(30)
        assert again.exitcode == 0
        assert simulator.requests.total() == before
    entries = [entry for entry, _ in read_entries(ledger)]
    assert {entry.order_id for entry in entries} == simulator.orders.keys()
    assert {entry.stage for entry in entries} == {Stage.DOWNLOADED}
    for order_id in simulator.orders:
        assert not verify_order(tmp_path / "data" / order_id).problems
