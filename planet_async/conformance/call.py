"""The transport under test, made and closed, and the request that most checks send."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from planet_async.config import Config
from planet_async.http import Request, Transport

Make = Callable[[Config], Transport]
"""Makes the transport under test."""

SHORT = 0.05  # seconds of a timeout that a check waits for


@asynccontextmanager
async def opened(
    make: Make, *, max_connections: int = 16, connect_timeout: float = 10.0, read_timeout: float = 10.0
) -> AsyncIterator[Transport]:
    """Make the transport, and close it in the end."""
    config = Config(
        max_connections=max_connections,
        max_downloads=max_connections,
        connect_timeout=connect_timeout,
        read_timeout=read_timeout,
    )
    transport = make(config)
    try:
        yield transport
    finally:
        await transport.aclose()


def get(url: str) -> Request:
    """Make a request for an answer that is streamed."""
    return Request("GET", url, operation="conformance.get", stream=True)


async def fetch(transport: Transport, url: str) -> bytes:
    """Send, and read the answer whole."""
    return await (await transport.send(get(url))).read()
