"""A page at the address of a simulator that shows its orders and requests as they change."""

from collections import Counter, deque
from collections.abc import Callable, Mapping
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from attrs import asdict, frozen

from planet_async.simulator.context import render
from planet_async.simulator.http import Dropped, Hung, ServerRequest, ServerResponse, json_response
from planet_async.simulator.simulator import Simulator

_PAGE = Path(__file__).with_name("page.html")
_STATE = "/_page/state"
_MOST = 100  # orders and requests on the page
_HEADERS = {
    "content-type": "text/html; charset=utf-8",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline';"
    " connect-src 'self'; img-src data:",
}


@frozen
class Served:
    """A request that was served: the `status` of its response, or why there is none."""

    time: datetime
    method: str
    path: str
    operation: str
    status: int | str
    seconds: float


class WatchedSimulator(Simulator):
    """A simulator with a page about itself at ``/``; `on_served` is called for each request, but for it."""

    def __init__(self, *, on_served: Callable[[Served], None], **options: Any) -> None:
        super().__init__(**options)
        self._on_served = on_served
        self._served: deque[Served] = deque(maxlen=_MOST)

    async def respond(self, request: ServerRequest) -> ServerResponse:
        """Return the response, or a part of the page."""
        if request.origin == "api" and request.method == "GET":
            if request.path == "/":
                return ServerResponse(200, dict(_HEADERS), _PAGE.read_bytes())
            if request.path == _STATE:
                return json_response(self._state())
        time, started = self.clock.now(), self.clock.monotonic()
        status: int | str = "cancelled"
        try:
            response = await super().respond(request)
            status = response.status
        except Dropped:
            status = "dropped"
            raise
        except Hung:
            status = "hangs"
            raise
        finally:
            seconds = self.clock.monotonic() - started
            # Without the query, which has the tokens of links to files.
            served = Served(time, request.method, request.path, request.operation, status, seconds)
            self._served.append(served)
            self._on_served(served)
        return response

    def _state(self) -> Mapping[str, object]:
        orders = list(self.orders.values())
        return {
            "states": Counter(order.state for order in orders),
            "orders": [
                {
                    "id": order.id,
                    "name": order.name,
                    "state": order.state,
                    "created": render(order.created),
                    "modified": render(order.modified),
                }
                for order in islice(reversed(orders), _MOST)
            ],
            "operations": dict(self.requests.most_common()),
            "requests": [asdict(served) for served in reversed(self._served)],
        }
