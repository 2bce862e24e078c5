"""The simulated Subscriptions API: https://docs.planet.com/develop/apis/subscriptions/reference/."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from operator import attrgetter
from typing import Any

from planet_async.simulator.context import Context, parse, render
from planet_async.simulator.http import (
    Refused,
    Route,
    ServerRequest,
    ServerResponse,
    decode_json,
    json_response,
)
from planet_async.simulator.lists import (
    ListRules,
    contains,
    equal,
    is_set,
    of_user,
    one_of,
    read_parameter,
    within,
)
from planet_async.simulator.rules import subscription_problems
from planet_async.simulator.subscription_store import (
    SUBSCRIPTIONS,
    Plan,
    Subscription,
    SubscriptionPlan,
    SubscriptionStore,
    completed,
    csv_of,
)

Act = Callable[[Subscription, int], bool]

_COUNTED = ("preparing", "pending", "running", "completed", "cancelled", "suspended", "failed")
_RESULTS_COUNTED = ("created", "queued", "processing", "failed", "cancelled", "success")
_EDITABLE = frozenset({"preparing", "pending", "running", "suspended"})
_PUT = ("name", "source", "delivery", "hosting", "tools")
_FEATURES = 3  # of every collection
_PAGE_SIZES = range(10_001)  # [H]
_LATEST = (1 << 63) - 1


def _end(subscription: Subscription) -> int:
    return _LATEST if subscription.end_time is None else subscription.end_time  # what never ends is last [L]


def _source_type(values: Sequence[str]) -> Callable[[Subscription], bool]:
    return lambda subscription: values[-1] in {"all", subscription.source_type}


def _geom_ref(values: Sequence[str]) -> Callable[[Subscription], bool]:
    """A reference to a feature, or to the collection it is in."""
    wanted = values[-1]

    def test(subscription: Subscription) -> bool:
        ref = subscription.parameters.get("geom_ref", "")
        return bool(ref == wanted or ref.startswith(f"{wanted}/"))

    return test


_LIST = ListRules(
    filters={
        "status": one_of(attrgetter("status"), (*_COUNTED, "invalid")),
        "name": equal(attrgetter("name")),
        "name__contains": contains(attrgetter("name")),
        "created": within(attrgetter("created")),
        "updated": within(attrgetter("updated")),
        "start_time": within(attrgetter("start_time")),
        "end_time": within(attrgetter("end_time")),
        "source_type": _source_type,
        "hosting": is_set(attrgetter("hosted")),
        "geom_ref": _geom_ref,
        "destination_ref": equal(attrgetter("destination_ref")),
        "user_id": of_user,
    },
    sorts={
        "name": (attrgetter("name"), str),
        "created": (attrgetter("created"), int),
        "updated": (attrgetter("updated"), int),
        "start_time": (attrgetter("start_time"), int),
        "end_time": (_end, int),
    },
    newest=(("created", True),),
    page_sizes=_PAGE_SIZES,
)
_RESULTS = ListRules(
    filters={
        "status": one_of(attrgetter("status"), ("created", "queued", "processing", "failed", "success")),
        "created": within(attrgetter("created")),
        "updated": within(attrgetter("updated")),
        "completed": within(attrgetter("completed")),
        "item_datetime": within(attrgetter("item_datetime")),
        "user_id": of_user,
    },
    page_sizes=_PAGE_SIZES,
)
_USER = ListRules(filters={"user_id": of_user}, page_sizes=_PAGE_SIZES)


class SubscriptionsApi:
    """The operations of the Subscriptions API; nothing runs in between."""

    def __init__(self, context: Context, *, plan: Plan, page_size: int) -> None:
        self.store: SubscriptionStore = SubscriptionStore()
        self._context = context
        self._plan = plan
        self._page_size = page_size

    def routes(self) -> Iterable[Route]:
        """Yield the operations; Planet's documentation ends the path with a slash, its client does not."""
        one = f"{SUBSCRIPTIONS}/{{id}}"
        for path in (SUBSCRIPTIONS, f"{SUBSCRIPTIONS}/"):
            yield Route("GET", path, "subscriptions.list", self.list_subscriptions)
            yield Route("POST", path, "subscriptions.create", self.create)
        for method, path, name, handler in (
            ("POST", f"{SUBSCRIPTIONS}/bulk", "create_bulk", self.create_bulk),
            ("GET", f"{SUBSCRIPTIONS}/summary", "summary", self.summary),
            ("POST", f"{SUBSCRIPTIONS}/suspend", "suspend_many", self.suspend_many),
            ("POST", f"{SUBSCRIPTIONS}/reactivate", "reactivate_many", self.reactivate_many),
            ("GET", one, "get", self.get),
            ("PUT", one, "update", self.update),
            ("PATCH", one, "patch", self.patch),
            ("POST", f"{one}/cancel", "cancel", self.cancel),
            ("POST", f"{one}/suspend", "suspend", self.suspend),
            ("POST", f"{one}/reactivate", "reactivate", self.reactivate),
            ("GET", f"{one}/results", "results", self.results),
            ("GET", f"{one}/summary", "results_summary", self.results_summary),
        ):
            yield Route(method, path, f"subscriptions.{name}", handler)

    def list_subscriptions(self, request: ServerRequest) -> ServerResponse:
        """List subscriptions, newest first by default [H]."""
        self._advance()
        problems: dict[str, str] = {}
        query = _LIST.query(request, problems, self._page_size, self._context.list_order)
        _check_query(problems)
        page, marker = query.page(each for each in self.store.all() if self._context.is_listed(each.created))
        items = [subscription.json(self._context) for subscription in page]
        return self._page(request, SUBSCRIPTIONS, "subscriptions", items, marker)

    def create(self, request: ServerRequest) -> ServerResponse:
        """Create a subscription; which 2xx it is, is not documented [L]."""
        now = self._advance()
        return json_response(self._create(_object(request), now).json(self._context))

    def create_bulk(self, request: ServerRequest) -> ServerResponse:
        """Create one subscription for each feature of a collection; respond with a link to their list [M]."""
        now = self._advance()
        requests = _object(request).get("subscriptions")
        if not isinstance(requests, list) or len(requests) != 1 or not isinstance(requests[0], dict):
            raise Refused(error(400, "subscriptions must be a list of one request"))
        template = requests[0]
        _check(template)
        parameters = template["source"]["parameters"]
        reference = parameters["geometry"].get("content")
        if not isinstance(reference, str):
            raise Refused(error(400, "the geometry must be a reference to a feature collection"))
        for number in range(_FEATURES):
            geometry = {"type": "ref", "content": f"{reference}/{number}"}
            source = {**template["source"], "parameters": {**parameters, "geometry": geometry}}
            self._create({**template, "source": source}, now)
        url = f"{self._context.base_url}{SUBSCRIPTIONS}?geom_ref={reference}"
        return json_response({"_links": {"list": url}})

    def get(self, request: ServerRequest, subscription_id: str) -> ServerResponse:
        self._advance()
        _check_user(request)
        return json_response(self._find(subscription_id).json(self._context))

    def update(self, request: ServerRequest, subscription_id: str) -> ServerResponse:
        """Replace a subscription; the response still shows the old one [H, recorded]."""
        now = self._advance()
        subscription, body = self._find(subscription_id), _object(request)
        if "notifications" in body:  # not in the schema; whether they are refused or ignored is not known [L]
            raise Refused(error(400, "notifications cannot be updated"))
        before = subscription.json(self._context)
        kept = {name: value for name, value in subscription.body.items() if name not in _PUT}
        self._edit(subscription, {**body, **kept}, now)
        return json_response(before)

    def patch(self, request: ServerRequest, subscription_id: str) -> ServerResponse:
        """Change single fields [M]."""
        now = self._advance()
        subscription, body = self._find(subscription_id), _object(request)
        if not body:
            raise Refused(error(400, "name is required"))
        # A delivery that is not changed is not checked again: its secrets are not known here any more.
        self._edit(subscription, {**subscription.body, **body}, now, keeps_delivery="delivery" not in body)
        return json_response(subscription.json(self._context))

    def cancel(self, request: ServerRequest, subscription_id: str) -> ServerResponse:
        self._act(subscription_id, Subscription.cancel, "cancelled")
        return json_response({"error": {}})

    def suspend(self, request: ServerRequest, subscription_id: str) -> ServerResponse:
        _details(request)
        found = self._act(subscription_id, Subscription.suspend, "suspended")
        return json_response(found.json(self._context), 202)

    def reactivate(self, request: ServerRequest, subscription_id: str) -> ServerResponse:
        self._act(subscription_id, Subscription.reactivate, "reactivated")
        return ServerResponse(202)

    def suspend_many(self, request: ServerRequest) -> ServerResponse:
        return self._act_on_many(request, Subscription.suspend)

    def reactivate_many(self, request: ServerRequest) -> ServerResponse:
        return self._act_on_many(request, Subscription.reactivate)

    def results(self, request: ServerRequest, subscription_id: str) -> ServerResponse:
        """List the results, the oldest first [L], or write all of them as CSV [H, M]."""
        now = self._advance()
        subscription = self._find(subscription_id)
        problems: dict[str, str] = {}
        tests = _RESULTS.tests(request, problems)
        size = read_parameter(request, problems, "page_size", _RESULTS.page_size, 0) or self._page_size
        beyond = read_parameter(request, problems, "page_marker", parse, -1)
        _check_query(problems)
        found = (each for each in subscription.results(now) if all(test(each) for test in tests))
        if request.param("format") == "csv":
            return ServerResponse(200, {"content-type": "text/csv"}, csv_of(subscription, found))
        page = list(islice((each for each in found if each.created > beyond), size + 1))
        marker = render(page[size - 1].created) if len(page) > size else None  # a time [H]
        path = f"{SUBSCRIPTIONS}/{subscription_id}/results"
        return self._page(request, path, "results", [result.json() for result in page[:size]], marker)

    def summary(self, request: ServerRequest) -> ServerResponse:
        """Count the subscriptions; the invalid ones are not counted [M]."""
        self._advance()
        _check_user(request)
        counts = Counter(subscription.status for subscription in self.store.all())
        return json_response({"subscriptions": {status: counts[status] for status in _COUNTED}})

    def results_summary(self, request: ServerRequest, subscription_id: str) -> ServerResponse:
        """Count the results of one subscription [M]."""
        now = self._advance()
        subscription = self._find(subscription_id)
        counts = Counter(result.status for result in subscription.results(now))
        results = {status: counts[status] for status in _RESULTS_COUNTED}
        return json_response({"results": results, "subscription": {"status": subscription.status}})

    def _advance(self) -> int:
        now = self._context.now()
        self.store.advance(now)
        return now

    def _find(self, subscription_id: str) -> Subscription:
        found = self.store.by_id.get(subscription_id)
        if found is None:
            raise Refused(error(404, f"No such subscription: {subscription_id}"))
        return found

    def _create(self, body: Mapping[str, Any], now: int) -> Subscription:
        _check(body)
        plan = (
            self._plan
            if isinstance(self._plan, SubscriptionPlan)
            else self._plan(body, len(self.store.by_id))
        )
        if plan.refuse is not None:
            raise Refused(error(400, plan.refuse))
        body = {**body, "name": self._context.change_name(body["name"])}
        return self.store.add(self._context.new_id(), completed(body), plan, now)

    def _edit(
        self, subscription: Subscription, body: Mapping[str, Any], now: int, *, keeps_delivery: bool = False
    ) -> None:
        _check(body, keeps_delivery=keeps_delivery)
        after = completed(body)
        if subscription.status not in _EDITABLE:
            raise Refused(error(409, f"A subscription that is {subscription.status} cannot be changed"))
        if problem := _edit_problem(subscription, after, now):
            raise Refused(error(400, problem))
        subscription.body, subscription.updated = after, now

    def _act(self, subscription_id: str, act: Act, done: str) -> Subscription:
        now = self._advance()
        subscription = self._find(subscription_id)
        if not act(subscription, now):
            raise Refused(error(409, f"A subscription that is {subscription.status} cannot be {done}"))
        return subscription

    def _act_on_many(self, request: ServerRequest, act: Act) -> ServerResponse:
        """Act on the subscriptions with these ids, or all [M]; the others are left as they are [L]."""
        now = self._advance()
        _check_user(request)
        ids = _details(request).get("subscription_ids")
        if ids is not None and (not isinstance(ids, list) or not ids):
            raise Refused(error(400, "subscription_ids must be a list of ids"))
        if ids and request.param("user_id"):
            raise Refused(error(400, "subscription_ids and user_id exclude each other"))
        for subscription in list(self.store.all()) if ids is None else [self._find(each) for each in ids]:
            act(subscription, now)
        return ServerResponse(202)

    def _page(
        self, request: ServerRequest, path: str, key: str, items: list[Any], marker: str | None
    ) -> ServerResponse:
        url = self._context.base_url + path
        links = {"_self": f"{url}?{request.query}" if request.query else url}
        if marker is not None:
            links["next"] = request.link(url, page_marker=marker)
        return json_response({"_links": links, key: items})


def error(status: int, text: str) -> ServerResponse:
    """Return an error in the form of this API [M]."""
    return json_response({"code": 0, "message": text}, status)


def _check_query(problems: Mapping[str, str]) -> None:
    for name, text in problems.items():
        raise Refused(error(400, f"{name}: {text}"))


def _check_user(request: ServerRequest) -> None:
    problems: dict[str, str] = {}
    _USER.tests(request, problems)
    _check_query(problems)


def _check(body: Mapping[str, Any], *, keeps_delivery: bool = False) -> None:
    if problems := list(subscription_problems(body, keeps_delivery=keeps_delivery)):
        details = {"reason": "Request failed schema validation", "details": problems}  # [H, recorded]
        raise Refused(json_response({"error": details}, 400))


def _edit_problem(subscription: Subscription, after: Mapping[str, Any], now: int) -> str:
    """Return why a change is refused: once it runs, some fields cannot change [M]."""
    before = subscription.body
    if subscription.end_time is not None and subscription.end_time < subscription.created:
        return "a subscription to the past only cannot be changed"
    if before.get("hosting") != after.get("hosting"):
        return "hosting cannot be changed"
    old, new = subscription.parameters, after["source"]["parameters"]
    started = subscription.start_time <= now
    fields = {
        "item_types": old.get("item_types") != new.get("item_types"),
        "a start_time in the past": started and old["start_time"] != new["start_time"],
        "tools": before.get("tools", []) != after.get("tools", []),
    }
    changed = [name for name, is_changed in fields.items() if is_changed and subscription.runs]
    return f"{changed[0]} cannot be changed any more" if changed else ""


def _object(request: ServerRequest) -> dict[str, Any]:
    try:
        body = decode_json(request)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Refused(error(400, "the body must be a JSON object"))
    return {name: value for name, value in body.items() if value is not None}


def _details(request: ServerRequest) -> dict[str, Any]:
    """Return the body of an action, which is optional."""
    return _object(request) if request.body and request.body != b"null" else {}
