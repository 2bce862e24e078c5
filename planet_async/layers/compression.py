"""`Decompress` decompresses response bodies in gzip and zstd; downloads are left as they are."""

import sys
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from math import inf
from types import MappingProxyType
from typing import Protocol

import anyio.lowlevel

from planet_async.errors import DecodeError
from planet_async.http import Request, Response, Transport

try:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
except ImportError:
    CAN_UNZSTD = False
else:
    CAN_UNZSTD = True

ACCEPTED = "gzip, zstd" if CAN_UNZSTD else "gzip"
"""The value of the header `accept-encoding`."""

_FIRST_REFUSAL = 300
_PIECE = 1 << 16  # bytes to decompress at a time: less than a millisecond of work
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_WINDOW = 31
_ZSTD_WINDOW = 23  # RFC 9659: over HTTP, a window is at most 2**23 bytes
# A body may be longer than its text where it is many small gzip members in a row, but not endlessly.
_MOST_OVERHEAD, _OVERHEAD_ALLOWED = 20, 1 << 20
# JSON becomes 10 to 50 times longer. What becomes longer than this is made to fill the memory.
_MOST_EXPANSION, _EXPANSION_ALLOWED = 100, 4 << 20


class Decompress:
    """Decompresses bodies that are to be read whole, a piece at a time, so that the reader's limit holds.

    Streamed bodies are left as they are, since checksums are of those bytes.
    """

    def __init__(self, inner: Transport) -> None:
        self._inner = inner

    async def send(self, request: Request) -> Response:
        response = await self._inner.send(request)
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        if request.stream or encoding in {"identity", ""}:
            return response
        decompressor = _DECOMPRESSORS.get(encoding)
        if decompressor is None:
            if response.status >= _FIRST_REFUSAL:
                return response  # the status matters more than the text
            await response.aclose()
            raise DecodeError(
                f"the response is compressed as {encoding[:20]!r}, which was not asked for", request=request
            )
        text = decompressed(response, request, decompressor(), most_expansion=_MOST_EXPANSION)
        text.secrets = response.secrets
        text.headers = {
            name: value
            for name, value in response.headers.items()
            if name not in {"content-encoding", "content-length"}
        }
        return text

    async def aclose(self) -> None:
        await self._inner.aclose()


class Decompressor(Protocol):
    """Decompresses a text chunk by chunk; raises DamagedError."""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the text of a chunk in pieces."""
        ...

    def end(self) -> bytes:
        """Return the rest of the text, after the last chunk."""
        ...


class DamagedError(Exception):
    """The data cannot be decompressed."""


def decompressed(
    response: Response, request: Request, decompressor: Decompressor, *, most_expansion: float = inf
) -> Response:
    """Return a response with the decompressed body.

    Reading it raises DecodeError for damaged data, for data that goes on without any text, which a limit on
    the text would never end, and for a text `most_expansion` times as long as the data.
    """
    texts = _texts(response.chunks(), request, decompressor, most_expansion)

    async def close() -> None:
        await texts.aclose()
        await response.aclose()

    return Response(response.status, response.headers, texts, url=response.url, close=close)


async def _texts(
    chunks: AsyncIterator[bytes], request: Request, decompressor: Decompressor, most_expansion: float
) -> AsyncGenerator[bytes]:
    received = length = 0
    try:
        async for chunk in chunks:
            received += len(chunk)
            for text in decompressor.feed(chunk):
                await anyio.lowlevel.checkpoint()  # a small chunk can hold a lot
                length += len(text)
                if length > _EXPANSION_ALLOWED + most_expansion * received:
                    raise DecodeError(
                        f"the compressed body is more than {most_expansion} times as long when decompressed",
                        request=request,
                    )
                yield text
            if received > _OVERHEAD_ALLOWED + _MOST_OVERHEAD * length:
                raise DecodeError("the compressed body goes on with next to no text", request=request)
        yield decompressor.end()
    except DamagedError as error:
        raise DecodeError(f"the compressed body is damaged: {error}", request=request) from None


class Gunzip:
    """Decompresses gzip, and passes on what does not begin as gzip does."""

    def __init__(self) -> None:
        self._start: bytes | None = b""  # until there are enough bytes to tell
        self._inflate: zlib._Decompress | None = None

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        if self._start is not None:
            chunk = self._start + chunk
            if len(chunk) < len(_GZIP_MAGIC):
                self._start = chunk
                return
            self._start = None
            if chunk.startswith(_GZIP_MAGIC):
                self._inflate = zlib.decompressobj(_GZIP_WINDOW)
        if self._inflate is None:
            yield chunk
            return
        try:
            while chunk:
                if self._inflate.eof:
                    chunk = chunk.lstrip(b"\0")  # padding; another member may follow
                    if not chunk:
                        return
                    self._inflate = zlib.decompressobj(_GZIP_WINDOW)
                yield self._inflate.decompress(chunk, _PIECE)
                chunk = self._inflate.unconsumed_tail or self._inflate.unused_data
        except zlib.error as error:
            raise DamagedError(str(error)) from None

    def end(self) -> bytes:
        if self._inflate is None:
            return self._start or b""
        if not self._inflate.eof:
            raise DamagedError("it ends early")
        return b""  # the checksum comes last, so no text is left


class Unzstd:
    """Decompresses zstd, one frame or several in a row."""

    def __init__(self) -> None:
        self._is_empty = True
        self._frame = _zstd_frame()

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        self._is_empty = False
        try:
            while chunk or not (self._frame.needs_input or self._frame.eof):
                if self._frame.eof:
                    self._frame = _zstd_frame()
                yield self._frame.decompress(chunk, _PIECE)
                chunk = self._frame.unused_data if self._frame.eof else b""
        except zstd.ZstdError as error:
            raise DamagedError(str(error)) from None

    def end(self) -> bytes:
        if not (self._is_empty or self._frame.eof):
            raise DamagedError("it ends early")
        return b""


def _zstd_frame() -> "zstd.ZstdDecompressor":
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW})


_DECOMPRESSORS: Mapping[str, Callable[[], Decompressor]] = MappingProxyType(
    {"gzip": Gunzip, "x-gzip": Gunzip, **({"zstd": Unzstd} if CAN_UNZSTD else {})}
)
