"""What goes wrong on demand, in process, and the rate limits."""

from contextlib import suppress

import anyio
import pytest

from planet_async import DOCUMENTED_RATES, ApiKey, Config, Planet, Rates, TooManyRequests, Window
from planet_async.errors import ConnectError, ConnectionLost, TransportError, TransportTimeout
from planet_async.http import Request
from planet_async.simulator import Fault, Limits, Simulator
from planet_async.testing import FakeClock
from simulator.simulated import CREDENTIAL, ORDERS, Caller, scenes

pytestmark = pytest.mark.anyio

STATS = "/compute/ops/stats/orders/v2"


@pytest.mark.parametrize(
    ("fault", "error", "orders"),
    [
        (Fault(refused=True), ConnectError, 0),
        (Fault(drop=True), ConnectionLost, 0),
        (Fault(drop=True, after=True), ConnectionLost, 1),
        (Fault(hang=True), TransportTimeout, 0),
        (Fault(hang=True, after=True), TransportTimeout, 1),
        (Fault(cut=10), ConnectionLost, 1),
    ],
)
async def test_connections_break(
    call: Caller, fault: Fault, error: type[TransportError], orders: int
) -> None:
    """A broken connection raises what the real network raises; the order was made, or not, as it says."""
    call.simulator.faults.add(fault)
    with pytest.raises(error) as raised:
        await call.create()
    assert raised.value.request is not None
    assert len(call.simulator.orders) == orders
    assert call.simulator.open_responses == 0


async def test_a_hang_takes_a_minute(call: Caller, clock: FakeClock) -> None:
    """In this process a request that hangs times out after 60 s of the simulator's clock."""
    call.simulator.faults.add(Fault(hang=True))
    with pytest.raises(TransportTimeout):
        await call("GET", STATS)
    assert clock.monotonic() == 60


async def test_a_cut_body_breaks_while_it_is_read(call: Caller) -> None:
    """A streamed body that is cut yields what was sent before, then raises."""
    call.simulator.faults.add(Fault(cut=5))
    request = Request("GET", call.simulator.base_url + STATS, headers=CREDENTIAL, stream=True)
    response = await call.simulator.send(request)
    assert response.status == 200
    assert int(response.headers["content-length"]) > 5
    chunks = response.chunks()
    assert len(await anext(chunks)) == 5
    with pytest.raises(ConnectionLost):
        await anext(chunks)
    await response.aclose()


@pytest.mark.parametrize("cut", [0, 5, 1000])
async def test_a_cut_can_fall_anywhere(call: Caller, cut: int) -> None:
    """A cut after nothing breaks too; one behind the end changes nothing."""
    call.simulator.faults.add(Fault(cut=cut))
    if cut == 1000:
        assert (await call("GET", STATS)).json
    else:
        with pytest.raises(ConnectionLost):
            await call("GET", STATS)


async def test_any_response_can_be_sent(call: Caller) -> None:
    """A status with headers and a body is sent as set; the order is created only with `after`."""
    call.simulator.faults.add(Fault(status=503, headers={"Retry-After": "2"}, body=b"<html>", times=1))
    reply = await call("POST", ORDERS, json=scenes())
    assert (reply.status, reply.headers["retry-after"], reply.body) == (503, "2", b"<html>")
    assert not call.simulator.orders
    call.simulator.faults.add(Fault(status=502, after=True, times=1))
    assert (await call("POST", ORDERS, json=scenes())).status == 502
    assert len(call.simulator.orders) == 1
    assert call.simulator.responses == {("orders.create", 503): 1, ("orders.create", 502): 1}


async def test_the_real_response_can_be_replaced(call: Caller) -> None:
    """Without a status the real response is sent, with headers added and another body."""
    call.simulator.faults.add(Fault(body=b"{tru", headers={"X-Cache": "stale"}))
    reply = await call("POST", ORDERS, json=scenes())
    assert (reply.status, reply.body, reply.headers["x-cache"]) == (202, b"{tru", "stale")
    assert reply.headers["content-length"] == "4"
    assert len(call.simulator.orders) == 1


async def test_a_part_of_a_file_can_be_replaced(call: Caller, clock: FakeClock) -> None:
    """A body that replaces a range is sent whole."""
    order_id = (await call.create())["id"]
    clock.advance(60)
    location = (await call.order(order_id))["_links"]["results"][0]["location"]
    call.simulator.faults.add(Fault(operation="storage.get", body=b"garbage"))
    assert (await call.fetch(location, headers={"range": "bytes=3-5"})).body == b"garbage"


@pytest.mark.parametrize("after", [False, True])
async def test_slowness(call: Caller, clock: FakeClock, after: bool) -> None:
    """A delay passes on the simulator's clock, before the work or after it."""
    call.simulator.faults.add(Fault(delay=7, after=after))
    order = await call.create()
    assert clock.monotonic() == 7
    assert order["created_on"] == ("2026-01-01T00:00:00Z" if after else "2026-01-01T00:00:07Z")


@pytest.mark.parametrize(
    ("fault", "hit"),
    [
        (Fault(status=500), "create stats get"),
        (Fault(status=500, operation="orders.get"), "get"),
        (Fault(status=500, method="GET"), "stats get"),
        (Fault(status=500, path="/compute/ops/orders/v2*"), "create get"),
        (Fault(status=500, path="/compute/ops/orders/v2/*"), "get"),
        (Fault(status=500, when=lambda call: b"farm" in call.body), "create"),
        (Fault(status=500, times=2), "create stats"),
        (Fault(status=500, operation="orders.list"), ""),
        (Fault(status=500, probability=0.0), ""),
    ],
)
async def test_a_fault_happens_to_the_requests_it_matches(call: Caller, fault: Fault, hit: str) -> None:
    """A fault happens to the requests that match all of its fields, as often as it says, and to no other."""
    call.simulator.faults.add(fault)
    requests = {"create": ("POST", ORDERS), "stats": ("GET", STATS), "get": ("GET", f"{ORDERS}/x")}
    found = [
        name
        for name, (method, path) in requests.items()
        if (await call(method, path, json=scenes() if method == "POST" else None)).status == 500
    ]
    assert found == hit.split()


async def test_the_first_fault_that_matches_happens(call: Caller) -> None:
    """Faults are tried in the order added; `clear` ends all."""
    call.simulator.faults.add(Fault(status=501, times=1))
    call.simulator.faults.add(Fault(status=502))
    assert [(await call("GET", STATS)).status for _ in range(3)] == [501, 502, 502]
    call.simulator.faults.clear()
    assert (await call("GET", STATS)).status == 200


async def test_a_share_of_the_requests_fails_repeatably() -> None:
    """A probability hits that share, the same requests for the same seed."""

    async def statuses(seed: int) -> list[int]:
        call = Caller(Simulator(seed=seed, limits=Limits.unlimited()))
        call.simulator.faults.add(Fault(status=500, probability=0.3))
        return [(await call("GET", STATS)).status for _ in range(200)]

    first = await statuses(1)
    assert 30 < first.count(500) < 90
    assert first == await statuses(1) != await statuses(2)


async def test_a_body_can_be_slow(call: Caller, clock: FakeClock) -> None:
    """At 3 bytes a second a body takes a third as many seconds as it has bytes, on the simulator's clock."""
    call.simulator.faults.add(Fault(operation="orders.stats", bytes_per_second=3))
    reply = await call("GET", STATS)
    assert reply.json["user"] == {"queued_orders": 0, "running_orders": 0}
    assert clock.monotonic() == -(-len(reply.body) // 3)


@pytest.mark.parametrize("wrong", [{"times": 0}, {"probability": 1.5}, {"delay": -1.0}, {"cut": -1}])
def test_impossible_faults(wrong: dict[str, float]) -> None:
    """A fault that cannot be is a ValueError when it is made."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Fault(**wrong)  # type: ignore[arg-type]


async def test_the_documented_rates(clock: FakeClock) -> None:
    """Three gets a second pass, the next is a 429 with the time to wait; each operation has its own rate."""
    call = Caller(Simulator(clock=clock))
    path = f"{ORDERS}/x"
    assert [(await call("GET", path)).status for _ in range(4)] == [404, 404, 404, 429]
    reply = await call("GET", path)
    assert (reply.status, reply.headers["retry-after"]) == (429, "1")
    assert [(await call("GET", STATS)).status for _ in range(6)] == [200] * 5 + [429]
    assert call.simulator.responses["orders.get", 429] == 2
    clock.advance(0.999)
    assert (await call("GET", path)).status == 429
    clock.advance(0.001)
    assert (await call("GET", path)).status == 404


async def test_the_window_slides(clock: FakeClock) -> None:
    """Any second counts, not the seconds of the clock: half a second later only half have left the window."""
    call = Caller(Simulator(clock=clock, limits=Limits({"orders.stats": 2})))
    assert (await call("GET", STATS)).status == 200
    clock.advance(0.6)
    assert [(await call("GET", STATS)).status for _ in range(2)] == [200, 429]
    clock.advance(0.4)
    assert [(await call("GET", STATS)).status for _ in range(2)] == [200, 429]


async def test_the_hint_can_be_in_the_body(clock: FakeClock) -> None:
    """The other form of a 429 seen is plain text that names milliseconds."""
    call = Caller(Simulator(clock=clock, limits=Limits({"orders.stats": 1}, hint="body")))
    await call("GET", STATS)
    clock.advance(0.8)
    reply = await call("GET", STATS)
    assert (reply.status, reply.body) == (429, b"max rate reached: retry-in 200ms")
    assert "retry-after" not in reply.headers


async def test_two_windows_must_both_have_room(clock: FakeClock) -> None:
    """Tasking: 40 in any second, and 300 in any minute; the 429 says when there is room in both."""
    call = Caller(Simulator(clock=clock))
    path = "/tasking/v2/orders/"
    for second in range(7):
        statuses = [(await call("GET", path)).status for _ in range(41)]
        assert statuses == [200] * 40 + [429], second
        clock.advance(1)
    assert [(await call("GET", path)).status for _ in range(21)] == [200] * 20 + [429]
    assert (await call("GET", path)).headers["retry-after"] == "53"
    clock.advance(53)
    assert (await call("GET", path)).status == 200


@pytest.mark.no_cover
@pytest.mark.parametrize(("rates", "refused"), [(DOCUMENTED_RATES, 0), ({}, 360)], ids=["rates", "no rates"])
async def test_our_client_keeps_to_two_windows(clock: FakeClock, rates: Rates, refused: int) -> None:
    """400 lists of tasking orders at the documented rates: none is refused; without them most are."""
    simulator = Simulator(clock=clock)
    config = Config(rates=rates, retry_for=0.001)
    planet = Planet(config, credentials=ApiKey("any"), transport=simulator, clock=clock)

    async def lists() -> None:
        with suppress(TooManyRequests):
            await planet.tasking.list().first()

    async with anyio.create_task_group() as group:
        for _ in range(400):
            group.start_soon(lists)
    assert simulator.requests["tasking.list"] == 400
    assert simulator.responses["tasking.list", 429] == refused


async def test_without_rates_the_minute_limit_is_reached(clock: FakeClock) -> None:
    """A client that keeps to the second alone is refused by the minute."""
    simulator = Simulator(clock=clock)
    config = Config(rates={"tasking": (Window(40),)}, retry_for=0.001)
    planet = Planet(config, credentials=ApiKey("any"), transport=simulator, clock=clock)
    for _ in range(300):
        await planet.tasking.list().first()
    with pytest.raises(TooManyRequests) as caught:
        await planet.tasking.list().first()
    assert caught.value.retry_after == pytest.approx(52, abs=1)
