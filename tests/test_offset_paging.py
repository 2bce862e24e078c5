"""Concurrent offset paging: every item, in order, once, and the requests that takes."""

import gc
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import anyio
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planet_async.errors import DecodeError, InvalidRequest, NotFound, PagingError, PlanetError
from planet_async.http import Request, Response
from planet_async.offset_paging import OffsetPaginator
from planet_async.paging import TASKING_PAGES
from planet_async.testing import FakeClock, reply

pytestmark = pytest.mark.anyio

URL = "https://api.planet.com/tasking/v2/orders/"
BACKENDS = st.sampled_from(["asyncio", "trio"])


class Server:
    """A list with offsets; each response takes a second, and shows the list of the moment it is written."""

    def __init__(self, items: Sequence[object], default: int = 10, *, latency: Any = 1.0) -> None:
        self.items = list(items)
        self.default = default
        self.clock = FakeClock()
        self.latency: Callable[[int], float] = latency if callable(latency) else lambda _: latency
        self.offsets: list[int] = []
        self.under_way = self.most_under_way = 0
        self.cancelled = 0
        self.added: dict[int, list[tuple[int, object]]] = {}
        self.added_before: dict[int, list[tuple[int, object]]] = {}
        self.broken: dict[int, Response | PlanetError] = {}
        self.link: Callable[[int, int], str] = lambda limit, offset: (
            f"{URL}?{urlencode({'limit': limit, 'offset': offset, 'ordering': 'x'})}"
        )

    async def send(self, request: Request) -> Response:
        params = dict(parse_qsl(urlsplit(request.url).query)) | dict(request.params)
        limit, offset = int(params.get("limit", self.default)), int(params.get("offset", 0))
        number = len(self.offsets)
        self.offsets.append(offset)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await self.clock.sleep(self.latency(offset))
        except anyio.get_cancelled_exc_class():
            self.cancelled += 1
            raise
        finally:
            self.under_way -= 1
        for place, item in self.added.pop(number, []) + self.added_before.pop(offset, []):
            self.items.insert(min(place, len(self.items)), item)
        if offset in self.broken:
            found = self.broken[offset]
            if isinstance(found, PlanetError):
                raise found
            return found
        page = self.items[offset : offset + limit]
        more = offset + limit < len(self.items)
        following = self.link(limit, offset + limit) if more else None
        return reply(json={"count": len(self.items), "next": following, "previous": None, "results": page})

    async def aclose(self) -> None:
        """Nothing is open."""

    def list(self, concurrency: int = 1, **params: object) -> OffsetPaginator[str]:
        pairs = tuple((name, str(value)) for name, value in params.items())
        return OffsetPaginator(self, Request("GET", URL, params=pairs), TASKING_PAGES, id_of, concurrency)


def id_of(raw: msgspec.Raw, request: Request) -> str:
    try:
        return str(msgspec.json.decode(bytes(raw))["id"])
    except KeyError:
        raise DecodeError("`$.id` is missing", request=request) from None


def made(count: int) -> list[dict[str, str]]:
    return [{"id": f"{number:04}"} for number in range(count)]


def ids(items: Sequence[Any]) -> list[str]:
    return [item["id"] for item in items]


async def read(paginator: OffsetPaginator[str]) -> list[str]:
    return [item async for item in paginator]


@pytest.mark.parametrize(
    ("concurrency", "seconds"), [(1, 13), (2, 7), (3, 5), (4, 4), (6, 3), (12, 2), (50, 2)]
)
async def test_pages_are_fetched_side_by_side(concurrency: int, seconds: float) -> None:
    """The first page, then the other 12 in rounds of as many as allowed: that is the time it takes."""
    server = Server(made(125))
    assert await read(server.list(concurrency)) == ids(made(125))
    assert server.clock.monotonic() == seconds
    assert server.most_under_way == min(concurrency, 12)
    assert sorted(server.offsets) == list(range(0, 125, 10))


@pytest.mark.no_cover
@given(
    backend=BACKENDS,
    count=st.integers(0, 60),
    size=st.integers(1, 12),
    start=st.integers(0, 20),
    given_limit=st.booleans(),
    concurrency=st.integers(1, 7),
    latencies=st.lists(st.integers(1, 50), min_size=1, max_size=8),
    additions=st.lists(st.tuples(st.integers(0, 20), st.integers(0, 80)), max_size=8),
    at_the_end=st.booleans(),
    collected=st.booleans(),
)
@settings(max_examples=120, deadline=None)
def test_every_item_comes_once_and_in_order(  # noqa: PLR0917 - Hypothesis passes them by name
    backend: str,
    count: int,
    size: int,
    start: int,
    given_limit: bool,
    concurrency: int,
    latencies: list[int],
    additions: list[tuple[int, int]],
    at_the_end: bool,
    collected: bool,
) -> None:
    """Whatever the sizes, however late each response, and wherever items are added between any two responses.

    None that was there from the start is lost, none comes twice, and those come in the order of the list.
    What is added at the end, as it is where the oldest come first, comes in its place or not any more.
    """
    server = Server(made(count), size, latency=lambda offset: latencies[offset % len(latencies)] / 10)
    for number, (request, place) in enumerate(additions):
        where = 10_000 if at_the_end else place + start  # what is before the start moves others over it
        server.added.setdefault(request, []).append((where, {"id": f"new {number}"}))
    params = {"offset": start} if start else {}
    params |= {"limit": size} if given_limit else {}
    paginator = server.list(concurrency, **params)
    found = anyio.run(paginator.collect if collected else lambda: read(paginator), backend=backend)
    old = ids(made(count))[start:]
    assert [id_ for id_ in found if id_ in set(old)] == old
    assert len(found) == len(set(found))
    if at_the_end:
        assert found == ids(server.items)[start : start + len(found)]


@pytest.mark.no_cover
@given(
    backend=BACKENDS,
    count=st.integers(0, 60),
    size=st.integers(1, 12),
    concurrency=st.integers(1, 7),
    limit=st.integers(0, 70),
)
@settings(max_examples=80, deadline=None)
def test_collect_asks_for_no_page_too_many(
    backend: str, count: int, size: int, concurrency: int, limit: int
) -> None:
    """`collect(limit=...)` returns the first items, from the fewest pages that hold them."""
    server = Server(made(count), size)
    found = anyio.run(server.list(concurrency).collect, limit, backend=backend)
    assert found == ids(made(count))[:limit]
    needed = min(-(-limit // size), max(1, -(-count // size)))
    assert len(server.offsets) == needed


async def test_first_takes_one_request() -> None:
    """One item is on one page, whatever the concurrency; of an empty list it is None."""
    server = Server(made(100))
    assert await server.list(8).first() == "0000"
    assert server.offsets == [0]
    assert await Server([]).list(8).first() is None


async def test_nothing_is_sent_before_it_is_iterated() -> None:
    """A list that is not iterated over sends no request, and iterating again fetches it again."""
    server = Server(made(25))
    paginator = server.list(3)
    pages = paginator.pages()
    assert server.offsets == []
    assert [len(page) async for page in pages] == [10, 10, 5]
    assert await read(paginator) == ids(made(25))
    assert server.offsets.count(0) == 2


async def test_no_more_pages_are_held_than_allowed() -> None:
    """A slow reader has at most `concurrency` pages and one fetched ahead of the one at hand."""
    server = Server(made(1000))
    async for page in (pages := server.list(4).pages()):
        await server.clock.sleep(100)
        at_hand = int(page.items[0]) // 10
        assert len(server.offsets) <= at_hand + 1 + 5
        if at_hand == 20:
            break
    await pages.aclose()  # type: ignore[attr-defined]
    assert server.most_under_way <= 4


async def test_leaving_the_loop_cancels_what_is_under_way() -> None:
    """After a `break` nothing more is fetched, and the requests under way are given up."""
    server = Server(made(1000), latency=lambda offset: 1 if offset < 20 else 1000)
    async for item in server.list(5):
        if item == "0015":
            break
    gc.collect()
    for _ in range(50):
        await anyio.lowlevel.checkpoint()
    sent = len(server.offsets)
    assert server.cancelled == sent - 2 > 0
    assert server.under_way == 0
    await server.clock.sleep(5000)
    assert len(server.offsets) == sent


async def test_being_cancelled_cancels_what_is_under_way() -> None:
    """`collect` in a scope that is cancelled leaves no request behind."""
    server = Server(made(1000), latency=lambda offset: 1 if offset < 10 else 1000)
    with server.clock.move_on_after(5) as scope:
        await server.list(5).collect()
    assert scope.cancelled_caught
    assert (server.cancelled, server.under_way) == (5, 0)


@pytest.mark.parametrize("collected", [True, False])
async def test_an_error_comes_after_the_items_before_it(collected: bool) -> None:
    """One page that fails is its own error, not a group of them; the others are given up."""
    server = Server(made(100), latency=lambda offset: 1 if offset < 30 else 50)
    server.broken[20] = NotFound("404", status=404)
    seen: list[str] = []

    async def note_each() -> None:
        async for item in server.list(4):
            seen.append(item)  # noqa: PERF401 - those before the error are checked

    with pytest.raises(NotFound):
        await (server.list(4).collect() if collected else note_each())
    assert seen == ([] if collected else ids(made(20)))
    assert server.under_way == 0


async def test_an_item_without_an_id_is_not_taken_for_another() -> None:
    """What cannot be distinguished is never left out: the reader sees what is wrong with it."""
    server = Server([{"id": "a"}, {"name": "x"}, {"name": "x"}, "text", {"id": None}, {"id": "a"}], 2)
    pages = [len(page) async for page in server.list(2).pages()]
    assert pages == [2, 2, 1]
    with pytest.raises(DecodeError, match="missing"):
        await server.list(2).collect()


async def test_a_page_older_than_the_one_before_it_is_fetched_again() -> None:
    """An item that moved from a page not received yet to one already received is not lost."""
    # The second page is sent after one was added in front, the third before.
    server = Server(made(30), latency=lambda offset: 5 if offset == 10 else 1)
    server.added_before[10] = [(0, {"id": "new"})]
    assert await read(server.list(2)) == ids(made(30))
    assert sorted(server.offsets) == [0, 10, 20, 20, 30]


async def test_a_list_that_shrinks_is_read_to_its_end() -> None:
    """Pages that are gone do not stop or repeat anything; a smaller count is believed the second time."""
    server = Server(made(50))
    first = server.send

    async def send(request: Request) -> Response:
        response = await first(request)
        del server.items[35:]
        return response

    server.send = send  # type: ignore[method-assign]
    assert await read(server.list(2)) == ids(made(35))
    assert server.offsets.count(20) == 1


async def test_more_than_were_counted_are_followed() -> None:
    """The end is where there is no link: what was added after the count comes too."""
    server = Server(made(20))
    server.added[1] = [(99, item) for item in made(45)[20:]]
    assert await read(server.list(3)) == ids(made(45))


@pytest.mark.parametrize("size", [3, 7])
async def test_links_that_lead_elsewhere_than_foreseen_are_followed(size: int) -> None:
    """A server that changes the size of its pages half way is believed, not the plan."""
    server = Server(made(60))
    server.link = lambda limit, offset: f"{URL}?limit={size if offset > 10 else limit}&offset={offset}"
    assert await read(server.list(3)) == ids(made(60))


@pytest.mark.parametrize("link", ["?limit={}&offset={}", "/tasking/v2/orders/?limit={}&offset={}"])
async def test_relative_links(link: str) -> None:
    """A link may be relative to the list."""
    server = Server(made(35))
    server.link = link.format
    assert await read(server.list(3)) == ids(made(35))


async def test_links_without_offsets_are_followed_one_by_one() -> None:
    """Where nothing can be foreseen the links do."""
    bodies = {
        "": {"count": 3, "next": f"{URL}?page=2", "results": [{"id": "a"}]},
        "page=2": {"next": f"{URL}?page=3", "results": []},
        "page=3": {"next": None, "results": [{"id": "b"}, {"id": "a"}]},
    }

    class Pages(Server):
        async def send(self, request: Request) -> Response:
            return reply(json=bodies[urlsplit(request.url).query])

    assert await read(Pages([]).list(4)) == ["a", "b"]


async def test_without_a_count_the_links_are_followed() -> None:
    """A page that does not say how many there are foretells nothing."""
    server = Server(made(30))
    send = server.send

    async def without_count(request: Request) -> Response:
        body = msgspec.json.decode(await (await send(request)).read())
        return reply(json={**body, "count": None})

    server.send = without_count  # type: ignore[method-assign]
    assert await read(server.list(4)) == ids(made(30))
    assert server.most_under_way == 1


@pytest.mark.parametrize(
    ("link", "problem"),
    [
        ("https://elsewhere.example/?limit=10&offset={1}", "another origin"),
        ("http://api.planet.com/tasking/v2/orders/?limit=10&offset={1}", "another origin"),
        (f"{URL}?limit=10&offset=0", "came twice"),
        (f"{URL}?limit=10&page=2", "came twice"),
    ],
)
async def test_links_that_must_not_be_followed(link: str, problem: str) -> None:
    """A link to another origin is not followed, with the credential; a circle is left."""
    server = Server(made(100))
    server.link = link.format
    with pytest.raises(PagingError, match=problem):
        await server.list(3).collect()
    assert len(server.offsets) <= 3


async def test_concurrency_is_at_least_one() -> None:
    """None at a time would never end."""
    with pytest.raises(InvalidRequest, match="concurrency"):
        Server([]).list(0)


async def test_planned_pages_that_are_not_needed_are_cancelled() -> None:
    """Where the links lead elsewhere, pages that were begun ahead do not delay those that are wanted."""
    server = Server(made(100), latency=lambda offset: 60.0 if offset in {20, 30, 40, 50} else 1.0)
    under_way = []

    def link(limit: int, offset: int) -> str:
        under_way.append(server.under_way)
        return f"{URL}?limit={limit}&offset={15 if offset == 20 else offset}"

    server.link = link
    assert await read(server.list(4)) == ids(made(100))
    assert under_way[2:] == [0] * len(under_way[2:])
    assert server.cancelled == 4
    assert server.clock.monotonic() == 11
