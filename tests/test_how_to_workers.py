"""The page about many workers tells the truth: its examples run, with PostgreSQL, Dask and Procrastinate."""

import ast
import importlib.util
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import anyio
import pytest
from documents import ROOT, examples

from planet_async.jobs.ledger import read_entries
from planet_async.simulator import Limits, OrderPlan, Simulator
from planet_async.simulator.server import serve

pytestmark = pytest.mark.no_cover
PAGE = ROOT / "docs/how-to/many-workers.md"
REQUESTS = [
    {
        "name": f"field {number}",
        "products": [
            {"item_ids": ["20251230_183331_03_201b"], "item_type": "PSScene", "product_bundle": "visual"}
        ],
    }
    for number in range(2)
]
TASKS = """
import asyncio, json, sys, tasks

async def main():
    async with tasks.app.open_async():
        await tasks.app.schema_manager.apply_schema_async()
        for request in json.loads(sys.argv[1]):
            await tasks.order.defer_async(request=request)
        await tasks.app.run_worker_async(wait=False, concurrency=2)

asyncio.run(main())
"""


@pytest.fixture
def planet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, postgres: str) -> Iterator[Simulator]:
    simulator = Simulator(limits=Limits.unlimited(), plan=OrderPlan(queue_seconds=0, run_seconds=0))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PL_API_KEY", "any")
    monkeypatch.setenv("LEDGER", postgres)
    monkeypatch.setenv("PL_SHARED", postgres)
    with serve(simulator) as url:
        monkeypatch.setenv("PL_BASE_URL", url)
        yield simulator


def names_of(*wanted: str) -> dict[str, Any]:
    """Run the examples that are no files and define these, or all, and return what they define."""
    names: dict[str, Any] = {}

    async def run() -> None:
        for example in examples(PAGE):
            if example.language != "python" or example.file:
                continue
            if wanted and not any(f"def {name}(" in example.text for name in wanted):
                continue
            code = compile(example.text, PAGE.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            result = eval(code, names)
            if inspect.isawaitable(result):
                await result

    anyio.run(run)
    return names


def run_script(*arguments: str) -> str:
    """Run a file of the page in a process of its own, as a reader does."""
    path = os.pathsep.join(filter(None, [str(ROOT), ".", os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path, "PGCLIENTENCODING": "UTF8"},  # the server of tests has none
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def write(file: str) -> None:
    (example,) = (example for example in examples(PAGE) if example.file == file)
    Path(file).write_text(example.text)


def test_a_job_and_its_workers(planet: Simulator, postgres: str) -> None:
    """Each block runs as it stands, after those before it; workers have nothing left to do."""
    names_of()
    assert len(planet.orders) == 3
    assert {entry.stage for entry, _ in read_entries(postgres)} == {"downloaded"}


def test_a_task_of_a_scheduler(planet: Simulator, postgres: str) -> None:
    """Two attempts of a task at the same time order nothing twice, and return the same files."""
    order_fields = names_of("order_fields")["order_fields"]
    found: list[list[str]] = []

    def attempt() -> None:
        found.append(sorted(order_fields(REQUESTS, "data", postgres)))

    threads = [Thread(target=attempt) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(planet.orders) == 2
    assert found[0] == found[1]
    assert len(found[0]) == len(list(Path("data").rglob("*.*")))


@pytest.mark.skipif(not importlib.util.find_spec("distributed"), reason="Dask is not installed")
def test_with_dask(planet: Simulator) -> None:
    """Orders are downloaded and measured by the workers of a cluster."""
    write("with_dask.py")
    Path("requests.json").write_text(json.dumps(REQUESTS))
    printed = run_script("with_dask.py", "requests.json")
    assert {line.split()[0] for line in printed.splitlines()} == planet.orders.keys()
    assert len(list(Path("data").glob("*/manifest.json"))) == 2


@pytest.mark.skipif(not importlib.util.find_spec("procrastinate"), reason="Procrastinate is not installed")
def test_with_procrastinate(planet: Simulator, postgres: str) -> None:
    """A task orders one request; two equal tasks order it once."""
    write("tasks.py")
    run_script("-c", TASKS, json.dumps([*REQUESTS, REQUESTS[0]]))
    assert len(planet.orders) == 2
    assert {entry.stage for entry, _ in read_entries(postgres)} == {"downloaded"}
