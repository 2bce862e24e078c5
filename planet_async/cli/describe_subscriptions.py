"""Subscriptions as a person reads them.  Of deliveries only the kind is shown: there are secrets in them."""

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import asdict
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from planet_async.cli.output import clean, listing, panel, state_text, table, time_text
from planet_async.models.subscriptions import (
    ResultCounts,
    Subscription,
    SubscriptionCounts,
    SubscriptionResult,
)


def subscription_line(subscription: Subscription) -> Text:
    """Give a subscription in one line."""
    return Text.assemble(
        (clean(subscription.id), "bold"),
        "  ",
        state_text(subscription.status),
        "  ",
        clean(subscription.name),
    )


def subscriptions_table(subscriptions: Sequence[Subscription]) -> RenderableType:
    """Give subscriptions as a table."""
    rows = [
        (
            clean(each.id),
            state_text(each.status),
            time_text(each.created),
            _kind(each.source),
            clean(each.name),
        )
        for each in subscriptions
    ]
    return listing("subscriptions", ("id", "status", "created (UTC)", "source", "name"), rows)


def subscription_panel(subscription: Subscription) -> RenderableType:
    """Give one subscription with all that matters of it."""
    parameters = subscription.source.get("parameters")
    parameters = parameters if isinstance(parameters, Mapping) else {}
    return panel(
        subscription.name,
        (
            ("id", clean(subscription.id)),
            ("status", state_text(subscription.status)),
            ("created", time_text(subscription.created)),
            ("changed", time_text(subscription.updated)),
            ("source", _kind(subscription.source)),
            ("of", _words(parameters.get("item_types") or parameters.get("id"))),
            ("assets", _words(parameters.get("asset_types"))),
            ("from", _words(parameters.get("start_time"))),
            ("to", _words(parameters.get("end_time"))),
            ("tools", ", ".join(map(_kind, subscription.tools))),
            ("delivery", _kind(subscription.delivery or {})),
            ("hosting", _kind(subscription.hosting or {})),
            (
                "hints",
                "; ".join(f"{name}: {_words(hint)}" for name, hint in subscription.error_hints.items()),
            ),
        ),
    )


def results_table(results: Sequence[SubscriptionResult]) -> RenderableType:
    """Give results as a table; the links to their files are not shown."""
    rows = [
        (
            clean(each.id),
            state_text(each.status),
            time_text(each.created),
            f"{len(each.outputs):,}",
            clean(each.item_id or ""),
        )
        for each in results
    ]
    return listing("results", ("id", "status", "created (UTC)", "files", "item"), rows)


def counts_table(counts: SubscriptionCounts | ResultCounts) -> Table:
    """Give counts by status."""
    made = table(
        ("status", "count"), [(state_text(status), f"{count:,}") for status, count in asdict(counts).items()]
    )
    made.columns[1].justify = "right"
    return made


def _kind(part: Mapping[str, Any]) -> str:
    return clean(part.get("type") or "")


def _words(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)
