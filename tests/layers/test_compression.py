import gzip
import sys
import tracemalloc
from collections.abc import Iterator

import msgspec
import pytest
from spine import get

from planet_async import ApiKey, Config, Planet
from planet_async.errors import DecodeError, PlanetError
from planet_async.layers.compression import ACCEPTED, Decompress
from planet_async.layers.status import RaiseForStatus
from planet_async.testing import FakeClock, FakeTransport, reply

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

pytestmark = pytest.mark.anyio

TEXT = b'{"a": 1}' * 10_000
GZIP = {"Content-Encoding": "gzip"}


def packed(text: bytes = TEXT, **headers: str) -> FakeTransport:
    body = gzip.compress(text)
    return FakeTransport(
        [reply(body=body, headers={**GZIP, "Content-Length": str(len(body)), "X-Other": "o", **headers})]
    )


async def test_an_answer_that_is_read_whole_is_unpacked() -> None:
    """Whatever the transport; the headers no longer tell of what came."""
    network = packed()
    response = await Decompress(network).send(get())
    assert await response.read() == TEXT
    assert response.headers == {"x-other": "o"}
    assert network.open_responses == 0


async def test_a_stream_is_left_as_it_came() -> None:
    """A checksum is of the bytes of the server."""
    network = packed()
    response = await Decompress(network).send(get(stream=True))
    assert await response.read() == gzip.compress(TEXT)


@pytest.mark.parametrize("headers", [{}, {"content-encoding": "identity"}])
async def test_what_is_not_packed_passes(headers: dict[str, str]) -> None:
    """The response is the one that came."""
    response = await Decompress(FakeTransport([reply(body=TEXT, headers=headers)])).send(get())
    assert await response.read() == TEXT


async def test_an_empty_answer_may_say_that_it_is_packed() -> None:
    """As HEAD and 304 do."""
    response = await Decompress(FakeTransport([reply(304, headers=GZIP)])).send(get())
    assert await response.read() == b""


async def test_a_packing_that_nobody_asked_for_is_an_error() -> None:
    """It says which; the connection is given back."""
    network = FakeTransport([reply(body=b"x", headers={"content-encoding": "br"})])
    with pytest.raises(DecodeError, match="'br'"):
        await Decompress(network).send(get())
    assert network.open_responses == 0


@pytest.mark.parametrize("body", [gzip.compress(TEXT)[:-9], b"\x1f\x8b" + b"x" * 40])
async def test_what_is_packed_badly_is_an_error(body: bytes) -> None:
    """Cut or damaged, it is a DecodeError, and leaves nothing open."""
    network = FakeTransport([reply(body=body, headers=GZIP)])
    with pytest.raises(DecodeError, match="damaged"):
        await RaiseForStatus(Decompress(network), FakeClock()).send(get())
    assert network.open_responses == 0


async def test_a_bomb_is_stopped_at_the_limit() -> None:
    """A megabyte that unpacks to a gigabyte costs the limit in memory, and no more."""
    zeros = gzip.compress(bytes(1 << 20)) * 200  # several packed texts, one after another, are one

    def chunks() -> Iterator[bytes]:
        yield zeros

    limit = 1 << 20
    network = FakeTransport([reply(chunks=chunks(), headers=GZIP)])
    tracemalloc.start()
    try:
        with pytest.raises(PlanetError, match="max_body_bytes"):
            await RaiseForStatus(Decompress(network), FakeClock(), limit).send(get())
        assert tracemalloc.get_traced_memory()[1] < 4 * limit
    finally:
        tracemalloc.stop()
    assert network.open_responses == 0


@pytest.mark.no_cover
@pytest.mark.parametrize(("anyio_backend", "encoding"), [("asyncio", "gzip"), ("trio", "zstd")])
async def test_a_body_becomes_at_most_a_hundred_times_as_long(encoding: str) -> None:
    """Some KB that become 90 MB of JSON are an error before they fill the memory, whatever `max_body_bytes`.

    JSON that repeats itself as lists do is read.
    """
    compress = gzip.compress if encoding == "gzip" else zstd.compress
    bomb = compress(b"[" + b"{}," * (30 << 20) + b"{}]")
    assert len(bomb) < 300_000
    network = FakeTransport([reply(body=bomb, headers={"content-encoding": encoding})])
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError, match="more than 100 times as long"):
            await RaiseForStatus(Decompress(network), FakeClock(), 256 << 20).send(get())
        assert tracemalloc.get_traced_memory()[1] < 100 << 20
    finally:
        tracemalloc.stop()
    page = msgspec.json.encode([{"id": str(number), "products": ["a" * 200]} for number in range(30_000)])
    network = FakeTransport([reply(body=compress(page), headers={"content-encoding": encoding})])
    response = await RaiseForStatus(Decompress(network), FakeClock()).send(get())
    assert await response.read() == page


async def test_json_is_asked_for_packed_and_files_as_they_are() -> None:
    """The services ask for gzip where they read JSON; an answer or a refusal in it reads as any other."""
    refusal = gzip.compress(b'{"general": [{"message": "no such order"}]}')
    network = FakeTransport(
        [
            reply(body=gzip.compress(b'{"a":1}'), headers=GZIP),
            reply(404, body=refusal, headers=GZIP),
            reply(body=b"bytes"),
        ]
    )
    async with Planet(
        Config(rates={}), credentials=ApiKey("any"), transport=network, clock=FakeClock()
    ) as planet:
        assert await (await planet.request("GET", "/x")).read() == b'{"a":1}'
        with pytest.raises(PlanetError, match="no such order"):
            await planet.request("GET", "/x")
        streamed = planet._api.request("GET", "/x", operation="x", stream=True)
        await (await planet._api.send(streamed)).aclose()
    accepted = [request.headers.get("accept-encoding") for request in network.requests]
    assert accepted == [ACCEPTED, ACCEPTED, None]
