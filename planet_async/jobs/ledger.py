"""`Ledger`: what became of each request of a job, in a file, so that a job that was killed can continue."""

import hashlib
import os
import sqlite3
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, Self, TypeVar

import anyio
import msgspec
from attrs import astuple, define, field, frozen

from planet_async._tasks import run_in_thread
from planet_async.clock import Clock
from planet_async.downloads.destination import Destination
from planet_async.errors import LedgerError
from planet_async.models.orders import DownloadedFiles
from planet_async.redaction import redacted

_MIN_SIZE = 512  # bytes: SQLite takes a shorter file for an empty database
_FORMAT = 1
_APPLICATION_ID = 0x504C4C31  # marks the file as a ledger, among other SQLite files
_LOCK_TIMEOUT = 0.5  # seconds: a job that is just ending releases the file in that time
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})

_TABLES = f"""
BEGIN IMMEDIATE;
CREATE TABLE entries (
    number INTEGER PRIMARY KEY,
    hash BLOB NOT NULL,
    job INTEGER NOT NULL,
    name TEXT NOT NULL,
    request TEXT NOT NULL,
    stage TEXT NOT NULL,
    sent REAL,
    sent_date REAL,
    order_id TEXT,
    order_state TEXT,
    error TEXT,
    error_type TEXT,
    changed REAL NOT NULL,
    delivered_to TEXT NOT NULL DEFAULT '',
    files TEXT NOT NULL DEFAULT '[]',
    checksum INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX entries_by_hash ON entries (hash, job, number);
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {_FORMAT};
COMMIT;
"""
# All columns but the request, which the hash is of, and the checksum, which is of all these.
_CHECKED = (
    *("number", "hash", "job", "name", "stage", "sent", "sent_date", "order_id", "order_state"),
    *("error", "error_type", "changed", "delivered_to", "files"),
)
_ASSIGNED = ", ".join(f"{name} = :{name}" for name in (*_CHECKED, "checksum"))
_SAVE = f"UPDATE entries SET {_ASSIGNED} WHERE number = :number"  # noqa: S608 - our own column names

T = TypeVar("T")


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

    `sent` is by the clock of this machine, `sent_date` by that of the service, None if that was unknown.
    `delivered_to` is the cloud or the host of an order that has no files to download.
    """

    name: str
    number: int = 0
    stage: Stage = Stage.INTENDED
    sent: float | None = None
    sent_date: float | None = None
    order_id: str | None = None
    order_state: str | None = None
    error: str | None = None
    error_type: str | None = None
    changed: float = 0.0
    delivered_to: str = ""
    files: tuple[KeptFile, ...] = ()
    hash: bytes = field(default=b"", repr=False)  # of the request


class Ledger:
    """The memory of a job, open inside `async with`; this base class stores nothing."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def take(self, name: str, body: bytes) -> Entry:
        """Return the entry of the next request with that JSON, as an earlier job left it, or a new one."""
        return Entry(name)

    async def save(self, entry: Entry) -> None:
        """Return when the entry will outlast a crash."""

    async def keep(self, entry: Entry, to: Destination[Path | str], files: DownloadedFiles) -> None:
        """Save the entry as downloaded, with the files of its order."""

    async def ids(self, *, name: str | None = None, seconds: float | None = None) -> list[str]:
        """Return the ids of the orders noted in the last seconds, of all names or of one."""
        return []


@define(eq=False)
class _Act:
    do: Callable[["LedgerFile"], None]
    lasting: bool
    done: bool = False
    error: LedgerError | None = None


class FileLedger(Ledger):
    """A ledger in a file, written by one thread at a time.

    What several tasks want written at the same time goes to the disk in one transaction.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._file: LedgerFile | None = None
        self._writing = anyio.Lock()
        self._acts: list[_Act] = []

    async def __aenter__(self) -> Self:
        try:
            await run_in_thread(self._open)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        file, self._file = self._file, None
        if file is not None:
            with anyio.CancelScope(shield=True):
                await run_in_thread(file.close)

    async def take(self, name: str, body: bytes) -> Entry:
        now = self._now()
        return await self._do(lambda file: file.take(name, body, now), lasting=False)

    async def save(self, entry: Entry) -> None:
        """Return when the entry will outlast a crash; cancelling does not prevent that."""
        entry.changed = self._now()
        with anyio.CancelScope(shield=True):
            await self._do(lambda file: file.save(entry))

    async def keep(self, entry: Entry, to: Destination[Path | str], files: DownloadedFiles) -> None:
        """Save the entry as downloaded, with the size and the checksum of each file, when all will last.

        Raises:
            DownloadError: A file has been taken away since it was downloaded.
        """
        with anyio.CancelScope(shield=True):
            entry.files = await kept_files(to, files)
        entry.stage = Stage.DOWNLOADED
        await self.save(entry)

    async def ids(self, *, name: str | None = None, seconds: float | None = None) -> list[str]:
        since = 0.0 if seconds is None else self._now() - seconds
        return await self._do(lambda file: file.ids(name=name, since=since), lasting=False)

    def _open(self) -> None:
        self._file = LedgerFile(self._path)

    @property
    def _open_file(self) -> "LedgerFile":
        if self._file is None:
            raise LedgerError(f"the ledger {self._path} is closed")
        return self._file

    def _now(self) -> float:
        return self._clock.now().timestamp()

    async def _do(self, do: Callable[["LedgerFile"], T], *, lasting: bool = True) -> T:
        results: list[T] = []
        act = _Act(lambda file: results.append(do(file)), lasting)
        self._acts.append(act)
        async with self._writing:
            if not act.done:
                acts, self._acts = self._acts, []
                await run_in_thread(self._write, acts)
        if act.error is not None:
            raise act.error
        return results[0]

    def _write(self, acts: list[_Act]) -> None:
        try:
            with _reported(self._path):
                self._open_file.do([act.do for act in acts], lasting=any(act.lasting for act in acts))
        except LedgerError as error:
            for act in acts:
                act.error = error
        finally:
            for act in acts:
                act.done = True


class LedgerFile:
    """The file, open for one job: no other job writes to it, anybody may read.  All methods block."""

    def __init__(self, path: Path) -> None:
        with _reported(path):
            path = _real(path)
            _check(path)  # before a lock is put next to a file that is no ledger
            self._lock = _lock(path)
            try:
                self._database, last_job = _open(path)
                self._job = last_job + 1
            except BaseException:
                self._lock.close()
                raise

    def close(self) -> None:
        self._database.close()
        self._lock.close()

    def do(self, acts: Sequence[Callable[[Self], None]], *, lasting: bool) -> None:
        """Do all of it or nothing; what need not be `lasting` is committed with the next that is."""
        if not self._database.in_transaction:
            self._database.execute("BEGIN")
        try:
            for act in acts:
                act(self)
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise
        if lasting:
            self._database.execute("COMMIT")

    def take(self, name: str, body: bytes, now: float) -> Entry:
        """Return the entry of a request: one of an earlier job that this job has not had, or else a new one.

        Requests are the same if their JSON is, apart from secrets, which are not kept.  Where a job has
        several of one kind, each has an entry.
        """
        request = msgspec.json.encode(redacted(msgspec.json.decode(body)), order="sorted")
        digest = hashlib.sha256(request).digest()
        row = self._database.execute(
            "SELECT * FROM entries WHERE hash = ? AND job < ? ORDER BY job, number LIMIT 1",
            (digest, self._job),
        ).fetchone()
        if row is not None:
            entry = _entry(row)
        else:
            inserted = self._database.execute(
                "INSERT INTO entries (hash, job, name, request, stage, changed) VALUES (?, ?, ?, ?, ?, ?)",
                (digest, self._job, name, request.decode(), Stage.INTENDED, now),
            )
            entry = Entry(name, inserted.lastrowid or 0, changed=now, hash=digest)
        self.save(entry)
        return entry

    def save(self, entry: Entry) -> None:
        row = {name: getattr(entry, name) for name in _CHECKED if name != "job"}
        row |= {
            "job": self._job,
            "files": msgspec.json.encode([astuple(file) for file in entry.files]).decode(),
        }
        row["checksum"] = _checksum(row)
        self._database.execute(_SAVE, row)

    def ids(self, *, name: str | None = None, since: float = 0.0) -> list[str]:
        """Return the ids of the orders of that name, or of all, noted since then."""
        found = self._database.execute(
            "SELECT order_id FROM entries"
            " WHERE order_id IS NOT NULL AND changed >= ? AND name = ifnull(?, name)",
            (since, name),
        )
        return [row["order_id"] for row in found]


def read_entries(path: Path) -> Iterator[tuple[Entry, Any]]:
    """Yield the entries of a ledger, each with the JSON of its request, also while a job writes to it."""
    with _reported(path):
        if not path.exists():
            raise LedgerError(f"there is no ledger {path}")
        path = _real(path)
        if not _check(path):
            return
        with closing(_connect(path)) as database:
            for row in database.execute("SELECT * FROM entries ORDER BY number"):
                if hashlib.sha256(str(row["request"]).encode()).digest() != row["hash"]:
                    raise _DamagedError(f"the request of entry {row['number']} is not as it was written")
                yield _entry(row), msgspec.json.decode(row["request"])


async def kept_files(to: Destination[Path | str], files: DownloadedFiles) -> tuple[KeptFile, ...]:
    """Describe the files, when they will outlast a power failure.

    Raises:
        DownloadError: One has been taken away since it was downloaded.
    """
    places = {to.relative(place): place for place in (*files, *files.urls)}
    sizes = await to.keep(places)
    unverified = {*files.unverified}
    return tuple(
        KeptFile(name, sizes[name], files.checksums.get(place, ""), place in unverified)
        for name, place in places.items()
    )


class _DamagedError(Exception):
    """An entry read from the ledger differs from what was written."""


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    """Raise what goes wrong with the file as a LedgerError."""
    try:
        yield
    except (OSError, sqlite3.OperationalError) as error:
        raise LedgerError(
            f"the ledger {path} cannot be used: {error}",
            hint="Use a file in an existing folder that can be written to, with space on its disk.",
        ) from error
    except (_DamagedError, ValueError, TypeError, LookupError, msgspec.MsgspecError, sqlite3.Error) as error:
        raise LedgerError(
            f"the ledger {path} is damaged: {error}",
            hint="Restore a copy of it; without one, list the orders of the account before ordering again.",
        ) from error


def _real(path: Path) -> Path:
    """Return the one name that SQLite must know the ledger by: its lock and its log are next to that name.

    Symbolic links are followed.  Of several hard links, it is the one that was used first.
    """
    path = Path(os.path.realpath(path))
    if not path.is_file() or path.stat().st_nlink == 1:
        return path
    names = sorted(other for other in path.parent.iterdir() if other.is_file() and other.samefile(path))
    if len(names) < path.stat().st_nlink:
        raise LedgerError(
            f"the ledger {path} has another name in another folder (a hard link): its log may be there",
            hint="Use a symbolic link instead, or remove the other name.",
        )
    return next((name for name in names if _lock_path(name).exists()), names[0])


def _lock_path(path: Path) -> Path:
    return path.with_name(f"{path.name}-lock")


def _check(path: Path) -> bool:
    """Return whether there is a ledger; raise LedgerError where there is something else."""
    if not path.exists() or (path.is_file() and not path.stat().st_size):
        return False
    if path.is_dir():
        raise LedgerError(f"the ledger {path} cannot be used: it is a folder", hint="Use a file.")
    # Opened by nothing but SQLite: closing a file of our own would end SQLite's locks on it (POSIX).
    application = version = objects = -1
    try:
        if path.stat().st_size >= _MIN_SIZE:
            with closing(_connect(path)) as database:
                (application,) = database.execute("PRAGMA application_id").fetchone()
                (version,) = database.execute("PRAGMA user_version").fetchone()
                (objects,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_NOTADB:
            raise
    if not application and not objects:
        return False  # a job was killed when it had just made the file
    if application != _APPLICATION_ID:
        raise LedgerError(f"{path} is not a ledger", hint="Use another file; nothing was changed.")
    if version != _FORMAT:
        raise LedgerError(
            f"the ledger {path} has format {version}, this version of planet_async writes {_FORMAT}",
            hint="Continue with the version that made it, or use another file.",
        )
    return True


def _lock(path: Path) -> sqlite3.Connection:
    """Exclude other jobs until the connection is closed, or the process has ended.

    The lock is on a file next to the ledger, so that the ledger itself can be read by others.
    """
    lock = _connect(_lock_path(path))
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        lock.close()
        if error.sqlite_errorcode not in _BUSY:
            raise
        raise LedgerError(
            f"the ledger {path} is in use by another job", hint="Wait for that, or use another file."
        ) from None
    return lock


def _open(path: Path) -> tuple[sqlite3.Connection, int]:
    """Return the database and the number of the last job."""
    is_ledger = _check(path)
    database = _connect(path)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        if not is_ledger:
            database.executescript(_TABLES)
        return database, _verified(database)
    except BaseException:
        database.close()
        raise


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=_LOCK_TIMEOUT, isolation_level=None, check_same_thread=False)
    database.row_factory = sqlite3.Row
    return database


def _verified(database: sqlite3.Connection) -> int:
    """Return the number of the last job; raise _DamagedError where an entry is not as it was written.

    An entry that cannot be found, or shows another state, would be ordered again.
    """
    (problem,) = database.execute("PRAGMA integrity_check(1)").fetchone()
    if problem != "ok":
        raise _DamagedError(problem)
    last = 0
    for row in database.execute(f"SELECT {', '.join(_CHECKED)}, checksum FROM entries"):  # noqa: S608 - our own column names
        if _checksum(row) != row["checksum"]:
            raise _DamagedError(f"entry {row['number']} is not as it was written")
        last = max(last, row["job"])
    return last


def _checksum(row: sqlite3.Row | Mapping[str, Any]) -> int:
    return zlib.crc32(msgspec.json.encode([row[name] for name in _CHECKED]))


def _entry(row: sqlite3.Row) -> Entry:
    if _checksum(row) != row["checksum"]:
        raise _DamagedError(f"entry {row['number']} is not as it was written")
    fields = {name: row[name] for name in _CHECKED if name not in {"job", "stage", "files"}}
    files = tuple(KeptFile(*file) for file in msgspec.json.decode(row["files"]))
    return Entry(**fields, stage=Stage(row["stage"]), files=files)
