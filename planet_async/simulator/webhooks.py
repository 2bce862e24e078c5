"""What the simulator has to tell webhooks: `Webhooks` gives the calls to be made, each once."""

import base64
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import msgspec

from planet_async.http import Request
from planet_async.simulator.order_book import Order, OrderJson, OrderStore
from planet_async.simulator.subscription_book import Subscription, SubscriptionStore, results_of, shown_result
from planet_async.simulator.world import Interval

_ENDED = frozenset({"success", "partial", "failed", "cancelled"})


class Webhooks:
    """Watches the orders and subscriptions that name a webhook."""

    def __init__(self, orders: OrderStore, json: OrderJson, subscriptions: SubscriptionStore) -> None:
        self._orders = orders
        self._json = json
        self._subscriptions = subscriptions
        self._seen = 0
        self._open: dict[str, tuple[Order, Mapping[str, Any]]] = {}
        self._told: set[tuple[str, str]] = set()

    def due(self, now: int) -> Iterator[Request]:
        """Yield the calls that have become due."""
        self._orders.advance(now)
        for order in self._orders.modified_within(Interval(self._seen, None)):
            if webhook := _webhook(order.request):
                self._open[order.id] = order, webhook
        self._seen = now
        for order, webhook in list(self._open.values()):
            for body in self._of_order(order, per_order=bool(webhook.get("per_order")), now=now):
                yield _post(webhook["url"], body)
            if order.state in _ENDED:
                del self._open[order.id]
        self._subscriptions.advance(now)
        for subscription in self._subscriptions.all():
            if webhook := _webhook(subscription.body):
                for body in self._of_subscription(subscription, now):
                    if {body["topic"], body["topic"].partition(".")[0] + ".all"} & {*webhook["topics"]}:
                        yield _post(webhook["url"], body)

    def _of_order(self, order: Order, *, per_order: bool, now: int) -> Iterator[Mapping[str, Any]]:
        """Tell of each item, or once of all [H]; a failed order has none, a cancelled one no call [L]."""
        if order.state == "cancelled" or (per_order and order.state not in _ENDED):
            return
        results = self._json.results(order, now) or []
        items = [_item(result) for result in results if result["delivery"] == "success"]
        if per_order:
            if self._is_new(order.id, order.state):
                yield {"order_id": order.id, "items": items}
            return
        for item in items:
            if self._is_new(order.id, item["name"]):
                yield {"order_id": order.id, "items": [item]}

    def _of_subscription(self, subscription: Subscription, now: int) -> Iterator[dict[str, Any]]:
        """Tell of its status as it is now, and of its results; the shape is not documented: made up [L]."""
        said = {"subscription_id": subscription.id, "status": subscription.status}
        if self._is_new(subscription.id, f"{subscription.status} {subscription.updated}"):
            yield {"topic": f"status.{subscription.status}", **said}
        for result in results_of(subscription, now):
            if result.status in {"success", "failed"} and self._is_new(subscription.id, result.id):
                yield {"topic": f"delivery.{result.status}", **said, "result": shown_result(result)}

    def _is_new(self, about: str, what: str) -> bool:
        new = (about, what) not in self._told
        self._told.add((about, what))
        return new


def _webhook(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    webhook = (body.get("notifications") or {}).get("webhook")
    return webhook if isinstance(webhook, dict) and isinstance(webhook.get("url"), str) else None


def _item(result: Mapping[str, str]) -> dict[str, str]:
    """Show a result as a notification does: its location is relative to the API's ``/download`` [H]."""
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
