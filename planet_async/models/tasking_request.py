"""Requests of the Tasking API: orders, their prices, changes of them, and imaging windows.

See https://docs.planet.com/develop/apis/tasking/reference/
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from attrs import field, frozen

from planet_async.models.base import RequestModel, geometry, items, optional_moment, optional_texts
from planet_async.models.json import kind
from planet_async.redaction import keys_only

_RIGHT_ANGLE = 90.0
_LINE_ENDS = 2
_SHAPES = frozenset({"Point", "LineString", "Polygon"})
_WINDOW_SHAPES = frozenset({"Point", "LineString"})


def _shape_problems(geometry: Mapping[str, Any], shapes: frozenset[str]) -> Iterable[tuple[str, str]]:
    if geometry.get("type") not in shapes:
        yield "geometry", f"expected a {', '.join(sorted(shapes))}, got a {geometry.get('type')}"


def _interval_problems(start: str | None, end: str | None) -> Iterable[tuple[str, str]]:
    if start and end and datetime.fromisoformat(end) <= datetime.fromisoformat(start):
        yield "end_time", "expected a time after start_time"


def _angle_problems(name: str, low: float | None, high: float | None) -> Iterable[tuple[str, str]]:
    for end, angle in (("min", low), ("max", high)):
        if angle is not None and not 0 <= angle <= _RIGHT_ANGLE:
            yield f"{name}_{end}", f"expected 0 to 90 degrees, got {kind(angle)}"
    if low is not None and high is not None and low > high:
        yield f"{name}_min", f"expected no more than {name}_max"


def _mappings(value: Iterable[Mapping[str, Any]] | None) -> tuple[Mapping[str, Any], ...] | None:
    return None if value is None else items(value)


@frozen
class PricingRequest(RequestModel):
    """A tasking order as far as it takes to price it: a geometry, and what else is known.

    Args:
        geometry: A Point (25 square kilometres around it), a LineString (a strip along it) or a Polygon, as
            anything that `to_geojson` takes.
        name: Not needed for a price.
        pl_number: By default that of the account.
        product: By default that of the account.
        start_time: The beginning, as a datetime or text with a time zone.
        end_time: The end, after `start_time`.
        sat_elevation_angle_min: Degrees, from 0 to 90.
        sat_elevation_angle_max: Degrees, from 0 to 90.
        scheduling_type: FLEXIBLE, LOCK_IN, MONITORING, EXPRESS, ASSURED or ARCHIVE.
        order_type: IMAGE, VIDEO or STEREO.
        imaging_window: For ASSURED: the id of a window that `search_imaging_windows` found.
        rrule: For MONITORING: the rule of recurrence, with COUNT.
        satellite_types: Of SKYSAT, PELICAN and TANAGER.
        cloud_threshold: As in Planet's documentation, and so are the fields after it.

    Raises:
        InvalidRequest: the API would refuse it; the message names the field.

    Example:
        >>> point = {"type": "Point", "coordinates": [40.7, 64.6]}
        >>> request = PricingRequest(point, product="Assured Tasking")
    """

    # First, since it is the first argument of TaskingOrderRequest.
    name: str | None = field(default=None, kw_only=True)
    geometry: Mapping[str, Any] = field(converter=geometry)
    pl_number: str | None = field(default=None, kw_only=True)
    product: str | None = field(default=None, kw_only=True)
    start_time: str | None = field(default=None, converter=optional_moment, kw_only=True)
    end_time: str | None = field(default=None, converter=optional_moment, kw_only=True)
    sat_elevation_angle_min: float | None = field(default=None, kw_only=True)
    sat_elevation_angle_max: float | None = field(default=None, kw_only=True)
    scheduling_type: str | None = field(default=None, kw_only=True)
    order_type: str | None = field(default=None, kw_only=True)
    imaging_window: str | None = field(default=None, kw_only=True)
    rrule: str | None = field(default=None, kw_only=True)
    satellite_types: tuple[str, ...] | None = field(default=None, converter=optional_texts, kw_only=True)
    cloud_threshold: float | None = field(default=None, kw_only=True)
    exclusivity_days: int | None = field(default=None, kw_only=True)
    n_stereo_pov: int | None = field(default=None, kw_only=True)
    early_start: bool | None = field(default=None, kw_only=True)
    asset_types: tuple[str, ...] | None = field(default=None, converter=optional_texts, kw_only=True)
    data_products: tuple[str, ...] | None = field(default=None, converter=optional_texts, kw_only=True)
    requested_items: tuple[Mapping[str, Any], ...] | None = field(
        default=None, converter=_mappings, kw_only=True
    )
    delivery: Mapping[str, Any] | None = field(default=None, repr=keys_only, kw_only=True)

    def _problems(self) -> Iterable[tuple[str, str]]:
        yield from _shape_problems(self.geometry, _SHAPES)
        yield from _interval_problems(self.start_time, self.end_time)
        yield from _angle_problems(
            "sat_elevation_angle", self.sat_elevation_angle_min, self.sat_elevation_angle_max
        )
        if self.scheduling_type == "ASSURED" and not self.imaging_window:
            yield "imaging_window", "expected the id of a window for an ASSURED order"
        if self.scheduling_type == "MONITORING" and not self.rrule:
            yield "rrule", "expected a rule of recurrence for a MONITORING order"


@frozen
class TaskingOrderRequest(PricingRequest):
    """A tasking order to be placed: new imagery of a place.

    Args:
        name: A name of its own for each order makes sure that it is placed exactly once.
        geometry: A Point (25 square kilometres around it), a LineString (a strip along it) or a Polygon, as
            anything that `to_geojson` takes.

    All others are those of `PricingRequest`.

    Raises:
        InvalidRequest: the API would refuse it; the message names the field.

    Example:
        >>> from datetime import UTC, datetime
        >>> request = TaskingOrderRequest(
        ...     "harbour",
        ...     {"type": "Point", "coordinates": [149.44, 28.49]},
        ...     start_time=datetime(2026, 5, 1, tzinfo=UTC),
        ...     end_time=datetime(2026, 6, 1, tzinfo=UTC),
        ... )
        >>> request.start_time
        '2026-05-01T00:00:00Z'

    See https://docs.planet.com/develop/apis/tasking/reference/
    """

    name: str
    geometry: Mapping[str, Any] = field(converter=geometry)

    def _problems(self) -> Iterable[tuple[str, str]]:
        if not self.name:
            yield "name", "expected a text of at least one character"
        yield from super()._problems()


@frozen(kw_only=True)
class TaskingOrderChanges(RequestModel):
    """The fields of a tasking order to change; all others stay as they are.

    Args:
        name: The new name.
        start_time: Can be changed while the order is PENDING.
        end_time: Can be changed while the order is PENDING or IN_PROGRESS.
    """

    name: str | None = None
    start_time: str | None = field(default=None, converter=optional_moment)
    end_time: str | None = field(default=None, converter=optional_moment)

    def _problems(self) -> Iterable[tuple[str, str]]:
        return _interval_problems(self.start_time, self.end_time)


@frozen
class ImagingWindowRequest(RequestModel):
    """A search for the times at which a satellite can take an image.

    Args:
        geometry: A Point, or a LineString of two points.
        pl_number: The plan.
        product: The product.
        start_time: The beginning, as a datetime or text with a time zone.
        end_time: The end, at most 7 days ahead.
        sat_elevation_angle_min: Degrees, from 0 to 90, as all angles.
        sat_elevation_angle_max: At least `sat_elevation_angle_min`.
        off_nadir_angle_min: At most `off_nadir_angle_max`.
        off_nadir_angle_max: At least `off_nadir_angle_min`.
        satellite_types: Of SKYSAT, PELICAN and TANAGER.
        sensitivity_mode: GLINT, STANDARD, MEDIUM, HIGH, MAX or PUSHBROOM.

    Raises:
        InvalidRequest: the API would refuse it; the message names the field.
    """

    geometry: Mapping[str, Any] = field(converter=geometry)
    pl_number: str
    product: str
    start_time: str | None = field(default=None, converter=optional_moment, kw_only=True)
    end_time: str | None = field(default=None, converter=optional_moment, kw_only=True)
    sat_elevation_angle_min: float | None = field(default=None, kw_only=True)
    sat_elevation_angle_max: float | None = field(default=None, kw_only=True)
    off_nadir_angle_min: float | None = field(default=None, kw_only=True)
    off_nadir_angle_max: float | None = field(default=None, kw_only=True)
    satellite_types: tuple[str, ...] | None = field(default=None, converter=optional_texts, kw_only=True)
    sensitivity_mode: str | None = field(default=None, kw_only=True)

    def _problems(self) -> Iterable[tuple[str, str]]:
        yield from _shape_problems(self.geometry, _WINDOW_SHAPES)
        yield from _interval_problems(self.start_time, self.end_time)
        yield from _angle_problems(
            "sat_elevation_angle", self.sat_elevation_angle_min, self.sat_elevation_angle_max
        )
        yield from _angle_problems("off_nadir_angle", self.off_nadir_angle_min, self.off_nadir_angle_max)
        if self.geometry.get("type") == "LineString" and len(self.geometry["coordinates"]) != _LINE_ENDS:
            yield "geometry", "expected a LineString of two points"
