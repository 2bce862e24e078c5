"""Logins of Planet's own libraries: read from ``~/.planet``, renewed, saved, and shown nowhere."""

import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import planet
import pytest
from issuer import CODE, REFRESH, Issuer, issuing
from planet_auth_utils import PlanetAuthFactory

from planet_async import (
    AuthProfile,
    Config,
    InvalidRequest,
    MissingCredentials,
    Planet,
    PlanetError,
    SignedBy,
)
from planet_async.auth import login
from planet_async.auth.login import credentials_of_command, session_of
from planet_async.testing import FakeClock, FakeTransport, reply

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("PL_API_KEY", "PL_AUTH_PROFILE", "PL_AUTH_CLIENT_ID", "PL_AUTH_CLIENT_SECRET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    return tmp_path


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuing() as server:
        yield server


def save(issuer: Issuer, *, age: float = 0, **client: Any) -> None:
    """Have Planet's own library save the profile "farm", with a token of that age in seconds."""
    issued = int(time.time() - age)
    PlanetAuthFactory.initialize_auth_client_context_from_custom_config(
        client_config=issuer.client(**client),
        profile_name="farm",
        initial_token_data={**issuer.issue(), "_iat": issued, "_exp": issued + issuer.expires_in},
    )


async def sent(credentials: Any) -> list[str]:
    """Return the credentials of two requests of a client."""
    transport = FakeTransport(lambda _: reply())
    client = Planet(Config(rates={}), credentials=credentials, transport=transport, clock=FakeClock())
    for _ in range(2):
        await client.request("GET", "/x")
    return [str(request.headers["authorization"]) for request in transport.requests]


async def failure(credentials: Any) -> PlanetError:
    with pytest.raises(PlanetError) as caught:
        await sent(credentials)
    return caught.value


async def test_a_saved_login_is_used(issuer: Issuer) -> None:
    """The token that the official library has saved is sent, and none is fetched while it is valid."""
    save(issuer)
    assert await sent(AuthProfile("farm")) == [f"Bearer {issuer.token}"] * 2
    assert issuer.grants == []


async def test_an_old_token_is_renewed_for_all_programs(issuer: Issuer) -> None:
    """By its refresh token, once; the official library then finds the new one on disk."""
    save(issuer, age=3000)
    assert await sent(AuthProfile("Farm")) == [f"Bearer {issuer.token}"] * 2
    (grant,) = issuer.grants
    assert (grant["grant_type"], grant["refresh_token"]) == ("refresh_token", REFRESH)
    assert await sent(planet_signer()) == [f"Bearer {issuer.token}"] * 2
    assert len(issuer.grants) == 1


def planet_signer() -> SignedBy:
    return SignedBy(planet.Auth.from_profile("farm"))


async def test_planet_auth_works_in_a_thread(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads files and waits for the login server: never in the event loop."""
    threads = set()
    open_ = login.Session._open

    def noting(session: Any) -> Any:
        threads.add(threading.current_thread())
        return open_(session)

    monkeypatch.setattr(login.Session, "_open", noting)
    save(issuer)
    await sent(AuthProfile("farm"))
    assert threads
    assert threading.main_thread() not in threads


async def test_without_a_login_the_error_says_how_to_log_in() -> None:
    """No token was saved, or the profile does not exist: nothing is sent without a credential."""
    for name in ("planet-user", "no-such-profile"):
        error = await failure(AuthProfile(name))
        assert isinstance(error, InvalidRequest)
        assert name in error.message
        assert "planet-async auth login" in error.hint


async def test_an_expired_login_that_cannot_be_renewed_is_not_sent(
    issuer: Issuer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """The error says so; neither it nor the log shows a token, nor does anything go to the terminal."""
    caplog.set_level(logging.INFO)
    save(issuer, age=7200)
    issuer.refusal = "invalid_grant"
    error = await failure(AuthProfile("farm"))
    assert isinstance(error, MissingCredentials)
    assert "expired and could not be renewed" in error.message
    shown = f"{error} {error!r} {error.__cause__} {error.__context__} {vars(error)}"
    assert issuer.token not in shown
    assert REFRESH not in shown
    assert issuer.token not in caplog.text
    assert capfd.readouterr().err == ""


async def test_a_login_is_saved_for_planets_own_library(issuer: Issuer) -> None:
    """The user confirms the code that is shown; the official library then uses the same login."""
    save(issuer, age=7200)
    lines: list[str] = []
    session = session_of(AuthProfile("farm"))
    session.log_in(lines.append)
    assert lines == [f"Open {issuer.url}/activate and confirm the code {CODE}."]
    assert await sent(AuthProfile("farm")) == await sent(planet_signer()) == [f"Bearer {issuer.token}"] * 2
    assert session.access_token() == issuer.token


def test_a_refused_login_shows_the_reason_only(issuer: Issuer) -> None:
    """The code of OAuth2, and not the description, which may repeat what was sent."""
    save(issuer)
    issuer.refusal = "access_denied"
    with pytest.raises(MissingCredentials, match="the profile farm cannot be used: access_denied") as caught:
        session_of(AuthProfile("farm")).log_in(lambda _: None)
    assert caught.value.__cause__ is caught.value.__context__ is None


async def test_a_machine_logs_in_by_the_environment(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the variables of the official command, with a secret that stands in no repr."""
    monkeypatch.setattr(login, "_MACHINE", issuer.client(client_type="oidc_client_credentials_secret"))
    monkeypatch.setenv("PL_AUTH_CLIENT_ID", "a-machine")
    monkeypatch.setenv("PL_AUTH_CLIENT_SECRET", "secret-of-the-machine")
    credentials = credentials_of_command(None)
    assert "secret-of" not in repr(credentials)
    assert await sent(credentials) == [f"Bearer {issuer.token}"] * 2
    assert [grant["grant_type"] for grant in issuer.grants] == ["client_credentials"]


async def test_the_environment_counts_more_than_the_saved_selection(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`PL_AUTH_PROFILE`, then `PL_API_KEY`, then the profile that is selected in ``~/.planet.json``."""
    with pytest.raises(MissingCredentials, match="no API key"):
        credentials_of_command(None)
    save(issuer)
    assert session_of(AuthProfile("farm")).select()
    assert not session_of(AuthProfile("another")).select()
    bearer = f"Bearer {issuer.token}"
    assert (await sent(credentials_of_command(None)))[0] == bearer
    monkeypatch.setenv("PL_API_KEY", "a-key")
    assert (await sent(credentials_of_command(None)))[0].startswith("Basic ")
    monkeypatch.setenv("PL_AUTH_PROFILE", "farm")
    assert (await sent(credentials_of_command(None)))[0] == bearer
    assert isinstance(await failure(credentials_of_command("another")), InvalidRequest)


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", 5])
def test_a_name_that_leads_elsewhere_is_refused(name: Any) -> None:
    """It names a folder in ``~/.planet``, and no other."""
    with pytest.raises(InvalidRequest, match="the name of a profile"):
        AuthProfile(name)


def test_without_the_extra_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """As soon as a profile is named; without one, the command goes on with its key."""
    monkeypatch.setattr(login, "find_spec", lambda _: None)
    with pytest.raises(InvalidRequest, match=r'pip install "planet-async\[login\]"'):
        AuthProfile("farm")
    with pytest.raises(MissingCredentials, match="PL_API_KEY"):
        credentials_of_command(None)
