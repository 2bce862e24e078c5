"""The files of an order: which there are, what their bytes must be, and downloading them concurrently."""

import logging
import posixpath
import sys
import unicodedata
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path, PurePosixPath

import anyio
from attrs import evolve

from planet_async._tasks import fetch_all
from planet_async.downloads.destination import Destination
from planet_async.downloads.download import download
from planet_async.downloads.remote_file import OpenFile, ProgressCallback, RemoteFile
from planet_async.errors import (
    BodyTooLarge,
    DecodeError,
    DownloadError,
    OrderNotDownloadable,
    PlanetError,
    UnsafeName,
)
from planet_async.http import Request
from planet_async.models.codec import decode
from planet_async.models.orders import (
    ENDED_BADLY,
    DownloadedFiles,
    Manifest,
    ManifestFile,
    Order,
    OrderResult,
    OrderState,
)
from planet_async.services._api import Api

_MANIFEST = "manifest.json"
_MAX_NAMES_SHOWN = 3

logger: logging.Logger = logging.getLogger("planet_async.downloads")


async def download_order(
    api: Api,
    order: Order,
    get: Callable[[str], Awaitable[Order]],
    to: Destination[Path | str],
    *,
    overwrite: bool,
    concurrency: int,
    ranges: int = 1,
    require_checksums: bool = False,
    durable: bool = False,
    progress: ProgressCallback | None,
) -> DownloadedFiles:
    """Fetch the manifest, then all other files; see `Orders.download`."""
    is_here = order.state not in ENDED_BADLY and not order.delivered_to
    if is_here and (order.is_listed or not _has_fresh_links(api, order)):
        order = await get(order.id)
    results = downloadable(order)
    links = _Links(api, order, get)
    fetch = partial(
        download,
        api.transport,
        destination=to,
        clock=api.clock,
        max_attempts=api.config.max_attempts,
        durable=durable,
        progress=progress,
    )
    done: dict[str, RemoteFile] = {}
    expected: Mapping[str, ManifestFile] = {}
    manifest = next((result for result in results if _in_manifest(order.id, result.name) == _MANIFEST), None)
    if manifest is not None:
        # A manifest has no checksum to compare: it is fetched again, over that of an earlier call.
        file = evolve(links.file(manifest, expected), most=api.config.max_body_bytes)
        await fetch(file=file, overwrite=True)
        done[to.name(file.name)] = file
        expected = await _expected_files(to, to.name(file.name), order.id, api.config.max_body_bytes)
        results = [result for result in results if result is not manifest]
    files, errors = _by_name(to, [links.file(result, expected) for result in results])
    errors += _missing_files(order, expected)
    if require_checksums:
        errors += [_unverifiable(file) for file, *_ in files.values() if file.checksum is None]
        files = {name: same for name, same in files.items() if same[0].checksum is not None}

    async def fetch_one(name: str, file: RemoteFile, *others: RemoteFile) -> None:
        at_once = min(concurrency, len(files))
        await fetch(file=file, overwrite=overwrite, ranges=ranges, at_once=at_once)
        for other in others:
            try:
                await fetch(file=other, overwrite=False)
            except DownloadError as error:
                raise _collision(other, file) from error
        done[name] = file
        if _is_renamed(name, file):
            logger.warning("%r of order %s is kept as %s", file.name, order.id, to.place(name))

    await fetch_all([partial(fetch_one, name, *same) for name, same in files.items()], concurrency, errors)
    return _downloaded_files(to, done, unverified={*files} - {name for name in done if done[name].checksum})


def _downloaded_files(
    to: Destination[Path | str], files: Mapping[str, RemoteFile], *, unverified: set[str]
) -> DownloadedFiles:
    """Return where the files are, by the names that they are kept under."""
    places = {name: to.place(name) for name in sorted(files, key=PurePosixPath)}
    downloaded = DownloadedFiles(places.values())
    for name, place in places.items():
        file = files[name]
        if file.checksum is not None:
            downloaded.checksums[place] = str(file.checksum)
        if _is_renamed(name, file):
            downloaded.renamed[place] = file.name
    downloaded.unverified = tuple(place for name, place in places.items() if name in unverified)
    return downloaded


def _is_renamed(name: str, file: RemoteFile) -> bool:
    return PurePosixPath(name) != PurePosixPath(file.name)


def _by_name(
    to: Destination[Path | str], files: Iterable[RemoteFile]
) -> tuple[dict[str, list[RemoteFile]], list[PlanetError]]:
    """Return the files by the name that they are kept under, and errors for those written over others.

    There are several of a name where one is listed more than once, and no checksum says that it is the same.
    """
    by_name: dict[str, list[RemoteFile]] = {}
    errors: list[PlanetError] = []
    taken: dict[str, RemoteFile] = {}
    for file in files:
        try:
            name = to.name(file.name)
        except UnsafeName as error:
            errors.append(error)
            continue
        names = to.names(name)
        other = next((taken[each] for each in names if each in taken), None)
        if other is None:
            by_name[name] = [file]
            taken.update(dict.fromkeys(names, file))
        elif name not in by_name or file.checksum != other.checksum:
            errors.append(_collision(file, other))
        elif file.checksum is None and file.request.url != other.request.url:
            by_name[name].append(file)
    return by_name, errors


def _collision(file: RemoteFile, other: RemoteFile) -> DownloadError:
    return DownloadError(f"{file.name!r} and {other.name!r} of the order cannot both be in one folder")


def _missing_files(order: Order, expected: Iterable[str]) -> list[PlanetError]:
    listed = {_in_manifest(order.id, result.name) for result in order.results}
    missing = [name for name in expected if name not in listed]
    if not missing:
        return []
    names = ", ".join(missing[:_MAX_NAMES_SHOWN]) + (", ..." if len(missing) > _MAX_NAMES_SHOWN else "")
    return [
        DownloadError(
            f"order {order.id} offers {len(missing)} of the files of its manifest not for download: {names}",
            hint="All others were downloaded. Try again later, or ask Planet for the missing ones.",
        )
    ]


def _unverifiable(file: RemoteFile) -> DownloadError:
    return DownloadError(
        f"{file.name} cannot be verified: no manifest has a checksum of it that can be compared",
        hint="Without require_checksums it is downloaded, and listed as unverified.",
    )


def _in_manifest(order_id: str, name: str) -> str:
    """Return the name that a manifest has for a file: below the folder of the order, in its plainest form."""
    path = PurePosixPath(posixpath.normpath(unicodedata.normalize("NFC", name).lstrip("/")))
    return str(path.relative_to(order_id) if path.is_relative_to(order_id) else path)


def open_result(api: Api, result: OrderResult) -> AbstractAsyncContextManager[OpenFile]:
    """Open one file of an order; see `Orders.open`."""
    if not result.location:
        raise OrderNotDownloadable(f"{result.name} has no link to download it from")
    return api.open(_link(api, result), lambda _: result.name)


def downloadable(order: Order) -> list[OrderResult]:
    """Return the results to fetch; raise OrderNotDownloadable where there are none, with the reason."""
    if not order.state.is_final:
        raise OrderNotDownloadable(
            f"order {order.id} is {order.state}",
            hint="Wait for it first: `orders.wait`, or `planet-async orders wait`.",
        )
    if order.state in ENDED_BADLY:
        reasons = "; ".join(order.error_hints) or order.last_message or "the API gives no reason"
        raise OrderNotDownloadable(
            f"order {order.id} is {order.state}: {reasons}", error_hints=order.error_hints
        )
    if order.delivered_to:
        raise OrderNotDownloadable(
            f"order {order.id} was delivered to {order.delivered_to}",
            hint="Fetch its files there.",
            delivered_to=order.delivered_to,
        )
    results = [result for result in order.results if result.location]
    missing = [result.name for result in order.results if not result.location]
    if not results or (missing and order.state is OrderState.SUCCESS):
        what = f"has no link for {missing[0]}" if missing else "lists no files"
        raise OrderNotDownloadable(f"order {order.id} is {order.state} and {what}")
    return results


def _has_fresh_links(api: Api, order: Order) -> bool:
    expiries = [result.expires_at for result in order.results if result.expires_at is not None]
    return bool(order.links.get("results")) and api.is_fresh(min(expiries, default=None))


class _Links:
    """The links of one order, read again once for all its files when one of them has expired."""

    def __init__(self, api: Api, order: Order, get: Callable[[str], Awaitable[Order]]) -> None:
        self._api = api
        self._get = get
        self._order = order
        self._renewing = anyio.Lock()

    def file(self, result: OrderResult, expected: Mapping[str, ManifestFile]) -> RemoteFile:
        """Return what is to be fetched for a result."""

        async def renew(expired: Request) -> Request:
            async with self._renewing:
                renewed = self._request(result.name).url != expired.url
                if not (renewed and _has_fresh_links(self._api, self._order)):
                    self._order = await self._get(self._order.id)
                return self._request(result.name)

        request = _link(self._api, result)
        entry = expected.get(_in_manifest(self._order.id, result.name))
        if entry is None:
            return RemoteFile(result.name, request, renew=renew)
        size = entry.size if entry.size is not None and 0 <= entry.size <= sys.maxsize else None
        return RemoteFile(result.name, request, size, entry.digests, renew)

    def _request(self, name: str) -> Request:
        result = next((result for result in downloadable(self._order) if result.name == name), None)
        if result is None:
            raise OrderNotDownloadable(f"order {self._order.id} no longer lists {name}")
        return _link(self._api, result)


def _link(api: Api, result: OrderResult) -> Request:
    return api.file_request("/compute/ops/download/", result.location or "", "orders.download")


async def _expected_files(
    to: Destination[Path | str], name: str, order_id: str, most: int
) -> dict[str, ManifestFile]:
    body, place = await to.read(name, most), to.place(name)
    if body is None:
        raise BodyTooLarge(f"{place} is longer than {most:,} bytes", hint="Raise Config(max_body_bytes=...).")
    try:
        return {_in_manifest(order_id, file.path): file for file in decode(Manifest, body).files}
    except DecodeError as error:
        raise DecodeError(f"{place} is not the manifest of an order: {error}") from error
