"""The tools of an order: what Planet does to the imagery before it delivers it.

The order of the tools is yours; Planet decides in which it applies them.
See https://docs.planet.com/develop/apis/orders/tools/
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar

from attrs import field, fields, frozen

from planet_async.models.base import Named
from planet_async.models.codec import ReadBy, named, unexpected
from planet_async.models.geometry import AREAS, to_geojson
from planet_async.models.json import kind


class Tool(Named):
    """Base of the tools; one that has no class here is written as a plain mapping."""

    __slots__ = ()


def _geojson(value: object) -> Mapping[str, Any] | None:
    return None if value is None else to_geojson(value, where="Clip.aoi", types=AREAS)


def _positive(name: str, value: float | None) -> Iterable[tuple[str, str]]:
    if value is not None and not value > 0:
        yield name, f"expected more than 0, got {kind(value)}"


@frozen
class BandMath(Tool):
    """Compute new bands from those of the item; `b1` is the first, and none may be left out in between.

    `pixel_type` is one of Auto (the API's default), 8U, 16U, 16S and 32R.

        BandMath("(b4-b3)/(b4+b3)", pixel_type="32R")
    """

    block: ClassVar[str] = "bandmath"

    b1: str
    b2: str | None = None
    b3: str | None = None
    b4: str | None = None
    b5: str | None = None
    b6: str | None = None
    b7: str | None = None
    b8: str | None = None
    b9: str | None = None
    b10: str | None = None
    b11: str | None = None
    b12: str | None = None
    b13: str | None = None
    b14: str | None = None
    b15: str | None = None
    pixel_type: str | None = field(default=None, kw_only=True)

    def _problems(self) -> Iterable[tuple[str, str]]:
        names = [band.name for band in fields(BandMath)[:-1]]
        missing = [name for name in names if getattr(self, name) is None]
        for name in missing[:1]:
            after = names[names.index(name) :]
            given = [band for band in after if band not in missing]
            if given:
                yield name, f"missing, though {given[0]} is given"


@frozen
class Clip(Tool):
    """Cut the imagery to an area: a Polygon or MultiPolygon, as anything that `to_geojson` takes.

    Basemaps take none: they are cut to the geometry of the product.
    """

    block: ClassVar[str] = "clip"

    aoi: Mapping[str, Any] | None = field(default=None, converter=_geojson)


@frozen
class CloudFilter(Tool):
    """Leave out cloudy scenes.  Planet documents no fields for it today: these are from an older page."""

    block: ClassVar[str] = "cloud_filter"

    clear_min: float | None = None
    cloud_max: float | None = None


@frozen
class Composite(Tool):
    """Join the scenes to one image, for the whole order or (`group_by`) for each ``strip_id``."""

    block: ClassVar[str] = "composite"

    group_by: str | None = None


@frozen
class Coregister(Tool):
    """Shift the images so that they lie exactly on the one of `anchor_item`, an item of the order."""

    block: ClassVar[str] = "coregister"

    anchor_item: str


@frozen
class FileFormat(Tool):
    """Deliver another file format: COG or PL_NITF."""

    block: ClassVar[str] = "file_format"

    format: str


@frozen
class Harmonize(Tool):
    """Make the values comparable to those of another sensor, such as Sentinel-2."""

    block: ClassVar[str] = "harmonize"

    target_sensor: str


@frozen
class Merge(Tool):
    """Join the quads of a basemap to one image."""

    block: ClassVar[str] = "merge"


@frozen
class Reproject(Tool):
    """Change the projection, such as ``"EPSG:4326"``.

    `resolution` is in units of the projection; `kernel` is one of near, bilinear, cubic, cubicspline,
    lanczos, average, mode, min, max, med, q1 and q3.
    """

    block: ClassVar[str] = "reproject"

    projection: str
    resolution: float | None = None
    kernel: str | None = None

    def _problems(self) -> Iterable[tuple[str, str]]:
        return _positive("resolution", self.resolution)


@frozen
class Tile(Tool):
    """Cut the images to tiles of `tile_size` times `tile_size` pixels.

    `name_template` is like ``"{tilex}_{tiley}.tif"``.
    """

    block: ClassVar[str] = "tile"

    tile_size: float
    origin_x: float | None = None
    origin_y: float | None = None
    pixel_size: float | None = None
    name_template: str | None = None
    conformal_x_scaling: bool | None = None

    def _problems(self) -> Iterable[tuple[str, str]]:
        yield from _positive("tile_size", self.tile_size)
        yield from _positive("pixel_size", self.pixel_size)


@frozen
class TopOfAtmosphereReflectance(Tool):
    """Give reflectance at the top of the atmosphere, times `scale_factor` (the API's default: 10000)."""

    block: ClassVar[str] = "toar"

    scale_factor: int | None = None


TOOLS: Mapping[str, type[Tool]] = {
    tool.block: tool
    for tool in (
        BandMath,
        Clip,
        CloudFilter,
        Composite,
        Coregister,
        FileFormat,
        Harmonize,
        Merge,
        Reproject,
        Tile,
        TopOfAtmosphereReflectance,
    )
}

_by_name = named(TOOLS).reader


def _read_tool(value: object) -> object:
    if isinstance(value, Mapping) and len(value) != 1:
        raise unexpected("one key, the name of the tool", value)
    return _by_name(value)


AnyTool = Annotated[Tool, ReadBy(_read_tool)]
"""A tool as an order has it, below its name."""
