"""Workers on one ledger, in processes: killed, stopped, and with a database that is restarted."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from worker_processes import kill_at_random, workers

pytestmark = [
    pytest.mark.no_cover,
    pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL"),
]


@pytest.fixture(params=["file", "postgres"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres"))
    return str(tmp_path / "fields.ledger")


def test_workers_that_are_killed(address: str, tmp_path: Path) -> None:
    """Killed at random moments, and others started: each request is ordered once, each file there once.

    `benchmarks/killed_workers.py` does the same with 3,000 requests and 40 kills.
    """
    kill_at_random(address, tmp_path / "data", orders=60, kills=5)


def test_a_database_that_is_restarted(postgres: str, postgres_server: Any, tmp_path: Path) -> None:
    """Workers wait for it, none is taken for dead, and nothing is lost."""
    with workers(postgres, tmp_path / "data") as found:
        found.fill(40)
        found.start(3)
        found.wait_until_placed(15)
        postgres_server.stop()
        time.sleep(1)
        postgres_server.start()
        found.join()
        found.check(40)


def test_a_worker_that_is_stopped_and_continued(address: str, tmp_path: Path) -> None:
    """It keeps what it has while it stands still, and goes on with that; the others do the rest."""
    with workers(address, tmp_path / "data") as found:
        found.fill(40)
        found.start(2)
        found.wait_until_placed(10)
        stopped = found.processes[0]
        os.kill(stopped.pid or 0, signal.SIGSTOP)
        found.wait_until_placed(25)
        time.sleep(1)
        os.kill(stopped.pid or 0, signal.SIGCONT)
        found.join()
        found.check(40)
