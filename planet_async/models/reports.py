"""Usage reports as the API shows them.

See https://docs.planet.com/develop/apis/reports/
"""

from datetime import date

from attrs import field, frozen

from planet_async.models.base import Resource
from planet_async.models.codec import NonEmpty, Unexpected, converter

_DAY_CHARACTERS = 10


@frozen(eq=False)
class Report(Resource):
    """A report on the usage of a plan, from `data_date_start` to `data_date_end`: whole GMT days, inclusive.

    `report_type` is detailed or summary, and pv_detailed or billableaoi_detailed for Planetary Variables;
    `cadence` is daily or monthly.  `contents` are the addresses of its parts, and `num_rows` is how many rows
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


def _day(value: object, _: object) -> date:
    """Read a day; of a time, only its day is of interest."""
    try:
        return date.fromisoformat(value[:_DAY_CHARACTERS])  # type: ignore[index]  # that is a TypeError then
    except (TypeError, ValueError):
        raise Unexpected("a day like 2026-05-01", value) from None


converter.register_structure_hook_func(lambda cls: cls is date, _day)
