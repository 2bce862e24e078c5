"""`Simulator`: a Planet in memory, which is a `Transport` and can be served over HTTP."""

import base64
import heapq
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode, urlsplit

import anyio
import anyio.lowlevel
import msgspec

from planet_async.clock import Clock, SystemClock
from planet_async.errors import ConnectError, ConnectionLost, InvalidRequest, PlanetError, TransportTimeout
from planet_async.http import Request, Response, Transport, origin
from planet_async.simulator.basemaps import BasemapsApi
from planet_async.simulator.context import Context, ListOrder, after
from planet_async.simulator.data import AssetPlan, DataApi
from planet_async.simulator.data import Plan as AssetPlans
from planet_async.simulator.destinations import DestinationsApi
from planet_async.simulator.faults import Faults, Gate, Limits
from planet_async.simulator.features import FeaturesApi
from planet_async.simulator.files import Folder, Storage
from planet_async.simulator.http import (
    Dropped,
    Hung,
    Origin,
    Refused,
    ResponseBody,
    Route,
    Router,
    ServerRequest,
    ServerResponse,
    message,
)
from planet_async.simulator.orders import Order, OrderPlan, OrdersApi
from planet_async.simulator.orders import Plan as OrderPlans
from planet_async.simulator.quota import QuotaApi
from planet_async.simulator.reports import ReportPlan, ReportsApi
from planet_async.simulator.subscriptions import Plan as SubscriptionPlans
from planet_async.simulator.subscriptions import Subscription, SubscriptionPlan, SubscriptionsApi
from planet_async.simulator.tasking import Plan as TaskingPlans
from planet_async.simulator.tasking import TaskingApi, TaskingOrder, TaskingPlan
from planet_async.simulator.webhooks import Webhooks
from planet_async.simulator.windows import SearchPlan

READ_TIMEOUT = 60.0
"""Seconds of the simulator's clock after which a request of this process that hangs ends in a timeout."""

Handle = Callable[[], ServerResponse]
_STORAGE = Route("GET", "", "storage.get", lambda _: ServerResponse(404))  # `Storage` responds


class Simulator:
    """A Planet in memory: orders that progress with the clock, deliveries, limits and faults.

    In this process it is a `Transport`, on asyncio and trio; `serve` puts it on loopback sockets.  In its
    source, what is documented or recorded is marked [H], what one source says [M], and what is not known
    of the real API [L].

        simulator = Simulator(clock=clock, plan=OrderPlan(queue_seconds=0, run_seconds=60))
        async with Planet(credentials=ApiKey("any"), transport=simulator, clock=clock) as planet:
            order = await planet.orders.create(request)
        assert simulator.requests["orders.create"] == 1
        assert simulator.orders[order.id].state == "queued"

    `requests` counts what arrived, by operation; `responses` what was sent, by operation and status.
    `operations` are the names of all operations.

    What real services do otherwise than documented are options, too: names, clocks and lists here, the files
    of an order in `OrderPlan`, and single responses in `Fault`.

    Args:
        clock: The time of the service; that of this machine by default.
        api_key: The only credential that is accepted; by default any is, but one is required.
        limits: The rate limits; those documented by default.
        plan: What becomes of orders.
        file_bytes: The size of a delivered raster.
        link_seconds: How long download links are valid.
        page_size: The items of a page, where the request does not say.
        max_queued: How many orders may be queued before `create` responds 409.
        tasking_plan: What becomes of tasking orders.
        search_plan: What becomes of searches for imaging windows.
        report_plan: Which usage reports there are.
        subscription_plan: What becomes of subscriptions.
        asset_plan: What becomes of assets that are activated.
        catalog_days: For how many days, the last of them 30 December 2025, there are scenes: about 50 a day.
        quota: The square kilometres that can be reserved of each product.
        change_name: How the service changes the names of what is created; `NAME_CHANGES` has some.
        database_lag: By how many seconds the times of resources are behind the Date of the responses.
        date_header: Whether responses have a Date.
        list_delay: After how many seconds lists have what was created.
        list_order: How lists are sorted: as ``"requested"``, by creation with the ``"oldest"`` first, or
            ``"shuffled"``.
        seed: The same seed makes the same ids and the same random faults.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        api_key: str | None = None,
        limits: Limits | None = None,
        plan: OrderPlans = OrderPlan(),  # noqa: B008 - frozen
        file_bytes: int = 4096,
        link_seconds: float = 3600.0,
        page_size: int = 20,
        max_queued: int = 10_000,
        tasking_plan: TaskingPlans = TaskingPlan(),  # noqa: B008 - frozen
        search_plan: SearchPlan = SearchPlan(),  # noqa: B008 - frozen
        report_plan: ReportPlan = ReportPlan(),  # noqa: B008 - frozen
        subscription_plan: SubscriptionPlans = SubscriptionPlan(),  # noqa: B008 - frozen
        asset_plan: AssetPlans = AssetPlan(),  # noqa: B008 - frozen
        catalog_days: int = 120,
        quota: float = 100_000.0,
        change_name: Callable[[str], str] = str,
        database_lag: float = 0.0,
        date_header: bool = True,
        list_delay: float = 0.0,
        list_order: ListOrder = "requested",
        seed: int = 0,
    ) -> None:
        self.clock: Clock = clock or SystemClock()
        self.faults: Faults = Faults(seed)
        self.requests: Counter[str] = Counter()
        self.responses: Counter[tuple[str, int]] = Counter()
        self.open_responses: int = 0
        self._context = Context(
            clock=self.clock,
            base_url="https://api.planet.com",
            storage_url="https://storage.planet.example",
            link_seconds=link_seconds,
            page_size=page_size,
            change_name=change_name,
            database_lag=database_lag,
            list_delay=list_delay,
            list_order=list_order,
            seed=seed,
        )
        self._date_header = date_header
        self._gate = Gate(limits or Limits())
        self._credentials = None if api_key is None else _credentials(api_key)
        self._storage = Storage(self._context, self._folder)
        orders = OrdersApi(
            self._context, plan=plan, max_queued=max_queued, file_bytes=file_bytes, storage=self._storage
        )
        tasking = TaskingApi(self._context, plan=tasking_plan, search_plan=search_plan)
        reports = ReportsApi(self._context, plan=report_plan)
        features = FeaturesApi(self._context)
        subscriptions = SubscriptionsApi(
            self._context, plan=subscription_plan, features_of=features.features_of
        )
        self._orders, self._tasking, self._subscriptions = orders, tasking.store, subscriptions.store
        self._data = DataApi(
            self._context,
            plan=asset_plan,
            days=catalog_days,
            file_bytes=file_bytes,
            storage=self._storage,
            areas_of=features.areas_of,
        )
        self._basemaps = BasemapsApi(
            self._context, days=catalog_days, file_bytes=file_bytes, storage=self._storage
        )
        self._webhooks = Webhooks(orders, self._subscriptions)
        apis = (
            orders,
            subscriptions,
            tasking,
            reports,
            self._data,
            features,
            DestinationsApi(self._context),
            self._basemaps,
            QuotaApi(self._context, features_of=features.features_of, quota=quota),
        )
        routes = [route for api in apis for route in api.routes()]
        self._router = Router(routes)
        self.operations: frozenset[str] = frozenset(route.operation for route in (*routes, _STORAGE))
        self._late: list[tuple[int, int, Handle]] = []  # when, a number, what to do
        self._lock = threading.Lock()

    @property
    def orders(self) -> Mapping[str, Order]:
        """The orders by id, as they are now; copy it to iterate while another thread serves."""
        self._act_late()
        return MappingProxyType(self._orders.store.by_id)

    @property
    def subscriptions(self) -> Mapping[str, Subscription]:
        """The subscriptions by id, as they are now; copy it to iterate while another thread serves."""
        self._act_late()
        return MappingProxyType(self._subscriptions.by_id)

    @property
    def tasking_orders(self) -> Mapping[str, TaskingOrder]:
        """The tasking orders by id."""
        self._act_late()
        return MappingProxyType(self._tasking.by_id)

    @property
    def base_url(self) -> str:
        """The address of the API."""
        return self._context.base_url

    @property
    def storage_url(self) -> str:
        """The address of the files: another origin."""
        return self._context.storage_url

    def move_to(self, base_url: str, storage_url: str) -> None:
        """Change the addresses, and all links with them; `serve` does that."""
        self._context.base_url, self._context.storage_url = base_url, storage_url

    def move_clock(self, seconds: float) -> None:
        """Set the server's clock forward or, with less than 0, back; what is due at a time follows it."""
        self._context.move_clock(seconds)

    def add_past_orders(self, requests: Sequence[Mapping[str, Any]], seconds_apart: float) -> None:
        """Add orders as if they had been placed one after the other until now; no limit applies to them."""
        self.move_clock(-seconds_apart * len(requests))
        for request in requests:
            body = msgspec.json.encode(request)
            response = self._orders.create(ServerRequest("api", "POST", "", body=body))
            if response.status != HTTPStatus.ACCEPTED:
                raise InvalidRequest(f"the simulator does not take {request}")
            self.move_clock(seconds_apart)

    def notifications(self) -> list[Request]:
        """Return the notifications of webhooks that have become due, each once, as Planet would send them.

        The body of an order's notification is documented, that of a subscription's is not [L].
        """
        self._act_late()
        return list(self._webhooks.due(self._context.now()))

    async def post_notifications(self, network: Transport, every: float = 1.0) -> None:
        """Send `notifications` until cancelled.  What fails is not sent again [L].

        Args:
            network: Sends the requests.
            every: The seconds between two checks for what is due.
        """
        while True:
            for request in self.notifications():
                with suppress(PlanetError):
                    await (await network.send(request)).aclose()
            await self.clock.sleep(every)

    async def send(self, request: Request) -> Response:
        """Return the response, or fail as a network would; see `planet_async.http.Transport`."""
        await anyio.lowlevel.checkpoint()
        try:
            found = await self.respond(_server_request(request, self._origin(request)))
        except Dropped as drop:
            if drop.refused:
                raise ConnectError("could not connect: refused by the simulator", request=request) from None
            text = "the connection broke off: dropped by the simulator"
            raise ConnectionLost(text, request=request) from None
        except Hung:
            await self.clock.sleep(READ_TIMEOUT)
            raise TransportTimeout(
                "nothing moved for too long: the simulator hangs", request=request
            ) from None
        body = ResponseBody(request, found, self.clock)

        def close() -> None:
            self.open_responses -= 1

        self.open_responses += 1
        response = Response(found.status, found.all_headers, body, url=request.url, close=close)
        if not request.stream:
            await response.read()
        return response

    async def aclose(self) -> None:
        """Do nothing: there is no connection, and the state can still be read."""

    async def respond(self, request: ServerRequest) -> ServerResponse:
        """Return the response to a request; raise Dropped or Hung where a fault sends none."""
        route, ids = self._router.find(request) if request.origin == "api" else (_STORAGE, ())
        request.operation = route.operation
        self.requests[request.operation] += 1
        self._act_late()
        fault = self.faults.take(request)
        if fault is None:
            response = await self._act(request, route, ids)
        else:
            if not fault.after:
                await self.clock.sleep(fault.delay)
            acted = await self._act(request, route, ids) if fault.acts else None
            if fault.after:
                await self.clock.sleep(fault.delay)
            if fault.acts_after is not None:
                due = after(self._context.now(), fault.acts_after)
                handle: Handle = partial(self._handle, request, route, ids)
                heapq.heappush(self._late, (due, self.requests.total(), handle))
            response = fault.apply(acted)
        self.responses[request.operation, response.status] += 1
        if self._date_header:
            response.headers.setdefault("date", self._context.date())
        return response

    def _act_late(self) -> None:
        """Act on the requests that are due, each at its own moment."""
        with self._lock:
            while self._late and self._late[0][0] <= self._context.now():
                moment, _, handle = heapq.heappop(self._late)
                with self._context.at(moment):
                    handle()

    async def _act(self, request: ServerRequest, route: Route, ids: tuple[str, ...]) -> ServerResponse:
        if route is _STORAGE:
            return await self._storage.respond(request)
        if route.needs_credential and not self._is_known(request.headers.get("authorization", "")):
            return message(401, "Please provide a valid API key or access token")
        if (refusal := self._gate.check(request.operation, self._context.elapsed())) is not None:
            return refusal
        # States follow from the time: an order must not finish between its results and its state.
        with self._context.at(self._context.now()):
            return self._handle(request, route, ids)

    @staticmethod
    def _handle(request: ServerRequest, route: Route, ids: tuple[str, ...]) -> ServerResponse:
        try:
            return route.handler(request, *ids)
        except Refused as refused:
            return refused.response

    def _is_known(self, authorization: str) -> bool:
        scheme, _, credential = authorization.partition(" ")
        if self._credentials is None:
            return bool(credential) and scheme.lower() in {"basic", "api-key", "bearer"}
        return (scheme.lower(), credential) in self._credentials

    def _folder(self, name: str) -> Folder:
        return self._data.folder(name) or self._basemaps.folder(name) or self._orders.folder(name)

    def _origin(self, request: Request) -> Origin:
        target = origin(request.url)
        if target in {origin(self.base_url), origin(self._context.tiles_url)}:
            return "api"
        if target == origin(self.storage_url):
            return "storage"
        raise ConnectError(
            f"could not connect: the simulator has no {target[1]}:{target[2]}",
            request=request,
            hint="Its address is `simulator.base_url`: Config(base_url=...).",
        )


def _credentials(api_key: str) -> frozenset[tuple[str, str]]:
    basic = base64.b64encode(f"{api_key}:".encode()).decode()
    return frozenset({("basic", basic), ("api-key", api_key), ("bearer", api_key)})


def _server_request(request: Request, where: Origin) -> ServerRequest:
    parts = urlsplit(request.url)
    query = "&".join(filter(None, (parts.query, urlencode(request.params))))
    headers = {name.lower(): value for name, value in request.headers.items()}
    return ServerRequest(where, request.method, parts.path or "/", query, headers, request.body or b"")
