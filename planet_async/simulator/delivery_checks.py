"""Where an order may be delivered or hosted: what each place needs, and what of it is secret."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

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
