"""Between JSON and records: `decode` for what the API answers, `checked_body` for what it is sent.

Responses are decoded twice at most.  The fast path is msgspec's: from bytes straight into the slots of the
record.  What msgspec refuses is read once more, field by field, since one odd field must not cost the caller
an order: an optional field that does not fit counts as not given.

A user's mapping is read field by field as well, but nothing in it is overlooked.  Either way nothing is
converted silently (a number is no text), and all that is wrong is reported at once, each with its path.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from enum import Enum
from functools import cache, partial
from math import isfinite
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin
from uuid import UUID

import attrs
import msgspec

from planet_async.errors import DecodeError, InvalidRequest
from planet_async.http import Request
from planet_async.models.base import Named, RequestModel, Resource
from planet_async.models.geometry import to_geojson, unwrap_geometries
from planet_async.models.json import DECODE_ERRORS, kind, parsed_object
from planet_async.redaction import is_secret, without_tokens

T = TypeVar("T")
Reader = Callable[[object], Any]
"""Returns what a JSON value stands for; raises Mismatch."""

_MISSING = "missing"
_ZERO_TIME = b'"0001-01-01T00:00:00'  # all of it: the longer, the faster it is found
_ZERO_YEAR = 1
_PLAIN = (str, int, bool, type(None))

_set = object.__setattr__


# --- What is wrong, and where


@attrs.frozen
class Problem:
    """What is wrong with a JSON value, at a path below it; `got` says what came, unless that is a secret."""

    path: str
    what: str
    got: str = ""


class Mismatch(Exception):
    """A JSON value that does not fit its type."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(problems)
        self.problems = problems

    def below(self, path: str, *, secret: bool = False) -> list[Problem]:
        """Return the problems as those of the part at that path."""
        return [
            attrs.evolve(problem, path=path + problem.path, got="" if secret else problem.got)
            for problem in self.problems
        ]


def unexpected(expected: str, value: object, path: str = "") -> Mismatch:
    """Return the error for a value of another kind than expected."""
    return Mismatch([Problem(path, f"expected {expected}", f", got {kind(value)}")])


class Problems(list[Problem]):
    """Collects what is wrong with the parts of a value."""

    def read(self, value: object, cls: Any, path: str = "") -> Any:
        """Return the part at `path` as that type; None where it does not fit."""
        try:
            return read(value, cls)
        except Mismatch as error:
            self.extend(error.below(path))
            return None

    def check(self) -> None:
        """Raise Mismatch where anything was wrong."""
        if self:
            raise Mismatch(self)


# --- From JSON values to records, field by field


@attrs.frozen
class ReadBy:
    """Says in a type's annotation what reads it: ``Annotated[Tool, ReadBy(read_tool)]``.

    It is needed where a record is not written as the object of its fields.
    """

    reader: Reader


def read(value: object, cls: Any) -> Any:
    """Return a JSON value as that type; raise Mismatch with all that is wrong where it does not fit."""
    return _reader(cls)(value)


@cache
def _reader(cls: Any) -> Reader:  # noqa: PLR0911 - one line for each kind of type
    origin, arguments = get_origin(cls), get_args(cls)
    if origin is Annotated:
        notes = (note.reader for note in arguments if isinstance(note, ReadBy))
        return next(notes, None) or _reader(arguments[0])
    if origin in {Union, UnionType}:
        # `X | None`, `Model | Mapping`, or both: a mapping is checked as the model is.
        first = _reader(arguments[0])
        return partial(_optional, first) if type(None) in arguments else first
    if origin is tuple:
        return partial(_items, _reader(arguments[0]))
    if origin is Mapping:
        return read_mapping
    if attrs.has(cls):
        return _record_reader(cls)
    if issubclass(cls, Enum):
        return partial(_word, cls)
    return partial(_scalar, *_SCALARS[cls])


def read_mapping(value: object) -> Mapping[str, Any]:
    """Return a JSON object as it is."""
    if not isinstance(value, Mapping):
        raise unexpected("an object", value)
    return value


_SCALARS: Mapping[type, tuple[str, tuple[type, ...]]] = {
    str: ("a text", (str,)),
    bool: ("true or false", (bool,)),
    int: ("a whole number", (int,)),
    float: ("a number", (int, float)),
}


def _scalar(expected: str, types: tuple[type, ...], value: object) -> object:
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        raise unexpected(expected, value)
    return value


def _word(cls: type[Enum], value: object) -> Enum:
    try:
        return cls(_scalar("a text", (str,), value))
    except ValueError:
        raise unexpected("one of its words", value) from None


def _optional(reader: Reader, value: object) -> object:
    return None if value is None else reader(value)


def _items(reader: Reader, value: object) -> tuple[object, ...]:
    if not isinstance(value, list | tuple):
        raise unexpected("a list", value)
    found, wrong = [], Problems()
    for index, item in enumerate(value):
        try:
            found.append(reader(item))
        except Mismatch as error:
            wrong += error.below(f"[{index}]")
    wrong.check()
    return tuple(found)


def _record_reader(cls: type[Any]) -> Reader:
    fields = [(field, _reader(field.type)) for field in attrs.fields(cls)]
    is_response = issubclass(cls, Resource)

    def read_record(value: object) -> object:
        given, found, wrong = read_mapping(value), {}, Problems()
        for field, reader in fields:
            path, is_optional = f".{field.name}", field.default is not attrs.NOTHING
            if field.name not in given:
                if not is_optional:
                    wrong.append(Problem(path, _MISSING))
                continue
            try:
                found[field.name] = reader(given[field.name])
            except Mismatch as error:
                # Planet may change what nobody needs: an optional field that does not fit is not given.
                if not (is_response and is_optional):
                    wrong += error.below(path, secret=is_secret(field))
        wrong.check()
        try:
            return cls(**found)
        except InvalidRequest as error:
            # A record refuses its own values with a message that begins with ``Class.field: ``.
            field_path, _, what = str(error).partition(": ")
            raise Mismatch([Problem(f".{field_path.partition('.')[2]}", what)]) from None

    return read_record


def _non_empty(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise unexpected("a text of at least one character", value)
    return value


def _timestamp(value: object) -> datetime | None:
    try:
        found = msgspec.convert(value, datetime)
    except msgspec.ValidationError:
        raise unexpected("a time like 2026-05-01T09:58:21Z", value) from None
    if found.year == _ZERO_YEAR:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


NonEmpty = Annotated[str, msgspec.Meta(min_length=1), ReadBy(_non_empty)]
"""A text of at least one character."""

Timestamp = Annotated[datetime, msgspec.Meta(tz=True), ReadBy(_timestamp)]
"""A time with its zone.  Go's zero time stands for no time at all, and becomes None."""


# --- Records that are written with the name of their kind


def named(known: Mapping[str, type]) -> ReadBy:
    """Read ``{"name": {...}}`` as the record of that name; one that is not known here stays as it is."""

    def read_named(value: object) -> object:
        given = read_mapping(value)
        if len(given) != 1 or known.keys().isdisjoint(given):
            return given
        ((name, inside),) = given.items()
        wrong = Problems()
        found = wrong.read(inside, known[name], f".{name}")
        wrong.check()
        return found

    return ReadBy(read_named)


def typed(known: Mapping[str, type]) -> ReadBy:
    """Read ``{"type": "clip", "parameters": {...}}`` as the record of that type; others stay as they are.

    So the Subscriptions API writes what the Orders API writes as ``{"clip": {...}}``.
    """

    def read_typed(value: object) -> object:
        given, wrong = read_mapping(value), Problems()
        name, parameters = given.get("type"), given.get("parameters", {})
        if not isinstance(name, str) or not name:
            wrong += unexpected("a text, the name of its kind", name, ".type").problems
        if not isinstance(parameters, Mapping):
            wrong += unexpected("an object", parameters, ".parameters").problems
        elif isinstance(name, str) and name in known:
            given = wrong.read(parameters, known[name], ".parameters")
        wrong.check()
        return given

    return ReadBy(read_typed)


def as_typed(record: Named) -> dict[str, object]:
    """Write a record as its type and parameters."""
    return {"type": record.block, "parameters": record.set_fields()}


def type_of(value: object) -> str:
    """Return the type of a record or of a mapping; an empty text where it has none."""
    found: Any = value.get("type") if isinstance(value, Mapping) else getattr(value, "block", "")
    return found if isinstance(found, str) else ""


# --- Responses


def decode(
    cls: type[T],
    data: bytes | msgspec.Raw,
    *,
    request: Request | None = None,
    where: str = "$",
    content_type: str = "",
) -> T:
    """Decode one JSON object of a response.

    A field that is null or of another type than documented counts as not given, unless the record is of no
    use without it.

    Raises:
        DecodeError: the text is no JSON object, or a required field is missing or does not fit.  It says
            what is wrong `where`, and of which `content_type` the response was.
    """
    # A copy of the slice: one order that is kept does not keep the whole page.
    json, found = bytes(data), None
    try:  # noqa: SIM105 - suppress() takes half as long as all of the decoding
        found = _fast_path(cls)(json)  # type: ignore[arg-type]  # a class is hashable
    except DECODE_ERRORS:
        pass  # the second look says what is wrong, if anything is
    if found is None or _ZERO_TIME in json:
        return _second_look(cls, json, request, where, content_type)
    if isinstance(found, Resource):
        _set(found, "_json", json)
    return found  # type: ignore[no-any-return]  # the decoder is one of that class


@cache
def _fast_path(cls: Any) -> Callable[[bytes], Any]:
    return msgspec.json.Decoder(cls).decode


def decode_part(cls: type[T], part: object, *, where: str = "$") -> T:
    """Decode a part of what has been decoded into plain values."""
    try:
        json = msgspec.json.encode(part)
    except RecursionError:
        raise DecodeError(f"`{where}` is nested too deeply") from None
    return decode(cls, json, where=where)


def _second_look(cls: type[T], json: bytes, request: Request | None, where: str, content_type: str) -> T:
    parsed = parsed_object(json, request=request, where=where, content_type=content_type)
    problems = Problems()
    found = problems.read(parsed, cls)
    if problems:
        # Raised here, outside of all handlers: the chain of the error has no text of the server.
        wrong = "; ".join(
            f"`{where}{problem.path}`"
            + (" is missing" if problem.what == _MISSING else f": {problem.what}{problem.got}")
            for problem in problems
        )
        keys = ", ".join(without_tokens(key)[:24] for key in list(parsed)[:6])  # a key may be anything
        raise DecodeError(f"{wrong} (what came has: {keys or 'no fields'})", request=request)
    if isinstance(found, Resource):
        _set(found, "_json", json)
        _set(found, "_parsed", parsed)
    return found  # type: ignore[no-any-return]  # that is what it reads


# --- Requests


def checked_body(cls: type[T], request: T | Mapping[str, Any], *, where: str = "") -> bytes:
    """Check a request, record or plain mapping, and return the JSON to send.

    A mapping is sent as it is, fields unknown here included; only what the API always wants
    (`cls.always_sent`) is added, and a geometry is taken out of the Feature around it.

    Args:
        cls: The class of the request.
        request: A record of that class, or a mapping with the API's own names.
        where: What the request is from, such as a file; the message of the error begins with it.

    Raises:
        InvalidRequest: the API would refuse it; the message lists all that is wrong.
    """
    if not isinstance(request, cls | Mapping):
        raise InvalidRequest(f"expected {cls.__name__} or a mapping, got {kind(request)}")
    body = _body(request)
    model = _checked(cls, body, where)
    for name in getattr(cls, "always_sent", ()):
        if body.get(name) is None:
            body[name] = getattr(model, name)
    return _encoded(body)


def from_mapping(cls: type[T], mapping: Mapping[str, Any], *, where: str = "") -> T:
    """Check a user's mapping and return it as a request record; as in `checked_body`."""
    return _checked(cls, _body(mapping), where)


def _body(request: object) -> dict[str, Any]:
    body = to_mapping(request)
    unwrap_geometries(body)
    return body


def _checked(cls: type[T], body: Mapping[str, Any], where: str) -> T:
    problems = Problems()
    found = problems.read(body, cls)
    if problems:
        wrong = "; ".join(f"${problem.path}: {problem.what}{problem.got}" for problem in problems)
        raise InvalidRequest(f"{where}: {wrong}" if where else wrong)
    return found  # type: ignore[no-any-return]  # that is what it reads


# --- From records to JSON


def to_json(value: object) -> bytes:
    """Return a record, a mapping, or any mixture of the two as JSON.

    Records may be inside mappings and mappings inside records; geometries may be anything with
    ``__geo_interface__``.  A field of a record that is None is left out.

    Raises:
        InvalidRequest: JSON cannot hold it, or a time has no zone.
    """
    return _encoded(_plain_whole(value))


def to_mapping(value: object) -> dict[str, Any]:
    """Return the object that `to_json` writes, as a dict."""
    found = _plain_whole(value)
    if not isinstance(found, dict):
        raise InvalidRequest(f"expected a mapping, got {kind(value)}")
    return found


def _encoded(plain: object) -> bytes:
    try:
        return msgspec.json.encode(plain)
    except UnicodeEncodeError:
        problem = "a text holds half a character (a lone surrogate), which cannot be sent"
    except ValueError:
        problem = "a number has too many digits to be sent"
    raise InvalidRequest(problem)


def _plain_whole(value: object) -> object:
    try:
        return _plain(value, "$")
    except RecursionError:
        raise InvalidRequest("the request is nested too deeply, or holds itself") from None


def _is_plain(value: object) -> bool:
    cls = type(value)
    return cls in _PLAIN or (cls is float and isfinite(value))  # type: ignore[arg-type]  # the check before says so


def _plain(value: object, path: str) -> object:  # noqa: PLR0911 - one line for each kind of thing
    if _is_plain(value):
        return value
    if isinstance(value, Enum):
        return _plain(value.value, path)
    if isinstance(value, float) and not isfinite(value):
        raise InvalidRequest(f"{path}: expected a number, got {value}")
    for cls in (str, int, float):
        if isinstance(value, cls):  # one of a subclass, such as numpy's
            return cls(value)
    if isinstance(value, list | tuple):
        # Coordinates are many, so no path is put together for them.
        return [
            item if _is_plain(item) else _plain(item, f"{path}[{index}]") for index, item in enumerate(value)
        ]
    if isinstance(value, date):
        return _moment(value, path)
    if isinstance(value, UUID):
        return str(value)
    return {name: _plain(item, f"{path}.{name}") for name, item in _entries(value, path)}


def _entries(value: object, path: str) -> Iterator[tuple[str, object]]:
    """Yield names and values of anything that is an object in JSON."""
    if isinstance(value, RequestModel):
        value = value.to_body()
    elif isinstance(value, Resource):
        value = value.raw
    elif not isinstance(value, Mapping) and hasattr(value, "__geo_interface__"):
        value = to_geojson(value, where=path)
    elif attrs.has(cls := type(value)):
        fields = {field.name: getattr(value, field.name) for field in attrs.fields(cls)}
        value = {name: item for name, item in fields.items() if item is not None}
    if not isinstance(value, Mapping):
        raise InvalidRequest(f"{path}: expected something that JSON can hold, got {kind(value)}")
    for name, item in value.items():
        if not isinstance(name, str):
            raise InvalidRequest(f"{path}: expected texts as names, got {kind(name)}")
        yield str(name), item


def _moment(value: date, path: str) -> str:
    if not isinstance(value, datetime):
        return value.isoformat()
    if value.tzinfo is None:
        raise InvalidRequest(f"{path}: expected a time with its zone, such as datetime.now(UTC)")
    try:
        return value.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"
    except OverflowError:
        raise InvalidRequest(f"{path}: {value} is beyond the years 1 to 9999 in UTC") from None
