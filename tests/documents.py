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
    missing = _names(example, ast.Load) - _names(example, ast.Store)
    for earlier in reversed(before):
        if missing & _names(earlier, ast.Store):
            needed.insert(0, earlier)
            missing |= _names(earlier, ast.Load)
            missing -= _names(earlier, ast.Store)
    return needed


def _names(code: str, context: type[ast.expr_context]) -> set[str]:
    tree = compile(code, "example", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | ast.PyCF_ONLY_AST)
    names = {
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, context)
    }
    if context is ast.Store:
        definitions = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        names |= {node.name for node in ast.walk(tree) if isinstance(node, definitions)}
        names |= {
            (alias.asname or alias.name).partition(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
    return names


def main(folder: Path) -> None:
    """Write the examples below the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for document in DOCUMENTS:
        if blocks(document, "python"):
            name = "_".join(document.relative_to(ROOT).with_suffix("").parts).replace("-", "_").lower()
            (folder / f"{name}.py").write_text(typed(document))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
