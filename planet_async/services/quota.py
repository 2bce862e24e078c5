"""Quota: products with a quota of area, and the reservation of it for areas."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from math import inf
from typing import Any, Unpack

from planet_async.errors import ClientClosed, InvalidRequest, PlanetError, UnsettledCreate
from planet_async.exactly_once import LOOKUP_TIMES, MARGIN, CreateRegistry, create_registry, is_ambiguous
from planet_async.http import origin
from planet_async.models.codec import to_json
from planet_async.models.features import REFERENCE, Feature, FeatureCollection
from planet_async.models.quota import (
    QuotaEstimate,
    QuotaJob,
    QuotaProduct,
    Reservation,
    ReservedQuota,
    StartedJob,
)
from planet_async.paging import QUOTA_PAGES, Page, Paginator
from planet_async.services._api import Api
from planet_async.services._query import (
    Params,
    either,
    filter_params,
    many,
    open_filter_params,
    optional_text,
    params,
    shown,
    text,
    whole,
)
from planet_async.services.filters import NO_FILTERS, ProductFilters, QuotaFilters

_ACCOUNT = "/account/v1"
_RESERVATIONS = f"{_ACCOUNT}/quota-reservations"
_NEWEST_FIRST = "-created_at"

_Hashes = tuple[str, ...]


class Quota:
    """The quota of an organization, and what is reserved of it: `planet.quota`.

    `products`; `estimate`, `reserve` and `reserve_bulk`; `list` and `get` for reservations; `jobs` and
    `get_job` for what `reserve_bulk` has begun.

    What holds for every method:

    - A product is a `QuotaProduct` or its id; not its name.
    - Areas are features: `aoi_refs` are their references, as `planet.features.add` returns them, or
      `Feature` records; or `collection` is all of a collection.
    - Each amount is an `Amount` with its unit: the API writes some in square kilometres, others in square
      metres.

    Raises:
        InvalidRequest: an argument cannot be right; nothing was sent.
        StatusError: the API refuses the request.
        TransportError: no response came.
        DecodeError: the response is not what the API documents.

    See https://docs.planet.com/develop/apis/quota/
    """

    def __init__(self, api: Api) -> None:
        self._api = api

    def products(self, *, page_size: int = 500, **filters: Unpack[ProductFilters]) -> Paginator[QuotaProduct]:
        """List the products of the organization.

            async for product in planet.quota.products(supports_reservation=True):
                print(product.id, product.title, product.quota_remaining)

        Args:
            page_size: How many products there are in one response.
            **filters: See `ProductFilters`.
        """
        query = (*filter_params(ProductFilters, filters), *params(limit=whole("page_size", page_size)))
        first = self._api.request("GET", f"{_ACCOUNT}/my/products", "quota.products", params=query)
        return self._api.paginate(QuotaProduct, first, QUOTA_PAGES, unique=True)

    async def estimate(
        self,
        product: QuotaProduct | int,
        aoi_refs: Iterable[Feature | str] | None = None,
        *,
        collection: FeatureCollection | str | None = None,
    ) -> QuotaEstimate:
        """Return what it would cost to reserve quota for areas; nothing is reserved.

        Args:
            product: The product.
            aoi_refs: The areas; either these or a collection.
            collection: The collection whose features are the areas.
        """
        body = to_json(_body(product, aoi_refs, collection))
        path = f"{_RESERVATIONS}/estimate"
        return await self._api.call(QuotaEstimate, "POST", path, "quota.estimate", body=body, repeatable=True)

    async def reserve(
        self,
        product: QuotaProduct | int,
        aoi_refs: Iterable[Feature | str] | None = None,
        *,
        collection: FeatureCollection | str | None = None,
    ) -> ReservedQuota:
        """Reserve quota for areas, and return the reservations.

        This spends quota, and only Planet's support can undo it.  So it is never sent again: where the
        response is lost, the reservations are looked up by their `aoi_ref`, in the list of those made since.

            estimate = await planet.quota.estimate(product, refs)
            if estimate.total_cost.sqkm < 100:
                await planet.quota.reserve(product, refs)

        Args:
            product: The product.
            aoi_refs: The areas; either these or a collection.
            collection: The collection whose features are the areas.

        Raises:
            UnsettledCreate: the response is lost, and the list does not show a new reservation for each area,
                or the areas are a collection; `candidates` are the ids of the reservations made since.
        """
        requested = _body(product, aoi_refs, collection)
        post = self._api.request("POST", f"{_RESERVATIONS}/", "quota.reserve", body=to_json(requested))
        registry = self._registry()
        # Those of one product are sent concurrently; while one is looked up, no other is sent.
        async with registry.using(str(requested["product_id"])) as lock:
            sent = self._api.clock.monotonic()
            try:
                async with lock.sending():
                    sent = self._api.clock.monotonic()
                    made = await self._api.fetch(ReservedQuota, post)
                    registry.add(str(each.id) for each in made.quota_reservations)
                    return made
            except PlanetError as error:
                if not is_ambiguous(error):
                    raise
                lost = error
            async with lock.exclusive():
                return await self._settle(requested, sent, lost)

    async def reserve_bulk(
        self,
        product: QuotaProduct | int,
        aoi_refs: Iterable[Feature | str] | None = None,
        *,
        collection: FeatureCollection | str | None = None,
    ) -> QuotaJob:
        """Begin to reserve quota for many areas, and return the job that does it: pending.

        This spends quota, and only Planet's support can undo it, so it is never sent again.  See `QuotaJob`
        for what its being completed means.

            job = await planet.quota.reserve_bulk(product, collection="pl:features/my/fields-Kr7")
            job = await planet.quota.get_job(job.id)

        Args:
            product: The product.
            aoi_refs: The areas; either these or a collection.
            collection: The collection whose features are the areas.

        Raises:
            UnsettledCreate: the response is lost, and which job it is cannot be found out; `candidates` are
                those that it may be.
        """
        requested = _body(product, aoi_refs, collection)
        path = f"{_RESERVATIONS}/bulk-reserve"
        post = self._api.request("POST", path, "quota.reserve_bulk", body=to_json(requested))
        try:
            return (await self._api.fetch(StartedJob, post)).job
        except PlanetError as error:
            if not is_ambiguous(error):
                raise
            lost = error
        candidates = await self._jobs_like(requested)
        raise _unsettled("the bulk reservation", "`quota.jobs`", lost, candidates) from lost

    def list(
        self,
        *,
        filters: Mapping[str, object] = NO_FILTERS,
        sort: str | None = None,
        page_size: int = 500,
        **named_filters: Unpack[QuotaFilters],
    ) -> Paginator[Reservation]:
        """List reservations.

            async for reservation in planet.quota.list(product_id=16, sort="-created_at"):
                print(reservation.aoi_ref, reservation.amount)

        Args:
            filters: Filters of the API that `QuotaFilters` lacks: a field, or a field and an operator, of
                ``eq ne lt lte gt gte like ilike icontains isnull in notin``: ``{"amount__gte": 10}``.
            sort: A field to sort by, such as created_at; with "-" in front, the last comes first.
            page_size: How many reservations there are in one response.
            **named_filters: See `QuotaFilters`; all filters have to hold.
        """
        query = _list_params(filters, named_filters, sort, page_size)
        first = self._api.request("GET", f"{_RESERVATIONS}/", "quota.list", params=query)
        return self._api.paginate(Reservation, first, QUOTA_PAGES, unique=True)

    async def get(self, reservation_id: int) -> Reservation:
        """Return one reservation."""
        path = f"{_RESERVATIONS}/{whole('reservation_id', reservation_id, least=0)}"
        return await self._api.call(Reservation, "GET", path, "quota.get")

    def jobs(
        self,
        *,
        filters: Mapping[str, object] = NO_FILTERS,
        sort: str | None = None,
        page_size: int = 500,
        **named_filters: Unpack[QuotaFilters],
    ) -> Paginator[QuotaJob]:
        """List the jobs that `reserve_bulk` has begun; the parameters are those of `list`."""
        query = _list_params(filters, named_filters, sort, page_size)
        first = self._api.request("GET", f"{_RESERVATIONS}/jobs", "quota.jobs", params=query)
        return self._api.paginate(QuotaJob, first, QUOTA_PAGES, unique=True)

    async def get_job(self, job: QuotaJob | int) -> QuotaJob:
        """Return a job as it stands."""
        id_ = job.id if isinstance(job, QuotaJob) else whole("job", job, least=0)
        return await self._api.call(QuotaJob, "GET", f"{_RESERVATIONS}/jobs/{id_}", "quota.get_job")

    async def _settle(self, requested: Mapping[str, Any], sent: float, lost: PlanetError) -> ReservedQuota:
        """Return what a reservation has made whose response was lost, as the list shows it."""
        clock, config = self._api.clock, self._api.config
        wanted, failed = [*map(_hashes, requested.get("aoi_refs", ()))], clock.monotonic()
        found: dict[_Hashes, Reservation] = {}
        why = "there was no time to look it up"
        with clock.move_on_after(inf if config.deadline is None else sent + config.deadline - failed):
            for share in LOOKUP_TIMES:
                try:
                    await clock.sleep(failed + share * config.consistency_delay - clock.monotonic())
                    found = await self._made_since(sent, requested)
                except ClientClosed:
                    why = "the client was closed"
                    break
                except PlanetError as error:
                    why = f"looking it up failed, too ({error.message})"
                    continue
                if wanted and found.keys() >= {*wanted}:
                    self._registry().add(str(each.id) for each in found.values())
                    return ReservedQuota.of(found[key] for key in wanted)
                why = "the list does not show a new reservation for each area"
        if not wanted:
            why = "which areas the collection had is not known"
        ids = [str(reservation.id) for reservation in found.values()]
        raise _unsettled(f"the reservation ({why})", "`quota.list(sort='-created_at')`", lost, ids) from lost

    async def _made_since(self, sent: float, requested: Mapping[str, Any]) -> dict[_Hashes, Reservation]:
        """Return the reservations of what was requested that were made since then, by their area."""
        found: dict[_Hashes, Reservation] = {}
        wanted, known = {*map(_hashes, requested.get("aoi_refs", ()))}, self._registry()
        collection = _hashes(requested.get("collection_id", ""))
        async for page in self.list(sort=_NEWEST_FIRST).pages():
            since = self._service_time(page, sent)
            made = [each for each in page if each.created_at is not None and each.created_at >= since]
            for each in made:
                hashes = _hashes(each.aoi_ref)
                is_area = hashes in wanted or (collection != () and hashes[:1] == collection)
                is_product = each.product_id in {None, requested["product_id"]}
                if is_area and is_product and str(each.id) not in known:
                    found.setdefault(hashes, each)
            if len(page) and not made:
                break  # all further ones are older
        return found

    def _registry(self) -> CreateRegistry:
        return create_registry(self._api.clock, origin(self._api.config.base_url), "reservation")

    def _service_time(self, page: Page[Reservation], sent: float) -> datetime:
        """Return when a request was sent, by the clock of the service."""
        now = page.date or self._api.clock.now()
        return now - timedelta(seconds=self._api.clock.monotonic() - sent + MARGIN)

    async def _jobs_like(self, requested: Mapping[str, Any]) -> Iterable[str]:
        """Return the ids of the newest jobs that it may be: unfinished, or with as many items."""
        count = len(requested.get("aoi_refs", ()))
        try:
            page = await self.jobs(sort=_NEWEST_FIRST).page()
            return [str(job.id) for job in page if not job.is_finished or job.total_items == count]
        except PlanetError:
            return []


def _body(
    product: QuotaProduct | int,
    aoi_refs: Iterable[Feature | str] | None,
    collection: FeatureCollection | str | None,
) -> dict[str, Any]:
    if isinstance(product, str):
        raise InvalidRequest(f"product must be the id of a product, a number, not {shown(product)}")
    id_ = product.id if isinstance(product, QuotaProduct) else whole("product", product, least=0)
    either(aoi_refs=aoi_refs, collection=collection)
    if aoi_refs is None:
        ref = collection.ref if isinstance(collection, FeatureCollection) else text("collection", collection)
        return {"product_id": id_, "collection_id": _reference("collection", ref)}
    refs = [each.ref if isinstance(each, Feature) else each for each in many("aoi_refs", aoi_refs)]
    if not refs:
        raise InvalidRequest("aoi_refs: an empty list asks for nothing; nothing was sent")
    return {"product_id": id_, "aoi_refs": [*dict.fromkeys(_reference("aoi_refs", ref) for ref in refs)]}


def _reference(name: str, ref: object) -> str:
    found = text(name, ref)
    if not found.startswith(REFERENCE):
        raise InvalidRequest(f"{name}: expected references like {REFERENCE}my/..., got {shown(ref)}")
    return found


def _hashes(ref: str) -> _Hashes:
    """Return the hashes in a reference, which stay when a title changes; the rest and the version do not.

    ``pl:features/my/fields-Kr7/1-owL#1`` has Kr7 and owL.
    """
    return tuple(part.rpartition("-")[2] for part in ref.partition("#")[0].split("/")[2:])


def _list_params(
    filters: Mapping[str, object], named: Mapping[str, object], sort: str | None, page_size: int
) -> Params:
    query = open_filter_params(QuotaFilters, named, filters)
    return (*query, *params(sort=optional_text("sort", sort), limit=whole("page_size", page_size)))


def _unsettled(what: str, where: str, lost: PlanetError, candidates: Iterable[str]) -> UnsettledCreate:
    return UnsettledCreate(
        f"{what} may exist: the response was lost ({lost.message})",
        hint=f"Look at {where} before you reserve it again: a reservation cannot be undone.",
        candidates=tuple(candidates),
    )
