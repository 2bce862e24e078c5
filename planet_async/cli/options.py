"""Options that several groups of commands have."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer


def one_of(text: str, words: Sequence[str]) -> Any:
    """Make an option that may be given again, each time with one of the words that the shell offers."""
    return typer.Option(help=f"{text}; may be given again.", autocompletion=lambda: words)


Name = Annotated[str | None, typer.Option(help="Of exactly this name.")]
NameContains = Annotated[str | None, typer.Option(help="With this text in the name.")]
Limit = Annotated[int | None, typer.Option(min=1, metavar="N", help="Show at most N.")]
PageSize = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="How many there are in one answer of the API.")
]
UserId = Annotated[str | None, typer.Option(metavar="ID", help="Of this user, or all (for administrators).")]
Timeout = Annotated[
    float | None, typer.Option(min=0, metavar="SECONDS", help="Give up after that long; it goes on.")
]
ChangesFile = Annotated[
    str, typer.Argument(metavar="CHANGES.json", help="The fields to be changed; - is standard input.")
]
Folder = Annotated[
    Path,
    typer.Option("--to", metavar="DIR", file_okay=False, help="The folder for the files; made if missing."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that are there and differ.")]
INTERVAL = "An instant, or START/END with .. for an open end: 2026-01-01T00:00:00Z/.."
