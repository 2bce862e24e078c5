"""Items, their assets, and searches, as the Data API takes and returns them.

See https://docs.planet.com/develop/apis/data/
"""

import re
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, ClassVar

from attrs import field, frozen

from planet_async.errors import InvalidRequest, type_name
from planet_async.models.base import (
    OpenEnum,
    Record,
    RequestModel,
    Resource,
    items,
    optional_texts,
    unfit,
)
from planet_async.models.base import geometry as converted_geometry
from planet_async.models.codec import Check, NonEmpty, Timestamp, read_by
from planet_async.models.data_filter import AndFilter, Filter, read_filter
from planet_async.models.geometry import to_geojson
from planet_async.models.json import kind

_NAME = re.compile(r"(?!\.+$)[A-Za-z0-9._~:+-]+", re.ASCII)  # of an item or a type, as a part of an address
_SHOWN = 100  # characters
_DAILY_EMAIL = "__daily_email_enabled"

# --- Items


@frozen
class ItemProperties(Record):
    """The properties that items have; others, which depend on the type of the item, are in `Item.raw`.

    `cloud_cover` and `anomalous_pixels` are fractions from 0 to 1; what ends in `_percent` is from 0 to 100.
    """

    item_type: str = ""
    acquired: Timestamp | None = None
    published: Timestamp | None = field(default=None, repr=False)
    updated: Timestamp | None = field(default=None, repr=False)
    cloud_cover: float | None = None
    cloud_percent: float | None = field(default=None, repr=False)
    clear_percent: float | None = field(default=None, repr=False)
    clear_confidence_percent: float | None = field(default=None, repr=False)
    visible_percent: float | None = field(default=None, repr=False)
    visible_confidence_percent: float | None = field(default=None, repr=False)
    shadow_percent: float | None = field(default=None, repr=False)
    snow_ice_percent: float | None = field(default=None, repr=False)
    heavy_haze_percent: float | None = field(default=None, repr=False)
    light_haze_percent: float | None = field(default=None, repr=False)
    anomalous_pixels: float | None = field(default=None, repr=False)
    gsd: float | None = field(default=None, repr=False)
    pixel_resolution: float | None = field(default=None, repr=False)
    view_angle: float | None = field(default=None, repr=False)
    satellite_azimuth: float | None = field(default=None, repr=False)
    sun_azimuth: float | None = field(default=None, repr=False)
    sun_elevation: float | None = field(default=None, repr=False)
    ground_control: bool | None = field(default=None, repr=False)
    instrument: str | None = field(default=None, repr=False)
    provider: str | None = field(default=None, repr=False)
    satellite_id: str | None = field(default=None, repr=False)
    strip_id: str | None = field(default=None, repr=False)
    publishing_stage: str | None = field(default=None, repr=False)
    quality_category: str | None = field(default=None, repr=False)


@frozen(eq=False)
class Item(Resource):
    """An item of the catalog, such as a scene: a GeoJSON Feature, which can be passed as a geometry.

    Its `links` have the address of a picture, the ``thumbnail``.

    See https://docs.planet.com/develop/apis/data/items/
    """

    id: NonEmpty
    properties: ItemProperties = field(factory=ItemProperties)

    @property
    def item_type(self) -> str:
        """The type of the item, such as ``"PSScene"``."""
        return self.properties.item_type

    @property
    def acquired(self) -> datetime | None:
        """When the image was taken."""
        return self.properties.acquired

    @property
    def published(self) -> datetime | None:
        """When the item was published."""
        return self.properties.published

    @property
    def updated(self) -> datetime | None:
        """When the item was last changed."""
        return self.properties.updated

    @property
    def cloud_cover(self) -> float | None:
        """The share that is covered by clouds, from 0 to 1."""
        return self.properties.cloud_cover

    @property
    def assets(self) -> tuple[str, ...]:
        """The types of the assets that have been published."""
        return _words(self.raw.get("assets"))

    @property
    def permissions(self) -> tuple[str, ...]:
        """The permissions of the user, such as ``"assets.ortho_udm2:download"``."""
        return _words(self.raw.get("_permissions"))

    @property
    def geometry(self) -> Mapping[str, Any] | None:
        """The footprint, as GeoJSON."""
        return self._mapping("geometry")

    @property
    def __geo_interface__(self) -> Mapping[str, Any]:
        """The item as a GeoJSON Feature."""
        return self.raw


ItemLike = Item | Mapping[str, Any] | tuple[str, str]
"""An item: an `Item`, its JSON, or its type and id."""


def item_key(item: object) -> tuple[str, str]:
    """Return the type and the id of an item, checked."""
    match item:
        case (item_type, item_id):
            pass
        case Item():
            item_type, item_id = item.item_type, item.id
        case {"id": item_id, "properties": {"item_type": item_type}}:
            pass
        case _:
            raise InvalidRequest(
                f"expected an item, got {type_name(item)}; nothing was sent",
                hint="An item is an Item, its JSON with id and properties.item_type, or a tuple of both.",
            )
    return item_part("an item type", item_type), item_part("an item id", item_id)


def item_part(what: str, value: object) -> str:
    """Return an id or a type, which can be a part of an address; InvalidRequest for anything else."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        shown = repr(value[:_SHOWN]) if isinstance(value, str) else kind(value)
        raise InvalidRequest(f"{shown} is not {what}; nothing was sent")
    return value


class AssetStatus(OpenEnum):
    """The status of an asset: inactive, activating, then active, until it expires and is inactive again."""

    INACTIVE = "inactive"
    ACTIVATING = "activating"
    ACTIVE = "active"


@frozen(eq=False)
class Asset(Resource):
    """An asset of an item: a file that can be downloaded once it is active.

    Only an active one has a `location`, a link with which anyone can download it until `expires_at`, and an
    `md5_digest`.  The API does not say which item an asset is of: `item_type` and `item_id` are added here.

    See https://docs.planet.com/develop/apis/data/items/
    """

    type: NonEmpty
    status: AssetStatus
    item_type: str = ""
    item_id: str = ""
    md5_digest: str | None = field(default=None, repr=False)
    location: str | None = field(default=None, repr=False)
    expires_at: Timestamp | None = field(default=None, repr=False)

    @property
    def permissions(self) -> tuple[str, ...] | None:
        """The permissions of the user: ``("download",)`` or none; None where the API does not say."""
        found = self.raw.get("_permissions")
        return None if found is None else _words(found)


def _words(value: object) -> tuple[str, ...]:
    return tuple(word for word in value if isinstance(word, str)) if isinstance(value, list) else ()


@frozen(eq=False)
class Coverage(Resource):
    """How much of an area is clear in an item, in percent; `status` is complete when that is known."""

    status: str = ""
    clear_percent: float | None = None


@frozen(eq=False)
class ItemType(Resource):
    """A type of items, such as PSScene, and the types of assets that its items can have."""

    id: NonEmpty
    display_name: str = ""
    display_description: str = field(default="", repr=False)
    supported_asset_types: tuple[str, ...] = field(default=(), repr=False)


@frozen(eq=False)
class AssetType(Resource):
    """A type of assets, such as ortho_visual."""

    id: NonEmpty
    display_name: str = ""
    display_description: str = field(default="", repr=False)


# --- Statistics


@frozen
class StatsBucket(Record):
    """How many items there are in the interval that begins at `start_time`."""

    start_time: Timestamp
    count: int


@frozen(eq=False)
class Stats(Resource):
    """How many items a search would find, by the `interval` in which they were acquired."""

    interval: str
    buckets: tuple[StatsBucket, ...] = field(repr=False)
    utc_offset: str | None = field(default=None, repr=False)

    @property
    def total(self) -> int:
        """The number of items in all intervals."""
        return sum(bucket.count for bucket in self.buckets)


# --- Searches


@frozen(eq=False)
class Search(Resource):
    """A search that is kept: one that was `saved`, or for 30 days a `quick` one.

    See https://docs.planet.com/develop/apis/data/item-search/
    """

    id: NonEmpty
    name: str = ""
    search_type: str = ""
    item_types: tuple[str, ...] = field(default=(), repr=False)
    created: Timestamp | None = field(default=None, repr=False)
    updated: Timestamp | None = field(default=None, repr=False)
    last_executed: Timestamp | None = field(default=None, repr=False)

    @property
    def filter(self) -> Mapping[str, Any]:
        """The filter, as the API has rewritten it."""
        return self._mapping("filter") or {}

    @property
    def geometry(self) -> Mapping[str, Any] | None:
        """The area, or the references to it."""
        return self._mapping("geometry")


def _item_types(value: str | Iterable[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else items(value)


def _is_list_of_references(value: object) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(one, str) for one in value)


def _references(value: Any) -> Mapping[str, Any]:
    try:
        return {"type": "ref", "content": [to_geojson(one, where="")["content"] for one in value]}
    except InvalidRequest as error:
        return unfit(error.message)  # type: ignore[no-any-return]


def _area(value: object) -> Mapping[str, Any] | None:
    if value is None:
        return None
    if isinstance(value, Mapping) and value.get("type") == "ref":
        value = value.get("content")
    return _references(value) if _is_list_of_references(value) else converted_geometry(value)


@frozen
class SearchRequest(RequestModel):
    """A search.

    Args:
        item_types: The types of items to find, such as ``["PSScene"]``; one may be a text.
        filter: Which items to find; by default all.  See `where`.
        geometry: Only items that intersect this: GeoJSON, anything with ``__geo_interface__``, a reference
            such as ``"pl:features/my/collection/feature"``, or a list of references.
        name: The name of a search that is saved.
        asset_types: Types of assets, which the API keeps with the search.
        daily_email: Whether the API sends an e-mail each day with what a saved search has newly found.

    Raises:
        InvalidRequest: the API would refuse it; the message names the field.

    Example:
        >>> SearchRequest("PSScene", {"type": "AssetFilter", "config": ["ortho_udm2"]}).item_types
        ('PSScene',)

    See https://docs.planet.com/develop/apis/data/item-search/
    """

    also_known: ClassVar[Collection[str]] = (
        *(_DAILY_EMAIL, "id", "search_type", "created", "updated", "last_executed", "_links"),
    )

    item_types: tuple[str, ...] = field(converter=_item_types)
    filter: Filter | Mapping[str, Any] | None = field(default=None, metadata=read_by(read_filter))
    geometry: Mapping[str, Any] | None = field(default=None, converter=_area, kw_only=True)
    name: str | None = field(default=None, kw_only=True)
    asset_types: tuple[str, ...] | None = field(default=None, converter=optional_texts, kw_only=True)
    daily_email: bool | None = field(default=None, kw_only=True)

    def _problems(self) -> Iterable[tuple[str, str]]:
        if not self.item_types or not all(self.item_types):
            yield "item_types", "expected one item type or more"

    @classmethod
    def _read(cls, value: Any, path: str, check: Check) -> object:
        if isinstance(value, dict) and _DAILY_EMAIL in value:
            value["daily_email"] = value.pop(_DAILY_EMAIL)
        return super()._read(value, path, check)

    def derived(self) -> Mapping[str, object]:
        """Return the filter, which the API always needs."""
        return {"filter": AndFilter()}

    def to_body(self) -> Mapping[str, object]:
        """Return the JSON object that the request is written as."""
        body = self.set_fields()
        if "daily_email" in body:
            body[_DAILY_EMAIL] = body.pop("daily_email")
        return body
