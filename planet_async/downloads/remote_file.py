"""A file of the service: what it is called, where it is, and what its bytes must be."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath

from attrs import field, frozen

from planet_async.errors import UnsafeName
from planet_async.http import Request, Response, announced_length

_ON_WINDOWS = os.name == "nt"
_NUMBERED = [f"{name}{number}" for name in ("com", "lpt") for number in "123456789¹²³"]
_DEVICES = frozenset({"con", "prn", "aux", "nul", "conin$", "conout$", *_NUMBERED})


@frozen
class Progress:
    """How far the download of one file has come: `received` of `size` bytes, where the size is known."""

    name: str
    received: int
    size: int | None


ProgressCallback = Callable[[Progress], None]


@frozen
class RemoteFile:
    """A file to fetch: its name below the target folder, where it is, and what its bytes must be.

    `renew` returns another request for it when the link of the one passed has expired.  `most` is how many
    bytes it may have where the size is not known.
    """

    name: str
    request: Request
    size: int | None = None
    digests: Mapping[str, str] = field(factory=dict)
    renew: Callable[[Request], Awaitable[Request]] | None = None
    most: int | None = None

    @property
    def checksum(self) -> tuple[str, str] | None:
        """The algorithm and the hex digest to compare, the stronger one where there are several."""
        for algorithm in ("sha256", "md5"):
            if self.digests.get(algorithm):
                return algorithm, self.digests[algorithm].lower()
        return None


class OpenFile:
    """A file of the service, open for reading: iterate over it for its bytes as they arrive.

    `size` is in bytes, None where the server does not say.
    """

    def __init__(self, name: str, response: Response) -> None:
        self.name = name
        self.size = announced_length(response.headers)
        self._response = response

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._response.chunks()


def safe_path(folder: Path, name: str) -> Path:
    """Return the path below the folder for a file name of the server.

    Raises:
        UnsafeName: The name would lead out of the folder.
    """
    parts = PurePosixPath(name).parts
    unsafe = (
        not parts
        or name.startswith("/")
        or name.endswith("/")
        or ".." in parts
        or "\\" in name
        or bool(PureWindowsPath(name).drive)
        or not name.isprintable()
        or (_ON_WINDOWS and any(_means_another(part) for part in parts))
    )
    if unsafe:
        raise UnsafeName(f"the server named a file {name[:200]!r}, which could land outside {folder}")
    return folder.joinpath(*parts)


def _means_another(part: str) -> bool:
    """Return whether Windows takes a name for a device, a stream of a file, or the name without its end."""
    stem = part.partition(".")[0].rstrip().lower()
    return stem in _DEVICES or part[-1] in ". " or any(letter in part for letter in '<>:"|?*')


def strong_etag(response: Response) -> str:
    """Return what identifies this version of the bytes; empty where the server does not say."""
    etag = response.headers.get("etag", "")
    return "" if etag.startswith("W/") or not etag.isascii() else etag
