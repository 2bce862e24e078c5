"""Lists and rows of CSV as data frames of the real libraries."""

import importlib
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import polars as pl
import pytest

from planet_async import (
    BulkResult,
    InvalidRequest,
    Item,
    Order,
    Planet,
    PlanetError,
    Record,
    TaskingOrder,
    where,
)
from planet_async.frames import to_geodataframe, to_pandas, to_polars

pytestmark = pytest.mark.anyio

PRODUCT = {
    "item_ids": ["20221221_084022_18_2414"],
    "item_type": "PSScene",
    "product_bundle": "analytic_udm2",
}
START = "2026-01-01T00:00:00Z"
SQUARE = {"type": "Polygon", "coordinates": [[[7, 46], [8, 46], [8, 47], [7, 46]]]}
VARIABLE = {
    "name": "biomass",
    "source": {
        "type": "biomass_proxy",
        "parameters": {
            "id": "BIOMASS-PROXY_V4.0_10",
            "geometry": SQUARE,
            "start_time": START,
        },
    },
}


async def test_a_search_becomes_a_map(planet: Planet) -> None:
    """Footprints are geometries in degrees, times are times, numbers are numbers, and no item is missing."""
    frame = await to_geodataframe(planet.data.search("PSScene", filter=where.acquired.since("2025-11-10")))
    assert isinstance(frame, geopandas.GeoDataFrame)
    assert frame.crs == "EPSG:4326"
    assert frame.id.is_unique
    assert len(frame) > 2_000  # of several chunks
    assert frame.geometry.is_valid.all()
    assert str(frame.acquired.dtype) == "datetime64[us, UTC]"
    assert frame.cloud_cover.dtype == np.float64
    assert "_links" not in frame.columns
    assert "type" not in frame.columns


async def test_orders_become_rows(planet: Planet) -> None:
    """All fields of the API are columns, with the types of the records; Polars has the same."""
    for number in range(3):
        await planet.orders.create({"name": f"2026-01-0{number + 1}", "products": [PRODUCT]})
    frame, polars = await to_pandas(planet.orders.list()), await to_polars(planet.orders.list())
    assert [*frame.columns] == polars.columns
    assert {*frame.name} == {*polars["name"]} == {"2026-01-01", "2026-01-02", "2026-01-03"}  # names, not days
    assert str(frame.created_on.dtype) == "datetime64[us, UTC]"
    assert polars["created_on"].dtype == pl.Datetime("us", "UTC")
    assert frame.products[0] == [PRODUCT]
    assert '"PSScene"' in polars["products"][0]


async def test_rows_of_csv_have_types(planet: Planet) -> None:
    """A report and the values of a variable can be computed with as they come."""
    report = await planet.reports.list(report_type="detailed").first()
    assert report is not None
    usage = await to_pandas(planet.reports.rows(report))
    assert usage.area_sqkm.sum() > 0
    assert usage.date.dtype.kind == "M"
    assert pd.api.types.is_string_dtype(usage.item_id.dtype)
    subscription = await planet.subscriptions.create(VARIABLE)
    await planet.subscriptions.wait(subscription.id, "completed")
    values = await to_polars(planet.subscriptions.results_csv(subscription.id))
    assert values["band-1.mean"].dtype == pl.Float64
    assert values["item_datetime"].dtype == pl.Datetime("us", "UTC")


def _order(**fields: object) -> Order:
    return Order.from_dict({"id": "a", "state": "queued", **fields})


COLUMNS: list[tuple[list[Any], type, list[Any]]] = [
    (
        [_order(created_on=START), _order(created_on="0001-01-01T00:00:00Z")],
        datetime,
        [1, None],
    ),
    ([_order(subscription_id=1), _order(), _order(subscription_id="x")], int, [1, None, None]),
    ([{"x": "1"}, {"x": ""}, {"x": "-2"}], int, [1, None, -2]),
    ([{"x": "1"}, {"x": "2.5e3"}], float, [1, 2500]),
    ([{"x": "007"}, {"x": "1"}], str, ["007", "1"]),
    ([{"item_id": "1"}, {"item_id": "2"}], str, ["1", "2"]),
    ([{"x": "1_0"}], str, ["1_0"]),
    ([{"x": "true"}, {"x": "FALSE"}], bool, [True, False]),
    ([{"x": 1}, {"x": 2.5}], float, [1, 2.5]),
    ([{"x": 2**70}], float, [2**70]),
    ([{"x": "5", "y": 1}], str, ["5"]),  # text of JSON, where numbers are numbers
    ([{"x": 1}, {"x": "a"}], object, [1, "a"]),
    ([{"x": "2026-13-45"}], str, ["2026-13-45"]),
    ([], object, []),
]


@pytest.mark.parametrize(("rows", "kind", "expected"), COLUMNS)
async def test_types_of_columns(rows: list[Any], kind: type, expected: list[Any]) -> None:
    """A column has the type of its field, or of its values; what does not fit its field is missing."""
    frame = await to_pandas(rows)
    name = next((name for name in ("x", "item_id", "created_on", "subscription_id") if name in frame), None)
    if name is None:
        assert len(frame) == len(expected)
        return
    found = [None if pd.isna(each) else each for each in frame[name]]
    if kind is datetime:
        assert found == [datetime(2026, 1, 1, tzinfo=UTC), None]
    else:
        assert found == expected
        assert all(each is None or isinstance(each, kind | np.generic) or kind is float for each in found)
    assert len(await to_polars(rows)) == len(rows)


async def test_links_have_no_signatures() -> None:
    """A frame is written to files and shown to others."""
    rows = [_order(delivery={"x": {"link": "https://a/b?sig=secret"}}), _order(new="https://a/b?sig=secret")]
    for frame in (await to_pandas(rows), (await to_polars(rows)).to_pandas()):
        assert "secret" not in frame.to_csv()
        assert "https://a/b" in frame.to_csv()


async def test_records_of_any_kind_have_geometries() -> None:
    """Where a row has none, or a broken one, the others still have theirs; that none has one is an error."""
    broken = {"type": "Polygon", "coordinates": 1}
    orders: list[Record | Mapping[str, Any]] = [
        TaskingOrder.from_dict({"id": "a", "status": "PENDING", "geometry": SQUARE}),
        TaskingOrder.from_dict({"id": "b", "status": "PENDING"}),
        TaskingOrder.from_dict({"id": "c", "status": "PENDING", "geometry": broken}),
        Item.from_dict({"type": "Feature", "id": "d", "geometry": SQUARE, "properties": {"item_type": "x"}}),
        {"id": "e", "geometry": SQUARE},
    ]
    frame = await to_geodataframe(orders)
    assert [*frame.geometry.notna()] == [True, False, False, True, True]
    assert [*frame.id] == [*"abcde"]
    with pytest.raises(InvalidRequest, match="no row has a geometry"):
        await to_geodataframe([_order()])
    empty: list[Order] = []
    assert (await to_geodataframe(empty)).crs == "EPSG:4326"


@pytest.mark.parametrize("rows", [7, "text", [1], [[]], {"a": 1}])
async def test_what_has_no_rows_is_refused(rows: Any) -> None:
    """It is an error of ours that says what was expected."""
    with pytest.raises(InvalidRequest, match="expected"):
        await to_pandas(rows)


async def test_a_missing_library_is_said_before_a_request(
    planet: Planet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line says what to install."""

    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    for convert in (to_pandas, to_geodataframe, to_polars):
        with pytest.raises(InvalidRequest, match=r"is not installed.*pip install") as caught:
            await convert(planet.orders.list())
        assert caught.value.__cause__ is None


async def test_an_error_of_the_list_ends_it() -> None:
    """Nothing is left open, and no half of a frame is returned."""
    closed = []

    async def broken() -> AsyncIterator[Mapping[str, Any]]:
        try:
            yield {"x": 1}
            raise PlanetError("broken")
        finally:
            closed.append(True)

    with pytest.raises(PlanetError, match="broken"):
        await to_pandas(broken())
    assert closed
    assert len(await to_pandas([BulkResult(1), BulkResult(2)])) == 2
