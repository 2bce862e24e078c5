"""`Entry`: one request of a job and what became of it; the rows of entries, and the files of rows.

A file is verified whenever it is opened: an entry that cannot be found, or shows another state, would be
ordered again.
"""

import hashlib
import os
import sqlite3
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec
from attrs import astuple, define, field, frozen

from planet_async.databases.database import Row, Transaction
from planet_async.databases.shared import prepare
from planet_async.databases.sqlite import SqliteDatabase, connect
from planet_async.errors import LedgerUnusable
from planet_async.redaction import REDACTED, redacted

VERSION = 2
"""Of the tables; version 1 was a file for one job at a time."""

UNFINISHED = "('intended', 'sending', 'ordered', 'finished')"
TABLES = (
    """CREATE TABLE planet_async_entries (
        number {number},
        hash TEXT NOT NULL,
        occurrence INTEGER NOT NULL,
        name TEXT NOT NULL,
        request TEXT NOT NULL,
        has_secrets INTEGER NOT NULL,
        owner TEXT,
        stage TEXT NOT NULL,
        sent DOUBLE PRECISION,
        sent_date DOUBLE PRECISION,
        sender TEXT NOT NULL,
        order_id TEXT,
        order_state TEXT,
        error TEXT,
        error_type TEXT,
        changed DOUBLE PRECISION NOT NULL,
        delivered_to TEXT NOT NULL,
        files TEXT NOT NULL,
        checksum BIGINT NOT NULL,
        UNIQUE (hash, occurrence)
    )""",
    (
        "CREATE INDEX planet_async_entries_free ON planet_async_entries (number)"
        f" WHERE owner IS NULL AND stage IN {UNFINISHED}"
    ),
    "CREATE INDEX planet_async_entries_owned ON planet_async_entries (owner) WHERE owner IS NOT NULL",
    "CREATE TABLE planet_async_owners (owner TEXT PRIMARY KEY)",
)
# What the checksum of a row is of: all but its number, its owner, and the request, which the hash is of.
_CHECKED = (
    *("hash", "occurrence", "name", "has_secrets", "stage", "sent", "sent_date"),
    *("sender", "order_id", "order_state", "error", "error_type", "changed", "delivered_to", "files"),
)
_COLUMNS = (*_CHECKED, "request", "checksum")
INSERT = (
    f"INSERT INTO planet_async_entries ({', '.join(_COLUMNS)})"  # noqa: S608 - our own column names
    f" VALUES ({', '.join(f':{name}' for name in _COLUMNS)}) ON CONFLICT (hash, occurrence) DO NOTHING"
)
ASSIGN = ", ".join(f"{name} = :{name}" for name in (*_CHECKED, "checksum"))
"""The assignments of an UPDATE, from the columns of `to_row`."""

_HASH = 32  # hexadecimal digits of SHA-256


class Stage(StrEnum):
    """How far a request has come; the arrows between these are drawn in `planet_async.jobs.job`."""

    INTENDED = "intended"
    SENDING = "sending"
    ORDERED = "ordered"
    FINISHED = "finished"
    DOWNLOADED = "downloaded"
    FAILED = "failed"


@frozen
class KeptFile:
    """A file of an order: its path below the folder of the job, its size, and ``"sha256:..."``.

    `unverified` says that the manifest has no checksum that could be compared.
    """

    path: str
    size: int
    checksum: str = ""
    unverified: bool = False


@define
class Entry:
    """One request and what became of it; times are seconds since 1970.

    It is found by the `hash` of its request, without secrets, and by its `occurrence`: the n-th equal request
    of a list has the n-th entry of that hash.  `sent` is by the clock of the machine that sent it,
    `sent_date` by that of the service, None if that was unknown; `sender` is who sent it, as
    `exactly_once` knows it.  `delivered_to` is the cloud or the host of
    an order that has no files to download.  `has_secrets` says that the ledger does not have all of the
    request.
    """

    name: str
    number: int = 0
    stage: Stage = Stage.INTENDED
    sent: float | None = None
    sent_date: float | None = None
    sender: str = field(default="", repr=False)
    order_id: str | None = None
    order_state: str | None = None
    error: str | None = None
    error_type: str | None = None
    changed: float = 0.0
    delivered_to: str = ""
    files: tuple[KeptFile, ...] = ()
    hash: str = field(default="", repr=False)
    occurrence: int = field(default=1, repr=False)
    has_secrets: bool = field(default=False, repr=False)
    has_ended: bool = field(default=False, eq=False, repr=False)  # for the job that took it


class DamagedError(Exception):
    """An entry read from a ledger differs from what was written."""


def stored(body: bytes) -> str:
    """Return the JSON of a request as a ledger keeps it: without secrets, and its fields in order."""
    return msgspec.json.encode(redacted(msgspec.json.decode(body)), order="sorted").decode()


def hash_of(text: str) -> str:
    """Return the hash of a stored request."""
    return hashlib.sha256(text.encode()).hexdigest()[:_HASH]


def to_row(entry: Entry) -> dict[str, Any]:
    """Return the columns of an entry, but its number, its owner and its request."""
    row: dict[str, Any] = {
        **{name: getattr(entry, name) for name in _CHECKED},
        "has_secrets": int(entry.has_secrets),
        "stage": entry.stage.value,
        "files": msgspec.json.encode([astuple(file) for file in entry.files]).decode(),
    }
    row = {name: plain(value) if isinstance(value, str) else value for name, value in row.items()}
    row["checksum"] = _checksum(row)
    return row


def to_entry(row: Row) -> Entry:
    """Return the entry of a row.

    Raises:
        DamagedError: A value is not as it was written.
    """
    if _checksum(row) != row["checksum"]:
        raise DamagedError(f"entry {row['number']} is not as it was written")
    fields = {name: row[name] for name in ("number", *_CHECKED)}
    fields["stage"] = Stage(row["stage"])
    fields["files"] = tuple(KeptFile(*file) for file in msgspec.json.decode(row["files"]))
    fields["has_secrets"] = bool(row["has_secrets"])
    return Entry(**fields)


def checked_entry(row: Row) -> Entry:
    """Return the entry of a row, whose request is compared with its hash, too.  Raises: as `to_entry`."""
    if hash_of(str(row["request"])) != row["hash"]:
        raise DamagedError(f"the request of entry {row['number']} is not as it was written")
    return to_entry(row)


def plain(text: str) -> str:
    """Return a text without the character that PostgreSQL cannot hold."""
    return text.replace("\0", "\ufffd")


def _checksum(row: Mapping[str, Any]) -> int:
    return zlib.crc32(msgspec.json.encode([row[name] for name in _CHECKED]))


# --- Files: what else a file may be, by which name SQLite must know it, and its older format

_APPLICATION_ID = 0x504C4C31  # marks the file as a ledger, among other SQLite files
_MIN_SIZE = 512  # bytes: SQLite takes a shorter file for an empty database
_BUSY_TIMEOUT = 5.0  # seconds that SQLite waits for other processes by itself, blocking a thread
_FIRST_TIMEOUT = 0.5  # seconds: a job that is just ending releases the file in that time
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_PAGE = 1_000  # rows

_MARKS = (f"PRAGMA application_id = {_APPLICATION_ID}", f"PRAGMA user_version = {VERSION}")
_FIRST_VERSION = 1
_FIRST_CHECKED = (
    *("number", "hash", "job", "name", "stage", "sent", "sent_date", "order_id", "order_state"),
    *("error", "error_type", "changed", "delivered_to", "files"),
)
_FIRST_KEPT = (
    *("number", "name", "sent", "sent_date", "order_id", "order_state", "error", "error_type", "changed"),
    "delivered_to",
)


def open_file(path: Path, *, lasting: bool) -> SqliteDatabase:
    """Open a ledger, once it is verified; it is made where there is none, and migrated.

    Raises:
        LedgerUnusable: It is no ledger, one of a newer version, or an older version of this package uses it.
        DamagedError: It is not as it was written.
        OSError, sqlite3.Error, DatabaseUnusable, DatabaseBusy: It cannot be used.
    """
    path = _real(path)
    version = version_of(path)
    if not path.parent.is_dir():
        raise FileNotFoundError("its folder does not exist")
    if version is not None:
        _verify(path, version)
    with _locked_as_first(path, version):
        database = SqliteDatabase(path, lasting=lasting, timeout=_BUSY_TIMEOUT)
        try:
            prepare(database, "ledger", VERSION, TABLES, _take_over_first)
        except BaseException:
            database.close()
            raise
    return database


def rows_of_file(path: Path) -> Iterator[Row]:
    """Yield the entries of a ledger, of the first version, too, as rows of now; it is not changed.

    Raises: As `open_file`.
    """
    path = _real(path)
    version = version_of(path)
    if version is None:
        return
    with closing(connect(path, timeout=_BUSY_TIMEOUT)) as database:
        if version == _FIRST_VERSION:
            rows = database.execute("SELECT * FROM entries ORDER BY number")
            yield from _rows_of_first(rows, Counter())
        else:
            yield from map(dict, database.execute("SELECT * FROM planet_async_entries ORDER BY number"))


def version_of(path: Path) -> int | None:
    """Return the version of a ledger, None where there is none yet.  Raises: LedgerUnusable."""
    if not path.exists() or (path.is_file() and not path.stat().st_size):
        return None
    if path.is_dir():
        raise LedgerUnusable(f"the ledger {path} cannot be used: it is a folder", hint="Use a file.")
    # Opened by nothing but SQLite: closing a file of our own would end SQLite's locks on it (POSIX).
    application = version = objects = -1
    try:
        if path.stat().st_size >= _MIN_SIZE:
            with closing(connect(path, timeout=_BUSY_TIMEOUT)) as database:
                (application,) = database.execute("PRAGMA application_id").fetchone()
                (version,) = database.execute("PRAGMA user_version").fetchone()
                (objects,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_NOTADB:
            raise
    if not application and not objects:
        return None  # a job was killed when it had just made the file
    if application != _APPLICATION_ID:
        raise LedgerUnusable(f"{path} is not a ledger", hint="Use another file; nothing was changed.")
    if version not in {_FIRST_VERSION, VERSION}:
        raise LedgerUnusable(
            f"the ledger {path} has format {version}, this version of planet_async writes {VERSION}",
            hint="Continue with the version that made it, or use another file.",
        )
    return int(version)


def _real(path: Path) -> Path:
    """Return the one name that SQLite must know the ledger by: its locks and its log are next to that name.

    Symbolic links are followed.  Of several hard links, it is the one that was used first.
    """
    path = Path(os.path.realpath(path))
    if not path.is_file() or path.stat().st_nlink == 1:
        return path
    names = sorted(other for other in path.parent.iterdir() if other.is_file() and other.samefile(path))
    if len(names) < path.stat().st_nlink:
        raise LedgerUnusable(
            f"the ledger {path} has another name in another folder (a hard link): its log may be there",
            hint="Use a symbolic link instead, or remove the other name.",
        )
    used = (
        name for name in names if _first_lock(name).exists() or name.with_name(f"{name.name}-locks").exists()
    )
    return next(used, names[0])


def _verify(path: Path, version: int) -> None:
    with closing(connect(path, timeout=_BUSY_TIMEOUT)) as database:
        (problem,) = database.execute("PRAGMA integrity_check(1)").fetchone()
        if problem != "ok":
            raise DamagedError(problem)
        if version == _FIRST_VERSION:
            return  # when it is migrated
        for row in database.execute("SELECT * FROM planet_async_entries"):
            to_entry(row)


# The first version: a ledger of one job at a time, which held a lock on a file next to it


def _first_lock(path: Path) -> Path:
    return path.with_name(f"{path.name}-lock")


@contextmanager
def _locked_as_first(path: Path, version: int | None) -> Iterator[None]:
    """Exclude jobs of older versions of this package, and then have no need of that any more."""
    if version != _FIRST_VERSION:
        yield
        return
    lock = connect(_first_lock(path), timeout=_FIRST_TIMEOUT)
    try:
        is_free = True
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode not in _BUSY:
                raise
            is_free = False
        if not is_free:
            raise LedgerUnusable(
                f"the ledger {path} is in use by a job of an older version of planet_async",
                hint="Wait for that, or use another file.",
            )
        yield
        with suppress(OSError):
            _first_lock(path).unlink()
    finally:
        lock.close()


def _take_over_first(work: Transaction) -> None:
    """Mark the file as a ledger, and copy the entries of the first version."""
    if work.execute("SELECT 1 FROM sqlite_master WHERE name = 'entries'"):
        occurrences = Counter[str]()
        after = -1
        while rows := work.execute(
            f"SELECT * FROM entries WHERE number > :after ORDER BY number LIMIT {_PAGE}",  # noqa: S608
            after=after,
        ):
            work.execute_many(INSERT, [*_rows_of_first(rows, occurrences)])
            after = rows[-1]["number"]
        work.execute("DROP TABLE entries")
    for mark in _MARKS:
        work.execute(mark)


def _rows_of_first(rows: Iterable[Any], occurrences: Counter[str]) -> Iterator[Row]:
    """Yield rows of the first version as rows of now; equal requests are counted in their order."""
    for row in rows:
        if zlib.crc32(msgspec.json.encode([row[name] for name in _FIRST_CHECKED])) != row["checksum"]:
            raise DamagedError(f"entry {row['number']} is not as it was written")
        digest = hash_of(row["request"])
        if not row["hash"].hex().startswith(digest):
            raise DamagedError(f"the request of entry {row['number']} is not as it was written")
        occurrences[digest] += 1
        entry = Entry(
            **{name: row[name] for name in _FIRST_KEPT},
            stage=Stage(row["stage"]),
            files=tuple(KeptFile(*file) for file in msgspec.json.decode(row["files"])),
            hash=digest,
            occurrence=occurrences[digest],
            has_secrets=REDACTED in row["request"],
        )
        yield {**to_row(entry), "number": entry.number, "request": row["request"]}
