"""Ten thousand callers queued at the rate limiter: how much of the allowed rate they get, and at what cost.

python benchmarks/limiter.py
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from bodies import order_id
from goals import Goal, interleaved, median, print_table, run
from raw_server import raw_server
from side_by_side import Figures

_CALLERS = 10_000
_RATE = 10  # a second: what the official client allows itself
_SECONDS = 8.0
_ID = order_id(7)


async def _queued(get: Callable[[], Awaitable[object]]) -> Figures:
    times: list[float] = []
    enough = asyncio.Event()

    async def caller() -> None:
        await get()
        times.append(time.perf_counter())
        if times[-1] - times[0] >= _SECONDS:
            enough.set()

    cpu, wall = time.process_time(), time.perf_counter()
    callers = [asyncio.create_task(caller()) for _ in range(_CALLERS)]
    await enough.wait()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    for task in callers:
        task.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    return {"% of the rate": 100 * _rate(times) / _RATE, "% of a core": 100 * cpu / wall}


def _rate(times: Sequence[float]) -> float:
    """Return the responses a second, over a whole number of windows once all callers are queued."""
    count = (len(times) - 1 - _RATE) // _RATE * _RATE
    return count / (times[_RATE + count] - times[_RATE])


async def ours(url: str) -> Figures:
    """Ours by default, at the same rate."""
    from planet_async import ApiKey, Config, Planet, Window

    config = Config(base_url=url, rates={"orders.get": (Window(_RATE),)})
    async with Planet(config, credentials=ApiKey("any")) as planet:
        return await _queued(lambda: planet.orders.get(_ID))


async def official(url: str) -> Figures:
    """The official client as it is."""
    from planet import Auth, OrdersClient, Session

    async with Session(auth=Auth.from_key("any")) as session:
        client = OrdersClient(session, base_url=f"{url}/compute/ops")
        return await _queued(lambda: client.get_order(_ID))


CLIENTS = {"planet_async": ours, "planet 3.7.0": official}


def goals(rounds: int) -> Sequence[Goal]:
    """Measure."""
    with raw_server() as url:
        found = interleaved(__file__, list(CLIENTS), rounds, url)
    print_table(f"{_CALLERS:,} callers queued for {_SECONDS:g} s", found)
    rate, cpu = (median(found, key, "planet_async") for key in ("% of the rate", "% of a core"))
    return [
        Goal("10,000 callers queued: share of the allowed rate", rate, least=98, unit="%"),
        Goal("10,000 callers queued: CPU, queueing included", cpu, most=20, unit="% of a core"),
    ]


if __name__ == "__main__":
    run(__file__, CLIENTS, goals, rounds=3)
