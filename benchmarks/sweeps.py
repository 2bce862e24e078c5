"""Workers that wait for their orders, each by sweeps of its own: how late they notice, and what that costs.

    python benchmarks/sweeps.py

In virtual time, against a simulator that allows 3 list requests a second, which all workers share. 20 orders
a worker are placed and then end in the course of an hour.  Prints for several numbers of workers how late
an order is noticed after its end, and how many list requests a minute that takes.
"""

import statistics
from random import Random

import anyio

from planet_async import ApiKey, OrderRequest, Planet, SceneProduct
from planet_async.simulator import OrderPlan, Simulator
from planet_async.testing import FakeClock

ORDERS = 20  # of each worker
HOUR = 3600.0


async def measure(workers: int) -> tuple[float, float, float]:
    """Return the mean and the worst delay of a notice, and the list requests a minute."""
    clock, chance = FakeClock(), Random(workers)
    ends = [chance.uniform(60, HOUR) for _ in range(workers * ORDERS)]
    simulator = Simulator(
        clock=clock, plan=lambda _, number: OrderPlan(queue_seconds=30, run_seconds=ends[number] - 30)
    )
    late: list[float] = []

    async def work(worker: int) -> None:
        async with Planet(credentials=ApiKey("any"), transport=simulator, clock=clock) as planet:
            due = {}
            for number in range(ORDERS):
                scene = SceneProduct(["20240101_000000_00_1234"], "PSScene", "visual")
                order = await planet.orders.create(OrderRequest(f"{worker} {number}", [scene]))
                created = simulator.orders[order.id]
                due[order.id] = clock.monotonic() + ends[created.number]
            waits = planet.orders.wait_many([*due])
            late.extend([clock.monotonic() - due[outcome.id] async for outcome in waits])

    async with anyio.create_task_group() as group:
        for worker in range(workers):
            group.start_soon(work, worker)
    lists = simulator.requests["orders.list"] + simulator.requests["orders.get"]
    return statistics.mean(late), max(late), lists / (clock.monotonic() / 60)


def main() -> None:
    """Measure and print."""
    for workers in (1, 3, 10, 30):
        mean, worst, lists = anyio.run(measure, workers)
        print(
            f"{workers:2} workers: noticed after {mean:.0f} s, {worst:.0f} s at worst;"
            f" {lists:.0f} requests a minute"
        )


if __name__ == "__main__":
    main()
