"""Creating exactly once: where an answer is lost, what became of the request is found out by asking.

No API of Planet takes a key that would make a POST harmless to repeat.  So a create that may have been acted
on is looked for by its name, from just before it was sent; what is found is adopted, and only where nothing
appears in the time the service needs to list it is the request sent again.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, Generic, Protocol, TypeVar

import anyio
import msgspec
from attrs import define, field, frozen

from planet_async.clock import Clock
from planet_async.config import Config
from planet_async.errors import (
    BodyTooLarge,
    ClientClosed,
    DeadlineExceeded,
    DecodeError,
    PlanetError,
    UnsettledCreate,
)
from planet_async.likeness import Likeness, likeness
from planet_async.models.parse import parsed_object
from planet_async.paging import Page

_MARGIN = 10.0  # seconds that the clocks of a service's machines may differ by
_LOOKS = (0.0, 0.2, 0.5, 1.0)  # when to look, in shares of the delay


class Created(Protocol):
    """What a create gives."""

    @property
    def id(self) -> str:
        """Tells it from all others."""
        ...


T = TypeVar("T", bound=Created)
Pages = AsyncIterator[Page[T]]


@frozen
class Kind(Generic[T]):
    """What is created, and how to ask for it.

    `list_by_name` gives those of one name, newest first; `created` when one was; `shown` what it is like, in
    the words of a request; `identity` names the field that, beside the name, tells two apart.
    """

    noun: str
    identity: str
    list_by_name: Callable[[str], Pages[T]]
    created: Callable[[T], datetime | None]
    shown: Callable[[T], Mapping[str, Any]]


@define(eq=False)
class _Lost:
    """A create without an answer: what was asked for, and when it was sent and failed (monotonic)."""

    asked: Mapping[str, Any]
    sent: float
    failed: float


@define(eq=False)
class _Name:
    """The creates of one name: many are sent side by side, but a lost one is settled alone."""

    users: int = 0
    sending: int = 0
    lost: list[_Lost] = field(factory=list)
    gate: anyio.Lock = field(factory=lambda: anyio.Lock(fast_acquire=True))
    idle: anyio.Event = field(factory=anyio.Event)


class ExactlyOnce(Generic[T]):
    """Creates things of one kind, each exactly once."""

    def __init__(self, kind: Kind[T], config: Config, clock: Clock) -> None:
        self._kind = kind
        self._config = config
        self._clock = clock
        self._names: dict[str, _Name] = {}
        self._begun: dict[object, float] = {}  # creates under way, the oldest first
        self._known: dict[str, float] = {}  # ids that have their caller, and since when, the oldest first

    async def create(self, body: bytes, send: Callable[[], Awaitable[T]]) -> T:
        """Send, and settle what became of it where the answer is lost; `send` posts the JSON `body`."""
        async with self._using(_name_of(body)) as name:
            begun = self._clock.monotonic()
            async with _sending(name):
                try:
                    return self.claim(await send())
                except PlanetError as error:
                    if not _ambiguous(error):
                        raise
                    lost, cause = self._lost(body, begun, error), error
                    name.lost.append(lost)
            try:
                async with _alone(name):
                    return await self._settle(name, lost, send, cause)
            finally:
                name.lost.remove(lost)

    async def find(self, body: bytes, seconds_ago: float, taken: Iterable[str] = ()) -> T | None:
        """Say what became of a create sent that long ago whose answer nobody has, as after a crash.

        None says that it may be sent again.  The ids `taken` are of others.  Raises UnsettledCreate where it
        cannot be told.
        """
        self.claim_ids(taken)
        async with self._using(_name_of(body)) as name, _alone(name):
            sent = self._clock.monotonic() - seconds_ago
            found = await self._look_until_sure(name, _Lost(parsed_object(body), sent, sent))
            return None if found is None else self.claim(found)

    def claim(self, created: T) -> T:
        """Note that this one has its caller, and is nobody else's."""
        self.claim_ids([created.id])
        return created

    def claim_ids(self, ids: Iterable[str]) -> None:
        """Note that these have their caller."""
        now = self._clock.monotonic()
        for id_ in ids:
            self._known.pop(id_, None)
            self._known[id_] = now
        # What was answered well before the oldest create under way was sent, that one cannot be.
        old = next(iter(self._begun.values()), now) - 2 * _MARGIN
        while self._known and next(iter(self._known.values())) < old:
            del self._known[next(iter(self._known))]

    @asynccontextmanager
    async def _using(self, text: str) -> AsyncIterator[_Name]:
        name = self._names.setdefault(text, _Name())
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

    def _lost(self, body: bytes, begun: float, error: PlanetError) -> _Lost:
        now = self._clock.monotonic()
        return _Lost(parsed_object(body), begun if error.elapsed is None else now - error.elapsed, now)

    async def _settle(
        self, name: _Name, lost: _Lost, send: Callable[[], Awaitable[T]], cause: PlanetError
    ) -> T:
        for _ in range(self._config.max_attempts):
            try:
                found = await self._look_until_sure(name, lost)
                return self.claim(await send() if found is None else found)
            except UnsettledCreate as unsettled:
                raise unsettled from cause
            except PlanetError as error:
                if not _ambiguous(error):
                    raise
                cause = error
                lost.failed = self._clock.monotonic()
        raise self._unsettled(lost, "again and again no answer came", ()) from cause

    async def _look_until_sure(self, name: _Name, lost: _Lost) -> T | None:
        doubtful: list[str] = []
        for share in _LOOKS:
            due = lost.failed + share * self._config.consistency_delay
            await self._clock.sleep(due - self._clock.monotonic())
            found, doubtful = await self._look_persistently(name, lost)
            if found is not None:
                return found
            if self._clock.monotonic() >= lost.failed + self._config.consistency_delay:
                break
        if doubtful:
            raise self._unsettled(lost, "something like it exists", doubtful)
        return None

    async def _look_persistently(self, name: _Name, lost: _Lost) -> tuple[T | None, list[str]]:
        """Look until the list comes: a service that loses answers has more to do than this one."""
        failures = 0
        while True:
            try:
                return await self._look(name, lost)
            except PlanetError as error:
                failures += 1
                if not error.transient or failures >= self._config.max_attempts:
                    raise self._unsettled(lost, "asking failed too", ()) from error
                await self._clock.sleep(self._config.consistency_delay)

    async def _look(self, name: _Name, lost: _Lost) -> tuple[T | None, list[str]]:
        """Give the one that is surely this create, or those that may be."""
        same: list[tuple[datetime, T]] = []
        doubtful: list[str] = []
        since: datetime | None = None
        async for page in self._kind.list_by_name(str(lost.asked["name"])):
            if since is None and page.date is not None:
                ago = self._clock.monotonic() - lost.sent + _MARGIN
                since = page.date - timedelta(seconds=ago)
            newer = False
            for one in page:
                created = self._kind.created(one)
                if since is not None and created is not None and created < since:
                    continue
                newer = True
                alike = Likeness.OTHER if one.id in self._known else self._alike(lost, one)
                if alike is Likeness.SAME and since is not None and created is not None:
                    same.append((created, one))
                elif alike is not Likeness.OTHER and not self._is_anothers(name, lost, one):
                    doubtful.append(one.id)
            if not newer:  # a whole page of what is too old: the list is sorted
                break
        if not same:
            return None, doubtful
        # The oldest of several alike: a younger one is left to whoever was sent too late for this one.
        return min(same, key=lambda found: found[0])[1], doubtful

    def _alike(self, lost: _Lost, one: T) -> Likeness:
        return likeness(lost.asked, self._kind.shown(one), self._kind.identity)

    def _is_anothers(self, name: _Name, lost: _Lost, one: T) -> bool:
        return any(other is not lost and self._alike(other, one) is Likeness.SAME for other in name.lost)

    def _unsettled(self, lost: _Lost, why: str, candidates: Iterable[str]) -> UnsettledCreate:
        noun, ids = self._kind.noun, tuple(candidates)
        found = f" ({', '.join(ids[:3])}{', ...' if len(ids) > 3 else ''})" if ids else ""  # noqa: PLR2004
        return UnsettledCreate(
            f"the {noun} {lost.asked.get('name')!r} may exist: its answer was lost, and {why}{found}",
            hint=f"Look at the {noun}s of that name before you create it again.",
            candidates=ids,
        )


class _Named(msgspec.Struct):
    name: str = ""


_named = msgspec.json.Decoder(_Named)


def _name_of(body: bytes) -> str:
    return _named.decode(body).name


def _ambiguous(error: PlanetError) -> bool:
    """Whether the thing may exist though no answer says so, and there is a client, and time, to ask."""
    lost = error.may_have_acted or isinstance(error, DecodeError | BodyTooLarge)
    return lost and not isinstance(error, ClientClosed | DeadlineExceeded)


@asynccontextmanager
async def _sending(name: _Name) -> AsyncIterator[None]:
    async with name.gate:
        name.sending += 1
    try:
        yield
    finally:
        name.sending -= 1
        if not name.sending:
            name.idle.set()


@asynccontextmanager
async def _alone(name: _Name) -> AsyncIterator[None]:
    """Keep others of that name from being sent, once those under way have their answer."""
    async with name.gate:
        while name.sending:
            name.idle = anyio.Event()
            await name.idle.wait()
        yield
