"""`Ledger`: what became of each order of a long job, on disk, so that one that was killed can go on."""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, TypeVar

import anyio
from attrs import define

from planet_async._threads import in_thread
from planet_async.clock import Clock
from planet_async.errors import DownloadError, LedgerError
from planet_async.ledger.entry import Entry, Stage, kept_files
from planet_async.ledger.file import LedgerFile, reported

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
            await in_thread(self._open)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the file."""
        file, self._file = self._file, None
        if file is not None:
            with anyio.CancelScope(shield=True):
                await in_thread(file.close)

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
                entry.files = await in_thread(kept_files, entry.order_id, folder, paths)
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
                await in_thread(self._work, tasks)
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
