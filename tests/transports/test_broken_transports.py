"""The checks of `planet_async.testing.conformance` find what they are there to find."""

from collections.abc import AsyncIterator
from contextlib import suppress
from urllib.parse import urlsplit

import anyio
import anyio.abc
import httpx
import pytest
from attrs import evolve

from planet_async.clock import SystemClock
from planet_async.config import Config
from planet_async.errors import ConnectionLost, PlanetError, TransportError, TransportTimeout
from planet_async.http import Request, Response, Transport
from planet_async.layers.compression import Decompress
from planet_async.layers.redirect import FollowRedirects
from planet_async.testing import conformance
from planet_async.testing.conformance import (
    CHECKS,
    Check,
    CheckFailed,
    MakeTransport,
    a_body_is_streamed,
    a_broken_connection_is_connection_lost,
    a_request_arrives_as_made,
    a_response_is_returned_as_it_came,
    a_response_left_unread_frees_its_place,
    an_ended_connection_is_not_used,
    cancelled_anywhere_nothing_is_held,
    closing_at_any_time_leaves_nothing_open,
    closing_ends_and_refuses,
    downloads_leave_room_for_requests,
    errors_show_no_secret,
    every_framing_is_read,
    no_connection_is_a_connect_error,
    no_more_connections_than_allowed,
    nothing_is_added_to_a_request,
    nothing_is_sent_twice,
    silence_is_a_timeout,
    waiting_can_be_cancelled,
    what_is_not_a_request_is_refused,
)
from planet_async.transports.httpx import HttpxTransport

pytestmark = pytest.mark.anyio

TOO_LONG = "The check ends within"


class Altered:
    """A good transport with one thing wrong."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.inner = HttpxTransport(config=config)

    async def send(self, request: Request) -> Response:
        return await self.inner.send(request)

    async def aclose(self) -> None:
        await self.inner.aclose()


class DropsBodies(Altered):
    async def send(self, request: Request) -> Response:
        return await self.inner.send(evolve(request, body=None))


class AsksForCompression(Altered):
    async def send(self, request: Request) -> Response:
        return await self.inner.send(evolve(request, headers={"accept-encoding": "gzip", **request.headers}))


class EncodesAgain(Altered):
    async def send(self, request: Request) -> Response:
        return await self.inner.send(evolve(request, url=request.url.replace("%", "%25")))


class DropsWhatIsNotAscii(Altered):
    async def send(self, request: Request) -> Response:
        return await self.inner.send(evolve(request, url=request.url.encode("ascii", "ignore").decode()))


class MergesParameters(Altered):
    async def send(self, request: Request) -> Response:
        return await self.inner.send(evolve(request, params=tuple(dict(request.params).items())))


class SendsTwice(Altered):
    async def send(self, request: Request) -> Response:
        try:
            return await self.inner.send(request)
        except ConnectionLost:
            return await self.inner.send(request)


class WholeClient:
    """What one writes first: httpx's client, with its cookies, its errors and its decompression."""

    def __init__(self, _: Config) -> None:
        self.client = httpx.AsyncClient()

    async def send(self, request: Request) -> Response:
        answer = await self.client.request(request.method, request.url, content=request.body)
        return Response(answer.status_code, dict(answer.headers), answer.content)

    async def aclose(self) -> None:
        await self.client.aclose()


class OneConnection:
    """What one writes without a client: one connection for all requests, whatever has become of it."""

    def __init__(self, _: Config) -> None:
        self.stream: anyio.abc.SocketStream | None = None

    async def send(self, request: Request) -> Response:
        parts = urlsplit(request.url)
        if self.stream is None:
            self.stream = await anyio.connect_tcp(parts.hostname or "", parts.port or 80)
        await self.stream.send(b"%s / HTTP/1.1\r\n\r\n" % request.method.encode())
        return Response(200, body=(await self.stream.receive()).partition(b"\r\n\r\n")[2])

    async def aclose(self) -> None:
        if self.stream is not None:
            await self.stream.aclose()


class NeverReuses(Altered):
    async def send(self, request: Request) -> Response:
        return await self.inner.send(evolve(request, headers={**request.headers, "connection": "close"}))


class AlwaysWell(Altered):
    async def send(self, request: Request) -> Response:
        response = await self.inner.send(request)
        return Response(200, response.headers, response.chunks(), close=response.aclose)


class DropsTheEnd(Altered):
    async def send(self, request: Request) -> Response:
        response = await self.inner.send(request)
        return Response(response.status, response.headers, (await response.read())[:-1])


class Shouts(Altered):
    async def send(self, request: Request) -> Response:
        response = await self.inner.send(request)
        loud = {name.upper(): value for name, value in response.headers.items()}
        return Response(response.status, loud, response.chunks(), close=response.aclose)


class ReadsAhead(Altered):
    async def send(self, request: Request) -> Response:
        response = await self.inner.send(request)
        return Response(response.status, response.headers, await response.read())


class Impatient(Altered):
    """Takes the time that a body may be silent for the time that all of it may take."""

    async def send(self, request: Request) -> Response:
        response = await self.inner.send(request)

        async def in_time() -> AsyncIterator[bytes]:
            deadline = anyio.current_time() + self.config.read_timeout
            async for chunk in response.chunks():
                if anyio.current_time() > deadline:
                    raise TransportTimeout("too slow")
                yield chunk

        return Response(response.status, response.headers, in_time(), close=response.aclose)


class SwallowsCuts(Altered):
    async def send(self, request: Request) -> Response:
        response = await self.inner.send(request)

        async def whole() -> AsyncIterator[bytes]:
            with suppress(ConnectionLost):
                async for chunk in response.chunks():
                    yield chunk

        return Response(response.status, response.headers, whole(), close=response.aclose)


class OneError(Altered):
    """Raises one class for all failures, with the URL in its message."""

    async def send(self, request: Request) -> Response:
        try:
            return await self.inner.send(request)
        except TransportError as error:
            raise TransportError(request.url, request=request) from error


class QuotesServers(Altered):
    """Keeps what the server said in the chain of the error."""

    async def send(self, request: Request) -> Response:
        try:
            return await self.inner.send(request)
        except ConnectionLost as error:
            error.__context__ = ValueError("not HTTP: sig=very-secret")
            raise


class OneQueue(Altered):
    """Counts downloads and other requests together."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.places = config.max_connections

    async def send(self, request: Request) -> Response:
        if not self.places:
            raise ConnectionLost("no place is left")
        self.places -= 1
        response = await self.inner.send(request)

        async def close() -> None:
            self.places += 1
            await response.aclose()

        return Response(response.status, response.headers, response.chunks(), close=close)


class LosesPlaces(Altered):
    """Frees the place of a request only where it was not cancelled."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.places = config.max_connections

    async def send(self, request: Request) -> Response:
        if not self.places:
            raise ConnectionLost("no place is left")
        self.places -= 1
        response = await self.inner.send(request)
        self.places += 1
        return response


class KeepsToItsServers(Altered):
    """Does not close an idle connection for one to another server."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.servers = set[str]()

    async def send(self, request: Request) -> Response:
        self.servers.add(urlsplit(request.url).netloc)
        if len(self.servers) > self.config.max_connections + self.config.max_downloads:
            raise ConnectionLost("no place is left")
        return await self.inner.send(request)


class Leaks(Altered):
    """Does not close a response."""

    async def send(self, request: Request) -> Response:
        response = await self.inner.send(request)
        return Response(response.status, response.headers, response.chunks())


class ReadsOn(Altered):
    """Reads a body to its end, so that its connection can be used again."""

    async def send(self, request: Request) -> Response:
        response = await self.inner.send(request)
        body = response.chunks()

        async def close() -> None:
            async for _ in body:
                pass

        return Response(response.status, response.headers, body, close=close)


class NeverCloses(Altered):
    async def aclose(self) -> None:
        """Leave all open."""


def crowded(config: Config) -> Transport:
    return Altered(evolve(config, max_connections=100, max_downloads=100))


def patient(config: Config) -> Transport:
    return Altered(evolve(config, read_timeout=1000, connect_timeout=1000))


def uses_proxies(config: Config) -> Transport:
    return Altered(evolve(config, trust_env=True))


def follows_redirects(config: Config) -> Transport:
    return FollowRedirects(Altered(config), SystemClock())


BROKEN: list[tuple[Check, MakeTransport, str]] = [
    (a_request_arrives_as_made, DropsBodies, "The body arrives whole"),
    (a_request_arrives_as_made, AsksForCompression, "The header accept-encoding arrives"),
    (a_request_arrives_as_made, EncodesAgain, "A URL arrives verbatim"),
    (a_request_arrives_as_made, DropsWhatIsNotAscii, "A URL arrives verbatim"),
    (a_request_arrives_as_made, MergesParameters, "Repeated parameters arrive"),
    (what_is_not_a_request_is_refused, WholeClient, "is refused"),
    (nothing_is_added_to_a_request, WholeClient, "Nothing is added"),
    (nothing_is_added_to_a_request, uses_proxies, "No proxy is used"),
    (nothing_is_sent_twice, SendsTwice, "A GET is sent once"),
    (every_framing_is_read, AlwaysWell, "The status of"),
    (every_framing_is_read, DropsTheEnd, "The body of"),
    (every_framing_is_read, NeverReuses, "Connections are reused"),
    (a_response_is_returned_as_it_came, Shouts, "A redirect is returned"),
    (a_response_is_returned_as_it_came, WholeClient, "A body is not decompressed"),
    (a_response_is_returned_as_it_came, follows_redirects, "more than 5 redirects"),
    (a_body_is_streamed, ReadsAhead, "A body is streamed"),
    (a_body_is_streamed, Impatient, "A body is streamed"),
    (a_broken_connection_is_connection_lost, SwallowsCuts, "and no more is an error"),
    (a_broken_connection_is_connection_lost, OneError, "and no more is an error"),
    (no_connection_is_a_connect_error, OneError, "cannot be connected to"),
    (no_connection_is_a_connect_error, patient, TOO_LONG),
    (silence_is_a_timeout, OneError, "Silence is a timeout"),
    (silence_is_a_timeout, patient, TOO_LONG),
    (errors_show_no_secret, OneError, "An error shows no secret"),
    (errors_show_no_secret, QuotesServers, "An error shows no secret"),
    (no_more_connections_than_allowed, crowded, "No more than 1 connections"),
    (no_more_connections_than_allowed, KeepsToItsServers, "Each server is reached"),
    (downloads_leave_room_for_requests, OneQueue, "A request is answered while"),
    (downloads_leave_room_for_requests, Leaks, TOO_LONG),
    (a_response_left_unread_frees_its_place, Leaks, TOO_LONG),
    (a_response_left_unread_frees_its_place, ReadsOn, TOO_LONG),
    (an_ended_connection_is_not_used, OneConnection, "It has a connection of its own"),
    (closing_ends_and_refuses, NeverCloses, "Waiting and later requests are refused"),
    (closing_ends_and_refuses, crowded, "Waiting and later requests are refused"),
    (closing_at_any_time_leaves_nothing_open, NeverCloses, "nothing is open"),
    (cancelled_anywhere_nothing_is_held, LosesPlaces, "The next request is answered"),
    (waiting_can_be_cancelled, LosesPlaces, "The next request is answered"),
]


# trio warns of all that a failed check leaves
on_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])


@on_asyncio
@pytest.mark.parametrize(
    ("check", "make", "finding"),
    [each for each in BROKEN if each[2] != TOO_LONG],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_a_broken_promise_is_found(check: Check, make: MakeTransport, finding: str) -> None:
    """Each check fails with a transport that does not keep its promise, and says which."""
    await assert_found(check, make, finding)


@on_asyncio
async def test_a_transport_that_hangs_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """No check waits for ever; here they wait all at once."""
    monkeypatch.setattr(conformance, "PATIENCE", 2.5)
    async with anyio.create_task_group() as group:
        for check, make, finding in BROKEN:
            if finding == TOO_LONG:
                group.start_soon(assert_found, check, make, finding)


async def assert_found(check: Check, make: MakeTransport, finding: str) -> None:
    made: list[Transport] = []

    def noting(config: Config) -> Transport:
        made.append(make(config))
        return made[-1]

    with pytest.raises((CheckFailed, PlanetError), match=finding):
        await check(noting)
    for transport in made:
        if isinstance(transport, Altered):
            await transport.inner.aclose()


def test_every_check_is_seen_to_fail() -> None:
    """A check that nothing can fail promises nothing."""
    assert {check for check, *_ in BROKEN} == {*CHECKS}


async def test_decompression_is_not_the_business_of_a_transport() -> None:
    """A layer does it, for what is not streamed."""
    await a_response_is_returned_as_it_came(lambda config: Decompress(HttpxTransport(config=config)))
