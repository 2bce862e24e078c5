"""The orders list of the simulator: filters, sorting, pages."""

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planet_async.simulator import Limits, OrderPlan, Simulator
from planet_async.testing import FakeClock
from simulator.simulated import ORDERS, Caller, basemaps, scenes

pytestmark = pytest.mark.anyio


@pytest.fixture
async def five(call: Caller, clock: FakeClock) -> Caller:
    """Five orders, created 10 s apart: one is done, one runs, one is cancelled, two are queued."""
    destination = {"destination": {"ref": "pl:destinations/mine"}}
    await call.create(scenes("alpha field", delivery=destination))
    clock.advance(10)
    await call.create(scenes("beta", hosting={"sentinel_hub": {}}))
    clock.advance(10)
    cancelled = await call.create(scenes("gamma field"))
    await call("PUT", f"{ORDERS}/{cancelled['id']}")
    clock.advance(10)
    await call.create(scenes("delta"))
    clock.advance(10)
    await call.create(basemaps("epsilon field"))
    # At :40 alpha is done since :35, beta runs since :15, gamma is cancelled since :20, delta runs since :35
    return call


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({}, "delta gamma beta alpha"),
        ({"source_type": "all"}, "epsilon delta gamma beta alpha"),
        ({"source_type": "basemaps"}, "epsilon"),
        ({"source_type": "scenes,basemaps", "state": "queued"}, "epsilon"),
        ({"state": "running"}, "delta beta"),
        ({"name": "beta"}, "beta"),
        ({"name": "bet"}, ""),
        ({"name__contains": "field"}, "gamma alpha"),
        ({"hosting": "true"}, "beta"),
        ({"hosting": "false"}, "delta gamma alpha"),
        ({"destination_ref": "pl:destinations/mine"}, "alpha"),
        ({"user_id": "all"}, "delta gamma beta alpha"),
        ({"user_id": "1"}, "delta gamma beta alpha"),
        ({"user_id": "2"}, ""),
        ({"created_on": "2026-01-01T00:00:10Z"}, "beta"),
        ({"created_on": "2026-01-01T01:00:10.000000+01:00"}, "beta"),
        ({"created_on": "2026-01-01T00:00:10.000001Z"}, ""),
        ({"created_on": "2026-01-01T00:00:10Z/2026-01-01T00:00:20Z"}, "beta"),
        ({"created_on": "2026-01-01T00:00:20Z/.."}, "delta gamma"),
        ({"created_on": "../2026-01-01T00:00:20Z"}, "beta alpha"),
        ({"last_modified": "2026-01-01T00:00:20Z/.."}, "delta gamma alpha"),
        ({"last_modified": "../2026-01-01T00:00:20Z"}, "beta"),
        ({"last_modified": "2026-01-01T00:00:35Z"}, "delta alpha"),
        ({"created_on": "../2026-01-01T00:00:30Z", "sort_by": "last_modified"}, "beta gamma alpha"),
        ({"last_modified": "2026-01-01T00:00:20Z/2026-01-01T00:00:35Z", "sort_by": "last_modified"}, "gamma"),
        ({"sort_by": "created_on"}, "alpha beta gamma delta"),
        ({"sort_by": "last_modified"}, "beta gamma alpha delta"),
        ({"sort_by": "last_modified DESC"}, "delta alpha gamma beta"),
        ({"sort_by": "name"}, "alpha beta delta gamma"),
        ({"sort_by": "name desc"}, "gamma delta beta alpha"),
        ({"sort_by": "state, name DESC"}, "gamma delta beta alpha"),
        ({"sort_by": "state DESC,name ASC"}, "alpha beta delta gamma"),
        ({"name__contains": "field", "state": "success", "sort_by": "state"}, "alpha"),
    ],
)
async def test_filters_and_sorting(five: Caller, params: dict[str, str], names: str) -> None:
    """Each filter and each sorting returns exactly the orders it should."""
    found = await five.listed(*params.items())
    assert [name.removesuffix(" field") for name in found] == names.split()


async def test_states_can_be_repeated(five: Caller) -> None:
    """Several states are taken as one or the other."""
    found = await five.listed(("state", "cancelled"), ("state", "success"))
    assert found == ["gamma field", "alpha field"]


async def test_a_page_looks_as_documented(five: Caller) -> None:
    """A page has its own link and the next one's, with the query baked in; its orders have no results."""
    page = await five("GET", ORDERS, ("page_size", "1"), ("state", "success"), ("source_type", "all"))
    assert page.json.keys() == {"_links", "orders"}
    assert page.json["_links"] == {
        "_self": f"https://api.planet.com{ORDERS}?page_size=1&state=success&source_type=all"
    }
    assert [order["_links"].keys() for order in page.json["orders"]] == [{"_self"}]
    first = await five("GET", ORDERS, ("page_size", "2"), ("source_type", "all"))
    query = dict(parse_qsl(urlsplit(first.json["_links"]["next"]).query))
    assert query.pop("page_marker")
    assert query == {"page_size": "2", "source_type": "all"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("state", "finished"),
        ("source_type", "maps"),
        ("created_on", "yesterday"),
        ("created_on", "2026-01-01"),
        ("created_on", "2026-01-01T00:00:00"),
        ("created_on", "2026-13-01T00:00:00Z"),
        ("created_on", "../.."),
        ("last_modified", "2026-01-02T00:00:00Z/2026-01-01T00:00:00Z"),
        ("last_modified", "2026-01-02T00:00:00Z/"),
        ("hosting", "perhaps"),
        ("sort_by", "size"),
        ("sort_by", "name SIDEWAYS"),
        ("sort_by", "name,"),
        ("user_id", "me"),
        ("page_size", "0"),
        ("page_size", "501"),
        ("page_size", "many"),
        ("page_marker", "2021-01-17T02:06:01Z"),
        ("page_marker", "WzEsMl0="[:-1]),
        ("page_marker", "Wy0xLDJd"),
        ("page_marker", "WyJ4Iiwx"),
        ("page_marker", "WyJ4IiwxXQ=="),
    ],
)
async def test_wrong_values_are_refused(call: Caller, name: str, value: str) -> None:
    """A value that a parameter cannot have is a 400 in the documented shape, naming the parameter."""
    reply = await call("GET", ORDERS, (name, value))
    assert reply.status == 400
    assert list(reply.json["field"]) == [name]
    assert reply.json["field"][name][0]["message"]
    assert reply.json["general"] == [{"message": "Unable to list orders"}]


async def test_the_page_size_is_bounded_and_has_a_default(clock: FakeClock) -> None:
    """Without `page_size` a page has the simulator's default number of orders; 500 is the maximum."""
    call = Caller(Simulator(clock=clock, limits=Limits.unlimited(), page_size=3))
    for _ in range(5):
        await call.create()
    assert len((await call("GET", ORDERS)).json["orders"]) == 3
    assert len((await call("GET", ORDERS, ("page_size", "500"))).json["orders"]) == 5


SORTS = [
    "",
    "created_on",
    "last_modified",
    "last_modified DESC",
    "name",
    "name DESC,created_on",
    "state,name DESC",
]


@st.composite
def populations(draw: st.DrawFn) -> list[tuple[str, float, float]]:
    """Orders as name, seconds after the one before, seconds in the queue; many are of the same moment."""
    return draw(
        st.lists(
            st.tuples(
                st.sampled_from("abc"), st.sampled_from([0.0, 0.0, 1.0]), st.sampled_from([0.0, 1.0, 9.0])
            ),
            max_size=25,
        )
    )


async def _walked(
    orders: list[tuple[str, float, float]], page_size: int, sort_by: str
) -> tuple[list[Any], list[Any]]:
    clock = FakeClock()
    seconds = iter([queue for _, _, queue in orders])
    simulator = Simulator(
        clock=clock,
        limits=Limits.unlimited(),
        plan=lambda _, __: OrderPlan(queue_seconds=next(seconds), run_seconds=3),
    )
    call = Caller(simulator)
    for name, pause, _ in orders:
        clock.advance(pause)
        await call.create(scenes(name))
    found: list[Any] = []
    params = [("page_size", str(page_size)), *([("sort_by", sort_by)] if sort_by else [])]
    reply = await call("GET", ORDERS, *params)
    while following := reply.json["_links"].get("next"):
        assert len(reply.json["orders"]) == page_size, "only the last page is short"
        found += reply.json["orders"]
        reply = await call("GET", following)
    found += reply.json["orders"]
    return found, list(simulator.orders.values())


@pytest.mark.no_cover
@settings(max_examples=80, deadline=None)
@given(populations(), st.integers(1, 7), st.sampled_from(SORTS))
def test_pages_give_each_order_once_and_sorted(
    orders: list[tuple[str, float, float]], page_size: int, sort_by: str
) -> None:
    """Any number of orders in pages of any size: exactly the orders, once, in order, whatever they share."""
    found, stored = anyio.run(_walked, orders, page_size, sort_by)
    expected = sorted(
        stored,
        key=lambda order: order.number,
        reverse=not sort_by or "DESC" in sort_by.split(",", maxsplit=1)[0],
    )
    attributes = {"created_on": "created", "last_modified": "modified", "name": "name", "state": "state"}
    for part in reversed(sort_by.split(",") if sort_by else ["created_on DESC"]):
        name, _, direction = part.partition(" ")
        expected.sort(key=lambda order: getattr(order, attributes[name]), reverse=direction == "DESC")
    assert [order["id"] for order in found] == [order.id for order in expected]


@pytest.mark.parametrize("sort_by", ["", "name DESC", "created_on DESC"])
async def test_new_orders_do_not_disturb_paging(call: Caller, sort_by: str) -> None:
    """Orders that are created between two pages, at the same moment, repeat nothing and hide nothing."""
    for number in range(7):
        await call.create(scenes(f"m{number}"))
    params = [("page_size", "2"), *([("sort_by", sort_by)] if sort_by else [])]
    found: list[str] = []
    reply = await call("GET", ORDERS, *params)
    while True:
        found += [order["name"] for order in reply.json["orders"]]
        await call.create(scenes("z"))
        following = reply.json["_links"].get("next")
        if following is None:
            break
        reply = await call("GET", following)
    assert found == [f"m{number}" for number in reversed(range(7))]


async def test_a_page_marker_belongs_to_its_sorting(call: Caller) -> None:
    """A page marker that is taken to a list sorted by other fields is refused, not misread."""
    for _ in range(3):
        await call.create()
    page = await call("GET", ORDERS, ("page_size", "1"))
    marker = dict(parse_qsl(urlsplit(page.json["_links"]["next"]).query))["page_marker"]
    reply = await call("GET", ORDERS, ("page_marker", marker), ("sort_by", "name"))
    assert reply.status == 400
