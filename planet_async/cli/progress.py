"""What a person sees while a job runs: bars on standard error, and nothing where that is no terminal."""

from collections import Counter
from types import TracebackType
from typing import Self

from rich.console import Group
from rich.live import Live
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
from rich.text import Text

from planet_async import Progress as FileProgress
from planet_async.cli.output import clean, size_text, state_text, stderr

_BAR_FROM = 1_000_000  # bytes: smaller files would only flicker
_MOST_BARS = 8


class Board:
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
    """One bar of a `Board`, with a note behind it."""

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
