"""The scenes that the simulated Data API has, and the filters by which they are found.

The scenes are made up, by tables: satellites pass over a few real places, some each day.  The same place and
day always have the same scenes, with the same clouds.
"""

import operator
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from attrs import define, frozen

from planet_async.simulator.context import after, parse, render, six_digits
from planet_async.simulator.geometry import RELATIONS, Footprint, Point, check, intersects, read
from planet_async.simulator.http import Json
from planet_async.simulator.lists import COMPARISONS

LAST_DAY = datetime(2025, 12, 30, tzinfo=UTC)  # all are published before the year 2026
DOWNLOAD = "assets:download"

_PLACES: Mapping[str, Point] = {
    "Swartland": (18.4, -33.8),
    "San Francisco": (-122.35, 37.75),
    "Iowa": (-93.6, 42.0),
    "Mato Grosso": (-55.5, -12.5),
    "Bavaria": (11.6, 48.2),
    "Punjab": (75.8, 30.9),
    "Nile Delta": (31.0, 30.8),
    "Riverina": (146.0, -34.5),
    "Rift Valley": (36.1, -0.4),
    "Kansai": (135.5, 34.7),
}
_NOT_IN_CONTRACT = frozenset({"Kansai", "TanagerScene"})  # what the account may find but not download


def _names(stem: str, *endings: str) -> Sequence[str]:
    return [stem + ending for ending in endings]


_SKYSAT = (
    *_names("ortho_analytic", "", "_dn", "_sr", "_udm", "_udm2"),
    *_names("ortho_panchromatic", "", "_dn", "_udm", "_udm2"),
    *_names("ortho_pansharpened", "", "_udm", "_udm2"),
    "ortho_visual",
)
_BASIC = _names("basic_analytic", "", "_rpc", "_udm2")
ITEM_TYPES: Mapping[str, Sequence[str]] = {
    "PSScene": (
        *_names("basic_analytic_4b", "", "_rpc", "_xml"),
        *_names("basic_analytic_8b", "", "_xml"),
        *("basic_udm2", "ortho_analytic_3b", "ortho_analytic_3b_xml"),
        *_names("ortho_analytic_4b", "", "_sr", "_xml"),
        *_names("ortho_analytic_8b", "", "_sr", "_xml"),
        *("ortho_udm2", "ortho_visual"),
    ),
    "SkySatCollect": ("basic_l1a_all_frames", *_SKYSAT),
    "SkySatScene": (*_BASIC, *_SKYSAT),
    "SkySatVideo": ("video_file", "video_frames", "video_metadata"),
    "PelicanScene": (
        *_BASIC,
        *_names("ortho_analytic", "", "_sr", "_udm2"),
        *("ortho_panchromatic", "ortho_pansharpened", "ortho_visual"),
    ),
    "TanagerScene": (*_names("ortho", "_radiance_hdf5", "_sr_hdf5"), "basic_radiance_hdf5", "ortho_visual"),
    "REOrthoTile": ("analytic", "analytic_sr", "analytic_xml", "udm", "visual", "visual_xml"),
}
"""The asset types by item type [H, a choice]; the simulator has no scenes of SkySatVideo and REOrthoTile."""


@frozen
class _Passes:
    """How one kind of satellite sees each place: how often, and by how many scenes of which size."""

    provider: str
    days: int
    columns: int
    rows: int
    width: float
    height: float
    pixel: float
    instruments: Sequence[str]
    name: str


_PASSES: Mapping[str, _Passes] = {
    "PSScene": _Passes(
        *("planetscope", 1, 2, 2, 0.28, 0.16, 3.0),
        ("PSB.SD", "PSB.SD", "PS2.SD", "PS2"),
        "{hundredths:02}_2{satellite:03x}",
    ),
    "SkySatCollect": _Passes("skysat", 8, 1, 1, 0.12, 0.1, 0.5, ("SkySat",), "ssc{satellite}_u{cell:04}"),
    "SkySatScene": _Passes("skysat", 8, 2, 2, 0.03, 0.02, 0.5, ("SkySat",), "ssc{satellite}d1_{cell:04}"),
    "PelicanScene": _Passes(
        "pelican", 10, 1, 2, 0.06, 0.05, 0.5, ("Pelican",), "{hundredths:02}_p{satellite}"
    ),
    "TanagerScene": _Passes(
        "tanager", 15, 1, 1, 0.18, 0.18, 30.0, ("Tanager",), "{hundredths:02}_40{cell:02}"
    ),
}
_OVERLAP, _SLANT = 0.9, 0.15
_HOUR = 3600.0
_STEP = 2.31  # seconds between two scenes of a pass
_REPUBLISHED_DAYS = 4


@define(eq=False)
class Scene:
    """One scene: as the API shows it but for the links, and what filters ask."""

    id: str
    item_type: str
    footprint: Footprint
    acquired: int
    published: int
    updated: int
    assets: Sequence[str]
    permitted: frozenset[str]
    properties: dict[str, Any]

    @property
    def permissions(self) -> list[str]:
        return [f"assets.{name}:download" for name in self.assets if name in self.permitted]


@lru_cache(maxsize=4)
def scenes(days: int) -> Mapping[tuple[str, str], Scene]:
    """Return the scenes of so many days by item type and id, the oldest first."""
    found = sorted(_scenes(days), key=operator.attrgetter("acquired", "id"))
    return {(scene.item_type, scene.id): scene for scene in found}


def _scenes(days: int) -> Iterator[Scene]:
    for ago in range(days):
        for item_type, passes in _PASSES.items():
            for number, place in enumerate(_PLACES):
                if (ago + number) % passes.days == 0:
                    for cell in range(passes.columns * passes.rows):
                        yield _scene(item_type, passes, place, ago, cell)


def _scene(item_type: str, passes: _Passes, place: str, ago: int, cell: int) -> Scene:
    day = LAST_DAY - timedelta(days=ago)
    of_pass = random.Random(f"{item_type} {place} {day:%Y%m%d}")  # noqa: S311 - repeatable, not secret
    of_scene = random.Random(f"{item_type} {place} {day:%Y%m%d} {cell}")  # noqa: S311
    instrument, satellite = of_pass.choice(passes.instruments), of_pass.randrange(16, 64)
    longitude, latitude = _PLACES[place]
    hours = 10.4 - longitude / 15 + list(_PASSES).index(item_type) / 60
    acquired = after(parse(f"{day:%Y-%m-%d}T00:00:00Z"), hours * _HOUR + cell * _STEP + of_pass.random())
    published = after(acquired, round(of_scene.uniform(4, 20) * _HOUR))
    republished = ago >= _REPUBLISHED_DAYS and _happens(of_scene, 0.25)
    updated = after(published, 30 * _HOUR) if republished else published
    stage = "finalized" if ago > 1 else "standard" if ago else "preview"
    assets = [
        name
        for name in ITEM_TYPES[item_type]
        if not ("8b" in name and instrument == "PS2") and not ("_sr" in name and stage == "preview")
    ]
    allowed = not {place, item_type} & _NOT_IN_CONTRACT
    time = datetime.fromtimestamp(acquired // 1_000_000, UTC)
    name = passes.name.format(hundredths=acquired // 10_000 % 100, satellite=satellite, cell=cell + 1)
    return Scene(
        id=f"{time:%Y%m%d_%H%M%S}_{name}",
        item_type=item_type,
        footprint=_footprint(passes, longitude, latitude, cell),
        acquired=acquired,
        published=published,
        updated=updated,
        assets=assets,
        permitted=frozenset(assets if allowed else ()),
        properties={
            "acquired": render(acquired),
            "published": render(published),
            "updated": render(updated),
            "item_type": item_type,
            "provider": passes.provider,
            "instrument": instrument,
            "satellite_id": f"{satellite:x}",
            "strip_id": f"{day:%y%m%d}{list(_PLACES).index(place)}{satellite}",
            "publishing_stage": stage,
            "quality_category": "test" if _happens(of_scene, 0.05) else "standard",
            "gsd": round(passes.pixel * of_scene.uniform(1.2, 1.4), 1),
            "pixel_resolution": passes.pixel,
            "view_angle": round(of_scene.uniform(0, 5), 1),
            "satellite_azimuth": round(of_pass.uniform(80, 280), 1),
            "sun_azimuth": round(of_pass.uniform(40, 160), 1),
            "sun_elevation": round(of_pass.uniform(20, 70), 1),
            "anomalous_pixels": 0,
            **_sky(of_scene),
            **({"ground_control": _happens(of_scene, 0.9)} if item_type == "PSScene" else {}),
            **({"ground_control_ratio": 0.98} if passes.provider == "skysat" else {}),
        },
    )


def _happens(chance: random.Random, share: float) -> bool:
    return chance.random() < share


def _sky(chance: random.Random) -> dict[str, float]:
    """Return how cloudy it is: `cloud_cover` is a fraction, all others are whole percents [H]."""
    clear = 100 - int(100 * chance.random() ** 3)
    cloud = (100 - clear) * 9 // 10
    rest = 100 - clear - cloud
    return {
        "cloud_cover": cloud / 100,
        "cloud_percent": cloud,
        "clear_percent": clear,
        "clear_confidence_percent": 90,
        "visible_percent": clear + rest,
        "visible_confidence_percent": 85,
        "shadow_percent": rest // 2,
        "light_haze_percent": rest - rest // 2,
        "heavy_haze_percent": 0,
        "snow_ice_percent": 0,
    }


@lru_cache(maxsize=1000)
def _footprint(passes: _Passes, longitude: float, latitude: float, cell: int) -> Footprint:
    row, column = divmod(cell, passes.columns)
    x = longitude + (column - (passes.columns - 1) / 2) * passes.width * _OVERLAP
    y = latitude + (row - (passes.rows - 1) / 2) * passes.height * _OVERLAP
    wide, high, slant = passes.width / 2, passes.height / 2, passes.height * _SLANT
    ring = [
        (x - wide - slant, y - high),
        (x + wide - slant, y - high),
        (x + wide + slant, y + high),
        (x - wide + slant, y + high),
        (x - wide - slant, y - high),
    ]
    return Footprint([(round(a, 6), round(b, 6)) for a, b in ring])


Test = Callable[[Scene], bool]
_UPDATES_SINCE = parse("2020-04-10T00:00:00Z")


@lru_cache(maxsize=1)
def _fields() -> Mapping[str, type]:
    """Return the fields of scenes by name; an unknown one is an error [L]."""
    kinds: dict[str, type] = {"id": str}
    for scene in scenes(_PASSES["TanagerScene"].days).values():
        kinds.update((name, type(value)) for name, value in scene.properties.items())
    return kinds


def test_of(found: Any) -> Test:
    """Return the test of a scene that a filter stands for; ValueError where it is no filter."""
    check(isinstance(found, dict), f"{found!r} is not of type 'object'")
    for name in ("type", "config"):
        check(name in found, f"'{name}' is a required property")  # [H, recorded]
    check(str(found["type"]) in _FILTERS, f"{found['type']!r} is not one of {', '.join(_FILTERS)}")
    kind, make = _FILTERS[found["type"]]
    wanted = "array" if kind is list else "object"
    check(isinstance(found["config"], kind), f"the config of a {found['type']} is not of type '{wanted}'")
    return make(found)


def _all_of(found: Json) -> Test:
    tests = [test_of(each) for each in found["config"]]
    return lambda scene: all(test(scene) for test in tests)


def _any_of(found: Json) -> Test:
    tests = [test_of(each) for each in found["config"]]
    return lambda scene: any(test(scene) for test in tests)


def _none_of(found: Json) -> Test:
    test = test_of(found["config"])
    return lambda scene: not test(scene)


def _bounds(found: Json, read_bound: Callable[[Any], Any], *allowed: str) -> Callable[[Any], bool]:
    config = found["config"]
    valid = bool(config) and set(config) <= set(allowed)
    check(valid, f"the config of a {found['type']} has any of {', '.join(allowed)}")
    bounds = [(COMPARISONS[name], read_bound(value)) for name, value in config.items()]
    return lambda value: all(compare(value, bound) for compare, bound in bounds)


def _field_of(found: Json, *kinds: type) -> str:
    check("field_name" in found, "'field_name' is a required property")
    name = str(found["field_name"])
    check(_fields().get(name) in kinds, f"{name!r} is not a field for a {found['type']}")
    return name


def _time(value: object) -> int:
    return parse(value if isinstance(value, str) else repr(value))


def _number(value: Any) -> float:
    check(type(value) in {int, float}, f"{value!r} is not of type 'number'")
    return float(value)


def _texts(found: Json) -> list[str]:
    texts: list[str] = found["config"]
    valid = bool(texts) and all(isinstance(text, str) for text in texts)
    check(valid, f"the config of a {found['type']} is not a list of texts")
    return texts


def _date_range(found: Json) -> Test:
    name = _field_of(found, str)
    check(name in {"acquired", "published", "updated"}, f"{name!r} is not a time")
    get = operator.attrgetter(name)
    passes = _bounds(found, _time, *COMPARISONS)
    return lambda scene: passes(get(scene))


def _range(found: Json) -> Test:
    name = _field_of(found, int, float)
    passes = _bounds(found, _number, *COMPARISONS)
    return lambda scene: name in scene.properties and passes(scene.properties[name])


def _update(found: Json) -> Test:
    """Items republished since then; here each has all its fields changed by that [L]."""
    _field_of(found, str, int, float, bool)
    passes = _bounds(found, _time, "gt", "gte")
    return lambda scene: scene.updated > scene.published >= _UPDATES_SINCE and passes(scene.updated)


def _number_in(found: Json) -> Test:
    name = _field_of(found, int, float)
    numbers = {_number(value) for value in found["config"]}
    return lambda scene: scene.properties.get(name) in numbers


def _string_in(found: Json) -> Test:
    name = _field_of(found, str, bool)
    texts = set(_texts(found))

    def test(scene: Scene) -> bool:
        value = scene.id if name == "id" else scene.properties.get(name)
        return (str(value).lower() if isinstance(value, bool) else value) in texts  # "true", "false" [L]

    return test


def _geometry(found: Json) -> Test:
    check(found.get("field_name") == "geometry", "the field_name of a GeometryFilter is 'geometry'")
    relation = found.get("relation", "intersects")
    check(
        isinstance(relation, str) and relation in RELATIONS,
        f"{relation!r} is not one of {', '.join(RELATIONS)}",
    )
    relates, shape = RELATIONS[relation], read(found["config"])
    return lambda scene: relates(scene.footprint, shape)


def _asset(found: Json) -> Test:
    names = set(_texts(found))
    return lambda scene: not names.isdisjoint(scene.assets)


def _permission(found: Json) -> Test:
    names = set(_texts(found))
    return lambda scene: not names.isdisjoint([*scene.permissions, *([DOWNLOAD] if scene.permitted else [])])


_FILTERS: Mapping[str, tuple[type, Callable[[Json], Test]]] = {
    "AndFilter": (list, _all_of),
    "OrFilter": (list, _any_of),
    "NotFilter": (dict, _none_of),
    "DateRangeFilter": (dict, _date_range),
    "RangeFilter": (dict, _range),
    "UpdateFilter": (dict, _update),
    "NumberInFilter": (list, _number_in),
    "StringInFilter": (list, _string_in),
    "GeometryFilter": (dict, _geometry),
    "AssetFilter": (list, _asset),
    "PermissionFilter": (list, _permission),
}


def intersecting(geometries: Sequence[Json]) -> Test:
    """Return the test whether a scene intersects any of the geometries; ValueError where one is none."""
    shapes = [read(geometry) for geometry in geometries]
    return lambda scene: any(intersects(scene.footprint, shape) for shape in shapes)


def normalized(found: Json) -> Json:
    """Return a valid filter as it is shown: numbers as floats, times with six digits [H, recorded]."""
    config = found["config"]
    match found["type"]:
        case "AndFilter" | "OrFilter":
            config = [normalized(each) for each in config]
        case "NotFilter":
            config = normalized(config)
        case "DateRangeFilter" | "UpdateFilter":
            config = {name: six_digits(_time(value)) for name, value in config.items()}
        case "RangeFilter":
            config = {name: float(value) for name, value in config.items()}
        case "NumberInFilter":
            config = [float(value) for value in config]
    return dict(sorted({**found, "config": config}.items()))
