"""The files of a report: where they are, what they are called, and what is in them."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from email.message import Message
from functools import partial
from pathlib import Path

from planet_async.downloads.download import download
from planet_async.downloads.remote_file import OpenFile, ProgressCallback, RemoteFile, safe_path
from planet_async.downloads.side_by_side import fetch_all
from planet_async.downloads.stretches import PART_ENDS
from planet_async.errors import DownloadError, UnsafeName
from planet_async.http import Request, Response, Transport, link_target
from planet_async.models.reports import Report
from planet_async.packed.gunzip import Gunzip
from planet_async.packed.unpacking import unpacked
from planet_async.services._api import Api

_EXTENSIONS = {
    "application/gzip": ".csv.gz",
    "application/json": ".json",
    "application/x-gzip": ".csv.gz",
    "application/zip": ".zip",
    "text/csv": ".csv",
    "text/plain": ".txt",
}
_LONGEST_NAME = 200  # bytes: file systems take 255, and `.part` needs room


def content_request(api: Api, report: Report, part: int) -> Request:
    """Give the request for a part, by the link of the server; DownloadError where there is no such part."""
    if not 0 <= part < len(report.contents):
        count = len(report.contents)
        raise DownloadError(
            f"report {report.report_id} has no part {part}: it has {count}, counted from 0",
            hint=f"Its status is {report.status}." if report.status else "",
        )
    url = link_target(api.config.base_url + "/reports/v1/", report.contents[part])
    request = api.request("GET", url, operation="reports.download", stream=True)
    return request.with_headers({"accept": "*/*"})


def file_name(report: Report, part: int, response: Response) -> str:
    """Give the name that the server gives the file if that is a safe one, or else one of our own."""
    name = _server_name(response.headers.get("content-disposition", ""))
    if not name:
        media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        name = f"{report.report_id}_{part}{_EXTENSIONS.get(media_type, '')}"
    # The bytes are kept as they come.
    packed = "gzip" in response.headers.get("content-encoding", "").lower()
    return f"{name}.gz" if packed and not name.endswith(".gz") else name


def _server_name(disposition: str) -> str:
    header = Message()
    header["content-disposition"] = disposition
    name = header.get_filename() or ""
    try:
        safe_path(Path(), name)
    except UnsafeName:
        return ""
    hidden = name.startswith(".")
    return "" if hidden or "/" in name or len(name.encode(errors="replace")) > _LONGEST_NAME else name


@asynccontextmanager
async def open_part(api: Api, report: Report, part: int) -> AsyncGenerator[OpenFile]:
    """Open one part; see `Reports.open`."""
    response = await api.transport.send(content_request(api, report, part))
    try:
        yield OpenFile(file_name(report, part, response), response)
    finally:
        await response.aclose()


async def download_report(
    api: Api,
    report: Report,
    folder: Path,
    *,
    overwrite: bool,
    concurrency: int,
    progress: ProgressCallback | None,
) -> list[Path]:
    """Fetch all parts; see `Reports.download`."""
    if not report.contents and report.num_rows != 0:
        content_request(api, report, 0)
    paths: dict[int, Path] = {}
    taken: set[str] = set()

    async def fetch(part: int, request: Request) -> None:
        response = await api.transport.send(request)
        try:
            name = file_name(report, part, response)
            # The server calls several parts alike, or one like another that still arrives.
            if not taken.isdisjoint(_while_it_arrives(name)):
                name = f"{report.report_id}_{part}_{name}"
            taken.update(_while_it_arrives(name))
            paths[part] = await download(
                _Opened(api.transport, response),
                RemoteFile(name, request, OpenFile(name, response).size),
                folder,
                clock=api.clock,
                max_attempts=api.config.max_attempts,
                overwrite=overwrite,
                at_once=min(concurrency, len(requests)),
                progress=progress,
            )
        finally:
            await response.aclose()

    requests = [content_request(api, report, part) for part in range(len(report.contents))]
    fetches = [partial(fetch, part, request) for part, request in enumerate(requests)]
    await fetch_all(fetches, concurrency)
    return [paths[part] for part in sorted(paths)]


def _while_it_arrives(name: str) -> set[str]:
    return {(name + end).casefold() for end in ("", *PART_ENDS)}


class _Opened:
    """A transport whose first answer is there already: its headers told what to call the file."""

    def __init__(self, inner: Transport, response: Response) -> None:
        self._inner = inner
        self._response: Response | None = response

    async def send(self, request: Request) -> Response:
        """Give the answer that is there, or else ask."""
        response, self._response = self._response, None
        return response or await self._inner.send(request)

    async def aclose(self) -> None:
        """Close the transport inside."""
        await self._inner.aclose()


class PartText:
    """A transport whose answer is the text of a part, found by the report that it belongs to."""

    def __init__(self, api: Api, find: Callable[[], Awaitable[Report]], part: int) -> None:
        self._api = api
        self._find = find
        self._part = part

    async def send(self, request: Request) -> Response:
        """Give the text, unpacked."""
        content = content_request(self._api, await self._find(), self._part)
        return unpacked(await self._api.transport.send(content), content, Gunzip())

    async def aclose(self) -> None:
        """Close the network."""
        await self._api.transport.aclose()
