"""`ObjectStore`: the objects below a prefix of a bucket as the destination of files.  Imports obstore.

A file is uploaded in parts while it arrives.  Its object does not exist until the upload is completed, which
happens when the bytes are known to be right; else the upload is aborted.  The asynchronous functions of
obstore need asyncio, so the others are used here, in threads.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeVar

import anyio
import obstore
from attrs import frozen
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import AzureStore, GCSStore, S3Store

if TYPE_CHECKING:
    from obstore.store import RetryConfig

from planet_async._tasks import fetch_all, run_in_thread
from planet_async.downloads.remote_file import Hasher, RemoteFile, checksum, safe_path
from planet_async.errors import DownloadError, InvalidRequest

_CHECKSUM = "planetchecksum"  # metadata of an object: Azure takes only letters, digits and underscores
_CHECKED = ".planet-async"  # the name of an object that is never completed
_PART = 8 << 20  # bytes
_MAX_PARTS = 10_000  # of an object, in S3 and its like
_PARTS_AT_ONCE = 4  # that are uploaded, where one file is downloaded, shared where there are several
_BLOCK = 1 << 20
_THREADS = 32
_HEADS_AT_ONCE = 16
_ABORT_SECONDS = 10.0  # then the upload is aborted without being waited for
_CHECK_RETRIES = 2  # obstore's default is 10
_URL = re.compile(r"(s3|gs|az)://([A-Za-z0-9][A-Za-z0-9._-]*)(?:/([^?#\x00-\x1f\x7f\\]*))?")
_ENDPOINTS = ("AWS_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")
_LIBRARY_ERRORS = (BaseError, OSError, ValueError)

Store = AzureStore | GCSStore | S3Store
T = TypeVar("T")


class ObjectStore:
    """Objects below a prefix; see `Destination`.

    Credentials, endpoints and the rest come from the environment, as obstore reads it.

    Raises:
        InvalidRequest: The address is wrong, or the environment is.
    """

    def __init__(self, url: str) -> None:
        scheme, bucket, prefix = _parsed(url)
        self._scheme, self._bucket, self._prefix = scheme, bucket, prefix
        self._url = f"{scheme}://{bucket}/{prefix and f'{prefix}/'}"
        self.executor: ThreadPoolExecutor = ThreadPoolExecutor(_THREADS, "planet_async-store")
        self.store: Store = _opened(scheme, bucket)

    async def check(self) -> None:
        await run_in_thread(self._check, executor=self.executor)

    def _check(self) -> None:
        store = _opened(self._scheme, self._bucket, max_retries=_CHECK_RETRIES)
        self.head(_CHECKED, store)
        writer = obstore.open_writer(store, self.key(_CHECKED), buffer_size=1, max_concurrency=1)
        try:
            for _ in range(2):  # the second write waits for the first part
                self.call("write to", "", partial(writer.write, b"\0"))
        finally:
            abort(writer)

    def name(self, name: str) -> str:
        root = PurePosixPath(self._bucket, self._prefix)
        return safe_path(root, name).relative_to(root).as_posix()

    def names(self, name: str) -> list[str]:
        return [name]

    def place(self, name: str) -> str:
        return self._url + name

    def relative(self, place: Path | str) -> str:
        return str(place).removeprefix(self._url)

    def key(self, name: str) -> str:
        return f"{self._prefix}/{name}" if self._prefix else name

    def file(self, file: RemoteFile, *, overwrite: bool, durable: bool, at_once: int) -> "Upload":
        return Upload(self, file, overwrite=overwrite, parts_at_once=max(1, _PARTS_AT_ONCE // at_once))

    async def read(self, name: str, most: int) -> bytes | None:
        return await run_in_thread(self._read, name, most, executor=self.executor)

    def _read(self, name: str, most: int) -> bytes | None:
        found = self.call("read", name, partial(obstore.get, self.store, self.key(name)))
        if found.meta["size"] > most:
            return None
        return bytes(self.call("read", name, found.bytes))

    async def keep(self, names: Iterable[str], *, durable: bool) -> Mapping[str, int]:
        found = await self._heads(names)
        for name, head in found.items():
            if head is None:
                raise DownloadError(
                    f"{self.place(name)} was removed while the job runs",
                    hint="Move objects when the job has ended; start it again for this one.",
                )
        return {name: head.size for name, head in found.items() if head is not None}

    async def are_there(self, sizes: Mapping[str, int]) -> bool:
        found = await self._heads(sizes)
        return all(head is not None and head.size == sizes[name] for name, head in found.items())

    async def _heads(self, names: Iterable[str]) -> dict[str, "Head | None"]:
        found: dict[str, Head | None] = {}

        async def read(name: str) -> None:
            found[name] = await run_in_thread(self.head, name, self.store, executor=self.executor)

        await fetch_all([partial(read, name) for name in names], _HEADS_AT_ONCE)
        return found

    def head(self, name: str, store: Store) -> "Head | None":
        """Return what is known of an object; None where there is none.  Blocks."""
        get = partial(obstore.get, store, self.key(name), options={"head": True})
        try:
            found = self.call("read", name, get, missing=FileNotFoundError)
        except FileNotFoundError:
            return None
        etag = found.meta["e_tag"] or ""
        return Head(found.meta["size"], etag.strip('"'), found.attributes.get(_CHECKSUM, ""))

    def call(
        self, verb: str, name: str, act: Callable[[], T], *, missing: type[Exception] | None = None
    ) -> T:
        """Do what uses the store; raise its errors, apart from `missing`, as a DownloadError.  Blocks."""
        try:
            return act()
        except _LIBRARY_ERRORS as error:
            if missing is not None and isinstance(error, missing):
                raise
            message, hint = _explained(error)
        raise DownloadError(f"cannot {verb} {self.place(name)}: {message}", hint=hint)


@frozen
class Head:
    """The metadata of an object: `checksum` is the one that it was compared with, like ``"sha256:..."``."""

    size: int
    etag: str
    checksum: str


class Upload:
    """An object that is uploaded; see `DestinationFile`.

    What an earlier process has uploaded cannot be continued: obstore does not open an upload again.
    """

    def __init__(
        self, destination: ObjectStore, file: RemoteFile, *, overwrite: bool, parts_at_once: int
    ) -> None:
        self._destination = destination
        self._file = file
        self._name = destination.name(file.name)
        self._overwrite = overwrite
        self._parts_at_once = parts_at_once
        self._writer: obstore.WritableFile | None = None
        self._hasher: Hasher = hashlib.sha256()
        self.place: str = destination.place(self._name)
        self.executor: ThreadPoolExecutor = destination.executor
        self.size: int = 0

    def claim(self) -> bool:
        if self._file.checksum is None:
            return True  # compared with what the server sends
        head = self._head()
        if head is None:
            return True
        if self._has_checksum(head):
            return False
        if self._overwrite:
            return True
        raise self._in_the_way()

    def is_current(self, size: int | None, etag: str) -> bool:
        head = self._head()
        if head is None:
            return False
        if size is not None and size != head.size:
            if self._overwrite:
                return False
            raise self._in_the_way()
        md5 = checksum("md5", etag.strip('"'))
        return md5 is not None and md5 == checksum("md5", head.etag)

    def begin(self) -> None:
        self._hasher = hashlib.sha256() if self._file.checksum is None else self._file.checksum.hasher()
        self.size = 0

    def write(self, data: bytes) -> None:
        self._call("write", partial(self._opened().write, data))
        self._hasher.update(data)
        self.size += len(data)

    def restart(self) -> None:
        self.discard()
        self.begin()

    @property
    def is_right(self) -> bool:
        expected = self._file.checksum
        return expected is None or self._hasher.hexdigest() == expected.digest

    def accept(self) -> None:
        head = self._head()
        if head is not None and self._is_same(head):
            self.discard()
        elif self._overwrite or head is None:
            writer, self._writer = self._opened(), None
            self._call("write", writer.close)
        else:
            self.discard()
            raise self._in_the_way()

    def discard(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            abort(writer)

    async def aclose(self) -> None:
        if self._writer is not None:
            with anyio.move_on_after(_ABORT_SECONDS, shield=True):
                await run_in_thread(self.discard, executor=self.executor)

    def _opened(self) -> "obstore.WritableFile":
        if self._writer is None:
            expected, part = self._file.checksum, max(_PART, -(-(self._file.size or 0) // _MAX_PARTS))
            self._writer = obstore.open_writer(
                self._destination.store,
                self._destination.key(self._name),
                attributes={} if expected is None else {_CHECKSUM: str(expected)},
                buffer_size=part,
                max_concurrency=self._parts_at_once,
            )
        return self._writer

    def _has_checksum(self, head: Head) -> bool:
        if self._file.size not in {None, head.size}:
            return False
        checksums = self._file.checksums
        return head.checksum in {*map(str, checksums)} or checksum("md5", head.etag) in checksums

    def _is_same(self, head: Head) -> bool:
        """Return whether an object is what has arrived; without a checksum, its content shows."""
        if self._file.checksum is not None:
            return self._has_checksum(head)
        if head.size != self.size:
            return False
        hasher = hashlib.sha256()
        found = self._call(
            "read", partial(obstore.get, self._destination.store, self._destination.key(self._name))
        )
        blocks = iter(found.stream(min_chunk_size=_BLOCK))
        while block := self._call("read", partial(next, blocks, b"")):
            hasher.update(block)
        return hasher.hexdigest() == self._hasher.hexdigest()

    def _head(self) -> Head | None:
        return self._destination.head(self._name, self._destination.store)

    def _call(self, verb: str, act: Callable[[], T]) -> T:
        return self._destination.call(verb, self._name, act)

    def _in_the_way(self) -> DownloadError:
        return DownloadError(
            f"{self.place} exists and is not the file to download",
            hint="Pass overwrite=True to replace it, or use another prefix.",
        )


class _AbortedError(Exception):
    """The way out of a writer that aborts the upload."""


def abort(writer: "obstore.WritableFile") -> None:
    """Abort an upload; what the store keeps of it all the same is not visible.  Blocks."""
    with suppress(_AbortedError, *_LIBRARY_ERRORS), writer:
        raise _AbortedError


def _parsed(url: str) -> tuple[str, str, str]:
    """Return scheme, bucket and prefix; an address that is wrong is not shown, since it may hold a secret."""
    found = _URL.fullmatch(url)
    prefix = (found[3] or "").removesuffix("/") if found else ""
    if found is None or (prefix and {"", ".", ".."} & {*prefix.split("/")}):
        raise InvalidRequest(
            "the address of an object store must be like s3://bucket/prefix, gs://bucket/prefix or"
            " az://container/prefix; nothing was sent",
            hint="Credentials come from the environment: an address must not hold any, nor `?` or `#`.",
        )
    return found[1], found[2], prefix


def _opened(scheme: str, bucket: str, *, max_retries: int = 10) -> Store:
    for name in _ENDPOINTS if scheme == "s3" else ():
        endpoint = os.environ.get(name)
        if endpoint is not None and not re.match(r"https?://[^/]", endpoint):
            raise InvalidRequest(f"{name} must be an address like https://s3.example.com; nothing was sent")
        if endpoint is not None and endpoint.startswith("http:") and not _allows_http():
            raise InvalidRequest(
                f"{name} is an address of plain HTTP; nothing was sent",
                hint="Set AWS_ALLOW_HTTP=true where that is meant.",
            )
    retries: RetryConfig = {"max_retries": max_retries}
    try:
        if scheme == "s3":
            return S3Store(bucket, retry_config=retries)
        if scheme == "gs":
            return GCSStore(bucket, retry_config=retries)
        return AzureStore(bucket, retry_config=retries)
    except _LIBRARY_ERRORS as error:
        message, hint = _explained(error)
    raise InvalidRequest(f"cannot use {scheme}://{bucket}: {message}; nothing was sent", hint=hint)


def _allows_http() -> bool:
    return os.environ.get("AWS_ALLOW_HTTP", "").lower() in {"1", "true", "on", "yes", "y"}


def _explained(error: Exception) -> tuple[str, str]:
    """Return what happened and what to do; of the text of the error, nothing that a server said."""
    if isinstance(error, FileNotFoundError):
        return "there is no such bucket", "Create it, or correct the address or the endpoint."
    text = str(error).partition("\n")[0]
    is_refusal = isinstance(error, PermissionDeniedError | UnauthenticatedError)
    if is_refusal or re.search(r"status code: 40[13]\b", text):  # the error of a part is an OSError
        rights = "read, write and list there (s3:GetObject, s3:PutObject, s3:ListBucket)"
        return "access is denied", f"Set credentials in the environment that may {rights}."
    text = re.sub(r"[a-z]+://\S*", "the endpoint", text)
    text = re.split(r"[<{]", text.rpartition(" - ")[2])[0].strip(" :")
    hint = "Check the credentials, the region and the endpoint in the environment."
    return text or type(error).__name__, hint
