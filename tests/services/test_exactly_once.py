"""Creating exactly once, in all three APIs that create: what is lost is found, and sent again only if not."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import anyio
import pytest
from attrs import frozen

from planet_async import (
    ApiKey,
    Config,
    ConnectionLost,
    DeadlineExceeded,
    Forbidden,
    Planet,
    PlanetError,
    UnsettledCreate,
)
from planet_async.clock import Clock
from planet_async.simulator import Fault, Simulator
from planet_async.testing import FakeClock

pytestmark = pytest.mark.anyio

POINT = {"type": "Point", "coordinates": [149.44135, 28.4924]}
POLYGON = {"type": "Polygon", "coordinates": [[[18.2, -33.9], [18.6, -33.9], [18.4, -33.7], [18.2, -33.9]]]}
LOST = Fault(method="POST", drop=True, after=True, times=1)
NEVER_CAME = Fault(method="POST", drop=True, times=1)


@frozen
class Api:
    """One of the three, seen alike."""

    name: str
    body: Mapping[str, Any]
    create: Callable[[Planet, Mapping[str, Any]], Awaitable[Any]]
    existing: Callable[[Simulator], Mapping[str, Any]]

    @property
    def lists(self) -> str:
        return f"{self.name}.list"


APIS = [
    Api(
        "orders",
        {
            "products": [
                {"item_ids": ["20240101_1"], "item_type": "PSScene", "product_bundle": "analytic_udm2"}
            ]
        },
        lambda planet, body: planet.orders.create(body),
        lambda simulator: simulator.orders,
    ),
    Api(
        "subscriptions",
        {
            "source": {
                "type": "biomass_proxy",
                "parameters": {"id": "B_V4.0_10", "geometry": POLYGON, "start_time": "2026-01-01T00:00:00Z"},
            }
        },
        lambda planet, body: planet.subscriptions.create(body),
        lambda simulator: simulator.subscriptions,
    ),
    Api(
        "tasking",
        {"geometry": POINT},
        lambda planet, body: planet.tasking.create(body),
        lambda simulator: simulator.tasking_orders,
    ),
]


@pytest.fixture(params=APIS, ids=lambda api: api.name)
def api(request: pytest.FixtureRequest) -> Api:
    found: Api = request.param
    return found


class SkewedClock(FakeClock):
    """The time of another clock, with a date that is wrong by so many seconds."""

    def __init__(self, right: FakeClock, skew: float) -> None:
        super().__init__()
        self._right, self._skew = right, timedelta(seconds=skew)
        self.monotonic = right.monotonic  # type: ignore[method-assign]
        self.sleep = right.sleep  # type: ignore[method-assign]
        self.move_on_after = right.move_on_after  # type: ignore[method-assign]

    def now(self) -> datetime:
        return self._right.now() + self._skew


def another(simulator: Simulator, clock: Clock) -> Planet:
    """Give the client of another program."""
    return Planet(Config(), credentials=ApiKey("another"), transport=simulator, clock=clock)


class Case:
    """A client of a simulated Planet, and what it creates."""

    def __init__(self, api: Api, planet: Planet, simulator: Simulator, clock: FakeClock) -> None:
        self.api, self.planet, self.simulator, self.clock = api, planet, simulator, clock

    async def create(self, name: str = "field 7", **changes: Any) -> str:
        id_: str = (await self.api.create(self.planet, {"name": name, **self.api.body, **changes})).id
        return id_

    @property
    def ids(self) -> set[str]:
        return {*self.api.existing(self.simulator)}

    @property
    def posts(self) -> int:
        return self.simulator.requests[f"{self.api.name}.create"]


@pytest.fixture
def case(api: Api, planet: Planet, simulator: Simulator, clock: FakeClock) -> Case:
    return Case(api, planet, simulator, clock)


LOSSES = {
    "dropped": Fault(method="POST", drop=True, after=True, times=1),
    "silent": Fault(method="POST", hang=True, after=True, times=1),
    "500": Fault(method="POST", status=500, after=True, times=1),
    "502": Fault(method="POST", status=502, after=True, times=1),
    "503": Fault(method="POST", status=503, after=True, times=1, headers={"retry-after": "2"}),
    "504": Fault(method="POST", status=504, after=True, times=1),
    "cut": Fault(method="POST", cut=20, times=1),
    "garbage": Fault(method="POST", body=b'{"id": ', times=1),
}


@pytest.mark.parametrize("loss", LOSSES)
async def test_what_was_created_though_the_answer_was_lost_is_adopted(case: Case, loss: str) -> None:
    """The one that exists is given, however its answer was lost, and nothing is sent twice."""
    case.simulator.faults.add(LOSSES[loss])
    assert {await case.create()} == case.ids
    assert case.posts == 1


@pytest.mark.parametrize("loss", ["drop", "hang"])
async def test_what_was_not_created_is_sent_again(case: Case, loss: str) -> None:
    """Where nothing came of it, it is created after all: once, and not before the service could list it."""
    case.simulator.faults.add(Fault(method="POST", times=1, drop=loss == "drop", hang=loss == "hang"))
    before = case.clock.monotonic()
    assert {await case.create()} == case.ids
    assert case.posts == 2
    assert case.clock.monotonic() - before >= Config().consistency_delay


async def test_what_the_service_lists_late_is_waited_for(case: Case, api: Api) -> None:
    """A list that does not show it yet is no proof."""
    empty = b'{"_links": {}, "orders": [], "subscriptions": [], "results": [], "count": 0}'
    case.simulator.faults.add(LOST)
    case.simulator.faults.add(Fault(operation=api.lists, body=empty, times=3))
    assert {await case.create()} == case.ids
    assert case.posts == 1


async def test_an_older_one_of_that_name_is_not_taken_for_it(case: Case) -> None:
    """What another program created a minute ago is not what was sent just now."""
    other = Case(case.api, another(case.simulator, case.clock), case.simulator, case.clock)
    older = await other.create()
    await case.clock.sleep(60)
    case.simulator.faults.add(NEVER_CAME)
    mine = await case.create()
    assert mine != older
    assert case.ids == {older, mine}


async def test_one_of_another_content_is_not_taken_for_it(case: Case) -> None:
    """The same name is not the same thing."""
    contents: dict[str, dict[str, Any]] = {
        "orders": {"products": [{**APIS[0].body["products"][0], "item_ids": ["20240101_2"]}]},
        "subscriptions": {
            "source": {
                "type": "biomass_proxy",
                "parameters": {**APIS[1].body["source"]["parameters"], "id": "another"},
            }
        },
        "tasking": {"geometry": {"type": "Point", "coordinates": [7.1, 50.7]}},
    }
    other = Case(case.api, another(case.simulator, case.clock), case.simulator, case.clock)
    theirs = await other.create(**contents[case.api.name])
    case.simulator.faults.add(NEVER_CAME)
    mine = await case.create()
    assert case.ids == {theirs, mine}
    assert mine != theirs


async def test_a_name_that_contains_the_name_is_another(case: Case) -> None:
    """`field 7` is not `field 71`, whatever the server's filter makes of it."""
    longer = await case.create("field 71")
    case.simulator.faults.add(NEVER_CAME)
    assert {longer, await case.create("field 7")} == case.ids


async def test_one_that_has_its_caller_is_nobody_elses(case: Case) -> None:
    """Two identical ones right after each other are two, also where the second got lost on its way."""
    first = await case.create()
    case.simulator.faults.add(NEVER_CAME)
    second = await case.create()
    assert first != second
    assert case.ids == {first, second}


@pytest.mark.parametrize("fault", [LOST, NEVER_CAME], ids=["after", "before"])
async def test_identical_ones_at_once_get_one_each(case: Case, fault: Fault) -> None:
    """Ten alike under way, three answers lost: ten exist, and each caller has its own."""
    for _ in range(3):
        case.simulator.faults.add(fault)
    ids: list[str] = []

    async def create() -> None:
        ids.append(await case.create())

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(create)
    assert len(ids) == 10
    assert {*ids} == case.ids


@pytest.mark.parametrize("beside", ["a view", "a client of the same key"])
async def test_clients_of_one_key_know_of_each_other(case: Case, beside: str) -> None:
    """What one has created is nobody else's, be it through a view or another client."""
    other_planet = (
        case.planet.with_options(max_attempts=2)
        if beside == "a view"
        else Planet(Config(), credentials=ApiKey("any"), transport=case.simulator, clock=case.clock)
    )
    other = Case(case.api, other_planet, case.simulator, case.clock)
    first = await case.create()
    case.simulator.faults.add(NEVER_CAME)
    assert {first, await other.create()} == case.ids
    assert len(case.ids) == 2


async def test_asking_takes_no_longer_than_the_call_may(case: Case) -> None:
    """A deadline bounds the settling, too."""
    case.simulator.faults.add(Fault(method="POST", drop=True, delay=1))
    hurried = Case(case.api, case.planet.with_options(deadline=5), case.simulator, case.clock)
    with pytest.raises(UnsettledCreate, match="no time to ask"):
        await hurried.create()
    assert case.clock.monotonic() == pytest.approx(5)


async def test_a_call_out_of_time_does_not_ask(case: Case) -> None:
    """A deadline ends the call though nothing is settled; the error says that the thing may exist."""
    case.simulator.faults.add(Fault(method="POST", hang=True, after=True))
    with pytest.raises(DeadlineExceeded) as caught:
        await Case(case.api, case.planet.with_options(deadline=5), case.simulator, case.clock).create()
    assert caught.value.may_have_acted
    assert case.clock.monotonic() == 5


async def test_what_cannot_be_told_is_said_with_the_candidates(case: Case, api: Api) -> None:
    """Where something like it exists, but not surely it, the caller decides; nothing is sent again."""
    case.simulator.faults.add(LOST)
    # Without the server's time nobody knows whether it is older.
    case.simulator.faults.add(Fault(operation=api.lists, headers={"date": "long ago"}))
    with pytest.raises(UnsettledCreate, match="'field 7' may exist") as caught:
        await case.create()
    assert {*caught.value.candidates} == case.ids
    assert caught.value.may_have_acted
    assert isinstance(caught.value.__cause__, ConnectionLost)
    assert case.posts == 1


async def test_where_asking_fails_the_error_says_that_it_may_exist(case: Case, api: Api) -> None:
    """A list that is refused tells nothing, and nothing is sent again."""
    case.simulator.faults.add(LOST)
    case.simulator.faults.add(Fault(operation=api.lists, status=403))
    with pytest.raises(UnsettledCreate, match="asking failed too") as caught:
        await case.create()
    assert isinstance(caught.value.__cause__, PlanetError)
    assert case.posts == 1


@pytest.mark.parametrize("fault", [{"status": 503}, {"drop": True}, {"body": b"<html>"}])
async def test_asking_is_tried_again(case: Case, api: Api, fault: dict[str, Any]) -> None:
    """A list that fails in passing, or is none, is asked for again: nobody else can tell."""
    case.simulator.faults.add(LOST)
    case.simulator.faults.add(Fault(operation=api.lists, times=3, **fault))
    assert {await case.create()} == case.ids
    assert case.posts == 1


async def test_one_lost_again_and_again_is_given_up(case: Case) -> None:
    """A service that loses every request before it acts does not hold the caller for ever: six minutes."""
    case.simulator.faults.add(Fault(method="POST", drop=True))
    with pytest.raises(UnsettledCreate, match="again and again"):
        await case.create()
    assert case.posts >= Config().max_attempts
    assert 300 < case.clock.monotonic() < 360
    assert case.ids == set()


async def test_a_refusal_is_no_loss(case: Case) -> None:
    """What the service refused does not exist: the refusal is raised, and nobody asks."""
    case.simulator.faults.add(Fault(method="POST", status=403, times=1))
    with pytest.raises(Forbidden):
        await case.create()
    assert case.simulator.requests[case.api.lists] == 0


async def test_the_clock_of_this_machine_does_not_matter(case: Case) -> None:
    """An hour's difference between the clocks changes nothing: it is the server's that counts."""
    for skew in (-3600, 3600):
        client_clock = SkewedClock(case.clock, skew)
        client = Case(case.api, another(case.simulator, client_clock), case.simulator, case.clock)
        case.simulator.faults.add(LOST)
        found = await client.create(f"skewed by {skew}")
        assert found in case.ids
    assert len(case.ids) == 2


FAULTS = (
    Fault(method="POST", drop=True, probability=0.04),
    Fault(method="POST", drop=True, after=True, probability=0.04),
    Fault(method="POST", refused=True, probability=0.02),
    Fault(method="POST", status=429, headers={"retry-after": "1"}, probability=0.02),
    Fault(
        method="POST", status=429, headers={"retry-after": "Thu, 01 Jan 2026 00:00:30 GMT"}, probability=0.02
    ),
    Fault(method="POST", status=500, probability=0.02),
    Fault(method="POST", status=500, after=True, probability=0.02),
    Fault(method="POST", status=502, probability=0.02),
    Fault(method="POST", status=503, after=True, probability=0.02),
    Fault(method="POST", hang=True, probability=0.02),
    Fault(method="POST", hang=True, after=True, probability=0.02),
    Fault(method="POST", cut=10, probability=0.02),
    Fault(method="GET", status=503, probability=0.05),
    Fault(method="GET", drop=True, probability=0.05),
)


@pytest.mark.parametrize("names", [1000, 20], ids=["each its name", "fifty of each name"])
async def test_a_thousand_creates_are_a_thousand_orders(case: Case, names: int) -> None:
    """Whatever goes wrong on the way, a thousand creates end as a thousand things, each with its caller."""
    for fault in FAULTS:
        case.simulator.faults.add(fault)
    results: list[tuple[str, str]] = []
    numbers = iter(range(1000))

    async def create() -> None:
        for number in numbers:
            name = f"field {number % names}"
            results.append((name, await case.create(name)))

    async with anyio.create_task_group() as group:
        for _ in range(40):
            group.start_soon(create)
    assert len(results) == 1000
    assert {id_ for _, id_ in results} == case.ids
    assert len(case.ids) == 1000
    assert Counter(name for name, _ in results) == {f"field {n}": 1000 // names for n in range(names)}
