"""The async client of Planet's APIs: typed, small, and it never loses or doubles an order.

async with Planet() as planet:
    order = await planet.orders.create(request)
    order = await planet.orders.wait(order.id)
    paths = await planet.orders.download(order, to="data")
"""

from importlib import import_module
from typing import TYPE_CHECKING

from planet_async._exports import HOME
from planet_async._version import __version__

if TYPE_CHECKING:
    from planet_async.bulk import Outcome
    from planet_async.client import Planet, standard_stack
    from planet_async.clock import Clock, SystemClock
    from planet_async.config import DOCUMENTED_RATES, Config, Options, Rates, Schedule, Window
    from planet_async.credentials import ApiKey, BearerToken, Credentials
    from planet_async.downloads.remote_file import OpenFile, Progress
    from planet_async.errors import (
        BadRequest,
        BodyTooLarge,
        ChecksumMismatch,
        ClientClosed,
        Conflict,
        ConnectError,
        ConnectionLost,
        DeadlineExceeded,
        DecodeError,
        DownloadError,
        Forbidden,
        ImagingSearchFailed,
        InvalidRequest,
        LedgerError,
        MissingCredentials,
        NotFound,
        OrderNotDownloadable,
        PagingError,
        PlanetError,
        ServerError,
        StatusError,
        StatusUnreachable,
        TooManyRequests,
        TransportError,
        TransportTimeout,
        Unauthorized,
        UnsafeName,
        UnsettledCreate,
        WaitTimeout,
    )
    from planet_async.http import Request, Response, Transport
    from planet_async.models.delivery import (
        AmazonS3,
        Archive,
        AzureBlobStorage,
        Destination,
        GoogleCloudStorage,
        GoogleEarthEngine,
        OracleCloudStorage,
        PlanetFolders,
        S3Compatible,
    )
    from planet_async.models.imaging_windows import ImagingWindow, ImagingWindowSearch, SearchStatus
    from planet_async.models.order_request import (
        BasemapProduct,
        Notifications,
        OrderRequest,
        SceneProduct,
        SentinelHub,
        Stac,
        Webhook,
    )
    from planet_async.models.orders import (
        CancelFailure,
        CancelReason,
        CancelResult,
        Manifest,
        ManifestFile,
        Order,
        OrderCounts,
        OrderResult,
        OrderState,
        OrderStats,
    )
    from planet_async.models.reports import Report
    from planet_async.models.subscription_request import SubscriptionRequest, SubscriptionWebhook
    from planet_async.models.subscription_source import CatalogSource, VariableSource
    from planet_async.models.subscription_tools import CloudPercentFilter, Percent
    from planet_async.models.subscriptions import (
        ResultCounts,
        ResultsSummary,
        ResultStatus,
        Subscription,
        SubscriptionCounts,
        SubscriptionResult,
        SubscriptionsSummary,
        SubscriptionStatus,
    )
    from planet_async.models.tasking import (
        BulkJob,
        BulkStatus,
        Capture,
        CaptureStatus,
        TaskingOrder,
        TaskingStatus,
    )
    from planet_async.models.tasking_pricing import (
        PriceMultiplier,
        Pricing,
        PricingFailure,
        PricingModel,
        PricingPreview,
        ReplacedOrder,
    )
    from planet_async.models.tasking_request import (
        ImagingWindowRequest,
        PricingRequest,
        TaskingOrderChanges,
        TaskingOrderRequest,
    )
    from planet_async.models.tools import (
        BandMath,
        Clip,
        CloudFilter,
        Composite,
        Coregister,
        FileFormat,
        Harmonize,
        Merge,
        Reproject,
        Tile,
        Tool,
        TopOfAtmosphereReflectance,
    )
    from planet_async.oauth import ClientCredentials
    from planet_async.offset_paging import OffsetPaginator
    from planet_async.page import Page
    from planet_async.paging import Paginator
    from planet_async.services._deliveries import Delivery
    from planet_async.services.orders import Orders
    from planet_async.services.reports import Reports
    from planet_async.services.subscriptions import Subscriptions
    from planet_async.services.tasking import Tasking
    from planet_async.signed_by import SignedBy, Signer
    from planet_async.webhook_endpoint import WebhookEndpoint
    from planet_async.webhooks import (
        OrderEvent,
        SubscriptionEvent,
        parse_order_notification,
        parse_subscription_notification,
    )

__all__ = [
    "DOCUMENTED_RATES",
    "AmazonS3",
    "ApiKey",
    "Archive",
    "AzureBlobStorage",
    "BadRequest",
    "BandMath",
    "BasemapProduct",
    "BearerToken",
    "BodyTooLarge",
    "BulkJob",
    "BulkStatus",
    "CancelFailure",
    "CancelReason",
    "CancelResult",
    "Capture",
    "CaptureStatus",
    "CatalogSource",
    "ChecksumMismatch",
    "ClientClosed",
    "ClientCredentials",
    "Clip",
    "Clock",
    "CloudFilter",
    "CloudPercentFilter",
    "Composite",
    "Config",
    "Conflict",
    "ConnectError",
    "ConnectionLost",
    "Coregister",
    "Credentials",
    "DeadlineExceeded",
    "DecodeError",
    "Delivery",
    "Destination",
    "DownloadError",
    "FileFormat",
    "Forbidden",
    "GoogleCloudStorage",
    "GoogleEarthEngine",
    "Harmonize",
    "ImagingSearchFailed",
    "ImagingWindow",
    "ImagingWindowRequest",
    "ImagingWindowSearch",
    "InvalidRequest",
    "LedgerError",
    "Manifest",
    "ManifestFile",
    "Merge",
    "MissingCredentials",
    "NotFound",
    "Notifications",
    "OffsetPaginator",
    "OpenFile",
    "Options",
    "OracleCloudStorage",
    "Order",
    "OrderCounts",
    "OrderEvent",
    "OrderNotDownloadable",
    "OrderRequest",
    "OrderResult",
    "OrderState",
    "OrderStats",
    "Orders",
    "Outcome",
    "Page",
    "Paginator",
    "PagingError",
    "Percent",
    "Planet",
    "PlanetError",
    "PlanetFolders",
    "PriceMultiplier",
    "Pricing",
    "PricingFailure",
    "PricingModel",
    "PricingPreview",
    "PricingRequest",
    "Progress",
    "Rates",
    "ReplacedOrder",
    "Report",
    "Reports",
    "Reproject",
    "Request",
    "Response",
    "ResultCounts",
    "ResultStatus",
    "ResultsSummary",
    "S3Compatible",
    "SceneProduct",
    "Schedule",
    "SearchStatus",
    "SentinelHub",
    "ServerError",
    "SignedBy",
    "Signer",
    "Stac",
    "StatusError",
    "StatusUnreachable",
    "Subscription",
    "SubscriptionCounts",
    "SubscriptionEvent",
    "SubscriptionRequest",
    "SubscriptionResult",
    "SubscriptionStatus",
    "SubscriptionWebhook",
    "Subscriptions",
    "SubscriptionsSummary",
    "SystemClock",
    "Tasking",
    "TaskingOrder",
    "TaskingOrderChanges",
    "TaskingOrderRequest",
    "TaskingStatus",
    "Tile",
    "TooManyRequests",
    "Tool",
    "TopOfAtmosphereReflectance",
    "Transport",
    "TransportError",
    "TransportTimeout",
    "Unauthorized",
    "UnsafeName",
    "UnsettledCreate",
    "VariableSource",
    "WaitTimeout",
    "Webhook",
    "WebhookEndpoint",
    "Window",
    "__version__",
    "parse_order_notification",
    "parse_subscription_notification",
    "standard_stack",
]


def _load(name: str) -> object:
    """Import a public name when it is first asked for, so that a program pays for what it uses."""
    if name not in HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    thing: object = getattr(import_module(f"{__name__}.{HOME[name]}"), name)
    globals()[name] = thing
    return thing


if not TYPE_CHECKING:  # a type checker that sees it takes any name for a public one
    __getattr__ = _load


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
