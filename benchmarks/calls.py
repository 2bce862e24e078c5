"""How many Python functions are called to get one order; the same on every machine.

python benchmarks/calls.py
"""

import sys
from collections.abc import Sequence
from types import FrameType

from bodies import order_id
from goals import Goal, interleaved, median, print_table, run
from raw_server import raw_server
from side_by_side import Figures

_TIMES = 20


async def _calls(url: str, transport: str) -> Figures:
    from planet_async import ApiKey, Config, Planet
    from planet_async.transports import TransportName

    name: TransportName = "aiohttp" if transport == "aiohttp" else "httpx"
    calls = 0

    def count(_: FrameType, event: str, __: object) -> None:
        nonlocal calls
        calls += event == "call"

    async with Planet(Config(base_url=url, rates={}), credentials=ApiKey("any"), transport=name) as planet:
        await planet.orders.get(order_id(7))
        sys.setprofile(count)
        for _ in range(_TIMES):
            await planet.orders.get(order_id(7))
        sys.setprofile(None)
    return {"calls": calls / _TIMES}


async def ours_httpx(url: str) -> Figures:
    """Ours by default."""
    return await _calls(url, "httpx")


async def ours_aiohttp(url: str) -> Figures:
    """Ours on aiohttp."""
    return await _calls(url, "aiohttp")


CLIENTS = {"ours, httpx": ours_httpx, "ours, aiohttp": ours_aiohttp}


def goals(rounds: int) -> Sequence[Goal]:
    """Measure."""
    with raw_server() as url:
        found = interleaved(__file__, list(CLIENTS), min(rounds, 1), url)
    print_table("Python calls to get an order", found)
    return [
        Goal(f"Python calls to get an order, {name}", median(found, "calls", name), most=most, unit="calls")
        for name, most in zip(CLIENTS, (2600, 350), strict=True)
    ]


if __name__ == "__main__":
    run(__file__, CLIENTS, goals, rounds=1)
