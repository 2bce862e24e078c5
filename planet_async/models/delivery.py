"""Deliveries of an order: archives for download, and clouds.

Without a delivery the files of an order are downloaded one by one.  Planet writes a small file at a cloud
destination first and deletes it again, so the credential must allow both.  No repr shows a secret.
See https://docs.planet.com/develop/apis/orders/delivery/
"""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from attrs import evolve, field, frozen

from planet_async.models.base import Named
from planet_async.models.codec import Check, drop_nulls
from planet_async.redaction import SECRET

_COMMON = ("archive_type", "single_archive", "archive_filename", "layout")
_ZIPPED = {"single_archive": False, "archive_filename": "{{name}}_{{order_id}}.zip"}


@frozen(kw_only=True)
class Delivery(Named):
    """Base of the deliveries.  To use several in one order, write a plain mapping.

    Args:
        single_archive: One zip file for the whole order instead of one for each item.
        archive_type: ``"zip"``.  The API needs all three settings of archives: with this one, the others are
            filled in as Planet's own client does.
        archive_filename: The name of the zip file, where ``{{name}}`` and ``{{order_id}}`` are replaced.
        layout: The layout of the files, such as ``{"format": "standard"}``.
    """

    block: ClassVar[str] = ""
    for_subscriptions: ClassVar[bool] = True

    single_archive: bool | None = None
    archive_type: str | None = None
    archive_filename: str | None = None
    layout: Mapping[str, Any] | None = None

    @classmethod
    def _read(cls, value: Any, path: str, check: Check) -> object:
        return read_delivery(value, path, check)

    @classmethod
    def _json_fields(cls) -> dict[str, Any]:
        return {}

    def derived(self) -> Mapping[str, object]:
        """Return the other settings of archives, without which the API does not zip."""
        return _ZIPPED if self.archive_type else {}

    def to_body(self) -> Mapping[str, object]:
        """Return the common fields, and the destination's under its name."""
        fields = self.set_fields()
        common = {name: fields.pop(name) for name in _COMMON if name in fields}
        return {**common, self.block: fields} if self.block else common

    def subscription_problems(self) -> Iterable[str]:
        """Yield why a subscription cannot be delivered so."""
        if not self.for_subscriptions:
            yield f"{type(self).__name__} is for orders only"
        for name in _COMMON:
            if getattr(self, name) is not None:
                yield f"{name} is for orders only"


@frozen(kw_only=True)
class Archive(Delivery):
    """Zip files to download: one for each item, or one for the whole order.

    Example:
        >>> Archive(single_archive=True).archive_filename
        '{{name}}_{{order_id}}.zip'
    """

    for_subscriptions: ClassVar[bool] = False

    archive_type: str | None = "zip"


@frozen(kw_only=True)
class AmazonS3(Delivery):
    """Delivery to a bucket at Amazon."""

    block: ClassVar[str] = "amazon_s3"

    bucket: str
    aws_region: str
    aws_access_key_id: str = field(repr=False, metadata=SECRET)
    aws_secret_access_key: str = field(repr=False, metadata=SECRET)
    path_prefix: str | None = None


@frozen(kw_only=True)
class AzureBlobStorage(Delivery):
    """Delivery to a container at Azure; `sas_token` goes without its leading question mark."""

    block: ClassVar[str] = "azure_blob_storage"

    account: str
    container: str
    sas_token: str = field(repr=False, metadata=SECRET)
    storage_endpoint_suffix: str | None = None
    path_prefix: str | None = None


@frozen(kw_only=True)
class GoogleCloudStorage(Delivery):
    """Delivery to a bucket at Google; `credentials` is the service account's JSON in base64."""

    block: ClassVar[str] = "google_cloud_storage"

    bucket: str
    credentials: str = field(repr=False, metadata=SECRET)
    path_prefix: str | None = None


@frozen(kw_only=True)
class GoogleEarthEngine(Delivery):
    """Delivery to an image collection of Earth Engine; it excludes STAC metadata."""

    block: ClassVar[str] = "google_earth_engine"

    project: str
    collection: str
    credentials: str | None = field(default=None, repr=False, metadata=SECRET)


@frozen(kw_only=True)
class OracleCloudStorage(Delivery):
    """Delivery to a bucket at Oracle."""

    block: ClassVar[str] = "oracle_cloud_storage"

    bucket: str
    region: str
    namespace: str
    customer_access_key_id: str = field(repr=False, metadata=SECRET)
    customer_secret_key: str = field(repr=False, metadata=SECRET)
    path_prefix: str | None = None


@frozen(kw_only=True)
class S3Compatible(Delivery):
    """Delivery to any service with the protocol of S3."""

    block: ClassVar[str] = "s3_compatible"

    endpoint: str
    bucket: str
    region: str
    access_key_id: str = field(repr=False, metadata=SECRET)
    secret_access_key: str = field(repr=False, metadata=SECRET)
    use_path_style: bool | None = None
    path_prefix: str | None = None


@frozen(kw_only=True)
class PlanetFolders(Delivery):
    """Delivery to a folder at Planet."""

    block: ClassVar[str] = "planet_folders"
    for_subscriptions: ClassVar[bool] = False

    folder_id: str | None = None


@frozen(kw_only=True)
class Destination(Delivery):
    """Delivery to a destination set up at Planet: ``pl:destinations/...``, or ``pl:destinations/default``."""

    block: ClassVar[str] = "destination"

    ref: str
    path_prefix: str | None = None


DELIVERIES: Mapping[str, type[Delivery]] = {
    delivery.block: delivery
    for delivery in (
        AmazonS3,
        AzureBlobStorage,
        GoogleCloudStorage,
        GoogleEarthEngine,
        OracleCloudStorage,
        S3Compatible,
        PlanetFolders,
        Destination,
    )
}


def read_delivery(value: object, path: str, check: Check) -> Delivery | Mapping[str, Any] | None:
    """Read a delivery as an order has it: the common fields, and the destination's under its name."""
    if not check.is_object(value, path):
        return None
    drop_nulls(value)
    if not value:
        return value
    common = check.read(value, Delivery, path, also=DELIVERIES)
    found = [
        check.read(value[name], cls, f"{path}.{name}") for name, cls in DELIVERIES.items() if name in value
    ]
    delivery = found[0] if found else Archive()
    is_known = len(found) < 2 and value.keys() <= {*DELIVERIES, *_COMMON}  # noqa: PLR2004 - one destination
    if common is None or delivery is None or not is_known:
        return value
    return evolve(delivery, **{name: getattr(common, name) for name in _COMMON})
