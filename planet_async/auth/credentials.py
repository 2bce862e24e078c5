"""Credentials, and `Auth`, the layer that puts them on requests to the API.

No credential shows its secret in a `repr`.  See https://docs.planet.com/develop/authentication/
"""

import os
from base64 import b64encode
from typing import Literal, Protocol, Self

from attrs import Attribute, field, frozen

from planet_async.clock import Clock
from planet_async.errors import InvalidRequest, MissingCredentials, PlanetError, type_name
from planet_async.http import Request, Response, SecretStr, Transport, origin
from planet_async.redaction import redact_response, secrets_of_authorization


class Credentials(Protocol):
    """An object that signs requests."""

    def sign(self, network: Transport, clock: Clock) -> Transport:
        """Return a transport that signs what it is to send, and sends it with `network`.

        It is called once for each client, so a token belongs to one client.  The transport may send more: to
        fetch a token, or a request a second time after a 401.  It sets `secrets` of the response to what
        errors are to redact.
        """
        ...


class Signed:
    """A transport that sends all requests with one Authorization."""

    def __init__(self, network: Transport, authorization: str) -> None:
        self._network = network
        self._headers = {"authorization": SecretStr(authorization)}
        self._secrets = secrets_of_authorization(authorization)

    async def send(self, request: Request) -> Response:
        """Send, signed."""
        response = await self._network.send(request.with_headers(self._headers))
        return redact_response(response, self._secrets)

    async def aclose(self) -> None:
        """Close the network."""
        await self._network.aclose()


def stripped(value: str) -> SecretStr:
    """Return a key, token or secret without the white space around it."""
    if not isinstance(value, str):
        raise InvalidRequest(f"a credential must be text, not {type_name(value)}")
    return SecretStr(value.strip())


def _sendable(_: object, attribute: "Attribute[str]", value: str) -> None:
    if not value:
        raise MissingCredentials(
            f"the {attribute.name} is empty", hint='Set PL_API_KEY or pass Planet(api_key="...").'
        )
    if not (value.isascii() and value.isprintable()) or " " in value:
        raise InvalidRequest(f"the {attribute.name} holds characters that no {attribute.name} has")


def _known_scheme(_: object, __: "Attribute[str]", value: object) -> None:
    if value not in ("basic", "api-key"):
        raise InvalidRequest('the scheme must be "basic" or "api-key"')


@frozen
class ApiKey:
    """The API key of a Planet account.

        Planet(api_key="...")  # the same as Planet(credentials=ApiKey("..."))

    Args:
        key: The key, which is on https://www.planet.com/account.
        scheme: How it is sent: as the user name of HTTP Basic, which all APIs document, or as ``api-key``.
    """

    key: str = field(repr=False, converter=stripped, validator=_sendable)
    scheme: Literal["basic", "api-key"] = field(default="basic", validator=_known_scheme)

    @classmethod
    def from_env(cls) -> Self:
        """Return the key in `PL_API_KEY`.

        Raises:
            MissingCredentials: it is not set.
        """
        key = os.environ.get("PL_API_KEY", "").strip()
        if not key:
            raise MissingCredentials(
                "no API key: PL_API_KEY is not set",
                hint='Set it (the key is on https://www.planet.com/account) or pass Planet(api_key="...").',
            )
        return cls(key)

    def authorization(self) -> str:
        """Return the value of the Authorization header."""
        if self.scheme == "api-key":
            return SecretStr(f"api-key {self.key}")
        return SecretStr("Basic " + b64encode(f"{self.key}:".encode()).decode())

    def sign(self, network: Transport, clock: Clock) -> Transport:
        """Return a transport that sends the key with each request."""
        return Signed(network, self.authorization())


@frozen
class BearerToken:
    """An OAuth2 access token that you have already; it is not refreshed."""

    token: str = field(repr=False, converter=stripped, validator=_sendable)

    def authorization(self) -> str:
        """Return the value of the Authorization header."""
        return SecretStr(f"Bearer {self.token}")

    def sign(self, network: Transport, clock: Clock) -> Transport:
        """Return a transport that sends the token with each request."""
        return Signed(network, self.authorization())


_PLANET = ("https", "api.planet.com", 443)
_TILES = [("https", f"tiles{number}.planet.com", 443) for number in ("", 0, 1, 2, 3)]


class Auth:
    """Signs requests to the origin (scheme, host, port) of `base_url`, and no others.

    Where that is Planet's own, the servers of its tiles and thumbnails belong to it.  A redirect to storage,
    or a link to anywhere else, is sent without the credential.
    """

    def __init__(self, inner: Transport, credentials: Credentials, base_url: str, clock: Clock) -> None:
        self._inner = inner
        self._signed = credentials.sign(inner, clock)
        self._origins = {origin(base_url)}
        if _PLANET in self._origins:
            self._origins.update(_TILES)

    async def send(self, request: Request) -> Response:
        """Send, signed where it goes to the API."""
        if origin(request.url) not in self._origins:
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
