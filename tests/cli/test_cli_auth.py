"""`planet-async auth`, with a login server on loopback."""

from collections.abc import Iterator

import planet
import pytest
from issuer import CODE, REFRESH, Issuer, issuing

from cli.commanded import Run
from planet_async.auth import login
from planet_async.simulator import Fault, ServerRequest, Simulator
from planet_async.simulator.server import serve


@pytest.fixture
def issuer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Issuer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with issuing() as server:
        monkeypatch.setattr(login, "_USER", server.client())
        yield server


def test_a_user_logs_in_and_commands_use_the_login(
    run: Run, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code goes to standard error, no token anywhere but to `print-token`."""
    ran = run("auth", "login")
    assert (ran.code, ran.out) == (0, "")
    assert CODE in ran.err
    assert "Logged in to the profile planet-user." in ran.err
    assert issuer.token not in ran.err
    assert planet.Auth.from_profile("planet-user").is_initialized(), "Planet's own library finds the login"
    printed = run("auth", "print-token")
    assert (printed.code, printed.out, printed.err) == (0, f"{issuer.token}\n", "")
    simulator, seen = Simulator(), list[str | None]()

    def note(request: ServerRequest) -> bool:
        seen.append(request.headers.get("authorization"))
        return False

    simulator.faults.add(Fault(when=note))
    with serve(simulator) as url:
        monkeypatch.setenv("PL_BASE_URL", url)
        ran = run("orders", "stats")
    assert seen == [f"Bearer {issuer.token}"]
    assert ran.code == 0
    assert issuer.token not in ran.out + ran.err


def test_without_a_login_nothing_is_printed(run: Run, issuer: Issuer) -> None:
    """One line says how to log in; a name that is no profile is named."""
    ran = run("auth", "print-token")
    assert (ran.code, ran.out) == (2, "")
    assert "nobody has logged in to the profile planet-user" in ran.err
    assert "planet-async auth login" in ran.err
    ran = run("--auth-profile", "farm", "auth", "print-token")
    assert ran.code == 2
    assert "there is no profile farm" in ran.err
    assert issuer.grants == []


def test_a_refused_login_is_one_line(run: Run, issuer: Issuer) -> None:
    """With the reason, without what was sent."""
    issuer.refusal = "access_denied"
    ran = run("auth", "login")
    assert ran.code == 2
    assert "access_denied" in ran.err
    assert REFRESH not in ran.err
    assert "Traceback" not in ran.err
