"""`Api`: what the services share: the transport stack, and the way from a path to a model."""

from collections.abc import AsyncGenerator, Callable, MutableMapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, Self, TypedDict, TypeVar, Unpack

from msgspec import Raw

from planet_async._loops import PerLoop
from planet_async._version import __version__
from planet_async.clock import Clock
from planet_async.config import Config, Schedule
from planet_async.databases.creates import SharedCreates
from planet_async.downloads.remote_file import OpenFile
from planet_async.errors import DownloadError, NotFound
from planet_async.exactly_once import ExactlyOnce, ResourceKind
from planet_async.http import Request, Response, Transport, link_refusal, link_target
from planet_async.layers.compression import ACCEPTED
from planet_async.models.codec import decode
from planet_async.offset_paging import OffsetPaginator
from planet_async.outcome import Identified
from planet_async.paging import TASKING_PAGES, PageFormat, Paginator
from planet_async.services._query import Params
from planet_async.waiting.poller import Poll, Poller
from planet_async.waiting.sweep import ListQueries

T = TypeVar("T")
Thing = TypeVar("Thing", bound=Identified)
Waits = PerLoop[MutableMapping[tuple[str, Schedule], Poller[Any]]]

_FRESH = timedelta(seconds=60)  # links that expire sooner are renewed first
_STREAM_HEADERS = {
    "accept": "*/*",
    "user-agent": f"planet-async/{__version__}",
    "x-planet-app": "planet-async",
}
_HEADERS = {**_STREAM_HEADERS, "accept": "application/json", "accept-encoding": ACCEPTED}
_HEADERS_WITH_BODY = {**_HEADERS, "content-type": "application/json"}


class RequestParts(TypedDict, total=False):
    """The optional parts of a request; see `Request`."""

    params: Params
    body: bytes | None
    repeatable: bool
    stream: bool


class Api:
    """Sends requests to paths of the API through one stack of layers.

    `clock.sleep` raises ClientClosed when the client is closed.
    """

    def __init__(
        self,
        transport: Transport,
        config: Config,
        clock: Clock,
        waits: Waits,
        creates: PerLoop[SharedCreates] | None = None,
    ) -> None:
        self.transport = transport
        self.config = config
        self.clock = clock
        self._waits = waits
        self._creates = creates

    def over(self, transport: Transport) -> Self:
        """Return the same for another transport, around that of this one."""
        return type(self)(transport, self.config, self.clock, self._waits, self._creates)

    def request(self, method: str, path: str, operation: str, **parts: Unpack[RequestParts]) -> Request:
        """Make a request to a path, or to an absolute URL; links to files follow the rule for redirects."""
        url = path if "://" in path else self.config.base_url + path
        headers = _STREAM_HEADERS if parts.get("stream") else _HEADERS
        if parts.get("body") is not None:
            headers = _HEADERS_WITH_BODY
        request = Request(method, url, headers=headers, operation=operation, **parts)
        if parts.get("stream") and (reason := link_refusal(self.config.base_url, url)):
            raise DownloadError(
                f"refused to follow a link {reason}", request=request, hint="Nothing was sent."
            )
        return request

    def file_request(self, route: str, link: str, operation: str) -> Request:
        """Make the request for a file by its link, which may be relative to a route of the API."""
        url = link_target(self.config.base_url + route, link)
        return self.request("GET", url, operation, stream=True)

    def is_fresh(self, expires_at: datetime | None) -> bool:
        """Return whether a link that expires at that time can be used for a while."""
        return expires_at is None or expires_at > self.clock.now() + _FRESH

    async def send(self, request: Request) -> Response:
        """Send a request through all layers."""
        return await self.transport.send(request)

    async def fetch(self, cls: type[T], request: Request) -> T:
        """Send a request, and decode the response."""
        response = await self.transport.send(request)
        content_type = response.headers.get("content-type", "")
        return decode(cls, await response.read(), request=request, content_type=content_type)

    @asynccontextmanager
    async def open(self, request: Request, name: Callable[[Response], str]) -> AsyncGenerator[OpenFile]:
        """Request a file, and yield it for reading."""
        response = await self.transport.send(request)
        try:
            yield OpenFile(name(response), response)
        finally:
            await response.aclose()

    async def call(
        self, cls: type[T], method: str, path: str, operation: str, **parts: Unpack[RequestParts]
    ) -> T:
        """Make a request, send it, and decode the response."""
        return await self.fetch(cls, self.request(method, path, operation, **parts))

    async def delete(self, path: str, operation: str) -> None:
        """Delete what is at a path."""
        try:
            await self.send(self.request("DELETE", path, operation))
        except NotFound as error:
            if error.attempts == 1:  # else the first may have been acted on, and its response lost
                raise

    def paginate(
        self, cls: type[T], first: Request, page_format: PageFormat, *, unique: bool = False
    ) -> Paginator[T]:
        """Return the list that starts with a request."""
        return Paginator(self.transport, first, page_format, _decoder(cls), unique=unique)

    def paginate_offsets(self, cls: type[T], first: Request, concurrency: int) -> OffsetPaginator[T]:
        """Return the list of the Tasking API that starts with a request."""
        return OffsetPaginator(self.transport, first, TASKING_PAGES, _decoder(cls), concurrency)

    def poller(
        self,
        noun: str,
        poll: Poll[Thing],
        schedule: Schedule,
        lists: ListQueries[Thing] | None = None,
        *,
        spacing: float = 0.0,
    ) -> Poller[Thing]:
        """Return the poller of one kind of thing, which a client has in common with its views."""
        waits = self._waits.here()
        found = waits.get((noun, schedule))
        if found is None:
            found = Poller(poll, clock=self.clock, schedule=schedule, lists=lists, spacing=spacing)
            waits[noun, schedule] = found
        return found

    def exactly_once(self, kind: ResourceKind[Thing]) -> ExactlyOnce[Thing]:
        """Return what creates one kind of thing."""
        return ExactlyOnce(kind, self.config, self.clock, self._creates)


def _decoder(cls: type[T]) -> Callable[[Raw, Request], T]:
    return lambda item, request: decode(cls, item, request=request, listed=True)
