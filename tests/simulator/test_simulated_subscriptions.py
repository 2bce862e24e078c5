"""The simulated Subscriptions API by itself: statuses in time, filters, edits, results, refusals."""

import csv
import io
import math
from collections.abc import Mapping
from typing import Any

import pytest

from planet_async.simulator import Fault, Limits, Simulator, SubscriptionPlan
from planet_async.testing import FakeClock
from simulator.simulated import CREDENTIAL, GOOGLE, POLYGON, Caller, Reply, catalog, variable

pytestmark = pytest.mark.anyio

API = "/subscriptions/v1"
UNKNOWN = "00000000-0000-4000-8000-000000000000"
HUB = {"type": "sentinel_hub", "parameters": {}}
REF = {"type": "ref", "content": "pl:features/my/fields/7"}


async def created(call: Caller, request: Mapping[str, Any]) -> str:
    reply = await call("POST", API, json=request)
    assert reply.status == 200, reply.body
    return str(reply.json["id"])


async def shown(call: Caller, subscription_id: str) -> Any:
    return (await call("GET", f"{API}/{subscription_id}")).json


async def walk(call: Caller, path: str, key: str, *params: tuple[str, str]) -> list[Any]:
    found: list[Any] = []
    reply = await call("GET", path, *params)
    while True:
        assert reply.status == 200, reply.body
        found += reply.json[key]
        following = reply.json["_links"].get("next")
        if following is None:
            return found
        reply = await call("GET", following)


async def names(call: Caller, *params: tuple[str, str]) -> list[str]:
    return [each["name"] for each in await walk(call, API, "subscriptions", *params)]


def says(reply: Reply, status: int, text: str) -> bool:
    """Return whether it is a refusal in a form of this API, with that text."""
    if "error" in reply.json:
        found = reply.json["error"]
        said = found["reason"] == "Request failed schema validation" and text in " ".join(found["details"])
    else:
        said = reply.json["code"] == 0 and text in reply.json["message"]
    return reply.status == status and bool(said)


def with_source(**parameters: Any) -> dict[str, Any]:
    found = catalog()
    changed = {**found["source"]["parameters"], **parameters}
    return {
        **found,
        "source": {"parameters": {name: value for name, value in changed.items() if value != "-"}},
    }


async def test_statuses_follow_the_clock(call: Caller, clock: FakeClock, simulator: Simulator) -> None:
    """A subscription changes at its own moments, whether it is polled or not."""
    made = await created(call, variable())
    seen = []
    for seconds in (0, 4, 1, 5, 59, 1):
        clock.advance(seconds)
        seen.append((await shown(call, made))["status"])
    assert seen == ["preparing", "preparing", "pending", "running", "running", "completed"]
    late = await created(call, variable())
    clock.advance(1000)
    assert simulator.subscriptions[late].status == "completed"
    assert (await shown(call, late))["updated"] == "2026-01-01T00:02:20Z"


async def test_a_suspension_takes_no_time(call: Caller, clock: FakeClock) -> None:
    """The status continues where it stopped, and results are later by as much."""
    made = await created(call, variable())
    clock.advance(3)
    assert (await call("POST", f"{API}/{made}/suspend", json={"details": "why"})).json[
        "status"
    ] == "suspended"
    clock.advance(100)
    assert (await call("POST", f"{API}/{made}/reactivate")).status == 202
    clock.advance(1.5)
    assert (await shown(call, made))["status"] == "preparing"
    clock.advance(0.5 + 5 + 7)
    assert (await shown(call, made))["status"] == "running"
    await call("POST", f"{API}/{made}/suspend")
    clock.advance(1000)
    assert [each["status"] for each in await walk(call, f"{API}/{made}/results", "results")] == [
        "success",
        "queued",
    ]
    await call("POST", f"{API}/{made}/reactivate")
    clock.advance(1000)
    results = await walk(call, f"{API}/{made}/results", "results")
    # It began to run after 110 s, ran 7 of them, and stood still for 1000.
    assert results[1]["created"] == "2026-01-01T00:01:55.000001Z"
    assert results[1]["completed"] == "2026-01-01T00:18:40.000001Z"
    assert (await shown(call, made))["updated"] == "2026-01-01T00:19:30Z"


async def test_what_can_be_done_in_which_status(call: Caller, clock: FakeClock) -> None:
    """What is not possible in a status is a 409 that names it."""
    made = await created(call, catalog())

    async def act(action: str) -> Reply:
        return await call("POST", f"{API}/{made}/{action}")

    assert says(await act("cancel"), 409, "preparing cannot be cancelled")
    assert says(await act("reactivate"), 409, "preparing cannot be reactivated")
    clock.advance(5)
    assert (await act("cancel")).json == {"error": {}}
    for action in ("cancel", "suspend", "reactivate"):
        assert says(await act(action), 409, "cancelled cannot be")
    assert says(await call("POST", f"{API}/{UNKNOWN}/cancel"), 404, "No such subscription")


@pytest.mark.parametrize(("status", "runs"), [("failed", True), ("invalid", False)])
async def test_what_does_not_succeed(clock: FakeClock, status: Any, runs: bool) -> None:
    """A failed subscription has run, an invalid one has not; both say why, and only one can be cancelled."""
    plan = SubscriptionPlan(status=status, run_seconds=12)
    call = Caller(Simulator(clock=clock, subscription_plan=plan, limits=Limits.unlimited()))
    made = await created(call, variable())
    clock.advance(100)
    found = await shown(call, made)
    assert found["status"] == status
    assert found["error_hints"]
    results = await walk(call, f"{API}/{made}/results", "results")
    assert [each["status"] for each in results] == (["success", "success", "failed"] if runs else [])
    assert (await call("POST", f"{API}/{made}/cancel")).status == (200 if runs else 409)


async def test_what_is_shown(call: Caller, clock: FakeClock) -> None:
    """The type and the defaults are added, a reference is expanded, a collection made, secrets are hidden."""
    made = await shown(call, await created(call, catalog(geometry=REF, tools=[], notifications=None)))
    assert made["source"]["type"] == "catalog"
    parameters = made["source"]["parameters"]
    assert parameters["publishing_stages"] == ["standard", "finalized"]
    assert parameters["geometry"]["type"] == "Polygon"
    assert parameters["geom_ref"] == "pl:features/my/fields/7"
    assert made["delivery"]["parameters"] == {"bucket": "fields", "credentials": "<REDACTED>"}
    assert made["_links"]["results"].endswith(f"{made['id']}/results")
    hosted = await created(call, catalog(delivery=None, hosting=HUB))
    assert (await shown(call, hosted))["hosting"] == HUB
    clock.advance(20)
    assert (await shown(call, hosted))["hosting"]["parameters"]["collection_id"]
    new = variable()
    new["source"] = {"parameters": {**new["source"]["parameters"], "id": "NEW-1"}}
    assert (await shown(call, await created(call, new)))["source"]["type"] == "planetary_variable"


async def test_filters(call: Caller, clock: FakeClock) -> None:
    """Each filter selects what it says, alone and with others."""
    await created(call, catalog("scenes", geometry=REF))
    clock.advance(7)
    to = {"type": "destination", "parameters": {"ref": "pl:destinations/mine"}}
    await created(call, {**with_source(end_time="2027-01-01T00:00:00Z"), "name": "to mine", "delivery": to})
    await created(call, catalog("hosted", delivery=None, hosting=HUB))
    await created(call, variable("lake"))
    everything = ["lake", "hosted", "to mine", "scenes"]
    for params, expected in (
        ((), everything),
        ((("status", "pending"),), ["scenes"]),
        ((("status", "pending"), ("status", "preparing")), everything),
        ((("source_type", "soil_water_content"),), ["lake"]),
        ((("source_type", "all"), ("name", "lake")), ["lake"]),
        ((("name", "LAKE"),), []),
        ((("name__contains", "e"), ("hosting", "false")), ["lake", "to mine", "scenes"]),
        ((("hosting", "true"),), ["hosted"]),
        ((("geom_ref", "pl:features/my/fields"),), ["scenes"]),
        ((("geom_ref", "pl:features/my/fields/7"),), ["scenes"]),
        ((("geom_ref", "pl:features/my/field"),), []),
        ((("destination_ref", "pl:destinations/mine"),), ["to mine"]),
        ((("created", "2026-01-01T00:00:07Z/.."),), everything[:3]),
        ((("updated", "../2026-01-01T00:00:07Z"),), ["scenes"]),
        ((("start_time", "2026-01-01T00:00:00Z"),), everything),
        ((("end_time", "2026-01-01T00:00:00Z/.."),), ["to mine"]),
        ((("user_id", "all"),), everything),
        ((("user_id", "7"),), []),
        ((("page_size", "0"),), everything),
    ):
        assert await names(call, *params) == expected, params


@pytest.mark.parametrize(
    ("sort_by", "expected"),
    [
        ("name", "abcd"),
        ("name DESC", "dcba"),
        ("created", "dacb"),
        ("created DESC", "bcad"),
        ("end_time,name DESC", "bdca"),
        ("start_time,name", "abcd"),
        ("updated DESC,name", "bcad"),
    ],
)
async def test_sorting_across_pages(call: Caller, clock: FakeClock, sort_by: str, expected: str) -> None:
    """Any page size returns the same list, in the requested order; what never ends is the last."""
    ends = {"b": "2027-01-01T00:00:00Z", "a": "-", "c": "-", "d": "2028-01-01T00:00:00Z"}
    for name in "dacb":
        await created(call, {**with_source(end_time=ends[name]), "name": name})
        if name != "d":
            clock.advance(1)
    for size in ("1", "2", "3", "9"):
        found = await names(call, ("sort_by", sort_by), ("page_size", size))
        assert "".join(found) == expected


@pytest.mark.parametrize(
    "param",
    [
        ("status", "nonsense"),
        ("hosting", "maybe"),
        ("created", "yesterday"),
        ("sort_by", "colour"),
        ("page_size", "10001"),
        ("page_size", "many"),
        ("page_marker", "nonsense"),
        ("user_id", "me"),
    ],
)
async def test_a_wrong_parameter_is_refused(call: Caller, param: tuple[str, str]) -> None:
    """The refusal names the parameter, whether there is anything to list or not."""
    assert says(await call("GET", API, param), 400, param[0])
    made = await created(call, catalog())
    assert says(await call("GET", API, param), 400, param[0])
    if param[0] in {"status", "created", "page_size", "page_marker", "user_id"}:
        assert says(await call("GET", f"{API}/{made}/results", param), 400, param[0])


async def test_update_and_patch(call: Caller, clock: FakeClock) -> None:
    """PUT replaces all but the notifications, and returns the old one; PATCH changes fields."""
    notifications = {"webhook": {"url": "https://hook.example", "topics": ["status.all"]}}
    made = await created(
        call, catalog(notifications=notifications, tools=[{"type": "clip", "parameters": {}}])
    )
    clock.advance(1)
    reply = await call("PUT", f"{API}/{made}", json=catalog("new"))
    assert (reply.status, reply.json["name"]) == (200, "field")
    found = await shown(call, made)
    assert (found["name"], found["notifications"]) == ("new", notifications)
    assert "tools" not in found
    assert found["updated"] == "2026-01-01T00:00:01Z"
    assert says(
        await call("PUT", f"{API}/{made}", json=catalog(notifications=notifications)), 400, "notifications"
    )
    patched = (await call("PATCH", f"{API}/{made}", json={"name": "newer"})).json
    assert patched == {**found, "name": "newer"}
    assert says(await call("PATCH", f"{API}/{made}", json={}), 400, "name is required")
    assert says(await call("PATCH", f"{API}/{made}", json={"name": ""}), 400, "name is required")
    assert says(
        await call("PATCH", f"{API}/{made}", json={"delivery": found["delivery"]}), 400, "credentials"
    )
    assert says(await call("PUT", f"{API}/{UNKNOWN}", json=catalog()), 404, UNKNOWN)


async def test_what_cannot_be_changed(call: Caller, clock: FakeClock) -> None:
    """Hosting never, some fields not once it runs, nothing of what has ended or was of the past."""
    made = await created(call, catalog())

    async def put(request: Mapping[str, Any]) -> Reply:
        return await call("PUT", f"{API}/{made}", json=request)

    assert (await put(with_source(item_types=["SkySatScene"]))).status == 200
    assert says(await put(catalog(delivery=None, hosting=HUB)), 400, "hosting")
    clock.advance(20)
    assert says(await put(catalog()), 400, "item_types")
    same = with_source(item_types=["SkySatScene"])
    assert says(await put({**same, "tools": [{"type": "clip", "parameters": {}}]}), 400, "tools")
    moved = with_source(item_types=["SkySatScene"], start_time="2026-02-01T00:00:00Z")
    assert says(await put(moved), 400, "start_time")
    assert (await put({**same, "name": "new"})).status == 200
    clock.advance(1000)
    assert says(await put(same), 409, "completed cannot be changed")
    past = with_source(start_time="2025-01-01T00:00:00Z", end_time="2025-02-01T00:00:00Z")
    made = await created(call, past)
    assert says(await put(past), 400, "past")
    made = await created(call, with_source(start_time="2027-01-01T00:00:00Z"))
    clock.advance(20)
    assert (await put(with_source(start_time="2027-02-01T00:00:00Z"))).status == 200


async def test_results_grow(call: Caller, clock: FakeClock) -> None:
    """Results appear one after the other, and each has its steps."""
    made = await created(call, catalog())
    path = f"{API}/{made}/results"
    seen = []
    for seconds in (10, 2, 2, 1, 1000):
        clock.advance(seconds)
        seen.append([each["status"] for each in await walk(call, path, "results", ("page_size", "1"))])
    assert seen[:3] == [["created"], ["queued"], ["processing"]]
    assert seen[3] in (["success"], ["success", "created"])
    assert seen[4] == ["success"] * 6
    first = (await walk(call, path, "results"))[0]
    assert first["properties"]["item_types"] == ["PSScene"]
    assert first["errors"] == {}
    assert [name.rpartition("/")[0] for name in first["outputs"]] == [
        f"{made}/{first['properties']['item_id']}"
    ] * 2
    assert first["completed"] == "2026-01-01T00:00:15Z"


async def test_results_of_a_cancelled_subscription(call: Caller, clock: FakeClock) -> None:
    """What was not finished when it was cancelled is cancelled too, and is counted as such."""
    made = await created(call, variable())
    clock.advance(17)
    await call("POST", f"{API}/{made}/cancel")
    clock.advance(100)
    results = await walk(call, f"{API}/{made}/results", "results")
    assert [each["status"] for each in results] == ["success", "cancelled"]
    assert results[1]["updated"] == "2026-01-01T00:00:17Z"
    assert "completed" not in results[1]
    summary = (await call("GET", f"{API}/{made}/summary")).json
    assert summary["subscription"] == {"status": "cancelled"}
    assert (summary["results"]["success"], summary["results"]["cancelled"]) == (1, 1)
    counts = (await call("GET", f"{API}/summary")).json["subscriptions"]
    assert (counts["cancelled"], sum(counts.values())) == (1, 1)


async def test_filters_of_results(clock: FakeClock) -> None:
    """Each filter selects what it says, in both forms; pages begin after a moment."""
    plan = SubscriptionPlan(results=5, failed=1, result_seconds=10)
    call = Caller(Simulator(clock=clock, subscription_plan=plan, limits=Limits.unlimited(), page_size=2))
    made = await created(call, catalog())
    clock.advance(1000)
    path = f"{API}/{made}/results"
    everything = [each["id"] for each in await walk(call, path, "results")]
    assert len(set(everything)) == 5
    for param, expected in (
        (("status", "failed"), everything[4:]),
        (("created", "2026-01-01T00:00:30Z/.."), everything[2:]),
        (("updated", "../2026-01-01T00:00:30Z"), everything[:1]),
        (("completed", "2026-01-01T00:00:50Z/2026-01-01T00:00:51Z"), [everything[3]]),
        (("item_datetime", "2026-01-02T00:00:00Z"), [everything[1]]),
        (("page_marker", "2026-01-01T00:00:40.000003Z"), everything[4:]),
    ):
        assert [each["id"] for each in await walk(call, path, "results", param)] == expected, param
        if param[0] != "page_marker":
            text = (await call("GET", path, param, ("format", "csv"))).body.decode()
            assert [row["id"] for row in csv.DictReader(io.StringIO(text))] == expected
    assert (await call("GET", f"{API}/{UNKNOWN}/results")).status == 404


async def test_csv_has_the_columns_of_the_product(call: Caller, clock: FakeClock) -> None:
    """Scenes have files, variables have values; the errors of a failed one are JSON."""
    scenes, lake = await created(call, catalog()), await created(call, variable())
    clock.advance(1000)
    heads = []
    for each in (scenes, lake):
        reply = await call("GET", f"{API}/{each}/results", ("format", "csv"))
        assert reply.headers["content-type"] == "text/csv"
        heads.append(reply.body.split(b"\n")[0])
    assert b"outputs" in heads[0]
    assert b"band-1.mean" in heads[1]
    assert heads[0] != heads[1]


async def test_plans(clock: FakeClock) -> None:
    """A plan may follow from the request and its number; a refused one is a 400 with its message."""

    def plan(request: Mapping[str, Any], number: int) -> SubscriptionPlan:
        refuse = "no quota" if number == 1 else None
        return SubscriptionPlan(prepare_seconds=math.inf if request["name"] == "slow" else 0, refuse=refuse)

    simulator = Simulator(clock=clock, subscription_plan=plan, limits=Limits.unlimited())
    call = Caller(simulator)
    slow = await created(call, catalog("slow"))
    assert says(await call("POST", API, json=catalog()), 400, "no quota")
    clock.advance(10_000)
    assert simulator.subscriptions[slow].status == "preparing"
    assert (await call("POST", f"{API}/{slow}/suspend")).status == 202


TYPED = {"type": "clip", "parameters": {}}


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        ({}, "name is required"),
        ({"name": "x"}, "source with its parameters"),
        ({"name": "x", "source": {"type": "catalog"}}, "source with its parameters"),
        ({**catalog(), "source": {"type": 5, "parameters": {}}}, "source.type"),
        (with_source(item_types=["a", "b"]), "only one item type"),
        (with_source(item_types="PSScene"), "item_types is required"),
        (with_source(asset_types=[]), "asset_types is required"),
        (with_source(geometry={"type": "Point"}), "geometry must be"),
        (with_source(geometry=None), "geometry must be"),
        (with_source(publishing_stages=["draft"]), "publishing_stages"),
        (with_source(start_time="-"), "start_time is required"),
        (with_source(start_time=5), "start_time is no RFC 3339"),
        (with_source(end_time="2025-01-01T00:00:00Z"), "ends before"),
        ({"name": "x", "source": {"parameters": {"geometry": POLYGON}}}, "id is required"),
        (catalog(delivery=None), "delivery or hosting is required"),
        (catalog(hosting=HUB), "exclude each other"),
        (catalog(delivery={}), "delivery or hosting is required"),
        (catalog(delivery={"type": "pigeon", "parameters": {}}), "bad delivery type"),
        (catalog(delivery={"type": "planet_folders", "parameters": {}}), "bad delivery type"),
        (catalog(delivery={**GOOGLE, "parameters": {"bucket": "b"}}), "needs credentials"),
        (
            catalog(
                delivery=None,
                hosting={**HUB, "parameters": {"collection_id": "c", "create_configuration": True}},
            ),
            "exclude each other",
        ),
        (variable(tools=[TYPED]), "catalog only"),
        (catalog(tools=5), "tools must be"),
        (catalog(tools=[{"clip": {}}]), "tools must be"),
        (catalog(tools=[{"type": "composite", "parameters": {}}]), "bad tool composite"),
        (catalog(tools=[{"type": "reproject", "parameters": {}}]), "reproject needs projection"),
        (catalog(tools=[TYPED, {"type": "toar", "parameters": {}}]), "toar must not come after clip"),
        (
            catalog(tools=[{"type": "reproject", "parameters": {"projection": "x", "kernel": "best"}}]),
            "kernel",
        ),
        (catalog(tools=[{"type": "cloud_filter", "parameters": {"clear_percent": 90}}]), "clear_percent"),
        (catalog(tools=[{"type": "clip", "parameters": {"aoi": {"type": "Point"}}}]), "aoi"),
        (catalog(hosting={}, delivery=None), "hosting must have a type"),
        (
            catalog(delivery={**GOOGLE, "parameters": {"bucket": "b", "credentials": "<REDACTED>"}}),
            "credentials",
        ),
        (with_source(time_range_type="ordered"), "time_range_type"),
        (with_source(geometry_relation="touches"), "geometry_relation"),
        (with_source(rrule="FREQ=DAILY"), "rrule"),
        (with_source(geometry={"type": "ref", "content": "fields/7"}), "geometry must be"),
        (with_source(geometry={"type": "Polygon", "coordinates": [[[0, 0]] * 1501]}), "1500 vertices"),
        (catalog(notifications=5), "notifications.webhook"),
        (catalog(notifications={"webhook": {"url": "https://x", "topics": []}}), "notifications.webhook"),
    ],
)
async def test_refused_requests(call: Caller, request_: dict[str, Any], text: str) -> None:
    """Each thing that is wrong with a request is a 400 that says so, and nothing is created."""
    assert says(await call("POST", API, json=request_), 400, text)
    assert not call.simulator.subscriptions


async def test_refused_bodies_of_the_other_calls(call: Caller) -> None:
    """No JSON, no object, no ids, no collection: each is a 400."""
    made = await created(call, variable())
    assert says(await call("POST", API, body=b"{"), 400, "JSON object")
    assert says(await call("POST", API, body=b"[]"), 400, "JSON object")
    assert says(await call("POST", f"{API}/{made}/suspend", body=b"3"), 400, "JSON object")
    assert (await call("POST", f"{API}/{made}/suspend", body=b"null")).status == 202
    assert says(await call("POST", f"{API}/suspend", json={"subscription_ids": []}), 400, "list of ids")
    both = await call("POST", f"{API}/suspend", ("user_id", "all"), json={"subscription_ids": [made]})
    assert says(both, 400, "exclude each other")
    assert says(await call("POST", f"{API}/reactivate", json={"subscription_ids": [UNKNOWN]}), 404, UNKNOWN)
    assert says(await call("POST", f"{API}/bulk", json={"subscriptions": []}), 400, "list of one")
    assert says(await call("POST", f"{API}/bulk", json={"subscriptions": [catalog()]}), 400, "reference")


async def test_credentials_faults_and_slashes(call: Caller, simulator: Simulator) -> None:
    """The API stands behind the same gate as the others, with and without a slash at its end."""
    assert (await call("GET", API, headers={})).status == 401
    assert (await call("GET", f"{API}/", headers=CREDENTIAL)).status == 200
    simulator.faults.add(Fault(operation="subscriptions.list", status=503, times=1))
    assert [(await call("GET", API)).status for _ in range(2)] == [503, 200]
    assert (await call("DELETE", f"{API}/{UNKNOWN}")).status == 405


@pytest.mark.parametrize(
    "request_",
    [
        catalog(delivery=None, hosting={"type": "sentinel_hub"}),
        catalog(
            delivery=None,
            hosting={
                "type": "sentinel_hub",
                "parameters": {"collection_id": "c", "create_configuration": False},
            },
        ),
        variable(delivery={}),
        variable(delivery=None, hosting=None, tools=None, notifications=None),
        catalog(tools=[{"type": "cloud_filter", "parameters": {"clear_percent": {"gte": 90}}}]),
        with_source(
            rrule="FREQ=MONTHLY;BYMONTH=3,4", time_range_type="published", geometry_relation="within"
        ),
    ],
)
async def test_accepted_requests(call: Caller, clock: FakeClock, request_: dict[str, Any]) -> None:
    """What public scripts and notebooks send is accepted, and can be read while it runs."""
    made = await created(call, request_)
    clock.advance(15)
    found = await shown(call, made)
    assert found["status"] == "running"
    assert ("hosting" in found) == bool(request_.get("hosting"))
    assert "delivery" not in found or found["delivery"]


async def test_a_refusal_of_a_request_lists_all_problems(call: Caller) -> None:
    """A request that fails the schema is refused with a reason and details, as recorded."""
    reply = await call("POST", API, json={"name": "", "source": {"parameters": {}}})
    assert reply.json["error"]["reason"] == "Request failed schema validation"
    assert len(reply.json["error"]["details"]) > 2
