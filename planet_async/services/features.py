"""Features: areas that are kept at Planet, in collections, and named by references."""

import builtins
from collections.abc import Mapping
from functools import partial
from operator import attrgetter
from typing import Any, Unpack

from planet_async.errors import BadRequest, DecodeError, InvalidRequest, PlanetError, UnsettledCreate
from planet_async.exactly_once import ResourceKind, is_ambiguous
from planet_async.models.codec import decode, to_json
from planet_async.models.features import (
    REFERENCE,
    Feature,
    FeatureCollection,
    FeatureCollectionRequest,
    FeatureValidation,
    features_of,
    references,
)
from planet_async.paging import COLLECTIONS_PAGES, FEATURES_PAGES, Paginator
from planet_async.services._api import Api
from planet_async.services._query import filter_params, optional_text, params, path_part, text, whole
from planet_async.services.filters import CollectionFilters

_COLLECTIONS = "/features/v1/ogc/my/collections"
_NEWEST_FIRST = "-created_date"


class Features:
    """The feature collections of an account, and the features in them: `planet.features`.

    `create`, `get`, `list`, `update` and `delete` are about collections; `add`, `items`, `get_item` and
    `delete_item` about the features of one; `validate` says whether a feature can be added.

    A reference to a feature (``"pl:features/my/fields-Kr7/1-owL"``) goes wherever a geometry goes: into
    searches, orders, subscriptions, tasking orders and reservations of quota.

    What holds for every method:

    - A collection is a `FeatureCollection`, its id, or its reference; a feature is a `Feature`, its id, or
      its reference.
    - What is to be added is GeoJSON, or anything with ``__geo_interface__``, such as a shape of shapely or a
      GeoDataFrame, in longitude and latitude: Polygons and MultiPolygons of at most 1,500 vertices.

    Raises:
        InvalidRequest: an argument cannot be right; nothing was sent.
        StatusError: the API refuses the request; NotFound also for what belongs to another user.
        TransportError: no response came.
        DecodeError: the response is not what the API documents.

    See https://docs.planet.com/develop/apis/features/
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._creating = api.exactly_once(
            ResourceKind[FeatureCollection](
                "feature collection",
                "item_type",  # what all of them have: nothing but the title distinguishes two
                lambda name: self._titled(name).pages(),
                lambda _start, _end: self.list(sort=_NEWEST_FIRST).pages(),
                attrgetter("created"),
                _as_requested,
                self.delete,
            )
        )

    async def create(
        self,
        title: str,
        *,
        description: str | None = None,
        title_property: str | None = None,
        description_property: str | None = None,
    ) -> FeatureCollection:
        """Create a collection, and return it.

        It is created once: where the response is lost, the collection is looked for by its title, and the
        request is sent again only if it is not there.  The API does not mind two of one title.

            fields = await planet.features.create("fields")
            refs = await planet.features.add(fields, field_7)

        Args:
            title: The title.
            description: What it is about.
            title_property: The property of its features that is shown as their title.
            description_property: The property of its features that is shown as their description.

        Raises:
            UnsettledCreate: whether it was created cannot be found out.
        """
        request = _request(title, description, title_property, description_property)
        post = self._api.request("POST", _COLLECTIONS, "features.create", body=to_json(request))
        described = {key: value for key, value in request.to_dict().items() if key != "title"}
        wanted = to_json({**described, "name": title, "item_type": "feature"})
        return await self._creating.create(wanted, partial(self._api.fetch, FeatureCollection, post))

    async def get(self, collection: FeatureCollection | str) -> FeatureCollection:
        """Return one collection."""
        return await self._api.call(FeatureCollection, "GET", _path(collection), "features.get")

    def list(
        self, *, sort: str | None = None, page_size: int = 500, **filters: Unpack[CollectionFilters]
    ) -> Paginator[FeatureCollection]:
        """List collections.

            async for collection in planet.features.list(title="~field"):
                print(collection.ref, collection.feature_count)

        Args:
            sort: created_date or title; with "-" in front, the last comes first.
            page_size: How many collections there are in one response, at most 10,000.
            **filters: See `CollectionFilters`; all of them have to hold.
        """
        query = (
            *filter_params(CollectionFilters, filters),
            *params(sort=optional_text("sort", sort), limit=whole("page_size", page_size)),
        )
        first = self._api.request("GET", _COLLECTIONS, "features.list", params=query)
        return self._api.paginate(FeatureCollection, first, COLLECTIONS_PAGES, unique=True)

    async def update(
        self,
        collection: FeatureCollection | str,
        title: str,
        *,
        description: str | None = None,
        title_property: str | None = None,
        description_property: str | None = None,
    ) -> FeatureCollection:
        """Replace the title and all else that describes a collection, and return it; its features stay.

        What is left out is gone.
        """
        request = _request(title, description, title_property, description_property)
        path, body = _path(collection), to_json(request)
        await self._api.send(self._api.request("PUT", path, "features.update", body=body))
        return await self.get(collection)

    async def delete(self, collection: FeatureCollection | str) -> None:
        """Delete a collection with all its features."""
        await self._api.delete(_path(collection), "features.delete")

    async def add(
        self, collection: FeatureCollection | str, features: object, *, property_id: str | None = None
    ) -> builtins.list[str]:
        """Add features to a collection, and return their references, in the same order.

        Adding a feature twice makes two of it, so a request whose response was lost is not sent again.

            refs = await planet.features.add("fields-Kr7", geopandas.read_file("fields.gpkg").to_crs(4326))
            await planet.orders.create(OrderRequest("field 7", [scenes], tools=[Clip(refs[0])]))

        Args:
            collection: The collection.
            features: A feature, a geometry, a FeatureCollection, a GeoDataFrame, or several of these; the API
                takes about 1 MB at a time.  Properties that are missing (None, NaN) are left out.
            property_id: The property that holds the ids of the features.

        Raises:
            UnsettledCreate: the response was lost: the features may have been added.
        """
        path, found = f"{_path(collection)}/items", features_of(features)
        body = to_json(found[0] if len(found) == 1 else {"type": "FeatureCollection", "features": found})
        query = params(property_id=optional_text("property_id", property_id))
        post = self._api.request("POST", path, "features.add", params=query, body=body)
        try:
            response = await self._api.send(post)
        except PlanetError as error:
            if not is_ambiguous(error):
                raise
            lost = error
        else:
            return references(await response.read(), len(found), post)
        raise UnsettledCreate(
            f"{len(found)} features may have been added: the response was lost ({lost.message})",
            hint="Look at the first of `features.items`, which are the newest, before you add them again.",
        ) from lost

    def items(self, collection: FeatureCollection | str, *, page_size: int = 500) -> Paginator[Feature]:
        """List the features of a collection, newest first.

            async for feature in planet.features.items("fields-Kr7"):
                print(feature.ref, feature.properties)

        Args:
            collection: The collection.
            page_size: How many features there are in one response, at most 10,000.
        """
        query = params(limit=whole("page_size", page_size))
        first = self._api.request("GET", f"{_path(collection)}/items", "features.items", params=query)
        return self._api.paginate(Feature, first, FEATURES_PAGES)

    async def get_item(self, collection: FeatureCollection | str, feature: Feature | str) -> Feature:
        """Return one feature of a collection."""
        path = f"{_path(collection)}/items/{_feature_id(feature)}"
        return await self._api.call(Feature, "GET", path, "features.get_item")

    async def delete_item(self, collection: FeatureCollection | str, feature: Feature | str) -> None:
        """Delete one feature of a collection."""
        await self._api.delete(f"{_path(collection)}/items/{_feature_id(feature)}", "features.delete_item")

    async def validate(self, feature: object) -> FeatureValidation:
        """Return whether one feature can be added to a collection, and what is wrong with it if not.

            validation = await planet.features.validate(field_7)
            print(validation.is_valid, [error.description for error in validation.errors])

        Raises:
            InvalidRequest: it is no Polygon or MultiPolygon at all; nothing was sent.
        """
        found = features_of(feature, "feature")
        if len(found) > 1:
            raise InvalidRequest(f"expected one feature, got {len(found)}; nothing was sent")
        path, body = f"{_COLLECTIONS}/validate", to_json(found[0])
        post = self._api.request("POST", path, "features.validate", body=body, repeatable=True)
        try:
            return await self._api.fetch(FeatureValidation, post)
        except BadRequest as error:  # the status of a failed validation is not documented
            refusal = error
        try:
            validation = decode(FeatureValidation, refusal.body.encode())
        except DecodeError:
            raise refusal from None
        if validation.is_valid:
            raise refusal
        return validation

    def _titled(self, title: str) -> Paginator[FeatureCollection]:
        # With "~" in front, the API looks for titles that contain the rest.
        wanted = None if title.startswith("~") else title
        return self.list(title=wanted, sort=_NEWEST_FIRST)


def _request(title: str, *described: str | None) -> FeatureCollectionRequest:
    return FeatureCollectionRequest(text("title", title), *described)


def _as_requested(collection: FeatureCollection) -> Mapping[str, Any]:
    return {**collection.raw, "name": collection.title, "item_type": "feature"}


def _path(collection: FeatureCollection | str) -> str:
    id_ = collection.id if isinstance(collection, FeatureCollection) else text("collection", collection)
    return f"{_COLLECTIONS}/{path_part('collection', _named(id_, 0))}"


def _feature_id(feature: Feature | str) -> str:
    id_ = feature.ref if isinstance(feature, Feature) else text("feature", feature)
    return path_part("feature", _named(id_, 1))


def _named(id_: str, place: int) -> str:
    """Return a part of a reference, such as ``pl:features/my/{collection}/{feature}#1``; an id as it is."""
    if not id_.startswith(REFERENCE):
        return id_
    _, _, *parts = id_.partition("#")[0].split("/")
    return parts[place] if len(parts) > place else ""
