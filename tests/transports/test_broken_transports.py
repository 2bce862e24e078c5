"""The checks of `planet_async.conformance` find what they are there to find."""

from collections.abc import AsyncIterator, Callable
from typing import ClassVar

import anyio
import httpx
import pytest
from attrs import evolve

from planet_async import conformance
from planet_async.config import Config
from planet_async.conformance import bodies, cancellation, connections, failures, loopback, sending
from planet_async.errors import ConnectionLost, PlanetError, TransportError
from planet_async.http import Request, Response, Transport
from planet_async.layers.redirect import FollowRedirects
from planet_async.layers.unpack import UnpackAnswers
from planet_async.transports.httpx import HttpxTransport

pytestmark = pytest.mark.anyio


class Altered:
    """A good transport with one thing wrong."""

    made: ClassVar[list["Altered"]] = []  # to be closed when a check has failed with them

    def __init__(self, config: Config) -> None:
        self.inner = HttpxTransport(config)
        self.left: list[Response] = []
        self.made.append(self)

    async def send(self, request: Request) -> Response:
        return await self.inner.send(request)

    async def aclose(self) -> None:
        await self.inner.aclose()


class DropsBodies(Altered):
    async def send(self, request: Request) -> Response:
        return await self.inner.send(evolve(request, body=None))


class DropsWhatIsNotAscii(Altered):
    async def send(self, request: Request) -> Response:
        return await self.inner.send(evolve(request, url=request.url.encode("ascii", "ignore").decode()))


class MergesParams(Altered):
    async def send(self, request: Request) -> Response:
        return await self.inner.send(evolve(request, params=tuple(dict(request.params).items())))


class EncodesAgain(Altered):
    async def send(self, request: Request) -> Response:
        return await self.inner.send(evolve(request, url=request.url.replace("%", "%25")))


class ReadsAhead(Altered):
    async def send(self, request: Request) -> Response:
        response = await self.inner.send(request)
        return Response(response.status, response.headers, await response.read(), url=response.url)


class Leaks(Altered):
    async def send(self, request: Request) -> Response:
        response = await self.inner.send(request)
        self.left.append(response)
        return Response(response.status, response.headers, response.chunks(), url=response.url)


class SwallowsCuts(Altered):
    async def send(self, request: Request) -> Response:
        response = await self.inner.send(request)

        async def whole() -> AsyncIterator[bytes]:
            try:
                async for chunk in response.chunks():
                    yield chunk
            except ConnectionLost:
                pass

        return Response(response.status, response.headers, whole(), close=response.aclose)


class SendsTwice(Altered):
    async def send(self, request: Request) -> Response:
        try:
            return await self.inner.send(request)
        except ConnectionLost:
            return await self.inner.send(request)


class Shouts(Altered):
    async def send(self, request: Request) -> Response:
        response = await self.inner.send(request)
        loud = {name.upper(): value for name, value in response.headers.items()}
        return Response(response.status, loud, response.chunks(), close=response.aclose)


class TellsNothing(Altered):
    async def send(self, request: Request) -> Response:
        try:
            return await self.inner.send(request)
        except TransportError as error:
            raise TransportError(request.url, request=request) from error


class NeverReuses(Altered):
    async def send(self, request: Request) -> Response:
        return await self.inner.send(evolve(request, headers={**request.headers, "connection": "close"}))


class LosesPlaces(Altered):
    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.places = anyio.Semaphore(1)

    async def send(self, request: Request) -> Response:
        await self.places.acquire()
        response = await self.inner.send(request)
        self.places.release()
        return response


class NeverCloses(Altered):
    async def aclose(self) -> None:
        """Leave all open."""


class WholeClient:
    """What one writes first: httpx's client, which knows the environment, cookies and packings."""

    def __init__(self, _: Config) -> None:
        self.client = httpx.AsyncClient()

    async def send(self, request: Request) -> Response:
        answer = await self.client.request(request.method, request.url, content=request.body)
        return Response(answer.status_code, dict(answer.headers), answer.content)

    async def aclose(self) -> None:
        await self.client.aclose()


class SplitsAnswers(Altered):
    """Takes what follows an answer for the next one."""

    async def send(self, request: Request) -> Response:
        if self.left:
            return Response(200, body=b"else's")
        self.left.append(await self.inner.send(request))
        return self.left[0]


def crowded(config: Config) -> Transport:
    return HttpxTransport(evolve(config, max_connections=100))


def patient(config: Config) -> Transport:
    return HttpxTransport(evolve(config, read_timeout=1000, connect_timeout=1000))


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # trio warns of all that a failed check leaves
@pytest.mark.parametrize(
    ("check", "make"),
    [
        (sending.a_request_arrives_as_made, DropsBodies),
        (sending.a_large_request_arrives_whole, DropsBodies),
        (sending.repeated_parameters_survive, MergesParams),
        (sending.what_is_not_ascii_is_encoded, DropsWhatIsNotAscii),
        (sending.a_signed_address_is_sent_verbatim, EncodesAgain),
        (sending.redirects_are_returned, lambda config: FollowRedirects(HttpxTransport(config))),
        (sending.what_is_no_address_is_refused, WholeClient),
        (sending.the_environment_adds_nothing, WholeClient),
        (bodies.a_body_streams, ReadsAhead),
        (bodies.a_body_is_not_unpacked, WholeClient),
        (bodies.a_body_that_breaks_off_is_an_error, SwallowsCuts),
        (bodies.headers_have_one_form, Shouts),
        (bodies.a_body_left_half_way_leaves_nothing, Leaks),
        (bodies.a_response_that_nobody_reads_can_be_closed, Leaks),
        (connections.connections_are_used_again, NeverReuses),
        (connections.connections_to_others_make_room, crowded),
        (connections.no_more_connections_than_allowed, crowded),
        (connections.what_follows_an_answer_is_no_answer, SplitsAnswers),
        (connections.closing_closes_all, NeverCloses),
        (connections.closing_at_any_time_leaves_nothing_open, NeverCloses),
        (connections.who_waits_in_line_when_it_closes_is_told, crowded),
        (failures.no_connection_is_a_connect_error, TellsNothing),
        (failures.a_connection_that_breaks_off_is_lost, TellsNothing),
        (failures.nothing_is_sent_twice, SendsTwice),
        (failures.silence_is_a_timeout, patient),
        (failures.silence_on_a_used_connection_is_a_timeout, patient),
        (failures.a_head_that_never_ends_is_a_timeout, patient),
        (failures.errors_show_no_query, TellsNothing),
        (cancellation.cancelled_anywhere_nothing_is_held, LosesPlaces),
        (cancellation.cancelled_by_asyncio_nothing_is_held, LosesPlaces),
        (cancellation.who_waits_in_line_can_leave, LosesPlaces),
    ],
    ids=lambda value: value.__name__,
)
async def test_a_broken_promise_is_found(
    check: conformance.Check,
    make: Callable[[Config], Transport],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each check fails with a transport that does not keep its promise, and says so."""
    monkeypatch.setattr(loopback, "PATIENCE", 0.5)
    with pytest.raises((AssertionError, PlanetError, httpx.HTTPError)):
        await check(make)
    while Altered.made:
        altered = Altered.made.pop()
        for response in altered.left:
            await response.aclose()
        await altered.inner.aclose()


async def test_unpacking_is_no_transports_business() -> None:
    """A layer does it, for what is not streamed."""
    await bodies.a_body_is_not_unpacked(lambda config: UnpackAnswers(HttpxTransport(config)))
