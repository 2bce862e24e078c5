import pytest
from spine import API, budget, cancelled_at_each_step, get

from planet_async.config import Config
from planet_async.errors import TransportError
from planet_async.http import Request, Response
from planet_async.layers.redirect import FollowRedirects
from planet_async.layers.retry import Retry
from planet_async.testing import FakeClock, FakeTransport, reply

pytestmark = pytest.mark.anyio

STORAGE = "https://storage.example/file?signature=abc"


def to(location: str, status: int = 302) -> Response:
    return reply(status, headers={"Location": location}, chunks=[b"see ", b"there"])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_redirect_is_followed(status: int, method: str) -> None:
    """The response is that of the last hop; those before it are closed."""
    network = FakeTransport([to(STORAGE, status), reply(body=b"data")])
    response = await FollowRedirects(network, FakeClock()).send(
        Request(method, f"{API}/download", params=(("token", "t"),))
    )
    assert network.open_responses == 1
    assert await response.read() == b"data"
    assert network.open_responses == 0
    second = network.requests[1]
    assert (second.method, second.url, second.params) == (method, STORAGE, ())


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_what_changes_something_is_not_redirected(method: str) -> None:
    """A POST may lose its body on the way: its 3xx is given back as it is."""
    network = FakeTransport([to(STORAGE)])
    response = await FollowRedirects(network, FakeClock()).send(Request(method, f"{API}/things", body=b"{}"))
    assert response.status == 302
    assert len(network.requests) == 1
    await response.aclose()


@pytest.mark.parametrize(
    "answer",
    [reply(302), reply(304, headers={"Location": STORAGE}), reply(200, headers={"Location": STORAGE})],
    ids=["no location", "304", "200"],
)
async def test_what_is_no_redirect_is_given_back(answer: Response) -> None:
    """Without a Location, or with another status, there is nowhere to go."""
    network = FakeTransport([answer])
    response = await FollowRedirects(network, FakeClock()).send(get())
    assert response.status == answer.status
    await response.aclose()
    assert len(network.requests) == 1


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/other", f"{API}/other"),
        ("file?x=1", f"{API}/a/file?x=1"),
        ("?x=1", f"{API}/a/b?x=1"),
        ("//storage.example/f", "https://storage.example/f"),
    ],
)
async def test_a_relative_location_starts_where_the_request_was(location: str, target: str) -> None:
    """A Location may be relative, to the address that answered."""
    network = FakeTransport([to(location), reply()])
    await (await FollowRedirects(network, FakeClock()).send(get(f"{API}/a/b"))).aclose()
    assert network.requests[1].url == target


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("https://storage.example/my file?name=a b", "https://storage.example/my%20file?name=a%20b"),
        ("/größe?ß=%2F", f"{API}/gr%C3%B6%C3%9Fe?%C3%9F=%2F"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        (" https://storage.example/\tf ", "https://storage.example/f"),
        (
            "https://storage.example/f\r\nauthorization: api-key k\r\n\r\nGET /",
            "https://storage.example/fauthorization:%20api-key%20kGET%20/",
        ),
    ],
)
async def test_a_location_is_encoded_as_browsers_do(location: str, target: str) -> None:
    """Servers send raw spaces and letters; whatever they send, it is one line of the next request."""
    network = FakeTransport([to(location), reply()])
    await (await FollowRedirects(network, FakeClock()).send(get(f"{API}/a/b"))).aclose()
    assert network.requests[1].url == target


async def test_a_range_survives_and_a_credential_does_not() -> None:
    """Resuming works across the redirect; an authorization put there by hand stays behind."""
    network = FakeTransport([to(STORAGE), reply(206)])
    request = Request(
        "GET", f"{API}/x", headers={"range": "bytes=5-", "authorization": "secret"}, stream=True
    )
    await (await FollowRedirects(network, FakeClock()).send(request)).aclose()
    assert network.requests[1].headers == {"range": "bytes=5-"}
    assert network.requests[1].stream


async def test_five_hops_are_followed() -> None:
    """Five redirects are patience enough, and are followed."""
    network = FakeTransport([*(to(f"/{n}") for n in range(5)), reply(body=b"there")])
    response = await FollowRedirects(network, FakeClock()).send(get())
    assert await response.read() == b"there"


@pytest.mark.parametrize(
    ("start", "location", "hops"),
    [
        (f"{API}/x", "/loop", 6),
        (f"{API}/x", "http://storage.example/file", 1),
        (f"{API}/x", "ftp://storage.example/file", 1),
        (f"{API}/x", "file:///etc/passwd", 1),
        (f"{API}/x", "https://[broken", 1),
        (f"{API}/x", "https://storage.example:port/", 1),
        ("http://127.0.0.1:80/x", "javascript:alert(1)", 1),
    ],
)
async def test_where_it_must_not_lead_is_refused_and_not_tried_again(
    start: str, location: str, hops: int
) -> None:
    """Circles, https to http, other schemes and what is no address end in an error, at once."""
    network = FakeTransport(lambda _: to(location))
    clock = FakeClock()
    with pytest.raises(TransportError, match="redirect"):
        await Retry(FollowRedirects(network, clock), Config(), clock, budget(clock)).send(get(start))
    assert len(network.requests) == hops
    assert network.open_responses == 0


async def test_http_may_lead_to_http() -> None:
    """A simulator on loopback redirects without TLS."""
    network = FakeTransport([to("http://127.0.0.1:9/file"), reply()])
    await (await FollowRedirects(network, FakeClock()).send(get("http://127.0.0.1:8/x"))).aclose()
    assert len(network.requests) == 2


async def test_cancelled_anywhere_nothing_stays_open() -> None:
    """At whichever point a redirected call is cancelled, no response of any hop is left open."""
    network = FakeTransport(
        lambda request: to(STORAGE) if request.url.startswith(API) else reply(chunks=[b"data"])
    )

    async def call() -> None:
        await (await FollowRedirects(network, FakeClock()).send(get())).read()

    def check() -> None:
        assert network.open_responses == 0

    assert await cancelled_at_each_step(call, check) >= 5


async def test_closing_closes_what_is_inside() -> None:
    """Closing the layer closes the network."""
    network = FakeTransport([])
    await FollowRedirects(network, FakeClock()).aclose()
    assert network.closed
