"""The notifications that the simulator sends to webhooks, each once."""

import base64
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import msgspec

from planet_async.http import Request
from planet_async.simulator.context import Interval
from planet_async.simulator.orders import Order, OrdersApi
from planet_async.simulator.resources import Store
from planet_async.simulator.subscriptions import Subscription

_FINAL = frozenset({"success", "partial", "failed", "cancelled"})


class Webhooks:
    """Watches the orders and subscriptions that name a webhook."""

    def __init__(self, orders: OrdersApi, subscriptions: Store[Subscription]) -> None:
        self._orders = orders
        self._subscriptions = subscriptions
        self._since = 0
        self._active: dict[str, tuple[Order, Mapping[str, Any]]] = {}
        self._sent: set[tuple[str, str]] = set()

    def due(self, now: int) -> Iterator[Request]:
        """Yield the notifications that have become due."""
        for order in self._orders.store.by_change(Interval(self._since, None)):
            if webhook := _webhook(order.request):
                self._active[order.id] = order, webhook
        self._since = now
        for order, webhook in list(self._active.values()):
            for body in self._of_order(order, per_order=bool(webhook.get("per_order"))):
                yield _post(webhook["url"], body)
            if order.state in _FINAL:
                del self._active[order.id]
        for subscription in self._subscriptions:
            if webhook := _webhook(subscription.body):
                for body in self._of_subscription(subscription):
                    if {body["topic"], body["topic"].partition(".")[0] + ".all"} & {*webhook["topics"]}:
                        yield _post(webhook["url"], body)

    def _of_order(self, order: Order, *, per_order: bool) -> Iterator[Mapping[str, Any]]:
        """Yield one for each item, or one for all [H]; for a cancelled order none [L]."""
        if order.state == "cancelled" or (per_order and order.state not in _FINAL):
            return
        results = self._orders.results(order) or []
        items = [_item(result) for result in results if result["delivery"] == "success"]
        if per_order:
            if self._is_new(order.id, order.state):
                yield {"order_id": order.id, "items": items}
            return
        for item in items:
            if self._is_new(order.id, item["name"]):
                yield {"order_id": order.id, "items": [item]}

    def _of_subscription(self, subscription: Subscription) -> Iterator[dict[str, Any]]:
        """Yield its status as it is now, and its results; the shape is not documented: ours [L]."""
        common = {"subscription_id": subscription.id, "status": subscription.status}
        if self._is_new(subscription.id, f"{subscription.status} {subscription.modified}"):
            yield {"topic": f"status.{subscription.status}", **common}
        for result in subscription.results():
            if result.status in {"success", "failed"} and self._is_new(subscription.id, result.id):
                yield {"topic": f"delivery.{result.status}", **common, "result": result.json()}

    def _is_new(self, resource_id: str, event: str) -> bool:
        new = (resource_id, event) not in self._sent
        self._sent.add((resource_id, event))
        return new


def _webhook(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    webhook = (body.get("notifications") or {}).get("webhook")
    return webhook if isinstance(webhook, dict) and isinstance(webhook.get("url"), str) else None


def _item(result: Mapping[str, str]) -> dict[str, str]:
    """Return a result as notifications have it: its location is relative to the API's ``/download`` [H]."""
    item = dict(result)
    if "location" in item:
        item["location"] = "?" + item["location"].partition("?")[2]
    return item


def _post(url: str, body: Mapping[str, Any]) -> Request:
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    headers = {"content-type": "application/json"}
    if user:
        headers["authorization"] = f"Basic {base64.b64encode(unquote(user).encode()).decode()}"
    address = urlunsplit((parts.scheme, host, parts.path, parts.query, ""))
    return Request("POST", address, headers=headers, body=msgspec.json.encode(body), operation="notification")
