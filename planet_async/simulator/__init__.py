"""A Planet in memory, for tests, demonstrations and benchmarks; nothing reaches the real one.

In this process it is the transport of a client, on asyncio and trio, in real or virtual time:

    simulator = Simulator(clock=clock, plan=OrderPlan(queue_seconds=5, run_seconds=30))
    async with Planet(credentials=ApiKey("any"), transport=simulator, clock=clock) as planet:
        order = await planet.orders.create(request)
        order = await planet.orders.wait(order.id)

Served on loopback, any client of the API can use it (extra ``simulator``):

    from planet_async.simulator.server import serve

    with serve(Simulator(limits=Limits.unlimited())) as url:
        ...

Things go wrong on demand:

    simulator.faults.add(Fault(operation="orders.get", status=503, times=2))
"""

from planet_async.simulator.context import NAME_CHANGES
from planet_async.simulator.data import AssetPlan
from planet_async.simulator.faults import Fault, Faults, Limits
from planet_async.simulator.http import ServerRequest
from planet_async.simulator.orders import Order, OrderPlan
from planet_async.simulator.reports import ReportPlan
from planet_async.simulator.simulator import Simulator
from planet_async.simulator.subscriptions import Subscription, SubscriptionPlan
from planet_async.simulator.tasking import TaskingOrder, TaskingPlan
from planet_async.simulator.windows import SearchPlan

__all__ = [
    "NAME_CHANGES",
    "AssetPlan",
    "Fault",
    "Faults",
    "Limits",
    "Order",
    "OrderPlan",
    "ReportPlan",
    "SearchPlan",
    "ServerRequest",
    "Simulator",
    "Subscription",
    "SubscriptionPlan",
    "TaskingOrder",
    "TaskingPlan",
]
