"""From records to JSON: whatever a user put together, as plain dicts and lists, then as bytes."""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from enum import Enum
from math import isfinite
from typing import Any
from uuid import UUID

import attrs
import msgspec

from planet_async.errors import InvalidRequest
from planet_async.models.geometry import to_geojson
from planet_async.models.parse import kind
from planet_async.models.request import RequestModel
from planet_async.models.resource import Resource

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
