"""Waiting for many ids with lists that report on all of them, and whatever goes wrong with those."""

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

PROMPT = 15  # seconds: the latest that what a list shows is noticed
EVENTUALLY = 400  # seconds: the latest that what the lists do not show is noticed


@pytest.mark.no_cover
async def test_one_list_reports_on_all() -> None:
    """A thousand ids take a few list requests a minute, and no poll of any of them."""
    clock = FakeClock()
    account = Account(clock, spread(1000, 10, 590))
    delays = await account.delays(account.things)
    assert len(delays) == 1000
    assert account.counts["poll"] == 0
    assert account.lists < 230
    assert median(delays.values()) <= 3
    assert max(delays.values()) <= PROMPT


async def test_a_few_ids_are_polled_one_by_one() -> None:
    """Five ids need no list; they are polled by the schedule."""
    account = Account(FakeClock(), spread(5, 30, 60))
    await account.delays(account.things)
    assert account.lists == 0
    assert account.counts["poll"] <= 5 * 9


@pytest.mark.no_cover
@pytest.mark.parametrize("offset", [-3600.0, 3600.0])
async def test_the_clocks_need_not_agree(offset: float) -> None:
    """The server's clock may be an hour ahead of this machine's, or behind: only the server's counts."""
    account = Account(FakeClock(), spread(300, 5, 300))
    account.jumps = [(-inf, offset)]
    assert max((await account.delays(account.things)).values()) <= PROMPT
    assert account.counts["poll"] <= 2


@pytest.mark.no_cover
@pytest.mark.parametrize("seconds", [-300.0, 300.0])
async def test_the_servers_clock_may_jump(seconds: float) -> None:
    """Where it is set by five minutes during the wait, nothing is noticed later than usual."""
    account = Account(FakeClock(), spread(300, 5, 300))
    account.jumps = [(100.0, seconds)]
    assert max((await account.delays(account.things)).values()) <= PROMPT


@pytest.mark.parametrize("jump", [100.0, 102.0, 104.0, 106.0, 108.0, 110.0])
async def test_a_change_while_the_clock_goes_back_is_seen(jump: float) -> None:
    """At any moment between two sweeps: its time is earlier than the start of both."""
    account = Account(FakeClock(), [Thing(f"t{number}", jump + 0.1) for number in range(20)])
    account.jumps = [(jump, -300.0)]
    assert max((await account.delays(account.things)).values()) <= PROMPT
    assert account.counts["poll"] == 0


async def test_a_change_that_is_listed_late_is_in_the_overlap() -> None:
    """A list that is eight seconds late misses nothing, and nothing is polled."""
    things = [Thing(each.id, each.ends, each.ends, each.ends + 8) for each in spread(100, 20, 120)]
    account = Account(FakeClock(), things)
    assert max((await account.delays(account.things)).values()) <= 8 + PROMPT
    assert account.counts["poll"] == 0


async def test_the_order_of_a_list_does_not_matter() -> None:
    """Nothing is lost where the pages come in the opposite order."""
    account = Account(FakeClock(), spread(200, 20, 60), page_size=7)
    account.backwards = True
    assert max((await account.delays(account.things)).values()) <= PROMPT


async def test_what_no_list_shows_is_polled() -> None:
    """An id that the lists do not have is polled by the schedule."""
    account = Account(FakeClock(), [*spread(50, 200, 60), Thing("hidden", 200, hidden_from=0)])
    delays = await account.delays(account.things)
    assert delays["hidden"] <= 31


async def test_what_disappears_from_the_lists_is_polled() -> None:
    """Where something disappears from the lists as it ends, a reconciliation misses it, and it is polled."""
    account = Account(FakeClock(), [*spread(50, 900, 60), Thing("lost", 200, hidden_from=190)])
    delays = await account.delays(account.things)
    assert delays["lost"] <= EVENTUALLY
    assert account.counts["unfinished"] * 9 <= account.counts["changed"]


async def test_what_ended_before_the_wait_is_found_in_lists() -> None:
    """It takes pages, not a poll each; it does not change any more, so no sweep would report it."""
    account = Account(FakeClock(), [*spread(2000, -1000, 900), *spread(10, 30, 1, "u")])
    delays = await account.delays(account.things)
    assert len(delays) == 2010
    assert account.counts["poll"] <= 5
    assert account.counts["finished"] == 4


@pytest.mark.no_cover
async def test_a_large_account_costs_no_more_than_polls() -> None:
    """Lists that show no id that is waited for are left before they cost more than polling each."""
    others = spread(10_000, inf, 0, "running") + spread(10_000, -1000, 900, "done")
    mine = [*spread(20, -10, 1, "mine"), *spread(20, 100, 60, "yours")]
    account = Account(FakeClock(), [*others, *mine], page_size=100)
    delays = await account.delays(each.id for each in mine)
    assert len(delays) == 40
    assert account.counts["poll"] <= 40
    assert account.counts["unfinished"] + account.counts["finished"] <= 2 * 40
    assert max(delay for id_, delay in delays.items() if id_.startswith("yours")) <= PROMPT


@pytest.mark.no_cover
async def test_other_resources_of_the_account_are_ignored() -> None:
    """A hundred times as many change nothing."""
    account = Account(FakeClock(), [*spread(50, 10, 100, "mine"), *spread(5000, 10, 100, "other")])
    delays = await account.delays(f"mine{number}" for number in range(50))
    assert len(delays) == 50
    assert max(delays.values()) <= PROMPT


async def test_resources_of_other_users() -> None:
    """An id that cannot be polled is an error; another that is in no list is polled by the schedule."""
    account = Account(
        FakeClock(), [*spread(20, 100, 60), *(Thing(f"foreign{n}", 50 + n, 0) for n in range(10))]
    )
    outcomes = await collected(account.wait_many([*account.things, "nobody's", "nothing"]))
    errors = {outcome.id: outcome.error for outcome in outcomes if outcome.error}
    assert {id_: type(error) for id_, error in errors.items()} == {"nobody's": NotFound, "nothing": NotFound}
    assert len(outcomes) == 32


async def test_a_duplicate_id_has_one_outcome() -> None:
    """Duplicates count once, even where a list shows a resource twice."""
    account = Account(FakeClock(), spread(20, 0, 40))
    account.extra = b'{"id":"t3","state":"done"}'
    outcomes = await collected(account.wait_many([*account.things, *account.things]))
    assert sorted(outcome.id for outcome in outcomes) == sorted(account.things)


async def test_two_callers_wait_for_the_same_ids() -> None:
    """Each has its own outcomes of the same requests."""
    account = Account(FakeClock(), spread(20, 30, 40))
    found: list[str] = []

    async def wait() -> None:
        found.extend(outcome.id for outcome in await collected(account.wait_many(account.things)))

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        group.start_soon(wait)
    assert sorted(found) == sorted([*account.things, *account.things])
    assert account.counts["poll"] == 0


async def test_an_invalid_item_is_skipped() -> None:
    """One invalid item fails neither its page nor any wait."""
    account = Account(FakeClock(), spread(20, 30, 40))
    account.extra = b'{"state":"done"}'
    assert max((await account.delays(account.things)).values()) <= PROMPT
    assert account.counts["poll"] == 0


def _refusing(operation: str, error: PlanetError, requested: str, _: Request) -> PlanetError | None:
    return error if requested == operation else None


@pytest.mark.parametrize("operation", ["changed", "unfinished"])
async def test_a_list_that_is_refused_is_not_used_again(
    operation: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the server refuses a parameter, each id is polled from then on, and the log says so."""
    account = Account(FakeClock(), spread(30, 30, 100))
    account.failure = partial(_refusing, operation, BadRequest("400 no such field", status=400))
    with caplog.at_level(logging.INFO, "planet_async"):
        assert max((await account.delays(account.things)).values()) <= 35
    assert account.counts[operation] == 1
    assert "one by one" in caplog.text
    account.things |= {each.id: each for each in spread(30, 300, 10, "more")}
    lists = account.lists
    await account.delays(f"more{number}" for number in range(30))
    assert account.lists == lists


async def test_lists_without_a_date_are_not_used() -> None:
    """Where the server does not send its time, each id is polled; its time is not guessed."""
    account = Account(FakeClock(), spread(30, 30, 100))
    account.dates = False
    assert max((await account.delays(account.things)).values()) <= 35
    assert account.counts["changed"] == 0


async def test_a_page_that_fails_is_fetched_again() -> None:
    """A page that fails in the middle is not the end of a list: the list is read again."""
    account = Account(FakeClock(), spread(300, 60, 100), page_size=20)
    broken = iter([BadRequest("400 stale marker", status=400), ServerError("500", status=500)])

    def failure(_: str, request: Request) -> PlanetError | None:
        return next(broken, None) if "beyond=" in request.url else None

    account.failure = failure
    assert max((await account.delays(account.things)).values()) <= 100


@pytest.mark.no_cover
@pytest.mark.parametrize(
    "operations", [("changed",), ("unfinished", "finished"), ("changed", "unfinished", "finished")]
)
@pytest.mark.parametrize(
    ("anyio_backend", "shown"),
    [("asyncio", b""), ("trio", b'{"id":"t0","state":"running"}')],
    ids=["nothing", "the same, on trio"],
)
async def test_lists_without_an_end(operations: tuple[str, ...], shown: bytes) -> None:
    """A list whose pages lead on for ever is left; everything that ends is noticed nevertheless."""
    account = Account(FakeClock(), [*spread(50, 30, 300), Thing("long", 900)])
    account.endless = operations
    account.endless_item = shown
    delays = await account.delays(account.things)
    assert len(delays) == 51
    assert max(delays.values()) <= EVENTUALLY
    assert account.lists <= 2_000


@pytest.mark.no_cover
async def test_failing_lists_fail_no_wait() -> None:
    """During an outage of the lists ids are polled; afterwards the lists report on all of them again."""
    clock = FakeClock()
    account = Account(clock, spread(60, 30, 600))

    def failure(operation: str, _: Request) -> PlanetError | None:
        out = operation != "poll" and 60 <= clock.monotonic() < 300
        return ServerError("503 not now", status=503) if out else None

    account.failure = failure
    delays = await account.delays(account.things)
    assert len(delays) == 60
    late = [delay for id_, delay in delays.items() if account.things[id_].ends > 360]
    assert max(late) <= PROMPT
    polls = [moment for moment, what in account.requests if what == "poll"]
    assert polls
    assert max(polls) < 400


@pytest.mark.parametrize("refusal", [Unauthorized("401", status=401), Forbidden("403", status=403)])
async def test_a_refused_credential_ends_all_waits(refusal: PlanetError) -> None:
    """A credential that is refused will not be accepted later."""
    account = Account(FakeClock(), spread(30, 30, 100))
    account.failure = partial(_refusing, "changed", refusal)
    outcomes = await collected(account.wait_many(account.things))
    assert {outcome.error for outcome in outcomes} == {refusal}
    assert len(outcomes) == 30


async def test_a_timeout_of_zero_reads_the_lists_once() -> None:
    """Lists show what is finished, and what they do not have is polled once."""
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
    assert account.counts["poll"] <= 20


@pytest.mark.no_cover
async def test_many_outcomes_at_once_do_not_block_the_event_loop() -> None:
    """Nor is one of ten thousand lost where `anext` is cancelled."""
    account = Account(FakeClock(), spread(10_000, 1000, 100))
    account.failure = partial(_refusing, "unfinished", Unauthorized("401", status=401))
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
async def test_many_unlisted_ids_do_not_block_the_event_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a reconciliation has not found is handled in parts: no step of the sweep takes all of it."""
    urgent, steps = 0, list[int]()
    work, poll_soon = Sweep.work, WaiterRegistry.poll_soon

    async def counted_work(sweep: Sweep[Seen], now: float) -> None:
        nonlocal urgent
        urgent = 0
        await work(sweep, now)
        steps.append(urgent)

    def counted_poll_soon(registry: WaiterRegistry[Seen], id_: str) -> bool:
        nonlocal urgent
        urgent += 1
        return poll_soon(registry, id_)

    monkeypatch.setattr(Sweep, "work", counted_work)
    monkeypatch.setattr(WaiterRegistry, "poll_soon", counted_poll_soon)
    account = Account(FakeClock(), (Thing(f"t{number}", 0, hidden_from=0) for number in range(3_000)))
    assert len(await account.delays(account.things)) == 3_000
    assert sum(steps) == 3_000
    assert max(steps) <= 500


async def test_a_timeout_ends_only_its_own_wait() -> None:
    """A timeout ends in WaitTimeouts at its second; other waits continue, whichever did the work."""
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
async def test_a_thousand_waits_cost_as_much_as_one() -> None:
    """All waits of a client share the lists."""
    together = Account(FakeClock(), spread(1000, 10, 300))
    await together.delays(together.things)
    apart = Account(FakeClock(), spread(1000, 10, 300))

    async with anyio.create_task_group() as group:
        for id_ in apart.things:
            group.start_soon(apart.wait, id_)
    assert apart.lists <= together.lists + 2
    assert apart.counts["poll"] <= 1


async def test_an_id_that_joins_later_is_polled_once() -> None:
    """One poll shows its state; from then on the lists report it, and a poll now and then."""
    clock = FakeClock()
    account = Account(clock, [*spread(50, 600, 10), *spread(5, 400, 100, "late"), Thing("over", 20)])

    async with anyio.create_task_group() as group:
        group.start_soon(account.delays, [f"t{number}" for number in range(50)])
        for number in range(5):
            await clock.sleep(7)
            group.start_soon(account.wait, f"late{number}")
        before = clock.monotonic()
        assert (await account.wait("over")).state == "done"
        assert clock.monotonic() - before <= 1
    assert account.counts["poll"] <= 6 + 5 * 300 / 30


async def test_an_id_that_was_just_seen_is_not_polled() -> None:
    """The lists report it, even where it ended before the wait; else a reconciliation finds it."""
    clock = FakeClock()
    things = [*spread(50, 600, 10), Thing("ends", 300), Thing("has ended", 98), Thing("lost", 200, 190)]
    account = Account(clock, things)

    async def wait(id_: str) -> None:
        await wait_for(account.poller, id_, is_done, just_seen=True)
        noticed[id_] = clock.monotonic() - account.things[id_].ends

    noticed: dict[str, float] = {}
    async with anyio.create_task_group() as group:
        group.start_soon(account.delays, [f"t{number}" for number in range(50)])
        await clock.sleep(100)
        for id_ in ("ends", "has ended", "lost"):
            group.start_soon(wait, id_)
    assert max(noticed["ends"], noticed["has ended"]) <= PROMPT
    assert noticed["lost"] <= EVENTUALLY
    assert account.counts["poll"] == 1


@pytest.mark.parametrize("lists", [True, False])
async def test_an_id_that_was_just_seen_is_polled_without_lists(lists: bool) -> None:
    """Alone, and where the lists are refused, it is polled like any other."""
    account = Account(FakeClock(), spread(8 if lists else 1, 30, 100))
    account.failure = partial(_refusing, "changed", BadRequest("400 no such field", status=400))
    waiting = WaitForMany(account.poller, account.things, is_done, just_seen=True)
    assert len(await collected(waiting)) == len(account.things)


async def test_a_foreign_id_that_joins_later_is_polled() -> None:
    """What no list has, and no reconciliation has missed yet, is polled by itself."""
    clock = FakeClock()
    account = Account(clock, [*spread(50, 900, 10), Thing("foreign", 150, hidden_from=0)])
    async with anyio.create_task_group() as group:
        group.start_soon(account.delays, [f"t{number}" for number in range(50)])
        await clock.sleep(100)
        await account.wait("foreign")
        assert clock.monotonic() <= 150 + 31


@pytest.mark.no_cover
async def test_many_that_join_one_by_one_cost_a_poll_each() -> None:
    """However many no list has shown yet, together they are polled as often as a few would be."""
    clock = FakeClock()
    account = Account(clock, spread(400, 900, 10))
    async with anyio.create_task_group() as group:
        group.start_soon(account.delays, [f"t{number}" for number in range(50)])
        for number in range(50, 400):
            await clock.sleep(1)
            group.start_soon(account.wait, f"t{number}")
    assert account.counts["poll"] <= 350 + 900 * 5 / 30


@pytest.mark.no_cover
async def test_a_reconciliation_does_not_repeat_a_search() -> None:
    """It does not search for ids that an earlier one has missed."""
    others = spread(1000, -1000, 900, "done")
    foreign = [Thing(f"foreign{number}", 3600, hidden_from=0) for number in range(10)]
    account = Account(FakeClock(), [*others, *spread(50, 3600, 1), *foreign], page_size=100)
    await account.delays([f"t{number}" for number in range(50)] + [thing.id for thing in foreign])
    assert account.counts["unfinished"] >= 5
    assert account.counts["finished"] <= 10


@pytest.mark.no_cover
async def test_many_that_join_later_are_found_in_lists() -> None:
    """A new batch is not polled id by id."""
    clock = FakeClock()
    account = Account(clock, [*spread(50, 600, 10), *spread(500, 0, 500, "late")])
    async with anyio.create_task_group() as group:
        group.start_soon(account.delays, [f"t{number}" for number in range(50)])
        await clock.sleep(100)
        delays = await account.delays(f"late{number}" for number in range(500))
    assert account.counts["poll"] <= 5
    assert max(delay for id_, delay in delays.items() if account.things[id_].ends > 100) <= PROMPT


async def test_poll_now_polls_at_once() -> None:
    """It ends the pause of the wait."""
    clock = FakeClock()
    account = Account(clock, [Thing("a", 100.0)])

    async def notify() -> None:
        await clock.sleep(101)
        account.poller.poll_now("a")

    async with anyio.create_task_group() as group:
        group.start_soon(notify)
        await account.wait("a")
        assert 101 < clock.monotonic() < 101.2


async def test_a_thousand_notices_of_one_id_are_one_poll() -> None:
    """They take no memory either."""
    registry = WaiterRegistry[Seen]()
    registry.join(WaitForMany(Account(FakeClock()).poller, [], is_done), ["a", "b"])
    for _ in range(1000):
        registry.poll_soon("a")
    assert registry.take_due(URGENT) == ["a"]
    assert registry.take_due(URGENT) == []


async def test_a_wait_that_has_ended_is_not_polled_for() -> None:
    """Even while its caller keeps the error and so the frames, and other waits continue."""
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
    assert account.counts["poll"] <= 25


async def test_a_notice_does_not_end_a_wait() -> None:
    """Only the poll counts: the wait for what is not finished continues."""
    clock = FakeClock()
    account = Account(clock, spread(50, 100, 1))

    async def notify() -> None:
        await clock.sleep(10)
        account.poller.poll_now("t7")

    async with anyio.create_task_group() as group:
        group.start_soon(notify)
        assert min((await account.delays(account.things)).values()) >= 0
    assert account.counts["poll"] == 1


async def test_a_flood_of_notices_costs_little() -> None:
    """Notices of ids that nothing waits for cost nothing; those of one id cause one poll at a time."""
    clock = FakeClock()
    account = Account(clock, [Thing("a", 100.0)])

    async def notify() -> None:
        for _ in range(100):
            await clock.sleep(0.01)
            account.poller.poll_now("unknown")
            account.poller.poll_now("a")

    async with anyio.create_task_group() as group:
        group.start_soon(notify)
        await account.wait("a")
    assert account.most_polls_at_one == 1
    assert account.counts["poll"] <= 1 / 0.05 + 12
    account.poller.poll_now("a")
    await settle()


async def test_on_update_is_called_from_lists() -> None:
    """`on_update` is called with the first state that is seen and with the last, from lists as from polls."""
    account = Account(FakeClock(), spread(50, 100, 1))
    seen: list[str] = []

    async def watch() -> None:
        await account.wait("t7", on_update=lambda thing: seen.append(thing.state))

    async with anyio.create_task_group() as group:
        group.start_soon(account.delays, account.things)
        group.start_soon(watch)
    assert seen == ["running", "done"]


async def test_on_update_of_a_later_wait_is_called_at_once() -> None:
    """Even where another wait has polled the id all along."""
    clock = FakeClock()
    account = Account(clock, spread(50, 200, 1))
    noticed: list[float] = []
    async with anyio.create_task_group() as group:
        group.start_soon(account.delays, account.things)
        await clock.sleep(100)
        assert account.unfiltered == 0
        await account.wait("t7", on_update=lambda _: noticed.append(clock.monotonic()))
    assert 100 <= noticed[0] <= 101
    assert account.unfiltered > 0


@pytest.mark.no_cover
async def test_reconciliations_are_a_tenth_of_the_requests() -> None:
    """Where reading all that is unfinished takes many pages, it is done less often."""
    account = Account(FakeClock(), spread(200, 3600, 1), page_size=5)
    await account.delays(account.things)
    assert account.counts["unfinished"] <= 40 + 0.2 * account.counts["changed"]


async def test_an_error_of_on_update_ends_its_own_wait() -> None:
    """It is raised there, and ends no other wait."""
    account = Account(FakeClock(), spread(50, 100, 1))

    def fail(_: Seen) -> None:
        raise ZeroDivisionError

    async def watch() -> None:
        with pytest.raises(ZeroDivisionError):
            await account.wait("t7", on_update=fail)

    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        assert len(await account.delays(account.things)) == 50


async def test_nothing_is_sent_while_the_caller_holds_an_outcome() -> None:
    """No task works in the background."""
    clock = FakeClock()
    account = Account(clock, spread(50, 1, 100))
    held = 0
    async for _ in account.wait_many(account.things):
        sent = len(account.requests)
        await clock.sleep(5)
        await settle()
        assert len(account.requests) == sent
        held += 1
    assert held == 50


async def test_a_wait_that_was_left_is_forgotten() -> None:
    """After a `break` no request is sent for the remaining ids, and the next wait starts anew."""
    clock = FakeClock()
    account = Account(clock, [*spread(300, 1, 10_000), Thing("a", 9000.0)])
    async for _ in account.wait_many(account.things):
        break
    gc.collect()
    sent = len(account.requests)
    await clock.sleep(1000)
    assert len(account.requests) == sent
    await account.wait("a")
    assert account.counts["changed"] <= 2


@pytest.mark.no_cover
async def test_cancelling_the_leader_loses_no_other_wait() -> None:
    """The wait that does the work for others may be cancelled at its first, second, ... step."""
    clock = FakeClock()
    noticed: list[list[str]] = []

    async def wait(account: Account) -> None:
        outcomes = await collected(account.wait_many(account.things))
        noticed.append(sorted(outcome.unwrap().id for outcome in outcomes))

    async with anyio.create_task_group() as group:

        def lead() -> Coroutine[Any, Any, object]:
            account = Account(clock, spread(8, clock.monotonic() + 3, 12), page_size=3)
            group.start_soon(wait, account)
            return collected(account.wait_many(account.things))

        steps = await cancelled_at_each_step(lead, lambda: None)
    assert noticed == [sorted(f"t{number}" for number in range(8))] * (steps + 1)


@pytest.mark.no_cover
async def test_while_nothing_changes_no_waiter_wakes() -> None:
    """There is one sleep for each sweep, and the sweeps become rare; the other waiters sleep."""
    clock = NotingClock()
    account = Account(clock, spread(200, 3600, 1))
    async with anyio.create_task_group() as group:
        for id_ in account.things:
            group.start_soon(account.wait, id_)
    requests = len(account.requests)
    assert requests <= 3600 / 12 * 1.15
    assert len(clock.sleeps) <= 2 * requests + 5  # its own pause, and the time the request takes


@pytest.mark.no_cover
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_many_ids_take_little_memory() -> None:
    """Less than a kilobyte for each id, and no more sleeps than requests."""
    ids = [f"{number:036}" for number in range(5_000)]
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
    assert account.counts["unfinished"] == 10
    assert account.counts["poll"] == 0
    assert len(clock.sleeps) <= 2 * len(account.requests)
