"""Validation of requests, as far as it is documented; texts that were not recorded are ours [L]."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from planet_async.simulator.areas import STRIP_WIDTH_KM, square_kilometres
from planet_async.simulator.catalog import (
    ASSETS,
    BASEMAP_TOOLS,
    DESTINATIONS,
    NEEDED,
    ORDERS_ONLY,
    REDACTED,
    SCENE_TOOLS,
    SECRETS,
    SUBSCRIPTION_TOOLS,
    choose_bundle,
    destination_of,
    is_zipped,
)
from planet_async.simulator.context import after, parse

Json = Mapping[str, Any]
Problems = dict[str, list[str]]
Check = Callable[[Any], bool]

MAX_ITEMS = 500
MAX_ITEMS_OF_LARGE_ZIPS = 50
MAX_VERTICES = 3000  # of a tasking order
MAX_SUBSCRIBED_VERTICES = 1500
STRIP_KM = (6, 113)  # documented with 100 once [H] and with 113 later
SEARCH_DAYS = 7  # how far ahead imaging windows can be searched for

_LARGE_SCENES = frozenset({"SkySatCollect", "TanagerScene", "PelicanScene"})
_BANDS = 15
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)


def _one_of(*words: str) -> Check:
    return lambda value: value in words


def _object(**checks: Check) -> Check:
    """An object whose fields pass, those of them that it has."""
    return lambda value: isinstance(value, dict) and not list(_bad_fields(value, checks))


def _is_boolean(value: object) -> bool:
    return isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_positive(value: Any) -> bool:
    return _is_number(value) and value > 0


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_text, value))


def _is_webhook(value: Any) -> bool:
    return _object(url=_is_text, per_order=_is_boolean)(value) and "url" in value


def _is_area(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    if value.get("type") == "ref":
        return str(value.get("content")).startswith("pl:features/")
    return value.get("type") in ("Polygon", "MultiPolygon") and _vertices(value.get("coordinates")) > 0


def _vertices(coordinates: object) -> int:
    if not isinstance(coordinates, list) or not coordinates:
        return 0
    return 1 if _is_number(coordinates[0]) else sum(map(_vertices, coordinates))


_PARAMETERS: Mapping[str, Mapping[str, Check]] = {
    "bandmath": {
        "pixel_type": _one_of("Auto", "8U", "16U", "16S", "32R"),
        **{f"b{number}": _is_text for number in range(1, _BANDS + 1)},
    },
    "clip": {"aoi": _is_area},
    "composite": {"group_by": _one_of("order", "strip_id")},
    "coregister": {"anchor_item": _is_text},
    "file_format": {"format": _one_of("COG", "PL_NITF")},
    "harmonize": {"target_sensor": _one_of("Sentinel-2", "PS2")},
    "reproject": {
        "projection": _is_text,
        "resolution": _is_positive,
        "kernel": _one_of(
            *("near", "bilinear", "cubic", "cubicspline", "lanczos", "average", "mode"),
            *("min", "max", "med", "q1", "q3"),
        ),
    },
    "tile": {
        "tile_size": _is_positive,
        "pixel_size": _is_positive,
        "origin_x": _is_number,
        "origin_y": _is_number,
        "name_template": _is_text,
        "conformal_x_scaling": _is_boolean,
    },
    "toar": {"scale_factor": _is_positive},
    "cloud_filter": dict.fromkeys(
        (
            *("clear_percent", "cloud_percent", "shadow_percent"),
            *("heavy_haze_percent", "light_haze_percent", "snow_ice_percent"),
        ),
        _object(gte=_is_number, lte=_is_number),
    ),
}
_ORDER: Mapping[str, tuple[str, Check]] = {
    "order_type": ("OrderType", _one_of("full", "partial")),
    "subscription_id": ("SubscriptionID", lambda value: type(value) is int),
    "metadata": ("Metadata", _object()),
    "notifications": ("Notifications", _object(email=_is_boolean, webhook=_is_webhook)),
}
_ARCHIVE: Mapping[str, Check] = {
    "archive_type": _one_of("zip"),
    "archive_filename": lambda value: isinstance(value, str),
    "single_archive": _is_boolean,
    "layout": _object(format=_one_of("standard")),
}
_DESTINATION: Mapping[str, Check] = {
    "ref": lambda value: str(value).startswith("pl:destinations/"),
    "sas_token": lambda value: not str(value).startswith("?"),
    "use_path_style": _is_boolean,
}
_STAGES = frozenset({"preview", "standard", "finalized"})
_CATALOG: Mapping[str, Check] = {
    "publishing_stages": lambda value: _is_texts(value) and _STAGES.issuperset(value),
    "time_range_type": _one_of("acquired", "published"),
    "geometry_relation": _one_of("intersects", "contains", "within"),
    "rrule": lambda value: "FREQ=MONTHLY" in str(value),
    "filter": _object(),
}


def is_uuid(value: object) -> bool:
    return isinstance(value, str) and _UUID.fullmatch(value) is not None


def is_catalog(source: Json) -> bool:
    """Return whether the source of a subscription is the catalog; its type may be left out [H]."""
    return bool(source.get("type", "catalog" if "item_types" in source["parameters"] else "") == "catalog")


def order_problems(order: Json) -> Problems:
    """Return what is wrong with an order, by field."""
    found: Problems = {}

    def add(name: str, problems: Iterable[str]) -> None:
        if texts := list(problems):
            found[name] = texts

    source_type = order.get("source_type", "scenes")
    if source_type not in ("scenes", "basemaps"):
        add("SourceType", [f"Bad source type '{source_type}'"])
        source_type = "scenes"
    if not _is_text(order.get("name")):
        add("Name", ["Name is required"])
    for name, (field, check) in _ORDER.items():
        add(field, _bad_fields(order, {name: check}))
    add("Products", _product_problems(order, source_type))
    add("Tools", _order_tool_problems(order.get("tools", []), source_type))
    add("Delivery", _order_delivery_problems(order.get("delivery")))
    add("Hosting", _order_hosting_problems(order))
    if order.get("metadata") and "Delivery" not in found and destination_of(order) == "google_earth_engine":
        add("Metadata", ["metadata cannot be delivered to google_earth_engine"])
    return found


def _product_problems(order: Json, source_type: str) -> Iterator[str]:
    products = order.get("products")
    if not isinstance(products, list) or not products or not all(isinstance(each, dict) for each in products):
        yield "At least one product is required"
        return
    if source_type == "basemaps":
        for product in products:
            yield from _basemap_problems(product)
        return
    for product in products:
        yield from _scene_problems(product)
    count = sum(len(each["item_ids"]) for each in products if isinstance(each.get("item_ids"), list))
    large = is_zipped(order) and any(str(each.get("item_type")) in _LARGE_SCENES for each in products)
    most = MAX_ITEMS_OF_LARGE_ZIPS if large else MAX_ITEMS
    if count > most:
        yield f"{count} items are more than the {most} that an order may have"


def _scene_problems(product: Json) -> Iterator[str]:
    item_type, bundle = product.get("item_type"), product.get("product_bundle")
    if not _is_texts(product.get("item_ids")) or not isinstance(item_type, str) or not item_type:
        yield "Item ID or Item Type empty"
    elif not isinstance(bundle, str) or not bundle:
        yield "Product bundle empty"
    elif unknown := [name for name in bundle.split(",") if name not in ASSETS]:
        yield f"Bad bundle type '{unknown[0]}'"
    elif choose_bundle(bundle, item_type) is None:
        yield f"Bad item type '{item_type}' for bundle type '{bundle}'"


def _basemap_problems(product: Json) -> Iterator[str]:
    if not _is_text(product.get("mosaic_name")):
        yield "Mosaic name empty"
    if ("geometry" in product) == ("quad_ids" in product):
        yield "Exactly one of geometry and quad IDs is required"
    elif "quad_ids" in product and not _is_texts(product["quad_ids"]):
        yield "Quad IDs empty"
    elif "geometry" in product and not isinstance(product["geometry"], dict):
        yield "The geometry must be an object"


def _order_tool_problems(tools: object, source_type: str) -> Iterator[str]:
    if not isinstance(tools, list):
        yield "Tools must be an array"
        return
    scenes = source_type == "scenes"
    for tool in tools:
        if not isinstance(tool, dict) or len(tool) != 1:
            yield "Each tool must be an object with exactly one key"
            continue
        [(name, parameters)] = tool.items()
        if name not in (SCENE_TOOLS if scenes else BASEMAP_TOOLS):
            yield f"Bad tool '{name}' for source type '{source_type}'"
        elif not isinstance(parameters, dict):
            yield f"The parameters of {name} must be an object"
        else:  # a clip of a basemap without an area clips to the geometry of the product
            yield from _parameter_problems(name, parameters, needs_area=scenes)


def _parameter_problems(tool: str, parameters: Json, *, needs_area: bool) -> Iterator[str]:
    needed = [key for key in NEEDED.get(tool, ()) if needs_area or key != "aoi"]
    if missing := [key for key in needed if key not in parameters]:
        yield f"{tool} needs {', '.join(missing)}"
    yield from _bad_fields(parameters, _PARAMETERS.get(tool, {}), f"{tool}.")
    bands = [number for number in range(1, _BANDS + 1) if f"b{number}" in parameters]
    if bands != list(range(1, len(bands) + 1)):
        yield "the bands of bandmath must have no gaps"


def _bad_fields(values: Json, checks: Mapping[str, Check], prefix: str = "") -> Iterator[str]:
    for name, check in checks.items():
        value = values.get(name)
        if value is not None and not check(value):
            shown = f" '{value}'" if isinstance(value, str) and name not in SECRETS else ""
            yield f"Bad {prefix}{name}{shown}"


def _order_delivery_problems(delivery: object) -> Iterator[str]:
    if delivery is None:
        return
    if not isinstance(delivery, dict):
        yield "Delivery must be an object"
        return
    yield from _bad_fields(delivery, _ARCHIVE)
    names = [name for name in delivery if name in DESTINATIONS]
    if len(names) > 1:
        yield f"Only one destination is possible, not {', '.join(names)}"
    for name in names:
        if not isinstance(delivery[name], dict):
            yield f"{name} must be an object"
        else:
            yield from destination_problems(name, delivery[name])


def destination_problems(name: str, parameters: Json) -> Iterator[str]:
    if missing := [key for key in DESTINATIONS[name] if not _is_text(parameters.get(key))]:
        yield f"{name} needs {', '.join(missing)}"
    elif REDACTED in parameters.values():
        yield f"{name} has no valid credentials"
    yield from _bad_fields(parameters, _DESTINATION, f"{name}.")


def _order_hosting_problems(order: Json) -> Iterator[str]:
    hosting = order.get("hosting")
    if hosting is None:
        return
    if order.get("delivery"):
        yield "Hosting and delivery exclude each other"
    hub = hosting.get("sentinel_hub") if isinstance(hosting, dict) else None
    if not isinstance(hub, dict):
        yield "Hosting must name sentinel_hub"
    elif _is_twice_configured(hub):
        yield "A collection and the creation of a configuration exclude each other"


def _is_twice_configured(hub: Json) -> bool:
    return hub.get("collection_id") is not None and bool(hub.get("create_configuration"))


def subscription_problems(body: Json, *, keeps_delivery: bool = False) -> Iterator[str]:
    """Yield what is wrong with a subscription; a delivery that is kept has no secrets to check."""
    if not _is_text(body.get("name")):
        yield "name is required"
    source = body.get("source")
    if not isinstance(source, dict) or not isinstance(source.get("parameters"), dict):
        yield "source with its parameters is required"
        return
    if not isinstance(source.get("type", ""), str):
        yield "source.type must be a string"
        return
    catalog = is_catalog(source)
    yield from _source_problems(source["parameters"], catalog=catalog)
    yield from _place_problems(body, catalog=catalog, keeps_delivery=keeps_delivery)
    if body.get("tools") and not catalog:
        yield "tools are supported for the catalog only"
    yield from _subscription_tool_problems(body.get("tools", []))
    notifications = body.get("notifications", {})
    webhook = (notifications.get("webhook") or {}) if isinstance(notifications, dict) else 0
    if not isinstance(webhook, dict):
        yield "notifications.webhook must be an object"
    elif webhook and not (_is_text(webhook.get("url")) and _is_texts(webhook.get("topics"))):
        yield "notifications.webhook needs url and topics"


def _source_problems(parameters: Json, *, catalog: bool) -> Iterator[str]:
    if not catalog and not _is_text(parameters.get("id")):
        yield "source.parameters.id is required"
    if catalog:
        yield from _catalog_problems(parameters)
    if not _is_area(parameters.get("geometry")):
        yield "source.parameters.geometry must be a Polygon, a MultiPolygon or a reference"
    elif _vertices(parameters["geometry"].get("coordinates", [])) > MAX_SUBSCRIBED_VERTICES:
        yield f"source.parameters.geometry has more than {MAX_SUBSCRIBED_VERTICES} vertices"
    if "start_time" not in parameters:
        yield "source.parameters.start_time is required"
    times = _times(parameters)
    yield from (f"source.parameters.{name} is no RFC 3339 time" for name in times if times[name] is None)
    if _is_reversed(times):
        yield "the subscription ends before it starts"


def _catalog_problems(parameters: Json) -> Iterator[str]:
    for name in ("item_types", "asset_types"):
        if not _is_texts(parameters.get(name)):
            yield f"source.parameters.{name} is required"
    if _is_texts(parameters.get("item_types")) and len(parameters["item_types"]) > 1:
        yield "only one item type is supported"
    yield from _bad_fields(parameters, _CATALOG, "source.parameters.")


def _place_problems(body: Json, *, catalog: bool, keeps_delivery: bool) -> Iterator[str]:
    delivery, hosting = body.get("delivery"), body.get("hosting")
    if delivery == {}:  # as a published notebook sends it
        delivery = None
    if delivery is not None and hosting is not None:
        yield "delivery and hosting exclude each other"
    if catalog and delivery is None and hosting is None:
        yield "delivery or hosting is required"
    if delivery is not None and not _is_typed(delivery):
        yield "delivery must have a type and parameters"
    elif delivery is not None and not keeps_delivery:
        if delivery["type"] not in DESTINATIONS or delivery["type"] in ORDERS_ONLY:
            yield f"bad delivery type {delivery['type']}"
        else:
            yield from destination_problems(delivery["type"], delivery["parameters"])
    hosted = {"parameters": {}, **hosting} if isinstance(hosting, dict) else hosting  # they are optional
    if hosted is not None and not _is_typed(hosted):
        yield "hosting must have a type"
    elif hosted is not None and _is_twice_configured(hosted["parameters"]):
        yield "collection_id and create_configuration exclude each other"


def _subscription_tool_problems(tools: object) -> Iterator[str]:
    if not isinstance(tools, list) or not all(map(_is_typed, tools)):
        yield "tools must be a list of objects with a type and parameters"
        return
    names = [tool["type"] for tool in tools]
    if unknown := [name for name in names if name not in SUBSCRIPTION_TOOLS]:
        yield f"bad tool {unknown[0]}"
        return
    for tool in tools:  # a clip without an area clips to the geometry of the source
        yield from _parameter_problems(tool["type"], tool["parameters"], needs_area=False)
        area = tool["parameters"].get("aoi")
        if _is_area(area) and _vertices(area.get("coordinates")) > MAX_SUBSCRIBED_VERTICES:
            yield f"clip has more than {MAX_SUBSCRIBED_VERTICES} vertices"
    for first, second in pairwise(names):
        if SUBSCRIPTION_TOOLS[second] < SUBSCRIPTION_TOOLS[first]:
            yield f"{second} must not come after {first}"


_SHAPES = {"Point": 0, "LineString": 1, "Polygon": 2}  # how deep their coordinates are nested
_REQUIRED = "This field is required."


def _choice(*words: str) -> Callable[[Any], str]:
    return lambda value: "" if value in words else f'"{value}" is not a valid choice.'


def _angle(value: Any) -> str:
    right = isinstance(value, int | float) and 0 <= value <= 90  # noqa: PLR2004 - a right angle
    return "" if right else "Ensure this value is from 0 to 90."


_TASKING_FIELDS: Mapping[str, Callable[[Any], str]] = {
    "scheduling_type": _choice("FLEXIBLE", "LOCK_IN", "MONITORING", "EXPRESS", "ASSURED", "ARCHIVE"),
    "order_type": _choice("IMAGE", "VIDEO", "STEREO"),
    "sat_elevation_angle_min": _angle,
    "sat_elevation_angle_max": _angle,
}


def tasking_order_problems(order: object, windows: Collection[str], *, priced: bool = False) -> Problems:
    """Return what is wrong with a tasking order, by field; one that is only `priced` needs no name.

    `windows` are the ids of the imaging windows that can be ordered.
    """
    if not isinstance(order, dict):
        return {"non_field_errors": ["Invalid data. Expected a dictionary."]}
    found = time_problems(order)
    if problem := geometry_problem(order.get("geometry"), _SHAPES):
        found["geometry"] = [problem]
    elif order["geometry"]["type"] == "LineString" and not _is_strip(order["geometry"]):
        found["geometry"] = ["A strip has from {} to {} km.".format(*STRIP_KM)]
    for name, check in _TASKING_FIELDS.items():
        if name in order and (problem := check(order[name])):
            found[name] = [problem]
    if order.get("scheduling_type") == "ASSURED" and order.get("imaging_window") not in windows:
        found["imaging_window"] = ["The imaging window does not exist or is out of date."]
    if not priced and not _is_text(order.get("name")):
        found["name"] = [_REQUIRED]
    return found


def search_problems(body: Json, now: int) -> Problems:
    """Return what is wrong with a search for imaging windows, by field."""
    found = time_problems(body)
    end = _times(body).get("end_time")
    if end is not None and end > after(now, SEARCH_DAYS * 86_400.0):
        found["end_time"] = [f"end_time must be within {SEARCH_DAYS} days."]
    if problem := geometry_problem(body.get("geometry"), ("Point", "LineString")):
        found["geometry"] = [problem]
    elif body["geometry"]["type"] == "LineString" and len(body["geometry"]["coordinates"]) != 2:  # noqa: PLR2004 - a start and an end
        found["geometry"] = ["A line has two points."]
    for name in ("pl_number", "product"):
        if not _is_text(body.get(name)):
            found[name] = [_REQUIRED]
    return found


def time_problems(body: Json) -> Problems:
    times = _times(body)
    found = {name: ["Datetime has wrong format."] for name, moment in times.items() if moment is None}
    if _is_reversed(times) or (len(times) == 2 and len({*times.values()}) == 1 and not found):  # noqa: PLR2004 - a start and an end
        found["end_time"] = ["end_time must be after start_time."]
    return found


def geometry_problem(geometry: object, shapes: Collection[str]) -> str:
    if geometry is None:
        return _REQUIRED
    if not isinstance(geometry, dict) or geometry.get("type") not in tuple(shapes):
        return f"Expected one of {', '.join(shapes)}."
    points: Any = geometry.get("coordinates")
    for _ in range(_SHAPES[geometry["type"]] - 1):
        points = points[0] if isinstance(points, list) and points else None
    if geometry["type"] == "Point":
        points = [points]
    if not isinstance(points, list) or not points or not all(map(_is_position, points)):
        return "The coordinates are not valid."
    return f"More than {MAX_VERTICES} vertices." if len(points) > MAX_VERTICES else ""


def _is_strip(line: Json) -> bool:
    return STRIP_KM[0] <= square_kilometres(line) / STRIP_WIDTH_KM <= STRIP_KM[1]


def _is_position(point: object) -> bool:
    if not isinstance(point, list) or len(point) < 2:  # noqa: PLR2004 - longitude and latitude
        return False
    x, y = point[:2]
    numbers = all(isinstance(value, int | float) for value in (x, y))
    return numbers and -180 <= x <= 180 and -90 <= y <= 90  # noqa: PLR2004 - degrees


def _times(body: Json) -> dict[str, int | None]:
    """Return the moments of start and end as far as there are any; None for an invalid one."""
    found: dict[str, int | None] = {}
    for name in ("start_time", "end_time"):
        if name in body:
            try:
                found[name] = parse(body[name])
            except (TypeError, ValueError):
                found[name] = None
    return found


def _is_reversed(times: Mapping[str, int | None]) -> bool:
    start, end = times.get("start_time"), times.get("end_time")
    return start is not None and end is not None and end < start


def _is_typed(value: object) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("type"), str)
        and isinstance(value.get("parameters"), dict)
    )
