"""`ClientCredentials`: OAuth2 from machine to machine, with a token that is fetched and kept fresh by itself.

See https://docs.planet.com/develop/authentication/ and RFC 6749, section 4.4.
"""

from collections.abc import Callable
from math import inf
from urllib.parse import urlencode

import anyio
import msgspec
from attrs import Attribute, field, frozen

from planet_async._loops import PerLoop
from planet_async.auth.credentials import authorized, stripped
from planet_async.clock import Clock
from planet_async.errors import (
    DecodeError,
    InvalidRequest,
    MissingCredentials,
    PlanetError,
    StatusError,
    TransportError,
    Unauthorized,
    status_class,
)
from planet_async.http import Request, Response, Transport, origin, queued_for
from planet_async.layers.status import RaiseForStatus
from planet_async.redaction import redact

_UNAUTHORIZED = 401
_WRONG_CLIENT = frozenset({400, 401, 403})
_LONGEST_ANSWER = 1 << 20  # bytes; a token is short
_EARLY = 60.0  # seconds before its end that a token is renewed
_EARLY_SHARE = 0.1  # or this part of its life, where that is shorter
_HEADERS = {"accept": "application/json", "content-type": "application/x-www-form-urlencoded"}
_TOKEN = "an access token"  # noqa: S105 - the words for what is waited for
_HINT = (
    "Check the client id and secret: they belong together, and to this token URL; then scope and audience."
)


def _given(_: object, attribute: "Attribute[str]", value: str) -> None:
    if not value:
        raise MissingCredentials(f"the {attribute.name} is empty", hint="Planet gives both with the client.")


def _address(_: object, attribute: "Attribute[str]", value: str) -> None:
    scheme, host, _port = origin(value)
    if scheme not in {"http", "https"} or not host:
        raise InvalidRequest(f"the {attribute.name} must look like https://login.planet.com/oauth/token")


@frozen
class ClientCredentials:
    """An OAuth2 client, as Planet gives one to a machine; each client of this package fetches its own token.

    The token is renewed a minute before it expires, and once after a 401, whereupon the request is sent
    again: a 401 says that nothing was done.  However many requests need a token, it is fetched once.  Calls
    raise Unauthorized where the id or secret is wrong.

        Planet(credentials=ClientCredentials("...", "..."))
    """

    client_id: str = field(converter=stripped, validator=_given)
    client_secret: str = field(repr=False, converter=stripped, validator=_given)
    token_url: str = field(
        default="https://login.planet.com/oauth/token", validator=_address, repr=False, kw_only=True
    )
    scope: str = field(default="planet", kw_only=True)
    audience: str | None = field(default=None, kw_only=True)

    def sign(self, network: Transport, clock: Clock) -> Transport:
        """Give a transport that sends a fresh token along."""
        return _Renewing(self, network, clock)

    def token_request(self) -> Request:
        """Give the request for a token; to fetch one too many does no harm."""
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
            body=body.encode(),
            repeatable=True,
            operation="oauth.token",
        )


@frozen(eq=False)
class _Token:
    text: str = field(repr=False)
    renew_at: float


class _Confiding:
    """Notes the secret on each answer, lest an error that quotes a part of the answer shows a part of it."""

    def __init__(self, inner: Transport, secret: str) -> None:
        self._inner = inner
        self._secret = secret

    async def send(self, request: Request) -> Response:
        response = await self._inner.send(request)
        response.confidential = (self._secret,)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Renewing:
    """Sends requests with the token, which it fetches when there is none that holds."""

    def __init__(self, client: ClientCredentials, network: Transport, clock: Clock) -> None:
        self._client = client
        self._network = network
        self._login = RaiseForStatus(_Confiding(network, client.client_secret), clock, _LONGEST_ANSWER)
        self._clock = clock
        self._locks = PerLoop(anyio.Lock)
        self._token: _Token | None = None
        self._failures = 0
        self._failure: Callable[[], PlanetError] | None = None

    async def send(self, request: Request) -> Response:
        """Send; once more with a new token where the server does not take this one."""
        token = await self._fresh()
        queued_for.set("")
        response = await self._network.send(authorized(request, f"Bearer {token.text}"))
        if response.status != _UNAUTHORIZED:
            return response
        await response.aclose()
        token = await self._fresh(refused=token)
        queued_for.set("")
        return await self._network.send(authorized(request, f"Bearer {token.text}"))

    async def aclose(self) -> None:
        """Close the network."""
        await self._network.aclose()

    async def _fresh(self, refused: _Token | None = None) -> _Token:
        failures = self._failures
        if (token := self._holding(refused)) is not None:
            return token
        queued_for.set(_TOKEN)
        try:
            async with self._locks.here():
                if (token := self._holding(refused)) is not None:
                    return token
                if self._failure is not None and self._failures > failures:
                    # Somebody tried while we stood in line; a hundred more tries would not do better.
                    raise self._failure()
                self._token = await self._fetch()
                return self._token
        finally:
            queued_for.set(_TOKEN)  # the network has noted what became of the request for it

    def _holding(self, refused: _Token | None) -> _Token | None:
        token = self._token
        good = token is not None and token is not refused and self._clock.monotonic() < token.renew_at
        return token if good else None

    async def _fetch(self) -> _Token:
        request, asked_at = self._client.token_request(), self._clock.monotonic()
        try:
            response = await self._login.send(request)
            return _token(await response.read(), request, asked_at)
        except PlanetError as error:
            # Not "from error": what the login server said may hold what it was sent.
            self._failure = _failure(error, request, self._client.client_secret)
            self._failures += 1
        raise self._failure()


class _Answer(msgspec.Struct):
    access_token: str
    token_type: str = "Bearer"  # noqa: S105 - the type of all tokens
    expires_in: float | None = None


def _token(body: bytes, request: Request, asked_at: float) -> _Token:
    try:
        answer = msgspec.json.decode(body, type=_Answer, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(f"the answer holds no token: {error}", request=request) from None
    text = answer.access_token
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise DecodeError("the access token holds characters that none has", request=request)
    if answer.token_type.lower() != "bearer":
        raise DecodeError("the token is not of the type Bearer", request=request)
    if answer.expires_in is None:
        return _Token(text, inf)
    return _Token(text, asked_at + answer.expires_in - min(_EARLY, answer.expires_in * _EARLY_SHARE))


def _failure(error: PlanetError, request: Request, secret: str) -> Callable[[], PlanetError]:
    """Give what makes the error of a caller: each gets one of its own, and none may have acted."""

    def made() -> PlanetError:
        found = _translated(error, request, secret)
        found.may_have_acted = False  # the request itself was not sent
        return found

    return made


def _translated(error: PlanetError, request: Request, secret: str) -> PlanetError:
    said = f"no token: {error.message}" + (_description(error.body) if isinstance(error, StatusError) else "")
    message = redact(said.replace(secret, "..."), [secret])  # be it as short as it may
    if isinstance(error, StatusError):
        wrong = error.status in _WRONG_CLIENT
        return (Unauthorized if wrong else status_class(error.status))(
            message,
            status=error.status,
            request=request,
            hint=_HINT if wrong else "",
            retry_after=error.retry_after,
            request_id=error.request_id,
        )
    if isinstance(error, TransportError):
        found = type(error)(message, request=request, hint=error.hint)
        found.transient = error.transient
        return found
    return type(error)(message, request=request, hint=error.hint)


def _description(body: str) -> str:
    """Give what an OAuth2 server adds to its code of an error: RFC 6749, section 5.2."""
    try:
        said = msgspec.json.decode(body)["error_description"]
    except (msgspec.DecodeError, KeyError, TypeError):
        return ""
    return f" ({said[:200]})" if isinstance(said, str) and said.isprintable() else ""
