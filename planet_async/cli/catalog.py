"""Bundles and item types as words that the shell completes; the API takes others too, as Planet adds them.

They are those of the catalog of 12 August 2024: https://api.planet.com/compute/ops/bundles/spec has today's.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated

import typer

from planet_async.cli.options import option
from planet_async.cli.output import TABLE, Formats, Output

_SKYSAT = ("SkySatCollect", "SkySatScene")
_SCENES = ("PSScene", *_SKYSAT, "PelicanScene")
BUNDLES: dict[str, tuple[str, ...]] = {
    "analytic": ("REOrthoTile", *_SKYSAT, "Landsat8L1G", "PSOrthoTile", "Sentinel1", "Sentinel2L1C"),
    "analytic_3b_udm2": ("PSScene",),
    "analytic_5b": ("PSOrthoTile",),
    "analytic_5b_udm2": ("PSOrthoTile",),
    "analytic_8b_sr_udm2": ("PSScene",),
    "analytic_8b_udm2": ("PSScene",),
    "analytic_sr": ("REOrthoTile", *_SKYSAT, "PSOrthoTile", "MOD09GA", "MOD09GQ", "MYD09GA", "MYD09GQ"),
    "analytic_sr_udm2": (*_SCENES, "PSOrthoTile"),
    "analytic_udm2": (*_SCENES, "PSOrthoTile"),
    "basic_analytic": ("REScene", "SkySatScene"),
    "basic_analytic_8b_udm2": ("PSScene",),
    "basic_analytic_nitf": ("REScene",),
    "basic_analytic_udm2": ("PSScene", "SkySatScene", "PelicanScene"),
    "basic_l1a_dn": (*_SKYSAT, "PelicanScene"),
    "basic_panchromatic": ("SkySatScene", "PelicanScene"),
    "basic_panchromatic_dn": ("SkySatScene",),
    "basic_radiance_hdf5": ("TanagerScene",),
    "basic_sr_hdf5": ("TanagerScene",),
    "basic_uncalibrated_dn": ("SkySatScene",),
    "basic_uncalibrated_dn_udm2": ("SkySatScene",),
    "integrated_methane_enhancement": ("TanagerMethane",),
    "methane": ("TanagerMethane",),
    "methane_quicklook": ("TanagerMethane",),
    "panchromatic": _SKYSAT,
    "panchromatic_dn": _SKYSAT,
    "panchromatic_dn_udm2": _SKYSAT,
    "panchromatic_udm2": (*_SKYSAT, "PelicanScene"),
    "pansharpened": _SKYSAT,
    "pansharpened_udm2": (*_SKYSAT, "PelicanScene"),
    "quality_controlled_methane": ("TanagerMethane",),
    "radiance_hdf5": ("TanagerScene",),
    "sr_hdf5": ("TanagerScene",),
    "uncalibrated_dn": (*_SKYSAT, "PSOrthoTile"),
    "uncalibrated_dn_udm2": (*_SKYSAT, "PSOrthoTile"),
    "visual": (*_SCENES, "REOrthoTile", "TanagerScene", "Landsat8L1G", "PSOrthoTile", "Sentinel2L1C"),
}
ITEM_TYPES: tuple[str, ...] = tuple(
    sorted({name for types in BUNDLES.values() for name in types} | {"SkySatVideo"})
)


def complete_bundle(incomplete: str) -> list[str]:
    """Return the bundles that begin so; of a list with commas, the last one counts."""
    return _completed(incomplete, BUNDLES)


def complete_item_type(incomplete: str) -> list[str]:
    """Return the item types that begin so; of a list with commas, the last one counts."""
    return _completed(incomplete, ITEM_TYPES)


def _completed(incomplete: str, words: Iterable[str]) -> list[str]:
    before, comma, begun = incomplete.rpartition(",")
    return [f"{before}{comma}{word}" for word in words if word.lower().startswith(begun.lower())]


Items = Annotated[
    list[str],
    typer.Argument(
        metavar="ITEM",
        help="The ids of items, or - for standard input: ids, or items as `data search` prints them.",
    ),
]
TypeOfItems = Annotated[
    str | None, option("TYPE", "The type of the ids: PSScene, ...", complete=complete_item_type)
]


def bundles(
    item_type: Annotated[
        str | None, option("TYPE", "Those of this item type.", complete=complete_item_type)
    ] = None,
    form: Formats = TABLE,
) -> None:
    """List the bundles that are known here, offline; the API may take newer ones.

    [dim]planet-async orders bundles --item-type PSScene[/]
    """
    names = [name for name, types in BUNDLES.items() if item_type is None or item_type in types]
    _print_words("bundle", names, form)


def item_types(form: Formats = TABLE) -> None:
    """List the item types that are known here, offline; `data item-types` asks the API.

    [dim]planet-async orders item-types[/]
    """
    _print_words("item type", ITEM_TYPES, form)


def _print_words(title: str, words: Sequence[str], form: str) -> None:
    output = Output(form, (title,), f"{title}s known here")
    for word in words:
        output.add({"id": word}, (word,))
    output.close()
