"""The ledger: what it must keep, what it must not, and which jobs may use it."""

import json
import random
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import anyio
import pytest

from planet_async.errors import LedgerError
from planet_async.jobs.ledger import Entry, FileLedger, KeptFile, LedgerFile, Stage, read_entries
from planet_async.testing import FakeClock

pytestmark = pytest.mark.anyio

BODY = b'{"name":"field 7","products":[{"item_ids":["a"]}]}'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "fields.ledger"


def opened(path: Path) -> FileLedger:
    return FileLedger(path, FakeClock())


async def ordered(ledger: FileLedger, body: bytes = BODY, order_id: str = "id-1") -> Entry:
    entry = await ledger.take("field 7", body)
    entry.stage, entry.order_id = Stage.ORDERED, order_id
    await ledger.save(entry)
    return entry


async def test_the_next_job_finds_what_the_last_one_saved(path: Path) -> None:
    """An entry is returned with everything that was saved, whatever the order of its request's fields."""
    async with opened(path) as ledger:
        entry = await ledger.take("field 7", BODY)
        assert entry.stage is Stage.INTENDED
        entry.stage, entry.order_id, entry.order_state = Stage.DOWNLOADED, "id-1", "success"
        entry.error, entry.error_type, entry.sent = "odd", "DecodeError", 5.0
        entry.files = (KeptFile("id-1/a.tif", 7, "sha256:00"), KeptFile("id-1/manifest.json", 9))
        await ledger.save(entry)
    async with opened(path) as ledger:
        assert await ledger.take("field 7", json.dumps(json.loads(BODY), indent=1).encode()) == entry
        assert (await ledger.take("field 8", BODY.replace(b"7", b"8"))).stage is Stage.INTENDED


async def test_a_request_that_is_passed_twice_is_two_orders(path: Path) -> None:
    """Duplicates have an entry each, in every job; one more than before has a new one."""
    async with opened(path) as ledger:
        first, second = await ordered(ledger, order_id="id-1"), await ordered(ledger, order_id="id-2")
        assert first.number != second.number
    for _ in range(2):
        async with opened(path) as ledger:
            taken = [await ledger.take("field 7", BODY) for _ in range(2)]
            assert [entry.order_id for entry in taken] == ["id-1", "id-2"]
    async with opened(path) as ledger:
        taken = [await ledger.take("field 7", BODY) for _ in range(3)]
        assert [entry.order_id for entry in taken] == ["id-1", "id-2", None]


async def test_no_secret_is_written(path: Path) -> None:
    """Neither a bucket's credential nor a webhook's address is in any file, or distinguishes two requests."""
    body = {
        "name": "field 7",
        "delivery": {"amazon_s3": {"bucket": "b", "aws_secret_access_key": "s3cret"}},
        "notifications": {"webhook": {"url": "https://me:pa55@example.com/hook"}},
    }
    async with opened(path) as ledger:
        await ordered(ledger, json.dumps(body).encode())
        on_disk = b"".join(file.read_bytes() for file in path.parent.iterdir())
        assert b"field 7" in on_disk
        assert b"s3cret" not in on_disk
        assert b"pa55" not in on_disk
    rotated = json.dumps(body).replace("s3cret", "another").replace("pa55", "more")
    async with opened(path) as ledger:
        assert (await ledger.take("field 7", rotated.encode())).order_id == "id-1"


async def test_what_is_saved_can_be_read_at_once(path: Path) -> None:
    """When `save` returns, another process can read it: the job may be killed at that moment."""
    async with opened(path) as ledger:
        entry = await ordered(ledger)
        [(seen, request)] = read_entries(path)
        assert seen == entry
        assert request == json.loads(BODY)


async def test_concurrent_saves_share_transactions(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred concurrent saves are a few transactions."""
    transactions = 0
    do = LedgerFile.do

    def counted(file: LedgerFile, acts: object, *, lasting: bool) -> None:
        nonlocal transactions
        transactions += 1
        do(file, acts, lasting=lasting)  # type: ignore[arg-type]

    monkeypatch.setattr(LedgerFile, "do", counted)
    async with opened(path) as ledger, anyio.create_task_group() as group:
        for number in range(100):
            group.start_soon(ordered, ledger, BODY, f"id-{number}")
    assert transactions < 10
    assert {entry.order_id for entry, _ in read_entries(path)} == {f"id-{number}" for number in range(100)}


async def test_a_save_is_done_though_its_task_is_cancelled(path: Path) -> None:
    """A known id is saved, even while the job is being cancelled."""
    async with opened(path) as ledger:
        with anyio.CancelScope() as scope:
            entry = await ledger.take("field 7", BODY)
            scope.cancel()
            entry.order_id = "id-1"
            await ledger.save(entry)
        assert [entry.order_id for entry, _ in read_entries(path)] == ["id-1"]


async def test_one_job_at_a_time(path: Path) -> None:
    """A ledger in use is refused without harm; it can be read, and used when the job has ended."""
    async with opened(path) as ledger:
        with pytest.raises(LedgerError, match=r"fields\.ledger is in use by another job"):
            await opened(path).__aenter__()
        await ordered(ledger)
        assert len(list(read_entries(path))) == 1
    async with opened(path) as ledger:
        assert (await ledger.take("field 7", BODY)).order_id == "id-1"


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
    async with opened(path) as ledger:
        await ordered(ledger)
        await ledger.take("another", BODY)  # not written yet: the file is being written to
        with closing(sqlite3.connect(path, timeout=0)) as database:
            assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert database.execute("SELECT count(*) FROM entries").fetchone() == (1,)
        file = ledger._file
        assert file is not None
        assert file._database.execute("PRAGMA synchronous").fetchone()[0] == 2


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

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    async with opened(path) as ledger:
        entry = await ordered(ledger)
        with monkeypatch.context() as patch:
            patch.setattr(LedgerFile, "save", full)
            with pytest.raises(LedgerError, match=r"fields\.ledger cannot be used: database or disk is full"):
                await ledger.save(entry)
        await ledger.save(entry)


async def test_a_damaged_entry_is_found(path: Path) -> None:
    """A value that differs from what was written, in any column, is a LedgerError, never another order."""
    async with opened(path) as ledger:
        await ordered(ledger)
    changes = {
        "hash": b"another",
        "job": 7,
        "name": "field 8",
        "request": "{}",
        "stage": "intended",
        "sent": 7.0,
        "sent_date": 7.0,
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
            assert database.execute("SELECT count(*) FROM pragma_table_info('entries')").fetchone()[0] == 16
            database.execute(f"UPDATE entries SET {column} = ?", (value,))
        with pytest.raises(LedgerError, match=r"fields\.ledger is damaged: .*entry 1 is not as it was"):
            list(read_entries(path))
        if column != "request":  # it decides nothing
            with pytest.raises(LedgerError, match=r"is damaged.*list the orders of the account"):
                await opened(path).__aenter__()
        path.write_bytes(sound)
    async with opened(path) as ledger:
        assert (await ledger.take("field 7", BODY)).order_id == "id-1"


@pytest.mark.no_cover
@pytest.mark.usefixtures("anyio_backend")
@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
@pytest.mark.parametrize("damage", ["flip", "zeros"])
async def test_a_damaged_file_never_orders_again(path: Path, damage: str) -> None:
    """Flipped bits and zeroed sectors, anywhere in the file, are harmless or a LedgerError."""
    bodies = [BODY.replace(b"7", str(number).encode()) for number in range(60)]
    async with opened(path) as ledger:
        for number, body in enumerate(bodies):
            entry = await ledger.take(f"field {number}", body)
            entry.stage, entry.order_id, entry.error = Stage.ORDERED, f"id-{number}", "ä" * number
            await ledger.save(entry)
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
            async with opened(path) as ledger:
                for number, body in enumerate(bodies):
                    entry = await ledger.take(f"field {number}", body)
                    assert (entry.stage, entry.order_id) == (Stage.ORDERED, f"id-{number}"), step
        except LedgerError:
            found += 1
        with suppress(LedgerError):
            list(read_entries(path))
        for name in ("-wal", "-shm", "-lock"):
            path.with_name(path.name + name).unlink(missing_ok=True)
    assert found > 20


@pytest.mark.parametrize("way", ["symbolic", "hard", "relative"])
@pytest.mark.parametrize("is_before", [True, False])
async def test_a_ledger_by_another_name(
    path: Path, way: str, is_before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ledger in use is in use by its links, too; what was saved by one name is found by another."""
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
    with pytest.raises(LedgerError, match="in use by another job"):
        await opened(other).__aenter__()
    assert [entry.order_id for entry, _ in read_entries(other)] == ["id-1"]
    await ledger.__aexit__()
    async with opened(other) as again:
        assert (await again.take("field 7", BODY)).order_id == "id-1"


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
        assert (await ledger.take("field 7", BODY)).order_id == "id-1"


async def test_a_path_that_no_file_can_have(tmp_path: Path) -> None:
    """It is a LedgerError, too."""
    with pytest.raises(LedgerError):
        await opened(tmp_path / "a\0b").__aenter__()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(LedgerError):
        await opened(tmp_path / "loop").__aenter__()
