"""The simulated Subscriptions API: https://docs.planet.com/develop/apis/subscriptions/reference/."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from operator import attrgetter
from typing import Any, ClassVar, TypeVar

import msgspec
from attrs import frozen

from planet_async.simulator.http import Refused, Route, ServerRequest, ServerResponse, json_answer
from planet_async.simulator.lists import LARGEST_INTEGER, Sorting
from planet_async.simulator.orders import USER_ID, next_link
from planet_async.simulator.subscription_book import (
    SUBSCRIPTIONS,
    Plan,
    Result,
    Subscription,
    SubscriptionPlan,
    SubscriptionStore,
    completed,
    csv_of,
    results_of,
    shown,
    shown_result,
)
from planet_async.simulator.subscription_rules import problems_of, refusal
from planet_async.simulator.world import Context, Interval, parse, render

_EDITABLE = frozenset({"preparing", "pending", "running", "suspended"})


def edit_problem(subscription: Subscription, after: Mapping[str, Any], now: int) -> ServerResponse | None:
    """Give the refusal of a change, if it is to be refused."""
    before = subscription.body
    if subscription.status not in _EDITABLE:
        return refusal(409, f"A subscription that is {subscription.status} cannot be changed")
    end = subscription.moment("end_time")
    if end is not None and end < subscription.created:
        return refusal(400, "a subscription to the past only cannot be changed")
    if before.get("hosting") != after.get("hosting"):
        return refusal(400, "hosting cannot be changed")
    changed = _frozen_field(subscription, after, now) if subscription.runs else None
    return refusal(400, f"{changed} cannot be changed any more") if changed else None


def _frozen_field(subscription: Subscription, after: Mapping[str, Any], now: int) -> str | None:
    """Give a field that is changed, though it cannot be once the subscription runs."""
    old, new = subscription.parameters, after["source"]["parameters"]
    if old.get("item_types") != new.get("item_types"):
        return "item_types"
    if (subscription.moment("start_time") or 0) <= now and old["start_time"] != new["start_time"]:
        return "a start_time in the past"
    return "tools" if subscription.body.get("tools", []) != after.get("tools", []) else None


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

    def __init__(self, call: ServerRequest) -> None:
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
    call: ServerRequest, found: Iterable[Subscription], page_size: int
) -> tuple[list[Subscription], str | None]:
    """Give the subscriptions of the page, and the marker of the next one, if there is one."""
    query = Query(call)
    sorting = query.read("sort_by", SubscriptionSorting.parse, _NEWEST_FIRST)
    marker = query.read("page_marker", sorting.read_marker, None)
    size = query.page_size(page_size)
    wanted = sorting.beyond(marker, _passing(query, call, found))
    page = list(islice(wanted, size + 1))
    return page[:size], sorting.marker(page[size - 1]) if len(page) > size else None


def _passing(query: Query, call: ServerRequest, found: Iterable[Subscription]) -> Iterator[Subscription]:
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


def results_page(
    call: ServerRequest, results: Iterable[Result], page_size: int
) -> tuple[list[Result], str | None]:
    """Give the results of the page, the oldest first [L], and the marker of the next one: a time [H]."""
    query = Query(call)
    beyond = query.read("page_marker", parse, -1)
    size = query.page_size(page_size)
    wanted = (result for result in wanted_results(call, results) if result.created > beyond)
    page = list(islice(wanted, size + 1))
    return page[:size], render(page[size - 1].created) if len(page) > size else None


def wanted_results(call: ServerRequest, results: Iterable[Result]) -> Iterator[Result]:
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


_COUNTED = ("preparing", "pending", "running", "completed", "cancelled", "suspended", "failed")
_RESULTS_COUNTED = ("created", "queued", "processing", "failed", "cancelled", "success")
_PUT = ("name", "source", "delivery", "hosting", "tools")
_FEATURES = 3  # of every collection


class SubscriptionsApi:
    """Answers the calls of the Subscriptions API; nothing runs in between."""

    def __init__(self, world: Context, *, plan: Plan, page_size: int) -> None:
        self.book = SubscriptionStore()
        self._world = world
        self._plan = plan
        self._page_size = page_size

    def routes(self) -> Iterable[Route]:
        """Give the operations; Planet's own documentation ends the path with a slash, its client does not."""
        one = f"{SUBSCRIPTIONS}/{{id}}"
        for path in (SUBSCRIPTIONS, f"{SUBSCRIPTIONS}/"):
            yield Route("GET", path, "subscriptions.list", self.list_subscriptions)
            yield Route("POST", path, "subscriptions.create", self.create)
        yield Route("POST", f"{SUBSCRIPTIONS}/bulk", "subscriptions.create_bulk", self.create_bulk)
        yield Route("GET", f"{SUBSCRIPTIONS}/summary", "subscriptions.summary", self.summary)
        yield Route("POST", f"{SUBSCRIPTIONS}/suspend", "subscriptions.suspend_many", self.suspend_many)
        yield Route(
            "POST", f"{SUBSCRIPTIONS}/reactivate", "subscriptions.reactivate_many", self.reactivate_many
        )
        yield Route("GET", one, "subscriptions.get", self.get)
        yield Route("PUT", one, "subscriptions.update", self.update)
        yield Route("PATCH", one, "subscriptions.patch", self.patch)
        yield Route("POST", f"{one}/cancel", "subscriptions.cancel", self.cancel)
        yield Route("POST", f"{one}/suspend", "subscriptions.suspend", self.suspend)
        yield Route("POST", f"{one}/reactivate", "subscriptions.reactivate", self.reactivate)
        yield Route("GET", f"{one}/results", "subscriptions.results", self.results)
        yield Route("GET", f"{one}/summary", "subscriptions.results_summary", self.results_summary)

    def list_subscriptions(self, call: ServerRequest) -> ServerResponse:
        """List subscriptions, newest first unless told otherwise [H]."""
        self._catch_up()
        page, marker = subscriptions_page(call, self.book.all(), self._page_size)
        subscriptions = [shown(subscription, self._world) for subscription in page]
        return self._page(call, SUBSCRIPTIONS, "subscriptions", subscriptions, marker)

    def create(self, call: ServerRequest) -> ServerResponse:
        """Accept a subscription, or say what is wrong with it; which 2xx it is, is not documented [L]."""
        now = self._catch_up()
        body = _object(call)
        return json_answer(shown(self._create(body, now), self._world))

    def create_bulk(self, call: ServerRequest) -> ServerResponse:
        """Accept one subscription for each feature of a collection, and say where they are listed [M]."""
        now = self._catch_up()
        requests = _object(call).get("subscriptions")
        if not isinstance(requests, list) or len(requests) != 1 or not isinstance(requests[0], dict):
            raise Refused(refusal(400, "subscriptions must be a list of one request"))
        request = requests[0]
        _check(request)
        parameters = request["source"]["parameters"]
        reference = parameters["geometry"].get("content")
        if not isinstance(reference, str):
            raise Refused(refusal(400, "the geometry must be a reference to a feature collection"))
        for number in range(_FEATURES):
            geometry = {"type": "ref", "content": f"{reference}/{number}"}
            source = {**request["source"], "parameters": {**parameters, "geometry": geometry}}
            self._create({**request, "source": source}, now)
        url = f"{self._world.base_url}{SUBSCRIPTIONS}?geom_ref={reference}"
        return json_answer({"_links": {"list": url}})

    def summary(self, call: ServerRequest) -> ServerResponse:
        """Count the subscriptions; there is no count of the invalid ones [M]."""
        self._catch_up()
        Query(call).is_mine()
        counts = Counter(subscription.status for subscription in self.book.all())
        return json_answer({"subscriptions": {status: counts[status] for status in _COUNTED}})

    def get(self, call: ServerRequest, subscription_id: str) -> ServerResponse:
        """Describe one subscription."""
        self._catch_up()
        Query(call).is_mine()
        return json_answer(shown(self._find(subscription_id), self._world))

    def update(self, call: ServerRequest, subscription_id: str) -> ServerResponse:
        """Replace a subscription; the answer still shows what was before [H, recorded]."""
        now = self._catch_up()
        subscription, body = self._find(subscription_id), _object(call)
        if "notifications" in body:  # not in the schema; whether it is refused or ignored is not known [L]
            raise Refused(refusal(400, "notifications cannot be updated"))
        before = shown(subscription, self._world)
        kept = {name: value for name, value in subscription.body.items() if name not in _PUT}
        self._edit(subscription, {**body, **kept}, now)
        return json_answer(before)

    def patch(self, call: ServerRequest, subscription_id: str) -> ServerResponse:
        """Change single fields [M]."""
        now = self._catch_up()
        subscription, body = self._find(subscription_id), _object(call)
        if not body:
            raise Refused(refusal(400, "name is required"))
        # A delivery is not checked again unless it is changed: its secrets are no longer known here.
        self._edit(subscription, {**subscription.body, **body}, now, keeps_delivery="delivery" not in body)
        return json_answer(shown(subscription, self._world))

    def cancel(self, call: ServerRequest, subscription_id: str) -> ServerResponse:
        """End a subscription [H]."""
        self._act(subscription_id, Subscription.cancel, "cancelled")
        return json_answer({"error": {}})

    def suspend(self, call: ServerRequest, subscription_id: str) -> ServerResponse:
        """Halt a subscription [M]."""
        _details(call)
        return json_answer(
            shown(self._act(subscription_id, Subscription.suspend, "suspended"), self._world), 202
        )

    def reactivate(self, call: ServerRequest, subscription_id: str) -> ServerResponse:
        """Let a subscription go on [M]."""
        self._act(subscription_id, Subscription.reactivate, "reactivated")
        return ServerResponse(202)

    def suspend_many(self, call: ServerRequest) -> ServerResponse:
        """Halt the subscriptions named, or all [M]; the others are left alone [L]."""
        return self._act_on_many(call, Subscription.suspend)

    def reactivate_many(self, call: ServerRequest) -> ServerResponse:
        """Let the subscriptions named go on, or all [M]; the others are left alone [L]."""
        return self._act_on_many(call, Subscription.reactivate)

    def results(self, call: ServerRequest, subscription_id: str) -> ServerResponse:
        """List the results, or write them all as CSV [H, M]."""
        now = self._catch_up()
        subscription = self._find(subscription_id)
        Query(call).is_mine()
        found = results_of(subscription, now)
        if call.param("format") == "csv":
            content = csv_of(subscription, wanted_results(call, found))
            return ServerResponse(200, {"content-type": "text/csv"}, content)
        page, marker = results_page(call, found, self._page_size)
        path = f"{SUBSCRIPTIONS}/{subscription_id}/results"
        return self._page(call, path, "results", list(map(shown_result, page)), marker)

    def results_summary(self, call: ServerRequest, subscription_id: str) -> ServerResponse:
        """Count the results of one subscription [M]."""
        now = self._catch_up()
        subscription = self._find(subscription_id)
        counts = Counter(result.status for result in results_of(subscription, now))
        results = {status: counts[status] for status in _RESULTS_COUNTED}
        return json_answer({"results": results, "subscription": {"status": subscription.status}})

    def _catch_up(self) -> int:
        now = self._world.now()
        self.book.advance(now)
        return now

    def _find(self, subscription_id: str) -> Subscription:
        found = self.book.by_id.get(subscription_id)
        if found is None:
            raise Refused(refusal(404, f"No such subscription: {subscription_id}"))
        return found

    def _create(self, body: Mapping[str, Any], now: int) -> Subscription:
        _check(body)
        number = len(self.book.by_id)
        plan = self._plan if isinstance(self._plan, SubscriptionPlan) else self._plan(body, number)
        if plan.refuse is not None:
            raise Refused(refusal(400, plan.refuse))
        return self.book.add(self._world.new_id(), completed(body), plan, now)

    def _edit(
        self, subscription: Subscription, body: Mapping[str, Any], now: int, *, keeps_delivery: bool = False
    ) -> None:
        _check(body, keeps_delivery=keeps_delivery)
        after = completed(body)
        if problem := edit_problem(subscription, after, now):
            raise Refused(problem)
        subscription.body, subscription.updated = after, now

    def _act(self, subscription_id: str, act: Callable[[Subscription, int], bool], done: str) -> Subscription:
        now = self._catch_up()
        subscription = self._find(subscription_id)
        if not act(subscription, now):
            raise Refused(refusal(409, f"A subscription that is {subscription.status} cannot be {done}"))
        return subscription

    def _act_on_many(self, call: ServerRequest, act: Callable[[Subscription, int], bool]) -> ServerResponse:
        now = self._catch_up()
        Query(call).is_mine()
        ids = _details(call).get("subscription_ids")
        if ids is not None and (not isinstance(ids, list) or not ids):
            raise Refused(refusal(400, "subscription_ids must be a list of ids"))
        if ids and call.param("user_id"):
            raise Refused(refusal(400, "subscription_ids and user_id exclude each other"))
        for subscription in list(self.book.all()) if ids is None else [self._find(each) for each in ids]:
            act(subscription, now)
        return ServerResponse(202)

    def _page(
        self, call: ServerRequest, path: str, key: str, items: list[Any], marker: str | None
    ) -> ServerResponse:
        url = self._world.base_url + path
        links = {"_self": f"{url}?{call.query}" if call.query else url}
        if marker is not None:
            links["next"] = next_link(url, call, marker)
        return json_answer({"_links": links, key: items})


def _check(body: Mapping[str, Any], *, keeps_delivery: bool = False) -> None:
    for problem in problems_of(body, keeps_delivery=keeps_delivery):
        raise Refused(refusal(400, problem))


def _object(call: ServerRequest) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(call.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        body = None
    if not isinstance(body, dict):
        raise Refused(refusal(400, "the body must be a JSON object"))
    return {name: value for name, value in body.items() if value is not None}


def _details(call: ServerRequest) -> dict[str, Any]:
    """Give the body of an action, which may be left out."""
    return _object(call) if call.body and call.body != b"null" else {}
