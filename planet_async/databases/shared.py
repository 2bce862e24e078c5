"""`SharedDatabase`: a database as tasks use it, which waits for one that is being restarted."""

import hmac
import logging
import os
import platform
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from math import inf
from pathlib import Path
from secrets import token_hex
from typing import TypeVar

import anyio
import platformdirs

from planet_async._tasks import run_in_thread
from planet_async.clock import Clock
from planet_async.config import MACHINE
from planet_async.databases.database import (
    Database,
    DatabaseBusy,
    DatabaseLost,
    DatabaseUnusable,
    Transaction,
)
from planet_async.databases.postgres import PostgresDatabase
from planet_async.databases.sqlite import SqliteDatabase
from planet_async.errors import SharedStateError, SharedStateLost

T = TypeVar("T")

_LOST_AFTER = 30.0  # seconds
_LONGEST_PAUSE = 2.0  # between two attempts to connect
_BUSY_PAUSE, _LONGEST_BUSY_PAUSE = 0.01, 0.1  # seconds, until another process has written what it writes
_FIRST_LOCK_PAUSE, _LONGEST_LOCK_PAUSE = 0.01, 0.25  # between two attempts to take a lock

logger: logging.Logger = logging.getLogger("planet_async.databases")


class SharedDatabase:
    """A database for the tasks of one event loop; it is opened by the first that uses it.

    Args:
        open_database: What opens it; called again where that failed.
        clock: For the pauses.
        in_thread: Whether its calls take long enough to be made in a thread.
    """

    def __init__(self, open_database: Callable[[], Database], clock: Clock, *, in_thread: bool) -> None:
        self._open = open_database
        self._clock = clock
        self.in_thread: bool = in_thread
        self._salt = b""
        self._database: Database | None = None
        self._process = 0  # that has opened it
        self._released: list[str] = []  # locks to be released by the next call
        self._turn = anyio.Lock(fast_acquire=True)

    async def transact(self, work: Callable[[Transaction], T]) -> T:
        """Run all statements of `work` in one transaction; it may be called again, where that was lost.

        Raises:
            SharedStateError: The database cannot be used.
            SharedStateLost: There was no connection for 30 seconds.
        """
        return await self.call(lambda database: database.transact(work))

    async def call(self, act: Callable[[Database], T]) -> T:
        """Call a method of the database; being cancelled does not end it half way. Raises: as `transact`."""
        lost_at = busy_at = None
        pause = busy_pause = 0.0
        while True:
            problem: DatabaseUnusable | DatabaseLost
            try:
                async with self._turn:
                    with anyio.CancelScope(shield=True):
                        if self.in_thread:
                            return await run_in_thread(self._act, act)
                        return self._act(act)
            except DatabaseBusy as busy:
                busy_at = self._note_busy(busy, busy_at)
                busy_pause = min(_LONGEST_BUSY_PAUSE, 2 * busy_pause or _BUSY_PAUSE)
                await self._clock.sleep(random.uniform(0, busy_pause))  # noqa: S311 - spreads load
                continue
            except DatabaseLost as lost:
                problem = lost
            except DatabaseUnusable as unusable:
                problem = unusable
            if isinstance(problem, DatabaseUnusable):
                raise SharedStateError(problem.message, hint=problem.hint)
            now = self._clock.monotonic()
            lost_at = now if lost_at is None else lost_at
            if now - lost_at >= _LOST_AFTER:
                raise SharedStateLost(
                    f"the database of shared state has not been reached for {_LOST_AFTER:g} s: {problem}",
                    hint="Nothing is sent without it. Start again when it is back.",
                )
            pause = min(_LONGEST_PAUSE, 2 * pause or 0.1)
            await self._clock.sleep(pause)

    async def keyed_hash(self, text: str) -> str:
        """Return a hash of what must not be read in the database, by a key that only the database has."""
        if not self._salt:
            self._salt = bytes.fromhex(await self.transact(_salt))
        return hmac.new(self._salt, text.encode(), "sha256").hexdigest()

    @asynccontextmanager
    async def lock(self, key: str, *, shared: bool = False) -> AsyncIterator[None]:
        """Hold a lock; others may hold it, too, where all do so as `shared`."""
        is_taken = False  # known also where the call that took it was cancelled

        def take(database: Database) -> None:
            nonlocal is_taken
            is_taken = is_taken or database.try_lock(key, shared=shared)

        pause = _FIRST_LOCK_PAUSE
        try:
            await self.call(take)
            while not is_taken:
                await self._clock.sleep(random.uniform(pause / 2, pause))  # noqa: S311 - spreads load
                pause = min(_LONGEST_LOCK_PAUSE, 2 * pause)
                await self.call(take)
            yield
        finally:
            if is_taken and self._database is not None:
                self._released.append(key)  # should this call be cancelled, too, the next one does it
                with anyio.CancelScope(shield=True):
                    await self.call(lambda _: None)

    async def aclose(self) -> None:
        """Close the connection; a later call makes another one."""
        with anyio.CancelScope(shield=True):
            async with self._turn:
                database, self._database = self._database, None
                self._released.clear()
                if database is not None:
                    await run_in_thread(database.close) if self.in_thread else database.close()

    def _act(self, act: Callable[[Database], T]) -> T:
        if self._database is None:
            self._database = self._open()
            self._process = os.getpid()
        while self._released:
            with suppress(DatabaseLost, DatabaseUnusable):  # and with the connection the lock
                self._database.unlock(self._released.pop())
        return act(self._database)

    def _note_busy(self, busy: DatabaseBusy, since: float | None) -> float:
        """Return since when it is busy; a warning says once if that is long ago."""
        now = self._clock.monotonic()
        if since is not None and now - since >= _LOST_AFTER:
            logger.warning("requests wait for another program that is writing for long: %s", busy)
            return inf
        return now if since is None else since

    def __del__(self) -> None:
        # In a forked process the connection is that of its parent.
        if self._database is not None and self._process == os.getpid():
            self._database.close()


_PARTS = "CREATE TABLE planet_async_parts (part TEXT PRIMARY KEY, version INTEGER NOT NULL)"
_VERSION = 1
_TABLES = (
    "CREATE TABLE planet_async_limiters (key TEXT PRIMARY KEY, state TEXT NOT NULL, version BIGINT NOT NULL)",
    (
        "CREATE TABLE planet_async_creates (service TEXT, id TEXT, owner TEXT NOT NULL,"
        " noted DOUBLE PRECISION NOT NULL, PRIMARY KEY (service, id))"
    ),
    "CREATE INDEX planet_async_creates_by_time ON planet_async_creates (noted)",
)


def shared_database(address: str, clock: Clock) -> SharedDatabase:
    """Return the database of `Config.shared`."""
    if address == MACHINE:
        return SharedDatabase(lambda: open_file(file_of_machine()), clock, in_thread=False)
    return SharedDatabase(partial(_open_address, address), clock, in_thread=True)


def _open_address(address: str) -> Database:
    return _prepared(PostgresDatabase(address, lasting=False))


def file_of_machine() -> Path:
    """Return the file that programs of this user share; in a home that machines share, each has its own."""
    folder = platformdirs.user_state_path("planet_async", appauthor=False)
    return folder / f"{platform.node() or 'machine'}.sqlite"


def open_file(path: Path, seconds: Callable[[], float] = time.monotonic) -> Database:
    """Open the file with what is shared, and make its tables where they are missing."""
    try:
        return _prepared(SqliteDatabase(path, lasting=False, timeout=0, seconds=seconds))
    except DatabaseUnusable as error:
        if "damaged" in error.message:
            error.hint = "End all programs that use it, and remove it; or set PL_SHARED=none."
        raise


def prepare(
    database: Database,
    part: str,
    version: int,
    statements: Sequence[str],
    then: Callable[[Transaction], None] | None = None,
) -> None:
    """Make the tables of a part, where they are not there yet; `then` is called in the same transaction.

    Raises:
        DatabaseUnusable: They are of another version, or the user has no right to make them.
    """

    def make(work: Transaction) -> None:
        work.execute("{alone}")
        if not database.has_table("planet_async_parts"):
            work.execute(_PARTS)
        if not work.execute("SELECT 1 FROM planet_async_parts WHERE part = :part", part=part):
            for statement in statements:
                work.execute(statement)
            if then is not None:
                then(work)
            work.execute(
                "INSERT INTO planet_async_parts VALUES (:part, :version)", part=part, version=version
            )

    if not database.has_table("planet_async_parts") or _version(database, part) is None:
        database.transact(make)
    found = _version(database, part)
    if found != version:
        raise DatabaseUnusable(
            f"the tables of the database have version {found}, this planet_async uses {version}",
            "Use the version of planet_async that made them, or another database.",
        )


def _version(database: Database, part: str) -> int | None:
    rows = database.read("SELECT version FROM planet_async_parts WHERE part = :part", part=part)
    return int(rows[0]["version"]) if rows else None


def _prepared(database: Database) -> Database:
    try:
        salt = f"INSERT INTO planet_async_limiters VALUES ('salt', '{token_hex(32)}', 0)"  # noqa: S608 - our own
        prepare(database, "shared", _VERSION, [*_TABLES, salt])
    except BaseException:
        database.close()
        raise
    return database


def _salt(work: Transaction) -> str:
    """Return the key of the hashes; its row is that of no limiter."""
    return str(work.execute("SELECT state FROM planet_async_limiters WHERE key = 'salt'")[0]["state"])
