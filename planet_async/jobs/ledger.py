"""`Ledger`: what became of each order of a long job, on disk, so that one that was killed can go on."""

import hashlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import anyio
import msgspec
from attrs import define, frozen

from planet_async._tasks import run_in_thread
from planet_async.clock import Clock
from planet_async.errors import DownloadError, LedgerError
from planet_async.models.codec import decode
from planet_async.models.orders import Manifest
from planet_async.redaction import redacted


class Stage(StrEnum):
    """How far a request has come; after `SENDING` an order may exist whose id nobody has noted."""

    INTENDED = "intended"
    SENDING = "sending"
    ORDERED = "ordered"
    FINISHED = "finished"
    DOWNLOADED = "downloaded"
    FAILED = "failed"


@frozen
class KeptFile:
    """A file of an order: its path below the folder of the job, its size, and ``"sha256:..."``."""

    path: str
    size: int
    checksum: str = ""


@define
class Entry:
    """One request and what became of it; `sent` and `changed` are seconds since 1970."""

    name: str
    number: int = 0
    stage: Stage = Stage.INTENDED
    sent: float | None = None
    order_id: str | None = None
    order_state: str | None = None
    error: str | None = None
    error_type: str | None = None
    changed: float = 0.0
    files: tuple[KeptFile, ...] = ()


def kept_files(order_id: str, folder: Path, paths: Sequence[Path]) -> tuple[KeptFile, ...]:
    """Describe the files of an order, with the checksums of its manifest."""
    manifest = folder / order_id / "manifest.json"
    checksums: dict[Path, str] = {}
    if manifest in paths:
        for file in decode(Manifest, manifest.read_bytes()).files:
            found = [f"{name}:{file.digests[name]}" for name in ("sha256", "md5") if name in file.digests]
            checksums[manifest.parent / file.path] = (*found, "")[0]
    return tuple(
        KeptFile(path.relative_to(folder).as_posix(), path.stat().st_size, checksums.get(path, ""))
        for path in paths
    )


def paths_there(files: Sequence[KeptFile], folder: Path) -> tuple[Path, ...]:
    """Give the paths of the files if all are there, of the right size, else nothing."""
    paths = tuple(folder / file.path for file in files)
    try:
        return (
            paths
            if all(path.stat().st_size == file.size for path, file in zip(paths, files, strict=True))
            else ()
        )
    except OSError:
        return ()


_SMALLEST = 512  # bytes: what is shorter, SQLite would take for empty
_FORMAT = 1
_PROGRAM = 0x504C4C31  # how this file is told from other SQLite files
_PATIENCE = 0.5  # seconds for a job that is just ending to let go
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})

_TABLES = f"""
BEGIN IMMEDIATE;
CREATE TABLE jobs (number INTEGER PRIMARY KEY);
CREATE TABLE entries (
    number INTEGER PRIMARY KEY,
    hash BLOB NOT NULL,
    job INTEGER NOT NULL,
    name TEXT NOT NULL,
    request TEXT NOT NULL,
    stage TEXT NOT NULL,
    sent REAL,
    order_id TEXT,
    order_state TEXT,
    error TEXT,
    error_type TEXT,
    changed REAL NOT NULL
);
CREATE INDEX entries_by_hash ON entries (hash, job, number);
CREATE TABLE files (
    entry INTEGER NOT NULL REFERENCES entries,
    path TEXT NOT NULL,
    size INTEGER NOT NULL,
    checksum TEXT NOT NULL,
    PRIMARY KEY (entry, path)
) WITHOUT ROWID;
PRAGMA application_id = {_PROGRAM};
PRAGMA user_version = {_FORMAT};
COMMIT;
"""
_FIELDS = ("number", "name", "sent", "order_id", "order_state", "error", "error_type", "changed")


class LedgerFile:
    """The file, open for one job: nobody else writes to it meanwhile, anybody may read."""

    def __init__(self, path: Path) -> None:
        with reported(path):
            _check(path)
            self._lock = _locked(path)
            try:
                self._database = _opened(path)
                self._database.execute("BEGIN")
                self._job = self._database.execute("INSERT INTO jobs DEFAULT VALUES").lastrowid
                self._database.execute("COMMIT")
            except BaseException:
                self._lock.close()
                raise

    def close(self) -> None:
        """Let go of the file; nothing that was to last is left to be written."""
        self._database.close()
        self._lock.close()

    def do(self, acts: Sequence[Callable[[Self], None]], *, lasting: bool) -> None:
        """Do all of it or nothing; what need not be `lasting` goes to the disk with the next that is."""
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
        """Give the entry of a request: one of an earlier job that this job has not had, or else a new one.

        Requests are the same whose JSON is the same, but for the secrets, which are not kept; where a job has
        several of them, each is an entry.
        """
        request = msgspec.json.encode(redacted(msgspec.json.decode(body)), order="sorted")
        digest = hashlib.sha256(request).digest()
        row = self._database.execute(
            "SELECT * FROM entries WHERE hash = ? AND job < ? ORDER BY job, number LIMIT 1",
            (digest, self._job),
        ).fetchone()
        if row is not None:
            self._database.execute("UPDATE entries SET job = ? WHERE number = ?", (self._job, row["number"]))
            return _entry(self._database, row)
        inserted = self._database.execute(
            "INSERT INTO entries (hash, job, name, request, stage, changed) VALUES (?, ?, ?, ?, ?, ?)",
            (digest, self._job, name, request.decode(), Stage.INTENDED, now),
        )
        return Entry(name, inserted.lastrowid or 0, changed=now)

    def save(self, entry: Entry) -> None:
        """Write down how an entry stands now."""
        self._database.execute(
            "UPDATE entries SET stage = ?, sent = ?, order_id = ?, order_state = ?, error = ?,"
            " error_type = ?, changed = ? WHERE number = ?",
            (
                *(entry.stage, entry.sent, entry.order_id, entry.order_state),
                *(entry.error, entry.error_type, entry.changed, entry.number),
            ),
        )
        self._database.execute("DELETE FROM files WHERE entry = ?", (entry.number,))
        self._database.executemany(
            "INSERT INTO files VALUES (?, ?, ?, ?)",
            [(entry.number, file.path, file.size, file.checksum) for file in entry.files],
        )

    def ids(self, *, name: str | None = None, since: float = 0.0) -> list[str]:
        """Give the ids of the orders of that name, or of all, noted since then."""
        found = self._database.execute(
            "SELECT order_id FROM entries"
            " WHERE order_id IS NOT NULL AND changed >= ? AND name = ifnull(?, name)",
            (since, name),
        )
        return [row["order_id"] for row in found]


def read_entries(path: Path) -> Iterator[tuple[Entry, Any]]:
    """Yield the entries of a ledger, each with the JSON of its request, also while a job writes to it."""
    with reported(path):
        if not path.exists():
            raise LedgerError(f"there is no ledger {path}")
        if not _check(path):
            return
        with closing(_connect(path)) as database:
            for row in database.execute("SELECT * FROM entries ORDER BY number"):
                yield _entry(database, row), msgspec.json.decode(row["request"])


@contextmanager
def reported(path: Path) -> Iterator[None]:
    """Make of an error of SQLite one of ours, which names the file."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        hint = "Take a file in a folder that is there, and fit to be written to, with room on its disk."
        raise LedgerError(f"the ledger {path} cannot be used: {error}", hint=hint) from error


def _check(path: Path) -> bool:
    """Tell whether there is a ledger; raise LedgerError where there is something else."""
    if not path.exists() or (path.is_file() and not path.stat().st_size):
        return False
    if path.is_dir():
        raise LedgerError(f"the ledger {path} cannot be used: it is a folder", hint="Take a file.")
    # Not to be opened by other means than SQLite's: closing it would end the locks of this process.
    program = version = things = -1
    try:
        if path.stat().st_size >= _SMALLEST:
            with closing(_connect(path)) as database:
                (program,) = database.execute("PRAGMA application_id").fetchone()
                (version,) = database.execute("PRAGMA user_version").fetchone()
                (things,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_NOTADB:
            raise
    if not program and not things:
        return False  # a job was killed when it had just made the file
    if program != _PROGRAM:
        raise LedgerError(f"{path} is not a ledger", hint="Take another file; nothing was changed.")
    if version != _FORMAT:
        raise LedgerError(
            f"the ledger {path} has format {version}, this version of planet_async writes {_FORMAT}",
            hint="Go on with the version that made it, or take another file.",
        )
    return True


def _locked(path: Path) -> sqlite3.Connection:
    """Keep other jobs from the ledger until this is closed, or the process is gone.

    The lock is on a file beside it, so that the ledger can be read meanwhile.
    """
    lock = _connect(path.with_name(f"{path.name}-lock"))
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        lock.close()
        if error.sqlite_errorcode not in _BUSY:
            raise
        raise LedgerError(
            f"the ledger {path} is in use by another job", hint="Wait for that, or take another file."
        ) from None
    return lock


def _opened(path: Path) -> sqlite3.Connection:
    known = _check(path)
    database = _connect(path)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        if not known:
            database.executescript(_TABLES)
    except BaseException:
        database.close()
        raise
    return database


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
    database.row_factory = sqlite3.Row
    return database


def _entry(database: sqlite3.Connection, row: sqlite3.Row) -> Entry:
    files = database.execute(
        "SELECT path, size, checksum FROM files WHERE entry = ? ORDER BY path", (row["number"],)
    )
    fields = {name: row[name] for name in _FIELDS}
    return Entry(stage=Stage(row["stage"]), files=tuple(KeptFile(*file) for file in files), **fields)


T = TypeVar("T")


class Ledger(Protocol):
    """What a job writes down, and asks; open inside `async with`."""

    async def __aenter__(self) -> Self:
        """Open it; LedgerError where it is in use, or no ledger."""
        ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        ...

    async def take(self, name: str, body: bytes) -> Entry:
        """Give the entry of the next request with that JSON, as an earlier job left it, or a new one."""
        ...

    async def save(self, entry: Entry) -> None:
        """Return when what the entry says now is safe on the disk."""
        ...

    async def keep(self, entry: Entry, folder: Path, paths: Sequence[Path]) -> None:
        """Save the entry as downloaded, with what there is to know of the files of its order."""
        ...

    async def ids(self, *, name: str | None = None, seconds: float | None = None) -> list[str]:
        """Give the ids of the orders noted in the last seconds, of all names or of one."""
        ...


class NoLedger:
    """Remembers nothing."""

    async def __aenter__(self) -> Self:
        """Do nothing."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Do nothing."""

    async def take(self, name: str, _body: bytes) -> Entry:
        """Give a new entry."""
        return Entry(name)

    async def save(self, _entry: Entry) -> None:
        """Do nothing."""

    async def keep(self, _entry: Entry, _folder: Path, _paths: Sequence[Path]) -> None:
        """Do nothing."""

    async def ids(self, *, name: str | None = None, seconds: float | None = None) -> list[str]:
        """Know of none."""
        return []


@define(eq=False)
class _Task:
    act: Callable[[LedgerFile], None]
    lasting: bool
    done: bool = False
    error: LedgerError | None = None


class FileLedger:
    """A ledger in a file, written by one thread at a time.

    What several tasks want written at the same time goes to the disk in one turn.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._file: LedgerFile | None = None
        self._writing = anyio.Lock()
        self._tasks: list[_Task] = []

    async def __aenter__(self) -> Self:
        """Open or make the file."""
        try:
            await run_in_thread(self._open)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the file."""
        file, self._file = self._file, None
        if file is not None:
            with anyio.CancelScope(shield=True):
                await run_in_thread(file.close)

    async def take(self, name: str, body: bytes) -> Entry:
        """Give the entry of the next request with that JSON."""
        now = self._now()
        return await self._do(lambda file: file.take(name, body, now), lasting=False)

    async def save(self, entry: Entry) -> None:
        """Return when what the entry says now is safe on the disk; not even cancelling prevents it."""
        entry.changed = self._now()
        with anyio.CancelScope(shield=True):
            await self._do(lambda file: file.save(entry))

    async def keep(self, entry: Entry, folder: Path, paths: Sequence[Path]) -> None:
        """Save the entry, with the files, their sizes, and their checksums from the manifest.

        DownloadError where somebody has taken one of them away by then.
        """
        with anyio.CancelScope(shield=True):
            try:
                entry.files = await run_in_thread(kept_files, entry.order_id, folder, paths)
            except OSError as error:
                raise DownloadError(
                    f"a file of the order was taken away before it was noted: {error.filename}",
                    hint="Move files when the job has ended; start it again for this one.",
                ) from error
        entry.stage = Stage.DOWNLOADED
        await self.save(entry)

    async def ids(self, *, name: str | None = None, seconds: float | None = None) -> list[str]:
        """Give the ids of the orders noted in the last seconds."""
        since = 0.0 if seconds is None else self._now() - seconds
        return await self._do(lambda file: file.ids(name=name, since=since), lasting=False)

    def _open(self) -> None:
        self._file = LedgerFile(self._path)

    @property
    def _open_file(self) -> LedgerFile:
        if self._file is None:
            raise LedgerError(f"the ledger {self._path} is closed")
        return self._file

    def _now(self) -> float:
        return self._clock.now().timestamp()

    async def _do(self, act: Callable[[LedgerFile], T], *, lasting: bool = True) -> T:
        found: list[T] = []
        task = _Task(lambda file: found.append(act(file)), lasting)
        self._tasks.append(task)
        async with self._writing:
            if not task.done:
                tasks, self._tasks = self._tasks, []
                await run_in_thread(self._work, tasks)
        if task.error is not None:
            raise task.error
        return found[0]

    def _work(self, tasks: list[_Task]) -> None:
        try:
            with reported(self._path):
                self._open_file.do([task.act for task in tasks], lasting=any(task.lasting for task in tasks))
        except LedgerError as error:
            for task in tasks:
                task.error = error
        finally:
            for task in tasks:
                task.done = True
