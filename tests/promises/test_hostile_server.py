"""A broken or hostile server: whatever it sends, a call ends, in little memory, with a PlanetError."""

import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path
from urllib.parse import parse_qsl, urljoin, urlsplit

import anyio
import anyio.abc
import pytest
from spine import API, get

from planet_async import ApiKey, BodyTooLarge, Config, DecodeError, Order, PagingError, Planet
from planet_async._tasks import on_asyncio
from planet_async.downloads.part_file import Folder
from planet_async.errors import (
    ConnectionLost,
    DownloadError,
    InvalidRequest,
    PlanetError,
    ServerError,
    TransportError,
    TransportTimeout,
)
from planet_async.http import Request, Response
from planet_async.layers.redirect import FollowRedirects
from planet_async.layers.status import RaiseForStatus
from planet_async.models.codec import decode
from planet_async.offset_paging import OffsetPaginator
from planet_async.paging import ORDERS_PAGES, TASKING_PAGES, Paginator
from planet_async.services._order_files import _expected_files
from planet_async.testing import FakeClock, FakeTransport, reply

pytestmark = [pytest.mark.anyio, pytest.mark.no_cover]

ID = "00000000-0000-4000-8000-000000000000"
CHUNK = 1 << 16
LIMIT = 1 << 20
GIGABYTE = 1 << 30
HTML = b"<html><title>Sign in</title>Welcome to the hotel</html>"


class Flood:
    """The chunks of a gigabyte, and how many of them were taken."""

    def __init__(self) -> None:
        self.taken = 0

    def __iter__(self) -> Iterator[bytes]:
        for _ in range(GIGABYTE // CHUNK):
            self.taken += 1
            yield bytes(CHUNK)


@asynccontextmanager
async def client(network: FakeTransport, **config: object) -> AsyncIterator[Planet]:
    settings = Config(rates={}, **config)  # type: ignore[arg-type]
    async with Planet(settings, credentials=ApiKey("any"), transport=network, clock=FakeClock()) as planet:
        yield planet
    assert network.open_responses == 0


async def test_a_gigabyte_is_read_up_to_the_limit() -> None:
    """Memory, reading and tries are bounded, and the error says what to change."""
    flood = Flood()
    network = FakeTransport([reply(chunks=flood)])
    async with client(network, max_body_bytes=LIMIT) as planet:
        tracemalloc.start()
        try:
            with pytest.raises(BodyTooLarge, match=r"1,048,576 bytes.*Config\(max_body_bytes") as caught:
                await planet.orders.get(ID)
            assert tracemalloc.get_traced_memory()[1] < 2 * LIMIT
        finally:
            tracemalloc.stop()
    assert flood.taken == LIMIT // CHUNK + 1
    assert not caught.value.transient
    assert caught.value.may_have_acted


async def test_a_flood_of_tiny_chunks_weighs_no_more() -> None:
    """A server may send the body in chunks of a few bytes, each of which is an object."""
    network = FakeTransport([reply(chunks=(b"%04x" % number for number in count()))])
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLarge):
            await RaiseForStatus(network, FakeClock(), 20_000).send(get())
        assert tracemalloc.get_traced_memory()[1] < 80_000
    finally:
        tracemalloc.stop()


async def test_a_length_beyond_the_limit_is_enough_to_refuse() -> None:
    """Where the header says so already, nothing is read."""
    flood = Flood()
    network = FakeTransport([reply(chunks=flood, headers={"content-length": str(GIGABYTE)})])
    async with client(network, max_body_bytes=LIMIT) as planet:
        with pytest.raises(BodyTooLarge):
            await planet.orders.stats()
    assert flood.taken == 0


@pytest.mark.parametrize(
    ("request_", "size", "announced"),
    [
        (get(), 10, "10"),
        (Request("HEAD", API), 0, "11"),
        (get(), 1, "many"),
        (get(stream=True), 11, "11"),
    ],
    ids=["just as long", "HEAD", "no number", "streamed"],
)
async def test_what_is_within_the_limit_passes(request_: Request, size: int, announced: str) -> None:
    """The limit itself is allowed; HEAD tells a length and sends nothing; a download is not held."""
    answer = reply(chunks=[b"x" * size], headers={"content-length": announced})
    response = await RaiseForStatus(FakeTransport([answer]), FakeClock(), 10).send(request_)
    assert len(await response.read()) == size


async def test_a_redirect_with_an_endless_body_is_left() -> None:
    """Nobody looks at what a redirect says, so little of it is read."""
    flood = Flood()
    network = FakeTransport([reply(302, chunks=flood, headers={"location": "/there"}), reply(body=b"there")])
    response = await FollowRedirects(network, FakeClock()).send(get())
    assert await response.read() == b"there"
    assert flood.taken == 1
    assert network.open_responses == 0


async def test_a_manifest_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    """It is a file by then, and is read whole as an answer is."""
    (tmp_path / "manifest.json").write_bytes(b'{"files": []}')
    assert await _expected_files(Folder(tmp_path), "manifest.json", ID, 13) == {}
    with pytest.raises(BodyTooLarge, match="max_body_bytes"):
        await _expected_files(Folder(tmp_path), "manifest.json", ID, 12)


@pytest.mark.parametrize("status", [400, 503])
async def test_a_refusal_counts_however_it_is_packed(status: int) -> None:
    """A 503 that cannot be read is still one that can be tried again."""
    packings = [{"content-encoding": "br"}, {"content-encoding": "gzip"}]
    answers = [reply(status, body=b"\x1f\x8b\x00", headers=packing) for packing in packings]
    async with client(FakeTransport(answers), max_attempts=1) as planet:
        for _ in answers:
            with pytest.raises(PlanetError, match=str(status)) as caught:
                await planet.orders.get(ID)
            assert caught.value.transient is (status == 503)


@pytest.mark.parametrize("path", ["get", "list"])
@pytest.mark.parametrize(
    ("content_type", "body", "says"),
    [
        (
            "text/html; charset=utf-8",
            HTML,
            ["<html><title>Sign in</title>", "'text/html'", "proxy", "base URL"],
        ),
        ("", HTML, ["<html><title>Sign in</title>", "proxy"]),
        ("text/plain", b"pong\n\x1b[31m", [r"'pong \x1b[31m'", "'text/plain'", "proxy"]),
        ("application/json", b"{,}", ["'{,}'"]),
        ("application/json", b"", ["it is empty"]),
        ("", b" \r\n", ["it is empty"]),
    ],
)
@pytest.mark.parametrize("status", [200, 204])
async def test_what_is_no_json_is_said_to_be_something_else(
    status: int, content_type: str, body: bytes, says: list[str], path: str
) -> None:
    """A page in the place of an answer is shown, with its type, and where it may come from."""
    network = FakeTransport([reply(status, body=body, headers={"content-type": content_type})])
    async with client(network) as planet:
        with pytest.raises(DecodeError) as caught:
            await (planet.orders.get(ID) if path == "get" else planet.orders.list().collect())
    text = str(caught.value)
    assert [said for said in says if said not in text] == []
    assert ("proxy" in text) == ("proxy" in says)
    assert text.isprintable()


async def test_only_the_start_of_an_odd_answer_is_shown() -> None:
    """An error is a line, not a page: 80 characters."""
    network = FakeTransport([reply(body="ä word " * 10_000)])
    async with client(network) as planet:
        with pytest.raises(DecodeError) as caught:
            await planet.orders.get(ID)
    assert caught.value.message.count("word") == 11


@pytest.mark.parametrize(
    "answer", [lambda: reply(500), lambda: ConnectionLost("cut"), lambda: reply(body="x" * 11)]
)
async def test_an_error_knows_how_long_it_took(answer: Callable[[], Response | PlanetError]) -> None:
    """From the moment the request was handed on, by the clock: a create that was lost began that long ago."""
    clock = FakeClock()

    class Slow(FakeTransport):
        async def send(self, request: Request) -> Response:
            await clock.sleep(3)
            return await super().send(request)

    await clock.sleep(5)
    with pytest.raises(PlanetError) as caught:
        await RaiseForStatus(Slow([answer()]), clock, 10).send(get())
    assert caught.value.elapsed == 3
    assert InvalidRequest("never sent").elapsed is None


def orders(*numbers: int) -> list[dict[str, str]]:
    return [{"id": f"{number}", "state": "queued"} for number in numbers]


Lister = Callable[[FakeTransport], Paginator[Order]]


def by_links(network: FakeTransport) -> Paginator[Order]:
    first = Request("GET", f"{API}/list", operation="orders.list")
    return Paginator(network, first, ORDERS_PAGES, lambda raw, request: decode(Order, raw, request=request))


def by_offsets(network: FakeTransport, concurrency: int) -> Paginator[Order]:
    first = Request("GET", f"{API}/list", params=(("limit", "2"),), operation="tasking.list")
    return OffsetPaginator(
        network, first, TASKING_PAGES, lambda raw, request: decode(Order, raw, request=request), concurrency
    )


def page(items: object, link: str | None, total: int | None = None) -> Response:
    """Return a page in the dialects of Orders and Tasking at once."""
    return reply(
        json={"orders": items, "results": items, "_links": {"next": link}, "next": link, "count": total}
    )


LISTS: dict[str, Lister] = {
    "links": by_links,
    "offsets": partial(by_offsets, concurrency=1),
    "offsets, side by side": partial(by_offsets, concurrency=3),
}


def endless(items: Callable[[int], list[dict[str, str]]], total: int | None) -> FakeTransport:
    """Return a server with a link on every page: the items of page n, and how many there are in all."""

    def answer(request: Request) -> Response:
        offset = int(dict(parse_qsl(urlsplit(request.url).query)).get("offset", 0))
        number, link = offset // 2, f"{API}/list?limit=2&offset={offset + 2}"
        assert number < 3000, "it would never end"
        return page(items(number), link, total)

    return FakeTransport(answer)


@pytest.mark.parametrize("name", LISTS)
async def test_empty_pages_without_an_end_are_an_error(name: str) -> None:
    """A thousand in a row bring nothing; so would the next thousand, whatever the count says."""
    has_count = name != "links"
    for total in [None, 0, 5, 10**15, -1] if has_count and on_asyncio() else [5]:
        network = endless(lambda _: [], total)
        with pytest.raises(PagingError, match="1,000 pages in a row"):
            await LISTS[name](network).collect()
        assert len(network.requests) <= 1003, total
        assert network.open_responses == 0, total


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("total", [None, 0, 5, 10**15])
async def test_the_same_page_by_ever_new_links_is_an_error(name: str, total: int | None) -> None:
    """The items are given once, and then it is noticed."""
    network = endless(lambda _: orders(1, 2), total)
    items = aiter(LISTS[name](network))
    assert [(await anext(items)).id for _ in range(2)] == ["1", "2"]
    with pytest.raises(PagingError, match="the same page came twice"):
        await anext(items)
    assert len(network.requests) <= 5


async def test_pages_of_known_items_are_as_good_as_empty() -> None:
    """Two pages that take turns would be read for ever, though no two neighbours are alike."""
    network = endless(lambda number: orders(number % 2), 10**15)
    with pytest.raises(PagingError, match="1,000 pages in a row brought nothing new"):
        await by_offsets(network, 1).collect()


@pytest.mark.parametrize("name", LISTS)
async def test_a_list_that_is_only_slow_is_read_to_its_end(name: str) -> None:
    """Hundreds of empty pages, an item that comes again, and a last page like the one before: no error."""
    pages = [orders(1, 2), orders(2, 3), *[[]] * 998, orders(4), *[[]] * 998, orders(5, 6), orders(5, 6)]

    def answer(request: Request) -> Response:
        number = int(dict(parse_qsl(urlsplit(request.url).query)).get("offset", 0)) // 2
        link = f"{API}/list?limit=2&offset={2 * number + 2}" if number + 1 < len(pages) else None
        return page(pages[number], link)

    found = [order.id for order in await LISTS[name](FakeTransport(answer)).collect()]
    assert [*dict.fromkeys(found)] == ["1", "2", "3", "4", "5", "6"]


async def test_a_list_that_has_grown_may_show_a_page_again() -> None:
    """With offsets, what is added in front moves a whole page on; the count tells."""
    network = FakeTransport(
        [
            page(orders(1, 2), f"{API}/list?limit=2&offset=2", 3),
            page(orders(1, 2), f"{API}/list?limit=2&offset=4", 5),
            page(orders(3), None, 5),
        ]
    )
    assert [order.id for order in await by_offsets(network, 1).collect()] == ["1", "2", "3"]


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("good", [0, 1])
@pytest.mark.parametrize(
    "link", ["http://[", f"{API}:x/", "//", "x" * 100_000, f"{API}/list?offset=" + "9" * 5000]
)
async def test_a_link_that_is_none_is_an_error(name: str, link: str, good: int) -> None:
    """An address that cannot be one, or has a number beyond all bounds, is no other error than ours."""
    links = [f"{API}/list?limit=2&offset=2"] * good + [link] * 9
    network = FakeTransport(page(orders(number), link, 9) for number, link in enumerate(links))
    with pytest.raises((PagingError, DecodeError)) as caught:
        await LISTS[name](network).collect()
    assert len(str(caught.value)) < 8200


_KEYS = b"{" + b"".join(b'"%x":1,' % number for number in range(100_000))
_VALUES = b"[" + b"{}," * 300_000 + b"{}]"


@pytest.mark.parametrize(
    "body",
    [
        _KEYS + b'"orders":1,"results":1}',
        *(b'{"orders":[],"results":[],"%s":%s}' % (name, _VALUES) for name in (b"next", b"count")),
        b'{"orders":[],"results":[],"_links":{"next":%s}}' % _VALUES,
    ],
    ids=["keys", "next", "count", "_links.next"],
)
async def test_a_huge_useless_page_is_not_built(body: bytes) -> None:
    """Listing it takes a copy or two of the body at most: nothing of it becomes an object."""
    for name in ("links", "offsets"):
        listed = LISTS[name](FakeTransport([reply(body=body)]))
        tracemalloc.start()
        try:
            with suppress(DecodeError):
                await listed.collect()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 3 * len(body)


async def test_a_location_that_is_none_is_an_error() -> None:
    """Also where only the headers say where to go on."""
    network = FakeTransport([reply(202, headers={"location": "http://["})])
    async with client(network) as planet:
        with pytest.raises(DecodeError, match="without an id"):
            await planet.tasking.search_imaging_windows(
                {"geometry": {"type": "Point", "coordinates": [1, 2]}, "pl_number": "p", "product": "q"}
            )


async def test_a_report_at_no_address_is_an_error(tmp_path: Path) -> None:
    """A part whose link is no address cannot be requested."""
    report = reply(json={"report_id": "r", "contents": ["http://["], "num_rows": 1})
    network = FakeTransport([report, ConnectionLost("nowhere")])
    async with client(network, max_attempts=1) as planet:
        with pytest.raises((DownloadError, InvalidRequest, TransportError)):
            await planet.reports.download("r", tmp_path)


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("https://storage.example/my file?sig=a%2Fb+c", "https://storage.example/my%20file?sig=a%2Fb+c"),
        ("größe", "gr%C3%B6%C3%9Fe"),
        ("https://bücher.example/%zz\r\nx: y", "https://xn--bcher-kva.example/%zzx:%20y"),
    ],
)
async def test_the_link_of_a_file_is_encoded_as_browsers_do(link: str, target: str) -> None:
    """A raw space or letter in it is encoded, and what is encoded already stays as it was signed."""
    result = {"name": "a.tif", "delivery": "success", "location": link}
    order = reply(json={"id": ID, "state": "success", "_links": {"results": [result]}})
    report = reply(json={"report_id": "r", "contents": [link], "num_rows": 1})
    network = FakeTransport([order, reply(body=b"tif"), report, reply(body=b"csv")])
    async with client(network) as planet:
        async with planet.orders.open((await planet.orders.get(ID)).results[0]) as file:
            assert [chunk async for chunk in file] == [b"tif"]
        async with planet.reports.open("r") as file:
            assert [chunk async for chunk in file] == [b"csv"]
    _, tif, _, csv = (request.url for request in network.requests)
    assert tif == urljoin(f"{API}/compute/ops/download/", target)
    assert csv == urljoin(f"{API}/reports/v1/", target)


@pytest.mark.parametrize(
    "link",
    [
        "http://storage.example/a.tif?sig=x",
        "http://api.planet.com/compute/ops/download/?token=x",
        "https://127.0.0.1:8080/x",
        "https://169.254.169.254/latest/meta-data",
        "https://localhost/x",
        "//[::ffff:10.0.0.1]/x",
        "https://metadata.google.internal/x",
        "file:///etc/passwd",
    ],
)
async def test_no_link_leads_to_plain_http_or_an_internal_address(link: str, tmp_path: Path) -> None:
    """Of files, reports, redirects and next pages: nothing is sent there."""
    result = {"name": "a.tif", "delivery": "success", "location": link}
    links = {"results": [result], "next": link, "_next": link}
    body = {"id": ID, "state": "success", "report_id": "r", "contents": [link], "num_rows": 1}
    lists: dict[str, object] = {"orders": [], "reports": []}

    def answer(request: Request) -> Response:
        if request.url.endswith("/redirected"):
            return reply(302, headers={"location": link})
        return reply(json={**body, **lists, "_links": links})

    network = FakeTransport(answer)
    async with client(network) as planet:
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: planet.orders.download(ID, tmp_path / "order"),
            lambda: planet.reports.download("r", tmp_path / "report"),
            lambda: planet.orders.list().collect(),
            lambda: planet.reports.list().collect(),
            lambda: planet.request("GET", "/redirected"),
        ]
        for call in calls:
            with pytest.raises((DownloadError, PagingError, TransportError)) as caught:
                await call()
            assert "sig=" not in str(caught.value)
            assert "token=" not in str(caught.value)
        with pytest.raises(DownloadError, match="refused to follow a link"):
            async with planet.reports.open("r"):
                pass
    assert all(request.url.startswith(f"{API}/") for request in network.requests)


# Over real sockets: what never finishes.

IDLE = 0.1  # seconds that nothing may arrive
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n"


@pytest.mark.parametrize(
    "pieces",
    [
        [],
        [HEAD],
        [HEAD + b"\r\n"],
        [HEAD + b"\r\n", b'{"id":'],
        [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"5\r\n{"],
    ],
    ids=["nothing", "half of the headers", "headers", "half of the body", "half of a chunk"],
)
async def test_an_answer_that_stops_ends_in_a_timeout(pieces: list[bytes]) -> None:
    """Silence for longer than `Config.read_timeout` ends the call, wherever the answer stops."""
    hung_up = anyio.Event()

    async def answer(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive()
            for piece in pieces:
                await stream.send(piece)
                await anyio.sleep(IDLE / 4)  # which is not too slow
            try:
                while True:
                    await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                hung_up.set()

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as group,
    ):
        group.start_soon(listener.serve, answer)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        config = Config(base_url=f"http://127.0.0.1:{port}", read_timeout=IDLE, max_attempts=1)
        async with Planet(config, credentials=ApiKey("any")) as planet:
            with pytest.raises(TransportTimeout, match="too long"):
                await planet.orders.get(ID)
            with anyio.fail_after(5):
                await hung_up.wait()  # the connection is not kept for the next request
        group.cancel_scope.cancel()


@pytest.mark.parametrize("head", [b"", HEAD + b"\r\n"], ids=["headers", "body"])
async def test_an_answer_that_drips_too_slowly_ends_in_a_timeout(head: bytes) -> None:
    """A byte now and then is no progress where it takes longer than allowed."""

    async def answer(stream: anyio.abc.SocketStream) -> None:
        try:
            async with stream:
                await stream.receive()
                await stream.send(head or b"H")
                for byte in b"TTP/1.1 200 OK" if not head else b"{}":
                    await anyio.sleep(4 * IDLE)
                    await stream.send(bytes([byte]))
        except anyio.BrokenResourceError:
            pass

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as group,
    ):
        group.start_soon(listener.serve, answer)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        config = Config(base_url=f"http://127.0.0.1:{port}", read_timeout=IDLE, max_attempts=1)
        async with Planet(config, credentials=ApiKey("any")) as planet:
            with pytest.raises(TransportTimeout, match="too long"):
                await planet.orders.get(ID)
        group.cancel_scope.cancel()


async def test_a_refused_error_body_of_any_depth_is_a_status_error() -> None:
    """What an error says is not looked for at any depth."""
    for depth in (20, 300, 500, 900, 20_000):
        body = b'{"error":' + b"[" * depth + b'"deep"' + b"]" * depth + b"}"
        with pytest.raises(ServerError, match="503"):
            await RaiseForStatus(FakeTransport([reply(503, body=body)]), FakeClock()).send(get())
