"""Between JSON and records: `decode` for responses, `checked_body` for requests.

A response is decoded by msgspec, from bytes straight into the slots of the record.  What msgspec refuses is
decoded once more, field by field, since one odd field must not cost the caller an order: an optional field
that does not fit counts as not given.

A request, record or mapping, is checked field by field.  Nothing is converted silently (a number is not a
text), and all that is wrong is reported at once, each with its path.
"""

import re
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, date, datetime
from difflib import get_close_matches
from enum import Enum
from functools import cache, partial
from math import isfinite
from pathlib import PurePath
from types import UnionType
from typing import (
    Annotated,
    Any,
    ClassVar,
    Protocol,
    TypeGuard,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    runtime_checkable,
)
from uuid import UUID

import attrs
import msgspec

from planet_async.errors import DecodeError, InvalidRequest, UnknownKeyWarning
from planet_async.http import Request, SecretBytes
from planet_async.models.geometry import GEOMETRY_NAMES, to_geojson, unwrapped
from planet_async.models.json import DECODE_ERRORS, finite, kind, not_an_object, splitter
from planet_async.redaction import REDACTED, is_secret, refuse_redacted, without_tokens

T = TypeVar("T")
M = TypeVar("M", bound="Readable")

_ZERO_TIME = b'"0001-01-01T00:00:00'  # all of it: the longer, the faster it is found
_ZERO_YEAR = 1
_DAY_CHARACTERS = 10
_MOST_SHOWN = 10_000  # bytes of a body whose keys an error lists
_PLAIN = (str, int, bool, type(None))
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


# --- Responses


class FromJson:
    """Base of the records that keep the JSON from which they were decoded."""

    # Slots and no attrs fields: msgspec fills a field from the JSON key of its name, and a server could
    # send one.
    __slots__ = ("_json", "_listed", "_parsed")
    _json: bytes
    _listed: bool
    _parsed: Mapping[str, Any]


NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
"""A text of at least one character."""

Timestamp = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time with its zone; one that comes without is in UTC.

Go's zero time stands for no time at all, and becomes None.
"""


def _timestamp(text: str) -> datetime | None:
    try:
        found = msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        return None
    if found.year == _ZERO_YEAR:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _day(text: str) -> date | None:
    """Return a day; of a time, only its day counts."""
    try:
        return date.fromisoformat(text[:_DAY_CHARACTERS])
    except ValueError:
        return None


_NUMBERS = (int, float)  # the Quota API writes some as texts

_FROM_TEXT: Mapping[Any, Callable[[str], object]] = {datetime: _timestamp, date: _day}
"""How the second look reads times; None for other texts."""


def decode(
    cls: type[T],
    data: bytes | msgspec.Raw,
    *,
    request: Request | None = None,
    where: str = "$",
    content_type: str = "",
    listed: bool = False,
) -> T:
    """Decode one JSON object of a response.

    Args:
        cls: The class of the record.
        data: The JSON.
        request: What it is the response to, for errors.
        where: The path of the object in the whole body, for errors.
        content_type: The Content-Type of the response, for errors.
        listed: Whether it is an item of a list, where the API leaves some fields out.

    Raises:
        DecodeError: it is not a JSON object, or a required field is missing or does not fit.
    """
    # A copy of the slice: one order that is kept does not keep the whole page.
    json: bytes = SecretBytes(data)
    data = json
    found: T | None = None
    try:  # noqa: SIM105 - suppress() takes half as long as all of the decoding
        found = _fast_path(cls)(json)  # type: ignore[arg-type]  # a class is hashable
    except DECODE_ERRORS:
        pass  # the second look says what is wrong, if anything is
    if found is None or _ZERO_TIME in json:
        found = _second_look(cls, json, request, where, content_type)
    if isinstance(found, FromJson):
        object.__setattr__(found, "_json", json)
        object.__setattr__(found, "_listed", listed)
    return found


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
    values: dict[str, object] = {}
    problems: list[str] = []
    failure: Exception | None = None
    try:
        parts = _parts(cls)(json)  # type: ignore[arg-type]
        for field, decode_field in _field_decoders(cls):  # type: ignore[arg-type]
            raw = getattr(parts, field.name)
            is_required = field.default is attrs.NOTHING
            if raw is None:
                problems += [f"`{where}.{field.name}` is missing"] * is_required
                continue
            try:
                values[field.name] = decode_field(raw)
            except msgspec.ValidationError as error:
                problems += [_at(f"{where}.{field.name}", error)] * is_required
    except DECODE_ERRORS as error:
        failure = error
    # Raised outside of all handlers: the chain of the error has no text of the server.
    if failure is not None:
        raise not_an_object(failure, json, request=request, where=where, content_type=content_type)
    if problems:
        raise DecodeError("; ".join(problems) + _fields_of(json), request=request)
    return cls(**values)


@cache
def _parts(cls: Any) -> Callable[[bytes], Any]:
    return splitter(*(field.name for field in attrs.fields(cls)))


@cache
def _field_decoders(cls: Any) -> "list[tuple[attrs.Attribute[Any], Callable[[msgspec.Raw], Any]]]":
    types = plain_types(cls)
    return [(field, _field_decoder(field, types[field.name])) for field in attrs.fields(cls)]


@cache
def plain_types(cls: Any) -> Mapping[str, Any]:
    """Return the types of the fields, without None and without the constraints of msgspec."""
    return {name: _first(found) for name, found in get_type_hints(cls).items()}


def _field_decoder(field: "attrs.Attribute[Any]", plain: Any) -> Callable[[msgspec.Raw], Any]:
    if plain in _FROM_TEXT:
        return partial(_from_text, _FROM_TEXT[plain])
    if plain in _NUMBERS:
        return partial(_number, msgspec.json.Decoder(field.type, strict=False).decode)
    decode_whole = msgspec.json.Decoder(field.type).decode
    if isinstance(field.default, attrs.Factory):  # type: ignore[arg-type]  # a class, but typed as a function
        return partial(_part, plain, decode_whole)
    return decode_whole


def _part(cls: type[T], decode_whole: Callable[[msgspec.Raw], T], raw: msgspec.Raw) -> T:
    """Decode an optional record within another one; what does not fit in it costs only itself."""
    try:
        return decode_whole(raw)
    except msgspec.ValidationError as error:
        problem = error
    try:
        return _second_look(cls, bytes(raw), None, "$", "")
    except DecodeError:
        pass
    raise problem


def _number(decode_whole: Callable[[msgspec.Raw], Any], raw: msgspec.Raw) -> object:
    """Decode a number, which may have come as a text."""
    found = decode_whole(raw)
    if isinstance(found, float) and not isfinite(found):
        raise msgspec.ValidationError("Expected a finite number, got `str`")
    return found


def _from_text(read: Callable[[str], object], raw: msgspec.Raw) -> object:
    return read(msgspec.json.decode(raw, type=str))


def _at(path: str, error: msgspec.ValidationError) -> str:
    """Return the message with the path in the whole body; msgspec's path begins at the field."""
    what, _, below = str(error).partition(" - at `$")
    return f"`{path}{below.rstrip('`')}`: {what[:1].lower()}{what[1:]}"


def _fields_of(json: bytes) -> str:
    if len(json) > _MOST_SHOWN:
        return ""
    try:
        found = msgspec.json.decode(json, type=dict[str, msgspec.Raw])
    except DECODE_ERRORS:
        return ""  # a key that nobody needs is not text
    keys = ", ".join(without_tokens(key)[:24] for key in list(found)[:6])  # a key may be anything
    return f" (the object has: {keys or 'no fields'})"


# --- Requests


class Readable(Protocol):
    """A record of a request."""

    also_known: ClassVar[Collection[str]]
    """Keys that only responses have, which may come back in a request."""

    def derived(self) -> Mapping[str, object]:
        """Return the values of fields that follow from others where they are not given."""
        ...


@attrs.frozen
class Unfit:
    """The result of a converter for a value that does not fit.

    A converter does not know the field that it converts for; the record does, and raises the error.
    """

    problem: str


def checked_body(cls: type[M], request: M | Mapping[str, Any], *, where: str = "") -> bytes:
    """Check a request, record or plain mapping, and return the JSON to send.

    A mapping is sent as it is, with the fields that are unknown here; but null means that a field is not
    given, a geometry is taken out of the Feature around it, times are written as RFC 3339, and what the API
    needs is added.  An UnknownKeyWarning names a key that is probably misspelt.  What the API has redacted is
    refused: it would take the place of the secret.

    Args:
        cls: The class of the request.
        request: A record of that class, or a mapping with the API's own names.
        where: What the request is from, such as a file; the message of the error begins with it.

    Raises:
        InvalidRequest: the API would refuse it; the message lists all that is wrong.
    """
    if not isinstance(request, cls | Mapping):
        raise InvalidRequest(f"expected {cls.__name__} or a mapping, got {kind(request)}")
    body = to_mapping(request)
    check = Check()
    check.read(body, cls, "$")
    check.finish(where)
    encoded = to_json(body)
    if REDACTED.encode() in encoded:
        refuse_redacted(body, where)
    return encoded


def from_mapping(cls: type[M], mapping: Mapping[str, Any], read: "Reader") -> M:
    """Check a mapping as `checked_body` does, and return it as the record that `read` makes of it.

    Raises:
        InvalidRequest: the API would refuse it, or it has a field that the record cannot hold.
    """
    check = Check()
    found = read(to_mapping(mapping), "$", check)
    if check.unknown and not check.problems:
        raise InvalidRequest(
            f"{', '.join(check.unknown)}: not known here, and {cls.__name__} would lose it",
            hint="Methods that take a request take the mapping as it is.",
        )
    check.finish("")
    if not isinstance(found, cls):
        raise InvalidRequest(f"$: expected the JSON of {cls.__name__}")
    return found


class Check:
    """Reads the JSON of a request as records, and collects what is wrong with it."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.warnings: list[str] = []
        self.unknown: list[str] = []  # the paths of what a record cannot hold

    def finish(self, where: str) -> None:
        """Raise InvalidRequest for all that is wrong; the message begins with `where`.  Or warn."""
        if self.problems:
            wrong = "; ".join(self.problems)
            raise InvalidRequest(f"{where}: {wrong}" if where else wrong)
        for warning in self.warnings:
            warnings.warn(warning, UnknownKeyWarning, stacklevel=4)  # Python shows each text once

    def expected(self, what: str, value: object, path: str) -> None:
        """Report a value of another kind than expected."""
        self.problems.append(f"{path}: expected {what}, got {kind(value)}")

    def is_object(self, value: object, path: str) -> TypeGuard[dict[str, Any]]:
        """Return whether it is a JSON object; report it if not."""
        if not isinstance(value, dict):
            self.expected("an object", value, path)
        return isinstance(value, dict)

    def spelling(self, keys: Collection[str], known: Collection[str], path: str) -> None:
        """Warn of keys that are unknown and resemble a known one."""
        for key in sorted(set(keys) - set(known)):
            for alike in get_close_matches(key, known, n=1):
                self.warnings.append(
                    f"{path}: {key!r} is not known here, and sent as it is: is {alike!r} meant?"
                )

    def read(self, value: object, cls: type[M], path: str, *, also: Collection[str] = ()) -> M | None:
        """Return an object as a record of that class; None where something is wrong.

        What the record writes differently is changed in the object, which will be sent.  The keys in `also`
        are known, too; where there are any, the caller keeps the object where it has others.
        """
        if not self.is_object(value, path):
            return None
        readers, problems, found = _field_readers(cls), len(self.problems), {}
        drop_nulls(value)
        known = {*(field.name for field, _ in readers), *cls.also_known, *also}
        self.spelling(value, known, path)
        if not also:
            self.unknown += [f"{path}.{key}" for key in value if key not in known]
        for field, reader in readers:
            name = field.name
            if name not in value:
                if field.default is attrs.NOTHING:
                    self.problems.append(f"{path}.{name}: missing")
                continue
            found[name] = reader(value[name], f"{path}.{name}", self)
            if isinstance(found[name], str | dict):
                value[name] = found[name]  # a time or a geometry, as it is sent
        if len(self.problems) > problems:
            return None
        try:
            record = cls(**found)
        except InvalidRequest as error:
            # A record refuses its own values with a message that begins with ``Class.field: ``.
            field_path, _, what = error.message.partition(": ")
            self.problems.append(f"{path}.{field_path.partition('.')[2]}: {what}")
            return None
        for name in record.derived():
            value.setdefault(name, getattr(record, name))
        return record


Reader = Callable[[Any, str, Check], Any]
"""Reads a value at a path; reports to the check what is wrong with it."""

_READER = "planet_async.reader"


def read_by(reader: Reader) -> Mapping[str, Reader]:
    """Return metadata for a field that is no plain value and no record of one class: what reads its JSON.

    For a list, it reads each item.
    """
    return {_READER: reader}


@cache
def _field_readers(cls: Any) -> "list[tuple[attrs.Attribute[Any], Reader]]":
    return [(field, _field_reader(field)) for field in attrs.fields(cls)]


def _field_reader(field: "attrs.Attribute[Any]") -> Reader:
    if is_secret(field):
        return _secret_text
    reader: Reader | None = field.metadata.get(_READER)
    cls = _first(field.type)
    if get_origin(cls) is tuple:
        return partial(_read_items, reader or _reader(_first(get_args(cls)[0])))
    if reader is None and field.converter is not None:
        return partial(_read_converted, field.converter)
    return reader or _reader(cls)


def _first(cls: Any) -> Any:
    """Return `X` of `X | None`, `X | Mapping`, or both."""
    return get_args(cls)[0] if get_origin(cls) in {Union, UnionType} else cls


def _reader(cls: Any) -> Reader:
    if get_origin(cls) is Mapping:
        return _read_mapping
    if attrs.has(cls):
        return lambda value, path, check: check.read(value, cls, path)
    return partial(_read_scalar, *_SCALARS[cls])


_SCALARS: Mapping[type, tuple[str, tuple[type, ...]]] = {
    str: ("a text", (str,)),
    bool: ("true or false", (bool,)),
    int: ("a whole number", (int,)),
    float: ("a number", (int, float)),
}


def _read_scalar(expected: str, types: tuple[type, ...], value: object, path: str, check: Check) -> object:
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        check.expected(expected, value, path)
    return value


def _secret_text(value: object, path: str, check: Check) -> object:
    if not isinstance(value, str):
        check.problems.append(f"{path}: expected a text")  # what came instead may be secret, too
    return value


def _read_items(reader: Reader, value: object, path: str, check: Check) -> tuple[object, ...]:
    if not isinstance(value, list):
        check.expected("a list", value, path)
        return ()
    return tuple(reader(item, f"{path}[{index}]", check) for index, item in enumerate(value))


def _read_mapping(value: object, path: str, check: Check) -> object:
    check.is_object(value, path)
    return value


def _read_converted(convert: Any, value: object, path: str, check: Check) -> object:
    """Read a value as the record converts it, such as a geometry or a time."""
    found = convert(value)
    if isinstance(found, Unfit):
        check.problems.append(f"{path}{found.problem}")
        return value
    return found


# --- Records that are written with the name of their kind


def named(known: Mapping[str, type[Readable]]) -> Reader:
    """Return what reads ``{"name": {...}}`` as the record of that name; unknown ones stay as they are."""

    def read_named(value: object, path: str, check: Check) -> object:
        if not check.is_object(value, path):
            return None
        drop_nulls(value)
        check.spelling(value, known, path)
        found = {
            name: check.read(value[name], known[name], f"{path}.{name}") for name in value if name in known
        }
        return found.popitem()[1] if len(value) == len(found) == 1 else value

    return read_named


def typed(known: Mapping[str, type[Readable]], *, may_be_empty: bool = False) -> Reader:
    """Return what reads ``{"type": "clip", "parameters": {...}}`` as the record of that type.

    So the Subscriptions API writes what the Orders API writes as ``{"clip": {...}}``.
    """

    def read_typed(value: object, path: str, check: Check) -> object:
        if not check.is_object(value, path):
            return None
        if may_be_empty and not value:
            return value
        check.spelling(value, ("type", "parameters"), path)
        drop_nulls(value)
        name, parameters = value.get("type"), value.get("parameters", {})
        if not isinstance(name, str) or not name:
            check.expected("a text, the name of its kind", name, f"{path}.type")
        elif name in known:
            return check.read(parameters, known[name], f"{path}.parameters")
        else:
            check.spelling([name], known, f"{path}.type")
            check.is_object(parameters, f"{path}.parameters")
        return value

    return read_typed


def drop_nulls(body: dict[str, Any]) -> None:
    """Delete the keys whose value is null: null means that they are not given."""
    for name in [name for name, value in body.items() if value is None]:
        del body[name]


# --- From records and plain values to JSON


@runtime_checkable
class HasBody(Protocol):
    """Something that is written as a JSON object, such as a record."""

    def to_body(self) -> Mapping[str, object]:
        """Return the object; its values may have bodies, too."""
        ...


def to_json(value: object) -> bytes:
    """Return a record, a mapping, or any mixture of the two as JSON.

    Geometries may be anything that `to_geojson` takes; a field of a record that is None is left out.

    Raises:
        InvalidRequest: JSON cannot hold the value, or a time has no zone.
    """
    plain = _plain_whole(value)
    try:
        return SecretBytes(msgspec.json.encode(plain))
    except UnicodeEncodeError:
        problem = "a text contains half a character (a lone surrogate), which cannot be sent"
    except ValueError:
        problem = "a number has too many digits to be sent"
    raise InvalidRequest(problem)


def to_mapping(value: object) -> dict[str, Any]:
    """Return the object that `to_json` writes, as a new dict."""
    found = _plain_whole(value)
    if not isinstance(found, dict):
        raise InvalidRequest(f"expected a mapping, got {kind(value)}")
    return found


def _plain_whole(value: object) -> object:
    try:
        return _plain(value, "$")
    except RecursionError:
        raise InvalidRequest("the request is nested too deeply, or contains itself") from None


def _is_plain(value: object) -> bool:
    cls = type(value)
    return cls in _PLAIN or (cls is float and isfinite(value))  # type: ignore[arg-type]  # the check before says so


def _plain(value: object, path: str) -> object:  # noqa: C901, PLR0911 - one line for each kind of thing
    if _is_plain(value):
        return value
    if isinstance(value, Enum):
        return _plain(value.value, path)
    if isinstance(value, list | tuple):
        # Coordinates are many, so no path is put together for them.
        return [
            item if _is_plain(item) else _plain(item, f"{path}[{index}]") for index, item in enumerate(value)
        ]
    if isinstance(value, date):
        return rfc3339(value, f"{path}: ") if isinstance(value, datetime) else value.isoformat()
    if isinstance(value, Mapping | HasBody):
        return dict(_entries(value, path))
    if isinstance(value, str | UUID | PurePath):
        return str(value)
    if hasattr(value, "tolist"):  # an array or a number of numpy
        return _plain(value.tolist(), path)
    if (number := finite(value)) is not None:
        return number
    if hasattr(value, "__float__"):
        raise InvalidRequest(f"{path}: expected a number, got {value}")
    if hasattr(value, "__geo_interface__"):
        return _plain(to_geojson(value, where=path), path)
    raise InvalidRequest(f"{path}: expected something that JSON can hold, got {kind(value)}")


def _entries(value: Mapping[Any, object] | HasBody, path: str) -> Iterator[tuple[str, object]]:
    for name, item in (value if isinstance(value, Mapping) else value.to_body()).items():
        if not isinstance(name, str):
            raise InvalidRequest(f"{path}: expected texts as names, got {kind(name)}")
        # First of all, since the properties of a Feature may be anything: GeoPandas writes NaN and times.
        part = unwrapped(item) if name in GEOMETRY_NAMES else item
        yield str(name), _plain(part, f"{path}.{name}")


def rfc3339(value: object, where: str = "") -> str:
    """Return a time as RFC 3339 has it; text that only Python understands is rewritten.

    Raises:
        InvalidRequest: it is not a time, or has no time zone; the message begins with `where`.
    """
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        found = None
    if not isinstance(found, datetime):
        raise InvalidRequest(f"{where}expected a time like 2026-01-31T00:00:00Z, got {kind(value)}")
    if found.tzinfo is None:
        raise InvalidRequest(f"{where}expected a time with its zone, such as 2026-01-31T00:00:00Z")
    if isinstance(value, str) and _RFC_3339.fullmatch(value):
        return value
    try:
        return found.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"
    except OverflowError:
        raise InvalidRequest(f"{where}{value} is beyond the years 1 to 9999 in UTC") from None
