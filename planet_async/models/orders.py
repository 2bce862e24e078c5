"""Orders as the API shows them, with what belongs to them.

See https://docs.planet.com/develop/apis/orders/reference/
"""

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from attrs import field, frozen

from planet_async.errors import DecodeError
from planet_async.models.base import Deliverable, OpenEnum, Resource
from planet_async.models.bulk import BulkFailure, BulkResult, FailureReason
from planet_async.models.codec import NonEmpty, Timestamp, decode_part

T = TypeVar("T")


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
    def cancelled(self) -> BulkResult:
        """The counts and failures."""
        return BulkResult(self.succeeded, tuple(self.failures()))

    @property
    def succeeded(self) -> int:
        """How many it worked for."""
        return self.result.succeeded.count

    def failures(self) -> Iterator[BulkFailure]:
        """Yield the failures; to make ten thousand at once would hold up others for 15 ms."""
        failed = self.result.failed
        for one in (failed and failed.failures) or ():
            yield BulkFailure(one.order_id, one.message, _reason(one.message))


def _reason(message: str) -> FailureReason:
    # The API has words for it, and no code.
    if "cancellable state" in message:
        return FailureReason.ALREADY_FINAL
    return FailureReason.NOT_FOUND if "No such order" in message else FailureReason.FAILED


def _each(cls: type[T], items: object, where: str) -> tuple[T, ...]:
    if not isinstance(items, list):
        return ()
    return tuple(decode_part(cls, item, where=f"{where}[{index}]") for index, item in enumerate(items))


ENDED_BADLY = frozenset({OrderState.FAILED, OrderState.CANCELLED})  # for good, and without files


@frozen
class DownloadedOrder:
    """A finished order and where its files are."""

    order: Order
    paths: tuple[Path, ...]
