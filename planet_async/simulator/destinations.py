"""The simulated Destinations API: https://docs.planet.com/develop/apis/destinations/."""

from collections.abc import Iterable
from functools import partial

from attrs import define

from planet_async.simulator.catalog import DESTINATIONS, REDACTED, SECRETS, without_secrets
from planet_async.simulator.context import Context, six_digits, slug
from planet_async.simulator.http import (
    Json,
    Refused,
    Route,
    ServerRequest,
    ServerResponse,
    json_object,
    json_response,
    without_nulls,
)
from planet_async.simulator.rules import destination_problems

API = "/destinations/v1"
REFERENCE = "pl:destinations/"
MAX_DESTINATIONS = 50

_CLOUDS = (
    "amazon_s3",
    "google_cloud_storage",
    "azure_blob_storage",
    "oracle_cloud_storage",
    "s3_compatible",
)
_OPTIONAL = {
    "amazon_s3": {"explicit_sse"},
    "azure_blob_storage": {"storage_endpoint_suffix"},
    "s3_compatible": {"use_path_style"},
}
_EDITABLE = {"explicit_sse", "use_path_style"}  # besides the secrets
_NAME_LENGTHS = range(3, 64)


@define
class _Destination:
    """A destination, with its secrets: what is shown is redacted."""

    id: str
    name: str
    type: str
    parameters: Json
    created: int
    updated: int
    archived: int | None = None


class DestinationsApi:
    """The operations of the Destinations API, for the only user of the only organization."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._by_id: dict[str, _Destination] = {}
        self._default: str | None = None

    def routes(self) -> Iterable[Route]:
        return (
            Route("GET", API, "destinations.list", self.list_destinations),
            Route("POST", API, "destinations.create", self.create),
            Route("GET", f"{API}/default", "destinations.get_default", self.get_default),
            Route("PUT", f"{API}/default", "destinations.set_default", self.set_default),
            Route("DELETE", f"{API}/default", "destinations.unset_default", self.unset_default),
            Route("GET", f"{API}/{{id}}", "destinations.get", self.get),
            Route("PATCH", f"{API}/{{id}}", "destinations.update", self.update),
        )

    def list_destinations(self, request: ServerRequest) -> ServerResponse:
        """List all at once, the oldest first [L]; archived ones only where they are asked for [M]."""
        found = [each for each in self._by_id.values() if self._context.is_listed(each.created)]
        if not _boolean(request, "archived"):
            found = [each for each in found if each.archived is None]
        for name in ("is_owner", "can_write"):  # all are the user's own
            if _boolean(request, name) is False:
                found = []
        if (wanted := _boolean(request, "is_default")) is not None:
            found = [each for each in found if (each.id == self._default) == wanted]
        links = {"_self": request.link(self._url)}
        return json_response({"destinations": [self._render(each) for each in found], "_links": links})

    def create(self, request: ServerRequest) -> ServerResponse:
        body, now = _object(request, {"type", "parameters", "name"}), self._context.now()
        kind, parameters = body.get("type"), body.get("parameters")
        if kind not in _CLOUDS or not isinstance(parameters, dict):
            raise Refused(_error(400, f"type must be one of {', '.join(_CLOUDS)}, with its parameters"))
        known = {*DESTINATIONS[kind], *_OPTIONAL.get(kind, ())}
        unknown = [f"unknown parameter {name}" for name in sorted(parameters.keys() - known)]
        if problems := [*destination_problems(kind, parameters), *unknown]:
            raise Refused(_error(400, "; ".join(problems)))
        name = body.get("name") or parameters.get("bucket") or parameters.get("container")
        name = self._checked_name(self._context.change_name(str(name)))
        if len(self._by_id) >= MAX_DESTINATIONS:
            raise Refused(_error(400, f"an organization has {MAX_DESTINATIONS} destinations at most"))
        new_id = f"{slug(name)}-{self._context.new_hash()}"
        found = self._by_id[new_id] = _Destination(new_id, name, kind, parameters, now, now)
        return json_response(self._render(found), 201)

    def get(self, request: ServerRequest, destination_id: str) -> ServerResponse:
        return json_response(self._render(self._find(destination_id)))

    def update(self, request: ServerRequest, destination_id: str) -> ServerResponse:
        """Change the name, or all secrets at once, or archive it [H]."""
        found, body = self._find(destination_id), _object(request, {"archive", "name", "parameters"})
        if not body:
            raise Refused(_error(400, "one of archive, name and parameters is required"))
        if not isinstance(body.get("archive", False), bool):
            raise Refused(_error(400, "archive must be true or false"))
        changed = _credentials(found.type, body["parameters"]) if "parameters" in body else {}
        found.name = self._checked_name(body["name"], of=found) if "name" in body else found.name
        found.parameters = {**found.parameters, **changed}
        found.updated = self._context.now()
        if "archive" in body:
            found.archived = found.updated if body["archive"] else None
            if body["archive"] and self._default == found.id:  # what becomes of the default is not known [L]
                self._default = None
        return json_response(self._render(found))

    def get_default(self, request: ServerRequest) -> ServerResponse:
        if self._default is None:
            raise Refused(_error(404, "there is no default destination"))
        return json_response(self._render(self._by_id[self._default]))

    def set_default(self, request: ServerRequest) -> ServerResponse:
        """Set the default by its id, or by its reference [M]."""
        found = self._find(str(_object(request, {"destination_id"}).get("destination_id")))
        if found.archived is not None:
            raise Refused(_error(400, "an archived destination cannot be the default"))
        self._default = found.id
        return json_response(self._render(found))

    def unset_default(self, request: ServerRequest) -> ServerResponse:
        if self._default is None:
            raise Refused(_error(404, "there is no default destination"))
        self._default = None
        return ServerResponse(204)

    @property
    def _url(self) -> str:
        return self._context.base_url + API

    def _find(self, destination_id: str) -> _Destination:
        found = self._by_id.get(destination_id.removeprefix(REFERENCE))
        if found is None:
            raise Refused(_error(404, f"no such destination: {destination_id}"))
        return found

    def _checked_name(self, name: object, of: _Destination | None = None) -> str:
        """Return a name that no other destination has; archived ones keep theirs [L]."""
        if not isinstance(name, str) or len(name) not in _NAME_LENGTHS:
            raise Refused(_error(400, "name must have from 3 to 63 characters"))
        if any(each.name == name and each is not of for each in self._by_id.values()):
            raise Refused(_error(409, f"there is a destination named {name!r} already"))  # status: [L]
        return name

    def _render(self, found: _Destination) -> Json:
        """Return a destination without its secrets [H, recorded]."""
        default = {"default": True} if found.id == self._default else {}
        return {
            "id": found.id,
            "name": found.name,
            "type": found.type,
            "parameters": without_secrets(found.parameters),
            "pl:ref": f"{REFERENCE}{found.id}",
            "created": _nanoseconds(found.created),
            "updated": _nanoseconds(found.updated),
            "archived": None if found.archived is None else _nanoseconds(found.archived),
            **default,
            "ownership": {"is_owner": True, "owner_id": 1},
            "permissions": {"can_write": True},
            "_links": {"_self": f"{self._url}/{found.id}"},
        }


def _credentials(kind: str, parameters: object) -> Json:
    needed = [name for name in DESTINATIONS[kind] if name in SECRETS]
    editable = {*needed, *(_EDITABLE & _OPTIONAL.get(kind, set()))}
    if not isinstance(parameters, dict) or parameters.keys() - editable:
        raise Refused(_error(400, f"only {', '.join(needed)} can be changed"))
    if missing := [name for name in needed if name not in parameters]:
        raise Refused(_error(400, f"{', '.join(missing)} is required, too"))
    if REDACTED in parameters.values():
        raise Refused(_error(400, f"{REDACTED} is not a valid credential"))
    return parameters


def _nanoseconds(moment: int) -> str:
    """Return a time with nine fractional digits [H, recorded]."""
    return f"{six_digits(moment)[:-1]}594Z"


def _boolean(request: ServerRequest, name: str) -> bool | None:
    text = request.param(name).lower()
    if text not in {"", "true", "false"}:
        raise Refused(_error(400, f"{name} must be true or false"))
    return None if not text else text == "true"


def _object(request: ServerRequest, known: set[str]) -> Json:
    body = json_object(request, partial(_error, 400))
    if unknown := body.keys() - known:
        raise Refused(_error(400, f"unknown: {', '.join(sorted(unknown))}"))
    return without_nulls(body)


def _error(status: int, text: str) -> ServerResponse:
    return json_response({"code": status, "message": text}, status)  # [H]
