"""Order requests: products, and the tools and delivery applied to them.

See https://docs.planet.com/develop/apis/orders/reference/
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, ClassVar

from attrs import field, frozen

from planet_async.models.base import (
    Named,
    RequestModel,
    items,
    optional_geometry,
    optional_texts,
    texts,
    unfit,
)
from planet_async.models.codec import Check, named, read_by
from planet_async.models.delivery import Delivery, read_delivery
from planet_async.models.json import kind
from planet_async.models.tools import Clip, Tool, read_tool
from planet_async.redaction import SECRET_URL, keys_only, url_without_secrets

_BASEMAP_KEYS = ("mosaic_name", "quad_ids", "geometry")


class Product(RequestModel):
    """Base of what can be ordered."""

    __slots__ = ()

    @classmethod
    def _read(cls, value: Any, path: str, check: Check) -> object:
        return _read_product(value, path, check)


def _comma_list(value: str | Iterable[str]) -> str:
    if isinstance(value, str):
        return value
    found: object = texts(value)
    if isinstance(found, tuple) and all(isinstance(text, str) for text in found):
        return ",".join(found)
    return unfit(f": expected a text or a list of texts, got {kind(value)}")  # type: ignore[no-any-return]


def tools_or_none(value: Iterable[Tool | Mapping[str, Any]] | None) -> tuple[Tool | Mapping[str, Any], ...]:
    """Return the tools of a request; None means that there are none."""
    return () if value is None else items(value)


@frozen
class SceneProduct(Product):
    """Scenes by their ids.

    Args:
        item_ids: At most 500 in one order.
        item_type: The type of all of them, such as ``"PSScene"``.
        product_bundle: The bundle of assets, or several as a list or separated by commas: a scene that lacks
            the first one is delivered in the next.

    Example:
        >>> SceneProduct(["20221221_084022_18_2414"], "PSScene", ["analytic_udm2", "visual"]).product_bundle
        'analytic_udm2,visual'
    """

    item_ids: tuple[str, ...] = field(converter=texts)
    item_type: str
    product_bundle: str = field(converter=_comma_list)

    def _problems(self) -> Iterable[tuple[str, str]]:
        if not self.item_ids:
            yield "item_ids", "expected one id or more"
        if not all(self.item_ids):
            yield "item_ids", "an id is empty"
        if not self.product_bundle:
            yield "product_bundle", "expected one bundle or more"


@frozen
class BasemapProduct(Product):
    """A part of a mosaic: either all that a `geometry` touches, or the quads of `quad_ids`."""

    mosaic_name: str
    geometry: Mapping[str, Any] | None = field(default=None, converter=optional_geometry)
    quad_ids: tuple[str, ...] | None = field(default=None, converter=optional_texts)

    def _problems(self) -> Iterable[tuple[str, str]]:
        if self.geometry is not None and self.quad_ids is not None:
            yield "quad_ids", "expected quad_ids or geometry, not both"
        elif self.geometry is None and not self.quad_ids:
            yield "geometry", "expected a geometry, or quad_ids"


class Hosting(Named):
    """Base of the places where Planet hosts an order."""

    __slots__ = ()


@frozen
class SentinelHub(Hosting):
    """Hosting in a collection of Sentinel Hub: a new one, or the one of `collection_id`.

    A hosted order has no files to download.  The API refuses `create_configuration` for a collection that
    exists.
    """

    block: ClassVar[str] = "sentinel_hub"
    also_known: ClassVar[Collection[str]] = ("configuration_id",)

    collection_id: str | None = None
    create_configuration: bool | None = None

    def _problems(self) -> Iterable[tuple[str, str]]:
        if self.collection_id is not None and self.create_configuration:
            yield "create_configuration", "expected collection_id or create_configuration, not both"


class Metadata(Named):
    """Base of the kinds of metadata that can be ordered."""

    __slots__ = ()


@frozen
class Stac(Metadata):
    """STAC metadata, delivered with the files."""

    block: ClassVar[str] = "stac"


@frozen
class Webhook(RequestModel):
    """A URL that Planet calls: for each item delivered, or (`per_order`) once for the order.

    The URL may hold a user and a password.
    See https://docs.planet.com/develop/apis/orders/notifications/
    """

    url: str = field(repr=url_without_secrets, metadata=SECRET_URL)
    per_order: bool | None = None


@frozen
class Notifications(RequestModel):
    """How Planet notifies of the end of an order: `email` to the user, and a webhook."""

    email: bool | None = None
    webhook: Webhook | Mapping[str, Any] | None = field(default=None, repr=keys_only)


def _products(value: Iterable[Product | Mapping[str, Any]]) -> tuple[Product | Mapping[str, Any], ...]:
    return items(value)


def _is_basemap(product: object) -> bool:
    if isinstance(product, Mapping):
        return any(product.get(key) is not None for key in _BASEMAP_KEYS)
    return isinstance(product, BasemapProduct)


def _is_clip_without_area(tool: Tool | Mapping[str, Any]) -> bool:
    if isinstance(tool, Mapping):
        return tool.get(Clip.block) == {}
    return isinstance(tool, Clip) and tool.aoi is None


def _read_product(value: object, path: str, check: Check) -> object:
    return check.read(value, BasemapProduct if _is_basemap(value) else SceneProduct, path)


@frozen
class OrderRequest(RequestModel):
    """An order to be placed.

    Any part may be a plain mapping with the API's own names, also tools and deliveries that have no class
    here.

    Args:
        name: A name of its own for each order makes sure that it is placed exactly once.
        products: Scenes or basemaps, not both in one order.
        source_type: ``"scenes"`` or ``"basemaps"``; by default it follows from the products.
        order_type: ``"partial"`` delivers what is available where some items fail; ``"full"`` is the API's
            default.
        subscription_id: The quota plan to charge.
        tools: What is done to the imagery.
        delivery: Where it is delivered to; without it the files are downloaded one by one.
        hosting: Where Planet hosts it, instead of a delivery.
        notifications: How Planet notifies of its end.
        metadata: Metadata to deliver with the files.

    Raises:
        InvalidRequest: the API would refuse it; the message names the field.

    Example:
        >>> ring = [[7.0, 46.5], [7.1, 46.5], [7.1, 46.6], [7.0, 46.5]]
        >>> field_7 = {"type": "Polygon", "coordinates": [ring]}
        >>> request = OrderRequest(
        ...     "field 7",
        ...     [SceneProduct(["20221221_084022_18_2414"], "PSScene", "analytic_udm2")],
        ...     tools=[Clip(aoi=field_7)],
        ... )
        >>> request.source_type
        'scenes'

    See https://docs.planet.com/develop/apis/orders/reference/
    """

    name: str
    products: tuple[Product | Mapping[str, Any], ...] = field(
        converter=_products, metadata=read_by(_read_product)
    )
    source_type: str | None = field(default=None, kw_only=True)
    order_type: str | None = field(default=None, kw_only=True)
    subscription_id: int | None = field(default=None, kw_only=True)
    tools: tuple[Tool | Mapping[str, Any], ...] = field(
        default=(), converter=tools_or_none, kw_only=True, metadata=read_by(read_tool)
    )
    delivery: Delivery | Mapping[str, Any] | None = field(
        default=None, repr=keys_only, kw_only=True, metadata=read_by(read_delivery)
    )
    hosting: Hosting | Mapping[str, Any] | None = field(
        default=None, repr=keys_only, kw_only=True, metadata=read_by(named({SentinelHub.block: SentinelHub}))
    )
    notifications: Notifications | Mapping[str, Any] | None = field(
        default=None, repr=keys_only, kw_only=True
    )
    metadata: Metadata | Mapping[str, Any] | None = field(
        default=None, kw_only=True, metadata=read_by(named({Stac.block: Stac}))
    )

    def _problems(self) -> Iterable[tuple[str, str]]:
        if not self.products:
            yield "products", "expected one product or more"
        are_basemaps = {_is_basemap(product) for product in self.products}
        if len(are_basemaps) > 1:
            yield "products", "scenes and basemaps cannot be in one order"
        if are_basemaps == {False} and any(map(_is_clip_without_area, self.tools)):
            yield "tools", "clip needs an area (aoi) where scenes are ordered"
        if self.hosting and self.delivery:
            yield "hosting", "expected hosting or delivery, not both"

    def derived(self) -> Mapping[str, object]:
        """Return the source type, which the API always needs."""
        return {"source_type": "basemaps" if _is_basemap(self.products[0]) else "scenes"}

    def set_fields(self) -> dict[str, object]:
        """Return the fields that are not None, and the tools only where there are some."""
        found = super().set_fields()
        return found if self.tools else {name: found[name] for name in found if name != "tools"}
