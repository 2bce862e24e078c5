"""The README and the pages of docs/ tell the truth: what they show runs, against a simulated Planet."""

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio.from_thread
import pytest
from documents import DOCUMENTS, ROOT, blocks, examples
from planet.cli.cli import main as planet_command
from reader import Reader
from typer.main import get_command

from planet_async import ApiKey, Planet
from planet_async.cli.app import app
from planet_async.simulator import AssetPlan, Limits, OrderPlan, Simulator
from planet_async.simulator.server import serve

README = ROOT / "README.md"
LOGS = (ROOT / "docs/how-to/logging-and-opentelemetry.md").read_text()
METHODS = (ROOT / "docs/reference/methods.md").read_text()
MOVING = (ROOT / "docs/how-to/from-planet.md").read_text()
PROMISES = (ROOT / "docs/explanation/promises.md").read_text()
DEPENDENCIES = (ROOT / "docs/reference/dependencies.md").read_text()
ELSEWHERE = {
    "delivery-to-object-stores.md",
    "many-workers.md",
}  # pages whose examples need more: they have tests of their own
PAGES = [
    page
    for page in DOCUMENTS
    if {"python", "console"} & {example.language for example in examples(page)} and page.name not in ELSEWHERE
]
AREA = {
    "type": "Polygon",
    "coordinates": [[[-122.33, 37.75], [-122.2, 37.75], [-122.2, 37.85], [-122.33, 37.75]]],
}
PRINTED = {  # what examples print or log, as regular expressions
    "README.md": [r"^2025\d{4}_\w+ 2025-"],
    "docs/how-to/logging-and-opentelemetry.md": [
        r"orders.stats: .*attempt 1$",
        r'"name": "orders.stats"',
        r"Counter\(\{'orders.stats': 1\}\)",
    ],
    "docs/tutorials/thousands-of-orders.md": [r"^20 orders, 20 names$"],
}
FILES = {  # what examples download
    "README.md": "data/*/manifest.json",
    "docs/how-to/other-apis.md": "quads/**/*.tif",
}
SERVICES = {
    name: service
    for name, service in vars(Planet(credentials=ApiKey("any"), transport=Simulator())).items()
    if not name.startswith("_")
}


@pytest.fixture
def planet() -> Iterator[str]:
    """Serve a simulated Planet, and yield its address."""
    simulator = Simulator(
        plan=OrderPlan(queue_seconds=0, run_seconds=0),
        asset_plan=AssetPlan(activation_seconds=0),
        limits=Limits.unlimited(),
    )
    with serve(simulator) as url:
        yield url


@pytest.fixture
def reader(planet: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Reader]:
    for name in ("PL_API_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "any")
    monkeypatch.setenv("PL_BASE_URL", planet)
    monkeypatch.setenv("WEBHOOK_TOKEN", "ngWJy2OiIOuDyN59cl4zSt0b_c0T2XLefW8XiiWgfOs")
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    # Nobody waits here: orders are finished when they are placed, and the simulator has no rate limits.
    monkeypatch.setattr("planet_async.config.Schedule.pause", lambda *_: 0.05)
    monkeypatch.setattr("planet_async.layers.rate_limit.RateLimits.limiter", lambda *_: None)
    (tmp_path / "area.geojson").write_text(json.dumps(AREA))
    with anyio.from_thread.start_blocking_portal() as portal:
        yield Reader(tmp_path, portal, monkeypatch)


@pytest.mark.no_cover
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_shows_runs(
    page: Path,
    reader: Reader,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Read from top to bottom, each example works; those of the README work alone, too.

    Examples of the README and of tutorials can be pasted into `python -m asyncio`, line by line.
    """
    for example in examples(page):
        if page == README:
            reader.names.clear()
        reader.follow(example, paste=page == README or "tutorials" in page.parts)
    printed = "\n".join([reader.printed, *capsys.readouterr(), caplog.text])
    name = str(page.relative_to(ROOT))
    for line in PRINTED.get(name, ()):
        assert re.search(line, printed, re.MULTILINE), printed
    assert name not in FILES or [*tmp_path.glob(FILES[name])]


@pytest.mark.parametrize("name", SERVICES)
def test_the_tables_of_methods_are_complete(name: str) -> None:
    """Every public method of a service is in its table, and no other."""
    table = METHODS.split(f"\n## `planet.{name}`\n")[1].split("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    named = [found for row in rows for found in re.findall(r"`([\w.]+)`", row.split("|")[1])]
    assert sorted(named) == sorted(_methods(SERVICES[name]))


def _methods(service: object) -> Iterator[str]:
    yield from (name for name in vars(type(service)) if not name.startswith("_"))
    for name, part in vars(service).items():
        if not name.startswith("_"):
            yield from (f"{name}.{method}" for method in _methods(part))


def test_every_promise_has_its_test() -> None:
    """The tests that the table of promises names are there."""
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PROMISES)
    assert len(named) > 10
    for path, name in named:
        assert f"def {name}(" in (ROOT / path).read_text(), f"{path}::{name}"


def test_every_dependency_earns_its_place() -> None:
    """The table names each dependency of the package and of its extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(one for extra in project["optional-dependencies"].values() for one in extra),
    ]
    for requirement in wanted:
        assert re.split(r"[<>=\[;]", requirement)[0].strip() in DEPENDENCIES.lower()


def test_the_table_of_loggers_is_complete() -> None:
    """It names each logger of the package, and no other."""
    sources = "".join(path.read_text() for path in (ROOT / "planet_async").rglob("*.py"))
    loggers = {*re.findall(r'getLogger\("(planet_async\.\w+)"\)', sources)} - {"planet_async.cli"}
    table = LOGS.partition("## Logs")[2].partition("```")[0]
    assert {*re.findall(r"`(planet_async\.\w+)`", table)} == loggers


def test_each_command_of_planet_has_its_translation() -> None:
    """Who moves from Planet's own command finds all of it in the table, and commands of ours that exist."""
    table = MOVING.partition("## Commands")[2]
    theirs = [path for path in _paths(planet_command) if path.partition(" ")[0] not in {"plauth", "auth"}]
    left = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `planet ")]
    named = {path for cell in left for path in _expanded(cell)}
    assert not {*theirs} - named
    right = [line.split("|")[2] for line in table.splitlines() if line.startswith("| `planet ")]
    ours = {*_paths(get_command(app))}
    for cell in right:
        for path in re.findall(r"`planet-async ([a-z -]+?)`", cell):
            assert path in ours, path


def test_commands_that_are_only_shown_exist() -> None:
    """So do their options: such commands need a network, an account, or a second terminal."""
    shown = [
        words
        for page in DOCUMENTS
        for text in blocks(page, "sh")
        for words in _shown_commands(re.sub(r"\\\n *|(?<=\|)\n *", " ", text))
    ]
    assert len(shown) > 10
    root = get_command(app)
    for words in shown:
        command: Any = root
        options = {"--help", *_options(command)}
        for word in words:
            if word.startswith("-") and word != "-":
                assert word.partition("=")[0] in options, f"{word} of {words}"
            elif below := getattr(command, "commands", None):
                assert word in below, f"{word} of {words}"
                command = below[word]
                options |= _options(command)


def _shown_commands(text: str) -> Iterator[list[str]]:
    for found in re.findall(r"(?:^|[|;] *|\w=\S+ )planet-async ([^|#\n]*)", text, re.MULTILINE):
        yield shlex.split(found.rstrip(" &"))


def _options(command: Any) -> set[str]:
    return {option for each in command.params for option in each.opts}


def _paths(command: Any, *names: str) -> Iterator[str]:
    """Yield the commands of a program, such as "orders list"."""
    below = getattr(command, "commands", None)
    if below is None:
        yield " ".join(names)
    for name, each in (below or {}).items():
        yield from _paths(each, *names, name)


def _expanded(cell: str) -> Iterator[str]:
    """Yield what a cell stands for: `planet data asset-get`, `asset-list` are two commands of data.

    The words of the first are repeated as far as the others lack them.
    """
    first, *others = re.findall(r"`([^`]+)`", cell)
    words = first.removeprefix("planet ").split()
    yield " ".join(words)
    for other in others:
        for kept in range(len(words)):
            yield " ".join([*words[:kept], *other.split()])
