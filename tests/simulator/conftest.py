import pytest

from planet_async.simulator import Limits, Simulator
from planet_async.testing import FakeClock
from simulator.simulated import Caller


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def simulator(clock: FakeClock) -> Simulator:
    """Orders are queued for 5 seconds and run for 30, and nothing is limited."""
    return Simulator(clock=clock, limits=Limits.unlimited())


@pytest.fixture
def call(simulator: Simulator) -> Caller:
    return Caller(simulator)
