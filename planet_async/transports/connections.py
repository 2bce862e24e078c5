"""`Connections`: those of httpcore, which is the part of httpx that speaks HTTP, without its pool.

The pool looks at all connections several times a request, which at a hundred requests at once takes more time
than all the rest.  Here a request looks for one to its own origin, and looks once.
"""

import ssl
from collections import Counter
from collections.abc import Iterator

import httpcore

from planet_async._background import on_asyncio
from planet_async.transports.outgoing import Key
from planet_async.transports.trust import Trust
from planet_async.transports.wide_reads import WideReads, close_all

_KEPT_SECONDS = 5.0  # that an idle connection is kept: most servers keep theirs longer

Connection = httpcore.AsyncHTTPConnection


class Connections:
    """Connections by origin (scheme, host, port), of which at most `most` are kept.

    One to a server that speaks HTTP/2 carries many requests at a time, any other carries one.
    """

    def __init__(self, most: int, *, http2: bool) -> None:
        self._most = most
        self._trust = Trust()
        self._http2 = http2
        self._backend: WideReads | None = None
        self._kept: dict[Key, list[Connection]] = {}
        self._beginning = Counter[Connection]()  # requests on each that have no answer yet

    async def send(
        self, origin: Key, request: httpcore.Request, *, repeatable: bool
    ) -> tuple[httpcore.Response, Connection]:
        """Send, over the connection that was used last where there is one, and else over a new one.

        Whoever is cancelled while closing the response has to `let_go` of the connection.
        """
        secure = origin[0] == "https"
        shared = self._http2 and secure
        trusted = await self._trust.context() if secure else None
        while True:
            connection = self._find(origin, shared, repeatable) or await self._open(
                origin, request.url.origin, trusted
            )
            self._beginning[connection] += 1  # it looks idle until it has begun
            try:
                return await connection.handle_async_request(request), connection
            except httpcore.ConnectionNotAvailable:
                continue  # a new one that might have been HTTP/2, and is not; nothing was sent
            except BaseException as error:
                alone = not shared or (self._beginning[connection] == 1 and _is_new(connection))
                if alone or _is_confused(error):
                    await self.let_go(connection)
                raise
            finally:
                self._beginning[connection] -= 1
                if not self._beginning[connection]:
                    del self._beginning[connection]

    async def let_go(self, connection: Connection) -> None:
        """Close one that nobody can use: a cancellation of asyncio also strikes where httpcore tidies up."""
        await close_all([connection])

    async def aclose(self) -> None:
        """Close all."""
        kept = [*self._all()]
        self._kept.clear()
        await close_all(kept)
        if self._backend is not None:
            await self._backend.aclose()

    def _find(self, origin: Key, shared: bool, repeatable: bool) -> Connection | None:
        for connection in reversed(self._kept.get(origin, ())):
            free = connection.is_available() and (shared or connection not in self._beginning)
            if free and not _is_stale(connection) and (repeatable or not shared or _is_quiet(connection)):
                return connection
        return None

    async def _open(self, origin: Key, theirs: httpcore.Origin, trusted: ssl.SSLContext | None) -> Connection:
        if self._backend is None:
            self._backend = WideReads(httpcore.AnyIOBackend() if on_asyncio() else httpcore.TrioBackend())
        useless = [*self._useless()]
        for origins in self._kept.values():
            origins[:] = [one for one in origins if one not in useless]
        connection = Connection(
            theirs,
            ssl_context=trusted,
            keepalive_expiry=_KEPT_SECONDS,
            http2=self._http2,
            network_backend=self._backend,
        )
        kept = self._kept.setdefault(origin, [])
        kept.append(connection)
        try:
            await close_all(useless)
        except BaseException:
            if connection not in self._beginning:
                kept.remove(connection)
            raise
        return connection

    def _useless(self) -> Iterator[Connection]:
        """Give those that are of no use any more, and where there are too many, one more that is idle."""
        too_many = len([*self._all()]) - self._most
        idle: list[Connection] = []
        for connection in self._all():
            if connection in self._beginning:
                continue  # one that others wait for looks closed when one of them gives up
            if connection.is_closed() or (connection.is_idle() and _is_stale(connection)):
                too_many -= 1
                yield connection
            elif connection.is_idle():
                idle.append(connection)
        if too_many >= 0:
            yield from idle[: too_many + 1]

    def _all(self) -> Iterator[Connection]:
        for connections in self._kept.values():
            yield from connections


def _is_confused(error: BaseException) -> bool:
    """Tell whether httpcore met what it does not expect of itself.

    A connection of HTTP/2 whose first request is cancelled while it is set up counts its streams wrongly.
    """
    return isinstance(error, Exception) and not type(error).__module__.startswith("httpcore")


def _is_new(connection: Connection) -> bool:
    return ", NEW," in connection.info()  # nothing else of httpcore tells it


def _is_stale(connection: Connection) -> bool:
    """Tell whether an idle one is not to be used: it is old, closed, or has said more than it was asked.

    What follows an answer would be taken for the answer to the next request.
    """
    if connection.has_expired():
        return True
    state = getattr(getattr(connection, "_connection", None), "_h11_state", None)  # httpcore does not look
    return state is not None and state.trailing_data[0] != b""


def _is_quiet(connection: Connection) -> bool:
    """Tell whether nothing came on an idle one that speaks HTTP/2, for it may be that the server hung up."""
    stream = getattr(getattr(connection, "_connection", None), "_network_stream", None)
    return stream is None or not connection.is_idle() or not stream.get_extra_info("is_readable")
