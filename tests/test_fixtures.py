"""The fixtures that users' tests take: a simulated Planet, and no time that passes."""

import time

import pytest

from planet_async import OrderRequest, Planet, SceneProduct
from planet_async.simulator import Simulator
from planet_async.testing import FakeClock
from planet_async.testing.fixtures import planet, planet_clock, planet_simulator

__all__ = ["planet", "planet_clock", "planet_simulator"]  # pytest finds them here


@pytest.mark.anyio
async def test_an_order_is_delivered_in_virtual_time(
    planet: Planet,
    planet_simulator: Simulator,
    planet_clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A test of a user's orders, waits and sees what arrived, wherever the environment points to."""
    monkeypatch.setenv("PL_BASE_URL", "https://example.com")
    started = time.monotonic()
    request = OrderRequest("field 7", [SceneProduct(["20251230_183331_03_201b"], "PSScene", "visual")])
    order = await planet.orders.create(request)
    order = await planet.orders.wait(order.id)
    assert order.state == "success"
    assert planet_simulator.requests["orders.create"] == 1
    assert planet_clock.monotonic() >= 35
    assert time.monotonic() - started < 30
