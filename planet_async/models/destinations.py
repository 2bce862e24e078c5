"""Destinations: the buckets and containers that deliveries of an organization refer to.

See https://docs.planet.com/develop/apis/destinations/
"""

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import field, frozen

from planet_async.models.base import RequestModel, Resource
from planet_async.models.codec import Check, NonEmpty, Timestamp
from planet_async.models.delivery import (
    AmazonS3,
    AzureBlobStorage,
    Delivery,
    GoogleCloudStorage,
    OracleCloudStorage,
    S3Compatible,
)
from planet_async.models.json import kind as shown
from planet_async.redaction import keys_only

CLOUDS: Mapping[str, type[Delivery]] = {
    cloud.block: cloud
    for cloud in (AmazonS3, AzureBlobStorage, GoogleCloudStorage, OracleCloudStorage, S3Compatible)
}
"""The clouds that have destinations, by the API's names of their types."""

REFERENCE = "pl:destinations/"
"""The beginning of every reference to a destination."""

_SHORTEST_NAME, _LONGEST_NAME = 3, 63  # characters
_OF_DELIVERIES = ("path_prefix", "single_archive", "archive_type", "archive_filename", "layout")


@frozen(eq=False)
class CloudDestination(Resource):
    """A destination: a bucket or container that deliveries refer to, with the credentials for it.

    `type` is amazon_s3, azure_blob_storage, google_cloud_storage, oracle_cloud_storage or s3_compatible.
    `archived` is when it was archived, or None; `default` whether it is that of the organization, as far as
    the API says.
    """

    id: NonEmpty
    name: str = ""
    type: str = ""
    created: Timestamp | None = field(default=None, repr=False)
    updated: Timestamp | None = field(default=None, repr=False)
    archived: Timestamp | None = field(default=None, repr=False)
    default: bool | None = None

    @property
    def ref(self) -> str:
        """The reference, for a delivery: ``Destination(ref=destination.ref)``."""
        return self._text("pl:ref") or f"{REFERENCE}{self.id}"

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The bucket and all else that its type has; the API redacts the secrets."""
        return self._mapping("parameters") or {}

    @property
    def permissions(self) -> Mapping[str, Any]:
        """The permissions of the user: ``can_write``."""
        return self._mapping("permissions") or {}

    @property
    def ownership(self) -> Mapping[str, Any]:
        """The owner: ``is_owner`` and ``owner_id``."""
        return self._mapping("ownership") or {}


@frozen
class DestinationRequest(RequestModel):
    """A destination to be created.

    Args:
        parameters: The bucket or container and its credentials: `AmazonS3`, `AzureBlobStorage`,
            `GoogleCloudStorage`, `OracleCloudStorage` or `S3Compatible`, without the settings that belong to
            a single delivery; or a mapping with the API's own names, such as
            ``{"bucket": ..., "explicit_sse": True}``.
        name: 3 to 63 characters, one of its own in the organization; by default that of the bucket or
            container.
        type: The API's name of the cloud, needed where the parameters are a mapping.

    Raises:
        InvalidRequest: the API would refuse it; the message names the field.

    Example:
        >>> request = DestinationRequest(
        ...     GoogleCloudStorage(bucket="fields", credentials="eyJ0eXBlIjoi..."), "fields of 2026"
        ... )
        >>> request.type
        'google_cloud_storage'

    See https://docs.planet.com/develop/apis/destinations/
    """

    parameters: Mapping[str, Any] | Delivery = field(repr=keys_only)
    name: str | None = None
    type: str | None = None

    def derived(self) -> Mapping[str, object]:
        """Return the type of the record."""
        return {"type": self.parameters.block} if isinstance(self.parameters, Delivery) else {}

    def _problems(self) -> Iterable[tuple[str, str]]:
        if self.name is not None and (problem := name_problem(self.name)):
            yield "name", problem
        if isinstance(self.parameters, Delivery):
            for problem in _cloud_problems(self.parameters, self.type):
                yield "parameters", problem
        elif self.type is None:
            yield "type", f"missing: one of {', '.join(CLOUDS)}"
        elif self.type in CLOUDS:
            check = Check()
            check.read(dict(self.parameters), CLOUDS[self.type], "")
            for problem in check.problems:
                yield "parameters", problem.lstrip(".")

    def to_body(self) -> Mapping[str, object]:
        """Return the type, the parameters and the name, where there is one."""
        found = self.set_fields()
        if isinstance(self.parameters, Delivery):
            found["parameters"] = self.parameters.set_fields()
        return found


def _cloud_problems(cloud: Delivery, kind: str | None) -> Iterable[str]:
    if cloud.block not in CLOUDS:
        yield f"{type(cloud).__name__} is no cloud that has destinations"
    if kind not in {None, cloud.block}:
        yield f"expected those of {kind}, got {type(cloud).__name__}"
    for name in _OF_DELIVERIES:
        if getattr(cloud, name, None) is not None:
            yield f"{name} belongs to a delivery"


def name_problem(name: object) -> str:
    """Return what is wrong with the name of a destination, or ""."""
    if not isinstance(name, str):
        return f"expected a text, got {shown(name)}"
    if _SHORTEST_NAME <= len(name) <= _LONGEST_NAME:
        return ""
    return f"expected {_SHORTEST_NAME} to {_LONGEST_NAME} characters, got {len(name)}"


def name_of(request: Mapping[str, Any]) -> str:
    """Return the name that a destination gets: its own, or that of its bucket or container."""
    parameters = request.get("parameters") or {}
    return str(request.get("name") or parameters.get("bucket") or parameters.get("container") or "")
