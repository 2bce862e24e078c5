"""What the tests of the spine share: requests, a clock that counts, and cancellation at every step."""

from collections.abc import Awaitable, Callable, Coroutine, Generator
from itertools import count
from typing import Any

import anyio
import anyio.lowlevel

from planet_async.http import Request, Response
from planet_async.testing import FakeClock

API = "https://api.planet.com"
KEY = "PLAKexample0123456789secret"


def get(url: str = f"{API}/things", *, operation: str = "orders.get", stream: bool = False) -> Request:
    return Request("GET", url, operation=operation, stream=stream)


def post(*, repeatable: bool = False) -> Request:
    return Request("POST", f"{API}/things", body=b"{}", operation="orders.create", repeatable=repeatable)


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


async def settle() -> None:
    """Let all other tasks run until each waits for something; no time passes."""
    for _ in range(50):
        await anyio.lowlevel.checkpoint()


async def cancelled_at_each_step(
    call: Callable[[], Coroutine[Any, Any, object]], check: Callable[[], None]
) -> int:
    """Make the call again and again, cancelled where it waits first, second, ..., until one gets through.

    `check` is called after each; the number of places where it was cancelled is returned.
    """
    for step in count():
        with anyio.CancelScope() as scope:
            stepped = _Stepped(call(), step, scope.cancel)
            await stepped
        await settle()
        check()
        if not stepped.reached:
            return step
    raise AssertionError("unreachable")


class _Stepped(Awaitable[object]):
    """A coroutine, with something done where it waits for the n-th time."""

    def __init__(self, call: Coroutine[Any, Any, object], step: int, act: Callable[[], None]) -> None:
        self._call = call
        self._left = step
        self._act = act
        self.reached = False

    def __await__(self) -> Generator[Any, Any, object]:
        resume: Callable[[], Any] = lambda: self._call.send(None)  # noqa: E731 - replaced at each step
        while True:
            try:
                waited_for = resume()
            except StopIteration as end:
                return end.value
            if self._left == 0:
                self.reached = True
                self._act()
            self._left -= 1
            try:
                value = yield waited_for
            except BaseException as error:  # noqa: BLE001 - all of them are the coroutine's
                resume = lambda error=error: self._call.throw(error)  # type: ignore[misc]  # noqa: E731
            else:
                resume = lambda value=value: self._call.send(value)  # type: ignore[misc]  # noqa: E731
