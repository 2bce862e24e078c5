"""`ClientCredentials`: OAuth2 from machine to machine, with a token that is fetched and renewed when needed.

See https://docs.planet.com/develop/authentication/ and RFC 6749, section 4.4.
"""

from copy import copy
from math import inf
from urllib.parse import urlencode

import anyio
import msgspec
from attrs import Attribute, field, frozen
from attrs.validators import optional

from planet_async._loops import PerLoop
from planet_async.auth.credentials import Signed, stripped
from planet_async.clock import Clock
from planet_async.errors import (
    DecodeError,
    InvalidRequest,
    MissingCredentials,
    PlanetError,
    StatusError,
    Unauthorized,
)
from planet_async.http import (
    Request,
    Response,
    SecretBytes,
    SecretStr,
    Transport,
    is_loopback,
    origin,
    queued_for,
)
from planet_async.layers.status import start_of_body, status_error, whole_body
from planet_async.redaction import redact

_FIRST_REFUSAL = 300
_UNAUTHORIZED = 401
_WRONG_CLIENT = frozenset({400, 401, 403})
_MOST_BYTES = 1 << 20  # a token is short
_SHOWN = 300  # characters of what the login server says
_EARLY = 60.0  # seconds before its end that a token is renewed
_EARLY_SHARE = 0.1  # or this part of its life, where that is shorter
_HEADERS = {"accept": "application/json", "content-type": "application/x-www-form-urlencoded"}
_TOKEN = "an access token"  # noqa: S105 - what a request is queued for
_HINT = (
    "Check the client id and secret: they belong together, and to this token URL; then scope and audience."
)


def _is_text(_: object, attribute: "Attribute[str]", value: object) -> None:
    if not isinstance(value, str) or not value.isprintable():
        raise InvalidRequest(f"the {attribute.name} must be text without control characters")


def _not_empty(_: object, attribute: "Attribute[str]", value: str) -> None:
    if not value:
        raise MissingCredentials(
            f"the {attribute.name} is empty", hint="Planet shows both when the client is made."
        )
    _is_text(_, attribute, value)


def _address(_: object, attribute: "Attribute[str]", value: object) -> None:
    scheme, host, _port = origin(value) if isinstance(value, str) else ("", "", 0)
    if not host or (scheme != "https" and not (scheme == "http" and is_loopback(host))):
        raise InvalidRequest(
            f"the {attribute.name} must look like https://login.planet.com/oauth/token",
            hint="By plain HTTP, others on the way would read the secret; it is for this machine only.",
        )


@frozen
class ClientCredentials:
    """An OAuth2 client, as Planet issues them for machines; each `Planet` fetches its own token.

        Planet(credentials=ClientCredentials("...", "..."))

    The token is renewed a minute before it expires, and once after a 401, after which the request is sent
    again: a 401 says that nothing was done.  However many requests need a token, it is fetched once.  Calls
    raise Unauthorized where the id or secret is wrong.

    Args:
        client_id: The id of the client.
        client_secret: Its secret.
        token_url: Where tokens are issued.
        scope: What the token is for.
        audience: Whom the token is for; by default what the server decides.

    Raises:
        MissingCredentials: the id or the secret is empty.
        InvalidRequest: the token URL is no address, or is plain HTTP to another machine.
    """

    client_id: str = field(converter=stripped, validator=_not_empty)
    client_secret: str = field(repr=False, converter=stripped, validator=_not_empty)
    token_url: str = field(
        default="https://login.planet.com/oauth/token", validator=_address, repr=False, kw_only=True
    )
    scope: str = field(default="planet", validator=_is_text, kw_only=True)
    audience: str | None = field(default=None, validator=optional(_is_text), kw_only=True)

    def sign(self, network: Transport, clock: Clock) -> Transport:
        """Return a transport that sends a valid token with each request."""
        return _Renewing(self, network, clock)

    def token_request(self) -> Request:
        """Return the request for a token, which may be sent again."""
        # Planet's server wants the secret in the body; RFC 6749 would prefer Basic.
        form = {
            "grant_type": "client_credentials",
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "scope": self.scope,
            "audience": self.audience,
        }
        body = urlencode({name: value for name, value in form.items() if value})
        return Request(
            "POST",
            self.token_url,
            headers=_HEADERS,
            body=SecretBytes(body.encode()),
            repeatable=True,
            operation="oauth.token",
        )


@frozen(eq=False)
class _Token:
    signed: Signed
    renew_at: float


class _Renewing:
    """Sends requests with the token, which it fetches when there is no valid one."""

    def __init__(self, client: ClientCredentials, network: Transport, clock: Clock) -> None:
        self._client = client
        self._network = network
        self._clock = clock
        self._locks = PerLoop(anyio.Lock)
        self._token: _Token | None = None
        self._failures = 0
        self._failure: PlanetError | None = None

    async def send(self, request: Request) -> Response:
        token = await self._valid_token()
        queued_for.set("")
        response = await token.signed.send(request)
        if response.status != _UNAUTHORIZED:
            return response
        await response.aclose()
        token = await self._valid_token(refused=token)
        queued_for.set("")
        return await token.signed.send(request)

    async def aclose(self) -> None:
        await self._network.aclose()

    async def _valid_token(self, refused: _Token | None = None) -> _Token:
        failures = self._failures
        if (token := self._kept(refused)) is not None:
            return token
        queued_for.set(_TOKEN)
        try:
            async with self._locks.here():
                if (token := self._kept(refused)) is not None:
                    return token
                if self._failure is not None and self._failures > failures:
                    # Another call tried while this one was queued; a hundred more attempts would not help.
                    raise copy(self._failure)
                self._token = await self._fetch()
                return self._token
        finally:
            queued_for.set(_TOKEN)  # the network has set what the request for the token was queued for

    def _kept(self, refused: _Token | None) -> _Token | None:
        token = self._token
        is_valid = token is not None and token is not refused and self._clock.monotonic() < token.renew_at
        return token if is_valid else None

    async def _fetch(self) -> _Token:
        request, asked_at = self._client.token_request(), self._clock.monotonic()
        try:
            response = await self._network.send(request)
            if response.status >= _FIRST_REFUSAL:
                response.secrets = (self._client.client_secret,)
                body = SecretBytes(await start_of_body(response, self._clock))
                raise status_error(request, response, body, self._clock.now())
            body = SecretBytes(await whole_body(request, response, _MOST_BYTES))
            text, life = _parse_token(body, request)
            early = min(_EARLY, life * _EARLY_SHARE)
            return _Token(Signed(self._network, f"Bearer {text}"), asked_at + life - early)
        except StatusError as error:
            is_wrong_client = error.status in _WRONG_CLIENT
            failure: PlanetError = (Unauthorized if is_wrong_client else type(error))(
                f"no token: {self._safe(error.message)[:_SHOWN]}",
                status=error.status,
                request=request,
                hint=_HINT if is_wrong_client else "",
                retry_after=error.retry_after,
                request_id=error.request_id,
            )
        except PlanetError as error:
            failure = type(error)(f"no token: {self._safe(error.message)}", request=request, hint=error.hint)
            failure.transient = error.transient
        # Raised here, since what the login server said may hold what it was sent.
        failure.may_have_acted = False  # the request that needs the token was not sent
        self._failure = failure
        self._failures += 1
        raise copy(failure)

    def _safe(self, text: str) -> str:
        secret = self._client.client_secret
        return redact(text.replace(secret, "..."), [secret])  # even one that is short


class _TokenResponse(msgspec.Struct):
    access_token: str
    token_type: str = "Bearer"  # noqa: S105 - the type of all tokens
    expires_in: float | None = None


def _parse_token(body: bytes, request: Request) -> tuple[SecretStr, float]:
    try:
        found = msgspec.json.decode(body, type=_TokenResponse, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(f"the response holds no token: {error}", request=request) from None
    text = found.access_token
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise DecodeError("the access token holds characters that none has", request=request)
    if found.token_type.lower() != "bearer":
        raise DecodeError("the token is not of the type Bearer", request=request)
    return SecretStr(text), inf if found.expires_in is None else found.expires_in
