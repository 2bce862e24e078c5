"""What all simulated APIs share: the time, the addresses, and the key that links are signed with."""

import random
import re
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from functools import lru_cache
from hashlib import blake2b
from uuid import UUID

from attrs import frozen

from planet_async.clock import Clock

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MICROSECONDS = 1_000_000
_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)  # fromisoformat takes more
_OPEN = ".."

NO_EXPIRY = "0001-01-01T00:00:00.000Z"  # Go's zero time: what the API writes where nothing expires [H]


class Timeline:
    """The present moment, on a clock; it never goes back, even where the date of the machine is set back."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._start = _moment(clock.now()) - round(clock.monotonic() * _MICROSECONDS)

    def move(self, seconds: float) -> None:
        """Set the time forward, or back: this goes back all the same."""
        self._start = after(self._start, seconds)

    def now(self) -> int:
        """Give the present moment."""
        return self._start + self.elapsed()

    def elapsed(self) -> int:
        """Give the microseconds since some moment; nobody moves these."""
        return round(self._clock.monotonic() * _MICROSECONDS)


def after(moment: int, seconds: float) -> int:
    """Give the moment that many seconds later."""
    return moment + round(seconds * _MICROSECONDS)


def seconds_between(start: int, end: int) -> float:
    """Give the seconds from one moment to another."""
    return (end - start) / _MICROSECONDS


@lru_cache(maxsize=10_000)  # lists show the same moments again and again
def render(moment: int) -> str:
    """Write a moment as the API does: UTC, as many fractional digits as are needed [H, recorded]."""
    text = (_EPOCH + timedelta(microseconds=moment)).isoformat()[:-6]
    return f"{text.rstrip('0') if '.' in text else text}Z"


def http_date(moment: int) -> str:
    """Write a moment as HTTP headers do: to the second."""
    return formatdate(moment // _MICROSECONDS, usegmt=True)


def parse(text: str) -> int:
    """Read an RFC 3339 time; ValueError for anything else."""
    if not _RFC3339.fullmatch(text):
        raise ValueError(f"{text!r} is not an RFC 3339 date-time")
    return _moment(datetime.fromisoformat(text.upper()))


def _moment(time: datetime) -> int:
    return (time - _EPOCH) // _MICROSECOND


@frozen
class Interval:
    """From `start`, inclusive, to `end`, exclusive; None is an open end."""

    start: int | None
    end: int | None

    @classmethod
    def parse(cls, text: str) -> "Interval":
        """Read an instant, ``a/b``, ``a/..`` or ``../b``; ValueError for anything else."""
        first, slash, second = text.partition("/")
        if not slash:
            instant = parse(first)
            return cls(instant, instant + 1)
        if first == second == _OPEN:
            raise ValueError("an interval needs a start or an end")
        start = None if first == _OPEN else parse(first)
        end = None if second == _OPEN else parse(second)
        if start is not None and end is not None and end < start:
            raise ValueError("the interval ends before it starts")
        return cls(start, end)

    def __contains__(self, moment: int) -> bool:
        return (self.start is None or self.start <= moment) and (self.end is None or moment < self.end)


class Context:
    """The ground that the APIs of one simulator stand on; the same seed gives the same ids and signatures."""

    def __init__(
        self, *, clock: Clock, base_url: str, storage_url: str, link_seconds: float, seed: int
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.storage_url = storage_url.rstrip("/")
        self.link_seconds = link_seconds
        self._random = random.Random(seed)  # noqa: S311 - repeatable ids, not secrets
        self._key = self._random.randbytes(32)
        timeline = Timeline(clock)
        self.now, self.elapsed, self.move_clock = timeline.now, timeline.elapsed, timeline.move

    def new_id(self) -> str:
        """Make the id of something new."""
        return str(UUID(int=self._random.getrandbits(128), version=4))

    def sign(self, name: str, expires: int) -> str:
        """Give the signature of a name that holds until that moment."""
        return blake2b(f"{expires} {name}".encode(), key=self._key, digest_size=12).hexdigest()
