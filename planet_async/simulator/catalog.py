"""The product bundles that the simulator sells: a small catalogue, of which ``bundles/spec`` tells.

The names are Planet's, the choice is ours: the real catalogue is longer and changes.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

_ORTHO_4B = ("ortho_analytic_4b", "ortho_analytic_4b_xml")
_ORTHO_8B = ("ortho_analytic_8b", "ortho_analytic_8b_xml")
_SKYSAT = ("SkySatCollect", "SkySatScene")

ASSETS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "analytic": {
        "PSOrthoTile": ("analytic", "analytic_xml", "udm"),
        "REOrthoTile": ("analytic", "analytic_xml", "udm"),
    },
    "analytic_udm2": {
        "PSScene": (*_ORTHO_4B, "ortho_udm2"),
        "PSOrthoTile": ("analytic", "analytic_xml", "udm", "udm2"),
        **dict.fromkeys(_SKYSAT, ("ortho_analytic", "ortho_analytic_udm2")),
        **dict.fromkeys(("PelicanScene", "TanagerScene"), ("ortho_analytic", "ortho_analytic_udm2")),
    },
    "analytic_3b_udm2": {"PSScene": ("ortho_analytic_3b", "ortho_analytic_3b_xml", "ortho_udm2")},
    "analytic_8b_udm2": {"PSScene": (*_ORTHO_8B, "ortho_udm2")},
    "analytic_sr_udm2": {
        "PSScene": ("ortho_analytic_4b_sr", "ortho_analytic_4b_xml", "ortho_udm2"),
        "PSOrthoTile": ("analytic_sr", "analytic_xml", "udm", "udm2"),
        **dict.fromkeys(_SKYSAT, ("ortho_analytic_sr", "ortho_analytic_udm2")),
    },
    "analytic_8b_sr_udm2": {"PSScene": ("ortho_analytic_8b_sr", "ortho_analytic_8b_xml", "ortho_udm2")},
    "basic_analytic_udm2": {
        "PSScene": ("basic_analytic_4b", "basic_analytic_4b_rpc", "basic_analytic_4b_xml", "basic_udm2"),
        "SkySatScene": ("basic_analytic", "basic_analytic_rpc", "basic_analytic_udm2"),
    },
    "basic_analytic_8b_udm2": {
        "PSScene": ("basic_analytic_8b", "basic_analytic_8b_rpc", "basic_analytic_8b_xml", "basic_udm2")
    },
    "panchromatic": dict.fromkeys(_SKYSAT, ("ortho_panchromatic", "ortho_panchromatic_udm2")),
    "pansharpened_udm2": dict.fromkeys(_SKYSAT, ("ortho_pansharpened", "ortho_pansharpened_udm2")),
    "visual": {
        "PSScene": ("ortho_visual",),
        "PSOrthoTile": ("visual", "visual_xml"),
        "REOrthoTile": ("visual", "visual_xml"),
        **dict.fromkeys(_SKYSAT, ("ortho_visual",)),
        "PelicanScene": ("ortho_visual",),
    },
}
"""The assets by bundle and item type."""


def choose(bundles: str, item_type: str) -> str | None:
    """Give the first of the bundles, a comma list with fallbacks, that has the item type."""
    return next((name for name in bundles.split(",") if item_type in ASSETS.get(name, {})), None)


Complain = Callable[[str, str], None]
"""Takes a field and what is wrong with it."""

CLOUDS: Mapping[str, Sequence[str]] = {
    "amazon_s3": ("bucket", "aws_region", "aws_access_key_id", "aws_secret_access_key"),
    "azure_blob_storage": ("account", "container", "sas_token"),
    "destination": ("ref",),
    "google_cloud_storage": ("bucket", "credentials"),
    "google_earth_engine": ("project", "collection"),
    "oracle_cloud_storage": (
        "bucket",
        "customer_access_key_id",
        "customer_secret_key",
        "region",
        "namespace",
    ),
    "planet_folders": (),
    "s3_compatible": ("endpoint", "bucket", "region", "access_key_id", "secret_access_key"),
}
_SECRETS = frozenset(
    {
        "access_key_id",
        "aws_access_key_id",
        "aws_secret_access_key",
        "credentials",
        "customer_access_key_id",
        "customer_secret_key",
        "sas_token",
        "secret_access_key",
    }
)


def cloud_of(order: Mapping[str, Any]) -> str | None:
    """Give the name of the block that says where the order is delivered; None for an order to download."""
    return next((name for name in order.get("delivery") or {} if name in CLOUDS), None)


def redacted(delivery: Mapping[str, Any]) -> dict[str, Any]:
    """Give a delivery without its secrets, as the API shows it [H, recorded]."""
    return {
        name: {key: "<REDACTED>" if key in _SECRETS else value for key, value in block.items()}
        if isinstance(block, dict)
        else block
        for name, block in delivery.items()
    }


def check_delivery(order: Mapping[str, Any], complain: Complain) -> None:
    """Complain of what is wrong with where an order is to go."""
    delivery, hosting = order.get("delivery"), order.get("hosting")
    if delivery and hosting:
        complain("Hosting", "Hosting and delivery exclude each other")
    if hosting is not None:
        _check_hosting(hosting, complain)
    if delivery is None:
        return
    if not isinstance(delivery, dict):
        complain("Delivery", "Delivery must be an object")
        return
    if delivery.get("archive_type", "zip") != "zip":
        complain("Delivery", f"Bad archive type '{delivery['archive_type']}'")
    if not isinstance(delivery.get("archive_filename", ""), str):
        complain("Delivery", "archive_filename must be a text")
    _check_clouds(delivery, complain)


def _check_clouds(delivery: Mapping[str, Any], complain: Complain) -> None:
    clouds = [name for name in delivery if name in CLOUDS]
    if len(clouds) > 1:
        complain("Delivery", f"Only one destination is possible, not {', '.join(clouds)}")
    for name in clouds:
        block = delivery[name]
        if not isinstance(block, dict):
            complain("Delivery", f"{name} must be an object")
        elif missing := [key for key in CLOUDS[name] if not block.get(key)]:
            complain("Delivery", f"{name} needs {', '.join(missing)}")


def _check_hosting(hosting: object, complain: Complain) -> None:
    block = hosting.get("sentinel_hub") if isinstance(hosting, dict) else None
    if not isinstance(block, dict):
        complain("Hosting", "Hosting must name sentinel_hub")
    elif "collection_id" in block and "create_configuration" in block:
        complain("Hosting", "A collection and the creation of a configuration exclude each other")
