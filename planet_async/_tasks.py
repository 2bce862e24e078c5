"""Work in the background: an iterator whose items are made ahead, threads, and bounded concurrency.

A list fetches its next page while the caller works on this one; a job downloads while the caller reads what
has arrived.  A task group cannot do that, since none may be open across a ``yield`` (PEP 789), so the task
belongs to the iterator: it is cancelled when the iterator is closed or dropped (a `break` drops it).
"""

import asyncio
import contextvars
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from concurrent.futures import Executor, Future
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Generic, TypeVar

import anyio
import anyio.abc
import anyio.to_thread

from planet_async.errors import PlanetError

T = TypeVar("T")
Send = Callable[[T], Awaitable[None]]
"""Passes the next item to the reader; returns when there is room for another one."""

_NOT_CANCELLED = (Exception, KeyboardInterrupt, SystemExit, BaseExceptionGroup)

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


class TaskGroup:
    """A task group that raises the first error as it is, not in an ExceptionGroup.

    That goes for KeyboardInterrupt and SystemExit, too, such as those of a callback or of Ctrl-C: they are
    raised in the task that opened the group, where its caller can catch them, before any other error.
    """

    def __init__(self, group: anyio.abc.TaskGroup) -> None:
        self._group = group
        self.cancel_scope = group.cancel_scope
        self.error: BaseException | None = None

    def start_soon(self, act: Callable[..., Awaitable[object]], *arguments: object) -> None:
        """Start a task; its error cancels the others."""
        self._group.start_soon(self._run, act, *arguments)

    async def _run(self, act: Callable[..., Awaitable[object]], *arguments: object) -> None:
        try:
            await act(*arguments)
        except _NOT_CANCELLED as error:
            self.fail(_unwrapped(error))

    def fail(self, error: BaseException) -> None:
        """Cancel all tasks, and raise the error when they have ended."""
        if self.error is None or (isinstance(self.error, Exception) and not isinstance(error, Exception)):
            self.error = error
        self.cancel_scope.cancel()


@asynccontextmanager
async def open_task_group() -> AsyncIterator[TaskGroup]:
    failure: BaseException | None
    try:
        async with anyio.create_task_group() as inner:
            group = TaskGroup(inner)
            try:
                yield group
            except _NOT_CANCELLED as error:
                group.fail(_unwrapped(error))
        failure, group.error = group.error, None
    except BaseExceptionGroup as error:  # Ctrl-C came while a task was started or ended
        failure = _unwrapped(error)
    if failure is not None:
        try:
            raise failure
        finally:
            del failure  # it keeps this frame


def _unwrapped(error: BaseException) -> BaseException:
    """Return the KeyboardInterrupt or SystemExit in a group; raise a group of cancellations."""
    if isinstance(error, Exception) or not isinstance(error, BaseExceptionGroup):
        return error
    found: BaseException | None = error.subgroup((KeyboardInterrupt, SystemExit))
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    if found is None:
        raise error
    return found


class BackgroundIterator(AsyncIterator[T]):
    """The items of `produce(send)`, which runs in the background, one item ahead of the reader.

    The task starts when the first item is requested; before that, no event loop is needed.  An error of the
    producer is raised after the items that came before it.  Only one task may wait for the next item.
    """

    def __init__(self, produce: Produce[T]) -> None:
        self._produce = produce
        self._producer: _Producer[T] | None = None
        self._cancel_soon: Callable[[], None] | None = None
        self._has_reader = False

    async def __anext__(self) -> T:
        producer = self._producer
        if producer is None:
            producer = self._producer = _Producer(self._produce)
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
        if self._producer is not None:
            self._producer.scope.cancel()
            with anyio.CancelScope(shield=True):
                await self._producer.ended.wait()

    def __del__(self) -> None:
        producer = self._producer
        if producer is not None and self._cancel_soon is not None and not producer.ended.is_set():
            self._cancel_soon()


class _Producer(Generic[T]):
    """The side of the task.  It does not know the iterator, which could otherwise never be dropped."""

    def __init__(self, produce: Produce[T]) -> None:
        self._produce = produce
        self.items: deque[T] = deque()
        self.error: BaseException | None = cancelled_externally()  # unless it comes to its end
        self.scope = anyio.CancelScope()
        self.news = anyio.Event()
        self.room = anyio.Event()
        self.ended = anyio.Event()

    async def run(self) -> None:
        try:
            with self.scope:
                await self._produce(self._send)
            self.error = None
        except _NOT_CANCELLED as error:  # the reader raises it; trio would crash if Ctrl-C ended this task
            self.error = _unwrapped(error)
        finally:
            self.end()

    def end(self) -> None:
        self.ended.set()
        self.news.set()

    async def _send(self, item: T) -> None:
        self.items.append(item)
        self.news.set()
        while self.items:
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


async def run_in_thread(act: Callable[..., T], *arguments: object, executor: Executor | None = None) -> T:
    """Run in a thread; return, or be cancelled, only when it has ended.

    anyio does so for its own cancellation.  That of asyncio (`task.cancel()`, `asyncio.timeout`, and the end
    of `asyncio.run`, as after Ctrl-C) would leave the thread at work on a file that the caller then closes.
    The threads are those of the event loop: those of anyio would keep the interpreter from exiting after a
    second Ctrl-C.  asyncio has as many of them as CPUs and four, at most 32; further calls wait.  What waits
    for a network has threads of its own, an `executor`: others do not wait for it, and a call that is
    cancelled does not either; the thread is left to end by itself.

    Raises:
        PlanetError: the system has no thread left.
    """
    call = partial(act, *arguments)
    try:
        if on_asyncio():
            return await _in_thread_of_loop(call, executor)
        return await anyio.to_thread.run_sync(call, abandon_on_cancel=executor is not None)
    except RuntimeError as error:
        if "start new thread" not in str(error):
            raise
        raise PlanetError("the system allows no more threads", hint="Do less at a time.") from error


async def _in_thread_of_loop(call: Callable[[], T], executor: Executor | None) -> T:
    begun = Future[None]()
    results: list[T] = []

    def work() -> None:
        if begun.set_running_or_notify_cancel():  # else it was cancelled before
            results.append(call())

    # Threads that this limiter has lent are seen by others, as by a `FakeClock`, which holds the time then.
    limiter, borrower = anyio.to_thread.current_default_thread_limiter(), object()
    await limiter.acquire_on_behalf_of(borrower)
    try:
        context = contextvars.copy_context()
        working = asyncio.get_running_loop().run_in_executor(executor, context.run, work)
        with anyio.CancelScope(shield=executor is None):
            try:
                await (asyncio.shield(working) if executor is None else working)
            except asyncio.CancelledError:
                while not (begun.cancel() or working.done()):
                    with suppress(asyncio.CancelledError):
                        await asyncio.wait([working])
                raise
        return results.pop()
    finally:
        begun.cancel()  # where no thread could be started, it must not run later
        limiter.release_on_behalf_of(borrower)


async def fetch_all(
    fetches: Iterable[Callable[[], Awaitable[object]]], concurrency: int, refused: Iterable[PlanetError] = ()
) -> None:
    """Run all, at most `concurrency` at a time.

    A PlanetError does not stop the others: the first one is raised in the end, with the others, and those
    `refused` before, in its notes.  Any other error, such as that of a callback, is raised at once.
    """
    errors = [*refused]
    limit = anyio.CapacityLimiter(concurrency)

    async def act(fetch: Callable[[], Awaitable[object]]) -> None:
        async with limit:
            try:
                await fetch()
            except PlanetError as error:
                errors.append(error)

    async with open_task_group() as group:
        for fetch in fetches:
            group.start_soon(act, fetch)
    if group.cancel_scope.cancel_called:
        errors.append(cancelled_externally())
    if errors:
        for other in errors[1:]:
            errors[0].add_note(f"also: {other}")
        raise errors[0]
