"""The tools of a subscription: those of orders, but fewer, in an order that the API enforces.

See https://docs.planet.com/develop/apis/subscriptions/tools/
"""

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any, ClassVar

from attrs import frozen

from planet_async.models.base import RequestModel
from planet_async.models.codec import type_of
from planet_async.models.tools import (
    BandMath,
    Clip,
    FileFormat,
    Harmonize,
    Reproject,
    Tool,
    TopOfAtmosphereReflectance,
)


@frozen
class Percent(RequestModel):
    """A range of percent, both ends included: `gte` at least, `lte` at most."""

    gte: float | None = None
    lte: float | None = None

    def _problems(self) -> Iterable[tuple[str, str]]:
        if self.gte is None and self.lte is None:
            yield "gte", "expected gte, lte or both"


@frozen(kw_only=True)
class CloudPercentFilter(Tool):
    """Leave out scenes by what part of the area is clear or covered; all given must hold.

    CloudPercentFilter(clear_percent=Percent(gte=90), snow_ice_percent=Percent(lte=5))
    """

    block: ClassVar[str] = "cloud_filter"

    clear_percent: Percent | Mapping[str, Any] | None = None
    cloud_percent: Percent | Mapping[str, Any] | None = None
    shadow_percent: Percent | Mapping[str, Any] | None = None
    heavy_haze_percent: Percent | Mapping[str, Any] | None = None
    light_haze_percent: Percent | Mapping[str, Any] | None = None
    snow_ice_percent: Percent | Mapping[str, Any] | None = None


SUBSCRIPTION_TOOLS: Mapping[str, type[Tool]] = {
    tool.block: tool
    for tool in (
        BandMath,
        Clip,
        CloudPercentFilter,
        FileFormat,
        Harmonize,
        Reproject,
        TopOfAtmosphereReflectance,
    )
}

_ORDER = "the order is harmonize, toar, then clip, reproject and bandmath, then cloud_filter and file_format"
_RANKS: Mapping[str, int] = {
    "harmonize": 1,
    "toar": 2,
    "clip": 3,
    "reproject": 3,
    "bandmath": 3,
    "cloud_filter": 4,
    "file_format": 4,
}


def tool_problems(tools: Iterable[Tool | Mapping[str, Any]]) -> Iterable[tuple[str, str]]:
    """Yield what is wrong with the choice of tools, or with their order."""
    tools = tuple(tools)
    for tool in tools:
        if isinstance(tool, Tool) and type(tool) not in SUBSCRIPTION_TOOLS.values():
            yield "tools", f"{type(tool).__name__} is for orders only"
    ranked = [name for name in map(type_of, tools) if name in _RANKS]
    for first, second in pairwise(ranked):
        if _RANKS[second] < _RANKS[first]:
            yield "tools", f"{second} must come before {first}; {_ORDER}"
