import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import planet_async
from planet_async._exports import HOME

HEAVY = {"anyio", "asyncio", "attr", "email", "logging", "msgspec", "socket", "sqlite3", "ssl"}


def _loaded_by(statement: str) -> set[str]:
    code = f"import sys; before = {{*sys.modules}}; {statement}; print(*({{*sys.modules}} - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_a_type_checker_and_the_program_find_a_name_in_the_same_module() -> None:
    """The table, the imports that a type checker reads and `__all__` tell of the same names."""
    tree = ast.parse(Path(planet_async.__file__).read_text())
    for_checkers = next(node for node in tree.body if isinstance(node, ast.If))
    typed = {
        alias.name: (node.module or "").removeprefix("planet_async.")
        for node in for_checkers.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed == HOME
    assert {*HOME, "__version__"} == {*planet_async.__all__}


def test_importing_the_package_loads_next_to_nothing() -> None:
    """A program that imports the package and uses one name of it does not wait for the others."""
    loaded = _loaded_by("import planet_async")
    own = {name for name in loaded if name.startswith("planet_async")}
    assert own == {"planet_async", "planet_async._exports", "planet_async._version"}
    assert not HEAVY & loaded
    assert len(loaded) <= 40  # 31 on Python 3.11, most of them typing's


def test_an_error_is_had_without_the_client() -> None:
    """What is asked for is loaded, and what that needs, but no more."""
    assert "planet_async.services" not in _loaded_by("from planet_async import NotFound")


def test_a_name_is_the_same_thing_by_either_way() -> None:
    """`except planet_async.NotFound` catches what was raised as `planet_async.errors.NotFound`."""
    for name, module in HOME.items():
        assert getattr(planet_async, name) is getattr(import_module(f"planet_async.{module}"), name)


def test_a_star_import_and_a_listing_have_every_name() -> None:
    """Who looks before asking, as a prompt that completes names does, sees those not loaded yet."""
    statement = "import planet_async; assert {*planet_async.__all__} <= {*dir(planet_async)}"
    assert "planet_async.client" not in _loaded_by(statement)
    assert "planet_async.client" in _loaded_by("from planet_async import *; Planet")


def test_a_name_that_is_none_is_refused_as_by_any_module() -> None:
    """A mistyped name is an error that says it, not a name that is loaded later."""
    name = "Plant"
    with pytest.raises(AttributeError, match="module 'planet_async' has no attribute 'Plant'"):
        getattr(planet_async, name)
    assert not hasattr(planet_async, name)
