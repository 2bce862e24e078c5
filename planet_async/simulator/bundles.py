"""The product bundles that the simulator sells: a small catalogue, of which ``bundles/spec`` tells.

The names are Planet's, the choice is ours: the real catalogue is longer and changes.
"""

from collections.abc import Mapping, Sequence

_ORTHO_4B = ("ortho_analytic_4b", "ortho_analytic_4b_xml")
_ORTHO_8B = ("ortho_analytic_8b", "ortho_analytic_8b_xml")
_SKYSAT = ("SkySatCollect", "SkySatScene")

ASSETS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "analytic": {
        "PSOrthoTile": ("analytic", "analytic_xml", "udm"),
        "REOrthoTile": ("analytic", "analytic_xml", "udm"),
    },
    "analytic_udm2": {
        "PSScene": (*_ORTHO_4B, "ortho_udm2"),
        "PSOrthoTile": ("analytic", "analytic_xml", "udm", "udm2"),
        **dict.fromkeys(_SKYSAT, ("ortho_analytic", "ortho_analytic_udm2")),
        **dict.fromkeys(("PelicanScene", "TanagerScene"), ("ortho_analytic", "ortho_analytic_udm2")),
    },
    "analytic_3b_udm2": {"PSScene": ("ortho_analytic_3b", "ortho_analytic_3b_xml", "ortho_udm2")},
    "analytic_8b_udm2": {"PSScene": (*_ORTHO_8B, "ortho_udm2")},
    "analytic_sr_udm2": {
        "PSScene": ("ortho_analytic_4b_sr", "ortho_analytic_4b_xml", "ortho_udm2"),
        "PSOrthoTile": ("analytic_sr", "analytic_xml", "udm", "udm2"),
        **dict.fromkeys(_SKYSAT, ("ortho_analytic_sr", "ortho_analytic_udm2")),
    },
    "analytic_8b_sr_udm2": {"PSScene": ("ortho_analytic_8b_sr", "ortho_analytic_8b_xml", "ortho_udm2")},
    "basic_analytic_udm2": {
        "PSScene": ("basic_analytic_4b", "basic_analytic_4b_rpc", "basic_analytic_4b_xml", "basic_udm2"),
        "SkySatScene": ("basic_analytic", "basic_analytic_rpc", "basic_analytic_udm2"),
    },
    "basic_analytic_8b_udm2": {
        "PSScene": ("basic_analytic_8b", "basic_analytic_8b_rpc", "basic_analytic_8b_xml", "basic_udm2")
    },
    "panchromatic": dict.fromkeys(_SKYSAT, ("ortho_panchromatic", "ortho_panchromatic_udm2")),
    "pansharpened_udm2": dict.fromkeys(_SKYSAT, ("ortho_pansharpened", "ortho_pansharpened_udm2")),
    "visual": {
        "PSScene": ("ortho_visual",),
        "PSOrthoTile": ("visual", "visual_xml"),
        "REOrthoTile": ("visual", "visual_xml"),
        **dict.fromkeys(_SKYSAT, ("ortho_visual",)),
        "PelicanScene": ("ortho_visual",),
    },
}
"""The assets by bundle and item type."""


def choose(bundles: str, item_type: str) -> str | None:
    """Give the first of the bundles, a comma list with fallbacks, that has the item type."""
    return next((name for name in bundles.split(",") if item_type in ASSETS.get(name, {})), None)
