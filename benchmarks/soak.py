"""The main job over and over, with faults and kills: nothing lost, nothing twice, and memory flat.

    python benchmarks/soak.py --minutes 3

A simulated Planet, whose answers break in every known way, is served over HTTP on this machine.  One worker
is killed again and again (SIGKILL) while it orders, waits and downloads, and goes on with its ledger; another
one works on undisturbed, and its memory is watched.  After each round what was requested is compared with
what was ordered, delivered and verified, byte by byte.  Exits with 1 where they differ.
"""

import argparse
import asyncio
import hashlib
import json
import random
import resource
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from planet_async import ApiKey, Config, Planet, Schedule
from planet_async.simulator import Fault, Limits, OrderPlan, Simulator
from planet_async.simulator.server import serving
from planet_async.transports import TransportName

ORDERS = 40  # in a round
TIMES = 5  # that a job is begun until all is well
KILLED_AFTER = (0.5, 4.0)  # seconds
GROWTH = 1.1  # of the memory after the first rounds: what is called flat
WARM_UP = 5  # rounds
FAULTS = (
    Fault(operation="orders.create", drop=True, probability=0.05),
    Fault(operation="orders.create", drop=True, after=True, probability=0.05),
    Fault(operation="orders.create", status=502, after=True, probability=0.03),
    Fault(operation="orders.create", cut=10, probability=0.03),
    Fault(operation="storage.get", cut=5_000, probability=0.1),
    Fault(operation="storage.get", status=403, probability=0.02),
    Fault(method="GET", drop=True, probability=0.01),
    Fault(method="GET", status=500, probability=0.01),
    Fault(status=503, headers={"retry-after": "1"}, probability=0.01),
    Fault(status=429, headers={"retry-after": "1"}, probability=0.01),
    Fault(operation="orders.list", body=b"<html>", probability=0.01),
)


def requests(prefix: str) -> Iterator[dict[str, object]]:
    # Every fourth has the name and the content of the one before it.
    for number in range(ORDERS):
        product = {"item_ids": ["20240101_1"], "item_type": "PSScene", "product_bundle": "analytic_udm2"}
        yield {"name": f"{prefix} {number - (number % 4 == 3)}", "products": [product]}


# The worker -----------------------------------------------------------------------------------------------


async def work(url: str, folder: Path, prefix: str, transport: TransportName = "aiohttp") -> None:
    """Do one round; what fails for good, such as a link refused twice, the same job does the next time."""
    config = Config(
        base_url=url, rates={}, consistency_delay=1.0, schedule=Schedule(0.2, 1.5, 2.0), max_attempts=20
    )
    async with Planet(config, credentials=ApiKey("soak"), transport=transport) as planet:
        failed: list[str] = []
        for _ in range(TIMES):
            job = planet.orders.run(
                list(requests(prefix)), to=folder / prefix, ledger=folder / f"{prefix}.ledger"
            )
            failed = [str(outcome.error) async for outcome in job if outcome.error]
            if not failed:
                return
    sys.exit(f"{prefix}: {len(failed)} failed: {failed[0]}")


async def work_on(url: str, folder: Path) -> None:
    """Do one round after another, and tell the memory after each, until killed."""
    for number in range(1_000_000):
        await work(url, folder, f"steady-{number}")
        print(json.dumps({"prefix": f"steady-{number}", "kb": _memory()}), flush=True)


def _memory() -> int:
    """Return the resident memory in kB, now; the most there ever was, where the system tells no better."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() // 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


# The master -----------------------------------------------------------------------------------------------


class Soak:
    """The two workers, and what became of their rounds."""

    def __init__(self, simulator: Simulator, url: str, folder: Path, seed: int) -> None:
        self.simulator, self.url, self.folder = simulator, url, folder
        self.random = random.Random(seed)
        self.totals: Counter[str] = Counter()
        self.memory: list[int] = []

    async def killed_rounds(self, until: float) -> None:
        """Do rounds with a worker that is killed until it gets through."""
        number = 0
        while time.monotonic() < until:
            prefix = f"killed-{number}"
            while (code := await self._one_life(prefix)) != 0:
                if code != -signal.SIGKILL:
                    raise RuntimeError(f"{prefix}: a worker ended with {code}")
                self.totals["kills"] += 1
            await self.account(prefix)
            number += 1

    async def _one_life(self, prefix: str) -> int:
        process = await _worker("--round", prefix, self.url, self.folder)
        try:
            await asyncio.wait_for(process.wait(), self.random.uniform(*KILLED_AFTER))
        except TimeoutError:
            process.kill()
        return await process.wait()

    async def steady_rounds(self, until: float) -> None:
        """Watch a worker that is left alone."""
        process = await _worker("--steady", "", self.url, self.folder)
        assert process.stdout is not None
        try:
            while time.monotonic() < until:
                line = await process.stdout.readline()
                if not line:
                    raise RuntimeError(f"the steady worker ended with {await process.wait()}")
                told = json.loads(line)
                self.memory.append(told["kb"])
                await self.account(told["prefix"])
        finally:
            process.kill()
            await process.wait()

    async def account(self, prefix: str) -> None:
        """Compare what a round asked for with what there is."""
        ordered = {id_ for id_, order in self.simulator.orders.items() if order.name.startswith(f"{prefix} ")}
        found = await asyncio.to_thread(_on_disk, self.folder / prefix)
        noted = await asyncio.to_thread(_in_ledger, self.folder / f"{prefix}.ledger")
        counts = {
            "requested": ORDERS,
            "ordered": len(ordered),
            "delivered": len(noted & ordered),
            "verified": sum(1 for id_ in ordered if found.get(id_)),
        }
        self.totals.update(rounds=1, **counts)
        if set(counts.values()) != {ORDERS}:
            print(f"{prefix}: {counts}", flush=True)
            self.totals["wrong"] += 1

    @property
    def is_flat(self) -> bool | None:
        """Whether the undisturbed worker is no larger than after its first rounds; None after too few."""
        if len(self.memory) <= 2 * WARM_UP:
            return None
        return max(self.memory[-WARM_UP:]) <= GROWTH * self.memory[WARM_UP]


async def _worker(kind: str, prefix: str, url: str, folder: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, __file__, kind, prefix, "--url", url, "--folder", str(folder),
        stdout=asyncio.subprocess.PIPE if kind == "--steady" else None,
    )  # fmt: skip


def _on_disk(folder: Path) -> dict[str, bool]:
    """Say of each order whether all its files are there, with the checksums of its manifest."""
    return {path.parent.name: _is_whole(path) for path in folder.glob("*/manifest.json")}


def _is_whole(manifest: Path) -> bool:
    files = json.loads(manifest.read_bytes())["files"]
    sums = {manifest.parent / file["path"]: file["digests"]["sha256"] for file in files}
    there = {path for path in manifest.parent.rglob("*") if path.is_file()} - {manifest}
    return there == {*sums} and all(
        hashlib.sha256(path.read_bytes()).hexdigest() == digest for path, digest in sums.items()
    )


def _in_ledger(path: Path) -> set[str]:
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as file:
        rows = file.execute("SELECT order_id FROM entries WHERE stage = 'downloaded'").fetchall()
    return {row[0] for row in rows}


async def soak(minutes: float, seed: int) -> int:
    print(f"seed {seed}")
    simulator = Simulator(
        limits=Limits.unlimited(),
        plan=OrderPlan(queue_seconds=0.2, run_seconds=1),
        file_bytes=20_000,
        seed=seed,
    )
    for fault in FAULTS:
        simulator.faults.add(fault)
    until = time.monotonic() + minutes * 60
    with tempfile.TemporaryDirectory() as folder:
        async with serving(simulator) as url:
            run = Soak(simulator, url, Path(folder), seed)
            async with asyncio.TaskGroup() as group:
                group.create_task(run.killed_rounds(until))
                group.create_task(run.steady_rounds(until))
    totals, memory = run.totals, run.memory
    print(f"{totals['rounds']} rounds, {totals['kills']} kills, {sum(simulator.requests.values())} requests")
    print(
        *(f"{name} {totals[name]}" for name in ("requested", "ordered", "delivered", "verified")), sep=" = "
    )
    if run.is_flat is not None:
        print(f"memory of the steady worker: {memory[WARM_UP]} kB, then {max(memory[-WARM_UP:])} kB")
    flat = {True: "flat", False: "growing", None: "too short to tell whether memory is flat"}[run.is_flat]
    print("wrong" if totals["wrong"] else "right", "and", flat)
    return 1 if totals["wrong"] or run.is_flat is False else 0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    for name in ("--round", "--steady", "--url", "--folder"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.round is not None:
        # What is killed on one transport is gone on with on the other.
        asyncio.run(work(given.url, Path(given.folder), given.round, random.choice(("httpx", "aiohttp"))))
        return 0
    if given.steady is not None:
        asyncio.run(work_on(given.url, Path(given.folder)))
        return 0
    return asyncio.run(soak(given.minutes, given.seed))


if __name__ == "__main__":
    sys.exit(main())
