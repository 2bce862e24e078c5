"""What a request for a subscription must be; the texts of the refusals are ours [L]."""

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

from planet_async.simulator.catalog import CLOUDS
from planet_async.simulator.http import ServerResponse, json_answer
from planet_async.simulator.world import parse

Json = Mapping[str, Any]

_RANKS = {
    "harmonize": 1,
    "toar": 2,
    "clip": 3,
    "reproject": 3,
    "bandmath": 3,
    "cloud_filter": 4,
    "file_format": 4,
}
_NEEDED = {
    "bandmath": ("b1",),
    "file_format": ("format",),
    "harmonize": ("target_sensor",),
    "reproject": ("projection",),
}
_STAGES = {"preview", "standard", "finalized"}
_AREAS = {"Polygon", "MultiPolygon", "ref"}
_ORDERS_ONLY = "planet_folders"


def refusal(status: int, text: str) -> ServerResponse:
    """Answer with an error in the form of this API [M]."""
    return json_answer({"code": 0, "message": text}, status)


def is_catalog(source: Json) -> bool:
    """Tell whether the source is the catalog; the type may be left out [H]."""
    return bool(source.get("type", "catalog" if "item_types" in source["parameters"] else "") == "catalog")


def problems_of(body: Json, *, keeps_delivery: bool = False) -> Iterable[str]:
    """Yield what is wrong with a request, the first thing first; a delivery that is kept has no secrets."""
    if not isinstance(body.get("name"), str) or not body["name"]:
        yield "name is required"
    source = body.get("source")
    if not isinstance(source, dict) or not isinstance(source.get("parameters"), dict):
        yield "source with its parameters is required"
        return
    yield from _source_problems(source)
    yield from _place_problems(body, is_catalog(source))
    if not keeps_delivery:
        yield from _delivery_problems(body.get("delivery"))
    tools = body.get("tools", [])
    if tools and not is_catalog(source):
        yield "tools are supported for the catalog only"
    yield from _tool_problems(tools)
    yield from _notification_problems(body.get("notifications", {}))


def _source_problems(source: Json) -> Iterable[str]:
    if not isinstance(source.get("type", ""), str):
        yield "source.type must be a string"
        return
    parameters = source["parameters"]
    if is_catalog(source):
        yield from _catalog_problems(parameters)
    elif not isinstance(parameters.get("id"), str) or not parameters["id"]:
        yield "source.parameters.id is required"
    geometry = parameters.get("geometry")
    if not isinstance(geometry, dict) or geometry.get("type") not in _AREAS:
        yield "source.parameters.geometry must be a Polygon, a MultiPolygon or a reference"
    yield from _time_problems(parameters)


def _catalog_problems(parameters: Json) -> Iterable[str]:
    for name in ("item_types", "asset_types"):
        if not _texts(parameters.get(name)):
            yield f"source.parameters.{name} is required"
        elif name == "item_types" and len(parameters[name]) > 1:
            yield "only one item type is supported"
    stages = parameters.get("publishing_stages", ["standard"])
    if not _texts(stages) or not _STAGES.issuperset(stages):
        yield "bad publishing stage"


def _time_problems(parameters: Json) -> Iterable[str]:
    moments = []
    for name in ("start_time", "end_time"):
        try:
            moments += [parse(parameters[name])] if name in parameters else []
        except (TypeError, ValueError):
            yield f"source.parameters.{name} is no RFC 3339 time"
    if "start_time" not in parameters:
        yield "source.parameters.start_time is required"
    if moments != sorted(moments):
        yield "the subscription ends before it starts"


def _place_problems(body: Json, catalog: bool) -> Iterable[str]:
    delivery, hosting = body.get("delivery"), body.get("hosting")
    if delivery is not None and hosting is not None:
        yield "delivery and hosting exclude each other"
    if catalog and delivery is None and hosting is None:
        yield "delivery or hosting is required"
    for name, place in (("delivery", delivery), ("hosting", hosting)):
        if place is not None and not _is_typed(place):
            yield f"{name} must have a type and parameters"
            return
    if hosting is not None and {"collection_id", "create_configuration"} <= hosting["parameters"].keys():
        yield "collection_id and create_configuration exclude each other"


def _delivery_problems(delivery: Json | None) -> Iterable[str]:
    if delivery is None:
        return
    needed = CLOUDS.get(delivery["type"])
    if needed is None or delivery["type"] == _ORDERS_ONLY:
        yield f"bad delivery type {delivery['type']}"
    elif missing := [key for key in needed if not delivery["parameters"].get(key)]:
        yield f"delivery needs {', '.join(missing)}"
    elif "<REDACTED>" in delivery["parameters"].values():
        yield "delivery holds no valid credentials"


def _tool_problems(tools: object) -> Iterable[str]:
    if not isinstance(tools, list) or not all(map(_is_typed, tools)):
        yield "tools must be a list of objects with a type and parameters"
        return
    for tool in tools:
        if tool["type"] not in _RANKS:
            yield f"bad tool {tool['type']}"
            return
        if missing := [key for key in _NEEDED.get(tool["type"], ()) if key not in tool["parameters"]]:
            yield f"{tool['type']} needs {', '.join(missing)}"
    for first, second in pairwise(tool["type"] for tool in tools):
        if _RANKS[second] < _RANKS[first]:
            yield f"{second} must not come after {first}"


def _notification_problems(notifications: object) -> Iterable[str]:
    webhook = (
        notifications.get("webhook", {"url": "x", "topics": ["x"]}) if isinstance(notifications, dict) else 0
    )
    if not isinstance(webhook, dict) or not webhook.get("url") or not webhook.get("topics"):
        yield "notifications.webhook needs url and topics"


def _is_typed(value: object) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("type"), str)
        and isinstance(value.get("parameters"), dict)
    )


def _texts(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(text, str) and text for text in value)
