"""Basemaps: mosaics of many scenes, cut into quads.

Basemaps can be ordered, too (`BasemapProduct`), with checksums: better for many quads.
"""

import builtins
import re
from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar, Unpack
from uuid import UUID

from planet_async._tasks import fetch_all, run_in_thread
from planet_async.downloads.download import download
from planet_async.downloads.progress_bar import ProgressBar
from planet_async.downloads.remote_file import ProgressCallback, RemoteFile, safe_path
from planet_async.errors import DownloadError, InvalidRequest, NotFound, type_name
from planet_async.http import Request, Response, SecretBytes, Transport
from planet_async.models.basemaps import Contribution, Mosaic, Quad, QuadCount, Series
from planet_async.models.codec import to_json
from planet_async.models.geometry import AREAS, to_geojson
from planet_async.models.json import finite
from planet_async.paging import MOSAICS_PAGES, QUADS_PAGES, SERIES_PAGES, Paginator
from planet_async.services._api import Api
from planet_async.services._query import (
    Params,
    checked_id,
    either,
    filter_params,
    folder,
    is_uuid,
    many,
    params,
    path_part,
    shown,
    text,
    whole,
)
from planet_async.services.filters import MosaicFilters, SeriesMosaicFilters

T = TypeVar("T", Mosaic, Series)

_BASEMAPS = "/basemaps/v1"
_MOSAICS = f"{_BASEMAPS}/mosaics"
_SERIES = f"{_BASEMAPS}/series"
_FURTHEST = (180.0, 85.0)  # degrees of longitude and latitude; there are no quads beyond
_CORNERS = 4  # numbers of a box


class Basemaps:
    """The basemaps that an account may use: `planet.basemaps`.

    `get` and `list` for mosaics; `series`, `get_series` and `series_mosaics`; `quads`, `count_quads` and
    `get_quad` for the quads of a mosaic; `contributions` for the scenes of a quad; `download` for the files.

    What holds for every method:

    - A mosaic is a `Mosaic` or its id, a series a `Series` or its id; `get` and `get_series` take names, too.
    - The API key that the API writes into its links is removed from all records, `raw` included: requests
      are signed by their header.

    Raises:
        InvalidRequest: an argument cannot be right; nothing was sent.
        StatusError: the API refuses the request.
        TransportError: no response came.
        DecodeError: the response is not what the API documents.

    See https://docs.planet.com/develop/apis/basemaps/
    """

    def __init__(self, api: Api) -> None:
        self._api = api.over(_WithoutKeys(api.transport))

    async def get(self, name_or_id: str | UUID) -> Mosaic:
        """Return one mosaic, by its name or its id.

        mosaic = await planet.basemaps.get("global_monthly_2026_01_mosaic")
        """
        return await self._get(Mosaic, _MOSAICS, "basemaps.get", name_or_id, self.list)

    def list(self, *, page_size: int = 250, **filters: Unpack[MosaicFilters]) -> Paginator[Mosaic]:
        """List mosaics.

            async for mosaic in planet.basemaps.list(name__contains="monthly", interval="1 mon"):
                print(mosaic.name, mosaic.first_acquired)

        Args:
            page_size: How many mosaics there are in one response.
            **filters: See `MosaicFilters`; all of them have to hold.
        """
        query = (*filter_params(MosaicFilters, filters), *params(_page_size=whole("page_size", page_size)))
        first = self._api.request("GET", _MOSAICS, "basemaps.list", params=query)
        return self._api.paginate(Mosaic, first, MOSAICS_PAGES, unique=True)

    def series(self, *, page_size: int = 250, **filters: Unpack[MosaicFilters]) -> Paginator[Series]:
        """List series; the parameters are those of `list`."""
        query = (*filter_params(MosaicFilters, filters), *params(_page_size=whole("page_size", page_size)))
        first = self._api.request("GET", _SERIES, "basemaps.series", params=query)
        return self._api.paginate(Series, first, SERIES_PAGES, unique=True)

    async def get_series(self, name_or_id: str | UUID) -> Series:
        """Return one series, by its name or its id."""
        return await self._get(Series, _SERIES, "basemaps.get_series", name_or_id, self.series)

    def series_mosaics(
        self,
        series: Series | str | UUID,
        *,
        latest: bool = False,
        page_size: int = 250,
        **filters: Unpack[SeriesMosaicFilters],
    ) -> Paginator[Mosaic]:
        """List the mosaics of a series.

        Args:
            series: The series.
            latest: Only the newest one.
            page_size: How many mosaics there are in one response.
            **filters: See `SeriesMosaicFilters`; all of them have to hold.
        """
        id_ = checked_id(series.id if isinstance(series, Series) else series, "series")
        query = (
            *filter_params(SeriesMosaicFilters, filters),
            *params(latest="yes" if latest else None, _page_size=whole("page_size", page_size)),
        )
        first = self._api.request("GET", f"{_SERIES}/{id_}/mosaics", "basemaps.series_mosaics", params=query)
        return self._api.paginate(Mosaic, first, MOSAICS_PAGES, unique=True)

    def quads(
        self,
        mosaic: Mosaic | str | UUID,
        *,
        bbox: Sequence[float] | None = None,
        geometry: object = None,
        minimal: bool = False,
        page_size: int = 250,
    ) -> Paginator[Quad]:
        """List the quads of a mosaic that meet a box or an area.

            async for quad in planet.basemaps.quads(mosaic, bbox=(7.0, 46.5, 7.1, 46.6)):
                print(quad.id, quad.percent_covered)

        Args:
            mosaic: The mosaic.
            bbox: West, south, east and north in degrees; what is beyond 180 or 85 degrees is cut off.  All
                quads are in ``mosaic.bbox``.
            geometry: A Polygon or MultiPolygon of at most 1,500 vertices, as anything that `to_geojson`
                takes, instead of a box.
            minimal: List no more than the ids and the links to the files.
            page_size: How many quads there are in one response.
        """
        query = params(minimal="true" if minimal else None, _page_size=whole("page_size", page_size))
        first = self._quads_request(mosaic, bbox, geometry, "basemaps.quads", query)
        return self._api.paginate(Quad, first, QUADS_PAGES, unique=True)

    async def count_quads(
        self,
        mosaic: Mosaic | str | UUID,
        *,
        bbox: Sequence[float] | None = None,
        geometry: object = None,
    ) -> int:
        """Return how many quads `quads` would list."""
        query = params(minimal="true", summary="true", _page_size=1)
        request = self._quads_request(mosaic, bbox, geometry, "basemaps.count_quads", query)
        return (await self._api.fetch(QuadCount, request)).total_quads

    async def get_quad(self, mosaic: Mosaic | str | UUID, quad_id: str) -> Quad:
        """Return one quad of a mosaic."""
        url = f"{_MOSAICS}/{_mosaic_id(mosaic)}/quads/{path_part('quad', quad_id)}"
        return await self._api.call(Quad, "GET", url, "basemaps.get_quad")

    def contributions(self, quad: Quad) -> Paginator[Contribution]:
        """List the scenes that a quad is made of; neighbouring quads have some in common."""
        if not isinstance(quad, Quad):
            raise InvalidRequest(
                f"expected a Quad, as `quads` and `get_quad` return it, not {type_name(quad)}"
            )
        url = f"{_MOSAICS}/{_mosaic_id(quad.mosaic_id)}/quads/{path_part('quad', quad.id)}/items"
        first = self._api.request("GET", url, "basemaps.contributions")
        return self._api.paginate(Contribution, first, QUADS_PAGES)

    async def download(
        self,
        quads: Quad | Iterable[Quad] | AsyncIterable[Quad],
        to: str | Path,
        *,
        overwrite: bool = False,
        concurrency: int = 4,
        progress: ProgressCallback | bool | None = None,
    ) -> builtins.list[Path]:
        """Download quads below the folder `to`, and return the paths of their files, in order.

        A file is named ``{mosaic id}/{quad id}.tif``, and ends in `.part` until it is complete.  Each request
        for a file counts as a download, so a file that is there is not requested again.  All quads are tried
        before the first error is raised: call again for what is missing.

            mosaic = await planet.basemaps.get("global_monthly_2026_01_mosaic")
            quads = planet.basemaps.quads(mosaic, geometry=field_7, minimal=True)
            paths = await planet.basemaps.download(quads, to="data")

        Args:
            quads: The quads, such as a list of `quads`.
            to: The folder; it is made where it does not exist.
            overwrite: Request files that are there, too, and replace them.
            concurrency: How many files are fetched at a time.
            progress: True for a bar in a notebook (tqdm) or on a terminal (Rich); or a function, called
                with a `Progress` as bytes arrive.

        Raises:
            DownloadError: a file cannot be fetched or written, or may not be downloaded.
        """
        where, concurrency, bar = folder("to", to), whole("concurrency", concurrency), ProgressBar(progress)
        found = await _collected(quads)
        paths: dict[Path, Quad] = {}
        for quad in found:
            paths.setdefault(_path_of(quad, where.path), quad)

        async def fetch(target: Path, quad: Quad) -> None:
            if not overwrite and await run_in_thread(target.is_file):
                return
            request = self._download_request(quad)
            await download(
                self._api.transport,
                RemoteFile(str(target.relative_to(where.path)), request),
                where,
                clock=self._api.clock,
                max_attempts=self._api.config.max_attempts,
                overwrite=overwrite,
                at_once=min(concurrency, len(paths)),
                progress=bar.callback,
            )

        with bar:
            await fetch_all([partial(fetch, target, quad) for target, quad in paths.items()], concurrency)
        return [_path_of(quad, where.path) for quad in found]

    async def _get(
        self,
        cls: type[T],
        route: str,
        operation: str,
        name_or_id: str | UUID,
        list_: Callable[..., Paginator[T]],
    ) -> T:
        name = text("the name or id", str(name_or_id) if isinstance(name_or_id, UUID) else name_or_id)
        if not name:
            raise InvalidRequest("the name or id must not be empty; nothing was sent")
        if is_uuid(name):
            return await self._api.call(cls, "GET", f"{route}/{name}", operation)
        found = await list_(name__is=name).first()
        if found is None or found.name.casefold() != name.casefold():
            noun = cls.__name__.lower()
            request = self._api.request("GET", route, operation)
            raise NotFound(f"there is no {noun} of the name {shown(name)}", status=404, request=request)
        return found

    def _quads_request(
        self,
        mosaic: Mosaic | str | UUID,
        bbox: Sequence[float] | None,
        geometry: object,
        operation: str,
        query: Params,
    ) -> Request:
        quads = f"{_MOSAICS}/{_mosaic_id(mosaic)}/quads"
        either("All quads are in mosaic.bbox.", bbox=bbox, geometry=geometry)
        if geometry is None:
            return self._api.request("GET", quads, operation, params=(("bbox", _box(bbox)), *query))
        body = to_json(to_geojson(geometry, types=AREAS))
        return self._api.request(
            "POST", f"{quads}/search", operation, params=query, body=body, repeatable=True
        )

    def _download_request(self, quad: Quad) -> Request:
        link = quad.download_link
        if link is None:
            raise DownloadError(
                f"the quad {quad.id} has no link to download it from",
                hint="See `quad_download` of its mosaic, and what the account may do.",
            )
        return self._api.file_request(f"{_BASEMAPS}/", link, "basemaps.download")


class _WithoutKeys:
    """Removes the API key that the API writes into the links of its responses."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner

    async def send(self, request: Request) -> Response:
        response = await self._inner.send(request)
        if request.stream:
            return response
        body = await response.read()
        if _KEY_BYTES not in body:
            return response
        return Response(
            response.status, response.headers, SecretBytes(_KEY.sub(_joint, body)), url=response.url
        )

    async def aclose(self) -> None:
        await self._inner.aclose()


_KEY_BYTES = b"api_key"
_KEY = re.compile(rb'(\?|&|\\u0026)api_key(?:=|\\u003d)[^&"\\#\s]*(&|\\u0026)?', re.IGNORECASE)


def _joint(found: re.Match[bytes]) -> bytes:
    """Return what is left between the parameters around the key."""
    before, after = found[1], found[2]
    return b"" if after is None else before if before == b"?" else after


def _mosaic_id(mosaic: Mosaic | str | UUID) -> str:
    id_ = mosaic.id if isinstance(mosaic, Mosaic) else mosaic
    try:
        return checked_id(id_, "mosaic")
    except InvalidRequest as error:
        error.hint = "`await planet.basemaps.get(name)` returns the mosaic of a name."
        raise


def _box(bbox: Iterable[float] | None) -> str:
    corners = many("degrees", () if bbox is None else bbox)
    numbers = [number for corner in corners if (number := finite(corner)) is not None]
    if len(numbers) != _CORNERS or len(corners) != _CORNERS:
        raise InvalidRequest(f"bbox: expected west, south, east and north in degrees, got {shown(bbox)}")
    cut = [
        max(-furthest, min(furthest, number))
        for number, furthest in zip(numbers, (*_FURTHEST, *_FURTHEST), strict=True)
    ]
    west, south, east, north = cut
    if west > east or south > north:
        raise InvalidRequest(
            f"bbox: expected west, south, east and north in degrees, got {shown(bbox)}",
            hint="A box across the antimeridian is two boxes.",
        )
    return ",".join(f"{number:.15g}" for number in cut)


async def _collected(quads: object) -> builtins.list[Quad]:
    if isinstance(quads, Quad):
        return [quads]
    found = [one async for one in quads] if isinstance(quads, AsyncIterable) else many("quads", quads)  # type: ignore[arg-type]
    for one in found:
        if not isinstance(one, Quad):
            raise InvalidRequest(f"expected quads, got {type_name(one)}; nothing was downloaded")
    return found


def _path_of(quad: Quad, folder: Path) -> Path:
    return safe_path(folder, f"{quad.mosaic_id}/{quad.id}.tif")
