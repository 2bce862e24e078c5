"""Options and arguments that several commands have."""

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from planet_async.downloads.part_file import Folder as FolderOfFiles
from planet_async.errors import InvalidRequest
from planet_async.jobs.ledger import is_address
from planet_async.models.base import OpenEnum
from planet_async.services._query import destination


def _destination(text: str) -> str:
    """Return a folder or the address of an object store, or end the command where it cannot be either."""
    try:
        found = destination("--to", text)
    except InvalidRequest as error:
        raise typer.BadParameter(str(error)) from None
    if isinstance(found, FolderOfFiles):
        _folder(Path(text))
    return text


def option(metavar: str, text: str, *names: str, complete: Callable[[str], list[str]] | None = None) -> Any:
    """Make an option with a value: how that is called, and what the option is for."""
    return typer.Option(*names, metavar=metavar, help=text, autocompletion=complete)


def choice(metavar: str, text: str, *choices: str, name: str = "", default: str = "", more: str = "") -> Any:
    """Make an option that takes one of some words; `text` stands before their list, and `more` behind."""
    listed = [f"{word} (the default)" if word == default else word for word in choices]

    def check(value: str) -> str:
        if value not in choices:
            raise typer.BadParameter(f"expected {alternatives(choices)}, not {value!r}")
        return value

    return typer.Option(
        *([name] if name else []),
        metavar=metavar,
        callback=_each(check),
        autocompletion=_completion(choices),
        help=f"{text}{alternatives(listed)}.{more}",
    )


def alternatives(words: Sequence[str]) -> str:
    """Return words as a sentence lists them: scenes, basemaps or all."""
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _completion(words: Sequence[str]) -> Callable[[str], list[str]]:
    return lambda incomplete: [word for word in words if word.startswith(incomplete)]


def words(text: str, name: str) -> list[str]:
    """Return the words of a list with commas, or end the command if one is empty."""
    found = [word.strip() for word in text.split(",")]
    if not all(found):
        raise typer.BadParameter(f"{name}: expected a word, or several with commas between, not {text!r}")
    return found


_AGO = re.compile(r"(\d{1,6})([hdw])")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_OPEN = ".."
_UNITS = {"h": "hours", "d": "days", "w": "weeks"}


def moment(text: str, *, is_end: bool = False) -> str:
    """Return a time as the API writes it: of a day its beginning or end in UTC, of 7d so long ago."""
    if ago := _AGO.fullmatch(text):
        span = timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        with suppress(OverflowError):
            return f"{datetime.now(UTC) - span:%Y-%m-%dT%H:%M:%SZ}"
    if _DAY.fullmatch(text):
        with suppress(ValueError, OverflowError):
            return f"{date.fromisoformat(text) + timedelta(days=is_end)}T00:00:00Z"
    with suppress(ValueError):
        if datetime.fromisoformat(text).tzinfo is not None:
            return text
    raise typer.BadParameter(
        f"expected a day (2026-01-31), 7d for a week ago, or a time with its zone (2026-01-31T12:00:00Z), "
        f"not {text!r}"
    )


def _period(text: str) -> str:
    """Return an interval as the API writes it; an instant is one only for the API."""
    start, slash, end = text.partition("/")
    if _AGO.fullmatch(text):
        start, slash, end = text, "/", _OPEN
    elif _DAY.fullmatch(text):
        start, slash, end = text, "/", text
    if not slash:
        return moment(text)
    first = start if start in {"", _OPEN} else moment(start)
    last = end if end in {"", _OPEN} else moment(end, is_end=True)
    return f"{first or _OPEN}/{last or _OPEN}"


def ends(period: str | None, name: str) -> tuple[str | None, str | None]:
    """Return the start and the end of an interval, None where it is open, or end the command."""
    if period is None:
        return None, None
    start, slash, end = period.partition("/")
    if not slash:
        raise typer.BadParameter(f"{name}: expected a day, 7d or START/END, not {period!r}")
    return (None if start == _OPEN else start), (None if end == _OPEN else end)


def time_option(text: str, *names: str) -> Any:
    """Make the option of a time."""
    return typer.Option(*names, metavar="TIME", help=text, callback=_each(moment))


def day_option(text: str) -> Any:
    """Make the option of a day."""
    return typer.Option(
        metavar="DAY",
        help=text,
        callback=_each(lambda value: moment(value).partition("T")[0] if _AGO.fullmatch(value) else value),
    )


def period_option(text: str, *names: str) -> Any:
    """Make the option of a filter by time: an interval."""
    return typer.Option(*names, metavar="PERIOD", help=text, callback=_each(_period))


def _each(change: Callable[[str], str]) -> Callable[[Any], Any]:
    """Return a callback that changes each value of an option."""

    def call(value: str | list[str] | None) -> str | list[str] | None:
        return [change(each) for each in value] if isinstance(value, list) else value and change(value)

    return call


SortStyle = Literal["-FIELD", "FIELD DESC", "FIELD desc"]
"""How an API writes that a field is sorted in descending order."""


def sort_option(style: SortStyle, *fields: str, more: str = "") -> Any:
    """Make the option of an order; of whichever API, both ``-FIELD`` and ``FIELD desc`` reverse it.

    Where all `fields` that the API sorts by are known, others are refused.
    """

    def write(value: str) -> str:
        return ",".join(write_one(part.strip()) for part in value.split(","))

    def write_one(part: str) -> str:
        field, _, word = part.removeprefix("-").partition(" ")
        direction = word.strip().lower()
        if (fields and field not in fields) or direction not in {"", "asc", "desc"}:
            raise typer.BadParameter(
                f"expected {alternatives(fields or ('FIELD',))}, or -FIELD, not {part!r}"
            )
        is_reversed = part.startswith("-") or direction == "desc"
        if style == "-FIELD":
            return f"-{field}" if is_reversed else field
        ascending = f"{field} asc" if style == "FIELD desc" else field
        return f"{field}{style.removeprefix('FIELD')}" if is_reversed else ascending

    return typer.Option(
        "--sort",
        metavar="FIELD",
        callback=_each(write),
        autocompletion=_completion([*fields, *(f"-{field}" for field in fields)]),
        help=f"Sort by {alternatives(fields) if fields else 'this field'}; -FIELD reverses.{more}",
    )


def state_option(text: str, states: type[OpenEnum], *, more: str = " Repeatable.") -> Any:
    """Make the option of a filter by state."""
    known = ", ".join(str(word) for word in states)
    return typer.Option("--state", metavar="STATE", case_sensitive=False, help=f"{text}: {known}.{more}")


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
ALIASES: Mapping[str, tuple[str, ...]] = {
    "--json": ("--format", "json"),
    "--csv": ("--format", "csv"),
    "-q": ("--format", "ids"),
    "--status": ("--state",),
    "--created-on": ("--created",),
    "--last-modified": ("--updated",),
    "--sort-by": ("--sort",),
    "--ordering": ("--sort",),
    "--directory": ("--to",),
    "--geom": ("--geometry",),
    "--cloudconfig": ("--delivery",),
    "--acquired_gt": ("--acquired-gt",),
    "--acquired_lt": ("--acquired-lt",),
    "--summary": ("--count",),
    "--supports-reservation": ("--reservable",),
}
"""Options by the names that the APIs and Planet's own command have for them, and short ones."""
INTERVAL = "2026-01-31 (in UTC), 7d (or h, w: until now), or START/END, where .. is open."
HERE = Path()
Name = Annotated[str | None, option("NAME", "With exactly this name.")]
NameContains = Annotated[str | None, option("TEXT", "With this text in the name.")]
Limit = Annotated[
    int | None,
    typer.Option(
        min=0, metavar="N", help="At most N; 0 for all. By default a table has 100, and other formats all."
    ),
]
_FETCH = "Fetch so many with each request."
_page_size = typer.Option(min=1, metavar="N", help=_FETCH)
PageSize = Annotated[int, _page_size]
SubscriptionsPageSize = Annotated[int, typer.Option(min=1, max=10_000, metavar="N", help=_FETCH)]
AnyPageSize = Annotated[int | None, _page_size]  # by default what the API chooses
UserId = Annotated[str | None, option("ID", "Of this user, or of all (for administrators).")]
DestinationRef = Annotated[str | None, option("REF", "Delivered to this destination: pl:destinations/...")]
Hosting = Annotated[bool | None, typer.Option("--hosting/--no-hosting", help="Hosted by Planet, or not.")]
Host = Annotated[str | None, choice("HOST", "Have it hosted by Planet: ", "sentinel_hub", name="--hosting")]
CollectionId = Annotated[str | None, option("ID", "Host in this collection instead of a new one.")]
CreateConfiguration = Annotated[
    bool, typer.Option("--create-configuration", help="Make a configuration for the new collection.")
]
REPEATABLE = " Repeatable."
Sort = Annotated[str | None, sort_option("-FIELD")]
Ordering = Annotated[list[str] | None, sort_option("-FIELD", more=REPEATABLE)]
SortOrders = Annotated[
    list[str] | None,
    sort_option("FIELD DESC", "name", "created_on", "state", "last_modified", more=REPEATABLE),
]
SortSubscriptions = Annotated[
    list[str] | None,
    sort_option("FIELD DESC", "name", "created", "updated", "start_time", "end_time", more=REPEATABLE),
]
SortItems = Annotated[str | None, sort_option("FIELD desc", "published", "acquired")]
Timeout = Annotated[
    float | None, typer.Option(min=0, metavar="SECONDS", help="Stop waiting after so long; 0 checks once.")
]


def _ledger(text: str) -> str:
    """Return the path or the address of a ledger, or end the command where it can be neither."""
    if is_address(text):
        return text
    if "://" in text:  # it may hold a password, and is not shown
        raise typer.BadParameter("expected a file, or an address like postgresql://host/database")
    if Path(text).is_dir():
        raise typer.BadParameter(f"{text} is a directory")
    return text


def _present_ledger(text: str) -> str:
    if not is_address(_ledger(text)) and not Path(text).exists():
        raise typer.BadParameter(f"{text} does not exist")
    return text


_LEDGER = "a file, or postgresql://host/database (its password in PGPASSWORD, which `ps` does not show)"
Ledger = Annotated[
    str | None,
    typer.Option(
        "--ledger",
        metavar="LEDGER",
        parser=_ledger,
        help=f"Record there what became of each order, and resume from it: {_LEDGER}.",
    ),
]
FilledLedger = Annotated[
    str,
    typer.Option("--ledger", metavar="LEDGER", parser=_present_ledger, help=f"The ledger: {_LEDGER}."),
]
PresentLedger = Annotated[
    str, typer.Argument(metavar="LEDGER", parser=_present_ledger, help=f"The ledger: {_LEDGER}.")
]
OtherLedger = Annotated[
    str | None,
    typer.Option(
        "--to", metavar="LEDGER", parser=_ledger, help="Enter them into this other ledger; it may be new."
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before --all.")]


def _folder(path: Path | None) -> Path | None:
    """Return the folder, or end the command where no file can be put there."""
    if path is not None:
        parent = next(each for each in (path, *path.parents) if each.exists())
        if not parent.is_dir():
            raise typer.BadParameter(f"{parent} is a file")
        if not os.access(parent, os.W_OK):
            raise typer.BadParameter(f"{parent} cannot be written to")
    return path


def folder_option(text: str) -> Any:
    """Make the option of a folder for files."""
    return typer.Option("--to", metavar="DIR", callback=_folder, show_default=False, help=text)


Folder = Annotated[Path, folder_option("The folder for the files, here by default; it is made.")]
Destination = Annotated[
    str,
    typer.Option(
        "--to",
        metavar="DIR",
        parser=_destination,
        show_default=False,
        help="The folder for the files, here by default; or s3://bucket/prefix, gs://... or az://...",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist and differ.")]

geometry_option: Any = option(
    "GEOJSON",
    "The area: a GeoJSON file, GeoJSON, - for standard input, or pl:features/...",
    "--geometry",
)
Geometry = Annotated[str | None, geometry_option]
SOURCE = "A JSON file, JSON, or - for standard input."
JsonFilter = Annotated[str | None, option("JSON", f"As `data filter` prints it. {SOURCE}", "--filter")]
REQUESTS = "JSON files with one or more requests, folders of them, the JSON itself, or - for standard input."
Requests = Annotated[list[str], typer.Argument(metavar="REQUEST.json", help=REQUESTS)]
ChangesFile = Annotated[
    str,
    typer.Argument(
        metavar="CHANGES.json", help="The fields to change: a JSON file, JSON, or - for standard input."
    ),
]
