"""The example application: what a browser makes of it, and what two hundred pages cost."""

import asyncio
import runpy
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, aclosing, asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx
import msgspec
import pytest
import uvicorn
from anyio.from_thread import BlockingPortal, start_blocking_portal
from attrs import define, field
from browser import opened_browser

import planet_async
from planet_async import ApiKey, ClientClosed, Config, Planet
from planet_async.simulator import Limits, OrderPlan, Simulator
from planet_async.simulator.server import serving
from planet_async.transports.httpx import HttpxTransport

pytestmark = pytest.mark.no_cover
APP = Path(__file__).parents[1] / "docs/examples/web/app.py"
TOKEN = "ngWJy2OiIOuDyN59cl4zSt0b_c0T2XLefW8XiiWgfOs"
PAGES = 200
BROWSER_PAGES = 2
ORDERS = 8  # more than are cheaper polled one by one
SECONDS = 60.0  # longer than the longest pause between two lists
PRODUCT = {
    "item_ids": ["20221221_084022_18_2414"],
    "item_type": "PSScene",
    "product_bundle": "analytic_udm2",
}


@define(eq=False)
class HeldClock:
    """A clock whose time moves by `advance` only: `FakeClock` takes tasks that wait for sockets for idle."""

    _elapsed: float = 0.0
    _alarms: list[tuple[float, anyio.Event]] = field(factory=list)

    def monotonic(self) -> float:
        return self._elapsed

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self._elapsed)

    @property
    def is_slept_on(self) -> bool:
        """Return whether a task waits for the time to move: of this client, one that has nothing to do."""
        return any(due > self._elapsed for due, _ in self._alarms)

    def advance(self, seconds: float) -> None:
        self._elapsed += seconds
        for due, event in self._alarms:
            if due <= self._elapsed:
                event.set()

    async def sleep(self, seconds: float) -> None:
        alarm = (self._elapsed + seconds, anyio.Event())
        if seconds <= 0:
            alarm[1].set()
        self._alarms.append(alarm)
        try:
            await alarm[1].wait()
        finally:
            self._alarms.remove(alarm)

    @contextmanager
    def move_on_after(self, seconds: float) -> Iterator[anyio.CancelScope]:
        with anyio.CancelScope() as scope:
            yield scope


@define
class Served:
    """The application and what it stands on, served by a thread of `portal`."""

    url: str
    portal: BlockingPortal
    simulator: Simulator
    clock: HeldClock
    server: uvicorn.Server
    end: Callable[[], Awaitable[None]]

    def advance(self, seconds: float) -> None:
        self.portal.call(self.clock.advance, seconds)

    def run(self, function: Callable[..., Awaitable[Any]], *args: object) -> Any:
        return self.portal.call(function, *args)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    with (
        start_blocking_portal("asyncio") as portal,
        portal.wrap_async_context_manager(_serving(portal, monkeypatch)) as served,
    ):
        yield served
    assert served.simulator.open_responses == 0


@asynccontextmanager
async def _serving(portal: BlockingPortal, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    clock = HeldClock()
    simulator = Simulator(plan=OrderPlan(queue_seconds=1e4, run_seconds=1e4), limits=Limits.unlimited())
    before = asyncio.all_tasks()
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=2 * PAGES))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        base_url = await stack.enter_async_context(serving(simulator))
        credentials = ApiKey("any")
        client = Planet(Config(base_url=base_url, rates={}), credentials=credentials, clock=clock)
        monkeypatch.setenv("WEBHOOK_TOKEN", TOKEN)
        monkeypatch.setenv("PUBLIC_URL", url)
        monkeypatch.setattr(planet_async, "Planet", lambda: client)
        app = runpy.run_path(str(APP))["app"]
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1))

        async def end() -> None:
            server.should_exit = True
            await serve

        network = await stack.enter_async_context(aclosing(HttpxTransport()))
        calls = asyncio.create_task(simulator.post_notifications(network, every=0.05))
        serve = asyncio.create_task(server.serve([listener]))
        await until(lambda: server.started)
        yield Served(url, portal, simulator, clock, server, end)
        await end()
        calls.cancel()
        await asyncio.wait([calls])
    with pytest.raises(ClientClosed):
        await client.orders.stats()
    assert asyncio.all_tasks() == before, "a task was left behind"


async def until(holds: Callable[[], bool]) -> None:
    with anyio.fail_after(60):
        while not holds():  # noqa: ASYNC110 - of another thread, and of a browser
            await anyio.sleep(0.01)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with opened_browser() as browser:
        yield browser


@contextmanager
def opened(browser: Any, url: str) -> Iterator[Any]:
    """Open the page, as a user of its own, and check that no script fails."""
    problems: list[str] = []

    def note(message: Any) -> None:
        if message.type == "error" and "status of 409" not in message.text:  # what is refused, on purpose
            problems.append(message.text)

    page = browser.new_page()
    page.set_default_timeout(60_000)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", note)
    page.goto(url)
    yield page
    page.close()
    assert not problems


def place(page: Any, name: str) -> Any:
    """Fill in the form, and return the row of the order."""
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Place order").click()
    row = page.locator("tbody tr", has_text=name)
    row.wait_for()
    return row


def test_a_page_shows_each_state_without_reloading(browser: Any, served: Served) -> None:
    """An order is placed, another one cancelled, and both are followed to their end; so on a second page."""
    with opened(browser, served.url) as page:
        page.get_by_text("All orders have ended.").wait_for()
        first = place(page, "<b>field 7</b>")
        first.get_by_text("queued").wait_for()
        second = place(page, "field 8")
        with opened(browser, served.url) as other:
            other.get_by_text("Live: ").wait_for()
            assert other.locator("tbody tr", has_text="queued").count() == 2
            # Polled by nobody but for this: the time of the client stands still.
            second.get_by_role("button", name="Cancel").click()
            for each in (page, other):
                each.locator("tr.cancelled", has_text="field 8").wait_for()
            served.simulator.move_clock(1e4)
            first.get_by_role("button", name="Cancel").click()
            page.get_by_role("alert").get_by_text("not in a cancellable state").wait_for()
            served.advance(SECONDS)
            for each in (page, other):
                each.locator("tr.running", has_text="<b>field 7</b>").wait_for()
            served.simulator.move_clock(1e4)  # and Planet calls the webhook
            for each in (page, other):
                each.locator("tr.success", has_text="<b>field 7</b>").wait_for()
                each.get_by_text("All orders have ended.").wait_for()
    states = [order.state for order in served.simulator.orders.values()]
    assert sorted(states) == ["cancelled", "success"]


def test_two_hundred_pages_cost_no_more_than_one(browser: Any, served: Served) -> None:
    """One list request shows all pages what has changed; what has ended is fetched once for all of them."""
    ids = served.run(_place_some, served.url)
    with served.portal.wrap_async_context_manager(_watching(served.url, ids, 1)) as seen:
        served.run(until, lambda: seen["queued"] == ORDERS and served.clock.is_slept_on)
        of_one = _cost(served, lambda: served.clock.is_slept_on)
    served.run(until, lambda: not served.server.server_state.tasks)

    many = PAGES - BROWSER_PAGES
    with (
        ExitStack() as stack,
        served.portal.wrap_async_context_manager(_watching(served.url, ids, many)) as seen,
    ):
        pages = [stack.enter_context(opened(browser, served.url)) for _ in range(BROWSER_PAGES)]
        for page in pages:
            page.get_by_text("Live: ").wait_for()
        served.run(until, lambda: seen["queued"] == ORDERS * many and served.clock.is_slept_on)
        of_many = _cost(served, lambda: served.clock.is_slept_on)
        served.simulator.move_clock(1e4)
        served.simulator.move_clock(1e4)
        of_ends = _cost(served, lambda: seen["success"] == ORDERS * many)
        for page in pages:
            page.get_by_text("All orders have ended.").wait_for()
            assert page.locator("tr.success").count() == ORDERS
    assert of_one["orders.list"] == of_many["orders.list"] == of_ends["orders.list"] == 1
    assert of_many["orders.get"] <= ORDERS
    assert of_ends["orders.get"] == ORDERS
    assert TOKEN not in str(served.run(_texts, served.url))


def test_it_ends_while_pages_are_open(served: Served) -> None:
    """Open pages delay the end for as long as uvicorn is told, and leave nothing behind."""
    ids = served.run(_place_some, served.url)
    watching = served.portal.start_task_soon(_watch_to_the_end, served.url, ids)
    served.run(until, lambda: served.clock.is_slept_on)
    served.run(served.end)
    with pytest.raises(httpx.RemoteProtocolError):
        watching.result(timeout=60)


def _cost(served: Served, holds: Callable[[], bool]) -> Counter[str]:
    """Move the time, and return the requests until something holds."""
    before = served.simulator.requests.copy()
    served.advance(SECONDS)
    served.run(until, holds)
    return served.simulator.requests - before


async def _place_some(url: str) -> list[str]:
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        placed = []
        for number in range(ORDERS):
            response = await client.post("/orders", json={"name": f"field {number}", "products": [PRODUCT]})
            assert response.status_code == 201
            placed.append(response.json()["id"])
        return placed


async def _watch_to_the_end(url: str, ids: list[str]) -> None:
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        await client.get("/events", params={"order_id": ids}, timeout=60)


async def _texts(url: str) -> list[str]:
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        return [(await client.get("/orders")).text]


@asynccontextmanager
async def _watching(url: str, ids: list[str], times: int) -> AsyncIterator[Counter[str]]:
    """Read the events of the orders many times at once, and count the states that they show."""
    seen = Counter[str]()
    limits = httpx.Limits(max_connections=None)

    async def watch(client: httpx.AsyncClient) -> None:
        async with client.stream("GET", "/events", params={"order_id": ids}) as response:
            async for line in response.aiter_lines():
                if line.startswith("data: "):
                    seen[msgspec.json.decode(line.removeprefix("data: "))["state"]] += 1

    async with (
        httpx.AsyncClient(base_url=url, limits=limits, timeout=60, trust_env=False) as client,
        anyio.create_task_group() as group,
    ):
        for _ in range(times):
            group.start_soon(watch, client)
        yield seen
        group.cancel_scope.cancel()
