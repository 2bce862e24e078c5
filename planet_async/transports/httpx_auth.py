"""`AuthFlow` signs requests with an `httpx.Auth`, such as the official client's."""

from collections.abc import AsyncGenerator, Generator
from functools import partial
from typing import Any
from urllib.parse import urlencode

import anyio
import anyio.to_thread
import httpx
from attrs import evolve

from planet_async._loops import PerLoop
from planet_async.errors import ConnectError, InvalidRequest, PlanetError
from planet_async.http import Request, Response, SecretStr, Transport
from planet_async.redaction import redact_response, secrets_of_signature

_SET_BY_CLIENT = frozenset({"host", "content-length"})
_NETWORK_ERRORS = (OSError, httpx.TransportError)  # the errors of `requests` are OSErrors


class AuthFlow:
    """A transport that sends what an object like `httpx.Auth` makes of each request.

    The object is called in a thread, by one request at a time, since it may read a file or fetch a token.  If
    it has an `async_auth_flow` of its own, that is called instead, in the event loop.
    """

    def __init__(self, auth: Any, network: Transport) -> None:
        self._auth = auth
        self._network = network
        self._needs_body = bool(getattr(auth, "requires_response_body", False))
        self._one_at_a_time = PerLoop(anyio.Lock)

    async def send(self, request: Request) -> Response:
        plain = _theirs(request)
        flow = self._begin(plain)
        response = answer = None
        try:
            while outgoing := await self._step(flow, answer, request):
                if response is not None:
                    await response.aclose()
                sent = _signed(request, outgoing) if outgoing is plain else await _own_request(outgoing)
                response = await self._network.send(sent)
                redact_response(response, secrets_of_signature(sent, request))
                body = await response.read() if self._needs_body else b""
                answer = httpx.Response(
                    response.status, headers=dict(response.headers), content=body, request=outgoing
                )
        finally:
            await _end(flow)
        if response is None:
            raise InvalidRequest(f"{type(self._auth).__name__} returned nothing to send", request=request)
        return response

    async def aclose(self) -> None:
        await self._network.aclose()

    def _begin(self, plain: httpx.Request) -> "_Flow":
        cls = type(self._auth)
        own = getattr(cls, "async_auth_flow", None)
        if own is not None and own is not httpx.Auth.async_auth_flow:
            return self._auth.async_auth_flow(plain)  # type: ignore[no-any-return]  # a protocol of its own
        return getattr(self._auth, "sync_auth_flow", self._auth.auth_flow)(plain)  # type: ignore[no-any-return]

    async def _step(
        self, flow: "_Flow", answer: httpx.Response | None, request: Request
    ) -> httpx.Request | None:
        try:
            if isinstance(flow, AsyncGenerator):
                return await flow.asend(answer)
            async with self._one_at_a_time.here():
                return await anyio.to_thread.run_sync(partial(_sync_step, flow, answer))
        except StopAsyncIteration:
            return None
        except PlanetError:
            raise
        except Exception as error:
            what = f"{type(self._auth).__name__} could not sign the request: {type(error).__name__}"
            if isinstance(error, _NETWORK_ERRORS):
                raise ConnectError(what, request=request) from error
            hint = "Log in again with what made it; the cause is in the traceback."
            raise InvalidRequest(what, request=request, hint=hint) from error


_Flow = (
    Generator[httpx.Request, httpx.Response | None, None]
    | AsyncGenerator[httpx.Request, httpx.Response | None]
)


def _sync_step(flow: Any, answer: httpx.Response | None) -> httpx.Request | None:
    try:
        found: httpx.Request = flow.send(answer)
    except StopIteration:  # no exception that a thread could hand over
        return None
    return found


async def _end(flow: "_Flow") -> None:
    if isinstance(flow, AsyncGenerator):
        with anyio.CancelScope(shield=True):
            await flow.aclose()
    else:
        flow.close()


def _theirs(request: Request) -> httpx.Request:
    url = httpx.URL(request.url)
    if request.params:
        query = urlencode(request.params)
        url = url.copy_with(query=b"&".join(filter(None, (url.query, query.encode()))))
    return httpx.Request(request.method, url, headers=dict(request.headers), content=request.body)


def _headers(outgoing: httpx.Request) -> dict[str, str]:
    items = outgoing.headers.items()
    return {name: SecretStr(value) for name, value in items if name not in _SET_BY_CLIENT}


def _signed(request: Request, outgoing: httpx.Request) -> Request:
    """Return our request with what was added to it: headers, and perhaps a signature in the URL."""
    signed = evolve(request, headers=_headers(outgoing))
    has_new_url = outgoing.url != _theirs(request).url
    return evolve(signed, url=str(outgoing.url), params=()) if has_new_url else signed


async def _own_request(outgoing: httpx.Request) -> Request:
    """Return a request of the object's own, such as the one for its token."""
    body = await outgoing.aread()
    return Request(
        outgoing.method,
        str(outgoing.url),
        headers=_headers(outgoing),
        body=body or None,
        operation="auth.request",
    )
