"""Tasking: each method against the simulator, or against recorded responses."""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import anyio
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planet_async import (
    ApiKey,
    BulkStatus,
    CaptureStatus,
    Config,
    Conflict,
    ConnectionLost,
    DecodeError,
    ImagingSearchFailed,
    ImagingWindowRequest,
    InvalidRequest,
    NotFound,
    Planet,
    PlanetError,
    Pricing,
    PricingFailure,
    PricingRequest,
    ServerError,
    TaskingFilters,
    TaskingOrderChanges,
    TaskingOrderRequest,
    TaskingStatus,
    WaitTimeout,
)
from planet_async.services._query import open_filter_params
from planet_async.simulator import Fault, SearchPlan, Simulator, TaskingPlan
from planet_async.testing import FakeClock, FakeTransport, reply

pytestmark = pytest.mark.anyio

POINT = {"type": "Point", "coordinates": [149.44135, 28.4924]}
LINE = {"type": "LineString", "coordinates": [[10.92, 48.915], [10.788, 49.074]]}
POLYGON = {"type": "Polygon", "coordinates": [[[0, 0], [0.1, 0], [0.1, 0.1], [0, 0]]]}
UNKNOWN = "00000000-0000-4000-8000-000000000000"
DAY = 86_400.0
WINDOWS = ImagingWindowRequest(POINT, "PL-1", "Assured Tasking")


def request(name: str = "harbour", **fields: Any) -> TaskingOrderRequest:
    return TaskingOrderRequest(name, POINT, **fields)


def replying(*replies: object) -> tuple[FakeTransport, Planet]:
    transport = FakeTransport(replies)  # type: ignore[arg-type]
    return transport, Planet(
        Config(max_attempts=1), credentials=ApiKey("any"), transport=transport, clock=FakeClock()
    )


def simulated(**settings: Any) -> tuple[Simulator, Planet]:
    clock = FakeClock()
    simulator = Simulator(clock=clock, **settings)
    return simulator, Planet(Config(), credentials=ApiKey("any"), transport=simulator, clock=clock)


async def placed(planet: Planet, count: int) -> list[str]:
    return [(await planet.tasking.create(request(f"order {number}"))).id for number in range(count)]


async def collected(items: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in items]


@pytest.mark.parametrize(("geometry", "area"), [(POINT, 25.0), (LINE, 100.0), (POLYGON, 62.0)])
async def test_create_returns_the_order(planet: Planet, geometry: Mapping[str, Any], area: float) -> None:
    """A point, a line and a polygon become an order, with the area that will be imaged."""
    order = await planet.tasking.create(TaskingOrderRequest("harbour", geometry, sat_elevation_angle_min=70))
    assert str(UUID(order.id)) == order.id
    assert (order.name, order.status) == ("harbour", TaskingStatus.RECEIVED)
    assert order.original_geometry == geometry
    assert order.geometry is not None
    assert order.geometry["type"] == "Polygon"
    assert order.requested_sqkm == pytest.approx(area, rel=0.1)
    assert order.sat_elevation_angle_min == 70
    assert await planet.tasking.get(order.id) == order


async def test_create_takes_a_plain_mapping_as_it_is() -> None:
    """Fields that this package does not know are sent too, to the path with its slash."""
    transport, planet = replying(reply(201, json={"id": UNKNOWN, "status": "RECEIVED"}))
    body = {"name": "x", "geometry": POINT, "new_in_2027": [1]}
    await planet.tasking.create(body)
    assert str(transport.requests[0]) == "POST https://api.planet.com/tasking/v2/orders/"
    assert msgspec.json.decode(transport.requests[0].body or b"") == body


@pytest.mark.parametrize("fault", [Fault(status=502), Fault(drop=True, after=True)])
async def test_a_create_that_may_have_been_acted_on_is_not_sent_again(
    planet: Planet, simulator: Simulator, fault: Fault
) -> None:
    """An order is never doubled: the error says that it may exist."""
    simulator.faults.add(fault)
    with pytest.raises(PlanetError) as caught:
        await planet.tasking.create(request())
    assert caught.value.may_have_acted
    assert simulator.requests["tasking.create"] == 1


@pytest.mark.parametrize(
    "method", ["get", "cancel", "wait", "pricing", "get_capture", "get_imaging_window", "get_bulk"]
)
@pytest.mark.parametrize("bad", ["", "7", "../../secret", UNKNOWN + "/x"])
async def test_an_id_that_is_none_is_refused_first(
    planet: Planet, simulator: Simulator, method: str, bad: str
) -> None:
    """No wrong id reaches the network, where it would become another path."""
    with pytest.raises(InvalidRequest, match="a UUID was expected"):
        await getattr(planet.tasking, method)(bad)
    assert not simulator.requests


async def test_other_calls_check_ids_too(planet: Planet, simulator: Simulator) -> None:
    """The same holds where there are more arguments."""
    with pytest.raises(InvalidRequest):
        await planet.tasking.update("7", {"name": "x"})
    with pytest.raises(InvalidRequest):
        planet.tasking.wait_many([UNKNOWN, "7"])
    with pytest.raises(InvalidRequest):
        planet.tasking.list_captures(order_id="7")
    with pytest.raises(InvalidRequest):
        await planet.tasking.create_bulk([request()], id="7")
    assert not simulator.requests


async def test_get_of_an_unknown_order(planet: Planet) -> None:
    """NotFound has the message of the API."""
    with pytest.raises(NotFound, match=r"tasking\.get: 404 Not found"):
        await planet.tasking.get(UNKNOWN)


async def test_list_by_filters(planet: Planet, clock: Any) -> None:
    """The filters hold all at once; the oldest come first by default."""
    for name in ("North Harbour", "field", "south harbour", "harbour east"):
        await planet.tasking.create(request(name))
        clock.advance(DAY)
    start = datetime(2026, 1, 1, 12, tzinfo=UTC)
    found = planet.tasking.list(
        name__icontains="HARBOUR",
        created_time__gt=start,
        created_time__lte="2026-01-04T00:00:05Z",
        status__in=[TaskingStatus.RECEIVED, "PENDING", "IN_PROGRESS"],
    )
    assert [order.name async for order in found] == ["south harbour", "harbour east"]
    newest = await planet.tasking.list(ordering=["-created_time"]).first()
    assert newest is not None
    assert newest.name == "harbour east"
    near = {"type": "Point", "coordinates": [149.45, 28.49]}
    assert len(await planet.tasking.list(geometry__intersects=near).collect()) == 4
    assert await planet.tasking.list(geometry__intersects=LINE).collect() == []


async def test_the_query_of_a_list() -> None:
    """Each parameter goes under the API's own name; times are in UTC, lists separated by commas."""
    transport, planet = replying(reply(json={"count": 0, "next": None, "results": []}))
    zone = datetime.fromisoformat("2026-05-01T02:00:00+02:00")
    await planet.tasking.list(
        status="PENDING",
        scheduling_type__in=["FLEXIBLE", "ASSURED"],
        geometry__intersects="POINT (1 2)",
        end_time__lt=zone,
        filters={
            "cloud_threshold__gte": 0.5,
            "early_start": True,
            "fulfilled_time__gte": zone,
            "x": [UUID(UNKNOWN)],
        },
        page_size=30,
        offset=10,
    ).collect()
    assert dict(transport.requests[0].params) == {
        "status": "PENDING",
        "scheduling_type__in": "FLEXIBLE,ASSURED",
        "geometry__intersects": "POINT (1 2)",
        "end_time__lt": "2026-05-01T00:00:00Z",
        "cloud_threshold__gte": "0.5",
        "early_start": "true",
        "fulfilled_time__gte": "2026-05-01T00:00:00Z",
        "x": UNKNOWN,
        "limit": "30",
        "offset": "10",
        "ordering": "created_time",
    }


@pytest.mark.parametrize(
    "parameters",
    [
        {"created_time__gt": datetime(2026, 1, 1)},  # noqa: DTZ001 - that is the point
        {"created_time__gt": "2026-01-01T00:00:00"},
        {"created_time__gt": "2026-01-01T00:00:00Z/.."},
        {"filters": {"fulfilled_time__gt": "yesterday"}},
        {"filters": {"limit": 5}},
        {"filters": {"status": "PENDING"}, "status": "PENDING"},
        {"filters": {"status": None}},
        {"filters": {"status": {"a": 1}}},
        {"status__in": []},
        {"geometry__intersects": {"type": "Circle"}},
        {"page_size": 0},
        {"page_size": -1},
        {"offset": -1},
        {"concurrency": 0},
    ],
)
async def test_filters_that_cannot_be_right(
    planet: Planet, simulator: Simulator, parameters: dict[str, Any]
) -> None:
    """They are refused before anything is sent: a time without its zone, a page of nothing, an empty list."""
    with pytest.raises(InvalidRequest):
        planet.tasking.list(**parameters)
    assert not simulator.requests


async def test_an_unknown_filter_is_refused(planet: Planet) -> None:
    """It is named, rather than sent and ignored."""
    with pytest.raises(InvalidRequest, match="nmae__icontains"):
        planet.tasking.list(nmae__icontains="x")  # type: ignore[call-arg]
    with pytest.raises(InvalidRequest, match="fulfiling"):
        planet.tasking.list_captures(fulfiling=True)  # type: ignore[call-arg]


moments = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.timezones())  # noqa: DTZ001 - zones are given


@settings(max_examples=50, deadline=None)
@given(name=st.sampled_from(["created_time__gt", "end_time", "a_time__lte"]), moment=moments)
def test_a_moment_is_rendered_as_that_moment(name: str, moment: datetime) -> None:
    """In UTC, as the API wants it, and exactly."""
    for value in (moment, moment.isoformat()):
        if isinstance(value, str) and moment.utcoffset() and (moment.utcoffset() or timedelta()).seconds % 60:
            continue
        params = dict(open_filter_params(TaskingFilters, {}, {name: value}))
        # Compared in UTC: a time that the clocks skipped is equal to nothing but itself.
        assert datetime.fromisoformat(params[name]) == moment.astimezone(UTC)
        assert not isinstance(value, datetime) or params[name].endswith("Z")


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_a_list_of_many_pages(concurrency: int) -> None:
    """`limit` and `offset` are the API's; all from there on come, whatever the concurrency."""
    simulator, planet = simulated()
    ids = await placed(planet, 25)
    found = planet.tasking.list(page_size=4, offset=3, concurrency=concurrency)
    assert [order.id async for order in found] == ids[3:]
    assert simulator.requests["tasking.list"] == 6
    assert [order.id for order in await planet.tasking.list(page_size=4).collect(limit=6)] == ids[:6]


async def test_orders_that_are_added_while_the_list_is_read() -> None:
    """A list that grows while it is read loses and repeats nothing, also where the newest come first."""
    for ordering in (None, "-created_time"):
        simulator, planet = simulated()
        ids = await placed(planet, 20)
        found = []
        async for order in planet.tasking.list(page_size=3, concurrency=3, ordering=ordering):
            found.append(order.id)
            if len(found) % 4 == 0 and len(found) <= 12:
                await planet.tasking.create(request("new"))
        expected = ids if ordering is None else ids[::-1]
        assert [id_ for id_ in found if id_ in ids] == expected
        assert len(found) == len(set(found))
        assert ordering or found == list(simulator.tasking_orders)


async def test_update_sends_only_what_changes_and_returns_the_whole_order(planet: Planet, clock: Any) -> None:
    """The API responds with the editable fields only: the order is fetched again."""
    order = await planet.tasking.create(request())
    clock.advance(0.5 * DAY)
    changed = await planet.tasking.update(order.id, {"end_time": "2026-07-01T00:00:00Z"})
    assert changed.end_time == datetime(2026, 7, 1, tzinfo=UTC)
    assert (changed.name, changed.start_time, changed.status) == ("harbour", order.start_time, "PENDING")
    changed = await planet.tasking.update(
        order.id, TaskingOrderChanges(start_time=datetime(2026, 6, 1, tzinfo=UTC))
    )
    assert changed.start_time == datetime(2026, 6, 1, tzinfo=UTC)
    with pytest.raises(PlanetError, match="after start_time") as caught:
        await planet.tasking.update(order.id, {"end_time": "2026-05-01T00:00:00Z"})
    assert "end_time" in getattr(caught.value, "field_errors", {})
    with pytest.raises(PlanetError, match="product: Not editable"):
        await planet.tasking.update(order.id, {"product": "x"})


async def test_what_is_sent_by_an_update(samples: Path) -> None:
    """Nothing but the changed fields is in the body, as documented; the recorded response is read."""
    recorded = (samples / "tasking" / "order_put_response_docs.json").read_bytes()
    transport, planet = replying(reply(body=recorded), reply(json={"id": UNKNOWN, "status": "PENDING"}))
    await planet.tasking.update(UNKNOWN, TaskingOrderChanges(name="new"))
    assert [each.method for each in transport.requests] == ["PUT", "GET"]
    assert transport.requests[0].url == f"https://api.planet.com/tasking/v2/orders/{UNKNOWN}"
    assert transport.requests[0].body == b'{"name":"new"}'


async def test_an_update_of_nothing_is_refused(planet: Planet, simulator: Simulator) -> None:
    """No fields, no request."""
    with pytest.raises(InvalidRequest, match="nothing"):
        await planet.tasking.update(UNKNOWN, {})
    with pytest.raises(InvalidRequest, match="nothing"):
        await planet.tasking.update(UNKNOWN, TaskingOrderChanges())
    assert not simulator.requests


async def test_cancel_returns_the_cancelled_order(planet: Planet, simulator: Simulator) -> None:
    """The response is empty; the order is returned, also a second time, also if a response was lost."""
    order = await planet.tasking.create(request())
    assert (await planet.tasking.cancel(order.id)).status is TaskingStatus.CANCELLED
    assert (await planet.tasking.cancel(order.id)).status is TaskingStatus.CANCELLED
    other = await planet.tasking.create(request())
    simulator.faults.add(Fault(operation="tasking.cancel", drop=True, after=True, times=1))
    assert (await planet.tasking.cancel(other.id)).status is TaskingStatus.CANCELLED
    with pytest.raises(NotFound):
        await planet.tasking.cancel(UNKNOWN)


async def test_an_assured_order_is_cancelled_in_two_steps(planet: Planet) -> None:
    """It is PENDING_CANCELLATION first; that is no error."""
    search = await planet.tasking.search_imaging_windows(WINDOWS)
    order = await planet.tasking.create(
        request(scheduling_type="ASSURED", imaging_window=search.imaging_windows[0].id)
    )
    assert order.status is TaskingStatus.REQUESTED
    assert (await planet.tasking.cancel(order.id)).status is TaskingStatus.PENDING_CANCELLATION
    assert (await planet.tasking.cancel(order.id)).status is TaskingStatus.PENDING_CANCELLATION
    assert (await planet.tasking.wait(order.id)).status is TaskingStatus.CANCELLED


async def test_what_cannot_be_cancelled_is_an_error(planet: Planet, clock: Any) -> None:
    """A fulfilled order stays fulfilled."""
    order = await planet.tasking.create(request())
    clock.advance(30 * DAY)
    with pytest.raises(Conflict, match="FULFILLED"):
        await planet.tasking.cancel(order.id)


async def test_wait_takes_days_and_few_requests() -> None:
    """It ends when the order does, without a timeout of its own, and polls at most once a minute."""
    simulator, planet = simulated(tasking_plan=TaskingPlan(in_progress_days=1))
    order = await planet.tasking.create(request())
    seen: list[str] = []
    done = await planet.tasking.wait(order.id, on_update=lambda order: seen.append(order.status))
    assert done.status is TaskingStatus.FULFILLED
    assert list(dict.fromkeys(seen)) == ["RECEIVED", "PENDING", "IN_PROGRESS", "FULFILLED"]
    assert 2.1 * DAY <= simulator.clock.monotonic() <= 2.1 * DAY + 900
    assert simulator.requests["tasking.get"] <= 2.1 * DAY / 900 + 10


async def test_wait_has_a_timeout(planet: Planet) -> None:
    """WaitTimeout, which is a TimeoutError too, says that it goes on."""
    order = await planet.tasking.create(request())
    with pytest.raises(WaitTimeout, match="goes on"):
        await planet.tasking.wait(order.id, timeout=DAY)


async def test_wait_many() -> None:
    """Each as it finishes; what fails for one stops no other."""
    _, planet = simulated(
        tasking_plan=lambda _, number: TaskingPlan(
            pending_days=0,
            in_progress_days=(3 - number) / 10,
            status=("EXPIRED", "FULFILLED", "REJECTED")[number],
        )
    )
    ids = await placed(planet, 3)
    outcomes = await collected(planet.tasking.wait_many([*ids, UNKNOWN]))
    assert [outcome.id for outcome in outcomes] == [UNKNOWN, ids[2], ids[1], ids[0]]
    assert isinstance(outcomes[0].error, NotFound)
    assert [outcome.unwrap().status for outcome in outcomes[1:]] == ["REJECTED", "FULFILLED", "EXPIRED"]
    assert await collected(planet.tasking.wait_many([])) == []


async def test_pricing_in_both_forms() -> None:
    """By the model, or by the orders that had to make way."""
    _, planet = simulated(tasking_plan=lambda _, number: TaskingPlan(replaced_orders=3 * number))
    first, second = await placed(planet, 2)
    price = await planet.tasking.pricing(first)
    assert (price.order_id, price.units, price.estimated_quota_cost) == (first, "SQKM", 25.0)
    assert price.determined_by == "pricing_model"
    price = await planet.tasking.pricing(second)
    assert (price.determined_by, price.estimated_quota_cost) == ("replaced_orders", 75.0)
    assert sum(order.cost or 0 for order in price.replaced_orders) == 75.0


async def test_a_preview_of_one(planet: Planet, simulator: Simulator) -> None:
    """A geometry is enough; nothing is placed; it is requested again where the response was lost."""
    simulator.faults.add(Fault(operation="tasking.preview_pricing", drop=True, after=True, times=1))
    price = await planet.tasking.preview_pricing(PricingRequest(POINT))
    assert (price.order_id, price.estimated_quota_cost) == (None, 25.0)
    assert (await planet.tasking.preview_pricing({"geometry": POINT})) == price
    assert await planet.tasking.preview_pricing(request()) == price
    assert not simulator.tasking_orders
    with pytest.raises(PlanetError, match="imaging_window"):
        await planet.tasking.preview_pricing(
            {"geometry": POINT, "scheduling_type": "ASSURED", "imaging_window": UNKNOWN}
        )


async def test_a_preview_of_many_keeps_the_failures_in_place(planet: Planet, simulator: Simulator) -> None:
    """One entry for each order in their order, and the total of the API."""
    stale = {"geometry": POINT, "scheduling_type": "ASSURED", "imaging_window": UNKNOWN}
    preview = await planet.tasking.preview_pricing_many([request(), stale, {"geometry": POLYGON}, request()])
    kinds = [type(price) for price in preview.pricing_details]
    assert kinds == [Pricing, PricingFailure, Pricing, Pricing]
    costs = [price.estimated_quota_cost for price in preview.pricing_details if isinstance(price, Pricing)]
    assert preview.total_estimated_quota_cost == pytest.approx(sum(costs))
    assert simulator.requests["tasking.preview_pricing"] == 1


async def test_a_preview_of_none_sends_nothing(planet: Planet, simulator: Simulator) -> None:
    """It costs nothing, too; and what cannot be right is named by its number."""
    preview = await planet.tasking.preview_pricing_many([])
    assert (preview.total_estimated_quota_cost, preview.pricing_details) == (0, ())
    with pytest.raises(InvalidRequest, match=r"order 2: .*geometry"):
        await planet.tasking.preview_pricing_many([{"geometry": POINT}, {}])
    assert not simulator.requests


async def test_prices_that_do_not_fit_the_orders() -> None:
    """Fewer entries than orders cannot be assigned to them."""
    body = {"total_estimated_quota_cost": 0, "pricing_details": [{}]}
    _, planet = replying(reply(json=body))
    with pytest.raises(DecodeError, match="1 prices came for 2 orders"):
        await planet.tasking.preview_pricing_many([request(), request()])


@pytest.mark.parametrize("how", ["body", "location"])
async def test_a_search_for_imaging_windows(how: str) -> None:
    """Its id comes in either way; it is looked at until it is done; a window can be had by its id."""
    simulator, planet = simulated(search_plan=SearchPlan(reply=how, seconds=20, windows=2))  # type: ignore[arg-type]
    search = await planet.tasking.search_imaging_windows(WINDOWS)
    assert (search.status, len(search.imaging_windows)) == ("DONE", 2)
    assert simulator.clock.monotonic() >= 20
    assert simulator.requests["tasking.get_search"] <= 6
    window = await planet.tasking.get_imaging_window(search.imaging_windows[1].id)
    assert window == search.imaging_windows[1]
    with pytest.raises(NotFound):
        await planet.tasking.get_imaging_window(UNKNOWN)


async def test_a_search_that_fails() -> None:
    """The error has the API's code and message."""
    plan = SearchPlan(error_code="NO_ACCESS", error_message="The contract does not allow it")
    _, planet = simulated(search_plan=plan)
    with pytest.raises(ImagingSearchFailed, match="The contract does not allow it") as caught:
        await planet.tasking.search_imaging_windows(WINDOWS)
    assert caught.value.error_code == "NO_ACCESS"


async def test_a_search_that_fails_without_a_reason() -> None:
    """Then it says that."""
    failed = reply(json={"id": "a", "status": "FAILED", "error_code": 5})
    _, planet = replying(reply(201, json={"id": "a"}), failed)
    with pytest.raises(ImagingSearchFailed, match="gives no reason") as caught:
        await planet.tasking.search_imaging_windows({"geometry": POINT, "pl_number": "a", "product": "b"})
    assert caught.value.error_code is None


async def test_a_search_that_takes_too_long() -> None:
    """It ends after its timeout."""
    _, planet = simulated(search_plan=SearchPlan(seconds=1e6))
    with pytest.raises(WaitTimeout):
        await planet.tasking.search_imaging_windows(WINDOWS, timeout=60)


@pytest.mark.parametrize(
    ("accepted", "path"),
    [
        (reply(202, headers={"Location": "/tasking/v2/imaging-windows/search/abc/"}), "abc"),
        (reply(202, headers={"Location": "https://api.planet.com/x/search/abc?y=1"}), "abc"),
        (reply(202, body="<html>", headers={"Location": "search/abc"}), "abc"),
        (reply(200, json={"id": "a/../b", "status": "CREATED"}, headers={"Location": "x"}), "a%2F..%2Fb"),
        (reply(200, json={"id": ""}, headers={"Location": "search/abc"}), "abc"),
    ],
)
async def test_where_the_id_of_a_search_is_found(accepted: Any, path: str) -> None:
    """In the body, else in the last part of the path of Location; it stays one part of a path."""
    transport, planet = replying(accepted, reply(json={"id": "abc", "status": "DONE"}))
    await planet.tasking.search_imaging_windows(WINDOWS)
    assert (
        str(transport.requests[1]) == f"GET https://api.planet.com/tasking/v2/imaging-windows/search/{path}"
    )


@pytest.mark.parametrize("headers", [{}, {"Location": "/tasking/v2/imaging-windows/search/"}])
async def test_a_search_without_an_id(headers: dict[str, str]) -> None:
    """Where there is none, nothing can be waited for."""
    _, planet = replying(reply(202, headers=headers))
    with pytest.raises(DecodeError, match="without an id"):
        await planet.tasking.search_imaging_windows(WINDOWS)


async def test_captures() -> None:
    """They come one by one while the order is in progress, and are found by order, status and fulfilment."""
    simulator, planet = simulated(tasking_plan=TaskingPlan(captures=2))
    first, second = await placed(planet, 2)
    assert await planet.tasking.list_captures().collect() == []
    simulator.clock.advance((0.1 + 1 + 2) * DAY)  # type: ignore[attr-defined]
    captures = await planet.tasking.list_captures(order_id=first).collect()
    assert [capture.status for capture in captures] == [CaptureStatus.PUBLISHED, CaptureStatus.SCHEDULED]
    assert {capture.order_id for capture in captures} == {first}
    assert await planet.tasking.get_capture(captures[0].id) == captures[0]
    fulfilling = planet.tasking.list_captures(fulfilling=True, page_size=1, concurrency=2)
    assert [capture.order_id async for capture in fulfilling] == [first, second]
    planned = planet.tasking.list_captures(
        status__in=["SCHEDULED"], published_time__lt="2026-01-01T00:00:00Z"
    )
    assert await planned.collect() == []
    with pytest.raises(NotFound):
        await planet.tasking.get_capture(UNKNOWN)


async def test_create_bulk(planet: Planet, simulator: Simulator, clock: Any) -> None:
    """The job has the id that was chosen, and tells how far it is."""
    chosen = UUID("11111111-1111-4111-8111-111111111111")
    job = await planet.tasking.create_bulk([request("a"), {"name": "b", "geometry": LINE}], id=chosen)
    assert (job.id, job.status, job.payload_count) == (str(chosen), BulkStatus.PENDING, 2)
    assert (await planet.tasking.get_bulk(job.id)).status is BulkStatus.PENDING
    clock.advance(5)
    done = await planet.tasking.get_bulk(job.id)
    assert (done.status, done.success_payload_count, done.failed_payload_count) == (BulkStatus.COMPLETE, 2, 0)
    assert [order.name for order in simulator.tasking_orders.values()] == ["a", "b"]


async def test_an_id_is_always_sent_with_a_bulk(planet: Planet) -> None:
    """Without a choice one is made up, another one each time."""
    first = await planet.tasking.create_bulk([request()])
    second = await planet.tasking.create_bulk([request()])
    assert str(UUID(first.id)) == first.id != second.id
    assert (await planet.tasking.get_bulk(second.id)).id == second.id


async def test_a_bulk_job_whose_response_was_lost_is_looked_up(planet: Planet, simulator: Simulator) -> None:
    """It was accepted, and is not sent twice."""
    simulator.faults.add(Fault(operation="tasking.create_bulk", drop=True, after=True, times=1))
    job = await planet.tasking.create_bulk([request(), request()])
    assert job.payload_count == 2
    assert simulator.requests["tasking.create_bulk"] == 1
    assert len(simulator.tasking_orders) == 2


async def test_a_bulk_that_is_not_there_is_the_first_error(planet: Planet, simulator: Simulator) -> None:
    """Where nothing came of it the error is that of the request, with what was found out since."""
    simulator.faults.add(Fault(operation="tasking.create_bulk", drop=True, times=1))
    with pytest.raises(ConnectionLost) as caught:
        await planet.tasking.create_bulk([request()])
    assert "there was no bulk job" in caught.value.__notes__[-1]
    assert simulator.requests["tasking.create_bulk"] == 1


async def test_a_bulk_that_cannot_be_looked_up() -> None:
    """Then the doubt stays, and the error says so."""
    _, planet = replying(reply(502), reply(500))
    with pytest.raises(ServerError, match="502") as caught:
        await planet.tasking.create_bulk([request()])
    assert "could not be found out" in caught.value.__notes__[-1]


async def test_a_bulk_that_is_refused(planet: Planet, simulator: Simulator) -> None:
    """A plain refusal is raised at once: there is no doubt."""
    simulator.faults.add(Fault(operation="tasking.create_bulk", status=400, body=b'{"detail": "no"}'))
    with pytest.raises(PlanetError, match="400 no"):
        await planet.tasking.create_bulk([request()])
    assert simulator.requests["tasking.get_bulk"] == 0


async def test_bulks_of_the_wrong_size(planet: Planet, simulator: Simulator) -> None:
    """None sends nothing, more than 1,000 are refused, one that is wrong is named by its number."""
    job = await planet.tasking.create_bulk([])
    assert (job.status, job.payload_count) == (BulkStatus.COMPLETE, 0)
    with pytest.raises(InvalidRequest, match="1001 orders"):
        await planet.tasking.create_bulk([request()] * 1001)
    with pytest.raises(InvalidRequest, match=r"order 2: \$\.name: missing"):
        await planet.tasking.create_bulk([request(), {"geometry": POINT}])
    assert not simulator.requests


async def test_an_endpoint_without_a_method(planet: Planet) -> None:
    """`planet.request` shares the limits of the tasking API."""
    response = await planet.request("GET", "/tasking/v2/orders/", params={"limit": "1"})
    assert msgspec.json.decode(await response.read())["count"] == 0


async def test_poll_now_ends_a_wait_early(planet: Planet, simulator: Simulator, clock: FakeClock) -> None:
    """An order that is waited for is requested at once; where nothing waits for it, nothing is sent."""
    order_id = (await planet.tasking.create(request())).id
    seen: list[float] = []

    async def wait() -> None:
        await planet.tasking.wait(order_id)
        seen.append(clock.monotonic())

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await clock.sleep(1.0)
        await planet.tasking.cancel(order_id)
        planet.tasking.poll_now(order_id.upper())
    assert seen[0] < 5
    simulator.requests.clear()
    planet.tasking.poll_now(order_id)
    assert not simulator.requests
