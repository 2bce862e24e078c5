"""`Planet`: the client, which owns the stack of layers and holds the services."""

import logging
import os
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self, SupportsIndex
from uuid import UUID
from weakref import WeakValueDictionary

import anyio
from attrs import evolve

from planet_async._loops import PerLoop, Shutdown
from planet_async.auth.credentials import ApiKey, Auth, Credentials
from planet_async.clock import Clock, SystemClock
from planet_async.config import MACHINE, Config, Options
from planet_async.databases.creates import SharedCreates
from planet_async.databases.shared import SharedDatabase, file_of_machine, shared_database
from planet_async.errors import InvalidRequest, PlanetError, type_name
from planet_async.http import Response, Transport, link_target, without_query
from planet_async.layers.closing import ClientClock, CloseGuard
from planet_async.layers.compression import Decompress
from planet_async.layers.rate_limit import RateLimit, SharedRateLimits
from planet_async.layers.redirect import FollowRedirects
from planet_async.layers.retry import Retry
from planet_async.layers.status import RaiseForStatus
from planet_async.models.codec import to_json
from planet_async.services._api import Api, Waits
from planet_async.services.basemaps import Basemaps
from planet_async.services.data import Data
from planet_async.services.destinations import Destinations
from planet_async.services.features import Features
from planet_async.services.orders import Orders
from planet_async.services.quota import Quota
from planet_async.services.reports import Reports
from planet_async.services.subscriptions import Subscriptions
from planet_async.services.tasking import Tasking
from planet_async.transports import AnyTransport, as_transport, is_transport

logger: logging.Logger = logging.getLogger("planet_async.client")

_API_OF_PATH = {"compute": "orders", "account": "quota"}


def standard_stack(network: Transport, config: Config, credentials: Credentials, clock: Clock) -> Transport:
    """Return a network with the layers of a `Planet` client around it, for requests of your own.

    Args:
        network: What sends the requests, such as `HttpxTransport()`.
        config: The settings.
        credentials: What signs the requests to the origin of `config.base_url`.
        clock: The clock, such as `SystemClock()`.
    """
    return _Shared(network, config, credentials, clock).stack(config)


class _Shared:
    """The parts that a client shares with its views."""

    def __init__(
        self,
        network: Transport,
        config: Config,
        credentials: Credentials,
        clock: Clock,
        layers: Sequence[Callable[[Transport], Transport]] = (),
    ) -> None:
        self.layers = layers
        self.signed_by = type(credentials).__name__
        self.shutdown = Shutdown("client")
        self.clock = ClientClock(clock, self.shutdown)
        self.auth = Auth(network, credentials, config.base_url, clock)
        self.database = _database(network, config, clock, self.clock)
        self.limits = SharedRateLimits(credentials, config, clock, self.database)
        self.creates = None if self.database is None else _creates(self.database)
        self.waits: Waits = PerLoop(WeakValueDictionary)

    def stack(self, config: Config) -> Transport:
        """Return the layers that a request passes, from the outside in."""
        stack: Transport = CloseGuard(  # until the client is closed
            Retry(  # several times, where that is safe
                RateLimit(  # when it is its turn
                    RaiseForStatus(  # it comes back with its body, or as an error
                        Decompress(FollowRedirects(self.auth, self.clock)),
                        self.clock,
                        config.max_body_bytes,
                    ),
                    self.limits,
                ),
                config,
                self.clock,
                self.limits,
            ),
            self.shutdown,
        )
        for layer in reversed(self.layers):
            stack = _checked_layer(layer(stack))
        return stack


class Planet:
    """A client of Planet's APIs.

        async with Planet() as planet:
            async for order in planet.orders.list(state="running"):
                print(order.id, order.name)

    One client serves any number of tasks.  Without `async with`, call `aclose()` in the end.

    Services:
        data: Find items of the catalog, and download their assets.
        orders: Order imagery, wait for it, and download it.
        subscriptions: Have imagery delivered as it is published.
        tasking: Have satellites take new images.
        reports: Read reports about the usage of an organization.
        features: Keep areas at Planet, and refer to them wherever a geometry goes.
        destinations: Keep the buckets that deliveries refer to.
        basemaps: Find mosaics, and download their quads.
        quota: Reserve quota for areas, and see what is left.

    Args:
        config: The settings; by default `Config()`.
        api_key: The key of a Planet account: the same as ``credentials=ApiKey(api_key)``.
        credentials: An `ApiKey`, `BearerToken`, `ClientCredentials`, `AuthProfile` or `SignedBy`. Without
            these and without a key, the key is that of `PL_API_KEY`.
        transport: What sends the requests: "httpx", "httpx2" or "aiohttp" (faster, asyncio only); or an HTTP
            client of yours, an `httpx.AsyncClient`, `httpx2.AsyncClient` or `aiohttp.ClientSession`, to which
            `proxy`, `ca_file`, `client_cert` and `trust_env` of the config do not apply, and which is not
            closed; or any other `Transport`, also one around an `HttpxTransport` or
            `AiohttpTransport`.
        clock: The clock, such as a `planet_async.testing.FakeClock` in tests.
        layers: Transports of yours around this client's, the outermost first: functions or classes that take
            a `Transport` and return another one around it, such as `planet_async.layers.tracing.Tracing()`.
            They see each call once, with its result or its error after all attempts; `deadline` does not
            bound what they do.  Each is called once for the client, and once for each view of it.

    Raises:
        MissingCredentials: there is no key.
        InvalidRequest: an argument makes no sense, or the library of the transport is not installed.
    """

    def __init__(
        self,
        config: Config | None = None,
        *,
        api_key: str | None = None,
        credentials: Credentials | None = None,
        transport: AnyTransport = "httpx",
        clock: Clock | None = None,
        layers: Sequence[Callable[[Transport], Transport]] = (),
    ) -> None:
        config = _checked_config(config)
        credentials = _checked_credentials(api_key, credentials)
        network = as_transport(transport, config)
        layers = _checked_layers(layers)
        self._use(_Shared(network, config, credentials, clock or SystemClock(), layers), config)

    def _use(self, shared: _Shared, config: Config) -> None:
        self._shared = shared
        self._api = Api(shared.stack(config), config, shared.clock, shared.waits, shared.creates)
        self.data: Data = Data(self._api)
        self.orders: Orders = Orders(self._api)
        self.features: Features = Features(self._api)
        self.destinations: Destinations = Destinations(self._api)
        self.basemaps: Basemaps = Basemaps(self._api)
        self.quota: Quota = Quota(self._api)
        self.reports: Reports = Reports(self._api)
        self.subscriptions: Subscriptions = Subscriptions(self._api)
        self.tasking: Tasking = Tasking(self._api)

    def __repr__(self) -> str:
        state = "closed" if self._shared.shutdown.closed else "open"
        return f"<Planet {without_query(self._api.config.base_url)}, {self._shared.signed_by}, {state}>"

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | Iterable[tuple[str, Any]] = (),
        json: object = None,
    ) -> Response:
        """Send a request to an endpoint that has no method here, with the same limits, retries and errors.

            response = await planet.request("GET", "/compute/ops/bundles/spec")
            bundles = json.loads(await response.read())

        Args:
            method: GET, POST and so on. A request other than GET, HEAD, PUT and DELETE is sent again only if
                the server cannot have acted on it.
            path: A path that begins with a slash, or a URL that the API returned.
            params: The parameters of the query: texts, numbers, times with a zone, ids. True is written as
                "true", None is left out, and a list repeats its parameter: ``state=queued&state=running``.
            json: The body, as JSON.

        Returns:
            The response, whose body has been read.

        Raises:
            InvalidRequest: the path does not begin with a slash, or a parameter cannot be written.
            PlanetError: as for every other call.
        """
        path = str(path)
        if not path.startswith("/") and "://" not in path:
            raise InvalidRequest(f"a path begins with a slash: {path!r}")
        url = path if "://" in path else self._api.config.base_url + path
        body = None if json is None else to_json(json)
        operation = f"{_api_of(path)}.request"
        return await self._api.send(
            self._api.request(
                str(method).upper(), link_target(url, url), operation, params=_query(params), body=body
            )
        )

    def with_options(self, **options: typing.Unpack[Options]) -> "Planet":
        """Return a view of this client with other options, which are fields of `Config`.

            order = await planet.with_options(deadline=5).orders.get(order_id)

        A view shares the connections, the credential, the rates and the retries, and costs next to nothing:
        make one for a single call.  Closing it closes nothing; closing this client closes its views.

        Raises:
            InvalidRequest: there is no such option, or its value makes no sense.
        """
        if unknown := options.keys() - Options.__annotations__.keys():
            raise InvalidRequest(
                f"not an option of a call: {', '.join(sorted(unknown))}",
                hint=f"There are {', '.join(Options.__annotations__)}.",
            )
        return _View(self._shared, evolve(self._api.config, **options))

    async def aclose(self) -> None:
        """Close the connections; calls in progress raise ClientClosed."""
        try:
            await self._api.transport.aclose()
        finally:
            if self._shared.creates is not None:
                creates = self._shared.creates.here()
                try:
                    with anyio.CancelScope(shield=True), suppress(PlanetError):
                        await creates.settle()
                finally:
                    await creates.database.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class _View(Planet):
    """Other options on the connections of another client."""

    def __init__(self, shared: _Shared, config: Config) -> None:
        self._use(shared, config)

    async def aclose(self) -> None:
        """Close nothing: the connections belong to the client that made this view."""


def _database(
    network: Transport, config: Config, clock: Clock, pauses: Clock
) -> PerLoop[SharedDatabase] | None:
    """Return the database of `Config.shared`; programs of a machine share what goes over a real network."""
    address = config.shared
    is_network = any(cls.__module__.startswith("planet_async.transports.") for cls in type(network).__mro__)
    if address is None or not isinstance(clock, SystemClock) or (address == MACHINE and not is_network):
        return None
    if address == MACHINE and not _can_write(file_of_machine().parent):
        logger.warning(
            "rates are kept by each event loop alone, since %s cannot be written to; Config(shared=None) "
            "says that this is meant",
            file_of_machine().parent,
        )
        return None
    return PerLoop(lambda: shared_database(address, pauses))


def _can_write(folder: Path) -> bool:
    if not folder.is_absolute():  # "~/..." where the user has no home
        return False
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def _creates(database: PerLoop[SharedDatabase]) -> PerLoop[SharedCreates]:
    return PerLoop(lambda: SharedCreates(database.here()))


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
        f"credentials must be ApiKey(...), BearerToken(...), ClientCredentials(...), AuthProfile(...) or "
        f"SignedBy(...), not {type_name(credentials)}",
        hint='Pass the key as Planet(api_key="...").' if isinstance(credentials, str) else "",
    )


def _checked_layers(layers: Any) -> Sequence[Callable[[Transport], Transport]]:
    if not isinstance(layers, Sequence) or not all(map(callable, layers)):
        raise InvalidRequest(
            "layers must be a list of functions or classes, each of which takes a Transport and returns one",
            hint="Pass a class without an instance: Planet(layers=[MyLayer]).",
        )
    return tuple(layers)


def _checked_layer(layer: Transport) -> Transport:
    if not is_transport(layer):
        raise InvalidRequest(
            f"a layer must return a Transport, not {type_name(layer)}",
            hint="That is an object with the methods `send` and `aclose`, both async.",
        )
    return layer


def _query(params: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> tuple[tuple[str, str], ...]:
    try:
        pairs = [(name, value) for name, value in (params.items() if isinstance(params, Mapping) else params)]
    except (TypeError, ValueError):
        pairs = [(None, None)]
    if not all(isinstance(name, str) for name, _ in pairs):
        raise InvalidRequest("params must be a mapping, or pairs of a name and a value")
    found = []
    for name, value in pairs:
        is_list = isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)
        values = value if is_list else [value]
        found += [(name, _parameter(name, each)) for each in values if each is not None]
    return tuple(found)


def _parameter(name: str, value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return str.__str__(value)  # an enum's own would be its name
        case datetime() if value.tzinfo is not None:
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case UUID() | SupportsIndex() | float() | Decimal():
            return str(value)
    raise InvalidRequest(
        f"the parameter {name} cannot be {type_name(value)}",
        hint="Use texts, numbers, times with a zone, or lists of these.",
    )


def _api_of(path: str) -> str:
    """Return the API whose rate a path counts for: "tasking" for /tasking/v2/orders/."""
    path = without_query(path)  # the operation is shown in messages
    path = path.partition("://")[2].partition("/")[2] if "://" in path else path.lstrip("/")
    first = path.partition("/")[0]
    return _API_OF_PATH.get(first, first)
