"""Orders as a person reads them.  Links to files are not shown: whoever sees one can fetch the file."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from planet_async import Order, OrderStats
from planet_async.cli.output import clean, listing, panel, state_text, table, time_text


def order_line(order: Order) -> Text:
    """Give an order in one line."""
    return Text.assemble((order.id, "bold"), "  ", state_text(order.state), "  ", clean(order.name))


def orders_table(orders: Sequence[Order]) -> RenderableType:
    """Give orders as a table."""
    rows = [
        (order.id, state_text(order.state), time_text(order.created_on), clean(order.name))
        for order in orders
    ]
    return listing("orders", ("id", "state", "created (UTC)", "name"), rows)


def order_panel(order: Order) -> RenderableType:
    """Give one order with all that matters of it."""
    facts = (
        ("id", order.id),
        ("state", state_text(order.state)),
        ("created", time_text(order.created_on)),
        ("changed", time_text(order.last_modified)),
        ("message", order.last_message),
        ("hints", "; ".join(order.error_hints)),
        ("products", "; ".join(map(_product, order.products))),
        ("tools", ", ".join(name for tool in order.tools for name in tool)),
        ("delivery", ", ".join(order.delivery or ())),
        ("hosting", ", ".join(order.hosting or ())),
    )
    rows = [
        (
            clean(result.name.removeprefix(f"{order.id}/")),
            clean(result.delivery),
            time_text(result.expires_at),
        )
        for result in order.results
    ]
    files: list[RenderableType] = [Text(), table(("file", "delivery", "link expires (UTC)"), rows)]
    return panel(order.name, facts, *(files if rows else []))


def stats_table(stats: OrderStats) -> Table:
    """Give the counts of active orders."""
    made = table(
        ("", "queued", "running"),
        [
            (whose, f"{counts.queued_orders:,}", f"{counts.running_orders:,}")
            for whose, counts in (("yours", stats.user), ("organization", stats.organization))
        ],
    )
    made.columns[1].justify = made.columns[2].justify = "right"
    return made


def _product(product: Mapping[str, Any]) -> str:
    if "mosaic_name" in product:
        quads = product.get("quad_ids")
        part = f"{len(quads):,} quads" if isinstance(quads, list) else "by geometry"
        return f"{product['mosaic_name']}, {part}"
    items = product.get("item_ids")
    count = len(items) if isinstance(items, list) else 0
    return f"{count:,} x {product.get('item_type')}, {product.get('product_bundle')}"
