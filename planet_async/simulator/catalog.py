"""Products, tools and destinations of the simulator, as tables that the rules read.

The names are Planet's.  The choice of bundles is ours: the real catalogue is longer and changes.
"""

from collections.abc import Mapping, Sequence
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

NEEDED: Mapping[str, Sequence[str]] = {
    "bandmath": ("b1",),
    "clip": ("aoi",),
    "coregister": ("anchor_item",),
    "file_format": ("format",),
    "harmonize": ("target_sensor",),
    "reproject": ("projection",),
    "tile": ("tile_size",),
}
"""The parameters that a tool needs."""

SCENE_TOOLS = frozenset({*NEEDED, "cloud_filter", "composite", "toar"})
BASEMAP_TOOLS = frozenset({"bandmath", "clip", "file_format", "merge", "reproject"})
SUBSCRIPTION_TOOLS: Mapping[str, int] = {
    "harmonize": 1,
    "toar": 2,
    "clip": 3,
    "reproject": 3,
    "bandmath": 3,
    "cloud_filter": 4,
    "file_format": 4,
}
"""The tools of subscriptions, which must come in the order of these numbers."""

DESTINATIONS: Mapping[str, Sequence[str]] = {
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
"""The fields that a delivery to each of these needs."""

ORDERS_ONLY = frozenset({"planet_folders"})
SECRETS = frozenset(
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
REDACTED = "<REDACTED>"


def choose_bundle(bundles: str, item_type: str) -> str | None:
    """Return the first of the bundles, a comma list with fallbacks, that has the item type."""
    return next((name for name in bundles.split(",") if item_type in ASSETS.get(name, {})), None)


def destination_of(order: Mapping[str, Any]) -> str | None:
    """Return the name of the block that says where an order is delivered; None where it is downloaded."""
    return next((name for name in order.get("delivery") or {} if name in DESTINATIONS), None)


def is_for_cloud(order: Mapping[str, Any]) -> bool:
    return destination_of(order) is not None or "hosting" in order


def is_zipped(order: Mapping[str, Any]) -> bool:
    """Return whether files are put into archives: reported not to happen with `archive_type` alone [M]."""
    delivery = order.get("delivery")
    if not isinstance(delivery, dict) or "archive_type" not in delivery:
        return False
    return bool(delivery.get("single_archive") or delivery.get("archive_filename"))


def redacted(delivery: Mapping[str, Any]) -> dict[str, Any]:
    """Return a delivery without its secrets, as the API shows it [H, recorded]."""
    return {
        name: without_secrets(block) if isinstance(block, dict) else block for name, block in delivery.items()
    }


def without_secrets(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a destination as the API shows them."""
    return {key: REDACTED if key in SECRETS else value for key, value in parameters.items()}
