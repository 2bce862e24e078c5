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
from pathlib import Path

from goals import Goal, interleaved, measuring, median, print_table, ratio, run
from raw_server import raw_server, use_all_cores, with_files
from side_by_side import Figures

_MEGABYTES = 256
_SLOW_MEGABYTES = 48
_SLOW_RATE = 5e6  # bytes a second, of each connection
_SLOW_LATENCY = 0.05  # seconds
_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
_AT_ONCE = (1, 4, 16)


async def _ours(url: str, transport: str, at_once: int, checked: bool) -> Figures:
    from planet_async import ApiKey, Config, Planet
    from planet_async.transports import TransportName, aiohttp, httpx  # noqa: F401 - no part of what is measured

    name: TransportName = "aiohttp" if transport == "aiohttp" else "httpx"
    order_id = with_files(at_once, _MEGABYTES // at_once, checked=checked)
    figures, whole = Figures(), Figures()
    with tempfile.TemporaryDirectory(dir=_MEMORY) as folder, measuring(whole):
        async with Planet(
            Config(base_url=url, rates={}), credentials=ApiKey("any"), transport=name
        ) as planet:
            order = await planet.orders.get(order_id)
            with measuring(figures):
                await planet.orders.download(order, to=folder, concurrency=at_once)
    return _with_whole(figures, whole)


def _with_whole(figures: Figures, whole: Figures) -> Figures:
    """Add what counts from the making of the client on."""
    figures["MB above import"] = whole["MB above start"]
    figures["CPU s a GB"] = figures["CPU s"] * 1024 / _MEGABYTES
    return figures


async def ours_httpx(url: str, at_once: int) -> Figures:
    """Ours by default."""
    return await _ours(url, "httpx", at_once, checked=False)


async def ours_aiohttp(url: str, at_once: int) -> Figures:
    """Ours on aiohttp."""
    return await _ours(url, "aiohttp", at_once, checked=False)


async def verified_httpx(url: str, at_once: int) -> Figures:
    """Ours by default, sha256 verified."""
    return await _ours(url, "httpx", at_once, checked=True)


async def verified_aiohttp(url: str, at_once: int) -> Figures:
    """Ours on aiohttp, sha256 verified."""
    return await _ours(url, "aiohttp", at_once, checked=True)


async def verified_on_two_cores(url: str, at_once: int) -> Figures:
    """Ours on aiohttp, sha256 verified in a thread that may have a core of its own."""
    use_all_cores()
    return await _ours(url, "aiohttp", at_once, checked=True)


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


CLIENTS = {
    "ours, httpx": ours_httpx,
    "ours, aiohttp": ours_aiohttp,
    "sha256, httpx": verified_httpx,
    "sha256, aiohttp": verified_aiohttp,
    "planet 3.7.0": official,
    "sha256, two cores": verified_on_two_cores,
    "planet, two cores": official_on_two_cores,
    "httpx": raw_httpx,
    "aiohttp": raw_aiohttp,
}
_RANGES = (1, 4, 8)


def goals(rounds: int) -> Sequence[Goal]:
    """Measure."""
    memory: list[Goal] = []
    if shutil.disk_usage(_MEMORY or tempfile.gettempdir()).free < 3 * _MEGABYTES << 20:
        raise SystemExit("there is no room for the files")
    with raw_server() as url:
        one = interleaved(__file__, list(CLIENTS), rounds, url, 1)
        print_table(f"download one file of {_MEGABYTES} MB", one)
        for at_once in _AT_ONCE:
            names = ["ours, httpx", "sha256, httpx", "sha256, aiohttp"]
            found = one if at_once == 1 else interleaved(__file__, names, 1, url, at_once)
            if found is not one:
                print_table(f"download {at_once} files at once, {_MEGABYTES} MB in all", found)
            memory += [
                Goal(
                    f"memory above import while downloading, {name}, {at_once} at once",
                    median(found, "MB above import", name),
                    most=12,
                    unit="MB",
                )
                for name in names
            ]

    with raw_server(latency=_SLOW_LATENCY, bytes_per_second=_SLOW_RATE) as url:
        slow = {
            f"{number} ranges": interleaved(__file__, ["ranges"], 1, url, number)["ranges"]
            for number in _RANGES
        }
    print_table(f"one file of {_SLOW_MEGABYTES} MB, 5 MB/s a connection, 50 ms", slow)

    def against_official(ours: str, least: float) -> Goal:
        what = f"download, {ours}, against planet 3.7.0"
        wall, cpu = (ratio(one, key, "planet 3.7.0", ours) for key in ("s", "CPU s"))
        return Goal(what, wall, least=least, by_cpu=cpu)

    cost = ratio(one, "CPU s", "ours, aiohttp", "planet 3.7.0")
    return [
        against_official("ours, httpx", 1.05),
        against_official("ours, aiohttp", 2.7),
        Goal("download, ours, aiohttp, CPU a GB against planet 3.7.0", cost, most=0.4),
        # To hash on the way is work for a second core, so that the clock decides.
        Goal(
            "download, sha256, aiohttp, against planet 3.7.0, both on two cores",
            ratio(one, "s", "planet, two cores", "sha256, two cores"),
            least=2,
        ),
        *memory,
    ]


if __name__ == "__main__":
    run(__file__, {**CLIENTS, "ranges": in_ranges}, goals, rounds=4)
