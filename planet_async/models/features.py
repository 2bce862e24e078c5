"""Feature collections and their features: areas that are kept at Planet, and named by references.

See https://docs.planet.com/develop/apis/features/
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from math import isnan
from typing import Any

import msgspec
from attrs import field, frozen

from planet_async.errors import DecodeError, InvalidRequest
from planet_async.http import Request
from planet_async.models.base import RequestModel, Resource
from planet_async.models.codec import NonEmpty, Timestamp, decode_part
from planet_async.models.geometry import AREAS, to_geojson
from planet_async.models.json import DECODE_ERRORS, kind, unreadable

REFERENCE = "pl:features/"
"""The beginning of every reference to a collection or a feature."""

_PLANETS = "pl:"  # what the properties begin with that Planet adds


@frozen(eq=False)
class FeatureCollection(Resource):
    """A collection of features.

    `area` is in square metres; it and `feature_count` are None of one that is new.
    """

    id: NonEmpty
    title: str = ""
    description: str | None = field(default=None, repr=False)
    created: Timestamp | None = field(default=None, repr=False)
    updated: Timestamp | None = field(default=None, repr=False)
    feature_count: int | None = None
    area: float | None = field(default=None, repr=False)
    title_property: str | None = field(default=None, repr=False)
    description_property: str | None = field(default=None, repr=False)

    @property
    def ref(self) -> str:
        """The reference, such as ``"pl:features/my/fields-Kr7"``."""
        return self._text("pl:ref") or f"{REFERENCE}my/{self.id}"

    @property
    def permissions(self) -> Mapping[str, Any]:
        """The permissions of the user: ``can_write``, ``shared``, ``is_owner``."""
        return self._mapping("permissions") or {}


@frozen(eq=False)
class Feature(Resource):
    """A feature of a collection.

    `id` is the short form, which two features may have in common; `ref` is unique.
    """

    id: NonEmpty

    @property
    def ref(self) -> str:
        """The reference, which goes wherever a geometry goes: ``"pl:features/my/fields-Kr7/1-owL"``.

        Raises:
            DecodeError: the response has none.
        """
        found = self.properties.get("pl:ref")
        if not isinstance(found, str) or not found:
            raise DecodeError(f"the feature {self.id} came without its reference (`properties.pl:ref`)")
        return found

    @property
    def area(self) -> float | None:
        """The area in square metres, where the API says it."""
        found = self.properties.get("pl:area")
        return float(found) if isinstance(found, int | float) else None

    @property
    def geometry(self) -> Mapping[str, Any] | None:
        """The geometry, as GeoJSON."""
        return self._mapping("geometry")

    @property
    def properties(self) -> Mapping[str, Any]:
        """The properties that it was added with, and those of Planet, which begin with ``pl:``."""
        return self._mapping("properties") or {}

    @property
    def __geo_interface__(self) -> Mapping[str, Any]:
        """The feature as GeoJSON, for shapely and GeoPandas."""
        return {
            "type": "Feature",
            "id": self.id,
            "geometry": self.geometry,
            "properties": dict(self.properties),
        }


@frozen(eq=False)
class FeatureProblem(Resource):
    """A problem of a feature: a `code` such as too-many-coordinates, and a `description`."""

    code: str = ""
    description: str = ""


@frozen(eq=False)
class FeatureValidation(Resource):
    """The result of `validate`; `description` summarizes why the feature cannot be added."""

    status: str = ""
    description: str = ""

    @property
    def is_valid(self) -> bool:
        """True if the feature can be added to a collection."""
        return not (self.raw.get("errors") or self.description)

    @property
    def errors(self) -> tuple[FeatureProblem, ...]:
        """The problems that were found."""
        return tuple(decode_part(FeatureProblem, error) for error in self._mappings("errors"))


@frozen
class FeatureCollectionRequest(RequestModel):
    """The description of a collection, to create or to replace it; see `Features.create`."""

    title: str
    description: str | None = None
    title_property: str | None = None
    description_property: str | None = None

    def _problems(self) -> Iterable[tuple[str, str]]:
        if not self.title:
            yield "title", "expected a text that is not empty"


def features_of(value: object, where: str = "features") -> list[dict[str, Any]]:
    """Return the features of a thing as GeoJSON, each with a Polygon or MultiPolygon.

    Args:
        value: A feature, a geometry, a FeatureCollection, anything with ``__geo_interface__`` such as a shape
            of shapely or a GeoDataFrame, a row of a GeoDataFrame, or several of these.
        where: What the message of an error begins with.

    Raises:
        InvalidRequest: there is no feature, or one has another geometry.
    """
    try:
        found = [*_features(value, where)]
    except RecursionError:
        raise InvalidRequest(f"{where}: nested too deeply, or contains itself") from None
    if not found:
        raise InvalidRequest(f"{where}: there is no feature; nothing was sent")
    return found


def _features(value: Any, where: str) -> Iterator[dict[str, Any]]:
    found: Any = value if isinstance(value, Mapping) else getattr(value, "__geo_interface__", None)
    if isinstance(found, Mapping):
        if found.get("type") == "FeatureCollection":
            yield from _each(found.get("features"), f"{where}.features")
        elif found.get("type") == "Feature":
            properties = found.get("properties")
            yield _feature(found.get("geometry"), properties, where, found.get("id"))
        else:
            yield _feature(found, None, where)
    elif hasattr(value, "geometry"):  # a row of a GeoDataFrame, of `iterrows` or of `itertuples`
        row: Any = value
        as_dict = getattr(row, "_asdict", getattr(row, "to_dict", dict))
        yield _feature(row.geometry, {**as_dict(), "geometry": None}, where)
    else:
        yield from _each(value, where)


def _each(values: object, where: str) -> Iterator[dict[str, Any]]:
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise InvalidRequest(f"{where}: expected GeoJSON features, got {kind(values)}; nothing was sent")
    for index, value in enumerate(values):
        yield from _features(value, f"{where}[{index}]")


def _feature(geometry: object, properties: object, where: str, id_: object = None) -> dict[str, Any]:
    if isinstance(geometry, str) or geometry is None:
        raise InvalidRequest(f"{where}.geometry: expected a Polygon or MultiPolygon, got {kind(geometry)}")
    found = properties if isinstance(properties, Mapping) else {}
    feature = {
        "type": "Feature",
        "geometry": to_geojson(geometry, where=f"{where}.geometry", types=AREAS),
        "properties": {
            name: plain
            for name, value in found.items()
            if not str(name).startswith(_PLANETS) and (plain := _property(value)) is not None
        },
    }
    return feature if id_ is None else {**feature, "id": id_}


def _property(value: Any) -> object:
    """Return a property as JSON can hold it; None for what GeoPandas has for a missing one: NaN and NaT."""
    found = value.tolist() if hasattr(value, "tolist") else value  # of numpy
    if isinstance(found, float) and isnan(found):
        return None
    if isinstance(found, datetime) and found.tzinfo is None:
        return None if str(found) == "NaT" else found.isoformat()
    return found


_decode_references = msgspec.json.Decoder(list[str]).decode


def references(body: bytes, count: int, request: Request) -> list[str]:
    """Return the references in the response to adding `count` features.

    Raises:
        DecodeError: the response is another one, though the features were added.
    """
    try:
        found, problem = _decode_references(body), ""
        if len(found) != count:
            problem = f"there are {len(found)}"
    except DECODE_ERRORS as error:
        found, problem = [], str(error)
    if not problem:
        return found
    error_ = unreadable(f"expected the references of {count} features", problem, body, request=request)
    error_.hint = "They were added: `features.items` lists them, the newest first."
    raise error_
