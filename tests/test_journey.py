"""How many files of the package a call passes: a reader who follows it opens no more than these.

`pytest -s tests/test_journey.py` prints them in the order in which they are first entered.
"""

import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import httpx
import pytest

import planet_async
from planet_async import ApiKey, Config, OrderRequest, Planet, SceneProduct
from planet_async.simulator import OrderPlan, Simulator
from planet_async.simulator.server import serve

PACKAGE = Path(planet_async.__file__).parent
STRANGERS = {"simulator", "testing"}  # they play Planet, and are no part of the journey

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def planet() -> AsyncIterator[Planet]:
    simulator = Simulator(plan=OrderPlan(queue_seconds=0, run_seconds=0))
    with serve(simulator) as url:
        async with (
            httpx.AsyncClient() as client,
            Planet(Config(base_url=url), credentials=ApiKey("any"), transport=client) as planet,
        ):
            yield planet


@contextmanager
def journey() -> Iterator[list[str]]:
    """Yield the files of the package in which a function has been entered, in order."""
    files: dict[str, None] = {}

    def note(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call":
            files[frame.f_code.co_filename] = None

    names: list[str] = []
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield names
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    inside = [Path(file).relative_to(PACKAGE) for file in files if Path(file).is_relative_to(PACKAGE)]
    names.extend(str(file) for file in inside if file.parts[0] not in STRANGERS)
    sys.stdout.write(f"{len(names)} files: {' '.join(names)}\n")


async def test_the_journey_of_a_get(planet: Planet) -> None:
    """`orders.get` passes at most 17 files, from the service to the network and back."""
    order = await planet.orders.create(OrderRequest("x", [SceneProduct(["1"], "PSScene", "analytic_udm2")]))
    with journey() as files:
        await planet.orders.get(order.id)
    assert len(files) <= 17, files


async def test_the_journey_of_a_job(planet: Planet, tmp_path: Path) -> None:
    """`orders.run` with a ledger, the longest way there is, passes at most 40 files."""
    requests = [OrderRequest("x", [SceneProduct(["1"], "PSScene", "analytic_udm2")])]
    with journey() as files:
        async for outcome in planet.orders.run(requests, to=tmp_path / "data", ledger=tmp_path / "x.ledger"):
            assert outcome.unwrap().paths
    assert len(files) <= 40, files
