"""`in_thread`: work that blocks, done in a thread that is never left behind."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Generic, TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread

from planet_async._background import on_asyncio
from planet_async.errors import PlanetError

T = TypeVar("T")


async def in_thread(
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
