"""`planet-async data`, against the simulator over HTTP: what a user types, and what comes back."""

import json
from pathlib import Path
from typing import Any

import pytest

from cli.commanded import Run
from planet_async.simulator import AssetPlan, Limits, OrderPlan, Simulator

pytestmark = pytest.mark.usefixtures("base_url")


@pytest.fixture
def simulator() -> Simulator:
    """Assets are active soon after they were activated, and orders are done at once."""
    return Simulator(
        limits=Limits.unlimited(),
        plan=OrderPlan(queue_seconds=0, run_seconds=0),
        asset_plan=AssetPlan(activation_seconds=0),
        catalog_days=3,
        api_key="secret-key",
    )


@pytest.fixture
def item(run: Run) -> Any:
    """Return an item that may be downloaded."""
    return run("data", "search", "PSScene", "--permission", "--limit", 1).json


def test_search(run: Run, on_terminal: Run) -> None:
    """`search` prints one item a line across pages, those that the conditions choose; a person a table."""
    clear = ("--where", "cloud_cover<0.3", "--where", "acquired>=2025-12-29")
    found = run("data", "search", "PSScene", *clear, "--page-size", 7, "--sort", "acquired asc").json_lines
    assert len(found) > 14
    assert all(each["properties"]["cloud_cover"] < 0.3 for each in found)
    days = [each["properties"]["acquired"] for each in found]
    assert days == sorted(days)
    assert days[0] >= "2025-12-29"
    made = run("data", "filter", *clear).out
    again = run("data", "search", "PSScene", "--filter", "-", "--sort", "acquired asc", stdin=made)
    assert again.json_lines == found
    area = json.dumps(found[0]["geometry"])
    assert found[0]["id"] in [
        each["id"] for each in run("data", "search", "PSScene", "--geom", area).json_lines
    ]
    seen = on_terminal("data", "search", "PSScene,SkySatCollect", *clear, "--limit", 3)
    assert seen.out.count("%") == 3
    assert "no items" in on_terminal("data", "search", "PSScene", "--where", "cloud_cover>1").out


def test_from_a_search_to_files(run: Run, tmp_path: Path) -> None:
    """`data search | orders request | orders run` needs nothing in between."""
    found = run("data", "search", "PSScene", "--permission", "--limit", 2)
    request = run("orders", "request", "--bundle", "analytic_udm2", "-", stdin=found.out)
    ran = run("orders", "run", "-", "--to", tmp_path / "data", stdin=request.out)
    assert ran.code == 0
    paths = ran.json["paths"]
    for each in found.json_lines:
        assert any(each["id"] in path and path.endswith(".tif") for path in paths)
    assert all(Path(path).is_file() for path in paths)


def test_stats(run: Run, on_terminal: Run) -> None:
    """`stats` counts what a search would find."""
    count = len(run("data", "search", "PSScene", "--where", "cloud_cover<0.3").json_lines)
    counted = ("data", "stats", "PSScene", "--where", "cloud_cover<0.3", "--interval", "day")
    assert sum(bucket["count"] for bucket in run(*counted).json["buckets"]) == count
    lines = [line.split() for line in on_terminal(*counted).out.splitlines()]
    assert ["total", f"{count:,}"] in lines


def test_an_item_and_its_assets(run: Run, on_terminal: Run, item: Any) -> None:
    """`get` and `assets` show an item; `activate` and `wait` print each asset; what is wrong is a line."""
    assert run("data", "get", "PSScene", item["id"]).json["id"] == item["id"]
    seen = on_terminal("data", "get", "PSScene", item["id"])
    assert "ortho_visual" in seen.out
    assets = {
        each["type"]: each["status"] for each in run("data", "assets", "PSScene", item["id"]).json_lines
    }
    assert assets["ortho_visual"] == "inactive"
    chosen = (item["id"], "--item-type", "PSScene", "--asset", "ortho_visual")
    assert run("data", "activate", *chosen).json["type"] == "ortho_visual"
    assert run("data", "wait", *chosen).json["status"] == "active"
    assert item["id"] in on_terminal("data", "wait", *chosen).out
    shown = on_terminal("data", "assets", "PSScene", item["id"]).out
    assert "active" in shown
    assert "token=" not in shown
    ran = run("data", "wait", *chosen[:-1], "nope")
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert f"PSScene {item['id']} nope: there is no such asset" in ran.err
    assert run("data", "get", "PSScene", "../x").code == 2


def test_download(run: Run, on_terminal: Run, item: Any, tmp_path: Path) -> None:
    """`download` activates, waits and fetches; again, it keeps what is there; errors are a line each."""
    chosen = ("--asset", "ortho_visual,ortho_udm2", "--to", tmp_path)
    ran = run("data", "download", "-", *chosen, stdin=json.dumps(item))
    assert (ran.code, ran.json["id"], ran.json["error"]) == (0, item["id"], None)
    assert len(ran.json["paths"]) == 2
    assert all(Path(path).is_file() for path in ran.json["paths"])
    seen = on_terminal("data", "download", item["id"], "--item-type", "PSScene", *chosen)
    assert (seen.code, "Downloading" in seen.err) == (0, True)
    ran = run("data", "download", "-", "--asset", "nope", "--to", tmp_path, stdin=json.dumps(item))
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "nope" in ran.json["error"]
    assert run("data", "download", "-", "--asset", "", "--to", tmp_path, stdin=json.dumps(item)).code == 2


def test_coverage_and_types(run: Run, on_terminal: Run, item: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`coverage` says how much is clear; `item-types` and `asset-types` list what there is."""
    monkeypatch.setattr("planet_async.simulator.data._COVERAGE_SECONDS", 0.05)
    area = ("--geometry", json.dumps(item["geometry"]))
    assert run("data", "coverage", "PSScene", item["id"], *area).json["status"] == "complete"
    assert "clear" in on_terminal("data", "coverage", "PSScene", item["id"], *area, "--band", "snow").out
    assert "PSScene" in [each["id"] for each in run("data", "item-types").json_lines]
    types = run("data", "asset-types", "--item-type", "PSScene").json_lines
    assert "ortho_visual" in [each["id"] for each in types]


def test_searches(run: Run, on_terminal: Run) -> None:
    """Searches are saved, listed, run, replaced and deleted."""
    made = run("data", "filter", "--where", "cloud_cover<0.3").out
    create = ("data", "searches", "create", "PSScene", "--name", "clear", "--filter", "-")
    id_ = run(*create, "--daily-email", stdin=made).json["id"]
    assert run("data", "searches", "get", id_).json["__daily_email_enabled"] is True
    assert [each["id"] for each in run("data", "searches", "list").json_lines] == [id_]
    assert "RangeFilter" in on_terminal("data", "searches", "get", id_).out
    found = run("data", "searches", "run", id_, "--limit", 3).json_lines
    assert len(found) == 3
    assert run("data", "searches", "update", id_, "PSScene", "--name", "all").json["name"] == "all"
    assert run("data", "searches", "delete", id_).code == 0
    assert run("data", "searches", "get", id_).code == 1
    assert "no searches" in on_terminal("data", "searches", "list").out
