"""The simulated Features API: https://docs.planet.com/develop/apis/features/.

How it words an error, but for that of a geometry, is not known: here ``{"code", "description"}``, as OGC [L].
"""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, TypeVar

from attrs import define, field

from planet_async.simulator.context import Context, render, slug
from planet_async.simulator.geometry import (
    crosses_itself,
    is_on_earth,
    polygon_of,
    read,
    square_kilometres,
)
from planet_async.simulator.http import (
    Json,
    Refused,
    Route,
    ServerRequest,
    ServerResponse,
    json_object,
    json_response,
    whole_param,
)
from planet_async.simulator.lists import offset_links

FEATURES = "/features/v1/ogc/my"
REFERENCE = "pl:features/my/"
MAX_VERTICES = 1500

_COLLECTION = f"{FEATURES}/collections/{{id}}"
_ITEM = f"{_COLLECTION}/items/{{id}}"
_PAGE_SIZE, _MAX_PAGE = 10, 10_000
_TEXTS = ("title", "description", "title_property", "description_property")
_SORTS = ("created_date", "-created_date", "title", "-title")

T = TypeVar("T")


@define
class _Feature:
    hash: str
    own_id: str | None
    geometry: Json
    properties: Json
    version: int = 1

    @property
    def id(self) -> str:
        """The long form: an id of its own gets a hash appended [H]."""
        return self.hash if self.own_id is None else f"{self.own_id}-{self.hash}"

    @property
    def square_metres(self) -> float:
        return round(square_kilometres(self.geometry) * 1e6, 2)


@define
class _Collection:
    hash: str
    created: int
    updated: int
    texts: dict[str, str]
    shared: bool = False
    features: dict[str, _Feature] = field(factory=dict)  # by hash, the oldest first

    @property
    def id(self) -> str:
        """The title in short, and the hash, which alone names it too and stays [H]."""
        return f"{slug(self.texts['title'])}-{self.hash}".lstrip("-")

    def find(self, feature_id: str) -> _Feature | None:
        """Return a feature by the long form of its id, or the short one; of several the last."""
        wanted = feature_id.partition("#")[0]
        found = [each for each in self.features.values() if wanted in {each.id, each.hash, each.own_id}]
        return found[-1] if found else None


class FeaturesApi:
    """The operations of the Features API."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._collections: dict[str, _Collection] = {}  # by hash, the oldest first

    def routes(self) -> Iterable[Route]:
        collections = f"{FEATURES}/collections"
        for method, path, name, handler in (
            ("GET", collections, "list", self.list_collections),
            ("POST", collections, "create", self.create),
            ("POST", f"{collections}/validate", "validate", self.validate),
            ("POST", f"{collections}/alternates", "alternates", self.alternates),
            ("GET", _COLLECTION, "get", self.get),
            ("PUT", _COLLECTION, "update", self.update),
            ("DELETE", _COLLECTION, "delete", self.delete),
            ("POST", f"{_COLLECTION}/permission", "share", self.share),
            ("DELETE", f"{_COLLECTION}/permission", "unshare", self.unshare),
            ("GET", f"{_COLLECTION}/items", "items", self.items),
            ("POST", f"{_COLLECTION}/items", "add", self.add),
            ("GET", _ITEM, "get_item", self.get_item),
            ("PUT", _ITEM, "update_item", self.update_item),
            ("DELETE", _ITEM, "delete_item", self.delete_item),
        ):
            yield Route(method, path, f"features.{name}", handler)

    def features_of(self, reference: object) -> dict[str, Json] | None:
        """Return the geometries by reference: that of a feature, or all of a collection; None for others."""
        if not isinstance(reference, str) or not reference.startswith(REFERENCE):
            return None
        collection = self._collections.get(collection_hash(reference))
        if collection is None:
            return None
        _, _, feature_id = reference.removeprefix(REFERENCE).partition("/")
        if not feature_id:
            return {_reference(collection, each): each.geometry for each in collection.features.values()}
        feature = collection.find(feature_id)
        return None if feature is None else {_reference(collection, feature): feature.geometry}

    def areas_of(self, reference: str) -> list[Json] | None:
        """Return the geometries of a reference; None where there are none."""
        return [*found.values()] if (found := self.features_of(reference)) else None

    def list_collections(self, request: ServerRequest) -> ServerResponse:
        """List collections, the newest first [L]."""
        found = [each for each in self._collections.values() if self._context.is_listed(each.created)]
        for name in ("title", "description"):
            if text := request.param(name):
                found = [each for each in found if _matches(each.texts.get(name, ""), text)]
        if wanted := request.param("hashid"):
            found = [each for each in found if each.hash == wanted]
        sort = request.param("sort") or "-created_date"
        if sort not in _SORTS:
            raise Refused(_error(400, "BadRequest", f"{sort!r} is not a field to sort by"))
        if sort.endswith("title"):
            found.sort(key=lambda each: each.texts["title"])
        if sort.startswith("-"):
            found.reverse()
        page, links = _page(request, self._url("/collections"), found)
        return json_response({"collections": [self._render(each) for each in page], "links": links})

    def create(self, request: ServerRequest) -> ServerResponse:
        texts, now = _texts(_object(request)), self._context.now()
        texts["title"] = self._context.change_name(texts["title"])
        collection = _Collection(self._context.new_hash(), now, now, texts)
        self._collections[collection.hash] = collection
        return json_response(self._render(collection), 201)

    def get(self, request: ServerRequest, collection_id: str) -> ServerResponse:
        return json_response(self._render(self._find(collection_id)))

    def update(self, request: ServerRequest, collection_id: str) -> ServerResponse:
        """Replace the texts; with the title the first part of the id changes [H]."""
        collection = self._find(collection_id)
        collection.texts, collection.updated = _texts(_object(request)), self._context.now()
        return json_response(self._render(collection))

    def delete(self, request: ServerRequest, collection_id: str) -> ServerResponse:
        del self._collections[self._find(collection_id).hash]
        return ServerResponse(204)

    def share(self, request: ServerRequest, collection_id: str) -> ServerResponse:
        return self._share(collection_id, shared=True)

    def unshare(self, request: ServerRequest, collection_id: str) -> ServerResponse:
        return self._share(collection_id, shared=False)

    def _share(self, collection_id: str, *, shared: bool) -> ServerResponse:
        collection = self._find(collection_id)
        collection.shared = shared
        return json_response(self._render(collection))

    def items(self, request: ServerRequest, collection_id: str) -> ServerResponse:
        """List the features, the newest first [M]."""
        collection = self._find(collection_id)
        found = list(reversed(collection.features.values()))
        page, links = _page(request, self._url(f"/collections/{collection.id}/items"), found)
        features = [self._render_feature(collection, each) for each in page]
        listed = {"type": "FeatureCollection", "numberMatched": len(found), "links": links}
        return json_response({**listed, "features": features})

    def add(self, request: ServerRequest, collection_id: str) -> ServerResponse:
        """Add a feature, or those of a collection, all or none [L]; return their references in order."""
        collection, body = self._find(collection_id), _object(request)
        many = body.get("type") == "FeatureCollection"
        features = body.get("features") if many else [body]
        if not isinstance(features, list) or not all(isinstance(each, dict) for each in features):
            raise Refused(_error(400, "BadRequest", "the features of a collection must be a list"))
        added = [self._new_feature(each, request.param("property_id")) for each in features]
        collection.features.update((each.hash, each) for each in added)
        collection.updated = self._context.now()
        return json_response([_reference(collection, each) for each in added], 201)

    def get_item(self, request: ServerRequest, collection_id: str, feature_id: str) -> ServerResponse:
        return json_response(self._render_feature(*self._find_feature(collection_id, feature_id)))

    def update_item(self, request: ServerRequest, collection_id: str, feature_id: str) -> ServerResponse:
        """Replace a feature, which makes a version [M]."""
        collection, feature = self._find_feature(collection_id, feature_id)
        changed = self._new_feature(_object(request), "")
        feature.geometry, feature.properties = changed.geometry, changed.properties
        feature.version += 1
        return json_response(self._render_feature(collection, feature))

    def delete_item(self, request: ServerRequest, collection_id: str, feature_id: str) -> ServerResponse:
        collection, feature = self._find_feature(collection_id, feature_id)
        del collection.features[feature.hash]
        return ServerResponse(204)

    def validate(self, request: ServerRequest) -> ServerResponse:
        """Say what is wrong with a feature; that this is a 400 is not known [L]."""
        if problem := _problem(_object(request).get("geometry")):
            return self._invalid(problem)
        return json_response({"status": "okay", "detail": "No errors."})  # [H, recorded]

    def alternates(self, request: ServerRequest) -> ServerResponse:
        """Propose valid geometries for one that is not; the real service has a convex hull, too [H]."""
        geometry: Any = _object(request).get("geometry")
        try:
            box = polygon_of(read(geometry).box)["coordinates"]
        except ValueError:
            return self._invalid(("invalid-geometry", "the geometry cannot be read"))
        polygons = (
            geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
        )
        simple = [[[round(x, 4), round(y, 4)] for x, y, *_ in polygons[0][0]]]
        proposals = (("Bounding box", box), ("Simplified to ~10m", simple))
        features = [
            {
                "type": "Feature",
                "geometry": {"type": "Polygon", "coordinates": rings},
                "properties": {"technique": technique},
            }
            for technique, rings in proposals
        ]
        return json_response({"type": "FeatureCollection", "features": features})

    def _new_feature(self, body: Json, property_id: str) -> _Feature:
        geometry: Any = body.get("geometry")
        properties = body.get("properties") or {}
        if problem := _problem(geometry):
            raise Refused(self._invalid(problem))
        if not isinstance(properties, dict):
            raise Refused(_error(400, "BadRequest", "the properties of a feature must be an object"))
        own = properties.get(property_id) if property_id else body.get("id", properties.get("id"))
        return _Feature(
            self._context.new_hash(), None if own is None else str(own), dict(geometry), dict(properties)
        )

    def _invalid(self, problem: tuple[str, str]) -> ServerResponse:
        code, text = problem
        errors = [{"code": code, "description": text}]  # [H, recorded]
        alternates = self._url("/collections/alternates")
        return json_response({"errors": errors, "description": text, "alternates_url": alternates}, 400)

    def _find(self, collection_id: str) -> _Collection:
        found = self._collections.get(collection_hash(collection_id))
        if found is None:
            raise Refused(_error(404, "NotFound", f"No such collection: {collection_id}"))
        return found

    def _find_feature(self, collection_id: str, feature_id: str) -> tuple[_Collection, _Feature]:
        collection = self._find(collection_id)
        feature = collection.find(feature_id)
        if feature is None:
            raise Refused(_error(404, "NotFound", f"No such feature: {feature_id}"))
        return collection, feature

    def _url(self, path: str) -> str:
        return f"{self._context.base_url}{FEATURES}{path}"

    def _render(self, collection: _Collection) -> Json:
        """Return a collection [H, recorded]; one without features has no extent, area or count."""
        url = self._url(f"/collections/{collection.id}")
        found: Json = {
            "id": collection.id,
            "item_type": "feature",
            "created": render(collection.created),
            "updated": render(collection.updated),
            **collection.texts,
            "permissions": {"can_write": True, "shared": collection.shared, "is_owner": True},
            "ownership": {"owner_id": 1, "org_id": 1},
            "links": [
                {"href": url, "rel": "self", "title": "This collection", "type": "application/json"},
                {"href": f"{url}/items", "rel": "features", "title": "Features", "type": "application/json"},
            ],
            "pl:ref": f"{REFERENCE}{collection.id}",
        }
        if features := list(collection.features.values()):
            wests, souths, easts, norths = zip(*(read(each.geometry).box for each in features), strict=True)
            bbox = [min(wests), min(souths), max(easts), max(norths)]
            found["extent"] = {"spatial": {"bbox": [bbox]}}
            found["area"] = sum(each.square_metres for each in features)
            found["feature_count"] = len(features)
        return found

    def _render_feature(self, collection: _Collection, feature: _Feature) -> Json:
        url = self._url(f"/collections/{collection.id}/items/{feature.id}")
        reference = _reference(collection, feature)
        if feature.version > 1:
            reference += f"#{feature.version - 1}"
        properties = {**feature.properties, "pl:ref": reference, "pl:area": feature.square_metres}
        return {
            "type": "Feature",
            "id": feature.own_id or feature.id,
            "properties": properties,
            "geometry": feature.geometry,
            "links": [{"href": url, "rel": "self", "type": "application/geo+json"}],
        }


def collection_hash(reference: str) -> str:
    """Return what names the collection of a reference, also one to a feature; or that of an id."""
    return reference.removeprefix(REFERENCE).partition("/")[0].rpartition("-")[2]


def _reference(collection: _Collection, feature: _Feature) -> str:
    return f"{REFERENCE}{collection.id}/{feature.id}"


def _matches(text: str, wanted: str) -> bool:
    """Return whether it is that text; with ``~`` in front, whether it contains it [H]."""
    return wanted[1:] in text if wanted.startswith("~") else text == wanted


def _texts(body: Json) -> dict[str, str]:
    texts = {name: body[name] for name in _TEXTS if body.get(name) is not None}
    if not all(isinstance(text, str) for text in texts.values()) or not texts.get("title"):
        raise Refused(_error(400, "BadRequest", "title is required, and texts must be texts"))
    return texts


def _problem(geometry: Any) -> tuple[str, str] | None:
    """Return the code of what is wrong with the geometry of a feature, and words for it."""
    try:
        shape = read(geometry)
    except ValueError as error:
        return "invalid-geometry", str(error)
    vertices = list(shape.vertices())
    rings = [ring for polygon in shape.polygons for ring in polygon]
    if not rings:
        return "invalid-geometry", "Only Polygon and MultiPolygon are supported."
    if len(vertices) > MAX_VERTICES:
        return "too-many-coordinates", f"More than {MAX_VERTICES} coordinates."
    if any(ring[0] != ring[-1] for ring in rings) or any(map(crosses_itself, rings)):
        return "invalid-geometry", "A ring must be closed and must not cross itself."
    if not is_on_earth(shape):
        return "invalid-geometry", "The coordinates must be longitude and latitude."
    return None


def _page(request: ServerRequest, url: str, found: Sequence[T]) -> tuple[Sequence[T], list[dict[str, str]]]:
    """Return the page that is requested, and its links."""
    refusal = partial(_error, 400, "BadRequest")
    limit = whole_param(request, "limit", _PAGE_SIZE, refusal)
    offset = whole_param(request, "offset", 0, refusal)
    if not 1 <= limit <= _MAX_PAGE:
        raise Refused(refusal(f"limit must be from 1 to {_MAX_PAGE}"))
    links = [{"href": request.link(url), "rel": "self", "type": "application/json"}]
    _, following = offset_links(request, url, limit, offset, len(found))
    if following is not None:
        links.append({"href": following, "rel": "next", "title": "Next page", "type": "application/json"})
    return found[offset : offset + limit], links


def _object(request: ServerRequest) -> Json:
    return json_object(request, partial(_error, 400, "BadRequest"))


def _error(status: int, code: str, text: str) -> ServerResponse:
    return json_response({"code": code, "description": text}, status)
