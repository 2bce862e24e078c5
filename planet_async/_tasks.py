"""Work that goes on while the caller does something else: a producer, in one task, read as an async iterator.

A list fetches its next page while the caller handles this one; a batch downloads while the caller looks at
what has arrived.  A task group cannot do that, since none may be open across a ``yield`` (PEP 789), so the
task belongs to the iterator: it is cancelled when the iterator is closed or dropped (a `break` drops it).
"""

import asyncio
import contextvars
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Generic, TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread

from planet_async.errors import PlanetError

T = TypeVar("T")
Send = Callable[[T], Awaitable[None]]
"""Takes the next item to the reader of a stream; returns when there is room for another one."""

Produce = Callable[[Send[T]], Awaitable[None]]


def cancelled_externally() -> PlanetError:
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


class BackgroundIterator(AsyncIterator[T]):
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
        self.error: Exception | None = cancelled_externally()  # unless it comes to its end
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


async def run_in_thread(
    act: Callable[..., T], *arguments: object, limiter: anyio.CapacityLimiter | None = None
) -> T:
    """Run in a thread; return, or be cancelled, only when it has ended.

    anyio by itself does so for its own cancellation.  That of asyncio (`task.cancel()`, `asyncio.timeout`,
    and the end of `asyncio.run`, as after Ctrl-C) would leave the thread at work on a file that the caller
    then closes.  What has no `limiter` of its own waits while forty others are at work.  Raises what `act`
    raises, and PlanetError where the system has no thread left.
    """
    call = partial(act, *arguments)
    try:
        return await _in_thread(call, limiter)
    except RuntimeError as error:
        if "start new thread" not in str(error):
            raise
        raise PlanetError("the system allows no more threads", hint="Do less at a time.") from error


async def _in_thread(call: Callable[[], T], limiter: anyio.CapacityLimiter | None) -> T:
    if not on_asyncio():
        return await anyio.to_thread.run_sync(call, limiter=limiter)
    await anyio.lowlevel.checkpoint()
    work = _Work(call)
    try:
        return await anyio.to_thread.run_sync(work.do, limiter=limiter)
    except asyncio.CancelledError:
        ended = work.give_up()
        with anyio.CancelScope(shield=True):
            while ended is not None and not ended.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([ended])
        raise


class _Work(Generic[T]):
    """Something for a thread to do, unless it is given up before that has begun."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._lock = threading.Lock()
        self._given_up = self._is_under_way = False
        self._tell: Callable[[], object] | None = None

    def do(self) -> T:
        with self._lock:
            if self._given_up:
                raise RuntimeError("it was given up")  # to nobody
            self._is_under_way = True
        try:
            return self._call()
        finally:
            with self._lock:
                self._is_under_way = False
                if self._tell is not None:
                    self._tell()

    def give_up(self) -> "asyncio.Future[None] | None":
        """Begin no more; give what is done when the thread has ended, if it is at work."""
        loop = asyncio.get_running_loop()
        with self._lock:
            self._given_up = True
            if not self._is_under_way:
                return None
            ended: asyncio.Future[None] = loop.create_future()
            self._tell = partial(loop.call_soon_threadsafe, ended.set_result, None)
            return ended


async def fetch_all(
    fetches: Iterable[Callable[[], Awaitable[object]]], concurrency: int, refused: Iterable[PlanetError] = ()
) -> None:
    """Do all, at most `concurrency` at a time.

    Raises the first PlanetError in the end, with the others, and those `refused` before, in its notes; and
    any other error, such as that of a callback, at once, as it is.
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
