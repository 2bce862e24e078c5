"""Reports: the usage of an organization's plans, for its administrators.

| method | route below /reports/v1 | page below https://docs.planet.com/develop/apis |
| --- | --- | --- |
| `list` | GET / | reports/reference |
| `get` | GET /{report_id} | reports/reference |
| `download`, `open`, `rows` | GET the addresses in `contents` of a report | reports/reference |

Planet's reference lists more, whose routes are not public: reports on sub-organizations, Planetary Variables,
tiles, tasking and footprints.  `planet.request("GET", "/reports/v1/...")` reaches any of them, and a report
decoded from there can be given to the methods here.
"""

import builtins
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import date, datetime
from email.message import Message
from functools import partial
from pathlib import Path

from attrs import evolve

from planet_async._tasks import fetch_all
from planet_async.downloads.download import download
from planet_async.downloads.part_file import PART_ENDS
from planet_async.downloads.remote_file import (
    OpenFile,
    ProgressCallback,
    RemoteFile,
    safe_path,
    target_folder,
)
from planet_async.errors import DownloadError, InvalidRequest, UnsafeName
from planet_async.http import Request, Response, Transport, link_target
from planet_async.layers.compression import Gunzip, unpacked
from planet_async.models.reports import Report
from planet_async.paging import REPORTS_PAGES, Paginator
from planet_async.services._api import Api
from planet_async.services._csv import CsvRows
from planet_async.services._query import positive, query

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
        is_plain = safe_path(Path(), name) == Path(name)
    except UnsafeName:
        return ""
    hidden = name.startswith(".")
    return (
        ""
        if hidden or not is_plain or "/" in name or len(name.encode(errors="replace")) > _LONGEST_NAME
        else name
    )


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


_REPORTS = "/reports/v1/"
_ID = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)

Day = date | str
"""A GMT day: a date, or a text like ``"2026-05-01"``."""


class Reports:
    """The usage reports of an organization: `planet.reports`.

    Only the key of an Organization Administrator opens them: Forbidden for all others.  Everything here
    raises StatusError where the API refuses, TransportError where no answer came, DecodeError where the
    answer is not what the API documents, and InvalidRequest before anything is sent.
    """

    def __init__(self, api: Api) -> None:
        self._api = api

    def list(
        self,
        *,
        org_id: int | None = None,
        plan_id: int | None = None,
        report_type: str | None = None,
        cadence: str | None = None,
        start: Day | None = None,
        end: Day | None = None,
        page_size: int | None = None,
        after: str | int | None = None,
        offset: int | None = None,
    ) -> Paginator[Report]:
        """List reports; the filters are those of the API.

        `start` and `end` are GMT days, both inclusive.  `report_type` is detailed or summary, `cadence` daily
        or monthly.  Without an `org_id` it is the organization of the key.  `after` is the id of a report:
        the list begins with the one behind it; `offset` leaves out so many.

            async for report in planet.reports.list(report_type="detailed", start="2026-05-01"):
                await planet.reports.download(report, to="usage")
        """
        first_day, last_day = _day("start", start), _day("end", end)
        if first_day is not None and last_day is not None and last_day < first_day:
            raise InvalidRequest(f"the end ({last_day}) is before the start ({first_day})")
        if offset is not None and offset < 0:
            raise InvalidRequest(f"offset must be at least 0, not {offset}")
        params = query(
            org_id=positive("org_id", org_id),
            plan_id=positive("plan_id", plan_id),
            report_type=report_type,
            cadence=cadence,
            start=first_day,
            end=last_day,
            page_size=positive("page_size", page_size),
            after=None if after is None else _checked_id(after),
            offset=offset,
        )
        first = self._api.request("GET", _REPORTS, operation="reports.list", params=params)
        return self._api.paginate(Report, first, REPORTS_PAGES)

    async def get(self, report_id: str | int) -> Report:
        """Give one report; NotFound where there is none."""
        return await self._api.call(Report, self._get_request(_checked_id(report_id)))

    async def download(
        self,
        report: Report | str | int,
        to: str | Path,
        *,
        overwrite: bool = False,
        concurrency: int = 2,
        progress: ProgressCallback | None = None,
    ) -> "builtins.list[Path]":
        """Download all parts of a report into the folder `to`; give their paths in the order of the parts.

        A file has the name that the server gives it, or else ``{report_id}_{part}``, counted from 0; it is
        named `NAME.part` until it is whole.  A file of that name is an error unless `overwrite`.  All parts
        are tried before the first error is raised.  A report without rows may have no parts.

        Raises DownloadError, also for a report that has nothing to download (yet).
        """
        if concurrency < 1:
            raise InvalidRequest(f"concurrency must be at least 1, not {concurrency}")
        folder = target_folder(to)
        return await download_report(
            self._api,
            await self._whole(report),
            folder,
            overwrite=overwrite,
            concurrency=concurrency,
            progress=progress,
        )

    @asynccontextmanager
    async def open(self, report: Report | str | int, part: int = 0) -> AsyncGenerator[OpenFile]:
        """Open one part of a report for reading, without a copy on disk; parts are counted from 0.

        async with planet.reports.open(report) as file:
            async for chunk in file:
                ...
        """
        async with open_part(self._api, await self._whole(report), part) as file:
            yield file

    def rows(self, report: Report | str | int, part: int = 0) -> AsyncIterator[Mapping[str, str]]:
        """Iterate over the rows of a part, each a mapping by the columns of its header.

        For CSV, also packed with gzip; DecodeError for anything else.  Nothing is sent before the first row
        is asked for, and a `break` is always safe.

            async for row in planet.reports.rows(report):
                print(row["item_id"])
        """
        shown = report if isinstance(report, str | int) else report.report_id
        request = evolve(self._get_request(_checked_id(shown)), operation="reports.download")
        return CsvRows(PartText(self._api, partial(self._whole, report), part), request)

    async def _whole(self, report: Report | str | int) -> Report:
        """Give the report with its contents, asked for anew where it shows none."""
        if isinstance(report, str | int):
            return await self.get(report)
        return report if report.contents or report.num_rows == 0 else await self.get(report.report_id)

    def _get_request(self, report_id: str) -> Request:
        return self._api.request("GET", f"{_REPORTS}{report_id}", operation="reports.get")


def _checked_id(value: str | int) -> str:
    text = str(value)
    if not _ID.fullmatch(text):
        raise InvalidRequest(f"{text[:100]!r} is no report id; nothing was sent")
    return text


def _day(name: str, value: Day | None) -> str | None:
    if value is None:
        return None
    if isinstance(value, datetime):
        raise InvalidRequest(f"{name}: a day was expected, not a time: reports are on whole GMT days")
    try:
        return (date.fromisoformat(value) if isinstance(value, str) else value).isoformat()
    except (ValueError, AttributeError):
        raise InvalidRequest(f"{name}: {value!r} is no day like 2026-05-01") from None
