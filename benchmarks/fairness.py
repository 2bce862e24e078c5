"""How long `orders.get` takes while 16 slow downloads hold their connections, against its time alone.

    python benchmarks/fairness.py

The server answers after 50 ms, which is about what the API takes, and sends each file at 1 MB a second, so
that neither side is busy: what is measured is waiting.  Both figures are of one process, one after the other.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bodies import order_id
from goals import Goal, interleaved, median, print_table, run
from raw_server import MEGABYTE, raw_server, with_files
from side_by_side import Figures

if TYPE_CHECKING:
    from planet_async import Planet
    from planet_async.transports import TransportName

_LATENCY = 0.05  # seconds
_RATE = MEGABYTE  # bytes a second of each download
_ORDERS, _FILES = 4, 4  # of one file as large as takes longer than all gets
_GETS = 20


async def _seconds_a_get(planet: "Planet") -> float:
    times = []
    for _ in range(_GETS):
        began = time.perf_counter()
        await planet.orders.get(order_id(7))
        times.append(time.perf_counter() - began)
    return statistics.median(times)


async def _measured(transport: "TransportName", url: str) -> Figures:
    from planet_async import ApiKey, Config, Planet

    async with Planet(
        Config(base_url=url, rates={}), credentials=ApiKey("any"), transport=transport
    ) as planet:
        alone = await _seconds_a_get(planet)
        with tempfile.TemporaryDirectory() as folder:
            jobs = [
                asyncio.create_task(
                    planet.orders.download(with_files(_FILES, 8, checked=False), to=f"{folder}/{number}")
                )
                for number in range(_ORDERS)
            ]
            await asyncio.sleep(1)  # until they are under way
            beside = await _seconds_a_get(planet)
            ended = sum(job.done() for job in jobs)
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)
    return {"alone, ms": 1000 * alone, "beside, ms": 1000 * beside, "ratio": beside / alone, "ended": ended}


async def httpx(url: str) -> Figures:
    """Ours by default."""
    return await _measured("httpx", url)


async def httpx2(url: str) -> Figures:
    """Ours on httpx2."""
    return await _measured("httpx2", url)


async def aiohttp(url: str) -> Figures:
    """Ours on aiohttp."""
    return await _measured("aiohttp", url)


CLIENTS = {"httpx": httpx, "httpx2": httpx2, "aiohttp": aiohttp}


def goals(rounds: int) -> Sequence[Goal]:
    """Measure."""
    with raw_server(latency=_LATENCY, bytes_per_second=_RATE) as url:
        found = interleaved(__file__, list(CLIENTS), rounds, url)
    print_table("get during 16 slow downloads", found)
    if any(median(found, "ended", name) for name in CLIENTS):
        raise SystemExit("a download has ended before the gets")
    return [
        Goal(
            f"get during 16 slow downloads, against get alone, {name}", median(found, "ratio", name), most=1.5
        )
        for name in CLIENTS
    ]


if __name__ == "__main__":
    run(__file__, CLIENTS, goals, rounds=3)
