"""What the adapters share: the form of a request, errors, trust, proxies, connections and event loops."""

import os
import re
import socket
import ssl
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

import anyio
import certifi
from anyio.lowlevel import current_token
from attrs import define, evolve, field, frozen

from planet_async._loops import PerLoop
from planet_async._tasks import run_in_thread
from planet_async.config import ClientCert, Config
from planet_async.errors import (
    ClientClosed,
    ConnectError,
    ConnectionLost,
    InvalidRequest,
    PlanetError,
    TransportError,
    TransportTimeout,
)
from planet_async.http import Request, origin, queued_for, without_query

A = TypeVar("A")
C = TypeVar("C")
T = TypeVar("T")

KEPT_SECONDS = 15.0
"""How long an idle connection is kept: shorter than servers and gateways keep it."""

_FIRST_SERVER_ERROR = 500
_MOST_CAUSES = 100  # errors that are each other's cause
_PAIR = 2  # a certificate and its key
_NETWORK_ERRORS = (OSError, anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError)
_METHOD = re.compile(r"[A-Z]+")
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f]")
# Labels as long as DNS has them: with others, clients fail with errors that may mean anything.
_DNS_NAME = re.compile(r"(?:[^.]{1,63}\.)*[^.]{1,63}\.?")
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
    url = _in_ascii(request)
    scheme, host, _port = origin(url)
    if scheme not in {"http", "https"} or not _DNS_NAME.fullmatch(host):
        # The URL is not shown: it may be secret.
        raise InvalidRequest("not a URL that can be requested", request=request)
    # No compression unless asked for: checksums are of the bytes of the file.
    headers = {"accept-encoding": "identity", **request.headers}
    text = "".join([*headers, *headers.values()])
    if not (_METHOD.fullmatch(request.method) and text.isascii() and text.isprintable()):
        raise InvalidRequest(
            "not a request that HTTP can express: not all is printable ASCII", request=request
        )
    return url, headers


def _in_ascii(request: Request) -> str:
    """Return the URL with its parameters, encoded; an empty text where that cannot be done."""
    url = request.url.partition("#")[0]
    if _UNPRINTABLE.search(url):
        return ""
    try:
        if request.params:
            url = f"{url}{'&' if '?' in url else '?'}{urlencode(request.params)}"
        if not url.isascii():
            host = urlsplit(url).netloc
            url = url.replace(host, host.encode("idna").decode("ascii"), 1)
            url = _NOT_ASCII.sub(lambda found: quote(found[0]), url)
    except UnicodeError:
        return ""  # nothing is raised from here: the text of the error has the URL
    return url


def joined_headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
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
    handled = sys.exception()
    try:
        return await act
    except PlanetError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a client raises is one of ours to its caller
        _forget(error, handled)
        failure = translate(error)
    try:
        raise failure
    finally:
        del failure  # it keeps this frame, which would keep it


@frozen
class Proxy:
    """A proxy, and where its URL was found."""

    url: str = field(repr=without_query)  # it may hold a password
    source: str


@define
class Progress:
    """How far a request has come; through a proxy it starts with a CONNECT, which fails as others do."""

    is_connecting: bool = False


def connect_error(
    error: BaseException, request: Request, proxy: Proxy | None, *, refused: int | None = None
) -> ConnectError:
    """Return the error of a connection that could not be made, with what the system or TLS said.

    Args:
        error: What the client raised.
        request: The request, of which nothing was sent.
        proxy: The proxy on the way, where it is known.
        refused: The status with which a proxy refused to connect.
    """
    reason, hint = _reason(error) if refused is None else (f"the proxy answered {refused}", "")
    _scheme, host, port = origin(request.url)
    where = f"{host}:{port}" + (f" through the proxy {without_query(proxy.url)}" if proxy else "")
    if proxy and not hint:
        hint = f"The proxy is that of {proxy.source}."
    found = ConnectError(f"could not connect to {where}: {reason}", request=request, hint=hint)
    # What the next attempt would meet, too, is not worth one.
    is_untrusted = any(isinstance(each, ssl.SSLCertVerificationError) for each in _causes(error))
    found.transient = not is_untrusted and (refused is None or refused >= _FIRST_SERVER_ERROR)
    return found


def broken_off(error: Exception, request: Request, *of_network: type[Exception]) -> TransportError:
    """Return the error of a request that may have reached the server; `of_network` are a library's errors."""
    name = type(error).__name__
    if isinstance(error, TimeoutError):
        return TransportTimeout("nothing moved for too long", request=request)
    what, hint = _tls_reason(error) or (f"the server hung up, or does not speak HTTP ({name})", "")
    if not isinstance(error, (*of_network, *_NETWORK_ERRORS)):
        what = f"the HTTP client failed ({name})"
        hint = "If a hook or a transport of yours raised it: it is not shown, since it may be secret."
    return ConnectionLost(what, request=request, hint=hint)


def _forget(error: BaseException, handled: BaseException | None) -> None:
    """Take from the context of an error what the caller was handling before: it says nothing of this one."""
    while error.__context__ is not None:
        if error.__context__ is handled:
            error.__context__ = None
        else:
            error = error.__context__


def _reason(error: BaseException) -> tuple[str, str]:
    """Return what is wrong and what to do; the text of an error itself can be a server's or a library's."""
    known = [*_causes(error)]
    numbered = [each.errno for each in known if isinstance(each, OSError) and each.errno]
    if of_tls := _tls_reason(error):
        return of_tls
    if any(isinstance(each, socket.gaierror) for each in known):
        what = "there is no such host"
    elif any(isinstance(each, ConnectionRefusedError) for each in known):
        what = "connection refused"
    elif any(isinstance(each, TimeoutError) for each in known):
        what = "it took longer than Config(connect_timeout=...)"
    else:
        what = os.strerror(numbered[0]).lower() if numbered else "the connection was refused or broke off"
    return what, ""


def _tls_reason(error: BaseException) -> tuple[str, str] | None:
    for each in _causes(error):
        reason = getattr(each, "reason", None)  # which aiohttp's lack
        if isinstance(each, ssl.SSLCertVerificationError) and reason:
            hint = "Where a company or a proxy signs certificates, set Config(ca_file=...) or SSL_CERT_FILE."
            return f"a certificate is not trusted: {each.verify_message}", hint
        if isinstance(each, ssl.SSLError) and reason:
            hint = "See Config(ca_file=...), Config(client_cert=...) and SSL_CERT_FILE."
            return f"TLS failed: {reason.lower().replace('_', ' ')}", hint
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, what led to it, and the members of groups."""
    todo: list[BaseException | None] = [error]
    for each in todo:
        if each is not None and len(todo) < _MOST_CAUSES:
            yield each
            todo += [each.__cause__ or each.__context__]
            todo += each.exceptions if isinstance(each, BaseExceptionGroup) else ()


def transport_closed(request: Request, what: str = "the transport is closed") -> ClientClosed:
    """Return the error of a request that comes too late."""
    error = ClientClosed(what, request=request, hint="Nothing was sent.")
    error.may_have_acted = False
    return error


# Trust and proxies


def proxy_for(url: str, config: Config) -> Proxy | None:
    """Return the proxy for a URL: that of the config, or of the environment where it counts."""
    if config.proxy is not None:
        return Proxy(config.proxy, "Config(proxy=...)")
    scheme, host, port = origin(url)
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
    """Return file, file of the key, and password: without any, OpenSSL would ask for it on the terminal."""
    if isinstance(cert, str):
        return cert, None, ""
    return cert if len(cert) > _PAIR else (*cert, "")


def _load_system_authorities(context: ssl.SSLContext) -> None:
    built_in = ssl.get_default_verify_paths()
    files = [path for path in (built_in.openssl_cafile, *_SYSTEM_CA_FILES) if Path(path).is_file()]
    folder = Path(built_in.openssl_capath)
    has_folder = folder.is_dir() and any(folder.glob("*.0"))
    if has_folder:
        context.load_verify_locations(capath=str(folder))
    if files or not has_folder:
        context.load_verify_locations(cafile=files[0] if files else certifi.where())


def _load(load: Callable[[str], None], name: str, file: str) -> None:
    try:
        return load(file)
    except (OSError, ValueError) as error:  # those of TLS are OSErrors
        what = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
    raise InvalidRequest(f"{name}: {file} cannot be used: {what}", hint="PEM files are expected.")


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
            queued_for.set(f"a connection: all {self._most[kind]} are held by {kind}")
        await places.acquire()
        queued_for.set("")
        return places.release


@define(eq=False)
class _Here(Generic[C]):
    """What an adapter has in one event loop."""

    gate: Gate
    clients: dict[tuple[bool, str | None], C] = field(factory=dict)  # by whether TLS is spoken, and by proxy
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
        make: Callable[[ssl.SSLContext, str | None], C],
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
        self._proxies: dict[tuple[str, str, int], Proxy | None] = {}
        self._context: ssl.SSLContext | None = None
        self._closed = False

    def proxy_for(self, url: str) -> Proxy | None:
        """Return the proxy that a client of our own takes; what the user's takes is not known."""
        if self._given is not None:
            return None
        key = origin(url)
        if key not in self._proxies:
            self._proxies[key] = proxy_for(url, self._config)
        return self._proxies[key]

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
        proxy = self.proxy_for(request.url)
        url = None if proxy is None else proxy.url
        key = "https" in {origin(each)[0] for each in (request.url, url or "")}, url
        client = here.clients.get(key) or await self._open(here, *key)
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

    async def _open(self, here: _Here[C], is_secure: bool, proxy: str | None) -> C:
        async with here.opening:
            if (is_secure, proxy) not in here.clients:
                # Where no TLS is spoken, reading the authorities would be 40 ms for nothing; none is trusted.
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                if is_secure:
                    if self._context is None:
                        self._context = await run_in_thread(tls_context, self._config)
                    context = self._context
                client = self._make(context, proxy)
                lifetime = _lifetime(client, self._close)
                await anext(lifetime)
                here.lifetimes.append(lifetime)
                here.clients[is_secure, proxy] = client
        return here.clients[is_secure, proxy]


async def _lifetime(client: C, close: Callable[[C], Awaitable[object]]) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        with suppress(Exception):  # a connection that cannot be closed in good order is dropped
            await close(client)
