import json
from urllib.parse import quote, quote_plus

import pytest
from spine import API, KEY, get

from planet_async import DecodeError, Planet
from planet_async.auth.credentials import ApiKey, Auth, BearerToken
from planet_async.clock import Clock
from planet_async.errors import MissingCredentials
from planet_async.http import Request, Response, Transport
from planet_async.layers.redirect import FollowRedirects
from planet_async.testing import FakeClock, FakeTransport, reply

pytestmark = pytest.mark.anyio


async def sent(url: str, base_url: str = API) -> Request:
    network = FakeTransport([reply()])
    await (await Auth(network, ApiKey(KEY), base_url, FakeClock()).send(get(url))).aclose()
    return network.requests[0]


@pytest.mark.parametrize(
    "url",
    [
        f"{API}/compute/ops/orders/v2",
        "https://api.planet.com:443/x",
        "HTTPS://API.PLANET.COM/x",
        "https://api.planet.com",
        "https://api.planet.com?next=https://elsewhere.example",
    ],
)
async def test_the_apis_own_requests_are_signed(url: str) -> None:
    """The credential goes to the scheme, host and port of the base URL, however these are written."""
    assert (await sent(url)).headers["authorization"] == ApiKey(KEY).authorization()


@pytest.mark.parametrize(
    "url",
    [
        "https://storage.googleapis.com/file",
        "http://api.planet.com/x",
        "https://api.planet.com:8443/x",
        "https://api.planet.com.evil.example/x",
        "https://evil.example/api.planet.com",
        "https://api.planet.com@evil.example/x",
        "https://evil.example\\@api.planet.com:8443/x",
        "https://xapi.planet.com/x",
        "//api.planet.com/x",
        "https://[broken/x",
        "https://api.planet.com:port/x",
    ],
)
async def test_nobody_else_gets_the_credential(url: str) -> None:
    """Another scheme, host or port is another party, and what is no address is nobody."""
    assert "authorization" not in (await sent(url)).headers


async def test_the_origin_is_that_of_the_base_url() -> None:
    """Where another base URL is configured, Planet's own address is a stranger."""
    assert "authorization" in (await sent("http://127.0.0.1:8080/x", "http://127.0.0.1:8080")).headers
    assert "authorization" not in (await sent(f"{API}/x", "http://127.0.0.1:8080")).headers


async def test_other_headers_stay_and_the_request_is_not_changed() -> None:
    """Signing adds a header; the request that came in is as it was."""
    network = FakeTransport([reply()])
    request = Request("GET", f"{API}/x", headers={"range": "bytes=5-"})
    await (await Auth(network, BearerToken("abc"), API, FakeClock()).send(request)).aclose()
    assert network.requests[0].headers == {"range": "bytes=5-", "authorization": "Bearer abc"}
    assert request.headers == {"range": "bytes=5-"}


async def test_a_redirect_leads_away_without_the_credential_and_back_with_it() -> None:
    """Each hop is signed by its own origin: the storage sees no key, the API sees it again."""
    network = FakeTransport(
        [
            reply(302, headers={"Location": "https://storage.example/file?signature=1"}),
            reply(302, headers={"Location": f"{API}/again"}),
            reply(),
        ]
    )
    await (
        await FollowRedirects(Auth(network, ApiKey(KEY), API, FakeClock()), FakeClock()).send(get())
    ).aclose()
    assert ["authorization" in request.headers for request in network.requests] == [True, False, True]


async def test_a_credential_that_cannot_be_had_sends_nothing() -> None:
    """The error of a credential is the call's, and the request stays here."""

    class Expired:
        def __init__(self) -> None:
            self.closed = False

        def sign(self, network: Transport, clock: Clock) -> Transport:
            return self

        async def send(self, request: Request) -> Response:
            raise MissingCredentials("expired")

        async def aclose(self) -> None:
            self.closed = True

    network = FakeTransport([])
    with pytest.raises(MissingCredentials, match="expired"):
        await Auth(network, Expired(), API, FakeClock()).send(get())
    assert network.requests == []


async def test_closing_closes_what_is_inside() -> None:
    """Closing the layer closes the network."""
    network = FakeTransport([])
    await Auth(network, ApiKey(KEY), API, FakeClock()).aclose()
    assert network.closed


@pytest.mark.parametrize("credentials", [ApiKey(KEY), ApiKey(KEY, scheme="api-key"), BearerToken(KEY)])
@pytest.mark.parametrize(
    "header", ["content-type", "content-encoding", "location", "x-request-id", "content-disposition", "date"]
)
async def test_what_a_header_repeats_is_redacted(credentials: ApiKey | BearerToken, header: str) -> None:
    """Errors quote some headers, and users log them: none has the credential, however it is written."""
    sent = credentials.authorization()
    forms = [sent, sent.partition(" ")[2], KEY, f"{KEY}:", quote(sent), quote_plus(sent), json.dumps(sent)]
    for form in forms:
        network = FakeTransport([reply(headers={header: f"a; b={form}", "etag": "kept"})])
        response = await Auth(network, credentials, API, FakeClock()).send(get())
        assert KEY not in response.headers[header]
        assert sent.partition(" ")[2].rstrip("=") not in response.headers[header]
        assert response.headers["etag"] == "kept"
        await response.aclose()


async def test_a_content_type_with_the_credential_is_not_quoted() -> None:
    """The error says what came, with dots in place of the key."""
    network = FakeTransport(lambda r: reply(headers={"content-type": r.headers["authorization"]}, body="<x>"))
    planet = Planet(credentials=ApiKey(KEY, scheme="api-key"), transport=network, clock=FakeClock())
    with pytest.raises(DecodeError, match="it came as") as caught:
        await planet.orders.get("7a1c0f0e-4b6d-4f55-9a76-1f0a1d6f0c11")
    assert KEY[:10] not in f"{caught.value} {caught.value!r}"
