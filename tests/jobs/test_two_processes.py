"""Several processes with one target do not disturb each other; a killed one leaves a part to continue."""

import hashlib
import json
import sys
import time
from pathlib import Path

import anyio
import pytest
from forked import download, started

from planet_async import ApiKey, Config, Order, OrderRequest, Planet, SceneProduct
from planet_async.simulator import Fault, Limits, OrderPlan, ServerRequest, Simulator
from planet_async.simulator.server import serve

pytestmark = pytest.mark.no_cover
SCENE = SceneProduct(["20240101_000000_00_1234"], "PSScene", "visual")
SIZE = 3_000_000


def simulator() -> Simulator:
    return Simulator(
        limits=Limits.unlimited(), plan=OrderPlan(queue_seconds=0, run_seconds=0), file_bytes=SIZE
    )


def ordered(url: str) -> Order:
    async def order() -> Order:
        async with Planet(Config(base_url=url), credentials=ApiKey("any")) as planet:
            placed = await planet.orders.create(OrderRequest("field 7", [SCENE]))
            return await planet.orders.wait(placed.id)

    return anyio.run(order)


def check(folder: Path, order: Order) -> None:
    """Compare every file with the manifest, without this package; there is no other file."""
    root = folder / order.id
    files = json.loads((root / "manifest.json").read_bytes())["files"]
    for entry in files:
        content = (root / entry["path"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry["digests"]["sha256"]
    there = {path.relative_to(root).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert there == {entry["path"] for entry in files} | {"manifest.json"}


def test_three_processes_at_once(tmp_path: Path) -> None:
    """All succeed, with whole files and no part left; each file is fetched by one of them."""
    with serve(served := simulator()) as url:
        order = ordered(url)
        processes = [started(download, url, order.id, str(tmp_path)) for _ in range(3)]
        for process in processes:
            process.join(60)
            assert process.exitcode == 0
    check(tmp_path, order)
    # The manifest has no checksum to compare: each process fetches its own.
    assert served.requests["storage.get"] == len(order.results) - 1 + 3


@pytest.mark.no_cover
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_killed_process_leaves_a_part_that_is_continued(tmp_path: Path) -> None:
    """It holds no lock, and the next process continues at the byte where it was."""
    ranges: list[str] = []

    def note_range(call: ServerRequest) -> bool:
        ranges.append(call.headers.get("range", ""))
        return False

    with serve(served := simulator()) as url:
        order = ordered(url)
        served.faults.add(Fault(operation="storage.get", path="*.tif", cut=SIZE // 2, times=1))
        # The request after the cut hangs, so that the process can be killed in the middle.
        served.faults.add(
            Fault(operation="storage.get", hang=True, when=lambda call: "range" in call.headers, times=1)
        )
        process = started(download, url, order.id, str(tmp_path))
        until = time.monotonic() + 30
        while not any(path.stat().st_size >= SIZE // 2 for path in tmp_path.rglob("*.tif.part")):
            assert time.monotonic() < until, "no part came"
            time.sleep(0.01)
        process.kill()
        process.join()
        served.faults.clear()
        served.faults.add(Fault(operation="storage.get", when=note_range))
        after = started(download, url, order.id, str(tmp_path))
        after.join(60)
        assert after.exitcode == 0
    check(tmp_path, order)
    assert any(each.startswith("bytes=") for each in ranges), "it started over"
