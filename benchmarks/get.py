"""Getting one order, at 1, 10 and 100 at once: ours, the official client, and the bare network libraries.

python benchmarks/get.py
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Literal

from bodies import order_id
from goals import Client, Goal, interleaved, print_table, ratio, run
from raw_server import raw_server
from side_by_side import Figures

AT_ONCE = (1, 10, 100)
_SECONDS = 0.5
_ID = order_id(7)


async def _rates(get: Callable[[], Awaitable[object]]) -> Figures:
    figures: Figures = {}
    for at_once in AT_ONCE:
        await _for_a_while(get, at_once, _SECONDS / 4)
        cpu, wall = time.process_time(), time.perf_counter()
        count = await _for_a_while(get, at_once, _SECONDS)
        figures[f"{at_once} at once: a second"] = count / (time.perf_counter() - wall)
        figures[f"{at_once} at once: CPU us"] = (time.process_time() - cpu) / count * 1e6
    return figures


async def _for_a_while(get: Callable[[], Awaitable[object]], at_once: int, seconds: float) -> int:
    end = time.perf_counter() + seconds
    count = 0

    async def worker() -> None:
        nonlocal count
        while time.perf_counter() < end:
            await get()
            count += 1

    await asyncio.gather(*(worker() for _ in range(at_once)))
    return count


async def ours(transport: Literal["httpx", "httpx2", "aiohttp"], url: str) -> Figures:
    """Ours on one of its transports."""
    from planet_async import Config, Planet

    async with Planet(Config(base_url=url, rates={}), api_key="any", transport=transport) as planet:
        return await _rates(lambda: planet.orders.get(_ID))


async def official(url: str) -> Figures:
    """The official client, its limiter off."""
    from planet import Auth, OrdersClient, Session
    from planet.http import _Limiter

    async with Session(auth=Auth.from_key("any")) as session:
        session._limiter = _Limiter(0, 0)
        client = OrdersClient(session, base_url=f"{url}/compute/ops")
        return await _rates(lambda: client.get_order(_ID))


async def raw_httpx(url: str) -> Figures:
    """Bare httpx, with plain dicts."""
    import httpx

    async with httpx.AsyncClient() as client:

        async def get() -> object:
            return (await client.get(f"{url}/compute/ops/orders/v2/{_ID}")).json()

        return await _rates(get)


async def raw_aiohttp(url: str) -> Figures:
    """Bare aiohttp, with plain dicts."""
    import aiohttp

    async with aiohttp.ClientSession() as session:

        async def get() -> object:
            async with session.get(f"{url}/compute/ops/orders/v2/{_ID}") as response:
                return json.loads(await response.read())

        return await _rates(get)


CLIENTS: dict[str, Client] = {
    "ours, httpx": partial(ours, "httpx"),
    "httpx": raw_httpx,
    "planet 3.7.0": official,
    "ours, httpx2": partial(ours, "httpx2"),
    "ours, aiohttp": partial(ours, "aiohttp"),
    "aiohttp": raw_aiohttp,
}


def goals(rounds: int) -> Sequence[Goal]:
    """Measure."""
    with raw_server() as url:
        found = interleaved(__file__, list(CLIENTS), rounds, url)
    print_table("get one order", found)

    def goal(ours: str, at_once: int, least: float) -> Goal:
        what = f"get an order, {ours} against planet 3.7.0, {at_once} at once"
        speed = ratio(found, f"{at_once} at once: a second", ours, "planet 3.7.0")
        cpu = ratio(found, f"{at_once} at once: CPU us", "planet 3.7.0", ours)
        return Goal(what, speed, least=least, by_cpu=cpu)

    wanted = {
        "ours, httpx": (0.9, 1.0, 1.3),
        "ours, httpx2": (0.9, 1.4, 2.4),
        "ours, aiohttp": (2.3, 5, 10),
    }
    return [
        goal(name, at_once, least)
        for name, each in wanted.items()
        for at_once, least in zip(AT_ONCE, each, strict=True)
    ]


if __name__ == "__main__":
    run(__file__, CLIENTS, goals, rounds=5)
