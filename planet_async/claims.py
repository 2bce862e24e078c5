"""`Claims`: who created what, so that one thing has one caller, and what is being created, by name."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
from attrs import define, field

from planet_async.clock import Clock

MARGIN = 10.0
"""Seconds that the clocks of a service's machines may differ by."""


@define(eq=False)
class Lost:
    """A create without an answer: what was asked for, and when it was sent and failed (monotonic)."""

    asked: Mapping[str, Any]
    sent: float
    failed: float


@define(eq=False)
class Name:
    """The creates of one name: many are sent side by side, but what became of a lost one is settled alone."""

    lost: list[Lost] = field(factory=list)
    users: int = 0
    _sending: int = 0
    _gate: anyio.Lock = field(factory=lambda: anyio.Lock(fast_acquire=True))
    _idle: anyio.Event = field(factory=anyio.Event)

    @asynccontextmanager
    async def sending(self) -> AsyncIterator[None]:
        """Send, beside others, but not while one of that name is being settled."""
        async with self._gate:
            self._sending += 1
        try:
            yield
        finally:
            self._sending -= 1
            if not self._sending:
                self._idle.set()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Keep others of that name from being sent, once those under way have their answer."""
        async with self._gate:
            while self._sending:
                self._idle = anyio.Event()
                await self._idle.wait()
            yield


class Claims:
    """What was and is being created of one kind, by all clients of a credential in an event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._names: dict[str, Name] = {}
        self._begun: dict[object, float] = {}  # creates under way, the oldest first
        self._known: dict[str, float] = {}  # ids that have their caller, and since when, the oldest first

    def __contains__(self, id_: str) -> bool:
        return id_ in self._known

    def add(self, ids: Iterable[str]) -> None:
        """Note that these have their caller."""
        now = self._clock.monotonic()
        for id_ in ids:
            self._known.pop(id_, None)
            self._known[id_] = now
        # What was answered well before the oldest create under way was sent, that one cannot be.
        old = next(iter(self._begun.values()), now) - 2 * MARGIN
        while self._known and next(iter(self._known.values())) < old:
            del self._known[next(iter(self._known))]

    def remove(self, id_: str) -> None:
        """Note that this one has lost its caller, and is to be found again."""
        self._known.pop(id_, None)

    @asynccontextmanager
    async def using(self, text: str) -> AsyncIterator[Name]:
        """Give what is known of a name while something of that name is being created."""
        name = self._names.setdefault(text, Name())
        name.users += 1
        token = object()
        self._begun[token] = self._clock.monotonic()
        try:
            yield name
        finally:
            del self._begun[token]
            name.users -= 1
            if not name.users:
                del self._names[text]
