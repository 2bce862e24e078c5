"""What `from planet_async import Planet` costs, against `import planet`.

python benchmarks/imports.py
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial

import anyio.to_thread
from goals import Goal, Rounds, interleaved, median, print_table, run
from side_by_side import Figures

_NETWORK = ("httpx", "httpx2", "httpcore", "httpcore2", "aiohttp", "pyreqwest", "h11", "h2")
_TIMES = 3


async def _importing(statement: str) -> Figures:
    code = f"import sys; {statement}; print(*[name for name in {_NETWORK} if name in sys.modules])"
    with tempfile.TemporaryDirectory() as folder:
        # Compiled by the first start, whatever the environment says of that.
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": folder}
        start = partial(
            subprocess.run,
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            text=True,
            env=environment,
        )
        loaded = (await anyio.to_thread.run_sync(start)).stdout
        taken: list[float] = []
        for _ in range(_TIMES):
            began = time.perf_counter()
            await anyio.to_thread.run_sync(start)
            taken.append(time.perf_counter() - began)
    return {"ms": min(taken) * 1000, "network libraries": len(loaded.split())}


async def nothing() -> Figures:
    """Start Python."""
    return await _importing("pass")


async def ours() -> Figures:
    """Start Python and import ours."""
    return await _importing("from planet_async import Planet")


async def official() -> Figures:
    """Start Python and import the official client."""
    return await _importing("import planet")


CLIENTS = {"nothing": nothing, "planet_async": ours, "planet 3.7.0": official}


def goals(rounds: int) -> Sequence[Goal]:
    """Measure."""
    found = interleaved(__file__, list(CLIENTS), rounds)
    print_table("start Python and import", found)
    libraries = median(found, "network libraries", "planet_async")
    return [
        Goal("from planet_async import Planet, against import planet", _share(found), most=0.6),
        Goal("network libraries loaded by it", libraries, most=0, unit="loaded"),
    ]


def _share(found: Rounds) -> float:
    """Compare what the imports add to the start of Python, each at its fastest."""
    least = {name: min(figures["ms"] for figures in found[name]) for name in CLIENTS}
    return (least["planet_async"] - least["nothing"]) / (least["planet 3.7.0"] - least["nothing"])


if __name__ == "__main__":
    run(__file__, CLIENTS, goals, rounds=5)
