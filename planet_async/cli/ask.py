"""Whom a command acts on, where it is many: the ids given, or all of them if somebody agrees."""

import sys
from typing import Annotated

import typer

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before --all.")]


def agree_on(ids: list[str] | None, everything: bool, yes: bool, *, things: str, question: str) -> None:
    """End the command unless it has ids, or else --all and a person, or --yes, that agrees."""
    if bool(ids) == everything:
        raise typer.BadParameter(f"give the ids of {things}, or --all")
    if everything and not yes:
        if not can_ask():
            raise typer.BadParameter("--all needs --yes where nobody can be asked")
        typer.confirm(question, abort=True, err=True)


def can_ask() -> bool:
    """Tell whether somebody is there to answer."""
    return sys.stdin is not None and sys.stdin.isatty()
