"""What an order asks for: products, and what becomes of them.

See https://docs.planet.com/develop/apis/orders/reference/
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, TypeVar

from attrs import Factory, field, frozen

from planet_async.errors import InvalidRequest
from planet_async.models.base import Named, RequestModel
from planet_async.models.codec import ReadBy, named, read
from planet_async.models.delivery import AnyDelivery
from planet_async.models.geometry import to_geojson
from planet_async.models.tools import AnyTool, Tool
from planet_async.redaction import SECRET_URL, keys_only, url_without_secrets

T = TypeVar("T")

_SCENES = "scenes"
_BASEMAPS = "basemaps"
_BASEMAP_KEYS = ("mosaic_name", "quad_ids", "geometry")


def _listed(value: Iterable[T], where: str) -> tuple[T, ...]:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise InvalidRequest(f"{where}: expected a list")
    return tuple(value)


class Product(RequestModel):
    """Base of what can be ordered."""

    __slots__ = ()


def _item_ids(value: Iterable[str]) -> tuple[str, ...]:
    return _listed(value, "SceneProduct.item_ids")


def _comma_list(value: str | Iterable[str]) -> str:
    return value if isinstance(value, str) else ",".join(_listed(value, "SceneProduct.product_bundle"))


@frozen
class SceneProduct(Product):
    """Scenes by their ids, in one bundle of assets.

    `product_bundle` may be several, separated by commas or as a list: a scene that lacks the first comes in
    the next.  An order takes 500 items at most.

        SceneProduct(["20221221_084022_18_2414"], "PSScene", "analytic_udm2")
    """

    item_ids: tuple[str, ...] = field(converter=_item_ids)
    item_type: str
    product_bundle: str = field(converter=_comma_list)

    def _problems(self) -> Iterable[tuple[str, str]]:
        if not self.item_ids:
            yield "item_ids", "expected one id or more"


def _geojson(value: object) -> Mapping[str, Any] | None:
    return None if value is None else to_geojson(value, where="BasemapProduct.geometry")


def _quad_ids(value: Iterable[str] | None) -> tuple[str, ...] | None:
    return None if value is None else _listed(value, "BasemapProduct.quad_ids")


@frozen
class BasemapProduct(Product):
    """A part of a mosaic: either all that a `geometry` touches, or the quads of `quad_ids`."""

    mosaic_name: str
    geometry: Mapping[str, Any] | None = field(default=None, converter=_geojson)
    quad_ids: tuple[str, ...] | None = field(default=None, converter=_quad_ids)

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

    collection_id: str | None = None
    create_configuration: bool | None = None

    def _problems(self) -> Iterable[tuple[str, str]]:
        if self.collection_id is not None and self.create_configuration is not None:
            yield "create_configuration", "expected collection_id or create_configuration, not both"


class Metadata(Named):
    """Base of the kinds of metadata that can be asked for."""

    __slots__ = ()


@frozen
class Stac(Metadata):
    """Asks for STAC metadata beside the files."""

    block: ClassVar[str] = "stac"


@frozen
class Webhook(RequestModel):
    """A call of yours that Planet makes: for each item delivered, or (`per_order`) once for the order.

    The URL may hold a user and a password.
    """

    url: str = field(repr=url_without_secrets, metadata=SECRET_URL)
    per_order: bool | None = None


@frozen
class Notifications(RequestModel):
    """Who is told when an order ends: `email` to the user, and a webhook."""

    email: bool | None = None
    webhook: Webhook | Mapping[str, Any] | None = field(default=None, repr=keys_only)


def _products(value: Iterable[Product | Mapping[str, Any]]) -> tuple[Product | Mapping[str, Any], ...]:
    return _listed(value, "OrderRequest.products")


def _tools(value: Iterable[Tool | Mapping[str, Any]]) -> tuple[Tool | Mapping[str, Any], ...]:
    return _listed(value, "OrderRequest.tools")


def _is_basemap(product: Product | Mapping[str, Any]) -> bool:
    if isinstance(product, Mapping):
        return not product.keys().isdisjoint(_BASEMAP_KEYS)
    return isinstance(product, BasemapProduct)


def _read_product(value: object) -> Product:
    if isinstance(value, Mapping) and _is_basemap(value):
        return read(value, BasemapProduct)  # type: ignore[no-any-return]  # that is what it reads
    return read(value, SceneProduct)  # type: ignore[no-any-return]


_AnyProduct = Annotated[Product, ReadBy(_read_product)]
_AnyHosting = Annotated[Hosting, named({SentinelHub.block: SentinelHub})]
_AnyMetadata = Annotated[Metadata, named({Stac.block: Stac})]


def _source_of_products(request: "OrderRequest") -> str:
    return _BASEMAPS if any(_is_basemap(product) for product in request.products) else _SCENES


@frozen
class OrderRequest(RequestModel):
    """An order to be placed.

    Scenes and basemaps go into separate orders; which it is (`source_type`) follows from the products.
    `order_type` "partial" delivers what is there where some items fail.  `subscription_id` is the quota plan
    to charge.  A plain mapping does for any part, also for tools and deliveries that have no class here.

        OrderRequest(
            "field 7",
            [SceneProduct(["20221221_084022_18_2414"], "PSScene", "analytic_udm2")],
            tools=[Clip(aoi=field_7), Reproject("EPSG:4326", kernel="cubic")],
            delivery=Archive(single_archive=True),
        )
    """

    always_sent: ClassVar[tuple[str, ...]] = ("source_type",)

    name: str
    products: tuple[_AnyProduct | Mapping[str, Any], ...] = field(converter=_products)
    source_type: str = field(kw_only=True, default=Factory(_source_of_products, takes_self=True))
    order_type: str | None = field(default=None, kw_only=True)
    subscription_id: int | None = field(default=None, kw_only=True)
    tools: tuple[AnyTool | Mapping[str, Any], ...] = field(default=(), converter=_tools, kw_only=True)
    delivery: AnyDelivery | Mapping[str, Any] | None = field(default=None, repr=keys_only, kw_only=True)
    hosting: _AnyHosting | Mapping[str, Any] | None = field(default=None, repr=keys_only, kw_only=True)
    notifications: Notifications | Mapping[str, Any] | None = field(
        default=None, repr=keys_only, kw_only=True
    )
    metadata: _AnyMetadata | Mapping[str, Any] | None = field(default=None, kw_only=True)

    def _problems(self) -> Iterable[tuple[str, str]]:
        if not self.products:
            yield "products", "expected one product or more"
        if len({_is_basemap(product) for product in self.products}) > 1:
            yield "products", "scenes and basemaps cannot be in one order"
        if self.hosting is not None and self.delivery is not None:
            yield "hosting", "expected hosting or delivery, not both"

    def set_fields(self) -> dict[str, object]:
        """Give the fields that are not None; no tools are none to be sent."""
        found = super().set_fields()
        return found if self.tools else {name: found[name] for name in found if name != "tools"}
