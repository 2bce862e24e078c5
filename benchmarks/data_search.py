"""Searching: 10,000 items without latency, and at 50 ms, next to the official client.

python benchmarks/data_search.py
"""

from collections.abc import Sequence
from importlib import import_module

from goals import Goal, interleaved, measuring, median, print_table, ratio, run
from raw_server import ITEMS, ITEMS_PAGE, raw_server
from side_by_side import Figures

_LATENCY = 0.05  # seconds


async def _ours(url: str, transport: str, *, typed: bool = False) -> Figures:
    from planet_async import ApiKey, Config, Planet
    from planet_async.transports import TransportName

    name: TransportName = "aiohttp" if transport == "aiohttp" else "httpx"
    import_module(f"planet_async.transports.{name}")  # loading it is no part of what is measured
    count, figures = 0, Figures()
    config = Config(base_url=url, rates={})
    async with Planet(config, credentials=ApiKey("any"), transport=name) as planet:
        await planet.data.search("PSScene").first()  # the server makes the pages
        with measuring(figures):
            async for item in planet.data.search("PSScene"):
                if typed:
                    count += item.acquired is not None and item.cloud_cover is not None
                else:
                    count += bool(item.id)
    assert count == ITEMS
    return figures


async def httpx(url: str) -> Figures:
    """Ours by default; the ids are read."""
    return await _ours(url, "httpx")


async def httpx_typed(url: str) -> Figures:
    """Ours by default; a time and a number of each item are read."""
    return await _ours(url, "httpx", typed=True)


async def aiohttp_typed(url: str) -> Figures:
    """Ours on aiohttp; a time and a number of each item are read."""
    return await _ours(url, "aiohttp", typed=True)


async def official(url: str) -> Figures:
    """The official client, its limiter off; the time of each item is read."""
    from datetime import datetime

    from planet import Auth, Session
    from planet.clients import DataClient
    from planet.data_filter import empty_filter
    from planet.http import _Limiter

    count, figures = 0, Figures()
    async with Session(auth=Auth.from_key("any")) as session:
        session._limiter = _Limiter(0, 0)
        client = DataClient(session, base_url=f"{url}/data/v1")
        async for _ in client.search([], empty_filter(), limit=1):  # no type: it would fetch the catalogue
            pass
        with measuring(figures):
            async for item in client.search([], empty_filter(), limit=0):
                properties = item["properties"]
                acquired = datetime.fromisoformat(properties["acquired"])
                count += acquired.year > 1 and properties["cloud_cover"] is not None
    assert count == ITEMS
    return figures


CLIENTS = {
    "ours, httpx": httpx,
    "ours, httpx, typed": httpx_typed,
    "ours, aiohttp, typed": aiohttp_typed,
    "planet 3.7.0": official,
}


def goals(rounds: int) -> Sequence[Goal]:
    """Measure."""
    with raw_server() as url:
        found = interleaved(__file__, list(CLIENTS), rounds, url)
    print_table(f"search {ITEMS:,} items, no latency", found)
    names = ["ours, httpx, typed", "ours, aiohttp, typed"]
    with raw_server(latency=_LATENCY) as url:
        delayed = interleaved(__file__, names, rounds, url)
    print_table(f"search {ITEMS:,} items, 50 ms", delayed)
    floor = _LATENCY * ITEMS / ITEMS_PAGE
    return [
        *(
            Goal(
                f"search {ITEMS:,} items, {name}, against planet 3.7.0",
                ratio(found, "s", "planet 3.7.0", name),
                least=2,
                by_cpu=ratio(found, "CPU s", "planet 3.7.0", name),
            )
            # Both read with httpx here, which takes half of the time of either.
            for name, least in zip(names, (2.0, 2.0), strict=True)
        ),
        *(
            Goal(
                f"search at 50 ms, {name}, over latency x pages",
                median(delayed, "s", name) / floor,
                most=1.05,
            )
            for name in names
        ),
    ]


if __name__ == "__main__":
    run(__file__, CLIENTS, goals, rounds=3)
