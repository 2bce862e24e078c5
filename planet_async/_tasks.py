"""Work in the background: an iterator whose items are made ahead, threads, and bounded concurrency.

A list fetches its next page while the caller works on this one; a job downloads while the caller reads what
has arrived.  A task group cannot do that, since none may be open across a ``yield`` (PEP 789), so the task
belongs to the iterator: it is cancelled when the iterator is closed or dropped (a `break` drops it).
"""

import asyncio
import contextvars
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Generic, TypeVar

import anyio
import anyio.to_thread

from planet_async.errors import PlanetError

T = TypeVar("T")
Send = Callable[[T], Awaitable[None]]
"""Passes the next item to the reader; returns when there is room for another one."""

Produce = Callable[[Send[T]], Awaitable[None]]


def cancelled_externally() -> PlanetError:
    """Return the error for work whose task was cancelled by others (asyncio's `task.cancel()`).

    A task group ends then as if all had been done.
    """
    return PlanetError("a task of this call was cancelled from outside: the result is not complete")


def on_asyncio() -> bool:
    """Return whether asyncio runs this, and not trio."""
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False


class BackgroundIterator(AsyncIterator[T]):
    """The items of `produce(send)`, which runs in the background, at most `ahead` items ahead of the reader.

    The task starts when the first item is requested.  An error of the producer is raised after the items that
    came before it.  Only one task may wait for the next item.
    """

    def __init__(self, produce: Produce[T], *, ahead: int = 1) -> None:
        self._producer = _Producer(produce, ahead)
        self._cancel_soon: Callable[[], None] | None = None
        self._has_reader = False

    async def __anext__(self) -> T:
        producer = self._producer
        if self._cancel_soon is None:
            self._cancel_soon = _start(producer)
        if self._has_reader:
            raise RuntimeError("another task waits for the next item: read it in one task")
        while not producer.items:
            if producer.ended.is_set():
                error, producer.error = producer.error, None
                try:
                    raise error or StopAsyncIteration
                finally:
                    error = None  # it keeps this frame
            producer.news = anyio.Event()
            self._has_reader = True
            try:
                await producer.news.wait()
            finally:
                self._has_reader = False
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
    """The side of the task.  It does not know the iterator, which could otherwise never be dropped."""

    def __init__(self, produce: Produce[T], ahead: int) -> None:
        self._produce = produce
        self._ahead = ahead
        self.items: deque[T] = deque()
        self.error: Exception | None = cancelled_externally()  # unless it comes to its end
        self.scope = anyio.CancelScope()
        self.news = anyio.Event()
        self.room = anyio.Event()
        self.ended = anyio.Event()

    async def run(self) -> None:
        try:
            with self.scope:
                await self._produce(self._send)
            self.error = None
        except Exception as error:  # noqa: BLE001 - the reader raises it
            self.error = error
        finally:
            self.end()

    def end(self) -> None:
        self.ended.set()
        self.news.set()

    async def _send(self, item: T) -> None:
        self.items.append(item)
        self.news.set()
        while len(self.items) >= self._ahead:
            if self.room.is_set():  # several tasks of the producer may be waiting on this one
                self.room = anyio.Event()
            await self.room.wait()


def _start(producer: _Producer[T]) -> Callable[[], None]:
    """Start the task; return what cancels it from any thread, as the garbage collector may have to."""
    if on_asyncio():
        loop = asyncio.get_running_loop()
        task = loop.create_task(producer.run())
        task.add_done_callback(lambda _: producer.end())  # also where it is cancelled before it has begun

        def cancel_soon() -> None:
            if not loop.is_closed() and not task.done():
                loop.call_soon_threadsafe(producer.scope.cancel)

        return cancel_soon
    import trio  # noqa: PLC0415 - not installed where only asyncio is used

    trio.lowlevel.spawn_system_task(producer.run, context=contextvars.copy_context())
    return partial(trio.lowlevel.current_trio_token().run_sync_soon, producer.scope.cancel)


async def run_in_thread(
    act: Callable[..., T], *arguments: object, limiter: anyio.CapacityLimiter | None = None
) -> T:
    """Run in a thread; return, or be cancelled, only when it has ended.

    anyio does so for its own cancellation.  That of asyncio (`task.cancel()`, `asyncio.timeout`, and the end
    of `asyncio.run`, as after Ctrl-C) would leave the thread at work on a file that the caller then closes.
    Without a `limiter` of its own, a call waits while forty others run.

    Raises:
        PlanetError: the system has no thread left.
    """
    begun = Future[None]()

    def work() -> T:
        if not begun.set_running_or_notify_cancel():
            raise RuntimeError("cancelled before it began")  # nobody waits for it
        try:
            return act(*arguments)
        finally:
            begun.set_result(None)

    try:
        return await anyio.to_thread.run_sync(work, limiter=limiter)
    except asyncio.CancelledError:
        if not begun.cancel():
            ended = asyncio.wrap_future(begun)
            with anyio.CancelScope(shield=True):
                while not ended.done():
                    with suppress(asyncio.CancelledError):
                        await asyncio.wait([ended])
        raise
    except RuntimeError as error:
        if "start new thread" not in str(error):
            raise
        raise PlanetError("the system allows no more threads", hint="Do less at a time.") from error


async def fetch_all(
    fetches: Iterable[Callable[[], Awaitable[object]]], concurrency: int, refused: Iterable[PlanetError] = ()
) -> None:
    """Run all, at most `concurrency` at a time.

    A PlanetError does not stop the others: the first one is raised in the end, with the others, and those
    `refused` before, in its notes.  Any other error, such as that of a callback, is raised at once.
    """
    errors = [*refused]
    broken: list[Exception] = []
    limit = anyio.CapacityLimiter(concurrency)

    async def act(fetch: Callable[[], Awaitable[object]]) -> None:
        async with limit:
            try:
                await fetch()
            except PlanetError as error:
                errors.append(error)
            except Exception as error:  # noqa: BLE001 - raised below: the group would wrap it
                broken.append(error)
                group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        for fetch in fetches:
            group.start_soon(act, fetch)
    if broken:
        raise broken[0]
    if group.cancel_scope.cancel_called:
        errors.append(cancelled_externally())
    if errors:
        for other in errors[1:]:
            errors[0].add_note(f"also: {other}")
        raise errors[0]
