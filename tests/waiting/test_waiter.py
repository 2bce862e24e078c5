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

SCHEDULE = Schedule(first=2, factor=2, longest=8)  # looks at 0, 2, 6, 14, 22, 30 ...


class Thing(str):
    """What a look shows: an id, and the text of a state."""

    id: str

    __slots__ = ("id",)

    def __new__(cls, id_: str, state: str) -> Self:
        thing = super().__new__(cls, state)
        thing.id = id_
        return thing


class Things:
    """Things that are finished at their second; noting each look."""

    def __init__(self, clock: Clock, finished_at: dict[str, float]) -> None:
        self.clock = clock
        self.finished_at = finished_at
        self.looks: list[tuple[float, str]] = []
        self.under_way = self.most_under_way = self.most_tasks = 0

    async def look(self, id_: str) -> Thing:
        self.looks.append((self.clock.monotonic(), id_))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        self.most_tasks = max(self.most_tasks, len(anyio.get_running_tasks()))
        try:
            await self.clock.sleep(0.001)
        finally:
            self.under_way -= 1
        if id_ not in self.finished_at:
            raise NotFound(f"no {id_}", status=404)
        return Thing(id_, "done" if self.clock.monotonic() >= self.finished_at[id_] else "running")

    def shared(self) -> Poller[Thing]:
        return Poller(self.look, clock=self.clock, schedule=SCHEDULE)

    def wait_many(self, ids: Iterable[str], timeout: float | None = None) -> AsyncIterator[Outcome[Thing]]:
        return WaitForMany(self.shared(), ids, _done, timeout=timeout)

    async def wait(
        self, id_: str, timeout: float | None = None, on_update: Callable[[str], None] | None = None
    ) -> str:
        return await wait_for(self.shared(), id_, _done, timeout=timeout, on_update=on_update)


def _done(state: str) -> bool:
    return state == "done"


async def test_one_thing_is_looked_at_by_the_schedule() -> None:
    """The pauses between looks are exactly those of the schedule."""
    clock = NotingClock()
    things = Things(clock, {"a": 20})
    assert await things.wait("a") == "done"
    assert [round(pause, 6) for pause in clock.sleeps if pause != 0.001] == [2, 4, 8, 8]


async def test_what_is_finished_already_costs_one_look() -> None:
    """No pause before the first look."""
    clock = FakeClock()
    things = Things(clock, {"a": 0})
    assert await things.wait("a", timeout=1) == "done"
    assert things.looks == [(0, "a")]


async def test_an_update_is_told_when_it_is_one() -> None:
    """`on_update` gets what was seen first, and then each change, the last included."""
    seen: list[str] = []
    await Things(FakeClock(), {"a": 20}).wait("a", on_update=seen.append)
    assert seen == ["running", "done"]


async def test_an_asynchronous_update_is_awaited() -> None:
    """`on_update` may be a coroutine function; one that returns something else is fine, too."""
    clock = FakeClock()
    seen: list[tuple[str, float]] = []

    async def note(thing: Thing) -> None:
        await clock.sleep(1)
        seen.append((thing, clock.monotonic()))

    things = Things(clock, {"a": 20})
    assert await wait_for(things.shared(), "a", _done, on_update=note) == "done"
    assert [state for state, _ in seen] == ["running", "done"]
    assert seen[-1][1] == clock.monotonic()
    assert await wait_for(things.shared(), "a", _done, on_update=len) == "done"


@pytest.mark.parametrize("timeout", [0.0005, 1, 10, 15])
async def test_waiting_for_one_ends_in_time(timeout: float) -> None:
    """WaitTimeout, a TimeoutError too, comes no later than asked, says the id and that it goes on."""
    clock = FakeClock()
    with pytest.raises(TimeoutError) as caught:
        await Things(clock, {"a": 1000}).wait("a", timeout=timeout)
    assert isinstance(caught.value, WaitTimeout)
    assert clock.monotonic() <= timeout
    assert f"a was not finished after {timeout:g} s" in str(caught.value)
    assert "wait again" in str(caught.value)


async def test_an_error_of_the_one_is_the_callers() -> None:
    """A missing thing is not waited for."""
    with pytest.raises(NotFound):
        await Things(FakeClock(), {}).wait("a")


async def test_many_come_in_the_order_of_finishing() -> None:
    """Each is given when it is found finished, not in the order of the ids."""
    clock = FakeClock()
    things = Things(clock, {"late": 25, "soon": 1, "later": 40, "at once": 0})
    found = [(outcome.id, outcome.unwrap()) async for outcome in things.wait_many(list(things.finished_at))]
    assert found == [("at once", "done"), ("soon", "done"), ("late", "done"), ("later", "done")]


async def test_one_error_stops_nobody() -> None:
    """What cannot be found is an outcome like others."""
    things = Things(FakeClock(), {"a": 3, "b": 30})
    outcomes = {outcome.id: outcome async for outcome in things.wait_many(["a", "missing", "b"])}
    assert isinstance(outcomes["missing"].error, NotFound)
    assert (outcomes["a"].value, outcomes["b"].value) == ("done", "done")


async def test_an_id_given_twice_is_waited_for_once() -> None:
    """One outcome for each id."""
    things = Things(FakeClock(), {"a": 0, "b": 0})
    outcomes = [outcome async for outcome in things.wait_many(["a", "b", "a", "b", "a"])]
    assert sorted(outcome.id for outcome in outcomes) == ["a", "b"]
    assert len(things.looks) == 2


async def test_no_ids_no_looks() -> None:
    """Waiting for nothing is over at once."""
    things = Things(FakeClock(), {})
    assert [outcome async for outcome in things.wait_many([])] == []
    assert things.looks == []


async def test_a_hundred_thousand_ids_are_read_bit_by_bit() -> None:
    """Reading them, which checks each, does not hold the event loop: others have their turns between."""

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
async def test_one_wrong_id_is_the_end_of_it(good: int) -> None:
    """Wherever it stands: it is raised, nothing is looked at, and none of the others is waited for."""

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
    assert things.looks == []


async def test_the_unfinished_end_as_timeouts_in_the_order_given() -> None:
    """After `timeout` seconds, exactly: a WaitTimeout for each that was not finished, the others as ever."""
    clock = FakeClock()
    things = Things(clock, {"a": 1000, "b": 1, "c": 1000})
    outcomes = [outcome async for outcome in things.wait_many(["a", "b", "c"], timeout=10)]
    assert [outcome.id for outcome in outcomes] == ["b", "a", "c"]
    for outcome in outcomes[1:]:
        assert isinstance(outcome.error, WaitTimeout)
        assert isinstance(outcome.error, TimeoutError)
        assert outcome.id in str(outcome.error)
    assert clock.monotonic() == 10


async def test_no_time_is_one_look() -> None:
    """`timeout=0`: what is finished is given, for one and for many; only the others end as a WaitTimeout."""
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
    assert Counter(id_ for _, id_ in things.looks) == {"a": 2, "b": 2, "c": 1, "d": 1}


async def test_no_time_is_one_look_while_others_wait() -> None:
    """Who has no time looks anew, also at what others wait for, and ends nobody's waiting but its own."""
    clock = FakeClock()
    things = Things(clock, {"a": 20})
    shared = things.shared()
    async with anyio.create_task_group() as group:
        group.start_soon(wait_for, shared, "a", _done)
        await clock.sleep(3)
        with pytest.raises(WaitTimeout):
            await wait_for(shared, "a", _done, timeout=0)
        assert clock.monotonic() < 4
    assert clock.monotonic() >= 20


async def test_who_waits_weighs_little() -> None:
    """Less than a kilobyte for one who waits for one thing: a server may have a hundred thousand of them."""
    shared = Things(FakeClock(), {}).shared()
    tracemalloc.start()
    try:
        waiters = [WaitForMany(shared, ["a"], _done) for _ in range(100)]
        assert tracemalloc.get_traced_memory()[0] / len(waiters) < 1000
    finally:
        tracemalloc.stop()


async def test_a_look_that_hangs_does_not_outlast_the_timeout() -> None:
    """The timeout also ends a request that is under way."""
    clock = FakeClock()

    async def look(id_: str) -> Thing:
        await clock.sleep(10_000)
        return Thing(id_, "done")

    waiting = WaitForMany(Poller(look, clock=clock, schedule=SCHEDULE), ["a"], _done, timeout=5)
    assert [type(outcome.error) async for outcome in waiting] == [WaitTimeout]
    assert clock.monotonic() == 5


@pytest.mark.no_cover
async def test_a_thousand_are_waited_for_with_a_handful_of_tasks() -> None:
    """No task for each id: at most ten looks are under way at a time."""
    clock = FakeClock()
    things = Things(clock, {f"{number}": number % 50 for number in range(1000)})
    tasks_before = len(anyio.get_running_tasks())
    outcomes = Counter([outcome.id async for outcome in things.wait_many(list(things.finished_at))])
    assert len(outcomes) == 1000
    assert things.most_under_way == 10
    assert things.most_tasks <= tasks_before + 10


async def test_nothing_runs_while_the_caller_holds_an_outcome() -> None:
    """The caller may take its time: no look goes on behind its back."""
    clock = FakeClock()
    things = Things(clock, {"a": 0, "b": 5})
    async for _ in things.wait_many(["a", "b"]):
        looks = len(things.looks)
        await clock.sleep(100)
        await settle()
        assert len(things.looks) == looks
        assert things.under_way == 0


async def test_leaving_early_is_safe() -> None:
    """A `break` leaves nothing running, and no warning of a generator left behind."""
    things = Things(FakeClock(), {f"{number}": number for number in range(30)})

    async def look() -> None:
        async for _ in things.wait_many(list(things.finished_at)):
            break

    await look()
    gc.collect()
    await settle()
    assert things.under_way == 0


async def test_whose_patience_ends_may_go_on_later() -> None:
    """A cancelled `anext` loses no id: the next one goes on where it was."""
    clock = FakeClock()
    things = Things(clock, {"a": 30, "b": 40})
    waiting = things.wait_many(["a", "b"])
    for patience in (0.0005, 1, 10):
        with clock.move_on_after(patience) as scope:
            await anext(waiting)
        assert scope.cancelled_caught
    assert [outcome.id async for outcome in waiting] == ["a", "b"]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@settings(max_examples=25, deadline=None)
@given(
    finished_at=st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.floats(0, 120), max_size=30),
    missing=st.sets(st.text("xyz", min_size=1, max_size=2), max_size=3),
    timeout=st.one_of(st.none(), st.floats(0.1, 150)),
)
def test_there_is_one_outcome_for_each_id(
    backend: str, finished_at: dict[str, float], missing: set[str], timeout: float | None
) -> None:
    """Whenever things finish: one outcome each, on time, and what finished long before the end is done."""

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
