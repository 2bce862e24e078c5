"""A file of the service: what it is called, where it is, and what its bytes must be."""

import hashlib
import os
import re
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Protocol, TypeVar

from attrs import field, frozen

from planet_async.errors import UnsafeName
from planet_async.http import Request, Response, announced_length

_BLOCK = 1 << 20
_HEX_DIGITS = {
    "sha512": 128,
    "sha384": 96,
    "sha256": 64,
    "sha1": 40,
    "md5": 32,
    "crc32": 8,
}  # strongest first
_MAX_NAME = 255  # bytes: what most file systems take
_MAX_SUFFIX = 16  # bytes of a long name's end that are kept for its type, as in `.tif.aux.xml`
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\\]")
_ESCAPED = re.compile(rf"{_UNPRINTABLE.pattern}|%")
_ON_WINDOWS = os.name == "nt"
_NUMBERED = [f"{name}{number}" for name in ("com", "lpt") for number in "123456789¹²³"]
_DEVICES = frozenset({"con", "prn", "aux", "nul", "conin$", "conout$", *_NUMBERED})

P = TypeVar("P", bound=PurePath)


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
    def checksum(self) -> "Checksum | None":
        """The strongest of the digests that can be compared."""
        return next(iter(self.checksums), None)

    @property
    def checksums(self) -> list["Checksum"]:
        """The digests that can be compared, the strongest first."""
        plain = {re.sub("[^a-z0-9]", "", name.lower()): digest for name, digest in self.digests.items()}
        plain.setdefault("crc32", plain.get("crc", ""))
        found = (checksum(algorithm, plain.get(algorithm, "")) for algorithm in _HEX_DIGITS)
        return [one for one in found if one is not None]


class Hasher(Protocol):
    """A digest in progress, like the objects of hashlib."""

    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


class _Crc32:
    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def hexdigest(self) -> str:
        return f"{self._value:08x}"


@frozen
class Checksum:
    """The expected digest of a file, in hex."""

    algorithm: str
    digest: str

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.digest}"

    def hasher(self) -> Hasher:
        return _Crc32() if self.algorithm == "crc32" else hashlib.new(self.algorithm, usedforsecurity=False)

    def matches(self, path: Path) -> bool:
        """Return whether the file at `path` has it.  Blocks."""
        hasher = self.hasher()
        with path.open("rb") as content:
            while block := content.read(_BLOCK):
                hasher.update(block)
        return hasher.hexdigest() == self.digest


def checksum(algorithm: str, digest: str) -> Checksum | None:
    """Return the checksum, unless the digest is none of that algorithm."""
    digest = digest.strip().lower()
    is_digest = re.fullmatch("[0-9a-f]*", digest) and len(digest) == _HEX_DIGITS[algorithm]
    return Checksum(algorithm, digest) if is_digest else None


class OpenFile:
    """A file of the service, open for reading: iterate over it for its bytes as they arrive.

    `size` is in bytes, None where the server does not say.
    """

    def __init__(self, name: str, response: Response) -> None:
        self.name = name
        self.size: int | None = announced_length(response.headers)
        self._response = response

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._response.chunks()


def safe_path(folder: P, name: str) -> P:
    """Return the path below the folder for a file name of the server.

    A control character, a backslash, and a ``%`` in a name with one of those are percent-encoded, so that
    `urllib.parse.unquote` restores the name.  A part of it longer than a file system takes is cut; a hash of
    the whole distinguishes it from others.

    Raises:
        UnsafeName: The name would lead out of the folder, or is none that this system can have.
    """
    parts = PurePosixPath(name).parts
    leads_out = (
        not parts or name[0] in "/\\" or ".." in re.split(r"[/\\]", name) or bool(PureWindowsPath(name).drive)
    )
    is_impossible = name.endswith("/") or "\0" in name or (_ON_WINDOWS and any(map(_means_another, parts)))
    if leads_out or is_impossible:
        what = f"which could land outside {folder}" if leads_out else "which no file can have here"
        raise UnsafeName(f"the server named a file {name[:200]!r}, {what}")
    return folder.joinpath(*(_fitting(part) for part in parts))


def _fitting(part: str) -> str:
    if _UNPRINTABLE.search(part):
        part = _ESCAPED.sub(_percent_encoded, part)
    if len(part.encode()) <= _MAX_NAME:
        return part
    suffix = part[-_MAX_SUFFIX:].partition(".")
    return shortened(part, _MAX_NAME, "".join(suffix[1:]))


def _percent_encoded(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode(errors="surrogatepass"))


def shortened(name: str, size: int, end: str) -> str:
    """Return a name of at most `size` bytes: the beginning of `name`, a hash of all of it, and the `end`."""
    end = f"~{hashlib.sha256(name.encode()).hexdigest()[:16]}{end}"
    return name.encode()[: size - len(end.encode())].decode(errors="ignore") + end


def _means_another(part: str) -> bool:
    """Return whether Windows takes a name for a device, a stream of a file, or the name without its end."""
    stem = part.partition(".")[0].rstrip().lower()
    return stem in _DEVICES or part[-1] in ". " or any(letter in part for letter in '<>:"|?*')


def strong_etag(response: Response) -> str:
    """Return what identifies this version of the bytes; empty where the server does not say."""
    etag = response.headers.get("etag", "")
    return "" if etag.startswith("W/") or not etag.isascii() else etag
