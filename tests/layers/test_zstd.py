"""zstd, where it can be unpacked: the same text however it is cut, and no more memory than asked for."""

import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spine import get

from planet_async.errors import DecodeError, PlanetError
from planet_async.layers.compression import ACCEPTED, DamagedError, Decompress, Unzstd
from planet_async.layers.status import RaiseForStatus
from planet_async.testing import FakeClock, FakeTransport, reply

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ZSTD = {"content-encoding": "zstd"}


@given(st.binary(max_size=300), st.lists(st.integers(1, 40), max_size=30), st.integers(1, 3))
def test_unpacking_does_not_depend_on_the_chunks(text: bytes, cuts: list[int], texts: int) -> None:
    """One packed text or several in a row, cut anywhere: it is the same text."""
    source, unzstd, found = io.BytesIO(zstd.compress(text) * texts), Unzstd(), b""
    for size in [*cuts, -1]:
        found += b"".join(unzstd.feed(source.read(size)))
    assert found + unzstd.end() == text * texts


def test_a_small_chunk_that_holds_a_lot_comes_in_pieces() -> None:
    """A hundred megabytes of zeros do not land in memory at once."""
    sizes = [len(piece) for piece in Unzstd().feed(zstd.compress(bytes(100 << 20)))]
    assert max(sizes) <= 1 << 16
    assert sum(sizes) == 100 << 20


def test_what_would_need_more_memory_than_http_allows_is_refused() -> None:
    """RFC 9659: a window of more than 8 MB is not for the wire."""
    parameters = zstd.CompressionParameter
    options = {int(parameters.window_log): 27, int(parameters.content_size_flag): 0}
    packer = zstd.ZstdCompressor(options=options)
    greedy = packer.compress(bytes(1 << 20)) + packer.flush()
    with pytest.raises(DamagedError):
        list(Unzstd().feed(greedy))


@pytest.mark.anyio
@pytest.mark.parametrize("status", [200, 404])
async def test_an_answer_or_a_refusal_in_zstd_is_read(status: int) -> None:
    """It is asked for, and comes out as the server meant it."""
    assert "zstd" in ACCEPTED
    network = FakeTransport([reply(status, body=zstd.compress(b'{"message":"hello"}'), headers=ZSTD)])
    stack = RaiseForStatus(Decompress(network), FakeClock())
    if status == 200:
        assert await (await stack.send(get())).read() == b'{"message":"hello"}'
    else:
        with pytest.raises(PlanetError, match="hello"):
            await stack.send(get())
    assert network.open_responses == 0


@pytest.mark.anyio
@pytest.mark.parametrize(
    "body", [zstd.compress(b"text" * 999)[:-3], b"\x28\xb5\x2f\xfdxxxxxxxxx", b"no zstd"]
)
async def test_what_is_packed_badly_is_an_error(body: bytes) -> None:
    """Cut or damaged, it is a DecodeError, and leaves nothing open."""
    network = FakeTransport([reply(body=body, headers=ZSTD)])
    with pytest.raises(DecodeError, match="damaged"):
        await RaiseForStatus(Decompress(network), FakeClock()).send(get())
    assert network.open_responses == 0


@pytest.mark.anyio
async def test_a_bomb_is_stopped_at_the_limit() -> None:
    """What unpacks to gigabytes is read as far as is allowed."""
    network = FakeTransport([reply(body=zstd.compress(bytes(50 << 20)) * 100, headers=ZSTD)])
    with pytest.raises(PlanetError, match="max_body_bytes"):
        await RaiseForStatus(Decompress(network), FakeClock(), 1 << 20).send(get())
    assert network.open_responses == 0
