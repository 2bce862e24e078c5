"""The simulated Reports API: https://docs.planet.com/develop/apis/reports/."""

import calendar
import gzip
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from hashlib import blake2b
from typing import Any
from urllib.parse import parse_qsl, urlencode

from attrs import field, frozen, validators

from planet_async.simulator.http import Refused, Route, ServerRequest, ServerResponse, json_answer
from planet_async.simulator.world import Context

REPORTS = "/reports/v1/"
MAX_PAGE_SIZE = 500  # no maximum is documented: ours [L]

_TYPES = ("detailed", "summary")
_CADENCES = ("daily", "monthly")
_DAY = timedelta(days=1)
_ASSETS = ("ortho_analytic_4b", "ortho_visual", "basic_udm2")
_COLUMNS = {
    "detailed": "date,item_type,item_id,asset_type,user_email,area_sqkm",
    "summary": "date,item_type,user_email,items,area_sqkm",
}  # no column is documented [L]


@frozen(kw_only=True)
class ReportPlan:
    """Whose usage the simulated reports are on, and what they look like.

    Of each plan there is a detailed and a summary report for each GMT day, from `days` before the simulator
    began, and for each month of which all is covered; a new one comes up at midnight.  A report has `rows`
    rows, `part_rows` at most in each of its parts, which are CSV, or gzip of it (`packed`).  Without
    `administrator` the key belongs to nobody who may see them.
    """

    org_id: int = 31743
    plan_ids: tuple[int, ...] = (5120,)
    days: int = field(default=40, validator=validators.ge(0))
    rows: int = field(default=25, validator=validators.ge(0))
    part_rows: int = field(default=1000, validator=validators.ge(1))
    packed: bool = False
    administrator: bool = True


@frozen
class _Report:
    """One report; ids rise with the day it came up."""

    id: int
    plan_id: int
    type: str
    cadence: str
    start: date
    end: date


class ReportsApi:
    """Answers the calls of the Reports API: no report is kept, each is what its day makes it."""

    def __init__(self, world: Context, *, plan: ReportPlan, page_size: int) -> None:
        self._world = world
        self._plan = plan
        self._page_size = page_size
        self._first = self._today() - plan.days * _DAY

    def routes(self) -> Iterable[Route]:
        """Give the operations."""
        return (
            Route("GET", REPORTS, "reports.list", self.list_reports),
            Route("GET", f"{REPORTS}{{id}}", "reports.get", self.get),
            # The path is ours: the real one is not public, and clients follow links [L].
            Route("GET", f"{REPORTS}{{id}}/{{id}}", "reports.download", self.content),
        )

    def list_reports(self, call: ServerRequest) -> ServerResponse:
        """List reports, the oldest first [L]."""
        self._admit()
        types, cadences = _words(call, "report_type", _TYPES), _words(call, "cadence", _CADENCES)
        start, end = _day(call, "start"), _day(call, "end")
        plan_id = _whole(call, "plan_id", None, 0)
        if _whole(call, "org_id", self._plan.org_id, 0) != self._plan.org_id:
            raise Refused(_refusal(403, "Forbidden"))
        after = _whole(call, "after", -1, 0) or 0
        offset = _whole(call, "offset", 0, 0) or 0
        size = _whole(call, "page_size", self._page_size, 1) or self._page_size
        found = [
            report
            for report in self._reports()
            if report.type in types
            and report.cadence in cadences
            and plan_id in {None, report.plan_id}
            and report.id > after
            and (start is None or report.start >= start)  # all of a report is within the days [L]
            and (end is None or report.end <= end)
        ][offset:]
        page = found[: min(size, MAX_PAGE_SIZE)]
        links = {"_self": self._link(call.query)}
        if len(found) > len(page):
            kept = [pair for pair in parse_qsl(call.query) if pair[0] not in {"after", "offset"}]
            links["_next"] = self._link(urlencode([*kept, ("after", page[-1].id)]))
        return json_answer({"reports": [self._render(report) for report in page], "_links": links})

    def get(self, call: ServerRequest, report_id: str) -> ServerResponse:
        """Describe one report."""
        self._admit()
        return json_answer(self._render(self._find(report_id)))

    def content(self, call: ServerRequest, report_id: str, part: str) -> ServerResponse:
        """Give one part of a report; parts are counted from 1."""
        self._admit()
        report = self._find(report_id)
        if part not in map(str, range(1, self._parts + 1)):
            raise Refused(_refusal(404, "Not Found"))
        text = "".join(f"{line}\r\n" for line in self._lines(report, int(part))).encode()
        name = f"{report.plan_id}_{report.type}_{report.start}_{report.end}_{part}.csv"
        media_type = "text/csv"
        if self._plan.packed:
            text, name, media_type = gzip.compress(text, mtime=0), f"{name}.gz", "application/gzip"
        return ServerResponse(
            200,
            {"content-type": media_type, "content-disposition": f'attachment; filename="{name}"'},
            text,
        )

    @property
    def _parts(self) -> int:
        return -(-self._plan.rows // self._plan.part_rows)

    def _admit(self) -> None:
        if not self._plan.administrator:
            raise Refused(_refusal(403, "Forbidden"))

    def _today(self) -> date:
        return datetime.fromtimestamp(self._world.now() // 1_000_000, UTC).date()

    def _reports(self) -> Iterator[_Report]:
        """Yield what there is by now, the oldest first."""
        day = self._first
        while day < self._today():
            number = day.toordinal() * 1000
            for plan_id in self._plan.plan_ids:
                for kind in _TYPES:
                    for cadence in _CADENCES:
                        start = day if cadence == "daily" else day.replace(day=1)
                        whole_month = day.day == calendar.monthrange(day.year, day.month)[1]
                        number += 1
                        if cadence == "daily" or (whole_month and start >= self._first):
                            yield _Report(number, plan_id, kind, cadence, start, day)
            day += _DAY

    def _find(self, report_id: str) -> _Report:
        for report in self._reports():
            if str(report.id) == report_id:
                return report
        raise Refused(_refusal(404, "Not Found"))

    def _render(self, report: _Report) -> dict[str, Any]:
        url = f"{self._world.base_url}{REPORTS}{report.id}"
        return {
            "report_id": str(report.id),
            "contents": [f"{url}/{part}" for part in range(1, self._parts + 1)],
            "org_id": self._plan.org_id,
            "plan_id": report.plan_id,
            "data_date_start": report.start.isoformat(),
            "data_date_end": report.end.isoformat(),
            "report_type": report.type,
            "num_rows": self._plan.rows,
            "cadence": report.cadence,
            "has_footprint": False,
            "_links": {"self": url},
        }

    def _lines(self, report: _Report, part: int) -> Iterator[str]:
        yield _COLUMNS[report.type]
        first = (part - 1) * self._plan.part_rows
        days = (report.end - report.start).days + 1
        for row in range(first, min(self._plan.rows, first + self._plan.part_rows)):
            noise = blake2b(f"{report.id}/{row}".encode(), digest_size=4).hexdigest()
            day, area = report.start + (row % days) * _DAY, f"{int(noise[:4], 16) / 100:.2f}"
            user = f"user{row % 3}@example.com"
            if report.type == "summary":
                yield f"{day},PSScene,{user},{row + 1},{area}"
            else:
                item = f"{day:%Y%m%d}_{row:06}_{noise[4:]}"
                yield f"{day},PSScene,{item},{_ASSETS[row % len(_ASSETS)]},{user},{area}"

    def _link(self, query: str) -> str:
        return f"{self._world.base_url}{REPORTS}{'?' if query else ''}{query}"


def _refusal(status: int, reason: str) -> ServerResponse:
    return json_answer({"reason": f" {reason}"}, status)  # the space is the real one's [H]


def _words(call: ServerRequest, name: str, known: tuple[str, ...]) -> tuple[str, ...]:
    if name not in call.params:
        return known
    if call.param(name) not in known:
        raise Refused(_refusal(400, "Invalid Type"))
    return (call.param(name),)


def _whole(call: ServerRequest, name: str, default: int | None, least: int) -> int | None:
    if name not in call.params:
        return default
    text = call.param(name)
    if not (text.isascii() and text.isdigit()) or int(text) < least:
        raise Refused(_refusal(400, "Invalid Type"))
    return int(text)


def _day(call: ServerRequest, name: str) -> date | None:
    if name not in call.params:
        return None
    try:
        return date.fromisoformat(call.param(name))
    except ValueError:
        raise Refused(_refusal(400, "Invalid Type")) from None
