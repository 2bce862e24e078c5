"""Every public call of the client, ready to be made over the simulator: for what has to hold for all.

`test_every_method_is_here` (tests/promises/test_cancellation.py) sees to it that none is missing.
"""

import math
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import msgspec
from attrs import define, field

from planet_async import (
    Asset,
    AssetStatus,
    Clock,
    Mosaic,
    Order,
    Planet,
    PlanetError,
    Quad,
    SearchRequest,
    SystemClock,
    where,
)
from planet_async.jobs.ledger import DatabaseLedger
from planet_async.models.codec import decode, to_json
from planet_async.simulator import (
    AssetPlan,
    Limits,
    OrderPlan,
    ReportPlan,
    Simulator,
    SubscriptionPlan,
    TaskingPlan,
)

DELIVERY_SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
SCENE = {"item_ids": ["20240101_000000_00_1234"], "item_type": "PSScene", "product_bundle": "visual"}
S3 = {
    "bucket": "fields",
    "aws_region": "eu-central-1",
    "aws_access_key_id": "AKIAIOSFODNN7EXAMPLE",
    "aws_secret_access_key": DELIVERY_SECRET,
}
ORDER = {"name": "field 7", "products": [SCENE]}
DELIVERED_ORDER = {**ORDER, "delivery": {"amazon_s3": S3}}
POINT = {"type": "Point", "coordinates": [149.44135, 28.4924]}
POLYGON = {"type": "Polygon", "coordinates": [[[7.0, 46.5], [7.1, 46.5], [7.1, 46.6], [7.0, 46.5]]]}
SUBSCRIPTION = {
    "name": "field 7",
    "source": {
        "parameters": {
            "item_types": ["PSScene"],
            "asset_types": ["ortho_visual"],
            "geometry": POLYGON,
            "start_time": "2026-01-01T00:00:00Z",
        }
    },
    "delivery": {"type": "amazon_s3", "parameters": S3},
}
FEATURES = {
    "name": "fields",
    "source": {
        "parameters": {**SUBSCRIPTION["source"]["parameters"], "geometry": "pl:features/my/fields"}  # type: ignore[index]
    },
    "delivery": SUBSCRIPTION["delivery"],
}
TASKING_ORDER = {"name": "harbour", "geometry": POINT}
SLOW_TASKING_ORDER = {"name": "slow", "geometry": POINT}
SAN_FRANCISCO = {"type": "Point", "coordinates": [-122.35, 37.75]}
SEARCH = SearchRequest("PSScene", where.geometry(SAN_FRANCISCO), name="field 7")
NO_ASSET = Asset("ortho_udm2", AssetStatus.ACTIVATING, "PSScene", "a")
DESTINATION = {"type": "amazon_s3", "parameters": S3}
MOSAIC = "00000000-0000-4000-8000-00000000000a"
TWO_QUADS = (18.2, -34.0, 18.3, -33.9)
PRODUCT = 101
NOT_FOUND = 404
KEYS = {name: S3[name] for name in ("aws_access_key_id", "aws_secret_access_key")}
WINDOWS = {"geometry": POINT, "pl_number": "PL-1", "product": "Assured Tasking"}


def quad(link: str) -> Quad:
    """Return a quad with a link to its file."""
    links = {"_self": f"/mosaics/{MOSAIC}/quads/1-1", "download": link}
    return decode(Quad, msgspec.json.encode({"id": "1-1", "_links": links}))


def _tasking_plan(request: Mapping[str, Any], _: int) -> TaskingPlan:
    days = 0.001 if request["name"] == SLOW_TASKING_ORDER["name"] else 0
    return TaskingPlan(received_days=0, pending_days=0, in_progress_days=days)


def simulated(clock: Clock, **settings: Any) -> Simulator:
    """Return a simulator on which every call can be made again and again."""
    return Simulator(
        clock=clock,
        limits=Limits.unlimited(),
        plan=OrderPlan(queue_seconds=0.5, run_seconds=0.5),
        subscription_plan=SubscriptionPlan(run_seconds=math.inf, results=5, result_seconds=1),
        tasking_plan=_tasking_plan,
        report_plan=ReportPlan(rows=4, part_rows=2, days=3),
        asset_plan=AssetPlan(activation_seconds=0),
        catalog_days=2,
        file_bytes=64,
        page_size=2,
        **settings,
    )


@define
class Scene:
    """A client, and one of each thing that its calls are about."""

    planet: Planet
    folder: Path
    order: Order
    subscription: str
    tasking: str
    capture: str
    window: str
    bulk: str
    report: str
    search: str = "0" * 32
    item: tuple[str, str] = ("PSScene", "a")
    asset: Asset = NO_ASSET  # with its link
    activating: Asset = NO_ASSET
    downloads: int = field(default=0)
    collection: str = "fields-a"
    refs: tuple[str, ...] = ("pl:features/my/fields-a/b",)
    destination: str = "a"
    mosaic: Mosaic = field(factory=lambda: Mosaic(MOSAIC, "weekly"))
    quads: tuple[Quad, ...] = field(factory=lambda: (quad(f"/basemaps/v1/mosaics/{MOSAIC}/quads/1-1/full"),))
    reservation: int = 1
    job: int = 1
    ledger: bytes = b""

    @classmethod
    async def prepared(cls, planet: Planet, folder: Path) -> "Scene":
        for _ in range(2):  # lists have a second page
            await planet.orders.create(ORDER)
            await planet.tasking.create_bulk([TASKING_ORDER])
            await planet.subscriptions.create(SUBSCRIPTION)
        order = await planet.orders.create(ORDER)
        tasking = await planet.tasking.create(TASKING_ORDER)
        subscription = await planet.subscriptions.create(SUBSCRIPTION)
        bulk = await planet.tasking.create_bulk([TASKING_ORDER])
        search = await planet.tasking.search_imaging_windows(WINDOWS)
        await planet.tasking.wait(tasking.id)
        capture = await planet.tasking.list_captures(order_id=tasking.id).first()
        report = await planet.reports.list().first()
        assert capture is not None
        assert report is not None
        window = search.imaging_windows[0].id
        order = await planet.orders.wait(order.id)
        saved = await planet.data.searches.create(SEARCH)
        await planet.data.searches.create(SEARCH)
        found = await planet.data.search("PSScene", filter=SEARCH.filter).first()
        assert found is not None
        item = (found.item_type, found.id)
        activating = await planet.data.activate((await planet.data.assets(item))["ortho_udm2"])
        asset = await planet.data.wait(activating)
        parts = (subscription.id, tasking.id, capture.id, window, bulk.id, report.report_id)
        scene = cls(planet, folder, order, *parts, saved.id, item, asset, activating)
        await scene.prepare_areas()
        return scene

    async def prepare_areas(self) -> None:
        """Make a collection, a destination and a reservation, and find two quads."""
        planet = self.planet
        for _ in range(2):
            self.collection = (await planet.features.create("fields")).id
            await planet.destinations.create({**DESTINATION, "name": f"fields {self.collection}"[:63]})
        self.refs = tuple(await planet.features.add(self.collection, [POLYGON, POLYGON]))
        destination = await planet.destinations.list().first()
        mosaic = await planet.basemaps.list(name__contains="weekly").first()
        assert destination is not None
        assert mosaic is not None
        self.destination, self.mosaic = destination.id, mosaic
        self.quads = tuple(await planet.basemaps.quads(mosaic, bbox=TWO_QUADS).collect())
        self.reservation = (await planet.quota.reserve(PRODUCT, self.refs)).quota_reservations[0].id
        self.job = (await planet.quota.reserve_bulk(PRODUCT, self.refs)).id

    def to(self) -> Path:
        """Return a new folder to download into."""
        self.downloads += 1
        return self.latest

    @property
    def latest(self) -> Path:
        """The folder that was downloaded into last."""
        return self.folder / str(self.downloads)


Call = Callable[[Scene], Coroutine[Any, Any, object]]


async def _all(items: AsyncIterable[object]) -> list[object]:
    return [item async for item in items]


async def _first(items: AsyncIterator[object]) -> object:
    async for item in items:
        return item
    return None


async def _work(scene: Scene) -> None:
    """Do what a ledger has, with one request in it."""
    folder = scene.to()
    path = folder.with_name(f"{folder.name}.ledger")
    if not scene.ledger:
        async with DatabaseLedger(path, SystemClock(), durable=False) as ledger:
            await ledger.add([ledger.request("", to_json(ORDER))])
        scene.ledger = path.read_bytes()
    path.write_bytes(scene.ledger)
    outcomes: Any = scene.planet.orders.work(folder, ledger=path)
    try:
        await _outcomes(outcomes)
    finally:  # else the ledger would be closed some time later, in a thread
        await outcomes.aclose()


async def _outcomes(items: AsyncIterable[Any]) -> list[object]:
    return [outcome.unwrap() async for outcome in items]


async def _read(opened: Any) -> list[object]:
    async with opened as file:
        return await _all(file)


async def _kept(call: Awaitable[object]) -> object:
    """Make a call that is refused where the thing is as it should be already."""
    try:
        return await call
    except PlanetError as error:
        if getattr(error, "status", 0) not in {400, 409}:
            raise
        return error


async def _gone(call: Awaitable[object]) -> object:
    """Make a call about what may not be there."""
    try:
        return await call
    except PlanetError as error:
        if getattr(error, "status", 0) != NOT_FOUND:
            raise
        return error


async def _wait_for_new(service: Any, request: Mapping[str, object]) -> object:
    """Wait for what is not finished yet."""
    return await service.wait((await service.create(request)).id)


async def _wait_for_new_ones(service: Any, request: Mapping[str, object]) -> object:
    return await _outcomes(service.wait_many([(await service.create(request)).id for _ in range(2)]))


async def _created_many(scene: Scene) -> object:
    return await (await scene.planet.subscriptions.create_bulk([FEATURES])).first()


async def _deleted(planet: Planet) -> None:
    await planet.data.searches.delete((await planet.data.searches.create(SEARCH)).id)


ORDERS: Mapping[str, Call] = {
    "orders.get": lambda s: s.planet.orders.get(s.order.id),
    "orders.list": lambda s: _all(s.planet.orders.list()),
    "orders.list, left": lambda s: _first(aiter(s.planet.orders.list())),
    "orders.list, collected": lambda s: s.planet.orders.list().collect(3),
    "orders.list, its pages": lambda s: _all(s.planet.orders.list().pages()),
    "orders.cancel": lambda s: _kept(s.planet.orders.cancel(s.order.id)),
    "orders.cancel_many": lambda s: s.planet.orders.cancel_many([s.order.id]),
    "orders.cancel_all": lambda s: s.planet.orders.cancel_all(),
    "orders.stats": lambda s: s.planet.orders.stats(),
    "orders.wait": lambda s: s.planet.orders.wait(s.order.id),
    "orders.wait_many": lambda s: _outcomes(s.planet.orders.wait_many([s.order.id])),
    "orders.watch": lambda s: _all(s.planet.orders.watch(s.order.id)),
    "orders.download": lambda s: s.planet.orders.download(s.order.id, s.to()),
    "orders.open": lambda s: _read(s.planet.orders.open(s.order.results[0])),
    "orders.create": lambda s: s.planet.orders.create(DELIVERED_ORDER),
    "orders.wait, for a new one": lambda s: _wait_for_new(s.planet.orders, ORDER),
    "orders.wait_many, for new ones": lambda s: _wait_for_new_ones(s.planet.orders, ORDER),
    "orders.run": lambda s: _outcomes(s.planet.orders.run([ORDER], s.to())),
    "orders.work": _work,
}
SUBSCRIPTIONS: Mapping[str, Call] = {
    "subscriptions.get": lambda s: s.planet.subscriptions.get(s.subscription),
    "subscriptions.list": lambda s: _all(s.planet.subscriptions.list(page_size=1)),
    "subscriptions.update": lambda s: s.planet.subscriptions.update(s.subscription, SUBSCRIPTION),
    "subscriptions.patch": lambda s: s.planet.subscriptions.patch(s.subscription, {"name": "field 8"}),
    "subscriptions.suspend": lambda s: _kept(s.planet.subscriptions.suspend(s.subscription)),
    "subscriptions.reactivate": lambda s: _kept(s.planet.subscriptions.reactivate(s.subscription)),
    "subscriptions.suspend_many": lambda s: _kept(s.planet.subscriptions.suspend_many([s.subscription])),
    "subscriptions.reactivate_many": lambda s: _kept(
        s.planet.subscriptions.reactivate_many([s.subscription])
    ),
    "subscriptions.suspend_all": lambda s: _kept(s.planet.subscriptions.suspend_all()),
    "subscriptions.reactivate_all": lambda s: _kept(s.planet.subscriptions.reactivate_all()),
    "subscriptions.summary": lambda s: s.planet.subscriptions.summary(),
    "subscriptions.results": lambda s: _all(s.planet.subscriptions.results(s.subscription)),
    "subscriptions.results_csv": lambda s: _all(s.planet.subscriptions.results_csv(s.subscription)),
    "subscriptions.results_summary": lambda s: s.planet.subscriptions.results_summary(s.subscription),
    "subscriptions.wait": lambda s: s.planet.subscriptions.wait(s.subscription, "running"),
    "subscriptions.wait_many": lambda s: _outcomes(
        s.planet.subscriptions.wait_many([s.subscription], "running")
    ),
    "subscriptions.watch": lambda s: _first(s.planet.subscriptions.watch(s.subscription)),
    "subscriptions.cancel": lambda s: _kept(s.planet.subscriptions.cancel(s.subscription)),
    "subscriptions.create": lambda s: s.planet.subscriptions.create(SUBSCRIPTION),
    "subscriptions.create_bulk": _created_many,
}
TASKING: Mapping[str, Call] = {
    "tasking.get": lambda s: s.planet.tasking.get(s.tasking),
    "tasking.list": lambda s: _all(s.planet.tasking.list()),
    "tasking.list, side by side": lambda s: _all(s.planet.tasking.list(concurrency=3)),
    "tasking.list, collected": lambda s: s.planet.tasking.list(concurrency=3).collect(5),
    "tasking.update": lambda s: _kept(s.planet.tasking.update(s.tasking, {"name": "port"})),
    "tasking.cancel": lambda s: _kept(s.planet.tasking.cancel(s.tasking)),
    "tasking.wait": lambda s: s.planet.tasking.wait(s.tasking),
    "tasking.wait_many": lambda s: _outcomes(s.planet.tasking.wait_many([s.tasking])),
    "tasking.watch": lambda s: _all(s.planet.tasking.watch(s.tasking)),
    "tasking.pricing": lambda s: s.planet.tasking.pricing(s.tasking),
    "tasking.preview_pricing": lambda s: s.planet.tasking.preview_pricing(TASKING_ORDER),
    "tasking.preview_pricing_many": lambda s: s.planet.tasking.preview_pricing_many([TASKING_ORDER]),
    "tasking.search_imaging_windows": lambda s: s.planet.tasking.search_imaging_windows(WINDOWS),
    "tasking.get_imaging_window": lambda s: s.planet.tasking.get_imaging_window(s.window),
    "tasking.list_captures": lambda s: _all(s.planet.tasking.list_captures()),
    "tasking.get_capture": lambda s: s.planet.tasking.get_capture(s.capture),
    "tasking.get_bulk": lambda s: s.planet.tasking.get_bulk(s.bulk),
    "tasking.create": lambda s: s.planet.tasking.create(TASKING_ORDER),
    "tasking.create_bulk": lambda s: s.planet.tasking.create_bulk([TASKING_ORDER]),
    "tasking.wait, for a new one": lambda s: _wait_for_new(s.planet.tasking, SLOW_TASKING_ORDER),
    "tasking.wait_many, for new ones": lambda s: _wait_for_new_ones(s.planet.tasking, SLOW_TASKING_ORDER),
}
REPORTS: Mapping[str, Call] = {
    "reports.list": lambda s: _all(s.planet.reports.list(page_size=3)),
    "reports.get": lambda s: s.planet.reports.get(s.report),
    "reports.download": lambda s: s.planet.reports.download(s.report, s.to()),
    "reports.open": lambda s: _read(s.planet.reports.open(s.report)),
    "reports.rows": lambda s: _all(s.planet.reports.rows(s.report)),
}
DATA: Mapping[str, Call] = {
    "data.search": lambda s: _all(s.planet.data.search("PSScene", filter=SEARCH.filter, page_size=3)),
    "data.search, ordered": lambda s: _all(
        s.planet.data.search("PSScene", filter=SEARCH.filter).orders("visual", items_per_order=1)
    ),
    "data.stats": lambda s: s.planet.data.stats("PSScene", "day"),
    "data.get": lambda s: s.planet.data.get(*s.item),
    "data.assets": lambda s: s.planet.data.assets(s.item),
    "data.coverage": lambda s: s.planet.data.coverage(s.item, SAN_FRANCISCO),
    "data.activate": lambda s: s.planet.data.activate(s.asset),
    "data.wait": lambda s: s.planet.data.wait(s.activating),
    "data.wait_many": lambda s: _outcomes(s.planet.data.wait_many([s.activating])),
    "data.download": lambda s: s.planet.data.download(s.item, "ortho_udm2", s.to()),
    "data.open": lambda s: _read(s.planet.data.open(s.asset)),
    "data.item_types": lambda s: _all(s.planet.data.item_types()),
    "data.asset_types": lambda s: _all(s.planet.data.asset_types("PSScene")),
    "data.searches.get": lambda s: s.planet.data.searches.get(s.search),
    "data.searches.list": lambda s: s.planet.data.searches.list(page_size=1).collect(2),
    "data.searches.update": lambda s: s.planet.data.searches.update(s.search, SEARCH),
    "data.searches.delete": lambda s: _deleted(s.planet),
    "data.searches.run": lambda s: _all(s.planet.data.searches.run(s.search, page_size=3)),
    "data.searches.create": lambda s: s.planet.data.searches.create(SEARCH),
}
COLLECTIONS: Mapping[str, Call] = {
    "features.get": lambda s: s.planet.features.get(s.collection),
    "features.list": lambda s: s.planet.features.list(page_size=1).collect(2),
    "features.update": lambda s: s.planet.features.update(s.collection, "fields"),
    "features.delete": lambda s: _gone(s.planet.features.delete("fields-0")),
    "features.items": lambda s: s.planet.features.items(s.collection, page_size=1).collect(2),
    "features.get_item": lambda s: s.planet.features.get_item(s.collection, s.refs[0]),
    "features.delete_item": lambda s: _gone(s.planet.features.delete_item(s.collection, "0")),
    "features.validate": lambda s: s.planet.features.validate(POLYGON),
    "features.create": lambda s: s.planet.features.create("fields"),
    "features.add": lambda s: s.planet.features.add(s.collection, POLYGON),
}
DESTINATIONS: Mapping[str, Call] = {
    "destinations.get": lambda s: s.planet.destinations.get(s.destination),
    "destinations.list": lambda s: _all(s.planet.destinations.list()),
    "destinations.update": lambda s: s.planet.destinations.update(s.destination, parameters=KEYS),
    "destinations.archive": lambda s: s.planet.destinations.archive(s.destination),
    "destinations.unarchive": lambda s: s.planet.destinations.unarchive(s.destination),
    "destinations.set_default": lambda s: _kept(s.planet.destinations.set_default(s.destination)),
    "destinations.get_default": lambda s: _gone(s.planet.destinations.get_default()),
    "destinations.unset_default": lambda s: s.planet.destinations.unset_default(),
    "destinations.create": lambda s: _kept(s.planet.destinations.create(DESTINATION)),
}
BASEMAPS: Mapping[str, Call] = {
    "basemaps.get": lambda s: s.planet.basemaps.get(s.mosaic.name),
    "basemaps.list": lambda s: s.planet.basemaps.list(page_size=1).collect(2),
    "basemaps.series": lambda s: _all(s.planet.basemaps.series(page_size=2)),
    "basemaps.get_series": lambda s: _gone(s.planet.basemaps.get_series("Swartland Weekly")),
    "basemaps.series_mosaics": lambda s: _gone(s.planet.basemaps.series_mosaics(MOSAIC).collect()),
    "basemaps.quads": lambda s: _all(s.planet.basemaps.quads(s.mosaic, bbox=TWO_QUADS, page_size=1)),
    "basemaps.count_quads": lambda s: s.planet.basemaps.count_quads(s.mosaic, bbox=TWO_QUADS),
    "basemaps.get_quad": lambda s: s.planet.basemaps.get_quad(s.mosaic, s.quads[0].id),
    "basemaps.contributions": lambda s: _all(s.planet.basemaps.contributions(s.quads[0])),
    "basemaps.download": lambda s: s.planet.basemaps.download(s.quads[:2], s.to()),
}
QUOTA: Mapping[str, Call] = {
    "quota.products": lambda s: _all(s.planet.quota.products(page_size=2)),
    "quota.estimate": lambda s: s.planet.quota.estimate(PRODUCT, s.refs),
    "quota.list": lambda s: s.planet.quota.list(page_size=1).collect(2),
    "quota.get": lambda s: s.planet.quota.get(s.reservation),
    "quota.jobs": lambda s: s.planet.quota.jobs(page_size=1).collect(2),
    "quota.get_job": lambda s: s.planet.quota.get_job(s.job),
    "quota.reserve": lambda s: _kept(s.planet.quota.reserve(PRODUCT, s.refs)),
    "quota.reserve_bulk": lambda s: s.planet.quota.reserve_bulk(PRODUCT, s.refs),
}
ITSELF: Mapping[str, Call] = {
    "request": lambda s: s.planet.request("GET", "/compute/ops/stats/orders/v2"),
}
CALLS: Mapping[str, Call] = {
    **ORDERS,
    **SUBSCRIPTIONS,
    **TASKING,
    **REPORTS,
    **DATA,
    **ITSELF,
    **COLLECTIONS,
    **DESTINATIONS,
    **BASEMAPS,
    **QUOTA,
}
