"""From bytes to records: nothing lost, nothing but DecodeError."""

import copy
import json
import pickle
import string
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planet_async.errors import DecodeError
from planet_async.http import Request
from planet_async.models.bulk import BulkFailure, BulkResult
from planet_async.models.codec import decode, to_json
from planet_async.models.order_request import OrderRequest, SceneProduct
from planet_async.models.orders import (
    BulkCancelReply,
    DownloadedOrder,
    Manifest,
    Order,
    OrderCounts,
    OrderResult,
    OrderState,
    OrderStats,
)
from planet_async.models.subscription_request import SubscriptionWebhook
from planet_async.models.tasking import PricingFailure
from planet_async.models.tools import Merge

BODIES = Path(__file__).parents[1] / "samples" / "orders"
ORDERS = sorted(BODIES.glob("order_*.json"))
REQUEST = Request("GET", "https://api.planet.com/compute/ops/orders/v2/x", operation="orders.get")

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)

# A busy machine is no reason to fail.
calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def order(**fields: object) -> bytes:
    return json.dumps({"id": "a", "state": "queued", **fields}).encode()


def parts(found: object) -> list[object]:
    """Read everything that is decoded late."""
    if isinstance(found, BulkCancelReply):
        return [found.cancelled]
    if isinstance(found, Manifest):
        return [(file.digests, file.annotations) for file in found.files]
    if isinstance(found, Order):
        return [
            found.products,
            found.tools,
            found.delivery,
            found.hosting,
            found.notifications,
            found.metadata,
            found.results,
        ]
    return []


@pytest.mark.parametrize("path", ORDERS, ids=lambda path: path.stem)
def test_every_field_is_kept(path: Path) -> None:
    """`raw` is the whole object as it came, unknown fields included."""
    assert decode(Order, path.read_bytes()).raw == json.loads(path.read_bytes())


def test_recorded_bodies(samples: Path) -> None:
    """Every recorded body of the Orders API decodes, and nothing in it is lost."""
    folder = samples / "orders"
    kinds: dict[str, type[Order | Manifest | OrderStats | BulkCancelReply]] = {
        "order_": Order,
        "manifest_": Manifest,
        "stats": OrderStats,
        "bulk_cancel": BulkCancelReply,
    }
    decoded = 0
    for path in folder.glob("*.json"):
        for start, cls in kinds.items():
            if path.name.startswith(start):
                found = decode(cls, path.read_bytes())
                assert found.raw == json.loads(path.read_bytes())
                decoded += 1
    page = json.loads((folder / "orders_list_page_2021.json").read_bytes())
    for item in page["orders"]:
        assert decode(Order, json.dumps(item).encode()).raw == item
    for item in json.loads((folder / "webhook_items_docs.json").read_bytes())["items"]:
        assert decode(OrderResult, json.dumps(item).encode()).raw == item
    assert decoded >= 6
    assert len(page["orders"]) == 2


def test_item_of_a_page_keeps_its_own_bytes() -> None:
    """An item decoded from a slice of a page is whole by itself, and does not keep the page in memory."""
    page = b'{"orders":[' + order(extra=[1]) + b"," + order() + b"]}"
    items = msgspec.json.decode(page, type=dict[str, list[msgspec.Raw]])["orders"]
    found = [decode(Order, item) for item in items]
    assert [item.raw for item in found] == [json.loads(order(extra=[1])), json.loads(order())]
    assert isinstance(found[0]._json, bytes)  # and no view of the page


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-04-20T08:01:02Z", datetime(2026, 4, 20, 8, 1, 2, tzinfo=UTC)),
        ("2026-04-20T08:01:02.5Z", datetime(2026, 4, 20, 8, 1, 2, 500_000, tzinfo=UTC)),
        ("2026-04-20T08:01:02.52333Z", datetime(2026, 4, 20, 8, 1, 2, 523_330, tzinfo=UTC)),
        ("2026-04-20T08:01:02.123456789Z", datetime(2026, 4, 20, 8, 1, 2, 123_457, tzinfo=UTC)),
        ("2026-04-20T10:01:02+02:00", datetime(2026, 4, 20, 10, 1, 2, tzinfo=timezone(timedelta(hours=2)))),
        ("2026-04-20T08:01:02", datetime(2026, 4, 20, 8, 1, 2, tzinfo=UTC)),
        ("0001-01-01T00:00:00.000Z", None),
        ("0001-01-01T00:00:00+05:00", None),
        ("2026-02-30T00:00:00Z", None),
        ("yesterday", None),
        (None, None),
        (17, None),
    ],
)
def test_times(text: object, moment: datetime | None) -> None:
    """Times come with 0 to 9 digits and any zone; Go's zero time, and what is no time, are None."""
    found = decode(Order, order(created_on=text, last_modified="2026-01-01T00:00:00Z"))
    assert found.created_on == moment
    assert found.created_on is None or found.created_on.tzinfo is not None
    assert found.last_modified == datetime(2026, 1, 1, tzinfo=UTC)
    assert found.raw["created_on"] == text


@pytest.mark.parametrize(
    ("field", "default"),
    [
        ("name", ""),
        ("last_message", ""),
        ("error_hints", ()),
        ("order_type", None),
        ("source_type", None),
        ("subscription_id", None),
        ("created_on", None),
    ],
)
@pytest.mark.parametrize("value", [None, {"a": 1}, [3], True, 1.5])
def test_odd_optional_field_counts_as_absent(field: str, default: object, value: object) -> None:
    """One odd optional field does not cost the caller the order, nor its other fields."""
    other = "order_type" if field == "name" else "name"
    found = decode(Order, order(**{field: value, other: "kept"}))
    assert getattr(found, field) == default
    assert getattr(found, other) == "kept"
    assert found.raw[field] == value


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"state": "queued"}', "`$.id` is missing"),
        (b'{"id": "a"}', "`$.state` is missing"),
        (b'{"id": 5, "state": "queued"}', "`$.id`: expected `str`, got `int`"),
        (b'{"id": "", "state": "queued"}', "`$.id`: expected `str` of length >= 1"),
        (b'{"id": "a", "state": null}', "`$.state`: expected `str`, got `null`"),
        (b'{"id": "a", "state": ""}', "`$.state`: invalid enum value ''"),
        (b'{"id": "a", "state": ["queued"]}', "`$.state`: expected `str`, got `array`"),
        (b"<html><h1>502 Bad Gateway</h1></html>", "502 Bad Gateway"),
        (b"[]", "expected a JSON object; got a list"),
        (b'"text"', "got a text"),
        (b"12", "got a number: '12'"),
        (b"123456789012345678", "got a number"),
        (b"true", "got true"),
        (b"", "it is empty"),
        (b'{"id": "a", "state": "que', "expected a JSON object"),
        (b'{"id": "a", "state": NaN}', "expected a JSON object"),
        (b'{"id": "\xff", "state": "queued"}', "expected a JSON object"),
        (b'{"id": "\\ud800 and more", "state": "queued"}', "expected a JSON object"),
        (b'{"id": ' + b"[" * 100_000, "nested too deeply"),
    ],
)
def test_a_response_that_cannot_be_used(body: bytes, says: str) -> None:
    """A response that cannot be used is a DecodeError which says what is wrong, and to which request."""
    with pytest.raises(DecodeError) as caught:
        decode(Order, body, request=REQUEST)
    assert says in str(caught.value)
    assert caught.value.request == REQUEST
    assert len(caught.value.message) < 400
    assert caught.value.__context__ is None  # an error of a library may hold the whole body


def test_token_is_not_shown() -> None:
    """The start of an odd response is shown without queries of links: a token there fetches the file."""
    whole = (BODIES / "order_success.json").read_bytes().replace(b"  ", b"")
    body = b'{"x":"https://api.planet.com/download/?token=sesame", ' + whole[1:-5]
    with pytest.raises(DecodeError, match=r"download/\?\.\.\.") as caught:
        decode(Order, body)
    assert "sesame" not in str(caught.value)


def test_late_failure_is_a_decode_error() -> None:
    """A part that was not read before and is no JSON is a DecodeError when it is read."""
    found = decode(Order, b'{"id": "a", "state": "queued", "x": "\xff"}')
    assert found.id == "a"
    with pytest.raises(DecodeError, match="expected a JSON object"):
        _ = found.raw


def test_result_without_a_name() -> None:
    """A result that cannot be downloaded is said to be one, with its place, and not left out silently."""
    found = decode(Order, order(_links={"results": [{"name": "a/b"}, {"delivery": "success"}]}))
    with pytest.raises(DecodeError, match=r"`\$\._links\.results\[1\]\.name` is missing"):
        _ = found.results


@pytest.mark.parametrize("links", [None, [], "x", {"results": None}, {"results": {}}, {}])
def test_no_results(links: object) -> None:
    """An order without results has none."""
    assert decode(Order, order(_links=links)).results == ()


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda found: pickle.loads(pickle.dumps(found))])
@pytest.mark.parametrize(
    "body", [(BODIES / "order_success.json").read_bytes(), order(name=None), order(state="new")]
)
def test_copies(again: Callable[[Order], Order], body: bytes) -> None:
    """A copy has everything that the order has, `raw` too, and is equal to it."""
    found = decode(Order, body)
    copied = again(found)
    assert copied == found
    assert hash(copied) == hash(found)
    assert copied.raw == found.raw
    assert copied.results == found.results
    assert copied.state is found.state
    assert copied.created_on == found.created_on


def test_equal_by_content() -> None:
    """Orders are equal if all that the API said of them is, in whatever order it came."""
    one = decode(Order, b'{"id": "a", "state": "queued", "x": 1}')
    assert one == decode(Order, b'{"x": 1, "state": "queued", "id": "a"}')
    assert hash(one) == hash(decode(Order, b'{"x": 1, "state": "queued", "id": "a"}'))
    assert one != decode(Order, b'{"id": "a", "state": "queued", "x": 2}')
    assert one != "a"
    assert decode(OrderResult, b'{"name": "a"}') != decode(Manifest, b'{"name": "a"}')


def test_made_by_hand() -> None:
    """An order made by hand, as users' tests do, has its own fields as `raw`, and equals the decoded one."""
    made = Order(id="a", state=OrderState.QUEUED, name="b")
    assert made.raw == {"id": "a", "state": "queued", "name": "b"}
    assert made == decode(Order, order(name="b"))
    assert made.results == ()
    assert pickle.loads(pickle.dumps(made)) == made


def test_repr_is_short_and_shows_no_token() -> None:
    """A repr says which, in what state, and no more."""
    found = decode(Order, (BODIES / "order_failed.json").read_bytes())
    assert repr(found) == f"Order(id={found.id!r}, state=<OrderState.FAILED: 'failed'>, name='no access')"
    success = decode(Order, (BODIES / "order_success.json").read_bytes())
    assert "token" not in repr(success.results)


@pytest.mark.no_cover
@calm
@given(st.dictionaries(st.text(string.ascii_letters, min_size=1), json_values, max_size=5))
def test_round_trip(extra: dict[str, Any]) -> None:
    """Whatever fields come with an order: it keeps them, and is written and read again as the same."""
    body = {**extra, "id": "a", "state": "running"}
    found = decode(Order, json.dumps(body).encode())
    assert found.raw == body
    assert decode(Order, to_json(found)) == found


@st.composite
def mutated_bytes(draw: st.DrawFn) -> bytes:
    """A body with some of its bytes changed, cut out, or put in."""
    body = bytearray(draw(st.sampled_from([path.read_bytes() for path in sorted(BODIES.glob("*.json"))])))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(body)))
        end = min(len(body), start + draw(st.integers(0, 40)))
        body[start:end] = draw(
            st.binary(max_size=12) | st.sampled_from([b"null", b"1e999", b"[" * 3000, b'"\\ud800"'])
        )
    return bytes(body)


@st.composite
def mutated_json(draw: st.DrawFn) -> bytes:
    """A body with values at any depth replaced by other JSON."""

    def mutate(value: object) -> object:
        if draw(st.integers(0, 9)) == 0:
            return draw(json_values)
        if isinstance(value, dict):
            return {key: mutate(item) for key, item in value.items() if draw(st.integers(0, 19))}
        if isinstance(value, list):
            return [mutate(item) for item in value]
        return value

    bodies = [json.loads(path.read_bytes()) for path in sorted(BODIES.glob("*.json"))]
    return json.dumps(mutate(draw(st.sampled_from(bodies)))).encode()


@pytest.mark.no_cover
@calm
@given(mutated_bytes() | mutated_json() | st.binary(max_size=60))
def test_only_decode_errors(body: bytes) -> None:
    """Any body leads to a record or a DecodeError, also when its parts are read; no other error."""
    for cls in (Order, Manifest, OrderStats, BulkCancelReply):
        try:
            found = decode(cls, body)
            assert parts(found) == parts(found)
        except DecodeError as error:
            assert str(error)  # noqa: PT017 - either way is right, so there is nothing to wait for


@pytest.mark.parametrize("start", ["", "Basic ", "said: "])
def test_not_even_the_beginning_of_a_key_is_shown(start: str) -> None:
    """What came instead of an order is described by its keys, and those may repeat what was sent."""
    secret = "UExBS2V4YW1wbGUwMTIzNDU2Nzg5c2VjcmV0Og"
    with pytest.raises(DecodeError) as caught:
        decode(Order, json.dumps({f"{start}{secret}": 1, "status": "odd"}).encode())
    assert secret[:6] not in str(caught.value)
    assert "status" in str(caught.value)


def test_a_short_secret_of_the_request_is_not_shown_either() -> None:
    """A text in place of a response may repeat what was sent: a password, as short as a word."""
    delivery = {"s3_compatible": {"access_key_id": "minioadmin", "secret_access_key": "hunter22"}}
    body = json.dumps({"delivery": delivery}).encode()
    request = Request("POST", REQUEST.url, body=body, operation="orders.create")
    with pytest.raises(DecodeError) as caught:
        decode(Order, b"got minioadmin and hunter22", request=request, content_type="text/plain")
    assert "'got ... and ...'" in str(caught.value)


MILLIONS = b"[" + b"{}," * 2_000_000 + b"{}]"


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("body", "says"),
    [
        (MILLIONS, "got a list"),
        (b'{"id": "a", "state": %b}' % MILLIONS, "`$.state`: expected `str`, got `array`"),
        (b'{"id": "a", "name": %b}' % MILLIONS, "`$.state` is missing"),
        (None, "`$.id` is missing"),  # made by the test: the others need no time
    ],
    ids=["a list", "a required field", "an optional field", "a million fields"],
)
def test_a_huge_useless_response_is_not_built(body: bytes | None, says: str) -> None:
    """The error needs a copy or two of the body at most: nothing of it becomes an object."""
    body = body or b"{" + b",".join(b'"%d":0' % n for n in range(1_000_000)) + b"}"
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError) as caught:
            decode(Order, body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert says in str(caught.value)
    assert len(str(caught.value)) < 400
    assert peak < 3 * len(body)


def test_a_huge_odd_field_costs_no_order() -> None:
    """An optional field of millions of values counts as not given."""
    found = decode(Order, b'{"id": "a", "state": "queued", "name": %b}' % MILLIONS)
    assert (found.id, found.name) == ("a", "")


@pytest.mark.parametrize(
    "record",
    [
        decode(Order, (BODIES / "order_success.json").read_bytes()),
        Order(id="a", state=OrderState.QUEUED),
        OrderCounts(1, 2),
        BulkResult(1, (BulkFailure("a", "b"),)),
        DownloadedOrder(Order(id="a", state=OrderState.SUCCESS), (Path("a/b.tif"),)),
        PricingFailure("no"),
        OrderRequest("x", [SceneProduct(["a"], "b", "c")], tools=[Merge()]),
        SubscriptionWebhook("https://x", ["status.all"]),
    ],
    ids=lambda record: type(record).__name__,
)
def test_every_record_has_to_dict(record: Any) -> None:
    """It is plain JSON, the same that is sent, the caller may change it, and it is read again."""
    plain = record.to_dict(signed_links=True)
    assert type(record).from_dict(plain) == record
    assert json.loads(record.to_json(signed_links=True)) == plain
    assert json.loads(to_json(record)) == plain
    before = json.dumps(plain)
    plain["changed"] = True
    assert json.dumps(record.to_dict(signed_links=True)) == before
