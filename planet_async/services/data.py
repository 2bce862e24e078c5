"""Data: the catalog of items, such as scenes, and their assets."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from math import inf
from operator import attrgetter
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import msgspec
from attrs import frozen

from planet_async._loops import PerLoop
from planet_async._tasks import BackgroundIterator, Send, fetch_all
from planet_async.config import Schedule
from planet_async.downloads.progress_bar import ProgressBar
from planet_async.downloads.remote_file import OpenFile, ProgressCallback
from planet_async.errors import (
    AssetNotDownloadable,
    DecodeError,
    Forbidden,
    InvalidRequest,
    PlanetError,
    StatusUnreachable,
    Unauthorized,
    WaitTimeout,
    type_name,
)
from planet_async.exactly_once import ResourceKind
from planet_async.http import Request, link_target, origin
from planet_async.models.codec import checked_body, decode_part, to_json, to_mapping
from planet_async.models.data import (
    Asset,
    AssetStatus,
    AssetType,
    Coverage,
    Item,
    ItemLike,
    ItemType,
    Search,
    SearchRequest,
    Stats,
    item_key,
    item_part,
)
from planet_async.models.data_filter import AndFilter, Filter, GeometryFilter
from planet_async.models.geometry import to_geojson
from planet_async.models.json import parsed_object
from planet_async.models.orders import DownloadedFiles
from planet_async.outcome import Outcome
from planet_async.paging import ASSET_TYPES_PAGES, ITEM_TYPES_PAGES, SEARCHES_PAGES, Paginator
from planet_async.services._api import Api
from planet_async.services._asset_files import (
    check_permission,
    described,
    download_assets,
    has_fresh_link,
    open_asset,
)
from planet_async.services._query import (
    Params,
    destination,
    many,
    one_of,
    optional_text,
    optional_whole,
    params,
    seconds,
    shown,
    text,
    whole,
)
from planet_async.services.search_results import SearchResults
from planet_async.waiting.waiter import wait_for

_DATA = "/data/v1"
_SEARCHES = f"{_DATA}/searches"
_SEARCH_SORTS = ("published desc", "published asc", "acquired desc", "acquired asc")
_LIST_SORTS = ("created desc", "created asc")
_SEARCH_TYPES = ("any", "saved", "quick")
_INTERVALS = ("hour", "day", "week", "month", "year")
_COMPLETE = "complete"
_LIMIT = 1800.0  # seconds: an activation that fails is not reported; it stays `activating`
_COVERAGE_LIMIT = 300.0  # seconds
_POLL_SPACING = 0.33  # seconds: waiting takes a third of the documented rate
# From one poll of an item's assets to the next, in shares of `Config.schedule`; they double in between.
_FIRST, _FACTOR, _LONGEST = 3.0, 2.0, 13.5 / 30
_INACTIVE_TWICE = 2
_ACCEPTED = 202


class Data:
    """The catalog of items and their assets: `planet.data`.

    `search` and `stats`; `get` and `assets` for one item; `activate`, `wait`, `wait_many`, `download` and
    `open` for assets; `coverage`; `item_types` and `asset_types`; `searches` for those that are saved.

    What holds for every method:

    - A filter is a record, such as `where` makes, or a mapping in the grammar of the API.
    - An item is an `Item`, its JSON, or a tuple of its type and its id; an asset is an `Asset` or its JSON.
    - Types of items and assets are not compared with a list: Planet adds new ones.
    - A `timeout` is in seconds; None waits for ever, and 0 asks once.

    Raises:
        InvalidRequest: an argument cannot be right; nothing was sent.
        StatusError: the API refuses the request; QuotaExceeded where the quota is used up.
        TransportError: no response came.
        DecodeError: the response is not what the API documents.

    See https://docs.planet.com/develop/apis/data/reference/
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self.searches: Searches = Searches(api)
        schedule = Schedule(
            first=_FIRST * api.config.schedule.first,
            factor=_FACTOR,
            longest=_LONGEST * api.config.schedule.longest,
        )
        self._waits = PerLoop(partial(api.poller, "asset", self._poll, schedule, spacing=_POLL_SPACING))

    def search(
        self,
        item_types: str | Iterable[str],
        *,
        filter: Filter | Mapping[str, Any] | None = None,  # noqa: A002 - the API's own name
        geometry: object = None,
        sort: str | None = None,
        name: str | None = None,
        page_size: int | None = None,
    ) -> SearchResults:
        """Find items, those published last first.

            clear = where.acquired.since("2026-01-01") & where.cloud_cover.below(0.1)
            async for item in planet.data.search("PSScene", filter=clear, geometry=field_7):
                print(item.id, item.acquired)

        Args:
            item_types: The types of items, such as ``["PSScene", "SkySatCollect"]``; one may be a text.
            filter: Which items; by default all.
            geometry: Only items that intersect this: GeoJSON, anything with ``__geo_interface__``, a
                reference such as ``"pl:features/my/collection/feature"``, or a list of references.
            sort: ``"published desc"``, ``"published asc"``, ``"acquired desc"`` or ``"acquired asc"``.
            name: A name by which `searches.list` shows the search, which the API keeps for 30 days.
            page_size: How many items there are in one response; by default what the API chooses.

        See https://docs.planet.com/develop/apis/data/item-search/
        """
        body = checked_body(SearchRequest, SearchRequest(item_types, filter, geometry=geometry, name=name))
        query = _paging_params(sort, _SEARCH_SORTS, page_size)
        # A quick search changes nothing, so it may be sent again.
        first = self._api.request(
            "POST", f"{_DATA}/quick-search", "data.search", params=query, body=body, repeatable=True
        )
        return SearchResults(self._api, first)

    async def stats(
        self,
        item_types: str | Iterable[str],
        interval: str,
        *,
        filter: Filter | Mapping[str, Any] | None = None,  # noqa: A002 - the API's own name
        geometry: object = None,
        utc_offset: str | None = None,
    ) -> Stats:
        """Count the items that a search would find, by the time at which they were acquired.

            stats = await planet.data.stats("PSScene", "month", filter=where.cloud_cover.below(0.1))
            print(stats.total, stats.buckets[0].count)

        Args:
            item_types: As for `search`.
            interval: hour, day, week, month or year.
            filter: As for `search`.
            geometry: As for `search`, but for references, which the API does not take here.
            utc_offset: The zone in which days begin, such as ``"+01:00"``.
        """
        one_of("interval", interval, _INTERVALS)
        if geometry is not None:
            inside = GeometryFilter(geometry)
            filter = inside if filter is None else AndFilter((filter, inside))  # noqa: A001 - see above
        search = SearchRequest(item_types, filter)
        body = checked_body(
            SearchRequest, {**search.to_dict(), "interval": interval, "utc_offset": utc_offset}
        )
        return await self._api.call(Stats, "POST", f"{_DATA}/stats", "data.stats", body=body, repeatable=True)

    async def get(self, item_type: str, item_id: str) -> Item:
        """Return one item."""
        return await self._api.call(Item, "GET", _item_path((item_type, item_id)), "data.get")

    async def assets(self, item: ItemLike) -> dict[str, Asset]:
        """Return the assets of an item that have been published, by their types.

        assets = await planet.data.assets(item)
        print(assets["ortho_udm2"].status)
        """
        item_type, item_id = item_key(item)
        request = self._api.request("GET", f"{_item_path(item)}/assets", "data.assets")
        response = await self._api.send(request)
        content_type = response.headers.get("content-type", "")
        found = parsed_object(await response.read(), request=request, content_type=content_type)
        item_of_asset = {"item_type": item_type, "item_id": item_id}
        return {
            name: decode_part(Asset, {"type": name, **asset, **item_of_asset}, where=f"$.{name}")
            for name, asset in found.items()
            if isinstance(asset, dict) and not name.startswith("_")
        }

    async def activate(self, asset: Asset | Mapping[str, Any]) -> Asset:
        """Have the file of an asset prepared, and return the asset as it stands: activating, or active.

            asset = await planet.data.activate(assets["ortho_udm2"])
            asset = await planet.data.wait(asset)

        Raises:
            AssetNotDownloadable: the permission to download it is missing.
        """
        asset = _asset(asset)
        check_permission(asset)
        activate = asset.links.get("activate")
        if not isinstance(activate, str):
            raise InvalidRequest(f"{described(asset)} has no link to activate it; nothing was sent")
        try:
            response = await self._api.send(self._link(activate, "data.activate"))
        except (Unauthorized, Forbidden) as error:
            error.hint = f"The permission assets.{asset.type}:download may be missing. {error.hint}"
            raise
        if response.status == _ACCEPTED:
            return decode_part(Asset, {**asset.raw, "status": AssetStatus.ACTIVATING.value})
        return await self._reread(asset)

    async def wait(self, asset: Asset | Mapping[str, Any], *, timeout: float | None = _LIMIT) -> Asset:
        """Wait until an asset is active, and return it with its `location`.

        It has to be activated first.  One request serves all waits for assets of the same item.

        Args:
            asset: The asset, best as `activate` returned it.
            timeout: How long to wait.  The API does not report that an activation has failed.

        Raises:
            WaitTimeout: it was not active in time.
            StatusUnreachable: it is inactive, and is not being activated.
        """
        return await self._wait(_asset(asset), seconds("timeout", timeout))

    def wait_many(
        self, assets: Iterable[Asset | Mapping[str, Any]], *, timeout: float | None = _LIMIT
    ) -> AsyncIterator[Outcome[Asset]]:
        """Wait for many assets, and yield each as it becomes active.

            async for outcome in planet.data.wait_many(assets):
                print(outcome.id, outcome.error or outcome.unwrap().location)

        Yields:
            One outcome for each asset: the asset, or its error, such as WaitTimeout, which does not stop the
            others.  Its id is ``"{item_type}/{item_id}/{type}"``.  Leaving the loop early is safe.
        """
        timeout = seconds("timeout", timeout)
        waited_for = [_asset(asset) for asset in many("assets", assets)]

        async def produce(send: Send[Outcome[Asset]]) -> None:
            async def wait(asset: Asset) -> None:
                id_ = f"{asset.item_type}/{asset.item_id}/{asset.type}"
                try:
                    outcome = Outcome(id_, await self._wait(asset, timeout))
                except PlanetError as error:
                    outcome = Outcome(id_, error=error)
                await send(outcome)

            await fetch_all([partial(wait, asset) for asset in waited_for], max(1, len(waited_for)))

        return BackgroundIterator(produce)

    async def download(
        self,
        item: ItemLike,
        asset_types: str | Iterable[str],
        to: str | Path,
        *,
        overwrite: bool = False,
        concurrency: int = 4,
        timeout: float | None = _LIMIT,
        progress: ProgressCallback | bool | None = None,
    ) -> DownloadedFiles:
        """Activate assets of an item, wait for them, download them into the folder `to`; return their paths.

        Each file has the name that the server gives it, is compared with its MD5, and is named `NAME.part`
        until it is right.  A file that is there and right is kept.  All are tried before the first error is
        raised: call again for what is missing.

            paths = await planet.data.download(item, ["ortho_analytic_4b", "ortho_udm2"], to="data")

        Args:
            item: The item.
            asset_types: The types of the assets, or one.
            to: The folder, which is made, or the address of an object store, as of `orders.download`.
            overwrite: Replace files that are there and not right, instead of raising DownloadError.
            concurrency: How many files are fetched at a time.
            timeout: How long to wait for an asset to become active.
            progress: True for a bar in a notebook (tqdm) or on a terminal (Rich); or a function, called
                with the `Progress` of each file as it arrives.

        Returns:
            The paths, a list; for an object store it is empty, and has `urls`.  Its `unverified` names the
            files for which the API has no MD5.

        Raises:
            AssetNotDownloadable: an asset is not published, or the permission to download it is missing.
            WaitTimeout: an asset was not active in time.
            ChecksumMismatch: a file arrived twice with other bytes than its MD5 says.
            DownloadError: a file cannot be written, or another one is in the way.
        """
        where, concurrency, timeout = (
            destination("to", to),
            whole("concurrency", concurrency),
            seconds("timeout", timeout),
        )
        bar = ProgressBar(progress)
        asset_types = [asset_types] if isinstance(asset_types, str) else asset_types
        types = [item_part("an asset type", type_) for type_ in many("asset types", asset_types)]
        if not types:
            raise InvalidRequest("expected one asset type or more; nothing was sent")
        found = await self.assets(item)
        for type_ in types:
            if type_ not in found:
                raise AssetNotDownloadable(
                    f"{' '.join(item_key(item))} has no asset {type_} that is published",
                    hint=f"There are {', '.join(found) or 'none'}.",
                )
            check_permission(found[type_])
        await where.check()
        with bar as on_progress:
            return await download_assets(
                self._api,
                [found[type_] for type_ in dict.fromkeys(types)],
                partial(self._activated, timeout=timeout),
                partial(self._renewed, timeout=timeout),
                where,
                overwrite=overwrite,
                concurrency=concurrency,
                progress=on_progress,
            )

    def open(self, asset: Asset | Mapping[str, Any]) -> AbstractAsyncContextManager[OpenFile]:
        """Open the file of an active asset for reading, without a copy on disk; its MD5 is not compared.

            async with planet.data.open(asset) as file:
                async for chunk in file:
                    ...

        Raises:
            AssetNotDownloadable: it is not active, or the permission is missing.
        """
        return open_asset(self._api, _asset(asset))

    async def coverage(
        self,
        item: ItemLike,
        geometry: object,
        *,
        band: str | None = None,
        mode: str | None = None,
        timeout: float | None = _COVERAGE_LIMIT,
    ) -> Coverage:
        """Return how much of an area is clear in an item, waiting until the API has computed it.

            coverage = await planet.data.coverage(item, field_7)
            print(coverage.clear_percent)

        Args:
            item: The item.
            geometry: The area: as for `search`, but for lists.
            band: A band of the usable data mask, such as cloud or snow, instead of what is clear.
            mode: UDM2, the API's default, or estimate.
            timeout: How long to wait.

        Raises:
            WaitTimeout: it was not computed in time.
        """
        timeout, body = seconds("timeout", timeout), to_json({"geometry": to_geojson(geometry)})
        query = params(mode=optional_text("mode", mode), band=optional_text("band", band))
        request = self._api.request(
            "POST",
            f"{_item_path(item)}/coverage",
            "data.coverage",
            params=query,
            body=body,
            repeatable=True,
        )
        clock, polls = self._api.clock, 0
        found = await self._api.fetch(Coverage, request)
        with clock.move_on_after(inf if timeout is None else timeout):
            while not _is_complete(found):
                polls += 1
                await clock.sleep(self._api.config.schedule.pause(polls))
                found = await self._api.fetch(Coverage, request)
        if _is_complete(found):
            return found
        raise WaitTimeout(f"the coverage is {found.status or 'not known'} after {timeout:g} s")

    def item_types(self) -> Paginator[ItemType]:
        """List the types of items, such as PSScene.

        ``await planet.data.item_types().collect()`` returns them as a list.
        """
        first = self._api.request("GET", f"{_DATA}/item-types", "data.item_types")
        return self._api.paginate(ItemType, first, ITEM_TYPES_PAGES)

    def asset_types(self, item_type: str | None = None) -> Paginator[AssetType]:
        """List the types of assets: all, or those that items of one type can have."""
        below = "" if item_type is None else f"/item-types/{item_part('an item type', item_type)}"
        first = self._api.request("GET", f"{_DATA}{below}/asset-types", "data.asset_types")
        return self._api.paginate(AssetType, first, ASSET_TYPES_PAGES)

    async def _activated(self, asset: Asset, *, timeout: float | None) -> Asset:
        """Return the asset once it is active, which it may be already."""
        clock = self._api.clock
        deadline = inf if timeout is None else clock.monotonic() + timeout
        while not (asset.status is AssetStatus.ACTIVE and asset.location):
            if asset.status is not AssetStatus.ACTIVATING:
                asset = await self.activate(asset)
            left = None if timeout is None else max(0.0, deadline - clock.monotonic())
            try:
                return await self._wait(asset, left)
            except WaitTimeout:
                is_late = True
            except StatusUnreachable:
                is_late = clock.monotonic() >= deadline
            if is_late:
                raise _late(asset, timeout)
            asset = await self._reread(asset)  # it has expired since
        return asset

    async def _renewed(self, asset: Asset, *, timeout: float | None) -> Asset:
        return await self._activated(await self._reread(asset), timeout=timeout)

    async def _wait(self, asset: Asset, timeout: float | None) -> Asset:
        if has_fresh_link(self._api, asset):
            return asset
        seen_inactive = 0

        def is_settled(found: "_ItemAssets") -> bool:
            nonlocal seen_inactive
            now = found.assets.get(asset.type)
            is_inactive = now is not None and now.status is AssetStatus.INACTIVE
            seen_inactive = seen_inactive + 1 if is_inactive else 0
            # Once may be a moment before the activation shows.
            is_active = now is None or now.status is AssetStatus.ACTIVE
            return is_active or seen_inactive == _INACTIVE_TWICE

        try:
            found = await wait_for(
                self._waits.here(),
                _key(asset),
                is_settled,
                timeout=timeout,
                just_seen=asset.status is AssetStatus.ACTIVATING and timeout != 0,
            )
        except WaitTimeout:
            found = None
        if found is None:
            raise _late(asset, timeout)
        now = found.assets.get(asset.type)
        if now is None:
            raise AssetNotDownloadable(f"{described(asset)} is not published any more")
        if now.status is AssetStatus.ACTIVE:
            return now
        raise StatusUnreachable(f"{described(asset)} is {now.status}", hint="`data.activate` activates it.")

    async def _poll(self, key: str) -> "_ItemAssets":
        """Request the assets of an item; or one asset, whose item is not known, by its link."""
        if "://" not in key:
            item_type, _, item_id = key.partition("/")
            return _ItemAssets(key, await self.assets((item_type, item_id)))
        asset = await self._api.fetch(Asset, self._link(key, "data.assets"))
        return _ItemAssets(key, {asset.type: asset})

    async def _reread(self, asset: Asset) -> Asset:
        found = (await self._poll(_key(asset))).assets.get(asset.type)
        if found is None:
            raise AssetNotDownloadable(f"{described(asset)} is not published any more")
        return found

    def _link(self, link: str, operation: str) -> Request:
        url = link_target(self._api.config.base_url + _DATA, link)
        request = self._api.request("GET", url, operation)
        if origin(url) != origin(self._api.config.base_url):
            raise DecodeError("the link of the asset leads to another origin; not followed", request=request)
        return request


class Searches:
    """The searches that are saved: `planet.data.searches`.

    `create`, `get`, `list`, `update` and `delete`; `run` finds their items.

    What holds for every method is said of `Data`.  A search is a `SearchRequest`, or a mapping with the API's
    own names.

    See https://docs.planet.com/develop/apis/data/item-search/
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._creating = api.exactly_once(
            ResourceKind[Search](
                "saved search",
                "filter",
                lambda _: self.list(search_type="saved", sort="created desc").pages(),
                lambda *_: self.list(search_type="saved", sort="created desc").pages(),
                attrgetter("created"),
                attrgetter("raw"),
                self.delete,
                attrgetter("updated"),
            )
        )

    async def create(self, request: SearchRequest | Mapping[str, Any]) -> Search:
        """Save a search, which needs a name, and return it.

        It is saved once: where the response is lost, the search is looked for by its name, and saved again
        only if it is not there.

            search = await planet.data.searches.create(
                SearchRequest("PSScene", where.cloud_cover.below(0.1), name="clear", geometry=field_7)
            )

        Raises:
            UnsettledCreate: whether it was saved cannot be found out.
        """
        body = _saved(request)
        post = self._api.request("POST", _SEARCHES, "data.create_search", body=body)
        return await self._creating.create(body, partial(self._api.fetch, Search, post))

    async def get(self, search_id: str | UUID) -> Search:
        """Return one search."""
        return await self._api.call(Search, "GET", _search_path(search_id), "data.get_search")

    def list(
        self, *, search_type: str = "saved", sort: str | None = None, page_size: int | None = None
    ) -> Paginator[Search]:
        """List searches, those created last first.

        Args:
            search_type: saved, quick, or any.
            sort: ``"created desc"`` or ``"created asc"``.
            page_size: How many searches there are in one response; by default what the API chooses.
        """
        query = (
            *params(search_type=one_of("search_type", search_type, _SEARCH_TYPES)),
            *_paging_params(sort, _LIST_SORTS, page_size),
        )
        first = self._api.request("GET", _SEARCHES, "data.list_searches", params=query)
        return self._api.paginate(Search, first, SEARCHES_PAGES)

    async def update(self, search_id: str | UUID, request: SearchRequest | Mapping[str, Any]) -> Search:
        """Replace a saved search by another one under the same id, and return it."""
        return await self._api.call(
            Search, "PUT", _search_path(search_id), "data.update_search", body=_saved(request)
        )

    async def delete(self, search_id: str | UUID) -> None:
        """Delete a saved search."""
        await self._api.delete(_search_path(search_id), "data.delete_search")

    def run(
        self, search_id: str | UUID, *, sort: str | None = None, page_size: int | None = None
    ) -> SearchResults:
        """Find the items of a saved search; `sort` and `page_size` are those of `Data.search`."""
        query = _paging_params(sort, _SEARCH_SORTS, page_size)
        return SearchResults(
            self._api,
            self._api.request("GET", f"{_search_path(search_id)}/results", "data.search", params=query),
        )


@frozen
class _ItemAssets:
    id: str
    assets: Mapping[str, Asset]


def _item_path(item: object) -> str:
    item_type, item_id = item_key(item)
    return f"{_DATA}/item-types/{quote(item_type)}/items/{quote(item_id)}"


def _search_path(search_id: object) -> str:
    try:
        found = search_id if isinstance(search_id, UUID) else UUID(hex=text("a search id", search_id))
    except ValueError:
        found = None
    if found is None:
        raise InvalidRequest(f"{shown(search_id)} is no search id: expected 32 hex digits; nothing was sent")
    return f"{_SEARCHES}/{found.hex}"


def _asset(value: object) -> Asset:
    if isinstance(value, Asset):
        return value
    if not isinstance(value, Mapping):
        raise InvalidRequest(f"expected an asset, got {type_name(value)}; nothing was sent")
    try:
        return decode_part(Asset, to_mapping(value))
    except DecodeError as error:
        problem = error.message
    raise InvalidRequest(f"this is no asset: {problem}; nothing was sent")


def _late(asset: Asset, timeout: float | None) -> WaitTimeout:
    message = f"{described(asset)} is not active after {timeout:g} s"
    return WaitTimeout(message, hint="Its activation goes on; wait for it again, or later.")


def _key(asset: Asset) -> str:
    if asset.item_type and asset.item_id:
        return "/".join(item_key((asset.item_type, asset.item_id)))
    link = asset.links.get("_self")
    if not isinstance(link, str) or "://" not in link:
        raise InvalidRequest(f"{asset.type} says neither its item nor its own address; nothing was sent")
    return link


def _saved(request: SearchRequest | Mapping[str, Any]) -> bytes:
    body = checked_body(SearchRequest, request)
    if not msgspec.json.decode(body).get("name"):
        raise InvalidRequest("a search that is saved needs a name; nothing was sent")
    return body


def _is_complete(coverage: Coverage) -> bool:
    return coverage.status == _COMPLETE or (not coverage.status and coverage.clear_percent is not None)


def _paging_params(sort: str | None, sorts: Sequence[str], page_size: int | None) -> Params:
    return params(
        _page_size=optional_whole("page_size", page_size),
        _sort=None if sort is None else one_of("sort", sort, sorts),
    )
