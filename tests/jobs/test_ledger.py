"""The ledger: what it must keep, what it must not, and how jobs share it."""

import json
import random
import sqlite3
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path
from secrets import token_hex
from typing import Any

import anyio
import pytest

from planet_async._tasks import open_task_group
from planet_async.config import Config
from planet_async.databases.postgres import PostgresDatabase
from planet_async.databases.sqlite import SqliteDatabase
from planet_async.errors import LedgerError
from planet_async.jobs.entry import Entry, KeptFile, Stage
from planet_async.jobs.ledger import DatabaseLedger, TakenOver, read_entries, shown_address
from planet_async.testing import FakeClock

pytestmark = pytest.mark.anyio

BODY = b'{"name":"field 7","products":[{"item_ids":["a"]}]}'
GAP = 6.0  # seconds: more than a process may be without a connection


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "fields.ledger"


@pytest.fixture(params=["file", "postgres"])
def address(request: pytest.FixtureRequest, path: Path) -> str | Path:
    """The ledger of a test: in a file, or in a database."""
    return str(request.getfixturevalue("postgres")) if request.param == "postgres" else path


def opened(address: str | Path, clock: FakeClock | None = None, *, durable: bool = False) -> DatabaseLedger:
    return DatabaseLedger(address, clock or FakeClock(), durable=durable)


async def taken(ledger: DatabaseLedger, body: bytes = BODY, name: str = "field 7") -> Entry:
    """Return the entry of the next request with that body, which nobody else owns."""
    entry = await ledger.take(ledger.request(name, body))
    assert entry is not None
    return entry


async def ordered(ledger: DatabaseLedger, body: bytes = BODY, order_id: str = "id-1") -> Entry:
    entry = await taken(ledger, body)
    entry.stage, entry.order_id = Stage.ORDERED, order_id
    await ledger.save(entry)
    return entry


def field(number: int) -> bytes:
    return BODY.replace(b"7", str(number).encode())


async def test_the_next_job_finds_what_the_last_one_saved(address: str | Path) -> None:
    """An entry is returned with everything that was saved, whatever the order of its request's fields."""
    async with opened(address) as ledger:
        entry = await taken(ledger)
        assert entry.stage is Stage.INTENDED
        entry.stage, entry.order_id, entry.order_state = Stage.DOWNLOADED, "id-1", "success"
        entry.error, entry.error_type, entry.sent = "odd: 100 %", "DecodeError", 5.0
        entry.files = (KeptFile("id-1/a.tif", 7, "sha256:00"), KeptFile("id-1/manifest.json", 9))
        await ledger.save(entry)
    async with opened(address) as ledger:
        assert await taken(ledger, json.dumps(json.loads(BODY), indent=1).encode()) == entry
        assert (await taken(ledger, field(8))).stage is Stage.INTENDED


async def test_a_request_that_is_passed_twice_is_two_orders(address: str | Path) -> None:
    """Duplicates have an entry each, in every job; one more than before has a new one."""
    async with opened(address) as ledger:
        first, second = await ordered(ledger, order_id="id-1"), await ordered(ledger, order_id="id-2")
        assert first.number != second.number
    for _ in range(2):
        async with opened(address) as ledger:
            assert [(await taken(ledger)).order_id for _ in range(2)] == ["id-1", "id-2"]
    async with opened(address) as ledger:
        assert [(await taken(ledger)).order_id for _ in range(3)] == ["id-1", "id-2", None]


async def test_what_is_saved_can_be_read_at_once(address: str | Path) -> None:
    """When `save` returns, another process can read it: the job may be killed at that moment."""
    async with opened(address) as ledger:
        entry = await ordered(ledger)
        [(seen, request)] = read_entries(address)
        assert seen == entry
        assert request == json.loads(BODY)


async def test_an_entry_is_worked_on_by_one_job(address: str | Path) -> None:
    """What a living job has, no other gets, until it is released or the job has ended."""
    async with opened(address) as one, opened(address) as two:
        requests = [one.request(f"field {number}", field(number)) for number in range(4)]
        await one.add(requests)
        mine = await one.take(requests[0])
        next_one = await one.take_next()
        assert mine is not None
        assert next_one is not None
        assert (mine.name, next_one[0].name, next_one[1]) == ("field 0", "field 1", field(1))
        theirs = [two.request(f"field {number}", field(number)) for number in range(4)]
        assert [await two.take(request) for request in theirs[:2]] == [None, None]
        third = await two.take(theirs[2])
        assert third is not None
        fourth = await two.take_next()
        assert fourth is not None
        assert fourth[0].name == "field 3"
        assert (await two.take_next(), await two.others_work()) == (None, True)
        assert await two.take_again([theirs[0].number, theirs[1].number]) == []
        mine.stage, mine.order_id = Stage.DOWNLOADED, "id-1"
        await one.save(mine, release=True)
        [(seen, _)] = await two.take_again([theirs[0].number, theirs[1].number])
        assert (seen, seen.has_ended) == (mine, True)
        await one.__aexit__()
        [(seen, body)] = await two.take_again([theirs[1].number])
        assert (seen.name, seen.has_ended, body) == ("field 1", False, field(1))
        assert not await two.others_work()


async def test_what_a_dead_job_had_is_free(address: str | Path) -> None:
    """A killed process gives back what it owned: at once, or when a lost connection would be back."""
    clock = FakeClock()
    dead = await opened(address, clock).__aenter__()
    entry = await ordered(dead)
    async with opened(address, clock) as ledger:
        await disconnect(dead, seen_by=ledger)
        clock.advance(2)
        if isinstance(address, str):
            assert await ledger.take_next() is None
            clock.advance(GAP)
        found = await ledger.take_next()
        assert found is not None
        assert found[0] == entry
        with pytest.raises(TakenOver, match=r"took this one for dead.*Start it again"):
            await dead.save(entry)
        assert await dead.order_of(entry) == "id-1"
    await dead.__aexit__()


async def disconnect(ledger: DatabaseLedger, seen_by: DatabaseLedger) -> None:
    """Return when the server has noticed that the connection of a ledger has ended."""
    await ledger._shared.aclose()
    key = f"owner-{ledger._me}"
    while await seen_by._shared.call(lambda database: database.locked([key])):  # noqa: ASYNC110 - of a server
        await anyio.sleep(0.01)


async def test_a_job_notices_that_it_was_taken_for_dead(postgres: str) -> None:
    """Also while it only waits: a job whose connection was lost for too long ends before it sends more."""
    clock = FakeClock()
    async with opened(postgres, clock) as ledger, opened(postgres, clock) as other:
        await ordered(ledger)
        await disconnect(ledger, seen_by=other)
        clock.advance(2)
        assert await other.take_next() is None
        clock.advance(GAP)
        assert await other.take_next() is not None
        with pytest.raises(TakenOver):
            await ledger.hold()


async def test_a_connection_that_breaks_for_a_moment(postgres: str, postgres_server: Any) -> None:
    """A job whose connection breaks keeps what it owns: it has a new one before others take it for dead."""
    clock = FakeClock()
    async with opened(postgres, clock) as ledger, opened(postgres, clock) as other:
        entry = await ordered(ledger)
        postgres_server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        )
        assert await other.take_next() is None
        with anyio.move_on_after(0.5):
            await ledger.hold()
        clock.advance(GAP)
        assert await other.take_next() is None
        await ledger.save(entry)


async def test_a_commit_without_a_response(postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was claimed by a transaction that is made again, since its response was lost, is not forgotten."""
    run, lost = PostgresDatabase.transact, True

    def losing(database: PostgresDatabase, work: Any, *, lasting: bool = True) -> Any:
        nonlocal lost
        result = run(database, work, lasting=lasting)
        if not lost:
            lost = True
            database._connected().close()
            run(database, lambda _: database.execute("SELECT 1"))
        return result

    monkeypatch.setattr(PostgresDatabase, "transact", losing)
    async with opened(postgres) as ledger:
        await ledger.add([ledger.request(f"field {number}", field(number)) for number in range(3)])
        lost = False
        names = Counter[str]()
        while (found := await ledger.take_next()) is not None:
            names[found[0].name] += 1
        assert names == {"field 0": 1, "field 1": 1, "field 2": 1}


async def test_no_secret_is_written(path: Path) -> None:
    """Neither a bucket's credential nor a webhook's address is in any file, or distinguishes two requests."""
    body = {
        "name": "field 7",
        "delivery": {"amazon_s3": {"bucket": "b", "aws_secret_access_key": "s3cret"}},
        "notifications": {"webhook": {"url": "https://me:pa55@example.com/hook"}},
    }
    async with opened(path) as ledger:
        entry = await ordered(ledger, json.dumps(body).encode())
        assert entry.has_secrets
        on_disk = b"".join(file.read_bytes() for file in path.parent.iterdir() if file.is_file())
        assert b"field 7" in on_disk
        assert b"s3cret" not in on_disk
        assert b"pa55" not in on_disk
    rotated = json.dumps(body).replace("s3cret", "another").replace("pa55", "more")
    async with opened(path) as ledger:
        assert (await taken(ledger, rotated.encode())).order_id == "id-1"


async def test_concurrent_saves_share_transactions(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred concurrent saves are a few transactions."""
    transactions = 0
    write = DatabaseLedger._write

    async def counted(ledger: DatabaseLedger, acts: Any) -> None:
        nonlocal transactions
        transactions += 1
        await write(ledger, acts)

    monkeypatch.setattr(DatabaseLedger, "_write", counted)
    async with opened(path) as ledger, anyio.create_task_group() as group:
        for number in range(100):
            group.start_soon(ordered, ledger, BODY, f"id-{number}")
    assert transactions < 10
    assert {entry.order_id for entry, _ in read_entries(path)} == {f"id-{number}" for number in range(100)}


async def test_a_save_is_done_though_its_task_is_cancelled(path: Path) -> None:
    """A known id is saved, even while the job is being cancelled."""
    async with opened(path) as ledger:
        with anyio.CancelScope() as scope:
            entry = await taken(ledger)
            scope.cancel()
            entry.order_id = "id-1"
            await ledger.save(entry)
        assert [entry.order_id for entry, _ in read_entries(path)] == ["id-1"]


async def test_what_a_cancelled_task_was_writing_for_others(path: Path) -> None:
    """The task that writes for all is cancelled: another one that waits does it."""
    async with opened(path) as ledger, anyio.create_task_group() as group:
        with anyio.CancelScope() as scope:
            for number in range(3):
                group.start_soon(ordered, ledger, field(number), f"id-{number}")
            scope.cancel()
            await taken(ledger, field(9))
    ids = {entry.order_id for entry, _ in read_entries(path) if entry.order_id}
    assert ids == {"id-0", "id-1", "id-2"}


async def test_any_text_can_be_kept(address: str | Path) -> None:
    """Also one with the character that PostgreSQL does not know, from a name or from a server."""
    async with opened(address) as ledger:
        entry = await taken(ledger, BODY.replace(b"field 7", rb"a\u0000b"), "a\0b")
        entry.stage, entry.error, entry.order_id = Stage.FAILED, "wrong: \0", "id-1"
        await ledger.save(entry)
        assert await ledger.ids(name="a\0b") == ["id-1"]
    [(seen, request)] = read_entries(address)
    assert (seen.name, seen.error, request["name"]) == ("a\ufffdb", "wrong: \ufffd", "a\0b")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://me:s3cret@db.example.com:5432/jobs?sslmode=require", "db.example.com:5432/jobs"),
        ("postgresql:///jobs?host=/run/s3cret", "/jobs"),
        ("postgres://[::1]:5432,other/jobs", "[::1]:5432,other/jobs"),
        ("postgresql://me:s3cret/s3cret@db/jobs", "..."),
        ("postgresql://me:s3cret@s3cret@db/jobs", "..."),
        ("postgresql://s3cret:s3cret#@db/jobs", "..."),
    ],
)
def test_an_address_is_shown_without_credentials(address: str, shown: str) -> None:
    """Host and database are, and nothing of an address that cannot be read."""
    assert shown_address(address) in {f"postgresql://{shown}", f"postgres://{shown}"}
    assert f"shared={shown_address(address)!r}" in repr(Config(shared=address))


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("postgresql://me:s3cret@[", "postgresql://... cannot be used: the address"),
        (
            "postgresql://me:s3cret@127.0.0.1:1/jobs",
            "postgresql://127.0.0.1:1/jobs cannot be used: no connection",
        ),
    ],
)
async def test_an_address_that_is_wrong(address: str, message: str) -> None:
    """It is a LedgerError of one line that shows no credential."""
    with pytest.raises(LedgerError) as caught:
        await opened(address).__aenter__()
    assert message in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(LedgerError, match="cannot be used"):
        list(read_entries(address))


async def test_a_database_that_cannot_be_used(postgres: str, postgres_server: Any) -> None:
    """Tables of a newer version, and a missing right, are LedgerErrors that say what to do."""
    role = f"role_{token_hex(8)}"
    postgres_server.execute(f"CREATE ROLE {role} LOGIN")
    with pytest.raises(LedgerError, match=r"permission denied.*GRANT CREATE"):
        await opened(postgres.replace("postgres@", f"{role}@")).__aenter__()
    async with opened(postgres):
        pass
    postgres_server.execute("UPDATE planet_async_parts SET version = 9", postgres)
    with pytest.raises(LedgerError, match=r"version 9, this planet_async uses 2\. Use the version"):
        await opened(postgres).__aenter__()


@pytest.mark.parametrize("content", [b"name,state\n" * 1000, b"x"])
async def test_another_file_is_not_changed(path: Path, content: bytes) -> None:
    """A file that is no ledger is refused and not changed, and no file is put next to it."""
    path.write_bytes(content)
    with pytest.raises(LedgerError, match=r"fields\.ledger is not a ledger"):
        await opened(path).__aenter__()
    with pytest.raises(LedgerError, match="is not a ledger"):
        list(read_entries(path))
    assert [file.read_bytes() for file in path.parent.iterdir()] == [content]


async def test_the_modes_of_sqlite(path: Path) -> None:
    """Readers do not wait for the job (WAL), and what is saved outlasts a power failure (FULL)."""
    async with opened(path, durable=True) as ledger:
        await ordered(ledger)
        with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as database:
            assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            database.execute("BEGIN IMMEDIATE")  # another process writes
            assert len(list(read_entries(path))) == 1
            assert await ledger.ids() == ["id-1"]
        [synchronous] = await ledger._read("PRAGMA synchronous")
        assert synchronous == {"synchronous": 2}


async def test_another_programs_database_is_not_changed(path: Path) -> None:
    """Another SQLite database is refused, too."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE entries (number INTEGER)")
    before = path.read_bytes()
    with pytest.raises(LedgerError, match="is not a ledger"):
        await opened(path).__aenter__()
    assert path.read_bytes() == before


async def test_a_ledger_of_another_version(path: Path) -> None:
    """It is refused, and the hint says what to do."""
    async with opened(path):
        pass
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 9")
    with pytest.raises(LedgerError, match=r"has format 9.*Continue with the version that made it"):
        await opened(path).__aenter__()


async def test_a_job_that_was_killed_while_it_created_the_file(path: Path) -> None:
    """An empty file, and an empty database, become a ledger; before that they have no entries."""
    path.touch()
    assert list(read_entries(path)) == []
    async with opened(path) as ledger:
        await ordered(ledger)
    path.unlink()
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = WAL")
    assert list(read_entries(path)) == []
    async with opened(path) as ledger:
        await ordered(ledger)
    assert len(list(read_entries(path))) == 1


async def test_a_file_that_cannot_be_used(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a LedgerError that names the file: no folder, a folder in its place, a full disk."""
    with pytest.raises(LedgerError, match="none/x cannot be used"):
        await opened(tmp_path / "none" / "x").__aenter__()
    with pytest.raises(LedgerError, match="cannot be used: it is a folder"):
        await opened(tmp_path).__aenter__()
    with pytest.raises(LedgerError, match="there is no ledger"):
        list(read_entries(path))

    def full(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    async with opened(path) as ledger:
        entry = await ordered(ledger)
        with monkeypatch.context() as patch:
            patch.setattr(SqliteDatabase, "execute", full)
            with pytest.raises(LedgerError, match=r"fields\.ledger cannot be used: database or disk is full"):
                await ledger.save(entry)
        await ledger.save(entry)


async def test_a_damaged_entry_is_found(path: Path) -> None:
    """A value that differs from what was written, in any column, is a LedgerError, never another order."""
    async with opened(path) as ledger:
        await ordered(ledger)
    changes = {
        "hash": "another",
        "occurrence": 7,
        "name": "field 8",
        "has_secrets": 1,
        "request": "{}",
        "stage": "intended",
        "sent": 7.0,
        "sent_date": 7.0,
        "sender": "somebody",
        "order_id": None,
        "order_state": "failed",
        "error": "none",
        "error_type": "none",
        "changed": 0.0,
        "delivered_to": "elsewhere",
        "files": "[]]",
        "checksum": 7,
    }
    sound = path.read_bytes()
    for column, value in changes.items():
        with closing(sqlite3.connect(path)) as database, database:
            columns = database.execute(
                "SELECT name FROM pragma_table_info('planet_async_entries')"
            ).fetchall()
            assert {name for (name,) in columns} == {*changes, "number", "owner"}
            database.execute(f"UPDATE planet_async_entries SET {column} = ?", (value,))
        with pytest.raises(LedgerError, match=r"fields\.ledger is damaged: .*entry 1 is not as it was"):
            list(read_entries(path))
        with pytest.raises(LedgerError, match=r"is damaged.*list the orders of the account"):
            async with opened(path) as ledger:  # the request is needed only where it is sent from the ledger
                await ledger.take_next()
        path.write_bytes(sound)
    async with opened(path) as ledger:
        assert (await taken(ledger)).order_id == "id-1"


@pytest.mark.no_cover
@pytest.mark.usefixtures("anyio_backend")
@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
@pytest.mark.parametrize("damage", ["flip", "zeros"])
async def test_a_damaged_file_never_orders_again(path: Path, damage: str) -> None:
    """Flipped bits and zeroed sectors, anywhere in the file, are harmless or a LedgerError."""
    bodies = [field(number) for number in range(60)]
    async with opened(path) as ledger:
        for number, body in enumerate(bodies):
            entry = await taken(ledger, body, f"field {number}")
            entry.stage, entry.order_id, entry.error = Stage.ORDERED, f"id-{number}", "ä" * number
            await ledger.save(entry)

    async def check(ledger: DatabaseLedger, number: int, body: bytes, step: int) -> None:
        entry = await taken(ledger, body, f"field {number}")
        assert (entry.stage, entry.order_id) == (Stage.ORDERED, f"id-{number}"), step

    sound = path.read_bytes()
    chance = random.Random(7)
    found = 0
    for step in range(120):
        content = bytearray(sound)
        if damage == "flip":
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        else:
            at = (step * 512) % len(content)
            content[at : at + 512] = bytes(512)
        path.write_bytes(content)
        try:
            async with opened(path) as ledger, open_task_group() as group:
                for number, body in enumerate(bodies):
                    group.start_soon(check, ledger, number, body, step)
        except LedgerError:
            found += 1
        with suppress(LedgerError):
            list(read_entries(path))
        for name in ("-wal", "-shm"):
            path.with_name(path.name + name).unlink(missing_ok=True)
    assert found > 20


@pytest.mark.parametrize("way", ["symbolic", "hard", "relative"])
@pytest.mark.parametrize("is_before", [True, False])
async def test_a_ledger_by_another_name(
    path: Path, way: str, is_before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a job owns by one name of the file, it owns by all of them, and what it saved is found."""
    other = path.with_name("another.ledger")

    def link() -> None:
        if way == "symbolic":
            other.symlink_to(path)
        elif way == "hard":
            path.touch()
            other.hardlink_to(path)

    if way == "relative":
        monkeypatch.chdir(path.parent)
        other = Path("fields.ledger")
    if is_before:
        link()
    ledger = opened(path)
    await ledger.__aenter__()
    await ordered(ledger)
    if not is_before:
        link()
    async with opened(other) as another:
        assert await another.take_next() is None
        assert await another.others_work()
    assert [entry.order_id for entry, _ in read_entries(other)] == ["id-1"]
    await ledger.__aexit__()
    async with opened(other) as again:
        assert (await taken(again)).order_id == "id-1"


async def test_a_hard_link_in_another_folder(path: Path) -> None:
    """The log of a killed job would be next to the other name and not be found: that is an error."""
    async with opened(path) as ledger:
        await ordered(ledger)
    other = path.parent / "folder" / "fields.ledger"
    other.parent.mkdir()
    other.hardlink_to(path)
    for name in (path, other):
        with pytest.raises(LedgerError, match="has another name in another folder"):
            await opened(name).__aenter__()
    other.unlink()
    async with opened(path) as ledger:
        assert (await taken(ledger)).order_id == "id-1"


def first_format(path: Path) -> Path:
    """Make a ledger of the first format, as its version of this package wrote it."""
    with closing(sqlite3.connect(path)) as database:
        database.executescript(Path(__file__).with_name("format_1.sql").read_text())
    return path


async def test_a_ledger_of_the_first_format(path: Path) -> None:
    """It is shown as it is, and migrated when a job opens it: nothing is lost, and nothing ordered again."""
    sound = first_format(path).read_bytes()
    shown = list(read_entries(path))
    assert path.read_bytes() == sound
    async with opened(path) as ledger:
        assert await ledger.ids() == ["id-0", "id-1", "id-2"]
        requests = {entry.name: json.dumps(request).encode() for entry, request in shown}
        ones = [await taken(ledger, requests["field 1"], "field 1") for _ in range(3)]
        assert [one.order_id for one in ones] == ["id-1", "id-2", None]
        secret = requests["field 3"].replace(b"<REDACTED>", b"s3cret")
        assert (await taken(ledger, secret, "field 3")).error_type == "QuotaExceeded"
        assert [entry.name for entry in await ledger.unsendable()] == ["field 4"]
    assert list(read_entries(path))[: len(shown)] == shown
    assert {file.name for file in path.parent.iterdir()} == {path.name, f"{path.name}-locks"}


async def test_a_ledger_of_the_first_format_in_use(path: Path) -> None:
    """It is not touched while an older version of this package uses it."""
    lock = first_format(path).with_name(f"{path.name}-lock")
    with closing(sqlite3.connect(lock, isolation_level=None)) as database:
        database.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LedgerError, match="in use by a job of an older version"):
            await opened(path).__aenter__()
    async with opened(path) as ledger:
        assert await ledger.take_next() is not None


async def test_a_damaged_ledger_of_the_first_format(path: Path) -> None:
    """It is an error, and not migrated."""
    with closing(sqlite3.connect(first_format(path))) as database, database:
        database.execute("UPDATE entries SET order_id = NULL WHERE number = 2")
    for _ in range(2):
        with pytest.raises(LedgerError, match="is damaged: entry 2 is not as it was written"):
            await opened(path).__aenter__()
    with pytest.raises(LedgerError, match="entry 2"):
        list(read_entries(path))


async def test_a_path_that_no_file_can_have(tmp_path: Path) -> None:
    """It is a LedgerError, too."""
    with pytest.raises(LedgerError):
        await opened(tmp_path / "a\0b").__aenter__()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(LedgerError):
        await opened(tmp_path / "loop").__aenter__()
