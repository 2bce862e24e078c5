"""`Auth` puts the credential on requests to the API's own origin, and on no others."""

from planet_async.clock import Clock
from planet_async.credentials import Credentials
from planet_async.errors import PlanetError
from planet_async.http import Request, Response, Transport, origin
from planet_async.redaction import credential_of


class Auth:
    """Signs requests to the origin (scheme, host, port) of `base_url`.

    A redirect to storage or a link to anywhere else goes out without the credential.
    """

    def __init__(self, inner: Transport, credentials: Credentials, base_url: str, clock: Clock) -> None:
        self._inner = inner
        self._signed = credentials.sign(_Noting(inner), clock)
        self._origin = origin(base_url)

    async def send(self, request: Request) -> Response:
        """Send, signed where it is the API's own."""
        if origin(request.url) != self._origin:
            return await self._inner.send(request)
        try:
            return await self._signed.send(request)
        except PlanetError as error:
            if error.request is not None and error.request.operation == request.operation:
                error.request = request  # a signature may be part of the address
            raise

    async def aclose(self) -> None:
        """Close the transport inside."""
        await self._inner.aclose()


class _Noting:
    """Notes on each answer what was sent in confidence, lest an error that quotes the answer shows it."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner

    async def send(self, request: Request) -> Response:
        response = await self._inner.send(request)
        response.confidential = credential_of(request)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()
