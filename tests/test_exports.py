"""What `import planet_async` brings: the public names, each said once, and no network."""

import ast
import inspect
import subprocess
import sys
import textwrap
import typing
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import attrs
import pytest

import planet_async

PUBLIC: dict[str, Any] = {name: getattr(planet_async, name) for name in vars(planet_async)["__all__"]}
NETWORK = {"httpx", "httpx2", "httpcore", "aiohttp", "pyreqwest"}
EXTRAS = {"trio", "typer", "rich", "uvicorn", "planet"}
# The client makes these; nobody else calls them.
NOT_MADE_BY_USERS = {
    *("Orders", "Subscriptions", "Tasking", "Reports", "Features", "Destinations", "Basemaps", "Quota"),
    *("Data", "Searches", "SearchResults", "Paginator", "OffsetPaginator", "Page"),
}


def test_a_public_name_lives_in_a_public_module() -> None:
    """A module with a private name may go at any time; a class in it would be pickled by that name."""
    for name, thing in PUBLIC.items():
        module = getattr(thing, "__module__", None) or ""
        assert not [part for part in module.split(".") if part.startswith("_")], f"{name} lives in {module}"


@pytest.mark.parametrize("statement", ["import planet_async", "from planet_async import *"])
def test_importing_the_package_loads_no_network_library(statement: str) -> None:
    """Who brings a transport of their own loads none of ours; the extras are not needed either."""
    code = f"{statement}; import sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not (NETWORK | EXTRAS) & {*done.stdout.split()}


def test_a_public_name_is_one_line() -> None:
    """Each is imported once, under its own name, and nothing else has to list it."""
    tree = ast.parse(Path(planet_async.__file__).read_text())
    imports = [
        (node.lineno, alias.name, alias.asname)
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("planet_async.")
        for alias in node.names
    ]
    assert len({line for line, _, _ in imports}) == len(imports)
    assert [name for _, name, _ in imports] == [alias for _, _, alias in imports]
    assert {name for _, name, _ in imports} == {*PUBLIC}
    assert len(imports) == len(PUBLIC)


def test_a_star_import_brings_the_public_names_and_no_modules() -> None:
    """A prompt that imports all of it has no name of its own replaced by a module's."""
    brought: dict[str, object] = {}
    exec("from planet_async import *", brought)
    assert {*brought} - {"__builtins__"} == {*PUBLIC}
    assert not [name for name in PUBLIC if isinstance(PUBLIC[name], ModuleType)]
    assert "Planet" in brought
    assert "__version__" in brought


def _signatures() -> Iterator[tuple[str, object]]:
    for name, thing in PUBLIC.items():
        if inspect.isfunction(thing):
            yield name, thing
        if not inspect.isclass(thing) or not thing.__module__.startswith("planet_async"):
            continue
        if name not in NOT_MADE_BY_USERS:
            yield name, thing.__init__
        for member, value in vars(thing).items():
            function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
            if not member.startswith("_") and inspect.isfunction(function):
                yield f"{name}.{member}", function


def _classes(annotation: object) -> Iterator[type]:
    """Yield the classes that a type is made of."""
    parts = annotation if isinstance(annotation, list) else get_args(annotation)
    for part in (*parts, get_origin(annotation)):
        yield from _classes(part) if part is not None else ()
    if isinstance(annotation, type):
        yield annotation


def test_signatures_use_public_names_only() -> None:
    """Whoever annotates their own code with what ours takes and returns finds the names in the package."""
    public = {*map(id, PUBLIC.values())}
    assert len([*_signatures()]) > 300
    for name, function in _signatures():
        for annotation in get_type_hints(function).values():
            for cls in _classes(annotation):
                if cls.__module__.startswith("planet_async") and not isinstance(cls, TypeVar):
                    assert id(cls) in public, f"{name} uses {cls.__qualname__}"


def test_fields_of_records_have_public_types() -> None:
    """So has whoever reads a field of a record."""
    public = {*map(id, PUBLIC.values())}
    for name, thing in PUBLIC.items():
        if inspect.isclass(thing) and attrs.has(thing) and name not in NOT_MADE_BY_USERS:
            for field in attrs.fields(thing):
                for cls in _classes(field.type):
                    is_ours = cls.__module__.startswith("planet_async") and not field.name.startswith("_")
                    assert not is_ours or id(cls) in public, f"{name}.{field.name} is a {cls.__qualname__}"


def _annotations(cls: type) -> Iterator[ast.expr]:
    """Yield the annotations of the public fields and methods of a class."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(definition, ast.ClassDef)
    for node in definition.body:
        if isinstance(node, ast.AnnAssign) and not ast.unparse(node.target).startswith("_"):
            yield node.annotation
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            arguments = node.args
            every = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.kwarg)
            yield from (each.annotation for each in every if each and each.annotation)
            yield from [node.returns] if node.returns else []


@pytest.mark.no_cover
def test_annotations_use_exported_aliases_only() -> None:
    """Editors and `help` show an alias by its name: it is a public one, or the type is spelled out."""
    for name, thing in PUBLIC.items():
        if not inspect.isclass(thing) or not thing.__module__.startswith("planet_async"):
            continue
        names = vars(sys.modules[thing.__module__])
        used = {
            node.id
            for annotation in _annotations(thing)
            for node in ast.walk(annotation)
            if isinstance(node, ast.Name)
        }
        for alias in used & names.keys():
            value = names[alias]
            is_plain = inspect.isclass(value) or isinstance(value, TypeVar | ModuleType)
            if not is_plain and value is not getattr(typing, alias, None):
                assert alias in PUBLIC, f"{name} uses the alias {alias}"
