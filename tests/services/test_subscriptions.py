"""Subscriptions: each method against the simulator, or against recorded responses."""

import csv
import math
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import anyio
import attrs
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planet_async import (
    ApiKey,
    CatalogSource,
    Clip,
    Conflict,
    ConnectionLost,
    DecodeError,
    GoogleCloudStorage,
    InvalidRequest,
    NotFound,
    PagingError,
    Planet,
    PlanetError,
    ResultStatus,
    StatusUnreachable,
    Subscription,
    SubscriptionRequest,
    SubscriptionStatus,
    VariableSource,
    WaitTimeout,
)
from planet_async.models.codec import decode
from planet_async.services._csv import CsvParser
from planet_async.simulator import Fault, Simulator, SubscriptionPlan
from planet_async.testing import FakeClock, FakeTransport, reply

pytestmark = pytest.mark.anyio

POLYGON = {"type": "Polygon", "coordinates": [[[7.0, 46.5], [7.1, 46.5], [7.1, 46.6], [7.0, 46.5]]]}
START = datetime(2026, 1, 1, tzinfo=UTC)
BUCKET = GoogleCloudStorage(bucket="fields", credentials="the secret")
UNKNOWN = "00000000-0000-4000-8000-000000000000"
OTHER = "00000000-0000-4000-8000-000000000001"
BODY = {"id": UNKNOWN, "status": "running"}


def scenes(name: str = "field 7", **fields: Any) -> SubscriptionRequest:
    source = CatalogSource(["PSScene"], ["ortho_visual"], POLYGON, START)
    return SubscriptionRequest(name, source, **{"delivery": BUCKET, **fields})


def lake(name: str = "lake") -> SubscriptionRequest:
    return SubscriptionRequest(name, VariableSource("SWC-AMSR2-C_V1.0_100", POLYGON, START))


def replying(*replies: object) -> tuple[FakeTransport, Planet]:
    """Return a client whose network sends these responses in order, without retries."""
    transport = FakeTransport(replies)  # type: ignore[arg-type]
    return transport, Planet(credentials=ApiKey("any"), transport=transport, clock=FakeClock())


async def read_into(found: list[Any], rows: AsyncIterator[Any]) -> None:
    """Keep what comes before an error."""
    async for row in rows:
        found.append(row)  # noqa: PERF401 - a comprehension would lose what came


def body_of(transport: FakeTransport, index: int = 0) -> Any:
    return msgspec.json.decode(transport.requests[index].body or b"null")


async def test_create_returns_the_subscription(planet: Planet) -> None:
    """A model becomes a subscription, with what was requested; the secret is redacted."""
    made = await planet.subscriptions.create(scenes(tools=[Clip()]))
    assert str(UUID(made.id)) == made.id
    assert (made.name, made.status) == ("field 7", SubscriptionStatus.PREPARING)
    assert made.tools == ({"type": "clip", "parameters": {}},)
    assert made.delivery == {
        "type": "google_cloud_storage",
        "parameters": {"bucket": "fields", "credentials": "<REDACTED>"},
    }
    assert (await planet.subscriptions.get(UUID(made.id))).id == made.id
    assert (await planet.subscriptions.create(lake())).source["type"] == "soil_water_content"


async def test_create_takes_a_plain_mapping_as_it_is() -> None:
    """Fields that this package does not know are sent too; any 2xx is a success."""
    transport, planet = replying(reply(201, json=BODY))
    body = {"name": "x", "source": {"type": "new", "parameters": {"a": 1}}, "new_in_2027": True}
    await planet.subscriptions.create(body)
    assert body_of(transport) == body
    assert str(transport.requests[0]) == "POST https://api.planet.com/subscriptions/v1"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "x"},
        {"name": "x", "source": {"parameters": {"item_types": ["PSScene"]}}},
        {
            "name": "x",
            "source": {"type": "new", "parameters": {}},
            "hosting": {"type": "a"},
            "delivery": {"type": "b"},
        },
        {"name": "<REDACTED>", "source": {"type": "new", "parameters": {}}},
    ],
)
async def test_a_request_that_cannot_be_right_is_not_sent(
    planet: Planet, simulator: Simulator, body: dict[str, object]
) -> None:
    """A missing, wrong or blacked-out field is refused before the network, alone and in bulk."""
    for call in (
        planet.subscriptions.create(body),
        planet.subscriptions.create_bulk([scenes(), body]),
        planet.subscriptions.update(UNKNOWN, body),
    ):
        with pytest.raises(InvalidRequest):
            await call
    assert not simulator.requests


async def test_a_create_that_may_have_been_acted_on_is_not_sent_again(
    planet: Planet, simulator: Simulator
) -> None:
    """A subscription is never doubled: where asking fails too, the error says that it may exist."""
    simulator.faults.add(Fault(drop=True, after=True))
    for create in (planet.subscriptions.create(scenes()), planet.subscriptions.create_bulk([lake()])):
        with pytest.raises(PlanetError) as caught:
            await create
        assert caught.value.may_have_acted
    assert simulator.requests["subscriptions.create"] == simulator.requests["subscriptions.create_bulk"] == 1


CALLS: list[Callable[[Any, str], Any]] = [
    lambda api, bad: api.get(bad),
    lambda api, bad: api.update(bad, scenes()),
    lambda api, bad: api.patch(bad, {"name": "x"}),
    lambda api, bad: api.cancel(bad),
    lambda api, bad: api.suspend(bad),
    lambda api, bad: api.reactivate(bad),
    lambda api, bad: api.suspend_many([UNKNOWN, bad]),
    lambda api, bad: api.reactivate_many([UNKNOWN, bad]),
    lambda api, bad: api.results(bad),
    lambda api, bad: api.results_csv(bad),
    lambda api, bad: api.results_summary(bad),
    lambda api, bad: api.wait(bad, "running"),
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("bad", ["", "summary", "../../secret", UNKNOWN + "/cancel"])
async def test_an_id_that_is_no_uuid_is_refused_first(
    planet: Planet, simulator: Simulator, call: Callable[[Any, str], Any], bad: str
) -> None:
    """No wrong id reaches the network, where it would become another path."""
    with pytest.raises(InvalidRequest, match="no subscription id"):
        await call(planet.subscriptions, bad)
    assert not simulator.requests


async def test_get_of_an_unknown_subscription(planet: Planet) -> None:
    """NotFound has the message of the API and names the request."""
    with pytest.raises(NotFound, match=r"subscriptions\.get: 404 No such subscription"):
        await planet.subscriptions.get(UNKNOWN)


async def test_list_has_every_filter_of_the_api() -> None:
    """Each argument becomes the parameter of its name; statuses are repeated, `sort_by` is joined."""
    transport, planet = replying(reply(json={"subscriptions": []}), reply(json={"subscriptions": []}))
    await planet.subscriptions.list(
        status=[SubscriptionStatus.RUNNING, "suspended"],
        source_type="catalog",
        name="a b",
        name__contains="ä",
        created=(START, None),
        updated="../2026-02-01T00:00:00Z",
        start_time=START,
        end_time=(None, START),
        hosting=True,
        geom_ref="pl:features/my/fields",
        destination_ref="pl:destinations/default",
        user_id=7,
        sort_by=["name", "end_time DESC"],
        page_size=7,
    ).collect()
    assert sorted(transport.requests[0].params) == [
        ("created", "2026-01-01T00:00:00Z/.."),
        ("destination_ref", "pl:destinations/default"),
        ("end_time", "../2026-01-01T00:00:00Z"),
        ("geom_ref", "pl:features/my/fields"),
        ("hosting", "true"),
        ("name", "a b"),
        ("name__contains", "ä"),
        ("page_size", "7"),
        ("sort_by", "name,end_time DESC"),
        ("source_type", "catalog"),
        ("start_time", "2026-01-01T00:00:00Z"),
        ("status", "running"),
        ("status", "suspended"),
        ("updated", "../2026-02-01T00:00:00Z"),
        ("user_id", "7"),
    ]
    await planet.subscriptions.list().collect()
    assert transport.requests[1].params == (("page_size", "500"),)


async def test_results_have_every_filter_of_the_api() -> None:
    """The same filters go with both forms of the results; rows have no pages."""
    transport, planet = replying(reply(json={"results": []}), reply())
    filters: dict[str, Any] = {
        "status": ["success", ResultStatus.FAILED],
        "created": (START, None),
        "updated": (None, START),
        "completed": START,
        "item_datetime": "2026-01-01T00:00:00Z/..",
        "user_id": "all",
    }
    await planet.subscriptions.results(UNKNOWN, **filters).collect()
    assert [row async for row in planet.subscriptions.results_csv(UNKNOWN, **filters)] == []
    expected = [
        ("completed", "2026-01-01T00:00:00Z"),
        ("created", "2026-01-01T00:00:00Z/.."),
        ("item_datetime", "2026-01-01T00:00:00Z/.."),
        ("status", "failed"),
        ("status", "success"),
        ("updated", "../2026-01-01T00:00:00Z"),
        ("user_id", "all"),
    ]
    assert sorted(transport.requests[0].params) == sorted([*expected, ("page_size", "500")])
    assert sorted(transport.requests[1].params) == sorted([*expected, ("format", "csv")])
    assert {request.url for request in transport.requests} == {
        f"https://api.planet.com/subscriptions/v1/{UNKNOWN}/results"
    }


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ({"created": datetime(2026, 1, 1)}, "with its zone"),  # noqa: DTZ001 - that is the point
        ({"updated": "yesterday"}, "expected a time"),
        ({"page_size": 0}, "at least 1"),
    ],
)
async def test_a_filter_that_cannot_be_right_is_refused_first(
    planet: Planet, simulator: Simulator, filters: dict[str, Any], said: str
) -> None:
    """Nothing is sent for a time without a zone, or a page size of 0, a misspelt filter."""
    for make in (planet.subscriptions.list, lambda **given: planet.subscriptions.results(UNKNOWN, **given)):
        with pytest.raises(InvalidRequest, match=said):
            make(**filters)
    with pytest.raises(InvalidRequest, match=r"no filter 'stat'.*Did you mean status\?"):
        planet.subscriptions.list(stat="running")  # type: ignore[call-arg]
    assert not simulator.requests


async def test_list_goes_through_all_pages(planet: Planet, simulator: Simulator) -> None:
    """All subscriptions come, newest first, each once, and only those that are requested."""
    for number in range(7):
        await planet.subscriptions.create(scenes(f"{number}"))
    everything = [each.name async for each in planet.subscriptions.list(page_size=3)]
    assert everything == list("6543210")
    assert simulator.requests["subscriptions.list"] == 3
    some = planet.subscriptions.list(name__contains="3", status=["preparing"], source_type="catalog")
    assert [each.name for each in await some.collect()] == ["3"]


async def test_an_item_that_comes_again_on_a_later_page_is_left_out() -> None:
    """Lists move while they are read: each subscription and each result is given once."""

    def pages(key: str) -> Iterable[object]:
        ids = [["a", "b"], ["b", "c"], ["c"], ["a", "d"]]
        for number, page in enumerate(ids):
            links = {} if number == 3 else {"next": f"https://api.planet.com/subscriptions/v1/{number}"}
            items = [{"id": each, "status": "success"} for each in page]
            yield reply(json={key: items, "_links": links})

    _, planet = replying(*pages("subscriptions"), *pages("results"), *pages("results"))
    assert [each.id async for each in planet.subscriptions.list()] == list("abcd")
    results = planet.subscriptions.results(UNKNOWN)
    assert [each.id for each in await results.collect()] == list("abcd")
    assert [len(page) async for page in results.pages()] == [2, 1, 0, 1]


async def test_update_replaces_and_requests_again(planet: Planet, simulator: Simulator) -> None:
    """The response of the API shows what was before; what is returned is what is now."""
    made = await planet.subscriptions.create(scenes("old"))
    request = attrs.evolve(SubscriptionRequest.of(made), name="new", delivery=BUCKET)
    assert (await planet.subscriptions.update(made.id, request)).name == "new"
    mapping = {**msgspec.to_builtins(dict(made.raw)), "name": "newer", "delivery": None, "hosting": None}
    del mapping["delivery"]
    with pytest.raises(InvalidRequest, match="needs delivery or hosting"):
        await planet.subscriptions.update(made.id, mapping)
    assert simulator.requests["subscriptions.update"] == 1


async def test_a_fetched_subscription_may_go_back(planet: Planet) -> None:
    """One without secrets can be handed back as it came: only what an update takes is sent."""
    made = await planet.subscriptions.create(lake())
    assert (await planet.subscriptions.update(made.id, made)).source == made.source
    transport, planet = replying(reply(json=BODY), reply(json=BODY))
    with_more = {**made.raw, "notifications": {"webhook": {"url": "x", "topics": ["a"]}}, "tools": None}
    await planet.subscriptions.update(made.id, decode(Subscription, msgspec.json.encode(with_more)))
    assert body_of(transport) == {"name": "lake", "source": made.source}


async def test_what_is_blacked_out_never_travels_back(planet: Planet, simulator: Simulator) -> None:
    """What would overwrite a secret with its stand-in is refused, and the field is named."""
    made = await planet.subscriptions.create(scenes())
    for request in (made, SubscriptionRequest.of(made), dict(SubscriptionRequest.of(made).to_body())):
        with pytest.raises(InvalidRequest, match=r"\$\.delivery\.parameters\.credentials"):
            await planet.subscriptions.update(made.id, request)
    with pytest.raises(InvalidRequest, match=r"\$\.delivery\.parameters\.credentials"):
        await planet.subscriptions.patch(made.id, {"delivery": made.delivery})
    assert not simulator.requests["subscriptions.update"] + simulator.requests["subscriptions.patch"]


async def test_an_update_takes_no_notifications(planet: Planet, simulator: Simulator) -> None:
    """They are not in the schema of an update, so to send them would be to lose them."""
    notifications = {"webhook": {"url": "https://x", "topics": ["status.all"]}}
    with pytest.raises(InvalidRequest, match="no notifications"):
        await planet.subscriptions.update(UNKNOWN, scenes(notifications=notifications))
    assert not simulator.requests


async def test_patch_changes_single_fields(planet: Planet, simulator: Simulator) -> None:
    """A patch returns the subscription as it is then; one without a field is refused first."""
    made = await planet.subscriptions.create(scenes("old"))
    assert (await planet.subscriptions.patch(made.id, {"name": "new"})).name == "new"
    with pytest.raises(InvalidRequest, match="at least one field"):
        await planet.subscriptions.patch(made.id, {})
    assert simulator.requests["subscriptions.patch"] == 1


@pytest.mark.parametrize("operation", ["patch", "suspend", "reactivate", "cancel"])
async def test_repeatable_changes_survive_a_lost_response(
    planet: Planet, simulator: Simulator, clock: FakeClock, operation: str
) -> None:
    """The first attempt worked and its response was lost; the second finds that it has been done."""
    made = await planet.subscriptions.create(lake())
    clock.advance(20)
    if operation == "reactivate":
        await planet.subscriptions.suspend(made.id)
    simulator.faults.add(Fault(operation=f"subscriptions.{operation}", drop=True, after=True, times=1))
    calls = {
        "patch": lambda: planet.subscriptions.patch(made.id, {"name": "new"}),
        "suspend": lambda: planet.subscriptions.suspend(made.id, details="holiday"),
        "reactivate": lambda: planet.subscriptions.reactivate(made.id),
        "cancel": lambda: planet.subscriptions.cancel(made.id),
    }
    found = await calls[operation]()
    expected = {"suspend": "suspended", "cancel": "cancelled"}.get(operation, "running")
    assert found.status == expected
    assert simulator.requests[f"subscriptions.{operation}"] == 2


async def test_cancel_suspend_and_reactivate(planet: Planet, clock: FakeClock) -> None:
    """Each returns the subscription as it is then; what cannot be done is a Conflict."""
    made = await planet.subscriptions.create(lake())
    with pytest.raises(Conflict, match="preparing"):
        await planet.subscriptions.cancel(made.id)
    clock.advance(20)
    assert (await planet.subscriptions.suspend(made.id)).status is SubscriptionStatus.SUSPENDED
    assert (await planet.subscriptions.reactivate(made.id)).status is SubscriptionStatus.RUNNING
    assert (await planet.subscriptions.reactivate(made.id)).status is SubscriptionStatus.RUNNING
    assert (await planet.subscriptions.cancel(made.id)).status is SubscriptionStatus.CANCELLED
    assert (await planet.subscriptions.cancel(made.id)).status is SubscriptionStatus.CANCELLED
    with pytest.raises(Conflict):
        await planet.subscriptions.suspend(made.id)
    with pytest.raises(Conflict):
        await planet.subscriptions.reactivate(made.id)


@pytest.mark.parametrize("response", [reply(202), reply(json={"error": {}}), reply(204)])
async def test_cancel_requests_the_subscription_whatever_the_response(response: object) -> None:
    """An empty response is a success, too."""
    transport, planet = replying(response, reply(json={**BODY, "status": "cancelled"}))
    assert (await planet.subscriptions.cancel(UNKNOWN)).status is SubscriptionStatus.CANCELLED
    assert [request.method for request in transport.requests] == ["POST", "GET"]
    assert transport.requests[0].body is None


async def test_a_request_that_fails_after_a_change_says_so(planet: Planet, simulator: Simulator) -> None:
    """The change has been made, and the error says so."""
    made = await planet.subscriptions.create(lake())
    simulator.faults.add(Fault(operation="subscriptions.get", status=403))
    with pytest.raises(PlanetError) as caught:
        await planet.subscriptions.patch(made.id, {"name": "new"})
    assert caught.value.__notes__ == [
        "The API has accepted the change; only the request for it afterwards failed."
    ]


async def test_many_are_suspended_and_reactivated(
    planet: Planet, simulator: Simulator, clock: FakeClock
) -> None:
    """By id in one request, a repeated one once; or all of the account."""
    ids = [(await planet.subscriptions.create(lake(str(number)))).id for number in range(3)]
    clock.advance(20)

    def suspended() -> list[bool]:
        return [simulator.subscriptions[each].status == "suspended" for each in ids]

    await planet.subscriptions.suspend_many([*ids[:2], UUID(ids[0])], details="holiday")
    assert suspended() == [True, True, False]
    await planet.subscriptions.reactivate_many(ids[:1])
    assert suspended() == [False, True, False]
    await planet.subscriptions.suspend_all(user_id="all", details="winter")
    assert suspended() == [True] * 3
    await planet.subscriptions.reactivate_all()
    assert suspended() == [False] * 3
    assert simulator.requests["subscriptions.suspend_many"] == 2


async def test_what_the_bulk_calls_send() -> None:
    """Ids, details and user go where the API wants them; all of the user is no body at all."""
    transport, planet = replying(*[reply(202)] * 4)
    await planet.subscriptions.suspend_many([UNKNOWN, OTHER, UNKNOWN], details="holiday")
    await planet.subscriptions.reactivate_many([OTHER])
    await planet.subscriptions.suspend_all(user_id="all", details="winter")
    await planet.subscriptions.reactivate_all()
    paths = [
        request.url.removeprefix("https://api.planet.com/subscriptions/v1") for request in transport.requests
    ]
    assert paths == ["/suspend", "/reactivate", "/suspend", "/reactivate"]
    assert [body_of(transport, index) for index in range(4)] == [
        {"subscription_ids": [UNKNOWN, OTHER], "details": "holiday"},
        {"subscription_ids": [OTHER]},
        {"details": "winter"},
        None,
    ]
    assert [request.params for request in transport.requests] == [(), (), (("user_id", "all"),), ()]
    assert [request.repeatable for request in transport.requests] == [True, True, False, False]


async def test_nothing_sends_nothing(planet: Planet, simulator: Simulator) -> None:
    """An empty list must never become the empty body, which stands for all."""
    await planet.subscriptions.create(lake())
    simulator.requests.clear()
    await planet.subscriptions.suspend_many([])
    await planet.subscriptions.reactivate_many(iter(()))
    created = await planet.subscriptions.create_bulk([])
    assert await created.collect() == []
    assert [each async for each in created] == []
    with pytest.raises(InvalidRequest, match="user_id must be 'all'"):
        await planet.subscriptions.suspend_all(user_id="7")
    assert not simulator.requests


async def test_bulk_creation_returns_the_list_of_what_was_created(planet: Planet) -> None:
    """A subscription for each feature of the collection, found by the link in the response."""
    source = VariableSource("SWC-AMSR2-C_V1.0_100", "pl:features/my/fields", START)
    await planet.subscriptions.create(lake())
    created = await planet.subscriptions.create_bulk([SubscriptionRequest("fields", source)])
    refs = [each.source["parameters"]["geom_ref"] async for each in created]
    assert sorted(refs) == [f"pl:features/my/fields/{number}" for number in range(3)]


@pytest.mark.parametrize(
    ("links", "error"), [({"list": "https://elsewhere.example/x"}, PagingError), ({}, DecodeError)]
)
async def test_a_list_link_that_leads_nowhere(links: object, error: type[PlanetError]) -> None:
    """No link, or one to another origin, is an error; nothing is sent there."""
    transport, planet = replying(reply(json={"_links": links}))
    with pytest.raises(error):
        await planet.subscriptions.create_bulk([lake()])
    assert len(transport.requests) == 1


async def test_both_summaries(planet: Planet, clock: FakeClock) -> None:
    """Subscriptions and results are counted by status."""
    made = await planet.subscriptions.create(scenes())
    clock.advance(20.001)
    await planet.subscriptions.create(scenes())
    counts = (await planet.subscriptions.summary(user_id="all")).subscriptions
    assert (counts.running, counts.preparing, counts.invalid) == (1, 1, 0)
    summary = await planet.subscriptions.results_summary(made.id)
    assert summary.status is SubscriptionStatus.RUNNING
    assert summary.results.success == 2


async def test_results(planet: Planet, clock: FakeClock) -> None:
    """Results come across pages, with their files, and can be filtered."""
    made = await planet.subscriptions.create(scenes())
    clock.advance(1000)
    results = await planet.subscriptions.results(made.id, page_size=2).collect()
    assert len(results) == 6
    assert {result.status for result in results} == {ResultStatus.SUCCESS}
    assert all(result.outputs[0].startswith(f"{made.id}/{result.item_id}/") for result in results)
    created = results[3].created
    assert created is not None
    later = planet.subscriptions.results(made.id, created=(created, None), status="success")
    assert await later.collect() == results[3:]


async def test_rows_of_a_variable(planet: Planet, clock: FakeClock) -> None:
    """Each row is a mapping by column; the status is lower case, an empty cell an empty text."""
    made = await planet.subscriptions.create(lake())
    clock.advance(1000)
    rows = [row async for row in planet.subscriptions.results_csv(made.id)]
    assert len(rows) == 6
    assert {row["status"] for row in rows} == {"success"}
    assert [row["band-1.mean"] for row in rows] == ["270.5", "271.5", "", "273.5", "274.5", ""]
    assert rows[0]["errors"] == "{}"


async def test_rows_with_line_ends_in_their_cells(planet: Planet, clock: FakeClock) -> None:
    """A quoted cell may hold line ends, commas and quotes."""
    made = await planet.subscriptions.create(scenes())
    clock.advance(1000)
    rows = [row async for row in planet.subscriptions.results_csv(made.id, status="success")]
    results = await planet.subscriptions.results(made.id).collect()
    assert [row["outputs"].split("\n") for row in rows] == [list(result.outputs) for result in results]


async def test_rows_come_as_they_arrive() -> None:
    """No more of the body is read than is iterated over, and leaving the loop closes the connection."""
    taken = 0

    def chunks() -> Iterable[bytes]:
        nonlocal taken
        yield b"id,status\n"
        for number in range(1000):
            taken += 1
            yield b"%d,SUCCESS\n" % number

    transport, planet = replying(reply(chunks=chunks()))
    rows: Any = planet.subscriptions.results_csv(UNKNOWN)
    assert not transport.requests
    assert [await anext(rows) for _ in range(3)] == [{"id": str(n), "status": "success"} for n in range(3)]
    assert taken < 10
    await rows.aclose()
    assert transport.open_responses == 0
    assert taken < 10


async def test_a_break_closes_the_connection() -> None:
    """After leaving the loop, nothing has to be closed; empty lines are no rows."""
    lines = [b"id\n\n", *[b"%d\n\n" % number for number in range(1000)]]
    transport, planet = replying(reply(chunks=lines))
    async for row in planet.subscriptions.results_csv(UNKNOWN):
        assert row == {"id": "0"}
        break
    await anyio.wait_all_tasks_blocked()
    assert transport.open_responses == 0


async def test_rows_before_a_lost_connection_are_yielded(
    planet: Planet, simulator: Simulator, clock: FakeClock
) -> None:
    """Rows that arrived are given; then the error is raised, rather than an end that is none."""
    made = await planet.subscriptions.create(lake())
    clock.advance(1000)
    simulator.faults.add(Fault(operation="subscriptions.results", cut=400))
    rows: list[Any] = []
    with pytest.raises(ConnectionLost):
        await read_into(rows, planet.subscriptions.results_csv(made.id))
    assert 0 < len(rows) < 6


@pytest.mark.parametrize(
    ("chunks", "says", "before"),
    [
        ([b"<html><body>Bad gateway"], "it has no column 'id'; its columns are '<html><body>Bad gateway", 0),
        ([b"id,status\n1,x\n2\n"], "row 3 of the CSV document: it has 1 cells, and the header 2", 1),
        ([b"id,status\n1,x\n", b'2,"y\n'], "it ends within a quoted cell", 1),
        ([b"id,status\n1,x\n", b"2,\xff\n"], "it is not UTF-8", 1),
        ([b'id,status\n1,x\n2,"y"z\n'], "row 2 of the CSV document: ", 1),
        ([b"id,status\n1,x\n2," + b"y" * (1 << 22)], "a row does not end", 1),
    ],
)
async def test_a_document_that_is_no_results(chunks: list[bytes], says: str, before: int) -> None:
    """What is no CSV of results is a DecodeError that says what is wrong, after the rows before it."""
    transport, planet = replying(reply(chunks=chunks))
    rows: list[Any] = []
    with pytest.raises(DecodeError, match=says) as caught:
        await read_into(rows, planet.subscriptions.results_csv(UNKNOWN))
    assert len(rows) == before
    assert caught.value.request is not None
    assert transport.open_responses == 0


async def test_recorded_rows(samples: Path) -> None:
    """The recorded document comes whole, whatever pieces it arrives in."""
    body = (samples / "subscriptions" / "results_lst_2025.csv").read_bytes()
    whole: list[Any] = []
    for size in (len(body), 100, 7):
        pieces = [body[start : start + size] for start in range(0, len(body), size)]
        _, planet = replying(reply(chunks=pieces))
        rows = [row async for row in planet.subscriptions.results_csv(UNKNOWN)]
        whole = whole or rows
        assert rows == whole
    assert len(whole) == body.count(b"\n") + (not body.endswith(b"\n")) - 1
    assert whole[0]["status"] == "success"
    assert whole[0]["lst.band-1.mean"] == "266.34"
    assert "" in {row["lst.band-1.mean"] for row in whole}


cells = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6) | st.sampled_from(
    ['"', "\n", ",", 'a"b', "\n\n", ""]
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.integers(2, 4).flatmap(
        lambda width: st.lists(st.lists(cells, min_size=width, max_size=width), max_size=5)
    ),
    st.lists(st.integers(1, 9), min_size=1, max_size=5),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_any_csv_in_any_pieces(table: list[list[str]], sizes: list[int], line_end: str, marked: bool) -> None:
    """Whatever is in the cells, and wherever the chunks are cut, the rows are those that were written."""
    width = len(table[0]) if table else 2
    header = [f"c{index}" for index in range(width)]
    quoted = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in [header, *table]]
    body = ("\ufeff" if marked else "").encode() + line_end.join(quoted).encode()
    parser, rows, start, turn = CsvParser(), [], 0, 0
    while start < len(body):
        size = sizes[turn % len(sizes)]
        rows += list(parser.feed(body[start : start + size]))
        start, turn = start + size, turn + 1
    rows += list(parser.feed(b"", final=True))
    assert rows == [dict(zip(header, row, strict=True)) for row in table]


@pytest.mark.no_cover
@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
@pytest.mark.parametrize("long", ["x" * 150_000, 'a "b", c\r\nd' * 12_500, '"' * 140_000, "ä\n" * 75_000])
async def test_a_cell_of_any_length(long: str, end: str) -> None:
    """Python's csv module refuses cells above 131,072 characters; its limit is not ours to change."""
    limit = csv.field_size_limit()
    quoted = long.replace('"', '""')
    text = f'id,errors,plain,last{end or chr(10)}1,"{quoted}",{"y" * 140_000},{end}'
    _, planet = replying(reply(body=text))
    rows = [row async for row in planet.subscriptions.results_csv(UNKNOWN)]
    assert rows == [{"id": "1", "errors": long, "plain": "y" * 140_000, "last": ""}]
    assert csv.field_size_limit() == limit
    _, planet = replying(reply(body=f'id,errors\n1,"{quoted}"x\n'))
    with pytest.raises(DecodeError, match="',' expected after"):
        await anext(planet.subscriptions.results_csv(UNKNOWN))


@pytest.mark.parametrize("start", [b"a,b\n", b'a,b\n"\n'], ids=["a line", "a quoted cell"])
def test_a_long_line_in_small_chunks_is_not_copied_for_each(start: bytes) -> None:
    """The work grows with the bytes, not with their square: a chunk that ends no line costs its own size."""
    parser = CsvParser()
    list(parser.feed(start + b"x" * (1 << 20)))
    copied = 0
    tracemalloc.start()
    try:
        for _ in range(100):
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            list(parser.feed(b"y"))
            copied += tracemalloc.get_traced_memory()[1] - before > 1 << 18
    finally:
        tracemalloc.stop()
    assert copied <= 1, "once it may need more room"


async def test_wait_returns_the_subscription_in_that_status(planet: Planet) -> None:
    """Each change is seen once on the way."""
    made = await planet.subscriptions.create(lake())
    seen: list[str] = []
    found = await planet.subscriptions.wait(
        made.id, "completed", timeout=600, on_update=lambda each: seen.append(each.status)
    )
    assert found.status is SubscriptionStatus.COMPLETED
    assert seen == ["preparing", "pending", "running", "completed"]


@pytest.mark.parametrize(
    ("plan", "status", "ended"),
    [
        (SubscriptionPlan(), "cancelled", "completed"),
        (SubscriptionPlan(status="failed"), "completed", "failed"),
        (SubscriptionPlan(status="invalid"), "running", "invalid"),
        (SubscriptionPlan(), "a status of 2031", "completed"),
    ],
)
async def test_wait_for_what_will_not_happen(
    clock: FakeClock, plan: SubscriptionPlan, status: str, ended: str
) -> None:
    """Once it has ended otherwise the wait ends, and the error says how."""
    simulator = Simulator(clock=clock, subscription_plan=plan)
    async with Planet(credentials=ApiKey("any"), transport=simulator, clock=clock) as planet:
        made = await planet.subscriptions.create(lake())
        with pytest.raises(StatusUnreachable, match=f"is {ended}, and will not be {status} any more"):
            await planet.subscriptions.wait(made.id, status)


async def test_what_has_failed_can_still_be_cancelled(clock: FakeClock) -> None:
    """A wait for the cancellation of a failed subscription goes on."""
    simulator = Simulator(clock=clock, subscription_plan=SubscriptionPlan(status="failed"))
    async with Planet(credentials=ApiKey("any"), transport=simulator, clock=clock) as planet:
        made = await planet.subscriptions.create(lake())
        with pytest.raises(WaitTimeout):
            await planet.subscriptions.wait(made.id, "cancelled", timeout=600)
        await planet.subscriptions.cancel(made.id)
        assert (await planet.subscriptions.wait(made.id, "cancelled")).id == made.id


async def test_wait_has_an_end(clock: FakeClock) -> None:
    """What takes for ever ends as a WaitTimeout, which is a TimeoutError too."""
    simulator = Simulator(clock=clock, subscription_plan=SubscriptionPlan(run_seconds=math.inf))
    async with Planet(credentials=ApiKey("any"), transport=simulator, clock=clock) as planet:
        made = await planet.subscriptions.create(lake())
        with pytest.raises(TimeoutError, match="after 100 s"):
            await planet.subscriptions.wait(made.id, SubscriptionStatus.COMPLETED, timeout=100)
    assert clock.monotonic() <= 100


async def test_wait_many_yields_each_as_it_has_the_status(planet: Planet) -> None:
    """One outcome for each id; what was cancelled, or is unknown, is an error, and stops no other."""
    ids = [(await planet.subscriptions.create(lake(str(number)))).id for number in range(8)]
    await planet.subscriptions.wait(ids[0], "running")
    await planet.subscriptions.cancel(ids[0])
    outcomes = {
        outcome.id: outcome
        async for outcome in planet.subscriptions.wait_many([*ids, ids[1].upper(), UNKNOWN], "completed")
    }
    assert outcomes.keys() == {*ids, UNKNOWN}
    assert isinstance(outcomes[ids[0]].error, StatusUnreachable)
    assert isinstance(outcomes[UNKNOWN].error, NotFound)
    assert {outcomes[id_].unwrap().status for id_ in ids[1:]} == {"completed"}
    late = planet.subscriptions.wait_many(ids[:1], "running", timeout=0)
    assert isinstance((await anext(late)).error, StatusUnreachable)
    with pytest.raises(InvalidRequest, match="is no status"):
        planet.subscriptions.wait_many(ids, "")


async def test_bulk_calls_account_for_every_id(planet: Planet) -> None:
    """Each id once, in lower case, however it is written."""
    ids = [(await planet.subscriptions.create(lake(str(number)))).id for number in range(2)]
    for call in (planet.subscriptions.suspend_many, planet.subscriptions.reactivate_many):
        result = await call([*ids, ids[0].upper(), UUID(ids[1])])
        assert (result.succeeded, result.ids, result.failures) == (2, tuple(ids), ())
        assert (await call([])).succeeded == 0
