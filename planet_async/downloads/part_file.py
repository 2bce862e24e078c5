"""`PartFile`: a file that is still arriving, named `NAME.part` until it is known to be right.

Its methods block, and are run in threads.
"""

import hashlib
import os
import sys
from pathlib import Path

if sys.platform != "win32":
    import fcntl

_BLOCK = 1 << 20
# A link in the place of the part would have us write over what it leads to.
_FLAGS = getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)


class PartFile:
    """What has arrived of a file, on disk, with the checksum of it so far.

    What an earlier call left is continued where a checksum will show in the end whether it was any good.  One
    process at a time has the file, where the system has locks.
    """

    def __init__(self, target: Path, checksum: tuple[str, str] | None) -> None:
        self.target = target
        self.path = target.with_name(target.name + ".part")
        self.size = 0
        self._checksum = checksum
        self._descriptor: int | None = None

    def claim(self) -> bool:
        """Open or make it, until `close`; False while another process has it."""
        self.target.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | _FLAGS, 0o666)
        if _lock(self._descriptor) and _is_at(self._descriptor, self.path):
            return True
        self.close()
        return False

    def begin(self) -> None:
        """Read what is there up to its end; to be called before any of the methods below."""
        self._hash = hashlib.new(self._checksum[0] if self._checksum else "md5", usedforsecurity=False)
        self.size = 0
        if self._checksum is None:
            os.ftruncate(self._file, 0)
        os.lseek(self._file, 0, os.SEEK_SET)
        while data := os.read(self._file, _BLOCK):
            self._add(data)
            self.size += len(data)

    def write(self, data: bytes) -> None:
        """Add bytes to the end of the file, and to the checksum."""
        left = memoryview(data)
        while left:
            written = os.write(self._file, left)
            self.size += written
            left = left[written:]
        self._add(data)

    def restart(self) -> None:
        """Drop what has arrived."""
        os.ftruncate(self._file, 0)
        self.begin()

    @property
    def is_right(self) -> bool:
        """Whether the bytes have the checksum; true where there is none."""
        return self._checksum is None or self._hash.hexdigest() == self._checksum[1]

    def accept(self) -> None:
        """Give the file its name; OSError where what is named as the part is another file by now."""
        if not _is_at(self._file, self.path):
            raise OSError("what arrived was removed or replaced")
        os.close(os.dup(self._file))  # some network file systems report only here that they could not write
        self.path.replace(self.target)

    def discard(self) -> None:
        """Remove it: what has arrived is of no use."""
        self.path.unlink()

    def close(self) -> None:
        """Release it; the part stays."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    @property
    def _file(self) -> int:
        if self._descriptor is None:
            raise ValueError("it has not been claimed")
        return self._descriptor

    def _add(self, data: bytes) -> None:
        if self._checksum is not None:
            self._hash.update(data)


def has_checksum(path: Path, checksum: tuple[str, str]) -> bool:
    """Return whether the file at `path` has that checksum."""
    algorithm, digest = checksum
    with path.open("rb") as content:
        return (
            hashlib.file_digest(content, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
            == digest
        )


def _lock(descriptor: int) -> bool:
    """Lock the file until it is closed; False where another process has."""
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # this file system has no locks
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    """Return whether the open file still has its name: another process may have finished it since."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
