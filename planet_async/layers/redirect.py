"""`FollowRedirects` follows the redirects of GET and HEAD, as those of downloads."""

from attrs import evolve

from planet_async.clock import Clock
from planet_async.errors import TransportError
from planet_async.http import Request, Response, Transport, link_refusal, link_target
from planet_async.layers.status import start_of_body

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 5


class FollowRedirects:
    """Follows at most five redirects of GET and HEAD, and none that `link_refusal` refuses.

    The redirect of another method is returned as it is: following it would lose the body.  `Auth` is below
    this layer and decides for each request by its origin whether it carries the credential.
    """

    def __init__(self, inner: Transport, clock: Clock) -> None:
        self._inner = inner
        self._clock = clock

    async def send(self, request: Request) -> Response:
        redirects = 0
        while True:
            response = await self._inner.send(request)
            location = response.headers.get("location")
            if response.status not in _REDIRECTS or location is None or request.method not in {"GET", "HEAD"}:
                return response
            await start_of_body(response, self._clock)  # so that the connection can be used again
            redirects += 1
            if redirects > _MOST_REDIRECTS:
                raise _not_followed(f"more than {_MOST_REDIRECTS} redirects", request)
            target = link_target(request.url, location)
            if reason := link_refusal(request.url, target):
                raise _not_followed(f"refused to follow a redirect {reason}", request)
            headers = {name: value for name, value in request.headers.items() if name != "authorization"}
            # The location has its own query. A Range header holds for the target as well.
            request = evolve(request, url=target, params=(), headers=headers)

    async def aclose(self) -> None:
        await self._inner.aclose()


def _not_followed(message: str, request: Request) -> TransportError:
    error = TransportError(message, request=request)
    error.transient = False  # the next attempt would be led the same way
    error.may_have_acted = False
    return error
