"""Downloading, mostly on one core: speed, CPU and memory of ours and the official client.

    python benchmarks/downloads.py

One order has one file of 256 MB, or sixteen of 16 MB.  The time begins when the client has sent a first
request, the memory counts from before the client.  Files are written to memory where the system has a file
system for that, so that no disk is measured.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from goals import Client, Goal, interleaved, measuring, median, print_table, ratio, run
from raw_server import raw_server, use_all_cores, with_files
from side_by_side import Figures

_MEGABYTES = 256
_SLOW_MEGABYTES = 48
_SLOW_RATE = 5e6  # bytes a second, of each connection
_SLOW_LATENCY = 0.05  # seconds
_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
_AT_ONCE = 16


async def ours(
    transport: Literal["httpx", "aiohttp"],
    url: str,
    at_once: int,
    *,
    checked: bool = True,
    all_cores: bool = False,
) -> Figures:
    """Ours on one of its transports; `checked`: sha256 compared."""
    from planet_async import Config, Planet

    if all_cores:
        use_all_cores()
    order_id = with_files(at_once, _MEGABYTES // at_once, checked=checked)
    figures, whole = Figures(), Figures()
    with tempfile.TemporaryDirectory(dir=_MEMORY) as folder:
        # Made outside, since its library is no part of what is measured.
        async with Planet(Config(base_url=url, rates={}), api_key="any", transport=transport) as planet:
            with measuring(whole):
                order = await planet.orders.get(order_id)
                with measuring(figures):
                    await planet.orders.download(order, to=folder, concurrency=at_once)
    return _with_whole(figures, whole)


def _with_whole(figures: Figures, whole: Figures) -> Figures:
    """Add what counts from the making of the client on."""
    figures["MB above import"] = whole["MB above start"]
    figures["CPU s a GB"] = figures["CPU s"] * 1024 / _MEGABYTES
    return figures


async def official_on_two_cores(url: str, at_once: int) -> Figures:
    """The official client, free to use what there is."""
    use_all_cores()
    return await official(url, at_once)


async def official(url: str, at_once: int) -> Figures:
    """The official client, its limiter off; it verifies nothing on the way."""
    from planet import Auth, OrdersClient, Session
    from planet.http import _Limiter

    order_id = with_files(at_once, _MEGABYTES // at_once, checked=False)
    figures, whole = Figures(), Figures()
    with tempfile.TemporaryDirectory(dir=_MEMORY) as folder, measuring(whole):
        async with Session(auth=Auth.from_key("any")) as session:
            session._limiter = _Limiter(0, 0)
            client = OrdersClient(session, base_url=f"{url}/compute/ops")
            order = await client.get_order(order_id)
            with measuring(figures):
                await asyncio.gather(
                    *(
                        client.download_asset(
                            result["location"],
                            filename=Path(result["name"]).name,
                            directory=Path(folder),
                            progress_bar=False,
                        )
                        for result in order["_links"]["results"]
                    )
                )
    return _with_whole(figures, whole)


async def raw_httpx(url: str, at_once: int) -> Figures:
    """Bare httpx: every chunk written as it comes, nothing checked, nothing resumed."""
    import httpx

    async with httpx.AsyncClient() as client:

        async def fetch(number: int, path: Path) -> None:
            with path.open("wb") as file:
                async with client.stream("GET", _file_url(url, at_once, number)) as response:
                    async for chunk in response.aiter_bytes():
                        file.write(chunk)

        return await _raw(fetch, at_once)


async def raw_aiohttp(url: str, at_once: int) -> Figures:
    """Bare aiohttp: every chunk written as it comes, nothing checked, nothing resumed."""
    import aiohttp

    async with aiohttp.ClientSession() as session:

        async def fetch(number: int, path: Path) -> None:
            with path.open("wb") as file:
                async with session.get(_file_url(url, at_once, number)) as response:
                    async for chunk in response.content.iter_any():
                        file.write(chunk)

        return await _raw(fetch, at_once)


def _file_url(url: str, at_once: int, number: int) -> str:
    return f"{url}/files/{_MEGABYTES // at_once}/{number}"


async def _raw(fetch: Callable[[int, Path], Awaitable[None]], at_once: int) -> Figures:
    figures, whole = Figures(), Figures()
    with tempfile.TemporaryDirectory(dir=_MEMORY) as folder, measuring(whole), measuring(figures):
        await asyncio.gather(*(fetch(number, Path(folder) / f"{number}") for number in range(at_once)))
    return _with_whole(figures, whole)


async def in_ranges(url: str, ranges: int) -> Figures:
    """Ours by default, one file by several requests at once."""
    from planet_async import ApiKey, Config, Planet

    figures = Figures()
    with tempfile.TemporaryDirectory(dir=_MEMORY) as folder:
        async with Planet(Config(base_url=url, rates={}), credentials=ApiKey("any")) as planet:
            order = await planet.orders.get(with_files(1, _SLOW_MEGABYTES, checked=True))
            with measuring(figures):
                await planet.orders.download(order, to=folder, ranges=ranges)
    return figures


CLIENTS: dict[str, Client] = {
    "ours, httpx": partial(ours, "httpx", all_cores=True),
    "ours, aiohttp": partial(ours, "aiohttp", all_cores=True),
    "planet, two cores": official_on_two_cores,
    "one core, httpx": partial(ours, "httpx"),
    "one core, aiohttp": partial(ours, "aiohttp"),
    "planet 3.7.0": official,
    "httpx": raw_httpx,
    "aiohttp": raw_aiohttp,
}
_RANGES = (1, 4, 8)


def goals(rounds: int) -> Sequence[Goal]:
    """Measure."""
    if shutil.disk_usage(_MEMORY or tempfile.gettempdir()).free < 3 * _MEGABYTES << 20:
        raise SystemExit("there is no room for the files")
    with raw_server() as url:
        one = interleaved(__file__, list(CLIENTS), rounds, url, 1)
        print_table(f"download one file of {_MEGABYTES} MB", one)
        names = ["ours, httpx", "ours, aiohttp"]
        many = interleaved(__file__, names, min(rounds, 2), url, _AT_ONCE)
        print_table(f"download {_AT_ONCE} files at once, {_MEGABYTES} MB in all", many)
    with raw_server(latency=_SLOW_LATENCY, bytes_per_second=_SLOW_RATE) as url:
        slow = {
            f"{number} ranges": interleaved(__file__, ["ranges"], 1, url, number)["ranges"]
            for number in _RANGES
        }
    print_table(f"one file of {_SLOW_MEGABYTES} MB, 5 MB/s a connection, 50 ms", slow)
    # To hash on the way is work for a second core, so that the clock decides.
    return [
        *(
            Goal(
                f"download {_MEGABYTES} MB, verified, {name}, against planet 3.7.0, both on two cores",
                ratio(one, "s", "planet, two cores", name),
                least=least,
            )
            for name, least in zip(names, (0.95, 1.3), strict=True)
        ),
        *(
            Goal(
                f"memory above import while downloading {_AT_ONCE} at once, {name}",
                median(many, "MB above import", name),
                most=24,
                unit="MB",
            )
            for name in names
        ),
    ]


if __name__ == "__main__":
    run(__file__, {**CLIENTS, "ranges": in_ranges}, goals, rounds=4)
