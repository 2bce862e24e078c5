"""The result of a bulk call."""

from attrs import field, frozen

from planet_async.models.base import OpenEnum, Record


class FailureReason(OpenEnum):
    """Why a bulk call failed for one id.

    already_final: the state does not allow it: it is running or has ended (the API does not say which);
    not_found: the id does not exist, or belongs to another user; failed: anything else, see the message.
    """

    ALREADY_FINAL = "already_final"
    NOT_FOUND = "not_found"
    FAILED = "failed"


@frozen
class BulkFailure(Record):
    """An id for which a bulk call failed: the `message` is for people, the `reason` for programs."""

    id: str = ""
    message: str = ""
    reason: FailureReason = FailureReason.FAILED


@frozen
class BulkResult(Record):
    """The result of a bulk call: each id is either in `ids` or has an entry in `failures`.

    `succeeded` is the number of `ids`.  After `orders.cancel_all` the `ids` are empty, since the API names
    only the orders that it could not cancel.
    """

    succeeded: int
    failures: tuple[BulkFailure, ...] = ()
    ids: tuple[str, ...] = field(default=(), repr=False)
