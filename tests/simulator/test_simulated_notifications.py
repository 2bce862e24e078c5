"""The notifications that the simulator sends to webhooks: when, what, and each once."""

import base64
from collections import Counter
from typing import Any

import msgspec
import pytest
from attrs import evolve

from planet_async import parse_order_notification, parse_subscription_notification
from planet_async.simulator import Limits, OrderPlan, Simulator, SubscriptionPlan
from planet_async.testing import FakeClock
from simulator.simulated import GOOGLE, ORDERS, Caller, catalog, scenes

pytestmark = pytest.mark.anyio

URL = "https://example.com/hook"


def hook(url: str = URL, **fields: Any) -> dict[str, Any]:
    return {"webhook": {"url": url, **fields}}


def said(simulator: Simulator) -> list[Any]:
    return [msgspec.json.decode(request.body or b"") for request in simulator.notifications()]


async def test_an_order_notifies_of_each_item_when_it_is_delivered(call: Caller, clock: FakeClock) -> None:
    """Without `per_order` there is one notification for each file, when it is delivered, as documented."""
    order = await call.create(scenes(items=("a1", "b2"), notifications=hook()))
    clock.advance(20)
    early = said(call.simulator)
    clock.advance(15)
    late = said(call.simulator)
    assert early
    assert late
    results = (await call.order(order["id"]))["_links"]["results"]
    assert [body["items"][0]["name"] for body in early + late] == [result["name"] for result in results]
    assert {body["order_id"] for body in early + late} == {order["id"]}
    assert all(item.keys() == results[0].keys() for body in late for item in body["items"])
    assert said(call.simulator) == []


async def test_an_order_notifies_once_with_per_order(call: Caller, clock: FakeClock) -> None:
    """With `per_order` there is one notification, at the end; its locations are relative."""
    order = await call.create(scenes(notifications=hook(per_order=True)))
    clock.advance(34)
    assert call.simulator.notifications() == []
    clock.advance(1)
    (request,) = call.simulator.notifications()
    assert (request.method, request.url, dict(request.headers)) == (
        "POST",
        URL,
        {"content-type": "application/json"},
    )
    event = parse_order_notification(request.body or b"")
    assert (event.order_id, len(event.items)) == (order["id"], 5)
    location = event.items[-1].location or ""
    assert location.startswith("?token=")
    assert (await call.fetch(f"/compute/ops/download/{location}")).status == 200
    assert call.simulator.notifications() == []


async def test_a_cloud_delivery_has_no_locations(call: Caller, clock: FakeClock) -> None:
    """What goes to a bucket has no location, and never expires."""
    delivery = {"google_cloud_storage": GOOGLE["parameters"]}
    await call.create(scenes(delivery=delivery, notifications=hook(per_order=True)))
    clock.advance(35)
    (request,) = call.simulator.notifications()
    items = parse_order_notification(request.body or b"").items
    assert {(item.location, item.expires_at) for item in items} == {(None, None)}


async def test_orders_that_send_no_notification(clock: FakeClock) -> None:
    """Without a webhook there is none; a failed order has no items; a cancelled one sends none."""
    simulator = Simulator(clock=clock, limits=Limits.unlimited(), plan=OrderPlan(state="failed"))
    call = Caller(simulator)
    for notifications in ({"email": True}, {"webhook": None}, {}, hook()):
        await call.create(scenes(notifications=notifications))
    failed = await call.create(scenes(notifications=hook(per_order=True)))
    cancelled = await call.create(scenes(notifications=hook(per_order=True)))
    assert (await call("PUT", f"{ORDERS}/{cancelled['id']}")).status == 200
    clock.advance(3600)
    assert said(simulator) == [{"order_id": failed["id"], "items": []}]


async def test_a_change_at_the_moment_of_a_check_is_found_by_the_next(clock: FakeClock) -> None:
    """An order that ends just after a check, in the same microsecond, is not lost."""
    plan = OrderPlan(queue_seconds=0, run_seconds=0)
    simulator = Simulator(clock=clock, limits=Limits.unlimited(), plan=plan)
    for _ in range(2):
        order = await Caller(simulator).create(scenes(notifications=hook(per_order=True)))
        assert [body["order_id"] for body in said(simulator)] == [order["id"]]


async def test_credentials_in_the_url_become_a_header(call: Caller, clock: FakeClock) -> None:
    """A user and password in the URL become Basic credentials, decoded."""
    await call.create(scenes(notifications=hook("https://planet:p%40ss@example.com/h?a=1", per_order=True)))
    clock.advance(35)
    (request,) = call.simulator.notifications()
    assert request.url == "https://example.com/h?a=1"
    assert base64.b64decode(request.headers["authorization"].removeprefix("Basic ")) == b"planet:p@ss"


@pytest.mark.parametrize(
    ("topics", "expected"),
    [
        (["status.completed"], {"status.completed": 1}),
        (["delivery.success", "delivery.failed"], {"delivery.success": 4, "delivery.failed": 2}),
        (
            ["status.all"],
            {"status.preparing": 1, "status.pending": 1, "status.running": 1, "status.completed": 1},
        ),
    ],
)
async def test_a_subscription_notifies_of_its_topics(
    topics: list[str], expected: dict[str, int], clock: FakeClock
) -> None:
    """Each change of status and each result is sent once, if its topic was requested."""
    plan = evolve(SubscriptionPlan(), failed=2)
    simulator = Simulator(clock=clock, limits=Limits.unlimited(), subscription_plan=plan)
    call = Caller(simulator)
    created = await call("POST", "/subscriptions/v1", json=catalog(notifications=hook(topics=topics)))
    sent: Counter[str | None] = Counter()
    for _ in range(80):
        for request in simulator.notifications():
            event = parse_subscription_notification(request.body or b"")
            assert event.subscription_id == created.json["id"]
            sent[event.topic] += 1
        clock.advance(1)
    assert sent == expected
