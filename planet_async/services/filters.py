"""The filters of the lists, each declared once: what a list takes, and how it is sent, follows from it.

A filter of the API is added by a line in one of the classes here.  Its type says how its value is checked and
written into the query (see `_query`); `typing.get_type_hints` of a class has the names.  None is the same as
not given.  An instant is a datetime with a time zone, or a text like ``"2026-01-31T00:00:00Z"``; a GMT day is
a date, or a text like ``"2026-05-01"``.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from types import MappingProxyType
from typing import TypedDict
from uuid import UUID

TimeFilter = str | datetime | tuple[datetime | None, datetime | None]
"""An instant or an interval: a text (``"2026-01-01T00:00:00Z/.."``), or a pair with None for an open end.

The start of an interval is inclusive, its end exclusive.
"""

NO_FILTERS: Mapping[str, object] = MappingProxyType({})


class OrderFilters(TypedDict, total=False):
    """Filters of `orders.list`.

    `state`: an `OrderState`, or several.  `source_type`: scenes, basemaps, or all, the default.  `user_id`:
    a number, or ``"all"`` for the organization; for administrators.
    """

    state: str | Sequence[str] | None
    source_type: str | Sequence[str] | None
    name: str | None
    name__contains: str | None
    created_on: TimeFilter | None
    last_modified: TimeFilter | None
    hosting: bool | None
    destination_ref: str | None
    user_id: int | str | None


class SubscriptionFilters(TypedDict, total=False):
    """Filters of `subscriptions.list`.

    `status`: a `SubscriptionStatus`, or several.  `source_type`: catalog, or that of a planetary variable.
    `geom_ref`: a reference like ``"pl:features/my/fields"``.  `user_id`: a number, or ``"all"`` for the
    organization; for administrators.
    """

    status: str | Sequence[str] | None
    source_type: str | None
    name: str | None
    name__contains: str | None
    created: TimeFilter | None
    updated: TimeFilter | None
    start_time: TimeFilter | None
    end_time: TimeFilter | None
    hosting: bool | None
    geom_ref: str | None
    destination_ref: str | None
    user_id: int | str | None


class ResultFilters(TypedDict, total=False):
    """Filters of the results of a subscription; `status`: a `ResultStatus`, or several."""

    status: str | Sequence[str] | None
    created: TimeFilter | None
    updated: TimeFilter | None
    completed: TimeFilter | None
    item_datetime: TimeFilter | None
    user_id: int | str | None


class TaskingFilters(TypedDict, total=False):
    """Filters of `tasking.list`.

    `status`: a `TaskingStatus`; `status__in`: several.  `geometry__intersects`: as any geometry of a request.
    """

    status: str | None
    status__in: Sequence[str] | None
    name: str | None
    name__icontains: str | None
    scheduling_type: str | None
    scheduling_type__in: Sequence[str] | None
    pl_number: str | None
    product: str | None
    geometry__intersects: object | None
    created_time__gt: str | datetime | None
    created_time__gte: str | datetime | None
    created_time__lt: str | datetime | None
    created_time__lte: str | datetime | None
    updated_time__gt: str | datetime | None
    updated_time__gte: str | datetime | None
    updated_time__lt: str | datetime | None
    updated_time__lte: str | datetime | None
    start_time__gt: str | datetime | None
    start_time__gte: str | datetime | None
    start_time__lt: str | datetime | None
    start_time__lte: str | datetime | None
    end_time__gt: str | datetime | None
    end_time__gte: str | datetime | None
    end_time__lt: str | datetime | None
    end_time__lte: str | datetime | None


class CaptureFilters(TypedDict, total=False):
    """Filters of `tasking.list_captures`.

    `fulfilling`: whether they count towards their order.  `status`: a `CaptureStatus`; `status__in`: several.
    """

    order_id: str | UUID | None
    fulfilling: bool | None
    status: str | None
    status__in: Sequence[str] | None
    acquired_time__gt: str | datetime | None
    acquired_time__lt: str | datetime | None
    published_time__gt: str | datetime | None
    published_time__lt: str | datetime | None


class ReportFilters(TypedDict, total=False):
    """Filters of `reports.list`.

    `org_id`: by default the organization of the key.  `report_type`: detailed or summary.  `cadence`: daily
    or monthly.  `start` and `end`: GMT days, both inclusive.
    """

    org_id: int | None
    plan_id: int | None
    report_type: str | None
    cadence: str | None
    start: date | str | None
    end: date | str | None


class CollectionFilters(TypedDict, total=False):
    """Filters of `features.list`; with ``~`` in front of it, a text need only be contained: ``"~field"``."""

    title: str | None
    description: str | None
    hashid: str | None


class DestinationFilters(TypedDict, total=False):
    """Filters of `destinations.list`.

    `archived`: those that are archived, which are left out by default.  `is_owner`: those of the user.
    `can_write`: those that the user may change.  `is_default`: the default one.
    """

    archived: bool | None
    is_owner: bool | None
    can_write: bool | None
    is_default: bool | None


class MosaicFilters(TypedDict, total=False):
    """Filters of `basemaps.list` and `basemaps.series`.

    `name__is`: the name, which one has at most.  `name__contains`: in upper or lower case.  `interval`: such
    as ``"1 mon"``.
    """

    name__is: str | None
    name__contains: str | None
    interval: str | None
    acquired__gt: str | datetime | None
    acquired__lt: str | datetime | None


class QuotaFilters(TypedDict, total=False):
    """Filters of `quota.list` and `quota.jobs`; others can be passed with the API's own names.

    `product_id`: the id of a product of the organization.  `aoi_ref`: the reference of a feature; a
    reservation has it.  `state`: that of a reservation.  `status`: that of a job.
    """

    product_id: int | None
    aoi_ref: str | None
    collection_id: str | None
    state: str | None
    status: str | None
    created_at__gte: str | datetime | None
    created_at__lt: str | datetime | None


class ProductFilters(TypedDict, total=False):
    """Filters of `quota.products`; `supports_reservation`: whether quota can be reserved for areas."""

    supports_reservation: bool | None


class SeriesMosaicFilters(TypedDict, total=False):
    """Filters of `basemaps.series_mosaics`."""

    acquired__gt: str | datetime | None
    acquired__lt: str | datetime | None
