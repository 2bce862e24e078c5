"""Closing a client: `CloseGuard` ends its requests, `ClientClock` its pauses."""

from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from datetime import datetime

import anyio
import anyio.lowlevel
from attrs import field, frozen

from planet_async._loops import Shutdown
from planet_async.clock import Clock
from planet_async.http import Request, Response, Transport


class CloseGuard:
    """Sends requests until the client is closed.

    Closing ends the requests in flight and the reading of streamed bodies: they raise ClientClosed, as every
    later request does.  The transport inside is closed after all of them have ended, so that none of them
    meets a transport that is half closed.  A client and its views share one `Shutdown`.
    """

    def __init__(self, inner: Transport, shutdown: Shutdown) -> None:
        self._inner = inner
        self._shutdown = shutdown

    async def send(self, request: Request) -> Response:
        if self._shutdown.closed:
            raise self._shutdown.refusal(request)
        response = await self._shutdown.run(self._inner.send(request), request)
        if not request.stream:
            return response
        body = _Body(response.chunks(), self._shutdown, request)
        return Response(response.status, response.headers, body, url=response.url, close=response.aclose)

    async def aclose(self) -> None:
        with anyio.CancelScope(shield=True):
            await self._shutdown.close()
            await self._inner.aclose()


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
            raise self._shutdown.interrupted(None)
        await self._shutdown.run(self._clock.sleep(seconds))


class _Body(AsyncIterator[bytes]):
    """A streamed body: closing the client wakes up its reader, which closing the connection may not."""

    def __init__(self, chunks: AsyncIterator[bytes], shutdown: Shutdown, request: Request) -> None:
        self._chunks = chunks
        self._shutdown = shutdown
        self._request = request

    async def __anext__(self) -> bytes:
        if self._shutdown.closed:
            raise self._shutdown.interrupted(self._request)
        return await self._shutdown.run(anext(self._chunks), self._request)
