"""Cancellation: at whichever point, nothing is held afterwards, and nothing goes on."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from itertools import count
from typing import Any

import anyio

from planet_async._background import on_asyncio
from planet_async.conformance.call import Make, fetch, get, opened
from planet_async.conformance.loopback import OK, Loopback, Received, Say, loopback, saying
from planet_async.conformance.promise import eventually, expect, settle
from planet_async.http import Request, Transport


async def cancelled_anywhere_nothing_is_held(make: Make) -> None:
    """Sending, reading, or leaving half way: the only connection there may be is free for the next."""
    async with loopback(saying(OK)) as server, opened(make, max_connections=1) as transport:
        await settle()
        before = _others(server)

        async def read() -> None:
            await fetch(transport, server.url)

        async def post() -> None:
            await (await transport.send(Request("POST", server.url, body=b"{}"))).read()

        async def leave() -> None:
            response = await transport.send(get(server.url))
            try:
                async for _ in response.chunks():
                    break
            finally:
                await response.aclose()

        async def check() -> None:
            await eventually(lambda: _others(server) <= before, "no task goes on after its caller")
            expect(await fetch(transport, server.url) == b"ok", "the next request is answered")

        for call in (read, post, leave):
            steps = await cancelled_at_each_step(call, check)
            expect(steps > 0, "a call can be cancelled where it waits", steps)


async def cancelled_by_asyncio_nothing_is_held(make: Make) -> None:
    """`task.cancel()` and `asyncio.timeout` strike once, also where a library tidies up; on trio, nothing."""
    async with loopback(saying(OK)) as server, opened(make, max_connections=2) as transport:
        for rounds in range(60 if on_asyncio() else 0):
            call = asyncio.create_task(fetch(transport, server.url))
            for _ in range(rounds):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.wait([call])
            await eventually(lambda: server.open <= 1, f"cancelled at round {rounds}, no connection is left")
        expect(await fetch(transport, server.url) == b"ok", "the next request is answered")


async def who_waits_in_line_can_leave(make: Make) -> None:
    """In line for a connection, or waiting for an answer: whoever gives up holds up nobody."""
    arrived = anyio.Event()

    async def script(request: Received, say: Say) -> None:
        if request.target == "/slow":
            arrived.set()
            await anyio.sleep_forever()
        await say(OK)

    async with loopback(script) as server, opened(make, max_connections=1) as transport:
        sending, waiting = anyio.CancelScope(), anyio.CancelScope()
        async with anyio.create_task_group() as group:
            group.start_soon(_within, sending, transport, f"{server.url}/slow")
            await arrived.wait()
            group.start_soon(_within, waiting, transport, server.url)
            await settle()
            waiting.cancel()
            sending.cancel()
        expect(await fetch(transport, server.url) == b"ok", "the next request is answered")
        expect(len(server.requests) == 2, "who left sent nothing", server.requests)  # noqa: PLR2004


async def _within(scope: anyio.CancelScope, transport: Transport, url: str) -> None:
    with scope:
        await fetch(transport, url)


def _others(server: Loopback) -> int:
    """Count the tasks that are not the server's; trio has none without an owner."""
    return len(asyncio.all_tasks()) - server.open if on_asyncio() else 0


async def cancelled_at_each_step(
    call: Callable[[], Coroutine[Any, Any, object]], check: Callable[[], Awaitable[object]]
) -> int:
    """Make the call again and again, cancelled where it waits first, second, ..., until one gets through.

    `check` is awaited after each; the number of places where it was cancelled is returned.
    """
    for step in count():
        with anyio.CancelScope() as scope:
            stepped = Stepped(call(), step, scope.cancel)
            await stepped
        await settle()
        await check()
        if not stepped.reached:
            return step
    raise AssertionError("unreachable")


class Stepped(Awaitable[object]):
    """A coroutine, with something done where it waits for the n-th time."""

    def __init__(self, call: Coroutine[Any, Any, object], step: int, act: Callable[[], None]) -> None:
        self._call = call
        self._left = step
        self._act = act
        self.reached = False

    def __await__(self) -> Generator[Any, Any, object]:
        # Popped: a frame that kept an error would be kept by it, with all that the call held; trio sends its
        # errors, packed.
        sent: list[Any] = [None]
        raised: list[BaseException] = []
        while True:
            try:
                waited_for = self._call.throw(raised.pop()) if raised else self._call.send(sent.pop())
            except StopIteration as end:
                return end.value
            if self._left == 0:
                self.reached = True
                self._act()
            self._left -= 1
            try:
                sent.append((yield waited_for))
            except BaseException as error:  # noqa: BLE001 - all of them are the coroutine's
                raised.append(error)
