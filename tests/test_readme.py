"""The README tells the truth: its examples run, against a simulated Planet over real HTTP."""

import ast
import inspect
import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from documents import ROOT, blocks

from planet_async import ApiKey, Planet
from planet_async.simulator import AssetPlan, Limits, OrderPlan, Simulator
from planet_async.simulator.server import serve

DOCUMENT = ROOT / "README.md"
README = DOCUMENT.read_text()
SERVICES = {
    name: service
    for name, service in vars(Planet(credentials=ApiKey("any"), transport=Simulator())).items()
    if not name.startswith("_")
}


@pytest.fixture
def planet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Simulator]:
    simulator = Simulator(
        plan=OrderPlan(queue_seconds=0, run_seconds=0),
        asset_plan=AssetPlan(activation_seconds=0),
        limits=Limits.unlimited(),
    )
    with serve(simulator) as url:
        monkeypatch.setenv("PL_API_KEY", "any")
        monkeypatch.setenv("PL_BASE_URL", url)
        monkeypatch.setenv("WEBHOOK_TOKEN", "ngWJy2OiIOuDyN59cl4zSt0b_c0T2XLefW8XiiWgfOs")
        monkeypatch.chdir(tmp_path)
        yield simulator


@pytest.mark.anyio
async def test_the_python_examples_run(planet: Simulator, tmp_path: Path) -> None:
    """Each block runs as it stands, after those before it, and leaves checked files behind."""
    names: dict[str, object] = {}
    for block in blocks(DOCUMENT, "python"):
        code = compile(block, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        result = eval(code, names)
        if inspect.isawaitable(result):
            await result
    assert planet.requests["orders.create"] == 6
    assert len(list(tmp_path.glob("data/*/manifest.json"))) == 6
    assert len(list(tmp_path.glob("assets/**/*.tif"))) == 1
    assert list(tmp_path.glob("quads/**/*.tif"))


@pytest.mark.usefixtures("planet")
def test_the_commands_of_the_readme_run(tmp_path: Path) -> None:
    """The request shown is valid as it stands; each command orders, waits, downloads and checks."""
    (request,) = blocks(DOCUMENT, "json")
    (tmp_path / "field.json").write_text(request)
    (tmp_path / "area.geojson").write_text(json.dumps({"type": "Point", "coordinates": [-122.3, 37.75]}))
    command = f"{shlex.quote(sys.executable)} -m planet_async.cli"
    for number, block in enumerate(blocks(DOCUMENT, "console"), start=1):
        line = block.removeprefix("$ ").replace("planet-async", command)
        done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert len(list(tmp_path.glob("data/*/manifest.json"))) == number


@pytest.mark.parametrize("name", SERVICES)
def test_the_tables_of_methods_are_complete(name: str) -> None:
    """Every public method of a service is in its table, and no other."""
    table = README.split(f"\n`planet.{name}`\n")[1].split("\n`planet.")[0].split("\n## ")[0]
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
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", README)
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
    table = README.split("## Dependencies")[1].split("## ")[0].lower()
    for requirement in wanted:
        assert re.split(r"[<>=\[]", requirement)[0] in table
