"""From whatever a user put together to JSON."""

import json
from datetime import UTC, date, datetime, timedelta, timezone
from enum import Enum
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planet_async.errors import InvalidRequest
from planet_async.models.bulk import BulkFailure, BulkResult
from planet_async.models.codec import decode, to_json, to_mapping
from planet_async.models.orders import Order, OrderState
from planet_async.models.tools import Merge

POLYGON = {"type": "Polygon", "coordinates": (((0.0, 0.5), (1.0, 0.0), (1.0, 1.0), (0.0, 0.5)),)}

# A busy machine is no reason to fail.
calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Shape:
    __geo_interface__ = POLYGON


class Number(Enum):
    SEVEN = 7


class Text(str):
    __slots__ = ()


class Real(float):
    __slots__ = ()


class Whole(int):
    __slots__ = ()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": None}, {"a": None}),
        (MappingProxyType({"a": (1, 2)}), {"a": [1, 2]}),
        ({"a": OrderState.QUEUED, "b": Number.SEVEN}, {"a": "queued", "b": 7}),
        ({"a": Text("x"), "b": Real(1.5), "c": Whole(3)}, {"a": "x", "b": 1.5, "c": 3}),
        ({Text("a"): True, OrderState.FAILED: False}, {"a": True, "failed": False}),
        ({"a": UUID(int=1)}, {"a": "00000000-0000-0000-0000-000000000001"}),
        ({"a": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)}, {"a": "2026-01-02T03:04:05Z"}),
        (
            {"a": datetime(2026, 1, 2, 3, 4, 5, 600, tzinfo=timezone(timedelta(hours=-5)))},
            {"a": "2026-01-02T08:04:05.000600Z"},
        ),
        ({"a": date(2026, 1, 2)}, {"a": "2026-01-02"}),
        (
            {"aoi": Shape()},
            {"aoi": {"type": "Polygon", "coordinates": [[[0, 0.5], [1, 0], [1, 1], [0, 0.5]]]}},
        ),
        ({"tools": [Merge()]}, {"tools": [{"merge": {}}]}),
        ([1, "a"], [1, "a"]),
        (2**80, 2**80),
        (
            BulkResult(1, (BulkFailure("a", "b"),), ("c",)),
            {
                "succeeded": 1,
                "failures": [{"id": "a", "message": "b", "reason": "failed"}],
                "ids": ["c"],
            },
        ),
        (decode(Order, b'{"id": "a", "state": "queued", "x": 1}'), {"id": "a", "state": "queued", "x": 1}),
    ],
)
def test_to_json(value: object, expected: object) -> None:
    """Records, mappings, geometries, times, enumerations and ids become the JSON that the API takes."""
    assert json.loads(to_json(value)) == expected


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"when": [datetime(2026, 1, 1)]}, "$.when[0]: expected a time with its zone"),  # noqa: DTZ001 - the point
        ({"a": datetime.max.replace(tzinfo=timezone(timedelta(hours=-5)))}, "beyond the years"),
        ({"a": float("nan")}, "$.a: expected a number, got nan"),
        ({"a": [1.0, float("inf")]}, "$.a[1]: expected a number, got inf"),
        ({"a": {"b": {1, 2}}}, "$.a.b: expected something that JSON can hold, got set"),
        ({"a": b"x"}, "$.a: expected something that JSON can hold, got bytes"),
        ({"a": {5: 1}}, "$.a: expected texts as names, got 5"),
        ({"a": "\ud800"}, "a lone surrogate"),
        ({"\ud800": "a"}, "a lone surrogate"),
        (object(), "$: expected something that JSON can hold, got object"),
    ],
)
def test_what_json_cannot_hold(value: object, says: str) -> None:
    """What cannot be sent is refused with its place, and never becomes a null or a guess."""
    with pytest.raises(InvalidRequest) as caught:
        to_json(value)
    assert says in str(caught.value)


def test_a_mapping_that_holds_itself() -> None:
    """A mapping that holds itself is refused, not followed for ever."""
    endless: dict[str, Any] = {}
    endless["again"] = [endless]
    with pytest.raises(InvalidRequest, match="nested too deeply, or contains itself"):
        to_json(endless)


@pytest.mark.parametrize("value", [[1], "a", None, 5])
def test_to_mapping_returns_a_mapping(value: object) -> None:
    """What is no object in JSON is no mapping."""
    with pytest.raises(InvalidRequest, match="expected a mapping, got "):
        to_mapping(value)


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary(max_size=3)
    | st.datetimes(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)


@pytest.mark.no_cover
@calm
@given(anything)
def test_any_value(value: object) -> None:
    """Any value is written as JSON or refused with InvalidRequest."""
    try:
        body = to_json(value)
    except InvalidRequest as error:
        assert str(error)  # noqa: PT017 - either way is right, so there is nothing to wait for
    else:
        assert to_json(json.loads(body)) == body
