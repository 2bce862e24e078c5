"""`orders run --ledger`, `orders work` and `ledger`."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.commanded import Run
from planet_async.simulator import Simulator

RequestFile = Callable[..., Path]


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "fields.ledger"


@pytest.fixture
def job(
    base_url: str, run: Run, request_file: RequestFile, tmp_path: Path, ledger: Path
) -> tuple[object, ...]:
    """Return the command of a job that has run: one order is good, one fails, one is refused."""
    files = (request_file("good"), request_file("fails"), request_file("bad", source_type="moon"))
    command = ("--base-url", base_url, "orders", "run", *files, "--to", tmp_path / "data", "--ledger", ledger)
    assert run(*command).code == 1
    return command


def test_the_same_command_again_orders_nothing(
    run: Run, job: tuple[object, ...], simulator: Simulator
) -> None:
    """With its ledger a job that is done prints the same results once more, and sends what was refused."""
    simulator.requests.clear()
    ran = run(*job)
    assert simulator.requests == {"orders.create": 1}
    assert len(simulator.orders) == 2
    assert ran.code == 1
    outcomes = {outcome["name"]: outcome for outcome in ran.json_lines}
    ids = {order.name: order.id for order in simulator.orders.values()}
    assert (outcomes["good"]["id"], outcomes["good"]["state"]) == (ids["good"], "success")
    assert all(Path(path).is_file() for path in outcomes["good"]["paths"])
    assert (outcomes["fails"]["id"], outcomes["fails"]["state"]) == (ids["fails"], "failed")
    assert "no clear pixel" in outcomes["fails"]["error"]
    assert outcomes["bad"]["id"] is None
    assert "Bad source type" in outcomes["bad"]["error"]


def test_a_job_goes_on(
    run: Run, job: tuple[object, ...], request_file: RequestFile, simulator: Simulator
) -> None:
    """More requests with the same ledger: only the new ones are ordered."""
    before = len(simulator.orders)
    run(*job, request_file("new"))
    assert len(simulator.orders) == before + 1


@pytest.mark.usefixtures("job")
def test_show_as_json(run: Run, ledger: Path) -> None:
    """As JSON Lines, each entry is a line, with its request and its files."""
    ran = run("ledger", "show", ledger)
    assert (ran.code, ran.err) == (0, "")
    entries = {entry["name"]: entry for entry in ran.json_lines}
    assert {name: entry["stage"] for name, entry in entries.items()} == {
        "good": "downloaded",
        "fails": "failed",
        "bad": "failed",
    }
    assert entries["good"]["request"]["products"][0]["item_type"] == "PSScene"
    assert any(file["checksum"].startswith("sha256:") for file in entries["good"]["files"])
    assert entries["bad"]["error_type"] == "BadRequest"


@pytest.mark.usefixtures("job")
def test_show_as_csv(run: Run, ledger: Path) -> None:
    """With --csv it is a table that any program reads, a line for each entry."""
    printed = run("ledger", "show", ledger, "--csv").out
    rows = {row["name"]: row for row in csv.DictReader(io.StringIO(printed))}
    assert (rows["good"]["stage"], rows["good"]["state"]) == ("downloaded", "success")
    assert rows["good"]["files"] == "3"
    assert int(rows["good"]["bytes"]) > 4096
    assert rows["bad"]["id"] == ""
    assert "Bad source type" in rows["bad"]["error"]


def test_one_format_at_a_time(run: Run, ledger: Path) -> None:
    """JSON and CSV together are wrong usage: a script that asks for both would get what it cannot read."""
    ledger.touch()
    ran = run("ledger", "show", ledger, "--json", "--csv")
    assert (ran.code, ran.out) == (2, "")
    assert "passed more than once" in " ".join(ran.err.split())


@pytest.mark.usefixtures("job")
def test_show_to_a_person(on_terminal: Run, ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal it is a table with the counts below; NO_COLOR is obeyed."""
    seen = on_terminal("ledger", "show", ledger)
    for shown in ("downloaded", "failed", "good", "Bad source type"):
        assert shown in " ".join(seen.out.split())
    monkeypatch.setenv("NO_COLOR", "1")
    plain = on_terminal("ledger", "show", ledger).out
    assert "\x1b[3" not in plain
    assert plain.count("downloaded") == 2


@pytest.mark.usefixtures("job")
def test_ids_are_shown_whole(
    on_terminal: Run, ledger: Path, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the narrowest terminal too, so that they can be copied."""
    monkeypatch.setenv("COLUMNS", "80")
    seen = on_terminal("ledger", "show", ledger).out
    assert len(simulator.orders) == 2
    for order_id in simulator.orders:
        assert order_id in seen


def test_a_ledger_with_nothing_in_it(run: Run, on_terminal: Run, ledger: Path) -> None:
    """It is what a job leaves that was killed as it began: there are no requests, which is no error."""
    ledger.touch()
    assert "no requests" in on_terminal("ledger", "show", ledger).out
    assert run("ledger", "show", ledger).out == ""
    assert run("ledger", "show", ledger, "--csv").out.count("\n") == 1


@pytest.mark.usefixtures("base_url")
@pytest.mark.parametrize("command", ["run", "download"])
def test_a_folder_that_is_a_file(
    command: str, run: Run, request_file: RequestFile, simulator: Simulator
) -> None:
    """It is wrong usage, said before an order is placed that could not be downloaded."""
    file = request_file("good")
    ran = run("orders", command, file, "--to", file)
    assert ran.code == 2
    assert "is a file" in " ".join(ran.err.replace("│", " ").split())  # a long path breaks the line
    assert not simulator.requests


@pytest.mark.usefixtures("base_url")
def test_what_is_no_ledger(run: Run, tmp_path: Path, request_file: RequestFile, simulator: Simulator) -> None:
    """Where there is no ledger, nor can be one, the input is wrong; nothing is ordered."""
    ran = run("ledger", "show", tmp_path / "none")
    assert (ran.code, ran.out) == (2, "")
    assert "does not exist" in " ".join(ran.err.replace("│", " ").split())
    assert not (tmp_path / "none").exists()
    file = request_file("good")
    ran = run("orders", "run", file, "--to", tmp_path / "data", "--ledger", file)
    assert ran.code == 2
    assert ran.err.count("\n") == 1
    assert "is not a ledger" in ran.err
    ran = run("orders", "run", file, "--to", tmp_path / "data", "--ledger", tmp_path / "none" / "ledger")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "its folder does not exist" in ran.err
    ran = run("ledger", "show", file)
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    for command in (("orders", "run", file, "--to", tmp_path / "data", "--ledger"), ("ledger", "show")):
        ran = run(*command, tmp_path)
        assert ran.code == 2
        assert "is a directory" in " ".join(ran.err.replace("│", " ").split())
    assert not simulator.orders


@pytest.mark.usefixtures("base_url")
def test_a_ledger_in_a_database(
    run: Run, request_file: RequestFile, postgres: str, simulator: Simulator, tmp_path: Path
) -> None:
    """A job fills it, further workers find nothing left to do, and anybody reads it."""
    job = ("orders", "run", request_file("good"), "--to", tmp_path / "data")
    assert run(*job, "--ledger", postgres).code == 0
    simulator.requests.clear()
    ran = run("orders", "work", "--ledger", postgres, "--to", tmp_path / "other", "--format", "jsonl")
    assert (ran.code, ran.out, simulator.requests) == (0, "", {})
    [entry] = run("ledger", "show", postgres, "--format", "jsonl").json_lines
    assert (entry["name"], entry["stage"]) == ("good", "downloaded")


@pytest.mark.usefixtures("job")
def test_workers_do_what_a_ledger_has(run: Run, ledger: Path, simulator: Simulator, tmp_path: Path) -> None:
    """What is chosen of what failed is sent again by the next worker, after it was asked for."""
    assert run("ledger", "retry", ledger).code == 2
    refused = run("ledger", "retry", ledger, "--all")
    assert (refused.code, "needs --yes" in " ".join(refused.err.split())) == (2, True)
    assert run("ledger", "retry", ledger, "good", "--yes").code == 2
    ran = run("ledger", "retry", ledger, "--all", "--error-type", "OrderNotDownloadable", "--yes")
    assert ran.code == 0
    [failed] = [order.id for order in simulator.orders.values() if order.name == "fails"]
    assert f"{failed} fails: " in ran.out
    assert "1 requests will be sent again" in ran.err
    simulator.requests.clear()
    worked = run("orders", "work", "--ledger", ledger, "--to", tmp_path, "--format", "jsonl")
    assert worked.code == 1
    assert simulator.requests["orders.create"] == 1
    [outcome] = worked.json_lines
    assert (outcome["name"], outcome["state"]) == ("fails", "failed")
    assert outcome["id"] != failed
    assert "nothing of that has failed" in run("ledger", "retry", ledger, "--all", "--error-type", "x").err


@pytest.mark.usefixtures("job")
def test_export(run: Run, ledger: Path, tmp_path: Path) -> None:
    """All that is known of each entry, as JSON Lines or CSV; or into another ledger, twice without harm."""
    entries = {entry["name"]: entry for entry in run("ledger", "export", ledger).json_lines}
    assert entries.keys() == {"good", "fails", "bad"}
    assert (entries["good"]["occurrence"], entries["good"]["changed"][:2]) == (1, "20")
    rows = list(csv.DictReader(io.StringIO(run("ledger", "export", ledger, "--csv").out)))
    assert {row["name"] for row in rows} == entries.keys()
    other = tmp_path / "other.ledger"
    assert "3 entries are new there" in run("ledger", "export", ledger, "--to", other).err
    assert "0 entries are new there" in run("ledger", "export", ledger, "--to", other).err
    assert {entry["name"]: entry["id"] for entry in run("ledger", "export", other).json_lines} == {
        name: entry["id"] for name, entry in entries.items()
    }


@pytest.mark.usefixtures("base_url")
def test_wrong_addresses(run: Run, request_file: RequestFile) -> None:
    """They are reported in one line, without what they hold."""
    job = ("orders", "run", request_file("good"), "--ledger")
    ran = run(*job, "mysql://me:s3cret@host/jobs")
    assert ran.code == 2
    assert "postgresql://host/database" in ran.err
    for command in (job, ("orders", "work", "--ledger"), ("ledger", "show"), ("ledger", "export")):
        ran = run(*command, "postgresql://me:s3cret@127.0.0.1:1/jobs")
        assert (ran.code, ran.err.count("\n")) == (2, 1)
        assert "postgresql://127.0.0.1:1/jobs cannot be used: no connection" in ran.err
        assert "s3cret" not in ran.err


def test_help(run: Run) -> None:
    """Help says what a ledger is for."""
    assert "nothing is ordered twice" in " ".join(run("orders", "run", "--help").out.split())
    assert "also while it runs" in " ".join(run("ledger", "show", "--help").out.split())
