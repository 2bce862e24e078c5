"""Orders: each method against the simulator, or against recorded responses."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import msgspec
import pytest

from planet_async import (
    ApiKey,
    BasemapProduct,
    Clip,
    Conflict,
    DecodeError,
    InvalidRequest,
    NotFound,
    Order,
    OrderRequest,
    OrderState,
    Planet,
    PlanetError,
    SceneProduct,
    ServerError,
    Unauthorized,
    WaitTimeout,
)
from planet_async.simulator import Fault, OrderPlan, Simulator
from planet_async.testing import FakeClock, FakeTransport, reply

pytestmark = pytest.mark.anyio

SCENE = SceneProduct(["20240101_000000_00_1234"], "PSScene", "analytic_udm2")
UNKNOWN = "00000000-0000-4000-8000-000000000000"


def request(name: str = "field 7") -> OrderRequest:
    return OrderRequest(name, [SCENE])


def replying(*replies: object) -> tuple[FakeTransport, Planet]:
    """Return a client whose network sends these responses in order, without retries."""
    transport = FakeTransport(replies)  # type: ignore[arg-type]
    return transport, Planet(credentials=ApiKey("any"), transport=transport, clock=FakeClock())


async def placed(planet: Planet, count: int) -> list[str]:
    return [(await planet.orders.create(request(f"order {number}"))).id for number in range(count)]


async def test_create_returns_the_queued_order(planet: Planet) -> None:
    """A model becomes an order, with what was requested."""
    order = await planet.orders.create(
        OrderRequest("field 7", [SCENE], tools=[Clip(aoi="pl:features/my/farm/7")], order_type="partial")
    )
    assert str(UUID(order.id)) == order.id
    assert (order.name, order.state, order.order_type) == ("field 7", OrderState.QUEUED, "partial")
    assert order.tools == ({"clip": {"aoi": {"type": "ref", "content": "pl:features/my/farm/7"}}},)


async def test_create_takes_a_plain_mapping_as_it_is(planet: Planet) -> None:
    """Fields that this package does not know are sent too, and the source type always is."""
    transport, planet = replying(reply(202, json={"id": UNKNOWN, "state": "queued"}))
    body = {
        "name": "x",
        "products": [{"item_ids": ["a"], "item_type": "PSScene", "product_bundle": "visual", "later": 1}],
        "new_in_2027": True,
    }
    await planet.orders.create(body)
    sent = msgspec.json.decode(transport.requests[0].body or b"")
    assert sent == {**body, "source_type": "scenes"}


async def test_basemaps_are_ordered_as_basemaps(planet: Planet) -> None:
    """The source type follows from the product."""
    order = await planet.orders.create(
        OrderRequest("map", [BasemapProduct("global_monthly_2024_01_mosaic", quad_ids=["1-2"])])
    )
    assert order.source_type == "basemaps"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "x"},
        {"name": "x", "products": []},
        {"name": "x", "products": [{"item_type": "PSScene", "product_bundle": "visual"}]},
        {"name": 5, "products": [{"item_ids": ["a"], "item_type": "PSScene", "product_bundle": "visual"}]},
    ],
)
async def test_a_request_that_cannot_be_right_is_not_sent(
    planet: Planet, simulator: Simulator, body: dict[str, object]
) -> None:
    """A missing or wrong field is refused before the network."""
    with pytest.raises(InvalidRequest):
        await planet.orders.create(body)
    assert not simulator.requests


@pytest.mark.parametrize("fault", [Fault(status=500), Fault(status=503), Fault(drop=True, after=True)])
async def test_a_create_that_may_have_been_acted_on_is_not_sent_again(
    planet: Planet, simulator: Simulator, fault: Fault
) -> None:
    """An order is never doubled: the error says that it may exist."""
    simulator.faults.add(fault)
    with pytest.raises(PlanetError) as caught:
        await planet.orders.create(request())
    assert caught.value.may_have_acted
    assert simulator.requests["orders.create"] == 1


@pytest.mark.parametrize(
    "fault", [Fault(status=429, headers={"retry-after": "7"}, times=3), Fault(refused=True, times=3)]
)
async def test_a_create_that_did_not_arrive_is_sent_again(
    planet: Planet, simulator: Simulator, fault: Fault
) -> None:
    """A 429 and a refused connection promise that nothing was done."""
    simulator.faults.add(fault)
    order = await planet.orders.create(request())
    assert list(simulator.orders) == [order.id]


async def test_the_api_says_what_is_wrong_with_an_order(planet: Planet) -> None:
    """The refusal of one field reaches the caller as such."""
    with pytest.raises(PlanetError, match="Bad item type") as caught:
        await planet.orders.create(OrderRequest("x", [SceneProduct(["a"], "NoSuchType", "visual")]))
    assert "Products" in getattr(caught.value, "field_errors", {})


async def test_get_of_an_unknown_order(planet: Planet) -> None:
    """NotFound has the message of the API and names the request."""
    with pytest.raises(NotFound, match=rf"orders\.get: 404 Could not load order ID: {UNKNOWN}"):
        await planet.orders.get(UNKNOWN)


@pytest.mark.parametrize("method", ["get", "cancel", "wait", "download"])
@pytest.mark.parametrize(
    "bad", ["", "7", "../../secret", "00000000-0000-4000-8000-00000000000g", UNKNOWN + "/x"]
)
async def test_an_id_that_is_no_uuid_is_refused_first(
    planet: Planet, simulator: Simulator, method: str, bad: str
) -> None:
    """No wrong id reaches the network, where it would become another path."""
    call: Callable[..., object] = getattr(planet.orders, method)
    with pytest.raises(InvalidRequest, match="no order id"):
        await (call(bad, "data") if method == "download" else call(bad))  # type: ignore[misc]
    with pytest.raises(InvalidRequest):
        planet.orders.wait_many([UNKNOWN, bad])
    with pytest.raises(InvalidRequest):
        await planet.orders.cancel_many([UNKNOWN, bad])
    assert not simulator.requests


async def test_an_id_may_be_a_uuid_object(planet: Planet) -> None:
    """What another library parsed need not be turned into text."""
    (order_id,) = await placed(planet, 1)
    assert (await planet.orders.get(UUID(order_id))).id == order_id


@pytest.mark.parametrize(
    "response",
    [
        reply(body="<html><body>Bad gateway</body></html>", headers={"content-type": "text/html"}),
        reply(body='{"id": "'),
        reply(body=""),
        reply(json=[]),
        reply(json={"state": "queued"}),
        reply(json={"id": UNKNOWN}),
        reply(json={"id": None, "state": "queued"}),
    ],
)
async def test_a_response_that_is_no_order(planet: Planet, response: object) -> None:
    """HTML, half a document or a missing field: a DecodeError that names the request, never a KeyError."""
    transport, planet = replying(response)
    with pytest.raises(DecodeError, match=r"orders\.get: .*compute/ops/orders/v2"):
        await planet.orders.get(UNKNOWN)
    assert transport.open_responses == 0


async def test_an_unknown_state_is_a_usable_member() -> None:
    """What Planet adds later does not break a client."""
    _, planet = replying(reply(json={"id": UNKNOWN, "state": "paused"}))
    order = await planet.orders.get(UNKNOWN)
    assert order.state == "paused"
    assert not order.state.is_final


async def test_a_wrong_key_is_unauthorized(clock: FakeClock) -> None:
    """A 401 names what to check, and shows no key."""
    simulator = Simulator(clock=clock, api_key="right")
    async with Planet(credentials=ApiKey("wr0ng-key"), transport=simulator, clock=clock) as planet:
        with pytest.raises(Unauthorized, match="PL_API_KEY") as caught:
            await planet.orders.stats()
    assert "wr0ng" not in str(caught.value) + repr(caught.value)


async def test_list_has_every_filter_of_the_api() -> None:
    """Each argument becomes the parameter of its name; lists are repeated, `sort_by` is joined."""
    transport, planet = replying(reply(json={"orders": []}))
    start = datetime(2026, 1, 1, tzinfo=UTC)
    await planet.orders.list(
        state=[OrderState.QUEUED, "running"],
        source_type=["scenes", "basemaps"],
        name="a b",
        name__contains="ä",
        created_on=(start, None),
        last_modified="../2026-02-01T00:00:00Z",
        hosting=False,
        destination_ref="pl:destinations/default",
        user_id="all",
        sort_by=["name", "state DESC"],
        page_size=7,
    ).collect()
    assert sorted(transport.requests[0].params) == [
        ("created_on", "2026-01-01T00:00:00Z/.."),
        ("destination_ref", "pl:destinations/default"),
        ("hosting", "false"),
        ("last_modified", "../2026-02-01T00:00:00Z"),
        ("name", "a b"),
        ("name__contains", "ä"),
        ("page_size", "7"),
        ("sort_by", "name,state DESC"),
        ("source_type", "basemaps"),
        ("source_type", "scenes"),
        ("state", "queued"),
        ("state", "running"),
        ("user_id", "all"),
    ]


async def test_list_asks_for_scenes_and_basemaps_by_default() -> None:
    """By default the API would leave out basemap orders, and return 20 in a response."""
    transport, planet = replying(reply(json={"orders": []}))
    assert await planet.orders.list().collect() == []
    assert transport.requests[0].params == (("source_type", "all"), ("page_size", "500"))


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ({"created_on": datetime(2026, 1, 1)}, "with its zone"),  # noqa: DTZ001 - that is the point
        ({"created_on": "2026-01-01T00:00:00"}, "with its zone"),
        ({"last_modified": (datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC))}, "before"),
        ({"last_modified": "yesterday"}, "expected a time"),
        ({"last_modified": "../.."}, "no instant"),
        ({"last_modified": "2026-01-01T00:00:00Z/../.."}, "no instant"),
        ({"last_modified": 5}, "expected a time"),
        ({"page_size": 0}, "at least 1"),
        ({"state": []}, "an empty list asks for nothing"),
        ({"page_size": -1}, "at least 1"),
    ],
)
async def test_a_filter_that_cannot_be_right_is_refused_first(
    planet: Planet, simulator: Simulator, filters: dict[str, object], said: str
) -> None:
    """Nothing is sent for a time without a zone, a backward interval, or a page size of 0."""
    with pytest.raises(InvalidRequest, match=said):
        planet.orders.list(**filters)  # type: ignore[arg-type]
    assert not simulator.requests


async def test_an_unknown_filter_is_refused(planet: Planet) -> None:
    """A misspelt filter must not list everything; the error names the one that was meant."""
    with pytest.raises(InvalidRequest, match=r"no filter 'stat'.*Did you mean state\?"):
        planet.orders.list(stat="queued")  # type: ignore[call-arg]


async def test_list_goes_through_all_pages(planet: Planet, simulator: Simulator) -> None:
    """All orders come, newest first, each once."""
    ids = await placed(planet, 7)
    assert [order.id async for order in planet.orders.list(page_size=3)] == ids[::-1]
    assert simulator.requests["orders.list"] == 3


async def test_the_open_ends_of_an_interval_filter(planet: Planet, clock: FakeClock) -> None:
    """An interval given as a pair selects as documented: start in, end out."""
    await placed(planet, 2)
    clock.advance(100)
    later = clock.now()
    await placed(planet, 1)
    old = await planet.orders.list(created_on=(None, later)).collect()
    new = await planet.orders.list(created_on=(later, None)).collect()
    assert (len(old), len(new)) == (2, 1)
    assert await planet.orders.list(created_on=(None, None), state=None).collect(limit=9) == new + old
    exact = new[0].created_on
    assert exact is not None
    assert len(await planet.orders.list(created_on=(exact, exact + timedelta(seconds=1))).collect()) == 1


async def test_cancel_returns_the_cancelled_order(planet: Planet) -> None:
    """A queued order can be cancelled, and once more: nothing is wrong with a cancelled order."""
    (order_id,) = await placed(planet, 1)
    assert (await planet.orders.cancel(order_id)).state is OrderState.CANCELLED
    assert (await planet.orders.cancel(order_id)).state is OrderState.CANCELLED


async def test_cancel_survives_a_lost_response(planet: Planet, simulator: Simulator) -> None:
    """The first attempt worked and its response was lost; the second finds the order cancelled."""
    (order_id,) = await placed(planet, 1)
    simulator.faults.add(Fault(operation="orders.cancel", drop=True, after=True, times=1))
    assert (await planet.orders.cancel(order_id)).state is OrderState.CANCELLED


async def test_cancel_of_a_running_order_is_a_conflict(planet: Planet, clock: FakeClock) -> None:
    """What runs cannot be cancelled, and the error says so."""
    (order_id,) = await placed(planet, 1)
    clock.advance(20)
    with pytest.raises(Conflict, match="not in a cancellable state"):
        await planet.orders.cancel(order_id)


async def test_cancel_many_tells_each_failure(planet: Planet, clock: FakeClock) -> None:
    """Ids that could not be cancelled come back with the reason; a repeated id counts once."""
    running = await placed(planet, 1)
    clock.advance(20)
    queued = await placed(planet, 2)
    result = await planet.orders.cancel_many([*queued, *running, *queued, UNKNOWN])
    assert result.succeeded == 2
    assert {failure.id for failure in result.failures} == {*running, UNKNOWN}
    assert all(failure.message for failure in result.failures)


async def test_cancel_many_of_nothing_sends_nothing(planet: Planet, simulator: Simulator) -> None:
    """An empty list must never become the empty body, which cancels everything."""
    await placed(planet, 1)
    assert (await planet.orders.cancel_many([])).succeeded == 0
    assert not simulator.requests["orders.cancel_many"]


@pytest.mark.no_cover
async def test_cancel_many_sends_ten_thousand_ids_in_a_request(planet: Planet, simulator: Simulator) -> None:
    """More ids than the API takes go in several requests, and their failures are merged."""
    ids = [str(uuid4()) for _ in range(10_001)]
    result = await planet.orders.cancel_many(ids)
    assert simulator.requests["orders.cancel_many"] == 2
    assert {failure.id for failure in result.failures} == set(ids)


@pytest.mark.no_cover
async def test_a_part_that_fails_as_a_whole_is_reported_for_each_id(
    planet: Planet, simulator: Simulator
) -> None:
    """One refused request of several loses no id; if all are refused the error is raised."""
    ids = [str(uuid4()) for _ in range(10_001)]
    simulator.faults.add(Fault(operation="orders.cancel_many", status=400, times=1))
    result = await planet.orders.cancel_many(ids)
    assert {failure.id for failure in result.failures} == set(ids)
    simulator.faults.add(Fault(operation="orders.cancel_many", status=404))
    with pytest.raises(NotFound):
        await planet.orders.cancel_many(ids)


async def test_cancel_all_cancels_what_is_queued(planet: Planet, clock: FakeClock) -> None:
    """Only this method sends the empty body."""
    await placed(planet, 1)
    clock.advance(20)
    await placed(planet, 2)
    assert (await planet.orders.cancel_all()).succeeded == 2
    stats = await planet.orders.stats()
    assert (stats.user.queued_orders, stats.user.running_orders) == (0, 1)


async def test_wait_follows_an_order_to_its_end(planet: Planet, clock: FakeClock) -> None:
    """The order comes back finished, with its results, and each change was reported."""
    seen: list[Order] = []
    (order_id,) = await placed(planet, 1)
    order = await planet.orders.wait(order_id, on_update=seen.append)
    assert order.state is OrderState.SUCCESS
    assert order.results
    assert list(dict.fromkeys(update.state for update in seen)) == ["queued", "running", "success"]
    assert len(seen) == len(set(seen))
    assert clock.monotonic() < 70 + 30


async def test_wait_ends_at_its_timeout(planet: Planet, clock: FakeClock) -> None:
    """WaitTimeout is a TimeoutError, and comes no later than requested."""
    (order_id,) = await placed(planet, 1)
    started = clock.monotonic()
    with pytest.raises(WaitTimeout, match=order_id) as caught:
        await planet.orders.wait(order_id, timeout=30)
    assert isinstance(caught.value, TimeoutError)
    assert clock.monotonic() - started <= 30


async def test_wait_many_yields_in_the_order_of_finishing(clock: FakeClock) -> None:
    """The one that takes longest comes last, one that does not exist does not stop the others."""
    seconds = {"order 0": 300.0, "order 1": 20.0, "order 2": 100.0}
    simulator = Simulator(
        clock=clock, plan=lambda body, _: OrderPlan(queue_seconds=1, run_seconds=seconds[body["name"]])
    )
    async with Planet(credentials=ApiKey("any"), transport=simulator, clock=clock) as planet:
        ids = await placed(planet, 3)
        outcomes = [outcome async for outcome in planet.orders.wait_many([UNKNOWN, *ids, ids[0]])]
    assert [outcome.id for outcome in outcomes] == [UNKNOWN, ids[1], ids[2], ids[0]]
    assert isinstance(outcomes[0].error, NotFound)
    assert all(outcome.unwrap().state is OrderState.SUCCESS for outcome in outcomes[1:])


async def test_wait_many_ends_the_unfinished_as_timeouts(planet: Planet) -> None:
    """No id goes without an outcome."""
    ids = await placed(planet, 3)
    outcomes = [outcome async for outcome in planet.orders.wait_many(ids, timeout=20)]
    assert [outcome.id for outcome in outcomes] == ids
    assert all(isinstance(outcome.error, WaitTimeout) for outcome in outcomes)


async def test_an_error_outlives_the_retries(planet: Planet, simulator: Simulator) -> None:
    """A service that stays broken ends the call, with the attempts in the notes of the error."""
    simulator.faults.add(Fault(operation="orders.get", status=500))
    with pytest.raises(ServerError) as caught:
        await planet.orders.get(UNKNOWN)
    assert simulator.requests["orders.get"] == 8
    assert any("8 attempts" in note for note in caught.value.__notes__)
