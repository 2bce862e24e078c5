import ssl
from pathlib import Path

import pytest
import trustme


@pytest.fixture(params=["httpx", pytest.param("httpx2", marks=pytest.mark.no_cover), "aiohttp"])
def network(request: pytest.FixtureRequest, anyio_backend: str) -> str:
    """Return the name of a transport."""
    if request.param == "aiohttp" and anyio_backend == "trio":
        pytest.skip("aiohttp runs on asyncio only")
    return str(request.param)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """Return an authority for certificates, in which no system trusts."""
    return trustme.CA()


@pytest.fixture(scope="session")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


@pytest.fixture(scope="session")
def another_ca_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("another") / "ca.pem"
    trustme.CA().cert_pem.write_to_path(path)
    return path


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resume a cut download almost at once: half a second would be waited here."""
    monkeypatch.setattr("planet_async.downloads.transfer._FIRST_PAUSE", 0.01)


@pytest.fixture
def small_trust_store(another_ca_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the system trust one authority: to read all that it trusts takes 40 ms for each client."""
    paths = ssl.get_default_verify_paths()._replace(
        openssl_cafile=str(another_ca_file), openssl_capath=str(another_ca_file.parent / "none")
    )
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
