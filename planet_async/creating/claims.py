"""`Claims`: who created what, so that one thing has one caller, and what is being created, by name."""

from collections.abc import AsyncIterator, Hashable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
from anyio.lowlevel import RunVar
from attrs import define, field

from planet_async.clock import Clock
from planet_async.errors import PlanetError

MARGIN = 10.0
"""Seconds that the clocks of a service's machines may differ by."""

_AT_ONCE = 20
_IN_VAIN = 50.0  # times that a service which answers nothing is asked: by a job, through a minute's outage
_EARNED = 0.04  # times more, then, for each answer that it loses: a few hundredths more load, not six times
_WAITED = 0.008  # and for each time that one does not ask, so that of many who wait some do


@define(eq=False)
class Lost:
    """A create without an answer: what was asked for, when it was sent and failed (monotonic), and how."""

    asked: Mapping[str, Any]
    sent: float
    failed: float
    cause: PlanetError | None = None


@define(eq=False)
class Name:
    """The creates of one name: many are sent side by side, but what became of a lost one is settled alone."""

    lost: list[Lost] = field(factory=list)
    users: int = 0
    _sending: int = 0
    _gate: anyio.Lock = field(factory=lambda: anyio.Lock(fast_acquire=True))
    _idle: anyio.Event = field(factory=anyio.Event)

    @property
    def is_taken(self) -> bool:
        """Whether what became of one is being found out, so that others wait."""
        return self._gate.locked()

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
    """What was and is being created of one kind, by all clients of an address in an event loop.

    It also knows whether asking what became of one is of use: in `asking`, ask if you `may_ask`.
    """

    def __init__(self, clock: Clock) -> None:
        self.asking = anyio.Semaphore(_AT_ONCE, fast_acquire=True)
        self._clock = clock
        self._asks_left = _IN_VAIN
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

    def may_ask(self) -> bool:
        """Whether to ask: not where all that asked of late heard nothing, unless it is time for one more."""
        if self._asks_left < 1:
            self._asks_left += _WAITED
            return False
        self._asks_left -= 1  # until the service answers
        return True

    def lost_one(self) -> None:
        """Note that the answer to a create was lost."""
        self._asks_left = min(_IN_VAIN, self._asks_left + _EARNED)

    def answered(self) -> None:
        """Note that the service is there."""
        self._asks_left = _IN_VAIN

    @property
    def is_past(self) -> bool:
        """Whether nothing is under way, and what was created is too old to be taken for something else."""
        newest = next(reversed(self._known.values()), None)
        return not self._begun and (newest is None or newest < self._clock.monotonic() - 2 * MARGIN)

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


def claims_here(clock: Clock, address: Hashable, noun: str) -> Claims:
    """Give the claims on one kind of thing at an address, in this event loop and by that clock.

    They outlive the client, since the next one may create something alike a second later.
    """
    kept = _kept.get(None)
    if kept is None:
        _kept.set(kept := {})
    key = (_hashable(clock), address, noun)
    found = kept.get(key)
    if found is None:
        for past in [place for place, claims in kept.items() if claims.is_past]:
            del kept[past]
        found = kept[key] = Claims(clock)
    return found


def _hashable(clock: object) -> Hashable:
    try:
        hash(clock)
    except TypeError:
        return id(clock)  # which stays its own: the claims hold it
    return clock


_kept: RunVar[dict[Hashable, Claims]] = RunVar("planet_async.creating.claims")
