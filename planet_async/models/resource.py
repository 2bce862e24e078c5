"""What all answers of the API have in common: they keep the JSON that they were made of."""

from collections.abc import Mapping
from typing import Any, Self

import attrs
import msgspec

from planet_async.errors import DecodeError
from planet_async.models.parse import parsed_object


class Resource:
    """Base of the records that the API answers with.

    Fields that every answer needs are attributes.  Free-form parts are properties, decoded when first read,
    so that a list of thousands costs only what is looked at.  Two are equal if their whole JSON is; pickle
    and copy keep it.  A field of the API that has no attribute here is in `raw`.
    """

    # Slots and no attrs fields: msgspec fills a field from the JSON key of its name, and a server could
    # send one.  That of weak references is here for all classes of the same fields to be laid out alike.
    __slots__ = ("__weakref__", "_json", "_parsed")
    _json: bytes
    _parsed: Mapping[str, Any]

    @property
    def raw(self) -> Mapping[str, Any]:
        """The whole JSON object as it came, unknown fields included; to be read, not changed.

        Of one that was made by hand: its own fields.  Raises DecodeError where a part that nobody had looked
        at before turns out to be no JSON.
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
        # Equal JSON gives an equal first field, which is what tells one from another: the id, the name, the
        # path.  A reply that is only links has no field.
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
    return attrs.fields(cls)  # type: ignore[arg-type,no-any-return]  # all below the base are attrs classes
