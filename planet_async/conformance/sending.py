"""What of a request goes over the wire, and nothing else."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from planet_async.conformance.call import Make, fetch, get, opened
from planet_async.conformance.loopback import OK, loopback, saying
from planet_async.conformance.promise import expect, fails
from planet_async.errors import InvalidRequest
from planet_async.http import Request

_SIGNED = "/a%2Fb%20c/d?sig=x%2Fy%3D+%7e&token=a%2Bb"


async def a_request_arrives_as_made(make: Make) -> None:
    """Method, headers and body; no compression unless asked for, since checksums are of the bytes."""
    body = b'{"name":"n"}'
    headers = {"content-type": "application/json", "authorization": "api-key k"}
    async with loopback(saying(OK)) as server, opened(make) as transport:
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            response = await transport.send(Request(method, f"{server.url}/x", headers=headers, body=body))
            expect(await response.read() == b"ok", "the body of the answer arrives")
            expect(response.status == 200, "the status arrives", response.status)  # noqa: PLR2004
            sent = server.requests[-1]
            expect((sent.method, sent.target) == (method, "/x"), "method and path arrive", sent)
            expect(sent.body == body, "the body arrives", sent.body)
            for name, value in headers.items():
                expect(sent.header(name) == value, f"the header {name} arrives", sent.headers)
        asked = (Request("GET", server.url, headers={"accept-encoding": "gzip"}), get(server.url))
        for request, encoding in zip(asked, ("gzip", "identity"), strict=True):
            await (await transport.send(request)).read()
            found = server.requests[-1].header("accept-encoding")
            expect(found == encoding, f"accept-encoding is {encoding}", found)


async def a_large_request_arrives_whole(make: Make) -> None:
    """More than fits into any buffer on the way, in its order, before the answer is waited for."""
    body = b"".join(b"%07d\n" % number for number in range(1 << 19))
    async with loopback(saying(OK)) as server, opened(make) as transport:
        for number in range(2):
            await (await transport.send(Request("POST", server.url, body=body))).read()
            expect(server.requests[number].body == body, "a large body arrives whole")
        expect(server.connections == 1, "its connection is used again", server.connections)


async def repeated_parameters_survive(make: Make) -> None:
    """In their order, encoded, after the query that the address has."""
    pairs = (("state", "queued"), ("state", "a b&c"), ("on", "2026-01-01T00:00:00Z/.."))
    async with loopback(saying(OK)) as server, opened(make) as transport:
        await (await transport.send(Request("GET", f"{server.url}/x?a=1", params=pairs))).read()
        target = server.requests[0].target
        wanted = "/x?a=1&state=queued&state=a+b%26c&on=2026-01-01T00%3A00%3A00Z%2F.."
        expect(target.replace("%20", "+") == wanted, "parameters survive", target)


async def a_signed_address_is_sent_verbatim(make: Make) -> None:
    """Encoded otherwise, its signature would not hold."""
    async with loopback(saying(OK)) as server, opened(make) as transport:
        await (await transport.send(get(server.url + _SIGNED))).read()
        target = server.requests[0].target
        expect(target == _SIGNED, "an address is sent verbatim", target)


async def what_is_not_ascii_is_encoded(make: Make) -> None:
    """As UTF-8, in path and query; all else stays as it is."""
    async with loopback(saying(OK)) as server, opened(make) as transport:
        await (
            await transport.send(
                get(f"{server.url}/\N{LATIN SMALL LETTER E WITH ACUTE}%2F?a=\N{EURO SIGN}+b")
            )
        ).read()
        target = server.requests[0].target
        expect(target == "/%C3%A9%2F?a=%E2%82%AC+b", "what is not ASCII is encoded", target)


async def what_is_no_address_is_refused(make: Make) -> None:
    """Before anything is sent, and as an error that does not show what may be secret."""
    async with loopback(saying(OK)) as server, opened(make) as transport:
        split = f"{server.url}/a\r\nb: c"
        for url in ("", "/things", "things", "http://", "https://[::1", "ftp://h/x", split):
            with fails(InvalidRequest, f"to request {url!r}"):
                await transport.send(get(url))
        unknown = "caf\udce9"  # as Python reads a file name in another encoding
        for request in (get(f"{server.url}/{unknown}"), Request("GET", server.url, params=(("a", unknown),))):
            with fails(InvalidRequest, "half a character"):
                await transport.send(request)
        with fails(InvalidRequest, "a method with a space"):
            await transport.send(Request("GE T", server.url))
        with fails(InvalidRequest, "a header of two lines"):
            await transport.send(Request("GET", server.url, headers={"a": "b\r\nc: d"}))
        expect(not server.requests, "what is refused is not sent", server.requests)


async def redirects_are_returned(make: Make) -> None:
    """Not followed: the layer above decides who gets the credential."""
    lead = b"HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n"
    async with loopback(saying(lead)) as server, opened(make) as transport:
        response = await transport.send(get(server.url))
        await response.read()
        found = (response.status, response.headers.get("location"), len(server.requests))
        expect(found == (302, "/elsewhere", 1), "a redirect is returned", found)


async def the_environment_adds_nothing(make: Make) -> None:
    """No proxy, no `.netrc`, no cookie: a request is what it says, and goes where it says."""
    answer = b"HTTP/1.1 200 OK\r\nset-cookie: a=b; path=/\r\ncontent-length: 0\r\n\r\n"
    async with loopback(saying(answer)) as server:
        with _environment():
            async with opened(make) as transport:
                # The name too: no cookie is kept for a bare number anyway.
                for host in ("127.0.0.1", "127.0.0.1", "localhost", "localhost"):
                    await fetch(transport, server.url.replace("127.0.0.1", host))
    for sent in server.requests:
        extra = {name for name, _ in sent.headers} & {"authorization", "proxy-authorization", "cookie"}
        expect(not extra, "the environment adds nothing to a request", extra)
        expect(sent.target == "/", "no proxy is used", sent.target)


@contextmanager
def _environment() -> Generator[None]:
    """Set a proxy where nobody listens, and a `.netrc` with a password for this machine."""
    with TemporaryDirectory() as folder:
        netrc = Path(folder, "netrc")
        netrc.write_text("machine 127.0.0.1 login someone password secret\n")
        netrc.chmod(0o600)
        names = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
        wanted = {**dict.fromkeys(names, "http://127.0.0.1:1"), "NETRC": str(netrc)}
        before = dict(os.environ)
        os.environ.pop("no_proxy", None)
        os.environ.pop("NO_PROXY", None)
        os.environ.update(wanted)
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)
