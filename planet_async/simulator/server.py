"""`serve`: the simulator on two loopback sockets, since the storage is another origin than the API.

Needs uvicorn and httptools: ``pip install "planet-async[simulator]"``.
"""

import asyncio
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, MutableMapping
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from typing import Any

import uvicorn
from anyio.from_thread import start_blocking_portal
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from planet_async.errors import PlanetError
from planet_async.simulator.http import Dropped, Hung, Origin, ServerRequest, ServerResponse
from planet_async.simulator.simulator import Simulator

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class App:
    """An ASGI application: one origin of a simulator, the API or the storage.

    Any ASGI server can run it, but only `serve` passes the connection that a fault breaks, as
    ``scope["state"]["connection"]``: elsewhere a
    dropped one is a ConnectionResetError from the app, for which servers respond 500.
    """

    def __init__(self, simulator: Simulator, where: Origin = "api") -> None:
        self._simulator = simulator
        self._where = where

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            raise NotImplementedError(f"the simulator serves HTTP only, not {scope['type']}")
        method = scope["method"]
        request = ServerRequest(
            self._where,
            method,
            scope["raw_path"].decode("ascii"),
            scope["query_string"].decode("ascii"),
            {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
            b"" if method in {"GET", "HEAD"} else await _whole_body(receive),
        )
        connection: asyncio.Transport | None = scope.get("state", {}).get("connection")
        try:
            response = await self._simulator.respond(request)
        except Dropped:
            if connection is None:
                raise ConnectionResetError("dropped by the simulator") from None
            connection.abort()  # what has been received cannot be refused any more: `refused` drops too
            await _disconnected(receive)
        except Hung:
            await _disconnected(receive)
        else:
            try:
                await self._send(response, method, send, connection)
            except Dropped:
                if connection is not None:
                    connection.close()
                    await _disconnected(receive)

    async def _send(
        self, response: ServerResponse, method: str, send: Send, connection: asyncio.Transport | None
    ) -> None:
        headers = [
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in response.all_headers.items()
        ]
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        if response.is_plain:
            await send({"type": "http.response.body", "body": response.body})
            return
        for chunk in response.chunks() if method != "HEAD" else ():
            if connection is not None and connection.is_closing():
                break
            if response.pause:
                await self._simulator.clock.sleep(response.pause)
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body"})


async def _whole_body(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    return body


async def _disconnected(receive: Receive) -> None:
    """Wait until the client is: a server treats an app that returns early as broken."""
    while (await receive())["type"] != "http.disconnect":
        pass


_BACKLOG = 2048
_KEEP_ALIVE_SECONDS = 75
_ORIGINS: tuple[Origin, Origin] = ("api", "storage")


@contextmanager
def serve(
    simulator: Simulator, *, host: str = "127.0.0.1", port: int = 0, storage_port: int = 0
) -> Generator[str]:
    """Serve the simulator from a thread of its own.

    The simulator's links lead to these sockets while it is served.

        with serve(Simulator(limits=Limits.unlimited())) as url:
            ...  # any client: Planet(Config(base_url=url), credentials=ApiKey("any"))

    Args:
        simulator: What to serve.
        host: The address to listen on.
        port: The port of the API; 0 takes a free one.
        storage_port: The port of the storage.

    Yields:
        The base URL of the API.

    Raises:
        PlanetError: A port is not free.
    """
    with start_blocking_portal("asyncio") as portal:
        served = serving(simulator, host=host, port=port, storage_port=storage_port)
        with portal.wrap_async_context_manager(served) as url:
            yield url


@asynccontextmanager
async def serving(
    simulator: Simulator, *, host: str = "127.0.0.1", port: int = 0, storage_port: int = 0
) -> AsyncGenerator[str]:
    """Serve the simulator from this event loop, which must be asyncio's; otherwise as `serve`."""
    with ExitStack() as sockets:
        listeners = [sockets.enter_context(_listener(host, number)) for number in (port, storage_port)]
        urls = [f"http://{host}:{listener.getsockname()[1]}" for listener in listeners]
        state = ServerState()
        servers = [
            await _listen(_App(simulator, where), listener, state)
            for where, listener in zip(_ORIGINS, listeners, strict=True)
        ]
        before = simulator.base_url, simulator.storage_url
        simulator.move_to(*urls)
        try:
            yield urls[0]
        finally:
            for server in servers:
                server.close()
            await _hang_up(state)
            simulator.move_to(*before)


class _App(App):
    """Ends silently when the server stops during a request; uvicorn would log the cancellation."""

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        with suppress(asyncio.CancelledError):
            await super().__call__(scope, receive, send)


class _Protocol(HttpToolsProtocol):
    """uvicorn's protocol, which also lets the app break the connection, and never logs a request."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.access_log = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # asyncio does so only for sockets created with a protocol; without it each response takes 40 ms.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.app_state = {"connection": transport}


def _listener(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), backlog=_BACKLOG)
    except OSError as error:
        raise PlanetError(
            f"cannot listen on {host}:{port}: {error.strerror}", hint="Use another port."
        ) from error


async def _listen(app: _App, listener: socket.socket, state: ServerState) -> asyncio.Server:
    # uvicorn's own Server checks ten times a second whether to stop, and takes as long to do so.
    config = uvicorn.Config(
        app,
        http=_Protocol,
        interface="asgi3",
        lifespan="off",
        log_config=None,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        ws="none",
    )
    config.load()
    loop = asyncio.get_running_loop()
    return await loop.create_server(
        lambda: _Protocol(config=config, server_state=state, app_state={}), sock=listener, backlog=_BACKLOG
    )


async def _hang_up(state: ServerState) -> None:
    """Abort the requests that are still served: those that hang or are slow on purpose have no end."""
    for connection in list(state.connections):
        connection.transport.abort()
    await asyncio.sleep(0)  # now the protocols, and the apps that wait for it, see the disconnection
    tasks = list(state.tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
