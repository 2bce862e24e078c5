"""`UntilClosed` ends the calls under way when the client is closed."""

import anyio

from planet_async.errors import ClientClosed
from planet_async.http import Request, Response, Transport


class UntilClosed:
    """Sends until it is closed: then the calls under way end as ClientClosed, and so does every later one.

    Only when they have ended is the transport inside closed, so that none of them meets a network half gone.
    """

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self._running: set[anyio.CancelScope] = set()
        self._closed = False
        self._last_ended = anyio.Event()

    async def send(self, request: Request) -> Response:
        """Send, unless closed."""
        if self._closed:
            error = ClientClosed("the client is closed", request=request, hint="Nothing was sent.")
            error.may_have_acted = False
            raise error
        with anyio.CancelScope() as scope:
            self._running.add(scope)
            try:
                return await self._inner.send(request)
            finally:
                self._running.discard(scope)
                if self._closed and not self._running:
                    self._last_ended.set()
        raise ClientClosed("the client was closed before the answer came", request=request)

    async def aclose(self) -> None:
        """End the calls under way, then close the transport inside."""
        self._closed = True
        for scope in self._running:
            scope.cancel()
        with anyio.CancelScope(shield=True):
            if self._running:
                await self._last_ended.wait()
            await self._inner.aclose()
