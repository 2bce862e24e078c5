import gc
import weakref
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any
from urllib.parse import urljoin

import anyio
import anyio.lowlevel
import msgspec
import numpy as np
import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from spine import API, Stuck, budget, cancelled_at_each_step, others_take_turns, settle

from planet_async.config import Config
from planet_async.errors import ConnectionLost, DecodeError, InvalidRequest, NotFound, PagingError
from planet_async.http import Request, Response, Transport
from planet_async.layers.retry import Retry
from planet_async.layers.status import RaiseForStatus
from planet_async.models.codec import decode
from planet_async.models.orders import Order
from planet_async.paging import (
    FEATURES_PAGES,
    ORDERS_PAGES,
    QUOTA_PAGES,
    REPORTS_PAGES,
    RESULTS_PAGES,
    SUBSCRIPTIONS_PAGES,
    TASKING_PAGES,
    Page,
    PageFormat,
    Paginator,
)
from planet_async.testing import FakeClock, FakeTransport, reply

pytestmark = pytest.mark.anyio

LIST = f"{API}/list"


@frozen
class Dialect:
    shape: PageFormat
    items: str
    link: Callable[[str], Mapping[str, Any]]


DIALECTS = {
    "orders": Dialect(ORDERS_PAGES, "orders", lambda url: {"_links": {"_self": "x", "next": url}}),
    "subscriptions": Dialect(SUBSCRIPTIONS_PAGES, "subscriptions", lambda url: {"_links": {"next": url}}),
    "old subscriptions": Dialect(
        SUBSCRIPTIONS_PAGES, "subscriptions", lambda url: {"_links": {"_next": url}}
    ),
    "results": Dialect(RESULTS_PAGES, "results", lambda url: {"_links": {"next": url}}),
    "tasking": Dialect(TASKING_PAGES, "results", lambda url: {"count": 7, "next": url, "previous": None}),
    "reports": Dialect(REPORTS_PAGES, "reports", lambda url: {"_links": {"_next": url}}),
    "features": Dialect(
        FEATURES_PAGES,
        "features",
        lambda url: {"links": [{"rel": "self", "href": "x"}, {"rel": "next", "href": url}]},
    ),
    "quota": Dialect(QUOTA_PAGES, "results", lambda url: {"meta": {"count": 7, "next": url, "prev": None}}),
    "other reports": Dialect(REPORTS_PAGES, "reports", lambda url: {"_links": {"next": url}}),
}
ORDERS = DIALECTS["orders"]


def served(pages: Sequence[Sequence[object]], dialect: Dialect = ORDERS) -> FakeTransport:
    """Return a server with these pages, at LIST, LIST?page=1, and so on."""

    def respond(request: Request) -> Response:
        number = int(request.url.partition("page=")[2] or 0)
        following = dialect.link(f"{LIST}?page={number + 1}") if number + 1 < len(pages) else {}
        return reply(json={dialect.items: pages[number], **following})

    return FakeTransport(respond)


def paginator(transport: Transport, shape: PageFormat = ORDERS_PAGES) -> Paginator[Any]:
    first = Request("GET", LIST, params=(("state", "queued"), ("state", "running")), operation="orders.list")
    return Paginator(transport, first, shape, lambda raw, _: msgspec.json.decode(raw))


def replies(*bodies: object) -> FakeTransport:
    return FakeTransport([reply(json=body) for body in bodies])


def numbered(sizes: list[int]) -> list[list[int]]:
    return [[10 * page + item for item in range(size)] for page, size in enumerate(sizes)]


@pytest.mark.parametrize(("backend", "name"), [*(("asyncio", name) for name in DIALECTS), ("trio", "orders")])
@settings(max_examples=15, deadline=None)
@given(
    pages=st.lists(st.integers(0, 4), min_size=1, max_size=6).map(numbered),
    limit=st.one_of(st.none(), st.integers(-1, 25)),
)
def test_all_items_come_once_and_in_order(
    backend: str, name: str, pages: list[list[int]], limit: int | None
) -> None:
    """However a list is split, empty pages included, and whatever the limit: the items, no more, no fewer."""

    async def main() -> None:
        dialect = DIALECTS[name]
        items = [item for page in pages for item in page]
        transport = served(pages, dialect)
        listed = paginator(transport, dialect.shape)
        assert [item async for item in listed] == items
        assert [page.items async for page in listed.pages()] == pages
        wanted = items if limit is None else items[: max(0, limit)]
        assert await listed.collect(limit) == wanted
        assert await listed.first() == (items[0] if items else None)
        assert transport.open_responses == 0

    anyio.run(main, backend=backend)


async def test_nothing_is_sent_before_it_is_iterated() -> None:
    """Making a list, or asking for its iterator, costs no request."""
    transport = served([[1]])
    listed = paginator(transport)
    aiter(listed)
    listed.pages()
    assert await listed.collect(0) == []
    await settle()
    assert transport.requests == []


async def test_only_the_link_is_followed() -> None:
    """The first request has the filters; the later ones are the links as they came, with nothing added."""
    transport = served([[1], [2]])
    await paginator(transport).collect()
    first, second = transport.requests
    assert first.params == (("state", "queued"), ("state", "running"))
    assert (second.url, second.params) == (f"{LIST}?page=1", ())
    assert second.operation == first.operation == "orders.list"


async def test_the_next_page_is_fetched_while_the_caller_works() -> None:
    """One page ahead, and never more."""
    transport = served([[1, 2], [3, 4], [5], [6]])
    items = aiter(paginator(transport))
    for item, requests in [(1, 2), (2, 2), (3, 3), (4, 3), (5, 4), (6, 4)]:
        assert await anext(items) == item
        await settle()
        assert len(transport.requests) == requests
    with pytest.raises(StopAsyncIteration):
        await anext(items)


async def test_first_sends_one_request() -> None:
    """`first`, a small `collect` and `pages` with a limit do not fetch pages that are not needed."""
    transport = served([[1, 2], [3], [4]])
    assert await paginator(transport).first() == 1
    assert len(transport.requests) == 1
    assert await paginator(transport).collect(limit=2) == [1, 2]
    assert len(transport.requests) == 2
    assert await paginator(transport).collect(limit=3) == [1, 2, 3]
    assert len(transport.requests) == 4
    assert [page.items async for page in paginator(transport).pages(limit=2)] == [[1, 2]]
    assert len(transport.requests) == 5
    await settle()
    assert len(transport.requests) == 5


async def test_leaving_early_ends_the_fetching() -> None:
    """A `break` cancels the page under way and leaves nothing running or open."""
    stuck = Stuck()

    class FirstThenStuck(FakeTransport):
        async def send(self, request: Request) -> Response:
            return await (stuck.send(request) if self.requests else super().send(request))

    transport = FirstThenStuck(served([[1, 2], [3]])._answer)

    async def read_and_stop() -> None:
        async for _ in paginator(transport):
            await settle()
            assert stuck.waiting == 1
            break

    await read_and_stop()
    gc.collect()
    await settle()
    assert (stuck.sent, stuck.waiting, transport.open_responses) == (1, 0, 0)


async def test_others_have_their_turn_while_a_large_page_is_decoded() -> None:
    """To decode thousands of items takes milliseconds, in which others are not to wait."""

    def decode_one(raw: msgspec.Raw, _: Request) -> int:
        number: int = msgspec.json.decode(raw)
        assert turns() >= number // 50 - 1
        return number

    transport = served([[*range(2_000)]])
    listed = Paginator(transport, Request("GET", LIST), ORDERS_PAGES, decode_one)
    async with others_take_turns() as turns:
        assert await listed.collect() == [*range(2_000)]
    async with others_take_turns() as turns:
        assert [item async for item in listed] == [*range(2_000)]


async def test_it_can_be_iterated_again() -> None:
    """Each iteration fetches the list anew."""
    transport = served([[1], [2]])
    listed = paginator(transport)
    assert [item async for item in listed] == [item async for item in listed] == [1, 2]
    assert len(transport.requests) == 4


async def test_a_page_knows_its_size_and_the_total() -> None:
    """A page has a length and can be iterated; `count` is there where the API says it."""
    pages = [
        page async for page in paginator(served([[1, 2], [3]], DIALECTS["tasking"]), TASKING_PAGES).pages()
    ]
    assert [(len(page), list(page), page.count) for page in pages] == [(2, [1, 2], 7), (1, [3], None)]
    assert [page.next for page in pages] == [f"{LIST}?page=1", None]


@pytest.mark.parametrize(
    "end",
    [
        {},
        {"_links": {}},
        {"_links": None},
        {"_links": {"next": None}},
        {"_links": {"next": ""}},
        {"_links": {"_self": LIST}},
    ],
)
async def test_the_end_is_where_no_link_is(end: dict[str, object]) -> None:
    """Missing, null or empty: each is the last page."""
    assert await paginator(replies({"orders": [1], **end})).collect() == [1]


@pytest.mark.parametrize("link", ["?page=1", "/list?page=1", "list?page=1", "//api.planet.com/list?page=1"])
async def test_a_relative_link_is_followed(link: str) -> None:
    """A link may be relative to the page it stands on."""
    transport = replies({"orders": [1], "_links": {"next": link}}, {"orders": [2]})
    assert await paginator(transport).collect() == [1, 2]
    assert transport.requests[1].url == urljoin(LIST, link) == f"{LIST}?page=1"


async def test_a_link_is_encoded_as_browsers_do() -> None:
    """A raw space or letter is encoded, and what is encoded already stays; only then is it followed."""
    link = "?name=größe 1&marker=a%2Fb+c"
    transport = replies({"orders": [1], "_links": {"next": link}}, {"orders": [2]})
    assert await paginator(transport).collect() == [1, 2]
    assert transport.requests[1].url == f"{LIST}?name=gr%C3%B6%C3%9Fe%201&marker=a%2Fb+c"


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/list",
        "http://api.planet.com/list",
        "https://api.planet.com:8443/list",
        "https://api.planet.com@evil.example/",
        "https://[broken",
        "https://api.planet.com:port/",
    ],
)
async def test_a_link_to_elsewhere_is_an_error_before_it_is_a_request(link: str) -> None:
    """No request is sent to another origin, whatever a response says; the items before are returned."""
    transport = FakeTransport(lambda _: reply(json={"orders": [1], "_links": {"next": link}}))
    items = aiter(paginator(transport))
    assert await anext(items) == 1
    with pytest.raises(PagingError, match="another origin"):
        await anext(items)
    assert len(transport.requests) == 1


@pytest.mark.parametrize("length", [1, 2, 3])
async def test_links_in_a_circle_are_an_error(length: int) -> None:
    """A list without an end is noticed when a link comes the second time."""
    pages = {number: (number + 1) % length for number in range(length)}

    def respond(request: Request) -> Response:
        number = int(request.url.partition("page=")[2] or 0)
        return reply(json={"orders": [number], "_links": {"next": f"{LIST}?page={pages[number]}"}})

    transport = FakeTransport(respond)
    with pytest.raises(PagingError, match=r"circle|twice"):
        await paginator(transport).collect()
    assert len(transport.requests) <= length + 1


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"<html>Bad gateway</html>", "<html>Bad"),
        (b'{"orders": [1,', "not a page"),
        (b"", "not a page"),
        (b"[]", "not a page"),
        (b"null", "not a page"),
        (b'"\xff"', "not a page"),
        (b"{}", "without `orders`"),
        (b'{"items": []}', "without `orders`"),
        (b'{"orders": null}', "without `orders`"),
        (b'{"orders": {"a": 1}}', "not a page"),
        (b'{"orders": [], "_links": {"next": 7}}', "`_links.next`"),
    ],
)
async def test_what_is_no_page_is_said(body: bytes, says: str) -> None:
    """A response that is no page is a DecodeError which shows what came, for which request."""
    transport = FakeTransport([reply(body=body)])
    with pytest.raises(DecodeError) as caught:
        await paginator(transport).collect()
    assert says in str(caught.value)
    assert "orders.list: " in str(caught.value)
    assert transport.open_responses == 0


async def test_an_odd_item_does_not_fail_its_page() -> None:
    """An item with an odd optional field is decoded without it, and the others as usual."""
    ids = [f"00000000-0000-4000-8000-{number:012}" for number in range(3)]
    good = [{"id": id_, "name": "n", "state": "queued"} for id_ in ids]
    page = {"orders": [good[0], {**good[1], "created_on": 7, "state": "new-word"}, good[2]]}
    listed = Paginator(
        replies(page),
        Request("GET", LIST),
        ORDERS_PAGES,
        lambda raw, request: decode(Order, raw, request=request),
    )
    orders = await listed.collect()
    assert [order.id for order in orders] == ids
    assert orders[1].raw["created_on"] == 7


async def test_an_item_of_no_use_fails_when_it_is_reached() -> None:
    """The items before it have been given; the error says what is missing."""
    page = {
        "orders": [
            {"id": "00000000-0000-4000-8000-000000000000", "name": "n", "state": "queued"},
            {"name": "m"},
        ]
    }
    listed = Paginator(
        replies(page),
        Request("GET", LIST),
        ORDERS_PAGES,
        lambda raw, request: decode(Order, raw, request=request),
    )
    items = aiter(listed)
    assert (await anext(items)).name == "n"
    with pytest.raises(DecodeError, match="id"):
        await anext(items)


@pytest.mark.parametrize("error", [NotFound("gone", status=404), ConnectionLost("broke off")])
async def test_an_error_of_a_later_page_comes_after_the_items_before_it(
    error: NotFound | ConnectionLost,
) -> None:
    """What was fetched is not lost to what was not."""
    transport = FakeTransport([reply(json={"orders": [1, 2], "_links": {"next": "?page=1"}}), error])
    items = aiter(paginator(transport))
    assert await anext(items) == 1
    await settle()
    assert await anext(items) == 2
    with pytest.raises(type(error)):
        await anext(items)
    assert transport.open_responses == 0


@pytest.mark.no_cover
async def test_cancelled_anywhere_nothing_stays_open_or_running() -> None:
    """At whichever point the caller is cancelled, no response is open and no page is being fetched."""
    transport = FakeTransport(served([[1], [], [2, 3]])._answer)
    quiet: list[int] = []

    async def iterate() -> None:
        assert [item async for item in paginator(transport)] == [1, 2, 3]

    async def collect() -> None:
        assert await paginator(transport).collect() == [1, 2, 3]

    def check() -> None:
        gc.collect(1)  # what is new; a full collection takes ten times as long
        assert transport.open_responses == 0
        quiet.append(len(transport.requests))

    for call in (iterate, collect):
        assert await cancelled_at_each_step(call, check) >= 3
    await settle()
    assert quiet[-1] == len(transport.requests)


async def test_the_fetching_can_be_ended_and_waited_for() -> None:
    """The iterator can be closed, as a generator can."""
    stuck = Stuck()
    items: Any = aiter(paginator(stuck))
    async with aclosing(items):
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(items.__anext__)
                await settle()
                assert stuck.waiting == 1
                scope.cancel()
    assert stuck.waiting == 0


async def test_a_page_that_breaks_off_is_fetched_again() -> None:
    """A connection that is lost in the middle of a list costs a request, and each item comes once."""
    pages = served([[1, 2], [3, 4], [5]])
    requested: list[str] = []

    async def broken() -> AsyncIterator[bytes]:
        yield b'{"_links": {"next": "?page=2"}, "orders": [3,'
        raise ConnectionLost("broke off")

    def respond(request: Request) -> Response:
        requested.append(request.url)
        if requested.count(f"{LIST}?page=1") == 1 and request.url == f"{LIST}?page=1":
            return Response(200, body=broken())
        found = pages._answer(request)
        assert isinstance(found, Response)
        return found

    network, clock = FakeTransport(respond), FakeClock()
    layers = Retry(RaiseForStatus(network, clock), Config(), clock, budget(clock))
    assert await paginator(layers).collect() == [1, 2, 3, 4, 5]
    assert requested == [LIST, f"{LIST}?page=1", f"{LIST}?page=1", f"{LIST}?page=2"]
    assert network.open_responses == 0


async def test_pages_are_forgotten_without_the_help_of_the_garbage_collector() -> None:
    """A list of thousands of pages of a megabyte must not keep them until Python collects."""
    seen: list[weakref.ref[Page[Any]]] = []
    gc.disable()
    try:
        async for page in paginator(served([[1, 2], [3], [], [4, 5], [6]])).pages():
            seen.append(weakref.ref(page))
        del page
        await settle()
        assert [ref() for ref in seen] == [None] * 5
    finally:
        gc.enable()


async def test_a_page_that_fails_leaves_no_garbage() -> None:
    """The pages before it go with the error, not when Python collects."""
    transport = FakeTransport([reply(json={"orders": [1], "_links": {"next": "?page=1"}}), reply(body=b"no")])
    seen = []
    gc.disable()
    try:
        pages = paginator(transport).pages()
        seen.append(weakref.ref(await anext(pages)))
        with pytest.raises(DecodeError):
            await anext(pages)
        del pages
        await settle()
        assert seen[0]() is None
    finally:
        gc.enable()


async def test_a_list_that_never_ends_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though each page has something new and each link is another one: there is a bound on pages."""
    monkeypatch.setattr("planet_async.paging._MOST_PAGES", 50)

    def respond(request: Request) -> Response:
        number = int(request.url.partition("page=")[2] or 0)
        return reply(json={"orders": [number], "_links": {"next": f"{LIST}?page={number + 1}"}})

    transport = FakeTransport(respond)
    with pytest.raises(PagingError, match="has not ended after 50 pages"):
        await paginator(transport).collect()
    assert len(transport.requests) == 51
    assert await paginator(transport).collect(limit=20) == [*range(20)]


@pytest.mark.parametrize("limit", ["5", 2.5, [1]])
async def test_a_limit_is_a_whole_number(limit: Any) -> None:
    """Refused before anything is sent; those of NumPy are whole numbers, too."""
    transport = served([[1, 2], [3]])
    with pytest.raises(InvalidRequest, match="limit must be a whole number"):
        await paginator(transport).collect(limit=limit)
    assert transport.requests == []
    assert await paginator(transport).collect(limit=np.int64(2)) == [1, 2]  # type: ignore[arg-type]
