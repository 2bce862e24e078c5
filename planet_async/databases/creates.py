"""`SharedCreates`: what processes must know of each other's creates; see `planet_async.exactly_once`."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from hashlib import sha256
from uuid import uuid4

from attrs import define, field

from planet_async.databases.database import Database, Transaction
from planet_async.databases.shared import SharedDatabase

_KEPT = 3600.0  # seconds: no create is looked up for longer


@define(eq=False)
class SharedCreates:
    """The creates of one client, and what it sees of those of others through a database.

    A create is sent under a shared lock of its name, and one without a response is looked up under an
    exclusive lock; so that no other create of that name is in flight then.  What was created is noted under
    the lock, so that no other process takes it for its own.  A note counts while the client lives that made
    it, and after it was closed or what it notes was kept; but not after a crash before that, since the order
    of a job that crashed before it was saved in its ledger must be found again.
    """

    database: SharedDatabase
    _owner: str = field(factory=lambda: uuid4().hex)
    _is_owner: bool = False
    _lost: set[str] = field(factory=set)

    @asynccontextmanager
    async def lock(self, service: str, name: str, *, shared: bool) -> AsyncIterator[None]:
        """Hold the lock of a name."""
        digest = sha256(f"{service} {name}".encode(errors="replace")).hexdigest()
        # A file for each of many names would be left behind; a collision costs some waiting.
        key = digest if self.database.in_thread else digest[:2]
        async with self.database.lock(f"create-{key}", shared=shared):
            yield

    async def note(self, service: str, id_: str) -> None:
        """Note that a resource has its caller."""
        await self.database.call(self._own)
        await self.database.transact(lambda work: self._note(work, service, id_))

    async def keep(self, service: str, id_: str) -> None:
        """Make the note of a resource outlast a crash of this process."""
        await self.database.transact(
            lambda work: work.execute(
                "UPDATE planet_async_creates SET owner = '' WHERE service = :service AND id = :id",
                service=service,
                id=id_,
            )
        )

    @property
    def owner(self) -> str:
        """The id by which others know this client."""
        return self._owner

    async def of_others(self, service: str, *, but: str = "") -> list[str]:
        """Return the ids that others have noted lately, but one of them, who has lost what it noted."""
        return await self.database.call(lambda database: self._of_others(database, service, but))

    def release(self, id_: str) -> None:
        """Note that a resource has lost its caller."""
        self._lost.add(id_)

    async def forget(self, id_: str) -> None:
        """Remove the note of a resource now, so that others find it."""
        await self.database.transact(lambda work: self._forget(work, [id_]))

    async def settle(self) -> None:
        """Make the notes outlast this client, but for those of what has lost its caller."""
        if self._is_owner:
            await self.database.transact(self._settle)
            await self.database.call(self._disown)

    def _own(self, database: Database) -> None:
        if not self._is_owner:
            self._is_owner = database.try_lock(f"owner-{self._owner}")

    def _disown(self, database: Database) -> None:
        database.unlock(f"owner-{self._owner}")
        database.locked([f"owner-{self._owner}"])  # removes the file of the lock, which nobody else would
        self._is_owner = False

    def _note(self, work: Transaction, service: str, id_: str) -> None:
        work.execute("DELETE FROM planet_async_creates WHERE noted < {now} - :kept", kept=_KEPT)
        work.execute(
            "INSERT INTO planet_async_creates VALUES (:service, :id, :owner, {now})"
            " ON CONFLICT (service, id) DO UPDATE SET owner = :owner",
            service=service,
            id=id_,
            owner=self._owner,
        )

    def _forget(self, work: Transaction, ids: Iterable[str]) -> None:
        work.execute_many(
            "DELETE FROM planet_async_creates WHERE id = :id AND owner = :owner",
            [{"id": id_, "owner": self._owner} for id_ in ids],
        )

    def _of_others(self, database: Database, service: str, but: str) -> list[str]:
        rows = database.transact(
            lambda work: work.execute(
                "SELECT id, owner FROM planet_async_creates"
                " WHERE service = :service AND owner NOT IN (:owner, :but) AND noted >= {now} - :kept",
                service=service,
                owner=self._owner,
                but=but or self._owner,
                kept=_KEPT,
            )
        )
        keys = {f"owner-{row['owner']}" for row in rows if row["owner"]}
        alive = database.locked(keys) if keys else set()
        return [row["id"] for row in rows if not row["owner"] or f"owner-{row['owner']}" in alive]

    def _settle(self, work: Transaction) -> None:
        self._forget(work, self._lost)
        work.execute("UPDATE planet_async_creates SET owner = '' WHERE owner = :owner", owner=self._owner)
