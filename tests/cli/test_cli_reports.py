"""`planet-async reports`, against the simulator over HTTP: what a user types, and what comes back."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cli.commanded import Run
from planet_async.simulator import Fault, Limits, Simulator
from planet_async.simulator.reports import ReportPlan

pytestmark = pytest.mark.usefixtures("base_url")


@pytest.fixture
def simulator() -> Simulator:
    """There are daily reports of three days, of two parts each."""
    plan = ReportPlan(days=3, rows=25, part_rows=20, plan_ids=(5120, 5121))
    return Simulator(limits=Limits.unlimited(), report_plan=plan, api_key="secret-key")


def _day(ago: int) -> str:
    return (datetime.now(UTC) - timedelta(days=ago)).date().isoformat()


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (["--page-size", "5"], 12),
        (["--limit", "5"], 5),
        (["--org-id", "31743"], 12),
        (["--plan-id", "5121"], 6),
        (["--report-type", "summary"], 6),
        (["--cadence", "daily", "--offset", "10"], 2),
        (["--start", "2000-01-01", "--end", "2000-01-31"], 0),
    ],
)
def test_list(options: list[str], count: int, run: Run) -> None:
    """Every filter of the API is an option; the list goes across pages, one report a line."""
    ran = run("reports", "list", *([] if "--cadence" in options else ["--cadence", "daily"]), *options)
    assert (ran.code, ran.err) == (0, "")
    assert len({each["report_id"] for each in ran.json_lines}) == count


def test_list_from_a_day_and_behind_a_report(run: Run) -> None:
    """--start leaves out what is older; --after begins with the report behind that one."""
    found = run("reports", "list", "--start", _day(1), "--cadence", "daily").json_lines
    assert found
    assert {each["data_date_start"] for each in found} == {_day(1)}
    behind = run("reports", "list", "--cadence", "daily", "--after", found[0]["report_id"]).json_lines
    assert [each["report_id"] for each in behind] == [each["report_id"] for each in found[1:]]


def test_list_on_a_terminal(on_terminal: Run, run: Run) -> None:
    """A person gets a table, or is told that there is nothing."""
    report = run("reports", "list", "--limit", 1).json
    seen = on_terminal("reports", "list")
    for shown in (report["report_id"], report["data_date_start"], "detailed", "rows"):
        assert shown in seen.out
    assert "no reports" in on_terminal("reports", "list", "--end", "2000-01-01").out


def test_get(on_terminal: Run, run: Run) -> None:
    """`get` gives the whole report as JSON, and what matters of it to a person."""
    report = run("reports", "list", "--limit", 1).json
    assert run("reports", "get", report["report_id"]).json == report
    seen = on_terminal("reports", "get", report["report_id"])
    for shown in (report["report_id"], "detailed", "31743", "5120", "25"):
        assert shown in seen.out
    assert "http" not in seen.out


def test_download(run: Run, on_terminal: Run, tmp_path: Path) -> None:
    """`download` fetches all parts and prints their paths; a file that differs needs --overwrite."""
    report_id = run("reports", "list", "--limit", 1).json["report_id"]
    ran = run("reports", "download", report_id, "--to", tmp_path / "usage")
    assert (ran.code, ran.err, ran.json["id"]) == (0, "", report_id)
    paths = [Path(path) for path in ran.json["paths"]]
    assert [len(path.read_text().splitlines()) for path in paths] == [21, 6]
    again = run("reports", "download", report_id, "--to", tmp_path / "usage")
    assert (again.code, again.json["paths"]) == (0, ran.json["paths"])
    paths[0].write_text("something else")
    refused = run("reports", "download", report_id, "--to", tmp_path / "usage")
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert "exists" in refused.err
    seen = on_terminal("reports", "download", report_id, "--to", tmp_path / "usage", "--overwrite")
    assert seen.code == 0
    assert seen.out.splitlines() == [str(path) for path in paths]
    assert "Downloading" in seen.err


@pytest.mark.parametrize(
    ("args", "code", "expected"),
    [
        (["get", "7"], 1, "404"),
        (["get", "../orders"], 2, "is no report id"),
        (["list", "--start", "yesterday"], 2, "no day like 2026-05-01"),
        (["list", "--start", "2026-05-02", "--end", "2026-05-01"], 2, "before the start"),
        (["list", "--report-type", "poem"], 1, "400"),
    ],
)
def test_errors_are_one_line(args: list[str], code: int, expected: str, run: Run) -> None:
    """Wrong input is one line and exit code 2; what the API refuses is one line and exit code 1."""
    ran = run("reports", *args)
    assert (ran.code, ran.out) == (code, "")
    assert expected in ran.err
    assert ran.err.startswith("planet-async: ")
    assert ran.err.count("\n") == 1


def test_a_download_that_breaks_off(run: Run, tmp_path: Path, simulator: Simulator) -> None:
    """A part that does not come whole is an error of one line, and no file is left under its name."""
    report_id = run("reports", "list", "--limit", 1).json["report_id"]
    simulator.faults.add(Fault(operation="reports.download", status=403, body=b"{}"))
    ran = run("reports", "download", report_id, "--to", tmp_path)
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "403" in ran.err
    assert not list(tmp_path.glob("*.csv"))


def test_help(run: Run) -> None:
    """Every command has an example in its help; a missing argument is wrong usage, exit code 2."""
    for command in ("list", "get", "download"):
        assert f"planet-async reports {command} " in run("reports", command, "--help").out
    assert run("reports", "download").code == 2
    assert run("reports", "list", "--limit", "-1").code == 2


def test_the_key_is_never_shown(on_terminal: Run) -> None:
    """The API key appears in no output, not in errors either."""
    for args in (
        ("reports", "list"),
        ("reports", "get", "7"),
        ("tasking", "list"),
        ("subscriptions", "list"),
    ):
        ran = on_terminal(*args)
        assert "secret-key" not in ran.out + ran.err
