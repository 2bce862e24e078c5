"""Basemaps: series, mosaics and their quads, as the API returns them.

See https://docs.planet.com/develop/apis/basemaps/
"""

import re
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from planet_async.errors import DecodeError
from planet_async.models.base import Resource
from planet_async.models.codec import NonEmpty, Timestamp

_MOSAIC = re.compile(r"/mosaics/([^/?#]+)/quads/")
_SIDES = 4
_ITEM = re.compile(r"/item-types/([^/?#]+)/items/([^/?#]+)")


@frozen(eq=False)
class Series(Resource):
    """A series of mosaics: the same area again and again."""

    id: NonEmpty
    name: str = ""
    product_type: str | None = field(default=None, repr=False)
    interval: str | None = field(default=None, repr=False)
    first_acquired: Timestamp | None = field(default=None, repr=False)
    last_acquired: Timestamp | None = field(default=None, repr=False)


@frozen(eq=False)
class Mosaic(Resource):
    """A basemap: one mosaic of many scenes, cut into quads.

    `bbox` is west, south, east and north in degrees.  `last_acquired` is exclusive: the midnight after the
    last day.  Quads of two mosaics are the same places only where `coordinate_system` and `grid` agree.
    """

    id: NonEmpty
    name: str = ""
    product_type: str | None = field(default=None, repr=False)
    interval: str | None = field(default=None, repr=False)
    first_acquired: Timestamp | None = field(default=None, repr=False)
    last_acquired: Timestamp | None = field(default=None, repr=False)
    bbox: tuple[float, ...] | None = field(default=None, repr=False)
    coordinate_system: str | None = field(default=None, repr=False)
    datatype: str | None = field(default=None, repr=False)
    level: int | None = field(default=None, repr=False)
    item_types: tuple[str, ...] | None = field(default=None, repr=False)
    quad_download: bool | None = field(default=None, repr=False)

    @property
    def geometry(self) -> Mapping[str, Any] | None:
        """The `bbox`, as a GeoJSON Polygon; None where it is not known."""
        return _rectangle(self.bbox)

    @property
    def grid(self) -> Mapping[str, Any]:
        """The grid of the quads: ``quad_size`` in pixels, ``resolution`` in metres."""
        return self._mapping("grid") or {}


@frozen(eq=False)
class Quad(Resource):
    """A quad: one file of a mosaic.  `percent_covered` is None of one from a minimal list."""

    id: NonEmpty
    bbox: tuple[float, ...] | None = field(default=None, repr=False)
    percent_covered: float | None = field(default=None, repr=False)

    @property
    def geometry(self) -> Mapping[str, Any] | None:
        """The `bbox`, as a GeoJSON Polygon; None where it is not known."""
        return _rectangle(self.bbox)

    @property
    def mosaic_id(self) -> str:
        """The id of its mosaic, as its links have it.

        Raises:
            DecodeError: no link has it.
        """
        found = (_MOSAIC.search(self._link(name)) for name in ("_self", "download", "items"))
        match = next((each for each in found if each), None)
        if match is None:
            raise DecodeError(f"no link of the quad {self.id} says of which mosaic it is")
        return match[1]

    @property
    def download_link(self) -> str | None:
        """The address of its file; None where it may not be downloaded.  Each request for it counts."""
        return self._link("download") or None

    def _link(self, name: str) -> str:
        found = self.links.get(name)
        return found if isinstance(found, str) else ""


def _rectangle(bbox: tuple[float, ...] | None) -> Mapping[str, Any] | None:
    if bbox is None or len(bbox) != _SIDES:
        return None
    west, south, east, north = bbox
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


@frozen(eq=False)
class Contribution(Resource):
    """A scene that a quad is made of.  Its `link` may lead elsewhere than to Planet's API."""

    link: str = ""

    @property
    def item_type(self) -> str | None:
        """The type of the item, where it is one of Planet's."""
        return self._text("item_type") or self._of_link(1)

    @property
    def item_id(self) -> str | None:
        """The id of the item, where it is one of Planet's."""
        return self._text("item_id") or self._of_link(2)

    def _of_link(self, group: int) -> str | None:
        match = _ITEM.search(self.link)
        return match[group] if match else None


@frozen(eq=False)
class QuadCount(Resource):
    """The response to a request for the number of quads."""

    @property
    def total_quads(self) -> int:
        """The number.

        Raises:
            DecodeError: there is none.
        """
        found = (self._mapping("summary") or {}).get("total_quads")
        if not isinstance(found, int):
            raise DecodeError("`$.summary.total_quads` is missing")
        return found
