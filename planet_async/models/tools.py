"""The tools of an order: what Planet does to the imagery before it delivers it.

Planet decides in which order the tools of an order are applied.
See https://docs.planet.com/develop/apis/orders/tools/
"""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from attrs import field, fields, frozen

from planet_async.models.base import Named, area
from planet_async.models.codec import Check, named
from planet_async.models.json import kind


class Tool(Named):
    """Base of the tools; one that has no class here is written as a plain mapping."""

    __slots__ = ()

    @classmethod
    def _read(cls, value: Any, path: str, check: Check) -> object:
        return read_tool(value, path, check) if cls is Tool else super()._read(value, path, check)


def _optional_area(value: object) -> Mapping[str, Any] | None:
    return None if value is None else area(value)


def _positive(name: str, value: float | None) -> Iterable[tuple[str, str]]:
    if value is not None and not value > 0:
        yield name, f"expected more than 0, got {kind(value)}"


@frozen
class BandMath(Tool):
    """Compute new bands from those of the item.

    Args:
        b1: The expression of the first new band; up to `b15`, without gaps.
        pixel_type: Auto (the API's default), 8U, 16U, 16S or 32R.

    Example:
        >>> BandMath("(b4-b3)/(b4+b3)", pixel_type="32R").to_dict()
        {'bandmath': {'b1': '(b4-b3)/(b4+b3)', 'pixel_type': '32R'}}
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
        bands = [band.name for band in fields(BandMath)[:-1]]
        given = [band for band in bands if getattr(self, band) is not None]
        for expected, band in zip(bands, given, strict=False):
            if band != expected:
                yield expected, f"missing, though {band} is given"
                return


@frozen
class Clip(Tool):
    """Cut the imagery to an area: a Polygon or MultiPolygon, as anything that `to_geojson` takes.

    Orders of scenes need the `aoi`.  Basemaps are cut to the geometry of the product, and a subscription's
    scenes to the geometry of its source, without one.
    """

    block: ClassVar[str] = "clip"

    aoi: Mapping[str, Any] | None = field(default=None, converter=_optional_area)


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
    """Change the projection.

    Args:
        projection: Such as ``"EPSG:4326"``.
        resolution: The size of a pixel in units of the projection.
        kernel: near, bilinear, cubic, cubicspline, lanczos, average, mode, min, max, med, q1 or q3.
    """

    block: ClassVar[str] = "reproject"

    projection: str
    resolution: float | None = None
    kernel: str | None = None

    def _problems(self) -> Iterable[tuple[str, str]]:
        return _positive("resolution", self.resolution)


@frozen
class Tile(Tool):
    """Cut the images into tiles.

    Args:
        tile_size: The width and height of a tile in pixels.
        origin_x: Where the grid of tiles begins, in units of the projection.
        origin_y: As `origin_x`.
        pixel_size: The size of a pixel in units of the projection.
        name_template: Such as ``"{tilex}_{tiley}.tif"``.
        conformal_x_scaling: As in Planet's documentation.
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
    """Compute reflectance at the top of the atmosphere, times `scale_factor` (the API's default: 10000)."""

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

_by_name = named(TOOLS)


def read_tool(value: object, path: str, check: Check) -> object:
    """Read a tool as an order has it: below its name."""
    if isinstance(value, dict) and len(value) == 1 and None in value.values():
        value |= {name: {} for name in value}  # `{"merge": null}`: no parameters
    if isinstance(value, Mapping) and len(value) != 1:
        check.expected("one key, the name of the tool", value, path)
        return value
    return _by_name(value, path, check)
