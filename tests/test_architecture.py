import ast
import inspect
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import planet_async

PACKAGE = Path(planet_async.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
NETWORK = {"httpx", "httpx2", "httpcore", "aiohttp"}
LEVELS = (  # a module imports those of the levels before its own, and of its own
    ("http", "errors", "clock", "_version"),
    ("config", "redaction", "outcome", "_tasks", "_loops", "_events", "databases"),
    ("models", "transports", "downloads"),
    ("auth", "layers", "jobs", "webhooks"),
    ("paging",),
    ("waiting", "exactly_once", "offset_paging"),
    ("services", "frames"),
    ("client",),
    ("__init__",),
    ("simulator", "cli", "testing"),
    ("__main__",),
)
LEVEL = {name: number for number, names in enumerate(LEVELS) for name in names}


def _name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


MODULES = {_name(path) for path in FILES}


@cache
def _imports(path: Path) -> tuple[str, ...]:
    """Return the modules that a file imports; those of the package without its name."""
    return (*_read_imports(path),)


def _read_imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            module = node.module or ""
            inside = [f"{module}.{alias.name}" for alias in node.names]
            names = [name if name.removeprefix("planet_async.") in MODULES else module for name in inside]
        else:
            continue
        for name in names:
            yield "__init__" if name == "planet_async" else name.removeprefix("planet_async.")


def _part(module: str) -> str:
    return module.partition(".")[0]


@pytest.mark.no_cover
def test_nothing_imports_upwards() -> None:
    """A module knows those below it and beside it, as the house in the design has it."""
    for path in FILES:
        part = _part(_name(path))
        assert part in LEVEL, f"{part} is new: say in LEVELS where it belongs"
        for imported in _imports(path):
            if imported in MODULES:
                assert LEVEL[_part(imported)] <= LEVEL[part], f"{_name(path)} imports {imported}"


def test_no_modules_import_each_other() -> None:
    """There is an order in which each module can be read after all that it needs."""
    graph = {_name(path): {name for name in _imports(path) if name in MODULES} for path in FILES}
    assert len([*TopologicalSorter(graph).static_order()]) == len(MODULES)


def test_only_transports_import_a_network_library() -> None:
    """The default network can be replaced in one file."""
    for path in FILES:
        if _part(_name(path)) != "transports":
            assert not NETWORK & {_part(name) for name in _imports(path)}, _name(path)


def test_one_module_imports_obstore_and_is_loaded_when_it_is_needed() -> None:
    """Object stores are an extra: without it, all else works."""
    users = {_name(path) for path in FILES if "obstore" in map(_part, _imports(path))}
    assert users == {"downloads.object_store"}
    loaded = [
        node
        for path in FILES
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ImportFrom) and node.module == "planet_async.downloads.object_store"
    ]
    assert loaded == []


@pytest.mark.parametrize("name", ["httpx", "httpx2", "aiohttp"])
def test_a_network_loads_its_own_library_and_no_other(name: str) -> None:
    """Mocks and instrumentation are of one library: which one is used is never a surprise."""
    client = f"from planet_async import *; Planet(credentials=ApiKey('any'), transport={name!r})"
    code = f"{client}; import sys; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"httpx", "httpx2", "aiohttp"} & {*result.stdout.split()} == {name}


def _public() -> Iterator[tuple[str, object]]:
    for name in vars(planet_async)["__all__"]:
        thing = getattr(planet_async, name)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            yield name, thing
        if inspect.isclass(thing) and thing.__module__.startswith("planet_async"):
            for member, value in vars(thing).items():
                if not member.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
                    yield f"{name}.{member}", value


def test_every_public_name_has_a_docstring() -> None:
    """Help is a `help()` away, for classes, functions, and their public methods."""
    assert len([*_public()]) > 300
    assert not [name for name, thing in _public() if not (thing.__doc__ or "").strip()]


def test_the_package_says_that_it_is_typed() -> None:
    """Type checkers of users read our annotations only where this file is."""
    assert (PACKAGE / "py.typed").is_file()


def test_no_public_class_lives_in_a_private_module() -> None:
    """What the package exports can be found where its name says: `planet_async.paging.Paginator`."""
    for name in vars(planet_async)["__all__"]:
        module = getattr(getattr(planet_async, name), "__module__", "")
        assert not any(part.startswith("_") for part in module.split(".")), f"{name} lives in {module}"


NOUNS = {  # they have one importer, which is beside them, and are nouns of their own all the same
    "cli.auth",
    "cli.basemaps",
    "cli.data",
    "cli.demo",
    "cli.destinations",
    "cli.features",
    "cli.ledger",
    "cli.quota",
    "cli.reports",
    "cli.subscriptions",
    "cli.tasking",
    "databases.postgres",
    "databases.sqlite",
    "downloads.segments",
    "services._asset_files",
    "services._bulk_cancel",
    "services._order_files",
    "simulator.basemaps",
    "simulator.destinations",
    "simulator.orders",
    "simulator.quota",
    "simulator.subscriptions",
    "simulator.tasking",
    "simulator.webhooks",
    "transports.aiohttp",
}


def test_no_module_is_a_mere_part_of_its_neighbour() -> None:
    """A module with one importer in its own folder belongs into that one, unless it is a noun of its own."""
    importers: dict[str, set[str]] = {module: set() for module in MODULES}
    for path in FILES:
        for imported in _imports(path):
            if imported in MODULES and imported != _name(path):
                importers[imported].add(_name(path))
    parts = {
        module
        for module, (importer, *others) in ((name, [*found]) for name, found in importers.items() if found)
        if not others and "." in module and importer.rpartition(".")[0] == module.rpartition(".")[0]
    }
    assert parts <= NOUNS, parts - NOUNS
