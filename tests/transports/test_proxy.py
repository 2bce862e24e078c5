"""Proxies: of `Config(proxy=...)`, of the environment and of a user's client, on every transport."""

import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import aiohttp
import anyio
import httpx
import pytest
import trustme
from attrs import define, evolve
from cases import case

from planet_async import Config, ConnectError, InvalidRequest, PlanetError, StatusError
from planet_async.errors import ConnectionLost
from planet_async.http import Transport
from planet_async.transports.aiohttp import AiohttpTransport
from planet_async.transports.httpx import HttpxTransport
from transports.on_loopback import (
    Server,
    Stream,
    listening,
    planet,
    proxying,
    saying,
    server_context,
    serving,
    texts_of,
    transport,
)

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("small_trust_store"), pytest.mark.no_cover]

USER, PASSWORD = "some one", "p@ss/w:rd?"
IN_URL = "some%20one:p%40ss%2Fw%3Ard%3F"
SCHEMES = pytest.mark.parametrize("scheme", ["http", "https"])


@define
class Scene:
    """A server to be reached over HTTP or HTTPS."""

    server: Server
    ca_file: Path

    def config(self, **settings: object) -> Config:
        fields = {"base_url": self.server.url, "ca_file": self.ca_file, "max_attempts": 1, "rates": {}}
        return Config(**{**fields, **settings})  # type: ignore[arg-type]

    def reached_through(self, proxy: Server) -> list[tuple[str, str]]:
        """Return what the proxy was asked for the one request that arrived, and forget both."""
        assert len(self.server.requests) == 1, "one request arrives"
        assert self.server.requests.pop().header("proxy-authorization") is None
        asked = [(each.method, each.target) for each in proxy.requests]
        proxy.requests.clear()
        return asked


@pytest.fixture
def scheme() -> str:
    return "https"


@pytest.fixture
async def scene(scheme: str, authority: trustme.CA, ca_file: Path) -> AsyncIterator[Scene]:
    async with serving(context=server_context(authority) if scheme == "https" else None) as server:
        yield Scene(server, ca_file)


def expected(scene: Scene) -> list[tuple[str, str]]:
    is_secure = scene.server.url.startswith("https:")
    return [("CONNECT", scene.server.address)] if is_secure else [("GET", f"{scene.server.url}/x")]


async def get(network: str | Transport, config: Config) -> None:
    async with planet(network, config) as client:
        await client.request("GET", "/x")


async def failure(network: str | Transport, config: Config) -> PlanetError:
    with pytest.raises(PlanetError) as caught:
        await get(network, config)
    return caught.value


@SCHEMES
async def test_the_proxy_of_the_config_is_used(network: str, scene: Scene) -> None:
    """`Config(proxy=...)` counts for HTTP and HTTPS, and more than the environment's."""
    async with proxying() as proxy:
        await get(network, scene.config(proxy=proxy.url))
        assert scene.reached_through(proxy) == expected(scene)


NAMES = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]


@SCHEMES
async def test_the_proxy_of_the_environment_is_used(
    network: str, scene: Scene, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In upper or lower case; HTTP_PROXY is for http, HTTPS_PROXY for https."""
    async with proxying() as proxy:
        for name in NAMES:
            with case(name):
                with monkeypatch.context() as patch:
                    patch.setenv(name, proxy.url)
                    await get(network, scene.config())
                is_meant = name.lower() in {"all_proxy", f"{scheme}_proxy"}
                assert scene.reached_through(proxy) == (expected(scene) if is_meant else [])


@SCHEMES
async def test_a_proxy_without_a_scheme_is_one_over_http(
    network: str, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`HTTPS_PROXY=proxy.example.com:3128` is common."""
    async with proxying() as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.address)
        await get(network, scene.config())
        assert scene.reached_through(proxy) == expected(scene)


async def test_no_proxy_is_obeyed(network: str, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosts in NO_PROXY are reached directly."""
    exceptions = ("127.0.0.1", "example.com, 127.0.0.1", scene.server.address, "*")
    async with proxying() as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        for name, hosts in [("no_proxy", "127.0.0.1"), *(("NO_PROXY", each) for each in exceptions)]:
            with case(name, hosts):
                with monkeypatch.context() as patch:
                    patch.setenv(name, hosts)
                    await get(network, scene.config())
                assert scene.reached_through(proxy) == []


async def test_other_hosts_than_those_of_no_proxy_go_through_it(
    network: str, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NO_PROXY is not a switch."""
    async with proxying() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.2,example.com,127.0.0.1:1")
        await get(network, scene.config())
        assert scene.reached_through(proxy) == expected(scene)


async def test_the_config_counts_more_than_the_environment(
    network: str, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever names a proxy in the config means it for all requests."""
    async with proxying() as proxy, proxying() as other:
        monkeypatch.setenv("HTTPS_PROXY", other.url)
        monkeypatch.setenv("NO_PROXY", "*")
        await get(network, scene.config(proxy=proxy.url))
        assert scene.reached_through(proxy) == expected(scene)
        assert not other.requests


@SCHEMES
async def test_without_trust_in_the_environment_its_proxy_is_not_used(
    network: str, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`Config(trust_env=False)` goes directly."""
    async with proxying() as proxy:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        await get(network, scene.config(trust_env=False))
        assert scene.reached_through(proxy) == []


async def test_a_tunnel_is_used_again(network: str, scene: Scene) -> None:
    """One CONNECT serves many requests."""
    async with proxying() as proxy:
        config = scene.config(proxy=proxy.url)
        async with planet(network, config) as client:
            for _ in range(3):
                await client.request("GET", "/x")
        assert len(proxy.requests) == 1
        assert len(scene.server.requests) == 3


@SCHEMES
async def test_a_proxy_over_tls(
    network: str, scene: Scene, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`https://` proxies are trusted as servers are: by `ca_file` too, wherever the proxy is named."""
    async with proxying(context=server_context(authority)) as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        await get(network, scene.config())
        assert scene.reached_through(proxy) == expected(scene)


@SCHEMES
@pytest.mark.parametrize("source", ["config", "environment"])
async def test_a_password_is_sent_and_never_shown(
    network: str, scene: Scene, source: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Percent-encoded in the URL, it is sent as it is, to the proxy and to nobody else."""
    caplog.set_level(1)
    async with proxying(credentials=f"{USER}:{PASSWORD}") as proxy:
        url = f"http://{IN_URL}@{proxy.address}"
        if source == "environment":
            monkeypatch.setenv("ALL_PROXY", url)
        config = scene.config(proxy=url if source == "config" else None)
        made = transport(network, config)
        await get(made, config)
        assert scene.reached_through(proxy) == expected(scene)
        assert_hidden(repr(config), repr(made), repr(vars(made)), caplog.text)


def assert_hidden(*texts: str) -> None:
    for text in texts:
        for secret in (PASSWORD, "p%40ss", "some%20one", "some one", "c29tZSBvbmU6"):
            assert secret not in text


REFUSED = b"HTTP/1.1 %d said-by-the-proxy\r\ncontent-length: 4\r\n\r\nsaid"


@pytest.mark.parametrize(
    ("source", "status"),
    [
        ("Config(proxy=...)", 407),
        ("HTTPS_PROXY", 407),
        ("ALL_PROXY", 407),
        ("ALL_PROXY", 403),
        ("ALL_PROXY", 502),
    ],
)
async def test_a_proxy_that_refuses_is_named(
    network: str, scene: Scene, status: int, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ConnectError: which proxy, without its password, where it comes from, and what it answered.

    Nothing was sent.  What the next attempt would meet, too, is not tried again.
    """
    async with proxying(refusal=REFUSED % status) as proxy:
        url = f"http://{IN_URL}@{proxy.address}"
        config = scene.config(max_attempts=2, first_backoff=0.001)
        if source.isupper():
            monkeypatch.setenv(source, url)
        else:
            config = evolve(config, proxy=url)
        error = await failure(network, config)
        assert len(proxy.requests) == (2 if status == 502 else 1)
    assert type(error) is ConnectError
    assert not error.may_have_acted
    assert error.transient == (status == 502)
    for part in (scene.server.address, f"http://{proxy.address}", str(status), source):
        assert part in str(error)
    assert "said-by-the-proxy" not in "".join(texts_of(error))
    assert_hidden(*texts_of(error))
    assert not scene.server.requests


async def test_a_wrong_password_is_refused_by_the_proxy(network: str, scene: Scene) -> None:
    """The error says 407, and shows no password."""
    async with proxying(credentials="other:word") as proxy:
        error = await failure(network, scene.config(proxy=f"http://{IN_URL}@{proxy.address}"))
    assert type(error) is ConnectError
    assert "407" in str(error)
    assert_hidden(*texts_of(error))


@pytest.mark.parametrize("scheme", ["http"])
async def test_what_a_proxy_answers_to_a_plain_request_is_a_status(network: str, scene: Scene) -> None:
    """It cannot be told apart from the server's own."""
    async with proxying(credentials="other:word") as proxy:
        error = await failure(network, scene.config(proxy=proxy.url))
    assert isinstance(error, StatusError)
    assert error.status == 407


async def test_a_proxy_that_hangs_up_is_no_connection(network: str, scene: Scene) -> None:
    """Before the tunnel is there, nothing has been sent to the server."""
    says = b""

    async def serve(stream: Stream) -> None:
        async with stream:
            await stream.receive()
            if says:
                await stream.send(says)

    async with listening(serve) as url:
        for says in (b"", b"HTTP/1.1 20", b"SSH-2.0\r\n\r\n"):
            with case(says):
                error = await failure(network, scene.config(proxy=url))
                assert type(error) is ConnectError
                assert error.transient
                assert not error.may_have_acted
                assert url in str(error)
                assert not scene.server.requests


async def test_a_proxy_that_is_silent_is_no_connection(network: str, scene: Scene) -> None:
    """It takes no longer than a connection may."""

    async def serve(stream: Stream) -> None:
        async with stream:
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                while True:
                    await stream.receive()

    async with listening(serve) as url:
        error = await failure(network, scene.config(proxy=url, connect_timeout=0.2, read_timeout=0.2))
    assert type(error) is ConnectError
    assert not error.may_have_acted


@SCHEMES
async def test_a_proxy_where_nobody_listens_is_named(network: str, scene: Scene) -> None:
    """The hint says where it comes from."""
    error = await failure(network, scene.config(proxy=f"http://{IN_URL}@127.0.0.1:1"))
    assert type(error) is ConnectError
    assert f"could not connect to {scene.server.address} through the proxy http://127.0.0.1:1" in str(error)
    assert "connection refused" in str(error)
    assert "Config(proxy=...)" in error.hint
    assert_hidden(*texts_of(error))


async def test_a_server_that_is_not_trusted_behind_a_proxy(network: str, scene: Scene) -> None:
    """It is the certificate that matters: companies' proxies sign their own."""
    async with proxying() as proxy:
        error = await failure(network, scene.config(proxy=proxy.url, ca_file=None))
    assert type(error) is ConnectError
    assert not error.transient
    assert "ca_file" in error.hint
    assert "SSL_CERT_FILE" in error.hint


async def test_a_server_that_hangs_up_behind_a_proxy_may_have_acted(
    network: str, authority: trustme.CA, ca_file: Path
) -> None:
    """Once the tunnel is there, it is as without a proxy."""
    handler = saying(b"", hang_up=True)
    async with serving(handler, server_context(authority)) as server, proxying() as proxy:
        error = await failure(network, Scene(server, ca_file).config(proxy=proxy.url))
        assert len(server.requests) == 1
    assert type(error) is ConnectionLost
    assert error.may_have_acted


@pytest.mark.parametrize("source", ["config", "environment"])
async def test_a_socks_proxy_needs_a_package(
    network: str, scene: Scene, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it is missing, the error says what to install, before anything is sent."""
    if network != "aiohttp" and find_spec("socksio"):
        pytest.skip("socksio is installed")
    url = f"socks5://{IN_URL}@127.0.0.1:1"
    if source == "environment":
        monkeypatch.setenv("ALL_PROXY", url)
    error = await failure(network, scene.config(proxy=url if source == "config" else None))
    assert isinstance(error, InvalidRequest)
    assert ("aiohttp-socks" if network == "aiohttp" else f'pip install "{network}[socks]"') in str(error)
    assert_hidden(*texts_of(error))


async def test_a_proxy_of_the_environment_that_is_none_is_refused(
    network: str, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the variable, and shows nothing of what stands in it."""
    for url in (
        "http://some one:p@ss/w:rd?@127.0.0.1:1",
        "gopher://127.0.0.1",
        "http://[::1",
        "http://x:port",
    ):
        with case(url):
            monkeypatch.setenv("HTTPS_PROXY", url)
            error = await failure(network, scene.config())
            assert isinstance(error, InvalidRequest)
            assert "HTTPS_PROXY" in str(error)
            assert_hidden(*texts_of(error))


@pytest.mark.parametrize("own", ["httpx", "aiohttp"])
async def test_the_proxy_of_a_users_client_is_used(
    own: str, scene: Scene, ca_file: Path, anyio_backend: str
) -> None:
    """The client is taken as it is."""
    if own == "aiohttp" and anyio_backend == "trio":
        pytest.skip("aiohttp runs on asyncio only")
    context = ssl.create_default_context(cafile=str(ca_file))
    config = Config(base_url=scene.server.url, max_attempts=1)
    async with proxying() as proxy:
        if own == "httpx":
            async with httpx.AsyncClient(proxy=proxy.url, verify=context) as client:
                await get(HttpxTransport(client, config), config)
        else:
            connector = aiohttp.TCPConnector(ssl=context)
            async with aiohttp.ClientSession(proxy=proxy.url, connector=connector) as session:
                await get(AiohttpTransport(session, config), config)
        assert scene.reached_through(proxy) == expected(scene)
