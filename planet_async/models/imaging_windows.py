"""When satellites can see a place: imaging windows, and the searches that find them.

See https://docs.planet.com/develop/apis/tasking/reference/#tag/Imaging-Windows
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from attrs import field, frozen

from planet_async.models.base import OpenEnum, Resource
from planet_async.models.codec import NonEmpty, Timestamp, decode_part


@frozen(eq=False)
class ImagingWindow(Resource):
    """A time in which a satellite can take an image; its id is what an ASSURED order asks for.

    Angles are in degrees, the ground sample distance in metres.  Windows are soon out of date.
    """

    id: NonEmpty
    start_time: Timestamp | None = None
    end_time: Timestamp | None = None
    satellite_type: str | None = None
    assured_tasking_tier: str | None = field(default=None, repr=False)
    sensitivity_mode: str | None = field(default=None, repr=False)
    low_light: bool | None = field(default=None, repr=False)
    off_nadir_angle_min: float | None = field(default=None, repr=False)
    off_nadir_angle_max: float | None = field(default=None, repr=False)
    sat_elevation_angle_min: float | None = field(default=None, repr=False)
    sat_elevation_angle_max: float | None = field(default=None, repr=False)
    sun_elevation_angle_min: float | None = field(default=None, repr=False)
    sun_elevation_angle_max: float | None = field(default=None, repr=False)
    ground_sample_distance: float | None = field(default=None, repr=False)
    created_time: Timestamp | None = field(default=None, repr=False)

    @property
    def geometry(self) -> Mapping[str, Any] | None:
        """What can be seen."""
        return self._mapping("geometry")

    @property
    def cloud_forecast(self) -> tuple[Mapping[str, Any], ...]:
        """The clouds to be expected, by time."""
        return self._mappings("cloud_forecast")


class SearchStatus(OpenEnum):
    """Where a search for imaging windows is: CREATED, IN_PROGRESS, then DONE or FAILED."""

    CREATED = "CREATED"
    IN_PROGRESS = "IN_PROGRESS"
    DONE = "DONE"
    FAILED = "FAILED"

    @property
    def is_final(self) -> bool:
        """Nothing more will be found."""
        return self in {SearchStatus.DONE, SearchStatus.FAILED}


@frozen(eq=False)
class ImagingWindowSearch(Resource):
    """A search for imaging windows, and what it has found."""

    id: NonEmpty
    status: SearchStatus = SearchStatus.CREATED
    error_code: str | None = None
    error_message: str | None = None

    @cached_property
    def imaging_windows(self) -> tuple[ImagingWindow, ...]:
        """The windows found.  DecodeError for one without an id: it could not be ordered."""
        windows = self.raw.get("imaging_windows")
        if not isinstance(windows, list):
            return ()
        return tuple(
            decode_part(ImagingWindow, window, where=f"$.imaging_windows[{index}]")
            for index, window in enumerate(windows)
        )
