"""What a command prints: JSON for programs, tables for people."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

Json = Annotated[bool, typer.Option("--json", help="Print JSON, also on a terminal.")]

_STATES_BY_STYLE = {
    "yellow": "queued created preparing pending requested received scheduled",
    "cyan": "running processing deriving in_progress finalizing",
    "green": "success completed fulfilled published",
    "magenta": "partial suspended expired",
    "bold red": "failed invalid rejected",
    "dim": "cancelled pending_cancellation removed",
}
STATE_STYLES = {state: style for style, states in _STATES_BY_STYLE.items() for state in states.split()}


def clean(text: object) -> str:
    """Give a text of the server or a file on one line, without what could steer the terminal."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in _line(text))


def _line(text: object) -> str:
    return " ".join(str(text).split())


def wants_json(asked: bool) -> bool:
    """Tell whether JSON is to be printed."""
    return asked or not sys.stdout.isatty()


def print_json(document: Mapping[str, Any]) -> None:
    """Print one JSON document: indented for a person, in one line for a program."""
    indent = 2 if sys.stdout.isatty() else None
    # ASCII only, which every encoding of standard output can hold.
    sys.stdout.write(json.dumps(document, indent=indent) + "\n")
    sys.stdout.flush()


def print_json_line(document: Mapping[str, Any]) -> None:
    """Print one of many JSON documents, each on its line."""
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


def stdout() -> Console:
    """Give what tables are printed to; NO_COLOR is obeyed."""
    return Console()


def stderr() -> Console:
    """Give what progress is shown on."""
    return Console(stderr=True)


def state_text(state: str) -> Text:
    """Give a state, in the words of any API, in its colour."""
    return Text(clean(state), style=STATE_STYLES.get(state.lower(), ""))


def time_text(time: datetime | None) -> str:
    """Give a moment, in UTC, to the second."""
    return "" if time is None else f"{time:%Y-%m-%d %H:%M:%S}"


def size_text(size: int) -> str:
    """Give a number of bytes for people."""
    amount = float(size)
    for unit in ("bytes", "kB", "MB", "GB"):
        if amount < 1000:  # noqa: PLR2004 - what kilo means
            return f"{amount:,.0f} {unit}" if unit == "bytes" else f"{amount:,.1f} {unit}"
        amount /= 1000
    return f"{amount:,.1f} TB"


def listing(
    what: str, columns: Sequence[str], rows: Sequence[Sequence[str | Text]], *, whole: Iterable[int] = (0, 2)
) -> Table | Text:
    """Make the table of a list, or say that there are none of `what`; columns in `whole` are never folded."""
    if not rows:
        return Text(f"no {what}", style="dim")
    made = table(columns, rows)
    for column in whole:
        made.columns[column].no_wrap = True
    return made


def panel(title: str, facts: Iterable[tuple[str, str | Text]], *below: RenderableType) -> Panel:
    """Frame what is known of one thing; a fact without a value is left out."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    grid.add_column(overflow="fold")
    for name, value in facts:
        if value:
            grid.add_row(name, value if isinstance(value, Text) else Text(clean(value)))
    return Panel(Group(grid, *below), title=Text(clean(title)), title_align="left", expand=False)


def table(columns: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> Table:
    """Make a table without lines; what does not fit is folded, so that ids can be copied whole."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    return made
