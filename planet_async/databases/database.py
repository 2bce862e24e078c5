"""`Database`: statements that SQLite and PostgreSQL both understand, and locks that end with a process."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
Row = Mapping[str, Any]
"""A row, by the names of its columns."""


class Transaction(Protocol):
    """What can be done in one transaction."""

    def execute(self, statement: str, **parameters: Any) -> list[Row]:
        """Run a statement, with parameters written as ``:name``, and return its rows.

        ``{now}`` is the time of the database in seconds, ``{number}`` the type of a column that counts rows;
        ``{unlocked}`` makes a SELECT skip the rows that another transaction holds, and ``{alone}`` is a
        SELECT that waits for other transactions with it.
        """
        ...

    def execute_many(self, statement: str, parameters: Iterable[Row]) -> None:
        """Run a statement for each set of parameters."""
        ...


class Database(Protocol):
    """A connection to a database.  All methods block, and are called by one thread at a time.

    Attributes:
        lock_gap: For how many seconds a lock may seem free though its process is alive: one that has lost its
            connection takes its locks again when it has another one.

    Raises:
        DatabaseUnusable: It can never be used like this.
        DatabaseLost: The connection is gone, and with it what had not been committed; the next call makes a
            new one.
        DatabaseBusy: Another process is writing.
    """

    @property
    def lock_gap(self) -> float: ...

    def transact(self, work: Callable[[Transaction], T], *, lasting: bool = True) -> T:
        """Run all statements of `work` in one transaction, and commit it, or nothing of it.

        What is not `lasting` may be lost where the power of this machine fails.
        """
        ...

    def read(self, statement: str, **parameters: Any) -> list[Row]:
        """Run a SELECT, which waits for nobody who writes, and return its rows; see `Transaction.execute`."""
        ...

    def try_lock(self, key: str, *, shared: bool = False) -> bool:
        """Take a lock, and return whether that was possible; several processes may hold it as `shared`.

        The lock lasts until `unlock`, or until this process or its connection has ended.  Within one
        connection a key may be shared several times.
        """
        ...

    def unlock(self, key: str) -> None:
        """Release a lock, once."""
        ...

    def has_table(self, name: str) -> bool:
        """Return whether there is a table of that name."""
        ...

    def locked(self, keys: Iterable[str]) -> set[str]:
        """Return those of the keys that any process holds."""
        ...

    def close(self) -> None:
        """Close the connection, and release all locks."""
        ...


class DatabaseUnusable(Exception):
    """The address is wrong, a right is missing, or the tables are of another version."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class DatabaseLost(Exception):
    """There is no connection."""


class DatabaseBusy(Exception):
    """Another process is writing."""


_PARTS = "CREATE TABLE planet_async_parts (part TEXT PRIMARY KEY, version INTEGER NOT NULL)"


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
