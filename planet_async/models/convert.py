"""Between bytes and records: `decode` for what the API answers, `checked_body` for what it is sent.

msgspec decodes an answer straight into the slots of its class.  What it refuses gets a second look, field by
field (`planet_async.models.structure`), since one odd field must not cost the caller an order.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, Protocol, TypeVar

import msgspec

from planet_async.errors import DecodeError, InvalidRequest
from planet_async.http import Request
from planet_async.models.geometry import unwrap_geometries
from planet_async.models.parse import REFUSALS, discreet, kind, parsed_object
from planet_async.models.plain import encoded, to_json, to_mapping
from planet_async.models.resource import Resource
from planet_async.models.structure import ZERO_TIME, converter, problems

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_set = object.__setattr__

__all__ = ["checked_body", "decode", "decode_part", "decoder", "from_mapping", "to_json", "to_mapping"]


def decode(
    cls: type[T],
    data: bytes | msgspec.Raw,
    *,
    request: Request | None = None,
    where: str = "$",
    content_type: str = "",
) -> T:
    """Decode the bytes of one JSON object to a record of what the API answers.

    A field that is null or of another type than documented counts as not given, unless the record is of no
    use without it: then, and where the text is no JSON object, a DecodeError says what is wrong `where`, and
    of which `content_type` it was.
    """
    return decoder(cls)(data, request, where, content_type)


class Decode(Protocol[T_co]):
    """Decodes as `decode` does, to records of one class."""

    def __call__(
        self,
        data: bytes | msgspec.Raw,
        request: Request | None = None,
        where: str = "$",
        content_type: str = "",
    ) -> T_co:
        """Decode one."""
        ...


def decoder(cls: type[T]) -> Decode[T]:
    """Give what decodes to that class, to be made once for many."""
    made: Decode[T] = _decoder(cls)  # type: ignore[arg-type]  # a class is hashable
    return made


@cache
def _decoder(cls: type[Any]) -> Decode[Any]:
    fast, keeps_json = msgspec.json.Decoder(cls).decode, issubclass(cls, Resource)

    def decode_one(
        data: bytes | msgspec.Raw, request: Request | None = None, where: str = "$", content_type: str = ""
    ) -> Any:
        # A copy of the slice, lest one order kept keep the whole page.
        json = bytes(data)
        try:
            found = fast(json)
        except REFUSALS:
            return _second_look(cls, json, request, where, content_type)
        if ZERO_TIME in json:
            return _second_look(cls, json, request, where)
        if keeps_json:
            _set(found, "_json", json)
        return found

    return decode_one


def decode_part(cls: type[T], part: object, *, where: str = "$") -> T:
    """Decode a part of what has been decoded into plain values."""
    try:
        json = msgspec.json.encode(part)
    except RecursionError:
        raise DecodeError(f"`{where}` is nested too deeply") from None
    return decode(cls, json, where=where)


def _second_look(cls: type[T], json: bytes, request: Request | None, where: str, content_type: str = "") -> T:
    parsed = parsed_object(json, request=request, where=where, content_type=content_type)
    try:
        found = converter.structure(parsed, cls)
    except Exception as error:  # noqa: BLE001 - a group of whatever the fields met
        wrong = "; ".join(
            f"`{path}` is missing" if problem == "missing" else f"`{path}`: {problem}"
            for path, problem in problems(error, where)
        )
        keys = ", ".join(discreet(key)[:24] for key in list(parsed)[:6])  # a key may be anything
        raise DecodeError(f"{wrong} (what came has: {keys or 'no fields'})", request=request) from None
    if isinstance(found, Resource):
        _set(found, "_json", json)
        _set(found, "_parsed", parsed)
    return found


def from_mapping(cls: type[T], mapping: Mapping[str, Any], *, where: str = "") -> T:
    """Check a user's mapping and make the request model of it; InvalidRequest lists all that is wrong.

    `where` names the document, such as a file, and begins the message.
    """
    return _checked(cls, _body(mapping), where)


def _body(request: object) -> dict[str, Any]:
    body = to_mapping(request)
    unwrap_geometries(body)
    return body


def _checked(cls: type[T], body: Mapping[str, Any], where: str) -> T:
    try:
        return converter.structure(body, cls)
    except Exception as error:  # noqa: BLE001 - a group of whatever the fields met
        wrong = "; ".join(f"{path}: {problem}" for path, problem in problems(error))
    raise InvalidRequest(f"{where}: {wrong}" if where else wrong)


def checked_body(cls: type[T], request: T | Mapping[str, Any], *, where: str = "") -> bytes:
    """Check a request model or a plain mapping, and give the JSON to send.

    A mapping is sent as it is, fields unknown here included; only what the API wants always
    (`cls.always_sent`) is added, and a geometry is taken out of the Feature around it.
    """
    if not isinstance(request, cls | Mapping):
        raise InvalidRequest(f"expected {cls.__name__} or a mapping, got {kind(request)}")
    body = _body(request)
    model = _checked(cls, body, where)
    for name in getattr(cls, "always_sent", ()):
        if body.get(name) is None:
            body[name] = getattr(model, name)
    return encoded(body)
