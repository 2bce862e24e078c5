"""Whatever a user can cause ends in one readable line and exit code 1 or 2, never in a traceback."""

import errno
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.commanded import Run, Terminal, run_in
from planet_async.cli import main
from planet_async.simulator import Fault, Simulator

RequestFile = Callable[..., Path]
GOOD = {"name": "a", "products": [{"item_ids": ["x"], "item_type": "PSScene", "product_bundle": "visual"}]}


@pytest.mark.usefixtures("base_url")
def test_a_field_that_may_be_misspelt_is_told_of(run: Run, request_file: RequestFile) -> None:
    """It is sent, since the API may know it; but an order that is not clipped costs as much."""
    ran = run("orders", "create", request_file(tool=[{"clip": {}}], notifications={"webhook_url": "x"}))
    assert (ran.code, ran.json["name"]) == (0, "farm")
    assert "farm.json: $: 'tool' is not known here, and sent as it is: is 'tools' meant?" in ran.err
    assert ran.err.count("farm.json: $.notifications: 'webhook_url' is not known here") == 1


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty"),
        (b"{'name': 1}", "is not JSON: Expecting property name enclosed in double quotes: line 1 column 2"),
        (b'{"name": "\xff"}', "is not JSON: it is not UTF-8 text"),
        (b"[1]", "$: expected an object, got 1"),
        (b"[" * 100_000, "is nested too deeply"),
        (b'{"products": []}', "$.name: missing"),
        (json.dumps({**GOOD, "name": 7}).encode(), "$.name: expected a text, got 7"),
        (
            json.dumps({**GOOD, "products": [{"item_ids": ["x"]}]}).encode(),
            "$.products[0].item_type: missing",
        ),
        (json.dumps({**GOOD, "products": "all"}).encode(), "$.products: expected a list, got a text"),
        (json.dumps({**GOOD, "extra": float("nan")}).encode(), "$.extra: expected a number, got nan"),
        (json.dumps({**GOOD, "name": "\ud800"}).encode(), "half a character"),
    ],
)
@pytest.mark.usefixtures("base_url")
def test_bad_request_file(
    content: bytes,
    expected: str,
    *,
    run: Run,
    request_file: RequestFile,
    tmp_path: Path,
    simulator: Simulator,
) -> None:
    """A bad file is named, with the place in it and what was expected; nothing at all is sent."""
    bad = tmp_path / "bad.json"
    bad.write_bytes(content)
    for command in (["create"], ["run", "--to", tmp_path / "data"]):
        ran = run("orders", *command, request_file("good"), bad)
        assert ran.code == 2
        assert ran.err.startswith(f"planet-async: {bad}: {expected}"[:60])
        assert expected in ran.err
        assert "Nothing was sent" in ran.err
        assert ran.err.count("\n") == 1
    assert not simulator.requests


@pytest.mark.usefixtures("base_url")
def test_files_that_cannot_be_read(run: Run, tmp_path: Path, simulator: Simulator) -> None:
    """Each file that is missing, an empty folder or impossible gets its line; nothing is sent."""
    missing = tmp_path / "missing.json"
    ran = run("orders", "create", missing, tmp_path, "nul\0.json")
    assert ran.code == 2
    assert ran.err.splitlines() == [
        f"planet-async: {missing}: cannot be read: No such file or directory. Nothing was sent.",
        (
            f"planet-async: {tmp_path}: is a folder without files of JSON (.json, .jsonl, .geojson). "
            "Nothing was sent."
        ),
        (
            "planet-async: nul\N{REPLACEMENT CHARACTER}.json: cannot be read: no file can have that name"
            ". Nothing was sent."
        ),
    ]
    assert not simulator.requests


def test_no_permission(monkeypatch: pytest.MonkeyPatch, run: Run, request_file: RequestFile) -> None:
    """A file that may not be read is named, with the reason."""
    path = request_file()

    def refuse(self: Path) -> bytes:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    ran = run("orders", "create", path)
    assert (ran.code, ran.err) == (
        2,
        f"planet-async: {path}: cannot be read: Permission denied. Nothing was sent.\n",
    )


def test_standard_input_is_read_once(run: Run) -> None:
    """Standard input given twice, or empty, is told so."""
    assert "only once" in run("orders", "create", "-", "-").err
    assert run("orders", "create", "-").err == "planet-async: standard input: is empty. Nothing was sent.\n"


@pytest.mark.usefixtures("base_url")
@pytest.mark.parametrize(
    "words",
    [
        ("orders", "list", "--source-type", "scene"),
        ("orders", "list", "--sort", "created"),
        ("orders", "list", "--sort", "name upwards"),
        ("subscriptions", "list", "--sort", "created_on"),
        ("subscriptions", "list", "--page-size", "20000"),
        ("features", "collections", "list", "--sort", "name"),
        ("data", "filter", "--geometry", "pl:features/my/fields-4xkQ1", "--geom-relation", "near"),
        ("data", "stats", "PSScene", "--interval", "decade"),
        ("orders", "request", "x", "--item-type", "PSScene", "--bundle", "visual", "--archive-type", "rar"),
    ],
)
def test_a_word_that_is_none_of_the_known_ones(words: tuple[str, ...], piped: Run) -> None:
    """The API would refuse it: exit code 2, and the words that it may be."""
    ran = piped(*words)
    assert (ran.code, ran.out) == (2, "")
    assert words[-1].partition(" ")[0] in ran.err or "10000" in ran.err
    assert "Traceback" not in ran.err


def test_no_key(run: Run, request_file: RequestFile) -> None:
    """Without a key the line names PL_API_KEY; a bad request file is told first."""
    ran = run("orders", "create", request_file())
    assert ran.code == 2
    assert ran.err.startswith("planet-async: no API key: PL_API_KEY is not set")
    assert ran.err.count("\n") == 1


def test_wrong_key(monkeypatch: pytest.MonkeyPatch, base_url: str, run: Run) -> None:
    """A key that the API does not know is a 401 that says what to check; the key is not shown."""
    assert base_url
    monkeypatch.setenv("PL_API_KEY", "not-this-one")
    ran = run("orders", "stats")
    assert ran.code == 1
    assert "401" in ran.err
    assert "PL_API_KEY" in ran.err
    assert "not-this-one" not in ran.err


def test_bad_base_url(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    """A base URL that is none is refused before anything is sent; the option goes before the variable."""
    monkeypatch.setenv("PL_API_KEY", "any")
    ran = run("--base-url", "ftp://planet", "orders", "stats")
    assert (ran.code, ran.out) == (2, "")
    assert "the base URL must look like https://api.planet.com" in ran.err


def test_the_real_api_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a base URL the command talks to api.planet.com, at the documented pace."""
    from planet_async.cli.runner import Connection, open_planet  # noqa: PLC0415

    monkeypatch.setenv("PL_API_KEY", "any")
    config = open_planet(Connection())._api.config
    assert config.base_url == "https://api.planet.com"
    assert config.rates["orders.create"][0].limit == 3


@pytest.mark.usefixtures("base_url")
@pytest.mark.parametrize("command", ["get", "wait", "cancel", "download"])
def test_bad_id(command: str, run: Run, tmp_path: Path, simulator: Simulator) -> None:
    """An id that is no UUID is refused before the network."""
    ran = run("orders", command, "nope", *(["--to", tmp_path] if command == "download" else []))
    assert ran.code == 2
    assert "'nope' is no order id: a UUID was expected" in ran.err
    assert not simulator.requests


@pytest.mark.usefixtures("base_url")
@pytest.mark.parametrize(
    "fault",
    [
        Fault(body=b"<html>hello</html>"),
        Fault(body=b'{"orders": [{"id'),
        Fault(body=b"{}"),
        Fault(status=503, body=b"<html>busy\nsorry</html>"),
        Fault(drop=True),
    ],
)
def test_a_server_gone_mad(fault: Fault, run: Run, simulator: Simulator) -> None:
    """HTML, half a document, a missing field, a 503 and a broken connection are a line each."""
    simulator.faults.add(fault)
    for args in (("list",), ("stats",), ("get", "4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11")):
        ran = run("orders", *args)
        assert (ran.code, ran.out) == (1, "")
        assert ran.err.startswith("planet-async: orders.")
        assert ran.err.count("\n") == 1


def test_wrong_usage(run: Run) -> None:
    """Wrong usage ends with exit code 2 and says what was wrong."""
    for args, expected in (
        (["orders", "list", "--limit", "-1"], "--limit"),
        (["orders", "get"], "ID"),
        (["nonsense"], "nonsense"),
    ):
        ran = run(*args)
        assert ran.code == 2
        assert expected in ran.out + ran.err


@pytest.mark.usefixtures("base_url")
def test_full_disk(monkeypatch: pytest.MonkeyPatch, run: Run, request_file: RequestFile) -> None:
    """Output that cannot be written is one line; output that nobody reads any more is none."""
    order_id = run("orders", "create", request_file()).json["id"]

    class Refusing(Terminal):
        def __init__(self, number: int) -> None:
            super().__init__()
            self._number = number

        def write(self, text: str) -> int:
            raise OSError(self._number, os.strerror(self._number))

    for number, expected in ((errno.ENOSPC, "No space left on device"), (errno.EPIPE, "")):
        ran = run_in(monkeypatch, ("orders", "get", order_id, "--json"), Refusing(number), Terminal(), "")
        assert ran.code == 1
        assert "Traceback" not in ran.err
        assert ran.err == (f"planet-async: [Errno {number}] {expected}\n" if expected else "")


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without Typer the command says in one line how to install it."""
    monkeypatch.delitem(sys.modules, "planet_async.cli.app", raising=False)
    monkeypatch.setitem(sys.modules, "typer", None)
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 1
    assert capsys.readouterr().err == (
        'planet-async: the command needs its extra: python -m pip install "planet-async[cli]"\n'
    )


def test_another_missing_module_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the extra is explained away; a broken installation shows what is broken."""
    monkeypatch.delitem(sys.modules, "planet_async.cli.app", raising=False)
    monkeypatch.setitem(sys.modules, "planet_async.cli.demo", None)
    with pytest.raises(ModuleNotFoundError, match="planet_async"):
        main([])


@pytest.mark.parametrize("command", [["simulate"], ["demo"]])
def test_without_the_simulator(command: list[str], monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    """Without the extra `simulator`, the commands that need it say how to install it."""
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    ran = run(*command)
    assert ran.code == 1
    assert ran.err.count("\n") == 1
    assert 'pip install "planet-async[cli,simulator]"' in ran.err


def test_help_reads_well(run: Run, on_terminal: Run) -> None:
    """Every command has help with its options explained, and the ones for orders an example."""
    top = on_terminal("--help").out
    assert "PL_API_KEY" in top
    assert "planet-async demo" in top
    for command in ("create", "get", "list", "wait", "run", "download", "cancel"):
        text = run("orders", command, "--help").out
        assert f"planet-async orders {command} " in text
        assert "\n\n\n\n" not in text
    assert "--yes" in run("orders", "cancel", "--help").out
    assert "Errors and progress go to standard error." in top
    assert run("orders").code == 2


def test_version(run: Run) -> None:
    """--version prints the version and nothing else."""
    ran = run("--version")
    assert ran.code == 0
    assert ran.out.startswith("planet-async ")
    assert ran.out.count("\n") == 1
