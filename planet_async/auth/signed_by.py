"""`SignedBy`: requests signed by somebody else's object, such as the official client's `planet.Auth`."""

from collections.abc import Callable, Generator
from typing import Any, Protocol

from attrs import Attribute, field, frozen

from planet_async.clock import Clock
from planet_async.errors import InvalidRequest
from planet_async.http import Transport


class Signer(Protocol):
    """What `httpx.Auth` calls an authentication: it is given a request to sign, and yields what to send.

    Its `async_auth_flow` is used where it has one of its own; else it may block, and runs in a thread.
    """

    @property
    def auth_flow(self) -> Callable[[Any], Generator[Any, Any, None]]:
        """Sign a request of httpx; yield it, or first another one to be sent and answered."""
        ...


def _signs(_: object, __: "Attribute[Any]", value: object) -> None:
    if not callable(getattr(value, "auth_flow", None)):
        raise InvalidRequest(
            f"expected an object with `auth_flow`, as httpx.Auth has it, got {type(value).__name__}"
        )


def _name(value: object) -> str:
    return f"<{type(value).__qualname__}>"


@frozen(eq=False)
class SignedBy:
    """A credential that is another library's: an object that can sign a request of httpx.

    The official client's are such objects, for all its ways to log in; it keeps and refreshes their tokens.

        Planet(credentials=SignedBy(planet.Auth.from_profile("planet-user")))
    """

    auth: Signer = field(repr=_name, validator=_signs)

    def sign(self, network: Transport, clock: Clock) -> Transport:
        """Give a transport that has each request signed by the object."""
        # Imported here so that `import planet_async` loads no network library.
        from planet_async.transports.httpx_auth import AuthFlow  # noqa: PLC0415

        return AuthFlow(self.auth, network)
