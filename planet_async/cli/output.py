"""What a command prints: JSON for programs, tables for people."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

Json = Annotated[bool, typer.Option("--json", help="Print JSON, also on a terminal.")]

STATE_STYLES = {
    "queued": "yellow",
    "running": "cyan",
    "success": "green",
    "partial": "magenta",
    "failed": "bold red",
    "cancelled": "dim",
}


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
    """Give the state of an order in its colour."""
    return Text(clean(state), style=STATE_STYLES.get(state, ""))


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


def table(columns: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> Table:
    """Make a table without lines; what does not fit is folded, so that ids can be copied whole."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    return made
