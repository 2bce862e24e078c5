"""`WideReads`: a network for httpcore that hands on all that has arrived at a time, and knows what is open.

httpcore asks for 64 KB.  asyncio reads four times as much; to cut that up, and take every step of the
protocol for each part, is half of what a download costs.
"""

import ssl
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import anyio
import httpcore

_CLOSE_SECONDS = 2.0  # a peer that does not even let us hang up is not waited for
_READ = 1 << 18  # bytes
_ALL_READ = 7 << 18  # bytes that all connections together may hand on at a time: it is memory


class WideReads(httpcore.AsyncNetworkBackend):
    """Opens connections as the network inside does."""

    def __init__(self, inner: httpcore.AsyncNetworkBackend) -> None:
        self._inner = inner
        self._closed = False
        self.open: set[httpcore.AsyncNetworkStream] = set()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect."""
        stream = _Stream(
            self, await self._inner.connect_tcp(host, port, timeout, local_address, socket_options)
        )
        if self._closed:
            await close_all([stream])
            raise httpcore.ConnectError("it was closed meanwhile")
        return stream

    async def aclose(self) -> None:
        """Close what is open, also what httpcore has not made a connection of; and what is being opened."""
        self._closed = True
        await close_all(self.open)


async def close_all(these: Iterable[httpcore.AsyncNetworkStream | httpcore.AsyncHTTPConnection]) -> None:
    """Close them all, also while being cancelled: asyncio can do so in spite of the shield, once."""
    failure: BaseException | None = None
    with anyio.CancelScope(shield=True):
        for one in [*these]:
            try:
                with anyio.move_on_after(_CLOSE_SECONDS):
                    await one.aclose()
            except BaseException as error:  # noqa: BLE001 - raised below
                failure = error
    if failure is not None:
        raise failure


class _Stream(httpcore.AsyncNetworkStream):
    def __init__(self, network: WideReads, inner: httpcore.AsyncNetworkStream) -> None:
        self._network = network
        self._inner = inner
        network.open.add(self)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        share = min(_READ, _ALL_READ // max(len(self._network.open), 1))
        try:
            data = await self._inner.read(max(max_bytes, share), timeout)
            return data + _decrypted(self._inner) if data else data
        except ssl.SSLError as error:  # httpcore lets it pass, on asyncio
            raise httpcore.ReadError(error.reason or "broken TLS") from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        try:
            await self._inner.write(buffer, timeout)
        except ssl.SSLError as error:
            raise httpcore.WriteError(error.reason or "broken TLS") from error

    async def aclose(self) -> None:
        self._network.open.discard(self)
        await self._inner.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        try:
            self._inner = await self._inner.start_tls(ssl_context, server_hostname, timeout)
        except BaseException:  # cancelled too, where httpcore would leave it open
            await close_all([self])
            raise
        return self

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _decrypted(stream: httpcore.AsyncNetworkStream) -> bytes:
    """Give what TLS has besides, which it would keep until somebody reads again.

    What follows an answer would be taken for the next one: that nothing has come is asked of the system.
    """
    secured, found = stream.get_extra_info("ssl_object"), list[bytes]()
    if secured is not None:
        with suppress(ssl.SSLError):  # there is no more, or what is wrong the next read tells again
            while piece := secured.read(_READ):
                found.append(piece)
    return b"".join(found)
