"""`Connections`: those of httpcore, which is the part of httpx that speaks HTTP, without its pool.

The pool looks at all connections several times a request, which at a hundred requests at once takes more time
than all the rest.  Here a request looks for one to its own origin, and looks once.
"""

import ssl
from collections.abc import Iterator

import anyio
import httpcore

from planet_async._background import on_asyncio
from planet_async.transports.wide_reads import WideReads

_KEPT_SECONDS = 5.0  # that an idle connection is kept: most servers keep theirs longer
_CLOSE_SECONDS = 2.0  # a peer that does not even let us hang up is not waited for

Key = tuple[str, str, int]
Connection = httpcore.AsyncHTTPConnection


class Connections:
    """Connections by origin (scheme, host, port), of which at most `most` are kept.

    One to a server that speaks HTTP/2 carries many requests at a time, any other carries one.
    """

    def __init__(self, most: int, trusted: ssl.SSLContext, *, http2: bool) -> None:
        self._most = most
        self._trusted = trusted
        self._http2 = http2
        self._backend: httpcore.AsyncNetworkBackend | None = None
        self._kept: dict[Key, list[Connection]] = {}
        self._taken: set[Connection] = set()

    async def send(self, origin: Key, request: httpcore.Request) -> httpcore.Response:
        """Send, over the connection that was used last where there is one, and else over a new one."""
        shared = self._http2 and origin[0] == "https"
        while True:
            connection = self._find(origin) or await self._open(origin, request.url.origin)
            if not shared:
                self._taken.add(connection)  # it looks idle until it has begun
            try:
                return await connection.handle_async_request(request)
            except httpcore.ConnectionNotAvailable:
                continue  # a new one that might have been HTTP/2, and is not; nothing was sent
            finally:
                self._taken.discard(connection)

    async def aclose(self) -> None:
        """Close all."""
        kept = [*self._all()]
        self._kept.clear()
        await _close(kept)

    def _find(self, origin: Key) -> Connection | None:
        for connection in reversed(self._kept.get(origin, ())):
            free = connection.is_available() and connection not in self._taken
            if free and not connection.has_expired():
                return connection
        return None

    async def _open(self, origin: Key, theirs: httpcore.Origin) -> Connection:
        if self._backend is None:
            network = httpcore.AnyIOBackend() if on_asyncio() else httpcore.TrioBackend()
            self._backend = WideReads(network)
        connection = Connection(
            theirs,
            ssl_context=self._trusted,
            keepalive_expiry=_KEPT_SECONDS,
            http2=self._http2,
            network_backend=self._backend,
        )
        useless = [*self._useless()]
        for origins in self._kept.values():
            origins[:] = [one for one in origins if one not in useless]
        self._kept.setdefault(origin, []).append(connection)
        await _close(useless)
        return connection

    def _useless(self) -> Iterator[Connection]:
        """Give those that are of no use any more, and where there are too many, one more that is idle."""
        too_many = len([*self._all()]) - self._most
        idle: list[Connection] = []
        for connection in self._all():
            if connection.is_closed() or (connection.is_idle() and connection.has_expired()):
                too_many -= 1
                yield connection
            elif connection.is_idle() and connection not in self._taken:
                idle.append(connection)
        if too_many >= 0:
            yield from idle[: too_many + 1]

    def _all(self) -> Iterator[Connection]:
        for connections in self._kept.values():
            yield from connections


async def _close(connections: list[Connection]) -> None:
    """Close them, also while being cancelled."""
    with anyio.CancelScope(shield=True):
        for connection in connections:
            with anyio.move_on_after(_CLOSE_SECONDS):
                await connection.aclose()
