"""The public API as a user types it: checked by mypy, never run."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, assert_type

import aiohttp
import httpx
import httpx2

import planet_async
from planet_async import (
    DOCUMENTED_RATES,
    AiohttpTransport,
    ApiKey,
    Archive,
    Asset,
    BasemapProduct,
    BearerToken,
    BulkResult,
    CatalogSource,
    Clip,
    Clock,
    Config,
    DownloadedFiles,
    DownloadedOrder,
    HttpxTransport,
    Item,
    OpenFile,
    Order,
    OrderRequest,
    OrderState,
    OrderStats,
    Outcome,
    Page,
    Paginator,
    Planet,
    PlanetError,
    PricingRequest,
    Progress,
    Request,
    Response,
    SceneProduct,
    Schedule,
    Search,
    SearchRequest,
    SentinelHub,
    StatusError,
    SubscriptionRequest,
    SystemClock,
    TaskingOrderRequest,
    Transport,
    WaitTimeout,
    Window,
    standard_stack,
    where,
)
from planet_async.frames import to_geodataframe, to_pandas, to_polars
from planet_async.simulator import Simulator
from planet_async.testing import FakeClock, FakeTransport, reply


async def making_a_client(anything: Transport) -> None:
    async with Planet() as planet:
        assert_type(planet, Planet)
    config = Config(
        read_timeout=120, rates={"orders": (Window(3), Window(100, 60.0))}, schedule=Schedule(first=5)
    )
    planet = Planet(config, credentials=BearerToken("..."), transport=anything, clock=SystemClock())
    assert_type(planet.with_options(deadline=5, schedule=Schedule(first=1)), Planet)
    assert_type(await planet.aclose(), None)
    assert_type(standard_stack(anything, config, ApiKey("..."), SystemClock()), Transport)


async def making_a_client_of_mine(
    client: httpx.AsyncClient,
    client2: httpx2.AsyncClient,
    session: aiohttp.ClientSession,
    wrong: httpx.Client,
) -> None:
    Planet(api_key="...", transport="httpx2")
    Planet(Config(max_attempts=1), api_key="...", transport=client)
    Planet(api_key="...", transport=client2)
    Planet(api_key="...", transport=session)
    Planet(api_key="...", transport=HttpxTransport(client))
    Planet(api_key="...", transport=HttpxTransport(client2))
    Planet(api_key="...", transport=HttpxTransport(library="httpx2"))
    Planet(api_key="...", transport=AiohttpTransport(session, Config()))
    Planet(api_key="...", transport="requests")  # type: ignore[arg-type]
    Planet(api_key="...", transport=wrong)  # type: ignore[arg-type]
    Planet("...")  # type: ignore[arg-type]
    Planet(credentials="...")  # type: ignore[arg-type]


def configuring(path: Path) -> None:
    config = Config(proxy="socks5://user:password@proxy:1080", ca_file=path, trust_env=False, max_downloads=4)
    assert_type(config.proxy, str | None)
    assert_type(config.ca_file, Path | None)
    assert_type(config.base_url, str)
    assert_type(config.rates, Mapping[str, tuple[Window, ...]])
    Config(ca_file="company.pem", client_cert="both.pem", rates={})
    Config(client_cert=("cert.pem", "key.pem"), rates=DOCUMENTED_RATES)
    Config(client_cert=("cert.pem", "key.pem", "password"), rates={"orders": [Window(1)]})
    Config(client_cert=("cert.pem",))  # type: ignore[arg-type]
    Config("https://api.planet.com")  # type: ignore[call-arg]


def requests(area: Mapping[str, Any]) -> None:
    scenes = SceneProduct(["20221221_084022_18_2414"], "PSScene", ["analytic_udm2", "visual"])
    request = OrderRequest("field 7", [scenes], tools=[Clip(area), {"new": {}}], delivery=Archive())
    assert_type(request.source_type, str | None)
    assert_type(request.to_dict(), dict[str, Any])
    OrderRequest("field 7", [BasemapProduct("m", geometry=area), {"mosaic_name": "m", "quad_ids": ["1-2"]}])
    OrderRequest("field 7", [scenes], delivery={"amazon_s3": {}}, hosting=SentinelHub())
    OrderRequest("field 7", scenes)  # type: ignore[arg-type]
    OrderRequest("field 7")  # type: ignore[call-arg]
    now = datetime.now(UTC)
    tasking = TaskingOrderRequest("n", {"type": "Point", "coordinates": [7, 46]}, start_time=now)
    assert_type(tasking.name, str)
    assert_type(tasking.start_time, str | None)
    PricingRequest({"type": "Point", "coordinates": [7, 46]}, product="x")
    TaskingOrderRequest({"type": "Point", "coordinates": [7, 46]})  # type: ignore[arg-type,call-arg]
    source = CatalogSource(["PSScene"], ["ortho_visual"], area, "2026-01-01T00:00:00Z", now)
    SubscriptionRequest("x", source, tools=[Clip()], hosting=SentinelHub())


async def orders(planet: Planet, request: OrderRequest) -> None:
    order = await planet.orders.create(request)
    assert_type(order, Order)
    assert_type(await planet.orders.create({"name": "field", "products": []}), Order)
    assert_type(order.id, str)
    assert_type(order.state, OrderState)
    assert_type(order.raw, Mapping[str, Any])
    assert_type(await planet.orders.get(order.id), Order)
    assert_type(await planet.orders.cancel(order.id), Order)
    assert_type(await planet.orders.cancel_many([order.id]), BulkResult)
    assert_type(await planet.orders.cancel_all(), BulkResult)
    assert_type(await planet.orders.stats(), OrderStats)


async def records(planet: Planet, order: Order, item: Item) -> None:
    assert_type(Order.from_dict(order.to_dict(signed_links=True)), Order)
    assert_type(OrderRequest.from_dict({"name": "field 7", "products": []}), OrderRequest)
    assert_type(order.to_json(), str)
    async for seen in planet.orders.watch(order.id, timeout=60):
        assert_type(seen, Order)
    await to_pandas(planet.orders.list())
    await to_pandas([order, item])
    await to_pandas(planet.subscriptions.results_csv("1"))
    await to_pandas(planet.reports.rows("1"))
    await to_geodataframe(planet.data.search("PSScene"))
    await to_polars([{"any": "mapping"}])
    await to_polars(7)  # type: ignore[arg-type]


async def lists(planet: Planet) -> None:
    listed = planet.orders.list(state=["queued", OrderState.RUNNING], name__contains="field", page_size=50)
    assert_type(listed, Paginator[Order])
    async for order in listed:
        assert_type(order, Order)
    async for page in listed.pages():
        assert_type(page, Page[Order])
        assert_type(page.items, list[Order])
    assert_type(await listed.collect(limit=10), list[Order])
    assert_type(await listed.first(), Order | None)


async def searching(planet: Planet, area: object) -> None:
    filter_ = where.cloud_cover.below(0.1) & where.permission() & {"type": "AssetFilter", "config": ["a"]}
    results = planet.data.search(["PSScene"], filter=filter_, geometry=area, sort="acquired asc")
    async for item in results:
        assert_type(item, Item)
        assert_type(item.acquired, datetime | None)
        assert_type(item.properties.gsd, float | None)
        assert_type(await planet.data.assets(item), dict[str, Asset])
        assert_type(await planet.data.download(item, "ortho_udm2", "data"), DownloadedFiles)
    requests = results.orders("visual", name="field", tools=[Clip(area), {"clip": {}}])
    assert_type(requests, AsyncIterator[OrderRequest])
    async for outcome in planet.orders.run(requests, to="data"):
        assert_type(outcome, Outcome[DownloadedOrder])
    assert_type(await planet.data.searches.list().collect(), list[Search])
    assert_type(await planet.data.searches.create(SearchRequest("PSScene", filter_, name="mine")), Search)


async def waiting(planet: Planet, order: Order) -> None:
    def show(order: Order) -> None:
        assert_type(order.state, OrderState)

    assert_type(await planet.orders.wait(order.id, timeout=60, on_update=show), Order)
    outcomes = planet.orders.wait_many([order.id], timeout=60)
    assert_type(outcomes, AsyncIterator[Outcome[Order]])
    async for outcome in outcomes:
        assert_type(outcome.value, Order | None)
        assert_type(outcome.error, PlanetError | None)
        assert_type(outcome.unwrap(), Order)


async def downloads(planet: Planet, order: Order) -> None:
    def show(progress: Progress) -> None:
        assert_type(progress.size, int | None)

    assert_type(await planet.orders.download(order, to="data", progress=show), DownloadedFiles)
    assert_type(await planet.orders.download(order.id, Path("data"), overwrite=True), DownloadedFiles)
    await planet.orders.download(order, to="data", progress=True)
    opening = planet.orders.open(order.results[0])
    assert_type(opening, AbstractAsyncContextManager[OpenFile])
    async with opening as file:
        async for chunk in file:
            assert_type(chunk, bytes)
    async for outcome in planet.orders.run([{"name": "field", "products": []}], to="data"):
        assert_type(outcome, Outcome[DownloadedOrder])
        assert_type(outcome.unwrap().paths, tuple[Path, ...])


async def anything_else(planet: Planet) -> None:
    response = await planet.request("GET", "/x", params={"a": "b"})
    assert_type(response, Response)
    assert_type(await response.read(), bytes)
    async for chunk in response.chunks():
        assert_type(chunk, bytes)


def errors(error: Exception) -> None:
    match error:
        case StatusError():
            assert_type(error.status, int)
            assert_type(error.retry_after, float | None)
        case WaitTimeout():
            assert_type(error.request, Request | None)
        case _:
            raise error


class Mine:
    """A transport of the user's own needs no base class."""

    async def send(self, request: Request) -> Response:
        return reply(json={"seen": request.url})

    async def aclose(self) -> None:
        """Do nothing."""


def fakes() -> None:
    clock: Clock = FakeClock()
    for transport in (FakeTransport([reply(503)]), Simulator(clock=clock), Mine()):
        Planet(credentials=ApiKey("..."), transport=transport, clock=clock)


def a_mistyped_name() -> None:
    """Names are loaded late, and known early all the same."""
    raise planet_async.NotFond  # type: ignore[attr-defined]
