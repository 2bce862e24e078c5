"""The reports of the simulator: which there are, lists, contents, refusals."""

import csv
import gzip
from collections.abc import Sequence

import pytest

from planet_async.simulator import Limits, ReportPlan, Simulator
from planet_async.testing import FakeClock
from simulator.simulated import Caller, Reply

pytestmark = pytest.mark.anyio

REPORTS = "/reports/v1/"
# The clock begins with 2026, so December 2025 is a whole month.
PLAN = ReportPlan(org_id=7, plan_ids=(1, 2), days=40, rows=5, part_rows=2)


def caller(clock: FakeClock, plan: ReportPlan = PLAN, page_size: int = 500) -> Caller:
    simulator = Simulator(clock=clock, limits=Limits.unlimited(), report_plan=plan, page_size=page_size)
    return Caller(simulator)


@pytest.fixture
def call(clock: FakeClock) -> Caller:
    return caller(clock)


def ids(reply: Reply) -> list[str]:
    assert reply.status == 200, reply.body
    return [report["report_id"] for report in reply.json["reports"]]


def refused(reply: Reply) -> tuple[int, object]:
    return reply.status, reply.json


async def test_a_report_looks_as_documented(call: Caller) -> None:
    """The keys are those of the reference, the links are absolute, and the parts hold all rows."""
    reply = await call("GET", REPORTS, ("plan_id", "2"), ("report_type", "summary"), ("cadence", "monthly"))
    (report,) = reply.json["reports"]
    url = f"https://api.planet.com/reports/v1/{report['report_id']}"
    assert report == {
        "report_id": report["report_id"],
        "contents": [f"{url}/1", f"{url}/2", f"{url}/3"],
        "org_id": 7,
        "plan_id": 2,
        "data_date_start": "2025-12-01",
        "data_date_end": "2025-12-31",
        "report_type": "summary",
        "num_rows": 5,
        "cadence": "monthly",
        "has_footprint": False,
        "_links": {"self": url},
    }
    assert (await call("GET", url)).json == report


async def test_each_day_and_each_whole_month_has_its_reports(call: Caller) -> None:
    """Two types for each of two plans and forty days; one month was whole, and November was not."""
    daily = (await call("GET", REPORTS, ("cadence", "daily"))).json["reports"]
    assert len(daily) == 40 * 2 * 2
    assert daily[0]["data_date_start"] == daily[0]["data_date_end"] == "2025-11-22"
    assert daily[-1]["data_date_end"] == "2025-12-31"
    assert len(ids(await call("GET", REPORTS, ("cadence", "monthly")))) == 4
    assert len(set(ids(await call("GET", REPORTS)))) == 164


async def test_a_new_report_appears_at_midnight(clock: FakeClock) -> None:
    """Not a second before the day has ended; and the new ones are the last."""
    call = caller(clock, ReportPlan(days=0))
    clock.advance(86_399)
    assert ids(await call("GET", REPORTS)) == []
    clock.advance(1)
    first = ids(await call("GET", REPORTS))
    assert len(first) == 2
    clock.advance(86_400)
    assert ids(await call("GET", REPORTS))[:2] == first


@pytest.mark.parametrize(
    ("params", "count"),
    [
        ([("org_id", "7")], 164),
        ([("plan_id", "1")], 82),
        ([("plan_id", "3")], 0),
        ([("report_type", "detailed"), ("cadence", "daily")], 80),
        ([("start", "2025-12-31")], 4),
        ([("start", "2025-12-30"), ("cadence", "daily")], 8),
        ([("end", "2025-11-22")], 4),
        ([("start", "2025-12-01"), ("end", "2025-12-31")], 31 * 4 + 4),
        ([("start", "2026-01-01")], 0),
        ([("offset", "160")], 4),
        ([("offset", "200")], 0),
    ],
)
async def test_filters(call: Caller, params: Sequence[tuple[str, str]], count: int) -> None:
    """Each filter returns the reports it should; both days are inclusive."""
    assert len(ids(await call("GET", REPORTS, *params))) == count


@pytest.mark.parametrize("start", [[], [("offset", "30")]])
async def test_pages(call: Caller, start: list[tuple[str, str]]) -> None:
    """Following `_next` returns every report once; the last page has none, and the filters are kept."""
    wanted = ids(await call("GET", REPORTS, ("plan_id", "1"), *start))
    found: list[str] = []
    reply = await call("GET", REPORTS, ("plan_id", "1"), ("page_size", "17"), *start)
    while True:
        found += ids(reply)
        following = reply.json["_links"].get("_next")
        if following is None:
            break
        reply = await call("GET", following)
    assert found == wanted


async def test_the_list_begins_behind_a_report(call: Caller) -> None:
    """`after` is the id of the last one that is left out."""
    all_ids = ids(await call("GET", REPORTS))
    assert ids(await call("GET", REPORTS, ("after", all_ids[99]))) == all_ids[100:]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("org_id", "mine"),
        ("plan_id", "-1"),
        ("report_type", "weekly"),
        ("cadence", "hourly"),
        ("start", "yesterday"),
        ("end", "2025-13-01"),
        ("page_size", "0"),
        ("after", "x"),
        ("offset", "-1"),
    ],
)
async def test_wrong_values_are_refused(call: Caller, name: str, value: str) -> None:
    """400 in the words of the documentation, its leading space included."""
    assert refused(await call("GET", REPORTS, (name, value))) == (400, {"reason": " Invalid Type"})


@pytest.mark.parametrize("path", ["", "5", "5/1"])
async def test_only_administrators_may_read_reports(clock: FakeClock, path: str) -> None:
    """403 in the words of the documentation; 401 without any key."""
    call = caller(clock, ReportPlan(administrator=False))
    assert refused(await call("GET", REPORTS + path)) == (403, {"reason": " Forbidden"})
    assert (await call("GET", REPORTS + path, headers={})).status == 401


async def test_another_organization_is_forbidden(call: Caller) -> None:
    """Its reports are not shown, and not called missing."""
    assert refused(await call("GET", REPORTS, ("org_id", "8"))) == (403, {"reason": " Forbidden"})


@pytest.mark.parametrize("path", ["5", "5/1", "{id}/0", "{id}/4", "{id}/01", "{id}/x"])
async def test_unknown_reports(call: Caller, path: str) -> None:
    """Unknown reports and parts are 404."""
    known = ids(await call("GET", REPORTS))[0]
    assert (await call("GET", REPORTS + path.replace("{id}", known))).status == 404


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", ["detailed", "summary"])
async def test_contents(clock: FakeClock, packed: bool, kind: str) -> None:
    """The parts are CSV with a header each and all rows between them, the same bytes each time."""
    call = caller(clock, ReportPlan(rows=5, part_rows=2, packed=packed))
    reply = await call("GET", REPORTS, ("report_type", kind), ("cadence", "monthly"))
    (report,) = reply.json["reports"]
    rows: list[dict[str, str]] = []
    for number, link in enumerate(report["contents"], start=1):
        part = await call("GET", link)
        assert part.body == (await call("GET", link)).body
        assert part.headers["content-type"] == ("application/gzip" if packed else "text/csv")
        ending = f'_{number}.csv{".gz" if packed else ""}"'
        assert part.headers["content-disposition"].endswith(ending)
        text = (gzip.decompress(part.body) if packed else part.body).decode()
        rows += csv.DictReader(text.splitlines())
    assert len(rows) == report["num_rows"] == 5
    assert all("2025-12-01" <= row["date"] <= "2025-12-31" for row in rows)
    assert {"PSScene"} == {row["item_type"] for row in rows}


async def test_a_report_of_nothing_has_no_parts(clock: FakeClock) -> None:
    """A plan without usage has reports all the same."""
    call = caller(clock, ReportPlan(rows=0))
    report = (await call("GET", REPORTS)).json["reports"][0]
    assert (report["num_rows"], report["contents"]) == (0, [])
