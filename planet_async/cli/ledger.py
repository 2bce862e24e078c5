"""`ledger show`: what became of each order of a job."""

import csv
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from planet_async.cli.output import (
    Json,
    clean,
    listing,
    print_json_line,
    state_text,
    states_text,
    stdout,
    wants_json,
)
from planet_async.cli.runner import reporting
from planet_async.jobs.ledger import Entry, read_entries

_COLUMNS = ("number", "stage", "id", "state", "files", "bytes", "name", "error")


def show(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="The ledger.")],
    json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
) -> None:
    """Show what became of each order of a job, also while it runs. As JSON: one entry a line.

    intended: not sent yet; sending: sent, perhaps, with no answer noted; then ordered, finished, downloaded;
    or failed.

    [dim]planet-async ledger show fields.ledger --csv > fields.csv[/]
    """
    if json and as_csv:
        raise typer.BadParameter("give --json or --csv, not both")
    with reporting():
        entries = read_entries(path)
        if as_csv:
            _print_csv(entry for entry, _ in entries)
        elif wants_json(json):
            for entry, request in entries:
                print_json_line(_document(entry, request))
        else:
            _print_table(entry for entry, _ in entries)


def _print_csv(entries: Iterable[Entry]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(_cells(entry) for entry in entries)
    sys.stdout.flush()


def _print_table(entries: Iterable[Entry]) -> None:
    stages: Counter[str] = Counter()
    rows = []
    for entry in entries:
        stages[entry.stage] += 1
        files = f"{len(entry.files):,}" if entry.files else ""
        rows.append(
            (
                *(entry.order_id or "-", state_text(entry.stage), state_text(entry.order_state or "-")),
                *(files, clean(entry.name), clean(entry.error or "")),
            )
        )
    columns = ("id", "stage", "state", "files", "name", "error")
    stdout().print(listing("requests", columns, rows, whole=(0,)))
    stdout().print(states_text(stages))


def _cells(entry: Entry) -> tuple[object, ...]:
    size = sum(file.size for file in entry.files)
    return (
        *(entry.number, entry.stage, entry.order_id, entry.order_state),
        *(len(entry.files), size, entry.name, entry.error),
    )


def _document(entry: Entry, request: Any) -> dict[str, Any]:
    return {
        "number": entry.number,
        "name": entry.name,
        "stage": entry.stage,
        "id": entry.order_id,
        "state": entry.order_state,
        "error": entry.error,
        "error_type": entry.error_type,
        "files": [{"path": file.path, "size": file.size, "checksum": file.checksum} for file in entry.files],
        "request": request,
    }
