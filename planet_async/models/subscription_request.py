"""What a subscription asks for: a source, and what becomes of its items.

See https://docs.planet.com/develop/apis/subscriptions/reference/
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Self

from attrs import field, fields, frozen

from planet_async.errors import InvalidRequest
from planet_async.models.base import Named, RequestModel
from planet_async.models.codec import as_typed, named, typed
from planet_async.models.delivery import (
    AmazonS3,
    AzureBlobStorage,
    Delivery,
    Destination,
    GoogleCloudStorage,
    GoogleEarthEngine,
    OracleCloudStorage,
    S3Compatible,
)
from planet_async.models.order_request import Hosting, SentinelHub
from planet_async.models.subscription_source import CATALOG, AnySource, VariableSource, source_type
from planet_async.models.subscription_tools import SUBSCRIPTION_TOOLS, tool_problems
from planet_async.models.subscriptions import Subscription
from planet_async.models.tools import Tool
from planet_async.redaction import SECRET_URL, keys_only, url_without_secrets

SUBSCRIPTION_DELIVERIES: Mapping[str, type[Delivery]] = {
    delivery.block: delivery
    for delivery in (
        AmazonS3,
        AzureBlobStorage,
        Destination,
        GoogleCloudStorage,
        GoogleEarthEngine,
        OracleCloudStorage,
        S3Compatible,
    )
}
UPDATED = ("name", "source", "delivery", "hosting", "tools")
"""The fields that an update takes."""

_OF_ORDERS = tuple(part.name for part in fields(Delivery))


def _topics(value: Iterable[str]) -> tuple[str, ...]:
    return _listed(value, "SubscriptionWebhook.topics")


def _listed(value: Iterable[Any], where: str) -> tuple[Any, ...]:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise InvalidRequest(f"{where}: expected a list")
    return tuple(value)


@frozen
class SubscriptionWebhook(Named):
    """A call of yours that Planet makes when one of the `topics` happens.

    Topics are delivery.success, delivery.match, delivery.failed, status.completed, status.cancelled,
    status.pending, status.suspended, status.failed, status.backfill.completed and status.all.  The URL may
    hold a user and a password; what it leads to must not redirect.
    """

    block: ClassVar[str] = "webhook"

    url: str = field(repr=url_without_secrets, metadata=SECRET_URL)
    topics: tuple[str, ...] = field(converter=_topics)

    def _problems(self) -> Iterable[tuple[str, str]]:
        if not self.topics:
            yield "topics", "expected one topic or more"


_TypedTool = Annotated[Tool, typed(SUBSCRIPTION_TOOLS)]
_TypedDelivery = Annotated[Delivery, typed(SUBSCRIPTION_DELIVERIES)]
_TypedHosting = Annotated[Hosting, typed({SentinelHub.block: SentinelHub})]
_NamedWebhook = Annotated[SubscriptionWebhook, named({SubscriptionWebhook.block: SubscriptionWebhook})]


def _tools(value: Iterable[Tool | Mapping[str, Any]]) -> tuple[Tool | Mapping[str, Any], ...]:
    return _listed(value, "SubscriptionRequest.tools")


@frozen
class SubscriptionRequest(RequestModel):
    """A subscription to be created, or the new version of one.

    A catalog source needs a delivery or hosting, never both; tools are for a catalog source only, and stand
    in the order that the API enforces.  A plain mapping does for any part, in the API's own form
    (``{"type": ..., "parameters": {...}}``), also for sources, tools and deliveries that have no class here.

        SubscriptionRequest(
            "field 7",
            CatalogSource(["PSScene"], ["ortho_analytic_4b"], field_7, "2026-01-01T00:00:00Z"),
            tools=[TopOfAtmosphereReflectance(), Clip()],
            delivery=GoogleCloudStorage(bucket="fields", credentials=key),
        )
    """

    name: str
    source: AnySource | Mapping[str, Any]
    tools: tuple[_TypedTool | Mapping[str, Any], ...] = field(default=(), converter=_tools, kw_only=True)
    delivery: _TypedDelivery | Mapping[str, Any] | None = field(default=None, repr=keys_only, kw_only=True)
    hosting: _TypedHosting | Mapping[str, Any] | None = field(default=None, repr=keys_only, kw_only=True)
    notifications: _NamedWebhook | Mapping[str, Any] | None = field(
        default=None, repr=keys_only, kw_only=True
    )

    @classmethod
    def of(cls, subscription: Subscription) -> Self:
        """Give what an update of a subscription starts from: it as it is, without its notifications.

        The API takes no notifications in an update.  Secrets are blacked out, so put them back first:

            request = SubscriptionRequest.of(subscription)
            request = attrs.evolve(request, delivery=GoogleCloudStorage(bucket="fields", credentials=key))
        """
        return cls(
            subscription.name,
            subscription.source,
            tools=subscription.tools,
            delivery=subscription.delivery,
            hosting=subscription.hosting,
        )

    def _problems(self) -> Iterable[tuple[str, str]]:
        kind = source_type(self.source)
        is_catalog = kind == CATALOG
        if self.hosting is not None and self.delivery is not None:
            yield "hosting", "expected hosting or delivery, not both"
        if is_catalog and self.hosting is None and self.delivery is None:
            yield "delivery", "missing: a catalog source needs delivery or hosting"
        if isinstance(self.delivery, Delivery):
            yield from _delivery_problems(self.delivery)
        if self.tools and not is_catalog and (isinstance(self.source, VariableSource) or kind is not None):
            yield "tools", f"are for a catalog source only, not for {kind or 'a variable'}"
        yield from tool_problems(self.tools)

    def to_body(self) -> Mapping[str, object]:
        """Give the request as this API writes it."""
        found = self.set_fields()
        if self.tools:
            found["tools"] = [as_typed(tool) if isinstance(tool, Tool) else tool for tool in self.tools]
        else:
            del found["tools"]
        for name, part in (("delivery", self.delivery), ("hosting", self.hosting)):
            if isinstance(part, Delivery | Hosting):
                found[name] = as_typed(part)
        return found


def _delivery_problems(delivery: Delivery) -> Iterable[tuple[str, str]]:
    if type(delivery) not in SUBSCRIPTION_DELIVERIES.values():
        yield "delivery", f"{type(delivery).__name__} is for orders only"
    for name in _OF_ORDERS:
        if getattr(delivery, name) is not None:
            yield "delivery", f"{name} is for orders only"
