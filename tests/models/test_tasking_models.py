"""Tasking models: every recorded body decodes with nothing lost, and requests are checked and read back."""

import copy
import json
import pickle
import string
import weakref
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import attrs
import pytest
from attrs.exceptions import FrozenInstanceError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planet_async.errors import DecodeError, InvalidRequest
from planet_async.models.base import RequestModel, Resource
from planet_async.models.codec import checked_body, decode, to_json
from planet_async.models.tasking import (
    BulkJob,
    BulkStatus,
    Capture,
    CaptureStatus,
    ImagingWindow,
    ImagingWindowSearch,
    Pricing,
    PricingFailure,
    PricingPreview,
    SearchStatus,
    TaskingOrder,
    TaskingStatus,
)
from planet_async.models.tasking_request import (
    ImagingWindowRequest,
    PricingRequest,
    TaskingOrderChanges,
    TaskingOrderRequest,
)

POINT = {"type": "Point", "coordinates": [149.44, 28.49]}
LINE = {"type": "LineString", "coordinates": [[10.92, 48.91], [10.78, 49.07]]}
POLYGON = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}
ANSWERS: list[type[Resource]] = [
    TaskingOrder, Capture, BulkJob, Pricing, PricingPreview, ImagingWindow, ImagingWindowSearch,
]  # fmt: skip
NEEDED = {"id": "x", "status": "NEW", "estimated_quota_cost": 1, "total_estimated_quota_cost": 2}

FIELDS = sorted(
    {name for cls in ANSWERS for name in cls.__annotations__} - NEEDED.keys()
    | {"geometry", "imaging_windows", "pricing_details", "later"}
)

numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize(
    ("name", "cls"),
    [
        ("order_created_docs_2020", TaskingOrder),
        ("pricing_model_docs", Pricing),
        ("pricing_replaced_orders_docs", Pricing),
        ("pricing_bulk_docs", PricingPreview),
        ("pricing_bulk_partial_failure_docs", PricingPreview),
    ],
)
def test_every_recorded_body_decodes(samples: Path, name: str, cls: type[Resource]) -> None:
    """`raw` has every field, and the fields are those of the body."""
    body = (samples / "tasking" / f"{name}.json").read_bytes()
    found = decode(cls, body)
    assert found.raw == json.loads(body)


def test_every_sample_is_known(samples: Path) -> None:
    """A new recorded body must not go untested; the response to an edit is no order, and is not read."""
    names = {path.stem for path in (samples / "tasking").glob("*.json")}
    assert names == {
        "order_created_docs_2020",
        "order_put_response_docs",
        "pricing_model_docs",
        "pricing_replaced_orders_docs",
        "pricing_bulk_docs",
        "pricing_bulk_partial_failure_docs",
    }


def test_the_recorded_order(samples: Path) -> None:
    """Times are aware, null is None, the geometries are there."""
    order = decode(TaskingOrder, (samples / "tasking" / "order_created_docs_2020.json").read_bytes())
    assert (order.status, order.name) == (TaskingStatus.RECEIVED, "test_order_426")
    assert order.created_time == datetime(2020, 3, 23, 12, 26, 36, 137220, tzinfo=UTC)
    assert (order.requested_sqkm, order.rrule, order.is_cancellable) == (25.0, None, False)
    assert order.original_geometry == {"type": "Point", "coordinates": [149.441357, 28.492403]}
    assert (order.geometry or {})["type"] == "Polygon"
    assert order.fulfilled_geometry is None


def test_both_kinds_of_price(samples: Path) -> None:
    """A price by the model, and one by the orders that had to make way."""
    model = decode(Pricing, (samples / "tasking" / "pricing_model_docs.json").read_bytes())
    assert (model.determined_by, model.units, model.replaced_orders) == ("pricing_model", "SQKM", ())
    assert model.pricing_model is not None
    assert model.pricing_model.multipliers[0].name == "imaging_mode"
    replaced = decode(Pricing, (samples / "tasking" / "pricing_replaced_orders_docs.json").read_bytes())
    assert replaced.determined_by == "replaced_orders"
    costs = [order.cost for order in replaced.replaced_orders]
    assert (costs, replaced.estimated_quota_cost) == ([25.0, 25.0, 25.0], 75.0)


def test_failures_keep_their_place(samples: Path) -> None:
    """Where one of many could not be priced, the others stay where they are."""
    body = (samples / "tasking" / "pricing_bulk_partial_failure_docs.json").read_bytes()
    first, *others = decode(PricingPreview, body).pricing_details
    assert isinstance(first, PricingFailure)
    assert first.error == "Failed to calculate order pricing."
    assert first.raw == {"message": {"error": "Failed to calculate order pricing."}}
    assert [price.estimated_quota_cost for price in others if isinstance(price, Pricing)] == [25.0, 63.775]


@pytest.mark.parametrize(
    ("detail", "error"),
    [
        ({"message": "too far"}, "too far"),
        ({"message": {"error": ""}}, "no reason"),
        ({"message": 5}, "no reason"),
        ({}, "no reason"),
        (None, "no reason"),
        ([], "no reason"),
    ],
)
def test_a_failure_of_any_shape(detail: object, error: str) -> None:
    """Whatever stands where a price should be is a failure, in its place."""
    body = {"total_estimated_quota_cost": 0, "pricing_details": [detail]}
    [found] = decode(PricingPreview, to_json(body)).pricing_details
    assert isinstance(found, PricingFailure)
    assert error in found.error


def test_a_preview_without_details_has_none() -> None:
    """Also where it says nonsense."""
    assert decode(PricingPreview, b'{"total_estimated_quota_cost": 1}').pricing_details == ()
    assert (
        decode(PricingPreview, b'{"total_estimated_quota_cost": 1, "pricing_details": 5}').pricing_details
        == ()
    )


@pytest.mark.parametrize("cls", [TaskingOrder, Capture, BulkJob, ImagingWindow, ImagingWindowSearch])
@pytest.mark.parametrize("id_", [None, "", 7])
def test_what_has_no_id_is_of_no_use(cls: type[Resource], id_: object) -> None:
    """The error names the field."""
    with pytest.raises(DecodeError, match=r"\$\.id"):
        decode(cls, to_json({"status": "PENDING", "id": id_}))


def test_a_price_without_the_price() -> None:
    """It is no price."""
    with pytest.raises(DecodeError, match=r"\$\.estimated_quota_cost` is missing"):
        decode(Pricing, b'{"units": "SQKM"}')


@pytest.mark.no_cover
@given(fields=st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=6))
@calm
def test_odd_fields_cost_no_record(fields: dict[str, Any]) -> None:
    """Whatever else a body holds, it decodes, loses nothing, and decodes to the same again."""
    body = to_json({**fields, **NEEDED})
    for cls in ANSWERS:
        found = decode(cls, body)
        assert found.raw == json.loads(body)
        assert decode(cls, to_json(found)) == found


def test_the_enumerations_are_open() -> None:
    """A new status is a member like the others, and does not end a wait."""
    order = decode(TaskingOrder, b'{"id": "a", "status": "ON_THE_MOON"}')
    assert order.status == "ON_THE_MOON"
    assert not order.status.is_final
    final = {status for status in TaskingStatus if status.is_final}
    assert final == {"FULFILLED", "CANCELLED", "REJECTED", "EXPIRED", "FAILED"}
    assert {status for status in SearchStatus if status.is_final} == {"DONE", "FAILED"}
    assert decode(Capture, b'{"id": "a", "status": "PUBLISHED"}').status is CaptureStatus.PUBLISHED
    assert decode(BulkJob, b'{"id": "a", "status": "COMPLETE"}').status is BulkStatus.COMPLETE


@pytest.mark.parametrize("cls", [TaskingOrder, Capture])
def test_a_record_of_many_fields_is_like_one_made_by_hand(cls: Any) -> None:
    """They are filled on a way of their own: it ends in the same class, as unchangeable and as complete."""
    came = decode(
        cls, b'{"id": "x", "status": "LATER", "cloud_cover": 0.5, "cloud_threshold": 0.5, "new": 1}'
    )
    made = cls(**{field.name: getattr(came, field.name) for field in attrs.fields(cls)})
    assert type(came) is type(made) is cls
    assert attrs.asdict(came) == attrs.asdict(made)
    assert repr(came) == repr(made)
    assert hash(came) == hash(made)
    assert pickle.loads(pickle.dumps(came)) == copy.copy(came) == came
    assert weakref.ref(came)() is not None
    assert came.raw["new"] == 1
    with pytest.raises(FrozenInstanceError):
        came.id = "y"


def test_captures_and_windows() -> None:
    """The parts that are read late."""
    area = {"captured_area": POLYGON, "area_of_interest": POINT}
    capture = decode(Capture, to_json({"id": "a", "status": "QUEUED", "cloud_cover": 0.25, **area}))
    assert (capture.captured_area, capture.area_of_interest, capture.cloud_cover) == (POLYGON, POINT, 0.25)
    window = {"id": "w", "geometry": POINT, "cloud_forecast": [{"prediction": 0.1}], "low_light": None}
    search = decode(ImagingWindowSearch, to_json({"id": "s", "status": "DONE", "imaging_windows": [window]}))
    [found] = search.imaging_windows
    assert (found.geometry, found.cloud_forecast) == (POINT, ({"prediction": 0.1},))
    assert decode(ImagingWindowSearch, b'{"id": "s", "imaging_windows": null}').imaging_windows == ()
    nameless = decode(ImagingWindowSearch, b'{"id": "s", "imaging_windows": [{"id": "a"}, {}]}')
    with pytest.raises(DecodeError, match=r"\$\.imaging_windows\[1\]\.id` is missing"):
        _ = nameless.imaging_windows


VALID: dict[type[RequestModel], dict[str, Any]] = {
    TaskingOrderRequest: {"name": "x", "geometry": POINT},
    PricingRequest: {"geometry": POINT},
    TaskingOrderChanges: {},
    ImagingWindowRequest: {"geometry": POINT, "pl_number": "PL-1", "product": "p"},
}


@pytest.mark.parametrize(
    ("cls", "changed", "problem"),
    [
        (TaskingOrderRequest, {"name": ...}, "name: missing"),
        (TaskingOrderRequest, {"geometry": ...}, "geometry: missing"),
        (TaskingOrderRequest, {"name": ""}, "name: expected a text of at least"),
        (TaskingOrderRequest, {"geometry": "field 7"}, "geometry"),
        (TaskingOrderRequest, {"geometry": {"type": "MultiPoint", "coordinates": [[0, 0]]}}, "got a Multi"),
        (TaskingOrderRequest, {"geometry": "pl:features/my/a/b"}, "got a ref"),
        (TaskingOrderRequest, {"start_time": "2026-05-01T00:00:00"}, "start_time: expected a time with its"),
        (TaskingOrderRequest, {"end_time": "soon"}, "end_time: expected a time like"),
        (TaskingOrderRequest, {"end_time": 5}, "end_time: expected a time like"),
        (
            TaskingOrderRequest,
            {"start_time": "2026-05-02T00:00:00Z", "end_time": "2026-05-02T01:00:00+01:00"},
            "end_time: expected a time after start_time",
        ),
        (TaskingOrderRequest, {"sat_elevation_angle_min": 91}, "sat_elevation_angle_min: expected 0 to 90"),
        (TaskingOrderRequest, {"sat_elevation_angle_max": -1}, "sat_elevation_angle_max: expected 0 to 90"),
        (
            TaskingOrderRequest,
            {"sat_elevation_angle_min": 80, "sat_elevation_angle_max": 70},
            "sat_elevation_angle_min: expected no more",
        ),
        (TaskingOrderRequest, {"scheduling_type": "ASSURED"}, "imaging_window: expected the id"),
        (TaskingOrderRequest, {"scheduling_type": "MONITORING"}, "rrule: expected a rule"),
        (TaskingOrderRequest, {"satellite_types": "SKYSAT"}, "satellite_types: expected a list"),
        (TaskingOrderRequest, {"exclusivity_days": 1.5}, "exclusivity_days: expected a whole number"),
        (TaskingOrderRequest, {"requested_items": [5]}, r"requested_items\[0\]: expected an object"),
        (PricingRequest, {"scheduling_type": "ASSURED"}, "imaging_window"),
        (TaskingOrderChanges, {"start_time": "2026-05-01"}, "start_time: expected a time with its zone"),
        (ImagingWindowRequest, {"pl_number": ..., "product": ...}, "pl_number: missing; .*product: missing"),
        (ImagingWindowRequest, {"geometry": POLYGON}, "geometry: expected a LineString, Point"),
        (
            ImagingWindowRequest,
            {"geometry": {"type": "LineString", "coordinates": [[0, 0], [1, 1], [2, 2]]}},
            "two points",
        ),
        (ImagingWindowRequest, {"off_nadir_angle_max": 100}, "off_nadir_angle_max: expected 0 to 90"),
    ],
)
def test_what_the_api_would_refuse_is_refused(
    cls: type[RequestModel], changed: dict[str, Any], problem: str
) -> None:
    """A mapping is checked as the record is; the message says which field, and what was expected."""
    checked_body(cls, VALID[cls])
    body = {name: value for name, value in {**VALID[cls], **changed}.items() if value is not ...}
    with pytest.raises(InvalidRequest, match=problem):
        checked_body(cls, body)


def test_a_list_is_a_list() -> None:
    """One text is not taken for its letters, also where a record is made."""
    for name in ("satellite_types", "asset_types", "data_products", "requested_items"):
        with pytest.raises(InvalidRequest, match=f"{name}: expected a list"):
            TaskingOrderRequest("x", POINT, **{name: "SKYSAT"})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "geometry", [POINT, LINE, POLYGON, {"type": "Feature", "properties": {}, "geometry": LINE}]
)
def test_the_three_shapes(geometry: dict[str, Any]) -> None:
    """A Point, a LineString and a Polygon can be ordered, also as a feature."""
    body = json.loads(checked_body(TaskingOrderRequest, TaskingOrderRequest("x", geometry)))
    assert body == {"name": "x", "geometry": geometry.get("geometry", geometry)}


zones = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-8))])
times = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=zones)  # noqa: DTZ001 - with zones


@pytest.mark.no_cover
@given(
    name=st.text(string.printable, min_size=1),
    geometry=st.sampled_from([POINT, LINE, POLYGON]),
    start=st.none() | times,
    angle=st.none() | st.floats(0, 90),
    words=st.none() | st.lists(st.sampled_from(["SKYSAT", "PELICAN"])),
    rrule=st.none() | st.text(min_size=1),
    early=st.none() | st.booleans(),
)
@calm
def test_requests_survive_the_round_trip(  # noqa: PLR0917 - Hypothesis passes them by name
    name: str,
    geometry: dict[str, Any],
    start: datetime | None,
    angle: float | None,
    words: list[str] | None,
    rrule: str | None,
    early: bool | None,
) -> None:
    """A record, as JSON, read again, is the same record; a time is the same moment, in UTC."""
    request = TaskingOrderRequest(
        name,
        geometry,
        start_time=start,
        sat_elevation_angle_min=angle,
        satellite_types=words,
        rrule=rrule,
        early_start=early,
        delivery={"destination": {"ref": "pl:destinations/mine"}},
    )
    body = checked_body(TaskingOrderRequest, request)
    again = TaskingOrderRequest.from_dict(json.loads(body))
    assert again == request
    assert checked_body(TaskingOrderRequest, again) == body
    assert start is None or json.loads(body)["start_time"].endswith("Z")
