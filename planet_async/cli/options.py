"""Options and arguments that several commands have."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from planet_async.downloads.destination import is_url, object_store
from planet_async.errors import InvalidRequest
from planet_async.models.base import OpenEnum


def _destination(text: str) -> str:
    """Return a folder or the address of an object store, or end the command where it cannot be either."""
    try:
        if is_url(text):
            object_store(text)
        elif Path(text).is_file():
            raise typer.BadParameter(f"{text} is a file")
    except InvalidRequest as error:
        raise typer.BadParameter(str(error)) from None
    return text


def option(metavar: str, text: str, *names: str, complete: Callable[[str], list[str]] | None = None) -> Any:
    """Make an option with a value: how that is called, and what the option is for."""
    return typer.Option(*names, metavar=metavar, help=text, autocompletion=complete)


def words(text: str, name: str) -> list[str]:
    """Return the words of a list with commas, or end the command if one is empty."""
    found = [word.strip() for word in text.split(",")]
    if not all(found):
        raise typer.BadParameter(f"{name}: expected a word, or several with commas between, not {text!r}")
    return found


def time_option(text: str, *names: str) -> Any:
    """Make the option of a filter by time."""
    return option("TIME", text, *names)


def words_option(text: str, words: type[OpenEnum]) -> Any:
    """Make the option of a filter by state or status; it may be repeated."""
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
    option("NAME=VALUE", "Any other filter of the API: product=...  Repeatable.", "--filter"),
]
INTERVAL = "An instant, or START/END with .. for an open end: 2026-01-01T00:00:00Z/.."
Name = Annotated[str | None, option("NAME", "With exactly this name.")]
NameContains = Annotated[str | None, option("TEXT", "With this text in the name.")]
Limit = Annotated[int | None, typer.Option(min=1, metavar="N", help="Show at most N.")]
_page_size = typer.Option(min=1, metavar="N", help="Fetch so many with each request.")
PageSize = Annotated[int, _page_size]
AnyPageSize = Annotated[int | None, _page_size]  # by default what the API chooses
UserId = Annotated[str | None, option("ID", "Of this user, or of all (for administrators).")]
DestinationRef = Annotated[str | None, option("REF", "Delivered to this destination: pl:destinations/...")]
Hosting = Annotated[bool | None, typer.Option("--hosting/--no-hosting", help="Hosted by Planet, or not.")]
Host = Annotated[str | None, option("HOST", "Have it hosted by Planet: sentinel_hub.", "--hosting")]
CollectionId = Annotated[str | None, option("ID", "Host in this collection instead of a new one.")]
CreateConfiguration = Annotated[
    bool, typer.Option("--create-configuration", help="Make a configuration for the new collection.")
]
SortBy = Annotated[
    list[str] | None, option("FIELD", "Sort by this field; 'FIELD DESC' reverses. Repeatable.")
]
Timeout = Annotated[
    float | None, typer.Option(min=0, metavar="SECONDS", help="Stop waiting after so long; 0 checks once.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before --all.")]
Folder = Annotated[
    Path,
    typer.Option(
        "--to", "--directory", metavar="DIR", file_okay=False, help="The folder for the files; it is made."
    ),
]
Destination = Annotated[
    str,
    typer.Option(
        "--to",
        "--directory",
        metavar="DIR",
        parser=_destination,
        help="The folder for the files, which is made; or s3://bucket/prefix, gs://... or az://...",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist and differ.")]

geometry_option: Any = option(
    "GEOJSON",
    "The area: a GeoJSON file, GeoJSON, - for standard input, or pl:features/...",
    "--geometry",
    "--geom",
)
Geometry = Annotated[str | None, geometry_option]
SOURCE = "A JSON file, JSON, or - for standard input."
JsonFilter = Annotated[str | None, option("JSON", f"As `data filter` prints it. {SOURCE}", "--filter")]
REQUESTS = "JSON files with one or more requests, the JSON itself, or - for standard input."
Requests = Annotated[list[str], typer.Argument(metavar="REQUEST.json", help=REQUESTS)]
ChangesFile = Annotated[
    str,
    typer.Argument(
        metavar="CHANGES.json", help="The fields to change: a JSON file, JSON, or - for standard input."
    ),
]
