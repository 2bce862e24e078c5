"""Upkeep of ledgers: merging two of them, and marking what failed to be sent again."""

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from attrs import define, evolve

from planet_async.databases.database import Database, Row, Transaction
from planet_async.errors import LedgerUnusable
from planet_async.jobs.entry import ASSIGN, INSERT, Entry, Stage, to_entry, to_row
from planet_async.jobs.ledger import free_dead, opened, read_rows, shown_address

_BATCH = 500  # entries in one transaction
_RANKS: Mapping[tuple[Stage, bool], int] = {  # by stage, and whether there is an order
    (Stage.INTENDED, False): 0,
    (Stage.FAILED, False): 1,
    (Stage.SENDING, False): 2,
    (Stage.ORDERED, True): 3,
    (Stage.FINISHED, True): 4,
    (Stage.FAILED, True): 5,
    (Stage.DOWNLOADED, True): 6,
}
_UPDATE = f"UPDATE planet_async_entries SET {ASSIGN} WHERE number = :number"  # noqa: S608 - our own names
_SEND_AGAIN = f"{_UPDATE} AND owner IS NULL AND checksum = :was RETURNING number"


@define
class Merged:
    """How many entries were new to a ledger, went further than there, or were ordered there as well."""

    added: int = 0
    updated: int = 0
    doubled: int = 0


def merge(source: str | Path, target: str | Path) -> Merged:
    """Enter what one ledger has into another one; doing it again changes nothing.

    Of two entries of a request the one that has come further counts.  Where both have an order, both are
    kept: the second one becomes an entry of its own, as that of one more such request.

    Raises:
        LedgerUnusable: A ledger cannot be used, or a job is using it.
    """
    with opened(source) as database:
        _refuse_used(database, source)
    merged = Merged()
    with opened(target) as database:
        _refuse_used(database, target)
        rows = read_rows(source)
        while batch := [*islice(rows, _BATCH)]:
            counts = database.transact(lambda work, batch=batch: _merge(work, batch))  # type: ignore[misc]
            merged = Merged(
                merged.added + counts.added,
                merged.updated + counts.updated,
                merged.doubled + counts.doubled,
            )
    return merged


def _merge(work: Transaction, rows: Sequence[Row]) -> Merged:
    merged = Merged()
    for row in rows:
        entry = to_entry(row)
        there = [
            to_entry(other)
            for other in work.execute(
                "SELECT * FROM planet_async_entries WHERE hash = :hash ORDER BY occurrence", hash=entry.hash
            )
        ]
        same = next((other for other in there if other.order_id and other.order_id == entry.order_id), None)
        at_its_place = next((other for other in there if other.occurrence == entry.occurrence), None)
        if same is None and at_its_place is not None and not (at_its_place.order_id and entry.order_id):
            same = at_its_place
        if same is not None:
            if _rank(entry) > _rank(same):
                merged.updated += 1
                work.execute(_UPDATE, number=same.number, **to_row(evolve(entry, occurrence=same.occurrence)))
            continue
        if at_its_place is not None:
            merged.doubled += 1
            entry = evolve(entry, occurrence=there[-1].occurrence + 1)
        else:
            merged.added += 1
        work.execute(INSERT, request=row["request"], **to_row(entry))
    return merged


def _rank(entry: Entry) -> int:
    return _RANKS.get((entry.stage, entry.order_id is not None), 0)


def send_again(ledger: str | Path, entries: Sequence[Entry]) -> int:
    """Have failed entries sent again, by the next job with the ledger; return how many there still were.

    The orders that they had, if any, are no longer theirs.  What a job is at work on is left.

    Raises:
        LedgerUnusable: The ledger cannot be used.
    """
    with opened(ledger) as database:
        _free_dead(database)
        return sum(
            database.transact(lambda work, batch=batch: _send_again(work, batch))  # type: ignore[misc]
            for batch in _batches(entries)
        )


def _send_again(work: Transaction, entries: Sequence[Entry]) -> int:
    count = 0
    for entry in entries:
        again = Entry(
            entry.name,
            changed=time.time(),
            hash=entry.hash,
            occurrence=entry.occurrence,
            has_secrets=entry.has_secrets,
        )
        was = to_row(entry)["checksum"]
        count += len(work.execute(_SEND_AGAIN, number=entry.number, was=was, **to_row(again)))
    return count


def _batches(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    for start in range(0, len(entries), _BATCH):
        yield entries[start : start + _BATCH]


def _free_dead(database: Database) -> None:
    gone: dict[str, float] = {}
    free_dead(database, "", gone, time.monotonic())
    if gone and database.lock_gap:  # whether they have died is known when they would be connected again
        time.sleep(database.lock_gap)
        free_dead(database, "", gone, time.monotonic())


def _refuse_used(database: Database, ledger: str | Path) -> None:
    _free_dead(database)
    if database.read("SELECT owner FROM planet_async_owners"):
        raise LedgerUnusable(
            f"a job is using the ledger {shown_address(ledger)}", hint="Try again when it has ended."
        )
