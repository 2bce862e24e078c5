"""Creating exactly once: where an answer is lost, what became of the request is found out by asking.

No API of Planet takes a key that would make a POST harmless to repeat.  So a create that may have been acted
on is looked for by its name, from just before it was sent; what is found is adopted, and only where nothing
appears in the time the service needs to list it is the request sent again.
"""

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from datetime import datetime, timedelta
from itertools import count
from math import inf
from typing import Any, Generic, Protocol, TypeVar

import msgspec
from attrs import frozen

from planet_async.clock import Clock
from planet_async.config import Config
from planet_async.creating.claims import MARGIN, Claims, Lost, Name
from planet_async.creating.likeness import Likeness, likeness
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
from planet_async.page import Page

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


class ExactlyOnce(Generic[T]):
    """Creates things of one kind, each exactly once."""

    def __init__(self, kind: Kind[T], config: Config, clock: Clock, claims: Callable[[], Claims]) -> None:
        self._kind = kind
        self._config = config
        self._clock = clock
        self._claims = claims

    async def create(self, body: bytes, send: Callable[[], Awaitable[T]]) -> T:
        """Send, and settle what became of it where the answer is lost; `send` posts the JSON `body`."""
        async with self._claims().using(_name_of(body)) as name:
            asked = self._clock.monotonic()
            found = await self._send(name, body, send)
            if not isinstance(found, Lost):
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

    async def _send(self, name: Name, body: bytes, send: Callable[[], Awaitable[T]]) -> T | Lost:
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
            lost = Lost(parsed_object(body), sent, sent)
            try:
                found = await self._look_until_sure(name, lost)
            except ClientClosed as closed:
                raise self._unsettled(lost, "the client was closed", ()) from closed
            return None if found is None else self._claim(found)

    def claim_ids(self, ids: Iterable[str]) -> None:
        """Note that these have their caller."""
        self._claims().add(ids)

    def disclaim(self, id_: str) -> None:
        """Note that the caller of this one has lost it."""
        self._claims().remove(id_)

    def _claim(self, created: T) -> T:
        self._claims().answered()
        self.claim_ids([created.id])
        return created

    def _lost(self, body: bytes, begun: float, error: PlanetError) -> Lost:
        now = self._clock.monotonic()
        self._claims().lost_one()
        return Lost(parsed_object(body), begun if error.elapsed is None else now - error.elapsed, now, error)

    async def _settle(self, name: Name, lost: Lost, send: Callable[[], Awaitable[T]]) -> T:
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

    async def _look_until_sure(self, name: Name, lost: Lost) -> T | None:
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

    async def _look_persistently(self, name: Name, lost: Lost) -> tuple[T | None, list[str]]:
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

    async def _look(self, name: Name, lost: Lost) -> tuple[T | None, list[str]]:
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
                alike = Likeness.OTHER if one.id in known else self._alike(lost, one)
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

    def _alike(self, lost: Lost, one: T) -> Likeness:
        return likeness(lost.asked, self._kind.shown(one), self._kind.identity)

    def _is_anothers(self, name: Name, lost: Lost, one: T) -> bool:
        return any(other is not lost and self._alike(other, one) is Likeness.SAME for other in name.lost)

    def _unsettled(self, lost: Lost, why: str, candidates: Iterable[str]) -> UnsettledCreate:
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
