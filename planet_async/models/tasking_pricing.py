"""What tasking orders cost.

See https://docs.planet.com/develop/apis/tasking/reference/#tag/Pricing
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from attrs import field, frozen

from planet_async.errors import DecodeError
from planet_async.models.base import Resource
from planet_async.models.codec import decode_part


@frozen
class PriceMultiplier:
    """A factor of the price, and what it is for."""

    name: str = ""
    value: float | None = None
    description: str = ""


@frozen
class PricingModel:
    """How a price comes about: `base_price`, times the multipliers."""

    base_price: float | None = None
    multipliers: tuple[PriceMultiplier, ...] = ()


@frozen
class ReplacedOrder:
    """An order that had to make way for another one, and its share of the price."""

    order_id: str = ""
    name: str = ""
    cost: float | None = None


@frozen(eq=False)
class Pricing(Resource):
    """What an order is estimated to cost, in `units` of quota (SQKM: square kilometres).

    `determined_by` is "pricing_model", or "replaced_orders" where others were cancelled for this one; then
    the cost is the sum of theirs.  Of a preview `order_id` is None.
    """

    estimated_quota_cost: float
    units: str = ""
    determined_by: str = ""
    order_id: str | None = None
    pricing_model: PricingModel | None = field(default=None, repr=False)
    replaced_orders: tuple[ReplacedOrder, ...] = field(default=(), repr=False)


@frozen
class PricingFailure:
    """Stands for an order that could not be priced: the `error` in the API's words, and all of it, `raw`."""

    error: str
    raw: Mapping[str, Any] = field(factory=dict, repr=False, kw_only=True)


@frozen(eq=False)
class PricingPreview(Resource):
    """What many orders would cost; those that could not be priced are not in the total.

    for price in preview.pricing_details:
        print(price.error if isinstance(price, PricingFailure) else price.estimated_quota_cost)
    """

    total_estimated_quota_cost: float

    @cached_property
    def pricing_details(self) -> tuple[Pricing | PricingFailure, ...]:
        """The price or the failure of each order, in the order in which they were given."""
        details = self.raw.get("pricing_details")
        return tuple(map(_price_or_failure, details)) if isinstance(details, list) else ()


def _price_or_failure(detail: object) -> Pricing | PricingFailure:
    if not isinstance(detail, dict):
        return PricingFailure("the API gives no price and no reason")
    try:
        return decode_part(Pricing, detail)
    except DecodeError:
        return PricingFailure(_reason(detail), raw=detail)


def _reason(detail: Mapping[str, Any]) -> str:
    said = detail.get("message")
    if isinstance(said, dict):
        said = said.get("error")
    return said if isinstance(said, str) and said else "the API gives no price and no reason"
