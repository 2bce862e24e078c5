"""What the tests of the spine share: requests, a clock that counts, and cancellation at every step."""

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import anyio
import anyio.lowlevel
import trio

from planet_async._tasks import on_asyncio
from planet_async.auth.credentials import ApiKey
from planet_async.clock import Clock
from planet_async.config import Config
from planet_async.http import Request, Response
from planet_async.layers.rate_limit import SharedRateLimits
from planet_async.testing import FakeClock
from planet_async.testing.conformance import Stepped

API = "https://api.planet.com"
KEY = "PLAKexample0123456789secret"


def get(url: str = f"{API}/things", *, operation: str = "orders.get", stream: bool = False) -> Request:
    return Request("GET", url, operation=operation, stream=stream)


def post(*, repeatable: bool = False) -> Request:
    return Request("POST", f"{API}/things", body=b"{}", operation="orders.create", repeatable=repeatable)


def budget(clock: Clock, config: Config | None = None) -> SharedRateLimits:
    return SharedRateLimits(ApiKey(KEY), config or Config(), clock)


class NotingClock(FakeClock):
    """A fake clock that remembers what it was asked to sleep."""

    def __init__(self) -> None:
        super().__init__()
        self.sleeps: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        await super().sleep(seconds)


class Stuck:
    """A transport that never answers, and counts the requests it holds."""

    def __init__(self) -> None:
        self.waiting = 0
        self.sent = 0

    async def send(self, _: Request) -> Response:
        self.sent += 1
        self.waiting += 1
        try:
            await anyio.sleep_forever()
        finally:
            self.waiting -= 1
        raise AssertionError("unreachable")

    async def aclose(self) -> None:
        """Do nothing."""


@asynccontextmanager
async def others_take_turns() -> AsyncIterator[Callable[[], int]]:
    """Have another task run beside the block; gives how many turns it has had."""
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            await anyio.lowlevel.checkpoint()
            turns += 1

    async with anyio.create_task_group() as group:
        group.start_soon(take_turns)
        yield lambda: turns
        group.cancel_scope.cancel()


async def settle() -> None:
    """Let all other tasks run until each waits for something; no time passes."""
    quiet = 0
    for _ in range(50):
        await anyio.lowlevel.checkpoint()
        if not on_asyncio():  # there a turn takes ten times as long, and it says whether there is more to run
            quiet = 0 if trio.lowlevel.current_statistics().tasks_runnable else quiet + 1
            if quiet == 5:
                return


async def cancelled_at_each_step(
    call: Callable[[], Coroutine[Any, Any, object]], check: Callable[[], Awaitable[None] | None]
) -> int:
    """Make the call again and again, cancelled where it waits first, second, ..., until one gets through.

    `check` is called after each; the number of places where it was cancelled is returned.
    """
    for step in count():
        with anyio.CancelScope() as scope:
            stepped = Stepped(call(), step, scope.cancel)
            await stepped
        await settle()
        checked = check()
        if checked is not None:
            await checked
        if not stepped.reached:
            return step
    raise AssertionError("unreachable")
