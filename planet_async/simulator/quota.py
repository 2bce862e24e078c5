"""The simulated Quota API: https://docs.planet.com/develop/apis/quota/.

Amounts are square kilometres here and square metres there, numbers here and texts there, and times have no
zone: as recorded [H].  How it words an error is not known: here ``{"message"}`` [L].
"""

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, TypeVar

from attrs import define

from planet_async.simulator.context import Context, after, six_digits
from planet_async.simulator.features import collection_hash
from planet_async.simulator.geometry import square_kilometres
from planet_async.simulator.http import (
    Json,
    Refused,
    Route,
    ServerRequest,
    ServerResponse,
    json_object,
    json_response,
    message,
    whole_param,
)
from planet_async.simulator.lists import COMPARISONS, offset_links

ACCOUNT = "/account/v1"
RESERVATIONS = f"{ACCOUNT}/quota-reservations"

_PAGE_SIZE = 50
_JOB_SECONDS = 5.0
_SQUARE_METRES = 1e6
_ORGANIZATION = 1
_PRODUCTS = {  # by id: its name, and whether areas of it can be reserved
    101: ("SWC-AMSR2-C_V1.0_100", True),
    102: ("BIOMASS-PROXY_V4.0_10", True),
    103: ("PSScene", False),
}


@define
class _Reservation:
    id: int
    product_id: int
    aoi_ref: str
    amount: float  # square kilometres
    created: int


@define
class _Job:
    id: int
    product_id: int
    collection_id: str | None
    created: int
    total: int
    reserved: int  # the others had been reserved before


T = TypeVar("T", _Reservation, _Job)


class QuotaApi:
    """The operations of the Quota API.

    Args:
        features_of: Returns the geometries of a reference, by the reference of each feature.
        quota: The square kilometres of each product.
    """

    def __init__(
        self, context: Context, *, features_of: Callable[[object], dict[str, Json] | None], quota: float
    ) -> None:
        self._context = context
        self._features_of = features_of
        self._quota = quota
        self._reservations: list[_Reservation] = []
        self._jobs: list[_Job] = []

    def routes(self) -> Iterable[Route]:
        """Return the operations: the path of the list ends with a slash, the others do not [H]."""
        return (
            Route("GET", f"{ACCOUNT}/my/products", "quota.products", self.products),
            Route("GET", f"{RESERVATIONS}/", "quota.list", self.list_reservations),
            Route("POST", f"{RESERVATIONS}/", "quota.reserve", self.reserve),
            Route("POST", f"{RESERVATIONS}/estimate", "quota.estimate", self.estimate),
            Route("POST", f"{RESERVATIONS}/bulk-reserve", "quota.reserve_bulk", self.reserve_bulk),
            Route("GET", f"{RESERVATIONS}/jobs", "quota.jobs", self.list_jobs),
            Route("GET", f"{RESERVATIONS}/jobs/{{id}}", "quota.get_job", self.get_job),
            Route("GET", f"{RESERVATIONS}/{{id}}", "quota.get", self.get),
        )

    def products(self, request: ServerRequest) -> ServerResponse:
        return _page(request, self._context.base_url, [self._product(number) for number in _PRODUCTS])

    def list_reservations(self, request: ServerRequest) -> ServerResponse:
        listed = [each for each in self._reservations if self._context.is_listed(each.created)]
        return _page(request, self._context.base_url, [self._render(each) for each in listed])

    def get(self, request: ServerRequest, reservation_id: str) -> ServerResponse:
        return json_response(self._render(_find(self._reservations, "reservation", reservation_id)))

    def estimate(self, request: ServerRequest) -> ServerResponse:
        """Return the costs in square kilometres; what is reserved already is not in the total [L]."""
        product_id, _, areas = self._requested(request)
        reserved = self._reserved(product_id)
        costs = [{"aoi_ref": ref, "cost": cost, "reserved": ref in reserved} for ref, cost in areas.items()]
        return json_response(
            {
                "total_cost": sum(cost for ref, cost in areas.items() if ref not in reserved),
                "estimated_costs": costs,
                "quota_total": self._quota,
                "quota_remaining": self._quota - self._used(product_id),
                "quota_units": "sqkm",
            }
        )

    def reserve(self, request: ServerRequest) -> ServerResponse:
        """Reserve areas, in square metres.

        Whether one that is reserved already is refused is not known: here it is reserved, and paid for, once
        more, which is the worst that can be [L].
        """
        product_id, _, areas = self._requested(request)
        made = self._reserve(product_id, areas)
        used = self._used(product_id)
        return json_response(
            {
                "quota_reservations": [
                    {"aoi_ref": each.aoi_ref, "id": each.id, "state": "reserved"} for each in made
                ],
                "quota_total": self._quota * _SQUARE_METRES,
                "quota_used": used * _SQUARE_METRES,
                "quota_remaining": str((self._quota - used) * _SQUARE_METRES),  # a text [H, recorded]
                "quota_units": "sqm",
                "url": f"{self._context.base_url}{RESERVATIONS}/",
            },
            201,
        )

    def reserve_bulk(self, request: ServerRequest) -> ServerResponse:
        """Start a job, which leaves out what is reserved already [H, recorded]; it reserves at once [L]."""
        product_id, collection_id, areas = self._requested(request)
        reserved = self._reserved(product_id)
        new = {ref: cost for ref, cost in areas.items() if ref not in reserved}
        self._reserve(product_id, new)
        now, number = self._context.now(), 8001 + len(self._jobs)
        self._jobs.append(_Job(number, product_id, collection_id, now, len(areas), len(new)))
        return json_response({"job_id": str(number), "status": "pending"}, 201)  # a text [H, recorded]

    def list_jobs(self, request: ServerRequest) -> ServerResponse:
        return _page(request, self._context.base_url, [self._render_job(each) for each in self._jobs])

    def get_job(self, request: ServerRequest, job_id: str) -> ServerResponse:
        return json_response(self._render_job(_find(self._jobs, "job", job_id)))

    def _requested(self, request: ServerRequest) -> tuple[int, str | None, dict[str, float]]:
        """Return the product, the collection, if it is one, and the square kilometres by reference."""
        body = json_object(request, partial(message, 400))
        if ("aoi_refs" in body) == ("collection_id" in body):
            raise Refused(message(400, "exactly one of aoi_refs and collection_id is required"))  # [H]
        product_id = body.get("product_id")
        if type(product_id) is not int or not _PRODUCTS.get(product_id, ("", False))[1]:
            raise Refused(message(400, "product_id must be that of a product that supports reservation"))
        references = body["aoi_refs"] if "aoi_refs" in body else [body["collection_id"]]
        if not isinstance(references, list) or not references:
            raise Refused(message(400, "aoi_refs must be a list of references"))
        areas: dict[str, float] = {}
        for reference in references:
            if not (found := self._features_of(reference)):
                raise Refused(message(400, f"no such features: {reference}"))
            areas.update((ref, square_kilometres(geometry)) for ref, geometry in found.items())
        collection = collection_hash(next(iter(areas))) if "collection_id" in body else None
        return product_id, collection, areas

    def _reserve(self, product_id: int, areas: Mapping[str, float]) -> list[_Reservation]:
        if self._used(product_id) + sum(areas.values()) > self._quota:
            raise Refused(message(400, "Insufficient quota"))
        first, now = 1 + len(self._reservations), self._context.now()
        made = [
            _Reservation(number, product_id, ref, amount, now)
            for number, (ref, amount) in enumerate(areas.items(), start=first)
        ]
        self._reservations += made
        return made

    def _reserved(self, product_id: int) -> set[str]:
        return {each.aoi_ref for each in self._reservations if each.product_id == product_id}

    def _used(self, product_id: int) -> float:
        return sum(each.amount for each in self._reservations if each.product_id == product_id)

    def _product(self, number: int) -> Json:
        name, reservable = _PRODUCTS[number]
        area = {"op": "lte", "units": "sqkm", "value": None, "description": "any area"}
        return {
            "id": number,
            "name": name,
            "title": name.partition("_")[0],
            "description": f"{name}, simulated",
            "product_family": "planetary_variables" if reservable else "planetscope",
            "resource_ids": [name],
            "state": "active",
            "organization_id": _ORGANIZATION,
            "billable_id": number,
            "quota_total": self._quota if reservable else None,
            "quota_used": self._used(number),
            "quota_units": "sqkm",
            "unlimited_quota": not reservable,
            "supports_reservation": reservable,
            "area": area,
            "term_start_date": "2025-01-01T00:00:00",
            "term_end_date": "2029-01-01T23:59:59.999999",
            "created_at": "2025-01-01T00:00:00",
            "updated_at": "2025-01-01T00:00:00",
        }

    def _render(self, each: _Reservation) -> Json:
        made = six_digits(each.created)[:-1]
        return {
            "id": each.id,
            "aoi_ref": each.aoi_ref,
            "amount": each.amount,
            "collection_id": collection_hash(each.aoi_ref),  # the hash only [H, recorded]
            "product_id": each.product_id,
            "organization_id": _ORGANIZATION,
            "user_id": 1,
            "state": "reserved",
            "created_at": made,
            "updated_at": made,
            "url": f"{self._context.base_url}/auth/v1/experimental/quota-reservations/{each.id}",
        }

    def _render_job(self, each: _Job) -> Json:
        done = self._context.now() >= after(each.created, _JOB_SECONDS)
        processed = each.reserved if done else 0
        return {
            "id": each.id,
            "status": "completed" if done else "pending",
            "percentage": 100.0 * processed / each.total,
            "processed_items": processed,
            "total_items": each.total,
            "type": "quota:reserve",
            "product_access_id": each.product_id,
            "organization_id": _ORGANIZATION,
            "collection_id": each.collection_id,
            "created_at": six_digits(each.created)[:-1],
        }


_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    **COMPARISONS,
}


def _find(known: Iterable[T], noun: str, id_: str) -> T:
    for each in known:
        if str(each.id) == id_:
            return each
    raise Refused(message(404, f"No such {noun}: {id_}"))


def _page(request: ServerRequest, base_url: str, found: Sequence[Json]) -> ServerResponse:
    """Return the page that is requested: filtered by any field, sorted, with the fields that are wanted."""
    args = {name: values[-1] for name, values in request.params.items()}
    limit = whole_param(request, "limit", _PAGE_SIZE, partial(message, 400))
    offset = whole_param(request, "offset", 0, partial(message, 400))
    fields, sort = args.get("fields"), args.get("sort")
    for name, text in args.items():
        if name not in {"limit", "offset", "fields", "sort"}:
            found = [each for each in found if _passes(each, name, text)]
    if sort:
        name = sort.removeprefix("-")
        if any(name not in each for each in found):
            raise Refused(message(400, f"{name!r} is not a field to sort by"))
        found = sorted(found, key=lambda each: (each[name] is not None, each[name]), reverse=sort[0] == "-")
    page = found[offset : offset + limit]
    if fields:
        page = [{name: each[name] for name in fields.split(",") if name in each} for each in page]
    previous, following = offset_links(request, base_url + request.path, limit, offset, len(found))
    meta = {"args": args, "count": len(found), "next": following, "prev": previous}
    return json_response({"meta": meta, "results": page})


def _passes(each: Json, parameter: str, text: str) -> bool:
    """Return whether a resource passes a filter: ``{field}`` or ``{field}__{op}``."""
    name, _, comparison = parameter.partition("__")
    if name not in each:
        raise Refused(message(400, f"{name!r} is not a field to filter by"))
    value = each[name]
    if comparison == "isnull":
        return (value is None) == (text.lower() == "true")
    if comparison in {"in", "notin"}:
        return (_word(value) in text.split(",")) == (comparison == "in")
    if comparison in {"like", "ilike", "icontains"}:
        wanted = f"*{text}*" if comparison == "icontains" else text.replace("%", "*")
        fold = str if comparison == "like" else str.lower
        return fnmatchcase(fold(str(value)), fold(wanted))
    if comparison and comparison not in _COMPARE:
        raise Refused(message(400, f"{comparison!r} is not an operator"))
    compare = _COMPARE[comparison or "eq"]
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return compare(float(value), float(text))
        except ValueError:
            raise Refused(message(400, f"{text!r} is not a number")) from None
    return compare(_word(value), text)


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
