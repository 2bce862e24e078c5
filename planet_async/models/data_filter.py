"""Filters of a search: which items it finds.

See https://docs.planet.com/develop/apis/data/items/
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, date, datetime, time
from typing import Any, ClassVar, TypeVar

from attrs import field, frozen

from planet_async.errors import InvalidRequest
from planet_async.models.base import RequestModel, items, texts, unfit
from planet_async.models.base import geometry as converted_geometry
from planet_async.models.codec import Check, drop_nulls, read_by, rfc3339
from planet_async.models.geometry import GEOMETRIES
from planet_async.models.json import finite, kind

T = TypeVar("T")

Instant = str | date
"""A time with its zone, as a datetime or a text, or a day, which stands for its beginning in UTC."""

_RELATIONS = ("intersects", "contains", "within", "disjoint")
_SEARCHABLE = GEOMETRIES - {"GeometryCollection"}


class Filter(RequestModel):
    """Base of the filters.  They combine: ``a & b``, ``a | b`` and ``~a``, also with plain mappings."""

    __slots__ = ()

    also_known: ClassVar[Collection[str]] = ("type",)

    @classmethod
    def _read(cls, value: Any, path: str, check: Check) -> object:
        return read_filter(value, path, check)

    @classmethod
    def _json_fields(cls) -> dict[str, Any]:
        return {"properties": {"type": {"type": "string"}}, "required": ["type"]}

    def to_body(self) -> Mapping[str, object]:
        """Return the filter in the grammar of the API."""
        return {"type": type(self).__name__, **self.set_fields()}

    def __and__(self, other: "Filter | Mapping[str, Any]") -> "AndFilter":
        return AndFilter((*_parts(self, AndFilter), *_parts(other, AndFilter)))

    def __rand__(self, other: Mapping[str, Any]) -> "AndFilter":
        return AndFilter((other, *_parts(self, AndFilter)))

    def __or__(self, other: "Filter | Mapping[str, Any]") -> "OrFilter":
        return OrFilter((*_parts(self, OrFilter), *_parts(other, OrFilter)))

    def __ror__(self, other: Mapping[str, Any]) -> "OrFilter":
        return OrFilter((other, *_parts(self, OrFilter)))

    def __invert__(self) -> "NotFilter":
        return NotFilter(self)


def _parts(value: "Filter | Mapping[str, Any]", cls: "type[AndFilter | OrFilter]") -> "tuple[Any, ...]":
    return value.config if isinstance(value, cls) else (value,)


# --- Filters that hold others


def read_filter(value: object, path: str, check: Check) -> object:
    """Read the JSON of a filter; one of a kind that is unknown here stays as it is."""
    if not check.is_object(value, path):
        return value
    drop_nulls(value)
    name = value.get("type")
    if not isinstance(name, str) or not name:
        check.expected("a text, the type of the filter", name, f"{path}.type")
    elif name in _FILTERS:
        return check.read(value, _FILTERS[name], path)
    else:
        check.spelling([name], _FILTERS, f"{path}.type")
    return value


def _read_one_filter(value: object, path: str, check: Check) -> object:
    if isinstance(value, list) and len(value) == 1:  # as older pages of Planet wrote it
        read_filter(value[0], f"{path}[0]", check)
        return value[0]
    return read_filter(value, path, check)


def _each(value: Iterable[Any], read: Callable[[Any], T | None], expected: str) -> tuple[T, ...]:
    """Return the items of a list as `read` returns them; None says that one is not what was expected."""
    found = items(value)
    if not isinstance(found, tuple):
        return found
    read_items = []
    for one in found:
        item = read(one)
        if item is None:
            return unfit(f": expected {expected}, got {kind(one)}")  # type: ignore[no-any-return]
        read_items.append(item)
    return tuple(read_items)


def _filters(value: Iterable[Filter | Mapping[str, Any]]) -> tuple[Filter | Mapping[str, Any], ...]:
    return _each(value, lambda one: one if isinstance(one, Filter | Mapping) else None, "filters")


def _filter(value: Filter | Mapping[str, Any]) -> Filter | Mapping[str, Any]:
    found: object = value[0] if isinstance(value, list) and len(value) == 1 else value
    if isinstance(found, Filter | Mapping):
        return found
    return unfit(f": expected a filter, got {kind(value)}")  # type: ignore[no-any-return]


@frozen
class AndFilter(Filter):
    """Items that pass all of these filters; without any, all items."""

    config: tuple[Filter | Mapping[str, Any], ...] = field(
        default=(), converter=_filters, metadata=read_by(read_filter)
    )

    def derived(self) -> Mapping[str, object]:
        """Return the list, which the API needs, also where it is empty."""
        return {"config": self.config}


@frozen
class OrFilter(Filter):
    """Items that pass at least one of these filters."""

    config: tuple[Filter | Mapping[str, Any], ...] = field(converter=_filters, metadata=read_by(read_filter))

    def _problems(self) -> Iterable[tuple[str, str]]:
        return _not_empty(self.config, "filter")


@frozen
class NotFilter(Filter):
    """Items that do not pass this filter."""

    config: Filter | Mapping[str, Any] = field(converter=_filter, metadata=read_by(_read_one_filter))


# --- Ranges


def _number(value: float | None) -> float | None:
    if value is None:
        return None
    found = finite(value)
    return unfit(f": expected a finite number, got {kind(value)}") if found is None else found


def _instant(value: Instant | None) -> str | None:
    if value is None:
        return None
    try:
        return _rfc3339(value)
    except InvalidRequest as error:
        return unfit(f": {error.message}")  # type: ignore[no-any-return]


def _rfc3339(value: object) -> str:
    day = value
    if isinstance(value, str):
        try:
            day = date.fromisoformat(value)
        except ValueError:
            return rfc3339(value)
    if isinstance(day, date) and not isinstance(day, datetime):
        return rfc3339(datetime.combine(day, time(tzinfo=UTC)))
    return rfc3339(value)


@frozen(kw_only=True)
class NumberRange(RequestModel):
    """The numbers above `gt` or from `gte` on, and below `lt` or up to `lte`; one end may be open."""

    gt: float | None = field(default=None, converter=_number)
    gte: float | None = field(default=None, converter=_number)
    lt: float | None = field(default=None, converter=_number)
    lte: float | None = field(default=None, converter=_number)

    def _problems(self) -> Iterable[tuple[str, str]]:
        return _range_problems(self.gt, self.gte, self.lt, self.lte)


@frozen(kw_only=True)
class DateRange(RequestModel):
    """The times after `gt` or from `gte` on, and before `lt` or up to `lte`; one end may be open."""

    gt: str | None = field(default=None, converter=_instant)
    gte: str | None = field(default=None, converter=_instant)
    lt: str | None = field(default=None, converter=_instant)
    lte: str | None = field(default=None, converter=_instant)

    def _problems(self) -> Iterable[tuple[str, str]]:
        ends = (self.gt, self.gte, self.lt, self.lte)
        return _range_problems(*(None if end is None else datetime.fromisoformat(end) for end in ends))


def _range_problems(*ends: Any) -> Iterable[tuple[str, str]]:
    lower = [end for end in ends[:2] if end is not None]
    upper = [end for end in ends[2:] if end is not None]
    if not (lower or upper):
        yield "gte", "expected gt, gte, lt or lte, or two of them"
    if lower and upper and max(lower) > min(upper):
        yield "lt", "the range ends before it begins"


def _not_empty(values: Collection[object], noun: str) -> Iterable[tuple[str, str]]:
    if not values:
        yield "config", f"expected one {noun} or more: an empty list finds nothing"


@frozen
class _PropertyFilter(Filter):
    field_name: str

    def _problems(self) -> Iterable[tuple[str, str]]:
        name: object = self.field_name
        if not isinstance(name, str) or not name:
            yield "field_name", f"expected the name of a property of items, got {kind(name)}"


@frozen
class RangeFilter(_PropertyFilter):
    """Items with a number in a range: ``RangeFilter("cloud_cover", {"lt": 0.1})``."""

    config: NumberRange | Mapping[str, float]


@frozen
class DateRangeFilter(_PropertyFilter):
    """Items with a time in a range: ``DateRangeFilter("acquired", {"gte": "2026-01-01"})``."""

    config: DateRange | Mapping[str, Instant]


@frozen
class UpdateFilter(_PropertyFilter):
    """Items whose property has changed since a time (`gt` or `gte`), because they were published again.

    The API knows it of items that were published since 10 April 2020.
    """

    config: DateRange | Mapping[str, Instant]

    def _problems(self) -> Iterable[tuple[str, str]]:
        yield from super()._problems()
        ends = self.config.set_fields() if isinstance(self.config, DateRange) else self.config
        if not isinstance(ends, Mapping):
            yield "config", f"expected an object, got {kind(ends)}"
        elif "lt" in ends or "lte" in ends:
            yield "config", "expected gt or gte only"


# --- Lists


def _numbers(value: Iterable[float]) -> tuple[float, ...]:
    return _each(value, finite, "finite numbers")


def _words(value: Iterable[str | bool]) -> tuple[str, ...]:
    """Return texts; of boolean properties, the API takes the values as texts."""
    return _each(value, lambda one: str(one).lower() if isinstance(one, bool) else _text(one), "texts")


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


@frozen
class NumberInFilter(_PropertyFilter):
    """Items with one of these numbers: ``NumberInFilter("gsd", [3.0, 3.7])``."""

    config: tuple[float, ...] = field(converter=_numbers)

    def _problems(self) -> Iterable[tuple[str, str]]:
        yield from super()._problems()
        yield from _not_empty(self.config, "number")


@frozen
class StringInFilter(_PropertyFilter):
    """Items with one of these texts, or for a boolean property with "true" or "false".

    ``StringInFilter("instrument", ["PS2.SD", "PSB.SD"])``
    """

    config: tuple[str, ...] = field(converter=_words)

    def _problems(self) -> Iterable[tuple[str, str]]:
        yield from super()._problems()
        yield from _not_empty(self.config, "text")


@frozen
class AssetFilter(Filter):
    """Items for which an asset of one of these types has been published."""

    config: tuple[str, ...] = field(converter=texts)

    def _problems(self) -> Iterable[tuple[str, str]]:
        return _not_empty(self.config, "asset type")


@frozen
class PermissionFilter(Filter):
    """Items for which you have one of these permissions.

    ``"assets:download"`` stands for any asset, ``"assets.ortho_visual:download"`` for one.
    """

    config: tuple[str, ...] = field(default=("assets:download",), converter=texts)

    def _problems(self) -> Iterable[tuple[str, str]]:
        return _not_empty(self.config, "permission")

    def derived(self) -> Mapping[str, object]:
        """Return the permissions, which the API needs."""
        return {"config": self.config}


# --- Places


@frozen
class GeometryFilter(Filter):
    """Items whose footprint has a relation to a geometry.

    The relation is intersects, the default, contains, within or disjoint.  A reference to a feature at
    Planet goes into the `geometry` of the search instead.
    """

    config: Mapping[str, Any] = field(converter=converted_geometry)
    relation: str | None = None
    field_name: str | None = field(default=None, kw_only=True)

    def _problems(self) -> Iterable[tuple[str, str]]:
        shape = self.config.get("type")
        if shape == "ref":
            yield "config", "a reference goes into the geometry of the search, not into a filter"
        elif shape not in _SEARCHABLE:
            yield "config", f"expected {', '.join(sorted(_SEARCHABLE))}, got {shape}"
        if self.relation not in (None, *_RELATIONS):
            yield "relation", f"expected one of {', '.join(_RELATIONS)}"
        if self.field_name not in (None, "geometry"):
            yield "field_name", "expected geometry"

    def derived(self) -> Mapping[str, object]:
        """Return the name of the field, which is always the same."""
        return {"field_name": "geometry"}


_FILTERS: Mapping[str, type[Filter]] = {
    cls.__name__: cls
    for cls in (
        *(AndFilter, OrFilter, NotFilter, RangeFilter, DateRangeFilter, UpdateFilter),
        *(NumberInFilter, StringInFilter, AssetFilter, PermissionFilter, GeometryFilter),
    )
}


# --- Properties to filter by


@frozen
class _Property:
    name: str

    def changed_since(self, start: Instant) -> UpdateFilter:
        """Return a filter for items whose property has changed, because they were published again."""
        return UpdateFilter(self.name, DateRange(gte=start))


@frozen
class DateProperty(_Property):
    """A property of items that is a time.

    A day, such as ``"2026-01-31"``, stands for its beginning in UTC.
    """

    def since(self, start: Instant) -> DateRangeFilter:
        """Return a filter for items from a time on."""
        return DateRangeFilter(self.name, DateRange(gte=start))

    def after(self, start: Instant) -> DateRangeFilter:
        """Return a filter for items after a time."""
        return DateRangeFilter(self.name, DateRange(gt=start))

    def before(self, end: Instant) -> DateRangeFilter:
        """Return a filter for items before a time."""
        return DateRangeFilter(self.name, DateRange(lt=end))

    def until(self, end: Instant) -> DateRangeFilter:
        """Return a filter for items up to a time, inclusive."""
        return DateRangeFilter(self.name, DateRange(lte=end))

    def between(self, start: Instant, end: Instant) -> DateRangeFilter:
        """Return a filter for items from a start, inclusive, to an end, exclusive."""
        return DateRangeFilter(self.name, DateRange(gte=start, lt=end))


@frozen
class NumberProperty(_Property):
    """A property of items that is a number."""

    def above(self, least: float) -> RangeFilter:
        """Return a filter for items with more than this."""
        return RangeFilter(self.name, NumberRange(gt=least))

    def at_least(self, least: float) -> RangeFilter:
        """Return a filter for items with this or more."""
        return RangeFilter(self.name, NumberRange(gte=least))

    def below(self, most: float) -> RangeFilter:
        """Return a filter for items with less than this."""
        return RangeFilter(self.name, NumberRange(lt=most))

    def at_most(self, most: float) -> RangeFilter:
        """Return a filter for items with this or less."""
        return RangeFilter(self.name, NumberRange(lte=most))

    def between(self, least: float, most: float) -> RangeFilter:
        """Return a filter for items from one number to another, both inclusive."""
        return RangeFilter(self.name, NumberRange(gte=least, lte=most))

    def one_of(self, *values: float) -> NumberInFilter:
        """Return a filter for items with one of these numbers."""
        return NumberInFilter(self.name, values)


@frozen
class TextProperty(_Property):
    """A property of items that is a text, or true or false."""

    def one_of(self, *values: str | bool) -> StringInFilter:
        """Return a filter for items with one of these values, in full."""
        return StringInFilter(self.name, values)


class Where:
    """The properties that items can be filtered by, as `planet_async.where`.

        where.acquired.since("2026-01-01") & where.cloud_cover.below(0.1) & where.permission()

    `cloud_cover` and `anomalous_pixels` are fractions from 0 to 1; what ends in `_percent` is from 0 to 100.
    `date`, `number` and `text` make the properties that have no attribute here.
    """

    acquired: DateProperty = DateProperty("acquired")
    published: DateProperty = DateProperty("published")
    updated: DateProperty = DateProperty("updated")
    anomalous_pixels: NumberProperty = NumberProperty("anomalous_pixels")
    clear_confidence_percent: NumberProperty = NumberProperty("clear_confidence_percent")
    clear_percent: NumberProperty = NumberProperty("clear_percent")
    cloud_cover: NumberProperty = NumberProperty("cloud_cover")
    cloud_percent: NumberProperty = NumberProperty("cloud_percent")
    ground_control_ratio: NumberProperty = NumberProperty("ground_control_ratio")
    gsd: NumberProperty = NumberProperty("gsd")
    heavy_haze_percent: NumberProperty = NumberProperty("heavy_haze_percent")
    light_haze_percent: NumberProperty = NumberProperty("light_haze_percent")
    pixel_resolution: NumberProperty = NumberProperty("pixel_resolution")
    satellite_azimuth: NumberProperty = NumberProperty("satellite_azimuth")
    shadow_percent: NumberProperty = NumberProperty("shadow_percent")
    snow_ice_percent: NumberProperty = NumberProperty("snow_ice_percent")
    sun_azimuth: NumberProperty = NumberProperty("sun_azimuth")
    sun_elevation: NumberProperty = NumberProperty("sun_elevation")
    view_angle: NumberProperty = NumberProperty("view_angle")
    visible_confidence_percent: NumberProperty = NumberProperty("visible_confidence_percent")
    visible_percent: NumberProperty = NumberProperty("visible_percent")
    ground_control: TextProperty = TextProperty("ground_control")
    instrument: TextProperty = TextProperty("instrument")
    provider: TextProperty = TextProperty("provider")
    publishing_stage: TextProperty = TextProperty("publishing_stage")
    quality_category: TextProperty = TextProperty("quality_category")
    satellite_id: TextProperty = TextProperty("satellite_id")
    strip_id: TextProperty = TextProperty("strip_id")

    def date(self, name: str) -> DateProperty:
        """Return a property that is a time."""
        return DateProperty(name)

    def number(self, name: str) -> NumberProperty:
        """Return a property that is a number."""
        return NumberProperty(name)

    def text(self, name: str) -> TextProperty:
        """Return a property that is a text, or true or false."""
        return TextProperty(name)

    def geometry(self, geometry: object, relation: str | None = None) -> GeometryFilter:
        """Return a filter for items whose footprint intersects a geometry.

        Args:
            geometry: GeoJSON, or anything with ``__geo_interface__``.
            relation: intersects, contains, within or disjoint.
        """
        return GeometryFilter(geometry, relation)

    def asset(self, *asset_types: str) -> AssetFilter:
        """Return a filter for items for which an asset of one of these types has been published."""
        return AssetFilter(asset_types)

    def permission(self, *permissions: str) -> PermissionFilter:
        """Return a filter for items that you may download, or for which you have one of `permissions`."""
        return PermissionFilter(permissions or ("assets:download",))


where: Where = Where()
