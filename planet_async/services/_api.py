"""What the services share: the transport stack, and the way from a path to a model."""

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from operator import attrgetter
from typing import Any, TypeVar

from msgspec import Raw

from planet_async._loops import PerLoop
from planet_async._version import __version__
from planet_async.clock import Clock
from planet_async.config import Config, Schedule
from planet_async.exactly_once import Created, ExactlyOnce, ResourceKind, create_registry
from planet_async.http import REPEATABLE_METHODS, Request, Response, Transport, origin
from planet_async.layers.compression import ACCEPTED
from planet_async.models.codec import decode
from planet_async.models.orders import Order
from planet_async.models.subscriptions import Subscription
from planet_async.models.tasking import TaskingOrder
from planet_async.offset_paging import OffsetPaginator
from planet_async.paging import TASKING_PAGES, PageFormat, Paginator
from planet_async.waiting.poller import Poll, Poller
from planet_async.waiting.sweep import Identified, ListQueries

T = TypeVar("T")
Thing = TypeVar("Thing", bound=Identified)
Waits = PerLoop[MutableMapping[tuple[str, Schedule], Poller[Any]]]
Params = Sequence[tuple[str, str]]

_STREAM_HEADERS = {
    "accept": "application/json",
    "user-agent": f"planet-async/{__version__}",
    "x-planet-app": "planet-async",
}
_HEADERS = {**_STREAM_HEADERS, "accept-encoding": ACCEPTED}
_HEADERS_WITH_BODY = {**_HEADERS, "content-type": "application/json"}


def _decoder(cls: type[T]) -> Callable[[Raw, Request], T]:
    return lambda item, request: decode(cls, item, request=request)


class Api:
    """Sends requests to paths of the API through one stack of layers.

    Nobody sleeps by `clock` when the client is closed; what outlives the client goes by `lasting_clock`.
    """

    def __init__(
        self, transport: Transport, config: Config, clock: Clock, lasting_clock: Clock, waits: Waits
    ) -> None:
        self.transport = transport
        self.config = config
        self.clock = clock
        self.lasting_clock = lasting_clock
        self._waits = waits

    def request(
        self,
        method: str,
        path: str,
        *,
        operation: str,
        params: Params = (),
        body: bytes | None = None,
        repeatable: bool | None = None,
        stream: bool = False,
    ) -> Request:
        """Make a request to a path, or to an absolute URL that the API gave."""
        url = path if "://" in path else self.config.base_url + path
        headers = _STREAM_HEADERS if stream else _HEADERS
        return Request(
            method,
            url,
            params=tuple(params),
            headers=headers if body is None else _HEADERS_WITH_BODY,
            body=body,
            operation=operation,
            repeatable=method in REPEATABLE_METHODS if repeatable is None else repeatable,
            stream=stream,
        )

    async def send(self, request: Request) -> Response:
        """Send a request through all layers."""
        return await self.transport.send(request)

    async def call(self, cls: type[T], request: Request) -> T:
        """Send, and decode the answer."""
        response = await self.transport.send(request)
        content_type = response.headers.get("content-type", "")
        return decode(cls, await response.read(), request=request, content_type=content_type)

    def paginate(self, cls: type[T], request: Request, shape: PageFormat) -> Paginator[T]:
        """Make the list that starts with that request."""
        return Paginator(self.transport, request, shape, _decoder(cls))

    def paginate_offsets(self, cls: type[T], request: Request, concurrency: int) -> OffsetPaginator[T]:
        """Make the list of the Tasking API that starts with that request, some pages fetched side by side."""
        return OffsetPaginator(self.transport, request, TASKING_PAGES, _decoder(cls), concurrency)

    def shared_wait(
        self, noun: str, poll: Poll[Thing], schedule: Schedule, lists: ListQueries[Thing] | None = None
    ) -> Poller[Thing]:
        """Give the waiting for things of one kind, which a client has in common with its views."""
        waits = self._waits.here()
        found = waits.get((noun, schedule))
        if found is None:
            found = Poller(poll, clock=self.clock, schedule=schedule, lists=lists)
            waits[noun, schedule] = found
        return found


C = TypeVar("C", bound=Created)


def creating_orders(api: Api, list_: Callable[..., Paginator[Order]]) -> ExactlyOnce[Order]:
    """Create orders."""
    kind = ResourceKind[Order](
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
    kind = ResourceKind[Subscription](
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
    kind = ResourceKind[TaskingOrder](
        "tasking order",
        "geometry",
        lambda name: list_(name=name, ordering="-created_time").pages(),
        attrgetter("created_time"),
        _tasking_order_as_asked,
    )
    return _exactly_once(api, kind)


def _exactly_once(api: Api, kind: ResourceKind[C]) -> ExactlyOnce[C]:
    address = origin(api.config.base_url)
    return ExactlyOnce(
        kind, api.config, api.clock, lambda: create_registry(api.lasting_clock, address, kind.noun)
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
