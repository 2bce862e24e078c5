"""A server on loopback that does exactly what a check wants: answers, dawdles, breaks off."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import anyio.abc
from attrs import define, field

from planet_async.conformance.promise import Broken

PATIENCE = 10.0  # seconds that a check may take in all
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@define
class Received:
    """A request as it came over the wire; header names in lower case."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """Give the first header of that name."""
        return next((value for key, value in self.headers if key == name), None)


@define
class Loopback:
    """The server: its address, and what it has seen."""

    url: str
    requests: list[Received] = field(factory=list)
    connections: int = 0
    open: int = 0


Say = Callable[[bytes], Awaitable[None]]
Script = Callable[[Received, Say], Awaitable[None]]


class HangUp(Exception):
    """Raised by a script: close the connection."""


def saying(answer: bytes, *, hang_up: bool = False) -> Script:
    """Make the script that answers every request so."""

    async def script(_: Received, say: Say) -> None:
        await say(answer)
        if hang_up:
            raise HangUp

    return script


@asynccontextmanager
async def loopback(script: Script) -> AsyncIterator[Loopback]:
    """Serve by a script; a check that does not end is a promise broken."""
    failure: Exception | None = None
    try:
        with anyio.fail_after(PATIENCE):
            async with (
                await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
                anyio.create_task_group() as group,
            ):
                port = listener.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610 - not Django's
                server = Loopback(f"http://127.0.0.1:{port}")
                group.start_soon(listener.serve, lambda stream: _serve(server, stream, script))
                try:
                    yield server
                except Exception as error:  # noqa: BLE001 - raised below: the group would wrap it
                    failure = error
                group.cancel_scope.cancel()
    except TimeoutError:
        raise Broken(f"it did not end in {PATIENCE:g} seconds") from None
    if failure is not None:
        raise failure


async def _serve(server: Loopback, stream: anyio.abc.SocketStream, script: Script) -> None:
    server.connections += 1
    server.open += 1
    try:
        async with stream:
            rest = b""
            while True:
                request, rest = await _receive(stream, rest)
                server.requests.append(request)
                await script(request, stream.send)
    except (HangUp, anyio.EndOfStream, anyio.BrokenResourceError):
        pass
    finally:
        server.open -= 1


async def _receive(stream: anyio.abc.SocketStream, data: bytes) -> tuple[Received, bytes]:
    while b"\r\n\r\n" not in data:
        data += await stream.receive()
    head, _, data = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    pairs = (line.partition(":") for line in lines)
    request = Received(method, target, [(name.lower(), value.strip()) for name, _, value in pairs], b"")
    length = int(request.header("content-length") or 0)
    while len(data) < length:
        data += await stream.receive()
    request.body = data[:length]
    return request, data[length:]
