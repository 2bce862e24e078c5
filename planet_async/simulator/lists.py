"""How a list of orders or subscriptions is sorted, and the markers that remember a place in it."""

import base64
import binascii
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from operator import attrgetter
from typing import Any, ClassVar, Protocol, Self, TypeVar

import msgspec
from attrs import frozen

from planet_async.simulator.order_book import Order

LARGEST_INTEGER = 1 << 63


class Numbered(Protocol):
    """Something that has a number, by the order of creation."""

    number: int


T = TypeVar("T", bound=Numbered)

Place = Sequence[int | str]
"""The values that something is sorted by, and its number, which settles what is left."""

_FIELDS: Mapping[str, Callable[[Order], int | str]] = {
    "name": attrgetter("name"),
    "created_on": attrgetter("created"),
    "state": attrgetter("state"),  # by the word, not by progress [L]
    "last_modified": attrgetter("modified"),
}
_TEXTS = frozenset({"name", "state"})


class _Descending(str):
    """Text that sorts the other way round."""

    __slots__ = ()

    def __lt__(self, other: str) -> bool:
        return str.__gt__(self, other)


@frozen
class Sorting:
    """The fields to sort by, each with whether it runs down; what is left runs as the first field does."""

    known: ClassVar[Mapping[str, Callable[[Any], int | str]]] = _FIELDS
    texts: ClassVar[frozenset[str]] = _TEXTS

    fields: tuple[tuple[str, bool], ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``name,state DESC``; ValueError for a field or direction that is none."""
        fields = []
        for part in text.split(","):
            name, _, direction = part.strip().partition(" ")
            if name not in cls.known or direction.strip().upper() not in {"", "ASC", "DESC"}:
                raise ValueError(f"{part.strip()!r} is not a field to sort by")
            fields.append((name, direction.strip().upper() == "DESC"))
        return cls(tuple(fields))

    @property
    def down(self) -> bool:
        """Whether the list runs down by its first field."""
        return self.fields[0][1]

    def by(self, name: str) -> bool:
        """Tell whether that is the only field to sort by."""
        return len(self.fields) == 1 and self.fields[0][0] == name

    def beyond(self, marker: Place | None, things: Iterable[T]) -> Iterator[T]:
        """Sort things that come by number, and yield those behind the marker."""
        found = list(things)
        if self.down:
            found.reverse()
        for name, down in reversed(self.fields):  # stable sorts cost less than one key
            found.sort(key=self.known[name], reverse=down)
        start = 0
        if marker is not None:
            start = bisect_right(found, self._key(marker), key=lambda each: self._key(self._place(each)))
        return islice(found, start, None)

    def _key(self, place: Place) -> tuple[Any, ...]:
        downs = (*(down for _, down in self.fields), self.down)
        return tuple(_turned(value) if down else value for value, down in zip(place, downs, strict=True))

    def marker(self, thing: Numbered) -> str:
        """Give the page marker that stands behind something."""
        # The real marker is a time [H]; nobody may rely on that, and a time would lose orders that share it.
        return base64.urlsafe_b64encode(msgspec.json.encode(self._place(thing))).decode()

    def read_marker(self, text: str) -> Place:
        """Give the place that a marker remembers; ValueError where it is none of a list sorted like this."""
        try:
            place = msgspec.json.decode(base64.urlsafe_b64decode(text))
        except (msgspec.DecodeError, binascii.Error, ValueError):
            place = None
        kinds = [*(str if name in self.texts else int for name, _ in self.fields), int]
        if not isinstance(place, list) or [type(value) for value in place] != kinds:
            raise ValueError("the page marker is not one of this list")
        if any(isinstance(value, int) and not 0 <= value < LARGEST_INTEGER for value in place):
            raise ValueError("the page marker is not one of this list")
        return place

    def _place(self, thing: Numbered) -> Place:
        return [*(self.known[name](thing) for name, _ in self.fields), thing.number]


NEWEST_FIRST = Sorting((("created_on", True),))
"""How it is without `sort_by` [M]."""


def _turned(value: int | str) -> int | str:
    return _Descending(value) if isinstance(value, str) else -value
