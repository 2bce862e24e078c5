"""Waiting for 300, 5,000 and 100,000 orders: what it costs, and how late the end of an order is heard of.

    python benchmarks/waiting.py                 about three minutes
    python benchmarks/waiting.py --long          up to ten minutes for each number, over HTTP

Over HTTP both clients wait side by side, each for its own simulated Planet, which allows any rate: each keeps
to its own.  What takes longer than `--seconds` is cut off there.  In virtual time ours waits to the end, and
its CPU is without that of the simulator.
"""

import argparse
import asyncio
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from types import coroutine
from typing import Any, TypeVar

import anyio
from goals import measuring
from side_by_side import Figures

from planet_async import ApiKey, Config, Planet, Request, Response
from planet_async.clock import Clock, SystemClock
from planet_async.simulator import Limits, OrderPlan, Simulator
from planet_async.testing import FakeClock

T = TypeVar("T")

_ENDING_WITHIN = {300: 60.0, 5_000: 600.0, 100_000: 3600.0}  # seconds
_PLACED_A_SECOND = 2_000  # orders, at least, by the simulator itself
_OFFICIAL_RATE = 10  # requests a second
_VIRTUAL, _OURS, _OFFICIAL = "ours, virtual", "ours", "planet 3.7.0"
_PRODUCT = {"item_ids": ["a"], "item_type": "PSScene", "product_bundle": "analytic_udm2"}
_ORDER = json.dumps({"name": "field 7", "products": [_PRODUCT]}).encode()


# The service ----------------------------------------------------------------------------------------------


async def _with_orders(clock: Clock, count: int, lead: float) -> Simulator:
    """Make a Planet whose orders end one after the other, beginning after `lead` seconds."""

    def plan(_: Mapping[str, Any], number: int) -> OrderPlan:
        share = (number % count + 1) / count
        return OrderPlan(queue_seconds=0, run_seconds=lead + share * _ENDING_WITHIN[count])

    simulator = Simulator(clock=clock, plan=plan, limits=Limits.unlimited())
    create = Request(
        "POST",
        f"{simulator.base_url}/compute/ops/orders/v2",
        headers={"authorization": "api-key any"},
        body=_ORDER,
    )
    for _ in range(count):
        await (await simulator.send(create)).aclose()
    simulator.requests.clear()
    return simulator


def _serve(connection: Connection, count: int, folder: Path) -> None:
    from planet_async.simulator.server import serve

    lead = 5 + count / _PLACED_A_SECOND
    began = time.monotonic()
    simulator = anyio.run(_with_orders, SystemClock(), count, lead)
    (folder / "ids").write_text("\n".join(simulator.orders))
    with serve(simulator) as url:
        connection.send((url, lead - (time.monotonic() - began)))
        connection.recv()
        ended = {id_: order.modified / 1e6 for id_, order in simulator.orders.items() if order.is_final}
        connection.send((ended, simulator.requests.total()))


# The clients ----------------------------------------------------------------------------------------------


async def ours(url: str, ids: Sequence[str], heard: dict[str, float]) -> None:
    """Wait with planet_async."""
    async with Planet(Config(base_url=url), credentials=ApiKey("any")) as planet:
        async for outcome in planet.orders.wait_many(ids):
            heard[outcome.unwrap().id] = time.time()


async def official(url: str, ids: Sequence[str], heard: dict[str, float]) -> None:
    """Wait as the official client's documentation shows: one task an order."""
    from planet import Auth, OrdersClient, Session

    async with Session(auth=Auth.from_key("any")) as session:
        client = OrdersClient(session, base_url=f"{url}/compute/ops")

        async def wait(id_: str) -> None:
            await client.wait(id_, max_attempts=0)
            heard[id_] = time.time()

        await asyncio.gather(*(wait(id_) for id_ in ids))


_CLIENTS = {_OURS: ours, _OFFICIAL: official}


def _be_client(name: str, url: str, folder: str, seconds: float) -> None:
    ids = (Path(folder) / "ids").read_text().split()
    figures, heard = Figures(), dict[str, float]()

    async def job() -> None:
        with anyio.move_on_after(seconds):
            await _CLIENTS[name](url, ids, heard)

    if name == _OFFICIAL:
        import planet  # noqa: F401 - what importing takes is not measured
    with measuring(figures):
        anyio.run(job)
    print(json.dumps([figures, heard]))


# Measuring ------------------------------------------------------------------------------------------------


async def over_http(name: str, count: int, seconds: float) -> Figures:
    """Let one client wait for a simulated Planet, each in a process of its own."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    with tempfile.TemporaryDirectory() as folder:
        child = context.Process(target=_serve, args=(there, count, Path(folder)), daemon=True)
        child.start()
        url, lead = await anyio.to_thread.run_sync(here.recv)
        arguments = json.dumps([name, url, folder, min(seconds, lead + 2 * _ENDING_WITHIN[count])])
        done = await anyio.run_process([sys.executable, __file__, "--client", arguments], stderr=None)
        here.send("stop")
        ended, requests = await anyio.to_thread.run_sync(here.recv)
        child.join()
    figures, heard = json.loads(done.stdout)
    late = [moment - ended[id_] for id_, moment in heard.items()]
    return _row(late, len(ended), requests, figures["CPU s"], figures["MB above start"])


def in_virtual_time(count: int) -> Figures:
    """Let ours wait to the end."""

    async def job() -> Figures:
        clock = FakeClock()
        simulator = await _with_orders(clock, count, 0)
        metered, late, ids = _Metered(simulator), list[float](), list(simulator.orders)
        began = time.process_time()
        async with Planet(Config(), credentials=ApiKey("any"), transport=metered, clock=clock) as planet:
            async for outcome in planet.orders.wait_many(ids):
                order = simulator.orders[outcome.unwrap().id]
                late.append(clock.now().timestamp() - order.modified / 1e6)
        cpu = time.process_time() - began - metered.seconds
        return _row(late, count, simulator.requests.total(), cpu, 0.0)

    return anyio.run(job)


class _Metered:
    """A transport that notes the CPU seconds of the one within."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self.seconds = 0.0

    async def send(self, request: Request) -> Response:
        return await self._steps(self._simulator.send(request))

    @coroutine
    def _steps(self, call: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
        resume: Callable[[], Any] = partial(call.send, None)
        while True:
            began = time.process_time()
            try:
                awaited = resume()
            except StopIteration as end:
                value: T = end.value
                return value
            finally:
                self.seconds += time.process_time() - began
            try:
                resume = partial(call.send, (yield awaited))
            except BaseException as error:  # noqa: BLE001 - the one within has to see it
                resume = partial(call.throw, error)

    async def aclose(self) -> None:
        await self._simulator.aclose()


def _row(late: Sequence[float], ended: int, requests: int, cpu: float, memory: float) -> Figures:
    return {
        "orders ended": ended,
        "of these heard of": len(late),
        "requests": requests,
        "median notice, s late": median(late) if late else float("nan"),
        "worst notice, s late": max(late, default=float("nan")),
        "CPU s": cpu,
        "MB above start": memory,
    }


async def _side_by_side(count: int, seconds: float) -> dict[str, Figures]:
    found: dict[str, Figures] = {}

    async def note(name: str) -> None:
        found[name] = await over_http(name, count, seconds)

    async with anyio.create_task_group() as group:
        for name in _CLIENTS:
            group.start_soon(note, name)
    return found


def _print(count: int, seconds: float, columns: Mapping[str, Figures]) -> None:
    names = (_VIRTUAL, _OURS, _OFFICIAL)
    print(f"\n{count:,} orders that end within {_ENDING_WITHIN[count]:g} s")
    print(f"{'':>24}" + "".join(f"{name:>16}" for name in names))
    for key in columns[_OURS]:
        cells = (f"{columns[name][key]:,.1f}" for name in names)
        print(f"{key:>24}" + "".join(f"{'-' if cell in {'nan', '0.0'} else cell:>16}" for cell in cells))
    if any(columns[name]["of these heard of"] < count for name in _CLIENTS):
        round_ = count / _OFFICIAL_RATE
        print(
            f"Over HTTP cut off after {seconds:g} s.  Not run to the end, but by the numbers: one look at each"
        )
        print(f"takes {_OFFICIAL} {round_:,.0f} s, so its notice is {round_ / 2:,.0f} s late in the mean.")


def main() -> None:
    """Measure, or be one of the measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=30.0, help="for the numbers above 300, over HTTP")
    parser.add_argument("--long", action="store_true", help="the same as --seconds 660")
    parser.add_argument("--client", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.client:
        _be_client(*json.loads(arguments.client))
        return
    for count in _ENDING_WITHIN:
        seconds = 150.0 if count == min(_ENDING_WITHIN) else 660.0 if arguments.long else arguments.seconds
        columns = {_VIRTUAL: in_virtual_time(count), **anyio.run(_side_by_side, count, seconds)}
        _print(count, seconds, columns)


if __name__ == "__main__":
    main()
