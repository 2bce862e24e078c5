"""Many orders from request to files: placed, waited for and downloaded, each as soon as it can be."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import anyio

from planet_async._background import Send, Stream
from planet_async.bulk import Outcome
from planet_async.errors import PlanetError
from planet_async.models.orders import Order
from planet_async.services._deliveries import Delivery

T = TypeVar("T")

_PLACED_AT_ONCE = 8
_DOWNLOADED_AT_ONCE = 4

Request = tuple[str, bytes]
"""The name and the body of an order to be placed."""


def run_batch(
    requests: Iterable[Request],
    *,
    create: Callable[[bytes], Awaitable[Order]],
    wait_many: Callable[[list[str]], AsyncIterator[Outcome[Order]]],
    download: Callable[[Order], Awaitable[list[Path]]],
) -> AsyncIterator[Outcome[Delivery]]:
    """Yield the outcome of each request as it is done; see `Orders.run`."""

    async def produce(send: Send[Outcome[Delivery]]) -> None:
        placed: list[str] = []

        async def place(request: Request) -> None:
            name, body = request
            try:
                placed.append((await create(body)).id)
            except PlanetError as error:
                await send(Outcome(name, error=error))

        async def deliver(order: Order) -> None:
            async with limit:
                try:
                    paths = await download(order)
                except PlanetError as error:
                    outcome = Outcome[Delivery](order.id, error=error)
                else:
                    outcome = Outcome(order.id, Delivery(order, tuple(paths)))
            await send(outcome)

        await _each(requests, place, _PLACED_AT_ONCE)
        limit = anyio.CapacityLimiter(_DOWNLOADED_AT_ONCE)
        async with anyio.create_task_group() as group:
            async for outcome in wait_many(placed):
                if outcome.error is None:
                    group.start_soon(deliver, outcome.unwrap())
                else:
                    await send(Outcome(outcome.id, error=outcome.error))

    return Stream(produce)


async def _each(things: Iterable[T], act: Callable[[T], Awaitable[None]], at_once: int) -> None:
    """Do it for each thing, in a few tasks whatever their number."""
    remaining = iter(things)

    async def worker(shared: Iterator[T]) -> None:
        for thing in shared:
            await act(thing)

    async with anyio.create_task_group() as group:
        for _ in range(at_once):
            group.start_soon(worker, remaining)
