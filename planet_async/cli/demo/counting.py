"""`CountingTransport`: what really goes out, by operation."""

from collections import Counter

from planet_async import Request, Response, Transport
from planet_async.http import origin


class CountingTransport:
    """Counts the requests that it passes on; those to another origin than the API's as ``storage.get``."""

    def __init__(self, inner: Transport, base_url: str) -> None:
        self.sent: Counter[str] = Counter()
        self._inner = inner
        self._api = origin(base_url)

    async def send(self, request: Request) -> Response:
        """Count and send."""
        self.sent[request.operation if origin(request.url) == self._api else "storage.get"] += 1
        return await self._inner.send(request)

    async def aclose(self) -> None:
        """Close the transport inside."""
        await self._inner.aclose()
