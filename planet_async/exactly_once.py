"""Creating exactly once: where the response to a create is lost, what became of it is looked up.

No API of Planet takes a key that would make a POST harmless to repeat.  So a create passes these states:

    SENT ─────────── a response came ──▶ CREATED: the caller has its id, and nobody else is given it
    SENT ─────────── refused, or never sent ──▶ the error is raised: nothing exists
    SENT ─────────── it may have been acted on, and no response says so ──▶ UNCONFIRMED

    UNCONFIRMED ──── a list shows what was asked for, created since, and no caller has it ──▶ CREATED
    UNCONFIRMED ──── a list shows what may be it ──▶ UnsettledCreate, with the candidates
    UNCONFIRMED ──── the lists cannot be read, or there is no time ──▶ UnsettledCreate
    UNCONFIRMED ──── after `Config.consistency_delay` no list has shown it ──▶ SENT, for the last time
                     that `Config.max_attempts` allows: UnsettledCreate

Creates of one name are sent concurrently, but while one is UNCONFIRMED no other of that name is sent: what
exists under the name, and has no caller, would be either's.
"""

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from enum import IntEnum
from itertools import count
from math import inf, isclose
from typing import Any, Generic, Protocol, TypeVar

import anyio
import msgspec
from anyio.lowlevel import RunVar
from attrs import define, field, frozen

from planet_async.clock import Clock
from planet_async.config import Config
from planet_async.errors import (
    ClientClosed,
    DeadlineExceeded,
    DecodeError,
    PlanetError,
    StatusError,
    UnsettledCreate,
)
from planet_async.http import queued_for
from planet_async.models.json import parsed_object
from planet_async.paging import Page
from planet_async.redaction import REDACTED

MARGIN = 10.0
"""Seconds that the clocks of a service's machines may differ by."""

_LOOKUP_TIMES = (0.0, 0.2, 0.5, 1.0)  # in shares of the consistency delay
_LOOKUP_PAUSE = 1.0  # the same, after a lookup that failed

_LOOKUPS_AT_ONCE = 20
_INITIAL_LOOKUPS = 50.0  # that a service which answers nothing is sent: through an outage of a minute
_LOOKUPS_PER_LOST_RESPONSE = 0.04  # further ones: they add a few hundredths to its load, not six times
_LOOKUPS_PER_SKIP = 0.008  # further ones, for each that was not sent: of many who wait, some try

_NOISE = 1e-6  # degrees, and shares: services round
_NEAR = 1e-2


class Created(Protocol):
    """What a create returns."""

    @property
    def id(self) -> str:
        """Tells it from all others."""
        ...


T = TypeVar("T", bound=Created)
Pages = AsyncIterator[Page[T]]


@frozen
class ResourceKind(Generic[T]):
    """What is created, and how to look it up.

    `list_by_name` lists those of a name, newest first; `created` is when one was created; `shown` is one in
    the words of a request; `identity` is the field that, besides the name, distinguishes two.
    """

    noun: str
    identity: str
    list_by_name: Callable[[str], Pages[T]]
    created: Callable[[T], datetime | None]
    shown: Callable[[T], Mapping[str, Any]]


@define(eq=False)
class UnconfirmedCreate:
    """A create without a response: its body, when it was sent and when it failed (monotonic), and how."""

    body: Mapping[str, Any] = field(repr=False)
    sent: float
    failed: float
    cause: PlanetError | None = None


class ExactlyOnce(Generic[T]):
    """Creates resources of one kind, each exactly once."""

    def __init__(
        self, kind: ResourceKind[T], config: Config, clock: Clock, registry: Callable[[], "CreateRegistry"]
    ) -> None:
        self._kind = kind
        self._config = config
        self._clock = clock
        self._registry = registry

    async def create(self, body: bytes, send: Callable[[], Awaitable[T]]) -> T:
        """Send, and settle what became of it where the response is lost; `send` posts the JSON `body`."""
        async with self._registry().using(_name_of(body)) as name:
            begun = self._clock.monotonic()
            created = await self._send(name, body, send)
            if not isinstance(created, UnconfirmedCreate):
                return self._claim(created)  # at once: nothing of that name was looked up since
            try:
                deadline = self._config.deadline
                left = inf if deadline is None else begun + deadline - created.failed
                with self._clock.move_on_after(left):
                    async with name.exclusive():
                        return await self._settle(name, created, send)
                raise self._unsettled(created, "there was no time to look it up") from created.cause
            except ClientClosed as closed:
                raise self._unsettled(created, "the client was closed") from closed
            finally:
                name.unconfirmed.remove(created)

    async def recover(self, body: bytes, seconds_ago: float, taken: Iterable[str] = ()) -> T | None:
        """Return what a create made whose response nobody has, sent so long ago, as before a crash.

        None: it may be sent again.  The ids `taken` are those of others.  Raises UnsettledCreate where it
        cannot be told.
        """
        self.claim_ids(taken)
        async with self._registry().using(_name_of(body)) as name, name.exclusive():
            sent = self._clock.monotonic() - seconds_ago
            lost = UnconfirmedCreate(parsed_object(body), sent, sent)
            try:
                found = await self._look_up(name, lost)
            except ClientClosed as closed:
                raise self._unsettled(lost, "the client was closed") from closed
            return None if found is None else self._claim(found)

    def claim_ids(self, ids: Iterable[str]) -> None:
        """Note that these have their caller."""
        self._registry().add(ids)

    def release(self, id_: str) -> None:
        """Note that the caller of this one has lost it."""
        self._registry().remove(id_)

    def _claim(self, created: T) -> T:
        self._registry().note_response()
        self.claim_ids([created.id])
        return created

    async def _send(
        self, name: "NameLock", body: bytes, send: Callable[[], Awaitable[T]]
    ) -> T | UnconfirmedCreate:
        """Send; an unconfirmed create is noted before another one of that name is settled."""
        deadline, begun = self._config.deadline, None
        # One that need not wait for its name is ended by the deadline of the request.
        with self._clock.move_on_after(deadline if deadline and name.is_taken else inf):
            async with name.sending():
                begun = self._clock.monotonic()
                try:
                    return await send()
                except PlanetError as error:
                    if not _is_ambiguous(error):
                        raise
                    now = self._clock.monotonic()
                    sent = begun if error.elapsed is None else now - error.elapsed
                    lost = UnconfirmedCreate(parsed_object(body), sent, now, error)
                    self._registry().note_lost_response()
                    name.unconfirmed.append(lost)
                    return lost
        late = DeadlineExceeded(
            f"not done within {deadline:g} s: another {self._kind.noun} of that name was looked up first",
            hint="Creates of different names do not wait for each other.",
        )
        late.may_have_acted = begun is not None and not queued_for.get()
        raise late

    async def _settle(self, name: "NameLock", lost: UnconfirmedCreate, send: Callable[[], Awaitable[T]]) -> T:
        attempts = 1 if lost.cause is None else lost.cause.attempts
        for losses in count():
            try:
                found = await self._look_up(name, lost)
                if found is not None:
                    return self._claim(found)
                if attempts >= self._config.max_attempts:
                    break
                return self._claim(await send())
            except UnsettledCreate as unsettled:
                raise unsettled from lost.cause
            except PlanetError as error:
                if not _is_ambiguous(error):
                    raise
                attempts += error.attempts
                lost.failed, lost.cause = self._clock.monotonic(), error
                await self._clock.sleep(self._pause(losses))
        times = "1 attempt" if attempts == 1 else f"{attempts} attempts"
        raise self._unsettled(lost, f"after {times} it is not listed") from lost.cause

    def _pause(self, losses: int) -> float:
        grown = self._config.consistency_delay * 2.0 ** min(losses, 16)
        return random.uniform(0, min(self._config.longest_backoff, grown))  # noqa: S311 - spreads load

    async def _look_up(self, name: "NameLock", lost: UnconfirmedCreate) -> T | None:
        """Return what the create made, or None once the lists would show it; else raise UnsettledCreate."""
        candidates: list[str] = []
        for share in _LOOKUP_TIMES:
            due = lost.failed + share * self._config.consistency_delay
            await self._clock.sleep(due - self._clock.monotonic())
            found, candidates = await self._list_persistently(name, lost)
            if found is not None:
                return found
            if self._clock.monotonic() >= lost.failed + self._config.consistency_delay:
                break
        if candidates:
            raise self._unsettled(lost, "something like it exists", candidates)
        return None

    async def _list_persistently(
        self, name: "NameLock", lost: UnconfirmedCreate
    ) -> tuple[T | None, list[str]]:
        """List until a list comes: a service that loses one response may lose others.

        One that answers nothing is sent few lookups, and the other creates wait until one is answered.
        """
        registry, failure = self._registry(), lost.cause
        for attempt in count():
            if attempt >= self._config.max_attempts:  # which may be infinite
                break
            if attempt:
                await self._clock.sleep(_LOOKUP_PAUSE * self._config.consistency_delay)
            async with registry.lookups:
                if not registry.may_look_up():
                    continue
                try:
                    found = await self._list(name, lost)
                except ClientClosed:
                    raise
                except PlanetError as error:
                    failure = error
                    if isinstance(error, StatusError) and not error.transient:
                        break
                else:
                    registry.note_response()
                    return found
        raise self._unsettled(lost, "looking it up failed, too") from failure

    async def _list(self, name: "NameLock", lost: UnconfirmedCreate) -> tuple[T | None, list[str]]:
        """Return the one that is surely this create, or the ids of those that may be."""
        exact: list[tuple[datetime, T]] = []
        candidates: list[str] = []
        since: datetime | None = None
        registry = self._registry()
        async for page in self._kind.list_by_name(str(lost.body["name"])):
            if since is None and page.date is not None:
                ago = self._clock.monotonic() - lost.sent + MARGIN
                since = page.date - timedelta(seconds=ago)
            is_newer = False
            for one in page:
                created = self._kind.created(one)
                if since is not None and created is not None and created < since:
                    continue
                is_newer = True
                likeness = Match.NONE if one.id in registry else self._match(lost, one)
                if likeness is Match.EXACT and since is not None and created is not None:
                    exact.append((created, one))
                elif likeness is not Match.NONE and not self._is_anothers(name, lost, one):
                    candidates.append(one.id)
            if not is_newer:  # a whole page of what is too old: the list is sorted
                break
        if not exact:
            return None, candidates
        # The oldest of several alike: a younger one is left to a create that was sent too late for this one.
        return min(exact, key=lambda found: found[0])[1], candidates

    def _match(self, lost: UnconfirmedCreate, one: T) -> "Match":
        return match(lost.body, self._kind.shown(one), self._kind.identity)

    def _is_anothers(self, name: "NameLock", lost: UnconfirmedCreate, one: T) -> bool:
        others = (other for other in name.unconfirmed if other is not lost)
        return any(self._match(other, one) is Match.EXACT for other in others)

    def _unsettled(
        self, lost: UnconfirmedCreate, why: str, candidates: Iterable[str] = ()
    ) -> UnsettledCreate:
        noun, ids = self._kind.noun, tuple(candidates)
        found = f" ({', '.join(ids[:3])}{', ...' if len(ids) > 3 else ''})" if ids else ""  # noqa: PLR2004
        return UnsettledCreate(
            f"the {noun} {lost.body.get('name')!r} may exist: its response was lost, and {why}{found}",
            hint=f"Look at the {noun}s of that name before you create it again.",
            candidates=ids,
        )


class _Named(msgspec.Struct):
    name: str = ""


_decode_name = msgspec.json.Decoder(_Named).decode


def _name_of(body: bytes) -> str:
    return _decode_name(body).name


def _is_ambiguous(error: PlanetError) -> bool:
    """Whether it may exist though no response says so, and there is a client, and time, to look it up."""
    may_exist = error.may_have_acted or isinstance(error, DecodeError)
    return may_exist and not isinstance(error, ClientClosed | DeadlineExceeded)


@define(eq=False)
class NameLock:
    """The creates of one name: any number is sent concurrently, but an unconfirmed one is settled alone."""

    unconfirmed: list[UnconfirmedCreate] = field(factory=list)
    users: int = 0
    _sending: int = 0
    _gate: anyio.Lock = field(factory=lambda: anyio.Lock(fast_acquire=True))
    _idle: anyio.Event = field(factory=anyio.Event)

    @property
    def is_taken(self) -> bool:
        """Whether one is being settled, so that others wait."""
        return self._gate.locked()

    @asynccontextmanager
    async def sending(self) -> AsyncIterator[None]:
        """Hold the name while sending, together with others, but not while one is being settled."""
        async with self._gate:
            self._sending += 1
        try:
            yield
        finally:
            self._sending -= 1
            if not self._sending:
                self._idle.set()

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        """Hold the name alone, once all that were sent have their response."""
        async with self._gate:
            while self._sending:
                self._idle = anyio.Event()
                await self._idle.wait()
            yield


class CreateRegistry:
    """What was and is being created of one kind, by all clients of an address in an event loop.

    It also limits the lookups: to some at a time (`lookups`), and to few where none is answered.
    """

    def __init__(self, clock: Clock) -> None:
        self.lookups = anyio.Semaphore(_LOOKUPS_AT_ONCE, fast_acquire=True)
        self._clock = clock
        self._lookups_left = _INITIAL_LOOKUPS
        self._names: dict[str, NameLock] = {}
        self._begun: dict[object, float] = {}  # creates under way, the oldest first
        self._known: dict[str, float] = {}  # ids that have their caller, and since when, the oldest first

    @asynccontextmanager
    async def using(self, text: str) -> AsyncIterator[NameLock]:
        """Keep a name's lock while something of that name is being created."""
        name = self._names.setdefault(text, NameLock())
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

    def __contains__(self, id_: str) -> bool:
        return id_ in self._known

    def add(self, ids: Iterable[str]) -> None:
        """Note that these have their caller."""
        now = self._clock.monotonic()
        for id_ in ids:
            self._known.pop(id_, None)
            self._known[id_] = now
        # What was known well before the oldest create under way was sent cannot be taken for it.
        old = next(iter(self._begun.values()), now) - 2 * MARGIN
        while self._known and next(iter(self._known.values())) < old:
            del self._known[next(iter(self._known))]

    def remove(self, id_: str) -> None:
        """Note that this one has lost its caller, and can be found again."""
        self._known.pop(id_, None)

    @property
    def is_past(self) -> bool:
        """Whether nothing is under way, and what was created is too old to be taken for something else."""
        newest = next(reversed(self._known.values()), None)
        return not self._begun and (newest is None or newest < self._clock.monotonic() - 2 * MARGIN)

    def may_look_up(self) -> bool:
        """Return whether to send a lookup: rarely where no recent one was answered."""
        if self._lookups_left < 1:
            self._lookups_left += _LOOKUPS_PER_SKIP
            return False
        self._lookups_left -= 1  # until the service responds
        return True

    def note_lost_response(self) -> None:
        """Note that the response to a create was lost."""
        self._lookups_left = min(_INITIAL_LOOKUPS, self._lookups_left + _LOOKUPS_PER_LOST_RESPONSE)

    def note_response(self) -> None:
        """Note that the service responds."""
        self._lookups_left = _INITIAL_LOOKUPS


def create_registry(clock: Clock, address: Hashable, noun: str) -> CreateRegistry:
    """Return the registry of one kind of resource at an address, in this event loop and by that clock.

    It outlives the client, since the next one may create something alike a second later.
    """
    registries = _registries.get(None)
    if registries is None:
        _registries.set(registries := {})
    key = (_hashable(clock), address, noun)
    registry = registries.get(key)
    if registry is None:
        for past in [place for place, kept in registries.items() if kept.is_past]:
            del registries[past]
        registry = registries[key] = CreateRegistry(clock)
    return registry


def _hashable(clock: object) -> Hashable:
    try:
        hash(clock)
    except TypeError:
        return id(clock)  # which stays its own: the registry holds the clock
    return clock


_registries: RunVar[dict[Hashable, CreateRegistry]] = RunVar("planet_async.exactly_once")


class Match(IntEnum):
    """How far what exists is what was asked for: surely, perhaps, or surely not."""

    EXACT = 0
    POSSIBLE = 1
    NONE = 2


def match(asked: Mapping[str, Any], shown: Mapping[str, Any], identity: str) -> Match:
    """Compare the body of a create with what exists.

    The name and the field called `identity` distinguish two; another difference makes it a possible match,
    since services add defaults, round, and redact secrets.  A field that is not shown matches.
    """
    if shown.get("name") != asked.get("name"):
        return Match.NONE
    if shown.get(identity) is None:
        return Match.POSSIBLE
    try:
        found = _compare(asked.get(identity), shown[identity])
        rest = max((_compare(value, shown.get(key)) for key, value in asked.items()), default=Match.EXACT)
    except RecursionError:  # nested too deeply to be compared
        return Match.POSSIBLE
    return max(found, min(rest, Match.POSSIBLE))


def _compare(asked: Any, shown: Any) -> Match:
    match asked, shown:
        case (None, _) | (_, None):
            return Match.EXACT
        case Mapping(), Mapping():
            return _compare_objects(asked, shown)
        case list(), list():
            return _compare_lists(asked, shown)
        case str(), str():
            return _compare_texts(asked, shown)
        case ((int() | float()), (int() | float())):
            return _compare_numbers(asked, shown)
    return Match.POSSIBLE


def _compare_objects(asked: Mapping[str, Any], shown: Mapping[str, Any]) -> Match:
    # A reference comes back as the geometry it stands for.
    if asked.get("type") == "ref" != shown.get("type"):
        return Match.EXACT
    worst = max((_compare(value, shown.get(key)) for key, value in asked.items()), default=Match.EXACT)
    if asked.get("type") == shown.get("type"):
        return worst
    return min(worst, Match.POSSIBLE)  # a point, say, as the square around it: comparing says nothing


def _compare_lists(asked: list[Any], shown: list[Any]) -> Match:
    if all(isinstance(item, str) for item in (*asked, *shown)):
        return Match.EXACT if set(asked) == set(shown) else Match.NONE
    if len(asked) != len(shown):
        return Match.POSSIBLE
    return max(map(_compare, asked, shown), default=Match.EXACT)


def _compare_texts(asked: str, shown: str) -> Match:
    # Of several product bundles, only the first that fits may be shown.
    if REDACTED in shown or asked.casefold() == shown.casefold() or shown in asked.split(","):
        return Match.EXACT
    try:
        is_same = datetime.fromisoformat(asked) == datetime.fromisoformat(shown)
    except (ValueError, TypeError):
        return Match.NONE
    return Match.EXACT if is_same else Match.NONE


def _compare_numbers(asked: float, shown: float) -> Match:
    try:
        if isclose(asked, shown, rel_tol=_NOISE, abs_tol=_NOISE):
            return Match.EXACT
        return Match.POSSIBLE if isclose(asked, shown, rel_tol=0, abs_tol=_NEAR) else Match.NONE
    except OverflowError:  # an integer beyond all floats
        return Match.EXACT if asked == shown else Match.NONE
