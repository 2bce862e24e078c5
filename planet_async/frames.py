"""Lists, search results, CSV results and reports as data frames, with types: the extra ``[frames]``.

    frame = await to_geodataframe(planet.data.search("PSScene", geometry=field_7))
    frame.plot("cloud_cover")

Times are in UTC, numbers are numbers also where they came as CSV, and geometries are in EPSG:4326.
"""

import importlib
import re
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from enum import Enum, auto
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from planet_async._tasks import run_in_thread
from planet_async.errors import InvalidRequest, type_name
from planet_async.models.base import Record, Resource
from planet_async.models.codec import plain_types, to_json
from planet_async.models.geometry import unwrapped
from planet_async.models.json import finite
from planet_async.redaction import shareable

if TYPE_CHECKING:
    import geopandas
    import pandas as pd
    import polars as pl

Rows = AsyncIterable[Record | Mapping[str, Any]] | Iterable[Record | Mapping[str, Any]]
"""A source of rows: a list of the API, search results, rows of CSV, or a list of records or of mappings."""

_CHUNK = 2_000  # rows; what is read of them is kept by column, and the rows are dropped
_EPSG = "EPSG:4326"
_GEOMETRY = "geometry"
_ZERO_YEAR = 1
_LARGEST = 2**63

_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_INTEGER = re.compile(r"-?(0|[1-9]\d{0,17})", re.ASCII)
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
_BOOLEANS = {"true": True, "false": False}
_ID = re.compile(r"(.*[_.-])?ids?", re.IGNORECASE)  # digits in it are no number


async def to_pandas(rows: Rows) -> "pd.DataFrame":
    """Return the rows as a DataFrame of pandas.

    Each field of the API is a column, and so is each of its `properties`; `_links` are left out, and links
    have no signatures.  A time is ``datetime64[us, UTC]``, and a missing value is missing, also in columns of
    integers.  In rows of CSV, columns of numbers and times are found by their values, except for ids.

        usage = await to_pandas(planet.reports.rows(report))
        print(usage.groupby("item_type").area_sqkm.sum())

    Raises:
        InvalidRequest: pandas is not installed, or a row is not a record or mapping.
        PlanetError: as for the list itself.
    """
    pandas = await _library("pandas")
    table = await _read(rows)
    return await run_in_thread(_pandas_frame, pandas, table)


async def to_geodataframe(rows: Rows) -> "geopandas.GeoDataFrame":
    """Return the rows as a GeoDataFrame of GeoPandas, in EPSG:4326; the other columns are as in `to_pandas`.

        scenes = await to_geodataframe(planet.data.search("PSScene", geometry=field_7))
        scenes.to_file("scenes.gpkg")

    Raises:
        InvalidRequest: GeoPandas is not installed, a row is no record or mapping, or none has a geometry.
        PlanetError: as for the list itself.
    """
    geopandas, pandas, shapely = [await _library(name) for name in ("geopandas", "pandas", "shapely")]
    table = await _read(rows, lambda texts: [*shapely.from_geojson(texts, on_invalid="ignore")])
    if table.count and not any(each is not None for each in table.geometries):
        raise InvalidRequest("no row has a geometry", hint="Use to_pandas.")

    def build() -> Any:
        frame = _pandas_frame(pandas, table)
        return geopandas.GeoDataFrame(frame, geometry=table.geometries, crs=_EPSG)

    return await run_in_thread(build)


async def to_polars(rows: Rows) -> "pl.DataFrame":
    """Return the rows as a DataFrame of Polars; columns are as in `to_pandas`, and objects are JSON as text.

        orders = await to_polars(planet.orders.list(state="success"))

    Raises:
        InvalidRequest: Polars is not installed, or a row is not a record or mapping.
        PlanetError: as for the list itself.
    """
    polars = await _library("polars")
    table = await _read(rows)
    return await run_in_thread(_polars_frame, polars, table)


async def _library(name: str) -> Any:
    """Import in a thread, since it takes seconds, and before a request is sent."""
    try:
        return await run_in_thread(importlib.import_module, name)
    except ImportError:
        pass
    extra = "polars" if name == "polars" else "'planet-async[frames]'"
    raise InvalidRequest(f"{name} is not installed", hint=f"Install it: pip install {extra}")


async def _read(rows: Rows, as_geometries: Callable[[list[str | None]], list[Any]] | None = None) -> "_Table":
    table = _Table(as_geometries)
    if isinstance(rows, AsyncIterable):
        iterator = aiter(rows)
        try:
            chunk = []
            async for row in iterator:
                chunk.append(row)
                if len(chunk) == _CHUNK:
                    await run_in_thread(table.extend, chunk)
                    chunk = []
            await run_in_thread(table.extend, chunk)
        finally:
            await _close(iterator)
        return table
    found: object = rows
    if not isinstance(found, Iterable) or isinstance(found, str | bytes | Mapping):
        raise InvalidRequest(f"expected a list of the API or other rows, got {type_name(rows)}")
    remaining = iter(found)
    while chunk := [*islice(remaining, _CHUNK)]:
        await run_in_thread(table.extend, chunk)
    return table


async def _close(iterator: AsyncIterator[Any]) -> None:
    close = getattr(iterator, "aclose", None)
    if close is not None:
        await close()


# Reading rows


class _Table:
    """The values of the rows by column, and the geometries apart where they are wanted."""

    def __init__(self, as_geometries: Callable[[list[str | None]], list[Any]] | None = None) -> None:
        self.columns: dict[str, list[Any]] = {}
        self.geometries: list[Any] = []
        self.count = 0
        self._as_geometries = as_geometries
        self._types: dict[str, Any] = {}  # of the fields of the records
        self._classes: set[type] = set()
        self._is_csv = True

    def extend(self, rows: Iterable[Record | Mapping[str, Any]]) -> None:
        geometries: list[str | None] = []
        for row in rows:
            cells = self._cells(row)
            if self._as_geometries is not None:
                geometries.append(_geometry_of(row))
                cells.pop(_GEOMETRY, None)
            for name, value in cells.items():
                column = self.columns.setdefault(name, [])
                column.extend([None] * (self.count - len(column)))
                column.append(value)
            self.count += 1
        for column in self.columns.values():
            column.extend([None] * (self.count - len(column)))
        if self._as_geometries is not None and geometries:
            self.geometries += self._as_geometries(geometries)

    def _cells(self, row: object) -> dict[str, Any]:
        if isinstance(row, Record):
            self._is_csv = False
            self._learn_types(type(row))
            found: Mapping[str, Any] = row.raw if isinstance(row, Resource) else row.to_dict()
        elif isinstance(row, Mapping):
            self._is_csv = self._is_csv and all(isinstance(value, str) for value in row.values())
            found = row
        else:
            raise InvalidRequest(f"row {self.count}: expected a record or a mapping, got {type_name(row)}")
        cells = {name: value for name, value in found.items() if not str(name).startswith("_")}
        if cells.get("type") == "Feature":
            del cells["type"]
        if isinstance(properties := cells.pop("properties", None), Mapping):
            cells = {"id": cells.pop("id", None), **properties, **cells}
        return {name: value if name == _GEOMETRY else shareable(value, name) for name, value in cells.items()}

    def _learn_types(self, cls: type) -> None:
        if cls in self._classes:
            return
        self._classes.add(cls)
        types = dict(plain_types(cls))
        if isinstance(properties := types.pop("properties", None), type) and issubclass(properties, Record):
            types |= plain_types(properties)  # type: ignore[arg-type]  # a class is hashable
        self._types |= types

    def typed(self) -> "Iterator[tuple[str, _Kind, list[Any]]]":
        """Yield each column with its kind and its values, those of that kind; what does not fit is None."""
        for name, cells in self.columns.items():
            kind, values = _kind_of_type(self._types.get(name)), cells
            if kind is None:
                values = [None if isinstance(value, str) and not value else value for value in cells]
                kind = _kind_of_values(name, values, is_csv=self._is_csv)
            read = _READERS.get(kind)
            yield name, kind, values if read is None else [_value(read, value) for value in values]


def _geometry_of(row: object) -> str | None:
    """Return the geometry of a row as GeoJSON."""
    found = unwrapped(row)
    if isinstance(found, Mapping) and _GEOMETRY in found:
        found = unwrapped(found[_GEOMETRY])
    if isinstance(found, str):
        return found or None
    return msgspec.json.encode(found).decode() if isinstance(found, Mapping) else None


# Types of columns


class _Kind(Enum):
    TIME = auto()
    LOCAL_TIME = auto()  # without a zone
    DAY = auto()
    INTEGER = auto()
    NUMBER = auto()
    BOOLEAN = auto()
    TEXT = auto()
    OBJECT = auto()


_KINDS: Mapping[Any, _Kind] = {
    bool: _Kind.BOOLEAN,
    int: _Kind.INTEGER,
    float: _Kind.NUMBER,
    date: _Kind.DAY,
    datetime: _Kind.TIME,
}


def _kind_of_type(plain: Any) -> _Kind | None:
    is_text = isinstance(plain, type) and issubclass(plain, str)
    return _Kind.TEXT if is_text else _KINDS.get(plain)


def _kind_of_values(name: str, values: Iterable[Any], *, is_csv: bool) -> _Kind:
    found = [value for value in values if value is not None]
    types = {type(value) for value in found}
    if types == {str}:
        return _kind_of_texts(name, found, is_csv=is_csv)
    if types == {bool}:
        return _Kind.BOOLEAN
    if types == {int} and all(-_LARGEST <= value < _LARGEST for value in found):
        return _Kind.INTEGER
    return _Kind.NUMBER if types and types <= {int, float} else _Kind.OBJECT


def _kind_of_texts(name: str, texts: list[str], *, is_csv: bool) -> _Kind:
    if all(map(_TIME.fullmatch, texts)) and all(_value(_time, text) for text in texts):
        has_zones = any(datetime.fromisoformat(text).tzinfo for text in texts)
        return _Kind.TIME if has_zones else _Kind.LOCAL_TIME
    if all(map(_DAY.fullmatch, texts)) and all(_value(_day, text) for text in texts):
        return _Kind.DAY
    if is_csv and not _ID.fullmatch(name):
        if all(map(_INTEGER.fullmatch, texts)):
            return _Kind.INTEGER
        if all(map(_NUMBER.fullmatch, texts)):
            return _Kind.NUMBER
        if all(text.lower() in _BOOLEANS for text in texts):
            return _Kind.BOOLEAN
    return _Kind.TEXT


def _value(read: Callable[[Any], Any], value: object) -> Any:
    try:
        return None if value is None else read(value)
    except (ArithmeticError, LookupError, TypeError, ValueError):
        return None


def _time(text: str) -> datetime | None:
    found = datetime.fromisoformat(text)
    if found.year == _ZERO_YEAR:  # Go's zero time stands for none
        return None
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def _day(text: str) -> date:
    return date.fromisoformat(text[:10])


def _integer(value: str | float) -> int:
    found = int(value)
    if found != float(value) or not -_LARGEST <= found < _LARGEST:
        raise ValueError
    return found


def _number(value: str | float) -> float | None:
    return finite(float(value) if isinstance(value, str) else value)


def _boolean(value: str | bool) -> bool:
    return value if isinstance(value, bool) else _BOOLEANS[value.lower()]


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


_READERS: Mapping[_Kind, Callable[[Any], Any]] = {
    _Kind.TIME: _time,
    _Kind.LOCAL_TIME: datetime.fromisoformat,
    _Kind.DAY: _day,
    _Kind.INTEGER: _integer,
    _Kind.NUMBER: _number,
    _Kind.BOOLEAN: _boolean,
    _Kind.TEXT: _text,
}


# Building frames


def _pandas_frame(pandas: Any, table: _Table) -> Any:
    types = {
        _Kind.TIME: "datetime64[us, UTC]",
        _Kind.LOCAL_TIME: "datetime64[us]",
        _Kind.DAY: "datetime64[s]",
        _Kind.NUMBER: "float64",
        _Kind.OBJECT: "object",
    }
    with_missing = {_Kind.INTEGER: "Int64", _Kind.BOOLEAN: "boolean"}
    without = {_Kind.INTEGER: "int64", _Kind.BOOLEAN: "bool"}
    series = {}
    for name, kind, values in table.typed():
        dtype = types.get(kind) or (with_missing if None in values else without).get(kind)
        series[name] = pandas.Series(values, dtype=dtype)
    return pandas.DataFrame(series)


def _polars_frame(polars: Any, table: _Table) -> Any:
    types = {
        _Kind.TIME: polars.Datetime("us", "UTC"),
        _Kind.LOCAL_TIME: polars.Datetime("us"),
        _Kind.DAY: polars.Date,
        _Kind.INTEGER: polars.Int64,
        _Kind.NUMBER: polars.Float64,
        _Kind.BOOLEAN: polars.Boolean,
    }
    series = []
    for name, kind, values in table.typed():
        cells = [_json(value) for value in values] if kind is _Kind.OBJECT else values
        series.append(polars.Series(name, cells, dtype=types.get(kind, polars.String)))
    return polars.DataFrame(series)


def _json(value: object) -> str | None:
    return None if value is None else to_json(value).decode()
