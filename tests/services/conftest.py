"""A client of a simulated Planet, in virtual time."""

from collections.abc import AsyncIterator

import pytest

from planet_async import ApiKey, Config, Planet
from planet_async.simulator import OrderPlan, Simulator
from planet_async.testing import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def simulator(clock: FakeClock) -> Simulator:
    return Simulator(clock=clock, plan=OrderPlan(queue_seconds=10, run_seconds=60))


@pytest.fixture
async def planet(simulator: Simulator, clock: FakeClock) -> AsyncIterator[Planet]:
    async with Planet(Config(), credentials=ApiKey("any"), transport=simulator, clock=clock) as planet:
        yield planet
    assert simulator.open_responses == 0, "a response was left open"
