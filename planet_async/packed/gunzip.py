"""Text that may come packed: gzip is told by its first bytes, whatever the headers say."""

import zlib
from collections.abc import Iterator

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
