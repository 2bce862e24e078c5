"""Shared parts of the commands: opening a client, and showing one record, a list, or results."""

import shlex
import sys
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import anyio
import typer
from attrs import evolve, field, frozen
from rich.text import Text

from planet_async import Config, Outcome, Paginator, Planet, PlanetError, Progress, UnknownKeyWarning
from planet_async.auth.login import credentials_of_command
from planet_async.cli.input import InputRequest, read_requests
from planet_async.cli.logs import Logs
from planet_async.cli.output import (
    JSON,
    JSONL,
    TABLE,
    ListingStatus,
    Output,
    ProgressDisplay,
    View,
    about,
    clean,
    one_line,
    print_document,
    print_error,
    print_note,
    print_warning,
    stdout,
)
from planet_async.cli.process import FAILED, reporting, run_async
from planet_async.models.base import Resource
from planet_async.paging import Page


@frozen
class Connection:
    """The global options: how a command reaches the API (fields of `Config`), and what it shows of logs."""

    base_url: str | None = None
    proxy: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    auth_profile: str | None = None
    logs: Logs = field(factory=Logs)


def open_planet(connection: Connection) -> Planet:
    """Make the client of a command; keys and secrets come from the environment, where `ps` shows none."""
    config = Config(proxy=connection.proxy, ca_file=connection.ca_file)
    if connection.base_url:
        config = evolve(config, base_url=connection.base_url)
    return Planet(config, credentials=credentials_of_command(connection.auth_profile))


def with_planet(context: typer.Context, work: Callable[[Planet], Awaitable[bool]]) -> None:
    """Do the work with a client; exit with 0 where it returns that all went well, else with 1."""

    async def do() -> bool:
        async with open_planet(context.obj) as planet:
            return await work(planet)

    with context.obj.logs.shown(), reporting(), _warning_lines():
        if not run_async(do):
            raise typer.Exit(FAILED)


def progress_display(context: typer.Context) -> AbstractAsyncContextManager[ProgressDisplay]:
    """Show progress, unless the global options say otherwise."""
    return ProgressDisplay(hide=not context.obj.logs.has_progress).shown()


@contextmanager
def _warning_lines() -> Iterator[None]:
    """Write what the library warns of on a line each."""

    def show(message: Warning | str, *_: object, **__: object) -> None:
        print_error(str(message))

    with warnings.catch_warnings():
        warnings.simplefilter("default", UserWarning)
        warnings.simplefilter("ignore", UnknownKeyWarning)  # printed when the request was read
        warnings.showwarning = show
        yield


Command = Callable[..., None]


def named(*commands: Command) -> dict[str, Command]:
    """Return commands by their names, which are those of the functions."""
    return {command.__name__.rstrip("_").replace("_", "-"): command for command in commands}


_AT_ONCE = 8

R = TypeVar("R", bound=Resource)
T = TypeVar("T")


def show_one(
    context: typer.Context,
    get: Callable[[Planet], Awaitable[R]],
    show: View[R] | Callable[[R], None],
    *,
    form: str,
) -> None:
    """Print one thing: its JSON document, or for a person a panel, or what `show` prints."""

    async def work(planet: Planet) -> bool:
        found = await get(planet)
        if form != TABLE:
            print_document(found.raw, form)
        elif isinstance(show, View):
            show.print_panel(found)
        else:
            show(found)
        return True

    with_planet(context, work)


def run_only(context: typer.Context, act: Callable[[Planet], Awaitable[None]]) -> None:
    """Do what has no result to print."""

    async def work(planet: Planet) -> bool:
        await act(planet)
        return True

    with_planet(context, work)


def show_list(
    context: typer.Context,
    list_: Callable[[Planet], Paginator[R] | Awaitable[Paginator[R]]],
    view: View[R],
    *,
    limit: int | None,
    form: str,
) -> None:
    """Print a list as it comes, page by page; a table has a hundred rows where no `limit` is passed.

    Where it is interrupted, a table has what was listed by then.
    """

    async def work(planet: Planet) -> bool:
        listed = list_(planet)
        found = await listed if isinstance(listed, Awaitable) else listed
        output = Output(form, list(view.columns), view.name)
        is_default = limit is None and form == TABLE
        most = _MOST_SHOWN if is_default else limit or None
        # One more than are shown says whether there are more.
        pages = found.pages(_MOST_SHOWN + 1 if is_default else most)
        status = ListingStatus(hide=not context.obj.logs.has_progress)
        if await _print_pages(pages, view, output, most, status) and is_default:
            print_warning(f"the first {_MOST_SHOWN} {view.name} are shown; --limit 0 shows all")
        elif output.count and sys.stderr.isatty() and not (form in {JSON, JSONL} and sys.stdout.isatty()):
            print_note(f"{output.count:,} {view.name}")
        return True

    with_planet(context, work)


_MOST_SHOWN = 100


async def _print_pages(
    pages: AsyncIterator[Page[R]], view: View[R], output: Output, most: int | None, status: ListingStatus
) -> bool:
    """Print at most so many records; return whether there are more."""
    has_more = False
    with status:
        try:
            async for page in pages:
                for record in page:
                    if has_more := output.count == most:
                        break
                    output.add(record.raw, view.row(record), view.geometry(record))
                status.update(output.count)
                output.flush()
                if has_more:
                    break
        finally:
            output.flush()
    output.close()
    return has_more


def hosting_of(
    hosting: str | None, collection_id: str | None, create_configuration: bool
) -> dict[str, dict[str, object]]:
    """Return the hosting block of an order: empty without `hosting`, which the other options need."""
    if not hosting and (collection_id or create_configuration):
        raise typer.BadParameter("--collection-id and --create-configuration need --hosting")
    options: dict[str, object] = {
        "collection_id": collection_id,
        "create_configuration": create_configuration or None,
    }
    block = {name: value for name, value in options.items() if value is not None}
    return {hosting: block} if hosting else {}


def create_each(
    context: typer.Context,
    sources: Sequence[str],
    model: type[Any],
    create: Callable[[Planet, Mapping[str, Any]], Awaitable[R]],
    view: View[R],
    *,
    also: Mapping[str, Any] | None = None,
    listing: str,
    form: str,
) -> None:
    """Create something for each request.

    `also` are fields that all requests have besides their own. `listing` is the command that lists such
    things, with ``{}`` for the name.
    """

    def interrupted(request: InputRequest) -> str:
        name = shlex.quote(clean(request.body.get("name", "")))
        return f"it was being created, and may exist: see `planet-async {listing.format(name)}`"

    act_on_each(
        context,
        read_requests(sources, model, also),
        lambda planet, request: create(planet, request.body),
        view,
        name=lambda request: request.where,
        interrupted=interrupted,
        form=form,
    )


def act_on_each(
    context: typer.Context,
    things: Sequence[T],
    act: Callable[[Planet, T], Awaitable[R]],
    view: View[R],
    *,
    name: Callable[[T], str] = str,
    interrupted: Callable[[T], str] | None = None,
    at_once: int = _AT_ONCE,
    title: str | None = None,
    form: str,
) -> None:
    """Act on each thing and print the record that comes of it; one failure does not stop the others.

    With a `title`, the progress is shown.
    """

    async def work(planet: Planet) -> bool:
        failed, output = 0, Output(form, list(view.columns))

        async def act_on(thing: T) -> None:
            nonlocal failed
            try:
                found = await act(planet, thing)
            except PlanetError as error:
                failed += 1
                print_error(about(name(thing), error))
            except anyio.get_cancelled_exc_class():
                if interrupted is not None:
                    print_error(f"{name(thing)}: {interrupted(thing)}")
                raise
            else:
                if form == TABLE:
                    view.print_line(found)
                else:
                    output.add(found.raw, view.row(found))
            if step is not None:
                step.advance()

        async with progress_display(context) if title else nullcontext() as display:
            step = display.step(title, len(things)) if display and title else None
            await for_each(things, act_on, at_once=at_once)
        if form != TABLE:
            output.close()
        return not failed

    with_planet(context, work)


async def for_each(
    things: Iterable[T], act: Callable[[T], Awaitable[None]], *, at_once: int = _AT_ONCE
) -> None:
    """Act on each thing, a few at a time."""
    remaining = iter(things)

    async def worker() -> None:
        for thing in remaining:
            await act(thing)

    async with anyio.create_task_group() as group:
        for _ in range(at_once):
            group.start_soon(worker)


def wait_for_each(
    context: typer.Context,
    things: str,
    ids: Sequence[str],
    wait: Callable[[Planet], AsyncIterator[Outcome[R]]],
    *,
    results: "Results",
    add: Callable[[Outcome[R]], str | None],
) -> None:
    """Wait for things, and print the results when all have ended; `add` adds one, and returns its state."""

    async def work(planet: Planet) -> bool:
        async with progress_display(context) as display:
            waiting = display.step(f"Waiting for {things}", len(ids))
            async for outcome in wait(planet):
                waiting.advance(state=add(outcome) or "error")
        return results.finish()

    with_planet(context, work)


def download_files(
    context: typer.Context,
    id_: str,
    download: Callable[[Planet, Callable[[Progress], None]], Awaitable[Sequence[Path]]],
    *,
    form: str,
) -> None:
    """Download the files of one thing and print their paths: as JSON, with its id."""

    async def work(planet: Planet) -> bool:
        async with progress_display(context) as display:
            downloading = display.step("Downloading", 1)
            paths = await download(planet, display.receive)
            downloading.advance(display.received)
        if form != TABLE:
            print_document({"id": id_, "paths": [str(path) for path in paths]}, form)
        else:
            for path in paths:
                stdout().print(Text(clean(path)), soft_wrap=True)
        return True

    with_planet(context, work)


class Results:
    """Results of many requests: as JSON or CSV as they come, or a table at the end."""

    def __init__(self, columns: Sequence[str], form: str) -> None:
        self._output = Output(form, columns)
        self._problems: list[str] = []

    def add_row(self, document: Mapping[str, Any], row: Sequence[object], problem: str | None) -> None:
        """Add the next result; `problem` says why it is no success."""
        self._output.add(document, row)
        if problem is not None:
            self._problems.append(problem)

    def add_outcome(self, outcome: Outcome[Any], is_good: Callable[[Any], bool]) -> str | None:
        """Add the end of a wait for something with a status and a name; return the state."""
        found, error = outcome.value, outcome.error
        state, name = (found.status, found.name) if found else (None, None)
        problem = None
        if error is not None:
            problem = about(outcome.id, error)
        elif not is_good(found):
            problem = f"{outcome.id} is {state}"
        document = {"id": outcome.id, "name": name, "state": state, "error": error and one_line(error)}
        self.add_row(document, (outcome.id, state, name), problem)
        return state

    def finish(self) -> bool:
        """Print the table and the problems; return whether all went well."""
        self._output.close()
        for problem in self._problems:
            print_error(problem)
        return not self._problems


def confirm_bulk(ids: list[str] | None, everything: bool, yes: bool, question: str) -> None:
    """End the command unless it has ids, or else --all and the agreement of a person, or --yes."""
    if (ids is None) != everything:
        raise typer.BadParameter("pass ids, or --all")
    if everything:
        confirm("--all", question, yes)


def confirm(what: str, question: str, yes: bool) -> None:
    """End the command unless a person agrees, or --yes."""
    if yes:
        return
    if not can_ask():
        raise typer.BadParameter(f"{what} needs --yes where there is no terminal to ask on")
    typer.confirm(question, abort=True, err=True)


def can_ask() -> bool:
    """Return whether a person can be asked."""
    return sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty()
