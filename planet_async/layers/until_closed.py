"""`UntilClosed` ends the calls under way when the client is closed."""

import anyio

from planet_async.errors import ClientClosed
from planet_async.http import Request, Response, Transport


class Closing:
    """The end of a client, and of all its views: the calls that are under way, and whether it has come."""

    def __init__(self) -> None:
        self.closed = False
        self.running: set[anyio.CancelScope] = set()
        self.last_ended = anyio.Event()


class UntilClosed:
    """Sends until it is closed: then the calls under way end as ClientClosed, and so does every later one.

    Only when they have ended is the transport inside closed, so that none of them meets a network half gone.
    Those with one `Closing` are closed together.
    """

    def __init__(self, inner: Transport, closing: Closing | None = None) -> None:
        self._inner = inner
        self._closing = closing or Closing()

    async def send(self, request: Request) -> Response:
        """Send, unless closed."""
        closing = self._closing
        if closing.closed:
            error = ClientClosed("the client is closed", request=request, hint="Nothing was sent.")
            error.may_have_acted = False
            raise error
        with anyio.CancelScope() as scope:
            closing.running.add(scope)
            try:
                return await self._inner.send(request)
            finally:
                closing.running.discard(scope)
                if closing.closed and not closing.running:
                    closing.last_ended.set()
        raise ClientClosed("the client was closed before the answer came", request=request)

    async def aclose(self) -> None:
        """End the calls under way, then close the transport inside."""
        self._closing.closed = True
        for scope in self._closing.running:
            scope.cancel()
        with anyio.CancelScope(shield=True):
            if self._closing.running:
                await self._closing.last_ended.wait()
            await self._inner.aclose()
