"""Listing: 100,000 orders without latency, and at 50 ms by cursor and by offset.

python benchmarks/lists.py
"""

import json
from collections.abc import Awaitable, Callable, Sequence
from importlib import import_module

from bodies import PAGE
from goals import Goal, interleaved, measuring, median, print_table, ratio, run
from raw_server import TASKING_ORDERS, raw_server
from side_by_side import Figures

_PAGES = 200
_CURSOR_PAGES = 100
_LATENCY = 0.05  # seconds


async def _ours(url: str, transport: str, how: str, pages: int) -> Figures:
    from planet_async import ApiKey, Config, Planet
    from planet_async.transports import TransportName

    name: TransportName = "aiohttp" if transport == "aiohttp" else "httpx"
    for loaded in (name, f"planet_async.transports.{name}"):  # loading them is no part of what is measured
        import_module(loaded)
    config = Config(base_url=url, rates={})
    count, figures = 0, Figures()
    with measuring(figures):
        async with Planet(config, credentials=ApiKey("any"), transport=name) as planet:
            orders = planet.orders.list(user_id=pages)  # to the raw server, the number of pages
            if how == "typed":
                async for order in orders:
                    count += bool(order.id)
            else:
                async for page in orders.pages():
                    count += len(page)
    assert count == pages * PAGE
    return figures


async def httpx_typed(url: str, pages: int) -> Figures:
    """Ours by default, each order typed."""
    return await _ours(url, "httpx", "typed", pages)


async def httpx_counted(url: str, pages: int) -> Figures:
    """Ours by default, orders only counted."""
    return await _ours(url, "httpx", "counted", pages)


async def aiohttp_typed(url: str, pages: int) -> Figures:
    """Ours on aiohttp, each order typed."""
    return await _ours(url, "aiohttp", "typed", pages)


async def aiohttp_counted(url: str, pages: int) -> Figures:
    """Ours on aiohttp, orders only counted."""
    return await _ours(url, "aiohttp", "counted", pages)


async def official(url: str, pages: int) -> Figures:
    """The official client, its limiter off."""
    from planet import Auth, OrdersClient, Session
    from planet.http import _Limiter

    count, figures = 0, Figures()
    with measuring(figures):
        async with Session(auth=Auth.from_key("any")) as session:
            session._limiter = _Limiter(0, 0)
            client = OrdersClient(session, base_url=f"{url}/compute/ops")
            async for order in client.list_orders(limit=0, user_id=pages):
                count += bool(order["id"])
    assert count == pages * PAGE
    return figures


async def raw_httpx(url: str, pages: int) -> Figures:
    """Bare httpx, plain dicts, page by page."""
    import httpx

    async with httpx.AsyncClient() as client:

        async def fetch(link: str) -> bytes:
            return (await client.get(link)).content

        return await _raw(fetch, url, pages)


async def raw_aiohttp(url: str, pages: int) -> Figures:
    """Bare aiohttp, plain dicts, page by page."""
    import aiohttp

    async with aiohttp.ClientSession() as session:

        async def fetch(link: str) -> bytes:
            async with session.get(link) as response:
                return await response.read()

        return await _raw(fetch, url, pages)


async def _raw(fetch: Callable[[str], Awaitable[bytes]], url: str, pages: int) -> Figures:
    count, figures = 0, Figures()
    link: str | None = f"{url}/compute/ops/orders/v2?user_id={pages}"
    with measuring(figures):
        while link is not None:
            page = json.loads(await fetch(link))
            count += sum(bool(order["id"]) for order in page["orders"])
            link = page["_links"].get("next")
    assert count == pages * PAGE
    return figures


async def _tasking(url: str, concurrency: int, *, typed: bool = True) -> Figures:
    from planet_async import ApiKey, Config, Planet

    config, figures = Config(base_url=url, rates={}), Figures()
    async with Planet(config, credentials=ApiKey("any"), transport="aiohttp") as planet:
        with measuring(figures):
            count = 0
            async for page in planet.tasking.list(page_size=PAGE, concurrency=concurrency).pages():
                count += len(page.items if typed else page)
    assert count == TASKING_ORDERS
    return figures


async def one_at_a_time(url: str) -> Figures:
    """Ours on aiohttp, by offset."""
    return await _tasking(url, 1)


async def sixteen_at_once(url: str) -> Figures:
    """Ours on aiohttp, by offset, pages side by side."""
    return await _tasking(url, 16)


async def one_counted(url: str) -> Figures:
    """Ours on aiohttp, by offset, orders only counted."""
    return await _tasking(url, 1, typed=False)


async def sixteen_counted(url: str) -> Figures:
    """Ours on aiohttp, by offset, pages side by side, orders only counted."""
    return await _tasking(url, 16, typed=False)


ORDERS = {
    "ours, aiohttp": aiohttp_typed,
    "the same, counted": aiohttp_counted,
    "ours, httpx": httpx_typed,
    "counted, httpx": httpx_counted,
    "planet 3.7.0": official,
    "httpx": raw_httpx,
    "aiohttp": raw_aiohttp,
}
OFFSETS = {
    "one at a time": one_at_a_time,
    "16 at once": sixteen_at_once,
    "one, counted": one_counted,
    "16, counted": sixteen_counted,
}


def goals(rounds: int) -> Sequence[Goal]:
    """Measure."""
    with raw_server() as url:
        listed = interleaved(__file__, list(ORDERS), rounds, url, _PAGES)
    print_table("list 100,000 orders, no latency", listed)
    with raw_server(latency=_LATENCY) as url:
        cursor = interleaved(__file__, ["ours, aiohttp", "ours, httpx"], rounds, url, _CURSOR_PAGES)
        offset = interleaved(__file__, list(OFFSETS), min(rounds, 2), url)
    print_table(f"list {_CURSOR_PAGES * PAGE:,} orders by cursor, 50 ms", cursor)
    print_table("list 100,000 tasking orders by offset, 50 ms", offset)
    floor = _LATENCY * _CURSOR_PAGES

    def against_official(ours: str, least: float) -> Goal:
        return Goal(
            f"list 100,000 orders, {ours}, against planet 3.7.0",
            ratio(listed, "s", "planet 3.7.0", ours),
            least=least,
            by_cpu=ratio(listed, "CPU s", "planet 3.7.0", ours),
        )

    return [
        against_official("ours, httpx", 2.2),
        against_official("counted, httpx", 6),
        *(
            Goal(
                f"list by cursor at 50 ms, {name}, over latency x pages",
                median(cursor, "s", name) / floor,
                most=1.06,
            )
            for name in cursor
        ),
        Goal(
            "list by offset at 50 ms, 16 at once, against one at a time",
            ratio(offset, "s", "one at a time", "16 at once"),
            least=12,
        ),
        Goal(
            "list by offset at 50 ms, 16 at once, counted, against one at a time",
            ratio(offset, "s", "one, counted", "16, counted"),
            least=12,
        ),
    ]


if __name__ == "__main__":
    run(__file__, {**ORDERS, **OFFSETS}, goals, rounds=3)
