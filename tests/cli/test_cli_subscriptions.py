"""`planet-async subscriptions`, against the simulator over HTTP: what a user types, and what comes back."""

import csv
import io
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from cli.commanded import Run
from planet_async.simulator import Limits, Simulator
from planet_async.simulator.subscriptions import SubscriptionPlan

UNKNOWN = "4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11"
FIELD = {"type": "Polygon", "coordinates": [[[18, -33], [18.1, -33], [18.1, -32.9], [18, -32.9], [18, -33]]]}
DELIVERY = {
    "type": "google_cloud_storage",
    "parameters": {"bucket": "fields", "credentials": "c2VjcmV0"},
}
Write = Callable[..., Path]

pytestmark = pytest.mark.usefixtures("base_url")


@pytest.fixture
def simulator() -> Simulator:
    """Subscriptions run at once and for ever, but those called "done", which are completed with results."""

    def plan(body: Mapping[str, Any], _: int) -> SubscriptionPlan:
        run_seconds = 1e-4 if "done" in body["name"] else math.inf
        return SubscriptionPlan(
            prepare_seconds=0, pending_seconds=0, run_seconds=run_seconds, result_seconds=1e-5, failed=1
        )

    return Simulator(limits=Limits.unlimited(), subscription_plan=plan, api_key="secret-key")


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a request that is right, but for the fields given."""

    def write(name: str = "field", /, **fields: Any) -> Path:
        source = {
            "type": "catalog",
            "parameters": {
                "item_types": ["PSScene"],
                "asset_types": ["ortho_analytic_4b"],
                "geometry": FIELD,
                "start_time": "2026-01-01T00:00:00Z",
            },
        }
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps({"name": name, "source": source, "delivery": DELIVERY, **fields}))
        return path

    return write


def test_create_and_get(run: Run, on_terminal: Run, write: Write, simulator: Simulator) -> None:
    """`create` prints each subscription; `get` shows it whole as JSON, and a person no secret."""
    created = run("subscriptions", "create", write("one"), write("two"))
    assert (created.code, created.err) == (0, "")
    assert sorted(each["name"] for each in created.json_lines) == ["one", "two"]
    assert simulator.requests["subscriptions.create"] == 2
    id_ = created.json_lines[0]["id"]
    assert run("subscriptions", "get", id_).json["source"]["parameters"]["geometry"] == FIELD
    seen = on_terminal("subscriptions", "get", id_)
    for shown in (id_, "running", "catalog", "PSScene", "ortho_analytic_4b", "google_cloud_storage"):
        assert shown in seen.out
    assert "c2VjcmV0" not in seen.out
    piped = run("subscriptions", "create", "-", stdin=write("piped").read_text())
    assert piped.json["name"] == "piped"


def test_create_on_a_terminal(on_terminal: Run, write: Write) -> None:
    """A person gets a line for each; nothing in its name steers the terminal."""
    ran = on_terminal("subscriptions", "create", write("field", name="f \x1b]0;owned\x07 [red]7"))
    assert ran.code == 0
    assert "]0;owned" in ran.out
    assert "\x1b]0" not in ran.out
    assert "[red]7" in ran.out


def test_bad_files_come_first(run: Run, write: Write, simulator: Simulator) -> None:
    """Each bad file is a line that says what is wrong where; nothing at all is sent; exit code 2."""
    ran = run("subscriptions", "create", write("good"), write("bad", name=7), write("bare", delivery=None))
    assert ran.code == 2
    assert [line.split(": ")[2] for line in ran.err.splitlines()] == ["$.name", "$.delivery"]
    assert ran.err.count("Nothing was sent") == 2
    assert run("subscriptions", "update", UNKNOWN, write("bad", source=1)).code == 2
    listed = write("list")
    listed.write_text("[1]")
    assert "expected an object" in run("subscriptions", "patch", UNKNOWN, listed).err
    assert not simulator.requests


def test_one_refused_stops_no_other(run: Run, write: Write) -> None:
    """A request that the API refuses is one line with its file; the others are created; exit code 1."""
    bad = write("bad", source={"type": "moon", "parameters": {"start_time": "2026-01-01T00:00:00Z"}})
    ran = run("subscriptions", "create", bad, write("good"))
    assert ran.code == 1
    assert [each["name"] for each in ran.json_lines] == ["good"]
    assert ran.err.startswith(f"planet-async: {bad}: subscriptions.create: 400 ")
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ([], ["done", "field", "hill"]),
        (["--status", "completed"], ["done"]),
        (["--status", "completed", "--status", "running"], ["done", "field", "hill"]),
        (["--name", "hill"], ["hill"]),
        (["--name-contains", "iel"], ["field"]),
        (["--source-type", "soil_water_content"], []),
        (["--created", "../2020-01-01T00:00:00Z"], []),
        (["--updated", "../2020-01-01T00:00:00Z"], []),
        (["--start-time", "2025-12-31T00:00:00Z/.."], ["done", "field", "hill"]),
        (["--end-time", "../2020-01-01T00:00:00Z"], []),
        (["--no-hosting"], ["done", "field", "hill"]),
        (["--geom-ref", "pl:features/my/fields"], []),
        (["--destination-ref", "pl:destinations/mine"], []),
        (["--user-id", "all"], ["done", "field", "hill"]),
        (["--page-size", "1", "--limit", "2"], ["done", "field"]),
    ],
)
def test_list(options: list[str], names: list[str], run: Run, write: Write) -> None:
    """Every filter of the API is an option; the list goes across pages, up to the limit."""
    run("subscriptions", "create", write("field"), write("done"), write("hill"))
    ran = run("subscriptions", "list", "--sort-by", "name", *options)
    assert ran.err == ""
    assert [each["name"] for each in ran.json_lines] == names


def test_list_on_a_terminal(run: Run, on_terminal: Run, write: Write) -> None:
    """A person gets a table, or is told that there is nothing."""
    id_ = run("subscriptions", "create", write("field")).json["id"]
    seen = on_terminal("subscriptions", "list")
    for shown in (id_, "running", "created (UTC)", "catalog", "field"):
        assert shown in seen.out
    assert "no subscriptions" in on_terminal("subscriptions", "list", "--name", "nobody").out


def test_update_and_patch(run: Run, on_terminal: Run, write: Write) -> None:
    """`update` replaces a subscription, `patch` changes what its file holds; both print it as it then is."""
    id_ = run("subscriptions", "create", write("field")).json["id"]
    updated = run("subscriptions", "update", id_, write("field", name="new"))
    assert (updated.code, updated.json["name"]) == (0, "new")
    patched = run("subscriptions", "patch", id_, "-", stdin='{"name": "newest"}')
    assert (patched.json["name"], patched.json["status"]) == ("newest", "running")
    assert "newest" in on_terminal("subscriptions", "get", id_).out


def test_update_keeps_no_stand_in_for_a_secret(run: Run, write: Write, simulator: Simulator) -> None:
    """What the API has blacked out would replace the secret: it is refused, and nothing is sent."""
    hidden = {**DELIVERY, "parameters": {"bucket": "fields", "credentials": "<REDACTED>"}}
    ran = run("subscriptions", "update", UNKNOWN, write("field", delivery=hidden))
    assert ran.code == 2
    assert "delivery.parameters.credentials" in ran.err
    assert not simulator.requests["subscriptions.update"]


def test_suspend_reactivate_cancel(run: Run, on_terminal: Run, write: Write) -> None:
    """Several are acted on with one command; what fails for one is a line with its id; exit code 1."""
    made = run("subscriptions", "create", write("field"), write("hill"), write("done")).json_lines
    ids = {each["name"]: each["id"] for each in made}
    ran = run("subscriptions", "suspend", ids["field"], ids["hill"], ids["field"])
    assert (ran.code, [each["status"] for each in ran.json_lines]) == (0, ["suspended", "suspended"])
    assert "running" in on_terminal("subscriptions", "reactivate", ids["field"]).out
    ran = run("subscriptions", "cancel", ids["done"], UNKNOWN, ids["field"])
    assert ran.code == 1
    assert [(each["name"], each["status"]) for each in ran.json_lines] == [("field", "cancelled")]
    errors = sorted(ran.err.splitlines())
    assert len(errors) == 2
    for id_, status in ((ids["done"], "409"), (UNKNOWN, "404")):
        assert any(line.startswith(f"planet-async: {id_}: ") and status in line for line in errors)


def test_wait(run: Run, on_terminal: Run, write: Write) -> None:
    """`wait` prints the state of each; exit code 1 where one will never be in it, or not in time."""
    made = run("subscriptions", "create", write("done"), write("field")).json_lines
    ids = {each["name"]: each["id"] for each in made}
    ran = run("subscriptions", "wait", ids["done"])
    assert (ran.code, ran.err) == (0, "")
    assert ran.json == {"id": ids["done"], "name": "done", "state": "completed", "error": None}
    assert run("subscriptions", "wait", ids["field"], "--status", "running").code == 0
    late = run("subscriptions", "wait", ids["field"], "--timeout", "0")
    assert (late.code, "after 0 s" in late.json["error"]) == (1, True)
    assert run("subscriptions", "wait", ids["done"], "--status", "running").code == 1
    assert ids["done"] in on_terminal("subscriptions", "wait", ids["done"]).out


def test_create_bulk(run: Run, write: Write) -> None:
    """One request makes a subscription for each feature of a collection, and lists what is there by then."""
    source = json.loads(write().read_text())["source"]
    parameters = {**source["parameters"], "geometry": {"type": "ref", "content": "pl:features/my/fields"}}
    ran = run("subscriptions", "create-bulk", write("bulk", source={**source, "parameters": parameters}))
    assert (ran.code, ran.err) == (0, "")
    assert all(each["name"].startswith("bulk") for each in ran.json_lines)


def test_many_in_one_request(run: Run, on_terminal: Run, write: Write, simulator: Simulator) -> None:
    """With --bulk the API is asked once, and what it accepted is told: each id once."""
    made = run("subscriptions", "create", write("field"), write("hill"), write("coast")).json_lines
    ids = [each["id"] for each in made[:2]]
    ran = run("subscriptions", "suspend", *ids, ids[0], "--bulk")
    assert (ran.code, ran.json, ran.err) == (0, {"accepted": ids}, "")
    assert sorted(each.status for each in simulator.subscriptions.values()) == [
        "running",
        "suspended",
        "suspended",
    ]
    assert on_terminal("subscriptions", "reactivate", *ids, "--bulk").out.startswith("accepted for 2;")
    assert {each.status for each in simulator.subscriptions.values()} == {"running"}
    for action in ("suspend", "reactivate"):
        assert simulator.requests[f"subscriptions.{action}_many"] == 1
        assert simulator.requests[f"subscriptions.{action}"] == 0


@pytest.mark.parametrize(("command", "status"), [("suspend", "suspended"), ("reactivate", "running")])
def test_all_asks(
    command: str,
    status: str,
    *,
    monkeypatch: pytest.MonkeyPatch,
    run: Run,
    on_terminal: Run,
    write: Write,
    simulator: Simulator,
) -> None:
    """--all acts on every subscription, but not before a person, or --yes, has agreed."""
    run("subscriptions", "create", write("field"), write("hill"))
    if command == "reactivate":
        run("subscriptions", "suspend", "--all", "--yes")
    refused = run("subscriptions", command, "--all")
    assert (refused.code, "--yes" in refused.err) == (2, True)
    monkeypatch.setattr("planet_async.cli.runner.can_ask", lambda: True)
    refused = on_terminal("subscriptions", command, "--all", stdin="n\n")
    assert (refused.code, "yours" in refused.err + refused.out or "your" in refused.err) == (1, True)
    assert not simulator.requests[f"subscriptions.{command}_many"]
    assert run("subscriptions", command, "--all", "--yes").json == {"accepted": "all"}
    assert {each.status for each in simulator.subscriptions.values()} == {status}
    assert on_terminal("subscriptions", command, "--all", stdin="y\n").code == 0


@pytest.mark.parametrize("command", ["suspend", "reactivate"])
@pytest.mark.parametrize("args", [["--yes"], ["--bulk"], [UNKNOWN, "--all", "--yes"]])
def test_suspend_needs_to_know_what(command: str, args: list[str], run: Run, simulator: Simulator) -> None:
    """Neither ids nor --all, or both, is wrong usage; nothing is sent."""
    assert run("subscriptions", command, *args).code == 2
    assert not simulator.requests


@pytest.mark.parametrize("command", ["cancel", "suspend", "reactivate", "get", "results"])
def test_bad_id(command: str, run: Run, simulator: Simulator) -> None:
    """An id that is no UUID is refused before anything is sent, also behind a good one."""
    ids = [UNKNOWN, "nope"] if command in {"cancel", "suspend", "reactivate"} else ["nope"]
    ran = run("subscriptions", command, *ids)
    assert ran.code == 2
    assert "'nope' is no subscription id: a UUID was expected" in ran.err
    assert not simulator.requests


def test_results(run: Run, on_terminal: Run, write: Write) -> None:
    """`results` lists what was delivered; and filters them."""
    id_ = run("subscriptions", "create", write("done")).json["id"]
    found = run("subscriptions", "results", id_).json_lines
    assert len(found) == 6
    good = run("subscriptions", "results", id_, "--status", "success").json_lines
    bad = run("subscriptions", "results", id_, "--status", "failed").json_lines
    assert (len(good), len(bad)) == (5, 1)
    assert len(run("subscriptions", "results", id_, "--limit", 2).json_lines) == 2
    seen = on_terminal("subscriptions", "results", id_)
    assert all(each["id"] in seen.out for each in found)
    for option in ("--created", "--updated", "--completed", "--item-datetime"):
        assert run("subscriptions", "results", id_, option, "../2020-01-01T00:00:00Z").json_lines == []


def test_results_as_csv(run: Run, on_terminal: Run, write: Write) -> None:
    """With --csv it prints the API's CSV with its header, also where there are no rows."""
    id_ = run("subscriptions", "create", write("done")).json["id"]
    good = run("subscriptions", "results", id_, "--status", "success").json_lines
    csv_of = ("subscriptions", "results", id_, "--csv")
    rows = list(csv.DictReader(io.StringIO(run(*csv_of, "--status", "success").out)))
    assert {row["id"] for row in rows} == {each["id"] for each in good}
    assert {row["status"] for row in rows} == {"success"}
    assert len(on_terminal(*csv_of, "--limit", 2).out.splitlines()) == 3
    empty = run(*csv_of, "--status", "queued")
    assert (empty.code, empty.err) == (0, "")
    assert empty.out == run(*csv_of).out.splitlines(keepends=True)[0]
    assert run(*csv_of, "--json").code == 2
    assert run("subscriptions", "results", UNKNOWN, "--csv").code == 1


def test_summary(run: Run, on_terminal: Run, write: Write) -> None:
    """`summary` counts subscriptions by status, or the results of one."""
    made = run("subscriptions", "create", write("field"), write("done")).json_lines
    counts = run("subscriptions", "summary").json["subscriptions"]
    assert (counts["running"], counts["completed"]) == (1, 1)
    done = next(each["id"] for each in made if each["name"] == "done")
    assert run("subscriptions", "summary", done).json["results"]["success"] == 5
    lines = [line.split() for line in on_terminal("subscriptions", "summary").out.splitlines()]
    assert any("running" in line[0] and line[-1] == "1" for line in lines if line)
    lines = [line.split() for line in on_terminal("subscriptions", "summary", done).out.splitlines()]
    assert any("success" in line[0] and line[-1] == "5" for line in lines if line)


def test_help(run: Run) -> None:
    """Every command has an example in its help; a missing argument is wrong usage, exit code 2."""
    for command in ("create", "get", "list", "update", "patch", "cancel", "suspend", "reactivate", "results"):
        assert f"planet-async subscriptions {command} " in run("subscriptions", command, "--help").out
    assert run("subscriptions", "update", UNKNOWN).code == 2
    assert run("subscriptions", "list", "--limit", "-1").code == 2
