"""The result of a bulk call."""

from attrs import field, frozen

from planet_async.models.base import OpenEnum, Record


class FailureReason(OpenEnum):
    """Why a bulk call failed for one id.

    already_final: it is running or has ended (the API does not say which); not_found: no such id, or it
    belongs to another user; failed: anything else, as the message says.
    """

    ALREADY_FINAL = "already_final"
    NOT_FOUND = "not_found"
    FAILED = "failed"


@frozen
class BulkFailure(Record):
    """An id for which a bulk call failed, and why: `message` for people, `reason` for programs."""

    id: str = ""
    message: str = ""
    reason: FailureReason = FailureReason.FAILED


@frozen
class BulkResult(Record):
    """The result of a bulk call: each id is in `ids` or has one of the `failures`.

    `succeeded` counts the successes, and `ids` are theirs; empty after `orders.cancel_all`, since the API
    names only the orders that it could not cancel.
    """

    succeeded: int
    failures: tuple[BulkFailure, ...] = ()
    ids: tuple[str, ...] = field(default=(), repr=False)
