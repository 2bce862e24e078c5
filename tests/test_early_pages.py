"""The start of a page says where the next one is: it is asked for while the rest is still on its way."""

import gc
import weakref
from collections.abc import AsyncIterator
from typing import Any

import anyio
import anyio.lowlevel
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spine import API, settle

from planet_async import ApiKey, Config, Planet
from planet_async.errors import ConnectionLost, DecodeError, PagingError
from planet_async.http import Request, Response
from planet_async.layers.status import RaiseForStatus
from planet_async.page import ORDERS_PAGES, Page
from planet_async.paging import Paginator
from planet_async.testing import FakeClock, FakeTransport, reply

pytestmark = pytest.mark.anyio

LIST = f"{API}/list"
ITEMS = [[1, 2], [3], [], [4, 5], [6]]


def page_json(number: int, link: str | None = None) -> bytes:
    """Give a page as the API writes it, links first."""
    last = number + 1 == len(ITEMS)
    links = {"_self": "x"} if last else {"_self": "x", "next": link or f"{LIST}?page={number + 1}"}
    return msgspec.json.encode({"_links": links, "orders": ITEMS[number]})


def page_of(request: Request) -> int:
    return int(request.url.partition("page=")[2] or 0)


class Arriving(AsyncIterator[bytes]):
    """A body whose start comes after a second, and whose end half a second later."""

    def __init__(self, body: bytes, cut: int, clock: FakeClock) -> None:
        self._parts = iter([(1.0, body[:cut]), (0.5, body[cut:])])
        self._clock = clock

    async def __anext__(self) -> bytes:
        for seconds, part in self._parts:
            await self._clock.sleep(seconds)
            return part
        raise StopAsyncIteration


class Server(FakeTransport):
    """Pages that arrive in two parts."""

    def __init__(self, *, announced: bool = True) -> None:
        super().__init__(self.answer)
        self.announced = announced
        self.clock = FakeClock()
        self.odd: dict[int, bytes] = {}
        self.cut: dict[int, int] = {}

    def answer(self, request: Request) -> Response:
        number = page_of(request)
        body = self.odd.get(number) or page_json(number)
        headers = {"content-length": str(len(body))} if self.announced else {}
        cut = self.cut.get(number, body.find(b"}") + 1)
        return Response(200, headers, Arriving(body, cut, self.clock))

    def listed(self) -> Paginator[Any]:
        above = RaiseForStatus(self, self.clock)
        return Paginator(above, Request("GET", LIST), ORDERS_PAGES, lambda raw, _: msgspec.json.decode(raw))

    @property
    def asked_for(self) -> list[int]:
        return [page_of(request) for request in self.requests]


@pytest.mark.parametrize("announced", [True, False])
async def test_the_next_page_is_asked_for_while_this_one_arrives(announced: bool) -> None:
    """Where somebody waits for them, a list takes as long as its answers wait, not as they take to arrive."""
    server = Server(announced=announced)
    assert await server.listed().collect() == [1, 2, 3, 4, 5, 6]
    assert server.clock.monotonic() == len(ITEMS) + 0.5
    assert server.asked_for == [0, 1, 2, 3, 4]
    assert server.open_responses == 0


async def test_iterating_is_as_fast_but_for_the_first_page() -> None:
    """Many look at one item and leave: the second page is asked for when the first one has been taken."""
    server = Server()
    assert [item async for item in server.listed()] == [1, 2, 3, 4, 5, 6]
    assert server.clock.monotonic() == len(ITEMS) + 1.0


async def test_who_wants_a_number_of_items_costs_no_request_for_more() -> None:
    """Whether a page is enough is known when all of it is there."""
    server = Server()
    assert await server.listed().first() == 1
    assert await server.listed().collect(limit=2) == [1, 2]
    await server.listed().page()
    await server.clock.sleep(60)
    assert server.asked_for == [0, 0, 0]


async def test_a_reader_who_is_busy_has_one_page_ahead() -> None:
    """No page is asked for early while the caller works: what is fetched would lie about."""
    server = Server()
    sent = []
    async for _ in server.listed():
        await server.clock.sleep(60)
        sent.append(len(server.requests))
    assert sent == [2, 2, 3, 5, 5, 5]  # from item 3 to item 4 an empty page had to be passed


@pytest.mark.parametrize("announced", [True, False])
async def test_a_link_that_is_taken_back_is_not_followed(announced: bool) -> None:
    """What counts is what the whole page says: a page that was asked for in vain is not given."""
    server = Server(announced=announced)
    server.odd[1] = page_json(1)[:-1].replace(b"page=2", b"page=0") + b',"_links":{"next":"?page=3"}}'
    assert await server.listed().collect() == [1, 2, 3, 4, 5, 6]
    assert server.asked_for == [0, 1, 0, 3, 4]


async def test_an_early_link_to_elsewhere_is_no_request() -> None:
    """Another origin is not asked, and the page that says so is given before the error."""
    server = Server()
    server.odd[1] = page_json(1, "https://evil.example/list")
    items = aiter(server.listed())
    found = [await anext(items) for _ in range(3)]
    with pytest.raises(PagingError, match="another origin"):
        await anext(items)
    assert found == [1, 2, 3]
    assert server.asked_for == [0, 1]


@pytest.mark.parametrize(
    "body",
    [
        b'{"_links":{"next":7},"orders":[3]}',
        b'{"_links":{"next":"\xff"},"orders":[3]}',
        b'{"_links":{"next":"?page=2"},"orders":[3',
        b'{"_links":{"next":"?page=2"},"items":[]}',
    ],
)
async def test_a_page_that_is_none_is_an_error_all_the_same(body: bytes) -> None:
    """That its start looked well, or not, changes nothing about what is said of it."""
    server = Server()
    server.odd[1], server.cut[1] = body, body.find(b"}") + 1
    with pytest.raises(DecodeError):
        await server.listed().collect()
    assert server.open_responses == 0
    await settle()
    assert set(server.asked_for[2:]) <= {2}


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, 70), min_size=5, max_size=5), announced=st.booleans())
def test_wherever_a_page_is_cut_each_is_asked_for_once(
    backend: str, cuts: list[int], announced: bool
) -> None:
    """However little the start shows, the items are the same, and so are the requests."""

    async def main() -> None:
        server = Server(announced=announced)
        server.cut.update(enumerate(cuts))
        assert await server.listed().collect() == [1, 2, 3, 4, 5, 6]
        assert server.asked_for == [0, 1, 2, 3, 4]

    anyio.run(main, backend=backend)


async def test_a_page_that_breaks_off_after_its_start_is_fetched_again() -> None:
    """The one after it, asked for already, is not asked for again; each item comes once."""
    ids = [f"00000000-0000-4000-8000-{number:012}" for number in range(3)]
    broken = iter([True])
    pages = []

    class Broken(AsyncIterator[bytes]):
        def __init__(self, start: bytes) -> None:
            self._start = iter([start])

        async def __anext__(self) -> bytes:
            for start in self._start:
                return start
            await settle()
            raise ConnectionLost("broke off")

    def answer(request: Request) -> Response:
        number = page_of(request)
        pages.append(number)
        link = {} if number == len(ids) - 1 else {"next": f"?page={number + 1}"}
        order = {"id": ids[number], "name": "n", "state": "queued"}
        body = msgspec.json.encode({"_links": link, "orders": [order]})
        if number == 1 and next(broken, False):
            return Response(200, {}, Broken(body[: body.index(b',"orders"')]))
        return reply(body=body)

    config = Config(base_url=API, rates={})
    transport = FakeTransport(answer)
    async with Planet(config, credentials=ApiKey("any"), transport=transport, clock=FakeClock()) as planet:
        assert [order.id async for order in planet.orders.list()] == ids
    assert sorted(pages) == [0, 1, 1, 2]
    assert pages[:3] == [0, 1, 2]


async def test_pages_are_forgotten_without_the_help_of_the_garbage_collector() -> None:
    """A list of thousands of pages of a megabyte must not keep them until Python collects."""
    server = Server()
    seen: list[weakref.ref[Page[Any]]] = []
    gc.collect()
    gc.disable()
    try:
        async for page in server.listed().pages():
            seen.append(weakref.ref(page))
        del page
        await settle()
        assert [ref() for ref in seen] == [None] * len(ITEMS)
    finally:
        gc.enable()
