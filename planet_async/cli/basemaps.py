"""The commands `planet-async basemaps` and `planet-async basemaps series`."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from planet_async import Contribution, Mosaic, Paginator, Planet, Progress, Quad, Series
from planet_async.cli.input import id_argument, read_geometry
from planet_async.cli.options import (
    HERE,
    Folder,
    Geometry,
    Limit,
    Name,
    NameContains,
    Overwrite,
    option,
    time_option,
)
from planet_async.cli.output import TABLE, Format, Formats, GeoFormats, View, print_document, stdout
from planet_async.cli.runner import Command, download_files, named, run_only, show_list, show_one

_COLUMNS = {
    "name": "name",
    "from (UTC)": "first_acquired",
    "to (UTC)": "last_acquired",
    "interval": "interval",
    "type": "product_type",
}
_FACTS = {
    "id": "id",
    "type": "product_type",
    "interval": "interval",
    "from": "first_acquired",
    "to": "last_acquired",
}
VIEW = View[Mosaic](
    "mosaics",
    columns=_COLUMNS,
    title=lambda mosaic: mosaic.name,
    facts={
        **_FACTS,
        "box": "bbox",
        "coordinate system": "coordinate_system",
        "data type": "datatype",
        "level": "level",
        "items": "item_types",
        "resolution": lambda mosaic: mosaic.grid.get("resolution"),
        "quads can be downloaded": "quad_download",
    },
)
SERIES = View[Series]("series", columns=_COLUMNS, title=lambda series: series.name, facts=_FACTS)
QUADS = View[Quad](
    "quads",
    columns={"id": "id", "covered, percent": "percent_covered", "box": "bbox"},
    geometry=lambda quad: _rectangle(quad.bbox),
)
CONTRIBUTIONS = View[Contribution]("scenes", columns={"id": "item_id", "type": "item_type", "link": "link"})

MosaicName = Annotated[str, id_argument("a mosaic, or its name", metavar="MOSAIC")]
SeriesName = Annotated[str, id_argument("a series, or its name", metavar="SERIES")]
Interval = Annotated[str | None, option("INTERVAL", "With this interval: '1 mon'.")]
AcquiredAfter = Annotated[
    str | None,
    time_option("With images from after this time: 2026-01-31, 7d, ..."),
]
AcquiredBefore = Annotated[str | None, time_option("With images from before this time.")]
Box = Annotated[str | None, option("W,S,E,N", "The area: degrees of longitude and latitude.", "--bbox")]


def _rectangle(box: Sequence[float] | None) -> dict[str, object] | None:
    if not box:
        return None
    west, south, east, north = box
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def list_(
    context: typer.Context,
    *,
    name: Name = None,
    name_contains: NameContains = None,
    interval: Interval = None,
    acquired_gt: AcquiredAfter = None,
    acquired_lt: AcquiredBefore = None,
    limit: Limit = None,
    form: Formats = TABLE,
) -> None:
    """List mosaics.

    [dim]planet-async basemaps list --name-contains global_monthly --acquired-gt 2026-01-01[/]
    """
    show_list(
        context,
        lambda planet: planet.basemaps.list(
            name__is=name,
            name__contains=name_contains,
            interval=interval,
            acquired__gt=acquired_gt,
            acquired__lt=acquired_lt,
        ),
        VIEW,
        limit=limit,
        form=form,
    )


def get(context: typer.Context, mosaic: MosaicName, form: Format = TABLE) -> None:
    """Show a mosaic.

    [dim]planet-async basemaps get global_monthly_2026_01_mosaic[/]
    """
    show_one(context, lambda planet: planet.basemaps.get(mosaic), VIEW, form=form)


def quads(
    context: typer.Context,
    mosaic: MosaicName,
    *,
    bbox: Box = None,
    geometry: Geometry = None,
    count: Annotated[bool, typer.Option("--count", help="Only say how many there are.")] = False,
    limit: Limit = None,
    form: GeoFormats = TABLE,
) -> None:
    """List the quads of a mosaic in an area.

    [dim]planet-async basemaps quads global_monthly_2026_01_mosaic --bbox 7,46.5,7.5,47[/]
    """
    area = _area(bbox, geometry)

    async def list_quads(planet: Planet) -> Paginator[Quad]:
        return planet.basemaps.quads(await planet.basemaps.get(mosaic), **area)

    async def count_quads(planet: Planet) -> None:
        total = await planet.basemaps.count_quads(await planet.basemaps.get(mosaic), **area)
        if form != TABLE:
            print_document({"total_quads": total}, form)
        else:
            stdout().print(f"{total:,} quads", highlight=False)

    if count:
        run_only(context, count_quads)
    else:
        show_list(context, list_quads, QUADS, limit=limit, form=form)


def _area(bbox: str | None, geometry: str | None) -> dict[str, Any]:
    if (bbox is None) == (geometry is None):
        raise typer.BadParameter("pass --bbox or --geometry")
    box: list[float] | None = None
    if bbox is not None:
        with suppress(ValueError):
            box = [float(number) for number in bbox.split(",")]
        if box is None or len(box) != _CORNERS or box[0] >= box[2] or box[1] >= box[3]:
            raise typer.BadParameter(
                f"--bbox: expected west, south, east and north in degrees: 7,46.5,7.5,47, not {bbox!r}"
            )
    return {"bbox": box, "geometry": read_geometry(geometry)}


_CORNERS = 4  # numbers of a box


def contributions(
    context: typer.Context,
    mosaic: MosaicName,
    quad: Annotated[str, id_argument("a quad, such as 455-1273", metavar="QUAD")],
    limit: Limit = None,
    form: Formats = TABLE,
) -> None:
    """List the scenes that a quad is made of.

    [dim]planet-async basemaps contributions global_monthly_2026_01_mosaic 455-1273[/]
    """

    async def scenes(planet: Planet) -> Paginator[Contribution]:
        found = await planet.basemaps.get_quad(await planet.basemaps.get(mosaic), quad)
        return planet.basemaps.contributions(found)

    show_list(context, scenes, CONTRIBUTIONS, limit=limit, form=form)


def download(
    context: typer.Context,
    mosaic: MosaicName,
    *,
    bbox: Box = None,
    geometry: Geometry = None,
    to: Folder = HERE,
    overwrite: Overwrite = False,
    form: Format = TABLE,
) -> None:
    """Download the quads of a mosaic in an area; those that are there are not requested again.

    By default they go into a folder of this one, which has the id of the mosaic.

    [dim]planet-async basemaps download global_monthly_2026_01_mosaic --bbox 7,46.5,7.5,47 --to quads[/]
    """
    area = _area(bbox, geometry)

    async def fetch(planet: Planet, progress: Callable[[Progress], None]) -> list[Path]:
        found = await planet.basemaps.get(mosaic)
        return await planet.basemaps.download(
            planet.basemaps.quads(found, **area), to, overwrite=overwrite, progress=progress
        )

    download_files(context, mosaic, fetch, form=form)


# --- Series


def list_series(
    context: typer.Context,
    *,
    name: Name = None,
    name_contains: NameContains = None,
    interval: Interval = None,
    acquired_gt: AcquiredAfter = None,
    acquired_lt: AcquiredBefore = None,
    limit: Limit = None,
    form: Formats = TABLE,
) -> None:
    """List series of mosaics.

    [dim]planet-async basemaps series list --name-contains global[/]
    """
    show_list(
        context,
        lambda planet: planet.basemaps.series(
            name__is=name,
            name__contains=name_contains,
            interval=interval,
            acquired__gt=acquired_gt,
            acquired__lt=acquired_lt,
        ),
        SERIES,
        limit=limit,
        form=form,
    )


def get_series(context: typer.Context, series: SeriesName, form: Format = TABLE) -> None:
    """Show a series.

    [dim]planet-async basemaps series get 'Global Monthly'[/]
    """
    show_one(context, lambda planet: planet.basemaps.get_series(series), SERIES, form=form)


def series_mosaics(
    context: typer.Context,
    series: SeriesName,
    *,
    latest: Annotated[bool, typer.Option("--latest", help="Only the latest one.")] = False,
    acquired_gt: AcquiredAfter = None,
    acquired_lt: AcquiredBefore = None,
    limit: Limit = None,
    form: Formats = TABLE,
) -> None:
    """List the mosaics of a series.

    [dim]planet-async basemaps series mosaics 'Global Monthly' --latest[/]
    """

    async def mosaics(planet: Planet) -> Paginator[Mosaic]:
        return planet.basemaps.series_mosaics(
            await planet.basemaps.get_series(series),
            latest=latest,
            acquired__gt=acquired_gt,
            acquired__lt=acquired_lt,
        )

    show_list(context, mosaics, VIEW, limit=limit, form=form)


COMMANDS = named(list_, get, quads, contributions, download)
SERIES_COMMANDS: dict[str, Command] = {
    "list": list_series,
    "get": get_series,
    "mosaics": series_mosaics,
}
