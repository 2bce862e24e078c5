"""Creating exactly once: where an answer is lost, what became of the request is found out by asking.

No API of Planet takes a key that would make a POST harmless to repeat.  So a create that may have been acted
on is looked for by its name, from just before it was sent; what is found is adopted, and only where nothing
appears in the time the service needs to list it is the request sent again.
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

_AT_ONCE = 20
_INITIAL_LOOKUPS = (
    50.0  # times that a service which answers nothing is asked: by a job, through a minute's outage
)
_LOOKUPS_PER_LOST_RESPONSE = (
    0.04  # times more, then, for each answer that it loses: a few hundredths more load, not six times
)
_LOOKUPS_PER_SKIP = 0.008  # and for each time that one does not ask, so that of many who wait some do


@define(eq=False)
class UnconfirmedCreate:
    """A create without an answer: what was asked for, when it was sent and failed (monotonic), and how."""

    asked: Mapping[str, Any]
    sent: float
    failed: float
    cause: PlanetError | None = None


@define(eq=False)
class NameLock:
    """The creates of one name: many are sent side by side, but what became of a lost one is settled alone."""

    lost: list[UnconfirmedCreate] = field(factory=list)
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


class CreateRegistry:
    """What was and is being created of one kind, by all clients of an address in an event loop.

    It also knows whether asking what became of one is of use: in `asking`, ask if you `may_ask`.
    """

    def __init__(self, clock: Clock) -> None:
        self.asking = anyio.Semaphore(_AT_ONCE, fast_acquire=True)
        self._clock = clock
        self._asks_left = _INITIAL_LOOKUPS
        self._names: dict[str, NameLock] = {}
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
            self._asks_left += _LOOKUPS_PER_SKIP
            return False
        self._asks_left -= 1  # until the service answers
        return True

    def lost_one(self) -> None:
        """Note that the answer to a create was lost."""
        self._asks_left = min(_INITIAL_LOOKUPS, self._asks_left + _LOOKUPS_PER_LOST_RESPONSE)

    def answered(self) -> None:
        """Note that the service is there."""
        self._asks_left = _INITIAL_LOOKUPS

    @property
    def is_past(self) -> bool:
        """Whether nothing is under way, and what was created is too old to be taken for something else."""
        newest = next(reversed(self._known.values()), None)
        return not self._begun and (newest is None or newest < self._clock.monotonic() - 2 * MARGIN)

    def remove(self, id_: str) -> None:
        """Note that this one has lost its caller, and is to be found again."""
        self._known.pop(id_, None)

    @asynccontextmanager
    async def using(self, text: str) -> AsyncIterator[NameLock]:
        """Give what is known of a name while something of that name is being created."""
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


def create_registry(clock: Clock, address: Hashable, noun: str) -> CreateRegistry:
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
        found = kept[key] = CreateRegistry(clock)
    return found


def _hashable(clock: object) -> Hashable:
    try:
        hash(clock)
    except TypeError:
        return id(clock)  # which stays its own: the claims hold it
    return clock


_kept: RunVar[dict[Hashable, CreateRegistry]] = RunVar("planet_async.exactly_once")


_NOISE = 1e-6  # degrees, and shares: services round
_NEAR = 1e-2


class Match(IntEnum):
    """How alike: surely the same, perhaps, or surely not."""

    EXACT = 0
    POSSIBLE = 1
    OTHER = 2


def match(asked: Mapping[str, Any], shown: Mapping[str, Any], identity: str) -> Match:
    """Compare a request with what exists.

    The name and the field called `identity` tell two apart; what else differs leaves a doubt, since services
    add defaults, round, and black secrets out.  What was asked for and is not shown counts as alike.
    """
    if shown.get("name") != asked.get("name"):
        return Match.OTHER
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
        return Match.EXACT if set(asked) == set(shown) else Match.OTHER
    if len(asked) != len(shown):
        return Match.POSSIBLE
    return max(map(_compare, asked, shown), default=Match.EXACT)


def _compare_texts(asked: str, shown: str) -> Match:
    # One of several product bundles, the first that fits, may be all that is shown.
    if REDACTED in shown or asked.casefold() == shown.casefold() or shown in asked.split(","):
        return Match.EXACT
    try:
        same = datetime.fromisoformat(asked) == datetime.fromisoformat(shown)
    except (ValueError, TypeError):
        return Match.OTHER
    return Match.EXACT if same else Match.OTHER


def _compare_numbers(asked: float, shown: float) -> Match:
    try:
        if isclose(asked, shown, rel_tol=_NOISE, abs_tol=_NOISE):
            return Match.EXACT
        return Match.POSSIBLE if isclose(asked, shown, rel_tol=0, abs_tol=_NEAR) else Match.OTHER
    except OverflowError:  # a whole number beyond all fractions
        return Match.EXACT if asked == shown else Match.OTHER


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
class ResourceKind(Generic[T]):
    """What is created, and how to ask for it.

    `list_by_name` gives those of one name, newest first; `created` when one was; `shown` what it is like, in
    the words of a request; `identity` names the field that, beside the name, tells two apart.
    """

    noun: str
    identity: str
    list_by_name: Callable[[str], Pages[T]]
    created: Callable[[T], datetime | None]
    shown: Callable[[T], Mapping[str, Any]]


class ExactlyOnce(Generic[T]):
    """Creates things of one kind, each exactly once."""

    def __init__(
        self, kind: ResourceKind[T], config: Config, clock: Clock, claims: Callable[[], CreateRegistry]
    ) -> None:
        self._kind = kind
        self._config = config
        self._clock = clock
        self._claims = claims

    async def create(self, body: bytes, send: Callable[[], Awaitable[T]]) -> T:
        """Send, and settle what became of it where the answer is lost; `send` posts the JSON `body`."""
        async with self._claims().using(_name_of(body)) as name:
            asked = self._clock.monotonic()
            found = await self._send(name, body, send)
            if not isinstance(found, UnconfirmedCreate):
                return self._claim(found)  # at once: nothing of that name was looked for meanwhile
            try:
                deadline = self._config.deadline
                left = inf if deadline is None else asked + deadline - found.failed
                with self._clock.move_on_after(left):
                    async with name.alone():
                        return await self._settle(name, found, send)
                raise self._unsettled(found, "there was no time to ask", ()) from found.cause
            except ClientClosed as closed:
                raise self._unsettled(found, "the client was closed", ()) from closed
            finally:
                name.lost.remove(found)

    async def _send(
        self, name: NameLock, body: bytes, send: Callable[[], Awaitable[T]]
    ) -> T | UnconfirmedCreate:
        """Send; a lost answer is noted with the name before another one of that name is settled."""
        deadline, begun = self._config.deadline, None
        # One that need not wait for its name is ended by the deadline of the request.
        with self._clock.move_on_after(deadline if deadline and name.is_taken else inf):
            async with name.sending():
                begun = self._clock.monotonic()
                try:
                    return await send()
                except PlanetError as error:
                    if not _ambiguous(error):
                        raise
                    lost = self._lost(body, begun, error)
                    name.lost.append(lost)
                    return lost
        late = DeadlineExceeded(
            f"not done within {deadline:g} s: another {self._kind.noun} of that name was looked for first",
            hint="A name of its own for each need not wait.",
        )
        late.may_have_acted = begun is not None and not queued_for.get()
        raise late

    async def find(self, body: bytes, seconds_ago: float, taken: Iterable[str] = ()) -> T | None:
        """Say what became of a create sent that long ago whose answer nobody has, as after a crash.

        None says that it may be sent again.  The ids `taken` are of others.  Raises UnsettledCreate where it
        cannot be told.
        """
        self.claim_ids(taken)
        async with self._claims().using(_name_of(body)) as name, name.alone():
            sent = self._clock.monotonic() - seconds_ago
            lost = UnconfirmedCreate(parsed_object(body), sent, sent)
            try:
                found = await self._look_until_sure(name, lost)
            except ClientClosed as closed:
                raise self._unsettled(lost, "the client was closed", ()) from closed
            return None if found is None else self._claim(found)

    def claim_ids(self, ids: Iterable[str]) -> None:
        """Note that these have their caller."""
        self._claims().add(ids)

    def release(self, id_: str) -> None:
        """Note that the caller of this one has lost it."""
        self._claims().remove(id_)

    def _claim(self, created: T) -> T:
        self._claims().answered()
        self.claim_ids([created.id])
        return created

    def _lost(self, body: bytes, begun: float, error: PlanetError) -> UnconfirmedCreate:
        now = self._clock.monotonic()
        self._claims().lost_one()
        return UnconfirmedCreate(
            parsed_object(body), begun if error.elapsed is None else now - error.elapsed, now, error
        )

    async def _settle(self, name: NameLock, lost: UnconfirmedCreate, send: Callable[[], Awaitable[T]]) -> T:
        attempts = 1 if lost.cause is None else lost.cause.attempts
        for losses in count():
            try:
                found = await self._look_until_sure(name, lost)
                if found is not None:
                    return self._claim(found)
                if attempts >= self._config.max_attempts:
                    break
                return self._claim(await send())
            except UnsettledCreate as unsettled:
                raise unsettled from lost.cause
            except PlanetError as error:
                if not _ambiguous(error):
                    raise
                attempts += error.attempts
                lost.failed, lost.cause = self._clock.monotonic(), error
                await self._clock.sleep(self._pause(losses))
        times = "1 attempt" if attempts == 1 else f"{attempts} attempts"
        raise self._unsettled(lost, f"after {times} it is not listed", ()) from lost.cause

    def _pause(self, attempt: int) -> float:
        grown = self._config.consistency_delay * 2.0 ** min(attempt, 16)
        return random.uniform(0, min(self._config.longest_backoff, grown))  # noqa: S311 - spreads load

    async def _look_until_sure(self, name: NameLock, lost: UnconfirmedCreate) -> T | None:
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

    async def _look_persistently(self, name: NameLock, lost: UnconfirmedCreate) -> tuple[T | None, list[str]]:
        """Look until the list comes: a service that loses answers has more to do than this one.

        One that answers nothing is asked by few, and the others wait for one of those to be answered.
        """
        claims, failure = self._claims(), lost.cause
        for attempt in count():
            if attempt >= self._config.max_attempts:  # which may be infinite
                break
            if attempt:
                await self._clock.sleep(self._config.consistency_delay)
            async with claims.asking:
                if not claims.may_ask():
                    continue
                try:
                    found = await self._look(name, lost)
                except ClientClosed:
                    raise
                except PlanetError as error:
                    failure = error
                    if isinstance(error, StatusError) and not error.transient:
                        break
                else:
                    claims.answered()
                    return found
        raise self._unsettled(lost, "asking failed too", ()) from failure

    async def _look(self, name: NameLock, lost: UnconfirmedCreate) -> tuple[T | None, list[str]]:
        """Give the one that is surely this create, or those that may be."""
        same: list[tuple[datetime, T]] = []
        doubtful: list[str] = []
        since: datetime | None = None
        known = self._claims()
        async for page in self._kind.list_by_name(str(lost.asked["name"])):
            if since is None and page.date is not None:
                ago = self._clock.monotonic() - lost.sent + MARGIN
                since = page.date - timedelta(seconds=ago)
            newer = False
            for one in page:
                created = self._kind.created(one)
                if since is not None and created is not None and created < since:
                    continue
                newer = True
                alike = Match.OTHER if one.id in known else self._alike(lost, one)
                if alike is Match.EXACT and since is not None and created is not None:
                    same.append((created, one))
                elif alike is not Match.OTHER and not self._is_anothers(name, lost, one):
                    doubtful.append(one.id)
            if not newer:  # a whole page of what is too old: the list is sorted
                break
        if not same:
            return None, doubtful
        # The oldest of several alike: a younger one is left to whoever was sent too late for this one.
        return min(same, key=lambda found: found[0])[1], doubtful

    def _alike(self, lost: UnconfirmedCreate, one: T) -> Match:
        return match(lost.asked, self._kind.shown(one), self._kind.identity)

    def _is_anothers(self, name: NameLock, lost: UnconfirmedCreate, one: T) -> bool:
        return any(other is not lost and self._alike(other, one) is Match.EXACT for other in name.lost)

    def _unsettled(self, lost: UnconfirmedCreate, why: str, candidates: Iterable[str]) -> UnsettledCreate:
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
    lost = error.may_have_acted or isinstance(error, DecodeError)
    return lost and not isinstance(error, ClientClosed | DeadlineExceeded)
