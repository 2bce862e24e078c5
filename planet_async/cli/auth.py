"""`planet-async auth`: log in as a user, and print an access token."""

import sys
from typing import Annotated

import typer

from planet_async.auth.login import AuthProfile, Session, saved_session, selected_session, session_of
from planet_async.cli.output import clean
from planet_async.cli.process import reporting
from planet_async.cli.runner import named


def login(
    context: typer.Context,
    *,
    open_browser: Annotated[
        bool, typer.Option("--open-browser", help="Open the page to confirm the login in a browser.")
    ] = False,
) -> None:
    """Log in, for this command and for Planet's own.

    Shows an address and a code, and waits until you have confirmed the code there. The login is saved in
    ~/.planet, where `planet` and its SDK find it, and it is renewed when needed.
    """
    with reporting():
        session = _session(context)
        session.log_in(_show, open_browser=open_browser)
        how = "" if session.select() else f"; use it with --auth-profile {session.name}"
        _show(f"Logged in to the profile {session.name}{how}.")


def print_token(context: typer.Context) -> None:
    """Print an access token of the login, such as for curl.

    It is renewed if needed, and is good for an hour or so. Whoever has it can act as you.
    """
    with reporting():
        sys.stdout.write(f"{_session(context).access_token()}\n")


def _session(context: typer.Context) -> Session:
    return selected_session(context.obj.auth_profile) or saved_session() or session_of(AuthProfile())


def _show(line: str) -> None:
    sys.stderr.write(f"{clean(line)}\n")
    sys.stderr.flush()


COMMANDS = named(login, print_token)
