"""An account of a small service, in virtual time: things that end, and lists of them that may go wrong."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import islice
from math import inf
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec
from attrs import define, frozen

from planet_async.config import Schedule
from planet_async.errors import NotFound, PlanetError
from planet_async.http import Request, Response
from planet_async.models.codec import decode
from planet_async.outcome import Outcome
from planet_async.paging import ORDERS_PAGES, Paginator
from planet_async.testing import FakeClock
from planet_async.waiting.poller import Poller
from planet_async.waiting.sweep import ListQueries
from planet_async.waiting.waiter import WaitForMany, wait_for

_START = datetime(2026, 1, 1, tzinfo=UTC)
_REQUEST_SECONDS = 0.05
_LONG = 100_000.0  # seconds: what is not noticed by then never is


@frozen
class Seen:
    """A thing as a poll or a list shows it."""

    id: str
    state: str


@define
class Thing:
    """Runs until `ends`; the lists do not have it from `hidden_from` to `shown_from`."""

    id: str
    ends: float = inf
    hidden_from: float = inf
    shown_from: float = inf

    def state(self, now: float) -> str:
        return "done" if now >= self.ends else "running"

    def in_lists(self, now: float) -> bool:
        return now < self.hidden_from or now >= self.shown_from


class Account:
    """Responds to polls and lists; `jumps` are moments when the server's clock is set, and by how much."""

    def __init__(self, clock: FakeClock, things: Iterable[Thing] = (), *, page_size: int = 500) -> None:
        self.clock = clock
        self.things = {thing.id: thing for thing in things}
        self.page_size = page_size
        self.jumps: list[tuple[float, float]] = []
        self.requests: list[tuple[float, str]] = []
        self.failure: Callable[[str, Request], PlanetError | None] = lambda _operation, _request: None
        self.dates = True
        self.backwards = False
        self.extra = b""
        self.endless: tuple[str, ...] = ()  # lists whose pages lead on for ever
        self.endless_item = b""
        self.polling = Counter[str]()
        self.most_polls_at_one = 0
        self.unfiltered = 0
        self.poller = Poller(
            self.poll,
            clock=clock,
            schedule=Schedule(),
            lists=ListQueries(
                self._changed, lambda: self._list("unfinished"), lambda: self._list("finished")
            ),
        )

    # What is counted

    @property
    def counts(self) -> Counter[str]:
        return Counter(what for _, what in self.requests)

    @property
    def lists(self) -> int:
        return sum(self.counts[name] for name in ("changed", "unfinished", "finished"))

    # Waiting

    def wait_many(self, ids: Iterable[str], timeout: float | None = None) -> WaitForMany[Seen]:
        return WaitForMany(self.poller, ids, is_done, timeout=timeout)

    async def wait(
        self,
        id_: str,
        timeout: float | None = None,
        on_update: Callable[[Seen], None] | None = None,
    ) -> Seen:
        return await wait_for(self.poller, id_, is_done, timeout=timeout, on_update=on_update)

    async def delays(self, ids: Iterable[str]) -> dict[str, float]:
        """Wait for all; return how long after its end each was noticed."""
        found: dict[str, float] = {}
        async for outcome in self.wait_many(ids, timeout=_LONG):
            found[outcome.id] = self.clock.monotonic() - self.things[outcome.unwrap().id].ends
        return found

    # The service

    async def poll(self, id_: str) -> Seen:
        self.requests.append((self.clock.monotonic(), "poll"))
        self.polling[id_] += 1
        self.most_polls_at_one = max(self.most_polls_at_one, self.polling[id_])
        try:
            await self.clock.sleep(_REQUEST_SECONDS)
        finally:
            self.polling[id_] -= 1
        request = Request("GET", f"https://example.com/{id_}", operation="poll")
        if (error := self.failure("poll", request)) is not None:
            raise error
        if id_ not in self.things:
            raise NotFound(f"no {id_}", status=404)
        return Seen(id_, self.things[id_].state(self.clock.monotonic()))

    def _changed(self, since: datetime, ended: bool) -> Paginator[Seen]:
        return self._list("changed", since=str(since.timestamp()), ended=str(int(ended)))

    def _list(self, name: str, **params: str) -> Paginator[Seen]:
        url = f"https://example.com/{name}?{urlencode(params)}"
        first = Request("GET", url, operation=name)
        return Paginator(self, first, ORDERS_PAGES, lambda raw, _: decode(Seen, raw))

    async def send(self, request: Request) -> Response:
        now = self.clock.monotonic()
        self.requests.append((now, request.operation))
        await self.clock.sleep(_REQUEST_SECONDS)
        if (error := self.failure(request.operation, request)) is not None:
            raise error
        query = dict(parse_qsl(urlsplit(request.url).query))
        if request.operation in self.endless:
            return self._endless_page(request, query)
        self.unfiltered += query.get("ended") == "0"
        beyond = int(query.get("beyond", -1))
        everything = list(self.things.values())
        places = range(len(everything))
        if self.backwards:
            places = places[::-1]
        places = places[places.index(beyond) + 1 if beyond >= 0 else 0 :]
        wanted = self._wanted(request.operation, query, now)
        found = list(islice((place for place in places if wanted(everything[place])), self.page_size + 1))
        page = found[: self.page_size]
        links = {}
        if len(found) > len(page):
            links["next"] = f"?{urlencode({**query, 'beyond': page[-1]})}"
        things = [_shown(everything[place], now) for place in page]
        if self.extra:
            things.append(self.extra)
        body = b'{"_links":%b,"orders":[%b]}' % (msgspec.json.encode(links), b",".join(things))
        date = format_datetime(_START + timedelta(seconds=int(self.server_time(now))), usegmt=True)
        return Response(200, {"date": date} if self.dates else {}, body, url=request.url)

    def _endless_page(self, request: Request, query: dict[str, str]) -> Response:
        number = int(query.get("page", 0)) + 1
        links = msgspec.json.encode({"next": f"?{urlencode({**query, 'page': number})}"})
        body = b'{"_links":%b,"orders":[%b]}' % (links, self.endless_item)
        date = format_datetime(_START + timedelta(seconds=int(self.clock.monotonic())), usegmt=True)
        return Response(200, {"date": date}, body, url=request.url)

    def _wanted(self, name: str, query: dict[str, str], now: float) -> Callable[[Thing], bool]:
        """Return the filter of a list; things change when they end, and never else."""
        if name == "changed":
            since = float(query["since"]) - _START.timestamp()
            return lambda thing: (
                thing.ends <= now and self.server_time(thing.ends) >= since and thing.in_lists(now)
            )
        finished = name == "finished"
        return lambda thing: (now >= thing.ends) == finished and thing.in_lists(now)

    def server_time(self, moment: float) -> float:
        """Return what the clock of the server shows at a moment of ours."""
        if not self.jumps:  # called for every thing, again and again
            return moment
        passed = bisect_left(self.jumps, (moment, inf))
        return moment + sum(seconds for _, seconds in self.jumps[:passed])

    async def aclose(self) -> None:
        """Do nothing."""


def _shown(thing: Thing, now: float) -> bytes:
    return msgspec.json.encode({"id": thing.id, "state": thing.state(now)})


def is_done(seen: Seen) -> bool:
    return seen.state == "done"


async def collected(outcomes: WaitForMany[Seen]) -> list[Outcome[Seen]]:
    return [outcome async for outcome in outcomes]


def spread(count: int, start: float, seconds: float, name: str = "t") -> list[Thing]:
    """Make things that end one after the other."""
    return [Thing(f"{name}{number}", start + seconds * number / count) for number in range(count)]
