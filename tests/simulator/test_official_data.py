"""The simulated Data and Basemaps APIs checked by code that is not ours: Planet's own client, over HTTP.

Every public method of its DataClient and its MosaicsClient is run.  The bundles, with which it validates item
types, are read from the simulator.
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from planet import DataClient, data_filter
from planet.clients.mosaics import MosaicsClient
from planet.exceptions import APIError, BadQuery, ClientError, InvalidAPIKey, MissingResource, TooManyRequests

from planet_async.simulator import AssetPlan, Fault, Limits, Simulator
from simulator.official import KEY, official_session, served
from simulator.simulated import POLYGON

pytestmark = pytest.mark.asyncio

MOSAIC = "global_monthly_2025_12_mosaic"
POINT = [18.4, -33.8, 18.4, -33.8]


def plan(_: str, asset_type: str) -> AssetPlan:
    return AssetPlan(activation_seconds=0.1, over_quota=asset_type == "ortho_visual")


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    with served(Simulator(api_key=KEY, limits=Limits.unlimited(), asset_plan=plan), monkeypatch) as simulator:
        yield simulator


@pytest_asyncio.fixture
async def session(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    async with official_session(simulator, monkeypatch) as session:
        yield session


@pytest.fixture
def data(session: Any, simulator: Simulator) -> Any:
    return DataClient(session, base_url=f"{simulator.base_url}/data/v1/")


@pytest.fixture
def mosaics(session: Any, simulator: Simulator) -> Any:
    return MosaicsClient(session, base_url=f"{simulator.base_url}/basemaps/v1")


async def test_searching(data: Any, simulator: Simulator) -> None:
    """Its filters select; it walks the pages; a search outside the grammar is its own error."""
    combined = data_filter.and_filter(
        [
            data_filter.permission_filter(),
            data_filter.std_quality_filter(),
            data_filter.geometry_filter(POLYGON, relation="intersects"),
            data_filter.date_range_filter("acquired", gte=datetime(2025, 10, 1, tzinfo=UTC)),
            data_filter.range_filter("cloud_cover", lt=0.5),
            data_filter.or_filter(
                [
                    data_filter.asset_filter(["ortho_analytic_8b"]),
                    data_filter.number_in_filter("cloud_percent", [0]),
                ]
            ),
            data_filter.not_filter(data_filter.string_in_filter("publishing_stage", ["preview"])),
        ]
    )
    items = [item async for item in data.search(["psscene"], combined, limit=0, sort="acquired asc")]
    times = [item["properties"]["acquired"] for item in items]
    assert len({item["id"] for item in items}) == len(items) > 100
    assert times == sorted(times)
    assert all(item["properties"]["cloud_cover"] < 0.5 for item in items)
    changed = data_filter.update_filter("ground_control", gt=datetime(2025, 12, 1, tzinfo=UTC))
    assert len([item async for item in data.search(["PSScene"], changed)]) == 100
    near = [item async for item in data.search(["PSScene"], geometry=POLYGON, name="near", limit=0)]
    assert len(near) == 480
    assert simulator.requests["data.results"] >= 1
    with pytest.raises(BadQuery, match="cloudiness"):
        _ = [each async for each in data.search(["PSScene"], data_filter.range_filter("cloudiness", lt=1))]


async def test_saved_searches_and_stats(data: Any) -> None:
    """Create, get, list, replace, run, delete, and count."""
    clear = data_filter.and_filter(
        [data_filter.geometry_filter(POLYGON), data_filter.range_filter("cloud_percent", lte=10)]
    )
    first = await data.create_search(["PSScene"], clear, "clear", enable_email=True)
    assert await data.get_search(first["id"]) == first
    second = await data.create_search(["SkySatCollect"], clear, "sharp", geometry=POLYGON)
    listed = [search["id"] async for search in data.list_searches(sort="created asc", search_type="saved")]
    assert listed == [first["id"], second["id"]]
    everything = data_filter.geometry_filter(POLYGON)
    changed = await data.update_search(first["id"], ["PSScene"], everything, "all", geometry=POLYGON)
    assert (changed["name"], changed["__daily_email_enabled"]) == ("all", False)
    found = [item async for item in data.run_search(first["id"], sort="acquired desc", limit=0)]
    stats = await data.get_stats(["PSScene"], everything, "month")
    assert sum(bucket["count"] for bucket in stats["buckets"]) == len(found) == 480
    await data.delete_search(second["id"])
    with pytest.raises(MissingResource, match="search id does not exist"):
        await data.get_search(second["id"])


async def test_items_and_coverage(data: Any, simulator: Simulator) -> None:
    """An item is got again, and its coverage is complete after a while."""
    [item] = [item async for item in data.search(["PSScene"], geometry=POLYGON, limit=1)]
    assert await data.get_item("PSScene", item["id"]) == item
    ask = {"geometry": POLYGON, "mode": "UDM2", "band": "cloud"}
    assert (await data.get_item_coverage("PSScene", item["id"], **ask))["status"] == "pending"
    simulator.move_clock(2)
    coverage = await data.get_item_coverage("PSScene", item["id"], **ask)
    assert coverage == {"clear_percent": item["properties"]["cloud_percent"], "status": "complete"}
    with pytest.raises(MissingResource):
        await data.get_item("PSScene", "none")


async def test_assets(data: Any, tmp_path: Path) -> None:
    """Activate, wait, download, compare the checksum; and what is refused."""
    [item] = [item async for item in data.search(["PSScene"], geometry=POLYGON, limit=1)]
    assets = await data.list_item_assets("PSScene", item["id"])
    assert set(assets) == set(item["assets"])
    asset = await data.get_asset("PSScene", item["id"], "ortho_udm2")
    with pytest.raises(ClientError, match="location"):
        await data.download_asset(asset)
    await data.activate_asset(asset)
    states: list[str] = []
    asset = await data.wait_asset(asset, delay=0.02, callback=states.append)
    assert (states[0], states[-1]) == ("inactive", "active")
    path = await data.download_asset(asset, directory=tmp_path, progress_bar=False)
    assert path.name == f"{item['id']}_ortho_udm2.tif"
    data.validate_checksum(asset, path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ClientError, match="checksums do not match"):
        data.validate_checksum(asset, path)
    visual = await data.get_asset("PSScene", item["id"], "ortho_visual")
    with pytest.raises(TooManyRequests, match="quota"):
        await data._session._client.get(visual["_links"]["activate"])
    elsewhere = {"type": "Point", "coordinates": [135.5, 34.7]}
    [item] = [item async for item in data.search(["PSScene"], geometry=elsewhere, limit=1)]
    with pytest.raises(InvalidAPIKey, match="permission"):
        await data.activate_asset(await data.get_asset("PSScene", item["id"], "ortho_udm2"))


async def test_mosaics_and_series(mosaics: Any) -> None:
    """By name and by id, with all filters, across pages."""
    mosaic = await mosaics.get_mosaic(MOSAIC)
    assert await mosaics.get_mosaic(mosaic["id"]) == mosaic
    series = await mosaics.get_series("Global Monthly")
    assert await mosaics.get_series(series["id"]) == series
    assert len([each async for each in mosaics.list_mosaics()]) == 83
    late = [
        each["name"]
        async for each in mosaics.list_mosaics(
            name_contains="Monthly", interval="1 mon", acquired_gt="2025-03-15", acquired_lt="2025-05-15"
        )
    ]
    assert late == [f"global_monthly_2025_{month}_mosaic" for month in ("03", "04", "05")]
    assert [each["name"] async for each in mosaics.list_series(interval="7 days")] == ["Swartland Weekly"]
    newest = [each["id"] async for each in mosaics.list_series_mosaics("Global Monthly", latest=True)]
    assert newest == [mosaic["id"]]
    for name in ("none", "d5098531-aa4f-4ff9-a9d5-74ad4a6301e5"):
        with pytest.raises(MissingResource, match="Mosaic Not Found"):
            await mosaics.get_mosaic(name)


async def test_quads(mosaics: Any, simulator: Simulator, tmp_path: Path) -> None:
    """Summaries, lists by box, area and extent, contributions, and downloads, each of which counts once."""
    mosaic = await mosaics.get_mosaic(MOSAIC)
    assert (await mosaics.summarize_quads(mosaic))["total_quads"] > 4_000_000
    in_area = [quad["id"] async for quad in mosaics.list_quads(MOSAIC, geometry=POLYGON)]
    assert (await mosaics.summarize_quads(mosaic, geometry=POLYGON))["total_quads"] == len(in_area)
    weekly = await mosaics.get_mosaic("swartland_weekly_2025_12_08_mosaic")
    whole = [quad async for quad in mosaics.list_quads(weekly, full_extent=True, minimal=True)]
    assert len(whole) == (await mosaics.summarize_quads(weekly))["total_quads"] > 50
    [quad] = [quad async for quad in mosaics.list_quads(mosaic, bbox=POINT)]
    assert await mosaics.get_quad(mosaic, quad["id"]) == quad
    assert f"api_key={KEY}" in quad["_links"]["download"]
    kinds = Counter(each["item_type"] for each in await mosaics.get_quad_contributions(quad))
    assert kinds["PSScene"] > 10
    await mosaics.download_quad(quad, directory=str(tmp_path))
    await mosaics.download_quads(mosaic, bbox=POINT, directory=str(tmp_path))
    assert (tmp_path / f"{quad['id']}.tif").stat().st_size == 4096
    assert simulator.requests["basemaps.download"] == 1


async def test_faults(data: Any, mosaics: Any, simulator: Simulator, tmp_path: Path) -> None:
    """A failing server and a file that is cut are its own errors, or those of its HTTP client."""
    simulator.faults.add(Fault(operation="data.search", status=500, times=1))
    with pytest.raises(APIError):
        await anext(data.search(["PSScene"]))
    mosaic = await mosaics.get_mosaic(MOSAIC)
    [quad] = [quad async for quad in mosaics.list_quads(mosaic, bbox=POINT)]
    simulator.faults.add(Fault(operation="storage.get", cut=100, times=1))
    with pytest.raises(httpx.RemoteProtocolError):
        await mosaics.download_quad(quad, directory=str(tmp_path))
    assert simulator.responses["basemaps.download", 302] == 1
