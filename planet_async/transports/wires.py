"""`Wires`: the connections of one transport, those that are idle for use again."""

import asyncio
import socket
import ssl

import anyio
from aiohappyeyeballs import start_connection

from planet_async.config import Config
from planet_async.transports.outgoing import Key
from planet_async.transports.trust import Trust
from planet_async.transports.wire import Wire

_NEXT_ADDRESS_SECONDS = 0.25  # until another address of the same host is tried beside the first: RFC 8305
_CLOSE_SECONDS = 2.0


class Wires:
    """Makes, keeps and closes them: `Config.max_connections`, as long as no more are in use at a time."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._trust = Trust()
        self._open: set[Wire] = set()
        self._connecting = 0
        self._idle: dict[Key, list[Wire]] = {}
        self.closed = False

    async def take(self, key: Key, *, repeatable: bool) -> Wire:
        """Give an idle one, or a new one.

        Raises OSError, which includes TimeoutError and those of TLS, and UnicodeError for what is no name.
        """
        if not repeatable:
            # The loop hears of those that the server closed, where the system cannot be asked: on Windows.
            for _ in range(2):
                await asyncio.sleep(0)
        idle = self._idle.get(key, [])
        while idle:
            wire = idle.pop()
            if wire.is_usable:
                return wire
            wire.abort()
        return await self._new(key)

    def put_back(self, key: Key, wire: Wire) -> None:
        """Take one that is used no more."""
        if self.closed or not wire.is_usable:
            wire.abort()
        else:
            wire.rest()
            self._idle.setdefault(key, []).append(wire)

    async def aclose(self) -> None:
        """Close all, also those in use, and those that are still being made."""
        self.closed = True
        self._idle.clear()
        ending = [wire.lost for wire in self._open if not wire.lost.done()]
        for wire in self._open:
            wire.abort()
        if ending:
            with anyio.CancelScope(shield=True):
                await asyncio.wait(ending, timeout=_CLOSE_SECONDS)

    async def _new(self, key: Key) -> Wire:
        self._make_room()
        self._connecting += 1
        try:
            async with asyncio.timeout(self._config.connect_timeout):
                wire = await self._connected(*key)
        finally:
            self._connecting -= 1
        self._open.add(wire)
        wire.lost.add_done_callback(lambda _: self._forget(key, wire))
        if self.closed:
            wire.abort()
        return wire

    def _forget(self, key: Key, wire: Wire) -> None:
        """Let go of one that is closed: it may be long until somebody goes there again."""
        self._open.discard(wire)
        idle = self._idle.get(key, [])
        if wire in idle:
            idle.remove(wire)
        if not idle:
            self._idle.pop(key, None)

    def _make_room(self) -> None:
        excess = len(self._open) + self._connecting + 1 - self._config.max_connections
        for idle in self._idle.values():
            while idle and excess > 0:
                idle.pop(0).abort()
                excess -= 1

    async def _connected(self, scheme: str, host: str, port: int) -> Wire:
        loop = asyncio.get_running_loop()
        secure = scheme == "https"
        trusted = await self._trust.context() if secure else None
        addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        opened = await start_connection(addresses, happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS)
        try:
            if trusted is not None:
                return await self._secured(opened, trusted, host)
            _, wire = await loop.create_connection(lambda: Wire(self._config.read_timeout), sock=opened)
        except BaseException:
            opened.close()
            raise
        return wire

    async def _secured(self, opened: socket.socket, trusted: ssl.SSLContext, host: str) -> Wire:
        """Put TLS on it in a step of its own: the wire then knows what is below, where it pauses reading.

        uvloop loses what has come for a paused connection of TLS when the server closes it.
        """
        loop = asyncio.get_running_loop()
        below, _ = await loop.create_connection(asyncio.Protocol, sock=opened)
        wire = Wire(self._config.read_timeout, below)
        try:
            above = await loop.start_tls(below, wire, trusted, server_hostname=host)
        except BaseException:
            below.abort()
            raise
        if above is None or wire.lost.done():  # uvloop does not say so
            raise ConnectionResetError("the server hung up")
        wire.connection_made(above)
        return wire
