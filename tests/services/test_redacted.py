"""A secret that the API shows as ``<REDACTED>`` is never sent back in place of the real one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from planet_async import InvalidRequest, Order, OrderRequest, Planet, TaskingOrderRequest
from planet_async.models.codec import decode, to_json
from planet_async.simulator import Simulator

pytestmark = pytest.mark.anyio

ID = "00000000-0000-4000-8000-000000000000"
SCENES = [{"item_ids": ["a"], "item_type": "PSScene", "product_bundle": "visual"}]
BUCKET = {"bucket": "fields", "aws_region": "eu-central-1", "aws_access_key_id": "AKIAIOSFODNN7EXAMPLE"}
POINT = {"type": "Point", "coordinates": [149.44135, 28.4924]}
SUBSCRIPTION = {
    "name": "x",
    "source": {"type": "new", "parameters": {}},
    "delivery": {"type": "amazon_s3", "parameters": {**BUCKET, "aws_secret_access_key": "<REDACTED>"}},
}
ORDER: dict[str, Any] = {
    "name": "x",
    "products": SCENES,
    "delivery": {"amazon_s3": {**BUCKET, "aws_secret_access_key": "<REDACTED>"}},
}
WEBHOOK: dict[str, Any] = {
    "name": "x",
    "products": SCENES,
    "notifications": {"webhook": {"url": "https://hook.example/<REDACTED>"}},
}
TASKING: dict[str, Any] = {"name": "x", "geometry": POINT, "delivery": {"later": [{"key": "<REDACTED>"}]}}


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (ORDER, r"\$\.delivery\.amazon_s3\.aws_secret_access_key"),
        (WEBHOOK, r"\$\.notifications\.webhook\.url"),
    ],
)
async def test_no_order(
    planet: Planet, simulator: Simulator, tmp_path: Path, body: Mapping[str, Any], place: str
) -> None:
    """Neither alone nor in a job, as a mapping or a request, nor with other parts that came from the API."""
    listed = decode(Order, to_json({**body, "id": ID, "state": "success"}))
    for request in (body, OrderRequest.from_dict(body), listed.raw):
        with pytest.raises(InvalidRequest, match=f"{place}: .*REDACTED"):
            await planet.orders.create(request)
        with pytest.raises(InvalidRequest, match=place):
            planet.orders.run([request], tmp_path)
        (outcome,) = [one async for one in planet.orders.run(iter([request]), tmp_path)]
        assert isinstance(outcome.error, InvalidRequest)
    assert not simulator.requests


async def test_no_tasking_order(planet: Planet, simulator: Simulator) -> None:
    """Neither placed, alone or in bulk, nor edited, nor priced."""
    place = r"\$\.delivery\.later\[0\]\.key"
    for call in (
        planet.tasking.create(TASKING),
        planet.tasking.create_bulk([TaskingOrderRequest("y", POINT), TASKING]),
        planet.tasking.preview_pricing(TASKING),
        planet.tasking.preview_pricing_many([TASKING]),
    ):
        with pytest.raises(InvalidRequest, match=place):
            await call
    with pytest.raises(InvalidRequest, match=r"\$\.name"):
        await planet.tasking.update(ID, {"name": "<REDACTED>"})
    assert not simulator.requests


async def test_no_subscription(planet: Planet, simulator: Simulator) -> None:
    """Neither created, alone or in bulk, nor changed."""
    for call in (
        planet.subscriptions.create(SUBSCRIPTION),
        planet.subscriptions.create_bulk([SUBSCRIPTION]),
        planet.subscriptions.update(ID, SUBSCRIPTION),
        planet.subscriptions.patch(ID, {"delivery": SUBSCRIPTION["delivery"]}),
    ):
        with pytest.raises(InvalidRequest, match=r"\$\.delivery\.parameters\.aws_secret_access_key"):
            await call
    assert not simulator.requests
