"""What there is to know of the three things that are created exactly once."""

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, TypeVar

from planet_async.creating.claims import claims_here
from planet_async.creating.exactly_once import Created, ExactlyOnce, Kind
from planet_async.http import origin
from planet_async.models.orders import Order
from planet_async.models.subscriptions import Subscription
from planet_async.models.tasking import TaskingOrder
from planet_async.paging import Paginator
from planet_async.services._api import Api

T = TypeVar("T", bound=Created)


def creating_orders(api: Api, list_: Callable[..., Paginator[Order]]) -> ExactlyOnce[Order]:
    """Create orders."""
    kind = Kind[Order](
        "order",
        "products",
        lambda name: list_(name=name, sort_by="created_on DESC").pages(),
        attrgetter("created_on"),
        attrgetter("raw"),
    )
    return _exactly_once(api, kind)


def creating_subscriptions(
    api: Api, list_: Callable[..., Paginator[Subscription]]
) -> ExactlyOnce[Subscription]:
    """Create subscriptions."""
    kind = Kind[Subscription](
        "subscription",
        "source",
        lambda name: list_(name=name, sort_by="created DESC").pages(),
        attrgetter("created"),
        _subscription_as_asked,
    )
    return _exactly_once(api, kind)


def creating_tasking_orders(
    api: Api, list_: Callable[..., Paginator[TaskingOrder]]
) -> ExactlyOnce[TaskingOrder]:
    """Create tasking orders."""
    kind = Kind[TaskingOrder](
        "tasking order",
        "geometry",
        lambda name: list_(name=name, ordering="-created_time").pages(),
        attrgetter("created_time"),
        _tasking_order_as_asked,
    )
    return _exactly_once(api, kind)


def _exactly_once(api: Api, kind: Kind[T]) -> ExactlyOnce[T]:
    address = origin(api.config.base_url)
    return ExactlyOnce(
        kind, api.config, api.clock, lambda: claims_here(api.lasting_clock, address, kind.noun)
    )


def _subscription_as_asked(subscription: Subscription) -> Mapping[str, Any]:
    """Show it in the words of a request, where a geometry can be a reference; that comes back beside it."""
    parameters = subscription.source.get("parameters")
    if not isinstance(parameters, Mapping) or "geom_ref" not in parameters:
        return subscription.raw
    geometry = {"type": "ref", "content": parameters["geom_ref"]}
    source = {**subscription.source, "parameters": {**parameters, "geometry": geometry}}
    return {**subscription.raw, "source": source}


def _tasking_order_as_asked(order: TaskingOrder) -> Mapping[str, Any]:
    """Show it in the words of a request: `geometry` is what the API made of what was asked for."""
    return {**order.raw, "geometry": order.raw.get("original_geometry") or order.raw.get("geometry")}
