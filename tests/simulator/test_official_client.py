"""The simulator checked by code that is not ours: Planet's own client runs the main job on it, over HTTP.

The client is pointed at the simulator by its base URL, and its limiter, which sleeps, is replaced by one
without limits.  So is its address of the product bundles.
"""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from planet import Auth, OrdersClient, Session
from planet.exceptions import APIError, ClientError, Conflict, MissingResource
from planet.order_request import build_request, clip_tool, delivery, product

from planet_async.simulator import Fault, Limits, OrderPlan, Simulator
from simulator.official import KEY, official_session, served
from simulator.simulated import POLYGON

pytestmark = pytest.mark.asyncio


def plan(order: Mapping[str, Any], _: int) -> OrderPlan:
    if order["name"].startswith("queued"):
        return OrderPlan(queue_seconds=3600)
    return OrderPlan(queue_seconds=0.05, run_seconds=0.1)


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    with served(
        Simulator(api_key=KEY, limits=Limits.unlimited(), plan=plan, page_size=4), monkeypatch
    ) as simulator:
        yield simulator


@pytest_asyncio.fixture
async def client(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    async with official_session(simulator, monkeypatch) as session:
        yield OrdersClient(session, base_url=f"{simulator.base_url}/compute/ops")


def request(name: str, **fields: Any) -> Any:
    items = product(["20221221_084022_18_2414", "20221221_084024_49_2414"], "analytic_udm2", "PSScene")
    return build_request(name, [items], **fields)


async def finished(client: Any, order_request: Any) -> str:
    order = await client.create_order(order_request)
    states: list[str] = []
    assert order["state"] == "queued"
    # No delay between its polls: the order takes 0.15 s.
    assert await client.wait(order["id"], delay=0, max_attempts=0, callback=states.append) == "success"
    assert states == sorted(states, key=["queued", "running", "success"].index)
    return str(order["id"])


@pytest.mark.parametrize(
    "archive", [{}, {"archive_type": "zip", "single_archive": True}, {"archive_type": "zip"}]
)
async def test_the_main_job(client: Any, tmp_path: Path, archive: dict[str, Any]) -> None:
    """Create, wait, download, and the client's own validation of all checksums: loose and zipped."""
    fields = {"delivery": delivery(**archive)} if archive else {"tools": [clip_tool(POLYGON)]}
    order_id = await finished(client, request("main", **fields))
    paths = await client.download_order(order_id, directory=tmp_path)
    for checksum in ("md5", "sha256"):
        client.validate_checksum(tmp_path / order_id, checksum)
    manifest = json.loads((tmp_path / order_id / "manifest.json").read_text())
    assert len(paths) == len(manifest["files"]) + 1
    assert {str(path.relative_to(tmp_path / order_id)) for path in paths} == {
        "manifest.json",
        *(entry["path"] for entry in manifest["files"]),
    }


async def test_its_checksum_validation_passes(client: Any, tmp_path: Path) -> None:
    """The client's validation does fail when a byte is wrong."""
    order_id = await finished(client, request("main"))
    paths = await client.download_order(order_id, directory=tmp_path)
    raster = next(path for path in paths if path.suffix == ".tif")
    raster.write_bytes(raster.read_bytes()[:-1] + b"?")
    with pytest.raises(ClientError, match="checksums do not match"):
        client.validate_checksum(tmp_path / order_id, "md5")


async def test_lists_across_pages(client: Any, simulator: Simulator) -> None:
    """The client walks pages of four and finds every order once, newest first, with and without filters."""
    for number in range(11):
        await client.create_order(request(f"queued {number}"))
    assert [order["name"] async for order in client.list_orders(limit=0)] == [
        f"queued {n}" for n in range(10, -1, -1)
    ]
    assert simulator.requests["orders.list"] == 3
    ones = [
        order["name"]
        async for order in client.list_orders(name__contains="1", state="queued", sort_by="name DESC")
    ]
    assert ones == ["queued 10", "queued 1"]
    first = next(iter(simulator.orders))
    created = (await client.get_order(first))["created_on"]
    assert [order["id"] async for order in client.list_orders(created_on=f"../{created}")] == []
    assert [order["id"] async for order in client.list_orders(created_on=created, hosting=False)] == [first]
    assert len([order async for order in client.list_orders(limit=6)]) == 6


async def test_cancelling_and_counting(client: Any) -> None:
    """One order is cancelled by its id, some by theirs, then all; the statistics follow."""
    ids = [(await client.create_order(request(f"queued {number}")))["id"] for number in range(5)]
    assert (await client.aggregated_order_stats())["user"] == {"queued_orders": 5, "running_orders": 0}
    assert (await client.cancel_order(ids[0]))["state"] == "cancelled"
    with pytest.raises(Conflict, match="cancellable"):
        await client.cancel_order(ids[0])
    some = (await client.cancel_orders(ids[:2]))["result"]
    assert some["succeeded"] == {"count": 1}
    assert [failure["order_id"] for failure in some["failed"]["failures"]] == ids[:1]
    assert (await client.cancel_orders())["result"]["succeeded"] == {"count": 3}
    assert (await client.aggregated_order_stats())["organization"] == {
        "queued_orders": 0,
        "running_orders": 0,
    }


async def test_errors_are_recognised(client: Any, simulator: Simulator) -> None:
    """A missing order, a refused request and a wrong key are the client's own errors."""
    with pytest.raises(MissingResource, match="Could not load order ID"):
        await client.get_order("b0cb3448-0a74-11eb-92a1-a3d779bb08e0")
    with pytest.raises(APIError, match="Unable to accept order"):
        await client.create_order({"name": "n", "products": []})
    simulator.faults.add(Fault(status=500, body=b"<html>"))
    with pytest.raises(APIError, match="<html>"):
        await client.aggregated_order_stats()
    simulator.faults.clear()
    async with Session(auth=Auth.from_key("wrong")) as session:
        client = OrdersClient(session, base_url=f"{simulator.base_url}/compute/ops")
        with pytest.raises(APIError, match="API key"):
            await client.aggregated_order_stats()
