"""How a real service may differ from its documentation: names, clocks and lists that are not as requested."""

from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from attrs import frozen

from planet_async.errors import ConnectionLost
from planet_async.simulator import NAME_CHANGES, Fault, Limits, Simulator
from planet_async.testing import FakeClock
from simulator.simulated import ORDERS, Caller, catalog, scenes

pytestmark = pytest.mark.anyio

SUBSCRIPTIONS = "/subscriptions/v1"
TASKING = "/tasking/v2/orders/"
POINT = {"type": "Point", "coordinates": [149.4, 28.5]}


@frozen
class Api:
    path: str
    request: Callable[[str], Any]
    key: str
    created: str  # the field with the time of creation
    oldest: tuple[str, str]
    newest: tuple[str, str]
    limit: str = "page_size"


APIS = {
    "orders": Api(
        ORDERS,
        scenes,
        "orders",
        "created_on",
        ("sort_by", "created_on"),
        ("sort_by", "created_on DESC"),
    ),
    "subscriptions": Api(
        SUBSCRIPTIONS,
        catalog,
        "subscriptions",
        "created",
        ("sort_by", "created"),
        ("sort_by", "created DESC"),
    ),
    "tasking": Api(
        TASKING,
        lambda name: {"name": name, "geometry": POINT},
        "results",
        "created_time",
        ("ordering", "created_time"),
        ("ordering", "-created_time"),
        "limit",
    ),
}
each_api = pytest.mark.parametrize("api", APIS.values(), ids=APIS)


def caller(clock: FakeClock, **options: Any) -> Caller:
    return Caller(Simulator(clock=clock, limits=Limits.unlimited(), **options))


async def create(call: Caller, api: Api, name: str) -> Any:
    reply = await call("POST", api.path, json=api.request(name))
    assert reply.status in {200, 201, 202}, reply.body
    return reply


async def listed(call: Caller, api: Api, *params: tuple[str, str]) -> list[str]:
    names: list[str] = []
    reply = await call("GET", api.path, *params)
    while True:
        names += [each["name"] for each in reply.json[api.key]]
        following = reply.json.get("next") or reply.json.get("_links", {}).get("next")
        if not following:
            return names
        reply = await call("GET", following)


@each_api
@pytest.mark.parametrize(
    ("change", "stored"),
    [
        ("strip", "A  B e\u0301"),
        ("collapse", "A B e\u0301"),
        ("newline", " A  B e\u0301"),
        ("lower", " a  b e\u0301\n"),
        ("nfc", " A  B \xe9\n"),
        ("cut", " A  B e\u0301\n"),
    ],
)
async def test_names_are_changed(
    clock: FakeClock,
    change: str,
    stored: str,
    api: Api,
) -> None:
    """What is created, read and listed has the name as the service changes it; filters are by that name."""
    call = caller(clock, change_name=NAME_CHANGES[change])
    made = (await create(call, api, " A  B e\u0301\n")).json
    assert made["name"] == stored
    assert await listed(call, api, ("name", stored)) == [stored]
    assert len((await create(call, api, "x" * 101)).json["name"]) == (100 if change == "cut" else 101)


@each_api
@pytest.mark.parametrize("lag", [12.0, 300.0, -5.0])
async def test_the_database_has_its_own_clock(
    clock: FakeClock,
    lag: float,
    api: Api,
) -> None:
    """The time of creation is behind the Date of the response by the lag, and filters are by it."""
    call = caller(clock, database_lag=lag)
    reply = await create(call, api, "a")
    date = parsedate_to_datetime(reply.headers["date"])
    made = date.fromisoformat(reply.json[api.created])
    assert (date - made).total_seconds() == lag
    if api.path != TASKING:
        assert await listed(call, api, (api.created, f"{reply.json[api.created]}/..")) == ["a"]


@each_api
@pytest.mark.parametrize("list_order", ["oldest", "shuffled"])
@pytest.mark.parametrize("size", ["3", "100"])
async def test_lists_are_not_sorted_as_requested(
    clock: FakeClock,
    list_order: str,
    size: str,
    api: Api,
) -> None:
    """Whatever is requested, the order is another one; each resource is still listed once."""
    call = caller(clock, list_order=list_order)
    names = [f"n{number:02}" for number in range(20)]
    for name in names:
        await create(call, api, name)
        clock.advance(1)
    for params in ([api.newest], [api.oldest], []):
        found = await listed(call, api, (api.limit, size), *params)
        assert sorted(found) == names
        assert (found == names) == (list_order == "oldest")
        assert found != names[::-1]


@each_api
async def test_lists_are_late(
    clock: FakeClock,
    api: Api,
) -> None:
    """What was created is listed after the delay, and can be read at once."""
    call = caller(clock, list_delay=11.0)
    made = (await create(call, api, "a")).json
    assert (await call("GET", f"{api.path.rstrip('/')}/{made['id']}")).status == 200
    clock.advance(10.9)
    assert await listed(call, api) == []
    clock.advance(0.1)
    assert await listed(call, api) == ["a"]


async def test_there_may_be_no_date(clock: FakeClock) -> None:
    """Without the header no response has one, those of errors included."""
    call = caller(clock, date_header=False)
    for path in (ORDERS, "/nowhere"):
        assert "date" not in (await call("GET", path)).headers
    assert "date" in (await caller(clock)("GET", ORDERS)).headers


@each_api
async def test_a_request_can_be_acted_on_late(
    clock: FakeClock,
    api: Api,
) -> None:
    """The response is a 504; the resource exists some seconds later, from then on, and once."""
    call = caller(clock)
    call.simulator.faults.add(Fault(method="POST", status=504, acts_after=11.0, times=1))
    assert (await call("POST", api.path, json=api.request("a"))).status == 504
    clock.advance(10.9)
    assert await listed(call, api) == []
    clock.advance(20)
    await create(call, api, "b")
    assert await listed(call, api) == ["b", "a"]
    first = (await call("GET", api.path)).json[api.key][1]
    assert first[api.created] == "2026-01-01T00:00:11Z"
    simulator = call.simulator
    assert len({**simulator.orders, **simulator.subscriptions, **simulator.tasking_orders}) == 2


async def test_what_is_late_can_be_refused(clock: FakeClock) -> None:
    """A request that is acted on late and refused then leaves nothing behind."""
    call = caller(clock)
    call.simulator.faults.add(Fault(drop=True, acts_after=1.0, operation="subscriptions.create"))
    with pytest.raises(ConnectionLost):
        await call("POST", SUBSCRIPTIONS, json={})
    clock.advance(2)
    assert not call.simulator.subscriptions
