"""One page of the orders list: filters, sorting and page markers of ``GET /compute/ops/orders/v2``."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode

from attrs import frozen

from planet_async.simulator.exchange import Call, Refused, field_errors
from planet_async.simulator.order_book import Order, OrderBook
from planet_async.simulator.sorting import NEWEST_FIRST, Place, Sorting
from planet_async.simulator.times import Interval

MAX_PAGE_SIZE = 500  # no maximum is documented: ours [L]
USER_ID = 1

_STATES = ("queued", "running", "failed", "success", "partial", "cancelled")
_SOURCE_TYPES = frozenset({"scenes", "basemaps"})
_ALWAYS = Interval(None, None)


@frozen
class Filters:
    """Which orders are asked for; an empty set asks for all."""

    states: frozenset[str]
    source_types: frozenset[str]
    name: str | None
    name_contains: str | None
    created: Interval
    modified: Interval
    hosting: bool | None
    destination_ref: str | None
    nobody: bool  # another user's orders, and there is no other user

    def passing(self, orders: Iterable[Order]) -> Iterator[Order]:
        """Yield those that are asked for."""
        for order in orders:
            if (
                (not self.states or order.state in self.states)
                and order.source_type in self.source_types
                and (self.name is None or order.name == self.name)
                and (self.name_contains is None or self.name_contains in order.name)
                and order.created in self.created
                and order.modified in self.modified
                and (self.hosting is None or order.hosted == self.hosting)
                and (self.destination_ref is None or order.destination_ref == self.destination_ref)
                and not (self.nobody or order.hidden)
            ):
                yield order


@frozen
class Listing:
    """A list request: what, in which order, from where, how much."""

    filters: Filters
    sorting: Sorting
    page_size: int
    marker: Place | None

    @classmethod
    def parse(cls, call: Call, page_size: int) -> Self:
        """Read the query; Refused with 400 for a value that is none."""
        problems: dict[str, list[str]] = {}

        def read(name: str, parse: Callable[[str], Any], default: Any = None) -> Any:
            values = call.params.get(name)
            if values is None:
                return default
            try:
                return parse(values[-1])
            except ValueError as error:
                problems.setdefault(name, []).append(str(error))
                return default

        sorting = read("sort_by", Sorting.parse, NEWEST_FIRST)
        filters = Filters(
            states=frozenset(call.params.get("state", ())),
            source_types=_source_types(call.params.get("source_type", ["scenes"])),
            name=read("name", str),
            name_contains=read("name__contains", str),
            created=read("created_on", Interval.parse, _ALWAYS),
            modified=read("last_modified", Interval.parse, _ALWAYS),
            hosting=read("hosting", _boolean),
            destination_ref=read("destination_ref", str),
            nobody=read("user_id", _user, USER_ID) != USER_ID,
        )
        marker = read("page_marker", sorting.read_marker)
        listing = cls(filters, sorting, read("page_size", _page_size, page_size), marker)
        for name, allowed, given in (
            ("state", _STATES, filters.states),
            ("source_type", sorted(_SOURCE_TYPES), filters.source_types),
        ):
            if unknown := given.difference(allowed):
                problems[name] = [f"{min(unknown)!r} is not one of {', '.join(allowed)}"]
        if problems:
            raise Refused(field_errors(problems, "Unable to list orders"))
        return listing

    def page(self, book: OrderBook) -> tuple[list[Order], str | None]:
        """Give the orders of the page, and the marker of the next one, if there is one."""
        # One more than the page tells whether there is another page.
        found = list(islice(self._wanted(book), self.page_size + 1))
        page = found[: self.page_size]
        return page, self.sorting.marker(page[-1]) if len(found) > len(page) else None

    def _wanted(self, book: OrderBook) -> Iterator[Order]:
        """Give what is asked for from the marker on; the book keeps it sorted by either time."""
        filters, sorting, marker = self.filters, self.sorting, self.marker
        if sorting.by("last_modified"):
            change = None if marker is None else (int(marker[0]), int(marker[1]))
            return filters.passing(book.modified_within(filters.modified, down=sorting.down, beyond=change))
        if sorting.by("created_on"):
            number = None if marker is None else int(marker[1])
            return filters.passing(book.created_within(filters.created, down=sorting.down, beyond=number))
        return sorting.beyond(marker, filters.passing(book.created_within(filters.created)))


def next_link(url: str, call: Call, marker: str) -> str:
    """Give the address of the next page: the same query with another marker."""
    pairs = [pair for pair in parse_qsl(call.query, keep_blank_values=True) if pair[0] != "page_marker"]
    return f"{url}?{urlencode([*pairs, ('page_marker', marker)])}"


def _source_types(values: Sequence[str]) -> frozenset[str]:
    names = frozenset(name for value in values for name in value.split(","))
    return _SOURCE_TYPES if "all" in names else names


def _boolean(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ValueError(f"{text!r} is not true or false")
    return text.lower() == "true"  # "false" asks for the orders without hosting [L]


def _user(text: str) -> int:
    return USER_ID if text == "all" else int(text)


def _page_size(text: str) -> int:
    size = int(text)
    if not 1 <= size <= MAX_PAGE_SIZE:
        raise ValueError(f"the page size must be from 1 to {MAX_PAGE_SIZE}")
    return size
