"""Searches for imaging windows, of the simulated Tasking API."""

from collections.abc import Collection
from typing import Any, Literal

from attrs import define, field, frozen, validators

from planet_async.simulator.context import Context, after, render
from planet_async.simulator.geometry import imaged_area
from planet_async.simulator.http import Json, ServerResponse, json_response
from planet_async.simulator.rules import search_problems

WINDOWS = "/tasking/v2/imaging-windows"

_HOUR = 3600.0
_STALE_HOURS = 6.0  # windows go out of date quickly; after how long is not known [L]


@frozen(kw_only=True)
class SearchPlan:
    """The course of a search for imaging windows.

        Simulator(search_plan=SearchPlan(reply="location", error_code="NO_ACCESS", error_message="..."))

    Args:
        seconds: How long it takes.
        windows: How many it finds.
        reply: How it is accepted: with a ``"body"`` that has its id, or with an empty one and a relative
            ``"location"``; both have been seen [M].
        error_code: It fails with this code.
        error_message: What it says then.
    """

    seconds: float = field(default=5.0, validator=validators.ge(0.0))
    windows: int = field(default=3, validator=validators.ge(0))
    reply: Literal["body", "location"] = field(default="body", validator=validators.in_(("body", "location")))
    error_code: str | None = None
    error_message: str | None = None


@define
class _Search:
    id: str
    created: int
    request: dict[str, Any]
    window_ids: list[str]


class Searches:
    """All searches, and the windows that they found."""

    def __init__(self, context: Context, plan: SearchPlan) -> None:
        self._context = context
        self._plan = plan
        self._by_id: dict[str, _Search] = {}
        self._by_window: dict[str, tuple[_Search, int]] = {}

    def create(self, body: Json) -> ServerResponse:
        if problems := search_problems(body, self._context.now()):
            return json_response(problems, 400)
        ids = [self._context.new_id() for _ in range(1 + self._plan.windows)]
        search = _Search(ids[0], self._context.now(), body, ids[1:])
        self._by_id[search.id] = search
        self._by_window.update((id_, (search, number)) for number, id_ in enumerate(search.window_ids))
        if self._plan.reply == "location":
            return ServerResponse(202, {"location": f"{WINDOWS}/search/{search.id}"})
        return json_response({"id": search.id, "status": "CREATED"}, 201)

    def get(self, search_id: str) -> Json | None:
        """Return the status of a search and the windows it found."""
        search = self._by_id.get(search_id)
        if search is None:
            return None
        found: Json = {"id": search.id, "status": "IN_PROGRESS", "error_code": None, "error_message": None}
        found["imaging_windows"] = []
        plan, now = self._plan, self._context.now()
        if now == search.created and plan.seconds:
            found["status"] = "CREATED"
        elif now >= after(search.created, plan.seconds) and plan.error_code is not None:
            found |= {"status": "FAILED", "error_code": plan.error_code, "error_message": plan.error_message}
        elif now >= after(search.created, plan.seconds):
            windows = [self._window(search, number) for number in range(plan.windows)]
            found |= {"status": "DONE", "imaging_windows": windows}
        return found

    def get_window(self, window_id: str) -> Json | None:
        found = self._by_window.get(window_id)
        return None if found is None else self._window(*found)

    def usable(self) -> Collection[str]:
        """Return the ids of the windows that can be ordered."""
        now = self._context.now()
        return [
            id_
            for id_, (search, _) in self._by_window.items()
            if now < after(search.created, _STALE_HOURS * _HOUR)
        ]

    def _window(self, search: _Search, number: int) -> Json:
        start = after(search.created, (number + 12) * _HOUR)
        return {
            "id": search.window_ids[number],
            "start_time": render(start),
            "end_time": render(after(start, 240)),
            "satellite_type": search.request.get("satellite_types", ["SKYSAT"])[0],
            "assured_tasking_tier": "STANDARD",
            "sensitivity_mode": search.request.get("sensitivity_mode", "NOT_APPLICABLE"),
            "low_light": False,
            "off_nadir_angle_min": 5.0 + number,
            "off_nadir_angle_max": 10.0 + number,
            "sat_elevation_angle_min": 75.0,
            "sat_elevation_angle_max": 80.0,
            "ground_sample_distance": 0.6,
            "cloud_forecast": [{"start_time": render(start), "prediction": 0.2, "error_message": None}],
            "conflicting_orders": [],
            "created_time": render(search.created),
            "geometry": imaged_area(search.request["geometry"]),
        }
