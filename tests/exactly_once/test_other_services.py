"""Creating exactly once on services that change names, or whose clocks and lists are not as documented.

One resource for each create, or an UnsettledCreate that names it: never a second one.
"""

from collections.abc import Callable
from itertools import count
from typing import Any

import anyio
import msgspec
import pytest
from attrs import frozen
from test_exactly_once import APIS, LOST, NEVER_CAME, Api, Case, another, on_service

from planet_async import ApiKey, Config, Planet, Request, Response, UnsettledCreate
from planet_async.simulator import NAME_CHANGES, Fault, ServerRequest, Simulator
from planet_async.testing import FakeClock

pytestmark = [pytest.mark.anyio, pytest.mark.no_cover]


@pytest.fixture(params=APIS, ids=lambda api: api.name)
def api(request: pytest.FixtureRequest) -> Api:
    found: Api = request.param
    return found


CHANGES: dict[str, Callable[[str], str]] = {
    **NAME_CHANGES,
    "upper": str.upper,
    "control characters": lambda name: "".join(each for each in name if each.isprintable()),
    "trimmed to 64 and dashes": lambda name: name.replace(" ", "-")[:64],
    "ASCII": lambda name: name.encode("ascii", "replace").decode(),
    "prefixed": lambda name: f"ACME/{name.upper()}",
    "lost": lambda _: "untitled",
}
NAMES = ("  Field  7: Größe,\te\u0301tang \n", "field " + "x" * 120)


@pytest.mark.parametrize("change", CHANGES)
async def test_a_renamed_one_is_not_created_twice(api: Api, change: str) -> None:
    """Where nothing of the name is listed, what was created since is compared by its content."""
    for name in NAMES:
        case = on_service(api, FakeClock(), change_name=CHANGES[change])
        case.simulator.faults.add(LOST)
        await created_once(case, name)


@pytest.mark.parametrize("change", NAME_CHANGES)
async def test_a_renamed_one_is_adopted(api: Api, clock: FakeClock, change: str) -> None:
    """What services are known to make of a name leaves no doubt."""
    case = on_service(api, clock, change_name=NAME_CHANGES[change])
    for name in NAMES:
        case.simulator.faults.add(LOST)
        assert await case.create(name) in case.ids
    assert len(case.ids) == case.posts == 2


async def test_another_of_a_similar_name_is_not_taken_for_it(api: Api, clock: FakeClock) -> None:
    """Creates under way whose names a service makes the same each have their own."""
    case = on_service(api, clock, change_name=changed_to_one)
    for fault in (LOST, NEVER_CAME):
        for _ in range(3):
            case.simulator.faults.add(fault)
    ids: list[str] = []

    async def create(number: int) -> None:
        ids.append(await case.create(f"{'field ' * 20}{number}"))

    async with anyio.create_task_group() as group:
        for number in range(10):
            group.start_soon(create, number)
    assert sorted(ids) == sorted(case.ids)
    assert len(ids) == 10


def changed_to_one(name: str) -> str:
    return name[:100].strip().lower()


@pytest.mark.parametrize("lag", [12.0, 40.0, 300.0, -60.0])
@pytest.mark.parametrize("is_known", [True, False], ids=["known", "unknown"])
async def test_a_database_with_another_clock(api: Api, clock: FakeClock, lag: float, is_known: bool) -> None:
    """What was created looks too old, or new, by that clock; an answered create shows it."""
    case = on_service(api, clock, database_lag=lag)
    if is_known:
        await case.create("shows the clock")
        case.simulator.faults.add(LOST)
        assert await case.create() in case.ids
        assert len(case.ids) == case.posts == 2
    else:
        case.simulator.faults.add(LOST)
        await created_once(case, "field 7")


@pytest.mark.parametrize(("anyio_backend", "order"), [("asyncio", "oldest"), ("trio", "shuffled")])
@pytest.mark.parametrize("loss", [LOST, NEVER_CAME], ids=["after", "before"])
async def test_lists_that_are_not_sorted(api: Api, clock: FakeClock, order: str, loss: Fault) -> None:
    """A page of older ones is not taken for the end of the newer ones."""
    case = on_service(api, clock, list_order=order, page_size=3)
    older = [await case.create() for _ in range(20)]
    await clock.sleep(3600)
    case.simulator.faults.add(loss)
    assert {await case.create(), *older} == case.ids
    assert len(case.ids) == 21


async def test_lists_that_are_late(api: Api, clock: FakeClock) -> None:
    """What is listed within the default `consistency_delay` is waited for."""
    case = on_service(api, clock, list_delay=29.0)
    case.simulator.faults.add(Fault(method="POST", status=504, after=True, times=1))
    assert {await case.create()} == case.ids
    assert case.posts == 1


@pytest.mark.parametrize(
    "loss",
    [
        Fault(method="POST", status=504, after=True, times=1),
        Fault(method="POST", status=504, acts_after=40, times=1),
    ],
    ids=["listed late", "acted on late"],
)
async def test_the_second_is_cancelled_where_the_first_is_later_still(
    api: Api, clock: FakeClock, loss: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    """Sent again too early, the second is cancelled, the first is returned, and the log says both ids."""
    case = on_service(api, clock, list_delay=40.0 if loss.after else 0.0)
    case.simulator.faults.add(loss)
    found = await case.create()
    assert case.posts == len(case.ids) == 2
    assert case.ids - {found} == {id_ for id_ in case.ids if is_cancelled(case, id_)}
    assert all(id_ in caplog.text for id_ in case.ids)


async def test_a_second_that_cannot_be_cancelled_is_reported(api: Api, clock: FakeClock) -> None:
    """Both are candidates of the UnsettledCreate."""
    case = on_service(api, clock, list_delay=40.0)
    case.simulator.faults.add(Fault(method="POST", status=504, after=True, times=1))
    case.simulator.faults.add(Fault(status=409, when=cancels))
    with pytest.raises(UnsettledCreate, match="cancelling failed") as caught:
        await case.create()
    assert {*caught.value.candidates} == case.ids
    assert len(case.ids) == 2


def cancels(request: ServerRequest) -> bool:
    return request.operation.endswith(".cancel")


def is_cancelled(case: Case, id_: str) -> bool:
    one: Any = case.api.existing(case.simulator)[id_]
    if case.api.name == "tasking":
        return any(status == "CANCELLED" for _, status in one.steps)
    return "cancelled" in {getattr(one, "state", ""), getattr(one, "status", "")}


async def test_without_a_date_the_answered_creates_show_the_clock(api: Api, clock: FakeClock) -> None:
    """The service need not say its time once a create was answered."""
    case = on_service(api, clock, date_header=False)
    await case.create("shows the clock")
    for fault in (LOST, NEVER_CAME):
        case.simulator.faults.add(fault)
        assert await case.create() in case.ids
    assert len(case.ids) == 3


async def test_without_a_date_or_an_answered_create(api: Api, clock: FakeClock) -> None:
    """By this machine's clock nothing is certain: what may be it is reported; else it is sent again."""
    case = on_service(api, clock, date_header=False)
    case.simulator.faults.add(NEVER_CAME)
    assert {await case.create("another")} == case.ids
    case = on_service(api, FakeClock(), date_header=False)
    case.simulator.faults.add(LOST)
    with pytest.raises(UnsettledCreate, match="does not say its time") as caught:
        await case.create()
    assert {*caught.value.candidates} == case.ids


async def created_once(case: Case, name: str) -> None:
    """Create, and check that one thing is left, which is returned or a candidate."""
    try:
        found = {await case.create(name)}
    except UnsettledCreate as unsettled:
        found = {*unsettled.candidates}
    left = {id_ for id_ in case.ids if not is_cancelled(case, id_)}
    assert found == left, name
    assert len(left) == 1, name


async def test_another_process_at_the_same_time_is_warned_of(api: Api, clock: FakeClock) -> None:
    """Two processes that create the same name and content at once cannot tell whose is whose."""
    case = on_service(api, clock)
    other = Case(api, another(case.simulator, clock), case.simulator, clock)
    case.simulator.faults.add(LOST)
    case.simulator.faults.add(LOST)

    async def both() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(case.create)
            group.start_soon(other.create)

    with pytest.warns(RuntimeWarning, match="another process"):
        await both()
    assert len(case.ids) == 2


PATHS = {
    "orders": "/compute/ops/orders/v2",
    "subscriptions": "/subscriptions/v1",
    "tasking": "/tasking/v2/orders/",
}


@frozen
class Endless:
    """A network on which some lists have no end."""

    inner: Simulator
    fits: Callable[[Request], bool]
    body: Callable[[], bytes]

    async def send(self, request: Request) -> Response:
        response = await self.inner.send(request)
        if self.fits(request):
            return Response(200, response.headers, self.body(), url=request.url)
        return response

    async def aclose(self) -> None:
        pass


@pytest.mark.parametrize(
    ("anyio_backend", "everything"),
    [("asyncio", False), ("trio", True)],
    ids=["of the name", "of everything, on trio"],
)
async def test_a_list_without_an_end(api: Api, clock: FakeClock, everything: bool) -> None:
    """It is left after a bound of pages, and nothing is sent again."""
    case = on_service(api, clock)
    case.simulator.faults.add(NEVER_CAME)
    pages = count()

    def endless(request: Request) -> bool:
        is_everything = all(name != "name" for name, _ in request.params)
        return request.operation == api.lists and (is_everything or not everything)

    def body() -> bytes:
        link = f"{case.simulator.base_url}{PATHS[api.name]}?page={next(pages)}"
        older = {"id": f"{next(pages)}", "name": "other", "state": "queued", "status": "RECEIVED"}
        links = {"_links": {"next": link, "_next": link}, "next": link, "count": 10**9}
        return msgspec.json.encode({"orders": [older], "subscriptions": [older], "results": [older], **links})

    planet = Planet(
        Config(), credentials=ApiKey("any"), transport=Endless(case.simulator, endless, body), clock=clock
    )
    with pytest.raises(UnsettledCreate, match="looking it up failed"):
        await Case(api, planet, case.simulator, clock).create()
    assert case.posts == 1
    assert next(pages) < 1000


async def test_a_service_that_only_fails_is_quoted(api: Api, clock: FakeClock) -> None:
    """The error says first what became of the create itself, and then of the lookups."""
    case = on_service(api, clock)
    case.simulator.faults.add(Fault(method="POST", status=500, body=b'{"message": "no disk"}'))
    case.simulator.faults.add(Fault(status=502))
    with pytest.raises(UnsettledCreate) as caught:
        await case.create()
    text = str(caught.value)
    assert text.index("500") < text.index("502")
    assert "no disk" in text
