from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import anyio
import anyio.lowlevel
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from spine import API, cancelled_at_each_step, get, post

from planet_async.errors import (
    BadRequest,
    BodyTooLarge,
    Conflict,
    ConnectionLost,
    Forbidden,
    NotFound,
    PlanetError,
    ServerError,
    StatusError,
    TooManyRequests,
    TransportTimeout,
    Unauthorized,
)
from planet_async.http import Request, Response
from planet_async.layers.redirect import FollowRedirects
from planet_async.layers.status import RaiseForStatus, parse_error_body, status_error
from planet_async.testing import FakeClock, FakeTransport, reply

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def breaking(*chunks: bytes) -> Iterator[bytes]:
    yield from chunks
    raise ConnectionLost("broke off")


async def refused(response: Response) -> StatusError:
    network = FakeTransport([response])
    with pytest.raises(StatusError) as caught:
        await RaiseForStatus(network, FakeClock()).send(get())
    assert network.open_responses == 0
    return caught.value


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequest),
        (422, BadRequest),
        (401, Unauthorized),
        (403, Forbidden),
        (404, NotFound),
        (409, Conflict),
        (429, TooManyRequests),
        (500, ServerError),
        (502, ServerError),
        (503, ServerError),
        (504, ServerError),
        (599, ServerError),
        (418, StatusError),
        (301, StatusError),
    ],
)
async def test_each_status_is_an_error_of_its_own_kind(status: int, kind: type[StatusError]) -> None:
    """Callers tell refusals apart by class, and find the status on it."""
    error = await refused(reply(status, json={"message": "No."}, headers={"X-Request-ID": "r-1"}))
    assert type(error) is kind
    assert error.status == status
    assert error.request == get()
    assert error.request_id == "r-1"
    assert f"orders.get: {status} No. [GET {API}/things]" in str(error)


async def test_an_error_says_what_the_user_can_do() -> None:
    """A missing right and a wrong key come with the place to look at."""
    assert "PL_API_KEY" in str(await refused(reply(401)))
    assert "Config(rates=...)" in str(await refused(reply(429)))


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_a_success_is_read_and_handed_on(status: int) -> None:
    """Success is read at once, so that a body that breaks off is met where it can be repeated."""
    network = FakeTransport([reply(status, chunks=[b"one ", b"two"])])
    response = await RaiseForStatus(network, FakeClock()).send(get())
    assert network.open_responses == 0
    assert await response.read() == b"one two"
    assert response.status == status


async def test_a_success_that_breaks_off_is_an_error() -> None:
    """Half an answer is no answer."""
    network = FakeTransport([reply(chunks=breaking(b"half"))])
    with pytest.raises(ConnectionLost):
        await RaiseForStatus(network, FakeClock()).send(get())
    assert network.open_responses == 0


async def test_a_streamed_success_is_left_unread() -> None:
    """A download streams: its body belongs to the caller, who closes it."""
    network = FakeTransport([reply(chunks=[b"one", b"two"])])
    response = await RaiseForStatus(network, FakeClock()).send(get(stream=True))
    assert network.open_responses == 1
    assert [chunk async for chunk in response.chunks()] == [b"one", b"two"]
    await response.aclose()
    assert network.open_responses == 0


async def test_a_refused_download_is_read_and_closed() -> None:
    """A refusal is an error also where a stream was asked for, and holds no connection."""
    network = FakeTransport([reply(404, chunks=[b'{"message":', b'"gone"}'])])
    with pytest.raises(NotFound, match="gone"):
        await RaiseForStatus(network, FakeClock()).send(get(stream=True))
    assert network.open_responses == 0


async def test_a_refusal_that_repeats_the_link_does_not_show_its_token() -> None:
    """The link to a file is all that it takes to download it."""
    request = Request("GET", "https://api.planet.com/data/v1/download?token=eyJhbGci.eyJ0", stream=True)
    for text in (request.url, "the token eyJhbGci.eyJ0 has expired"):
        with pytest.raises(NotFound) as caught:
            await RaiseForStatus(FakeTransport([reply(404, body=text)]), FakeClock()).send(request)
        assert "eyJhbGci" not in str(caught.value) + caught.value.body


async def test_the_status_counts_where_the_refusal_breaks_off() -> None:
    """A 429 cut in the middle is still a 429: a POST may be sent again."""
    network = FakeTransport([reply(429, chunks=breaking(b'{"mess'))])
    with pytest.raises(TooManyRequests, match="429") as caught:
        await RaiseForStatus(network, FakeClock()).send(post())
    assert caught.value.body == '{"mess'
    assert network.open_responses == 0


async def test_an_endless_refusal_is_not_read_to_its_end() -> None:
    """A server that answers an error without end cannot fill our memory."""
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield b"x" * 1024

    error = await refused(reply(500, chunks=endless()))
    assert len(error.body) == 2000
    assert taken < 100


async def test_an_error_keeps_2000_characters() -> None:
    """Enough to look at, and no megabytes in a log."""
    error = await refused(reply(500, body="ä" * 5000))
    assert error.body == "ä" * 2000
    assert len(str(error)) < 400


class Slow(AsyncIterator[bytes]):
    """A body that brings `size` bytes every so many seconds, without end."""

    def __init__(self, clock: FakeClock, size: int, seconds: float) -> None:
        self._clock = clock
        self._size = size
        self._seconds = seconds

    async def __anext__(self) -> bytes:
        await self._clock.sleep(self._seconds)
        return b"x" * self._size


def slowly(clock: FakeClock, size: int, seconds: float, *, status: int = 200) -> Response:
    headers = {"location": f"{API}/x"} if status == 302 else {}
    return Response(status, headers, Slow(clock, size, seconds))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("size", "seconds"), [(1, 0.3), (15, 1), (0, 5), (900, 59)])
async def test_a_body_that_trickles_is_a_timeout(size: int, seconds: float, stream: bool) -> None:
    """Less than 1,000 bytes a minute, be it JSON or a file: no such response is awaited for ever."""
    clock = FakeClock()
    network = FakeTransport([slowly(clock, size, seconds)])
    with pytest.raises(TransportTimeout, match=r"only [\d,]+ bytes came in \d+ s") as caught:
        await (await RaiseForStatus(network, clock).send(get(stream=stream))).read()
    assert 60 <= clock.monotonic() < 121
    assert caught.value.transient


async def test_a_slow_body_that_moves_is_read() -> None:
    """Twenty bytes a second are slow, and no reason to give up; nor is a reader that takes its time."""
    clock = FakeClock()
    network = FakeTransport([slowly(clock, 20, 1), slowly(clock, 20, 1)])
    with pytest.raises(BodyTooLarge):
        await RaiseForStatus(network, clock, 20_000).send(get())
    assert clock.monotonic() > 900
    response = await RaiseForStatus(network, clock).send(get(stream=True))
    chunks = response.chunks()
    for _ in range(10):
        await anext(chunks)
        await clock.sleep(600)
    await response.aclose()


@pytest.mark.parametrize("status", [302, 404, 503])
async def test_the_body_of_a_refusal_or_redirect_is_read_for_seconds(status: int) -> None:
    """What has come by then is shown; the status counts."""
    clock = FakeClock()
    network = FakeTransport([slowly(clock, 2, 1, status=status), reply(404, body="gone")])
    with pytest.raises(StatusError) as caught:
        await RaiseForStatus(FollowRedirects(network, clock), clock).send(get())
    assert caught.value.body in ({"gone"} if status == 302 else {"x" * 8, "x" * 10})
    assert clock.monotonic() <= 5


SHAPES = {
    "Orders, of fields": (
        (
            b'{"field":{"Products":[{"message":"Bad item type Foo"}],'
            b'"Tools.clip.aoi":[{"message":"too large"}]},"general":[{"message":"Unable to accept order"}]}'
        ),
        "Unable to accept order; Products: Bad item type Foo; Tools.clip.aoi: too large",
        {"Products": ["Bad item type Foo"], "Tools.clip.aoi": ["too large"]},
    ),
    "Orders, general only": (b'{"field":{},"general":[{"message":"Busy"}]}', "Busy", {}),
    "Orders, general null": (
        b'{"field":{"Name":[{"message":"empty"}]},"general":null}',
        "Name: empty",
        {"Name": ["empty"]},
    ),
    "a message": (b'{"message":"No such order ID: 7."}', "No such order ID: 7.", {}),
    "a message with a code": (b'{"code":0,"message":"Nope"}', "Nope", {}),
    "an error object": (b'{"error":{"message":"Already cancelled"}}', "Already cancelled", {}),
    "an empty error object": (b'{"error":{}}', '{"error":{}}', {}),
    "a reason": (b'{"reason":" Invalid Type"}', "Invalid Type", {}),
    "a message around an error": (b'{"message":{"error":"AOI too big"}}', "AOI too big", {}),
    "Tasking, a detail": (b'{"detail":"Not found."}', "Not found.", {}),
    "Tasking, fields": (
        b'{"name":["This field is required."],"end_time":["Too early.","Too odd."]}',
        "name: This field is required.; end_time: Too early.; end_time: Too odd.",
        {"name": ["This field is required."], "end_time": ["Too early.", "Too odd."]},
    ),
    "Subscriptions": (
        b'{"error":{"reason":"Request failed schema validation","details":["source: none","b"]}}',
        "Request failed schema validation; details: source: none; details: b",
        {"details": ["source: none", "b"]},
    ),
    "Subscriptions, indented": (
        b'{\n  "error": {\n    "reason": "Not now",\n    "details": []\n  }\n}',
        "Not now",
        {},
    ),
    "details that name their fields": (
        b'{"error":{"reason":"No","details":[{"field":"source.type","message":"odd"}]}}',
        "No; source.type: odd",
        {"source.type": ["odd"]},
    ),
    "details by field": (
        b'{"message":"No","details":{"name":"empty","tools":["odd"]}}',
        "No; name: empty; tools: odd",
        {"name": ["empty"], "tools": ["odd"]},
    ),
    "details as text": (b'{"code":"x","details":"too large"}', "too large", {}),
    "OAuth": (
        b'{"error":"invalid_client","error_description":"Client authentication failed"}',
        "invalid_client; Client authentication failed",
        {},
    ),
    "Features": (
        (
            b'{"errors":[{"code":"invalid-geometry","description":"Self-intersection"}],'
            b'"description":"The geometry is not valid","alternates_url":"https://api.planet.com/x"}'
        ),
        "The geometry is not valid; Self-intersection",
        {},
    ),
    "Destinations": (b'{"code":404,"message":"No such destination"}', "No such destination", {}),
    "Django, nested": (
        b'{"geometry":{"type":["Not a polygon."]},"products":[{},{"item_ids":["Required."]}]}',
        "geometry.type: Not a polygon.; products.item_ids: Required.",
        {"geometry.type": ["Not a polygon."], "products.item_ids": ["Required."]},
    ),
    "Django, no field": (b'{"non_field_errors":["Expected a dictionary."]}', "Expected a dictionary.", {}),
    "validation": (
        b'{"detail":[{"loc":["body","items",0],"msg":"field required","type":"missing"}]}',
        "body.items.0: field required",
        {"body.items.0": ["field required"]},
    ),
    "RFC 9457": (
        b'{"type":"about:blank","title":"Bad","status":400,"errors":[{"pointer":"/a","detail":"odd"}]}',
        "Bad; /a: odd",
        {"/a": ["odd"]},
    ),
    "errors by field": (b'{"errors":{"name":"empty"}}', "name: empty", {"name": ["empty"]}),
    "the path of the request": (b'{"status":404,"error":"Not Found","path":"/x"}', "Not Found", {}),
    "a message beside the request": (b'{"message":"No","products":[{"item_ids":["a"]}]}', "No", {}),
    "HTML": (b"<html>\n<body>502 Bad <b>Gateway</b></body></html>", "502 Bad Gateway", {}),
    "HTML, a title": (b"<html><title>502 Bad Gateway</title><h1>502</h1>", "502 Bad Gateway", {}),
    "XML": (b"<Error><Code>AccessDenied</Code><Message>No</Message></Error>", "AccessDenied No", {}),
    "text": (b"max rate reached: retry-in 200ms\nsorry", "max rate reached: retry-in 200ms", {}),
    "quota": (b"Quota check failed - Insufficient quota", "Quota check failed - Insufficient quota", {}),
    "truncated": (b'{"general":[{"mess', '{"general":[{"mess', {}),
    "truncated, indented": (b'{\n  "general": [\n    {', '{ "general": [ {', {}),
    "empty": (b"", "(no text)", {}),
    "blank": (b" \n ", "(no text)", {}),
    "a list": (b'["no", "never"]', "no; never", {}),
    "a list of messages": (b'[{"message":"no"}]', "no", {}),
    "a text": (b'"no"', "no", {}),
    "null": (b"null", "null", {}),
    "no text": (b"\xff\xfe\x00", "\ufffd\ufffd\x00", {}),
    "nothing known": (b'{"status": 7}', '{"status": 7}', {}),
}


@pytest.mark.parametrize("name", SHAPES)
def test_every_known_shape_of_error_is_understood(name: str) -> None:
    """Four APIs and their gateways each say no in their own way; the user reads one line."""
    body, message, fields = SHAPES[name]
    assert parse_error_body(body) == (message, fields)


KEYS = st.sampled_from(
    ["field", "general", "message", "error", "errors", "detail", "details", "reason", "loc", "path", "x"]
)
JSON = st.recursive(
    st.none() | st.text() | st.integers(),
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner),
    max_leaves=20,
)


@pytest.mark.no_cover
@given(st.one_of(st.binary(), JSON.map(msgspec.json.encode)))
def test_no_body_breaks_the_error(body: bytes) -> None:
    """Whatever a server answers with, there is a message of some text, and fields with texts."""
    message, fields = parse_error_body(body)
    assert message
    assert all(text for texts in fields.values() for text in texts)


def test_a_message_of_any_length_is_one_that_can_be_read() -> None:
    """A server that writes a book gets its first page shown; the fields have all of it."""
    message, fields = parse_error_body(msgspec.json.encode({"field": {"ids": ["x" * 50_000]}}))
    assert message == f"ids: {'x' * 1995}"
    assert fields == {"ids": ["x" * 50_000]}


def seconds_asked(header: str = "", body: bytes = b"") -> float | None:
    headers = {"retry-after": header} if header else {}
    return status_error(get(), Response(429, headers), body, NOW).retry_after


@pytest.mark.parametrize(
    ("header", "body", "seconds"),
    [
        ("120", b"", 120),
        (" 7 ", b"", 7),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), b"", 90),
        (format_datetime(NOW - timedelta(days=1), usegmt=True), b"", 0),
        ("", b"max rate reached: retry-in 200ms", 0.2),
        ("", b'{"message":"max rate reached: retry-in  1500 ms"}', 1.5),
        ("", b"max rate reached: Retry-In 200ms", 0.2),
        ("", b"max rate reached: retry-in 2s", 2),
        ("", b"max rate reached: retry-in 0.2s", 0.2),
        ("", b"max rate reached: retry-in 1.5 MS", 0.0015),
        ("", b"retry-in " + b"9" * 1900 + b"s", 999_999_999),
        ("", b"retry-in 2 hours", None),
        ("", b"retry-in .s", None),
        ("5", b"retry-in 200ms", 5),
        ("1.5", b"", 1.5),
        ("0.25", b"retry-in 200ms", 0.25),
        ("0." + "3" * 5000, b"", 0.3333333),
        ("1.", b"", None),
        ("1e9", b"", None),
        ("nan", b"", None),
        ("inf", b"", None),
        ("soon", b"retry-in 200ms", 0.2),
        ("soon", b"", None),
        ("-3", b"", None),
        ("1" * 5000, b"", 111_111_111),
        ("Thu, 01 Jan 2026 00:00:30 -0000", b"", 30.0),
        ("", b"", None),
    ],
)
def test_the_time_the_server_asks_for_is_found(header: str, body: bytes, seconds: float | None) -> None:
    """Seconds, an HTTP date, or `retry-in 200ms`, in parts of a second too; anything else is as if not there.

    However long a number is, it is one that can be waited for.
    """
    assert seconds_asked(header, body) == seconds


@pytest.mark.no_cover
@given(st.text(max_size=40) | st.from_regex(r"[0-9]+\.?[0-9]*"), st.from_regex(r"retry-in +[0-9.]+ ?m?s"))
def test_no_retry_after_breaks_the_error(header: str, text: str) -> None:
    """Any header and any text give seconds that are neither negative nor endless, or None."""
    for seconds in (seconds_asked(header), seconds_asked(body=text.encode())):
        assert seconds is None or 0 <= seconds < 1e9


async def test_cancelled_anywhere_nothing_stays_open() -> None:
    """At whichever point reading an answer is cancelled, success or refusal, it is closed."""
    network = FakeTransport(lambda request: reply(int(request.url[-3:]), chunks=[b"a", b"b", b"c"]))
    layer = RaiseForStatus(network, FakeClock())

    async def call(status: int) -> None:
        try:
            await layer.send(get(f"{API}/{status}"))
        except PlanetError:
            await anyio.lowlevel.checkpoint()

    def check() -> None:
        assert network.open_responses == 0

    assert await cancelled_at_each_step(lambda: call(200), check) >= 4
    assert await cancelled_at_each_step(lambda: call(500), check) >= 4


async def test_closing_closes_what_is_inside() -> None:
    """Closing the layer closes the network."""
    network = FakeTransport([])
    await RaiseForStatus(network, FakeClock()).aclose()
    assert network.closed


@pytest.mark.parametrize("chunks", [[b"abcdefg"], [b"abc", b"defg"], [b"abcd", b"e", b"fg"]])
async def test_a_body_longer_than_it_says_is_read_whole(chunks: list[bytes]) -> None:
    """A transport may have unpacked it, and left the length of what came."""
    network = FakeTransport([reply(chunks=chunks, headers={"content-length": "5"})])
    response = await RaiseForStatus(network, FakeClock()).send(get())
    assert await response.read() == b"abcdefg"
