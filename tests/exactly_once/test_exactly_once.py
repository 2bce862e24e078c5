"""Creating exactly once, in all three APIs that create: what is lost is found, and sent again only if not."""

import gc
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from itertools import count
from math import inf
from typing import Any

import anyio
import pytest
from attrs import define, frozen
from spine import cancelled_at_each_step

from planet_async import (
    ApiKey,
    Config,
    ConnectionLost,
    DeadlineExceeded,
    Forbidden,
    Planet,
    PlanetError,
    Request,
    Response,
    TooManyRequests,
    UnsettledCreate,
)
from planet_async.exactly_once import REMEMBERED, create_registry
from planet_async.simulator import NAME_CHANGES, Fault, Limits, OrderPlan, Simulator
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


def another(simulator: Simulator, clock: FakeClock) -> Planet:
    """Return the client of another program, which has a clock of its own and shares nothing with this one."""
    mine = SkewedClock(clock, 0)
    return Planet(Config(), credentials=ApiKey("another"), transport=simulator, clock=mine)


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
async def test_a_create_whose_response_was_lost_is_adopted(case: Case, loss: str) -> None:
    """However the response was lost, what exists is returned, and nothing is sent twice."""
    case.simulator.faults.add(LOSSES[loss])
    assert {await case.create()} == case.ids
    assert case.posts == 1


@pytest.mark.parametrize("loss", ["drop", "hang"])
async def test_a_lost_request_is_sent_again(case: Case, loss: str) -> None:
    """A create that was never acted on is sent again, once, and not before the service could list it."""
    case.simulator.faults.add(Fault(method="POST", times=1, drop=loss == "drop", hang=loss == "hang"))
    before = case.clock.monotonic()
    assert {await case.create()} == case.ids
    assert case.posts == 2
    assert case.clock.monotonic() - before >= Config().consistency_delay


async def test_a_late_list_is_waited_for(case: Case, api: Api) -> None:
    """A list that does not show it yet does not prove that it does not exist."""
    empty = b'{"_links": {}, "orders": [], "subscriptions": [], "results": [], "count": 0}'
    case.simulator.faults.add(LOST)
    case.simulator.faults.add(Fault(operation=api.lists, body=empty, times=3))
    assert {await case.create()} == case.ids
    assert case.posts == 1


async def test_an_older_one_of_the_same_name_is_not_adopted(case: Case) -> None:
    """What another program created a minute earlier is not what was just sent."""
    other = Case(case.api, another(case.simulator, case.clock), case.simulator, case.clock)
    older = await other.create()
    await case.clock.sleep(60)
    case.simulator.faults.add(NEVER_CAME)
    mine = await case.create()
    assert mine != older
    assert case.ids == {older, mine}


async def test_one_with_other_content_is_not_adopted(case: Case) -> None:
    """The same name with other content is another order."""
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


async def test_a_longer_name_is_another_name(case: Case) -> None:
    """`field 7` is not `field 71`, even where the server's filter lists both."""
    longer = await case.create("field 71")
    case.simulator.faults.add(NEVER_CAME)
    assert {longer, await case.create("field 7")} == case.ids


async def test_one_that_was_returned_is_not_adopted(case: Case) -> None:
    """Two identical creates in a row make two, even where the second request is lost."""
    first = await case.create()
    case.simulator.faults.add(NEVER_CAME)
    second = await case.create()
    assert first != second
    assert case.ids == {first, second}


@pytest.mark.parametrize("fault", [LOST, NEVER_CAME], ids=["after", "before"])
async def test_identical_creates_at_once_have_one_each(case: Case, fault: Fault) -> None:
    """Of ten identical creates three responses are lost: ten exist, and each caller has one."""
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


def client_of(case: Case, config: Config | None = None, key: ApiKey | None = None) -> Planet:
    """Return one more client, whose closing leaves the simulator open."""
    shared = Shared(case.simulator, case.clock)
    return Planet(config or Config(), credentials=key or ApiKey("any"), transport=shared, clock=case.clock)


BESIDE: dict[str, Callable[[Case], Planet]] = {
    "a view": lambda case: case.planet.with_options(max_attempts=2),
    "a client of the same key": client_of,
    "a client with other rates": lambda case: client_of(case, Config(rates={})),
    "a client with the key in another form": lambda case: client_of(case, key=ApiKey("any", "api-key")),
}


@define
class Shared:
    """A network that is not one client's own."""

    inner: Simulator
    clock: FakeClock

    async def send(self, request: Request) -> Response:
        return await self.inner.send(request)

    async def aclose(self) -> None:
        pass


@pytest.mark.parametrize("beside", BESIDE)
async def test_clients_of_one_address_share_what_they_created(case: Case, beside: str) -> None:
    """What one client has created is not adopted by a view or another client of the address."""
    other = Case(case.api, BESIDE[beside](case), case.simulator, case.clock)
    first = await case.create()
    case.simulator.faults.add(NEVER_CAME)
    assert {first, await other.create()} == case.ids
    assert len(case.ids) == 2


async def test_a_new_client_for_each_call_knows_the_last_create(case: Case) -> None:
    """Where a backend makes a client for each request, two identical creates in a row make two."""
    found = set()
    for fault in (None, NEVER_CAME):
        if fault is not None:
            case.simulator.faults.add(fault)
        async with client_of(case) as planet:
            found.add(await Case(case.api, planet, case.simulator, case.clock).create())
        del planet
        gc.collect()  # nothing is left of the client
    assert len(found) == 2
    assert found == case.ids


async def test_the_memory_of_an_unused_address_is_freed() -> None:
    """What was created at an address that has not been used for long is forgotten."""
    clock = FakeClock()
    first = create_registry(clock, "a", "order")
    first.add(["7"])
    await clock.sleep(REMEMBERED)
    assert create_registry(clock, "b", "order") is not first
    assert create_registry(clock, "a", "order") is first
    await clock.sleep(1)
    create_registry(clock, "c", "order")
    assert "7" not in create_registry(clock, "a", "order")


async def test_a_clock_need_not_be_hashable() -> None:
    """A user's clock may be any object."""

    class Unhashable(FakeClock):
        __hash__ = None  # type: ignore[assignment]  # as a class with `__eq__` has it

    clock = Unhashable()
    assert create_registry(clock, "a", "order") is create_registry(clock, "a", "order")
    assert create_registry(clock, "a", "order") is not create_registry(Unhashable(), "a", "order")


async def test_the_deadline_bounds_the_lookups(case: Case) -> None:
    """The deadline of a create includes its lookups."""
    case.simulator.faults.add(Fault(method="POST", drop=True, delay=1))
    hurried = Case(case.api, case.planet.with_options(deadline=5), case.simulator, case.clock)
    with pytest.raises(UnsettledCreate, match="no time to look it up"):
        await hurried.create()
    assert case.clock.monotonic() == pytest.approx(5)


async def test_after_the_deadline_nothing_is_looked_up(case: Case) -> None:
    """The error of a create that ran out of time says that it may exist."""
    case.simulator.faults.add(Fault(method="POST", hang=True, after=True))
    with pytest.raises(DeadlineExceeded) as caught:
        await Case(case.api, case.planet.with_options(deadline=5), case.simulator, case.clock).create()
    assert caught.value.may_have_acted
    assert case.clock.monotonic() == 5


async def failure_of(call: Awaitable[object]) -> PlanetError | None:
    """Return the error: inside of a task group a failed `pytest.raises` would end the whole run."""
    try:
        await call
    except PlanetError as error:
        return error
    return None


async def test_the_deadline_bounds_the_wait_for_a_name(case: Case) -> None:
    """While one create is looked up, others of its name wait; past their deadline nothing was sent."""
    case.simulator.faults.add(NEVER_CAME)
    hurried = Case(case.api, case.planet.with_options(deadline=3), case.simulator, case.clock)
    async with anyio.create_task_group() as group:
        group.start_soon(case.create)
        await case.clock.sleep(1)
        error = await failure_of(hurried.create())
        ended = case.clock.monotonic()
    assert isinstance(error, DeadlineExceeded)
    assert "of that name" in str(error)
    assert not error.may_have_acted
    assert ended == pytest.approx(4)
    assert len(case.ids) == 1


async def test_the_wait_for_a_name_counts_towards_the_deadline(case: Case) -> None:
    """Time spent waiting for the name is part of the deadline; what was sent after it may exist."""
    case.simulator.faults.add(NEVER_CAME)
    hurried = Case(case.api, case.planet.with_options(deadline=12), case.simulator, case.clock)
    # It is looked for, sent again, and looked for once more: the name is free after 10 seconds.
    first = Case(case.api, case.planet.with_options(consistency_delay=5), case.simulator, case.clock)
    async with anyio.create_task_group() as group:
        group.start_soon(first.create)
        await case.clock.sleep(1)
        posts = count()
        case.simulator.faults.add(
            Fault(method="POST", hang=True, after=True, when=lambda _: next(posts) > 0)  # not the other one
        )
        error = await failure_of(hurried.create())
        ended = case.clock.monotonic()
    assert isinstance(error, DeadlineExceeded)
    assert error.may_have_acted
    assert ended == pytest.approx(13)


async def test_closing_the_client_ends_the_lookups(case: Case) -> None:
    """A client that is closed during a lookup ends the call at once."""
    case.simulator.faults.add(NEVER_CAME)
    errors: list[PlanetError | None] = []

    async def create() -> None:
        errors.append(await failure_of(case.create()))

    async with anyio.create_task_group() as group:
        group.start_soon(create)
        await case.clock.sleep(1)
        await case.planet.aclose()
    assert isinstance(errors[0], UnsettledCreate)
    assert "the client was closed" in str(errors[0])
    assert case.clock.monotonic() <= Config().consistency_delay


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("api", "anyio_backend", "at_once"),
    [
        pytest.param(APIS[0], "asyncio", 1, id="orders, one by one"),
        *(pytest.param(api, "asyncio", 300, id=api.name) for api in APIS[1:]),
        pytest.param(APIS[0], "trio", 300, id="orders, on trio"),
    ],
)
async def test_lookups_hardly_add_to_the_load_of_a_failing_service(case: Case, at_once: int) -> None:
    """Beyond a small allowance, lookups add less than a tenth to the requests."""
    case.simulator.faults.add(Fault(status=503))
    numbers = iter(range(300))

    async def create() -> None:
        for number in numbers:
            assert isinstance(await failure_of(case.create(f"field {number}")), UnsettledCreate)

    async with anyio.create_task_group() as group:
        for _ in range(at_once):
            group.start_soon(create)
    assert case.posts == 300
    first_allowance = 20 + 50  # tries again, and asking in vain
    assert case.simulator.requests[case.api.lists] <= first_allowance + 30


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("api", "anyio_backend", "fault"),
    [
        pytest.param(APIS[0], "asyncio", LOST, id="orders, after"),
        pytest.param(APIS[0], "trio", NEVER_CAME, id="orders, before, on trio"),
        pytest.param(APIS[1], "trio", LOST, id="subscriptions, after, on trio"),
        pytest.param(APIS[2], "asyncio", NEVER_CAME, id="tasking, before"),
    ],
)
async def test_cancelled_during_a_lookup_everything_is_released(case: Case, fault: Fault) -> None:
    """At whichever step: the name is free for the next create, and each caller has one of its own."""
    ids: list[str] = []

    async def create() -> None:
        case.simulator.faults.clear()
        case.simulator.faults.add(fault)
        ids.append(await case.create())

    def check() -> None:
        assert case.simulator.open_responses == 0

    assert await cancelled_at_each_step(create, check) > 5
    steps = count(0.5, 2.5)
    while len(ids) == 1:  # cancelled while time passes
        with case.clock.move_on_after(next(steps)):
            await create()
    # As many as may ask at once, and more, all of that name: each is in the way of the others, once.
    case.simulator.faults.clear()
    for _ in range(25):
        case.simulator.faults.add(NEVER_CAME)
    async with anyio.create_task_group() as group:
        for _ in range(25):
            group.start_soon(create_into, case, ids)
    assert len(ids) == len({*ids}) == 27
    assert {*ids} <= case.ids


async def create_into(case: Case, ids: list[str]) -> None:
    ids.append(await case.create())


class SlowThenLost(Shared):
    """A network on which the first answer to a POST takes long, and the second POST is lost."""

    posts = 0

    async def send(self, request: Request) -> Response:
        if request.method != "POST":
            return await super().send(request)
        self.posts += 1
        if self.posts == 2:
            raise ConnectionLost("lost", request=request)
        response = await super().send(request)
        if self.posts == 1:
            await self.clock.sleep(5)
        return response


async def test_one_whose_response_is_on_its_way_is_not_adopted(case: Case) -> None:
    """What exists may belong to a create whose response is on its way: that is waited for."""
    network = SlowThenLost(case.simulator, case.clock)
    planet = Planet(Config(), credentials=ApiKey("any"), transport=network, clock=case.clock)
    slow = Case(case.api, planet, case.simulator, case.clock)
    ids: list[str] = []
    async with anyio.create_task_group() as group:
        group.start_soon(create_into, slow, ids)
        await case.clock.sleep(1)
        group.start_soon(create_into, slow, ids)
    assert len({*ids}) == 2
    assert {*ids} == case.ids


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("api", "at_once"), [(APIS[0], 100), (APIS[1], 8), (APIS[2], 8)], ids=[api.name for api in APIS]
)
async def test_all_are_looked_up_when_the_service_is_back(case: Case, at_once: int) -> None:
    """Creates that were not looked up during an outage are, as soon as one lookup succeeds."""
    case.simulator.faults.add(Fault(status=503))
    ids: list[str] = []

    async def create(name: str) -> None:
        ids.append(await case.create(name))

    async with anyio.create_task_group() as group:
        for number in range(at_once):
            group.start_soon(create, f"field {number}")
        await case.clock.sleep(35)
        case.simulator.faults.clear()
    assert len(ids) == at_once
    assert {*ids} == case.ids


@pytest.mark.no_cover
async def test_repeated_losses_are_sent_less_and_less_often(case: Case) -> None:
    """A service that loses every create is not sent the same one every ten seconds."""
    case.simulator.faults.add(Fault(method="POST", status=503))
    patient = Case(case.api, case.planet.with_options(max_attempts=20), case.simulator, case.clock)
    random.seed(0)
    with pytest.raises(UnsettledCreate):
        await patient.create()
    assert case.posts == 20
    assert case.clock.monotonic() > 1.1 * 10 * case.posts
    assert case.simulator.requests[case.api.lists] <= 3 * case.posts


async def test_a_create_of_one_attempt_is_sent_once(case: Case) -> None:
    """`max_attempts=1` sends one POST; what it made is still looked up and adopted."""
    once = Case(case.api, case.planet.with_options(max_attempts=1), case.simulator, case.clock)
    case.simulator.faults.add(LOST)
    found = await once.create("lost after")
    case.simulator.faults.add(NEVER_CAME)
    with pytest.raises(UnsettledCreate, match="after 1 attempt it is not listed") as caught:
        await once.create("lost before")
    assert isinstance(caught.value.__cause__, ConnectionLost)
    case.simulator.faults.add(Fault(method="POST", status=429, times=1))
    with pytest.raises(TooManyRequests):
        await once.create("refused")
    assert case.posts == 3
    assert case.ids == {found}


async def test_a_possible_match_is_reported_as_a_candidate(case: Case, api: Api) -> None:
    """Where it cannot be decided, the error has the candidates, and nothing is sent again."""
    case.simulator.faults.add(LOST)
    # Without the server's time nobody knows whether it is older.
    case.simulator.faults.add(Fault(operation=api.lists, headers={"date": "long ago"}))
    with pytest.raises(UnsettledCreate, match="'field 7' may exist") as caught:
        await case.create()
    assert {*caught.value.candidates} == case.ids
    assert caught.value.may_have_acted
    assert isinstance(caught.value.__cause__, ConnectionLost)
    assert case.posts == 1


async def test_where_the_lookup_fails_the_error_says_that_it_may_exist(case: Case, api: Api) -> None:
    """Where the list is refused, nothing is sent again."""
    case.simulator.faults.add(LOST)
    case.simulator.faults.add(Fault(operation=api.lists, status=403))
    with pytest.raises(UnsettledCreate, match="looking it up failed, too") as caught:
        await case.create()
    assert isinstance(caught.value.__cause__, PlanetError)
    assert case.posts == 1


@pytest.mark.parametrize("fault", [{"status": 503}, {"drop": True}, {"body": b"<html>"}])
async def test_a_failed_lookup_is_tried_again(case: Case, api: Api, fault: dict[str, Any]) -> None:
    """A lookup that fails with a transient error, or returns no list, is sent again."""
    case.simulator.faults.add(LOST)
    case.simulator.faults.add(Fault(operation=api.lists, times=3, **fault))
    assert {await case.create()} == case.ids
    assert case.posts == 1


async def test_attempts_without_an_end_are_bounded_by_time(case: Case, api: Api) -> None:
    """With `max_attempts=inf` the deadline ends the attempts."""
    case.simulator.faults.add(LOST)
    case.simulator.faults.add(Fault(operation=api.lists, status=503))
    patient = case.planet.with_options(max_attempts=inf, deadline=900)  # type: ignore[arg-type]
    with pytest.raises(UnsettledCreate, match="no time to look it up"):
        await Case(api, patient, case.simulator, case.clock).create()
    assert case.clock.monotonic() == pytest.approx(900)


async def test_a_create_is_sent_at_most_max_attempts_times(case: Case) -> None:
    """A service that loses every request keeps the caller for at most six minutes."""
    case.simulator.faults.add(Fault(method="POST", drop=True))
    with pytest.raises(UnsettledCreate, match="after 8 attempts it is not listed"):
        await case.create()
    assert case.posts == Config().max_attempts == 8
    assert 80 <= case.clock.monotonic() < 360
    assert case.ids == set()


async def test_a_refusal_is_raised_without_a_lookup(case: Case) -> None:
    """What the service refused does not exist: the error is raised, and nothing is looked up."""
    case.simulator.faults.add(Fault(method="POST", status=403, times=1))
    with pytest.raises(Forbidden):
        await case.create()
    assert case.simulator.requests[case.api.lists] == 0


async def test_the_clock_of_this_machine_does_not_matter(case: Case) -> None:
    """An hour's difference between the clocks changes nothing: the server's clock counts."""
    for skew in (-3600, 3600):
        skewed = SkewedClock(case.clock, skew)
        planet = Planet(Config(), credentials=ApiKey("another"), transport=case.simulator, clock=skewed)
        client = Case(case.api, planet, case.simulator, case.clock)
        case.simulator.faults.add(LOST)
        found = await client.create(f"skewed by {skew}")
        assert found in case.ids
    assert len(case.ids) == 2


def changed(name: str) -> str:
    """Change a name in all the ways at once that services are known for."""
    for change in NAME_CHANGES.values():
        name = change(name)
    return name


def on_service(api: Api, clock: FakeClock, **options: Any) -> Case:
    """Return a client of a service that differs from the documented one."""
    plan = OrderPlan(queue_seconds=600, run_seconds=60)
    simulator = Simulator(
        clock=clock, plan=plan, **{"limits": Limits.unlimited(), "page_size": 500, **options}
    )
    planet = Planet(Config(), credentials=ApiKey("any"), transport=simulator, clock=clock)
    return Case(api, planet, simulator, clock)


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


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("api", "anyio_backend", "creates", "names"),
    [
        pytest.param(APIS[0], "asyncio", 1000, 20, id="orders, fifty of each name"),
        *(pytest.param(api, "asyncio", 200, 200, id=f"{api.name}, each its name") for api in APIS),
        *(pytest.param(api, "trio", 200, 10, id=f"{api.name}, twenty of each name, on trio") for api in APIS),
    ],
)
async def test_a_thousand_creates_are_a_thousand_orders(
    api: Api, clock: FakeClock, creates: int, names: int
) -> None:
    """Through all kinds of faults, a thousand creates make a thousand resources, each returned once."""
    await create_many(on_service(api, clock), creates, names)


@pytest.mark.no_cover
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize(
    ("service", "names"),
    [
        ({"list_order": "shuffled", "list_delay": 20.0, "database_lag": 120.0}, 10),
        ({"change_name": changed, "date_header": False}, 200),
    ],
    ids=["unsorted, late, another clock", "changed names, no Date"],
)
async def test_a_thousand_creates_are_a_thousand_orders_on_other_services(
    api: Api, clock: FakeClock, service: dict[str, Any], names: int
) -> None:
    """The same where the service's names, clock or lists are not as documented."""
    await create_many(on_service(api, clock, **service), 200, names)


async def create_many(case: Case, creates: int, names: int) -> None:
    results: list[tuple[str, str]] = []
    numbers = iter(range(creates))

    async def create() -> None:
        for number in numbers:
            name = f"Field  {number % names}"
            results.append((name, await case.create(name)))

    results.append((f"Field  {next(numbers)}", await case.create("Field  0")))  # shows the service's clock
    for fault in FAULTS:
        case.simulator.faults.add(fault)
    async with anyio.create_task_group() as group:
        for _ in range(40):
            group.start_soon(create)
    assert len(results) == len(case.ids) == creates
    assert {id_ for _, id_ in results} == case.ids
    assert Counter(name for name, _ in results) == {f"Field  {n}": creates // names for n in range(names)}
