"""Run every benchmark that has goals, and print one table; it also goes into README.md beside this file.

python benchmarks/report.py                five rounds of each: some ten minutes
python benchmarks/report.py --rounds 2     a quick look
"""

import argparse
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import calls
import data_search
import decode
import downloads
import fairness
import get
import imports
import limiter
import lists
import loop_lag
import million
from goals import HEADINGS, Goal, print_goals

_BENCHMARKS = (
    get,
    calls,
    decode,
    lists,
    data_search,
    downloads,
    fairness,
    imports,
    limiter,
    loop_lag,
    million,
)
_FEW = {limiter: 2, loop_lag: 2, million: 1, lists: 3, data_search: 3}  # rounds of what takes long
_LIBRARIES = ("planet", "httpx", "httpx2", "aiohttp", "msgspec", "attrs", "anyio")
_BEGIN, _END = "<!-- table -->\n", "<!-- end of table -->\n"


def _machine() -> str:
    model = platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line
        ]
        model = names[0] if names else model
    return f"{os.cpu_count()} cores of {model}, {platform.system()}, Python {platform.python_version()}"


def _table(goals: Sequence[Goal]) -> str:
    rows = [HEADINGS, ("---",) * len(HEADINGS), *(goal.row for goal in goals)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def main() -> None:
    """Measure all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    load = os.getloadavg()[0]
    found: list[Goal] = []
    for benchmark in _BENCHMARKS:
        print(f"\n=== {benchmark.__name__}", flush=True)
        found += benchmark.goals(min(rounds, _FEW.get(benchmark, rounds)))
    print_goals(found)
    missed = sum(not goal.met for goal in found)
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    told = (
        f"{datetime.now(UTC):%d %B %Y}; {_machine()}; "
        f"load before {load:.1f}, after {os.getloadavg()[0]:.1f}.\n"
        f"{libraries}.\n{len(found) - missed} of {len(found)} goals met.\n\n{_table(found)}"
    )
    readme = Path(__file__).with_name("README.md")
    before, _, rest = readme.read_text().partition(_BEGIN)
    readme.write_text(f"{before}{_BEGIN}{told}{_END}{rest.partition(_END)[2]}")


if __name__ == "__main__":
    main()
