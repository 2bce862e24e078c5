"""How many Python functions are called to get one order; the same on every machine.

python benchmarks/calls.py
"""

import sys
from collections.abc import Sequence
from functools import partial
from types import FrameType
from typing import Literal

from bodies import order_id
from goals import Goal, interleaved, median, print_table, run
from raw_server import raw_server
from side_by_side import Figures

_TIMES = 20


async def calls(transport: Literal["httpx", "httpx2", "aiohttp"], url: str) -> Figures:
    """Ours on one of its transports."""
    from planet_async import Config, Planet

    counted = 0

    def count(_: FrameType, event: str, __: object) -> None:
        nonlocal counted
        counted += event == "call"

    async with Planet(Config(base_url=url, rates={}), api_key="any", transport=transport) as planet:
        await planet.orders.get(order_id(7))
        sys.setprofile(count)
        for _ in range(_TIMES):
            await planet.orders.get(order_id(7))
        sys.setprofile(None)
    return {"calls": counted / _TIMES}


CLIENTS = {
    "ours, httpx": partial(calls, "httpx"),
    "ours, httpx2": partial(calls, "httpx2"),
    "ours, aiohttp": partial(calls, "aiohttp"),
}


def goals(rounds: int) -> Sequence[Goal]:
    """Measure."""
    with raw_server() as url:
        found = interleaved(__file__, list(CLIENTS), min(rounds, 1), url)
    print_table("Python calls to get an order", found)
    return [
        Goal(f"Python calls to get an order, {name}", median(found, "calls", name), most=most, unit="calls")
        for name, most in zip(CLIENTS, (2600, 2600, 350), strict=True)
    ]


if __name__ == "__main__":
    run(__file__, CLIENTS, goals, rounds=1)
