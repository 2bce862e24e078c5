"""`-v`, `-q` and `--log-format json`: what a person or a program is shown of the logs."""

import io
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.commanded import Run, Terminal, run_in
from planet_async import Config, Planet
from planet_async.cli.output import MessageHandler
from planet_async.cli.runner import Connection
from planet_async.simulator import Fault, Simulator

FAILED_ONCE = Fault(operation="orders.stats", status=503, times=1)


@pytest.fixture(autouse=True)
def patient(base_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands try again, at once."""

    def open_planet(_: Connection) -> Planet:
        return Planet(Config(base_url=base_url, rates={}, first_backoff=0.001))

    monkeypatch.setattr("planet_async.cli.runner.open_planet", open_planet)


def test_v_shows_every_line_and_vv_every_request(run: Run, simulator: Simulator) -> None:
    """`-v` has a line for a retry, also in a pipe; `-vv` one for each request; both with time and part."""
    simulator.faults.add(FAILED_ONCE)
    (line,) = run("-v", "orders", "stats").err.splitlines()
    assert " INFO planet_async.retry: trying again in 0.0 s: orders.stats: 503" in line
    simulator.faults.add(FAILED_ONCE)
    first, second, third = run("-vv", "orders", "stats").err.splitlines()
    assert " DEBUG planet_async.http: orders.stats: GET http" in first
    assert ": 503 in " in first
    assert "trying again" in second
    assert third.endswith("attempt 2")
    assert "?" not in first + third


def test_json_has_a_document_on_each_line(run: Run, simulator: Simulator) -> None:
    """Logs and errors are JSON with their fields, none is left out, and nothing else is on standard error."""
    simulator.faults.add(FAILED_ONCE)
    ran = run("--log-format", "json", "orders", "get", "00000000-0000-4000-8000-000000000000")
    (error,) = map(json.loads, ran.err.splitlines())
    assert ran.code == 1
    assert error.items() >= {"level": "ERROR", "logger": "planet_async.cli"}.items()
    assert "404" in error["message"]
    ran = run("--log-format=json", "-vv", "orders", "stats")
    first, retry, _ = map(json.loads, ran.err.splitlines())
    assert first.items() >= {"operation": "orders.stats", "http_status": 503, "attempt": 1}.items()
    assert retry.items() >= {"logger": "planet_async.retry", "level": "INFO", "http_status": 503}.items()
    assert retry["time"].endswith("Z")


def test_q_shows_errors_only(
    run: Run, monkeypatch: pytest.MonkeyPatch, request_file: Callable[..., Path], tmp_path: Path
) -> None:
    """No bars, no notes and no logs, on a terminal too; errors are lines as ever."""
    args: tuple[Any, ...] = ("-q", "orders", "run", request_file("farm"), "--to", tmp_path)
    for err in (io.StringIO(), Terminal()):
        ran = run_in(monkeypatch, args, io.StringIO(), err, "")
        assert (ran.code, ran.err) == (0, "")
    ran = run("-q", "orders", "get", "00000000-0000-4000-8000-000000000000")
    assert ran.code == 1
    assert ran.err.startswith("planet-async: ")
    assert ran.err.count("\n") == 1


def test_bars_and_logs_do_not_destroy_each_other(
    monkeypatch: pytest.MonkeyPatch, request_file: Callable[..., Path], tmp_path: Path
) -> None:
    """Lines of `-vv` stand above the bars, each on its own; with JSON there are no bars."""
    args: tuple[Any, ...] = ("orders", "run", request_file("farm"), "--to", tmp_path)
    ran = run_in(monkeypatch, ("-vv", *args), io.StringIO(), Terminal(), "")
    assert "Downloading" in ran.err
    lines = [line for line in ran.err.splitlines() if " DEBUG planet_async.http" in line]
    assert len(lines) > 3
    assert not [line for line in lines if "Downloading" in line]
    ran = run_in(monkeypatch, ("--log-format", "json", "-vv", *args), io.StringIO(), Terminal(), "")
    assert [json.loads(line) for line in ran.err.splitlines()]


@pytest.mark.parametrize("args", [("-q", "-v"), ("--log-format", "xml"), ("-q", "-q")])
def test_options_that_contradict_each_other_are_wrong_input(run: Run, args: tuple[str, ...]) -> None:
    """A usage error, and exit code 2."""
    assert run(*args, "orders", "stats").code == 2


def test_no_trace_is_left(run: Run) -> None:
    """Loggers are as they were before: a program may run the command in its process."""
    run("--log-format", "json", "-vv", "orders", "stats")
    for name in ("planet_async", "planet_async.cli"):
        logger = logging.getLogger(name)
        assert not any(isinstance(handler, MessageHandler) for handler in logger.handlers)
        assert logger.level == logging.NOTSET
