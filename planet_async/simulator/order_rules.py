"""What `create` refuses: the rules of an order, as far as they are documented.

The bodies have the recorded shape; texts that were not recorded are ours [L].
"""

from collections.abc import Mapping, Sequence
from typing import Any

from planet_async.simulator.catalog import ASSETS, Complain, check_delivery, choose
from planet_async.simulator.http import ServerResponse, field_errors

MAX_ITEMS = 500
MAX_ITEMS_OF_LARGE_ZIPS = 50

_LARGE_SCENES = frozenset({"SkySatCollect", "TanagerScene", "PelicanScene"})
_TOOLS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "scenes": {
        "bandmath": ("b1",),
        "clip": ("aoi",),
        "cloud_filter": (),
        "composite": (),
        "coregister": ("anchor_item",),
        "file_format": ("format",),
        "harmonize": ("target_sensor",),
        "reproject": ("projection",),
        "tile": ("tile_size",),
        "toar": (),
    },
    "basemaps": {
        "bandmath": ("b1",),
        "clip": (),
        "file_format": ("format",),
        "merge": (),
        "reproject": ("projection",),
    },
}


def unable(field: str, text: str) -> ServerResponse:
    """Answer 400 as `create` does, with one thing that is wrong."""
    return field_errors({field: [text]}, "Unable to accept order")


def problems_of(order: Mapping[str, Any]) -> ServerResponse | None:
    """Give the 400 for what is wrong with an order request, if anything is."""
    found: dict[str, list[str]] = {}

    def complain(field: str, text: str) -> None:
        found.setdefault(field, []).append(text)

    if not isinstance(order.get("name"), str) or not order["name"]:
        complain("Name", "Name is required")
    source_type = order.get("source_type", "scenes")
    if not isinstance(source_type, str) or source_type not in _TOOLS:
        complain("SourceType", f"Bad source type '{source_type}'")
        source_type = "scenes"
    if order.get("order_type", "full") not in ("full", "partial"):
        complain("OrderType", f"Bad order type '{order['order_type']}'")
    if type(order.get("subscription_id", 0)) is not int:
        complain("SubscriptionID", "The subscription id must be an integer")
    _check_products(order, source_type, complain)
    _check_tools(order.get("tools", []), source_type, complain)
    check_delivery(order, complain)
    for name in ("notifications", "metadata"):
        if not isinstance(order.get(name, {}), dict):
            complain(name.capitalize(), f"{name} must be an object")
    return field_errors(found, "Unable to accept order") if found else None


def _check_products(order: Mapping[str, Any], source_type: str, complain: Complain) -> None:
    products = order.get("products")
    if (
        not isinstance(products, list)
        or not products
        or not all(isinstance(product, dict) for product in products)
    ):
        complain("Products", "At least one product is required")
        return
    check = _check_scenes if source_type == "scenes" else _check_basemap
    for product in products:
        check(product, complain)
    if source_type == "scenes":
        _check_count(order, products, complain)


def _check_scenes(product: Mapping[str, Any], complain: Complain) -> None:
    items, item_type, bundle = (
        product.get("item_ids"),
        product.get("item_type"),
        product.get("product_bundle"),
    )
    if not _texts(items) or not isinstance(item_type, str) or not item_type:
        complain("Products", "Item ID or Item Type empty")
    elif not isinstance(bundle, str) or not bundle:
        complain("Products", "Product bundle empty")
    elif unknown := [name for name in bundle.split(",") if name not in ASSETS]:
        complain("Products", f"Bad bundle type '{unknown[0]}'")
    elif choose(bundle, item_type) is None:
        complain("Products", f"Bad item type '{item_type}' for bundle type '{bundle}'")


def _check_basemap(product: Mapping[str, Any], complain: Complain) -> None:
    if not isinstance(product.get("mosaic_name"), str) or not product["mosaic_name"]:
        complain("Products", "Mosaic name empty")
    if ("geometry" in product) == ("quad_ids" in product):
        complain("Products", "Exactly one of geometry and quad IDs is required")
    elif "quad_ids" in product and not _texts(product["quad_ids"]):
        complain("Products", "Quad IDs empty")
    elif "geometry" in product and not isinstance(product["geometry"], dict):
        complain("Products", "The geometry must be an object")


def _check_count(order: Mapping[str, Any], products: list[dict[str, Any]], complain: Complain) -> None:
    count = sum(len(product["item_ids"]) for product in products if isinstance(product.get("item_ids"), list))
    delivery = order.get("delivery")
    zipped = isinstance(delivery, dict) and "archive_type" in delivery
    large = zipped and any(str(product.get("item_type")) in _LARGE_SCENES for product in products)
    most = MAX_ITEMS_OF_LARGE_ZIPS if large else MAX_ITEMS
    if count > most:
        complain("Products", f"{count} items are more than the {most} that an order may have")


def _texts(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(text, str) and text for text in value)


def _check_tools(tools: object, source_type: str, complain: Complain) -> None:
    if not isinstance(tools, list):
        complain("Tools", "Tools must be an array")
        return
    for tool in tools:
        if not isinstance(tool, dict) or len(tool) != 1:
            complain("Tools", "Each tool must be an object with exactly one key")
            continue
        [(name, parameters)] = tool.items()
        required = _TOOLS[source_type].get(name)
        if required is None:
            complain("Tools", f"Bad tool '{name}' for source type '{source_type}'")
        elif not isinstance(parameters, dict):
            complain("Tools", f"The parameters of {name} must be an object")
        elif missing := [key for key in required if key not in parameters]:
            complain("Tools", f"{name} needs {', '.join(missing)}")
