"""The commands `planet-async ledger`: what became of each order of a job, and sending what failed again."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from attrs import asdict

from planet_async.cli.options import OtherLedger, PresentLedger, option
from planet_async.cli.output import (
    CSV,
    JSONL,
    TABLE,
    ExportFormat,
    Formats,
    Output,
    View,
    clean,
    in_command,
    print_csv,
    print_json_line,
    print_note,
    state_text,
    states_text,
    stdout,
)
from planet_async.cli.process import reporting
from planet_async.cli.runner import confirm, named
from planet_async.errors import InvalidRequest
from planet_async.jobs.entry import Entry, Stage
from planet_async.jobs.ledger import read_entries
from planet_async.jobs.upkeep import merge, send_again

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


def show(ledger: PresentLedger, form: Formats = TABLE) -> None:
    """Show what became of each order of a job, also while it runs.

    Stages: intended (not sent yet); sending (perhaps sent, no response recorded); then ordered, finished and
    downloaded; or failed.

    [dim]planet-async ledger show fields.ledger --csv > fields.csv[/]
    """
    with reporting():
        entries = read_entries(ledger)
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


def export(ledger: PresentLedger, *, to: OtherLedger = None, form: ExportFormat = JSONL) -> None:
    """Print all entries of a ledger with all that it knows; or enter them into another ledger.

    No job may be using either of two ledgers. Of two entries of a request the one that has come further
    counts; where both have an order, both are kept. Doing it again changes nothing.

    [dim]planet-async ledger export fields.ledger | jq -r 'select(.stage == "failed") | .error'[/]

    [dim]planet-async ledger export fields.ledger --to postgresql://planet@db.example.com/jobs[/]
    """
    with reporting():
        if to is not None:
            merged = merge(ledger, to)
            print_note(
                f"{merged.added:,} entries are new there, {merged.updated:,} had come further here, "
                f"{merged.doubled:,} have an order in both and are there twice now"
            )
        elif form == CSV:
            _print_csv(entry for entry, _ in read_entries(ledger))
        else:
            for entry, request in read_entries(ledger):
                print_json_line(_full_document(entry, request))


def _full_document(entry: Entry, request: Any) -> dict[str, Any]:
    times = {"sent": entry.sent, "sent_date": entry.sent_date, "changed": entry.changed}
    shown = {
        name: None if time is None else datetime.fromtimestamp(time, UTC).isoformat()
        for name, time in times.items()
    }
    return {**_document(entry, request), "occurrence": entry.occurrence, **shown}


def retry(
    ledger: PresentLedger,
    which: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME-OR-ID...", help="The requests, by name or by order id; or pass --all."),
    ] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="All that failed.")] = False,
    error_type: Annotated[
        list[str] | None,
        option("TYPE", "Only what failed with this type of error, as `show` has it in JSON. Repeatable."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Have failed requests sent again, by the next `orders run` or `orders work` with the ledger.

    That places new orders, and may cost quota again. An order that failed is replaced by the new one.

    [dim]planet-async ledger retry fields.ledger --all --error-type QuotaExceeded[/]
    """
    if (which is None) != everything:
        raise typer.BadParameter("pass names or ids, or --all")
    with reporting():
        failed = [entry for entry, _ in read_entries(ledger) if entry.stage is Stage.FAILED]
        chosen = _choose(failed, which, error_type)
        if not chosen:
            print_note("nothing of that has failed: nothing is changed")
            return
        for entry in chosen:
            stdout().print(
                clean(in_command(f"{entry.order_id or 'no order'} {entry.name}: {entry.error}")),
                markup=False,
                highlight=False,
            )
        confirm("retry", f"Send {len(chosen):,} requests again, which may cost quota?", yes)
        count = send_again(ledger, chosen)
        print_note(f"{count:,} requests will be sent again by the next job with this ledger")
        if count < len(chosen):
            print_note(f"{len(chosen) - count:,} are being worked on, and were left")


def _choose(
    failed: Sequence[Entry], which: Sequence[str] | None, error_types: Sequence[str] | None
) -> list[Entry]:
    """Return the entries chosen, or end the command where a name or an id is that of no failed entry."""
    if which is not None:
        known = {entry.name for entry in failed} | {entry.order_id for entry in failed}
        if unknown := [one for one in which if one not in known]:
            raise typer.BadParameter(f"no request of that name or id has failed: {', '.join(unknown)}")
    return [
        entry
        for entry in failed
        if entry.error_type != InvalidRequest.__name__  # it can never be sent
        and (which is None or entry.name in which or entry.order_id in which)
        and (not error_types or entry.error_type in error_types)
    ]


COMMANDS = named(show, export, retry)
