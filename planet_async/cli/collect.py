"""The command `planet-async collect`: many JSON documents to one."""

from typing import Annotated

import typer

from planet_async.cli.output import print_json
from planet_async.cli.runner import SOURCE, read_objects


def collect(
    source: Annotated[str, typer.Argument(metavar="FILE", help=SOURCE)],
) -> None:
    """Collect JSON objects to one document: GeoJSON features to a FeatureCollection, others to an array.

    [dim]planet-async data search PSScene --limit 100 | planet-async collect - > items.geojson[/]
    """
    found = read_objects(source)
    if all(each.get("type") == "Feature" for each in found):
        print_json({"type": "FeatureCollection", "features": found})
    else:
        print_json(found)
