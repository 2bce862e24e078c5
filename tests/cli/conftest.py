import io
import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.commanded import Ran, Run, Terminal, has_formats, run_in
from planet_async import Config, Planet, Schedule
from planet_async.cli.runner import Connection
from planet_async.simulator import Limits, OrderPlan, Simulator
from planet_async.simulator.server import serve


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    planet = ("PL_BASE_URL", "PL_API_KEY", "PL_AUTH_PROFILE", "PL_AUTH_CLIENT_ID", "PL_AUTH_CLIENT_SECRET")
    for name in (*planet, "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path_factory.mktemp("home")
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("LINES", "60")


@pytest.fixture(autouse=True)
def ctrl_c() -> Iterator[None]:
    """Ctrl-C is heard, also where the tests run in the background of a script, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def file_bytes() -> int:
    """Return the size of a raster; a test may choose another one."""
    return 4096


@pytest.fixture
def simulator(file_bytes: int) -> Simulator:
    """Orders are done at once, but those whose name says otherwise: "waits" or "fails"."""

    def plan(order: Any, _: int) -> OrderPlan:
        if "waits" in order["name"]:
            return OrderPlan(queue_seconds=3600)
        if "fails" in order["name"]:
            return OrderPlan(queue_seconds=0, run_seconds=0, state="failed", error_hints=["no clear pixel"])
        return OrderPlan(queue_seconds=0, run_seconds=0)

    return Simulator(limits=Limits.unlimited(), plan=plan, file_bytes=file_bytes, api_key="secret-key")


@pytest.fixture
def base_url(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of the simulator, in PL_BASE_URL; clients of the command look often, and give up soon."""

    def open_planet(connection: Connection) -> Planet:
        config = Config(
            base_url=connection.base_url or "",
            proxy=connection.proxy,
            ca_file=connection.ca_file,
            rates={},
            schedule=Schedule(first=0.01, longest=0.01),
            max_attempts=1,
            read_timeout=5,
        )
        return Planet(config)

    monkeypatch.setattr("planet_async.cli.runner.open_planet", open_planet)
    monkeypatch.setenv("PL_API_KEY", "secret-key")
    with serve(simulator) as url:
        monkeypatch.setenv("PL_BASE_URL", url)
        yield url


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command as in a pipe."""

    def run(*args: object, stdin: str = "") -> Ran:
        return run_in(monkeypatch, args, io.StringIO(), io.StringIO(), stdin)

    return run


@pytest.fixture
def run(piped: Run) -> Run:
    """Run the command as a script does, which asks for JSON Lines where there is a choice."""

    def run(*args: object, stdin: str = "") -> Ran:
        has_choice = has_formats(args) and not {"--format", "--json", "--csv", "--help"} & {*args}
        return piped(*args, *(("--format", "jsonl") if has_choice else ()), stdin=stdin)

    return run


@pytest.fixture
def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command as on a terminal."""

    def run(*args: object, stdin: str = "") -> Ran:
        return run_in(monkeypatch, args, Terminal(), Terminal(), stdin)

    return run


@pytest.fixture
def request_file(tmp_path: Path) -> Callable[..., Path]:
    """Write a request file that is right, but for the fields given."""

    def write(name: str = "farm", /, **fields: Any) -> Path:
        product = {
            "item_ids": ["20221221_084022_18_2414"],
            "item_type": "PSScene",
            "product_bundle": "visual",
        }
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps({"name": name, "products": [product], **fields}))
        return path

    return write
