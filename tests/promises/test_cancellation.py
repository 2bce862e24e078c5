"""Every call, cancelled wherever it waits: nothing stays open, at work, half written or taken."""

import asyncio
import gc
import inspect
import re
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import pytest
import trio
from attrs import define
from every_call import CALLS, ORDER, ORDERS, TASKING, Call, Scene, simulated
from spine import budget, cancelled_at_each_step, get, settle

from planet_async import ApiKey, BulkResult, ClientClosed, Config, Planet, PlanetError
from planet_async._tasks import on_asyncio
from planet_async.config import DOCUMENTED_RATES
from planet_async.downloads.download import download
from planet_async.downloads.part_file import Folder, PartFile
from planet_async.downloads.remote_file import RemoteFile
from planet_async.http import Request, Response, Transport
from planet_async.layers.rate_limit import RateLimit
from planet_async.services.basemaps import Basemaps
from planet_async.services.data import Data, Searches
from planet_async.services.destinations import Destinations
from planet_async.services.features import Features
from planet_async.services.orders import Orders
from planet_async.services.quota import Quota
from planet_async.services.reports import Reports
from planet_async.services.subscriptions import Subscriptions
from planet_async.services.tasking import Tasking
from planet_async.simulator import Limits, OrderPlan, Simulator
from planet_async.simulator.server import serve
from planet_async.testing import FakeClock, FakeTransport, reply
from planet_async.testing.conformance import Stepped
from planet_async.testing.conformance import cancelled_at_each_step as steps_over_loopback
from planet_async.transports import TransportName

pytestmark = [pytest.mark.anyio, pytest.mark.no_cover]

T = TypeVar("T")


def test_every_method_is_here() -> None:
    """What follows is about every public method of the services."""
    services: dict[str, type] = {
        "data": Data,
        "data.searches": Searches,
        "orders": Orders,
        "subscriptions": Subscriptions,
        "tasking": Tasking,
        "reports": Reports,
        "features": Features,
        "destinations": Destinations,
        "basemaps": Basemaps,
        "quota": Quota,
    }
    public = {
        f"{name}.{method}"
        for name, service in services.items()
        for method, _ in inspect.getmembers(service, inspect.isfunction)
        if not method.startswith("_")
    }
    public -= {"orders.poll_now", "subscriptions.poll_now", "tasking.poll_now"}  # they wait for nothing
    assert public == {name.partition(",")[0] for name in CALLS if "." in name}


@define
class Moments:
    """The places where a call waits, in whatever task: it is cancelled at the one that is wanted."""

    wanted: int = -1
    passed: int = 0
    cancel: Callable[[], object] = lambda: None

    def here(self) -> bool:
        """Pass one, and tell whether it was it; between two nothing waits but on another task of the call."""
        wanted = self.passed == self.wanted
        if wanted:
            self.cancel()
        self.passed += 1
        return wanted


class MomentClock(FakeClock):
    """A clock whose every sleep is such a place."""

    def __init__(self, moments: Moments) -> None:
        super().__init__()
        self._moments = moments

    async def sleep(self, seconds: float) -> None:
        self._moments.here()
        await super().sleep(seconds)


class MomentTransport:
    """A network where sending, each piece of a body, and what comes after it are such places."""

    def __init__(self, inner: Transport, moments: Moments) -> None:
        self._inner = inner
        self._moments = moments

    async def send(self, request: Request) -> Response:
        if self._moments.here():
            await settle()  # a closing needs a task's turn before it is heard
        response = await self._inner.send(request)
        self._moments.here()
        inside = response.chunks()
        here = self._moments.here

        class Pieces(AsyncIterator[bytes]):
            async def __anext__(self) -> bytes:
                here()
                return await anext(inside)

        return Response(response.status, response.headers, Pieces(), url=response.url, close=response.aclose)

    async def aclose(self) -> None:
        await self._inner.aclose()


@define
class Closable:
    """A network that is shared, but not used by a client that has closed it."""

    inner: Transport
    closed: bool = False

    async def send(self, request: Request) -> Response:
        assert not self.closed, f"{request} is sent after closing"
        return await self.inner.send(request)

    async def aclose(self) -> None:
        self.closed = True


MakeCall = Callable[[], Coroutine[Any, Any, object]]


@define
class World:
    """A client over the simulator, and what must be as it was after each cancellation."""

    simulator: Simulator
    network: Transport
    clock: FakeClock
    folder: Path
    scene: Scene
    moments: Moments
    whole: dict[str, bytes]
    tasks: int = 0

    @contextmanager
    def call(self, name: str) -> Iterator[MakeCall]:
        """Prepare a call to be made again and again, with a folder of its own; errors name it."""
        self.scene.folder = self.folder / name
        self.scene.folder.mkdir()
        try:
            yield lambda: CALLS[name](self.scene)
        except BaseException as error:
            error.add_note(f"It was {name}.")
            raise

    def check(self) -> None:
        assert self.simulator.open_responses == 0, "a response is open"
        assert tasks_alive() == self.tasks, "a task is at work"
        for name, content in files_in(self.scene.latest).items():
            if not name.endswith(".part"):
                assert content == self.whole.get(name, content), f"{name} is not whole"

    async def check_when_settled(self) -> None:
        await FakeClock().sleep(1)  # it is over when all others wait, and no thread is at work
        if tasks_alive() != self.tasks:
            gc.collect()  # an iterator that was dropped may be part of a cycle
            await FakeClock().sleep(1)
        self.check()


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def tasks_alive() -> int:
    gc.collect(0)  # an iterator that was dropped ends its task
    if on_asyncio():
        return len(asyncio.all_tasks())
    return trio.lowlevel.current_statistics().tasks_living


def client(network: Transport, clock: FakeClock) -> Planet:
    config = Config(rates={}, durable=False)  # to synchronize files takes long, and is no place to wait
    return Planet(config, credentials=ApiKey("any"), transport=network, clock=clock)


@asynccontextmanager
async def world(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    moments = Moments()
    simulator = simulated(clock := MomentClock(moments))
    run_in_thread = anyio.to_thread.run_sync

    async def run_sync(act: Callable[..., T], *arguments: Any, **how: Any) -> T:
        moments.here()
        found = await run_in_thread(act, *arguments, **how)
        moments.here()
        return found

    monkeypatch.setattr("anyio.to_thread.run_sync", run_sync)
    network = MomentTransport(simulator, moments)
    async with client(network, clock) as planet:
        scene = await Scene.prepared(planet, folder)
        folders = [folder / "order", folder / "report", folder / "asset", folder / "quads"]
        await planet.orders.download(scene.order, folders[0])
        await planet.reports.download(scene.report, folders[1])
        await planet.data.download(scene.item, "ortho_udm2", folders[2])
        await planet.basemaps.download(scene.quads, folders[3])
        whole = {name: content for root in folders for name, content in files_in(root).items()}
        assert len(whole) > 4
        found = World(simulator, network, clock, folder, scene, moments, whole)
        await settle()
        found.tasks = tasks_alive()
        yield found


async def by_scope(call: Coroutine[Any, Any, object], moments: Moments) -> None:
    with anyio.CancelScope() as scope:
        moments.cancel = scope.cancel
        await call


async def by_asyncio(call: Coroutine[Any, Any, object], moments: Moments) -> None:
    task = asyncio.ensure_future(call)
    moments.cancel = task.cancel
    with suppress(asyncio.CancelledError):
        await task


async def cancelled_at_each_moment(
    call: MakeCall,
    world: World,
    cancelled: Callable[[Coroutine[Any, Any, object], Moments], Awaitable[None]],
) -> int:
    """Make the call again and again, cancelled at each place in turn, until one gets through."""
    moments = world.moments
    for number in count():
        moments.wanted, moments.passed = number, 0
        await cancelled(call(), moments)
        reached = moments.passed > number
        moments.wanted = -1
        await world.check_when_settled()
        if not reached:
            return number
    raise AssertionError("unreachable")


OTHERS = {name: call for name, call in CALLS.items() if name not in {**ORDERS, **TASKING}}
# In one world for all, the link of the asset would expire while tasking orders are waited for.
every_call = pytest.mark.parametrize("calls", [ORDERS, TASKING, OTHERS], ids=["orders", "tasking", "others"])


@every_call
async def test_cancelled_anywhere_nothing_is_left(
    calls: Iterable[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No open response, no task, no half-written file, no lock: at the end the same call gets through."""
    async with world(tmp_path, monkeypatch) as here:
        for name in calls:
            with here.call(name) as call:
                assert await cancelled_at_each_moment(call, here, by_scope) > 1
                assert await cancelled_at_each_step(call, here.check_when_settled) > 0
                if on_asyncio():
                    assert await cancelled_at_each_moment(call, here, by_asyncio) > 1


def _size(found: object) -> int:
    if isinstance(found, BulkResult):
        return len(found.ids) + len(found.failures)
    return len(found) if isinstance(found, list | tuple) else 1


@pytest.mark.usefixtures("anyio_backend")
@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
@every_call
@pytest.mark.filterwarnings(
    "ignore:coroutine .* was never awaited"
)  # one that is cancelled before it has begun
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_who_cancels_a_task_inside_gets_an_error_or_all(
    calls: Iterable[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a program ends all its tasks but the one that waits: a part of the result is no result."""
    async with world(tmp_path, monkeypatch) as here:
        whole = 0

        async def by_others(call: Coroutine[Any, Any, object], moments: Moments) -> None:
            before = asyncio.all_tasks()
            task = asyncio.ensure_future(call)

            def cancel() -> None:
                for other in asyncio.all_tasks() - before - {task}:
                    other.cancel()

            moments.cancel = cancel
            with suppress(PlanetError, asyncio.CancelledError):
                assert _size(await task) >= whole

        for name in calls:
            if "new" in name:
                continue  # it has tasks of the test
            with here.call(name) as call:
                whole = _size(await call())
                await cancelled_at_each_moment(call, here, by_others)


GO_ON = {
    *("list", "list_captures", "results", "results_csv", "rows", "open"),
    *("wait", "wait_many", "watch", "run", "download", "search"),
}


@every_call
async def test_closed_anywhere_the_call_ends(
    calls: Iterable[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client closed while a list is read, or a call makes several requests, ends it as ClientClosed."""
    async with world(tmp_path, monkeypatch) as here:
        closed = 0

        async def by_closing(call: Coroutine[Any, Any, object], moments: Moments) -> None:
            nonlocal closed
            async with anyio.create_task_group() as group:
                moments.cancel = partial(group.start_soon, here.scene.planet.aclose)
                try:
                    await call
                except ClientClosed:
                    closed += 1

        def with_a_new_client(call: MakeCall) -> Coroutine[Any, Any, object]:
            here.scene.planet = client(Closable(here.network), here.clock)
            return call()

        for name in calls:
            if re.split("[.,]", f"{name}.")[1] in GO_ON:
                with here.call(name) as call:
                    closed = 0
                    await cancelled_at_each_moment(partial(with_a_new_client, call), here, by_closing)
                    assert closed > 0


@pytest.mark.usefixtures("anyio_backend")
@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
@pytest.mark.parametrize("step", ["claim", "write", "accept"])
async def test_asyncios_own_cancellation_leaves_no_thread_at_a_file(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`task.cancel()` while a thread works on a part: it is waited for, and the part is free afterwards."""
    begun, go_on = threading.Event(), threading.Event()
    act = getattr(PartFile, step)

    def slow(part: PartFile, *arguments: object, **options: object) -> object:
        begun.set()
        go_on.wait(10)
        return act(part, *arguments, **options)

    monkeypatch.setattr(PartFile, step, slow)
    network = FakeTransport(lambda _: reply(body=b"content"))
    file = RemoteFile("a", Request("GET", "https://storage.example/a"))
    task = asyncio.ensure_future(download(network, file, Folder(tmp_path), clock=FakeClock(), max_attempts=5))
    assert await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    await settle()
    assert not task.done(), "a thread was left behind"
    go_on.set()
    with suppress(asyncio.CancelledError):
        await task
    other = PartFile(tmp_path, file, overwrite=False, durable=False)
    assert other.claim(), "the part is still locked"
    await other.aclose()


@pytest.mark.parametrize("kind", DOCUMENTED_RATES)
async def test_who_gives_up_in_line_takes_no_turn(kind: str) -> None:
    """Cancelled wherever it waits for its turn, a request delays none: the next goes when it would have."""
    operation = kind if "." in kind else f"{kind}.request"
    [*_, undisturbed] = await times_sent(operation, None)
    for step in count():
        times = await times_sent(operation, step)
        if len(times) > 3:  # it waited no more, and was sent
            break
        assert times[-1] == undisturbed
    assert step > 1


async def times_sent(operation: str, step: int | None) -> list[float]:
    """Send three of that class, and before the last one another that is cancelled at that step; give when."""
    clock, times = FakeClock(), list[float]()

    class Noting(FakeTransport):
        async def send(self, request: Request) -> Response:
            times.append(clock.monotonic())
            return await super().send(request)

    limited = RateLimit(Noting(lambda _: reply()), budget(clock))

    async def cancelled(step: int) -> None:
        with anyio.CancelScope() as scope:
            await Stepped(limited.send(get(operation=operation)), step, scope.cancel)

    async with anyio.create_task_group() as group:
        for turn in range(4):
            if turn != 2:
                group.start_soon(limited.send, get(operation=operation))
            elif step is not None:
                group.start_soon(cancelled, step)
            await settle()
    return times


REACHED: Mapping[str, Call] = {
    name: CALLS[name] for name in ("orders.get", "orders.list", "orders.list, left", "orders.download")
}


@pytest.mark.parametrize("name", REACHED)
@pytest.mark.parametrize("transport", ["httpx", "httpx2", "aiohttp"])
async def test_over_real_sockets_no_connection_stays_taken(
    transport: TransportName, name: str, tmp_path: Path, anyio_backend: str
) -> None:
    """Cancelled at each step over loopback, every connection that there may be is free again."""
    if transport == "aiohttp" and anyio_backend == "trio":
        pytest.skip("aiohttp runs on asyncio only")
    simulator = Simulator(
        limits=Limits.unlimited(), plan=OrderPlan(queue_seconds=0, run_seconds=0), file_bytes=64, page_size=2
    )
    with serve(simulator) as url:
        config = Config(base_url=url, rates={}, max_connections=1, max_downloads=1)
        async with Planet(config, credentials=ApiKey("any"), transport=transport) as planet:
            orders = [await planet.orders.create(ORDER) for _ in range(3)]  # the list has a second page
            parts = ("",) * 6
            scene = Scene(planet, tmp_path, orders[0], *parts)

            async def check() -> None:
                gc.collect(0)
                with anyio.fail_after(10):  # the only place for a request, and for a download, is free
                    order = await planet.orders.get(orders[0].id)
                    async with planet.orders.open(order.results[0]) as file:
                        async for _ in file:
                            pass

            assert await steps_over_loopback(lambda: REACHED[name](scene), check) > 0


CALLBACKS: Mapping[str, Callable[[Scene, Callable[[object], None]], Awaitable[object]]] = {
    "download": lambda scene, raises: scene.planet.orders.download(scene.order, scene.to(), progress=raises),
    "report": lambda scene, raises: scene.planet.reports.download(scene.report, scene.to(), progress=raises),
    "run": lambda scene, raises: anext(scene.planet.orders.run([ORDER], scene.to(), progress=raises)),
    "run, update": lambda scene, raises: anext(
        scene.planet.orders.run([ORDER], scene.to(), on_update=raises)
    ),
    "wait": lambda scene, raises: scene.planet.orders.wait(scene.order.id, on_update=raises),
}


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, KeyError])
@pytest.mark.parametrize("name", CALLBACKS)
async def test_what_a_callback_raises_comes_out_as_it_is(
    name: str, kind: type[BaseException], tmp_path: Path
) -> None:
    """Not in a group: what should end the program can be caught where the call was made."""

    def raises(_: object) -> None:
        raise kind("stop")

    simulator = simulated(clock := FakeClock())
    async with Planet(
        Config(rates={}), credentials=ApiKey("any"), transport=simulator, clock=clock
    ) as planet:
        scene = await Scene.prepared(planet, tmp_path)
        caught: list[type[BaseException]] = []
        try:
            await CALLBACKS[name](scene, raises)
        except BaseException as error:  # noqa: BLE001 - it is the finding
            caught.append(type(error))
        assert caught == [kind]
