"""From a command to the library and back: errors become one line, results an exit code."""

import errno
import json
import os
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, TypeVar

import anyio
import attrs
import typer
from attrs import evolve, field, frozen
from rich.console import RenderableType

from planet_async import Config, InvalidRequest, OrderRequest, Paginator, Planet, PlanetError
from planet_async.cli.output import clean, print_json, print_json_line, stderr, stdout, telling, wants_json
from planet_async.models.base import Resource
from planet_async.models.codec import checked_body
from planet_async.models.json import kind
from planet_async.services._query import checked_id

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
        print_error(failure)
    if failures:
        raise typer.Exit(1)


def print_error(problem: Exception | str) -> None:
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


STDIN = "-"


@frozen
class RequestFile:
    """A request that is fit to be sent, and the file that it came from."""

    source: str
    body: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The name of what is ordered."""
        return str(self.body["name"])


def read_requests(sources: Sequence[str], model: type[Any] | None = OrderRequest) -> list[RequestFile]:
    """Read all files (``-`` is standard input); raises an ExceptionGroup of what is wrong with them.

    Without a `model` of what is requested, a file need only hold a JSON object.
    """
    if sources.count(STDIN) > 1:
        raise InvalidRequest("standard input (-) can be read only once; nothing was sent")
    found: list[RequestFile] = []
    problems: list[InvalidRequest] = []
    for source in sources:
        where = "standard input" if source == STDIN else source
        try:
            found.append(RequestFile(where, parse_request(_read(source, where), where, model)))
        except InvalidRequest as problem:
            problems.append(problem)
    if problems:
        raise ExceptionGroup("request files", problems)
    for request in found:
        _warn_unknown_fields(request, model)
    return found


def parse_request(content: bytes, where: str, model: type[Any] | None = OrderRequest) -> Mapping[str, Any]:
    """Give the request in a file; InvalidRequest says what is wrong where."""
    try:
        body = json.loads(content)
    except UnicodeDecodeError:
        raise _wrong(where, "is not JSON: it is not UTF-8 text") from None
    except RecursionError:
        raise _wrong(where, "is nested too deeply") from None
    except ValueError as error:
        raise _wrong(where, f"is not JSON: {error}" if content.strip() else "is empty") from None
    if not isinstance(body, dict):
        raise _wrong(where, f"$: expected an object, got {kind(body)}")
    try:
        if model is not None:
            checked_body(model, body)
    except InvalidRequest as error:
        raise _wrong(where, error.message) from None
    return body


def _warn_unknown_fields(request: RequestFile, model: type[Any] | None) -> None:
    """Say which fields may be misspelt; the API may know more of them than this version does."""
    known = [field.name for field in attrs.fields(model)] if model is not None else list(request.body)
    for key in sorted(request.body.keys() - known):
        alike = "".join(f" (`{name}`?)" for name in get_close_matches(key, known, n=1))
        print_error(f"{request.source}: `{key}` is no field known here{alike}; it is sent as it is")


def _read(source: str, where: str) -> bytes:
    try:
        if source != STDIN:
            return Path(source).read_bytes()
        return sys.stdin.buffer.read() if sys.stdin is not None else b""
    except OSError as error:
        raise _wrong(where, f"cannot be read: {error.strerror or error}") from None
    except ValueError:
        raise _wrong(where, "cannot be read: no file can have that name") from None


def _wrong(where: str, problem: str) -> InvalidRequest:
    return InvalidRequest(f"{where}: {problem}", hint="Nothing was sent.")


R = TypeVar("R", bound=Resource)
T = TypeVar("T", bound=str | RequestFile)


def show_one(
    context: typer.Context,
    look: Callable[[Planet], Awaitable[R]],
    picture: Callable[[R], RenderableType],
    *,
    json: bool,
) -> None:
    """Print one thing: its JSON document, or its picture for a person."""

    async def work(planet: Planet) -> bool:
        found = await look(planet)
        if wants_json(json):
            print_json(found.raw)
        else:
            stdout().print(picture(found))
        return True

    with_planet(context, work)


def show_list(
    context: typer.Context,
    listed: Callable[[Planet], Paginator[R]],
    picture: Callable[[Sequence[R]], RenderableType],
    *,
    limit: int | None,
    json: bool,
) -> None:
    """Print a list: a JSON document a line, or a table for a person."""

    async def work(planet: Planet) -> bool:
        found = listed(planet)
        if not wants_json(json):
            with stderr().status("Listing"):
                things = await found.collect(limit)
            stdout().print(picture(things))
        elif limit is not None:
            for thing in await found.collect(limit):
                print_json_line(thing.raw)
        else:
            async for thing in found:  # as they come: there may be many
                print_json_line(thing.raw)
        return True

    with_planet(context, work)


def act_on_each(
    context: typer.Context,
    things: Iterable[T],
    act: Callable[[Planet, T], Awaitable[R]],
    line: Callable[[R], RenderableType],
    *,
    json: bool,
) -> None:
    """Act on each thing, and print a line for what came of it; what fails for one stops no other."""

    async def work(planet: Planet) -> bool:
        failed = 0

        async def act_on(thing: T) -> None:
            nonlocal failed
            try:
                found = await act(planet, thing)
            except PlanetError as error:
                failed += 1
                print_error(about(thing.source if isinstance(thing, RequestFile) else thing, error))
            else:
                if wants_json(json):
                    print_json_line(found.raw)
                else:
                    stdout().print(line(found))

        await for_each(things, act_on)
        return not failed

    with_planet(context, work)


def requests_in(files: Sequence[str], model: type[object] | None) -> list[RequestFile]:
    """Read and check request files, or end the command with a line for each that is wrong."""
    found: list[RequestFile] = []
    with reporting():
        found += read_requests(files, model)
    return found


def distinct_ids(ids: Iterable[str], what: str) -> list[str]:
    """Check all ids, each once, before the first is acted on, or end the command."""
    found: list[str] = []
    with reporting():
        found += [checked_id(each, what) for each in dict.fromkeys(ids)]
    return found


Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before --all.")]


def confirm_bulk(ids: list[str] | None, everything: bool, yes: bool, *, things: str, question: str) -> None:
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


def one_of(text: str, words: Sequence[str]) -> Any:
    """Make an option that may be given again, each time with one of the words that the shell offers."""
    return typer.Option(help=f"{text}; may be given again.", autocompletion=lambda: words)


Name = Annotated[str | None, typer.Option(help="Of exactly this name.")]
NameContains = Annotated[str | None, typer.Option(help="With this text in the name.")]
Limit = Annotated[int | None, typer.Option(min=1, metavar="N", help="Show at most N.")]
PageSize = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="How many there are in one answer of the API.")
]
UserId = Annotated[str | None, typer.Option(metavar="ID", help="Of this user, or all (for administrators).")]
Timeout = Annotated[
    float | None, typer.Option(min=0, metavar="SECONDS", help="Give up after that long; it goes on.")
]
ChangesFile = Annotated[
    str, typer.Argument(metavar="CHANGES.json", help="The fields to be changed; - is standard input.")
]
Folder = Annotated[
    Path,
    typer.Option("--to", metavar="DIR", file_okay=False, help="The folder for the files; made if missing."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that are there and differ.")]
INTERVAL = "An instant, or START/END with .. for an open end: 2026-01-01T00:00:00Z/.."


_AT_ONCE = 8


async def for_each(things: Iterable[T], act: Callable[[T], Awaitable[None]]) -> None:
    """Do it for each thing, a few at a time."""
    remaining = iter(things)

    async def worker() -> None:
        for thing in remaining:
            await act(thing)

    async with anyio.create_task_group() as group:
        for _ in range(_AT_ONCE):
            group.start_soon(worker)
