"""What the Tasking API is asked for: orders, their prices, changes of them, and imaging windows.

See https://docs.planet.com/develop/apis/tasking/reference/
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar, TypeVar

from attrs import field, frozen

from planet_async.errors import InvalidRequest
from planet_async.models.base import RequestModel
from planet_async.models.codec import ReadBy
from planet_async.models.geometry import to_geojson
from planet_async.models.json import kind
from planet_async.redaction import keys_only

T = TypeVar("T")

Moment = datetime | str
"""A time with its zone, or a text like ``2026-05-01T00:00:00Z``."""


def _as_it_is(value: object) -> object:
    return value


Zoned = Annotated[datetime, ReadBy(_as_it_is)]
"""A time of a request: the record reads it itself, and refuses it without its zone."""

_RIGHT_ANGLE = 90.0
_LINE_ENDS = 2
_SHAPES = frozenset({"Point", "LineString", "Polygon"})


def _moment(name: str, value: Moment | None) -> datetime | None:
    if value is None:
        return None
    found: object = value
    if isinstance(value, str):
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            found = None
    if not isinstance(found, datetime):
        raise InvalidRequest(f"Tasking.{name}: expected a time like 2026-05-01T00:00:00Z")
    if found.tzinfo is None:
        raise InvalidRequest(f"Tasking.{name}: expected a time with its zone, such as 2026-05-01T00:00:00Z")
    return found


def _start(value: Moment | None) -> datetime | None:
    return _moment("start_time", value)


def _end(value: Moment | None) -> datetime | None:
    return _moment("end_time", value)


def _list(name: str, value: Iterable[T] | None) -> tuple[T, ...] | None:
    if isinstance(value, str | bytes | Mapping):
        raise InvalidRequest(f"Tasking.{name}: expected a list")
    return None if value is None else tuple(value)


def _satellite_types(value: Iterable[str] | None) -> tuple[str, ...] | None:
    return _list("satellite_types", value)


def _asset_types(value: Iterable[str] | None) -> tuple[str, ...] | None:
    return _list("asset_types", value)


def _data_products(value: Iterable[str] | None) -> tuple[str, ...] | None:
    return _list("data_products", value)


def _items(value: Iterable[Mapping[str, Any]] | None) -> tuple[Mapping[str, Any], ...] | None:
    return _list("requested_items", value)


def _geojson(value: object) -> Mapping[str, Any]:
    return to_geojson(value, where="Tasking.geometry")


class _Timed(RequestModel):
    """What has a time and angles, under the API's names."""

    __slots__ = ()

    shapes: ClassVar[Collection[str]] = _SHAPES

    def _problems(self) -> Iterable[tuple[str, str]]:
        geometry = getattr(self, "geometry", None)
        if geometry is not None and geometry.get("type") not in self.shapes:
            yield "geometry", f"expected a {', '.join(sorted(self.shapes))}, got a {geometry.get('type')}"
        start, end = getattr(self, "start_time", None), getattr(self, "end_time", None)
        if start is not None and end is not None and end <= start:
            yield "end_time", "expected a time after start_time"
        for name in ("sat_elevation_angle", "off_nadir_angle"):
            yield from self._angle_problems(name)

    def _angle_problems(self, name: str) -> Iterable[tuple[str, str]]:
        low, high = (getattr(self, f"{name}_{end}", None) for end in ("min", "max"))
        for end, angle in (("min", low), ("max", high)):
            if angle is not None and not 0 <= angle <= _RIGHT_ANGLE:
                yield f"{name}_{end}", f"expected 0 to 90 degrees, got {kind(angle)}"
        if low is not None and high is not None and low > high:
            yield f"{name}_min", f"expected no more than {name}_max"


@frozen
class PricingRequest(_Timed):
    """An order as far as it takes to price it: a `geometry`, and what else is known.

    PricingRequest({"type": "Point", "coordinates": [40.7, 64.6]}, product="Assured Tasking")
    """

    geometry: Mapping[str, Any] = field(converter=_geojson)
    name: str | None = field(default=None, kw_only=True)
    pl_number: str | None = field(default=None, kw_only=True)
    product: str | None = field(default=None, kw_only=True)
    start_time: Zoned | None = field(default=None, converter=_start, kw_only=True)
    end_time: Zoned | None = field(default=None, converter=_end, kw_only=True)
    sat_elevation_angle_min: float | None = field(default=None, kw_only=True)
    sat_elevation_angle_max: float | None = field(default=None, kw_only=True)
    scheduling_type: str | None = field(default=None, kw_only=True)
    order_type: str | None = field(default=None, kw_only=True)
    imaging_window: str | None = field(default=None, kw_only=True)
    rrule: str | None = field(default=None, kw_only=True)
    satellite_types: tuple[str, ...] | None = field(default=None, converter=_satellite_types, kw_only=True)
    cloud_threshold: float | None = field(default=None, kw_only=True)
    exclusivity_days: int | None = field(default=None, kw_only=True)
    n_stereo_pov: int | None = field(default=None, kw_only=True)
    early_start: bool | None = field(default=None, kw_only=True)
    asset_types: tuple[str, ...] | None = field(default=None, converter=_asset_types, kw_only=True)
    data_products: tuple[str, ...] | None = field(default=None, converter=_data_products, kw_only=True)
    requested_items: tuple[Mapping[str, Any], ...] | None = field(
        default=None, converter=_items, kw_only=True
    )
    delivery: Mapping[str, Any] | None = field(default=None, repr=keys_only, kw_only=True)

    def _problems(self) -> Iterable[tuple[str, str]]:
        yield from super()._problems()
        if self.scheduling_type == "ASSURED" and not self.imaging_window:
            yield "imaging_window", "expected the id of a window for an ASSURED order"
        if self.scheduling_type == "MONITORING" and not self.rrule:
            yield "rrule", "expected a rule of recurrence for a MONITORING order"


@frozen
class TaskingOrderRequest(PricingRequest):
    """An order of new imagery of a Point (25 square kilometres around it), a LineString or a Polygon.

    Angles are in degrees.  `pl_number` and `product` are those of the account where they are not given;
    `imaging_window` is the id of one that `search_imaging_windows` found, for an ASSURED order.

        TaskingOrderRequest(
            "harbour", {"type": "Point", "coordinates": [149.44, 28.49]},
            start_time=datetime(2026, 5, 1, tzinfo=UTC), end_time=datetime(2026, 6, 1, tzinfo=UTC),
        )
    """

    name: str
    geometry: Mapping[str, Any] = field(converter=_geojson)

    def _problems(self) -> Iterable[tuple[str, str]]:
        if not self.name:
            yield "name", "expected a text of at least one character"
        yield from super()._problems()


@frozen(kw_only=True)
class TaskingOrderChanges(_Timed):
    """The fields of an order to be changed; all others stay as they are.

    `start_time` can be changed while the order is PENDING, `end_time` also while it is IN_PROGRESS.
    """

    name: str | None = None
    start_time: Zoned | None = field(default=None, converter=_start)
    end_time: Zoned | None = field(default=None, converter=_end)


@frozen
class ImagingWindowRequest(_Timed):
    """What imaging windows are searched for: a Point or a LineString of two points, for a product.

    `end_time` may be 7 days ahead; angles are in degrees.
    """

    shapes: ClassVar[Collection[str]] = frozenset({"Point", "LineString"})

    geometry: Mapping[str, Any] = field(converter=_geojson)
    pl_number: str
    product: str
    start_time: Zoned | None = field(default=None, converter=_start, kw_only=True)
    end_time: Zoned | None = field(default=None, converter=_end, kw_only=True)
    sat_elevation_angle_min: float | None = field(default=None, kw_only=True)
    sat_elevation_angle_max: float | None = field(default=None, kw_only=True)
    off_nadir_angle_min: float | None = field(default=None, kw_only=True)
    off_nadir_angle_max: float | None = field(default=None, kw_only=True)
    satellite_types: tuple[str, ...] | None = field(default=None, converter=_satellite_types, kw_only=True)
    sensitivity_mode: str | None = field(default=None, kw_only=True)

    def _problems(self) -> Iterable[tuple[str, str]]:
        yield from super()._problems()
        if self.geometry.get("type") == "LineString" and len(self.geometry["coordinates"]) != _LINE_ENDS:
            yield "geometry", "expected a LineString of two points"
