"""`SharedDatabase`: what tasks that are cancelled, and processes that are forked, leave behind."""

import asyncio
import os
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import anyio
import pytest

from planet_async.clock import SystemClock
from planet_async.databases.creates import SharedCreates
from planet_async.databases.database import Database
from planet_async.databases.postgres import PostgresDatabase
from planet_async.databases.shared import SharedDatabase, open_file
from planet_async.errors import SharedStateError


class Slow:
    """A database whose locks take a moment."""

    lock_gap = 0.0

    def __init__(self) -> None:
        self.held: list[str] = []
        self.taking = threading.Event()

    def try_lock(self, key: str, *, shared: bool = False) -> bool:
        self.taking.set()
        time.sleep(0.05)
        self.held.append(key)
        return True

    def unlock(self, key: str) -> None:
        self.held.remove(key)

    def close(self) -> None:
        pass


@pytest.mark.parametrize("times", [1, 2])
def test_a_lock_that_was_taken_while_its_task_was_cancelled_is_released(times: int) -> None:
    """`task.cancel()` cannot stop the thread that takes it; cancelled again, the next call releases it."""
    slow = Slow()

    async def main() -> None:
        database = SharedDatabase(lambda: slow, SystemClock(), in_thread=True)  # type: ignore[arg-type, return-value]

        async def hold() -> None:
            async with database.lock("a"):
                pass

        task = asyncio.create_task(hold())
        await asyncio.to_thread(slow.taking.wait)
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0)
        await asyncio.wait([task])
        assert task.cancelled()
        await database.call(lambda _: None)
        assert slow.held == []

    asyncio.run(main())


@pytest.mark.anyio
async def test_nothing_is_left_of_a_task_that_is_closed_while_it_waits(tmp_path: Path) -> None:
    """One that waits for a lock, and is cancelled, neither takes it nor keeps the file open."""
    path = tmp_path / "file"
    database = SharedDatabase(partial(open_file, path), SystemClock(), in_thread=False)
    other = SharedDatabase(partial(open_file, path), SystemClock(), in_thread=False)
    async with other.lock("a"):
        with anyio.move_on_after(0.05):
            async with database.lock("a"):
                pytest.fail("it is taken")
        await database.aclose()
    async with other.lock("a"):
        pass
    await other.aclose()
    open_files = [os.path.realpath(entry) for entry in Path("/proc/self/fd").glob("*")]
    assert not [name for name in open_files if name.startswith(str(tmp_path))]


@pytest.mark.anyio
async def test_after_a_crash_only_what_was_saved_has_its_owner(tmp_path: Path) -> None:
    """What a crashed process has saved in its ledger is nobody else's; what it has not can be found again."""
    path = tmp_path / "file"
    crashed, other = (
        SharedCreates(SharedDatabase(partial(open_file, path), SystemClock(), in_thread=False))
        for _ in range(2)
    )
    for id_ in ("saved", "lost"):
        await crashed.note("orders", id_)
    await crashed.keep("orders", "saved")
    assert sorted(await other.of_others("orders")) == ["lost", "saved"]
    # Who has taken the process for dead finds it, too, though it only stands still.
    assert await other.of_others("orders", but=crashed.owner) == ["saved"]
    await crashed.database.aclose()
    assert await other.of_others("orders") == ["saved"]
    await other.database.aclose()
    assert not [*tmp_path.glob("*-locks/*")]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.anyio
async def test_a_forked_process_leaves_its_parent_its_connection(postgres: str) -> None:
    """One that ends, and drops what it has got, closes nothing of its parent: its locks last."""
    opened: Callable[[], Database] = partial(PostgresDatabase, postgres, lasting=True)
    database = SharedDatabase(opened, SystemClock(), in_thread=True)
    async with database.lock("a"):
        child = os.fork()
        if not child:
            database.__del__()
            os._exit(0)
        os.waitpid(child, 0)  # noqa: ASYNC222 - it ends at once
        other = opened()
        await anyio.sleep(0.2)
        assert not other.try_lock("a")
        other.close()
    await database.aclose()


@pytest.mark.anyio
async def test_a_damaged_file_of_the_machine_is_reported_with_what_to_do(tmp_path: Path) -> None:
    """It holds nothing that must be restored."""
    path = tmp_path / "file"
    path.write_bytes(b"damaged" * 1000)
    database = SharedDatabase(partial(open_file, path), SystemClock(), in_thread=False)
    with pytest.raises(SharedStateError, match=r"is damaged.* remove it; or set PL_SHARED=none"):
        await database.call(lambda _: None)
