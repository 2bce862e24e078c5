"""The command `planet-async ledger show`: what became of each order of a job."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from attrs import asdict

from planet_async.cli.output import (
    Json,
    View,
    clean,
    in_command,
    print_csv,
    print_json_line,
    state_text,
    states_text,
    stdout,
    wants_json,
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
    json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
) -> None:
    """Show what became of each order of a job, also while it runs. As JSON: one entry a line.

    Stages: intended (not sent yet); sending (perhaps sent, no response recorded); then ordered, finished and
    downloaded; or failed.

    [dim]planet-async ledger show fields.ledger --csv > fields.csv[/]
    """
    if json and as_csv:
        raise typer.BadParameter("pass --json or --csv, not both")
    with reporting():
        entries = read_entries(path)
        if as_csv:
            _print_csv(entry for entry, _ in entries)
        elif wants_json(json):
            for entry, request in entries:
                print_json_line(_document(entry, request))
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
    VIEW.print_table(entries)
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
