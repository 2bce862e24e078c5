"""Subscriptions, their results, and the counts of both, as the API returns them.

See https://docs.planet.com/develop/apis/subscriptions/reference/
"""

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from planet_async.errors import DecodeError
from planet_async.models.base import Deliverable, OpenEnum, Record, Resource
from planet_async.models.codec import NonEmpty, Timestamp


class SubscriptionStatus(OpenEnum):
    """The status of a subscription: preparing, pending, running, then completed.

    Others are suspended (until it is reactivated), failed, cancelled and invalid.  Members equal their text
    (``subscription.status == "running"``); one that Planet adds later is not final.
    """

    PREPARING = "preparing"
    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    SUSPENDED = "suspended"
    CANCELLED = "cancelled"
    FAILED = "failed"
    INVALID = "invalid"

    @property
    def is_final(self) -> bool:
        """True once it has ended; failed and suspended ones have not, since they can still be cancelled."""
        return self in _FINAL


_FINAL = frozenset({SubscriptionStatus.COMPLETED, SubscriptionStatus.CANCELLED, SubscriptionStatus.INVALID})


@frozen(eq=False)
class Subscription(Deliverable):
    """A subscription: imagery or a Planetary Variable, delivered as it is made.

    The API returns the secrets of its delivery as ``"<REDACTED>"``.
    See https://docs.planet.com/develop/apis/subscriptions/reference/
    """

    id: NonEmpty
    status: SubscriptionStatus
    name: str = ""
    created: Timestamp | None = field(default=None, repr=False)
    updated: Timestamp | None = field(default=None, repr=False)

    @property
    def source(self) -> Mapping[str, Any]:
        """The source: its ``type`` and ``parameters``."""
        return self._mapping("source") or {}

    @property
    def error_hints(self) -> Mapping[str, Any]:
        """Why it failed, as far as the API says."""
        return self._mapping("error_hints") or {}


class ResultStatus(OpenEnum):
    """The status of a result: created, queued, processing, then success, failed or cancelled."""

    CREATED = "created"
    QUEUED = "queued"
    PROCESSING = "processing"
    SUCCESS = "success"
    FAILED = "failed"
    CANCELLED = "cancelled"


@frozen(eq=False)
class SubscriptionResult(Resource):
    """One item that a subscription has delivered, or will."""

    id: NonEmpty
    status: ResultStatus
    created: Timestamp | None = field(default=None, repr=False)
    updated: Timestamp | None = field(default=None, repr=False)
    completed: Timestamp | None = field(default=None, repr=False)
    outputs: tuple[str, ...] = field(default=(), repr=False)

    @property
    def properties(self) -> Mapping[str, Any]:
        """The content of the result, such as the values of a Planetary Variable."""
        return self._mapping("properties") or {}

    @property
    def item_id(self) -> str | None:
        """The id of the item, such as ``20250927_192504_20_253a``."""
        found = self.properties.get("item_id")
        return found if isinstance(found, str) else None

    @property
    def errors(self) -> Mapping[str, Any]:
        """The errors of the result."""
        return self._mapping("errors") or {}


@frozen
class SubscriptionCounts(Record):
    """How many subscriptions there are of each status; one that the API leaves out counts 0."""

    preparing: int = 0
    pending: int = 0
    running: int = 0
    completed: int = 0
    suspended: int = 0
    cancelled: int = 0
    failed: int = 0
    invalid: int = 0


@frozen(eq=False)
class SubscriptionsSummary(Resource):
    """The subscriptions of a user or of an organization, counted by status."""

    subscriptions: SubscriptionCounts


@frozen
class ResultCounts(Record):
    """How many results there are of each status; one that the API leaves out counts 0."""

    created: int = 0
    queued: int = 0
    processing: int = 0
    success: int = 0
    failed: int = 0
    cancelled: int = 0


@frozen(eq=False)
class ResultsSummary(Resource):
    """The results of one subscription, counted by status."""

    results: ResultCounts

    @property
    def status(self) -> SubscriptionStatus | None:
        """The status of the subscription itself; None where the summary does not say."""
        found = (self._mapping("subscription") or {}).get("status")
        return SubscriptionStatus(found) if isinstance(found, str) and found else None


@frozen(eq=False)
class BulkReply(Resource):
    """The response to a bulk creation."""

    @property
    def list_link(self) -> str:
        """The URL of the list of what was created.

        Raises:
            DecodeError: there is none.
        """
        found = self.links.get("list")
        if not isinstance(found, str) or not found:
            raise DecodeError("`$._links.list` is missing: the subscriptions may have been created")
        return found
