"""The Orders API of the simulator: routes, states, cancelling, credentials."""

import math
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import msgspec
import pytest

from planet_async.errors import ConnectError
from planet_async.http import Request
from planet_async.simulator import Limits, OrderPlan, Simulator
from planet_async.testing import FakeClock
from simulator.simulated import CREDENTIAL, ORDERS, Caller, basemaps, scenes

pytestmark = pytest.mark.anyio

BULK = "/compute/ops/bulk/orders/v2/cancel"
STATS = "/compute/ops/stats/orders/v2"


async def test_a_new_order_looks_as_recorded(call: Caller, samples: Path) -> None:
    """A created order has exactly the fields of the recorded body, and echoes the request."""
    recorded = msgspec.json.decode(
        (samples / "orders" / "order_created_scenes_reproject_2025.json").read_bytes()
    )
    asked = {name: recorded[name] for name in ("name", "products", "tools")}
    order = await call.create(asked)
    assert order.keys() == recorded.keys()
    assert {name: order[name] for name in asked} == asked
    assert order["state"] == "queued"
    assert order["last_message"] == recorded["last_message"]
    assert order["created_on"] == order["last_modified"] == "2026-01-01T00:00:00Z"
    assert order["_links"] == {"_self": f"https://api.planet.com{ORDERS}/{order['id']}"}


async def test_the_request_is_echoed_without_its_secrets(call: Caller) -> None:
    """Documented fields are returned, unknown ones are not, secrets are redacted, null counts as absent."""
    delivery = {
        "archive_type": "zip",
        "amazon_s3": {
            "bucket": "b",
            "aws_region": "eu-west-1",
            "aws_access_key_id": "AKIA-SECRET",
            "aws_secret_access_key": "s-SECRET",
        },
    }
    fields: dict[str, Any] = {
        "source_type": "scenes",
        "order_type": "partial",
        "subscription_id": 7,
        "notifications": {"email": True},
        "metadata": {"stac": {}},
    }
    order = await call.create(scenes(delivery=delivery, surprise=1, tools=None, **fields))
    assert {name: order[name] for name in fields} == fields
    assert "surprise" not in order
    assert "tools" not in order
    assert order["delivery"]["amazon_s3"] == {
        "bucket": "b",
        "aws_region": "eu-west-1",
        "aws_access_key_id": "<REDACTED>",
        "aws_secret_access_key": "<REDACTED>",
    }
    assert "SECRET" not in repr(call.simulator.orders[order["id"]].request)


async def test_states_move_at_their_own_moment(call: Caller, clock: FakeClock) -> None:
    """It is queued for 5 s and runs for 30 s; `last_modified` is when it changed, not when that was seen."""
    order_id = (await call.create())["id"]
    clock.advance(4.999)
    assert (await call.order(order_id))["state"] == "queued"
    clock.advance(0.001)
    running = await call.order(order_id)
    assert (running["state"], running["last_modified"]) == ("running", "2026-01-01T00:00:05Z")
    clock.advance(100.5)
    done = await call.order(order_id)
    assert (done["state"], done["last_modified"]) == ("success", "2026-01-01T00:00:35Z")
    assert done["last_message"] == "Manifest delivery completed"
    assert len({running["last_message"], done["last_message"]}) == 2


async def test_results_grow_while_the_order_runs(call: Caller, clock: FakeClock) -> None:
    """A queued order has none; a running one has more and more, the last one pending; then the manifest."""
    order_id = (await call.create())["id"]
    assert "results" not in (await call.order(order_id))["_links"]
    seen = []
    clock.advance(5)
    for _ in range(4):
        results = (await call.order(order_id))["_links"]["results"]
        assert [result["delivery"] for result in results] == ["success"] * (len(results) - 1) + ["pending"]
        assert "location" not in results[-1]
        seen.append(len(results))
        clock.advance(7.5)
    assert seen == [1, 2, 3, 4]
    results = (await call.order(order_id))["_links"]["results"]
    assert {result["delivery"] for result in results} == {"success"}
    assert results[-1]["name"] == f"{order_id}/manifest.json"


async def test_a_plan_can_decide_by_order(clock: FakeClock) -> None:
    """A callable plan gets the request and its number, and returns times, end and hints; inf is for ever."""

    def plan(order: Mapping[str, Any], number: int) -> OrderPlan:
        match order["name"]:
            case "broken":
                return OrderPlan(queue_seconds=0, run_seconds=1, state="failed", error_hints="bad clip")
            case "stuck":
                return OrderPlan(queue_seconds=0, run_seconds=math.inf)
            case "no quota":
                return OrderPlan(refuse=f"Quota check failed - Insufficient quota: order {number}")
        return OrderPlan(queue_seconds=math.inf)

    call = Caller(Simulator(clock=clock, limits=Limits.unlimited(), plan=plan))
    broken, stuck, queued = [
        (await call.create(scenes(name)))["id"] for name in ("broken", "stuck", "patient")
    ]
    refused = await call("POST", ORDERS, json=scenes("no quota"))
    assert refused.status == 400
    assert refused.json == {
        "field": {"Details": [{"message": "Quota check failed - Insufficient quota: order 3"}]},
        "general": [{"message": "Unable to accept order"}],
    }
    clock.advance(1e6)
    failed = await call.order(broken)
    assert (failed["state"], failed["error_hints"]) == ("failed", ["bad clip"])
    assert "results" not in failed["_links"]
    assert (await call.order(stuck))["state"] == "running"
    assert (await call.order(queued))["state"] == "queued"


async def test_order_of_no_seconds_is_done_at_once(clock: FakeClock) -> None:
    """With no time in the queue and none to run, an order is done at the next request, and listed once."""
    plan = OrderPlan(queue_seconds=0, run_seconds=0)
    call = Caller(Simulator(clock=clock, limits=Limits.unlimited(), plan=plan))
    created = await call.create()
    assert created["state"] == "queued"
    assert (await call.order(created["id"]))["state"] == "success"
    assert await call.listed(("sort_by", "last_modified")) == ["farm"]


async def test_seconds_need_not_be_whole(clock: FakeClock) -> None:
    """A plan of fractions of a second moves the order at exactly those."""
    plan = OrderPlan(queue_seconds=0.25, run_seconds=0.5)
    call = Caller(Simulator(clock=clock, limits=Limits.unlimited(), plan=plan))
    order_id = (await call.create())["id"]
    clock.advance(0.25)
    running = await call.order(order_id)
    assert (running["state"], running["last_modified"]) == ("running", "2026-01-01T00:00:00.25Z")
    clock.advance(0.5)
    assert (await call.order(order_id))["last_modified"] == "2026-01-01T00:00:00.75Z"


async def test_cancel_takes_a_queued_order_only(call: Caller, clock: FakeClock) -> None:
    """PUT returns the cancelled order once; then, or when it runs, 409; it stays cancelled."""
    first, second = (await call.create())["id"], (await call.create())["id"]
    clock.advance(1)
    cancelled = await call("PUT", f"{ORDERS}/{first}")
    assert cancelled.status == 200
    assert (cancelled.json["state"], cancelled.json["last_modified"]) == ("cancelled", "2026-01-01T00:00:01Z")
    clock.advance(10)
    for order_id in (first, second):
        refused = await call("PUT", f"{ORDERS}/{order_id}")
        assert (refused.status, refused.json) == (409, {"message": "Order not in a cancellable state"})
    assert (await call.order(first))["state"] == "cancelled"
    assert "results" not in (await call.order(first))["_links"]


async def test_unknown_orders(call: Caller) -> None:
    """GET and PUT of an unknown id are 404, each with the words that were recorded."""
    unknown = str(uuid4())
    got = await call("GET", f"{ORDERS}/{unknown}")
    assert (got.status, got.json) == (404, {"message": f"Could not load order ID: {unknown}."})
    put = await call("PUT", f"{ORDERS}/{unknown}")
    assert (put.status, put.json) == (404, {"message": f"No such order ID: {unknown}."})


async def test_bulk_cancel_of_some(call: Caller, clock: FakeClock) -> None:
    """The bulk response counts what was cancelled, and names the others with the reason."""
    running = (await call.create())["id"]
    clock.advance(6)
    queued, unknown = (await call.create())["id"], str(uuid4())
    reply = await call("POST", BULK, json={"order_ids": [queued, running, unknown]})
    assert reply.status == 200
    failures = [
        {"order_id": running, "message": "Order not in a cancellable state"},
        {"order_id": unknown, "message": f"No such order ID: {unknown}."},
    ]
    assert reply.json == {"result": {"succeeded": {"count": 1}, "failed": {"count": 2, "failures": failures}}}
    assert call.simulator.orders[queued].state == "cancelled"


async def test_bulk_cancel_of_all(call: Caller, clock: FakeClock) -> None:
    """An empty object cancels all that are queued, and nothing else."""
    running = (await call.create())["id"]
    clock.advance(6)
    for _ in range(3):
        await call.create()
    reply = await call("POST", BULK, json={})
    assert reply.json["result"] == {"succeeded": {"count": 3}, "failed": {"count": 0, "failures": []}}
    assert call.simulator.orders[running].state == "running"


@pytest.mark.parametrize(
    "ids",
    [[], [str(uuid4())] * 10_001, ["not-a-uuid"], [str(uuid4()), 7], "all", None],
    ids=["none", "too many", "no UUID", "a number", "a word", "null"],
)
async def test_bulk_cancel_refuses_bad_ids(call: Caller, ids: object) -> None:
    """Only 1 to 10,000 UUIDs are taken, and nothing is cancelled else."""
    await call.create()
    reply = await call("POST", BULK, json={"order_ids": ids})
    assert reply.status == 400
    assert list(reply.json["field"]) == ["OrderIDs"]
    assert (await call("GET", STATS)).json["user"]["queued_orders"] == 1


async def test_ten_thousand_can_be_cancelled_at_once(call: Caller) -> None:
    """The largest bulk cancel that is documented is taken."""
    reply = await call("POST", BULK, json={"order_ids": [str(uuid4()) for _ in range(10_000)]})
    assert reply.json["result"]["failed"]["count"] == 10_000


async def test_stats_count_the_active_orders(call: Caller, clock: FakeClock) -> None:
    """Queued and running orders are counted as they are now, with the keys of the recorded body."""
    await call.create()
    clock.advance(6)
    cancelled = (await call.create())["id"]
    await call.create()
    await call("PUT", f"{ORDERS}/{cancelled}")
    counts = {"queued_orders": 1, "running_orders": 1}
    assert (await call("GET", STATS)).json == {"organization": counts, "user": counts}
    clock.advance(60)
    assert (await call("GET", STATS)).json["user"] == {"queued_orders": 0, "running_orders": 0}


async def test_full_queue_refuses_orders(clock: FakeClock) -> None:
    """With `max_queued` orders in the queue, create responds 409, until some run."""
    call = Caller(Simulator(clock=clock, limits=Limits.unlimited(), max_queued=2))
    await call.create()
    await call.create()
    refused = await call("POST", ORDERS, json=scenes())
    assert refused.status == 409
    assert "queued" in refused.json["message"]
    clock.advance(5)
    await call.create()


async def test_hosting_adds_its_ids_when_done(call: Caller, clock: FakeClock) -> None:
    """A hosted order has no links; its collection and configuration ids appear with its success, and stay."""
    hosted = scenes(hosting={"sentinel_hub": {"create_configuration": True}})
    requested = scenes(hosting={"sentinel_hub": {"collection_id": "c-1"}})
    created = await call.create(hosted)
    kept = (await call.create(requested))["id"]
    assert created["hosting"] == {"sentinel_hub": {"create_configuration": True}}
    clock.advance(60)
    done = await call.order(created["id"])
    hub = done["hosting"]["sentinel_hub"]
    assert hub.keys() == {"create_configuration", "collection_id", "configuration_id"}
    assert (await call.order(created["id"]))["hosting"] == done["hosting"]
    assert (await call.order(kept))["hosting"] == {"sentinel_hub": {"collection_id": "c-1"}}
    assert not any("location" in result for result in done["_links"]["results"])


async def test_wrong_method_and_unknown_path(call: Caller) -> None:
    """A path with another method is 405 and says what is allowed; an unknown path is 404."""
    wrong = await call("DELETE", ORDERS)
    assert (wrong.status, wrong.headers["allow"]) == (405, "GET, POST")
    wrong = await call("POST", f"{ORDERS}/{uuid4()}")
    assert (wrong.status, wrong.headers["allow"]) == (405, "GET, PUT")
    assert (await call("GET", "/compute/ops/orders/v3")).status == 404
    assert call.simulator.requests["unknown"] == 3


async def test_the_catalogue_is_public_and_the_spec_is_not(call: Caller) -> None:
    """The bundles can be read without a credential; the description of the API cannot."""
    bundles = await call("GET", "/compute/ops/bundles/spec", headers={})
    assert bundles.json["bundles"]["analytic_udm2"]["assets"]["PSScene"]
    assert (await call("GET", "/compute/ops/spec", headers={})).status == 401
    assert ORDERS in (await call("GET", "/compute/ops/spec")).json["paths"]


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        ("Basic c2VjcmV0Og==", 200),
        ("api-key secret", 200),
        ("Bearer secret", 200),
        ("Basic c2VjcmV0OnB3", 401),
        ("api-key other", 401),
        ("Bearer other", 401),
        ("secret", 401),
        ("", 401),
    ],
)
async def test_a_set_key_is_compared(authorization: str, status: int) -> None:
    """With an `api_key` all three forms of it are taken, and nothing else."""
    call = Caller(Simulator(api_key="secret"))
    reply = await call("GET", STATS, headers={"Authorization": authorization} if authorization else {})
    assert reply.status == status
    if status == 401:
        assert "message" in reply.json


@pytest.mark.parametrize(
    ("authorization", "status"),
    [("Basic eDo=", 200), ("api-key x", 200), ("Bearer x", 200), ("Bearer ", 401), ("Digest x", 401)],
)
async def test_any_credential_is_accepted_without_a_key(authorization: str, status: int) -> None:
    """Without an `api_key` there must be a credential of a known form, whatever it is."""
    reply = await Caller(Simulator())("GET", STATS, headers={"authorization": authorization})
    assert reply.status == status


async def test_requests_and_responses_are_counted(call: Caller) -> None:
    """`requests` counts by operation what arrived, `responses` also by status."""
    await call.create()
    await call("POST", ORDERS, json={})
    await call("GET", ORDERS, headers={})
    assert call.simulator.requests == {"orders.create": 2, "orders.list": 1}
    assert call.simulator.responses == {
        ("orders.create", 202): 1,
        ("orders.create", 400): 1,
        ("orders.list", 401): 1,
    }


async def test_a_request_to_another_host_cannot_connect(simulator: Simulator) -> None:
    """In process a request to a third origin fails as a connection that cannot be made."""
    with pytest.raises(ConnectError, match=r"elsewhere\.example"):
        await simulator.send(Request("GET", "https://elsewhere.example/compute/ops/orders/v2"))


async def test_a_streamed_response_counts_as_open(simulator: Simulator) -> None:
    """`open_responses` counts responses that are not closed; those not streamed are read at once."""
    url = simulator.base_url + ORDERS
    await simulator.send(Request("GET", url, headers=CREDENTIAL))
    assert simulator.open_responses == 0
    response = await simulator.send(Request("GET", url, headers=CREDENTIAL, stream=True))
    assert simulator.open_responses == 1
    await response.aclose()
    assert simulator.open_responses == 0
    await simulator.aclose()


async def test_same_seed_same_ids() -> None:
    """Two simulators with one seed make the same ids, with another seed others."""
    callers = [Caller(Simulator(seed=seed)) for seed in (1, 1, 2)]
    first, second, other = [(await caller.create(basemaps()))["id"] for caller in callers]
    assert first == second != other


@pytest.mark.no_cover
def test_a_hundred_thousand_orders(clock: FakeClock) -> None:
    """Twenty pages of lists by time take less than one by name, for which all orders are sorted."""
    call = Caller(Simulator(clock=clock, limits=Limits.unlimited()))
    order_id = anyio.run(call.create)["id"]
    body, later = call.simulator.orders[order_id].request, OrderPlan(queue_seconds=9)
    for number in range(1, 100_000):
        call.simulator._orders.add(str(number), body, later)
    clock.advance(5)
    assert anyio.run(call.order, order_id)["state"] == "running"

    async def pages(*params: tuple[str, str], times: int = 1) -> tuple[str, float]:
        began = time.process_time()
        replies = [await call("GET", ORDERS, ("page_size", "1"), *params) for _ in range(times)]
        return replies[0].json["orders"][0]["id"], time.process_time() - began

    changed = ("last_modified", "2026-01-01T00:00:05Z/.."), ("sort_by", "last_modified")
    anyio.run(partial(pages, *changed))  # the first list takes account of all that has changed
    changed_id, by_change = anyio.run(partial(pages, *changed, times=10))
    newest_id, by_creation = anyio.run(partial(pages, times=10))
    assert (changed_id, newest_id) == (order_id, "99999")
    assert by_change + by_creation < anyio.run(partial(pages, ("sort_by", "name")))[1]


class Ticking(FakeClock):
    """A clock that moves whenever it is read, as real ones do."""

    tick = 0.0

    def monotonic(self) -> float:
        self.advance(self.tick)
        return super().monotonic()


async def test_an_order_is_of_one_moment() -> None:
    """However the clock moves while a response is made, a finished order has all its links."""
    clock = Ticking()
    plan = OrderPlan(queue_seconds=0.5, run_seconds=0.5)
    call = Caller(Simulator(clock=clock, limits=Limits.unlimited(), plan=plan))
    for number in range(1, 20):
        clock.tick = number / 100
        order_id = (await call.create())["id"]
        while (order := await call.order(order_id))["state"] != "success":
            pass
        assert all("location" in result for result in order["_links"]["results"])
