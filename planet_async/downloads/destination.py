"""`Destination`: where downloaded files go: a folder, or the objects below a prefix of an object store."""

from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import Protocol, TypeVar

from planet_async.downloads.remote_file import RemoteFile

Place_co = TypeVar("Place_co", bound=Path | str, covariant=True)
"""The place of a downloaded file: its path, or the URL of its object."""


class DestinationFile(Protocol):
    """One file on its way to its destination, where it is not visible under its name until it is right.

    The methods that are not async block, and are run in threads.
    """

    @property
    def place(self) -> Path | str: ...

    @property
    def executor(self) -> Executor | None:
        """The threads to run the methods in; None: those of the event loop."""

    @property
    def size(self) -> int:
        """How many bytes have arrived."""

    @property
    def is_right(self) -> bool:
        """True if the bytes match the checksum, or if there is none."""

    def claim(self) -> bool | None:
        """Return True when it is the caller's, until `aclose`; False where the file is there and right.

        None: another process is fetching it.

        Raises:
            DownloadError: Another file of that name is in the way.
        """

    def is_current(self, size: int | None, etag: str) -> bool:
        """Return whether the file that is there is the server's, as far as size and ETag show.

        Raises:
            DownloadError: It is another one, and in the way.
        """

    def begin(self) -> None:
        """Find out what has arrived before; to be called before any of the methods below."""

    def write(self, data: bytes) -> None:
        """Add bytes to the end."""

    def restart(self) -> None:
        """Drop what has arrived."""

    def accept(self) -> None:
        """Make it visible under its name.

        Raises:
            DownloadError: Another file of that name is in the way.
        """

    def discard(self) -> None:
        """Remove it: what has arrived is of no use."""

    async def aclose(self) -> None:
        """Release it; what has arrived stays where a later call can continue it."""


class Destination(Protocol[Place_co]):
    """A place for files.  Their names are relative to it, with slashes."""

    async def check(self) -> None:
        """Raise DownloadError where files cannot be written."""

    def name(self, name: str) -> str:
        """Return the name that a file of the server is kept under.

        Raises:
            UnsafeName: It would lead out of the destination.
        """

    def names(self, name: str) -> list[str]:
        """Return all names that a file takes while it arrives, in a form in which equal ones are the same."""

    def place(self, name: str) -> Place_co:
        """Return the path or the URL of a file."""

    def relative(self, place: Path | str) -> str:
        """Return the name of the file at a path or a URL."""

    def file(self, file: RemoteFile, *, overwrite: bool, durable: bool, at_once: int) -> DestinationFile:
        """Return a file that is to be fetched.

        Args:
            file: What is fetched.
            overwrite: Replace a file that is there and not right.
            durable: What is accepted outlasts a power failure, once `keep` is called, too.
            at_once: How many files the caller fetches concurrently: they share the memory.
        """

    async def read(self, name: str, most: int) -> bytes | None:
        """Return the bytes of a file that is there; None if it is longer than `most`.

        Raises:
            DownloadError: It cannot be read.
        """

    async def keep(self, names: Iterable[str], *, durable: bool) -> Mapping[str, int]:
        """Return the size of each file, when all will outlast a power failure, if `durable`.

        Raises:
            DownloadError: One is not there any more.
        """

    async def are_there(self, sizes: Mapping[str, int]) -> bool:
        """Return whether all of the files are there, with the size noted."""
