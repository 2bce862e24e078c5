"""What a command prints: JSON for programs, tables for people."""

import json
import logging
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from types import TracebackType
from typing import Annotated, Any, Self

import typer
from rich.console import Console, Group, RenderableType
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
from rich.table import Table
from rich.text import Text

from planet_async import Progress as FileProgress

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


_BAR_FROM = 1_000_000  # bytes: smaller files would only flicker
_MOST_BARS = 8


class ProgressDisplay:
    """The steps of a job with their bars, and the bars of the larger files under way.

    It counts what went by also where nobody looks: `files` begun and `bytes` received.
    """

    def __init__(self, *, keep: bool = False) -> None:
        console = stderr()
        self.bytes = 0
        self.files = 0
        self._received: dict[str, int] = {}
        self._bars: dict[str, TaskID] = {}
        self._steps = Progress(
            SpinnerColumn(finished_text="[green]✔[/]"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
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
        self._live = Live(Group(self._steps, self._files), console=console, transient=not keep)
        self._shown = console.is_terminal and not console.is_dumb_terminal

    def __enter__(self) -> Self:
        if self._shown:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def step(self, title: str, total: int) -> "Step":
        """Add a step of the job, of so many things to do."""
        return Step(self._steps, self._steps.add_task(title, total=total, note=""))

    def receive(self, file: FileProgress) -> None:
        """Take note of the bytes of a file; the callback of a download."""
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
        """Remove the bars of an order whose download has ended, however it did."""
        for name in [name for name in self._bars if name.startswith(f"{order_id}/")]:
            self._files.remove_task(self._bars.pop(name))

    @property
    def received(self) -> str:
        """The files and bytes so far, for people."""
        return f"{self.files:,} files, {size_text(self.bytes)}"


class Step:
    """One bar of a `ProgressDisplay`, with a note behind it."""

    def __init__(self, bars: Progress, bar: TaskID) -> None:
        self._bars = bars
        self._bar = bar

    def advance(self, note: str | Text | None = None) -> None:
        """One more thing is done."""
        self._bars.advance(self._bar)
        if note is not None:
            self.note(note)

    def note(self, note: str | Text) -> None:
        """Change the text behind the bar."""
        self._bars.update(self._bar, note=note if isinstance(note, str) else note.markup)


def states_text(states: Counter[str]) -> Text:
    """Give the counts of states in a line."""
    return Text(" · ").join(
        Text.assemble(f"{count:,} ", state_text(state)) for state, count in states.items() if count
    )


_SECONDS = 1.0  # between two lines: a hundred orders that are all refused are one story


@contextmanager
def telling() -> Iterator[None]:
    """Show what the library logs, such as what is tried again; nothing where that is no terminal."""
    logger, lines = logging.getLogger("planet_async"), _Lines()
    level = logger.level
    if sys.stderr.isatty():
        logger.addHandler(lines)
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(lines)
        logger.setLevel(level)


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._last = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        if record.created - self._last < _SECONDS:
            return
        self._last = record.created
        console = stderr()
        with console.capture() as line:
            console.print(Text(clean(record.getMessage()), "dim"), no_wrap=True, overflow="ellipsis")
        # Not by the console, which would write across the bars of a job: sys.stderr puts it above them.
        sys.stderr.write(line.get())
