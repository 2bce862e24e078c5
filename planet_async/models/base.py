"""What all records have in common: those of responses, those of requests, and enumerations."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, ClassVar, Self

import attrs
import msgspec

from planet_async.errors import DecodeError, InvalidRequest
from planet_async.models.json import parsed_object
from planet_async.redaction import add_secret_fields

_MOST_WORDS = 1000
_new_words: "dict[tuple[type, str], OpenEnum]" = {}


class OpenEnum(StrEnum):
    """Base of the API's enumerations; an unknown word becomes a member when it first comes.

    Each is its own text: ``subscription.status == "running"``.  Iterating yields the documented ones only.
    """

    @classmethod
    def _missing_(cls, value: object) -> "OpenEnum | None":
        if not isinstance(value, str) or not value:
            return None
        word = str.__new__(cls, value)
        word._name_ = value.upper()
        word._value_ = value
        if len(_new_words) >= _MOST_WORDS:
            return word  # no API has so many: not all of them are kept
        # One for each word, also if two threads meet a new one, so that `is` holds as it does for the others.
        return _new_words.setdefault((cls, value), word)


class Resource:
    """Base of the records of responses.

    What every caller needs is a field.  Free-form parts are properties, decoded when first read, so that a
    list of thousands costs only what is used of it.  Two are equal if their whole JSON is; pickle and copy
    keep it.  A field of the API that has no attribute here is in `raw`.
    """

    # Slots and no attrs fields: msgspec fills a field from the JSON key of its name, and a server could
    # send one.
    __slots__ = ("_json", "_parsed")
    _json: bytes
    _parsed: Mapping[str, Any]

    @property
    def raw(self) -> Mapping[str, Any]:
        """The whole JSON object as it came, unknown fields included; to be read, not changed.

        For a record that was made by hand: its own fields.

        Raises:
            DecodeError: a part that was not read before is no JSON.
        """
        parsed: Mapping[str, Any] | None = getattr(self, "_parsed", None)
        if parsed is None:
            parsed = parsed_object(self._bytes())
            object.__setattr__(self, "_parsed", parsed)
        return parsed

    def _bytes(self) -> bytes:
        kept: bytes | None = getattr(self, "_json", None)
        if kept is None:
            kept = msgspec.json.encode(self._set_fields())
            object.__setattr__(self, "_json", kept)
        return kept

    def _set_fields(self) -> dict[str, Any]:
        fields = _fields(type(self))
        values = {field.name: getattr(self, field.name) for field in fields}
        return {field.name: values[field.name] for field in fields if values[field.name] != field.default}

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
        # Records of equal JSON have an equal first field: the id, the name or the path.  A response that is
        # only links has no field.
        return hash((type(self), *(getattr(self, field.name) for field in _fields(type(self))[:1])))

    def __reduce__(self) -> tuple[object, ...]:
        values = {field.name: getattr(self, field.name) for field in _fields(type(self))}
        return _restored, (type(self), values, self._bytes())

    @classmethod
    def _made(cls, values: Mapping[str, Any], json: bytes) -> Self:
        made = cls(**values)
        object.__setattr__(made, "_json", json)
        return made


def _restored(cls: type[Resource], values: Mapping[str, Any], json: bytes) -> Resource:
    return cls._made(values, json)


def _fields(cls: type[Resource]) -> "tuple[attrs.Attribute[Any], ...]":
    return attrs.fields(cls)  # type: ignore[arg-type,no-any-return]  # all subclasses are attrs classes


class Deliverable(Resource):
    """Base of `Order` and `Subscription`: the free-form parts that both have."""

    __slots__ = ()

    @property
    def tools(self) -> tuple[Mapping[str, Any], ...]:
        """What is done to each item, in this order: objects of one key, in subscriptions with a ``type``."""
        return self._mappings("tools")

    @property
    def delivery(self) -> Mapping[str, Any] | None:
        """Where it is delivered, and how it is archived; the API redacts the secrets."""
        return self._mapping("delivery")

    @property
    def hosting(self) -> Mapping[str, Any] | None:
        """Where Planet hosts it."""
        return self._mapping("hosting")

    @property
    def notifications(self) -> Mapping[str, Any] | None:
        """Who is notified, and of what."""
        return self._mapping("notifications")

    @property
    def links(self) -> Mapping[str, Any]:
        """The object that the API calls ``_links``."""
        return self._mapping("_links") or {}


class RequestModel:
    """Base of the records of requests: a field that is None is not sent, all others go under their own name.

    What the API would refuse anyway is refused when the record is made, with InvalidRequest.
    """

    __slots__ = ()

    always_sent: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def __attrs_init_subclass__(cls) -> None:
        add_secret_fields(attrs.fields(cls))  # type: ignore[arg-type]  # attrs calls it with its classes only

    def __attrs_post_init__(self) -> None:
        for field, problem in self._problems():
            raise InvalidRequest(f"{type(self).__name__}.{field}: {problem}")

    def _problems(self) -> Iterable[tuple[str, str]]:
        """Yield what is wrong: the field, and the problem."""
        return ()

    def set_fields(self) -> dict[str, object]:
        """Return the fields that are not None."""
        fields = attrs.fields(type(self))  # type: ignore[arg-type]  # all subclasses are attrs classes
        named = {field.name: getattr(self, field.name) for field in fields}
        return {name: value for name, value in named.items() if value is not None}

    def to_body(self) -> Mapping[str, object]:
        """Return the object to send, whose values may be records in turn."""
        return self.set_fields()


class Named(RequestModel):
    """A record that is sent under the name of its kind: ``{"clip": {...}}``."""

    __slots__ = ()

    block: ClassVar[str]

    def to_body(self) -> Mapping[str, object]:
        """Return the fields below the name."""
        return {self.block: self.set_fields()}
