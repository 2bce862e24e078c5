"""What an order shows, and the responses about many orders."""

import copy
import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from attrs.exceptions import FrozenInstanceError

from planet_async import ApiKey, Planet
from planet_async.errors import DecodeError, InvalidRequest
from planet_async.models.bulk import BulkFailure, BulkResult, FailureReason
from planet_async.models.codec import decode, to_json
from planet_async.models.orders import (
    BulkCancelReply,
    Manifest,
    ManifestFile,
    Order,
    OrderCounts,
    OrderState,
    OrderStats,
)
from planet_async.testing import FakeClock, FakeTransport, reply

BODIES = Path(__file__).parents[1] / "samples" / "orders"


def body(name: str) -> bytes:
    return (BODIES / f"{name}.json").read_bytes()


def test_a_whole_order() -> None:
    """The attributes of an order are the fields of the API, under its names."""
    order = decode(Order, body("order_success"))
    assert order.id == "3d0b7a52-9c41-4a7e-8f0d-6f5f2f6f1a01"
    assert order.state is OrderState.SUCCESS
    assert order.name == "vineyard, Sitten/Sion été"
    assert order.created_on == datetime(2026, 4, 20, 8, 1, 2, 523_330, tzinfo=UTC)
    assert order.last_modified == datetime(2026, 4, 20, 8, 9, 59, tzinfo=UTC)
    assert order.last_message == "Manifest delivery completed"
    assert order.error_hints == ()
    assert (order.order_type, order.source_type, order.subscription_id) == ("partial", "scenes", 4711)
    assert order.products[0]["item_ids"] == ["20260412_101502_33_24c1"]
    assert [next(iter(tool)) for tool in order.tools] == ["clip", "toar"]
    assert order.delivery == {
        "archive_filename": "{{name}}.zip",
        "archive_type": "zip",
        "single_archive": True,
    }
    assert order.notifications is not None
    assert order.notifications["email"] is True
    assert order.metadata == {"stac": {}}
    assert order.hosting is None
    assert order.links["_self"].endswith(order.id)
    assert order.raw["a_field_of_2031"] == {"deep": [1, 2.5, None, True]}


def test_results() -> None:
    """A result has its name and link; Go's zero time means that the link does not expire."""
    image, manifest = decode(Order, body("order_success")).results
    assert image.name.endswith("_clip.tif")
    assert image.delivery == "success"
    assert image.location == "https://api.planet.com/compute/ops/download/?token=made.up.one"
    assert image.expires_at == datetime(2026, 4, 21, 8, 30, 0, 250_000, tzinfo=UTC)
    assert manifest.expires_at is None
    assert manifest.raw["expires_at"] == "0001-01-01T00:00:00.000Z"


def test_bare_order() -> None:
    """An order without any of the optional fields is whole."""
    order = decode(Order, b'{"id": "a", "state": "queued"}')
    assert (order.name, order.created_on, order.error_hints, order.subscription_id) == ("", None, (), None)
    assert (order.products, order.tools, order.delivery, order.links, order.results) == ((), (), None, {}, ())


def test_failed_and_hosted_orders() -> None:
    """Why an order failed, and where it is hosted, is at hand."""
    assert "No access to assets" in decode(Order, body("order_failed")).error_hints[0]
    assert decode(Order, body("order_basemap")).hosting == {
        "sentinel_hub": {"configuration_id": "c0ffee00-0000-4000-8000-000000000001"}
    }


def test_frozen() -> None:
    """A record cannot be changed."""
    order = decode(Order, body("order_failed"))
    with pytest.raises(FrozenInstanceError):
        order.state = OrderState.SUCCESS  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "final"),
    [
        ("queued", False),
        ("running", False),
        ("success", True),
        ("partial", True),
        ("failed", True),
        ("cancelled", True),
    ],
)
def test_states(text: str, final: bool) -> None:
    """The last four states are final; each equals its text."""
    state = OrderState(text)
    assert state.is_final is final
    assert state == text
    assert str(state) == f"{state}" == text
    assert {text: 1}[state] == 1


def test_unknown_state() -> None:
    """A state that Planet adds later is a member that is not final, the same one each time."""
    states = {id(decode(Order, b'{"id": "a", "state": "on hold"}').state) for _ in range(3)}
    state = decode(Order, b'{"id": "b", "name": null, "state": "on hold"}').state
    assert states == {id(state)}
    assert state == "on hold"
    assert isinstance(state, OrderState)
    assert not state.is_final
    assert pickle.loads(pickle.dumps(state)) is state
    assert to_json({"state": state}) == b'{"state":"on hold"}'
    assert len(list(OrderState)) == 6
    with ThreadPoolExecutor(8) as pool:
        assert len(set(map(id, pool.map(lambda _: OrderState("met by many"), range(64))))) == 1


@pytest.mark.parametrize("text", ["", None, 3])
def test_no_state(text: object) -> None:
    """A state is a text that is not empty."""
    with pytest.raises(ValueError, match="is not a valid OrderState"):
        OrderState(text)  # type: ignore[arg-type]  # as JSON may have it


def test_manifest() -> None:
    """A manifest lists the files with sizes and checksums; what is not given is absent, not wrong."""
    manifest = decode(Manifest, body("manifest"))
    image, composite = manifest.files
    assert (image.path, image.media_type, image.size) == (
        "PSScene/20260412_101502_33_24c1_3B_AnalyticMS_clip.tif",
        "image/tiff",
        1048576,
    )
    assert image.digests["md5"] == "b6d81b360a5672d80c27430f39153e2c"
    assert image.annotations["planet/item_id"] == "20260412_101502_33_24c1"
    assert composite.size is None
    assert composite.digests == {"sha512": "ab"}
    assert composite.annotations == {}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"{}", r"`\$\.files` is missing"),
        (b'{"files": {}}', r"`\$\.files` is missing"),
        (b'{"files": [{"path": "a"}, {"size": 1}]}', r"`\$\.files\[1\]\.path` is missing"),
        (b'{"files": [3]}', r"`\$\.files\[0\]`: expected a JSON object; got a number"),
    ],
)
def test_no_manifest(text: bytes, says: str) -> None:
    """A manifest that does not say what the files are is an error: nothing could be checked with it."""
    manifest = decode(Manifest, text)
    with pytest.raises(DecodeError, match=says):
        _ = manifest.files


def test_odd_size_in_a_manifest() -> None:
    """One odd size leaves the rest of the manifest as it is."""
    files = decode(Manifest, b'{"files": [{"path": "a", "size": null}, {"path": "b", "size": 2}]}').files
    assert files == (
        decode(ManifestFile, b'{"path": "a", "size": null}'),
        decode(ManifestFile, b'{"path": "b", "size": 2}'),
    )
    assert [file.size for file in files] == [None, 2]


def test_stats() -> None:
    """The counts of the user and of the organization are distinguished."""
    stats = decode(OrderStats, body("stats"))
    assert stats.user == OrderCounts(queued_orders=3, running_orders=1)
    assert stats.organization == OrderCounts(queued_orders=41, running_orders=7)
    assert json.loads(to_json(stats)) == json.loads(body("stats"))


def test_a_part_by_itself() -> None:
    """A record that is part of another one decodes by itself too."""
    assert decode(OrderCounts, b'{"queued_orders": 1, "running_orders": 2, "new": 3}') == OrderCounts(1, 2)
    with pytest.raises(
        DecodeError, match=r"`\$\.running_orders` is missing \(the object has: queued_orders\)"
    ):
        decode(OrderCounts, b'{"queued_orders": 1}')


def test_stats_without_a_count() -> None:
    """A count that was not given is no zero."""
    with pytest.raises(
        DecodeError,
        match=r"`\$\.user`: .* missing required field `running_orders`; `\$\.organization` is missing",
    ):
        decode(OrderStats, b'{"user": {"queued_orders": 1}}')


def test_cancelled() -> None:
    """What could not be cancelled is reported with its reason."""
    result = decode(BulkCancelReply, body("bulk_cancel")).cancelled
    assert result == BulkResult(
        3,
        (
            BulkFailure(
                "11111111-1111-4111-8111-111111111111",
                "Order not in a cancellable state",
                FailureReason.ALREADY_FINAL,
            ),
            BulkFailure("22222222-2222-4222-8222-222222222222", "No such order", FailureReason.NOT_FOUND),
        ),
    )


@pytest.mark.parametrize(
    "failed", ["", ', "failed": null', ', "failed": {}', ', "failed": {"count": 0, "failures": null}']
)
def test_all_cancelled(failed: str) -> None:
    """No failures may be written in several ways."""
    text = f'{{"result": {{"succeeded": {{"count": 2}}{failed}}}}}'
    assert decode(BulkCancelReply, text.encode()).cancelled == BulkResult(2)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"{}", r"`\$\.result` is missing"),
        (b'{"result": {}}', r"`\$\.result`: object missing required field `succeeded`"),
        (
            b'{"result": {"succeeded": {"count": "2"}}}',
            r"`\$\.result\.succeeded\.count`: expected `int`, got `str`",
        ),
        (
            b'{"result": {"succeeded": {"count": 2}, "failed": {"failures": [{}, 7]}}}',
            r"`\$\.result\.failed\.failures\[1\]`: expected `object`, got `int`",
        ),
    ],
)
def test_unusable_cancel_reply(text: bytes, says: str) -> None:
    """A reply that does not say how many were cancelled is an error."""
    with pytest.raises(DecodeError, match=says):
        decode(BulkCancelReply, text)


def test_a_listed_order_has_no_results() -> None:
    """It does not pretend to have no files: it says where they are, also as a copy."""
    listed = decode(Order, b'{"id": "a", "state": "success"}', listed=True)
    for order in (listed, copy.deepcopy(listed), pickle.loads(pickle.dumps(listed))):
        assert order.is_listed
        with pytest.raises(InvalidRequest, match=r"order a came without results.*orders\.get"):
            _ = order.results
    assert decode(Order, b'{"id": "a", "state": "success"}').results == ()
    whole = decode(Order, body("order_success"), listed=True)
    assert not whole.is_listed
    assert len(whole.results) == 2


@pytest.mark.anyio
async def test_results_of_an_order_from_a_list() -> None:
    """An order that a list returned raises; the same one, returned by `get`, has its files."""
    plain = {"id": str(UUID(int=1)), "state": "success"}
    whole = {**plain, "_links": {"results": [{"name": "a/b"}]}}
    network = FakeTransport([reply(json={"orders": [plain]}), reply(json=whole)])
    async with Planet(credentials=ApiKey("any"), transport=network, clock=FakeClock()) as planet:
        listed = await planet.orders.list().first()
        assert listed is not None
        with pytest.raises(InvalidRequest, match=r"orders\.get"):
            _ = listed.results
        assert [result.name for result in (await planet.orders.get(listed.id)).results] == ["a/b"]
