"""Credentials: what goes into the `Authorization` header.

Neither shows its secret in a `repr`.  See https://docs.planet.com/develop/authentication/
"""

import os
from base64 import b64encode
from typing import Literal, Protocol, Self

from attrs import Attribute, field, frozen

from planet_async.errors import InvalidRequest, MissingCredentials


class Credentials(Protocol):
    """Whatever can say what to put into the `Authorization` header."""

    async def authorization(self) -> str:
        """Give the value of the header; may take its time, to fetch or refresh a token."""
        ...


def _strip(value: str) -> str:
    return value.strip()


def _sendable(_: object, attribute: "Attribute[str]", value: str) -> None:
    if not value:
        raise MissingCredentials(f"the {attribute.name} is empty", hint="Set PL_API_KEY or pass ApiKey(...).")
    if not (value.isascii() and value.isprintable()) or " " in value:
        raise InvalidRequest(f"the {attribute.name} holds characters that no {attribute.name} has")


@frozen
class ApiKey:
    """The API key of a Planet account, sent as HTTP Basic user name or, with `scheme="api-key"`, on its own.

    Basic is the form that all four APIs document.

        Planet(credentials=ApiKey("..."))
    """

    key: str = field(repr=False, converter=_strip, validator=_sendable)
    scheme: Literal["basic", "api-key"] = "basic"

    @classmethod
    def from_env(cls) -> Self:
        """Take the key from `PL_API_KEY`; MissingCredentials where it is not set."""
        key = os.environ.get("PL_API_KEY", "").strip()
        if not key:
            raise MissingCredentials(
                "no API key: PL_API_KEY is not set",
                hint='Set it (the key is on https://www.planet.com/account) or pass ApiKey("...").',
            )
        return cls(key)

    async def authorization(self) -> str:
        """Give the header value."""
        if self.scheme == "api-key":
            return f"api-key {self.key}"
        return "Basic " + b64encode(f"{self.key}:".encode()).decode()


@frozen
class BearerToken:
    """An OAuth2 access token you already have; it is not refreshed."""

    token: str = field(repr=False, converter=_strip, validator=_sendable)

    async def authorization(self) -> str:
        """Give the header value."""
        return f"Bearer {self.token}"
