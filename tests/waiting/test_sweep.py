import gc
import logging
import tracemalloc
from collections.abc import Coroutine
from functools import partial
from math import inf
from statistics import median
from typing import Any

import anyio
import pytest
from account import Account, Seen, Thing, collected, is_done, spread
from spine import NotingClock, cancelled_at_each_step, others_take_turns, settle

from planet_async.errors import (
    BadRequest,
    Forbidden,
    NotFound,
    PlanetError,
    ServerError,
    Unauthorized,
    WaitTimeout,
)
from planet_async.http import Request
from planet_async.testing import FakeClock
from planet_async.waiting.registry import URGENT, WaiterRegistry
from planet_async.waiting.sweep import Sweep
from planet_async.waiting.waiter import WaitForMany, wait_for

pytestmark = pytest.mark.anyio

PROMPT = 15  # seconds: the latest that what a list shows is heard of
EVENTUALLY = 400  # seconds: the latest that what the lists do not show is heard of


async def test_one_list_answers_for_all() -> None:
    """A thousand things cost a few lists a minute, and no look at any of them."""
    clock = FakeClock()
    account = Account(clock, spread(1000, 10, 590))
    delays = await account.delays(account.things)
    assert len(delays) == 1000
    assert account.counts["look"] == 0
    assert account.lists < 230
    assert median(delays.values()) <= 3
    assert max(delays.values()) <= PROMPT


async def test_a_handful_are_looked_at_one_by_one() -> None:
    """No list is asked for five, and the looks are those of the schedule."""
    account = Account(FakeClock(), spread(5, 30, 60))
    await account.delays(account.things)
    assert account.lists == 0
    assert account.counts["look"] <= 5 * 9


@pytest.mark.parametrize("offset", [-3600.0, 3600.0])
async def test_the_clocks_need_not_agree(offset: float) -> None:
    """The server's clock may be an hour ahead of ours, or behind: only the server's counts."""
    account = Account(FakeClock(), spread(300, 5, 300))
    account.jumps = [(-inf, offset)]
    assert max((await account.delays(account.things)).values()) <= PROMPT
    assert account.counts["look"] <= 2


@pytest.mark.parametrize("seconds", [-300.0, 300.0])
async def test_the_servers_clock_may_jump(seconds: float) -> None:
    """Set forward or back by five minutes in the middle, it costs nobody more than the usual wait."""
    account = Account(FakeClock(), spread(300, 5, 300))
    account.jumps = [(100.0, seconds)]
    assert max((await account.delays(account.things)).values()) <= PROMPT


@pytest.mark.parametrize("jump", [100.0, 102.0, 104.0, 106.0, 108.0, 110.0])
async def test_what_changes_as_the_clock_goes_back_is_seen(jump: float) -> None:
    """Whenever between two sweeps it was: that change has an earlier time than both sweeps begin at."""
    account = Account(FakeClock(), [Thing(f"t{number}", jump + 0.1) for number in range(20)])
    account.jumps = [(jump, -300.0)]
    assert max((await account.delays(account.things)).values()) <= PROMPT
    assert account.counts["look"] == 0


async def test_a_change_that_shows_up_late_is_in_the_overlap() -> None:
    """A list that lags eight seconds behind misses nothing, without a look at anything."""
    things = [Thing(each.id, each.ends, each.ends, each.ends + 8) for each in spread(100, 20, 120)]
    account = Account(FakeClock(), things)
    assert max((await account.delays(account.things)).values()) <= 8 + PROMPT
    assert account.counts["look"] == 0


async def test_the_order_of_a_list_does_not_matter() -> None:
    """Pages that come the wrong way round lose nothing."""
    account = Account(FakeClock(), spread(200, 20, 60), page_size=7)
    account.backwards = True
    assert max((await account.delays(account.things)).values()) <= PROMPT


async def test_what_no_list_ever_shows_is_found() -> None:
    """A thing that the lists do not have is looked at by itself, by the schedule."""
    account = Account(FakeClock(), [*spread(50, 200, 60), Thing("hidden", 200, hidden_from=0)])
    delays = await account.delays(account.things)
    assert delays["hidden"] <= 31


async def test_what_the_lists_lose_is_found() -> None:
    """A thing that vanished from the lists when it ended is missed by a roll call, and looked at."""
    account = Account(FakeClock(), [*spread(50, 900, 60), Thing("lost", 200, hidden_from=190)])
    delays = await account.delays(account.things)
    assert delays["lost"] <= EVENTUALLY
    assert account.counts["unfinished"] * 9 <= account.counts["changed"]


async def test_what_has_ended_before_is_found_in_lists() -> None:
    """It costs pages, not a look for each; nothing of it changes any more, so no sweep would tell."""
    account = Account(FakeClock(), [*spread(2000, -1000, 900), *spread(10, 30, 1, "u")])
    delays = await account.delays(account.things)
    assert len(delays) == 2010
    assert account.counts["look"] <= 5
    assert account.counts["finished"] == 4


@pytest.mark.no_cover
async def test_an_account_full_of_others_costs_no_more_than_looks() -> None:
    """Lists that show none of those waited for are left before they cost more than looking at each does."""
    others = spread(20_000, inf, 0, "running") + spread(20_000, -1000, 900, "done")
    mine = [*spread(20, -10, 1, "mine"), *spread(20, 100, 60, "yours")]
    account = Account(FakeClock(), [*others, *mine], page_size=100)
    delays = await account.delays(each.id for each in mine)
    assert len(delays) == 40
    assert account.counts["look"] <= 40
    assert account.counts["unfinished"] + account.counts["finished"] <= 2 * 40
    assert max(delay for id_, delay in delays.items() if id_.startswith("yours")) <= PROMPT


async def test_a_hundred_times_as_many_others_change_nothing() -> None:
    """What others of the account do is read past."""
    account = Account(FakeClock(), [*spread(50, 10, 100, "mine"), *spread(5000, 10, 100, "other")])
    delays = await account.delays(f"mine{number}" for number in range(50))
    assert len(delays) == 50
    assert max(delays.values()) <= PROMPT


async def test_things_of_others_end_as_errors_or_are_looked_at() -> None:
    """An id that cannot be looked at is an outcome; one that can but is in no list goes by the schedule."""
    account = Account(
        FakeClock(), [*spread(20, 100, 60), *(Thing(f"foreign{n}", 50 + n, 0) for n in range(10))]
    )
    outcomes = await collected(account.wait_many([*account.things, "nobody's", "nothing"]))
    errors = {outcome.id: outcome.error for outcome in outcomes if outcome.error}
    assert {id_: type(error) for id_, error in errors.items()} == {"nobody's": NotFound, "nothing": NotFound}
    assert len(outcomes) == 32


async def test_an_id_given_twice_has_one_outcome() -> None:
    """Duplicates count once, also where a list shows a thing twice."""
    account = Account(FakeClock(), spread(20, 0, 40))
    account.extra = b'{"id":"t3","state":"done"}'
    outcomes = await collected(account.wait_many([*account.things, *account.things]))
    assert sorted(outcome.id for outcome in outcomes) == sorted(account.things)


async def test_two_who_wait_for_the_same_both_hear_of_it() -> None:
    """Each has its own outcome of one request."""
    account = Account(FakeClock(), spread(20, 30, 40))
    found: list[str] = []

    async def wait() -> None:
        found.extend(outcome.id for outcome in await collected(account.wait_many(account.things)))

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        group.start_soon(wait)
    assert sorted(found) == sorted([*account.things, *account.things])
    assert account.counts["look"] == 0


async def test_an_item_that_is_none_is_passed_over() -> None:
    """One bad item fails no page, and so nobody's waiting."""
    account = Account(FakeClock(), spread(20, 30, 40))
    account.extra = b'{"state":"done"}'
    assert max((await account.delays(account.things)).values()) <= PROMPT
    assert account.counts["look"] == 0


def _refusing(operation: str, error: PlanetError, asked: str, _: Request) -> PlanetError | None:
    return error if asked == operation else None


@pytest.mark.parametrize("operation", ["changed", "unfinished"])
async def test_a_list_that_is_refused_is_given_up(operation: str, caplog: pytest.LogCaptureFixture) -> None:
    """Where the server refuses a parameter, all is looked at one by one from then on; the log says so."""
    account = Account(FakeClock(), spread(30, 30, 100))
    account.trouble = partial(_refusing, operation, BadRequest("400 no such field", status=400))
    with caplog.at_level(logging.INFO, "planet_async"):
        assert max((await account.delays(account.things)).values()) <= 35
    assert account.counts[operation] == 1
    assert "one by one" in caplog.text
    account.things |= {each.id: each for each in spread(30, 300, 10, "more")}
    lists = account.lists
    await account.delays(f"more{number}" for number in range(30))
    assert account.lists == lists


async def test_lists_without_a_date_are_not_relied_upon() -> None:
    """A server that does not tell its time is asked for each thing instead; its time is not guessed."""
    account = Account(FakeClock(), spread(30, 30, 100))
    account.dates = False
    assert max((await account.delays(account.things)).values()) <= 35
    assert account.counts["changed"] == 0


async def test_a_broken_link_costs_a_moment() -> None:
    """A page that fails in the middle of a list is no end of anything: the list is read again."""
    account = Account(FakeClock(), spread(300, 60, 100), page_size=20)
    broken = iter([BadRequest("400 stale marker", status=400), ServerError("500", status=500)])

    def trouble(_: str, request: Request) -> PlanetError | None:
        return next(broken, None) if "beyond=" in request.url else None

    account.trouble = trouble
    assert max((await account.delays(account.things)).values()) <= 100


@pytest.mark.parametrize(
    "operations", [("changed",), ("unfinished", "finished"), ("changed", "unfinished", "finished")]
)
@pytest.mark.parametrize("shown", [b"", b'{"id":"t0","state":"running"}'], ids=["nothing", "the same"])
async def test_lists_without_an_end(operations: tuple[str, ...], shown: bytes) -> None:
    """A list whose pages lead on and on is left; all that ends is noticed all the same."""
    account = Account(FakeClock(), [*spread(50, 30, 300), Thing("long", 900)])
    account.endless = operations
    account.endless_item = shown
    delays = await account.delays(account.things)
    assert len(delays) == 51
    assert max(delays.values()) <= EVENTUALLY
    assert account.lists <= 2_000


async def test_lists_that_fail_fail_nobody() -> None:
    """During an outage of the lists the looks go on; afterwards the lists answer for all again."""
    clock = FakeClock()
    account = Account(clock, spread(200, 30, 600))

    def trouble(operation: str, _: Request) -> PlanetError | None:
        out = operation != "look" and 60 <= clock.monotonic() < 300
        return ServerError("503 not now", status=503) if out else None

    account.trouble = trouble
    delays = await account.delays(account.things)
    assert len(delays) == 200
    late = [delay for id_, delay in delays.items() if account.things[id_].ends > 360]
    assert max(late) <= PROMPT
    looks = [moment for moment, what in account.asked if what == "look"]
    assert looks
    assert max(looks) < 400


@pytest.mark.parametrize("refusal", [Unauthorized("401", status=401), Forbidden("403", status=403)])
async def test_who_may_not_ask_is_told(refusal: PlanetError) -> None:
    """A credential that is refused ends all waiting: it will not get better."""
    account = Account(FakeClock(), spread(30, 30, 100))
    account.trouble = partial(_refusing, "changed", refusal)
    outcomes = await collected(account.wait_many(account.things))
    assert {outcome.error for outcome in outcomes} == {refusal}
    assert len(outcomes) == 30


async def test_no_time_is_one_look_or_list() -> None:
    """`timeout=0` for many: lists tell what is finished, and what they do not have is looked at once."""
    account = Account(FakeClock(), [*spread(1000, 0, 0, "done"), *spread(1000, inf, 0, "running")])
    hidden = [Thing("hidden0", 0, hidden_from=0), Thing("hidden1", inf, hidden_from=0)]
    account.things.update((thing.id, thing) for thing in hidden)
    outcomes = await collected(account.wait_many([*account.things, "none"], timeout=0))
    finished = {outcome.id for outcome in outcomes if outcome.value is not None}
    assert finished == {id_ for id_, thing in account.things.items() if thing.ends == 0}
    errors = {outcome.id: type(outcome.error) for outcome in outcomes if outcome.error is not None}
    assert errors.pop("none") is NotFound
    assert set(errors.values()) == {WaitTimeout}
    assert len(outcomes) == len(account.things) + 1
    assert account.counts["look"] <= 20


async def test_ten_thousand_outcomes_at_once_leave_others_their_turn() -> None:
    """Who takes them one after the other does not hold the event loop; nor is one lost where that ends."""
    account = Account(FakeClock(), spread(10_000, 1000, 100))
    account.trouble = partial(_refusing, "unfinished", Unauthorized("401", status=401))
    waiting = account.wait_many(account.things)
    found = [(await anext(waiting)).id]
    async with others_take_turns() as turns:
        while len(found) < 10_000:
            with anyio.CancelScope() as scope:
                scope.cancel()
                found.append((await anext(waiting)).id)
            if scope.cancelled_caught:
                found.append((await anext(waiting)).id)
    assert turns() >= 10
    assert sorted(found) == sorted(account.things)


@pytest.mark.no_cover
async def test_ten_thousand_that_no_list_has_leave_others_their_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a roll call has not found is dealt with bit by bit: no step of the sweep takes on all of it."""
    hurried, steps = 0, list[int]()
    work, poll_soon = Sweep.work, WaiterRegistry.poll_soon

    async def counted_work(sweep: Sweep[Seen], now: float) -> None:
        nonlocal hurried
        hurried = 0
        await work(sweep, now)
        steps.append(hurried)

    def counted_poll_soon(room: WaiterRegistry[Seen], id_: str) -> bool:
        nonlocal hurried
        hurried += 1
        return poll_soon(room, id_)

    monkeypatch.setattr(Sweep, "work", counted_work)
    monkeypatch.setattr(WaiterRegistry, "poll_soon", counted_poll_soon)
    account = Account(FakeClock(), (Thing(f"t{number}", 0, hidden_from=0) for number in range(10_000)))
    assert len(await account.delays(account.things)) == 10_000
    assert sum(steps) == 10_000
    assert max(steps) <= 500


async def test_time_is_up_for_one_and_not_for_others() -> None:
    """A timeout ends as many WaitTimeouts at its second; other callers go on, whoever did the work."""
    clock = FakeClock()
    account = Account(clock, spread(50, 100, 100))

    async def impatient() -> None:
        outcomes = await collected(account.wait_many(account.things, timeout=20))
        assert [type(outcome.error) for outcome in outcomes] == [WaitTimeout] * 50
        assert clock.monotonic() == 20

    async with anyio.create_task_group() as group:
        group.start_soon(impatient)
        group.start_soon(impatient)
        await settle()
        assert max((await account.delays(account.things)).values()) <= PROMPT


@pytest.mark.no_cover
async def test_a_thousand_waits_cost_what_one_does() -> None:
    """Whoever starts them: waits in one client share the lists."""
    together = Account(FakeClock(), spread(1000, 10, 300))
    await together.delays(together.things)
    apart = Account(FakeClock(), spread(1000, 10, 300))

    async with anyio.create_task_group() as group:
        for id_ in apart.things:
            group.start_soon(apart.wait, id_)
    assert apart.lists <= together.lists + 2
    assert apart.counts["look"] <= 1


async def test_who_comes_later_is_looked_at_once() -> None:
    """One look tells how a new one stands; from then on the lists tell of it, and a look now and then."""
    clock = FakeClock()
    account = Account(clock, [*spread(50, 600, 10), *spread(5, 400, 100, "late"), Thing("over", 20)])

    async with anyio.create_task_group() as group:
        group.start_soon(account.delays, [f"t{number}" for number in range(50)])
        for number in range(5):
            await clock.sleep(7)
            group.start_soon(account.wait, f"late{number}")
        asked = clock.monotonic()
        assert (await account.wait("over")).state == "done"
        assert clock.monotonic() - asked <= 1
    assert account.counts["look"] <= 6 + 5 * 300 / 30


async def test_who_was_seen_a_moment_ago_is_not_looked_at() -> None:
    """The lists tell of it, also where it ended before it was waited for; else a roll call finds it."""
    clock = FakeClock()
    things = [*spread(50, 600, 10), Thing("ends", 300), Thing("has ended", 98), Thing("lost", 200, 190)]
    account = Account(clock, things)

    async def wait(id_: str) -> None:
        await wait_for(account.shared, id_, is_done, just_seen=True)
        heard[id_] = clock.monotonic() - account.things[id_].ends

    heard: dict[str, float] = {}
    async with anyio.create_task_group() as group:
        group.start_soon(account.delays, [f"t{number}" for number in range(50)])
        await clock.sleep(100)
        for id_ in ("ends", "has ended", "lost"):
            group.start_soon(wait, id_)
    assert max(heard["ends"], heard["has ended"]) <= PROMPT
    assert heard["lost"] <= EVENTUALLY
    assert account.counts["look"] == 1


@pytest.mark.parametrize("lists", [True, False])
async def test_who_was_seen_a_moment_ago_is_looked_at_where_no_list_tells(lists: bool) -> None:
    """Alone, and where the lists are refused, it is found by looks as any other."""
    account = Account(FakeClock(), spread(8 if lists else 1, 30, 100))
    account.trouble = partial(_refusing, "changed", BadRequest("400 no such field", status=400))
    waiting = WaitForMany(account.shared, account.things, is_done, just_seen=True)
    assert len(await collected(waiting)) == len(account.things)


async def test_a_thing_of_others_that_comes_later_is_found() -> None:
    """What no list has, and no roll call has missed yet, is looked at by itself."""
    clock = FakeClock()
    account = Account(clock, [*spread(50, 900, 10), Thing("foreign", 150, hidden_from=0)])
    async with anyio.create_task_group() as group:
        group.start_soon(account.delays, [f"t{number}" for number in range(50)])
        await clock.sleep(100)
        await account.wait("foreign")
        assert clock.monotonic() <= 150 + 31


@pytest.mark.no_cover
async def test_many_who_come_one_by_one_cost_a_look_each() -> None:
    """However many no list has shown yet: together they are looked at as often as a few would be."""
    clock = FakeClock()
    account = Account(clock, spread(400, 900, 10))
    async with anyio.create_task_group() as group:
        group.start_soon(account.delays, [f"t{number}" for number in range(50)])
        for number in range(50, 400):
            await clock.sleep(1)
            group.start_soon(account.wait, f"t{number}")
    assert account.counts["look"] <= 350 + 900 * 5 / 30


async def test_what_the_lists_do_not_have_is_not_looked_for_again() -> None:
    """A roll call does not search for those that an earlier one has missed."""
    others = spread(1000, -1000, 900, "done")
    foreign = [Thing(f"foreign{number}", 3600, hidden_from=0) for number in range(10)]
    account = Account(FakeClock(), [*others, *spread(50, 3600, 1), *foreign], page_size=100)
    await account.delays([f"t{number}" for number in range(50)] + [thing.id for thing in foreign])
    assert account.counts["unfinished"] >= 5
    assert account.counts["finished"] <= 10


async def test_many_who_come_later_are_found_in_lists() -> None:
    """A new batch is no look for each."""
    clock = FakeClock()
    account = Account(clock, [*spread(50, 600, 10), *spread(500, 0, 500, "late")])
    async with anyio.create_task_group() as group:
        group.start_soon(account.delays, [f"t{number}" for number in range(50)])
        await clock.sleep(100)
        delays = await account.delays(f"late{number}" for number in range(500))
    assert account.counts["look"] <= 5
    assert max(delay for id_, delay in delays.items() if account.things[id_].ends > 100) <= PROMPT


async def test_a_notice_is_heard_at_once() -> None:
    """Who is told that a thing has changed looks at it then, and does not sleep through."""
    clock = FakeClock()
    account = Account(clock, [Thing("a", 100.0)])

    async def tell() -> None:
        await clock.sleep(101)
        account.shared.poll_now("a")

    async with anyio.create_task_group() as group:
        group.start_soon(tell)
        await account.wait("a")
        assert 101 < clock.monotonic() < 101.2


async def test_a_thousand_notices_of_one_thing_are_one() -> None:
    """They take no room, and are one look."""
    room = WaiterRegistry[Seen]()
    room.join(WaitForMany(Account(FakeClock()).shared, [], is_done), ["a", "b"])
    for _ in range(1000):
        room.poll_soon("a")
    assert room.take_due(URGENT) == ["a"]
    assert room.take_due(URGENT) == []


async def test_who_has_stopped_waiting_costs_nothing_any_more() -> None:
    """Also while the caller keeps the error that ended it, and so the frames, and others wait on."""
    clock = FakeClock()
    account = Account(clock, spread(4, 500, 1))

    def fail(_: Seen) -> None:
        raise ZeroDivisionError

    async with anyio.create_task_group() as group:
        group.start_soon(account.wait, "t0")
        await settle()
        with pytest.raises(ZeroDivisionError) as kept:
            await account.wait("t1", on_update=fail)
    assert isinstance(kept.value, ZeroDivisionError)
    assert account.counts["look"] <= 25


async def test_a_notice_is_not_believed() -> None:
    """It is the look that counts: a thing that is not finished is waited for on."""
    clock = FakeClock()
    account = Account(clock, spread(50, 100, 1))

    async def tell() -> None:
        await clock.sleep(10)
        account.shared.poll_now("t7")

    async with anyio.create_task_group() as group:
        group.start_soon(tell)
        assert min((await account.delays(account.things)).values()) >= 0
    assert account.counts["look"] == 1


async def test_a_flood_of_notices_costs_little() -> None:
    """Notices of what nobody waits for cost nothing; many of one thing are one look at a time."""
    clock = FakeClock()
    account = Account(clock, [Thing("a", 100.0)])

    async def tell() -> None:
        for _ in range(100):
            await clock.sleep(0.01)
            account.shared.poll_now("stranger")
            account.shared.poll_now("a")

    async with anyio.create_task_group() as group:
        group.start_soon(tell)
        await account.wait("a")
    assert account.most_looks_at_one == 1
    assert account.counts["look"] <= 1 / 0.05 + 12
    account.shared.poll_now("a")
    await settle()


async def test_every_change_is_told_to_who_asked() -> None:
    """`on_update` gets what was seen first, and the end, from lists as from looks."""
    account = Account(FakeClock(), spread(50, 100, 1))
    seen: list[str] = []

    async def watch() -> None:
        await account.wait("t7", on_update=lambda thing: seen.append(thing.state))

    async with anyio.create_task_group() as group:
        group.start_soon(account.delays, account.things)
        group.start_soon(watch)
    assert seen == ["running", "done"]


async def test_who_watches_later_hears_how_it_stands() -> None:
    """`on_update` gets the thing at once also where it has been waited for all along."""
    clock = FakeClock()
    account = Account(clock, spread(50, 200, 1))
    heard: list[float] = []
    async with anyio.create_task_group() as group:
        group.start_soon(account.delays, account.things)
        await clock.sleep(100)
        assert account.unfiltered == 0
        await account.wait("t7", on_update=lambda _: heard.append(clock.monotonic()))
    assert 100 <= heard[0] <= 101
    assert account.unfiltered > 0


async def test_roll_calls_are_a_tenth_of_the_requests() -> None:
    """Where reading all the unfinished takes many pages, that is done the more rarely."""
    account = Account(FakeClock(), spread(200, 3600, 1), page_size=5)
    await account.delays(account.things)
    assert account.counts["unfinished"] <= 40 + 0.2 * account.counts["changed"]


async def test_an_update_that_fails_is_its_own_callers() -> None:
    """What `on_update` raises is raised there, and ends nobody else's waiting."""
    account = Account(FakeClock(), spread(50, 100, 1))

    def fail(_: Seen) -> None:
        raise ZeroDivisionError

    async def watch() -> None:
        with pytest.raises(ZeroDivisionError):
            await account.wait("t7", on_update=fail)

    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        assert len(await account.delays(account.things)) == 50


async def test_nothing_is_asked_while_the_caller_holds_an_outcome() -> None:
    """No task works behind the caller's back."""
    clock = FakeClock()
    account = Account(clock, spread(50, 1, 100))
    held = 0
    async for _ in account.wait_many(account.things):
        asked = len(account.asked)
        await clock.sleep(5)
        await settle()
        assert len(account.asked) == asked
        held += 1
    assert held == 50


async def test_who_leaves_is_forgotten() -> None:
    """After a `break` nothing is asked for those left, and the next wait begins anew."""
    clock = FakeClock()
    account = Account(clock, [*spread(300, 1, 10_000), Thing("a", 9000.0)])
    async for _ in account.wait_many(account.things):
        break
    gc.collect()
    asked = len(account.asked)
    await clock.sleep(1000)
    assert len(account.asked) == asked
    await account.wait("a")
    assert account.counts["changed"] <= 2


async def test_cancelled_anywhere_nobody_is_lost() -> None:
    """Who does the work for others may be cancelled where it waits first, second, ...: they hear of all."""
    clock = FakeClock()
    heard: list[list[str]] = []

    async def hear(account: Account) -> None:
        outcomes = await collected(account.wait_many(account.things))
        heard.append(sorted(outcome.unwrap().id for outcome in outcomes))

    async with anyio.create_task_group() as group:

        def lead() -> Coroutine[Any, Any, object]:
            account = Account(clock, spread(8, clock.monotonic() + 3, 12), page_size=3)
            group.start_soon(hear, account)
            return collected(account.wait_many(account.things))

        steps = await cancelled_at_each_step(lead, lambda: None)
    assert heard == [sorted(f"t{number}" for number in range(8))] * (steps + 1)


async def test_while_nothing_changes_nobody_wakes() -> None:
    """One sleep for each sweep, and the sweeps become rare; the other callers sleep through."""
    clock = NotingClock()
    account = Account(clock, spread(200, 3600, 1))
    async with anyio.create_task_group() as group:
        for id_ in account.things:
            group.start_soon(account.wait, id_)
    requests = len(account.asked)
    assert requests <= 3600 / 12 * 1.15
    assert len(clock.sleeps) <= 2 * requests + 5  # its own pause, and the time the request takes


@pytest.mark.no_cover
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_hundred_thousand_take_little_memory() -> None:
    """Under a kilobyte for each that is waited for, and no more sleeps than requests."""
    ids = [f"{number:036}" for number in range(100_000)]
    clock = NotingClock()
    account = Account(clock, (Thing(id_, 60.0 if number < 10 else inf) for number, id_ in enumerate(ids)))
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        waiting = account.wait_many(ids)
        assert (await anext(waiting)).unwrap().state == "done"
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown / len(ids) < 1000
    assert account.counts["unfinished"] == 200
    assert account.counts["look"] == 0
    assert len(clock.sleeps) <= 2 * len(account.asked)
