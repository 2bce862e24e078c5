"""Closing a client: `CloseGuard` ends its requests, `ClientClock` its pauses."""

from collections.abc import AsyncIterator, Awaitable
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TypeVar

import anyio
import anyio.lowlevel
from attrs import field, frozen

from planet_async._loops import PerLoop
from planet_async.clock import Clock
from planet_async.errors import ClientClosed
from planet_async.http import Request, Response, Transport

T = TypeVar("T")


class CloseGuard:
    """Sends requests until the client is closed.

    Closing ends the requests in flight and the reading of streamed bodies: they raise ClientClosed, as every
    later request does.  The transport inside is closed after all of them have ended, so that none of them
    meets a transport that is half closed.  A client and its views share one `Shutdown`.
    """

    def __init__(self, inner: Transport, shutdown: "Shutdown") -> None:
        self._inner = inner
        self._shutdown = shutdown

    async def send(self, request: Request) -> Response:
        if self._shutdown.closed:
            error = ClientClosed("the client is closed", request=request, hint="Nothing was sent.")
            error.may_have_acted = False
            raise error
        response = await self._shutdown.run(self._inner.send(request), request)
        if not request.stream:
            return response
        body = _Body(response.chunks(), self._shutdown, request)
        return Response(response.status, response.headers, body, url=response.url, close=response.aclose)

    async def aclose(self) -> None:
        with anyio.CancelScope(shield=True):
            await self._shutdown.close()
            await self._inner.aclose()


class Shutdown:
    """The state of closing of a client, and its calls in each event loop."""

    def __init__(self) -> None:
        self.closed: bool = False
        self._running = PerLoop(_Running)

    async def run(self, work: Awaitable[T], request: Request | None = None) -> T:
        """Await `work`; raise ClientClosed if the client is closed before it is done."""
        running = self._running.here()
        with anyio.CancelScope() as scope:
            running.scopes.add(scope)
            try:
                return await work
            finally:
                running.scopes.discard(scope)
                if self.closed and not running.scopes:
                    running.ended.set()
        raise _closed(request)

    async def close(self) -> None:
        """Cancel the work in this event loop and wait until it has ended; other loops start nothing new."""
        self.closed = True
        running = self._running.here()
        for scope in running.scopes:
            scope.cancel()
        if running.scopes:
            await running.ended.wait()


class _Running:
    """The work in one event loop."""

    def __init__(self) -> None:
        self.scopes: set[anyio.CancelScope] = set()
        self.ended = anyio.Event()


@frozen
class ClientClock:
    """The clock of one client: `sleep` raises ClientClosed when the client is closed.

    Those of several clients are equal where their clocks are, so that the clients share what they share.
    """

    _clock: Clock
    _shutdown: Shutdown = field(eq=False)

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def now(self) -> datetime:
        return self._clock.now()

    def move_on_after(self, seconds: float) -> AbstractContextManager[anyio.CancelScope]:
        return self._clock.move_on_after(seconds)

    async def sleep(self, seconds: float) -> None:
        if self._shutdown.closed:
            await anyio.lowlevel.checkpoint()
            raise _closed(None)
        await self._shutdown.run(self._clock.sleep(seconds))


class _Body(AsyncIterator[bytes]):
    """A streamed body: closing the client wakes up its reader, which closing the connection may not."""

    def __init__(self, chunks: AsyncIterator[bytes], shutdown: Shutdown, request: Request) -> None:
        self._chunks = chunks
        self._shutdown = shutdown
        self._request = request

    async def __anext__(self) -> bytes:
        if self._shutdown.closed:
            raise _closed(self._request)
        return await self._shutdown.run(anext(self._chunks), self._request)


def _closed(request: Request | None) -> ClientClosed:
    what = "the response came" if request else "the call was done"
    return ClientClosed(f"the client was closed before {what}", request=request)
