"""`Folder`: a folder on disk as the destination of files.  `PartFile`: one of them while it arrives.

It is named `NAME.part` until it is known to be right.
"""

import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from planet_async._tasks import run_in_thread
from planet_async.downloads.remote_file import RemoteFile, checksum, safe_path, shortened
from planet_async.errors import DownloadError, UnsafeName

if sys.platform != "win32":
    import fcntl

PART_ENDS = (".part", ".part.ranges")
"""The ends, after its name, of the files next to a file that arrives."""

_CLOSED = -1  # in the place of a descriptor
_BLOCK = 1 << 20
_MAX_NAME = 255  # bytes, including those of the longest end
# A link in the place of the part would have us write over what it leads to.
_FLAGS = getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
_IGNORES_CASE = sys.platform in {"win32", "darwin"}  # "A" and "a" are one file


class Folder:
    """A folder on disk; see `Destination`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def check(self) -> None:
        pass  # it is made when the first file arrives

    def name(self, name: str) -> str:
        return safe_path(self.path, name).relative_to(self.path).as_posix()

    def names(self, name: str) -> list[str]:
        return [f"{name}{end}".casefold() if _IGNORES_CASE else f"{name}{end}" for end in ("", *PART_ENDS)]

    def place(self, name: str) -> Path:
        return self.path / name

    def relative(self, place: Path | str) -> str:
        return Path(place).relative_to(self.path).as_posix()

    def file(self, file: RemoteFile, *, overwrite: bool, durable: bool, at_once: int) -> "PartFile":
        return PartFile(self.path, file, overwrite=overwrite, durable=durable)

    async def read(self, name: str, most: int) -> bytes | None:
        path = self.path / name
        try:
            return await run_in_thread(_read, path, most)
        except OSError as error:
            raise DownloadError(f"cannot read {path}: {error.strerror or error}") from error

    async def keep(self, names: Iterable[str], *, durable: bool) -> Mapping[str, int]:
        try:
            return await run_in_thread(self._kept, [*names], durable)
        except OSError as error:
            raise DownloadError(
                f"a file of the order was removed, or is not safe on the disk: {error}",
                hint="Move files when the job has ended; start it again for this one.",
            ) from error

    def _kept(self, names: list[str], durable: bool) -> Mapping[str, int]:
        paths = {name: self.path / name for name in names}
        if durable:
            self._synchronize(paths.values())
        return {name: path.stat().st_size for name, path in paths.items()}

    def _synchronize(self, paths: Iterable[Path]) -> None:
        for path in paths:
            _synchronize(path)
        parents = {folder for path in paths for folder in path.parents}
        inside = {folder for folder in parents if folder.is_relative_to(self.path)}
        for folder in (*inside, self.path.parent):
            with suppress(
                OSError
            ):  # some file systems synchronize no folders, and some folders cannot be read
                _synchronize(folder)

    async def are_there(self, sizes: Mapping[str, int]) -> bool:
        return await run_in_thread(self._are_there, sizes)

    def _are_there(self, sizes: Mapping[str, int]) -> bool:
        try:
            return all((self.path / name).stat().st_size == size for name, size in sizes.items())
        except OSError:
            return False


class PartFile:
    """The part of a file that has arrived, on disk, and its checksum so far; see `DestinationFile`.

    What an earlier call left is continued where a checksum will show in the end whether it was any good.  One
    process at a time has the file, where the system has locks.
    """

    executor: None = None

    def __init__(self, folder: Path, file: RemoteFile, *, overwrite: bool, durable: bool) -> None:
        self.place: Path = safe_path(folder, file.name)
        self.path: Path = self.place.with_name(_part_name(self.place.name))
        self.size: int = 0
        self._folder = folder
        self._expected_size = file.size
        self._checksum = file.checksum
        self._overwrite = overwrite
        self._durable = durable
        self._file: int = _CLOSED

    def claim(self) -> bool | None:
        if self._is_there():
            return False
        if not self._open():
            return None
        if self._is_there():  # another process has finished it between the two
            self.discard()
            return False
        return True

    def is_current(self, size: int | None, etag: str) -> bool:
        if not self.place.is_file():
            return False
        if size is not None and size != self.place.stat().st_size:
            if self._overwrite:
                return False
            raise self._in_the_way()
        md5 = checksum("md5", etag.strip('"'))
        return md5 is not None and md5.matches(self.place)

    def begin(self) -> None:
        self._hasher = None if self._checksum is None else self._checksum.hasher()
        self.size = 0
        if self._checksum is None:
            os.ftruncate(self._file, 0)
        os.lseek(self._file, 0, os.SEEK_SET)
        while data := os.read(self._file, _BLOCK):
            self._count(data)

    def write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[os.write(self._file, left) :]
        self._count(data)

    def restart(self) -> None:
        os.ftruncate(self._file, 0)
        self.begin()

    @property
    def is_right(self) -> bool:
        return not (self._checksum and self._hasher) or self._hasher.hexdigest() == self._checksum.digest

    def accept(self) -> None:
        if self.place.is_file() and _have_same_content(self.place, self.path):
            self.discard()
        elif self._overwrite or not self.place.exists():
            self._rename()
        else:
            self.discard()
            raise self._in_the_way()

    def discard(self) -> None:
        self.path.unlink()

    async def aclose(self) -> None:
        self._close()

    def _is_there(self) -> bool:
        path = self.place
        if not path.exists():
            return False
        if path.is_file():
            if self._checksum is None:
                return False  # compared with what the server sends
            if self._expected_size in {None, path.stat().st_size} and self._checksum.matches(path):
                return True
            if self._overwrite:
                return False
        raise self._in_the_way()

    def _in_the_way(self) -> DownloadError:
        if self.place.is_dir():
            return DownloadError(
                f"{self.place} exists and is a folder", hint="Use another folder for the download."
            )
        return DownloadError(
            f"{self.place} exists and is not the file to download",
            hint="Pass overwrite=True to replace it, or use another folder.",
        )

    def _open(self) -> bool:
        """Open or make the part, until `_close`; return False while another process has it."""
        path, folder = self.place, self._folder
        between = path.parents[: len(path.parts) - len(folder.parts) - 1]
        if any(parent.is_symlink() for parent in between):
            inside = Path(os.path.realpath(path.parent)).is_relative_to(os.path.realpath(folder))
            if not inside:
                raise UnsafeName(f"{path} is not inside {folder}: a link leads out of it")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | _FLAGS, 0o666)
        if _lock(self._file) and _is_at(self._file, self.path):
            return True
        self._close()
        return False

    def _rename(self) -> None:
        """Rename the part.  If `durable`, a file of that name has its content even after a power failure.

        Raises:
            OSError: What is named as the part is another file by now.
        """
        if not _is_at(self._file, self.path):
            raise OSError("what arrived was removed or replaced")
        if self._durable:
            os.fsync(self._file)
        os.close(os.dup(self._file))  # some network file systems report only here that they could not write
        self.path.replace(self.place)

    def _close(self) -> None:
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


def _have_same_content(path: Path, other: Path) -> bool:
    if path.stat().st_size != other.stat().st_size:
        return False
    with path.open("rb") as file, other.open("rb") as other_file:
        while block := file.read(_BLOCK):
            if block != other_file.read(_BLOCK):
                return False
    return True


def _read(path: Path, most: int) -> bytes | None:
    return path.read_bytes() if path.stat().st_size <= most else None


def _synchronize(path: Path) -> None:
    if os.name == "nt":
        return  # there, neither a folder nor what is open for reading only can be synchronized
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
