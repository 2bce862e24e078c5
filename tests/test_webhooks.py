"""Notifications as events: all documented shapes, and everything else refused with its reason."""

import pickle
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planet_async import DecodeError, InvalidRequest, OrderEvent, SubscriptionEvent
from planet_async import parse_order_notification as parse_order
from planet_async import parse_subscription_notification as parse_subscription

ORDER_ID = "7a1c0f0e-4b6d-4f55-9a76-1f0a1d6f0c11"
SECRET = "AAA.BBB.CCC"
ITEM = {
    "name": f"{ORDER_ID}/manifest.json",
    "delivery": "success",
    "location": f"?token={SECRET}",
    "expires_at": "2026-05-02T10:14:03.512Z",
}
ORDER = {"id": ORDER_ID, "name": "field/7", "state": "success", "_links": {"results": [ITEM]}}
json = msgspec.json.encode
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["order_id", "items", "id", "name", "state", "_links", "results", "subscription", "topic"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("body", [{"order_id": ORDER_ID, "items": [ITEM]}, ITEM, ORDER])
def test_all_documented_shapes_name_the_order_and_its_files(body: dict[str, object]) -> None:
    """The items of an order, one item alone, and the whole order: each has the id and the items."""
    event = parse_order(json(body))
    assert event.order_id == ORDER_ID
    (item,) = event.items
    assert (item.name, item.delivery, item.location) == (ITEM["name"], "success", f"?token={SECRET}")
    assert item.expires_at is not None
    assert item.expires_at.isoformat() == "2026-05-02T10:14:03.512000+00:00"
    assert event.raw == body


def test_the_whole_order_is_kept_where_it_was_sent() -> None:
    """Only the older shape has an order to show."""
    order = parse_order(json(ORDER)).order
    assert order is not None
    assert (order.id, order.state) == (ORDER_ID, "success")
    assert parse_order(json({"order_id": ORDER_ID, "items": []})).order is None
    assert parse_order(json(ITEM)).order is None


def test_the_composed_sample(samples: Path) -> None:
    """Go's zero time, which a delivery to a cloud has, means that nothing expires."""
    event = parse_order((samples / "orders" / "webhook_items_docs.json").read_bytes())
    assert event.order_id == ORDER_ID
    first, second = event.items
    assert first.expires_at is not None
    assert (second.location, second.expires_at) == (None, None)


def test_an_odd_item_costs_nothing_but_itself() -> None:
    """The event is there for the id; what cannot be used is left out of the items, and stays in `raw`."""
    body = {"order_id": ORDER_ID, "items": [7, {"delivery": "success"}, ITEM, None]}
    event = parse_order(json(body))
    assert [item.name for item in event.items] == [ITEM["name"]]
    assert event.raw == body
    for items in (b"null", b'"x"', b"{}"):
        assert parse_order(b'{"order_id":"x","items":%b}' % items).items == ()


def test_an_event_shows_no_token_and_can_be_kept() -> None:
    """Anyone with a location can fetch the file: `repr` does not show it; pickle and equality keep all."""
    event = parse_order(json({"order_id": ORDER_ID, "items": [ITEM]}))
    assert SECRET not in repr(event) + repr(event.items)
    assert ORDER_ID in repr(event)
    assert pickle.loads(pickle.dumps(event)) == event
    assert pickle.loads(pickle.dumps(event)).items == event.items


@pytest.mark.parametrize(
    ("body", "topic"),
    [
        ({"subscription_id": "s1", "id": "m1", "topic": "status.all"}, "status.all"),
        ({"id": "m1", "topic": "delivery.success", "subscription": {"id": "s1"}}, "delivery.success"),
        ({"id": "m1", "data": {"subscription_id": "s1", "topic": "delivery.match"}}, "delivery.match"),
        ({"id": "m1", "subscription": "s1"}, None),
        ({"events": [{"id": "m1", "subscription": {"id": "s1"}}]}, None),
        ({"id": "s1", "status": "running", "source": {"id": "other"}}, None),
        ({"subscription_id": None, "topic": 7, "subscription": {"id": "s1"}}, None),
    ],
)
def test_a_subscription_is_found_wherever_it_is_named(body: dict[str, object], topic: str | None) -> None:
    """The payload is not documented: the id is looked for, and all is kept in `raw`."""
    event = parse_subscription(json(body))
    assert (event.subscription_id, event.topic) == ("s1", topic)
    assert event.raw == body


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{}", b"[]", b"null", b"{", b"\xff", b'{"order_id":', b'{"name":"x"}', b'{"order_id":""}'),
        *(b'{"name":"PSScene/x.tif"}', b'{"name":"/x"}', b'{"name":"%b"}' % ORDER_ID.encode()),
        b'{"name":"x%b/y"}' % ORDER_ID.encode(),
    ],
)
def test_what_names_nothing_is_refused_with_its_reason(body: bytes) -> None:
    """A DecodeError says what is missing; nothing else comes out, no folder that is not an order's either."""
    with pytest.raises(DecodeError, match=r"order_id|JSON"):
        parse_order(body)
    with pytest.raises(DecodeError, match=r"no id of a subscription|JSON"):
        parse_subscription(body)


@pytest.mark.parametrize("deep", [b'{"order_id":"x","items":' + b"[" * 100_000, b'{"id":' * 100_000])
def test_nesting_without_end_is_refused(deep: bytes) -> None:
    """A body made to exhaust the stack is a DecodeError as any other."""
    with pytest.raises(DecodeError, match="nested too deeply"):
        parse_order(deep)
    with pytest.raises(DecodeError, match="nested too deeply"):
        parse_subscription(deep)


@settings(deadline=None)
@given(st.binary(max_size=40) | values.map(json) | values.map(lambda value: json(value)[:-1]))
def test_any_body_is_an_event_or_a_decode_error(body: bytes) -> None:
    """Whatever comes: no other error, also where the parts are looked at."""
    with suppress(DecodeError):
        event = parse_order(body)
        assert isinstance(event, OrderEvent)
        assert event.order_id
        assert [event.items, event.order, event.raw]
    with suppress(DecodeError):
        found = parse_subscription(body)
        assert isinstance(found, SubscriptionEvent)
        assert found.subscription_id
        assert isinstance(found.raw, dict)


@pytest.mark.parametrize("body", [None, 7, "text", {"order_id": "x"}])
def test_a_body_is_bytes(body: Any) -> None:
    """Something else is an InvalidRequest, never a bare TypeError."""
    for parse in (parse_order, parse_subscription):
        with pytest.raises(InvalidRequest, match="must be bytes"):
            parse(body)
