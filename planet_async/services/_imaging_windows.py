"""Searches for imaging windows: asked for, then looked at until they are done."""

from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import UUID

import msgspec

from planet_async.errors import DecodeError, ImagingSearchFailed
from planet_async.http import Request, Response
from planet_async.models.codec import checked_body
from planet_async.models.imaging_windows import ImagingWindow, ImagingWindowSearch, SearchStatus
from planet_async.models.tasking_request import ImagingWindowRequest
from planet_async.polling import wait_for
from planet_async.services._api import Api
from planet_async.services._query import checked_id
from planet_async.waiting.shared import SharedWait

_WINDOWS = "/tasking/v2/imaging-windows"


async def search_windows(
    api: Api, request: ImagingWindowRequest | Mapping[str, Any], *, timeout: float | None
) -> ImagingWindowSearch:
    """Search, and give the search when it is done; see `Tasking.search_imaging_windows`."""
    body = checked_body(ImagingWindowRequest, request)
    # A search costs nothing and changes nothing.
    post = api.request("POST", f"{_WINDOWS}/search/", operation="tasking.search", body=body, repeatable=True)
    search_id = await _id_of(post, await api.send(post))
    looking = SharedWait(partial(_look, api), clock=api.clock, schedule=api.config.schedule)
    done = await wait_for(looking, search_id, lambda search: search.status.is_final, timeout=timeout)
    if done.status is SearchStatus.FAILED:
        raise ImagingSearchFailed(
            f"the search for imaging windows {search_id} failed: "
            f"{done.error_message or 'the API gives no reason'}",
            error_code=done.error_code,
        )
    return done


async def get_window(api: Api, window_id: str | UUID) -> ImagingWindow:
    """Give one window; see `Tasking.get_imaging_window`."""
    path = f"{_WINDOWS}/{checked_id(window_id, 'imaging window')}"
    return await api.call(ImagingWindow, api.request("GET", path, operation="tasking.get_window"))


async def _look(api: Api, search_id: str) -> ImagingWindowSearch:
    path = f"{_WINDOWS}/search/{quote(search_id, safe='')}"
    return await api.call(ImagingWindowSearch, api.request("GET", path, operation="tasking.get_search"))


async def _id_of(request: Request, response: Response) -> str:
    """Give the id of a new search: from the body, else the last part of the path in ``Location``."""
    body = await response.read()
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = None  # older answers have no body
    given = found.get("id") if isinstance(found, dict) else None
    if isinstance(given, str) and given:
        return given
    try:
        place = urlsplit(response.headers.get("location", "")).path.rstrip("/").rpartition("/")[2]
    except ValueError:
        place = ""
    if not place or place == "search":
        raise DecodeError("a search for imaging windows was accepted without an id", request=request)
    return place
