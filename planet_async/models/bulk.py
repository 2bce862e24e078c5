"""What became of the things of one bulk call."""

from attrs import field, frozen

from planet_async.models.base import OpenEnum


class FailureReason(OpenEnum):
    """Why a bulk call did not work for a thing.

    already_final: it runs or has ended, the API does not say which, so nothing can change it any more;
    not_found: there is none of that id, or it is another user's; failed: all else, as the message says.
    """

    ALREADY_FINAL = "already_final"
    NOT_FOUND = "not_found"
    FAILED = "failed"


@frozen
class BulkFailure:
    """A thing that a bulk call did not work for, and why: `message` for people, `reason` for programs."""

    id: str = ""
    message: str = ""
    reason: FailureReason = FailureReason.FAILED


@frozen
class BulkResult:
    """What became of the things of a bulk call: each id is in `ids` or has one of the `failures`.

    `succeeded` is how many it worked for, and `ids` are theirs; empty after `orders.cancel_all`, since the
    API names only the orders that it could not cancel.
    """

    succeeded: int
    failures: tuple[BulkFailure, ...] = ()
    ids: tuple[str, ...] = field(default=(), repr=False)
