"""`watch`: every change of one order, until its end."""

from itertools import pairwise

import anyio
import msgspec
import pytest

from planet_async import ApiKey, Config, NotFound, Order, Planet, WaitTimeout
from planet_async.simulator import Fault, ServerRequest, Simulator, TaskingPlan
from planet_async.testing import FakeClock

pytestmark = pytest.mark.anyio

ORDER = {
    "name": "field 7",
    "products": [
        {"item_ids": ["20221221_084022_18_2414"], "item_type": "PSScene", "product_bundle": "analytic_udm2"}
    ],
}
VARIABLE = {
    "name": "biomass",
    "source": {
        "type": "biomass_proxy",
        "parameters": {
            "id": "BIOMASS-PROXY_V4.0_10",
            "geometry": {"type": "Polygon", "coordinates": [[[7, 46], [8, 46], [8, 47], [7, 46]]]},
            "start_time": "2026-01-01T00:00:00Z",
        },
    },
}
HARBOUR = {"name": "harbour", "geometry": {"type": "Point", "coordinates": [149.44, 28.49]}}


async def test_each_state_is_shown_once(planet: Planet) -> None:
    """The present one first, and the last with its results, as `get` returns it."""
    order = await planet.orders.create(ORDER)
    seen = [order async for order in planet.orders.watch(order.id)]
    assert [*dict.fromkeys(each.state for each in seen)] == ["queued", "running", "success"]
    assert all(one != other for one, other in pairwise(seen))
    assert seen[-1].results
    again = [order async for order in planet.orders.watch(order.id)]
    assert again == seen[-1:]


async def test_many_watchers_share_their_requests(simulator: Simulator, clock: FakeClock) -> None:
    """Two hundred pages that watch twenty orders cost the list requests of one wait, and one `get` each."""
    async with Planet(Config(), credentials=ApiKey("any"), transport=simulator, clock=clock) as planet:
        orders = [await planet.orders.create({**ORDER, "name": f"field {n}"}) for n in range(20)]
        ends: list[Order] = []

        async def watch(order_id: str) -> None:
            states = [order async for order in planet.orders.watch(order_id)]
            assert all(one != other for one, other in pairwise(states))
            ends.append(states[-1])

        async with anyio.create_task_group() as group:
            for number in range(200):
                group.start_soon(watch, orders[number % 20].id)
        assert len(ends) == 200
        assert all(order.state == "success" and order.results for order in ends)
    assert simulator.requests["orders.get"] == 20
    assert simulator.requests["orders.list"] < 20


async def test_an_older_state_than_that_of_the_list_ends_nothing(
    planet: Planet, simulator: Simulator, clock: FakeClock
) -> None:
    """Where the lists are ahead of the orders themselves, a wait goes on until it has the results."""
    orders = [await planet.orders.create({**ORDER, "name": f"field {n}"}) for n in range(8)]
    old = msgspec.json.encode({**orders[0].raw, "state": "running"})

    def is_finished(request: ServerRequest) -> bool:
        return request.path.endswith(orders[0].id) and simulator.orders[orders[0].id].state == "success"

    simulator.faults.add(Fault(operation="orders.get", when=is_finished, body=old, times=1))
    results: list[Order] = []

    async def wait(order_id: str) -> None:
        results.append(await planet.orders.wait(order_id))

    async with anyio.create_task_group() as group:
        for order in orders:
            group.start_soon(wait, order.id)
    assert all(order.state == "success" and order.results for order in results)
    assert simulator.requests["orders.get"] == len(orders) + 1
    assert clock.monotonic() < 120


async def test_leaving_leaves_nothing(planet: Planet) -> None:
    """Another watcher goes on, and nothing is requested for the one that has left."""
    order = await planet.orders.create(ORDER)
    async for _ in planet.orders.watch(order.id):
        break
    states: list[str] = []

    async def watch() -> None:
        states.extend([each.state async for each in planet.orders.watch(order.id)])

    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        with anyio.CancelScope() as scope:
            async for _ in planet.orders.watch(order.id):
                scope.cancel()
    assert states[-1] == "success"


async def test_errors_are_those_of_a_wait(planet: Planet) -> None:
    """What does not exist, and what takes too long; and the iterator has ended then."""
    watching = planet.orders.watch("00000000-0000-4000-8000-000000000000")
    with pytest.raises(NotFound):
        await anext(watching)
    with pytest.raises(StopAsyncIteration):
        await anext(watching)
    order = await planet.orders.create(ORDER)
    watching = planet.orders.watch(order.id, timeout=5)
    assert (await anext(watching)).state == "queued"
    with pytest.raises(WaitTimeout):
        await anext(watching)


async def test_subscriptions_and_tasking_are_watched_alike(clock: FakeClock) -> None:
    """Until they have ended."""
    plan = TaskingPlan(received_days=0.1, pending_days=0.1, in_progress_days=0.1)
    simulator = Simulator(clock=clock, tasking_plan=plan)
    planet = Planet(Config(), credentials=ApiKey("any"), transport=simulator, clock=clock)
    subscription = await planet.subscriptions.create(VARIABLE)
    statuses = [each.status async for each in planet.subscriptions.watch(subscription.id)]
    assert statuses[-1] == "completed"
    assert len(statuses) > 2
    order = await planet.tasking.create(HARBOUR)
    assert [each.status async for each in planet.tasking.watch(order.id)][-1] == "FULFILLED"
