"""One page of a list of subscriptions or of results: filters, sorting, page markers."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from operator import attrgetter
from typing import Any, ClassVar, TypeVar

from attrs import frozen

from planet_async.simulator.exchange import Call, Refused
from planet_async.simulator.order_list import USER_ID
from planet_async.simulator.sorting import LARGEST_INTEGER, Sorting
from planet_async.simulator.subscription_book import Subscription
from planet_async.simulator.subscription_checks import refusal
from planet_async.simulator.subscription_results import Result
from planet_async.simulator.times import Interval, parse, render

T = TypeVar("T")

MAX_PAGE_SIZE = 10_000  # [H]

_STATUSES = (
    "running",
    "cancelled",
    "preparing",
    "pending",
    "completed",
    "suspended",
    "failed",
    "invalid",
)
_RESULT_STATUSES = ("created", "queued", "processing", "failed", "success")
_USER = re.compile(r"all|[0-9]+", re.ASCII)
_LATEST = LARGEST_INTEGER - 1


def _time(name: str) -> Callable[[Subscription], int]:
    def moment(subscription: Subscription) -> int:
        found = subscription.moment(name)
        return _LATEST if found is None else found  # what never ends comes last [L]

    return moment


@frozen
class SubscriptionSorting(Sorting):
    """How a list of subscriptions is sorted [H]."""

    known: ClassVar[Mapping[str, Callable[[Any], int | str]]] = {
        "name": attrgetter("name"),
        "created": attrgetter("created"),
        "updated": attrgetter("updated"),
        "start_time": _time("start_time"),
        "end_time": _time("end_time"),
    }
    texts: ClassVar[frozenset[str]] = frozenset({"name"})


_NEWEST_FIRST = SubscriptionSorting((("created", True),))


class Query:
    """Reads the parameters of a call; Refused with 400 for a value that is none."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def read(self, name: str, as_: Callable[[str], T], default: T) -> T:
        """Give the parameter, or the default."""
        text = self._call.param(name)
        if not text:
            return default
        try:
            return as_(text)
        except ValueError as error:
            raise Refused(refusal(400, f"{name}: {error}")) from None

    def words(self, name: str, allowed: Iterable[str]) -> frozenset[str]:
        """Give the values of a parameter that may be repeated; none stand for all."""
        found = frozenset(self._call.params.get(name, ()))
        if unknown := found.difference(allowed):
            raise Refused(refusal(400, f"{name}: {min(unknown)!r} is not one of {', '.join(allowed)}"))
        return found

    def is_mine(self) -> bool:
        """Tell whether the user is asked for, who is alone in the organization."""
        return self.read("user_id", _user, USER_ID) == USER_ID

    def page_size(self, default: int) -> int:
        """Give the size of a page; what 0 means is not known, here the default [L]."""
        return self.read("page_size", _page_size, default) or default

    def interval(self, name: str) -> Callable[[int | None], bool]:
        """Give the test for the interval of that name; where there is no moment, it is in none."""
        found = self.read(name, Interval.parse, None)
        return lambda moment: found is None or (moment is not None and moment in found)


def subscriptions_page(
    call: Call, found: Iterable[Subscription], page_size: int
) -> tuple[list[Subscription], str | None]:
    """Give the subscriptions of the page, and the marker of the next one, if there is one."""
    query = Query(call)
    sorting = query.read("sort_by", SubscriptionSorting.parse, _NEWEST_FIRST)
    marker = query.read("page_marker", sorting.read_marker, None)
    size = query.page_size(page_size)
    wanted = sorting.beyond(marker, _passing(query, call, found))
    page = list(islice(wanted, size + 1))
    return page[:size], sorting.marker(page[size - 1]) if len(page) > size else None


def _passing(query: Query, call: Call, found: Iterable[Subscription]) -> Iterator[Subscription]:
    statuses = query.words("status", _STATUSES)
    hosting = query.read("hosting", _boolean, None)
    source_type, reference = call.param("source_type"), call.param("geom_ref")
    destination, name = call.param("destination_ref"), call.param("name")
    part = call.param("name__contains")
    mine = query.is_mine()
    created, updated = query.interval("created"), query.interval("updated")
    start_time, end_time = query.interval("start_time"), query.interval("end_time")
    for each in found:
        body, parameters = each.body, each.parameters
        ref = parameters.get("geom_ref", "")
        if (
            mine
            and (not statuses or each.status in statuses)
            and (not name or each.name == name)
            and part in each.name
            and source_type in {"", "all", body["source"]["type"]}
            and (hosting is None or ("hosting" in body) == hosting)
            and (not reference or ref == reference or ref.startswith(f"{reference}/"))
            and (not destination or body.get("delivery", {}).get("parameters", {}).get("ref") == destination)
            and created(each.created)
            and updated(each.updated)
            and start_time(each.moment("start_time"))
            and end_time(each.moment("end_time"))
        ):
            yield each


def results_page(call: Call, results: Iterable[Result], page_size: int) -> tuple[list[Result], str | None]:
    """Give the results of the page, the oldest first [L], and the marker of the next one: a time [H]."""
    query = Query(call)
    beyond = query.read("page_marker", parse, -1)
    size = query.page_size(page_size)
    wanted = (result for result in wanted_results(call, results) if result.created > beyond)
    page = list(islice(wanted, size + 1))
    return page[:size], render(page[size - 1].created) if len(page) > size else None


def wanted_results(call: Call, results: Iterable[Result]) -> Iterator[Result]:
    """Yield the results that pass the filters."""
    query = Query(call)
    statuses = query.words("status", _RESULT_STATUSES)
    created, updated = query.interval("created"), query.interval("updated")
    completed, item_datetime = query.interval("completed"), query.interval("item_datetime")
    return (
        result
        for result in results
        if (not statuses or result.status in statuses)
        and created(result.created)
        and updated(result.updated)
        and completed(result.completed)
        and item_datetime(result.item_datetime)
    )


def _boolean(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ValueError(f"{text!r} is not true or false")
    return text.lower() == "true"


def _user(text: str) -> int:
    if not _USER.fullmatch(text):
        raise ValueError(f"{text!r} is not all or a number")
    return USER_ID if text == "all" else int(text)


def _page_size(text: str) -> int:
    size = int(text)
    if not 0 <= size <= MAX_PAGE_SIZE:
        raise ValueError(f"the page size must be from 0 to {MAX_PAGE_SIZE}")
    return size
