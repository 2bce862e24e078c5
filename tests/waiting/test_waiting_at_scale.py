"""Waiting for many, in virtual time, on the simulator at the documented rates."""

from collections.abc import Mapping
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from statistics import median
from typing import Any
from uuid import UUID

import anyio
import msgspec
import pytest

from planet_async import ApiKey, Config, InvalidRequest, Order, Planet
from planet_async.http import Request
from planet_async.simulator import Fault, Limits, OrderPlan, Simulator, SubscriptionPlan, TaskingPlan
from planet_async.simulator.faults import DOCUMENTED
from planet_async.testing import FakeClock

pytestmark = pytest.mark.anyio

ORDERS = "/compute/ops/orders/v2"
ORDER = msgspec.json.encode(
    {
        "name": "field 7",
        "products": [{"item_ids": ["a"], "item_type": "PSScene", "product_bundle": "analytic_udm2"}],
    }
)
# Only creating is not limited: it is not what is measured.
RATES = {name: rate for name, rate in DOCUMENTED.items() if name != "orders.create"}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def simulated(clock: FakeClock, count: int, seconds: float) -> Simulator:
    """Return a Planet whose orders finish one after the other, within so many seconds."""

    def plan(_: Mapping[str, Any], number: int) -> OrderPlan:
        share = (number % count + 1) / count
        return OrderPlan(queue_seconds=share * seconds / 2, run_seconds=share * seconds / 2)

    return Simulator(clock=clock, plan=plan, limits=Limits(RATES))


def client(simulator: Simulator, clock: FakeClock) -> Planet:
    return Planet(Config(), credentials=ApiKey("any"), transport=simulator, clock=clock)


async def placed(simulator: Simulator, count: int) -> list[str]:
    headers = {"authorization": "api-key any"}
    request = Request("POST", simulator.base_url + ORDERS, headers=headers, body=ORDER)
    for _ in range(count):
        await (await simulator.send(request)).read()
    return [*simulator.orders][-count:]


class Delays:
    """Records how long after its end each order was noticed."""

    def __init__(self, simulator: Simulator, clock: FakeClock) -> None:
        self._simulator = simulator
        self._clock = clock
        self.seconds: list[float] = []

    def note(self, order_id: str) -> None:
        order = self._simulator.orders[order_id]
        assert order.state == "success"
        now = (self._clock.now() - EPOCH).total_seconds()
        self.seconds.append(now - order.modified / 1_000_000)


@pytest.mark.no_cover
@pytest.mark.parametrize(("anyio_backend", "count"), [("asyncio", 5000), ("trio", 500)])
async def test_five_thousand_orders(count: int) -> None:
    """Finished within ten minutes: at most 400 requests; noticed within 3 s in the median, 15 s at most."""
    clock = FakeClock()
    simulator = simulated(clock, count, 600)
    ids = await placed(simulator, count)
    delays = Delays(simulator, clock)
    simulator.responses.clear()
    async with client(simulator, clock) as planet:
        async for outcome in planet.orders.wait_many(ids):
            assert outcome.unwrap().state == "success"
            delays.note(outcome.id)
    assert len(delays.seconds) == count
    assert simulator.responses.total() <= 400
    assert {status for _, status in simulator.responses} == {200}
    assert median(delays.seconds) <= 3
    assert max(delays.seconds) <= 15


@pytest.mark.parametrize("service", ["orders", "tasking"])
async def test_many_ids_are_checked_in_parts(service: str) -> None:
    """Not all within the call, which would block the event loop; an invalid one sends no request."""
    clock = FakeClock()
    simulator = simulated(clock, 1, 1)
    ids = [str(UUID(int=number)) for number in range(2_000)]
    async with client(simulator, clock) as planet:
        waiting = getattr(planet, service).wait_many([*ids, "7"])
        with pytest.raises(InvalidRequest, match="'7' is no"):
            await anext(waiting)
        again = [*ids]
        waiting = getattr(planet, service).wait_many(again, timeout=1e-9)
        again.clear()  # what the caller does with its list is no matter
        assert [outcome.id async for outcome in waiting] == ids
    assert not simulator.requests


@pytest.mark.no_cover
@pytest.mark.parametrize(("anyio_backend", "count"), [("asyncio", 1000), ("trio", 200)])
async def test_a_thousand_callers_share_the_lists(count: int) -> None:
    """A thousand waits for an order each, half of them of a view, read the lists as often as one for all.

    Each then fetches its finished order once, for its results, which lists do not have.
    """
    requests = {}
    finished: list[Order] = []
    for apart in (False, True):
        clock = FakeClock()
        simulator = simulated(clock, count, 600)
        ids = await placed(simulator, count)
        simulator.requests.clear()

        async with client(simulator, clock) as planet, anyio.create_task_group() as group:
            if apart:
                views = (planet, planet.with_options(max_attempts=2))

                async def wait(order_id: str, planet: Planet) -> None:
                    finished.append(await planet.orders.wait(order_id))

                for number, order_id in enumerate(ids):
                    group.start_soon(wait, order_id, views[number % 2])
            else:
                assert len([outcome async for outcome in planet.orders.wait_many(ids)]) == count
        requests[apart] = simulator.requests
    assert requests[False]["orders.get"] <= 3
    assert requests[True]["orders.list"] <= requests[False]["orders.list"] + 3
    assert requests[True]["orders.get"] <= count + 3
    assert all(order.results for order in finished)
    assert len({order.id for order in finished}) == count


@pytest.mark.no_cover
async def test_an_order_that_is_missing_in_lists() -> None:
    """Missing from the start or from its end: it is found, if later, even where the clock jumps."""
    clock = FakeClock()
    simulator = simulated(clock, 100, 900)
    ids = await placed(simulator, 100)
    simulator.orders[ids[10]].hidden = True

    async def disturb() -> None:
        await clock.sleep(100)
        simulator.orders[ids[20]].hidden = True
        simulator.move_clock(-300)
        await clock.sleep(300)
        simulator.move_clock(300)

    async with client(simulator, clock) as planet, anyio.create_task_group() as group:
        group.start_soon(disturb)
        found = [outcome.unwrap().id async for outcome in planet.orders.wait_many(ids)]
    assert sorted(found) == sorted(ids)


@pytest.mark.no_cover
@pytest.mark.parametrize(("anyio_backend", "cause"), [("asyncio", "other users"), ("trio", "webhooks")])
async def test_polls_do_not_delay_the_lists(cause: str) -> None:
    """However many ids are polled, at three a second, what the lists show is noticed within 15 s."""
    clock = FakeClock()
    simulator = simulated(clock, 150, 300)
    ids, others = await placed(simulator, 150), await placed(simulator, 450)
    delays = Delays(simulator, clock)
    for order_id in others:
        simulator.orders[order_id].hidden = True

    async with client(simulator, clock) as planet, anyio.create_task_group() as group:

        async def notify() -> None:
            while True:
                await clock.sleep(1)
                for order_id in ids:
                    planet.orders.poll_now(order_id)

        waited_for = [*others, *ids] if cause == "other users" else ids
        if cause == "webhooks":
            group.start_soon(notify)
        async for outcome in planet.orders.wait_many(waited_for):
            if outcome.id in ids:
                delays.note(outcome.id)
        group.cancel_scope.cancel()
    assert len(delays.seconds) == 150
    assert max(delays.seconds) <= 15


async def test_a_cancelled_order_after_the_clock_went_back() -> None:
    """A change just after the server's clock was set back has an earlier time, and is seen nevertheless."""
    clock = FakeClock()
    simulator = Simulator(clock=clock, plan=OrderPlan(queue_seconds=5000), limits=Limits(RATES))
    ids = await placed(simulator, 20)
    async with client(simulator, clock) as planet:

        async def cancel() -> None:
            await clock.sleep(60)
            simulator.move_clock(-300)
            await planet.orders.cancel_many(ids)

        async with anyio.create_task_group() as group:
            group.start_soon(cancel)
            outcomes = [outcome async for outcome in planet.orders.wait_many(ids)]
    assert {outcome.unwrap().state for outcome in outcomes} == {"cancelled"}
    assert clock.monotonic() <= 60 + 15


async def test_a_server_that_cannot_sort() -> None:
    """Where `sort_by` is refused, each order is polled; no wait fails."""
    clock = FakeClock()
    simulator = simulated(clock, 30, 100)
    simulator.faults.add(Fault(status=400, when=lambda call: "sort_by" in call.params))
    ids = await placed(simulator, 30)
    async with client(simulator, clock) as planet:
        outcomes = [outcome async for outcome in planet.orders.wait_many(ids)]
    assert {outcome.unwrap().state for outcome in outcomes} == {"success"}
    assert simulator.responses["orders.list", 400] == 1


async def test_an_order_of_a_list_can_be_downloaded(tmp_path: Path) -> None:
    """It has no results; downloading it fetches them."""
    clock = FakeClock()
    simulator = simulated(clock, 10, 60)
    ids = await placed(simulator, 10)
    async with client(simulator, clock) as planet:
        outcomes = [outcome async for outcome in planet.orders.wait_many(ids)]
        order = outcomes[0].unwrap()
        with pytest.raises(InvalidRequest, match=r"orders\.get"):
            _ = order.results
        assert await planet.orders.download(order, tmp_path)


async def test_a_webhook_ends_the_wait() -> None:
    """`poll_now` polls that order at once; ids that nothing waits for, and in upper case, are accepted."""
    clock = FakeClock()
    simulator = Simulator(clock=clock, plan=OrderPlan(queue_seconds=0, run_seconds=1000))
    async with client(simulator, clock) as planet:
        order = await planet.orders.create(msgspec.json.decode(ORDER))

        async def call() -> None:
            await clock.sleep(1001)
            planet.orders.poll_now("4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11")
            planet.orders.poll_now(order.id.upper())

        async with anyio.create_task_group() as group:
            group.start_soon(call)
            await planet.orders.wait(order.id.upper())
            assert clock.monotonic() < 1002


async def test_many_subscriptions() -> None:
    """Lists by `updated` report on all of them; each caller waits for a status of its own."""
    clock = FakeClock()
    simulator = Simulator(clock=clock, subscription_plan=SubscriptionPlan(run_seconds=inf))
    async with client(simulator, clock) as planet:
        corners = [[[1, 1], [2, 1], [2, 2], [1, 1]]]
        parameters = {
            "id": "BIOMASS-PROXY_V4.0_10",
            "geometry": {"type": "Polygon", "coordinates": corners},
            "start_time": "2026-01-01T00:00:00Z",
        }
        lake = {"name": "lake", "source": {"type": "biomass_proxy", "parameters": parameters}}
        made = [await planet.subscriptions.create(lake) for _ in range(40)]
        simulator.requests.clear()

        async def end() -> None:
            await clock.sleep(600)
            for subscription in made[20:]:
                await planet.subscriptions.cancel(subscription.id)

        async with anyio.create_task_group() as group:
            group.start_soon(end)
            for subscription in made[:20]:
                group.start_soon(planet.subscriptions.wait, subscription.id, "running")
            for subscription in made[20:]:
                group.start_soon(planet.subscriptions.wait, subscription.id, "cancelled")
    assert simulator.requests["subscriptions.get"] <= 10 + 20  # cancelling reads each, too
    assert simulator.requests["subscriptions.list"] <= 90
    planet.subscriptions.poll_now(made[0].id)


@pytest.mark.no_cover
async def test_many_tasking_orders() -> None:
    """Lists by `updated_time` report on all of them, over half a day."""
    clock = FakeClock()
    simulator = Simulator(clock=clock, tasking_plan=TaskingPlan(pending_days=0.1, in_progress_days=0.3))
    async with client(simulator, clock) as planet:
        point = {"type": "Point", "coordinates": [149.4, 28.5]}
        made = [await planet.tasking.create({"name": f"harbour {n}", "geometry": point}) for n in range(40)]
        simulator.requests.clear()
        outcomes = [outcome async for outcome in planet.tasking.wait_many([order.id for order in made])]
    assert all(outcome.unwrap().status.is_final for outcome in outcomes)
    assert len(outcomes) == 40
    hours = clock.monotonic() / 3600
    assert simulator.requests["tasking.get"] <= 10
    assert simulator.requests["tasking.list"] <= 12 * hours + 10
