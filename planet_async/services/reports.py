"""Reports: the usage of an organization's plans, for its administrators.

Planet's reference lists more, whose routes are not public: reports on sub-organizations, Planetary Variables,
tiles, tasking and footprints.  `planet.request("GET", "/reports/v1/...")` reaches any of them, and a report
decoded from there can be passed to the methods here.
"""

import builtins
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Unpack

from attrs import evolve

from planet_async._tasks import fetch_all
from planet_async.downloads.progress_bar import ProgressBar
from planet_async.downloads.remote_file import OpenFile, ProgressCallback, RemoteFile
from planet_async.errors import DownloadError, InvalidRequest
from planet_async.http import Request, Response
from planet_async.layers.compression import Gunzip, decompressed
from planet_async.models.reports import Report
from planet_async.paging import REPORTS_PAGES, Paginator
from planet_async.services._api import Api
from planet_async.services._csv import CsvRows
from planet_async.services._query import filter_params, folder, optional_whole, params, shown, whole
from planet_async.services._served_files import ServedFiles, served_name
from planet_async.services.filters import ReportFilters

_REPORTS = "/reports/v1/"
_ID = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_EXTENSIONS = {
    "application/gzip": ".csv.gz",
    "application/json": ".json",
    "application/x-gzip": ".csv.gz",
    "application/zip": ".zip",
    "text/csv": ".csv",
    "text/plain": ".txt",
}


class Reports:
    """The usage reports of an organization: `planet.reports`.

    `get` and `list`; `download`, `open` and `rows` for what a report contains.

    What holds for every method:

    - Only the key of an Organization Administrator opens them: Forbidden for all others.
    - An id is a text or a number.  Where a report is expected, its id will do.
    - A report has one part or several, counted from 0; one without rows may have none.

    Raises:
        InvalidRequest: an argument cannot be right; nothing was sent.
        StatusError: the API refuses the request.
        TransportError: no response came.
        DecodeError: the response is not what the API documents.

    See https://docs.planet.com/develop/apis/reports/reference/
    """

    def __init__(self, api: Api) -> None:
        self._api = api

    async def get(self, report_id: str | int) -> Report:
        """Return one report."""
        return await self._api.fetch(Report, self._get_request(report_id))

    def list(
        self,
        *,
        page_size: int | None = None,
        after: str | int | None = None,
        offset: int | None = None,
        **filters: Unpack[ReportFilters],
    ) -> Paginator[Report]:
        """List reports.

            async for report in planet.reports.list(report_type="detailed", start="2026-05-01"):
                await planet.reports.download(report, to="usage")

        Args:
            page_size: How many reports there are in one response; by default what the API chooses.
            after: The id of a report: the list begins with the one behind it.
            offset: How many reports to leave out at the beginning.
            **filters: See `ReportFilters`; all of them have to hold.
        """
        query = filter_params(ReportFilters, filters)
        days = dict(query)
        if "start" in days and "end" in days and days["end"] < days["start"]:
            raise InvalidRequest(f"the end ({days['end']}) is before the start ({days['start']})")
        paging = params(
            page_size=optional_whole("page_size", page_size),
            after=None if after is None else _checked_id(after),
            offset=optional_whole("offset", offset, least=0),
        )
        first = self._api.request("GET", _REPORTS, "reports.list", params=query + paging)
        return self._api.paginate(Report, first, REPORTS_PAGES)

    async def download(
        self,
        report: Report | str | int,
        to: str | Path,
        *,
        overwrite: bool = False,
        concurrency: int = 2,
        progress: ProgressCallback | bool | None = None,
    ) -> "builtins.list[Path]":
        """Download all parts of a report into the folder `to`, and return their paths, in order.

        A file has the name that the server gives it, or else ``{report_id}_{part}``; it is named `NAME.part`
        until it is complete.  All parts are tried before the first error is raised.

        Args:
            report: The report, or its id.
            to: The folder; it is made where it does not exist.
            overwrite: Replace files of the same name, instead of raising an error.
            concurrency: How many parts are fetched at a time.
            progress: True for a bar in a notebook (tqdm) or on a terminal (Rich); or a function, called
                with a `Progress` as bytes arrive.

        Raises:
            DownloadError: a part cannot be fetched or written, or the report has nothing to download (yet).
        """
        concurrency, where, bar = whole("concurrency", concurrency), folder("to", to), ProgressBar(progress)
        report = await self._with_contents(report)
        if not report.contents and report.num_rows != 0:
            self._part_request(report, 0)  # which says why there is none
        requests = [self._part_request(report, part) for part in range(len(report.contents))]
        paths: dict[int, Path] = {}
        at_once = min(concurrency, len(requests))
        served = ServedFiles(self._api, where, overwrite=overwrite, at_once=at_once, progress=bar.callback)

        async def fetch(part: int, request: Request) -> None:
            response = await self._api.send(request)
            try:
                name = file_name(report, part, response)
                file = RemoteFile(name, request)
                paths[part] = await served.fetch(file, response, f"{report.report_id}_{part}_{name}")
            finally:
                await response.aclose()

        with bar:
            await fetch_all([partial(fetch, part, each) for part, each in enumerate(requests)], concurrency)
        return [paths[part] for part in sorted(paths)]

    @asynccontextmanager
    async def open(self, report: Report | str | int, part: int = 0) -> AsyncGenerator[OpenFile]:
        """Open one part of a report for reading, without a copy on disk.

        async with planet.reports.open(report) as file:
            async for chunk in file:
                ...
        """
        report = await self._with_contents(report)
        request = self._part_request(report, part)
        async with self._api.open(request, partial(file_name, report, part)) as file:
            yield file

    def rows(self, report: Report | str | int, part: int = 0) -> AsyncIterator[Mapping[str, str]]:
        """Iterate over the rows of a part, each a mapping by the columns of its header.

        Nothing is sent before the first row is asked for, and leaving the loop closes the connection.

            async for row in planet.reports.rows(report):
                print(row["item_id"])

        Raises:
            DecodeError: the part is not CSV, nor CSV packed with gzip.
        """
        shown = self._get_request(report.report_id if isinstance(report, Report) else report)

        async def open_text() -> Response:
            request = self._part_request(await self._with_contents(report), part)
            return decompressed(await self._api.send(request), request, Gunzip())

        return CsvRows(open_text, evolve(shown, operation="reports.download"))

    def _get_request(self, report_id: str | int) -> Request:
        return self._api.request("GET", _REPORTS + _checked_id(report_id), "reports.get")

    async def _with_contents(self, report: Report | str | int) -> Report:
        """Return the report with its contents, requested again where it shows none."""
        if not isinstance(report, Report):
            return await self.get(report)
        return report if report.contents or report.num_rows == 0 else await self.get(report.report_id)

    def _part_request(self, report: Report, part: int) -> Request:
        """Return the request for a part, by the link of the server."""
        count = len(report.contents)
        if not 0 <= whole("part", part, least=0) < count:
            raise DownloadError(
                f"report {report.report_id} has no part {part}: it has {count}, counted from 0",
                hint=f"Its status is {report.status}." if report.status else "",
            )
        return self._api.file_request(_REPORTS, report.contents[part], "reports.download")


def file_name(report: Report, part: int, response: Response) -> str:
    """Return the name that the server gives the file if that is a safe one, or else one of our own."""
    name = served_name(response)
    if not name:
        media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        name = f"{report.report_id}_{part}{_EXTENSIONS.get(media_type, '')}"
    # The bytes are kept as they come.
    packed = "gzip" in response.headers.get("content-encoding", "").lower()
    return f"{name}.gz" if packed and not name.endswith(".gz") else name


def _checked_id(value: object) -> str:
    text = value if isinstance(value, str) else str(whole("a report id", value, least=0))
    if not _ID.fullmatch(text):
        raise InvalidRequest(f"{shown(value)} is no report id; nothing was sent")
    return text
