"""The examples of the README and of docs/: as modules that a type checker reads, and as what a reader types.

`python tests/documents.py FOLDER` writes a module for each document that has Python examples.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import indent

from attrs import frozen

ROOT = Path(__file__).parents[1]
DOCUMENTS = (ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md")))
_FENCE = re.compile(r"^( *)```(\w+)(?: +title=\"(.*?)\")? *\n(.*?)^\1```", re.DOTALL | re.MULTILINE)


@frozen
class Example:
    """A fenced block: its language, the name of the file that it is ("" for what is typed), and its text."""

    language: str
    file: str
    text: str


def examples(document: Path) -> Iterator[Example]:
    """Yield the fenced blocks of a document, in order; indented ones (of tabs) without their indentation."""
    for margin, language, file, text in _FENCE.findall(document.read_text()):
        yield Example(language, file, re.sub(rf"^{margin}", "", text, flags=re.MULTILINE))


def blocks(document: Path, language: str) -> list[str]:
    """Return the fenced blocks of a language, in order."""
    return [example.text for example in examples(document) if example.language == language]


def typed(document: Path) -> str:
    """Return a module with a function for each example.

    An example may use what those before it have defined: each function begins with the examples that define
    what is used, so that one name may stand for different things in different examples.
    """
    texts = blocks(document, "python")
    functions = []
    for number, text in enumerate(texts):
        needed = _needed(texts[:number], text)
        body = indent("\n".join([*needed, text]), "    ")
        functions.append(f"async def example_{number + 1}() -> None:\n{body}")
    return "\n\n".join(functions)


def _needed(before: list[str], example: str) -> list[str]:
    needed: list[str] = []
    missing = _Names(example).missing
    for earlier in reversed(before):
        names = _Names(earlier)
        if missing & names.defined:
            needed.insert(0, earlier)
            missing = (missing - names.defined) | names.missing
    return needed


class _Names(ast.NodeVisitor):
    """The names that an example defines, and those that it uses before."""

    def __init__(self, code: str) -> None:
        self.defined: set[str] = set()
        self.missing: set[str] = set()
        self.visit(compile(code, "example", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | ast.PyCF_ONLY_AST))

    def generic_visit(self, node: ast.AST) -> None:
        """Visit values before targets, and loops and generators before what they are used in."""
        first = ("value", "iter", "generators", "context_expr")
        children = sorted(ast.iter_fields(node), key=lambda field: field[0] not in first)
        for _, child in children:
            for each in child if isinstance(child, list) else [child]:
                if isinstance(each, ast.AST):
                    self.visit(each)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Store):
            self.defined.add(node.id)
        elif node.id not in self.defined:
            self.missing.add(node.id)

    def visit_alias(self, node: ast.alias) -> None:
        self.defined.add((node.asname or node.name).partition(".")[0])

    def visit_arg(self, node: ast.arg) -> None:
        self.defined.add(node.arg)
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self.defined.add(node.name)
        self.generic_visit(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.defined.add(node.name)
        self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.defined.add(node.name)
        self.generic_visit(node)


def main(folder: Path) -> None:
    """Write the examples below the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for document in DOCUMENTS:
        if blocks(document, "python"):
            name = "_".join(document.relative_to(ROOT).with_suffix("").parts).replace("-", "_").lower()
            (folder / f"{name}.py").write_text(typed(document))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
