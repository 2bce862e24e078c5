"""From bytes to a JSON object, or to a DecodeError that says what came instead."""

from collections.abc import Mapping
from typing import Any

import msgspec

from planet_async.errors import DecodeError
from planet_async.http import Request
from planet_async.redaction import redact, secrets_in, without_tokens

DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What a decoder of msgspec raises for a body that it cannot decode."""

_SHOWN = 80  # characters of a body in an error
_NUMBER_SHOWN = 12
_LARGE = 10**_NUMBER_SHOWN  # Python refuses to write numbers of thousands of digits
_WRONG_SERVER = (
    "Something else than the API answered: a proxy, a network's sign-in page, or a wrong base URL."
)


def parsed_object(
    data: bytes, *, request: Request | None = None, where: str = "$", content_type: str = ""
) -> dict[str, Any]:
    """Return a JSON object, decoded as a whole; raise DecodeError for anything else."""
    try:
        found = msgspec.json.decode(data)
    except RecursionError:
        problem = "it is nested too deeply"
    except DECODE_ERRORS as error:
        problem = str(error)
    else:
        if isinstance(found, dict):
            return found
        problem = f"got {kind(found)}"
    expected = f"`{where}`: expected a JSON object"
    raise unreadable(expected, problem, data, request=request, content_type=content_type)


def unreadable(
    expected: str, problem: str, data: bytes, *, request: Request | None = None, content_type: str = ""
) -> DecodeError:
    """Return the error for a body of another kind; its hint says so where it is a web page."""
    begins, text = excerpt(data, request), data.strip()
    message = f"{expected}; {problem}: {begins}" if text else f"{expected}; {begins}"
    if "json" in content_type.lower() or not (content_type or text.startswith(b"<")):
        return DecodeError(message, request=request)
    kind_of_text = content_type.partition(";")[0].strip()[:40]
    came = f" (it came as {kind_of_text!r})" if kind_of_text else ""
    return DecodeError(f"{message}{came}.", request=request, hint=_WRONG_SERVER)


def excerpt(data: bytes, request: Request | None = None) -> str:
    """Return the beginning of a body as an error may quote it: without what may be a key or a signature.

    The secrets in the body of the `request` are not shown either, even one as short as a word.
    """
    text = data[: 4 * _SHOWN].decode(errors="replace")
    text = without_tokens(" ".join(redact(text, secrets_in(request.body if request else None)).split()))
    if not text:
        return "it is empty"
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")


def kind(value: object) -> str:
    """Describe a JSON value in a message; a text is not shown, since it may be a secret."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        text = repr(value) if abs(value) < _LARGE else "a number"
        return text if len(text) <= _NUMBER_SHOWN else "a number"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, Mapping):
        return "an object"
    return "a list" if isinstance(value, list | tuple) else type(value).__name__
