"""`SqliteDatabase`: a file that the processes of one machine share."""

import os
import sqlite3
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from attrs import define

from planet_async.databases.database import DatabaseBusy, DatabaseUnusable, Row

T = TypeVar("T")

_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_PLACES = {"now": "seconds()", "number": "INTEGER PRIMARY KEY", "unlocked": "", "alone": "SELECT 1"}


class SqliteDatabase:
    """A SQLite database, and a folder of lock files next to it.

    Args:
        path: The file; it is made, and so is its folder.
        lasting: Whether what was committed outlasts a power failure.
        timeout: How many seconds to wait, blocking, while another process writes.
        seconds: Its clock; by default the monotonic one, which all processes of a machine read alike, and
            which is never set.
    """

    lock_gap: float = 0.0  # a lock of a file ends with its process only

    def __init__(
        self,
        path: Path,
        *,
        lasting: bool,
        timeout: float,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._lasting = self._synchronous = lasting
        self._locks_folder = path.with_name(f"{path.name}-locks")
        self._locks: dict[str, _FileLock] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = connect(path, timeout=timeout)
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
                self._connection.execute(f"PRAGMA synchronous = {'FULL' if lasting else 'OFF'}")
                self._connection.create_function("seconds", 0, seconds)
                self._file = path.stat()
            except BaseException:
                self._connection.close()
                raise
        except (OSError, sqlite3.Error) as error:
            raise _translated(error, path) from error

    def transact(self, work: Callable[["SqliteDatabase"], T], *, lasting: bool = True) -> T:
        connection = self._connection
        self._check_file()
        try:
            if self._lasting and self._synchronous is not lasting:
                # In a write-ahead log, this is whether each commit is synchronized, or only those after it.
                connection.execute(f"PRAGMA synchronous = {'FULL' if lasting else 'NORMAL'}")
                self._synchronous = lasting
            try:
                connection.execute("BEGIN IMMEDIATE")
                result = work(self)
                connection.execute("COMMIT")
            finally:  # what failed to be committed would keep all others from writing
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise _translated(error, self._path) from error
        return result

    def _check_file(self) -> None:
        """Raise DatabaseUnusable where the path leads to another file now, which others may use."""
        try:
            is_there = os.path.samestat(self._path.stat(), self._file)
        except OSError:
            is_there = False
        if not is_there:
            raise DatabaseUnusable(
                f"{os.fspath(self._path)} cannot be used: it was removed or replaced while in use",
                "Start the program again.",
            )

    def read(self, statement: str, **parameters: Any) -> list[Row]:
        try:
            return self.execute(statement, **parameters)
        except sqlite3.Error as error:
            raise _translated(error, self._path) from error

    def execute(self, statement: str, **parameters: Any) -> list[Row]:
        found = self._connection.execute(statement.format_map(_PLACES), parameters).fetchall()
        return [dict(row) for row in found]

    def execute_many(self, statement: str, parameters: Iterable[Row]) -> None:
        self._connection.executemany(statement.format_map(_PLACES), parameters)

    def has_table(self, name: str) -> bool:
        return bool(self.read("SELECT 1 FROM sqlite_master WHERE name = :name", name=name))

    def try_lock(self, key: str, *, shared: bool = False) -> bool:
        held = self._locks.get(key)
        if held is not None:
            if not (shared and held.shared):
                return False
            held.times += 1
            return True
        try:
            self._locks_folder.mkdir(exist_ok=True)
            connection = _lock_file(self._locks_folder / key, shared)
        except (OSError, sqlite3.Error) as error:
            raise _translated(error, self._locks_folder / key) from error
        if connection is None:
            return False
        self._locks[key] = _FileLock(connection, shared)
        return True

    def unlock(self, key: str) -> None:
        held = self._locks.get(key)
        if held is None:
            return
        held.times -= 1
        if not held.times:
            del self._locks[key]
            held.connection.close()

    def locked(self, keys: Iterable[str]) -> set[str]:
        return {key for key in keys if not self._is_free(key)}

    def _is_free(self, key: str) -> bool:
        if not (self._locks_folder / key).exists():
            return True
        # Shared, so that two processes that look at once do not take each other for the holder.
        if key in self._locks or not self.try_lock(key, shared=True):
            return False
        with suppress(OSError):  # Windows removes no file that another process has open
            (self._locks_folder / key).unlink()
        self.unlock(key)
        return True

    def close(self) -> None:
        self._connection.close()
        for held in self._locks.values():
            held.connection.close()
        self._locks.clear()


@define
class _FileLock:
    connection: sqlite3.Connection
    shared: bool
    times: int = 1


def connect(path: Path, *, timeout: float = 0.0) -> sqlite3.Connection:
    """Return a connection that begins no transaction by itself, and is used by any thread."""
    connection = sqlite3.connect(path, timeout=timeout, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    return connection


def _lock_file(path: Path, shared: bool) -> sqlite3.Connection | None:
    """Lock a file as SQLite does, which every system can, and which ends with the process."""
    connection = connect(path)
    try:
        connection.execute("BEGIN" if shared else "BEGIN EXCLUSIVE")
        connection.execute("SELECT count(*) FROM sqlite_master")  # only this takes the shared lock
    except sqlite3.OperationalError as error:
        connection.close()
        if error.sqlite_errorcode not in _BUSY:
            raise
        return None
    return connection


def _translated(error: Exception, path: Path) -> Exception:
    # Errors of Python's module itself have no code.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    if isinstance(error, sqlite3.OperationalError) and code & 0xFF in _BUSY:
        return DatabaseBusy(str(error))
    if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
        return DatabaseUnusable(
            f"{os.fspath(path)} cannot be used: it is damaged: {error}",
            "Restore a copy of it; without one, list what was created before you create it again.",
        )
    reason = error.strerror or error if isinstance(error, OSError) else error
    return DatabaseUnusable(
        f"{os.fspath(path)} cannot be used: {reason}",
        "Use a folder of this machine that can be written to, with space on its disk.",
    )
