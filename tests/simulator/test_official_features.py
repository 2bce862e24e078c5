"""The simulated Features, Destinations and Quota APIs checked by Planet's own client, over HTTP."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
from planet import DestinationsClient, FeaturesClient, Session
from planet.clients.quota import QuotaClient
from planet.exceptions import APIError, BadQuery, Conflict, MissingResource

from planet_async.simulator import Limits, Simulator
from simulator.official import KEY, official_session, served

pytestmark = pytest.mark.asyncio

S3 = {
    "bucket": "fields",
    "aws_region": "eu-west-1",
    "aws_access_key_id": "AKIA-SECRET",
    "aws_secret_access_key": "s-SECRET",
}
PRODUCT = 101


def square(west: float, size: float = 0.1) -> dict[str, Any]:
    ring = [[west, 0], [west + size, 0], [west + size, size], [west, size], [west, 0]]
    return {"type": "Polygon", "coordinates": [ring]}


def feature(number: int, **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "id": str(number), "geometry": square(number), "properties": properties}


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    with served(Simulator(api_key=KEY, limits=Limits.unlimited()), monkeypatch) as simulator:
        yield simulator


@pytest_asyncio.fixture
async def session(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    async with official_session(simulator, monkeypatch) as session:
        yield session


@pytest.fixture
def features(session: Session, simulator: Simulator) -> Any:
    return FeaturesClient(session, base_url=f"{simulator.base_url}/features/v1/ogc/my")


@pytest.fixture
def destinations(session: Session, simulator: Simulator) -> Any:
    return DestinationsClient(session, base_url=f"{simulator.base_url}/destinations/v1")


@pytest.fixture
def quota(session: Session, simulator: Simulator) -> Any:
    return QuotaClient(session, base_url=f"{simulator.base_url}/account/v1")


async def test_features(features: Any) -> None:
    """Collections and features are made, listed across pages of ten, got, and deleted."""
    ids = [await features.create_collection(f"Farm {n}", "fields") for n in range(12)]
    assert [each["id"] async for each in features.list_collections()] == ids[::-1]
    first = ids[0]
    assert (await features.get_collection(first))["title"] == "Farm 0"
    many = {"type": "FeatureCollection", "features": [feature(n, crop="oats") for n in range(12)]}
    references = await features.add_items(first, many)
    assert [each.startswith(f"pl:features/my/{first}/{n}-") for n, each in enumerate(references)] == [
        True
    ] * 12
    [named] = await features.add_items(first, feature(7, code="f-7"), property_id="code")
    assert named.startswith(f"pl:features/my/{first}/f-7-")
    [bare] = await features.add_items(first, square(20))
    listed = [each.ref async for each in features.list_items(first, limit=0)]
    assert listed == [bare, named, *references[::-1]]
    found = await features.get_item(first, references[3].rpartition("/")[2])
    assert (found["id"], found["properties"]["crop"], found.ref) == ("3", "oats", references[3])
    assert found["geometry"] == square(3)
    collection = await features.get_collection(first)
    assert (collection["feature_count"], collection["extent"]["spatial"]["bbox"]) == (14, [[0, 0, 20.1, 0.1]])
    await features.delete_item(first, "3")
    with pytest.raises(MissingResource, match="No such feature"):
        await features.get_item(first, "3")
    with pytest.raises(BadQuery, match="Only Polygon"):
        await features.add_items(first, {"type": "Point", "coordinates": [0, 0]})
    await features.delete_collection(first)
    with pytest.raises(MissingResource, match="No such collection"):
        await features.get_collection(first)


async def test_destinations(destinations: Any) -> None:
    """Destinations are made, listed, changed, archived, and one of them is the default."""
    made = await destinations.create_destination({"type": "amazon_s3", "parameters": S3})
    assert (made["name"], made["parameters"]["aws_access_key_id"]) == ("fields", "<REDACTED>")
    with pytest.raises(Conflict, match="fields"):
        await destinations.create_destination({"type": "amazon_s3", "parameters": S3})
    other = {
        "type": "azure_blob_storage",
        "parameters": {"account": "a", "container": "c-1", "sas_token": "s"},
    }
    second = await destinations.create_destination({**other, "name": "second"})
    assert await destinations.get_destination(second["id"]) == second
    with pytest.raises(MissingResource, match="no default"):
        await destinations.get_default_destination()
    assert (await destinations.set_default_destination(made["id"]))["default"] is True
    assert (await destinations.get_default_destination())["id"] == made["id"]
    [default] = (await destinations.list_destinations(is_default=True))["destinations"]
    assert default["id"] == made["id"]
    await destinations.unset_default_destination()
    secrets = {"aws_access_key_id": "A2", "aws_secret_access_key": "S2"}
    changed = await destinations.patch_destination(made["id"], {"parameters": secrets, "name": "renamed"})
    assert (changed["name"], changed["parameters"]["bucket"]) == ("renamed", "fields")
    assert "S2" not in str(changed)
    with pytest.raises(BadQuery, match="valid credential"):
        await destinations.patch_destination(second["id"], {"parameters": {"sas_token": "<REDACTED>"}})
    assert (await destinations.patch_destination(made["id"], {"archive": True}))["archived"]
    listed = (await destinations.list_destinations(can_write=True))["destinations"]
    assert [each["id"] for each in listed] == [second["id"]]
    assert len((await destinations.list_destinations(archived=True))["destinations"]) == 2
    assert (await destinations.list_destinations(is_owner=False))["destinations"] == []


async def test_quota(features: Any, quota: Any) -> None:
    """Areas are estimated, reserved one by one and by a job, and listed across pages."""
    products = [each async for each in quota.list_products(supports_reservation=True, page_size=1)]
    assert PRODUCT in [each["id"] for each in products]
    assert all(each["supports_reservation"] for each in products)
    collection = await features.create_collection("Farm")
    many = {"type": "FeatureCollection", "features": [feature(n) for n in range(4)]}
    references = await features.add_items(collection, many)
    estimate = await quota.estimate_reservation(references[:2], PRODUCT)
    assert (estimate["total_cost"], estimate["quota_units"]) == (pytest.approx(247.8, rel=0.01), "sqkm")
    made = await quota.create_reservation(references[:2], PRODUCT)
    assert made["quota_used"] == estimate["total_cost"] * 1e6
    first = made["quota_reservations"][0]
    assert (await quota.get_reservation(first["id"]))["aoi_ref"] == references[0]
    job_id = (await quota.bulk_create_reservations([f"pl:features/my/{collection}"], PRODUCT))["job_id"]
    assert (await quota.get_job(job_id))["total_items"] == 4
    assert [str(each["id"]) async for each in quota.list_jobs()] == [job_id]
    listed = [each["aoi_ref"] async for each in quota.list_reservations(page_size=3, sort="-id")]
    assert listed == references[::-1]
    filters = {"aoi_ref__in": references[2], "amount__gt": "1"}
    [found] = [each async for each in quota.list_reservations(filters=filters, fields="id,aoi_ref")]
    assert found.keys() == {"id", "aoi_ref"}
    with pytest.raises(BadQuery, match="exactly one"):
        await quota.create_reservation(references, PRODUCT, f"pl:features/my/{collection}")
    with pytest.raises(APIError, match="No such reservation"):
        await quota.get_reservation(99)
