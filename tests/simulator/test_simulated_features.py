"""The simulated Features, Destinations and Quota APIs by themselves: what their facts say, and refusals."""

from typing import Any

import pytest

from planet_async.simulator import Limits, Simulator
from planet_async.testing import FakeClock
from simulator.simulated import ORDERS, Caller, catalog, scenes

pytestmark = pytest.mark.anyio

FEATURES = "/features/v1/ogc/my/collections"
DESTINATIONS = "/destinations/v1"
RESERVATIONS = "/account/v1/quota-reservations"
AZURE = {"account": "a", "container": "c-1", "sas_token": "s-SECRET"}
BOW_TIE = {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]}


def square(west: float) -> dict[str, Any]:
    ring = [[west, 0], [west + 0.1, 0], [west + 0.1, 0.1], [west, 0.1], [west, 0]]
    return {"type": "Polygon", "coordinates": [ring]}


async def collection(call: Caller, *places: float, title: str = "My farm!") -> tuple[str, list[str]]:
    made = await call("POST", FEATURES, json={"title": title})
    assert made.status == 201
    features = [{"type": "Feature", "id": f"f{place}", "geometry": square(place)} for place in places]
    body = {"type": "FeatureCollection", "features": features}
    added = await call("POST", f"{FEATURES}/{made.json['id']}/items", json=body)
    return made.json["id"], added.json


async def test_a_collection_is_named_by_its_hash_too(call: Caller) -> None:
    """The id begins with the title; when that changes, the old id, the new one and the hash lead there."""
    old, references = await collection(call, 1)
    slug, _, hash_ = old.rpartition("-")
    assert slug == "my-farm"
    changed = (await call("PUT", f"{FEATURES}/{old}", json={"title": "Hill", "description": "d"})).json
    assert changed["id"] == f"hill-{hash_}"
    for name in (old, hash_, changed["id"]):
        assert (await call("GET", f"{FEATURES}/{name}")).json["description"] == "d"
    item = (await call("GET", f"{FEATURES}/{hash_}/items/f1")).json
    assert item["properties"]["pl:ref"].rpartition("/")[2] == references[0].rpartition("/")[2]


async def test_a_new_version_of_a_feature(call: Caller) -> None:
    """PUT replaces a feature, whose reference then has a version; the same id twice is two features."""
    name, [reference] = await collection(call, 1)
    path = f"{FEATURES}/{name}/items"
    changed = await call("PUT", f"{path}/f1", json={"type": "Feature", "geometry": square(2)})
    assert changed.json["properties"]["pl:ref"] == f"{reference}#1"
    assert (await call("GET", f"{path}/f1")).json["geometry"] == square(2)
    again = await call("POST", path, json={"type": "Feature", "id": "f1", "geometry": square(3)})
    assert again.json != [reference]
    assert (await call("GET", path)).json["numberMatched"] == 2


async def test_lists_of_collections(call: Caller) -> None:
    """Titles are compared, or searched with a tilde; pages follow the links."""
    for title in ("oats", "oats and rye", "rye"):
        await collection(call, title=title)

    async def titles(**params: str) -> list[str]:
        reply = await call("GET", FEATURES, *params.items())
        return [each["title"] for each in reply.json["collections"]]

    assert await titles() == ["rye", "oats and rye", "oats"]
    assert await titles(title="oats") == ["oats"]
    assert await titles(title="~rye", sort="title") == ["oats and rye", "rye"]
    assert await titles(limit="1", offset="1") == ["oats and rye"]
    links = (await call("GET", FEATURES, ("limit", "2"))).json["links"]
    assert [link["href"] for link in links if link["rel"] == "next"] == [
        f"https://api.planet.com{FEATURES}?limit=2&offset=2"
    ]
    for param in (("limit", "0"), ("limit", "10001"), ("offset", "x"), ("sort", "size")):
        assert (await call("GET", FEATURES, param)).status == 400


async def test_geometries_are_validated(call: Caller) -> None:
    """A valid one is okay; each that is not has its code, and another way is proposed."""
    validate, alternates = f"{FEATURES}/validate", f"{FEATURES}/alternates"
    okay = await call("POST", validate, json={"type": "Feature", "geometry": square(1)})
    assert (okay.status, okay.json) == (200, {"status": "okay", "detail": "No errors."})
    many = [[number / 1000, 0] for number in range(1500)]
    for geometry, code in (
        (None, "invalid-geometry"),
        ({"type": "Point", "coordinates": [0, 0]}, "invalid-geometry"),
        (BOW_TIE, "invalid-geometry"),
        (
            {"type": "Polygon", "coordinates": [[*square(1)["coordinates"][0][:-1], [9, 9]]]},
            "invalid-geometry",
        ),
        ({"type": "Polygon", "coordinates": [[[0, 0], *many, [0, 0]]]}, "too-many-coordinates"),
        (square(200), "invalid-geometry"),
    ):
        reply = await call("POST", validate, json={"type": "Feature", "geometry": geometry})
        assert [each["code"] for each in reply.json["errors"]] == [code]
        assert reply.json["alternates_url"].endswith("/alternates")
    odd = {"type": "Feature", "geometry": square(1), "properties": 5}
    collection = (await call("POST", FEATURES, json={"title": "fields"})).json["id"]
    assert (await call("POST", f"{FEATURES}/{collection}/items", json=odd)).status == 400
    proposed = (await call("POST", alternates, json={"geometry": BOW_TIE})).json["features"]
    assert [each["properties"]["technique"] for each in proposed] == ["Bounding box", "Simplified to ~10m"]
    assert (await call("POST", validate, json={"geometry": proposed[0]["geometry"]})).json["status"] == "okay"
    assert (await call("POST", alternates, json={"geometry": {}})).status == 400


async def test_references_go_where_geometries_go(call: Caller) -> None:
    """Orders, subscriptions, one or one for each feature, and searches take them."""
    name, references = await collection(call, 1, 2)
    clip = {"clip": {"aoi": {"type": "ref", "content": references[0]}}}
    assert (await call("POST", ORDERS, json=scenes(tools=[clip]))).status == 202
    one = catalog(geometry={"type": "ref", "content": references[1]})
    made = (await call("POST", "/subscriptions/v1", json=one)).json["source"]["parameters"]
    assert (made["geometry"], made["geom_ref"]) == (square(2), references[1])
    each = catalog(geometry={"type": "ref", "content": f"pl:features/my/{name}"})
    assert (await call("POST", "/subscriptions/v1/bulk", json={"subscriptions": [each]})).status == 200
    listed = await call("GET", "/subscriptions/v1", ("geom_ref", f"pl:features/my/{name}"))
    found = {each["source"]["parameters"]["geom_ref"] for each in listed.json["subscriptions"]}
    assert found == set(references)
    search = {"item_types": ["PSScene"], "filter": {"type": "AndFilter", "config": []}}
    for reference, status in ((references[0], 200), ("pl:features/my/none/1", 400)):
        geometry = {"type": "ref", "content": reference}
        reply = await call("POST", "/data/v1/quick-search", json={**search, "geometry": geometry})
        assert reply.status == status


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"type": "pigeon", "parameters": {}}, 400),
        ({"type": "planet_folders", "parameters": {}}, 400),
        ({"type": "azure_blob_storage"}, 400),
        ({"type": "azure_blob_storage", "parameters": {**AZURE, "sas_token": "<REDACTED>"}}, 400),
        ({"type": "azure_blob_storage", "parameters": {**AZURE, "colour": "red"}}, 400),
        ({"type": "azure_blob_storage", "parameters": AZURE, "name": "ab"}, 400),
        ({"type": "azure_blob_storage", "parameters": AZURE, "note": "x"}, 400),
        ([], 400),
        ({"type": "azure_blob_storage", "parameters": AZURE, "name": "taken"}, 409),
    ],
)
async def test_destinations_that_are_refused(call: Caller, body: object, status: int) -> None:
    """The refusal repeats the status and has no secret; nothing is made."""
    taken = {"type": "azure_blob_storage", "parameters": AZURE, "name": "taken"}
    assert (await call("POST", DESTINATIONS, json=taken)).status == 201
    reply = await call("POST", DESTINATIONS, json=body)
    assert (reply.status, reply.json["code"]) == (status, status)
    assert b"SECRET" not in reply.body
    assert len((await call("GET", DESTINATIONS)).json["destinations"]) == 1


async def test_changes_of_a_destination(call: Caller) -> None:
    """All credentials are changed at once, bucket and the like never; times have nine digits."""
    body = {"type": "azure_blob_storage", "parameters": AZURE}
    made = (await call("POST", DESTINATIONS, json=body)).json
    assert len(made["created"]) == len("2026-01-01T00:00:00.659959594Z")
    path = f"{DESTINATIONS}/{made['id']}"
    refused: list[dict[str, Any]] = [
        {},
        {"archive": "yes"},
        {"parameters": {"container": "other"}},
        {"parameters": {}},
        {"type": "amazon_s3"},
        {"name": "x" * 64},
    ]
    for change in refused:
        assert (await call("PATCH", path, json=change)).status == 400, change
    default = {"destination_id": f"pl:destinations/{made['id']}"}
    assert (await call("PUT", f"{DESTINATIONS}/default", json=default)).json["default"] is True
    await call("PATCH", path, json={"archive": True})
    assert (await call("GET", f"{DESTINATIONS}/default")).status == 404
    assert (await call("PUT", f"{DESTINATIONS}/default", json=default)).status == 400
    assert (await call("PATCH", path, json={"archive": False})).json["archived"] is None
    assert (await call("DELETE", f"{DESTINATIONS}/default")).status == 404
    assert (await call("GET", f"{DESTINATIONS}/none")).json["code"] == 404


async def test_units_are_a_muddle(call: Caller) -> None:
    """Square kilometres in the estimate, square metres and a text in the reservation; times have no zone."""
    name, references = await collection(call, 1)
    body = {"aoi_refs": references, "product_id": 101}
    estimate = (await call("POST", f"{RESERVATIONS}/estimate", json=body)).json
    made = (await call("POST", f"{RESERVATIONS}/", json=body)).json
    area = estimate["total_cost"]
    assert estimate["quota_remaining"] == estimate["quota_total"] == 100_000.0
    assert (made["quota_units"], made["quota_total"], made["quota_used"]) == ("sqm", 1e11, area * 1e6)
    assert made["quota_remaining"] == str((100_000 - area) * 1e6)
    [found] = (await call("GET", f"{RESERVATIONS}/")).json["results"]
    assert (found["amount"], found["created_at"]) == (area, "2026-01-01T00:00:00.000000")
    assert found["collection_id"] == name.rpartition("-")[2]
    again = (await call("POST", f"{RESERVATIONS}/estimate", json=body)).json
    assert (again["total_cost"], again["estimated_costs"][0]["reserved"]) == (0, True)
    assert (await call("GET", RESERVATIONS)).status == 404, "the path of the list ends with a slash"


async def test_a_completed_job_may_have_done_half(call: Caller, clock: FakeClock) -> None:
    """What was reserved before is left out: completed, at 50 percent; the id is a text, then a number."""
    name, references = await collection(call, 1, 2)
    await call("POST", f"{RESERVATIONS}/", json={"aoi_refs": references[:1], "product_id": 101})
    body = {"collection_id": f"pl:features/my/{name}", "product_id": 101}
    started = await call("POST", f"{RESERVATIONS}/bulk-reserve", json=body)
    assert (started.status, started.json["status"]) == (201, "pending")
    path = f"{RESERVATIONS}/jobs/{started.json['job_id']}"
    assert (await call("GET", path)).json["percentage"] == 0
    clock.advance(5)
    job = (await call("GET", path)).json
    assert (job["status"], job["percentage"], job["processed_items"], job["total_items"]) == (
        "completed", 50.0, 1, 2,
    )  # fmt: skip
    assert str(job["id"]) == started.json["job_id"]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"aoi_refs": None, "collection_id": "pl:features/my/x"}, "exactly one"),
        ({"product_id": "101"}, "product_id"),
        ({"product_id": 103}, "product_id"),
        ({"aoi_refs": []}, "list of references"),
        ({"aoi_refs": ["pl:features/my/none/1"]}, "no such features"),
    ],
)
async def test_reservations_that_are_refused(call: Caller, changes: dict[str, Any], text: str) -> None:
    """A 400 says what is wrong, and nothing is spent."""
    _, references = await collection(call, 1)
    body = {"aoi_refs": references, "product_id": 101, **changes}
    for path in ("/", "/estimate", "/bulk-reserve"):
        reply = await call("POST", RESERVATIONS + path, json=body)
        assert (reply.status, text in reply.json["message"]) == (400, True)
    assert (await call("GET", f"{RESERVATIONS}/")).json["meta"]["count"] == 0


async def test_the_quota_is_limited(clock: FakeClock) -> None:
    """More than is left is refused."""
    call = Caller(Simulator(clock=clock, limits=Limits.unlimited(), quota=200))
    _, references = await collection(call, 1, 2)
    body = {"aoi_refs": references, "product_id": 101}
    assert (await call("POST", f"{RESERVATIONS}/", json=body)).json == {"message": "Insufficient quota"}


async def test_lists_of_the_quota(call: Caller) -> None:
    """Filters by any field and operator, sorting, fields and pages; what is not understood is a 400."""
    products = "/account/v1/my/products"
    for params, ids in (
        ({}, [101, 102, 103]),
        ({"supports_reservation": "false"}, [103]),
        ({"id__gt": "101", "sort": "-id"}, [103, 102]),
        ({"name__icontains": "biomass"}, [102]),
        ({"name__like": "PS%"}, [103]),
        ({"quota_total__isnull": "true"}, [103]),
        ({"id__notin": "101,102"}, [103]),
        ({"id__ne": "101", "limit": "1", "offset": "1"}, [103]),
    ):
        reply = await call("GET", products, *params.items())
        assert [each["id"] for each in reply.json["results"]] == ids, params
    page = (await call("GET", products, ("limit", "1"), ("offset", "1"), ("fields", "id"))).json
    assert page["results"] == [{"id": 102}]
    assert page["meta"]["next"].startswith(f"https://api.planet.com{products}?limit=1&offset=2")
    assert page["meta"]["prev"].startswith(f"https://api.planet.com{products}?limit=1&offset=0")
    for name, value in (("limit", "x"), ("colour", "red"), ("id__near", "1"), ("id__gt", "x"), ("sort", "x")):
        assert (await call("GET", products, (name, value))).status == 400
