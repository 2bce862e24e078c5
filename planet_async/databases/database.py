"""`Database`: statements that SQLite and PostgreSQL both understand, and locks that end with a process."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
Row = Mapping[str, Any]
"""A row, by the names of its columns."""


class Transaction(Protocol):
    """The statements of one transaction."""

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
        """Return those of the keys that any process holds.  It is for keys that are never shared."""
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
