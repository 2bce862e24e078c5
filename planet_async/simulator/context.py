"""State shared by the simulated APIs: the time, their addresses, and the key that signs links.

A moment is a number of microseconds since 1970.
"""

import random
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from functools import lru_cache, partial
from hashlib import blake2b
from typing import Literal
from uuid import UUID

from attrs import define, field, frozen

from planet_async.clock import Clock

NO_EXPIRY = "0001-01-01T00:00:00.000Z"  # Go's zero time, where nothing expires [H]

ListOrder = Literal["requested", "oldest", "shuffled"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MICROSECONDS = 1_000_000
_RFC3339 = re.compile(  # datetime.fromisoformat accepts more than this
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_OPEN = ".."
_LONGEST_NAME = 100
_HASH_LETTERS = 7

NAME_CHANGES: Mapping[str, Callable[[str], str]] = {
    "strip": str.strip,
    "collapse": lambda name: " ".join(name.split()),
    "newline": lambda name: name.rstrip("\r\n"),
    "lower": str.lower,
    "nfc": partial(unicodedata.normalize, "NFC"),
    "cut": lambda name: name[:_LONGEST_NAME],
}
"""How a service may change the names of what is created."""


@define(kw_only=True)
class Context:
    """The options that all APIs share, the time, and the ids; the same seed makes the same ids."""

    clock: Clock
    base_url: str
    storage_url: str
    link_seconds: float
    page_size: int
    change_name: Callable[[str], str]
    database_lag: float
    list_delay: float
    list_order: ListOrder
    seed: int
    _random: random.Random = field(init=False)
    _key: bytes = field(init=False)
    _start: int = field(init=False)
    _at: int | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - repeatable ids, not secrets
        self._key = self._random.randbytes(32)
        # The monotonic clock counts on: time does not go back when the date of the machine is set back.
        self._start = after(_moment(self.clock.now()), -self.database_lag) - self.elapsed()

    @property
    def tiles_url(self) -> str:
        """The address of thumbnails: another origin than that of the API, but where that is a socket."""
        return self.base_url.replace("//api.planet.com", "//tiles.planet.com")

    def now(self) -> int:
        """Return the present moment of the service's database, which all resources are stamped with."""
        return self._start + self.elapsed() if self._at is None else self._at

    def date(self) -> str:
        """Return the Date header: the clock of the web server, to the second."""
        return formatdate(after(self.now(), self.database_lag) // _MICROSECONDS, usegmt=True)

    def elapsed(self) -> int:
        """Return the microseconds since some moment; `move_clock` does not change them."""
        return round(self.clock.monotonic() * _MICROSECONDS)

    def move_clock(self, seconds: float) -> None:
        self._start = after(self._start, seconds)

    @contextmanager
    def at(self, moment: int) -> Iterator[None]:
        """Hold the time: for one request, or for something that was due in the past."""
        self._at = moment
        try:
            yield
        finally:
            self._at = None

    def is_listed(self, created: int) -> bool:
        """Return whether lists have what was created then: they may lag behind."""
        return not self.list_delay or after(created, self.list_delay) <= self.now()

    def new_id(self) -> str:
        return str(UUID(int=self._random.getrandbits(128), version=4))

    def new_hash(self) -> str:
        """Return the short form of an id, which ends those that begin with a name [H]."""
        return self.new_id()[:_HASH_LETTERS]

    def sign(self, name: str, expires: int) -> str:
        """Return the signature of a name that is valid until that moment."""
        return blake2b(f"{expires} {name}".encode(), key=self._key, digest_size=12).hexdigest()


def after(moment: int, seconds: float) -> int:
    return moment + round(seconds * _MICROSECONDS)


def seconds_between(start: int, end: int) -> float:
    return (end - start) / _MICROSECONDS


@lru_cache(maxsize=10_000)  # lists show the same moments again and again
def render(moment: int) -> str:
    """Return a moment as the API writes it: UTC, with as many fractional digits as needed [H, recorded]."""
    text = (_EPOCH + timedelta(microseconds=moment)).isoformat()[:-6]
    return f"{text.rstrip('0') if '.' in text else text}Z"


def six_digits(moment: int) -> str:
    """Return a moment as other APIs write it: always with six fractional digits [H, recorded]."""
    time = _EPOCH + timedelta(microseconds=moment)
    return f"{time.isoformat(timespec='microseconds')[:-6]}Z"


def slug(name: str) -> str:
    """Return what an id has of a name: letters and digits, and dashes between them."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


@lru_cache(maxsize=10_000)
def parse(text: str) -> int:
    """Return the moment of an RFC 3339 time; ValueError for anything else."""
    if not _RFC3339.fullmatch(text):
        raise ValueError(f"{text!r} is not an RFC 3339 date-time")
    return _moment(datetime.fromisoformat(text.upper()))


def _moment(time: datetime) -> int:
    return (time - _EPOCH) // _MICROSECOND


@frozen
class Interval:
    """From `start`, inclusive, to `end`, exclusive; None is an open end."""

    start: int | None = None
    end: int | None = None

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
