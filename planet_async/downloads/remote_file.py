"""A file of the service: what it is called, where it is, what its bytes must be; and how far it has come."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath

from attrs import field, frozen

from planet_async.clock import Clock
from planet_async.errors import StatusError, TransportError, UnsafeName
from planet_async.http import Request, Response, announced_length

_ON_WINDOWS = os.name == "nt"
_NUMBERED = [f"{name}{number}" for name in ("com", "lpt") for number in "123456789¹²³"]
_DEVICES = frozenset({"con", "prn", "aux", "nul", "conin$", "conout$", *_NUMBERED})


@frozen
class Progress:
    """How far one file has come: `received` of `size` bytes, where the size is known."""

    name: str
    received: int
    size: int | None


ProgressCallback = Callable[[Progress], None]


@frozen
class RemoteFile:
    """A file to fetch: its name below the target folder, where it is, and what its bytes must be.

    `renew` gives another request for it, for when the link of this one has expired.  `most` is how many bytes
    it may have where the size is not known.
    """

    name: str
    request: Request
    size: int | None = None
    digests: Mapping[str, str] = field(factory=dict)
    renew: Callable[[Request], Awaitable[Request]] | None = None
    most: int | None = None

    @property
    def checksum(self) -> tuple[str, str] | None:
        """The algorithm and hex digest to check, the stronger one where there are several."""
        for algorithm in ("sha256", "md5"):
            if self.digests.get(algorithm):
                return algorithm, self.digests[algorithm].lower()
        return None


class OpenFile:
    """A file of the service, open for reading: iterate it for its bytes as they arrive.

    `size` is in bytes, None where the server does not say.
    """

    def __init__(self, name: str, response: Response) -> None:
        self.name = name
        self.size = announced_length(response.headers)
        self._response = response

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._response.chunks()


def safe_path(folder: Path, name: str) -> Path:
    """Give the path of a server's file name below the folder; UnsafeName where it would lead out of it."""
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
    """Tell whether Windows takes a name for a device, a stream of a file, or the name without its end."""
    stem = part.partition(".")[0].rstrip().lower()
    return stem in _DEVICES or part[-1] in ". " or any(letter in part for letter in '<>:"|?*')


def strong_etag(response: Response) -> str:
    """Give what names this very version of the bytes; empty where the server does not say."""
    etag = response.headers.get("etag", "")
    return "" if etag.startswith("W/") or not etag.isascii() else etag


_FIRST_PAUSE = 0.5  # seconds after the first cut; doubled each time
_LONGEST_PAUSE = 30.0
_REFUSED_LINK = frozenset({401, 403, 404, 410})


async def retry_until_complete(
    file: RemoteFile,
    fetch: Callable[[Request], Awaitable[None]],
    arrived: Callable[[], int],
    clock: Clock,
    max_attempts: int,
) -> None:
    """Call `fetch` with the request for the file until it returns; `arrived` gives the bytes that are there.

    Raises the StatusError that would not go away, or the TransportError when `max_attempts` requests in a
    row have brought no new byte.
    """
    request, cuts, attempts, renewed_at, furthest = file.request, 0, 0, -1, arrived()
    while True:
        try:
            return await fetch(request)
        except TransportError as error:
            if arrived() > furthest:  # a file that always begins again, and stops somewhere, gets nowhere
                furthest, cuts, attempts = arrived(), 0, 0
            cuts, attempts = cuts + 1, attempts + error.attempts
            if attempts >= max_attempts:
                raise
            await clock.sleep(min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(cuts - 1, 16)))
        except StatusError as error:
            # A fresh link that is refused too, with nothing received by it, is not about its age.
            if error.status not in _REFUSED_LINK or not file.renew or renewed_at == arrived():
                raise
            renewed_at = arrived()
            request = await file.renew(request)
