"""JSON values to records, field by field: users' mappings, and answers that the fast path refused.

Nothing is converted silently: a number is no text.  Everything wrong is reported at once, with where it is.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

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

from planet_async.models.parse import kind
from planet_async.models.resource import Resource

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
