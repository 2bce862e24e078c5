"""The main job, ours and the official client's: create, wait, download, verify, against one simulator.

    python benchmarks/main_job.py                both ways: documented rates, then no limits
    python benchmarks/main_job.py --rounds 1     a quick look

The official client waits and downloads as its documentation shows: one task an order.
"""

import argparse
import asyncio
import json
import tempfile
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from side_by_side import Figures, SimulatedPlanet, measured, print_ratios, run_client, simulated_planet

from planet_async.simulator import OrderPlan

_SETTINGS = {
    "documented rates": (15, True, OrderPlan(queue_seconds=2.0, run_seconds=4.0)),
    "no limits": (200, False, OrderPlan(queue_seconds=0.5, run_seconds=1.0)),
}


def _requests(count: int) -> list[dict[str, Any]]:
    product = {
        "item_ids": ["20221221_084022_18_2414"],
        "item_type": "PSScene",
        "product_bundle": "analytic_udm2",
    }
    return [
        {"name": f"order {number}", "source_type": "scenes", "products": [product]} for number in range(count)
    ]


async def ours(url: str, count: int, limited: bool, *, ledger: str | None = None) -> Figures:
    """The job with planet_async."""
    from planet_async import ApiKey, Config, Planet

    config = Config(base_url=url) if limited else Config(base_url=url, rates={})
    files = 0
    with tempfile.TemporaryDirectory() as folder:
        path = ledger and str(Path(folder, ledger))
        async with Planet(config, credentials=ApiKey("any")) as planet:
            async for outcome in planet.orders.run(_requests(count), to=folder, ledger=path):
                files += len(outcome.unwrap().paths)
    return {"files": files}


async def without_fsync(url: str, count: int, limited: bool) -> Figures:
    """The job with a ledger, which does not wait until its files would outlast a power failure."""
    with mock.patch("os.fsync"):
        return await ours(url, count, limited, ledger="job.ledger")


async def official(url: str, count: int, limited: bool) -> Figures:
    """The job with the official client; its own checksum validation reads each file again."""
    from planet import Auth, OrdersClient, Session
    from planet.http import _Limiter

    async with Session(auth=Auth.from_key("any")) as session:
        if not limited:
            session._limiter = _Limiter(0, 0)
        client = OrdersClient(session, base_url=f"{url}/compute/ops")

        async def one(request: dict[str, Any], folder: Path) -> int:
            order = await client.create_order(request)
            await client.wait(order["id"], delay=5 if limited else 1, max_attempts=0)
            paths = await client.download_order(order["id"], directory=folder)
            client.validate_checksum(folder / order["id"], "sha256")
            return len(paths)

        with tempfile.TemporaryDirectory() as folder:
            counts = await asyncio.gather(*(one(request, Path(folder)) for request in _requests(count)))
    return {"files": sum(counts)}


_CLIENTS: dict[str, Callable[[str, int, bool], Coroutine[Any, Any, Figures]]] = {
    "planet_async": ours,
    "with a ledger": partial(ours, ledger="job.ledger"),
    "without fsync": without_fsync,
    "planet 3.7.0": official,
}


def _round(planet: SimulatedPlanet, name: str, count: int, limited: bool) -> Figures:
    planet.counts()
    figures = run_client(__file__, "--client", json.dumps([name, planet.url, count, limited]))
    counts = planet.counts()
    figures["requests"] = sum(counts.values())
    figures["of these: get"] = counts.get("orders.get", 0)
    return figures


def main() -> None:
    """Measure, or be one of the measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--client", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.client:
        name, url, count, limited = json.loads(arguments.client)
        measured(partial(_CLIENTS[name], url, count, limited))
        return
    for title, (count, limited, plan) in _SETTINGS.items():
        with simulated_planet(limited=limited, plan=plan) as planet:
            rounds: dict[str, list[Figures]] = {name: [] for name in _CLIENTS}
            for _ in range(arguments.rounds):
                for name, figures in rounds.items():
                    figures.append(_round(planet, name, count, limited))
        print_ratios(f"{count} orders, {title}", rounds)


if __name__ == "__main__":
    main()
