"""Orders, their files and counts, as the API returns them.

See https://docs.planet.com/develop/apis/orders/reference/
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeVar

from attrs import field, frozen

from planet_async.errors import DecodeError, InvalidRequest
from planet_async.models.base import Deliverable, OpenEnum, Record, Resource
from planet_async.models.bulk import BulkFailure, BulkResult, FailureReason
from planet_async.models.codec import NonEmpty, Timestamp, decode, decode_part, to_json
from planet_async.models.delivery import DELIVERIES

T = TypeVar("T")

_PLACES = (
    *("account", "container", "namespace", "bucket", "project", "collection", "collection_id", "folder_id"),
    *("ref", "path_prefix"),
)


class OrderState(OpenEnum):
    """The state of an order: queued, running, then one of success, partial, failed and cancelled.

    Members equal their text (``order.state == "success"``); one that Planet adds later is not final.
    """

    QUEUED = "queued"
    RUNNING = "running"
    SUCCESS = "success"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """True once the order has ended."""
        return self in _FINAL


ENDED_BADLY = frozenset({OrderState.FAILED, OrderState.CANCELLED})
_FINAL = ENDED_BADLY | {OrderState.SUCCESS, OrderState.PARTIAL}


@frozen(eq=False)
class OrderResult(Resource):
    """A file that an order has delivered, or will.

    `name` is its path, which begins with the id of the order; `delivery` is pending, success or failed.
    `location` is the link of an order to download; anyone who has it can fetch the file until `expires_at`
    (None: for ever).
    """

    name: NonEmpty
    delivery: str = ""
    location: str | None = field(default=None, repr=False)
    expires_at: Timestamp | None = field(default=None, repr=False)


@frozen(eq=False)
class Order(Deliverable):
    """An order.

    `error_hints` say why it failed, `last_message` what happened last.  Orders from `list()` have no
    `results`; `get()` returns them.  See https://docs.planet.com/develop/apis/orders/reference/
    """

    id: NonEmpty
    state: OrderState
    name: str = ""
    created_on: Timestamp | None = field(default=None, repr=False)
    last_modified: Timestamp | None = field(default=None, repr=False)
    last_message: str = field(default="", repr=False)
    error_hints: tuple[str, ...] = field(default=(), repr=False)
    order_type: str | None = field(default=None, repr=False)
    source_type: str | None = field(default=None, repr=False)
    subscription_id: int | None = field(default=None, repr=False)

    @property
    def products(self) -> tuple[Mapping[str, Any], ...]:
        """The products, as they were requested."""
        return self._mappings("products")

    @property
    def metadata(self) -> Mapping[str, Any] | None:
        """The metadata that were requested."""
        return self._mapping("metadata")

    @property
    def is_listed(self) -> bool:
        """True if the order has no results: it comes from a list, or from a dict that has none."""
        return getattr(self, "_listed", False) and "results" not in self.links

    @property
    def delivered_to(self) -> str:
        """The cloud and bucket, or the host, that has the files; empty if they are for download."""
        places = {name: place for name, place in (self.delivery or {}).items() if name in DELIVERIES}
        hosts = {f"hosting at {name}": place for name, place in (self.hosting or {}).items()}
        return ", ".join(_place(name, place) for name, place in {**places, **hosts}.items())

    @cached_property
    def results(self) -> tuple[OrderResult, ...]:
        """The files so far; more come while the order runs.

        Raises:
            InvalidRequest: the order comes from a list, where the API leaves the results out.
            DecodeError: a result has no name.
        """
        if self.is_listed:
            raise InvalidRequest(
                f"order {self.id} came without results, as all orders of a list do",
                hint="Use orders.get(order.id).",
            )
        return _each(OrderResult, self.links.get("results"), "$._links.results")


@frozen(eq=False)
class ManifestFile(Resource):
    """A file of an order: `path` below the order's own folder, `size` in bytes."""

    path: NonEmpty
    media_type: str = ""
    size: int | None = None

    @property
    def digests(self) -> Mapping[str, str]:
        """The checksums in hex, by algorithm."""
        found = self._mapping("digests") or {}
        return {name: digest for name, digest in found.items() if isinstance(digest, str)}

    @property
    def annotations(self) -> Mapping[str, Any]:
        """The annotations, such as ``planet/item_id``."""
        return self._mapping("annotations") or {}


@frozen(eq=False)
class Manifest(Resource):
    """The list of the files of an order (``manifest.json``), with their checksums."""

    name: str = ""

    @cached_property
    def files(self) -> tuple[ManifestFile, ...]:
        """The files.

        Raises:
            DecodeError: there is no list of files, or one has no path.
        """
        if not isinstance(self.raw.get("files"), list):
            raise DecodeError("`$.files` is missing: this is not the manifest of an order")
        return _each(ManifestFile, self.raw["files"], "$.files")


@frozen
class OrderCounts(Record):
    """How many orders are queued, and how many running."""

    queued_orders: int
    running_orders: int


@frozen(eq=False)
class OrderStats(Resource):
    """The unfinished orders of the user and of the whole organization."""

    user: OrderCounts
    organization: OrderCounts


@frozen
class _Cancelled(Record):
    count: int


@frozen
class _Refusal(Record):
    order_id: str = ""
    message: str = ""


@frozen
class _NotCancelled(Record):
    # Go writes an empty list as null.
    failures: tuple[_Refusal, ...] | None = None


@frozen
class _CancelCounts(Record):
    succeeded: _Cancelled
    failed: _NotCancelled | None = None


@frozen(eq=False)
class BulkCancelReply(Resource):
    """The response to a bulk cancel."""

    result: _CancelCounts

    @property
    def cancelled(self) -> BulkResult:
        """The result of cancelling all orders."""
        return BulkResult(self.succeeded, tuple(self.failures()))

    @property
    def succeeded(self) -> int:
        """How many were cancelled."""
        return self.result.succeeded.count

    def failures(self) -> Iterator[BulkFailure]:
        """Yield the failures: ten thousand at once would block the event loop for 15 ms."""
        failed = self.result.failed
        for one in (failed and failed.failures) or ():
            yield BulkFailure(one.order_id, one.message, _reason(one.message))


def _reason(message: str) -> FailureReason:
    # The API has no code for it.
    if "cancellable state" in message:
        return FailureReason.ALREADY_FINAL
    return FailureReason.NOT_FOUND if "No such order" in message else FailureReason.FAILED


def _place(name: str, place: object) -> str:
    parts = [str(place[key]) for key in _PLACES if place.get(key)] if isinstance(place, Mapping) else []
    return f"{name} {'/'.join(parts)}".rstrip()


def _each(cls: type[T], items: object, where: str) -> tuple[T, ...]:
    if not isinstance(items, list):
        return ()
    return tuple(decode_part(cls, item, where=f"{where}[{index}]") for index, item in enumerate(items))


class DownloadedFiles(list[Path]):
    """The paths of the files of an order, or of the assets of an item.

    Files that went to an object store have no paths, but `urls`, like ``"s3://bucket/prefix/name"``.

    `checksums` has what the file of a path, or of a URL, was compared with, like ``"sha256:..."``.
    `unverified` are the files for which Planet has no checksum that can be compared.  `renamed` has the name,
    by path or URL, of each file that is kept under another one: no file can have it, or no terminal can print
    it.
    """

    def __init__(self, paths: Iterable[Path | str] = ()) -> None:
        paths = [*paths]
        super().__init__(path for path in paths if isinstance(path, Path))
        self.urls: list[str] = [url for url in paths if isinstance(url, str)]
        self.checksums: dict[Path | str, str] = {}
        self.unverified: tuple[Path | str, ...] = ()
        self.renamed: dict[Path | str, str] = {}


@frozen
class DownloadedOrder(Record):
    """A finished order and where its files are.

    `paths` are those below a folder, `urls` those of objects in an object store.  Both are empty for an order
    that was delivered to a cloud or is hosted: `delivered_to` says where.  `unverified` are those of the
    files for which the manifest has no checksum that can be compared.
    """

    order: Order
    paths: tuple[Path, ...]
    unverified: tuple[Path | str, ...] = ()
    delivered_to: str = ""
    urls: tuple[str, ...] = ()

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """Return what `to_dict` writes as a record again.

        Raises:
            DecodeError: a field is missing or does not fit; the message has its path.
        """
        found = decode(_DownloadedOrder, to_json(value))
        order = decode(Order, to_json(found.order), where="$.order", listed=True)
        unverified = tuple(each if each in found.urls else Path(each) for each in found.unverified)
        return cls(order, tuple(map(Path, found.paths)), unverified, found.delivered_to, found.urls)


@frozen
class _DownloadedOrder(Record):
    order: dict[str, Any]
    paths: tuple[str, ...]
    unverified: tuple[str, ...] = ()
    delivered_to: str = ""
    urls: tuple[str, ...] = ()
