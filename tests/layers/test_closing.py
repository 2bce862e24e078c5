"""UntilClosed: a client that is closed ends what it has under way, and nothing of it goes on."""

import anyio
import pytest

from planet_async import ApiKey, ClientClosed, Planet
from planet_async.errors import PlanetError
from planet_async.http import Request, Response
from planet_async.simulator import Fault, OrderPlan, Simulator
from planet_async.testing import FakeClock

pytestmark = pytest.mark.anyio

UNKNOWN = "00000000-0000-4000-8000-000000000000"


class Silent:
    """A network that never answers, and notes whether a call was still waiting when it was closed."""

    def __init__(self) -> None:
        self.waiting = 0
        self.waiting_when_closed: int | None = None

    async def send(self, request: Request) -> Response:
        self.waiting += 1
        try:
            await anyio.sleep_forever()
        finally:
            self.waiting -= 1
        raise AssertionError(request)

    async def aclose(self) -> None:
        self.waiting_when_closed = self.waiting


async def test_calls_under_way_end_with_a_clear_error() -> None:
    """Each raises ClientClosed, which says of a create that it may have happened; the network closes last."""
    network = Silent()
    planet = Planet(credentials=ApiKey("any"), transport=network, clock=FakeClock())
    errors: list[PlanetError] = []

    async def call() -> None:
        try:
            await planet.orders.stats()
        except PlanetError as error:
            errors.append(error)

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(call)
        await anyio.wait_all_tasks_blocked()
        assert network.waiting > 0
        await planet.aclose()
    assert [type(error) for error in errors] == [ClientClosed] * 3
    assert all(error.may_have_acted and "closed before the response" in str(error) for error in errors)
    assert network.waiting_when_closed == 0


async def test_a_closed_client_sends_nothing() -> None:
    """A later call is an error, and closing twice is fine."""
    simulator = Simulator(clock=FakeClock())
    async with Planet(credentials=ApiKey("any"), transport=simulator, clock=FakeClock()) as planet:
        pass
    await planet.aclose()
    with pytest.raises(ClientClosed) as caught:
        await planet.orders.get(UNKNOWN)
    assert not caught.value.may_have_acted
    assert not simulator.requests


async def test_what_a_list_fetches_ahead_ends_with_the_client() -> None:
    """After a `break` and the end of the client no request for the next page is under way."""
    clock = FakeClock()
    simulator = Simulator(clock=clock, plan=OrderPlan(queue_seconds=1))
    body = {
        "name": "x",
        "products": [{"item_ids": ["a"], "item_type": "PSScene", "product_bundle": "visual"}],
    }
    async with Planet(credentials=ApiKey("any"), transport=simulator, clock=clock) as planet:
        for _ in range(6):
            await planet.orders.create(body)
        simulator.faults.add(
            Fault(operation="orders.list", hang=True, when=lambda call: "marker" in call.query)
        )
        async for _ in planet.orders.list(page_size=2):
            await anyio.wait_all_tasks_blocked()
            break
    before = simulator.requests["orders.list"]
    assert before > 1, "the next page was not asked for"
    await anyio.wait_all_tasks_blocked()
    assert simulator.requests["orders.list"] == before
    assert simulator.open_responses == 0


async def test_cancelling_the_caller_is_no_closing() -> None:
    """A cancelled call is cancelled, not closed; the client goes on."""
    network = Silent()
    planet = Planet(credentials=ApiKey("any"), transport=network, clock=FakeClock())
    with anyio.move_on_after(0.01) as scope:
        await planet.orders.stats()
    assert scope.cancelled_caught
    await planet.aclose()
    assert network.waiting_when_closed == 0
