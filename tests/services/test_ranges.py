"""Parallel ranges: one large file by several requests, whatever happens to each of them."""

import hashlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from planet_async import (
    ApiKey,
    Config,
    InvalidRequest,
    Order,
    OrderRequest,
    Planet,
    PlanetError,
    SceneProduct,
)
from planet_async.http import Request, Response
from planet_async.simulator import Call, Fault, Limits, OrderPlan, Simulator
from planet_async.testing import FakeClock

pytestmark = pytest.mark.anyio

SIZE = 1 << 20
LEAST = 1 << 18  # instead of 32 MiB, so that the tests are fast
SCENE = SceneProduct(["20240101_000000_00_1234"], "PSScene", "visual")


@pytest.fixture(autouse=True)
def small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("planet_async.stretches._LEAST", LEAST)
    monkeypatch.setattr("planet_async.write_behind._BATCH", 1 << 16)


class Counted:
    """The simulator, with the bytes of files and the requests that are open at a time counted."""

    def __init__(self, inner: Simulator) -> None:
        self._inner = inner
        self.received = 0
        self.ranges: list[str] = []
        self.conditions: Counter[str] = Counter()
        self.most_open = 0

    async def send(self, request: Request) -> Response:
        if request.stream and is_scene(request.url):
            self.ranges.append(request.headers.get("range", ""))
            self.conditions[request.headers.get("if-range", "")] += 1
        response = await self._inner.send(request)
        self.most_open = max(self.most_open, self._inner.open_responses)
        if not request.stream or response.status >= 300 or not is_scene(request.url):
            return response

        async def counted() -> AsyncIterator[bytes]:
            async for chunk in response.chunks():
                self.received += len(chunk)
                yield chunk

        return Response(response.status, response.headers, counted(), url=response.url, close=response.aclose)

    async def aclose(self) -> None:
        await self._inner.aclose()


def is_scene(address: str) -> bool:
    return ".tif" in address and "udm" not in address


def of_scene(call: Call) -> bool:
    return is_scene(call.path)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def simulator(clock: FakeClock) -> Simulator:
    return Simulator(
        clock=clock,
        plan=OrderPlan(queue_seconds=0, run_seconds=1),
        limits=Limits.unlimited(),
        file_bytes=SIZE,
        link_seconds=300.0,
    )


@pytest.fixture
def network(simulator: Simulator) -> Counted:
    return Counted(simulator)


@pytest.fixture
async def planet(network: Counted, simulator: Simulator, clock: FakeClock) -> AsyncIterator[Planet]:
    async with Planet(Config(rates={}), credentials=ApiKey("any"), transport=network, clock=clock) as planet:
        yield planet
    assert simulator.open_responses == 0, "a response was left open"


async def finished(planet: Planet) -> Order:
    order = await planet.orders.create(OrderRequest("field 7", [SCENE]))
    return await planet.orders.wait(order.id)


def check(folder: Path, order: Order) -> None:
    """Compare with the manifest; nothing else is left there."""
    manifest = json.loads((folder / order.id / "manifest.json").read_bytes())
    for entry in manifest["files"]:
        content = (folder / order.id / entry["path"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry["digests"]["sha256"]
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) == len(manifest["files"]) + 1


def scene(folder: Path, order: Order) -> Path:
    (name,) = {result.name for result in order.results if is_scene(result.name)}
    return folder / name


async def test_a_large_file_comes_in_ranges(planet: Planet, network: Counted, tmp_path: Path) -> None:
    """Four requests side by side, each for its part; together they fetch each byte once."""
    order = await finished(planet)
    await planet.orders.download(order, tmp_path, ranges=4)
    check(tmp_path, order)
    assert len({*network.ranges} - {""}) >= 3
    assert network.most_open >= 4
    assert network.received <= 1.1 * SIZE


async def test_cut_ranges_are_resumed(
    planet: Planet, simulator: Simulator, network: Counted, tmp_path: Path
) -> None:
    """Each range goes on where it was cut, and of the same file only."""
    order = await finished(planet)
    simulator.faults.add(Fault(operation="storage.get", when=of_scene, cut=1 << 17, times=4))
    await planet.orders.download(order, tmp_path, ranges=4)
    check(tmp_path, order)
    assert network.received <= 1.1 * SIZE
    assert {*network.conditions} != {""}


async def test_expired_links_are_renewed_for_ranges_too(
    planet: Planet, simulator: Simulator, tmp_path: Path
) -> None:
    """A link that is refused in the middle is asked for anew."""
    order = await finished(planet)
    simulator.faults.add(Fault(operation="storage.get", when=of_scene, status=403, times=1))
    await planet.orders.download(order, tmp_path, ranges=4)
    check(tmp_path, order)


async def test_a_job_of_ranges_that_ended_is_gone_on_with(
    planet: Planet, simulator: Simulator, network: Counted, tmp_path: Path
) -> None:
    """What has arrived is kept when the connection stays broken, and the next call fetches the rest."""
    order = await finished(planet)
    fault = Fault(operation="storage.get", when=of_scene, cut=1 << 16, times=8)
    simulator.faults.add(fault)
    simulator.faults.add(Fault(operation="storage.get", when=of_scene, drop=True))
    with pytest.raises(PlanetError):
        await planet.orders.download(order, tmp_path, ranges=4)
    assert not scene(tmp_path, order).exists()
    simulator.faults.clear()
    await planet.orders.download(order, tmp_path, ranges=4)
    check(tmp_path, order)
    assert network.received <= 1.2 * SIZE


async def test_a_file_of_other_bytes_is_not_accepted(
    planet: Planet, simulator: Simulator, tmp_path: Path
) -> None:
    """The checksum of the whole counts, not those of the parts."""
    order = await finished(planet)
    simulator.faults.add(Fault(operation="storage.get", when=of_scene, body=b"x" * (SIZE // 4)))
    with pytest.raises(PlanetError):
        await planet.orders.download(order, tmp_path, ranges=4)
    assert not scene(tmp_path, order).exists()


@pytest.mark.parametrize("number", [0, -1])
async def test_no_ranges_are_none(planet: Planet, tmp_path: Path, number: int) -> None:
    """One is the least."""
    with pytest.raises(InvalidRequest, match="at least 1"):
        await planet.orders.download(await finished(planet), tmp_path, ranges=number)
