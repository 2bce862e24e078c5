"""The words that all groups share: --format, --limit, --state, --created and --sort, and what they print."""

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer

from cli.commanded import Run
from planet_async.cli.options import ends, moment, sort_option
from planet_async.cli.output import Output
from planet_async.simulator import Simulator

RequestFile = Callable[..., Path]


@pytest.fixture
def farms(run: Run, request_file: RequestFile, base_url: str) -> dict[str, str]:
    """Return the ids of three orders by their names."""
    assert base_url
    files = [request_file(f"farm {number}") for number in range(3)]
    return {order["name"]: order["id"] for order in run("orders", "create", *files).json_lines}


def test_the_format_is_the_same_in_a_pipe(piped: Run, on_terminal: Run, farms: dict[str, str]) -> None:
    """A list is a table, on a terminal and in a pipe; programs ask for another format."""
    for ran in (piped("orders", "list"), on_terminal("orders", "list")):
        assert ran.code == 0
        assert ran.out.count("\n") == 4
        assert all(id_ in ran.out for id_ in farms.values())
    assert "3 orders" in on_terminal("orders", "list").err
    assert piped("orders", "list").err == ""


def test_the_formats_of_a_list(piped: Run, farms: dict[str, str]) -> None:
    """--json is one array, jsonl a line for each record, csv has the columns of the table, ids the ids."""
    listing = ("orders", "list", "--sort", "name")
    found = json.loads(piped(*listing, "--json").out)
    assert [order["name"] for order in found] == [*farms]
    assert piped(*listing, "--format", "jsonl").json_lines == found
    rows = [*csv.DictReader(io.StringIO(piped(*listing, "--csv").out))]
    assert [(row["id"], row["state"], row["name"]) for row in rows] == [
        (id_, "success", name) for name, id_ in farms.items()
    ]
    assert datetime.fromisoformat(rows[0]["created"]).tzinfo is not None
    assert piped(*listing, "--format", "ids").out.split() == [*farms.values()]
    assert piped(*listing, "-q").out.split() == [*farms.values()]
    assert piped(*listing, "--name", "none", "--json").json == []
    assert piped(*listing, "--name", "none", "--csv").out == "id,state,created,name\n"
    wrong = piped(*listing, "--format", "geojson")
    assert (wrong.code, "jsonl, csv or ids" in " ".join(wrong.err.split())) == (2, True)


@pytest.mark.usefixtures("base_url")
def test_places_are_geojson(piped: Run) -> None:
    """What has a geometry can be printed as a FeatureCollection, for any GIS."""
    found = piped("data", "search", "PSScene", "--limit", 2, "--format", "geojson").json
    assert [each["properties"]["item_type"] for each in found["features"]] == ["PSScene"] * 2
    order = {"name": "harbour", "geometry": {"type": "Point", "coordinates": [149.4, 28.5]}}
    piped("tasking", "create", json.dumps(order))
    [feature] = piped("tasking", "list", "--format", "geojson").json["features"]
    assert (feature["type"], feature["geometry"]["type"]) == ("Feature", "Point")
    assert feature["properties"]["name"] == "harbour"
    mosaic = piped("basemaps", "list", "--limit", 1, "--json").json[0]["name"]
    quads = piped("basemaps", "quads", mosaic, "--bbox", "7,46.5,7.1,46.6", "--format", "geojson").json
    assert {each["geometry"]["type"] for each in quads["features"]} == {"Polygon"}
    assert piped("tasking", "list", "--name", "none", "--format", "geojson").json["features"] == []


@pytest.mark.usefixtures("farms")
def test_json_that_was_cut_off_is_no_document(capsys: pytest.CaptureFixture[str]) -> None:
    """An array is closed when the list has ended, so that a program does not take a part for all."""
    output = Output("json", ("id",))
    output.add({"id": "1"}, ("1",))
    with pytest.raises(json.JSONDecodeError):
        json.loads(capsys.readouterr().out)


def test_a_table_has_a_hundred_rows(
    piped: Run, simulator: Simulator, base_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left out is said; --limit 0 shows all, page by page; other formats have all by default."""
    assert base_url
    monkeypatch.setattr("planet_async.cli.runner._MOST_SHOWN", 7)
    listing = ("data", "search", "PSScene", "--where", "acquired>=2025-12-28", "--page-size", 5)
    ran = piped(*listing)
    assert ran.out.count("\n") == 1 + 7
    assert ran.err == "planet-async: the first 7 items are shown; --limit 0 shows all\n"
    every = piped(*listing, "--format", "ids").out.split()
    assert len(every) > 20
    whole = piped(*listing, "--limit", 0)
    assert [line.split()[0] for line in whole.out.splitlines()[1:]] == every
    assert whole.err == ""
    simulator.requests.clear()
    assert piped(*listing, "--limit", 5).out.count("\n") == 1 + 5
    assert simulator.requests.total() == 1


def test_states_have_one_name(run: Run, farms: dict[str, str]) -> None:
    """--state filters in each group, and the API's own --status means the same."""
    assert len(run("orders", "list", "--state", "success").json_lines) == len(farms)
    for group in ("subscriptions", "tasking"):
        for option in ("--state", "--status"):
            assert "nonsense" in run(group, "list", option, "nonsense").err
    assert run("quota", "list", "--state", "reserved", "--created", "7d").code == 0


@pytest.mark.usefixtures("farms")
def test_times_may_be_days_and_spans(run: Run) -> None:
    """A day is a whole day, 7d the last week; --created and the API's own name take both, and intervals."""
    today = datetime.now(UTC).date()
    for period in ("1d", "24h", f"{today}/..", f"{today - timedelta(1)}/{today}", f"../{today}"):
        assert len(run("orders", "list", "--created", period).json_lines) == 3, period
    for period in ("2020-01-01", "2020-01-01/2020-12-31", f"{today + timedelta(2)}/.."):
        assert run("orders", "list", "--created-on", period).json_lines == []
    for command in (("tasking", "list"), ("subscriptions", "list"), ("quota", "list"), ("quota", "jobs")):
        assert run(*command, "--created", "2020-01-01/2020-12-31").code == 0
        assert run(*command, "--created", "soon").code == 2
    assert run("data", "filter", "--where", "published>7d").code == 0
    assert run("reports", "list", "--start", "7d").code == 0


def test_a_day_and_a_span_as_the_api_writes_them() -> None:
    """The end of a day is the beginning of the next; what is neither is wrong usage."""
    assert moment("2026-02-28") == "2026-02-28T00:00:00Z"
    assert moment("2026-02-28", is_end=True) == "2026-03-01T00:00:00Z"
    week = datetime.fromisoformat(moment("1w")) - datetime.now(UTC)
    assert abs(week + timedelta(days=7)) < timedelta(minutes=1)
    for text in ("2026-02-30", "999999w", "2026-01-01T00:00:00", "7 d", "soon", ""):
        with pytest.raises(typer.BadParameter, match="expected a day"):
            moment(text)
    assert ends("2026-01-01T00:00:00Z/..", "--created") == ("2026-01-01T00:00:00Z", None)


@pytest.mark.parametrize(
    ("style", "written"),
    [("-FIELD", ["a", "-a"]), ("FIELD DESC", ["a", "a DESC"]), ("FIELD desc", ["a asc", "a desc"])],
)
def test_sorting_is_written_in_one_way(style: Any, written: list[str]) -> None:
    """`-FIELD` reverses everywhere; the way of each API is understood everywhere too."""
    sort = sort_option(style).callback
    for ascending, descending in (("a", "-a"), ("a asc", "a desc"), ("a ASC", "a DESC")):
        assert [sort(ascending), sort(descending)] == written
        assert sort([ascending, descending]) == written
        assert sort(f"{ascending}, {descending}") == ",".join(written)
    assert sort(None) is None
