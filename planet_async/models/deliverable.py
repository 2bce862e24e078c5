"""What an order and a subscription have in common: something is made, in steps, and taken somewhere."""

from collections.abc import Mapping
from typing import Any

from planet_async.models.resource import Resource


class Deliverable(Resource):
    """Base of `Order` and `Subscription`: the free-form parts that both have."""

    __slots__ = ()

    @property
    def tools(self) -> tuple[Mapping[str, Any], ...]:
        """What is done to each item, in this order: objects with one key, or in subscriptions a ``type``."""
        return self._mappings("tools")

    @property
    def delivery(self) -> Mapping[str, Any] | None:
        """Where it goes and how it is packed; secrets come blacked out by the API."""
        return self._mapping("delivery")

    @property
    def hosting(self) -> Mapping[str, Any] | None:
        """Where Planet hosts it."""
        return self._mapping("hosting")

    @property
    def notifications(self) -> Mapping[str, Any] | None:
        """Who is told, and of what."""
        return self._mapping("notifications")

    @property
    def links(self) -> Mapping[str, Any]:
        """The object that the API calls ``_links``."""
        return self._mapping("_links") or {}
