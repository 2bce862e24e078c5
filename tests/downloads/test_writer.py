"""`write_chunks`: in order, in threads; little is held, nothing is lost, and no thread is left."""

import asyncio
import errno
import gc
import threading
import weakref
from collections.abc import AsyncIterator
from contextlib import suppress
from itertools import product

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread
import pytest
from spine import settle

from planet_async.downloads.transfer import write_chunks
from planet_async.errors import ConnectionLost, PlanetError

pytestmark = pytest.mark.anyio

CHUNKS = [bytes([number]) * 1000 for number in range(100)]


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("planet_async.downloads.transfer._BATCH", 3000)
    monkeypatch.setattr("planet_async.downloads.transfer._MIN_BATCH", 1000)


class Source(AsyncIterator[bytes]):
    """The chunks, and then an error; it counts the chunks it has yielded."""

    def __init__(self, *, error: Exception | None = None, stop_after: int = len(CHUNKS)) -> None:
        self.yielded = 0
        self._error = error
        self._stop_after = stop_after

    async def __anext__(self) -> bytes:
        await anyio.lowlevel.checkpoint()
        if self.yielded == self._stop_after:
            raise self._error or StopAsyncIteration
        self.yielded += 1
        return CHUNKS[self.yielded - 1]


class Sink:
    """Records what is written; blocks each write until `gate` is open, and fails at one of them."""

    def __init__(self, *, fails_at: int = -1) -> None:
        self.batches: list[bytes] = []
        self.threads: set[int] = set()
        self.gate = threading.Event()
        self.gate.set()
        self.begun = 0
        self.at_work = 0
        self._fails_at = fails_at

    def write(self, batch: bytes) -> None:
        self.begun += 1
        self.at_work += 1
        assert self.at_work == 1
        self.gate.wait(10)
        self.threads.add(threading.get_ident())
        self.at_work -= 1
        if len(self.batches) == self._fails_at:
            raise OSError(errno.ENOSPC, "full")
        self.batches.append(batch)

    @property
    def written(self) -> list[bytes]:
        content = b"".join(self.batches)
        return [content[at : at + 1000] for at in range(0, len(content), 1000)]


def ignore(_: int) -> None:
    pass


async def wait_until(condition: object, count: int = 2000) -> None:
    for _ in range(count):
        if callable(condition) and condition():
            return
        await anyio.sleep(0.001)
    raise AssertionError("the condition was never met")


async def test_all_is_written_in_order_in_threads() -> None:
    """Every byte once, in batches, and none in the thread of the event loop."""
    sink, reported = Sink(), list[int]()
    await write_chunks(Source(), sink.write, reported.append)
    assert sink.written == CHUNKS
    assert max(map(len, sink.batches)) <= 2 * 3000
    assert threading.get_ident() not in sink.threads
    assert reported == [1000] * 100


@pytest.mark.parametrize(("at_once", "size"), [(1, 3000), (2, 2000), (3, 1000), (50, 1000)])
async def test_many_files_hold_as_much_as_one(at_once: int, size: int) -> None:
    """The more files there are, the smaller their batches, so that memory does not grow with them."""
    sink = Sink()
    await write_chunks(Source(), sink.write, ignore, at_once=at_once)
    assert sink.written == CHUNKS
    assert max(map(len, sink.batches)) <= 2 * size  # what came while the thread started is taken, too


async def test_an_empty_body_needs_no_thread() -> None:
    """Nothing is written."""
    sink = Sink()
    await write_chunks(Source(stop_after=0), sink.write, ignore)
    assert not sink.begun


async def test_one_batch_is_read_ahead() -> None:
    """While a slow disk writes, the next batch is read, and not a third one."""
    sink, source = Sink(), Source()
    sink.gate.clear()
    async with anyio.create_task_group() as group:
        group.start_soon(write_chunks, source, sink.write, ignore)
        await wait_until(lambda: source.yielded == 6 and sink.begun == 1)
        for _ in range(50):
            await anyio.lowlevel.checkpoint()
        assert (source.yielded, sink.begun) == (6, 1)
        sink.gate.set()
    assert sink.written == CHUNKS


@pytest.mark.parametrize("fails_at", [0, 5, 14])
async def test_an_error_of_a_write_is_raised_as_it_is(fails_at: int) -> None:
    """In no group; nothing is written after it, and reading stops soon."""
    sink, source = Sink(fails_at=fails_at), Source()
    with pytest.raises(OSError, match="full"):
        await write_chunks(source, sink.write, ignore)
    assert sink.begun == fails_at + 1
    assert source.yielded <= 2 * 3 * (fails_at + 2)


async def test_what_arrived_before_a_cut_is_written() -> None:
    """The error is raised when everything that arrived is on disk."""
    sink = Sink()
    with pytest.raises(ConnectionLost):
        await write_chunks(Source(error=ConnectionLost("cut"), stop_after=8), sink.write, ignore)
    assert sink.written == CHUNKS[:8]


async def test_an_error_of_the_progress_callback() -> None:
    """It ends the download as it is."""

    def fail(_: int) -> None:
        raise ZeroDivisionError

    sink = Sink()
    with pytest.raises(ZeroDivisionError):
        await write_chunks(Source(), sink.write, fail)
    assert sink.written == CHUNKS[:1]


@pytest.mark.parametrize("after", [1, 3, 4, 6, 7, 99])
async def test_what_arrived_before_a_cancellation_is_written(after: int) -> None:
    """Even the batch that is being read, and the one that waits to be written."""
    sink, came = Sink(), 0

    def count(_: int) -> None:
        nonlocal came
        came += 1
        if came == after:
            scope.cancel()

    with anyio.CancelScope() as scope:
        await write_chunks(Source(), sink.write, count)
    assert scope.cancelled_caught
    assert sink.written == CHUNKS[:after]
    assert not sink.at_work


@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
async def test_the_end_of_asyncio_run_waits_for_the_thread() -> None:
    """After Ctrl-C it cancels every task: no deadlock, no thread left, and no gap in what is written."""
    sink, before = Sink(), asyncio.all_tasks()
    sink.gate.clear()
    task = asyncio.ensure_future(write_chunks(Source(), sink.write, ignore))
    await wait_until(lambda: sink.begun == 1)
    for every in asyncio.all_tasks() - before:
        every.cancel()
    for _ in range(50):
        await anyio.lowlevel.checkpoint()
    assert not task.done(), "a thread was left behind"
    sink.gate.set()
    with anyio.fail_after(5), suppress(asyncio.CancelledError):
        await task
    assert task.cancelled()
    assert not sink.at_work
    assert sink.written == CHUNKS[: len(sink.written)]


@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
async def test_asyncios_own_cancellation_waits_for_the_thread() -> None:
    """`task.cancel()`, even twice, while a thread writes: the task ends after the thread."""
    sink = Sink()
    sink.gate.clear()
    task = asyncio.ensure_future(write_chunks(Source(), sink.write, ignore))
    await wait_until(lambda: sink.begun == 1)
    for _ in range(2):
        task.cancel()
        for _ in range(50):
            await anyio.lowlevel.checkpoint()
        assert not task.done(), "a thread was left behind"
    sink.gate.set()
    with suppress(asyncio.CancelledError):
        await task
    assert task.cancelled()
    assert not sink.at_work


@pytest.mark.usefixtures("anyio_backend")
@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)  # trio has threads of other tests left
@pytest.mark.parametrize("at_once", [1, 4])
async def test_no_thread_can_be_started(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a PlanetError in no group, and no thread of anyio is counted as used for ever."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    limiter = anyio.to_thread.current_default_thread_limiter()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    for _ in range(3):
        with anyio.fail_after(5), pytest.raises(PlanetError, match="no more threads"):
            await write_chunks(Source(), Sink().write, ignore, at_once=at_once)
    monkeypatch.undo()
    assert limiter.borrowed_tokens == 0


@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_cancelling_all_tasks_leaves_no_thread_in_use() -> None:
    """At any moment, even before the task that writes has started."""
    limiter = anyio.to_thread.current_default_thread_limiter()
    for step in range(60):
        before = asyncio.all_tasks()
        task = asyncio.ensure_future(write_chunks(Source(), Sink().write, ignore))
        for _ in range(step):
            await anyio.lowlevel.checkpoint()
        for every in asyncio.all_tasks() - before:
            every.cancel()
        with suppress(asyncio.CancelledError):
            await task
    gc.collect()  # the warnings of tasks that were cancelled before they began are of this test
    assert limiter.borrowed_tokens == 0


async def test_an_error_leaves_no_garbage() -> None:
    """The batches are freed with the error, not by the garbage collector: they are megabytes."""

    class Cut(AsyncIterator[bytes]):
        async def __anext__(self) -> bytes:
            if fails == "reading":
                raise ConnectionLost("cut")
            return bytes(5000)

    def write(_: bytes) -> None:
        raise OSError(errno.ENOSPC, "full")

    async def attempt(at_once: int) -> weakref.ref[Cut]:
        source = Cut()
        with pytest.raises((ConnectionLost, OSError)):
            await write_chunks(source, write, lambda _: None, at_once=at_once)
        return weakref.ref(source)

    gc.collect()
    gc.disable()
    try:
        for fails, at_once in product(("reading", "writing"), (1, 4)):
            gone = await attempt(at_once)
            await settle()
            assert gone() is None, (fails, at_once)
    finally:
        gc.enable()
