"""What the adapters share: the form of a request, errors, trust, proxies, connections and event loops."""

import os
import re
import socket
import ssl
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

import anyio
import certifi
from anyio.lowlevel import current_token
from attrs import define, field

from planet_async._loops import PerLoop
from planet_async._threads import in_thread
from planet_async.config import Config
from planet_async.errors import ClientClosed, ConnectError, InvalidRequest, PlanetError, TransportTimeout
from planet_async.http import Request, origin, queued_for, without_query

A = TypeVar("A")
C = TypeVar("C")
T = TypeVar("T")

KEPT_SECONDS = 15.0
"""How long an idle connection is kept: shorter than servers and gateways keep it."""

_METHOD = re.compile(r"[A-Z]+")
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f]")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
# Where systems keep their authorities, for Pythons that were built with another path.
_SYSTEM_CA_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


# Requests and responses


def outgoing(request: Request) -> tuple[str, dict[str, str]]:
    """Return the URL and the headers to send; raise InvalidRequest for what HTTP cannot express.

    The parameters are joined to the query that the URL has, and what it has is left verbatim where it is
    ASCII: a signed URL holds only as it was signed.
    """
    url = request.url.partition("#")[0]
    if _UNPRINTABLE.search(url):
        raise _not_a_url(request)
    try:
        if request.params:
            url = f"{url}{'&' if '?' in url else '?'}{urlencode(request.params)}"
        if not url.isascii():
            host = urlsplit(url).netloc
            url = url.replace(host, host.encode("idna").decode("ascii"), 1)
            url = _NOT_ASCII.sub(lambda found: quote(found[0]), url)
    except UnicodeError:
        raise _not_a_url(request) from None
    scheme, host, _port = origin(url)
    if scheme not in {"http", "https"} or not host:
        raise _not_a_url(request)
    # No compression unless asked for: checksums are of the bytes of the file.
    headers = {"accept-encoding": "identity", **request.headers}
    text = "".join([*headers, *headers.values()])
    if not (_METHOD.fullmatch(request.method) and text.isascii() and text.isprintable()):
        raise InvalidRequest(
            "not a request that HTTP can express: not all is printable ASCII", request=request
        )
    return url, headers


def _not_a_url(request: Request) -> InvalidRequest:
    return InvalidRequest("not a URL that can be requested", request=request)  # not shown: it may be secret


def joined_headers(raw: Iterable[tuple[bytes, bytes]]) -> Mapping[str, str]:
    """Return headers by their names in lower case, those that came more than once joined."""
    found: dict[str, str] = {}
    for name, value in raw:
        key, text = name.decode("latin-1").lower(), value.decode("utf-8", "replace")
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found


# Errors


async def translating(act: Awaitable[T], translate: Callable[[Exception], PlanetError]) -> T:
    """Await `act`; raise what it raises as an error of ours.

    It is raised outside the `except` block, so that nothing of the library's error stays in its chain: that
    can quote the server, which can quote the credential.
    """
    try:
        return await act
    except PlanetError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a client raises is one of ours to its caller
        failure = translate(error)
    try:
        raise failure
    finally:
        del failure  # it keeps this frame, which would keep it


def connect_error(error: BaseException, request: Request, proxy: str | None) -> ConnectError:
    """Return the error of a connection that could not be made, with what the system or TLS said."""
    reason, hint = _reason(error)
    _scheme, host, port = origin(request.url)
    where = f"the proxy {without_query(proxy)}" if proxy else f"{host}:{port}"
    if proxy and not hint:
        hint = "The proxy is that of Config(proxy=...), or else of HTTP_PROXY, HTTPS_PROXY or ALL_PROXY."
    found = ConnectError(f"could not connect to {where}: {reason}", request=request, hint=hint)
    found.transient = not _any(error, ssl.SSLCertVerificationError)  # which the next try would meet, too
    return found


def _reason(error: BaseException) -> tuple[str, str]:
    refused = _any(error, ssl.SSLCertVerificationError)
    if isinstance(refused, ssl.SSLCertVerificationError):
        hint = "Where a company or a proxy signs certificates, pass Config(ca_file=...) or set SSL_CERT_FILE."
        return f"its certificate is not trusted: {refused.verify_message}", hint
    tls = _any(error, ssl.SSLError)
    if isinstance(tls, ssl.SSLError):
        hint = "If it should be trusted, see Config(ca_file=...), Config(client_cert=...) and SSL_CERT_FILE."
        return f"TLS failed: {(tls.reason or 'no reason given').lower().replace('_', ' ')}", hint
    if _any(error, TimeoutError):
        return "it took longer than Config(connect_timeout=...)", ""
    system = _any(error, OSError)
    if isinstance(system, OSError):
        if isinstance(system, socket.gaierror):
            return "there is no such host", ""
        return os.strerror(system.errno or 0).lower(), ""  # its own text can be a library's
    return "the connection was refused or broke off", ""


def _any(error: BaseException, kind: type[BaseException]) -> BaseException | None:
    """Return the first error of a kind among an error, its causes and the members of groups."""
    found: BaseException | None = None
    todo, seen = [error], set[int]()
    while todo and found is None:
        this = todo.pop(0)
        if id(this) in seen:
            continue
        seen.add(id(this))
        # One without a number is a library's own, such as anyio's "All connection attempts failed".
        if isinstance(this, kind) and not (kind is OSError and getattr(this, "errno", None) is None):
            found = this
        todo += [one for one in (this.__cause__, this.__context__) if one is not None]
        todo += this.exceptions if isinstance(this, BaseExceptionGroup) else ()
    return found


def transport_closed(request: Request, what: str = "the transport is closed") -> ClientClosed:
    """Return the error of a request that comes too late."""
    error = ClientClosed(what, request=request, hint="Nothing was sent.")
    error.may_have_acted = False
    return error


# Trust and proxies


class Proxies:
    """The proxies of a config, or else of the environment as it is when a client is made."""

    def __init__(self, config: Config) -> None:
        self._of_environment = getproxies() if config.proxy is None and config.trust_env else {}
        self._proxy = config.proxy

    def of(self, url: str) -> str | None:
        """Return the proxy for a URL; None where there is none."""
        if not self._of_environment:
            return self._proxy
        scheme, host, port = origin(url)
        found = self._of_environment.get(scheme) or self._of_environment.get("all")
        if not found or proxy_bypass(f"{host}:{port}") or proxy_bypass(host):
            return None
        return found if "://" in found else f"http://{found}"


def tls_context(config: Config) -> ssl.SSLContext:
    """Return whom to trust: the system, and what environment and config name; blocks for some 40 ms.

    On Linux the system's authorities are files.  On macOS and Windows only the system itself can say whom it
    trusts, which truststore asks; on Linux that would read the files again for each connection.
    """
    if sys.platform in {"darwin", "win32"}:
        import truststore  # noqa: PLC0415 - needed, and installed, only there

        context: ssl.SSLContext = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        _load_system_authorities(context)
    if config.trust_env:
        cafile, capath = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
        if cafile and Path(cafile).is_file():
            _load(context.load_verify_locations, "SSL_CERT_FILE", cafile)
        if capath and Path(capath).is_dir():
            context.load_verify_locations(capath=capath)
    if config.ca_file is not None:
        _load(context.load_verify_locations, "ca_file", str(config.ca_file))
    if config.client_cert is not None:
        cert = config.client_cert
        _load(context.load_cert_chain, "client_cert", *((cert,) if isinstance(cert, str) else cert))
    return context


def _load_system_authorities(context: ssl.SSLContext) -> None:
    built_in = ssl.get_default_verify_paths()
    files = [path for path in (built_in.openssl_cafile, *_SYSTEM_CA_FILES) if Path(path).is_file()]
    folder = Path(built_in.openssl_capath)
    has_folder = folder.is_dir() and any(folder.glob("*.0"))
    if has_folder:
        context.load_verify_locations(capath=str(folder))
    if files or not has_folder:
        context.load_verify_locations(cafile=files[0] if files else certifi.where())


def _load(load: Callable[..., None], name: str, *files: str) -> None:
    try:
        return load(*files)
    except (OSError, ValueError) as error:  # those of TLS are OSErrors
        what = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
    raise InvalidRequest(f"{name}: {files[0]} cannot be used: {what}", hint="PEM files are expected.")


# Connections and event loops


class Gate:
    """Bounds the connections in use; downloads are counted apart, so that they never keep others waiting.

    HTTP clients have queues of their own, which are slower and not fair.
    """

    def __init__(self, config: Config) -> None:
        self._requests = anyio.Semaphore(config.max_connections, fast_acquire=True)
        self._downloads = anyio.Semaphore(config.max_downloads, fast_acquire=True)
        self._most = {"requests": config.max_connections, "downloads": config.max_downloads}

    async def acquire(self, request: Request) -> Callable[[], None]:
        """Wait for a connection, first come first served; return what gives it back."""
        kind, places = ("downloads", self._downloads) if request.stream else ("requests", self._requests)
        if places.value == 0:
            most = self._most[kind]
            queued_for.set(f"a connection: {most} {kind} hold all {most}")
        await places.acquire()
        queued_for.set("")
        return places.release


@define(eq=False)
class _Here(Generic[C]):
    """What an adapter has in one event loop."""

    gate: Gate
    clients: dict[bool, C] = field(factory=dict)
    lifetimes: list[AsyncGenerator[None]] = field(factory=list)
    opening: anyio.Lock = field(factory=anyio.Lock)
    sending: set[anyio.CancelScope] = field(factory=set)
    last_ended: anyio.Event = field(factory=anyio.Event)


class Clients(Generic[C]):
    """The HTTP clients of an adapter: its own, one for each event loop and made when needed; or the user's.

    An own client is closed with the adapter, or when its event loop ends: it then belongs to an asynchronous
    generator that is still open, and loops close those at their end.  A user's client is never closed, and
    serves one loop, since its connections would raise bare errors in another one, after having sent.
    """

    def __init__(
        self,
        given: C | None,
        config: Config,
        make: Callable[[ssl.SSLContext | None], C],
        close: Callable[[C], Awaitable[object]],
    ) -> None:
        self._given = given
        self._config = config
        self._make = make
        self._close = close
        self._loops = PerLoop(lambda: _Here[C](Gate(config)))
        # Those of the clients are for silence: headers that come byte by byte would keep them for ever.
        self._head_seconds = config.connect_timeout + 2 * config.read_timeout
        self._loop_of_given: object = None
        self._context: ssl.SSLContext | None = None
        self._closed = False

    async def send(
        self,
        request: Request,
        act: Callable[[C], Awaitable[A]],
        translate: Callable[[Exception], PlanetError],
    ) -> tuple[A, Callable[[], None]]:
        """Have `act` send with a client when there is a place for it.

        Returns:
            What `act` returned, and what gives the place back, to be called when the response is done with.
        """
        here = self._loops.here()
        release = await here.gate.acquire(request)
        try:
            client = await self._client(here, request)
            return await self._until_cut_off(here, request, translating(act(client), translate)), release
        except BaseException:
            release()
            raise

    async def _until_cut_off(self, here: _Here[C], request: Request, sending: Awaitable[A]) -> A:
        with anyio.CancelScope(deadline=anyio.current_time() + self._head_seconds) as scope:
            here.sending.add(scope)
            try:
                return await sending
            finally:
                here.sending.discard(scope)
                if self._closed and not here.sending:
                    here.last_ended.set()
        if self._closed:
            raise ClientClosed("the transport was closed before the response came", request=request)
        raise TransportTimeout("the response did not begin in time", request=request)

    async def aclose(self) -> None:
        """End the sending, and close the connections, of this event loop; those of others end with theirs."""
        self._closed = True
        here = self._loops.here()
        with anyio.CancelScope(shield=True):
            for scope in here.sending:
                scope.cancel()
            if here.sending:
                await here.last_ended.wait()
            while here.lifetimes:
                await here.lifetimes.pop().aclose()

    async def _client(self, here: _Here[C], request: Request) -> C:
        if self._closed:
            raise transport_closed(request)
        if self._given is not None:
            self._check_loop(request)
            return self._given
        is_secure = request.url.startswith("https:")
        client = here.clients.get(is_secure) or await self._open(here, is_secure)
        if self._closed:  # while it was made
            await self.aclose()
            raise transport_closed(request)
        return client

    def _check_loop(self, request: Request) -> None:
        loop = current_token().native_token
        if self._loop_of_given not in {None, loop}:
            raise InvalidRequest(
                "the HTTP client handed to Planet(transport=...) was used in another event loop before",
                request=request,
                hint="Nothing was sent. Make one client for each event loop, or leave out transport=...",
            )
        self._loop_of_given = loop

    async def _open(self, here: _Here[C], is_secure: bool) -> C:
        async with here.opening:
            if is_secure not in here.clients:
                if is_secure and self._context is None:
                    self._context = await in_thread(tls_context, self._config)
                client = self._make(self._context if is_secure else None)
                lifetime = _lifetime(client, self._close)
                await anext(lifetime)
                here.lifetimes.append(lifetime)
                here.clients[is_secure] = client
        return here.clients[is_secure]


async def _lifetime(client: C, close: Callable[[C], Awaitable[object]]) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        with suppress(Exception):  # a connection that cannot be closed in good order is dropped
            await close(client)
