"""What the site makes of docstrings: examples are code, public names are links, records have constructors."""

import ast
import re
from importlib import import_module
from typing import Any

import attrs
import griffe

import planet_async

_PUBLIC = "|".join(sorted(vars(planet_async)["__all__"], key=len, reverse=True))
_LINKED = re.compile(rf"(?<![`\[.\w])`({_PUBLIC})`(?![`\]])")
_ATTRS = {"attrs.frozen", "attrs.define"}
_CODE = re.compile(r"\s*(async with|async for|await |with |for |\w+ = |\w+\()")


class Docstrings(griffe.Extension):
    """Changes what was read from the source, before it is shown."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Rewrite the docstrings of a package, and add the constructors that attrs makes."""
        for each in _objects(pkg):
            if isinstance(each, griffe.Class):
                _add_constructor(each)
                _drop_constructor_of_service(each)
            if each.docstring:
                each.docstring.value = "\n\n".join(map(_rewritten, each.docstring.value.split("\n\n")))


def _objects(parent: griffe.Module | griffe.Class) -> list[Any]:
    found: list[Any] = [parent]
    for member in parent.members.values():
        if isinstance(member, griffe.Module | griffe.Class):
            found += _objects(member)
        elif not member.is_alias:
            found.append(member)
    return found


def _add_constructor(cls: griffe.Class) -> None:
    if not _ATTRS & {decorator.callable_path for decorator in cls.decorators}:
        return
    try:
        real = getattr(import_module(cls.module.path), cls.name, None)
    except ModuleNotFoundError:
        return  # an inner module, whose extra is not installed: what is exported needs none
    if not isinstance(real, type) or not attrs.has(real) or "__init__" in cls.members:
        return
    parameters = [griffe.Parameter("self", kind=griffe.ParameterKind.positional_or_keyword)]
    for field in attrs.fields(real):
        if field.init:
            attribute = cls.all_members.get(field.name)
            kind = "keyword_only" if field.kw_only else "positional_or_keyword"
            parameters.append(
                griffe.Parameter(
                    str(field.alias),
                    annotation=getattr(attribute, "annotation", None),
                    kind=griffe.ParameterKind[kind],
                    default=_default(field.default),
                )
            )
    constructor = griffe.Function("__init__", parameters=griffe.Parameters(*parameters))
    cls.set_member("__init__", constructor)


def _drop_constructor_of_service(cls: griffe.Class) -> None:
    """Show no constructor where the client is the only one who calls it."""
    constructor = cls.members.get("__init__")
    if isinstance(constructor, griffe.Function) and "api" in [each.name for each in constructor.parameters]:
        cls.del_member("__init__")


def _default(value: object) -> str | None:
    if value is attrs.NOTHING:
        return None
    return repr(value) if isinstance(value, str | int | float | tuple | None) else "..."


def _rewritten(paragraph: str) -> str:
    if paragraph.startswith("    "):
        return paragraph
    if _CODE.match(paragraph) and _is_code(paragraph):
        return "\n".join(f"    {line}" for line in paragraph.splitlines())
    return "\n".join(
        line if line.startswith("        ") else _LINKED.sub(r"[`\1`][planet_async.\1]", line)
        for line in paragraph.splitlines()
    )


def _is_code(text: str) -> bool:
    """Return whether it is Python: an example that is all that follows a summary is not indented."""
    try:
        compile(text, "docstring", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | ast.PyCF_ONLY_AST)
    except SyntaxError:
        return False
    return True
