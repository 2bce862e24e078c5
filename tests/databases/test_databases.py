"""What SQLite and PostgreSQL must both do."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from planet_async.databases.database import Database, DatabaseLost, DatabaseUnusable
from planet_async.databases.postgres import PostgresDatabase
from planet_async.databases.shared import prepare
from planet_async.databases.sqlite import SqliteDatabase

Open = Callable[[], Database]
TABLE = ["CREATE TABLE planet_async_things (number {number}, word TEXT, size DOUBLE PRECISION)"]


@pytest.fixture(params=["sqlite", "postgres"])
def open_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Return what opens one more connection to one database."""
    opened: list[Database] = []
    address = request.getfixturevalue("postgres") if request.param == "postgres" else ""

    def open_one() -> Database:
        if address:
            database: Database = PostgresDatabase(address, lasting=True)
        else:
            database = SqliteDatabase(tmp_path / "a" / "file", lasting=True, timeout=5)
        opened.append(database)
        return database

    yield open_one
    for database in opened:
        database.close()


def test_statements_are_understood_by_both(open_database: Open) -> None:
    """One text of a statement serves both databases."""
    database, other = open_database(), open_database()
    prepare(database, "things", 1, TABLE)
    prepare(other, "things", 1, TABLE)

    def fill(work: Any) -> None:
        work.execute_many(
            "INSERT INTO planet_async_things (word, size) VALUES (:word, :size)",
            [{"word": "100 %", "size": 1.5}, {"word": "it's: :word", "size": None}],
        )

    database.transact(fill)
    rows = other.transact(
        lambda work: work.execute("SELECT * FROM planet_async_things ORDER BY number {unlocked}")
    )
    assert rows == [
        {"number": 1, "word": "100 %", "size": 1.5},
        {"number": 2, "word": "it's: :word", "size": None},
    ]
    now = [one.transact(lambda work: work.execute("SELECT {now} AS now")) for one in (database, other)]
    assert 0 <= now[1][0]["now"] - now[0][0]["now"] < 60


def test_nothing_of_a_failed_transaction_is_kept(open_database: Open) -> None:
    """A transaction is committed as a whole, or leaves nothing."""
    database = open_database()
    prepare(database, "things", 1, TABLE)

    def fail(work: Any) -> None:
        work.execute("INSERT INTO planet_async_things (word) VALUES ('a')")
        raise LookupError

    with pytest.raises(LookupError):
        database.transact(fail)
    assert database.transact(lambda work: work.execute("SELECT * FROM planet_async_things")) == []


def test_locks_are_shared_or_exclusive(open_database: Open) -> None:
    """An exclusive lock excludes all others, shared ones only that, and both end with the connection."""
    one, two, three = open_database(), open_database(), open_database()
    assert one.try_lock("a", shared=True)
    assert one.try_lock("a", shared=True)
    assert two.try_lock("a", shared=True)
    assert not three.try_lock("a")
    one.unlock("a")
    two.unlock("a")
    assert not three.try_lock("a"), "it was shared twice and released once"
    one.unlock("a")
    assert three.try_lock("a")
    assert not one.try_lock("a", shared=True)
    assert not three.try_lock("a")
    three.close()
    until = time.monotonic() + 30  # a server notices in its own time that a connection has ended
    while not one.try_lock("a"):
        assert time.monotonic() < until
        time.sleep(0.01)
    assert one.locked(["a", "b"]) == {"a"}
    one.unlock("a")
    assert two.locked(["a", "b"]) == set()


def test_who_looks_for_a_holder_is_not_taken_for_one(open_database: Open) -> None:
    """Two processes that look at once whether an owner has died both see that it has."""
    owner, one, two = open_database(), open_database(), open_database()
    assert owner.try_lock("a")
    assert one.locked(["a"]) == {"a"}
    owner.close()
    until = time.monotonic() + 30
    while not two.try_lock("a", shared=True):  # as in the middle of looking
        assert time.monotonic() < until
        time.sleep(0.01)
    assert one.locked(["a"]) == set()


def test_a_file_that_was_replaced_is_not_written_to(tmp_path: Path) -> None:
    """Other processes would not see it."""
    path = tmp_path / "file"
    database = SqliteDatabase(path, lasting=False, timeout=0)
    prepare(database, "things", 1, TABLE)
    path.unlink()
    with pytest.raises(DatabaseUnusable, match="was removed or replaced while in use"):
        database.transact(lambda work: work.execute("SELECT 1"))
    database.close()


def test_a_commit_that_failed_leaves_the_file_to_others(tmp_path: Path) -> None:
    """A transaction that cannot be committed, as on a full disk, is ended."""
    one, two = (SqliteDatabase(tmp_path / "file", lasting=False, timeout=0) for _ in range(2))

    def defer(work: Any) -> None:
        work.execute("CREATE TABLE parent (id INTEGER PRIMARY KEY)")
        work.execute("CREATE TABLE child (id INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED)")

    one.execute("PRAGMA foreign_keys = ON")
    one.transact(defer)
    with pytest.raises(DatabaseUnusable, match="FOREIGN KEY"):  # only seen by the COMMIT
        one.transact(lambda work: work.execute("INSERT INTO child VALUES (1)"))
    for database in (two, one):
        database.transact(lambda work: work.execute("SELECT 1"))
        database.close()


def test_tables_of_another_version_are_refused(open_database: Open) -> None:
    """What a newer version has made is not written to."""
    database = open_database()
    prepare(database, "things", 2, TABLE)
    with pytest.raises(DatabaseUnusable, match="version 2, this planet_async uses 1"):
        prepare(database, "things", 1, TABLE)


def test_a_lost_connection_is_made_again(postgres: str, postgres_server: Any) -> None:
    """What was being done is reported as lost; the next call connects anew, and takes the locks again."""
    database = PostgresDatabase(postgres, lasting=True)
    try:
        assert database.try_lock("a")
        postgres_server.stop()
        with pytest.raises(DatabaseLost):
            database.transact(lambda work: work.execute("SELECT 1"))
        with pytest.raises(DatabaseLost):
            database.transact(lambda work: work.execute("SELECT 1"))
        postgres_server.start()
        assert database.transact(lambda work: work.execute("SELECT 1 AS one")) == [{"one": 1}]
        other = PostgresDatabase(postgres, lasting=True)
        assert not other.try_lock("a")
        other.close()
    finally:
        database.close()


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("postgresql://someone:s3cret@[", "the address of the database cannot be read"),
        ("postgresql://someone:s3@s3cret@127.0.0.1:1/x", "the address of the database cannot be read"),
        ("postgresql://127.0.0.1:1/s3cret@127.0.0.1:1/x", "the address of the database cannot be read"),
        (
            "postgresql://someone:s3cret@localhost:notaport/x",
            "address of the database cannot be read|no conn",
        ),
        ("postgresql://someone:s3cret@127.0.0.1:1/x", "no connection"),
        ("postgresql://someone:a@s3cret/b@127.0.0.1:1/x", "cannot be read"),
        ("postgresql://someone:a/s3cret@127.0.0.1:1/x", "cannot be read"),
        ("postgresql://someone:a#s3cret@127.0.0.1:1/x", "cannot be read"),
    ],
)
def test_wrong_addresses_show_no_password(address: str, message: str) -> None:
    """A wrong address is reported in a line, without what it holds."""
    with pytest.raises(DatabaseUnusable, match=message) as caught:
        PostgresDatabase(address, lasting=True)
    assert "s3cret" not in str(caught.value) + caught.value.hint
    assert caught.value.__context__ is None
    assert "\n" not in str(caught.value)


def test_a_user_without_rights_reads_what_to_do(postgres: str, postgres_server: Any) -> None:
    """A user that may not create tables reads which right is missing; one that may use them needs no more."""
    postgres_server.execute("CREATE ROLE guest LOGIN")
    guest = PostgresDatabase(postgres.replace("postgres@", "guest@"), lasting=True)
    with pytest.raises(DatabaseUnusable, match="permission denied") as caught:
        prepare(guest, "things", 1, TABLE)
    assert "GRANT" in caught.value.hint
    owner = PostgresDatabase(postgres, lasting=True)
    prepare(owner, "things", 1, TABLE)
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO guest")
    prepare(guest, "things", 1, TABLE)
    guest.close()
    owner.close()


def test_a_server_that_has_become_read_only_is_lost(postgres: str) -> None:
    """After a failover the old server takes no writes: that may pass, and a new connection is made."""
    database = PostgresDatabase(postgres, lasting=True)
    prepare(database, "things", 1, TABLE)

    def write(work: Any) -> None:
        work.execute("INSERT INTO planet_async_things (word) VALUES ('a')")

    database.read("SET default_transaction_read_only = on")
    with pytest.raises(DatabaseLost, match="read-only"):
        database.transact(write)
    database.transact(write)
    database.close()
