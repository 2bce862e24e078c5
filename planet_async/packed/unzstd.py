"""Text that comes packed as zstd, where Python (3.14) or `planet-async[zstd]` can unpack that."""

import sys
from collections.abc import Iterator

from planet_async.packed.gunzip import DamagedError

try:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
except ImportError:
    CAN_UNZSTD = False
else:
    CAN_UNZSTD = True

_PIECE = 1 << 16  # bytes unpacked at a time: less than a millisecond's work
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
