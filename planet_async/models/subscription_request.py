"""Subscription requests: a source, and the tools and delivery applied to its items.

See https://docs.planet.com/develop/apis/subscriptions/reference/
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from itertools import pairwise
from typing import Any, ClassVar, Self

from attrs import evolve, field, frozen

from planet_async.models.base import (
    Named,
    RequestModel,
    area,
    geometry,
    moment,
    optional_moment,
    optional_texts,
    texts,
)
from planet_async.models.codec import Check, drop_nulls, named, read_by, typed
from planet_async.models.data_filter import Filter, read_filter
from planet_async.models.delivery import DELIVERIES, Delivery
from planet_async.models.order_request import Hosting, SentinelHub, tools_or_none
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

UPDATED = ("name", "source", "delivery", "hosting", "tools")
"""The fields that an update takes."""

_CATALOG = "catalog"

# --- Sources


class Source(RequestModel):
    """Base of the sources; one that has no class here is written as a plain mapping."""

    __slots__ = ()

    @classmethod
    def _read(cls, value: Any, path: str, check: Check) -> object:
        return _read_source(value, path, check)

    @classmethod
    def _json_fields(cls) -> dict[str, Any]:
        return {"properties": {"type": {"type": "string"}, "parameters": super()._json_fields()}}


def _interval_problems(start: str, end: str | None) -> Iterable[tuple[str, str]]:
    if end is not None and datetime.fromisoformat(end) < datetime.fromisoformat(start):
        yield "end_time", "it ends before it starts"


@frozen
class CatalogSource(Source):
    """Scenes as they are published.

    Args:
        item_types: One item type, such as ``["PSScene"]``.
        asset_types: One asset type or more.
        geometry: A Polygon or MultiPolygon with at most 1,500 vertices, as anything that `to_geojson` takes.
        start_time: The beginning, as a datetime or text with a time zone.
        end_time: The end; without it the subscription goes on for ever.
        filter: A filter of the Data API, such as `where` makes.
        rrule: The months to deliver, such as ``"FREQ=MONTHLY;BYMONTH=3,4,5"``.
        publishing_stages: Of preview, standard and finalized; the API's default is the last two.
        time_range_type: ``"acquired"`` (the API's default) or ``"published"``.
        geometry_relation: ``"intersects"`` (the API's default), ``"contains"`` or ``"within"``.

    Raises:
        InvalidRequest: the API would refuse it; the message names the field.

    Example:
        >>> ring = [[7.0, 46.5], [7.1, 46.5], [7.1, 46.6], [7.0, 46.5]]
        >>> field_7 = {"type": "Polygon", "coordinates": [ring]}
        >>> source = CatalogSource(["PSScene"], ["ortho_analytic_4b"], field_7, "2026-01-01T00:00:00Z")
    """

    type: ClassVar[str] = _CATALOG
    also_known: ClassVar[Collection[str]] = ("geom_ref",)

    item_types: tuple[str, ...] = field(converter=texts)
    asset_types: tuple[str, ...] = field(converter=texts)
    geometry: Mapping[str, Any] = field(converter=area)
    start_time: str = field(converter=moment)
    end_time: str | None = field(default=None, converter=optional_moment)
    filter: Filter | Mapping[str, Any] | None = field(
        default=None, kw_only=True, metadata=read_by(read_filter)
    )
    rrule: str | None = field(default=None, kw_only=True)
    publishing_stages: tuple[str, ...] | None = field(default=None, converter=optional_texts, kw_only=True)
    time_range_type: str | None = field(default=None, kw_only=True)
    geometry_relation: str | None = field(default=None, kw_only=True)

    def _problems(self) -> Iterable[tuple[str, str]]:
        if not self.item_types:
            yield "item_types", "expected one item type"
        if not self.asset_types:
            yield "asset_types", "expected one asset type or more"
        yield from _interval_problems(self.start_time, self.end_time)

    def to_body(self) -> Mapping[str, object]:
        """Return the type, and the fields as its parameters."""
        return {"type": self.type, "parameters": self.set_fields()}


@frozen
class VariableSource(Source):
    """A Planetary Variable or another product that has an id.

    It may go without delivery and hosting: its values are then in the results.

    Args:
        id: The id of the product.
        geometry: Any geometry, as anything that `to_geojson` takes.
        start_time: The beginning, as a datetime or text with a time zone.
        end_time: The end; without it the subscription goes on for ever.
        type: Such as ``"soil_water_content"``; without it the API finds it by the id.

    Example:
        >>> point = {"type": "Point", "coordinates": [7.0, 46.5]}
        >>> source = VariableSource("SWC-AMSR2-C_V1.0_100", point, "2026-01-01T00:00:00Z")
    """

    also_known: ClassVar[Collection[str]] = ("geom_ref",)

    id: str
    geometry: Mapping[str, Any] = field(converter=geometry)
    start_time: str = field(converter=moment)
    end_time: str | None = field(default=None, converter=optional_moment)
    type: str | None = field(default=None, kw_only=True)

    def _problems(self) -> Iterable[tuple[str, str]]:
        if self.type == _CATALOG:
            yield "type", "expected the type of a variable; scenes are a CatalogSource"
        yield from _interval_problems(self.start_time, self.end_time)

    def to_body(self) -> Mapping[str, object]:
        """Return the type, where it is known, and the other fields as its parameters."""
        parameters = self.set_fields()
        kind = parameters.pop("type", None)
        return {"parameters": parameters} if kind is None else {"type": kind, "parameters": parameters}


def _source_type(source: Source | Mapping[str, Any]) -> str | None:
    """Return the type of a source; None where the API has to find it."""
    if not isinstance(source, Mapping):
        found: Any = getattr(source, "type", None)
    elif (found := source.get("type")) is None:
        parameters = source.get("parameters")
        has_items = isinstance(parameters, Mapping) and parameters.get("item_types") is not None
        found = _CATALOG if has_items else None
    return found if isinstance(found, str) else None


def _read_source(value: object, path: str, check: Check) -> object:
    if not check.is_object(value, path):
        return None
    check.spelling(value, ("type", "parameters"), path)
    parameters, kind = value.get("parameters"), value.get("type")
    drop_nulls(value)
    if kind is not None and (not isinstance(kind, str) or not kind):
        check.expected("a text", kind, f"{path}.type")
    if not check.is_object(parameters, f"{path}.parameters"):
        return None
    if _source_type(value) == _CATALOG:
        return check.read(parameters, CatalogSource, f"{path}.parameters")
    if value["parameters"].get("id") is not None:
        found = check.read(parameters, VariableSource, f"{path}.parameters")
        return found and evolve(found, type=kind)
    return value  # of a type that is not known here


# --- Tools


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
    """Leave out scenes by what part of the area is clear or covered; all ranges must hold.

    Example:
        >>> tool = CloudPercentFilter(clear_percent=Percent(gte=90), snow_ice_percent=Percent(lte=5))
    """

    block: ClassVar[str] = "cloud_filter"

    clear_percent: Percent | Mapping[str, Any] | None = None
    cloud_percent: Percent | Mapping[str, Any] | None = None
    shadow_percent: Percent | Mapping[str, Any] | None = None
    heavy_haze_percent: Percent | Mapping[str, Any] | None = None
    light_haze_percent: Percent | Mapping[str, Any] | None = None
    snow_ice_percent: Percent | Mapping[str, Any] | None = None


# The API refuses a tool of a lower rank after one of a higher rank.
_RANKS: Mapping[type[Tool], int] = {
    Harmonize: 1,
    TopOfAtmosphereReflectance: 2,
    Clip: 3,
    Reproject: 3,
    BandMath: 3,
    CloudPercentFilter: 4,
    FileFormat: 4,
}
_ORDER = "the order is harmonize, toar, then clip, reproject and bandmath, then cloud_filter and file_format"
_RANKS_BY_NAME = {tool.block: rank for tool, rank in _RANKS.items()}

SUBSCRIPTION_TOOLS: Mapping[str, type[Tool]] = {tool.block: tool for tool in _RANKS}


def _tool_problems(tools: Iterable[Tool | Mapping[str, Any]]) -> Iterable[tuple[str, str]]:
    for tool in tools:
        if isinstance(tool, Tool) and type(tool) not in _RANKS:
            yield "tools", f"{type(tool).__name__} is for orders only"
    names = (
        tool.get("type") if isinstance(tool, Mapping) else getattr(tool, "block", None) for tool in tools
    )
    ranked = [name for name in names if isinstance(name, str) and name in _RANKS_BY_NAME]
    for first, second in pairwise(ranked):
        if _RANKS_BY_NAME[second] < _RANKS_BY_NAME[first]:
            yield "tools", f"{second} must come before {first}; {_ORDER}"


# --- The request

SUBSCRIPTION_DELIVERIES: Mapping[str, type[Delivery]] = {
    name: delivery for name, delivery in DELIVERIES.items() if delivery.for_subscriptions
}


@frozen
class SubscriptionWebhook(Named):
    """A URL that Planet calls when one of the topics happens; it must not redirect.

    Args:
        url: It may hold a user and a password.
        topics: delivery.success, delivery.match, delivery.failed, status.completed, status.cancelled,
            status.pending, status.suspended, status.failed, status.backfill.completed, status.all.
    """

    block: ClassVar[str] = "webhook"

    url: str = field(repr=url_without_secrets, metadata=SECRET_URL)
    topics: tuple[str, ...] = field(converter=texts)

    def _problems(self) -> Iterable[tuple[str, str]]:
        if not self.topics:
            yield "topics", "expected one topic or more"


@frozen
class SubscriptionRequest(RequestModel):
    """A subscription to be created, or the new version of one.

    Any part may be a plain mapping in the API's own form (``{"type": ..., "parameters": {...}}``), also
    sources, tools and deliveries that have no class here.

    Args:
        name: A name of its own for each subscription makes sure that it is created exactly once.
        source: What to subscribe to.
        tools: What is done to scenes, in the order that the API requires.
        delivery: Where scenes are delivered to; a catalog source needs it, or `hosting`.
        hosting: Where Planet hosts the scenes, instead of a delivery.
        notifications: The webhook to call.

    Raises:
        InvalidRequest: the API would refuse it; the message names the field.

    Example:
        >>> ring = [[7.0, 46.5], [7.1, 46.5], [7.1, 46.6], [7.0, 46.5]]
        >>> field_7 = {"type": "Polygon", "coordinates": [ring]}
        >>> request = SubscriptionRequest(
        ...     "field 7",
        ...     CatalogSource(["PSScene"], ["ortho_analytic_4b"], field_7, "2026-01-01T00:00:00Z"),
        ...     tools=[TopOfAtmosphereReflectance(), Clip()],
        ...     hosting=SentinelHub(),
        ... )

    See https://docs.planet.com/develop/apis/subscriptions/reference/
    """

    name: str
    source: Source | Mapping[str, Any] = field(metadata=read_by(_read_source))
    tools: tuple[Tool | Mapping[str, Any], ...] = field(
        default=(), converter=tools_or_none, kw_only=True, metadata=read_by(typed(SUBSCRIPTION_TOOLS))
    )
    delivery: Delivery | Mapping[str, Any] | None = field(
        default=None,
        repr=keys_only,
        kw_only=True,
        metadata=read_by(typed(SUBSCRIPTION_DELIVERIES, may_be_empty=True)),
    )
    hosting: Hosting | Mapping[str, Any] | None = field(
        default=None,
        repr=keys_only,
        kw_only=True,
        metadata=read_by(typed({SentinelHub.block: SentinelHub}, may_be_empty=True)),
    )
    notifications: SubscriptionWebhook | Mapping[str, Any] | None = field(
        default=None,
        repr=keys_only,
        kw_only=True,
        metadata=read_by(named({SubscriptionWebhook.block: SubscriptionWebhook})),
    )

    @classmethod
    def of(cls, subscription: Subscription) -> Self:
        """Return the request for an update that changes nothing, to start from.

        It is without notifications, which an update cannot change.  The API redacts secrets, so put them
        back first:

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
        kind = _source_type(self.source)
        is_catalog = kind == _CATALOG
        if self.hosting and self.delivery:
            yield "hosting", "expected hosting or delivery, not both"
        if is_catalog and not self.hosting and not self.delivery:
            yield "delivery", "missing: a catalog source needs delivery or hosting"
        if isinstance(self.delivery, Delivery):
            for problem in self.delivery.subscription_problems():
                yield "delivery", problem
        if self.tools and not is_catalog and (isinstance(self.source, VariableSource) or kind is not None):
            yield "tools", f"are for a catalog source only, not for {kind or 'a variable'}"
        yield from _tool_problems(self.tools)

    def to_body(self) -> Mapping[str, object]:
        """Return the request as this API writes it: tools, delivery and hosting with their types."""
        found = self.set_fields()
        del found["tools"]
        if self.tools:
            found["tools"] = [tool.to_typed() if isinstance(tool, Tool) else tool for tool in self.tools]
        for name, part in (("delivery", self.delivery), ("hosting", self.hosting)):
            if isinstance(part, Delivery | Hosting):
                found[name] = part.to_typed()
        return found
