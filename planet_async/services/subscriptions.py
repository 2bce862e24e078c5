"""Subscriptions: imagery and planetary variables, delivered as they are made.

| method | route below /subscriptions/v1 | page below https://docs.planet.com/develop/apis |
| --- | --- | --- |
| `create` | POST / | subscriptions/reference |
| `create_bulk` | POST /bulk | none: Planet's own client uses it |
| `get` | GET /{id} | subscriptions/reference |
| `wait`, `poll_now` | GET /{id}, or the list for many | subscriptions/reference |
| `list` | GET / | subscriptions/reference |
| `update` | PUT /{id} | subscriptions/reference |
| `patch` | PATCH /{id} | subscriptions/reference |
| `cancel` | POST /{id}/cancel | subscriptions/reference |
| `suspend`, `reactivate` | POST /{id}/suspend, /{id}/reactivate | none: Planet's own client uses it |
| `suspend_many`, `suspend_all` | POST /suspend | none: Planet's own client uses it |
| `reactivate_many`, `reactivate_all` | POST /reactivate | none: Planet's own client uses it |
| `summary` | GET /summary | subscriptions/reference |
| `results`, `results_csv` | GET /{id}/results | subscriptions/reference |
| `results_summary` | GET /{id}/summary | subscriptions/reference |
"""

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from planet_async._loops import PerLoop
from planet_async.errors import Conflict, InvalidRequest, PagingError, PlanetError, StatusUnreachable
from planet_async.http import Request, Response, Transport, origin
from planet_async.models.codec import checked_body, decode, to_json, to_mapping
from planet_async.models.subscription_request import UPDATED, SubscriptionRequest
from planet_async.models.subscriptions import (
    BulkReply,
    ResultsSummary,
    ResultStatus,
    Subscription,
    SubscriptionResult,
    SubscriptionsSummary,
    SubscriptionStatus,
)
from planet_async.paging import RESULTS_PAGES, SUBSCRIPTIONS_PAGES, PageFormat, Paginator
from planet_async.redaction import refuse_redacted
from planet_async.services._api import Api, creating_subscriptions
from planet_async.services._csv import CsvRows, Row
from planet_async.services._query import TimeFilter, checked_id, comma_list, positive, query, time_filter
from planet_async.waiting.poller import Poller
from planet_async.waiting.sweep import ListQueries
from planet_async.waiting.waiter import wait_for

Params = tuple[tuple[str, str], ...]


def result_filters(
    *,
    status: str | Sequence[str] | None,
    created: TimeFilter | None,
    updated: TimeFilter | None,
    completed: TimeFilter | None,
    item_datetime: TimeFilter | None,
    user_id: str | None,
) -> Params:
    """Give the filters as parameters, checked."""
    return query(
        status=status,
        created=time_filter("created", created),
        updated=time_filter("updated", updated),
        completed=time_filter("completed", completed),
        item_datetime=time_filter("item_datetime", item_datetime),
        user_id=user_id,
    )


class ResultRows(CsvRows):
    """Rows of results; their status is lower case, as everywhere else in the API."""

    def __init__(self, transport: Transport, request: Request) -> None:
        super().__init__(transport, request, needed="id")

    async def __anext__(self) -> Row:
        row = await super().__anext__()
        if "status" in row:
            row["status"] = row["status"].casefold()
        return row


T = TypeVar("T")

_SUBSCRIPTIONS = "/subscriptions/v1"
_DONE: Mapping[str, Collection[SubscriptionStatus]] = {
    "cancel": {SubscriptionStatus.CANCELLED},
    "suspend": {SubscriptionStatus.SUSPENDED},
    "reactivate": {SubscriptionStatus.PREPARING, SubscriptionStatus.PENDING, SubscriptionStatus.RUNNING},
}


def path_of(subscription_id: str | UUID) -> str:
    """Give the path of a subscription below that of the API; InvalidRequest where the id is none."""
    return f"/{checked_id(subscription_id, 'subscription')}"


class Calls:
    """Sends requests to paths below that of the API."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def request(
        self,
        method: str,
        path: str,
        operation: str,
        *,
        params: Params = (),
        body: bytes | None = None,
        repeatable: bool | None = None,
        stream: bool = False,
    ) -> Request:
        """Make a request to a path, or to an absolute URL that the API gave."""
        return self._api.request(
            method,
            path if "://" in path else _SUBSCRIPTIONS + path,
            operation=f"subscriptions.{operation}",
            params=params,
            body=body,
            repeatable=repeatable,
            stream=stream,
        )

    async def send(self, method: str, path: str, operation: str, **parts: Any) -> Response:
        """Send a request, whatever is answered."""
        return await self._api.send(self.request(method, path, operation, **parts))

    async def call(self, cls: type[T], method: str, path: str, operation: str, **parts: Any) -> T:
        """Send a request, and decode the answer."""
        return await self._api.call(cls, self.request(method, path, operation, **parts))

    async def get(self, subscription_id: str | UUID) -> Subscription:
        """Give one subscription of the user."""
        return await self.call(Subscription, "GET", path_of(subscription_id), "get")

    async def seen(self, subscription_id: str | UUID) -> Subscription:
        """Look at what has been changed: the answers to changes are empty, or show what was before."""
        try:
            return await self.get(subscription_id)
        except PlanetError as error:
            error.add_note("The API has accepted the change; only the look at it afterwards failed.")
            raise

    def paginate(self, cls: type[T], request: Request, shape: PageFormat) -> Paginator[T]:
        """Make the list that starts with that request."""

        def item(raw: msgspec.Raw, fetched: Request) -> T:
            return decode(cls, raw, request=fetched)

        return Paginator(self._api.transport, request, shape, item, unique=True)

    async def act(
        self, action: str, subscription_id: str | UUID, body: Mapping[str, str] | None = None
    ) -> Subscription:
        """Act on one subscription; where that has been done already, nothing is wrong.

        To do it twice is therefore the same as once, and the answer to a first try may have been lost.
        """
        path = f"{path_of(subscription_id)}/{action}"
        try:
            await self.send("POST", path, action, body=to_json(body) if body else None, repeatable=True)
        except Conflict:
            subscription = await self.get(subscription_id)
            if subscription.status not in _DONE[action]:
                raise
            return subscription
        return await self.seen(subscription_id)

    async def act_on_many(
        self, action: str, subscription_ids: Iterable[str | UUID], body: Mapping[str, str]
    ) -> None:
        """Act on subscriptions by id; no ids, no request."""
        ids = [*dict.fromkeys(checked_id(each, "subscription") for each in subscription_ids)]
        if ids:
            content = to_json({"subscription_ids": ids, **body})
            await self.send("POST", f"/{action}", f"{action}_many", body=content, repeatable=True)

    async def act_on_all(self, action: str, user_id: str | None, body: Mapping[str, str]) -> None:
        """Act on all subscriptions of the user, or of the organization."""
        if user_id not in {None, "all"}:
            raise InvalidRequest(f"user_id must be 'all' here, or be left out, not {user_id!r}")
        content, params = to_json(body) if body else None, query(user_id=user_id)
        # Not repeatable: what has come between two tries would be acted on too.
        await self.send("POST", f"/{action}", f"{action}_many", params=params, body=content)


class _Nothing:
    """Answers with an empty page."""

    async def send(self, request: Request) -> Response:
        return Response(200, body=b'{"subscriptions":[]}')

    async def aclose(self) -> None:
        """Do nothing."""


def no_subscriptions() -> Paginator[Subscription]:
    """Give a list that is empty without asking anybody."""
    nowhere: Transport = _Nothing()

    def item(raw: msgspec.Raw, fetched: Request) -> Subscription:
        return decode(Subscription, raw, request=fetched)

    return Paginator(nowhere, Request("GET", ""), SUBSCRIPTIONS_PAGES, item)


async def wait_for_status(
    waits: Poller[Subscription],
    subscription_id: str,
    wanted: SubscriptionStatus,
    *,
    timeout: float | None,
    on_update: Callable[[Subscription], None] | None,
) -> Subscription:
    """Wait until a subscription has that status, or never will; see `Subscriptions.wait`."""
    found = await wait_for(
        waits,
        subscription_id,
        lambda seen: seen.status is wanted or _is_too_late(seen.status, wanted),
        timeout=timeout,
        on_update=on_update,
    )
    if found.status is not wanted:
        raise StatusUnreachable(
            f"subscription {found.id} is {found.status}, and will not be {wanted} any more"
        )
    return found


def _is_too_late(status: SubscriptionStatus, wanted: SubscriptionStatus) -> bool:
    """Tell whether that will not happen any more; what has failed can only be cancelled."""
    if status is SubscriptionStatus.FAILED:
        return wanted is not SubscriptionStatus.CANCELLED
    return status.is_final


_PAGE_SIZE = 500  # the API's own 20 make a list ten times slower


class Subscriptions:
    """The subscriptions of an account: `planet.subscriptions`.

    Everything here raises StatusError where the API refuses, TransportError where no answer came, DecodeError
    where the answer is not what the API documents, and InvalidRequest before anything is sent.  `user_id`
    (``"all"``: the whole organization) is for administrators.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._calls = Calls(api)
        self._creating = creating_subscriptions(api, self.list)
        lists = ListQueries(self._changed, self.list)
        self._waits = PerLoop(
            partial(api.shared_wait, "subscription", self._calls.get, api.config.schedule, lists)
        )

    async def create(self, request: SubscriptionRequest | Mapping[str, Any]) -> Subscription:
        """Create a subscription, and give it as it stands: preparing.

        A mapping is checked and sent as it is, fields unknown here included.  It is created once: where an
        answer is lost, the subscription is looked for by its name, and sent again only if it is not there.
        UnsettledCreate is raised where that cannot be told.

            subscription = await planet.subscriptions.create(
                SubscriptionRequest("field 7", VariableSource("BIOMASS-PROXY_V4.0_10", field_7, start))
            )
        """
        body = _checked(request)
        send = partial(self._calls.call, Subscription, "POST", "", "create", body=body)
        return await self._creating.create(body, send)

    async def create_bulk(
        self, requests: Iterable[SubscriptionRequest | Mapping[str, Any]]
    ) -> Paginator[Subscription]:
        """Create many subscriptions in one request, and give the list of what comes of it; beta.

        Today the API takes one request, whose geometry is a reference to a feature collection
        (``"pl:features/my/fields"``): a subscription for each feature.  They come into being after the
        answer, so the list grows.  No requests: an empty list, and nothing is sent.
        """
        bodies = [_checked(request) for request in requests]
        if not bodies:
            return no_subscriptions()
        body = b'{"subscriptions":[%b]}' % b",".join(bodies)
        request = self._calls.request("POST", "/bulk", "create_bulk", body=body)
        link = (await self._api.call(BulkReply, request)).list_link
        first = self._calls.request("GET", link, "list")
        if origin(first.url) != origin(self._api.config.base_url):
            raise PagingError("the list of what was created is at another origin", request=request)
        return self._calls.paginate(Subscription, first, SUBSCRIPTIONS_PAGES)

    async def get(self, subscription_id: str | UUID, *, user_id: str | None = None) -> Subscription:
        """Give one subscription; NotFound also for those of other users, unless `user_id` is ``"all"``."""
        return await self._calls.call(
            Subscription, "GET", path_of(subscription_id), "get", params=query(user_id=user_id)
        )

    def list(
        self,
        *,
        status: SubscriptionStatus | str | Sequence[SubscriptionStatus | str] | None = None,
        source_type: str | None = None,
        name: str | None = None,
        name__contains: str | None = None,
        created: TimeFilter | None = None,
        updated: TimeFilter | None = None,
        start_time: TimeFilter | None = None,
        end_time: TimeFilter | None = None,
        hosting: bool | None = None,
        geom_ref: str | None = None,
        destination_ref: str | None = None,
        user_id: int | str | None = None,
        sort_by: str | Sequence[str] | None = None,
        page_size: int = _PAGE_SIZE,
    ) -> Paginator[Subscription]:
        """List subscriptions, newest first unless `sort_by` says otherwise; the filters are those of the API.

        Each comes once, also where some are created while the list is read.  `user_id` is ``"all"`` or a
        number; `page_size` is at most 10,000.

            async for subscription in planet.subscriptions.list(status=["running", "suspended"]):
                ...
        """
        params = query(
            status=status,
            source_type=source_type,
            name=name,
            name__contains=name__contains,
            created=time_filter("created", created),
            updated=time_filter("updated", updated),
            start_time=time_filter("start_time", start_time),
            end_time=time_filter("end_time", end_time),
            hosting=hosting,
            geom_ref=geom_ref,
            destination_ref=destination_ref,
            user_id=user_id,
            sort_by=comma_list(sort_by),
            page_size=positive("page_size", page_size),
        )
        return self._calls.paginate(
            Subscription, self._calls.request("GET", "", "list", params=params), SUBSCRIPTIONS_PAGES
        )

    async def update(
        self, subscription_id: str | UUID, request: SubscriptionRequest | Subscription | Mapping[str, Any]
    ) -> Subscription:
        """Replace a subscription by its new version, and give it as it then is; what is left out is gone.

        A secret that the API has blacked out is refused, since it would replace the real one.  A Subscription
        goes back as it came; `SubscriptionRequest.of` makes a request of one to be changed.  Notifications
        cannot be updated.  While it runs, item types, tools and a start in the past cannot change.

            request = SubscriptionRequest.of(await planet.subscriptions.get(subscription_id))
            await planet.subscriptions.update(subscription_id, attrs.evolve(request, name="field 8"))
        """
        path = path_of(subscription_id)
        if isinstance(request, Subscription):
            request = {name: request.raw[name] for name in UPDATED if request.raw.get(name) is not None}
        body = _checked(request, update=True)
        await self._calls.send("PUT", path, "update", body=body)
        return await self._calls.seen(subscription_id)

    async def patch(self, subscription_id: str | UUID, changes: Mapping[str, Any]) -> Subscription:
        """Change some fields of a subscription, and give it as it then is.

        Planet documents `name`; its own client sends others too.  Each replaces the field as a whole.

            await planet.subscriptions.patch(subscription_id, {"name": "field 8"})
        """
        path, body = path_of(subscription_id), to_mapping(changes)
        if not body:
            raise InvalidRequest("a patch needs at least one field; nothing was sent")
        refuse_redacted(body)
        # The same values twice are the same as once.
        await self._calls.send("PATCH", path, "patch", body=to_json(body), repeatable=True)
        return await self._calls.seen(subscription_id)

    async def cancel(self, subscription_id: str | UUID) -> Subscription:
        """End a subscription for good, and give it; one that is cancelled already is given as it is.

        Conflict is raised for one that is preparing or has ended.
        """
        return await self._calls.act("cancel", subscription_id)

    async def suspend(self, subscription_id: str | UUID, *, details: str | None = None) -> Subscription:
        """Halt a subscription until it is reactivated, and give it; `details` say why.  Beta."""
        return await self._calls.act("suspend", subscription_id, _details(details))

    async def reactivate(self, subscription_id: str | UUID) -> Subscription:
        """Let a suspended subscription go on, and give it; one that is active is given as it is.  Beta."""
        return await self._calls.act("reactivate", subscription_id)

    async def suspend_many(
        self, subscription_ids: Iterable[str | UUID], *, details: str | None = None
    ) -> None:
        """Suspend subscriptions by id in one request; no ids, no request.  Beta.

        The API accepts the request and acts on it later: look at the subscriptions for what came of it.
        """
        await self._calls.act_on_many("suspend", subscription_ids, _details(details))

    async def reactivate_many(self, subscription_ids: Iterable[str | UUID]) -> None:
        """Reactivate suspended subscriptions by id in one request; no ids, no request.  Beta."""
        await self._calls.act_on_many("reactivate", subscription_ids, {})

    async def suspend_all(self, *, user_id: str | None = None, details: str | None = None) -> None:
        """Suspend all subscriptions of the user, or of the organization with `user_id` ``"all"``.  Beta."""
        await self._calls.act_on_all("suspend", user_id, _details(details))

    async def reactivate_all(self, *, user_id: str | None = None) -> None:
        """Reactivate all suspended subscriptions of the user, or of the organization.  Beta."""
        await self._calls.act_on_all("reactivate", user_id, {})

    async def summary(self, *, user_id: str | None = None) -> SubscriptionsSummary:
        """Count the subscriptions of the user, or of the organization, by status."""
        return await self._calls.call(
            SubscriptionsSummary, "GET", "/summary", "summary", params=query(user_id=user_id)
        )

    def results(
        self,
        subscription_id: str | UUID,
        *,
        status: ResultStatus | str | Sequence[ResultStatus | str] | None = None,
        created: TimeFilter | None = None,
        updated: TimeFilter | None = None,
        completed: TimeFilter | None = None,
        item_datetime: TimeFilter | None = None,
        user_id: str | None = None,
        page_size: int = _PAGE_SIZE,
    ) -> Paginator[SubscriptionResult]:
        """List the results of a subscription; each comes once, also where more arrive while they are read.

        async for result in planet.subscriptions.results(subscription_id, status="success"):
            print(result.item_id, result.outputs)
        """
        filters = result_filters(
            status=status,
            created=created,
            updated=updated,
            completed=completed,
            item_datetime=item_datetime,
            user_id=user_id,
        )
        params = (*filters, *query(page_size=positive("page_size", page_size)))
        path = f"{path_of(subscription_id)}/results"
        return self._calls.paginate(
            SubscriptionResult, self._calls.request("GET", path, "results", params=params), RESULTS_PAGES
        )

    def results_csv(
        self,
        subscription_id: str | UUID,
        *,
        status: ResultStatus | str | Sequence[ResultStatus | str] | None = None,
        created: TimeFilter | None = None,
        updated: TimeFilter | None = None,
        completed: TimeFilter | None = None,
        item_datetime: TimeFilter | None = None,
        user_id: str | None = None,
    ) -> AsyncIterator[dict[str, str]]:
        """Read the results of a subscription as rows, each a mapping by column, as they arrive.

        The columns are those of the product: the values of a planetary variable are among them.  All cells
        are text, an empty one ``""``; `errors` is JSON.  Nothing is sent before the first row is asked for,
        and leaving the loop closes the connection.  ConnectionLost where it breaks off half way.

            async for row in planet.subscriptions.results_csv(subscription_id, status="success"):
                print(row["item_datetime"], row["lst.band-1.mean"])
        """
        filters = result_filters(
            status=status,
            created=created,
            updated=updated,
            completed=completed,
            item_datetime=item_datetime,
            user_id=user_id,
        )
        path, params = f"{path_of(subscription_id)}/results", (*filters, ("format", "csv"))
        request = self._calls.request("GET", path, "results", params=params, stream=True)
        return ResultRows(self._api.transport, request.with_headers({"accept": "*/*"}))

    async def results_summary(self, subscription_id: str | UUID) -> ResultsSummary:
        """Count the results of a subscription by status."""
        return await self._calls.call(
            ResultsSummary, "GET", f"{path_of(subscription_id)}/summary", "results_summary"
        )

    async def wait(
        self,
        subscription_id: str | UUID,
        status: SubscriptionStatus | str,
        *,
        timeout: float | None = None,
        on_update: Callable[[Subscription], None] | None = None,
    ) -> Subscription:
        """Wait until a subscription has that status, for at most `timeout` seconds, and give it.

        `on_update` is called with the subscription whenever it has changed.  However many wait, one list
        request every few seconds answers for all.  Raises WaitTimeout, and StatusUnreachable once it has
        ended otherwise.

            await planet.subscriptions.wait(subscription_id, "running", timeout=600)
        """
        id_, wanted = checked_id(subscription_id, "subscription").lower(), SubscriptionStatus(status)
        return await wait_for_status(self._waits.here(), id_, wanted, timeout=timeout, on_update=on_update)

    def poll_now(self, subscription_id: str) -> None:
        """Look at a subscription at once if somebody waits for it, as when a webhook has told of it.

        It costs nothing where nobody does.  To be called in the event loop of those who wait.
        """
        self._waits.here().poll_now(subscription_id.lower())

    def _changed(self, since: datetime, _: bool) -> Paginator[Subscription]:
        return self.list(updated=(since, None), sort_by="updated ASC")


def _checked(request: SubscriptionRequest | Mapping[str, Any], *, update: bool = False) -> bytes:
    body = checked_body(SubscriptionRequest, request)
    plain = to_mapping(request)
    if update and plain.get("notifications") is not None:
        raise InvalidRequest("the API takes no notifications in an update; nothing was sent")
    refuse_redacted(plain)
    return body


def _details(details: str | None) -> dict[str, str]:
    return {} if details is None else {"details": details}
