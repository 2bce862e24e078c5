"""`PartFile`: a file that is still arriving, named `NAME.part` until it is known to be right.

Its methods block, and are run in threads.
"""

import os
import sys
from pathlib import Path

from planet_async.downloads.remote_file import Checksum, shortened

if sys.platform != "win32":
    import fcntl

PART_ENDS = (".part", ".part.ranges")
"""The ends, after its name, of the files next to a file that arrives."""

_CLOSED = -1  # in the place of a descriptor
_BLOCK = 1 << 20
_MAX_NAME = 255  # bytes, including those of the longest end
# A link in the place of the part would have us write over what it leads to.
_FLAGS = getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)


class PartFile:
    """The part of a file that has arrived, on disk, and its checksum so far.

    What an earlier call left is continued where a checksum will show in the end whether it was any good.  One
    process at a time has the file, where the system has locks.
    """

    def __init__(self, target: Path, checksum: Checksum | None) -> None:
        self.target = target
        self.path: Path = target.with_name(_part_name(target.name))
        self.size: int = 0
        self._checksum = checksum
        self._file: int = _CLOSED

    def claim(self) -> bool:
        """Open or make it, until `close`; False while another process has it."""
        self.target.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | _FLAGS, 0o666)
        if _lock(self._file) and _is_at(self._file, self.path):
            return True
        self.close()
        return False

    def begin(self) -> None:
        """Read what is there up to its end; to be called before any of the methods below."""
        self._hasher = None if self._checksum is None else self._checksum.hasher()
        self.size = 0
        if self._checksum is None:
            os.ftruncate(self._file, 0)
        os.lseek(self._file, 0, os.SEEK_SET)
        while data := os.read(self._file, _BLOCK):
            self._count(data)

    def write(self, data: bytes) -> None:
        """Add bytes to the end of the file, and to the checksum."""
        left = memoryview(data)
        while left:
            left = left[os.write(self._file, left) :]
        self._count(data)

    def restart(self) -> None:
        os.ftruncate(self._file, 0)
        self.begin()

    @property
    def is_right(self) -> bool:
        """Return whether the bytes match the checksum; True if there is none."""
        return not (self._checksum and self._hasher) or self._hasher.hexdigest() == self._checksum.digest

    def accept(self, *, durable: bool) -> None:
        """Rename the file to its final name; OSError where what is named as the part is another file by now.

        If `durable`, a file that has its name after a power failure has its content, too.
        """
        if not _is_at(self._file, self.path):
            raise OSError("what arrived was removed or replaced")
        if durable:
            os.fsync(self._file)
        os.close(os.dup(self._file))  # some network file systems report only here that they could not write
        self.path.replace(self.target)

    def discard(self) -> None:
        """Remove it: what has arrived is of no use."""
        self.path.unlink()

    def close(self) -> None:
        """Release it; the part stays."""
        file, self._file = self._file, _CLOSED
        if file != _CLOSED:
            os.close(file)

    def _count(self, data: bytes) -> None:
        self.size += len(data)
        if self._hasher is not None:
            self._hasher.update(data)


def _part_name(name: str) -> str:
    if len((name + PART_ENDS[-1]).encode()) <= _MAX_NAME:
        return name + PART_ENDS[0]
    return shortened(name, _MAX_NAME - len(PART_ENDS[-1]) + len(PART_ENDS[0]), PART_ENDS[0])


def have_same_content(path: Path, other: Path) -> bool:
    if path.stat().st_size != other.stat().st_size:
        return False
    with path.open("rb") as file, other.open("rb") as other_file:
        while block := file.read(_BLOCK):
            if block != other_file.read(_BLOCK):
                return False
    return True


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
