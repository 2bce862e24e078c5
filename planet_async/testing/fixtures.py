"""Fixtures for pytest: a client of a simulated Planet, in virtual time.

In the outermost ``conftest.py``:

    pytest_plugins = ["planet_async.testing.fixtures"]

Then a test, run by the plugin of anyio or by pytest-asyncio, takes what it needs:

    async def test_a_field_is_ordered(planet, planet_simulator):
        await order_field(planet, "field 7")
        assert planet_simulator.requests["orders.create"] == 1

Hours of waiting take no time.  To change what the simulated Planet does, define `planet_simulator` again in
a ``conftest.py`` or a test module; the fixture `planet` uses it.
"""

import pytest

from planet_async.client import Planet
from planet_async.config import Config
from planet_async.simulator import Simulator
from planet_async.testing import FakeClock


@pytest.fixture
def planet_clock() -> FakeClock:
    """The clock of the simulated Planet and of its client."""
    return FakeClock()


@pytest.fixture
def planet_simulator(planet_clock: FakeClock) -> Simulator:
    """A simulated Planet: orders are queued for 5 seconds and run for 30."""
    return Simulator(clock=planet_clock)


@pytest.fixture
def planet(planet_simulator: Simulator, planet_clock: FakeClock) -> Planet:
    """A client of the simulated Planet, whatever `PL_API_KEY` and `PL_BASE_URL` say."""
    config = Config(base_url="https://api.planet.com", trust_env=False)
    return Planet(config, api_key="test", transport=planet_simulator, clock=planet_clock)
