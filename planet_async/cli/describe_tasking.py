"""Tasking orders, their prices, windows and captures as a person reads them."""

from collections.abc import Sequence

from rich.console import RenderableType
from rich.text import Text

from planet_async import Capture, ImagingWindow, Pricing, PricingFailure, PricingPreview, TaskingOrder
from planet_async.cli.output import clean, listing, panel, state_text, table, time_text


def order_line(order: TaskingOrder) -> Text:
    """Give an order in one line."""
    return Text.assemble((clean(order.id), "bold"), "  ", state_text(order.status), "  ", clean(order.name))


def orders_table(orders: Sequence[TaskingOrder]) -> RenderableType:
    """Give orders as a table."""
    rows = [
        (clean(order.id), state_text(order.status), time_text(order.created_time), clean(order.name))
        for order in orders
    ]
    return listing("orders", ("id", "status", "created (UTC)", "name"), rows)


def order_panel(order: TaskingOrder) -> RenderableType:
    """Give one order with all that matters of it."""
    shape = (order.original_geometry or order.geometry or {}).get("type")
    return panel(
        order.name,
        (
            ("id", clean(order.id)),
            ("status", state_text(order.status)),
            ("created", time_text(order.created_time)),
            ("changed", time_text(order.updated_time)),
            ("from", time_text(order.start_time)),
            ("to", time_text(order.end_time)),
            ("scheduling", order.scheduling_type or ""),
            ("PL number", order.pl_number or ""),
            ("product", order.product or ""),
            ("of", str(shape or "")),
            ("area", _number(order.requested_sqkm, " km²")),
            ("imaged", _number(order.fulfilled_sqkm, " km²")),
            ("cost", _number(order.estimated_quota_cost, " of quota")),
            ("captures", _number(order.capture_count)),
            ("published", _number(order.capture_status_published_count)),
            ("cancellable", _cancellable(order)),
        ),
    )


def pricing_panel(pricing: Pricing) -> RenderableType:
    """Give the price of one order, and how it comes about."""
    model = pricing.pricing_model
    facts = [
        ("cost", f"{_number(pricing.estimated_quota_cost)} {pricing.units}"),
        ("determined by", pricing.determined_by),
        ("base price", _number(model.base_price if model else None)),
    ]
    facts += [
        (each.name, f"x {_number(each.value)} {each.description}")
        for each in (model.multipliers if model else ())
    ]
    facts += [
        ("replaces", f"{each.order_id} {each.name} {_number(each.cost)}") for each in pricing.replaced_orders
    ]
    return panel(f"order {pricing.order_id}", [(clean(name), fact) for name, fact in facts])


def preview_table(preview: PricingPreview, sources: Sequence[str]) -> RenderableType:
    """Give what orders would cost, by their files."""
    rows = [
        (clean(source), *(("-", "") if isinstance(price, PricingFailure) else _cost(price)))
        for source, price in zip(sources, preview.pricing_details, strict=True)
    ]
    rows.append(("total", _number(preview.total_estimated_quota_cost), ""))
    made = table(("request", "cost", "units"), rows)
    made.columns[1].justify = "right"
    return made


def windows_table(windows: Sequence[ImagingWindow]) -> RenderableType:
    """Give imaging windows as a table."""
    rows = [
        (
            clean(window.id),
            time_text(window.start_time),
            time_text(window.end_time),
            clean(window.satellite_type or ""),
            _number(window.off_nadir_angle_max, "°"),
        )
        for window in windows
    ]
    columns = ("id", "from (UTC)", "to (UTC)", "satellite", "off nadir, at most")
    return listing("imaging windows", columns, rows, whole=(0, 1, 2))


def captures_table(captures: Sequence[Capture]) -> RenderableType:
    """Give captures as a table."""
    rows = [
        (
            clean(capture.id),
            state_text(capture.status),
            time_text(capture.acquired_time or capture.planned_acquisition_time),
            "" if capture.cloud_cover is None else f"{capture.cloud_cover:.0%}",
            "" if capture.fulfilling is None else "yes" if capture.fulfilling else "no",
            clean(", ".join(capture.item_ids or ())),
        )
        for capture in captures
    ]
    return listing("captures", ("id", "status", "acquired (UTC)", "clouds", "fulfilling", "items"), rows)


def _cost(price: Pricing) -> tuple[str, str]:
    return _number(price.estimated_quota_cost), clean(price.units)


def _cancellable(order: TaskingOrder) -> str:
    if order.is_cancellable is None:
        return ""
    until = f" until {time_text(order.cancellable_until)}" if order.cancellable_until else ""
    return f"yes{until}" if order.is_cancellable else "no"


def _number(value: float | None, unit: str = "") -> str:
    return "" if value is None else f"{value:,.6g}{unit}"
