"""`Planet`: the client, which owns the stack of layers and holds the services."""

import typing
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Self
from weakref import WeakValueDictionary

from attrs import evolve

from planet_async._loops import PerLoop
from planet_async.auth.credentials import ApiKey, Auth, Credentials
from planet_async.clock import Clock, SystemClock
from planet_async.config import Config, Options
from planet_async.errors import InvalidRequest, type_name
from planet_async.http import Response, Transport, without_query
from planet_async.layers.closing import CloseGuard, ClosingClock, Shutdown
from planet_async.layers.compression import Decompress
from planet_async.layers.rate_limit import RateLimit, SharedRateLimits
from planet_async.layers.redirect import FollowRedirects
from planet_async.layers.retry import Retry
from planet_async.layers.status import RaiseForStatus
from planet_async.models.codec import to_json
from planet_async.services._api import Api, Waits
from planet_async.services.orders import Orders
from planet_async.services.reports import Reports
from planet_async.services.subscriptions import Subscriptions
from planet_async.services.tasking import Tasking
from planet_async.transports import AnyTransport, as_transport

_APIS = {"compute": "orders"}


def standard_stack(network: Transport, config: Config, credentials: Credentials, clock: Clock) -> Transport:
    """Put the layers around a network, in the order that a request passes them.

    Each try of a request waits for its turn, is signed for its origin, follows redirects, and fails as an
    error.
    """
    return _Shared(network, config, credentials, clock).stack(config)


class _Shared:
    """What a client has in common with its views: connections, credential, budget, waits, clock and end."""

    def __init__(self, network: Transport, config: Config, credentials: Credentials, clock: Clock) -> None:
        self.lasting_clock = clock
        self._signed = Auth(network, credentials, config.base_url, clock)
        self._budget = SharedRateLimits(credentials, config, clock)
        self._closing = Shutdown()
        self.clock = ClosingClock(clock, self._closing)
        self.waits: Waits = PerLoop(WeakValueDictionary)

    def stack(self, config: Config) -> Transport:
        """Put the layers around it that behave as the config says."""
        unpacked = Decompress(FollowRedirects(self._signed))
        answered = RaiseForStatus(unpacked, self.lasting_clock, config.max_body_bytes)
        limited = RateLimit(answered, self._budget)
        return CloseGuard(Retry(limited, config, self.lasting_clock, self._budget), self._closing)


class Planet:
    """A client of Planet's APIs: `planet.orders`, `.subscriptions`, `.tasking` and `.reports`.

        async with Planet() as planet:
            async for order in planet.orders.list(state="running"):
                print(order.id, order.name)

    One client serves any number of tasks.  Without `async with`, call `aclose()` in the end.

    Args:
        config: The settings; by default `Config()`.
        api_key: The key of a Planet account: the same as ``credentials=ApiKey(api_key)``.
        credentials: An `ApiKey`, `BearerToken`, `ClientCredentials` or `SignedBy`. Where neither these nor a
            key is given, the key is that of `PL_API_KEY`.
        transport: What sends the requests: "httpx", "httpx2" or "aiohttp" (faster, asyncio only); or an HTTP
            client of yours, an `httpx.AsyncClient`, `httpx2.AsyncClient` or `aiohttp.ClientSession`, to which
            `proxy`, `ca_file`, `client_cert` and `trust_env` of the config do not apply, and which is not
            closed; or any other `Transport`.
        clock: The time to go by, such as a `planet_async.testing.FakeClock`.

    Raises:
        MissingCredentials: there is no key.
        InvalidRequest: an argument cannot be right, or the library of the transport is not installed.
    """

    def __init__(
        self,
        config: Config | None = None,
        *,
        api_key: str | None = None,
        credentials: Credentials | None = None,
        transport: AnyTransport = "httpx",
        clock: Clock | None = None,
    ) -> None:
        config = _checked_config(config)
        credentials = _checked_credentials(api_key, credentials)
        clock = _checked_clock(clock)
        self._use(_Shared(as_transport(transport, config), config, credentials, clock), config)

    def _use(self, shared: _Shared, config: Config) -> None:
        self._shared = shared
        self._api = Api(shared.stack(config), config, shared.clock, shared.lasting_clock, shared.waits)
        self.orders = Orders(self._api)
        self.reports = Reports(self._api)
        self.subscriptions = Subscriptions(self._api)
        self.tasking = Tasking(self._api)

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        json: object = None,
    ) -> Response:
        """Send a request to an endpoint that has no method here, with the same limits, retries and errors.

        `path` begins with a slash, or is an address that the API gave.  The body of the response has been
        read. A request other than GET, HEAD, PUT and DELETE is sent again only where it cannot have been
        acted on.

            response = await planet.request("GET", "/compute/ops/bundles/spec")
            bundles = json.loads(await response.read())
        """
        if not path.startswith("/") and "://" not in path:
            raise InvalidRequest(f"a path begins with a slash: {path!r}")
        pairs = params.items() if isinstance(params, Mapping) else params
        body = None if json is None else to_json(json)
        operation = f"{_api_of(path)}.request"
        return await self._api.send(
            self._api.request(method.upper(), path, operation=operation, params=tuple(pairs), body=body)
        )

    def with_options(self, **options: typing.Unpack[Options]) -> "Planet":
        """Give a view of this client that behaves otherwise; the options are fields of `Config`.

        It shares the connections, the credential, the rates and the retries, and costs next to nothing: make
        one for a single call.  Closing it closes nothing; when this client is closed, so is the view.  Raises
        InvalidRequest for a value that makes no sense, and for what is no option.

            order = await planet.with_options(deadline=5).orders.get(order_id)
        """
        if unknown := options.keys() - Options.__annotations__.keys():
            raise InvalidRequest(
                f"no option of a call: {', '.join(sorted(unknown))}",
                hint=f"There are {', '.join(Options.__annotations__)}.",
            )
        return _View(self._shared, evolve(self._api.config, **options))

    async def aclose(self) -> None:
        """End the calls under way, which raise ClientClosed, and close the connections."""
        await self._api.transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class _View(Planet):
    """Another client's connections with other options."""

    def __init__(self, shared: _Shared, config: Config) -> None:
        self._use(shared, config)

    async def aclose(self) -> None:
        """Close nothing: the connections belong to the client that this is a view of."""


def _checked_config(config: Config | None) -> Config:
    if config is None:
        return Config()
    if isinstance(config, Config):
        return config
    hint = 'Pass the key as Planet(api_key="...").' if isinstance(config, str) else "See help(Config)."
    raise InvalidRequest(f"config must be a Config, not {type_name(config)}", hint=hint)


def _checked_credentials(api_key: str | None, credentials: Credentials | None) -> Credentials:
    if api_key is not None and credentials is not None:
        raise InvalidRequest("api_key and credentials cannot be given both")
    if api_key is not None:
        return ApiKey(api_key)
    if credentials is None:
        return ApiKey.from_env()
    if callable(getattr(credentials, "sign", None)) and not isinstance(credentials, type):
        return credentials
    raise InvalidRequest(
        f"credentials must be ApiKey(...), BearerToken(...), ClientCredentials(...) or SignedBy(...), "
        f"not {type_name(credentials)}",
        hint='Pass the key as Planet(api_key="...").' if isinstance(credentials, str) else "",
    )


def _checked_clock(clock: Clock | None) -> Clock:
    if clock is None:
        return SystemClock()
    methods = [getattr(clock, name, None) for name in ("monotonic", "now", "sleep", "move_on_after")]
    if isinstance(clock, type) or not all(map(callable, methods)):
        raise InvalidRequest(f"clock must be a Clock, such as SystemClock(), not {type_name(clock)}")
    return clock


def _api_of(path: str) -> str:
    """Name the API that a path belongs to, whose rate it shares: /tasking/v2/orders/ is "tasking"."""
    path = without_query(path)  # the operation is shown
    first = path.partition("://")[2].partition("/")[2] if "://" in path else path.lstrip("/")
    return _APIS.get(first.partition("/")[0], first.partition("/")[0])
