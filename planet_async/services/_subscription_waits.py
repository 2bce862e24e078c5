"""Waiting until a subscription has a status."""

from collections.abc import Callable

from planet_async.errors import StatusUnreachable
from planet_async.models.subscriptions import Subscription, SubscriptionStatus
from planet_async.polling import wait_for
from planet_async.waiting.shared import SharedWait


async def wait_for_status(
    waits: SharedWait[Subscription],
    subscription_id: str,
    wanted: SubscriptionStatus,
    *,
    timeout: float | None,
    on_update: Callable[[Subscription], None] | None,
) -> Subscription:
    """Wait until a subscription has that status, or never will; see `Subscriptions.wait`."""
    found = await wait_for(
        waits,
        subscription_id,
        lambda seen: seen.status is wanted or _is_too_late(seen.status, wanted),
        timeout=timeout,
        on_update=on_update,
    )
    if found.status is not wanted:
        raise StatusUnreachable(
            f"subscription {found.id} is {found.status}, and will not be {wanted} any more"
        )
    return found


def _is_too_late(status: SubscriptionStatus, wanted: SubscriptionStatus) -> bool:
    """Tell whether that will not happen any more; what has failed can only be cancelled."""
    if status is SubscriptionStatus.FAILED:
        return wanted is not SubscriptionStatus.CANCELLED
    return status.is_final
