"""`Ledger`: what became of each request of a job, so that a job that was killed can continue.

It is a file (SQLite), or a database that machines share (PostgreSQL).  Any number of jobs may use one ledger
at a time: each entry has at most one *owner*, the job that is at work on it.

A job is alive while it holds the lock of its owner id, which ends with its process; so what a killed job
owned is free at once, or, where a lost connection looks the same, `Database.lock_gap` seconds later.  A job
that is taken for dead, since its machine could not be reached, finds out when it saves: each save requires
that the job is still the owner.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar
from uuid import uuid4

import anyio
import msgspec
from attrs import define

from planet_async.clock import Clock
from planet_async.databases.database import (
    Database,
    DatabaseBusy,
    DatabaseLost,
    DatabaseUnusable,
    Row,
    Transaction,
)
from planet_async.databases.postgres import PostgresDatabase
from planet_async.databases.shared import SharedDatabase, prepare
from planet_async.downloads.destination import Destination
from planet_async.errors import InvalidRequest, LedgerError, LedgerUnusable, SharedStateError
from planet_async.jobs.entry import (
    ASSIGN,
    INSERT,
    TABLES,
    UNFINISHED,
    VERSION,
    DamagedError,
    Entry,
    KeptFile,
    Stage,
    checked_entry,
    hash_of,
    open_file,
    plain,
    rows_of_file,
    stored,
    to_entry,
    to_row,
)
from planet_async.models.orders import DownloadedFiles
from planet_async.redaction import REDACTED, database_without_secrets

T = TypeVar("T")

_BATCH = 1_000  # entries read or written in one transaction
# Those with S608 are put together from our own names of columns and stages.
_PAGE = f"SELECT * FROM planet_async_entries WHERE number > :after ORDER BY number LIMIT {_BATCH}"  # noqa: S608
_SAVE = (
    f"UPDATE planet_async_entries SET {ASSIGN}, owner = :owner"  # noqa: S608
    " WHERE number = :number AND owner = :me RETURNING number"
)
_MINE = "SELECT number FROM planet_async_entries WHERE owner = :me"
_NUMBER = "SELECT number FROM planet_async_entries WHERE hash = :hash AND occurrence = :occurrence"
_CLAIM = (
    "UPDATE planet_async_entries SET owner = :me WHERE number = :number AND (owner IS NULL OR owner = :me)"
    " RETURNING number"
)
_NEXT = (
    "SELECT * FROM planet_async_entries"  # noqa: S608
    f" WHERE owner IS NULL AND stage IN {UNFINISHED} AND (error_type IS NULL OR changed < :started)"
    " AND (has_secrets = 0 OR stage <> 'intended') ORDER BY number LIMIT 1 {unlocked}"
)
_WITH_SECRETS = (
    "SELECT * FROM planet_async_entries WHERE owner IS NULL AND stage = 'intended' AND has_secrets = 1"
    " AND (error_type IS NULL OR changed < :started) ORDER BY number"
)
_COUNT = f"SELECT count(*) AS count FROM planet_async_entries WHERE stage IN {UNFINISHED}"  # noqa: S608
_OTHERS = (
    "SELECT count(*) AS count FROM planet_async_entries"  # noqa: S608
    f" WHERE owner IS NOT NULL AND owner <> :me AND stage IN {UNFINISHED}"
)
_FREE_ONE = "UPDATE planet_async_entries SET owner = NULL WHERE number = :number"
_FREE_THOSE_OF_NOBODY = (
    "UPDATE planet_async_entries SET owner = NULL"
    " WHERE owner IS NOT NULL AND owner NOT IN (SELECT owner FROM planet_async_owners)"
)

_FREED_EVERY = 1.0  # seconds: how often to look for owners that have died
_HELD_EVERY = 1.0  # seconds: how often a connection that may be lost is used; less than the gap of its locks
_ROUNDING = 0.001  # seconds: of the sum of a date and of a monotonic clock
_LONGEST_CLOSE = 5.0  # seconds


@define
class LedgerRequest:
    """A request as a ledger knows it; `text` is its JSON without secrets, "" once the ledger has it."""

    name: str
    hash: str = ""
    occurrence: int = 1
    text: str = ""
    has_secrets: bool = False
    error: InvalidRequest | None = None
    number: int = 0  # of its entry, once another job was found to own that


class Ledger:
    """The memory of a job, open inside `async with`; this base class stores nothing."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def hold(self) -> None:
        """Keep the ledger from taking this job for dead, until cancelled."""
        await anyio.sleep_forever()

    def request(self, name: str, body: bytes, error: InvalidRequest | None = None) -> LedgerRequest:
        """Return how the ledger knows the next request of the job, which is not sent if it has an error."""
        return LedgerRequest(name)

    async def add(self, requests: Sequence[LedgerRequest]) -> None:
        """Make an entry for each request that has none."""

    async def take(self, request: LedgerRequest) -> Entry | None:
        """Return the entry of a request, a new one if there is none; None while another job owns it."""
        return Entry(request.name)

    async def claim(self, entry: Entry) -> bool:
        """Own an entry that was taken, but had ended; return False where another job owns it."""
        return True

    async def take_next(self) -> tuple[Entry, bytes] | None:
        """Return an entry that can be worked on, and its request; None where there is none at present."""
        return None

    async def take_again(self, numbers: Sequence[int]) -> list[tuple[Entry, bytes]]:
        """Return those of the entries, which other jobs owned, that they do not own any more."""
        return []

    async def others_work(self) -> bool:
        """Return whether other jobs own entries that have not ended."""
        return False

    async def unsendable(self) -> list[Entry]:
        """Return the entries that no ledger can send, since it does not have their secrets."""
        return []

    async def save(self, entry: Entry, *, release: bool = False) -> None:
        """Return when the entry will outlast a crash; `release` it where this job has done what it can.

        Raises:
            TakenOver: Another job has it.
        """

    async def keep(self, entry: Entry, to: Destination[Path | str], files: DownloadedFiles) -> None:
        """Save the entry as downloaded, with the files of its order."""

    async def order_of(self, entry: Entry) -> str | None:
        """Return the id of the order that the ledger has for an entry now."""
        return None

    async def ids(self, *, name: str | None = None, seconds: float | None = None) -> list[str]:
        """Return the ids of the orders noted in the last seconds, of all names or of one."""
        return []


class TakenOver(LedgerError):
    """Another job took this one for dead, and has an entry of it."""


@define(eq=False)
class _Act:
    do: Callable[[Transaction], Any]
    lasting: bool
    done: bool = False
    result: Any = None
    error: Exception | None = None


class DatabaseLedger(Ledger):
    """A ledger in a database.

    What several tasks want written at the same time is written in one transaction.
    """

    def __init__(self, address: str | Path, clock: Clock, *, durable: bool) -> None:
        self._name = shown_address(address)
        self._clock = clock
        self._shared = SharedDatabase(partial(open_database, address, lasting=durable), clock, in_thread=True)
        self._durable = durable
        self._me = uuid4().hex
        self._started = 0.0
        self._offset = 0.0  # of the time since 1970 to the monotonic clock
        self._occurrences = Counter[int]()
        self._owned: set[int] = set()
        self._claimed: list[int] = []  # in a transaction that is not committed yet
        self._gone: dict[str, float] = {}  # owners that seem to have died, and since when
        self._freed_at = -_FREED_EVERY
        self._is_open = False
        self._lock_gap = 0.0
        self._writing = anyio.Lock()
        self._acts: list[_Act] = []

    async def __aenter__(self) -> Self:
        self._offset = self._clock.now().timestamp() - self._clock.monotonic()
        self._started = self._now()
        self._is_open = True
        try:
            self._lock_gap = await self._call(self._begin, LedgerUnusable)
            await self._free()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        with anyio.CancelScope(shield=True):
            with self._clock.move_on_after(_LONGEST_CLOSE), suppress(LedgerError):
                await self._call(self._end)
            await self._close()

    async def _close(self) -> None:
        self._is_open = False
        await self._shared.aclose()

    async def hold(self) -> None:
        while self._lock_gap:  # else the lock lasts as long as the process
            await self._clock.sleep(_HELD_EVERY)
            if not await self._do(self._is_owner, lasting=False):
                raise self._taken_over()
        await anyio.sleep_forever()

    def request(self, name: str, body: bytes, error: InvalidRequest | None = None) -> LedgerRequest:
        text = stored(body)
        digest = hash_of(text)
        # Half of the hash: where two agree in it, their occurrences have gaps, in all jobs the same.
        key = int(digest[:16], 16)
        self._occurrences[key] += 1
        # The placeholder itself is not accepted in a request.
        return LedgerRequest(plain(name), digest, self._occurrences[key], text, REDACTED in text, error)

    async def add(self, requests: Sequence[LedgerRequest]) -> None:
        for start in range(0, len(requests), _BATCH):
            batch = requests[start : start + _BATCH]
            await self._do(partial(_insert, rows=[*map(self._new_row, batch)]))
            for request in batch:
                request.text = ""

    async def take(self, request: LedgerRequest) -> Entry | None:
        taken = await self._do(partial(self._take, request=request), lasting=False)
        if taken is None and await self._free():
            taken = await self._do(partial(self._take, request=request), lasting=False)
        request.text = ""
        return taken

    async def claim(self, entry: Entry) -> bool:
        return await self._do(partial(self._claim, number=entry.number), lasting=False)

    async def take_next(self) -> tuple[Entry, bytes] | None:
        taken = await self._do(self._take_next, lasting=False)
        if taken is None and await self._free():
            taken = await self._do(self._take_next, lasting=False)
        return taken

    async def take_again(self, numbers: Sequence[int]) -> list[tuple[Entry, bytes]]:
        await self._free()
        return await self._do(partial(self._take_again, numbers=numbers), lasting=False)

    async def others_work(self) -> bool:
        return bool((await self._read(_OTHERS, me=self._me))[0]["count"])

    async def unsendable(self) -> list[Entry]:
        return [to_entry(row) for row in await self._read(_WITH_SECRETS, started=self._started)]

    async def save(self, entry: Entry, *, release: bool = False) -> None:
        """Return when the entry will outlast a crash; cancelling does not prevent that."""
        entry.changed = self._now()
        row = {
            **to_row(entry),
            "number": entry.number,
            "me": self._me,
            "owner": None if release else self._me,
        }
        with anyio.CancelScope(shield=True):
            if not await self._do(lambda work: work.execute(_SAVE, **row)):
                raise self._taken_over()
        if release:
            self._owned.discard(entry.number)

    async def keep(self, entry: Entry, to: Destination[Path | str], files: DownloadedFiles) -> None:
        """Save the entry as downloaded, with the size and the checksum of each file, when all will last.

        Raises:
            DownloadError: A file has been taken away since it was downloaded.
        """
        with anyio.CancelScope(shield=True):
            entry.files = await kept_files(to, files, durable=self._durable)
        entry.stage = Stage.DOWNLOADED
        await self.save(entry, release=True)

    async def order_of(self, entry: Entry) -> str | None:
        rows = await self._read(
            "SELECT order_id FROM planet_async_entries WHERE number = :number", number=entry.number
        )
        return rows[0]["order_id"] if rows else None

    async def ids(self, *, name: str | None = None, seconds: float | None = None) -> list[str]:
        since = 0.0 if seconds is None else self._now() - seconds
        named = "" if name is None else " AND name = :name"
        rows = await self._read(
            "SELECT order_id FROM planet_async_entries"  # noqa: S608 - nothing of others is in it
            f" WHERE order_id IS NOT NULL AND changed >= :since{named}",
            since=since,
            **({} if name is None else {"name": plain(name)}),
        )
        return [row["order_id"] for row in rows]

    # Parts of transactions, which may be called again where one was lost

    def _begin(self, database: Database) -> float:
        database.try_lock(_key(self._me))
        database.transact(self._enter)
        return database.lock_gap

    def _enter(self, work: Transaction) -> None:
        work.execute(
            "INSERT INTO planet_async_owners VALUES (:me) ON CONFLICT (owner) DO NOTHING", me=self._me
        )
        work.execute(_FREE_THOSE_OF_NOBODY)

    def _end(self, database: Database) -> None:
        database.transact(lambda work: _forget(work, [self._me]))
        database.unlock(_key(self._me))
        database.locked([_key(self._me)])  # removes the file of the lock, which nobody else would

    def _is_owner(self, work: Transaction) -> bool:
        return bool(work.execute("SELECT 1 FROM planet_async_owners WHERE owner = :me", me=self._me))

    def _take(self, work: Transaction, request: LedgerRequest) -> Entry | None:
        rows = _find(work, request)
        if not rows and request.text:
            _insert(work, [self._new_row(request)])
            rows = _find(work, request)
        if not rows:  # another job is writing the row
            request.number = work.execute(_NUMBER, hash=request.hash, occurrence=request.occurrence)[0][
                "number"
            ]
            return None
        request.number = rows[0]["number"]
        return self._taken(work, rows[0])

    def _taken(self, work: Transaction, row: Row) -> Entry | None:
        """Return the entry of a row, owned by this job unless there is nothing left to do."""
        entry = checked_entry(row)
        if entry.stage is Stage.FAILED:
            # Without an order it is sent again, unless another job has just tried that.
            entry.has_ended = entry.order_id is not None or entry.changed > self._started + _ROUNDING
        else:
            entry.has_ended = entry.stage is Stage.DOWNLOADED
        return entry if entry.has_ended or self._claim(work, entry.number) else None

    def _claim(self, work: Transaction, number: int) -> bool:
        self._claimed.append(number)
        return bool(work.execute(_CLAIM, number=number, me=self._me))

    def _take_next(self, work: Transaction) -> tuple[Entry, bytes] | None:
        for row in work.execute(_NEXT, started=self._started):
            self._claim(work, row["number"])
            return checked_entry(row), row["request"].encode()
        return None

    def _take_again(self, work: Transaction, numbers: Sequence[int]) -> list[tuple[Entry, bytes]]:
        places = {f"n{place}": number for place, number in enumerate(numbers)}
        rows = work.execute(
            "SELECT * FROM planet_async_entries"  # noqa: S608 - names of parameters
            f" WHERE owner IS NULL AND number IN ({', '.join(f':{name}' for name in places)}) {{unlocked}}",
            **places,
        )
        taken = [(self._taken(work, row), row["request"].encode()) for row in rows]
        return [(entry, request) for entry, request in taken if entry is not None]

    def _new_row(self, request: LedgerRequest) -> dict[str, Any]:
        entry = Entry(
            request.name,
            changed=self._now(),
            hash=request.hash,
            occurrence=request.occurrence,
            has_secrets=request.has_secrets,
        )
        if request.error is not None:
            entry.stage, entry.error = Stage.FAILED, str(request.error)
            entry.error_type = type(request.error).__name__
        return {**to_row(entry), "request": request.text}

    # Running them

    async def _free(self) -> bool:
        """Free what dead jobs owned, and return whether there was any; at most once a second."""
        now = self._clock.monotonic()
        if now < self._freed_at + _FREED_EVERY:
            return False
        self._freed_at = now
        return await self._call(lambda database: free_dead(database, self._me, self._gone, now))

    async def _read(self, statement: str, **parameters: Any) -> list[Row]:
        return await self._call(lambda database: database.read(statement, **parameters))

    async def _do(self, do: Callable[[Transaction], T], *, lasting: bool = True) -> T:
        act = _Act(do, lasting)
        self._acts.append(act)
        try:
            async with self._writing:
                if not act.done:
                    acts, self._acts = self._acts, []
                    await self._write(acts)
        finally:
            if not act.done and act in self._acts:
                self._acts.remove(act)
        if act.error is not None:
            raise act.error
        result: T = act.result
        return result

    async def _write(self, acts: list[_Act]) -> None:
        lasting = any(act.lasting for act in acts)
        self._claimed.clear()
        try:
            await self._call(
                lambda database: database.transact(partial(self._run, acts=acts), lasting=lasting)
            )
        except LedgerError as error:
            for act in acts:
                act.error = error
        except BaseException:
            self._acts = [*acts, *self._acts]  # this task is cancelled: another one that waits writes them
            raise
        self._owned.update(self._claimed)
        for act in acts:
            act.done = True

    def _run(self, work: Transaction, acts: list[_Act]) -> None:
        if self._claimed:
            # The first try was lost, perhaps after it was committed: what it claimed is not known here.
            for row in work.execute(_MINE, me=self._me):
                if row["number"] not in self._owned:
                    work.execute(_FREE_ONE, number=row["number"])
            self._claimed.clear()
        for act in acts:
            act.result = act.do(work)

    async def _call(self, act: Callable[[Database], T], kind: type[LedgerError] = LedgerError) -> T:
        if not self._is_open:
            raise LedgerError(f"the ledger {self._name} is closed")
        with _reported(self._name, kind):
            return await self._shared.call(act)

    def _now(self) -> float:
        """Return the seconds since 1970, which never go back while the ledger is open."""
        return self._offset + self._clock.monotonic()

    def _taken_over(self) -> TakenOver:
        return TakenOver(
            f"another job took this one for dead, and goes on with its entries in the ledger {self._name}",
            hint="Start it again, if no other job does its work: it goes on where that is free.",
        )


def read_entries(address: str | Path) -> Iterator[tuple[Entry, Any]]:
    """Yield the entries of a ledger, each with the JSON of its request, also while jobs write to it.

    Raises:
        LedgerUnusable: There is no ledger, or it cannot be read.
    """
    for row in read_rows(address):
        yield to_entry(row), msgspec.json.decode(row["request"])


def read_rows(address: str | Path) -> Iterator[Row]:
    """Yield the entries of a ledger as they are stored, verified.  Raises: as `read_entries`."""
    with _reported(shown_address(address)):
        for row in _rows(address):
            checked_entry(row)
            yield row


def _rows(address: str | Path) -> Iterator[Row]:
    if not is_address(address):
        if not Path(address).exists():
            raise LedgerUnusable(f"there is no ledger {address}")
        yield from rows_of_file(Path(address))
        return
    database, after, rows = open_database(address, lasting=True), -1, list[Row]()
    try:
        while rows := database.read(_PAGE, after=after):
            yield from rows
            after = rows[-1]["number"]
    finally:
        database.close()


def count_unfinished(address: str | Path) -> int:
    """Return how many entries have not ended.  Raises: as `read_entries`."""
    with opened(address) as database:
        return int(database.read(_COUNT)[0]["count"])


@contextmanager
def opened(address: str | Path) -> Iterator[Database]:
    """Open the database of a ledger, and close it; what goes wrong with it is a LedgerUnusable."""
    with _reported(shown_address(address)):
        database = open_database(address, lasting=True)
        try:
            yield database
        finally:
            database.close()


@contextmanager
def _reported(name: str, kind: type[LedgerError] = LedgerUnusable) -> Iterator[None]:
    """Raise what goes wrong with a ledger as an error of that kind; it is usable where it is merely lost."""
    problem, hint = "", ""
    cause: BaseException | None = None
    try:
        yield
    except (SharedStateError, DatabaseUnusable) as error:
        problem, hint = error.message.rpartition("cannot be used: ")[2], error.hint
    except (DatabaseLost, DatabaseBusy) as error:
        kind, problem, hint = LedgerError, str(error), "Try again when it is back."
    except (OSError, sqlite3.OperationalError) as error:
        problem, cause = str(error), error
        hint = "Use a file in an existing folder that can be written to, with space on its disk."
    except (DamagedError, ValueError, TypeError, LookupError, msgspec.MsgspecError, sqlite3.Error) as error:
        raise kind(
            f"the ledger {name} is damaged: {error}",
            hint="Restore a copy of it; without one, list the orders of the account before ordering again.",
        ) from error
    if problem:
        raise kind(f"the ledger {name} cannot be used: {problem}", hint=hint) from cause


def open_database(address: str | Path, *, lasting: bool) -> Database:
    """Open the database of a ledger, whose tables are made or migrated.

    Raises:
        LedgerUnusable: It is no ledger, or one of a newer version.
        DatabaseUnusable, DatabaseLost, DatabaseBusy: as for any database.
    """
    if not is_address(address):
        return open_file(Path(address), lasting=lasting)
    database = PostgresDatabase(str(address), lasting=lasting)
    try:
        prepare(database, "ledger", VERSION, TABLES)
    except BaseException:
        database.close()
        raise
    return database


def is_address(ledger: str | Path) -> bool:
    """Return whether a ledger is in a database that machines share, and not a file."""
    return isinstance(ledger, str) and ledger.startswith(("postgresql://", "postgres://"))


def shown_address(ledger: str | Path) -> str:
    """Return the name of a ledger for people: of an address without user, password and options."""
    return database_without_secrets(str(ledger)) if is_address(ledger) else str(ledger)


def free_dead(database: Database, me: str, gone: dict[str, float], now: float) -> bool:
    """Free what dead jobs owned; return whether any has died.

    Args:
        database: The database.
        me: The owner that calls.
        gone: The owners whose lock was free, and since when: kept from call to call.
        now: The time of some clock that never goes back.
    """
    owners = [
        row["owner"]
        for row in database.transact(
            lambda work: work.execute("SELECT owner FROM planet_async_owners WHERE owner <> :me", me=me),
            lasting=False,
        )
    ]
    if not owners:
        return False
    alive = database.locked(map(_key, owners))
    dead = []
    for owner in owners:
        if _key(owner) in alive:
            gone.pop(owner, None)
        elif now - gone.setdefault(owner, now) >= database.lock_gap:
            dead.append(owner)
    if dead:
        database.transact(lambda work: _forget(work, dead))
    return bool(dead)


def _forget(work: Transaction, owners: Iterable[str]) -> None:
    """Free what the owners had, who have ended."""
    work.execute_many(
        "DELETE FROM planet_async_owners WHERE owner = :owner", [{"owner": one} for one in owners]
    )
    work.execute(_FREE_THOSE_OF_NOBODY)


def _key(owner: str) -> str:
    return f"owner-{owner}"


def _find(work: Transaction, request: LedgerRequest) -> list[Row]:
    return work.execute(
        "SELECT * FROM planet_async_entries WHERE hash = :hash AND occurrence = :occurrence {unlocked}",
        hash=request.hash,
        occurrence=request.occurrence,
    )


def _insert(work: Transaction, rows: Sequence[Row]) -> None:
    work.execute_many(INSERT, rows)


async def kept_files(
    to: Destination[Path | str], files: DownloadedFiles, *, durable: bool
) -> tuple[KeptFile, ...]:
    """Describe the files, when they will outlast a power failure, if `durable`.

    Raises:
        DownloadError: One has been taken away since it was downloaded.
    """
    places = {to.relative(place): place for place in (*files, *files.urls)}
    sizes = await to.keep(places, durable=durable)
    unverified = {*files.unverified}
    return tuple(
        KeptFile(name, sizes[name], files.checksums.get(place, ""), place in unverified)
        for name, place in places.items()
    )
