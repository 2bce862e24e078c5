"""The async client of Planet's APIs: typed, small, and it never loses or doubles an order.

async with Planet() as planet:
    order = await planet.orders.create(request)
    order = await planet.orders.wait(order.id)
    paths = await planet.orders.download(order, to="data")
"""

import types as _types
import typing as _typing

from planet_async._version import __version__ as __version__
from planet_async.auth.credentials import ApiKey as ApiKey
from planet_async.auth.credentials import BearerToken as BearerToken
from planet_async.auth.credentials import Credentials as Credentials
from planet_async.auth.login import AuthProfile as AuthProfile
from planet_async.auth.oauth import ClientCredentials as ClientCredentials
from planet_async.auth.signed_by import SignedBy as SignedBy
from planet_async.auth.signed_by import Signer as Signer
from planet_async.client import Planet as Planet
from planet_async.client import standard_stack as standard_stack
from planet_async.clock import Clock as Clock
from planet_async.clock import SystemClock as SystemClock
from planet_async.config import DOCUMENTED_RATES as DOCUMENTED_RATES
from planet_async.config import ClientCert as ClientCert
from planet_async.config import Config as Config
from planet_async.config import Options as Options
from planet_async.config import Rates as Rates
from planet_async.config import Schedule as Schedule
from planet_async.config import Window as Window
from planet_async.downloads.remote_file import OpenFile as OpenFile
from planet_async.downloads.remote_file import Progress as Progress
from planet_async.downloads.remote_file import ProgressCallback as ProgressCallback
from planet_async.errors import BadRequest as BadRequest
from planet_async.errors import BodyTooLarge as BodyTooLarge
from planet_async.errors import ChecksumMismatch as ChecksumMismatch
from planet_async.errors import ClientClosed as ClientClosed
from planet_async.errors import Conflict as Conflict
from planet_async.errors import ConnectError as ConnectError
from planet_async.errors import ConnectionLost as ConnectionLost
from planet_async.errors import DeadlineExceeded as DeadlineExceeded
from planet_async.errors import DecodeError as DecodeError
from planet_async.errors import DownloadError as DownloadError
from planet_async.errors import Forbidden as Forbidden
from planet_async.errors import ImagingSearchFailed as ImagingSearchFailed
from planet_async.errors import InvalidRequest as InvalidRequest
from planet_async.errors import LedgerError as LedgerError
from planet_async.errors import MissingCredentials as MissingCredentials
from planet_async.errors import NotFound as NotFound
from planet_async.errors import OrderNotDownloadable as OrderNotDownloadable
from planet_async.errors import PagingError as PagingError
from planet_async.errors import PlanetError as PlanetError
from planet_async.errors import ServerError as ServerError
from planet_async.errors import StatusError as StatusError
from planet_async.errors import StatusUnreachable as StatusUnreachable
from planet_async.errors import TooManyRequests as TooManyRequests
from planet_async.errors import TransportError as TransportError
from planet_async.errors import TransportTimeout as TransportTimeout
from planet_async.errors import Unauthorized as Unauthorized
from planet_async.errors import UnknownKeyWarning as UnknownKeyWarning
from planet_async.errors import UnsafeName as UnsafeName
from planet_async.errors import UnsettledCreate as UnsettledCreate
from planet_async.errors import WaitTimeout as WaitTimeout
from planet_async.http import Request as Request
from planet_async.http import Response as Response
from planet_async.http import Transport as Transport
from planet_async.jobs.job import OrderRequestLike as OrderRequestLike
from planet_async.models.bulk import BulkFailure as BulkFailure
from planet_async.models.bulk import BulkResult as BulkResult
from planet_async.models.bulk import FailureReason as FailureReason
from planet_async.models.delivery import AmazonS3 as AmazonS3
from planet_async.models.delivery import Archive as Archive
from planet_async.models.delivery import AzureBlobStorage as AzureBlobStorage
from planet_async.models.delivery import Delivery as Delivery
from planet_async.models.delivery import Destination as Destination
from planet_async.models.delivery import GoogleCloudStorage as GoogleCloudStorage
from planet_async.models.delivery import GoogleEarthEngine as GoogleEarthEngine
from planet_async.models.delivery import OracleCloudStorage as OracleCloudStorage
from planet_async.models.delivery import PlanetFolders as PlanetFolders
from planet_async.models.delivery import S3Compatible as S3Compatible
from planet_async.models.order_request import BasemapProduct as BasemapProduct
from planet_async.models.order_request import Hosting as Hosting
from planet_async.models.order_request import Metadata as Metadata
from planet_async.models.order_request import Notifications as Notifications
from planet_async.models.order_request import OrderRequest as OrderRequest
from planet_async.models.order_request import Product as Product
from planet_async.models.order_request import SceneProduct as SceneProduct
from planet_async.models.order_request import SentinelHub as SentinelHub
from planet_async.models.order_request import Stac as Stac
from planet_async.models.order_request import Webhook as Webhook
from planet_async.models.orders import DownloadedFiles as DownloadedFiles
from planet_async.models.orders import DownloadedOrder as DownloadedOrder
from planet_async.models.orders import Manifest as Manifest
from planet_async.models.orders import ManifestFile as ManifestFile
from planet_async.models.orders import Order as Order
from planet_async.models.orders import OrderCounts as OrderCounts
from planet_async.models.orders import OrderResult as OrderResult
from planet_async.models.orders import OrderState as OrderState
from planet_async.models.orders import OrderStats as OrderStats
from planet_async.models.reports import Report as Report
from planet_async.models.subscription_request import CatalogSource as CatalogSource
from planet_async.models.subscription_request import CloudPercentFilter as CloudPercentFilter
from planet_async.models.subscription_request import Percent as Percent
from planet_async.models.subscription_request import Source as Source
from planet_async.models.subscription_request import SubscriptionRequest as SubscriptionRequest
from planet_async.models.subscription_request import SubscriptionWebhook as SubscriptionWebhook
from planet_async.models.subscription_request import VariableSource as VariableSource
from planet_async.models.subscriptions import ResultCounts as ResultCounts
from planet_async.models.subscriptions import ResultsSummary as ResultsSummary
from planet_async.models.subscriptions import ResultStatus as ResultStatus
from planet_async.models.subscriptions import Subscription as Subscription
from planet_async.models.subscriptions import SubscriptionCounts as SubscriptionCounts
from planet_async.models.subscriptions import SubscriptionResult as SubscriptionResult
from planet_async.models.subscriptions import SubscriptionsSummary as SubscriptionsSummary
from planet_async.models.subscriptions import SubscriptionStatus as SubscriptionStatus
from planet_async.models.tasking import BulkJob as BulkJob
from planet_async.models.tasking import BulkStatus as BulkStatus
from planet_async.models.tasking import Capture as Capture
from planet_async.models.tasking import CaptureStatus as CaptureStatus
from planet_async.models.tasking import ImagingWindow as ImagingWindow
from planet_async.models.tasking import ImagingWindowSearch as ImagingWindowSearch
from planet_async.models.tasking import PriceMultiplier as PriceMultiplier
from planet_async.models.tasking import Pricing as Pricing
from planet_async.models.tasking import PricingFailure as PricingFailure
from planet_async.models.tasking import PricingModel as PricingModel
from planet_async.models.tasking import PricingPreview as PricingPreview
from planet_async.models.tasking import ReplacedOrder as ReplacedOrder
from planet_async.models.tasking import SearchStatus as SearchStatus
from planet_async.models.tasking import TaskingOrder as TaskingOrder
from planet_async.models.tasking import TaskingStatus as TaskingStatus
from planet_async.models.tasking_request import ImagingWindowRequest as ImagingWindowRequest
from planet_async.models.tasking_request import PricingRequest as PricingRequest
from planet_async.models.tasking_request import TaskingOrderChanges as TaskingOrderChanges
from planet_async.models.tasking_request import TaskingOrderRequest as TaskingOrderRequest
from planet_async.models.tools import BandMath as BandMath
from planet_async.models.tools import Clip as Clip
from planet_async.models.tools import CloudFilter as CloudFilter
from planet_async.models.tools import Composite as Composite
from planet_async.models.tools import Coregister as Coregister
from planet_async.models.tools import FileFormat as FileFormat
from planet_async.models.tools import Harmonize as Harmonize
from planet_async.models.tools import Merge as Merge
from planet_async.models.tools import Reproject as Reproject
from planet_async.models.tools import Tile as Tile
from planet_async.models.tools import Tool as Tool
from planet_async.models.tools import TopOfAtmosphereReflectance as TopOfAtmosphereReflectance
from planet_async.offset_paging import OffsetPaginator as OffsetPaginator
from planet_async.outcome import Outcome as Outcome
from planet_async.paging import Page as Page
from planet_async.paging import Paginator as Paginator
from planet_async.services.filters import CaptureFilters as CaptureFilters
from planet_async.services.filters import OrderFilters as OrderFilters
from planet_async.services.filters import ReportFilters as ReportFilters
from planet_async.services.filters import ResultFilters as ResultFilters
from planet_async.services.filters import SubscriptionFilters as SubscriptionFilters
from planet_async.services.filters import TaskingFilters as TaskingFilters
from planet_async.services.filters import TimeFilter as TimeFilter
from planet_async.services.orders import Orders as Orders
from planet_async.services.reports import Reports as Reports
from planet_async.services.subscriptions import Subscriptions as Subscriptions
from planet_async.services.tasking import Tasking as Tasking
from planet_async.transports import AiohttpSession as AiohttpSession
from planet_async.transports import AnyTransport as AnyTransport
from planet_async.transports import HttpxClient as HttpxClient
from planet_async.transports import TransportName as TransportName
from planet_async.webhooks import OrderEvent as OrderEvent
from planet_async.webhooks import PollsNow as PollsNow
from planet_async.webhooks import SubscriptionEvent as SubscriptionEvent
from planet_async.webhooks import WaitingClient as WaitingClient
from planet_async.webhooks import WebhookEndpoint as WebhookEndpoint
from planet_async.webhooks import parse_order_notification as parse_order_notification
from planet_async.webhooks import parse_subscription_notification as parse_subscription_notification

if not _typing.TYPE_CHECKING:  # a type checker takes what is imported "as" itself for public
    # What `import *` brings: the names above, without the modules that they come from.
    __all__ = [
        name
        for name, value in globals().items()
        if name == "__version__" or not (name.startswith("_") or isinstance(value, _types.ModuleType))
    ]
