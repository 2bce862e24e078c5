"""Text that may come packed: gzip is told by its first bytes, whatever the headers say."""

import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator

import anyio.lowlevel

from planet_async.errors import DecodeError
from planet_async.http import Request, Response

_GZIP = b"\x1f\x8b"  # no text begins so
_GZIP_WINDOW = 31
_PIECE = 1 << 16  # bytes unpacked at a time: less than a millisecond's work
_PADDING = 1 << 20  # bytes that may hold no text
_WORST = 20  # times as long as its text that a packed one may be, beside that: many tiny ones in a row


def unpacked(response: Response, request: Request) -> Response:
    """Give a response whose body is the text; DecodeError where what is packed is damaged, or holds none.

    A limit on the text would never end what goes on and on without any.
    """
    texts = _texts(response.chunks(), request)

    async def close() -> None:
        await texts.aclose()
        await response.aclose()

    return Response(response.status, response.headers, texts, url=response.url, close=close)


async def _texts(chunks: AsyncIterator[bytes], request: Request) -> AsyncGenerator[bytes]:
    gunzip, came, given = Gunzip(), 0, 0
    try:
        async for chunk in chunks:
            came += len(chunk)
            for text in gunzip.feed(chunk):
                await anyio.lowlevel.checkpoint()  # a small chunk can hold a lot
                given += len(text)
                yield text
            if came > _PADDING + _WORST * given:
                raise DecodeError(
                    "the packed text goes on and on, and holds next to nothing", request=request
                )
        yield gunzip.end()
    except zlib.error as error:
        raise DecodeError(f"the packed text is damaged: {error}", request=request) from None


class Gunzip:
    """Unpacks what begins as gzip does, and passes on all else; raises zlib.error."""

    def __init__(self) -> None:
        self._start: bytes | None = b""  # until it is long enough to tell
        self._inflate: zlib._Decompress | None = None

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the text of a chunk, a little at a time."""
        if self._start is not None:
            chunk = self._start + chunk
            if len(chunk) < len(_GZIP):
                self._start = chunk
                return
            self._start = None
            if chunk.startswith(_GZIP):
                self._inflate = zlib.decompressobj(_GZIP_WINDOW)
        if self._inflate is None:
            yield chunk
            return
        while chunk:
            if self._inflate.eof:
                chunk = chunk.lstrip(b"\0")  # padding; then perhaps one more packed text
                if not chunk:
                    return
                self._inflate = zlib.decompressobj(_GZIP_WINDOW)
            yield self._inflate.decompress(chunk, _PIECE)
            chunk = self._inflate.unconsumed_tail or self._inflate.unused_data

    def end(self) -> bytes:
        """Give what is left."""
        if self._inflate is None:
            return self._start or b""
        # Its checksum comes last, so nothing is left where that has been read.
        if not self._inflate.eof:
            raise zlib.error("it ends early")
        return b""
