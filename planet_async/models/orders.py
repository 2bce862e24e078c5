"""Orders as the API shows them, with what belongs to them.

See https://docs.planet.com/develop/apis/orders/reference/
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from attrs import field, frozen

from planet_async.errors import DecodeError
from planet_async.models.base import Deliverable, OpenEnum, Resource
from planet_async.models.codec import NonEmpty, Timestamp, decode_part
from planet_async.models.delivery import DELIVERIES

T = TypeVar("T")

_PLACES = (
    *("account", "container", "namespace", "bucket", "project", "collection", "collection_id", "folder_id"),
    *("ref", "path_prefix"),
)


class OrderState(OpenEnum):
    """Where an order is; a word that Planet adds later becomes a state too, and is not final.

    queued, running, then one of success, partial, failed and cancelled.  Each is its own word:
    ``order.state == "success"``.
    """

    QUEUED = "queued"
    RUNNING = "running"
    SUCCESS = "success"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Nothing will happen to the order any more."""
        return self in _FINAL


_FINAL = frozenset({OrderState.SUCCESS, OrderState.PARTIAL, OrderState.FAILED, OrderState.CANCELLED})


@frozen(eq=False)
class OrderResult(Resource):
    """A file that an order has delivered, or will.

    `name` is its path, which begins with the id of the order; `delivery` is pending, success or failed.
    `location` is there for orders to be downloaded; whoever has it can fetch the file until `expires_at`,
    None for never.
    """

    name: NonEmpty
    delivery: str = ""
    location: str | None = field(default=None, repr=False)
    expires_at: Timestamp | None = field(default=None, repr=False)


@frozen(eq=False)
class Order(Deliverable):
    """An order.  `error_hints` say why it failed, `last_message` what happened last.

    An order of a list has no `results`: get it by its id for those.
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
        """What was ordered, as it was asked for."""
        return self._mappings("products")

    @property
    def metadata(self) -> Mapping[str, Any] | None:
        """Which metadata were asked for."""
        return self._mapping("metadata")

    @property
    def delivered_to(self) -> str:
        """Where the files go that are not for download: a cloud with its bucket, or a host; else empty."""
        places = {name: place for name, place in (self.delivery or {}).items() if name in DELIVERIES}
        hosts = {f"hosting at {name}": place for name, place in (self.hosting or {}).items()}
        return ", ".join(_place(name, place) for name, place in {**places, **hosts}.items())

    @cached_property
    def results(self) -> tuple[OrderResult, ...]:
        """The files so far; more come while the order runs.  DecodeError for one without a name.

        None of an order that comes of a list, also by way of `wait` or `wait_many`, which read lists where
        many are waited for: the API tells of files only to who asks for the one order.  `download` does.
        """
        return _each(OrderResult, self.links.get("results"), "$._links.results")


@frozen(eq=False)
class ManifestFile(Resource):
    """A file of an order: `path` below the order's own folder, `size` in bytes."""

    path: NonEmpty
    media_type: str = ""
    size: int | None = None

    @property
    def digests(self) -> Mapping[str, str]:
        """The checksums in hex, by algorithm: md5 and sha256."""
        found = self._mapping("digests") or {}
        return {name: digest for name, digest in found.items() if isinstance(digest, str)}

    @property
    def annotations(self) -> Mapping[str, Any]:
        """What the file is of, such as ``planet/item_id``."""
        return self._mapping("annotations") or {}


@frozen(eq=False)
class Manifest(Resource):
    """The list of the files of an order (``manifest.json``), with their checksums."""

    name: str = ""

    @cached_property
    def files(self) -> tuple[ManifestFile, ...]:
        """The files.  DecodeError for one without a path: its file could not be checked."""
        if not isinstance(self.raw.get("files"), list):
            raise DecodeError("`$.files` is missing: this is no manifest of an order")
        return _each(ManifestFile, self.raw["files"], "$.files")


@frozen
class OrderCounts:
    """How many orders there are."""

    queued_orders: int
    running_orders: int


@frozen(eq=False)
class OrderStats(Resource):
    """The orders at work, of the user and of the whole organization."""

    user: OrderCounts
    organization: OrderCounts


class CancelReason(OpenEnum):
    """Why an order was not cancelled.

    already_final: it runs or has ended, the API does not say which, so nothing can cancel it any more;
    not_found: there is none of that id, or it is another user's; failed: all else, as the message says.
    """

    ALREADY_FINAL = "already_final"
    NOT_FOUND = "not_found"
    FAILED = "failed"


@frozen
class CancelFailure:
    """An order that was not cancelled, and why: the `message` in words, the `reason` to branch on."""

    order_id: str = ""
    message: str = ""
    reason: CancelReason = CancelReason.FAILED


@frozen
class CancelResult:
    """What became of cancelling many orders: how many it worked for, and the others.

    `cancelled` are the ids it worked for; none where every queued order was meant, since the API names only
    those that it could not cancel.
    """

    succeeded: int
    failures: tuple[CancelFailure, ...] = ()
    cancelled: tuple[str, ...] = field(default=(), repr=False)


@frozen
class _Cancelled:
    count: int


@frozen
class _Refusal:
    order_id: str = ""
    message: str = ""


@frozen
class _NotCancelled:
    # Go writes an empty list as null.
    failures: tuple[_Refusal, ...] | None = None


@frozen
class _CancelCounts:
    succeeded: _Cancelled
    failed: _NotCancelled | None = None


@frozen(eq=False)
class BulkCancelReply(Resource):
    """The body that answers a bulk cancel; `cancelled` is what it says."""

    result: _CancelCounts

    @property
    def cancelled(self) -> CancelResult:
        """The counts and failures."""
        return CancelResult(self.succeeded, tuple(self.failures()))

    @property
    def succeeded(self) -> int:
        """How many it worked for."""
        return self.result.succeeded.count

    def failures(self) -> Iterator[CancelFailure]:
        """Yield the failures; to make ten thousand at once would hold up others for 15 ms."""
        failed = self.result.failed
        for one in (failed and failed.failures) or ():
            yield CancelFailure(one.order_id, one.message, _reason(one.message))


def _reason(message: str) -> CancelReason:
    # The API has words for it, and no code.
    if "cancellable state" in message:
        return CancelReason.ALREADY_FINAL
    return CancelReason.NOT_FOUND if "No such order" in message else CancelReason.FAILED


def _place(name: str, place: object) -> str:
    parts = [str(place[key]) for key in _PLACES if place.get(key)] if isinstance(place, Mapping) else []
    return f"{name} {'/'.join(parts)}".rstrip()


def _each(cls: type[T], items: object, where: str) -> tuple[T, ...]:
    if not isinstance(items, list):
        return ()
    return tuple(decode_part(cls, item, where=f"{where}[{index}]") for index, item in enumerate(items))


ENDED_BADLY = frozenset({OrderState.FAILED, OrderState.CANCELLED})  # for good, and without files


class DownloadedFiles(list[Path]):
    """The paths of the files of an order.

    `checksums` has what the file of a path was compared with, like ``"sha256:..."``.  `unverified` are the
    files for which the manifest has no checksum that can be compared.  `renamed` has the name, by path, of
    each file that is kept under another one: no file can have it, or no terminal can print it.
    """

    def __init__(self, paths: Iterable[Path] = ()) -> None:
        super().__init__(paths)
        self.checksums: dict[Path, str] = {}
        self.unverified: tuple[Path, ...] = ()
        self.renamed: dict[Path, str] = {}


@frozen
class DownloadedOrder:
    """A finished order and where its files are.

    `paths` is empty for an order that was delivered to a cloud or is hosted: `delivered_to` says where.
    `unverified` are those of the files for which the manifest has no checksum that can be compared.
    """

    order: Order
    paths: tuple[Path, ...]
    unverified: tuple[Path, ...] = ()
    delivered_to: str = ""
