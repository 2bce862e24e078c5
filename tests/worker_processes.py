"""Workers in processes that share a ledger, and are killed at random; see `test_many_workers.py`."""

import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import anyio
from attrs import define, field
from forked import started, work

from planet_async import OrderRequest, SceneProduct
from planet_async.cli.demo import verify_order
from planet_async.clock import SystemClock
from planet_async.jobs.entry import Stage
from planet_async.jobs.job import checked_requests
from planet_async.jobs.ledger import DatabaseLedger, read_entries
from planet_async.simulator import Fault, Limits, OrderPlan, Simulator
from planet_async.simulator.server import serve


def _request(number: int) -> OrderRequest:
    return OrderRequest(
        f"field {number}", [SceneProduct([f"20240101_{number:06}_00_1234"], "PSScene", "visual")]
    )


@define
class Workers:
    """Processes that work on one ledger against a simulator over HTTP, which loses responses."""

    url: str
    simulator: Simulator
    address: str
    folder: Path
    processes: list[ForkServerProcess] = field(factory=list)

    def fill(self, orders: int) -> None:
        """Enter that many requests."""

        async def fill() -> None:
            async with DatabaseLedger(self.address, SystemClock(), durable=False) as ledger:
                requests = checked_requests([_request(number) for number in range(orders)])
                await ledger.add([ledger.request(each.name, each.body) async for each in requests])

        anyio.run(fill)

    def start(self, number: int = 1) -> None:
        """Start workers."""
        for _ in range(number):
            self.processes.append(started(work, self.url, self.address, str(self.folder)))

    def kill(self, process: ForkServerProcess) -> None:
        """Kill a worker, at whatever it does."""
        process.kill()
        process.join()
        self.processes.remove(process)

    def wait_until_placed(self, orders: int, seconds: float = 120) -> None:
        """Return when so many orders have been placed."""
        until = time.monotonic() + seconds
        while len(self.simulator.orders) < orders:
            assert time.monotonic() < until, f"{len(self.simulator.orders)} of {orders} orders"
            time.sleep(0.001)

    def join(self, seconds: float = 120) -> None:
        """Return when all workers have ended well."""
        until = time.monotonic() + seconds
        for process in self.processes:
            process.join(max(0, until - time.monotonic()))
            assert process.exitcode == 0, process
        self.processes.clear()

    def check(self, orders: int) -> None:
        """Check that each request was ordered once, and that each of its files is there, once and right."""
        placed = {
            order.id: order.name for order in self.simulator.orders.values() if order.state != "cancelled"
        }
        twice = {name for name, count in Counter(placed.values()).items() if count > 1}
        assert not twice, [order for order in self.simulator.orders.values() if order.name in twice]
        assert {*placed.values()} == {f"field {number}" for number in range(orders)}
        entries = [entry for entry, _ in read_entries(self.address)]
        assert Counter(entry.stage for entry in entries) == {Stage.DOWNLOADED: orders}
        assert {entry.order_id: entry.name for entry in entries} == placed
        assert {folder.name for folder in self.folder.iterdir()} == placed.keys()
        for order_id in placed:
            assert not verify_order(self.folder / order_id).problems


@contextmanager
def workers(address: str, folder: Path) -> Iterator[Workers]:
    """Serve a simulator that loses the responses to one create in ten; kill the workers that are left."""
    simulator = Simulator(
        limits=Limits.unlimited(), plan=OrderPlan(queue_seconds=0.1, run_seconds=0.2), file_bytes=256
    )
    simulator.faults.add(Fault(operation="orders.create", drop=True, after=True, probability=0.05))
    simulator.faults.add(Fault(operation="orders.create", drop=True, probability=0.05))
    with serve(simulator) as url:
        found = Workers(url, simulator, address, folder)
        try:
            yield found
        finally:
            for process in [*found.processes]:
                found.kill(process)


def kill_at_random(address: str, folder: Path, *, orders: int, kills: int, at_once: int = 4) -> float:
    """Have workers do all orders while they are killed at random; return the seconds that it took."""
    chance = random.Random(7)
    with workers(address, folder) as found:
        found.fill(orders)
        begun = time.monotonic()
        found.start(at_once)
        for number in sorted(chance.sample(range(1, orders * 9 // 10), kills)):
            found.wait_until_placed(number)
            time.sleep(chance.uniform(0, 0.02))
            found.kill(chance.choice(found.processes))
            found.start()
        found.join()
        seconds = time.monotonic() - begun
        found.check(orders)
    return seconds
