"""Filters of the Tasking API, named as in Django: a field, two underscores, and how to compare."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from planet_async.errors import InvalidRequest
from planet_async.models.geometry import to_geojson
from planet_async.services._query import comma_list, positive, query, time_filter

_OWN = ("limit", "offset", "ordering")

OLDEST_FIRST = "created_time"
"""What a list is sorted by unless the caller says otherwise: so, what is new comes at the end."""


def tasking_query(
    given: Mapping[str, object],
    *,
    filters: Mapping[str, object],
    limit: int | None,
    offset: int | None,
    ordering: str | Sequence[str] | None,
) -> tuple[tuple[str, str], ...]:
    """Give the parameters of a list; InvalidRequest for what can be no filter."""
    named = {name: value for name, value in given.items() if value is not None}
    for name in filters:
        if name in named or name in _OWN:
            raise InvalidRequest(f"filters: {name} is a parameter of its own; give it as that, and once")
    rendered = {name: _rendered(name, value) for name, value in {**named, **filters}.items()}
    if offset is not None and offset < 0:
        raise InvalidRequest(f"offset must be at least 0, not {offset}")
    return query(
        **rendered,
        limit=positive("limit", limit),
        offset=offset,
        ordering=comma_list(ordering) or OLDEST_FIRST,
    )


def _rendered(name: str, value: object) -> str:
    field = name.partition("__")[0]
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime) or (isinstance(value, str) and field.endswith("_time")):
        return _moment(name, value)
    if isinstance(value, str | int | float | UUID):
        return str(value)
    if field.endswith("geometry"):
        return msgspec.json.encode(to_geojson(value, where=name)).decode()
    if isinstance(value, Mapping) or not isinstance(value, Iterable):
        raise InvalidRequest(f"{name}: expected a text, a number, a time or a list")
    words = [_rendered(name, word) for word in value]
    if not words:
        # What the API makes of an empty list is not known; it could be: everything.
        raise InvalidRequest(f"{name}: an empty list asks for nothing; nothing was sent")
    return ",".join(words)


def _moment(name: str, value: str | datetime) -> str:
    if isinstance(value, str) and "/" in value:
        raise InvalidRequest(f"{name}: {value!r} is an interval; the API compares with a moment")
    return time_filter(name, value) or ""
