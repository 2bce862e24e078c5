"""Every call, cancelled wherever it waits: nothing stays open, at work, half written or taken."""

import asyncio
import gc
import inspect
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import pytest
import trio
from attrs import define
from every_call import CALLS, Call, Scene, simulated
from spine import cancelled_at_each_step, settle

from planet_async import ApiKey, Config, Planet
from planet_async._background import on_asyncio
from planet_async.downloads import download
from planet_async.http import Request, Response, Transport
from planet_async.part_file import PartFile
from planet_async.remote_files import RemoteFile
from planet_async.services.orders import Orders
from planet_async.services.reports import Reports
from planet_async.services.subscriptions import Subscriptions
from planet_async.services.tasking import Tasking
from planet_async.simulator import Simulator
from planet_async.testing import FakeClock, FakeTransport, reply

pytestmark = pytest.mark.anyio

T = TypeVar("T")


def test_every_method_is_here() -> None:
    """What follows is about every public method of the four services."""
    services = {"orders": Orders, "subscriptions": Subscriptions, "tasking": Tasking, "reports": Reports}
    public = {
        f"{name}.{method}"
        for name, service in services.items()
        for method, _ in inspect.getmembers(service, inspect.isfunction)
        if not method.startswith("_")
    }
    public -= {"orders.notice", "subscriptions.notice"}  # they wait for nothing
    assert public == {name.partition(",")[0] for name in CALLS if "." in name}


@define
class Moments:
    """The places where a call waits, in whatever task: it is cancelled at the one that is wanted."""

    wanted: int = -1
    passed: int = 0
    cancel: Callable[[], object] = lambda: None

    def here(self) -> None:
        """Pass one; between two of them nothing waits but on another task of the call."""
        if self.passed == self.wanted:
            self.cancel()
        self.passed += 1


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
        self._moments.here()
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
class World:
    """A client over the simulator, and what must be as it was after each cancellation."""

    simulator: Simulator
    scene: Scene
    moments: Moments
    whole: dict[str, bytes]
    tasks: int = 0

    def check(self) -> None:
        assert self.simulator.open_responses == 0, "a response is open"
        assert tasks_alive() == self.tasks, "a task is at work"
        for path in self.scene.folder.rglob("*"):
            if path.is_file() and path.suffix != ".part":
                name = path.relative_to(self.scene.folder).as_posix().partition("/")[2]
                assert path.read_bytes() == self.whole.get(name, path.read_bytes()), f"{path} is not whole"


def tasks_alive() -> int:
    gc.collect(0)  # an iterator that was dropped ends its task
    if on_asyncio():
        return len(asyncio.all_tasks())
    return trio.lowlevel.current_statistics().tasks_living


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
    async with Planet(Config(rates={}), credentials=ApiKey("any"), transport=network, clock=clock) as planet:
        scene = await Scene.prepared(planet, folder)
        folders = [folder / "order", folder / "report"]
        await planet.orders.download(scene.order, folders[0])
        await planet.reports.download(scene.report, folders[1])
        whole = {
            path.relative_to(root).as_posix(): path.read_bytes()
            for root in folders
            for path in root.rglob("*")
            if path.is_file()
        }
        assert len(whole) > 4
        found = World(simulator, scene, moments, whole)
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
    call: Callable[[], Coroutine[Any, Any, object]],
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
        await settle()
        for _ in range(500):
            if tasks_alive() == world.tasks:
                break
            await anyio.sleep(0.001)  # a thread that is at work ends it first
            await settle()
        world.check()
        if not reached:
            return number
    raise AssertionError("unreachable")


@pytest.mark.parametrize("name", CALLS)
async def test_cancelled_anywhere_nothing_is_left(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No open response, no task, no half-written file, no lock: at the end the same call gets through."""
    async with world(tmp_path, monkeypatch) as here:
        call: Call = CALLS[name]
        assert await cancelled_at_each_moment(lambda: call(here.scene), here, by_scope) > 1
        assert await cancelled_at_each_step(lambda: call(here.scene), here.check) > 0
        if on_asyncio():
            assert await cancelled_at_each_moment(lambda: call(here.scene), here, by_asyncio) > 1


@pytest.mark.usefixtures("anyio_backend")
@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
@pytest.mark.parametrize("step", ["claim", "write", "accept"])
async def test_asyncios_own_cancellation_leaves_no_thread_at_a_file(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`task.cancel()` while a thread works on a part: it is waited for, and the part is free afterwards."""
    begun, go_on = threading.Event(), threading.Event()
    act = getattr(PartFile, step)

    def slow(part: PartFile, *arguments: object) -> object:
        begun.set()
        go_on.wait(10)
        return act(part, *arguments)

    monkeypatch.setattr(PartFile, step, slow)
    network = FakeTransport(lambda _: reply(body=b"content"))
    file = RemoteFile("a", Request("GET", "https://storage.example/a"))
    task = asyncio.ensure_future(download(network, file, tmp_path, clock=FakeClock()))
    await asyncio.to_thread(begun.wait)
    task.cancel()
    await settle()
    assert not task.done(), "a thread was left behind"
    go_on.set()
    with suppress(asyncio.CancelledError):
        await task
    other = PartFile(tmp_path / "a", None)
    assert other.claim(), "the part is still locked"
    other.close()
