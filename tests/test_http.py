import gc
from collections.abc import AsyncIterator

import anyio
import anyio.lowlevel
import pytest
from attrs.exceptions import FrozenInstanceError
from spine import settle

from planet_async.errors import ConnectionLost
from planet_async.http import Request, Response, link_refusal, link_target, origin, without_query
from planet_async.testing import FakeTransport, reply

pytestmark = pytest.mark.anyio

FULL_WIDTH = "".join(chr(ord(digit) + 0xFEE0) for digit in "127") + ".0.0.1"  # as browsers read it


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "POST", "PATCH"])
def test_a_request_is_repeatable_by_its_method(method: str) -> None:
    """Sending GET, HEAD, PUT or DELETE twice does no harm; of others the service must say so."""
    assert Request(method, "https://x/").repeatable == (method in {"GET", "HEAD", "PUT", "DELETE"})
    assert Request(method, "https://x/", repeatable=True).repeatable
    assert not Request(method, "https://x/", repeatable=False).repeatable


def test_a_request_cannot_be_changed() -> None:
    """A layer can never surprise another one."""
    request = Request("GET", "https://x/")
    with pytest.raises(FrozenInstanceError):
        request.url = "https://y/"  # type: ignore[misc]
    with pytest.raises(TypeError):
        request.headers["a"] = "b"  # type: ignore[index]


def test_a_request_shows_no_secret() -> None:
    """Query, headers and body can hold tokens: none is in the text of a request or a response."""
    request = Request(
        "GET", "https://x/y?token=hidden", headers={"authorization": "hidden"}, body=b'{"password":"hidden"}'
    )
    response = Response(200, {"set-cookie": "hidden"}, b"hidden", url=request.url)
    for text in (repr(request), str(request), repr(response)):
        assert "hidden" not in text
        assert "https://x/y" in text


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("https://api.planet.com/x", ("https", "api.planet.com", 443)),
        ("HTTPS://API.Planet.com:443", ("https", "api.planet.com", 443)),
        ("http://127.0.0.1:8080/x?y", ("http", "127.0.0.1", 8080)),
        ("http://[::1]/x", ("http", "::1", 80)),
        ("https://user:word@host/x", ("https", "host", 443)),
        ("/path", ("", "", 0)),
        ("ftp://host", ("ftp", "host", 0)),
        ("https://[broken", ("", "", 0)),
        ("https://host:port", ("", "", 0)),
        ("https://host:99999", ("", "", 0)),
    ],
)
def test_an_origin_is_scheme_host_and_port(url: str, parts: tuple[str, str, int]) -> None:
    """Written differently it is the same; what is no address has no origin, and is no crash."""
    assert origin(url) == parts


def test_a_link_leads_on_from_where_it_was_found() -> None:
    """Relative and absolute links; what is no address stays what it is."""
    assert link_target("https://x/a/b", "c") == "https://x/a/c"
    assert link_target("https://x/a/b", "https://y/") == "https://y/"
    assert link_target("https://x/a/b", "https://[broken") == "https://[broken"


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("/a b", "https://x/a%20b"),
        ("?q=a b+c", "https://x/a/b?q=a%20b+c"),
        (" \t/c \n", "https://x/c"),
        ("https://y/a\tb\r\nc", "https://y/abc"),
        ("ht\ntps://y/", "https://y/"),
        ("/é/😀", "https://x/%C3%A9/%F0%9F%98%80"),
        ("/a?é=ü&e\N{COMBINING ACUTE ACCENT}", "https://x/a?%C3%A9=%C3%BC&e%CC%81"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("https://bücher.example:8443/ü", "https://xn--bcher-kva.example:8443/%C3%BC"),
        ("//Straße.example/", "https://xn--strae-oqa.example/"),
        ("https://é:ü@y/ ", "https://%C3%A9:%C3%BC@y/"),
        ("https://api。planet.com/", "https://api.planet.com/"),
    ],
)
def test_a_link_is_encoded_as_browsers_do(link: str, target: str) -> None:
    """Spaces and letters that are not ASCII are encoded; spaces around, tabs and line breaks are left out."""
    assert link_target("https://x/a/b", link) == target


@pytest.mark.parametrize(
    "link",
    [
        "https://y/a%20b%2Fc%c3%a9?sig=x%2Fy%3D+%7e&token=a%2Bb",
        "https://y/%zz?%&%2",
        "https://y/a//b/../c;?d",
        "https://y/a?",
        'https://y/?filter={"a":[1|2]}^`<b>',
    ],
)
def test_what_is_encoded_already_stays_verbatim(link: str) -> None:
    """A signed URL is only valid as it was signed, and only what no request could carry is changed."""
    assert link_target("https://x/a/b", link) == link
    assert link_target("https://x/a/b", f"{link} é") == f"{link}%20%C3%A9"


@pytest.mark.parametrize(
    "link",
    [
        "https://[brok en",
        "https://exa mple.com/",
        "https://bü cher.example/",
        "https://bücher..example/",
        "https://x\N{FULLWIDTH SOLIDUS}@elsewhere.example/é",
        "https://x\N{FULLWIDTH PERCENT SIGN}2f.elsewhere.example/é",
        "https://x/half a character \udce9",
    ],
)
def test_a_link_that_cannot_be_encoded_is_not_made_another_address(link: str) -> None:
    """It stays as it is, to be refused where it would be requested."""
    assert link_target("https://x/a/b", link) == link


@pytest.mark.parametrize(
    "host",
    [
        *(
            "localhost",
            "LOCALHOST.",
            "127.0.0.1",
            "127.1",
            "0x7f000001",
            "2130706433",
            "0177.0.0.1",
            "0.0.0.0",
        ),
        *("10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "224.0.0.1"),
        *(
            "[::1]",
            "[::ffff:10.0.0.1]",
            "[fe80::1%25eth0]",
            "[fd00::1]",
            "[64:ff9b::a00:1]",
            "[2002:a00:1::]",
        ),
        *("metadata", "printer.local", "metadata.google.internal", FULL_WIDTH, "%31%32%37.0.0.1"),
    ],
)
def test_a_link_to_an_internal_address_is_refused(host: str) -> None:
    """However it is written: a server is not to make this machine send requests into its own network."""
    target = link_target("https://api.planet.com/x", f"https://{host}/y")
    assert link_refusal("https://api.planet.com/x", target)
    assert not link_refusal("https://127.0.0.1/x", f"https://{host}/y") or host == FULL_WIDTH


@pytest.mark.parametrize(
    ("base", "target", "is_followed"),
    [
        ("https://api.planet.com/", "https://storage.googleapis.com/x", True),
        ("https://api.planet.com/", "https://8.8.8.8/x", True),
        ("https://api.planet.com/", "https://[2600::1]:8443/x", True),
        ("https://api.planet.com/", "http://storage.googleapis.com/x", False),
        ("https://127.0.0.1/", "http://127.0.0.1/x", False),
        ("http://127.0.0.1/", "http://localhost:8080/x", True),
        ("http://127.0.0.1/", "https://storage.googleapis.com/x", True),
        ("https://api.planet.com/", "ftp://storage.googleapis.com/x", False),
        ("https://api.planet.com/", "https://[broken", False),
        ("https://api.planet.com/", "", False),
    ],
)
def test_a_link_is_followed_by_scheme_and_host(base: str, target: str, *, is_followed: bool) -> None:
    """Not from HTTPS to plain HTTP, and only to what is an address; a simulator may link to itself."""
    assert (not link_refusal(base, target)) == is_followed


def test_a_url_is_shown_without_its_query() -> None:
    """A signature or a token is in the query."""
    assert without_query("https://x/y?a=b?c") == "https://x/y"


async def test_a_body_can_be_read_twice() -> None:
    """A second `read` gives the same bytes, streamed or not; `chunks` gives them too then."""
    for response in (reply(body="abc"), reply(chunks=[b"a", b"bc"])):
        assert await response.read() == b"abc"
        assert await response.read() == b"abc"
        assert [chunk async for chunk in response.chunks()] == [b"abc"]


async def test_a_stream_can_be_iterated_once() -> None:
    """Its bytes are gone then, which is said and not silently nothing."""
    response = reply(chunks=[b"a"])
    assert [chunk async for chunk in response.chunks()] == [b"a"]
    with pytest.raises(RuntimeError, match="consumed"):
        response.chunks()


async def test_a_response_is_closed_once() -> None:
    """Reading closes, and closing again does nothing."""
    closed = 0

    async def close() -> None:
        nonlocal closed
        closed += 1

    response = Response(200, body=reply(chunks=[b"a"]).chunks(), close=close)
    await response.read()
    await response.aclose()
    await response.aclose()
    assert closed == 1


async def test_a_body_that_breaks_off_closes() -> None:
    """Also a failed `read` gives the connection back."""

    async def body() -> AsyncIterator[bytes]:
        yield b"half"
        raise ConnectionLost("broke off")

    network = FakeTransport([Response(200, body=body())])
    response = await network.send(Request("GET", "https://x/"))
    with pytest.raises(ConnectionLost):
        await response.read()
    assert network.open_responses == 0


async def test_closing_works_while_being_cancelled() -> None:
    """A cancelled caller still gives the connection back."""
    closed = anyio.Event()

    async def close() -> None:
        await anyio.lowlevel.checkpoint()
        closed.set()

    with anyio.CancelScope() as scope:
        scope.cancel()
        await Response(200, close=close).aclose()
    assert closed.is_set()


async def test_a_peer_that_does_not_let_us_hang_up_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing ends after two seconds, whatever the other side does."""
    monkeypatch.setattr("planet_async.http._CLOSE_SECONDS", 0.01)
    with anyio.fail_after(5):
        await Response(200, close=anyio.sleep_forever).aclose()


async def test_leaving_a_whole_body_half_way_is_no_warning() -> None:
    """`break` out of `chunks` leaves no generator for the collector."""

    async def look() -> None:
        async for _ in Response(200, body=b"abc").chunks():
            break

    await look()
    gc.collect()
    await settle()
    assert not gc.garbage
