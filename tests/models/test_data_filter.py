"""Filters of a search: what they render to, and what is refused."""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import msgspec
import numpy as np
import pytest
from planet import data_filter as official
from shapely.geometry import box

from planet_async import (
    AndFilter,
    AssetFilter,
    DateRange,
    DateRangeFilter,
    Filter,
    GeometryFilter,
    InvalidRequest,
    NotFilter,
    NumberInFilter,
    NumberRange,
    OrFilter,
    PermissionFilter,
    RangeFilter,
    SearchRequest,
    StringInFilter,
    UnknownKeyWarning,
    UpdateFilter,
    where,
)
from planet_async.models.codec import checked_body, to_mapping

FIELD = {"type": "Polygon", "coordinates": [[[7.0, 46.5], [7.1, 46.5], [7.1, 46.6], [7.0, 46.5]]]}
JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
REFERENCE = "pl:features/my/fields/7"

clear = where.cloud_cover.below(0.1)
recent = where.acquired.since("2026-01-01")

SAME: Mapping[str, tuple[Filter, Any]] = {
    "and": (AndFilter([clear]), official.and_filter([official.range_filter("cloud_cover", lt=0.1)])),
    "all": (AndFilter(), official.empty_filter()),
    "or": (OrFilter([clear]), official.or_filter([official.range_filter("cloud_cover", lt=0.1)])),
    "not": (~clear, official.not_filter(official.range_filter("cloud_cover", lt=0.1))),
    "date range": (
        where.acquired.between(JANUARY, datetime(2026, 2, 1, tzinfo=UTC)),
        official.date_range_filter("acquired", gte=JANUARY, lt=datetime(2026, 2, 1, tzinfo=UTC)),
    ),
    "dates after, up to": (
        DateRangeFilter("published", DateRange(gt=JANUARY, lte=JANUARY)),
        official.date_range_filter("published", gt=JANUARY, lte=JANUARY),
    ),
    "range": (
        where.view_angle.between(-5, 5),
        official.range_filter("view_angle", gte=-5, lte=5),
    ),
    "update": (
        where.ground_control.changed_since(JANUARY),
        official.update_filter("ground_control", gte=JANUARY),
    ),
    "geometry": (where.geometry(FIELD), official.geometry_filter(FIELD)),
    "geometry within": (where.geometry(FIELD, "within"), official.geometry_filter(FIELD, "within")),
    "numbers": (where.gsd.one_of(3, 3.7), official.number_in_filter("gsd", [3, 3.7])),
    "texts": (
        where.instrument.one_of("PS2", "PSB.SD"),
        official.string_in_filter("instrument", ["PS2", "PSB.SD"]),
    ),
    "assets": (where.asset("ortho_udm2"), official.asset_filter(["ortho_udm2"])),
    "permission": (where.permission(), official.permission_filter()),
    "quality": (where.quality_category.one_of("standard"), official.std_quality_filter()),
}


def by_meaning(value: Any) -> Any:
    """Read times, so that ``Z`` and ``+00:00`` are the same."""
    if isinstance(value, dict):
        return {key: by_meaning(part) for key, part in value.items()}
    if isinstance(value, list):
        return [by_meaning(part) for part in value]
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return value


@pytest.mark.parametrize(("ours", "theirs"), SAME.values(), ids=SAME)
def test_each_filter_is_the_one_of_the_official_client(ours: Filter, theirs: Any) -> None:
    """For the same question both send the same; as a plain mapping it passes as it is, and is read back."""
    sent = ours.to_dict()
    assert by_meaning(sent) == by_meaning(theirs)
    assert by_meaning(_sent(theirs)) == by_meaning(theirs)
    assert SearchRequest.from_dict({"item_types": ["PSScene"], "filter": sent}).filter == ours


def _sent(filter_: object) -> Any:
    return msgspec.json.decode(checked_body(SearchRequest, {"item_types": ["PSScene"], "filter": filter_}))[
        "filter"
    ]


def test_filters_combine_with_each_other_and_with_mappings() -> None:
    """Filters of one kind are joined in one list, in their order; a mapping may stand on either side."""
    plain = {"type": "AssetFilter", "config": ["ortho_udm2"]}
    both = [to_mapping(recent), to_mapping(clear)]
    assert (recent & clear & plain).to_dict() == {"type": "AndFilter", "config": [*both, plain]}
    assert (plain & recent & clear).to_dict() == {"type": "AndFilter", "config": [plain, *both]}
    assert (recent | clear | plain).to_dict() == {"type": "OrFilter", "config": [*both, plain]}
    assert (plain | clear).to_dict() == {"type": "OrFilter", "config": [plain, both[1]]}
    assert (~(recent | clear) & plain).to_dict() == {
        "type": "AndFilter",
        "config": [{"type": "NotFilter", "config": {"type": "OrFilter", "config": both}}, plain],
    }
    assert recent & clear == AndFilter([recent, clear])
    assert len({clear, where.cloud_cover.below(0.1)}) == 1


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("2026-01-01", "2026-01-01T00:00:00Z"),
        (date(2026, 1, 1), "2026-01-01T00:00:00Z"),
        (datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))), "2026-01-01T00:00:00Z"),
        ("2026-01-01T01:00:00+01:00", "2026-01-01T01:00:00+01:00"),
    ],
)
def test_a_day_begins_in_utc(value: Any, sent: str) -> None:
    """Days and times with a zone are written as RFC 3339, in records and in plain mappings."""
    assert where.acquired.after(value).to_dict()["config"] == {"gt": sent}
    plain = {"type": "DateRangeFilter", "field_name": "acquired", "config": {"gt": value}}
    assert _sent(plain)["config"] == {"gt": sent}


def test_values_of_other_libraries_are_written_plainly() -> None:
    """Numbers of numpy, shapes of shapely and booleans are sent as the API takes them."""
    assert where.cloud_cover.below(np.float64(0.1)) == clear
    assert where.gsd.one_of(*np.array([3.0])) == NumberInFilter("gsd", [3.0])
    assert where.geometry(box(7, 46, 8, 47)).to_dict()["config"]["type"] == "Polygon"
    assert where.ground_control.one_of(True) == StringInFilter("ground_control", ["true"])
    assert where.number("rows").above(5) == RangeFilter("rows", NumberRange(gt=5))
    feature = {"type": "Feature", "properties": {}, "geometry": FIELD}
    assert _sent({"type": "GeometryFilter", "config": feature}) == where.geometry(FIELD).to_dict()


REFUSED: Mapping[str, tuple[Callable[[], object], str]] = {
    "reversed numbers": (
        lambda: where.cloud_cover.between(0.9, 0.1),
        "NumberRange.lt: the range ends",
    ),
    "reversed times": (lambda: where.acquired.between("2026-02-01", JANUARY), "DateRange.lt: the range ends"),
    "no end": (lambda: RangeFilter("gsd", NumberRange()), "NumberRange.gte: expected gt, gte, lt or lte"),
    "not finite": (lambda: where.cloud_cover.below(float("nan")), "expected a finite number"),
    "a text as number": (lambda: where.cloud_cover.below("0.1"), "expected a finite number, got a text"),  # type: ignore[arg-type]
    "no zone": (lambda: where.acquired.since("2026-01-01T00:00:00"), "expected a time with its zone"),
    "no time": (lambda: where.acquired.since("soon"), "expected a time like"),
    "no assets": (where.asset, "AssetFilter.config: expected one asset type or more"),
    "no texts": (where.instrument.one_of, "StringInFilter.config: expected one text or more"),
    "no numbers": (where.gsd.one_of, "NumberInFilter.config: expected one number or more"),
    "no permissions": (lambda: PermissionFilter([]), "expected one permission or more"),
    "no filters": (lambda: OrFilter([]), "OrFilter.config: expected one filter or more"),
    "one text": (lambda: AssetFilter("ortho_udm2"), "AssetFilter.config: expected a list, got a text"),
    "numbers as texts": (lambda: where.instrument.one_of(3), "expected texts, got 3"),  # type: ignore[arg-type]
    "texts as numbers": (lambda: where.gsd.one_of("3"), "expected finite numbers, got a text"),  # type: ignore[arg-type]
    "no filter": (lambda: clear & 7, "AndFilter.config: expected filters, got 7"),  # type: ignore[operator]
    "negated text": (lambda: NotFilter("clear"), "NotFilter.config: expected a filter, got a text"),  # type: ignore[arg-type]
    "no property": (lambda: RangeFilter("", NumberRange(lt=1)), "RangeFilter.field_name: expected the name"),
    "open ring": (lambda: where.geometry({**FIELD, "coordinates": [[[7, 46]] * 3]}), "a ring has four"),
    "a reference": (lambda: where.geometry(REFERENCE), "goes into the geometry of the search"),
    "a collection": (
        lambda: GeometryFilter({"type": "GeometryCollection", "geometries": [FIELD]}),
        "got GeometryCollection",
    ),
    "no relation": (lambda: where.geometry(FIELD, "touches"), "expected one of intersects, contains"),
    "a relation of two": (lambda: where.geometry(FIELD, ["within"]), "expected one of intersects"),  # type: ignore[arg-type]
    "no range of updates": (lambda: UpdateFilter("gsd", None), "expected an object, got null"),  # type: ignore[arg-type]
    "two negated": (lambda: NotFilter([clear, clear]), "expected a filter, got a list"),  # type: ignore[arg-type]
    "updates before": (
        lambda: UpdateFilter("gsd", DateRange(lt=JANUARY)),
        "UpdateFilter.config: expected gt or gte only",
    ),
}


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_right_is_refused(make: Callable[[], object], message: str) -> None:
    """The message names the part and what was expected."""
    with pytest.raises(InvalidRequest, match=message):
        make()


def test_a_plain_mapping_is_checked_as_well() -> None:
    """All that is wrong in it is reported at once, each with its path."""
    wrong = {
        "type": "AndFilter",
        "config": [
            {"type": "RangeFilter", "field_name": "cloud_cover", "config": {"gte": 0.9, "lte": 0.1}},
            {"type": "NotFilter", "config": [{"type": "StringInFilter", "field_name": "x", "config": []}]},
            {"type": "DateRangeFilter", "config": {"gt": "soon"}},
            {"config": []},
            7,
        ],
    }
    with pytest.raises(InvalidRequest) as caught:
        _sent(wrong)
    assert caught.value.message == (
        "$.filter.config[0].config.lt: the range ends before it begins; "
        "$.filter.config[1].config[0].config: expected one text or more: an empty list finds nothing; "
        "$.filter.config[2].field_name: missing; "
        "$.filter.config[2].config.gt: expected a time like 2026-01-31T00:00:00Z, got a text; "
        "$.filter.config[3].type: expected a text, the type of the filter, got null; "
        "$.filter.config[4]: expected an object, got 7"
    )


def test_what_the_api_needs_is_added() -> None:
    """A list that may be empty, the usual permission, and one filter where an older page has a list."""
    assert _sent({"type": "AndFilter"}) == {"type": "AndFilter", "config": []}
    assert _sent({"type": "PermissionFilter", "config": None}) == where.permission().to_dict()
    assert _sent({"type": "NotFilter", "config": [clear]}) == (~clear).to_dict()
    assert NotFilter([clear]) == ~clear  # type: ignore[arg-type]


def test_a_filter_that_is_unknown_here_is_sent_as_it_is() -> None:
    """Planet may add kinds; one that looks misspelt is warned of."""
    new = {"type": "Similarity", "config": {"direction": "ascending"}}
    assert _sent(new) == new
    with pytest.warns(UnknownKeyWarning, match="is 'RangeFilter' meant"):
        _sent({"type": "RangeFilters", "config": {}})


@pytest.mark.parametrize(
    ("area", "sent"),
    [
        (FIELD, FIELD),
        ({"type": "Feature", "properties": {}, "geometry": FIELD}, FIELD),
        (REFERENCE, {"type": "ref", "content": REFERENCE}),
        ([REFERENCE, REFERENCE], {"type": "ref", "content": [REFERENCE, REFERENCE]}),
        ({"type": "ref", "content": [REFERENCE]}, {"type": "ref", "content": [REFERENCE]}),
    ],
)
def test_an_area_may_be_a_geometry_or_references(area: object, sent: Mapping[str, Any]) -> None:
    """In a record, and in a plain mapping."""
    for request in (SearchRequest("PSScene", geometry=area), {"item_types": ["PSScene"], "geometry": area}):
        body = msgspec.json.decode(checked_body(SearchRequest, request))
        assert body == {
            "item_types": ["PSScene"],
            "filter": {"type": "AndFilter", "config": []},
            "geometry": sent,
        }
    with pytest.raises(InvalidRequest, match="geometry"):
        SearchRequest("PSScene", geometry=[REFERENCE, "field 7"])


def test_item_types_are_needed() -> None:
    """An empty list finds nothing."""
    for wrong in ([], "", 7, [""]):
        with pytest.raises(InvalidRequest, match=r"SearchRequest\.item_types"):
            SearchRequest(wrong)  # type: ignore[arg-type]
