"""Output of the commands: JSON for programs, tables for people, and progress."""

import csv
import json
import logging
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from types import TracebackType
from typing import Annotated, Any, Generic, Self, TypeVar

import typer
from attrs import field, frozen
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.filesize import decimal
from rich.live import Live
from rich.panel import Panel
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)
from rich.table import Column, Table
from rich.text import Text

from planet_async import Progress as FileProgress
from planet_async.models.base import OpenEnum

T = TypeVar("T")

Json = Annotated[bool, typer.Option("--json", help="Print JSON, on a terminal too.")]


def wants_json(asked: bool) -> bool:
    """Return whether to print JSON: where it was asked for, and where no person reads the output."""
    return asked or not sys.stdout.isatty()


def print_json(document: object) -> None:
    """Print the only JSON document of a command: indented on a terminal."""
    print_json_line(document, indent=2 if sys.stdout.isatty() else None)


def print_json_line(document: object, *, indent: int | None = None) -> None:
    """Print one of many JSON documents, each on its line."""
    # ASCII only, which every encoding of standard output can hold.
    sys.stdout.write(json.dumps(document, indent=indent) + "\n")
    sys.stdout.flush()


def print_csv(cells: Iterable[object]) -> None:
    """Print one row of CSV; a terminal gets nothing that could control it."""
    if sys.stdout.isatty():
        cells = ("" if value is None else clean(value) for value in cells)
    csv.writer(sys.stdout, lineterminator="\n").writerow(cells)
    sys.stdout.flush()


def stdout() -> Console:
    """Return the console for tables; it obeys NO_COLOR."""
    return Console()


def stderr() -> Console:
    """Return the console for progress."""
    return Console(stderr=True)


# --- Values


_STATES_BY_STYLE = {
    "yellow": "queued created preparing pending requested received scheduled",
    "cyan": "running processing deriving in_progress finalizing",
    "green": "success completed fulfilled published downloaded",
    "magenta": "partial suspended expired",
    "bold red": "failed invalid rejected error",
    "dim": "cancelled pending_cancellation removed",
}
_STATE_STYLES = {state: style for style, states in _STATES_BY_STYLE.items() for state in states.split()}


def clean(text: object) -> str:
    """Return a text of the server or a file on one line, without what could control the terminal."""
    line = " ".join(str(text).split())
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in line)


def state_text(state: str) -> Text:
    """Return a state or status of any API in its colour."""
    return Text(clean(state), style=_STATE_STYLES.get(state.lower(), ""))


def states_text(states: Mapping[str, int]) -> Text:
    """Return the counts of states on one line."""
    return Text(" · ").join(
        Text.assemble(f"{count:,} ", state_text(state)) for state, count in states.items() if count
    )


def cell(value: object) -> Text:
    """Return how a value is shown in a table; None is shown as nothing, times are in UTC."""
    match value:
        case Text():
            return value
        case OpenEnum():
            return state_text(value)
        case None:
            words = ""
        case bool():
            words = "yes" if value else "no"
        case datetime():
            words = f"{value:%Y-%m-%d %H:%M}"
        case int() | float():
            words = _number(value)
        case Iterable() if not isinstance(value, str):
            words = ", ".join(map(str, value))
        case _:
            words = str(value)
    return Text(clean(words))


def _number(value: float) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.6g}" if abs(value) < 1e6 else f"{value:,.0f}"  # noqa: PLR2004 - six digits


def percent(share: float | None) -> str | None:
    """Return a share of 1 as a percentage."""
    return None if share is None else f"{share:.0%}"


def type_of(part: Mapping[str, Any] | None) -> str:
    """Return the type of a geometry or a part of a request, if there is one."""
    return str((part or {}).get("type") or "")


def measure(value: float | None, unit: str) -> str | None:
    """Return a number with its unit behind it."""
    return None if value is None else _number(value) + unit


# --- Tables


Shown = Mapping[str, str | Callable[[T], object]]
"""The columns of a table: titles, and the attribute or function of the record to show."""


@frozen
class View(Generic[T]):
    """How records of one kind are shown to a person: many in a table, one in a panel or on a line.

    A line is made of the attributes in `line`.
    """

    name: str
    columns: Shown[T]
    title: Callable[[T], str] = str
    facts: Shown[T] = field(factory=dict)
    below: Callable[[T], RenderableType | None] = lambda _: None
    line: Sequence[str] = ("id", "status", "name")

    def print_table(self, records: Sequence[T]) -> None:
        """Print the records, or that there are none."""
        if records:
            rows = [[_value(record, show) for show in self.columns.values()] for record in records]
            print_table(list(self.columns), rows)
        else:
            stdout().print(f"no {self.name}", style="dim")

    def print_panel(self, record: T) -> None:
        """Print all that is known of one record."""
        facts = {title: _value(record, show) for title, show in self.facts.items()}
        print_panel(self.title(record), facts, self.below(record))

    def print_line(self, record: T) -> None:
        """Print one record on a line."""
        first, *others = (cell(getattr(record, name)) for name in self.line)
        first.stylize("bold")
        stdout().print(Text("  ").join((first, *others)), soft_wrap=True)


def _value(record: T, show: str | Callable[[T], object]) -> object:
    return getattr(record, show) if isinstance(show, str) else show(record)


_NARROWEST = 10  # the letters that the last column keeps


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table without lines; ids and words stay whole, and the last column wraps.

    On a terminal that is too narrow for all columns, lines run over its edge: nothing is left out.
    """
    made, console = table(columns, rows), stdout()
    needed = sum(column.min_width or 0 for column in made.columns) + 2 * (len(columns) - 1)
    console.width = max(console.width, needed)
    console.print(made)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """Make the table that `print_table` prints; columns of numbers are aligned to the right."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    cells = [[cell(value) for value in row] for row in rows]
    for index, title in enumerate(columns):
        width = max([cell_len(title), *(row[index].cell_len for row in cells)])
        is_last = index == len(columns) - 1
        numbers = all(type(row[index]) in {int, float} for row in rows)
        made.add_column(
            title,
            no_wrap=not is_last,
            min_width=min(width, _NARROWEST) if is_last else width,
            overflow="fold",
            justify="right" if rows and numbers else "left",
        )
    for row in cells:
        made.add_row(*row)
    return made


def print_panel(title: str, facts: Mapping[str, object], below: RenderableType | None = None) -> None:
    """Print a frame with what is known of one thing; facts without a value are left out."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    grid.add_column(overflow="fold")
    for name, value in facts.items():
        if shown := cell(value):
            grid.add_row(clean(name), shown)
    content = Group(grid) if below is None else Group(grid, Text(), below)
    stdout().print(Panel(content, title=Text(clean(title)), title_align="left", expand=False))


# --- Errors


MESSAGES: logging.Logger = logging.getLogger("planet_async.cli")
"""What the command says on standard error, while a `MessageHandler` shows it with the logs."""


class MessageHandler(logging.Handler):
    """A handler of all that the library logs, which also shows what the command says."""


def print_error(problem: Exception | str) -> None:
    """Write one line to standard error."""
    _say(logging.ERROR, one_line(problem))


def print_note(text: str) -> None:
    """Write one line about the output, below it: dim on a terminal."""
    _say(logging.INFO, one_line(text))


def _say(level: int, line: str) -> None:
    package = logging.getLogger("planet_async")
    if any(isinstance(handler, MessageHandler) for handler in package.handlers):
        MESSAGES.log(level, "%s", line)
    else:
        write_message(level, line)


def write_message(level: int, line: str) -> None:
    """Write a line of the command itself to standard error, as text."""
    with suppress(OSError):  # the terminal may be gone, which is what SIGHUP says
        if level == logging.INFO and sys.stderr.isatty():
            stderr().print(Text(line, "dim"), soft_wrap=True)
        else:
            sys.stderr.write(f"planet-async: {line}\n")


def about(subject: str, problem: Exception | str) -> str:
    """Return one line that begins with what the problem is about."""
    text = one_line(problem)
    return text if text.startswith(subject) else f"{subject}: {text}"


def one_line(problem: Exception | str) -> str:
    """Return what happened and what to do about it; the notes on single attempts are left out."""
    notes = [note for note in getattr(problem, "__notes__", ()) if not note.startswith("attempt ")]
    return clean(in_command("; ".join([str(problem), *notes])))


_IN_COMMAND = {  # what the library says in Python, and how the command says it
    "Pass overwrite=True": "Pass --overwrite",
    "Use datetime(..., tzinfo=UTC).": "Add one: 2026-01-31T00:00:00Z.",
    "Ask for smaller pages, or raise Config(max_body_bytes=...).": "Pass a smaller --page-size.",
    "Config(proxy=...)": "--proxy",
    "Config(ca_file=...)": "--ca-file",
    ' or pass Planet(api_key="...")': "",
    "`orders.wait`, or ": "",
    " or something with __geo_interface__": "",
    "expected aoi_refs or a collection;": "expected --aoi-ref or --collection-id;",
}
_PYTHON = re.compile(r"\bawait |\w\((\)|\.\.\.|\w+=|\w+\.\w+\))|\w=(True|\.\.\.)|\bUTC\)")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


def in_command(text: str) -> str:
    """Return a text of the library in the words of the command, without the sentences that need Python."""
    for python, option in _IN_COMMAND.items():
        text = text.replace(python, option)
    return " ".join(sentence for sentence in _SENTENCE_END.split(text) if not _PYTHON.search(sentence))


# --- Progress


_BAR_FROM = 1_000_000  # bytes: smaller files would only flicker
_MOST_BARS = 8


class ProgressDisplay:
    """The steps of a job with their bars, and the bars of the larger files that are being downloaded.

    It counts `files` and `bytes` also where nothing is shown: where standard error is no terminal, or with
    `hide`.
    """

    def __init__(self, *, keep: bool = False, hide: bool = False) -> None:
        console = stderr()
        self.bytes: int = 0
        self.files: int = 0
        self._received: dict[str, int] = {}
        self._bars: dict[str, TaskID] = {}
        self._steps = Progress(
            SpinnerColumn(finished_text="[green]✔[/]"),
            # On a narrow terminal bars and notes are cut off, and not the numbers.
            TextColumn("{task.description}", table_column=Column(no_wrap=True, min_width=18)),
            BarColumn(bar_width=24),
            MofNCompleteColumn(table_column=Column(no_wrap=True, min_width=9)),
            TimeElapsedColumn(table_column=Column(no_wrap=True, min_width=7)),
            TextColumn("{task.fields[note]}"),
            console=console,
        )
        self._files = Progress(
            TextColumn("    {task.description}", style="dim"),
            BarColumn(bar_width=24),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=console,
        )
        # Else Rich would write to standard error what goes to standard output, and a pipe got none of it.
        self._live = Live(
            Group(self._steps, self._files),
            console=console,
            transient=not keep,
            redirect_stdout=sys.stdout.isatty(),
        )
        self.is_shown: bool = console.is_terminal and not (hide or console.is_dumb_terminal)

    def __enter__(self) -> Self:
        if self.is_shown:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # the terminal may be gone, which is what SIGHUP says
            self._live.stop()

    def step(self, title: str, total: int) -> "Step":
        """Add a step of the job, with so many things to do."""
        return Step(self._steps, self._steps.add_task(title, total=total, note=""))

    def receive(self, file: FileProgress) -> None:
        """Count the bytes of a file; the `progress` callback of a download."""
        before = self._received.get(file.name)
        self.files += before is None
        self.bytes += file.received - (before or 0)
        self._received[file.name] = file.received
        if (bar := self._bars.get(file.name)) is not None:
            self._files.update(bar, completed=file.received)
            if file.received == file.size:
                self._files.remove_task(self._bars.pop(file.name))
        elif (file.size or 0) >= _BAR_FROM and file.received != file.size and len(self._bars) < _MOST_BARS:
            title = clean(file.name.rpartition("/")[2])
            self._bars[file.name] = self._files.add_task(title, total=file.size, completed=file.received)

    def forget(self, order_id: str) -> None:
        """Remove the bars of an order whose download has ended."""
        for name in [name for name in self._bars if name.startswith(f"{order_id}/")]:
            self._files.remove_task(self._bars.pop(name))

    @property
    def received(self) -> str:
        """The files and bytes received so far, for people."""
        return f"{self.files:,} files, {decimal(self.bytes)}"


class Step:
    """One bar of a `ProgressDisplay`, with a note behind it: how many things ended in which state, if any."""

    def __init__(self, bars: Progress, bar: TaskID) -> None:
        self._bars = bars
        self._bar = bar
        self._states: Counter[str] = Counter()

    def advance(self, note: str | None = None, *, state: str | None = None) -> None:
        """Count one more thing as done, or as ended in a state."""
        if state is not None:
            self._states[state] += 1
            note = states_text(self._states).markup
        self._bars.advance(self._bar)
        if note is not None:
            self._bars.update(self._bar, note=note)
