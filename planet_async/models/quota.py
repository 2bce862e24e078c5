"""Quota: products, what a reservation would cost, reservations and the jobs that make many of them.

The API writes amounts now in square kilometres and now in square metres, and some numbers as texts: here
each is an `Amount`, which has its unit.  See https://docs.planet.com/develop/apis/quota/
"""

from collections.abc import Iterable
from math import isfinite
from typing import Self, TypeVar

from attrs import field, frozen

from planet_async.errors import DecodeError
from planet_async.models.base import Record, Resource
from planet_async.models.codec import Timestamp, decode_part

T = TypeVar("T")

_SQKM = {"sqkm": 1.0, "km2": 1.0, "sqm": 1e-6, "m2": 1e-6, "ha": 1e-2}
_UNFINISHED = frozenset({"pending", "queued", "processing", "running", "in_progress", "started"})


@frozen
class Amount(Record):
    """An amount of quota: a `value`, and its `unit` as the API writes it, such as sqkm or sqm."""

    value: float
    unit: str

    @property
    def sqkm(self) -> float | None:
        """The amount in square kilometres; None where the unit is not one of area."""
        factor = _SQKM.get(self.unit.lower())
        return None if factor is None else self.value * factor

    def __str__(self) -> str:
        return f"{self.value:,g} {self.unit}".rstrip()


def _number(value: object) -> float | None:
    """Return a number, also where it came as a text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if isfinite(found) else None


def _of_type(cls: type[T], value: object) -> T | None:
    return value if isinstance(value, cls) else None


def _amount(value: object, unit: object) -> Amount | None:
    number = _number(value)
    return None if number is None else Amount(number, unit if isinstance(unit, str) else "")


class _Budget(Resource):
    """Base of the records that have a total of quota, with its unit."""

    __slots__ = ()

    def _of(self, key: str) -> Amount | None:
        return _amount(self.raw.get(key), self.raw.get("quota_units"))

    @property
    def quota_total(self) -> Amount | None:
        """The quota in all; None where it is not known, or not limited."""
        return self._of("quota_total")

    @property
    def quota_used(self) -> Amount | None:
        """The quota that is used."""
        return self._of("quota_used")

    @property
    def quota_remaining(self) -> Amount | None:
        """The quota that is left."""
        return self._of("quota_remaining")


@frozen(eq=False)
class QuotaProduct(_Budget):
    """A product that the organization may use; `id` is what estimates and reservations are made for."""

    id: int
    product_family: str = ""
    state: str = ""
    supports_reservation: bool | None = None
    unlimited_quota: bool | None = field(default=None, repr=False)
    organization_id: int | None = field(default=None, repr=False)
    term_start_date: Timestamp | None = field(default=None, repr=False)
    term_end_date: Timestamp | None = field(default=None, repr=False)
    created_at: Timestamp | None = field(default=None, repr=False)
    updated_at: Timestamp | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """The name, which is no id: another organization has the product under another id."""
        return self._described("name")

    @property
    def title(self) -> str:
        """The name for people."""
        return self._described("title")

    @property
    def description(self) -> str:
        """The description of the product."""
        return self._described("description")

    @property
    def quota_remaining(self) -> Amount | None:
        """The total without what is used; None where the total is not known, or not limited."""
        total, used = self.quota_total, self.quota_used
        return None if total is None or used is None else Amount(total.value - used.value, total.unit)

    def _described(self, key: str) -> str:
        # Older responses have these in an object of their own.
        found = self.raw.get(key, (self._mapping("product") or {}).get(key))
        return found if isinstance(found, str) else ""


@frozen
class EstimatedCost(Record):
    """The cost of reserving one area; `reserved` is True if it is reserved already."""

    aoi_ref: str
    cost: Amount | None
    reserved: bool | None = None


@frozen(eq=False, repr=False)
class QuotaEstimate(_Budget):
    """The cost of a reservation; `quota_remaining` is the quota left before it."""

    def __repr__(self) -> str:
        return f"QuotaEstimate(total_cost={self.total_cost!r}, quota_remaining={self.quota_remaining!r})"

    @property
    def total_cost(self) -> Amount | None:
        """The cost of all areas."""
        return self._of("total_cost")

    @property
    def estimated_costs(self) -> tuple[EstimatedCost, ...]:
        """The cost of each area."""
        unit = self.raw.get("quota_units")
        return tuple(
            EstimatedCost(
                _of_type(str, cost.get("aoi_ref")) or "",
                _amount(cost.get("cost"), unit),
                _of_type(bool, cost.get("reserved")),
            )
            for cost in self._mappings("estimated_costs")
        )


@frozen(eq=False)
class Reservation(Resource):
    """Quota that is reserved for an area.

    `aoi_ref` is the reference of the feature, `product_id` the id of a product of the organization;
    `collection_id` is only the hash of the collection.
    """

    id: int
    aoi_ref: str = ""
    state: str = ""
    product_id: int | None = field(default=None, repr=False)
    collection_id: str | None = field(default=None, repr=False)
    organization_id: int | None = field(default=None, repr=False)
    user_id: int | None = field(default=None, repr=False)
    created_at: Timestamp | None = field(default=None, repr=False)
    updated_at: Timestamp | None = field(default=None, repr=False)

    @property
    def amount(self) -> Amount | None:
        """The quota that it takes, in square kilometres; None in the response to `reserve`."""
        return _amount(self.raw.get("amount"), "sqkm")


@frozen(eq=False, repr=False)
class ReservedQuota(_Budget):
    """The reservations that `reserve` made, and the quota left afterwards.

    The amounts are None where the response was lost, and the reservations were found in the list.
    """

    def __repr__(self) -> str:
        made = len(self._mappings("quota_reservations"))
        return f"ReservedQuota({made} quota_reservations, quota_remaining={self.quota_remaining!r})"

    @property
    def quota_reservations(self) -> tuple[Reservation, ...]:
        """The reservations.

        Raises:
            DecodeError: there is no list of them, or one has no id.
        """
        if not isinstance(self.raw.get("quota_reservations"), list):
            raise DecodeError("`$.quota_reservations` is missing")
        return tuple(decode_part(Reservation, each) for each in self._mappings("quota_reservations"))

    @classmethod
    def of(cls, reservations: Iterable[Reservation]) -> Self:
        """Return it for reservations that were found in the list."""
        return decode_part(cls, {"quota_reservations": [each.raw for each in reservations]})


@frozen(eq=False)
class QuotaJob(Resource):
    """A job that reserves quota for many areas.

    That its `status` is completed does not mean that it has reserved all: compare `processed_items` with
    `total_items`, or see `is_complete`.  Areas that were reserved before are not processed.
    """

    id: int
    status: str = ""
    percentage: float | None = None
    processed_items: int | None = None
    total_items: int | None = None
    type: str = field(default="", repr=False)
    product_access_id: int | None = field(default=None, repr=False)
    organization_id: int | None = field(default=None, repr=False)
    collection_id: str | None = field(default=None, repr=False)

    @property
    def is_finished(self) -> bool:
        """True once the job has ended."""
        return bool(self.status) and self.status.lower() not in _UNFINISHED

    @property
    def is_complete(self) -> bool:
        """True once the job has ended and has processed all of its items."""
        return self.is_finished and self.total_items is not None and self.processed_items == self.total_items


@frozen(eq=False)
class StartedJob(Resource):
    """The response to a bulk reservation: the id of its job is a text here, and a number everywhere else."""

    status: str = ""
    job_id: int | None = None

    @property
    def job(self) -> QuotaJob:
        """The job; DecodeError where the response names none."""
        return decode_part(QuotaJob, {"id": self.job_id, "status": self.status})
