"""The files of an order: which there are, what their bytes must be, and downloading them concurrently."""

import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path, PurePosixPath

import anyio
from attrs import evolve

from planet_async._tasks import fetch_all, run_in_thread
from planet_async.downloads.download import download
from planet_async.downloads.remote_file import OpenFile, ProgressCallback, RemoteFile
from planet_async.downloads.segments import PART_ENDS
from planet_async.errors import BodyTooLarge, DecodeError, DownloadError, OrderNotDownloadable, PlanetError
from planet_async.http import Request, link_target
from planet_async.models.codec import decode
from planet_async.models.delivery import DELIVERIES
from planet_async.models.orders import ENDED_BADLY, Manifest, ManifestFile, Order, OrderResult, OrderState
from planet_async.services._api import Api

_IGNORES_CASE = sys.platform in {"win32", "darwin"}  # "A" and "a" are one file
_MANIFEST = "manifest.json"
_FRESH = timedelta(seconds=60)  # links that expire sooner are renewed first


async def download_order(
    api: Api,
    order: Order,
    get: Callable[[str], Awaitable[Order]],
    folder: Path,
    *,
    overwrite: bool,
    concurrency: int,
    ranges: int,
    progress: ProgressCallback | None,
) -> list[Path]:
    """Fetch the manifest, then all other files; see `Orders.download`."""
    if order.state not in ENDED_BADLY and (order.is_listed or not _has_fresh_links(api, order)):
        order = await get(order.id)
    results = downloadable(order)
    links = _Links(api, order, get)
    fetch = partial(
        download,
        api.transport,
        folder=folder,
        clock=api.clock,
        max_attempts=api.config.max_attempts,
        progress=progress,
    )
    paths, expected = [], dict[str, ManifestFile]()
    manifest = next((result for result in results if result.name == f"{order.id}/{_MANIFEST}"), None)
    if manifest is not None:
        # A manifest has no checksum to compare: it is fetched anew, over that of an earlier call.
        file = evolve(links.file(manifest, expected), most=api.config.max_body_bytes)
        paths.append(await fetch(file=file, overwrite=True))
        expected = await _expected_files(paths[0], order.id, api.config.max_body_bytes)
        results = [result for result in results if result.name != manifest.name]
    files, errors = _one_of_a_name([links.file(result, expected) for result in results])

    async def fetch_one(file: RemoteFile) -> None:
        at_once = min(concurrency, len(files))
        paths.append(await fetch(file=file, overwrite=overwrite, ranges=ranges, at_once=at_once))

    await fetch_all([partial(fetch_one, file) for file in files], concurrency, errors)
    return sorted(paths)


def _one_of_a_name(files: list[RemoteFile]) -> tuple[list[RemoteFile], list[PlanetError]]:
    """Leave out files that are listed twice; return errors for those that would be written over others."""
    kept: list[RemoteFile] = []
    errors: list[PlanetError] = []
    taken: dict[str, str] = {}
    for file in files:
        name = str(PurePosixPath(file.name))
        names = [(name + end).casefold() if _IGNORES_CASE else name + end for end in ("", *PART_ENDS)]
        other = next((taken[one] for one in names if one in taken), None)
        if other is None:
            kept.append(file)
            taken.update(dict.fromkeys(names, file.name))
        elif other != file.name or file.checksum is None:
            errors.append(
                DownloadError(f"{file.name!r} and {other!r} of the order cannot both be in one folder")
            )
    return kept, errors


@asynccontextmanager
async def open_result(api: Api, result: OrderResult) -> AsyncGenerator[OpenFile]:
    """Open one file of an order; see `Orders.open`."""
    if not result.location:
        raise OrderNotDownloadable(f"{result.name} has no link to download it from")
    response = await api.transport.send(_link(api, result))
    try:
        yield OpenFile(result.name, response)
    finally:
        await response.aclose()


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
    elsewhere = _delivered_to(order)
    if elsewhere:
        raise OrderNotDownloadable(
            f"order {order.id} was delivered to {elsewhere}", hint="Fetch its files there."
        )
    results = [result for result in order.results if result.location]
    missing = [result.name for result in order.results if not result.location]
    if not results or (missing and order.state is OrderState.SUCCESS):
        what = f"has no link for {missing[0]}" if missing else "lists no files"
        raise OrderNotDownloadable(f"order {order.id} is {order.state} and {what}")
    return results


def _delivered_to(order: Order) -> str:
    places = [name for name in (order.delivery or {}) if name in DELIVERIES]
    return ", ".join(places + [f"hosting at {name}" for name in (order.hosting or {})])


def _has_fresh_links(api: Api, order: Order) -> bool:
    soon = api.clock.now() + _FRESH
    return bool(order.results) and all(
        result.expires_at is None or result.expires_at > soon for result in order.results
    )


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
        entry = expected.get(result.name)
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
    location = link_target(api.config.base_url + "/compute/ops/download/", result.location or "")
    return api.request("GET", location, "orders.download", stream=True)


async def _expected_files(path: Path, order_id: str, most: int) -> dict[str, ManifestFile]:
    try:
        body = await run_in_thread(_read, path, most)
    except OSError as error:
        raise DownloadError(f"cannot read {path}: {error.strerror or error}") from error
    if body is None:
        raise BodyTooLarge(f"{path} is longer than {most:,} bytes", hint="Raise Config(max_body_bytes=...).")
    try:
        # Its paths leave out the folder of the order.
        return {f"{order_id}/{file.path}": file for file in decode(Manifest, body).files}
    except DecodeError as error:
        raise DecodeError(f"{path} is not the manifest of an order: {error}") from error


def _read(path: Path, most: int) -> bytes | None:
    return path.read_bytes() if path.stat().st_size <= most else None
