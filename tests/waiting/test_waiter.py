"""Waiting by polls: for one id, and for many."""

import gc
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Self

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spine import NotingClock, others_take_turns, settle

from planet_async.clock import Clock
from planet_async.config import Schedule
from planet_async.errors import NotFound, WaitTimeout
from planet_async.outcome import Outcome
from planet_async.testing import FakeClock
from planet_async.waiting.poller import Poller
from planet_async.waiting.waiter import WaitForMany, wait_for

pytestmark = pytest.mark.anyio

SCHEDULE = Schedule(first=2, factor=2, longest=8)  # polls at 0, 2, 6, 14, 22, 30 ...


class Thing(str):
    """The response to a poll: an id, and the text of a state."""

    id: str

    __slots__ = ("id",)

    def __new__(cls, id_: str, state: str) -> Self:
        thing = super().__new__(cls, state)
        thing.id = id_
        return thing


class Things:
    """Things that are finished at their second, which record each poll."""

    def __init__(self, clock: Clock, finished_at: dict[str, float]) -> None:
        self.clock = clock
        self.finished_at = finished_at
        self.polls: list[tuple[float, str]] = []
        self.in_progress = self.most_in_progress = self.most_tasks = 0

    async def poll(self, id_: str) -> Thing:
        self.polls.append((self.clock.monotonic(), id_))
        self.in_progress += 1
        self.most_in_progress = max(self.most_in_progress, self.in_progress)
        self.most_tasks = max(self.most_tasks, len(anyio.get_running_tasks()))
        try:
            await self.clock.sleep(0.001)
        finally:
            self.in_progress -= 1
        if id_ not in self.finished_at:
            raise NotFound(f"no {id_}", status=404)
        return Thing(id_, "done" if self.clock.monotonic() >= self.finished_at[id_] else "running")

    def poller(self) -> Poller[Thing]:
        return Poller(self.poll, clock=self.clock, schedule=SCHEDULE)

    def wait_many(self, ids: Iterable[str], timeout: float | None = None) -> AsyncIterator[Outcome[Thing]]:
        return WaitForMany(self.poller(), ids, _done, timeout=timeout)

    async def wait(
        self, id_: str, timeout: float | None = None, on_update: Callable[[str], None] | None = None
    ) -> str:
        return await wait_for(self.poller(), id_, _done, timeout=timeout, on_update=on_update)


def _done(state: str) -> bool:
    return state == "done"


async def test_one_thing_is_polled_by_the_schedule() -> None:
    """The pauses between polls are exactly those of the schedule."""
    clock = NotingClock()
    things = Things(clock, {"a": 20})
    assert await things.wait("a") == "done"
    assert [round(pause, 6) for pause in clock.sleeps if pause != 0.001] == [2, 4, 8, 8]


async def test_what_is_already_finished_takes_one_poll() -> None:
    """There is no pause before the first poll."""
    clock = FakeClock()
    things = Things(clock, {"a": 0})
    assert await things.wait("a", timeout=1) == "done"
    assert things.polls == [(0, "a")]


async def test_on_update_is_called_for_changes_only() -> None:
    """`on_update` is called with the first state that is seen, and with each change, including the last."""
    seen: list[str] = []
    await Things(FakeClock(), {"a": 20}).wait("a", on_update=seen.append)
    assert seen == ["running", "done"]


async def test_an_asynchronous_on_update_is_awaited() -> None:
    """`on_update` may be a coroutine function; the return value of any other function is ignored."""
    clock = FakeClock()
    seen: list[tuple[str, float]] = []

    async def note(thing: Thing) -> None:
        await clock.sleep(1)
        seen.append((thing, clock.monotonic()))

    things = Things(clock, {"a": 20})
    assert await wait_for(things.poller(), "a", _done, on_update=note) == "done"
    assert [state for state, _ in seen] == ["running", "done"]
    assert seen[-1][1] == clock.monotonic()
    assert await wait_for(things.poller(), "a", _done, on_update=len) == "done"


@pytest.mark.parametrize("timeout", [0.0005, 1, 10, 15])
async def test_waiting_for_one_ends_in_time(timeout: float) -> None:
    """WaitTimeout, which is a TimeoutError, is raised in time, names the id, and says that it goes on."""
    clock = FakeClock()
    with pytest.raises(TimeoutError) as caught:
        await Things(clock, {"a": 1000}).wait("a", timeout=timeout)
    assert isinstance(caught.value, WaitTimeout)
    assert clock.monotonic() <= timeout
    assert f"a was not finished after {timeout:g} s" in str(caught.value)
    assert "wait again" in str(caught.value)


async def test_an_error_of_the_poll_is_raised() -> None:
    """Nothing waits for a thing that does not exist."""
    with pytest.raises(NotFound):
        await Things(FakeClock(), {}).wait("a")


async def test_outcomes_come_in_the_order_of_finishing() -> None:
    """Each is yielded when it is found finished, not in the order of the ids."""
    clock = FakeClock()
    things = Things(clock, {"late": 25, "soon": 1, "later": 40, "at once": 0})
    found = [(outcome.id, outcome.unwrap()) async for outcome in things.wait_many(list(things.finished_at))]
    assert found == [("at once", "done"), ("soon", "done"), ("late", "done"), ("later", "done")]


async def test_one_failed_poll_does_not_stop_the_others() -> None:
    """What cannot be found has an outcome with the error."""
    things = Things(FakeClock(), {"a": 3, "b": 30})
    outcomes = {outcome.id: outcome async for outcome in things.wait_many(["a", "missing", "b"])}
    assert isinstance(outcomes["missing"].error, NotFound)
    assert (outcomes["a"].value, outcomes["b"].value) == ("done", "done")


async def test_a_duplicate_id_is_waited_for_once() -> None:
    """There is one outcome for each id."""
    things = Things(FakeClock(), {"a": 0, "b": 0})
    outcomes = [outcome async for outcome in things.wait_many(["a", "b", "a", "b", "a"])]
    assert sorted(outcome.id for outcome in outcomes) == ["a", "b"]
    assert len(things.polls) == 2


async def test_no_ids_send_no_poll() -> None:
    """Waiting for nothing ends at once."""
    things = Things(FakeClock(), {})
    assert [outcome async for outcome in things.wait_many([])] == []
    assert things.polls == []


async def test_many_ids_are_read_in_parts() -> None:
    """Reading and checking a hundred thousand ids does not block the event loop."""

    def ids() -> Iterator[str]:
        for number in range(100_000):
            assert turns() >= number // 500 - 3
            yield f"{number}"
        raise ZeroDivisionError

    things = Things(FakeClock(), {})
    async with others_take_turns() as turns:
        with pytest.raises(ZeroDivisionError):
            await anext(things.wait_many(ids()))


@pytest.mark.parametrize("good", [0, 499, 500, 1300])
async def test_an_invalid_id_ends_the_wait(good: int) -> None:
    """Its error is raised wherever it stands, nothing is polled, and none of the others is waited for."""

    def ids() -> Iterator[str]:
        yield from map(str, range(good))
        raise ZeroDivisionError

    things = Things(FakeClock(), {})
    if good < 500:
        with pytest.raises(ZeroDivisionError):
            things.wait_many(ids())
    else:
        waiting = things.wait_many(ids())
        with pytest.raises(ZeroDivisionError):
            await anext(waiting)
        assert [outcome async for outcome in waiting] == []
    assert things.polls == []


async def test_unfinished_ids_end_as_timeouts_in_their_order() -> None:
    """After exactly `timeout` seconds each unfinished id has a WaitTimeout; finished ones do not."""
    clock = FakeClock()
    things = Things(clock, {"a": 1000, "b": 1, "c": 1000})
    outcomes = [outcome async for outcome in things.wait_many(["a", "b", "c"], timeout=10)]
    assert [outcome.id for outcome in outcomes] == ["b", "a", "c"]
    for outcome in outcomes[1:]:
        assert isinstance(outcome.error, WaitTimeout)
        assert isinstance(outcome.error, TimeoutError)
        assert outcome.id in str(outcome.error)
    assert clock.monotonic() == 10


async def test_a_timeout_of_zero_is_one_poll() -> None:
    """`timeout=0`: what is finished is returned, for one and for many; only the others are a WaitTimeout."""
    things = Things(FakeClock(), {"a": 0, "b": 20, "c": 0})
    assert await things.wait("a", timeout=0) == "done"
    seen: list[str] = []
    with pytest.raises(WaitTimeout, match="b was not finished after 0 s"):
        await things.wait("b", timeout=0, on_update=seen.append)
    assert seen == ["running"]
    outcomes = {outcome.id: outcome async for outcome in things.wait_many(["a", "b", "c", "d"], timeout=0)}
    assert outcomes["a"].value == outcomes["c"].value == "done"
    assert isinstance(outcomes["b"].error, WaitTimeout)
    assert isinstance(outcomes["d"].error, NotFound)
    assert Counter(id_ for _, id_ in things.polls) == {"a": 2, "b": 2, "c": 1, "d": 1}


async def test_a_timeout_of_zero_is_one_poll_while_others_wait() -> None:
    """It polls again, even what others wait for, and ends no other wait."""
    clock = FakeClock()
    things = Things(clock, {"a": 20})
    poller = things.poller()
    async with anyio.create_task_group() as group:
        group.start_soon(wait_for, poller, "a", _done)
        await clock.sleep(3)
        with pytest.raises(WaitTimeout):
            await wait_for(poller, "a", _done, timeout=0)
        assert clock.monotonic() < 4
    assert clock.monotonic() >= 20


async def test_a_waiter_takes_little_memory() -> None:
    """Less than a kilobyte for a wait for one id: a server may have a hundred thousand of them."""
    poller = Things(FakeClock(), {}).poller()
    tracemalloc.start()
    try:
        waiters = [WaitForMany(poller, ["a"], _done) for _ in range(100)]
        assert tracemalloc.get_traced_memory()[0] / len(waiters) < 1000
    finally:
        tracemalloc.stop()


async def test_a_poll_that_hangs_does_not_outlast_the_timeout() -> None:
    """The timeout also ends a request in progress."""
    clock = FakeClock()

    async def poll(id_: str) -> Thing:
        await clock.sleep(10_000)
        return Thing(id_, "done")

    waiting = WaitForMany(Poller(poll, clock=clock, schedule=SCHEDULE), ["a"], _done, timeout=5)
    assert [type(outcome.error) async for outcome in waiting] == [WaitTimeout]
    assert clock.monotonic() == 5


@pytest.mark.no_cover
async def test_many_ids_need_few_tasks() -> None:
    """There is no task for each id: at most ten polls are in progress at a time."""
    clock = FakeClock()
    things = Things(clock, {f"{number}": number % 50 for number in range(300)})
    tasks_before = len(anyio.get_running_tasks())
    outcomes = Counter([outcome.id async for outcome in things.wait_many(list(things.finished_at))])
    assert len(outcomes) == 300
    assert things.most_in_progress == 10
    assert things.most_tasks <= tasks_before + 10


async def test_nothing_runs_while_the_caller_holds_an_outcome() -> None:
    """The caller may take its time: nothing is polled in the background."""
    clock = FakeClock()
    things = Things(clock, {"a": 0, "b": 5})
    async for _ in things.wait_many(["a", "b"]):
        polls = len(things.polls)
        await clock.sleep(100)
        await settle()
        assert len(things.polls) == polls
        assert things.in_progress == 0


async def test_leaving_early_is_safe() -> None:
    """A `break` leaves nothing running, and causes no warning about an unclosed generator."""
    things = Things(FakeClock(), {f"{number}": number for number in range(30)})

    async def poll() -> None:
        async for _ in things.wait_many(list(things.finished_at)):
            break

    await poll()
    gc.collect()
    await settle()
    assert things.in_progress == 0


async def test_a_cancelled_anext_loses_nothing() -> None:
    """The next `anext` continues where the cancelled one was."""
    clock = FakeClock()
    things = Things(clock, {"a": 30, "b": 40})
    waiting = things.wait_many(["a", "b"])
    for patience in (0.0005, 1, 10):
        with clock.move_on_after(patience) as scope:
            await anext(waiting)
        assert scope.cancelled_caught
    assert [outcome.id async for outcome in waiting] == ["a", "b"]


@settings(max_examples=25, deadline=None)
@given(
    backend=st.sampled_from(["asyncio", "trio"]),
    finished_at=st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.floats(0, 120), max_size=30),
    missing=st.sets(st.text("xyz", min_size=1, max_size=2), max_size=3),
    timeout=st.one_of(st.none(), st.floats(0.1, 150)),
)
def test_there_is_one_outcome_for_each_id(
    backend: str, finished_at: dict[str, float], missing: set[str], timeout: float | None
) -> None:
    """Whenever things finish, there is one outcome each, in time, and what finished long before is done."""

    async def main() -> None:
        clock = FakeClock()
        things = Things(clock, finished_at)
        outcomes = [outcome async for outcome in things.wait_many([*finished_at, *missing], timeout)]
        assert Counter(outcome.id for outcome in outcomes) == Counter([*finished_at, *missing])
        for outcome in outcomes:
            if outcome.id in finished_at and (timeout is None or finished_at[outcome.id] < timeout - 9):
                assert outcome.unwrap() == "done"
        if timeout is not None:
            assert clock.monotonic() <= timeout + 0.001

    anyio.run(main, backend=backend)
