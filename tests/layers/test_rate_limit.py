import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spine import NotingClock, budget, cancelled_at_each_step, get, settle

from planet_async.clock import Clock
from planet_async.config import DOCUMENTED_RATES, Config, Window
from planet_async.errors import PlanetError, ServerError, TooManyRequests
from planet_async.http import Request, Response
from planet_async.layers.rate_limit import RateLimit
from planet_async.testing import FakeClock

pytestmark = pytest.mark.anyio

MARGIN = 1.01


class Network:
    """Notes when each request came; answers or refuses."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.times: list[float] = []
        self.operations: list[str] = []
        self.refusals: list[PlanetError] = []
        self.closed = False

    async def send(self, request: Request) -> Response:
        self.times.append(self._clock.monotonic())
        self.operations.append(request.operation)
        if self.refusals:
            raise self.refusals.pop(0)
        return Response(200, url=request.url)

    async def aclose(self) -> None:
        self.closed = True


def limited(
    clock: Clock, rates: Mapping[str, tuple[Window, ...]] = DOCUMENTED_RATES
) -> tuple[RateLimit, Network]:
    network = Network(clock)
    return RateLimit(network, budget(clock, Config(rates=rates))), network


async def send_all(limit: RateLimit, *requests: Request) -> None:
    async with anyio.create_task_group() as group:
        for request in requests:
            group.start_soon(limit.send, request)
            await anyio.lowlevel.checkpoint()


def too_many(retry_after: float | None) -> TooManyRequests:
    return TooManyRequests("429", status=429, retry_after=retry_after)


async def test_requests_of_a_class_leave_evenly() -> None:
    """Three a second means one each third of a second, a hundredth slower, and the first at once."""
    clock = FakeClock()
    limit, network = limited(clock)
    await send_all(limit, *[get()] * 7)
    assert network.times == pytest.approx([n * MARGIN / 3 for n in range(7)])


async def test_after_a_pause_there_is_no_burst() -> None:
    """Of idle time one interval is saved up at most, and the window holds: 3 in the first second, no more."""
    clock = FakeClock()
    limit, network = limited(clock)
    await limit.send(get())
    await clock.sleep(10)
    await send_all(limit, *[get()] * 4)
    assert network.times[1:] == pytest.approx([10, 10, 10 + MARGIN / 3, 10 + MARGIN])


async def test_a_timer_that_is_late_delays_only_its_own_request() -> None:
    """Timers fire a little late; those delays do not add up, one for each request."""

    class LateClock(FakeClock):
        async def sleep(self, seconds: float) -> None:
            await super().sleep(seconds + 0.002)

    clock = LateClock()
    limit, network = limited(clock)
    await send_all(limit, *[get()] * 31)
    assert 30 * MARGIN / 3 <= network.times[-1] < 30 * MARGIN / 3 + 0.025


async def test_classes_of_operations_do_not_wait_for_each_other() -> None:
    """Create, get and stats have a budget each."""
    clock = FakeClock()
    limit, network = limited(clock)
    await send_all(limit, *(get(operation=f"orders.{name}") for name in ("create", "get", "list", "stats")))
    assert network.times == [0, 0, 0, 0]


async def test_an_operation_without_a_rate_shares_that_of_its_api() -> None:
    """Two operations that only their API's windows cover stand in one line."""
    clock = FakeClock()
    limit, network = limited(clock)
    await send_all(
        limit, get(operation="reports.list"), get(operation="reports.get"), get(operation="other.get")
    )
    assert network.times == pytest.approx([0, 0, MARGIN / 2])
    assert network.operations == ["reports.list", "other.get", "reports.get"]


async def test_two_windows_hold_at_once() -> None:
    """Tasking: 40 in a second, and 300 in a minute."""
    clock = FakeClock()
    limit, network = limited(clock)

    async def worker() -> None:
        for _ in range(100):
            await limit.send(get(operation="tasking.list"))

    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(worker)
    assert network.times[:300] == pytest.approx([n * MARGIN / 40 for n in range(300)])
    assert network.times[300] == pytest.approx(60 * MARGIN)
    _assert_windows(network.times, DOCUMENTED_RATES["tasking"])


def _assert_windows(times: list[float], windows: tuple[Window, ...]) -> None:
    for window in windows:
        for early, late in zip(times, times[window.limit :], strict=False):
            assert late - early >= window.seconds - 1e-9, (window, early, late)


@pytest.mark.no_cover
@settings(max_examples=40, deadline=None)
@given(
    backend=st.sampled_from(["asyncio", "trio"]),
    gaps=st.lists(st.floats(0, 3), min_size=1, max_size=40),
    windows=st.lists(
        st.builds(Window, st.integers(1, 8), st.sampled_from([0.5, 1.0, 7.0])), min_size=1, max_size=3
    ),
)
def test_no_window_is_ever_exceeded(backend: str, gaps: list[float], windows: list[Window]) -> None:
    """Whenever requests come: never more than `limit` of them within any `seconds`."""

    async def main() -> None:
        clock = FakeClock()
        limit, network = limited(clock, {"orders": tuple(windows)})
        async with anyio.create_task_group() as group:
            for gap in gaps:
                await clock.sleep(gap)
                group.start_soon(limit.send, get())
        assert len(network.times) == len(gaps)
        _assert_windows(network.times, tuple(windows))

    anyio.run(main, backend=backend)


async def test_first_come_first_served() -> None:
    """Requests leave in the order in which they came."""
    clock = FakeClock()
    limit, network = limited(clock, {"orders": (Window(10),)})
    names = [f"orders.{number}" for number in range(100)]
    await send_all(limit, *(get(operation=name) for name in names))
    assert network.operations == names


async def test_only_the_head_of_the_line_sleeps() -> None:
    """A hundred in line cost one timer at a time: one sleep for each turn."""
    clock = NotingClock()
    limit, _ = limited(clock)
    async with anyio.create_task_group() as group:
        for _ in range(100):
            group.start_soon(limit.send, get())
        await settle()
        assert len(clock.sleeps) == 1
    assert len(clock.sleeps) == 99


async def test_who_gives_up_takes_no_turn() -> None:
    """A request cancelled in line, at its head or behind it, leaves its turn to the next one."""
    clock = FakeClock()
    limit, network = limited(clock)
    head, second = anyio.CancelScope(), anyio.CancelScope()

    async def within(scope: anyio.CancelScope) -> None:
        with scope:
            await limit.send(get())

    async with anyio.create_task_group() as group:
        await limit.send(get())
        for waiting in (head, second, anyio.CancelScope()):
            group.start_soon(within, waiting)
            await settle()
        head.cancel()
        second.cancel()
    assert network.times == pytest.approx([0, MARGIN / 3])


@pytest.mark.parametrize(("asked", "shut"), [(2.5, 2.5), (0.2, MARGIN / 3), (None, 1.0)])
async def test_a_429_holds_back_those_in_line(asked: float | None, shut: float) -> None:
    """Nobody of the class goes out before the time that the server named, or a second where it named none."""
    clock = FakeClock()
    limit, network = limited(clock)
    network.refusals = [too_many(asked)]

    async def refused() -> None:
        with pytest.raises(TooManyRequests):
            await limit.send(get())

    async with anyio.create_task_group() as group:
        group.start_soon(refused)
        await anyio.lowlevel.checkpoint()
        for _ in range(3):
            group.start_soon(limit.send, get())
    assert network.times[:2] == pytest.approx([0, shut])
    assert len(network.times) == 4
    _assert_windows(network.times, DOCUMENTED_RATES["orders.get"])


async def test_a_429_for_one_who_sleeps_already_is_heard() -> None:
    """The head of the line, asleep until its turn, sleeps on when the gate is shut meanwhile."""
    clock = FakeClock()
    limit, network = limited(clock, {"orders": (Window(1),)})

    class Slow(Network):
        async def send(self, request: Request) -> Response:
            self.times.append(clock.monotonic())
            await clock.sleep(0.5)
            raise too_many(10)

    limit = RateLimit(slow := Slow(clock), budget(clock, Config(rates={"orders": (Window(1),)})))

    async def refused() -> None:
        with pytest.raises(TooManyRequests):
            await limit.send(get())

    async with anyio.create_task_group() as group:
        group.start_soon(refused)
        group.start_soon(refused)
    assert slow.times == pytest.approx([0, 10.5])
    assert network.times == []


async def test_a_server_that_asks_for_years_is_asked_again_after_minutes() -> None:
    """A single absurd answer must not hang every later request of the process."""
    clock = FakeClock()
    limit, network = limited(clock)
    network.refusals = [too_many(999_999_999)]
    with pytest.raises(TooManyRequests):
        await limit.send(get())
    await limit.send(get())
    assert network.times == [0, 300]


async def test_another_class_is_not_held_back_by_a_429() -> None:
    """Too many creates say nothing of gets."""
    clock = FakeClock()
    limit, network = limited(clock)
    network.refusals = [too_many(60)]
    with pytest.raises(TooManyRequests):
        await limit.send(get(operation="orders.create"))
    await limit.send(get(operation="orders.get"))
    assert network.times == [0, 0]


class OneSleeper:
    """Virtual time for a single sleeper at a time, at no cost however many tasks wait."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.sleeps = 0
        self._asleep = False

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    async def sleep(self, seconds: float) -> None:
        assert not self._asleep, "two sleep at once"
        self._asleep = True
        await anyio.lowlevel.checkpoint()
        self._asleep = False
        self.seconds += max(0.0, seconds)
        self.sleeps += 1

    def move_on_after(self, seconds: float) -> AbstractContextManager[anyio.CancelScope]:
        raise NotImplementedError(seconds)


@pytest.mark.no_cover
@pytest.mark.parametrize(("anyio_backend", "callers"), [("asyncio", 10_000), ("trio", 1_000)])
async def test_a_long_line_uses_what_is_allowed(callers: int) -> None:
    """10,000 waiting callers go out at 98% of the allowed rate or more, never above it, a sleep for each."""
    clock = OneSleeper()
    limit, network = limited(clock)
    (window,) = DOCUMENTED_RATES["orders.get"]
    async with anyio.create_task_group() as group:
        for _ in range(callers):
            group.start_soon(limit.send, get())
    assert len(network.times) == callers
    assert callers / network.times[-1] >= 0.98 * window.limit / window.seconds
    _assert_windows(network.times, (window,))
    assert clock.sleeps <= callers


class Weak(Network):
    """Allows what its windows do, whatever is documented; what is refused does not count."""

    def __init__(self, clock: Clock, *windows: Window) -> None:
        super().__init__(clock)
        self.windows = windows
        self.refused: list[float] = []

    async def send(self, request: Request) -> Response:
        now = self._clock.monotonic()
        waits = [self.times[-w.limit] + w.seconds - now for w in self.windows if len(self.times) >= w.limit]
        wait = max(waits, default=0)
        (self.times if wait <= 0 else self.refused).append(now)
        await self._clock.sleep(0.1)  # on its way back, while others are sent
        if wait > 0:
            raise too_many(math.ceil(wait))
        return Response(200, url=request.url)


async def _work(limit: RateLimit, network: Weak, until: int) -> None:
    """Have sixteen callers at it until that many requests have passed."""

    async def worker() -> None:
        while len(network.times) < until:
            with suppress(TooManyRequests):
                await limit.send(get())

    async with anyio.create_task_group() as group:
        for _ in range(16):
            group.start_soon(worker)


def _rate(times: list[float]) -> float:
    return (len(times) - 1) / (times[-1] - times[0])


@pytest.mark.no_cover
@pytest.mark.parametrize("window", [Window(3, 2.0), Window(1, 1 / 1.5), Window(30, 20.0)])
async def test_a_line_settles_at_what_the_server_bears(window: Window) -> None:
    """Half of the documented rate is all there is: 85% of it is used, and one in thirty refused at most."""
    clock = FakeClock()
    network = Weak(clock, window)
    limit = RateLimit(network, budget(clock, Config(rates={"orders": (Window(3),)})))
    await _work(limit, network, 100)
    network.refused.clear()
    await _work(limit, network, 500)
    settled = network.times[100:]
    assert 0.85 <= _rate(settled) / (window.limit / window.seconds) <= 1.01
    assert len(network.refused) <= len(settled) / 30


async def test_the_full_rate_comes_back() -> None:
    """Well again, the server gets all that is documented after 200 answers, and none is refused."""
    clock = FakeClock()
    network = Weak(clock, Window(3, 2.0))
    limit = RateLimit(network, budget(clock, Config(rates={"orders": (Window(3),)})))
    await _work(limit, network, 100)
    network.windows = (Window(3),)
    network.refused.clear()
    await _work(limit, network, 400)
    assert _rate(network.times[300:]) >= 0.98 * 3
    assert network.refused == []


async def test_one_burst_of_refusals_slows_once() -> None:
    """Ten under way when the first is refused: the pace halves once, and those that pass do not mend it."""
    clock = FakeClock()
    network = Network(clock)
    limit = RateLimit(Delayed(network, clock, 2.0), budget(clock, Config(rates={"orders": (Window(10),)})))
    network.refusals = [too_many(1) for _ in range(5)]

    async def one() -> None:
        with suppress(TooManyRequests):
            await limit.send(get())

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(one)
    before = len(network.times)
    await clock.sleep(1)
    await send_all(limit, *[get()] * 3)
    gaps = [late - early for early, late in pairwise(network.times[before:])]
    assert gaps == pytest.approx([2 * MARGIN / 10] * 2)


class Delayed:
    """A network whose answers take a while; requests arrive at once."""

    def __init__(self, network: Network, clock: Clock, seconds: float) -> None:
        self._network = network
        self._clock = clock
        self._seconds = seconds

    async def send(self, request: Request) -> Response:
        try:
            return await self._network.send(request)
        finally:
            await self._clock.sleep(self._seconds)

    async def aclose(self) -> None:
        await self._network.aclose()


async def test_the_pace_never_falls_below_a_tenth() -> None:
    """However often it is refused: a request every ten intervals still goes out."""
    clock = FakeClock()
    limit, network = limited(clock, {"orders": (Window(10),)})
    network.refusals = [too_many(0) for _ in range(30)]
    for _ in range(30):
        with pytest.raises(TooManyRequests):
            await limit.send(get())
    assert network.times[-1] - network.times[-2] == pytest.approx(MARGIN)


async def test_all_windows_slow_down() -> None:
    """After a 429 the minute allows half, too: not 300 in it at half the speed."""
    clock = FakeClock()
    limit, network = limited(clock, {"tasking": (Window(40), Window(100, 60.0))})
    request = get(operation="tasking.list")
    network.refusals = [too_many(0)]
    with pytest.raises(TooManyRequests):
        await limit.send(request)
    network.refusals = [ServerError("503", status=503) for _ in range(60)]  # tells nothing of the pace
    for _ in range(60):
        with pytest.raises(ServerError):
            await limit.send(request)
    assert network.times[49] < 3
    assert network.times[50] == pytest.approx(60 * MARGIN)


@pytest.mark.parametrize("rates", [{}, {"orders.get": ()}], ids=["no rates", "no windows"])
async def test_the_limits_can_be_lifted(rates: Mapping[str, tuple[Window, ...]]) -> None:
    """`rates={}` lifts all limits, and no windows that of one operation: nobody waits."""
    clock = NotingClock()
    limit, network = limited(clock, rates)
    await send_all(limit, *[get()] * 100)
    assert len(network.times) == 100
    assert clock.sleeps == []


async def test_cancelled_anywhere_the_line_moves_on() -> None:
    """At whichever point a waiting request is cancelled, the next one gets through."""
    clock = FakeClock()
    limit, network = limited(clock)

    async def call() -> None:
        await limit.send(get())
        await limit.send(get())

    assert await cancelled_at_each_step(call, lambda: None) >= 2
    before = len(network.times)
    await limit.send(get())
    assert len(network.times) == before + 1


async def test_closing_closes_what_is_inside() -> None:
    """Closing the layer closes the network."""
    limit, network = limited(FakeClock())
    await limit.aclose()
    assert network.closed
