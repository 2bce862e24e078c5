"""Connections are shared fairly: downloads never keep `get` and `create` waiting."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import msgspec
import pytest
from attrs import define, field

from planet_async import Config, DeadlineExceeded, Order, Planet
from transports.on_loopback import Received, Server, Stream, eventually, planet, serving

pytestmark = [pytest.mark.anyio, pytest.mark.no_cover]

ORDER_ID = "7a1c0f0e-4b6d-4f55-9a76-1f0a1d6f0c11"
REQUEST = {
    "name": "field 7",
    "products": [{"item_ids": ["a"], "item_type": "PSScene", "product_bundle": "analytic_udm2"}],
}
FILE = b"one half" * 2


@define
class Scene:
    """An API, and a storage that holds each download half way until it is let go."""

    storage: Server
    api: Server
    go_on: anyio.Event = field(factory=anyio.Event)
    held: int = 0
    most_held: int = 0

    async def answer(self, received: Received, stream: Stream) -> None:
        """Answer for the API: with an order of one file, whatever is asked."""
        name = received.target.rpartition("/")[2]
        result = {"name": f"{name}/a.tif", "location": f"{self.storage.url}/{name}", "delivery": "success"}
        order = {"id": ORDER_ID, "name": name, "state": "success", "_links": {"results": [result]}}
        body = msgspec.json.encode(order)
        await stream.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))

    async def hold(self, _: Received, stream: Stream) -> None:
        """Answer for the storage."""
        self.held += 1
        self.most_held = max(self.most_held, self.held)
        try:
            half = len(FILE) // 2
            await stream.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(FILE), FILE[:half]))
            await self.go_on.wait()
            await stream.send(FILE[half:])
        finally:
            self.held -= 1


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    scene = Scene(Server(""), Server(""))
    async with serving(scene.hold) as storage, serving(scene.answer) as api:
        scene.storage, scene.api = storage, api
        yield scene


def client(network: str, scene: Scene, **settings: object) -> Planet:
    return planet(network, Config(base_url=scene.api.url, rates={}, **settings))  # type: ignore[arg-type]


async def order(planet: Planet) -> Order:
    return await planet.orders.get(ORDER_ID)


@asynccontextmanager
async def downloading(planet: Planet, times: int, folder: Path) -> AsyncIterator[list[Path]]:
    """Download in the background: half by `download`, half by `open`; ends when all have."""
    kept: list[Path] = []
    made = await order(planet)

    async def download(number: int) -> None:
        kept.extend(await planet.orders.download(made, to=folder / str(number)))

    async def read(number: int) -> None:
        path = folder / f"{number}.tif"
        async with planet.orders.open(made.results[0]) as file:
            path.write_bytes(b"".join([chunk async for chunk in file]))
        kept.append(path)

    async with anyio.create_task_group() as group:
        for number in range(times):
            group.start_soon(read if number % 2 else download, number)
        yield kept


async def test_requests_go_through_while_downloads_hold_their_connections(
    network: str, scene: Scene, tmp_path: Path
) -> None:
    """With the defaults: as many downloads as there may be at once, and more that wait, all of them slow."""
    async with client(network, scene) as planet:
        async with downloading(planet, 20, tmp_path) as kept:
            await eventually(lambda: scene.held == 16, "16 downloads are under way")
            for _ in range(20):
                await order(planet)
                await planet.orders.create(REQUEST)
            assert scene.held == scene.most_held == 16, "more than were allowed, or some have ended"
            assert not kept
            scene.go_on.set()
        assert [path.read_bytes() for path in kept] == [FILE] * 20
    assert len(scene.api.requests) == 41
    assert len(scene.storage.requests) == 20


async def test_downloads_go_through_while_requests_hold_their_connections(network: str, scene: Scene) -> None:
    """The other way round it is the same: a service that hangs stops no download."""
    hang = anyio.Event()

    async def answer(received: Received, stream: Stream) -> None:
        if received.target == "/hang":
            await hang.wait()
        await Scene.answer(scene, received, stream)

    async with serving(answer) as api, client(network, scene, max_connections=2) as planet:
        made = await order(planet)
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(planet.request, "GET", f"{api.url}/hang")
            await eventually(lambda: len(api.requests) == 2, "two requests hang")
            scene.go_on.set()
            async with planet.orders.open(made.results[0]) as file:
                assert b"".join([chunk async for chunk in file]) == FILE
            assert len(api.requests) == 2
            hang.set()


async def test_a_request_that_meets_its_deadline_in_the_queue_says_so(network: str, scene: Scene) -> None:
    """What holds the connections, and that nothing was sent."""
    hang = anyio.Event()

    async def answer(received: Received, stream: Stream) -> None:
        await hang.wait()
        await Scene.answer(scene, received, stream)

    async with (
        serving(answer) as api,
        client(network, scene, max_connections=3) as planet,
        anyio.create_task_group() as group,
    ):
        for _ in range(3):
            group.start_soon(planet.request, "GET", f"{api.url}/hang")
        await eventually(lambda: len(api.requests) == 3, "three requests hang")
        with pytest.raises(DeadlineExceeded, match="a connection: all 3 are held by requests") as caught:
            await planet.with_options(deadline=0.2).orders.create(REQUEST)
        assert not caught.value.may_have_acted
        assert "nothing was sent" in caught.value.message
        hang.set()
    assert len(api.requests) == 3
    assert not scene.api.requests


async def test_a_download_that_meets_its_deadline_in_the_queue_says_so(
    network: str, scene: Scene, tmp_path: Path
) -> None:
    """What holds the connections is other downloads."""
    async with client(network, scene, max_downloads=2) as planet:
        made = await order(planet)
        async with downloading(planet, 2, tmp_path):
            await eventually(lambda: scene.held == 2, "two downloads are under way")
            hasty = planet.with_options(deadline=0.2)
            with pytest.raises(DeadlineExceeded, match="a connection: all 2 are held by downloads") as caught:
                async with hasty.orders.open(made.results[0]):
                    raise AssertionError("it is opened")
            assert not caught.value.may_have_acted
            scene.go_on.set()
    assert len(scene.storage.requests) == 2


async def leave(planet: Planet, made: Order) -> None:
    async with planet.orders.open(made.results[0]) as file:
        async for _ in file:
            break


async def fail(planet: Planet, made: Order) -> None:
    with pytest.raises(ZeroDivisionError):
        async with planet.orders.open(made.results[0]):
            raise ZeroDivisionError


async def give_up(planet: Planet, made: Order) -> None:
    with anyio.move_on_after(0.05):
        async with planet.orders.open(made.results[0]) as file:
            async for _ in file:
                pass


@pytest.mark.parametrize("way", [leave, fail, give_up])
async def test_a_file_that_is_left_gives_its_place_back(
    network: str, scene: Scene, way: Callable[[Planet, Order], object]
) -> None:
    """Left, failed or cancelled half way: the only place is there for the next one."""
    async with client(network, scene, max_downloads=1) as planet:
        made = await order(planet)
        for _ in range(3):
            with anyio.fail_after(30):
                await way(planet, made)  # type: ignore[misc]
        scene.go_on.set()
        async with planet.orders.open(made.results[0]) as file:
            assert b"".join([chunk async for chunk in file]) == FILE
    assert len(scene.storage.requests) == 4
