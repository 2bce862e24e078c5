import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import timedelta
from email.utils import format_datetime
from math import inf
from random import Random

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spine import API, NotingClock, budget, cancelled_at_each_step, get, post, settle

from planet_async.auth.credentials import ApiKey
from planet_async.clock import Clock
from planet_async.config import Config, Window
from planet_async.errors import (
    ConnectError,
    ConnectionLost,
    DeadlineExceeded,
    PlanetError,
    ServerError,
    TooManyRequests,
    TransportTimeout,
)
from planet_async.http import Request, Response, Transport, queued_for
from planet_async.layers.rate_limit import RateLimit, SharedRateLimits
from planet_async.layers.retry import Retry
from planet_async.layers.status import RaiseForStatus
from planet_async.testing import Answer, FakeClock, FakeTransport, reply

pytestmark = pytest.mark.anyio

BACKENDS = st.sampled_from(["asyncio", "trio"])
FAILURES: dict[str, Callable[[], Answer]] = {
    "500": lambda: reply(500),
    "502": lambda: reply(502),
    "503": lambda: reply(503),
    "503 with Retry-After": lambda: reply(503, headers={"Retry-After": "1"}),
    "504": lambda: reply(504),
    "connection lost": lambda: ConnectionLost("broke off"),
    "timeout": lambda: TransportTimeout("nothing moved"),
}
HARMLESS: dict[str, Callable[[], Answer]] = {
    "429": lambda: reply(429),
    "no connection": lambda: ConnectError("refused"),
}


def stack(network: Transport, clock: Clock, config: Config | None = None, *, seed: int = 0) -> Retry:
    config = config or Config()
    return Retry(RaiseForStatus(network, clock), config, clock, budget(clock, config), jitter=Random(seed))


def in_line(network: Transport, clock: Clock, config: Config) -> Retry:
    """Return the stack with a rate limiter in it."""
    shared = budget(clock, config)
    limited = RateLimit(RaiseForStatus(network, clock), shared)
    return Retry(limited, config, clock, shared, jitter=Random(0))


class Slow(FakeTransport):
    """Takes its time for each answer."""

    def __init__(self, clock: Clock, seconds: float, answers: Iterable[Answer]) -> None:
        super().__init__(answers)
        self._clock = clock
        self._seconds = seconds

    async def send(self, request: Request) -> Response:
        self.requests.append(request)
        await self._clock.sleep(self._seconds)
        self.requests.pop()
        return await super().send(request)


@pytest.mark.parametrize("failure", FAILURES)
async def test_a_post_that_may_have_been_acted_on_is_never_sent_again(failure: str) -> None:
    """The law: nothing orders twice, so the error goes to the caller and says that the order may exist."""
    network = FakeTransport([FAILURES[failure](), reply(200)])
    with pytest.raises(PlanetError) as caught:
        await stack(network, FakeClock()).send(post())
    assert len(network.requests) == 1
    assert caught.value.may_have_acted


@pytest.mark.parametrize("failure", HARMLESS)
async def test_a_post_that_nobody_acted_on_is_sent_again(failure: str) -> None:
    """A 429, and a connection that was never made, promise that nothing happened."""
    network = FakeTransport([HARMLESS[failure](), reply(200)])
    response = await stack(network, FakeClock()).send(post())
    assert response.status == 200
    assert len(network.requests) == 2


@pytest.mark.parametrize("failure", FAILURES | HARMLESS)
@pytest.mark.parametrize("request_", [get(), post(repeatable=True)], ids=["GET", "repeatable POST"])
async def test_what_is_repeatable_is_sent_again(failure: str, request_: Request) -> None:
    """A GET, and whatever its service declared harmless, gets over any failure that passes."""
    network = FakeTransport([(FAILURES | HARMLESS)[failure](), reply(json={"fine": True})])
    response = await stack(network, FakeClock()).send(request_)
    assert await response.read() == b'{"fine":true}'
    assert network.requests == [request_, request_]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422])
async def test_a_refusal_that_a_later_try_cannot_change_is_final(status: int) -> None:
    """A wrong request stays wrong: it is sent once and no time is lost."""
    network, clock = FakeTransport([reply(status)]), NotingClock()
    with pytest.raises(PlanetError):
        await stack(network, clock).send(get())
    assert clock.sleeps == []


@pytest.mark.no_cover
@settings(max_examples=40, deadline=None)
@given(backend=BACKENDS, names=st.lists(st.sampled_from([*FAILURES, *HARMLESS]), max_size=8))
def test_the_law_holds_for_any_history(backend: str, names: list[str]) -> None:
    """Whatever happens in whatever order: a POST is not sent again after a failure that may have acted."""

    async def main() -> None:
        network = FakeTransport([(FAILURES | HARMLESS)[name]() for name in names] + [reply(200)])
        with suppress(PlanetError):
            await stack(network, FakeClock(), Config(max_attempts=100, retry_for=1e6)).send(post())
        acted = [name in FAILURES for name in names[: len(network.requests)]]
        assert not any(acted[:-1])
        assert len(network.requests) == next(
            (n for n, name in enumerate(names, 1) if name in FAILURES), len(names) + 1
        )

    anyio.run(main, backend=backend)


@settings(max_examples=30, deadline=None)
@given(
    backend=BACKENDS,
    seed=st.integers(),
    first=st.floats(0.01, 5),
    longest=st.floats(0.01, 60),
    retry_after=st.one_of(st.none(), st.integers(0, 50)),
    status=st.sampled_from([429, 503]),
)
def test_pauses_are_drawn_from_the_whole_of_a_growing_range(
    *, backend: str, seed: int, first: float, longest: float, retry_after: int | None, status: int
) -> None:
    """Full jitter: pause n lies between 0 and `first_backoff` * 2^n, at most `longest_backoff`.

    What the server asked for comes on top of it, so that nobody is ever earlier than asked.
    """
    config = Config(first_backoff=first, longest_backoff=longest, max_attempts=6, retry_for=10_000)
    clock = NotingClock()
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    network = FakeTransport([*(reply(status, headers=headers) for _ in range(5)), reply(200)])
    anyio.run(stack(network, clock, config, seed=seed).send, get(), backend=backend)
    asked = retry_after or 0
    for number, pause in enumerate(clock.sleeps):
        assert asked <= pause <= asked + min(longest, first * 2**number)
    assert len(clock.sleeps) == 5


@pytest.mark.no_cover
def test_two_clients_do_not_come_back_together() -> None:
    """Jitter spreads: the pauses of many clients after the same failure fill their range."""
    pauses: list[float] = []

    async def main() -> None:
        for seed in range(200):
            clock = NotingClock()
            network = FakeTransport([reply(500), reply(200)])
            await stack(network, clock, Config(first_backoff=1), seed=seed).send(get())
            pauses.extend(clock.sleeps)

    anyio.run(main)
    for quarter in range(4):
        assert sum(quarter / 4 <= pause < (quarter + 1) / 4 for pause in pauses) > 20


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (lambda _: reply(429, headers={"Retry-After": "17"}), 17),
        (
            lambda now: reply(
                503, headers={"Retry-After": format_datetime(now + timedelta(seconds=40), usegmt=True)}
            ),
            40,
        ),
        (lambda _: reply(429, body="max rate reached: retry-in 200ms"), 0.2),
    ],
    ids=["seconds", "date", "retry-in"],
)
async def test_the_server_is_never_asked_before_the_time_it_named(
    answer: Callable[[object], Response], seconds: float
) -> None:
    """`Retry-After` as seconds or as a date, and `retry-in 200ms` in the text, all are obeyed."""
    clock = FakeClock()
    network = FakeTransport([answer(clock.now()), reply(200)])
    await stack(network, clock, Config(first_backoff=0.001, longest_backoff=0.001)).send(get())
    assert seconds <= clock.monotonic() <= seconds + 0.001


async def test_attempts_are_limited_and_the_last_error_tells_of_all() -> None:
    """After `max_attempts` the last error is raised, with the earlier ones and the time spent as notes."""
    clock = FakeClock()
    network = FakeTransport([reply(500, body="first"), ConnectionLost("second"), reply(502, body="third")])
    with pytest.raises(ServerError, match="third") as caught:
        await stack(network, clock, Config(max_attempts=3)).send(get())
    assert caught.value.__notes__ == [
        "attempt 1: 500 first",
        "attempt 2: second",
        f"gave up after 3 attempts in {clock.monotonic():.1f} s",
    ]


async def test_a_single_attempt_leaves_no_notes() -> None:
    """Where nothing was repeated there is nothing to tell."""
    with pytest.raises(ServerError) as caught:
        await stack(FakeTransport([reply(500)]), FakeClock(), Config(max_attempts=1)).send(get())
    assert not hasattr(caught.value, "__notes__")


@pytest.mark.no_cover
@pytest.mark.parametrize("failure", FAILURES | HARMLESS)
@pytest.mark.parametrize("most", [1, 2, 5])
async def test_max_attempts_bounds_every_retry(failure: str, most: int) -> None:
    """Whatever it fails with, 429 included, a request is sent so often and no more."""
    network = FakeTransport(lambda _: (FAILURES | HARMLESS)[failure]())
    with pytest.raises(PlanetError):
        await stack(network, FakeClock(), Config(max_attempts=most)).send(get())
    assert len(network.requests) == most


@pytest.mark.no_cover
async def test_attempts_without_number_end_with_the_time() -> None:
    """`max_attempts=inf` leaves it to `retry_for`: a thousand 429s are waited out, and no float overflows."""
    clock, network = FakeClock(), FakeTransport([*(reply(429) for _ in range(1100)), reply(200)])
    config = Config(max_attempts=inf, longest_backoff=0.01, retry_for=1e5)  # type: ignore[arg-type]
    assert (await stack(network, clock, config).send(get())).status == 200
    assert len(network.requests) == 1101


@pytest.mark.no_cover
async def test_processes_that_share_a_key_do_not_fail_each_other() -> None:
    """Four at full speed, which a server allows the rate of one together: 429s come, and no call fails."""
    clock = FakeClock()
    network = Weak(clock, Window(3))
    calls = iter(range(600))

    async def work(retry: Retry) -> None:
        for _ in calls:
            assert (await retry.send(get())).status == 200

    async with anyio.create_task_group() as group:
        for seed in range(4):
            config = Config()
            shared = SharedRateLimits(ApiKey(f"of-process-{seed}"), config, clock)  # for it shares no memory
            retry = Retry(RateLimit(network, shared), config, clock, shared, jitter=Random(seed))
            for _ in range(8):
                group.start_soon(work, retry)
    assert network.refused > 20
    assert len(network.times) == 600


class Weak:
    """A network that allows what the window does, and answers the rest with 429."""

    def __init__(self, clock: Clock, window: Window) -> None:
        self._clock = clock
        self._window = window
        self.times: list[float] = []
        self.refused = 0

    async def send(self, request: Request) -> Response:
        now, window = self._clock.monotonic(), self._window
        allowed = len(self.times) < window.limit or now - self.times[-window.limit] >= window.seconds
        if allowed:
            self.times.append(now)
        await self._clock.sleep(0.1)  # on its way back, while others are sent
        if not allowed:
            self.refused += 1
            raise TooManyRequests("429", status=429, request=request)
        return Response(200)

    async def aclose(self) -> None:
        pass


async def test_a_failing_request_is_tried_for_so_long() -> None:
    """No try begins later than `retry_for` seconds after the first failure, nor is the wait for it begun."""
    clock = FakeClock()
    network = FakeTransport(lambda _: reply(429, headers={"Retry-After": "10"}))
    with pytest.raises(TooManyRequests) as caught:
        await stack(network, clock, Config(retry_for=35, longest_backoff=0.01)).send(get())
    assert len(network.requests) == 4
    assert 30 <= clock.monotonic() < 31
    assert caught.value.retry_after == 10


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("options", "limit"),
    [
        ({}, "300 s left of Config(retry_for=300)"),
        ({"deadline": 1000}, "300 s left of Config(retry_for=300)"),
        ({"deadline": 60}, "60 s left of Config(deadline=60)"),
    ],
)
async def test_a_time_beyond_that_is_not_waited_for(
    status: int, options: dict[str, float], limit: str
) -> None:
    """A server that asks for more gets its error to the caller at once, and it says which limit that was."""
    clock = NotingClock()
    network = FakeTransport([reply(status, headers={"Retry-After": "301"})])
    with pytest.raises(PlanetError) as caught:
        await stack(network, clock, Config(**options)).send(get())  # type: ignore[arg-type]
    assert clock.sleeps == []
    assert f"The server asked to wait 301 s, longer than the {limit}" in str(caught.value)


async def test_waiting_long_for_the_first_turn_costs_no_retries() -> None:
    """One of many queued calls may wait longer than `retry_for` to be sent, and is retried all the same."""
    clock = FakeClock()

    network = Slow(clock, 1000, [ConnectionLost("broke off"), reply(200)])
    assert (await stack(network, clock, Config(retry_for=300)).send(get())).status == 200


async def test_the_deadline_bounds_the_answer() -> None:
    """An answer that does not come in time is no longer waited for, and may have been acted on."""
    clock = FakeClock()
    network = Slow(clock, 60, [reply(200)])
    with pytest.raises(DeadlineExceeded, match=r"not done within 5 s: the response was awaited") as caught:
        await stack(network, clock, Config(deadline=5)).send(post())
    assert clock.monotonic() == 5
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.may_have_acted
    assert caught.value.request is not None
    assert not hasattr(caught.value, "__notes__")


async def test_the_deadline_bounds_the_wait_in_line_and_leaves_no_slot_taken() -> None:
    """Nothing was sent, which the error says; those behind in line move up."""
    clock = FakeClock()
    network = FakeTransport([reply(200), reply(200)])
    config = Config(deadline=5, rates={"orders": (Window(1, 20.0),)})
    retry = in_line(network, clock, config)
    await retry.send(post())
    queued = "within 5 s: it was queued for its turn at 1 request in 20 s; nothing was sent"
    for _ in range(3):
        with pytest.raises(DeadlineExceeded, match=queued) as caught:
            await retry.send(post())
        assert not caught.value.may_have_acted
    assert (len(network.requests), clock.monotonic()) == (1, 15)
    await clock.sleep(4)
    await retry.send(post())
    assert clock.monotonic() == pytest.approx(20 * 1.01)


async def test_the_deadline_bounds_all_tries_together() -> None:
    """The second try ends when the time of the call is over, not of the try; the notes tell of the first."""
    clock = FakeClock()
    network = Slow(clock, 3, [reply(503, body="busy"), reply(200)])
    config = Config(deadline=5, first_backoff=0.001)
    with pytest.raises(DeadlineExceeded) as caught:
        await in_line(network, clock, config).send(get())
    assert clock.monotonic() == 5
    assert caught.value.__notes__ == ["attempt 1: 503 busy"]


async def test_what_an_earlier_try_may_have_done_is_not_forgotten_in_line() -> None:
    """Out of time in line, but after a try without an answer: the server may have acted."""
    clock = FakeClock()
    network = FakeTransport([ConnectionLost("broke off"), reply(200)])
    config = Config(deadline=5, rates={"orders": (Window(1, 20.0),)}, first_backoff=0.001)
    with pytest.raises(DeadlineExceeded, match="turn") as caught:
        await in_line(network, clock, config).send(post(repeatable=True))
    assert caught.value.may_have_acted
    assert "nothing was sent" not in str(caught.value)


async def test_a_queue_further_inside_is_told_from_sending_too() -> None:
    """A request that waits for a connection has not been sent: the error says so, and what it waited for."""

    class Gated(Slow):
        async def send(self, request: Request) -> Response:
            queued_for.set("a connection: all 16 are held by downloads")
            await clock.sleep(3)
            queued_for.set("")
            return await super().send(request)

    clock = FakeClock()
    for deadline, acted, doing in (
        (2, False, "it was queued for a connection: all 16 are held by downloads; nothing was sent"),
        (5, True, "the response was awaited"),
    ):
        network = Gated(clock, 60, [reply(200)])
        with pytest.raises(DeadlineExceeded, match=f"within {deadline} s: {doing}") as caught:
            await stack(network, clock, Config(deadline=deadline)).send(post())
        assert caught.value.may_have_acted is acted


async def test_the_deadline_ends_the_pause_before_an_attempt() -> None:
    """After a 429 nothing was done, and nothing is sent any more: the caller may send it again."""
    network = FakeTransport([reply(429), reply(200)])

    class Late(FakeClock):  # its sleepers wake too late
        async def sleep(self, seconds: float) -> None:
            await super().sleep(seconds + 10)

    clock = Late()
    with pytest.raises(DeadlineExceeded, match="it was queued for the next attempt") as caught:
        await stack(network, clock, Config(deadline=5)).send(post())
    assert not caught.value.may_have_acted
    assert caught.value.__notes__ == ["attempt 1: 429 (no text)"]


async def test_a_pause_beyond_the_deadline_is_not_begun() -> None:
    """The last error goes to the caller at once, who may have use for the time that is left."""
    clock = NotingClock()
    network = FakeTransport([reply(429, headers={"Retry-After": "6"})])
    with pytest.raises(TooManyRequests):
        await stack(network, clock, Config(deadline=5)).send(get())
    assert clock.sleeps == []


async def test_a_streamed_body_outlives_the_deadline() -> None:
    """A download of hours is no call that hangs: once the answer has begun, only its silence ends it."""
    clock = FakeClock()
    network = FakeTransport([reply(200, chunks=[b"a", b"b"])])
    response = await stack(network, clock, Config(deadline=5)).send(get(stream=True))
    await clock.sleep(3600)
    assert await response.read() == b"ab"


async def test_the_callers_own_cancellation_is_not_mistaken_for_the_deadline() -> None:
    """A call cancelled from outside ends as cancelled."""
    clock = FakeClock()
    with clock.move_on_after(2) as scope:
        await stack(Slow(clock, 60, [reply(200)]), clock, Config(deadline=5)).send(get())
    assert scope.cancelled_caught
    assert clock.monotonic() == 2


async def test_a_sick_service_is_not_buried() -> None:
    """Once the first allowance is spent, a service that fails all requests gets hardly one more for it."""
    network = FakeTransport(lambda _: reply(503))
    retry = stack(network, FakeClock())
    notes: list[str] = []
    for _ in range(1000):
        with pytest.raises(ServerError) as caught:
            await retry.send(get())
        notes = getattr(caught.value, "__notes__", [])
    assert len(network.requests) <= 1000 * 1.1
    first_allowance = 20
    assert len(network.requests) - 1000 <= first_allowance
    assert "not sent again: too many requests to this service are failing" in notes


async def test_the_allowance_comes_back_with_success() -> None:
    """Ten answered requests earn one retry, so a service with passing trouble is still retried."""
    healthy = False
    network = FakeTransport(lambda _: reply(200 if healthy else 503))
    retry = stack(network, FakeClock())
    for _ in range(50):
        with pytest.raises(ServerError):
            await retry.send(get())
    healthy = True
    for _ in range(11):
        await retry.send(get())
    healthy, before = False, len(network.requests)
    with pytest.raises(ServerError):
        await retry.send(get())
    assert len(network.requests) - before == 2


async def test_one_sick_origin_does_not_take_the_allowance_of_another() -> None:
    """The storage may fail while the API is well: each has its own allowance."""
    network = FakeTransport(lambda _: reply(503))
    retry = stack(network, FakeClock(), Config(max_attempts=2))
    for _ in range(100):
        with pytest.raises(ServerError):
            await retry.send(get("https://storage.example/file"))
    before = len(network.requests)
    with pytest.raises(ServerError):
        await retry.send(get(f"{API}/things"))
    assert len(network.requests) - before == 2


async def test_being_told_to_slow_down_spends_no_allowance() -> None:
    """429 is the service's own order, not a sickness."""
    network = FakeTransport([*(reply(429) for _ in range(100)), reply(500), reply(200)])
    config = Config(longest_backoff=0.01, max_attempts=200)
    assert (await stack(network, FakeClock(), config).send(get())).status == 200


async def test_cancelled_between_two_tries_nothing_more_is_sent() -> None:
    """A caller who has gone wants no request of his to go out."""
    clock = FakeClock()
    network = FakeTransport([reply(503, headers={"Retry-After": "60"})])
    with clock.move_on_after(30) as scope:
        await stack(network, clock).send(get())
    assert scope.cancelled_caught
    await clock.sleep(1000)
    assert len(network.requests) == 1


async def test_cancelled_anywhere_nothing_stays_open() -> None:
    """At whichever point a retried call is cancelled, no response is left open."""
    network = FakeTransport(lambda _: reply(503 if len(network.requests) % 3 else 200, chunks=[b"a", b"b"]))
    retry = stack(network, FakeClock())

    async def call() -> None:
        await (await retry.send(get())).read()

    def check() -> None:
        assert network.open_responses == 0

    assert await cancelled_at_each_step(call, check) >= 4
    await settle()


async def test_a_retry_is_logged_without_its_query(caplog: pytest.LogCaptureFixture) -> None:
    """The log says what failed and when it is tried again; a token in the query is not shown."""
    caplog.set_level(logging.INFO, "planet_async")
    network = FakeTransport([reply(503, body="busy"), reply(200)])
    await stack(network, FakeClock()).send(get(f"{API}/things?token=hidden"))
    assert "503 busy" in caplog.text
    assert "again in" in caplog.text
    assert "hidden" not in caplog.text


async def test_closing_closes_what_is_inside() -> None:
    """Closing the outermost layer closes the network."""
    network = FakeTransport([])
    await stack(network, FakeClock()).aclose()
    assert network.closed
