"""Subscriptions: imagery and planetary variables, delivered as they are made.

| method | route below /subscriptions/v1 |
| --- | --- |
| `create` | POST / |
| `create_bulk` | POST /bulk |
| `get`, `wait` | GET /{id} |
| `list` | GET / |
| `update` | PUT /{id} |
| `patch` | PATCH /{id} |
| `cancel`, `suspend`, `reactivate` | POST /{id}/cancel, /{id}/suspend, /{id}/reactivate |
| `suspend_many`, `suspend_all` | POST /suspend |
| `reactivate_many`, `reactivate_all` | POST /reactivate |
| `summary` | GET /summary |
| `results`, `results_csv` | GET /{id}/results |
| `results_summary` | GET /{id}/summary |

See https://docs.planet.com/develop/apis/subscriptions/reference/.  The bulk routes, and those of suspend and
reactivate, are in use by Planet's own client, but not on that page.
"""

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

from planet_async.errors import Conflict, InvalidRequest, PagingError, PlanetError, StatusUnreachable
from planet_async.http import Request, Response, origin
from planet_async.live_paging import LivePaginator
from planet_async.models.convert import checked_body, decode, to_json, to_mapping
from planet_async.models.secrets import refuse_redacted
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
from planet_async.paging import RESULTS_PAGES, SUBSCRIPTIONS_PAGES, PageShape, Paginator
from planet_async.polling import wait_for
from planet_async.services._api import Api, Params
from planet_async.services._query import TimeFilter, checked_id, comma_list, positive, query, time_filter
from planet_async.services._results import ResultRows, result_filters

T = TypeVar("T")

_SUBSCRIPTIONS = "/subscriptions/v1"
_PAGE_SIZE = 500  # the API's own 20 make a list ten times slower

_SUSPENDED = frozenset({SubscriptionStatus.SUSPENDED})
_CANCELLED = frozenset({SubscriptionStatus.CANCELLED})
_ACTIVE = frozenset({SubscriptionStatus.PREPARING, SubscriptionStatus.PENDING, SubscriptionStatus.RUNNING})


class Subscriptions:
    """The subscriptions of an account: `planet.subscriptions`.

    Everything here raises StatusError where the API refuses, TransportError where no answer came, DecodeError
    where the answer is not what the API documents, and InvalidRequest before anything is sent.  `user_id`
    (``"all"``: the whole organization) is for administrators.
    """

    def __init__(self, api: Api) -> None:
        self._api = api

    async def create(self, request: SubscriptionRequest | Mapping[str, Any]) -> Subscription:
        """Create a subscription, and give it as it stands: preparing.

        A mapping is checked and sent as it is, fields unknown here included.  An error that has
        `may_have_acted` set means that the subscription may exist.

            subscription = await planet.subscriptions.create(
                SubscriptionRequest("field 7", VariableSource("BIOMASS-PROXY_V4.0_10", field_7, start))
            )
        """
        return await self._call(Subscription, "POST", "", "create", body=_checked(request))

    async def create_bulk(
        self, requests: Iterable[SubscriptionRequest | Mapping[str, Any]]
    ) -> Paginator[Subscription]:
        """Create many subscriptions in one request, and give the list of what comes of it; beta.

        Today the API takes one request, whose geometry is a reference to a feature collection
        (``"pl:features/my/fields"``): a subscription for each feature.  They come into being after the
        answer, so the list grows.  No requests: an empty list, and nothing is sent.
        """
        bodies = [to_mapping(request) for request in requests]
        for body in bodies:
            _checked(body)
        if not bodies:
            return LivePaginator(_Nothing(), self._request("GET", "", "list"), SUBSCRIPTIONS_PAGES, _item(Subscription))
        request = self._request("POST", "/bulk", "create_bulk", body=to_json({"subscriptions": bodies}))
        link = (await self._api.call(BulkReply, request)).list_link
        first = self._api.request("GET", link, operation="subscriptions.list")
        if origin(first.url) != origin(self._api.config.base_url):
            raise PagingError("the list of what was created is at another origin", request=request)
        return self._paginate(Subscription, first, SUBSCRIPTIONS_PAGES)

    async def get(self, subscription_id: str | UUID, *, user_id: str | None = None) -> Subscription:
        """Give one subscription; NotFound also for those of other users, unless `user_id` is ``"all"``."""
        return await self._call(
            Subscription, "GET", _path(subscription_id), "get", params=query(user_id=user_id)
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
        return self._paginate(Subscription, self._request("GET", "", "list", params=params), SUBSCRIPTIONS_PAGES)

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
        path = _path(subscription_id)
        if isinstance(request, Subscription):
            request = {name: request.raw[name] for name in UPDATED if request.raw.get(name) is not None}
        body = _checked(request, update=True)
        await self._send("PUT", path, "update", body=body)
        return await self._seen(subscription_id, "updated")

    async def patch(self, subscription_id: str | UUID, changes: Mapping[str, Any]) -> Subscription:
        """Change some fields of a subscription, and give it as it then is.

        Planet documents `name`; its own client sends others too.  Each replaces the field as a whole.

            await planet.subscriptions.patch(subscription_id, {"name": "field 8"})
        """
        path, body = _path(subscription_id), to_mapping(changes)
        if not body:
            raise InvalidRequest("a patch needs at least one field; nothing was sent")
        refuse_redacted(body)
        # The same values twice are the same as once.
        await self._send("PATCH", path, "patch", body=to_json(body), repeatable=True)
        return await self._seen(subscription_id, "patched")

    async def cancel(self, subscription_id: str | UUID) -> Subscription:
        """End a subscription for good, and give it; one that is cancelled already is given as it is.

        Conflict is raised for one that is preparing or has ended.
        """
        return await self._act("cancel", subscription_id, _CANCELLED)

    async def suspend(self, subscription_id: str | UUID, *, details: str | None = None) -> Subscription:
        """Halt a subscription until it is reactivated, and give it; `details` say why.  Beta."""
        return await self._act("suspend", subscription_id, _SUSPENDED, _details(details))

    async def reactivate(self, subscription_id: str | UUID) -> Subscription:
        """Let a suspended subscription go on, and give it; one that is active is given as it is.  Beta."""
        return await self._act("reactivate", subscription_id, _ACTIVE)

    async def suspend_many(
        self, subscription_ids: Iterable[str | UUID], *, details: str | None = None
    ) -> None:
        """Suspend subscriptions by id in one request; no ids, no request.  Beta.

        The API accepts the request and acts on it later: look at the subscriptions for what came of it.
        """
        await self._act_on_many("suspend", subscription_ids, _details(details))

    async def reactivate_many(self, subscription_ids: Iterable[str | UUID]) -> None:
        """Reactivate suspended subscriptions by id in one request; no ids, no request.  Beta."""
        await self._act_on_many("reactivate", subscription_ids, {})

    async def suspend_all(self, *, user_id: str | None = None, details: str | None = None) -> None:
        """Suspend all subscriptions of the user, or of the organization with `user_id` ``"all"``.  Beta."""
        await self._act_on_all("suspend", user_id, _details(details))

    async def reactivate_all(self, *, user_id: str | None = None) -> None:
        """Reactivate all suspended subscriptions of the user, or of the organization.  Beta."""
        await self._act_on_all("reactivate", user_id, {})

    async def summary(self, *, user_id: str | None = None) -> SubscriptionsSummary:
        """Count the subscriptions of the user, or of the organization, by status."""
        return await self._call(
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
        path = f"{_path(subscription_id)}/results"
        return self._paginate(SubscriptionResult, self._request("GET", path, "results", params=params), RESULTS_PAGES)

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
        path = f"{_SUBSCRIPTIONS}{_path(subscription_id)}/results"
        request = self._api.request(
            "GET", path, operation="subscriptions.results", params=(*filters, ("format", "csv")), stream=True
        )
        return ResultRows(self._api.transport, request)

    async def results_summary(self, subscription_id: str | UUID) -> ResultsSummary:
        """Count the results of a subscription by status."""
        return await self._call(ResultsSummary, "GET", f"{_path(subscription_id)}/summary", "results_summary")

    async def wait(
        self,
        subscription_id: str | UUID,
        status: SubscriptionStatus | str,
        *,
        timeout: float | None = None,
        on_update: Callable[[Subscription], None] | None = None,
    ) -> Subscription:
        """Wait until a subscription has that status, for at most `timeout` seconds, and give it.

        `on_update` is called with the subscription whenever it has changed.  Raises WaitTimeout, and
        StatusUnreachable once it has ended otherwise.

            await planet.subscriptions.wait(subscription_id, "running", timeout=600)
        """
        wanted = SubscriptionStatus(status)
        found = await wait_for(
            checked_id(subscription_id, "subscription"),
            self.get,
            lambda seen: seen.status is wanted or _is_too_late(seen.status, wanted),
            clock=self._api.clock,
            schedule=self._api.config.schedule,
            timeout=timeout,
            on_update=on_update,
        )
        if found.status is not wanted:
            raise StatusUnreachable(f"subscription {found.id} is {found.status}, and will not be {wanted} any more")
        return found

    async def _act(
        self,
        action: str,
        subscription_id: str | UUID,
        done: Collection[SubscriptionStatus],
        body: Mapping[str, str] | None = None,
    ) -> Subscription:
        """Act on one subscription; where it has been done already, there is nothing wrong.

        To do it twice is therefore the same as once, and the answer to a first try may have been lost.
        """
        path = f"{_path(subscription_id)}/{action}"
        try:
            await self._send("POST", path, action, body=to_json(body) if body else None, repeatable=True)
        except Conflict:
            subscription = await self.get(subscription_id)
            if subscription.status not in done:
                raise
            return subscription
        return await self._seen(subscription_id, f"asked to {action}")

    async def _act_on_many(
        self, action: str, subscription_ids: Iterable[str | UUID], body: Mapping[str, str]
    ) -> None:
        ids = [*dict.fromkeys(checked_id(each, "subscription") for each in subscription_ids)]
        if ids:
            content = to_json({"subscription_ids": ids, **body})
            await self._send("POST", f"/{action}", f"{action}_many", body=content, repeatable=True)

    async def _act_on_all(self, action: str, user_id: str | None, body: Mapping[str, str]) -> None:
        if user_id not in {None, "all"}:
            raise InvalidRequest(f"user_id must be 'all' here, or be left out, not {user_id!r}")
        # Not repeatable: what has changed between two tries would be acted on too.
        await self._send(
            "POST",
            f"/{action}",
            f"{action}_many",
            params=query(user_id=user_id),
            body=to_json(body) if body else None,
        )

    async def _seen(self, subscription_id: str | UUID, done: str) -> Subscription:
        """Look at what has been changed: the answers to changes are empty, or show what was before."""
        try:
            return await self.get(subscription_id)
        except PlanetError as error:
            error.add_note(f"The subscription has been {done}; only the look at it failed.")
            raise

    def _request(
        self,
        method: str,
        path: str,
        operation: str,
        *,
        params: Params = (),
        body: bytes | None = None,
        repeatable: bool | None = None,
    ) -> Request:
        return self._api.request(
            method,
            _SUBSCRIPTIONS + path,
            operation=f"subscriptions.{operation}",
            params=params,
            body=body,
            repeatable=repeatable,
        )

    async def _send(self, method: str, path: str, operation: str, **parts: Any) -> Response:
        return await self._api.send(self._request(method, path, operation, **parts))

    async def _call(self, cls: type[T], method: str, path: str, operation: str, **parts: Any) -> T:
        return await self._api.call(cls, self._request(method, path, operation, **parts))
