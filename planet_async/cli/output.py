"""Output of the commands: JSON for programs, tables for people, and progress."""

import csv
import errno
import json
import logging
import os
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from types import TracebackType
from typing import Annotated, Any, Generic, Self, TypeVar

import anyio
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
from rich.spinner import Spinner
from rich.table import Column, Table
from rich.text import Text

from planet_async import Progress as FileProgress
from planet_async.models.base import OpenEnum

T = TypeVar("T")

TABLE, JSON, JSONL, CSV, GEOJSON, IDS = "table", "json", "jsonl", "csv", "geojson", "ids"


def _format_option(*formats: str) -> Any:
    def check(value: str) -> str:
        if value not in formats:
            raise typer.BadParameter(f"expected {', '.join(formats[:-1])} or {formats[-1]}, not {value!r}")
        return value

    def complete(incomplete: str) -> list[str]:
        return [form for form in formats if form.startswith(incomplete)]

    short = "--json, --csv and -q (ids) for short" if CSV in formats else "--json for short"
    text = f"{', '.join(formats[:-1])} or {formats[-1]}; {short}."
    return typer.Option("--format", metavar="FORMAT", callback=check, autocompletion=complete, help=text)


Format = Annotated[str, _format_option(TABLE, JSON, JSONL)]
"""The format of one record or document."""
Formats = Annotated[str, _format_option(TABLE, JSON, JSONL, CSV, IDS)]
"""The format of several records."""
ExportFormat = Annotated[str, _format_option(JSONL, CSV)]
"""The format of records with all that is known of them."""
GeoFormats = Annotated[str, _format_option(TABLE, JSON, JSONL, CSV, GEOJSON, IDS)]
"""The format of several records that have a geometry."""


def print_document(document: object, form: str) -> None:
    """Print the only JSON document of a command, as it was asked for with `Format`."""
    if form == JSONL:
        print_json_line(document)
    else:
        print_json(document)


def print_json(document: object) -> None:
    """Print a JSON document: indented on a terminal."""
    print_json_line(document, indent=2 if sys.stdout.isatty() else None)


def print_json_line(document: object, *, indent: int | None = None) -> None:
    """Print one of many JSON documents, each on its line."""
    # ASCII only, which every encoding of standard output can hold.
    _write(json.dumps(document, indent=indent) + "\n")


def print_csv(cells: Iterable[object]) -> None:
    """Print one row of CSV; a terminal gets nothing that could control it."""
    cells = map(_plain, cells)
    if sys.stdout.isatty():
        cells = map(clean, cells)
    csv.writer(sys.stdout, lineterminator="\n").writerow(cells)
    sys.stdout.flush()


def _plain(value: object) -> str:
    """Return a value as CSV has it: numbers and times as programs read them."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case Iterable() if not isinstance(value, str | Text):
            return ", ".join(map(str, value))
        case _:
            return str(value)


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


class _Stdout(Console):
    def on_broken_pipe(self) -> None:
        """Raise an OSError, as `sys.stdout` does; Rich would raise SystemExit in the event loop."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def stdout() -> Console:
    """Return the console for tables; it obeys NO_COLOR."""
    return _Stdout()


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

    A line is made of the attributes in `line`; `below` prints what stands below the panel.
    """

    name: str
    columns: Shown[T]
    title: Callable[[T], str] = str
    facts: Shown[T] = field(factory=dict)
    below: Callable[[T], None] = lambda _: None
    line: Sequence[str] = ("id", "status", "name")
    geometry: Callable[[T], object] = lambda _: None

    def row(self, record: T) -> list[object]:
        """Return the values of the columns."""
        return [_value(record, show) for show in self.columns.values()]

    def print(self, records: Iterable[T], form: str = TABLE) -> None:
        """Print the records in a format."""
        output = Output(form, list(self.columns), self.name)
        for record in records:
            output.add(getattr(record, "raw", {}), self.row(record), self.geometry(record))
        output.close()

    def print_panel(self, record: T) -> None:
        """Print all that is known of one record."""
        facts = {title: _value(record, show) for title, show in self.facts.items()}
        print_panel(self.title(record), facts)
        self.below(record)

    def print_line(self, record: T) -> None:
        """Print one record on a line."""
        first, *others = (cell(getattr(record, name)) for name in self.line)
        first.stylize("bold")
        stdout().print(Text("  ").join((first, *others)), soft_wrap=True)


def _value(record: T, show: str | Callable[[T], object]) -> object:
    return getattr(record, show) if isinstance(show, str) else show(record)


class Output:
    """The output of a command in the format asked for: JSON, CSV and ids as they come, tables in blocks.

    JSON gets its last bracket from `close`: what was cut off is no document.
    """

    def __init__(self, form: str, columns: Sequence[str], name: str = "results") -> None:
        self.form: str = form
        self.count: int = 0
        self._columns = columns
        self._name = name
        self._table = TableBlocks(columns)
        self._rows: list[Sequence[object]] = []
        self._start, self._end = _BRACKETS.get(form, ("", ""))

    def add(self, document: Mapping[str, Any], row: Sequence[object], geometry: object = None) -> None:
        """Add a record: as JSON, and as the values of the columns."""
        self.count += 1
        match self.form:
            case "table":
                self._rows.append(row)
            case "csv":
                if self.count == 1:
                    self._print_csv_header()
                print_csv(row)
            case "ids":
                if (id_ := document.get("id", document.get("report_id", row[0]))) is not None:
                    _write(f"{clean(id_)}\n")
            case "jsonl":
                print_json_line(document)
            case _:
                shown = _feature(document, geometry) if self.form == GEOJSON else document
                _write((self._start if self.count == 1 else ",\n") + json.dumps(shown))

    def flush(self) -> None:
        """Print the rows of a table that were added since."""
        if self._rows:
            self._table.print(self._rows)
            self._rows = []

    def close(self) -> None:
        """Print what is left, and the end."""
        self.flush()
        if self.form == TABLE and not self.count:
            stdout().print(f"no {self._name}", style="dim")
        elif self.form == CSV and not self.count:
            self._print_csv_header()
        elif self._end:
            _write(("" if self.count else self._start) + self._end)
        self._table.print_missing()

    def _print_csv_header(self) -> None:
        print_csv(_name_of(title).replace(" ", "_") for title in self._columns)


_BRACKETS = {
    JSON: ("[", "]\n"),
    GEOJSON: ('{"type": "FeatureCollection", "features": [', "]}\n"),
}


def _feature(document: Mapping[str, Any], geometry: object) -> Mapping[str, Any]:
    """Return a record as a GeoJSON feature, which those of some APIs are."""
    if document.get("type") == "Feature":
        return document
    properties = {name: value for name, value in document.items() if geometry is None or value != geometry}
    return {"type": "Feature", "id": document.get("id"), "geometry": geometry, "properties": properties}


_KEPT = 2  # the first columns, which have an id and a state, are never left out
_NARROWEST = 10  # the letters that the last column keeps
_GAP = 2


class TableBlocks:
    """A table without lines, whose first rows decide how wide the columns are, and which have room.

    Ids and words stay whole. On a narrow terminal the columns between the second and the last are left out,
    then the last one, which wraps at its words. In a pipe, all columns are there.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = columns
        self._shown: list[int] = []
        self._widths = [cell_len(title) for title in columns]

    def print(self, rows: Sequence[Sequence[object]]) -> None:
        """Print more rows, and before the first the titles."""
        console = stdout()
        made, needed = self.render(
            rows, console.width if console.is_terminal or "COLUMNS" in os.environ else None
        )
        console.width = max(console.width, needed)
        with console.capture() as captured:
            console.print(made)
        _write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))

    def render(self, rows: Sequence[Sequence[object]], room: int | None = None) -> tuple[RenderableType, int]:
        """Return the rows, and the letters that they need; without `room`, every column in full."""
        cells = [[_shown(value, index) for index, value in enumerate(row)] for row in rows]
        for row in cells:
            self._widths = [max(width, each.cell_len) for width, each in zip(self._widths, row, strict=True)]
        is_first, last = not self._shown, len(self._widths) - 1
        if is_first:
            self._shown = _fitting(self._widths, room)
        made = Table(
            box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold", show_header=is_first
        )
        needed = _GAP * (len(self._shown) - 1)
        for index in self._shown:
            wraps = index == last and room is not None
            width = min(self._widths[index], _NARROWEST) if wraps else self._widths[index]
            needed += width
            made.add_column(
                self._columns[index],
                no_wrap=not wraps,
                min_width=width,
                overflow="ellipsis",
                justify="right" if rows and all(type(row[index]) in {int, float} for row in rows) else "left",
            )
        for row in cells:
            made.add_row(*(row[index] for index in self._shown))
        return made, needed

    def print_missing(self) -> None:
        """Say which columns had no room."""
        missing = [_name_of(title) for index, title in enumerate(self._columns) if index not in self._shown]
        if self._shown and missing:
            print_note(f"left out, since there is no room for them: {', '.join(missing)}")


def _name_of(title: str) -> str:
    """Return the title of a column without its unit or zone."""
    return title.partition(" (")[0]


def _shown(value: object, index: int) -> Text:
    return cell("-" if value is None and index < _KEPT else value)


def _fitting(widths: Sequence[int], room: int | None) -> list[int]:
    """Return the columns for which there is room; None is any room."""
    shown, last = list(range(len(widths))), len(widths) - 1

    def needed() -> int:
        return sum(min(widths[each], _NARROWEST) if each == last else widths[each] for each in shown) + (
            _GAP * (len(shown) - 1)
        )

    while room is not None and len(shown) > _KEPT and needed() > room:
        del shown[-2 if len(shown) > _KEPT + 1 and shown[-1] == last else -1]
    return shown


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a whole table."""
    made = TableBlocks(columns)
    made.print(rows)
    made.print_missing()


def print_panel(title: str, facts: Mapping[str, object]) -> None:
    """Print a frame with what is known of one thing; facts without a value are left out."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    grid.add_column(overflow="fold")
    for name, value in facts.items():
        if shown := cell(value):
            grid.add_row(clean(name), shown)
    stdout().print(Panel(grid, title=Text(clean(title)), title_align="left", expand=False))


# --- Errors


MESSAGES: logging.Logger = logging.getLogger("planet_async.cli")
"""The logger of the messages on standard error, while a `MessageHandler` shows it with the logs."""


class MessageHandler(logging.Handler):
    """A handler of all that the library logs, which also shows what the command says."""


def print_error(problem: Exception | str) -> None:
    """Write one line to standard error."""
    _say(logging.ERROR, one_line(problem))


def print_warning(text: str) -> None:
    """Write one line about the output that is needed to read it rightly: `-q` does not hide it."""
    _say(logging.WARNING, one_line(text))


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
        if level < logging.ERROR and sys.stderr.isatty():
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
    "`orders.run`": "`orders run`",
    " or something with __geo_interface__": "",
    "expected either aoi_refs or collection;": "expected --aoi-ref or --collection-id;",
}
_PYTHON = re.compile(r"\bawait |\w\((\)|\.\.\.|\w+=|\w+\.\w+\))|\w=(True|\.\.\.)|\bUTC\)")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


def in_command(text: str) -> str:
    """Return a text of the library in the words of the command, without the sentences that need Python."""
    for python, option in _IN_COMMAND.items():
        text = text.replace(python, option)
    return " ".join(sentence for sentence in _SENTENCE_END.split(text) if not _PYTHON.search(sentence))


# --- Progress


class ListingStatus:
    """The count of a list that arrives, on a terminal: until its first rows are shown there."""

    def __init__(self, *, hide: bool = False) -> None:
        console = stderr()
        self._spinner = Spinner("dots", "Listing")
        self._live = Live(self._spinner, console=console, transient=True, redirect_stdout=False)
        self._is_shown = console.is_terminal and not (hide or console.is_dumb_terminal)

    def __enter__(self) -> Self:
        if self._is_shown:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # the terminal may be gone, which is what SIGHUP says
            self._live.stop()

    def update(self, count: int) -> None:
        """Show how many have come."""
        self._spinner.update(text=f"Listing: {count:,}")
        if sys.stdout.isatty():
            self._live.stop()


_BAR_FROM = 1_000_000  # bytes: smaller files would only flicker
_MOST_BARS = 8
_SECONDS_PIPED = 10.0


class ProgressDisplay:
    """The steps of a job with their bars, and the bars of the larger files that are being downloaded.

    Where standard error is no terminal, there is a line every ten seconds instead; with `each_step`, also
    when a step has ended.
    """

    def __init__(self, *, hide: bool = False, each_step: bool = False) -> None:
        console = stderr()
        self._each_step = each_step
        self._has_lines = not console.is_terminal or console.is_dumb_terminal
        self._all_steps: list[Step] = []
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
            transient=True,
            redirect_stdout=sys.stdout.isatty(),
        )
        self.is_shown: bool = console.is_terminal and not (hide or console.is_dumb_terminal)

    @asynccontextmanager
    async def shown(self) -> AsyncIterator[Self]:
        """Show the progress for as long as a job takes."""
        async with anyio.create_task_group() as tasks:
            if self.is_shown:
                self._live.start()
            elif self._has_lines:
                tasks.start_soon(self._write_lines)
            try:
                yield self
            finally:
                with suppress(OSError):  # the terminal may be gone, which is what SIGHUP says
                    self._live.stop()
            tasks.cancel_scope.cancel()

    async def _write_lines(self) -> None:
        """Say how far things are, whether or not anything has happened since."""
        while True:
            await anyio.sleep(_SECONDS_PIPED)
            if steps := [str(step) for step in self._all_steps if not step.is_done]:
                print_note("; ".join(steps) + (f"; {self.received}" if self.files else ""))

    def step(self, title: str, total: int) -> "Step":
        """Add a step of the job, with so many things to do."""
        self._all_steps.append(Step(self, self._steps, title, total))
        return self._all_steps[-1]

    def end(self, step: "Step", note: str) -> None:
        """Write that a step has ended, where the display is to do that and has no bars."""
        if self._has_lines and self._each_step:
            print_note(f"{step}, {note}" if note else str(step))

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

    def __init__(self, display: ProgressDisplay, bars: Progress, title: str, total: int) -> None:
        self._display = display
        self._bars = bars
        self._bar = bars.add_task(title, total=total, note="")
        self._title = title
        self._total = total
        self._done = 0
        self._note = ""
        self._states: Counter[str] = Counter()

    def advance(self, note: str | None = None, *, state: str | None = None) -> None:
        """Count one more thing as done, or as ended in a state."""
        self._done += 1
        if state is not None:
            self._states[state] += 1
            note = states_text(self._states).markup
        if note is not None:
            self._note = note
        self._bars.update(self._bar, completed=self._done, note=self._note)
        if self.is_done:
            self._display.end(self, "" if self._states else Text.from_markup(self._note).plain)

    @property
    def is_done(self) -> bool:
        """True once nothing is left to do."""
        return self._done >= self._total

    def __str__(self) -> str:
        """Return how far it is: Waiting for orders: 2 of 3, 2 success."""
        states = states_text(self._states).plain
        return f"{self._title}: {self._done:,} of {self._total:,}" + (f", {states}" if states else "")
