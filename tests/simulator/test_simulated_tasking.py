"""The Tasking API of the simulator: days, filters, pages, prices, windows, captures, bulk jobs."""

import math
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planet_async.simulator import Limits, SearchPlan, Simulator, TaskingPlan
from planet_async.simulator.tasking import MAX_LIMIT
from planet_async.testing import FakeClock
from simulator.simulated import Caller

pytestmark = pytest.mark.anyio

TASKING = "/tasking/v2"
ORDERS = f"{TASKING}/orders/"
WINDOWS = f"{TASKING}/imaging-windows"
POINT = {"type": "Point", "coordinates": [149.441357, 28.492403]}
LINE = {"type": "LineString", "coordinates": [[10.92, 48.915], [10.788, 49.074]]}
UNKNOWN = "00000000-0000-4000-8000-000000000000"
DAY = 86_400.0


def asked(name: str = "harbour", **fields: Any) -> dict[str, Any]:
    return {"name": name, "geometry": POINT, **fields}


async def create(call: Caller, name: str = "harbour", **fields: Any) -> Any:
    reply = await call("POST", ORDERS, json=asked(name, **fields))
    assert reply.status == 201, reply.body
    return reply.json


async def order(call: Caller, order_id: str) -> Any:
    reply = await call("GET", ORDERS + order_id)
    assert reply.status == 200, reply.body
    return reply.json


async def names(call: Caller, *params: tuple[str, str]) -> list[str]:
    reply = await call("GET", ORDERS, *params)
    assert reply.status == 200, reply.body
    return [order["name"] for order in reply.json["results"]]


def caller(clock: FakeClock, **settings: Any) -> Caller:
    return Caller(Simulator(clock=clock, limits=Limits.unlimited(), **settings))


async def test_a_new_order_looks_as_documented(call: Caller, samples: Path) -> None:
    """It has exactly the fields of the documented body, also when it is fetched."""
    documented = msgspec.json.decode((samples / "tasking" / "order_created_docs_2020.json").read_bytes())
    created = await create(call, documented["name"])
    assert created.keys() == documented.keys()
    assert {name: type(value) for name, value in created.items() if name != "cancellable_until"} == {
        name: type(value) for name, value in documented.items() if name != "cancellable_until"
    } | {"is_cancellable": bool}
    assert created["geometry"]["coordinates"][0][0] == pytest.approx(
        documented["geometry"]["coordinates"][0][0], abs=0.01
    )
    assert (created["requested_sqkm"], created["status"]) == (25.0, "RECEIVED")
    assert await order(call, created["id"]) == created


async def test_statuses_move_in_days_at_their_own_moment(call: Caller, clock: FakeClock) -> None:
    """`updated_time` is when it changed, not when that was seen."""
    order_id = (await create(call))["id"]
    seen = []
    for day in (0, 0.099, 0.1, 1.099, 1.1, 6.099, 6.1, 100):
        clock.advance(day * DAY - clock.monotonic())
        seen.append((await order(call, order_id))["status"])
    assert seen == [
        "RECEIVED", "RECEIVED", "PENDING", "PENDING", "IN_PROGRESS", "IN_PROGRESS", "FULFILLED", "FULFILLED",
    ]  # fmt: skip
    done = await order(call, order_id)
    assert done["updated_time"] == "2026-01-07T02:24:00Z"
    assert (done["fulfilled_sqkm"], done["is_cancellable"]) == (25.0, False)
    assert call.simulator.tasking_orders[order_id].name == "harbour"


async def test_plans(clock: FakeClock) -> None:
    """A plan for each order: rejected at once, expired, for ever in progress."""
    plans = [
        TaskingPlan(status="REJECTED", received_days=0),
        TaskingPlan(status="EXPIRED"),
        TaskingPlan(in_progress_days=math.inf, captures=2),
    ]
    call = caller(clock, tasking_plan=lambda _, number: plans[number])
    ids = [(await create(call))["id"] for _ in plans]
    clock.advance(1000 * DAY)
    assert [(await order(call, id_))["status"] for id_ in ids] == ["REJECTED", "EXPIRED", "IN_PROGRESS"]
    with pytest.raises(ValueError, match="status"):
        TaskingPlan(status="DONE")  # type: ignore[arg-type]


@pytest.fixture
async def four(call: Caller, clock: FakeClock) -> Caller:
    """Four orders, a day apart; the first is in progress, the third cancelled."""
    await create(call, "alpha field", pl_number="PL-1")
    clock.advance(DAY)
    await create(call, "Beta", start_time="2026-03-01T00:00:00Z", end_time="2026-04-01T00:00:00Z")
    clock.advance(DAY)
    gamma = await create(call, "gamma field", geometry=LINE, rrule="FREQ=DAILY;COUNT=3")
    assert (await call("DELETE", ORDERS + gamma["id"])).status == 204
    clock.advance(DAY + 0.5)
    await create(call, "delta")
    return call


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, "delta gamma Beta alpha"),
        ({"ordering": "created_time"}, "alpha Beta gamma delta"),
        ({"ordering": "name"}, "Beta alpha delta gamma"),
        ({"ordering": "-status,name"}, "delta Beta alpha gamma"),
        ({"ordering": "-start_time"}, "Beta delta gamma alpha"),
        ({"ordering": "nonsense"}, "alpha Beta gamma delta"),
        ({"status": "CANCELLED"}, "gamma"),
        ({"status__in": "CANCELLED,RECEIVED"}, "delta gamma"),
        ({"name__icontains": "FIELD"}, "gamma alpha"),
        ({"name": "Beta"}, "Beta"),
        ({"name": "bet"}, ""),
        ({"pl_number": "PL-1"}, "alpha"),
        ({"created_time__gt": "2026-01-02T00:00:00Z"}, "delta gamma"),
        ({"created_time__gte": "2026-01-02T00:00:00Z"}, "delta gamma Beta"),
        ({"created_time__lt": "2026-01-02T01:00:00+01:00"}, "alpha"),
        ({"created_time__lte": "2026-01-02T00:00:00Z"}, "Beta alpha"),
        ({"created_time": "2026-01-02T00:00:00Z"}, "Beta"),
        ({"created_time__gt": "2026-01-04T00:00:00Z"}, "delta"),
        ({"created_time__in": "2026-01-01T00:00:00Z,2026-01-02T00:00:00Z"}, "Beta alpha"),
        ({"last_acquired_time": "2026-01-02T00:00:00Z"}, ""),
        ({"last_acquired_time__gt": "2026-01-02T00:00:00Z"}, ""),
        ({"end_time__gt": "2026-03-31T00:00:00Z"}, "Beta"),
        ({"requested_sqkm__gt": "25"}, "gamma"),
        ({"is_cancellable": "false"}, "gamma"),
        ({"rrule__icontains": "daily"}, "gamma"),
        ({"geometry__intersects": '{"type":"Point","coordinates":[10.85,49.0]}'}, "gamma"),
        ({"geometry__intersects": '{"type":"LineString","coordinates":[[0,0],[1,1]]}'}, ""),
        ({"status__near": "x"}, "delta gamma Beta alpha"),
        (
            {
                "sausage": "x",
                "sausage__gt": "5",
                "sausage__intersects": '{"type":"Point","coordinates":[1,1]}',
            },
            "delta gamma Beta alpha",
        ),
        ({"name__icontains": "field", "status": "CANCELLED"}, "gamma"),
    ],
)
async def test_filters_and_ordering(four: Caller, params: dict[str, str], expected: str) -> None:
    """Each filter and each ordering returns exactly the orders it should; all filters apply together."""
    found = await names(four, *params.items())
    assert [name.removesuffix(" field") for name in found] == expected.split()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("created_time__gt", "yesterday"),
        ("created_time", "2026-01-01"),
        ("requested_sqkm__gt", "much"),
        ("geometry__intersects", "POINT (1 2)"),
        ("geometry__intersects", "{}"),
        ("geometry__intersects", "5"),
    ],
)
async def test_invalid_filters(four: Caller, name: str, value: str) -> None:
    """A value that cannot be read is a 400 about that filter."""
    reply = await four("GET", ORDERS, (name, value))
    assert (reply.status, list(reply.json)) == (400, [name])


async def test_a_page_looks_as_documented(four: Caller) -> None:
    """It has the count of all, and links with the query in them; the last has no next one."""
    first = (await four("GET", ORDERS, ("limit", "2"), ("ordering", "name"))).json
    assert first.keys() == {"count", "next", "previous", "results"}
    assert (first["count"], first["previous"], len(first["results"])) == (4, None, 2)
    assert first["next"] == "https://api.planet.com/tasking/v2/orders/?limit=2&offset=2&ordering=name"
    second = (await four("GET", first["next"])).json
    assert (second["next"], len(second["results"])) == (None, 2)
    assert second["previous"] == "https://api.planet.com/tasking/v2/orders/?limit=2&offset=0&ordering=name"
    odd = (await four("GET", ORDERS, ("limit", "0"), ("offset", "many"))).json
    assert len(odd["results"]) == 4
    assert (await four("GET", ORDERS, ("offset", "9"))).json["results"] == []


@given(count=st.integers(0, 30), limit=st.integers(1, 12), offset=st.integers(0, 35), filtered=st.booleans())
@settings(max_examples=40, deadline=None)
async def test_pages_make_up_the_list(count: int, limit: int, offset: int, filtered: bool) -> None:
    """Following the links returns every order behind the offset once, in order, and `count` is right."""
    call = caller(FakeClock())
    for number in range(count):
        await create(call, f"{number:03}")
    params = [("limit", str(limit)), ("offset", str(offset)), ("ordering", "created_time")]
    reply = await call("GET", ORDERS, *params, *([("status", "RECEIVED")] if filtered else []))
    found = []
    while True:
        assert reply.json["count"] == count
        found += [order["name"] for order in reply.json["results"]]
        if reply.json["next"] is None:
            break
        reply = await call("GET", reply.json["next"])
    assert found == [f"{number:03}" for number in range(offset, count)]


async def test_the_largest_page(clock: FakeClock) -> None:
    """A page has no more than the maximum, and the default is the simulator's."""
    call = caller(clock, page_size=3)
    for _ in range(5):
        await create(call)
    assert len((await call("GET", ORDERS)).json["results"]) == 3
    link = (await call("GET", ORDERS, ("limit", "1000"), ("offset", "1"))).json["previous"]
    assert f"limit={MAX_LIMIT}&offset=0" in link


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"name": None}, "name"),
        ({"geometry": None}, "geometry"),
        ({"geometry": {"type": "MultiPoint", "coordinates": [[0, 0]]}}, "geometry"),
        ({"geometry": {"type": "Point", "coordinates": [181, 40]}}, "geometry"),
        ({"geometry": {"type": "Point", "coordinates": [1]}}, "geometry"),
        ({"geometry": {"type": "Point", "coordinates": ["a", "b"]}}, "geometry"),
        ({"geometry": {"type": "Polygon", "coordinates": []}}, "geometry"),
        ({"geometry": {"type": "Polygon", "coordinates": [[[0, 0]] * 3001]}}, "geometry"),
        ({"geometry": {"type": "LineString", "coordinates": [[10, 48], [10, 48.05]]}}, "geometry"),
        ({"geometry": {"type": "LineString", "coordinates": [[10, 48], [10, 49.1]]}}, "geometry"),
        ({"geometry": 5}, "geometry"),
        ({"scheduling_type": "SOON"}, "scheduling_type"),
        ({"order_type": "SMELL"}, "order_type"),
        ({"scheduling_type": "ASSURED"}, "imaging_window"),
        ({"sat_elevation_angle_min": 100}, "sat_elevation_angle_min"),
        ({"sat_elevation_angle_max": "steep"}, "sat_elevation_angle_max"),
        ({"start_time": "soon"}, "start_time"),
        ({"start_time": "2026-02-01T00:00:00Z", "end_time": "2026-01-01T00:00:00Z"}, "end_time"),
    ],
)
async def test_orders_that_are_refused(call: Caller, changed: dict[str, Any], field: str) -> None:
    """400, with the field and what is wrong with it."""
    reply = await call("POST", ORDERS, json={**asked(), **changed})
    assert (reply.status, list(reply.json)) == (400, [field])
    assert reply.json[field][0]


@pytest.mark.parametrize("path", [ORDERS, f"{TASKING}/bulk/", f"{WINDOWS}/search/", f"{TASKING}/pricing/"])
async def test_invalid_bodies(call: Caller, path: str) -> None:
    """What is no JSON, and what is no object."""
    assert (await call("POST", path, body=b"{")).json == {"detail": "JSON parse error"}
    reply = await call("POST", path, body=b"5")
    assert (reply.status, list(reply.json)) == (400, ["non_field_errors"])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"{ORDERS}{UNKNOWN}"),
        ("PUT", f"{ORDERS}{UNKNOWN}"),
        ("DELETE", f"{ORDERS}{UNKNOWN}"),
        ("GET", f"{ORDERS}{UNKNOWN}/pricing"),
        ("GET", f"{TASKING}/captures/{UNKNOWN}"),
        ("GET", f"{TASKING}/bulk/{UNKNOWN}"),
        ("GET", f"{WINDOWS}/{UNKNOWN}"),
        ("GET", f"{WINDOWS}/search/{UNKNOWN}"),
    ],
)
async def test_unknown_resources(call: Caller, method: str, path: str) -> None:
    """404, everywhere the same."""
    await create(call)
    reply = await call(method, path, body=b"{}" if method == "PUT" else None)
    assert (reply.status, reply.json) == (404, {"detail": "Not found."})
    assert (await call(method, path, headers={})).status == 401


async def test_editing(call: Caller, clock: FakeClock) -> None:
    """The fields can be edited in their statuses; the response has only those that can be."""
    order_id = (await create(call))["id"]
    start = {"start_time": "2026-01-05T00:00:00Z"}
    assert (await call("PUT", ORDERS + order_id, json=start)).json == {
        "start_time": ["Not editable while the order is RECEIVED."]
    }
    clock.advance(0.5 * DAY)
    reply = await call("PUT", ORDERS + order_id, json=start)
    assert (reply.status, reply.json) == (200, {**start, "end_time": "2026-01-31T00:00:00Z"})
    clock.advance(DAY)
    assert (await call("PUT", ORDERS + order_id, json=start)).status == 400
    end = {"end_time": "2026-03-01T00:00:00Z", "name": "new"}
    assert (await call("PUT", ORDERS + order_id, json=end)).status == 200
    now = await order(call, order_id)
    assert (now["name"], now["end_time"], now["updated_time"]) == (
        "new",
        "2026-03-01T00:00:00Z",
        "2026-01-02T12:00:00Z",
    )
    assert now["start_time"] == start["start_time"]


async def test_cancelling(call: Caller, clock: FakeClock) -> None:
    """204 and nothing else where it is allowed; a finished order and one of the archive refuse."""
    first, second = (await create(call))["id"], (await create(call, scheduling_type="ARCHIVE"))["id"]
    reply = await call("DELETE", ORDERS + first)
    assert (reply.status, reply.body) == (204, b"")
    clock.advance(100 * DAY)
    assert (await order(call, first))["status"] == "CANCELLED"
    assert (await call("DELETE", ORDERS + first)).status == 409
    assert (await call("DELETE", ORDERS + second)).status == 409


async def test_captures_are_taken_one_by_one(clock: FakeClock) -> None:
    """Planned when the order is in progress, then queued, processed and published; the order counts them."""
    call = caller(clock, tasking_plan=TaskingPlan(captures=4))
    order_id = (await create(call))["id"]
    clock.advance(1.1 * DAY)
    assert (await order(call, order_id))["next_planned_acquisition_time"] == "2026-01-03T02:24:00Z"

    async def statuses() -> list[str]:
        reply = await call(
            "GET", f"{TASKING}/captures/", ("order_id", order_id), ("ordering", "created_time")
        )
        return [capture["status"] for capture in reply.json["results"]]

    for seconds, expected in ((0, "SCHEDULED"), (DAY, "QUEUED"), (700, "PROCESSING"), (3000, "PUBLISHED")):
        clock.advance(seconds)
        assert (await statuses())[:2] == [expected, "SCHEDULED"]
    seen = await order(call, order_id)
    assert seen["capture_status_published_count"] == 1
    assert (seen["last_acquired_time"], seen["next_planned_acquisition_time"]) == (
        "2026-01-03T02:24:00Z",
        "2026-01-04T02:24:00Z",
    )
    await call("DELETE", ORDERS + order_id)
    clock.advance(10 * DAY)
    assert await statuses() == ["PUBLISHED", "REMOVED", "REMOVED", "REMOVED"]


@pytest.mark.parametrize("how", ["body", "location"])
async def test_searches(clock: FakeClock, how: Any) -> None:
    """Accepted with a body or with a relative Location; created, in progress, then done with windows."""
    call = caller(clock, search_plan=SearchPlan(reply=how, windows=1))
    body = {"geometry": POINT, "pl_number": "PL-1", "product": "Assured Tasking"}
    reply = await call("POST", f"{WINDOWS}/search/", json=body)
    if how == "body":
        search_id = reply.json["id"]
        assert (reply.status, reply.json["status"]) == (201, "CREATED")
    else:
        assert (reply.status, reply.body) == (202, b"")
        search_id = reply.headers["location"].removeprefix(f"{WINDOWS}/search/")
    seen, search = [], {}
    for seconds in (0, 1, 4):
        clock.advance(seconds)
        search = (await call("GET", f"{WINDOWS}/search/{search_id}")).json
        seen.append((search["status"], len(search["imaging_windows"])))
    assert seen == [("CREATED", 0), ("IN_PROGRESS", 0), ("DONE", 1)]
    [window] = search["imaging_windows"]
    assert (await call("GET", f"{WINDOWS}/{window['id']}")).json == window
    assured = asked(scheduling_type="ASSURED", imaging_window=window["id"])
    assert (await call("POST", ORDERS, json=assured)).json["status"] == "REQUESTED"
    price = (await call("POST", f"{TASKING}/pricing/", json=assured)).json
    assert (price["estimated_quota_cost"], len(price["pricing_model"]["multipliers"])) == (50.0, 2)
    clock.advance(DAY)
    stale = await call("POST", ORDERS, json=assured)
    assert (stale.status, list(stale.json)) == (400, ["imaging_window"])


async def test_searches_look_a_week_ahead(call: Caller) -> None:
    """A search that ends more than seven days from now is refused, one that ends within them is not."""
    body = {"geometry": POINT, "pl_number": "PL-1", "product": "p"}
    for day, status in (("07", 201), ("09", 400)):
        end = {"end_time": f"2026-01-{day}T00:00:00Z"}
        reply = await call("POST", f"{WINDOWS}/search/", json=body | end)
        assert reply.status == status
        assert ("end_time" in reply.json) == (status == 400)


async def test_searches_that_fail_or_are_refused(clock: FakeClock) -> None:
    """A failure has its code and words; a refusal its fields."""
    call = caller(clock, search_plan=SearchPlan(error_code="E1", error_message="no", seconds=0))
    body = {"geometry": LINE, "pl_number": "PL-1", "product": "p"}
    search_id = (await call("POST", f"{WINDOWS}/search/", json=body)).json["id"]
    search = (await call("GET", f"{WINDOWS}/search/{search_id}")).json
    assert (search["status"], search["error_code"], search["error_message"]) == ("FAILED", "E1", "no")
    triangle = {"type": "LineString", "coordinates": [[0, 0], [1, 1], [2, 2]]}
    polygon = {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 0]]]}
    for geometry in (triangle, polygon):
        reply = await call("POST", f"{WINDOWS}/search/", json={"geometry": geometry})
        assert (reply.status, sorted(reply.json)) == (400, ["geometry", "pl_number", "product"])


async def test_prices_look_as_documented(clock: FakeClock, samples: Path) -> None:
    """Each form has the fields of the documented one; a failed one is in its place, and not in the total."""

    def documented(name: str) -> Any:
        return msgspec.json.decode((samples / "tasking" / f"{name}.json").read_bytes())

    call = caller(clock, tasking_plan=lambda _, number: TaskingPlan(replaced_orders=3 * number))
    ids = [(await create(call))["id"] for _ in range(2)]
    by_model, replaced = [(await call("GET", f"{ORDERS}{id_}/pricing")).json for id_ in ids]
    assert by_model.keys() == documented("pricing_model_docs").keys()
    assert replaced.keys() == documented("pricing_replaced_orders_docs").keys()
    assert replaced["estimated_quota_cost"] == sum(each["cost"] for each in replaced["replaced_orders"]) == 75
    polygon = {"type": "Polygon", "coordinates": [[[0, 0], [0.1, 0], [0.1, 0.1], [0, 0]]]}
    orders = [{}, {"geometry": POINT}, 5, {"geometry": polygon}]
    many = (await call("POST", f"{TASKING}/pricing/", json=orders)).json
    sample = documented("pricing_bulk_partial_failure_docs")
    assert many.keys() == sample.keys()
    assert many["pricing_details"][0] == many["pricing_details"][2] == sample["pricing_details"][0]
    assert many["pricing_details"][1] == sample["pricing_details"][1]
    assert many["total_estimated_quota_cost"] == pytest.approx(25 + 61.96, rel=0.01)
    refused = await call("POST", f"{TASKING}/pricing/", json={})
    assert (refused.status, list(refused.json)) == (400, ["geometry"])


async def test_bulk_jobs(call: Caller, clock: FakeClock) -> None:
    """An empty response and a Location; pending, running, complete; an invalid order fails alone."""
    far = asked(geometry={"type": "Point", "coordinates": [181, 40]})
    body = {"id": UNKNOWN, "order_payloads": [asked("a"), far, 5, asked("b")]}
    reply = await call("POST", f"{TASKING}/bulk/", json=body)
    assert (reply.status, reply.body, reply.headers["location"]) == (202, b"", f"{TASKING}/bulk/{UNKNOWN}")
    seen, job = [], {}
    for seconds in (0, 1, 1):
        clock.advance(seconds)
        job = (await call("GET", f"{TASKING}/bulk/{UNKNOWN}")).json
        seen.append((job["status"], job["processing_payload_count"], job["success_payload_count"]))
    assert seen == [("PENDING", 4, 0), ("RUNNING", 4, 0), ("COMPLETE", 0, 2)]
    assert (job["failed_payload_count"], job["payload_count"]) == (2, 4)
    assert await names(call, ("ordering", "created_time")) == ["a", "b"]
    assert (await call("POST", f"{TASKING}/bulk/", json=body)).status == 409
    made_up = await call("POST", f"{TASKING}/bulk/", json={"order_payloads": [asked()]})
    assert (await call("GET", made_up.headers["location"])).status == 200


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"order_payloads": []}, "order_payloads"),
        ({"order_payloads": [{}] * 1001}, "order_payloads"),
        ({}, "order_payloads"),
        ({"id": "7", "order_payloads": [{}]}, "id"),
    ],
)
async def test_bulk_jobs_that_are_refused(call: Caller, body: Any, field: str) -> None:
    """None, too many, or an id that is no UUID."""
    reply = await call("POST", f"{TASKING}/bulk/", json=body)
    assert (reply.status, list(reply.json)) == (400, [field])


async def test_all_of_tasking_shares_one_limit(clock: FakeClock) -> None:
    """40 requests pass in a second, of whatever kind, and the next gets a 429."""
    call = Caller(Simulator(clock=clock))
    statuses = [
        (await call("GET", f"{TASKING}/{'orders' if n % 2 else 'captures'}/")).status for n in range(41)
    ]
    assert statuses == [200] * 40 + [429]
    clock.advance(1)
    assert (await call("GET", ORDERS)).status == 200
