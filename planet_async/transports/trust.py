"""`Trust`: the authorities whose certificates are believed, for all transports the same."""

import ssl

import anyio
import certifi

from planet_async._threads import in_thread


class Trust:
    """Certifi's authorities, since those of the system may be missing.

    They are read when the first connection needs them, in a thread: it takes some twenty milliseconds.
    """

    def __init__(self) -> None:
        self._lock = anyio.Lock()
        self._context: ssl.SSLContext | None = None

    async def context(self) -> ssl.SSLContext:
        """Give the context for connections that are checked against them."""
        if self._context is None:
            async with self._lock:
                if self._context is None:
                    self._context = await in_thread(_read)
        return self._context


def _read() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certifi.where())
