"""What ends with the client: requests under way by `CloseGuard`, pauses between them by `ClosingClock`."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import anyio
import anyio.lowlevel

from planet_async._loops import PerLoop
from planet_async.clock import Clock
from planet_async.errors import ClientClosed
from planet_async.http import Request, Response, Transport

T = TypeVar("T")


class _UnderWay:
    """The calls under way in one event loop."""

    def __init__(self) -> None:
        self.scopes: set[anyio.CancelScope] = set()
        self.last_ended = anyio.Event()


class Shutdown:
    """The end of a client, and of all its views: what is under way, and whether it has come."""

    def __init__(self) -> None:
        self.closed = False
        self._under_way = PerLoop(_UnderWay)

    async def unless_closed(self, act: Callable[[], Awaitable[T]], request: Request | None = None) -> T:
        """Return what `act` returns; raise ClientClosed where the client is closed before."""
        here = self._under_way.here()
        with anyio.CancelScope() as scope:
            here.scopes.add(scope)
            try:
                return await act()
            finally:
                here.scopes.discard(scope)
                if self.closed and not here.scopes:
                    here.last_ended.set()
        raise _closed(request)

    async def end(self) -> None:
        """End what is under way in this event loop, and wait for that; others begin nothing more."""
        self.closed = True
        here = self._under_way.here()
        for scope in here.scopes:
            scope.cancel()
        if here.scopes:
            await here.last_ended.wait()


class CloseGuard:
    """Sends until it is closed: then the calls under way end as ClientClosed, and so does every later one.

    The same goes for reading what is streamed.  Only when all have ended is the transport inside closed, so
    that none of them meets a network half gone.  Those with one `Shutdown` are closed together.
    """

    def __init__(self, inner: Transport, closing: Shutdown | None = None) -> None:
        self._inner = inner
        self._closing = closing or Shutdown()

    async def send(self, request: Request) -> Response:
        """Send, unless closed."""
        closing = self._closing
        if closing.closed:
            error = ClientClosed("the client is closed", request=request, hint="Nothing was sent.")
            error.may_have_acted = False
            raise error
        response = await closing.unless_closed(lambda: self._inner.send(request), request)
        if not request.stream:
            return response
        body = _Body(response.chunks(), closing, request)
        return Response(response.status, response.headers, body, url=response.url, close=response.aclose)

    async def aclose(self) -> None:
        """End the calls under way, then close the transport inside."""
        with anyio.CancelScope(shield=True):
            await self._closing.end()
            await self._inner.aclose()


class ClosingClock:
    """A clock for the calls of one client: sleeping by it ends as ClientClosed when the client is closed."""

    def __init__(self, clock: Clock, closing: Shutdown) -> None:
        self._clock = clock
        self._closing = closing
        self.monotonic = clock.monotonic
        self.now = clock.now
        self.move_on_after = clock.move_on_after

    async def sleep(self, seconds: float) -> None:
        """Wait that many seconds, unless the client is closed."""
        if self._closing.closed:
            await anyio.lowlevel.checkpoint()
            raise _closed(None)
        await self._closing.unless_closed(lambda: self._clock.sleep(seconds))


class _Body(AsyncIterator[bytes]):
    """A streamed body.  A network that is closed meanwhile need not wake its reader."""

    def __init__(self, chunks: AsyncIterator[bytes], closing: Shutdown, request: Request) -> None:
        self._chunks = chunks
        self._closing = closing
        self._request = request

    async def __anext__(self) -> bytes:
        if self._closing.closed:
            raise _closed(self._request)
        return await self._closing.unless_closed(self._chunks.__anext__, self._request)


def _closed(request: Request | None) -> ClientClosed:
    what = "the answer came" if request else "the call was done"
    return ClientClosed(f"the client was closed before {what}", request=request)
