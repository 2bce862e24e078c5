"""The command `planet-async ledger show`: what became of each order of a job."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from attrs import asdict

from planet_async.cli.output import (
    CSV,
    TABLE,
    Formats,
    Output,
    View,
    clean,
    in_command,
    print_csv,
    state_text,
    states_text,
    stdout,
)
from planet_async.cli.process import reporting
from planet_async.cli.runner import named
from planet_async.jobs.entry import Entry
from planet_async.jobs.ledger import read_entries

VIEW = View[Entry](
    "requests",
    columns={
        "id": lambda entry: entry.order_id or "-",
        "stage": lambda entry: state_text(entry.stage),
        "state": lambda entry: state_text(entry.order_state or "-"),
        "files": lambda entry: len(entry.files),
        "name": "name",
    },
)
_CSV_COLUMNS = ("number", "stage", "id", "state", "files", "bytes", "name", "error")


def show(
    path: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="The ledger.")],
    form: Formats = TABLE,
) -> None:
    """Show what became of each order of a job, also while it runs.

    Stages: intended (not sent yet); sending (perhaps sent, no response recorded); then ordered, finished and
    downloaded; or failed.

    [dim]planet-async ledger show fields.ledger --csv > fields.csv[/]
    """
    with reporting():
        entries = read_entries(path)
        if form == CSV:
            _print_csv(entry for entry, _ in entries)
        elif form != TABLE:
            output = Output(form, list(VIEW.columns))
            for entry, request in entries:
                output.add(_document(entry, request), VIEW.row(entry))
            output.close()
        else:
            _print_table([entry for entry, _ in entries])


def _print_csv(entries: Iterable[Entry]) -> None:
    print_csv(_CSV_COLUMNS)
    for entry in entries:
        size = sum(file.size for file in entry.files)
        print_csv(
            (
                *(entry.number, entry.stage, entry.order_id, entry.order_state),
                *(len(entry.files), size, entry.name, entry.error and in_command(entry.error)),
            )
        )


def _print_table(entries: list[Entry]) -> None:
    VIEW.print(entries)
    stdout().print(states_text(Counter(entry.stage for entry in entries)))
    for entry in entries:
        if entry.error:  # not in the table, where a narrow column would make a tower of it
            stdout().print(
                clean(in_command(f"{entry.name}: {entry.error}")), style="red", markup=False, highlight=False
            )


def _document(entry: Entry, request: Any) -> dict[str, Any]:
    return {
        "number": entry.number,
        "name": entry.name,
        "stage": entry.stage,
        "id": entry.order_id,
        "state": entry.order_state,
        "error": entry.error and in_command(entry.error),
        "error_type": entry.error_type,
        "delivered_to": entry.delivered_to or None,
        "files": [asdict(file) for file in entry.files],
        "request": request,
    }


COMMANDS = named(show)
