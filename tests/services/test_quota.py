"""Quota: each method against responses as Planet was seen to send them."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pytest

from planet_async import (
    Amount,
    ApiKey,
    BadRequest,
    Config,
    ConnectionLost,
    InvalidRequest,
    Planet,
    PlanetError,
    QuotaProduct,
    Request,
    Response,
    UnsettledCreate,
)
from planet_async.models.codec import decode
from planet_async.simulator import Fault, Simulator
from planet_async.testing import FakeClock, FakeTransport, reply

pytestmark = pytest.mark.anyio

BASE = "https://api.planet.com/account/v1"
DATE = {"date": "Thu, 01 Jan 2026 00:00:00 GMT"}
REF, OTHER = "pl:features/my/fields-Kr7/1-owL", "pl:features/my/fields-Kr7/2-xyZ"
PRODUCT = {
    "id": 16,
    "name": "BIOMASS-PROXY_V4.0_10",
    "title": "Crop Biomass",
    "quota_total": None,
    "quota_used": 25.0,
    "quota_units": "sqkm",
    "supports_reservation": True,
    "term_end_date": "2029-01-01T23:59:59.999999",
}
RESERVED = {
    "quota_reservations": [{"aoi_ref": REF, "id": 7, "state": "reserved"}],
    "quota_total": 1e11,
    "quota_used": 25000000.0,
    "quota_remaining": "99975000000.0",
    "quota_units": "sqm",
    "url": f"{BASE}/quota-reservations/",
}


def listed(
    id_: int = 7, ref: str = REF, created: str = "2026-01-01T00:00:00.5", **more: Any
) -> dict[str, Any]:
    return {"id": id_, "aoi_ref": ref, "amount": 25.0, "product_id": 16, "created_at": created, **more}


def page(*results: object, following: str | None = None) -> Response:
    meta = {"args": {}, "count": 9, "next": following, "prev": None}
    return reply(json={"meta": meta, "results": results}, headers=DATE)


def answering(*answers: Any) -> tuple[FakeTransport, Planet]:
    transport = FakeTransport(answers[0] if callable(answers[0]) else answers)
    return transport, Planet(
        Config(rates={}), credentials=ApiKey("any"), transport=transport, clock=FakeClock()
    )


def losing(*results: object) -> Callable[[Request], Any]:
    """Return a service that loses the response to each POST, and lists these."""

    def answer(request: Request) -> Response | PlanetError:
        return page(*results) if request.method == "GET" else ConnectionLost("lost")

    return answer


def body(request: Request) -> Any:
    return msgspec.json.decode(request.body or b"null")


async def test_products_are_listed_by_the_link_in_meta() -> None:
    """Until it is null; names of older responses are found, and naive times are UTC."""
    names = {"name": "SWC", "title": "Soil Water"}
    old = {"id": 17, "product": names, "quota_total": 100, "quota_used": "25", "quota_units": "sqkm"}
    transport, planet = answering(page(PRODUCT, following=f"{BASE}/my/products?offset=1"), page(old))
    first, second = await planet.quota.products(supports_reservation=True).collect()
    assert dict(transport.requests[0].params) == {"supports_reservation": "true", "limit": "500"}
    assert (first.title, first.quota_total, first.quota_remaining) == ("Crop Biomass", None, None)
    assert first.term_end_date == datetime(2029, 1, 1, 23, 59, 59, 999999, tzinfo=UTC)
    assert (second.name, second.title, second.quota_remaining) == ("SWC", "Soil Water", Amount(75, "sqkm"))


async def test_each_amount_has_its_unit() -> None:
    """The estimate is in square kilometres, the reservation in square metres, and one number is a text."""
    estimate = {
        "total_cost": 25.0,
        "estimated_costs": [{"aoi_ref": REF, "cost": 25.0, "reserved": False}],
        "quota_remaining": 100000.0,
        "quota_units": "sqkm",
    }
    transport, planet = answering(reply(json=estimate), reply(201, json=RESERVED))
    found = await planet.quota.estimate(16, [REF])
    assert found.total_cost == found.estimated_costs[0].cost == Amount(25.0, "sqkm")
    reserved = await planet.quota.reserve(decode(QuotaProduct, msgspec.json.encode(PRODUCT)), [REF])
    remaining = reserved.quota_remaining
    assert remaining == Amount(99975000000.0, "sqm")
    assert remaining.sqkm == pytest.approx(99975.0)
    assert [(each.id, each.aoi_ref) for each in reserved.quota_reservations] == [(7, REF)]
    assert [body(request) for request in transport.requests] == [{"product_id": 16, "aoi_refs": [REF]}] * 2
    assert Amount(5, "items").sqkm is None


async def test_a_collection_is_reserved_by_its_reference() -> None:
    """Then there are no areas in the request: both would be refused."""
    transport, planet = answering(reply(201, json=RESERVED))
    await planet.quota.reserve(16, collection="pl:features/my/fields-Kr7")
    assert body(transport.requests[0]) == {"product_id": 16, "collection_id": "pl:features/my/fields-Kr7"}


@pytest.mark.parametrize(
    ("product", "areas"),
    [
        (16, {}),
        (16, {"aoi_refs": [REF], "collection": "pl:features/my/fields-Kr7"}),
        (16, {"aoi_refs": []}),
        (16, {"aoi_refs": REF}),
        (16, {"aoi_refs": ["1-owL"]}),
        (16, {"collection": "fields-Kr7"}),
        ("BIOMASS-PROXY_V4.0_10", {"aoi_refs": [REF]}),
    ],
)
async def test_what_cannot_be_reserved_is_refused(product: Any, areas: Any) -> None:
    """Neither or both, what is no reference, and the name of a product: nothing is sent."""
    transport, planet = answering(reply())
    for call in (planet.quota.estimate, planet.quota.reserve, planet.quota.reserve_bulk):
        with pytest.raises(InvalidRequest):
            await call(product, **areas)
    assert transport.requests == []


async def test_a_reservation_whose_response_was_lost_is_found() -> None:
    """By its areas, whatever their titles are now, in the list of what was made since; it is sent once."""
    transport, planet = answering(
        losing(
            listed(8, OTHER),
            listed(7, "pl:features/my/meadows-Kr7/1-owL#1"),
            listed(3, REF, "2025-12-01T00:00:00"),
        )
    )
    reserved = await planet.quota.reserve(16, [REF, OTHER])
    assert [each.id for each in reserved.quota_reservations] == [7, 8]
    assert reserved.quota_reservations[0].amount == Amount(25.0, "sqkm")
    assert reserved.quota_remaining is None
    assert [request.method for request in transport.requests] == ["POST", "GET"]


@pytest.mark.parametrize(
    ("results", "candidates"),
    [
        ([], ()),
        ([listed(3, REF, "2025-12-01T00:00:00")], ()),
        ([listed(7, OTHER)], ("7",)),
        ([listed(7, REF, product_id=17)], ()),
        ([{"id": 7, "aoi_ref": REF}], ()),
    ],
)
async def test_a_reservation_that_cannot_be_settled_is_not_repeated(
    results: list[Any], candidates: tuple[str, ...]
) -> None:
    """Not listed, older, of another product, or some areas only: to spend twice is worse than to ask."""
    transport, planet = answering(losing(*results))
    with pytest.raises(UnsettledCreate, match="cannot be undone") as caught:
        await planet.quota.reserve(16, [REF, OTHER])
    assert caught.value.candidates == candidates
    assert [request.method for request in transport.requests].count("POST") == 1


async def test_a_response_without_reservations_settles_nothing() -> None:
    """It may have reserved all the same: they are looked up."""
    transport, planet = answering(reply(json={}), page(listed(7), listed(8, OTHER)))
    reserved = await planet.quota.reserve(16, np.array([REF, OTHER]))
    assert [each.id for each in reserved.quota_reservations] == [7, 8]
    assert [request.method for request in transport.requests] == ["POST", "GET"]


async def test_texts_that_are_numbers_are_numbers() -> None:
    """In ids, too; what is no finite number counts as not given."""
    job = {
        "id": "8016",
        "status": "completed",
        "percentage": "50.0",
        "processed_items": "1",
        "total_items": "2",
    }
    estimate = {
        "estimated_costs": [{"aoi_ref": None, "cost": "2.5", "reserved": "no"}],
        "quota_units": "sqkm",
    }
    _, planet = answering(
        reply(json=job),
        reply(json={**job, "percentage": "nan", "total_items": "all"}),
        page({**listed(), "id": "7", "product_id": "16"}),
        reply(json=estimate),
    )
    found = await planet.quota.get_job(8016)
    assert (found.id, found.percentage, found.processed_items, found.is_complete) == (8016, 50.0, 1, False)
    found = await planet.quota.get_job(8016)
    assert (found.percentage, found.total_items) == (None, None)
    (reservation,) = await planet.quota.list().collect()
    assert (reservation.id, reservation.product_id) == (7, 16)
    (cost,) = (await planet.quota.estimate(16, [REF])).estimated_costs
    assert (cost.aoi_ref, cost.cost, cost.reserved) == ("", Amount(2.5, "sqkm"), None)


async def test_a_collection_cannot_be_settled() -> None:
    """Which areas it had is not known; those that were reserved are named."""
    _, planet = answering(losing(listed(7)))
    with pytest.raises(UnsettledCreate) as caught:
        await planet.quota.reserve(16, collection="pl:features/my/fields-Kr7")
    assert caught.value.candidates == ("7",)


async def test_a_reservation_of_another_call_is_not_taken_for_it() -> None:
    """One whose response came belongs to its caller."""
    answers = iter([reply(201, json=RESERVED), ConnectionLost("lost")])

    def answer(request: Request) -> Any:
        return next(answers) if request.method == "POST" else page(listed(7))

    _, planet = answering(answer)
    await planet.quota.reserve(16, [REF])
    with pytest.raises(UnsettledCreate):
        await planet.quota.reserve(16, [REF])


async def test_a_refusal_is_raised_as_it_is() -> None:
    """Nothing was reserved, and nothing is looked up."""
    transport, planet = answering(reply(400, json={"message": "insufficient quota"}))
    with pytest.raises(BadRequest, match="insufficient"):
        await planet.quota.reserve(16, [REF])
    assert len(transport.requests) == 1


async def test_a_bulk_job_with_half_of_its_items_is_not_complete() -> None:
    """Its status says completed all the same; its id is a text in one response, a number in the others."""
    job = {"id": 8016, "status": "completed", "percentage": 50.0, "processed_items": 1, "total_items": 2}
    _, planet = answering(
        reply(201, json={"job_id": "8016", "status": "pending"}),
        reply(json=job),
        page({**job, "processed_items": 2}),
    )
    begun = await planet.quota.reserve_bulk(16, [REF, OTHER])
    assert (begun.id, begun.is_finished, begun.is_complete) == (8016, False, False)
    done = await planet.quota.get_job(begun)
    assert (done.is_finished, done.is_complete, done.percentage) == (True, False, 50.0)
    assert [each.is_complete async for each in planet.quota.jobs(status="completed")] == [True]


async def test_a_bulk_job_whose_response_was_lost_is_not_begun_again() -> None:
    """The jobs that it may be are named."""
    jobs = [{"id": 9, "status": "pending"}, {"id": 8, "status": "completed", "total_items": 5}]
    transport, planet = answering(losing(*jobs))
    with pytest.raises(UnsettledCreate, match=r"quota\.jobs") as caught:
        await planet.quota.reserve_bulk(16, [REF])
    assert caught.value.candidates == ("9",)
    assert [request.method for request in transport.requests] == ["POST", "GET"]


async def test_lists_take_the_filters_of_the_api() -> None:
    """Those that are declared, and all others with their operators; what sorts and pages is no filter."""
    transport, planet = answering(page(listed()), reply(json=listed()))
    found = await planet.quota.list(
        product_id=16, filters={"amount__gte": 10, "id__in": [1, 2]}, sort="-created_at"
    ).collect()
    assert await planet.quota.get(found[0].id) == found[0]
    assert dict(transport.requests[0].params) == {
        "product_id": "16",
        "amount__gte": "10",
        "id__in": "1,2",
        "sort": "-created_at",
        "limit": "500",
    }
    assert transport.requests[0].url == f"{BASE}/quota-reservations/"
    assert found[0].created_at == datetime(2026, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC)
    with pytest.raises(InvalidRequest, match="sort is a parameter of its own"):
        planet.quota.list(filters={"sort": "id"})


# --- on a simulated Planet

AREA = {"type": "Polygon", "coordinates": [[[7.0, 46.5], [7.1, 46.5], [7.1, 46.6], [7.0, 46.5]]]}


async def some_areas(planet: Planet) -> list[str]:
    return await planet.features.add(await planet.features.create("fields"), [AREA, AREA])


async def test_what_an_estimate_says_is_reserved(planet: Planet) -> None:
    """Though one is in square kilometres and the other in square metres."""
    refs = await some_areas(planet)
    product = await planet.quota.products(supports_reservation=True).first()
    assert product is not None
    estimate = await planet.quota.estimate(product, refs)
    reserved = await planet.quota.reserve(product, refs)
    cost, used = estimate.total_cost, reserved.quota_used
    assert cost is not None
    assert used is not None
    assert (cost.unit, used.unit) == ("sqkm", "sqm")
    assert cost.sqkm == pytest.approx(used.sqkm)
    amounts = [each.amount async for each in planet.quota.list(product_id=product.id)]
    assert sum(amount.value for amount in amounts if amount) == pytest.approx(cost.value)


async def test_lists_of_the_simulator_are_sorted_by_numbers(planet: Planet) -> None:
    """The tenth comes after the ninth, not after the first."""
    refs = await planet.features.add(await planet.features.create("fields"), [AREA] * 11)
    await planet.quota.reserve(101, refs)
    assert [each.id async for each in planet.quota.list(sort="-id")] == [*range(11, 0, -1)]


async def test_a_lost_reservation_is_reserved_once(planet: Planet, simulator: Simulator) -> None:
    """It is found by its areas, also when their collection has another title by now."""
    refs = await some_areas(planet)
    collection = await planet.features.list().first()
    assert collection is not None
    await planet.features.update(collection, "meadows")
    simulator.faults.add(Fault(operation="quota.reserve", drop=True, after=True, times=1))
    reserved = await planet.quota.reserve(101, refs)
    listed = await planet.quota.list().collect()
    assert {each.id for each in reserved.quota_reservations} == {each.id for each in listed}
    assert len(listed) == len(refs)
    assert simulator.requests["quota.reserve"] == 1


async def test_a_reservation_that_was_never_made_is_left_to_the_caller(
    planet: Planet, simulator: Simulator
) -> None:
    """A list that has not shown it may show it later: it is not sent again."""
    refs = await some_areas(planet)
    simulator.faults.add(Fault(operation="quota.reserve", drop=True, times=1))
    with pytest.raises(UnsettledCreate):
        await planet.quota.reserve(101, refs)
    assert simulator.requests["quota.reserve"] == 1


async def test_a_deadline_bounds_the_lookup(planet: Planet, simulator: Simulator) -> None:
    """It is that of the whole call."""
    refs = await some_areas(planet)
    simulator.faults.add(Fault(operation="quota.reserve", drop=True, times=1))
    began = simulator.clock.monotonic()
    with pytest.raises(UnsettledCreate):
        await planet.with_options(deadline=5).quota.reserve(101, refs)
    assert simulator.clock.monotonic() - began <= 5


async def test_a_bulk_job_leaves_out_what_is_reserved(planet: Planet, simulator: Simulator) -> None:
    """It is completed with half of its items, and says so."""
    refs = await some_areas(planet)
    await planet.quota.reserve(101, refs[:1])
    begun = await planet.quota.reserve_bulk(101, refs)
    simulator.clock.advance(600)  # type: ignore[attr-defined]
    job = await planet.quota.get_job(begun)
    assert (job.is_finished, job.is_complete, job.processed_items, job.total_items) == (True, False, 1, 2)
