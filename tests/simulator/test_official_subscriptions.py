"""The simulated Subscriptions API checked by code that is not ours: Planet's own client, over HTTP.

Requests are plain dicts, since the client's helpers fetch the product bundles from the real Planet.
"""

import csv
import math
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import pytest
import pytest_asyncio
from planet import SubscriptionsClient
from planet.exceptions import APIError, BadQuery, Conflict, MissingResource

from planet_async.simulator import Limits, Simulator, SubscriptionPlan
from simulator.official import KEY, official_session, served
from simulator.simulated import GOOGLE, catalog, variable

pytestmark = pytest.mark.asyncio


def plan(request: Mapping[str, Any], _: int) -> SubscriptionPlan:
    prepare = math.inf if request["name"].startswith("preparing") else 0.0
    return SubscriptionPlan(
        prepare_seconds=prepare,
        pending_seconds=0,
        run_seconds=math.inf,
        result_seconds=0,
        results=11,
        failed=2,
    )


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    with served(
        Simulator(api_key=KEY, limits=Limits.unlimited(), subscription_plan=plan, page_size=4), monkeypatch
    ) as simulator:
        yield simulator


@pytest_asyncio.fixture
async def client(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    async with official_session(simulator, monkeypatch) as session:
        yield SubscriptionsClient(session, base_url=f"{simulator.base_url}/subscriptions/v1/")


async def test_create_get_and_lists_across_pages(client: Any, simulator: Simulator) -> None:
    """What was created is got again; pages of four hold all of them once, newest first, with filters too."""
    for number in range(10):
        await client.create_subscription(catalog(f"preparing {number}"))
    made = await client.create_subscription(variable("lake"))
    assert made["source"]["type"] == "soil_water_content"
    assert (await client.get_subscription(made["id"]))["name"] == "lake"
    everything = [each["name"] async for each in client.list_subscriptions(limit=0, page_size=4)]
    assert everything == ["lake", *(f"preparing {number}" for number in range(9, -1, -1))]
    assert simulator.requests["subscriptions.list"] == 3
    listed = client.list_subscriptions(
        status=["preparing"], name__contains="1", sort_by="name DESC", source_type="catalog", hosting=False
    )
    assert [each["name"] async for each in listed] == ["preparing 1"]
    lake = client.list_subscriptions(status=["running"], start_time="2026-01-01T00:00:00Z/..", name="lake")
    assert [each["id"] async for each in lake] == [made["id"]]
    with pytest.raises(APIError):
        _ = [each async for each in client.list_subscriptions(status=["nonsense"])]


async def test_update_patch_and_cancel(client: Any) -> None:
    """A replaced subscription is new when got again; a patch changes the name; a cancelled one has ended."""
    made = await client.create_subscription(catalog("old"))
    assert made["delivery"]["parameters"]["credentials"] == "<REDACTED>"
    request = {**catalog("new"), "tools": []}
    assert (await client.update_subscription(made["id"], request))["name"] == "old"
    assert (await client.get_subscription(made["id"]))["name"] == "new"
    with pytest.raises(BadQuery, match="credentials"):
        await client.update_subscription(made["id"], {**request, "delivery": made["delivery"]})
    assert (await client.patch_subscription(made["id"], {"name": "newer"}))["name"] == "newer"
    assert await client.cancel_subscription(made["id"]) is None
    assert (await client.get_subscription(made["id"]))["status"] == "cancelled"
    with pytest.raises(Conflict):
        await client.cancel_subscription(made["id"])
    with pytest.raises(Conflict):
        await client.patch_subscription(made["id"], {"name": "newest"})


async def test_suspend_and_reactivate(client: Any) -> None:
    """One is suspended and goes on, then several, then all."""
    ids = [(await client.create_subscription(catalog(f"run {number}")))["id"] for number in range(3)]

    async def statuses() -> list[str]:
        return [(await client.get_subscription(each))["status"] for each in ids]

    assert (await client.suspend_subscription(ids[0], details="holiday"))["status"] == "suspended"
    with pytest.raises(Conflict):
        await client.suspend_subscription(ids[0])
    await client.reactivate_subscription(ids[0])
    assert await statuses() == ["running"] * 3
    await client.bulk_suspend_subscriptions(ids[:2], details="holiday")
    assert await statuses() == ["suspended", "suspended", "running"]
    await client.bulk_suspend_subscriptions()
    assert await statuses() == ["suspended"] * 3
    await client.bulk_reactivate_subscriptions(ids[1:])
    assert await statuses() == ["suspended", "running", "running"]
    await client.bulk_reactivate_subscriptions(all_subscriptions=True)
    assert await statuses() == ["running"] * 3


async def test_results_in_both_forms(client: Any, simulator: Simulator) -> None:
    """All results are listed once across pages, with a filter only those; the CSV has upper-case words."""
    made = (await client.create_subscription(variable("lake")))["id"]
    results = [each async for each in client.get_results(made, limit=0)]
    assert len({each["id"] for each in results}) == len(results) == 11
    assert simulator.requests["subscriptions.results"] == 3
    failed = [each async for each in client.get_results(made, status=["failed"])]
    assert [each["id"] for each in failed] == [each["id"] for each in results[-2:]]
    rows = list(csv.DictReader([line async for line in client.get_results_csv(made)]))
    assert [row["id"] for row in rows] == [each["id"] for each in results]
    assert [row["status"] for row in rows] == ["SUCCESS"] * 9 + ["FAILED"] * 2
    assert rows[2]["band-1.mean"] == ""
    rest = [line async for line in client.get_results_csv(made, item_datetime="2026-01-10T00:00:00Z/..")]
    assert len(rest) == 1 + 2


async def test_both_summaries(client: Any) -> None:
    """The statuses of subscriptions and of results are counted."""
    made = (await client.create_subscription(catalog("run")))["id"]
    await client.create_subscription(catalog("preparing"))
    counts = (await client.get_summary())["subscriptions"]
    assert (counts["running"], counts["preparing"], counts["cancelled"]) == (1, 1, 0)
    summary = await client.get_subscription_summary(made)
    assert summary["subscription"] == {"status": "running"}
    assert (summary["results"]["success"], summary["results"]["failed"]) == (9, 2)


async def test_bulk_creation(client: Any) -> None:
    """A subscription for each feature of a collection; the link leads to their list."""
    request = catalog("field", geometry={"type": "ref", "content": "pl:features/my/fields"})
    link = (await client.bulk_create_subscriptions([request]))["_links"]["list"]
    assert "geom_ref=" in link
    listed = client.list_subscriptions(geom_ref="pl:features/my/fields")
    refs = sorted([each["source"]["parameters"]["geom_ref"] async for each in listed])
    assert refs == [f"pl:features/my/fields/{number}" for number in range(3)]


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (catalog("", delivery=GOOGLE), "name is required"),
        (catalog("x", delivery=None), "delivery or hosting"),
        (
            catalog("x", tools=[{"type": "clip", "parameters": {}}, {"type": "toar", "parameters": {}}]),
            "toar",
        ),
    ],
)
async def test_errors_are_recognised(client: Any, request_: dict[str, Any], says: str) -> None:
    """A refused request and an unknown subscription are the client's own errors."""
    with pytest.raises(BadQuery, match=says):
        await client.create_subscription(request_)
    with pytest.raises(MissingResource, match="No such subscription"):
        await client.get_subscription("b0cb3448-0a74-11eb-92a1-a3d779bb08e0")
