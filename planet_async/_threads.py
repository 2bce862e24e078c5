"""`in_thread`: work that blocks, done in a thread that is never left behind."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread

from planet_async._background import on_asyncio

T = TypeVar("T")


async def in_thread(act: Callable[..., T], *arguments: object) -> T:
    """Run in a thread; return, or be cancelled, only when it has ended.

    anyio by itself does so for its own cancellation.  That of asyncio (`task.cancel()`, `asyncio.timeout`)
    would leave the thread at work on a file that the caller then closes.
    """
    call = partial(act, *arguments)
    if not on_asyncio():
        return await anyio.to_thread.run_sync(call)
    await anyio.lowlevel.checkpoint()
    work = asyncio.ensure_future(anyio.to_thread.run_sync(call))
    cancelled: asyncio.CancelledError | None = None
    with anyio.CancelScope(shield=True):
        while not work.done():
            try:
                await asyncio.wait([work])
            except asyncio.CancelledError as error:
                cancelled = error
    if cancelled is not None:
        if not work.cancelled():
            work.exception()  # has been seen now: asyncio would log it
        raise cancelled
    return work.result()
