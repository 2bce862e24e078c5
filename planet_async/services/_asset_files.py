"""The files of assets: their links, names and checksums, and downloading them concurrently."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path, PurePath
from urllib.parse import unquote, urlsplit

import anyio

from planet_async._tasks import fetch_all
from planet_async.downloads.destination import Destination
from planet_async.downloads.remote_file import OpenFile, ProgressCallback, RemoteFile
from planet_async.downloads.transfer import LINK_REFUSED
from planet_async.errors import AssetNotDownloadable, StatusError
from planet_async.http import Request, Response
from planet_async.models.data import Asset, AssetStatus
from planet_async.models.orders import DownloadedFiles
from planet_async.services._api import Api
from planet_async.services._served_files import ServedFiles, plain_name, served_name

Activated = Callable[[Asset], Awaitable[Asset]]
"""Returns an asset once it is active."""


async def download_assets(
    api: Api,
    assets: Sequence[Asset],
    activated: Activated,
    renewed: Activated,
    to: Destination[Path | str],
    *,
    overwrite: bool,
    concurrency: int,
    progress: ProgressCallback | None,
) -> DownloadedFiles:
    """Wait for each asset and fetch it, with a new link where the one it has is refused."""
    checksums: dict[Path | str, str | None] = {}
    limit = anyio.Semaphore(concurrency)
    at_once = min(concurrency, len(assets))
    served = ServedFiles(api, to, overwrite=overwrite, at_once=at_once, progress=progress)

    async def fetch(asset: Asset) -> None:
        asset = await activated(asset)
        async with limit:
            if not has_fresh_link(api, asset):
                asset = await renewed(asset)
            request, response = await opened(asset)
            try:
                await fetch_opened(asset, request, response)
            finally:
                await response.aclose()

    async def opened(asset: Asset) -> tuple[Request, Response]:
        request = link(api, asset)
        try:
            return request, await api.send(request)
        except StatusError as error:
            if error.status not in LINK_REFUSED:
                raise
        request = link(api, await renewed(asset))
        return request, await api.send(request)

    async def fetch_opened(asset: Asset, request: Request, response: Response) -> None:
        name = file_name(asset, response)

        async def renew(_: Request) -> Request:
            return link(api, await renewed(asset))

        digests = {"md5": asset.md5_digest} if asset.md5_digest else {}
        file = RemoteFile(name, request, None, digests, renew)
        place = await served.fetch(file, response, f"{asset.item_id}_{asset.type}_{name}")
        checksums[place] = str(file.checksum) if file.checksum else None

    # All are activated at once, however few are fetched at a time.
    await fetch_all([partial(fetch, asset) for asset in assets], max(1, len(assets)))
    downloaded = DownloadedFiles(sorted(checksums, key=PurePath))
    downloaded.checksums = {place: checksum for place, checksum in checksums.items() if checksum}
    downloaded.unverified = tuple(sorted(checksums.keys() - downloaded.checksums.keys(), key=PurePath))
    return downloaded


def open_asset(api: Api, asset: Asset) -> AbstractAsyncContextManager[OpenFile]:
    """Open an active asset; see `Data.open`."""
    return api.open(link(api, asset), partial(file_name, asset))


def described(asset: Asset) -> str:
    """Return what errors call an asset."""
    return f"{asset.type} of {asset.item_type} {asset.item_id}" if asset.item_id else asset.type


def check_permission(asset: Asset) -> None:
    """Raise AssetNotDownloadable for an asset that may not be downloaded."""
    if asset.permissions is not None and "download" not in asset.permissions:
        missing = f"assets.{asset.type}:download"
        raise AssetNotDownloadable(
            f"{described(asset)} may not be downloaded: the permission {missing} is missing",
            hint="The plan of the account has to include it.",
            missing_permission=missing,
        )


def has_fresh_link(api: Api, asset: Asset) -> bool:
    """Return whether an asset can be downloaded now, and for a while."""
    is_active = asset.status is AssetStatus.ACTIVE and bool(asset.location)
    return is_active and api.is_fresh(asset.expires_at)


def link(api: Api, asset: Asset) -> Request:
    """Return the request for the file of an active asset."""
    check_permission(asset)
    if not asset.location:
        raise AssetNotDownloadable(
            f"{described(asset)} is {asset.status}, and has no link to download it from",
            hint="`data.activate` and `data.wait` make it active.",
        )
    return api.file_request("/data/v1/", asset.location, "data.download")


def file_name(asset: Asset, response: Response) -> str:
    """Return the file name of the response's headers, or of its address, or else one of our own."""
    path = urlsplit(response.url).path
    of_address = unquote(path.rpartition("/")[2])
    return (
        served_name(response)
        or ("" if path.endswith("/download") else plain_name(of_address))
        or f"{asset.item_id}_{asset.type}"
    )
