"""Fakes for tests, ours and yours: a transport with prepared responses, and a clock that does not wait.

    clock = FakeClock()
    network = FakeTransport([reply(503), reply(json={"id": ORDER_ID, "state": "success"})])
    async with Planet(credentials=ApiKey("test"), transport=network, clock=clock) as planet:
        order = await planet.orders.get(ORDER_ID)       # retried at once: the back-off took no real time
    assert [str(request) for request in network.requests] == [...]

For a whole Planet in memory, states and deliveries included, see `planet_async.simulator.Simulator`.
"""

import asyncio
import heapq
import math
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Mapping, Sized
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count

import anyio
import anyio.lowlevel
import anyio.to_thread
import msgspec
from attrs import define

from planet_async._tasks import on_asyncio
from planet_async.errors import PlanetError
from planet_async.http import NO_HEADERS, Request, Response

Answer = Response | PlanetError | Callable[[Request], Response]
"""A response of a `FakeTransport`, an error that it raises, or a function that it calls."""

_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_THREAD_SECONDS = 0.001  # how long to let a thread work before checking again
_QUIET_ROUNDS = 3  # callbacks of the event loop are no tasks: they get a few rounds to wake one


def reply(
    status: int = 200,
    *,
    json: object = None,
    body: bytes | str = b"",
    headers: Mapping[str, str] = NO_HEADERS,
    chunks: Iterable[bytes] | None = None,
) -> Response:
    """Return a response: `json` is encoded, `chunks` arrive one by one, header names become lower case."""
    found = {name.lower(): value for name, value in headers.items()}
    if json is not None:
        body = msgspec.json.encode(json, enc_hook=str)  # such as a SecretStr that a test sends back
        found.setdefault("content-type", "application/json")
    content = body.encode() if isinstance(body, str) else body
    return Response(status, found, content if chunks is None else _Arriving(chunks))


class _Arriving(AsyncIterator[bytes]):
    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)

    async def __anext__(self) -> bytes:
        await anyio.lowlevel.checkpoint()
        for chunk in self._chunks:
            return chunk
        raise StopAsyncIteration


class FakeTransport:
    """A transport whose responses come from a list, in order, or from a function of the request.

    A request beyond the list is an AssertionError.

    Attributes:
        requests: All requests that were sent.
        open_responses: How many responses are neither read nor closed: 0 after any correct call.
        closed: Whether it was closed.
    """

    def __init__(self, answers: Iterable[Answer] | Callable[[Request], Answer]) -> None:
        self._answer = answers if callable(answers) else _in_order(answers)
        self.requests: list[Request] = []
        self.open_responses: int = 0
        self.closed: bool = False

    async def send(self, request: Request) -> Response:
        """Record the request and return the next response, or raise the next error."""
        self.requests.append(request)
        await anyio.lowlevel.checkpoint()
        answer = self._answer(request)
        if callable(answer):
            answer = answer(request)
        if isinstance(answer, PlanetError):
            answer.request = request
            raise answer
        self.open_responses += 1
        return Response(
            answer.status, answer.headers, answer.chunks(), url=answer.url or request.url, close=self._close
        )

    async def _close(self) -> None:
        self.open_responses -= 1

    async def aclose(self) -> None:
        """Record that it was closed."""
        self.closed = True


def _in_order(answers: Iterable[Answer]) -> Callable[[Request], Answer]:
    remaining = iter(answers)

    def following(request: Request) -> Answer:
        for answer in remaining:
            return answer
        raise AssertionError(f"no response is left for {request}")

    return following


@define(eq=False)
class _Timer:
    due: float
    fire: Callable[[], None]
    cancelled: bool = False


class FakeClock:
    """A clock whose time stands still while any task works, and jumps to the next timer when all wait.

    An hour of back-off takes no real time, and what happens at which second is exact.  It is meant for
    transports in memory: a task that waits for a real socket counts as waiting, so time would jump.  Work in
    threads holds the time.  Time moves only while a task sleeps on this clock, or by `advance`.
    """

    def __init__(self, start: datetime = _EPOCH) -> None:
        self._start = start
        self._elapsed = 0.0
        self._timers: list[tuple[float, int, _Timer]] = []  # a heap; of the same moment, the first made
        self._sleepers: dict[_Timer, None] = {}  # those of `_timers` that can drive; in order, as no set is
        self._numbers = count()
        self._driven = False

    def monotonic(self) -> float:
        """Return the virtual seconds since this clock was made."""
        return self._elapsed

    def now(self) -> datetime:
        """Return the virtual date and time."""
        return self._start + timedelta(seconds=self._elapsed)

    def advance(self, seconds: float) -> None:
        """Move the time, and wake the tasks whose sleep is over."""
        until = self._elapsed + seconds
        while self._next_due() <= until:
            self._jump()
        self._elapsed = until

    async def sleep(self, seconds: float) -> None:
        """Wait for the virtual time to pass."""
        await anyio.lowlevel.checkpoint()
        if seconds <= 0:
            return
        nudge = anyio.Event()

        def wake() -> None:
            nudge.set()  # the present one: it is replaced below

        with self._timer(seconds, wake) as timer:
            self._sleepers[timer] = None
            try:
                while self._elapsed < timer.due:
                    if not self._driven:
                        await self._drive(timer)
                    else:
                        await nudge.wait()
                        nudge = anyio.Event()
            finally:
                del self._sleepers[timer]
                self._hand_over()

    @contextmanager
    def move_on_after(self, seconds: float) -> Generator[anyio.CancelScope]:
        """Cancel the block when the virtual time has passed."""
        with anyio.CancelScope() as scope, self._timer(seconds, scope.cancel):
            yield scope

    @contextmanager
    def _timer(self, seconds: float, fire: Callable[[], None]) -> Generator[_Timer]:
        timer = _Timer(self._elapsed + seconds, fire)
        heapq.heappush(self._timers, (timer.due, next(self._numbers), timer))
        try:
            yield timer
        finally:
            timer.cancelled = True

    def _next_due(self) -> float:
        while self._timers and self._timers[0][2].cancelled:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else math.inf

    def _jump(self) -> None:
        *_, timer = heapq.heappop(self._timers)
        self._elapsed = max(self._elapsed, timer.due)
        timer.fire()

    async def _drive(self, own: _Timer) -> None:
        """Move the time from timer to timer, until this task's own one."""
        self._driven = True
        try:
            while self._elapsed < own.due:
                await _all_others_waiting()
                if math.isinf(self._next_due()):
                    await anyio.sleep_forever()  # nothing is left that could happen
                self._jump()
        finally:
            self._driven = False

    def _hand_over(self) -> None:
        if not self._driven and (successor := next(iter(self._sleepers), None)):
            successor.fire()


async def _all_others_waiting() -> None:
    while True:
        if on_asyncio():
            await _asyncio_tasks_waiting()
        else:
            await anyio.wait_all_tasks_blocked()
        if anyio.to_thread.current_default_thread_limiter().borrowed_tokens == 0:
            return
        await anyio.sleep(_THREAD_SECONDS)


async def _asyncio_tasks_waiting() -> None:
    # anyio's wait_all_tasks_blocked() sleeps a tenth of a second whenever a task still runs: the tests that
    # rely on this clock would take fifteen times as long.  No public name of asyncio says what is about to
    # run; where there is no such queue (uvloop), anyio is asked.
    ready: Sized | None = getattr(asyncio.get_running_loop(), "_ready", None)
    if ready is None:
        await anyio.wait_all_tasks_blocked()
        return
    quiet = 0
    while quiet < _QUIET_ROUNDS:
        await asyncio.sleep(0)
        quiet = 0 if len(ready) else quiet + 1
