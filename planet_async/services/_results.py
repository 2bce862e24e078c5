"""The results of a subscription as rows of CSV, and the filters that both forms of them take."""

from collections.abc import Sequence

from planet_async.http import Request, Transport
from planet_async.services._csv_rows import CsvRows, Row
from planet_async.services._query import TimeFilter, query, time_filter

Params = tuple[tuple[str, str], ...]


def result_filters(
    *,
    status: str | Sequence[str] | None,
    created: TimeFilter | None,
    updated: TimeFilter | None,
    completed: TimeFilter | None,
    item_datetime: TimeFilter | None,
    user_id: str | None,
) -> Params:
    """Give the filters as parameters, checked."""
    return query(
        status=status,
        created=time_filter("created", created),
        updated=time_filter("updated", updated),
        completed=time_filter("completed", completed),
        item_datetime=time_filter("item_datetime", item_datetime),
        user_id=user_id,
    )


class ResultRows(CsvRows):
    """Rows of results; their status is lower case, as everywhere else in the API."""

    def __init__(self, transport: Transport, request: Request) -> None:
        super().__init__(transport, request, needed="id")

    async def __anext__(self) -> Row:
        row = await super().__anext__()
        if "status" in row:
            row["status"] = row["status"].casefold()
        return row
