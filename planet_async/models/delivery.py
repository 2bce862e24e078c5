"""Where an order is delivered to: archives for download, and the clouds.

Without a delivery the files of an order are downloaded one by one.  The secrets in these records appear in no
repr.  Planet writes and deletes a small file at the destination first, so the credential must allow both.
See https://docs.planet.com/develop/apis/orders/delivery/
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from attrs import evolve, field, frozen

from planet_async.models.base import Named
from planet_async.models.codec import Problems, ReadBy, read_mapping
from planet_async.redaction import SECRET

_COMMON = ("single_archive", "archive_type", "archive_filename", "layout")


@frozen(kw_only=True)
class Delivery(Named):
    """Base of the deliveries; several in one order are written as a plain mapping.

    `archive_type` "zip" makes a zip file of each item, with `single_archive` one of the whole order, named by
    `archive_filename`, where ``{{name}}`` and ``{{order_id}}`` are filled in.
    """

    block: ClassVar[str] = ""

    single_archive: bool | None = None
    archive_type: str | None = None
    archive_filename: str | None = None
    layout: Mapping[str, Any] | None = None

    def to_body(self) -> Mapping[str, object]:
        """Give the common fields, and beside them the block of the cloud."""
        given = self.set_fields()
        common = {name: given.pop(name) for name in _COMMON if name in given}
        return {**common, self.block: given} if self.block else common


@frozen(kw_only=True)
class Archive(Delivery):
    """Download, as zip files: ``Archive(single_archive=True)`` is one for the whole order."""

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
    """Delivery to a container at Azure; `sas_token` comes without its leading question mark."""

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
    """Delivery to an image collection of Earth Engine; STAC metadata must be off for it."""

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
    """Delivery to anything that speaks the protocol of S3."""

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


def _read_delivery(value: object) -> Delivery | Mapping[str, Any]:
    given, wrong = read_mapping(value), Problems()
    wrong.read(given, Archive)
    blocks = [wrong.read(given[name], cls, f".{name}") for name, cls in DELIVERIES.items() if name in given]
    wrong.check()
    if len(blocks) > 1 or given.keys() - DELIVERIES.keys() - set(_COMMON):
        return given
    common = {name: given.get(name) for name in _COMMON}
    return evolve(blocks[0], **common) if blocks else Archive(**common)


AnyDelivery = Annotated[Delivery, ReadBy(_read_delivery)]
"""A delivery as an order has it: the common fields beside the block of the cloud."""
