"""An answer whose text comes packed, unpacked a little at a time as it is read."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Protocol

import anyio.lowlevel

from planet_async.errors import DecodeError
from planet_async.http import Request, Response
from planet_async.packed.gunzip import DamagedError

_PADDING = 1 << 20  # bytes that may hold no text
_WORST = 20  # times as long as its text that a packed one may be, beside that: many tiny ones in a row


class Unpacker(Protocol):
    """Unpacks a text as it comes; raises DamagedError where it is none."""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the text of a chunk, a little at a time."""
        ...

    def end(self) -> bytes:
        """Give what is left."""
        ...


def unpacked(response: Response, request: Request, unpacker: Unpacker) -> Response:
    """Give a response whose body is the text; DecodeError where what is packed is damaged, or holds none.

    A limit on the text would never end what goes on and on without any.
    """
    texts = _texts(response.chunks(), request, unpacker)

    async def close() -> None:
        await texts.aclose()
        await response.aclose()

    return Response(response.status, response.headers, texts, url=response.url, close=close)


async def _texts(chunks: AsyncIterator[bytes], request: Request, unpacker: Unpacker) -> AsyncGenerator[bytes]:
    came, given = 0, 0
    try:
        async for chunk in chunks:
            came += len(chunk)
            for text in unpacker.feed(chunk):
                await anyio.lowlevel.checkpoint()  # a small chunk can hold a lot
                given += len(text)
                yield text
            if came > _PADDING + _WORST * given:
                raise DecodeError(
                    "the packed text goes on and on, and holds next to nothing", request=request
                )
        yield unpacker.end()
    except DamagedError as error:
        raise DecodeError(f"the packed text is damaged: {error}", request=request) from None
