"""An order as the API shows it, with links to its results."""

from collections.abc import Callable
from uuid import NAMESPACE_URL, uuid5

import msgspec
from attrs import frozen

from planet_async.simulator.deliveries import Delivery
from planet_async.simulator.order_book import Order
from planet_async.simulator.times import NO_EXPIRY, after, render, seconds_between
from planet_async.simulator.world import World

OPS = "/compute/ops"
ORDERS = f"{OPS}/orders/v2"

_DELIVERED = frozenset({"success", "partial"})

Result = dict[str, str]


@frozen
class Link:
    """What a download link leads to: a file of an order, and until when."""

    order_id: str
    index: int
    expires: int


class OrderJson:
    """Renders orders; a link holds from the moment it is shown, so that asking again gives a fresh one."""

    def __init__(self, world: World, find: Callable[[str], Delivery]) -> None:
        self._world = world
        self._find = find

    def render(self, order: Order) -> bytes:
        """Give the order without its results, as lists show it [H, recorded]."""
        return self._render(order, {})

    def render_with_results(self, order: Order, now: int) -> bytes:
        """Give the order with what it has delivered up to now."""
        results = self.results(order, now)
        return self._render(order, {} if results is None else {"results": results})

    def _render(self, order: Order, links: dict[str, list[Result]]) -> bytes:
        head = {
            "_links": {"_self": f"{self._world.base_url}{ORDERS}/{order.id}", **links},
            "created_on": render(order.created),
            "error_hints": order.error_hints,
            "id": order.id,
            "last_message": order.last_message,
            "last_modified": render(order.modified),
            "state": order.state,
        }
        # What was asked for is kept as JSON, so that it need not be decoded to be shown.
        echo = _with_collection(order) if order.hosted and order.state in _DELIVERED else order.echo
        return msgspec.json.encode(head)[:-1] + b"," + echo[1:]

    def results(self, order: Order, now: int) -> list[Result] | None:
        """Give the results as they stand: none, growing, or all."""
        if order.state != "running" and order.state not in _DELIVERED:
            return None
        delivery = self._find(order.id)
        files = delivery.files
        ready = len(files)
        if order.state == "running":
            # How results come in is not documented: here evenly, one pending ahead, the manifest last [L].
            ready = int(len(files) * seconds_between(order.modified, now) / order.plan.run_seconds)
            files = files[: ready + 1]
        expires = after(now, self._world.link_seconds)
        expires_at = NO_EXPIRY if delivery.to_cloud else render(expires)
        results = []
        for index, file in enumerate(files):
            result = {
                "delivery": "success" if index < ready else "pending",
                "name": f"{order.id}/{file.path}",
            }
            if index < ready:
                result["expires_at"] = expires_at
                if not delivery.to_cloud:
                    result["location"] = (
                        f"{self._world.base_url}{OPS}/download/?token={self._token(order, index, expires)}"
                    )
            results.append(result)
        return results

    def _token(self, order: Order, index: int, expires: int) -> str:
        place = f"{order.id}.{index}"
        return f"{place}.{expires}.{self._world.sign(place, expires)}"

    def read_token(self, token: str) -> Link | None:
        """Give what a token stands for; None where it is not one of ours."""
        claim, _, signature = token.rpartition(".")
        place, _, expires = claim.rpartition(".")
        if not expires.isdigit() or signature != self._world.sign(place, int(expires)):
            return None
        order_id, _, index = place.partition(".")
        return Link(order_id, int(index), int(expires))


def _with_collection(order: Order) -> bytes:
    """Give what was asked for with the ids that hosting adds; that they come at the end is a guess [L]."""
    request = order.request
    hub = request["hosting"]["sentinel_hub"]
    hub.setdefault("collection_id", str(uuid5(NAMESPACE_URL, f"collection:{order.id}")))
    if hub.get("create_configuration"):
        hub["configuration_id"] = str(uuid5(NAMESPACE_URL, f"configuration:{order.id}"))
    return msgspec.json.encode(request)
