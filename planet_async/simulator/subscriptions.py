"""The simulated Subscriptions API: https://docs.planet.com/develop/apis/subscriptions/reference/."""

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice, pairwise
from operator import attrgetter
from typing import Any, Literal
from uuid import NAMESPACE_URL, uuid5

import msgspec
from attrs import define, field, frozen, validators

from planet_async.simulator.catalog import redacted
from planet_async.simulator.context import Context, after, parse, render
from planet_async.simulator.http import (
    Json,
    Refused,
    Route,
    ServerRequest,
    ServerResponse,
    json_object,
    json_response,
    without_nulls,
)
from planet_async.simulator.lists import (
    ListRules,
    contains,
    equal,
    is_set,
    of_user,
    one_of,
    page_response,
    within,
)
from planet_async.simulator.resources import Resource, Step, Store, course, plan_of
from planet_async.simulator.rules import is_catalog, subscription_problems

SUBSCRIPTIONS = "/subscriptions/v1"

FinalStatus = Literal["completed", "failed", "invalid"]
Act = Callable[["Subscription"], bool]
FeaturesOf = Callable[[object], Mapping[str, dict[str, Any]] | None]
"""Returns the geometries that a reference leads to, by reference; None where it is not known."""

_ACTIVE = frozenset({"preparing", "pending", "running"})
_CANCELLABLE = frozenset({"pending", "running", "failed", "suspended"})  # [H]
_EDITABLE = frozenset({"preparing", "pending", "running", "suspended"})
_COUNTED = ("preparing", "pending", "running", "completed", "cancelled", "suspended", "failed")
_SHOWN = ("name", "source", "delivery", "hosting", "tools", "notifications")
_PUT = ("name", "source", "delivery", "hosting", "tools")
_FEATURE = {"type": "Polygon", "coordinates": [[[7.0, 46.5], [7.1, 46.5], [7.1, 46.6], [7.0, 46.5]]]}
_FEATURES = 3  # of a collection that the simulated Features API does not have
# Which types follow from which ids is not documented: a few that were seen [M].
_TYPES = {
    "BIOMASS": "biomass_proxy",
    "LST": "land_surface_temperature",
    "SWC": "soil_water_content",
    "VOD": "vegetation_optical_depth",
}
_STEPS = ("created", "queued", "processing")  # of a result
_ENDED = {"completed": "success", "failed": "failed", "cancelled": "cancelled"}
_RESULTS_COUNTED = (*_STEPS, "failed", "cancelled", "success")
_NO_VALUE = 3  # each third value of a variable is missing, as under clouds
_CSV = ("id", "item_datetime", "status", "created", "updated", "errors", "item_id")
_CATALOG_CSV = (*_CSV, "outputs")
_VARIABLE_CSV = (*_CSV, "local_solar_time", "band-1.mean", "band-1.valid_percent", "source_id")
_PAGE_SIZES = range(10_001)  # [H]
_LATEST = (1 << 63) - 1


@frozen(kw_only=True)
class SubscriptionPlan:
    """The course of a subscription, and its results.

    ``math.inf`` seconds are for ever.  One that ends ``"invalid"`` does so without running.

        Simulator(subscription_plan=SubscriptionPlan(run_seconds=math.inf, results=100))

    Args:
        prepare_seconds: How long it is preparing.
        pending_seconds: How long it is pending.
        run_seconds: How long it runs.
        status: The status in which it ends.
        results: How many results it has.
        result_seconds: The time from the start of one result to that of the next; each takes as long.
        failed: How many of the results fail, the last ones.
        refuse: A message: the subscription is not accepted, with a 400 that says so.
    """

    prepare_seconds: float = field(default=5.0, validator=validators.ge(0.0))
    pending_seconds: float = field(default=5.0, validator=validators.ge(0.0))
    run_seconds: float = field(default=60.0, validator=validators.ge(0.0))
    status: FinalStatus = field(
        default="completed", validator=validators.in_(("completed", "failed", "invalid"))
    )
    results: int = field(default=6, validator=validators.ge(0))
    result_seconds: float = field(default=5.0, validator=validators.ge(0.0))
    failed: int = field(default=0, validator=validators.ge(0))
    refuse: str | None = None

    def steps(self, start: int) -> list[Step]:
        """Return the statuses of one that is never suspended."""
        active = (("pending", self.pending_seconds), ("running", self.run_seconds))
        stages = () if self.status == "invalid" else active
        return course(start, ("preparing", self.prepare_seconds), *stages, (self.status, 0.0))


Plan = SubscriptionPlan | Callable[[Mapping[str, Any], int], SubscriptionPlan]
"""One plan for all subscriptions, or a function of the request's JSON and its number, which counts from 0."""


@define(kw_only=True)
class Subscription(Resource):
    """One subscription: what was requested, without its secrets, and its status."""

    plan: SubscriptionPlan
    _suspended: list[Step] = field(factory=list, init=False, repr=False)  # what follows when it goes on

    @property
    def status(self) -> str:
        return self.state

    @property
    def source_type(self) -> str:
        return str(self.body["source"]["type"])

    @property
    def is_catalog(self) -> bool:
        return is_catalog(self.body["source"])

    @property
    def parameters(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.body["source"]["parameters"]
        return found

    @property
    def hosted(self) -> bool:
        return "hosting" in self.body

    @property
    def destination_ref(self) -> str | None:
        ref: str | None = self.body.get("delivery", {}).get("parameters", {}).get("ref")
        return ref

    @property
    def start_time(self) -> int:
        return parse(self.parameters["start_time"])

    @property
    def end_time(self) -> int | None:
        text = self.parameters.get("end_time")
        return None if text is None else parse(text)

    @property
    def runs(self) -> list[tuple[int, int]]:
        """When it ran, from and to, until now; it may have been suspended in between."""
        past = [*self.steps[: len(self.steps) - len(self.planned)], (self.now(), "")]
        return [(a[0], b[0]) for a, b in pairwise(past) if a[1] == "running"]

    def suspend(self) -> bool:
        """Suspend it; return False where its status does not allow that."""
        now = self.now()
        if self.state not in _ACTIVE:
            return False
        self._suspended = [(0, self.state), *((moment - now, state) for moment, state in self.planned)]
        self.replan((now, "suspended"))
        return True

    def reactivate(self) -> bool:
        """Reactivate it; return False if it is not suspended."""
        if self.state != "suspended":
            return False
        self.replan(*((self.now() + wait, state) for wait, state in self._suspended))
        return True

    def cancel(self) -> bool:
        """End it; return False where its status does not allow that."""
        if self.state not in _CANCELLABLE:
            return False
        self.replan((self.now(), "cancelled"))
        return True

    def results(self) -> Iterator["Result"]:
        """Yield the results that there are, the oldest first."""
        plan, runs = self.plan, self.runs
        ran = sum(end - start for start, end in runs)
        step_seconds = plan.result_seconds / len(_STEPS)
        for number in range(plan.results if runs else 0):
            begin = after(number, number * plan.result_seconds)  # a page begins after a moment: no two in one
            if begin > ran:
                return
            steps = [after(begin, step * step_seconds) for step in range(len(_STEPS) + 1)]
            step = max(index for index, moment in enumerate(steps) if moment <= ran)
            created, updated = _moment(runs, begin), _moment(runs, steps[step])
            if step == len(_STEPS):
                status = "failed" if number >= plan.results - plan.failed else "success"
            elif (status := _ENDED.get(self.state, _STEPS[step])) != _STEPS[step]:
                updated = self.modified
            completed = updated if status in {"success", "failed"} else None
            yield Result(number, self, status, created, updated, completed)

    def json(self, base_url: str) -> dict[str, Any]:
        url = f"{base_url}{SUBSCRIPTIONS}/{self.id}"
        found = {
            **self.body,
            "id": self.id,
            "status": self.state,
            "created": render(self.created),
            "updated": render(self.modified),
            "_links": {"_self": url, "results": f"{url}/results"},
        }
        if self.state in {"failed", "invalid"}:
            found["error_hints"] = {"message": "It failed, as planned"}  # its fields are not known [L]
        if self.hosted and self.runs:
            hosting = self.body["hosting"]
            collection = str(uuid5(NAMESPACE_URL, f"collection:{self.id}"))
            parameters = {"collection_id": collection, **hosting.get("parameters", {})}
            found["hosting"] = {**hosting, "parameters": parameters}
        return found


def _moment(runs: Sequence[tuple[int, int]], ran: int) -> int:
    """Return the moment when it had run that long."""
    for start, end in runs:
        if start + ran <= end:
            return start + ran
        ran -= end - start
    raise ValueError("it has not run that long")


@frozen
class Result:
    """One result as it is now; `completed` is the moment it succeeded or failed."""

    number: int
    subscription: Subscription
    status: str
    created: int
    updated: int
    completed: int | None

    @property
    def id(self) -> str:
        return str(uuid5(NAMESPACE_URL, f"{self.subscription.id}/{self.number}"))

    @property
    def item_datetime(self) -> int:
        """When the image was taken, or the value measured: one a day from the start on."""
        return after(self.subscription.start_time, self.number * 86_400.0)

    @property
    def item_id(self) -> str:
        return f"{render(self.item_datetime)[:10].replace('-', '')}_{self.number:06d}_00_2414"

    @property
    def errors(self) -> Mapping[str, Any]:
        return {"message": 'It "failed", as planned'} if self.status == "failed" else {}

    @property
    def outputs(self) -> list[str]:
        """The paths of the files."""
        if self.status != "success" or not self.subscription.is_catalog:
            return []
        assets = [f"{asset}.tif" for asset in self.subscription.parameters["asset_types"]]
        start = f"{self.subscription.id}/{self.item_id}/{self.item_id}"
        return [f"{start}_{ending}" for ending in ("metadata.json", *assets)]

    def json(self) -> dict[str, Any]:
        """Return the result as JSON [H, recorded]."""
        properties: dict[str, Any] = {"item_id": self.item_id}
        if self.subscription.is_catalog:
            properties["item_types"] = self.subscription.parameters["item_types"]
        found = {
            "id": self.id,
            "status": self.status,
            "properties": properties,
            "created": render(self.created),
            "updated": render(self.updated),
            "errors": self.errors,
            "outputs": self.outputs,
        }
        return found if self.completed is None else {**found, "completed": render(self.completed)}

    def row(self) -> dict[str, str]:
        """Return the result as a row of CSV; the status is in upper case [H, recorded]."""
        row = {
            "id": self.id,
            "item_datetime": render(self.item_datetime),
            "status": self.status.upper(),
            "created": render(self.created),
            "updated": render(self.updated),
            "errors": msgspec.json.encode(self.errors).decode(),
            "item_id": self.item_id,
        }
        if self.subscription.is_catalog:
            return {**row, "outputs": "\n".join(self.outputs)}  # how a list is written is not known [L]
        missing = self.number % _NO_VALUE == _NO_VALUE - 1
        return {
            **row,
            "local_solar_time": render(self.item_datetime)[:16],
            "band-1.mean": "" if missing else f"{270 + self.number % 20}.5",
            "band-1.valid_percent": "0" if missing else "100",
            "source_id": str(self.subscription.parameters["id"]),
        }


def _csv_of(subscription: Subscription, results: Iterable[Result]) -> bytes:
    """Return results as CSV, with the columns of the product."""
    text = io.StringIO()
    columns = _CATALOG_CSV if subscription.is_catalog else _VARIABLE_CSV
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(result.row() for result in results)
    return text.getvalue().encode()


def error(status: int, text: str) -> ServerResponse:
    """Return an error in the form of this API [M]."""
    return json_response({"code": 0, "message": text}, status)


def _bad_parameter(name: str, text: str) -> ServerResponse:
    return error(400, f"{name}: {text}")


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
    refuse=_bad_parameter,
    filters={
        "status": one_of(attrgetter("state"), (*_COUNTED, "invalid")),
        "name": equal(attrgetter("name")),
        "name__contains": contains(attrgetter("name")),
        "created": within(attrgetter("created")),
        "updated": within(attrgetter("modified")),
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
        "updated": (attrgetter("modified"), int),
        "start_time": (attrgetter("start_time"), int),
        "end_time": (_end, int),
    },
    newest=(("created", True),),
    page_sizes=_PAGE_SIZES,
)
_RESULTS = ListRules(
    refuse=_bad_parameter,
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
_USER = ListRules(refuse=_bad_parameter, filters={"user_id": of_user}, page_sizes=_PAGE_SIZES)


class SubscriptionsApi:
    """The operations of the Subscriptions API."""

    def __init__(self, context: Context, *, plan: Plan, features_of: FeaturesOf) -> None:
        self.store: Store[Subscription] = Store(context)
        self._context = context
        self._plan = plan
        self._features_of = features_of

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
        query = _LIST.query(request, self._context.page_size, self._context.list_order)
        page, marker = query.page(self.store.listed())
        items = [self._json(subscription) for subscription in page]
        url = self._context.base_url + SUBSCRIPTIONS
        return page_response(request, url, "subscriptions", items, marker)

    def create(self, request: ServerRequest) -> ServerResponse:
        """Create a subscription; which 2xx it is, is not documented [L]."""
        found = self._create(_object(request))
        return json_response({**self._json(found), "status": "preparing"})

    def create_bulk(self, request: ServerRequest) -> ServerResponse:
        """Create one subscription for each feature of a collection; respond with a link to their list [M]."""
        requests = _object(request).get("subscriptions")
        if not isinstance(requests, list) or len(requests) != 1 or not isinstance(requests[0], dict):
            raise Refused(error(400, "subscriptions must be a list of one request"))
        template = requests[0]
        _check(template)
        parameters = template["source"]["parameters"]
        reference = parameters["geometry"].get("content")
        if not isinstance(reference, str):
            raise Refused(error(400, "the geometry must be a reference to a feature collection"))
        unknown = [f"{reference}/{number}" for number in range(_FEATURES)]
        for each in self._features_of(reference) or unknown:
            geometry = {"type": "ref", "content": each}
            source = {**template["source"], "parameters": {**parameters, "geometry": geometry}}
            self._create({**template, "source": source})
        url = f"{self._context.base_url}{SUBSCRIPTIONS}?geom_ref={reference}"
        return json_response({"_links": {"list": url}})

    def get(self, request: ServerRequest, subscription_id: str) -> ServerResponse:
        _USER.tests(request)
        return json_response(self._json(self._find(subscription_id)))

    def update(self, request: ServerRequest, subscription_id: str) -> ServerResponse:
        """Replace a subscription; the response still shows the old one [H, recorded]."""
        subscription, body = self._find(subscription_id), _object(request)
        if "notifications" in body:  # not in the schema; whether they are refused or ignored is not known [L]
            raise Refused(error(400, "notifications cannot be updated"))
        before = self._json(subscription)
        kept = {name: value for name, value in subscription.body.items() if name not in _PUT}
        self._edit(subscription, {**body, **kept})
        return json_response(before)

    def patch(self, request: ServerRequest, subscription_id: str) -> ServerResponse:
        """Change single fields [M]."""
        subscription, body = self._find(subscription_id), _object(request)
        if not body:
            raise Refused(error(400, "name is required"))
        # A delivery that is not changed is not checked again: its secrets are not known here any more.
        self._edit(subscription, {**subscription.body, **body}, keeps_delivery="delivery" not in body)
        return json_response(self._json(subscription))

    def cancel(self, request: ServerRequest, subscription_id: str) -> ServerResponse:
        self._act(subscription_id, Subscription.cancel, "cancelled")
        return json_response({"error": {}})

    def suspend(self, request: ServerRequest, subscription_id: str) -> ServerResponse:
        _details(request)
        found = self._act(subscription_id, Subscription.suspend, "suspended")
        return json_response(self._json(found), 202)

    def reactivate(self, request: ServerRequest, subscription_id: str) -> ServerResponse:
        self._act(subscription_id, Subscription.reactivate, "reactivated")
        return ServerResponse(202)

    def suspend_many(self, request: ServerRequest) -> ServerResponse:
        return self._act_on_many(request, Subscription.suspend)

    def reactivate_many(self, request: ServerRequest) -> ServerResponse:
        return self._act_on_many(request, Subscription.reactivate)

    def results(self, request: ServerRequest, subscription_id: str) -> ServerResponse:
        """List the results, the oldest first [L], or write all of them as CSV [H, M]."""
        subscription = self._find(subscription_id)
        tests = _RESULTS.tests(request)
        size = _RESULTS.size(request, self._context.page_size)
        beyond = _RESULTS.read(request, "page_marker", parse, -1)
        found = (each for each in subscription.results() if all(test(each) for test in tests))
        if request.param("format") == "csv":
            return ServerResponse(200, {"content-type": "text/csv"}, _csv_of(subscription, found))
        page = list(islice((each for each in found if each.created > beyond), size + 1))
        marker = render(page[size - 1].created) if len(page) > size else None  # a time [H]
        url = f"{self._context.base_url}{SUBSCRIPTIONS}/{subscription_id}/results"
        return page_response(request, url, "results", [result.json() for result in page[:size]], marker)

    def summary(self, request: ServerRequest) -> ServerResponse:
        """Count the subscriptions; the invalid ones are not counted [M]."""
        _USER.tests(request)
        counts = Counter(subscription.state for subscription in self.store)
        return json_response({"subscriptions": {status: counts[status] for status in _COUNTED}})

    def results_summary(self, request: ServerRequest, subscription_id: str) -> ServerResponse:
        """Count the results of one subscription [M]."""
        subscription = self._find(subscription_id)
        counts = Counter(result.status for result in subscription.results())
        results = {status: counts[status] for status in _RESULTS_COUNTED}
        return json_response({"results": results, "subscription": {"status": subscription.status}})

    def _json(self, subscription: Subscription) -> dict[str, Any]:
        return subscription.json(self._context.base_url)

    def _find(self, subscription_id: str) -> Subscription:
        found = self.store.by_id.get(subscription_id)
        if found is None:
            raise Refused(error(404, f"No such subscription: {subscription_id}"))
        return found

    def _create(self, body: Mapping[str, Any]) -> Subscription:
        _check(body)
        number, now = len(self.store), self._context.now
        plan = plan_of(self._plan, body, number)
        if plan.refuse is not None:
            raise Refused(error(400, plan.refuse))
        body = {**body, "name": self._context.change_name(body["name"])}
        return self.store.add(
            Subscription(
                number=number,
                id=self._context.new_id(),
                body=_completed(body, self._features_of),
                steps=plan.steps(now()),
                now=now,
                plan=plan,
            )
        )

    def _edit(
        self, subscription: Subscription, body: Mapping[str, Any], *, keeps_delivery: bool = False
    ) -> None:
        _check(body, keeps_delivery=keeps_delivery)
        now, edited = self._context.now(), _completed(body, self._features_of)
        if subscription.state not in _EDITABLE:
            raise Refused(error(409, f"A subscription that is {subscription.status} cannot be changed"))
        if problem := _edit_problem(subscription, edited, now):
            raise Refused(error(400, problem))
        subscription.body, subscription.edited = edited, now

    def _act(self, subscription_id: str, act: Act, done: str) -> Subscription:
        subscription = self._find(subscription_id)
        if not act(subscription):
            raise Refused(error(409, f"A subscription that is {subscription.status} cannot be {done}"))
        return subscription

    def _act_on_many(self, request: ServerRequest, act: Act) -> ServerResponse:
        """Act on the subscriptions with these ids, or all [M]; the others are left as they are [L]."""
        _USER.tests(request)
        ids = _details(request).get("subscription_ids")
        if ids is not None and (not isinstance(ids, list) or not ids):
            raise Refused(error(400, "subscription_ids must be a list of ids"))
        if ids and request.param("user_id"):
            raise Refused(error(400, "subscription_ids and user_id exclude each other"))
        for subscription in self.store if ids is None else [self._find(each) for each in ids]:
            act(subscription)
        return ServerResponse(202)


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


def _object(request: ServerRequest) -> Json:
    return without_nulls(json_object(request, partial(error, 400)))


def _details(request: ServerRequest) -> dict[str, Any]:
    """Return the body of an action, which is optional."""
    return _object(request) if request.body and request.body != b"null" else {}


def _completed(body: Mapping[str, Any], features_of: FeaturesOf) -> dict[str, Any]:
    """Return a request as it will be shown: with its type and the defaults, and without secrets."""
    found = {name: body[name] for name in _SHOWN if body.get(name) not in (None, {})}
    parameters = dict(found["source"]["parameters"])
    kind = found["source"].get("type")
    if is_catalog(found["source"]):
        kind = "catalog"
        parameters.setdefault("publishing_stages", ["standard", "finalized"])  # [H, recorded]
        parameters.setdefault("time_range_type", "acquired")  # [H, recorded]
    geometry = parameters["geometry"]
    if geometry["type"] == "ref":  # expanded, with the reference added [H, recorded]
        parameters["geometry"] = next(iter((features_of(geometry["content"]) or {}).values()), _FEATURE)
        parameters["geom_ref"] = geometry.get("content")
    kind = kind or _TYPES.get(str(parameters["id"]).partition("-")[0], "planetary_variable")
    found["source"] = {"type": kind, "parameters": parameters}
    if "delivery" in found:
        found["delivery"] = redacted(found["delivery"])
    return found
