"""Certificates: whom the transports trust, and how they identify themselves."""

import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import certifi
import httpx
import httpx2
import pytest
import trustme
from attrs import evolve
from cases import case
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from planet_async import Config, ConnectError, InvalidRequest, PlanetError
from planet_async.errors import TransportError
from planet_async.http import Transport
from planet_async.transports.aiohttp import AiohttpTransport
from planet_async.transports.httpx import HttpxTransport
from transports.on_loopback import Server, planet, server_context, serving

pytestmark = pytest.mark.anyio

PASSWORD = "password-of-the-key"
on_linux = pytest.mark.skipif(
    sys.platform in {"darwin", "win32"}, reason="the system itself says whom it trusts"
)


def config_for(server: Server, **settings: Any) -> Config:
    three = Config(base_url=server.url, rates={}, max_attempts=3, first_backoff=0.001)
    return evolve(three, **settings)


async def get(network: str | Transport, config: Config) -> None:
    async with planet(network, config) as client:
        await client.request("GET", "/x")


async def refusal(network: str | Transport, server: Server, **settings: object) -> PlanetError:
    """Return the error of a request that finds no connection, though it could be tried three times."""
    with pytest.raises(PlanetError) as caught:
        await get(network, config_for(server, **settings))
    assert type(caught.value) is ConnectError
    assert not caught.value.may_have_acted
    assert not server.requests
    return caught.value


# --- whom they trust


@pytest.mark.usefixtures("small_trust_store")
@pytest.mark.parametrize("source", ["ca_file", "SSL_CERT_FILE", "SSL_CERT_DIR", "two of SSL_CERT_DIR"])
async def test_an_authority_is_trusted(
    network: str, source: str, authority: trustme.CA, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A company's, in `Config(ca_file=...)`, SSL_CERT_FILE or SSL_CERT_DIR."""
    if source.endswith("SSL_CERT_DIR"):
        monkeypatch.setenv("SSL_CERT_DIR", hashed(ca_file.parent, others="two" in source))
    elif source == "SSL_CERT_FILE":
        monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    async with serving(context=server_context(authority)) as server:
        await get(network, config_for(server, ca_file=ca_file if source == "ca_file" else None))
        assert len(server.requests) == 1


def hashed(folder: Path, *, others: bool) -> str:
    """Name the certificates in a folder as OpenSSL looks for them."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    subprocess.run([openssl, "rehash", str(folder)], check=True, stderr=subprocess.DEVNULL)
    return os.pathsep.join([*(["/nowhere"] if others else []), str(folder)])


@pytest.mark.usefixtures("small_trust_store")
async def test_without_trust_in_the_environment_its_authorities_do_not_count(
    network: str, authority: trustme.CA, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`Config(trust_env=False)` is for those who set all by themselves."""
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    monkeypatch.setenv("SSL_CERT_DIR", str(ca_file.parent))
    async with serving(context=server_context(authority)) as server:
        await refusal(network, server, trust_env=False)


@on_linux
@pytest.mark.parametrize("source", ["ca_file", "SSL_CERT_FILE", "SSL_CERT_DIR"])
@pytest.mark.usefixtures("trusted_by_the_system")
async def test_an_authority_is_trusted_besides_the_systems(
    network: str, source: str, authority: trustme.CA, company_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A company's does not take the system's place: storage elsewhere has other certificates."""
    if source == "SSL_CERT_DIR":
        monkeypatch.setenv("SSL_CERT_DIR", str(company_file.parent))
    elif source == "SSL_CERT_FILE":
        monkeypatch.setenv("SSL_CERT_FILE", str(company_file))
    async with serving(context=server_context(authority)) as server:
        await get(network, config_for(server, ca_file=company_file if source == "ca_file" else None))
        assert len(server.requests) == 1


@pytest.fixture
def trusted_by_the_system(ca_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: system_paths(ca_file))


@pytest.fixture
def company_file(tmp_path: Path) -> Path:
    """Return a file with another authority than that of the servers."""
    path = tmp_path / "company.pem"
    trustme.CA().cert_pem.write_to_path(path)
    return path


def system_paths(file: Path) -> ssl.DefaultVerifyPaths:
    nowhere = "/nowhere"
    return ssl.DefaultVerifyPaths(nowhere, nowhere, "SSL_CERT_FILE", str(file), "SSL_CERT_DIR", nowhere)


@on_linux
async def test_without_a_store_of_the_system_certifi_is_trusted(
    network: str, authority: trustme.CA, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container that has none."""
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: system_paths(Path("/nowhere")))
    monkeypatch.setattr("planet_async.transports._common._SYSTEM_CA_FILES", ())
    monkeypatch.setattr(certifi, "where", lambda: str(ca_file))
    async with serving(context=server_context(authority)) as server:
        await get(network, config_for(server))


@pytest.mark.parametrize("source", ["nothing", "ca_file", "SSL_CERT_FILE"])
async def test_a_certificate_of_another_authority_is_refused_once(
    network: str, source: str, authority: trustme.CA, company_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next attempt would meet it, too; the hint says how to trust it."""
    if source == "SSL_CERT_FILE":
        monkeypatch.setenv("SSL_CERT_FILE", str(company_file))
    async with serving(context=server_context(authority)) as server:
        error = await refusal(network, server, ca_file=company_file if source == "ca_file" else None)
    assert not error.transient
    assert f"could not connect to {server.address}: a certificate is not trusted" in str(error)
    assert "Config(ca_file=...)" in error.hint
    assert "SSL_CERT_FILE" in error.hint
    assert not getattr(error, "__notes__", None), "no attempt is made in vain"


@pytest.mark.usefixtures("small_trust_store")
async def test_a_certificate_of_another_host_is_refused(
    network: str, authority: trustme.CA, ca_file: Path
) -> None:
    """Also one of a trusted authority."""
    async with serving(context=server_context(authority, "example.com")) as server:
        error = await refusal(network, server, ca_file=ca_file)
    assert not error.transient
    assert "127.0.0.1" in error.message
    assert "mismatch" in error.message


@pytest.mark.usefixtures("small_trust_store")
async def test_a_certificate_that_has_expired_is_refused(
    network: str, authority: trustme.CA, ca_file: Path
) -> None:
    """The error says so."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    expired = authority.issue_cert("127.0.0.1", not_after=past())
    expired.configure_cert(context)
    async with serving(context=context) as server:
        error = await refusal(network, server, ca_file=ca_file)
    assert not error.transient
    assert "expired" in error.message


def past() -> datetime:
    return datetime.now(UTC) - timedelta(days=1)


@pytest.mark.usefixtures("small_trust_store")
async def test_capitals_in_a_url_do_not_lessen_the_trust(network: str, authority: trustme.CA) -> None:
    """HTTPS:// is verified as https:// is."""
    async with serving(context=server_context(authority)) as server:
        await refusal(network, server, base_url=server.url.replace("https", "HTTPS"))


@pytest.mark.parametrize("kind", ["httpx", "httpx2", "aiohttp"])
async def test_the_context_of_a_users_client_counts(
    kind: str, authority: trustme.CA, ca_file: Path, company_file: Path, anyio_backend: str
) -> None:
    """Its own trust, and not that of a config."""
    if kind == "aiohttp" and anyio_backend == "trio":
        pytest.skip("aiohttp runs on asyncio only")
    trusting = ssl.create_default_context(cafile=str(ca_file))
    distrusting = ssl.create_default_context(cafile=str(company_file))
    async with serving(context=server_context(authority)) as server:
        await request_with(kind, distrusting, server, pytest.raises(ConnectError), ca_file)
        assert not server.requests
        await request_with(kind, trusting, server, nullcontext(), company_file)
        assert len(server.requests) == 1


async def request_with(
    kind: str,
    context: ssl.SSLContext,
    server: Server,
    expecting: AbstractContextManager[object],
    ca_file: Path,
) -> None:
    config = config_for(server, ca_file=ca_file)
    if kind == "aiohttp":
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
            with expecting:
                await get(AiohttpTransport(session, config), config)
    else:
        library = httpx if kind == "httpx" else httpx2
        async with library.AsyncClient(verify=context) as client:
            with expecting:
                await get(HttpxTransport(client, config), config)


# --- how they identify themselves


@pytest.fixture(scope="session")
def identity(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a certificate and its key in the forms in which they are handed out."""
    folder = tmp_path_factory.mktemp("identity")
    issued = authority.issue_cert("machine@example.com")
    issued.private_key_and_cert_chain_pem.write_to_path(folder / "both.pem")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    (folder / "cert.pem").write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSWORD.encode()))
    (folder / "locked.pem").write_bytes(locked)
    (folder / "nothing.pem").write_text("nothing\n")
    authority.issue_cert("other@example.com").private_key_pem.write_to_path(folder / "other.pem")
    return folder


def strict_context(authority: trustme.CA) -> ssl.SSLContext:
    """Return the settings of a server that wants a certificate of its clients."""
    context = server_context(authority)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


@pytest.mark.usefixtures("small_trust_store")
@pytest.mark.parametrize("files", [("both.pem",), ("cert.pem", "key.pem"), ("cert.pem", "locked.pem")])
async def test_a_client_identifies_itself(
    network: str, files: tuple[str, ...], authority: trustme.CA, ca_file: Path, identity: Path
) -> None:
    """`Config(client_cert=...)`: one file with both, a pair, or a pair whose key has a password."""
    paths = tuple(str(identity / file) for file in files)
    cert = paths[0] if len(paths) == 1 else (*paths, *([PASSWORD] if "locked.pem" in files else []))
    async with serving(context=strict_context(authority)) as server:
        await get(network, config_for(server, ca_file=ca_file, client_cert=cert))
        assert len(server.requests) == 1


@pytest.mark.usefixtures("small_trust_store")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_without_a_certificate_a_server_that_wants_one_refuses(
    network: str, version: ssl.TLSVersion, authority: trustme.CA, ca_file: Path
) -> None:
    """The error says what is missing, and the hint names the setting.

    With TLS 1.3 a client hears of it only when it has sent its request.
    """
    context = strict_context(authority)
    context.minimum_version = context.maximum_version = version
    with refusing(context) as url:
        config = Config(base_url=url, ca_file=ca_file, max_attempts=1)
        with pytest.raises(TransportError, match=r"TLS failed: .*(alert|certificate)") as caught:
            await get(network, config)
    assert "Config(client_cert=...)" in caught.value.hint
    assert caught.value.may_have_acted == (version == ssl.TLSVersion.TLSv1_3)


@contextmanager
def refusing(context: ssl.SSLContext) -> Iterator[str]:
    """Serve with sockets in a thread: anyio's servers say nothing of why TLS failed."""

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with context.wrap_socket(
                    connection, server_side=True, do_handshake_on_connect=False
                ) as secured:
                    with suppress(ssl.SSLError):
                        secured.do_handshake()
                    while socket.socket.recv(secured, 1 << 16):
                        pass  # closed with something unread, it would be a reset

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


UNUSABLE = [
    ("nothing.pem",),
    ("cert.pem",),
    ("cert.pem", "nothing.pem"),
    ("cert.pem", "other.pem"),
    ("cert.pem", "locked.pem"),
    ("cert.pem", "locked.pem", "wrong-password"),
]


@pytest.mark.usefixtures("small_trust_store")
async def test_a_certificate_that_cannot_be_used_is_refused(network: str, identity: Path) -> None:
    """Before anything is sent: it names the setting, asks nobody for a password, and shows none."""
    async with serving() as server:
        url = server.url.replace("http:", "https:")
        for cert in UNUSABLE:
            with case(cert):
                files = tuple(str(identity / part) if part.endswith(".pem") else part for part in cert)
                config = config_for(server, base_url=url, client_cert=files[0] if len(files) == 1 else files)
                with pytest.raises(InvalidRequest, match=r"client_cert: .*\.pem cannot be used") as caught:
                    await get(network, config)
                assert "wrong-password" not in str(caught.value)
                assert not server.connections


@pytest.mark.usefixtures("small_trust_store")
@pytest.mark.parametrize("source", ["ca_file", "SSL_CERT_FILE"])
async def test_a_file_without_authorities_is_refused(
    network: str, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is sent, it names the setting and the file."""
    file = tmp_path / "ca.pem"
    if source == "SSL_CERT_FILE":
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
    for content in (b"", b"nothing\n", bytes(range(256))):
        with case(content):
            file.write_bytes(content)
            config = Config(base_url="https://127.0.0.1:1", ca_file=file if source == "ca_file" else None)
            with pytest.raises(InvalidRequest, match=rf"{source}: .*ca\.pem cannot be used"):
                await get(network, config)


@pytest.mark.usefixtures("small_trust_store")
async def test_a_file_that_is_gone_is_refused(network: str, authority: trustme.CA, tmp_path: Path) -> None:
    """It was there when the config was made."""
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(file)
    async with serving(context=server_context(authority)) as server:
        config = config_for(server, ca_file=file)
        file.unlink()
        with pytest.raises(InvalidRequest, match=r"ca_file: .*No such file"):
            await get(network, config)
