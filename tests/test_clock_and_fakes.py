import gc
import time
from datetime import UTC, datetime, timedelta

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from spine import get, settle

from planet_async.clock import SystemClock
from planet_async.errors import ConnectionLost, NotFound
from planet_async.http import Request, Response
from planet_async.testing import FakeClock, FakeTransport, reply

pytestmark = pytest.mark.anyio


async def test_the_system_clock_is_this_machines() -> None:
    """Real time, in UTC, that never goes back; a sleep of nothing or less is only a checkpoint."""
    clock = SystemClock()
    before = clock.monotonic()
    await clock.sleep(-5)
    await clock.sleep(0.001)
    assert 0.001 <= clock.monotonic() - before < 1
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=5)
    with clock.move_on_after(0.001) as scope:
        await anyio.sleep_forever()
    assert scope.cancelled_caught


async def test_an_hour_takes_no_time() -> None:
    """When all wait, time jumps, and both readings move together."""
    clock, real = FakeClock(), time.monotonic()
    start = clock.now()
    await clock.sleep(3600)
    assert clock.monotonic() == 3600
    assert clock.now() - start == timedelta(hours=1)
    assert time.monotonic() - real < 1


async def test_it_starts_when_told() -> None:
    """A test may begin at any date."""
    start = datetime(2030, 5, 1, tzinfo=UTC)
    assert FakeClock(start).now() == start


async def test_things_happen_in_their_order_and_at_their_time() -> None:
    """Each sleeper wakes at its own second, and equal ones in the order in which they lay down."""
    clock = FakeClock()
    happened: list[tuple[float, str]] = []

    async def sleeper(seconds: float, name: str) -> None:
        await clock.sleep(seconds)
        happened.append((clock.monotonic(), name))

    async with anyio.create_task_group() as group:
        for seconds, name in [(5, "a"), (1, "b"), (5, "c"), (3, "d")]:
            group.start_soon(sleeper, seconds, name)
            await settle()
    assert happened == [(1, "b"), (3, "d"), (5, "a"), (5, "c")]


async def test_time_stands_still_while_somebody_works() -> None:
    """A task that is not waiting holds the time, however many steps it takes."""
    clock = FakeClock()
    times: set[float] = set()

    async def worker() -> None:
        for _ in range(200):
            await anyio.lowlevel.checkpoint()
            times.add(clock.monotonic())

    async with anyio.create_task_group() as group:
        group.start_soon(worker)
        await clock.sleep(10)
    assert times == {0}


def test_time_stands_still_on_any_event_loop() -> None:
    """Also on one that does not show what it is going to do next."""
    pytest.importorskip("uvloop")

    async def main() -> None:
        clock = FakeClock()
        moments: list[float] = []

        async def work() -> None:
            for _ in range(100):
                await anyio.lowlevel.checkpoint()
            moments.append(clock.monotonic())

        async with anyio.create_task_group() as group:
            group.start_soon(clock.sleep, 3600)
            group.start_soon(work)
        moments.append(clock.monotonic())
        assert moments == [0, 3600]

    anyio.run(main, backend_options={"use_uvloop": True})


async def test_work_in_threads_holds_the_time() -> None:
    """Disk and hash work in a thread belongs to the moment at which it began."""
    clock = FakeClock()
    seen: list[float] = []

    async def work() -> None:
        await anyio.to_thread.run_sync(time.sleep, 0.02)
        seen.append(clock.monotonic())

    async with anyio.create_task_group() as group:
        group.start_soon(work)
        await clock.sleep(10)
    assert seen == [0]


@pytest.mark.parametrize("driver_first", [True, False])
async def test_a_cancelled_sleeper_does_not_stop_the_time(*, driver_first: bool) -> None:
    """Whichever sleeper is cancelled, the one that moves the time included, the others wake in time."""
    clock = FakeClock()
    woke: list[float] = []
    scope = anyio.CancelScope()

    async def cancelled() -> None:
        with scope:
            await clock.sleep(100)
            woke.append(-1)

    async def sleeper(seconds: float) -> None:
        await clock.sleep(seconds)
        woke.append(clock.monotonic())

    async with anyio.create_task_group() as group:
        for first in (driver_first, not driver_first):
            if first:
                group.start_soon(cancelled)
            else:
                group.start_soon(sleeper, 50)
            await anyio.lowlevel.checkpoint()
            await anyio.lowlevel.checkpoint()
        scope.cancel()
        group.start_soon(sleeper, 60)
    assert woke == [50, 60]


async def test_the_time_is_handed_over_to_the_next_sleeper() -> None:
    """A sleeper that wakes leaves others asleep: somebody goes on moving the time."""
    clock = FakeClock()

    async def sleeper(number: int) -> None:
        for _ in range(5):
            await clock.sleep(number)

    async with anyio.create_task_group() as group:
        for number in range(1, 6):
            group.start_soon(sleeper, number)
    assert clock.monotonic() == 25


async def test_a_block_is_left_when_its_time_is_over() -> None:
    """`move_on_after` cancels in virtual time, and does nothing to a block that ended before."""
    clock = FakeClock()
    with clock.move_on_after(10) as scope:
        await clock.sleep(100)
    assert scope.cancelled_caught
    assert clock.monotonic() == 10
    with clock.move_on_after(10) as scope:
        await clock.sleep(5)
    await clock.sleep(100)
    assert not scope.cancel_called


async def test_the_sooner_of_two_limits_counts() -> None:
    """Blocks nest."""
    clock = FakeClock()
    with clock.move_on_after(50) as outer, clock.move_on_after(10) as inner:
        await clock.sleep(100)
    assert (inner.cancelled_caught, outer.cancelled_caught, clock.monotonic()) == (True, False, 10)


async def test_time_moves_by_hand() -> None:
    """`advance` wakes whom it concerns, in order, and lands where it was told to."""
    clock = FakeClock()
    with clock.move_on_after(5) as early, clock.move_on_after(20) as late:
        clock.advance(10)
        assert clock.monotonic() == 10
        assert early.cancel_called
        assert not late.cancel_called
    clock.advance(2.5)
    assert clock.monotonic() == 12.5


async def test_a_sleep_of_nothing_lets_others_run() -> None:
    """Also a sleep of 0 or less is a checkpoint, and moves no time."""
    clock = FakeClock()
    ran: list[str] = []

    async def other() -> None:
        ran.append("other")

    async with anyio.create_task_group() as group:
        group.start_soon(other)
        await clock.sleep(0)
        await clock.sleep(-1)
        assert ran == ["other"]
    assert clock.monotonic() == 0


async def test_a_fake_answers_in_order_and_notes_what_was_sent() -> None:
    """Answers are given, raised, or made from the request, one after another."""
    network = FakeTransport(
        [reply(201), ConnectionLost("broke off"), lambda request: reply(body=request.method)]
    )
    first, second, third = get("https://a.example/1"), get("https://a.example/2"), get("https://a.example/3")
    response = await network.send(first)
    assert (response.status, response.url) == (201, first.url)
    await response.aclose()
    with pytest.raises(ConnectionLost) as caught:
        await network.send(second)
    assert caught.value.request == second
    assert await (await network.send(third)).read() == b"GET"
    assert network.requests == [first, second, third]


async def test_a_request_too_many_fails_the_test() -> None:
    """What was not foreseen is the test's failure, and no error of the library that something may catch."""
    with pytest.raises(AssertionError, match="no response is left for GET"):
        await FakeTransport([]).send(get())


async def test_a_function_may_answer() -> None:
    """One function can stand for a whole server, errors included."""

    def server(request: Request) -> Response | NotFound:
        return reply(json=[1]) if request.url.endswith("/1") else NotFound("gone", status=404)

    network = FakeTransport(server)
    assert await (await network.send(get("https://a.example/1"))).read() == b"[1]"
    with pytest.raises(NotFound):
        await network.send(get("https://a.example/2"))


async def test_open_responses_are_counted() -> None:
    """Reading or closing a response, once or twice, brings the count back."""
    network = FakeTransport(lambda _: reply(body="x"))
    read, closed = await network.send(get()), await network.send(get())
    assert network.open_responses == 2
    await read.read()
    await closed.aclose()
    await closed.aclose()
    assert network.open_responses == 0
    assert not network.closed
    await network.aclose()
    assert network.closed


async def test_a_reply_is_composed() -> None:
    """JSON comes with its type, text is encoded, header names are lower case, chunks come one by one."""
    json = reply(json={"a": 1}, headers={"X-Name": "v"})
    assert json.headers == {"x-name": "v", "content-type": "application/json"}
    assert await json.read() == b'{"a":1}'
    assert reply(json=1, headers={"Content-Type": "text/x"}).headers == {"content-type": "text/x"}
    assert await reply(body="ä").read() == "ä".encode()
    assert [chunk async for chunk in reply(chunks=[b"a", b"b"]).chunks()] == [b"a", b"b"]


@pytest.mark.parametrize("chunks", [[b"a", b"b"], None])
async def test_a_body_left_half_way_is_no_warning(chunks: list[bytes] | None) -> None:
    """A test that breaks out of a body is not failed by a ResourceWarning."""
    network = FakeTransport([reply(body="ab", chunks=chunks)])
    sent = await network.send(get())
    async for _ in sent.chunks():
        break
    await sent.aclose()
    del sent
    gc.collect()
    await settle()
    assert network.open_responses == 0
