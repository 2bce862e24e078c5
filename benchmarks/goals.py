"""What the benchmarks with goals share: interleaved rounds, ratios of neighbours, and the verdict.

A client's figure is compared with that of another one of the same round, and the median of those ratios
counts, so that a machine that is busy for a while spoils a round and not the result.
"""

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from attrs import frozen
from raw_server import use_core
from side_by_side import Figures, run_client

Rounds = Mapping[str, Sequence[Figures]]
Client = Callable[..., Coroutine[Any, Any, Figures]]


@frozen
class Goal:
    """What was to be reached, and what was.

    `by_cpu` is the same ratio in CPU time.  Where it is given it decides: a client that keeps one core busy
    is as fast as it is cheap, and other work on the machine changes that little, but wall time much.
    """

    what: str
    measured: float
    least: float | None = None
    most: float | None = None
    unit: str = "x"
    by_cpu: float | None = None

    @property
    def met(self) -> bool:
        """Whether it was reached."""
        value = self.measured if self.by_cpu is None else self.by_cpu
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)

    @property
    def wanted(self) -> str:
        """The goal in words."""
        bound = f"at least {self.least:g}" if self.least is not None else f"at most {self.most:g}"
        return f"{bound} {self.unit}"

    @property
    def row(self) -> tuple[str, str, str, str, str]:
        """The cells of a table."""
        cpu = "" if self.by_cpu is None else f"{self.by_cpu:.2f}"
        return self.what, self.wanted, f"{self.measured:.2f}", cpu, "met" if self.met else "MISSED"


HEADINGS = ("what", "goal", "measured", "in CPU time", "")


def run(
    script: str, clients: Mapping[str, Client], goals: Callable[[int], Sequence[Goal]], rounds: int
) -> None:
    """Be one of the measured, on one core, or measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--client", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.client:
        name, *rest = json.loads(arguments.client)
        use_core(-1)
        print(json.dumps(anyio.run(partial(clients[name], *rest))))
        return
    began = time.monotonic()
    print_goals(goals(arguments.rounds))
    print(f"\n{Path(script).name} took {time.monotonic() - began:.0f} s")


@contextmanager
def measuring(figures: Figures) -> Generator[None]:
    """Add to the figures of a client what the block took: seconds, and memory above what there was before."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak counts from here on
    memory, cpu, wall = _status("VmRSS"), time.process_time(), time.perf_counter()
    yield
    figures["s"] = time.perf_counter() - wall
    figures["CPU s"] = time.process_time() - cpu
    figures["MB above start"] = (_status("VmHWM") - memory) / 1024


def _status(name: str) -> float:
    """Return a figure of this process in KB; nan where the system does not tell."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(name):
                return float(line.split()[1])
    return math.nan


def interleaved(script: str, names: Sequence[str], rounds: int, *arguments: object) -> Rounds:
    """Run each client of a script once in each round, every time in a process of its own."""
    figures: dict[str, list[Figures]] = {name: [] for name in names}
    for _ in range(rounds):
        for name, found in figures.items():
            found.append(run_client(script, "--client", json.dumps([name, *arguments])))
    return figures


def ratio(rounds: Rounds, key: str, one: str, other: str) -> float:
    """Return what one client has for each one of the other's, in the median of the rounds."""
    return statistics.median(a[key] / b[key] for a, b in zip(rounds[one], rounds[other], strict=True))


def median(rounds: Rounds, key: str, name: str) -> float:
    """Return the median of one client."""
    return statistics.median(figures[key] for figures in rounds[name])


def print_table(title: str, rounds: Rounds) -> None:
    """Print the medians of all clients."""
    names = list(rounds)
    print(f"\n{title}, medians of {len(rounds[names[0]])} rounds")
    width = max(15, *(len(name) + 2 for name in names))
    print(f"{'':>24}" + "".join(f"{name:>{width}}" for name in names))
    for key in rounds[names[0]][0]:
        values = "".join(f"{median(rounds, key, name):{width}.2f}" for name in names)
        print(f"{key:>24}{values}")


def print_goals(goals: Sequence[Goal]) -> None:
    """Print what was reached."""
    rows = [HEADINGS, *(goal.row for goal in goals)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    print()
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
