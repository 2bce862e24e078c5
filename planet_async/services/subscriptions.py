"""Subscriptions: imagery and planetary variables, delivered as they are made."""

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Unpack
from uuid import UUID

from planet_async._loops import PerLoop
from planet_async.errors import Conflict, InvalidRequest, PagingError, PlanetError, StatusUnreachable
from planet_async.exactly_once import ResourceKind
from planet_async.http import Request, Response, SecretBytes, origin
from planet_async.models.bulk import BulkResult
from planet_async.models.codec import checked_body, decode, to_json, to_mapping
from planet_async.models.subscription_request import UPDATED, SubscriptionRequest
from planet_async.models.subscriptions import (
    BulkReply,
    ResultsSummary,
    Subscription,
    SubscriptionResult,
    SubscriptionsSummary,
    SubscriptionStatus,
)
from planet_async.outcome import Outcome
from planet_async.paging import RESULTS_PAGES, SUBSCRIPTIONS_PAGES, Paginator
from planet_async.redaction import refuse_redacted
from planet_async.services._api import Api
from planet_async.services._csv import CsvRows, Row
from planet_async.services._query import (
    any_id,
    checked_id,
    checked_ids,
    filter_params,
    joined,
    many,
    params,
    seconds,
    shown,
    text,
    user,
    whole,
)
from planet_async.services.filters import ResultFilters, SubscriptionFilters
from planet_async.waiting.sweep import ListQueries
from planet_async.waiting.waiter import WaitForMany, Watch, wait_for

_NEWEST_FIRST = "created DESC"
_SUBSCRIPTIONS = "/subscriptions/v1"
_NO_DETAILS: Mapping[str, str] = MappingProxyType({})
_DONE: Mapping[str, Collection[SubscriptionStatus]] = {
    "cancel": {SubscriptionStatus.CANCELLED},
    "suspend": {SubscriptionStatus.SUSPENDED},
    "reactivate": {SubscriptionStatus.PREPARING, SubscriptionStatus.PENDING, SubscriptionStatus.RUNNING},
}


class Subscriptions:
    """The subscriptions of an account: `planet.subscriptions`.

    `create`, `create_bulk`, `get`, `list`, `update`, `patch` and `cancel`; `wait`, `wait_many`, `watch` and
    `poll_now`; `suspend` and `reactivate`, for one, many or all; `results`, `results_csv` and
    `results_summary` for what one has delivered; `summary` counts.

    What holds for every method:

    - An id is a text or a `UUID`; a request is a `SubscriptionRequest` or a mapping with the API's own
      names, which is checked and sent as it is, fields unknown here included.
    - A secret that the API has redacted (``"<REDACTED>"``) is refused: it would replace the real one.
    - A changed subscription is requested again, since the responses to changes show what was before.
    - A `timeout` is in seconds; None waits for ever, and 0 asks once.  `on_update`, which may be async,
      is called with what is waited for whenever it has changed.
    - Bulk methods called without ids or requests send no request.
    - `user_id` is a number, or ``"all"`` for the organization; for administrators.

    Raises:
        InvalidRequest: an argument cannot be right; nothing was sent.
        StatusError: the API refuses the request; NotFound also for what belongs to another user.
        TransportError: no response came.
        DecodeError: the response is not what the API documents.

    See https://docs.planet.com/develop/apis/subscriptions/reference/
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._creating = api.exactly_once(
            ResourceKind[Subscription](
                "subscription",
                "source",
                lambda name: self.list(name=name, sort_by=_NEWEST_FIRST).pages(),
                lambda start, end: self.list(created=(start, end), sort_by=_NEWEST_FIRST).pages(),
                attrgetter("created"),
                _as_requested,
                self.cancel,
                attrgetter("updated"),
            )
        )
        lists = ListQueries(self._changed, self.list)
        self._waits = PerLoop(partial(api.poller, "subscription", self.get, api.config.schedule, lists))

    async def create(self, request: SubscriptionRequest | Mapping[str, Any]) -> Subscription:
        """Create a subscription, and return it as it stands: preparing.

        It is created once: where the response is lost, the subscription is looked for by its name, and the
        request is sent again only if it is not there.

            subscription = await planet.subscriptions.create(
                SubscriptionRequest("field 7", VariableSource("BIOMASS-PROXY_V4.0_10", field_7, start))
            )

        Raises:
            UnsettledCreate: whether it was created cannot be found out.
        """
        body = checked_body(SubscriptionRequest, request)
        del request  # a mapping may hold secrets, and tracebacks of Sentry and Rich show locals
        post = self._api.request("POST", _SUBSCRIPTIONS, "subscriptions.create", body=body)
        return await self._creating.create(body, partial(self._api.fetch, Subscription, post))

    async def create_bulk(
        self, requests: Iterable[SubscriptionRequest | Mapping[str, Any]]
    ) -> Paginator[Subscription]:
        """Create many subscriptions with one request, and return the list of what comes of it.  Beta.

        Today the API takes one request, whose geometry is a reference to a feature collection
        (``"pl:features/my/fields"``): a subscription for each feature.  They are created after the response,
        so the list grows.
        """
        bodies = [checked_body(SubscriptionRequest, request) for request in many("requests", requests)]
        del requests  # see `create`
        if not bodies:
            return Paginator(
                _NoSubscriptions(), Request("GET", ""), SUBSCRIPTIONS_PAGES, partial(decode, Subscription)
            )
        body = SecretBytes(b'{"subscriptions":[%b]}' % b",".join(bodies))
        post = self._api.request("POST", f"{_SUBSCRIPTIONS}/bulk", "subscriptions.create_bulk", body=body)
        link = (await self._api.fetch(BulkReply, post)).list_link
        first = self._api.request(
            "GET", link if "://" in link else _SUBSCRIPTIONS + link, "subscriptions.list"
        )
        if origin(first.url) != origin(self._api.config.base_url):
            raise PagingError("the list of what was created is at another origin", request=post)
        return self._api.paginate(Subscription, first, SUBSCRIPTIONS_PAGES, unique=True)

    async def get(self, subscription_id: str | UUID, *, user_id: int | str | None = None) -> Subscription:
        """Return one subscription."""
        query = params(user_id=user(user_id))
        return await self._api.call(
            Subscription, "GET", _path(subscription_id), "subscriptions.get", params=query
        )

    def list(
        self,
        *,
        sort_by: str | Sequence[str] | None = None,
        page_size: int = 500,
        **filters: Unpack[SubscriptionFilters],
    ) -> Paginator[Subscription]:
        """List subscriptions, newest first; each once, also where some are created while the list is read.

            async for subscription in planet.subscriptions.list(status=["running", "suspended"]):
                ...

        Args:
            sort_by: name, created, updated, start_time or end_time, or several; each may end in " ASC" or
                " DESC".
            page_size: How many subscriptions there are in one response, at most 10,000.
            **filters: See `SubscriptionFilters`; all of them have to hold.
        """
        query = (
            *filter_params(SubscriptionFilters, filters),
            *params(sort_by=joined("sort_by", sort_by), page_size=whole("page_size", page_size)),
        )
        first = self._api.request("GET", _SUBSCRIPTIONS, "subscriptions.list", params=query)
        return self._api.paginate(Subscription, first, SUBSCRIPTIONS_PAGES, unique=True)

    async def update(
        self, subscription_id: str | UUID, request: SubscriptionRequest | Subscription | Mapping[str, Any]
    ) -> Subscription:
        """Replace a subscription by its new version, and return it; what is left out is gone.

        Notifications cannot be updated.  While it runs, item types, tools and a start in the past cannot
        change.

            request = SubscriptionRequest.of(await planet.subscriptions.get(subscription_id))
            await planet.subscriptions.update(subscription_id, attrs.evolve(request, name="field 8"))

        Args:
            subscription_id: The id of the subscription.
            request: The whole new version.  A `Subscription` is sent back as it came.
        """
        path = _path(subscription_id)
        if isinstance(request, Subscription):
            request = {name: request.raw[name] for name in UPDATED if request.raw.get(name) is not None}
        body = checked_body(SubscriptionRequest, request)
        if to_mapping(request).get("notifications") is not None:
            raise InvalidRequest("the API takes no notifications in an update; nothing was sent")
        del request  # see `create`
        await self._api.send(self._api.request("PUT", path, "subscriptions.update", body=body))
        return await self._changed_one(subscription_id)

    async def patch(self, subscription_id: str | UUID, changes: Mapping[str, Any]) -> Subscription:
        """Change some fields of a subscription, each as a whole, and return it.

        Planet documents `name`; its own client sends others too.

            await planet.subscriptions.patch(subscription_id, {"name": "field 8"})
        """
        path, body = _path(subscription_id), to_mapping(changes)
        if not body:
            raise InvalidRequest("a patch needs at least one field; nothing was sent")
        refuse_redacted(body)
        # The same values twice are the same as once.
        await self._api.send(
            self._api.request("PATCH", path, "subscriptions.patch", body=to_json(body), repeatable=True)
        )
        return await self._changed_one(subscription_id)

    async def cancel(self, subscription_id: str | UUID) -> Subscription:
        """End a subscription for good, and return it; one that is cancelled already is returned as it is.

        Raises:
            Conflict: it is preparing, or has ended.
        """
        return await self._act("cancel", subscription_id)

    async def wait(
        self,
        subscription_id: str | UUID,
        status: SubscriptionStatus | str,
        *,
        timeout: float | None = None,
        on_update: Callable[[Subscription], object] | None = None,
    ) -> Subscription:
        """Wait until a subscription has that status, and return it.

        All waits of a client share their requests, see `wait_many`.

            await planet.subscriptions.wait(subscription_id, "running", timeout=600)

        Raises:
            WaitTimeout: it did not have the status in time.
            StatusUnreachable: it has ended with another one.
        """
        wanted = _status(status)
        found = await wait_for(
            self._waits.here(),
            checked_id(subscription_id, "subscription"),
            partial(_is_decided, wanted),
            timeout=seconds("timeout", timeout),
            on_update=on_update,
        )
        return _with_status(wanted, Outcome(found.id, found)).unwrap()

    def wait_many(
        self,
        subscription_ids: Iterable[str | UUID],
        status: SubscriptionStatus | str,
        *,
        timeout: float | None = None,
    ) -> AsyncIterator[Outcome[Subscription]]:
        """Wait until many subscriptions have that status, and yield each as it does.

        However many there are, one list request every few seconds serves them all, and all other waits of
        this client.

            async for outcome in planet.subscriptions.wait_many(ids, "running"):
                print(outcome.id, outcome.error or "runs")

        Yields:
            One outcome for each id, in lower case: the subscription, or its error, such as StatusUnreachable
            or WaitTimeout, which does not stop the others.  Leaving the loop early is safe.
        """
        wanted, timeout = _status(status), seconds("timeout", timeout)
        ids = checked_ids(subscription_ids, "subscription")
        waits = WaitForMany(self._waits.here(), ids, partial(_is_decided, wanted), timeout=timeout)
        return _WaitForStatus(waits, wanted)

    def watch(
        self, subscription_id: str | UUID, *, timeout: float | None = None
    ) -> AsyncIterator[Subscription]:
        """Yield a subscription as it is now, and again whenever it has changed, until it has ended or failed.

        All waits of a client share their requests, see `wait_many`.  Leaving the loop early is safe.

            async for subscription in planet.subscriptions.watch(subscription_id):
                print(subscription.status)

        Raises:
            WaitTimeout: it had not ended in time.
        """
        id_, timeout = checked_id(subscription_id, "subscription"), seconds("timeout", timeout)
        return Watch(self._waits.here(), id_, _has_ended, timeout=timeout)

    def poll_now(self, subscription_id: str | UUID) -> None:
        """Request a subscription at once if a wait needs it, as when a webhook reports that it has changed.

        No request is sent where nothing waits for it.  Call it in the event loop of the waits.
        """
        self._waits.here().poll_now(any_id(subscription_id))

    async def suspend(self, subscription_id: str | UUID, *, details: str | None = None) -> Subscription:
        """Halt a subscription until it is reactivated, and return it; `details` say why.  Beta."""
        return await self._act("suspend", subscription_id, _details(details))

    async def suspend_many(
        self, subscription_ids: Iterable[str | UUID], *, details: str | None = None
    ) -> BulkResult:
        """Suspend subscriptions by id with one request; `details` say why.  Beta.

        The API accepts all of them or refuses the request, and suspends them later: `ids` of the result are
        those that it accepted, and `wait_many` tells when they are suspended.
        """
        return await self._act_on_many("suspend", subscription_ids, _details(details))

    async def suspend_all(self, *, user_id: int | str | None = None, details: str | None = None) -> None:
        """Suspend all subscriptions of the user, or of the organization with `user_id` ``"all"``.  Beta.

        The API accepts the request without saying which subscriptions it means, and suspends them later.
        """
        await self._act_on_all("suspend", user_id, _details(details))

    async def reactivate(self, subscription_id: str | UUID) -> Subscription:
        """Resume a suspended subscription, and return it; one that is active is returned as it is.  Beta."""
        return await self._act("reactivate", subscription_id)

    async def reactivate_many(self, subscription_ids: Iterable[str | UUID]) -> BulkResult:
        """Reactivate suspended subscriptions by id with one request, as `suspend_many` does.  Beta."""
        return await self._act_on_many("reactivate", subscription_ids)

    async def reactivate_all(self, *, user_id: int | str | None = None) -> None:
        """Reactivate all suspended subscriptions, as `suspend_all` does.  Beta."""
        await self._act_on_all("reactivate", user_id)

    async def summary(self, *, user_id: int | str | None = None) -> SubscriptionsSummary:
        """Return how many subscriptions the user, or the organization, has of each status."""
        query = params(user_id=user(user_id))
        path = f"{_SUBSCRIPTIONS}/summary"
        return await self._api.call(SubscriptionsSummary, "GET", path, "subscriptions.summary", params=query)

    def results(
        self, subscription_id: str | UUID, *, page_size: int = 500, **filters: Unpack[ResultFilters]
    ) -> Paginator[SubscriptionResult]:
        """List the results of a subscription; each once, also where more arrive while the list is read.

            async for result in planet.subscriptions.results(subscription_id, status="success"):
                print(result.item_id, result.outputs)

        Args:
            subscription_id: The id of the subscription.
            page_size: How many results there are in one response, at most 10,000.
            **filters: See `ResultFilters`; all of them have to hold.
        """
        path = f"{_path(subscription_id)}/results"
        query = (*filter_params(ResultFilters, filters), *params(page_size=whole("page_size", page_size)))
        first = self._api.request("GET", path, "subscriptions.results", params=query)
        return self._api.paginate(SubscriptionResult, first, RESULTS_PAGES, unique=True)

    def results_csv(
        self, subscription_id: str | UUID, **filters: Unpack[ResultFilters]
    ) -> AsyncIterator[dict[str, str]]:
        """Read the results of a subscription as rows, each a mapping by column, as they arrive.

        The columns are those of the product: the values of a planetary variable are among them.  All cells
        are text, an empty one ``""``; `errors` is JSON.  Nothing is sent before the first row is asked for,
        and leaving the loop closes the connection.

            async for row in planet.subscriptions.results_csv(subscription_id, status="success"):
                print(row["item_datetime"], row["lst.band-1.mean"])

        Args:
            subscription_id: The id of the subscription.
            **filters: See `ResultFilters`; all of them have to hold.

        Raises:
            ConnectionLost: the response ends half way; the rows before were yielded.
        """
        path = f"{_path(subscription_id)}/results"
        query = (*filter_params(ResultFilters, filters), *params(format="csv"))
        request = self._api.request("GET", path, "subscriptions.results", params=query, stream=True)
        return _ResultRows(self._api, request)

    async def results_summary(self, subscription_id: str | UUID) -> ResultsSummary:
        """Return how many results a subscription has of each status."""
        path = f"{_path(subscription_id)}/summary"
        return await self._api.call(ResultsSummary, "GET", path, "subscriptions.results_summary")

    def _changed(self, since: datetime, _: bool) -> Paginator[Subscription]:
        return self.list(updated=(since, None), sort_by="updated ASC")

    async def _changed_one(self, subscription_id: str | UUID) -> Subscription:
        try:
            return await self.get(subscription_id)
        except PlanetError as error:
            error.add_note("The API has accepted the change; only the request for it afterwards failed.")
            raise

    async def _act(
        self, action: str, subscription_id: str | UUID, body: Mapping[str, str] = _NO_DETAILS
    ) -> Subscription:
        """Act on one subscription; it is no error if that was done already.

        So doing it twice is the same as once, and the response to a first attempt may have been lost.
        """
        path = f"{_path(subscription_id)}/{action}"
        content = to_json(body) if body else None
        post = self._api.request("POST", path, f"subscriptions.{action}", body=content, repeatable=True)
        try:
            await self._api.send(post)
        except Conflict:
            subscription = await self.get(subscription_id)
            if subscription.status not in _DONE[action]:
                raise
            return subscription
        return await self._changed_one(subscription_id)

    async def _act_on_many(
        self,
        action: str,
        subscription_ids: Iterable[str | UUID],
        body: Mapping[str, str] = _NO_DETAILS,
    ) -> BulkResult:
        ids = [*dict.fromkeys(checked_ids(subscription_ids, "subscription"))]
        if ids:  # a request without ids means all subscriptions
            content = to_json({"subscription_ids": ids, **body})
            path, operation = f"{_SUBSCRIPTIONS}/{action}", f"subscriptions.{action}_many"
            await self._api.send(self._api.request("POST", path, operation, body=content, repeatable=True))
        return BulkResult(len(ids), ids=tuple(ids))

    async def _act_on_all(
        self, action: str, user_id: int | str | None, body: Mapping[str, str] = _NO_DETAILS
    ) -> None:
        if user_id is not None and (not isinstance(user_id, str) or user_id != "all"):
            raise InvalidRequest(f"user_id must be 'all' here, or be left out, not {shown(user_id)}")
        content = to_json(body) if body else None
        path, operation = f"{_SUBSCRIPTIONS}/{action}", f"subscriptions.{action}_many"
        query = params(user_id=user(user_id))
        # Not repeatable: what was created between two attempts would be acted on too.
        await self._api.send(self._api.request("POST", path, operation, params=query, body=content))


class _NoSubscriptions:
    """A transport whose only response is an empty list."""

    async def send(self, request: Request) -> Response:
        return Response(200, body=b'{"subscriptions":[]}')

    async def aclose(self) -> None:
        pass


class _WaitForStatus(AsyncIterator[Outcome[Subscription]]):
    """The outcomes of a wait, where having ended with another status is an error."""

    def __init__(self, waits: WaitForMany[Subscription], wanted: SubscriptionStatus) -> None:
        self._waits = waits
        self._wanted = wanted

    async def __anext__(self) -> Outcome[Subscription]:
        return _with_status(self._wanted, await anext(self._waits))


class _ResultRows(CsvRows):
    """Rows of results; their status is lower case, as everywhere else in the API."""

    def __init__(self, api: Api, request: Request) -> None:
        super().__init__(partial(api.send, request), request, needed="id")

    async def __anext__(self) -> Row:
        row = await super().__anext__()
        if "status" in row:
            row["status"] = row["status"].casefold()
        return row


def _is_decided(wanted: SubscriptionStatus, subscription: Subscription) -> bool:
    """Return whether it has the status or cannot reach it; a failed one can only be cancelled."""
    status = subscription.status
    if status is SubscriptionStatus.FAILED:
        return wanted is not SubscriptionStatus.CANCELLED
    return status is wanted or status.is_final


def _has_ended(subscription: Subscription) -> bool:
    return subscription.status.is_final or subscription.status is SubscriptionStatus.FAILED


def _with_status(wanted: SubscriptionStatus, outcome: Outcome[Subscription]) -> Outcome[Subscription]:
    found = outcome.value
    if found is None or found.status is wanted:
        return outcome
    error = StatusUnreachable(f"subscription {found.id} is {found.status}, and will not be {wanted} any more")
    return Outcome(outcome.id, error=error)


def _status(value: SubscriptionStatus | str) -> SubscriptionStatus:
    if not text("status", value):
        raise InvalidRequest(f"{shown(value)} is no status of a subscription")
    return SubscriptionStatus(value)


def _path(subscription_id: str | UUID) -> str:
    return f"{_SUBSCRIPTIONS}/{checked_id(subscription_id, 'subscription')}"


def _details(details: str | None) -> Mapping[str, str]:
    return {} if details is None else {"details": text("details", details)}


def _as_requested(subscription: Subscription) -> Mapping[str, Any]:
    """Return it in the words of a request, where a geometry may be a reference, which the API expands."""
    parameters = subscription.source.get("parameters")
    if not isinstance(parameters, Mapping) or "geom_ref" not in parameters:
        return subscription.raw
    geometry = {"type": "ref", "content": parameters["geom_ref"]}
    source = {**subscription.source, "parameters": {**parameters, "geometry": geometry}}
    return {**subscription.raw, "source": source}
