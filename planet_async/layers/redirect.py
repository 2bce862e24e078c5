"""`FollowRedirects` follows the links that downloads answer with."""

from attrs import evolve

from planet_async.errors import TransportError
from planet_async.http import NO_HEADERS, Request, Response, Transport, link_target, origin
from planet_async.layers.status import start_of_body

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_HOPS = 5
_MOST_READ = 1 << 16  # bytes of what a redirect says: nobody looks at it


class FollowRedirects:
    """Follows redirects of GET and HEAD, at most five, and never from https to http.

    Other methods are not followed, since a POST may lose its body on the way: their 3xx is returned.  The
    credential is not an issue here: `Auth`, inside, signs each hop by its own origin.
    """

    def __init__(self, inner: Transport) -> None:
        self._inner = inner

    async def send(self, request: Request) -> Response:
        """Send, and follow where it leads."""
        hops = 0
        while True:
            response = await self._inner.send(request)
            location = response.headers.get("location")
            if response.status not in _REDIRECTS or location is None or request.method not in {"GET", "HEAD"}:
                return response
            await start_of_body(response, _MOST_READ)  # a connection with a body unread is lost
            hops += 1
            if hops > _MOST_HOPS:
                raise _not_followed(f"more than {_MOST_HOPS} redirects", request)
            target = link_target(request.url, location)
            _check(request, target)
            # What was asked for in the query has been answered by the redirect; a Range still holds.
            request = evolve(request, url=target, params=(), headers=_portable(request))

    async def aclose(self) -> None:
        """Close the transport inside."""
        await self._inner.aclose()


def _check(request: Request, target: str) -> None:
    scheme = origin(target)[0]
    if scheme not in {"http", "https"} or (scheme == "http" and origin(request.url)[0] == "https"):
        raise _not_followed(
            f"refused to follow a redirect from {origin(request.url)[0]} to {scheme or 'nowhere'}", request
        )


def _not_followed(message: str, request: Request) -> TransportError:
    error = TransportError(message, request=request)
    error.transient = False  # the next try would be led the same way
    return error


def _portable(request: Request) -> dict[str, str]:
    return {name: value for name, value in (request.headers or NO_HEADERS).items() if name != "authorization"}
