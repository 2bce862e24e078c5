"""`Decompress` unpacks answers that came packed, as the services ask for where no file is fetched."""

import sys
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Protocol

import anyio.lowlevel

from planet_async.errors import DecodeError
from planet_async.http import Request, Response, Transport

_GZIP = b"\x1f\x8b"  # no text begins so
_GZIP_WINDOW = 31
_PIECE = 1 << 16  # bytes unpacked at a time: less than a millisecond's work


class DamagedError(Exception):
    """What came cannot be unpacked."""


class Gunzip:
    """Unpacks what begins as gzip does, and passes on all else; raises DamagedError."""

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
        try:
            while chunk:
                if self._inflate.eof:
                    chunk = chunk.lstrip(b"\0")  # padding; then perhaps one more packed text
                    if not chunk:
                        return
                    self._inflate = zlib.decompressobj(_GZIP_WINDOW)
                yield self._inflate.decompress(chunk, _PIECE)
                chunk = self._inflate.unconsumed_tail or self._inflate.unused_data
        except zlib.error as error:
            raise DamagedError(str(error)) from None

    def end(self) -> bytes:
        """Give what is left."""
        if self._inflate is None:
            return self._start or b""
        # Its checksum comes last, so nothing is left where that has been read.
        if not self._inflate.eof:
            raise DamagedError("it ends early")
        return b""


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


try:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
except ImportError:
    CAN_UNZSTD = False
else:
    CAN_UNZSTD = True

_LARGEST_WINDOW = 23  # RFC 9659: what is sent over HTTP needs no more than 2**23 bytes to be unpacked


class Unzstd:
    """Unpacks one text, or several in a row; raises DamagedError."""

    def __init__(self) -> None:
        self._came = False
        self._inflate = _decompressor()

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the text of a chunk, a little at a time."""
        self._came = True
        try:
            while chunk or not (self._inflate.needs_input or self._inflate.eof):
                if self._inflate.eof:
                    self._inflate = _decompressor()
                yield self._inflate.decompress(chunk, _PIECE)
                chunk = self._inflate.unused_data if self._inflate.eof else b""
        except zstd.ZstdError as error:
            raise DamagedError(str(error)) from None

    def end(self) -> bytes:
        """Give what is left: nothing, for a text is whole where its end has come."""
        if self._came and not self._inflate.eof:
            raise DamagedError("it ends early")
        return b""


def _decompressor() -> "zstd.ZstdDecompressor":
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _LARGEST_WINDOW})


_UNPACKERS: Mapping[str, Callable[[], Unpacker]] = MappingProxyType(
    {"gzip": Gunzip, "x-gzip": Gunzip, **({"zstd": Unzstd} if CAN_UNZSTD else {})}
)
_FIRST_REFUSAL = 300

ACCEPTED = "gzip, zstd" if CAN_UNZSTD else "gzip"
"""What a request says it takes: the value of `accept-encoding`."""


class Decompress:
    """Unpacks an answer that is to be read whole, a little at a time, so that the reader's limit holds.

    One that is streamed is left as it came: a checksum is of those bytes.
    """

    def __init__(self, inner: Transport) -> None:
        self._inner = inner

    async def send(self, request: Request) -> Response:
        """Send; DecodeError for a packing that nobody asked for."""
        response = await self._inner.send(request)
        packing = response.headers.get("content-encoding", "identity").strip().lower()
        if request.stream or packing in {"identity", ""}:
            return response
        unpacker = _UNPACKERS.get(packing)
        if unpacker is None:
            if response.status >= _FIRST_REFUSAL:
                return response  # it counts, packed or not
            await response.aclose()
            raise DecodeError(f"the answer is packed as {packing[:20]!r}, not as asked for", request=request)
        text = unpacked(response, request, unpacker())
        text.secrets = response.secrets
        # They are of what came, not of what is read.
        text.headers = {
            name: value
            for name, value in response.headers.items()
            if name not in {"content-encoding", "content-length"}
        }
        return text

    async def aclose(self) -> None:
        """Close the transport inside."""
        await self._inner.aclose()
