"""The simulator as an ASGI application, with connections that really break when a fault wants it."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

from planet_async.simulator.exchange import Answer, Call, Dropped, Hung, Origin
from planet_async.simulator.simulator import Simulator

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Connection(Protocol):
    """What the app does to a connection; `serve` hands one in as ``scope["state"]["connection"]``."""

    def abort(self) -> None:
        """Break off at once."""

    def close(self) -> None:
        """Close when all is sent."""

    def is_closing(self) -> bool:
        """Tell whether there is nobody left to send to."""


class App:
    """Serves one origin of a simulator: the API or, next to it, the storage.

    Any ASGI server will do, but only `serve` hands in the connection that a fault breaks: elsewhere a dropped
    one is a ConnectionResetError out of the app, which servers answer with a 500.
    """

    def __init__(self, simulator: Simulator, where: Origin = "api") -> None:
        self._simulator = simulator
        self._where = where

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            raise NotImplementedError(f"the simulator serves HTTP only, not {scope['type']}")
        method = scope["method"]
        call = Call(
            self._where,
            method,
            scope["raw_path"].decode("ascii"),
            scope["query_string"].decode("ascii"),
            {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
            b"" if method in {"GET", "HEAD"} else await _whole_body(receive),
        )
        connection: Connection | None = scope.get("state", {}).get("connection")
        try:
            answer = await self._simulator.answer(call)
        except Dropped:
            if connection is None:
                raise ConnectionResetError("dropped by the simulator") from None
            connection.abort()  # what has been received cannot be refused any more: `refused` drops too
            await _gone(receive)
        except Hung:
            await _gone(receive)
        else:
            await _send(answer, method, send, connection)
            if answer.cut is not None and connection is not None:
                connection.close()
                await _gone(receive)


async def _whole_body(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    return body


async def _gone(receive: Receive) -> None:
    """Wait until the client is: a server takes an app that returns early for broken."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send(answer: Answer, method: str, send: Send, connection: Connection | None) -> None:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.items()]
    headers.append((b"content-length", str(answer.length).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    if isinstance(answer.body, bytes) and answer.cut is None:
        await send({"type": "http.response.body", "body": answer.body})
        return
    left = answer.length if answer.cut is None else min(answer.cut, answer.length)
    for chunk in answer.chunks() if method != "HEAD" else ():
        if left <= 0 or (connection is not None and connection.is_closing()):
            break
        await send({"type": "http.response.body", "body": chunk[:left], "more_body": True})
        left -= len(chunk)
    if answer.cut is None:
        await send({"type": "http.response.body"})
