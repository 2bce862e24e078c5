"""Usage reports, as the API returns them.

See https://docs.planet.com/develop/apis/reports/
"""

from datetime import date

from attrs import field, frozen

from planet_async.models.base import Resource
from planet_async.models.codec import NonEmpty


@frozen(eq=False)
class Report(Resource):
    """A report on the usage of a plan, from `data_date_start` to `data_date_end`: whole GMT days, inclusive.

    `report_type` is detailed or summary, and pv_detailed or billableaoi_detailed for Planetary Variables;
    `cadence` is daily or monthly.  `contents` are the URLs of its parts, and `num_rows` is how many rows
    these have.  Reports on sub-organizations are made on demand and have a `status`.
    """

    report_id: NonEmpty
    report_type: str = ""
    cadence: str = ""
    data_date_start: date | None = None
    data_date_end: date | None = None
    num_rows: int | None = None
    org_id: int | None = field(default=None, repr=False)
    plan_id: int | None = field(default=None, repr=False)
    line_item_id: int | None = field(default=None, repr=False)
    has_footprint: bool | None = field(default=None, repr=False)
    status: str | None = field(default=None, repr=False)
    contents: tuple[str, ...] = field(default=(), repr=False)
