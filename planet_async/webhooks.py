"""What Planet sends to a webhook, as events: `parse_order_notification`, `parse_subscription_notification`.

A notification is not signed, so it is a hint and no more: read the order or the subscription back before you
believe it.  `planet_async.webhook_endpoint` receives them, and tells whoever waits.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any

import msgspec
from attrs import field, frozen

from planet_async.errors import DecodeError
from planet_async.models.base import Resource
from planet_async.models.codec import decode
from planet_async.models.json import DECODE_ERRORS, parsed_object
from planet_async.models.orders import Order, OrderResult


@frozen(eq=False)
class OrderEvent(Resource):
    """Something was said of an order: an item was delivered, or (`per_order`) the order has ended.

    `raw` is all that was said.  Parts other than the id are decoded when first read.
    """

    order_id: str

    @cached_property
    def order(self) -> Order | None:
        """The order as it stood, where the whole of it was sent; what is documented now is its items."""
        if not all(isinstance(value := self.raw.get(key), str) and value for key in ("id", "state")):
            return None
        return decode(Order, self._bytes())

    @cached_property
    def items(self) -> tuple[OrderResult, ...]:
        """The files that it is about; what has no name is left out.

        A `location` may begin with its query, ``?token=...``: the rest is the API's ``/download``.
        """
        if self.order is not None:
            told = self.order.links.get("results")
        else:
            told = self.raw.get("items", [self.raw])
        return tuple(_results(told)) if isinstance(told, list) else ()


@frozen(eq=False)
class SubscriptionEvent(Resource):
    """Something was said of a subscription.

    What Planet sends here is not documented: `topic`, such as ``delivery.success``, is there if it was found;
    `raw` is all that was said.
    """

    subscription_id: str
    topic: str | None = field(default=None)


class _Names(msgspec.Struct):
    """Where the id of an order may be; all else is skipped, which takes a tenth of the time."""

    order_id: Any = None
    id: Any = None
    name: Any = None


_IN_FOLDER = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/", re.IGNORECASE)

_names = msgspec.json.Decoder(_Names)


def parse_order_notification(body: bytes) -> OrderEvent:
    """Parse the body of an order's notification; all three shapes that Planet has documented will do.

    They are the items of an order, one item alone, whose name begins with the id, and the whole order.
    DecodeError where no order is named.

        event = parse_order_notification(body)
        order = await planet.orders.get(event.order_id)
    """
    try:
        names = _names.decode(body)
    except DECODE_ERRORS:
        names = msgspec.convert(parsed_object(body), _Names)  # says what is wrong
    order_id = _text(names.order_id) or _text(names.id) or _folder(names.name)
    if not order_id:
        raise DecodeError("`$.order_id` is missing: this is no notification of an order")
    event = OrderEvent(order_id)
    object.__setattr__(event, "_json", bytes(body))
    return event


def parse_subscription_notification(body: bytes) -> SubscriptionEvent:
    """Parse the body of a subscription's notification, whose shape is not documented.

    The id is looked for wherever one may be.  DecodeError where none is found.
    """
    parsed = parsed_object(body)
    objects = _objects(parsed)
    subscription_id = next(_ids(objects), None)
    if subscription_id is None:
        raise DecodeError("no id of a subscription was found: this is no notification of one")
    topics = (_text(each.get("topic")) for each in objects)
    event = SubscriptionEvent(subscription_id, next(filter(None, topics), None))
    object.__setattr__(event, "_json", bytes(body))
    object.__setattr__(event, "_parsed", parsed)
    return event


def _folder(name: object) -> str | None:
    """Give the id of an order that a name begins with; other folders are not orders."""
    found = _IN_FOLDER.match(name) if isinstance(name, str) else None
    return found and found[1]


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _results(told: list[object]) -> Iterator[OrderResult]:
    for item in told:
        with suppress(DecodeError, RecursionError):
            yield decode(OrderResult, msgspec.json.encode(item))


def _objects(outermost: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Give an object and all inside it, the outer ones first."""
    found = [outermost]
    for each in found:  # grows on the way
        for value in each.values():
            inside = value if isinstance(value, list) else [value]
            found += [item for item in inside if isinstance(item, dict)]
    return found


def _ids(objects: list[Mapping[str, Any]]) -> Iterator[str]:
    """Yield what may be the id of the subscription, the surest first; an `id` may be the message's own."""
    for each in objects:
        if found := _text(each.get("subscription_id")):
            yield found
    for each in objects:
        told = each.get("subscription")
        if found := _text(told.get("id") if isinstance(told, dict) else told):
            yield found
    for each in objects:
        if found := _text(each.get("id")):
            yield found
