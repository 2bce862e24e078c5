"""From records and plain values to JSON."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from enum import Enum
from math import isfinite
from pathlib import PurePath
from typing import Any, Protocol, runtime_checkable
from uuid import UUID

import msgspec

from planet_async.errors import InvalidRequest
from planet_async.http import SecretBytes
from planet_async.models.geometry import GEOMETRY_NAMES, to_geojson, unwrapped
from planet_async.models.json import finite, kind

_PLAIN = (str, int, bool, type(None))
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


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
    for name, item in (value.to_body() if isinstance(value, HasBody) else value).items():
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
