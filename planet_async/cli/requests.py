"""Request files: read and checked as a whole before anything is sent."""

import json
import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import attrs
from attrs import frozen

from planet_async import InvalidRequest, OrderRequest
from planet_async.cli.run import complain
from planet_async.models.codec import checked_body
from planet_async.models.json import kind

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
        _tell_of_strangers(request, model)
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


def _tell_of_strangers(request: RequestFile, model: type[Any] | None) -> None:
    """Say which fields may be misspelt; the API may know more of them than this version does."""
    known = [field.name for field in attrs.fields(model)] if model is not None else list(request.body)
    for key in sorted(request.body.keys() - known):
        alike = "".join(f" (`{name}`?)" for name in get_close_matches(key, known, n=1))
        complain(f"{request.source}: `{key}` is no field known here{alike}; it is sent as it is")


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
