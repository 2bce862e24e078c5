"""What the methods of `Subscriptions` have in common: requests below its path, and looks at what they did."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from planet_async.errors import Conflict, InvalidRequest, PlanetError
from planet_async.http import Request, Response, Transport
from planet_async.models.codec import decode, to_json
from planet_async.models.subscriptions import Subscription, SubscriptionStatus
from planet_async.page import SUBSCRIPTIONS_PAGES, PageShape
from planet_async.paging import Paginator
from planet_async.services._api import Api, Params
from planet_async.services._query import checked_id, query

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

    def paginate(self, cls: type[T], request: Request, shape: PageShape) -> Paginator[T]:
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
