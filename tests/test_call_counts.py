"""What a call costs, counted: the same on every machine, however busy."""

import sys
from types import FrameType

import pytest

from planet_async import ApiKey, Config, Planet
from planet_async.simulator import Limits, Simulator
from planet_async.simulator.server import serve
from planet_async.transports import TransportName

ORDER = {
    "name": "field 7",
    "products": [
        {"item_ids": ["20221221_084022_18_2414"], "item_type": "PSScene", "product_bundle": "analytic_udm2"}
    ],
}
ROUNDS = 10


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize(("transport", "most"), [("httpx", 2600), ("aiohttp", 350)])
@pytest.mark.anyio
async def test_getting_an_order_takes_few_calls(transport: TransportName, most: int) -> None:
    """Python calls of one `orders.get`, through all layers and typed; httpx alone: 3,600, aiohttp: 234.

    The fewest of several: on a busy machine a response may arrive in two pieces, which costs a few more.
    """
    calls, of_each = 0, list[int]()

    def count(_: FrameType, event: str, __: object) -> None:
        nonlocal calls
        calls += event == "call"

    with serve(Simulator(limits=Limits.unlimited())) as url:
        config = Config(base_url=url, rates={})
        async with Planet(config, credentials=ApiKey("any"), transport=transport) as planet:
            order = await planet.orders.create(ORDER)
            await planet.orders.get(order.id)
            before = sys.getprofile()
            sys.setprofile(count)
            try:
                for _ in range(ROUNDS):
                    calls = 0
                    await planet.orders.get(order.id)
                    of_each.append(calls)
            finally:
                sys.setprofile(before)
    assert min(of_each) <= most
