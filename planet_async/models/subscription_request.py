"""What a subscription asks for: a source, and what becomes of its items.

See https://docs.planet.com/develop/apis/subscriptions/reference/
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Self

from attrs import field, fields, frozen

from planet_async.errors import InvalidRequest
from planet_async.models.base import Named, RequestModel
from planet_async.models.codec import (
    Problems,
    ReadBy,
    as_typed,
    named,
    read_mapping,
    type_of,
    typed,
    unexpected,
)
from planet_async.models.delivery import (
    AmazonS3,
    AzureBlobStorage,
    Delivery,
    Destination,
    GoogleCloudStorage,
    GoogleEarthEngine,
    OracleCloudStorage,
    S3Compatible,
)
from planet_async.models.geometry import AREAS, to_geojson
from planet_async.models.order_request import Hosting, SentinelHub
from planet_async.models.subscriptions import Subscription
from planet_async.models.tools import (
    BandMath,
    Clip,
    FileFormat,
    Harmonize,
    Reproject,
    Tool,
    TopOfAtmosphereReflectance,
)
from planet_async.redaction import SECRET_URL, keys_only, url_without_secrets

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


@frozen
class Percent(RequestModel):
    """A range of percent, both ends included: `gte` at least, `lte` at most."""

    gte: float | None = None
    lte: float | None = None

    def _problems(self) -> Iterable[tuple[str, str]]:
        if self.gte is None and self.lte is None:
            yield "gte", "expected gte, lte or both"


@frozen(kw_only=True)
class CloudPercentFilter(Tool):
    """Leave out scenes by what part of the area is clear or covered; all given must hold.

    CloudPercentFilter(clear_percent=Percent(gte=90), snow_ice_percent=Percent(lte=5))
    """

    block: ClassVar[str] = "cloud_filter"

    clear_percent: Percent | Mapping[str, Any] | None = None
    cloud_percent: Percent | Mapping[str, Any] | None = None
    shadow_percent: Percent | Mapping[str, Any] | None = None
    heavy_haze_percent: Percent | Mapping[str, Any] | None = None
    light_haze_percent: Percent | Mapping[str, Any] | None = None
    snow_ice_percent: Percent | Mapping[str, Any] | None = None


SUBSCRIPTION_TOOLS: Mapping[str, type[Tool]] = {
    tool.block: tool
    for tool in (
        BandMath,
        Clip,
        CloudPercentFilter,
        FileFormat,
        Harmonize,
        Reproject,
        TopOfAtmosphereReflectance,
    )
}

_ORDER = "the order is harmonize, toar, then clip, reproject and bandmath, then cloud_filter and file_format"
_RANKS: Mapping[str, int] = {
    "harmonize": 1,
    "toar": 2,
    "clip": 3,
    "reproject": 3,
    "bandmath": 3,
    "cloud_filter": 4,
    "file_format": 4,
}


def tool_problems(tools: Iterable[Tool | Mapping[str, Any]]) -> Iterable[tuple[str, str]]:
    """Yield what is wrong with the choice of tools, or with their order."""
    tools = tuple(tools)
    for tool in tools:
        if isinstance(tool, Tool) and type(tool) not in SUBSCRIPTION_TOOLS.values():
            yield "tools", f"{type(tool).__name__} is for orders only"
    ranked = [name for name in map(type_of, tools) if name in _RANKS]
    for first, second in pairwise(ranked):
        if _RANKS[second] < _RANKS[first]:
            yield "tools", f"{second} must come before {first}; {_ORDER}"


SUBSCRIPTION_DELIVERIES: Mapping[str, type[Delivery]] = {
    delivery.block: delivery
    for delivery in (
        AmazonS3,
        AzureBlobStorage,
        Destination,
        GoogleCloudStorage,
        GoogleEarthEngine,
        OracleCloudStorage,
        S3Compatible,
    )
}
UPDATED = ("name", "source", "delivery", "hosting", "tools")
"""The fields that an update takes."""

_OF_ORDERS = tuple(part.name for part in fields(Delivery))


def _topics(value: Iterable[str]) -> tuple[str, ...]:
    return _listed(value, "SubscriptionWebhook.topics")


def _listed(value: Iterable[Any], where: str) -> tuple[Any, ...]:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise InvalidRequest(f"{where}: expected a list")
    return tuple(value)


@frozen
class SubscriptionWebhook(Named):
    """A call of yours that Planet makes when one of the `topics` happens.

    Topics are delivery.success, delivery.match, delivery.failed, status.completed, status.cancelled,
    status.pending, status.suspended, status.failed, status.backfill.completed and status.all.  The URL may
    hold a user and a password; what it leads to must not redirect.
    """

    block: ClassVar[str] = "webhook"

    url: str = field(repr=url_without_secrets, metadata=SECRET_URL)
    topics: tuple[str, ...] = field(converter=_topics)

    def _problems(self) -> Iterable[tuple[str, str]]:
        if not self.topics:
            yield "topics", "expected one topic or more"


_TypedTool = Annotated[Tool, typed(SUBSCRIPTION_TOOLS)]
_TypedDelivery = Annotated[Delivery, typed(SUBSCRIPTION_DELIVERIES)]
_TypedHosting = Annotated[Hosting, typed({SentinelHub.block: SentinelHub})]
_NamedWebhook = Annotated[SubscriptionWebhook, named({SubscriptionWebhook.block: SubscriptionWebhook})]


def _tools(value: Iterable[Tool | Mapping[str, Any]]) -> tuple[Tool | Mapping[str, Any], ...]:
    return _listed(value, "SubscriptionRequest.tools")


@frozen
class SubscriptionRequest(RequestModel):
    """A subscription to be created, or the new version of one.

    A catalog source needs a delivery or hosting, never both; tools are for a catalog source only, and stand
    in the order that the API enforces.  A plain mapping does for any part, in the API's own form
    (``{"type": ..., "parameters": {...}}``), also for sources, tools and deliveries that have no class here.

        SubscriptionRequest(
            "field 7",
            CatalogSource(["PSScene"], ["ortho_analytic_4b"], field_7, "2026-01-01T00:00:00Z"),
            tools=[TopOfAtmosphereReflectance(), Clip()],
            delivery=GoogleCloudStorage(bucket="fields", credentials=key),
        )
    """

    name: str
    source: AnySource | Mapping[str, Any]
    tools: tuple[_TypedTool | Mapping[str, Any], ...] = field(default=(), converter=_tools, kw_only=True)
    delivery: _TypedDelivery | Mapping[str, Any] | None = field(default=None, repr=keys_only, kw_only=True)
    hosting: _TypedHosting | Mapping[str, Any] | None = field(default=None, repr=keys_only, kw_only=True)
    notifications: _NamedWebhook | Mapping[str, Any] | None = field(
        default=None, repr=keys_only, kw_only=True
    )

    @classmethod
    def of(cls, subscription: Subscription) -> Self:
        """Give what an update of a subscription starts from: it as it is, without its notifications.

        The API takes no notifications in an update.  Secrets are blacked out, so put them back first:

            request = SubscriptionRequest.of(subscription)
            request = attrs.evolve(request, delivery=GoogleCloudStorage(bucket="fields", credentials=key))
        """
        return cls(
            subscription.name,
            subscription.source,
            tools=subscription.tools,
            delivery=subscription.delivery,
            hosting=subscription.hosting,
        )

    def _problems(self) -> Iterable[tuple[str, str]]:
        kind = source_type(self.source)
        is_catalog = kind == CATALOG
        if self.hosting is not None and self.delivery is not None:
            yield "hosting", "expected hosting or delivery, not both"
        if is_catalog and self.hosting is None and self.delivery is None:
            yield "delivery", "missing: a catalog source needs delivery or hosting"
        if isinstance(self.delivery, Delivery):
            yield from _delivery_problems(self.delivery)
        if self.tools and not is_catalog and (isinstance(self.source, VariableSource) or kind is not None):
            yield "tools", f"are for a catalog source only, not for {kind or 'a variable'}"
        yield from tool_problems(self.tools)

    def to_body(self) -> Mapping[str, object]:
        """Give the request as this API writes it."""
        found = self.set_fields()
        if self.tools:
            found["tools"] = [as_typed(tool) if isinstance(tool, Tool) else tool for tool in self.tools]
        else:
            del found["tools"]
        for name, part in (("delivery", self.delivery), ("hosting", self.hosting)):
            if isinstance(part, Delivery | Hosting):
                found[name] = as_typed(part)
        return found


def _delivery_problems(delivery: Delivery) -> Iterable[tuple[str, str]]:
    if type(delivery) not in SUBSCRIPTION_DELIVERIES.values():
        yield "delivery", f"{type(delivery).__name__} is for orders only"
    for name in _OF_ORDERS:
        if getattr(delivery, name) is not None:
            yield "delivery", f"{name} is for orders only"
