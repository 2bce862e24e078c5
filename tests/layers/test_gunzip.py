"""Unpacking ends, whatever is packed."""

import gzip
from collections.abc import Callable, Iterator
from itertools import repeat

import pytest

from planet_async.errors import DecodeError
from planet_async.http import Request, Response
from planet_async.layers.compression import Gunzip, decompressed
from planet_async.layers.status import start_of_body, whole_body
from planet_async.testing import FakeClock, reply

pytestmark = pytest.mark.anyio

GET = Request("GET", "https://api.planet.com/x")
LIMIT = 1 << 20
EMPTY_BLOCKS = b"\x00\x00\x00\xff\xff" * 10_000


def packed(chunks: Iterator[bytes]) -> Response:
    def limited() -> Iterator[bytes]:
        for taken, chunk in enumerate(chunks):
            assert taken < 1000, "it would be read for ever"
            yield chunk

    return decompressed(reply(chunks=limited()), GET, Gunzip())


def after(start: bytes, chunk: bytes) -> Iterator[bytes]:
    yield start
    yield from repeat(chunk)


ENDLESS: dict[str, Callable[[], Iterator[bytes]]] = {
    "empty texts": lambda: repeat(gzip.compress(b"") * 1000),
    "padding": lambda: after(gzip.compress(b"text"), bytes(50_000)),
    "empty blocks": lambda: after(gzip.compress(b"")[:10], EMPTY_BLOCKS),
    "a name without an end": lambda: after(b"\x1f\x8b\x08\x08" + bytes(6), b"n" * 50_000),
    "now and then a byte": lambda: repeat(gzip.compress(b"x") + bytes(50_000)),
}


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("anyio_backend", "kind"), [*(("asyncio", kind) for kind in ENDLESS), ("trio", "padding")]
)
async def test_what_is_packed_without_a_text_is_not_read_for_ever(kind: str) -> None:
    """The limit is on the text, so one that never comes would keep the call, and the connection, for good."""
    with pytest.raises(DecodeError, match="next to no text"):
        await whole_body(GET, packed(ENDLESS[kind]()), LIMIT)
    assert (
        len(await start_of_body(packed(ENDLESS[kind]()), FakeClock())) < LIMIT
    )  # a refusal is shown by its start


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("anyio_backend", "line", "chunks"),
    [("asyncio", b"a,b\n", 100), ("trio", b"a line of text that is packed alone\n" * 10, 50)],
    ids=["short lines", "long lines, on trio"],
)
async def test_many_small_texts_in_a_row_are_one(line: bytes, chunks: int) -> None:
    """A log that is packed line by line may be longer than its text."""
    body = gzip.compress(line) * 500
    assert len(body) * chunks > LIMIT
    assert await whole_body(GET, packed(repeat(body, chunks)), 100 * LIMIT) == line * 500 * chunks
