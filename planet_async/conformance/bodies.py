"""Bodies: as the bytes come, whatever their framing, and whole or an error."""

import gzip

import anyio

from planet_async.conformance.call import Make, fetch, get, opened
from planet_async.conformance.loopback import OK, HangUp, Received, Say, loopback, saying
from planet_async.conformance.promise import eventually, expect, fails, settle
from planet_async.errors import ConnectionLost
from planet_async.http import Request

_PACKED = gzip.compress(b"text")
_FRAMINGS = {
    "with a length": b"content-length: 6\r\n\r\nonetwo",
    "in chunks": b"transfer-encoding: chunked\r\n\r\n3\r\none\r\n3;x=y\r\ntwo\r\n0\r\n\r\n",
    "up to the end": b"connection: close\r\n\r\nonetwo",
}
_CUT = {
    "short of its length": b"content-length: 6\r\n\r\none",
    "cut in a chunk": b"transfer-encoding: chunked\r\n\r\n9\r\none",
    "without its last chunk": b"transfer-encoding: chunked\r\n\r\n3\r\none\r\n",
}


async def every_framing_is_read(make: Make) -> None:
    """A length, chunks, or up to where the server hangs up."""
    for framing, answer in _FRAMINGS.items():
        script = saying(b"HTTP/1.1 200 OK\r\n" + answer, hang_up=framing == "up to the end")
        async with loopback(script) as server, opened(make) as transport:
            body = await fetch(transport, server.url)
            expect(body == b"onetwo", f"a body {framing} is read", body)


async def an_answer_without_a_body_is_whole(make: Make) -> None:
    """HEAD with the length of what GET would give, 204, 304, and a length of 0; each keeps its connection."""
    answers = {
        "HEAD": b"200 OK\r\ncontent-length: 1000",
        "GET": b"200 OK\r\ncontent-length: 0",
        "PUT": b"204 No Content",
        "DELETE": b"304 Not Modified\r\ncontent-length: 5",
    }

    async def script(request: Received, say: Say) -> None:
        await say(b"HTTP/1.1 " + answers[request.method] + b"\r\n\r\n")

    async with loopback(script) as server, opened(make) as transport:
        for method in answers:
            response = await transport.send(Request(method, server.url))
            expect(await response.read() == b"", f"an answer to {method} without a body is whole")
        expect(server.connections == 1, "it keeps its connection", server.connections)


async def announcements_are_passed_over(make: Make) -> None:
    """What a server says before it answers is no answer."""
    early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
    async with loopback(saying(early + OK)) as server, opened(make) as transport:
        for _ in range(2):
            response = await transport.send(get(server.url))
            found = (response.status, "link" in response.headers, await response.read())
            expect(found == (200, False, b"ok"), "the answer is what follows", found)
        expect(server.connections == 1, "it keeps its connection", server.connections)


async def a_body_streams(make: Make) -> None:
    """The first bytes are there before the last are sent."""
    go_on = anyio.Event()

    async def script(_: Received, say: Say) -> None:
        await say(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\none")
        await go_on.wait()
        await say(b"two")

    async with loopback(script) as server, opened(make) as transport:
        response = await transport.send(get(server.url))
        chunks = response.chunks()
        expect(await anext(chunks) == b"one", "the first bytes come first")
        go_on.set()
        rest = [chunk async for chunk in chunks]
        expect(rest == [b"two"], "the others follow", rest)
        await response.aclose()


async def a_body_is_not_unpacked(make: Make) -> None:
    """Whatever it is encoded as: layers unpack answers, and checksums are of the bytes."""
    answer = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(_PACKED)
    async with loopback(saying(answer + _PACKED)) as server, opened(make) as transport:
        body = await fetch(transport, server.url)
        expect(body == _PACKED, "a body is given as it came", body)


async def a_body_that_breaks_off_is_an_error(make: Make) -> None:
    """After the bytes that came, which a download goes on from, however late they are read."""
    for cut, answer in _CUT.items():
        await _a_cut_body_is_an_error(make, cut, answer)


async def _a_cut_body_is_an_error(make: Make, cut: str, answer: bytes) -> None:
    script = saying(b"HTTP/1.1 200 OK\r\n" + answer, hang_up=True)
    async with loopback(script) as server, opened(make) as transport:
        response = await transport.send(get(server.url))
        await eventually(lambda: server.open == 0, "the server hangs up")
        await settle()
        came = b""
        with fails(ConnectionLost, f"a body {cut}"):
            async for chunk in response.chunks():
                came += chunk
        await response.aclose()
        expect(came == b"one", f"of a body {cut} the bytes that came are given", came)


async def headers_have_one_form(make: Make) -> None:
    """Names in lower case, repeated ones joined; what is not text can be printed all the same."""
    lines = (b"HTTP/1.1 200 OK", b"Content-Length: 0", b"X-Odd: a", b"x-odd: b", b'ETag: "e"', b"x-raw: \xff")
    async with loopback(saying(b"\r\n".join(lines) + b"\r\n\r\n")) as server, opened(make) as transport:
        response = await transport.send(get(server.url))
        await response.read()
    found = response.headers
    expect(found.get("etag") == '"e"', "names are in lower case", found)
    expect(found.get("x-odd") == "a, b", "repeated headers are joined", found)
    expect(found.get("x-raw", "").encode("utf-8", "replace").decode() == found.get("x-raw"), "is text", found)


async def a_body_left_half_way_leaves_nothing(make: Make) -> None:
    """`break` and close, even twice: its connection is closed, and its place is free."""
    heads = {
        "with a length": b"content-length: 1000000\r\n\r\n",
        "in chunks": b"transfer-encoding: chunked\r\n\r\n186a0\r\n",
        "up to the end": b"\r\n",
    }
    for framing, head in heads.items():

        async def script(_: Received, say: Say, head: bytes = head) -> None:
            await say(b"HTTP/1.1 200 OK\r\n" + head + b"x" * 100_000)
            await anyio.sleep_forever()

        async with loopback(script) as server, opened(make, max_connections=1) as transport:
            for number in range(3):
                response = await transport.send(get(server.url))
                async for _ in response.chunks():
                    break
                await response.aclose()
                await response.aclose()
                expect(server.connections == number + 1, f"a body {framing} left half way is not read on")


async def a_response_that_nobody_reads_can_be_closed(make: Make) -> None:
    """Closed before a byte of the body was asked for, its place is free."""

    async def script(request: Received, say: Say) -> None:
        await say(OK if request.target == "/" else b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n")
        if request.target != "/":
            raise HangUp

    async with loopback(script) as server, opened(make, max_connections=1) as transport:
        for target in ("", "/cut", "", "/cut", ""):
            await (await transport.send(get(server.url + target))).aclose()
