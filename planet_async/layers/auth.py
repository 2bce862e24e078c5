"""`Auth` puts the credential on requests to the API's own origin, and on no others."""

from planet_async.clock import Clock
from planet_async.credentials import Credentials
from planet_async.http import Request, Response, Transport, origin


class Auth:
    """Signs requests to the origin (scheme, host, port) of `base_url`.

    A redirect to storage or a link to anywhere else goes out without the credential.
    """

    def __init__(self, inner: Transport, credentials: Credentials, base_url: str, clock: Clock) -> None:
        self._inner = inner
        self._signed = credentials.sign(inner, clock)
        self._origin = origin(base_url)

    async def send(self, request: Request) -> Response:
        """Send, signed where it is the API's own."""
        own = origin(request.url) == self._origin
        return await (self._signed if own else self._inner).send(request)

    async def aclose(self) -> None:
        """Close the transport inside."""
        await self._inner.aclose()
