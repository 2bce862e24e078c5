"""From a command to the library and back: errors become one line, results an exit code."""

import errno
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import anyio
import typer
from attrs import evolve, field, frozen

from planet_async import Config, Planet, PlanetError
from planet_async.cli.output import clean
from planet_async.cli.telling import telling

_OPTIONS = {  # hints are written for Python
    "Pass overwrite=True": "Pass --overwrite",
    "Config(proxy=...)": "--proxy",
    "Config(ca_file=...)": "--ca-file",
}
INTERRUPTED = 130  # as shells have it: 128 and the number of SIGINT


@frozen
class Connection:
    """How a command reaches the API: the global options, which are fields of `Config`."""

    base_url: str | None = None
    proxy: str | None = field(default=None, repr=False)
    ca_file: Path | None = None


def open_planet(connection: Connection) -> Planet:
    """Make the client of a command; the key comes from the environment only, where `ps` does not show it."""
    config = Config(proxy=connection.proxy, ca_file=connection.ca_file)
    return Planet(evolve(config, base_url=connection.base_url) if connection.base_url else config)


def with_planet(context: typer.Context, work: Callable[[Planet], Awaitable[bool]]) -> None:
    """Do the work with a client, and exit with 0 if it says that all went well, else with 1."""

    async def do() -> bool:
        async with open_planet(context.obj) as planet:
            return await work(planet)

    with reporting(), telling():
        if not anyio.run(do):
            raise typer.Exit(1)


@contextmanager
def reporting() -> Iterator[None]:
    """Turn what a user can cause into a line each and exit code 1, and Ctrl-C into exit code 130."""
    failures: list[Exception] = []
    try:
        try:
            yield
        except* (PlanetError, OSError) as group:
            failures.extend(_leaves(group))
    except KeyboardInterrupt:
        sys.stderr.write("planet-async: interrupted\n")
        raise typer.Exit(INTERRUPTED) from None
    for failure in failures:
        if isinstance(failure, OSError) and failure.errno == errno.EPIPE:
            raise failure  # nobody reads any more: Typer ends in silence
        if isinstance(failure, OSError) and not isinstance(failure, PlanetError):
            _give_up_stdout()
        complain(failure)
    if failures:
        raise typer.Exit(1)


def complain(problem: Exception | str) -> None:
    """Write one line to standard error."""
    sys.stderr.write(f"planet-async: {one_line(problem)}\n")


def about(id_: str, problem: Exception | str) -> str:
    """Give one line that begins with what it is about."""
    text = one_line(problem)
    return text if text.startswith(id_) else f"{id_}: {text}"


def one_line(problem: Exception | str) -> str:
    """Give what happened and what to do about it; of many tries only the last is told."""
    notes = [note for note in getattr(problem, "__notes__", ()) if not note.startswith("attempt ")]
    text = "; ".join([str(problem), *notes])
    for python, option in _OPTIONS.items():
        text = text.replace(python, option)
    return clean(text)


def _leaves(group: BaseExceptionGroup[Exception]) -> Iterator[Exception]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _give_up_stdout() -> None:
    """What could not be written must not be tried again, with a traceback, when Python ends."""
    with suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - no path of anybody's
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
