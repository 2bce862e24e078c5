"""What a subscription and its results show, and the counts of both."""

import json
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planet_async.errors import DecodeError
from planet_async.models.codec import decode, to_json
from planet_async.models.subscriptions import (
    BulkReply,
    ResultsSummary,
    ResultStatus,
    Subscription,
    SubscriptionResult,
    SubscriptionsSummary,
    SubscriptionStatus,
)

BODY = (Path(__file__).parents[1] / "samples" / "subscriptions" / "subscription.json").read_bytes()

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


def test_a_whole_subscription() -> None:
    """The attributes of a subscription are the fields of the API, under its names."""
    found = decode(Subscription, BODY)
    assert found.id == "5b0f2c1e-77aa-4c39-9a5e-0c1d2e3f4a5b"
    assert found.status is SubscriptionStatus.FAILED
    assert found.name == "Weinberg Nr. 3 été"
    assert found.created == datetime(2026, 4, 20, 8, 1, 2, 523_330, tzinfo=UTC)
    assert found.updated == datetime(2026, 4, 21, tzinfo=UTC)
    assert found.source["parameters"]["geom_ref"] == "pl:features/my/vineyards/3"
    assert [tool["type"] for tool in found.tools] == ["toar", "clip"]
    assert found.delivery is not None
    assert found.delivery["parameters"]["aws_secret_access_key"] == "<REDACTED>"
    assert found.hosting is None
    assert found.notifications == {
        "webhook": {"url": "https://hook.example/planet", "topics": ["status.all"]}
    }
    assert found.error_hints == {"delivery": "the bucket refuses"}
    assert found.links["results"].endswith("/results")
    assert found.raw == json.loads(BODY)


def test_a_bare_subscription() -> None:
    """A subscription without any of the optional fields is whole; one without an id is none."""
    found = decode(Subscription, b'{"id": "a", "status": "running"}')
    assert (found.name, found.created, found.source, found.tools, found.delivery) == ("", None, {}, (), None)
    assert (found.notifications, found.error_hints, found.links) == (None, {}, {})
    for body in (b'{"status": "running"}', b'{"id": null, "status": "running"}'):
        with pytest.raises(DecodeError, match=r"`\$\.id`"):
            decode(Subscription, body)


@pytest.mark.parametrize("status", list(SubscriptionStatus))
def test_statuses(status: SubscriptionStatus) -> None:
    """Only what has completed, or was cancelled or invalid, has ended; each equals its text."""
    assert status.is_final is (status in {"completed", "cancelled", "invalid"})
    assert str(status) == status.value


def test_unknown_statuses() -> None:
    """A status that Planet adds later is a usable member, which is not final, and always the same one."""
    first = decode(Subscription, b'{"id": "a", "status": "paused"}').status
    assert first == "paused"
    assert first is SubscriptionStatus("paused")
    assert not first.is_final
    assert ResultStatus("held") == "held"
    assert "held" not in list(ResultStatus)
    for text in ("", None, 3):
        with pytest.raises(ValueError, match="is not a valid"):
            SubscriptionStatus(text)  # type: ignore[arg-type]  # as JSON may have it


def test_a_result() -> None:
    """A result names its item and its files."""
    body = {
        "id": "r",
        "status": "success",
        "properties": {"item_id": "20260101_1", "item_types": ["PSScene"], "value": 3},
        "created": "2026-01-02T00:00:00Z",
        "completed": "0001-01-01T00:00:00Z",
        "errors": {"a": "b"},
        "outputs": ["s/20260101_1/x.tif"],
    }
    found = decode(SubscriptionResult, msgspec.json.encode(body))
    assert (found.status, found.item_id) == (ResultStatus.SUCCESS, "20260101_1")
    assert found.outputs == ("s/20260101_1/x.tif",)
    assert found.errors == {"a": "b"}
    assert found.properties["value"] == 3
    assert found.completed is None, "Go's zero time is no time"
    assert found.raw == body
    bare = decode(
        SubscriptionResult, b'{"id": "r", "status": "created", "properties": null, "outputs": null}'
    )
    assert (bare.item_id, bare.outputs, bare.errors, bare.properties) == (None, (), {}, {})


def test_summaries() -> None:
    """A count that the API leaves out is 0; a summary without its counts is none."""
    found = decode(SubscriptionsSummary, b'{"subscriptions": {"running": 3, "resting": 4}}')
    assert (found.subscriptions.running, found.subscriptions.invalid) == (3, 0)
    assert found.raw["subscriptions"]["resting"] == 4
    one = decode(ResultsSummary, b'{"results": {"success": 5}, "subscription": {"status": "pending"}}')
    assert (one.results.success, one.results.failed, one.status) == (5, 0, SubscriptionStatus.PENDING)
    assert decode(ResultsSummary, b'{"results": {}}').status is None
    with pytest.raises(DecodeError, match=r"\$\.subscriptions"):
        decode(SubscriptionsSummary, b"{}")


def test_the_reply_to_a_bulk_creation() -> None:
    """The link to the list of what was created is needed."""
    assert decode(BulkReply, b'{"_links": {"list": "https://x"}}').list_link == "https://x"
    for body in (b"{}", b'{"_links": null}', b'{"_links": {"list": 3}}'):
        with pytest.raises(DecodeError, match=r"_links\.list"):
            _ = decode(BulkReply, body).list_link


@pytest.mark.no_cover
@given(st.dictionaries(texts, json_values, max_size=5), texts, texts)
def test_decode_and_encode_again(extra: dict[str, object], id_: str, status: str) -> None:
    """Whatever the API adds, a subscription is given back whole, and decodes to the same one again."""
    body = {**extra, "id": id_, "status": status}
    encoded = msgspec.json.encode(body)
    for found in (decode(Subscription, encoded), decode(SubscriptionResult, encoded)):
        assert found.raw == body
        assert (found.id, found.status) == (id_, status)
        assert decode(type(found), to_json(found)) == found


@pytest.mark.parametrize(
    ("name", "cls"),
    [
        ("subscription_created_catalog_rrule_2025", Subscription),
        ("subscription_created_planetary_variable_2025", Subscription),
        ("subscription_running_catalog_2025", Subscription),
        ("summary_all_mock", SubscriptionsSummary),
        ("summary_one_mock", ResultsSummary),
    ],
)
def test_recorded_bodies(samples: Path, name: str, cls: type[Subscription]) -> None:
    """Each recorded body decodes, and nothing of it is lost."""
    body = (samples / "subscriptions" / f"{name}.json").read_bytes()
    assert decode(cls, body).raw == json.loads(body)


def test_recorded_results(samples: Path) -> None:
    """Each recorded result decodes, with its files, and nothing of it is lost."""
    for body in json.loads((samples / "subscriptions" / "results_items_catalog_2025.json").read_bytes()):
        found = decode(SubscriptionResult, msgspec.json.encode(body))
        assert found.raw == body
        assert found.item_id == body["properties"]["item_id"]
        assert list(found.outputs) == body["outputs"]
