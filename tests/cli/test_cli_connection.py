"""How the command reaches the API: `--proxy` and `--ca-file`, beside `--base-url`."""

import ssl
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme

from cli.commanded import Run

COUNTS = b'{"queued_orders": 3, "running_orders": 4}'
STATS = b'{"organization": ' + COUNTS + b', "user": ' + COUNTS + b"}"
PASSWORD = "s3cr3t-of-the-proxy"


class Stub(ThreadingHTTPServer):
    """Answers each GET with the counts of orders, as the API or a proxy would, and notes what was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.targets: list[str] = []
        self.credentials: list[str | None] = []


class _Answering(BaseHTTPRequestHandler):
    server: Stub

    def do_GET(self) -> None:
        self.server.targets.append(self.path)
        self.server.credentials.append(self.headers["proxy-authorization"])
        self.send_response(200)
        self.send_header("content-length", str(len(STATS)))
        self.end_headers()
        self.wfile.write(STATS)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def stub(context: ssl.SSLContext | None = None) -> Iterator[tuple[Stub, str]]:
    with Stub() as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server, f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PL_API_KEY", "any")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def test_requests_go_through_the_proxy(run: Run) -> None:
    """With its user and password."""
    with stub() as (proxy, address):
        where = ("--proxy", f"http://user:{PASSWORD}@{address}", "--base-url", "http://planet.example")
        ran = run(*where, "orders", "stats")
    assert (ran.code, ran.json["user"]["queued_orders"]) == (0, 3)
    assert proxy.targets == ["http://planet.example/compute/ops/stats/orders/v2"]
    assert proxy.credentials == ["Basic " + b64encode(f"user:{PASSWORD}".encode()).decode()]


def test_an_authority_of_a_file_is_trusted(run: Run, tmp_path: Path) -> None:
    """The certificate of a company counts with `--ca-file`; without it, the error says what would help."""
    authority, pem = trustme.CA(), tmp_path / "company.pem"
    authority.cert_pem.write_to_path(pem)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with stub(context) as (server, address):
        where = ("--base-url", f"https://{address}")
        ran = run("--ca-file", pem, *where, "orders", "stats")
        assert (ran.code, ran.json["user"]["running_orders"]) == (0, 4)
        assert server.targets == ["/compute/ops/stats/orders/v2"]
        ran = run(*where, "orders", "stats")
    assert ran.code == 1
    assert "certificate" in ran.err
    assert "--ca-file" in ran.err
    assert "Config(" not in ran.err


@pytest.mark.parametrize(
    "proxy", [f"http://user:{PASSWORD}#@proxy", f"user:{PASSWORD}@proxy:3128", f"ftp://{PASSWORD}@proxy", ""]
)
def test_a_wrong_proxy_is_a_usage_error(proxy: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 2 and what one looks like, before anything is sent; its password is not shown."""
    monkeypatch.setenv("COLUMNS", "500")
    ran = run("--proxy", proxy, "orders", "stats")
    assert (ran.code, ran.out) == (2, "")
    assert "'--proxy': proxy must look like" in ran.err
    assert "http://proxy.example.com:3128" in ran.err
    assert PASSWORD not in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("content", "text"),
    [(None, "there is no file"), (b"", "there is no certificate"), (b"\xff", "there is no certificate")],
)
def test_a_wrong_ca_file_is_a_usage_error(
    content: bytes | None, text: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2 and the file, be it missing, or without a certificate."""
    monkeypatch.setenv("COLUMNS", "500")  # so that the path is in one line
    pem = tmp_path / "x.pem"
    if content is not None:
        pem.write_bytes(content)
    ran = run("--ca-file", pem, "orders", "stats")
    assert (ran.code, ran.out) == (2, "")
    assert text in ran.err
    assert "x.pem" in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.usefixtures("base_url")
def test_the_password_of_a_proxy_that_fails_is_not_shown(run: Run) -> None:
    """The error names the proxy, without user and password."""
    with stub() as (_, address):
        pass  # nobody listens there any more
    where = ("--proxy", f"http://user:{PASSWORD}@{address}", "--base-url", "http://planet.example")
    ran = run(*where, "orders", "stats")
    assert ran.code == 1
    assert f"the proxy http://{address}" in ran.err
    assert PASSWORD not in ran.err


def test_a_wrong_address_of_shared_state(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is wrong input, in one line that names what is wrong, and that shows nothing of the address."""
    monkeypatch.setenv("PL_SHARED", "mysql://me:s3cret@db.example.com/jobs")
    ran = run("--base-url", "http://127.0.0.1:1", "orders", "stats")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("planet-async: shared must be")
    assert "PL_SHARED" in ran.err
    assert "s3cret" not in ran.err
