"""Creating exactly once: where the response to a create is lost, what became of it is looked up.

No API of Planet takes a key that would make a POST harmless to repeat.  So a create passes these states:

    SENT ─────────── a response came ──▶ CREATED: the caller has its id, and no other caller gets it
    SENT ─────────── refused, or never sent ──▶ the error is raised: nothing exists
    SENT ─────────── it may have been acted on, and no response says so ──▶ UNCONFIRMED

    UNCONFIRMED ──── a list shows what was requested, created since, and no caller has it ──▶ CREATED
    UNCONFIRMED ──── a list shows what may be it ──▶ UnsettledCreate, with the candidates
    UNCONFIRMED ──── the lists cannot be read, or there is no time ──▶ UnsettledCreate
    UNCONFIRMED ──── after `Config.consistency_delay` neither the list of the name nor that of all that was
                     created since has shown it ──▶ SENT AGAIN; as often as `Config.max_attempts` allows,
                     else UnsettledCreate

    SENT AGAIN ───── no response ──▶ UNCONFIRMED
    SENT AGAIN ───── a response came, and no list shows the first one for the same time again ──▶ CREATED
    SENT AGAIN ───── a list shows the first one, so late ──▶ the second is cancelled, and the first CREATED;
                     where it cannot be cancelled, UnsettledCreate with both

Creates of one name are sent concurrently, but while one is UNCONFIRMED no other of that name is sent: what
exists under the name, and has no caller, would be either's.
"""

import logging
import random
import unicodedata
import warnings
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext, suppress
from datetime import datetime, timedelta
from enum import IntEnum
from itertools import count
from math import inf, isclose
from typing import Any, Generic, TypeVar

import anyio
import msgspec
from anyio.lowlevel import RunVar
from attrs import define, field, frozen

from planet_async._loops import PerLoop
from planet_async.clock import Clock
from planet_async.config import Config, Schedule
from planet_async.databases.creates import SharedCreates
from planet_async.errors import (
    ClientClosed,
    DeadlineExceeded,
    DecodeError,
    PagingError,
    PlanetError,
    SharedStateError,
    StatusError,
    UnsettledCreate,
)
from planet_async.http import origin, queued_for
from planet_async.outcome import Identified
from planet_async.paging import Page
from planet_async.redaction import REDACTED

MARGIN = 10.0
"""Seconds that the clocks of a service's machines are taken to differ by at most."""

LOOKUP_TIMES = (0.0, 0.2, 0.5, 1.0)
"""When a lost create is looked up, in shares of the consistency delay."""

_DOUBT = 45.0  # seconds more, by which what looks too old may be what was created
_LONG_DOUBT = 600.0  # the same, where a resource that is not new would show that it has changed
_WIDE_MARGIN = 600.0  # seconds, where only the clock of this machine is known
REMEMBERED = 2 * MARGIN + max(_LONG_DOUBT, _WIDE_MARGIN)
"""Seconds after which what was created cannot be taken for something that is created now."""

_LONGEST_RECOVERY = 3600.0  # seconds: what a process sent before it crashed was acted on by then
_RESPONSES_KEPT = 20  # of creates, to know the clock that resources are dated by
_MOST_PAGES = 200
_SECOND_LOOKUP_TIMES = (0.5, 1.0)  # as `LOOKUP_TIMES`, after it was sent again
_LOOKUP_PAUSE = 1 / 3  # in shares of the consistency delay: after a lookup that failed

_LOOKUPS_AT_ONCE = 20
_INITIAL_LOOKUPS = 50.0  # sent to a service that does not respond: through an outage of a minute
_LOOKUPS_PER_SKIP = 0.008  # further ones, for each that was not sent: of many creates that wait, some try

_NOISE = 1e-6  # degrees, and shares: services round
_NEAR = 1e-2

_NO_WAIT = 0.1  # seconds for a lock that nobody else had
_SHOWN_IDS = 3  # candidates in a message
_NOISE_SECONDS = 5.0
_LONG_NAME = 90  # characters; services that cut names keep at least so many
_LEAST_CUT = 20

logger: logging.Logger = logging.getLogger("planet_async.exactly_once")


T = TypeVar("T", bound=Identified)
Pages = AsyncIterator[Page[T]]


@frozen
class ResourceKind(Generic[T]):
    """A kind of resource, and how to look one up.

    `list_by_name` lists those of a name, and `list_created` all that were created from one time to another,
    both newest first.  `created` is when one was created; `changed` when it last changed, which it does
    within minutes; `shown` is one in the words of a request; `identity` is the field that, besides the name,
    distinguishes two.
    """

    noun: str
    identity: str
    list_by_name: Callable[[str], Pages[T]]
    list_created: Callable[[datetime, datetime | None], Pages[T]]
    created: Callable[[T], datetime | None]
    shown: Callable[[T], Mapping[str, Any]]
    cancel: Callable[[str], Awaitable[object]]
    changed: Callable[[T], datetime | None] | None = None

    def match(self, body: Mapping[str, Any], one: T) -> "Match":
        """Compare one with the body of a create."""
        return match(body, self.shown(one), self.identity)


@define(eq=False)
class UnconfirmedCreate(Generic[T]):
    """A create without a response: its body, when it was sent and when it failed (monotonic), and how.

    `older` are ids of resources like it that have shown to be older; `second` is what was created when it was
    sent again; `sender` is who sent it in another process.
    """

    lock: "NameLock"
    body: Mapping[str, Any] = field(repr=False)
    sent: float
    failed: float
    cause: PlanetError | None = None
    attempts: int = 1
    older: set[str] = field(factory=set)
    second: T | None = None
    sender: str = ""

    @property
    def name(self) -> str:
        return str(self.body.get("name", ""))


@define
class Lookup(Generic[T]):
    """The result of a lookup: the `exact` matches, and the ids of possible ones.

    By the clock that resources are dated by, what was created from `certain` on can be the one.  What was
    created from `possible` on may be it, if that clock is not what it is taken for; `certain` is None where
    the clock is not known.
    """

    certain: datetime | None
    possible: datetime
    exact: list[T] = field(factory=list)
    candidates: list[str] = field(factory=list)


@frozen
class ExactlyOnce(Generic[T]):
    """Creates resources of one kind, each exactly once."""

    _kind: ResourceKind[T]
    _config: Config
    _clock: Clock
    _shared: PerLoop[SharedCreates] | None = None

    def _registry(self) -> "CreateRegistry":
        return create_registry(self._clock, origin(self._config.base_url), self._kind.noun)

    async def create(self, body: bytes, send: Callable[[], Awaitable[T]]) -> T:
        """Send, and settle what became of it where the response is lost; `send` posts the JSON `body`."""
        created: T | UnconfirmedCreate[T] | None = None
        try:
            async with self._registry().using(_name_of(body)) as lock:
                begun = self._clock.monotonic()
                created = await self._send(lock, body, send)
                if isinstance(created, UnconfirmedCreate):
                    created = await self._settled(created, begun, send)
                return created
        except anyio.get_cancelled_exc_class():
            if created is not None and not isinstance(created, UnconfirmedCreate):
                self.release(created.id)
            raise

    async def _settled(self, lost: UnconfirmedCreate[T], begun: float, send: Callable[[], Awaitable[T]]) -> T:
        try:
            deadline = self._config.deadline
            left = inf if deadline is None else begun + deadline - lost.failed
            with self._clock.move_on_after(left):
                async with lost.lock.exclusive(), self._lock(lost.name, shared=False):
                    return await self._settle(lost, send)
            cause, why = lost.cause, "there was no time to look it up"
        except ClientClosed as closed:
            cause, why = closed, "the client was closed"
        finally:
            lost.lock.unconfirmed.remove(lost)
        if lost.second is not None:
            return lost.second
        raise self._unsettled(lost, why) from cause

    @property
    def sender(self) -> str:
        """The id by which other processes know who creates here; "" where they know nothing of each other."""
        return "" if self._shared is None else self._shared.here().owner

    async def recover(
        self, body: bytes, seconds_ago: float, taken: Iterable[str] = (), sender: str = ""
    ) -> T | None:
        """Return what a create made whose response was lost, sent so long ago, as before a crash.

        None: it may be sent again.  The ids `taken` have an owner.  What the `sender` in another process has
        created has none: the caller goes on in its place, whether it has died or only stands still.

        Raises:
            UnsettledCreate: It cannot be decided.
        """
        self.claim_ids(taken)
        name = _name_of(body)
        async with (
            self._registry().using(name) as lock,
            lock.exclusive(),
            self._lock(name, shared=False),
        ):
            sent = self._clock.monotonic() - seconds_ago
            lost = UnconfirmedCreate[T](lock, msgspec.json.decode(body), sent, sent, sender=sender)
            try:
                found = await self._look_up(lost)
            except ClientClosed as closed:
                raise self._unsettled(lost, "the client was closed") from closed
            return None if found is None else await self._claim(found)

    def claim_ids(self, ids: Iterable[str]) -> None:
        """Note that these have their caller."""
        self._registry().add(ids)

    def release(self, id_: str) -> None:
        """Note that the caller of this one has lost it."""
        self._registry().remove(id_)
        if self._shared is not None:
            self._shared.here().release(id_)

    async def keep(self, id_: str) -> None:
        """Note that this one has its caller even if this process crashes: it is saved where that finds it."""
        if self._shared is not None:
            try:
                with anyio.CancelScope(shield=True):
                    await self._shared.here().keep(self._service, id_)
            except (SharedStateError, ClientClosed) as error:
                logger.warning("other processes may take %s for theirs after a crash: %s", id_, error)

    async def hand_over(self, id_: str) -> None:
        """Let other processes find this one at once, as one whose caller they have taken for dead."""
        self.release(id_)
        if self._shared is not None:
            with suppress(SharedStateError):
                await self._shared.here().forget(id_)

    async def _claim(self, created: T) -> T:
        """Note that what was created has its caller: at once here, and then in other processes."""
        self._registry().note_response()
        self.claim_ids([created.id])
        if self._shared is None:
            return created
        try:
            with anyio.CancelScope(shield=True):
                await self._shared.here().note(self._service, created.id)
        except (SharedStateError, ClientClosed) as error:  # it exists, whether others know of it or not
            logger.warning("other processes may take %s for theirs: %s", created.id, error)
        except BaseException:
            self.release(created.id)
            raise
        return created

    @property
    def _service(self) -> str:
        return f"{origin(self._config.base_url)} {self._kind.noun}"

    def _lock(self, name: str, *, shared: bool) -> AbstractAsyncContextManager[None]:
        """Hold the name in all processes: while sending, with others, or alone."""
        if self._shared is None:
            return nullcontext()
        return self._shared.here().lock(self._service, _name_key(name), shared=shared)

    async def _send(
        self, lock: "NameLock", body: bytes, send: Callable[[], Awaitable[T]]
    ) -> T | UnconfirmedCreate[T]:
        """Send; an unconfirmed create is noted before another one of that name is settled."""
        deadline, begun = self._config.deadline or inf, self._clock.monotonic()
        late = DeadlineExceeded(
            f"not done within {deadline:g} s: another {self._kind.noun} of that name was looked up first",
            hint="Creates of different names do not wait for each other.",
        )
        late.may_have_acted = False
        async with AsyncExitStack() as held:
            with self._clock.move_on_after(deadline) as waiting:
                await held.enter_async_context(lock.sending())
                await held.enter_async_context(self._lock(_name_of(body), shared=True))
            if waiting.cancelled_caught:
                raise late
            sent = self._clock.monotonic()
            # One that did not wait for its name is ended by the deadline of the request.
            with self._clock.move_on_after(deadline - (sent - begun) if sent - begun > _NO_WAIT else inf):
                try:
                    return await self._claim(self._note_time(await send()))
                except PlanetError as error:
                    if not is_ambiguous(error):
                        raise
                    now = self._clock.monotonic()
                    sent = sent if error.elapsed is None else now - error.elapsed
                    lost = UnconfirmedCreate[T](
                        lock, msgspec.json.decode(body), sent, now, error, error.attempts
                    )
                    lock.unconfirmed.append(lost)
                    return lost
        late.may_have_acted = not queued_for.get()
        raise late

    def _note_time(self, created: T) -> T:
        time = self._kind.created(created)
        if time is not None:
            self._registry().note_time(time)
        return created

    async def _settle(self, lost: UnconfirmedCreate[T], send: Callable[[], Awaitable[T]]) -> T:
        backoff = Schedule(self._config.first_backoff, 2.0, self._config.longest_backoff)
        for losses in count():
            logger.info("looking up whether the %s was created: %s", self._kind.noun, lost.cause)
            try:
                found = await self._look_up(lost, LOOKUP_TIMES if losses == 0 else LOOKUP_TIMES[-1:])
                if found is not None:
                    return await self._claim(found)
                if lost.attempts >= self._config.max_attempts:
                    break
                lost.second = await self._claim(self._note_time(await send()))
            except UnsettledCreate as unsettled:
                raise unsettled from lost.cause
            except PlanetError as error:
                if not is_ambiguous(error):
                    raise
                lost.attempts += error.attempts
                lost.failed, lost.cause = self._clock.monotonic(), error
                await self._clock.sleep(random.uniform(0, backoff.pause(losses + 1)))  # noqa: S311 - spreads load
            else:
                return await self._prefer_first(lost, lost.second)
        times = "1 attempt" if lost.attempts == 1 else f"{lost.attempts} attempts"
        raise self._unsettled(lost, f"after {times} it is not listed") from lost.cause

    async def _prefer_first(self, lost: UnconfirmedCreate[T], second: T) -> T:
        """Return the second create, unless a list shows now that the first was acted on, too."""
        sent_again = self._clock.monotonic()
        for share in _SECOND_LOOKUP_TIMES:
            due = sent_again + share * self._config.consistency_delay
            await self._clock.sleep(due - self._clock.monotonic())
            try:
                async with self._registry().lookups:
                    lookup = await self._list(lost, everything=share == _SECOND_LOOKUP_TIMES[-1])
            except ClientClosed:
                raise
            except PlanetError as error:
                logger.info("whether a %s was created twice is not known: %s", self._kind.noun, error)
                continue
            for first in lookup.exact:
                if not self._is_anothers(lost, first):
                    return await self._cancel_second(lost, first, second)
        return second

    async def _cancel_second(self, lost: UnconfirmedCreate[T], first: T, second: T) -> T:
        noun = self._kind.noun
        try:
            await self._kind.cancel(second.id)
        except PlanetError as error:
            why = f"it was listed only after it had been sent again; cancelling failed: {error.message}"
            raise self._unsettled(lost, why, [first.id, second.id]) from error
        logger.warning(
            "the %s %r was created twice, since the first was listed late: %s is kept, %s was cancelled",
            *(noun, lost.name, first.id, second.id),
        )
        return await self._claim(first)  # the second stays known: no caller may get it

    async def _look_up(self, lost: UnconfirmedCreate[T], times: Sequence[float] = LOOKUP_TIMES) -> T | None:
        """Return what the create made, or None once the lists would show it; else raise UnsettledCreate."""
        settled = lost.failed + self._config.consistency_delay
        for share in times:
            due = lost.failed + share * self._config.consistency_delay
            await self._clock.sleep(due - self._clock.monotonic())
            is_last = share == times[-1] or self._clock.monotonic() >= settled
            lookup = await self._list_persistently(lost, everything=is_last)
            if lookup.exact:
                self._warn_of_others(lost, lookup)
                return lookup.exact[0]
            if is_last and lookup.candidates:
                why = "something like it exists"
                if lookup.certain is None:
                    why = "the service does not say its time; by the clock of this machine it may be"
                raise self._unsettled(lost, why, lookup.candidates)
            if is_last:
                break
        return None

    def _warn_of_others(self, lost: UnconfirmedCreate[T], lookup: Lookup[T]) -> None:
        """Warn where more exists than this process can have created without a response."""
        here = sum(create.attempts for create in lost.lock.unconfirmed)
        if (
            self._shared is None
            and here
            and len(lookup.exact) > here
            and not self._registry().has_abandoned(lost.name)
        ):
            warnings.warn(
                f"another process creates {self._kind.noun}s of the same name and content at the same time, "
                f"{lost.name!r}: which of {', '.join(one.id for one in lookup.exact)} is whose is a guess; "
                "names must differ between processes",
                RuntimeWarning,
                stacklevel=2,
            )

    async def _list_persistently(self, lost: UnconfirmedCreate[T], *, everything: bool) -> Lookup[T]:
        """List until a list comes: a service that loses one response may lose others.

        One that does not respond is sent few lookups, and the other creates wait until one has a response.
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
                    lookup = await self._list(lost, everything=everything)
                except ClientClosed:
                    raise
                except PlanetError as error:
                    failure = error
                    if isinstance(error, PagingError) or (
                        isinstance(error, StatusError) and not error.transient
                    ):
                        break
                else:
                    registry.note_response()
                    return lookup
        why = "the service does not respond" if failure is lost.cause else "looking it up failed, too"
        if failure is not None and failure is not lost.cause:
            why += f" ({failure.message})"
        raise self._unsettled(lost, why) from failure

    async def _list(self, lost: UnconfirmedCreate[T], *, everything: bool) -> Lookup[T]:
        """List what has the name; and, where nothing of it is found, `everything` created since.

        The second finds what a service has renamed, and what a list that is not sorted has on a later page.
        """
        with self._clock.move_on_after(self._config.retry_for):
            pages = self._kind.list_by_name(lost.name)
            lookup = await self._without_others(lost, await self._read(lost, pages))
            if everything and not (lookup.exact or lookup.candidates):
                start, end = lookup.possible, None
                if self._clock.monotonic() - lost.failed > _LONGEST_RECOVERY:
                    end = start + timedelta(seconds=_LONGEST_RECOVERY + 2 * REMEMBERED)
                pages = self._kind.list_created(start, end)
                lookup = await self._without_others(lost, await self._read(lost, pages))
            return lookup
        raise PagingError(f"the list of {self._kind.noun}s was not read in {self._config.retry_for:g} s")

    async def _without_others(self, lost: UnconfirmedCreate[T], lookup: Lookup[T]) -> Lookup[T]:
        """Leave out what has its caller in another process now: it has none when that process has died."""
        if self._shared is not None and (lookup.exact or lookup.candidates):
            others = {*await self._shared.here().of_others(self._service, but=lost.sender)}
            lookup.exact = [one for one in lookup.exact if one.id not in others]
            lookup.candidates = [id_ for id_ in lookup.candidates if id_ not in others]
        return lookup

    async def _read(self, lost: UnconfirmedCreate[T], pages: Pages[T]) -> Lookup[T]:
        lookup: Lookup[T] | None = None
        known, first, last = self._registry(), None, None
        is_sorted = True
        number = 0
        async for page in pages:
            number += 1
            if number > _MOST_PAGES:
                raise PagingError(f"a list of {self._kind.noun}s is longer than {_MOST_PAGES} pages")
            lookup = lookup or self._lookup(lost, page.date)
            for one in page:
                created = self._kind.created(one)
                is_sorted = is_sorted and created is not None and (last is None or created <= last)
                first, last = first or created, created
                if one.id not in known and (created is None or created >= lookup.possible):
                    self._consider(lost, one, lookup)
            if is_sorted and first and last and last < min(first, lookup.possible):
                break  # all further ones are too old, where the list is seen to be sorted
        lookup = lookup or self._lookup(lost, None)
        # The oldest of several: a younger one is left to a create that was sent too late for the older.
        lookup.exact.sort(key=lambda one: self._kind.created(one) or lookup.possible)
        return lookup

    def _lookup(self, lost: UnconfirmedCreate[T], date: datetime | None) -> Lookup[T]:
        """Return a lookup that knows when the create was acted on, by the clock that resources are dated by.

        Creates with a response have shown that clock.  Else it is taken for that of the responses' Date,
        and where there is none for this machine's, by which nothing is certain.
        """
        ago = timedelta(seconds=self._clock.monotonic() - lost.sent + MARGIN)
        doubt = timedelta(seconds=_DOUBT if self._kind.changed is None else _LONG_DOUBT)
        times = self._registry().times()
        if date is not None and not times:
            times = [date]
        if not times:
            return Lookup(None, self._clock.now() - ago - timedelta(seconds=_WIDE_MARGIN))
        return Lookup(max(times) - ago, min([*times, date or times[0]]) - ago - doubt)

    def _consider(self, lost: UnconfirmedCreate[T], one: T, lookup: Lookup[T]) -> None:
        """Add a resource to what a lookup has found, if it may be what was created."""
        if one.id in lost.older:
            return
        likeness = self._kind.match(lost.body, one)
        if likeness is Match.NONE and not self._may_be_renamed(lost, one, lookup.certain):
            return
        if self._is_older(lost, one):
            lost.older.add(one.id)
            return
        certain, created = lookup.certain, self._kind.created(one)
        is_old = certain is not None and created is not None and created < certain
        if likeness is Match.EXACT and certain is not None and created is not None and not is_old:
            lookup.exact.append(one)
        elif (likeness is Match.EXACT or not is_old) and not self._is_anothers(lost, one):
            lookup.candidates.append(one.id)

    def _may_be_renamed(self, lost: UnconfirmedCreate[T], one: T, certain: datetime | None) -> bool:
        """Return whether it matches apart from its name, and was created at the same moment."""
        created = self._kind.created(one)
        if lost.cause is None or certain is None or created is None:
            return False  # after a crash, all that a job has created then may be like it
        sent = certain + timedelta(seconds=MARGIN)
        at_that_moment = abs((created - sent).total_seconds()) <= lost.failed - lost.sent + _NOISE_SECONDS
        shown = self._kind.shown(one)
        return at_that_moment and match_contents(lost.body, shown, self._kind.identity) is Match.EXACT

    def _is_older(self, lost: UnconfirmedCreate[T], one: T) -> bool:
        """Return whether the resource was last changed longer after its creation than the create is old."""
        created = self._kind.created(one)
        changed = None if self._kind.changed is None else self._kind.changed(one)
        if created is None or changed is None:
            return False
        return (changed - created).total_seconds() > self._clock.monotonic() - lost.sent + _NOISE_SECONDS

    def _is_anothers(self, lost: UnconfirmedCreate[T], one: T) -> bool:
        shown = self._kind.shown(one).get("name")
        if isinstance(shown, str) and self._registry().is_anothers(shown, lost.lock):
            return True
        others = (other for other in lost.lock.unconfirmed if other is not lost)
        return any(self._kind.match(other.body, one) is Match.EXACT for other in others)

    def _unsettled(
        self, lost: UnconfirmedCreate[T], why: str, candidates: Iterable[str] = ()
    ) -> UnsettledCreate:
        noun, ids = self._kind.noun, tuple(candidates)
        failed = "the response to its creation is not known"
        if lost.cause is not None:
            times = "" if lost.attempts == 1 else f", at the last of {lost.attempts} attempts"
            failed = f"creating it failed ({lost.cause.message}{times})"
        more = ", ..." if ids[_SHOWN_IDS:] else ""
        found = f" ({', '.join(ids[:_SHOWN_IDS])}{more})" if ids else ""
        error = UnsettledCreate(
            f"the {noun} {lost.name!r} may exist: {failed}, and {why}{found}",
            hint=f"Look at the {noun}s of that name before you create it again.",
            candidates=ids,
        )
        for note in getattr(lost.cause, "__notes__", ()):
            error.add_note(f"creating it: {note}")
        return error


def _name_of(body: bytes) -> str:
    return str(msgspec.json.decode(body).get("name", ""))


def is_ambiguous(error: PlanetError) -> bool:
    """Return whether the resource may exist without a response, and can still be looked up."""
    may_exist = error.may_have_acted or isinstance(error, DecodeError)
    return may_exist and not isinstance(error, ClientClosed | DeadlineExceeded)


@define(eq=False)
class NameLock:
    """The creates of one name: any number is sent concurrently, but an unconfirmed one is settled alone."""

    unconfirmed: list[UnconfirmedCreate[Any]] = field(factory=list)
    users: int = 0
    _sending: int = 0
    _gate: anyio.Lock = field(factory=lambda: anyio.Lock(fast_acquire=True))
    _idle: anyio.Event = field(factory=anyio.Event)

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
    """The creates of one kind, of all clients of an address in an event loop.

    It also limits the lookups: to some at a time (`lookups`), and to few where none has a response.
    """

    def __init__(self, clock: Clock) -> None:
        self.lookups: anyio.Semaphore = anyio.Semaphore(_LOOKUPS_AT_ONCE, fast_acquire=True)
        self._clock = clock
        self._lookups_left = _INITIAL_LOOKUPS
        self._names: dict[str, NameLock] = {}
        self._begun: dict[object, float] = {}  # creates under way, the oldest first
        self._known: dict[str, float] = {}  # ids that have their caller, and since when, the oldest first
        self._abandoned: dict[str, float] = {}  # names of creates that ended in an error or were cancelled
        self._times = deque[tuple[datetime, float]](maxlen=_RESPONSES_KEPT)

    @asynccontextmanager
    async def using(self, text: str) -> AsyncIterator[NameLock]:
        """Keep the lock of a name, and of those that a service may make the same, during a create."""
        key, token = _name_key(text), object()
        name = self._names.setdefault(key, NameLock())
        name.users += 1
        self._begun[token] = self._clock.monotonic()
        try:
            yield name
        except BaseException:
            self._abandoned.pop(key, None)
            self._abandoned[key] = self._clock.monotonic()
            raise
        finally:
            del self._begun[token]
            name.users -= 1
            if not name.users:
                del self._names[key]

    def is_anothers(self, text: str, name: NameLock) -> bool:
        """Return whether something is, or was lately, being created under a name that has another lock."""
        lock = self._names.get(_name_key(text))
        return self.has_abandoned(text) if lock is None else lock is not name

    def has_abandoned(self, text: str) -> bool:
        """Return whether a create of that name has lately failed or been cancelled in this process."""
        given_up = self._abandoned.get(_name_key(text), -inf)
        return given_up >= self._clock.monotonic() - REMEMBERED

    def note_time(self, created: datetime) -> None:
        """Note that something was created at that time, and that the response has just come."""
        self._times.append((created, self._clock.monotonic()))

    def times(self) -> list[datetime]:
        """Return what the clock that resources are dated by shows now at least, by each noted time."""
        now = self._clock.monotonic()
        return [time + timedelta(seconds=now - moment) for time, moment in self._times]

    def __contains__(self, id_: str) -> bool:
        return id_ in self._known

    def add(self, ids: Iterable[str]) -> None:
        now = self._clock.monotonic()
        for id_ in ids:
            self._known.pop(id_, None)
            self._known[id_] = now
        # What was known well before the oldest create under way was sent cannot be taken for it.
        old = next(iter(self._begun.values()), now) - REMEMBERED
        for remembered in (self._known, self._abandoned):
            while remembered and next(iter(remembered.values())) < old:
                del remembered[next(iter(remembered))]

    def remove(self, id_: str) -> None:
        """Note that this one has lost its caller, and can be found again."""
        self._known.pop(id_, None)

    @property
    def is_past(self) -> bool:
        """Return whether no create is in progress, and none is recent enough to be confused with another."""
        newest = next(reversed(self._known.values()), None)
        return not self._begun and (newest is None or newest < self._clock.monotonic() - REMEMBERED)

    def may_look_up(self) -> bool:
        """Return whether to send a lookup: rarely where no recent one had a response."""
        if self._lookups_left < 1:
            self._lookups_left += _LOOKUPS_PER_SKIP
            return False
        self._lookups_left -= 1  # until the service responds
        return True

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
    # The registry holds its clock, whose id stays its own.
    key = (clock if isinstance(clock, Hashable) else id(clock), address, noun)
    registry = registries.get(key)
    if registry is None:
        for past in [place for place, kept in registries.items() if kept.is_past]:
            del registries[past]
        registry = registries[key] = CreateRegistry(clock)
    return registry


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
    name = match_names(asked.get("name"), shown.get("name"))
    return name if name is Match.NONE else max(name, match_contents(asked, shown, identity))


def match_contents(asked: Mapping[str, Any], shown: Mapping[str, Any], identity: str) -> Match:
    """Compare the body of a create with what exists, but for the name."""
    if shown.get(identity) is None:
        return Match.POSSIBLE
    try:
        found = _compare(asked.get(identity), shown[identity])
        others = {key: value for key, value in asked.items() if key != "name"}
        rest = max((_compare(value, shown.get(key)) for key, value in others.items()), default=Match.EXACT)
    except RecursionError:  # nested too deeply to be compared
        return Match.POSSIBLE
    return max(found, min(rest, Match.POSSIBLE))


def match_names(asked: object, shown: object) -> Match:
    """Compare a name with what a service has made of it.

    Services strip and collapse spaces, change case, compose Unicode and cut: that is an exact match.  It is a
    possible one where only the letters and digits of ASCII agree, much is cut, or something is added.
    """
    if asked == shown:
        return Match.EXACT
    if not (isinstance(asked, str) and isinstance(shown, str)):
        return Match.NONE
    wanted, found = _plain(asked), _plain(shown)
    if wanted == found or (len(found) >= _LONG_NAME and wanted.startswith(found)):
        return Match.EXACT
    letters = _letters(wanted)
    is_cut = len(found) >= _LEAST_CUT and wanted.startswith(found[:-1])  # perhaps within a character
    begins, ends = found.startswith(wanted), found.endswith(wanted)
    is_longer = (begins and not found[len(wanted)].isalnum()) or (
        ends and not found[-len(wanted) - 1].isalnum()
    )
    if is_cut or (letters and letters == _letters(found)) or (wanted and is_longer):
        return Match.POSSIBLE
    return Match.NONE


def _plain(name: str) -> str:
    composed = unicodedata.normalize("NFKC", name).casefold()
    return " ".join("".join(each if each.isprintable() else " " for each in composed).split())


def _letters(name: str) -> str:
    return "".join(each for each in unicodedata.normalize("NFKD", name) if each.isascii() and each.isalnum())


def _name_key(name: str) -> str:
    return _plain(name)[:_LONG_NAME]


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
