"""From bytes to a JSON object, or to a `DecodeError` that says what came instead."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from planet_async.errors import DecodeError
from planet_async.http import Request

# What a decoder of msgspec raises for a body that is not what was hoped for.
REFUSALS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_SHOWN = 160  # characters of a body in an error
_QUERY = re.compile(r"\?[^\s\"'<>]*")  # a link to a file holds a token there
_NUMBER_SHOWN = 12


def parsed_object(data: bytes, *, request: Request | None = None, where: str = "$") -> dict[str, Any]:
    """Decode a JSON object whole; anything else is a DecodeError."""
    try:
        found = msgspec.json.decode(data)
    except RecursionError:
        problem = "it is nested too deeply"
    except REFUSALS as error:
        problem = str(error)
    else:
        if isinstance(found, dict):
            return found
        problem = f"got {kind(found)}"
    raise DecodeError(f"`{where}`: expected a JSON object; {problem}: {_start(data)}", request=request)


def _start(data: bytes) -> str:
    text = data[: 4 * _SHOWN].decode(errors="replace")
    text = _QUERY.sub("?...", " ".join(text.split()))
    if not text:
        return "it is empty"
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")


def kind(value: object) -> str:
    """Name what came in a message; texts are not shown, since one may be a secret."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        text = repr(value)
        return text if len(text) <= _NUMBER_SHOWN else "a number"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, Mapping):
        return "an object"
    return "a list" if isinstance(value, list | tuple) else type(value).__name__
