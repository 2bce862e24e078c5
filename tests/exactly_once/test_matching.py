"""Telling what was asked for from what exists: a mistake would buy an order twice, or give another away."""

from typing import Any

import pytest

from planet_async.exactly_once import Match, match

POINT = {"type": "Point", "coordinates": [149.44135, 28.4924]}
PRODUCT = {"item_ids": ["a", "b"], "item_type": "PSScene", "product_bundle": "analytic_udm2,visual"}
ASKED: dict[str, Any] = {
    "name": "field 7",
    "products": [PRODUCT],
    "tools": [{"clip": {"aoi": POINT}}],
    "delivery": {"amazon_s3": {"bucket": "fields", "aws_secret_access_key": "abc"}},
}


def compared(**shown: Any) -> Match:
    return match(ASKED, {**ASKED, **shown}, "products")


@pytest.mark.parametrize(
    "shown",
    [
        {},
        {"id": "7", "state": "queued", "order_type": "full"},
        {"tools": None},
        {"products": [{**PRODUCT, "item_ids": ["b", "a"], "product_bundle": "visual"}]},
        {"tools": [{"clip": {"aoi": {**POINT, "coordinates": [149.4413500001, 28.4924]}}}]},
        {"delivery": {"amazon_s3": {"bucket": "fields", "aws_secret_access_key": "<REDACTED>"}}},
    ],
    ids=["as asked", "with more", "with less", "reordered", "rounded", "blacked out"],
)
def test_defaults_and_rounding_are_no_difference(shown: dict[str, Any]) -> None:
    """Defaults, order, rounding and redacted secrets are no difference."""
    assert compared(**shown) is Match.EXACT


@pytest.mark.parametrize(
    "shown",
    [
        {"name": "field 71"},
        {"name": None},
        {"products": [{**PRODUCT, "item_ids": ["a", "c"]}]},
        {"products": [{**PRODUCT, "item_ids": ["a"]}]},
        {"products": [{**PRODUCT, "item_type": "SkySatCollect"}]},
    ],
    ids=["name", "no name", "items", "fewer items", "item type"],
)
def test_another_name_or_product_is_another_order(shown: dict[str, Any]) -> None:
    """The name and the products distinguish orders."""
    assert compared(**shown) is Match.NONE


@pytest.mark.parametrize(
    "shown",
    [
        {"products": None},
        {"products": "many"},
        {"products": [PRODUCT, PRODUCT]},
        {"tools": [{"clip": {"aoi": {**POINT, "coordinates": [7.1, 50.7]}}}]},
        {"tools": []},
        {"delivery": {"amazon_s3": {"bucket": "others"}}},
    ],
    ids=["no product", "odd products", "more products", "another clip", "no tools", "another bucket"],
)
def test_another_difference_makes_a_possible_match(shown: dict[str, Any]) -> None:
    """It may be another order, or this one as the service changed it: the user has to decide."""
    assert compared(**shown) is Match.POSSIBLE


@pytest.mark.parametrize("name", ["ACME/field 7", "FIELD 7 (2)", "field-7"])
def test_a_name_with_more_or_other_signs_is_a_possible_match(name: str) -> None:
    """A service may have added to it, or replaced what is no letter."""
    assert compared(name=name) is Match.POSSIBLE


@pytest.mark.parametrize(
    ("asked", "shown", "expected"),
    [
        ({"type": "ref", "content": "pl:a"}, {"type": "ref", "content": "pl:a"}, Match.EXACT),
        ({"type": "ref", "content": "pl:a"}, {"type": "ref", "content": "pl:b"}, Match.NONE),
        ({"type": "ref", "content": "pl:a"}, {"type": "Polygon", "coordinates": []}, Match.EXACT),
        (POINT, {"type": "Point", "coordinates": [149.44, 28.49]}, Match.POSSIBLE),
        (POINT, {"type": "Point", "coordinates": [7.1, 50.7]}, Match.NONE),
        (POINT, {"type": "Polygon", "coordinates": [[[149.4, 28.4]]]}, Match.POSSIBLE),
        ({"start": "2026-01-01T00:00:00Z"}, {"start": "2026-01-01T01:00:00.0+01:00"}, Match.EXACT),
        ({"start": "2026-01-01T00:00:00Z"}, {"start": "2026-01-02T00:00:00Z"}, Match.NONE),
    ],
)
def test_geometries_and_times_are_compared_by_what_they_mean(
    asked: object, shown: object, expected: Match
) -> None:
    """A reference may come back as its geometry, a point as the square around it, a time in another zone."""
    assert match({"name": "n", "g": asked}, {"name": "n", "g": shown}, "g") is expected


@pytest.mark.parametrize(
    ("asked", "shown", "expected"),
    [
        (1.5, 10**400, Match.NONE),
        (10**400, 1.5, Match.NONE),
        (10**400, 10**400, Match.EXACT),
        (10**400, 10**401, Match.NONE),
        (1.5, float("nan"), Match.NONE),
    ],
)
def test_integers_beyond_all_floats_are_compared(asked: float, shown: float, expected: Match) -> None:
    """JSON has integers of any size; one in a list does not end a create."""
    assert match({"name": "n", "g": {"x": asked}}, {"name": "n", "g": {"x": shown}}, "g") is expected


def test_what_is_nested_too_deeply_is_a_possible_match() -> None:
    """A body can be nested more deeply than Python can recurse."""
    deep: object = "bottom"
    for _ in range(400):
        deep = {"a": deep}
    for other in ({"name": "n", "g": deep}, {"name": "n", "g": "x", "more": deep}):
        assert match(other, other, "g") is Match.POSSIBLE
    assert match({"name": "n", "g": deep}, {"name": "m", "g": deep}, "g") is Match.NONE
