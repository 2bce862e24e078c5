"""The simulated Subscriptions API: https://docs.planet.com/develop/apis/subscriptions/reference/."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from planet_async.simulator.exchange import Answer, Call, Refused, Route, json_answer
from planet_async.simulator.order_list import next_link
from planet_async.simulator.subscription_book import Plan, Subscription, SubscriptionBook, SubscriptionPlan
from planet_async.simulator.subscription_checks import problems_of, refusal
from planet_async.simulator.subscription_edits import edit_problem
from planet_async.simulator.subscription_json import SUBSCRIPTIONS, completed, shown
from planet_async.simulator.subscription_list import Query, results_page, subscriptions_page, wanted_results
from planet_async.simulator.subscription_results import csv_of, results_of, shown_result
from planet_async.simulator.world import World

_COUNTED = ("preparing", "pending", "running", "completed", "cancelled", "suspended", "failed")
_RESULTS_COUNTED = ("created", "queued", "processing", "failed", "cancelled", "success")
_PUT = ("name", "source", "delivery", "hosting", "tools")
_FEATURES = 3  # of every collection


class SubscriptionsApi:
    """Answers the calls of the Subscriptions API; nothing runs in between."""

    def __init__(self, world: World, *, plan: Plan, page_size: int) -> None:
        self.book = SubscriptionBook()
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

    def list_subscriptions(self, call: Call) -> Answer:
        """List subscriptions, newest first unless told otherwise [H]."""
        self._catch_up()
        page, marker = subscriptions_page(call, self.book.all(), self._page_size)
        subscriptions = [shown(subscription, self._world) for subscription in page]
        return self._page(call, SUBSCRIPTIONS, "subscriptions", subscriptions, marker)

    def create(self, call: Call) -> Answer:
        """Accept a subscription, or say what is wrong with it; which 2xx it is, is not documented [L]."""
        now = self._catch_up()
        body = _object(call)
        return json_answer(shown(self._create(body, now), self._world))

    def create_bulk(self, call: Call) -> Answer:
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

    def summary(self, call: Call) -> Answer:
        """Count the subscriptions; there is no count of the invalid ones [M]."""
        self._catch_up()
        Query(call).is_mine()
        counts = Counter(subscription.status for subscription in self.book.all())
        return json_answer({"subscriptions": {status: counts[status] for status in _COUNTED}})

    def get(self, call: Call, subscription_id: str) -> Answer:
        """Describe one subscription."""
        self._catch_up()
        Query(call).is_mine()
        return json_answer(shown(self._find(subscription_id), self._world))

    def update(self, call: Call, subscription_id: str) -> Answer:
        """Replace a subscription; the answer still shows what was before [H, recorded]."""
        now = self._catch_up()
        subscription, body = self._find(subscription_id), _object(call)
        if "notifications" in body:  # not in the schema; whether it is refused or ignored is not known [L]
            raise Refused(refusal(400, "notifications cannot be updated"))
        before = shown(subscription, self._world)
        kept = {name: value for name, value in subscription.body.items() if name not in _PUT}
        self._edit(subscription, {**body, **kept}, now)
        return json_answer(before)

    def patch(self, call: Call, subscription_id: str) -> Answer:
        """Change single fields [M]."""
        now = self._catch_up()
        subscription, body = self._find(subscription_id), _object(call)
        if not body:
            raise Refused(refusal(400, "name is required"))
        # A delivery is not checked again unless it is changed: its secrets are no longer known here.
        self._edit(subscription, {**subscription.body, **body}, now, keeps_delivery="delivery" not in body)
        return json_answer(shown(subscription, self._world))

    def cancel(self, call: Call, subscription_id: str) -> Answer:
        """End a subscription [H]."""
        self._act(subscription_id, Subscription.cancel, "cancelled")
        return json_answer({"error": {}})

    def suspend(self, call: Call, subscription_id: str) -> Answer:
        """Halt a subscription [M]."""
        _details(call)
        return json_answer(
            shown(self._act(subscription_id, Subscription.suspend, "suspended"), self._world), 202
        )

    def reactivate(self, call: Call, subscription_id: str) -> Answer:
        """Let a subscription go on [M]."""
        self._act(subscription_id, Subscription.reactivate, "reactivated")
        return Answer(202)

    def suspend_many(self, call: Call) -> Answer:
        """Halt the subscriptions named, or all [M]; the others are left alone [L]."""
        return self._act_on_many(call, Subscription.suspend)

    def reactivate_many(self, call: Call) -> Answer:
        """Let the subscriptions named go on, or all [M]; the others are left alone [L]."""
        return self._act_on_many(call, Subscription.reactivate)

    def results(self, call: Call, subscription_id: str) -> Answer:
        """List the results, or write them all as CSV [H, M]."""
        now = self._catch_up()
        subscription = self._find(subscription_id)
        Query(call).is_mine()
        found = results_of(subscription, now)
        if call.param("format") == "csv":
            content = csv_of(subscription, wanted_results(call, found))
            return Answer(200, {"content-type": "text/csv"}, content)
        page, marker = results_page(call, found, self._page_size)
        path = f"{SUBSCRIPTIONS}/{subscription_id}/results"
        return self._page(call, path, "results", list(map(shown_result, page)), marker)

    def results_summary(self, call: Call, subscription_id: str) -> Answer:
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

    def _act_on_many(self, call: Call, act: Callable[[Subscription, int], bool]) -> Answer:
        now = self._catch_up()
        Query(call).is_mine()
        ids = _details(call).get("subscription_ids")
        if ids is not None and (not isinstance(ids, list) or not ids):
            raise Refused(refusal(400, "subscription_ids must be a list of ids"))
        if ids and call.param("user_id"):
            raise Refused(refusal(400, "subscription_ids and user_id exclude each other"))
        for subscription in list(self.book.all()) if ids is None else [self._find(each) for each in ids]:
            act(subscription, now)
        return Answer(202)

    def _page(self, call: Call, path: str, key: str, items: list[Any], marker: str | None) -> Answer:
        url = self._world.base_url + path
        links = {"_self": f"{url}?{call.query}" if call.query else url}
        if marker is not None:
            links["next"] = next_link(url, call, marker)
        return json_answer({"_links": links, key: items})


def _check(body: Mapping[str, Any], *, keeps_delivery: bool = False) -> None:
    for problem in problems_of(body, keeps_delivery=keeps_delivery):
        raise Refused(refusal(400, problem))


def _object(call: Call) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(call.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        body = None
    if not isinstance(body, dict):
        raise Refused(refusal(400, "the body must be a JSON object"))
    return {name: value for name, value in body.items() if value is not None}


def _details(call: Call) -> dict[str, Any]:
    """Give the body of an action, which may be left out."""
    return _object(call) if call.body and call.body != b"null" else {}
