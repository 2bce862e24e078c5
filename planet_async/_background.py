"""Work that goes on while the caller does something else: a producer, in one task, read as an async iterator.

A list fetches its next page while the caller handles this one; a batch downloads while the caller looks at
what has arrived.  A task group cannot do that, since none may be open across a ``yield`` (PEP 789), so the
task belongs to the iterator: it is cancelled when the iterator is closed or dropped (a `break` drops it).
"""

import asyncio
import contextvars
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar

import anyio

from planet_async.errors import PlanetError

T = TypeVar("T")
Send = Callable[[T], Awaitable[None]]
"""Takes the next item to the reader of a stream; returns when there is room for another one."""

Produce = Callable[[Send[T]], Awaitable[None]]


def cut_short() -> PlanetError:
    """Make the error of work of which somebody else cancelled a task (asyncio's `task.cancel()`).

    A task group ends then as if all had been done.
    """
    return PlanetError("a task at work on this was cancelled by other means: what was done is not all")


def on_asyncio() -> bool:
    """Tell the back ends apart: asyncio, or else trio."""
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False


class Stream(AsyncIterator[T]):
    """The items of `produce(send)`, which works in the background at most `ahead` items ahead of the reader.

    The task starts with the first item asked for.  An error of the producer is raised after the items that
    came before it.  Two tasks that wait for one item are an error of the second: only one could be given it.
    """

    def __init__(self, produce: Produce[T], *, ahead: int = 1) -> None:
        self._producer = _Producer(produce, ahead)
        self._cancel_soon: Callable[[], None] | None = None
        self._is_read = False  # somebody is waiting for the next item

    async def __anext__(self) -> T:
        producer = self._producer
        is_first = self._cancel_soon is None
        if self._cancel_soon is None:
            self._cancel_soon = _start(producer)
        if self._is_read:
            raise RuntimeError("somebody else is waiting for its next item: read it in one task")
        while not producer.items:
            if producer.ended.is_set():
                error, producer.error = producer.error, None
                try:
                    raise error or StopAsyncIteration
                finally:
                    error = None  # it keeps this frame
            producer.news = anyio.Event()
            self._is_read = True
            producer.is_awaited = not is_first  # many look at one item and leave
            try:
                await producer.news.wait()
            finally:
                self._is_read = producer.is_awaited = False
        item = producer.items.popleft()
        producer.room.set()
        return item

    async def aclose(self) -> None:
        """Cancel the producer and wait until it has ended."""
        if self._cancel_soon is not None:
            self._producer.scope.cancel()
            with anyio.CancelScope(shield=True):
                await self._producer.ended.wait()

    def __del__(self) -> None:
        if self._cancel_soon is not None and not self._producer.ended.is_set():
            self._cancel_soon()


class _Producer(Generic[T]):
    """The task's side.  It does not know the iterator, which could otherwise never be dropped."""

    def __init__(self, produce: Produce[T], ahead: int) -> None:
        self._produce = produce
        self._ahead = ahead
        self.items: deque[T] = deque()
        self.error: Exception | None = cut_short()  # unless it comes to its end
        self.scope = anyio.CancelScope()
        self.news = anyio.Event()
        self.is_awaited = False
        self.room = anyio.Event()
        self.ended = anyio.Event()

    async def run(self) -> None:
        try:
            with self.scope:
                await self._produce(self)
            self.error = None
        except Exception as error:  # noqa: BLE001 - kept for the reader, who raises it
            self.error = error
        finally:
            self.end()

    def end(self) -> None:
        """Tell the reader that no more comes."""
        self.ended.set()
        self.news.set()

    async def __call__(self, item: T) -> None:
        self.items.append(item)
        self.news.set()
        if self.is_awaited:
            # The next one is begun before the reader works on this one, not a step of the reader's later.
            self.is_awaited = False
            return
        while len(self.items) >= self._ahead:
            if self.room.is_set():  # several tasks of the producer may be waiting on this one
                self.room = anyio.Event()
            await self.room.wait()


def _start(producer: _Producer[T]) -> Callable[[], None]:
    """Start the task; give what cancels it from any thread, as the garbage collector may have to."""
    if on_asyncio():
        loop = asyncio.get_running_loop()
        task = loop.create_task(producer.run())
        task.add_done_callback(lambda _: producer.end())  # also where it is cancelled before it has begun

        def cancel_soon() -> None:
            if not loop.is_closed() and not task.done():
                loop.call_soon_threadsafe(producer.scope.cancel)

        return cancel_soon
    import trio  # noqa: PLC0415 - there only where it is running

    trio.lowlevel.spawn_system_task(producer.run, context=contextvars.copy_context())
    token = trio.lowlevel.current_trio_token()

    def cancel_soon_on_trio() -> None:
        token.run_sync_soon(producer.scope.cancel)

    return cancel_soon_on_trio
