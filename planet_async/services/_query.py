"""The arguments of a call, checked before anything is sent, and written as query parameters."""

import operator
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec
from math import isfinite, isnan
from pathlib import Path, PurePath
from typing import Any, SupportsIndex, TypeVar, get_type_hints
from urllib.parse import quote
from uuid import UUID

import msgspec

from planet_async.downloads.destination import Destination
from planet_async.downloads.part_file import Folder
from planet_async.errors import InvalidRequest, type_name
from planet_async.models.codec import rfc3339
from planet_async.models.geometry import to_geojson
from planet_async.services.filters import TimeFilter

T = TypeVar("T")
Params = tuple[tuple[str, str], ...]

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_USER = re.compile(r"all|[0-9]+", re.ASCII)
_ADDRESS = re.compile(r"(s3|gs|az):/|[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_LONGEST_SHOWN = 100  # characters
_LARGEST = 2**63 - 1
_OPEN_END = ".."


def shown(value: object) -> str:
    """Return a value as messages show it."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - such as a number of too many digits; or it is the caller's own
        return type_name(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


# --- Ids and numbers


def checked_id(value: object, noun: str = "order") -> str:
    """Return the id as the API writes it, in lower case; InvalidRequest unless it is a UUID."""
    text = str(value) if isinstance(value, str | UUID) else ""
    if not is_uuid(text):
        raise InvalidRequest(f"{shown(value)} is no {noun} id: a UUID was expected; nothing was sent")
    return text.lower()


def is_uuid(text: str) -> bool:
    """Return whether a text is a UUID, as the API writes one."""
    return _UUID.fullmatch(text) is not None


def any_id(value: object) -> str:
    """Return an id of any form in lower case, as that of a notification; InvalidRequest unless it is text."""
    return text("an id", str(value) if isinstance(value, UUID) else value).lower()


def path_part(noun: str, value: object) -> str:
    """Return an id of any form as it stands in a path; InvalidRequest for what would be another path."""
    id_ = text(f"a {noun} id", str(value) if isinstance(value, UUID) else value)
    if not id_.strip(".") or not id_.isprintable():
        raise InvalidRequest(f"{shown(value)} is no {noun} id; nothing was sent")
    return quote(id_, safe="")


def checked_ids(values: Iterable[str | UUID], noun: str = "order") -> Iterator[str]:
    """Yield ids as `checked_id` returns them, each checked when it is asked for.

    They are read now, so that nothing changes if the caller's list does.
    """
    return (checked_id(value, noun) for value in many(f"{noun} ids", values))


def many(what: str, values: Iterable[T]) -> list[T]:
    """Return the items of a list; InvalidRequest for one thing where several were expected."""
    items = _iterator(values)
    if items is None:
        raise InvalidRequest(f"expected a list of {what}, not {type_name(values)}; nothing was sent")
    return [*items]


def _iterator(values: object) -> Iterator[Any] | None:
    """Return an iterator over several things; None where it is one thing."""
    if isinstance(values, str | bytes | bytearray | Mapping) or not isinstance(values, Iterable):
        return None
    try:
        return iter(values)
    except TypeError:  # such as an array without a dimension
        return None


def path(name: str, value: object) -> Path:
    """Return the path of a file or folder; raise InvalidRequest for anything else."""
    try:
        found = Path(value)  # type: ignore[arg-type]  # that is what is found out
        if b"\0" not in os.fsencode(found):
            return found
    except (TypeError, ValueError):  # a UnicodeEncodeError is one
        pass
    raise InvalidRequest(f"{name} must be the path of a file or folder, not {shown(value)}")


def folder(name: str, value: object) -> Folder:
    """Return the folder of that path."""
    if _is_store(value):
        raise InvalidRequest(
            f"{name} must be a folder: these files cannot be sent to an object store; nothing was sent"
        )
    return Folder(path(name, value))


def destination(name: str, value: object) -> Destination[Path | str]:
    """Return the folder of that path, or the object store of that address; neither is touched.

    Raises:
        InvalidRequest: It is neither, the environment is wrong, or obstore is not installed.
    """
    if not _is_store(value):
        return Folder(path(name, value))
    if find_spec("obstore") is None:
        raise InvalidRequest(
            "object stores are used through obstore, which is not installed; nothing was sent",
            hint='Install "planet-async[obstore]".',
        )
    from planet_async.downloads.object_store import ObjectStore  # noqa: PLC0415 - it needs obstore

    return ObjectStore(str(value))


def _is_store(value: object) -> bool:
    """Return whether it is an address, right or wrong, and not a folder."""
    return isinstance(value, str | PurePath) and _ADDRESS.match(str(value)) is not None


def whole(name: str, value: object, *, least: int = 1) -> int:
    """Return a whole number of any type as an int; InvalidRequest for all else and for less than `least`."""
    try:
        number = None if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = None
    if number is None:
        raise InvalidRequest(f"{name} must be a whole number, not {shown(value)}")
    if abs(number) > _LARGEST:
        raise InvalidRequest(f"{name} is too large a number")
    if number < least:
        raise InvalidRequest(f"{name} must be at least {least}, not {number}")
    return number


def optional_whole(name: str, value: object, *, least: int = 1) -> int | None:
    """Return a number as `whole` does, or None for None."""
    return None if value is None else whole(name, value, least=least)


def seconds(name: str, value: object) -> float | None:
    """Return a number of seconds, or None; InvalidRequest unless it is a number from 0 on."""
    if value is None:
        return None
    try:
        number = float("nan") if isinstance(value, str | bytes | bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if isnan(number) or number < 0:
        raise InvalidRequest(f"{name} must be a number of seconds, at least 0, not {shown(value)}")
    return number


# --- Queries


def params(**values: str | int | None) -> Params:
    """Return the parameters that are not None."""
    return tuple((name, str(value)) for name, value in values.items() if value is not None)


def filter_params(declared: type, filters: Mapping[str, Any]) -> Params:
    """Return filters as parameters, written as the class `declared` (see `filters`) says.

    Raises:
        InvalidRequest: the list has no such filter, or a value cannot be right.
    """
    kinds, found = _kinds(declared), list[tuple[str, str]]()
    for name, value in filters.items():
        if name not in kinds:
            close = get_close_matches(name, kinds, n=1)
            hint = f"Did you mean {close[0]}?" if close else f"The filters are {', '.join(kinds)}."
            raise InvalidRequest(f"there is no filter {name!r}; nothing was sent", hint=hint)
        if value is not None:
            texts = _WRITERS[kinds[name]](name, value)
            found += [(name, text) for text in ([texts] if isinstance(texts, str) else texts)]
    return tuple(found)


@cache
def _kinds(declared: type) -> Mapping[str, object]:
    return get_type_hints(declared)


def open_filter_params(declared: type, named: Mapping[str, Any], filters: Mapping[str, Any]) -> Params:
    """Return the parameters of a list of Tasking or Quota, which has more filters than are declared here.

    What an undeclared one of `filters` means shows in its name and value.
    """
    if not isinstance(filters, Mapping):
        raise InvalidRequest(f"filters must be a mapping, not {type_name(filters)}")
    known, other = dict(named), list[tuple[str, str]]()
    for name, value in filters.items():
        if named.get(name) is not None or name in _NOT_FILTERS:
            raise InvalidRequest(f"filters: {name} is a parameter of its own, or is given twice")
        if name in _kinds(declared) and value is not None:
            known[name] = value
        else:
            other.append((text("the name of a filter", name), _undeclared(name, value)))
    return (*filter_params(declared, known), *other)


_NOT_FILTERS = ("limit", "offset", "ordering", "sort")


def _undeclared(name: str, value: Any) -> str:
    field = name.partition("__")[0]
    if isinstance(value, bool):
        return _flag(name, value)
    if isinstance(value, datetime) or (isinstance(value, str) and field.endswith("_time")):
        return _moment(name, value)
    if isinstance(value, str | UUID) or (isinstance(value, float) and isfinite(value)):
        return text(name, str(value))
    if isinstance(value, SupportsIndex):
        return str(whole(name, value, least=-_LARGEST))
    if field.endswith("geometry"):
        return _geometry(name, value)
    items = _iterator(value)
    if items is None:
        raise InvalidRequest(f"{name}: expected a text, a number, a time or a list, not {type_name(value)}")
    return ",".join(_not_empty(name, [_undeclared(name, item) for item in items]))


def joined(name: str, value: str | Iterable[str] | None) -> str | None:
    """Return one text, or several separated by commas."""
    return None if value is None else ",".join(_texts(name, value))


def user(value: int | str | None) -> str | None:
    """Return a `user_id` as text: a number, or "all"."""
    if value is None:
        return None
    if isinstance(value, str):
        if not _USER.fullmatch(value):
            raise InvalidRequest(f"user_id must be a number or 'all', not {shown(value)}; nothing was sent")
        return value
    return str(whole("user_id", value))


def text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidRequest(f"{name} must be a text, not {type_name(value)}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidRequest(f"{name}: {shown(value)} is no valid Unicode") from None
    return str(value)


def optional_text(name: str, value: object) -> str | None:
    """Return a text as `text` does, or None for None."""
    return None if value is None else text(name, value)


def one_of(name: str, value: object, words: Sequence[str]) -> str:
    """Return one of the words that the API has for a parameter; InvalidRequest for all else."""
    if not isinstance(value, str) or value not in words:
        raise InvalidRequest(f"{name} must be {', '.join(words)}, not {shown(value)}; nothing was sent")
    return value


def either(hint: str = "", **values: object) -> None:
    """Raise InvalidRequest unless exactly one of the arguments is not None."""
    if sum(value is not None for value in values.values()) != 1:
        raise InvalidRequest(f"expected either {' or '.join(values)}; nothing was sent", hint=hint)


def _texts(name: str, value: object) -> list[str]:
    if isinstance(value, str):
        return [text(name, value)]
    items = _iterator(value)
    if items is None:
        raise InvalidRequest(f"{name} must be a text or a list of texts, not {type_name(value)}")
    return _not_empty(name, [text(name, item) for item in items])


def _not_empty(name: str, texts: list[str]) -> list[str]:
    if not texts:  # what the API makes of it is not known; it could be: everything
        raise InvalidRequest(f"{name}: an empty list asks for nothing; nothing was sent")
    return texts


def _flag(name: str, value: object) -> str:
    if not isinstance(value, bool):
        raise InvalidRequest(f"{name} must be True or False, not {shown(value)}")
    return "true" if value else "false"


def _geometry(name: str, value: object) -> str:
    if isinstance(value, str):  # a reference, or WKT
        return text(name, value)
    return msgspec.json.encode(to_geojson(value, where=name)).decode()


# --- Times


def _interval(name: str, value: object) -> str | Sequence[str]:
    """Write an instant or an interval; one that is open at both ends is not given."""
    match value:
        case str() if "/" in value:
            texts = value.split("/")
            if len(texts) > 2 or texts == [_OPEN_END, _OPEN_END]:  # noqa: PLR2004 - an interval has two ends
                raise InvalidRequest(f"{name}: {shown(value)} is no instant and no interval (start/end)")
            return _between(name, [None if text == _OPEN_END else text for text in texts])
        case str() | datetime():
            return _moment(name, value)
        case (None, None):
            return ()
        case (datetime() | None, datetime() | None):
            return _between(name, value)
    raise InvalidRequest(
        f"{name}: expected a time or a pair of times, got {shown(value)}",
        hint="An interval is a pair of datetimes, or a text with / between its start and end.",
    )


def _between(name: str, ends: Sequence[object]) -> str:
    texts = [None if end is None else _moment(name, end) for end in ends]
    start, end = (None if text is None else datetime.fromisoformat(text) for text in texts)
    if start is not None and end is not None and end < start:
        raise InvalidRequest(f"{name}: the interval ends before it starts")
    return "/".join(text or _OPEN_END for text in texts)


def _moment(name: str, value: object) -> str:
    if isinstance(value, str) and "/" in value:
        raise InvalidRequest(f"{name}: {shown(value)} is an interval; the API compares with an instant")
    return rfc3339(value, f"{name}: {shown(value)}: ")


def _day(name: str, value: object) -> str:
    if isinstance(value, datetime):
        raise InvalidRequest(f"{name}: a day was expected, not a time: reports are on whole GMT days")
    try:
        day = date.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        day = None
    if not isinstance(day, date):
        raise InvalidRequest(f"{name}: {shown(value)} is no day like 2026-05-01")
    return day.isoformat()


_WRITERS: Mapping[object, Callable[[str, Any], str | Sequence[str]]] = {
    str | None: text,
    str | Sequence[str] | None: _texts,
    Sequence[str] | None: lambda name, value: ",".join(_texts(name, value)),
    bool | None: _flag,
    int | None: lambda name, value: str(whole(name, value)),
    int | str | None: lambda _, value: user(value) or "",
    str | UUID | None: lambda _, value: checked_id(value),
    object | None: _geometry,
    TimeFilter | None: _interval,
    str | datetime | None: _moment,
    date | str | None: _day,
}
"""How a filter is written, by its type in the class that declares it."""
