"""Waiting for many orders: requests, how late their ends are heard of, CPU, memory; the official client too.

    python benchmarks/waiting.py            # 300, 5,000 and 100,000; the official client as far as 300
    python benchmarks/waiting.py --long     # the official client for 5,000, too: half an hour

Ours waits in virtual time at the documented rates, in one process with the simulator, whose own CPU time is
left out.  The official client cannot: it polls a simulator over HTTP in real time, which has no limits, at
the ten requests a second that it allows itself.
"""

import argparse
import asyncio
import gc
import json
import resource
import statistics
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import anyio
import msgspec
from side_by_side import Figures, run_client

if TYPE_CHECKING:
    from planet_async.simulator import Simulator

CASES = {300: 60.0, 5_000: 600.0, 100_000: 6_000.0}  # orders, and the seconds within which they finish
OFFICIAL = 300  # the most that the official client waits for unless it may take long
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ORDER = msgspec.json.encode(
    {
        "name": "field 7",
        "products": [{"item_ids": ["a"], "item_type": "PSScene", "product_bundle": "analytic_udm2"}],
    }
)


def simulated(count: int, seconds: float, **arguments: Any) -> "Simulator":
    """Make a Planet whose orders end one after the other, evenly, with the last at the end."""
    from planet_async.simulator import OrderPlan, Simulator

    def plan(_: Mapping[str, Any], number: int) -> OrderPlan:
        share = (number % count + 1) / count
        return OrderPlan(queue_seconds=share * seconds / 2, run_seconds=share * seconds / 2)

    return Simulator(plan=plan, max_queued=count, **arguments)


async def placed(simulator: "Simulator", count: int) -> list[str]:
    """Place orders, and give their ids."""
    from planet_async import Request

    url = f"{simulator.base_url}/compute/ops/orders/v2"
    request = Request("POST", url, headers={"authorization": "api-key any"}, body=ORDER)
    for _ in range(count):
        await (await simulator.send(request)).read()
    simulator.requests.clear()
    return [*simulator.orders]


def late(simulator: "Simulator", order_id: str, now: float) -> float:
    """Return how long ago an order ended."""
    return now - simulator.orders[order_id].modified / 1_000_000


def figures(simulator: "Simulator", delays: list[float], cpu: float, kb: int, seconds: float) -> Figures:
    """Put together what is printed."""
    return {
        "requests": float(simulator.requests.total()),
        "median notice s": statistics.median(delays),
        "worst notice s": max(delays),
        "CPU s": cpu,
        "CPU %": 100 * cpu / seconds,
        "MB while waiting": kb / 1024,
    }


def _kb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


async def ours(count: int, seconds: float) -> Figures:
    """Wait in virtual time."""
    from planet_async import ApiKey, Config, Planet, Request, Response
    from planet_async.simulator import Limits
    from planet_async.simulator.faults import DOCUMENTED
    from planet_async.testing import FakeClock

    clock = FakeClock()
    rates = {name: rate for name, rate in DOCUMENTED.items() if name != "orders.create"}
    simulator = simulated(count, seconds, clock=clock, limits=Limits(rates))
    ids = await placed(simulator, count)
    theirs = 0.0

    class Network:
        async def send(self, request: Request) -> Response:
            nonlocal theirs
            began = time.thread_time()
            try:
                return await simulator.send(request)
            finally:
                theirs += time.thread_time() - began

        async def aclose(self) -> None:
            pass

    gc.collect()
    before, began, delays = _kb(), time.process_time(), list[float]()
    async with Planet(Config(), credentials=ApiKey("any"), transport=Network(), clock=clock) as planet:
        async for outcome in planet.orders.wait_many(ids):
            delays.append(late(simulator, outcome.unwrap().id, (clock.now() - EPOCH).total_seconds()))
    assert len(delays) == count
    return figures(simulator, delays, time.process_time() - began - theirs, _kb() - before, seconds)


async def official(count: int, seconds: float) -> Figures:
    """Wait in real time, all orders at once, as `planet orders wait` does for each."""
    import planet
    from planet.clients.orders import OrdersClient

    from planet_async.simulator import Limits
    from planet_async.simulator.server import serve

    simulator = simulated(count, seconds, limits=Limits.unlimited())
    ids = await placed(simulator, count)
    with serve(simulator) as url:
        # The thread that serves is not to be counted with the client's.
        before, began, delays = _kb(), time.thread_time(), list[float]()
        async with planet.Session(auth=planet.Auth.from_key("any")) as session:
            client = OrdersClient(session, base_url=f"{url}/compute/ops")

            async def wait(order_id: str) -> None:
                await client.wait(order_id, max_attempts=0)
                delays.append(late(simulator, order_id, datetime.now(UTC).timestamp()))

            await asyncio.gather(*map(wait, ids))
        cpu, kb = time.thread_time() - began, _kb() - before
    return figures(simulator, delays, cpu, kb, seconds)


def main() -> int:
    """Run all cases, each client in a process of its own."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--client", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.client is not None:
        name, count, seconds = json.loads(given.client)
        print(json.dumps(anyio.run({"ours": ours, "official": official}[name], count, seconds)))
        return 0
    for count, seconds in CASES.items():
        print(f"\n{count:,} orders that finish within {seconds:g} s")
        for name in ("ours", "official"):
            most = 5_000 if given.long else OFFICIAL
            if name == "official" and count > most:
                print(f"{name:>10}  not run: one round of {count:,} looks takes it {count / 10:,.0f} s")
                continue
            found = run_client(__file__, "--client", json.dumps([name, count, seconds]))
            print(
                f"{name:>10}  " + "   ".join(f"{key} {value:,.2f}" for key, value in found.items()),
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
