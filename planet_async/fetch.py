"""`Fetch`: a page under way, in a task of its own, so that others can be under way beside it."""

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import anyio

from planet_async.http import Request
from planet_async.page import Page

T = TypeVar("T")
Peek = Callable[[bytes], None]


class Fetch(Generic[T]):
    """A page under way: its start as soon as there is one, and all of it."""

    def __init__(self, request: Request, fetch: Callable[[Request, Peek], Awaitable[Page[T]]]) -> None:
        self.request = request
        self._fetch = fetch
        self._start = b""
        self._page: Page[T] | None = None
        self._error: Exception | None = None
        self._scope = anyio.CancelScope()
        self._begun = anyio.Event()
        self._done = anyio.Event()

    async def run(self) -> None:
        """Fetch it; what goes wrong is told to who asks for the result."""
        try:
            with self._scope:
                self._page = await self._fetch(self.request, self._peek)
        except Exception as error:  # noqa: BLE001 - kept for whose turn it is, who raises it
            self._error = error
        self._begun.set()
        self._done.set()

    def cancel(self) -> None:
        """Give it up: nobody will ask for it."""
        self._scope.cancel()

    def _peek(self, start: bytes) -> None:
        self._start = start
        self._begun.set()

    async def start(self) -> bytes:
        """Wait for its first bytes, and give them if they came before the others."""
        await self._begun.wait()
        return self._start

    async def result(self) -> Page[T]:
        """Wait for all of it, and hand it over or raise what went wrong; once."""
        await self._done.wait()
        page, error = self._page, self._error
        self._page = self._error = None  # a request that is kept keeps this, and an error its frames
        if page is None:
            try:
                raise error or LookupError("no page came")
            finally:
                error = None
        return page
