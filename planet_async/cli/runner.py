"""From a command to the library and back: input is checked, errors become a line each, results an exit code.

0: all went well. 1: something failed. 2: the input is wrong, and nothing was sent. 130, 143 and 129: ended by
Ctrl-C, SIGTERM and SIGHUP.
"""

import errno
import json
import os
import re
import shlex
import signal
import sys
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, TypeVar

import anyio
import typer
from attrs import evolve, field, frozen
from rich.text import Text

from planet_async import (
    Config,
    InvalidRequest,
    MissingCredentials,
    Outcome,
    Paginator,
    Planet,
    PlanetError,
    UnknownKeyWarning,
)
from planet_async.auth.login import credentials_of_command
from planet_async.cli.output import (
    ProgressDisplay,
    View,
    about,
    clean,
    log_lines,
    one_line,
    print_error,
    print_json,
    print_json_line,
    print_table,
    stderr,
    stdout,
    wants_json,
)
from planet_async.models.base import OpenEnum, Resource
from planet_async.models.codec import checked_body
from planet_async.models.geometry import to_geojson
from planet_async.models.json import kind
from planet_async.redaction import refuse_redacted
from planet_async.services._query import checked_id

FAILED, WRONG_INPUT = 1, 2


# --- The client, signals and errors


@frozen
class Connection:
    """How a command reaches the API: the global options, which are fields of `Config`."""

    base_url: str | None = None
    proxy: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    auth_profile: str | None = None


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

    with reporting(), log_lines(), _warning_lines():
        if not run_async(do):
            raise typer.Exit(FAILED)


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


class Interrupted(KeyboardInterrupt):
    """The command was ended by a signal."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def run_async(work: Callable[[], Awaitable[bool]]) -> bool:
    """Run the work in an event loop; SIGTERM and SIGHUP cancel it, as Ctrl-C does, and raise Interrupted."""
    received: list[int] = []

    async def end_on_signal(scope: anyio.CancelScope, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        numbers = (signal.SIGTERM, signal.SIGHUP) if sys.platform != "win32" else ()
        # What is ignored stays ignored, such as SIGHUP below `nohup`.
        heard = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]
        with anyio.open_signal_receiver(*heard) as signals:
            task_status.started()
            async for number in signals:
                received.append(number)
                scope.cancel()

    async def do() -> bool:
        result = False
        async with anyio.create_task_group() as tasks:
            await tasks.start(end_on_signal, tasks.cancel_scope)
            result = await work()
            tasks.cancel_scope.cancel()
        return result

    try:
        return anyio.run(do)
    finally:
        if received:
            raise Interrupted(received[0])


@contextmanager
def reporting() -> Iterator[None]:
    """End the command with a line for each error that a user can cause, and with its exit code."""
    failures: list[Exception] = []
    try:
        try:
            yield
        except* (PlanetError, OSError) as group:
            failures.extend(_leaves(group))
    except KeyboardInterrupt as interrupt:
        number = interrupt.number if isinstance(interrupt, Interrupted) else signal.SIGINT
        print_error("interrupted" if number == signal.SIGINT else "terminated")
        raise typer.Exit(128 + number) from None
    for failure in failures:
        if isinstance(failure, OSError) and failure.errno == errno.EPIPE:
            raise failure  # nobody reads any more: Typer ends without a word
        if isinstance(failure, OSError) and not isinstance(failure, PlanetError):
            _give_up_stdout()
        print_error(failure)
    if failures:
        raise typer.Exit(WRONG_INPUT if all(map(_is_wrong_input, failures)) else FAILED)


def _is_wrong_input(error: Exception) -> bool:
    return isinstance(error, InvalidRequest) and not isinstance(error, MissingCredentials)


def _leaves(group: BaseExceptionGroup[Exception]) -> Iterator[Exception]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _give_up_stdout() -> None:
    """Drop what could not be written: Python would try again as it ends, with a traceback."""
    with suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a device
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


# --- Input: requests and ids, from files, standard input or the command line


STDIN = "-"
_NOTHING_SENT = "Nothing was sent."


@frozen
class InputRequest:
    """A request that is fit to be sent, and where it stands."""

    body: Mapping[str, Any]
    file: str
    line: int = 1
    is_alone: bool = True
    warnings: Sequence[str] = ()

    @property
    def where(self) -> str:
        """The file, with the line where it holds other requests too."""
        return self.file if self.is_alone else f"{self.file}:{self.line}"


def read_requests(
    sources: Sequence[str], model: type[Any] | None, also: Mapping[str, Any] | None = None
) -> list[InputRequest]:
    """Read and check all requests, or end the command with a line for each that is wrong.

    A source is a file, ``-`` for standard input, or the JSON itself. It holds one or several objects: in an
    array, or one after the other, as in JSON Lines. Without a `model` any JSON object is accepted. The fields
    of `also` are added to each.
    """
    found: list[InputRequest] = []
    problems: list[Exception] = []
    with reporting():
        for number, source in enumerate(sources, start=1):
            try:
                found += _requests_in(source, number, model, also)
            except ExceptionGroup as group:
                problems += group.exceptions
            except InvalidRequest as problem:
                problems.append(problem)
        if problems:
            raise ExceptionGroup("requests", problems)
    for request in found:
        for warning in request.warnings:
            print_error(f"{request.where}: {warning}")
    return found


def read_request(source: str, model: type[Any] | None) -> InputRequest:
    """Read and check the only request of a source; see `read_requests`."""
    requests = read_requests([source], model)
    with reporting():
        if len(requests) > 1:
            raise _wrong(source, f"expected one request, got {len(requests)}")
    return requests[0]


def read_objects(source: str) -> list[Mapping[str, Any]]:
    """Read the JSON objects of an option or argument: a file, the JSON itself, or - for standard input."""
    return [request.body for request in read_requests([source], None)]


def read_geometry(source: str | None) -> Mapping[str, Any] | None:
    """Return the geometry of an option: GeoJSON as in `read_objects`, or a reference to a feature."""
    if source is None:
        return None
    found = source if source.startswith("pl:") else read_request(source, None).body
    with reporting():
        return to_geojson(found)


def read_items(values: Sequence[str], item_type: str | None) -> dict[str, list[str]]:
    """Return the ids of items by their type, each once, or end the command.

    ``-`` stands for standard input: ids, which need the type, or items as `data search` prints them.
    """
    found: dict[str, dict[str, None]] = {}
    with reporting():
        for value in values:
            for type_, id_ in _items_on_stdin() if value == STDIN else ((None, value),):
                if not (type_ or item_type):
                    raise InvalidRequest(f"the type of item {clean(id_)} is not known: pass --item-type")
                found.setdefault(str(type_ or item_type), {})[id_] = None
        if not found:
            raise InvalidRequest("standard input holds no items", hint=_NOTHING_SENT)
    return {type_: [*ids] for type_, ids in found.items()}


def _items_on_stdin() -> Iterator[tuple[str | None, str]]:
    for item, id_ in _identified_on_stdin():
        properties = item.get("properties")
        type_ = properties.get("item_type") if isinstance(properties, dict) else None
        yield type_ if isinstance(type_, str) else None, id_


def read_ids(values: Sequence[str], check: Callable[[str], str]) -> list[str]:
    """Return the ids, each once, or end the command if one is none.

    ``-`` stands for the ids on standard input: separated by white space, or as JSON, be it texts or objects
    with an ``id``, as the commands print them.
    """
    found: dict[str, None] = {}
    with reporting():
        for value in values:
            for id_ in _ids_on_stdin() if value == STDIN else (value,):
                found[check(id_)] = None
    return list(found)


def ids_argument(things: str, check: Callable[[str], str]) -> Any:
    """Make the argument for the ids of several things: a list of checked ids, None where none was passed."""

    def read(values: list[str] | None) -> list[str] | None:
        if not values:
            return None
        ids = read_ids(values, check)
        if not ids:
            print_error("standard input holds no ids; nothing is to be done")
            raise typer.Exit
        return ids

    help_ = f"The ids of {things}; - reads them from standard input."
    return typer.Argument(metavar="ID", callback=read, help=help_)


def id_argument(thing: str, check: Callable[[str], str]) -> Any:
    """Make the argument for one id: checked, None where none was passed."""

    def read(value: str | None) -> str | None:
        return read_id(value, check)

    help_ = f"The id of {thing}; - reads it from standard input."
    return typer.Argument(metavar="ID", callback=read, help=help_)


def read_id(value: str | None, check: Callable[[str], str]) -> str | None:
    """Return one checked id, or end the command; see `read_ids`."""
    if value is None:
        return None
    ids = read_ids([value], check)
    with reporting():
        if len(ids) != 1:
            raise InvalidRequest(f"expected one id on standard input, got {len(ids)}")
    return ids[0]


def uuid_of(what: str) -> Callable[[str], str]:
    """Return the check for ids of orders, subscriptions and the like."""
    return lambda value: checked_id(value, what).lower()


def _requests_in(
    source: str, number: int, model: type[Any] | None, also: Mapping[str, Any] | None
) -> list[InputRequest]:
    inline = source.strip()
    if inline.startswith("{") or (inline.startswith("[") and inline.endswith("]")):
        file, content = f"argument {number}", source.encode(errors="surrogateescape")
    else:
        file = "standard input" if source == STDIN else source
        content = _read(source, file)
    documents = list(_documents(content, file))
    if not documents:
        raise _wrong(file, "holds no request")
    requests: list[InputRequest] = []
    problems: list[InvalidRequest] = []
    for line, found in documents:
        document = {**found, **(also or {})} if isinstance(found, dict) else found
        request = InputRequest({}, file, line, is_alone=len(documents) == 1)
        try:
            body, texts = _checked(document, request.where, model)
            requests.append(evolve(request, body=body, warnings=texts))
        except InvalidRequest as problem:
            problems.append(problem)
    if problems:
        raise ExceptionGroup(file, problems)
    return requests


def _read(source: str, where: str) -> bytes:
    try:
        return _read_stdin() if source == STDIN else Path(source).read_bytes()
    except InvalidRequest:
        raise
    except OSError as error:
        raise _wrong(where, f"cannot be read: {error.strerror or error}") from None
    except ValueError:
        raise _wrong(where, "cannot be read: no file can have that name") from None


def _read_stdin() -> bytes:
    if sys.stdin is None:
        return b""
    if sys.stdin.closed:
        raise InvalidRequest("standard input (-) can be read only once", hint=_NOTHING_SENT)
    with sys.stdin as stdin:
        return stdin.buffer.read()


def _checked(
    document: object, where: str, model: type[Any] | None
) -> tuple[Mapping[str, Any], Sequence[str]]:
    """Return a request and the warnings about it, or raise InvalidRequest."""
    if not isinstance(document, dict):
        raise _wrong(where, f"$: expected an object, got {kind(document)}")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UnknownKeyWarning)
        try:
            refuse_redacted(document)
            if model is not None:
                checked_body(model, document)
        except InvalidRequest as error:
            raise _wrong(where, error.message.removesuffix("; nothing was sent")) from None
    return document, [str(warning.message) for warning in caught]


_DOCUMENT = re.compile(r"[^\s\x1e]")  # begins one: after white space, or the marks of JSON text sequences
_ITEM = re.compile(r"[^\s,]")


def _documents(content: bytes, where: str) -> Iterator[tuple[int, object]]:
    """Yield the JSON documents in a text, and the items of those that are arrays, with their lines."""
    if not content.strip():
        raise _wrong(where, "is empty")
    try:
        text = content.decode("utf-16" if content[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig")
        yield from _parsed(text)
    except UnicodeDecodeError:
        raise _wrong(where, "is not JSON: it is not UTF-8 text") from None
    except RecursionError:
        raise _wrong(where, "is nested too deeply") from None
    except ValueError as error:
        raise _wrong(where, f"is not JSON: {error}") from None


def _parsed(text: str) -> Iterator[tuple[int, object]]:
    decode = json.JSONDecoder().raw_decode
    line, counted = 1, 0

    def line_of(position: int) -> int:
        nonlocal line, counted
        line, counted = line + text.count("\n", counted, position), position
        return line

    def next_(pattern: re.Pattern[str], position: int) -> int:
        found = pattern.search(text, position)
        return found.start() if found else len(text)

    position = next_(_DOCUMENT, 0)
    while position < len(text):
        document, end = decode(text, position)
        if not isinstance(document, list):
            yield line_of(position), document
        else:
            position += 1
            for item in document:
                position = next_(_ITEM, position)
                yield line_of(position), item
                position = decode(text, position)[1]
        position = next_(_DOCUMENT, end)


def _ids_on_stdin() -> Iterator[str]:
    return (id_ for _, id_ in _identified_on_stdin())


def _identified_on_stdin() -> Iterator[tuple[Mapping[str, Any], str]]:
    """Yield the ids on standard input, with the objects that they are in, if any."""
    content = _read(STDIN, "standard input")
    if content.lstrip()[:1] not in {b"{", b"[", b'"'}:
        for word in content.decode(errors="replace").split():
            yield {}, word
        return
    for line, document in _documents(content, "standard input"):
        record = document if isinstance(document, dict) else {"id": document}
        found = record.get("id", record.get("report_id"))
        if not isinstance(found, str):
            raise _wrong(f"standard input:{line}", "there is no id")
        yield record, found


def _wrong(where: str, problem: str) -> InvalidRequest:
    return InvalidRequest(f"{where}: {problem}", hint=_NOTHING_SENT)


# --- What commands have in common


Command = Callable[..., None]


def named(*commands: Command) -> dict[str, Command]:
    """Return commands by their names, which are those of the functions."""
    return {command.__name__.rstrip("_").replace("_", "-"): command for command in commands}


R = TypeVar("R", bound=Resource)
T = TypeVar("T")


def show_one(
    context: typer.Context, get: Callable[[Planet], Awaitable[R]], show: Callable[[R], None], *, json: bool
) -> None:
    """Print one thing: its JSON document, or what `show` prints for a person."""

    async def work(planet: Planet) -> bool:
        found = await get(planet)
        if wants_json(json):
            print_json(found.raw)
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
    list_: Callable[[Planet], Paginator[R]],
    view: View[R],
    *,
    limit: int | None,
    json: bool,
) -> None:
    """Print a list: a JSON document a line, as they come, or a table for a person.

    Where it is interrupted, the table shows what was listed by then.
    """

    async def work(planet: Planet) -> bool:
        await print_list(list_(planet), view, limit=limit, json=json)
        return True

    with_planet(context, work)


async def print_list(found: Paginator[R], view: View[R], *, limit: int | None, json: bool) -> None:
    """Print a list; see `show_list`."""
    if not wants_json(json):
        await _print_table(found, view, limit)
    elif limit is not None:
        for thing in await found.collect(limit):
            print_json_line(thing.raw)
    else:
        async for thing in found:
            print_json_line(thing.raw)


async def _print_table(found: Paginator[R], view: View[R], limit: int | None) -> None:
    things: list[R] = []
    is_whole = False
    try:
        with stderr().status("Listing") as status:
            if limit is not None:
                things = await found.collect(limit)
            else:
                async for thing in found:
                    things.append(thing)
                    status.update(f"Listing: {len(things):,}")
        is_whole = True
    finally:
        if things or is_whole:
            view.print_table(things)


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


def print_request(model: type[Any], body: Mapping[str, Any]) -> None:
    """Print a request that was made from options, or end the command where the API would refuse it."""
    with reporting():
        request, texts = _checked(dict(body), "the request", model)
    for text in texts:
        print_error(text)
    print_json(request)


def create_each(
    context: typer.Context,
    sources: Sequence[str],
    model: type[Any],
    create: Callable[[Planet, Mapping[str, Any]], Awaitable[R]],
    view: View[R],
    *,
    also: Mapping[str, Any] | None = None,
    listing: str,
    json: bool,
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
        json=json,
    )


def act_on_each(
    context: typer.Context,
    things: Iterable[T],
    act: Callable[[Planet, T], Awaitable[R]],
    view: View[R],
    *,
    name: Callable[[T], str] = str,
    interrupted: Callable[[T], str] | None = None,
    json: bool,
) -> None:
    """Act on each thing and print the record that comes of it; one failure does not stop the others."""

    async def work(planet: Planet) -> bool:
        failed = 0

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
                if wants_json(json):
                    print_json_line(found.raw)
                else:
                    view.print_line(found)

        await for_each(things, act_on)
        return not failed

    with_planet(context, work)


_AT_ONCE = 8


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
        with ProgressDisplay() as display:
            waiting = display.step(f"Waiting for {things}", len(ids))
            async for outcome in wait(planet):
                waiting.advance(state=add(outcome) or "error")
        return results.finish()

    with_planet(context, work)


def print_paths(what: Mapping[str, Any], paths: Sequence[Path], json: bool) -> None:
    """Print the files that were downloaded: as JSON, with what they are of."""
    if wants_json(json):
        print_json({**what, "paths": [str(path) for path in paths]})
    else:
        for path in paths:
            stdout().print(Text(clean(path)), soft_wrap=True)


class Results:
    """Results of many requests: a line of JSON for each as it comes, or a table at the end."""

    def __init__(self, columns: Sequence[str], *, json: bool) -> None:
        self._columns = columns
        self._json = wants_json(json)
        self._rows: list[Sequence[object]] = []
        self._problems: list[str] = []

    def add_row(self, document: Mapping[str, Any], row: Sequence[object], problem: str | None) -> None:
        """Add the next result; `problem` says why it is no success."""
        if self._json:
            print_json_line(document)
        self._rows.append(row)
        if problem is not None:
            self._problems.append(problem)

    def add_outcome(self, outcome: Outcome[Any], is_good: Callable[[Any], bool]) -> str | None:
        """Add the end of a wait for something with a status and a name; return the status."""
        found, error = outcome.value, outcome.error
        status, name = (found.status, found.name) if found else (None, None)
        problem = None
        if error is not None:
            problem = about(outcome.id, error)
        elif not is_good(found):
            problem = f"{outcome.id} is {status}"
        document = {"id": outcome.id, "name": name, "status": status, "error": error and one_line(error)}
        self.add_row(document, (outcome.id, status or "?", name), problem)
        return status

    def finish(self) -> bool:
        """Print the table and the problems; return whether all went well."""
        if not self._json:
            print_table(self._columns, self._rows)
        for problem in self._problems:
            print_error(problem)
        return not self._problems


def confirm_bulk(ids: list[str] | None, everything: bool, yes: bool, question: str) -> None:
    """End the command unless it has ids, or else --all and the agreement of a person, or --yes."""
    if (ids is None) != everything:
        raise typer.BadParameter("pass ids, or --all")
    if everything and not yes:
        if not can_ask():
            raise typer.BadParameter("--all needs --yes where there is no terminal to ask on")
        typer.confirm(question, abort=True, err=True)


def can_ask() -> bool:
    """Return whether a person can be asked."""
    return sys.stdin is not None and sys.stdin.isatty()


# --- Options that several commands have


def time_option(text: str, *names: str) -> Any:
    """Make the option of a filter by time."""
    return typer.Option(*names, metavar="TIME", help=text)


def words_option(text: str, words: type[OpenEnum]) -> Any:
    """Make the option of a filter by state or status, of which several may be passed."""
    known = [str(word) for word in words]
    return typer.Option(metavar="WORD", case_sensitive=False, help=f"{text}: {', '.join(known)}. Repeatable.")


def parse_filters(values: Sequence[str] | None) -> dict[str, object]:
    """Return the filters of `--filter NAME=VALUE`; a value that is JSON, such as a geometry, is decoded."""
    filters: dict[str, object] = {}
    for each in values or ():
        name, _, value = each.partition("=")
        if not value or name in filters:
            raise typer.BadParameter(f"--filter: expected NAME=VALUE, and each NAME once, not {each!r}")
        try:
            filters[name] = json.loads(value) if value.startswith("{") else value
        except ValueError as error:
            raise typer.BadParameter(f"--filter {name}: it is not JSON: {error}") from None
    return filters


Filters = Annotated[
    list[str] | None,
    typer.Option(
        "--filter", metavar="NAME=VALUE", help="Any other filter of the API: product=...  Repeatable."
    ),
]
INTERVAL = "An instant, or START/END with .. for an open end: 2026-01-01T00:00:00Z/.."
Name = Annotated[str | None, typer.Option(metavar="NAME", help="With exactly this name.")]
NameContains = Annotated[str | None, typer.Option(metavar="TEXT", help="With this text in the name.")]
Limit = Annotated[int | None, typer.Option(min=1, metavar="N", help="Show at most N.")]
_page_size = typer.Option(min=1, metavar="N", help="Fetch so many with each request.")
PageSize = Annotated[int, _page_size]
AnyPageSize = Annotated[int | None, _page_size]  # by default what the API chooses
UserId = Annotated[
    str | None, typer.Option(metavar="ID", help="Of this user, or of all (for administrators).")
]
DestinationRef = Annotated[
    str | None, typer.Option(metavar="REF", help="Delivered to this destination: pl:destinations/...")
]
Hosting = Annotated[bool | None, typer.Option("--hosting/--no-hosting", help="Hosted by Planet, or not.")]
Host = Annotated[
    str | None, typer.Option("--hosting", metavar="HOST", help="Have it hosted by Planet: sentinel_hub.")
]
CollectionId = Annotated[
    str | None, typer.Option(metavar="ID", help="Host in this collection instead of a new one.")
]
CreateConfiguration = Annotated[
    bool, typer.Option("--create-configuration", help="Make a configuration for the new collection.")
]
SortBy = Annotated[
    list[str] | None,
    typer.Option(metavar="FIELD", help="Sort by this field; 'FIELD DESC' reverses. Repeatable."),
]
Timeout = Annotated[
    float | None,
    typer.Option(min=0, metavar="SECONDS", help="Stop waiting after so long; 0 checks once."),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before --all.")]
Folder = Annotated[
    Path,
    typer.Option("--to", metavar="DIR", file_okay=False, help="The folder for the files; made if missing."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist and differ.")]

geometry_option = typer.Option(
    "--geometry",
    "--geom",
    metavar="GEOJSON",
    help="The area: a GeoJSON file, GeoJSON, - for standard input, or pl:features/...",
)
Geometry = Annotated[str | None, geometry_option]
SOURCE = "A JSON file, JSON, or - for standard input."
REQUESTS = "JSON files with one or more requests, the JSON itself, or - for standard input."
Requests = Annotated[list[str], typer.Argument(metavar="REQUEST.json", help=REQUESTS)]
ChangesFile = Annotated[
    str,
    typer.Argument(
        metavar="CHANGES.json", help="The fields to change: a JSON file, JSON, or - for standard input."
    ),
]
