"""Cancelling many orders: whatever goes wrong on the way, every id is accounted for, and rightly."""

import math
import tracemalloc
from collections.abc import Callable, Sequence
from itertools import pairwise
from uuid import UUID, uuid4

import anyio
import anyio.lowlevel
import msgspec
import pytest

from planet_async import (
    ApiKey,
    BulkFailure,
    BulkResult,
    Config,
    FailureReason,
    InvalidRequest,
    Planet,
    ServerError,
)
from planet_async._tasks import on_asyncio
from planet_async.http import Request, Response
from planet_async.simulator import Fault, OrderPlan, Simulator
from planet_async.testing import FakeClock

pytestmark = pytest.mark.anyio

BULK = "orders.cancel_many"
QUEUED = OrderPlan(queue_seconds=math.inf)
RUNNING = OrderPlan(queue_seconds=0, run_seconds=math.inf)


def ids_of(first: int, count: int) -> list[str]:
    """Return ids with letters in them, in order."""
    return [f"abcdef00-0000-4000-8000-{number:012x}" for number in range(first, first + count)]


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send 100 ids in a request, where a test is not about their number."""
    monkeypatch.setattr("planet_async.services._bulk_cancel._MOST_IDS", 100)


def fill(simulator: Simulator, count: int, plan: OrderPlan = QUEUED) -> list[str]:
    """Put orders into the simulator's store without a request for each."""
    ids = ids_of(len(simulator.orders), count)
    for order_id in ids:
        simulator._orders.add(order_id, {"name": "", "products": []}, plan)
    return ids


def by_reason(result: BulkResult) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {"cancelled": [*result.ids]}
    for failure in result.failures:
        groups.setdefault(failure.reason, []).append(failure.id)
    return {reason: sorted(ids) for reason, ids in groups.items() if ids}


@pytest.mark.no_cover
async def test_a_quarter_of_a_million(planet: Planet, simulator: Simulator, clock: FakeClock) -> None:
    """250,000 ids take 25 requests, concurrently at 5 a second, and each id is in one group."""
    requests = 25 if on_asyncio() else 6
    ids = fill(simulator, requests * 10_000)
    result = await planet.orders.cancel_many(ids)
    assert simulator.requests == {BULK: requests}
    assert simulator.responses == {(BULK, 200): requests}
    assert clock.monotonic() < 1 + requests / 5
    assert (result.succeeded, result.failures) == (len(ids), ())
    assert set(result.ids) == set(ids)
    assert {order.state for order in simulator.orders.values()} == {"cancelled"}


@pytest.mark.no_cover
@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # to trace memory takes its time
async def test_what_many_ids_weigh(clock: FakeClock) -> None:
    """The client keeps the ids, and no other object for each that is cancelled."""
    ids = ids_of(0, 100_000)
    async with Planet(Config(), credentials=ApiKey("any"), transport=_Agrees(), clock=clock) as planet:
        tracemalloc.start()
        result = await planet.orders.cancel_many(ids)
        kept, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert result.succeeded == len(ids)
    assert kept < 120 * len(ids)
    assert peak < 320 * len(ids)


@pytest.mark.usefixtures("small_parts")
async def test_every_id_is_in_one_group(planet: Planet, simulator: Simulator) -> None:
    """Cancelled, already final and not found are distinguished; an id counts once, however it is written."""
    queued, running = fill(simulator, 120), fill(simulator, 30, RUNNING)
    unknown = [str(uuid4()) for _ in range(70)]
    requested = [*queued, *running, *unknown]
    twice = [id_.upper() for id_ in requested]
    result = await planet.orders.cancel_many([*requested, *twice, UUID(queued[0])])
    assert by_reason(result) == {
        "cancelled": queued,
        "already_final": running,
        "not_found": sorted(unknown),
    }
    assert result.succeeded == len(queued)
    assert simulator.requests[BULK] == 3


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize(
    "fault", [Fault(status=500), Fault(drop=True), Fault(status=429), Fault(refused=True)]
)
async def test_a_part_that_fails_for_a_moment_is_sent_again(
    planet: Planet, simulator: Simulator, fault: Fault
) -> None:
    """Only that part, and nothing is looked up where the last response was clear."""
    ids = fill(simulator, 201)
    simulator.faults.add(_first(fault, BULK))
    result = await planet.orders.cancel_many(ids)
    assert (result.succeeded, result.failures) == (201, ())
    assert simulator.requests == {BULK: 4}


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("how", [{"drop": True}, {"status": 500}, {"status": 502}])
async def test_a_part_whose_response_is_lost_counts_what_it_has_done(
    planet: Planet, simulator: Simulator, clock: FakeClock, how: dict[str, object]
) -> None:
    """The second response calls cancelled orders not cancellable; the list shows which are cancelled now."""
    earlier, running, queued = fill(simulator, 2), fill(simulator, 2, RUNNING), fill(simulator, 596)
    await planet.orders.cancel_many(earlier)
    clock.advance(3600)
    simulator.requests.clear()
    simulator.faults.add(Fault(after=True, times=1, when=_holds(queued[0]), **how))  # type: ignore[arg-type]
    result = await planet.orders.cancel_many([*earlier, *running, *queued])
    assert by_reason(result) == {"cancelled": queued, "already_final": sorted(earlier + running)}
    assert simulator.requests[BULK] == 7
    assert simulator.requests["orders.list"] == 2
    assert simulator.requests["orders.get"] == 4


@pytest.mark.usefixtures("small_parts")
async def test_a_part_refused_for_good_fails_its_own_ids_only(planet: Planet, simulator: Simulator) -> None:
    """The others are cancelled; those of the part say why they are not."""
    ids = fill(simulator, 300)
    refused = ids[100:200]
    simulator.faults.add(Fault(status=400, body=b'{"message": "no"}', when=_holds(refused[0])))
    result = await planet.orders.cancel_many(ids)
    assert by_reason(result) == {"cancelled": ids[:100] + ids[200:], "failed": refused}
    assert "400 no" in result.failures[0].message
    assert simulator.requests == {BULK: 3}


@pytest.mark.usefixtures("small_parts")
async def test_a_part_without_a_response_is_looked_up(planet: Planet, simulator: Simulator) -> None:
    """It may have been acted on: what the list shows is cancelled, the others have failed."""
    ids = fill(simulator, 120)
    last = ids[100:]
    simulator.faults.add(Fault(status=503, after=True, when=_holds(last[0])))
    result = await planet.orders.cancel_many(ids)
    assert (result.succeeded, result.failures) == (120, ())
    simulator.faults.clear()
    more = fill(simulator, 120)
    simulator.faults.add(Fault(status=503, when=_holds(more[-1])))
    result = await planet.orders.cancel_many(more)
    assert by_reason(result) == {"cancelled": more[:100], "failed": more[100:]}
    assert "503" in result.failures[0].message
    assert "it is queued" in result.failures[0].message


@pytest.mark.usefixtures("small_parts")
async def test_without_any_response_the_error_is_raised(planet: Planet, simulator: Simulator) -> None:
    """Without any response there is no result to return."""
    ids = fill(simulator, 101)
    simulator.faults.add(Fault(operation=BULK, status=500))
    with pytest.raises(ServerError):
        await planet.orders.cancel_many(ids)
    assert not simulator.requests["orders.list"]


async def test_max_attempts_bounds_bulk_cancels(simulator: Simulator, clock: FakeClock) -> None:
    """`max_attempts` holds here as everywhere."""
    ids = fill(simulator, 1)
    simulator.faults.add(Fault(operation=BULK, status=500))
    config = Config(max_attempts=1)
    async with Planet(config, credentials=ApiKey("any"), transport=simulator, clock=clock) as planet:
        with pytest.raises(ServerError):
            await planet.orders.cancel_many(ids)
    assert simulator.requests == {BULK: 1}


async def test_verify_finds_orders_that_were_only_reported_as_cancelled(
    planet: Planet, simulator: Simulator
) -> None:
    """An order that is not cancelled, though the response says so, ends in `failures` with what it is."""
    ids, running = fill(simulator, 3), fill(simulator, 1, RUNNING)
    simulator.faults.add(Fault(operation=BULK, body=_reply(4, []), times=1))  # it acts, and lies
    result = await planet.orders.cancel_many([*ids, *running], verify=True)
    assert by_reason(result) == {"cancelled": ids, "already_final": running}
    assert "it is running" in result.failures[0].message
    more = fill(simulator, 2)
    simulator.faults.add(Fault(operation=BULK, status=200, body=_reply(2, [])))  # it does not act
    assert (await planet.orders.cancel_many(more)).succeeded == 2
    result = await planet.orders.cancel_many(more, verify=True)
    assert by_reason(result) == {"failed": more}
    assert "it is queued" in result.failures[0].message


async def test_verify_follows_the_list(planet: Planet, simulator: Simulator) -> None:
    """2,000 orders take four pages, not 2,000 lookups."""
    ids = fill(simulator, 2_000)
    result = await planet.orders.cancel_many(ids, verify=True)
    assert (result.succeeded, result.failures) == (2_000, ())
    assert simulator.requests == {BULK: 1, "orders.list": 4}


async def test_verify_waits_for_a_list_that_is_late(planet: Planet, simulator: Simulator) -> None:
    """The list may lag behind: what it does not show at first is looked for again."""
    ids = fill(simulator, 400)
    simulator.faults.add(Fault(operation="orders.list", status=200, body=b'{"orders": []}', times=1))
    result = await planet.orders.cancel_many(ids, verify=True)
    assert (result.succeeded, result.failures) == (400, ())
    assert simulator.requests == {BULK: 1, "orders.list": 2}


async def test_what_cannot_be_verified_is_not_called_cancelled(planet: Planet, simulator: Simulator) -> None:
    """Where the lookups fail, too, the ids are reported with both reasons."""
    ids = fill(simulator, 50)
    simulator.faults.add(Fault(operation="orders.list", status=403))
    result = await planet.orders.cancel_many(ids, verify=True)
    assert by_reason(result) == {"failed": ids}
    assert "the API says that it is cancelled" in result.failures[0].message
    assert "orders.list: 403" in result.failures[0].message


@pytest.mark.parametrize("succeeded", [0, 2, 5])
async def test_a_response_that_does_not_add_up_is_not_trusted(
    planet: Planet, simulator: Simulator, succeeded: int
) -> None:
    """More or fewer are cancelled than were requested and not named: the ids are looked up."""
    ids, running = fill(simulator, 3), fill(simulator, 1, RUNNING)
    simulator.faults.add(Fault(operation=BULK, body=_reply(succeeded, []), times=1))
    result = await planet.orders.cancel_many([*ids, *running])
    assert by_reason(result) == {"cancelled": ids, "already_final": running}


async def test_a_response_about_ids_that_were_not_requested(planet: Planet, simulator: Simulator) -> None:
    """The result has the ids that were requested, and no others."""
    ids = fill(simulator, 2)
    strangers = [{"order_id": str(uuid4()), "message": "x"}, {"message": "y"}]
    simulator.faults.add(Fault(operation=BULK, body=_reply(2, strangers), times=1))
    result = await planet.orders.cancel_many(ids)
    assert by_reason(result) == {"cancelled": ids}


async def test_without_a_date_of_the_server_orders_are_looked_up_one_by_one(clock: FakeClock) -> None:
    """The local clock is not used for the list: without the server's a few orders are looked up."""
    ids = ids_of(0, 40)
    server = _Agrees(dated=False)
    async with Planet(Config(), credentials=ApiKey("any"), transport=server, clock=clock) as planet:
        result = await planet.orders.cancel_many(ids, verify=True)
    assert by_reason(result) == {"cancelled": ids[:30], "failed": ids[30:]}
    assert server.operations == [BULK, *["orders.get"] * 30]


@pytest.mark.usefixtures("small_parts")
async def test_a_wrong_id_among_many_sends_nothing(planet: Planet, simulator: Simulator) -> None:
    """All are checked before the first request."""
    with pytest.raises(InvalidRequest, match="'7' is no order id"):
        await planet.orders.cancel_many([*fill(simulator, 100), "7"])
    assert not simulator.requests


async def test_a_message_becomes_a_reason(planet: Planet, simulator: Simulator) -> None:
    """A reason that the API adds later is `failed`, with its message."""
    (order_id,) = fill(simulator, 1)
    refusals = [{"order_id": order_id.upper(), "message": "The order is locked"}]
    simulator.faults.add(Fault(operation=BULK, body=_reply(0, refusals), times=1))
    (failure,) = (await planet.orders.cancel_many([order_id])).failures
    assert (failure.id, failure.message) == (order_id, "The order is locked")
    assert failure.reason is FailureReason.FAILED


async def test_thousands_of_failures_leave_other_tasks_their_turn(
    planet: Planet, simulator: Simulator
) -> None:
    """To decode ten thousand takes 15 ms, for which other tasks need not wait: it is done in parts."""
    ids = fill(simulator, 5_000, RUNNING)
    turns: list[int] = []  # at each turn of somebody else, how many failures have been made
    made = 0

    def counted(order_id: str, message: str, reason: FailureReason) -> BulkFailure:
        nonlocal made
        made += 1
        return BulkFailure(order_id, message, reason)

    async def take_turns() -> None:
        while True:
            await anyio.lowlevel.checkpoint()
            turns.append(made)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("planet_async.models.orders.BulkFailure", counted)
        async with anyio.create_task_group() as group:
            group.start_soon(take_turns)
            result = await planet.orders.cancel_many(ids)
            group.cancel_scope.cancel()
    assert len(result.failures) == made == 5_000
    # A thousand at a time; of two tasks that are ready, trio lets any be the first.
    assert max(after - before for before, after in pairwise([0, *turns, made])) <= 2_000


def _reply(succeeded: int, failures: Sequence[dict[str, str]]) -> bytes:
    failed = {"count": len(failures), "failures": failures}
    return msgspec.json.encode({"result": {"succeeded": {"count": succeeded}, "failed": failed}})


def _holds(order_id: str) -> Callable[..., bool]:
    """Fit the bulk cancels that name the order."""
    return lambda call: call.operation == BULK and order_id.encode() in call.body


def _first(fault: Fault, operation: str) -> Fault:
    return Fault(operation=operation, times=1, status=fault.status, drop=fault.drop, refused=fault.refused)


class _Agrees:
    """A server that reports all requested orders as cancelled."""

    def __init__(self, *, dated: bool = True) -> None:
        self._headers = {"date": "Thu, 01 Jan 2026 00:00:00 GMT"} if dated else {}
        self.operations: list[str] = []

    async def send(self, request: Request) -> Response:
        self.operations.append(request.operation)
        if request.operation == BULK:
            body = _reply((request.body or b"").count(b"-") // 4, [])
        else:
            order = {"id": request.url.rpartition("/")[2], "state": "cancelled"}
            body = msgspec.json.encode(order)
        return Response(200, self._headers, body)

    async def aclose(self) -> None:
        """Do nothing."""
