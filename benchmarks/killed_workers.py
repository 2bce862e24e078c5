"""Workers on one ledger that are killed at random: is each request ordered once, and each file there once?

    python benchmarks/killed_workers.py                        4 workers, 3,000 requests, 40 kills
    python benchmarks/killed_workers.py --requests 300 --kills 12

The workers reach a simulated Planet over HTTP, which loses the responses to one create in ten.  Runs with a
ledger in a file, and with one in PostgreSQL; fails where an order is missing or doubled.
"""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from postgres import PostgresServer
from worker_processes import kill_at_random


def main() -> None:
    """Run both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=3_000)
    parser.add_argument("--kills", type=int, default=40)
    arguments = parser.parse_args()
    server = PostgresServer()
    try:
        for kind in ("PostgreSQL", "file"):
            with tempfile.TemporaryDirectory() as folder:
                address = server.empty_database() if kind == "PostgreSQL" else f"{folder}/ledger"
                seconds = kill_at_random(
                    address, Path(folder, "data"), orders=arguments.requests, kills=arguments.kills
                )
            print(
                f"{kind:10}: {arguments.requests:,} orders, none twice and none lost, after {arguments.kills}"
                f" kills, in {seconds:.0f} s"
            )
    finally:
        server.remove()


if __name__ == "__main__":
    main()
