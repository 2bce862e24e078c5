"""Data: each method against the simulator, or against responses written down."""

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from planet_async import (
    ApiKey,
    AssetNotDownloadable,
    AssetStatus,
    ChecksumMismatch,
    Clip,
    Config,
    ConnectionLost,
    DecodeError,
    DownloadError,
    Forbidden,
    InvalidRequest,
    Item,
    NotFound,
    OrderRequest,
    PagingError,
    Planet,
    QuotaExceeded,
    Request,
    Response,
    SearchRequest,
    StatusUnreachable,
    Unauthorized,
    WaitTimeout,
    where,
)
from planet_async.simulator import AssetPlan, Fault, Limits, OrderPlan, Simulator
from planet_async.testing import FakeClock, FakeTransport, reply

pytestmark = pytest.mark.anyio

BASE = "https://api.planet.com/data/v1"
FIELD = {
    "type": "Polygon",
    "coordinates": [[[-122.4, 37.7], [-122.3, 37.7], [-122.3, 37.8], [-122.4, 37.8], [-122.4, 37.7]]],
}
ALLOWED = where.permission() & where.geometry(FIELD)
PERMISSION = {"_permissions": ["download"]}


def simulated(clock: FakeClock, **settings: Any) -> tuple[Simulator, Planet]:
    settings = {"plan": OrderPlan(queue_seconds=1, run_seconds=1), "catalog_days": 10, **settings}
    simulator = Simulator(clock=clock, limits=Limits.unlimited(), file_bytes=3000, **settings)
    return simulator, client(simulator, clock)


def client(network: Any, clock: FakeClock, **config: Any) -> Planet:
    return Planet(Config(rates={}, **config), credentials=ApiKey("any"), transport=network, clock=clock)


def answering(*answers: Any) -> tuple[FakeTransport, Planet]:
    network = FakeTransport(answers[0] if callable(answers[0]) else answers)
    return network, client(network, FakeClock())


def lost(operation: str) -> Fault:
    """Return the loss of one response, after the service has acted."""
    return Fault(operation=operation, drop=True, after=True, times=1)


def item(number: int, item_type: str = "PSScene", published: str = "2026-01-01T00:00:00Z") -> dict[str, Any]:
    properties = {"item_type": item_type, "published": published, "acquired": published}
    return {"type": "Feature", "id": f"item-{number}", "geometry": None, "properties": properties}


def page(*items: dict[str, Any], then: str = "") -> Response:
    links = {"_next": f"{BASE}/searches/a/results?_page={then}"} if then else {}
    return reply(json={"features": items, "_links": links})


def asset(status: str, **fields: Any) -> dict[str, Any]:
    links = {"_self": f"{BASE}/assets/a", "activate": f"{BASE}/assets/a/activate"}
    return {"type": "ortho_udm2", "status": status, "_links": links, **PERMISSION, **fields}


def body_of(request: Request) -> Any:
    return msgspec.json.decode(request.body or b"")


# --- Finding items


async def test_a_search_finds_what_its_filter_says(clock: FakeClock) -> None:
    """All pages are read, and each item has its typed properties and all others."""
    simulator, planet = simulated(clock)
    clear = (
        where.cloud_cover.below(0.1) & where.acquired.since("2025-12-22") & ~where.instrument.one_of("PS2")
    )
    found = await planet.data.search(
        "PSScene", filter=clear & ALLOWED, sort="acquired asc", page_size=3
    ).collect()
    assert found
    assert simulator.requests["data.search"] == 1
    assert simulator.requests["data.results"] == (len(found) - 1) // 3
    times = [each.acquired for each in found if each.acquired]
    assert len(times) == len(found)
    assert times == sorted(times)
    for each in found:
        assert each.item_type == "PSScene"
        assert each.properties.cloud_cover is not None
        assert each.properties.cloud_cover < 0.1
        assert each.properties.instrument != "PS2"
        assert "assets.ortho_udm2:download" in each.permissions
        assert each.__geo_interface__["geometry"] == each.geometry
    assert await planet.data.search(["PSScene"], filter=ALLOWED, geometry=FIELD).first() is not None


async def test_a_page_is_a_post_and_the_following_ones_are_links() -> None:
    """The request has what was asked for; the links are followed as they are, by GET, without a body."""
    network, planet = answering(page(item(1), then="2"), page(item(2)))
    results = planet.data.search("PSScene", geometry="pl:features/my/a/b", name="mine", page_size=1)
    assert not network.requests
    assert [each.id async for each in results] == ["item-1", "item-2"]
    first, second = network.requests
    assert (first.method, first.url, dict(first.params)) == (
        "POST",
        f"{BASE}/quick-search",
        {"_page_size": "1"},
    )
    assert body_of(first) == {
        "item_types": ["PSScene"],
        "filter": {"type": "AndFilter", "config": []},
        "geometry": {"type": "ref", "content": "pl:features/my/a/b"},
        "name": "mine",
    }
    assert (second.method, second.url, second.params, second.body) == (
        "GET", f"{BASE}/searches/a/results?_page=2", (), None,
    )  # fmt: skip
    assert "content-type" not in second.headers


async def test_an_item_comes_once_but_types_may_share_ids() -> None:
    """While the list grows, items move to the next page; items of two types may have the same id."""
    _, planet = answering(page(item(1), item(2), then="2"), page(item(2), item(2, "TanagerScene"), item(3)))
    found = await planet.data.search(["PSScene", "TanagerScene"]).collect()
    assert [(each.item_type, each.id) for each in found] == [
        ("PSScene", "item-1"), ("PSScene", "item-2"), ("TanagerScene", "item-2"), ("PSScene", "item-3"),
    ]  # fmt: skip


async def test_a_search_is_sent_again(clock: FakeClock) -> None:
    """It changes nothing, so a lost response, and a 500, cost a repetition and nothing else."""
    simulator, planet = simulated(clock)
    expected = [each.id async for each in planet.data.search("PSScene", filter=ALLOWED)]
    simulator.faults.add(lost("data.search"))
    simulator.faults.add(Fault(operation="data.search", status=500, times=1))
    assert [each.id async for each in planet.data.search("PSScene", filter=ALLOWED)] == expected


async def test_the_next_page_is_fetched_while_the_caller_works(clock: FakeClock) -> None:
    """A search takes as long as its pages do one after the other, though each is worked on for 40 ms."""
    simulator, planet = simulated(clock)
    simulator.faults.add(Fault(delay=0.05))
    began, number = clock.monotonic(), 0
    async for _ in planet.data.search("PSScene", page_size=10):
        number += 1
        if not number % 10:
            await clock.sleep(0.04)
    pages = simulator.requests["data.search"] + simulator.requests["data.results"]
    assert pages > 20
    assert clock.monotonic() - began <= 1.05 * 0.05 * pages


async def test_a_used_up_quota_is_not_repeated() -> None:
    """Either form of its 429 is QuotaExceeded, sent once; other requests are not slowed down."""
    said = "Download quota has been exceeded."
    forms = ({"field": {}, "general": [{"message": said}]}, {"message": said})
    for form in forms:
        network, planet = answering(reply(429, json=form), reply(json=item(1)))
        with pytest.raises(QuotaExceeded, match="429 Download quota has been exceeded") as caught:
            await planet.data.search("PSScene").first()
        assert not caught.value.transient
        assert (await planet.data.get("PSScene", "item-1")).id == "item-1"
        assert len(network.requests) == 2


async def test_statistics_count_what_a_search_finds(clock: FakeClock) -> None:
    """The area goes into the filter; buckets have times and counts, and there is a total."""
    simulator, planet = simulated(clock)
    found = await planet.data.search("PSScene", filter=ALLOWED).collect()
    stats = await planet.data.stats("PSScene", "day", filter=where.permission(), geometry=FIELD)
    assert stats.total == len(found)
    assert (stats.interval, stats.buckets[0].start_time) == ("day", datetime(2025, 12, 21, tzinfo=UTC))
    assert (
        await planet.data.stats(["PSScene"], "year", utc_offset="+01:00", geometry=FIELD)
    ).utc_offset == "+01:00"
    assert simulator.requests["data.stats"] == 2


async def test_items_and_types_are_listed(clock: FakeClock) -> None:
    """Item types say which assets their items can have."""
    _, planet = simulated(clock)
    found = await planet.data.search("PSScene", filter=ALLOWED).first()
    assert found is not None
    assert await planet.data.get("PSScene", found.id) == found
    with pytest.raises(NotFound):
        await planet.data.get("PSScene", "20200101_000000_00_0000")
    types = {each.id: each async for each in planet.data.item_types()}
    assert "ortho_udm2" in types["PSScene"].supported_asset_types
    assert {each.id async for each in planet.data.asset_types("PSScene")} == {
        *types["PSScene"].supported_asset_types
    }
    assert len(await planet.data.asset_types().collect()) > 20


async def test_coverage_is_asked_for_until_it_is_complete(clock: FakeClock) -> None:
    """It is computed after a while; a limit ends the wait for it."""
    simulator, planet = simulated(clock)
    found = await planet.data.search("PSScene", filter=ALLOWED).first()
    assert found is not None
    coverage = await planet.data.coverage(found, FIELD, band="cloud")
    assert coverage.clear_percent == found.properties.cloud_percent
    assert simulator.requests["data.coverage"] == 2
    assert (await planet.data.coverage(found, FIELD, mode="estimate")).status == "complete"
    with pytest.raises(WaitTimeout, match="the coverage is pending after 0 s"):
        await planet.data.coverage(found, FIELD, band="snow", timeout=0)
    network, planet = answering(lambda _: reply(json={"status": "pending"}))
    with pytest.raises(WaitTimeout):
        await planet.data.coverage(("PSScene", "a"), FIELD, timeout=60)
    assert 3 < len(network.requests) < 20


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda data: data.search([]), "item_types: expected one item type"),
        (lambda data: data.search("PSScene", filter=7), "filter: expected an object, got 7"),
        (lambda data: data.search("PSScene", geometry="field 7"), "geometry: expected a GeoJSON"),
        (lambda data: data.search("PSScene", sort="acquired"), "sort must be published desc, .*'acquired'"),
        (lambda data: data.search("PSScene", page_size=0), "page_size must be at least 1"),
        (lambda data: data.stats("PSScene", "decade"), "interval must be hour, day"),
        (lambda data: data.stats("PSScene", "day", geometry="pl:features/my/a/b"), "a reference goes into"),
        (lambda data: data.get("PSScene", "../x"), "is not an item id"),
        (lambda data: data.assets("20251028_192515_32_24dc"), "expected an item, got 'str'"),
        (lambda data: data.assets({"id": "a"}), "expected an item, got 'dict'"),
        (lambda data: data.activate({"type": "ortho_udm2"}), "this is no asset: `\\$.status` is missing"),
        (lambda data: data.wait({"type": "a", "status": "active"}), "neither its item nor its own address"),
        (lambda data: data.download(("PSScene", "a"), [], "data"), "expected one asset type or more"),
        (lambda data: data.download(("PSScene", "a"), [[]], "data"), "a list is not an asset type"),
        (lambda data: data.searches.get("field 7"), "expected 32 hex digits"),
        (lambda data: data.searches.create(SearchRequest("PSScene")), "needs a name"),
        (lambda data: data.searches.list(search_type="mine"), "search_type must be any, saved, quick"),
        (lambda data: data.search("PSScene").orders("visual", items_per_order=501), "at most 500"),
        (lambda data: data.search("PSScene").orders("visual", tools=[{"clip": {}}]), "clip"),
        (lambda data: data.search("PSScene").orders(7), "expected a list of bundles, not 'int'"),
        (lambda data: data.search("PSScene").orders([]), "product_bundle: expected one bundle or more"),
        (
            lambda data: data.search("PSScene", geometry=["pl:features/my/a", "field 7"]),
            r"\.geometry: expected",
        ),
        (lambda data: data.coverage(("PSScene", "a"), FIELD, band=7), "band must be a text"),
    ],
)
async def test_bad_input_is_refused_before_anything_is_sent(call: Callable[[Any], Any], message: str) -> None:
    """The message says what was expected."""
    network, planet = answering(reply())
    with pytest.raises(InvalidRequest, match=message):
        await call(planet.data)
    assert not network.requests


# --- Ordering what was found


async def test_what_was_found_is_ordered_in_one_expression(clock: FakeClock, tmp_path: Path) -> None:
    """Items are grouped by type, so many an order, and each is ordered and downloaded once."""
    simulator, planet = simulated(clock, catalog_days=4)
    results = planet.data.search(["PSScene", "SkySatCollect"], filter=ALLOWED)
    wanted = sorted((each.item_type, each.id) for each in await results.collect())
    requests = results.orders("visual", name="field 7", items_per_order=4)
    outcomes = [outcome async for outcome in planet.orders.run(requests, tmp_path)]
    assert all(outcome.unwrap().paths for outcome in outcomes)
    products = [order.request["products"][0] for order in simulator.orders.values()]
    assert sorted((each["item_type"], id_) for each in products for id_ in each["item_ids"]) == wanted
    assert {len(each["item_ids"]) for each in products} <= {1, 2, 3, 4}
    assert len(products) == sum(-(-sum(type_ == kind for type_, _ in wanted) // 4) for kind in dict(wanted))
    assert all(order.name.startswith("field 7 ") for order in simulator.orders.values())


async def test_a_job_that_is_started_again_orders_nothing_twice(clock: FakeClock, tmp_path: Path) -> None:
    """The same search gives the requests that the ledger knows."""
    simulator, planet = simulated(clock, catalog_days=4)
    placed = []
    for _ in range(2):
        requests = planet.data.search("PSScene", filter=ALLOWED).orders("visual", items_per_order=7)
        job = planet.orders.run(requests, tmp_path / "data", ledger=tmp_path / "ledger")
        assert all([outcome.unwrap().paths async for outcome in job])
        placed.append(simulator.requests["orders.create"])
    assert placed[0] == placed[1] > 1


async def requests_of(*pages: Response, **options: Any) -> list[OrderRequest]:
    network, planet = answering(*pages)
    found = [each async for each in planet.data.search("PSScene").orders("visual", **options)]
    assert dict(network.requests[0].params) == {"_sort": "published asc"}
    return found


async def test_the_same_items_give_the_same_requests() -> None:
    """The earliest first; those published at one moment may come in any order; names differ by content."""
    later = "2026-01-02T00:00:00Z"
    first = await requests_of(page(item(1), item(2), item(3)), page(), items_per_order=2)
    again = await requests_of(page(item(3), then="2"), page(item(1), item(2)), items_per_order=2)
    assert [each.to_dict() for each in first] == [each.to_dict() for each in again]
    assert [each.products[0].item_ids for each in first] == [("item-1", "item-2"), ("item-3",)]  # type: ignore[union-attr]
    assert len({each.name for each in first}) == 2
    grown = await requests_of(page(item(2), item(1), item(3), item(0, published=later)), items_per_order=2)
    assert grown[0] == first[0]
    assert grown[1].name != first[1].name
    tools = (Clip(area) for area in [FIELD])
    clipped = await requests_of(page(*map(item, range(4))), items_per_order=2, tools=tools, name="field 7")
    assert [each.tools for each in clipped] == [(Clip(FIELD),)] * 2
    assert clipped[0].name.startswith("field 7 PSScene ")
    plain = await requests_of(page(item(0), item(1)))
    assert clipped[0].name[-12:] != plain[0].name[-12:]


# --- Saved searches


async def test_searches_are_saved_listed_run_and_deleted(clock: FakeClock) -> None:
    """A search has its parts back; a replaced one keeps its id; a run finds items."""
    _, planet = simulated(clock)
    searches = planet.data.searches
    request = SearchRequest("PSScene", ALLOWED, name="clear", daily_email=True)
    search = await searches.create(request)
    assert (search.name, search.search_type, search.item_types) == ("clear", "saved", ("PSScene",))
    assert search.raw["__daily_email_enabled"] is True
    assert await searches.get(search.id) == search
    replaced = await searches.update(search.id, {**request.to_dict(), "name": "clearer"})
    assert (replaced.id, replaced.name) == (search.id, "clearer")
    await planet.data.search("PSScene").first()
    assert [each.name async for each in searches.list()] == ["clearer"]
    assert len(await searches.list(search_type="any", sort="created asc", page_size=1).collect()) == 2
    ran = await searches.run(search.id, sort="acquired desc", page_size=2).collect()
    assert {each.id for each in ran} == {
        each.id async for each in planet.data.search("PSScene", filter=ALLOWED)
    }
    assert (await anext(searches.run(search.id).orders("visual"))).source_type == "scenes"
    await searches.delete(search.id)
    with pytest.raises(NotFound):
        await searches.delete(search.id)


async def test_a_search_is_saved_once_and_deleted_once(clock: FakeClock) -> None:
    """Where the response is lost, the search is looked up; deleting it again is no error then."""
    simulator, planet = simulated(clock)
    simulator.faults.add(lost("data.create_search"))
    filter_ = where.cloud_cover.below(1) & where.acquired.since("2025-12-01T12:00:00+01:00")
    search = await planet.data.searches.create(SearchRequest("PSScene", filter_, name="once", geometry=FIELD))
    assert [each.id async for each in planet.data.searches.list(search_type="any")] == [search.id]
    simulator.faults.add(lost("data.delete_search"))
    await planet.data.searches.delete(search.id)
    assert await planet.data.searches.list().first() is None


# --- Assets


async def scene(planet: Planet, filter_: Any = ALLOWED) -> Item:
    found = await planet.data.search("PSScene", filter=filter_).first()
    assert found is not None
    return found


async def test_an_asset_becomes_active_and_is_read(clock: FakeClock) -> None:
    """Assets say what they are of; times without a zone are in UTC; the file has the MD5 of the asset."""
    simulator, planet = simulated(clock, asset_plan=AssetPlan(activation_seconds=20))
    found = await scene(planet)
    assets = await planet.data.assets((found.item_type, found.id))
    assert {*assets} == {*found.assets}
    asset = assets["ortho_udm2"]
    assert (asset.status, asset.item_type, asset.item_id) == ("inactive", "PSScene", found.id)
    with pytest.raises(AssetNotDownloadable, match="is inactive, and has no link"):
        async with planet.data.open(asset):
            pass
    asset = await planet.data.activate(asset.to_dict())
    assert asset.status is AssetStatus.ACTIVATING
    asset = await planet.data.wait(asset)
    assert clock.monotonic() < 20 + 13
    assert (asset.status, asset.item_id) == ("active", found.id)
    assert asset.expires_at is not None
    assert timedelta(hours=3) < asset.expires_at - clock.now() < timedelta(hours=4)
    assert (await planet.data.activate(asset)).location  # it is active already
    sent = simulator.requests.total()
    assert await planet.data.wait(asset) is asset
    assert simulator.requests.total() == sent
    async with planet.data.open(asset) as file:
        assert file.name == f"{found.id}_ortho_udm2.tif"
        content = b"".join([chunk async for chunk in file])
    assert len(content) == file.size
    assert str(asset.location) not in repr(asset)


async def test_a_plain_asset_of_the_api_is_waited_for_by_its_link(clock: FakeClock) -> None:
    """The API's own JSON does not name the item."""
    _, planet = simulated(clock)
    found = await planet.data.assets(await scene(planet))
    plain = {
        key: value for key, value in found["ortho_udm2"].to_dict().items() if not key.startswith("item_")
    }
    activating = await planet.data.activate(plain)
    assert (await planet.data.wait(activating.to_dict())).location


@pytest.mark.no_cover
async def test_one_request_answers_for_all_assets_of_an_item(clock: FakeClock) -> None:
    """200 assets of 40 items that activate within 60 s: at most 200 requests, each noticed within 15 s."""
    due: dict[str, float] = {}

    def plan(item_id: str, asset_type: str) -> AssetPlan:
        seconds = 1 + len(due) * 37 % 200 * 59 / 199
        due[f"PSScene/{item_id}/{asset_type}"] = clock.monotonic() + seconds
        return AssetPlan(activation_seconds=seconds)

    simulator = Simulator(clock=clock, asset_plan=plan, catalog_days=10)
    planet = Planet(credentials=ApiKey("any"), transport=simulator, clock=clock)
    types = ("ortho_analytic_4b", "ortho_analytic_4b_xml", "ortho_udm2", "ortho_visual", "basic_udm2")
    found = await planet.data.search("PSScene", filter=where.permission()).collect(40)
    assets = [(await planet.data.assets(each))[name] for each in found for name in types]
    async with planet:
        activated = [await planet.data.activate(each) for each in assets]
        began, before = clock.monotonic(), simulator.requests["data.assets"]
        late = [
            clock.monotonic() - max(began, due[outcome.id])
            async for outcome in planet.data.wait_many(activated)
            if outcome.unwrap().location
        ]
    assert len(late) == 200
    assert simulator.requests["data.assets"] - before <= 200
    assert max(late) <= 15


@pytest.mark.no_cover
async def test_downloads_of_forty_items_wait_together(clock: FakeClock, tmp_path: Path) -> None:
    """40 downloads of 5 assets each, which activate within 60 s: at most 200 requests for waiting."""
    number = iter(range(1000))
    simulator = Simulator(
        clock=clock,
        asset_plan=lambda *_: AssetPlan(activation_seconds=1 + next(number) * 37 % 200 * 59 / 199),
        catalog_days=10,
        file_bytes=64,
    )
    types = ("ortho_analytic_4b", "ortho_analytic_4b_xml", "ortho_udm2", "ortho_visual", "basic_udm2")
    async with Planet(credentials=ApiKey("any"), transport=simulator, clock=clock) as planet:
        found = await planet.data.search("PSScene", filter=where.permission()).collect(40)
        async with anyio.create_task_group() as group:
            for each in found:
                group.start_soon(planet.data.download, each, types, tmp_path)
    assert len([*tmp_path.iterdir()]) == 200
    assert simulator.requests["data.assets"] - 40 <= 200


async def test_a_wait_ends_where_nothing_comes(clock: FakeClock) -> None:
    """An activation may never end; an asset that nobody has activated never becomes active."""
    _, planet = simulated(clock, asset_plan=AssetPlan(activation_seconds=math.inf))
    asset = (await planet.data.assets(await scene(planet)))["ortho_udm2"]
    with pytest.raises(StatusUnreachable, match=r"ortho_udm2 of PSScene .* is inactive"):
        await planet.data.wait(asset)
    asset = await planet.data.activate(asset)
    with pytest.raises(WaitTimeout, match="is not active after 100 s"):
        await planet.data.wait(asset, timeout=100)
    outcomes = [outcome async for outcome in planet.data.wait_many([asset, asset], timeout=0)]
    assert [type(outcome.error) for outcome in outcomes] == [WaitTimeout, WaitTimeout]


async def test_a_download_ends_where_no_activation_helps(tmp_path: Path) -> None:
    """An asset that stays inactive, whatever is sent, is activated again until the time is over."""

    def respond(request: Request) -> Response:
        if request.operation == "data.activate":
            return reply(202)
        return reply(json={"ortho_udm2": asset("inactive")})

    network, planet = answering(respond)
    with pytest.raises(WaitTimeout, match="is not active after 200 s"):
        await planet.data.download(("PSScene", "a"), "ortho_udm2", tmp_path, timeout=200)
    assert 5 < sum(request.operation == "data.activate" for request in network.requests) < 20
    for timeout in (0, 1e-9):
        _, planet = answering(respond)
        with anyio.fail_after(30), pytest.raises(WaitTimeout):
            await planet.data.download(("PSScene", "a"), "ortho_udm2", tmp_path, timeout=timeout)


async def test_a_timeout_of_0_asks_at_once() -> None:
    """Also right after the activation, where the first poll would come later."""
    network, clock = FakeTransport([reply(json={"ortho_udm2": asset("activating")})]), FakeClock()
    activating = {**asset("activating"), "item_type": "PSScene", "item_id": "a"}
    with pytest.raises(WaitTimeout):
        await client(network, clock).data.wait(activating, timeout=0)
    assert (len(network.requests), clock.monotonic()) == (1, 0)


async def test_an_item_that_cannot_be_ordered_is_not_the_callers_fault() -> None:
    """The service left out its type."""
    _, planet = answering(page({"type": "Feature", "id": "item-1", "properties": {}}))
    with pytest.raises(DecodeError, match="'' is not an item type"):
        await anext(planet.data.search("PSScene").orders("visual"))


async def test_the_missing_permission_is_named(clock: FakeClock, tmp_path: Path) -> None:
    """Before anything is sent, where the API says so; and where it refuses the activation."""
    simulator, planet = simulated(clock)
    found = await scene(planet, ~where.permission())
    asset = (await planet.data.assets(found))["ortho_udm2"]
    sent = simulator.requests.total()
    for call in (planet.data.activate(asset), planet.data.download(found, "ortho_udm2", tmp_path)):
        with pytest.raises(AssetNotDownloadable, match=r"assets\.ortho_udm2:download is missing") as caught:
            await call
        assert caught.value.missing_permission == "assets.ortho_udm2:download"
    assert simulator.requests.total() - sent == 1
    with pytest.raises(AssetNotDownloadable, match="has no asset ortho_udm that is published") as caught:
        await planet.data.download(found, "ortho_udm", tmp_path)
    assert "ortho_udm2" in caught.value.hint
    simulator.faults.add(Fault(operation="data.activate", status=403, times=1))
    for kind in (Forbidden, Unauthorized):
        with pytest.raises(kind, match=r"The permission assets\.ortho_udm2:download may be"):
            await planet.data.activate({**asset.to_dict(), "_permissions": None})


@pytest.mark.parametrize("link", ["https://evil.example/activate", "http://api.planet.com/activate"])
async def test_the_links_of_an_asset_lead_nowhere_else(link: str) -> None:
    """The key is the API's own."""
    network, planet = answering(reply())
    with pytest.raises(DecodeError, match="leads to another origin"):
        await planet.data.activate(asset("inactive", _links={"activate": link}))
    assert not network.requests


async def test_assets_are_downloaded_whatever_breaks(clock: FakeClock, tmp_path: Path) -> None:
    """Broken connections are resumed; a file that is there is kept; the MD5 is compared."""
    simulator, planet = simulated(clock)
    found = await scene(planet)
    simulator.faults.add(Fault(operation="storage.get", cut=1000, times=3))
    simulator.faults.add(lost("data.activate"))
    seen: dict[str, int] = {}
    paths = await planet.data.download(
        found,
        ["ortho_udm2", "ortho_analytic_4b_xml"],
        tmp_path / "data",
        progress=lambda progress: seen.update({progress.name: progress.received}),
    )
    assert [each.name for each in paths] == [
        f"{found.id}_ortho_analytic_4b_xml.xml", f"{found.id}_ortho_udm2.tif",
    ]  # fmt: skip
    assert [seen[each.name] for each in paths] == [each.stat().st_size for each in paths]
    assert not paths.unverified
    assets = await planet.data.assets(found)
    assert paths.checksums[paths[1]] == f"md5:{assets['ortho_udm2'].md5_digest}"
    before = simulator.requests["storage.get"]
    assert await planet.data.download(found, "ortho_udm2", tmp_path / "data") == paths[1:]
    assert simulator.requests["storage.get"] - before == 1
    paths[1].write_bytes(b"another")
    with pytest.raises(DownloadError, match="is not the file to download"):
        await planet.data.download(found, "ortho_udm2", tmp_path / "data")
    assert await planet.data.download(found, "ortho_udm2", tmp_path / "data", overwrite=True) == paths[1:]
    assert len(paths[1].read_bytes()) > 1000
    assert len([*(tmp_path / "data").iterdir()]) == 2


async def test_what_an_earlier_call_left_is_continued(clock: FakeClock, tmp_path: Path) -> None:
    """Only the rest is fetched: the response that said the name is closed."""
    simulator, planet = simulated(clock)
    found = await scene(planet)
    simulator.faults.add(Fault(operation="storage.get", cut=1000))
    once = planet.with_options(max_attempts=1)
    with pytest.raises(ConnectionLost):
        await once.data.download(found, "ortho_udm2", tmp_path)
    part = tmp_path / f"{found.id}_ortho_udm2.tif.part"
    assert part.stat().st_size == 1000
    simulator.faults.clear()
    received: list[int] = []
    await planet.data.download(
        found, "ortho_udm2", tmp_path, progress=lambda progress: received.append(progress.received)
    )
    assert received[0] > 1000
    assert not part.exists()


async def test_a_link_that_has_expired_is_renewed(clock: FakeClock, tmp_path: Path) -> None:
    """Before it is used, by its time, or where it is refused; the asset is activated again if need be."""
    simulator, planet = simulated(clock, asset_plan=AssetPlan(activation_seconds=5, active_seconds=100))
    found = await scene(planet)
    first = await planet.data.wait(
        await planet.data.activate((await planet.data.assets(found))["ortho_udm2"])
    )
    clock.advance(50)  # the link is valid for another 50 s, the next one no longer
    assert len(await planet.data.download(found, "ortho_udm2", tmp_path)) == 1
    clock.advance(100)
    simulator.faults.add(Fault(operation="data.download", status=404, times=1))
    assert len(await planet.data.download(found, "ortho_udm2", tmp_path / "b")) == 1
    assert simulator.requests["data.activate"] == 2
    with pytest.raises(Unauthorized):
        async with planet.data.open(first):
            pass


async def test_a_file_with_another_md5_is_refused(tmp_path: Path) -> None:
    """It is fetched twice, and has no final name; without an MD5 it is unverified."""

    def respond(request: Request) -> Response:
        if request.operation == "data.download":
            return reply(body=b"not it", headers={"content-disposition": "attachment; filename=../a.tif"})
        return reply(
            json={"ortho_udm2": asset("active", location=f"{BASE}/download?token=t", md5_digest=md5)}
        )

    md5: str | None = "0" * 32
    network, planet = answering(respond)
    with pytest.raises(ChecksumMismatch):
        await planet.data.download(("PSScene", "a"), "ortho_udm2", tmp_path)
    assert not [*tmp_path.iterdir()]
    md5 = None
    paths = await planet.data.download(("PSScene", "a"), "ortho_udm2", tmp_path)
    assert [*paths.unverified] == paths == [tmp_path / "a_ortho_udm2"]
    assert network.open_responses == 0


async def test_a_thumbnail_is_signed(clock: FakeClock) -> None:
    """Its server is another one of Planet's, and gets the key; where the API is elsewhere, it does not."""
    _, planet = simulated(clock)
    found = await scene(planet)
    response = await planet.request("GET", found.links["thumbnail"])
    assert (await response.read()).startswith(b"\x89PNG")
    for base_url, is_signed in (("https://api.planet.com", True), ("https://gateway.example", False)):
        network = FakeTransport(lambda _: reply())
        planet = client(network, clock, base_url=base_url)
        await planet.request("GET", "https://tiles.planet.com/data/v1/item-types/PSScene/items/a/thumb")
        assert ("authorization" in network.requests[0].headers) is is_signed


async def test_a_link_to_another_server_is_no_page() -> None:
    """The next page of a search is the API's."""
    first = reply(json={"features": [item(1)], "_links": {"_next": "https://evil.example/"}})
    _, planet = answering(first)
    with pytest.raises(PagingError):
        await planet.data.search("PSScene").collect()
