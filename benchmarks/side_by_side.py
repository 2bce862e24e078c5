"""What the benchmarks share: a simulated Planet in a process of its own, and clients in others.

Each run of a client is a fresh process, so that its CPU and memory are its own; rounds are interleaved, so
that a noisy machine is noisy for all.
"""

import json
import multiprocessing
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

import anyio
from attrs import frozen

if TYPE_CHECKING:  # a client that is measured has not loaded it
    from planet_async.simulator import OrderPlan

Figures = dict[str, float]


@frozen
class SimulatedPlanet:
    """A simulator that runs elsewhere: its address, and what it has counted."""

    url: str
    _connection: Connection

    def counts(self) -> dict[str, int]:
        """Return the requests by operation since the last call."""
        self._connection.send("counts")
        counts: dict[str, int] = self._connection.recv()
        return counts


@contextmanager
def simulated_planet(
    *, limited: bool, plan: "OrderPlan", file_bytes: int = 4096
) -> Generator[SimulatedPlanet]:
    """Run a simulator in a child process."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    child = context.Process(target=_serve, args=(there, limited, plan, file_bytes), daemon=True)
    child.start()
    try:
        yield SimulatedPlanet(here.recv(), here)
    finally:
        here.send("stop")
        child.join()


def _serve(connection: Connection, limited: bool, plan: "OrderPlan", file_bytes: int) -> None:
    from planet_async.simulator import Limits, Simulator
    from planet_async.simulator.server import serve

    simulator = Simulator(
        limits=Limits() if limited else Limits.unlimited(), plan=plan, file_bytes=file_bytes
    )
    with serve(simulator) as url:
        connection.send(url)
        while connection.recv() == "counts":
            connection.send(dict(simulator.requests))
            simulator.requests.clear()


def run_client(script: str, *arguments: str) -> Figures:
    """Run one client in a process of its own; it prints its figures as JSON."""
    done = subprocess.run([sys.executable, script, *arguments], check=True, stdout=subprocess.PIPE)
    figures: Figures = json.loads(done.stdout)
    return figures


def measured(job: Callable[[], Coroutine[Any, Any, Figures]]) -> None:
    """Run a job in this process and print its figures: wall and CPU seconds, and peak memory, are added."""
    cpu, wall = time.process_time(), time.perf_counter()
    figures = anyio.run(job)
    figures["wall s"] = time.perf_counter() - wall
    figures["cpu s"] = time.process_time() - cpu
    figures["peak MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(figures))


def print_ratios(title: str, rounds: Mapping[str, Sequence[Figures]]) -> None:
    """Print the medians of each client side by side, and what the first needs for one of each other's."""
    names = list(rounds)
    medians = {
        name: {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        for name, runs in rounds.items()
    }
    print(f"\n{title}, medians of {len(rounds[names[0]])} rounds")
    print(f"{'':>26}" + "".join(f"{name:>16}" for name in names) + "           ratio")
    for key, first in medians[names[0]].items():
        others = [medians[name].get(key, 0.0) for name in names]
        ratio = f"{first / others[-1]:16.2f}" if others[-1] else f"{'-':>16}"
        print(f"{key:>26}" + "".join(f"{value:16.2f}" for value in others) + ratio)
