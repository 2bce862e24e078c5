"""Prices of orders that are not placed yet."""

from collections.abc import Iterable, Mapping
from typing import Any

from planet_async.errors import DecodeError
from planet_async.http import Request
from planet_async.models.codec import checked_body
from planet_async.models.tasking_pricing import Pricing, PricingPreview
from planet_async.models.tasking_request import PricingRequest
from planet_async.services._api import Api

_PRICING = "/tasking/v2/pricing/"


async def preview_one(api: Api, order: PricingRequest | Mapping[str, Any]) -> Pricing:
    """Price one order; see `Tasking.preview_pricing`."""
    return await api.call(Pricing, _request(api, checked_body(PricingRequest, order)))


async def preview_many(api: Api, orders: Iterable[PricingRequest | Mapping[str, Any]]) -> PricingPreview:
    """Price many orders; see `Tasking.preview_pricing_many`."""
    bodies = [
        checked_body(PricingRequest, order, where=f"order {number}")
        for number, order in enumerate(orders, start=1)
    ]
    if not bodies:
        return PricingPreview(0.0)
    request = _request(api, b"[" + b",".join(bodies) + b"]")
    preview = await api.call(PricingPreview, request)
    if len(preview.pricing_details) != len(bodies):
        raise DecodeError(
            f"{len(preview.pricing_details)} prices came for {len(bodies)} orders", request=request
        )
    return preview


def _request(api: Api, body: bytes) -> Request:
    # To ask for a price changes nothing.
    return api.request("POST", _PRICING, operation="tasking.preview_pricing", body=body, repeatable=True)
