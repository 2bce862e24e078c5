import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable

import anyio
import anyio.lowlevel
import pytest
from spine import settle

from planet_async._tasks import BackgroundIterator, Produce, Send, on_asyncio, open_task_group
from planet_async.errors import PlanetError

pytestmark = pytest.mark.anyio


class Producer:
    """Sends 0, 1, 2, ... and notes how far it came and whether it ended."""

    def __init__(self, items: int = 1000, error: Exception | None = None) -> None:
        self.sent = 0
        self.started = False
        self.ended = False
        self._items = items
        self._error = error

    async def __call__(self, send: Send[int]) -> None:
        self.started = True
        try:
            for number in range(self._items):
                self.sent += 1
                await send(number)
            if self._error is not None:
                raise self._error
        finally:
            self.ended = True


async def test_the_back_end_is_told(anyio_backend: str) -> None:
    """Code that must differ between the back ends can tell them apart."""
    assert on_asyncio() == (anyio_backend == "asyncio")


async def test_nothing_starts_before_it_is_asked_for() -> None:
    """An iterator that nobody iterates costs nothing and leaves nothing behind."""
    produce = Producer()
    stream = BackgroundIterator(produce)
    await settle()
    assert not produce.started
    await stream.aclose()
    del stream


async def test_all_items_come_in_order() -> None:
    """What is sent is what is read."""
    assert [number async for number in BackgroundIterator(Producer(100))] == list(range(100))


async def test_the_producer_is_one_item_ahead() -> None:
    """It works on while the reader is busy, and then waits."""
    produce = Producer()
    stream = BackgroundIterator(produce)
    for number in range(5):
        assert await anext(stream) == number
        await settle()
        assert produce.sent == number + 2
    await stream.aclose()


async def test_an_error_comes_after_the_items_before_it() -> None:
    """What was produced is not lost to a later failure, which is raised once; then it is over."""
    stream = BackgroundIterator(Producer(2, PlanetError("broken")))
    assert [await anext(stream), await anext(stream)] == [0, 1]
    with pytest.raises(PlanetError, match="broken"):
        await anext(stream)
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_closing_waits_for_the_end() -> None:
    """After `aclose` nothing runs any more, and nothing more comes."""
    produce = Producer()
    stream = BackgroundIterator(produce)
    await anext(stream)
    await stream.aclose()
    assert produce.ended
    await stream.aclose()


async def test_closing_works_while_being_cancelled() -> None:
    """A reader who is cancelled can still clean up."""
    produce = Producer()
    stream = BackgroundIterator(produce)
    await anext(stream)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await stream.aclose()
    assert produce.ended


@pytest.mark.parametrize("items_read", [1, 2])
async def test_a_dropped_iterator_ends_its_producer(items_read: int) -> None:
    """A `break` drops the iterator: the work in the background ends by itself."""
    produce = Producer()

    async def look() -> None:
        async for number in BackgroundIterator(produce):
            if number + 1 == items_read:
                break

    await look()
    gc.collect()
    await settle()
    assert produce.ended


async def test_a_reader_may_give_up_and_come_back() -> None:
    """A cancelled `anext` loses no item."""
    gate = anyio.Event()

    async def produce(send: Send[int]) -> None:
        await gate.wait()
        await send(1)

    stream = BackgroundIterator(produce)
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(anext, stream)
            await settle()
            scope.cancel()
    gate.set()
    assert await anext(stream) == 1
    await stream.aclose()


async def test_several_tasks_may_send() -> None:
    """A producer with tasks of its own: all items arrive, and the bound holds for them together."""
    running = 0

    async def one(send: Send[int], start: int) -> None:
        nonlocal running
        for number in range(start, start + 10):
            running += 1
            await send(number)
            running -= 1

    async def produce(send: Send[int]) -> None:
        async with anyio.create_task_group() as group:
            for start in range(0, 50, 10):
                group.start_soon(one, send, start)

    found = []
    async for number in BackgroundIterator(produce):
        await settle()
        assert running <= 5
        found.append(number)
    assert sorted(found) == list(range(50))


async def test_the_producer_is_not_of_the_readers_scope() -> None:
    """A scope around one `anext` is not one around the work: later items still come."""
    stream = BackgroundIterator(Producer(3))
    with anyio.CancelScope() as scope:
        assert await anext(stream) == 0
        scope.cancel()
    assert [number async for number in stream] == [1, 2]


@pytest.mark.parametrize("closed", [False, True], ids=["dropped later", "dropped in the loop"])
def test_the_end_of_the_event_loop_is_the_end_of_it(anyio_backend: str, *, closed: bool) -> None:
    """An iterator that outlives its event loop ends without a warning."""
    produce = Producer()
    kept: list[AsyncIterator[int]] = []

    async def main() -> None:
        stream = BackgroundIterator(produce)
        await anext(stream)
        if not closed:
            kept.append(stream)

    anyio.run(main, backend=anyio_backend)
    kept.clear()
    gc.collect()
    assert produce.ended


async def test_a_second_reader_is_told_that_there_is_one() -> None:
    """Two tasks that wait for the next item are a mistake, which must not hang: the first one goes on."""
    gate = anyio.Event()

    async def produce(send: Send[int]) -> None:
        await gate.wait()
        await send(1)

    stream = BackgroundIterator(produce)
    found = []

    async def read() -> None:
        found.extend([number async for number in stream])

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        await settle()
        with pytest.raises(RuntimeError, match="one task"):
            await anext(stream)
        gate.set()
    assert found == [1]


@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
async def test_what_is_cut_short_from_outside_does_not_look_whole() -> None:
    """Somebody cancels every task there is, the one in the background too: the reader is told."""
    before = asyncio.all_tasks()
    stream = BackgroundIterator(Producer())
    await anext(stream)
    for task in asyncio.all_tasks() - before:
        task.cancel()
    with pytest.raises(PlanetError, match="not complete"):
        assert [number async for number in stream] == []


async def test_an_error_leaves_no_garbage() -> None:
    """What the frames of an error hold goes with it, not when Python collects."""
    seen = []

    async def produce(_: Send[int]) -> None:
        error = PlanetError("it broke")
        seen.append(weakref.ref(error))
        try:
            raise error
        finally:
            del error

    gc.collect()
    gc.disable()
    try:
        with pytest.raises(PlanetError):
            await anext(BackgroundIterator(produce))
        await settle()
        assert seen[0]() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, PlanetError, KeyError])
@pytest.mark.parametrize("is_in_task", [False, True])
async def test_a_task_group_raises_an_error_as_it_is(kind: type[BaseException], *, is_in_task: bool) -> None:
    """Not in a group, and where the caller can catch it; the other tasks have ended then."""
    ended = []

    async def fail() -> None:
        raise kind("stop")

    async def work() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(True)

    async def run() -> None:
        async with open_task_group() as group:
            group.start_soon(work)
            await settle()
            if not is_in_task:
                await fail()
            group.start_soon(fail)

    assert await _error_of(run) is kind
    assert ended == [True]


async def test_what_ends_the_program_comes_before_other_errors() -> None:
    """An error that was first does not hide it."""

    async def fail(error: BaseException) -> None:
        try:
            if isinstance(error, KeyboardInterrupt):
                await anyio.sleep_forever()
        finally:
            raise error

    async def run() -> None:
        async with open_task_group() as group:
            group.start_soon(fail, KeyboardInterrupt())
            await settle()
            group.start_soon(fail, ValueError())

    assert await _error_of(run) is KeyboardInterrupt


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
async def test_what_ends_the_program_is_raised_where_items_are_read(kind: type[BaseException]) -> None:
    """By trio it would be a crash in the background, and asyncio would leave the reader waiting."""
    for error in (kind(), BaseExceptionGroup("of a library", [BaseExceptionGroup("", [kind()])])):
        stream = BackgroundIterator(_raising(error))
        assert await _error_of(lambda stream=stream: anext(stream)) is kind  # type: ignore[misc]


async def _error_of(call: Callable[[], Awaitable[object]]) -> type[BaseException] | None:
    try:
        await call()
    except BaseException as error:  # noqa: BLE001 - it is the finding
        return type(error)
    return None


def _raising(error: BaseException) -> Produce[int]:
    async def produce(_: Send[int]) -> None:
        raise error

    return produce
