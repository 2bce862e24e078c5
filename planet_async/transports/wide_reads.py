"""`WideReads`: a network for httpcore that hands on all that has arrived at a time.

httpcore asks for 64 KB.  asyncio reads four times as much; to cut that up, and take every step of the
protocol for each part, is half of what a download costs.
"""

import ssl
from collections.abc import Iterable
from typing import Any

import httpcore

_READ = 1 << 18  # bytes
_ALL_READ = 3 << 19  # bytes that all connections together may hand on at a time: it is memory


class WideReads(httpcore.AsyncNetworkBackend):
    """Opens connections as the network inside does."""

    def __init__(self, inner: httpcore.AsyncNetworkBackend) -> None:
        self._inner = inner
        self.open = 0

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect."""
        stream = await self._inner.connect_tcp(host, port, timeout, local_address, socket_options)
        return _Stream(self, stream)


class _Stream(httpcore.AsyncNetworkStream):
    def __init__(self, network: WideReads, inner: httpcore.AsyncNetworkStream) -> None:
        self._network = network
        self._inner = inner
        self._is_open = True
        network.open += 1

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        share = min(_READ, _ALL_READ // max(self._network.open, 1))
        return await self._inner.read(max(max_bytes, share), timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        self._network.open -= self._is_open
        self._is_open = False
        await self._inner.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        self._inner = await self._inner.start_tls(ssl_context, server_hostname, timeout)
        return self

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
