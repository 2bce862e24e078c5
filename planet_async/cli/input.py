"""The input of commands: requests, ids and geometries, from files, standard input or the command line."""

import json
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from attrs import evolve, frozen

from planet_async import InvalidRequest, UnknownKeyWarning
from planet_async.cli.output import clean, print_error, print_json
from planet_async.cli.process import reporting
from planet_async.models.codec import checked_body
from planet_async.models.geometry import to_geojson
from planet_async.models.json import kind
from planet_async.redaction import refuse_redacted
from planet_async.services._query import checked_id

STDIN = "-"
_SUFFIXES = frozenset({".json", ".jsonl", ".geojson"})
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

    A source is a file, a folder of files, ``-`` for standard input, or the JSON itself. It holds one or
    several objects: in an array, or one after the other, as in JSON Lines. Without a `model` any JSON object
    is accepted. The fields of `also` are added to each.
    """
    found: list[InputRequest] = []
    problems: list[Exception] = []
    with reporting():
        for number, source in enumerate(sources, start=1):
            for file in _files_in(source):
                try:
                    found += _requests_in(file, number, model, also)
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


def read_object(source: str | None) -> Mapping[str, Any] | None:
    """Read the JSON object of an option, if that was passed: a file, the JSON itself, or - for stdin."""
    return None if source is None else read_request(source, None).body


def read_objects(source: str | None) -> list[Mapping[str, Any]]:
    """Read the JSON objects of an option; see `read_object`."""
    return [] if source is None else [request.body for request in read_requests([source], None)]


def read_documents(source: str) -> list[Any]:
    """Read the JSON documents of a source, without checking them; there may be none."""
    with reporting():
        file, content = _content(source, 1)
        return [document for _, document in _documents(content, file)]


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
                if not id_.strip():
                    raise InvalidRequest("the id of an item is empty", hint=_NOTHING_SENT)
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
    """Return the ids, each once, or end the command if one is not an id.

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


def id_argument(thing: str, check: Callable[[str], str] = str, *, metavar: str = "ID") -> Any:
    """Make the argument for one id: checked, None where none was passed."""

    def read(value: str | None) -> str | None:
        return read_id(value, check)

    help_ = f"The id of {thing}; - reads it from standard input."
    return typer.Argument(metavar=metavar, callback=read, help=help_)


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


def number_of(what: str) -> Callable[[str], str]:
    """Return the check for ids that are numbers."""

    def check(value: str) -> str:
        if not (value.isascii() and value.isdigit()):
            raise InvalidRequest(f"{value!r} is no {what} id: a number was expected; nothing was sent")
        return value

    return check


def _files_in(source: str) -> list[str]:
    """Return the files of JSON in a folder, sorted by name; and what is no such folder as it is."""
    if not source:  # not the folder that the command runs in
        return [source]
    try:
        found = sorted(Path(source).iterdir())
    except (OSError, ValueError):  # no folder, or no path at all
        return [source]
    return [str(file) for file in found if file.suffix in _SUFFIXES] or [source]


def _requests_in(
    source: str, number: int, model: type[Any] | None, also: Mapping[str, Any] | None
) -> list[InputRequest]:
    file, content = _content(source, number)
    documents = list(_documents(content, file))
    if not documents:
        raise _wrong(file, "holds no request" if content.strip() else "is empty")
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


def _content(source: str, number: int) -> tuple[str, bytes]:
    """Return what a source is called, and what it holds."""
    inline = source.strip()
    if inline.startswith("{") or (inline.startswith("[") and inline.endswith("]")):
        return f"argument {number}", source.encode(errors="surrogateescape")
    file = "standard input" if source == STDIN else source
    return file, _read(source, file)


def _read(source: str, where: str) -> bytes:
    if source == STDIN and sys.stdin is not None and sys.stdin.closed:
        raise InvalidRequest("standard input (-) can be read only once", hint=_NOTHING_SENT)
    try:
        return _read_stdin() if source == STDIN else Path(source).read_bytes()
    except IsADirectoryError:
        raise _wrong(where, "is a folder without files of JSON (.json, .jsonl, .geojson)") from None
    except OSError as error:
        raise _wrong(where, f"cannot be read: {error.strerror or error}") from None
    except ValueError:
        raise _wrong(where, "cannot be read: no file can have that name") from None


def _read_stdin() -> bytes:
    if sys.stdin is None:
        return b""
    with sys.stdin as stdin:  # which closes it: it can be read only once
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
        if not isinstance(found, str | int):
            raise _wrong(f"standard input:{line}", "there is no id")
        yield record, str(found)


def _wrong(where: str, problem: str) -> InvalidRequest:
    return InvalidRequest(f"{where}: {problem}", hint=_NOTHING_SENT)


def print_request(model: type[Any], body: Mapping[str, Any]) -> None:
    """Print a request that was made from options, or end the command where the API would refuse it."""
    with reporting():
        request, texts = _checked(dict(body), "the request", model)
    for text in texts:
        print_error(text)
    print_json(request)
