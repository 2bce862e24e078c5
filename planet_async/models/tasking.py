"""Tasking orders and captures as the API shows them.

See https://docs.planet.com/develop/apis/tasking/reference/
"""

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from planet_async.models.base import OpenEnum, Resource
from planet_async.models.codec import NonEmpty, Timestamp


class TaskingStatus(OpenEnum):
    """Where a tasking order is; a word that Planet adds later becomes a status too, and is not final.

    RECEIVED, PENDING, IN_PROGRESS, FINALIZING, then one of FULFILLED, CANCELLED, REJECTED, EXPIRED and
    FAILED.  Assured orders are REQUESTED first, and PENDING_CANCELLATION before they are cancelled.
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
        """Nothing will happen to the order any more."""
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
        """The geometry as it was asked for."""
        return self._mapping("original_geometry")

    @property
    def fulfilled_geometry(self) -> Mapping[str, Any] | None:
        """The part of the area that has been imaged."""
        return self._mapping("fulfilled_geometry")


class CaptureStatus(OpenEnum):
    """Where a capture is, from SCHEDULED to PUBLISHED; or REMOVED from the schedule, or FAILED."""

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

    `fulfilling` says whether it counts towards the order, `cloud_cover` is a share from 0 to 1.  The imagery
    itself is found at Planet's Data API, by the `strip_id` or the `item_ids`.
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
    def captured_area(self) -> Mapping[str, Any] | None:
        """What the image shows."""
        return self._mapping("captured_area")

    @property
    def area_of_interest(self) -> Mapping[str, Any] | None:
        """What was to be seen."""
        return self._mapping("area_of_interest")


class BulkStatus(OpenEnum):
    """Where a bulk job is: PENDING, RUNNING, then COMPLETE, also where some of its orders failed."""

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
