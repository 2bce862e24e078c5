"""Options that several groups of commands have."""

from pathlib import Path
from typing import Annotated

import typer

Limit = Annotated[int | None, typer.Option(min=1, metavar="N", help="Show at most N.")]
PageSize = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="How many there are in one answer of the API.")
]
UserId = Annotated[str | None, typer.Option(metavar="ID", help="Of this user, or all (for administrators).")]
Timeout = Annotated[
    float | None, typer.Option(min=0, metavar="SECONDS", help="Give up after that long; it goes on.")
]
Folder = Annotated[
    Path, typer.Option("--to", metavar="DIR", help="The folder for the files; made if missing.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that are there and differ.")]
INTERVAL = "An instant, or START/END with .. for an open end: 2026-01-01T00:00:00Z/.."
