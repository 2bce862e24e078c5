"""What the commands of all APIs do alike: show one thing, show a list, act on several things in turn."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

import typer
from rich.console import RenderableType

from planet_async import Paginator, Planet, PlanetError
from planet_async.cli.batch import for_each
from planet_async.cli.output import print_json, print_json_line, stderr, stdout, wants_json
from planet_async.cli.requests import RequestFile, read_requests
from planet_async.cli.run import about, complain, reporting, with_planet
from planet_async.models.base import Resource
from planet_async.services._query import checked_id

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
                complain(about(thing.source if isinstance(thing, RequestFile) else thing, error))
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
