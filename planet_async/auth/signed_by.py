"""`SignedBy`: requests signed by another library, such as the official client with its `planet.Auth`."""

from collections.abc import Callable, Generator
from typing import Any, Protocol

from attrs import Attribute, field, frozen

from planet_async.clock import Clock
from planet_async.errors import InvalidRequest, type_name
from planet_async.http import Transport


class Signer(Protocol):
    """An authentication of HTTPX (`httpx.Auth`): it receives a request to sign, and yields what to send.

    Its `async_auth_flow` is used where it defines one; else it may block, and runs in a thread.
    """

    @property
    def auth_flow(self) -> Callable[[Any], Generator[Any, Any, None]]:
        """Sign a request of HTTPX; yield it, or first another one to be sent."""
        ...


def _signs(_: object, __: "Attribute[Any]", value: object) -> None:
    if not callable(getattr(value, "auth_flow", None)):
        raise InvalidRequest(f"expected an object with `auth_flow`, like httpx.Auth, not {type_name(value)}")


def _name(value: object) -> str:
    return f"<{type(value).__qualname__}>"


@frozen(eq=False)
class SignedBy:
    """A credential of another library: an object that can sign requests of HTTPX.

        Planet(credentials=SignedBy(planet.Auth.from_profile("planet-user")))

    The official client's are such objects, for all its ways to log in; they keep and refresh their tokens.

    Args:
        auth: The object.

    Raises:
        InvalidRequest: it cannot sign requests.
    """

    auth: Signer = field(repr=_name, validator=_signs)

    def sign(self, network: Transport, clock: Clock) -> Transport:
        """Return a transport that has the object sign each request."""
        # Imported here so that `import planet_async` loads no network library.
        from planet_async.transports.httpx_auth import AuthFlow  # noqa: PLC0415 - loads httpx

        return AuthFlow(self.auth, network)
