"""What can be subscribed to: the catalog of imagery, and planetary variables.

See https://docs.planet.com/develop/apis/subscriptions/sources/
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar

from attrs import field, frozen

from planet_async.errors import InvalidRequest
from planet_async.models.base import RequestModel
from planet_async.models.codec import Problems, ReadBy, read_mapping, unexpected
from planet_async.models.geometry import AREAS, to_geojson

CATALOG = "catalog"


class Source(RequestModel):
    """Base of the sources; one that has no class here is written as a plain mapping."""

    __slots__ = ()


def _moment(where: str, value: object) -> str:
    """Write a time as the API does; a text is checked and stays as it is."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        found = None
    if not isinstance(found, datetime):
        raise InvalidRequest(f"{where}: expected a time like 2026-01-31T00:00:00Z")
    if found.tzinfo is None:
        raise InvalidRequest(f"{where}: expected a time with its zone, such as 2026-01-31T00:00:00Z")
    if isinstance(value, str):
        return value
    return found.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _start(value: str | datetime) -> str:
    return _moment("Source.start_time", value)


def _end(value: str | datetime | None) -> str | None:
    return None if value is None else _moment("Source.end_time", value)


def _geometry(value: object) -> Mapping[str, Any]:
    return to_geojson(value, where="Source.geometry")


def _area(value: object) -> Mapping[str, Any]:
    return to_geojson(value, where="Source.geometry", types=AREAS)


def _words(name: str, value: Iterable[str]) -> tuple[str, ...]:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise InvalidRequest(f"CatalogSource.{name}: expected a list")
    return tuple(value)


def _item_types(value: Iterable[str]) -> tuple[str, ...]:
    return _words("item_types", value)


def _asset_types(value: Iterable[str]) -> tuple[str, ...]:
    return _words("asset_types", value)


def _stages(value: Iterable[str] | None) -> tuple[str, ...] | None:
    return None if value is None else _words("publishing_stages", value)


def _backward(start: str, end: str | None) -> Iterable[tuple[str, str]]:
    if end is not None and datetime.fromisoformat(end) < datetime.fromisoformat(start):
        yield "end_time", "it ends before it starts"


@frozen
class CatalogSource(Source):
    """Scenes as they are published: of one item type, over an area, from `start_time` on.

    `geometry` is whatever `to_geojson` takes, Polygon or MultiPolygon, with at most 1,500 corners.  `filter`
    is one of the Data API; `rrule` picks months (``"FREQ=MONTHLY;BYMONTH=3,4,5"``); `publishing_stages` are
    of preview, standard and finalized (the API's default: the last two); `time_range_type` is acquired (the
    default) or published; `geometry_relation` is intersects (the default), contains or within.  Without an
    `end_time` it goes on for ever.

        CatalogSource(["PSScene"], ["ortho_analytic_4b"], field_7, "2026-01-01T00:00:00Z")
    """

    type: ClassVar[str] = CATALOG

    item_types: tuple[str, ...] = field(converter=_item_types)
    asset_types: tuple[str, ...] = field(converter=_asset_types)
    geometry: Mapping[str, Any] = field(converter=_area)
    start_time: str = field(converter=_start)
    end_time: str | None = field(default=None, converter=_end)
    filter: Mapping[str, Any] | None = field(default=None, kw_only=True)
    rrule: str | None = field(default=None, kw_only=True)
    publishing_stages: tuple[str, ...] | None = field(default=None, converter=_stages, kw_only=True)
    time_range_type: str | None = field(default=None, kw_only=True)
    geometry_relation: str | None = field(default=None, kw_only=True)

    def _problems(self) -> Iterable[tuple[str, str]]:
        if not self.item_types:
            yield "item_types", "expected one item type"
        if not self.asset_types:
            yield "asset_types", "expected one asset type or more"
        yield from _backward(self.start_time, self.end_time)

    def to_body(self) -> Mapping[str, object]:
        """Give the fields below ``parameters``."""
        return {"type": self.type, "parameters": self.set_fields()}


@frozen
class VariableSource(Source):
    """A planetary variable or another product that has an `id`, over an area, from `start_time` on.

    `type` (such as land_surface_temperature) follows from the `id` where it is not given.  A variable may go
    without delivery and hosting: its values are then in the results.

        VariableSource("SWC-AMSR2-C_V1.0_100", field_7, "2026-01-01T00:00:00Z", type="soil_water_content")
    """

    id: str
    geometry: Mapping[str, Any] = field(converter=_geometry)
    start_time: str = field(converter=_start)
    end_time: str | None = field(default=None, converter=_end)
    type: str | None = field(default=None, kw_only=True)

    def _problems(self) -> Iterable[tuple[str, str]]:
        if self.type == CATALOG:
            yield "type", "expected the type of a variable; scenes are a CatalogSource"
        yield from _backward(self.start_time, self.end_time)

    def to_body(self) -> Mapping[str, object]:
        """Give the type, where it is known, and the other fields below ``parameters``."""
        parameters = self.set_fields()
        kind = parameters.pop("type", None)
        return {"parameters": parameters} if kind is None else {"type": kind, "parameters": parameters}


def source_type(source: Source | Mapping[str, Any]) -> str | None:
    """Give the type of a source; None where it is left to the API to tell."""
    if not isinstance(source, Mapping):
        found: Any = getattr(source, "type", None)
    elif (found := source.get("type")) is None:
        parameters = source.get("parameters")
        found = CATALOG if isinstance(parameters, Mapping) and "item_types" in parameters else None
    return found if isinstance(found, str) else None


def _read_source(value: object) -> object:
    given, wrong = read_mapping(value), Problems()
    parameters, kind = given.get("parameters"), given.get("type")
    if kind is not None and (not isinstance(kind, str) or not kind):
        raise unexpected("a text", kind, ".type")
    if not isinstance(parameters, Mapping):
        raise unexpected("an object", parameters, ".parameters")
    found: object = given
    if source_type(given) == CATALOG:
        found = wrong.read(parameters, CatalogSource, ".parameters")
    elif "id" in parameters:
        found = wrong.read({**parameters, "type": kind}, VariableSource, ".parameters")
    wrong.check()
    return found  # a mapping of a kind that is not known here stays as it is


AnySource = Annotated[Source, ReadBy(_read_source)]
"""A source, below its type."""
