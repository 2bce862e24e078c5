"""Whatever response comes: a record, or a PlanetError that says what is wrong; never anything else."""

import json
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spine import API

from planet_async import ClientCredentials, PlanetError
from planet_async.errors import BodyTooLarge, DecodeError, StatusError
from planet_async.http import Request, Response
from planet_async.layers.compression import Gunzip, decompressed
from planet_async.layers.status import RaiseForStatus
from planet_async.models.base import Resource
from planet_async.models.codec import decode, to_json
from planet_async.models.orders import BulkCancelReply, Manifest, ManifestFile, Order, OrderResult, OrderStats
from planet_async.models.reports import Report
from planet_async.models.subscriptions import (
    BulkReply,
    ResultsSummary,
    Subscription,
    SubscriptionResult,
    SubscriptionsSummary,
)
from planet_async.models.tasking import (
    BulkJob,
    Capture,
    ImagingWindow,
    ImagingWindowSearch,
    Pricing,
    PricingPreview,
    TaskingOrder,
)
from planet_async.offset_paging import OffsetPaginator
from planet_async.paging import (
    ORDERS_PAGES,
    REPORTS_PAGES,
    RESULTS_PAGES,
    SUBSCRIPTIONS_PAGES,
    TASKING_PAGES,
    PageFormat,
    Paginator,
)
from planet_async.services._csv import CsvParser
from planet_async.testing import FakeClock
from planet_async.webhooks import parse_order_notification, parse_subscription_notification

T = TypeVar("T")
CLASSES: tuple[type[Resource], ...] = (
    *(Order, OrderResult, Manifest, ManifestFile, OrderStats, BulkCancelReply),
    *(Subscription, SubscriptionResult, SubscriptionsSummary, ResultsSummary, BulkReply),
    *(TaskingOrder, Capture, BulkJob, Pricing, PricingPreview, ImagingWindow, ImagingWindowSearch, Report),
)
PAGES = {
    ORDERS_PAGES: Order,
    SUBSCRIPTIONS_PAGES: Subscription,
    RESULTS_PAGES: SubscriptionResult,
    TASKING_PAGES: TaskingOrder,
    REPORTS_PAGES: Report,
}
# Of each class the least that will do, and of each list a page.
SMALL = [
    {
        "id": "a",
        "state": "queued",
        "created_on": "2026-01-01T00:00:00Z",
        "_links": {"results": [{"name": "a/b"}]},
    },
    {"name": "m", "files": [{"path": "b", "size": 1, "digests": {"md5": "0"}, "annotations": {}}]},
    {
        "user": {"queued_orders": 1, "running_orders": 2},
        "organization": {"queued_orders": 1, "running_orders": 2},
    },
    {"result": {"succeeded": {"count": 1}, "failed": {"count": 1, "failures": [{"order_id": "a"}]}}},
    {"id": "a", "status": "running", "source": {"type": "x"}, "_links": {}, "properties": {"item_id": "b"}},
    {"subscriptions": {"running": 3}, "results": {"success": 3}, "subscription": {"status": "running"}},
    {"_links": {"list": "https://api.planet.com/subscriptions/v1?x=1"}},
    {"id": "a", "status": "PENDING", "imaging_windows": [{"id": "b"}], "satellite_types": ["x"]},
    {
        "pricing_details": [{"estimated_quota_cost": 1.5}, {"message": {"error": "no"}}],
        "total_estimated_quota_cost": 2,
    },
    {"report_id": "a", "data_date_start": "2026-01-01", "contents": ["x"], "num_rows": 1, "org_id": 5},
    {"orders": [{"id": "a", "state": "queued"}], "_links": {"next": API + "/list?page=2"}},
    {"subscriptions": [{"id": "a", "status": "running"}], "_links": {"_next": "?page=2"}},
    {"results": [{"id": "a", "status": "PENDING"}], "next": API + "/list?limit=1&offset=1", "count": 3},
    {"reports": [{"report_id": "a"}], "_links": {"_next": "/list?page=2"}},
    {"access_token": "t", "token_type": "Bearer", "expires_in": 60},
    {"field": {"Products": [{"message": "no"}]}, "general": [{"message": "no"}], "detail": "no", "error": {}},
]
FOLDERS = (Path(__file__).parents[1] / "samples", Path(__file__).parents[3] / "shared" / "samples")
FILES = [
    path for folder in FOLDERS for path in sorted(folder.rglob("*.json"))
]  # what is not there is not used
DOCUMENTS = [*map(json.dumps, SMALL), *(path.read_text() for path in FILES)]
CSV = b'id,status,properties.item_id\r\na,SUCCESS,"x ""y"",\nz"\r\nb,FAILED,\r\n'

NASTY = [
    *(
        b"null",
        b"true",
        b"-1",
        b"1.5",
        b"[]",
        b"{}",
        b'""',
        b'"x"',
        b"[1]",
        b'{"id":1,"id":"a"}',
        b"[null,[]]",
    ),
    *(b"NaN", b"-Infinity", b"1e999", b"-0.0", b"1" + b"0" * 30, b"1" + b"0" * 400, b"9" * 5000, b"1e-400"),
    *(b'"\\ud800"', b'"\\udc00\\ud800"', b'"\xff"', b'"\xed\xa0\x80"', b'"\\u0000"', b'"\\x"', b'"\x00"'),
    *(b'"' + b"x" * 20_000 + b'"', b'"' + b"9" * 5000 + b'"', b'"0001-01-01T00:00:00Z"', b'"2026-01-01"'),
    *(b'"9999-12-31T23:59:59.999999999-23:59"', b'"0001-01-01T00:00:00+23:59"', b'"2026-06-30T23:59:60Z"'),
    *(
        b'"http://["',
        b'"https://api.planet.com/?offset=' + b"9" * 5000 + b'"',
        b'"//x:port/"',
        b'"?offset=-1"',
    ),
    *(b"[" * depth + b"]" * depth for depth in (50, 300, 700, 800, 850, 900, 950, 990)),
    *(b'{"message":' * depth + b'"x"' + b"}" * depth for depth in (300, 700, 850, 900, 950)),
    *(b"[" * 100_000, b'{"a":' * 100_000, b"[" * 100_000 + b"]" * 100_000),
]

# A busy machine is no reason to fail.
calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def places(value: object) -> Iterator[tuple[Any, Any]]:
    """Yield every container with every key or index in it."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        yield value, key
        yield from places(item)


@st.composite
def swapped(draw: st.DrawFn) -> bytes:
    """A body with values anywhere in it replaced, and keys doubled."""
    document = json.loads(draw(st.sampled_from(DOCUMENTS)))
    found = list(places(document))
    if not found:
        return draw(st.sampled_from(NASTY))
    tokens: list[bytes] = []
    for container, key in draw(st.lists(st.sampled_from(found), min_size=1, max_size=3)):
        token = draw(st.sampled_from(NASTY))
        if isinstance(container, dict) and draw(st.booleans()):
            token += b"," + json.dumps(key).encode() + b":" + draw(st.sampled_from(NASTY))
        container[key] = f"@{len(tokens)}@"
        tokens.append(token)
    body = json.dumps(document).encode()
    for number, token in enumerate(tokens):
        body = body.replace(f'"@{number}@"'.encode(), token)
    return body


@st.composite
def damaged(draw: st.DrawFn, documents: st.SearchStrategy[bytes]) -> bytes:
    """A body with bytes changed, cut out or put in, cut off, or grown together with another one."""
    body = bytearray(draw(documents))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(body)))
        end = min(len(body), start + draw(st.integers(0, 40)))
        body[start:end] = draw(st.binary(max_size=12) | st.sampled_from(NASTY))
    if draw(st.booleans()):
        del body[draw(st.integers(0, len(body))) :]
    if draw(st.integers(0, 4)) == 0:
        body += draw(documents)
    return bytes(body)


whole = st.sampled_from([text.encode() for text in DOCUMENTS])
bodies = swapped() | damaged(whole) | whole | st.sampled_from(NASTY) | st.binary(max_size=60)


def touch(found: object) -> None:
    """Read all that is public, since much is decoded when it is first read."""
    if isinstance(found, tuple | list):
        for item in found:
            touch(item)
    elif not isinstance(found, dict):  # what is in `raw` is for its reader to show
        assert repr(found)
    if not isinstance(found, Resource):
        return
    assert isinstance(hash(found), int)
    for name in dir(found):  # attrs makes slots of cached properties, so their kind does not tell
        if not name.startswith("_"):
            attempt(lambda name=name: touch(getattr(found, name)))  # type: ignore[misc]
    attempt(lambda: to_json(found))


def attempt(act: Callable[[], object]) -> None:
    """Do it; a PlanetError is as good as success, if it can be shown."""
    try:
        act()
    except PlanetError as error:
        assert len(str(error)) < 10_000  # noqa: PT017 - either way is right, so there is nothing to wait for


def finished(call: Coroutine[Any, Any, T]) -> T:
    """Run what waits for nothing, without the cost of an event loop."""
    try:
        call.send(None)
    except StopIteration as end:
        return cast("T", end.value)
    raise AssertionError("it waits")


class Saying:
    """A transport that sends the same response to every request."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self._response = status, headers, body
        self.requests = 0

    async def send(self, _: Request) -> Response:
        self.requests += 1
        assert self.requests < 2000, "it would never end"
        return Response(*self._response)

    async def aclose(self) -> None:
        """Nothing is open."""


@pytest.mark.no_cover
@calm
@given(bodies)
def test_every_record(body: bytes) -> None:
    """Each class decodes, and has all its parts, or raises a PlanetError; two of one body are equal."""

    def look(cls: type[Resource]) -> None:
        one, other = decode(cls, body), decode(cls, body + b" ")
        touch(one)
        assert one == other

    for cls in CLASSES:
        attempt(lambda cls=cls: look(cls))  # type: ignore[misc]


@pytest.mark.no_cover
@calm
@given(bodies)
def test_every_page(body: bytes) -> None:
    """Any body as the pages of any list: its items, or a PlanetError; never a list without an end."""

    async def look(shape: PageFormat, cls: type[Resource]) -> None:
        listed = Paginator(
            Saying(200, {}, body),
            Request("GET", f"{API}/list"),
            shape,
            lambda raw, request: decode(cls, raw, request=request),
        )
        try:
            touch(tuple(await listed.collect()))
        except PlanetError as error:
            assert str(error)  # noqa: PT017 - either way is right

    async def main() -> None:
        for shape, cls in PAGES.items():
            await look(shape, cls)

    anyio.run(main)


@pytest.mark.no_cover
@calm
@given(bodies, st.integers(1, 3))
def test_every_page_of_offsets(body: bytes, concurrency: int) -> None:
    """Concurrent pages end likewise, whatever count they report."""

    async def main() -> None:
        listed = OffsetPaginator(
            Saying(200, {}, body),
            Request("GET", f"{API}/list"),
            TASKING_PAGES,
            lambda raw, request: decode(TaskingOrder, raw, request=request),
            concurrency,
        )
        try:
            touch(tuple(await listed.collect()))
        except PlanetError as error:
            assert str(error)  # noqa: PT017 - either way is right

    anyio.run(main)


header_texts = st.sampled_from(
    [
        *(
            "",
            "0",
            "-1",
            "7",
            "9" * 30,
            "²",
            "1e9",
            "inf",
            "gzip",
            "identity",
            "text/html; charset=x",
            "\x00",
        ),
        *("Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 99999 07:28:00 GMT", "x" * 5000, "7, 8", "0x10"),
    ]
) | st.text(max_size=30)
NAMES = ["retry-after", "date", "content-length", "content-encoding", "content-type", "x-request-id"]


@pytest.mark.no_cover
@calm
@given(st.integers(100, 700), st.dictionaries(st.sampled_from(NAMES), header_texts), bodies)
def test_every_response(status: int, headers: dict[str, str], body: bytes) -> None:
    """Any status with any headers and any body is a response or a PlanetError with some advice in it."""
    layer = RaiseForStatus(Saying(status, headers, body), FakeClock(), 50_000)
    try:
        finished(layer.send(Request("GET", f"{API}/x")))
    except PlanetError as error:
        assert isinstance(error, StatusError | BodyTooLarge | DecodeError)  # noqa: PT017 - either way is right
        assert 0 < len(str(error)) < 10_000  # noqa: PT017
        assert error.retry_after is None or error.retry_after >= 0  # noqa: PT017
        assert error.elapsed == 0  # noqa: PT017


@pytest.mark.no_cover
@calm
@given(bodies)
def test_every_notification(body: bytes) -> None:
    """Any body sent to a webhook is an event, or a PlanetError."""
    attempt(lambda: touch(parse_order_notification(body)))
    attempt(lambda: touch(parse_subscription_notification(body)))


@pytest.mark.no_cover
@calm
@given(bodies)
def test_every_token(body: bytes) -> None:
    """Any response of a login server leads to a token that can be sent, or a PlanetError."""

    async def main() -> None:
        signed = ClientCredentials("id", "secret-secret").sign(Saying(200, {}, body), FakeClock())
        try:
            await signed.send(Request("GET", f"{API}/x"))
        except PlanetError as error:
            assert str(error)  # noqa: PT017 - either way is right

    anyio.run(main)


@pytest.mark.no_cover
@calm
@given(damaged(st.just(CSV)) | bodies, st.integers(1, 50))
def test_every_table(body: bytes, size: int) -> None:
    """Any body as CSV, cut anywhere: rows with the same columns, or a PlanetError."""

    def parse() -> None:
        parser = CsvParser(needed="id")
        pieces = [body[start : start + size] for start in range(0, min(len(body), 40 * size), size)]
        for piece in pieces:
            assert all(len(row) <= 1000 for row in parser.feed(piece))
        list(parser.feed(b"", final=True))

    attempt(parse)


@pytest.mark.no_cover
@calm
@given(
    damaged(st.just(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x4b\x04\x00\x43\xbe\xb7\xe8\x01\x00\x00\x00"))
)
def test_every_packed_text(body: bytes) -> None:
    """Anything that begins as gzip does is decompressed, or a PlanetError."""

    async def main() -> None:
        text = decompressed(Response(200, body=body), Request("GET", API), Gunzip())
        try:
            assert [chunk async for chunk in text.chunks()]
        except PlanetError as error:
            assert str(error)  # noqa: PT017 - either way is right
        await text.aclose()

    anyio.run(main)


def deeper(frames: int, act: Callable[[], object]) -> None:
    if frames:
        deeper(frames - 1, act)
    else:
        act()


@pytest.mark.no_cover
def test_what_was_read_can_be_used_deeper_in_the_stack() -> None:
    """What could just be decoded is compared, written and split up with fewer frames left: a PlanetError."""
    read = 0
    for depth in range(600, 1000, 8):
        nested = b"[" * depth + b"]" * depth
        body = (
            b'{"id":"a","name":"a","status":"DONE","state":"queued","total_estimated_quota_cost":1,"_links":'
        )
        body += b'{"results":[{"name":"b","x":%b}]},' % nested
        body += b'"imaging_windows":[{"id":"b","x":%b}],"pricing_details":[{"x":%b}]}' % (nested, nested)
        for cls in (Order, ImagingWindowSearch, PricingPreview):
            try:
                one, other = decode(cls, body), decode(cls, body + b" ")
                assert one.raw.keys() == other.raw.keys()
            except DecodeError:
                continue
            read += 1
            deeper(40, lambda one=one: attempt(lambda: touch(one)))  # type: ignore[misc]
            deeper(40, lambda one=one, other=other: attempt(lambda: one == other))  # type: ignore[misc]
    assert read > 50


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
@pytest.mark.parametrize(
    "place", ["%s", '{"x":%s', '{"id":"a","state":"queued","delivery":%s', '{"orders":[%s']
)
def test_deep_nesting_is_a_decode_error(opening: bytes, place: str) -> None:
    """However deep something is nested, wherever: a DecodeError when it is met, never a RecursionError."""
    body = place.encode().replace(b"%s", opening * 100_000)
    for cls in CLASSES:
        with pytest.raises(DecodeError, match=r"nested too deeply|missing|expected"):
            assert decode(cls, body).raw
    for shape in PAGES:
        listed = Paginator(Saying(200, {}, body), Request("GET", API), shape, lambda raw, _: bytes(raw))
        with pytest.raises(DecodeError):
            finished(listed.page())
