"""`Simulator`: a Planet in memory, which is a `Transport` and can be served over HTTP."""

import base64
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from types import MappingProxyType
from urllib.parse import urlencode, urlsplit

import anyio
import anyio.lowlevel

from planet_async.clock import Clock, SystemClock
from planet_async.errors import ConnectError, ConnectionLost, PlanetError, TransportTimeout
from planet_async.http import Request, Response, Transport, origin
from planet_async.simulator.faults import Faults, Gate, Limits
from planet_async.simulator.files import Delivery, Storage
from planet_async.simulator.http import (
    AnswerBody,
    Dropped,
    Hung,
    Origin,
    Refused,
    Route,
    Router,
    ServerRequest,
    ServerResponse,
    message,
)
from planet_async.simulator.order_book import Order, OrderJson, OrderPlan, Plan
from planet_async.simulator.orders import OrdersApi
from planet_async.simulator.reports import ReportPlan, ReportsApi
from planet_async.simulator.subscription_book import Plan as SubscriptionPlans
from planet_async.simulator.subscription_book import Subscription, SubscriptionPlan
from planet_async.simulator.subscriptions import SubscriptionsApi
from planet_async.simulator.tasking import SearchPlan, TaskingApi
from planet_async.simulator.tasking_book import Plan as TaskingPlans
from planet_async.simulator.tasking_book import TaskingOrder, TaskingPlan
from planet_async.simulator.webhooks import Webhooks
from planet_async.simulator.world import Context, http_date

READ_TIMEOUT = 60.0
"""Seconds of the simulator's clock after which a client in process gives up on a fault that hangs."""

_DELIVERIES_KEPT = 256
_STORAGE = Route("GET", "", "storage.get", lambda _: ServerResponse(404))  # `Storage` answers


class Simulator:
    """A Planet in memory: orders that move with the clock, deliveries, limits and faults.

    In process it is a `Transport`, on asyncio and trio; `serve` puts it on loopback sockets.  `plan` says
    what becomes of orders; `file_bytes` is the size of a delivered raster; links hold `link_seconds`;
    `max_queued` is how many orders may be queued before `create` answers 409; `tasking_plan` says what
    becomes of tasking orders, `search_plan` of searches for imaging windows; `report_plan` says what usage
    reports there are, `subscription_plan` what becomes of subscriptions.  Without an `api_key` any credential
    will do, but there must be one.  What of the real API is not known is marked [L] in the source, what one
    source says [M], what is documented or recorded [H].

        simulator = Simulator(clock=clock, plan=OrderPlan(queue_seconds=0, run_seconds=60))
        async with Planet(credentials=ApiKey("any"), transport=simulator, clock=clock) as planet:
            order = await planet.orders.create(request)
        assert simulator.requests["orders.create"] == 1
        assert simulator.orders[order.id].state == "queued"

    `requests` counts what arrived, by operation; `answers` counts by operation and status what was sent.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        api_key: str | None = None,
        base_url: str = "https://api.planet.com",
        storage_url: str = "https://storage.planet.example",
        limits: Limits | None = None,
        plan: Plan = OrderPlan(),  # noqa: B008 - frozen
        file_bytes: int = 4096,
        link_seconds: float = 3600.0,
        page_size: int = 20,
        max_queued: int = 10_000,
        tasking_plan: TaskingPlans = TaskingPlan(),  # noqa: B008 - frozen
        search_plan: SearchPlan = SearchPlan(),  # noqa: B008 - frozen
        report_plan: ReportPlan = ReportPlan(),  # noqa: B008 - frozen
        subscription_plan: SubscriptionPlans = SubscriptionPlan(),  # noqa: B008 - frozen
        seed: int = 0,
    ) -> None:
        self.clock: Clock = clock or SystemClock()
        self.faults = Faults(seed)
        self.requests: Counter[str] = Counter()
        self.answers: Counter[tuple[str, int]] = Counter()
        self.open_responses = 0
        self._world = Context(
            clock=self.clock, base_url=base_url, storage_url=storage_url, link_seconds=link_seconds, seed=seed
        )
        self._gate = Gate(limits or Limits())
        self._credentials = None if api_key is None else _credentials(api_key)
        self._file_bytes = file_bytes
        find = lru_cache(_DELIVERIES_KEPT)(self._delivery)
        self._storage = Storage(self._world, find)
        orders = OrdersApi(
            self._world,
            plan=plan,
            max_queued=max_queued,
            page_size=page_size,
            find=find,
            address=self._storage.address,
        )
        self._book = orders.book
        tasking = TaskingApi(self._world, plan=tasking_plan, search_plan=search_plan, page_size=page_size)
        self.tasking_orders: Mapping[str, TaskingOrder] = MappingProxyType(tasking.book.by_id)
        reports = ReportsApi(self._world, plan=report_plan, page_size=page_size)
        subscriptions = SubscriptionsApi(self._world, plan=subscription_plan, page_size=page_size)
        self._subscriptions = subscriptions.book
        self._webhooks = Webhooks(self._book, OrderJson(self._world, find), self._subscriptions)
        apis = (orders, tasking, reports, subscriptions)
        self._router = Router(route for api in apis for route in api.routes())

    @property
    def orders(self) -> Mapping[str, Order]:
        """The orders by id, as they stand now; copy it to iterate while another thread serves."""
        self._book.advance(self._world.now())
        return MappingProxyType(self._book.by_id)

    @property
    def subscriptions(self) -> Mapping[str, Subscription]:
        """The subscriptions by id, as they stand now; copy it to iterate while another thread serves."""
        self._subscriptions.advance(self._world.now())
        return MappingProxyType(self._subscriptions.by_id)

    @property
    def base_url(self) -> str:
        """Where the API is."""
        return self._world.base_url

    @property
    def storage_url(self) -> str:
        """Where the files are: another origin."""
        return self._world.storage_url

    def move_to(self, base_url: str, storage_url: str) -> None:
        """Change the addresses, and with them all links; `serve` does that."""
        self._world.base_url, self._world.storage_url = base_url, storage_url

    def move_clock(self, seconds: float) -> None:
        """Set the server's clock forward or, with less than 0, back; what is due at a time follows it."""
        self._world.move_clock(seconds)

    def notifications(self) -> list[Request]:
        """Give the calls to webhooks that have become due, each once: what Planet would send, and when.

        What an order asks for is documented, what a subscription's call holds is not [L].
        """
        return list(self._webhooks.due(self._world.now()))

    async def post_notifications(self, network: Transport, every: float = 1.0) -> None:
        """Send `notifications` until cancelled, looking every so many seconds; what fails is lost [L]."""
        while True:
            for request in self.notifications():
                with suppress(PlanetError):
                    await (await network.send(request)).aclose()
            await self.clock.sleep(every)

    async def send(self, request: Request) -> Response:
        """Answer a request, or fail as a network would; see `planet_async.http.Transport`."""
        await anyio.lowlevel.checkpoint()
        call = _call(request, self._origin(request))
        try:
            answer = await self.answer(call)
        except Dropped as drop:
            if drop.refused:
                raise ConnectError("could not connect: refused by the simulator", request=request) from None
            raise ConnectionLost(
                "the connection broke off: dropped by the simulator", request=request
            ) from None
        except Hung:
            await self.clock.sleep(READ_TIMEOUT)
            raise TransportTimeout(
                "nothing moved for too long: the simulator hangs", request=request
            ) from None
        headers = {**answer.headers, "content-length": str(answer.length)}
        body = AnswerBody(request, call, answer)

        def close() -> None:
            self.open_responses -= 1

        self.open_responses += 1
        response = Response(answer.status, headers, body, url=request.url, close=close)
        if not request.stream:
            await response.read()
        return response

    async def aclose(self) -> None:
        """Do nothing: there is no connection, and the state stays to be looked at."""

    async def answer(self, call: ServerRequest) -> ServerResponse:
        """Answer a call however it came in; raises Dropped or Hung where a fault wants no answer."""
        route, ids = self._router.find(call) if call.origin == "api" else (_STORAGE, ())
        call.operation = route.operation
        self.requests[call.operation] += 1
        fault = self.faults.take(call)
        if fault is None:
            answer = await self._act(call, route, ids)
        else:
            if not fault.after:
                await self.clock.sleep(fault.delay)
            acted = await self._act(call, route, ids) if fault.acts else None
            if fault.after:
                await self.clock.sleep(fault.delay)
            answer = fault.apply(acted)
        self.answers[call.operation, answer.status] += 1
        answer.headers.setdefault("date", http_date(self._world.now()))
        return answer

    async def _act(self, call: ServerRequest, route: Route, ids: tuple[str, ...]) -> ServerResponse:
        if route is _STORAGE:
            return await self._storage.answer(call)
        if route.needs_credential and not self._is_known(call.headers.get("authorization", "")):
            return message(401, "Please provide a valid API key or access token")
        if (refusal := self._gate.check(call.operation, self._world.elapsed())) is not None:
            return refusal
        try:
            return route.handler(call, *ids)
        except Refused as refused:
            return refused.answer

    def _is_known(self, authorization: str) -> bool:
        scheme, _, credential = authorization.partition(" ")
        if self._credentials is None:
            return bool(credential) and scheme.lower() in {"basic", "api-key", "bearer"}
        return (scheme.lower(), credential) in self._credentials

    def _delivery(self, order_id: str) -> Delivery:
        order = self._book.by_id[order_id]
        partial = order.plan.state == "partial"
        return Delivery(order_id, order.request, file_bytes=self._file_bytes, partial=partial)

    def _origin(self, request: Request) -> Origin:
        target = origin(request.url)
        if target == origin(self.base_url):
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


def _call(request: Request, where: Origin) -> ServerRequest:
    parts = urlsplit(request.url)
    query = "&".join(filter(None, (parts.query, urlencode(request.params))))
    headers = {name.lower(): value for name, value in request.headers.items()}
    return ServerRequest(where, request.method, parts.path or "/", query, headers, request.body or b"")
