"""File contents that are made while they are read: any part of any size, the same bytes each time."""

import hashlib
import random
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Protocol

from attrs import frozen

CHUNK_BYTES = 64 * 1024
_POOL_BYTES = 1024 * 1024


class Part(Protocol):
    """Some bytes of a file; `bytes` are one."""

    def __len__(self) -> int: ...

    def __getitem__(self, window: slice, /) -> bytes: ...


@lru_cache(maxsize=1)
def _pool() -> bytes:
    return random.Random(0).randbytes(_POOL_BYTES)  # noqa: S311 - filler, not a secret


@frozen
class Pixels:
    """Bytes like those of a raster: noise that depends on the seed and the place, at the cost of a slice.

    Blocks differ, so a download that was resumed at the wrong place has the wrong checksum.
    """

    seed: bytes
    size: int

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, window: slice, /) -> bytes:
        start, stop, _ = window.indices(self.size)
        pieces = []
        while start < stop:
            number, offset = divmod(start, CHUNK_BYTES)
            length = min(CHUNK_BYTES - offset, stop - start)
            key = hashlib.blake2b(self.seed + number.to_bytes(8, "big"), digest_size=4).digest()
            place = int.from_bytes(key, "big") % (_POOL_BYTES - CHUNK_BYTES) + offset
            pieces.append(_pool()[place : place + length])
            start += length
        return b"".join(pieces)


class Content:
    """The bytes of one file, as a row of parts; the checksums are worked out once, when first asked for."""

    def __init__(self, *parts: Part) -> None:
        self.parts: Sequence[Part] = parts
        self.size = sum(map(len, parts))
        # Not functools.cached_property: before Python 3.12 that has one lock for all instances, and a thread
        # that works out one checksum would make the event loop wait for another one.
        self._digests: Mapping[str, str] | None = None
        self._crc32: int | None = None

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Yield the bytes from `start` to before `stop`, a little at a time."""
        end = self.size if stop is None else stop
        base = 0
        for part in self.parts:
            first, last = max(start - base, 0), min(end - base, len(part))
            for place in range(first, last, CHUNK_BYTES):
                yield part[place : min(place + CHUNK_BYTES, last)]
            base += len(part)

    def digests(self) -> Mapping[str, str]:
        """Give md5 and sha256, in hex: a pass over the whole content."""
        if self._digests is None:
            md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
            for chunk in self.chunks():
                md5.update(chunk)
                sha256.update(chunk)
            self._digests = {"md5": md5.hexdigest(), "sha256": sha256.hexdigest()}
        return self._digests

    def crc32(self) -> int:
        """Give the checksum that zip archives use: a pass over the whole content."""
        if self._crc32 is None:
            checksum = 0
            for chunk in self.chunks():
                checksum = zlib.crc32(chunk, checksum)
            self._crc32 = checksum
        return self._crc32
