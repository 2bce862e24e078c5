"""Six processes at one rate limiter: how much of the rate do they use, and is it ever exceeded?

    python benchmarks/shared_rates.py

Prints for a file of this machine and for PostgreSQL the share of the allowed rate that is used (goal: 0.97),
and the most requests that arrived in any window (goal: the limit).
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from postgres import PostgresServer

from planet_async.simulator import Fault, Limits, Simulator
from planet_async.simulator.server import serve

PROCESSES = 6
WORKER = """
import sys, anyio
from planet_async import Config, Planet, Window

async def main(url, limit, seconds, count):
    rates = {"orders": (Window(int(limit), float(seconds)),), "destinations": ()}
    async with Planet(Config(base_url=url, rates=rates), api_key="any") as planet:
        await planet.request("GET", "/destinations/v1")  # connects
        print("ready", flush=True)
        sys.stdin.readline()
        async with anyio.create_task_group() as group:
            for _ in range(int(count)):
                group.start_soon(planet.orders.stats)

anyio.run(main, *sys.argv[1:])
"""


def main() -> None:
    server = PostgresServer()
    try:
        for limit, count in ((3, 10), (40, 70)):
            for name in ("machine", server.empty_database()):
                used, most = measure(name, limit, count)
                print(f"{name[:10]:10} {limit:3} a second: {used:.3f} of the rate, {most:3} in a second")
    finally:
        server.remove()


def measure(shared: str, limit: int, count: int) -> tuple[float, int]:
    """Return the share of the rate that was used, and the most requests in any second."""
    simulator = Simulator(limits=Limits.unlimited())
    times: list[float] = []

    def note(_: object) -> bool:
        times.append(time.monotonic())
        return False

    simulator.faults.add(Fault(operation="orders.stats", when=note))
    with serve(simulator) as url, tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PL_SHARED": shared, "XDG_STATE_HOME": folder}
        workers = [
            subprocess.Popen(
                [sys.executable, "-c", WORKER, url, str(limit), "1", str(count)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
            )
            for _ in range(PROCESSES)
        ]
        for worker in workers:
            assert worker.stdout is not None
            worker.stdout.readline()
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
        for worker in workers:
            worker.wait()
    times.sort()
    rate = (len(times) - 1) / (times[-1] - times[0])
    return rate / limit, max(sum(start <= time_ < start + 1 for time_ in times) for start in times)


if __name__ == "__main__":
    main()
