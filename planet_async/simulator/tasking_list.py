"""One page of a Tasking list: filters as in Django, ordering, ``limit`` and ``offset``.

A filter or an ordering that there is not is ignored, as Django's lists do it [L].
"""

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlencode

import msgspec

from planet_async.simulator.exchange import Answer, Call, Refused, json_answer
from planet_async.simulator.tasking_json import Json, bounds
from planet_async.simulator.times import parse

T = TypeVar("T")
Test = Callable[[Json], bool]

# Fields that an order shows only where it was asked for them.
_OPTIONAL = frozenset({"pl_number", "product", "cloud_threshold", "satellite_types", "early_start"})

MAX_LIMIT = 500  # no maximum is documented: ours [L]

_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
_CREATED = "created_time"


def page(call: Call, url: str, things: Sequence[T], render: Callable[[T], Json], limit: int) -> Answer:
    """Answer with the part of the list that is asked for; `things` come oldest first."""
    tests = list(_tests(call.params))
    ordering = (call.param("ordering") or f"-{_CREATED}").split(",")  # the default is not documented [L]
    limit = min(_whole(call.param("limit")) or limit, MAX_LIMIT)
    offset = _whole(call.param("offset"))
    if not tests and ordering in ([_CREATED], [f"-{_CREATED}"]):
        shown = things if ordering == [_CREATED] else things[::-1]
        count, results = len(shown), [render(thing) for thing in shown[offset : offset + limit]]
    else:
        found = [json for json in map(render, things) if all(test(json) for test in tests)]
        for field in reversed(ordering):
            name, down = field.lstrip("-"), field.startswith("-")
            found.sort(key=lambda json: _sortable(json, name), reverse=down)
        count, results = len(found), found[offset : offset + limit]

    def link(start: int) -> str:
        pairs = [
            pair
            for pair in parse_qsl(call.query, keep_blank_values=True)
            if pair[0] not in {"limit", "offset"}
        ]
        return f"{url}?{urlencode([('limit', limit), ('offset', start), *pairs])}"

    return json_answer(
        {
            "count": count,
            "next": link(offset + limit) if offset + limit < count else None,
            "previous": link(max(0, offset - limit)) if offset > 0 else None,
            "results": results,
        }
    )


def _whole(text: str) -> int:
    """Read a number; what is none counts as not given, as Django has it [L]."""
    return int(text) if text.isascii() and text.isdigit() else 0


def _sortable(json: Json, field: str) -> tuple[bool, Any]:
    value = json.get(field)
    if value is None or isinstance(value, dict | list):
        return True, 0
    return False, parse(value) if field.endswith("_time") else value


def _tests(params: Mapping[str, Sequence[str]]) -> Iterator[Test]:
    for name, values in params.items():
        field, _, comparison = name.partition("__")
        if name not in {"limit", "offset", "ordering"}:
            try:
                test = _test(field, comparison, values[-1])
            except ValueError as error:
                raise Refused(json_answer({name: [str(error)]}, 400)) from None
            yield partial(_passes, field, test)


def _passes(field: str, test: Callable[[Any], bool], json: Json) -> bool:
    if json.get(field) is None:
        return field not in json and field not in _OPTIONAL
    return test(json[field])


def _test(field: str, comparison: str, text: str) -> Callable[[Any], bool]:
    """Give the test of a value that is not null; ValueError for a text that is no value."""
    timed = field.endswith("_time")
    if comparison == "icontains":
        return lambda value: text.lower() in str(value).lower()
    if comparison == "intersects":
        box = _box(text)
        return lambda value: _overlap(_box_of(value), box)
    if comparison in {"", "in"}:
        words = {parse(word) if timed else word for word in (text.split(",") if comparison else [text])}
        return lambda value: (parse(value) if timed else _word(value)) in words
    if comparison not in _COMPARE:
        return lambda _: True
    compare, bound = _COMPARE[comparison], parse(text) if timed else float(text)
    return lambda value: compare(parse(value) if timed else float(value), bound)


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


Box = tuple[float, float, float, float]


def _box(text: str) -> Box:
    try:
        return _box_of(msgspec.json.decode(text))
    except (msgspec.DecodeError, LookupError, TypeError):
        raise ValueError("a GeoJSON geometry was expected") from None


def _box_of(geometry: Mapping[str, Any]) -> Box:
    """Give the box around a geometry: as near as this comes to intersecting [L]."""
    return bounds(list(_points(geometry["coordinates"])))


def _points(coordinates: Sequence[Any]) -> Iterable[Sequence[float]]:
    if isinstance(coordinates[0], int | float):
        return [coordinates]
    return chain.from_iterable(map(_points, coordinates))


def _overlap(a: Box, b: Box) -> bool:
    return a[0] <= b[1] and b[0] <= a[1] and a[2] <= b[3] and b[2] <= a[3]
