"""State of each event loop: `PerLoop` keeps one value for each, `Shutdown` ends the calls of one."""

import asyncio
from collections.abc import Awaitable, Callable
from math import inf
from typing import Any, Generic, TypeVar

import anyio
from anyio.lowlevel import current_token

from planet_async.errors import ClientClosed, TransportTimeout
from planet_async.http import Request

T = TypeVar("T")


class PerLoop(Generic[T]):
    """One value for each event loop, made when it is first used there.

    A client may be used in one loop after another (`asyncio.run` twice), and in several at once (threads).
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._values: dict[object, T] = {}

    def here(self) -> T:
        """Return the value of the running event loop; outside of any loop a new one, which is not kept."""
        loop: object
        try:
            loop = asyncio.get_running_loop()  # ten calls less than anyio's way, often for each request
        except RuntimeError:
            try:
                loop = current_token().native_token
            except anyio.NoEventLoopError:
                return self._make()
        value = self._values.get(loop)
        if value is None:
            for ended in [known for known in [*self._values] if _has_ended(known)]:
                self._values.pop(ended, None)
            value = self._values[loop] = self._make()
        return value


def _has_ended(loop: Any) -> bool:
    if hasattr(loop, "is_closed"):
        return bool(loop.is_closed())
    import trio  # noqa: PLC0415 - may not be installed

    try:
        loop.run_sync_soon(lambda: None)
    except trio.RunFinishedError:
        return True
    return False


class Shutdown:
    """The closing of a client or a transport: refuses new calls, and ends those in progress."""

    def __init__(self, what: str) -> None:
        self.closed: bool = False
        self._what = what
        self._running = PerLoop(_Running)

    async def run(
        self, work: Awaitable[T], request: Request | None = None, *, timeout: float | None = None
    ) -> T:
        """Await `work`; raise ClientClosed if `close` is called first, TransportTimeout after the timeout."""
        running = self._running.here()
        deadline = inf if timeout is None else anyio.current_time() + timeout
        with anyio.CancelScope(deadline=deadline) as scope:
            running.scopes.add(scope)
            try:
                return await work
            finally:
                running.scopes.discard(scope)
                if self.closed and not running.scopes:
                    running.ended.set()
        if self.closed:
            raise self.interrupted(request)
        raise TransportTimeout("the response did not begin in time", request=request)

    async def close(self) -> None:
        """Cancel the work in this event loop and wait until it has ended; other loops start nothing new."""
        self.closed = True
        running = self._running.here()
        for scope in running.scopes:
            scope.cancel()
        if running.scopes:
            await running.ended.wait()

    def interrupted(self, request: Request | None) -> ClientClosed:
        """Return the error for work that was ended; whether the server acted is not known."""
        what = "the response came" if request else "the call was done"
        return ClientClosed(f"the {self._what} was closed before {what}", request=request)

    def refusal(self, request: Request) -> ClientClosed:
        """Return the error for a request that comes too late."""
        return nothing_sent(f"the {self._what} is closed", request)


class _Running:
    """The work in one event loop."""

    def __init__(self) -> None:
        self.scopes: set[anyio.CancelScope] = set()
        self.ended = anyio.Event()


def nothing_sent(message: str, request: Request) -> ClientClosed:
    """Return the error for a request that was refused since something is closed."""
    error = ClientClosed(message, request=request, hint="Nothing was sent.")
    error.may_have_acted = False
    return error
