import gc
import threading
from collections.abc import Callable

import anyio
import anyio.to_thread
import pytest
from attrs import define
from spine import API, KEY, get

from planet_async.auth.credentials import ApiKey, BearerToken, Credentials
from planet_async.clock import Clock, SystemClock
from planet_async.config import Config, Rates, Window
from planet_async.errors import ServerError
from planet_async.http import Transport
from planet_async.layers import rate_limit as module
from planet_async.layers.rate_limit import RateLimit, SharedRateLimits
from planet_async.layers.retry import Retry
from planet_async.layers.status import RaiseForStatus
from planet_async.testing import FakeClock, FakeTransport, reply

pytestmark = pytest.mark.anyio

RATES: Rates = {"orders": (Window(3),)}


def shared(
    clock: Clock, credentials: Credentials | None = None, rates: Rates = RATES, base_url: str = API
) -> SharedRateLimits:
    return SharedRateLimits(credentials or ApiKey(KEY), Config(rates=rates, base_url=base_url), clock)


async def seconds_for(clock: FakeClock, requests: int, *budgets: SharedRateLimits) -> float:
    """Send that many requests over each, all side by side."""
    network = FakeTransport(lambda _: reply(200))
    start = clock.monotonic()
    async with anyio.create_task_group() as group:
        for each in budgets:
            for _ in range(requests):
                group.start_soon(RateLimit(network, each).send, get())
    return clock.monotonic() - start


async def test_clients_of_one_key_share_its_rate() -> None:
    """The service counts by key: two clients get out three requests a second together, not six."""
    clock = FakeClock()
    assert await seconds_for(clock, 30, shared(clock), shared(clock)) == pytest.approx(59 * 1.01 / 3)


async def test_clients_of_two_keys_have_a_rate_each() -> None:
    """Six requests a second."""
    clock = FakeClock()
    other = shared(clock, ApiKey("another"))
    assert await seconds_for(clock, 30, shared(clock), other) == pytest.approx(29 * 1.01 / 3)


DIFFERENT: dict[str, Callable[[FakeClock], SharedRateLimits]] = {
    "key": lambda clock: shared(clock, ApiKey("another")),
    "scheme": lambda clock: shared(clock, ApiKey(KEY, scheme="api-key")),
    "kind": lambda clock: shared(clock, BearerToken(KEY)),
    "rates": lambda clock: shared(clock, rates={"orders": (Window(4),)}),
    "origin": lambda clock: shared(clock, base_url="http://127.0.0.1:8080"),
    "clock": lambda _: shared(FakeClock()),
}


@pytest.mark.parametrize("difference", DIFFERENT)
async def test_clients_that_differ_share_nothing(difference: str) -> None:
    """Another credential, other rates, another address or another time: another budget."""
    clock = FakeClock()
    budget = shared(clock)
    assert budget.here() is shared(clock).here()
    assert DIFFERENT[difference](clock).here() is not budget.here()


async def test_equal_is_enough() -> None:
    """Rates written down twice, another path of one origin, two clocks of this machine: one budget."""
    one = shared(SystemClock())
    assert (
        shared(SystemClock(), rates={"orders": (Window(3, 1.0),)}, base_url=API + ":443/x").here()
        is one.here()
    )


async def test_a_credential_that_cannot_be_compared_is_shared_by_itself_only() -> None:
    """A credential of the user's own need not be hashable."""

    @define
    class Own:
        name: str

        def sign(self, network: Transport, clock: Clock) -> Transport:
            raise NotImplementedError(self.name, network, clock)

    clock, own = FakeClock(), Own("a")
    budget = shared(clock, own)
    assert shared(clock, own).here() is budget.here()
    assert shared(clock, Own("a")).here() is not budget.here()


async def test_retries_are_shared_too() -> None:
    """What one client found sick, another of the same key does not bury."""
    clock = FakeClock()
    network = FakeTransport(lambda _: reply(503))

    def retry() -> Retry:
        return Retry(RaiseForStatus(network, clock), Config(max_attempts=2), clock, shared(clock))

    first = retry()
    for _ in range(30):
        with pytest.raises(ServerError):
            await first.send(get())
    before = len(network.requests)
    with pytest.raises(ServerError):
        await retry().send(get())
    assert len(network.requests) == before + 1


async def test_another_event_loop_has_its_own() -> None:
    """A client in a thread with an event loop of its own works, and waits for nobody in this one."""
    clock = SystemClock()
    rates: Rates = {"orders": (Window(1, 1000.0),)}
    budget = shared(clock, rates=rates)
    network = FakeTransport(lambda _: reply(200))
    await RateLimit(network, budget).send(get())
    there: list[object] = []

    async def elsewhere() -> None:
        other = shared(clock, rates=rates)
        await RateLimit(network, other).send(get())
        there.append(other.here())

    await anyio.to_thread.run_sync(lambda: anyio.run(elsewhere))
    assert len(network.requests) == 2
    assert there[0] is not budget.here()
    assert shared(clock, rates=rates).here() is budget.here()


async def test_a_client_may_be_made_before_its_loop() -> None:
    """The budget is found where it is first asked for, not where the client was made."""
    clock = FakeClock()
    made: list[SharedRateLimits] = []
    thread = threading.Thread(target=lambda: made.append(shared(clock)))
    thread.start()
    await anyio.to_thread.run_sync(thread.join)
    assert made[0].here() is shared(clock).here()


async def test_what_nobody_uses_is_forgotten() -> None:
    """With the last client of a key its budget goes, and the key with it."""
    clock = FakeClock()
    budgets = [shared(clock), shared(clock, ApiKey("another"))]
    for budget in budgets:
        budget.here()
    registry = module._shared.get()
    assert len(registry) == 2
    assert KEY not in repr([*registry.items()]) + repr(registry) + repr([vars(budget) for budget in budgets])
    budgets.pop()
    del budget
    gc.collect()
    assert len(registry) == 1
