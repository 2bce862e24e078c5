"""`RateLimit` lets requests out at the pace that the API allows."""

from planet_async.errors import StatusError, TooManyRequests
from planet_async.http import Request, Response, Transport, queued_for
from planet_async.layers.budget import SharedBudget

_SHUT_SECONDS = 1.0  # after a 429 that names no time
_LONGEST_SHUT = 300.0  # a server that names a longer time is asked again after this one, lest all hang


class RateLimit:
    """Makes requests of one class of operation wait in line, first come first served, for their turn.

    Only the head of a line sleeps.  A 429 shuts the gate for those already in line, and slows them down.
    """

    def __init__(self, inner: Transport, budget: SharedBudget) -> None:
        self._inner = inner
        self._budget = budget

    async def send(self, request: Request) -> Response:
        """Send when it is this request's turn."""
        line = self._budget.here().line(request.operation)
        if line is None:
            return await self._inner.send(request)
        queued_for.set(line.queued_for)
        turn = await line.wait_turn()
        queued_for.set("")
        try:
            response = await self._inner.send(request)
        except TooManyRequests as error:
            asked = _SHUT_SECONDS if error.retry_after is None else error.retry_after
            line.refused(turn, min(asked, _LONGEST_SHUT))
            raise
        except StatusError as error:
            if not error.transient:  # a 404 was let in; a 503 tells nothing of the pace
                line.answered(turn)
            raise
        line.answered(turn)
        return response

    async def aclose(self) -> None:
        """Close the transport inside."""
        await self._inner.aclose()
