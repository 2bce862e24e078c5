"""A client that is closed ends what it does between requests, too: at once, and its error says so."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import anyio
import pytest
from attrs import frozen

from planet_async import (
    ApiKey,
    ClientClosed,
    Config,
    DownloadedOrder,
    Order,
    Outcome,
    Planet,
    PlanetError,
    UnsettledCreate,
)
from planet_async.simulator import Fault, OrderPlan, Simulator
from planet_async.testing import FakeClock

pytestmark = pytest.mark.anyio

BODY = {
    "name": "field 7",
    "products": [{"item_ids": ["a"], "item_type": "PSScene", "product_bundle": "visual"}],
}
HOUR = 3600.0


@frozen
class Scene:
    clock: FakeClock
    simulator: Simulator
    planet: Planet

    async def failure_at_closing(self, call: Callable[[], Awaitable[object]], after: float) -> PlanetError:
        """Close the client when the call has gone on for so long; return its error, which comes at once."""
        caught: list[PlanetError] = []

        async def run() -> None:
            with pytest.raises(PlanetError) as failed:
                await call()
            caught.append(failed.value)

        async with anyio.create_task_group() as group:
            group.start_soon(run)
            await self.clock.sleep(after)
            assert not caught, "it did not last so long"
            closed_at, sent = self.clock.monotonic(), self.simulator.requests.total()
            await self.planet.aclose()
        assert self.clock.monotonic() == closed_at
        assert self.simulator.requests.total() == sent
        return caught[0]


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    clock = FakeClock()
    # All pauses are long.
    config = Config(consistency_delay=HOUR, longest_backoff=HOUR)
    simulator = Simulator(clock=clock, plan=OrderPlan(queue_seconds=HOUR, run_seconds=HOUR))
    async with Planet(config, credentials=ApiKey("any"), transport=simulator, clock=clock) as planet:
        yield Scene(clock, simulator, planet)
    assert simulator.open_responses == 0


@pytest.mark.parametrize(
    ("faults", "after"),
    [
        ([Fault(method="POST", drop=True, times=1)], 0.5 * HOUR - 60),
        ([Fault(method="POST", drop=True, times=2)], HOUR + 0.001),
        ([Fault(method="POST", drop=True), Fault(operation="orders.list", status=500)], HOUR),
    ],
    ids=["between two looks", "before it is sent again", "where asking fails"],
)
async def test_a_create_that_is_being_settled(scene: Scene, faults: list[Fault], after: float) -> None:
    """Nobody knows any more what became of it, and the error says that it may exist."""
    for fault in faults:
        scene.simulator.faults.add(fault)
    error = await scene.failure_at_closing(lambda: scene.planet.orders.create(BODY), after)
    assert isinstance(error, UnsettledCreate)
    assert "may exist" in str(error)
    assert "the client was closed" in str(error)
    assert isinstance(error.__cause__, ClientClosed)


async def test_creates_that_wait_for_one_of_their_name(scene: Scene) -> None:
    """Not only the one that sleeps: those behind it end as well, and what was never sent says so."""
    scene.simulator.faults.add(Fault(method="POST", drop=True, times=1))
    errors: list[PlanetError] = []

    async def create() -> None:
        with pytest.raises(PlanetError) as failed:
            await scene.planet.orders.create(BODY)
        errors.append(failed.value)

    async with anyio.create_task_group() as group:
        group.start_soon(create)
        await scene.clock.sleep(60)
        for _ in range(3):
            group.start_soon(create)
        await scene.clock.sleep(60)
        await scene.planet.aclose()
    assert scene.clock.monotonic() == 120
    assert [type(error) for error in errors] == [UnsettledCreate, *[ClientClosed] * 3]
    assert not any(error.may_have_acted for error in errors[1:])


async def test_a_wait(scene: Scene) -> None:
    """It does not go on to its next poll."""
    order = await scene.planet.orders.create(BODY)
    error = await scene.failure_at_closing(lambda: scene.planet.orders.wait(order.id), 1000.5)
    assert isinstance(error, ClientClosed)


async def test_waiting_for_many(scene: Scene) -> None:
    """Each has its outcome, for all waiters, as where a poll was under way."""
    ids = [(await scene.planet.orders.create({**BODY, "name": f"{n}"})).id for n in range(30)]
    outcomes: list[Outcome[Order]] = []

    async def wait(some: list[str]) -> None:
        async for outcome in scene.planet.orders.wait_many(some):
            outcomes.append(outcome)  # noqa: PERF401 - it is shared

    async with anyio.create_task_group() as group:
        for some in (ids, ids[:20], ids[10:]):
            group.start_soon(wait, some)
        await scene.clock.sleep(1000.5)
        closed_at = scene.clock.monotonic()
        await scene.planet.aclose()
    assert scene.clock.monotonic() == closed_at
    assert sorted(outcome.id for outcome in outcomes) == sorted(ids + ids[:20] + ids[10:])
    assert {type(outcome.error) for outcome in outcomes} == {ClientClosed}


async def test_a_download_between_two_cuts(scene: Scene, tmp_path: Path) -> None:
    """What has come is kept for the next time."""
    order = await scene.planet.orders.create(BODY)
    order = await scene.planet.orders.wait(order.id)
    scene.simulator.faults.add(Fault(operation="storage.get", cut=0))
    error = await scene.failure_at_closing(lambda: scene.planet.orders.download(order, tmp_path), 1.0)
    assert isinstance(error, ClientClosed)


@pytest.mark.parametrize("full", [False, True], ids=["waiting for orders", "waiting for room"])
async def test_a_job(scene: Scene, tmp_path: Path, full: bool) -> None:
    """Each request has its outcome, which is the closing."""
    if full:
        await scene.planet.orders.create({**BODY, "name": "earlier"})
        scene.simulator.faults.add(
            Fault(operation="orders.create", status=409, body=b'{"general":[{"message":"full"}]}')
        )
    outcomes: list[Outcome[DownloadedOrder]] = []

    async def run() -> None:
        requests = [{**BODY, "name": f"{n}"} for n in range(5)]
        async for outcome in scene.planet.orders.run(requests, tmp_path):
            outcomes.append(outcome)  # noqa: PERF401 - it is shared

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        await scene.clock.sleep(1000.5)
        closed_at = scene.clock.monotonic()
        assert not outcomes
        await scene.planet.aclose()
    assert scene.clock.monotonic() == closed_at
    assert [type(outcome.error) for outcome in outcomes] == [ClientClosed] * 5
