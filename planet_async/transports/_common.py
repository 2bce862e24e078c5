"""Shared parts of the transports: clients per event loop, requests, errors, proxies, certificates, logs."""

import logging
import os
import re
import socket
import ssl
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from contextvars import ContextVar
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

import anyio
from anyio.lowlevel import current_token
from attrs import define, evolve, field, frozen

from planet_async._events import Queued, observer
from planet_async._loops import PerLoop, Shutdown
from planet_async._tasks import run_in_thread
from planet_async.config import ClientCert, Config
from planet_async.errors import (
    ConnectError,
    ConnectionLost,
    InvalidRequest,
    PlanetError,
    TransportError,
    TransportTimeout,
)
from planet_async.http import Request, encoded, origin, queued_for, without_query

C = TypeVar("C")  # an HTTP client
T = TypeVar("T")

KEEP_ALIVE_SECONDS = 15.0
"""How long an idle connection is kept: shorter than servers and gateways keep it."""

_FIRST_SERVER_ERROR = 500
_MOST_CAUSES = 100  # errors can be each other's cause
_NETWORK_ERRORS = (OSError, anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError)
_LONG_BODY = 1 << 20  # bytes; Planet documents 1 MB as the most, for tasking
_METHOD = re.compile(r"[A-Z]+")
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f]")
# With labels longer than DNS has them, clients fail with errors that may mean anything.
_DNS_NAME = re.compile(r"(?:[^.]{1,63}\.)*[^.]{1,63}\.?")
# Where Linux distributions keep the trusted certificates, for a Python that was built on another one.
_SYSTEM_CA_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_LOG_DETAILS = re.compile(r"( return_value=| exception=\w+).*", re.DOTALL)


# Clients, connections and event loops


def load(library: str) -> Any:
    """Return a library, which is loaded when a transport is made: `import planet_async` loads none.

    Raises:
        InvalidRequest: it is not installed.
    """
    try:
        return import_module(library)
    except ImportError as error:
        missing = error.name
    package = "planet-async" if library == "httpx" else f"planet-async[{library}]"
    raise InvalidRequest(
        f"transport {library!r} needs {missing or library}, which is not installed",
        hint=f'pip install "{package}"',
    )


class Clients(Generic[C]):
    """The HTTP clients of a transport: one of its own for each event loop, made when needed; or the user's.

    An own client is closed with the transport, or when its event loop ends: an event loop closes the
    asynchronous generators that are still open, and the client belongs to one.  A user's client is never
    closed and serves one event loop: in another, its connections would fail after they had sent.
    """

    def __init__(
        self,
        given: C | None,
        config: Config,
        make: Callable[[ssl.SSLContext, str | None], C],
        close: Callable[[C], Awaitable[object]],
    ) -> None:
        self._given = given
        self._config = config
        self._make = make
        self._close = close
        self._loops = PerLoop(lambda: _Loop[C](Gate(config)))
        # The timeouts of the clients are for silence: headers that come byte by byte would take for ever.
        self._head_seconds = config.connect_timeout + 2 * config.read_timeout
        self._loop_of_given: object = None
        self._proxy_of = cache(partial(proxy_for, config=config))
        self._context: ssl.SSLContext | None = None
        self._shutdown = Shutdown("transport")

    async def send(
        self,
        request: Request,
        act: Callable[[C], Awaitable[T]],
        translate: Callable[[Exception], PlanetError],
    ) -> tuple[T, Callable[[], None]]:
        """Call `act` with a client as soon as a connection is free.

        Returns:
            What `act` returned, and a function that frees the connection, to be called after the response.
        """
        here = self._loops.here()
        release = await here.gate.acquire(request)
        has_response = False
        try:
            client = await self._client(here, request)
            sending = translating(act(client), translate)
            response = await self._shutdown.run(sending, request, timeout=self._head_seconds)
            has_response = True
            return response, release
        finally:
            if not has_response:
                release()

    def proxy_for(self, url: str) -> "Proxy | None":
        """Return the proxy that our own client uses; that of a user's client is not known."""
        return None if self._given is not None else self._proxy_of(origin(url))

    async def aclose(self) -> None:
        """Cancel the requests and close the clients of this event loop; those of others end with theirs."""
        here = self._loops.here()
        with anyio.CancelScope(shield=True):
            await self._shutdown.close()
            while here.lifetimes:
                await here.lifetimes.pop().aclose()

    async def _client(self, here: "_Loop[C]", request: Request) -> C:
        if self._shutdown.closed:
            raise self._shutdown.refusal(request)
        if self._given is not None:
            self._check_loop(request)
            return self._given
        place = origin(request.url)
        proxy = self._proxy_of(place)
        url = None if proxy is None else proxy.url
        key = "https" in {place[0], (url or "").partition(":")[0].lower()}, url
        if (client := here.clients.get(key)) is None:
            async with here.opening:
                client = here.clients.get(key) or await self._open(here, *key)
        if self._shutdown.closed:  # while it was opened
            await self.aclose()
            raise self._shutdown.refusal(request)
        return client

    def _check_loop(self, request: Request) -> None:
        loop = current_token().native_token
        if self._loop_of_given not in {None, loop}:
            raise InvalidRequest(
                "the HTTP client passed as Planet(transport=...) was used in another event loop before",
                request=request,
                hint="Nothing was sent. Make one client for each event loop, or leave out transport=...",
            )
        self._loop_of_given = loop

    async def _open(self, here: "_Loop[C]", is_secure: bool, proxy: str | None) -> C:
        # Loading the trusted certificates takes 40 ms: not where there is no TLS.
        if is_secure and self._context is None:
            self._context = await run_in_thread(tls_context, self._config)
        context = self._context if is_secure else None
        client = self._make(context or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), proxy)
        lifetime = _lifetime(client, self._close)
        await anext(lifetime)
        here.lifetimes.append(lifetime)
        here.clients[is_secure, proxy] = client
        return client


@define(eq=False)
class _Loop(Generic[C]):
    """The state of a transport in one event loop."""

    gate: "Gate"
    clients: dict[tuple[bool, str | None], C] = field(factory=dict)  # by whether there is TLS, and by proxy
    lifetimes: list[AsyncGenerator[None]] = field(factory=list)
    opening: anyio.Lock = field(factory=anyio.Lock)


async def _lifetime(client: C, close: Callable[[C], Awaitable[object]]) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        with suppress(Exception):  # a connection that cannot be closed properly is dropped
            await close(client)


class Gate:
    """Bounds the connections in use, first come, first served.

    Downloads are counted apart, so that other requests never wait for them.  The queues of the HTTP clients
    are slower, and not fair.
    """

    def __init__(self, config: Config) -> None:
        self._requests = anyio.Semaphore(config.max_connections, fast_acquire=True)
        self._downloads = anyio.Semaphore(config.max_downloads, fast_acquire=True)
        self._most = {"requests": config.max_connections, "downloads": config.max_downloads}

    async def acquire(self, request: Request) -> Callable[[], None]:
        """Wait until a connection is free; return the function that frees it again."""
        kind, places = ("downloads", self._downloads) if request.stream else ("requests", self._requests)
        if places.value == 0:
            queued_for.set(f"a connection: all {self._most[kind]} are held by {kind}")
            began = anyio.current_time()
            await places.acquire()
            if (observe := observer.get()) is not None:
                observe(Queued("connection", anyio.current_time() - began))
        else:
            await places.acquire()
        queued_for.set("")
        return places.release


# Requests and responses


def outgoing(request: Request) -> tuple[str, dict[str, str]]:
    """Return the URL and the headers to send; raise InvalidRequest for what HTTP cannot express.

    The parameters are appended to the query of the URL, which is not changed where it is ASCII: a signed URL
    is valid only as it was signed.
    """
    url = request.url.partition("#")[0]
    is_url = not _UNPRINTABLE.search(url)
    try:
        if request.params:
            url = f"{url}{'&' if '?' in url else '?'}{urlencode(request.params)}"
        url = url if url.isascii() else encoded(url)
    except ValueError:  # the error is not raised from here: the text of this one has the URL
        is_url = False
    scheme, host, _port = origin(url)
    if not is_url or scheme not in {"http", "https"} or not _DNS_NAME.fullmatch(host):
        raise not_a_url(request)
    # No compression unless it was asked for: checksums are of the bytes of the file.
    headers = {"accept-encoding": "identity", **request.headers}
    text = "".join([*headers, *headers.values()])
    if not (_METHOD.fullmatch(request.method) and text.isascii() and text.isprintable()):
        raise InvalidRequest(
            "not a request that HTTP can express: not everything is printable ASCII", request=request
        )
    return url, headers


def not_a_url(request: Request) -> InvalidRequest:
    """Return the error for a URL that is none; it does not show the URL, which may be secret."""
    return InvalidRequest("not a URL that can be requested", request=request)


def joined_headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return headers by their names in lower case; those that came more than once are joined."""
    found: dict[str, str] = {}
    for name, value in raw:
        key, text = name.decode("latin-1").lower(), value.decode("utf-8", "replace")
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found


# Errors


async def translating(act: Awaitable[T], translate: Callable[[Exception], PlanetError]) -> T:
    """Await `act`, and raise its errors as ours.

    They are raised outside the `except` block, so that no text of the library's error stays in the chain: it
    can quote the server, which can quote the credential.
    """
    try:
        return await act
    except PlanetError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a client raises
        failure = translate(error)
    try:
        raise failure
    finally:
        del failure  # breaks a reference cycle


class Body(AsyncIterator[bytes]):
    """A body as it arrives; not a generator, since dropping one halfway is a ResourceWarning on trio."""

    def __init__(
        self, read: Callable[[], Awaitable[bytes]], translate: Callable[[Exception], PlanetError]
    ) -> None:
        self._read = read
        self._translate = translate

    async def __anext__(self) -> bytes:
        chunk = await translating(self._read(), self._translate)
        if not chunk:
            raise StopAsyncIteration
        return chunk


def connect_error(
    error: BaseException, request: Request, proxy: "Proxy | None", *, refused: int | None = None
) -> ConnectError:
    """Return the error for a connection that could not be made, with what the system or TLS said.

    Args:
        error: What the client raised.
        request: The request, of which nothing was sent.
        proxy: The proxy on the way, if it is known.
        refused: The status with which a proxy refused to connect.
    """
    what, hint = _reason(error) if refused is None else (f"the proxy answered {refused}", "")
    _scheme, host, port = origin(request.url)
    where = f"{host}:{port}" + (f" through the proxy {without_query(proxy.url)}" if proxy else "")
    if proxy and not hint:
        hint = f"The proxy is that of {proxy.source}."
    found = ConnectError(f"could not connect to {where}: {what}", request=request, hint=hint)
    is_untrusted = any(isinstance(each, ssl.SSLCertVerificationError) for each in _causes(error))
    found.transient = not is_untrusted and (refused is None or refused >= _FIRST_SERVER_ERROR)
    return found


def broken_off(error: Exception, request: Request, *of_network: type[Exception]) -> TransportError:
    """Return the error for a request that may have been sent; `of_network` are the library's own errors."""
    name = type(error).__name__
    if isinstance(error, TimeoutError):
        return TransportTimeout("nothing moved for too long", request=request)
    what, hint = _tls_reason(error) or (f"the server hung up, or does not speak HTTP ({name})", "")
    if not isinstance(error, (*of_network, *_NETWORK_ERRORS)):
        what = f"the HTTP client failed ({name})"
        hint = "If a hook or a transport of yours raised it: it is not shown, since it may be secret."
    elif not hint and len(request.body or b"") >= _LONG_BODY:
        # A server that hangs up at once after a 413 takes it back: its reset discards what was not read yet.
        hint = f"The body has {len(request.body or b''):,} bytes: the server may not accept as much."
    return ConnectionLost(what, request=request, hint=hint)


def _reason(error: BaseException) -> tuple[str, str]:
    """Return what is wrong and what to do; never the text of the error, which can be the server's."""
    if of_tls := _tls_reason(error):
        return of_tls
    causes = [*_causes(error)]
    numbers = [each.errno for each in causes if isinstance(each, OSError) and each.errno]
    if any(isinstance(each, socket.gaierror) for each in causes):
        return "there is no such host", ""
    if any(isinstance(each, ConnectionRefusedError) for each in causes):
        return "connection refused", ""
    if any(isinstance(each, TimeoutError) for each in causes):
        return "it took longer than Config(connect_timeout=...)", ""
    return os.strerror(numbers[0]).lower() if numbers else "the connection was refused or broke off", ""


def _tls_reason(error: BaseException) -> tuple[str, str] | None:
    for each in _causes(error):
        reason = getattr(each, "reason", None)  # aiohttp's errors of these classes have none
        if isinstance(each, ssl.SSLCertVerificationError) and reason:
            hint = "Where a company or a proxy signs certificates, set Config(ca_file=...) or SSL_CERT_FILE."
            return f"a certificate is not trusted: {each.verify_message}", hint
        if isinstance(each, ssl.SSLError) and reason:
            hint = "See Config(ca_file=...), Config(client_cert=...) and SSL_CERT_FILE."
            return f"TLS failed: {reason.lower().replace('_', ' ')}", hint
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield a client's error, its causes, and the members of groups, up to an error of ours."""
    todo: list[BaseException | None] = [error]
    for each in todo:
        if each is not None and not isinstance(each, PlanetError) and len(todo) < _MOST_CAUSES:
            yield each
            todo.append(each.__cause__ or each.__context__)
            todo += each.exceptions if isinstance(each, BaseExceptionGroup) else ()


# Proxies and certificates


@frozen
class Proxy:
    """A proxy, and where its URL was found."""

    url: str = field(repr=without_query)  # without user and password
    source: str


def proxy_for(origin: tuple[str, str, int], config: Config) -> Proxy | None:
    """Return the proxy for an origin: that of the config, or, if `trust_env` is set, of the environment."""
    if config.proxy is not None:
        return Proxy(config.proxy, "Config(proxy=...)")
    from urllib.request import getproxies, proxy_bypass  # noqa: PLC0415 - takes a moment to load

    scheme, host, port = origin
    proxies = getproxies() if config.trust_env else {}
    found = proxies.get(scheme) or proxies.get("all")
    if not found or proxy_bypass(f"{host}:{port}") or proxy_bypass(host):
        return None
    source = f"{scheme.upper()}_PROXY" if proxies.get(scheme) else "ALL_PROXY"
    try:
        checked = evolve(config, proxy=found if "://" in found else f"http://{found}").proxy
    except InvalidRequest as error:
        raise InvalidRequest(f"{source}: {error.message}", hint=error.hint) from None
    return Proxy(checked or found, f"{source}; NO_PROXY or Config(trust_env=False) does without it")


def tls_context(config: Config) -> ssl.SSLContext:
    """Return a context that trusts the system's certificates and those of environment and config.

    It blocks for some 40 ms.  On Linux the certificates are files.  On macOS and Windows only the system
    itself can verify, through truststore, which on Linux would read the files for each connection.
    """
    if sys.platform in {"darwin", "win32"}:
        import truststore  # noqa: PLC0415 - installed only there

        context: ssl.SSLContext = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        _load_system_certificates(context)
    if config.trust_env:
        cafile = os.environ.get("SSL_CERT_FILE")
        if cafile and Path(cafile).is_file():
            _load(context.load_verify_locations, "SSL_CERT_FILE", cafile)
        for folder in filter(None, os.environ.get("SSL_CERT_DIR", "").split(os.pathsep)):
            context.load_verify_locations(capath=folder)
    if config.ca_file is not None:
        _load(context.load_verify_locations, "ca_file", str(config.ca_file))
    if config.client_cert is not None:
        cert, key, password = _parts(config.client_cert)
        _load(partial(context.load_cert_chain, keyfile=key, password=password), "client_cert", cert)
    return context


def _parts(cert: ClientCert) -> tuple[str, str | None, str]:
    """Return certificate, key and password; without a password, OpenSSL would ask on the terminal."""
    match cert:
        case str():
            return cert, None, ""
        case (certificate, key):
            return certificate, key, ""
        case _:
            return cert


def _load_system_certificates(context: ssl.SSLContext) -> None:
    built_in = ssl.get_default_verify_paths()
    files = [path for path in (built_in.openssl_cafile, *_SYSTEM_CA_FILES) if Path(path).is_file()]
    folder = Path(built_in.openssl_capath)
    has_folder = folder.is_dir() and any(folder.glob("*.0"))
    if has_folder:
        context.load_verify_locations(capath=str(folder))
    if files or not has_folder:
        if not files:
            import certifi  # noqa: PLC0415 - takes a moment to load

            files = [certifi.where()]
        context.load_verify_locations(cafile=files[0])


def _load(load: Callable[[str], None], name: str, file: str) -> None:
    try:
        return load(file)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        what = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
    raise InvalidRequest(f"{name}: {file} cannot be used: {what}", hint="PEM files are expected.")


# Logs

is_ours: ContextVar[bool] = ContextVar("planet_async.is_ours", default=False)
"""True while HTTPX logs about a request of ours."""


def keep_secrets_out_of_logs() -> None:
    """Filter the loggers of HTTP libraries; doing so again changes nothing.

    At INFO, HTTPX logs the URL, whose query can be a signature, and the server's reason phrase.  At DEBUG,
    httpcore logs the headers of responses, in which signed URLs come, and what a server says that does not
    speak HTTP; hpack (HTTP/2) logs all headers, the credential included.
    """
    for name in ("httpx", "httpx2"):
        logging.getLogger(name).addFilter(_without_query)
    for core in ("httpcore", "httpcore2"):
        for part in ("http11", "http2", "proxy", "connection"):
            logging.getLogger(f"{core}.{part}").addFilter(_without_details)
    for name in ("hpack.hpack", "hpack.table"):
        logging.getLogger(name).addFilter(_above_debug)


def _without_query(record: logging.LogRecord) -> bool:
    if is_ours.get() and isinstance(record.args, tuple):
        *args, _reason_phrase = record.args
        record.args = (
            *(without_query(str(each)) if type(each).__name__ == "URL" else each for each in args),
            "",
        )
    return True


def _without_details(record: logging.LogRecord) -> bool:
    record.msg = _LOG_DETAILS.sub(r"\1...", str(record.msg))
    return True


def _above_debug(record: logging.LogRecord) -> bool:
    return record.levelno > logging.DEBUG
