"""Arguments of a call as query parameters, checked before anything is sent."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

import msgspec

from planet_async.errors import InvalidRequest
from planet_async.models.geometry import to_geojson

TimeFilter = str | datetime | tuple[datetime | None, datetime | None]
"""An instant, an interval as the API writes it (``"2026-01-01T00:00:00Z/.."``), or as a pair with open ends.

The start of an interval is inclusive, its end exclusive.
"""

Value = str | int | bool | Sequence[str] | None

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_OPEN = ".."


def query(**values: Value) -> tuple[tuple[str, str], ...]:
    """Give the parameters that are not None; a sequence repeats its parameter."""
    return tuple((name, text) for name, value in values.items() for text in _texts(value))


def _texts(value: Value) -> Sequence[str]:
    match value:
        case None:
            return ()
        case bool():
            return ("true" if value else "false",)
        case str() | int():
            return (str(value),)
        case _:
            return tuple(map(str, value))


def checked_id(value: str | UUID, what: str = "order") -> str:
    """Give the id as text; InvalidRequest where it is no UUID."""
    text = str(value)
    if not _UUID.fullmatch(text):
        raise InvalidRequest(f"{text[:100]!r} is no {what} id: a UUID was expected; nothing was sent")
    return text


def checked_ids(values: Iterable[str | UUID]) -> Iterator[str]:
    """Give ids in lower case, as the API writes them, each checked when it is asked for.

    They are taken now, so that nothing changes if the caller's list does.
    """
    return (checked_id(value).lower() for value in [*values])


def positive(name: str, value: int | None) -> int | None:
    """Give the value; InvalidRequest unless it is None or at least 1."""
    if value is not None and value < 1:
        raise InvalidRequest(f"{name} must be at least 1, not {value}")
    return value


def comma_list(value: str | Sequence[str] | None) -> str | None:
    """Give several words as one parameter, as `sort_by` wants them."""
    return value if value is None or isinstance(value, str) else ",".join(value)


def time_filter(name: str, value: TimeFilter | None) -> str | None:
    """Render an instant or interval; InvalidRequest for a time without a zone, or an end before the start."""
    match value:
        case None:
            return None
        case datetime():
            return _instant(name, value)
        case str():
            _check_text(name, value)
            return value
        case (start, end):
            if start is None and end is None:
                return None
            if start is not None and end is not None and end < start:
                raise InvalidRequest(f"{name}: the interval ends before it starts")
            return "/".join(_OPEN if time is None else _instant(name, time) for time in (start, end))
    raise InvalidRequest(f"{name}: expected a time or a pair of times, got {value!r}")


def _instant(name: str, time: datetime) -> str:
    if time.tzinfo is None:
        raise InvalidRequest(
            f"{name}: {time.isoformat()} has no time zone", hint="Use datetime(..., tzinfo=UTC)."
        )
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _check_text(name: str, text: str) -> None:
    parts = text.split("/")
    if len(parts) > 2 or parts == [_OPEN, _OPEN]:  # noqa: PLR2004 - an interval has two ends
        raise InvalidRequest(f"{name}: {text!r} is no instant and no interval (start/end)")
    for part in parts:
        if part == _OPEN and len(parts) > 1:
            continue
        try:
            time = datetime.fromisoformat(part)
        except ValueError:
            raise InvalidRequest(f"{name}: {part!r} is no time like 2026-01-31T00:00:00Z") from None
        _instant(name, time)


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
