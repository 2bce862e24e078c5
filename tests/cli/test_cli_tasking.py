"""`planet-async tasking`, against the simulator over HTTP: what a user types, and what comes back."""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from cli.commanded import Run
from planet_async.simulator import Limits, Simulator
from planet_async.simulator.tasking import FinalStatus, TaskingPlan
from planet_async.simulator.windows import SearchPlan

UNKNOWN = "4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11"
HARBOUR = {"type": "Point", "coordinates": [149.44135, 28.4924]}
Write = Callable[..., Path]

pytestmark = pytest.mark.usefixtures("base_url")


@pytest.fixture
def simulator() -> Simulator:
    """Orders are fulfilled at once, but those whose name says otherwise: "waits" or "expires"."""

    def plan(request: Mapping[str, Any], _: int) -> TaskingPlan:
        pending_days = math.inf if "waits" in request["name"] else 0
        status: FinalStatus = "EXPIRED" if "expires" in request["name"] else "FULFILLED"
        return TaskingPlan(
            received_days=0, pending_days=pending_days, in_progress_days=0, status=status, captures=2
        )

    return Simulator(
        limits=Limits.unlimited(),
        tasking_plan=plan,
        search_plan=SearchPlan(seconds=0),
        api_key="secret-key",
    )


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a request that is right, but for the fields given."""

    def write(name: str = "harbour", /, **fields: Any) -> Path:
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps({"name": name, "geometry": HARBOUR, **fields}))
        return path

    return write


def test_create_and_get(run: Run, on_terminal: Run, write: Write, simulator: Simulator) -> None:
    """`create` prints each order; `get` shows it whole as JSON, and what matters of it to a person."""
    created = run("tasking", "create", write("one"), write("two"))
    assert (created.code, created.err) == (0, "")
    assert {each["id"] for each in created.json_lines} == set(simulator.tasking_orders)
    id_ = created.json_lines[0]["id"]
    assert run("tasking", "get", id_).json["id"] == id_
    seen = on_terminal("tasking", "get", id_)
    for shown in (id_, "FULFILLED", "Point", "km²", "cancellable", "published"):
        assert shown in seen.out
    assert "[red]7" in on_terminal("tasking", "create", write("x", name="[red]7 \x1b]0;owned")).out


def test_bad_files_come_first(run: Run, write: Write, simulator: Simulator) -> None:
    """A bad file is a line that says what is wrong; nothing is sent, for the good ones neither."""
    bad = write("bad", geometry={"type": "Point"})
    for args in (("create", write("good"), bad), ("windows", bad), ("pricing", "--preview", bad)):
        ran = run("tasking", *args)
        assert ran.code == 2
        assert ran.err.startswith(f"planet-async: {bad}: ")
        assert ran.err.count("\n") == 1
    changes = write("changes", end_time="tomorrow")
    assert "end_time" in run("tasking", "update", UNKNOWN, changes).err
    assert not simulator.requests


def test_one_refused_stops_no_other(run: Run, write: Write) -> None:
    """An order that the API refuses is one line with its file; the others are placed; exit code 1."""
    bad = write("bad", scheduling_type="NEVER")
    ran = run("tasking", "create", bad, write("good"))
    assert ran.code == 1
    assert [each["name"] for each in ran.json_lines] == ["good"]
    assert ran.err.startswith(f"planet-async: {bad}: tasking.create: 400 ")
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ([], ["expires", "harbour", "waits"]),
        (["--status", "PENDING"], ["waits"]),
        (["--status", "PENDING", "--status", "EXPIRED"], ["expires", "waits"]),
        (["--name", "harbour"], ["harbour"]),
        (["--name-contains", "ARB"], ["harbour"]),
        (["--created", "2020-01-01/.."], ["expires", "harbour", "waits"]),
        (["--created", "../2020-01-01T00:00:00Z"], []),
        (["--updated", "7d"], ["expires", "harbour", "waits"]),
        (["--updated", "2020-01-01"], []),
        (["--page-size", "1", "--limit", "2"], ["expires", "harbour"]),
        (["--limit", "1", "--offset", "1"], ["harbour"]),
    ],
)
def test_list(options: list[str], names: list[str], run: Run, write: Write) -> None:
    """The main filters of the API are options; the list goes across pages, up to the limit."""
    run("tasking", "create", write("harbour"), write("waits"), write("expires"))
    ran = run("tasking", "list", "--ordering", "name", *options)
    assert ran.err == ""
    assert [each["name"] for each in ran.json_lines] == names


def test_list_on_a_terminal(run: Run, on_terminal: Run, write: Write) -> None:
    """A person gets a table, or is told that there is nothing; a bad time is a line."""
    id_ = run("tasking", "create", write("waits")).json["id"]
    seen = on_terminal("tasking", "list")
    for shown in (id_, "PENDING", "created (UTC)", "waits"):
        assert shown in seen.out
    assert "no orders" in on_terminal("tasking", "list", "--name", "nobody").out
    bad = run("tasking", "list", "--created", "2026-01-01T00:00:00/..")
    assert bad.code == 2
    assert "with its zone" in bad.err


def test_update(run: Run, write: Write) -> None:
    """`update` changes what the file holds, and prints the whole order as it then is."""
    id_ = run("tasking", "create", write("waits")).json["id"]
    ran = run("tasking", "update", id_, "-", stdin='{"name": "waits longer"}')
    assert (ran.code, ran.json["name"], ran.json["id"]) == (0, "waits longer", id_)
    empty = run("tasking", "update", id_, "-", stdin="{}")
    assert empty.code == 2
    assert "nothing is to be changed" in empty.err


def test_cancel(run: Run, on_terminal: Run, write: Write) -> None:
    """`cancel` cancels what can be; an order that cannot is a line with its id; exit code 1."""
    made = run("tasking", "create", write("waits"), write("waits too"), write("done")).json_lines
    ids = {each["name"]: each["id"] for each in made}
    ran = run("tasking", "cancel", ids["waits"], ids["done"])
    assert ran.code == 1
    assert [(each["id"], each["status"]) for each in ran.json_lines] == [(ids["waits"], "CANCELLED")]
    assert ran.err.startswith(f"planet-async: {ids['done']}: tasking.cancel: 409 ")
    assert "CANCELLED" in on_terminal("tasking", "cancel", ids["waits too"]).out


def test_wait(run: Run, on_terminal: Run, write: Write) -> None:
    """`wait` prints what became of each order; exit code 1 where one is not fulfilled."""
    made = run("tasking", "create", write("done"), write("expires")).json_lines
    good, bad = (next(each["id"] for each in made if each["name"] == name) for name in ("done", "expires"))
    ran = run("tasking", "wait", good)
    assert (ran.code, ran.err) == (0, "")
    assert ran.json == {"id": good, "name": "done", "state": "FULFILLED", "error": None}
    ran = run("tasking", "wait", good, bad)
    assert ran.code == 1
    assert {each["id"]: each["state"] for each in ran.json_lines} == {good: "FULFILLED", bad: "EXPIRED"}
    assert ran.err == f"planet-async: {bad} is EXPIRED\n"
    seen = on_terminal("tasking", "wait", good, bad)
    assert "Waiting for orders" in seen.err
    assert good in seen.out


def test_wait_that_takes_too_long(run: Run, write: Write) -> None:
    """An order that is not finished in time, and one that is not there, are errors of their own; code 1."""
    id_ = run("tasking", "create", write("waits")).json["id"]
    ran = run("tasking", "wait", id_, UNKNOWN, "--timeout", "0.3")
    assert ran.code == 1
    errors = {each["id"]: each["error"] for each in ran.json_lines}
    assert "was not finished after 0.3 s" in errors[id_]
    assert "404" in errors[UNKNOWN]
    assert ran.err.count("planet-async: ") == 2


@pytest.mark.parametrize("command", ["get", "cancel", "wait"])
def test_bad_id(command: str, run: Run, simulator: Simulator) -> None:
    """An id that is no UUID is refused before anything is sent, also behind a good one."""
    ran = run("tasking", command, *([] if command == "get" else [UNKNOWN]), "nope")
    assert ran.code == 2
    assert "'nope' is no order id: a UUID was expected" in ran.err
    assert not simulator.requests


def test_pricing(run: Run, on_terminal: Run, write: Write) -> None:
    """`pricing` shows what an order costs, and how that comes about."""
    id_ = run("tasking", "create", write()).json["id"]
    price = run("tasking", "pricing", id_).json
    assert price["order_id"] == id_
    seen = on_terminal("tasking", "pricing", id_)
    assert f"{price['estimated_quota_cost']:,.6g} {price['units']}" in seen.out
    assert "base price" in seen.out


def test_pricing_preview(run: Run, on_terminal: Run, write: Write, simulator: Simulator) -> None:
    """With --preview it prices files, places nothing, and names those that cannot be priced; code 1."""
    good, bad = write("good"), write("bad", order_type="NONE")
    ran = run("tasking", "pricing", "--preview", good, "--preview", write("too"))
    assert (ran.code, ran.err) == (0, "")
    assert ran.json["total_estimated_quota_cost"] == sum(
        price["estimated_quota_cost"] for price in ran.json["pricing_details"]
    )
    seen = on_terminal("tasking", "pricing", "--preview", good, "--preview", bad)
    assert seen.code == 1
    assert "total" in seen.out
    assert f"planet-async: {bad}: Failed to calculate order pricing." in seen.err
    assert not simulator.tasking_orders


@pytest.mark.parametrize("args", [[], [UNKNOWN, "--preview", "x.json"]])
def test_pricing_of_what(args: list[str], run: Run, simulator: Simulator) -> None:
    """Neither an id nor --preview, or both, is wrong usage: exit code 2, nothing is sent."""
    assert run("tasking", "pricing", *args).code == 2
    assert not simulator.requests


def test_windows(run: Run, on_terminal: Run, write: Write) -> None:
    """`windows` searches, and prints each window: an id for an assured order."""
    search = write("search", pl_number="PL-1", product="Assured Tasking")
    found = run("tasking", "windows", search).json_lines
    assert len(found) == 3
    order = write("assured", scheduling_type="ASSURED", imaging_window=found[0]["id"])
    assert run("tasking", "create", order).json["scheduling_type"] == "ASSURED"
    seen = on_terminal("tasking", "windows", search)
    assert seen.code == 0
    assert seen.out.count("°") == 3
    assert "satellite" in seen.out


def test_captures(run: Run, on_terminal: Run, write: Write) -> None:
    """`captures` lists the images of an order, or of all."""
    one, two = (each["id"] for each in run("tasking", "create", write("one"), write("two")).json_lines)
    found = run("tasking", "captures", "--order-id", one).json_lines
    assert [each["order_id"] for each in found] == [one, one]
    everything = run("tasking", "captures").json_lines
    assert {each["order_id"] for each in everything} == {one, two}
    assert len(run("tasking", "captures", "--limit", 3).json_lines) == 3
    for option, wanted in (("--fulfilling", True), ("--not-fulfilling", False)):
        counted = run("tasking", "captures", "--order-id", one, option).json_lines
        assert counted == [each for each in found if each["fulfilling"] is wanted]
    seen = on_terminal("tasking", "captures", "--order-id", two)
    assert all(each["id"] in seen.out for each in everything if each["order_id"] == two)
    assert "no captures" in on_terminal("tasking", "captures", "--order-id", UNKNOWN).out


def test_help(run: Run) -> None:
    """Every command has an example in its help; a missing argument is wrong usage, exit code 2."""
    for command in ("create", "get", "list", "update", "cancel", "wait", "pricing", "windows", "captures"):
        assert f"planet-async tasking {command} " in run("tasking", command, "--help").out
    assert run("tasking", "update", UNKNOWN).code == 2
