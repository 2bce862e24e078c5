"""What of a subscription can be changed, and when [M]; the texts of the refusals are ours [L]."""

from collections.abc import Mapping
from typing import Any

from planet_async.simulator.exchange import Answer
from planet_async.simulator.subscription_book import Subscription
from planet_async.simulator.subscription_checks import refusal

_EDITABLE = frozenset({"preparing", "pending", "running", "suspended"})


def edit_problem(subscription: Subscription, after: Mapping[str, Any], now: int) -> Answer | None:
    """Give the refusal of a change, if it is to be refused."""
    before = subscription.body
    if subscription.status not in _EDITABLE:
        return refusal(409, f"A subscription that is {subscription.status} cannot be changed")
    end = subscription.moment("end_time")
    if end is not None and end < subscription.created:
        return refusal(400, "a subscription to the past only cannot be changed")
    if before.get("hosting") != after.get("hosting"):
        return refusal(400, "hosting cannot be changed")
    changed = _frozen_field(subscription, after, now) if subscription.runs else None
    return refusal(400, f"{changed} cannot be changed any more") if changed else None


def _frozen_field(subscription: Subscription, after: Mapping[str, Any], now: int) -> str | None:
    """Give a field that is changed, though it cannot be once the subscription runs."""
    old, new = subscription.parameters, after["source"]["parameters"]
    if old.get("item_types") != new.get("item_types"):
        return "item_types"
    if (subscription.moment("start_time") or 0) <= now and old["start_time"] != new["start_time"]:
        return "a start_time in the past"
    return "tools" if subscription.body.get("tools", []) != after.get("tools", []) else None
