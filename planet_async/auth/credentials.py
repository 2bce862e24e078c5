"""Credentials: what lets a request in.

None shows its secret in a `repr`.  Beside those here there are `auth.oauth.ClientCredentials`
and `auth.signed_by.SignedBy`.  See https://docs.planet.com/develop/authentication/
"""

import os
from base64 import b64encode
from typing import Literal, Protocol, Self

from attrs import Attribute, field, frozen

from planet_async.clock import Clock
from planet_async.errors import InvalidRequest, MissingCredentials, PlanetError, type_name
from planet_async.http import Request, Response, Transport, origin
from planet_async.redaction import credential_of


class Credentials(Protocol):
    """Whatever can sign requests."""

    def sign(self, network: Transport, clock: Clock) -> Transport:
        """Give a transport that signs what is sent, and sends it over the network.

        Each client has its own, so a token belongs to one client.  It may send more than it was asked to: to
        fetch a token, or a request a second time where the first was answered with 401.
        """
        ...


class Signing:
    """A transport that puts an `Authorization` header on all that it sends."""

    def __init__(self, network: Transport, credential: "ApiKey | BearerToken") -> None:
        self._network = network
        self._credential = credential

    async def send(self, request: Request) -> Response:
        """Send, signed."""
        return await self._network.send(authorized(request, await self._credential.authorization()))

    async def aclose(self) -> None:
        """Close the network."""
        await self._network.aclose()


def authorized(request: Request, authorization: str) -> Request:
    """Give the request with that header."""
    return request.with_headers({"authorization": authorization})


def stripped(value: str) -> str:
    """Return a key, token or secret without the white space around it."""
    if not isinstance(value, str):
        raise InvalidRequest(f"a credential must be text, not {type_name(value)}")
    return value.strip()


def _sendable(_: object, attribute: "Attribute[str]", value: str) -> None:
    if not value:
        raise MissingCredentials(
            f"the {attribute.name} is empty", hint='Set PL_API_KEY or pass Planet(api_key="...").'
        )
    if not (value.isascii() and value.isprintable()) or " " in value:
        raise InvalidRequest(f"the {attribute.name} holds characters that no {attribute.name} has")


@frozen
class ApiKey:
    """The API key of a Planet account, sent as HTTP Basic user name or, with `scheme="api-key"`, on its own.

    Basic is the form that all four APIs document.

        Planet(api_key="...")  # the same as Planet(credentials=ApiKey("..."))
    """

    key: str = field(repr=False, converter=stripped, validator=_sendable)
    scheme: Literal["basic", "api-key"] = "basic"

    @classmethod
    def from_env(cls) -> Self:
        """Take the key from `PL_API_KEY`; MissingCredentials where it is not set."""
        key = os.environ.get("PL_API_KEY", "").strip()
        if not key:
            raise MissingCredentials(
                "no API key: PL_API_KEY is not set",
                hint='Set it (the key is on https://www.planet.com/account) or pass Planet(api_key="...").',
            )
        return cls(key)

    async def authorization(self) -> str:
        """Give the header value."""
        if self.scheme == "api-key":
            return f"api-key {self.key}"
        return "Basic " + b64encode(f"{self.key}:".encode()).decode()

    def sign(self, network: Transport, clock: Clock) -> Transport:
        """Give a transport that sends the key along."""
        return Signing(network, self)


@frozen
class BearerToken:
    """An OAuth2 access token you already have; it is not refreshed."""

    token: str = field(repr=False, converter=stripped, validator=_sendable)

    async def authorization(self) -> str:
        """Give the header value."""
        return f"Bearer {self.token}"

    def sign(self, network: Transport, clock: Clock) -> Transport:
        """Give a transport that sends the token along."""
        return Signing(network, self)


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
