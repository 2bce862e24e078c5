"""Lists by tables: which filters a list has, by which fields it is sorted, and how it is paged."""

import base64
import binascii
import operator
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar
from zlib import crc32

import msgspec
from attrs import field, frozen

from planet_async.simulator.context import Interval, ListOrder
from planet_async.simulator.http import Refused, ServerRequest, ServerResponse, json_response, refuse
from planet_async.simulator.resources import Resource

USER_ID = 1  # the only user of the only organization

COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}

T = TypeVar("T")
Get = Callable[[Any], Any]
Test = Callable[[Any], bool]
Filter = Callable[[Sequence[str]], Test]
"""Makes the test of one resource from the values of a parameter; ValueError for a value that is invalid."""


def equal(get: Get) -> Filter:
    return lambda values: lambda each: get(each) == values[-1]


def contains(get: Get) -> Filter:
    return lambda values: lambda each: values[-1] in get(each)


def within(get: Get) -> Filter:
    """An instant or an interval; what has no such moment is in none."""

    def read(values: Sequence[str]) -> Test:
        interval = Interval.parse(values[-1])
        return lambda each: (moment := get(each)) is not None and moment in interval

    return read


def one_of(get: Get, allowed: Collection[str], *, commas: bool = False) -> Filter:
    """Any of the values, which may be repeated; with `commas` one may be a list, or ``all``."""

    def read(values: Sequence[str]) -> Test:
        words = {word for value in values for word in (value.split(",") if commas else [value])}
        if commas and "all" in words:
            return lambda _: True
        if unknown := words.difference(allowed):
            raise ValueError(f"{min(unknown)!r} is not one of {', '.join(allowed)}")
        return lambda each: get(each) in words

    return read


def is_set(get: Get) -> Filter:
    """``true`` or ``false``, which selects those without [L]."""

    def read(values: Sequence[str]) -> Test:
        word = values[-1].lower()
        if word not in {"true", "false"}:
            raise ValueError(f"{values[-1]!r} is not true or false")
        return lambda each: get(each) == (word == "true")

    return read


def of_user(values: Sequence[str]) -> Test:
    """``all`` or a number: there is one user."""
    if values[-1] != "all" and not (values[-1].isascii() and values[-1].isdigit()):
        raise ValueError(f"{values[-1]!r} is not all or a number")
    return lambda _: values[-1] in {"all", str(USER_ID)}


Place = list[int | str]
"""The values that a resource is sorted by, and its number, which decides where they are equal."""


@frozen
class Sorting:
    """The fields to sort by, each with whether it is descending."""

    fields: tuple[tuple[str, bool], ...]
    gets: Mapping[str, tuple[Get, type]] = field(repr=False)

    @property
    def descending(self) -> bool:
        """Return whether the first field is descending; ties are sorted by number in the same direction."""
        return self.fields[0][1]

    def is_by(self, name: str) -> bool:
        return len(self.fields) == 1 and self.fields[0][0] == name

    def sort(self, resources: Iterable[Resource]) -> list[Any]:
        """Return resources, which are in the order of their numbers, sorted."""
        found = list(resources)
        if self.descending:
            found.reverse()
        for name, descending in reversed(self.fields):
            found.sort(key=self.gets[name][0], reverse=descending)
        return found

    def is_beyond(self, resource: Resource, marker: Place) -> bool:
        downs = (*(descending for _, descending in self.fields), self.descending)
        for value, other, descending in zip(self._place(resource), marker, downs, strict=True):
            if value != other:
                return bool(value < other) == descending  # type: ignore[operator]
        return False

    def marker(self, resource: Resource) -> str:
        # The real marker is a time [H]; that would lose resources which share it.
        return base64.urlsafe_b64encode(msgspec.json.encode(self._place(resource))).decode()

    def read_marker(self, text: str) -> Place:
        """Return what a marker remembers; ValueError where it is none of a list sorted like this."""
        try:
            place = msgspec.json.decode(base64.urlsafe_b64decode(text), type=list[int | str])
        except (msgspec.DecodeError, binascii.Error, ValueError):
            place = []
        kinds = [*(self.gets[name][1] for name, _ in self.fields), int]
        if [type(value) for value in place] != kinds or any(v < 0 for v in place if isinstance(v, int)):
            raise ValueError("the page marker is not one of this list")
        return place

    def _place(self, resource: Resource) -> Place:
        return [*(self.gets[name][0](resource) for name, _ in self.fields), resource.number]


@frozen
class Query:
    """A request for one page of a list: which resources, in which order, from where, and how many."""

    tests: Sequence[Test]
    sorting: Sorting
    size: int
    marker: Place | None

    def page(self, resources: Iterable[Resource], *, is_sorted: bool = False) -> tuple[list[Any], str | None]:
        """Return the resources of the page, and the marker of the next one, if there is one."""
        found: Iterator[Any] = iter(resources)
        for test in self.tests:
            found = filter(test, found)
        if not is_sorted:
            found = iter(self.sorting.sort(found))
            if self.marker is not None:
                marker = self.marker
                found = (each for each in found if self.sorting.is_beyond(each, marker))
        page = list(islice(found, self.size + 1))  # one more shows whether there is another page
        more = len(page) > self.size
        return page[: self.size], self.sorting.marker(page[self.size - 1]) if more else None


@frozen(kw_only=True)
class ListRules:
    """The tables of one list; `refuse` makes the refusal of a parameter, by its name and what is wrong.

    `defaults` are values of parameters that are not in the query.
    """

    refuse: Callable[[str, str], ServerResponse]
    filters: Mapping[str, Filter]
    sorts: Mapping[str, tuple[Get, type]] = field(factory=dict)
    newest: tuple[tuple[str, bool], ...] = ()
    page_sizes: range
    defaults: Mapping[str, str] = field(factory=dict)

    def tests(self, request: ServerRequest) -> list[Test]:
        """Return the tests of the filters in the query."""
        tests = []
        for name, make in self.filters.items():
            values = request.params.get(name) or ([self.defaults[name]] if name in self.defaults else [])
            if values and values != [""]:
                tests.append(self._parsed(name, make, values))
        return tests

    def query(self, request: ServerRequest, page_size: int, order: ListOrder) -> Query:
        """Return the request for a page."""
        tests = self.tests(request)
        fields = self.read(request, "sort_by", self._sort_fields, self.newest)
        if order == "oldest":
            fields = tuple((name, False) for name, _ in self.newest)
        sorting = _SHUFFLED if order == "shuffled" else Sorting(fields, self.sorts)
        marker = self.read(request, "page_marker", sorting.read_marker, None)
        return Query(tests, sorting, self.size(request, page_size), marker)

    def size(self, request: ServerRequest, default: int) -> int:
        """Return the size of a page; what 0 means, where it is allowed, is not known [L]."""
        return self.read(request, "page_size", self._page_size, default) or default

    def read(self, request: ServerRequest, name: str, parse: Callable[[str], T], default: T) -> T:
        """Return a parameter of the query, or the default."""
        text = request.param(name)
        return self._parsed(name, parse, text) if text else default

    def _parsed(self, name: str, parse: Callable[[Any], T], value: object) -> T:
        try:
            return parse(value)
        except ValueError as error:
            refusal = self.refuse(name, str(error))
        raise Refused(refusal)

    def _page_size(self, text: str) -> int:
        if int(text) not in self.page_sizes:
            raise ValueError(f"the page size must be from {self.page_sizes[0]} to {self.page_sizes[-1]}")
        return int(text)

    def _sort_fields(self, text: str) -> tuple[tuple[str, bool], ...]:
        """Read ``name,state DESC``."""
        fields = []
        for part in text.split(","):
            name, _, direction = part.strip().partition(" ")
            if name not in self.sorts or direction.strip().upper() not in {"", "ASC", "DESC"}:
                raise ValueError(f"{part.strip()!r} is not a field to sort by")
            fields.append((name, direction.strip().upper() == "DESC"))
        return tuple(fields)


def page_response(
    request: ServerRequest, url: str, key: str, items: Sequence[object], marker: str | None
) -> ServerResponse:
    """Return a page in the form that Orders and Subscriptions share [H]."""
    links = {"_self": f"{url}?{request.query}" if request.query else url}
    if marker is not None:
        links["next"] = request.link(url, page_marker=marker)
    return json_response({"_links": links, key: items})


@frozen
class Cursor:
    """A place in a list that is paged by `_page`, an opaque token: with it, size and sort are set [H].

    What is added at the front of a list shifts it, as it does with offsets [L].

    Args:
        key: What else belongs to the list.
    """

    offset: int
    size: int
    sort: str = ""
    key: str = ""

    @classmethod
    def read(cls, request: ServerRequest, size: int, sorts: Sequence[str] = ("",)) -> "Cursor":
        """Return the place that the request asks for; the first sort is the default."""
        token, text = request.param("_page"), request.param("_page_size")
        sort = request.param("_sort").lower() or sorts[0]
        if token:
            if text or request.param("_sort"):
                refuse({"_page": ["_page_size and _sort may not be sent with _page"]})
            try:
                return msgspec.convert(msgspec.json.decode(decoded_token(token)), cls)
            except (ValueError, msgspec.DecodeError):
                refuse({"_page": ["not a page of this list"]})
        if text and not (text.isascii() and text.isdigit() and int(text)):
            refuse({"_page_size": [f"{text!r} is not a number of items"]})
        if sort not in sorts:
            refuse({"_sort": [f"{sort!r} is not one of {', '.join(sorts)}"]})
        return cls(0, int(text or size), sort)

    def page(self, found: Sequence[T], url: str, *, key: str = "") -> tuple[Sequence[T], dict[str, str]]:
        """Return the items of the page, and the links to pages of the list at that address."""

        def link(offset: int) -> str:
            place = {"offset": offset, "size": self.size, "sort": self.sort, "key": key or self.key}
            return f"{url}{'&' if '?' in url else '?'}_page={token_of(place)}"

        links = {"_first": link(0), "_self": link(self.offset)}
        if self.offset + self.size < len(found):
            links["_next"] = link(self.offset + self.size)
        if self.offset:
            links["_prev"] = link(max(0, self.offset - self.size))
        return found[self.offset : self.offset + self.size], links


def offset_links(
    request: ServerRequest, url: str, limit: int, offset: int, count: int
) -> tuple[str | None, str | None]:
    """Return the links to the previous and to the next page of a list that is paged by offsets."""

    def link(start: int) -> str:
        return request.link(url, limit=limit, offset=start)

    return (
        link(max(0, offset - limit)) if offset else None,
        link(offset + limit) if offset + limit < count else None,
    )


def token_of(place: Mapping[str, object]) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def decoded_token(token: str) -> bytes:
    return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))


def shuffled(resource_id: str) -> int:
    """Return a number to sort by that has nothing to do with any field."""
    return crc32(resource_id.encode())


_SHUFFLED = Sorting((("id", False),), {"id": (lambda each: shuffled(each.id), int)})
