"""From bytes to a JSON object, or to a DecodeError that says what came instead."""

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

import msgspec

from planet_async.errors import DecodeError
from planet_async.http import Request
from planet_async.redaction import redact, secrets_in, without_tokens

DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""The exceptions of msgspec for a body that it cannot decode."""

_SHOWN = 80  # characters of a body in an error
_NUMBER_SHOWN = 12
_LARGE = 10**_NUMBER_SHOWN  # Python refuses to write numbers of thousands of digits
_KINDS = {b"[": "a list", b'"': "a text", b"t": "true", b"f": "false", b"n": "null"}
_WRONG_SERVER = "The response is not the API's: a proxy, a network's sign-in page, or a wrong base URL."
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode


def parsed_object(
    data: bytes, *, request: Request | None = None, where: str = "$", content_type: str = ""
) -> dict[str, Any]:
    """Return a JSON object, decoded as a whole; raise DecodeError for anything else."""
    try:
        return _decode_object(data)
    except DECODE_ERRORS as error:
        problem = error
    raise not_an_object(problem, data, request=request, where=where, content_type=content_type)


def not_an_object(
    problem: Exception,
    data: bytes,
    *,
    request: Request | None = None,
    where: str = "$",
    content_type: str = "",
) -> DecodeError:
    """Return the error for what msgspec could not decode as an object."""
    if isinstance(problem, RecursionError):
        what = "it is nested too deeply"
    elif isinstance(problem, msgspec.ValidationError):
        what = f"got {_KINDS.get(data.strip()[:1], 'a number')}"
    else:
        what = str(problem)
    expected = f"`{where}`: expected a JSON object"
    return unreadable(expected, what, data, request=request, content_type=content_type)


def unreadable(
    expected: str, problem: str, data: bytes, *, request: Request | None = None, content_type: str = ""
) -> DecodeError:
    """Return the error for a body of another kind; its hint says what may have sent a web page."""
    begins, text = excerpt(data, request), data.strip()
    message = f"{expected}; {problem}: {begins}" if text else f"{expected}; {begins}"
    if "json" in content_type.lower() or not (content_type or text.startswith(b"<")):
        return DecodeError(message, request=request)
    kind_of_text = content_type.partition(";")[0].strip()[:40]
    came = f" (it came as {kind_of_text!r})" if kind_of_text else ""
    return DecodeError(f"{message}{came}.", request=request, hint=_WRONG_SERVER)


def excerpt(data: bytes, request: Request | None = None) -> str:
    """Return the beginning of a body for an error, without keys, signatures and secrets of the request."""
    text = data[: 4 * _SHOWN].decode(errors="replace")
    text = without_tokens(" ".join(redact(text, secrets_in(request.body if request else None)).split()))
    if not text:
        return "it is empty"
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")


def finite(value: object) -> float | None:
    """Return a number of any kind, such as numpy's or a Decimal, as a plain one; None for anything else."""
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        return None
    if isinstance(value, int):
        return int(value)
    try:
        found = float(value)
    except (ArithmeticError, TypeError, ValueError):
        return None
    return found if isfinite(found) else None


def kind(value: object) -> str:
    """Describe a JSON value in a message; a text is not shown, since it may be a secret."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        text = repr(value) if isinstance(value, float) or abs(value) < _LARGE else "a number"
        return text if len(text) <= _NUMBER_SHOWN else "a number"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, Mapping):
        return "an object"
    return "a list" if isinstance(value, list | tuple) else type(value).__name__


def splitter(*names: str) -> Callable[[bytes], Any]:
    """Return what splits a JSON object into its fields of these names, undecoded; None for what is absent.

    It skips all other fields, so that a hostile body of millions of them costs no memory.
    """
    fields = [(name, msgspec.Raw, None) for name in names]
    return msgspec.json.Decoder(msgspec.defstruct("Parts", fields)).decode
