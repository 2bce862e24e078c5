"""Base classes of all records."""

from collections.abc import Collection, Iterable, Mapping
from datetime import date, datetime
from enum import StrEnum
from typing import Any, ClassVar, Self, TypeVar, get_origin

import attrs

from planet_async.errors import DecodeError, InvalidRequest, PlanetError
from planet_async.models.codec import (
    Check,
    FromJson,
    Unfit,
    decode,
    from_mapping,
    named,
    plain_types,
    rfc3339,
    to_json,
    to_mapping,
)
from planet_async.models.geometry import AREAS, GEOMETRIES, to_geojson
from planet_async.models.html import table
from planet_async.models.json import kind, parsed_object
from planet_async.redaction import add_secret_fields, shareable

T = TypeVar("T")

_MOST_WORDS = 1000

_new_words: "dict[tuple[type, str], OpenEnum]" = {}

_GEOMETRY_FIELDS = ("geometry", "aoi")

# What JSON Schema calls the types of fields.
_JSON_TYPES: Mapping[Any, Mapping[str, str]] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    date: {"type": "string", "format": "date"},
    datetime: {"type": "string", "format": "date-time"},
}


class Record:
    """Base of all records: they cannot be changed, and are equal if their content is.

    FastAPI and Pydantic take records as response models and as bodies, and write them as `to_dict` does.
    Notebooks show them as tables, and GeoPandas and shapely read their geometries (``__geo_interface__``).
    """

    __slots__ = ()

    def to_dict(self, *, signed_links: bool = False) -> dict[str, Any]:
        """Return the record as a JSON object: a new dict of plain values, with the API's own names.

            json.dumps(order.to_dict())

        Args:
            signed_links: Whether links keep their signatures, with which anyone can fetch the file.  Without
                them it is safe to show the object to others: links have no query and no password, and
                ``"<REDACTED>"`` stands in place of secrets.

        Raises:
            DecodeError: a part that was not read before is not valid JSON.
        """
        found = self._whole()
        if signed_links:
            return found
        try:
            return shareable(found)  # type: ignore[no-any-return]  # a dict, as what it gets
        except RecursionError:
            raise DecodeError("nested too deeply to be copied") from None

    def to_json(self, *, signed_links: bool = False) -> str:
        """Return `to_dict` as JSON."""
        return to_json(self.to_dict(signed_links=signed_links)).decode()

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """Return the record of a JSON object, as `to_dict` writes it or the API.

            order = Order.from_dict(json.loads(text))

        Raises:
            DecodeError: a field of a response is missing or does not fit; the message has its path.
            InvalidRequest: a request has something that the API would refuse, or that the record would lose;
                the message has the path.
        """
        # What was cut away before, as the results of an order, does not count as empty.
        return decode(cls, to_json(to_mapping(value)), listed=True)

    def _whole(self) -> dict[str, Any]:
        """Return the record as a new dict, with the signatures of links."""
        return to_mapping(self)

    def set_fields(self) -> dict[str, object]:
        """Return the fields that are not None."""
        values = {field.name: getattr(self, field.name) for field in _fields(type(self))}
        return {name: value for name, value in values.items() if value is not None}

    def to_body(self) -> Mapping[str, object]:
        """Return the JSON object that the record is written as; its values may be records, too."""
        return self.set_fields()

    @property
    def __geo_interface__(self) -> Mapping[str, Any]:
        """The geometry, as GeoJSON.

        Raises:
            AttributeError: there is none, or only a reference to one.
        """
        geometry = self._geometry()
        if geometry is None:
            raise AttributeError(f"this {type(self).__name__} has no geometry")
        return geometry

    def _geometry(self) -> Mapping[str, Any] | None:
        found = next((found for name in _GEOMETRY_FIELDS if (found := getattr(self, name, None))), None)
        return found if isinstance(found, Mapping) and found.get("type") in GEOMETRIES else None

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """Return how Pydantic, which calls this, reads and writes the record."""
        from pydantic_core import PydanticCustomError, core_schema  # noqa: PLC0415 - only where it is used

        def read(value: object) -> Record:
            if isinstance(value, cls):
                return value
            try:
                return cls.from_dict(value)  # type: ignore[arg-type]  # which refuses what is no mapping
            except PlanetError as error:
                problem = error.message
            raise PydanticCustomError("planet_async", "{problem}", {"problem": problem})

        return core_schema.no_info_plain_validator_function(
            read,
            ref=f"{cls.__module__}.{cls.__qualname__}",
            serialization=core_schema.plain_serializer_function_ser_schema(lambda record: record.to_dict()),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        """Return the JSON Schema that OpenAPI documents have; the API may add other fields at any time."""
        summary = (cls.__doc__ or "").partition("\n")[0]
        is_base = not attrs.has(cls)  # of a family, such as the tools
        fields = {} if is_base else cls._json_fields()
        return {"title": cls.__name__, "type": "object", "description": summary, **fields}

    @classmethod
    def _json_fields(cls) -> dict[str, Any]:
        """Return the keywords of JSON Schema for the fields."""
        fields, types = _fields(cls), plain_types(cls)  # type: ignore[arg-type]  # a class is hashable
        return {
            "properties": {field.name: _json_type(types[field.name]) for field in fields},
            "required": [field.name for field in fields if field.default is attrs.NOTHING],
        }


def _json_type(plain: Any) -> Mapping[str, Any]:
    if get_origin(plain) is tuple:
        return {"type": "array"}
    if isinstance(plain, type) and issubclass(plain, str):
        return {"type": "string"}
    return _JSON_TYPES.get(plain, {})


# --- Responses


class OpenEnum(StrEnum):
    """Base of the API's enumerations.  A value that Planet adds later becomes a member when it first comes.

    Members equal their text: ``subscription.status == "running"``.  Iteration yields the documented ones.
    """

    @classmethod
    def _missing_(cls, value: object) -> "OpenEnum | None":
        if not isinstance(value, str) or not value:
            return None
        word = str.__new__(cls, value)
        word._name_ = value.upper()
        word._value_ = value
        if len(_new_words) >= _MOST_WORDS:
            return word  # a hostile server could send any number of them
        # One member for each value, also if two threads meet a new one, so that `is` works as for the others.
        return _new_words.setdefault((cls, value), word)


class Resource(Record, FromJson):
    """Base of the records of responses.

    What every caller needs is a field.  Free-form parts are properties, decoded when first read, so that a
    list of thousands costs only what is used of it.  Two are equal if their whole JSON is; pickle and copy
    keep it.  Fields of the API that have no attribute here are in `raw`.
    """

    __slots__ = ()

    @property
    def raw(self) -> Mapping[str, Any]:
        """The whole JSON object as it came, with the fields unknown here; to be read, not changed.

        Of a record that was not decoded from a response: its own fields.

        Raises:
            DecodeError: a part that was not read before is not valid JSON.
        """
        parsed: Mapping[str, Any] | None = getattr(self, "_parsed", None)
        if parsed is None:
            parsed = self._whole()
            object.__setattr__(self, "_parsed", parsed)
        return parsed

    @property
    def links(self) -> Mapping[str, Any]:
        """The object that the API calls ``_links``; empty where there is none."""
        return self._mapping("_links") or {}

    def _whole(self) -> dict[str, Any]:
        return parsed_object(self._bytes())

    def to_body(self) -> Mapping[str, object]:
        """Return `raw`."""
        return self.raw

    def _repr_html_(self) -> str:
        """Return what notebooks show: the fields, and the outline of the geometry."""
        fields = {**self.set_fields()}
        properties = fields.pop("properties", None)
        if isinstance(properties, Record):
            fields |= properties.set_fields()
        filled = {name: value for name, value in fields.items() if value not in ("", ())}
        return table(type(self).__name__, shareable(to_mapping(filled)), self._geometry())

    def _bytes(self) -> bytes:
        kept: bytes | None = getattr(self, "_json", None)
        if kept is None:
            defaults = {field.name: field.default for field in _fields(type(self))}
            values = {name: getattr(self, name) for name in defaults}
            kept = to_json({name: values[name] for name in values if values[name] != defaults[name]})
            object.__setattr__(self, "_json", kept)
        return kept

    def _text(self, key: str) -> str:
        found = self.raw.get(key)
        return found if isinstance(found, str) else ""

    def _mapping(self, key: str) -> Mapping[str, Any] | None:
        found = self.raw.get(key)
        return found if isinstance(found, dict) else None

    def _mappings(self, key: str) -> tuple[Mapping[str, Any], ...]:
        found = self.raw.get(key)
        return tuple(item for item in found if isinstance(item, dict)) if isinstance(found, list) else ()

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        mine, others = self._bytes(), other._bytes()
        try:
            return mine == others or self.raw == other.raw
        except RecursionError:
            raise DecodeError("nested too deeply to be compared") from None

    def __hash__(self) -> int:
        # Records of equal JSON have an equal first field: the id, the name or the path.
        return hash((type(self), *(getattr(self, field.name) for field in _fields(type(self))[:1])))

    def __reduce__(self) -> tuple[object, ...]:
        values = {field.name: getattr(self, field.name) for field in _fields(type(self))}
        return _restored, (type(self), values, self._bytes(), getattr(self, "_listed", False))


def _restored(cls: type[Resource], values: Mapping[str, Any], json: bytes, listed: bool) -> Resource:
    record = cls(**values)
    object.__setattr__(record, "_json", json)
    object.__setattr__(record, "_listed", listed)
    return record


def _fields(cls: type) -> "tuple[attrs.Attribute[Any], ...]":
    return attrs.fields(cls)  # type: ignore[no-any-return]  # all subclasses are attrs classes


class Deliverable(Resource):
    """Base of `Order` and `Subscription`: the free-form parts that both have."""

    __slots__ = ()

    @property
    def tools(self) -> tuple[Mapping[str, Any], ...]:
        """The tools: in orders objects of one key, in subscriptions with a ``type``."""
        return self._mappings("tools")

    @property
    def delivery(self) -> Mapping[str, Any] | None:
        """The delivery and archive settings; the API redacts the secrets."""
        return self._mapping("delivery")

    @property
    def hosting(self) -> Mapping[str, Any] | None:
        """The hosting by Planet."""
        return self._mapping("hosting")

    @property
    def notifications(self) -> Mapping[str, Any] | None:
        """The notification settings."""
        return self._mapping("notifications")

    @property
    def geometry(self) -> Mapping[str, Any] | None:
        """The area that it is for, as GeoJSON: of the source, or of the tool that clips; None without one."""
        source = (self._mapping("source") or {}).get("parameters")
        clips = [tool.get("clip") or tool.get("parameters") for tool in self.tools]
        for part in (source, *clips):
            if isinstance(part, Mapping):
                found = part.get("geometry") or part.get("aoi")
                if isinstance(found, Mapping):
                    return found
        return None


# --- Requests


class RequestModel(Record):
    """Base of the records of requests.  A field that is None is not sent; all others have the API's names.

    Raises:
        InvalidRequest: a value that the API would refuse; the message names the field.
    """

    __slots__ = ()

    also_known: ClassVar[Collection[str]] = ()
    """Keys that only responses have, which may come back in a request."""

    def to_dict(self, *, signed_links: bool = True) -> dict[str, Any]:
        """Return the request as it is sent, secrets included; without them where `signed_links` is False."""
        return super().to_dict(signed_links=signed_links)

    def to_json(self, *, signed_links: bool = True) -> str:
        """Return `to_dict` as JSON."""
        return super().to_json(signed_links=signed_links)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """Return the request of a JSON object, as `to_dict` writes it or a user.

            request = OrderRequest.from_dict(json.loads(text))

        Raises:
            InvalidRequest: the API would refuse it, or it has a field that is not known here, which the
                record would lose; the message lists all that is wrong, each with its path.
        """
        return from_mapping(cls, value, cls._read)

    @classmethod
    def _read(cls, value: Any, path: str, check: Check) -> object:
        """Read what `to_body` writes."""
        return check.read(value, cls, path)

    @classmethod
    def __attrs_init_subclass__(cls) -> None:
        add_secret_fields(_fields(cls))

    def __attrs_post_init__(self) -> None:
        name = type(self).__name__
        for field, value in self.set_fields().items():
            if isinstance(value, Unfit):
                raise InvalidRequest(f"{name}.{field}{value.problem}")
        for field, problem in self._problems():
            raise InvalidRequest(f"{name}.{field}: {problem}")
        for field, value in self.derived().items():
            if getattr(self, field) is None:
                object.__setattr__(self, field, value)

    def _problems(self) -> Iterable[tuple[str, str]]:
        """Yield what is wrong with the values: the field, and the problem."""
        return ()

    def derived(self) -> Mapping[str, object]:
        """Return the values of fields that follow from others where they are not given."""
        return {}


class Named(RequestModel):
    """A record that is sent under the name of its kind: ``{"clip": {...}}``."""

    __slots__ = ()

    block: ClassVar[str]

    def to_body(self) -> Mapping[str, object]:
        """Return the fields below the name."""
        return {self.block: self.set_fields()}

    @classmethod
    def _read(cls, value: Any, path: str, check: Check) -> object:
        return named({cls.block: cls})(value, path, check)

    @classmethod
    def _json_fields(cls) -> dict[str, Any]:
        return {"properties": {cls.block: super()._json_fields()}}

    def to_typed(self) -> Mapping[str, object]:
        """Return ``{"type": ..., "parameters": {...}}``, as the Subscriptions API writes it."""
        return {"type": self.block, "parameters": self.set_fields()}


# --- Converters of the fields of requests


def unfit(problem: str) -> Any:
    """Return what makes the record raise InvalidRequest; the name of the field comes before the problem."""
    return Unfit(problem)


def items(value: Iterable[T]) -> tuple[T, ...]:
    """Return the items of a list; a text is not a list of its letters."""
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        return unfit(f": expected a list, got {kind(value)}")  # type: ignore[no-any-return]
    return tuple(value)


def texts(value: Iterable[str]) -> tuple[str, ...]:
    """Return a list of texts as a tuple."""
    return items(value)


def optional_texts(value: Iterable[str] | None) -> tuple[str, ...] | None:
    """Return a list of texts as a tuple, or None."""
    return None if value is None else items(value)


def geometry(value: object) -> Mapping[str, Any]:
    """Return a geometry as the API takes it."""
    return _geojson(value, GEOMETRIES)


def optional_geometry(value: object) -> Mapping[str, Any] | None:
    """Return a geometry as the API takes it, or None."""
    return None if value is None else geometry(value)


def area(value: object) -> Mapping[str, Any]:
    """Return a Polygon or MultiPolygon as the API takes it."""
    return _geojson(value, AREAS)


def _geojson(value: object, types: Collection[str]) -> Mapping[str, Any]:
    try:
        return to_geojson(value, where="", types=types)
    except InvalidRequest as error:
        return unfit(error.message)  # type: ignore[no-any-return]


def moment(value: str | datetime) -> str:
    """Return a time as the API writes it."""
    try:
        return rfc3339(value)
    except InvalidRequest as error:
        return unfit(f": {error.message}")  # type: ignore[no-any-return]


def optional_moment(value: str | datetime | None) -> str | None:
    """Return a time as the API writes it, or None."""
    return None if value is None else moment(value)
