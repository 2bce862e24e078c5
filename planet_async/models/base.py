"""Base classes of all records, and how they are written as JSON."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from enum import Enum, StrEnum
from math import isfinite
from pathlib import PurePath
from typing import Any, ClassVar, TypeVar
from uuid import UUID

import attrs
import msgspec

from planet_async.errors import DecodeError, InvalidRequest
from planet_async.http import SecretBytes
from planet_async.models.geometry import AREAS, GEOMETRIES, GEOMETRY_NAMES, to_geojson, unwrapped
from planet_async.models.json import finite, kind, parsed_object
from planet_async.redaction import add_secret_fields

T = TypeVar("T")

_MOST_WORDS = 1000
_PLAIN = (str, int, bool, type(None))
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")

_new_words: "dict[tuple[type, str], OpenEnum]" = {}


class Record:
    """Base of all records: they cannot be changed, and are equal if their content is."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the record as a JSON object: a new dict of plain values, with the API's own names."""
        return to_mapping(self)

    def set_fields(self) -> dict[str, object]:
        """Return the fields that are not None."""
        fields = attrs.fields(type(self))  # type: ignore[arg-type]  # all subclasses are attrs classes
        values = {field.name: getattr(self, field.name) for field in fields}
        return {name: value for name, value in values.items() if value is not None}

    def to_body(self) -> Mapping[str, object]:
        """Return the JSON object that the record is written as; its values may be records, too."""
        return self.set_fields()


# --- Responses


class OpenEnum(StrEnum):
    """Base of the API's enumerations.  A value that Planet adds later becomes a member when it first comes.

    Members equal their text: ``subscription.status == "running"``.  Iteration yields the documented ones.
    """

    @classmethod
    def _missing_(cls, value: object) -> "OpenEnum | None":
        if not isinstance(value, str) or not value:
            return None
        word = str.__new__(cls, value)
        word._name_ = value.upper()
        word._value_ = value
        if len(_new_words) >= _MOST_WORDS:
            return word  # a hostile server could send any number of them
        # One member for each value, also if two threads meet a new one, so that `is` works as for the others.
        return _new_words.setdefault((cls, value), word)


class Resource(Record):
    """Base of the records of responses.

    What every caller needs is a field.  Free-form parts are properties, decoded when first read, so that a
    list of thousands costs only what is used of it.  Two are equal if their whole JSON is; pickle and copy
    keep it.  Fields of the API that have no attribute here are in `raw`.
    """

    # Slots and no attrs fields: msgspec fills a field from the JSON key of its name, and a server could
    # send one.
    __slots__ = ("_json", "_listed", "_parsed")
    _json: bytes
    _listed: bool
    _parsed: Mapping[str, Any]

    @property
    def raw(self) -> Mapping[str, Any]:
        """The whole JSON object as it came, with the fields unknown here; to be read, not changed.

        Of a record that was not decoded from a response: its own fields.

        Raises:
            DecodeError: a part that was not read before is not valid JSON.
        """
        parsed: Mapping[str, Any] | None = getattr(self, "_parsed", None)
        if parsed is None:
            parsed = self.to_dict()
            object.__setattr__(self, "_parsed", parsed)
        return parsed

    @property
    def links(self) -> Mapping[str, Any]:
        """The object that the API calls ``_links``; empty where there is none."""
        return self._mapping("_links") or {}

    def to_dict(self) -> dict[str, Any]:
        """Return the whole JSON object as it came, as a new dict.

        Raises:
            DecodeError: a part that was not read before is not valid JSON.
        """
        return parsed_object(self._bytes())

    def to_body(self) -> Mapping[str, object]:
        """Return `raw`."""
        return self.raw

    def _bytes(self) -> bytes:
        kept: bytes | None = getattr(self, "_json", None)
        if kept is None:
            defaults = {field.name: field.default for field in _fields(type(self))}
            values = {name: getattr(self, name) for name in defaults}
            kept = to_json({name: values[name] for name in values if values[name] != defaults[name]})
            object.__setattr__(self, "_json", kept)
        return kept

    def _text(self, key: str) -> str:
        found = self.raw.get(key)
        return found if isinstance(found, str) else ""

    def _mapping(self, key: str) -> Mapping[str, Any] | None:
        found = self.raw.get(key)
        return found if isinstance(found, dict) else None

    def _mappings(self, key: str) -> tuple[Mapping[str, Any], ...]:
        found = self.raw.get(key)
        return tuple(item for item in found if isinstance(item, dict)) if isinstance(found, list) else ()

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        mine, others = self._bytes(), other._bytes()
        try:
            return mine == others or self.raw == other.raw
        except RecursionError:
            raise DecodeError("nested too deeply to be compared") from None

    def __hash__(self) -> int:
        # Records of equal JSON have an equal first field: the id, the name or the path.
        return hash((type(self), *(getattr(self, field.name) for field in _fields(type(self))[:1])))

    def __reduce__(self) -> tuple[object, ...]:
        values = {field.name: getattr(self, field.name) for field in _fields(type(self))}
        return _restored, (type(self), values, self._bytes(), getattr(self, "_listed", False))


def _restored(cls: type[Resource], values: Mapping[str, Any], json: bytes, listed: bool) -> Resource:
    record = cls(**values)
    object.__setattr__(record, "_json", json)
    object.__setattr__(record, "_listed", listed)
    return record


def _fields(cls: type[Record]) -> "tuple[attrs.Attribute[Any], ...]":
    return attrs.fields(cls)  # type: ignore[arg-type,no-any-return]  # all subclasses are attrs classes


class Deliverable(Resource):
    """Base of `Order` and `Subscription`: the free-form parts that both have."""

    __slots__ = ()

    @property
    def tools(self) -> tuple[Mapping[str, Any], ...]:
        """The tools: in orders objects of one key, in subscriptions with a ``type``."""
        return self._mappings("tools")

    @property
    def delivery(self) -> Mapping[str, Any] | None:
        """The delivery and archive settings; the API redacts the secrets."""
        return self._mapping("delivery")

    @property
    def hosting(self) -> Mapping[str, Any] | None:
        """The hosting by Planet."""
        return self._mapping("hosting")

    @property
    def notifications(self) -> Mapping[str, Any] | None:
        """The notification settings."""
        return self._mapping("notifications")


# --- Requests


class RequestModel(Record):
    """Base of the records of requests.  A field that is None is not sent; all others have the API's names.

    Raises:
        InvalidRequest: a value that the API would refuse; the message names the field.
    """

    __slots__ = ()

    also_known: ClassVar[Collection[str]] = ()
    """Keys that only responses have, which may come back in a request."""

    @classmethod
    def __attrs_init_subclass__(cls) -> None:
        add_secret_fields(_fields(cls))

    def __attrs_post_init__(self) -> None:
        name = type(self).__name__
        for field, value in self.set_fields().items():
            if isinstance(value, Unfit):
                raise InvalidRequest(f"{name}.{field}{value.problem}")
        for field, problem in self._problems():
            raise InvalidRequest(f"{name}.{field}: {problem}")
        for field, value in self.derived().items():
            if getattr(self, field) is None:
                object.__setattr__(self, field, value)

    def _problems(self) -> Iterable[tuple[str, str]]:
        """Yield what is wrong with the values: the field, and the problem."""
        return ()

    def derived(self) -> Mapping[str, object]:
        """Return the values of fields that follow from others where they are not given."""
        return {}


class Named(RequestModel):
    """A record that is sent under the name of its kind: ``{"clip": {...}}``."""

    __slots__ = ()

    block: ClassVar[str]

    def to_body(self) -> Mapping[str, object]:
        """Return the fields below the name."""
        return {self.block: self.set_fields()}

    def to_typed(self) -> Mapping[str, object]:
        """Return ``{"type": ..., "parameters": {...}}``, as the Subscriptions API writes it."""
        return {"type": self.block, "parameters": self.set_fields()}


# --- Converters of the fields of requests


@attrs.frozen
class Unfit:
    """The result of a converter for a value that does not fit.

    A converter does not know the field that it converts for; the record does, and raises the error.
    """

    problem: str


def unfit(problem: str) -> Any:
    """Return what makes the record raise InvalidRequest; the name of the field comes before the problem."""
    return Unfit(problem)


def items(value: Iterable[T]) -> tuple[T, ...]:
    """Return the items of a list; a text is not a list of its letters."""
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        return unfit(f": expected a list, got {kind(value)}")  # type: ignore[no-any-return]
    return tuple(value)


def texts(value: Iterable[str]) -> tuple[str, ...]:
    """Return a list of texts as a tuple."""
    return items(value)


def optional_texts(value: Iterable[str] | None) -> tuple[str, ...] | None:
    """Return a list of texts as a tuple, or None."""
    return None if value is None else items(value)


def geometry(value: object) -> Mapping[str, Any]:
    """Return a geometry as the API takes it."""
    return _geojson(value, GEOMETRIES)


def optional_geometry(value: object) -> Mapping[str, Any] | None:
    """Return a geometry as the API takes it, or None."""
    return None if value is None else geometry(value)


def area(value: object) -> Mapping[str, Any]:
    """Return a Polygon or MultiPolygon as the API takes it."""
    return _geojson(value, AREAS)


def _geojson(value: object, types: Collection[str]) -> Mapping[str, Any]:
    try:
        return to_geojson(value, where="", types=types)
    except InvalidRequest as error:
        return unfit(error.message)  # type: ignore[no-any-return]


def moment(value: str | datetime) -> str:
    """Return a time as the API writes it."""
    try:
        return rfc3339(value)
    except InvalidRequest as error:
        return unfit(f": {error.message}")  # type: ignore[no-any-return]


def optional_moment(value: str | datetime | None) -> str | None:
    """Return a time as the API writes it, or None."""
    return None if value is None else moment(value)


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


# --- From records to JSON


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
    if isinstance(value, Mapping | Record):
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


def _entries(value: Mapping[Any, object] | Record, path: str) -> Iterator[tuple[str, object]]:
    for name, item in (value.to_body() if isinstance(value, Record) else value).items():
        if not isinstance(name, str):
            raise InvalidRequest(f"{path}: expected texts as names, got {kind(name)}")
        # First of all, since the properties of a Feature may be anything: GeoPandas writes NaN and times.
        part = unwrapped(item) if name in GEOMETRY_NAMES else item
        yield str(name), _plain(part, f"{path}.{name}")
