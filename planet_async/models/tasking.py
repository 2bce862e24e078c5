"""Tasking orders, captures, prices and imaging windows, as the API returns them.

See https://docs.planet.com/develop/apis/tasking/reference/
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from attrs import field, frozen

from planet_async.errors import DecodeError
from planet_async.models.base import OpenEnum, Record, Resource
from planet_async.models.codec import NonEmpty, Timestamp, decode_part


class TaskingStatus(OpenEnum):
    """The status of a tasking order: RECEIVED, PENDING, IN_PROGRESS, FINALIZING, then a final one.

    Final are FULFILLED, CANCELLED, REJECTED, EXPIRED and FAILED; one that Planet adds later is not.  Assured
    orders are REQUESTED first, and PENDING_CANCELLATION before they are cancelled.
    """

    REQUESTED = "REQUESTED"
    RECEIVED = "RECEIVED"
    PENDING = "PENDING"
    IN_PROGRESS = "IN_PROGRESS"
    FINALIZING = "FINALIZING"
    PENDING_CANCELLATION = "PENDING_CANCELLATION"
    FULFILLED = "FULFILLED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    FAILED = "FAILED"

    @property
    def is_final(self) -> bool:
        """True once the order has ended."""
        return self in _FINAL


_FINAL = frozenset(
    {
        TaskingStatus.FULFILLED,
        TaskingStatus.CANCELLED,
        TaskingStatus.REJECTED,
        TaskingStatus.EXPIRED,
        TaskingStatus.FAILED,
    }
)


@frozen(eq=False)
class TaskingOrder(Resource):
    """A tasking order: new imagery of a place, to be taken between `start_time` and `end_time`.

    Areas are in square kilometres, angles in degrees.  Much of it is None until it is known.
    See https://docs.planet.com/develop/apis/tasking/reference/
    """

    id: NonEmpty
    status: TaskingStatus
    name: str = ""
    scheduling_type: str | None = field(default=None, repr=False)
    order_type: str | None = field(default=None, repr=False)
    pl_number: str | None = field(default=None, repr=False)
    product: str | None = field(default=None, repr=False)
    start_time: Timestamp | None = field(default=None, repr=False)
    end_time: Timestamp | None = field(default=None, repr=False)
    created_time: Timestamp | None = field(default=None, repr=False)
    updated_time: Timestamp | None = field(default=None, repr=False)
    fulfilled_time: Timestamp | None = field(default=None, repr=False)
    last_acquired_time: Timestamp | None = field(default=None, repr=False)
    next_planned_acquisition_time: Timestamp | None = field(default=None, repr=False)
    created_by: str | None = field(default=None, repr=False)
    is_cancellable: bool | None = field(default=None, repr=False)
    cancellable_until: Timestamp | None = field(default=None, repr=False)
    sat_elevation_angle_min: float | None = field(default=None, repr=False)
    sat_elevation_angle_max: float | None = field(default=None, repr=False)
    cloud_threshold: float | None = field(default=None, repr=False)
    exclusivity_days: int | None = field(default=None, repr=False)
    rrule: str | None = field(default=None, repr=False)
    imaging_window: str | None = field(default=None, repr=False)
    satellite_types: tuple[str, ...] | None = field(default=None, repr=False)
    requested_sqkm: float | None = field(default=None, repr=False)
    fulfilled_sqkm: float | None = field(default=None, repr=False)
    estimated_quota_cost: float | None = field(default=None, repr=False)
    used_quota: float | None = field(default=None, repr=False)
    capture_count: int | None = field(default=None, repr=False)
    capture_status_published_count: int | None = field(default=None, repr=False)
    capture_assessment_success_count: int | None = field(default=None, repr=False)
    capture_assessment_invalid_count: int | None = field(default=None, repr=False)

    @property
    def geometry(self) -> Mapping[str, Any] | None:
        """The area that will be imaged: for a point the square around it, for a line the strip along it."""
        return self._mapping("geometry")

    @property
    def original_geometry(self) -> Mapping[str, Any] | None:
        """The geometry as it was requested."""
        return self._mapping("original_geometry")

    @property
    def fulfilled_geometry(self) -> Mapping[str, Any] | None:
        """The part of the area that has been imaged."""
        return self._mapping("fulfilled_geometry")


class CaptureStatus(OpenEnum):
    """The status of a capture, from SCHEDULED to PUBLISHED; or REMOVED from the schedule, or FAILED."""

    SCHEDULED = "SCHEDULED"
    REMOVED = "REMOVED"
    QUEUED = "QUEUED"
    PROCESSING = "PROCESSING"
    DERIVING = "DERIVING"
    PUBLISHED = "PUBLISHED"
    FAILED = "FAILED"


@frozen(eq=False)
class Capture(Resource):
    """An image taken, or to be taken, for a tasking order.

    `fulfilling` says whether it counts towards the order; `cloud_cover` is a share from 0 to 1.  The Data API
    finds the imagery by the `strip_id` or the `item_ids`.
    """

    id: NonEmpty
    status: CaptureStatus
    order_id: str | None = None
    order_name: str | None = field(default=None, repr=False)
    status_description: str | None = field(default=None, repr=False)
    fulfilling: bool | None = field(default=None, repr=False)
    assessment: str | None = field(default=None, repr=False)
    assessment_time: Timestamp | None = field(default=None, repr=False)
    cloud_cover: float | None = field(default=None, repr=False)
    satellite_type: str | None = field(default=None, repr=False)
    strip_id: str | None = field(default=None, repr=False)
    ground_id: str | None = field(default=None, repr=False)
    item_ids: tuple[str, ...] | None = field(default=None, repr=False)
    item_types: tuple[str, ...] | None = field(default=None, repr=False)
    pl_number: str | None = field(default=None, repr=False)
    product: str | None = field(default=None, repr=False)
    created_time: Timestamp | None = field(default=None, repr=False)
    updated_time: Timestamp | None = field(default=None, repr=False)
    planned_acquisition_time: Timestamp | None = field(default=None, repr=False)
    acquired_time: Timestamp | None = field(default=None, repr=False)
    published_time: Timestamp | None = field(default=None, repr=False)

    @property
    def geometry(self) -> Mapping[str, Any] | None:
        """The area that the image shows, or else the one that was ordered."""
        return self.captured_area or self.area_of_interest

    @property
    def captured_area(self) -> Mapping[str, Any] | None:
        """The area that the image shows."""
        return self._mapping("captured_area")

    @property
    def area_of_interest(self) -> Mapping[str, Any] | None:
        """The area that was ordered."""
        return self._mapping("area_of_interest")


class BulkStatus(OpenEnum):
    """The status of a bulk job: PENDING, RUNNING, then COMPLETE, even if some of its orders failed."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"


@frozen(eq=False)
class BulkJob(Resource):
    """The creation of many tasking orders; the counts are of the orders in it."""

    id: NonEmpty
    status: BulkStatus = BulkStatus.PENDING
    payload_count: int | None = None
    processing_payload_count: int | None = field(default=None, repr=False)
    success_payload_count: int | None = field(default=None, repr=False)
    failed_payload_count: int | None = field(default=None, repr=False)
    start_time: Timestamp | None = field(default=None, repr=False)
    end_time: Timestamp | None = field(default=None, repr=False)


@frozen
class PriceMultiplier(Record):
    """A factor of the price, and what it is for."""

    name: str = ""
    value: float | None = None
    description: str = ""


@frozen
class PricingModel(Record):
    """How a price is computed: `base_price`, times the multipliers."""

    base_price: float | None = None
    multipliers: tuple[PriceMultiplier, ...] = ()


@frozen
class ReplacedOrder(Record):
    """An order that is replaced by another one, and its share of the price."""

    order_id: str = ""
    name: str = ""
    cost: float | None = None


@frozen(eq=False)
class Pricing(Resource):
    """The estimated cost of an order, in `units` of quota (SQKM: square kilometres).

    `determined_by` is "pricing_model", or "replaced_orders" where others were cancelled for this one; then
    the cost is the sum of theirs.  In a preview, `order_id` is None.
    """

    estimated_quota_cost: float
    units: str = ""
    determined_by: str = ""
    order_id: str | None = None
    pricing_model: PricingModel | None = field(default=None, repr=False)
    replaced_orders: tuple[ReplacedOrder, ...] = field(default=(), repr=False)


@frozen
class PricingFailure(Record):
    """Why an order could not be priced: the `error` in the API's words, and the whole object, `raw`."""

    error: str
    raw: Mapping[str, Any] = field(factory=dict, repr=False, kw_only=True)


@frozen(eq=False)
class PricingPreview(Resource):
    """The estimated cost of many orders; those that could not be priced are not in the total.

    Example:
        for price in preview.pricing_details:
            print(price.error if isinstance(price, PricingFailure) else price.estimated_quota_cost)
    """

    total_estimated_quota_cost: float

    @cached_property
    def pricing_details(self) -> tuple[Pricing | PricingFailure, ...]:
        """The price or the failure of each order, in the order of the request."""
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


@frozen(eq=False)
class ImagingWindow(Resource):
    """A time at which a satellite can take an image; an ASSURED order needs its id.

    Angles are in degrees, the ground sample distance in metres.  Windows are soon out of date.
    """

    id: NonEmpty
    start_time: Timestamp | None = None
    end_time: Timestamp | None = None
    satellite_type: str | None = None
    assured_tasking_tier: str | None = field(default=None, repr=False)
    sensitivity_mode: str | None = field(default=None, repr=False)
    low_light: bool | None = field(default=None, repr=False)
    off_nadir_angle_min: float | None = field(default=None, repr=False)
    off_nadir_angle_max: float | None = field(default=None, repr=False)
    sat_elevation_angle_min: float | None = field(default=None, repr=False)
    sat_elevation_angle_max: float | None = field(default=None, repr=False)
    sun_elevation_angle_min: float | None = field(default=None, repr=False)
    sun_elevation_angle_max: float | None = field(default=None, repr=False)
    ground_sample_distance: float | None = field(default=None, repr=False)
    created_time: Timestamp | None = field(default=None, repr=False)

    @property
    def geometry(self) -> Mapping[str, Any] | None:
        """The area that can be imaged."""
        return self._mapping("geometry")

    @property
    def cloud_forecast(self) -> tuple[Mapping[str, Any], ...]:
        """The expected clouds, by time."""
        return self._mappings("cloud_forecast")


class SearchStatus(OpenEnum):
    """The status of a search for imaging windows: CREATED, IN_PROGRESS, then DONE or FAILED."""

    CREATED = "CREATED"
    IN_PROGRESS = "IN_PROGRESS"
    DONE = "DONE"
    FAILED = "FAILED"

    @property
    def is_final(self) -> bool:
        """True once the search has ended."""
        return self in {SearchStatus.DONE, SearchStatus.FAILED}


@frozen(eq=False)
class ImagingWindowSearch(Resource):
    """A search for imaging windows, and what it found."""

    id: NonEmpty
    status: SearchStatus = SearchStatus.CREATED
    error_code: str | None = None
    error_message: str | None = None

    @cached_property
    def imaging_windows(self) -> tuple[ImagingWindow, ...]:
        """The windows found.

        Raises:
            DecodeError: one has no id, so that it could not be ordered.
        """
        windows = self.raw.get("imaging_windows")
        if not isinstance(windows, list):
            return ()
        return tuple(
            decode_part(ImagingWindow, window, where=f"$.imaging_windows[{index}]")
            for index, window in enumerate(windows)
        )
