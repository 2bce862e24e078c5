"""From a file of the service to a safe file on disk: name checked, `.part` first, checksum, then renamed."""

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath

import anyio.to_thread
from attrs import field, frozen

from planet_async.errors import ChecksumMismatch, DownloadError, UnsafeName
from planet_async.http import Request, Response, Transport

_BATCH = 1 << 20  # bytes handed to a thread at a time: hashing them takes about a millisecond


@frozen
class Progress:
    """How far one file has come: `received` of `size` bytes, where the size is known."""

    name: str
    received: int
    size: int | None


ProgressCallback = Callable[[Progress], None]


@frozen
class RemoteFile:
    """A file to fetch: its name below the target folder, where it is, and what its bytes must be."""

    name: str
    request: Request
    size: int | None = None
    digests: Mapping[str, str] = field(factory=dict)

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
        length = response.headers.get("content-length", "")
        self.name = name
        self.size = int(length) if length.isascii() and length.isdigit() else None
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
    )
    if unsafe:
        raise UnsafeName(f"the server named a file {name[:200]!r}, which could land outside {folder}")
    return folder.joinpath(*parts)


async def download(
    transport: Transport,
    file: RemoteFile,
    folder: Path,
    *,
    overwrite: bool = False,
    progress: ProgressCallback | None = None,
) -> Path:
    """Fetch one file into the folder and give its path; one that is there with the right checksum is kept.

    While it arrives it is called `NAME.part`, which stays where the download breaks off.  Raises UnsafeName,
    ChecksumMismatch, or DownloadError where the disk refuses or another file of that name is in the way.
    """
    path = safe_path(folder, file.name)
    try:
        if not overwrite and await anyio.to_thread.run_sync(_is_there, file, path):
            return path
        response = await transport.send(file.request)
        try:
            part = await anyio.to_thread.run_sync(_Part, path, file)
            try:
                await _receive(OpenFile(file.name, response), part, file, progress)
            finally:
                part.close()
        finally:
            await response.aclose()
        await anyio.to_thread.run_sync(part.accept)
    except OSError as error:
        raise DownloadError(
            f"cannot write {path}: {error.strerror or error}",
            request=file.request,
            hint="What arrived is kept.",
        ) from error
    return path


async def _receive(
    source: OpenFile, part: "_Part", file: RemoteFile, progress: ProgressCallback | None
) -> None:
    size = file.size if file.size is not None else source.size
    batch: list[bytes] = []
    batched = received = 0
    async for chunk in source:
        batch.append(chunk)
        batched += len(chunk)
        received += len(chunk)
        if batched >= _BATCH:
            await anyio.to_thread.run_sync(part.write, batch)
            batch, batched = [], 0
        if progress is not None:
            progress(Progress(file.name, received, size))
    await anyio.to_thread.run_sync(part.write, batch)


def _is_there(file: RemoteFile, path: Path) -> bool:
    if not path.exists():
        return False
    if file.checksum is not None and path.is_file():
        algorithm, digest = file.checksum
        with path.open("rb") as content:
            if hashlib.file_digest(content, partial(_hash, algorithm)).hexdigest() == digest:
                return True
    raise DownloadError(
        f"{path} exists and is not the file to download",
        hint="Pass overwrite=True to replace it, or another folder.",
    )


def _hash(algorithm: str) -> "hashlib._Hash":
    return hashlib.new(algorithm, usedforsecurity=False)


class _Part:
    """The `.part` file of a download; its methods block, and run in threads."""

    def __init__(self, path: Path, file: RemoteFile) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._part = path.with_name(path.name + ".part")
        self._file = file
        self._hash = _hash(file.checksum[0]) if file.checksum else None
        self._size = 0
        self._output = self._part.open("wb", buffering=0)

    def write(self, batch: list[bytes]) -> None:
        data = memoryview(b"".join(batch))
        if self._hash is not None:
            self._hash.update(data)
        self._size += len(data)
        while data:
            data = data[self._output.write(data) :]

    def close(self) -> None:
        self._output.close()

    def accept(self) -> None:
        """Check what arrived, and give it its name; what is wrong is removed."""
        name, checksum = self._file.name, self._file.checksum
        problem = ""
        if self._file.size is not None and self._size != self._file.size:
            problem = f"{name} should have {self._file.size} bytes, and {self._size} came"
        elif checksum is not None and self._hash is not None and self._hash.hexdigest() != checksum[1]:
            problem = f"{name} came with another {checksum[0]} than its manifest says"
        if problem:
            self._part.unlink()
            raise ChecksumMismatch(problem, request=self._file.request, hint="Download it again.")
        self._part.replace(self._path)
