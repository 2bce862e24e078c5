"""The simulated Basemaps API: https://docs.planet.com/develop/apis/basemaps/reference/."""

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import urlencode
from uuid import NAMESPACE_URL, uuid5

from attrs import frozen

from planet_async.simulator.context import Context, parse
from planet_async.simulator.data import DATA
from planet_async.simulator.files import File, Folder, Storage, raster
from planet_async.simulator.geometry import Box, Footprint, Shape, check, intersects, polygon_of, read
from planet_async.simulator.http import (
    Content,
    Json,
    Refused,
    Route,
    ServerRequest,
    ServerResponse,
    attachment,
    decode_json,
    field_errors,
    json_response,
    message,
)
from planet_async.simulator.lists import Cursor
from planet_async.simulator.scenes import scenes

BASEMAPS = "/basemaps/v1"

_MOSAIC = f"{BASEMAPS}/mosaics/{{id}}"
_QUAD = f"{_MOSAIC}/quads/{{id}}"
_PAGE_SIZE = 50  # of quads [M]; of the others it is not known [L]
_MAX_VERTICES = 1500
_QUAD_PIXELS = 4096
_TILE_PIXELS = 256
_EQUATOR = 40075016.68557849  # metres
_NORTH = 85.051128514163  # where the map is a square
_WORLD: Box = (-180.0, -_NORTH, 180.0, _NORTH)
_FIELDS: Box = (18.0, -34.1, 18.8, -33.5)

T = TypeVar("T")


@frozen(eq=False)
class _Series:
    """Mosaics of the same area and grid, one for each interval of the years 2024 and 2025."""

    name: str
    interval: str
    level: int
    box: Box
    starts: Sequence[tuple[str, date]]
    """The names of the mosaics, and the days that begin them; the last one ends the last mosaic."""

    @property
    def id(self) -> str:
        return str(uuid5(NAMESPACE_URL, self.name))

    @property
    def mosaics(self) -> "list[_Mosaic]":
        """The mosaics, the oldest first."""
        ends = [start for _, start in self.starts[1:]]
        return [
            _Mosaic(name, self, start, end) for (name, start), end in zip(self.starts, ends, strict=False)
        ]


@frozen(eq=False)
class _Mosaic:
    """A mosaic: the last day is not part of it [M]."""

    name: str
    series: _Series
    first: date
    last: date

    @property
    def id(self) -> str:
        return str(uuid5(NAMESPACE_URL, self.name))

    @property
    def across(self) -> int:
        """The number of quads around the world, and from its south to its north."""
        return (_TILE_PIXELS << self.series.level) // _QUAD_PIXELS

    def box_of(self, column: int, row: int) -> Box:
        """Return the bounds of a quad; rows are counted from the south [H, by recorded ids]."""
        (west, east), (south, north) = (
            (place(number / self.across), place((number + 1) / self.across))
            for number, place in ((column, _longitude), (row, _latitude))
        )
        return west, south, east, north

    def has(self, column: int, row: int) -> bool:
        found = _Quads.of_box(self, self.series.box)
        return column in found.columns and row in found.rows


@frozen
class _Quads(Sequence[tuple[int, int]]):
    """The quads of a box by column and row, which are not kept: a global mosaic has four million."""

    columns: range
    rows: range

    @classmethod
    def of_box(cls, mosaic: _Mosaic, box: Box) -> "_Quads":
        """Return the quads of a mosaic that a box meets; beyond the map there are none [M]."""
        if box[0] < -180 or box[1] < -_NORTH or box[2] > 180 or box[3] > _NORTH:  # noqa: PLR2004 - degrees
            return cls(range(0), range(0))
        west, south, east, north = mosaic.series.box
        box = (max(box[0], west), max(box[1], south), min(box[2], east), min(box[3], north))
        if box[0] > box[2] or box[1] > box[3]:
            return cls(range(0), range(0))
        columns, rows = (
            range(*(min(math.floor(at(box[place]) * mosaic.across), mosaic.across - 1) for place in places))
            for at, places in ((_across, (0, 2)), (_up, (1, 3)))
        )
        return cls(range(columns.start, columns.stop + 1), range(rows.start, rows.stop + 1))

    def __len__(self) -> int:
        return len(self.columns) * len(self.rows)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self[number] for number in range(*place.indices(len(self)))]
        row, column = divmod(range(len(self))[place], len(self.columns))
        return self.columns[column], self.rows[row]


def _longitude(share: float) -> float:
    return share * 360 - 180


def _latitude(share: float) -> float:
    return math.degrees(math.atan(math.sinh(math.pi * (2 * share - 1))))


def _across(longitude: float) -> float:
    return (longitude + 180) / 360


def _up(latitude: float) -> float:
    return (1 + math.asinh(math.tan(math.radians(latitude))) / math.pi) / 2


_MONTHS = [date(2024 + month // 12, month % 12 + 1, 1) for month in range(25)]
_WEEKS = [date(2025, 1, 6) + timedelta(weeks=week) for week in range(52)]
_SERIES = (
    _Series(
        *("Global Monthly", "1 mon", 15, _WORLD),
        [(f"global_monthly_{start:%Y_%m}_mosaic", start) for start in _MONTHS],
    ),
    _Series(
        *("Global Quarterly", "3 mons", 15, _WORLD),
        [(f"global_quarterly_{start:%Y}q{start.month // 3 + 1}_mosaic", start) for start in _MONTHS[::3]],
    ),
    _Series(
        *("Swartland Weekly", "7 days", 16, _FIELDS),
        [(f"swartland_weekly_{start:%Y_%m_%d}_mosaic", start) for start in _WEEKS],
    ),
)
_SERIES_BY_ID = {series.id: series for series in _SERIES}
_MOSAICS_BY_ID = {mosaic.id: mosaic for series in _SERIES for mosaic in series.mosaics}


class BasemapsApi:
    """The operations of the Basemaps API.

    As the real one does, it writes the key of a request into the links of the response [H, recorded].  Asking
    for a file counts as a download [M]: `Simulator.requests` has the number, as ``"basemaps.download"``.
    """

    def __init__(self, context: Context, *, days: int, file_bytes: int, storage: Storage) -> None:
        self._context = context
        self._days = days
        self._file_bytes = file_bytes
        self._storage = storage
        self._areas: dict[str, Shape] = {}
        self._in_area = lru_cache(64)(self._quads_of_area)

    def routes(self) -> Iterable[Route]:
        return (
            Route("GET", f"{BASEMAPS}/series", "basemaps.series", self.list_series),
            Route("GET", f"{BASEMAPS}/series/{{id}}", "basemaps.get_series", self.get_series),
            Route("GET", f"{BASEMAPS}/series/{{id}}/mosaics", "basemaps.series_mosaics", self.series_mosaics),
            Route("GET", f"{BASEMAPS}/mosaics", "basemaps.list", self.list_mosaics),
            Route("GET", _MOSAIC, "basemaps.get", self.get),
            Route("GET", f"{_MOSAIC}/grid", "basemaps.grid", self.grid),
            Route("GET", f"{_MOSAIC}/tiles", "basemaps.tiles", self.tiles),
            Route("GET", f"{_MOSAIC}/quads", "basemaps.quads", self.quads),
            Route("POST", f"{_MOSAIC}/quads/search", "basemaps.quads", self.search_quads),
            Route("GET", _QUAD, "basemaps.get_quad", self.quad),
            Route("GET", f"{_QUAD}/items", "basemaps.contributions", self.items),
            Route("GET", f"{_QUAD}/full", "basemaps.download", self.full),
        )

    # Series and mosaics

    def list_series(self, request: ServerRequest) -> ServerResponse:
        return self._list(request, "series", _SERIES, f"{BASEMAPS}/series")

    def get_series(self, request: ServerRequest, series_id: str) -> ServerResponse:
        return json_response(self._render_series(request, _find(_SERIES_BY_ID, "Series", series_id)))

    def list_mosaics(self, request: ServerRequest) -> ServerResponse:
        return self._list(request, "mosaics", [*_MOSAICS_BY_ID.values()], f"{BASEMAPS}/mosaics")

    def series_mosaics(self, request: ServerRequest, series_id: str) -> ServerResponse:
        found = _find(_SERIES_BY_ID, "Series", series_id).mosaics
        if request.param("latest") == "yes":
            found = found[-1:]
        return self._list(request, "mosaics", found, f"{BASEMAPS}/series/{series_id}/mosaics")

    def get(self, request: ServerRequest, mosaic_id: str) -> ServerResponse:
        return json_response(self._render_mosaic(request, self._mosaic(mosaic_id)))

    def grid(self, request: ServerRequest, mosaic_id: str) -> ServerResponse:
        return json_response(_grid(self._mosaic(mosaic_id).series.level))

    def tiles(self, request: ServerRequest, mosaic_id: str) -> ServerResponse:
        mosaic = self._mosaic(mosaic_id)
        tiles = self._tiles(request, mosaic)
        return json_response({"tilejson": "2.1.0", "name": mosaic.name, "tiles": [tiles], "scheme": "xyz"})

    def _list(self, request: ServerRequest, name: str, every: Sequence[Any], path: str) -> ServerResponse:
        """Respond with those that the filters select: the same ones for both lists."""
        cursor = Cursor.read(request, _PAGE_SIZE)
        params = [(key, values[-1]) for key, values in request.params.items() if not key.startswith("_page")]
        found = [each for each in every if all(_passes(each, *param) for param in params)]
        kept = urlencode([(key, value) for key, value in params if key != "api_key"])
        page, links = cursor.page(found, self._link(request, f"{path}?{kept}" if kept else path))
        render = self._render_series if name == "series" else self._render_mosaic
        return json_response({"_links": links, name: [render(request, each) for each in page]})

    def _render_series(self, request: ServerRequest, series: _Series) -> Json:
        path = f"{BASEMAPS}/series/{series.id}"
        mosaics = series.mosaics
        return {
            "_links": {
                "_self": self._link(request, path),
                "mosaics": self._link(request, f"{path}/mosaics"),
            },
            "first_acquired": _midnight(mosaics[0].first),
            "id": series.id,
            "interval": series.interval,
            "last_acquired": _midnight(mosaics[-1].last),
            "name": series.name,
            "product_type": "basemap",
            "selector": None,
        }

    def _render_mosaic(self, request: ServerRequest, mosaic: _Mosaic) -> Json:
        path = f"{BASEMAPS}/mosaics/{mosaic.id}"
        quads = self._link(request, f"{path}/quads")
        return {
            "_links": {
                "_self": self._link(request, path),
                "quads": f"{quads}{'&' if '?' in quads else '?'}bbox={{lx}},{{ly}},{{ux}},{{uy}}",
                "tiles": self._tiles(request, mosaic),
            },
            "bands": [
                {"data_type": "byte", "description": name} for name in ("red", "green", "blue", "alpha")
            ],
            "bbox": mosaic.series.box,
            "coordinate_system": "EPSG:3857",
            "datatype": "byte",
            "first_acquired": _midnight(mosaic.first),
            "grid": _grid(mosaic.series.level),
            "id": mosaic.id,
            "interval": mosaic.series.interval,
            "item_types": ["PSScene"],
            "last_acquired": _midnight(mosaic.last),
            "level": mosaic.series.level,
            "name": mosaic.name,
            "product_type": "basemap",
            "quad_download": True,
        }

    # Quads

    def quads(self, request: ServerRequest, mosaic_id: str) -> ServerResponse:
        """List the quads of a box; without clamping it to the map: that is left to clients [M]."""
        mosaic = self._mosaic(mosaic_id)
        cursor = Cursor.read(request, _PAGE_SIZE)
        if cursor.key in self._areas:
            return self._page_of_quads(request, mosaic, self._in_area(mosaic, cursor.key), cursor)
        try:
            west, south, east, north = map(float, request.param("bbox").split(","))
            check(west <= east and south <= north, "not a box")
        except ValueError:
            raise Refused(field_errors({"bbox": ["bbox must be lx,ly,ux,uy"]})) from None
        found = _Quads.of_box(mosaic, (west, south, east, north))
        return self._page_of_quads(request, mosaic, found, cursor)

    def search_quads(self, request: ServerRequest, mosaic_id: str) -> ServerResponse:
        """List the quads of an area; how the next page is asked for was not recorded: by a GET [L]."""
        mosaic = self._mosaic(mosaic_id)
        cursor = Cursor.read(request, _PAGE_SIZE)
        try:
            area = decode_json(request)
            shape = read(area)
            check(bool(shape.polygons), f"{area['type']} is not one of Polygon, MultiPolygon")
            check(len([*shape.vertices()]) <= _MAX_VERTICES, f"more than {_MAX_VERTICES} vertices")
        except ValueError as error:
            raise Refused(field_errors({"geometry": [str(error)]})) from None
        key = str(uuid5(NAMESPACE_URL, repr(area)))
        self._areas[key] = shape
        return self._page_of_quads(request, mosaic, self._in_area(mosaic, key), cursor, key)

    def quad(self, request: ServerRequest, mosaic_id: str, quad_id: str) -> ServerResponse:
        mosaic = self._mosaic(mosaic_id)
        return json_response(self._render_quad(request, mosaic, self._quad(mosaic, quad_id)))

    def items(self, request: ServerRequest, mosaic_id: str, quad_id: str) -> ServerResponse:
        """Return the scenes of the time of the mosaic that meet the quad; neighbours share some."""
        mosaic = self._mosaic(mosaic_id)
        box = mosaic.box_of(*self._quad(mosaic, quad_id))
        shape = read(polygon_of(box))
        first, last = (parse(f"{day}T00:00:00Z") for day in (mosaic.first, mosaic.last))
        url = f"{self._context.base_url}{DATA}/item-types/PSScene/items"
        found = [
            {"item_id": scene.id, "item_type": scene.item_type, "link": f"{url}/{scene.id}"}
            for scene in scenes(self._days).values()
            if scene.item_type == "PSScene"
            and first <= scene.acquired < last
            and intersects(scene.footprint, shape)
        ]
        return json_response({"items": found})

    def full(self, request: ServerRequest, mosaic_id: str, quad_id: str) -> ServerResponse:
        """Redirect to the storage."""
        mosaic = self._mosaic(mosaic_id)
        file = self._file(mosaic, self._quad(mosaic, quad_id))
        return self._storage.redirect(f"{mosaic.name}.{quad_id}", file.path)

    def folder(self, name: str) -> Folder | None:
        """Return the file of a quad as the storage has it."""
        mosaic_name, _, quad_id = name.partition(".")
        mosaic = _MOSAICS_BY_ID.get(str(uuid5(NAMESPACE_URL, mosaic_name)))
        return None if mosaic is None else Folder([self._file(mosaic, self._quad(mosaic, quad_id))])

    def _page_of_quads(
        self,
        request: ServerRequest,
        mosaic: _Mosaic,
        found: Sequence[tuple[int, int]],
        cursor: Cursor,
        key: str = "",
    ) -> ServerResponse:
        params = [(name, request.param(name)) for name in ("bbox", "minimal") if request.param(name)]
        path = f"{BASEMAPS}/mosaics/{mosaic.id}/quads"
        path = f"{path}?{urlencode(params)}" if params else path
        page, links = cursor.page(found, self._link(request, path), key=key)
        body: dict[str, Any] = {
            "_links": links,
            "items": [self._render_quad(request, mosaic, quad) for quad in page],
        }
        if request.param("summary") == "true":
            body["summary"] = {"total_quads": len(found)}
        return json_response(body)

    def _quads_of_area(self, mosaic: _Mosaic, key: str) -> Sequence[tuple[int, int]]:
        shape = self._areas[key]
        boxes = _Quads.of_box(mosaic, shape.box)
        return [quad for quad in boxes if intersects(Footprint.of_box(mosaic.box_of(*quad)), shape)]

    def _render_quad(self, request: ServerRequest, mosaic: _Mosaic, quad: tuple[int, int]) -> Json:
        quad_id = f"{quad[0]}-{quad[1]}"
        path = f"{BASEMAPS}/mosaics/{mosaic.id}/quads/{quad_id}"
        download = self._link(request, f"{path}/full")
        if request.param("minimal") == "true":
            return {"_links": {"download": download}, "id": quad_id}  # [M]
        west, south, east, north = box = mosaic.box_of(*quad)
        left, bottom, right, top = mosaic.series.box
        covered = (min(east, right) - max(west, left)) * (min(north, top) - max(south, bottom))
        return {
            "_links": {
                "_self": self._link(request, path),
                "download": download,
                "items": self._link(request, f"{path}/items"),
                "thumbnail": self._link(request, f"{path}/thumb", self._context.tiles_url),
            },
            "bbox": box,
            "id": quad_id,
            "percent_covered": round(100 * covered / ((east - west) * (north - south))),
        }

    def _file(self, mosaic: _Mosaic, quad: tuple[int, int]) -> File:
        name = f"{quad[0]}-{quad[1]}_quad.tif"

        def make() -> Content:
            return raster(f"{mosaic.id}/{name}", self._file_bytes)

        return File(name, "image/tiff", make, headers=attachment(name))

    def _mosaic(self, mosaic_id: str) -> _Mosaic:
        return _find(_MOSAICS_BY_ID, "Mosaic", mosaic_id)

    @staticmethod
    def _quad(mosaic: _Mosaic, quad_id: str) -> tuple[int, int]:
        column, _, row = quad_id.partition("-")
        if column.isdecimal() and row.isdecimal() and mosaic.has(int(column), int(row)):
            return int(column), int(row)
        raise Refused(message(404, f"Quad Not Found: {quad_id}"))

    def _tiles(self, request: ServerRequest, mosaic: _Mosaic) -> str:
        path = f"{BASEMAPS}/planet-tiles/{mosaic.name}/gmap/{{z}}/{{x}}/{{y}}.png"
        return self._link(request, path, self._context.tiles_url)

    def _link(self, request: ServerRequest, path: str, url: str = "") -> str:
        """Return a link with the key of the request, if it has one."""
        key = _key_of(request.headers.get("authorization", ""))
        join = "&" if "?" in path else "?"
        return f"{url or self._context.base_url}{path}{f'{join}api_key={key}' if key else ''}"


def _find(known: Mapping[str, T], kind: str, id_: str) -> T:
    if id_ not in known:
        raise Refused(message(404, f"{kind} Not Found: {id_}"))  # [M]
    return known[id_]


def _key_of(authorization: str) -> str:
    scheme, _, credential = authorization.partition(" ")
    if scheme.lower() == "basic":
        return base64.b64decode(credential).decode().partition(":")[0]
    return credential if scheme.lower() == "api-key" else ""


def _passes(each: _Series | _Mosaic, name: str, value: str) -> bool:
    """Return whether one of a list passes a filter; other parameters are ignored [L]."""
    series = each if isinstance(each, _Series) else each.series
    mosaics = each.mosaics if isinstance(each, _Series) else [each]
    match name:
        case "name__is":
            return each.name == value
        case "name__contains":
            return value.lower() in each.name.lower()
        case "interval":
            return series.interval == value
        case "acquired__gt":
            return _moment(value, name) < _at(mosaics[-1].last)
        case "acquired__lt":
            return _at(mosaics[0].first) < _moment(value, name)
    return True


def _moment(text: str, name: str) -> datetime:
    """Read a date or a time."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Refused(field_errors({name: [f"{text!r} is not a date or a time"]})) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _at(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _midnight(day: date) -> str:
    return f"{day}T00:00:00.000Z"  # [H, recorded]


def _grid(level: int) -> Json:
    resolution = _EQUATOR / (_TILE_PIXELS << level)
    return {"quad_size": _QUAD_PIXELS, "resolution": resolution}
