"""How late the event loop gets while 10,000 orders are waited for, all are listed, and files downloaded.

    python benchmarks/loop_lag.py

A ticker sleeps for 2 ms at a time.  What it comes late by is the delay of the loop and also that of a machine
that gives the core to others, so the same ticker runs alone first, and the CPU time that the loop's thread
spent between two ticks is told as well: what other programs do does not count in that.  Nothing is kept to a
core: what is written and hashed goes to threads so that the loop need not wait for it.
"""

import asyncio
import gc
import shutil
import tempfile
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bodies import order_id
from goals import Goal, interleaved, median, print_table, run
from raw_server import raw_server, use_all_cores, with_files
from side_by_side import Figures

if TYPE_CHECKING:
    from planet_async import Planet

_TICK = 0.002  # seconds
_SECONDS = 12.0
_WAITED_FOR = 10_000
_DAY = 86_400.0


async def _ticker(late: list[float], busy: list[float]) -> None:
    while True:
        due, used = time.perf_counter() + _TICK, time.thread_time()
        await asyncio.sleep(_TICK)
        late.append(time.perf_counter() - due)
        busy.append(time.thread_time() - used)


def _figures(late: list[float], busy: list[float]) -> Figures:
    late, busy = sorted(late), sorted(busy)
    return {
        "late, worst ms": 1000 * late[-1],
        "late, 99.9% ms": 1000 * late[int(len(late) * 0.999)],
        "busy, worst ms": 1000 * busy[-1],
        "busy, 99.9% ms": 1000 * busy[int(len(busy) * 0.999)],
        "ticks": len(late),
    }


async def alone(_: str) -> Figures:
    """Only tick."""
    use_all_cores()
    late, busy = list[float](), list[float]()
    ticker = asyncio.create_task(_ticker(late, busy))
    await asyncio.sleep(_SECONDS / 2)
    ticker.cancel()
    return _figures(late, busy)


async def at_work(url: str) -> Figures:
    """Wait, list and download for a while, as fast as it goes, by default."""
    from planet_async import ApiKey, Config, Planet, Schedule

    use_all_cores()
    late, busy, done = list[float](), list[float](), Figures()
    ids = [order_id(number) for number in range(_WAITED_FOR)]  # milliseconds that are no doing of the client
    config = Config(base_url=url, rates={}, schedule=Schedule(first=0.2, factor=1.0, longest=_DAY))
    async with Planet(config, credentials=ApiKey("any")) as planet:
        await planet.orders.list(user_id=1).collect()  # what happens once has happened
        jobs = (_wait(planet, ids, done), _list(planet, done), _download(planet, done), _ticker(late, busy))
        tasks = [asyncio.create_task(job) for job in jobs]
        await asyncio.wait(tasks, timeout=_SECONDS, return_when=asyncio.FIRST_EXCEPTION)
        for task in tasks:
            task.cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
    for error in found:
        if isinstance(error, Exception):
            raise error
    return {**_figures(late, busy), **done}


async def at_work_frozen(url: str) -> Figures:
    """The same where collections of garbage leave out what was there before, mostly modules and classes."""
    from planet_async import Planet  # noqa: F401 - it is there before
    from planet_async.transports import httpx  # noqa: F401 - the same

    gc.collect()
    gc.freeze()
    return await at_work(url)


async def _wait(planet: "Planet", ids: list[str], done: Figures) -> None:
    done["orders ended"] = 0
    async for _ in planet.orders.wait_many(ids):
        done["orders ended"] += 1


async def _list(planet: "Planet", done: Figures) -> None:
    done["orders listed"] = 0
    while True:
        async for _ in planet.orders.list():
            done["orders listed"] += 1


async def _download(planet: "Planet", done: Figures) -> None:
    done["MB downloaded"] = 0
    while True:
        folder = tempfile.mkdtemp()
        try:
            await planet.orders.download(with_files(4, 8, checked=True), to=folder)
        finally:  # not where the loop would wait for it: that is no doing of the client
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, folder))
        done["MB downloaded"] += 32


CLIENTS = {"alone": alone, "at work": at_work, "at work, gc.freeze()": at_work_frozen}
_GOALS = {"late, worst ms": 20.0, "late, 99.9% ms": 10.0, "busy, worst ms": 20.0, "busy, 99.9% ms": 10.0}


def goals(rounds: int) -> Sequence[Goal]:
    """Measure."""
    with raw_server() as url:
        found = {name: interleaved(__file__, [name], rounds, url)[name] for name in CLIENTS}
    for name, figures in found.items():
        print_table("event loop", {name: figures})
    return [
        Goal(f"event loop at work, {key[:-3]}", median(found, key, "at work"), most=most, unit="ms")
        for key, most in _GOALS.items()
    ]


if __name__ == "__main__":
    run(__file__, CLIENTS, goals, rounds=2)
