"""The simulated Data API: https://docs.planet.com/develop/apis/data/reference/."""

import base64
import math
import re
from collections import Counter
from collections.abc import Callable, Container, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from typing import Any, TypeVar

import msgspec
from attrs import define, field, frozen, validators

from planet_async.simulator.context import Context, after, six_digits
from planet_async.simulator.files import TEXTS, File, Folder, Storage, raster
from planet_async.simulator.http import (
    Content,
    Json,
    Refused,
    Route,
    ServerRequest,
    ServerResponse,
    attachment,
    field_errors,
    json_object,
    json_response,
    message,
    refuse,
)
from planet_async.simulator.lists import Cursor, decoded_token, token_of
from planet_async.simulator.scenes import (
    ITEM_TYPES,
    Scene,
    intersecting,
    normalized,
    scenes,
    test_of,
)

DATA = "/data/v1"

_ASSET_TYPES = sorted({name for names in ITEM_TYPES.values() for name in names})
_ITEM = f"{DATA}/item-types/{{id}}/items/{{id}}"
_PAGE_SIZE = 250  # [H]
_SORTS = ("published desc", "published asc", "acquired desc", "acquired asc")
_LIST_SORTS = ("created desc", "created asc")
_INTERVALS = ("hour", "day", "week", "month", "year")
_BANDS = ("clear", "snow_ice", "snow", "shadow", "light_haze", "heavy_haze", "cloud")
_COVERAGE_SECONDS = 2.0
_RESULTS_KEPT = 64
_ENDINGS = {
    **TEXTS,
    "json": (".json", "application/json"),
    "hdf5": (".h5", "application/x-hdf5"),
}
_PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)

T = TypeVar("T")


@frozen(kw_only=True)
class AssetPlan:
    """The course of an asset that is activated.

        def plan(item_id: str, asset_type: str) -> AssetPlan:
            return AssetPlan(activation_seconds=math.inf if asset_type == "ortho_udm2" else 20)

        Simulator(asset_plan=plan)

    Args:
        activation_seconds: How long it is activating; ``math.inf`` is for ever.
        active_seconds: How long it is active then, before it is inactive again.
        over_quota: Activations and downloads get a 429 that says that the download quota has been exceeded.
    """

    activation_seconds: float = field(default=5.0, validator=validators.ge(0.0))
    active_seconds: float = field(default=4 * 3600.0, validator=validators.gt(0.0))
    over_quota: bool = False


Plan = AssetPlan | Callable[[str, str], AssetPlan]
"""One plan for all assets, or a function of the item's id and the asset type, asked at each activation and
download."""


@define
class _Search:
    """A search: kept under its id, saved or not."""

    id: str
    kind: str
    created: int
    updated: int
    last_executed: int | None
    body: dict[str, Any]


class DataApi:
    """The operations of the Data API; the scenes are those of `scenes`, and nothing runs in between."""

    def __init__(
        self,
        context: Context,
        *,
        plan: Plan,
        days: int,
        file_bytes: int,
        storage: Storage,
        areas_of: Callable[[str], Sequence[Json] | None],
    ) -> None:
        self._context = context
        self._plan = plan
        self._days = days
        self._file_bytes = file_bytes
        self._storage = storage
        self._areas_of = areas_of
        self._searches: dict[str, _Search] = {}
        self._activated: dict[tuple[str, str, str], tuple[int, AssetPlan]] = {}
        self._coverages: dict[tuple[str, ...], int] = {}
        self._properties: dict[str, bytes] = {}
        self._results = lru_cache(_RESULTS_KEPT)(self._select)

    def routes(self) -> Iterable[Route]:
        return (
            Route("GET", f"{DATA}/item-types", "data.item_types", self.item_types),
            Route("GET", f"{DATA}/item-types/{{id}}", "data.item_types", self.item_type),
            Route("GET", f"{DATA}/item-types/{{id}}/asset-types", "data.asset_types", self.asset_types_of),
            Route("GET", f"{DATA}/asset-types", "data.asset_types", self.asset_types),
            Route("GET", f"{DATA}/asset-types/{{id}}", "data.asset_types", self.asset_type),
            Route("POST", f"{DATA}/quick-search", "data.search", self.quick_search),
            Route("POST", f"{DATA}/stats", "data.stats", self.stats),
            Route("GET", f"{DATA}/searches", "data.list_searches", self.list_searches),
            Route("POST", f"{DATA}/searches", "data.create_search", self.create_search),
            Route("GET", f"{DATA}/searches/{{id}}", "data.get_search", self.get_search),
            Route("PUT", f"{DATA}/searches/{{id}}", "data.update_search", self.update_search),
            Route("DELETE", f"{DATA}/searches/{{id}}", "data.delete_search", self.delete_search),
            Route("GET", f"{DATA}/searches/{{id}}/results", "data.results", self.results),
            Route("GET", _ITEM, "data.get", self.get),
            Route("GET", f"{_ITEM}/assets", "data.assets", self.assets),
            Route("GET", f"{_ITEM}/assets/", "data.assets", self.assets),
            Route("POST", f"{_ITEM}/coverage", "data.coverage", self.coverage),
            Route("GET", f"{_ITEM}/thumb", "data.thumbnail", self.thumbnail),
            Route("GET", f"{DATA}/assets/{{id}}", "data.asset", self.asset),
            Route("GET", f"{DATA}/assets/{{id}}/activate", "data.activate", self.activate),
            Route("POST", f"{DATA}/assets/{{id}}/activate", "data.activate", self.activate),
            Route("GET", f"{DATA}/download", "data.download", self.download, needs_credential=False),
        )

    # Item types and asset types

    def item_types(self, request: ServerRequest) -> ServerResponse:
        return self._types("item-types", ITEM_TYPES)

    def item_type(self, request: ServerRequest, name: str) -> ServerResponse:
        _check_known("item type", name, ITEM_TYPES)
        return json_response(self._type("item-types", name))

    def asset_types(self, request: ServerRequest) -> ServerResponse:
        return self._types("asset-types", _ASSET_TYPES)

    def asset_types_of(self, request: ServerRequest, name: str) -> ServerResponse:
        _check_known("item type", name, ITEM_TYPES)
        return self._types("asset-types", ITEM_TYPES[name])

    def asset_type(self, request: ServerRequest, name: str) -> ServerResponse:
        _check_known("asset type", name, _ASSET_TYPES)
        return json_response(self._type("asset-types", name))

    def _types(self, kind: str, names: Iterable[str]) -> ServerResponse:
        links = {"_self": f"{self._url}/{kind}"}
        described = [self._type(kind, name) for name in names]
        return json_response({"_links": links, kind.replace("-", "_"): described})

    def _type(self, kind: str, name: str) -> Json:
        own: dict[str, object] = {"supported_asset_types": ITEM_TYPES.get(name)}
        if kind == "asset-types":  # the digest is that of the type, not of a file [H]
            own = {"md5_digest": blake2b(name.encode(), digest_size=16).hexdigest()}
        described = {"display_name": name.replace("_", " "), "display_description": f"{name}, simulated"}
        return {"_links": {"_self": f"{self._url}/{kind}/{name}"}, "id": name, **described, **own}

    # Searches

    def quick_search(self, request: ServerRequest) -> ServerResponse:
        """Search, and keep the search, so that its pages can be asked for."""
        search = self._add("quick", json_object(request))
        return self._page_of_items(search, request)

    def stats(self, request: ServerRequest) -> ServerResponse:
        """Count the scenes by when they were acquired; an interval without any has no bucket [L]."""
        body = json_object(request)
        problems = self._search_problems(body)
        if body.get("interval") not in _INTERVALS:
            problems["interval"] = [f"{body.get('interval')!r} is not one of {', '.join(_INTERVALS)}"]
        text = body.get("utc_offset", "+0h")
        offset = _attempt(problems, "utc_offset", lambda: _offset(text)) or timedelta()
        refuse(problems)
        interval = body["interval"]
        counts = Counter(_start_of(interval, scene.acquired, offset) for scene in self._matching(body))
        buckets = [{"count": counts[start], "start_time": six_digits(start)} for start in sorted(counts)]
        return json_response({"buckets": buckets, "interval": interval, "utc_offset": text})

    def list_searches(self, request: ServerRequest) -> ServerResponse:
        cursor = Cursor.read(request, _PAGE_SIZE, _LIST_SORTS)
        kind = cursor.key or request.param("search_type") or "any"
        if kind not in {"any", "saved", "quick"}:
            refuse({"search_type": [f"{kind!r} is not one of any, saved, quick"]})
        found = [search for search in self._searches.values() if kind in {"any", search.kind}]
        if cursor.sort == "created desc":
            found.reverse()
        page, links = cursor.page(found, f"{self._url}/searches", key=kind)
        return json_response({"_links": links, "searches": [self._render_search(search) for search in page]})

    def create_search(self, request: ServerRequest) -> ServerResponse:
        return json_response(self._render_search(self._add("saved", json_object(request))), 201)

    def get_search(self, request: ServerRequest, search_id: str) -> ServerResponse:
        return json_response(self._render_search(self._search(search_id)))

    def update_search(self, request: ServerRequest, search_id: str) -> ServerResponse:
        """Replace the search: what the request lacks is gone [H]."""
        search, body = self._search(search_id), json_object(request)
        refuse(self._search_problems(body, named=True))
        search.body, search.updated = _kept(body), self._context.now()
        self._results.cache_clear()
        return json_response(self._render_search(search))

    def delete_search(self, request: ServerRequest, search_id: str) -> ServerResponse:
        del self._searches[self._search(search_id).id]
        return ServerResponse(204)

    def results(self, request: ServerRequest, search_id: str) -> ServerResponse:
        return self._page_of_items(self._search(search_id), request)

    def _add(self, kind: str, body: Json) -> _Search:
        refuse(self._search_problems(body, named=kind == "saved"))
        now = self._context.now()
        search = _Search(self._context.new_id().replace("-", ""), kind, now, now, None, _kept(body))
        search.body["name"] = self._context.change_name(body.get("name") or search.id)
        self._searches[search.id] = search
        return search

    def _search(self, search_id: str) -> _Search:
        if search_id not in self._searches:
            raise Refused(message(404, "The requested search id does not exist"))  # [H, recorded]
        return self._searches[search_id]

    def _search_problems(self, body: Json, *, named: bool = False) -> dict[str, list[str]]:
        problems: dict[str, list[str]] = {}
        required = ("name", "item_types", "filter") if named else ("item_types", "filter")
        for name in required:
            if not body.get(name):
                problems[name] = [f"'{name}' is a required property"]
        for name, known in (("item_types", {*ITEM_TYPES}), ("asset_types", {*_ASSET_TYPES})):
            values = body.get(name, [])
            valid = isinstance(values, list) and all(isinstance(value, str) for value in values)
            if not valid or not known.issuperset(values):
                problems[name] = [f"{values!r} are not {name.replace('_', ' ')}"]
        if "filter" not in problems:
            _attempt(problems, "filter", lambda: test_of(body["filter"]))
        if body.get("geometry") is not None:
            _attempt(problems, "geometry", lambda: intersecting(self._areas(body["geometry"])))
        return problems

    def _areas(self, geometry: Any) -> Sequence[Json]:
        """Return the geometries that are meant: itself, or those of the references; or raise ValueError."""
        if not isinstance(geometry, dict) or geometry.get("type") != "ref":
            return [geometry]
        content = geometry.get("content")
        areas: list[Json] = []
        for reference in content if isinstance(content, list) else [content]:
            found = self._areas_of(reference) if isinstance(reference, str) else None
            if found is None:
                raise ValueError(f"{reference!r} is not a reference to a feature")
            areas += found
        return areas

    def _select(self, search_id: str, sort: str) -> Sequence[Scene]:
        name, direction = sort.split()
        found = self._matching(self._search(search_id).body)
        found.sort(key=lambda scene: (getattr(scene, name), scene.id), reverse=direction == "desc")
        return found

    def _matching(self, body: Json) -> list[Scene]:
        tests = [test_of(body["filter"])]
        if body.get("geometry") is not None:
            tests.append(intersecting(self._areas(body["geometry"])))
        item_types = set(body["item_types"])
        return [
            scene
            for scene in scenes(self._days).values()
            if scene.item_type in item_types and all(test(scene) for test in tests)
        ]

    def _page_of_items(self, search: _Search, request: ServerRequest) -> ServerResponse:
        cursor = Cursor.read(request, _PAGE_SIZE, _SORTS)
        search.last_executed = self._context.now()
        found = self._results(search.id, cursor.sort)
        page, links = cursor.page(found, f"{self._url}/searches/{search.id}/results")
        items = b",".join(map(self._render_item, page))
        return ServerResponse(
            200,
            {"content-type": "application/json"},
            b'{"_links":%b,"features":[%b],"type":"FeatureCollection"}' % (msgspec.json.encode(links), items),
        )

    def _render_search(self, search: _Search) -> Json:
        url = f"{self._url}/searches/{search.id}"
        shown = {
            "_links": {"_self": url, "results": f"{url}/results"},
            "created": six_digits(search.created),
            "id": search.id,
            "last_executed": None if search.last_executed is None else six_digits(search.last_executed),
            "search_type": search.kind,
            "updated": six_digits(search.updated),
        }
        return {**shown, **search.body}

    # Items and assets

    def get(self, request: ServerRequest, item_type: str, item_id: str) -> ServerResponse:
        return json_response(self._render_item(self._scene(item_type, item_id)))

    def assets(self, request: ServerRequest, item_type: str, item_id: str) -> ServerResponse:
        scene = self._scene(item_type, item_id)
        return json_response({name: self._render_asset(scene, name) for name in scene.assets})

    def asset(self, request: ServerRequest, asset_id: str) -> ServerResponse:
        return json_response(self._render_asset(*self._asset(asset_id)))

    def activate(self, request: ServerRequest, asset_id: str) -> ServerResponse:
        """Activate an asset: 202, or 204 where it is active already, or 401 without permission [M]."""
        scene, name = self._asset(asset_id)
        if name not in scene.permitted:
            return message(401, f"You do not have permission to download {name} of {scene.id}")
        plan = self._plan_of(scene.id, name)
        if plan.over_quota:
            return _over_quota()
        status, _ = self._status(scene, name)
        if status == "inactive":
            self._activated[scene.item_type, scene.id, name] = self._context.now(), plan
        return ServerResponse(204 if status == "active" else 202)

    def download(self, request: ServerRequest) -> ServerResponse:
        """Redirect to the storage, without asking for a credential: the token is one [M]."""
        claim, _, signature = request.param("token").rpartition(".")
        try:
            found = msgspec.json.decode(decoded_token(claim.partition(".")[2]))
            expires, item_type, item_id, name = found["exp"], found["c"], found["i"], found["t"]
        except (ValueError, TypeError, KeyError, msgspec.DecodeError):
            return message(404, "No such download")
        if signature != self._context.sign(claim, expires):
            return message(404, "No such download")
        if expires <= self._context.now():
            return message(401, "The download link has expired")
        if self._plan_of(item_id, name).over_quota:
            return _over_quota()
        file = self._file(self._scene(item_type, item_id), name)
        return self._storage.redirect(f"{item_type}.{item_id}", file.path)

    def thumbnail(self, request: ServerRequest, item_type: str, item_id: str) -> ServerResponse:
        self._scene(item_type, item_id)
        return ServerResponse(200, {"content-type": "image/png"}, _PIXEL)

    def coverage(self, request: ServerRequest, item_type: str, item_id: str) -> ServerResponse:
        """Say how clear the scene is, as a whole [L]: estimated at once, by its mask after a while [L]."""
        scene, body = self._scene(item_type, item_id), json_object(request)
        mode, band = request.param("mode") or "UDM2", request.param("band")
        problems: dict[str, list[str]] = {}
        _attempt(problems, "geometry", lambda: intersecting(self._areas(body.get("geometry"))))
        if mode not in {"UDM2", "estimate"}:
            problems["mode"] = [f"{mode!r} is not one of UDM2, estimate"]
        if band not in {"", *_BANDS}:
            problems["band"] = [f"{band!r} is not one of {', '.join(_BANDS)}"]
        refuse(problems)
        now = self._context.now()
        asked = self._coverages.setdefault((scene.id, mode, band, repr(body["geometry"])), now)
        if mode == "UDM2" and now < after(asked, _COVERAGE_SECONDS):
            return json_response({"status": "pending"})  # the word is ours [L]
        name = {"": "clear", "snow": "snow_ice"}.get(band, band)
        return json_response({"clear_percent": scene.properties[f"{name}_percent"], "status": "complete"})

    def folder(self, name: str) -> Folder | None:
        """Return the files of a scene as the storage has them."""
        item_type, _, item_id = name.partition(".")
        if item_type not in ITEM_TYPES:
            return None
        scene = self._scene(item_type, item_id)
        return Folder([self._file(scene, asset) for asset in scene.assets])

    @property
    def _url(self) -> str:
        return self._context.base_url + DATA

    def _scene(self, item_type: str, item_id: str) -> Scene:
        scene = scenes(self._days).get((item_type, item_id))
        if scene is None:
            raise Refused(message(404, f"Could not find item {item_id} of type {item_type}"))
        return scene

    def _asset(self, asset_id: str) -> tuple[Scene, str]:
        try:
            found = msgspec.json.decode(decoded_token(asset_id))
            scene, name = self._scene(found["c"], found["i"]), str(found["t"])
        except (ValueError, TypeError, KeyError, msgspec.DecodeError):
            raise Refused(message(404, "No such asset")) from None
        if name not in scene.assets:
            raise Refused(message(404, "No such asset"))
        return scene, name

    def _render_item(self, scene: Scene) -> bytes:
        described = self._properties.get(scene.id)
        if described is None:
            geometry = {"coordinates": [scene.footprint.ring], "type": "Polygon"}
            described = msgspec.json.encode(
                {
                    "_permissions": scene.permissions,
                    "assets": scene.assets,
                    "geometry": geometry,
                    "id": scene.id,
                    "properties": scene.properties,
                    "type": "Feature",
                }
            )
            self._properties[scene.id] = described
        path = f"{DATA}/item-types/{scene.item_type}/items/{scene.id}"
        url = self._context.base_url + path
        thumbnail = f"{self._context.tiles_url}{path}/thumb"
        links = {"_self": url, "assets": f"{url}/assets/", "thumbnail": thumbnail}
        return b'{"_links":%b,%b' % (msgspec.json.encode(links), described[1:])

    def _render_asset(self, scene: Scene, name: str) -> Json:
        place = {"i": scene.id, "c": scene.item_type, "t": name, "ct": "item-type"}
        url = f"{self._url}/assets/{token_of(place)}"
        status, expires = self._status(scene, name)
        shown: dict[str, Any] = {
            "_links": {
                "_self": url,
                "activate": f"{url}/activate",
                "type": f"{self._url}/asset-types/{name}",
            },
            "_permissions": ["download"] if name in scene.permitted else [],
            "md5_digest": None,
            "status": status,
            "type": name,
        }
        if status == "active":
            claim = f"{token_of({'alg': 'HS512', 'typ': 'JWT'})}.{token_of({**place, 'exp': expires})}"
            token = f"{claim}.{self._context.sign(claim, expires)}"
            shown["location"] = f"{self._url}/download?token={token}"
            shown["md5_digest"] = self._file(scene, name).content.digests("md5")["md5"]
            shown["expires_at"] = six_digits(expires)[:-1]  # without a zone [H, recorded]
        return shown

    def _status(self, scene: Scene, name: str) -> tuple[str, int]:
        """Return the status of an asset, and when it expires if it is active."""
        activated = self._activated.get((scene.item_type, scene.id, name))
        if activated is None:
            return "inactive", 0
        start, plan = activated
        now = self._context.now()
        if math.isinf(plan.activation_seconds) or now < (active := after(start, plan.activation_seconds)):
            return "activating", 0
        expires = after(active, plan.active_seconds)
        return ("active", expires) if now < expires else ("inactive", 0)

    def _plan_of(self, item_id: str, asset_type: str) -> AssetPlan:
        return self._plan if isinstance(self._plan, AssetPlan) else self._plan(item_id, asset_type)

    def _file(self, scene: Scene, asset: str) -> File:
        ending, media_type = _ENDINGS.get(asset.rpartition("_")[2], (".tif", "image/tiff"))
        name = f"{scene.id}_{asset}{ending}"

        def make() -> Content:
            if ending in {".tif", ".h5"}:
                return raster(name, self._file_bytes)
            return Content(f"{asset} of {scene.id}\n".encode())

        return File(name, media_type, make, headers=attachment(name))


def _check_known(kind: str, name: str, known: Container[str]) -> None:
    if name not in known:
        raise Refused(message(404, f"Could not find {kind} {name}"))


def _attempt(problems: dict[str, list[str]], name: str, read: Callable[[], T]) -> T | None:
    """Return what is read; add to the problems of the field what is wrong with it."""
    try:
        return read()
    except ValueError as error:
        problems[name] = [str(error)]
        return None


def _over_quota() -> ServerResponse:
    response = field_errors({}, "Download quota has been exceeded.")  # [M]
    response.status = 429
    return response


def _kept(body: Json) -> dict[str, Any]:
    """Return what a search keeps of a request, with its filter as the service shows it."""
    names = ("asset_types", "filter", "geometry", "item_types", "name")
    kept = {name: body[name] for name in names if body.get(name) is not None}
    email = {"__daily_email_enabled": bool(body.get("__daily_email_enabled", False))}
    return {**email, **kept, "filter": normalized(body["filter"])}


_OFFSET = re.compile(r"([+-])(\d{1,2})(?:h|:([0-5]\d))", re.ASCII)


def _offset(text: object) -> timedelta:
    """Read ``+1h`` or ``+01:00``; ValueError for anything else."""
    found = _OFFSET.fullmatch(text if isinstance(text, str) else "")
    if found is None:
        raise ValueError(f"{text!r} is not an offset like +1h or +01:00")
    sign, hours, minutes = found.groups()
    return timedelta(hours=int(hours), minutes=int(minutes or 0)) * (-1 if sign == "-" else 1)


def _start_of(interval: str, moment: int, offset: timedelta) -> int:
    """Return the moment when the hour, day and so on began, by a clock with that offset."""
    time = datetime.fromtimestamp(moment // 1_000_000, UTC) + offset
    time = time.replace(minute=0, second=0)
    if interval != "hour":
        time = time.replace(hour=0)
    if interval == "week":
        time -= timedelta(days=time.weekday())
    elif interval in {"month", "year"}:
        time = time.replace(day=1, month=time.month if interval == "month" else 1)
    return round((time - offset).timestamp()) * 1_000_000
