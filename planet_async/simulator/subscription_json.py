"""A subscription as the API shows it."""

from collections.abc import Mapping
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from planet_async.simulator.delivery_checks import redacted
from planet_async.simulator.subscription_book import Subscription
from planet_async.simulator.subscription_checks import is_catalog
from planet_async.simulator.times import render
from planet_async.simulator.world import World

SUBSCRIPTIONS = "/subscriptions/v1"

_SHOWN = ("name", "source", "delivery", "hosting", "tools", "notifications")
_FEATURE = [[[7.0, 46.5], [7.1, 46.5], [7.1, 46.6], [7.0, 46.5]]]  # what every reference leads to
_TYPES = {
    "BIOMASS": "biomass_proxy",
    "LST": "land_surface_temperature",
    "SWC": "soil_water_content",
    "VOD": "vegetation_optical_depth",
}


def completed(body: Mapping[str, Any]) -> dict[str, Any]:
    """Give what was asked for as it will be shown: with the type and the defaults, and without secrets."""
    found = {name: body[name] for name in _SHOWN if body.get(name) is not None}
    parameters = dict(found["source"]["parameters"])
    kind = found["source"].get("type")
    if is_catalog(found["source"]):
        kind = "catalog"
        parameters.setdefault("publishing_stages", ["standard", "finalized"])  # [H, recorded]
        parameters.setdefault("time_range_type", "acquired")  # [H, recorded]
    geometry = parameters["geometry"]
    if geometry["type"] == "ref":  # expanded, with the reference beside it [H, recorded]
        parameters["geometry"] = {"type": "Polygon", "coordinates": _FEATURE}
        parameters["geom_ref"] = geometry.get("content")
    # Which types follow from which ids is not documented: a few that were seen [M].
    kind = kind or _TYPES.get(str(parameters["id"]).partition("-")[0], "planetary_variable")
    found["source"] = {"type": kind, "parameters": parameters}
    if "delivery" in found:
        found["delivery"] = redacted(found["delivery"])
    return found


def shown(subscription: Subscription, world: World) -> dict[str, Any]:
    """Describe a subscription."""
    url = f"{world.base_url}{SUBSCRIPTIONS}/{subscription.id}"
    found = {
        **subscription.body,
        "id": subscription.id,
        "status": subscription.status,
        "created": render(subscription.created),
        "updated": render(subscription.updated),
        "_links": {"_self": url, "results": f"{url}/results"},
    }
    if subscription.status in {"failed", "invalid"}:
        found["error_hints"] = {
            "message": "It failed, as planned"
        }  # an object; what is in it is not known [L]
    if "hosting" in found and subscription.runs:
        hosting = found["hosting"]
        collection = str(uuid5(NAMESPACE_URL, f"collection:{subscription.id}"))
        found["hosting"] = {**hosting, "parameters": {"collection_id": collection, **hosting["parameters"]}}
    return found
