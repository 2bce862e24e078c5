"""Between bytes and records: `decode` for what the API answers, `checked_body` for what it is sent.

msgspec decodes an answer straight into the slots of its class.  What it refuses gets a second look, field by
field, since one odd field must not cost the caller an order.  Users' mappings are read by the same look.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime
from enum import Enum
from functools import cache
from math import isfinite
from types import UnionType
from typing import Annotated, Any, Protocol, TypeVar, Union, get_args, get_origin
from uuid import UUID

import attrs
import msgspec
from cattrs import (
    AttributeValidationNote,
    ClassValidationError,
    Converter,
    IterableValidationError,
    IterableValidationNote,
)
from cattrs.gen import make_dict_structure_fn

from planet_async.errors import DecodeError, InvalidRequest
from planet_async.http import Request
from planet_async.models.base import RequestModel, Resource
from planet_async.models.geometry import to_geojson, unwrap_geometries
from planet_async.models.json import REFUSALS, discreet, kind, parsed_object

T = TypeVar("T")
Hook = Callable[[Any, Any], Any]

NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
"""A text of at least one character."""

Timestamp = Annotated[datetime, msgspec.Meta(tz=True)]
"""A moment with its time zone.  Go's zero time stands for no time at all, and becomes None."""

ZERO_TIME = b'"0001-01-01T00:00:00'  # all of it: the longer, the faster it is found
_ZERO_YEAR = 1


class Unexpected(ValueError):
    """A JSON value of another kind than the field has."""

    def __init__(self, expected: str, value: object) -> None:
        super().__init__(expected)
        self.expected = expected
        self.value = value


def problems(error: BaseException, path: str = "$", *, secret: bool = False) -> Iterator[tuple[str, str]]:
    """Yield where something is wrong, and what, from the nested errors of `converter.structure`."""
    if isinstance(error, ClassValidationError):
        noted, plain = error.group_exceptions()
        for inner, note in noted:
            yield from problems(inner, f"{path}.{note.name}", secret=_is_secret(error.cl, note.name))
        for inner in plain:
            yield from _own_check(inner, path)
    elif isinstance(error, IterableValidationError):
        for inner, place in error.group_exceptions()[0]:
            yield from problems(inner, f"{path}[{place.index}]")
    elif isinstance(error, KeyError):
        yield path, "missing"
    elif isinstance(error, Unexpected):
        yield path, f"expected {error.expected}" + ("" if secret else f", got {kind(error.value)}")
    else:
        yield path, str(error)


def _own_check(error: Exception, path: str) -> Iterator[tuple[str, str]]:
    """A record refused its values; its message begins with ``Class.field: ``."""
    field, _, problem = str(error).partition(": ")
    yield f"{path}.{field.partition('.')[2]}", problem


def _is_secret(cls: type, name: str) -> bool:
    fields = attrs.fields_dict(cls) if attrs.has(cls) else {}
    return name in fields and fields[name].repr is False


def noted(error: Exception, name: str, cls: type) -> Exception:
    """Note on an error that it is about the key `name`, as cattrs does, so that `problems` finds the path."""
    error.add_note(AttributeValidationNote(f"in {name}", name, cls))
    return error


def named_hook(base: type, known: Mapping[str, type]) -> Hook:
    """Structure ``{"name": {...}}`` as the record of that name; one that is not known here stays as it is."""

    def structure(value: object, _: object) -> object:
        if not isinstance(value, Mapping):
            raise Unexpected("an object", value)
        if len(value) != 1 or known.keys().isdisjoint(value):
            return value
        ((name, inside),) = value.items()
        try:
            return converter.structure(inside, known[name])
        except Exception as error:  # noqa: BLE001 - raised again, with its place
            raise ClassValidationError("inside", [noted(error, name, base)], base) from None

    return structure


def _scalar(expected: str, *kinds: type) -> Hook:
    def structure(value: object, _: object) -> object:
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise Unexpected(expected, value)
        return value

    return structure


def _text(value: object, cls: type[str]) -> str:
    if not isinstance(value, str):
        raise Unexpected("a text", value)
    try:
        return value if cls is str else cls(value)  # a StrEnum, which may refuse the word
    except ValueError:
        raise Unexpected("one of its words", value) from None


def _non_empty(value: object, _: object) -> str:
    if not isinstance(value, str) or not value:
        raise Unexpected("a text of at least one character", value)
    return value


def _timestamp(value: object, _: object) -> datetime | None:
    try:
        found = msgspec.convert(value, datetime)
    except msgspec.ValidationError:
        raise Unexpected("a time like 2026-05-01T09:58:21Z", value) from None
    if found.year == _ZERO_YEAR:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _mapping(value: object, _: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise Unexpected("an object", value)
    return value


def _union(cls: object) -> Hook:
    """One of `X | None`, `Model | Mapping` and both: a mapping is checked as the model is."""
    choices = get_args(cls)
    first = choices[0]

    def structure(value: object, _: object) -> object:
        return None if value is None and type(None) in choices else converter.structure(value, first)

    return structure


def _tuple(cls: object) -> Hook:
    item_type = get_args(cls)[0]

    def structure(value: object, _: object) -> tuple[object, ...]:
        if not isinstance(value, list | tuple):
            raise Unexpected("a list", value)
        found, wrong = [], []
        for index, item in enumerate(value):
            try:
                found.append(converter.structure(item, item_type))
            except Exception as error:  # noqa: BLE001 - collected, so that all are reported at once
                error.add_note(IterableValidationNote(f"at {index}", index, item_type))
                wrong.append(error)
        if wrong:
            raise IterableValidationError("in a list", wrong, tuple)
        return tuple(found)

    return structure


def _record(cls: type[attrs.AttrsInstance]) -> Hook:
    from_mapping = make_dict_structure_fn(cls, converter)
    optional = {field.name for field in attrs.fields(cls) if field.default is not attrs.NOTHING}

    def structure(value: object, _: object) -> object:
        if not isinstance(value, Mapping):
            raise Unexpected("an object", value)
        try:
            return from_mapping(value, cls)
        except ClassValidationError as error:
            # Planet may change what nobody needs; what cannot be used then counts as not given.
            bad = {note.name for _, note in error.group_exceptions()[0]}
            if not issubclass(cls, Resource) or bad - optional:
                raise
            return from_mapping({key: value[key] for key in value if key not in bad}, cls)

    return structure


def _is_a(*origins: object) -> Callable[[Any], bool]:
    def check(cls: object) -> bool:
        origin: object = get_origin(cls)
        return origin in origins

    return check


def _converter() -> Converter:
    found = Converter()
    found.register_structure_hook(str, _text)
    found.register_structure_hook(bool, _scalar("true or false", bool))
    found.register_structure_hook(int, _scalar("a whole number", int))
    found.register_structure_hook(float, _scalar("a number", int, float))
    found.register_structure_hook_func(lambda cls: cls == NonEmpty, _non_empty)
    found.register_structure_hook_func(lambda cls: cls == Timestamp, _timestamp)
    found.register_structure_hook_func(_is_a(Mapping), _mapping)
    found.register_structure_hook_factory(_is_a(tuple), _tuple)
    found.register_structure_hook_factory(_is_a(Union, UnionType), _union)
    found.register_structure_hook_factory(attrs.has, _record)
    return found


converter = _converter()
"""The one converter; whose record is not written as an object of its fields adds a hook for it."""


class Block(Protocol):
    """A record that knows the name of its kind."""

    @property
    def block(self) -> str:
        """The name of the kind."""
        ...

    def set_fields(self) -> dict[str, object]:
        """Give the fields that are not None."""
        ...


def typed(record: Block) -> dict[str, object]:
    """Write a record as its type and parameters."""
    return {"type": record.block, "parameters": record.set_fields()}


def typed_hook(base: type, known: Mapping[str, type]) -> Hook:
    """Structure what has a type and parameters as the record of that type; one unknown here stays."""

    def structure(value: object, _: object) -> object:
        if not isinstance(value, Mapping):
            raise Unexpected("an object", value)
        wrong: list[Exception] = []
        name, parameters = value.get("type"), value.get("parameters", {})
        if not isinstance(name, str) or not name:
            wrong.append(noted(Unexpected("a text, the name of its kind", name), "type", base))
        if not isinstance(parameters, Mapping):
            wrong.append(noted(Unexpected("an object", parameters), "parameters", base))
        elif isinstance(name, str) and name in known:
            try:
                return converter.structure(parameters, known[name])
            except Exception as error:  # noqa: BLE001 - collected, so that all are reported at once
                wrong.append(noted(error, "parameters", base))
        if wrong:
            raise ClassValidationError("in a typed object", wrong, base)
        return value

    return structure


def type_of(value: object) -> str:
    """Give the type of a record or of a mapping; an empty text where it has none."""
    found: Any = value.get("type") if isinstance(value, Mapping) else getattr(value, "block", "")
    return found if isinstance(found, str) else ""


_PLAIN = (str, int, bool, type(None))


def to_json(value: object) -> bytes:
    """Give a record, a mapping, or any mixture of the two as JSON.

    Records may be inside mappings and mappings inside records; geometries may be anything with
    ``__geo_interface__``.  A field of a record that is None is left out.  Raises InvalidRequest for what JSON
    cannot hold, and for a time without its zone.
    """
    return encoded(_plain_whole(value))


def encoded(plain: object) -> bytes:
    """Encode what is plain already."""
    try:
        return msgspec.json.encode(plain)
    except UnicodeEncodeError:
        raise InvalidRequest(
            "a text holds half a character (a lone surrogate), which cannot be sent"
        ) from None


def to_mapping(value: object) -> dict[str, Any]:
    """Give the object that `to_json` writes, as a dict."""
    found = _plain_whole(value)
    if not isinstance(found, dict):
        raise InvalidRequest(f"expected a mapping, got {kind(value)}")
    return found


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
        named = {field.name: getattr(value, field.name) for field in attrs.fields(cls)}
        value = {name: item for name, item in named.items() if item is not None}
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
