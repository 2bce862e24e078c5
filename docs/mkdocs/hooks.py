"""Pages made when the site is built: from docstrings, the help of the command, and the changelog."""

import ast
import functools
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from planet_async.cli.app import app

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "planet_async"
REFERENCE: dict[str, tuple[str, tuple[str, ...]]] = {  # the title of a page, and the modules of its names
    "client": ("Client and settings", ("client", "config", "clock")),
    "credentials": ("Credentials", ("auth",)),
    "data": ("Data", ("services.data", "services.search_results", "models.data", "models.data_filter")),
    "orders": ("Orders", ("services.orders", "models.orders", "models.order_request", "jobs")),
    "tools-and-delivery": ("Tools and delivery", ("models.tools", "models.delivery")),
    "subscriptions": (
        "Subscriptions",
        ("services.subscriptions", "models.subscriptions", "models.subscription_request"),
    ),
    "tasking": ("Tasking", ("services.tasking", "models.tasking", "models.tasking_request")),
    "features": ("Features", ("services.features", "models.features")),
    "destinations": ("Destinations", ("services.destinations", "models.destinations")),
    "basemaps": ("Basemaps", ("services.basemaps", "models.basemaps")),
    "quota": ("Quota", ("services.quota", "models.quota")),
    "reports": ("Reports", ("services.reports", "models.reports")),
    "lists": (
        "Lists, outcomes and files",
        ("paging", "offset_paging", "outcome", "services.filters", "models", "downloads"),
    ),
    "webhooks": ("Webhooks", ("webhooks",)),
    "network": ("The network", ("http", "transports", "layers")),
    "errors": ("Errors", ("errors",)),
}
MODULES: dict[str, tuple[str, tuple[str, ...]]] = {  # the same, of what `planet_async` does not export
    "records": (
        "What all records have",
        tuple(f"models.base.{name}" for name in ("Record", "Resource", "RequestModel", "OpenEnum")),
    ),
    "frames": ("Data frames", ("frames",)),
    "tracing": ("Tracing", ("layers.tracing",)),
    "testing": ("Testing", ("testing.fixtures", "testing")),
    "simulator": ("Simulator", ("simulator", "simulator.server")),
}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages of the reference into the navigation, and guides that are not in it yet."""
    made = [path for path, _ in _pages()]
    for section in config.nav or []:
        guides = section.get("How-to", []) if isinstance(section, dict) else []
        if guides:
            written = sorted(path.name for path in (ROOT / "docs/how-to").glob("*.md"))
            guides += [f"how-to/{name}" for name in written if f"how-to/{name}" not in guides]
        for entry in section.get("Reference", []) if isinstance(section, dict) else []:
            if isinstance(entry, dict):
                entry.update((title, _below(folder, made)) for title, folder in entry.items())
    return config


def _below(folder: str, paths: list[str]) -> list[str]:
    return [path for path in paths if path.startswith(folder)]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    for path, content in _pages():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Link the methods in the tables of all methods to their documentation."""
    if page.file.src_uri != "reference/methods.md":
        return markdown
    lines = []
    service = ""
    for line in markdown.splitlines():
        if found := re.match(r"## `planet\.(\w+)`", line):
            service = found[1].capitalize()
        methods, mark, rest = line.partition(" | ")
        if line.startswith("| `"):
            methods = re.sub(r"`([\w.]+)`", functools.partial(_linked, service), methods)
        lines.append(methods + mark + rest)
    return "\n".join(lines)


def _linked(service: str, found: re.Match[str]) -> str:
    group, _, method = found[1].rpartition(".")
    return f"[`{found[1]}`][planet_async.{group.capitalize() or service}.{method}]"


def _pages() -> Iterator[tuple[str, str]]:
    yield "changelog.md", (ROOT / "CHANGELOG.md").read_text()
    yield "tutorials/notebook.ipynb", _notebook((ROOT / "docs/tutorials/notebook.md").read_text())
    yield from _reference()
    yield from _commands()


def _notebook(markdown: str) -> str:
    """Return a page as a notebook: its Python as cells of code, all else as cells of text."""
    cells: list[dict[str, object]] = []
    for number, part in enumerate(
        re.split(r"^```python\n(.*?)^```\n", markdown, flags=re.DOTALL | re.MULTILINE)
    ):
        source = part.strip().splitlines(keepends=True)
        if not source:
            continue
        if number % 2:
            cells.append(
                {
                    "cell_type": "code",
                    "metadata": {},
                    "source": source,
                    "outputs": [],
                    "execution_count": None,
                }
            )
        else:
            cells.append({"cell_type": "markdown", "metadata": {}, "source": source})
        cells[-1]["id"] = f"cell-{number}"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(notebook, indent=1)


# Python


def _reference() -> Iterator[tuple[str, str]]:
    names: dict[str, list[tuple[int, str]]] = {page: [] for page in REFERENCE}
    for module, name in _exported():
        page, rank = _page_of(module)
        names[page].append((rank, name))
    for page, (title, _) in REFERENCE.items():
        lead = _tree_of_errors() if page == "errors" else ""
        ranked = (name for _, name in sorted(names[page], key=lambda each: each[0]))
        yield f"reference/python/{page}.md", f"# {title}\n\n{lead}{_documented(ranked)}"
    for page, (title, modules) in MODULES.items():
        full = (f"{module}.{name}".rstrip(".") for module in modules for name in _public_names(module))
        yield f"reference/python/{page}.md", f"# {title}\n\n{_documented(full, path=True)}"


def _exported() -> Iterator[tuple[str, str]]:
    for node in ast.parse((PACKAGE / "__init__.py").read_text()).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("planet_async."):
            for alias in node.names:
                yield str(node.module).removeprefix("planet_async."), alias.name


def _page_of(module: str) -> tuple[str, int]:
    """Return the page of a module, by the longest name that it has or is in, and its rank there."""
    found = [
        (len(prefix), page, rank)
        for page, (_, prefixes) in REFERENCE.items()
        for rank, prefix in enumerate(prefixes)
        if f"{module}.".startswith(f"{prefix}.")
    ]
    if module == "_version":
        return "client", 0
    if not found:
        raise PluginError(f"{module} is on no page of the reference: add it to REFERENCE in {__file__}")
    _, page, rank = max(found)
    return page, rank


def _public_names(module: str) -> list[str]:
    path = PACKAGE / module.replace(".", "/")
    if path.name[0].isupper():  # it is a class
        return [""]
    tree = ast.parse((path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text())
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return [str(name) for name in ast.literal_eval(node.value)]
    definitions = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return [
        node.name for node in tree.body if isinstance(node, definitions) and not node.name.startswith("_")
    ]


def _documented(names: Iterable[str], *, path: bool = False) -> str:
    option = "\n    options:\n      show_root_full_path: true" if path else ""
    return "\n\n".join(f"::: planet_async.{name}{option}" for name in names if name != "__version__") + "\n"


def _tree_of_errors() -> str:
    docstring = ast.get_docstring(ast.parse((PACKAGE / "errors.py").read_text())) or ""
    return docstring.partition("\n\n")[2].replace("`str(error)`", "\n`str(error)`") + "\n\n"


# The command


def _commands() -> Iterator[tuple[str, str]]:
    command = typer.main.get_command(app)
    context = command.make_context("planet-async", [], resilient_parsing=True)
    alone = []
    for name, each in sorted(_commands_of(command).items()):
        if _commands_of(each):
            yield f"reference/command/{name}.md", f"# planet-async {name}\n\n" + _group(each, context, name)
        else:
            alone.append(_command(each, context, name))
    lead = f"# planet-async\n\n{_prose(command.help)}\n\n{_parameters(command, context)}\n\n"
    yield "reference/command/index.md", lead + "\n\n".join(alone) + "\n"


def _commands_of(command: Any) -> dict[str, Any]:
    return {name: each for name, each in getattr(command, "commands", {}).items() if not each.hidden}


def _group(group: Any, parent: Any, path: str) -> str:
    context = type(parent)(group, info_name=path.rpartition(" ")[2], parent=parent)
    parts = [_prose(group.help)]
    for name, each in sorted(_commands_of(group).items()):
        write = _group if _commands_of(each) else _command
        parts.append(write(each, context, f"{path} {name}"))
    return "\n\n".join(parts)


def _command(command: Any, parent: Any, path: str) -> str:
    context = type(parent)(command, info_name=path.rpartition(" ")[2], parent=parent)
    usage = " ".join([f"planet-async {path}", *command.collect_usage_pieces(context)])
    parts = [f"## `{path}`", f"```text\n{usage}\n```", _prose(command.help), _parameters(command, context)]
    return "\n\n".join(part for part in parts if part)


def _parameters(command: Any, context: Any) -> str:
    rows = [
        _row(each, context)
        for each in command.get_params(context)
        if each.name != "help" and not getattr(each, "hidden", False)
    ]
    return "\n".join(["| | |", "| --- | --- |", *rows]) if rows else ""


def _row(parameter: Any, context: Any) -> str:
    is_option = parameter.param_type_name == "option"
    names = [*parameter.opts, *parameter.secondary_opts] if is_option else []
    is_flag = getattr(parameter, "is_flag", False) or getattr(parameter, "count", False)
    metavar = "" if is_flag else parameter.metavar or parameter.make_metavar(context)
    shown = " ".join(f"`{name}`" for name in [*names, *([metavar] if metavar else [])])
    notes = [_prose(parameter.help)]
    if parameter.required and is_option:
        notes.append("Required.")
    elif is_option and not is_flag and parameter.default not in (None, (), []):
        notes.append(f"Default: `{getattr(parameter.default, 'value', parameter.default)}`.")
    if parameter.envvar:
        notes.append(f"Environment: `{parameter.envvar}`.")
    return f"| {shown} | {' '.join(note for note in notes if note)} |".replace("\n", " ")


def _prose(text: str | None) -> str:
    """Return help as Markdown: Rich's dim lines are examples, its bold is bold."""
    text = re.sub(r"\[dim\](.*?)\[/\]", _example, text or "", flags=re.DOTALL)
    text = re.sub(r"\[[a-z ]+\](.*?)\[/\]", r"**\1**", text)
    return text.replace("|", "\\|") if "\n" not in text else text


def _example(found: re.Match[str]) -> str:
    lines = found[1].replace("\\[", "[").strip()
    return f"\n```sh\n{lines}\n```\n" if lines.startswith("planet-async") else lines
