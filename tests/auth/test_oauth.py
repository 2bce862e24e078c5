"""OAuth2 client credentials: one token for many requests, renewed in time, and no secret anywhere."""

import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, quote

import anyio
import pytest
from spine import API, get, post

from planet_async import (
    BodyTooLarge,
    ClientCredentials,
    Config,
    ConnectError,
    ConnectionLost,
    DeadlineExceeded,
    DecodeError,
    InvalidRequest,
    MissingCredentials,
    Planet,
    PlanetError,
    Request,
    Response,
    ServerError,
    TooManyRequests,
    TransportTimeout,
    Unauthorized,
)
from planet_async.testing import FakeClock, FakeTransport, reply

pytestmark = pytest.mark.anyio

TOKEN_URL = "https://login.planet.com/oauth/token"
SECRET = "s3cret/with+signs"
CLIENT = ClientCredentials("client-7", SECRET)


class Network:
    """A login server that hands out t1, t2, ..., and an API that takes those not revoked."""

    def __init__(self, *failures: Response | PlanetError, expires_in: object = 3600) -> None:
        self.logins = 0
        self.revoked: set[str] = set()
        self.answer: dict[str, object] = {"token_type": "Bearer", "expires_in": expires_in}
        self.failures = list(failures)
        self.transport = FakeTransport(self.respond)

    def respond(self, request: Request) -> Response | PlanetError:
        if request.url == TOKEN_URL:
            self.logins += 1
            if self.failures:
                return self.failures.pop(0)
            return reply(json={"access_token": f"t{self.logins}", **self.answer})
        token = request.headers["authorization"]
        return reply(401) if token.removeprefix("Bearer ") in self.revoked else reply(json={"token": token})

    @property
    def tokens(self) -> list[str]:
        """What the API was shown, in order."""
        return [r.headers["authorization"] for r in self.transport.requests if r.url != TOKEN_URL]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def network() -> Network:
    return Network()


def client(network: Network, clock: FakeClock, credentials: ClientCredentials = CLIENT) -> Planet:
    return Planet(Config(rates={}), credentials=credentials, transport=network.transport, clock=clock)


async def test_the_token_request_is_the_one_of_the_standard(network: Network, clock: FakeClock) -> None:
    """RFC 6749, 4.4.2: a form with the grant, the client, its secret, and what is asked for."""
    credentials = ClientCredentials(" client-7\n", SECRET, audience="https://api.planet.com/")
    await client(network, clock, credentials).request("GET", "/x")
    request = network.transport.requests[0]
    assert (request.method, request.url) == ("POST", TOKEN_URL)
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert parse_qs((request.body or b"").decode()) == {
        "grant_type": ["client_credentials"],
        "client_id": ["client-7"],
        "client_secret": [SECRET],
        "scope": ["planet"],
        "audience": ["https://api.planet.com/"],
    }
    assert "authorization" not in request.headers


async def test_without_an_audience_none_is_sent(network: Network, clock: FakeClock) -> None:
    """What is not given is left to the server."""
    await client(network, clock).request("GET", "/x")
    assert "audience" not in parse_qs((network.transport.requests[0].body or b"").decode())


async def test_one_token_serves_many_requests(network: Network, clock: FakeClock) -> None:
    """It is fetched for the first request, and not again while it holds."""
    planet = client(network, clock)
    for _ in range(3):
        await planet.request("GET", "/x")
    assert network.tokens == ["Bearer t1"] * 3
    assert network.logins == 1


@pytest.mark.parametrize("revoked", ["", "t1"], ids=["the first", "another one"])
async def test_a_request_that_waits_for_a_token_has_not_been_sent(revoked: str) -> None:
    """Nor is it with a server that has refused its token: it may be sent again, which the error says."""
    clock = FakeClock()

    class SlowLogin(Network):
        async def send(self, request: Request) -> Response:
            response = await self.transport.send(request)
            if request.url == TOKEN_URL and self.logins == 1 + bool(revoked):
                await clock.sleep(60)
            return response

        async def aclose(self) -> None:
            await self.transport.aclose()

    network = SlowLogin()
    network.revoked.add(revoked)
    planet = Planet(Config(rates={}, deadline=5), credentials=CLIENT, transport=network, clock=clock)
    with pytest.raises(
        DeadlineExceeded, match="it was queued for an access token; nothing was sent"
    ) as caught:
        await planet.request("POST", "/x")
    assert not caught.value.may_have_acted
    assert network.tokens == ["Bearer t1"] * bool(revoked)


async def test_many_at_once_fetch_one_token(network: Network, clock: FakeClock) -> None:
    """However many callers meet at the start, and again at a 401, there is one login each time."""
    planet = client(network, clock)

    async def call() -> None:
        await planet.request("GET", "/x")

    for revoked, logins in (("", 1), ("t1", 2)):
        network.revoked.add(revoked)
        async with anyio.create_task_group() as group:
            for _ in range(50):
                group.start_soon(call)
        assert network.logins == logins
    assert network.tokens[-50:] == ["Bearer t2"] * 50


@pytest.mark.parametrize(("expires_in", "holds"), [(3600, 3539), ("3600", 3539), (100, 89)])
async def test_a_token_is_renewed_before_it_expires(
    clock: FakeClock, expires_in: object, holds: float
) -> None:
    """A minute early, or a tenth of a short life, by the client's clock."""
    network = Network(expires_in=expires_in)
    planet = client(network, clock)
    await planet.request("GET", "/x")
    clock.advance(holds)
    await planet.request("GET", "/x")
    clock.advance(2)
    await planet.request("GET", "/x")
    assert network.tokens == ["Bearer t1", "Bearer t1", "Bearer t2"]


async def test_a_token_without_an_end_is_kept(clock: FakeClock) -> None:
    """Where the server does not say how long it holds, only a 401 ends it."""
    network = Network(expires_in=None)
    planet = client(network, clock)
    await planet.request("GET", "/x")
    clock.advance(10 * 365 * 86400)
    await planet.request("GET", "/x")
    assert network.logins == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_after_a_401_the_request_is_sent_once_more(
    network: Network, clock: FakeClock, method: str
) -> None:
    """With a new token, and also where the request is not repeatable: nothing was done."""
    network.revoked = {"t1"}
    response = await client(network, clock).request(method, "/x")
    assert await response.read() == b'{"token":"Bearer t2"}'
    assert network.tokens == ["Bearer t1", "Bearer t2"]
    assert network.transport.open_responses == 0


async def test_a_second_401_is_the_answer(network: Network, clock: FakeClock) -> None:
    """A token fetched for this very request does not help either: there is no third try."""
    network.revoked = {"t1", "t2"}
    with pytest.raises(Unauthorized):
        await client(network, clock).request("GET", "/x")
    assert network.logins == 2
    assert len(network.tokens) == 2


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_a_wrong_secret_says_what_to_check(clock: FakeClock, status: int) -> None:
    """Unauthorized, with the server's words, where it happened, and a hint; asked once, and not again."""
    network = Network(
        reply(status, json={"error": "access_denied", "error_description": "Bad client", "sent": SECRET})
    )
    with pytest.raises(
        Unauthorized, match=r"access_denied; Bad client.*Check the client id and secret"
    ) as caught:
        await client(network, clock).request("GET", "/x")
    assert caught.value.status == status
    assert TOKEN_URL in str(caught.value)
    assert network.logins == 1
    assert network.tokens == []


@pytest.mark.parametrize(
    ("description", "shown"), [("x" * 500, True), (7, False), ("two\nlines", False), (None, False)]
)
async def test_odd_words_of_the_login_do_no_harm(clock: FakeClock, description: object, shown: bool) -> None:
    """Long ones are cut, and what is no line of text is left out."""
    network = Network(reply(400, json={"error": "invalid_client", "error_description": description}))
    with pytest.raises(Unauthorized, match="invalid_client") as caught:
        await client(network, clock).request("GET", "/x")
    assert ("; x" in str(caught.value)) is shown
    assert len(str(caught.value)) < 600


SAYING: dict[str, Callable[[], Response]] = {
    "as other languages escape it": lambda: reply(
        400, body='{"error": "no ' + SECRET.replace("/", r"\/").replace("+", r"\u002b") + '"}'
    ),
    "as a query": lambda: reply(400, body=f"client_secret={quote(SECRET)}"),
    "in a header": lambda: reply(400, headers={"x-request-id": SECRET}),
    "at the end of a line": lambda: reply(400, body="x" * 190 + SECRET),
    "at the end of a description": lambda: reply(
        400, json={"error": "no", "error_description": "x" * 190 + SECRET}
    ),
}


@pytest.mark.parametrize("kind", SAYING)
async def test_no_part_of_the_secret_is_shown(clock: FakeClock, kind: str) -> None:
    """However the login server repeats it, and wherever what it says is cut."""
    with pytest.raises(Unauthorized) as caught:
        await client(Network(SAYING[kind]()), clock).request("GET", "/x")
    error = caught.value
    assert SECRET[:6] not in f"{error} {error.body} {error.request_id} {error.field_errors}"


async def test_a_wrong_secret_is_tried_once_for_all_who_wait(clock: FakeClock) -> None:
    """A hundred callers do not knock a hundred times; each gets an error of its own, later ones try anew."""
    network = Network(reply(401, json={"error": "invalid_client"}))
    planet = client(network, clock)
    errors: list[PlanetError] = []

    async def call() -> None:
        with pytest.raises(Unauthorized) as caught:
            await planet.request("GET", "/x")
        errors.append(caught.value)

    async with anyio.create_task_group() as group:
        for _ in range(100):
            group.start_soon(call)
    assert network.logins == 1
    assert len({id(error) for error in errors}) == 100
    await planet.request("GET", "/x")
    assert network.logins == 2


@pytest.mark.parametrize(
    "failure",
    [
        reply(503, headers={"retry-after": "3"}),
        reply(429),
        ConnectError("no route"),
        ConnectionLost("gone"),
        TransportTimeout("silence"),
    ],
)
async def test_a_login_that_fails_in_passing_is_tried_again(
    clock: FakeClock, failure: Response | PlanetError
) -> None:
    """Also for a request that must not be doubled: it was not sent yet."""
    network = Network(failure)
    await client(network, clock).request("POST", "/x")
    assert network.logins == 2
    assert network.tokens == ["Bearer t2"]


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (lambda: reply(500, body=f"failed on {SECRET}"), ServerError),
        (lambda: reply(429, json={"error": f"slow down, {SECRET}"}), TooManyRequests),
        (lambda: reply(401, json={"error": "no", "error_description": SECRET}), Unauthorized),
        (lambda: reply(400, body="client_secret=s3cret%2Fwith%2Bsigns"), Unauthorized),
        (lambda: ConnectError(f"cannot send {SECRET}"), ConnectError),
        (lambda: reply(json={"access_token": f"{SECRET}\n"}), DecodeError),
        (lambda: reply(json={"access_token": 7, "echo": SECRET}), DecodeError),
        (lambda: reply(body=SECRET), DecodeError),
    ],
)
async def test_the_secret_is_nowhere(
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
    failure: Callable[[], Response | PlanetError],
    kind: type[PlanetError],
) -> None:
    """Not in an error, its notes or body, not in a repr, and not in the log, even if a server echoes it."""
    caplog.set_level(logging.DEBUG)
    network = Network(*(failure() for _ in range(500)))
    with pytest.raises(kind) as caught:
        await client(network, clock).request("GET", "/x")
    assert not caught.value.may_have_acted
    seen = [str(caught.value), repr(caught.value), *getattr(caught.value, "__notes__", ())]
    seen += [str(vars(caught.value)), caplog.text, repr(CLIENT), repr(CLIENT.token_request())]
    for text in seen:
        assert SECRET not in text
        assert "s3cret%2F" not in text


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({}, "missing required field `access_token`"),
        ({"access_token": ""}, "characters that none has"),
        ({"access_token": "two words"}, "characters that none has"),
        ({"access_token": "a\r\nx-evil: 1"}, "characters that none has"),
        ({"access_token": "abc", "token_type": "mac"}, "not of the type Bearer"),
        ({"access_token": "abc", "expires_in": "soon"}, "the response holds no token"),
    ],
)
async def test_an_answer_that_is_no_token(clock: FakeClock, answer: object, says: str) -> None:
    """What cannot be sent on is refused, and not shown."""
    network = Network(reply(json=answer))
    with pytest.raises(DecodeError, match=says) as caught:
        await client(network, clock).request("GET", "/x")
    assert "abc" not in str(caught.value)
    assert "evil" not in str(caught.value)


@pytest.mark.parametrize("status", [200, 400])
async def test_an_endless_response_of_the_login_is_not_read(clock: FakeClock, status: int) -> None:
    """It is an error after a megabyte, or a refusal after less."""
    chunks = iter([bytes(1 << 16)] * 1000)
    network = Network(reply(status, chunks=chunks))
    with pytest.raises(BodyTooLarge if status < 300 else Unauthorized):
        await client(network, clock).request("GET", "/x")
    assert len([*chunks]) > 900


async def test_a_caller_who_is_cancelled_while_fetching_harms_nobody(clock: FakeClock) -> None:
    """The next in line fetches the token instead."""
    network = Network()
    fetching, answered = anyio.Event(), anyio.Event()

    class Slow:
        """The first login takes for ever."""

        async def send(self, request: Request) -> Response:
            if request.url == TOKEN_URL and not fetching.is_set():
                fetching.set()
                await anyio.sleep_forever()
            return await network.transport.send(request)

        async def aclose(self) -> None: ...

    planet = Planet(Config(rates={}), credentials=CLIENT, transport=Slow(), clock=clock)

    async def call(done: anyio.Event) -> None:
        await planet.request("GET", "/x")
        done.set()

    first = anyio.CancelScope()

    async def cancelled() -> None:
        with first:
            await planet.request("GET", "/x")

    async with anyio.create_task_group() as group:
        group.start_soon(cancelled)
        await fetching.wait()
        group.start_soon(call, answered)
        await anyio.wait_all_tasks_blocked()
        first.cancel()
    assert answered.is_set()
    assert network.tokens == ["Bearer t1"]


async def test_only_the_api_sees_the_token(clock: FakeClock) -> None:
    """A link to elsewhere goes without it, and asks for none."""
    transport = FakeTransport([reply()])
    planet = Planet(credentials=CLIENT, transport=transport, clock=clock)
    await planet.request("GET", "https://storage.example/file")
    assert "authorization" not in transport.requests[0].headers


async def test_each_client_has_its_own_token_and_closes_its_network(clock: FakeClock) -> None:
    """A credential is a record: it may be given to several clients."""
    networks = [Network(), Network()]
    for network in networks:
        async with client(network, clock) as planet:
            await planet.request("GET", "/x")
        assert network.transport.closed
    assert [network.logins for network in networks] == [1, 1]


async def test_closing_the_signed_network_closes_it(clock: FakeClock) -> None:
    """As with any layer."""
    transport = FakeTransport([])
    await CLIENT.sign(transport, clock).aclose()
    assert transport.closed


async def test_the_request_is_as_it_was(network: Network, clock: FakeClock) -> None:
    """Only the header is added."""
    signed = CLIENT.sign(network.transport, clock)
    for request in (get(f"{API}/x", stream=True), post()):
        await (await signed.send(request)).aclose()
        sent = network.transport.requests[-1]
        assert sent.headers == {"authorization": "Bearer t1"}
        assert (sent.url, sent.body, sent.operation, sent.stream) == (
            request.url, request.body, request.operation, request.stream
        )  # fmt: skip


@pytest.mark.parametrize(("client_id", "secret"), [("", "x"), ("x", ""), ("x", " \n")])
def test_what_is_empty_is_missing(client_id: str, secret: str) -> None:
    """An unset variable is met where the credential is made, not at the first request."""
    with pytest.raises(MissingCredentials, match="is empty"):
        ClientCredentials(client_id, secret)


@pytest.mark.parametrize(
    "url",
    [
        *("", "login.planet.com", "ftp://login.planet.com/token", "https://"),
        *("http://login.planet.com/token", "http://localhost.example/", "http://10.0.0.1/token"),
    ],
)
def test_the_token_url_must_be_one(url: str) -> None:
    """A slip is refused before the secret goes anywhere."""
    with pytest.raises(InvalidRequest, match="token_url must look like"):
        ClientCredentials("x", "y", token_url=url)


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "[::1]:80"])
def test_a_token_server_on_this_machine_may_speak_plain_http(host: str) -> None:
    """A simulator, or a proxy that adds TLS."""
    assert ClientCredentials("x", "y", token_url=f"http://{host}/token").token_url


@pytest.mark.parametrize("name", ["client_id", "client_secret", "scope", "audience"])
@pytest.mark.parametrize("value", ["a\udce9", 7, "a\nb"])
def test_what_cannot_be_sent_is_refused_where_it_is_passed(name: str, value: Any) -> None:
    """An InvalidRequest that does not show it, not an error of Python when the token is fetched."""
    settings: dict[str, Any] = {"client_id": "x", "client_secret": "y", name: value}
    with pytest.raises(InvalidRequest):
        ClientCredentials(**settings)
