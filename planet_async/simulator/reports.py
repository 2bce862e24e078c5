"""The simulated Reports API: https://docs.planet.com/develop/apis/reports/."""

import calendar
import gzip
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from hashlib import blake2b
from itertools import islice
from operator import attrgetter
from typing import Any

from attrs import field, frozen, validators

from planet_async.simulator.context import Context
from planet_async.simulator.http import (
    Refused,
    Route,
    ServerRequest,
    ServerResponse,
    attachment,
    json_response,
)
from planet_async.simulator.lists import Filter, ListRules, Test, one_of

REPORTS = "/reports/v1/"

_TYPES = ("detailed", "summary")
_CADENCES = ("daily", "monthly")
_DAY = timedelta(days=1)
_ASSETS = ("ortho_analytic_4b", "ortho_visual", "basic_udm2")
_COLUMNS = {
    "detailed": "date,item_type,item_id,asset_type,user_email,area_sqkm",
    "summary": "date,item_type,user_email,items,area_sqkm",
}  # no column is documented [L]


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(text)
    return int(text)


def _compared(
    name: str, compare: Callable[[Any, Any], bool], parse: Callable[[str], Any] = _number
) -> Filter:
    """A field that compares so with the value."""

    def read(values: Sequence[str]) -> Test:
        value = parse(values[-1])
        return lambda report: compare(getattr(report, name), value)

    return read


_LIST = ListRules(
    refuse=lambda _, __: _error(400, "Invalid Type"),
    filters={
        "report_type": one_of(attrgetter("type"), _TYPES),
        "cadence": one_of(attrgetter("cadence"), _CADENCES),
        "plan_id": _compared("plan_id", operator.eq),
        "org_id": _compared("org_id", operator.eq),
        "after": _compared("id", operator.gt),
        "start": _compared("start", operator.ge, date.fromisoformat),  # all of a report is within [L]
        "end": _compared("end", operator.le, date.fromisoformat),
    },
    page_sizes=range(1, 501),  # no maximum is documented: ours [L]
)


@frozen(kw_only=True)
class ReportPlan:
    """The usage reports of the organization.

    For each plan there is a detailed and a summary report for each GMT day and for each month that is
    covered wholly; a new one appears at midnight.

    Args:
        org_id: The organization.
        plan_ids: The plans.
        days: How many days before the start of the simulator the first report is on.
        rows: The rows of a report.
        part_rows: The most rows of one part of a report.
        packed: The parts are compressed with gzip; else they are CSV.
        administrator: The key belongs to somebody who may read reports.
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
    """One report; ids increase with the day it appeared."""

    id: int
    org_id: int
    plan_id: int
    type: str
    cadence: str
    start: date
    end: date


class ReportsApi:
    """The operations of the Reports API: no report is kept, each is computed from its day."""

    def __init__(self, context: Context, *, plan: ReportPlan) -> None:
        self._context = context
        self._plan = plan
        self._first = self._today() - plan.days * _DAY

    def routes(self) -> Iterable[Route]:
        return (
            Route("GET", REPORTS, "reports.list", self.list_reports),
            Route("GET", f"{REPORTS}{{id}}", "reports.get", self.get),
            # The path is ours: the real one is not public, and clients follow links [L].
            Route("GET", f"{REPORTS}{{id}}/{{id}}", "reports.download", self.content),
        )

    def list_reports(self, request: ServerRequest) -> ServerResponse:
        """List reports, the oldest first [L]."""
        self._check_administrator()
        tests = _LIST.tests(request)
        size = _LIST.size(request, self._context.page_size)
        offset = _LIST.read(request, "offset", int, 0)
        if offset < 0:
            raise Refused(_error(400, "Invalid Type"))
        if int(request.param("org_id") or self._plan.org_id) != self._plan.org_id:
            raise Refused(_error(403, "Forbidden"))
        wanted = (report for report in self._reports() if all(test(report) for test in tests))
        found = list(islice(wanted, offset, offset + size + 1))
        page = found[:size]
        url = f"{self._context.base_url}{REPORTS}"
        links = {"_self": request.link(url)}
        if len(found) > size:
            links["_next"] = request.link(url, after=page[-1].id, offset=None)
        return json_response({"reports": [self._render(report) for report in page], "_links": links})

    def get(self, request: ServerRequest, report_id: str) -> ServerResponse:
        self._check_administrator()
        return json_response(self._render(self._find(report_id)))

    def content(self, request: ServerRequest, report_id: str, part: str) -> ServerResponse:
        """Return one part of a report; parts are counted from 1."""
        self._check_administrator()
        report = self._find(report_id)
        if part not in map(str, range(1, self._parts + 1)):
            raise Refused(_error(404, "Not Found"))
        text = "".join(f"{line}\r\n" for line in self._lines(report, int(part))).encode()
        name = f"{report.plan_id}_{report.type}_{report.start}_{report.end}_{part}.csv"
        media_type = "text/csv"
        if self._plan.packed:
            text, name, media_type = gzip.compress(text, mtime=0), f"{name}.gz", "application/gzip"
        return ServerResponse(200, {"content-type": media_type, **attachment(name)}, text)

    @property
    def _parts(self) -> int:
        return -(-self._plan.rows // self._plan.part_rows)

    def _check_administrator(self) -> None:
        if not self._plan.administrator:
            raise Refused(_error(403, "Forbidden"))

    def _today(self) -> date:
        return datetime.fromtimestamp(self._context.now() // 1_000_000, UTC).date()

    def _reports(self) -> Iterator[_Report]:
        """Yield the reports that there are by now, the oldest first."""
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
                            yield _Report(number, self._plan.org_id, plan_id, kind, cadence, start, day)
            day += _DAY

    def _find(self, report_id: str) -> _Report:
        for report in self._reports():
            if str(report.id) == report_id:
                return report
        raise Refused(_error(404, "Not Found"))

    def _render(self, report: _Report) -> dict[str, Any]:
        url = f"{self._context.base_url}{REPORTS}{report.id}"
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


def _error(status: int, reason: str) -> ServerResponse:
    return json_response({"reason": f" {reason}"}, status)  # the space is the real one's [H]
