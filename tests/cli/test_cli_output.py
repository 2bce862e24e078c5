"""What a person is told on the way: what is tried again, and what to do in the words of the command."""

import ast
import io
import logging
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import planet_async
from cli.commanded import Run, Terminal, run_in
from planet_async import Config, Planet, PlanetError
from planet_async.cli.logs import LogLines
from planet_async.cli.output import one_line, print_table
from planet_async.simulator import Fault, Simulator


@pytest.fixture
def patient(base_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands try again, at once."""

    def open_planet(_: object) -> Planet:
        return Planet(Config(base_url=base_url, rates={}, first_backoff=0.001))

    monkeypatch.setattr("planet_async.cli.runner.open_planet", open_planet)


@pytest.mark.usefixtures("patient")
def test_a_person_sees_that_it_is_tried_again(run: Run, on_terminal: Run, simulator: Simulator) -> None:
    """A dim line says what went wrong and that it goes on; in a pipe there is none, and no trace is left."""
    simulator.faults.add(Fault(status=503, times=1))
    ran = on_terminal("orders", "stats")
    assert ran.code == 0
    assert ran.err.startswith("\x1b[2mtrying again in 0.0 s: orders.stats: 503")
    simulator.faults.add(Fault(status=503, times=1))
    ran = run("orders", "stats")
    assert (ran.code, ran.err) == (0, "")
    logger = logging.getLogger("planet_async")
    assert not any(isinstance(handler, LogLines) for handler in logger.handlers)
    assert logger.level == logging.NOTSET


@pytest.mark.usefixtures("base_url")
def test_results_go_to_the_pipe(
    request_file: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`orders run > results` on a terminal: the progress is on the terminal, the JSON only in the pipe."""
    args = ("orders", "run", request_file("farm"), "--to", tmp_path / "data", "--format", "jsonl")
    ran = run_in(monkeypatch, args, io.StringIO(), Terminal(), "")
    assert (ran.code, ran.json["state"]) == (0, "success")
    assert "Downloading" in ran.err
    assert '"state"' not in ran.err


@pytest.mark.usefixtures("base_url")
def test_a_long_job_says_how_far_it_is(
    run: Run, request_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a pipe there is a line every ten seconds in place of bars, also while nothing happens."""
    monkeypatch.setattr("planet_async.cli.output._SECONDS_PIPED", 0.01)
    order_id = run("orders", "create", request_file("waits"), "--format", "ids").out.strip()
    ran = run("orders", "wait", order_id, "--timeout", "0.5")
    assert ran.err.count("planet-async: Waiting for orders: 0 of 1\n") > 1
    assert run("-q", "orders", "wait", order_id, "--timeout", "0.1").err.count("\n") == 1


@pytest.mark.usefixtures("base_url")
def test_a_table_that_was_cut_off_says_so(run: Run, simulator: Simulator) -> None:
    """So it does with `-q`, which shows no progress: what is missing must not go unnoticed."""
    product = {"item_ids": ["20221221_084022_18_2414"], "item_type": "PSScene", "product_bundle": "visual"}
    simulator.add_past_orders([{"name": "farm", "products": [product]}] * 101, 1)
    for options in ((), ("-q",)):
        ran = run(*options, "orders", "list", "--format", "table")
        assert ran.err == "planet-async: the first 100 orders are shown; --limit 0 shows all\n"


def test_a_warning_is_one_line(base_url: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the library warns of is said as errors are, without a place in its code."""

    def open_planet(_: object) -> Planet:
        warnings.warn("two orders have this name", stacklevel=1)
        return Planet(Config(base_url=base_url))

    monkeypatch.setattr("planet_async.cli.runner.open_planet", open_planet)
    ran = run("orders", "stats")
    assert (ran.code, ran.err) == (0, "planet-async: two orders have this name\n")


def test_many_attempts_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """At most one line a second, of one line's length; nothing in it controls the terminal."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    lines = LogLines()
    for created in (100.0, 100.5, 100.9, 101.2):
        record = logging.LogRecord(
            "planet_async", logging.INFO, "", 0, "at %s \x1b]0;x\x07" + "x" * 300, (created,), None
        )
        record.created = created
        lines.emit(record)
    shown = terminal.getvalue()
    assert [line.split()[1] for line in shown.splitlines()] == ["100.0", "101.2"]
    assert "\x1b]0" not in shown
    assert max(map(len, shown.splitlines())) < 140


def test_a_pipe_shows_trouble_that_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody watches, attempts that fail are reported from the fifth second on, every ten seconds."""
    pipe = io.StringIO()
    monkeypatch.setattr(sys, "stderr", pipe)
    lines, started = LogLines(), time.time()
    for seconds in (1, 4, 6, 9, 15, 17):
        record = logging.LogRecord("planet_async", logging.INFO, "", 0, "after %s s", (seconds,), None)
        record.created = started + seconds
        lines.emit(record)
    assert pipe.getvalue() == "planet-async: after 6 s\nplanet-async: after 17 s\n"


def test_a_create_that_gets_no_response_is_not_silent(
    base_url: str,
    run: Run,
    request_file: Callable[..., Path],
    *,
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where all responses are 500, the lines on the way and the error say so, in a pipe too."""

    def open_planet(_: object) -> Planet:
        config = Config(
            base_url=base_url,
            rates={},
            first_backoff=0.001,
            consistency_delay=0.01,
            max_attempts=3,
            retry_for=2,
        )
        return Planet(config)

    monkeypatch.setattr("planet_async.cli.runner.open_planet", open_planet)
    monkeypatch.setattr("planet_async.cli.logs._PATIENCE_PIPED", 0.0)
    simulator.faults.add(Fault(status=500))
    ran = run("orders", "create", request_file())
    assert (ran.code, ran.out) == (1, "")
    first, *_, last = ran.err.splitlines()
    assert first.startswith("planet-async: looking up whether the order was created: orders.create: 500")
    assert "500" in last


@pytest.mark.usefixtures("base_url")
def test_hints_name_the_options_of_the_command(
    run: Run, request_file: Callable[..., Path], tmp_path: Path
) -> None:
    """A file in the way can be replaced with --overwrite, not with an argument of Python."""
    order_id = run("orders", "create", request_file()).json["id"]
    download = ("orders", "download", order_id, "--to", tmp_path / "data")
    assert run(*download).code == 0
    next(tmp_path.rglob("*.tif")).write_bytes(b"mine")
    ran = run(*download)
    assert ran.code == 1
    assert "Pass --overwrite to replace it" in ran.err


ROW = ("4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11", "completed", 1234567, "a name of several words and_a_long_one")


@pytest.mark.parametrize(
    ("columns", "titles", "last"),
    [(40, "id state", None), (60, "id state name", "several"), (80, "id state number name", "several")],
)
def test_narrow_tables_keep_ids_and_states(
    columns: int, titles: str, last: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Columns without room are left out whole and named below; ids, states and words are never broken."""
    monkeypatch.setenv("COLUMNS", str(columns))
    terminal, below = Terminal(), Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(sys, "stderr", below)
    print_table(("id", "state", "number", "name"), [ROW])
    shown = re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue())
    assert " ".join(shown.splitlines()[0].split()) == titles
    assert {*ROW[:2], last} - {None} <= {*shown.split()}
    for title in ("number", "name"):
        assert (title in titles) != (title in below.getvalue())


def test_a_table_in_a_pipe_has_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line for each record with all columns, whatever the terminal, so that `grep` and `less -S` work."""
    monkeypatch.delenv("COLUMNS")
    pipe = io.StringIO()
    monkeypatch.setattr(sys, "stdout", pipe)
    print_table(("id", "state", "number", "name"), [(*ROW[:3], "words " * 40)])
    title, row = pipe.getvalue().splitlines()
    assert title.split() == ["id", "state", "number", "name"]
    assert row.startswith(f"{ROW[0]}  completed  1,234,567  words words ")
    assert row.count("words") == 40


def _strings(node: ast.AST) -> str:
    """Return the literal parts of a message."""
    return "".join(
        each.value
        for each in ast.walk(node)
        if isinstance(each, ast.Constant) and isinstance(each.value, str)
    )


def _advice() -> Iterator[str]:
    """Yield what the errors of the library advise."""
    package = Path(planet_async.__file__).parent
    for path in package.rglob("*.py"):
        if not {"simulator", "testing", "cli"} & set(path.relative_to(package).parts):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.keyword) and node.arg == "hint":
                    yield _strings(node.value)


@pytest.mark.no_cover
def test_no_advice_is_in_python() -> None:
    """Whatever the library advises, the command says it in its own words, or not at all."""
    in_code = r"\w\(|[a-z]=|\bplanet\.(?!com)\w|Config\b|\bTrue\b|tzinfo|ApiKey|`orders\."
    advices = {advice for advice in _advice() if advice}
    assert len(advices) > 50
    for advice in advices - {'Like this: rates={"orders.create": (Window(3),)}'}:
        text = one_line(PlanetError("the request failed", hint=advice))
        assert text.startswith("the request failed.")
        assert not re.search(in_code, text), advice
